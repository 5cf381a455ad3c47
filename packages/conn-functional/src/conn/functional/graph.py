r"""Degrees, strengths and Laplacians of weighted graphs.

A connectome is ``matrix[target, source]``: a row receives, a column sends. A region's connection with itself (the ones
on the diagonal of a correlation matrix) counts for nothing here.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional._inputs import refuse_asymmetry, refuse_infinity
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["degree", "laplacian", "strength"]

Direction = Literal["in", "out"]
Normalisation = Literal["symmetric", "random_walk"]


def degree(
    adjacency: Float[Tensor, "... target source"],
    *,
    direction: Direction = "in",
    check: bool = False,
) -> Float[Array, "... region"]:
    """Return how many connections every region has.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights of either sign; a connection is whatever is not 0. NaN counts as a connection.
    direction : {"in", "out"}, default "in"
        Count along the rows (connections received) or the columns (sent). The same for a symmetric matrix.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region)
        Whole numbers in the matrix's dtype. A count has no useful derivative; see `strength`.

    Raises
    ------
    ValueError
        If the matrix is not square, or the direction is unknown.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> degree(jnp.array([[1.0, 0.5, -0.5], [0.5, 1.0, 0.0], [-0.5, 0.0, 1.0]])).tolist()
    [2.0, 1.0, 1.0]
    """
    matrix = _without_diagonal(_graph("adjacency", adjacency, check=check))
    return (matrix != 0).astype(matrix.dtype).sum(_axis(direction))


def strength(
    adjacency: Float[Tensor, "... target source"],
    *,
    direction: Direction = "in",
    sign: Literal["+", "-"] | None = None,
    check: bool = False,
) -> Float[Array, "... region"]:
    """Return the summed weight of every region's connections.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights of either sign. NaN in a row (or column) makes its strength NaN.
    direction : {"in", "out"}, default "in"
        Sum along the rows (weights received) or the columns (sent). The same for a symmetric matrix.
    sign : {"+", "-"} or None, default None
        Sum the positive weights, the absolute values of the negative ones, or all as they are. With a sign it is
        not differentiable at a weight of 0, where the derivative 0 is returned.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region)
        In the unit of the weights.

    Raises
    ------
    ValueError
        If the matrix is not square, or the direction or the sign is unknown.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> matrix = jnp.array([[1.0, 0.5, -0.25], [0.5, 1.0, 0.0], [-0.25, 0.0, 1.0]])
    >>> strength(matrix).tolist(), strength(matrix, sign="-").tolist()
    ([0.25, 0.5, -0.25], [0.25, 0.0, 0.25])
    """
    matrix = _without_diagonal(_graph("adjacency", adjacency, check=check))
    if sign is not None:
        matrix = _part(matrix, sign)
    return matrix.sum(_axis(direction))


def laplacian(
    adjacency: Float[Tensor, "... region region"],
    *,
    normalisation: Normalisation | None = None,
    signed: bool = False,
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return the graph Laplacian.

    With :math:`D` the diagonal of the strengths it is :math:`D - A` (combinatorial), :math:`I - D^{-1/2} A D^{-1/2}`
    (symmetric) or :math:`I - D^{-1} A` (random walk), on the diagonal without the regions that have no connection.

    Parameters
    ----------
    adjacency : array, shape (..., region, region)
        Weights, symmetric, not negative unless `signed`. Of a directed graph the in-strengths (rows) are taken.
        NaN spreads to its row and column.
    normalisation : {"symmetric", "random_walk"} or None, default None
        None gives the combinatorial Laplacian.
    signed : bool, default False
        Take strengths from absolute values, which keeps the Laplacian of signed weights positive semidefinite [2]_.
    check : bool, default False
        Refuse NaN, infinity, a matrix that is not symmetric and, unless `signed`, negative weights by their values,
        also under ``jit``.

    Returns
    -------
    array, shape (..., region, region)
        A region without connections (or, in a normalised Laplacian, without positive strength) gives a row and a
        column of zeros, with finite gradients.

    Raises
    ------
    ValueError
        If the matrix is not square, or the normalisation is unknown.

    References
    ----------
    .. [1] von Luxburg (2007), A tutorial on spectral clustering. doi:10.1007/s11222-007-9033-z
    .. [2] Kunegis et al. (2010), Spectral analysis of signed graphs. doi:10.1137/1.9781611972801.49

    See Also
    --------
    scipy.sparse.csgraph.laplacian

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> laplacian(jnp.array([[0.0, 2.0], [2.0, 0.0]])).tolist()
    [[2.0, -2.0], [-2.0, 2.0]]
    >>> laplacian(jnp.array([[0.0, 2.0], [2.0, 0.0]]), normalisation="random_walk").tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    if normalisation not in ("symmetric", "random_walk", None):
        raise ValueError(f'normalisation must be "symmetric", "random_walk" or None, and is {normalisation!r}')
    matrix = _without_diagonal(_graph("adjacency", adjacency, check=check, symmetric=True, signed=signed))
    strengths = (jnp.abs(matrix) if signed else matrix).sum(-1)
    identity = jnp.eye(matrix.shape[-1], dtype=matrix.dtype)
    if normalisation is None:
        return identity * strengths[..., None, :] - matrix
    left, right, kept = _normalising_scales(strengths, normalisation)
    return identity * kept[..., None, :] - left[..., :, None] * matrix * right[..., None, :]


def _normalising_scales(strengths: Array, normalisation: str) -> tuple[Array, Array, Array]:
    """Return what scales the rows and the columns of the weights, and the diagonal: 1, or 0 without connections."""
    connected = strengths > 0
    safe = jnp.where(connected, strengths, 1.0)
    kept = connected.astype(strengths.dtype)
    if normalisation == "random_walk":
        return jnp.where(connected, 1.0 / safe, 0.0), kept, kept
    scale = jnp.where(connected, jax.lax.rsqrt(safe), 0.0)
    return scale, scale, kept


def _square(name: str, value: Tensor) -> Array:
    matrix = _to_jax_array(value)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] == 0:
        raise ValueError(
            f"{name} must have shape (..., region, region) with no empty axis, and has shape {matrix.shape}"
        )
    if not jnp.issubdtype(matrix.dtype, jnp.floating):
        matrix = matrix.astype(jnp.result_type(float))
    return matrix


def _graph(name: str, value: Tensor, *, check: bool, symmetric: bool = False, signed: bool = True) -> Array:
    """Return the square matrices; with `check`, refuse the values that the caller has no use for."""
    matrix = _square(name, value)
    if not check:
        return matrix
    matrix = refuse_infinity(name, matrix)
    if not signed:
        matrix = eqx.error_if(matrix, (matrix < 0).any(), f"{name} must not be negative: take one sign of the weights")
    return refuse_asymmetry(name, matrix) if symmetric else matrix


def _without_diagonal(matrix: Array) -> Array:
    return jnp.where(jnp.eye(matrix.shape[-1], dtype=bool), 0.0, matrix)


def _part(matrix: Array, sign: str) -> Array:
    """Return the positive weights, or the absolute values of the negative ones."""
    if sign == "+":
        return jax.nn.relu(matrix)
    if sign == "-":
        return jax.nn.relu(-matrix)
    raise ValueError(f'sign must be "+" or "-", and is {sign!r}')


def _axis(direction: str) -> int:
    if direction not in ("in", "out"):
        raise ValueError(f'direction must be "in" or "out", and is {direction!r}')
    return -1 if direction == "in" else -2


def _reciprocal(total: Array) -> Array:
    """Return 1 / total, and 0 (with derivative 0) where the total is 0."""
    empty = total == 0
    return jnp.where(empty, 0.0, 1.0 / jnp.where(empty, 1.0, total))
