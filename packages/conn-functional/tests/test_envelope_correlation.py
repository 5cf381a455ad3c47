"""Envelope correlation: agreement with MNE-Connectivity, leakage, masks, constant envelopes."""

import jax.numpy as jnp
import mne_connectivity
import numpy as np
import pytest
import scipy.signal
from op_case import OpCase

from conn.functional import analytic_signal, envelope_correlation


def _series(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(5, 40)),)


def _mne(**settings):
    def reference(series: np.ndarray) -> np.ndarray:
        # 40 frames are a fast length already, so that MNE pads nothing before its Hilbert transform
        found = mne_connectivity.envelope_correlation(series[None], verbose="error", **settings)
        lower = found.get_data("dense")[0, :, :, 0]
        return np.tril(lower) + np.tril(lower, -1).T

    return reference


FLAT = {
    "zeros": (np.zeros((5, 40)),),
    "constant": (np.full((5, 40), 0.1),),
    "one region twice": (np.random.default_rng(1).normal(size=(3, 40))[[0, 0, 1, 1, 2]],),
    "one region silent": (np.vstack([np.zeros((1, 40)), np.random.default_rng(0).normal(size=(4, 40))]),),
}

OP_CASES: list[OpCase] = [
    OpCase(
        "envelope_correlation",
        envelope_correlation,
        _series,
        "mne_connectivity.envelope_correlation",
        _mne(),
        degenerate=FLAT,
    ),
    OpCase(
        "envelope_correlation",
        lambda series: envelope_correlation(series, absolute=False),
        _series,
        "mne_connectivity.envelope_correlation",
        _mne(absolute=False),
        degenerate=FLAT,
    ),
    OpCase(
        "envelope_correlation",
        lambda series: envelope_correlation(series, orthogonalise=False),
        _series,
        "mne_connectivity.envelope_correlation",
        _mne(orthogonalize=False),
        degenerate=FLAT,
    ),
]


def _bursts(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two noises of a narrow band under one envelope and a third under another, and the bare noises."""
    rng = np.random.default_rng(seed)
    slow = scipy.signal.butter(2, 0.02, output="sos")
    band = scipy.signal.butter(2, [0.4, 0.5], "bandpass", output="sos")
    gains = np.exp(4 * scipy.signal.sosfiltfilt(slow, rng.normal(size=(2, 4000))))
    noise = scipy.signal.sosfiltfilt(band, rng.normal(size=(3, 4000)))
    return noise * gains[[0, 0, 1]], noise


def test_a_shared_envelope_is_found_and_another_is_not():
    series, _ = _bursts(2)
    for orthogonalise in (True, False):
        matrix = envelope_correlation(series, orthogonalise=orthogonalise)
        assert matrix[0, 1] > 0.25
        assert matrix[0, 2] < 0.15


def test_leakage_alone_makes_envelopes_correlate_and_orthogonalisation_undoes_it():
    _, noise = _bursts(3)
    leaked = np.stack([noise[0] + noise[1], noise[1]])
    assert envelope_correlation(leaked, orthogonalise=False)[0, 1] > 0.3
    assert envelope_correlation(leaked)[0, 1] < 0.15
    for dtype in (np.float64, np.float32):
        assert not np.any(envelope_correlation(np.stack([noise[0], -0.3 * noise[0]]).astype(dtype)))


@pytest.mark.parametrize("orthogonalise", [True, False])
def test_a_mask_is_deletion_after_the_transform_and_not_before_it(orthogonalise):
    series, _ = _bursts(4)
    mask = np.random.default_rng(5).random(4000) > 0.2
    ours = envelope_correlation(series, orthogonalise=orthogonalise, mask=mask)
    analytic = np.asarray(analytic_signal(series))
    np.testing.assert_allclose(ours, envelope_correlation(analytic[:, mask], orthogonalise=orthogonalise), atol=1e-10)
    dirty = np.where(mask, analytic, np.nan)
    np.testing.assert_array_equal(envelope_correlation(dirty, orthogonalise=orthogonalise, mask=mask), ours)
    # Deletion first puts jumps into the series, and the envelopes are no longer those of the frames that remain.
    truth = np.abs(analytic[:, mask])
    error = np.abs(np.asarray(analytic_signal(series[:, mask]))) - truth
    assert np.sqrt((error**2).mean() / (truth**2).mean()) > 0.2


def test_a_constant_envelope_correlates_with_nothing_and_nan_stays_visible():
    series = np.random.default_rng(6).normal(size=(4, 40))
    series[0] = np.cos(0.5 * np.pi * np.arange(40))  # its envelope is 1 but for rounding
    series[1, 3] = np.nan
    for dtype in (np.float64, np.float32):
        for orthogonalise in (True, False):
            matrix = np.asarray(envelope_correlation(series.astype(dtype), orthogonalise=orthogonalise))
            assert matrix.dtype == dtype
            assert not np.any(matrix[0, [0, 2, 3]])
            if not orthogonalise:
                assert matrix[2, 2] == 1
            assert np.isnan(matrix[1, 2:]).all()


def test_envelope_correlation_knows_no_unit():
    series = np.random.default_rng(7).normal(size=(3, 40))
    scaled = series * np.array([[1e-8], [1.0], [1e8]])
    for orthogonalise in (True, False):
        expected = envelope_correlation(series, orthogonalise=orthogonalise)
        np.testing.assert_allclose(envelope_correlation(scaled, orthogonalise=orthogonalise), expected, atol=1e-9)
        np.testing.assert_allclose(
            envelope_correlation(jnp.asarray(scaled, jnp.float32), orthogonalise=orthogonalise), expected, atol=1e-4
        )


def test_misfitting_arrays_are_refused():
    with pytest.raises(ValueError, match="mask must have one value for each of the 40 frames"):
        envelope_correlation(np.ones((2, 40)), mask=np.ones(39, bool))
    with pytest.raises(ValueError, match="must have shape"):
        envelope_correlation(np.ones(40))


def test_bad_values_are_refused_where_they_are_checked():
    series = np.full((3, 40), np.nan)
    with pytest.raises(RuntimeError, match="interpolate before the analytic signal"):
        envelope_correlation(series, check=True)
