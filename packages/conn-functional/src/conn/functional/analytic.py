r"""The analytic signal of a narrow-band series, and the envelope, the phase and the frequency read off it.

:math:`z_t = x_t + i\,\mathcal H[x]_t` keeps the positive frequencies of :math:`x` and doubles them. Its modulus is the
envelope and its argument the phase; both mean something only for a series of a narrow band: filter first.

The transform reads the whole series, so that censored frames must be interpolated before it. What comes afterwards
(a mean over frames, a locking value) may leave frames out by its own mask.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact

from conn.functional._inputs import positive, real_series, refuse_infinity
from conn.functional.engine import Tensor, _to_jax_array

__all__ = [
    "analytic_signal",
    "envelope",
    "hilbert_transform",
    "instantaneous_frequency",
    "instantaneous_phase",
    "unwrap",
]


def analytic_signal(
    time_series: Float[Tensor, "... region frame"],
    *,
    check: bool = False,
) -> Complex[Array, "... region frame"]:
    """Return the analytic signal of every region.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals of a narrow band, in any unit; each run by itself. They count as periodic.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``: interpolate such frames first.

    Returns
    -------
    complex array, shape (..., region, frame)
        The real part is the series, the imaginary part its Hilbert transform. NaN in a region makes it NaN.

    Raises
    ------
    TypeError
        If the series is complex already.
    ValueError
        If it does not have the shape (..., region, frame).

    See Also
    --------
    scipy.signal.hilbert : agrees to rounding.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> analytic_signal(jnp.array([[1.0, 0.0, -1.0, 0.0]])).imag.tolist()
    [[0.0, 1.0, 0.0, -1.0]]
    """
    return _transformed(real_series(time_series, check=check))


def hilbert_transform(
    time_series: Float[Tensor, "... region frame"],
    *,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    """Return the Hilbert transform of every region: each frequency a quarter of a period late.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit; each run by itself. They count as periodic.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``: interpolate such frames first.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series. The mean and, for an even number of frames, the Nyquist frequency vanish.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If it does not have the shape (..., region, frame).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> hilbert_transform(jnp.array([[1.0, 0.0, -1.0, 0.0]])).tolist()
    [[0.0, 1.0, 0.0, -1.0]]
    """
    return analytic_signal(time_series, check=check).imag


def envelope(
    time_series: Inexact[Tensor, "... region frame"],
    *,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    """Return the instantaneous amplitude.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Real signals of a narrow band, in any unit, or their analytic signals, which are taken as they are.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``: interpolate such frames first.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series, not negative. Where it is 0 it has no derivative, and 0 is given for it.

    Raises
    ------
    ValueError
        If the series does not have the shape (..., region, frame).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> envelope(jnp.array([[3.0, 0.0, -3.0, 0.0]])).tolist()
    [[3.0, 3.0, 3.0, 3.0]]
    """
    return modulus(as_analytic(time_series, check=check))


def instantaneous_phase(
    time_series: Inexact[Tensor, "... region frame"],
    *,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    r"""Return the phase of the analytic signal.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Real signals of a narrow band, or their analytic signals, which are taken as they are.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``: interpolate such frames first.

    Returns
    -------
    array, shape (..., region, frame)
        Radians, in :math:`(-\pi, \pi]`; see `unwrap`. Where the amplitude is 0, phase and derivative are 0.

    Raises
    ------
    ValueError
        If the series does not have the shape (..., region, frame).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> [round(float(phase), 3) for phase in instantaneous_phase(jnp.array([1.0, 0.0, -1.0, 0.0])[None])[0]]
    [0.0, 1.571, 3.142, -1.571]
    """
    return _angle(as_analytic(time_series, check=check))


def instantaneous_frequency(
    time_series: Inexact[Tensor, "... region frame"],
    *,
    repetition_time: float,
    check: bool = False,
) -> Float[Array, "... region step"]:
    """Return the frequency at which the phase advances from each frame to the next.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Real signals of a narrow band, or their analytic signals, which are taken as they are. At least two frames.
    repetition_time : float
        Seconds from frame to frame.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``: interpolate such frames first.

    Returns
    -------
    array, shape (..., region, frame - 1)
        Hertz, between minus and plus the Nyquist frequency. Where an amplitude is 0, 0.

    Raises
    ------
    ValueError
        If there are fewer than two frames, or the repetition time is not above 0.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> jnp.round(instantaneous_frequency(jnp.array([[1.0, 0.0, -1.0, 0.0]]), repetition_time=2.0), 5).tolist()
    [[0.125, 0.125, 0.125]]
    """
    sampling = 1 / positive("repetition_time", repetition_time, "s")
    analytic = as_analytic(time_series, check=check)
    if analytic.shape[-1] < 2:
        raise ValueError(f"a frequency needs at least two frames, and there are {analytic.shape[-1]}")
    # The turn from one frame to the next lies within half a period either way, as after unwrapping.
    turn = _angle(phasor(analytic[..., 1:]) * jnp.conj(phasor(analytic[..., :-1])))
    return turn * (sampling / (2 * np.pi))


def unwrap(phase: Float[Tensor, "... frame"], *, period: float = 2 * np.pi) -> Float[Array, "... frame"]:
    """Return the phase without its jumps: steps of more than half a period are shortened by whole periods.

    Parameters
    ----------
    phase : array, shape (..., frame)
        In the unit of `period`.
    period : float, default 2 pi
        What a full turn measures.

    Returns
    -------
    array, shape (..., frame)
        The phase plus a whole number of periods at each frame. NaN at a frame makes all later ones NaN. The derivative
        is 1 everywhere; at a step of exactly half a period the value jumps.

    Raises
    ------
    TypeError
        If the phase is complex.
    ValueError
        If the phase has no axis, or the period is not above 0.

    See Also
    --------
    numpy.unwrap : the same.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> unwrap(jnp.array([0.0, 0.75, 0.5, 0.25]), period=1.0).tolist()
    [0.0, -0.25, -0.5, -0.75]
    """
    wrapped = real_series(phase, name="phase", axes="(..., frame)")
    period = positive("period", period, "(a full turn)")
    return wrapped + jax.lax.stop_gradient(jnp.unwrap(wrapped, period=period) - wrapped)


def as_analytic(value: Tensor, *, check: bool = False) -> Complex[Array, "... region frame"]:
    """Return complex series as they are, and real ones as their analytic signal."""
    array = _to_jax_array(value)
    if not jnp.issubdtype(array.dtype, jnp.complexfloating):
        return analytic_signal(array, check=check)
    if array.ndim < 2 or 0 in array.shape[-2:]:
        raise ValueError(f"the series must have shape (..., region, frame) with no empty axis, and has {array.shape}")
    return refuse_infinity("the series", array, ": interpolate such frames first") if check else array


def modulus(analytic: Complex[Array, "..."]) -> Float[Array, "..."]:
    """Return the modulus, with derivative 0 where it is 0."""
    present = analytic != 0
    return jnp.where(present, jnp.abs(jnp.where(present, analytic, 1.0)), 0.0)


def phasor(analytic: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """Return the number on the unit circle in the same direction; 0, with derivative 0, where there is none."""
    present = analytic != 0
    safe = jnp.where(present, analytic, 1.0)
    return jnp.where(present, safe / jnp.abs(safe), 0.0)


def _angle(analytic: Array) -> Array:
    present = analytic != 0
    safe = jnp.where(present, analytic, 1.0)
    return jnp.arctan2(safe.imag, safe.real)


@jax.jit
def _transformed(series: Array) -> Array:
    n_frames = series.shape[-1]
    gain = np.zeros(n_frames)
    gain[0] = 1
    gain[1 : (n_frames + 1) // 2] = 2
    if n_frames % 2 == 0:
        gain[n_frames // 2] = 1
    transformed = jnp.fft.ifft(jnp.fft.fft(series) * gain.astype(series.dtype))
    # The real part is the series itself, and not its image of two transforms.
    return jax.lax.complex(series, transformed.imag.astype(series.dtype))
