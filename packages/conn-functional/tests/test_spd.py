"""Functions of SPD matrices: SciPy's matrix functions, planted eigenvalues, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from op_case import OpCase

from conn.functional import nearest_spd, regularise_spd, spd_exp, spd_log, spd_power, spd_sqrt

EQUAL = {
    "identity": (np.eye(4),),
    "one repeated eigenvalue": (np.eye(4) + np.ones((4, 4)),),
    "ill-conditioned": (np.diag([1e-8, 1e-8, 1.0, 1.0]),),
}


def definite(rng: np.random.Generator) -> np.ndarray:
    factor = rng.normal(size=(4, 9))
    return factor @ factor.T / 9


def symmetric(rng: np.random.Generator) -> np.ndarray:
    factor = rng.normal(size=(4, 4))
    return (factor + factor.T) / 2


def _higham(matrix: np.ndarray) -> np.ndarray:
    values, vectors = scipy.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 0.1 * values[-1])) @ vectors.T


OP_CASES = [
    OpCase("spd_log", spd_log, lambda rng: (definite(rng),), "scipy.linalg.logm", scipy.linalg.logm, degenerate=EQUAL),
    OpCase(
        "spd_exp",
        spd_exp,
        lambda rng: (symmetric(rng),),
        "scipy.linalg.expm",
        scipy.linalg.expm,
        degenerate=EQUAL | {"zeros": (np.zeros((4, 4)),)},
    ),
    OpCase(
        "spd_sqrt", spd_sqrt, lambda rng: (definite(rng),), "scipy.linalg.sqrtm", scipy.linalg.sqrtm, degenerate=EQUAL
    ),
    OpCase(
        "spd_power",
        lambda matrix: spd_power(matrix, -0.7),
        lambda rng: (definite(rng),),
        "scipy.linalg.fractional_matrix_power",
        lambda matrix: scipy.linalg.fractional_matrix_power(matrix, -0.7),
        degenerate=EQUAL,
    ),
    OpCase(
        "nearest_spd",
        lambda matrix: nearest_spd(matrix, smallest=1e-3),
        lambda rng: (definite(rng),),
        "property: eigenvalues are raised to the floor, and what needs nothing is unchanged",
        degenerate=EQUAL | {"indefinite": (np.diag([1.0, 1.0, -1.0, -1.0]),)},
    ),
    OpCase(
        "regularise_spd",
        lambda matrix: regularise_spd(matrix, ridge=0.5),
        lambda rng: (definite(rng),),
        "numpy",
        lambda matrix: matrix + 0.5 * np.trace(matrix) / 4 * np.eye(4),
        degenerate=EQUAL | {"zeros": (np.zeros((4, 4)),)},
    ),
]


def test_the_nearest_is_highams_and_what_is_enough_is_returned_unchanged(rng):
    indefinite = symmetric(rng)
    np.testing.assert_allclose(nearest_spd(indefinite, smallest=0.1), _higham(indefinite), atol=1e-12)
    enough = definite(rng)
    np.testing.assert_array_equal(nearest_spd(enough, smallest=1e-9), enough)


def test_the_gradient_of_the_nearest_is_the_projection(rng):
    indefinite, direction = symmetric(rng), symmetric(rng)
    _, slope = jax.jvp(lambda m: jnp.square(nearest_spd(m, smallest=1e-9)).sum(), (indefinite,), (direction,))
    expected = 2 * (np.asarray(nearest_spd(indefinite, smallest=1e-9)) * direction).sum()
    np.testing.assert_allclose(slope, expected, rtol=1e-6)


@pytest.mark.parametrize("gap", [0.0, 1e-14, 1e-10, 1e-6])
@pytest.mark.parametrize("function", [spd_log, spd_sqrt, lambda m: spd_power(m, -0.5), spd_exp])
def test_close_eigenvalues_lose_no_digits_of_the_derivative(function, gap):
    """Along the off-diagonal the derivative is the divided difference, which for close eigenvalues is the slope."""
    matrix, direction = jnp.diag(jnp.array([2.0, 2.0 + gap])), jnp.array([[0.0, 1.0], [1.0, 0.0]])
    _, tangent = jax.jit(lambda m, d: jax.jvp(function, (m,), (d,)))(matrix, direction)
    slope = jax.grad(lambda value: function(value * jnp.eye(1))[0, 0])(2.0 + gap / 2)
    np.testing.assert_allclose(tangent[0, 1], slope, rtol=1e-11)


@pytest.mark.parametrize(
    ("function", "slope"),
    [(spd_log, lambda a: np.log(a) / (a - 1)), (lambda m: spd_power(m, -0.5), lambda a: (a**-0.5 - 1) / (a - 1))],
    ids=["log", "power"],
)
def test_eigenvalues_far_apart_have_a_derivative_in_single_precision(function, slope):
    # Of 1 and a value below the spacing of float32, the relative difference is rounded to -1.
    tiny = 1e-9
    matrix = jnp.diag(jnp.array([tiny, 1.0], jnp.float32))
    across = jnp.array([[0.0, 1.0], [1.0, 0.0]], jnp.float32)
    _, change = jax.jvp(function, (matrix,), (across,))
    np.testing.assert_allclose(change, slope(tiny) * np.asarray(across), rtol=1e-5)


def test_indefinite_matrices_give_nan_and_are_refused_by_their_smallest_eigenvalue():
    indefinite = jnp.diag(jnp.array([1.0, -0.25]))
    assert bool(jnp.isnan(spd_log(indefinite)).any())
    assert bool(jnp.isnan(spd_sqrt(indefinite)).any())
    with pytest.raises(ValueError, match=r"smallest eigenvalue being -0\.25.*nearest_spd"):
        spd_log(indefinite, check=True)
    with pytest.raises(RuntimeError, match="not positive definite"):
        jax.jit(lambda m: spd_log(m, check=True))(indefinite)


def test_what_is_not_symmetric_or_not_square_is_refused():
    with pytest.raises(ValueError, match="not symmetric"):
        spd_exp(jnp.array([[1.0, 2.0], [0.0, 1.0]]), check=True)
    with pytest.raises(ValueError, match="region, region"):
        spd_log(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="between 0 and 1"):
        nearest_spd(jnp.eye(2), smallest=0.0)
