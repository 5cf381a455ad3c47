"""How hard the planted communities are: Louvain's adjusted Rand index on the mean connectome, by signal-to-noise ratio.

The settings that the community model is judged at are those with an index between 0.6 and 0.8, over 20 seeds with 100
regions and 6 with 400.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import networkx
import numpy as np
from sklearn.metrics import adjusted_rand_score

from conn.data.simulators import simulate_communities

COLUMNS = ("row", "snr", "mean_index", "lowest", "highest", "within")
RATIOS = {100: (0.06, 0.07, 0.08, 0.09), 400: (0.036, 0.042, 0.045, 0.05)}
SEEDS = {100: 20, 400: 6}


def louvain_index(n_regions: int, mean_dwell: float, snr: float, seed: int) -> float:
    """Return the adjusted Rand index of Louvain's communities with the planted ones."""
    made = simulate_communities(n_regions=n_regions, mean_dwell=mean_dwell, snr=snr, rng=seed)
    weights = np.mean([np.corrcoef(scan) for scan in made.time_series], axis=0).clip(0)
    np.fill_diagonal(weights, 0)
    found = np.empty(n_regions, dtype=int)
    for number, part in enumerate(
        networkx.community.louvain_communities(networkx.from_numpy_array(weights), seed=seed)
    ):
        found[list(part)] = number
    return float(adjusted_rand_score(made.communities, found))


def setting(repeats: int, *, n_regions: int, mean_dwell: float) -> list[dict[str, Any]]:
    """Return the index of one size and dwell at several ratios; the seeds are fixed, whatever the repeats."""
    results = []
    for snr in RATIOS[n_regions]:
        found = [louvain_index(n_regions, mean_dwell, snr, seed) for seed in range(SEEDS[n_regions])]
        results.append(
            {
                "row": f"{n_regions} regions, dwell {mean_dwell:g}, snr {snr:g}",
                "dtype": "float32",
                "peer": "Louvain",
                "cores": len(os.sched_getaffinity(0)),
                "snr": snr,
                "mean_index": float(np.mean(found)),
                "lowest": min(found),
                "highest": max(found),
                "within": 0.6 <= float(np.mean(found)) <= 0.8,
            }
        )
    return results


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    f"{n_regions}-{dwell}": partial(setting, n_regions=n_regions, mean_dwell=float(dwell))
    for n_regions in (100, 400)
    for dwell in (20, 60)
}


def rows(repeats: int = 1, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]
