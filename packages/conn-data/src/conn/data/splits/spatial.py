"""Folds of neighbouring regions, so that the test regions lie apart from those learned from."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import finite_array, real_number, whole_number
from conn.data.errors import DataError
from conn.data.splits.folds import Folds, leave_out
from conn.data.splits.regions import legacy_state, written_seed

__all__ = ["spatial_folds"]

_MAX_STEPS = 50


def spatial_folds(
    coordinates: ArrayLike,
    n_folds: int = 4,
    *,
    rng: np.random.Generator | int | None = 0,
    groups: Sequence[object] | None = None,
    buffer: float = 0.0,
    legacy: bool = False,
) -> Folds:
    r"""Return compact folds of neighbouring regions, as even in size as the groups allow.

    The regions are divided in two by a plane, each half again, and so on until there are `n_folds`
    parts. The plane lies between the centres :math:`c_1, c_2` of the two sides: regions are ordered by
    :math:`|x - c_1|^2 - |x - c_2|^2` and cut where the sizes are in the ratio of the folds still to be
    made, then the centres are computed anew until nothing moves (2-means under a constraint of size).
    The first centres are drawn at random, so that other seeds give other folds. Without groups the sizes
    differ by at most one.

    Parameters
    ----------
    coordinates : array, shape (region, 3)
        Centroids in millimetres.
    n_folds : int, default 4
        Folds.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness; with `legacy` a seed.
    groups : sequence, one a region, optional
        Regions with an equal entry stay together: `homologous_groups` keeps counterparts of the two
        hemispheres together. Folds are then compact in :math:`(|x|, y, z)`, the hemispheres laid over
        one another.
    buffer : float, default 0
        Training regions nearer than this to any test region, in millimetres, are left out of training.
    legacy : bool, default False
        Give the folds of the reference implementation of gene-to-connectome models: a seed region at
        random, its :math:`\lfloor n/k \rfloor` nearest among those left, and so on; the last fold gets what
        remains and is scattered. Neither groups nor a buffer then.

    Returns
    -------
    Folds
        Every region is tested once. With a buffer, training and test together are not all regions.

    Raises
    ------
    DataError
        If the coordinates have another shape or are not finite, there are more folds than regions or
        groups, `groups` has another length, the buffer leaves a fold without training, or `legacy` is
        combined with groups, a buffer or no seed.

    References
    ----------
    Why neighbours must not be on both sides: Roberts et al. (2017), Ecography 40, 913-929,
    doi:10.1111/ecog.02881.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.splits import spatial_folds
    >>> line = np.column_stack([np.arange(8.0), np.zeros(8), np.zeros(8)])
    >>> sorted(test.tolist() for test in spatial_folds(line, 4).test)
    [[0, 1], [2, 3], [4, 5], [6, 7]]
    """
    points = finite_array("coordinates", coordinates, ("region", 3))
    n_folds = whole_number("n_folds", n_folds, 2)
    buffer = real_number("buffer", buffer, minimum=0)
    if n_folds > len(points):
        raise DataError(f"{n_folds} folds are more than {len(points)} regions")
    settings = {"n_folds": n_folds, "rng": written_seed(rng), "buffer": buffer, "legacy": bool(legacy)}
    if legacy:
        if groups is not None or buffer:
            raise DataError("legacy folds know neither groups nor a buffer")
        parts = _greedy(points, n_folds, legacy_state(rng))
        return leave_out(parts, len(points), method="spatial", settings=settings)
    generator = np.random.default_rng(rng)
    if groups is None:
        parts = _divided(points, np.ones(len(points)), np.arange(len(points)), n_folds, generator)
    else:
        parts = _divided_groups(points, list(groups), n_folds, generator)
    folds = leave_out(parts, len(points), method="spatial", settings={**settings, "groups": groups is not None})
    return _apart(folds, points, buffer) if buffer else folds


def _divided(
    points: NDArray[np.float64],
    sizes: NDArray[np.float64],
    members: NDArray[np.intp],
    n_parts: int,
    rng: np.random.Generator,
) -> list[NDArray[np.intp]]:
    if n_parts == 1:
        return [members]
    ours, size = points[members], sizes[members]
    n_first = n_parts // 2
    wanted = size.sum() * n_first / n_parts
    one = ours[rng.integers(len(ours))]
    apart = np.square(ours - one).sum(axis=1)
    other = ours[rng.choice(len(ours), p=apart / apart.sum()) if apart.any() else 0]
    first = np.zeros(len(ours), dtype=bool)
    for _ in range(_MAX_STEPS):
        order = np.argsort(ours @ (other - one), kind="stable")
        cut = int(np.abs(np.cumsum(size[order]) - wanted).argmin()) + 1
        # Each side needs an item for each of its folds.
        cut = min(max(cut, n_first), len(ours) - (n_parts - n_first))
        now = np.zeros(len(ours), dtype=bool)
        now[order[:cut]] = True
        if (now == first).all():
            break
        first = now
        one = np.average(ours[first], axis=0, weights=size[first])
        other = np.average(ours[~first], axis=0, weights=size[~first])
    return [
        *_divided(points, sizes, members[first], n_first, rng),
        *_divided(points, sizes, members[~first], n_parts - n_first, rng),
    ]


def _divided_groups(
    points: NDArray[np.float64], groups: list[object], n_folds: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    if len(groups) != len(points):
        raise DataError(f"groups has {len(groups)} entries, coordinates has {len(points)} regions")
    numbers = {label: number for number, label in enumerate(dict.fromkeys(groups))}
    unit = np.array([numbers[label] for label in groups])
    if n_folds > len(numbers):
        raise DataError(f"{n_folds} folds are more than {len(numbers)} groups of regions")
    sizes = np.bincount(unit).astype(float)
    laid_over = np.column_stack([np.abs(points[:, 0]), points[:, 1:]])
    centres = np.column_stack([np.bincount(unit, column) for column in laid_over.T]) / sizes[:, None]
    parts = _divided(centres, sizes, np.arange(len(sizes)), n_folds, rng)
    return [np.flatnonzero(np.isin(unit, part)) for part in parts]


def _greedy(points: NDArray[np.float64], n_folds: int, state: "np.random.RandomState") -> list[NDArray[np.intp]]:
    left = np.arange(len(points))
    parts = []
    for fold in range(n_folds):
        seed = state.choice(left)
        distance = np.sqrt(np.square(points[left] - points[seed]).sum(axis=1))
        n_taken = left.size if fold == n_folds - 1 else len(points) // n_folds
        taken = left[np.argsort(distance, kind="stable")[:n_taken]]
        parts.append(taken)
        left = np.setdiff1d(left, taken)
    return parts


def _apart(folds: Folds, points: NDArray[np.float64], buffer: float) -> Folds:
    from scipy.spatial import KDTree

    kept = []
    for name, train, test in zip(folds.names, folds.train, folds.test, strict=True):
        nearest, _ = KDTree(points[test]).query(points[train])
        far = train[nearest >= buffer]
        if far.size == 0:
            raise DataError(f"fold {name!r}: a buffer of {buffer:g} mm leaves no region to train on")
        kept.append(far)
    return replace(folds, train=tuple(kept))
