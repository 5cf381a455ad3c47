"""Between the repository's orientation, frames last, and this package's, time first."""

from typing import Any

import numpy as np
import torch

__all__ = ["frames_last", "time_first"]


def time_first(series: Any) -> np.ndarray:
    """Return time series with time as first axis, as `drm.DRMIterator` takes them.

    Parameters
    ----------
    series : array, shape (region, frame) or (subject, region, frame)

    Returns
    -------
    array, shape (frame, region) or (frame, subject, region)
        A view where possible; NaN stay as they are.

    Raises
    ------
    ValueError
        If there are not two or three axes.

    Examples
    --------
    >>> time_first([[1, 2, 3], [4, 5, 6]]).tolist()
    [[1, 4], [2, 5], [3, 6]]
    """
    array = np.asarray(series)
    if array.ndim not in (2, 3):
        raise ValueError(f"Time series must have shape (region, frame) or (subject, region, frame), got {array.shape}.")
    return np.moveaxis(array, -1, 0)


def frames_last(series: Any) -> np.ndarray:
    """Return what a network gave with frames as last axis.

    Parameters
    ----------
    series : Tensor or array, shape (time, region) or (time, batch, region)

    Returns
    -------
    array, shape (region, time) or (batch, region, time)
        NaN stay as they are.

    Raises
    ------
    ValueError
        If there are not two or three axes.

    Examples
    --------
    >>> frames_last(torch.zeros(7, 2, 3)).shape
    (2, 3, 7)
    """
    array = series.detach().cpu().numpy() if isinstance(series, torch.Tensor) else np.asarray(series)
    if array.ndim not in (2, 3):
        raise ValueError(f"Time series must have shape (time, region) or (time, batch, region), got {array.shape}.")
    return np.moveaxis(array, 0, -1)
