"""Directed connectivity of 100 regions x 1200 frames, against fitting models one after the other.

All peers' times are those of a tenth of all pairs or targets, times ten; agreement is tried on these.
"""

import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import statsmodels
from _timing import seconds
from statsmodels.tsa.stattools import grangercausalitytests

from conn.functional import granger_causality, regression_dcm

N_REGIONS, N_FRAMES, ORDER, SHARE = 100, 1200, 1, 10
Pair = tuple[int, int]


def pairwise(repeats: int) -> list[dict[str, Any]]:
    """Every pair by itself, against statsmodels."""

    def peer(series: np.ndarray, pair: Pair) -> float:
        target, source = pair
        tests = grangercausalitytests(series[[target, source]].T, [ORDER])[ORDER][0]
        return float(tests["lrtest"][0]) / (N_FRAMES - ORDER)

    name = f"statsmodels grangercausalitytests {statsmodels.__version__}, float64"
    return [_against("pairwise Granger causality 100 x 1200, all pairs", name, peer, False, 3000.0, repeats)]


def conditional(repeats: int) -> list[dict[str, Any]]:
    """Every pair given all others, against refitting without the source."""

    def peer(series: np.ndarray, pair: Pair) -> float:
        target, source = pair
        past = np.vstack([series[:, :-ORDER], np.ones(N_FRAMES - ORDER)]).T
        wanted = series[target, ORDER:]
        return float(np.log(_rss(np.delete(past, source, axis=1), wanted) / _rss(past, wanted)))

    name = f"numpy.linalg.lstsq {np.__version__} with and without the source, float64"
    return [_against("conditional Granger causality 100 x 1200, all pairs", name, peer, True, 500.0, repeats)]


def dynamic_causal(repeats: int) -> list[dict[str, Any]]:
    """Regression DCM of resting state, against the updates of the paper with an inverse each, target by target."""
    series = _series()

    def fit(array: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = regression_dcm(array, repetition_time=1.0)
        return found.connectivity, found.free_energy

    with jax.enable_x64(True):
        array = jnp.asarray(series)
        begin = time.perf_counter()
        compiled = jax.jit(fit).lower(array).compile()
        compilation = time.perf_counter() - begin
        found, _ = compiled(array)
        expected: list[np.ndarray] = []
        chosen = range(0, N_REGIONS, SHARE)
        theirs = SHARE * seconds(lambda: expected.extend(_by_inverses(series, target) for target in chosen))
        ours = statistics.median(seconds(lambda: jax.block_until_ready(compiled(array))) for _ in range(4 * repeats))
    error = max(np.abs(np.asarray(found)[target] - one).max() for target, one in zip(chosen, expected, strict=True))
    return [
        {
            "row": "regression DCM 100 x 1200, all connections",
            "estimator": "conn.functional.regression_dcm",
            "peer": f"updates with numpy.linalg.inv {np.__version__}, float64",
            "dtype": "float64",
            "cores": len(os.sched_getaffinity(0)),
            "peer_seconds": theirs,
            "seconds": ours,
            "ratio": theirs / ours,
            "target": 100.0,
            "largest_difference": float(error),
            "compilation_seconds": compilation,
        }
    ]


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "pairwise": pairwise,
    "conditional": conditional,
    "dynamic-causal": dynamic_causal,
}


def rows(repeats: int = 5, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


def _rss(rows_of_past: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.lstsq(rows_of_past, wanted, rcond=None)[1][0])


def _series() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_REGIONS, N_FRAMES)).cumsum(-1) * 0.1 + rng.normal(size=(N_REGIONS, N_FRAMES))


def _by_inverses(series: np.ndarray, target: int) -> np.ndarray:
    """Return one target's connections, in time: the rows but for their mean are those of the frequencies."""
    rows = (series - series.mean(-1, keepdims=True)).T * np.sqrt(N_FRAMES)
    wanted = np.roll(rows[:, target], -1) - rows[:, target]
    own = np.arange(N_REGIONS) == target
    prior, mean = np.where(own, 8.0 * N_REGIONS, N_REGIONS / 8), -0.5 * own
    gram, cross = rows.T @ rows, rows.T @ wanted
    precision, before = 2.0, 0.0
    weights = mean
    while abs(precision - before) > 1e-12 * precision:
        covariance = np.linalg.inv(precision * gram + np.diag(prior))
        weights = covariance @ (precision * cross + prior * mean)
        error = (np.square(wanted - rows @ weights).sum() + (gram * covariance).sum()) / 2
        before, precision = precision, (2 + (N_FRAMES - 1) / 2) / (1 + error)
    return weights


def _against(
    row: str,
    name: str,
    peer: Callable[[np.ndarray, Pair], float],
    given: bool,
    target: float,
    repeats: int,
) -> dict[str, Any]:
    series, rng = _series(), np.random.default_rng(1)
    every = [(int(t), int(s)) for t, s in np.argwhere(~np.eye(N_REGIONS, dtype=bool))]
    chosen = [every[place] for place in rng.choice(len(every), len(every) // SHARE, replace=False)]
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels warns of its own future
        array = jnp.asarray(series)
        begin = time.perf_counter()
        compiled = jax.jit(lambda x: granger_causality(x, ORDER, conditional=given)).lower(array).compile()
        compilation = time.perf_counter() - begin
        found = np.asarray(compiled(array))
        expected: list[float] = []
        theirs = SHARE * seconds(lambda: expected.extend(peer(series, pair) for pair in chosen))
        ours = statistics.median(seconds(lambda: compiled(array).block_until_ready()) for _ in range(4 * repeats))
    error = max(abs(found[pair] - value) for pair, value in zip(chosen, expected, strict=True))
    return {
        "row": row,
        "estimator": "conn.functional.granger_causality",
        "peer": name,
        "dtype": "float64",
        "cores": len(os.sched_getaffinity(0)),
        "peer_seconds": theirs,
        "seconds": ours,
        "ratio": theirs / ours,
        "target": target,
        "largest_difference": float(error),
        "compilation_seconds": compilation,
    }
