"""Arguments of splits and simulators, refused in the same words everywhere."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.errors import DataError

__all__ = ["finite_array", "probability", "real_number", "square_matrix", "whole_number"]


def whole_number(name: str, value: Any, minimum: int = 1) -> int:
    """Return a count as an int.

    Raises
    ------
    DataError
        If it is no whole number or lies below the minimum.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise DataError(f"{name} is {value!r}, expected a whole number of at least {minimum}")
    return int(value)


def real_number(name: str, value: Any, *, above: float | None = None, minimum: float | None = None) -> float:
    """Return a finite number as a float.

    Raises
    ------
    DataError
        If it is not a finite number, not above `above`, or below `minimum`.
    """
    expected = "a finite number"
    if above is not None:
        expected = "a positive number" if above == 0 else f"a number above {above:g}"
    elif minimum is not None:
        expected = f"a number of at least {minimum:g}"
    number = value if isinstance(value, (int, float, np.integer, np.floating)) else None
    if (
        number is None
        or isinstance(value, bool)
        or not np.isfinite(number)
        or (above is not None and number <= above)
        or (minimum is not None and number < minimum)
    ):
        raise DataError(f"{name} is {value!r}, expected {expected}")
    return float(number)


def probability(name: str, value: Any) -> float:
    """Return a number from 0 to 1 as a float.

    Raises
    ------
    DataError
        If it lies outside or is no number.
    """
    number = real_number(name, value)
    if not 0 <= number <= 1:
        raise DataError(f"{name} is {value!r}, expected a number from 0 to 1")
    return number


def finite_array(name: str, values: ArrayLike, shape: Sequence[int | str]) -> NDArray[np.float64]:
    """Return values as an array of float64 with the shape that was asked for.

    Parameters
    ----------
    name : str
        What the message calls it.
    values : array
        What was given.
    shape : sequence of int or str
        A number where the size is known, the axis' name where it is free.

    Raises
    ------
    DataError
        If the values are not numbers, the shape is another one, an axis is empty, or a value
        is NaN or infinite.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} does not consist of numbers: {error}") from error
    wanted = ", ".join(str(size) for size in shape) + ("," if len(shape) == 1 else "")
    fits = array.ndim == len(shape) and all(
        found == size if isinstance(size, int) else found > 0 for found, size in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise DataError(f"{name} has shape {array.shape}, expected ({wanted})")
    if not np.isfinite(array).all():
        first = tuple(int(place) for place in np.argwhere(~np.isfinite(array))[0])
        raise DataError(f"{name} holds {array[first]} at {first}, expected finite numbers")
    return array


def square_matrix(name: str, values: ArrayLike, *, symmetric: bool = False) -> NDArray[np.float64]:
    """Return a square matrix of float64.

    Raises
    ------
    DataError
        As `finite_array`; if the matrix is not square, or not symmetric where it must be.
    """
    array = finite_array(name, values, ("region", "region"))
    if array.shape[0] != array.shape[1]:
        raise DataError(f"{name} has shape {array.shape}, expected a square matrix")
    if symmetric and not np.allclose(array, array.T, rtol=1e-8, atol=1e-10 * max(float(np.abs(array).max()), 1e-300)):
        raise DataError(f"{name} is not symmetric")
    return array
