"""Heat pain: does a DRM trained on two runs predict the third better than linear models do?

The protocol, which was fixed before the first fit, and the results are in docs/drm/pain-task.md. The data are found
through the environment variable ``CONN_DATA_DIR``. The whole takes about six minutes of one core.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _pain_baselines import Paths, general_linear_model, ridge_paths, signal_share
from _pain_data import PAIN_PARCELS, RUNS, Study, load_study
from _pain_drm import Fits, Parameters, initial, train
from _pain_recovery import every_fit, network_numbers, recovery
from matplotlib.figure import Figure
from tqdm.auto import tqdm

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "benchmarks" / "drm_pain.json"
KEPT = ROOT / "build" / "drm-pain"
"""The scores of networks that were fitted; without them the networks are fitted again."""
PAGE = ROOT / "docs" / "drm" / "pain-task.md"
FIGURE = ROOT / "docs" / "_static" / "drm-pain-task.svg"
BEGIN, END = "<!-- {}, written by `hatch run bench drm-pain` -->", "<!-- end of {} -->"

EPOCHS, EVERY = 24, 4
LONGER = 40
"""Epochs of the network that was added after the result of the protocol."""
GROUPS = 6
"""Of people: the network of the others is trained on those of the other groups."""
AT_ONCE = 3
"""People that are fitted side by side."""
DRAWS, SEED = 10_000, 20140521

MEASURES = ("correlation", "explained variance")
PRIMARY = "DRM"
JUDGED_AGAINST = ("canonical GLM", "canonical GLM + derivatives", "FIR ridge", "average of the others")
"""The baselines of the primary question; its p-values are corrected over them."""
LEARNED_FROM = {
    "canonical GLM": "own runs",
    "canonical GLM + derivatives": "own runs",
    "FIR ridge": "own runs",
    "DRM without coupling": "own runs",
    "DRM": "own runs",
    "average of the others": "others",
    "DRM of the others": "others",
    "FIR ridge towards the others": "both",
    "DRM started from the others": "both",
    "DRM, trained longer": "own runs",
}
"""What each method learns from, in the order of the table; the last one is not the protocol's."""


NETWORKS = ("DRM started from the others", "DRM", "DRM without coupling", "DRM, trained longer")


@dataclass(frozen=True)
class Scores:
    """How well each setting of a method predicts.

    Parameters
    ----------
    single : array, shape (measure, setting, subject, trained on, predicted run, parcel)
    both : array, shape (measure, setting, subject, predicted run, parcel)
        Of the held-out run, from the two others.
    """

    single: np.ndarray
    both: np.ndarray


def score(paths: Paths, study: Study) -> Scores:
    """Return correlation and explained variance of a method's predictions.

    A prediction that is zero throughout has a correlation of zero.
    """
    single, both = paths
    return Scores(_measures(single, study.measured[:, None]), _measures(both, study.measured))


def _measures(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    product, power = (predicted * measured).sum(-2), (predicted**2).sum(-2)
    total = np.broadcast_to((measured**2).sum(-2), power.shape)
    size = np.sqrt(power * total)
    correlation = np.divide(product, size, out=np.zeros_like(size), where=size > 0)
    explained = np.divide(2 * product - power, total, out=np.zeros_like(size), where=total > 0)
    return np.stack([correlation, explained])


def held_out(scores: Scores, study: Study, parcels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each run's score, with the setting that is best from either training run to the other one.

    Returns
    -------
    array, shape (measure, subject, run, parcel)
        NaN for other parcels and where there is no signal.
    array of int, shape (measure, subject, run)
        The settings.
    """
    counted = np.where(study.good & parcels, 1.0, np.nan)
    n_people = len(study.subjects)
    found = np.empty((len(MEASURES), n_people, len(RUNS), len(parcels)))
    settings = np.empty(found.shape[:3], dtype=int)
    for one in range(n_people):
        for k in range(len(RUNS)):
            first, second = (run for run in range(len(RUNS)) if run != k)
            inner = scores.single[:, :, one, first, second] + scores.single[:, :, one, second, first]
            settings[:, one, k] = np.nanmean((inner * counted[one])[..., parcels], -1).argmax(1)
            for measure, setting in enumerate(settings[:, one, k]):
                found[measure, one, k] = scores.both[measure, setting, one, k] * counted[one]
    return found, settings


def fit_networks(study: Study, *, n_epochs: int, kept: Path | None) -> dict[str, Scores]:
    """Return the scores of all networks, of which the settings are numbers of epochs.

    Parameters
    ----------
    study : Study
    n_epochs : int
    kept : path or None
        Folder in which the scores of each network are kept once they are there, and looked for before.
    """
    scores: dict[str, Scores] = {}
    starts = None
    for name in NETWORKS:
        path = None if kept is None else kept / f"{name}.npz"
        if path is not None and path.is_file():
            with np.load(path) as file:
                scores[name] = Scores(file["single"], file["both"])
            continue
        if name == "DRM started from the others":
            starts = _of_the_others(study, n_epochs)
        length = n_epochs * LONGER // EPOCHS if name == "DRM, trained longer" else n_epochs
        scores[name] = _fit(study, name, starts if name == "DRM started from the others" else None, length)
        if path is not None:
            replace_file(path, partial(_save, scores[name]))
    started = scores["DRM started from the others"]
    scores["DRM of the others"] = Scores(started.single[:, :1], started.both[:, :1])
    return scores


def _save(scores: Scores, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, single=scores.single, both=scores.both)


def _fit(study: Study, name: str, starts: Parameters | None, n_epochs: int) -> Scores:
    """Return the scores of one network, with the parameters of each group of people to start from, or else afresh."""
    parts = []
    chunks = [
        range(first, min(first + AT_ONCE, len(study.subjects))) for first in range(0, len(study.subjects), AT_ONCE)
    ]
    with tqdm(total=len(chunks) * (n_epochs + 1), desc=name, unit="epoch") as bar:
        for people in chunks:
            some = study.take(people)
            fits = every_fit(some)
            groups = [one % GROUPS for one in people for _ in range(6)]
            start = initial(fits) if starts is None else starts.take(groups)
            coupled = name != "DRM without coupling"
            found, _ = train(fits, start, n_epochs=n_epochs, every=EVERY, coupled=coupled, on_epoch=bar.update)
            parts.append(score(_as_paths(found), some))
    return Scores(np.concatenate([one.single for one in parts], 2), np.concatenate([one.both for one in parts], 2))


def _of_the_others(study: Study, n_epochs: int) -> Parameters:
    """Return the parameters of one network for each group of people, trained on all runs of all other groups."""
    n_people, n_runs = len(study.subjects), len(RUNS)
    group = np.repeat(np.arange(n_people) % GROUPS, n_runs)
    everyone = study.measured.reshape(n_people * n_runs, *study.measured.shape[2:])
    good = np.repeat(study.good, n_runs, axis=0)
    fits = Fits(
        stimulus=study.stimulus.reshape(1, n_people * n_runs, *study.stimulus.shape[2:]),
        person=np.zeros(GROUPS, dtype=int),
        target=np.broadcast_to(everyone, (GROUPS, *everyone.shape)),
        trained_on=(group != np.arange(GROUPS)[:, None])[:, :, None] & good,
        basis=np.tile(study.basis, (n_people, 1, 1)),
        network=network_numbers(study),
    )
    # The rates are those for a sum over two runs.
    rate = 2 / max(n_runs * n_people * (1 - 1 / GROUPS), 2)
    with tqdm(total=n_epochs + 1, desc="DRM of the others", unit="epoch") as bar:
        return train(fits, initial(fits), n_epochs=n_epochs, every=n_epochs, rate=rate, on_epoch=bar.update)[1][-1]


def _as_paths(found: np.ndarray) -> Paths:
    """Return paths from what `train` gives for the fits of `every_fit`."""
    n_settings, n_fits = found.shape[:2]
    by_person = found.reshape(n_settings, n_fits // 6, 6, *found.shape[2:])
    both = np.stack([by_person[:, :, 3 + k, k] for k in range(3)], 2)
    return by_person[:, :, :3], both


def interval(values: np.ndarray) -> list[float]:
    """Return the 95 % bootstrap interval of the mean over people (percentiles)."""
    rng = np.random.default_rng(SEED)
    draws = values[rng.integers(len(values), size=(DRAWS, len(values)))].mean(1)
    return [float(x) for x in np.percentile(draws, [2.5, 97.5])]


def sign_flip(values: np.ndarray) -> float:
    """Return the two-sided p-value of a mean of zero over people, with signs drawn at random."""
    rng = np.random.default_rng(SEED)
    signs = rng.choice([-1.0, 1.0], size=(DRAWS, len(values)))
    # Equal means are equal, whatever rounding says.
    reached = np.abs((signs * values).mean(1)) >= np.abs(values.mean()) * (1 - 1e-12)
    return float((1 + reached.sum()) / (1 + DRAWS))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values corrected by Holm's method."""
    corrected, largest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda one: p_values[one])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = largest
    return corrected


def judge(study: Study, scores: Mapping[str, Scores]) -> dict[str, Any]:
    """Return all that the page shows: means, intervals and differences, for both sets of parcels and both measures."""
    sets = {"pain parcels": np.isin(study.labels, PAIN_PARCELS), "all parcels": np.ones(len(study.labels), dtype=bool)}
    share = signal_share(study)
    results: dict[str, Any] = {"subjects": list(study.subjects), "sets": {}}
    for label, parcels in sets.items():
        counted = np.where(study.good & parcels, 1.0, np.nan)[:, None]
        explainable = np.nanmean(share * counted, (1, 2))
        low, high = interval(explainable)
        entry: dict[str, Any] = {
            "n_parcels": int(parcels.sum()),
            "ceiling": {
                "explained variance": {"mean": float(explainable.mean()), "interval": [low, high]},
                "correlation": {
                    "mean": _root(explainable.mean()),
                    "interval": [_root(low), _root(high)],
                },
            },
            "methods": {},
        }
        if label == "pain parcels":
            entry["parcels"] = [name for name, one in zip(study.labels, parcels, strict=True) if one]
            entry["ceiling by parcel"] = [_root(x) for x in np.nanmean((share * counted)[..., parcels], (0, 1))]
        people: dict[str, np.ndarray] = {}
        for name in LEARNED_FROM:
            by_parcel, settings = held_out(scores[name], study, parcels)
            people[name] = np.nanmean(by_parcel[..., parcels], (2, 3))
            entry["methods"][name] = {
                measure: {
                    "mean": float(values.mean()),
                    "interval": interval(values),
                    "people": values.tolist(),
                    "settings": chosen.tolist(),
                }
                for measure, values, chosen in zip(MEASURES, people[name], settings, strict=True)
            }
            if label == "pain parcels":
                means = np.nanmean(by_parcel[0][..., parcels], (0, 1))
                entry["methods"][name]["correlation"]["parcels"] = means.tolist()
        for place, measure in enumerate(MEASURES):
            differences = {
                name: people[PRIMARY][place] - values[place] for name, values in people.items() if name != PRIMARY
            }
            p_values = {name: sign_flip(values) for name, values in differences.items()}
            corrected = holm({name: p_values[name] for name in JUDGED_AGAINST})
            for name, values in differences.items():
                entry["methods"][name][measure]["DRM minus this"] = {
                    "mean": float(values.mean()),
                    "interval": interval(values),
                    "better in": int((values > 0).sum()),
                    "p": p_values[name],
                    **({"p corrected": corrected[name]} if name in corrected else {}),
                }
        results["sets"][label] = entry
    return results


def _root(share: float) -> float:
    return float(np.sqrt(max(share, 0.0)))


def study_tables(results: dict[str, Any]) -> str:
    """Return the tables of the page: for each set of parcels, the means and what the DRM differs by."""
    parts = []
    for label, entry in results["sets"].items():
        means = [
            {
                "method": "**DRM**" if name == PRIMARY else name,
                "learns from": LEARNED_FROM[name],
                "correlation": _cell(one["correlation"]),
                "explained variance (%)": _cell(one["explained variance"], 100),
            }
            for name, one in entry["methods"].items()
        ]
        ceiling = entry["ceiling"]
        means.append(
            {
                "method": "signal that repeats (ceiling)",
                "learns from": "",
                "correlation": _cell(ceiling["correlation"]),
                "explained variance (%)": _cell(ceiling["explained variance"], 100),
            }
        )
        differences = [
            {"DRM minus": name} | _difference(one["correlation"], 1) | _difference(one["explained variance"], 100)
            for name, one in entry["methods"].items()
            if name != PRIMARY
        ]
        count = f"{entry['n_parcels']} parcels, {len(results['subjects'])} people"
        parts.append(f"### {label.capitalize()} ({count})\n\n{_markdown(means)}\n{_markdown(differences)}")
    return "\n".join(parts)


def _cell(one: dict[str, Any], scale: float = 1.0) -> str:
    digits = 3 if scale == 1.0 else 2
    low, high = (scale * x for x in one["interval"])
    return f"{scale * one['mean']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _difference(one: dict[str, Any], scale: float) -> dict[str, str]:
    entry = one["DRM minus this"]
    name, short = ("correlation", "r") if scale == 1 else ("explained variance (%)", "EV")
    cells = {
        name: _cell(entry, scale),
        f"higher in ({short})": str(entry["better in"]),
        f"p ({short})": f"{entry['p']:.4f}",
    }
    # Explained variance is reported for orientation.
    corrected = f"{entry['p corrected']:.4f}" if "p corrected" in entry else ""
    return cells | ({"p (r), corrected": corrected} if scale == 1 else {})


def _markdown(rows: list[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def draw(results: dict[str, Any]) -> Figure:
    """Return the figure of the page: every person, and every pain parcel."""
    entry = results["sets"]["pain parcels"]
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    colours = {"own runs": "#0072B2", "others": "#D55E00", "both": "#009E73"}
    rng = np.random.default_rng(SEED)
    names = list(LEARNED_FROM)
    for place, name in enumerate(names):
        one = entry["methods"][name]["correlation"]
        colour = colours[LEARNED_FROM[name]]
        shift = rng.uniform(-0.22, 0.22, len(one["people"]))
        left.scatter(one["people"], place + shift, s=9, color=colour, alpha=0.35, linewidths=0)
        low, high = one["interval"]
        left.errorbar(one["mean"], place, xerr=[[one["mean"] - low], [high - one["mean"]]], fmt="o", color=colour)
    for label, colour in colours.items():
        left.plot([], [], "o", color=colour, label=f"learned from {label}")
    ceiling = entry["ceiling"]["correlation"]
    left.axvspan(*ceiling["interval"], color="0.9", zorder=0, label="signal that repeats")
    left.axvline(ceiling["mean"], color="0.5", linewidth=1)
    left.axvline(0, color="black", linewidth=0.8)
    left.set(yticks=range(len(names)), yticklabels=names, xlabel="correlation with the held-out run")
    left.set_title("People (dots), mean and 95 % interval")
    left.invert_yaxis()
    left.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.13), ncols=2)
    order = np.argsort(entry["methods"]["DRM"]["correlation"]["parcels"])
    for name, marker, colour in (
        ("canonical GLM", "s", "#7f7f7f"),
        ("average of the others", "^", "#D55E00"),
        ("DRM", "o", "#0072B2"),
    ):
        values = np.array(entry["methods"][name]["correlation"]["parcels"])[order]
        right.plot(values, range(len(order)), marker, color=colour, label=name, markersize=5)
    right.plot(np.array(entry["ceiling by parcel"])[order], range(len(order)), "|", color="0.4", markersize=12)
    right.plot([], [], "|", color="0.4", markersize=12, label="signal that repeats")
    right.axvline(0, color="black", linewidth=0.8)
    right.set(yticks=range(len(order)), yticklabels=[entry["parcels"][one] for one in order])
    right.set(xlabel="mean correlation over people and runs", title="Pain parcels")
    right.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.45, -0.13), ncols=2)
    return figure


def main(arguments: list[str] | None = None) -> int:
    """Run the study, and write results, tables and figure."""
    parser = argparse.ArgumentParser(prog="bench drm-pain", description=__doc__)
    parser.add_argument("--subjects", nargs="+", metavar="NAME", help="people to take, such as sub-02 (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="three people and few epochs, to see that it runs; the page stays"
    )
    parser.add_argument("--only", choices=("study", "recovery"), help="one part (default: both)")
    settings = parser.parse_args(arguments)
    study = load_study()
    if settings.subjects:
        unknown = sorted(set(settings.subjects) - set(study.subjects))
        if unknown:
            parser.error(f"no person {unknown} with three runs; there are {list(study.subjects)}")
        study = study.take(study.subjects.index(name) for name in settings.subjects)
    if len(study.subjects) < 2:
        parser.error("the average of the others takes two people")
    if settings.quick:
        study = study.take(range(min(3, len(study.subjects))))
    whole = not settings.quick and not settings.subjects
    results: dict[str, Any] = {}
    if settings.only != "recovery":
        results["study"] = run_study(study, n_epochs=8 if settings.quick else EPOCHS, kept=KEPT if whole else None)
        tables = study_tables(results["study"])
        print(tables)
        if whole:
            replace_file(
                FIGURE, lambda path: draw(results["study"]).savefig(path, format="svg", metadata={"Date": None})
            )
            write_between("results", tables)
    if settings.only != "study":
        rows = recovery(study, n_people=4 if whole else 2, share=1.0 if whole else 0.2)
        results["recovery"] = rows
        print(_markdown(rows))
        if whole:
            write_between("recovery", _markdown(rows))
    if whole:
        before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
        results = before | results
        replace_file(RESULTS, lambda path: path.write_text(json.dumps(results, indent=2), encoding="utf-8"))
        print(f"written to {RESULTS} and {PAGE}")
    return 0


def run_study(study: Study, *, n_epochs: int, kept: Path | None) -> dict[str, Any]:
    """Return what came of all methods."""
    ridge = ridge_paths(study)
    scores = {
        "canonical GLM": score(general_linear_model(study, derivatives=False), study),
        "canonical GLM + derivatives": score(general_linear_model(study, derivatives=True), study),
        "FIR ridge": score(ridge["own"], study),
        "average of the others": score(ridge["others"], study),
        "FIR ridge towards the others": score(ridge["towards others"], study),
    }
    return judge(study, scores | fit_networks(study, n_epochs=n_epochs, kept=kept))


def write_between(name: str, text: str) -> None:
    """Write a text between the page's marks of that name; what stands around them stays."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = BEGIN.format(name), END.format(name)
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"{PAGE} must hold the marks {begin!r} and {end!r}, once and in this order")
    head, rest = page.split(begin)
    new = f"{head}{begin}\n\n{text}\n{end}{rest.split(end)[1]}"
    replace_file(PAGE, lambda path: path.write_text(new, encoding="utf-8"))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside the old one, and put it in its place when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    write(Path(name))
    Path(name).chmod(0o644)
    Path(name).replace(path)
