"""Oscillations within bands of frequency, with a known coherence and phase in each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import whole_number
from conn.data.errors import DataError
from conn.data.simulators.band import Band

__all__ = ["OscillatorSimulation", "simulate_oscillators"]


@dataclass(frozen=True, kw_only=True, eq=False)
class OscillatorSimulation:
    """Series of oscillations within bands.

    Parameters
    ----------
    time_series : array, shape (run, region, frame)
        The sum over bands.
    parts : array, shape (band, run, region, frame)
        Each band by itself.
    cross_spectra : complex array, shape (band, region, region)
        What the regions share within each band: the real part is the covariance of the part.
    coherence : array, shape (band, region, region)
        Magnitude-squared coherence; NaN where a region has no power in the band.
    phase : array, shape (band, region, region)
        Radians by which region i leads region j.
    bands : tuple of (float, float)
        In hertz.
    repetition_time : float
        Seconds from a frame to the next.
    """

    time_series: NDArray[np.float64]
    parts: NDArray[np.float64]
    cross_spectra: NDArray[np.complex128]
    coherence: NDArray[np.float64]
    phase: NDArray[np.float64]
    bands: tuple[tuple[float, float], ...]
    repetition_time: float


def simulate_oscillators(
    cross_spectra: ArrayLike,
    bands: Sequence[tuple[float, float]],
    n_frames: int,
    *,
    repetition_time: float,
    n_runs: int = 1,
    rng: np.random.Generator | int | None = 0,
) -> OscillatorSimulation:
    r"""Return Gaussian series with given cross-spectra that are flat within bands.

    In every Fourier bin of band :math:`b` the regions' amplitudes are drawn from the complex normal
    distribution with covariance :math:`S_b`, so that the covariance of the series is
    :math:`\sum_b \operatorname{Re} S_b`, coherence within a band is
    :math:`|S_{ij}|^2 / (S_{ii} S_{jj})`, and region i leads j by :math:`\arg S_{ij}`.

    Parameters
    ----------
    cross_spectra : array, shape (band, region, region)
        Hermitian and positive semidefinite; a real matrix is a covariance without lags.
    bands : sequence of (float, float), one a band
        Lowest and highest frequency in hertz. Bands may overlap.
    n_frames : int
        Frames a run.
    repetition_time : float
        Seconds from a frame to the next.
    n_runs : int, default 1
        Independent runs.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    OscillatorSimulation
        Series, parts, and what is true of them.

    Raises
    ------
    DataError
        If shapes do not fit, a matrix is not Hermitian and positive semidefinite, or a band holds fewer
        than two frequencies or reaches the Nyquist frequency.

    Examples
    --------
    >>> from conn.data.simulators import simulate_oscillators
    >>> made = simulate_oscillators([[[1, 0.5j], [-0.5j, 1]]], [(0.02, 0.08)], 300, repetition_time=2.0)
    >>> made.time_series.shape, round(float(made.coherence[0, 0, 1]), 2), round(float(made.phase[0, 0, 1]), 2)
    ((1, 2, 300), 0.25, 1.57)
    """
    spectra = np.asarray(cross_spectra, dtype=np.complex128)
    if spectra.ndim != 3 or 0 in spectra.shape or spectra.shape[1] != spectra.shape[2]:
        raise DataError(f"cross_spectra has shape {spectra.shape}, expected (band, region, region)")
    if len(bands) != len(spectra):
        raise DataError(f"there are {len(bands)} bands, cross_spectra has {len(spectra)}")
    n_frames, n_runs = whole_number("n_frames", n_frames), whole_number("n_runs", n_runs)
    generator = np.random.default_rng(rng)
    parts = np.empty((len(spectra), n_runs, spectra.shape[1], n_frames))
    for place, (spectrum, band) in enumerate(zip(spectra, bands, strict=True)):
        if not np.isfinite(spectrum).all() or not np.allclose(spectrum, spectrum.conj().T):
            raise DataError(f"cross_spectra[{place}] is not Hermitian and finite")
        values, vectors = np.linalg.eigh(spectrum)
        if values[0] < -1e-8 * max(abs(values[-1]), np.finfo(float).tiny):
            raise DataError(
                f"cross_spectra[{place}] is not positive semidefinite: its smallest eigenvalue is {values[0]:.3g}"
            )
        inside = Band(n_frames, repetition_time, band).inside
        if inside[0] or (n_frames % 2 == 0 and inside[-1]):
            raise DataError(f"band {place} from {band[0]:g} to {band[1]:g} Hz holds 0 or the Nyquist frequency")
        n_bins = np.count_nonzero(inside)
        draws = generator.standard_normal((2, n_runs, n_bins, spectra.shape[1]))
        amplitudes = (draws[0] + 1j * draws[1]) / np.sqrt(2) @ (vectors * np.sqrt(np.clip(values, 0, None))).T
        bins = np.zeros((n_runs, spectra.shape[1], inside.size), dtype=np.complex128)
        bins[..., inside] = amplitudes.swapaxes(1, 2) * n_frames / np.sqrt(2 * n_bins)
        parts[place] = np.fft.irfft(bins, n=n_frames)
    power = np.einsum("bii->bi", spectra).real
    with np.errstate(invalid="ignore", divide="ignore"):
        coherence = np.abs(spectra) ** 2 / (power[:, :, None] * power[:, None])
    return OscillatorSimulation(
        time_series=parts.sum(axis=0),
        parts=parts,
        cross_spectra=spectra,
        coherence=coherence,
        phase=np.angle(spectra),
        bands=tuple((float(low), float(high)) for low, high in bands),
        repetition_time=float(repetition_time),
    )
