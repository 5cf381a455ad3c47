"""Phase synchronisation: agreement with MNE-Connectivity, planted lags, mixing, masks, silent regions."""

import jax.numpy as jnp
import mne_connectivity
import numpy as np
import pytest
import scipy.signal
from op_case import OpCase

from conn.functional import (
    analytic_signal,
    phase_lag_index,
    phase_locking_value,
    segment_spectra,
    weighted_phase_lag_index,
)

SEGMENTS = {"segment_length": 10, "overlap": 0, "window": np.hanning(10)}


def _series(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(5, 40)),)


def _of_segments(measure, **settings):
    def call(series):
        spectra = segment_spectra(series, **SEGMENTS)
        return measure(spectra.coefficients, mask=spectra.valid, **settings)[1:-1]

    return call


def _mne(method):
    def reference(series: np.ndarray) -> np.ndarray:
        epochs = np.moveaxis(series.reshape(5, 4, 10), 1, 0)
        found = mne_connectivity.spectral_connectivity_epochs(
            epochs, method=method, sfreq=1.0, mode="fourier", fmin=0.05, fmax=0.45, verbose="error"
        )
        lower = np.moveaxis(found.get_data("dense"), -1, 0)
        full = lower + np.swapaxes(lower, -1, -2)
        return full + np.eye(5) if method == "plv" else full

    return reference


FLAT = {
    "zeros": (np.zeros((5, 40)),),
    "constant": (np.full((5, 40), 0.1),),
    "one region twice": (np.random.default_rng(1).normal(size=(3, 40))[[0, 0, 1, 1, 2]],),
    "one region silent": (np.vstack([np.zeros((1, 40)), np.random.default_rng(0).normal(size=(4, 40))]),),
}

OP_CASES: list[OpCase] = [
    OpCase(
        "phase_locking_value",
        _of_segments(phase_locking_value),
        _series,
        "mne_connectivity.spectral_connectivity_epochs",
        _mne("plv"),
        degenerate=FLAT,
    ),
    OpCase("phase_locking_value", phase_locking_value, _series, "numpy", lambda x: _locking(x), degenerate=FLAT),
    OpCase(
        "phase_lag_index",
        _of_segments(phase_lag_index),
        _series,
        "mne_connectivity.spectral_connectivity_epochs",
        _mne("pli"),
        not_differentiable="piecewise constant: its derivative is 0 wherever it has one",
    ),
    OpCase(
        "weighted_phase_lag_index",
        _of_segments(weighted_phase_lag_index),
        _series,
        "mne_connectivity.spectral_connectivity_epochs",
        _mne("wpli"),
        degenerate=FLAT,
    ),
    OpCase(
        "weighted_phase_lag_index",
        _of_segments(weighted_phase_lag_index, debiased=True),
        _series,
        "mne_connectivity.spectral_connectivity_epochs",
        _mne("wpli2_debiased"),
        degenerate=FLAT,
    ),
]


def _locking(series: np.ndarray) -> np.ndarray:
    unit = np.exp(1j * np.angle(scipy.signal.hilbert(series)))
    return np.abs(unit @ unit.conj().T) / series.shape[-1]


def _measures():
    return {
        "plv": phase_locking_value,
        "pli": phase_lag_index,
        "wpli": weighted_phase_lag_index,
        "wpli2": lambda x, **k: weighted_phase_lag_index(x, debiased=True, **k),
    }


@pytest.mark.parametrize("name", ["plv", "pli", "wpli", "wpli2"])
def test_a_steady_lag_is_full_synchronisation_and_noise_is_little(name):
    # A tenth of a turn between the first two; independent noise, 400 frames, in the third.
    rng = np.random.default_rng(2)
    turn = 0.3 * np.arange(400) + 0.3 * rng.normal(size=400).cumsum()
    phases = np.stack([turn, turn - 0.2 * np.pi, rng.uniform(-np.pi, np.pi, 400)])
    amplitude = rng.uniform(0.5, 2, size=phases.shape)
    matrix = np.asarray(_measures()[name](amplitude * np.exp(1j * phases)))
    np.testing.assert_allclose(matrix[0, 1], 1, atol=1e-9)
    assert abs(matrix[0, 2]) < 0.2
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)


def test_instantaneous_mixing_locks_phases_but_has_no_lag():
    source = np.random.default_rng(3).normal(size=400)
    for dtype in (np.float64, np.float32):
        series = np.stack([source, -1.7 * source]).astype(dtype)
        np.testing.assert_allclose(phase_locking_value(series), 1, atol=1e-5)
        for name in ("pli", "wpli", "wpli2"):
            assert not np.any(_measures()[name](series))


def test_the_debiased_square_has_the_expectation_of_the_square():
    # Bernoulli leads and lags of one size: the square of their mean is 0.16, at every number of frames. The mean over
    # 4000 draws strays by 0.006 (one sigma 0.0045 at 8 frames); the plain one is off by (1 - 0.16) / 8 = 0.1.
    rng = np.random.default_rng(4)
    lead = np.where(rng.random((4000, 8)) < 0.7, 1.0, -1.0)
    pair = np.stack([np.exp(0.5j * lead), np.ones_like(lead)], axis=-2)
    assert abs(float(weighted_phase_lag_index(pair, debiased=True)[:, 0, 1].mean()) - 0.16) < 0.02
    assert float((weighted_phase_lag_index(pair) ** 2)[:, 0, 1].mean()) > 0.24


@pytest.mark.parametrize("name", ["plv", "pli", "wpli", "wpli2"])
def test_a_mask_is_deletion_after_the_transform_and_never_before_it(name):
    measure = _measures()[name]
    # Two regions of a narrow band, 0.4 radians apart throughout. Deletion before the transform makes their phases
    # jump, and the transform smears each jump over its neighbours.
    rng = np.random.default_rng(5)
    turn = 2 * np.arange(400) + rng.normal(size=400).cumsum() * 0.1
    series = np.stack([np.cos(turn), np.cos(turn - 0.4)])
    mask = rng.random(400) > 0.3
    ours = measure(series, mask=mask)
    analytic = np.asarray(analytic_signal(series))
    np.testing.assert_allclose(ours, measure(analytic[:, mask]), atol=1e-12)
    assert float(ours[0, 1]) > 0.97
    assert float(measure(series[:, mask])[0, 1]) < 0.94


def test_whatever_stands_in_masked_frames_is_never_read():
    analytic = np.random.default_rng(6).normal(size=(2, 3, 40)).astype(complex) * 1j
    analytic += np.random.default_rng(7).normal(size=(3, 40))
    masks = np.random.default_rng(8).random((2, 40)) > 0.3
    dirty = np.where(masks[:, None], analytic, np.nan)
    for measure in _measures().values():
        result = np.asarray(measure(dirty, mask=masks))
        np.testing.assert_array_equal(result, measure(analytic, mask=masks))
        np.testing.assert_allclose(result[1], measure(analytic[1][:, masks[1]]), atol=1e-12)


def test_synchronisation_knows_no_unit():
    series = np.random.default_rng(9).normal(size=(3, 40))
    scaled = series * np.array([[1e-8], [1.0], [1e8]])
    for measure in _measures().values():
        np.testing.assert_allclose(measure(scaled), measure(series), atol=1e-9)
        np.testing.assert_allclose(measure(scaled.astype(np.float32)), measure(series.astype(np.float32)), atol=1e-4)


def test_a_silent_region_is_in_step_with_nothing_and_nan_stays_visible():
    series = np.random.default_rng(10).normal(size=(3, 40))
    series[0] = 0
    series[1, 4] = np.nan
    for measure in _measures().values():
        matrix = np.asarray(measure(series))
        assert not np.any(matrix[0, [0, 2]])
        assert np.isnan(matrix[1, 2])
        assert np.isfinite(matrix[2, 2])


def test_no_frame_gives_nothing():
    series = np.random.default_rng(11).normal(size=(3, 40))
    for measure in _measures().values():
        assert not np.any(measure(series, mask=np.zeros(40, bool)))


def test_precision_is_kept():
    series = np.random.default_rng(12).normal(size=(3, 40)).astype(np.float32)
    for measure in _measures().values():
        assert measure(series).dtype == jnp.float32


def test_misfitting_arrays_are_refused():
    for measure in _measures().values():
        with pytest.raises(ValueError, match="mask must have one value for each of the 40 frames"):
            measure(np.ones((2, 40)), mask=np.ones(39, bool))
        with pytest.raises(ValueError, match="must fit those of the series"):
            measure(np.ones((2, 40)), mask=np.ones((3, 40), bool))
        with pytest.raises(ValueError, match="must have shape"):
            measure(np.ones(40))


def test_bad_values_are_refused_where_they_are_checked():
    series = np.random.default_rng(13).normal(size=(3, 40))
    with pytest.raises(RuntimeError, match="no frame counts"):
        phase_locking_value(series, mask=np.zeros(40, bool), check=True)
    series[0, 3] = np.nan
    with pytest.raises(RuntimeError, match="interpolate before the analytic signal"):
        phase_lag_index(series, check=True)
