"""Folds: which items are learned from, and which are judged on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import whole_number
from conn.data.errors import DataError

__all__ = ["Folds", "leave_out", "nested_folds"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Folds:
    """Training and test items of each fold, by their places in one table.

    An object of this class goes wherever scikit-learn takes a splitter (its argument ``cv``).

    Parameters
    ----------
    n_items : int
        Rows of the table: regions, scans or frames.
    train, test : tuple of int arrays
        The items of each fold, ascending, none in both; read-only.
    names : tuple of str
        What each fold is called: a number, or the network that it leaves out.
    method : str
        How the folds were made.
    settings : mapping
        The arguments of the method, as JSON can hold them.
    inner : tuple of Folds
        Folds within the training items of each fold (`nested_folds`), or nothing. They too count
        in rows of the whole table.

    Raises
    ------
    DataError
        If a fold has no training or no test item, an item is in both, twice, or outside the table,
        or the inner folds are not one for each fold or leave its training items.

    Examples
    --------
    >>> from conn.data.splits import random_folds
    >>> folds = random_folds(6, 3, rng=0)
    >>> [test.tolist() for _, test in folds.split()]
    [[2, 3], [4, 5], [0, 1]]
    """

    n_items: int
    train: tuple[NDArray[np.intp], ...]
    test: tuple[NDArray[np.intp], ...]
    names: tuple[str, ...]
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    inner: tuple["Folds", ...] = ()

    def __post_init__(self) -> None:
        n_items = whole_number("n_items", self.n_items, 2)
        if not len(self.train) == len(self.test) == len(self.names) > 0:
            raise DataError(
                f"there are {len(self.train)} training sets, {len(self.test)} test sets and {len(self.names)} names, "
                "expected one of each a fold"
            )
        for role in ("train", "test"):
            kept = tuple(
                _indices(f"fold {name!r}, {role}", items, n_items)
                for name, items in zip(self.names, getattr(self, role), strict=True)
            )
            object.__setattr__(self, role, kept)
        for name, train, test in zip(self.names, self.train, self.test, strict=True):
            both = np.intersect1d(train, test)
            if both.size:
                raise DataError(f"fold {name!r}: item {both[0]} is in both training and test")
        if not self.inner:
            return
        if len(self.inner) != len(self.train):
            raise DataError(f"{len(self.inner)} inner folds do not fit {len(self.train)} folds")
        for name, train, inner in zip(self.names, self.train, self.inner, strict=True):
            for items in (*inner.train, *inner.test):
                beyond = np.setdiff1d(items, train)
                if beyond.size:
                    raise DataError(f"fold {name!r}: its inner folds hold item {beyond[0]}, which is not in training")

    def split(
        self, X: Any = None, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield the training and the test items of one fold after the other.

        Parameters
        ----------
        X, y, groups : any, optional
            As scikit-learn passes them; only their lengths are looked at.

        Raises
        ------
        DataError
            If one of them has another length than the table that the folds were made for.
        """
        for name, values in (("X", X), ("y", y), ("groups", groups)):
            if values is not None:
                length = values.shape[0] if hasattr(values, "shape") else len(values)
                if length != self.n_items:
                    raise DataError(f"{name} has {length} rows, the folds are of {self.n_items}")
        yield from zip(self.train, self.test, strict=True)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : any, optional
            As scikit-learn passes them; not looked at.
        """
        return len(self.test)


def nested_folds(outer: Folds, inner: Callable[[NDArray[np.intp]], Folds]) -> Folds:
    """Return the folds with folds inside the training items of each.

    Parameters
    ----------
    outer : Folds
        Folds to be judged on.
    inner : callable
        Given the training items of a fold (int array, rows of the whole table), returns `Folds` of
        as many items, counted from 0: for example
        ``lambda train: spatial_folds(coordinates[train], 3)``.

    Returns
    -------
    Folds
        `outer` with its field ``inner`` filled, in rows of the whole table: for fold ``k``,
        choices are made on ``inner[k].split()``.

    Raises
    ------
    DataError
        If an inner splitter is made for another number of items than it was given.

    Examples
    --------
    >>> from conn.data.splits import nested_folds, random_folds
    >>> nested = nested_folds(random_folds(12, 3), lambda train: random_folds(train.size, 2))
    >>> [len(within.test[0]) for within in nested.inner]
    [4, 4, 4]
    """
    made = []
    for name, train in zip(outer.names, outer.train, strict=True):
        local = inner(train)
        if local.n_items != train.size:
            raise DataError(f"fold {name!r}: the inner folds are of {local.n_items} items, expected {train.size}")
        made.append(_within(local, train, outer.n_items))
    return replace(outer, inner=tuple(made))


def _within(local: Folds, rows: NDArray[np.intp], n_items: int) -> Folds:
    """Return folds of some rows in places of the whole table."""
    return replace(
        local,
        n_items=n_items,
        train=tuple(rows[items] for items in local.train),
        test=tuple(rows[items] for items in local.test),
        inner=tuple(_within(inner, rows, n_items) for inner in local.inner),
    )


def leave_out(
    parts: Sequence[ArrayLike],
    n_items: int,
    *,
    method: str,
    settings: Mapping[str, Any],
    names: Sequence[str] | None = None,
) -> Folds:
    """Return folds each of which tests on one part and trains on all others."""
    tests = tuple(np.sort(np.asarray(part, dtype=np.intp)) for part in parts)
    everything = np.arange(n_items)
    return Folds(
        n_items=n_items,
        train=tuple(np.setdiff1d(everything, test) for test in tests),
        test=tests,
        names=tuple(names) if names is not None else tuple(str(place) for place in range(len(tests))),
        method=method,
        settings=settings,
    )


def _indices(what: str, items: ArrayLike, n_items: int) -> NDArray[np.intp]:
    given = np.asarray(items)
    if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "iu":
        raise DataError(f"{what}: expected a list of at least one whole number")
    kept = np.unique(given).astype(np.intp)
    if kept.size != given.size:
        raise DataError(f"{what}: an item is listed twice")
    if kept[0] < 0 or kept[-1] >= n_items:
        raise DataError(f"{what}: items lie from {kept[0]} to {kept[-1]}, expected 0 to {n_items - 1}")
    kept.flags.writeable = False
    return kept
