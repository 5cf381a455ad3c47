"""Symmetric matrices between regions that are known by a factor, as operators of lineax.

They stand apart from the functions that make them, because lineax declares no types (it ships no ``py.typed``): the
base of a public class derived from one of its own would be unknown to a verifier of types, where the type that a
function returns, `lineax.AbstractLinearOperator`, is somebody else's.
"""

from abc import abstractmethod
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from conn.functional._moments import root_or_zero
from conn.functional.streaming import Elementwise, _streamed_product, _streamed_sums

__all__ = [
    "CorrelationOperator",
    "ElementwiseOperator",
    "LowRankOperator",
    "SymmetricOperator",
    "checked_correlation",
    "elementwise",
]


class SymmetricOperator(lx.AbstractLinearOperator):
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

    def dense(self) -> Float[Array, "... region region"]:
        """Return the matrix."""
        structure = self.in_structure()
        n_regions = structure.shape[-1]
        return self.block_mv(jnp.broadcast_to(jnp.eye(n_regions, dtype=structure.dtype), (*structure.shape, n_regions)))

    def as_matrix(self) -> Float[Array, "all all"]:
        n_regions = self.factor.shape[-2]
        return jax.scipy.linalg.block_diag(*self.dense().reshape(-1, n_regions, n_regions))

    def transpose(self) -> "SymmetricOperator":
        return self

    def in_structure(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.factor.shape[:-1], self.factor.dtype)

    def out_structure(self) -> jax.ShapeDtypeStruct:
        return self.in_structure()


class CorrelationOperator(SymmetricOperator):
    r"""The correlation between all regions as a linear operator, :math:`X S X^\top`.

    The frames' shares stand apart from the factor: their square roots, which would make it one factor and its
    transpose, have no derivative at a share of 0, where the correlation has one.

    Parameters
    ----------
    factor : array, shape (..., region, frame)
        Frames centred and scaled to unit weighted variance; zeros for a constant region.
    share : array, shape (..., frame)
        Of every frame in the total weight; not negative.
    """

    factor: Array
    share: Array

    def block_mv(self, block: Float[Array, "... region column"]) -> Float[Array, "... region column"]:
        """Return the product with every column of a block."""
        return self.factor @ (self.share[..., None] * _gathered(self.factor, block))

    def quadratic_form(self, block: Float[Array, "... region column"]) -> Float[Array, "... column"]:
        """Return the quadratic form of every column, a sum of squares and so never negative."""
        return (self.share[..., None] * _gathered(self.factor, block) ** 2).sum(-2)

    def diagonal(self) -> Float[Array, "... region"]:
        """Return exactly 1 for a region that varies, 0 for a constant one."""
        return _varies(self.factor).astype(self.factor.dtype)

    def dense(self) -> Float[Array, "... region region"]:
        """Return the matrix as `corr` has it: rounding leaves neither [-1, 1] nor the exact diagonal."""
        product = self.factor @ jnp.swapaxes(self.factor * self.share[..., None, :], -1, -2)
        identity = jnp.eye(product.shape[-1], dtype=bool)
        return jnp.where(identity, self.diagonal()[..., None, :], jnp.clip(product, -1.0, 1.0))

    def root(self) -> Float[Array, "... region frame"]:
        """Return the factor whose product with its own transpose is the matrix; derivative 0 at a share of 0."""
        return self.factor * root_or_zero(self.share)[..., None, :]


class LowRankOperator(SymmetricOperator):
    r"""A symmetric matrix of low rank as a linear operator, :math:`F K F^\top`.

    Parameters
    ----------
    factor : array, shape (..., region, rank)
    core : array, shape (..., rank, rank), optional
        Symmetric; the identity by default.
    """

    factor: Array
    core: Array | None = None

    def block_mv(self, block: Float[Array, "... region column"]) -> Float[Array, "... region column"]:
        """Return the product with every column of a block."""
        inner = _gathered(self.factor, block)
        return self.factor @ (inner if self.core is None else self.core @ inner)

    def quadratic_form(self, block: Float[Array, "... region column"]) -> Float[Array, "... column"]:
        """Return the quadratic form of every column."""
        inner = _gathered(self.factor, block)
        return (inner * (inner if self.core is None else self.core @ inner)).sum(-2)

    def diagonal(self) -> Float[Array, "... region"]:
        """Return the diagonal."""
        weighted = self.factor if self.core is None else self.factor @ self.core
        return (weighted * self.factor).sum(-1)


class ElementwiseOperator(SymmetricOperator):
    """A function of every correlation as a linear operator, streamed in tiles: see `elementwise_operator`.

    Parameters
    ----------
    factor : array, shape (..., region, frame)
    share : array, shape (..., frame)
        Both as in a `CorrelationOperator`.
    function : callable
    block_size : int
    """

    factor: Array
    share: Array
    function: Elementwise = eqx.field(static=True)
    block_size: int = eqx.field(static=True)

    def block_mv(self, block: Float[Array, "... region column"]) -> Float[Array, "... region column"]:
        """Return the product with every column of a block, in one pass over the tiles."""
        streamed = partial(_streamed_product, self.function, self.block_size)
        return jnp.vectorize(streamed, signature="(n,t),(t),(n,m)->(n,m)")(self.factor, self.share, block)

    def quadratic_form(self, block: Float[Array, "... region column"]) -> Float[Array, "... column"]:
        """Return the quadratic form of every column; its derivative in the block needs no further pass."""
        return self.sums(block)[1]

    def sums(
        self, block: Float[Array, "... region column"]
    ) -> tuple[Float[Array, "... region"], Float[Array, "... column"]]:
        """Return the row sums and the quadratic form of every column, in one pass over the tiles."""
        streamed = partial(_streamed_sums, self.function, self.block_size)
        return jnp.vectorize(streamed, signature="(n,t),(t),(n,m)->(n),(m)")(self.factor, self.share, block)

    def diagonal(self) -> Float[Array, "... region"]:
        """Return the function of 1 for a region that varies, of 0 for a constant one."""
        return self.function(_varies(self.factor).astype(self.factor.dtype))


def checked_correlation(operator: lx.AbstractLinearOperator, taker: str) -> CorrelationOperator:
    """Return the operator, having made sure that it is a correlation; `taker` names who needs one."""
    if not isinstance(operator, CorrelationOperator):
        raise TypeError(f"{taker} needs the result of correlation_operator, and was given a {type(operator).__name__}")
    return operator


def elementwise(
    correlation: lx.AbstractLinearOperator, function: Elementwise, block_size: int, taker: str
) -> ElementwiseOperator:
    """Return a function of every correlation as an operator, having checked what it is made of."""
    one = checked_correlation(correlation, taker)
    if block_size < 1:
        raise ValueError(f"block_size must be positive, and is {block_size}")
    return ElementwiseOperator(one.factor, one.share, function, block_size)


def _gathered(factor: Array, block: Array) -> Array:
    """Return the product of the factor's transpose with a block; as a product of transposes, XLA would copy it."""
    return jnp.einsum("...rt,...rc->...tc", factor, block)


def _varies(factor: Array) -> Array:
    return (factor != 0).any(-1)


@lx.is_symmetric.register(SymmetricOperator)
def _is_symmetric(operator: SymmetricOperator) -> bool:
    return True


@lx.is_positive_semidefinite.register(SymmetricOperator)
def _is_positive_semidefinite(operator: SymmetricOperator) -> bool:
    return isinstance(operator, CorrelationOperator) or (
        isinstance(operator, LowRankOperator) and operator.core is None
    )


def _never(operator: SymmetricOperator) -> bool:
    return False


for _check in (
    lx.is_diagonal,
    lx.is_tridiagonal,
    lx.is_lower_triangular,
    lx.is_upper_triangular,
    lx.is_negative_semidefinite,
    lx.has_unit_diagonal,
):
    _check.register(SymmetricOperator, _never)


@lx.linearise.register(SymmetricOperator)
@lx.conj.register(SymmetricOperator)
def _itself(operator: SymmetricOperator) -> SymmetricOperator:
    return operator


@lx.materialise.register(SymmetricOperator)
def _materialised(operator: SymmetricOperator) -> lx.MatrixLinearOperator:
    return lx.MatrixLinearOperator(operator.as_matrix(), lx.symmetric_tag)


@lx.diagonal.register(SymmetricOperator)
def _flat_diagonal(operator: SymmetricOperator) -> Array:
    return operator.diagonal().reshape(-1)


@lx.tridiagonal.register(SymmetricOperator)
def _three_diagonals(operator: SymmetricOperator) -> tuple[Array, Array, Array]:
    matrix = operator.as_matrix()
    return jnp.diagonal(matrix), jnp.diagonal(matrix, -1), jnp.diagonal(matrix, 1)
