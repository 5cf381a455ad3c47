"""Segments of truly neighbouring valid frames of one run: what every spectral estimator under a mask reads."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from conn.functional._inputs import per_frame
from conn.functional.engine import Tensor

__all__ = ["cut_segments", "frame_blocks", "segment_step"]


def segment_step(segment_length: int, overlap: int | None, n_frames: int) -> int:
    """Return how many frames apart segments start; half their length where `overlap` is not given."""
    if not 2 <= segment_length <= n_frames or int(segment_length) != segment_length:
        raise ValueError(
            f"segment_length must be a whole number from 2 to the {n_frames} frames of the series, "
            f"and is {segment_length}"
        )
    overlap = segment_length // 2 if overlap is None else overlap
    if not 0 <= overlap < segment_length or int(overlap) != overlap:
        raise ValueError(f"overlap must be a whole number from 0 to {segment_length - 1} frames, and is {overlap}")
    return segment_length - overlap


def frame_blocks(
    mask: Tensor | None, run: Tensor | None, series: Array
) -> tuple[Bool[Array, "... frame"], Int[Array, "... frame"]]:
    """Return which frames count, and for each frame at which one its block of neighbours begins.

    A block ends at a masked frame and where the run changes. Both results have the rank of the series less one.
    """
    n_frames = series.shape[-1]
    lead = (1,) * (series.ndim - 2)
    valid = jnp.ones((*lead, n_frames), bool) if mask is None else per_frame("mask", mask, series).astype(bool)
    first = valid & jnp.concatenate([jnp.ones_like(valid[..., :1]), ~valid[..., :-1]], axis=-1)
    if run is not None:
        labels = per_frame("run", run, series)
        changed = labels[..., 1:] != labels[..., :-1]
        first, valid = jnp.broadcast_arrays(
            first | (valid & jnp.concatenate([jnp.ones_like(changed[..., :1]), changed], axis=-1)), valid
        )
    frames = jnp.broadcast_to(jnp.arange(n_frames), first.shape)
    return valid, jax.lax.cummax(jnp.where(first, frames, -1), axis=first.ndim - 1)


def cut_segments(
    series: Array, *, segment_length: int, step: int, mask: Tensor | None, run: Tensor | None
) -> tuple[Array, Bool[Array, "... segment"]]:
    """Return the segments, shape (..., region, segment, frame), and which of them exist.

    Each block of neighbouring valid frames is cut by itself, from its first frame on. There is room for as many
    segments as an unbroken series has, and no set of blocks has more; places that are left over hold zeros.
    """
    n_frames = series.shape[-1]
    n_segments = (n_frames - segment_length) // step + 1
    inside = np.arange(segment_length)
    if mask is None and run is None:
        starts = np.arange(n_segments) * step
        exist = jnp.ones((*(1,) * (series.ndim - 2), n_segments), bool)
        return series[..., starts[:, None] + inside], exist
    valid, block = frame_blocks(mask, run, series)
    frames = jnp.arange(n_frames)
    ends = jnp.minimum(frames + segment_length - 1, n_frames - 1)
    begins = valid & ((frames - block) % step == 0) & (frames + segment_length <= n_frames)
    begins &= valid[..., ends] & (block[..., ends] == block)
    starts = jnp.sort(jnp.where(begins, frames, n_frames), axis=-1)[..., :n_segments]
    exist = starts < n_frames
    chosen = jnp.where(exist, starts, 0)[..., None] + inside
    # Whatever stands in a masked frame must not reach a sum: 0 x NaN is NaN.
    quiet = jnp.where(valid[..., None, :], series, 0.0)
    chosen = chosen.reshape(*chosen.shape[:-2], 1, -1)
    lead = jnp.broadcast_shapes(quiet.shape[:-2], chosen.shape[:-2])
    quiet = jnp.broadcast_to(quiet, (*lead, *quiet.shape[-2:]))
    segments = jnp.take_along_axis(quiet, jnp.broadcast_to(chosen, (*lead, *chosen.shape[-2:])), axis=-1)
    segments = segments.reshape(*segments.shape[:-1], n_segments, segment_length)
    return jnp.where(exist[..., None, :, None], segments, 0.0), exist
