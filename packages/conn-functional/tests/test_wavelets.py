"""Morlet wavelets: agreement with MNE, planted sinusoids, valid coefficients of unbroken stretches, coherence."""

import jax.numpy as jnp
import mne.time_frequency
import numpy as np
import pytest
from op_case import OpCase

from conn.functional import morlet_transform, phase_locking_value, wavelet_coherence

FREQUENCIES = np.array([0.12, 0.15, 0.19])
SETTINGS = {"repetition_time": 2.0, "n_cycles": 3.0}
LONG = {"repetition_time": 2.0, "n_cycles": 5.0, "support": 5.0}


def _series(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(5, 40)),)


def _pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(2, 40)), rng.normal(size=(2, 40))


def _parts(array) -> np.ndarray:
    return jnp.stack([array.real, array.imag])


def _mnes_transform(series: np.ndarray) -> np.ndarray:
    centred = series - series.mean(-1, keepdims=True)
    found = mne.time_frequency.tfr_array_morlet(
        centred[None], sfreq=0.5, freqs=FREQUENCIES, n_cycles=5.0, zero_mean=True, output="complex", verbose="error"
    )[0]
    # MNE gives each wavelet the norm sqrt(2); ours gives a sinusoid of amplitude 1 the modulus 1.
    spread = 5.0 / (2 * np.pi * FREQUENCIES)
    time = np.arange(-40, 41) * 2.0
    bell = np.exp(-(time**2) / (2 * spread[:, None] ** 2)) * (np.abs(time) < 5 * spread[:, None])
    wave = bell * (np.exp(2j * np.pi * FREQUENCIES[:, None] * time) - np.exp(-(5.0**2) / 2))
    scale = np.sqrt(0.5) * np.linalg.norm(wave, axis=-1) * 2 / bell.sum(-1)
    return _parts(np.moveaxis(found * scale[:, None], 1, 0))


def _direct_coherence(first: np.ndarray, second: np.ndarray, octaves: float = 0.6) -> np.ndarray:
    """The definition, frame by frame and frequency by frequency: sums over frames, in NumPy."""
    n_frames, time = first.shape[-1], np.arange(first.shape[-1])
    spread = SETTINGS["n_cycles"] / (2 * np.pi * FREQUENCIES) / SETTINGS["repetition_time"]
    smoothed = np.zeros((4, len(FREQUENCIES), *first.shape))
    whole = np.zeros((len(FREQUENCIES), n_frames), bool)
    for k, (hertz, sigma) in enumerate(zip(FREQUENCIES, spread, strict=True)):
        reach = int(3 * sigma)
        lag = np.arange(-reach, reach + 1)
        bell = np.exp(-(lag**2) / (2 * sigma**2))
        wave = np.exp(2j * np.pi * hertz * 2.0 * lag)
        wavelet = 2 * bell / bell.sum() * (wave - (bell * wave).sum() / bell.sum())
        whole[k, reach : n_frames - reach] = True
        w1, w2 = (
            np.array([np.convolve(row - row.mean(), wavelet)[reach : reach + n_frames] for row in series])
            for series in (first, second)
        )
        products = np.stack([np.abs(w1) ** 2, np.abs(w2) ** 2, (w1 * w2.conj()).real, (w1 * w2.conj()).imag])
        for t in time:
            near = np.abs(time - t) <= reach
            weight = np.where(near & whole[k], np.exp(-((time - t) ** 2) / (2 * sigma**2)), 0) / bell.sum()
            smoothed[:, k, :, t] = products @ weight
    box = (np.abs(np.log2(FREQUENCIES[:, None] / FREQUENCIES)) <= octaves / 2).astype(float)
    box /= box.sum(-1, keepdims=True)
    one, two, real, imaginary = np.einsum("gf,kf...->kg...", box, smoothed)
    with np.errstate(invalid="ignore"):
        return np.where(whole[:, None], (real**2 + imaginary**2) / (one * two), 0)


FLAT = {"zeros": (np.zeros((5, 40)),), "constant": (np.full((5, 40), 0.1),)}
FLAT_PAIR = {
    "zeros": (np.zeros((2, 40)), np.zeros((2, 40))),
    "one constant": (np.full((2, 40), 0.1), np.random.default_rng(0).normal(size=(2, 40))),
    "the same twice": (np.random.default_rng(1).normal(size=(2, 40)),) * 2,
}

NOT_OPERATIONS = {
    "MorletTransform": "the named tuple that morlet_transform gives",
    "WaveletCoherence": "the named tuple that wavelet_coherence gives",
}

OP_CASES: list[OpCase] = [
    OpCase(
        "morlet_transform",
        lambda series: _parts(morlet_transform(series, FREQUENCIES, **LONG).coefficients),
        _series,
        "mne.time_frequency.tfr_array_morlet",
        _mnes_transform,
        rtol=1e-4,  # MNE's constant, which lets the mean pass, is that of an endless, unsampled wavelet
        atol=1e-5,
        degenerate=FLAT,
    ),
    OpCase(
        "wavelet_coherence",
        lambda first, second: wavelet_coherence(first, second, FREQUENCIES, **SETTINGS).coherence,
        _pair,
        "numpy (the definition as sums; MNE-Connectivity averages over time instead of smoothing)",
        _direct_coherence,
        degenerate=FLAT_PAIR,
    ),
]


def test_a_sinusoid_has_its_amplitude_and_phase_whatever_its_mean():
    time = np.arange(200) * 2.0
    series = (1e4 + 3 * np.cos(2 * np.pi * 0.1 * time + 0.7))[None]
    transform = morlet_transform(series, [0.05, 0.1], repetition_time=2.0)
    inside = np.asarray(transform.valid[1])
    expected = 3 * np.exp(1j * (2 * np.pi * 0.1 * time + 0.7))
    np.testing.assert_allclose(transform.coefficients[1, 0, inside], expected[inside], atol=0.01)
    assert np.abs(transform.coefficients[0, 0, np.asarray(transform.valid[0])]).max() < 0.1


def test_valid_coefficients_are_those_of_the_unbroken_stretch_alone():
    series = np.random.default_rng(2).normal(size=(2, 92)) + np.repeat([0.0, 30.0], [30, 62])
    mask, run = np.ones(92, bool), np.repeat([0, 1], [30, 62])
    mask[[60, 61]] = False
    dirty = np.where(mask, series, np.nan)
    transform = morlet_transform(dirty, FREQUENCIES, **SETTINGS, mask=mask, run=run)
    assert np.isfinite(transform.coefficients).all()
    for stretch in (slice(0, 30), slice(30, 60), slice(62, 92)):
        alone = morlet_transform(series[:, stretch], FREQUENCIES, **SETTINGS)
        np.testing.assert_array_equal(transform.valid[:, stretch], alone.valid)
        whole = np.asarray(alone.valid)[:, None]
        np.testing.assert_allclose(
            np.where(whole, transform.coefficients[..., stretch], 0), np.where(whole, alone.coefficients, 0), atol=1e-10
        )


def test_deletion_of_masked_frames_moves_the_frequency_and_the_mask_does_not():
    time = np.arange(400) * 2.0
    series = np.cos(2 * np.pi * 0.15 * time)[None]
    mask = np.random.default_rng(3).random(400) > 0.05
    kept = morlet_transform(series, FREQUENCIES, **SETTINGS, mask=mask)
    amplitude = np.abs(np.asarray(kept.coefficients)[1, 0])[np.asarray(kept.valid)[1]]
    np.testing.assert_allclose(amplitude, 1, atol=0.02)
    deleted = morlet_transform(series[:, mask], FREQUENCIES, **SETTINGS)
    amplitude = np.abs(np.asarray(deleted.coefficients)[1, 0])[np.asarray(deleted.valid)[1]]
    assert amplitude.min() < 0.7


def test_phase_locking_takes_the_coefficients_and_their_mask():
    time = np.arange(200) * 2.0
    noise = 0.1 * np.random.default_rng(4).normal(size=(2, 200))
    series = np.stack([np.cos(2 * np.pi * 0.15 * time), np.cos(2 * np.pi * 0.15 * time - 1)]) + noise
    transform = morlet_transform(series, FREQUENCIES, **SETTINGS, mask=np.arange(200) != 77)
    locking = phase_locking_value(transform.coefficients, mask=transform.valid)
    assert locking.shape == (3, 2, 2)
    assert locking[1, 0, 1] > 0.99


def test_coherence_is_high_where_and_when_a_rhythm_is_shared():
    rng = np.random.default_rng(5)
    time = np.arange(600) * 2.0
    shared = np.where(time < 600, 3 * np.cos(2 * np.pi * 0.1 * time), 0)
    series = shared + rng.normal(size=(2, 600))
    frequencies = 0.02 * 2 ** np.arange(0, 3.3, 0.1)
    found = wavelet_coherence(series[:1], series[1:], frequencies, repetition_time=2.0)
    where = int(np.argmin(np.abs(frequencies - 0.1)))
    assert found.coherence[where, 0, 60:240].min() > 0.8
    assert found.coherence[where, 0, 360:540].mean() < 0.6
    assert not np.any(np.asarray(found.coherence)[:, 0][~np.asarray(found.valid)])


def test_coherence_under_a_mask_and_runs_is_that_of_each_stretch():
    rng = np.random.default_rng(6)
    first, second = rng.normal(size=(2, 1, 91))
    mask, run = np.arange(91) != 60, np.repeat([0, 1], [30, 61])
    dirty = np.where(mask, first, np.nan)
    found = wavelet_coherence(dirty, second, FREQUENCIES, **SETTINGS, octaves=0.0, mask=mask, run=run)
    for stretch in (slice(0, 30), slice(30, 60), slice(61, 91)):
        alone = wavelet_coherence(first[:, stretch], second[:, stretch], FREQUENCIES, **SETTINGS, octaves=0.0)
        np.testing.assert_allclose(found.coherence[..., stretch], alone.coherence, atol=1e-9)


def test_coherence_knows_no_unit_and_pairs_broadcast():
    rng = np.random.default_rng(7)
    seed, others = rng.normal(size=(1, 60)), rng.normal(size=(3, 60))
    expected = wavelet_coherence(seed, others, FREQUENCIES, **SETTINGS).coherence
    assert expected.shape == (3, 3, 60)
    scaled = wavelet_coherence(
        (seed * 1e-8).astype(np.float32), (others * 1e8).astype(np.float32), FREQUENCIES, **SETTINGS
    ).coherence
    assert scaled.dtype == jnp.float32
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("frequencies", "settings", "message"),
    [
        ([0.3], {}, "0.3 Hz does not"),
        ([0.0, 0.1], {}, "0 Hz does not"),
        ([], {}, "must be a sequence of numbers"),
        ([0.01], {}, "spans 143 frames"),
        (FREQUENCIES, {"n_cycles": 0.0}, "n_cycles must be above 0"),
        (FREQUENCIES, {"support": -1.0}, "support must be above 0"),
        (FREQUENCIES, {"mask": np.ones(39, bool)}, "mask must have one value"),
        (FREQUENCIES, {"run": np.ones((2, 40), int)}, "must fit those of the series"),
    ],
)
def test_misfitting_settings_are_refused(frequencies, settings, message):
    with pytest.raises(ValueError, match=message):
        morlet_transform(np.ones((2, 40)), frequencies, **({**SETTINGS} | settings))


def test_misfitting_pairs_are_refused():
    with pytest.raises(ValueError, match="must have the same frames"):
        wavelet_coherence(np.ones((2, 40)), np.ones((2, 41)), FREQUENCIES, **SETTINGS)
    with pytest.raises(ValueError, match="must broadcast"):
        wavelet_coherence(np.ones((2, 40)), np.ones((3, 40)), FREQUENCIES, **SETTINGS)
    with pytest.raises(ValueError, match="octaves must not be negative"):
        wavelet_coherence(np.ones((2, 40)), np.ones((2, 40)), FREQUENCIES, octaves=-1.0, **SETTINGS)


def test_bad_values_are_refused_where_they_are_checked():
    series = np.random.default_rng(8).normal(size=(2, 40))
    series[1, 20] = np.nan
    mask = np.arange(40) != 20
    assert np.isfinite(morlet_transform(series, FREQUENCIES, **SETTINGS, mask=mask, check=True).coefficients).all()
    with pytest.raises(RuntimeError, match="NaN or infinity in a frame that counts"):
        morlet_transform(series, FREQUENCIES, **SETTINGS, check=True)
    with pytest.raises(RuntimeError, match="NaN or infinity in a frame that counts"):
        wavelet_coherence(series[:1], series[1:], FREQUENCIES, **SETTINGS, check=True)
