r"""Second moments of time series under frame weights, masks and couplings: what the whole covariance family shares.

A frame weighting is a symmetric form :math:`\tilde Q_{tu} = \sqrt{w_t}\, q_{tu} \sqrt{w_u}` over frames, with
:math:`q` the identity unless a coupling is given. The mean is :math:`m = x \tilde Q 1 / 1' \tilde Q 1`, and the second
moment :math:`(x - m) \tilde Q (x - m)' / \operatorname{tr} \tilde Q`.

A stack of weightings of the same series never centres the series once a weighting: the shared, unweighted mean
is taken off first, and the rest of each weighting's mean is a rank-one correction,
:math:`\sum_t v_t y_{it} y_{jt} - m_i m_j` with :math:`y` the centred series and :math:`v = w / \sum w`. The
derivative is written out, so that forward and backward pass are a little over half a matrix product a weighting each
(the derivative in the series takes the other half) and nothing of the size (weighting, region, frame) outlives one
series.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from conn.functional.engine import Tensor, _to_jax_array

__all__ = [
    "Weighed",
    "adds_axes",
    "checked_series",
    "coupling_of",
    "each_scan",
    "moments",
    "reciprocal_root",
    "root_or_zero",
    "stack_correlation",
    "stack_covariance",
    "variances",
    "weigh",
]


class Weighed(NamedTuple):
    """A centred series, and the same with weights and coupling applied: their product is the second moment."""

    centred: Array  # (..., region, frame)
    weighted: Array  # (..., region, frame), of unit total weight when multiplied by `share`
    level: Array  # (..., region), square of the mean
    total: Array  # (...,), trace of the form
    loss: Array  # (...,), what centring takes from the trace, so that total - ddof * loss is the divisor
    share: float = 1.0


def checked_series(
    time_series: Tensor,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    check: bool = False,
    name: str = "time_series",
) -> tuple[Float[Array, "... region frame"], Float[Array, "... frame"]]:
    """Return the series and one weight a frame, with masked frames emptied; refuse shapes that do not fit.

    With `check`, values are refused too when they are known: NaN or infinity where a frame counts, negative weights,
    weightings without any weight.
    """
    series = _to_jax_array(time_series)
    if jnp.issubdtype(series.dtype, jnp.complexfloating):
        raise TypeError(f"{name} must be real, and is {series.dtype}")
    if not jnp.issubdtype(series.dtype, jnp.floating):
        series = series.astype(jnp.result_type(float))
    if series.ndim < 2 or 0 in series.shape[-2:]:
        raise ValueError(
            f"{name} must have shape (..., region, frame) with no empty axis, and has shape {series.shape}"
        )
    weights = jnp.ones((1,) * (series.ndim - 2) + series.shape[-1:], series.dtype)
    if weight is not None:
        weights = _fitting("weight", weight, series).astype(series.dtype)
    if mask is not None:
        valid = _fitting("mask", mask, series).astype(bool)
        weights = jnp.where(valid, weights, 0.0)
        # Whatever stands in a masked frame must not reach the sums: 0 x NaN is NaN.
        shared = jnp.broadcast_to(valid, jnp.broadcast_shapes(valid.shape, (*series.shape[:-2], series.shape[-1])))
        series = jnp.where(shared[..., None, :], series, 0.0)
    if check:
        series = eqx.error_if(
            series,
            ~jnp.isfinite(series).all(),
            f"{name} holds NaN or infinity in a frame that counts: mark such frames in mask",
        )
        weights = eqx.error_if(weights, ~(weights >= 0).all(), "weight must not be negative or NaN")
        weights = eqx.error_if(weights, ~(weights.sum(-1) > 0).all(), "no frame has weight: weight or mask is all zero")
    return series, weights


def adds_axes(series: Array, weights: Array) -> bool:
    """Return whether the weights are a stack of weightings of shared series."""
    lead = jnp.broadcast_shapes(weights.shape[:-1], series.shape[:-2])
    return lead != series.shape[:-2]


def coupling_of(coupling: Tensor | None, toeplitz: Tensor | None, series: Array) -> tuple[Array | None, Array | None]:
    """Return the coupling between frames as a matrix or as a first row, having checked it."""
    if coupling is not None and toeplitz is not None:
        raise ValueError("give the coupling between frames as a matrix (coupling) or by its first row (toeplitz)")
    n_frames = series.shape[-1]
    if coupling is not None:
        matrix = _to_jax_array(coupling).astype(series.dtype)
        if matrix.ndim < 2 or matrix.shape[-2:] != (n_frames, n_frames):
            raise ValueError(
                f"coupling must have shape (..., {n_frames}, {n_frames}), frame by frame, and has shape {matrix.shape}"
            )
        return matrix, None
    if toeplitz is not None:
        row = _to_jax_array(toeplitz).astype(series.dtype)
        if row.ndim == 0 or not 1 <= row.shape[-1] <= n_frames:
            raise ValueError(
                f"toeplitz must hold the coupling at lags 0, 1, ... up to at most {n_frames - 1} on its last axis, "
                f"and has shape {row.shape}"
            )
        return None, row
    return None, None


def weigh(
    series: Float[Array, "... region frame"],
    weights: Float[Array, "... frame"] | None,
    coupling: Array | None = None,
    toeplitz: Array | None = None,
) -> Weighed:
    """Return the series, centred about its weighted mean, with and without the weights applied.

    No weights are weights of 1, at the cost of fewer passes over the series.
    """
    if weights is None:
        n_frames = series.shape[-1]
        mean = series.mean(-1)
        centred = series - mean[..., None]
        total = jnp.full(series.shape[:-2], n_frames, series.dtype)
        return Weighed(centred, centred, mean**2, total, jnp.ones_like(total), 1 / n_frames)
    if toeplitz is not None:
        coupled, diagonal = partial(_toeplitz_product, row=toeplitz), toeplitz[..., :1]
    elif coupling is not None:
        coupled, diagonal = partial(_matrix_product, matrix=coupling), jnp.diagonal(coupling, axis1=-2, axis2=-1)
    else:
        return _weigh_without_coupling(series, weights)
    root = root_or_zero(weights)
    reach = root * coupled(root[..., None, :])[..., 0, :]  # the form's row sums
    whole = reach.sum(-1)
    usable = whole > 0
    safe = jnp.where(usable, whole, 1.0)
    mean = (series * (reach / safe[..., None])[..., None, :]).sum(-1)
    total = (weights * diagonal).sum(-1)
    safe_total = jnp.where(total > 0, total, 1.0)
    centred = series - mean[..., None]
    weighted = coupled(centred * root[..., None, :]) * (root / safe_total[..., None])[..., None, :]
    loss = jnp.where(usable, (reach**2).sum(-1) / safe, 0.0)
    return Weighed(centred, weighted, mean**2, total, loss)


def _weigh_without_coupling(series: Array, weights: Array) -> Weighed:
    total = weights.sum(-1)
    shares = weights / jnp.where(total > 0, total, 1.0)[..., None]
    mean = (series * shares[..., None, :]).sum(-1)
    centred = series - mean[..., None]
    weighted = centred * shares[..., None, :]
    return Weighed(centred, weighted, mean**2, total, (weights * shares).sum(-1))


def moments(one: Weighed) -> tuple[Float[Array, "... region region"], Bool[Array, "... region"]]:
    """Return the second moments of one weighting, symmetric, and which regions are constant."""
    product = _symmetric_product(one.weighted, one.centred) * one.share
    variance = jnp.diagonal(product, axis1=-2, axis2=-1)
    return product, _is_constant(variance, one)


def each_scan(
    function: Callable[[Array, Array], Any],
    series: Float[Array, "... region frame"],
    weights: Float[Array, "... frame"],
) -> Any:
    """Return the function of each scan and its weights, one scan after the other.

    What is done to one scan stays in the processor's caches, which a pass over all scans for each operation leaves.
    """
    lead = series.shape[:-2]
    if not lead:
        return function(series, weights.reshape(weights.shape[-1:]))
    weights = jnp.broadcast_to(weights, (*lead, weights.shape[-1])).reshape(-1, weights.shape[-1])
    results = jax.lax.map(lambda pair: function(*pair), (series.reshape(-1, *series.shape[-2:]), weights))
    return jax.tree.map(lambda array: array.reshape(*lead, *array.shape[1:]), results)


def _symmetric_product(left: Array, right: Array) -> Array:
    """Return the product with the transpose of `right`, which is known to be symmetric: blocks above are copies.

    For many regions this takes 5 of 8 multiplications; for few, one product is faster.
    """
    size = left.shape[-2]
    if size < 256:
        product = jnp.einsum("...rt,...st->...rs", left, right)
        return (product + jnp.swapaxes(product, -1, -2)) / 2
    edges = [size * number // 4 for number in range(5)]
    slices = [slice(*pair) for pair in pairwise(edges)]
    blocks: list[list[Array]] = [[left] * 4 for _ in range(4)]
    for i, rows in enumerate(slices):
        for j, columns in enumerate(slices[: i + 1]):
            block = jnp.einsum("...rt,...st->...rs", left[..., rows, :], right[..., columns, :])
            blocks[i][j], blocks[j][i] = block, jnp.swapaxes(block, -1, -2)
        blocks[i][i] = (blocks[i][i] + jnp.swapaxes(blocks[i][i], -1, -2)) / 2
    return jnp.concatenate([jnp.concatenate(row, -1) for row in blocks], -2)


def variances(one: Weighed) -> tuple[Float[Array, "... region"], Bool[Array, "... region"]]:
    """Return the variances of one weighting without the products between regions, and which regions are constant."""
    variance = (one.weighted * one.centred).sum(-1) * one.share
    return variance, _is_constant(variance, one)


def _is_constant(variance: Array, one: Weighed) -> Array:
    epsilon = jnp.finfo(variance.dtype).eps
    # A coupling that is not positive semi-definite can make a variance negative: not constant, but NaN downstream.
    bound = (8 * epsilon) ** 2 * (jnp.abs(variance) + one.level)
    return (jnp.abs(variance) <= bound) | (one.total <= 0)[..., None]


def root_or_zero(value: Array) -> Array:
    """Return the square root, with derivative 0 where the value is 0 or less."""
    usable = value > 0
    return jnp.where(usable, jnp.sqrt(jnp.where(usable, value, 1.0)), 0.0)


def reciprocal_root(variance: Array, varies: Array) -> Array:
    """Return one over the standard deviation, and 0 (with derivative 0) where nothing varies."""
    return jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, variance, 1.0)), 0.0)


def _matrix_product(array: Array, matrix: Array) -> Array:
    return array @ matrix


def _toeplitz_product(array: Array, row: Array) -> Array:
    """Return the product with a symmetric Toeplitz matrix, by the Fourier transform: O(frame log frame)."""
    n_frames, n_lags = array.shape[-1], row.shape[-1]
    size = n_frames + n_lags - 1
    kernel = jnp.zeros((*row.shape[:-1], size), row.dtype).at[..., :n_lags].set(row)
    kernel = kernel.at[..., size - n_lags + 1 :].add(jnp.flip(row[..., 1:], -1))
    spectrum = jnp.fft.rfft(kernel)[..., None, :]
    return jnp.fft.irfft(jnp.fft.rfft(array, n=size) * spectrum, n=size)[..., :n_frames].astype(array.dtype)


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


def stack_covariance(series: Array, weights: Array) -> Float[Array, "... region region"]:
    """Return the second moments of series under a stack of weightings that they share."""
    walked, shift, stacks, restored = _walk(series, weights)
    return restored(_products(walked - shift, stacks))


def stack_correlation(series: Array, weights: Array) -> tuple[Array, Bool[Array, "... region"]]:
    """Return the correlations of series under a stack of weightings that they share, and which regions vary.

    Correlations of regions that do not vary are 0, the diagonal included.
    """
    walked, shift, stacks, restored = _walk(series, weights)
    matrices, varies = _correlations(walked - shift, shift, stacks)
    return restored(matrices), restored(varies)


def _walk(series: Array, weights: Array):
    """Return the series one after the other, their means, each one's stack of weights, and the way back.

    The axes that only the weights have stay inside; those of the series are walked one by one.
    """
    lead = jnp.broadcast_shapes(weights.shape[:-1], series.shape[:-2])
    n_frames = series.shape[-1]
    total = weights.sum(-1, keepdims=True)
    weights = jnp.broadcast_to(weights / jnp.where(total > 0, total, 1.0), (*lead, n_frames))
    series = jnp.broadcast_to(series, (*(1,) * (len(lead) + 2 - series.ndim), *series.shape))
    own = [axis for axis in range(len(lead)) if series.shape[axis] > 1]
    order = [*own, *(axis for axis in range(len(lead)) if series.shape[axis] == 1)]
    walked = jnp.transpose(series, (*order, len(lead), len(lead) + 1)).reshape(-1, *series.shape[-2:])
    stacks = jnp.transpose(weights, (*order, len(lead))).reshape(walked.shape[0], -1, n_frames)
    # The moments do not depend on the shift, so that its derivative is 0.
    shift = jax.lax.stop_gradient(walked.mean(-1, keepdims=True))
    back, sizes = [order.index(axis) for axis in range(len(lead))], [lead[axis] for axis in order]

    def restored(array: Array) -> Array:
        shaped = array.reshape(*sizes, *array.shape[2:])
        return jnp.transpose(shaped, (*back, *range(len(lead), shaped.ndim)))

    return walked, shift, stacks, restored


def _blocks(n_regions: int) -> list[tuple[int, int]]:
    """Return the rows of blocks: of a symmetric matrix those on and below the diagonal are enough, a little over half.

    For few regions, one product is faster.
    """
    count = 4 if n_regions >= 256 else 1
    return list(pairwise(n_regions * number // count for number in range(count + 1)))


def _product(centred: Array, stack: Array) -> tuple[Array, Array]:
    """Return the second moments of one series under its stack, and the means."""
    n_regions, n_frames = centred.shape
    mean = stack @ centred.T
    strips = []
    for start, end in _blocks(n_regions):
        rows = (stack[:, None, :] * centred[start:end]).reshape(-1, n_frames)
        strip = (rows @ centred[:end].T).reshape(-1, end - start, end)
        strips.append(jnp.pad(strip, ((0, 0), (0, 0), (0, n_regions - end))))
    square = jnp.concatenate(strips, -2)
    below = jnp.tri(n_regions, dtype=bool)
    square = jnp.where(below, square, jnp.swapaxes(square, -1, -2))
    return square - mean[:, :, None] * mean[:, None, :], mean


def _product_pullback(centred: Array, stack: Array, mean: Array, cotangent: Array) -> tuple[Array, Array]:
    """Return the derivatives in the centred series and in its stack of weights; `cotangent` is symmetric.

    That in the weights needs the blocks on and below the diagonal alone, and where it is all that is asked for, the
    compiler leaves out the others.
    """
    n_regions = centred.shape[0]
    pulled = jnp.einsum("krs,ks->kr", cotangent, mean)
    to_stack = -2 * pulled @ centred
    strips = []
    for start, end in _blocks(n_regions):
        left, own, right = (
            jnp.einsum("krs,st->krt", cotangent[:, start:end, columns], centred[columns])
            for columns in (slice(0, start), slice(start, end), slice(end, n_regions))
        )
        to_stack = to_stack + _added_up((2 * left + own) * centred[start:end], axis=1)
        strips.append(_added_up((left + own + right) * stack[:, None], axis=0))
    to_series = 2 * (jnp.concatenate(strips) - pulled.T @ stack)
    return to_series, to_stack


def _added_up(array: Array, axis: int) -> Array:
    """Return the sum along an axis other than the last, by halves.

    XLA's own sums on a CPU hold all that is summed, and read entries that lie far apart one after the other: they took
    two to six times as long. A product with another axis as batch copies everything first.
    """
    last = []
    while (size := array.shape[axis]) > 1:
        if size % 2:
            last.append(jax.lax.index_in_dim(array, size - 1, axis, keepdims=False))
        first, second = (jax.lax.slice_in_dim(array, start, start + size // 2, axis=axis) for start in (0, size // 2))
        array = first + second
    return sum(last, jnp.squeeze(array, axis))


@jax.custom_vjp
def _products(centred: Array, stacks: Array) -> Array:
    return jax.lax.map(lambda pair: _product(*pair)[0], (centred, stacks))


def _products_forward(centred: Array, stacks: Array):
    return _products(centred, stacks), (centred, stacks)


def _products_backward(kept: tuple[Array, Array], cotangent: Array):
    def of_one(item: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        y, stack, outer = item
        return _product_pullback(y, stack, stack @ y.T, (outer + jnp.swapaxes(outer, -1, -2)) / 2)

    return jax.lax.map(of_one, (*kept, cotangent))


_products.defvjp(_products_forward, _products_backward)


def _correlation(centred: Array, shift: Array, stack: Array) -> tuple[Array, Array, Array]:
    product, mean = _product(centred, stack)
    epsilon = jnp.finfo(centred.dtype).eps
    variance = jnp.diagonal(product, axis1=-2, axis2=-1)
    square = variance + mean**2
    power = variance + (mean + shift.T) ** 2
    varies = (variance > 16 * epsilon * square) & (variance > (8 * epsilon) ** 2 * power)
    scale = reciprocal_root(variance, varies)
    matrix = jnp.clip(product * (scale[:, :, None] * scale[:, None, :]), -1.0, 1.0)  # symmetric to the bit
    identity = jnp.eye(centred.shape[-2], dtype=bool)
    return jnp.where(identity, varies[:, :, None].astype(matrix.dtype), matrix), varies, scale


@jax.custom_vjp
def _correlations(centred: Array, shift: Array, stacks: Array) -> tuple[Array, Array]:
    return jax.lax.map(lambda item: _correlation(*item)[:2], (centred, shift, stacks))


def _correlations_forward(centred: Array, shift: Array, stacks: Array):
    matrices, varies, scales = jax.lax.map(lambda item: _correlation(*item), (centred, shift, stacks))
    return (matrices, varies), (centred, stacks, matrices, scales)


def _correlations_backward(kept: tuple[Array, Array, Array, Array], cotangents: tuple[Array, Array]):
    def of_one(item: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array]:
        y, stack, matrix, scale, outer = item
        identity = jnp.eye(matrix.shape[-1], dtype=bool)
        outer = jnp.where(identity, 0.0, (outer + jnp.swapaxes(outer, -1, -2)) / 2)
        to_variance = -(scale**2) * (outer * matrix).sum(-1)
        inner = outer * scale[:, :, None] * scale[:, None, :]
        inner = jnp.where(identity, to_variance[:, :, None], inner)
        return _product_pullback(y, stack, stack @ y.T, inner)

    centred, *rest = kept
    to_series, to_stacks = jax.lax.map(of_one, (centred, *rest, cotangents[0]))
    return to_series, jnp.zeros_like(centred[..., :1]), to_stacks


_correlations.defvjp(_correlations_forward, _correlations_backward)
