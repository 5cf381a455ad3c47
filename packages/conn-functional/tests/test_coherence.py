"""Coherence: agreement with SciPy and MNE-Connectivity, lags and leads, gaps, one segment, refusals."""

import jax.numpy as jnp
import mne_connectivity
import numpy as np
import pytest
import scipy.signal
from op_case import OpCase

from conn.functional import coherence, coherency, imaginary_coherence

SETTINGS = {"segment_length": 10}
MNE = {"sfreq": 0.5, "mode": "fourier", "verbose": "error"}


def _series(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(5, 40)),)


def _scipys_coherency(series: np.ndarray) -> np.ndarray:
    cross = scipy.signal.csd(series[None, :], series[:, None], nperseg=10)[1]
    power = scipy.signal.welch(series, nperseg=10)[1]
    return np.moveaxis(cross / np.sqrt(power[:, None] * power[None, :]), -1, 0)


FLAT = {
    "zeros": (np.zeros((5, 40)),),
    "constant": (np.full((5, 40), 0.1),),
    "one constant region": (np.vstack([np.full((1, 40), 0.1), np.random.default_rng(0).normal(size=(4, 40))]),),
    "one region twice": (np.random.default_rng(1).normal(size=(3, 40))[[0, 0, 1, 1, 2]],),
}

OP_CASES: list[OpCase] = [
    OpCase(
        "coherency",
        lambda series: jnp.stack([(ratio := coherency(series, **SETTINGS)).real, ratio.imag]),
        _series,
        "scipy.signal.csd, scipy.signal.welch",
        lambda series: np.stack([_scipys_coherency(series).real, _scipys_coherency(series).imag]),
        degenerate=FLAT,
    ),
    OpCase(
        "coherence",
        lambda series: coherence(series, **SETTINGS),
        _series,
        "scipy.signal.coherence",
        lambda series: np.moveaxis(scipy.signal.coherence(series[:, None], series[None, :], nperseg=10)[1], -1, 0),
        degenerate=FLAT,
    ),
    OpCase(
        "imaginary_coherence",
        lambda series: imaginary_coherence(series, **SETTINGS),
        _series,
        "scipy.signal.csd, scipy.signal.welch",
        lambda series: _scipys_coherency(series).imag,
        degenerate=FLAT,
    ),
]


@pytest.mark.parametrize(("method", "ours"), [("coh", coherence), ("imcoh", imaginary_coherence)])
def test_epochs_give_what_mne_connectivity_gives(method, ours):
    epochs = np.random.default_rng(2).normal(size=(12, 4, 30))
    epochs[:, 1] += np.roll(epochs[:, 0], 2, -1)
    theirs = mne_connectivity.spectral_connectivity_epochs(
        epochs, method=method, fmin=0.03, fmax=0.2, faverage=True, **MNE
    ).get_data("dense")[..., 0]
    series = np.moveaxis(epochs, 0, 1).reshape(4, -1)
    settings = {"segment_length": 30, "overlap": 0, "window": np.hanning(30)}
    if method == "coh":  # MNE averages the modulus over the band, where coherence is its square
        bins = np.fft.rfftfreq(30, 2.0)
        matrix = np.sqrt(coherence(series, **settings))[(bins >= 0.03) & (bins <= 0.2)].mean(0)
    else:
        matrix = np.asarray(ours(series, **settings, band=(0.03, 0.2), repetition_time=2.0))
    lower = np.tril_indices(4, -1)
    np.testing.assert_allclose(matrix[lower], theirs[lower], rtol=1e-6, atol=1e-9)


def test_the_imaginary_part_is_positive_where_the_row_leads():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=2000)
    series = np.stack([noise[2:], noise[:-2]])  # the first region is two frames ahead of the second
    matrix = imaginary_coherence(series, segment_length=40, band=(0.05, 0.1), repetition_time=2.0)
    assert matrix[0, 1] > 0.5
    np.testing.assert_allclose(matrix, -matrix.T, atol=1e-12)


def test_instantaneous_mixing_has_coherence_but_no_imaginary_part():
    source = np.random.default_rng(4).normal(size=2000)
    series = np.stack([source, -2 * source])
    settings = {"segment_length": 40, "band": (0.05, 0.1), "repetition_time": 2.0}
    np.testing.assert_allclose(coherence(series, **settings), 1, atol=1e-12)
    np.testing.assert_allclose(imaginary_coherence(series, **settings), 0, atol=1e-12)


def test_independent_noise_has_the_coherence_of_its_number_of_segments():
    # Expectation 1 / K for K separate segments; the mean over 45 pairs and 19 bins strays by 0.004 or less (6 sigma).
    series = np.random.default_rng(5).normal(size=(10, 800))
    matrix = np.asarray(coherence(series, segment_length=40, overlap=0, window="boxcar"))[1:-1]
    np.testing.assert_allclose(matrix[:, *np.triu_indices(10, 1)].mean(), 1 / 20, atol=0.01)


def test_deletion_of_masked_frames_loses_the_coherence_of_a_lagged_pair_and_the_mask_keeps_it():
    # The second region follows the first one frame later, and their frames are censored here and there. Deletion joins
    # distant frames; segments of neighbours show the planted phase lag at every frequency.
    rng = np.random.default_rng(6)
    noise = rng.normal(size=6001)
    series = np.stack([noise[1:], noise[:-1]])
    mask = rng.random(6000) > 0.05
    bins = np.fft.rfftfreq(20, 1.0)[1:-1]
    kept = coherency(series, segment_length=20, mask=mask)[1:-1, 0, 1]
    deleted = coherency(series[:, mask], segment_length=20)[1:-1, 0, 1]
    planted = np.exp(2j * np.pi * bins)
    np.testing.assert_allclose(np.abs(kept - planted * np.abs(kept)).max(), 0, atol=0.1)
    assert np.abs(kept).min() > 0.85
    assert np.abs(deleted).mean() < np.abs(kept).mean() - 0.03


def test_whatever_stands_in_masked_frames_is_never_read():
    series = np.random.default_rng(7).normal(size=(3, 60))
    mask = np.ones(60, bool)
    mask[[20, 21, 45]] = False
    dirty = np.where(mask, series, np.nan)
    np.testing.assert_array_equal(coherence(dirty, **SETTINGS, mask=mask), coherence(series, **SETTINGS, mask=mask))


def test_a_mask_that_leaves_one_segment_leaves_no_coherence():
    series = np.random.default_rng(8).normal(size=(3, 40))
    assert not np.any(coherence(series, **SETTINGS, mask=np.arange(40) < 12))
    assert np.any(coherence(series, **SETTINGS, mask=np.arange(40) < 15))


def test_coherence_knows_no_unit():
    series = np.random.default_rng(9).normal(size=(3, 40))
    scaled = series * np.array([[1e-8], [1.0], [1e8]])
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-4)):
        np.testing.assert_allclose(
            coherence(scaled.astype(dtype), **SETTINGS), coherence(series, **SETTINGS), atol=tolerance
        )


def test_a_constant_region_is_coherent_with_nothing_and_nan_stays_visible():
    series = np.random.default_rng(10).normal(size=(3, 40))
    series[0] = 0.1
    series[1, 3] = np.nan
    matrix = np.asarray(coherence(series.astype(np.float32), **SETTINGS))
    assert not np.any(matrix[:, 0, [0, 2]])
    assert np.isnan(matrix[:, 1, 1:]).all()
    np.testing.assert_array_equal(matrix[:, 2, 2], 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"segment_length": 40}, "at least two segments"),
        ({"segment_length": 30}, "at least two segments"),
        ({"band": (0.05, 0.1)}, "go together"),
        ({"repetition_time": 2.0}, "go together"),
        ({"band": (0.26, 0.3), "repetition_time": 2.0}, "Nyquist"),
        ({"band": (0.06, 0.09), "repetition_time": 2.0}, "no Fourier bin of 10 frames"),
    ],
)
def test_misfitting_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        coherence(np.ones((2, 40)), **({**SETTINGS} | settings))


def test_too_few_segments_are_refused_where_they_are_checked():
    series = np.random.default_rng(11).normal(size=(3, 40))
    with pytest.raises(RuntimeError, match="fewer than two segments of 10"):
        coherence(series, **SETTINGS, mask=np.arange(40) < 12, check=True)
