"""From neural activity to the BOLD signal: double-gamma responses and the balloon model."""

import math
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import finite_array, real_number, whole_number
from conn.data.errors import DataError

__all__ = ["BALLOON", "CANONICAL", "GLOVER", "SPM12_BALLOON", "HRFConvention", "balloon", "double_gamma", "sampled_hrf"]

HRFConvention = Literal["spm", "nilearn"]

CANONICAL: dict[str, float] = {
    "peak_delay": 6.0,
    "undershoot_delay": 16.0,
    "peak_dispersion": 1.0,
    "undershoot_dispersion": 1.0,
    "peak_undershoot_ratio": 6.0,
    "onset": 0.0,
    "duration": 32.0,
}
"""The canonical response of SPM, in seconds (the ratio has no unit)."""

GLOVER: dict[str, float] = CANONICAL | {
    "undershoot_delay": 12.0,
    "peak_dispersion": 0.9,
    "undershoot_dispersion": 0.9,
    "peak_undershoot_ratio": 1 / 0.48,
}
"""Glover's response to a tone, in seconds, as nilearn has it."""

BALLOON: dict[str, float] = {
    "kappa": 0.65,
    "gamma": 0.41,
    "tau": 0.98,
    "alpha": 0.32,
    "rho": 0.34,
    "volume": 0.02,
    "k1": 2.38,
    "k2": 2.0,
    "k3": 0.48,
}
"""Constants of the balloon model of 2003, rates per second and times in seconds."""

SPM12_BALLOON: dict[str, float] = {
    "kappa": 0.64,
    "gamma": 0.32,
    "tau": 2.0,
    "alpha": 0.32,
    "rho": 0.32,
    "volume": 0.04,
    "k1": 4.3 * 40.3 * 0.4 * 0.04,
    "k2": 25.0 * 0.4 * 0.04,
    "k3": 0.0,
}
"""Constants of SPM12's balloon model at 1.5 T and an echo time of 0.04 s."""

_STABLE_STEP = 0.1


def double_gamma(
    time: ArrayLike,
    *,
    peak_delay: float = 6.0,
    undershoot_delay: float = 16.0,
    peak_dispersion: float = 1.0,
    undershoot_dispersion: float = 1.0,
    peak_undershoot_ratio: float = 6.0,
    onset: float = 0.0,
) -> NDArray[np.float64]:
    r"""Return the double-gamma haemodynamic response at given times.

    .. math:: h(t) = g(t;\, p_1 / d_1, d_1) - g(t;\, p_2 / d_2, d_2) / r

    with :math:`g` the density of the gamma distribution by shape and scale. With the defaults the
    response peaks at 5 s, has its trough at 15.75 s and an area of 5/6.

    Parameters
    ----------
    time : array, any shape
        Seconds after a burst of activity.
    peak_delay, undershoot_delay : float, defaults 6 and 16
        :math:`p_1` and :math:`p_2`, in seconds.
    peak_dispersion, undershoot_dispersion : float, defaults 1 and 1
        :math:`d_1` and :math:`d_2`, in seconds.
    peak_undershoot_ratio : float, default 6
        :math:`r`.
    onset : float, default 0
        Seconds until the response begins.

    Returns
    -------
    array, shape of time
        Per second; 0 until the onset and where the time is NaN.

    Raises
    ------
    DataError
        If a delay, dispersion or the ratio is not positive.

    References
    ----------
    Friston et al. (1998), NeuroImage 7, 30-40, doi:10.1006/nimg.1997.0306.

    Examples
    --------
    >>> import numpy as np
    >>> time = np.arange(0, 32, 0.01)
    >>> round(float(time[double_gamma(time).argmax()]), 2)
    5.0
    """
    since = np.asarray(time, dtype=np.float64) - real_number("onset", onset)
    response = np.zeros(since.shape)
    positive = since > 0
    for name, delay, dispersion, factor in (
        ("peak", peak_delay, peak_dispersion, 1.0),
        ("undershoot", undershoot_delay, undershoot_dispersion, -1.0),
    ):
        scale = real_number(f"{name}_dispersion", dispersion, above=0)
        shape = real_number(f"{name}_delay", delay, above=0) / scale
        passed = since[positive] / scale
        density = np.exp((shape - 1) * np.log(passed) - passed - math.lgamma(shape)) / scale
        ratio = 1.0 if factor > 0 else real_number("peak_undershoot_ratio", peak_undershoot_ratio, above=0)
        response[positive] += factor * density / ratio
    return response


def sampled_hrf(
    repetition_time: float,
    *,
    convention: HRFConvention = "spm",
    oversampling: int = 1,
    parameters: Mapping[str, float] | None = None,
) -> NDArray[np.float64]:
    """Return the haemodynamic response at regular times, with a sum of one.

    SPM and nilearn sample the same function at different times. SPM: at multiples of the step from 0 to
    the duration. nilearn: at as many equally spaced times as samples fit the duration, both ends included,
    one sample later, and with the undershoot's share rounded to 0.167.

    Parameters
    ----------
    repetition_time : float
        Seconds between scans.
    convention : {"spm", "nilearn"}, default "spm"
        Whose samples to give.
    oversampling : int, default 1
        Samples a scan.
    parameters : mapping of str to float, optional
        In place of those in `CANONICAL`; `GLOVER` is a complete set.

    Returns
    -------
    array, shape (sample,)
        Without unit.

    Raises
    ------
    DataError
        If the convention or a parameter is unknown or not allowed, or the step is longer than the response.

    Examples
    --------
    >>> [round(x, 4) for x in sampled_hrf(2.0).tolist()[:5]]
    [0.0, 0.0866, 0.3749, 0.3849, 0.2161]
    """
    if convention not in get_args(HRFConvention):
        raise DataError(f"convention is {convention!r}, expected one of {', '.join(get_args(HRFConvention))}")
    unknown = sorted(set(parameters or {}) - set(CANONICAL))
    if unknown:
        raise DataError(f"unknown parameters of the response: {', '.join(unknown)}; there are {', '.join(CANONICAL)}")
    known = CANONICAL | dict(parameters or {})
    duration = real_number("duration", known.pop("duration"), above=0)
    step = real_number("repetition_time", repetition_time, above=0) / whole_number("oversampling", oversampling)
    if step >= duration:
        raise DataError(f"a step of {step:g} s is not shorter than the response of {duration:g} s")
    if convention == "spm":
        time = np.arange(math.floor(duration / step + 1e-9) + 1) * step
    else:
        time = np.linspace(0, duration, round(duration / step)) - step
        if known["peak_undershoot_ratio"] == CANONICAL["peak_undershoot_ratio"]:
            known["peak_undershoot_ratio"] = 1 / 0.167
    response = double_gamma(time, **known)
    if not response.sum() > 0:
        raise DataError(f"the response has no positive area at steps of {step:g} s")
    return response / response.sum()


def balloon(
    activity: ArrayLike, step: float, *, constants: Mapping[str, ArrayLike] | None = None
) -> NDArray[np.float64]:
    r"""Return the BOLD signal that follows neural activity through the balloon model.

    .. math::

        \dot s &= z - \kappa s - \gamma (f - 1), \qquad \dot f = s, \\
        \tau \dot v &= f - v^{1/\alpha}, \qquad
        \tau \dot q = f\, \frac{1 - (1 - \rho)^{1/f}}{\rho} - v^{1/\alpha}\, \frac{q}{v}, \\
        y &= V_0 \left[ k_1 (1 - q) + k_2 (1 - q / v) + k_3 (1 - v) \right]

    integrated by the Runge-Kutta method of fourth order in the logarithms of flow :math:`f`, volume
    :math:`v` and deoxyhaemoglobin :math:`q`, which stay positive. Activity is constant within a step;
    steps over 0.1 s are divided.

    Parameters
    ----------
    activity : array, shape (..., region, sample)
        :math:`z`, beginning at rest.
    step : float
        Seconds from a sample to the next.
    constants : mapping of str to float or array of shape (region,), optional
        In place of those in `BALLOON`; `SPM12_BALLOON` is a complete set.

    Returns
    -------
    array, shape (..., region, sample)
        As a proportion of the mean signal, at the beginning of each step: the first sample is 0.

    Raises
    ------
    DataError
        If the activity is not finite, the step or a constant (other than k1, k2 and k3) is not positive,
        a constant is unknown or has another shape, or the equations diverge under huge activity.

    References
    ----------
    Friston et al. (2000), NeuroImage 12, 466-477, doi:10.1006/nimg.2000.0630; constants of
    Friston, Harrison & Penny (2003), NeuroImage 19, 1273-1302, doi:10.1016/S1053-8119(03)00202-7.

    Examples
    --------
    >>> import numpy as np
    >>> burst = np.zeros((1, 300))
    >>> burst[0, :10] = 1
    >>> int(balloon(burst, 0.1).argmax())  # in tenths of a second
    34
    """
    drive = np.asarray(activity, dtype=np.float64)
    if drive.ndim < 2 or 0 in drive.shape:
        raise DataError(f"activity has shape {drive.shape}, expected (..., region, sample)")
    if not np.isfinite(drive).all():
        raise DataError("activity is not finite")
    step = real_number("step", step, above=0)
    given = _constants(constants, drive.shape[-2])
    n_substeps = math.ceil(step / _STABLE_STEP - 1e-9)
    short = step / n_substeps
    samples = np.moveaxis(drive, -1, 0)
    states = np.zeros((len(samples), 4, *samples.shape[1:]))
    kappa, gamma, tau, alpha, rho, volume, k1, k2, k3 = given
    retained, slope = np.log1p(-rho), 1 / alpha - 1
    powers = np.empty((4, *samples.shape[1:]))
    stages = np.empty((4, 4, *samples.shape[1:]))

    def rates(state: NDArray[np.float64], z: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        signal, log_f, log_v, log_q = state
        # One call of the exponential for all four: small arrays cost by the call.
        powers[0], powers[2], powers[3] = log_f, log_f - log_v, log_f - log_q
        np.multiply(log_v, slope, out=powers[1])
        flow, outflow, filling, washing = np.exp(powers, out=powers)
        out[0] = z + gamma - kappa * signal - gamma * flow
        np.divide(signal, flow, out=out[1])
        out[2] = (filling - outflow) / tau
        out[3] = (washing * np.expm1(retained / flow) / -rho - outflow) / tau

    with np.errstate(all="ignore"):
        for sample in range(len(samples) - 1):
            z, state = samples[sample], states[sample]
            for _ in range(n_substeps):
                rates(state, z, stages[0])
                rates(state + short / 2 * stages[0], z, stages[1])
                rates(state + short / 2 * stages[1], z, stages[2])
                rates(state + short * stages[2], z, stages[3])
                state = state + short / 6 * (stages[0] + 2 * (stages[1] + stages[2]) + stages[3])
            states[sample + 1] = state
        _, _, log_v, log_q = states.swapaxes(0, 1)
        signal = 0.0 - volume * (k1 * np.expm1(log_q) + k2 * np.expm1(log_q - log_v) + k3 * np.expm1(log_v))
    if not np.isfinite(signal).all():
        raise DataError(
            f"the balloon model diverges: activity from {drive.min():.3g} to {drive.max():.3g} is beyond its range"
        )
    return np.moveaxis(signal, 0, -1)


def _constants(constants: Mapping[str, ArrayLike] | None, n_regions: int) -> list[NDArray[np.float64]]:
    values = dict(constants or {})
    unknown = sorted(set(values) - set(BALLOON))
    if unknown:
        raise DataError(f"unknown constants of the balloon model: {', '.join(unknown)}; there are {', '.join(BALLOON)}")
    found = []
    for name, default in BALLOON.items():
        value = np.asarray(values.get(name, default), dtype=np.float64)
        if value.ndim:
            value = finite_array(name, value, (n_regions,))
        if not np.isfinite(value).all() or ((name[0] != "k" or name == "kappa") and (value <= 0).any()):
            raise DataError(f"{name} of the balloon model must be positive and finite")
        found.append(value)
    if (found[4] >= 1).any():
        raise DataError("rho of the balloon model must lie below 1")
    return found
