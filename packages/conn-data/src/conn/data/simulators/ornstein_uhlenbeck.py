"""Ornstein-Uhlenbeck networks: linear dynamics in continuous time, sampled exactly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import real_number, square_matrix, whole_number
from conn.data.errors import DataError
from conn.data.simulators.autoregression import covariance_factor, recursion

__all__ = ["OUSimulation", "simulate_ou"]


@dataclass(frozen=True, kw_only=True, eq=False)
class OUSimulation:
    """Series of an Ornstein-Uhlenbeck network, and what they were made with.

    Parameters
    ----------
    time_series : array, shape (run, region, frame)
        Independent runs, stationary from the first frame on.
    jacobian : array, shape (target, source)
        Per second.
    noise_covariance : array, shape (region, region)
        Covariance that the noise gathers in a second.
    covariance : array, shape (region, region)
        Of the regions at one time, exact.
    repetition_time : float
        Seconds from a frame to the next.
    """

    time_series: NDArray[np.float64]
    jacobian: NDArray[np.float64]
    noise_covariance: NDArray[np.float64]
    covariance: NDArray[np.float64]
    repetition_time: float

    def lagged_covariance(self, lag: float) -> NDArray[np.float64]:
        r"""Return the exact :math:`E[x(t)\, x(t - h)'] = e^{J h} C`.

        Parameters
        ----------
        lag : float
            :math:`h` in seconds, at least 0.

        Returns
        -------
        array, shape (region, region)
            Entry ``[i, j]``: region i with region j, a lag before.

        Raises
        ------
        DataError
            If the lag is negative.
        """
        from scipy.linalg import expm

        return expm(self.jacobian * real_number("lag", lag, minimum=0)) @ self.covariance


def simulate_ou(
    jacobian: ArrayLike,
    n_frames: int,
    *,
    repetition_time: float = 1.0,
    n_runs: int = 1,
    noise_covariance: ArrayLike | None = None,
    rng: np.random.Generator | int | None = 0,
) -> OUSimulation:
    r"""Return series of the network :math:`dx = J x\, dt + dW` at regular times, without error of discretisation.

    With :math:`\operatorname{cov}(dW) = \Sigma\, dt` the stationary covariance solves
    :math:`J C + C J' + \Sigma = 0`, and samples :math:`h` apart are the autoregression
    :math:`x(t + h) = e^{J h} x(t) + \epsilon` with
    :math:`\operatorname{cov}(\epsilon) = C - e^{J h} C e^{J' h}`.

    Parameters
    ----------
    jacobian : array, shape (target, source)
        :math:`J`, per second; all its eigenvalues have a negative real part.
    n_frames : int
        Frames a run.
    repetition_time : float, default 1
        Seconds from a frame to the next.
    n_runs : int, default 1
        Independent runs.
    noise_covariance : array, shape (region, region), optional
        :math:`\Sigma`, per second; the identity by default.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    OUSimulation
        Series, Jacobian, exact covariances.

    Raises
    ------
    DataError
        If the shapes do not fit, the noise covariance is not symmetric and positive semidefinite, or the
        network is unstable; the message names the largest real part.

    References
    ----------
    Gilson et al. (2016), PLoS Computational Biology 12, e1004762, doi:10.1371/journal.pcbi.1004762.

    Examples
    --------
    >>> from conn.data.simulators import simulate_ou
    >>> made = simulate_ou([[-1.0, 0.0], [0.5, -1.0]], 100, repetition_time=0.5)
    >>> made.covariance.round(4).tolist()
    [[0.5, 0.125], [0.125, 0.5625]]
    """
    from scipy.linalg import expm, solve_continuous_lyapunov

    rates = square_matrix("jacobian", jacobian)
    n_frames, n_runs = whole_number("n_frames", n_frames), whole_number("n_runs", n_runs)
    step = real_number("repetition_time", repetition_time, above=0)
    n_regions = len(rates)
    noise = np.eye(n_regions)
    if noise_covariance is not None:
        noise = square_matrix("noise_covariance", noise_covariance, symmetric=True)
        if len(noise) != n_regions:
            raise DataError(f"noise_covariance has shape {noise.shape}, expected ({n_regions}, {n_regions})")
    covariance_factor("noise_covariance", noise)
    slowest = float(np.linalg.eigvals(rates).real.max())
    if slowest >= 0:
        raise DataError(f"the network is unstable: the largest real part of an eigenvalue is {slowest:.4g} per second")
    solved = np.asarray(solve_continuous_lyapunov(rates, -noise), dtype=np.float64)
    covariance = (solved + solved.T) / 2
    onward = np.asarray(expm(rates * step), dtype=np.float64)
    gathered = covariance - onward @ covariance @ onward.T
    generator = np.random.default_rng(rng)
    start = generator.standard_normal((n_runs, n_regions)) @ covariance_factor("covariance", covariance).T
    shocks = generator.standard_normal((n_frames, n_runs, n_regions)) @ covariance_factor("noise", gathered).T
    return OUSimulation(
        time_series=recursion(onward[None], start[:, None], shocks),
        jacobian=rates,
        noise_covariance=noise,
        covariance=covariance,
        repetition_time=step,
    )
