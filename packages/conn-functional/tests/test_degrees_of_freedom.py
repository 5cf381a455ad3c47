"""Effective degrees of freedom: a loop over lags, calibration in simulated series, masks, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from op_case import OpCase

from conn.functional import (
    effective_degrees_of_freedom,
    fisher_z,
    fisher_z_standard_error,
    pooled_degrees_of_freedom,
)

SHAPE = (5, 40)
FLAT = {"zeros": (np.zeros(SHAPE),), "constants": (np.full(SHAPE, 0.1),)}
LOOP = "property: equals a loop over pairs and lags, and is calibrated on simulated autoregressions"


def _smooth(rng: np.random.Generator) -> tuple[np.ndarray]:
    noise = rng.normal(size=(5, 44)) + 0.5 * rng.normal(size=44)
    return (noise[:, 2:-2] + noise[:, 1:-3] + noise[:, 3:-1],)


OP_CASES = [
    OpCase(
        "fisher_z",
        fisher_z,
        lambda rng: (rng.uniform(-0.9, 0.9, size=(5, 5)),),
        "numpy.arctanh",
        np.arctanh,
        degenerate={"ones": (np.ones((5, 5)),), "minus ones": (-np.ones((5, 5)),)},
    ),
    OpCase("effective_degrees_of_freedom", effective_degrees_of_freedom, _smooth, LOOP, degenerate=FLAT),
    OpCase(
        "effective_degrees_of_freedom",
        lambda x: effective_degrees_of_freedom(x, method="xdf"),
        _smooth,
        LOOP,
        degenerate=FLAT,
    ),
    OpCase("fisher_z_standard_error", fisher_z_standard_error, _smooth, LOOP, degenerate=FLAT),
    OpCase("pooled_degrees_of_freedom", pooled_degrees_of_freedom, _smooth, LOOP, degenerate=FLAT),
]


def _correlations_at_lags(series: np.ndarray, longest: int) -> np.ndarray:
    """Return the tapered correlations [lag, later, earlier] by plain loops."""
    n_regions, n_frames = series.shape
    scores = (series - series.mean(-1, keepdims=True)) / series.std(-1, keepdims=True)
    values = np.zeros((longest + 1, n_regions, n_regions))
    for lag in range(longest + 1):
        taper = 0.5 * (1 + np.cos(np.pi * lag / longest))
        for i in range(n_regions):
            for j in range(n_regions):
                values[lag, i, j] = taper * np.mean(scores[i, lag:] * scores[j, : n_frames - lag])
    return values


def test_both_methods_equal_a_loop_over_pairs_and_lags(rng: np.random.Generator) -> None:
    (series,) = _smooth(rng)
    n_frames, longest = 40, 12
    rho = _correlations_at_lags(series, longest)
    bartlett, xdf = np.zeros((2, 5, 5))
    for i in range(5):
        for j in range(5):
            r, inflation, total = rho[0, i, j], 1.0, (1 - rho[0, i, j] ** 2) ** 2
            for lag in range(1, longest + 1):
                share = (n_frames - lag) / n_frames
                x, y, after, before = rho[lag, i, i], rho[lag, j, j], rho[lag, i, j], rho[lag, j, i]
                inflation += 2 * share * x * y
                total += share * (r**2 * (x**2 + y**2 + after**2 + before**2))
                total += share * (2 * (x * y + after * before) - 2 * r * (x + y) * (after + before))
            bartlett[i, j] = n_frames / inflation
            xdf[i, j] = np.nan if i == j else (1 - r**2) ** 2 * n_frames / max(total, (1 - r**2) ** 2)
    np.testing.assert_allclose(effective_degrees_of_freedom(series), bartlett, rtol=1e-10)
    apart = ~np.eye(5, dtype=bool)
    found = effective_degrees_of_freedom(series, method="xdf")
    np.testing.assert_allclose(found[apart], xdf[apart], rtol=1e-9)
    error = fisher_z_standard_error(series)
    np.testing.assert_allclose(error[apart], xdf[apart] ** -0.5, rtol=1e-9)
    np.testing.assert_allclose(fisher_z_standard_error(series, method="bartlett"), (bartlett - 3) ** -0.5, rtol=1e-9)


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_standard_errors_are_calibrated_on_autocorrelated_series(shared: float, rng: np.random.Generator) -> None:
    # 300 draws: the standard deviation of z is known to 4 percent, and xDF's own noise adds a few more.
    noise = rng.normal(size=(300, 2, 400)) + shared * rng.normal(size=(300, 1, 400))
    series = scipy.signal.lfilter([1.0], [1.0, -0.7], noise, axis=-1)[..., 100:]
    correlations = np.array([np.corrcoef(pair)[0, 1] for pair in series])
    spread = np.arctanh(correlations).std()
    claimed = np.asarray(fisher_z_standard_error(series))[:, 0, 1]
    assert abs(np.sqrt((claimed**2).mean()) / spread - 1) < 0.15
    naive = 1 / np.sqrt(300 - 3)
    assert spread > 1.3 * naive


def test_band_passed_series_are_worth_their_share_of_the_spectrum(rng: np.random.Generator) -> None:
    spectrum = np.fft.rfft(rng.normal(size=(60, 800)))
    spectrum[:, 100:] = 0.0
    spectrum[:, :20] = 0.0
    band_passed = np.fft.irfft(spectrum)
    assert abs(float(pooled_degrees_of_freedom(band_passed)) / 160 - 1) < 0.25
    assert 720 < float(pooled_degrees_of_freedom(rng.normal(size=(60, 800)))) <= 800


def test_a_mask_keeps_true_distances(rng: np.random.Generator) -> None:
    series = scipy.signal.lfilter([1.0], [1.0, -0.8], rng.normal(size=(2, 8000)), axis=-1)
    mask = rng.random(8000) > 0.5
    whole = float(effective_degrees_of_freedom(series, max_lag=40)[0, 1]) / 8000
    masked = float(effective_degrees_of_freedom(np.where(mask, series, np.nan), mask=mask, max_lag=40)[0, 1])
    # Every other frame is missing: what is left is less redundant, as the loop over pairs says.
    rho = (0.5 * (1 + np.cos(np.pi * np.arange(1, 41) / 40)) * 0.8 ** np.arange(1, 41)) ** 2
    expected = mask.sum() / (1 + 2 * 0.5 * rho.sum())
    assert abs(masked / expected - 1) < 0.15
    assert masked / mask.sum() > 1.2 * whole


def test_runs_are_not_joined(rng: np.random.Generator) -> None:
    series = rng.normal(size=(2, 40))
    joined = effective_degrees_of_freedom(series)
    apart = effective_degrees_of_freedom(series, run=np.arange(40))  # every frame its own run: no pair at any lag
    assert not np.allclose(joined, apart)
    np.testing.assert_allclose(apart, 40.0)


def test_weights_lower_the_pooled_degrees_of_freedom(rng: np.random.Generator) -> None:
    series, weight = rng.normal(size=(30, 400)), rng.exponential(size=400)
    kish = weight.sum() ** 2 / (weight**2).sum()
    assert abs(float(pooled_degrees_of_freedom(series, weight=weight)) / kish - 1) < 0.1


def test_fisher_z_has_no_infinity_and_no_slope_at_one() -> None:
    assert jnp.isfinite(fisher_z(jnp.array([1.0, -1.0]))).all()
    assert jax.grad(fisher_z)(1.0) == 0.0
    assert jnp.isnan(fisher_z(jnp.nan))
    assert fisher_z(0) == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"method": "pearson"}, "bartlett"), ({"max_lag": 0}, "between 1 and"), ({"max_lag": 40}, "between 1 and")],
)
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        effective_degrees_of_freedom(np.ones(SHAPE), **settings)
