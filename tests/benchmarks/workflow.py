r"""A workflow whose choices are learned, against the best single pipeline, 36 parameters, and nothing at all.

**Protocol.** It was committed before the first number; nothing is tuned on what it is judged on.

*What is compared*, each on people that nothing was chosen on:

- ``none``: no filter, no confounds, no censoring, full correlation;
- ``36P``: band-pass 0.008-0.1 Hz, all 36 parameters, no censoring, full correlation (on real data, where there are
  none: the global signal, its derivative and their squares);
- ``36P + censoring``: the same, and frames that moved more than 0.25 mm left out;
- ``search``: the single pipeline with the lowest objective among all (exhaustive);
- ``workflow``: `conn.models.Workflow`, 60 epochs, learning rate 0.2, hardening 0.1: its mixture;
- ``hardened``: of the same fit the pipeline of greatest weights alone.

*Objective*, one for search and workflow: QC-FC as the mean over edges of what exceeds the correlation significant at
0.1, plus 0.1 times the identification loss (temperature 0.1) of two sessions. QC-FC is that of the mean of both
sessions.

*Measures* on the people kept apart: the median absolute QC-FC (`conn.eval.qc_fc`), the absolute rank correlation of
QC-FC with distance, and the share of people identified by the correlation of edges, both ways (`fingerprint`). On
planted data also the recovery: over people and edges, the correlation of the connectomes with the planted ones
(Fisher's z of the planted correlation), both without their group mean; the planted truth is never seen by a choice.

*Planted* (``planted``): five cohorts, seeds 0 to 4. 50 people with two sessions, 20 regions within 70 mm, 150 frames
of 2 s: planted covariances (`simulate_population`, reliability 0.8, spread 0.25) in series below 0.1 Hz, white noise
and a slow drift (standard deviations 0.5 and 0.5), two physiological signals with random loadings of 0.3, and the
artefacts of `add_motion` with couplings 3, 1.5 and 3. People differ in how much they move by factors from 0.4 to 2.
Realignment parameters are six walks whose displacement is exactly the motion planted; two tissue signals and 40 noise
voxels hold the common artefact and the physiological signals, but not the brain. 20 people are chosen on, 30 judged.
Numbers are means over cohorts with 95 % intervals of Student's t; differences from ``search`` are taken cohort by
cohort. The generator was set on seed 100, so that QC-FC without cleaning is far above chance and people can be
identified.

*Real* (``real``): resting scans of rpn-pain-rest, 35 people in Bochum and 37 in Essen, 122 regions, which are band-
passed and denoised already (CompCor, 24 motion parameters): what is left to choose is less, and the best may be
nothing. Each run is cut into halves, which stand for sessions. Regions that are constant in anyone are left out, and,
to keep the time within minutes, of the others every second one is kept. Groups of confounds: the trace of
displacement and the one before it ("motion"), their squares; the global signal (mean over regions) with derivative
and squares; five components of the tenth of regions whose variance is greatest (as tCompCor). Each centre is chosen
on and the other judged, and back. Intervals are of the jackknife over the people judged (1.96 standard errors), of
the measure and of its paired difference from ``search``; identification has Wilson's interval. (First there were 500
bootstraps. They have people twice, which makes absolute correlations larger: most intervals lay above their value.
That was seen in the first table, and is all that was changed after it.)

Misses are printed as they come.
"""

import time
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal
from scipy import stats

from conn.data import load_rpn_pain_rest
from conn.data.simulators import add_motion, motion_traces, simulate_population
from conn.eval import fingerprint, qc_fc, wilson_interval
from conn.functional import triangle_to_vector
from conn.loss import identification, qcfc
from conn.models import Runs, Workflow

COLUMNS = ("row", "pipeline", "qc_fc", "distance", "identified", "recovery", "qc_fc_against_search", "seconds")
SEEDS, N_PEOPLE, N_CHOSEN_ON, N_REGIONS, N_FRAMES, STEP = range(5), 50, 20, 20, 150, 2.0
PLANTED: dict[str, Any] = {
    "filter": {"none": None, "high-pass": (0.008, None), "band": (0.008, 0.1)},
    "confounds": {
        "none": [],
        "2P": ["tissue"],
        "6P": ["motion"],
        "9P": ["motion", "tissue", "global"],
        "24P": ["motion", "motion more"],
        "24P + aCompCor": ["motion", "motion more", "acompcor"],
        "36P": ["motion", "motion more", "tissue", "tissue more", "global", "global more"],
    },
    "censoring": {"none": None, "0.5 mm": 0.5, "0.25 mm": 0.25},
    "connectome": ("full", "shrunk", "partial"),
}
REAL: dict[str, Any] = {
    "filter": {"none": None, "0.01-0.08": (0.01, 0.08), "0.02-0.08": (0.02, 0.08)},
    "confounds": {
        "none": [],
        "motion": ["motion"],
        "motion + squares": ["motion", "motion more"],
        "tcompcor": ["tcompcor"],
        "global": ["global"],
        "36P": ["global", "global more"],
        "all": ["motion", "motion more", "tcompcor", "global", "global more"],
    },
    "censoring": {"none": None, "0.25 mm": 0.25, "0.15 mm": 0.15},
    "connectome": ("full", "shrunk", "partial"),
}
Weights = dict[str, np.ndarray]
NOTHING = {"parcellation": "none", "filter": "none", "confounds": "none", "censoring": "none", "connectome": "full"}


class Choice(NamedTuple):
    """A pipeline or a mixture, as weights by stage, and how many seconds choosing it took."""

    weights: Weights
    seconds: float


def objective(out: Any) -> jax.Array:
    """Return what search and workflow lower; runs are first sessions, then second ones of the same people."""
    first, second = jnp.split(out.connectome, 2)
    quality = out.quality.reshape(2, -1).mean(0)
    motion = qcfc((first + second) / 2, quality, significance=0.1).mean()
    return motion + 0.1 * identification(triangle_to_vector(first), triangle_to_vector(second)).mean()


def choose(alternatives: dict[str, Any], runs: Runs, default: dict[str, str]) -> dict[str, Choice]:
    """Return the weights of every pipeline of the protocol, with the seconds that it took to choose them."""
    whole = Workflow(**alternatives, n_epochs=60, learning_rate=0.2, hardening=0.1, progress=False)
    quality, names = jnp.asarray(runs.quality), whole.stages

    def corner(choice: dict[str, str]) -> Weights:
        return {stage: np.eye(len(own))[own.index(choice[stage])] for stage, own in names.items()}

    fixed = {"none": NOTHING, "36P": default, "36P + censoring": default | {"censoring": "0.25 mm"}}
    found = {name: Choice(corner(choice), 0.0) for name, choice in fixed.items()}
    start = time.perf_counter()
    program = whole.program(runs)

    # All confounds with all kinds of connectome at once: the regressions are the same for all, and computed once.
    @jax.jit
    def scores(program: Callable[..., jax.Array], quality: jax.Array, some: dict[str, jax.Array]) -> jax.Array:
        def score(confounds: jax.Array, connectome: jax.Array) -> jax.Array:
            weights = some | {"confounds": confounds, "connectome": connectome}
            return objective(_Outputs(program(weights), quality))

        every = [jnp.eye(len(names[stage])) for stage in ("confounds", "connectome")]
        return jax.vmap(jax.vmap(score, (None, 0)), (0, None))(*every)

    best, lowest = NOTHING, np.inf
    for band, censoring in product(names["filter"], names["censoring"]):
        here = NOTHING | {"filter": band, "censoring": censoring}
        some = {stage: jnp.asarray(corner(here)[stage]) for stage in ("filter", "censoring")}
        values = np.asarray(scores(program, quality, some))
        if not np.isfinite(values).all():
            raise ValueError(f"the objective of a pipeline with {here} is not finite")
        if values.min() < lowest:
            row, column = np.unravel_index(values.argmin(), values.shape)
            best = here | {"confounds": names["confounds"][row], "connectome": names["connectome"][column]}
            lowest = values.min()
    found["search"] = Choice(corner(best), time.perf_counter() - start)
    start = time.perf_counter()
    whole.fit(runs, objective)
    seconds = time.perf_counter() - start
    mixture = {stage: np.array(list(own.values())) for stage, own in whole.weights_.items()}
    found["workflow"] = Choice(mixture, seconds)
    found["hardened"] = Choice(corner(whole.pipeline_), seconds)
    return found


class _Outputs:
    """What a loss reads."""

    def __init__(self, connectome: jax.Array, quality: jax.Array):
        self.connectome, self.quality = connectome, quality


def measures(connectomes: np.ndarray, quality: np.ndarray, coordinates: np.ndarray) -> dict[str, float]:
    """Return QC-FC, its dependence on distance, and identification, of first and then second sessions."""
    n_people = len(connectomes) // 2
    moved = quality.reshape(2, -1).mean(0)
    told = qc_fc(connectomes.reshape(2, n_people, *connectomes.shape[1:]).mean(0), moved, coordinates=coordinates)
    who = fingerprint(connectomes, [*range(n_people)] * 2, np.repeat([1, 2], n_people), n_bootstraps=1)
    return {
        "qc_fc": told.median_absolute,
        "distance": abs(told.distance_correlation),
        "identified": who.accuracy,
    }


def cohort(seed: int) -> tuple[Runs, np.ndarray, np.ndarray]:
    """Return runs of a cohort (first sessions, then second), the planted correlations and the coordinates."""
    rng = np.random.default_rng(seed)
    people = simulate_population(
        n_subjects=N_PEOPLE, n_regions=N_REGIONS, reliability=0.8, spread=0.25, n_frames=N_FRAMES + 100, rng=rng
    )
    assert people.time_series is not None  # frames were asked for
    n_runs = 2 * N_PEOPLE
    white = people.time_series.swapaxes(0, 1).reshape(n_runs, N_REGIONS, -1)
    slow = scipy.signal.butter(3, 0.1, fs=1 / STEP, output="sos")
    time_constant, frames = slice(50, 50 + N_FRAMES), np.arange(N_FRAMES)

    def limited(noise: np.ndarray) -> np.ndarray:
        series = scipy.signal.sosfiltfilt(slow, noise, axis=-1)[..., time_constant]
        return series / series.std(axis=-1, keepdims=True)

    brain = scipy.signal.sosfiltfilt(slow, white, axis=-1)[..., time_constant]
    brain /= brain.std()
    drift = np.cumsum(rng.normal(size=(n_runs, N_REGIONS, 3)), -1) @ np.cos(
        np.pi * np.arange(3)[:, None] * frames / N_FRAMES
    )
    drift = 0.5 * (drift - drift.mean(-1, keepdims=True)) / drift.std(-1, keepdims=True)
    physiology = limited(rng.normal(size=(n_runs, 2, N_FRAMES + 100)))
    series = brain + 0.5 * rng.normal(size=brain.shape) + drift
    series += 0.3 * rng.normal(size=(n_runs, N_REGIONS, 2)) @ physiology
    directions = rng.normal(size=(N_REGIONS, 3))
    coordinates = (
        70 * directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.random((N_REGIONS, 1)) ** (1 / 3)
    )
    traces = (
        motion_traces(n_runs, N_FRAMES, levels=(0.1, 0.1), rng=rng)
        * np.tile(rng.uniform(0.4, 2.0, N_PEOPLE), 2)[:, None]
    )
    made = add_motion(
        series, coordinates, motion=traces, repetition_time=STEP, spike=3.0, delayed=1.5, local=3.0, rng=rng
    )
    common = (made.spikes + made.delayed).mean(1, keepdims=True)
    # Six walks that turn back to where they came from, whose displacement is the motion planted.
    share = rng.dirichlet(np.ones(6), size=(n_runs, N_FRAMES)).swapaxes(1, 2) * traces[:, None]
    walk = np.zeros((n_runs, 6, N_FRAMES))
    for frame in range(1, N_FRAMES):
        sign = np.where(rng.random((n_runs, 6)) < 0.7, -1, 1) * np.where(walk[..., frame - 1] >= 0, 1, -1)
        walk[..., frame] = walk[..., frame - 1] + sign * share[..., frame]
    walk[:, 3:] /= 50  # radians, on a sphere of 50 mm
    tissue = common + physiology + 0.5 * limited(rng.normal(size=(n_runs, 2, N_FRAMES + 100)))
    voxels = rng.uniform(0.5, 1.5, (n_runs, 40, 1)) * common + rng.normal(size=(n_runs, 40, 2)) @ physiology
    voxels += rng.normal(size=voxels.shape)
    brightest = np.linalg.svd(voxels - voxels.mean(-1, keepdims=True), full_matrices=False)[2][:, :5]
    mean = made.time_series.mean(1, keepdims=True)
    runs = Runs(
        time_series=made.time_series,
        motion=traces,
        repetition_time=STEP,
        confounds={
            "motion": walk,
            "motion more": _expanded(walk),
            "tissue": tissue,
            "tissue more": _expanded(tissue),
            "global": mean,
            "global more": _expanded(mean),
            "acompcor": brightest,
        },
    )
    covariance = people.covariance.swapaxes(0, 1).reshape(n_runs, N_REGIONS, N_REGIONS)
    size = np.sqrt(np.einsum("...ii->...i", covariance))
    return runs, covariance / size[..., :, None] / size[..., None, :], coordinates


def planted(repeats: int, seeds: range = SEEDS) -> list[dict[str, Any]]:
    """Every pipeline on planted cohorts."""
    default = {"parcellation": "none", "filter": "band", "confounds": "36P", "censoring": "none", "connectome": "full"}
    found: dict[str, list[dict[str, float]]] = {}
    chosen: dict[str, list[str]] = {}
    edges = np.triu_indices(N_REGIONS, 1)
    for seed in seeds:
        runs, truth, coordinates = cohort(seed)
        session = np.random.default_rng([seed, 1]).permutation(N_PEOPLE)
        chosen_on, judged = (
            np.concatenate([part, part + N_PEOPLE]) for part in (session[:N_CHOSEN_ON], session[N_CHOSEN_ON:])
        )
        kept_apart = runs.select(judged)
        expected = _personal(np.arctanh(truth[judged][:, *edges]))
        program = Workflow(**PLANTED).program(kept_apart)
        for name, choice in choose(PLANTED, runs.select(chosen_on), default).items():
            connectomes = np.asarray(program(choice.weights))
            told = measures(connectomes, kept_apart.quality, coordinates)
            told["recovery"] = float(np.corrcoef(_personal(connectomes[:, *edges]).ravel(), expected.ravel())[0, 1])
            told["seconds"] = choice.seconds
            found.setdefault(name, []).append(told)
            chosen.setdefault(name, []).append(_said(PLANTED, choice.weights))
        print(seed, {name: {key: round(value, 3) for key, value in told[-1].items()} for name, told in found.items()})
        print(seed, {name: told[-1] for name, told in chosen.items()}, flush=True)
    rows = []
    for name, told in found.items():
        against = [one["qc_fc"] - other["qc_fc"] for one, other in zip(told, found["search"], strict=True)]
        row: dict[str, Any] = {"row": "planted", "pipeline": name, "peer": name, "dtype": "float32"}
        for key in ("qc_fc", "distance", "identified", "recovery"):
            row[key] = _interval([one[key] for one in told])
        row["qc_fc_against_search"] = _interval(against)
        row["recovery_against_search"] = _interval(
            [one["recovery"] - other["recovery"] for one, other in zip(told, found["search"], strict=True)]
        )
        row["seconds"] = float(np.median([one["seconds"] for one in told]))
        row["chosen"] = chosen[name]
        rows.append(row)
    return rows


def real(repeats: int) -> list[dict[str, Any]]:
    """Every pipeline on the resting scans of two centres, chosen on one and judged on the other."""
    default = {"parcellation": "none", "filter": "none", "confounds": "36P", "censoring": "none", "connectome": "full"}
    centres = {name: centre(name) for name in ("bochum", "essen")}
    flat = np.logical_or.reduce([one[2] for one in centres.values()])
    kept = np.flatnonzero(~flat)[::2]
    rows = []
    for here, there in (("bochum", "essen"), ("essen", "bochum")):
        chosen_on, judged = (with_confounds(centres[name][0], kept) for name in (here, there))
        coordinates = centres[there][1][kept]
        n_people = judged.n_runs // 2
        pipelines = choose(REAL, chosen_on, default)
        program = Workflow(**REAL).program(judged)
        made = {name: np.asarray(program(choice.weights)) for name, choice in pipelines.items()}
        others = np.array([np.delete(np.arange(n_people), person) for person in range(n_people)])
        without = {name: _resampled(one, judged.quality, coordinates, others) for name, one in made.items()}
        for name, choice in pipelines.items():
            told = measures(made[name], judged.quality, coordinates)
            low, high = wilson_interval(told["identified"], n_people)
            row: dict[str, Any] = {"row": f"{here} -> {there}", "pipeline": name, "peer": name, "dtype": "float32"}
            for place, key in enumerate(("qc_fc", "distance")):
                row[key] = _jackknifed(told[key], without[name][place])
            row["identified"] = _text(told["identified"], low, high)
            searched = measures(made["search"], judged.quality, coordinates)["qc_fc"]
            row["qc_fc_against_search"] = _jackknifed(told["qc_fc"] - searched, without[name][0] - without["search"][0])
            row["seconds"] = choice.seconds
            row["chosen"] = _said(REAL, choice.weights)
            rows.append(row)
            print(row, flush=True)
    return rows


def centre(name: str) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """Return series and motion of all first halves and then all second ones, coordinates, and flat regions."""
    scans = load_rpn_pain_rest(centres=[name])
    series = [one[:, told] for one, told in zip(scans.time_series, _mask(scans), strict=True)]
    motion = [one[told] for one, told in zip(np.nan_to_num(scans.motion), _mask(scans), strict=True)]
    flat = np.any([one.std(-1) < 1e-4 * np.median(one.std(-1)) for one in series], axis=0)
    half = series[0].shape[-1] // 2
    halves = [
        (one[:, part], moved[part])
        for part in (slice(0, half), slice(half, 2 * half))
        for one, moved in zip(series, motion, strict=True)
    ]
    return halves, scans.regions[["x", "y", "z"]].to_numpy(float), flat


def with_confounds(halves: list[tuple[np.ndarray, np.ndarray]], kept: np.ndarray) -> Runs:
    """Return runs with what can be had of confounds from denoised series and the trace of displacement."""
    groups: dict[str, list[np.ndarray]] = {}
    for series, moved in halves:
        trace = np.stack([moved, np.concatenate([moved[:1], moved[:-1]])])
        mean = series.mean(0, keepdims=True)
        loud = series[series.std(-1) >= np.quantile(series.std(-1), 0.9)]
        parts = np.linalg.svd(loud - loud.mean(-1, keepdims=True), full_matrices=False)[2][:5]
        own = {
            "motion": trace,
            "motion more": trace**2,
            "tcompcor": parts,
            "global": mean,
            "global more": _expanded(mean),
        }
        for name, rows in own.items():
            groups.setdefault(name, []).append(rows)
    return Runs(
        time_series=[series[kept] for series, _ in halves],
        motion=[moved for _, moved in halves],
        confounds=groups,
        repetition_time=2.5,
    )


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {"planted": planted, "real": real}


def rows(repeats: int = 5, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


def _mask(scans: Any) -> np.ndarray:
    return np.ones((scans.n_scans, scans.time_series.shape[-1]), bool) if scans.mask is None else scans.mask


def _expanded(values: np.ndarray) -> np.ndarray:
    """Return temporal derivatives, squares, and squares of the derivatives, one below the other."""
    derivative = np.diff(values, axis=-1, prepend=values[..., :1])
    return np.concatenate([derivative, values**2, derivative**2], axis=-2)


def _personal(edges: np.ndarray) -> np.ndarray:
    return edges - edges.mean(0)


def _resampled(
    connectomes: np.ndarray, quality: np.ndarray, coordinates: np.ndarray, draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    moved = quality.reshape(2, -1).mean(0)
    mean = connectomes.reshape(2, len(moved), *connectomes.shape[1:]).mean(0)
    told = [qc_fc(mean[draw], moved[draw], coordinates=coordinates) for draw in draws]
    return np.array([one.median_absolute for one in told]), np.array([abs(one.distance_correlation) for one in told])


def _said(alternatives: dict[str, Any], weights: Weights) -> str:
    """Return the alternatives with a weight of a twentieth or more, stage by stage."""
    told = []
    for stage, names in alternatives.items():
        order = sorted(zip(weights[stage], names, strict=True), reverse=True)
        told.append(", ".join(n if w > 0.95 else f"{w:.2f} {n}" for w, n in order if w >= 0.05))
    return "; ".join(told)


def _interval(values: list[float]) -> str:
    mean, error = np.mean(values), stats.sem(values)
    half = stats.t.ppf(0.975, len(values) - 1) * error if len(values) > 1 else np.nan
    return _text(float(mean), float(mean - half), float(mean + half))


def _jackknifed(value: float, without: np.ndarray) -> str:
    half = 1.96 * np.sqrt((len(without) - 1) * np.var(without))
    return _text(value, value - half, value + half)


def _text(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
