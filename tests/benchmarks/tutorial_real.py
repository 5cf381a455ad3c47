"""The published tutorial on the 30 real scans, to its last epoch, and what communities it finds.

Protocol
--------
*Program*: the text's own blocks, rewritten in nothing but the modules of its imports, run with ``max_epoch = 0``;
then its last loop, statement for statement, with checkpoints so that it can be stopped and continued. The settings
are the published ones: 10 communities, resolution 5, 500 epochs. Seed 0 is the text's; for the others the one line
``key = jax.random.PRNGKey(0)`` names another seed. Seeds are 0 to 9, in this order; the table says how many were run.

*Rows*: ``whole`` is that program. ``short`` is the same objective with one change: the correlations in the term of
the dynamics are not weighted by them. Affiliations and dynamics then have nothing to do with each other, the
objective in the affiliations depends on the mean over scans of their modularity matrices alone, and 500 epochs take
seconds: text for everything that is set up, its initial values, its strengths, its optimiser. It is another program,
and stands for the first only as far as ``agreement`` shows the two to take the same way: labels and affiliations of
both at every 25th epoch that both have, seed by seed. ``short-original`` is ``short`` with one more difference from
ours that the original has beside its sign: pairs of a region with itself are left out of the modularity. It is shown
for comparison, and nothing is chosen by it.

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
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
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
    "ari_between",
    "parcels_apart",
    "largest_affiliation_difference",
)
SEEDS = range(10)
EPOCHS, EVERY, LARGE = 500, 25, 10
RESOLUTIONS = (1.0, 1.5, 2.0, 3.0, 5.0)
FITS = Path(__file__).resolve().parents[2] / "build" / "tutorial"

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


def set_up(seed: int) -> dict[str, Any]:
    """Return the names that the text leaves behind when it has defined and loaded everything, and trained nothing."""
    path = tutorial_path()
    if path is None:
        raise FileNotFoundError("there is no reference/tutorial.rst beside the folder that CONN_DATA_DIR names")
    changes = {"max_epoch = 500": "max_epoch = 0"}
    if seed:
        changes["key = jax.random.PRNGKey(0)"] = f"key = jax.random.PRNGKey({seed})"
    whole = "\n".join(rewritten(block) for block in code_blocks(path.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        return run_program(substituted(whole, changes), Path(folder))


def fit_whole(seed: int) -> dict[str, np.ndarray]:
    """Return the course of a fit, which goes on where its last checkpoint stands."""
    record = _record("whole", seed)
    told = dict(np.load(record)) if record.is_file() else {}
    done = len(told.get("losses", ()))
    if done >= EPOCHS:
        return told
    names = set_up(seed)
    model, optim_state = names["model"], names["optim_state"]
    checkpoint = record.with_suffix(".eqx")
    if told:
        model, optim_state = eqx.tree_deserialise_leaves(checkpoint, (model, optim_state))
    course = {name: list(told.get(name, ())) for name in ("losses", "terms", "seconds", "processor_seconds")}
    affiliations = list(told.get("affiliations", ()))
    step = eqx.filter_jit(names["update"])
    for epoch in range(done, EPOCHS):
        begin, spent = time.perf_counter(), time.process_time()
        key_epoch = jax.random.fold_in(names["key_train"], epoch)
        model, optim_state, loss, meta = step(
            model, names["time_series"], names["loss_scheme"], names["optim"], optim_state, key=key_epoch
        )
        course["losses"].append(float(loss))
        course["terms"].append([float(meta[name].value) for name in sorted(meta)])
        course["seconds"].append(time.perf_counter() - begin)
        course["processor_seconds"].append(time.process_time() - spent)
        if (epoch + 1) % EVERY == 0:
            affiliations.append(np.asarray(model.affiliation))
            dynamics = np.asarray(model.dynamics)
            told = {name: np.array(values) for name, values in course.items()}
            told |= {"affiliations": np.array(affiliations), "dynamics": dynamics}
            _replace(checkpoint, lambda path, kept=(model, optim_state): eqx.tree_serialise_leaves(path, kept))
            _replace(record, lambda path, kept=told: np.savez(path, **kept))
            print(f"seed {seed}: epoch {epoch + 1}, loss {course['losses'][-1]:.4f}", flush=True)
    return told


def fit_short(seed: int, *, diagonal: bool = True) -> dict[str, np.ndarray]:
    """Return the course of a fit in which the correlations are not weighted by the dynamics."""
    losses, affiliations = unweighted(set_up(seed), EPOCHS, diagonal=diagonal)
    told = {"losses": losses, "affiliations": affiliations}
    _replace(_record("short" if diagonal else "short-original", seed), lambda path: np.savez(path, **told))
    return told


def unweighted(names: dict[str, Any], n_epochs: int, *, diagonal: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the objective at every epoch and the affiliations after every 25th, with unweighted correlations.

    Without the diagonal, pairs of a region with itself are left out of the modularity, as the original does.
    """
    from conn.functional import corr, modularity_matrix

    matrix = modularity_matrix(corr(names["time_series"]), gamma=names["gamma"], normalise_modularity=True).mean(0)
    apart = jnp.where(jnp.eye(len(matrix), dtype=bool), 0.0, matrix)
    parameter, optim = names["model"].affiliation, names["optim"]

    def objective(parameter: Any) -> jax.Array:
        communities = jnp.asarray(parameter)
        modularity = (communities * ((matrix if diagonal else apart) @ communities)).sum()
        cohesion = (communities * (apart @ communities)).sum() / names["n_communities"]
        return -names["modularity_nu"] * modularity - names["dynamic_community_nu"] * cohesion

    @eqx.filter_jit
    def epochs(parameter: Any, state: Any) -> Any:
        free, held = eqx.partition(parameter, eqx.is_inexact_array)

        def step(carried: Any, _: None) -> Any:
            free, state = carried
            loss, gradient = jax.value_and_grad(lambda free: objective(eqx.combine(free, held)))(free)
            updates, state = optim.update(gradient, state, free)
            return (eqx.apply_updates(free, updates), state), loss

        (free, state), losses = jax.lax.scan(step, (free, state), length=EVERY)
        return eqx.combine(free, held), state, losses

    state = optim.init(eqx.filter(parameter, eqx.is_inexact_array))
    losses, affiliations = [], []
    for _ in range(n_epochs // EVERY):
        parameter, state, found = epochs(parameter, state)
        losses += np.asarray(found).tolist()
        affiliations.append(np.asarray(parameter))
    return np.array(losses), np.array(affiliations)


def _record(name: str, seed: int) -> Path:
    folder = FITS / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{seed}.npz"


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


def courses(name: str) -> dict[int, dict[str, np.ndarray]]:
    """Return the courses of the fits that there are, finished or not, by seed."""
    records = {seed: _record(name, seed) for seed in SEEDS}
    return {seed: dict(np.load(path)) for seed, path in records.items() if path.is_file()}


def epochs_to_one_percent(losses: np.ndarray) -> int:
    """Return after how many epochs the objective stays within 1 % of its last value."""
    return int(np.flatnonzero(np.abs(losses - losses[-1]) > 0.01 * abs(losses[-1])).max(initial=-1)) + 1


def whole(repeats: int) -> list[Result]:
    """Return one line a seed, and their mean, of fits that this module made, run as a script; each says its epochs."""
    return _fits("tutorial, whole", courses("whole"))


def short(repeats: int) -> list[Result]:
    """Return one line a seed, and their mean."""
    return _fits("tutorial, unweighted", {seed: fit_short(seed) for seed in SEEDS})


def short_original(repeats: int) -> list[Result]:
    """Return the same without pairs of a region with itself, one line a seed, and their mean."""
    found = {seed: fit_short(seed, diagonal=False) for seed in SEEDS}
    return _fits("tutorial, unweighted, without the diagonal", found)


def _fits(title: str, found: dict[int, dict[str, np.ndarray]]) -> list[Result]:
    lines = []
    for seed, told in found.items():
        losses = told["losses"]
        line = described(told["affiliations"][-1].argmax(-1)) | {"loss": float(losses[-1])}
        line["epochs_to_one_percent"] = epochs_to_one_percent(losses)
        if "seconds" in told:
            line["seconds_per_epoch"] = float(np.median(told["seconds"]))
            line["processor_seconds_per_epoch"] = float(np.median(told["processor_seconds"]))
        lines.append(_line(f"{title}, seed {seed}, {len(losses)} epochs", line, 1))
    complete = [line for line, told in zip(lines, found.values(), strict=True) if len(told["losses"]) == EPOCHS]
    if len(complete) > 1:
        mean: dict[str, Any] = {name: float(np.mean([line[name] for line in complete])) for name in _NUMBERS}
        values = [line["nmi_yeo7"] for line in complete]
        half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
        mean["nmi_interval"] = f"{mean['nmi_yeo7'] - half:.3f} to {mean['nmi_yeo7'] + half:.3f}"
        mean["least_large_communities"] = min(line["large_communities"] for line in complete)
        lines.append(_line(f"{title}, mean", mean, len(values)))
    return lines


_NUMBERS = ("communities", "large_communities", "nmi_yeo7", "ami_yeo7", "ari_yeo7", "nmi_yeo17", "nmi_chance", "loss")


def agreement(repeats: int) -> list[Result]:
    """Return how far the two programs take the same way, at every checkpoint that both have."""
    from sklearn.metrics import adjusted_rand_score

    ways, others = courses("whole"), courses("short")
    lines = []
    for seed in sorted(set(ways) & set(others)):
        pairs = zip(ways[seed]["affiliations"], others[seed]["affiliations"], strict=False)
        for number, (one, other) in enumerate(pairs, start=1):
            values = {
                "ari_between": float(adjusted_rand_score(one.argmax(-1), other.argmax(-1))),
                "parcels_apart": int((one.argmax(-1) != other.argmax(-1)).sum()),
                "largest_affiliation_difference": float(np.abs(one - other).max()),
            }
            lines.append(_line(f"whole against unweighted, seed {seed}, epoch {number * EVERY}", values, 1))
    return lines


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
    "whole": whole,
    "short": short,
    "short-original": short_original,
    "agreement": agreement,
    "louvain": louvain,
}


def rows(repeats: int = 1, names: list[str] | None = None) -> list[Result]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fit the tutorial whole, or go on; the benchmark then shows it.")
    parser.add_argument("--seeds", type=int, nargs="+", choices=SEEDS, default=[0])
    for number in parser.parse_args().seeds:
        print(json.dumps({"seed": number} | described(fit_whole(number)["affiliations"][-1].argmax(-1))), flush=True)
