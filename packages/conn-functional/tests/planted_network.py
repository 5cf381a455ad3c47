"""A network whose directed connections are known, [target, source], and series that it makes."""

import numpy as np

TRUTH = np.array([[0.5, 0.3, 0.0], [0.0, 0.4, 0.0], [-0.3, 0.0, 0.5]])


def simulated(rng: np.random.Generator, n_frames: int, coefficients: np.ndarray = TRUTH) -> np.ndarray:
    """Return the series, shape (region, frame), of a vector autoregression with unit noise."""
    noise, series = rng.normal(size=(n_frames, len(coefficients))), np.zeros((n_frames, len(coefficients)))
    for frame in range(1, n_frames):
        series[frame] = coefficients @ series[frame - 1] + noise[frame]
    return series.T
