r"""Spectra of short segments: power, cross-spectra, and the amplitude of low-frequency fluctuations.

Welch's method: the series is cut into overlapping segments, each is detrended, tapered by a window :math:`w` and
transformed. With :math:`X_{ik}` the coefficient of region :math:`i` in segment :math:`k` divided by
:math:`\sqrt{\sum_t w_t^2}`, the cross-spectral density is

.. math:: S_{ij}(f) = \frac{g(f)}{f_s K} \sum_k X_{ik}(f) X^*_{jk}(f) ,

with sampling rate :math:`f_s`, and :math:`g = 2` for a one-sided density except at 0 Hz and at the Nyquist frequency.

**Masks.** A masked frame cannot be deleted here: the frames about it would become neighbours, and every frequency would
change. Only segments count that lie whole within valid frames of one run. Each block of neighbouring valid frames is
cut by itself, from its first frame on.
"""

from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal
from jaxtyping import Array, Bool, Complex, Float, Int

from conn.functional._inputs import Band, bins_of_band, positive, real_series
from conn.functional._segments import cut_segments, segment_step
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["SegmentSpectra", "alff", "cross_spectrum", "falff", "power_spectrum", "segment_spectra"]

Detrend: TypeAlias = Literal["constant", "linear"]
Window: TypeAlias = str | Tensor


class SegmentSpectra(NamedTuple):
    """Fourier coefficients of segments, and which segments exist."""

    coefficients: Complex[Array, "... bin region segment"]
    valid: Bool[Array, "... 1 segment"]


def segment_spectra(
    time_series: Float[Tensor, "... region frame"],
    *,
    segment_length: int,
    overlap: int | None = None,
    window: Window = "hann",
    detrend: Detrend | None = "constant",
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> SegmentSpectra:
    r"""Return the Fourier coefficients of every segment of truly neighbouring valid frames.

    The segments play the part of the frames for `phase_locking_value` and its kin:
    ``phase_locking_value(spectra.coefficients, mask=spectra.valid)`` is one matrix a frequency.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit.
    segment_length : int
        Frames in a segment; the frequencies are ``numpy.fft.rfftfreq(segment_length, repetition_time)``.
    overlap : int, optional
        Frames that a segment shares with the next one; half of them by default.
    window : str or array of shape (segment_length,), default "hann"
        A name that ``scipy.signal.get_window`` knows, or the taper itself.
    detrend : {"constant", "linear"} or None, default "constant"
        What is removed from each segment before tapering: its mean, its straight line, or nothing. What is left of a
        constant segment by rounding is removed as well.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A segment with any other frame in it does not exist.
    run : array of int, shape (..., frame), optional
        Which run each frame belongs to, runs one after the other. No segment reaches from one into the next.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a segment, or a series without a segment.

    Returns
    -------
    SegmentSpectra
        ``coefficients``, complex, shape (..., bin, region, segment), in the unit of the series, normalised so that
        white noise of unit variance has coefficients of mean square 1; ``valid``, shape (..., 1, segment), fits them
        as a mask. Coefficients of segments that do not exist are 0.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If a shape, a length, the overlap, the window or the detrending does not fit.
    RuntimeError
        With `check`, as said there.

    References
    ----------
    .. [1] Welch P (1967). The use of fast Fourier transform for the estimation of power spectra.
       doi:10.1109/TAU.1967.1161901

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> spectra = segment_spectra(jnp.ones((3, 40)), segment_length=16)
    >>> spectra.coefficients.shape, spectra.valid.shape
    ((9, 3, 4), (1, 4))
    """
    series = real_series(time_series)
    step = segment_step(segment_length, overlap, series.shape[-1])
    if detrend not in ("constant", "linear", None):
        raise ValueError(f'detrend must be "constant", "linear" or None, and is {detrend!r}')
    taper = _taper(window, segment_length).astype(series.dtype)
    mask, run = (None if array is None else _to_jax_array(array) for array in (mask, run))
    spectra = _transformed(series, taper, mask, run, segment_length=segment_length, step=step, detrend=detrend)
    return _checked(spectra, segment_length) if check else spectra


def power_spectrum(
    time_series: Float[Tensor, "... region frame"],
    *,
    repetition_time: float,
    segment_length: int,
    overlap: int | None = None,
    window: Window = "hann",
    detrend: Detrend | None = "constant",
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... region bin"]:
    """Return the one-sided power spectral density of every region, by Welch's method.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN in a region makes that region NaN, unless its frame is masked.
    repetition_time : float
        Seconds from frame to frame.
    segment_length, overlap, window, detrend, mask, run, check
        As in `segment_spectra`.

    Returns
    -------
    array, shape (..., region, bin)
        In the square of the series' unit per hertz, at ``numpy.fft.rfftfreq(segment_length, repetition_time)``. Where
        a mask leaves no segment, 0.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If a setting or a shape does not fit, see `segment_spectra`.

    See Also
    --------
    scipy.signal.welch : agrees to rounding without a mask.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> density = power_spectrum(jnp.eye(2, 40), repetition_time=2.0, segment_length=10)
    >>> density.shape
    (2, 6)
    """
    sampling = 1 / positive("repetition_time", repetition_time, "s")
    spectra = segment_spectra(
        time_series,
        segment_length=segment_length,
        overlap=overlap,
        window=window,
        detrend=detrend,
        mask=mask,
        run=run,
        check=check,
    )
    sides = _sides(segment_length) / sampling
    return jnp.swapaxes(_mean_power(spectra), -1, -2) * sides.astype(spectra.coefficients.real.dtype)


def cross_spectrum(
    time_series: Float[Tensor, "... region frame"],
    *,
    repetition_time: float,
    segment_length: int,
    overlap: int | None = None,
    window: Window = "hann",
    detrend: Detrend | None = "constant",
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Complex[Array, "... bin region region"]:
    """Return the one-sided cross-spectral density between all pairs of regions, by Welch's method.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit.
    repetition_time : float
        Seconds from frame to frame.
    segment_length, overlap, window, detrend, mask, run, check
        As in `segment_spectra`.

    Returns
    -------
    complex array, shape (..., bin, region, region)
        Hermitian, in the square of the series' unit per hertz: the mean of the row's coefficient times the conjugate of
        the column's. A phase between 0 and pi says that the row leads. Where a mask leaves no segment, 0.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If a setting or a shape does not fit, see `segment_spectra`.

    See Also
    --------
    scipy.signal.csd : ``csd(x, y)`` conjugates its first argument, and is thus the entry of row y and column x.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> cross_spectrum(jnp.eye(2, 40), repetition_time=2.0, segment_length=10).shape
    (6, 2, 2)
    """
    sampling = 1 / positive("repetition_time", repetition_time, "s")
    spectra = segment_spectra(
        time_series,
        segment_length=segment_length,
        overlap=overlap,
        window=window,
        detrend=detrend,
        mask=mask,
        run=run,
        check=check,
    )
    sides = _sides(segment_length) / sampling
    return _mean_product(spectra) * sides.astype(spectra.coefficients.real.dtype)[:, None, None]


def alff(
    time_series: Float[Tensor, "... region frame"],
    *,
    repetition_time: float,
    band: Band = (0.01, 0.08),
    segment_length: int | None = None,
    overlap: int | None = None,
    window: Window = "boxcar",
    detrend: Detrend | None = "constant",
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... region"]:
    r"""Return the amplitude of low-frequency fluctuations: the mean amplitude over the frequencies of a band.

    The amplitude at a frequency is that of the sinusoid, :math:`2 \sqrt{\langle |F|^2 \rangle} / \sum_t w_t` with
    :math:`F` the Fourier coefficient of the tapered series and the mean over segments. Give the series unfiltered.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit.
    repetition_time : float
        Seconds from frame to frame.
    band : (float or None, float or None), default (0.01, 0.08)
        Lowest and highest frequency in hertz, edges included; 0 Hz never counts.
    segment_length : int, optional
        Frames in a segment; all frames by default. With a mask or runs it must be said, since a segment that holds a
        masked frame does not count.
    overlap, window, detrend, mask, run, check
        As in `segment_spectra`; the window is "boxcar" by default, as is usual for this measure.

    Returns
    -------
    array, shape (..., region)
        In the unit of the series; it depends on the length of the segments. Where a mask leaves no segment, 0.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If no frequency of the segments lies in the band, or a setting or shape does not fit, see `segment_spectra`.

    References
    ----------
    .. [1] Zang YF et al. (2007). Altered baseline brain activity in children with ADHD revealed by resting-state
       functional MRI. doi:10.1016/j.braindev.2006.07.002

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> wave = jnp.cos(2 * jnp.pi * 0.05 * 2.0 * jnp.arange(100.0))[None]
    >>> jnp.round(10 * alff(wave, repetition_time=2.0, band=(0.03, 0.0751)), 4).tolist()
    [1.0]
    """
    amplitude, n_frames = _amplitude(
        time_series, segment_length, overlap=overlap, window=window, detrend=detrend, mask=mask, run=run, check=check
    )
    inside = bins_of_band(band, n_frames=n_frames, repetition_time=repetition_time)
    return amplitude[..., inside].mean(-1)


def falff(
    time_series: Float[Tensor, "... region frame"],
    *,
    repetition_time: float,
    band: Band = (0.01, 0.08),
    segment_length: int | None = None,
    overlap: int | None = None,
    window: Window = "boxcar",
    detrend: Detrend | None = "constant",
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... region"]:
    """Return the fractional amplitude of low-frequency fluctuations: the share of a band in the sum of amplitudes.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit, not filtered.
    repetition_time : float
        Seconds from frame to frame.
    band : (float or None, float or None), default (0.01, 0.08)
        Lowest and highest frequency in hertz, edges included; 0 Hz never counts.
    segment_length, overlap, window, detrend, mask, run, check
        As in `alff`.

    Returns
    -------
    array, shape (..., region)
        From 0 to 1, without unit. For a region that is constant, 0.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If no frequency of the segments lies in the band, or a setting or shape does not fit, see `segment_spectra`.

    References
    ----------
    .. [1] Zou QH et al. (2008). An improved approach to detection of amplitude of low-frequency fluctuation (ALFF) for
       resting-state fMRI: fractional ALFF. doi:10.1016/j.jneumeth.2008.04.012

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> wave = jnp.cos(2 * jnp.pi * 0.05 * 2.0 * jnp.arange(100.0))[None]
    >>> jnp.round(falff(wave, repetition_time=2.0), 3).tolist()
    [1.0]
    """
    amplitude, n_frames = _amplitude(
        time_series, segment_length, overlap=overlap, window=window, detrend=detrend, mask=mask, run=run, check=check
    )
    inside = bins_of_band(band, n_frames=n_frames, repetition_time=repetition_time)
    total = amplitude[..., 1:].sum(-1)
    silent = total <= 0
    return jnp.where(silent, 0.0, amplitude[..., inside].sum(-1) / jnp.where(silent, 1.0, total))


def _checked(spectra: SegmentSpectra, segment_length: int) -> SegmentSpectra:
    coefficients, valid = spectra
    coefficients = eqx.error_if(
        coefficients,
        ~jnp.isfinite(coefficients).all(),
        "time_series holds NaN or infinity in a frame that counts: mark such frames in mask",
    )
    coefficients = eqx.error_if(
        coefficients,
        ~valid.any(-1).all(),
        f"a series has no segment of {segment_length} neighbouring valid frames of one run: shorten segment_length",
    )
    return SegmentSpectra(coefficients, valid)


@partial(jax.jit, static_argnames=("segment_length", "step", "detrend"))
def _transformed(
    series: Array,
    taper: Array,
    mask: Array | None,
    run: Array | None,
    *,
    segment_length: int,
    step: int,
    detrend: Detrend | None,
) -> SegmentSpectra:
    segments, exist = cut_segments(series, segment_length=segment_length, step=step, mask=mask, run=run)
    tapered = _detrended(segments, detrend) * (taper / jnp.sqrt(jnp.sum(taper**2)))
    return SegmentSpectra(jnp.moveaxis(jnp.fft.rfft(tapered), -1, -3), exist[..., None, :])


@jax.jit
def _mean_product(spectra: SegmentSpectra) -> Complex[Array, "... bin region region"]:
    """Return the mean over segments of the row's coefficient times the conjugate of the column's."""
    coefficients = spectra.coefficients
    count = _count(spectra)[..., None]
    product = jnp.einsum("...ik,...jk->...ij", coefficients, jnp.conj(coefficients), precision="highest")
    return product / count.astype(coefficients.real.dtype)


@jax.jit
def _mean_power(spectra: SegmentSpectra) -> Float[Array, "... bin region"]:
    coefficients = spectra.coefficients
    power = (coefficients.real**2 + coefficients.imag**2).sum(-1)
    return power / _count(spectra).astype(power.dtype)


def _count(spectra: SegmentSpectra) -> Array:
    return jnp.maximum(spectra.valid.sum(-1)[..., None, :], 1)


def _amplitude(
    time_series: Tensor,
    segment_length: int | None,
    *,
    overlap: int | None,
    window: Window,
    detrend: Detrend | None,
    mask: Tensor | None,
    run: Tensor | None,
    check: bool,
) -> tuple[Array, int]:
    """Return the amplitude of the sinusoid at each frequency, shape (..., region, bin), and the segments' length."""
    if segment_length is None:
        if mask is not None or run is not None:
            raise ValueError(
                "with a mask or runs, segment_length must be said: only segments without a masked frame, within one "
                "run, count"
            )
        segment_length = real_series(time_series).shape[-1]
    spectra = segment_spectra(
        time_series,
        segment_length=segment_length,
        overlap=overlap,
        window=window,
        detrend=detrend,
        mask=mask,
        run=run,
        check=check,
    )
    power = jnp.swapaxes(_mean_power(spectra), -1, -2)
    taper = _taper(window, segment_length)
    scale = _sides(segment_length) * jnp.sqrt(jnp.sum(taper**2)) / jnp.abs(jnp.sum(taper))
    silent = power <= 0
    root = jnp.where(silent, 0.0, jnp.sqrt(jnp.where(silent, 1.0, power)))
    return root * scale.astype(power.dtype), segment_length


def _taper(window: Window, segment_length: int) -> Array:
    if isinstance(window, str):
        return jnp.asarray(scipy.signal.get_window(window, segment_length))
    taper = _to_jax_array(window)
    if taper.shape != (segment_length,):
        raise ValueError(f"window must have shape ({segment_length},), and has shape {taper.shape}")
    return taper


def _detrended(segments: Array, detrend: Detrend | None) -> Array:
    """Return the segments without mean or line, and exactly 0 where only rounding is left of them."""
    if detrend is None:
        return segments
    rest = segments - segments.mean(-1, keepdims=True)
    if detrend == "linear":
        line = np.arange(segments.shape[-1]) - (segments.shape[-1] - 1) / 2
        line = jnp.asarray(line / np.linalg.norm(line), dtype=segments.dtype)
        rest = rest - (rest * line).sum(-1, keepdims=True) * line
    bound = (8 * jnp.finfo(segments.dtype).eps) ** 2
    constant = (rest**2).sum(-1, keepdims=True) <= bound * (segments**2).sum(-1, keepdims=True)
    return jnp.where(constant, 0.0, rest)


def _sides(segment_length: int) -> Array:
    """Return how many of the two sides of the spectrum each bin of the one-sided one stands for."""
    sides = np.full(segment_length // 2 + 1, 2.0)
    sides[0] = 1
    if segment_length % 2 == 0:
        sides[-1] = 1
    return jnp.asarray(sides)
