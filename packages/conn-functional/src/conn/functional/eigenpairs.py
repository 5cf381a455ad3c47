r"""Leading eigenpairs of a connectome that is never formed, with the residuals that say how good they are.

For a correlation :math:`Z Z^\top` they are exact, from the smaller of the two Gram matrices (of the regions, or of the
frames); they equal the principal components of the series. Any other symmetric operator is searched by a block Krylov
iteration with restarts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from conn.functional._symmetric_operators import CorrelationOperator, LowRankOperator
from conn.functional.operators import block_mv, quadratic_form, to_dense

__all__ = ["Eigenpairs", "leading_eigenpairs"]


class Eigenpairs(NamedTuple):
    r"""Eigenvalues with their eigenvectors, the largest first.

    Attributes
    ----------
    values : array, shape (..., pair)
        Descending.
    vectors : array, shape (..., region, pair)
        Unit norm; the entry of largest absolute value is positive.
    residuals : array, shape (..., pair)
        Norm of :math:`A v - \lambda v`, relative to the largest absolute eigenvalue among the pairs.
    """

    values: Float[Array, "... pair"]
    vectors: Float[Array, "... region pair"]
    residuals: Float[Array, "... pair"]


def leading_eigenpairs(
    operator: lx.AbstractLinearOperator,
    n_pairs: int,
    *,
    tolerance: float = 1e-5,
    n_steps: int = 8,
    max_restarts: int = 30,
    key: Array | None = None,
) -> Eigenpairs:
    r"""Return the eigenpairs of the largest eigenvalues of a symmetric operator.

    Parameters
    ----------
    operator : lineax.AbstractLinearOperator
        Symmetric. Of the result of `correlation_operator` the pairs are exact and the other settings have no effect;
        its time is :math:`O(n t \min(n, t))`. For the smallest eigenvalues of a Laplacian :math:`L`, ask for the
        largest of ``upper * identity - L``.
    n_pairs : int
        At most the number of regions.
    tolerance : float, default 1e-5
        The iteration ends when every residual is below it. In float32 it cannot come much below 1e-6.
    n_steps : int, default 8
        Products with a block before each restart; the basis holds as many blocks. An operator with no more regions
        than such a basis has vectors is formed and solved at once.
    max_restarts : int, default 30
        Then the best pairs so far are returned: look at their residuals.
    key : PRNG key, optional
        Of the first block; a fixed one by default.

    Returns
    -------
    Eigenpairs
        Eigenvalues are differentiable while they are simple (Hellmann and Feynman, :math:`d\lambda = v^\top dA\, v`);
        eigenvectors are constants of the derivative. A vector whose eigenvalue is 0 to rounding, which a rank too low
        for `n_pairs` leaves over, is a zero vector.

    Raises
    ------
    ValueError
        If there are not that many pairs, or a setting is not positive.

    References
    ----------
    .. [1] Musco & Musco (2015), Randomized block Krylov methods. arXiv:1504.05477

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.functional import low_rank_operator
    >>> pairs = leading_eigenpairs(low_rank_operator(jnp.array([[3.0], [4.0]])), 1)
    >>> round(float(pairs.values[0]), 3), [round(float(entry), 3) for entry in pairs.vectors[:, 0]]
    (25.0, [0.6, 0.8])
    """
    shape = operator.in_structure().shape
    if not 1 <= n_pairs <= shape[-1]:
        raise ValueError(f"n_pairs must lie between 1 and the {shape[-1]} regions, and is {n_pairs}")
    if tolerance <= 0 or n_steps < 2 or max_restarts < 1:
        raise ValueError(
            "tolerance and max_restarts must be positive and n_steps at least 2, and they are "
            f"{tolerance}, {max_restarts} and {n_steps}"
        )
    frozen = jax.lax.stop_gradient(operator)
    if isinstance(frozen, CorrelationOperator):
        vectors = _from_gram(frozen.root(), n_pairs)
    elif isinstance(frozen, LowRankOperator) and frozen.core is None:
        vectors = _from_gram(frozen.factor, n_pairs)
    else:
        vectors = _krylov(frozen, n_pairs, tolerance, n_steps, max_restarts, jax.random.key(0) if key is None else key)
    vectors = jax.lax.stop_gradient(_with_sign(vectors))
    values = quadratic_form(operator, vectors)
    return Eigenpairs(values, vectors, _residuals(block_mv(frozen, vectors), vectors, jax.lax.stop_gradient(values)))


def _from_gram(factor: Array, n_pairs: int) -> Array:
    """Return the leading left singular vectors of a factor; zeros where it has no more."""
    transposed = jnp.swapaxes(factor, -1, -2)
    if factor.shape[-2] <= factor.shape[-1]:
        _, vectors = jnp.linalg.eigh(factor @ transposed)
        return jnp.flip(vectors[..., -n_pairs:], axis=-1)
    values, inner = jnp.linalg.eigh(transposed @ factor)
    values, inner = jnp.flip(values, axis=-1)[..., :n_pairs], jnp.flip(inner, axis=-1)[..., :n_pairs]
    rounding = factor.shape[-1] * jnp.finfo(factor.dtype).eps * values[..., :1]
    kept = values > rounding
    vectors = (factor @ inner) * jnp.where(kept, jax.lax.rsqrt(jnp.where(kept, values, 1.0)), 0.0)[..., None, :]
    vectors = vectors / jnp.where(kept, jnp.linalg.norm(vectors, axis=-2), 1.0)[..., None, :]
    missing = n_pairs - vectors.shape[-1]
    return jnp.pad(vectors, [(0, 0)] * (vectors.ndim - 1) + [(0, missing)]) if missing > 0 else vectors


def _krylov(
    operator: lx.AbstractLinearOperator,
    n_pairs: int,
    tolerance: float,
    n_steps: int,
    max_restarts: int,
    key: Array,
) -> Array:
    """Return leading eigenvectors by block Krylov spaces, each started from the best vectors of the last."""
    structure = operator.in_structure()
    n_regions = structure.shape[-1]
    width = min(n_pairs + max(4, n_pairs // 2), n_regions)
    if n_regions <= n_steps * width:  # the basis would be the whole space
        _, vectors = jnp.linalg.eigh(to_dense(operator))
        return jnp.flip(vectors[..., -n_pairs:], axis=-1)
    start = jnp.linalg.qr(jax.random.normal(key, (*structure.shape, width), structure.dtype))[0]

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        _, worst, restarts = state
        return (worst > tolerance) & (restarts < max_restarts)

    def restart(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        block, _, restarts = state
        basis, image = block, block_mv(operator, block)
        newest = image
        for _ in range(n_steps - 1):
            block = _orthonormal(newest, basis)
            newest = block_mv(operator, block)
            basis, image = jnp.concatenate([basis, block], axis=-1), jnp.concatenate([image, newest], axis=-1)
        small = jnp.swapaxes(basis, -1, -2) @ image
        _, rotation = jnp.linalg.eigh((small + jnp.swapaxes(small, -1, -2)) / 2)
        rotation = jnp.flip(rotation[..., -width:], axis=-1)
        ritz = jnp.linalg.qr(basis @ rotation)[0]
        leading, their_image = ritz[..., :n_pairs], block_mv(operator, ritz[..., :n_pairs])
        worst = _residuals(their_image, leading, (leading * their_image).sum(-2)).max()
        return ritz, worst, restarts + 1

    state = (start, jnp.array(jnp.inf, structure.dtype), jnp.array(0))
    return jax.lax.while_loop(unfinished, restart, state)[0][..., :n_pairs]


def _orthonormal(block: Array, basis: Array) -> Array:
    """Return an orthonormal block orthogonal to the basis; what lies in its span already becomes a new direction."""
    for _ in range(3):
        block = block - basis @ (jnp.swapaxes(basis, -1, -2) @ block)
        block = jnp.linalg.qr(block)[0]
    return block


def _residuals(image: Array, vectors: Array, values: Array) -> Array:
    largest = jnp.abs(values).max(-1, keepdims=True)
    error = jnp.linalg.norm(image - vectors * values[..., None, :], axis=-2)
    return jax.lax.stop_gradient(error / jnp.where(largest > 0, largest, 1.0))


def _with_sign(vectors: Array) -> Array:
    largest = jnp.abs(vectors).argmax(-2, keepdims=True)
    return jnp.where(jnp.take_along_axis(vectors, largest, axis=-2) < 0, -vectors, vectors)
