"""Analytic signals: agreement with SciPy and NumPy, known sinusoids, silent regions, refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from op_case import OpCase

from conn.functional import (
    analytic_signal,
    envelope,
    hilbert_transform,
    instantaneous_frequency,
    instantaneous_phase,
    unwrap,
)


def _series(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(5, 40)),)


def _parts(analytic):
    return jnp.stack([analytic.real, analytic.imag])


def _scipys_frequency(series: np.ndarray) -> np.ndarray:
    return np.diff(np.unwrap(np.angle(scipy.signal.hilbert(series)))) / (2 * np.pi * 2.0)


FLAT = {"zeros": (np.zeros((5, 40)),), "constant": (np.full((5, 40), 0.1),)}

OP_CASES: list[OpCase] = [
    OpCase(
        "analytic_signal",
        lambda series: _parts(analytic_signal(series)),
        _series,
        "scipy.signal.hilbert",
        lambda series: _parts(scipy.signal.hilbert(series)),
        degenerate=FLAT,
    ),
    OpCase(
        "hilbert_transform",
        hilbert_transform,
        _series,
        "scipy.signal.hilbert",
        lambda series: scipy.signal.hilbert(series).imag,
        degenerate=FLAT,
    ),
    OpCase(
        "envelope",
        envelope,
        _series,
        "scipy.signal.hilbert",
        lambda series: np.abs(scipy.signal.hilbert(series)),
        degenerate=FLAT,
    ),
    OpCase(
        "instantaneous_phase",
        instantaneous_phase,
        _series,
        "scipy.signal.hilbert",
        lambda series: np.angle(scipy.signal.hilbert(series)),
        degenerate=FLAT,
    ),
    OpCase(
        "instantaneous_frequency",
        lambda series: instantaneous_frequency(series, repetition_time=2.0),
        _series,
        "scipy.signal.hilbert, numpy.unwrap",
        _scipys_frequency,
        degenerate=FLAT,
    ),
    OpCase(
        "unwrap",
        lambda phase: unwrap(3 * phase),
        _series,
        "numpy.unwrap",
        lambda phase: np.unwrap(3 * phase),
        degenerate=FLAT,
    ),
]


def test_the_envelope_and_frequency_of_a_modulated_sinusoid_are_those_planted():
    time = np.arange(200) * 2.0
    amplitude = 2 + np.cos(2 * np.pi * 0.005 * time)
    series = (amplitude * np.cos(2 * np.pi * 0.1 * time))[None]
    np.testing.assert_allclose(envelope(series)[0], amplitude, atol=1e-10)
    np.testing.assert_allclose(instantaneous_frequency(series, repetition_time=2.0), 0.1, atol=1e-10)


@pytest.mark.parametrize("n_frames", [7, 8])
def test_odd_and_even_lengths_agree_with_scipy(n_frames):
    series = np.random.default_rng(0).normal(size=(2, n_frames))
    np.testing.assert_allclose(analytic_signal(series), scipy.signal.hilbert(series), atol=1e-12)


def test_a_complex_series_is_taken_as_analytic_already():
    series = np.random.default_rng(1).normal(size=(2, 40))
    np.testing.assert_allclose(envelope(analytic_signal(series)), envelope(series), atol=1e-12)
    assert envelope(series.astype(np.float32)).dtype == jnp.float32
    assert analytic_signal(series.astype(np.float32)).dtype == jnp.complex64


def test_unwrapping_knows_other_periods():
    phase = np.random.default_rng(2).normal(size=(3, 50)).cumsum(-1) * 100
    wrapped = (phase + 180) % 360 - 180
    np.testing.assert_allclose(unwrap(wrapped, period=360.0), np.unwrap(wrapped, period=360.0), atol=1e-9)


def test_a_silent_region_has_no_amplitude_no_phase_and_no_frequency():
    silent = np.zeros((1, 10))
    assert not np.any(envelope(silent))
    assert not np.any(instantaneous_phase(silent))
    assert not np.any(instantaneous_frequency(silent, repetition_time=1.0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: analytic_signal(np.ones((2, 8)) * 1j), TypeError, "must be real"),
        (lambda: analytic_signal(np.ones(8)), ValueError, "must have shape"),
        (lambda: envelope(np.ones(8) * 1j), ValueError, "must have shape"),
        (lambda: instantaneous_frequency(np.ones((2, 1)), repetition_time=1.0), ValueError, "at least two frames"),
        (lambda: instantaneous_frequency(np.ones((2, 8)), repetition_time=-1.0), ValueError, "repetition_time must be"),
        (lambda: unwrap(np.ones(8), period=0.0), ValueError, "period must be above 0"),
        (lambda: unwrap(1.0), ValueError, "must have shape"),
    ],
)
def test_misfitting_arrays_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
