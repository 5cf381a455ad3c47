"""Vector autoregressions: series that cause one another by known coefficients."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import finite_array, probability, real_number, square_matrix, whole_number
from conn.data.errors import DataError

__all__ = [
    "BaccalaSystem",
    "VARSimulation",
    "autocovariance",
    "baccala_sameshima",
    "covariance_factor",
    "random_var_coefficients",
    "recursion",
    "simulate_var",
]

BaccalaSystem = Literal["three", "feedforward", "chain", "loop"]

_ROOT = np.sqrt(2.0)
# (target, source, lag): coefficient, regions counted from 1 as in the paper.
_OSCILLATOR = {(1, 1, 1): 0.95 * _ROOT, (1, 1, 2): -0.9025}
_PAIR = {(4, 4, 1): 0.25 * _ROOT, (4, 5, 1): 0.25 * _ROOT, (5, 4, 1): -0.25 * _ROOT, (5, 5, 1): 0.25 * _ROOT}
_SYSTEMS: dict[str, dict[tuple[int, int, int], float]] = {
    "three": {
        (1, 1, 1): 0.5,
        (1, 2, 1): 0.3,
        (1, 3, 1): 0.4,
        (2, 1, 1): -0.5,
        (2, 2, 1): 0.3,
        (2, 3, 1): 1.0,
        (3, 2, 1): -0.3,
        (3, 3, 1): -0.2,
    },
    "feedforward": {**_OSCILLATOR, (2, 1, 2): 0.5, (3, 1, 3): -0.4, (4, 1, 2): -0.5, **_PAIR},
    "chain": {**_OSCILLATOR, (2, 1, 1): -0.5, (3, 2, 2): 0.4, (4, 3, 1): -0.5, **_PAIR},
    "loop": {**_OSCILLATOR, (1, 5, 2): 0.5, (2, 1, 1): -0.5, (3, 2, 2): 0.4, (4, 3, 1): -0.5, **_PAIR},
}


@dataclass(frozen=True, kw_only=True, eq=False)
class VARSimulation:
    """Series of a stationary vector autoregression, and what they were made with.

    Parameters
    ----------
    time_series : array, shape (run, region, frame)
        Independent runs, stationary from the first frame on.
    coefficients : array, shape (lag, target, source)
        Of lags 1, 2, and so on.
    noise_covariance : array, shape (region, region)
        Of the innovations.
    covariance : array, shape (region, region)
        Of the regions in one frame, exact.
    adjacency : bool array, shape (target, source)
        Where another region has a coefficient at any lag: the zero pattern of Granger causality given
        all others.
    spectral_radius : float
        Of the companion matrix, below 1.
    """

    time_series: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    noise_covariance: NDArray[np.float64]
    covariance: NDArray[np.float64]
    adjacency: NDArray[np.bool_]
    spectral_radius: float


def simulate_var(
    coefficients: ArrayLike,
    n_frames: int,
    *,
    n_runs: int = 1,
    noise_covariance: ArrayLike | None = None,
    rng: np.random.Generator | int | None = 0,
) -> VARSimulation:
    r"""Return series of a vector autoregression with Gaussian innovations.

    .. math:: x(t) = \sum_{k=1}^{p} A_k\, x(t - k) + \epsilon(t), \qquad \epsilon(t) \sim N(0, \Sigma)

    The first :math:`p` frames are drawn from the stationary distribution, so that nothing has to be
    thrown away.

    Parameters
    ----------
    coefficients : array, shape (lag, target, source) or (target, source)
        :math:`A_k`.
    n_frames : int
        Frames a run.
    n_runs : int, default 1
        Independent runs.
    noise_covariance : array, shape (region, region), optional
        :math:`\Sigma`, the identity by default.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    VARSimulation
        Series, coefficients, exact covariance.

    Raises
    ------
    DataError
        If the shapes do not fit, the noise covariance is not symmetric and positive semidefinite, or the
        autoregression is unstable; the message names its spectral radius.

    References
    ----------
    Luetkepohl (2005), New Introduction to Multiple Time Series Analysis, chapter 2,
    doi:10.1007/978-3-540-27752-1.

    Examples
    --------
    >>> from conn.data.simulators import simulate_var
    >>> made = simulate_var([[0.5, 0.0], [0.4, 0.5]], 200)
    >>> made.time_series.shape, made.spectral_radius, made.adjacency.tolist()
    ((1, 2, 200), 0.5, [[False, False], [True, False]])
    """
    given = _coefficients(coefficients)
    n_frames, n_runs = whole_number("n_frames", n_frames), whole_number("n_runs", n_runs)
    n_lags, n_regions, _ = given.shape
    noise = _noise(noise_covariance, n_regions)
    radius = _stable_radius(given)
    generator = np.random.default_rng(rng)
    stationary = _stationary(given, noise)
    start = generator.standard_normal((n_runs, n_lags * n_regions)) @ covariance_factor("covariance", stationary).T
    shocks = generator.standard_normal((n_frames, n_runs, n_regions)) @ covariance_factor("noise_covariance", noise).T
    series = recursion(given, start.reshape(n_runs, n_lags, n_regions), shocks)
    return VARSimulation(
        time_series=series,
        coefficients=given,
        noise_covariance=noise,
        covariance=stationary[:n_regions, :n_regions],
        adjacency=(given != 0).any(axis=0) & ~np.eye(n_regions, dtype=bool),
        spectral_radius=radius,
    )


def autocovariance(
    coefficients: ArrayLike, max_lag: int = 0, *, noise_covariance: ArrayLike | None = None
) -> NDArray[np.float64]:
    r"""Return the exact lagged covariances :math:`E[x(t)\, x(t-h)']` of a vector autoregression.

    Parameters
    ----------
    coefficients : array, shape (lag, target, source) or (target, source)
        As for `simulate_var`.
    max_lag : int, default 0
        The largest :math:`h`.
    noise_covariance : array, shape (region, region), optional
        Of the innovations, the identity by default.

    Returns
    -------
    array, shape (max_lag + 1, region, region)
        Entry ``[h, i, j]`` is the covariance of region i with region j, h frames before.

    Raises
    ------
    DataError
        As `simulate_var`.

    Examples
    --------
    >>> from conn.data.simulators import autocovariance
    >>> autocovariance([[0.6]], 2).ravel().round(4).tolist()
    [1.5625, 0.9375, 0.5625]
    """
    given = _coefficients(coefficients)
    max_lag = whole_number("max_lag", max_lag, 0)
    n_lags, n_regions, _ = given.shape
    noise = _noise(noise_covariance, n_regions)
    _stable_radius(given)
    stationary = _stationary(given, noise)
    # The first block row holds lags 0 to p - 1; the Yule-Walker equations give the others.
    known = [stationary[:n_regions, k * n_regions : (k + 1) * n_regions] for k in range(n_lags)]
    while len(known) <= max_lag:
        known.append(np.sum([given[k] @ known[-1 - k] for k in range(n_lags)], axis=0))
    return np.array(known[: max_lag + 1])


def baccala_sameshima(system: BaccalaSystem = "feedforward") -> NDArray[np.float64]:
    """Return the coefficients of a system on which directed connectivity is tried since 2001.

    Parameters
    ----------
    system : {"three", "feedforward", "chain", "loop"}, default "feedforward"
        Examples 2 to 5 of the paper: three regions; five regions in which the first drives 2, 3 and 4,
        and 4 and 5 drive each other; the chain 1, 2, 3, 4 with 4 and 5 driving each other; the same
        chain with feedback from 5 to 1. Innovations have unit variance.

    Returns
    -------
    array, shape (lag, target, source)
        For `simulate_var`.

    Raises
    ------
    DataError
        If there is no such system.

    References
    ----------
    Baccala & Sameshima (2001), Biological Cybernetics 84, 463-474, doi:10.1007/PL00007990.

    Examples
    --------
    >>> from conn.data.simulators import baccala_sameshima
    >>> baccala_sameshima("feedforward").shape
    (3, 5, 5)
    """
    if system not in _SYSTEMS:
        raise DataError(f"there is no system {system!r}, expected one of {', '.join(_SYSTEMS)}")
    entries = _SYSTEMS[system]
    size, depth = max(target for target, _, _ in entries), max(lag for _, _, lag in entries)
    coefficients = np.zeros((depth, size, size))
    for (target, source, lag), value in entries.items():
        coefficients[lag - 1, target - 1, source - 1] = value
    return coefficients


def random_var_coefficients(
    n_regions: int,
    *,
    n_lags: int = 1,
    density: float = 0.2,
    spectral_radius: float = 0.8,
    rng: np.random.Generator | int | None = 0,
) -> NDArray[np.float64]:
    """Return coefficients of a sparse autoregression with a given spectral radius.

    Parameters
    ----------
    n_regions : int
        Regions.
    n_lags : int, default 1
        Lags.
    density : float, default 0.2
        Probability that a region drives another one. A connection has a coefficient at each lag, its
        size uniform from 0.5 to 1 before scaling, its sign random. Each region depends on its own past.
    spectral_radius : float, default 0.8
        Of the companion matrix, below 1. Coefficients of lag k are scaled by the same factor to the
        power of k.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    array, shape (lag, target, source)
        For `simulate_var`.

    Raises
    ------
    DataError
        If a count is below 1, the density lies outside 0 to 1, or the radius outside 0 to 1.

    Examples
    --------
    >>> from conn.data.simulators import random_var_coefficients, simulate_var
    >>> round(simulate_var(random_var_coefficients(10, n_lags=2), 5).spectral_radius, 6)
    0.8
    """
    n_regions, n_lags = whole_number("n_regions", n_regions), whole_number("n_lags", n_lags)
    density, wanted = probability("density", density), real_number("spectral_radius", spectral_radius, above=0)
    if wanted >= 1:
        raise DataError(f"spectral_radius is {wanted:g}, expected a number below 1")
    generator = np.random.default_rng(rng)
    connected = generator.random((n_regions, n_regions)) < density
    np.fill_diagonal(connected, True)
    size = generator.uniform(0.5, 1.0, (n_lags, n_regions, n_regions))
    drawn = connected * size * generator.choice([-1.0, 1.0], size.shape)
    factor = wanted / _radius(drawn)
    return drawn * factor ** np.arange(1, n_lags + 1)[:, None, None]


def recursion(
    coefficients: NDArray[np.float64], start: NDArray[np.float64], shocks: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return series of shape (run, region, frame) that begin with the first frames given.

    `start` has shape (run, lag, region), the most recent frame first; `shocks` has shape
    (frame, run, region).
    """
    n_lags = len(coefficients)
    n_frames, n_runs, n_regions = shocks.shape
    series = np.empty((n_frames + n_lags, n_runs, n_regions))
    series[:n_lags] = start[:, ::-1].swapaxes(0, 1)
    series[n_lags:] = shocks
    # All lags side by side, so that a frame costs one product.
    onward = np.concatenate([coefficients[k].T for k in range(n_lags)])
    for frame in range(n_lags, n_frames + n_lags):
        past = [series[frame - 1 - k] for k in range(n_lags)]
        series[frame] += (past[0] if n_lags == 1 else np.concatenate(past, axis=-1)) @ onward
    return np.ascontiguousarray(series[:n_frames].transpose(1, 2, 0))


def covariance_factor(name: str, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return F with F F' the covariance, which may be singular.

    Raises
    ------
    DataError
        If the covariance has an eigenvalue below 0 by more than rounding.
    """
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -1e-8 * max(abs(values[-1]), np.finfo(float).tiny):
        raise DataError(f"{name} is not positive semidefinite: its smallest eigenvalue is {values[0]:.3g}")
    return vectors * np.sqrt(np.clip(values, 0, None))


def _coefficients(coefficients: ArrayLike) -> NDArray[np.float64]:
    given = np.asarray(coefficients)
    if given.ndim == 2:
        given = given[None]
    array = finite_array("coefficients", given, ("lag", "target", "source"))
    if array.shape[1] != array.shape[2]:
        raise DataError(f"coefficients have shape {array.shape}, expected as many targets as sources")
    return array


def _noise(noise_covariance: ArrayLike | None, n_regions: int) -> NDArray[np.float64]:
    if noise_covariance is None:
        return np.eye(n_regions)
    noise = square_matrix("noise_covariance", noise_covariance, symmetric=True)
    if len(noise) != n_regions:
        raise DataError(f"noise_covariance has shape {noise.shape}, expected ({n_regions}, {n_regions})")
    return noise


def _companion(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    n_lags, n_regions, _ = coefficients.shape
    companion = np.eye(n_lags * n_regions, k=-n_regions)
    companion[:n_regions] = coefficients.transpose(1, 0, 2).reshape(n_regions, -1)
    return companion


def _radius(coefficients: NDArray[np.float64]) -> float:
    return float(np.abs(np.linalg.eigvals(_companion(coefficients))).max())


def _stable_radius(coefficients: NDArray[np.float64]) -> float:
    radius = _radius(coefficients)
    if radius >= 1:
        raise DataError(f"the autoregression is unstable: its spectral radius is {radius:.4g}, expected below 1")
    return radius


def _stationary(coefficients: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.linalg import solve_discrete_lyapunov

    companion = _companion(coefficients)
    driven = np.zeros_like(companion)
    driven[: len(noise), : len(noise)] = noise
    found = solve_discrete_lyapunov(companion, driven)
    return (found + found.T) / 2
