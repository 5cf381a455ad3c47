import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.neighbors import KNeighborsClassifier

from conn.eval import (
    compare_fingerprints,
    fingerprint,
    fingerprint_baselines,
    fingerprint_features,
    wilson_interval,
)


def slow_identification(connectomes, subjects, sessions):
    """Everything again by loops over scans, from the definitions."""
    n = len(connectomes)
    triangle = np.tril_indices(connectomes.shape[-1], -1)
    r = np.array(
        [[np.corrcoef(connectomes[i][triangle], connectomes[j][triangle])[0, 1] for j in range(n)] for i in range(n)]
    )
    pairs = {}
    for database, target in itertools.permutations(sorted(set(sessions)), 2):
        hits, own, other, ranks = [], [], [], []
        known = [i for i in range(n) if sessions[i] == database]
        for t in (i for i in range(n) if sessions[i] == target):
            if subjects[t] not in [subjects[d] for d in known]:
                continue
            best = max(known, key=lambda d: r[t, d])
            hits.append(subjects[best] == subjects[t])
            mine = next(r[t, d] for d in known if subjects[d] == subjects[t])
            own.append(mine)
            other += [r[t, d] for d in known if subjects[d] != subjects[t]]
            ranks.append(sum(r[t, d] > mine for d in known) + 1)
        pairs[database, target] = [np.mean(values) for values in (hits, own, other, ranks)]
    return r, pairs


@pytest.mark.parametrize("missing", [[], [0, 7]])
def test_identification_agrees_with_loops_over_scans(cohort, missing):
    connectomes, subjects, sessions = cohort(6, 3, identity=0.05, rng=3)
    keep = [i for i in range(len(subjects)) if i not in missing]
    connectomes = connectomes[keep]
    subjects, sessions = [subjects[i] for i in keep], [sessions[i] for i in keep]
    result = fingerprint(connectomes, subjects, sessions)
    r, pairs = slow_identification(connectomes, subjects, sessions)
    np.testing.assert_allclose(result.similarity, r, atol=1e-12)
    assert 0.2 < result.accuracy < 1  # hits and misses both occur, so that the test can tell
    for row in result.pairs.itertuples():
        hits, own, other, rank = pairs[row.database_session, row.target_session]
        assert row.accuracy == pytest.approx(hits)
        assert row.self_similarity == pytest.approx(own)
        assert row.other_similarity == pytest.approx(other)
        assert row.self_rank == pytest.approx(rank)
        assert row.differential_identifiability == pytest.approx(100 * (own - other))
    means = np.mean(list(pairs.values()), axis=0)
    assert result.accuracy == pytest.approx(means[0])
    assert result.self_similarity == pytest.approx(means[1])
    assert result.other_similarity == pytest.approx(means[2])


def test_identities_agree_with_the_nearest_neighbour_of_scikit_learn(cohort):
    connectomes, subjects, sessions = cohort(8, 2, identity=0.05, rng=1)
    result = fingerprint(connectomes, subjects, sessions)
    edges = np.stack([matrix[np.triu_indices(len(matrix), 1)] for matrix in connectomes])
    first = np.array(sessions) == "ses-0"
    neighbour = KNeighborsClassifier(1, metric="correlation")
    neighbour.fit(edges[first], np.array(subjects)[first])
    targets = result.targets.query("database_session == 'ses-0'")
    assert targets["identified_as"].tolist() == neighbour.predict(edges[~first]).tolist()


def test_spearman_and_cosine_are_what_their_names_say():
    features = np.random.default_rng(0).standard_normal((6, 9)) + 1
    labels = (list("aabbcc"), [1, 2] * 3)
    spearman = fingerprint_features(features, *labels, similarity="spearman").similarity
    np.testing.assert_allclose(spearman, spearmanr(features, axis=1).statistic, atol=1e-12)
    cosine = fingerprint_features(features, *labels, similarity="cosine").similarity
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(cosine, unit @ unit.T, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-150, 1e150))
def test_order_of_scans_and_units_change_nothing(seed, scale):
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((12, 15))
    subjects, sessions = np.repeat(list("abcd"), 3), np.tile(["x", "y", "z"], 4)
    order = generator.permutation(12)
    plain = fingerprint_features(features, subjects, sessions, n_bootstraps=20)
    moved = fingerprint_features(scale * features[order] - scale, subjects[order], sessions[order], n_bootstraps=20)
    pd.testing.assert_frame_equal(plain.pairs, moved.pairs)
    pd.testing.assert_frame_equal(plain.by_subject, moved.by_subject)
    assert plain.accuracy == moved.accuracy
    np.testing.assert_array_equal(moved.similarity, moved.similarity.T)
    np.testing.assert_array_equal(np.diag(moved.similarity), 1)
    assert np.abs(moved.similarity).max() <= 1


def test_planted_people_are_all_found(cohort):
    result = fingerprint(*cohort(10, 3, n_regions=20, identity=1.0, n_frames=200))
    assert result.accuracy == 1
    assert result.targets["hit"].all()
    assert (result.targets["identified_as"] == result.targets["subject"]).all()
    assert (result.by_subject["n_hits"] == 6).all()
    assert result.self_similarity > 0.8 > 0.3 > result.other_similarity
    assert result.n_features == 190
    assert result.n_subjects == 10


def test_accuracy_of_noise_is_chance_on_average(cohort):
    # 40 cohorts of noise: the mean accuracy is 1/8 with a standard error of about 0.02, so that a
    # margin of 0.08 fails by chance less than once in ten thousand seeds.
    accuracies = [fingerprint(*cohort(8, 2, identity=0, rng=seed), n_bootstraps=1).accuracy for seed in range(40)]
    assert np.mean(accuracies) == pytest.approx(1 / 8, abs=0.08)


def test_tie_for_the_first_place_is_no_hit():
    features = np.array([[1, 2, 3, 5], [1, 2, 3, 5], [1, 2, 3, 5], [1, 2, 3, 5], [9, 1, 0, 3], [9, 1, 0, 2]])
    result = fingerprint_features(features, list("aabbcc"), [1, 2] * 3)
    assert result.pairs["n_ties"].tolist() == [2, 2]
    assert result.pairs["n_hits"].tolist() == [1, 1]
    tied = result.targets[result.targets["subject"] != "c"]
    assert tied["identified_as"].isna().all()
    assert (tied["self_rank"] == 2).all()


def test_missing_subject_shrinks_the_targets_but_still_misleads(cohort):
    connectomes, subjects, sessions = cohort(4, 2)
    result = fingerprint(connectomes[:-1], subjects[:-1], sessions[:-1])  # sub-03 has no ses-1
    forth, back = result.pairs.iloc[0], result.pairs.iloc[1]
    assert (forth["database_session"], forth["n_database"], forth["n_targets"]) == ("ses-0", 4, 3)
    assert (back["database_session"], back["n_database"], back["n_targets"]) == ("ses-1", 3, 3)
    assert result.chance == pytest.approx((1 / 4 + 1 / 3) / 2)
    assert "sub-03" not in result.by_subject["subject"].tolist()


def test_intervals_are_wilson_and_a_bootstrap_over_subjects(cohort):
    connectomes, subjects, sessions = cohort(12, 2, identity=0.1, n_frames=40, rng=5)
    result = fingerprint(connectomes, subjects, sessions, n_bootstraps=4000)
    assert result.accuracy_interval == wilson_interval(result.accuracy, 12)
    row = result.pairs.iloc[0]
    assert (row["accuracy_low"], row["accuracy_high"]) == wilson_interval(row["n_hits"] / 12, 12)

    people = sorted(set(subjects))
    block = result.similarity[1::2, ::2]  # targets of ses-1, database of ses-0, same subjects
    generator = np.random.default_rng(99)
    own, other = [], []
    for _ in range(2000):
        drawn = generator.integers(0, len(people), len(people))
        own.append(block[drawn, drawn].mean())
        different = drawn[:, None] != drawn[None, :]
        other.append(block[np.ix_(drawn, drawn)][different].mean())
    # Two independent bootstraps of these sizes differ by a few hundredths of the interval's width.
    for name, slow in (("self", own), ("other", other)):
        low, high = np.percentile(slow, [2.5, 97.5])
        assert row[f"{name}_similarity_low"] == pytest.approx(low, abs=0.1 * (high - low))
        assert row[f"{name}_similarity_high"] == pytest.approx(high, abs=0.1 * (high - low))
    assert result.self_interval[0] < result.self_similarity < result.self_interval[1]
    assert result.other_interval[0] < result.other_similarity < result.other_interval[1]
    low, high = result.identifiability_interval
    assert low < result.differential_identifiability < high


def test_same_seed_gives_the_same_intervals(cohort):
    scans = cohort(5, 2)
    first, second = (fingerprint(*scans, rng=7).self_interval for _ in range(2))
    assert first == second
    assert fingerprint(*scans, rng=np.random.default_rng(7)).self_interval == first
    assert fingerprint(*scans, rng=8).self_interval != first


def test_nan_edges_are_refused_by_name_or_left_out(cohort):
    connectomes, subjects, sessions = cohort(4, 2)
    whole = fingerprint(np.delete(np.delete(connectomes, 2, 1), 2, 2), subjects, sessions)
    connectomes[3, 2, :] = connectomes[3, :, 2] = np.nan
    message = r"between regions 0 and 2 is NaN in scan 3 \(subject 'sub-01', session 'ses-1'\)"
    with pytest.raises(ValueError, match=message):
        fingerprint(connectomes, subjects, sessions)
    result = fingerprint(connectomes, subjects, sessions, nan_policy="omit")
    assert result.n_features_dropped == 11
    assert result.accuracy == whole.accuracy
    # The edges of the other scans to the lost region are left out as well.
    np.testing.assert_allclose(result.similarity, whole.similarity, atol=1e-12)
    connectomes[3] = np.nan
    with pytest.raises(ValueError, match=r"subject 'sub-01', session 'ses-1'\) lacks 66 of 66"):
        fingerprint(connectomes, subjects, sessions, nan_policy="omit")


FEATURES = np.random.default_rng(0).standard_normal((4, 5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subjects": list("aaaa"), "sessions": [1, 2, 3, 4]}, "at least two subjects, got only 'a'"),
        ({"subjects": list("abcd"), "sessions": [1] * 4}, "at least two sessions, got only '1'"),
        ({"subjects": list("aaab"), "sessions": [1, 2, 2, 1]}, "'a' occurs twice in session '2'"),
        ({"subjects": list("abac"), "sessions": [1, 1, 2, 2]}, "'1' and '2' share 1 subject"),
        ({"subjects": list("abc")}, "subjects has 3 labels for 4 scans"),
        ({"sessions": [1, 2, 1]}, "sessions has 3 labels for 4 scans"),
        ({"similarity": "euclid"}, "similarity must be one of"),
        ({"nan_policy": "propagate"}, "nan_policy must be"),
        ({"n_bootstraps": 0}, "n_bootstraps must be at least 1"),
        ({"confidence": 95}, "confidence must lie between 0 and 1"),
        ({"features": FEATURES[0]}, "shape \\(scan, feature\\)"),
        ({"features": FEATURES[:, :1]}, "at least two features"),
        ({"features": np.where(FEATURES[2, 3] == FEATURES, np.inf, FEATURES)}, "feature 3 of scan 2"),
        ({"features": np.where(FEATURES[2, 3] == FEATURES, np.nan, FEATURES)}, "feature 3 is NaN"),
        ({"features": FEATURES * [[1], [0], [1], [1]]}, "features of scan 1 .*'a'.* are equal"),
        (
            {"features": FEATURES * [[1], [0], [1], [1]], "similarity": "cosine"},
            "are zero: it has no cosine similarity",
        ),
    ],
)
def test_bad_input_is_refused_by_name(change, message):
    arguments = {"features": FEATURES, "subjects": list("aabb"), "sessions": [1, 2, 1, 2]} | change
    with pytest.raises(ValueError, match=message):
        fingerprint_features(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": FEATURES.astype(str)}, "real numbers"),
        ({"subjects": ["a", "a", None, "b"]}, "no label for scan 2"),
        ({"sessions": [1, 2, 1, np.nan]}, "no label for scan 3"),
        ({"subjects": "aabb"}, "got one string"),
    ],
)
def test_bad_types_are_refused_by_name(change, message):
    arguments = {"features": FEATURES, "subjects": list("aabb"), "sessions": [1, 2, 1, 2]} | change
    with pytest.raises(TypeError, match=message):
        fingerprint_features(**arguments)


def test_baselines_are_fingerprints_of_strength_and_variance(cohort):
    connectomes, subjects, sessions = cohort(5, 2)
    series = np.random.default_rng(1).standard_normal((10, 12, 30))
    mask = np.ones((10, 30), dtype=bool)
    mask[0, 20:] = False
    series[0, :, 20:] = np.nan
    baselines = fingerprint_baselines(connectomes, subjects, sessions, time_series=series, mask=mask)
    strength = np.stack([(matrix.sum(0) - 1) / 11 for matrix in connectomes])
    np.testing.assert_allclose(baselines["regional strength"].similarity, np.corrcoef(strength), atol=1e-12)
    variance = np.log(np.nanvar(series, axis=-1))
    np.testing.assert_allclose(baselines["regional variance"].similarity, np.corrcoef(variance), atol=1e-12)
    assert list(fingerprint_baselines(connectomes, subjects, sessions)) == ["regional strength"]


def test_comparison_has_a_row_each_and_chance(cohort):
    scans = cohort(5, 2)
    result = fingerprint(*scans)
    table = compare_fingerprints({"connectome": result, **fingerprint_baselines(*scans)})
    assert table["method"].tolist() == ["connectome", "regional strength", "chance"]
    assert table["accuracy"].tolist()[::2] == [result.accuracy, 0.2]
    assert table["n_features"].tolist()[:2] == [66, 12]
    with pytest.raises(ValueError, match="at least one fingerprint"):
        compare_fingerprints({})
    with pytest.raises(ValueError, match="'b' and 'a' are fingerprints of different scans"):
        compare_fingerprints({"a": result, "b": fingerprint(*cohort(4, 2))})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_series": None, "mask": np.ones((4, 9), bool)}, "time_series is missing"),
        ({"time_series": np.ones((4, 2, 9))}, "got \\(4, 2, 9\\)"),
        ({"mask": np.ones((4, 8), bool)}, "mask must be boolean"),
        ({"mask": np.eye(4, 9, dtype=bool)}, "scan 0 has 1 measured frames"),
        ({"time_series": np.ones((4, 3, 9))}, "region 0 of scan 0 has the variance 0.0"),
    ],
)
def test_bad_series_of_the_baselines_are_refused(change, message):
    generator = np.random.default_rng(0)
    connectomes = [np.corrcoef(scan) for scan in generator.standard_normal((4, 3, 9))]
    arguments = {"time_series": generator.standard_normal((4, 3, 9))} | change
    with pytest.raises(ValueError, match=message):
        fingerprint_baselines(connectomes, list("aabb"), [1, 2, 1, 2], **arguments)
    with pytest.raises(TypeError, match="real numbers"):
        fingerprint_baselines(connectomes, list("aabb"), [1, 2, 1, 2], time_series=[["text"]])


@pytest.mark.realdata
def test_midnight_scan_club_identifies_everyone(midnight_scan_club):
    connectomes, subjects, sessions, series = midnight_scan_club
    result = fingerprint(connectomes, subjects, sessions)
    assert len(result.pairs) == 6
    assert (result.pairs["accuracy"] == 1).all()
    assert result.pairs["self_similarity"].between(0.715, 0.775).all()
    assert result.pairs["other_similarity"].round(2).eq(0.47).any()
    assert result.other_similarity == pytest.approx(0.47, abs=0.005)
    # What the connectome has to be compared with: regional variance alone nearly does as well.
    baselines = fingerprint_baselines(connectomes, subjects, sessions, time_series=series)
    assert baselines["regional variance"].accuracy > 0.9
    assert 0.7 < baselines["regional strength"].accuracy < 0.9
