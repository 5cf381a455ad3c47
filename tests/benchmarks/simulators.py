"""Simulators of conn-data: seconds for a study's worth of data, and the ratio to a plain loop where there is one.

`netsim` has no peer that can be installed: its peer is the same model integrated step by step, region by region, on a
thirtieth of the people and a tenth of the time, the seconds scaled up. The difference is, in turn, that of the two
balloon models under the peer's activity, of the sampled from the exact covariance, of the sizes of folds, and of an
integrator with a tolerance of 1e-9.
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

from conn.data.simulators import BALLOON, balloon, random_var_coefficients, simulate_fmri_network, simulate_var
from conn.data.splits import homologous_groups, spatial_folds

COLUMNS = ("row", "peer", "peer_seconds", "seconds", "ratio", "target", "seconds_allowed", "largest_difference")


def netsim(repeats: int) -> list[dict[str, Any]]:
    """30 people x 10 minutes of NetSim-type data, 5 regions."""
    ours = statistics.median(seconds(lambda: simulate_fmri_network(n_subjects=30)) for _ in range(min(repeats, 3)))

    # The peer's activity of a minute and the signal that it makes of it.
    activity, signal = np.empty((2, 5, 12_000))

    def one_person() -> None:
        rng = np.random.default_rng(0)
        rates = (0.4 * np.eye(5, k=-1) - np.eye(5)) / 0.05
        p, state, haemodynamics = BALLOON, np.zeros(5), np.tile([0.0, 1.0, 1.0, 1.0], (5, 1))
        for step in range(12_000):
            state = state + 0.005 * (rates @ state + rng.normal(size=5))
            for region in range(5):
                s, f, v, q = haemodynamics[region]
                signal[region, step] = p["volume"] * (p["k1"] * (1 - q) + p["k2"] * (1 - q / v) + p["k3"] * (1 - v))
                activity[region, step] = state[region]
                out = v ** (1 / p["alpha"])
                haemodynamics[region] += 0.005 * np.array(
                    [
                        state[region] - p["kappa"] * s - p["gamma"] * (f - 1),
                        s,
                        (f - out) / p["tau"],
                        (f * (1 - (1 - p["rho"]) ** (1 / f)) / p["rho"] - out * q / v) / p["tau"],
                    ]
                )

    theirs = 300 * seconds(one_person)
    difference = np.abs(balloon(activity, 0.005) - signal).max()
    name = "step by step, in NumPy: a minute of one person x 300"
    return [_result("NetSim type, 30 people x 10 minutes", name, theirs, ours, 20.0, 10.0, difference)]


def autoregression(repeats: int) -> list[dict[str, Any]]:
    """50 runs of a vector autoregression of 20 regions, 1,000 frames each."""
    coefficients = random_var_coefficients(20, density=0.2)

    def peer() -> None:
        for run in range(50):
            varsim(coefficients, None, np.eye(20), steps=1000, rng=np.random.default_rng(run))

    ours = statistics.median(seconds(lambda: simulate_var(coefficients, 1000, n_runs=50)) for _ in range(repeats))
    theirs = statistics.median(seconds(peer) for _ in range(repeats))
    found = simulate_var(coefficients, 100_000)
    difference = np.abs(np.cov(found.time_series[0]) - found.covariance).max()
    return [
        _result("VAR, 50 runs of 20 regions x 1,000 frames", "statsmodels varsim", theirs, ours, 1.0, 1.0, difference)
    ]


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
    sizes = [test.size for test in spatial_folds(points, 4).test]
    name = "balanced k-means by scipy.optimize.linear_sum_assignment, without buffer"
    return [_result("spatial folds, 1,000 regions", name, theirs, ours, 1.0, 1.0, max(sizes) - min(sizes))]


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
