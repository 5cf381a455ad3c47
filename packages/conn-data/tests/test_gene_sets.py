"""Sets with expression and connectomes, on generated folders: what their loaders read and refuse."""

import io

import numpy as np
import pytest
from scipy.io import savemat

from conn.data import (
    DataError,
    DataUnavailableError,
    load_gene_expression_ahba,
    load_geneex2conn_connectomes,
    read_geneex2conn,
)
from conn.data.matlab import parse_matlab_matrix

SUBCORTICAL = [side + name for side in "LR" for name in ("accumb", "amyg", "caud", "hippo", "pal", "put", "thal")]


@pytest.fixture
def allen(tmp_path):
    """The folder of the Allen set, and the arrays of its file of 100 regions, to be changed and written again."""
    folder = tmp_path / "gene-expression-ahba"
    folder.mkdir()
    rng = np.random.default_rng(0)
    labels = [f"7Networks_{side}H_Vis_{number}" for side in "LR" for number in range(1, 51)] + SUBCORTICAL
    matrix = rng.random((114, 114))
    arrays = {
        "expression": rng.random((114, 3)).astype(np.float32),
        "genes": np.array(["SST", "PVALB", "VIP"]),
        "regions": np.array(labels),
        "fc": matrix + matrix.T,
        "sc": matrix @ matrix.T,
        "conn_regions": np.array(labels),
    }

    def write(**changes):
        kept = {name: array for name, array in (arrays | changes).items() if array is not None}
        np.savez(folder / "ahba_r0.6_schaefer100_with_hcp_connectivity.npz", **kept)
        return {"data_dir": tmp_path}

    return arrays, write


def test_expression_and_connectomes_are_joined_by_label_whatever_their_order(allen):
    arrays, write = allen
    order = np.random.default_rng(1).permutation(114)
    where = write(
        conn_regions=arrays["conn_regions"][order], fc=arrays["fc"][np.ix_(order, order)],
        sc=arrays["sc"][np.ix_(order, order)],
    )  # fmt: skip
    data = load_gene_expression_ahba(**where)
    np.testing.assert_array_equal(data.connectome, arrays["fc"])
    np.testing.assert_array_equal(data.connectomes["structural"], arrays["sc"])
    assert data.regions["hemisphere"].tolist() == ["L"] * 50 + ["R"] * 50 + ["L"] * 7 + ["R"] * 7
    assert np.isnan(data.coordinates).all()
    assert any("Schaefer table was not at hand" in note for note in data.provenance.notes)


def test_what_is_wrong_with_the_file_is_named(allen):
    arrays, write = allen
    renamed = arrays["conn_regions"].copy()
    renamed[3] = "7Networks_LH_Vis_99"
    for changes, message in (
        ({"sc": None}, "has no array 'sc'"),
        ({"fc": arrays["fc"][:5]}, r"fc has shape \(5, 114\)"),
        ({"genes": np.arange(3)}, "genes is no list of words"),
        ({"regions": arrays["regions"][:9]}, "regions has 9 labels, expected 114"),
        ({"conn_regions": renamed}, "expression lacks 7Networks_LH_Vis_99; connectome lacks 7Networks_LH_Vis_4"),
    ):
        with pytest.raises(DataError, match=message):
            load_gene_expression_ahba(**write(**changes))
    with pytest.raises(DataError, match="n_regions is 200; there are 100 and 400"):
        load_gene_expression_ahba(200)


@pytest.fixture
def lemon(tmp_path):
    """A folder with iPA_183 alone."""
    folder = tmp_path / "geneex2conn-connectomes"
    folder.mkdir()
    np.save(folder / "BHA2_iPA_183_fc_mean.npy", np.full((183, 183), 0.5, dtype=np.float32))
    lines = ["ROI_number,X_MNI,Y_MNI,Z_MNI,VOL,Frontal_L,Frontal_R,Subcortical_L,Subcortical_R"]
    lines += [f"{number},1.5,2,3,700,0.1,0.3,0.4,0.2" for number in range(1, 184)]
    (folder / "iPA_183.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_regions_without_labels_are_named_by_number_and_placed_by_their_shares(lemon):
    data = load_geneex2conn_connectomes("iPA_183", data_dir=lemon.parent)
    assert data.labels[:2] == ("iPA_183-001", "iPA_183-002")
    first = data.regions.iloc[0]
    assert (first["hemisphere"], first["lobe"], first["structure"]) == ("L", "Subcortical", "subcortex")
    assert first["right_share"] == 0.5
    assert data.coordinates[0].tolist() == [1.5, 2, 3]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ROI_number", "number", "line 1: no column ROI_number"),
        ("\n7,", "\nseven,", "line 8, column id: 'seven' is not a whole number"),
        ("\n7,", "\n8,", "region iPA_183-008 is named more than once"),
        ("\n183,1.5,2,3,700,0.1,0.3,0.4,0.2", "", "has 182 regions, expected 183"),
        ("\n7,1.5,2,3,700,0.1", "\n7,1.5,2,3,700,much", "the share of a lobe is no number"),
    ],
)
def test_what_is_wrong_with_a_table_of_regions_is_named(lemon, old, new, message):
    path = lemon / "iPA_183.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        load_geneex2conn_connectomes("iPA_183", data_dir=lemon.parent)


def test_an_unknown_parcellation_or_a_table_without_columns_is_refused(lemon):
    with pytest.raises(DataError, match="no parcellation 'S200'; there are S156, iPA_183"):
        load_geneex2conn_connectomes("S200", data_dir=lemon.parent)
    np.save(lemon / "UKBB_S156_FC_mu.npy", np.eye(156))
    (lemon / "atlas-4S156Parcels_dseg_reformatted.csv").write_text("label,structure\na,cortex\n")
    with pytest.raises(DataError, match="line 1: no column label_7network, network_label"):
        load_geneex2conn_connectomes(data_dir=lemon.parent)


def table_of_4s(size):
    columns = "index,label,network_label,label_7network,id,hemisphere,structure,mni_x,mni_y,mni_z"
    lines = [columns, *(f"{n},LH_Vis_{n},Vis,7Networks_LH_Vis_{n},{n},L,cortex,{n},2,3" for n in range(1, size))]
    return "\n".join([*lines, f"{size},Cerebellar_Region1,,Cerebellum,{size},B,subcortex,1,2,3"]) + "\n"


@pytest.fixture
def checkout(tmp_path):
    """A checkout in the source's layout: every connectome that it may have, with values that tell the rows."""
    files = {
        "UKBB/UKBB_S156_FC_mu.csv": 156, "enigma/schaef114_functional_conn.csv": 114,
        "enigma/schaef114_structural_conn.csv": 114, "BHA2/iPA_183/fc/fc_mean.csv": 183,
        "BHA2/iPA_391/fc/fc_mean.csv": 391, "HCP1200/4S456_DTI_count.mat": 456,
    }  # fmt: skip
    for name, size in files.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.add.outer(np.arange(size), np.arange(size))
        if path.suffix == ".mat":
            savemat(path, {"connectivity": values})
        else:
            header = ",".join(str(number) for number in range(size)) if "UKBB" in name else ""
            np.savetxt(path, values, fmt="%d", delimiter=",", header=header, comments="")
    atlases = tmp_path / "data" / "atlases"
    atlases.mkdir()
    for size in (156, 456):
        (atlases / f"atlas-4S{size}Parcels_dseg_reformatted.csv").write_text(table_of_4s(size))
    for size in (183, 391):
        lines = ["ROI_number,X_MNI,Y_MNI,Z_MNI,VOL,Frontal_L,Frontal_R"]
        lines += [f"{number},1,2,3,700,1,0" for number in range(1, size + 1)]
        (tmp_path / "data" / "BHA2" / f"iPA_{size}" / f"iPA_{size}.csv").write_text("\n".join(lines))
    (tmp_path / "data" / "enigma" / "schaef114_regions.txt").write_text("\n".join(f"R{n}" for n in range(114)))
    return tmp_path


@pytest.mark.parametrize(
    ("dataset", "parcellation", "size", "first"),
    [
        ("UKBB", "S156", 156, "7Networks_LH_Vis_1"),
        ("HCP", "S456", 456, "7Networks_LH_Vis_1"),
        ("HCP", "S100", 114, "R0"),
        ("BHA2", "iPA_183", 183, "iPA_183-001"),
        ("BHA2", "iPA_391", 391, "iPA_391-001"),
    ],
)
def test_a_checkout_of_the_source_is_read_in_its_layout(checkout, tmp_path, dataset, parcellation, size, first):
    data = read_geneex2conn(checkout, dataset, parcellation)
    assert (data.n_regions, data.labels[0]) == (size, first)
    np.testing.assert_array_equal(data.connectome, np.add.outer(np.arange(size), np.arange(size)))
    assert list(data.connectomes) == (["structural"] if parcellation == "S100" else [])
    assert any("without labels: its order is taken to be" in note for note in data.provenance.notes)
    path = tmp_path / "expression.csv"
    path.write_text("label,SST\n" + "".join(f"{label},{place}\n" for place, label in enumerate(data.labels[5:1:-1])))
    some = read_geneex2conn(checkout, dataset, parcellation, expression=path, unmatched="drop")
    assert some.labels == data.labels[2:6]
    assert some.expression[:, 0].tolist() == [3, 2, 1, 0]
    np.testing.assert_array_equal(some.connectome, data.connectome[2:6, 2:6])


def test_what_is_wrong_with_a_checkout_is_named(checkout):
    with pytest.raises(DataError, match="no connectome of UKBB in S456; there are UKBB S156, HCP S456"):
        read_geneex2conn(checkout, "UKBB", "S456")
    matrix = checkout / "data" / "BHA2" / "iPA_183" / "fc" / "fc_mean.csv"
    whole = matrix.read_text()
    for body, message in (
        (whole + whole, r"fc_mean.csv has shape \(366, 183\), expected \(183, 183\)"),
        (whole[: whole.rindex("364")] + "many\n", "fc_mean.csv, line 183, column 183: 'many' is not a number"),
    ):
        matrix.write_text(body)
        with pytest.raises(DataError, match=message):
            read_geneex2conn(checkout, "BHA2", "iPA_183")
    matrix.unlink()
    with pytest.raises(DataUnavailableError, match=r"fc_mean\.csv is absent"):
        read_geneex2conn(checkout, "BHA2", "iPA_183")
    counts = checkout / "data" / "HCP1200" / "4S456_DTI_count.mat"
    for values, message in (
        ({"other": np.eye(456)}, "has no variable 'connectivity'"),
        ({"connectivity": "words"}, "variable 'connectivity' does not hold real numbers"),
        ({"connectivity": np.eye(5)}, r"has shape \(5, 5\), expected \(456, 456\)"),
    ):
        savemat(counts, values)
        with pytest.raises(DataError, match=message):
            read_geneex2conn(checkout, "HCP", "S456")
    whole = counts.read_bytes()
    for body, message in (
        (b"", r"4S456_DTI_count\.mat has no variable"),
        (b"no MATLAB file" * 20, "is no MATLAB file of version 4"),
        (whole[:160], r"4S456_DTI_count\.mat cannot be read"),
    ):
        counts.write_bytes(body)
        with pytest.raises(DataError, match=message):
            read_geneex2conn(checkout, "HCP", "S456")


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}], ids=["5", "5z", "4"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i2", "u1", "i4"])
def test_matlab_files_are_read_as_scipy_writes_them(dtype, options):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    stream = io.BytesIO()
    named = {"first": "words", "connectivity": values, "last": np.eye(2) * 1j}
    savemat(stream, named, **options)
    np.testing.assert_array_equal(parse_matlab_matrix(stream.getvalue(), "x", "connectivity"), values)
    for name, message in (("first", "does not hold real numbers"), ("last", "real numbers"), ("none", "no variable")):
        with pytest.raises(DataError, match=message):
            parse_matlab_matrix(stream.getvalue(), "x", name)
