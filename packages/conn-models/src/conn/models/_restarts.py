"""What several restarts have in common: the same community under the same number, and how often regions agree."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["community_stability", "matched_affiliation"]


def matched_affiliation(affiliation: NDArray[np.floating], reference: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return which column of an affiliation is each of the reference's, by the largest shared weight (Hungarian).

    References
    ----------
    Kuhn (1955). doi:10.1002/nav.3800020109
    """
    _, columns = linear_sum_assignment(reference.T @ affiliation, maximize=True)
    return columns


def community_stability(labels: NDArray[np.integer], best: int, n_communities: int) -> NDArray[np.floating]:
    """Return each community's mean Jaccard index with its counterparts, shape (community,).

    `labels` (restart, region) are matched already. NaN with one restart, or for a community that is empty everywhere.
    """
    found = np.full(n_communities, np.nan)
    others = np.delete(labels, best, axis=0)
    for community in range(n_communities):
        mine, theirs = labels[best] == community, others == community
        either = (mine | theirs).sum(-1)
        if either.any():
            found[community] = ((mine & theirs).sum(-1)[either > 0] / either[either > 0]).mean()
    return found
