import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.interpolate
import scipy.signal
from op_case import OpCase

from conn.functional import (
    cubic_interpolate,
    hybrid_interpolate,
    linear_interpolate,
    spectral_interpolate,
    weighted_interpolate,
)

FRAMES = np.arange(40)
RAGGED = np.random.default_rng(3).random(40) > 0.35
RAGGED[[0, 1, 39]] = False
FEW = np.isin(FRAMES, [4, 20, 21])
ALL = [
    jax.jit(function)
    for function in (
        cubic_interpolate,
        hybrid_interpolate,
        linear_interpolate,
        spectral_interpolate,
        weighted_interpolate,
    )
]
CUBIC, _, LINEAR, _, _ = ALL


def _masked(rng):
    mask = rng.random(40) > 0.3
    mask[:4] = [False, True, True, True]
    return rng.normal(size=(5, 40)) + 2, mask


def _linear(series, mask):
    return np.stack([np.interp(FRAMES, FRAMES[mask], row[mask]) for row in series])


def _cubic(series, mask):
    spline = scipy.interpolate.CubicSpline(FRAMES[mask], series[:, mask], axis=-1)
    first, last = FRAMES[mask][[0, -1]]
    return spline(np.clip(FRAMES, first, last))


def _spectral(series, mask, highest=None):
    highest = mask.mean() / 2 if highest is None else highest
    bins = np.arange(1, (8 * 40 - 1) // 2 + 1)
    angular = 2 * np.pi * bins[bins <= highest * 8 * 40] / (8 * 40)
    filled = series.copy()
    for row in filled:
        data = row[mask] - row[mask].mean()
        amplitude = scipy.signal.lombscargle(FRAMES[mask].astype(float), data, angular, normalize="amplitude")
        fit = (amplitude[:, None] * np.exp(-1j * angular[:, None] * FRAMES)).real.sum(0)
        row[~mask] = row[mask].mean() + fit[~mask] * data.std() / fit[mask].std()
    return filled


def _hybrid(series, mask):
    gap = np.array([_gap(mask, frame) for frame in FRAMES])
    return np.where(gap <= 2, _linear(series, mask), _spectral(series, mask))


def _gap(mask, frame):
    if mask[frame]:
        return 0
    start = stop = frame
    while start > 0 and not mask[start - 1]:
        start -= 1
    while stop < 39 and not mask[stop + 1]:
        stop += 1
    return stop - start + 1


def _weighted(series, mask):
    weight = np.exp(-((FRAMES[:, None] - FRAMES[None, mask]) ** 2) / 2 / 1.5**2)
    filled = (series[:, mask] @ weight.T) / weight.sum(1)
    return np.where(mask, series, filled)


DEGENERATE = {
    "no frame counts": (np.ones((5, 40)), np.zeros(40, bool)),
    "one frame counts": (np.ones((5, 40)), FRAMES == 7),
    "three frames count": (np.ones((5, 40)), FEW),
    "constant regions": (np.full((5, 40), 0.1), RAGGED),
    "every frame counts": (np.zeros((5, 40)), np.ones(40, bool)),
}


def _case(name, call, oracle, reference):
    return OpCase(name, call, _masked, oracle, reference, rtol=1e-9, atol=1e-9, degenerate=DEGENERATE)


OP_CASES = [
    _case("linear_interpolate", linear_interpolate, "numpy.interp", _linear),
    _case("cubic_interpolate", cubic_interpolate, "scipy.interpolate.CubicSpline", _cubic),
    _case("spectral_interpolate", spectral_interpolate, "scipy.signal.lombscargle", _spectral),
    _case(
        "hybrid_interpolate",
        lambda x, m: hybrid_interpolate(x, m, longest_line=2),
        "numpy.interp and scipy.signal.lombscargle",
        _hybrid,
    ),
    _case(
        "weighted_interpolate", lambda x, m: weighted_interpolate(x, m, width=1.5), "kernel average, NumPy", _weighted
    ),
]


@pytest.mark.parametrize("fill_in", ALL, ids=lambda function: function.__name__)
def test_frames_that_count_are_kept_and_the_others_never_read(fill_in, rng):
    series = rng.normal(size=(5, 40))
    spoilt = np.where(RAGGED, series, np.nan)
    found = fill_in(spoilt, RAGGED)
    np.testing.assert_array_equal(found[:, RAGGED], series[:, RAGGED])
    np.testing.assert_array_equal(found, fill_in(series, RAGGED))
    assert bool(jnp.isfinite(found).all())


def test_frames_outside_those_that_count_hold_the_nearest(rng):
    series = rng.normal(size=(5, 40))
    for fill_in in (LINEAR, CUBIC):
        found = np.asarray(fill_in(series, RAGGED))
        first, last = FRAMES[RAGGED][[0, -1]]
        np.testing.assert_array_equal(found[:, :first], series[:, [first]].repeat(first, 1))
        np.testing.assert_array_equal(found[:, last:], series[:, [last]].repeat(40 - last, 1))


def test_a_spline_reproduces_a_cubic_and_falls_back_to_lines_below_four_frames(rng):
    cubic = np.stack([np.polyval(rng.normal(size=4), FRAMES / 20 - 1) for _ in range(5)])
    first, last = FRAMES[RAGGED][[0, -1]]
    inside = slice(first, last + 1)
    np.testing.assert_allclose(CUBIC(cubic, RAGGED)[:, inside], cubic[:, inside], atol=1e-12)
    np.testing.assert_allclose(CUBIC(cubic, FEW), LINEAR(cubic, FEW), atol=1e-12)
    np.testing.assert_allclose(cubic_interpolate(cubic[:, :3], [True, False, True])[0, 1], cubic[0, [0, 2]].mean())


def test_stacks_of_masks_broadcast_against_one_series(rng):
    series, masks = rng.normal(size=(5, 40)), np.stack([RAGGED, FEW])
    for fill_in in ALL:
        stack = fill_in(series, masks)
        assert stack.shape == (2, 5, 40)
        np.testing.assert_allclose(stack[1], fill_in(series, FEW), atol=1e-12)


def test_a_band_limited_signal_is_filled_in_better_from_its_band_than_from_all_frequencies():
    times = np.arange(400)
    rng = np.random.default_rng(0)
    waves = np.cos(2 * np.pi * rng.uniform(0.005, 0.05, (20, 1)) * times + rng.uniform(0, 7, (20, 1)))
    series = waves.sum(0, keepdims=True)
    mask = np.ones(400, bool)
    for start in range(20, 400, 40):
        mask[start : start + 4] = False
    errors = {
        highest: np.abs(spectral_interpolate(series, mask, highest=highest) - series)[:, ~mask].mean()
        for highest in (None, 0.06)
    }
    assert errors[0.06] < 0.6 * errors[None]
    assert errors[0.06] < 0.5 * np.abs(series[:, ~mask]).mean()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: linear_interpolate(x, np.ones(7, bool)), "one value for each of the 8 frames"),
        (lambda x: spectral_interpolate(x, np.ones(8, bool), oversampling=0), "oversampling must be at least 1"),
        (lambda x: spectral_interpolate(x, np.ones(8, bool), highest=0.6), "between 0 and 0.5 cycles a frame"),
        (lambda x: hybrid_interpolate(x, np.ones(8, bool), longest_line=-1), "longest_line must not be negative"),
        (lambda x: weighted_interpolate(x, np.ones(8, bool), width=0), "width must be positive"),
        (lambda x: cubic_interpolate(x[0], np.ones(8, bool)), "must have shape"),
    ],
)
def test_misfitting_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((2, 8)))
