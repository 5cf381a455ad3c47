"""Simulators of conn-data: seconds for a study's worth of data, and the ratio to a plain loop where there is one.

`netsim` has no peer that can be installed: its peer is the same model integrated step by step, region by region, on a
thirtieth of the people and a tenth of the time, the seconds scaled up.
"""

import os
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
from _timing import seconds
from scipy.integrate import solve_ivp
from statsmodels.tsa.vector_ar.util import varsim

from conn.data.simulators import BALLOON, random_var_coefficients, simulate_fmri_network, simulate_var
from conn.data.splits import homologous_groups, spatial_folds

COLUMNS = ("row", "peer", "peer_seconds", "seconds", "ratio", "target", "seconds_allowed", "largest_difference")


def netsim(repeats: int) -> list[dict[str, Any]]:
    """30 people x 10 minutes of NetSim-type data, 5 regions."""
    ours = statistics.median(seconds(lambda: simulate_fmri_network(n_subjects=30)) for _ in range(min(repeats, 3)))

    def one_person() -> None:
        rng = np.random.default_rng(0)
        rates = (0.4 * np.eye(5, k=-1) - np.eye(5)) / 0.05
        p, state, haemodynamics = BALLOON, np.zeros(5), np.tile([0.0, 1.0, 1.0, 1.0], (5, 1))
        for _ in range(round(60 / 0.005)):
            state = state + 0.005 * (rates @ state + rng.normal(size=5))
            for region in range(5):
                s, f, v, q = haemodynamics[region]
                out = v ** (1 / p["alpha"])
                haemodynamics[region] += 0.005 * np.array(
                    [
                        0.1 * state[region] - p["kappa"] * s - p["gamma"] * (f - 1),
                        s,
                        (f - out) / p["tau"],
                        (f * (1 - (1 - p["rho"]) ** (1 / f)) / p["rho"] - out * q / v) / p["tau"],
                    ]
                )

    theirs = 300 * seconds(one_person)
    return [_result("NetSim type, 30 people x 10 minutes", "step by step, in NumPy", theirs, ours, 20.0, 10.0, np.nan)]


def autoregression(repeats: int) -> list[dict[str, Any]]:
    """50 regions x 10,000 frames of a vector autoregression."""
    coefficients = random_var_coefficients(50, density=0.1)
    ours = statistics.median(seconds(lambda: simulate_var(coefficients, 10_000)) for _ in range(repeats))
    theirs = statistics.median(
        seconds(lambda: varsim(coefficients, None, np.eye(50), steps=10_000, seed=0)) for _ in range(repeats)
    )
    found = simulate_var(coefficients, 40_000)
    difference = np.abs(np.cov(found.time_series[0]) - found.covariance).max()
    return [_result("VAR, 50 regions x 10,000 frames", "statsmodels varsim", theirs, ours, 1.0, 1.0, difference)]


def spatial(repeats: int) -> list[dict[str, Any]]:
    """Spatial folds of 1,000 regions, hemispheres kept together, with a buffer."""
    points = np.random.default_rng(0).normal(size=(1000, 3)) * 40

    def folds() -> None:
        spatial_folds(points, 4, groups=homologous_groups(points), buffer=10.0)

    ours = statistics.median(seconds(folds) for _ in range(repeats))

    def by_assignment() -> None:
        # Balanced k-means, the usual way: each region is assigned to one of the fold's places.
        centres = points[:4]
        for _ in range(10):
            cost = np.square(points[:, None] - np.repeat(centres, 250, axis=0)).sum(-1)
            _, place = scipy.optimize.linear_sum_assignment(cost)
            centres = np.stack([points[place // 250 == fold].mean(0) for fold in range(4)])

    theirs = seconds(by_assignment)
    name = "balanced k-means by scipy.optimize.linear_sum_assignment, without buffer"
    return [_result("spatial folds, 1,000 regions", name, theirs, ours, 1.0, 1.0, np.nan)]


def lorenz(repeats: int) -> list[dict[str, Any]]:
    """Not a target: the reference's accuracy, one row for the record."""
    from conn.data.simulators import simulate_lorenz96

    ours = statistics.median(seconds(lambda: simulate_lorenz96(20, 1000, burn_in=0)) for _ in range(repeats))
    start = simulate_lorenz96(20, 20, noise=0.0, n_substeps=20)

    def rates(_: float, x: np.ndarray) -> np.ndarray:
        return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + 10

    def solve(length: int) -> np.ndarray:
        times = np.arange(length) * 0.05
        return solve_ivp(rates, (0, times[-1]), start.clean[0, :, 0], t_eval=times, rtol=1e-9, atol=1e-9).y

    theirs = seconds(lambda: solve(1000))
    difference = np.abs(solve(20) - start.clean[0]).max()
    name = f"scipy.integrate.solve_ivp {scipy.__version__}, tolerance 1e-9"
    return [_result("Lorenz-96, 20 places x 1,000 frames", name, theirs, ours, 1.0, 1.0, difference)]


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "netsim": netsim,
    "autoregression": autoregression,
    "spatial": spatial,
    "lorenz": lorenz,
}


def rows(repeats: int = 5, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


def _result(
    row: str, peer: str, theirs: float, ours: float, target: float, allowed: float, difference: float
) -> dict[str, Any]:
    return {
        "row": row,
        "estimator": "conn.data",
        "peer": peer,
        "dtype": "float64",
        "cores": len(os.sched_getaffinity(0)),
        "peer_seconds": theirs,
        "seconds": ours,
        "ratio": theirs / ours,
        "target": target,
        "seconds_allowed": allowed,
        "largest_difference": float(difference),
    }
