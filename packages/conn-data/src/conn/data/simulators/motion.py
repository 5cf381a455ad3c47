"""Motion artefacts whose coupling to motion is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import finite_array, real_number, whole_number
from conn.data.errors import DataError

__all__ = ["MotionSimulation", "add_motion", "motion_traces"]


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionSimulation:
    """Scans with motion artefacts, and the artefacts by themselves.

    Parameters
    ----------
    time_series : array, shape (scan, region, frame)
        The clean series with all three artefacts.
    motion : array, shape (scan, frame)
        Framewise displacement in millimetres; 0 in the first frame.
    spikes, delayed, local : array, shape (scan, region, frame)
        The artefacts: of the frame that moved, of those after it, and of neighbouring regions.
    decay : float
        Seconds in which the delayed artefact falls by a factor e.
    length_scale : float
        Millimetres over which regions share the local artefact.
    """

    time_series: NDArray[np.float64]
    motion: NDArray[np.float64]
    spikes: NDArray[np.float64]
    delayed: NDArray[np.float64]
    local: NDArray[np.float64]
    decay: float
    length_scale: float


def motion_traces(
    n_scans: int,
    n_frames: int,
    *,
    levels: tuple[float, float] = (0.04, 0.12),
    spike_probability: float = 0.02,
    spike_size: float = 0.4,
    rng: np.random.Generator | int | None = 0,
) -> NDArray[np.float64]:
    """Return traces of framewise displacement: a lognormal base and occasional jerks.

    Parameters
    ----------
    n_scans, n_frames : int
        Traces, and their length.
    levels : tuple of float, default (0.04, 0.12)
        Between which each scan's median lies, in millimetres.
    spike_probability : float, default 0.02
        Of a jerk in a frame.
    spike_size : float, default 0.4
        Mean of the jerks' exponential distribution, in millimetres.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    array, shape (scan, frame)
        Millimetres; 0 in the first frame, which has none before it.

    Raises
    ------
    DataError
        If a count is below 1, a number is negative or the levels run backwards.

    Examples
    --------
    >>> from conn.data.simulators import motion_traces
    >>> motion_traces(2, 5)[:, 0].tolist()
    [0.0, 0.0]
    """
    shape = (whole_number("n_scans", n_scans), whole_number("n_frames", n_frames))
    low, high = (real_number("levels", level, minimum=0) for level in levels)
    if low > high:
        raise DataError(f"levels run backwards: {low:g} to {high:g} mm")
    generator = np.random.default_rng(rng)
    trace = generator.uniform(low, high, (shape[0], 1)) * generator.lognormal(0.0, 0.4, shape)
    spikes = generator.random(shape) < real_number("spike_probability", spike_probability, minimum=0)
    trace += spikes * generator.exponential(real_number("spike_size", spike_size, minimum=0), shape)
    trace[:, 0] = 0.0
    return trace


def add_motion(
    time_series: ArrayLike,
    coordinates: ArrayLike,
    *,
    motion: ArrayLike | None = None,
    repetition_time: float = 2.0,
    spike: float = 1.0,
    delayed: float = 0.5,
    local: float = 2.0,
    decay: float = 10.0,
    length_scale: float = 30.0,
    rng: np.random.Generator | int | None = 0,
) -> MotionSimulation:
    r"""Return scans with motion artefacts of three kinds added.

    With displacement :math:`m(t)` and each region's standard deviation :math:`\sigma_r`,

    .. math::

        \text{spike:}\quad & -a\, \sigma_r\, m(t), \\
        \text{delayed:}\quad & b\, \sigma_r \sum_{k \ge 1} m(t - k)\, e^{-k T / \theta}, \\
        \text{local:}\quad & c\, \sigma_r\, m(t)\, \phi_r(t),

    where :math:`\phi(t)` is a field of unit variance drawn anew in every frame, with correlation
    :math:`e^{-d^2 / 2 \ell^2}` between regions :math:`d` apart. The first two raise correlations everywhere, the
    third those of neighbours: its expected contribution to the covariance of two regions is
    :math:`c^2 \sigma_i \sigma_j\, \overline{m^2}\, e^{-d^2 / 2 \ell^2}`.

    Parameters
    ----------
    time_series : array, shape (scan, region, frame)
        Clean series. A constant region gets no artefact.
    coordinates : array, shape (region, 3)
        Millimetres.
    motion : array, shape (scan, frame), optional
        Framewise displacement in millimetres, at least 0; by default `motion_traces`.
    repetition_time : float, default 2
        :math:`T`, seconds from a frame to the next.
    spike, delayed, local : float, defaults 1, 0.5 and 2
        :math:`a, b, c`, standard deviations a millimetre; 0 leaves a kind out.
    decay : float, default 10
        :math:`\theta` in seconds.
    length_scale : float, default 30
        :math:`\ell` in millimetres.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    MotionSimulation
        Scans, motion, and each artefact.

    Raises
    ------
    DataError
        If shapes do not fit, a value is not finite, or motion or a coupling is negative.

    References
    ----------
    Power et al. (2012), NeuroImage 59, 2142-2154, doi:10.1016/j.neuroimage.2011.10.018; delays of tens of
    seconds: Satterthwaite et al. (2013), NeuroImage 64, 240-256, doi:10.1016/j.neuroimage.2012.08.052.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.simulators import add_motion
    >>> rng = np.random.default_rng(0)
    >>> made = add_motion(rng.normal(size=(2, 4, 30)), rng.normal(size=(4, 3)) * 40, local=0.0)
    >>> made.time_series.shape, float(abs(made.local).max())
    ((2, 4, 30), 0.0)
    """
    clean = finite_array("time_series", time_series, ("scan", "region", "frame"))
    n_scans, n_regions, n_frames = clean.shape
    points = finite_array("coordinates", coordinates, (n_regions, 3))
    step = real_number("repetition_time", repetition_time, above=0)
    strengths = [
        real_number(name, value, minimum=0)
        for name, value in (("spike", spike), ("delayed", delayed), ("local", local))
    ]
    decay, length_scale = real_number("decay", decay, above=0), real_number("length_scale", length_scale, above=0)
    generator = np.random.default_rng(rng)
    if motion is None:
        moved = motion_traces(n_scans, n_frames, rng=generator)
    else:
        moved = finite_array("motion", motion, (n_scans, n_frames))
        if (moved < 0).any():
            raise DataError("motion is negative, expected displacements of at least 0 mm")
    size = clean.std(axis=-1, keepdims=True)
    lingering = np.zeros_like(moved)
    fade = np.exp(-step / decay)
    for frame in range(1, n_frames):
        lingering[:, frame] = fade * (lingering[:, frame - 1] + moved[:, frame - 1])
    spikes = -strengths[0] * size * moved[:, None]
    after = strengths[1] * size * lingering[:, None]
    near = np.zeros_like(clean)
    if strengths[2]:
        # Few enough regions for a matrix: its square root gives all frames of all scans at once.
        apart = np.square(points[:, None] - points).sum(axis=-1)
        values, vectors = np.linalg.eigh(np.exp(-apart / (2 * length_scale**2)))
        fields = (vectors * np.sqrt(np.clip(values, 0, None))) @ generator.standard_normal(clean.shape)
        near = strengths[2] * size * moved[:, None] * fields
    return MotionSimulation(
        time_series=clean + spikes + after + near,
        motion=moved,
        spikes=spikes,
        delayed=after,
        local=near,
        decay=decay,
        length_scale=length_scale,
    )
