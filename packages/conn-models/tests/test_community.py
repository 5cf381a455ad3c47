import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from conn.data import fetch_msc
from conn.models import DynamicCommunityModel

N_COMMUNITIES = 3
LABELS = np.repeat(np.arange(N_COMMUNITIES), 6)


@pytest.fixture(scope="module")
def scans():
    """Three scans of 18 regions in three communities whose signals come and go."""
    rng = np.random.default_rng(0)
    activity = (rng.random((3, N_COMMUNITIES, 8)) < 0.5).repeat(25, axis=-1) + 0.3
    signal = activity * rng.standard_normal((3, N_COMMUNITIES, 200))
    return signal[:, LABELS] + 0.7 * rng.standard_normal((3, len(LABELS), 200))


@pytest.fixture(scope="module")
def fitted(scans):
    return DynamicCommunityModel(4, resolution=1.5, n_epochs=80, learning_rate=0.1, progress=False).fit(scans)


def test_planted_communities_are_found(fitted):
    assert adjusted_rand_score(LABELS, fitted.labels_) == 1


def test_results_have_their_shapes_and_lie_in_their_domains(fitted, scans):
    assert fitted.affiliation_.shape == (18, 4)
    np.testing.assert_allclose(fitted.affiliation_.sum(1), 1, rtol=1e-5)
    assert fitted.dynamics_.shape == (3, 4, 200)
    assert ((fitted.dynamics_ > 0) & (fitted.dynamics_ < 1)).all()
    assert set(fitted.history_) == {"Total", "Modularity", "DynamicCommunities", "Smoothness", "BimodalSymmetric"}
    terms = sum(values for name, values in fitted.history_.items() if name != "Total")
    np.testing.assert_allclose(terms, fitted.history_["Total"], rtol=1e-5)
    assert fitted.history_["Total"][-1] < fitted.history_["Total"][0]
    assert fitted.seconds_per_epoch_ > 0


def test_the_score_prefers_the_learned_communities_on_new_scans(fitted, scans):
    mixed = DynamicCommunityModel(4, resolution=1.5, progress=False)
    mixed.affiliation_ = np.roll(fitted.affiliation_, 3, axis=0)
    assert fitted.score(scans[:, :, ::-1]) > mixed.score(scans[:, :, ::-1])


def test_same_seed_same_result(scans):
    first, second = (
        DynamicCommunityModel(4, resolution=1.5, n_epochs=5, progress=False, seed=3).fit(scans).affiliation_
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_masked_frames_do_not_count(scans):
    """Padding filled with anything leaves the correlations, and with them the affiliation, as they were."""
    padded = np.concatenate([scans, np.full((3, 18, 20), 1e3)], axis=-1)
    mask = np.arange(220) < 200
    model = DynamicCommunityModel(4, resolution=1.5, n_epochs=3, progress=False, dynamics_nu=0.0, seed=1)
    plain = model.fit(scans).affiliation_
    masked = model.fit(np.where(mask, padded, np.nan), mask=np.tile(mask, (3, 1)))
    np.testing.assert_allclose(masked.affiliation_, plain, atol=1e-4)
    assert np.isnan(masked.dynamics_[:, :, 200:]).all()
    assert np.isfinite(masked.dynamics_[:, :, :200]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DynamicCommunityModel(0), "n_communities must be at least 1"),
        (lambda: DynamicCommunityModel(n_epochs=0), "n_epochs must be at least 1"),
        (lambda: DynamicCommunityModel(learning_rate=0), "learning_rate must be positive"),
        (lambda: DynamicCommunityModel(2).fit(np.ones((3, 4))), r"\(scan, region, frame\)"),
        (lambda: DynamicCommunityModel(2).fit(np.ones((1, 3, 4)), mask=np.ones((1, 3))), "mask must have shape"),
        (lambda: DynamicCommunityModel(2).fit(np.full((1, 3, 4), np.nan)), "scan 0 holds nan in region 0 at frame 0"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_scoring_needs_a_fit_and_the_same_regions(fitted):
    with pytest.raises(AttributeError, match="call fit first"):
        DynamicCommunityModel(2).score(np.ones((1, 3, 4)))
    with pytest.raises(ValueError, match="knows 18 regions"):
        fitted.score(np.ones((1, 3, 4)))


def test_a_learning_rate_that_explodes_is_reported(scans):
    with pytest.raises(ValueError, match="lower the learning rate"):
        DynamicCommunityModel(4, n_epochs=3, learning_rate=float("inf"), progress=False).fit(scans)


@pytest.mark.realdata
def test_real_scans_fall_into_several_communities(real_data):
    real_data("miniMSC")
    scans = fetch_msc(subjects=("MSC01",), progress=False)
    model = DynamicCommunityModel(10, n_epochs=40, learning_rate=0.2, progress=False).fit(scans.time_series)
    assert (np.bincount(model.labels_, minlength=10) >= 10).sum() >= 6
