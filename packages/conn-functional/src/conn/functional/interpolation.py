r"""What censored frames are filled with, so that a filter can run over them.

All functions keep the frames that count as they are, whatever stands in the others. Filled frames are no data: a filter
needs them, and they should be censored again after it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from conn.functional._inputs import real_series
from conn.functional._series import count, neighbours, refuse_bad_values, with_mask
from conn.functional.engine import Tensor

__all__ = [
    "cubic_interpolate",
    "hybrid_interpolate",
    "linear_interpolate",
    "spectral_interpolate",
    "weighted_interpolate",
]


def linear_interpolate(
    time_series: Float[Tensor, "... region frame"],
    mask: Bool[Tensor, "... frame"],
    *,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    """Return the series with masked frames on the line between the nearest frames that count.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit.
    mask : array of bool, shape (..., frame)
        True where a frame counts.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series. Frames before the first that counts hold its value, those after the last that of the
        last; where no frame counts all are 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    See Also
    --------
    numpy.interp : agrees to rounding.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> linear_interpolate(jnp.array([[0.0, jnp.nan, 2.0, jnp.nan]]), jnp.array([True, False, True, False])).tolist()
    [[0.0, 1.0, 2.0, 2.0]]
    """
    series, valid = _masked(time_series, mask, check)
    before, after, fraction = _bracket(valid, series)
    filled = _at(series, before) * (1 - fraction) + _at(series, after) * fraction
    return jnp.where(valid, series, filled)


def cubic_interpolate(
    time_series: Float[Tensor, "... region frame"],
    mask: Bool[Tensor, "... frame"],
    *,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    """Return the series with masked frames on the cubic spline through the frames that count.

    The spline's third derivative is continuous at the second frame from either end ("not-a-knot"). Between the first
    and the last frame that count it is what `nilearn.signal.clean` fills in; beyond them a spline would run away, and
    the nearest frame is held.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit.
    mask : array of bool, shape (..., frame)
        True where a frame counts.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series. Where fewer than four frames count, they are joined by lines.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    See Also
    --------
    scipy.interpolate.CubicSpline : agrees to rounding.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> cube = jnp.arange(6.0)[None] ** 3
    >>> bool(jnp.allclose(cubic_interpolate(cube, jnp.arange(6) != 2), cube, atol=1e-3))
    True
    """
    series, valid = _masked(time_series, mask, check)
    before, after, fraction = _bracket(valid, series)
    start, end = _at(series, before), _at(series, after)
    line = start * (1 - fraction) + end * fraction
    if series.shape[-1] < 4:
        return jnp.where(valid, series, line)
    slopes = _spline_slopes(series, valid)
    knot = jnp.cumsum(valid, axis=-1) - 1
    width = (after - before).astype(series.dtype)
    n_last = series.shape[-1] - 1
    rise = _at(slopes, jnp.clip(knot, 0, n_last)) * width - (end - start)
    fall = _at(slopes, jnp.clip(knot + 1, 0, n_last)) * width - (end - start)
    bend = fraction * (1 - fraction) * ((1 - fraction) * rise - fraction * fall)
    enough = valid.sum(-1, keepdims=True) >= 4
    return jnp.where(valid, series, line + jnp.where(enough, bend, 0.0))


def spectral_interpolate(
    time_series: Float[Tensor, "... region frame"],
    mask: Bool[Tensor, "... frame"],
    *,
    highest: float | None = None,
    oversampling: int = 8,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    r"""Return the series with masked frames that have the spectrum of the frames that count.

    A sinusoid of each frequency is fitted, by itself, to the frames that count (Lomb & Scargle); their sum, scaled to
    the standard deviation of the data over these frames, is what the masked frames hold. The frequencies are those of a
    run `oversampling` times as long, from one cycle of it upwards; they being the bins of a padded Fourier transform,
    the fits cost as much as that and no more.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit.
    mask : array of bool, shape (..., frame)
        True where a frame counts.
    highest : float, optional
        Highest frequency, in cycles a frame, at most 0.5 (hertz times the repetition time). By default half the
        mean rate of the frames that count, as published: see the notes.
    oversampling : int, default 8
        Frequencies for each that a Fourier transform of all frames has.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series. A constant region stays constant; where no frame counts all are 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, `highest` is not in (0, 0.5], or `oversampling` is not positive.

    Notes
    -----
    Sinusoids of neighbouring frequencies explain the same data twice. Over all frequencies their sum is therefore close
    to the data with zeros in the gaps, and little is filled in where few frames are masked: say in `highest` where the
    signal ends, and a gap is filled with a signal of that band. Power et al. scale by the standard deviation over all
    frames; here data and fit are compared where both are known.

    See Also
    --------
    scipy.signal.lombscargle : ``normalize="amplitude"`` gives the same fits.

    References
    ----------
    .. [1] Mathias et al. (2004). doi:10.18637/jss.v011.i02
    .. [2] Power et al. (2014). doi:10.1016/j.neuroimage.2013.08.048

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> wave = jnp.cos(2 * jnp.pi * jnp.arange(64.0) / 8)[None]
    >>> gap = (jnp.arange(64) == 31) | (jnp.arange(64) == 32)
    >>> bool(jnp.abs(spectral_interpolate(wave, ~gap, highest=0.15) - wave).max() < 0.6)
    True
    """
    if highest is not None and not 0 < highest <= 0.5:
        raise ValueError(f"highest must lie between 0 and 0.5 cycles a frame, and is {highest}")
    if oversampling < 1:
        raise ValueError(f"oversampling must be at least 1, and is {oversampling}")
    series, valid = _masked(time_series, mask, check)
    mean = series.sum(-1, keepdims=True) / count(valid, series)
    data = jnp.where(valid, series - mean, 0.0)
    share = count(valid, series) / series.shape[-1] / 2 if highest is None else highest
    fit = _sum_of_sinusoids(data, valid, oversampling * series.shape[-1], share)
    known = jnp.where(valid, fit, 0.0)
    known = jnp.where(valid, known - known.sum(-1, keepdims=True) / count(valid, series), 0.0)
    return jnp.where(valid, series, mean + fit * _ratio_of_norms(data, known))


def hybrid_interpolate(
    time_series: Float[Tensor, "... region frame"],
    mask: Bool[Tensor, "... frame"],
    *,
    longest_line: int = 3,
    highest: float | None = None,
    oversampling: int = 8,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    """Return the series with short gaps filled by lines and long ones from the spectrum.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit.
    mask : array of bool, shape (..., frame)
        True where a frame counts.
    longest_line : int, default 3
        Masked frames in a row, at most, that `linear_interpolate` fills; `spectral_interpolate` fills the others.
    highest, oversampling : float and int, default None and 8
        See `spectral_interpolate`.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, `longest_line` is negative, `highest` is not in (0, 0.5], or
        `oversampling` is not positive.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> hybrid_interpolate(jnp.array([[0.0, 9.0, 2.0, 4.0]]), jnp.array([True, False, True, True])).tolist()
    [[0.0, 1.0, 2.0, 4.0]]
    """
    if longest_line < 0:
        raise ValueError(f"longest_line must not be negative, and is {longest_line}")
    line = linear_interpolate(time_series, mask, check=check)
    spectrum = spectral_interpolate(time_series, mask, highest=highest, oversampling=oversampling)
    _, valid = with_mask(real_series(time_series), mask)
    last, following = neighbours(valid)
    return jnp.where(following - last - 1 <= longest_line, line, spectrum)


def weighted_interpolate(
    time_series: Float[Tensor, "... region frame"],
    mask: Bool[Tensor, "... frame"],
    *,
    width: float | Float[Array, ""] = 1.0,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    r"""Return the series with masked frames that are averages of the frames that count, near ones above all.

    Frame :math:`s` weighs :math:`e^{-(t - s)^2 / 2 \sigma^2}` at frame :math:`t`, and the weights are scaled to sum to
    1. However long the gap is, the nearest frames therefore share the weight.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit.
    mask : array of bool, shape (..., frame)
        True where a frame counts.
    width : float, default 1
        :math:`\sigma > 0`, in frames.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series. Where no frame counts all are 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or `width` is a number that is not positive.

    Notes
    -----
    A frame-by-frame matrix of weights is formed for each mask.

    References
    ----------
    .. [1] Nadaraya (1964). doi:10.1137/1109020

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> weighted_interpolate(jnp.array([[1.0, jnp.nan, 3.0]]), jnp.array([True, False, True])).tolist()
    [[1.0, 2.0, 3.0]]
    """
    if isinstance(width, (int, float)) and not width > 0:
        raise ValueError(f"width must be positive, and is {width}")
    series, valid = _masked(time_series, mask, check)
    place = jnp.arange(series.shape[-1], dtype=series.dtype)
    closeness = -(((place[:, None] - place[None, :]) / width) ** 2) / 2
    closeness = closeness.reshape((1,) * (series.ndim - 2) + closeness.shape)
    some = valid.any(-1, keepdims=True)
    weights = jax.nn.softmax(jnp.where(valid | ~some, closeness, -jnp.inf), axis=-1)
    return jnp.where(valid, series, series @ jnp.swapaxes(weights, -1, -2))


def _masked(time_series: Tensor, mask: Tensor, check: bool) -> tuple[Array, Array]:
    """Return the series, 0 where masked, and where frames count; with `check`, refuse bad values there."""
    series, valid = with_mask(real_series(time_series), mask)
    return (refuse_bad_values("time_series", series) if check else series), valid


def _bracket(valid: Array, series: Array) -> tuple[Array, Array, Array]:
    """Return the frames that count around each frame (twice the nearest one at the ends), and its place between."""
    n_frames = series.shape[-1]
    last, following = neighbours(valid)
    before = jnp.where(last < 0, jnp.minimum(following, n_frames - 1), last)
    after = jnp.where(following == n_frames, jnp.maximum(last, 0), following)
    place = jnp.arange(n_frames).reshape((1,) * (series.ndim - 1) + (n_frames,))
    fraction = (place - before) / jnp.maximum(after - before, 1)
    return before, after, jnp.where(after > before, fraction, 0.0).astype(series.dtype)


def _at(series: Array, places: Array) -> Array:
    """Return the series at these frames, the same ones for all regions."""
    lead = jnp.broadcast_shapes(series.shape[:-1], places.shape[:-1])
    return jnp.take_along_axis(
        jnp.broadcast_to(series, (*lead, series.shape[-1])), jnp.broadcast_to(places, (*lead, places.shape[-1])), -1
    )


def _spline_slopes(series: Array, valid: Array) -> Array:
    """Return the spline's first derivative at the frames that count, these moved to the front.

    The rows behind them are those of an identity. Each row says that the second derivative is continuous; the first
    and the last that the third one is (de Boor 1978, chapter IV).
    """
    n_frames = series.shape[-1]
    row = jnp.arange(n_frames).reshape((1,) * (series.ndim - 1) + (n_frames,))
    n_knots = valid.sum(-1, keepdims=True)
    order = jnp.argsort(~valid, axis=-1, stable=True)
    values = _at(series, order)
    step = jnp.diff(order, axis=-1, append=0).astype(series.dtype)
    step = jnp.where(row < n_knots - 1, step, 1.0)
    slope = jnp.diff(values, axis=-1, append=0.0) / step
    step_before, slope_before = jnp.roll(step, 1, -1), jnp.roll(slope, 1, -1)
    first, last = row == 0, row == n_knots - 1
    inside = (row > 0) & (row < n_knots - 1)
    step_after, slope_after = jnp.roll(step, -1, -1), jnp.roll(slope, -1, -1)
    step_two_before, slope_two_before = jnp.roll(step, 2, -1), jnp.roll(slope, 2, -1)
    span_first, span_last = step + step_after, step_before + step_two_before
    diagonal = jnp.where(inside, 2 * (step + step_before), 1.0)
    diagonal = jnp.where(first, step_after, jnp.where(last, step_two_before, diagonal))
    upper = jnp.where(first, span_first, jnp.where(inside, step_before, 0.0))
    lower = jnp.where(last, span_last, jnp.where(inside, step, 0.0))
    right = jnp.where(inside, 3 * (step * slope_before + step_before * slope), 0.0)
    right_first = ((step + 2 * span_first) * step_after * slope + step**2 * slope_after) / span_first
    right_last = (
        (step_before + 2 * span_last) * step_two_before * slope_before + step_before**2 * slope_two_before
    ) / span_last
    right = jnp.where(first, right_first, jnp.where(last, right_last, right))
    enough = n_knots >= 4  # fewer rows than that overlap
    diagonal = jnp.where(enough, diagonal, 1.0)
    upper, lower, right = (jnp.where(enough, band, 0.0) for band in (upper, lower, right))
    bands = (jnp.broadcast_to(band[..., 0, :], (*series.shape[:-2], n_frames)) for band in (lower, diagonal, upper))
    below, middle, above = bands
    slopes = jax.lax.linalg.tridiagonal_solve(below, middle, above, jnp.swapaxes(right, -1, -2))
    return jnp.swapaxes(slopes, -1, -2)


def _sum_of_sinusoids(data: Array, valid: Array, n_points: int, highest: float | Array) -> Array:
    r"""Return the sum of the sinusoids fitted one by one at the bins of `n_points` above 0 and up to the highest.

    With :math:`X = \sum m x e^{-i \omega t}` and :math:`M = \sum m e^{-2 i \omega t}`, a delay by half the phase of
    :math:`M` makes cosine and sine orthogonal over the frames that count, with powers :math:`(N \pm |M|) / 2`.
    """
    n_frames = data.shape[-1]
    n_bins = (n_points - 1) // 2
    precision = jnp.finfo(data.dtype).eps
    total = count(valid, data)
    spectrum = jnp.fft.rfft(data, n=n_points)[..., 1 : n_bins + 1]
    doubled = jnp.fft.fft(valid.astype(data.dtype), n=n_points)[..., 2 : 2 * n_bins + 1 : 2]
    overlap = jnp.abs(doubled)
    delay = jnp.exp(-0.5j * jnp.angle(doubled)).astype(spectrum.dtype)
    delayed = spectrum * delay
    cosine = jnp.real(delayed) * 2 / (total + overlap)
    # Where all frames that count fall on zeros of the sine, it has no amplitude.
    silent = total - overlap <= jnp.sqrt(precision) * total
    sine = jnp.where(silent, 0.0, -jnp.imag(delayed) * 2 / jnp.where(silent, 1.0, total - overlap))
    bins = jnp.arange(1, n_bins + 1).reshape((1,) * (data.ndim - 1) + (n_bins,))
    amplitude = jnp.where(bins <= highest * n_points, jax.lax.complex(cosine, -sine) * jnp.conj(delay), 0.0)
    padding = [(0, 0)] * (amplitude.ndim - 1) + [(1, n_points // 2 - n_bins)]
    return jnp.fft.irfft(jnp.pad(amplitude * (n_points / 2), padding), n=n_points)[..., :n_frames].astype(data.dtype)


def _ratio_of_norms(numerator: Array, denominator: Array) -> Array:
    """Return the ratio of the norms over frames; 0, with derivative 0, where either is 0."""
    above = (numerator**2).sum(-1, keepdims=True)
    below = (denominator**2).sum(-1, keepdims=True)
    usable = (above > 0) & (below > 0)
    return jnp.where(usable, jnp.sqrt(jnp.where(usable, above, 1.0) / jnp.where(usable, below, 1.0)), 0.0)
