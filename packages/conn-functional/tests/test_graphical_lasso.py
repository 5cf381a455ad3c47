"""The graphical lasso: scikit-learn's optimum, its optimality conditions, recovery, units, refusals."""

import equinox as eqx
import jax
import numpy as np
import pytest
import sklearn.covariance
from op_case import OpCase

from conn.functional import graphical_lasso

NOT_OPERATIONS = {"SparsePrecision": "the pair that the graphical lasso returns"}


def _covariance(rng: np.random.Generator) -> tuple[np.ndarray, np.float64]:
    return np.cov(rng.normal(size=(5, 5)) @ rng.normal(size=(5, 40)), ddof=0), np.float64(0.2)


def _sklearn(covariance: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    matrix, inverse = sklearn.covariance.graphical_lasso(covariance, penalty, tol=1e-9, enet_tol=1e-9, max_iter=2000)
    return inverse, matrix


OP_CASES = [
    OpCase(
        "graphical_lasso",
        lambda c, a: graphical_lasso(c, penalty=a, tolerance=1e-13),
        _covariance,
        "sklearn.covariance.graphical_lasso",
        _sklearn,
        rtol=1e-4,
        atol=1e-5,
        rtol32=5e-3,
        degenerate={
            "zeros": (np.zeros((5, 5)), np.float64(0.2)),
            "regions alike": (np.ones((5, 5)), np.float64(0.2)),
            "identity": (np.eye(5), np.float64(0.2)),
        },
    )
]


def test_the_optimum_satisfies_its_conditions_where_frames_are_fewer_than_regions(rng: np.random.Generator) -> None:
    covariance, penalty = np.cov(rng.normal(size=(30, 20)), ddof=0), 0.3
    found = graphical_lasso(covariance, penalty=penalty)
    slope = covariance - np.asarray(found.covariance)
    precision = np.asarray(found.precision)
    apart = ~np.eye(30, dtype=bool)
    off = precision != 0
    np.testing.assert_allclose(np.diag(slope), 0.0, atol=1e-7)
    np.testing.assert_allclose((slope + penalty * np.sign(precision))[off & apart], 0.0, atol=1e-6)
    assert (np.abs(slope[~off]) <= penalty + 1e-6).all()
    assert 0 < (~off).mean() < 1


def test_planted_zeros_are_found(rng: np.random.Generator) -> None:
    precision = np.kron(np.eye(2), 0.6 * np.eye(3) + 0.4)
    series = np.linalg.cholesky(np.linalg.inv(precision)) @ rng.normal(size=(6, 4000))
    found = np.asarray(graphical_lasso(np.cov(series), penalty=0.1).precision)
    np.testing.assert_array_equal(found != 0, precision != 0)


def test_it_has_no_unit_and_keeps_leading_axes(rng: np.random.Generator) -> None:
    covariance, penalty = _covariance(rng)
    one = graphical_lasso(covariance, penalty=penalty)
    both = graphical_lasso(np.stack([covariance, 1e6 * covariance]), penalty=np.array([penalty, 1e6 * penalty]))
    np.testing.assert_allclose(both.precision[1] * 1e6, one.precision, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(both.covariance[0], one.covariance, rtol=1e-6, atol=1e-9)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        graphical_lasso(np.eye(3), penalty=0.0)
    with pytest.raises(ValueError, match="region, region"):
        graphical_lasso(np.ones((2, 3)), penalty=0.1)
    with pytest.raises(eqx.EquinoxRuntimeError, match="has not converged in 2 iterations"):
        jax.block_until_ready(graphical_lasso(np.eye(3) * 0.5 + 0.5, penalty=0.1, max_iterations=2))
