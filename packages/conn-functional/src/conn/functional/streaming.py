r"""Products with a function of every correlation, streamed in tiles.

With :math:`C = X S X^\top` (standardised frames :math:`X` and their shares :math:`S` in the total weight) and
:math:`\varphi` a function of one number, :math:`Y = \varphi(C) M` visits every unordered pair of row blocks once. The
derivatives are closed forms over the same tiles,

.. math:: \bar M = \varphi(C) \bar Y, \qquad
          G = [\varphi'(C) \circ (\bar Y M^\top + M \bar Y^\top)] X, \qquad
          \bar X = G S, \qquad \bar S_{tt} = \tfrac{1}{2} \sum_i X_{it} G_{it},

so that nothing of the forward pass is kept but its inputs. A sum that is quadratic in :math:`M` keeps :math:`Y` and
then needs no further pass for its derivative in :math:`M`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional._moments import root_or_zero

__all__ = ["Elementwise"]

Elementwise: TypeAlias = Callable[[Array], Array]
"""A function of every entry of an array for itself."""


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _streamed_product(
    function: Elementwise,
    size: int,
    factor: Float[Array, "region frame"],
    share: Float[Array, "frame"],
    block: Float[Array, "region column"],
) -> Float[Array, "region column"]:
    """Return the product of the function of every correlation with a block."""
    size = min(size, factor.shape[0])

    def add(total: Array, here: _Operands, there: _Operands, once: Array) -> Array:
        tile = function(_correlations(here.root, there.root, once))
        total = _added(total, here, tile @ there.first)
        return _added(total, there, jnp.where(once, 0.0, tile.T @ here.first))

    return _over_tiles(add, size, block.shape[-1], _Operands(factor * root_or_zero(share), factor, block, block))


def _product_forward(
    function: Elementwise, size: int, factor: Array, share: Array, block: Array
) -> tuple[Array, tuple[Array, Array, Array]]:
    return _streamed_product(function, size, factor, share, block), (factor, share, block)


def _product_backward(
    function: Elementwise, size: int, saved: tuple[Array, Array, Array], cotangent: Array
) -> tuple[Array, Array, Array]:
    factor, share, block = saved
    return (
        *_factor_cotangents(function, size, factor, share, block, cotangent),
        _streamed_product(function, size, factor, share, cotangent),
    )


_streamed_product.defvjp(_product_forward, _product_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _streamed_sums(
    function: Elementwise,
    size: int,
    factor: Float[Array, "region frame"],
    share: Float[Array, "frame"],
    block: Float[Array, "region column"],
) -> tuple[Float[Array, "region"], Float[Array, "column"]]:
    """Return the row sums of the function of every correlation, and its quadratic form with every column."""
    return _sums_forward(function, size, factor, share, block)[0]


def _sums_forward(
    function: Elementwise, size: int, factor: Array, share: Array, block: Array
) -> tuple[tuple[Array, Array], tuple[Array, Array, Array, Array]]:
    columns = jnp.concatenate([jnp.ones((block.shape[0], 1), block.dtype), block], axis=1)
    product = cast(Array, _streamed_product(function, size, factor, share, columns))
    inside = product[:, 1:]
    return (product[:, 0], (block * inside).sum(0)), (factor, share, columns, inside)


def _sums_backward(
    function: Elementwise, size: int, saved: tuple[Array, Array, Array, Array], cotangents: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    factor, share, columns, inside = saved
    of_sums, of_forms = cotangents
    weights = jnp.concatenate([of_sums[:, None], columns[:, 1:] * of_forms], axis=1)
    return *_factor_cotangents(function, size, factor, share, columns, weights), 2 * inside * of_forms


_streamed_sums.defvjp(_sums_forward, _sums_backward)


def _factor_cotangents(
    function: Elementwise, size: int, factor: Array, share: Array, block: Array, cotangent: Array
) -> tuple[Array, Array]:
    """Return the derivatives in the factor and in the shares."""
    size = min(size, factor.shape[0])

    def add(total: Array, here: _Operands, there: _Operands, once: Array) -> Array:
        correlations = _correlations(here.root, there.root, once)
        _, pull_back = jax.vjp(function, correlations)
        (slope,) = pull_back(here.second @ there.first.T + here.first @ there.second.T)
        slope = jnp.where(once & jnp.eye(size, dtype=bool), 0.0, slope)  # the diagonal is 1 whatever the series
        total = _added(total, here, slope @ there.factor)
        return _added(total, there, jnp.where(once, 0.0, slope.T @ here.factor))

    operands = _Operands(factor * root_or_zero(share), factor, block, cotangent)
    gathered = _over_tiles(add, size, factor.shape[-1], operands)
    return gathered * share, (gathered * factor).sum(0) / 2


class _Operands(NamedTuple):
    """Arrays of one row a region, whole or of one block of regions, and where the block starts."""

    root: Array
    factor: Array
    first: Array
    second: Array
    start: Array | int = 0

    def rows(self, start: Array, size: int) -> "_Operands":
        """Return the rows of one block."""
        parts = (jax.lax.dynamic_slice_in_dim(array, start, size) for array in self[:4])
        return _Operands(*parts, start=start)


def _over_tiles(
    add: Callable[[Array, _Operands, _Operands, Array], Array], size: int, n_columns: int, operands: _Operands
) -> Array:
    """Return what `add` sums up over all unordered pairs of row blocks; the last block is padded with zeros."""
    n_regions = operands.root.shape[0]
    n_blocks = -(-n_regions // size)
    missing = n_blocks * size - n_regions
    if missing:
        operands = _Operands(*(jnp.pad(array, ((0, missing), (0, 0))) for array in operands[:4]))
    starts = np.stack(np.triu_indices(n_blocks), axis=1) * size

    def step(total: Array, pair: Array) -> tuple[Array, None]:
        here, there = operands.rows(pair[0], size), operands.rows(pair[1], size)
        return add(total, here, there, pair[0] == pair[1]), None

    start = jnp.zeros((n_blocks * size, n_columns), jnp.result_type(*operands[:4]))
    total, _ = jax.lax.scan(step, start, jnp.asarray(starts))
    return total[:n_regions]


def _correlations(here: Array, there: Array, once: Array) -> Array:
    """Return a tile of correlations within [-1, 1], its diagonal exact where it lies on the matrix's."""
    tile = jnp.clip(here @ there.T, -1.0, 1.0)
    own = once & jnp.eye(tile.shape[0], dtype=bool) & (tile > 0.5)  # a constant region stays 0
    return jnp.where(own, 1.0, tile)


def _added(total: Array, rows: _Operands, part: Array) -> Array:
    here = jax.lax.dynamic_slice_in_dim(total, rows.start, part.shape[0])
    return jax.lax.dynamic_update_slice_in_dim(total, here + part, rows.start, axis=0)
