"""Series about their mean, in standard deviations, or in percent of their mean."""

from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from conn.functional._inputs import real_series
from conn.functional._series import centred, count, refuse_bad_values, with_mask
from conn.functional.engine import Tensor

__all__ = ["Standardisation", "standardise"]

Standardisation = Literal["mean", "zscore", "percent_signal_change"]


def standardise(
    time_series: Float[Tensor, "... region frame"],
    method: Standardisation = "zscore",
    *,
    mask: Bool[Tensor, "... frame"] | None = None,
    ddof: int = 1,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    r"""Return every region about its mean, in the unit that the method gives it.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN in a frame that counts makes its region NaN.
    method : {"zscore", "mean", "percent_signal_change"}, default "zscore"
        Divide the centred series by its standard deviation; leave it in its unit; or take it in percent of the absolute
        value of its mean, :math:`100 (x - \bar{x}) / |\bar{x}|`.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. Masked frames count as if they had been deleted, and hold 0 in the result.
    ddof : int, default 1
        Delta degrees of freedom of the standard deviation.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts.

    Returns
    -------
    array, shape (..., region, frame)
        A constant region gives 0, and so does a mean of 0 (at most 8 eps of the root mean square) in percent signal
        change; gradients are finite there.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, the method is unknown, or there are not more frames than `ddof`.
    RuntimeError
        With `check`, as said there.

    See Also
    --------
    nilearn.signal.standardize_signal

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> standardise(jnp.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])).tolist()
    [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    >>> standardise(jnp.array([[50.0, 100.0, 150.0]]), "percent_signal_change").tolist()
    [[-50.0, 0.0, 50.0]]
    """
    if method not in get_args(Standardisation):
        raise ValueError(f"method must be one of {', '.join(get_args(Standardisation))}, and is {method!r}")
    series = real_series(time_series)
    if method == "zscore" and series.shape[-1] <= ddof:
        raise ValueError(f"with ddof {ddof} more than {ddof} frames are needed, and there are {series.shape[-1]}")
    series, valid = with_mask(series, mask)
    if check:
        series = refuse_bad_values("time_series", series)
    return standardised(series, valid, method, ddof)


def standardised(
    series: Array, valid: Bool[Array, "... 1 frame"], method: Standardisation, ddof: int, level: Array | None = None
) -> Array:
    """Return what `standardise` does, of a masked series; `level` is a mean to be added to the series' own."""
    rest, mean, constant = centred(series, valid)
    if method == "mean":
        return rest
    if method == "zscore":
        freedom = count(valid, series) - ddof
        usable = ~constant & (freedom > 0)
        power = (rest**2).sum(-1, keepdims=True)
        variance = jnp.where(usable, power, 1.0) / jnp.where(freedom > 0, freedom, 1.0)
        return jnp.where(usable, rest / jnp.sqrt(variance), 0.0)
    base = mean if level is None else mean + level
    size = ((rest**2).sum(-1, keepdims=True) / count(valid, series)) + base**2
    absent = base**2 <= (8 * jnp.finfo(series.dtype).eps) ** 2 * size
    return jnp.where(absent, 0.0, 100 * rest / jnp.where(absent, 1.0, jnp.abs(base)))
