import itertools

import numpy as np
import pytest
from scipy.stats import binom, kstest

from conn.eval import fingerprint, fingerprint_features, identification_null

STATISTICS = ["accuracy", "differential_identifiability"]


def all_relabellings(features, subjects, sessions, statistic):
    """The statistic under every way to permute the identities within the sessions."""
    subjects, sessions = np.array(subjects), np.array(sessions)
    members = [np.flatnonzero(sessions == name) for name in np.unique(sessions)]
    values = []
    for orders in itertools.product(*(itertools.permutations(m) for m in members)):
        relabelled = subjects.copy()
        for scans, order in zip(members, orders, strict=True):
            relabelled[scans] = subjects[list(order)]
        result = fingerprint_features(features, relabelled, sessions, n_bootstraps=1)
        values.append(getattr(result, statistic))
    return np.array(values)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("missing", [[6, 7], [7]])
def test_null_is_a_sample_of_all_relabellings(statistic, missing):
    features = np.random.default_rng(4).standard_normal((8, 6)) + np.repeat(
        np.random.default_rng(5).standard_normal((4, 6)), 2, axis=0
    )
    keep = [i for i in range(8) if i not in missing]
    subjects = [list("aabbccdd")[i] for i in keep]
    sessions = [([1, 2] * 4)[i] for i in keep]
    result = fingerprint_features(features[keep], subjects, sessions)
    every = all_relabellings(features[keep], subjects, sessions, statistic)
    null = identification_null(result, statistic=statistic, n_permutations=4000)
    assert null.observed == pytest.approx(getattr(result, statistic))
    assert np.abs(null.null[:, None] - every[None, :]).min(axis=1).max() < 1e-9
    # 4000 draws: a standard error of at most 0.008, so that 0.04 fails once in a million seeds.
    exact = np.mean(every >= null.observed - 1e-9)
    assert null.p_value == pytest.approx(exact, abs=0.04)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_p_value_is_calibrated_when_there_is_no_identity(statistic):
    p_values = []
    for seed in range(200):
        features = np.random.default_rng(seed).standard_normal((16, 10))
        result = fingerprint_features(features, np.repeat(list("abcdefgh"), 2), [1, 2] * 8, n_bootstraps=1)
        p_values.append(identification_null(result, statistic=statistic, n_permutations=99).p_value)
    # Never too small too often: more than binom.ppf(0.999) rejections at 5 % come up once in a
    # thousand seeds.
    assert np.sum(np.array(p_values) <= 0.05) <= binom.ppf(0.999, 200, 0.05)
    if statistic == "differential_identifiability":
        # Continuous, so uniform too; fails by chance once in a thousand seeds.
        jitter = np.random.default_rng(0).uniform(0, 0.01, 200)
        assert kstest(np.array(p_values) - jitter, "uniform").pvalue > 0.001


def test_planted_identity_gets_the_smallest_p_value(cohort):
    null = identification_null(fingerprint(*cohort(10, 2, n_frames=200)), n_permutations=499)
    assert null.p_value == 1 / 500
    assert null.n_permutations == 499
    assert null.null.mean() == pytest.approx(null.chance, abs=0.05)
    assert null.observed == 1


def test_noise_lies_within_its_null(cohort):
    result = fingerprint(*cohort(10, 3, identity=0, rng=2))
    null = identification_null(result)
    assert null.p_value > 0.01  # fails by chance for one seed in a hundred
    assert null.null.min() <= null.observed <= null.null.max()


def test_same_seed_gives_the_same_null(cohort):
    result = fingerprint(*cohort(5, 2))
    first, second = (identification_null(result, n_permutations=20, rng=3).null for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_ties_are_no_hits_in_the_null_either():
    features = np.tile([[1.0, 2.0, 4.0]], (6, 1))
    null = identification_null(fingerprint_features(features, list("aabbcc"), [1, 2] * 3), n_permutations=50)
    assert null.observed == 0
    assert (null.null == 0).all()
    assert null.p_value == 1


def test_bad_arguments_are_refused(cohort):
    result = fingerprint(*cohort(3, 2))
    with pytest.raises(ValueError, match="statistic must be"):
        identification_null(result, statistic="rank")
    with pytest.raises(ValueError, match="n_permutations must be at least 1, got 0"):
        identification_null(result, n_permutations=0)


@pytest.mark.realdata
def test_midnight_scan_club_is_beyond_its_null(midnight_scan_club):
    connectomes, subjects, sessions, _ = midnight_scan_club
    result = fingerprint(connectomes, subjects, sessions)
    for statistic in STATISTICS:
        null = identification_null(result, statistic=statistic)
        assert null.p_value == 1 / 1001
        assert null.null.max() < 0.5 * null.observed
    assert identification_null(result).null.mean() == pytest.approx(0.1, abs=0.01)
