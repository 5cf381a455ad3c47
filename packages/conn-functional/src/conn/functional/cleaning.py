r"""Denoising of one run in one call, in an order in which no step brings back what another has removed.

1. *Censor*: what stands in masked frames is forgotten.
2. *Interpolate*: masked frames are filled, in the series and the confounds, so that a filter can run over them.
3. *Detrend and filter* the series **and** the confounds. Regressing unfiltered confounds out of filtered series would
   bring back the removed frequencies, and filtering after the regression the confounds (Lindquist et al. 2019).
4. *Censor again*, and *regress* the confounds out of the series over the frames that count.
5. *Standardise* over these frames; masked frames hold the fill value.

Without a filter nothing is interpolated, and everything is fitted to the frames that count.
"""

from collections.abc import Callable
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from conn.functional._inputs import Band, real_series
from conn.functional._series import centred, count, joined_lead, refuse_bad_values, with_mask
from conn.functional.confounds import detrended, regressed
from conn.functional.engine import Tensor
from conn.functional.filters import design_sections, sosfiltfilt
from conn.functional.interpolation import (
    cubic_interpolate,
    hybrid_interpolate,
    linear_interpolate,
    spectral_interpolate,
    weighted_interpolate,
)
from conn.functional.standardisation import Standardisation, standardised

__all__ = ["Interpolation", "clean"]

Interpolation = Literal["cubic", "linear", "spectral", "hybrid", "weighted"]

_INTERPOLATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "cubic": cubic_interpolate,
    "linear": linear_interpolate,
    "spectral": spectral_interpolate,
    "hybrid": hybrid_interpolate,
    "weighted": weighted_interpolate,
}


def clean(
    time_series: Float[Tensor, "... region frame"],
    confounds: Float[Tensor, "... confound frame"] | None = None,
    *,
    mask: Bool[Tensor, "... frame"] | None = None,
    band: Band | None = None,
    repetition_time: float | None = None,
    filter_order: int = 5,
    trend: int | None = 1,
    interpolation: Interpolation = "cubic",
    ridge: float | Float[Array, ""] | None = None,
    standardisation: Standardisation | None = "zscore",
    fill: float = 0.0,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    """Return the series censored, detrended, filtered, without their confounds, and standardised.

    The order is: censor, interpolate, detrend and filter the series and the confounds, censor again, regress,
    standardise. Every series is one run; leading axes are runs, worked off one after the other.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN in a frame that counts makes its region NaN.
    confounds : array, shape (..., confound, frame), optional
        In any units, of any rank. NaN in a frame that counts makes everything NaN: the first frame of a temporal
        derivative is often empty. The cosines of `dct_basis` among them are a high-pass filter that needs no
        neighbouring frames, and so no interpolation.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts, see `censoring_mask`.
    band : (float or None, float or None), optional
        Lowest and highest frequency that pass the Butterworth filter, in hertz. Nothing is filtered by default.
    repetition_time : float, optional
        Seconds from frame to frame. A filter needs it.
    filter_order : int, default 5
        Of the filter, which runs forwards and backwards.
    trend : int or None, default 1
        Highest power of time taken out of the series and the confounds, see `detrend`; None for none, not even a mean.
    interpolation : {"cubic", "linear", "spectral", "hybrid", "weighted"}, default "cubic"
        What fills masked frames before the filter, see `cubic_interpolate` and its siblings.
    ridge : float, optional
        Penalty on the coefficients of the confounds, these being in standard deviations, see `residualise`. Without it
        they are projected out.
    standardisation : {"zscore", "mean", "percent_signal_change"} or None, default "zscore"
        See `standardise`. The percentage is one of the mean before anything was removed. Without it the series stay in
        their unit, with the mean over the frames that count that the other steps leave.
    fill : float, default 0
        What masked frames hold in the result.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts, or no more frames that count
        than there are confounds and powers of time.

    Returns
    -------
    array, shape (..., region, frame)
        A region of which only rounding is left (32 eps of its norm) is 0. Finite gradients everywhere.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, an option is unknown, a filter has no repetition time, its band does not
        fit that, or there are not more frames than the filter's padding or the trend's order.
    RuntimeError
        With `check`, as said there.

    Notes
    -----
    In float64 it agrees with `nilearn.signal.clean` to 1e-10 of the largest value. With a mask there are four
    differences. Where the first or the last frame is masked nilearn extrapolates, or leaves the ends out of the filter;
    here the nearest frame is held. With a filter, nilearn 0.14.1 does not fill a masked frame if the frame as far from
    the other end of the run is masked as well. Without one it takes a trend as if the frames that count had been
    neighbours. And percent signal change is here one of the mean over the frames that count.

    References
    ----------
    .. [1] Lindquist et al. (2019). doi:10.1002/hbm.24528
    .. [2] Power et al. (2014). doi:10.1016/j.neuroimage.2013.08.048

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> time = jnp.arange(200.0)
    >>> confound = jnp.sin(time)[None]
    >>> series = jnp.cos(2 * jnp.pi * time / 20) + 3 * confound + 0.1 * time
    >>> cleaned = clean(series, confound, band=(0.01, 0.1), repetition_time=2.0)
    >>> bool(jnp.corrcoef(cleaned[0], jnp.cos(2 * jnp.pi * time / 20))[0, 1] > 0.9)
    True
    """
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of {', '.join(_INTERPOLATIONS)}, and is {interpolation!r}")
    if standardisation is not None and standardisation not in get_args(Standardisation):
        raise ValueError(
            f"standardisation must be None or one of {', '.join(get_args(Standardisation))}, and is {standardisation!r}"
        )
    if isinstance(ridge, (int, float)) and not ridge > 0:
        raise ValueError(f"ridge must be positive, or None for a projection, and is {ridge}")
    series = real_series(time_series)
    n_frames = series.shape[-1]
    if n_frames < 2:
        raise ValueError(f"there must be at least two frames, and there are {n_frames}")
    if trend is not None and not 0 <= trend < n_frames:
        raise ValueError(f"trend must lie between 0 and the {n_frames} frames less one, and is {trend}")
    sections = None
    if band is not None:
        if repetition_time is None:
            raise ValueError("a filter needs repetition_time, in seconds")
        sections = design_sections("butterworth", order=filter_order, band=band, repetition_time=repetition_time)

    regressors = valid = None
    if confounds is not None:
        regressors = real_series(confounds, name="confounds", axes="(..., confound, frame)").astype(series.dtype)
        if regressors.shape[-1] != n_frames:
            raise ValueError(f"confounds must have the {n_frames} frames of the series, and have {regressors.shape}")
        series, regressors = joined_lead(series, "confounds", regressors, own=2)
    if mask is not None:
        series, valid = with_mask(series, mask)
        valid = valid[..., 0, :]
    if check:
        series, regressors = _checked(series, regressors, mask, 0 if trend is None else trend + 1)

    def of_one_run(run: tuple[Array, Array | None, Array | None]) -> Array:
        return _clean_run(
            *run,
            sections=sections,
            trend=trend,
            interpolate=_INTERPOLATIONS[interpolation],
            ridge=ridge,
            standardisation=standardisation,
            fill=fill,
        )

    parts = [(part, own) for part, own in ((series, 2), (regressors, 2), (valid, 1)) if part is not None]
    lead = jnp.broadcast_shapes(*(part.shape[: part.ndim - own] for part, own in parts))

    def as_runs(part: Array | None, own: int) -> Array | None:
        if part is None:
            return None
        rest = part.shape[part.ndim - own :]
        return jnp.broadcast_to(part, (*lead, *rest)).reshape(-1, *rest)

    # Run by run: what a step needs beside its result then exists for one run at a time.
    cleaned = jax.lax.map(of_one_run, (as_runs(series, 2), as_runs(regressors, 2), as_runs(valid, 1)))
    return cleaned.reshape(*lead, *series.shape[-2:])


def _checked(series: Array, regressors: Array | None, mask: Tensor | None, n_powers: int) -> tuple[Array, Array | None]:
    """Return the arrays, which raise when they are computed if they hold bad values or too few frames count."""
    series, valid = with_mask(series, mask)
    series = refuse_bad_values("time_series", series)
    n_fitted = n_powers
    if regressors is not None:
        n_fitted += regressors.shape[-2]
        regressors = refuse_bad_values("confounds", with_mask(regressors, mask)[0])
    few = (valid.sum(-1) <= n_fitted).any()
    message = f"a run has no more frames that count than the {n_fitted} confounds and powers of time fitted to them"
    return eqx.error_if(series, few, message), regressors


def _clean_run(
    series: Array,
    regressors: Array | None,
    mask: Array | None,
    *,
    sections: np.ndarray | None,
    trend: int | None,
    interpolate: Callable[[Array, Array], Array],
    ridge: float | Array | None,
    standardisation: Standardisation | None,
    fill: float,
) -> Array:
    n_regions = series.shape[0]
    # Series and confounds go through the same steps, as one array.
    rows = series if regressors is None else jnp.concatenate([series, regressors])
    rows, valid = with_mask(rows, mask)
    level = rows[:n_regions].sum(-1, keepdims=True) / count(valid, rows)
    filled = sections is not None and mask is not None
    if filled:
        rows = interpolate(rows, valid[0])
    original = rows
    if trend is not None:
        rows = detrended(rows, valid, trend, every_frame=filled or mask is None)
    if sections is not None:
        rows = sosfiltfilt(rows, sections)
    rows = jnp.where(valid, _without_rounding(rows, original), 0.0)
    kept = rows[:n_regions]
    if regressors is not None:
        # The confounds have no mean, and that of the series stays; beside it rounding could not be told.
        about_mean, mean, _ = centred(kept, valid)
        residual = regressed(about_mean, standardised(rows[n_regions:], valid, "zscore", 1), ridge)
        kept = jnp.where(valid, mean + _without_rounding(residual, kept), 0.0)
    if standardisation is not None:
        without_mean = trend is not None or (sections is not None and _stops_the_mean(sections))
        kept = standardised(kept, valid, standardisation, 1, level if without_mean else None)
    return jnp.where(valid, kept, fill)


def _without_rounding(after: Array, before: Array) -> Array:
    """Return `after`, with 0 for the rows of which a linear step has left nothing but its rounding."""
    bound = (32 * jnp.finfo(after.dtype).eps) ** 2
    return jnp.where((after**2).sum(-1, keepdims=True) <= bound * (before**2).sum(-1, keepdims=True), 0.0, after)


def _stops_the_mean(sections: np.ndarray) -> bool:
    """Return whether the filter lets nothing of 0 Hz through."""
    gain = np.prod(sections[:, :3].sum(1) / sections[:, 3:].sum(1))
    return bool(abs(gain) < 1e-6)
