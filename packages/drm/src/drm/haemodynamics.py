"""The haemodynamic response: what a brief burst of activity does to the BOLD signal."""

import math
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = [
    "CANONICAL",
    "GLOVER",
    "SPM12_BALLOON",
    "Convention",
    "derivative_responses",
    "double_gamma",
    "fir_responses",
    "response_parameters",
    "sample_times",
    "sampled_response",
]

Convention = Literal["spm", "nilearn"]

CANONICAL: dict[str, float] = {
    "peak_delay": 6.0,
    "undershoot_delay": 16.0,
    "peak_dispersion": 1.0,
    "undershoot_dispersion": 1.0,
    "peak_undershoot_ratio": 6.0,
    "onset": 0.0,
    "duration": 32.0,
}
"""Parameters of the canonical response of SPM, in seconds (the ratio has no unit)."""

GLOVER: dict[str, float] = CANONICAL | {
    "undershoot_delay": 12.0,
    "peak_dispersion": 0.9,
    "undershoot_dispersion": 0.9,
    "peak_undershoot_ratio": 1 / 0.48,
}
"""Parameters of Glover's response to a tone, in seconds, as nilearn has them."""

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
"""Constants of SPM12's balloon model at 1.5 T and an echo time of 0.04 s, for `drm.BalloonReadout`."""


def _gamma_density(time: Tensor, shape: Tensor, scale: Tensor) -> Tensor:
    # Before 0 the density is 0; the logarithm must not see those times, not even in the gradient.
    positive = time > 0
    safe = torch.where(positive, time, torch.ones_like(time)) / scale
    log_density = (shape - 1) * safe.log() - safe - torch.lgamma(shape) - scale.log()
    return torch.where(positive, log_density.exp(), torch.zeros_like(log_density))


def double_gamma(
    time: Tensor,
    *,
    peak_delay: Tensor | float = 6.0,
    undershoot_delay: Tensor | float = 16.0,
    peak_dispersion: Tensor | float = 1.0,
    undershoot_dispersion: Tensor | float = 1.0,
    peak_undershoot_ratio: Tensor | float = 6.0,
    onset: Tensor | float = 0.0,
) -> Tensor:
    """Return the double-gamma haemodynamic response at the given times.

    The difference of two gamma densities, ``g(t; p1/p3, p3) - g(t; p2/p4, p4) / p5`` with shape
    and scale. With the defaults it peaks at 5 s, has its trough at 15.75 s and an area of 5/6.

    Parameters
    ----------
    time : Tensor, any shape
        Seconds after the burst of activity.
    peak_delay, undershoot_delay : Tensor or float, default 6 and 16
        Delay of the response and of the undershoot, in seconds (p1, p2).
    peak_dispersion, undershoot_dispersion : Tensor or float, default 1 and 1
        Dispersion of the response and of the undershoot, in seconds (p3, p4).
    peak_undershoot_ratio : Tensor or float, default 6
        Area of the response over that of the undershoot (p5).
    onset : Tensor or float, default 0
        Onset of the response, in seconds.

    Returns
    -------
    Tensor, shape of `time` broadcast with the parameters
        The response, per second; zero until the onset. A NaN among the times gives zero.

    Raises
    ------
    ValueError
        If a delay, a dispersion or the ratio is not positive.

    Notes
    -----
    Differentiable in every parameter; in the times and the onset everywhere but at the onset.

    References
    ----------
    Friston et al. (1998), NeuroImage 7, 30-40, doi:10.1006/nimg.1997.0306.

    Examples
    --------
    >>> import torch
    >>> time = torch.arange(0, 32, 0.01)
    >>> response = double_gamma(time)
    >>> round(float(time[response.argmax()]), 2)
    5.0
    """
    parameters = {
        "peak_delay": peak_delay,
        "undershoot_delay": undershoot_delay,
        "peak_dispersion": peak_dispersion,
        "undershoot_dispersion": undershoot_dispersion,
        "peak_undershoot_ratio": peak_undershoot_ratio,
    }
    p = {name: torch.as_tensor(x, dtype=time.dtype, device=time.device) for name, x in parameters.items()}
    for name, value in p.items():
        # Tensors without values, which give shapes alone, cannot be asked.
        if not value.is_meta and not bool((value > 0).all()):
            raise ValueError(f"{name} must be positive, got {value.tolist()}.")
    since = time - onset
    peak = _gamma_density(since, p["peak_delay"] / p["peak_dispersion"], p["peak_dispersion"])
    undershoot = _gamma_density(since, p["undershoot_delay"] / p["undershoot_dispersion"], p["undershoot_dispersion"])
    return peak - undershoot / p["peak_undershoot_ratio"]


def response_parameters(convention: Convention, parameters: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return all parameters of the response, as a convention has them where none is given.

    Parameters
    ----------
    convention : {"spm", "nilearn"}
        nilearn rounds the undershoot's share to 0.167.
    parameters : mapping of str to float, optional
        Parameters in place of those in `CANONICAL`, in seconds.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ValueError
        If the convention or a parameter is unknown.

    Examples
    --------
    >>> response_parameters("spm", {"peak_delay": 5.0})["peak_delay"]
    5.0
    """
    if convention not in get_args(Convention):
        raise ValueError(f"convention must be one of {get_args(Convention)}, got {convention!r}.")
    unknown = sorted(set(parameters or {}) - set(CANONICAL))
    if unknown:
        raise ValueError(
            f"Unknown parameters of the haemodynamic response: {', '.join(unknown)}; there are {', '.join(CANONICAL)}."
        )
    known = CANONICAL | dict(parameters or {})
    if convention == "nilearn" and known["peak_undershoot_ratio"] == CANONICAL["peak_undershoot_ratio"]:
        known["peak_undershoot_ratio"] = 1 / 0.167
    return known


def sample_times(
    repetition_time: float, *, convention: Convention = "spm", oversampling: int = 1, duration: float = 32.0
) -> Tensor:
    """Return the times after a burst of activity at which a convention samples the response.

    Parameters
    ----------
    repetition_time : float
        Seconds between scans.
    convention : {"spm", "nilearn"}, default "spm"
        As for `sampled_response`.
    oversampling : int, default 1
        Number of samples for each scan.
    duration : float, default 32
        Of the response, in seconds.

    Returns
    -------
    Tensor of double precision, shape (sample,)
        In seconds; nilearn's first lies before the burst.

    Raises
    ------
    ValueError
        If the repetition time is not positive or longer than the response, or `oversampling` is
        below 1.

    Examples
    --------
    >>> sample_times(16.0).tolist(), sample_times(16.0, convention="nilearn").tolist()
    ([0.0, 16.0, 32.0], [-16.0, 16.0])
    """
    if oversampling < 1:
        raise ValueError(f"oversampling must be at least 1, got {oversampling}.")
    if not 0 < repetition_time < duration:
        raise ValueError(
            f"The time between samples must be above 0 s and below the response's {duration} s, "
            f"got {repetition_time} s."
        )
    step = repetition_time / oversampling
    if convention == "spm":
        return torch.arange(math.floor(duration / step + 1e-9) + 1, dtype=torch.float64) * step
    return torch.linspace(0, duration, round(duration / step), dtype=torch.float64) - step


def sampled_response(
    repetition_time: float,
    *,
    convention: Convention = "spm",
    oversampling: int = 1,
    parameters: dict[str, float] | None = None,
) -> Tensor:
    """Return the haemodynamic response at the times of scans, with a sum of one.

    SPM and nilearn sample the same function at different times. SPM: at multiples of the
    repetition time from 0 to the duration. nilearn: at as many equally spaced times as samples fit
    the duration, both ends included, one sample later, and with the undershoot's share rounded to
    0.167.

    Parameters
    ----------
    repetition_time : float
        Seconds between scans.
    convention : {"spm", "nilearn"}, default "spm"
        Whose samples to give.
    oversampling : int, default 1
        Number of samples for each scan (nilearn's functions have 50 by default).
    parameters : dict of str to float, optional
        Parameters in place of those in `CANONICAL`, in seconds.

    Returns
    -------
    Tensor of double precision, shape (sample,)

    Raises
    ------
    ValueError
        If the repetition time is not positive or longer than the response, `oversampling` is below
        1, the convention or a parameter is unknown, or a parameter is not allowed.

    Examples
    --------
    >>> [round(x, 4) for x in sampled_response(2.0).tolist()[:5]]
    [0.0, 0.0866, 0.3749, 0.3849, 0.2161]
    >>> [round(x, 3) for x in sampled_response(2.0, convention="nilearn",
    ...     parameters={"duration": 20.0}).tolist()[:5]]
    [0.0, 0.0, 0.161, 0.443, 0.335]
    """
    known = response_parameters(convention, parameters)
    time = sample_times(
        repetition_time, convention=convention, oversampling=oversampling, duration=known.pop("duration")
    )
    response = double_gamma(time, **known)
    if not float(response.sum()) > 0:
        raise ValueError(f"The haemodynamic response {known} has no positive area every {repetition_time} s.")
    return response / response.sum()


def derivative_responses(
    repetition_time: float,
    *,
    convention: Convention = "spm",
    oversampling: int = 1,
    parameters: dict[str, float] | None = None,
) -> Tensor:
    """Return the haemodynamic response with its derivatives in time and in dispersion.

    The derivatives are the differences that SPM and nilearn take: between the response and one
    that sets in later (by 1 s in SPM, 0.1 s in nilearn), and between the response and one whose
    dispersion is 0.01 s larger, each over that step.

    Parameters
    ----------
    repetition_time, convention, oversampling, parameters
        As for `sampled_response`.

    Returns
    -------
    Tensor of double precision, shape (3, sample)
        The response, with a sum of one; its derivatives in time and in dispersion, per second.

    Raises
    ------
    ValueError
        As for `sampled_response`.

    References
    ----------
    Friston et al. (1998), NeuroImage 7, 30-40, doi:10.1006/nimg.1997.0306.

    Examples
    --------
    >>> derivative_responses(2.0).shape
    torch.Size([3, 17])
    """
    known = CANONICAL | (parameters or {})
    shifts = {"onset": 1.0 if convention == "spm" else 0.1, "peak_dispersion": 0.01}
    canonical = sampled_response(
        repetition_time, convention=convention, oversampling=oversampling, parameters=parameters
    )
    rows = [canonical]
    for name, step in shifts.items():
        shifted = sampled_response(
            repetition_time,
            convention=convention,
            oversampling=oversampling,
            parameters={**(parameters or {}), name: known[name] + step},
        )
        rows.append((canonical - shifted) / step)
    return torch.stack(rows)


def fir_responses(repetition_time: float, *, step: float = 2.0, duration: float = 32.0) -> Tensor:
    """Return the pieces of which a response of any shape is made: one for each of equal steps.

    A piece rises linearly from zero over one step and falls over the next, so that a weighted sum
    of all connects the weights by straight lines. It is a finite impulse response where samples
    are a step apart.

    Parameters
    ----------
    repetition_time : float
        Seconds between samples.
    step : float, default 2
        Seconds between the peaks of pieces, at least the repetition time. The first lies one step
        after the burst of activity.
    duration : float, default 32
        Seconds after which the response has ended.

    Returns
    -------
    Tensor of double precision, shape (piece, sample)

    Raises
    ------
    ValueError
        If the repetition time is not positive or larger than the step, or the duration is shorter
        than two steps.

    Examples
    --------
    >>> fir_responses(1.0, step=2.0, duration=6.0).tolist()
    [[0.0, 0.5, 1.0, 0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5, 1.0, 0.5, 0.0]]
    """
    if not 0 < repetition_time <= step or not 2 * step <= duration < math.inf:
        raise ValueError(
            f"Steps of {step} s must be at least the {repetition_time} s between samples, and two of them must fit "
            f"the duration of {duration} s."
        )
    n_samples = math.floor(duration / repetition_time + 1e-9) + 1
    time = torch.arange(n_samples, dtype=torch.float64) * repetition_time
    n_pieces = math.floor(duration / step - 1e-9)
    peaks = torch.arange(1, n_pieces + 1, dtype=torch.float64).unsqueeze(1) * step
    return torch.relu(1 - (time - peaks).abs() / step)
