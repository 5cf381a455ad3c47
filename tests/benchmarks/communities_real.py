"""Communities of the 30 resting scans of the Midnight Scan Club, against Yeo's networks and Louvain's communities.

The protocol stands in docs/models/communities.md. Agreement with Yeo's networks judges, and chooses nothing.
"""

import os
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

from conn.data import fetch_msc, load_schaefer
from conn.functional import detect_communities
from conn.models import DynamicCommunityModel

COLUMNS = ("row", "n_communities", "nmi_7", "ami_7", "ari_7", "nmi_17", "ami_17", "ari_17", "restart_nmi", "seconds")
RESOLUTIONS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0)
OBJECTIVES = ("likelihood", "constant_potts", "correlation")
SEEDS = range(5)
N_RESTARTS = 3


def yeo_networks() -> dict[int, np.ndarray]:
    """Return both divisions of the parcels, in the order of the 17 networks: those of 7 by the exact centroid."""
    places = ["x", "y", "z"]
    seventeen = load_schaefer(400, 17, offline=True)
    joined = seventeen[places].merge(load_schaefer(400, 7, offline=True), on=places, how="left", validate="one_to_one")
    if joined["network"].isna().any():
        raise ValueError("a parcel of the 17-network order has no counterpart at its place in the 7-network order")
    return {7: joined["network"].to_numpy(str), 17: seventeen["network"].to_numpy(str)}


def agreement(all_labels: list[np.ndarray]) -> dict[str, float]:
    """Return the measures, averaged over partitions, and the mean NMI between any two of these."""
    found: dict[str, float] = {"n_communities": float(np.mean([len(set(labels)) for labels in all_labels]))}
    for number, networks in yeo_networks().items():
        for name, measure in (
            ("nmi", normalized_mutual_info_score),
            ("ami", adjusted_mutual_info_score),
            ("ari", adjusted_rand_score),
        ):
            values = [measure(networks, labels) for labels in all_labels]
            found[f"{name}_{number}"] = float(np.mean(values))
            found[f"{name}_{number}_half_interval"] = float(1.96 * np.std(values) / np.sqrt(max(len(values) - 1, 1)))
    pairs = [normalized_mutual_info_score(first, second) for first, second in combinations(all_labels, 2)]
    found["restart_nmi"] = float(np.mean(pairs)) if pairs else float("nan")
    return found


def _result(row: str, labels: list[np.ndarray], **more: float) -> dict[str, Any]:
    result = {
        "row": row,
        "dtype": "float32",
        "peer": "Yeo's networks",
        "cores": len(os.sched_getaffinity(0)),
        **agreement(labels),
        **more,
    }
    print({name: round(value, 3) if isinstance(value, float) else value for name, value in result.items()}, flush=True)
    return result


def _model(objective: str, n_communities: int, seed: int) -> DynamicCommunityModel:
    return DynamicCommunityModel(n_communities, objective=objective, n_restarts=N_RESTARTS, seed=seed, progress=False)


def _ours(n_communities: int) -> list[dict[str, Any]]:
    scans = fetch_msc(progress=False, offline=True).time_series
    results = []
    for objective in OBJECTIVES:
        models = [_model(objective, n_communities, seed).fit(scans) for seed in SEEDS]
        seconds = float(np.median([model.seconds_per_epoch_ for model in models]))
        labels = [model.labels_ for model in models]
        results.append(_result(f"{objective}, {n_communities} communities", labels, seconds=seconds))
    return results


def ten(repeats: int) -> list[dict[str, Any]]:
    """Return ours with the number of communities of the published example."""
    return _ours(10)


def seven(repeats: int) -> list[dict[str, Any]]:
    """Return ours with as many communities as Yeo's coarser division."""
    return _ours(7)


def louvain(repeats: int) -> list[dict[str, Any]]:
    """Return signed Louvain at all resolutions."""
    scans = fetch_msc(progress=False, offline=True).time_series
    mean = np.mean([np.corrcoef(scan) for scan in scans], axis=0)
    return [
        _result(
            f"signed Louvain, gamma {gamma:g}",
            list(detect_communities(mean, method="louvain", gamma=gamma, sign="both", n_runs=len(SEEDS)).run_labels),
        )
        for gamma in RESOLUTIONS
    ]


def session(repeats: int) -> list[dict[str, Any]]:
    """Return how communities of two sessions agree with those of the third, kept out, and both with Yeo's."""
    data = fetch_msc(progress=False, offline=True)
    third = data.table["session"].to_numpy() == sorted(set(data.table["session"]))[-1]
    results = []
    for objective in OBJECTIVES[:2]:
        fitted = _model(objective, 10, 0).fit(data.time_series[~third])
        alone = _model(objective, 10, 0).fit(data.time_series[third])
        across = float(normalized_mutual_info_score(fitted.labels_, alone.labels_))
        kept_out = fitted.score(data.time_series[third])
        results.append(_result(f"{objective}, sessions 1 and 2", [fitted.labels_], nmi_across=across, score=kept_out))
        results.append(_result(f"{objective}, session 3 alone", [alone.labels_], nmi_across=across))
    return results


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "louvain": louvain,
    "ten": ten,
    "session": session,
    "seven": seven,
}


def rows(repeats: int = 1, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]
