"""What is no matrix product over pairs of regions: one row of the matrix at a time, so that memory stays linear."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from conn.functional._inputs import per_frame, several_frames
from conn.functional.engine import Tensor

__all__ = ["frame_weights", "row_by_row"]


def row_by_row(row: Callable[[Array, Array], Array], series: Array) -> Array:
    """Return the matrix whose row i is ``row(i, series[..., i, :])``, shape (..., region).

    A row is computed anew for the derivative, so that no more than one row's intermediates, each as large as the
    series, exist at a time.
    """
    n_regions = series.shape[-2]
    rows = jax.lax.map(lambda pair: jax.checkpoint(row)(*pair), (jnp.arange(n_regions), jnp.moveaxis(series, -2, 0)))
    return jnp.moveaxis(rows, 0, -2)


def frame_weights(mask: Tensor | None, analytic: Array, *, check: bool) -> tuple[Array, Bool[Array, "... 1 frame"]]:
    """Return the analytic signals, 0 where masked, and which frames count; with `check`, refuse bad values."""
    several_frames(analytic, "a coupling of two regions")
    if mask is None:
        valid = jnp.ones((1,) * (analytic.ndim - 1) + analytic.shape[-1:], bool)
    else:
        valid = per_frame("mask", mask, analytic).astype(bool)[..., None, :]
        # Whatever stands in a masked frame must not reach the sums: 0 x NaN is NaN.
        analytic = jnp.where(valid, analytic, 0.0)
    if check:
        analytic = eqx.error_if(
            analytic,
            ~jnp.isfinite(analytic).all(),
            "the series hold NaN or infinity in a frame that counts: interpolate before the analytic signal is taken",
        )
        analytic = eqx.error_if(analytic, ~valid.any(-1).all(), "no frame counts: mask is all False")
    return analytic, valid
