"""Windows of consecutive frames: every one at a stride, or drawn at random.

A window never knows which of its frames count: cut the mask with the same function and the same key.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["sample_windows", "sliding_windows"]


def sliding_windows(
    time_series: Float[Tensor, "..."],
    length: int,
    *,
    step: int = 1,
    axis: int = -1,
    new_axis: bool = True,
) -> Float[Array, "..."]:
    """Return all windows of `length` frames that begin `step` frames apart.

    Parameters
    ----------
    time_series : array, shape (..., frame)
        Series, or a mask, of any rank and type. NaN stays where it stands.
    length : int
        Frames in a window.
    step : int, default 1
        Frames between the beginnings of two windows. Windows overlap when it is less than `length`. Frames after the
        last whole window are left out.
    axis : int, default -1
        The axis of frames.
    new_axis : bool, default True
        Give the windows an axis of their own, before that of the frames; or join them one after the other along the
        axis of frames.

    Returns
    -------
    array, shape (..., window, length) or (..., window x length)

    Raises
    ------
    ValueError
        If a window is longer than the series, or `length` or `step` is not positive.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> sliding_windows(jnp.arange(5), 3).tolist()
    [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    >>> sliding_windows(jnp.arange(5), 2, step=2, new_axis=False).tolist()
    [0, 1, 2, 3]
    """
    series, axis = _checked(time_series, length, axis)
    if step < 1:
        raise ValueError(f"step must be at least 1 frame, and is {step}")
    starts = jnp.arange(0, series.shape[axis] - length + 1, step)
    return _cut(series, starts, length, axis, new_axis)


def sample_windows(
    time_series: Float[Tensor, "..."],
    length: int,
    n_windows: int,
    *,
    key: Array,
    overlap: bool = True,
    axis: int = -1,
    new_axis: bool = True,
) -> Float[Array, "..."]:
    """Return windows of `length` frames that begin at random, in the order of time.

    Parameters
    ----------
    time_series : array, shape (..., frame)
        Series, or a mask, of any rank and type. All leading axes get the same windows.
    length : int
        Frames in a window.
    n_windows : int
        Number of windows.
    key : PRNG key
        The same key gives the same windows.
    overlap : bool, default True
        Let windows share frames: each begins at any frame with equal chance, independently of the others. Otherwise
        every placement of `n_windows` disjoint windows is equally likely.
    axis : int, default -1
        The axis of frames.
    new_axis : bool, default True
        Give the windows an axis of their own, before that of the frames; or join them one after the other along the
        axis of frames.

    Returns
    -------
    array, shape (..., window, length) or (..., window x length)

    Raises
    ------
    ValueError
        If the windows do not fit into the series, or a size is not positive.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> sample_windows(jnp.arange(6), 3, 2, key=jax.random.key(0), overlap=False).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    series, axis = _checked(time_series, length, axis)
    n_frames = series.shape[axis]
    if n_windows < 1:
        raise ValueError(f"n_windows must be at least 1, and is {n_windows}")
    if overlap:
        starts = jnp.sort(jax.random.randint(key, (n_windows,), 0, n_frames - length + 1))
    else:
        spare = n_frames - n_windows * length
        if spare < 0:
            raise ValueError(
                f"{n_windows} windows of {length} frames without overlap need {n_windows * length} frames, "
                f"and there are {n_frames}"
            )
        # Windows and spare frames in random order; the place of a window among them gives its beginning.
        places = jnp.sort(jax.random.permutation(key, spare + n_windows)[:n_windows])
        starts = places + jnp.arange(n_windows) * (length - 1)
    return _cut(series, starts, length, axis, new_axis)


def _checked(time_series: Tensor, length: int, axis: int) -> tuple[Array, int]:
    series = _to_jax_array(time_series)
    if series.ndim < 1 or not -series.ndim <= axis < series.ndim:
        raise ValueError(f"axis {axis} is none of the axes of a series of shape {series.shape}")
    axis %= series.ndim
    if not 1 <= length <= series.shape[axis]:
        raise ValueError(f"length must lie between 1 and the {series.shape[axis]} frames there are, and is {length}")
    return series, axis


def _cut(series: Array, starts: Array, length: int, axis: int, new_axis: bool) -> Array:
    places = starts[:, None] + jnp.arange(length)
    windows = jnp.take(series, places.ravel(), axis=axis)
    if not new_axis:
        return windows
    return windows.reshape(*series.shape[:axis], *places.shape, *series.shape[axis + 1 :])
