"""Directed influence by frequency: Lyapunov's covariance, Baccala and Sameshima's network, causality in time."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from op_case import OpCase
from planted_network import TRUTH, simulated

from conn.functional import (
    VectorAutoregression,
    autoregressive_spectrum,
    directed_transfer_function,
    fit_autoregression,
    granger_causality,
    is_stable,
    partial_directed_coherence,
    spectral_granger,
)

TR = 2.0
FREQUENCIES = np.linspace(0, 0.25, 7)
GRID = (np.arange(2048) + 0.5) / 2048 * 0.5 - 0.25


def _model(coefficients: np.ndarray, noise: np.ndarray) -> VectorAutoregression:
    n_regions = noise.shape[-1]
    return VectorAutoregression(jnp.asarray(coefficients), jnp.zeros(n_regions), jnp.asarray(noise), jnp.array(1e3))


def _inputs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    factor = rng.normal(size=(3, 6))
    return np.stack([TRUTH, rng.normal(size=(3, 3)) * 0.1]), factor @ factor.T / 6


def _transfer(coefficients: np.ndarray) -> np.ndarray:
    return np.linalg.inv(_direct(coefficients))


def _direct(coefficients: np.ndarray) -> np.ndarray:
    lags = np.arange(1, len(coefficients) + 1)
    return np.stack(
        [np.eye(3) - np.tensordot(np.exp(-2j * np.pi * f * TR * lags), coefficients, 1) for f in FREQUENCIES]
    )


SETTINGS: dict[str, Any] = {"repetition_time": TR}
STILL = {"nothing follows from anything": (np.zeros((2, 3, 3)), np.eye(3))}

OP_CASES = [
    OpCase(
        "autoregressive_spectrum",
        lambda b, noise: jnp.abs(autoregressive_spectrum(_as_given(b, noise), FREQUENCIES, **SETTINGS)),
        _inputs,
        "numpy.linalg.inv",
        lambda b, noise: np.abs(TR * _transfer(b) @ noise @ np.conj(np.swapaxes(_transfer(b), -1, -2))),
        degenerate={"alone": (np.zeros((2, 3, 3)), np.eye(3) + 0.5)},
    ),
    OpCase(
        "partial_directed_coherence",
        lambda b, noise: partial_directed_coherence(_as_given(b, noise), FREQUENCIES, **SETTINGS),
        _inputs,
        "numpy.linalg.norm",
        lambda b, noise: np.abs(_direct(b)) / np.linalg.norm(_direct(b), axis=-2, keepdims=True),
        degenerate=STILL,
    ),
    OpCase(
        "directed_transfer_function",
        lambda b, noise: directed_transfer_function(_as_given(b, noise), FREQUENCIES, **SETTINGS),
        _inputs,
        "numpy.linalg.norm",
        lambda b, noise: np.abs(_transfer(b)) / np.linalg.norm(_transfer(b), axis=-1, keepdims=True),
        degenerate=STILL,
    ),
    OpCase(
        "is_stable",
        lambda b, noise: is_stable(_as_given(b, noise)),
        _inputs,
        "property: the eigenvalues of the companion matrix, inside and outside of the circle",
        not_differentiable="yes or no",
    ),
    OpCase(
        "spectral_granger",
        lambda series: spectral_granger(series, 2, FREQUENCIES, **SETTINGS),
        lambda rng: (rng.normal(size=(2, 60)) + np.roll(rng.normal(size=(1, 60)), 1) * 0.5,),
        "property: the mean over all frequencies is the causality in time",
        degenerate={"zeros": (np.zeros((2, 60)),), "constants": (np.full((2, 60), 0.1),)},
    ),
]


def _as_given(coefficients, noise) -> VectorAutoregression:
    return VectorAutoregression(coefficients, jnp.zeros(3, noise.dtype), noise, jnp.array(1e3, noise.dtype))


def test_the_spectrum_integrates_to_the_covariance():
    noise = np.array([[1.0, 0.3, 0.0], [0.3, 2.0, 0.0], [0.0, 0.0, 0.5]])
    spectrum = autoregressive_spectrum(_model(TRUTH[None], noise), GRID, **SETTINGS)
    expected = scipy.linalg.solve_discrete_lyapunov(TRUTH, noise)
    np.testing.assert_allclose(np.real(spectrum).mean(0) / TR, expected, rtol=1e-9, atol=1e-12)


def test_the_five_regions_of_baccala_and_sameshima():
    """Direct influence has exactly the planted zeros; by any path, more regions are reached."""
    root = np.sqrt(2.0)
    coefficients = np.zeros((3, 5, 5))
    coefficients[0, 0, 0], coefficients[1, 0, 0] = 0.95 * root, -0.9025
    coefficients[1, 1, 0], coefficients[2, 2, 0], coefficients[1, 3, 0] = 0.5, -0.4, -0.5
    coefficients[0, 3, 3] = coefficients[0, 3, 4] = coefficients[0, 4, 4] = 0.25 * root
    coefficients[0, 4, 3] = -0.25 * root
    model = _model(coefficients, np.eye(5))
    assert bool(is_stable(model))
    direct = np.asarray(partial_directed_coherence(model, FREQUENCIES, **SETTINGS)).max(0)
    planted = np.abs(coefficients).max(0) > 0
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_array_equal(direct[off] > 1e-12, planted[off])
    reached = np.asarray(directed_transfer_function(model, FREQUENCIES, **SETTINGS)).max(0) > 1e-12
    assert reached[4, 0]
    assert not planted[4, 0]
    np.testing.assert_allclose((direct**2).max(), 1.0, atol=0.2)


def test_the_unit_of_a_region_does_not_matter_to_the_generalised_coherence(rng):
    series, scale = simulated(rng, 2000), np.array([1.0, 100.0, 0.01])
    found = [
        partial_directed_coherence(fit_autoregression(values, 1), FREQUENCIES, generalised=True, **SETTINGS)
        for values in (series, scale[:, None] * series)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-7)


def test_causality_by_frequency_averages_to_causality_in_time(rng):
    series = simulated(rng, 20_000, np.array([[0.5, 0.4], [0.0, 0.6]]))
    by_frequency = np.asarray(spectral_granger(series, 1, GRID, **SETTINGS)).mean(0)
    in_time = np.asarray(granger_causality(series, 12, conditional=False))
    np.testing.assert_allclose(by_frequency, in_time, atol=3e-3)
    assert by_frequency[0, 1] > 0.05
    assert by_frequency[1, 0] < 2e-3


@pytest.mark.parametrize("radius", [0.3, 0.999, 1.001, 1.5])
def test_stability_is_that_of_the_companions_eigenvalues(radius, rng):
    coefficients = rng.normal(size=(2, 3, 3))
    companion = np.block([[coefficients[0], coefficients[1]], [np.eye(3), np.zeros((3, 3))]])
    shrink = radius / np.abs(np.linalg.eigvals(companion)).max()
    scaled = coefficients * np.array([shrink, shrink**2])[:, None, None]
    assert bool(is_stable(_model(scaled, np.eye(3)))) is (radius < 1)


def test_bad_input_is_refused(rng):
    unstable = _model(np.eye(3)[None] * 1.1, np.eye(3))
    with pytest.raises(ValueError, match=r"not stable.*take out trends"):
        partial_directed_coherence(unstable, FREQUENCIES, **SETTINGS)
    with pytest.raises(ValueError, match=r"Nyquist frequency, 0\.25 Hz"):
        autoregressive_spectrum(_model(TRUTH[None], np.eye(3)), [0.3], **SETTINGS)
    with pytest.raises(ValueError, match="repetition_time must be above 0"):
        autoregressive_spectrum(_model(TRUTH[None], np.eye(3)), [0.1], repetition_time=0.0)
    with pytest.raises(ValueError, match=r"\(\.\.\., 2, frame\)"):
        spectral_granger(rng.normal(size=(3, 60)), 1, FREQUENCIES, **SETTINGS)
    assert jax.jit(is_stable)(unstable).shape == ()


def test_series_that_grow_have_no_spectrum_also_under_jit(rng):
    growing = 1.2 ** np.arange(60) * np.array([[1.0], [0.5]]) + rng.normal(size=(2, 60))
    with pytest.raises(ValueError, match=r"not stable.*a ridge"):
        spectral_granger(growing, 1, FREQUENCIES, **SETTINGS)
    refusing = jax.jit(lambda x: spectral_granger(x, 1, FREQUENCIES, check=True, **SETTINGS))
    with pytest.raises(RuntimeError, match="not stable"):
        refusing(growing).block_until_ready()
    with pytest.raises(ValueError, match="need more than 61 frames"):
        spectral_granger(growing, 60, FREQUENCIES, **SETTINGS)
