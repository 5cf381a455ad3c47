"""Expression made comparable between tissue samples and donors."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError

__all__ = ["NORMALISATIONS", "normalise"]

# The interquartile range of a standard normal distribution.
_NORMAL_RANGE = 1.3489795003921634


def normalise(values: NDArray[np.floating], method: str, *, axis: int) -> NDArray[np.float64]:
    r"""Return values normalised along an axis.

    With mean :math:`\bar x`, standard deviation :math:`s` (degrees of freedom 1), median :math:`\tilde x`
    and interquartile range :math:`q` over that of a normal distribution, 1.349:

    ==========================  ===================================================================
    ``"centre"``                :math:`x - \bar x`
    ``"zscore"``                :math:`(x - \bar x) / s`
    ``"minmax"``                :math:`(x - \min x) / (\max x - \min x)`
    ``"sigmoid"``               :math:`1 / (1 + \exp(-(x - \bar x) / s))`
    ``"scaled_sigmoid"``        the sigmoid, then min-max
    ``"robust_sigmoid"``        :math:`1 / (1 + \exp(-(x - \tilde x) / q))`
    ``"scaled_robust_sigmoid"`` the robust sigmoid, then min-max
    ``"none"``                  :math:`x`
    ==========================  ===================================================================

    Parameters
    ----------
    values : array
        Finite.
    method : str
        One of `NORMALISATIONS`.
    axis : int
        Along which.

    Returns
    -------
    array, shape of values, float64
        NaN where the scale is 0, as of a constant gene: never an infinite value.

    References
    ----------
    Fulcher and Fornito 2016, PNAS 113:1435-1440. https://doi.org/10.1073/pnas.1513302113
    """
    if method not in NORMALISATIONS:
        raise DataError(f"normalisation {method!r} is not one of {', '.join(NORMALISATIONS)}")
    array = np.asarray(values, dtype=np.float64)
    if array.shape[axis] == 0:
        return array
    return NORMALISATIONS[method](array, axis)


def _over(numerator: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(numerator, scale, out=np.full_like(numerator, np.nan), where=scale > 0)


def _zscore(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    centred = values - values.mean(axis=axis, keepdims=True)
    # A constant has a standard deviation of rounding errors.
    varies = np.ptp(values, axis=axis, keepdims=True) > 0
    n_values = values.shape[axis]
    scale = np.sqrt((centred**2).sum(axis=axis, keepdims=True) / (n_values - 1)) if n_values > 1 else 0.0
    return _over(centred, np.where(varies, scale, 0.0))


def _robust(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    first, median, third = np.percentile(values, [25, 50, 75], axis=axis, keepdims=True)
    return _over(values - median, (third - first) / _NORMAL_RANGE)


def _minmax(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    low = values.min(axis=axis, keepdims=True)
    return _over(values - low, values.max(axis=axis, keepdims=True) - low)


def _sigmoid(standard: NDArray[np.float64]) -> NDArray[np.float64]:
    # Beyond 700 the exponential overflows, and the sigmoid is 0 or 1 to the last bit anyway.
    return 1 / (1 + np.exp(-np.clip(standard, -700, 700)))


NORMALISATIONS: dict[str, Callable[[NDArray[np.float64], int], NDArray[np.float64]]] = {
    "scaled_robust_sigmoid": lambda values, axis: _minmax(_sigmoid(_robust(values, axis)), axis),
    "robust_sigmoid": lambda values, axis: _sigmoid(_robust(values, axis)),
    "scaled_sigmoid": lambda values, axis: _minmax(_sigmoid(_zscore(values, axis)), axis),
    "sigmoid": lambda values, axis: _sigmoid(_zscore(values, axis)),
    "zscore": _zscore,
    "minmax": _minmax,
    "centre": lambda values, axis: values - values.mean(axis=axis, keepdims=True),
    "none": lambda values, axis: values,
}
"""Ways to normalise, by name."""
