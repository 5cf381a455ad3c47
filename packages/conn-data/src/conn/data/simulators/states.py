"""States that follow one another as a Markov chain, and series that change with them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import finite_array, real_number, square_matrix, whole_number
from conn.data.errors import DataError
from conn.data.simulators.autoregression import covariance_factor

__all__ = [
    "StateSimulation",
    "dwell_transition",
    "markov_states",
    "simulate_states",
    "stationary_distribution",
    "switching",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class StateSimulation:
    """Series whose covariance depends on a hidden state.

    Parameters
    ----------
    time_series : array, shape (run, region, frame)
        White within a state.
    states : int array, shape (run, frame)
        The state of each frame.
    transition : array, shape (state, state)
        Row: from; column: to.
    covariances : array, shape (state, region, region)
        Of the regions in each state.
    stationary : array, shape (state,)
        Share of frames in each state in the long run.
    """

    time_series: NDArray[np.float64]
    states: NDArray[np.intp]
    transition: NDArray[np.float64]
    covariances: NDArray[np.float64]
    stationary: NDArray[np.float64]


def dwell_transition(n_states: int, mean_dwell: float) -> NDArray[np.float64]:
    """Return the transition matrix in which each state lasts as long on average and any other may follow.

    Parameters
    ----------
    n_states : int
        At least 2.
    mean_dwell : float
        Frames, above 1.

    Returns
    -------
    array, shape (state, state)
        Row: from; column: to.

    Raises
    ------
    DataError
        If there are fewer than two states or the dwell is not above 1.

    Examples
    --------
    >>> from conn.data.simulators import dwell_transition
    >>> dwell_transition(3, 10.0).round(3).tolist()
    [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]
    """
    n_states = whole_number("n_states", n_states, 2)
    leave = 1 / real_number("mean_dwell", mean_dwell, above=1)
    transition = np.full((n_states, n_states), leave / (n_states - 1))
    np.fill_diagonal(transition, 1 - leave)
    return transition


def stationary_distribution(transition: ArrayLike) -> NDArray[np.float64]:
    """Return the share of frames that a Markov chain spends in each state in the long run.

    Parameters
    ----------
    transition : array, shape (state, state)
        Rows sum to 1.

    Returns
    -------
    array, shape (state,)
        Sums to 1.

    Raises
    ------
    DataError
        If the matrix is not one of transitions, or has no unique such distribution.

    Examples
    --------
    >>> from conn.data.simulators import stationary_distribution
    >>> stationary_distribution([[0.9, 0.1], [0.3, 0.7]]).round(4).tolist()
    [0.75, 0.25]
    """
    chain = square_matrix("transition", transition)
    if (chain < 0).any() or not np.allclose(chain.sum(axis=1), 1, atol=1e-8):
        raise DataError("the rows of transition must be probabilities that sum to 1")
    equations = np.vstack([chain.T - np.eye(len(chain)), np.ones(len(chain))])
    found, _, rank, _ = np.linalg.lstsq(equations, np.eye(len(chain) + 1)[-1], rcond=1e-10)
    if rank < len(chain):
        raise DataError("transition falls apart into chains that never meet: their shares are not determined")
    return np.clip(found, 0, None) / np.clip(found, 0, None).sum()


def markov_states(
    transition: ArrayLike, n_frames: int, *, n_runs: int = 1, rng: np.random.Generator | int | None = 0
) -> NDArray[np.intp]:
    """Return sequences of states of a Markov chain that begins in its stationary distribution.

    Parameters
    ----------
    transition : array, shape (state, state)
        Row: from; column: to. Rows sum to 1.
    n_frames : int
        Frames a run.
    n_runs : int, default 1
        Independent runs.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    int array, shape (run, frame)
        States from 0.

    Raises
    ------
    DataError
        As `stationary_distribution`; if a count is below 1.

    Examples
    --------
    >>> from conn.data.simulators import dwell_transition, markov_states
    >>> markov_states(dwell_transition(2, 3.0), 12).shape
    (1, 12)
    """
    stationary = stationary_distribution(transition)
    n_frames, n_runs = whole_number("n_frames", n_frames), whole_number("n_runs", n_runs)
    # The last bound is made 1 against rounding, so that no draw falls beyond the last state.
    bounds = np.cumsum(np.asarray(transition, dtype=np.float64), axis=1)
    bounds[:, -1] = 1
    draws = np.random.default_rng(rng).random((n_frames, n_runs))
    states = np.empty((n_frames, n_runs), dtype=np.intp)
    states[0] = np.minimum(np.searchsorted(np.cumsum(stationary), draws[0], side="right"), len(stationary) - 1)
    for frame in range(1, n_frames):
        states[frame] = (draws[frame][:, None] >= bounds[states[frame - 1]]).sum(axis=1)
    return states.T


def simulate_states(
    covariances: ArrayLike,
    n_frames: int,
    *,
    transition: ArrayLike | None = None,
    mean_dwell: float = 20.0,
    n_runs: int = 1,
    rng: np.random.Generator | int | None = 0,
) -> StateSimulation:
    """Return series whose covariance is that of a hidden Markov state.

    Parameters
    ----------
    covariances : array, shape (state, region, region)
        Symmetric and positive semidefinite.
    n_frames : int
        Frames a run.
    transition : array, shape (state, state), optional
        By default `dwell_transition` with `mean_dwell`.
    mean_dwell : float, default 20
        Frames.
    n_runs : int, default 1
        Independent runs.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    StateSimulation
        Series, states, parameters.

    Raises
    ------
    DataError
        If the shapes do not fit, a covariance is not one, or the transitions are not.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.simulators import simulate_states
    >>> simulate_states([np.eye(3), 2 * np.eye(3)], 50).time_series.shape
    (1, 3, 50)
    """
    given = finite_array("covariances", covariances, ("state", "region", "region"))
    for state, covariance in enumerate(given):
        square_matrix(f"covariances[{state}]", covariance, symmetric=True)
    factors = np.stack(
        [covariance_factor(f"covariances[{state}]", covariance) for state, covariance in enumerate(given)]
    )
    chain = dwell_transition(len(given), mean_dwell) if transition is None else square_matrix("transition", transition)
    if len(chain) != len(given):
        raise DataError(f"transition has {len(chain)} states, covariances has {len(given)}")
    generator = np.random.default_rng(rng)
    states = markov_states(chain, n_frames, n_runs=n_runs, rng=generator)
    white = generator.standard_normal((*states.shape, given.shape[1]))
    series = np.empty_like(white)
    for state, factor in enumerate(factors):
        series[states == state] = white[states == state] @ factor.T
    return StateSimulation(
        time_series=np.ascontiguousarray(series.swapaxes(1, 2)),
        states=states,
        transition=chain,
        covariances=given,
        stationary=stationary_distribution(chain),
    )


def switching(
    shape: tuple[int, ...], n_frames: int, mean_dwell: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Return chains of on and off with an equal mean dwell in both, of shape (*shape, frame)."""
    begins_on = generator.random((*shape, 1)) < 0.5
    switches = generator.random((*shape, n_frames)) < 1 / mean_dwell
    switches[..., 0] = False
    return begins_on ^ (np.cumsum(switches, axis=-1) % 2 == 1)
