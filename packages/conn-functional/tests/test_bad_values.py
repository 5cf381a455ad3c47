"""What is refused in many modules alike: values where `check` asks for them, and series of one frame."""

from functools import partial

import equinox as eqx
import jax
import numpy as np
import pytest

from conn.functional import (
    analytic_signal,
    corr_from_cov,
    cubic_interpolate,
    dynamic_conditional_corr,
    edge_time_series,
    effective_degrees_of_freedom,
    envelope,
    envelope_correlation,
    fisher_z_standard_error,
    framewise_displacement,
    graphical_lasso,
    hilbert_transform,
    hybrid_interpolate,
    instantaneous_frequency,
    instantaneous_phase,
    lagged_corr,
    lagged_cov,
    ledoit_wolf,
    linear_interpolate,
    oas,
    phase_lag_index,
    phase_locking_value,
    pooled_degrees_of_freedom,
    product_filter,
    product_filtfilt,
    residualise,
    shrunk_cov,
    sosfilt,
    sosfiltfilt,
    spectral_interpolate,
    weighted_interpolate,
    weighted_phase_lag_index,
)

N_FRAMES = 16
GAIN = np.ones(N_FRAMES // 2 + 1)
SECTIONS = np.array([[0.5, 0.5, 0.0, 1.0, 0.0, 0.0]])
VALID = np.arange(N_FRAMES) % 5 != 3

UNMASKED = {
    "product_filter": partial(product_filter, transfer=GAIN),
    "product_filtfilt": partial(product_filtfilt, transfer=GAIN),
    "sosfilt": partial(sosfilt, sections=SECTIONS),
    "sosfiltfilt": partial(sosfiltfilt, sections=SECTIONS),
    "analytic_signal": analytic_signal,
    "hilbert_transform": hilbert_transform,
    "envelope": envelope,
    "instantaneous_phase": instantaneous_phase,
    "instantaneous_frequency": partial(instantaneous_frequency, repetition_time=2.0),
    "framewise_displacement": lambda x, check: framewise_displacement(x, x, rotation_unit="radians", check=check),
}
MASKED = {
    "linear_interpolate": linear_interpolate,
    "cubic_interpolate": cubic_interpolate,
    "spectral_interpolate": spectral_interpolate,
    "hybrid_interpolate": hybrid_interpolate,
    "weighted_interpolate": weighted_interpolate,
    "effective_degrees_of_freedom": effective_degrees_of_freedom,
    "fisher_z_standard_error": fisher_z_standard_error,
    "pooled_degrees_of_freedom": pooled_degrees_of_freedom,
}
SYMMETRIC = {
    "corr_from_cov": corr_from_cov,
    "shrunk_cov": partial(shrunk_cov, shrinkage=0.5),
    "graphical_lasso": partial(graphical_lasso, penalty=0.1),
}
SEVERAL_FRAMES = {
    "ledoit_wolf": ledoit_wolf,
    "oas": oas,
    "lagged_cov": partial(lagged_cov, lags=[0]),
    "lagged_corr": partial(lagged_corr, lags=[0]),
    "dynamic_conditional_corr": dynamic_conditional_corr,
    "edge_time_series": edge_time_series,
    "residualise": lambda x: residualise(x, x[:1]),
    "phase_locking_value": phase_locking_value,
    "phase_lag_index": phase_lag_index,
    "weighted_phase_lag_index": weighted_phase_lag_index,
    "envelope_correlation": envelope_correlation,
}


def _compiled(function, *, check):
    return eqx.filter_jit(lambda *arrays, **masks: function(*arrays, check=check, **masks))


def _series(frame: int, value: float) -> np.ndarray:
    series = np.random.default_rng(0).normal(size=(3, N_FRAMES))
    series[1, frame] = value
    return series


@pytest.mark.parametrize("name", UNMASKED)
def test_what_has_no_mask_refuses_every_bad_value_on_demand(name):
    checked = _compiled(UNMASKED[name], check=True)
    with pytest.raises(eqx.EquinoxRuntimeError, match="holds NaN or infinity"):
        jax.block_until_ready(checked(_series(2, np.nan)))
    good = _series(2, 1.0)
    np.testing.assert_array_equal(checked(good), _compiled(UNMASKED[name], check=False)(good))


def test_analytic_signals_are_checked_as_they_are():
    with pytest.raises(eqx.EquinoxRuntimeError, match="the series holds NaN or infinity: interpolate"):
        jax.block_until_ready(envelope(_series(2, np.inf) + 0j, check=True))


@pytest.mark.parametrize("name", MASKED)
def test_what_has_a_mask_refuses_bad_values_in_frames_that_count(name):
    checked = _compiled(MASKED[name], check=True)
    with pytest.raises(eqx.EquinoxRuntimeError, match="NaN or infinity in a frame that counts"):
        jax.block_until_ready(checked(_series(2, np.nan), mask=VALID))
    assert np.isfinite(np.asarray(checked(_series(3, np.nan), mask=VALID))).all()


@pytest.mark.parametrize("name", SYMMETRIC)
def test_what_needs_a_symmetric_matrix_refuses_others_on_demand(name):
    checked = _compiled(SYMMETRIC[name], check=True)
    good = np.array([[2.0, 0.5], [0.5, 1.0]])
    assert np.isfinite(np.asarray(jax.tree.leaves(checked(good))[0])).all()
    with pytest.raises(eqx.EquinoxRuntimeError, match="covariance must be symmetric"):
        jax.block_until_ready(checked(np.array([[2.0, 0.5], [0.4, 1.0]])))
    with pytest.raises(eqx.EquinoxRuntimeError, match="covariance holds NaN"):
        jax.block_until_ready(checked(np.array([[2.0, np.nan], [np.nan, 1.0]])))


@pytest.mark.parametrize("name", SEVERAL_FRAMES)
def test_a_single_frame_is_refused_by_its_shape(name):
    with pytest.raises(ValueError, match="needs at least two frames, and there are 1"):
        SEVERAL_FRAMES[name](np.ones((3, 1)))
