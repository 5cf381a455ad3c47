"""Stationary series matched to a covariance and a spectrum: what real scans would be without dynamics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import finite_array, square_matrix, whole_number
from conn.data.errors import DataError
from conn.data.simulators.autoregression import covariance_factor

__all__ = ["MatchedSimulation", "simulate_like", "simulate_matched"]


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchedSimulation:
    """Stationary Gaussian series with a given covariance and spectrum.

    Parameters
    ----------
    time_series : array, shape (run, region, frame)
        Of mean 0.
    covariance : array, shape (region, region)
        What the series were matched to.
    spectrum : array, shape (frequency,)
        Share of the variance in each Fourier bin from 0 to the Nyquist frequency; sums to 1.
    """

    time_series: NDArray[np.float64]
    covariance: NDArray[np.float64]
    spectrum: NDArray[np.float64]


def simulate_matched(
    covariance: ArrayLike,
    spectrum: ArrayLike,
    n_frames: int,
    *,
    n_runs: int = 1,
    exact: bool = False,
    rng: np.random.Generator | int | None = 0,
) -> MatchedSimulation:
    """Return stationary Gaussian series with a given covariance, every region with the same spectrum.

    White noise is filtered to the spectrum and mixed by a square root of the covariance. Whatever a measure
    of dynamics finds in such series is due to sampling, not to changes of connectivity.

    Parameters
    ----------
    covariance : array, shape (region, region)
        Symmetric and positive semidefinite.
    spectrum : array, shape (frame // 2 + 1,)
        Power in each Fourier bin, at least 0, in any unit. The first bin, the mean, counts as 0.
    n_frames : int
        Frames a run.
    n_runs : int, default 1
        Independent runs.
    exact : bool, default False
        Match the covariance (divisor: frames) of each run exactly, and not in expectation. The noise is
        whitened first, which needs more degrees of freedom than regions.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    MatchedSimulation
        Series, and what they are matched to.

    Raises
    ------
    DataError
        If the shapes do not fit, the covariance is not one, the spectrum is negative or 0 everywhere, or
        an exact match is asked for with too few frames or frequencies.

    References
    ----------
    Laumann et al. (2017), Cerebral Cortex 27, 4719-4732, doi:10.1093/cercor/bhw265.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.simulators import simulate_matched
    >>> made = simulate_matched([[1, 0.5], [0.5, 1]], 1 / np.arange(1, 102), 200, exact=True)
    >>> np.cov(made.time_series[0], ddof=0).round(6).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    wanted = square_matrix("covariance", covariance, symmetric=True)
    n_frames, n_runs = whole_number("n_frames", n_frames, 3), whole_number("n_runs", n_runs)
    power = finite_array("spectrum", spectrum, (n_frames // 2 + 1,)).copy()
    if (power < 0).any():
        raise DataError("spectrum holds negative power")
    power[0] = 0
    # A bin between the first and the Nyquist frequency stands for two of the full transform.
    twice = np.full(power.size, 2.0)
    twice[-1] = 1.0 if n_frames % 2 == 0 else 2.0
    total = (power * twice).sum()
    if total == 0:
        raise DataError("spectrum has no power beside the mean")
    factor = covariance_factor("covariance", wanted)
    freedom = int(twice[power > 0].sum())
    if exact and freedom < len(wanted):
        raise DataError(
            f"an exact match of {len(wanted)} regions needs as many degrees of freedom; the spectrum leaves {freedom}"
        )
    generator = np.random.default_rng(rng)
    white = generator.standard_normal((n_runs, len(wanted), n_frames))
    gain = np.sqrt(power * n_frames / total)
    filtered = np.fft.irfft(np.fft.rfft(white) * gain, n=n_frames)
    if exact:
        values, vectors = np.linalg.eigh(filtered @ filtered.swapaxes(1, 2) / n_frames)
        filtered = (vectors / np.sqrt(values)[:, None]) @ vectors.swapaxes(1, 2) @ filtered
    return MatchedSimulation(time_series=factor @ filtered, covariance=wanted, spectrum=power * twice / total)


def simulate_like(
    time_series: ArrayLike, *, n_runs: int = 1, exact: bool = False, rng: np.random.Generator | int | None = 0
) -> MatchedSimulation:
    """Return stationary series with the covariance and the mean spectrum of a scan.

    Parameters
    ----------
    time_series : array, shape (region, frame)
        A scan. Its spectrum is the mean over regions, each scaled to unit variance.
    n_runs, exact, rng
        As for `simulate_matched`.

    Returns
    -------
    MatchedSimulation
        Series of the scan's length, of mean 0.

    Raises
    ------
    DataError
        If the series are not finite, or a region is constant.

    References
    ----------
    Laumann et al. (2017), Cerebral Cortex 27, 4719-4732, doi:10.1093/cercor/bhw265.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.simulators import simulate_like
    >>> simulate_like(np.random.default_rng(0).normal(size=(3, 50)), n_runs=4).time_series.shape
    (4, 3, 50)
    """
    series = finite_array("time_series", time_series, ("region", "frame"))
    centred = series - series.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1)
    constant = np.flatnonzero(spread <= 1e-12 * np.abs(series).max(axis=1))
    if constant.size:
        raise DataError(f"region {constant[0]} is constant: it has no spectrum")
    power = (np.abs(np.fft.rfft(centred / spread[:, None])) ** 2).mean(axis=0)
    covariance = centred @ centred.T / series.shape[1]
    return simulate_matched(covariance, power, series.shape[1], n_runs=n_runs, exact=exact, rng=rng)
