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

from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float

from conn.functional._moments import checked_series
from conn.functional._streaming import Elementwise, _streamed_product, _streamed_sums
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.graph import Normalisation, _normalising_scales

__all__ = [
    "CorrelationOperator",
    "ElementwiseOperator",
    "LowRankOperator",
    "block_mv",
    "coaffiliation_operator",
    "correlation_operator",
    "elementwise_operator",
    "laplacian_operator",
    "operator_diagonal",
    "operator_trace",
    "quadratic_form",
    "row_sums",
    "to_dense",
]


class _SymmetricOperator(lx.AbstractLinearOperator):
    """A symmetric matrix between regions that is known by its factor; leading axes are a batch of matrices.

    The vectors of `mv` then have shape ``(..., region)``, and `as_matrix` is block-diagonal, as lineax has it.
    """

    factor: eqx.AbstractVar[Array]

    @abstractmethod
    def block_mv(self, block: Float[Array, "... region column"]) -> Float[Array, "... region column"]:
        """Return the product with every column of a block."""

    @abstractmethod
    def diagonal(self) -> Float[Array, "... region"]:
        """Return the diagonal."""

    def quadratic_form(self, block: Float[Array, "... region column"]) -> Float[Array, "... column"]:
        """Return the quadratic form of every column of a block."""
        return (block * self.block_mv(block)).sum(-2)

    def mv(self, vector: Float[Array, "... region"]) -> Float[Array, "... region"]:
        return self.block_mv(vector[..., None])[..., 0]

    def as_matrix(self) -> Float[Array, "all all"]:
        n_regions = self.factor.shape[-2]
        dense = to_dense(self).reshape(-1, n_regions, n_regions)
        return jax.scipy.linalg.block_diag(*dense)

    def transpose(self) -> "_SymmetricOperator":
        return self

    def in_structure(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.factor.shape[:-1], self.factor.dtype)

    def out_structure(self) -> jax.ShapeDtypeStruct:
        return self.in_structure()


class CorrelationOperator(_SymmetricOperator):
    r"""The correlation between all regions as a linear operator, :math:`Z Z^\top`: see `correlation_operator`.

    Parameters
    ----------
    factor : array, shape (..., region, frame)
        Frames centred and scaled to unit norm; zeros for a constant region.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> operator = CorrelationOperator(jnp.array([[0.6, 0.8], [0.8, -0.6]]))
    >>> operator.diagonal().tolist()
    [1.0, 1.0]
    """

    factor: Array

    def block_mv(self, block: Float[Array, "... region column"]) -> Float[Array, "... region column"]:
        """Return the product with every column of a block."""
        return self.factor @ (jnp.swapaxes(self.factor, -1, -2) @ block)

    def quadratic_form(self, block: Float[Array, "... region column"]) -> Float[Array, "... column"]:
        """Return the quadratic form of every column, a sum of squares and so never negative."""
        return ((jnp.swapaxes(self.factor, -1, -2) @ block) ** 2).sum(-2)

    def diagonal(self) -> Float[Array, "... region"]:
        """Return exactly 1 for a region that varies, 0 for a constant one."""
        return _varies(self.factor).astype(self.factor.dtype)


class LowRankOperator(_SymmetricOperator):
    r"""A symmetric matrix of low rank as a linear operator, :math:`F K F^\top`.

    Parameters
    ----------
    factor : array, shape (..., region, rank)
    core : array, shape (..., rank, rank), optional
        Symmetric; the identity by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> to_dense(LowRankOperator(jnp.ones((2, 1)), jnp.array([[3.0]]))).tolist()
    [[3.0, 3.0], [3.0, 3.0]]
    """

    factor: Array
    core: Array | None = None

    def block_mv(self, block: Float[Array, "... region column"]) -> Float[Array, "... region column"]:
        """Return the product with every column of a block."""
        inner = jnp.swapaxes(self.factor, -1, -2) @ block
        return self.factor @ (inner if self.core is None else self.core @ inner)

    def quadratic_form(self, block: Float[Array, "... region column"]) -> Float[Array, "... column"]:
        """Return the quadratic form of every column."""
        inner = jnp.swapaxes(self.factor, -1, -2) @ block
        return (inner * (inner if self.core is None else self.core @ inner)).sum(-2)

    def diagonal(self) -> Float[Array, "... region"]:
        """Return the diagonal."""
        weighted = self.factor if self.core is None else self.factor @ self.core
        return (weighted * self.factor).sum(-1)


class ElementwiseOperator(_SymmetricOperator):
    """A function of every correlation as a linear operator, streamed in tiles: see `elementwise_operator`.

    Parameters
    ----------
    factor : array, shape (..., region, frame)
        That of a `CorrelationOperator`.
    function : callable
    block_size : int

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> operator = ElementwiseOperator(jnp.array([[0.6, 0.8], [-0.8, -0.6]]), jax.nn.relu, 128)
    >>> to_dense(operator).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    factor: Array
    function: Elementwise = eqx.field(static=True)
    block_size: int = eqx.field(static=True)

    def block_mv(self, block: Float[Array, "... region column"]) -> Float[Array, "... region column"]:
        """Return the product with every column of a block, in one pass over the tiles."""
        streamed = partial(_streamed_product, self.function, self.block_size)
        return jnp.vectorize(streamed, signature="(n,t),(n,m)->(n,m)")(self.factor, block)

    def quadratic_form(self, block: Float[Array, "... region column"]) -> Float[Array, "... column"]:
        """Return the quadratic form of every column; its derivative in the block needs no further pass."""
        return self.sums(block)[1]

    def sums(
        self, block: Float[Array, "... region column"]
    ) -> tuple[Float[Array, "... region"], Float[Array, "... column"]]:
        """Return the row sums and the quadratic form of every column, in one pass over the tiles."""
        streamed = partial(_streamed_sums, self.function, self.block_size)
        return jnp.vectorize(streamed, signature="(n,t),(n,m)->(n),(m)")(self.factor, block)

    def diagonal(self) -> Float[Array, "... region"]:
        """Return the function of 1 for a region that varies, of 0 for a constant one."""
        return self.function(_varies(self.factor).astype(self.factor.dtype))


def correlation_operator(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
) -> CorrelationOperator:
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
    CorrelationOperator
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
    share = weights * jnp.where(total > 0, 1.0 / jnp.where(total > 0, total, 1.0), 0.0)
    mean = jnp.einsum("...rt,...t->...r", series, share)
    # The square root of a weight has no derivative at 0; a frame of weight 0 is out, and stays out.
    root = jnp.where(share > 0, jnp.sqrt(jnp.where(share > 0, share, 1.0)), 0.0)
    centred = (series - mean[..., None]) * root[..., None, :]
    variance = (centred**2).sum(-1)
    varies = variance > (8 * epsilon) ** 2 * (variance + mean**2)
    scale = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, variance, 1.0)), 0.0)
    return CorrelationOperator(centred * scale[..., None])


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
    communities = _to_jax_array(affiliation)
    if communities.ndim < 2:
        raise ValueError(f"affiliation must have shape (..., region, community), and has shape {communities.shape}")
    core = None if coupling is None else _to_jax_array(coupling)
    n_communities = communities.shape[-1]
    if core is not None and core.shape[-2:] != (n_communities, n_communities):
        raise ValueError(
            f"coupling must have shape (..., {n_communities}, {n_communities}), and has shape {core.shape}"
        )
    operator = LowRankOperator(communities, core)
    return operator - lx.DiagonalLinearOperator(operator.diagonal()) if exclude_diag else operator


def elementwise_operator(
    correlation: CorrelationOperator,
    function: Elementwise,
    *,
    block_size: int = 1024,
) -> ElementwiseOperator:
    r"""Return a function of every correlation (rectified, thresholded, an angle) as an operator in bounded memory.

    A product takes :math:`O(n^2 t)` time, half of that of forming the matrix since each pair is visited once, and
    memory for a few tiles of `block_size` squared; so does its derivative, twice over. Only reverse-mode derivatives
    are defined.

    Parameters
    ----------
    correlation : CorrelationOperator
    function : callable
        Takes and gives arrays of correlations of one shape, each entry for itself: ``jax.nn.relu``, or
        ``lambda r: jnp.where(r > 0.3, r, 0.0)``. It sees 1 on the diagonal (0 for a constant region), whose
        derivative counts as 0, and must not close over traced values. Give the same function object for the same
        computation: another one compiles anew.
    block_size : int, default 1024
        Rows and columns of a tile.

    Returns
    -------
    ElementwiseOperator
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
    if not isinstance(correlation, CorrelationOperator):
        raise TypeError(
            "elementwise_operator needs the factor of a CorrelationOperator (from correlation_operator), and was given "
            f"a {type(correlation).__name__}"
        )
    if block_size < 1:
        raise ValueError(f"block_size must be positive, and is {block_size}")
    return ElementwiseOperator(correlation.factor, function, block_size)


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
        negative; ``0.5 * LowRankOperator(ones) + 0.5 * correlation`` is an affinity between 0 and 1 without tiles.
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
    >>> to_dense(laplacian_operator(LowRankOperator(jnp.ones((2, 1))))).tolist()
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
    >>> block_mv(LowRankOperator(jnp.ones((2, 1))), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
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
    >>> row_sums(LowRankOperator(jnp.array([[1.0], [2.0]]))).tolist()
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
    >>> quadratic_form(LowRankOperator(jnp.ones((2, 1))), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [16.0, 36.0]
    """
    columns = _block(operator, block)

    def of_one(term: lx.AbstractLinearOperator) -> Array:
        if isinstance(term, _SymmetricOperator):
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
    >>> operator_diagonal(2 * LowRankOperator(jnp.array([[1.0], [2.0]]))).tolist()
    [2.0, 8.0]
    """

    def of_one(term: lx.AbstractLinearOperator) -> Array:
        if isinstance(term, _SymmetricOperator):
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
    >>> float(operator_trace(LowRankOperator(jnp.array([[1.0], [2.0]]))))
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
    >>> to_dense(LowRankOperator(jnp.ones((2, 1)))).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    shape = operator.in_structure().shape
    identity = jnp.eye(shape[-1], dtype=operator.in_structure().dtype)

    def of_one(term: lx.AbstractLinearOperator) -> Array:
        dense = _block_mv(term, jnp.broadcast_to(identity, (*shape, shape[-1])))
        if isinstance(term, CorrelationOperator):  # as corr: rounding leaves neither [-1, 1] nor the exact diagonal
            return jnp.where(identity > 0, term.diagonal()[..., None, :], jnp.clip(dense, -1.0, 1.0))
        return dense

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
        if isinstance(term, _SymmetricOperator):
            return term.block_mv(block)
        if isinstance(term, lx.ComposedLinearOperator):
            return _block_mv(term.operator1, _block_mv(term.operator2, block))
        return jax.vmap(term.mv, in_axes=-1, out_axes=-1)(block)

    return _summed(operator, of_one)


def _block(operator: lx.AbstractLinearOperator, block: Tensor) -> Array:
    columns = _to_jax_array(block)
    shape = operator.in_structure().shape
    if columns.shape[:-1] != shape:
        regions = ", ".join(str(size) for size in shape)
        raise ValueError(f"block must have shape ({regions}, column) for this operator, and has shape {columns.shape}")
    return columns


def _varies(factor: Array) -> Array:
    return (factor != 0).any(-1)


@lx.is_symmetric.register(_SymmetricOperator)
def _is_symmetric(operator: _SymmetricOperator) -> bool:
    return True


@lx.is_positive_semidefinite.register(_SymmetricOperator)
def _is_positive_semidefinite(operator: _SymmetricOperator) -> bool:
    return isinstance(operator, CorrelationOperator) or (
        isinstance(operator, LowRankOperator) and operator.core is None
    )


def _never(operator: _SymmetricOperator) -> bool:
    return False


for _check in (
    lx.is_diagonal,
    lx.is_tridiagonal,
    lx.is_lower_triangular,
    lx.is_upper_triangular,
    lx.is_negative_semidefinite,
    lx.has_unit_diagonal,
):
    _check.register(_SymmetricOperator, _never)


@lx.linearise.register(_SymmetricOperator)
@lx.conj.register(_SymmetricOperator)
def _itself(operator: _SymmetricOperator) -> _SymmetricOperator:
    return operator


@lx.materialise.register(_SymmetricOperator)
def _materialised(operator: _SymmetricOperator) -> lx.MatrixLinearOperator:
    return lx.MatrixLinearOperator(operator.as_matrix(), lx.symmetric_tag)


@lx.diagonal.register(_SymmetricOperator)
def _flat_diagonal(operator: _SymmetricOperator) -> Array:
    return operator.diagonal().reshape(-1)


@lx.tridiagonal.register(_SymmetricOperator)
def _three_diagonals(operator: _SymmetricOperator) -> tuple[Array, Array, Array]:
    matrix = operator.as_matrix()
    return jnp.diagonal(matrix), jnp.diagonal(matrix, -1), jnp.diagonal(matrix, 1)
