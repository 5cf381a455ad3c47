import importlib

import numpy as np
import pytest
from hmmlearn import hmm
from sklearn.metrics import adjusted_rand_score

from conn.models import CoactivationPatterns, GaussianHMM, LEiDA


@pytest.fixture(scope="module")
def turns():
    """Two patterns of six regions that take turns, in three scans."""
    rng = np.random.default_rng(0)
    states = np.stack([np.arange(120) // length % 2 for length in (10, 15, 20)])
    patterns = np.array([[1, 1, 1, -1, -1, -1], [-1, 1, -1, 1, -1, 1]])
    return patterns[states].swapaxes(1, 2) + 0.3 * rng.standard_normal((3, 6, 120)), states


@pytest.mark.parametrize("model", [CoactivationPatterns(2), GaussianHMM(2), GaussianHMM(2, n_dimensions=3)])
def test_planted_states_are_found(model, turns):
    scans, states = turns
    model.fit(scans)
    assert adjusted_rand_score(states.ravel(), model.states_.ravel()) > 0.95
    assert model.maps_.shape == (2, 6)
    assert model.occupancy_.sum() == pytest.approx(1)
    np.testing.assert_array_equal(model.predict(scans), model.states_)
    np.testing.assert_allclose(model.mean_dwell_, 13.8, atol=2)


def test_the_chain_is_hmmlearns(turns):
    scans, _ = turns
    z = (scans - scans.mean(-1, keepdims=True)) / scans.std(-1, keepdims=True)
    frames = np.concatenate([scan.T for scan in z.astype(np.float64)])
    peer = hmm.GaussianHMM(
        2, n_iter=100, tol=1e-6 * len(frames), random_state=0, covars_prior=1.0, covars_weight=2
    ).fit(frames, [120] * 3)
    model = GaussianHMM(2).fit(scans)
    np.testing.assert_allclose(model.transition_, peer.transmat_, atol=1e-4)
    expected = peer.predict_proba(frames, [120] * 3).reshape(3, 120, 2).swapaxes(1, 2)
    np.testing.assert_allclose(model.probabilities(scans), expected, atol=1e-3)


def test_leading_eigenvectors_are_those_of_the_matrix_of_phase_coherence():
    rng = np.random.default_rng(0)
    time = np.arange(200) / 200
    scan = np.stack([np.sin(2 * np.pi * (8 * time + shift)) for shift in rng.random(5)])[None]
    model = LEiDA(1).fit(scan)
    features, valid = model._described(scan, None)
    from scipy.signal import hilbert

    phase = np.angle(hilbert(scan[0]))[:, 50]
    vector = np.linalg.eigh(np.cos(phase[:, None] - phase))[1][:, -1]
    vector = -vector if (vector > 0).sum() > 2.5 else vector
    np.testing.assert_allclose(features[0, 50], vector, atol=1e-4)
    assert valid.all()
    np.testing.assert_allclose(model.maps_[0], vector, atol=0.05)


@pytest.mark.parametrize("model", [CoactivationPatterns(2), LEiDA(2), GaussianHMM(2)])
def test_masked_frames_have_no_state(model, turns):
    scans, _ = turns
    mask = np.ones((3, 120), bool)
    mask[0, 100:] = False
    model.fit(np.where(mask[:, None], scans, np.nan), mask=mask)
    assert (model.states_[~mask] == -1).all()
    assert (model.states_[mask] >= 0).all()
    if isinstance(model, GaussianHMM):
        assert np.isnan(model.probabilities(scans, mask=mask)[0, :, 100:]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LEiDA(0), "n_states must be at least 1"),
        (lambda: CoactivationPatterns(2, n_restarts=0), "n_restarts must be at least 1"),
        (lambda: CoactivationPatterns(2, seed=-1), "seed must not be negative"),
        (lambda: GaussianHMM(2, covariance="tied"), "covariance must be"),
        (lambda: GaussianHMM(2, n_dimensions=0), "n_dimensions must be at least 1"),
        (lambda: GaussianHMM(2, n_dimensions=9).fit(np.eye(12)[None, :6]), "n_dimensions is 9, and there are 6"),
        (lambda: CoactivationPatterns(20).fit(np.eye(12)[None]), "12 frames that count are fewer than 20 states"),
        (lambda: LEiDA(2).fit(np.eye(12)), r"\(scan, region, frame\)"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_predicting_needs_a_fit_and_the_same_regions(turns):
    scans, _ = turns
    with pytest.raises(AttributeError, match="call fit first"):
        LEiDA(2).predict(scans)
    with pytest.raises(ValueError, match="knows 6 regions"):
        CoactivationPatterns(2, n_restarts=1).fit(scans).predict(scans[:, :4])


@pytest.mark.parametrize(("model", "extra"), [(LEiDA(2), "states"), (GaussianHMM(2), "hmm")])
def test_a_missing_library_names_its_extra(model, extra, turns, monkeypatch):
    def absent(name: str, package: str | None = None):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ImportError, match=f"conn-models\\[{extra}\\]"):
        model.fit(turns[0])
