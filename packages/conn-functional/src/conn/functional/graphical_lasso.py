r"""Sparse precision by the graphical lasso, solved and differentiated without leaving JAX.

.. math:: \hat P = \arg\min_{P \succ 0} \; \operatorname{tr}(S P) - \log\det P + \alpha \sum_{i \ne j} |P_{ij}| .

The alternating direction method finds the optimum, one eigendecomposition an iteration. The derivative is that of the
optimality conditions on the entries that are not 0: with :math:`W = P^{-1}`, the cotangent :math:`U` of the covariance
solves :math:`W U W = -G` on those entries, which conjugate gradients do in products of the matrices.
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float

from conn.functional._inverse import symmetric_inverse
from conn.functional._moments import reciprocal_root
from conn.functional.covariance import square_matrix
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["SparsePrecision", "graphical_lasso"]


class SparsePrecision(NamedTuple):
    """The sparse precision of a graphical lasso, and its inverse."""

    precision: Float[Array, "... region region"]
    """In one over the unit of the covariance; entries are exactly 0 where the penalty made them so."""
    covariance: Float[Array, "... region region"]
    """The inverse of the precision."""


def graphical_lasso(
    covariance: Float[Tensor, "... region region"],
    *,
    penalty: float | Float[Tensor, "..."],
    tolerance: float = 1e-10,
    max_iterations: int = 5000,
    check: bool = False,
) -> SparsePrecision:
    """Return the sparse precision that the graphical lasso finds for a covariance, and its inverse.

    Parameters
    ----------
    covariance : array, shape (..., region, region)
        Symmetric and positive semi-definite, singular ones included, for example ``cov(time_series, ddof=0)``.
    penalty : float or array, shape (...)
        Weight of the absolute values off the diagonal, above 0, in the unit of the covariance.
    tolerance : float, default 1e-10
        Of both residuals, relative to the precision of the correlations; at least 64 eps.
    max_iterations : int, default 5000
        After which a solution that has not converged is refused.
    check : bool, default False
        Refuse NaN, infinity and a matrix that is not symmetric by their values, also under ``jit``.

    Returns
    -------
    SparsePrecision
        ``precision`` and ``covariance``, both of shape (..., region, region). Rows and columns of regions without
        variance are 0. Not differentiable where an entry becomes 0; there the derivative of one side is given.

    Raises
    ------
    ValueError
        If the matrices are not square, or a penalty given as a number is not above 0.
    RuntimeError
        If the iteration does not converge, as for NaN (through ``equinox.error_if``).

    See Also
    --------
    sklearn.covariance.graphical_lasso

    References
    ----------
    .. [1] Friedman, Hastie and Tibshirani (2008). doi:10.1093/biostatistics/kxm045
    .. [2] Boyd et al. (2011), section 6.5. doi:10.1561/2200000016

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> found = graphical_lasso(jnp.array([[1.0, 0.1], [0.1, 1.0]]), penalty=0.2)
    >>> (jnp.round(found.precision, 4) + 0.0).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    matrix = square_matrix("covariance", covariance, check=check)
    if isinstance(penalty, int | float) and penalty <= 0:
        raise ValueError(f"penalty must be above 0, and is {penalty}")
    alpha = jnp.asarray(_to_jax_array(penalty), matrix.dtype)[..., None, None]
    matrix, alpha = jnp.broadcast_arrays(matrix, alpha)
    variance = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    varies = variance > 0
    scale = reciprocal_root(variance, varies)
    outer = scale[..., :, None] * scale[..., None, :]
    identity = jnp.eye(matrix.shape[-1], dtype=bool)
    # In correlations, where the entries' penalties differ and the iteration does not depend on any unit.
    correlation = jnp.where(identity, 1.0, matrix * outer)
    weights = jnp.where(identity, 0.0, alpha * outer)
    limit = max(tolerance, 64 * float(jnp.finfo(matrix.dtype).eps))
    solved, converged = _solve(correlation, weights, limit, max_iterations)
    solved = eqx.error_if(
        solved, ~converged, f"the graphical lasso has not converged in {max_iterations} iterations to {limit:.1e}"
    )
    inverse = symmetric_inverse(solved)
    both = varies[..., :, None] & varies[..., None, :]
    deviation = jnp.where(varies, 1.0 / jnp.where(varies, scale, 1.0), 0.0)
    spread = deviation[..., :, None] * deviation[..., None, :]
    return SparsePrecision(jnp.where(both, solved * outer, 0.0), jnp.where(both, inverse * spread, 0.0))


def _solve(correlation: Array, weights: Array, limit: float, max_iterations: int) -> tuple[Array, Array]:
    """Return the optimum of each matrix, one after the other, and whether all converged."""
    size = correlation.shape[-1]

    def of_one(pair: tuple[Array, Array]) -> tuple[Array, Array]:
        return _optimum(*pair, limit, max_iterations)

    solved, converged = jax.lax.map(of_one, (correlation.reshape(-1, size, size), weights.reshape(-1, size, size)))
    return solved.reshape(correlation.shape), jax.lax.stop_gradient(converged).all()


class _State(NamedTuple):
    sparse: Array
    dual: Array
    step: Array
    iteration: Array
    residual: Array


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _optimum(correlation: Array, weights: Array, limit: float, max_iterations: int) -> tuple[Array, Array]:
    """Return the optimum by the alternating direction method of multipliers, and whether it has converged."""

    def unfinished(state: _State) -> Array:
        return (state.residual > limit) & (state.iteration < max_iterations)

    def iterate(state: _State) -> _State:
        step = state.step
        values, vectors = jnp.linalg.eigh(step * (state.sparse - state.dual) - correlation)
        values = (values + jnp.sqrt(values**2 + 4 * step)) / (2 * step)
        dense = (vectors * values) @ vectors.T
        relaxed = 1.6 * dense - 0.6 * state.sparse
        shifted = relaxed + state.dual
        sparse = jnp.sign(shifted) * jnp.maximum(jnp.abs(shifted) - weights / step, 0.0)
        sparse = (sparse + sparse.T) / 2
        size = jnp.maximum(jnp.linalg.norm(sparse), 1.0)
        primal = jnp.linalg.norm(dense - sparse) / size
        dual = step * jnp.linalg.norm(sparse - state.sparse) / size
        # Both residuals are kept of one order (Boyd et al., section 3.4.1).
        factor = jnp.where(primal > 10 * dual, 2.0, jnp.where(dual > 10 * primal, 0.5, 1.0)).astype(step.dtype)
        dual_variable = (shifted - sparse) / factor
        residual = jnp.maximum(primal, dual)
        residual = jnp.where(jnp.isnan(residual), jnp.inf, residual)
        return _State(sparse, dual_variable, step * factor, state.iteration + 1, residual)

    identity = jnp.eye(correlation.shape[-1], dtype=correlation.dtype)
    start = _State(identity, jnp.zeros_like(identity), jnp.ones((), identity.dtype), jnp.int32(0), identity[0, 0] * 1e3)
    final = jax.lax.while_loop(unfinished, iterate, start)
    return final.sparse, final.residual <= limit


def _optimum_forward(correlation: Array, weights: Array, limit: float, max_iterations: int):
    found: Any = _optimum(correlation, weights, limit, max_iterations)
    return found, found[0]


def _optimum_backward(limit: float, max_iterations: int, sparse: Array, cotangents: tuple[Array, Array]):
    support = sparse != 0
    covariance = jnp.linalg.inv(sparse)
    outer = jnp.where(support, (cotangents[0] + cotangents[0].T) / 2, 0.0)

    def curvature(direction: Array) -> Array:
        return jnp.where(support, covariance @ direction @ covariance, 0.0)

    solution, _ = cg(curvature, outer, tol=limit, maxiter=20 * sparse.shape[-1])
    return -solution, -jnp.sign(sparse) * solution


_optimum.defvjp(_optimum_forward, _optimum_backward)
