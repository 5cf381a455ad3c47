"""Folds of scans or people: who belongs together stays together."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from conn.data.checks import whole_number
from conn.data.errors import DataError
from conn.data.splits.folds import Folds, leave_out
from conn.data.splits.regions import written_seed

__all__ = ["subject_folds"]


def subject_folds(
    subjects: Sequence[Hashable],
    n_folds: int = 5,
    *,
    families: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
    rng: np.random.Generator | int | None = 0,
) -> Folds:
    """Return folds in which all scans of a person, and all members of a family, are on one side.

    Parameters
    ----------
    subjects : sequence, one a row
        Who each row (a scan, a session) is of.
    n_folds : int, default 5
        Folds.
    families : sequence, one a row, optional
        Family of each row. A missing entry (None, NaN, empty) is a family by itself. Who shares a family
        with someone who shares a subject is kept with both.
    strata : sequence, one a row, optional
        What each fold should hold as evenly as possible, such as the diagnostic group.
    rng : numpy.random.Generator, int or None, default 0
        Decides among equals.

    Returns
    -------
    Folds
        Every row is tested once. The largest families are placed first, each into the fold that stays
        nearest to an even share of every stratum, or of rows where there are no strata.

    Raises
    ------
    DataError
        If the sequences differ in length, a subject or stratum is missing, or there are more folds than
        families.

    Examples
    --------
    >>> from conn.data.splits import subject_folds
    >>> folds = subject_folds(["a", "a", "b", "b", "c"], 2, families=["x", "x", "x", "x", None])
    >>> sorted(test.tolist() for test in folds.test)
    [[0, 1, 2, 3], [4]]
    """
    n_folds = whole_number("n_folds", n_folds, 2)
    rows = list(subjects)
    if not rows:
        raise DataError("there are no subjects")
    for name, values in (("families", families), ("strata", strata)):
        if values is not None and len(values) != len(rows):
            raise DataError(f"{name} has {len(values)} entries, subjects has {len(rows)}")
    for name, values in (("subject", rows), ("stratum", [] if strata is None else strata)):
        for place, value in enumerate(values):
            if _missing(value):
                raise DataError(f"row {place} has no {name}")
    unit = _together(rows, None if families is None else list(families))
    n_units = int(unit.max()) + 1
    if n_folds > n_units:
        raise DataError(f"{n_folds} folds are more than {n_units} {'subjects' if families is None else 'families'}")
    held_even = [None] * len(rows) if strata is None else list(strata)
    kinds = {kind: place for place, kind in enumerate(dict.fromkeys(held_even))}
    kind_of = np.array([kinds[kind] for kind in held_even])
    cells = np.bincount(unit * len(kinds) + kind_of, minlength=n_units * len(kinds))
    share = cells.reshape(n_units, len(kinds)).astype(float)
    # In parts of each stratum, so that rare ones count as much as common ones.
    share /= share.sum(axis=0)
    size = np.bincount(unit, minlength=n_units)
    generator = np.random.default_rng(rng)
    shuffled = generator.permutation(n_units)
    order = shuffled[np.argsort(-size[shuffled], kind="stable")]
    held = np.zeros((n_folds, len(kinds)))
    fold_of = np.empty(n_units, dtype=int)
    for placed, number in enumerate(order):
        cost = (np.square(held + share[number]) - np.square(held)).sum(axis=1)
        empty = np.flatnonzero(held.sum(axis=1) == 0)
        if empty.size >= n_units - placed:
            cost[held.sum(axis=1) > 0] = np.inf
        fold_of[number] = cost.argmin()
        held[fold_of[number]] += share[number]
    return leave_out(
        [np.flatnonzero(fold_of[unit] == fold) for fold in range(n_folds)],
        len(rows),
        method="subject",
        settings={
            "n_folds": n_folds,
            "rng": written_seed(rng),
            "families": families is not None,
            "strata": strata is not None,
        },
    )


def _missing(value: Hashable) -> bool:
    return value is None or value == "" or value != value


def _together(subjects: list[Hashable], families: list[Hashable] | None) -> NDArray[np.intp]:
    """Return the number of the connected component of each row."""
    parent = list(range(len(subjects)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[tuple[str, Hashable], int] = {}
    for row, subject in enumerate(subjects):
        keys: list[tuple[str, Hashable]] = [("subject", subject)]
        if families is not None and not _missing(families[row]):
            keys.append(("family", families[row]))
        for key in keys:
            parent[root(row)] = root(first.setdefault(key, row))
    _, numbers = np.unique([root(row) for row in range(len(subjects))], return_inverse=True)
    return numbers.astype(np.intp)
