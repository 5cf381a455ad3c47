import builtins
import importlib.util

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from conn.models import AttentionForecaster

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed for this Python"
)


def simulate(n_frames: int, rng: np.random.Generator, edges: np.ndarray) -> np.ndarray:
    """A first-order autoregression: 0.5 of the own past, 0.3 of each source."""
    system = 0.5 * np.eye(len(edges)) + 0.3 * edges
    system *= min(1, 0.95 / np.abs(np.linalg.eigvals(system)).max())
    x = np.zeros((len(edges), n_frames + 100))
    for t in range(1, x.shape[1]):
        x[:, t] = system @ x[:, t - 1] + rng.standard_normal(len(edges))
    return x[:, 100:]


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(0)
    edges = (rng.random((10, 10)) < 0.2) & ~np.eye(10, dtype=bool)
    return edges, np.stack([simulate(1200, rng, edges) for _ in range(3)])


@pytest.fixture(scope="module")
def fitted(planted):
    return AttentionForecaster(1, progress=False).fit(planted[1][:2])


def test_attention_points_from_target_to_source(fitted, planted):
    """Off-diagonal AUROC; over five graphs and seeds it was 0.90 to 1.00, and 0.41 to 0.72 for the transposed truth."""
    edges, _ = planted
    off = ~np.eye(10, dtype=bool)
    assert roc_auc_score(edges[off], fitted.connectome_[off]) > 0.85
    assert roc_auc_score(edges.T[off], fitted.connectome_[off]) < 0.8


def test_the_forecast_beats_persistence_and_the_own_past(fitted, planted):
    new = planted[1][2:]
    before, after = new[0, :, :-1], new[0, :, 1:]
    variance = ((after - after.mean(1, keepdims=True)) ** 2).sum(1)
    persistence = (1 - ((after - before) ** 2).sum(1) / variance).mean()
    own = (before * after).sum(1, keepdims=True) / (before**2).sum(1, keepdims=True)
    autoregression = (1 - ((after - own * before) ** 2).sum(1) / variance).mean()
    assert fitted.score(new) > max(persistence, autoregression) + 0.02


def test_rows_sum_to_one_and_a_region_does_not_attend_to_itself(fitted):
    np.testing.assert_allclose(fitted.connectome_.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(np.diag(fitted.connectome_), 0)


def test_same_seed_same_result(planted):
    first, second = (AttentionForecaster(1, n_epochs=5, progress=False).fit(planted[1][:1]) for _ in range(2))
    np.testing.assert_array_equal(first.connectome_, second.connectome_)
    other = AttentionForecaster(1, n_epochs=5, progress=False, seed=1).fit(planted[1][:1])
    assert not np.array_equal(first.connectome_, other.connectome_)


def test_the_best_state_is_kept_and_not_the_last(planted):
    """The original's best weights alias the live ones, so that its early stopping restores nothing."""
    model = AttentionForecaster(1, n_epochs=60, learning_rate=0.3, progress=False).fit(planted[1][:1])
    assert model.history_["held-out error"].argmin() < len(model.history_["held-out error"]) - 1
    series = planted[1][:1]
    n_windows = series.shape[-1] - 1
    start = n_windows - n_windows // 10 + 1 + 1  # the held-out windows, after the gap of one lag
    forecast = model.predict(series)[0, :, start:]
    scale = series[0].std(1, keepdims=True)
    error = (((forecast - series[0, :, start:]) / scale) ** 2).mean()
    assert error == pytest.approx(model.history_["held-out error"].min(), rel=1e-4)


def test_no_window_crosses_a_masked_frame_or_the_border_of_scans(planted):
    series = planted[1][:2, :, :50]
    mask = np.ones((2, 50), bool)
    mask[0, 20] = False
    model = AttentionForecaster(3, n_epochs=2, progress=False).fit(series, mask=mask)
    missing = np.isnan(model.predict(series, mask=mask)[:, 0])
    assert np.flatnonzero(missing[0]).tolist() == [0, 1, 2, 20, 21, 22, 23]
    assert np.flatnonzero(missing[1]).tolist() == [0, 1, 2]
    wild = np.where(mask[:, None], series, 1e6)
    np.testing.assert_array_equal(
        AttentionForecaster(3, n_epochs=2, progress=False).fit(wild, mask=mask).connectome_, model.connectome_
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AttentionForecaster(0), "n_lags must be at least 1"),
        (lambda: AttentionForecaster().fit(np.ones((2, 3))), r"\(scan, region, frame\)"),
        (lambda: AttentionForecaster().fit(np.ones((1, 1, 9))), "at least two regions"),
        (lambda: AttentionForecaster().fit(np.ones((1, 3, 9))), "region 0 is constant"),
        (lambda: AttentionForecaster().fit(np.ones((1, 3, 9)), mask=np.ones(9)), "mask must have shape"),
        (lambda: AttentionForecaster().fit(np.full((1, 3, 9), np.inf)), "scan 0 is not finite in region 0 at frame 0"),
        (lambda: AttentionForecaster(5).fit(np.random.default_rng(0).random((1, 3, 5))), "no scan has 6 neighbouring"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_forecast_needs_a_fit_and_the_same_regions(fitted):
    with pytest.raises(AttributeError, match="call fit first"):
        AttentionForecaster().predict(np.ones((1, 3, 9)))
    with pytest.raises(ValueError, match="knows 10 regions"):
        fitted.predict(np.ones((1, 3, 9)))


def test_without_torch_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, "conn.models._attention_network", raising=False)
    real = builtins.__import__

    def without_torch(name, *rest, **more):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(ImportError, match=r"conn-models\[torch\]"):
        AttentionForecaster().fit(np.ones((1, 3, 9)))
