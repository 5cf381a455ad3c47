r"""Distance correlation: dependence of any form, 0 only for independence.

With :math:`A_{tu}` the distances :math:`|x_t - x_u|` of one region between frames, centred by their row means, column
means and mean,

.. math:: \mathrm{dCor}_{ij} = \sqrt{\frac{\sum_{tu} A^i_{tu} A^j_{tu}}
          {\sqrt{\sum_{tu} (A^i_{tu})^2 \sum_{tu} (A^j_{tu})^2}}} .

The distances of all regions, (region, frame, frame), are never held at once: blocks of frames are walked, forward and
backward.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from conn.functional._moments import checked_series, root_or_zero
from conn.functional.engine import Tensor
from conn.functional.lagged import standardised

__all__ = ["distance_corr"]


def distance_corr(
    time_series: Float[Tensor, "... region frame"],
    *,
    mask: Bool[Tensor, "... frame"] | None = None,
    block_size: int = 32,
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return the distance correlation between all pairs of regions.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region makes its row and column NaN: mark such frames in `mask`.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A masked frame counts as if it had been deleted.
    block_size : int, default 32
        Frames whose distances to all others are held at once: memory is region * block_size * frame numbers, time
        region ** 2 * frame ** 2.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    array, shape (..., region, region)
        Between 0 and 1, symmetric, 1 on the diagonal and for affine relations, and above 0 for independent series of
        any finite length. Constant regions give 0. Not differentiable where two frames have equal values, nor at 0;
        the derivative is given as 0 there.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, there are fewer than two frames, or the block is empty.

    See Also
    --------
    statsmodels.stats.dist_dependence_measures.distance_correlation

    References
    ----------
    .. [1] Szekely, Rizzo and Bakirov (2007). doi:10.1214/009053607000000505

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> x = jnp.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    >>> [f"{value:.3f}" for value in distance_corr(jnp.stack([x, -3 * x, x**2]))[0]]
    ['1.000', '1.000', '0.516']
    """
    series, valid = checked_series(time_series, None, mask, check=check)
    n_frames = series.shape[-1]
    if n_frames < 2:
        raise ValueError(f"a distance correlation needs at least two frames, and there are {n_frames}")
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1 frame, and is {block_size}")
    size = min(block_size, n_frames)
    scores = standardised(series, valid)  # distance correlation has no unit, and sums keep their precision
    lead = jnp.broadcast_shapes(scores.shape[:-2], valid.shape[:-1])
    walked = jnp.broadcast_to(scores, (*lead, *scores.shape[-2:])).reshape(-1, *scores.shape[-2:])
    counts = jnp.broadcast_to(valid, (*lead, n_frames)).reshape(-1, n_frames)
    products = jax.lax.map(lambda pair: _products(pair[0], pair[1], size), (walked, counts))
    products = products.reshape(*lead, *products.shape[-2:])
    own = jnp.diagonal(products, axis1=-2, axis2=-1)
    varies = own > 0
    scale = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, own, 1.0)), 0.0)
    square = jnp.clip(products * (scale[..., :, None] * scale[..., None, :]), 0.0, 1.0)
    identity = jnp.eye(products.shape[-1], dtype=bool)
    return jnp.where(identity, varies[..., None].astype(square.dtype), root_or_zero(square))


def _products(scores: Array, valid: Array, size: int) -> Float[Array, "region region"]:
    """Return the sums of products of centred distances of one series, a block of frames at a time."""
    n_regions, n_frames = scores.shape
    n_blocks = math.ceil(n_frames / size)
    padded = jnp.pad(scores, ((0, 0), (0, n_blocks * size - n_frames)))
    blocks = jnp.moveaxis(padded.reshape(n_regions, n_blocks, size), 1, 0)
    block_counts = jnp.pad(valid, (0, n_blocks * size - n_frames)).reshape(n_blocks, size)
    total = jnp.maximum(valid.sum(), 1.0)

    def row_means(block: Array) -> Array:
        return (jnp.abs(block[:, :, None] - scores[:, None, :]) * valid).sum(-1) / total

    rows = jax.lax.map(jax.checkpoint(row_means), blocks)
    means = jnp.moveaxis(rows, 0, 1).reshape(n_regions, -1)[:, :n_frames]
    grand = (means * valid).sum(-1) / total

    def add(sums: Array, item: tuple[Array, Array, Array]) -> tuple[Array, None]:
        block, own, counts = item
        distances = jnp.abs(block[:, :, None] - scores[:, None, :])
        centred = distances - own[:, :, None] - means[:, None, :] + grand[:, None, None]
        centred = (centred * counts[:, None] * valid).reshape(n_regions, -1)
        return sums + centred @ centred.T, None

    start = jnp.zeros((n_regions, n_regions), scores.dtype)
    return jax.lax.scan(jax.checkpoint(add), start, (blocks, rows, block_counts))[0]
