"""Spectra of segments: agreement with SciPy, gaps and runs, known sinusoids, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from op_case import OpCase

from conn.functional import alff, cross_spectrum, falff, power_spectrum, segment_spectra

REPETITION_TIME = 2.0
WELCH = {"fs": 1 / REPETITION_TIME, "nperseg": 10}
OURS = {"repetition_time": REPETITION_TIME, "segment_length": 10}
BAND = (0.04, 0.13)


def _series(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(5, 40)),)


def _parts(spectrum):
    return np.stack([np.real(spectrum), np.imag(spectrum)])


def _scipys_cross_spectrum(series: np.ndarray) -> np.ndarray:
    density = scipy.signal.csd(series[None, :], series[:, None], **WELCH)[1]  # (row, column, bin): conjugates column
    return _parts(np.moveaxis(density, -1, 0))


def _amplitude(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    frequencies, power = scipy.signal.periodogram(series, fs=1 / REPETITION_TIME, scaling="spectrum")
    scale = np.full(len(frequencies), np.sqrt(2.0))
    scale[[0, -1]] = 1.0
    return frequencies, np.sqrt(power) * scale


def _alff(series: np.ndarray) -> np.ndarray:
    frequencies, amplitude = _amplitude(series)
    return amplitude[:, (frequencies >= BAND[0]) & (frequencies <= BAND[1])].mean(-1)


def _falff(series: np.ndarray) -> np.ndarray:
    frequencies, amplitude = _amplitude(series)
    return amplitude[:, (frequencies >= BAND[0]) & (frequencies <= BAND[1])].sum(-1) / amplitude[:, 1:].sum(-1)


FLAT = {
    "zeros": (np.zeros((5, 40)),),
    "constant": (np.full((5, 40), 0.1),),
    "one constant region": (np.vstack([np.full((1, 40), 0.1), np.random.default_rng(0).normal(size=(4, 40))]),),
}

NOT_OPERATIONS = {"SegmentSpectra": "the named tuple that segment_spectra gives"}

OP_CASES: list[OpCase] = [
    OpCase(
        "segment_spectra",
        lambda series: jnp.abs(segment_spectra(series, segment_length=10).coefficients) ** 2,
        _series,
        "scipy.signal.spectrogram",
        lambda series: (
            np.moveaxis(scipy.signal.spectrogram(series, window="hann", nperseg=10, noverlap=5, mode="psd")[2], 1, 0)
            / np.array([1, 2, 2, 2, 2, 1])[:, None, None]
        ),
        degenerate=FLAT,
    ),
    OpCase(
        "power_spectrum",
        lambda series: power_spectrum(series, **OURS),
        _series,
        "scipy.signal.welch",
        lambda series: scipy.signal.welch(series, **WELCH)[1],
        degenerate=FLAT,
    ),
    OpCase(
        "cross_spectrum",
        lambda series: jnp.stack([(density := cross_spectrum(series, **OURS)).real, density.imag]),
        _series,
        "scipy.signal.csd",
        _scipys_cross_spectrum,
        degenerate=FLAT,
    ),
    OpCase(
        "alff",
        lambda series: alff(series, repetition_time=REPETITION_TIME, band=BAND),
        _series,
        "scipy.signal.periodogram",
        _alff,
        degenerate=FLAT,
    ),
    OpCase(
        "falff",
        lambda series: falff(series, repetition_time=REPETITION_TIME, band=BAND),
        _series,
        "scipy.signal.periodogram",
        _falff,
        degenerate=FLAT,
    ),
]


@pytest.mark.parametrize("detrend", ["constant", "linear", None])
@pytest.mark.parametrize(("length", "overlap", "window"), [(11, 3, "hamming"), (16, None, "boxcar")])
def test_windows_overlaps_and_detrending_are_those_of_scipy(length, overlap, window, detrend):
    series = np.random.default_rng(1).normal(size=(2, 50)) + 3 + 0.1 * np.arange(50)
    ours = power_spectrum(
        series, repetition_time=0.7, segment_length=length, overlap=overlap, window=window, detrend=detrend
    )
    expected = scipy.signal.welch(
        series, fs=1 / 0.7, nperseg=length, noverlap=overlap, window=window, detrend=detrend or False
    )[1]
    np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-12)


def _blockwise(series: np.ndarray, blocks: list[slice], length: int) -> np.ndarray:
    """Welch's estimate of each block by SciPy, weighted by the number of its segments."""
    total, count = 0.0, 0
    for block in blocks:
        n_segments = (series[:, block].shape[-1] - length) // (length - length // 2) + 1
        if n_segments > 0:
            total += n_segments * scipy.signal.welch(series[:, block], fs=0.5, nperseg=length)[1]
            count += n_segments
    return total / count


GAPS = np.ones(60, bool)
GAPS[[17, 18, 40, 45]] = False


def test_with_gaps_each_block_of_neighbours_is_cut_by_itself():
    series = np.random.default_rng(2).normal(size=(3, 60))
    dirty = np.where(GAPS, series, np.nan)
    blocks = [slice(0, 17), slice(19, 40), slice(41, 45), slice(46, 60)]
    ours = power_spectrum(dirty, **OURS, mask=GAPS)
    np.testing.assert_allclose(ours, _blockwise(series, blocks, 10), rtol=1e-9)


def test_no_segment_reaches_from_one_run_into_the_next():
    series = np.random.default_rng(3).normal(size=(2, 60)) + np.repeat([0.0, 50.0], [23, 37])
    ours = power_spectrum(series, **OURS, run=np.repeat([0, 1], [23, 37]))
    np.testing.assert_allclose(ours, _blockwise(series, [slice(0, 23), slice(23, 60)], 10), rtol=1e-9)


def test_deleting_masked_frames_instead_is_wrong():
    # A slow and a fast sinusoid, with frames censored at random: after deletion the fast one is smeared over all
    # frequencies, while segments of neighbours still show an empty spectrum between the two.
    rng = np.random.default_rng(4)
    time = np.arange(600) * 2.0
    series = (np.sin(2 * np.pi * 0.025 * time) + np.sin(2 * np.pi * 0.2 * time))[None]
    mask = rng.random(600) > 0.04
    frequencies = np.fft.rfftfreq(20, 2.0)
    between = (frequencies > 0.08) & (frequencies < 0.15)
    settings = {"repetition_time": 2.0, "segment_length": 20}
    kept = power_spectrum(series, **settings, mask=mask)[0]
    deleted = power_spectrum(series[:, mask], **settings)[0]
    whole = power_spectrum(series, **settings)[0]
    assert kept[between].sum() / kept.sum() < 1e-3
    assert deleted[between].sum() / deleted.sum() > 5e-3
    np.testing.assert_allclose(kept[1:], whole[1:], atol=1e-6 * whole.max())


def test_masks_differ_between_scans_and_one_that_leaves_nothing_gives_nothing():
    series = np.random.default_rng(5).normal(size=(2, 3, 60))
    masks = np.stack([GAPS, np.arange(60) % 9 != 0])
    ours = power_spectrum(series, **OURS, mask=masks)
    np.testing.assert_allclose(ours[0], power_spectrum(series[0], **OURS, mask=GAPS), rtol=1e-12)
    assert not np.any(ours[1])
    gradient = jax.grad(lambda x: power_spectrum(x, **OURS, mask=masks).sum())(jnp.asarray(series))
    assert np.isfinite(gradient).all()


def test_there_is_room_for_every_segment_of_any_mask():
    rng = np.random.default_rng(6)
    for _ in range(50):
        mask = rng.random(60) > 0.06
        spectra = segment_spectra(rng.normal(size=(1, 60)), segment_length=7, overlap=5, mask=mask)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask, [0]])))
        expected = sum(max((stop - start - 7) // 2 + 1, 0) for start, stop in edges.reshape(-1, 2))
        assert int(spectra.valid.sum()) == expected


def test_alff_of_a_sinusoid_is_its_amplitude_over_the_bins_of_the_band():
    time = np.arange(100) * 2.0
    series = np.stack([3 * np.sin(2 * np.pi * 0.05 * time), 3 * np.sin(2 * np.pi * 0.2 * time)]) + 1000
    np.testing.assert_allclose(
        alff(series, repetition_time=2.0, band=(0.0475, 0.0525)), [3, 0], atol=1e-9
    )  # one bin: they lie 0.005 Hz apart
    np.testing.assert_allclose(falff(series, repetition_time=2.0), [1, 0], atol=1e-9)


def test_alff_under_a_mask_reads_segments_of_neighbours():
    series = np.random.default_rng(7).normal(size=(3, 60))
    settings = {"repetition_time": 2.0, "band": BAND, "segment_length": 10, "mask": GAPS}
    dirty = np.where(GAPS, series, np.nan)
    clean = alff(series, **settings)
    np.testing.assert_array_equal(alff(dirty, **settings), clean)
    assert np.all(np.asarray(clean) > 0)


def test_nan_stays_visible_where_it_is_not_masked():
    series = np.random.default_rng(8).normal(size=(3, 40))
    series[1, 5] = np.nan
    for result in (power_spectrum(series, **OURS).sum(-1), falff(series, repetition_time=2.0)):
        np.testing.assert_array_equal(np.isnan(result), [False, True, False])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"segment_length": 41}, "whole number from 2 to the 40 frames"),
        ({"segment_length": 1}, "whole number from 2"),
        ({"overlap": 10}, "overlap must be a whole number from 0 to 9"),
        ({"window": np.ones(9)}, r"window must have shape \(10,\)"),
        ({"window": "no such window"}, "no such window"),
        ({"detrend": "cubic"}, "detrend must be"),
        ({"mask": np.ones(39, bool)}, "mask must have one value for each of the 40 frames"),
        ({"mask": np.ones((3, 40), bool)}, "must fit those of the series"),
        ({"run": np.ones(41, int)}, "run must have one value"),
        ({"repetition_time": 0}, "repetition_time must be above 0 s"),
    ],
)
def test_misfitting_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        power_spectrum(np.ones((2, 40)), **({**OURS} | settings))


def test_alff_refuses_a_mask_without_a_segment_length_and_an_empty_band():
    with pytest.raises(ValueError, match="segment_length must be said"):
        alff(np.ones((2, 40)), repetition_time=2.0, mask=np.ones(40, bool))
    with pytest.raises(ValueError, match="no Fourier bin of 40 frames"):
        alff(np.ones((2, 40)), repetition_time=2.0, band=(0.03, 0.035))


def test_bad_values_are_refused_where_they_are_checked():
    series = np.random.default_rng(9).normal(size=(3, 40))
    checked = eqx.filter_jit(lambda x, mask: power_spectrum(x, **OURS, mask=mask, check=True))
    every = np.ones(40, bool)
    assert np.isfinite(checked(series, every)).all()
    with pytest.raises(RuntimeError, match="no segment of 10 neighbouring valid frames"):
        checked(series, np.arange(40) % 9 != 0)
    series[0, 7] = np.nan
    with pytest.raises(RuntimeError, match="holds NaN or infinity"):
        checked(series, every)
