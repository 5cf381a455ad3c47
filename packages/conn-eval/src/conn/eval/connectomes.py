"""What many connectomes have in common: their edges, their strengths, their mean."""

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["connectome_edges", "connectome_strength", "group_connectome"]

# Fisher's z is infinite at |r| = 1; a correlation this near to 1 counts as z = 8.4, so that one
# perfect pair in one scan does not decide the mean over all scans.
_LARGEST_CORRELATION = 1 - 1e-7


def connectome_edges(connectomes: npt.ArrayLike) -> np.ndarray:
    """Return the edges of symmetric connectomes: the upper triangle without the diagonal.

    Parameters
    ----------
    connectomes : array_like, shape (scan, region, region)
        Symmetric matrices. Asymmetry up to 1e-5 of a matrix's largest absolute value is taken
        for rounding.

    Returns
    -------
    ndarray, shape (scan, region * (region - 1) / 2), float64
        Edges in the order of ``numpy.triu_indices(region, k=1)``, in the unit of the input.
        NaN edges stay NaN.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If the shape is not (scan, region, region), a value is infinite, or a matrix is not
        symmetric (the message names the scan and the worst pair of regions).

    Examples
    --------
    >>> connectome_edges([[[1.0, 0.2, 0.3], [0.2, 1.0, 0.4], [0.3, 0.4, 1.0]]])
    array([[0.2, 0.3, 0.4]])
    """
    matrices = _as_connectomes(connectomes)
    rows, columns = np.triu_indices(matrices.shape[-1], k=1)
    edges = np.empty((len(matrices), rows.size))
    for scan, matrix in enumerate(matrices):
        upper = matrix[rows, columns].astype(np.float64)
        lower = matrix[columns, rows].astype(np.float64)
        _refuse_asymmetry(scan, upper, lower, rows, columns)
        edges[scan] = upper
    return edges


def connectome_strength(connectomes: npt.ArrayLike) -> np.ndarray:
    """Return every region's mean edge, the diagonal left out.

    A far simpler description of a scan than its connectome, and therefore a baseline for it.

    Parameters
    ----------
    connectomes : array_like, shape (scan, region, region)
        Symmetric matrices.

    Returns
    -------
    ndarray, shape (scan, region), float64
        Mean edge of every region, in the unit of the input. A NaN edge makes both its regions NaN.

    Raises
    ------
    TypeError, ValueError
        As `connectome_edges`.

    Examples
    --------
    >>> connectome_strength([[[1.0, 0.2, 0.3], [0.2, 1.0, 0.4], [0.3, 0.4, 1.0]]])
    array([[0.25, 0.3 , 0.35]])
    """
    matrices = _as_connectomes(connectomes)
    connectome_edges(matrices)  # refuses what is infinite or not symmetric
    n_regions = matrices.shape[-1]
    strength = np.empty((len(matrices), n_regions))
    for scan, matrix in enumerate(matrices.astype(np.float64)):
        np.fill_diagonal(matrix, 0.0)
        strength[scan] = matrix.sum(axis=1) / (n_regions - 1)
    return strength


def group_connectome(connectomes: npt.ArrayLike, *, nan_policy: Literal["raise", "omit"] = "raise") -> np.ndarray:
    """Return the mean of correlation matrices over scans, taken in Fisher's z.

    Each correlation becomes z = artanh(r), the z are averaged over scans, and the mean goes back
    through tanh. Correlations nearer to ±1 than 1e-7 count as ±(1 - 1e-7), where z is finite;
    only where all scans are that near to the same end is the mean exactly ±1 (the diagonal is).

    Parameters
    ----------
    connectomes : array_like, shape (scan, region, region)
        Correlations, within [-1, 1] up to a rounding of 1e-5. Need not be symmetric.
    nan_policy : {"raise", "omit"}, default "raise"
        What a NaN does: an error that names it, or a mean over the scans that have the edge
        (an edge that no scan has stays NaN).

    Returns
    -------
    ndarray, shape (region, region), float64
        Mean correlation.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If the shape is wrong, a value lies outside [-1, 1], `nan_policy` is unknown, or a value
        is NaN under ``nan_policy="raise"``.

    References
    ----------
    Silver and Dunlap 1987, Journal of Applied Psychology 72:146-148,
    doi 10.1037/0021-9010.72.1.146.

    Examples
    --------
    >>> import numpy as np
    >>> group_connectome([[[1, 0.2], [0.2, 1]], [[1, 0.6], [0.6, 1]]]).round(3)
    array([[1.  , 0.42],
           [0.42, 1.  ]])
    """
    if nan_policy not in ("raise", "omit"):
        raise ValueError(f"nan_policy must be 'raise' or 'omit', got {nan_policy!r}")
    matrices = _as_connectomes(connectomes)
    shape = matrices.shape[1:]
    total, count = np.zeros(shape), np.zeros(shape, dtype=int)
    lowest, highest = np.full(shape, np.inf), np.full(shape, -np.inf)
    for scan, matrix in enumerate(matrices):
        matrix = matrix.astype(np.float64)
        known = ~np.isnan(matrix)
        if nan_policy == "raise" and not known.all():
            row, column = np.argwhere(~known)[0]
            raise ValueError(
                f"scan {scan} is NaN between regions {row} and {column}; "
                "nan_policy='omit' averages over the scans that have the edge"
            )
        outside = known & (np.abs(matrix) > 1 + 1e-5)
        if outside.any():
            row, column = np.argwhere(outside)[0]
            raise ValueError(
                f"scan {scan} has {matrix[row, column]:.6g} between regions {row} and {column}, "
                "which is no correlation: expected values within [-1, 1]"
            )
        matrix = np.clip(matrix, -1, 1)
        count += known
        lowest, highest = np.fmin(lowest, matrix), np.fmax(highest, matrix)
        bounded = np.clip(matrix, -_LARGEST_CORRELATION, _LARGEST_CORRELATION)
        total += np.arctanh(np.where(known, bounded, 0.0))
    mean = np.tanh(total / np.maximum(count, 1))
    mean[(count > 0) & (lowest >= _LARGEST_CORRELATION)] = 1.0
    mean[(count > 0) & (highest <= -_LARGEST_CORRELATION)] = -1.0
    return np.where(count == 0, np.nan, mean)


def _as_connectomes(connectomes: npt.ArrayLike) -> np.ndarray:
    matrices = np.asarray(connectomes)
    if not (np.issubdtype(matrices.dtype, np.floating) or np.issubdtype(matrices.dtype, np.integer)):
        raise TypeError(f"connectomes must hold real numbers, got dtype {matrices.dtype}")
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2]:
        raise ValueError(f"connectomes must have the shape (scan, region, region), got {matrices.shape}")
    if len(matrices) == 0 or matrices.shape[1] < 2:
        raise ValueError(
            f"connectomes must hold at least one scan of at least two regions, got the shape {matrices.shape}"
        )
    return matrices


def _refuse_asymmetry(scan: int, upper: np.ndarray, lower: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    infinite = np.isinf(upper) | np.isinf(lower)
    if infinite.any():
        edge = int(np.argmax(infinite))
        raise ValueError(
            f"scan {scan} is infinite between regions {rows[edge]} and {columns[edge]}; edges must be finite (or NaN)"
        )
    difference = np.abs(upper - lower)
    one_sided = np.isnan(upper) != np.isnan(lower)
    largest = max(np.abs(np.nan_to_num(upper)).max(), np.abs(np.nan_to_num(lower)).max())
    wrong = one_sided | (difference > 1e-5 * largest)
    if wrong.any():
        edge = int(np.argmax(np.where(one_sided, np.inf, np.nan_to_num(difference))))
        raise ValueError(
            f"the connectome of scan {scan} is not symmetric: regions {rows[edge]} and "
            f"{columns[edge]} have {upper[edge]:.6g} one way and {lower[edge]:.6g} the other"
        )
