r"""Morlet wavelets: amplitude and phase by frequency and frame, and the coherence of two series in both.

The wavelet of frequency :math:`f` with :math:`n` cycles is :math:`e^{2 \pi i f t} e^{-t^2 / 2 \sigma^2}`,
:math:`\sigma = n / 2 \pi f`, less the constant that would let the mean pass, and scaled so that a sinusoid of
amplitude 1 has coefficients of modulus 1. It is cut off a few :math:`\sigma` from its centre.

**Edges and masks.** A coefficient is *valid* where the whole wavelet lies on neighbouring valid frames of one run. That
is the cone of influence, made exact: valid coefficients are those of the unbroken stretch alone.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from conn.functional._inputs import positive, real_series
from conn.functional._segments import frame_blocks
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["MorletTransform", "WaveletCoherence", "morlet_transform", "wavelet_coherence"]


class MorletTransform(NamedTuple):
    """Wavelet coefficients, and which of them are whole."""

    coefficients: Complex[Array, "... frequency region frame"]
    valid: Bool[Array, "... frequency frame"]


class WaveletCoherence(NamedTuple):
    """Coherence by frequency and frame, and where it is made of whole wavelets."""

    coherence: Float[Array, "... frequency region frame"]
    valid: Bool[Array, "... frequency frame"]


class _Wavelets(NamedTuple):
    response: np.ndarray  # (frequency, point of the transform)
    reach: np.ndarray  # (frequency,): frames on either side of the centre
    spread: np.ndarray  # (frequency,): sigma, in frames


def morlet_transform(
    time_series: Float[Tensor, "... region frame"],
    frequencies: Sequence[float] | Float[np.ndarray, " frequency"],
    *,
    repetition_time: float,
    n_cycles: float = 6.0,
    support: float = 3.0,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> MorletTransform:
    """Return the Morlet wavelet coefficients of every region.

    Each frequency holds complex series, which `phase_locking_value` and its kin take with ``mask=transform.valid``.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. The mean over the frames that count is taken off.
    frequencies : sequence of float, shape (frequency,)
        Hertz, above 0 and below the Nyquist frequency; numbers, not traced.
    repetition_time : float
        Seconds from frame to frame.
    n_cycles : float, default 6.0
        Cycles of the wavelet, 2 pi f sigma: more resolve frequency better, and time worse.
    support : float, default 3.0
        Where the wavelet is cut off, in sigma from its centre.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A masked frame is read as the mean, and no wavelet over it is valid.
    run : array of int, shape (..., frame), optional
        Which run each frame belongs to, runs one after the other. No wavelet over a border is valid.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts.

    Returns
    -------
    MorletTransform
        ``coefficients``, complex, shape (..., frequency, region, frame), in the unit of the series, those beyond the
        valid ones included; ``valid``, bool, shape (..., frequency, frame).

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If a frequency is out of range or its wavelet longer than the series, or a setting or a shape does not fit.
    RuntimeError
        With `check`, as said there.

    See Also
    --------
    mne.time_frequency.tfr_array_morlet : the same up to a scale for each frequency, with ``support=5``.

    References
    ----------
    .. [1] Torrence C, Compo GP (1998). A practical guide to wavelet analysis.
       doi:10.1175/1520-0477(1998)079<0061:APGTWA>2.0.CO;2

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> wave = 3 * jnp.cos(2 * jnp.pi * 0.1 * 2.0 * jnp.arange(100.0))[None]
    >>> transform = morlet_transform(wave, [0.05, 0.1], repetition_time=2.0)
    >>> [f"{value:.2f}" for value in jnp.abs(transform.coefficients[:, 0, 50])]
    ['0.00', '3.00']
    """
    series = real_series(time_series)
    mask, run = (None if array is None else _to_jax_array(array) for array in (mask, run))
    wavelets = _wavelets(frequencies, series.shape[-1], repetition_time, n_cycles, support)
    valid, _, whole = _stretches(mask, run, series, reach=tuple(wavelets.reach.tolist()))
    series = _finite(series, valid) if check else series
    response = jnp.asarray(wavelets.response, dtype=jnp.result_type(series.dtype, 1j))
    return MorletTransform(_convolved(series, valid, response), whole)


def wavelet_coherence(
    first: Float[Tensor, "... region frame"],
    second: Float[Tensor, "... region frame"],
    frequencies: Sequence[float] | Float[np.ndarray, " frequency"],
    *,
    repetition_time: float,
    n_cycles: float = 6.0,
    support: float = 3.0,
    octaves: float = 0.6,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> WaveletCoherence:
    r"""Return the squared wavelet coherence of pairs of series, by frequency and frame.

    :math:`R^2 = |S(W_1 W_2^*)|^2 / S(|W_1|^2)\, S(|W_2|^2)`, where :math:`S` smooths over the valid frames of the same
    stretch with a Gaussian of the wavelet's own :math:`\sigma`, and over frequency with a box.

    Parameters
    ----------
    first, second : arrays, shape (..., region, frame)
        Signals, in any unit, paired one by one: their axes broadcast. For all pairs of a few regions give
        ``x[..., :, None, :].reshape(...)`` and its like, or a seed of shape ``(1, frame)`` against all.
    frequencies : sequence of float, shape (frequency,)
        Hertz, above 0 and below the Nyquist frequency; numbers, not traced. Evenly spaced in octaves, and several
        within `octaves`, if they are to be smoothed over.
    repetition_time : float
        Seconds from frame to frame.
    n_cycles : float, default 6.0
        Cycles of the wavelet.
    support : float, default 3.0
        Where the wavelet and the Gaussian are cut off, in sigma from their centre.
    octaves : float, default 0.6
        Width of the box over frequency; 0.6 is the decorrelation length of a wavelet with 6 cycles. 0 for no smoothing
        over frequency.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts.
    run : array of int, shape (..., frame), optional
        Which run each frame belongs to, runs one after the other.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts.

    Returns
    -------
    WaveletCoherence
        ``coherence``, shape (..., frequency, region, frame), from 0 to 1; noise alone is far above 0, so compare it
        with surrogates. ``valid``, shape (..., frequency, frame). Where it is not valid, or a series has no power, 0.
        Time and memory grow with the square of the number of frames.

    Raises
    ------
    TypeError
        If a series is complex.
    ValueError
        If the series do not broadcast, a frequency is out of range or its wavelet longer than the series, or a setting
        or a shape does not fit.
    RuntimeError
        With `check`, as said there.

    References
    ----------
    .. [1] Torrence C, Webster PJ (1999). Interdecadal changes in the ENSO-monsoon system.
       doi:10.1175/1520-0442(1999)012<2679:ICITEM>2.0.CO;2
    .. [2] Chang C, Glover GH (2010). Time-frequency dynamics of resting-state brain connectivity measured with fMRI.
       doi:10.1016/j.neuroimage.2009.12.011

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> wave = jnp.cos(2 * jnp.pi * 0.1 * 2.0 * jnp.arange(60.0))[None]
    >>> found = wavelet_coherence(wave, -2 * wave, [0.09, 0.1], repetition_time=2.0)
    >>> f"{found.coherence[1, 0, 30]:.3f}"
    '1.000'
    """
    one, two = real_series(first, name="first"), real_series(second, name="second")
    if one.shape[-1] != two.shape[-1]:
        raise ValueError(
            f"first and second must have the same frames, and have {one.shape[-1]} and {two.shape[-1]} of them"
        )
    try:
        shape = jnp.broadcast_shapes(one.shape, two.shape)
    except ValueError:
        raise ValueError(f"the axes of first {one.shape} and second {two.shape} must broadcast") from None
    if octaves < 0:
        raise ValueError(f"octaves must not be negative, and is {octaves}")
    mask, run = (None if array is None else _to_jax_array(array) for array in (mask, run))
    dtype = jnp.result_type(one, two)
    one, two = one.astype(dtype), two.astype(dtype)
    wavelets = _wavelets(frequencies, shape[-1], repetition_time, n_cycles, support)
    valid, block, whole = _stretches(mask, run, jnp.broadcast_to(one, shape), reach=tuple(wavelets.reach.tolist()))
    if check:
        one, two = _finite(one, valid), _finite(two, valid)
    log_frequencies = np.log2(np.asarray(frequencies, dtype=float))
    near = np.abs(log_frequencies[:, None] - log_frequencies) <= octaves / 2 + 1e-9
    response = jnp.asarray(wavelets.response, dtype=jnp.result_type(dtype, 1j))
    coherence = _coherence(
        one,
        two,
        valid,
        block,
        whole,
        response,
        jnp.asarray(wavelets.reach),
        jnp.asarray(wavelets.spread, dtype=dtype),
        jnp.asarray(near / near.sum(-1, keepdims=True), dtype=dtype),
    )
    return WaveletCoherence(coherence, whole)


def _wavelets(
    frequencies: Sequence[float] | np.ndarray, n_frames: int, repetition_time: float, n_cycles: float, support: float
) -> _Wavelets:
    """Return the wavelets' Fourier transforms, with room behind the series for the longest of them."""
    step = positive("repetition_time", repetition_time, "s")
    cycles, cut = positive("n_cycles", n_cycles, "cycles"), positive("support", support, "sigma")
    hertz = np.asarray(frequencies, dtype=float)
    if hertz.ndim != 1 or hertz.size == 0:
        raise ValueError(f"frequencies must be a sequence of numbers, and has shape {hertz.shape}")
    wrong = hertz[~((hertz > 0) & (hertz < 0.5 / step))]
    if wrong.size:
        raise ValueError(
            f"frequencies must lie between 0 and the Nyquist frequency {0.5 / step:g} Hz, and {wrong[0]:g} Hz does not"
        )
    spread = cycles / (2 * np.pi * hertz) / step
    reach = np.floor(cut * spread).astype(int)
    lengths = 2 * reach + 1
    if (lengths > n_frames).any():
        worst = int(np.argmax(lengths))
        raise ValueError(
            f"the wavelet of {hertz[worst]:g} Hz spans {lengths[worst]} frames, and the series has {n_frames}: "
            "leave out low frequencies, or lower n_cycles or support"
        )
    n_points = 1 << (n_frames + int(reach.max()) - 1).bit_length()
    place = np.fft.fftfreq(n_points, 1 / n_points)  # 0, 1, ..., -1: the centre stands first
    bell = np.where(np.abs(place) <= reach[:, None], np.exp(-((place / spread[:, None]) ** 2) / 2), 0.0)
    bell /= bell.sum(-1, keepdims=True)
    wave = np.exp(2j * np.pi * hertz[:, None] * step * place)
    constant = (bell * wave).sum(-1, keepdims=True)
    return _Wavelets(np.fft.fft(2 * bell * (wave - constant)), reach, spread)


def _finite(series: Array, valid: Array) -> Array:
    return eqx.error_if(
        series,
        ~jnp.isfinite(jnp.where(valid[..., None, :], series, 0.0)).all(),
        "the series hold NaN or infinity in a frame that counts: mark such frames in mask",
    )


@jax.jit
def _convolved(series: Array, valid: Array, response: Array) -> Array:
    """Return the coefficients, shape (..., frequency, region, frame), of the series about its mean, 0 where masked."""
    counts = valid[..., None, :]
    mean = jnp.where(counts, series, 0.0).sum(-1, keepdims=True) / jnp.maximum(counts.sum(-1, keepdims=True), 1)
    rest = jnp.where(counts, series - mean, 0.0)
    energy = jnp.where(counts, series, 0.0) ** 2
    constant = (rest**2).sum(-1, keepdims=True) <= (8 * jnp.finfo(series.dtype).eps) ** 2 * energy.sum(
        -1, keepdims=True
    )
    rest = jnp.where(constant, 0.0, rest)  # what is left of it is rounding, and has no phase
    spectrum = jnp.fft.fft(rest, n=response.shape[-1])
    coefficients = jnp.fft.ifft(spectrum[..., None, :, :] * response[:, None, :])
    return coefficients[..., : series.shape[-1]]


@partial(jax.jit, static_argnames="reach")
def _stretches(
    mask: Array | None, run: Array | None, series: Array, *, reach: tuple[int, ...]
) -> tuple[Array, Array, Bool[Array, "... frequency frame"]]:
    """Return which frames count, where their blocks begin, and where all within reach lies in one block."""
    valid, block = frame_blocks(mask, run, series)
    n_frames = valid.shape[-1]
    frames = np.arange(n_frames)
    before, after = frames - np.array(reach)[:, None], frames + np.array(reach)[:, None]
    inside = (before >= 0) & (after < n_frames)
    before, after = np.maximum(before, 0), np.minimum(after, n_frames - 1)
    whole = valid[..., before] & valid[..., after] & (block[..., before] == block[..., after])
    return valid, block, whole & jnp.asarray(inside)


@jax.jit
def _coherence(
    one: Array,
    two: Array,
    valid: Array,
    block: Array,
    whole: Array,
    response: Array,
    reach: Array,
    spread: Array,
    near: Array,
) -> Array:
    frames = jnp.arange(one.shape[-1])
    distance = jnp.abs(frames[:, None] - frames)
    same = block[..., :, None] == block[..., None, :]
    first, second = _convolved(one, valid, response), _convolved(two, valid, response)
    cross = first * jnp.conj(second)
    # Three real products are smoothed, and the cross-spectrum's two parts count as two of them.
    powers = jnp.broadcast_arrays(first.real**2 + first.imag**2, second.real**2 + second.imag**2, cross.real)
    products = jnp.moveaxis(jnp.stack([*powers, cross.imag]), -3, 0)  # (frequency, 4, ..., region, frame)

    def smoothed(item: tuple[Array, Array, Array, Array]) -> Array:
        product, counts, sigma, far = item
        bell = jnp.where(distance <= far, jnp.exp(-((distance / sigma) ** 2) / 2), 0.0)
        kernel = jnp.where(same & counts[..., None, :], bell, 0.0) / bell[frames.size // 2].sum()
        return jnp.einsum("...if,...tf->...it", product, kernel, precision="highest")

    along_time = jax.lax.map(smoothed, (products, jnp.moveaxis(whole, -2, 0), spread, reach))
    power_one, power_two, real, imaginary = jnp.einsum("gf,fk...->kg...", near, along_time, precision="highest")
    absent = (power_one <= _rounding(one, valid)) | (power_two <= _rounding(two, valid))
    scale = jnp.where(absent, 1.0, power_one) ** -0.5 * jnp.where(absent, 1.0, power_two) ** -0.5
    ratio = jnp.where(absent, 0.0, jnp.minimum((real * scale) ** 2 + (imaginary * scale) ** 2, 1.0))
    return jnp.where(whole[..., None, :], jnp.moveaxis(ratio, 0, -3), 0.0)


def _rounding(series: Array, valid: Array) -> Array:
    """Return the power, shape (..., region, 1), that rounding leaves of a constant."""
    largest = jnp.where(valid[..., None, :], jnp.abs(series), 0.0).max(-1, keepdims=True)
    return (16 * jnp.finfo(series.dtype).eps * largest) ** 2
