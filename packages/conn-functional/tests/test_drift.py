"""The drift basis: agreement with SciPy, orthonormality, what it removes, refusals."""

import numpy as np
import pytest
import scipy.fft
from op_case import OpCase

from conn.functional import dct_basis

OP_CASES: list[OpCase] = [
    OpCase(
        "dct_basis",
        lambda: dct_basis(50, high_pass=0.03, repetition_time=2.0),
        lambda rng: (),
        "scipy.fft.dct",
        lambda: scipy.fft.dct(np.eye(50), norm="ortho")[:, 1:7].T,
        host_only="takes settings and no arrays: a constant of a run's length",
    ),
]


@pytest.mark.parametrize("constant", [True, False])
def test_rows_are_orthonormal_and_as_many_as_half_periods_fit(constant):
    basis = np.asarray(dct_basis(60, high_pass=0.05, repetition_time=2.0, constant=constant))
    assert basis.shape == (12 + constant, 60)  # a half period of 0.05 Hz is 10 s, the run lasts 120 s
    np.testing.assert_allclose(basis @ basis.T, np.eye(12 + constant), atol=1e-12)
    assert (np.ptp(basis[0]) < 1e-12) == constant


def test_a_slow_drift_lies_in_the_basis_and_a_fast_signal_does_not():
    basis = np.asarray(dct_basis(300, high_pass=0.01, repetition_time=2.0, constant=True))
    time = np.linspace(-1, 1, 300)
    kept = lambda series: np.linalg.norm(series - basis.T @ (basis @ series)) / np.linalg.norm(series)
    assert kept(time) < 0.05
    assert kept(np.sin(2 * np.pi * 0.05 * 2.0 * np.arange(300))) > 0.97


def test_a_short_run_has_no_drift():
    assert dct_basis(10, high_pass=0.001, repetition_time=2.0).shape == (0, 10)


@pytest.mark.parametrize(
    ("n_frames", "settings", "message"),
    [
        (0, {}, "n_frames must be a whole number"),
        (50, {"high_pass": 0.3}, "below the Nyquist frequency 0.25 Hz"),
        (50, {"high_pass": 0.0}, "high_pass must be above 0 Hz"),
        (50, {"repetition_time": -2.0}, "repetition_time must be above 0 s"),
    ],
)
def test_impossible_settings_are_refused(n_frames, settings, message):
    with pytest.raises(ValueError, match=message):
        dct_basis(n_frames, **({"high_pass": 0.01, "repetition_time": 2.0} | settings))
