"""Covariance at lags: statsmodels, direction, and that deleting masked frames first is wrong."""

import numpy as np
import pytest
from op_case import OpCase
from statsmodels.tsa.stattools import ccf, ccovf

from conn.functional import corr, lagged_corr, lagged_cov

SHAPE = (5, 40)
LAGS = [0, 1, -2, 3]
FLAT = {"zeros": (np.zeros(SHAPE),), "constants": (np.full(SHAPE, 0.1),)}


def _by_statsmodels(function, series: np.ndarray) -> np.ndarray:
    def entry(lag: int, target: int, source: int) -> float:
        pair = (target, source) if lag >= 0 else (source, target)
        return function(series[pair[0]], series[pair[1]], adjusted=True, fft=False)[abs(lag)]

    return np.array([[[entry(lag, i, j) for j in range(5)] for i in range(5)] for lag in LAGS])


OP_CASES = [
    OpCase(
        "lagged_cov",
        lambda x: lagged_cov(x, LAGS),
        lambda rng: (rng.normal(size=SHAPE),),
        "statsmodels.tsa.stattools.ccovf",
        lambda x: _by_statsmodels(ccovf, x),
        degenerate=FLAT,
    ),
    OpCase(
        "lagged_corr",
        lambda x: lagged_corr(x, LAGS),
        lambda rng: (rng.normal(size=SHAPE),),
        "statsmodels.tsa.stattools.ccf",
        lambda x: _by_statsmodels(ccf, x),
        degenerate=FLAT,
    ),
]


def _autoregression(rng: np.random.Generator, n_frames: int, coefficient: float = 0.8) -> np.ndarray:
    series = np.zeros((2, n_frames))
    for t in range(1, n_frames):
        series[:, t] = coefficient * series[:, t - 1] + rng.normal(size=2)
    return series


def test_the_column_leads_at_positive_lags(rng: np.random.Generator) -> None:
    source = rng.normal(size=500)
    follower = np.roll(source, 2) + 0.1 * rng.normal(size=500)
    found = lagged_corr(np.stack([follower, source]), [2])[0]
    assert found[0, 1] > 0.9
    assert abs(found[1, 0]) < 0.2


def test_at_lag_zero_it_is_the_correlation(rng: np.random.Generator) -> None:
    series, mask = rng.normal(size=SHAPE), rng.random(40) > 0.3
    np.testing.assert_allclose(lagged_corr(series, [0], mask=mask)[0], corr(series, mask=mask), atol=1e-12)


def test_masked_frames_leave_the_distance_of_the_others_and_deletion_does_not(rng: np.random.Generator) -> None:
    series = _autoregression(rng, 4000)
    mask = rng.random(4000) > 0.5
    masked = lagged_corr(np.where(mask, series, np.nan), [1], mask=mask)[0, 0, 0]
    deleted = lagged_corr(series[:, mask], [1])[0, 0, 0]
    assert abs(masked - 0.8) < 0.06
    assert deleted < 0.7  # neighbours after deletion are two frames apart on average


def test_frames_of_two_runs_are_no_pair(rng: np.random.Generator) -> None:
    series, run = rng.normal(size=(2, 20)), np.repeat([0, 1], 10)
    centred = series - series.mean(-1, keepdims=True)
    expected = sum(centred[:, part][:, 1:] @ centred[:, part][:, :-1].T for part in (slice(0, 10), slice(10, 20))) / (
        2 * 9
    )
    np.testing.assert_allclose(lagged_cov(series, [1], run=run)[0], expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("lags", "settings", "message"),
    [
        ([], {}, "at least one lag"),
        ([4], {}, "shorter than the 4 frames"),
        ([1], {"run": np.zeros(3)}, "one label a frame"),
        ([1], {"mask": np.ones(5, bool)}, "one value for each"),
    ],
)
def test_bad_input_is_refused(lags: list[int], settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lagged_cov(np.ones((2, 4)), lags, **settings)


@pytest.mark.parametrize(("constant", "expected"), [("zero", 0.0), ("nan", np.nan)])
def test_a_constant_region_holds_what_the_policy_says(constant: str, expected: float, rng: np.random.Generator) -> None:
    series = np.stack([rng.normal(size=40), np.full(40, 0.1), rng.normal(size=40)]).astype(np.float32)
    found = np.asarray(lagged_corr(series, [0, 1], constant=constant))
    np.testing.assert_array_equal(found[:, 1], expected)
    np.testing.assert_array_equal(found[:, :, 1], expected)
    assert np.isfinite(found[:, ::2, ::2]).all()
    with pytest.raises(ValueError, match='constant must be "zero" or "nan"'):
        lagged_corr(series, [0], constant="drop")
