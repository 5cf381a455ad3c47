"""Communities improved as a hard partition: chains of moves of single regions, and merges of whole communities."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["partition_value", "refined_labels"]

_LEAST_GAIN = 1e-9
"""What a change has to gain, as a share of the sum of all absolute entries: above rounding, below any use."""


def partition_value(modularity: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the sum of a modularity matrix within communities."""
    return float(modularity[labels[:, None] == labels[None, :]].sum(dtype=float))


def refined_labels(
    modularity: NDArray[np.floating], labels: NDArray[np.integer], n_communities: int
) -> NDArray[np.intp]:
    """Return a partition whose sum within communities is no lower than that of the one given.

    A chain moves every region once, the one that gains most (or loses least) first, and is cut where the sum was
    highest; so a loss on the way may lead to a gain. Where no chain gains any more, two communities are merged, which
    leaves one empty to be filled by chains, and the merger is kept if the sum is higher in the end. No random numbers.

    Parameters
    ----------
    modularity : array, shape (region, region)
        Symmetric, with either sign.
    labels : array of int, shape (region,)
        From 0 to `n_communities` - 1.
    n_communities : int
        Some may be empty, before and after.

    References
    ----------
    Kernighan & Lin (1970), An efficient heuristic procedure for partitioning graphs.
    doi:10.1002/j.1538-7305.1970.tb01770.x
    Newman (2006), Modularity and community structure in networks. doi:10.1073/pnas.0601602103
    """
    pairs = np.array(modularity, float)
    pairs = (pairs + pairs.T) / 2  # what rounding made of it would let chains gain for ever
    np.fill_diagonal(pairs, 0.0)  # a region is always with itself
    least = _LEAST_GAIN * np.abs(pairs).sum()
    found, value = _moved(pairs, np.array(labels, np.intp), n_communities, least)
    improved = True
    while improved:
        improved = False
        for first, second in _mergers(pairs, found, n_communities):
            merged = np.where(found == second, first, found)
            merged, merged_value = _moved(pairs, merged, n_communities, least)
            if merged_value > value + least:
                found, value, improved = merged, merged_value, True
                break
    return found


def _moved(
    pairs: NDArray[np.floating], labels: NDArray[np.intp], n_communities: int, least: float
) -> tuple[NDArray[np.intp], float]:
    """Return what chains of moves lead to, until none gains, and its sum within communities."""
    value = partition_value(pairs, labels)
    while True:
        further = _chain(pairs, labels, n_communities)
        further_value = partition_value(pairs, further)
        if further_value <= value + least:
            return labels, value
        labels, value = further, further_value


def _chain(pairs: NDArray[np.floating], labels: NDArray[np.intp], n_communities: int) -> NDArray[np.intp]:
    """Return the best partition along one chain."""
    n_regions = len(labels)
    current, best = labels.copy(), labels.copy()
    # Each community with each region, and minus infinity with a region that has been moved: it stays.
    ties = np.eye(n_communities)[current].T @ pairs
    own = ties[current, np.arange(n_regions)]
    total = highest = 0.0
    for _ in range(n_regions):
        gains = ties - own
        gains[current, np.arange(n_regions)] = -np.inf
        community, region = divmod(int(gains.argmax()), n_regions)
        total += gains[community, region]
        left = current[region]
        ties[left] -= pairs[region]
        ties[community] += pairs[region]
        own -= np.where(current == left, pairs[region], 0.0)
        own += np.where(current == community, pairs[region], 0.0)
        current[region] = community
        ties[:, region] = -np.inf
        own[region] = 0.0
        if total > highest:
            highest, best = total, current.copy()
    return best


def _mergers(pairs: NDArray[np.floating], labels: NDArray[np.intp], n_communities: int) -> list[tuple[int, int]]:
    """Return all pairs of communities that are not empty, those first whose merger loses least."""
    member = np.eye(n_communities)[labels]
    between = member.T @ pairs @ member
    first, second = np.triu_indices(n_communities, 1)
    sizes = member.sum(0)
    held = (sizes[first] > 0) & (sizes[second] > 0)
    first, second = first[held], second[held]
    order = np.argsort(-between[first, second], kind="stable")
    return list(zip(first[order].tolist(), second[order].tolist(), strict=True))
