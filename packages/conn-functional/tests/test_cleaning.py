import itertools
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import nilearn.signal
import numpy as np
import pytest
from op_case import OpCase

import conn.functional
from conn.functional import dct_basis

# Compiled whole, which takes less time than to compile every operation by itself.
clean = eqx.filter_jit(conn.functional.clean)

N_FRAMES = 120
BAND = (0.02, 0.1)
SETTINGS = {"band": BAND, "repetition_time": 2.0, "filter_order": 3}
RNG = np.random.default_rng(11)
MASK = RNG.random(N_FRAMES) > 0.15
MASK[[0, -1]] = True
# A masked frame whose mirror image in time is masked as well is what nilearn 0.14.1 leaves unfilled.
UNMIRRORED = MASK | ~MASK[::-1]


def _data(rng, n_confounds=3):
    confounds = rng.normal(size=(n_confounds, N_FRAMES)).cumsum(-1)
    mixing = rng.normal(size=(4, n_confounds))
    return rng.normal(size=(4, N_FRAMES)).cumsum(-1) + mixing @ confounds + 100, confounds


def _nilearn(series, confounds=None, *, mask=None, band=BAND, trend=1, standardisation="zscore"):
    names = {"zscore": "zscore_sample", "percent_signal_change": "psc", None: None}
    high_pass, low_pass = band or (None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a trend left in, and of means near 0
        return nilearn.signal.clean(
            series.T.copy(),
            confounds=None if confounds is None else confounds.T.copy(),
            detrend=trend is not None,
            standardize=names[standardisation],
            sample_mask=None if mask is None else np.flatnonzero(mask),
            high_pass=high_pass,
            low_pass=low_pass,
            t_r=2.0,
            filter="butterworth" if band else False,
            **({"butterworth__order": 3} if band else {}),
        ).T


OP_CASES = [
    OpCase(
        "clean",
        lambda x, c: clean(x, c, **SETTINGS),
        _data,
        oracle="nilearn.signal.clean",
        reference=_nilearn,
        rtol=1e-9,
        degenerate={
            "constant regions and confounds": (np.full((4, N_FRAMES), 0.1), np.ones((3, N_FRAMES))),
            "regions that are confounds": (_data(RNG)[1][[0, 0, 1, 2]], _data(RNG)[1]),
            "zeros": (np.zeros((4, N_FRAMES)), np.zeros((3, N_FRAMES))),
        },
    ),
]

GRID = [
    (band, mask, trend, standardisation)
    for band, mask, trend, standardisation in itertools.product(
        (None, BAND, (0.02, None), (None, 0.1)),
        (None, UNMIRRORED),
        (1, None),
        ("zscore", None, "percent_signal_change"),
    )
    # Differences that the docstring names.
    if not (mask is not None and band is None and trend is not None)
    and not (mask is not None and standardisation == "percent_signal_change")
]


def _agrees(band, mask, trend, standardisation):
    series, confounds = _data(np.random.default_rng(1))
    settings = {"mask": mask, "band": band, "trend": trend, "standardisation": standardisation}
    expected = _nilearn(series, confounds, **settings)
    filtering = {"repetition_time": 2.0, "filter_order": 3}
    found = np.asarray(jax.jit(lambda x, c: clean(x, c, **settings, **filtering))(series, confounds))
    if mask is not None:
        assert not found[:, ~mask].any()
        found = found[:, mask]
    np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize(
    ("band", "mask", "trend", "standardisation"),
    [
        (BAND, UNMIRRORED, 1, "zscore"),
        (None, UNMIRRORED, None, None),
        ((None, 0.1), None, None, "percent_signal_change"),
        ((0.02, None), None, 1, "percent_signal_change"),
    ],
)
def test_it_agrees_with_nilearn(band, mask, trend, standardisation):
    _agrees(band, mask, trend, standardisation)


@pytest.mark.slow
@pytest.mark.parametrize(("band", "mask", "trend", "standardisation"), GRID)
def test_it_agrees_with_nilearn_wherever_the_options_coincide(band, mask, trend, standardisation):
    _agrees(band, mask, trend, standardisation)


@pytest.mark.parametrize("mask", [None, MASK])
def test_drift_cosines_among_the_confounds_are_the_cosine_filter_of_nilearn(mask):
    series, confounds = _data(np.random.default_rng(10))
    confounds = np.random.default_rng(10).normal(size=confounds.shape)  # nilearn adds no cosines to slow confounds
    cosines = dct_basis(N_FRAMES, high_pass=0.02, repetition_time=2.0)
    expected = nilearn.signal.clean(
        series.T,
        confounds=confounds.T,
        sample_mask=None if mask is None else np.flatnonzero(mask),
        detrend=False,
        filter="cosine",
        high_pass=0.02,
        t_r=2.0,
    ).T
    found = np.asarray(clean(series, np.concatenate([confounds, cosines]), mask=mask, trend=None))
    found = found if mask is None else found[:, mask]
    np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max())


def test_nothing_of_the_confounds_in_the_band_is_left_and_nothing_outside_the_band():
    series, confounds = _data(np.random.default_rng(2))
    cleaned = np.asarray(clean(series, confounds, **SETTINGS))
    filtered = np.asarray(clean(confounds, **SETTINGS))
    assert np.abs(np.corrcoef(cleaned, filtered)[:4, 4:]).max() < 1e-10
    power = np.abs(np.fft.rfft(cleaned * np.hanning(N_FRAMES))) ** 2
    frequency = np.fft.rfftfreq(N_FRAMES, 2.0)
    assert power[:, frequency > 0.2].sum() < 1e-4 * power.sum()


def test_what_stands_in_censored_frames_does_not_matter_and_they_hold_the_fill():
    series, confounds = _data(np.random.default_rng(3))
    cleaner = jax.jit(lambda x, c: clean(x, c, mask=MASK, fill=np.nan, **SETTINGS))
    kept = cleaner(series, confounds)
    spoilt = cleaner(np.where(MASK, series, np.nan), np.where(MASK, confounds, 1e9))
    np.testing.assert_array_equal(kept, spoilt)
    assert np.isnan(kept[:, ~MASK]).all()
    assert np.isfinite(kept[:, MASK]).all()


def test_without_a_filter_and_a_trend_a_mask_equals_deletion():
    series, confounds = _data(np.random.default_rng(4))
    plain = {"trend": None, "standardisation": "zscore"}
    masked = clean(series, confounds, mask=MASK, **plain)[:, MASK]
    np.testing.assert_allclose(masked, clean(series[:, MASK], confounds[:, MASK], **plain), atol=1e-12)


def test_with_a_filter_deletion_is_wrong():
    # Deleted frames make distant ones neighbours: the slow wave is bent there, and the filter keeps the bends.
    time = np.arange(N_FRAMES)
    wave = np.cos(2 * np.pi * time / 24)[None]
    mask = np.abs(time - 60) > 9
    settings = {"band": BAND, "repetition_time": 2.0, "filter_order": 2}
    masked = np.asarray(clean(wave, mask=mask, interpolation="linear", **settings))[:, mask]
    deleted = np.asarray(clean(wave[:, mask], **settings))
    error = [np.abs(found[:, 10:40] - clean(wave, **settings)[:, mask][:, 10:40]).mean() for found in (masked, deleted)]
    assert error[0] < error[1]


def test_motion_spikes_are_kept_out_of_their_neighbours():
    rng = np.random.default_rng(6)
    time = np.arange(N_FRAMES)
    truth = np.cos(2 * np.pi * time / 20 + rng.uniform(0, 6, (4, 1)))
    spoilt = truth + 20 * ~MASK * rng.normal(size=N_FRAMES)
    censored = np.asarray(clean(spoilt, mask=MASK, **SETTINGS))[:, MASK]
    included = np.asarray(clean(spoilt, **SETTINGS))[:, MASK]
    closeness = [
        np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(found, truth[:, MASK], strict=True)])
        for found in (censored, included)
    ]
    assert closeness[0] > 0.95
    assert closeness[0] > closeness[1] + 0.1


def test_runs_confounds_and_masks_broadcast(rng):
    series, confounds = _data(rng)
    runs = np.stack([series, 2 * series + 1])
    masks = np.stack([MASK, UNMIRRORED])
    found = clean(runs, confounds, mask=masks)
    assert found.shape == runs.shape
    np.testing.assert_allclose(found[1], clean(runs[1], confounds, mask=UNMIRRORED), atol=1e-9)


@pytest.mark.parametrize(
    "interpolation",
    ["hybrid", *(pytest.param(name, marks=pytest.mark.slow) for name in ("linear", "spectral", "weighted"))],
)
def test_every_interpolation_serves(interpolation):
    series, confounds = _data(np.random.default_rng(7))
    found = jax.jit(lambda x, c: clean(x, c, mask=MASK, interpolation=interpolation, **SETTINGS))(series, confounds)
    assert bool(jnp.isfinite(found).all())
    np.testing.assert_allclose(found[:, MASK].std(-1, ddof=1), 1.0, rtol=1e-9)


def test_a_small_ridge_is_nearly_a_projection_and_a_large_one_takes_little_away():
    series, confounds = _data(np.random.default_rng(8))
    small, large = (clean(series, confounds, ridge=np.array(ridge), standardisation=None) for ridge in (1e-9, 1e12))
    np.testing.assert_allclose(small, clean(series, confounds, standardisation=None), atol=1e-6)
    np.testing.assert_allclose(large, clean(series, standardisation=None), atol=1e-6)


def test_regions_of_which_nothing_is_left_are_zero_with_finite_gradients():
    series, confounds = _data(np.random.default_rng(9))
    series = np.stack([np.full(N_FRAMES, 0.1), np.arange(N_FRAMES) * 0.1, confounds[0], series[0]]).astype(np.float32)

    def loss(series):
        found = clean(series, confounds, **SETTINGS)
        return (found**3).sum(), found

    gradient, found = jax.jit(jax.grad(loss, has_aux=True))(series)
    assert not np.asarray(found[:3]).any()
    assert np.asarray(found[3]).any()
    assert bool(jnp.isfinite(gradient).all())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"band": BAND}, "a filter needs repetition_time"),
        ({"band": (0.1, 0.02), "repetition_time": 2.0}, "must be below the highest"),
        ({"interpolation": "nearest"}, "interpolation must be one of"),
        ({"standardisation": "psc"}, "standardisation must be None or one of"),
        ({"ridge": -1.0}, "ridge must be positive"),
        ({"trend": 8}, "trend must lie between 0 and the 8 frames less one"),
        ({"confounds": np.ones((2, 7))}, "confounds must have the 8 frames"),
        ({"confounds": np.ones(8)}, "confounds must have shape"),
        ({"mask": np.ones((2, 8), bool)}, "must broadcast"),
        ({"band": (0.01, 0.1), "repetition_time": 2.0}, "must be shorter than the series"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        clean(np.ones((3, 2, 8)), **settings)


def test_bad_values_are_refused_where_they_are_checked():
    series, confounds = _data(np.random.default_rng(12))
    checked = eqx.filter_jit(lambda x, c, mask: clean(x, c, mask=mask, trend=1, check=True))
    broken = np.where(MASK, confounds, np.nan)
    np.testing.assert_allclose(checked(series, broken, MASK), clean(series, confounds, mask=MASK), atol=1e-10)
    every = np.ones(N_FRAMES, bool)
    with pytest.raises(RuntimeError, match="confounds holds NaN or infinity in a frame that counts"):
        checked(series, broken, every)
    with pytest.raises(RuntimeError, match="time_series holds NaN"):
        checked(np.where(MASK, series, np.inf), confounds, every)
    with pytest.raises(RuntimeError, match="no more frames that count than the 5 confounds and powers of time"):
        checked(series, confounds, np.arange(N_FRAMES) < 5)


def test_one_frame_is_refused():
    with pytest.raises(ValueError, match="at least two frames"):
        clean(np.ones((2, 1)))
