"""Regional expression from donors in the public layout: planted maps are found, and every option does what it says."""

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from conn.data import (
    DataError,
    DataUnavailableError,
    differential_stability,
    read_expression,
    regional_expression,
    write_regional_expression,
)
from conn.data.cli import app
from conn.data.expression_normalisation import NORMALISATIONS, normalise
from conn.data.probe_selection import PROBE_SELECTIONS, genes_from_probes, select_probes

WIDE = {"tolerance": 5.0}


@pytest.fixture(scope="module")
def made(write_donors, tmp_path_factory):
    return write_donors(tmp_path_factory.mktemp("allen") / "donors")


@pytest.fixture(scope="module")
def found(made):
    return regional_expression(made.folder, regions=made.regions, **WIDE)


@pytest.fixture(scope="module")
def volume(made, tmp_path_factory):
    """The regions as balls of 4 mm in a volume of 2 mm."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-45, -90, -10)
    grid = np.stack(np.meshgrid(*(np.arange(size) for size in (46, 90, 32)), indexing="ij"), axis=-1) * 2.0
    grid += affine[:3, 3]
    image = np.zeros(grid.shape[:3], dtype=np.int16)
    for number, place in zip(made.regions["id"], made.regions[["x", "y", "z"]].to_numpy(), strict=True):
        image[np.linalg.norm(grid - place, axis=-1) <= 4] = number
    path = tmp_path_factory.mktemp("atlas") / "atlas.nii.gz"
    nib.save(nib.Nifti1Image(image, affine), path)
    return path


def likeness(found, made):
    """Mean rank correlation of the genes' maps with those planted."""
    maps = made.maps.loc[found.expression.index]
    known = found.expression.notna().all(axis=1).to_numpy()
    return np.mean([stats.spearmanr(found.expression[gene][known], maps[gene][known])[0] for gene in found.expression])


def test_planted_maps_are_found_with_the_right_probes(found, made):
    assert likeness(found, made) > 0.93
    assert found.expression.columns.tolist() == made.maps.columns.tolist()
    assert set(found.probes.index % 10) == {1}
    assert found.expression.to_numpy().min() >= 0
    assert found.expression.to_numpy().max() <= 1
    assert (found.counts.loc[made.regions["label"].str.startswith("R").to_numpy(), "10021"] == 0).all()
    assert found.donors["10021"].loc["R_cortex_0"].isna().all()
    assert differential_stability(list(found.donors.values())).median() > 0.8
    assert "3 donors" in found.describe()
    assert "of 90 with an Entrez number, 60 exceeded the background in at least 50% of samples" in found.methods


def test_the_whole_agrees_with_a_calculation_step_by_step(found, made):
    tables = []
    for donor in ("9861", "10021", "12876"):
        raw = pd.read_csv(made.file(donor, "MicroarrayExpression.csv"), header=None, index_col=0)
        values = raw.loc[found.probes.index].to_numpy(dtype=np.float32).T.astype(np.float64)
        for axis in (1, 0):
            scale = stats.iqr(values, axis=axis, scale="normal", keepdims=True)
            values = 1 / (1 + np.exp(-(values - np.median(values, axis=axis, keepdims=True)) / scale))
            low = values.min(axis=axis, keepdims=True)
            values = (values - low) / (values.max(axis=axis, keepdims=True) - low)
        tables.append(pd.DataFrame(values).groupby(made.samples[donor]["label"].to_numpy()).mean())
    expected = pd.concat(tables).groupby(level=0).mean().loc[found.expression.index]
    np.testing.assert_allclose(found.expression.to_numpy(), expected.to_numpy(), atol=1e-6)


def test_a_volume_gives_what_centroids_give_where_every_sample_is_inside(found, made, volume):
    table = made.regions.drop(columns=["x", "y", "z"])
    inside = regional_expression(made.folder, volume, table)
    pd.testing.assert_frame_equal(inside.expression, found.expression)
    assert inside.samples["region"].tolist() == found.samples["region"].tolist()
    unnamed = regional_expression(made.folder, volume)
    assert unnamed.expression.index.tolist() == [str(number) for number in made.regions["id"]]


def test_points_such_as_vertices_take_the_nearest(found, made):
    points = pd.concat([made.regions.assign(x=made.regions["x"] + shift) for shift in (-2.0, 0.0, 2.0)])
    by_points = regional_expression(made.folder, points[["label", "x", "y", "z"]], made.regions, tolerance=3)
    pd.testing.assert_frame_equal(by_points.expression, found.expression)
    alone = regional_expression(made.folder, points[["label", "x", "y", "z"]], tolerance=3)
    assert set(alone.expression.index) == set(found.expression.index)


def test_samples_off_a_region_are_found_within_the_tolerance_only(write_donors, tmp_path, volume):
    made = write_donors(tmp_path / "donors", spread=7.0, per_region=6)
    table = made.regions.drop(columns=["x", "y", "z"])
    counts = [
        regional_expression(made.folder, volume, table, tolerance=tolerance).counts.to_numpy().sum()
        for tolerance in (0, 1.5, 4)
    ]
    assert counts[0] < counts[1] < counts[2]
    nearest = regional_expression(made.folder, regions=made.regions, tolerance=float("inf"))
    assert nearest.counts.to_numpy().sum() == sum(len(one) for one in made.samples.values())
    truth = np.concatenate([one["label"] for one in made.samples.values()])
    assert (nearest.samples["region"] == truth).all()


def test_a_sample_goes_to_no_region_of_another_hemisphere_or_part_of_the_brain(made, tmp_path):
    # Regions of the cortex only, which take every sample nearby unless the part is respected.
    near = made.regions.assign(z=20.0, y=0.0)[lambda table: table["label"].isin(["L_cortex_0", "R_cortex_0"])]
    told = regional_expression(made.folder, regions=near, tolerance=200)
    assert set(told.samples.loc[told.samples["region"] != "", "structure"]) == {"cortex"}
    sides = told.samples[told.samples["region"] != ""]
    assert (sides["region"].str[0] == sides["hemisphere"]).all()
    open_to_all = regional_expression(
        made.folder, regions=near.drop(columns=["hemisphere", "structure"]), tolerance=200
    )
    assert set(open_to_all.samples.loc[open_to_all.samples["region"] != "", "structure"]) == {"cortex", "subcortex"}
    both = near.assign(structure="subcortex/brainstem")
    assert set(
        regional_expression(made.folder, regions=both, tolerance=200).samples.query("region != ''")["structure"]
    ) == {"subcortex"}


def test_samples_on_the_wrong_side_are_dropped(write_donors, made, tmp_path):
    other = write_donors(tmp_path / "donors")
    path = other.file("10021", "SampleAnnot.csv")
    table = pd.read_csv(path)
    table.loc[:2, "mni_x"] *= -1
    table.to_csv(path, index=False)
    found = regional_expression(other.folder, regions=other.regions, **WIDE)
    assert found.counts["10021"]["L_cortex_0"] == 0
    assert len(found.samples) == 117


@pytest.mark.parametrize(
    ("mirror", "left", "right"), [("both", 6, 6), ("left_to_right", 3, 6), ("right_to_left", 6, 3)]
)
def test_mirroring_doubles_the_samples_of_a_side(made, mirror, left, right):
    found = regional_expression(made.folder, regions=made.regions, mirror=mirror, **WIDE)
    assert found.counts["9861"]["L_cortex_1"] == left
    assert found.counts["9861"]["R_cortex_1"] == right
    assert found.counts["10021"]["R_cortex_1"] == (0 if mirror == "right_to_left" else 3)
    assert found.samples["mirrored"].sum() == found.counts.to_numpy().sum() - 120
    if mirror == "both":
        one = found.donors["10021"]
        np.testing.assert_allclose(one.loc["L_cortex_1"], one.loc["R_cortex_1"])


@pytest.mark.parametrize("selection", PROBE_SELECTIONS)
def test_every_probe_selection_gives_each_gene_once(made, selection):
    found = regional_expression(made.folder, regions=made.regions, probe_selection=selection, **WIDE)
    assert found.expression.columns.tolist() == made.maps.columns.tolist()
    # The noise is brighter and varies more: only stability knows that it is noise.
    kinds = set(found.probes.index % 10)
    assert kinds == ({1} if selection == "differential_stability" else {1, 2} if selection == "mean" else {2})


def test_probe_selections_by_hand():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 40)).astype(np.float32)
    values[2] = values[1] + 0.1 * values[0]
    values[3] = values[1] - 0.1 * values[0] + 3
    genes = ["B", "A", "A", "A", "C"]
    chosen = {
        method: {gene: rows.tolist() for gene, rows in select_probes([values], [[0] * 40], genes, method).items()}
        for method in PROBE_SELECTIONS[1:]
    }
    assert list(chosen["mean"]) == ["A", "B", "C"]
    assert chosen["mean"]["A"] == [1, 2, 3]
    assert chosen["max_intensity"]["A"] == [3]
    assert chosen["max_variance"]["A"] == [1 + int(values[1:4].var(axis=1).argmax())]
    alike = np.corrcoef(values[1:4]).mean(axis=1)
    assert chosen["correlation_variance"]["A"] == chosen["correlation_intensity"]["A"] == [1 + int(alike.argmax())]
    means = genes_from_probes(values, select_probes([values], [[0] * 40], genes, "mean"))
    np.testing.assert_allclose(means[0], values[1:4].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(means[1:], values[[0, 4]])


@pytest.mark.parametrize("method", [name for name in NORMALISATIONS if name != "none"])
@pytest.mark.parametrize("axis", [0, 1])
def test_normalisation_ignores_scale_and_level_and_keeps_order(method, axis):
    values = np.random.default_rng(1).lognormal(size=(7, 9))
    once = normalise(values, method, axis=axis)
    np.testing.assert_allclose(normalise(3 * values + 5 if method != "centre" else values + 5, method, axis=axis), once)
    np.testing.assert_array_equal(once.argsort(axis=axis), values.argsort(axis=axis))
    constant = values.copy()
    constant[(slice(None), 2) if axis == 0 else (2,)] = 4.2
    flat = normalise(constant, method, axis=axis).take(2, axis=1 - axis)
    assert (flat == 0).all() if method == "centre" else np.isnan(flat).all()


def test_normalisations_agree_with_scipy():
    values = np.random.default_rng(2).lognormal(size=(8, 50))
    standard = stats.zscore(values, axis=1, ddof=1)
    np.testing.assert_allclose(normalise(values, "zscore", axis=1), standard)
    np.testing.assert_allclose(normalise(values, "sigmoid", axis=1), 1 / (1 + np.exp(-standard)))
    robust = (values - np.median(values, axis=1, keepdims=True)) / stats.iqr(
        values, axis=1, scale="normal", keepdims=True
    )
    np.testing.assert_allclose(normalise(values, "robust_sigmoid", axis=1), 1 / (1 + np.exp(-robust)))


def test_a_reannotation_renames_genes_and_drops_probes(made, tmp_path):
    table = pd.read_csv(made.file("9861", "Probes.csv"))
    kept = table[table["gene_symbol"].isin(["G000", "G001", "G002"])][["probe_name", "gene_symbol", "entrez_id"]]
    kept.assign(gene_symbol="NEW_" + kept["gene_symbol"]).to_csv(tmp_path / "new.csv", index=False)
    found = regional_expression(made.folder, regions=made.regions, reannotation=tmp_path / "new.csv",
                                sample_normalisation="none", **WIDE)  # fmt: skip
    assert found.expression.columns.tolist() == ["NEW_G000", "NEW_G001", "NEW_G002"]
    assert "a reannotation table" in found.methods


def test_corrected_coordinates_take_the_place_of_the_atlas_own(found, made, tmp_path):
    wells = found.samples[["well", "x", "y", "z"]].rename(columns={"well": "well_id"})
    wells.columns = ["well_id", *(f"corrected_mni_{axis}" for axis in "xyz")]
    wells["corrected_mni_y"] += 20  # every sample in the next region
    wells.to_csv(tmp_path / "wells.csv", index=False)
    moved = regional_expression(made.folder, regions=made.regions, coordinates=tmp_path / "wells.csv", **WIDE)
    assert (moved.counts.loc["L_cortex_0"] == 0).all()
    assert moved.counts.loc["L_cortex_1"].tolist() == [3, 3, 3]
    wells[1:].to_csv(tmp_path / "wells.csv", index=False)
    with pytest.raises(DataError, match=r"wells\.csv has no well 9861000, which donor 9861 has"):
        regional_expression(made.folder, regions=made.regions, coordinates=tmp_path / "wells.csv", **WIDE)


def test_regions_without_samples_stay_empty_or_are_filled_from_nearby(write_donors, tmp_path):
    made = write_donors(tmp_path / "donors", empty=("L_cortex_3", "R_cortex_3", "L_subcortex_1", "R_subcortex_1"))
    kept = regional_expression(made.folder, regions=made.regions, **WIDE)
    assert kept.expression.loc["L_cortex_3"].isna().all()
    assert "4 regions have no value: L_cortex_3, L_subcortex_1, R_cortex_3, R_subcortex_1" in kept.describe()
    for how in ("centroids", "interpolate"):
        filled = regional_expression(made.folder, regions=made.regions, missing=how, **WIDE)
        assert filled.expression.notna().all().all()
        known = kept.expression.notna().all(axis=1)
        pd.testing.assert_frame_equal(filled.expression[known], kept.expression[known])
        # The nearest of the subcortex is the only other region there.
        near = pd.concat([table.loc[["L_subcortex_0"]] for table in filled.donors.values()]).mean()
        assert np.corrcoef(filled.expression.loc["L_subcortex_1"], near)[0, 1] > 0.9
        assert filled.donors["9861"].loc["L_cortex_3"].isna().all()
        assert f"4 regions without a sample were filled by '{how}'" in filled.describe()


def test_a_region_that_no_donor_has_a_sample_for_stays_empty_and_is_named(write_donors, tmp_path):
    made = write_donors(tmp_path / "donors", bilateral=())
    found = regional_expression(made.folder, regions=made.regions, missing="centroids", **WIDE)
    assert found.expression.filter(like="R_", axis=0).isna().all().all()
    assert "10 regions have no value" in found.describe()


def test_samples_at_once_medians_parts_apart_and_all_samples(found, made):
    near = made.regions[made.regions["hemisphere"] == "L"]
    pooled = regional_expression(made.folder, regions=made.regions, aggregation="samples", **WIDE)
    right = found.counts.index.str.startswith("R_")
    np.testing.assert_allclose(pooled.expression[right], found.expression[right])  # of one donor
    np.testing.assert_allclose(pooled.expression, found.expression)  # equal counts in each donor
    middle = regional_expression(made.folder, regions=made.regions, statistic="median", **WIDE)
    assert likeness(middle, made) > 0.9
    assert not np.allclose(middle.expression, found.expression)
    matched = regional_expression(made.folder, regions=near, **WIDE).donors["9861"]
    every = regional_expression(made.folder, regions=near, normalise_matched=False, **WIDE).donors["9861"]
    pd.testing.assert_frame_equal(every, found.donors["9861"].loc[near["label"]])
    assert not np.allclose(matched, every)
    apart = regional_expression(
        made.folder, regions=made.regions, normalise_structures=True, gene_normalisation="zscore", **WIDE
    )
    for part in ("cortex", "subcortex"):
        rows = found.counts.index.str.contains(f"_{part}")
        np.testing.assert_allclose(apart.donors["9861"][rows].mean(), 0, atol=1e-12)
    assert "each part of the brain apart" in apart.methods


def test_genes_without_spread_in_a_donor_are_left_out_and_named(write_donors, tmp_path):
    made = write_donors(tmp_path / "donors", n_genes=5)
    path = made.file("10021", "MicroarrayExpression.csv")
    table = pd.read_csv(path, header=None)
    table.loc[table[0].isin([1, 2]), 1:] = 7.0
    table.to_csv(path, header=False, index=False)
    found = regional_expression(made.folder, regions=made.regions, sample_normalisation="none", **WIDE)
    assert "G000" not in found.expression.columns
    assert "1 genes have no spread over some donor's samples and are left out: G000" in found.describe()


def test_what_is_written_reads_back(found, tmp_path):
    folder = write_regional_expression(found, tmp_path / "out")
    table = read_expression(folder / "expression.csv")
    np.testing.assert_allclose(table, found.expression, rtol=1e-8)
    donor = read_expression(folder / "donors" / "10021.csv")
    np.testing.assert_array_equal(donor.isna(), found.donors["10021"].isna())
    assert len(pd.read_csv(folder / "samples.csv")) == len(found.samples)
    assert len(json.loads((folder / "provenance.json").read_text())["checksums"]) == 15
    assert (folder / "methods.txt").read_text().strip() == found.methods
    with pytest.raises(DataError, match="exists already"):
        write_regional_expression(found, folder)


def test_the_command_writes_the_folder_or_refuses_in_one_line(made, volume, tmp_path):
    made.regions.to_csv(tmp_path / "regions.csv", index=False)
    out = tmp_path / "out"
    arguments = ["expression", made.folder, out, "--atlas", volume, "--regions", tmp_path / "regions.csv"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "20 regions x 30 genes of 3 donors" in result.stdout
    assert (out / "expression.csv").is_file()
    for bad, message in ((["--donors", "7"], "no donor '7'"), (["--mirror", "up"], "mirror 'up'"), ([], "exists")):
        place = out if not bad else tmp_path / "other"
        again = [str(one) for one in ["expression", made.folder, place, *arguments[3:], *bad]]
        result = CliRunner().invoke(app, again)
        assert result.exit_code == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probe_selection": "rnaseq"}, "RNA sequencing of two donors, which is not read here"),
        ({"probe_selection": "best"}, "probe_selection 'best' is not one of"),
        ({"donors": ["9861"]}, "compares donors, and there is one"),
        ({"donors": ["1"]}, "there is no donor '1'; there are 9861, 10021, 12876"),
        ({"sample_normalisation": "srs"}, "sample_normalisation 'srs' is not one of scaled_robust_sigmoid"),
        ({"missing": "zero"}, "missing 'zero' is not one of keep, centroids, interpolate"),
        ({"tolerance": -1}, "tolerance is -1"),
        ({"tolerance": 0.01}, "none of 120 samples lies within 0.01 mm of a region; the median distance"),
        ({"intensity_threshold": 1.5}, "intensity_threshold"),
        ({"regions": None}, "neither an atlas nor a table"),
        ({"atlas": "/nowhere.nii"}, "cannot be read"),
        ({"atlas": "/nowhere.csv"}, "No such file"),
    ],
)
def test_bad_arguments_are_refused(made, options, message):
    with pytest.raises(DataError, match=message):
        regional_expression(made.folder, **({"regions": made.regions, **WIDE} | options))


def cut_off(body):
    return body[: len(body) - 40]


def swap(old, new):
    return lambda body: body.replace(old, new, 1)


def line(number, change):
    def apply(body):
        lines = body.split(b"\n")
        lines[number - 1] = change(lines[number - 1])
        return b"\n".join(lines)

    return apply


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("MicroarrayExpression.csv", cut_off, r"MicroarrayExpression\.csv, line 91: \d+ fields, expected 31"),
        ("MicroarrayExpression.csv", line(5, lambda row: row.replace(b".", b"x", 1)), r"line 5: field 2: .* not a nu"),
        ("MicroarrayExpression.csv", line(7, lambda row: row.replace(b",", b",,", 1)), r"line 7: 32 fields"),
        ("MicroarrayExpression.csv", line(7, lambda row: row.rpartition(b",")[0]), r"line 7: 30 fields"),
        ("MicroarrayExpression.csv", line(4, lambda row: b"p" + row), r"line 4: 'p11' is no probe number"),
        ("MicroarrayExpression.csv", line(4, lambda row: b"1" + row[2:]), r"probe 1 is there twice"),
        ("MicroarrayExpression.csv", line(4, lambda row: b"777" + row[2:]), r"has no probe 11"),
        ("MicroarrayExpression.csv", line(4, lambda row: row.rpartition(b",")[0] + b",inf"), r"probe 11 .* not finite"),
        ("MicroarrayExpression.csv", line(4, lambda row: row + b"\xff"), r"line 4: field 31: .* not a number"),
        ("MicroarrayExpression.csv", lambda body: b"", r"line 1: 0 samples, and .*SampleAnnot\.csv has 30 rows"),
        ("PACall.csv", line(4, lambda row: row[:-1] + b"2"), r"PACall\.csv: probe 11 has a call that is neither"),
        ("SampleAnnot.csv", swap(b"mni_y", b"mni"), r"SampleAnnot\.csv, line 1: no column mni_y"),
        ("SampleAnnot.csv", line(3, lambda row: row.rpartition(b",")[0] + b",up"), r"line 3, column mni_z: 'up'"),
        ("SampleAnnot.csv", line(3, lambda row: b"55" + row[3:]), r"line 3: structure 55 is not in .*Ontology\.csv"),
        ("SampleAnnot.csv", swap(b"\n", b"\n\xff"), r"SampleAnnot\.csv: not UTF-8 text"),
        ("Ontology.csv", swap(b"/4005", b"/x"), r"Ontology\.csv, line 2, column structure_id_path"),
        ("Ontology.csv", swap(b",L,", b",left,"), r"Ontology\.csv, line 2, column hemisphere: 'left'"),
    ],
)  # fmt: skip
def test_bad_files_are_named_with_the_line(write_donors, tmp_path, name, change, message):
    made = write_donors(tmp_path / "donors", donors=("10021", "12876"), n_genes=30)
    made.edit("10021", name, change)
    with pytest.raises(DataError, match=message):
        regional_expression(made.folder, regions=made.regions, **WIDE)


def test_bad_tables_of_probes_and_folders_are_refused(write_donors, tmp_path, made):
    other = write_donors(tmp_path / "donors", donors=("10021", "12876"))
    good = other.file("10021", "Probes.csv").read_bytes()
    for change, message in (
        (lambda body: body.replace(b"P_2,", b"P_1,"), "probe_name P_1 is there twice"),
        (lambda body: body.replace(b"entrez_id", b"entrez"), "no column entrez_id"),
        (lambda body: b"probe_id,probe_name,gene_symbol,entrez_id\n1,P_1,G,na\n", "no probe has a gene_symbol"),
    ):
        other.file("10021", "Probes.csv").write_bytes(change(good))
        with pytest.raises(DataError, match=message):
            regional_expression(other.folder, regions=other.regions, **WIDE)
    other.file("10021", "PACall.csv").unlink()
    with pytest.raises(DataUnavailableError, match=r"normalized_microarray_donor10021 has no PACall\.csv"):
        regional_expression(other.folder, regions=other.regions, **WIDE)
    for folder, message in ((tmp_path / "nowhere", "is no folder"), (tmp_path, "has no folder normalized_microarray")):
        with pytest.raises(DataUnavailableError, match=message):
            regional_expression(folder, regions=made.regions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="label"), "regions has no column label"),
        (lambda table: table.assign(label="same"), "regions has same more than once"),
        (lambda table: table.drop(columns="id"), "regions has no column id"),
        (lambda table: table.assign(id=1), "regions has id 1 more than once"),
        (lambda table: table[1:], "has the numbers 1, which regions has not"),
        (lambda table: table.assign(id=table["id"] + 1), "has the numbers 1"),
        (lambda table: table.assign(structure="cortical"), "region 'L_cortex_0' has the structure 'cortical'"),
    ],
)
def test_regions_that_do_not_fit_the_volume_are_named(made, volume, change, message):
    with pytest.raises(DataError, match=message):
        regional_expression(made.folder, volume, change(made.regions))
