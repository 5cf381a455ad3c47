"""Noise and filtering within a band, by the exact Fourier bins of one scan length."""

import numpy as np
from numpy.typing import NDArray

from conn.data.checks import real_number
from conn.data.errors import DataError

__all__ = ["Band"]


class Band:
    """The Fourier bins of a scan that lie within a band of frequencies.

    Parameters
    ----------
    n_frames : int
        Length of the scan.
    repetition_time : float
        Seconds from a frame to the next.
    band : tuple of float
        Lowest and highest frequency in hertz, both included.

    Raises
    ------
    DataError
        If the repetition time is not positive, the band runs backwards, or the scan resolves fewer
        than two frequencies in it.
    """

    def __init__(self, n_frames: int, repetition_time: float, band: tuple[float, float]) -> None:
        repetition_time = real_number("repetition_time", repetition_time, above=0)
        low, high = (real_number("band", edge, minimum=0) for edge in band)
        if low >= high:
            raise DataError(f"the band from {low:g} to {high:g} Hz runs backwards")
        frequencies = np.fft.rfftfreq(n_frames, repetition_time)
        self.inside: NDArray[np.bool_] = (frequencies >= low) & (frequencies <= high)
        self.n_frames = n_frames
        if np.count_nonzero(self.inside) < 2:
            raise DataError(
                f"{n_frames} frames of {repetition_time:g} s resolve fewer than two frequencies "
                f"from {low:g} to {high:g} Hz: take more frames"
            )

    def limit(self, series: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return series of shape (..., frame) without what lies outside the band."""
        spectrum = np.fft.rfft(series, axis=-1) * self.inside
        return np.fft.irfft(spectrum, n=self.n_frames, axis=-1)

    def noise(self, shape: int | tuple[int, ...], generator: np.random.Generator) -> NDArray[np.floating]:
        """Return noise of unit variance within the band, of the given leading shape and the scan's frames."""
        leading = (shape,) if isinstance(shape, int) else shape
        limited = self.limit(generator.standard_normal((*leading, self.n_frames)))
        return limited / limited.std(axis=-1, keepdims=True)
