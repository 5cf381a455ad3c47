"""Folds: compact, balanced, disjoint, of those who belong together, and the same after a file."""

import csv
import json
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_score

from conn.data import DataError, homologues
from conn.data.splits import (
    Folds,
    community_folds,
    homologous_groups,
    label_folds,
    load_folds,
    nested_folds,
    random_folds,
    region_pairs,
    save_folds,
    spatial_folds,
    subject_folds,
    time_folds,
)


@pytest.fixture(scope="module")
def brain():
    """Points of two mirrored hemispheres, 100 on each side, nowhere exactly symmetric."""
    rng = np.random.default_rng(0)
    right = np.abs(rng.normal(size=(100, 3))) * [30, 0, 0] + [5, 0, 0] + rng.normal(size=(100, 3)) * [0, 40, 30]
    left = right * [-1, 1, 1] + rng.normal(scale=0.5, size=(100, 3))
    return np.concatenate([left, right])


def each_tested_once(folds):
    return np.array_equal(np.sort(np.concatenate(folds.test)), np.arange(folds.n_items))


def test_random_folds_test_every_item_once_and_repeat_with_the_seed():
    folds = random_folds(23, 4, rng=3)
    assert each_tested_once(folds)
    assert sorted(map(len, folds.test)) == [5, 6, 6, 6]
    assert all(np.array_equal(a, b) for a, b in zip(folds.test, random_folds(23, 4, rng=3).test, strict=True))
    assert not np.array_equal(folds.test[0], random_folds(23, 4, rng=4).test[0])


@pytest.mark.parametrize("seed", [0, 42])
def test_legacy_random_folds_are_those_of_scikit_learn(seed):
    ours = list(random_folds(103, 4, rng=seed, legacy=True).split())
    theirs = list(KFold(4, shuffle=True, random_state=seed).split(np.zeros(103)))
    for (train, test), (their_train, their_test) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(test, their_test)


def test_a_splitter_goes_where_scikit_learn_takes_one():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    y = x @ [1.0, 2.0] + 0.01 * rng.normal(size=40)
    assert (cross_val_score(LinearRegression(), x, y, cv=random_folds(40, 5)) > 0.99).all()
    assert random_folds(40, 5).get_n_splits(x, y) == 5
    with pytest.raises(DataError, match="y has 39 rows, the folds are of 40"):
        list(random_folds(40, 5).split(x, y[:39]))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 60), n_folds=st.integers(2, 9), seed=st.integers(0, 99), flat=st.booleans())
def test_spatial_folds_are_balanced_whatever_the_points(n, n_folds, seed, flat):
    points = np.random.default_rng(seed).normal(size=(n, 3)).round(0 if flat else 6)
    if n_folds > n:
        with pytest.raises(DataError, match="folds are more than"):
            spatial_folds(points, n_folds, rng=seed)
        return
    folds = spatial_folds(points, n_folds, rng=seed)
    assert each_tested_once(folds)
    sizes = [len(test) for test in folds.test]
    assert max(sizes) - min(sizes) <= 1


def spread(points, folds):
    return np.mean([np.square(points[test] - points[test].mean(axis=0)).sum(axis=1).mean() for test in folds.test])


def test_spatial_folds_are_compacter_than_greedy_and_random_ones(brain):
    for seed in range(5):
        compact = spread(brain, spatial_folds(brain, 4, rng=seed))
        assert compact < 0.95 * spread(brain, spatial_folds(brain, 4, rng=seed, legacy=True))
        assert compact < 0.7 * spread(brain, random_folds(200, 4, rng=seed))
    assert not np.array_equal(spatial_folds(brain, rng=0).test[0], spatial_folds(brain, rng=1).test[0])


def test_counterparts_are_the_same_as_those_of_the_table(brain):
    regions = pd.DataFrame(brain, columns=["x", "y", "z"]).assign(label=[str(place) for place in range(200)])
    regions["hemisphere"] = np.where(brain[:, 0] < 0, "L", "R")
    pairs = homologues(regions, method="centroid", largest_distance=15.0)
    groups = homologous_groups(brain, tolerance=15.0)
    together = {tuple(np.flatnonzero(groups == group)) for group in groups if (groups == group).sum() == 2}
    assert together == {tuple(sorted(pair)) for pair in pairs[["left_place", "right_place"]].to_numpy().tolist()}


def test_a_region_without_counterpart_leaves_its_neighbours_in_their_pairs():
    # Nearest in sum without a limit: 0 with 4, 1 with 5 and 2 with 3, all 12 mm off or more.
    points = [[-30, 0, 0], [-30, 12, 0], [-30, 60, 0], [30, 40, 0], [30, 12, 0], [30, 0, 0], [0, 5, 5]]
    assert homologous_groups(points).tolist() == [0, 1, 2, 3, 1, 0, 4]


def test_counterparts_are_found_and_stay_together(brain):
    groups = homologous_groups(brain)
    assert np.mean(groups[:100] == groups[100:]) > 0.95
    folds = spatial_folds(brain, 4, groups=groups)
    assert each_tested_once(folds)
    for train, test in folds.split():
        assert not np.intersect1d(groups[train], groups[test]).size
    sizes = [len(test) for test in folds.test]
    assert max(sizes) - min(sizes) <= 4
    laid_over = np.column_stack([np.abs(brain[:, 0]), brain[:, 1:]])
    assert spread(laid_over, folds) < 0.8 * spread(laid_over, random_folds(200, 4))


def test_a_buffer_keeps_training_away_from_the_test_regions(brain):
    folds = spatial_folds(brain, 4, buffer=15.0)
    for train, test in folds.split():
        distance = np.linalg.norm(brain[train, None] - brain[test], axis=-1)
        assert distance.min() >= 15
        left_out = np.setdiff1d(np.arange(200), np.concatenate([train, test]))
        assert left_out.size
        assert (np.linalg.norm(brain[left_out, None] - brain[test], axis=-1).min(axis=1) < 15).all()


def test_legacy_spatial_folds_take_the_nearest_neighbours_of_random_seeds():
    points = np.random.default_rng(1).normal(size=(11, 3))
    # The same rule, spelled out with sets, seed by seed.
    state, left, expected = np.random.RandomState(42), set(range(11)), []
    for fold in range(4):
        seed = state.choice(sorted(left))
        near = sorted(left, key=lambda one: (np.linalg.norm(points[one] - points[seed]), one))
        expected.append(sorted(near[: len(left) if fold == 3 else 2]))
        left -= set(expected[-1])
    assert [test.tolist() for test in spatial_folds(points, 4, rng=42, legacy=True).test] == expected
    assert list(map(len, expected)) == [2, 2, 2, 5]


@pytest.mark.realdata
def test_legacy_folds_give_the_reference_scores_of_distance_decay(real_data):
    """The published protocol's scores, which a fold with one other region would not give."""
    from scipy.optimize import curve_fit

    folder = real_data("geneex2conn-connectomes")
    connectome = np.load(folder / "UKBB_S156_FC_mu.npy").astype(float)[:100, :100]
    with next(folder.glob("atlas-4S156*.csv")).open(newline="") as stream:
        rows = list(csv.DictReader(stream))[:100]
    points = np.array([[float(row[axis]) for axis in ("mni_x", "mni_y", "mni_z")] for row in rows])
    folded = points * np.where(points[:, :1] > 0, [-1.0, 1.0, 1.0], 1.0)
    distance = np.linalg.norm(folded[:, None] - folded, axis=-1)

    def decay(d, a, scale):
        return a + (1 - a) * np.exp(-d / scale)

    def scores(folds):
        for train, test in folds.split():
            pairs = region_pairs(train, test, directed=True)
            learned, judged = pairs.within_train.T, pairs.within_test.T
            fitted, _ = curve_fit(
                decay, distance[*learned], connectome[*learned], p0=(0, 10), bounds=([-1, 1e-9], [1, 100])
            )
            yield np.corrcoef(decay(distance[*judged], *fitted), connectome[*judged])[0, 1]

    random = list(scores(random_folds(100, 4, rng=42, legacy=True)))
    np.testing.assert_allclose(random, [0.432257, 0.284432, 0.379426, 0.491257], atol=2e-5)
    spatial = list(scores(spatial_folds(points, 4, rng=42, legacy=True)))
    np.testing.assert_allclose(spatial, [0.581889, 0.518521, 0.352305, 0.401529], atol=2e-5)


def test_a_thousand_regions_are_divided_far_within_a_second():
    points = np.random.default_rng(0).normal(size=(1000, 3)) * 40
    begin = time.process_time()
    spatial_folds(points, 4, groups=homologous_groups(points), buffer=10.0)
    # It takes 0.02 s; the generous bound catches a change of the algorithm's order only.
    assert time.process_time() - begin < 1


def test_label_folds_leave_one_network_out_each():
    folds = label_folds(["Vis", "Default", "Vis", "Default", "Cont", "Cont"])
    assert folds.names == ("Vis", "Default", "Cont")
    assert [test.tolist() for test in folds.test] == [[0, 2], [1, 3], [4, 5]]
    assert label_folds(["Frontal"] * 2 + ["Temporal"] * 3, of="lobe").method == "lobe"


def test_community_folds_find_planted_blocks_and_ignore_negative_weights():
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(4), 10)
    weights = np.where(block[:, None] == block, 0.5, -0.1) + 0.05 * rng.normal(size=(40, 40))
    folds = community_folds((weights + weights.T) / 2)
    assert sorted(test.tolist() for test in folds.test) == [list(range(k, k + 10)) for k in (0, 10, 20, 30)]
    with pytest.raises(DataError, match=r"each community needs at least 2 regions; too small: 2 \(1\)"):
        community_folds(np.pad(np.kron(np.eye(2), np.ones((3, 3))), (0, 1)))
    with pytest.raises(DataError, match="one community only"):
        community_folds(np.ones((4, 4)))


def test_louvain_folds_without_networkx_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError, match=r"conn-data\[communities\]"):
        community_folds(np.ones((4, 4)))


def test_people_and_families_are_never_torn_apart_and_strata_are_even():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(120), 2)
    family = rng.integers(0, 60, 120)[person]
    patient = (rng.random(120) < 0.25)[person]
    folds = subject_folds(person.tolist(), 5, families=family.tolist(), strata=patient.tolist())
    assert each_tested_once(folds)
    for train, test in folds.split():
        assert not np.intersect1d(family[train], family[test]).size
        assert not np.intersect1d(person[train], person[test]).size
        assert abs(patient[test].mean() - patient.mean()) < 0.06
        assert abs(len(test) - 48) <= 8
    # A missing family is a family by itself, and one person may link two families.
    linked = subject_folds(["a", "b", "b", "c", "d"], 2, families=["x", "x", "y", "y", float("nan")])
    assert sorted(test.tolist() for test in linked.test) == [[0, 1, 2, 3], [4]]
    assert len(subject_folds(list(range(5)), 5).test) == 5


@settings(max_examples=25, deadline=None)
@given(n=st.integers(10, 80), n_folds=st.integers(2, 5), gap=st.integers(0, 2), forward=st.booleans())
def test_frames_of_training_keep_the_gap(n, n_folds, gap, forward):
    if n // (n_folds + forward) <= gap:
        return
    folds = time_folds(n, n_folds, gap=gap, forward=forward)
    for train, test in folds.split():
        assert np.array_equal(test, np.arange(test[0], test[-1] + 1))
        assert np.abs(train[:, None] - test).min() == gap + 1
        assert not forward or train.max() < test.min()
    assert forward or each_tested_once(folds)


def test_no_gap_is_needed_between_runs():
    folds = time_folds(12, 3, gap=2, runs=[0] * 4 + [1] * 8)
    assert folds.train[0].tolist() == list(range(4, 12))
    assert folds.train[1].tolist() == [0, 1, 2, 3, 10, 11]


def test_inner_folds_stay_within_training_and_keep_the_gap_over_missing_frames():
    nested = nested_folds(time_folds(60, 3, gap=2), lambda train: time_folds(train, 4, gap=2))
    for train, inner in zip(nested.train, nested.inner, strict=True):
        for learned, judged in inner.split():
            assert np.isin(np.concatenate([learned, judged]), train).all()
            assert np.abs(learned[:, None] - judged).min() > 2
    with pytest.raises(DataError, match="inner folds are of 9 items, expected 8"):
        nested_folds(random_folds(12, 3), lambda train: random_folds(9, 2))


def test_pairs_are_complete_and_disjoint():
    pairs = region_pairs([4, 0, 2], [1, 3])
    together = np.concatenate([pairs.within_train, pairs.train_test, pairs.within_test])
    assert sorted(map(tuple, together.tolist())) == [(i, j) for i in range(5) for j in range(i + 1, 5)]
    both = region_pairs([4, 0, 2], [1, 3], directed=True)
    together = np.concatenate([both.within_train, both.train_test, both.within_test])
    assert sorted(map(tuple, together.tolist())) == [(i, j) for i in range(5) for j in range(5) if i != j]
    assert region_pairs([0], [1]).within_test.shape == (0, 2)


def test_folds_survive_a_file_and_know_their_labels(tmp_path, brain):
    labels = [f"region {place}" for place in range(200)]
    folds = nested_folds(spatial_folds(brain, 3), lambda train: spatial_folds(brain[train], 2, rng=1))
    path = save_folds(folds, tmp_path / "new" / "folds.json", labels=labels)
    again = load_folds(path, labels=labels)
    assert again.names == folds.names
    assert again.settings == folds.settings
    for one, other in zip((folds, *folds.inner), (again, *again.inner), strict=True):
        for a, b in zip((*one.train, *one.test), (*other.train, *other.test), strict=True):
            np.testing.assert_array_equal(a, b)
    assert "region 0" not in path.read_text()
    assert [entry.name for entry in path.parent.iterdir()] == ["folds.json"]
    with pytest.raises(DataError, match="give those of the table at hand"):
        load_folds(path)
    with pytest.raises(DataError, match="same labels in another order"):
        load_folds(path, labels=labels[::-1])
    with pytest.raises(DataError, match="written for other labels"):
        load_folds(path, labels=["x", *labels[1:]])
    with pytest.raises(DataError, match="there are 199 labels, the folds are of 200"):
        load_folds(path, labels=labels[1:])
    with pytest.raises(DataError, match="'region 1' stands twice"):
        save_folds(folds, path, labels=["region 1", *labels[1:]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON text"),
        ("\xff", "is not JSON text"),
        ("[" * 5000, "is not JSON text"),
        ("[]", "is not a file of save_folds"),
        ('{"format": "other"}', "is not a file of save_folds"),
    ],
)
def test_a_file_that_is_none_of_folds_is_refused(tmp_path, text, message):
    path = tmp_path / "folds.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        load_folds(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("n_items", None, "n_items is None"),
        ("n_items", 3, "items lie from"),
        ("folds", [], "0 training sets"),
        ("folds", 3, "not a file of save_folds"),
        ("folds", [{"name": "0", "train": [0], "test": [0]}], "item 0 is in both"),
        ("folds", [{"name": "0", "train": [0.5], "test": [1]}], "at least one whole number"),
        ("folds", [{"name": "0", "train": [0, [1]], "test": [2]}], "not a file of save_folds"),
        ("folds", [{"name": "0", "train": [1, 1], "test": [2]}], "listed twice"),
        ("folds", [{"name": "0", "train": [0]}], "the field 'test' is missing"),
    ],
)
def test_a_damaged_file_is_refused_by_field(tmp_path, field, value, message):
    path = save_folds(random_folds(6, 2), tmp_path / "folds.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {field: value}))
    with warnings.catch_warnings(), pytest.raises(DataError, match=message):
        load_folds(path)


def test_folds_whose_parts_do_not_fit_are_refused(tmp_path):
    folds = random_folds(6, 2)
    with pytest.raises(DataError, match="1 inner folds do not fit 2 folds"):
        Folds(n_items=6, train=folds.train, test=folds.test, names=folds.names, method="m", inner=(folds,))
    with pytest.raises(DataError, match="which is not in training"):
        Folds(n_items=6, train=folds.train, test=folds.test, names=folds.names, method="m", inner=(folds, folds))
    with pytest.raises(DataError, match=r"must end in \.json"):
        save_folds(folds, tmp_path / "folds.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        save_folds(folds, tmp_path / "file" / "folds.json")
    with pytest.raises(DataError, match="cannot be read"):
        load_folds(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random_folds(3, 4), "4 folds are more than 3 items"),
        (lambda: random_folds(3, 1), "n_folds is 1"),
        (lambda: random_folds(5, 2, rng=None, legacy=True), "need rng as a seed"),
        (lambda: spatial_folds(np.zeros((4, 2))), r"coordinates has shape \(4, 2\), expected \(region, 3\)"),
        (lambda: spatial_folds([[np.nan, 0, 0]] * 4, 2), r"coordinates holds nan at \(0, 0\)"),
        (lambda: spatial_folds([["a", 0, 0]] * 4, 2), "does not consist of numbers"),
        (lambda: spatial_folds(np.zeros((4, 3)), 2, groups=[1, 2]), "groups has 2 entries, coordinates has 4"),
        (lambda: spatial_folds(np.zeros((4, 3)), 3, groups=[1, 1, 2, 2]), "3 folds are more than 2 groups"),
        (lambda: spatial_folds(np.zeros((4, 3)), 2, buffer=1), "leaves no region to train on"),
        (lambda: spatial_folds(np.zeros((4, 3)), 2, buffer=-1), "buffer is -1"),
        (lambda: spatial_folds(np.zeros((4, 3)), 2, buffer=1, legacy=True), "neither groups nor a buffer"),
        (lambda: label_folds(["a", "a"]), "one network only: a"),
        (lambda: label_folds(["a", ""]), "region 1 has no network"),
        (lambda: label_folds(["a", "a", "b"]), r"at least 2 regions; too small: b \(1\)"),
        (lambda: community_folds(np.ones((2, 3))), "expected a square matrix"),
        (lambda: community_folds([[0, 1], [0, 0]]), "connectome is not symmetric"),
        (lambda: subject_folds([]), "there are no subjects"),
        (lambda: subject_folds(["a", None], 2), "row 1 has no subject"),
        (lambda: subject_folds(["a", "b"], 2, strata=["x"]), "strata has 1 entries, subjects has 2"),
        (lambda: subject_folds(["a", "b"], 2, strata=["x", ""]), "row 1 has no stratum"),
        (lambda: subject_folds(["a", "b"], 2, families=[1, 1]), "2 folds are more than 1 families"),
        (lambda: subject_folds(["a", "b"], 3), "3 folds are more than 2 subjects"),
        (lambda: time_folds(10, 5, gap=3), "gap of 3 frames is longer than a block of 2"),
        (lambda: time_folds(4, 5), "5 blocks are more than 4 frames"),
        (lambda: time_folds(6, 2, gap=3), "leaves nothing to train on"),
        (lambda: time_folds([3, 2, 1]), "ascending numbers"),
        (lambda: time_folds(10, 2, runs=[0]), "runs has shape"),
        (lambda: region_pairs([0, 1], [1]), "region 1 is in both"),
        (lambda: region_pairs([0, 0], [1]), "train lists a region twice"),
        (lambda: region_pairs([0], [-1]), "test must be a list"),
    ],
)
def test_folds_that_cannot_be_are_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()
