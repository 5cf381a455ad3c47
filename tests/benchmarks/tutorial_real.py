"""The published tutorial on the 30 real scans, to its last epoch, and what communities it finds.

Protocol
--------
*Program*: the text's own blocks, rewritten in nothing but the modules of its imports, run with ``max_epoch = 0``;
then its last loop, statement for statement, with checkpoints so that it can be stopped and continued. The settings
are the published ones: 10 communities, resolution 5, 500 epochs. Seed 0 is the text's; for the others the one line
``key = jax.random.PRNGKey(0)`` names another seed. Seeds are 0 to 9, in this order; the table says how many were run.

*Rows*: ``whole`` is that program. ``short`` is the same with one more line changed, so that the correlations in the
term of the dynamics are not weighted by them (``corr_param = corr_unparam[:, None]``): an epoch then takes a small
part of the time, and the dynamics see their two regularisers only. It is another program, and stands for the first
only as far as the row ``agreement`` shows the two to end in the same communities, seed by seed.

*Measures*, after the last epoch: a region's community is its most probable one; how many communities hold at least 10
of the 400 parcels; agreement with Yeo's 7 and 17 networks (normalised mutual information with the arithmetic mean,
adjusted mutual information, adjusted Rand index, all of scikit-learn). The parcels stand in the order of the 17
networks; their Yeo-7 network is that of the parcel of the 7-network table with exactly the same centroid. Nothing is
chosen by these networks. Means over seeds come with the 95 % interval of Student's t, which covers the choice of the
seed and not that of the people.

*Beside it*: Louvain's method (leidenalg, best of 10 runs) on the mean over scans of Fisher's z of the same
correlations, turned back, at resolutions 1, 1.5, 2, 3 and 5, for positive weights and for both signs, all shown; and
the mean agreement of permuted labels, which ignores that neighbours are alike.

*To reach*: at least 8 of 10 communities with at least 10 parcels; mean agreement (NMI) with Yeo-7 of at least 0.58.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from _tutorial_text import code_blocks, rewritten, run_program, substituted, tutorial_path
from scipy import stats

from conn.data import fetch_msc, load_schaefer

COLUMNS = (
    "row",
    "n_seeds",
    "communities",
    "large_communities",
    "nmi_yeo7",
    "nmi_interval",
    "ami_yeo7",
    "ari_yeo7",
    "nmi_yeo17",
    "loss",
)
SEEDS = range(10)
EPOCHS, EVERY, LARGE = 500, 25, 10
RESOLUTIONS = (1.0, 1.5, 2.0, 3.0, 5.0)
FITS = Path(__file__).resolve().parents[2] / "build" / "tutorial"
SHORT = {
    "    corr_param = corr(time_series[:, None, ...], weight=dynamics)": "    corr_param = corr_unparam[:, None, ...]",
}

Result = dict[str, Any]


def yeo_networks() -> dict[int, list[str]]:
    """Return the Yeo-7 and Yeo-17 network of each of the 400 parcels, in the scans' order.

    Raises
    ------
    ValueError
        If a parcel of one table has no, or more than one, parcel of the other at its centroid.
    """
    seventeen, seven = load_schaefer(400, 17), load_schaefer(400, 7)
    places = ["x", "y", "z"]
    if seven.duplicated(places).any() or seventeen.duplicated(places).any():
        raise ValueError("two parcels have one centroid, so that centroids do not tell parcels apart")
    joined = seventeen.merge(seven, on=places, how="left", suffixes=("", "_of_seven"), validate="one_to_one")
    absent = joined["network_of_seven"].isna()
    if absent.any():
        raise ValueError(f"{absent.sum()} parcels of the 17-network table have no partner of the same centroid")
    if list(joined["label"]) != list(fetch_msc().region_labels):
        raise ValueError("the scans' regions are not those of the 17-network table, in its order")
    return {7: list(joined["network_of_seven"]), 17: list(joined["network"])}


def program(seed: int, *, short: bool) -> str:
    """Return the text as a program that defines and loads everything, and trains nothing yet."""
    path = tutorial_path()
    if path is None:
        raise FileNotFoundError("there is no reference/tutorial.rst beside the folder that CONN_DATA_DIR names")
    changes = {"max_epoch = 500": "max_epoch = 0"}
    if seed:
        changes["key = jax.random.PRNGKey(0)"] = f"key = jax.random.PRNGKey({seed})"
    whole = "\n".join(rewritten(block) for block in code_blocks(path.read_text(encoding="utf-8")))
    return substituted(whole, changes | (SHORT if short else {}))


def fit(seed: int, *, short: bool = False, epochs: int = EPOCHS) -> dict[str, np.ndarray]:
    """Return the labels, losses and seconds of a fit, which goes on where its last checkpoint stands."""
    folder = FITS / ("short" if short else "whole")
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / f"{seed}.npz"
    told = dict(np.load(record)) if record.is_file() else {}
    if len(told.get("losses", ())) >= epochs:
        return told
    with tempfile.TemporaryDirectory() as place:
        names = run_program(program(seed, short=short), Path(place))
    state = (names["model"], names["optim_state"])
    checkpoint = folder / f"{seed}.eqx"
    if told:
        state = eqx.tree_deserialise_leaves(checkpoint, state)
    model, optim_state = state
    losses, terms = list(told.get("losses", ())), list(told.get("terms", ()))
    seconds, processor = list(told.get("seconds", ())), list(told.get("processor_seconds", ()))
    labels = list(told.get("labels", ()))
    step = eqx.filter_jit(names["update"])
    for epoch in range(len(losses), epochs):
        begin, spent = time.perf_counter(), time.process_time()
        key_epoch = jax.random.fold_in(names["key_train"], epoch)
        model, optim_state, loss, meta = step(
            model, names["time_series"], names["loss_scheme"], names["optim"], optim_state, key=key_epoch
        )
        losses.append(float(loss))
        terms.append([float(meta[name].value) for name in sorted(meta)])
        seconds.append(time.perf_counter() - begin)
        processor.append(time.process_time() - spent)
        if (epoch + 1) % EVERY == 0 or epoch + 1 == epochs:
            labels.append(np.asarray(model.affiliation).argmax(-1))
            told = {
                "losses": np.array(losses),
                "terms": np.array(terms),
                "seconds": np.array(seconds),
                "processor_seconds": np.array(processor),
                "labels": np.array(labels),
                "affiliation": np.asarray(model.affiliation),
                "dynamics_mean": np.asarray(model.dynamics).mean(-1),
                "dynamics_spread": np.asarray(model.dynamics).std(-1),
            }
            _replace(checkpoint, lambda path, kept=(model, optim_state): eqx.tree_serialise_leaves(path, kept))
            _replace(record, lambda path, kept=told: np.savez(path, **kept))
            print(f"seed {seed}, {folder.name}: epoch {epoch + 1}, loss {losses[-1]:.4f}", flush=True)
    return told


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    partial_path = path.with_name(f"partial-{path.name}")
    write(partial_path)
    partial_path.replace(path)


def described(labels: np.ndarray) -> dict[str, float]:
    """Return the sizes of a partition and its agreement with Yeo's networks."""
    from conn.eval import partition_agreement

    networks = yeo_networks()
    seven, seventeen = (partition_agreement(labels.tolist(), networks[count]) for count in (7, 17))
    sizes = np.bincount(labels)
    return {
        "communities": int((sizes > 0).sum()),
        "large_communities": int((sizes >= LARGE).sum()),
        "nmi_yeo7": seven.normalized_mutual_information,
        "ami_yeo7": seven.adjusted_mutual_information,
        "ari_yeo7": seven.adjusted_rand_index,
        "nmi_yeo17": seventeen.normalized_mutual_information,
        "nmi_chance": seven.chance_normalized_mutual_information,
    }


def finished(*, short: bool) -> dict[int, dict[str, np.ndarray]]:
    """Return the fits that have reached the last epoch, by seed."""
    folder = FITS / ("short" if short else "whole")
    records = {seed: folder / f"{seed}.npz" for seed in SEEDS}
    told = {seed: dict(np.load(path)) for seed, path in records.items() if path.is_file()}
    return {seed: one for seed, one in told.items() if len(one["losses"]) >= EPOCHS}


def tutorial(repeats: int, *, short: bool) -> list[Result]:
    """Return one line a seed and their mean, of finished fits; this module, run as a script, makes them."""
    title = "tutorial, dynamics not in the correlations" if short else "tutorial, whole"
    lines = []
    for seed, told in finished(short=short).items():
        line = described(told["labels"][-1]) | {"loss": float(told["losses"][-1])}
        line["seconds_per_epoch"] = float(np.median(told["seconds"]))
        line["processor_seconds_per_epoch"] = float(np.median(told["processor_seconds"]))
        near = np.abs(told["losses"] - told["losses"][-1]) <= 0.01 * abs(told["losses"][-1])
        line["epochs_to_one_percent"] = int(len(near) - near[::-1].argmin()) if not near.all() else 0
        lines.append(_line(f"{title}, seed {seed}", line, 1))
    if len(lines) > 1:
        mean = {name: float(np.mean([line[name] for line in lines])) for name in lines[0] if name in _NUMBERS}
        values = [line["nmi_yeo7"] for line in lines]
        half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
        mean["nmi_interval"] = f"{mean['nmi_yeo7'] - half:.3f} to {mean['nmi_yeo7'] + half:.3f}"
        mean["least_large_communities"] = min(line["large_communities"] for line in lines)
        lines.append(_line(f"{title}, mean", mean, len(values)))
    return lines


_NUMBERS = ("communities", "large_communities", "nmi_yeo7", "ami_yeo7", "ari_yeo7", "nmi_yeo17", "nmi_chance", "loss")


def agreement(repeats: int) -> list[Result]:
    """Return how far the two programs end in the same communities, for each seed that both have finished."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    whole, short = finished(short=False), finished(short=True)
    return [
        _line(
            f"whole against short, seed {seed}",
            {
                "ari_between": float(adjusted_rand_score(whole[seed]["labels"][-1], short[seed]["labels"][-1])),
                "nmi_between": float(
                    normalized_mutual_info_score(whole[seed]["labels"][-1], short[seed]["labels"][-1])
                ),
                "parcels_apart": int((whole[seed]["labels"][-1] != short[seed]["labels"][-1]).sum()),
                "largest_affiliation_difference": float(
                    np.abs(whole[seed]["affiliation"] - short[seed]["affiliation"]).max()
                ),
            },
            1,
        )
        for seed in sorted(set(whole) & set(short))
    ]


def louvain(repeats: int) -> list[Result]:
    """Return what Louvain's method finds on the mean connectome."""
    from conn.functional import corr, detect_communities

    correlations = np.asarray(corr(fetch_msc().time_series), dtype=np.float64)
    mean = np.tanh(np.arctanh(np.where(np.eye(400, dtype=bool), 0.0, correlations)).mean(0)) + np.eye(400)
    lines = []
    for sign in ("+", "both"):
        for gamma in RESOLUTIONS:
            found = np.asarray(detect_communities(mean, method="louvain", gamma=gamma, sign=sign, n_runs=10).labels)
            lines.append(_line(f"Louvain, resolution {gamma:g}, sign {sign}", described(found), 1))
    return lines


def _line(row: str, values: dict[str, Any], n_seeds: int) -> Result:
    return {
        "row": row,
        "dtype": "float32",
        "peer": "",
        "cores": len(os.sched_getaffinity(0)),
        "n_seeds": n_seeds,
        **values,
    }


ROWS: dict[str, Callable[[int], list[Result]]] = {
    "whole": partial(tutorial, short=False),
    "short": partial(tutorial, short=True),
    "agreement": agreement,
    "louvain": louvain,
}


def rows(repeats: int = 1, names: list[str] | None = None) -> list[Result]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fit the tutorial, or go on fitting it; the benchmark then shows it.")
    parser.add_argument("--seeds", type=int, nargs="+", choices=SEEDS, default=[0])
    parser.add_argument("--short", action="store_true", help="leave the dynamics out of the correlations")
    settings = parser.parse_args()
    for number in settings.seeds:
        found = fit(number, short=settings.short)
        print(json.dumps({"seed": number} | described(found["labels"][-1])), flush=True)
