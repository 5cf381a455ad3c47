"""What functions accept at their border: series, values a frame, a repetition time, a band, symmetric matrices."""

from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from conn.functional.engine import Tensor, _to_jax_array

__all__ = [
    "Band",
    "band_edges",
    "bins_of_band",
    "per_frame",
    "positive",
    "real_series",
    "refuse_asymmetry",
    "refuse_infinity",
    "several_frames",
]

Band: TypeAlias = tuple[float | None, float | None]
"""The lowest and the highest frequency of a band in hertz; None leaves that side open."""


def real_series(
    value: Tensor, *, name: str = "time_series", axes: str = "(..., region, frame)", check: bool = False
) -> Array:
    """Return the series as a floating array whose rank is at least that of `axes`; integers become floats.

    With `check`, NaN and infinity are refused in every frame: where a mask says which frames count, it comes first.
    """
    array = _to_jax_array(value)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{name} must be real, and is {array.dtype}")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    array = _ranked(array, name, axes)
    return refuse_infinity(name, array, ": interpolate such frames first") if check else array


def several_frames(series: Array, what: str) -> None:
    """Refuse a series of one frame, of which nothing can be said."""
    if series.shape[-1] < 2:
        raise ValueError(f"{what} needs at least two frames, and there are {series.shape[-1]}")


def refuse_infinity(name: str, array: Array, remedy: str = "") -> Array:
    """Return the array, which raises when it is computed if it holds NaN or infinity."""
    return eqx.error_if(array, ~jnp.isfinite(array).all(), f"{name} holds NaN or infinity{remedy}")


def refuse_asymmetry(name: str, matrix: Array) -> Array:
    """Return the matrices, which raise when they are computed if one is not symmetric, to the rounding of a product."""
    slack = 64 * jnp.finfo(matrix.dtype).eps * jnp.abs(matrix).max((-2, -1), keepdims=True)
    apart = jnp.abs(matrix - jnp.swapaxes(matrix, -1, -2)) > slack
    return eqx.error_if(matrix, apart.any(), f"{name} must be symmetric, and is not")


def positive(name: str, value: float, unit: str) -> float:
    """Return the setting as a float, which must be finite and above zero."""
    number = float(value)
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be above 0 {unit}, and is {value}")
    return number


def band_edges(band: Band, repetition_time: float) -> Band:
    """Return the band, checked against the Nyquist frequency; it must be bounded on one side at least."""
    try:
        low, high = band
    except (TypeError, ValueError):
        raise ValueError(f"band must be a pair (lowest, highest) of frequencies in hertz, and is {band!r}") from None
    nyquist = 0.5 / positive("repetition_time", repetition_time, "s")
    if low is None and high is None:
        raise ValueError("band must have a lowest or a highest frequency, and is (None, None)")
    for side, edge in (("lowest", low), ("highest", high)):
        if edge is not None and not 0 < edge < nyquist:
            raise ValueError(
                f"the {side} frequency of band must lie between 0 and the Nyquist frequency {nyquist:g} Hz "
                f"(repetition time {repetition_time:g} s), and is {edge:g} Hz"
            )
    if low is not None and high is not None and not low < high:
        raise ValueError(f"the lowest frequency of band must be below the highest, and band is ({low:g}, {high:g}) Hz")
    return band


def bins_of_band(band: Band, *, n_frames: int, repetition_time: float) -> np.ndarray:
    """Return the indices of the Fourier bins inside the band, edges included and 0 Hz left out; at least one."""
    low, high = band_edges(band, repetition_time)
    frequencies = np.fft.rfftfreq(n_frames, repetition_time)
    slack = 1e-9 / repetition_time  # a bin that lies on an edge but for rounding lies inside
    inside = (frequencies >= (low or 0.0) - slack) & (frequencies <= (np.inf if high is None else high) + slack)
    inside &= frequencies > 0
    if not inside.any():
        raise ValueError(
            f"no Fourier bin of {n_frames} frames at {repetition_time:g} s lies in the band {band} Hz: "
            f"the bins are {frequencies[1] if n_frames > 1 else 0:g} Hz apart"
        )
    return np.flatnonzero(inside)


def per_frame(name: str, value: Tensor, series: Array) -> Array:
    """Return one value a frame, with leading axes of the series' rank that broadcast into its own."""
    array = _to_jax_array(value)
    if array.ndim == 0 or array.shape[-1] != series.shape[-1]:
        raise ValueError(
            f"{name} must have one value for each of the {series.shape[-1]} frames on its last axis, "
            f"and has shape {array.shape}"
        )
    array = array.reshape((1,) * max(series.ndim - 1 - array.ndim, 0) + array.shape)
    try:
        lead = jnp.broadcast_shapes(array.shape[:-1], series.shape[:-2])
    except ValueError:
        lead = None
    if lead != series.shape[:-2]:
        raise ValueError(
            f"the leading axes of {name} {array.shape[:-1]} must fit those of the series {series.shape[:-2]}"
        )
    return array


def _ranked(array: Array, name: str, axes: str) -> Array:
    rank = len([axis for axis in axes.strip("()").split(",") if axis.strip() not in ("", "...")])
    if array.ndim < rank or 0 in array.shape[array.ndim - rank :]:
        raise ValueError(f"{name} must have shape {axes} with no empty axis, and has shape {array.shape}")
    return array
