r"""Linear filters of time series: transfer functions on the Fourier bins, and recursive filters in sections.

A *transfer function* is one complex gain for each bin of ``numpy.fft.rfftfreq(n_frames, repetition_time)``;
`product_filter` multiplies by it. A *recursive* filter is a cascade of second-order sections in SciPy's layout, a row
:math:`(b_0, b_1, b_2, a_0, a_1, a_2)` each, run over time by `sosfilt` and, without a phase shift, by `sosfiltfilt`.

The recursion is never stepped frame by frame. The cascade is one linear system with state :math:`s`,

.. math:: s_{t+1} = A s_t + B x_t, \qquad y_t = C s_t + D x_t ,

so that a block of frames is two matrix products, with the powers of :math:`A` inside, and only the states between the
blocks are walked one after the other. Sections that no transformation of JAX looks at become these matrices in float64,
whatever the dtype of the series: float32 coefficients would move the poles of a drift filter, next to the unit circle.

A filter reads frames before and after each frame: interpolate censored frames first, and filter each run by itself.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal
from jax.core import Tracer
from jaxtyping import Array, Complex, Float, Inexact

from conn.functional._inputs import Band, band_edges, positive, real_series
from conn.functional.engine import Tensor, _to_jax_array

__all__ = [
    "design_sections",
    "ideal_response",
    "product_filter",
    "product_filtfilt",
    "sections_response",
    "sosfilt",
    "sosfiltfilt",
]

Family = Literal["butterworth", "chebyshev1", "chebyshev2", "elliptic", "bessel"]
Padding = Literal["odd", "even", "constant"]

_BLOCK = 32  # frames a block, a power of two: products of this size already run at the speed of large ones
_ROWS = 128  # series filtered at a time


class _StateSpace(NamedTuple):
    """The cascade as one linear system: arrays of NumPy or of JAX, as the sections were."""

    transition: Any  # (state, state)
    entry: Any  # (state,)
    readout: Any  # (state,)
    direct: Any  # ()


def design_sections(
    family: Family,
    *,
    order: int,
    band: Band,
    repetition_time: float,
    stop: bool = False,
    passband_ripple: float | None = None,
    stopband_attenuation: float | None = None,
) -> np.ndarray:
    """Return the second-order sections of a classical recursive filter, designed by SciPy.

    Parameters
    ----------
    family : {"butterworth", "chebyshev1", "chebyshev2", "elliptic", "bessel"}
        Bessel filters are scaled so that, as for Butterworth ones, the edges of the band lie at -3 dB.
    order : int
        Order of the low-pass prototype; a filter with two edges has twice as many poles.
    band : (float or None, float or None)
        Lowest and highest frequency that pass, in hertz. ``(None, 0.1)`` is a low-pass, ``(0.01, None)`` a high-pass.
    repetition_time : float
        Seconds from frame to frame.
    stop : bool, default False
        Remove what lies inside the band, which then needs two edges, instead of what lies outside.
    passband_ripple : float, optional
        Largest loss inside the pass band, in decibels: Chebyshev I and elliptic filters need it.
    stopband_attenuation : float, optional
        Smallest loss in the stop band, in decibels: Chebyshev II and elliptic filters need it.

    Returns
    -------
    numpy.ndarray, shape (section, 6), float64
        For `sosfilt`, `sosfiltfilt`, `sections_response`, or any function of SciPy that takes ``sos``.

    Raises
    ------
    ValueError
        If the family is unknown, the order is below 1, the band does not fit the repetition time, `stop` has an open
        band, or a ripple or an attenuation is missing, not positive, or of no use to the family.

    See Also
    --------
    scipy.signal.iirfilter : the design itself.

    Examples
    --------
    >>> design_sections("butterworth", order=5, band=(0.01, 0.1), repetition_time=2.0).shape
    (5, 6)
    """
    names = {
        "butterworth": "butter",
        "chebyshev1": "cheby1",
        "chebyshev2": "cheby2",
        "elliptic": "ellip",
        "bessel": "bessel",
    }
    if family not in names:
        raise ValueError(f"family must be one of {', '.join(names)}, and is {family!r}")
    if order < 1 or int(order) != order:
        raise ValueError(f"order must be a whole number of at least 1, and is {order}")
    low, high = band_edges(band, repetition_time)
    for name, value, families in (
        ("passband_ripple", passband_ripple, ("chebyshev1", "elliptic")),
        ("stopband_attenuation", stopband_attenuation, ("chebyshev2", "elliptic")),
    ):
        if (value is not None) != (family in families):
            verb = "needs" if family in families else "takes no"
            raise ValueError(f"a {family} filter {verb} {name}")
        if value is not None:
            positive(name, value, "dB")
    if low is not None and high is not None:
        kind, edges = ("bandstop" if stop else "bandpass"), (low, high)
    elif stop:
        raise ValueError(f"a filter that stops a band needs both its edges, and band is {band}")
    else:
        kind, edges = ("lowpass", high) if low is None else ("highpass", low)
    sampling = 1 / repetition_time
    if family == "bessel":
        sections = scipy.signal.bessel(order, edges, kind, output="sos", norm="mag", fs=sampling)
    else:
        sections = scipy.signal.iirfilter(
            order, edges, passband_ripple, stopband_attenuation, kind, ftype=names[family], output="sos", fs=sampling
        )
    return np.asarray(sections, dtype=np.float64)


def ideal_response(n_frames: int, *, band: Band, repetition_time: float, stop: bool = False) -> Float[Array, " bin"]:
    """Return the transfer function that is 1 inside a band and 0 outside.

    Its edges ring in time (Gibbs); a recursive filter's response, see `sections_response`, rings less.

    Parameters
    ----------
    n_frames : int
        Number of frames of the series that will be filtered.
    band : (float or None, float or None)
        Lowest and highest frequency that pass, in hertz, edges included; None leaves a side open, and a band that is
        open below lets the mean pass.
    repetition_time : float
        Seconds from frame to frame.
    stop : bool, default False
        Give 0 inside and 1 outside.

    Returns
    -------
    array, shape (n_frames // 2 + 1,)
        Gain at each frequency of ``numpy.fft.rfftfreq(n_frames, repetition_time)``.

    Raises
    ------
    ValueError
        If there is no frame, or the band does not fit the repetition time.

    Examples
    --------
    >>> ideal_response(8, band=(0.2, None), repetition_time=1.0).tolist()
    [0.0, 0.0, 1.0, 1.0, 1.0]
    """
    low, high = band_edges(band, repetition_time)
    frequencies = _bins(n_frames, repetition_time)
    slack = 1e-9 / repetition_time  # an edge that is a bin but for rounding lies inside
    inside = (frequencies >= (-1.0 if low is None else low - slack)) & (
        frequencies <= (np.inf if high is None else high + slack)
    )
    return jnp.asarray(inside != stop, dtype=jnp.result_type(float))


def sections_response(sections: Float[Tensor, "section 6"], *, n_frames: int) -> Complex[Array, " bin"]:
    r"""Return the transfer function of a cascade of second-order sections.

    :math:`H(z) = \prod_k (b_{k0} + b_{k1} z^{-1} + b_{k2} z^{-2}) / (a_{k0} + a_{k1} z^{-1} + a_{k2} z^{-2})` at the
    Fourier bins. With `product_filter` it filters a series as if it were periodic; with `product_filtfilt`, without a
    phase shift.

    Parameters
    ----------
    sections : array, shape (section, 6)
        As `design_sections` gives them. The derivative with respect to them exists where no pole lies on a bin.
    n_frames : int
        Number of frames of the series that will be filtered.

    Returns
    -------
    complex array, shape (n_frames // 2 + 1,)
        Gain at each frequency of ``numpy.fft.rfftfreq(n_frames, repetition_time)``.

    Raises
    ------
    ValueError
        If the sections do not have six columns, or there is no frame.

    See Also
    --------
    scipy.signal.freqz_sos : the same on any grid of frequencies.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> sections = design_sections("butterworth", order=2, band=(None, 0.1), repetition_time=1.0)
    >>> [round(float(gain), 3) for gain in jnp.abs(sections_response(sections, n_frames=10))[:2]]
    [1.0, 0.707]
    """
    coefficients, xp = _sections(sections)
    precision = xp.result_type(coefficients.dtype, xp.complex64)
    delays = np.exp(-2j * np.pi * np.arange(3)[:, None] * _bins(n_frames, 1.0)).astype(precision)
    response = xp.prod((coefficients[:, :3] @ delays) / (coefficients[:, 3:] @ delays), axis=0)
    return jnp.asarray(response, dtype=jnp.result_type(float, 1j) if xp is np else precision)


def product_filter(
    time_series: Float[Tensor, "... region frame"],
    transfer: Inexact[Tensor, "... bin"],
    *,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    """Return the series with every Fourier coefficient multiplied by a gain.

    The series counts as periodic: its end flows into its beginning. Remove the trend first, or pad.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit.
    transfer : array, real or complex, shape (..., bin)
        One gain for each of the ``n_frames // 2 + 1`` frequencies of ``numpy.fft.rfftfreq``. Its leading axes broadcast
        with all leading axes of the series, regions included: shape ``(filter, 1, bin)`` with
        ``time_series[..., None, :, :]`` gives ``(..., filter, region, frame)``. The imaginary part at 0 Hz and, for
        an even number of frames, at the Nyquist frequency has no effect on a real series.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``: interpolate such frames first.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series times that of the gain. NaN in a region makes that region NaN.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If the transfer function does not fit the number of frames, or its axes do not broadcast.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> product_filter(jnp.array([[1.0, 2.0, 3.0, 6.0]]), jnp.array([1.0, 0.0, 0.0])).tolist()
    [[3.0, 3.0, 3.0, 3.0]]
    """
    series = real_series(time_series, check=check)
    gain = _gain(transfer, series)
    dtype = series.dtype
    spectrum = jnp.fft.rfft(series) * gain
    return jnp.fft.irfft(spectrum, n=series.shape[-1]).astype(dtype)


def product_filtfilt(
    time_series: Float[Tensor, "... region frame"],
    transfer: Inexact[Tensor, "... bin"],
    *,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    """Return the series filtered forwards and backwards by a transfer function: without a phase shift.

    The gain is the squared magnitude of the transfer function, so that -3 dB becomes -6 dB.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. They count as periodic, see `product_filter`.
    transfer : array, real or complex, shape (..., bin)
        As in `product_filter`.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``: interpolate such frames first.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series times the square of that of the gain.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If the transfer function does not fit the number of frames, or its axes do not broadcast.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> product_filtfilt(jnp.array([[1.0, 2.0, 3.0, 6.0]]), jnp.array([2.0j, 0.0, 0.0])).tolist()
    [[12.0, 12.0, 12.0, 12.0]]
    """
    gain = _to_jax_array(transfer)
    return product_filter(time_series, jnp.real(gain) ** 2 + jnp.imag(gain) ** 2, check=check)


def sosfilt(
    time_series: Float[Tensor, "... region frame"],
    sections: Float[Tensor, "section 6"],
    *,
    initial: Literal["rest", "steady"] = "rest",
    check: bool = False,
) -> Float[Array, "... region frame"]:
    """Return the series filtered once, forwards in time, by a cascade of second-order sections.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit; each run by itself, with no gap between the frames.
    sections : array, shape (section, 6)
        As `design_sections` gives them. They may be differentiated through; as constants they are more accurate in
        float32.
    initial : {"rest", "steady"}, default "rest"
        State before the first frame: at rest, or as if the first value had stood there for ever.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``: interpolate such frames first.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series. NaN at a frame makes the later frames of its region NaN, and may reach up to 31
        earlier ones.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If the series or the sections have another shape, or `initial` is unknown.

    See Also
    --------
    scipy.signal.sosfilt : agrees to rounding, with ``zi = sosfilt_zi(sos) * x[0]`` for "steady".

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> halve_and_delay = jnp.array([[0.0, 0.5, 0.0, 1.0, 0.0, 0.0]])
    >>> sosfilt(jnp.array([[1.0, 2.0, 3.0]]), halve_and_delay).tolist()
    [[0.0, 0.5, 1.0]]
    """
    if initial not in ("rest", "steady"):
        raise ValueError(f'initial must be "rest" or "steady", and is {initial!r}')
    series = real_series(time_series, check=check)
    return _forth(series, _block_system(sections, series.dtype), steady=initial == "steady")


def sosfiltfilt(
    time_series: Float[Tensor, "... region frame"],
    sections: Float[Tensor, "section 6"],
    *,
    padding: Padding | None = "odd",
    pad_length: int | None = None,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    """Return the series filtered forwards and then backwards in time: without a phase shift.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit; each run by itself, with no gap between the frames.
    sections : array, shape (section, 6)
        As `design_sections` gives them. They may be differentiated through; as constants they are more accurate in
        float32.
    padding : {"odd", "even", "constant"} or None, default "odd"
        How the series goes on beyond its ends: turned about its end point, mirrored, held, or not at all.
    pad_length : int, optional
        Frames added at each end, fewer than there are. By default SciPy's: three times the number of taps,
        ``2 * section + 1`` less the coefficients that vanish. Sections under a transformation of JAX need it said.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``: interpolate such frames first.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series. NaN at a frame makes its whole region NaN.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If the series or the sections have another shape, the padding is unknown or not shorter than the series, or
        `pad_length` is missing for traced sections.

    See Also
    --------
    scipy.signal.sosfiltfilt : agrees to rounding.

    References
    ----------
    .. [1] Gustafsson F (1996). Determining the initial states in forward-backward filtering. doi:10.1109/78.492552

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> sections = design_sections("butterworth", order=2, band=(None, 0.1), repetition_time=2.0)
    >>> line = jnp.arange(40.0)[None]
    >>> bool(jnp.allclose(sosfiltfilt(line, sections), line, atol=0.02))
    True
    """
    series = real_series(time_series, check=check)
    extra = _pad_length(sections, padding, pad_length, series.shape[-1])
    return _forth_and_back(series, _block_system(sections, series.dtype), padding=padding, extra=extra)


def _bins(n_frames: int, repetition_time: float) -> np.ndarray:
    if n_frames < 1:
        raise ValueError(f"a transfer function needs at least one frame, and n_frames is {n_frames}")
    return np.fft.rfftfreq(n_frames, repetition_time)


def _gain(transfer: Tensor, series: Array) -> Array:
    """Return the transfer function in the precision of the series, if it fits."""
    gain = _to_jax_array(transfer)
    n_bins = series.shape[-1] // 2 + 1
    if gain.ndim == 0 or gain.shape[-1] != n_bins:
        raise ValueError(
            f"transfer must have one gain for each of the {n_bins} Fourier bins of {series.shape[-1]} frames on its "
            f"last axis, and has shape {gain.shape}"
        )
    try:
        jnp.broadcast_shapes(gain.shape[:-1], series.shape[:-1])
    except ValueError:
        raise ValueError(
            f"the leading axes of transfer {gain.shape[:-1]} must broadcast with those of time_series, regions "
            f"included, {series.shape[:-1]}"
        ) from None
    complex_gain = jnp.issubdtype(gain.dtype, jnp.complexfloating)
    return gain.astype(jnp.result_type(series.dtype, 1j) if complex_gain else series.dtype)


def _sections(sections: Tensor) -> tuple[Any, Any]:
    """Return the sections, normalised so that a0 = 1, and the module of arrays that works on them.

    Sections that no transformation of JAX looks at are constants: NumPy's, in float64.
    """
    array: Any = sections if isinstance(sections, np.ndarray) else _to_jax_array(sections)
    on_host = not isinstance(array, Tracer)
    array = np.asarray(array, dtype=np.float64) if on_host else array
    if array.ndim != 2 or array.shape[1] != 6 or array.shape[0] == 0:
        raise ValueError(f"sections must have shape (section, 6), and have shape {array.shape}")
    return array / array[:, 3:4], (np if on_host else jnp)


def _state_space(sections: Any, xp: Any) -> _StateSpace:
    """Return the cascade as one system; a section is the transposed direct form II, two states each."""
    zero = xp.zeros((0, 0), sections.dtype)
    system = _StateSpace(zero, zero[0:0, :].reshape(0), zero.reshape(0), xp.ones((), sections.dtype))
    for b0, b1, b2, _, a1, a2 in sections:
        one = xp.ones_like(b0)
        transition = xp.stack([xp.stack([-a1, one]), xp.stack([-a2, 0 * one])])
        entry, readout = xp.stack([b1 - a1 * b0, b2 - a2 * b0]), xp.stack([one, 0 * one])
        above = xp.zeros((system.transition.shape[0], 2), sections.dtype)
        system = _StateSpace(
            xp.concatenate(
                [
                    xp.concatenate([system.transition, above], axis=1),
                    xp.concatenate([entry[:, None] * system.readout[None, :], transition], axis=1),
                ]
            ),
            xp.concatenate([system.entry, entry * system.direct]),
            xp.concatenate([b0 * system.readout, readout]),
            b0 * system.direct,
        )
    return system


class _BlockSystem(NamedTuple):
    """The cascade over a block of frames, in the precision of the series."""

    forced: Array  # (output frame, input frame): what the block's own frames do to its output
    free: Array  # (output frame, state): what the state before the block does to its output
    feed: Array  # (input frame, state): what the block's frames do to the state after it
    leap: Array  # (state, state): what the state before the block does to the state after it
    gain: Array  # (): at 0 Hz


def _block_system(sections: Tensor, dtype: Any) -> _BlockSystem:
    coefficients, xp = _sections(sections)
    system = _state_space(coefficients, xp)
    powers, leap = xp.eye(system.transition.shape[0], dtype=coefficients.dtype)[None], system.transition
    while powers.shape[0] < _BLOCK:
        powers = xp.concatenate([powers, leap @ powers])
        leap = leap @ leap
    to_state = powers @ system.entry  # A^k B
    impulse = xp.concatenate([system.direct[None], to_state[:-1] @ system.readout])
    lag = np.arange(_BLOCK)[:, None] - np.arange(_BLOCK)
    gain = xp.prod(xp.sum(coefficients[:, :3], axis=1) / xp.sum(coefficients[:, 3:], axis=1))
    matrices = _BlockSystem(
        xp.where(lag >= 0, impulse[np.abs(lag)], 0.0), system.readout @ powers, to_state[::-1], leap, gain
    )
    return _BlockSystem(*(jnp.asarray(matrix, dtype=dtype) for matrix in matrices))


def _in_chunks(function: Callable[[Array], Array], series: Array) -> Array:
    """Apply a function of (row, frame) to some rows at a time: less memory, and the rows stay in the cache."""
    rows = series.reshape(-1, series.shape[-1])
    if len(rows) <= _ROWS:
        return function(rows).reshape(series.shape)
    size = next((size for size in range(_ROWS, _ROWS // 2, -1) if len(rows) % size == 0), _ROWS)
    return jax.lax.map(lambda row: function(row[None])[0], rows, batch_size=size).reshape(series.shape)


def _once(series: Array, system: _BlockSystem, *, steady: bool) -> Array:
    """Filter forwards, from rest or from the steady state of the first value."""
    n_frames = series.shape[-1]
    n_blocks = -(-n_frames // _BLOCK)
    product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    # Filtering is linear, and a constant in the steady state only takes the gain at 0 Hz: with the first value
    # taken off before and its image put on afterwards, the state always starts at rest.
    first = series[..., :1] if steady else jnp.zeros_like(series[..., :1])
    filled = jnp.pad(series - first, [(0, 0)] * (series.ndim - 1) + [(0, n_blocks * _BLOCK - n_frames)])
    blocks = filled.reshape(-1, n_blocks, _BLOCK)
    fed = jnp.swapaxes(product(blocks, system.feed), 0, 1)
    rest = jnp.zeros(fed.shape[1:], fed.dtype)
    _, states = jax.lax.scan(lambda state, new: (product(state, system.leap.T) + new, state), rest, fed)
    filtered = product(blocks, system.forced.T) + product(jnp.swapaxes(states, 0, 1), system.free.T)
    return filtered.reshape(*series.shape[:-1], -1)[..., :n_frames] + system.gain * first


@partial(jax.jit, static_argnames="steady")
def _forth(series: Array, system: _BlockSystem, *, steady: bool) -> Array:
    return _in_chunks(lambda rows: _once(rows, system, steady=steady), series)


@partial(jax.jit, static_argnames=("padding", "extra"))
def _forth_and_back(series: Array, system: _BlockSystem, *, padding: Padding | None, extra: int) -> Array:
    def both(rows: Array) -> Array:
        forth = _once(_extended(rows, padding, extra), system, steady=True)
        back = _once(forth[..., ::-1], system, steady=True)[..., ::-1]
        return back[..., extra : extra + rows.shape[-1]]

    return _in_chunks(both, series)


def _pad_length(sections: Tensor, padding: Padding | None, pad_length: int | None, n_frames: int) -> int:
    if padding not in ("odd", "even", "constant", None):
        raise ValueError(f'padding must be "odd", "even", "constant" or None, and is {padding!r}')
    if padding is None:
        if pad_length:
            raise ValueError(f"pad_length is {pad_length}, but padding is None")
        return 0
    if pad_length is None:
        coefficients, xp = _sections(sections)
        if xp is jnp:
            raise ValueError("sections under a transformation of JAX need pad_length said: their zeros are not known")
        vanishing = min(np.sum(coefficients[:, 2] == 0), np.sum(coefficients[:, 5] == 0))
        pad_length = 3 * int(2 * len(coefficients) + 1 - vanishing)
    if not 0 <= pad_length < n_frames:
        raise ValueError(
            f"the padding of {pad_length} frames must be shorter than the series of {n_frames} frames: "
            "give a smaller pad_length, or a longer series"
        )
    return pad_length


def _extended(series: Array, padding: Padding | None, extra: int) -> Array:
    if extra == 0:
        return series
    left, right = series[..., 1 : extra + 1][..., ::-1], series[..., -extra - 1 : -1][..., ::-1]
    first, last = series[..., :1], series[..., -1:]
    if padding == "odd":
        left, right = 2 * first - left, 2 * last - right
    elif padding == "constant":
        left, right = jnp.broadcast_to(first, left.shape), jnp.broadcast_to(last, right.shape)
    return jnp.concatenate([left, series, right], axis=-1)
