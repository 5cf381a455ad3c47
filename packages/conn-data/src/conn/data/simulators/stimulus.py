"""Regions driven by stimuli, and what BOLD, MEG and calcium imaging see of them."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import finite_array, real_number, square_matrix
from conn.data.errors import DataError
from conn.data.simulators.haemodynamics import double_gamma

__all__ = ["Measurement", "ResponseSimulation", "calcium_kernel", "event_stimulus", "measure", "simulate_responses"]

Measurement = Literal["bold", "meg", "calcium"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ResponseSimulation:
    """Activity of regions under stimuli.

    Parameters
    ----------
    activity : array, shape (region, time)
        At the beginning of each time step; 0 at first.
    stimulus : array, shape (stimulus, time)
        What drove it, constant within a step.
    connectivity : array, shape (target, source)
        :math:`W`.
    input_weights : array, shape (region, stimulus)
        :math:`B`.
    time_constant : float
        Seconds.
    step : float
        Seconds.
    """

    activity: NDArray[np.float64]
    stimulus: NDArray[np.float64]
    connectivity: NDArray[np.float64]
    input_weights: NDArray[np.float64]
    time_constant: float
    step: float


def event_stimulus(
    onsets: ArrayLike, durations: ArrayLike, *, duration: float, step: float, amplitudes: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """Return events as a time course in which each keeps its area, whatever the step.

    Parameters
    ----------
    onsets : array, shape (event,)
        Seconds.
    durations : float or array, shape (event,)
        Seconds, above 0.
    duration : float
        Length of the time course in seconds.
    step : float
        Seconds from a sample to the next.
    amplitudes : float or array, shape (event,), default 1
        Height of each event. Overlapping events add up.

    Returns
    -------
    array, shape (time,)
        Mean of the stimulus over each step.

    Raises
    ------
    DataError
        If an event begins before 0 or ends after the time course, or a duration is not positive.

    Examples
    --------
    >>> from conn.data.simulators import event_stimulus
    >>> event_stimulus([0.5], [1.0], duration=2.0, step=0.4).round(3).tolist()
    [0.0, 0.75, 1.0, 0.75, 0.0]
    """
    begins = finite_array("onsets", onsets, ("event",))
    lasts, heights = (np.broadcast_to(np.asarray(v, dtype=np.float64), begins.shape) for v in (durations, amplitudes))
    step = real_number("step", step, above=0)
    n_times = round(real_number("duration", duration, above=0) / step)
    if not np.isfinite(heights).all() or not (np.isfinite(lasts) & (lasts > 0)).all():
        raise DataError("durations must be positive and amplitudes finite")
    if (begins < 0).any() or (begins + lasts > n_times * step + 1e-9).any():
        raise DataError(f"an event lies outside the time course from 0 to {n_times * step:g} s")
    edges = np.arange(n_times + 1) * step
    # The integral of each event up to each edge; its differences keep the area.
    gathered = np.clip(edges[:, None] - begins, 0, lasts) @ heights
    return np.diff(gathered) / step


def simulate_responses(
    stimulus: ArrayLike,
    connectivity: ArrayLike,
    input_weights: ArrayLike,
    *,
    step: float = 0.01,
    time_constant: float = 0.1,
    noise: float = 0.0,
    rng: np.random.Generator | int | None = 0,
) -> ResponseSimulation:
    r"""Return the activity of a linear network under stimuli, integrated exactly.

    .. math:: \tau\, \dot x = -x + W x + B\, u(t)

    with :math:`u` constant within a step. `measure` turns activity into a measurement.

    Parameters
    ----------
    stimulus : array, shape (stimulus, time)
        :math:`u`; `event_stimulus` makes one from events.
    connectivity : array, shape (target, source)
        :math:`W`; the real parts of its eigenvalues lie below 1.
    input_weights : array, shape (region, stimulus)
        :math:`B`.
    step : float, default 0.01
        Seconds.
    time_constant : float, default 0.1
        :math:`\tau` in seconds.
    noise : float, default 0
        Standard deviation of white noise added to the drive of each region in every step.
    rng : numpy.random.Generator, int or None, default 0
        Source of the noise.

    Returns
    -------
    ResponseSimulation
        Activity and what made it.

    Raises
    ------
    DataError
        If shapes do not fit, or the network is unstable; the message names the largest real part.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.simulators import simulate_responses
    >>> made = simulate_responses(np.ones((1, 200)), [[0.0, 0.0], [0.5, 0.0]], [[1.0], [0.0]])
    >>> made.activity[:, -1].round(3).tolist()
    [1.0, 0.5]
    """
    from scipy.linalg import expm

    given = finite_array("stimulus", stimulus, ("stimulus", "time"))
    wiring = square_matrix("connectivity", connectivity)
    gains = finite_array("input_weights", input_weights, (len(wiring), len(given)))
    step, tau = real_number("step", step, above=0), real_number("time_constant", time_constant, above=0)
    noise = real_number("noise", noise, minimum=0)
    rates = (wiring - np.eye(len(wiring))) / tau
    largest = float(np.linalg.eigvals(rates).real.max())
    if largest >= 0:
        raise DataError(f"the network is unstable: the largest real part of an eigenvalue is {largest:.4g} per second")
    drive = gains @ given
    if noise:
        drive = drive + noise * np.random.default_rng(rng).standard_normal(drive.shape)
    onward = expm(rates * step)
    arriving = np.linalg.solve(rates, onward - np.eye(len(wiring))) @ drive / tau
    activity = np.zeros_like(drive)
    for time in range(1, drive.shape[1]):
        activity[:, time] = onward @ activity[:, time - 1] + arriving[:, time - 1]
    return ResponseSimulation(
        activity=activity,
        stimulus=given,
        connectivity=wiring,
        input_weights=gains,
        time_constant=tau,
        step=step,
    )


def calcium_kernel(time: ArrayLike, *, rise: float = 0.045, decay: float = 0.2) -> NDArray[np.float64]:
    r"""Return the fluorescence after a spike, :math:`e^{-t / \tau_d} - e^{-t / \tau_r}`, with a peak of 1.

    Parameters
    ----------
    time : array, any shape
        Seconds after the spike.
    rise, decay : float, defaults 0.045 and 0.2
        Time constants in seconds, the rise shorter. The defaults are of the order of a fast indicator.

    Returns
    -------
    array, shape of time
        0 before the spike and where the time is NaN.

    Raises
    ------
    DataError
        If a constant is not positive or the rise is not shorter.

    References
    ----------
    Chen et al. (2013), Nature 499, 295-300, doi:10.1038/nature12354.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.simulators import calcium_kernel
    >>> round(float(calcium_kernel(np.arange(0, 1, 1e-4)).max()), 6)
    1.0
    """
    rise, decay = real_number("rise", rise, above=0), real_number("decay", decay, above=0)
    if rise >= decay:
        raise DataError(f"the rise of {rise:g} s is not shorter than the decay of {decay:g} s")
    since = np.asarray(time, dtype=np.float64)
    passed = np.where(since > 0, since, 0.0)
    peak = np.log(decay / rise) * rise * decay / (decay - rise)
    return (np.exp(-passed / decay) - np.exp(-passed / rise)) / (np.exp(-peak / decay) - np.exp(-peak / rise))


def measure(
    activity: ArrayLike,
    kind: Measurement,
    *,
    step: float,
    sampling_time: float,
    delays: ArrayLike | None = None,
    lead_field: ArrayLike | None = None,
    rise: float = 0.045,
    decay: float = 0.2,
    noise: float = 0.0,
    rng: np.random.Generator | int | None = 0,
) -> NDArray[np.float64]:
    r"""Return what a method of measurement sees of activity.

    BOLD: :math:`y(t) = \int h(s - \delta_r)\, x_r(t - s)\, ds` with SPM's response of unit area;
    MEG: :math:`y = L\, x`, at once; calcium: the convolution with `calcium_kernel`.

    Parameters
    ----------
    activity : array, shape (region, time)
        As from `simulate_responses`.
    kind : {"bold", "meg", "calcium"}
        The forward model.
    step : float
        Seconds from a sample of the activity to the next.
    sampling_time : float
        Seconds from a measurement to the next, a multiple of the step; the first is at time 0.
    delays : array, shape (region,), optional
        BOLD only: onset of each region's response, in seconds, at least 0.
    lead_field : array, shape (sensor, region), optional
        MEG only, and needed there.
    rise, decay : float, defaults 0.045 and 0.2
        Calcium only, in seconds.
    noise : float, default 0
        Standard deviation of white measurement noise.
    rng : numpy.random.Generator, int or None, default 0
        Source of the noise.

    Returns
    -------
    array, shape (region or sensor, sample)
        Measurements.

    Raises
    ------
    DataError
        If the kind is unknown, an argument belongs to another kind or lacks, shapes do not fit, or the sampling
        time is no multiple of the step.

    References
    ----------
    Friston et al. (1998), NeuroImage 7, 30-40, doi:10.1006/nimg.1997.0306; Hamalainen et al. (1993), Reviews
    of Modern Physics 65, 413-497, doi:10.1103/RevModPhys.65.413; Chen et al. (2013), Nature 499, 295-300,
    doi:10.1038/nature12354.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.simulators import measure
    >>> measure(np.ones((1, 6000)), "bold", step=0.01, sampling_time=1.0)[0, -1].round(3)
    np.float64(1.0)
    """
    from scipy.signal import fftconvolve

    if kind not in get_args(Measurement):
        raise DataError(f"kind is {kind!r}, expected one of {', '.join(get_args(Measurement))}")
    neural = finite_array("activity", activity, ("region", "time"))
    step = real_number("step", step, above=0)
    every = round(real_number("sampling_time", sampling_time, above=0) / step)
    if every < 1 or abs(every * step - sampling_time) > 1e-9 * sampling_time:
        raise DataError(f"sampling_time ({sampling_time:g} s) is no multiple of the step ({step:g} s)")
    if delays is not None and kind != "bold":
        raise DataError(f"delays belong to BOLD, and the kind is {kind}")
    if (lead_field is not None) != (kind == "meg"):
        raise DataError(f"a lead field is needed for MEG and for nothing else, and the kind is {kind}")
    n_times = neural.shape[1]
    if kind == "meg":
        seen = (
            finite_array("lead_field", lead_field if lead_field is not None else [], ("sensor", len(neural))) @ neural
        )
    else:
        # At the middle of steps, over which the activity counts as constant.
        middle = (np.arange(n_times) + 0.5) * step
        if kind == "bold":
            late = np.zeros(len(neural)) if delays is None else finite_array("delays", delays, (len(neural),))
            if (late < 0).any():
                raise DataError("delays are negative, expected at least 0 s")
            # SPM's response has an area of 1 - 1/6.
            kernels = double_gamma(middle - late[:, None]) / (5 / 6)
        else:
            kernels = np.broadcast_to(calcium_kernel(middle, rise=rise, decay=decay), neural.shape)
        seen = np.zeros_like(neural)
        # What a step brings is seen from its end on.
        seen[:, 1:] = fftconvolve(neural, kernels, axes=1)[:, : n_times - 1] * step
    sampled = seen[:, ::every]
    noise = real_number("noise", noise, minimum=0)
    return sampled + noise * np.random.default_rng(rng).standard_normal(sampled.shape) if noise else sampled
