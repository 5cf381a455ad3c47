"""Communities of the 30 resting scans of the Midnight Scan Club, against Yeo's networks and Louvain's communities.

The protocol stands in docs/models/communities.md. Agreement with Yeo's networks judges, and chooses nothing.
"""

import os
from collections.abc import Callable, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

from conn.data import fetch_msc, load_schaefer
from conn.functional import constant_potts_null, detect_communities
from conn.models import DynamicCommunityModel, choose_resolution

COLUMNS = ("row", "n_communities", "nmi_7", "ami_7", "ari_7", "nmi_17", "ami_17", "ari_17", "restart_nmi", "seconds")
RESOLUTIONS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0)
FINE_RESOLUTIONS = tuple(np.arange(10, 31) / 10)
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


def _ours(n_communities: int, objectives: Sequence[str] = OBJECTIVES) -> list[dict[str, Any]]:
    scans = fetch_msc(progress=False, offline=True).time_series
    results = []
    for objective in objectives:
        models = [_model(objective, n_communities, seed).fit(scans) for seed in SEEDS]
        seconds = float(np.median([model.seconds_per_epoch_ for model in models]))
        labels = [model.labels_ for model in models]
        results.append(_result(f"{objective}, {n_communities} communities", labels, seconds=seconds))
    return results


def ten(repeats: int) -> list[dict[str, Any]]:
    """Return ours with the number of communities of the published example."""
    return _ours(10)


def likelihood(repeats: int) -> list[dict[str, Any]]:
    """Return the same by the default objective alone."""
    return _ours(10, ["likelihood"])


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


def _refined(n_communities: int, seed: int, resolution: float | None) -> DynamicCommunityModel:
    return DynamicCommunityModel(
        n_communities,
        objective="constant_potts",
        resolution=resolution,
        refine=True,
        n_restarts=N_RESTARTS,
        seed=seed,
        progress=False,
    )


def _chosen(scans: np.ndarray, n_communities: int, half: np.ndarray | None = None) -> float:
    chosen = choose_resolution(scans, n_communities, half=half, refine=True, progress=False)
    for resolution, agreed, found in zip(chosen.candidates, chosen.agreement, chosen.n_found, strict=True):
        print(f"resolution {resolution:.4f}: AMI of the halves {agreed:.3f}, {found:.1f} communities", flush=True)
    print(f"chosen: {chosen.resolution:.4f}", flush=True)
    return chosen.resolution


def refined(repeats: int, n_communities: int = 10) -> list[dict[str, Any]]:
    """Return refined constant Potts at the chosen and the default resolution, and Leiden and Louvain beside it."""
    scans = fetch_msc(progress=False, offline=True).time_series
    mean = np.mean([np.corrcoef(scan) for scan in scans], axis=0)
    results = []
    for name, resolution in (("chosen", _chosen(scans, n_communities)), ("default", None)):
        models = [_refined(n_communities, seed, resolution).fit(scans) for seed in SEEDS]
        row = f"refined, {n_communities} communities, {name} resolution {models[0].resolution_:.4f}"
        # The first search of every seed has the same start.
        single = [*models[0].restart_labels_, *(labels for model in models[1:] for labels in model.restart_labels_[1:])]
        searches = agreement(single)["restart_nmi"]
        labels = [model.labels_ for model in models]
        seconds = float(np.median([model.seconds_per_epoch_ for model in models]))
        results.append(_result(row, labels, seconds=seconds, nmi_of_single_searches=searches))
        free = detect_communities(
            mean, gamma=models[0].resolution_, null=constant_potts_null, sign=None, n_runs=len(SEEDS)
        )
        results.append(
            _result(f"Leiden, constant Potts, resolution {models[0].resolution_:.4f}", list(free.run_labels))
        )
        results.append(_as_many(mean, float(np.mean([len(set(one)) for one in labels]))))
    return results


def refined_seven(repeats: int) -> list[dict[str, Any]]:
    """Return the same with as many communities as Yeo's coarser division."""
    return refined(repeats, 7)


def _as_many(mean: np.ndarray, n_communities: float) -> dict[str, Any]:
    """Return signed Louvain at the resolution whose number of communities is nearest."""
    found = {
        gamma: list(detect_communities(mean, method="louvain", gamma=gamma, sign="both", n_runs=len(SEEDS)).run_labels)
        for gamma in FINE_RESOLUTIONS
    }
    far = {gamma: abs(np.mean([len(set(one)) for one in labels]) - n_communities) for gamma, labels in found.items()}
    nearest = min(far, key=lambda gamma: far[gamma])
    return _result(f"signed Louvain, as many communities, gamma {nearest:g}", found[nearest])


def refined_session(repeats: int) -> list[dict[str, Any]]:
    """Return refined communities of two sessions and of the third, at the resolution that the two agree at."""
    data = fetch_msc(progress=False, offline=True)
    sessions = data.table["session"].to_numpy()
    third = sessions == sorted(set(sessions))[-1]
    two, one = data.time_series[~third], data.time_series[third]
    chosen = _chosen(two, 10, sessions[~third] == sorted(set(sessions))[0])
    results = []
    for name, resolution in (("chosen", chosen), ("default", None)):
        fitted = [_refined(10, seed, resolution).fit(two).labels_ for seed in SEEDS]
        alone = [_refined(10, seed, resolution).fit(one).labels_ for seed in SEEDS]
        across = float(np.mean([normalized_mutual_info_score(*pair) for pair in product(fitted, alone)]))
        results.append(_result(f"refined, {name} resolution, sessions 1 and 2", fitted, nmi_across=across))
        results.append(_result(f"refined, {name} resolution, session 3 alone", alone, nmi_across=across))
    return results


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "louvain": louvain,
    "ten": ten,
    "likelihood": likelihood,
    "session": session,
    "seven": seven,
    "refined": refined,
    "refined_session": refined_session,
    "refined_seven": refined_seven,
}


def rows(repeats: int = 1, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]
