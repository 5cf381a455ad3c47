"""Folds of regions: at random, by a label such as the network, by community."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import finite_array, real_number, square_matrix, whole_number
from conn.data.errors import DataError
from conn.data.hemispheres import mirrored_pairs
from conn.data.splits.folds import Folds, leave_out

__all__ = ["community_folds", "homologous_groups", "label_folds", "random_folds"]


def random_folds(
    n_items: int, n_folds: int = 4, *, rng: np.random.Generator | int | None = 0, legacy: bool = False
) -> Folds:
    """Return folds of items drawn at random, their sizes as even as possible.

    Parameters
    ----------
    n_items : int
        Regions, or other items that stand for themselves.
    n_folds : int, default 4
        Folds.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness; with `legacy` a seed.
    legacy : bool, default False
        Give the folds of scikit-learn's ``KFold(n_folds, shuffle=True, random_state=seed)``, with which
        published results of gene-to-connectome models were made.

    Returns
    -------
    Folds
        Every item is tested once.

    Raises
    ------
    DataError
        If there are fewer than two folds or more folds than items, or `legacy` has no seed.

    Examples
    --------
    >>> from conn.data.splits import random_folds
    >>> random_folds(10, 2, rng=42, legacy=True).test[0].tolist()
    [0, 1, 5, 7, 8]
    """
    n_items, n_folds = _sizes(n_items, n_folds)
    if legacy:
        order = np.arange(n_items)
        legacy_state(rng).shuffle(order)
    else:
        order = np.random.default_rng(rng).permutation(n_items)
    return leave_out(
        np.array_split(order, n_folds),
        n_items,
        method="random",
        settings={"n_folds": n_folds, "rng": written_seed(rng), "legacy": bool(legacy)},
    )


def label_folds(labels: Sequence[str], *, of: str = "network", min_items: int = 2) -> Folds:
    """Return folds each of which leaves out all regions of one label: a network, a lobe.

    Parameters
    ----------
    labels : sequence of str, one a region
        The network (`conn.data.region_networks`), lobe or other class of each region.
    of : str, default "network"
        What the labels are, for the record.
    min_items : int, default 2
        Regions that a label needs. With one region there is no pair within the test regions.

    Returns
    -------
    Folds
        One fold a label, in order of appearance, named after it.

    Raises
    ------
    DataError
        If there is one label only, a label is missing (empty, None or NaN), or one has fewer regions.

    Examples
    --------
    >>> from conn.data.splits import label_folds
    >>> label_folds(["Vis", "Vis", "Default", "Default"]).names
    ('Vis', 'Default')
    """
    given = list(labels)
    for place, label in enumerate(given):
        if label is None or label == "" or label != label:
            raise DataError(f"region {place} has no {of}")
    members: dict[str, list[int]] = {}
    for place, label in enumerate(given):
        members.setdefault(str(label), []).append(place)
    if len(members) < 2:
        raise DataError(f"there is one {of} only: {', '.join(members) or 'none'}; leaving it out leaves no training")
    _large_enough(members, of, whole_number("min_items", min_items))
    return leave_out(
        list(members.values()),
        len(given),
        method=of,
        settings={"min_items": int(min_items)},
        names=list(members),
    )


def community_folds(
    connectome: ArrayLike,
    *,
    resolution: float = 1.0,
    min_items: int = 2,
    rng: np.random.Generator | int | None = 0,
) -> Folds:
    r"""Return folds each of which leaves out one Louvain community of a connectome.

    The communities come from the very connectome that is to be predicted: a harder task, in which the
    test regions are those that have least to do with the training regions. Negative weights and the
    diagonal count as 0, since modularity is not defined for them.

    Parameters
    ----------
    connectome : array, shape (region, region)
        Symmetric.
    resolution : float, default 1
        Above 1 communities are smaller.
    min_items : int, default 2
        Regions that a community needs.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    Folds
        One fold a community, the largest first.

    Raises
    ------
    DataError
        If the matrix is not square, symmetric and finite, there is one community only, or a community
        has too few regions (an isolated region is a community by itself).
    ImportError
        If networkx is not installed: the extra ``communities``.

    References
    ----------
    Blondel, Guillaume, Lambiotte & Lefebvre (2008), Journal of Statistical Mechanics, P10008,
    doi:10.1088/1742-5468/2008/10/P10008.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.splits import community_folds
    >>> folds = community_folds(np.kron(np.eye(2), np.ones((3, 3))))
    >>> sorted(test.tolist() for test in folds.test)
    [[0, 1, 2], [3, 4, 5]]
    """
    matrix = square_matrix("connectome", connectome, symmetric=True)
    resolution = real_number("resolution", resolution, above=0)
    smallest = whole_number("min_items", min_items)
    try:
        import networkx
    except ImportError as error:
        raise ImportError('Louvain communities need networkx: pip install "conn-data[communities]"') from error
    weights = np.clip(matrix, 0, None)
    np.fill_diagonal(weights, 0)
    if isinstance(rng, np.random.Generator) or rng is None:
        seed = int(np.random.default_rng(rng).integers(2**31))
    else:
        seed = int(rng)
    found = networkx.community.louvain_communities(networkx.from_numpy_array(weights), resolution=resolution, seed=seed)
    parts = sorted((sorted(part) for part in found), key=lambda part: (-len(part), part[0]))
    if len(parts) < 2:
        raise DataError(f"there is one community only at resolution {resolution:g}: take a higher one")
    _large_enough({str(place): part for place, part in enumerate(parts)}, "community", smallest)
    return leave_out(
        parts,
        len(matrix),
        method="community",
        settings={"resolution": resolution, "min_items": smallest, "rng": written_seed(rng)},
    )


def homologous_groups(coordinates: ArrayLike, *, tolerance: float = 15.0) -> NDArray[np.intp]:
    """Return a number for each region, the same for a region and its counterpart in the other hemisphere.

    Counterparts are those that `conn.data.homologues` finds by centroid: the one-to-one pairs whose centroids and
    mirrored centroids lie nearest in sum. The side is the sign of x; a region at x = 0, or without counterpart within
    the tolerance, has a number of its own.

    Parameters
    ----------
    coordinates : array, shape (region, 3)
        Centroids in millimetres, x positive to the right (MNI).
    tolerance : float, default 15
        Millimetres that a counterpart may lie off the mirror image.

    Returns
    -------
    int array, shape (region,)
        Group of each region, from 0, in order of appearance.

    Raises
    ------
    DataError
        If the coordinates have another shape or are not finite.

    See Also
    --------
    conn.data.homologues : The pairs as a table; by name too.

    Examples
    --------
    >>> from conn.data.splits import homologous_groups
    >>> homologous_groups([[-30, 0, 0], [-40, 50, 9], [31, 1, 0], [5, -80, 0]]).tolist()
    [0, 1, 0, 2]
    """
    points = finite_array("coordinates", coordinates, ("region", 3))
    tolerance = real_number("tolerance", tolerance, minimum=0)
    sides = np.array(["L", "", "R"])[np.sign(points[:, 0]).astype(int) + 1].tolist()
    partner = np.arange(len(points))
    for left, right in mirrored_pairs(points, sides, largest_distance=tolerance):
        partner[left], partner[right] = right, left
    first = np.minimum(partner, np.arange(len(points)))
    return np.searchsorted(np.unique(first), first).astype(np.intp)


def legacy_state(rng: object) -> "np.random.RandomState":
    """Return NumPy's legacy generator at a seed: what the older of two code bases drew from."""
    if isinstance(rng, bool) or not isinstance(rng, (int, np.integer)) or not 0 <= rng < 2**32:
        raise DataError(f"legacy folds need rng as a seed from 0 to {2**32 - 1}, and it is {rng!r}")
    return np.random.RandomState(int(rng))


def written_seed(rng: object) -> int | None:
    """Return a seed as JSON can hold it; a generator's state is not kept."""
    return int(rng) if isinstance(rng, (int, np.integer)) else None


def _sizes(n_items: int, n_folds: int) -> tuple[int, int]:
    n_items, n_folds = whole_number("n_items", n_items, 2), whole_number("n_folds", n_folds, 2)
    if n_folds > n_items:
        raise DataError(f"{n_folds} folds are more than {n_items} items")
    return n_items, n_folds


def _large_enough(members: dict[str, list[int]], of: str, minimum: int) -> None:
    small = {label: len(places) for label, places in members.items() if len(places) < minimum}
    if small:
        listed = ", ".join(f"{label} ({size})" for label, size in list(small.items())[:10])
        raise DataError(f"each {of} needs at least {minimum} regions; too small: {listed}")
