"""Pairs of regions as places in tables, never as copies of features."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.errors import DataError

__all__ = ["RegionPairs", "region_pairs"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionPairs:
    """Pairs of regions by the side on which their regions are.

    Parameters
    ----------
    within_train, train_test, within_test : int arrays, shape (pair, 2)
        Target and source of each pair, as rows of the table of regions.

    Examples
    --------
    >>> from conn.data.splits import region_pairs
    >>> region_pairs([0, 2], [1, 3]).train_test.tolist()
    [[0, 1], [0, 3], [1, 2], [2, 3]]
    """

    within_train: NDArray[np.intp]
    train_test: NDArray[np.intp]
    within_test: NDArray[np.intp]


def region_pairs(train: ArrayLike, test: ArrayLike, *, directed: bool = False) -> RegionPairs:
    """Return the pairs within training, between training and test, and within test regions.

    A symmetric connectome is judged honestly on the pairs within the test regions. With four folds these
    are about a quarter of all pairs; those between the two sides are the rest of what was not learned from.

    Parameters
    ----------
    train, test : int arrays, shape (region,)
        Rows of the table of regions, as `Folds` gives them; none in both.
    directed : bool, default False
        Give both orders of each pair. Otherwise each pair comes once, the smaller row first.

    Returns
    -------
    RegionPairs
        Index arrays into a table of regions: ``expression[pairs[:, 0]]``, ``connectome[*pairs.T]``. A side with
        one region gives an empty array of pairs within it. Rows ascend.

    Raises
    ------
    DataError
        If a side is empty, holds anything but row numbers, or shares a region with the other.

    Examples
    --------
    >>> from conn.data.splits import region_pairs
    >>> region_pairs([0, 1, 2], [3, 4]).within_train.tolist()
    [[0, 1], [0, 2], [1, 2]]
    >>> region_pairs([0, 1, 2], [3, 4], directed=True).within_test.tolist()
    [[3, 4], [4, 3]]
    """
    sides = []
    for name, items in (("train", train), ("test", test)):
        given = np.asarray(items)
        if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "iu" or (given < 0).any():
            raise DataError(f"{name} must be a list of at least one row number")
        sides.append(np.unique(given).astype(np.intp))
        if sides[-1].size != given.size:
            raise DataError(f"{name} lists a region twice")
    learned, judged = sides
    shared = np.intersect1d(learned, judged)
    if shared.size:
        raise DataError(f"region {shared[0]} is in both train and test")
    across = np.stack(np.meshgrid(learned, judged, indexing="ij"), axis=-1).reshape(-1, 2)
    across = np.concatenate([across, across[:, ::-1]]) if directed else np.sort(across, axis=1)
    return RegionPairs(
        within_train=_within(learned, directed),
        train_test=across[np.lexsort(across.T[::-1])],
        within_test=_within(judged, directed),
    )


def _within(regions: NDArray[np.intp], directed: bool) -> NDArray[np.intp]:
    n = regions.size
    rows, columns = np.nonzero(~np.eye(n, dtype=bool)) if directed else np.triu_indices(n, 1)
    return np.column_stack([regions[rows], regions[columns]])
