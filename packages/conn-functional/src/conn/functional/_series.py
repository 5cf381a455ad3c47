"""Masks of frames: series without what stands in masked frames, means and centred series over the frames that count."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from conn.functional.engine import Tensor, _to_jax_array


def joined_lead(first: Array, name: str, second: Array, *, own: int) -> tuple[Array, Array]:
    """Return both arrays with leading axes of one rank, having checked that these broadcast.

    The last two axes of `first` and the last `own` axes of `second` are not leading axes.
    """
    lead, other = first.shape[:-2], second.shape[: second.ndim - own]
    try:
        rank = len(jnp.broadcast_shapes(lead, other))
    except ValueError:
        raise ValueError(f"the leading axes of {name} {other} must broadcast with those of the series {lead}") from None
    first = first.reshape((1,) * (rank - len(lead)) + first.shape)
    return first, second.reshape((1,) * (rank - len(other)) + second.shape)


def with_mask(
    series: Array, mask: Tensor | None
) -> tuple[Float[Array, "... region frame"], Bool[Array, "... 1 frame"]]:
    """Return the series with its masked frames set to 0, and where frames count, both of one rank.

    Whatever stands in a masked frame must not reach a sum: 0 x NaN is NaN.
    """
    if mask is None:
        return series, jnp.ones((1,) * (series.ndim - 1) + series.shape[-1:], bool)
    valid = _to_jax_array(mask)
    if valid.ndim == 0 or valid.shape[-1] != series.shape[-1]:
        raise ValueError(
            f"mask must have one value for each of the {series.shape[-1]} frames on its last axis, "
            f"and has shape {valid.shape}"
        )
    series, valid = joined_lead(series, "mask", valid.astype(bool), own=1)
    valid = valid[..., None, :]
    return jnp.where(valid, series, 0.0), valid


def refuse_bad_values(name: str, series: Array) -> Array:
    """Return the masked series, which raises when it is computed if a frame that counts holds NaN or infinity."""
    return eqx.error_if(
        series,
        ~jnp.isfinite(series).all(),
        f"{name} holds NaN or infinity in a frame that counts: mark such frames in mask",
    )


def count(valid: Bool[Array, "... 1 frame"], like: Array) -> Float[Array, "... 1 1"]:
    """Return the number of frames that count, at least 1, in the precision of the series."""
    return jnp.maximum(valid.sum(-1, keepdims=True), 1).astype(like.dtype)


def centred(series: Array, valid: Bool[Array, "... 1 frame"]) -> tuple[Array, Array, Bool[Array, "... region 1"]]:
    """Return the series about its mean (0 where masked), the mean, and which regions are constant.

    The series is 0 in masked frames already. A region is constant when its centred norm is at most 8 eps times its
    norm: then rounding is all that is left of it, and 0 is returned.
    """
    mean = series.sum(-1, keepdims=True) / count(valid, series)
    rest = jnp.where(valid, series - mean, 0.0)
    bound = (8 * jnp.finfo(series.dtype).eps) ** 2
    constant = (rest**2).sum(-1, keepdims=True) <= bound * (series**2).sum(-1, keepdims=True)
    return jnp.where(constant, 0.0, rest), mean, constant


def neighbours(marked: Bool[Array, "... frame"]) -> tuple[Int[Array, "... frame"], Int[Array, "... frame"]]:
    """Return the places of the nearest marked frames at or before, and at or after, each frame.

    Where there is none they are -1 and the number of frames.
    """
    n_frames, axis = marked.shape[-1], marked.ndim - 1
    place = jnp.broadcast_to(jnp.arange(n_frames), marked.shape)
    last = jax.lax.cummax(jnp.where(marked, place, -1), axis=axis)
    following = jax.lax.cummin(jnp.where(marked, place, n_frames), axis=axis, reverse=True)
    return last, following
