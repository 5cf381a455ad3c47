"""Matrices and what they are made of: symmetric parts, triangles as vectors, Toeplitz matrices, diagonals."""

import math
from functools import cache
from typing import Literal, get_args

import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Num

from conn.functional.engine import Tensor, _to_jax_array

__all__ = [
    "delete_diagonal",
    "embed_diagonal",
    "fill_diagonal",
    "symmetrise",
    "toeplitz",
    "triangle_to_matrix",
    "triangle_to_vector",
]

Triangle = Literal["upper", "lower"]


def symmetrise(matrix: Num[Tensor, "... region region"], *, skew: bool = False) -> Num[Array, "... region region"]:
    r"""Return the symmetric part of matrices, :math:`(A + A^\top) / 2`, or the skew-symmetric one.

    Parameters
    ----------
    matrix : array, shape (..., region, region)
        NaN in an entry makes the entry across the diagonal NaN too.
    skew : bool, default False
        Return :math:`(A - A^\top) / 2`; both parts add up to the matrix.

    Returns
    -------
    array, shape (..., region, region)
        Exactly symmetric (or skew-symmetric).

    Raises
    ------
    ValueError
        If the matrices are not square.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> symmetrise(jnp.array([[1.0, 2.0], [4.0, 1.0]])).tolist()
    [[1.0, 3.0], [3.0, 1.0]]
    """
    square = _square(matrix)
    across = jnp.swapaxes(square, -1, -2)
    return (square - across if skew else square + across) / 2


def triangle_to_vector(
    matrix: Num[Tensor, "... region region"], *, offset: int = 1, triangle: Triangle = "upper"
) -> Num[Array, "... pair"]:
    """Return one triangle of matrices as vectors: the edges of a connectome.

    Parameters
    ----------
    matrix : array, shape (..., region, region)
        The other triangle is not looked at.
    offset : int, default 1
        First diagonal that counts, from 0 (the main diagonal) to the number of regions less 1.
    triangle : {"upper", "lower"}, default "upper"

    Returns
    -------
    array, shape (..., pair)
        Row by row, as ``numpy.triu_indices(region, offset)`` or ``numpy.tril_indices(region, -offset)`` have it. The
        default is the order of `scipy.spatial.distance.squareform`.

    Raises
    ------
    ValueError
        If the matrices are not square, the offset leaves nothing, or the triangle is unknown.

    See Also
    --------
    triangle_to_matrix : the way back

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> triangle_to_vector(jnp.arange(9.0).reshape(3, 3)).tolist()
    [1.0, 2.0, 5.0]
    """
    square = _square(matrix)
    n_regions = square.shape[-1]
    if not 0 <= offset < n_regions:
        raise ValueError(f"offset must lie between 0 and {n_regions - 1} for {n_regions} regions, and is {offset}")
    rows, columns = _triangle(n_regions, offset, triangle)
    return square[..., rows, columns]


def triangle_to_matrix(
    vector: Num[Tensor, "... pair"],
    *,
    offset: int = 1,
    triangle: Triangle = "upper",
    fill: float = 0.0,
) -> Num[Array, "... region region"]:
    """Return the symmetric matrices of which one triangle is given as vectors.

    Parameters
    ----------
    vector : array, shape (..., pair)
        Entries in the order of `triangle_to_vector`. NaN stays where it is.
    offset : int, default 1
        The diagonal at which the triangle begins, at least 0.
    triangle : {"upper", "lower"}, default "upper"
        Whose order the entries have.
    fill : float, default 0.0
        What stands on the diagonals before the first one given: 1 for correlations.

    Returns
    -------
    array, shape (..., region, region)

    Raises
    ------
    ValueError
        If no number of regions has as many pairs, the offset is negative, or the triangle is unknown.

    See Also
    --------
    scipy.spatial.distance.squareform

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> triangle_to_matrix(jnp.array([1.0, 2.0, 5.0]), fill=-1.0).tolist()
    [[-1.0, 1.0, 2.0], [1.0, -1.0, 5.0], [2.0, 5.0, -1.0]]
    """
    entries = _to_jax_array(vector)
    if entries.ndim < 1 or entries.shape[-1] == 0:
        raise ValueError(f"vector must have shape (..., pair) with no empty axis, and has shape {entries.shape}")
    if offset < 0:
        raise ValueError(f"offset must be at least 0, and is {offset}")
    n_pairs = entries.shape[-1]
    side = (math.isqrt(8 * n_pairs + 1) - 1) // 2
    if side * (side + 1) // 2 != n_pairs:
        near = f"{side * (side + 1) // 2} and {(side + 1) * (side + 2) // 2}"
        raise ValueError(f"a triangle has 1, 3, 6, ... entries, {near} among them, and vector has {n_pairs}")
    place, outside = _places(side + offset, offset, triangle)
    return jnp.where(outside, jnp.asarray(fill, entries.dtype), entries[..., place])


def toeplitz(
    column: Num[Tensor, "... lag"],
    row: Num[Tensor, "... lead"] | None = None,
    *,
    shape: tuple[int, int] | None = None,
) -> Num[Array, "... row column"]:
    r"""Return Toeplitz matrices, :math:`T_{ij} = c_{i - j}` below the diagonal and :math:`r_{j - i}` above it.

    Parameters
    ----------
    column : array, shape (..., lag)
        First column, or as much of it as is not 0 where a `shape` is given.
    row : array, shape (..., lead), optional
        First row, likewise; its first entry does not count. By default the column (its conjugate, if complex), for a
        symmetric (Hermitian) matrix.
    shape : pair of int, optional
        Rows and columns of the result, no fewer than the entries given: the rest is 0, and the matrix is banded. By
        default those of the column and the row.

    Returns
    -------
    array, shape (..., row, column)

    Raises
    ------
    ValueError
        If the shape is smaller than what is given, or the leading axes do not fit.

    See Also
    --------
    scipy.linalg.toeplitz

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> toeplitz(jnp.array([2.0, 1.0]), shape=(3, 3)).tolist()
    [[2.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 2.0]]
    """
    first_column = _to_jax_array(column)
    first_row = jnp.conj(first_column) if row is None else _to_jax_array(row)
    for name, entries in (("column", first_column), ("row", first_row)):
        if entries.ndim < 1 or entries.shape[-1] == 0:
            raise ValueError(f"{name} must have at least one entry on its last axis, and has shape {entries.shape}")
    given = (first_column.shape[-1], first_row.shape[-1])
    size = given if shape is None else shape
    if row is None and shape is not None:  # of a wide or a low matrix the symmetric band ends where the matrix does
        given = (min(given[0], size[0]), min(given[1], size[1]))
        first_column, first_row = first_column[..., : given[0]], first_row[..., : given[1]]
    if len(size) != 2 or size[0] < given[0] or size[1] < given[1]:
        raise ValueError(f"shape must be a pair of at least {given}, the entries of column and row, and is {shape}")
    lead = jnp.broadcast_shapes(first_column.shape[:-1], first_row.shape[:-1])
    padded = []
    for entries, length in ((first_column, size[0]), (first_row, size[1])):
        full = jnp.pad(entries, [(0, 0)] * (entries.ndim - 1) + [(0, length - entries.shape[-1])])
        padded.append(jnp.broadcast_to(full, (*lead, length)))
    return jax.scipy.linalg.toeplitz(*padded)


def embed_diagonal(vector: Num[Tensor, "... region"], *, offset: int = 0) -> Num[Array, "... row row"]:
    """Return the square matrices that have the vectors on one diagonal, and 0 elsewhere.

    Parameters
    ----------
    vector : array, shape (..., region)
    offset : int, default 0
        Of the diagonal: above the main one if positive, below if negative.

    Returns
    -------
    array, shape (..., row, row)
        With region + abs(offset) rows. ``jnp.diagonal(matrix, offset, -2, -1)`` is the way back.

    Raises
    ------
    ValueError
        If there is no vector.

    See Also
    --------
    numpy.diag

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> embed_diagonal(jnp.array([1.0, 2.0])).tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    entries = _to_jax_array(vector)
    if entries.ndim < 1 or entries.shape[-1] == 0:
        raise ValueError(f"vector must have shape (..., region) with no empty axis, and has shape {entries.shape}")
    n_rows = entries.shape[-1] + abs(offset)
    rows, columns = _diagonal(n_rows, n_rows, offset)
    return jnp.zeros((*entries.shape[:-1], n_rows, n_rows), entries.dtype).at[..., rows, columns].set(entries)


def fill_diagonal(
    matrix: Num[Tensor, "... row column"], value: ArrayLike, *, offset: int = 0
) -> Num[Array, "... row column"]:
    """Return matrices with other values on one diagonal.

    Parameters
    ----------
    matrix : array, shape (..., row, column)
        What stood on the diagonal, NaN included, is gone, and has the derivative 0.
    value : float, or array whose shape broadcasts to (..., diagonal)
    offset : int, default 0
        Of the diagonal: above the main one if positive, below if negative.

    Returns
    -------
    array, shape (..., row, column)

    Raises
    ------
    ValueError
        If there is no such diagonal, or the values do not fit it.

    See Also
    --------
    numpy.fill_diagonal

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> fill_diagonal(jnp.ones((2, 2)), 0.0).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    array = _to_jax_array(matrix)
    if array.ndim < 2:
        raise ValueError(f"matrix must have shape (..., row, column), and has shape {array.shape}")
    rows, columns = _diagonal(array.shape[-2], array.shape[-1], offset)
    if rows.size == 0:
        raise ValueError(f"a matrix of shape {array.shape[-2:]} has no diagonal at the offset {offset}")
    values = jnp.asarray(_to_jax_array(value), array.dtype)
    wanted = (*array.shape[:-2], rows.size)
    try:
        fits = jnp.broadcast_shapes(values.shape, wanted) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"value must broadcast to the diagonals' shape {wanted}, and has shape {values.shape}")
    return array.at[..., rows, columns].set(values)


def delete_diagonal(matrix: Num[Tensor, "... region region"]) -> Num[Array, "... region other"]:
    """Return each region's connections with all others: matrices whose diagonal is gone, not 0.

    Parameters
    ----------
    matrix : array, shape (..., region, region)

    Returns
    -------
    array, shape (..., region, region - 1)
        The others in their order, region i leaving its place in row i.

    Raises
    ------
    ValueError
        If the matrices are not square, or have one region.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> delete_diagonal(jnp.arange(9.0).reshape(3, 3)).tolist()
    [[1.0, 2.0], [3.0, 5.0], [6.0, 7.0]]
    """
    square = _square(matrix)
    n_regions = square.shape[-1]
    if n_regions < 2:
        raise ValueError("a matrix of one region has nothing beside its diagonal")
    # Read row by row, the entries beside the diagonal come in runs of n between two entries of it.
    flat = square.reshape(*square.shape[:-2], n_regions**2)[..., 1:]
    runs = flat.reshape(*square.shape[:-2], n_regions - 1, n_regions + 1)[..., :-1]
    return runs.reshape(*square.shape[:-1], n_regions - 1)


def _square(matrix: Tensor) -> Array:
    array = _to_jax_array(matrix)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or array.shape[-1] == 0:
        raise ValueError(f"matrix must have shape (..., region, region), and has shape {array.shape}")
    return array


def _diagonal(n_rows: int, n_columns: int, offset: int) -> tuple[np.ndarray, np.ndarray]:
    start = (max(-offset, 0), max(offset, 0))
    length = max(min(n_rows - start[0], n_columns - start[1]), 0)
    return start[0] + np.arange(length), start[1] + np.arange(length)


def _triangle(n_regions: int, offset: int, triangle: Triangle) -> tuple[np.ndarray, np.ndarray]:
    if triangle not in get_args(Triangle):
        raise ValueError(f'triangle must be "upper" or "lower", and is {triangle!r}')
    return np.triu_indices(n_regions, offset) if triangle == "upper" else np.tril_indices(n_regions, -offset)


@cache
def _places(n_regions: int, offset: int, triangle: Triangle) -> tuple[np.ndarray, np.ndarray]:
    """Return which entry of the vector every entry of the matrix is, and which ones are none."""
    rows, columns = _triangle(n_regions, offset, triangle)
    place = np.full((n_regions, n_regions), -1, np.int32)
    place[rows, columns] = place[columns, rows] = np.arange(rows.size)
    return np.maximum(place, 0), place < 0
