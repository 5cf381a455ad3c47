"""Tables of regions joined by label, and regions without expression: dropped, mirrored, interpolated, by name."""

import numpy as np
import pandas as pd
import pytest

from conn.data import (
    DataError,
    RegionDataset,
    assemble_regions,
    fill_expression,
    incomplete_regions,
    load_region_dataset,
    load_scans,
    read_connectome,
    read_expression,
    read_region_table,
    save_region_dataset,
)
from conn.data.simulators import simulate_gene_connectome

NAN = float("nan")


@pytest.fixture
def tables():
    """Six regions, three a hemisphere; expression, connectome and regions each in an order of their own."""
    labels = ["LH_A_1", "LH_A_2", "LH_B_1", "RH_A_1", "RH_A_2", "RH_B_1"]
    rng = np.random.default_rng(0)
    places = np.array([[-20.0, 0, 0], [-20, 30, 0], [-20, 60, 0], [20, 0, 0], [20, 30, 0], [20, 60, 0]])
    regions = pd.DataFrame({"label": labels, "hemisphere": list("LLLRRR"), "network": list("AABAAB")})
    regions[["x", "y", "z"]] = places
    expression = pd.DataFrame(rng.random((6, 3)), index=labels, columns=["SST", "PVALB", "VIP"])
    matrix = rng.random((6, 6))
    connectome = pd.DataFrame(matrix + matrix.T, index=labels, columns=labels)
    return {
        "expression": expression.iloc[::-1],
        "connectome": connectome.sample(frac=1, random_state=1),
        "regions": regions,
    }


def assembled(tables, **options):
    return assemble_regions(tables["expression"], tables["connectome"], tables["regions"], **options)


def test_tables_are_joined_by_label_in_the_order_of_the_regions(tables):
    data = assembled(tables, connectomes={"structural": tables["connectome"] * 2})
    assert data.labels == tuple(tables["regions"]["label"])
    for place, label in enumerate(data.labels):
        np.testing.assert_array_equal(data.expression[place], tables["expression"].loc[label])
        for other, source in enumerate(data.labels):
            assert data.connectome[place, other] == tables["connectome"].loc[label, source]
    np.testing.assert_array_equal(data.connectomes["structural"], data.connectome * 2)
    np.testing.assert_array_equal(data.coordinates, tables["regions"][["x", "y", "z"]])
    assert data.provenance.origin == "files"
    told = data.describe()
    assert "6 regions, 3 genes" in told
    assert "also structural" in told
    assert "licence    unknown" in told


def test_a_selection_takes_all_along_and_a_file_keeps_it(tables, tmp_path):
    data = assembled(tables, connectomes={"structural": tables["connectome"]})
    part = data.select(["RH_B_1", "LH_A_1"], genes=["VIP"])
    assert part.expression.tolist() == [[data.expression[5, 2]], [data.expression[0, 2]]]
    assert part.connectome[0, 1] == data.connectome[5, 0]
    back = load_region_dataset(save_region_dataset(part, tmp_path / "part.npz"))
    pd.testing.assert_frame_equal(back.expression_table(), part.expression_table())
    pd.testing.assert_frame_equal(back.regions, part.regions)
    np.testing.assert_array_equal(back.connectomes["structural"], part.connectomes["structural"])
    assert back.provenance == part.provenance
    for asked, message in (
        ({"labels": ["LH_A_1", "nowhere"]}, "there is no region nowhere"),
        ({"labels": ["LH_A_1", "LH_A_1"]}, "LH_A_1 is asked for more than once"),
        ({"genes": ["ACTB"]}, "there is no gene ACTB"),
        ({"genes": []}, "no gene was asked for"),
    ):
        with pytest.raises(DataError, match=message):
            data.select(**asked)


@pytest.mark.parametrize("body", [b"", b"PK\x05\x06" + bytes(18), b"no archive"])
def test_a_file_that_is_none_is_named(tmp_path, body):
    path = tmp_path / "set.npz"
    path.write_bytes(body)
    with pytest.raises(DataError, match=r"set\.npz"):
        load_region_dataset(path)


def test_a_file_of_another_kind_or_suffix_is_refused(tables, tmp_path):
    data = assembled(tables)
    with pytest.raises(DataError, match=r"must end in \.npz"):
        save_region_dataset(data, tmp_path / "set.csv")
    path = save_region_dataset(data, tmp_path / "set.npz")
    with pytest.raises(DataError, match=r"set\.npz"):
        load_scans(path)
    with pytest.raises(DataError, match=r"absent\.npz"):
        load_region_dataset(tmp_path / "absent.npz")


def test_labels_that_do_not_match_are_named_table_by_table(tables):
    tables["expression"] = tables["expression"].drop(index="LH_A_2").rename({"RH_A_1": "RH_a_1"})
    with pytest.raises(DataError) as caught:
        assembled(tables)
    message = str(caught.value)
    assert "regions lacks RH_a_1" in message
    assert "expression lacks LH_A_2, RH_A_1" in message
    assert "connectome lacks RH_a_1" in message
    data = assembled(tables, unmatched="drop")
    assert data.labels == ("LH_A_1", "LH_B_1", "RH_A_2", "RH_B_1")
    assert data.provenance.notes == ("left out, not in every table: LH_A_2, RH_A_1, RH_a_1",)
    with pytest.raises(DataError, match="no region is in all of"):
        assembled(tables | {"regions": pd.DataFrame({"label": ["x"]})}, unmatched="drop")


def test_what_is_wrong_with_a_table_is_named(tables):
    expression, connectome = tables["expression"], tables["connectome"]
    twice = expression.rename({"LH_A_2": "LH_A_1"})
    text = expression.astype(object)
    text.iloc[0, 0] = "many"
    infinite = connectome.copy()
    infinite.loc["RH_A_2", "LH_A_1"] = np.inf
    hole = connectome.copy()
    hole.loc["RH_A_2", "LH_A_1"] = NAN
    for change, message in (
        ({"expression": twice}, "expression has region LH_A_1 more than once"),
        ({"expression": expression.set_axis(["SST", "SST", "VIP"], axis=1)}, "expression has gene SST more than once"),
        ({"expression": text}, "expression does not consist of numbers"),
        ({"connectome": connectome.drop(columns="RH_B_1")}, "connectome has RH_B_1 along one axis only"),
        ({"connectome": infinite}, "connectome is infinite in region RH_A_2"),
        ({"connectome": hole}, "connectome is NaN at RH_A_2, LH_A_1 and 0 other edges"),
        ({"regions": tables["regions"].drop(columns="label")}, "regions has no column label"),
    ):
        with pytest.raises(DataError, match=message):
            assembled(tables | change)
    with pytest.raises(DataError, match="unmatched and missing_edges"):
        assembled(tables, unmatched="guess")


def test_regions_without_edges_are_named_or_left_out_by_name(tables):
    tables["connectome"] = tables["connectome"].copy()
    tables["connectome"].loc["RH_A_2"] = NAN
    tables["connectome"].loc[:, "RH_A_2"] = NAN
    with pytest.raises(DataError, match="all edges are NaN of region RH_A_2"):
        assembled(tables)
    data = assembled(tables, missing_edges="drop")
    assert "RH_A_2" not in data.labels
    assert data.provenance.notes == ("left out, without edges: RH_A_2",)


def test_every_policy_for_missing_expression_says_what_it_did(tables):
    tables["expression"] = tables["expression"].copy()
    tables["expression"].loc["RH_A_2"] = NAN
    assert incomplete_regions(tables["expression"]) == ("RH_A_2",)
    with pytest.raises(DataError, match="expression is missing in 1 regions: RH_A_2; choose"):
        assembled(tables)
    kept = assembled(tables, missing_expression="keep")
    assert kept.incomplete == ("RH_A_2",)
    assert "incomplete 1 regions: RH_A_2" in kept.describe()
    dropped = assembled(tables, missing_expression="drop")
    assert dropped.n_regions == 5
    assert dropped.connectome.shape == (5, 5)
    assert dropped.provenance.notes == ("left out, expression is missing: RH_A_2",)
    mirrored = assembled(tables, missing_expression="mirror")
    np.testing.assert_array_equal(mirrored.expression[4], mirrored.expression[1])
    assert mirrored.provenance.notes == ("expression filled (mirror): RH_A_2",)
    # The two others of the hemisphere are 30 mm away; the nearer ones of the other hemisphere do not count.
    interpolated = assembled(tables, missing_expression="interpolate")
    np.testing.assert_allclose(interpolated.expression[4], interpolated.expression[[3, 5]].mean(axis=0))
    with pytest.raises(DataError, match="policy 'zero' is not one of"):
        assembled(tables, missing_expression="zero")


def test_single_values_are_filled_and_known_ones_are_not_touched(tables):
    table = tables["expression"].copy()
    table.loc["LH_A_1", "SST"] = NAN
    for policy in ("mirror", "interpolate"):
        filled = fill_expression(table, tables["regions"], policy=policy)
        known = table.notna()
        pd.testing.assert_frame_equal(filled[known], table[known])
        assert filled.notna().all().all()


def test_mirroring_goes_by_place_before_name(tables):
    table = tables["expression"].copy()
    table.loc["RH_A_1"] = NAN
    regions = tables["regions"].copy()
    # The label RH_A_1 now lies opposite LH_A_2, as happens in Schaefer's parcellations.
    regions.loc[[3, 4], ["x", "y", "z"]] = regions.loc[[4, 3], ["x", "y", "z"]].to_numpy()
    filled = fill_expression(table, regions, policy="mirror")
    np.testing.assert_array_equal(filled.loc["RH_A_1"], table.loc["LH_A_2"])
    by_name = fill_expression(table, regions[["label"]], policy="mirror")
    np.testing.assert_array_equal(by_name.loc["RH_A_1"], table.loc["LH_A_1"])
    pairs = pd.DataFrame({"left": ["LH_B_1"], "right": ["RH_A_1"]})
    told = fill_expression(table, regions, policy="mirror", pairs=pairs)
    np.testing.assert_array_equal(told.loc["RH_A_1"], table.loc["LH_B_1"])


def test_what_cannot_be_filled_is_refused_by_name_and_never_becomes_zero(tables):
    table, regions = tables["expression"].copy(), tables["regions"]
    table.loc[["LH_A_1", "RH_A_1"]] = NAN
    with pytest.raises(DataError, match="after 'mirror' expression is still missing in RH_A_1, LH_A_1"):
        fill_expression(table, regions, policy="mirror")
    both = fill_expression(table, regions, policy="mirror_interpolate")
    assert both.notna().all().all()
    for changed, where, options, message in (
        (table.assign(VIP=NAN), regions, {"policy": "mirror"}, "no region has a value of VIP"),
        (table * NAN, regions, {"policy": "drop"}, "nothing is left"),
        (table, regions[["label"]], {"policy": "interpolate"}, "regions has no column x, y, z"),
        (table, regions.assign(x=NAN), {"policy": "interpolate"}, "RH_A_1, LH_A_1 has no coordinates"),
        (table, regions.iloc[1:], {"policy": "mirror"}, "regions has no LH_A_1"),
        (table, pd.concat([regions, regions]), {"policy": "mirror"}, "regions has LH_A_1, .* more than once"),
        (table, regions, {"policy": "mirror", "pairs": regions}, "pairs has no column left, right"),
        (table, regions, {"policy": "mirror", "pairs": pd.DataFrame({"left": ["q"], "right": ["r"]})}, "homologues"),
        (table, regions, {"policy": "interpolate", "power": 0.0}, "power is 0.0"),
    ):
        with pytest.raises(DataError, match=message):
            fill_expression(changed, where, **options)


def test_interpolation_beats_the_mean_on_maps_that_are_smooth_in_space():
    """A smooth map is found again where regions were blanked; errors over 50 genes, one seed."""
    made = simulate_gene_connectome(n_regions=120, n_genes=50, gene_noise=0.0, smoothness=80.0, rng=3)
    labels = [f"region {number}" for number in range(120)]
    regions = pd.DataFrame(made.coordinates, columns=["x", "y", "z"]).assign(label=labels)
    truth = pd.DataFrame(made.expression, index=labels, columns=[f"G{number}" for number in range(50)])
    blank = truth.copy()
    blank.iloc[::10] = NAN
    filled = fill_expression(blank, regions, policy="interpolate")
    error = ((filled - truth).iloc[::10] ** 2).to_numpy().mean()
    of_the_mean = ((truth - blank.mean()).iloc[::10] ** 2).to_numpy().mean()
    assert error < 0.6 * of_the_mean


def test_arrays_that_do_not_fit_are_refused(tables):
    data = assembled(tables)
    fields = {name: getattr(data, name) for name in data.__dataclass_fields__}
    for change, message in (
        ({"expression": data.expression[:5]}, r"expression has shape \(5, 3\), expected \(6, 3\)"),
        ({"genes": ("SST", "SST", "VIP")}, "gene SST more than once"),
        ({"coordinates": data.coordinates[:, :2]}, "coordinates has shape"),
        ({"connectomes": {"structural": np.eye(2)}}, "connectome 'structural' has shape"),
        ({"regions": data.regions.assign(label="a")}, "region a more than once"),
        ({"regions": data.regions.drop(columns="label")}, "no column label"),
    ):
        with pytest.raises(DataError, match=message):
            RegionDataset(**(fields | change))


def test_a_connectome_alone_makes_a_set_without_genes(tables):
    data = assemble_regions(None, tables["connectome"], tables["regions"])
    assert data.expression.shape == (6, 0)
    assert "6 regions, 0 genes" in data.describe()


def test_readers_give_labels_numbers_and_sides(tmp_path):
    (tmp_path / "regions.tsv").write_text(
        "\ufefflabel\themi\tMNI_X\tY\tz\tnote\na\tlh\t-1.5\t2\tn/a\tx\nb\tRight\t\t\t\t\n"
    )
    regions = read_region_table(tmp_path / "regions.tsv")
    assert list(regions.columns) == ["label", "hemisphere", "x", "y", "z"]
    assert regions["hemisphere"].tolist() == ["L", "R"]
    assert regions["x"].tolist()[0] == -1.5
    assert np.isnan(regions["z"]).all()
    (tmp_path / "expression.csv").write_text("label,SST,VIP\na,1,NA\n\nb,2e-1,\n")
    expression = read_expression(tmp_path / "expression.csv")
    assert expression.loc["b", "SST"] == 0.2
    assert expression["VIP"].isna().all()
    (tmp_path / "connectome.csv").write_text(",b,a\na,1,2\nb,3,4\n")
    assert read_connectome(tmp_path / "connectome.csv").loc["a", "b"] == 1
    (tmp_path / "plain.csv").write_text("0,5\n6,0\n")
    assert read_connectome(tmp_path / "plain.csv", labels=["a", "b"]).loc["b", "a"] == 6
    np.save(tmp_path / "plain.npy", np.array([[0, 5], [6, 0]]))
    assert read_connectome(tmp_path / "plain.npy", labels=["a", "b"]).loc["b", "a"] == 6


@pytest.mark.parametrize(
    ("read", "body", "message"),
    [
        (read_region_table, "name\n", "has 1 lines, expected at least 2"),
        (read_region_table, "network\nVis\n", "line 1: no column label"),
        (read_region_table, "label,x\na,left\n", "line 2, column x: 'left' is not a number"),
        (read_region_table, "label,id\na,1\nb,2.5\n", "line 3, column id: '2.5' is not a whole number"),
        (read_region_table, "label,hemi\na,up\n", "line 2, column hemisphere: 'up' is no hemisphere"),
        (read_region_table, "label,id\na,1\na,2\n", "region a is named more than once"),
        (read_region_table, "label,id\n,1\n", "line 2: a region has no label"),
        (read_region_table, "label,id\na\n", "line 2: 1 fields, the first line has 2"),
        (read_expression, "label\na\n", "has no gene"),
        (read_expression, "label,A,A\na,1,2\n", "gene A is named more than once"),
        (read_expression, "label,A\na,1\na,2\n", "region a is named more than once"),
        (read_expression, "label,A\na,many\n", "line 2, column A: 'many' is not a number"),
        (read_expression, "label,\na,1\n", "a gene has no name"),
        (read_connectome, "label,a,b\na,1,2\nc,1,2\n", "has b, c along one axis only"),
    ],
)
def test_a_bad_table_is_named_with_its_line(tmp_path, read, body, message):
    path = tmp_path / "table.csv"
    path.write_text(body)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_tables_are_refused(tmp_path):
    latin = tmp_path / "latin.csv"
    latin.write_bytes(b"label,A\nt\xeate,1\n")
    with pytest.raises(DataError, match=r"latin\.csv: not UTF-8 text"):
        read_expression(latin)
    with pytest.raises(DataError, match=r"absent\.csv: No such file"):
        read_region_table(tmp_path / "absent.csv")
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    np.save(tmp_path / "long.npy", np.zeros((2, 3)))
    for name, labels, message in (
        ("words.npy", ["a"], "expected numbers"),
        ("long.npy", ["a", "b"], r"has shape \(2, 3\) for 2 labels"),
        ("long.npy", None, "holds no labels"),
        ("none.npy", ["a"], "No such file"),
    ):
        with pytest.raises(DataError, match=message):
            read_connectome(tmp_path / name, labels=labels)
    (tmp_path / "square.csv").write_text("1,2\n3,4\n")
    with pytest.raises(DataError, match="region a is named more than once"):
        read_connectome(tmp_path / "square.csv", labels=["a", "a"])
