"""Granger causality of all ordered pairs of 100 regions x 1200 frames, against fitting models one after the other.

Both peers' times are those of a tenth of all pairs, chosen with a fixed seed, times ten; agreement is tried on these.
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

from conn.functional import granger_causality

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


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {"pairwise": pairwise, "conditional": conditional}


def rows(repeats: int = 5, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


def _rss(rows_of_past: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.lstsq(rows_of_past, wanted, rcond=None)[1][0])


def _against(
    row: str,
    name: str,
    peer: Callable[[np.ndarray, Pair], float],
    given: bool,
    target: float,
    repeats: int,
) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    series = rng.normal(size=(N_REGIONS, N_FRAMES)).cumsum(-1) * 0.1 + rng.normal(size=(N_REGIONS, N_FRAMES))
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
