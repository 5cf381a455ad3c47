r"""Connectomes that are never formed: correlation matrices, and what is built on them, as linear operators.

With the frames of every region centred and scaled to unit norm, :math:`z_{it}`, the correlation matrix is
:math:`C = Z Z^\top`. A product with a vector is :math:`Z (Z^\top v)`: :math:`O(nt)` time and memory instead of
:math:`O(n^2)`. Whatever is linear in :math:`C` has such a closed form: strengths, quadratic forms of partitions, null
models of low rank, Laplacians, eigenvectors (which are the principal components of the *unthresholded* correlation).
What rectifies, thresholds or bends each correlation is not linear in :math:`C`; `elementwise_operator` streams it in
tiles, in :math:`O(n^2 t)` time and bounded memory.

The operators are those of lineax: they add, scale and compose (``affinity = 0.5 * constant + 0.5 * correlation``), and
`lineax.linear_solve` takes them. `block_mv`, `row_sums`, `quadratic_form`, `operator_diagonal`, `operator_trace` and
`to_dense` know these sums and products and never form what they do not return.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float

from conn.functional._moments import checked_series, reciprocal_root
from conn.functional._symmetric_operators import (
    CorrelationOperator,
    LowRankOperator,
    SymmetricOperator,
    elementwise,
)
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.graph import Normalisation, _normalising_scales
from conn.functional.streaming import Elementwise

__all__ = [
    "block_mv",
    "coaffiliation_operator",
    "correlation_operator",
    "elementwise_operator",
    "laplacian_operator",
    "low_rank_operator",
    "operator_diagonal",
    "operator_trace",
    "quadratic_form",
    "row_sums",
    "to_dense",
]


def correlation_operator(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
) -> lx.AbstractLinearOperator:
    r"""Return Pearson's correlation between all pairs of regions as a linear operator that never forms the matrix.

    It is `corr` with the same arguments, region for region: its products, sums, diagonal and `to_dense` agree to 1e-5
    in float32. It keeps one array of the size of the series.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region spreads: mark such frames in `mask`.
    weight : array, shape (..., frame), optional
        Weight of every frame, not negative. All frames weigh 1 by default.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A masked frame counts as if it had been deleted, whatever stands in it.

    Returns
    -------
    lineax.AbstractLinearOperator
        A lineax operator, symmetric and positive semidefinite. A constant region has a row and a column of zeros, and
        the derivative 0. A region is constant when its centred norm is at most 8 eps times its norm.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or there are fewer than two frames.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> operator = correlation_operator(jnp.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [5.0, 5.0, 5.0]]))
    >>> jnp.round(row_sums(operator), 3).tolist(), jnp.round(to_dense(operator), 3).tolist()[0]
    ([0.0, 0.0, 0.0], [1.0, -1.0, 0.0])
    """
    series, weights = checked_series(time_series, weight, mask)
    if series.shape[-1] < 2:
        raise ValueError(f"a correlation needs at least two frames, and there are {series.shape[-1]}")
    epsilon = jnp.finfo(series.dtype).eps
    total = weights.sum(-1, keepdims=True)
    share = weights / jnp.where(total > 0, total, 1.0)
    mean = jnp.einsum("...rt,...t->...r", series, share)
    centred = series - mean[..., None]
    variance = jnp.einsum("...rt,...t->...r", centred**2, share)
    scale = reciprocal_root(variance, variance > (8 * epsilon) ** 2 * (variance + mean**2))
    return CorrelationOperator(
        centred * scale[..., None], jnp.broadcast_to(share, (*series.shape[:-2], series.shape[-1]))
    )


def low_rank_operator(
    factor: Float[Tensor, "... region rank"],
    *,
    core: Float[Tensor, "... rank rank"] | None = None,
) -> lx.AbstractLinearOperator:
    r"""Return a symmetric matrix of low rank, :math:`F K F^\top`, as a linear operator.

    Parameters
    ----------
    factor : array, shape (..., region, rank)
    core : array, shape (..., rank, rank), optional
        Symmetric; the identity by default.

    Returns
    -------
    lineax.AbstractLinearOperator

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> to_dense(low_rank_operator(jnp.ones((2, 1)), core=jnp.array([[3.0]]))).tolist()
    [[3.0, 3.0], [3.0, 3.0]]
    """
    return _low_rank("factor", "rank", factor, "core", core)


def coaffiliation_operator(
    affiliation: Float[Tensor, "... region community"],
    *,
    coupling: Float[Tensor, "... community community"] | None = None,
    exclude_diag: bool = True,
) -> lx.AbstractLinearOperator:
    """Return how far each pair of regions shares its communities, as a linear operator of low rank.

    Parameters
    ----------
    affiliation : array, shape (..., region, community)
        Weight of every region in every community.
    coupling : array, shape (..., community, community), optional
        Symmetric weight of each pair of communities, the identity by default.
    exclude_diag : bool, default True
        Set the diagonal to 0, as `coaffiliation` does.

    Returns
    -------
    lineax.AbstractLinearOperator

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> to_dense(coaffiliation_operator(jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    operator = _low_rank("affiliation", "community", affiliation, "coupling", coupling)
    return operator - lx.DiagonalLinearOperator(operator.diagonal()) if exclude_diag else operator


def elementwise_operator(
    correlation: lx.AbstractLinearOperator,
    function: Elementwise,
    *,
    block_size: int = 1024,
) -> lx.AbstractLinearOperator:
    r"""Return a function of every correlation (rectified, thresholded, an angle) as an operator in bounded memory.

    A product takes :math:`O(n^2 t)` time, half of that of forming the matrix since each pair is visited once, and
    memory for a few tiles of `block_size` squared; so does its derivative, twice over. Only reverse-mode derivatives
    are defined.

    Parameters
    ----------
    correlation : lineax.AbstractLinearOperator
        The result of `correlation_operator`.
    function : callable
        Takes and gives arrays of correlations of one shape, each entry for itself: ``jax.nn.relu``, or
        ``lambda r: jnp.where(r > 0.3, r, 0.0)``. It sees 1 on the diagonal (0 for a constant region), whose
        derivative counts as 0, and must not close over traced values. Give the same function object for the same
        computation: another one compiles anew.
    block_size : int, default 1024
        Rows and columns of a tile.

    Returns
    -------
    lineax.AbstractLinearOperator
        A lineax operator, symmetric.

    Raises
    ------
    TypeError
        If `correlation` is not the result of `correlation_operator`.
    ValueError
        If the block size is not positive.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> operator = correlation_operator(jnp.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, 2.0, 4.0]]))
    >>> [round(float(total), 2) for total in row_sums(elementwise_operator(operator, jax.nn.relu))]
    [1.98, 1.0, 1.98]
    """
    return elementwise(correlation, function, block_size, "elementwise_operator")


def laplacian_operator(
    operator: lx.AbstractLinearOperator,
    *,
    normalisation: Normalisation | None = None,
) -> lx.AbstractLinearOperator:
    r"""Return the graph Laplacian of a symmetric operator, as an operator: see `laplacian`.

    Parameters
    ----------
    operator : lineax.AbstractLinearOperator
        Symmetric weights between regions, whose diagonal does not count. The strengths of a signed correlation may be
        negative; ``0.5 * constant_potts_operator(c) + 0.5 * c`` is an affinity between 0 and 1 without tiles.
    normalisation : {"symmetric", "random_walk"} or None, default None
        None gives the combinatorial Laplacian.

    Returns
    -------
    lineax.AbstractLinearOperator
        Tagged as symmetric where it is. In a normalised Laplacian, a region whose strength is not positive gives a row
        and a column of zeros.

    Raises
    ------
    ValueError
        If the normalisation is unknown.

    References
    ----------
    .. [1] von Luxburg (2007), A tutorial on spectral clustering. doi:10.1007/s11222-007-9033-z

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> to_dense(laplacian_operator(low_rank_operator(jnp.ones((2, 1))))).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    if normalisation not in ("symmetric", "random_walk", None):
        raise ValueError(f'normalisation must be "symmetric", "random_walk" or None, and is {normalisation!r}')
    sums = row_sums(operator)
    if normalisation is None:  # the diagonal cancels
        return lx.TaggedLinearOperator(lx.DiagonalLinearOperator(sums) - operator, lx.symmetric_tag)
    own = operator_diagonal(operator)
    left, right, kept = _normalising_scales(sums - own, normalisation)
    scaled = lx.DiagonalLinearOperator(left) @ operator @ lx.DiagonalLinearOperator(right)
    result = lx.DiagonalLinearOperator(kept + left * own * right) - scaled
    return lx.TaggedLinearOperator(result, lx.symmetric_tag) if normalisation == "symmetric" else result


def block_mv(
    operator: lx.AbstractLinearOperator, block: Float[Tensor, "... region column"]
) -> Float[Array, "... region column"]:
    """Return the product of an operator with every column of a block.

    Parameters
    ----------
    operator : lineax.AbstractLinearOperator
    block : array, shape (..., region, column)
        Its leading axes are those of the operator.

    Returns
    -------
    array, shape (..., region, column)

    Raises
    ------
    ValueError
        If the block does not have the operator's regions.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> block_mv(low_rank_operator(jnp.ones((2, 1))), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[4.0, 6.0], [4.0, 6.0]]
    """
    return _block_mv(operator, _block(operator, block))


def row_sums(operator: lx.AbstractLinearOperator) -> Float[Array, "... region"]:
    """Return the sum of every row of an operator: the strengths, each region's connection with itself included.

    Parameters
    ----------
    operator : lineax.AbstractLinearOperator

    Returns
    -------
    array, shape (..., region)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> row_sums(low_rank_operator(jnp.array([[1.0], [2.0]]))).tolist()
    [3.0, 6.0]
    """
    structure = operator.in_structure()
    return operator.mv(jnp.ones(structure.shape, structure.dtype))


def quadratic_form(
    operator: lx.AbstractLinearOperator, block: Float[Tensor, "... region column"]
) -> Float[Array, "... column"]:
    r"""Return :math:`x^\top A x` of an operator and every column of a block.

    Parameters
    ----------
    operator : lineax.AbstractLinearOperator
    block : array, shape (..., region, column)
        Its leading axes are those of the operator. Affiliations give the weight inside every community.

    Returns
    -------
    array, shape (..., column)

    Raises
    ------
    ValueError
        If the block does not have the operator's regions.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> quadratic_form(low_rank_operator(jnp.ones((2, 1))), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [16.0, 36.0]
    """
    columns = _block(operator, block)

    def of_one(term: lx.AbstractLinearOperator) -> Array:
        if isinstance(term, SymmetricOperator):
            return term.quadratic_form(columns)
        return (columns * _block_mv(term, columns)).sum(-2)

    return _summed(operator, of_one)


def operator_diagonal(operator: lx.AbstractLinearOperator) -> Float[Array, "... region"]:
    """Return the diagonal of an operator, without forming the matrix where it is of this package or diagonal.

    Parameters
    ----------
    operator : lineax.AbstractLinearOperator

    Returns
    -------
    array, shape (..., region)
        Of a product of operators neither of which is diagonal, the matrix is formed.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> operator_diagonal(2 * low_rank_operator(jnp.array([[1.0], [2.0]]))).tolist()
    [2.0, 8.0]
    """

    def of_one(term: lx.AbstractLinearOperator) -> Array:
        if isinstance(term, SymmetricOperator):
            return term.diagonal()
        if isinstance(term, lx.DiagonalLinearOperator):
            return term.diagonal
        if isinstance(term, lx.ComposedLinearOperator):
            first, second = term.operator1, term.operator2
            if isinstance(first, lx.DiagonalLinearOperator):
                return first.diagonal * operator_diagonal(second)
            if isinstance(second, lx.DiagonalLinearOperator):
                return operator_diagonal(first) * second.diagonal
        return lx.diagonal(term).reshape(term.in_structure().shape)

    return _summed(operator, of_one)


def operator_trace(operator: lx.AbstractLinearOperator) -> Float[Array, "..."]:
    """Return the trace of an operator: see `operator_diagonal`.

    Parameters
    ----------
    operator : lineax.AbstractLinearOperator

    Returns
    -------
    array, shape (...)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(operator_trace(low_rank_operator(jnp.array([[1.0], [2.0]]))))
    5.0
    """
    return operator_diagonal(operator).sum(-1)


def to_dense(operator: lx.AbstractLinearOperator) -> Float[Array, "... region region"]:
    """Return the matrix of an operator, which takes the memory that the operator saves.

    Parameters
    ----------
    operator : lineax.AbstractLinearOperator

    Returns
    -------
    array, shape (..., region, region)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> to_dense(low_rank_operator(jnp.ones((2, 1)))).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    shape = operator.in_structure().shape
    identity = jnp.eye(shape[-1], dtype=operator.in_structure().dtype)

    def of_one(term: lx.AbstractLinearOperator) -> Array:
        if isinstance(term, SymmetricOperator):
            return term.dense()
        return _block_mv(term, jnp.broadcast_to(identity, (*shape, shape[-1])))

    return _summed(operator, of_one)


def _summed(operator: lx.AbstractLinearOperator, of_one: Callable[[lx.AbstractLinearOperator], Array]) -> Array:
    """Return a quantity that is linear in the operator, from its value for every term of a sum."""
    if isinstance(operator, lx.AddLinearOperator):
        return _summed(operator.operator1, of_one) + _summed(operator.operator2, of_one)
    if isinstance(operator, lx.MulLinearOperator):
        return _summed(operator.operator, of_one) * operator.scalar
    if isinstance(operator, lx.DivLinearOperator):
        return _summed(operator.operator, of_one) / operator.scalar
    if isinstance(operator, lx.NegLinearOperator):
        return -_summed(operator.operator, of_one)
    if isinstance(operator, lx.TaggedLinearOperator):
        return _summed(operator.operator, of_one)
    return of_one(operator)


def _block_mv(operator: lx.AbstractLinearOperator, block: Array) -> Array:
    def of_one(term: lx.AbstractLinearOperator) -> Array:
        if isinstance(term, SymmetricOperator):
            return term.block_mv(block)
        if isinstance(term, lx.ComposedLinearOperator):
            return _block_mv(term.operator1, _block_mv(term.operator2, block))
        return jax.vmap(term.mv, in_axes=-1, out_axes=-1)(block)

    return _summed(operator, of_one)


def _low_rank(name: str, axis: str, factor: Tensor, core_name: str, core: Tensor | None) -> LowRankOperator:
    left = _to_jax_array(factor)
    if left.ndim < 2:
        raise ValueError(f"{name} must have shape (..., region, {axis}), and has shape {left.shape}")
    if core is None:
        return LowRankOperator(left)
    inner, rank = _to_jax_array(core), left.shape[-1]
    if inner.shape[-2:] != (rank, rank):
        raise ValueError(f"{core_name} must have shape (..., {rank}, {rank}), and has shape {inner.shape}")
    return LowRankOperator(left, inner)


def _block(operator: lx.AbstractLinearOperator, block: Tensor) -> Array:
    columns = _to_jax_array(block)
    shape = operator.in_structure().shape
    if columns.shape[:-1] != shape:
        regions = ", ".join(str(size) for size in shape)
        raise ValueError(f"block must have shape ({regions}, column) for this operator, and has shape {columns.shape}")
    return columns
