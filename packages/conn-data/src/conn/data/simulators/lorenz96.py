"""Lorenz-96: a ring of regions with nonlinear, directed coupling."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conn.data.checks import real_number, whole_number

__all__ = ["Lorenz96Simulation", "lorenz96_rates", "simulate_lorenz96"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lorenz96Simulation:
    """Series of a Lorenz-96 system, and who drives whom in it.

    Parameters
    ----------
    time_series : array, shape (run, region, frame)
        With observation noise.
    clean : array, shape (run, region, frame)
        Without.
    adjacency : bool array, shape (target, source)
        Region i is driven by i - 2, i - 1 and i + 1, around the ring; the diagonal is False.
    forcing : float
        The constant :math:`F`.
    step : float
        Time from a frame to the next, in the system's units.
    """

    time_series: NDArray[np.float64]
    clean: NDArray[np.float64]
    adjacency: NDArray[np.bool_]
    forcing: float
    step: float


def lorenz96_rates(state: NDArray[np.float64], forcing: float) -> NDArray[np.float64]:
    """Return the rates of change of states of shape (..., region).

    Parameters
    ----------
    state : array, shape (..., region)
        In the system's units.
    forcing : float
        The constant :math:`F`.

    Returns
    -------
    array, shape (..., region)
        Per unit of time; NaN where the state is.
    """
    ahead, behind, before = (np.roll(state, places, axis=-1) for places in (-1, 1, 2))
    return (ahead - before) * behind - state + forcing


def simulate_lorenz96(
    n_regions: int = 20,
    n_frames: int = 1000,
    *,
    forcing: float = 10.0,
    step: float = 0.05,
    n_runs: int = 1,
    noise: float = 0.1,
    n_substeps: int = 5,
    burn_in: int = 1000,
    rng: np.random.Generator | int | None = 0,
) -> Lorenz96Simulation:
    r"""Return series of :math:`\dot x_i = (x_{i+1} - x_{i-2})\, x_{i-1} - x_i + F` on a ring.

    Parameters
    ----------
    n_regions : int, default 20
        At least 4.
    n_frames : int, default 1000
        Frames a run.
    forcing : float, default 10
        :math:`F`; chaotic from about 8 on, and strongly so at 40.
    step : float, default 0.05
        Time from a frame to the next.
    n_runs : int, default 1
        Runs from independent starts.
    noise : float, default 0.1
        Standard deviation of the observation noise.
    n_substeps : int, default 5
        Steps of the Runge-Kutta method of fourth order within a frame.
    burn_in : int, default 1000
        Frames that are thrown away first.
    rng : numpy.random.Generator, int or None, default 0
        Source of the starts and of the noise.

    Returns
    -------
    Lorenz96Simulation
        Series with and without noise, adjacency.

    Raises
    ------
    DataError
        If a count is too small, the step is not positive or the noise negative.

    References
    ----------
    Lorenz (1996), Proceedings of the ECMWF Seminar on Predictability, 1-18; as a test of causal
    discovery: Tank et al. (2022), IEEE TPAMI 44, 4267-4279, doi:10.1109/TPAMI.2021.3065601.

    Examples
    --------
    >>> from conn.data.simulators import simulate_lorenz96
    >>> made = simulate_lorenz96(6, 50, burn_in=10)
    >>> made.adjacency[3].nonzero()[0].tolist()
    [1, 2, 4]
    """
    n_regions, n_frames = whole_number("n_regions", n_regions, 4), whole_number("n_frames", n_frames)
    n_runs, n_substeps = whole_number("n_runs", n_runs), whole_number("n_substeps", n_substeps)
    burn_in, forcing = whole_number("burn_in", burn_in, 0), real_number("forcing", forcing)
    step, noise = real_number("step", step, above=0), real_number("noise", noise, minimum=0)
    generator = np.random.default_rng(rng)
    state = forcing + 0.01 * generator.standard_normal((n_runs, n_regions))
    clean = np.empty((n_frames, n_runs, n_regions))
    short = step / n_substeps
    for frame in range(burn_in + n_frames):
        for _ in range(n_substeps):
            first = lorenz96_rates(state, forcing)
            second = lorenz96_rates(state + short / 2 * first, forcing)
            third = lorenz96_rates(state + short / 2 * second, forcing)
            fourth = lorenz96_rates(state + short * third, forcing)
            state = state + short / 6 * (first + 2 * second + 2 * third + fourth)
        if frame >= burn_in:
            clean[frame - burn_in] = state
    adjacency = np.zeros((n_regions, n_regions), dtype=bool)
    places = np.arange(n_regions)
    for offset in (-2, -1, 1):
        adjacency[places, (places + offset) % n_regions] = True
    series = np.ascontiguousarray(clean.transpose(1, 2, 0))
    return Lorenz96Simulation(
        time_series=series + noise * generator.standard_normal(series.shape),
        clean=series,
        adjacency=adjacency,
        forcing=forcing,
        step=step,
    )
