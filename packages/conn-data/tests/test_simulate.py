"""The simulated cohort: what was planted can be found again."""

import numpy as np
import pytest

from conn.data import DataError, simulate_cohort


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort()


def test_the_same_seed_gives_the_same_cohort(cohort):
    again = simulate_cohort(rng=np.random.default_rng(0))
    np.testing.assert_array_equal(again.time_series, cohort.time_series)
    assert (simulate_cohort(rng=1).time_series != cohort.time_series).any()


def test_shapes_labels_and_provenance_are_those_of_a_scan_set(cohort):
    assert cohort.time_series.shape == (30, 100, 300)
    assert cohort.simulated
    assert "simulated" in cohort.describe()
    assert cohort.table["subject"].nunique() == 10
    assert cohort.table["session"].tolist()[:4] == [1, 2, 3, 1]
    assert cohort.networks == tuple(f"Net{community + 1}" for community in cohort.communities)
    assert (np.bincount(cohort.communities) >= 12).all()
    assert (cohort.motion[:, 0] == 0).all()


def test_power_lies_within_the_band(cohort):
    spectrum = np.abs(np.fft.rfft(cohort.time_series.astype(float), axis=-1)) ** 2
    frequencies = np.fft.rfftfreq(300, cohort.repetition_time)
    outside = (frequencies < 0.008) | (frequencies > 0.1)
    assert spectrum[..., outside].sum() < 1e-8 * spectrum.sum()


def test_regions_of_one_community_are_correlated_and_those_of_two_are_not(cohort):
    connectome = np.mean([np.corrcoef(scan) for scan in cohort.time_series], axis=0)
    same = cohort.communities[:, None] == cohort.communities
    np.fill_diagonal(same, False)
    other = cohort.communities[:, None] != cohort.communities
    assert connectome[same].mean() > 0.3
    assert abs(connectome[other].mean()) < 0.05


def test_a_community_is_stronger_while_it_is_active(cohort):
    for community in range(8):
        mean = cohort.time_series[:, cohort.communities == community].mean(axis=1)
        active = cohort.activity[:, community]
        assert mean[active].var() > 2 * mean[~active].var()


def test_communities_switch_with_the_stated_dwell_time(cohort):
    switches = np.diff(cohort.activity.astype(int), axis=-1) != 0
    # 240 chains of 299 steps: the standard error of this rate is 0.0008.
    assert switches.mean() == pytest.approx(1 / 20, abs=0.004)
    assert cohort.activity.mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("seed", range(3))
def test_people_are_recognised_far_above_chance_and_not_always(seed):
    # Ten people, chance 0.1; over seeds 0 to 5 this lies between 0.88 and 0.97.
    scans = simulate_cohort(rng=seed)
    upper = np.triu_indices(100, 1)
    edges = np.array([np.corrcoef(scan)[upper] for scan in scans.time_series]).reshape(10, 3, -1)
    hits = [
        np.corrcoef(edges[:, a], edges[:, b])[:10, 10:].argmax(axis=1) == np.arange(10)
        for a in range(3)
        for b in range(3)
        if a != b
    ]
    assert 0.7 < np.mean(hits) < 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_subjects": 0}, "n_subjects is 0, expected a whole number of at least 1"),
        ({"n_frames": 2.5}, r"n_frames is 2\.5"),
        ({"n_sessions": True}, "n_sessions is True"),
        ({"n_regions": 5, "n_communities": 6}, "6 communities are more than 5 regions"),
        ({"repetition_time": 0}, "repetition_time is 0, expected a positive number"),
        ({"n_frames": 9}, "resolve fewer than two frequencies"),
        ({"repetition_time": 100.0}, "resolve fewer than two frequencies"),
    ],
)
def test_a_cohort_that_cannot_be_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        simulate_cohort(**changes)


def test_truth_that_does_not_fit_the_scans_is_refused(cohort):
    import dataclasses

    with pytest.raises(DataError, match=r"communities has shape \(99,\), expected \(100,\)"):
        dataclasses.replace(cohort, communities=cohort.communities[1:])
    with pytest.raises(DataError, match="activity has shape"):
        dataclasses.replace(cohort, activity=cohort.activity[:, 1:])
