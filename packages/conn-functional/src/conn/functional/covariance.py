r"""Covariance and correlation between regions, with frame weights, stacks of weightings and masks.

Notation: :math:`x_{it}` is region :math:`i` at frame :math:`t`, :math:`w_t \ge 0` the weight of a frame.
With :math:`W = \sum_t w_t` and :math:`m_i = \sum_t w_t x_{it} / W`,

.. math:: c_{ij} = \frac{1}{W - d} \sum_t w_t (x_{it} - m_i)(x_{jt} - m_j), \qquad
          r_{ij} = c_{ij} / \sqrt{c_{ii} c_{jj}} .

A stack of weightings of the same series never centres the series once a weighting: the shared, unweighted mean
is taken off first, and the rest of each weighting's mean is a rank-one correction,
:math:`\sum_t w_t y_{it} y_{jt} / W - m_i m_j` with :math:`y` the centred series. Forward and backward
pass are then one matrix product a weighting each.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["corr", "cov"]

ConstantPolicy = Literal["zero", "nan"]


class _Moments(NamedTuple):
    """Weighted second moments about the weighted mean, and what tells a constant region."""

    product: Array  # (..., region, region), sum_t w y y' / W
    variance: Array  # (..., region)
    constant: Array  # (..., region), bool
    total: Array  # (...,)
    squares: Array  # (...,), sum of squared weights


def cov(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    ddof: int = 1,
) -> Float[Array, "... region region"]:
    r"""Return the covariance between all pairs of regions.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region makes its row and column NaN: mark such frames in `mask`.
    weight : array, shape (..., frame), optional
        Weight of every frame, not negative. Its leading axes broadcast with those of the series, so that
        ``time_series[:, None]`` with weights of shape ``(scan, community, frame)`` gives
        ``(scan, community, region, region)``. All frames weigh 1 by default.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A masked frame counts as if it had been deleted, whatever stands in it.
    ddof : int, default 1
        Delta degrees of freedom. For weights the divisor is :math:`W - d \sum w^2 / W` (reliability weights).

    Returns
    -------
    array, shape (..., region, region)
        In the square of the series' unit. Where no frame has weight, 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or there are not more frames than `ddof`.

    References
    ----------
    .. [1] GNU Scientific Library, weighted samples (reliability weights).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> cov(jnp.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])).tolist()
    [[1.0, 2.0], [2.0, 4.0]]
    """
    series, weights = _checked(time_series, weight, mask)
    if series.shape[-1] <= ddof:
        raise ValueError(f"covariance with ddof {ddof} needs more than {ddof} frames, and there are {series.shape[-1]}")
    moments = _moments(series, weights)
    total, squares = moments.total, moments.squares
    divisor = total - ddof * squares / jnp.where(total > 0, total, 1.0)
    usable = divisor > 0
    factor = jnp.where(usable, total / jnp.where(usable, divisor, 1.0), 0.0)
    return moments.product * factor[..., None, None]


def corr(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    constant: ConstantPolicy = "zero",
) -> Float[Array, "... region region"]:
    r"""Return Pearson's correlation between all pairs of regions.

    Plain correlation: nothing is shrunk. There is no absolute epsilon in it, so that it is invariant to the scale of
    each region (seen from 1e-8 to 1e8 in float32), and the diagonal of a region that varies is exactly 1.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region makes its row and column NaN: mark such frames in `mask`.
    weight : array, shape (..., frame), optional
        Weight of every frame, not negative. Its leading axes broadcast with those of the series, so that
        ``time_series[:, None]`` with weights of shape ``(scan, community, frame)`` gives
        ``(scan, community, region, region)``. All frames weigh 1 by default.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A masked frame counts as if it had been deleted, whatever stands in it.
    constant : {"zero", "nan"}, default "zero"
        What the row and the column of a constant region hold, diagonal included. A region is constant when its
        centred norm is at most 8 eps times its norm; in a stack of weightings, where rounding leaves more
        behind, when its weighted variance is at most 16 eps times its mean square about the unweighted mean.

    Returns
    -------
    array, shape (..., region, region)
        Without unit, symmetric. Gradients are finite everywhere, constant regions and zero weights included.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, there are fewer than two frames, or `constant` is unknown.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> series = jnp.array([[1.0, 2.0, 3.0, 4.0], [1.0, -1.0, -1.0, 1.0], [5.0, 5.0, 5.0, 5.0]])
    >>> jnp.round(corr(series), 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    if constant not in ("zero", "nan"):
        raise ValueError(f'constant must be "zero" or "nan", and is {constant!r}')
    series, weights = _checked(time_series, weight, mask)
    if series.shape[-1] < 2:
        raise ValueError(f"a correlation needs at least two frames, and there are {series.shape[-1]}")
    moments = _moments(series, weights)
    varies = ~moments.constant
    scale = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, moments.variance, 1.0)), 0.0)
    matrix = moments.product * scale[..., :, None] * scale[..., None, :]
    absent = 0.0 if constant == "zero" else jnp.nan
    both = varies[..., :, None] & varies[..., None, :]
    identity = jnp.eye(series.shape[-2], dtype=bool)
    return jnp.where(both, jnp.where(identity, 1.0, jnp.clip(matrix, -1.0, 1.0)), absent)


def _checked(time_series: Tensor, weight: Tensor | None, mask: Tensor | None) -> tuple[Array, Array]:
    """Return the series and one weight a frame, with masked frames emptied; refuse shapes that do not fit."""
    series = _to_jax_array(time_series)
    if not jnp.issubdtype(series.dtype, jnp.floating):
        series = series.astype(jnp.result_type(float))
    if series.ndim < 2:
        raise ValueError(f"time_series must have shape (..., region, frame), and has shape {series.shape}")
    weights = jnp.ones((1,) * (series.ndim - 2) + series.shape[-1:], series.dtype)
    if weight is not None:
        weights = _fitting("weight", weight, series).astype(series.dtype)
    if mask is not None:
        valid = _fitting("mask", mask, series).astype(bool)
        weights = jnp.where(valid, weights, 0.0)
        # Whatever stands in a masked frame must not reach the sums: 0 x NaN is NaN.
        shared = jnp.broadcast_to(valid, jnp.broadcast_shapes(valid.shape, (*series.shape[:-2], series.shape[-1])))
        series = jnp.where(shared[..., None, :], series, 0.0)
    return series, weights


def _fitting(name: str, value: Tensor, series: Array) -> Array:
    """Return `value` as an array of shape (..., frame) whose leading axes broadcast with those of the series."""
    array = _to_jax_array(value)
    if array.ndim == 0 or array.shape[-1] != series.shape[-1]:
        raise ValueError(
            f"{name} must have one value for each of the {series.shape[-1]} frames on its last axis, "
            f"and has shape {array.shape}"
        )
    try:
        jnp.broadcast_shapes(array.shape[:-1], series.shape[:-2])
    except ValueError:
        raise ValueError(
            f"the leading axes of {name} {array.shape[:-1]} must broadcast with those of time_series "
            f"{series.shape[:-2]}"
        ) from None
    missing = series.ndim - 1 - array.ndim
    return array.reshape((1,) * max(missing, 0) + array.shape)


def _moments(series: Array, weights: Array) -> _Moments:
    """Return the weighted second moments of the series, by whichever centring is cheaper."""
    lead = weights.shape[:-1]
    total, squares = weights.sum(-1), (weights**2).sum(-1)
    safe_total = jnp.where(total > 0, total, 1.0)
    if jnp.broadcast_shapes(lead, series.shape[:-2]) == series.shape[:-2]:
        product, variance, constant = _moments_of_one_weighting(series, weights, safe_total)
    else:
        product, variance, constant = _moments_of_a_stack(series, weights, safe_total)
    total = jnp.broadcast_to(total, product.shape[:-2])
    squares = jnp.broadcast_to(squares, product.shape[:-2])
    return _Moments(product, variance, constant | (total <= 0)[..., None], total, squares)


def _moments_of_one_weighting(series: Array, weights: Array, total: Array) -> tuple[Array, Array, Array]:
    """Centre by the weighted mean itself: as cheap as any other centring, and the most accurate."""
    epsilon = jnp.finfo(series.dtype).eps
    mean = jnp.einsum("...rt,...t->...r", series, weights) / total[..., None]
    centred = series - mean[..., None]
    weighted = centred * (weights / total[..., None])[..., None, :]
    product = jnp.einsum("...rt,...st->...rs", weighted, centred)
    product = (product + jnp.swapaxes(product, -1, -2)) / 2
    variance = jnp.diagonal(product, axis1=-2, axis2=-1)
    power = variance + mean**2
    return product, variance, variance <= (8 * epsilon) ** 2 * power


def _moments_of_a_stack(series: Array, weights: Array, total: Array) -> tuple[Array, Array, Array]:
    """Centre once by the unweighted mean, and correct each weighting by a rank-one term, a scan at a time."""
    lead = jnp.broadcast_shapes(weights.shape[:-1], series.shape[:-2])
    n_frames = series.shape[-1]
    weights = jnp.broadcast_to(weights / total[..., None], (*lead, n_frames))
    # The axes that only the weights have stay inside; those of the series are walked one by one, so that the product
    # (weighting, region, frame) exists for one series at a time.
    series = jnp.broadcast_to(series, (*(1,) * (len(lead) + 2 - series.ndim), *series.shape))
    own = [axis for axis in range(len(lead)) if series.shape[axis] > 1]
    added = [axis for axis in range(len(lead)) if series.shape[axis] == 1]
    order = [*own, *added]
    walked = jnp.transpose(series, (*order, len(lead), len(lead) + 1)).reshape(-1, *series.shape[-2:])
    stacks = jnp.transpose(weights, (*order, len(lead))).reshape(walked.shape[0], -1, n_frames)

    def of_one_series(pair: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        x, stack = pair
        epsilon = jnp.finfo(x.dtype).eps
        shift = jax.lax.stop_gradient(x.mean(-1, keepdims=True))  # exact: the result does not depend on the shift
        centred = x - shift
        mean = stack @ centred.T
        square = (stack[:, None, :] * centred) @ centred.T
        product = square - mean[:, :, None] * mean[:, None, :]
        product = (product + jnp.swapaxes(product, -1, -2)) / 2
        variance = jnp.diagonal(product, axis1=-2, axis2=-1)
        spread = jnp.diagonal(square, axis1=-2, axis2=-1)
        power = variance + (mean + shift.T) ** 2
        constant = (variance <= 16 * epsilon * spread) | (variance <= (8 * epsilon) ** 2 * power)
        return product, variance, constant

    results = jax.lax.map(of_one_series, (walked, stacks))
    unordered = [order.index(axis) for axis in range(len(lead))]
    sizes = tuple(lead[axis] for axis in order)

    def restored(array: Array, rest: int) -> Array:
        shaped = array.reshape(*sizes, *array.shape[array.ndim - rest :])
        return jnp.transpose(shaped, (*unordered, *range(len(lead), len(lead) + rest)))

    return restored(results[0], 2), restored(results[1], 1), restored(results[2], 1)
