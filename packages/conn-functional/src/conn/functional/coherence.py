r"""Coherency between regions: linear dependence frequency by frequency.

:math:`C_{ij}(f) = S_{ij}(f) / \sqrt{S_{ii}(f) S_{jj}(f)}` with the cross-spectrum of Welch's segments, see
`conn.functional.spectrum`. Its squared modulus is the coherence; its imaginary part keeps only what is not in phase.

A mask is no deletion: only segments of truly neighbouring valid frames of one run count.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from conn.functional._inputs import Band, bins_of_band, real_series
from conn.functional._segments import segment_step
from conn.functional.engine import Tensor
from conn.functional.spectrum import Detrend, SegmentSpectra, Window, segment_spectra

__all__ = ["coherence", "coherency", "imaginary_coherence"]


def coherency(
    time_series: Float[Tensor, "... region frame"],
    *,
    segment_length: int,
    overlap: int | None = None,
    window: Window = "hann",
    detrend: Detrend | None = "constant",
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Complex[Array, "... bin region region"]:
    """Return the complex coherency between all pairs of regions, frequency by frequency.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN in a region makes its row and column NaN, unless its frame is masked.
    segment_length, overlap, window, detrend, mask, run
        As in `segment_spectra`. There must be room for two segments: a single one is coherent with everything.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a segment, or a series with fewer than two.

    Returns
    -------
    complex array, shape (..., bin, region, region)
        Hermitian, modulus at most 1, diagonal exactly 1; a phase between 0 and pi says that the row leads. The
        frequencies are ``numpy.fft.rfftfreq(segment_length, repetition_time)``. Where a region has no power at a
        frequency (at most (8 eps)^2 of its whole power), or a mask leaves fewer than two segments, 0.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If the series has no room for two segments, or a setting or a shape does not fit, see `segment_spectra`.
    RuntimeError
        With `check`, as said there.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> series = jnp.sin(jnp.array([[0.3], [0.31], [0.5]]) * jnp.arange(60.0) ** 1.2)
    >>> coherency(series, segment_length=20).shape
    (11, 3, 3)
    """
    spectra = _several_segments(
        time_series,
        segment_length=segment_length,
        overlap=overlap,
        window=window,
        detrend=detrend,
        mask=mask,
        run=run,
        check=check,
    )
    return _by_bin(spectra, measure=_itself, bins=None)


def coherence(
    time_series: Float[Tensor, "... region frame"],
    *,
    segment_length: int,
    overlap: int | None = None,
    window: Window = "hann",
    detrend: Detrend | None = "constant",
    band: Band | None = None,
    repetition_time: float | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return the magnitude-squared coherence between all pairs of regions.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN in a region makes its row and column NaN, unless its frame is masked.
    segment_length, overlap, window, detrend, mask, run
        As in `segment_spectra`. There must be room for two segments.
    band : (float or None, float or None), optional
        Lowest and highest frequency in hertz, edges included and 0 Hz left out, over which the mean is taken.
    repetition_time : float, optional
        Seconds from frame to frame: needed for a band, and only there.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a segment, or a series with fewer than two.

    Returns
    -------
    array, shape (..., bin, region, region), or (..., region, region) with a band
        Symmetric, from 0 to 1. Independent regions have about one over the number of separate segments. Where a region
        has no power, or a mask leaves fewer than two segments, 0.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError
        If a band comes without a repetition time or the other way round, no frequency lies in the band, there is no
        room for two segments, or a setting or a shape does not fit.
    RuntimeError
        With `check`, as said there.

    See Also
    --------
    scipy.signal.coherence : agrees to rounding. MNE-Connectivity's "coh" is the square root.

    References
    ----------
    .. [1] Sun FT, Miller LM, D'Esposito M (2004). Measuring interregional functional connectivity using coherence and
       partial coherence analyses of fMRI data. doi:10.1016/j.neuroimage.2003.09.036

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> series = jnp.sin(jnp.array([[0.3], [0.31], [0.5]]) * jnp.arange(60.0) ** 1.2)
    >>> coherence(series, segment_length=20, band=(0.05, 0.2), repetition_time=2.0).shape
    (3, 3)
    """
    bins = _bins(band, segment_length, repetition_time)
    spectra = _several_segments(
        time_series,
        segment_length=segment_length,
        overlap=overlap,
        window=window,
        detrend=detrend,
        mask=mask,
        run=run,
        check=check,
    )
    return _by_bin(spectra, measure=_squared_modulus, bins=bins)


def imaginary_coherence(
    time_series: Float[Tensor, "... region frame"],
    *,
    segment_length: int,
    overlap: int | None = None,
    window: Window = "hann",
    detrend: Detrend | None = "constant",
    band: Band | None = None,
    repetition_time: float | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return the imaginary part of the coherency, which instantaneous mixing of the signals cannot make.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN in a region makes its row and column NaN, unless its frame is masked.
    segment_length, overlap, window, detrend, mask, run
        As in `segment_spectra`. There must be room for two segments.
    band, repetition_time, check
        As in `coherence`.

    Returns
    -------
    array, shape (..., bin, region, region), or (..., region, region) with a band
        Antisymmetric, from -1 to 1: above 0 where the row leads the column by less than half a period.

    Raises
    ------
    TypeError
        If the series is complex.
    ValueError, RuntimeError
        As in `coherence`.

    See Also
    --------
    mne_connectivity.spectral_connectivity_epochs : method "imcoh", of the same sign.

    References
    ----------
    .. [1] Nolte G et al. (2004). Identifying true brain interaction from EEG data using the imaginary part of
       coherency. doi:10.1016/j.clinph.2004.04.029

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> series = jnp.sin(jnp.array([[0.3], [0.31], [0.5]]) * jnp.arange(60.0) ** 1.2)
    >>> matrix = imaginary_coherence(series, segment_length=20, band=(0.05, 0.2), repetition_time=2.0)
    >>> bool(jnp.allclose(matrix, -matrix.T, atol=1e-6))
    True
    """
    bins = _bins(band, segment_length, repetition_time)
    spectra = _several_segments(
        time_series,
        segment_length=segment_length,
        overlap=overlap,
        window=window,
        detrend=detrend,
        mask=mask,
        run=run,
        check=check,
    )
    return _by_bin(spectra, measure=_imaginary_part, bins=bins)


def _several_segments(
    time_series: Tensor,
    *,
    segment_length: int,
    overlap: int | None,
    window: Window,
    detrend: Detrend | None,
    mask: Tensor | None,
    run: Tensor | None,
    check: bool,
) -> SegmentSpectra:
    """Return the coefficients of the segments, of which there must be room for two."""
    n_frames = real_series(time_series).shape[-1]
    step = segment_step(segment_length, overlap, n_frames)
    if segment_length + step > n_frames:
        raise ValueError(
            f"coherence needs at least two segments, and {n_frames} frames hold one of {segment_length}: "
            "shorten segment_length, or raise overlap"
        )
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
    if check:
        too_few = (spectra.valid.sum(-1) < 2).any()
        spectra = spectra._replace(
            coefficients=eqx.error_if(
                spectra.coefficients,
                too_few,
                f"a series has fewer than two segments of {segment_length} neighbouring valid frames of one run",
            )
        )
    return spectra


def _bins(band: Band | None, segment_length: int, repetition_time: float | None) -> tuple[int, ...] | None:
    if (band is None) != (repetition_time is None):
        raise ValueError("band and repetition_time go together: give both, or neither")
    if band is None or repetition_time is None:
        return None
    return tuple(bins_of_band(band, n_frames=segment_length, repetition_time=repetition_time).tolist())


def _itself(ratio: Array) -> Array:
    return ratio


def _squared_modulus(ratio: Array) -> Array:
    return jnp.minimum(ratio.real**2 + ratio.imag**2, 1.0)


def _imaginary_part(ratio: Array) -> Array:
    return ratio.imag


@partial(jax.jit, static_argnames=("measure", "bins"))
def _by_bin(spectra: SegmentSpectra, *, measure: Callable[[Array], Array], bins: tuple[int, ...] | None) -> Array:
    """Return the measure of the coherency, bin by bin or as the mean over some bins; one bin is formed at a time."""
    coefficients, valid = spectra
    power = (coefficients.real**2 + coefficients.imag**2).sum(-1)
    noise = (8 * jnp.finfo(power.dtype).eps) ** 2 * power.sum(-2, keepdims=True)
    absent = (power <= noise) | (valid.sum(-1) < 2)[..., None, :]
    scale = jnp.where(absent, 0.0, jnp.where(absent, 1.0, power) ** -0.5)
    directions = jnp.moveaxis(coefficients * scale[..., None], -3, 0)
    present = jnp.moveaxis(~(absent | jnp.isnan(power)), -2, 0)
    identity = jnp.eye(power.shape[-1], dtype=bool)

    @jax.checkpoint
    def of_one_bin(item: tuple[Array, Array]) -> Array:
        direction, there = item
        ratio = jnp.einsum("...ik,...jk->...ij", direction, jnp.conj(direction), precision="highest")
        return measure(jnp.where(identity & there[..., None, :], 1.0, ratio))

    if bins is None:
        return jnp.moveaxis(jax.lax.map(of_one_bin, (directions, present)), 0, -3)
    chosen = directions[np.array(bins)], present[np.array(bins)]
    shape = jax.eval_shape(of_one_bin, (chosen[0][0], chosen[1][0]))
    total, _ = jax.lax.scan(lambda sum_, item: (sum_ + of_one_bin(item), None), jnp.zeros_like(shape), chosen)
    return total / len(bins)
