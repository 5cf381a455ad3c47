"""Networks of regions that are seen through the BOLD signal, in the manner of NetSim."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import real_number, square_matrix, whole_number
from conn.data.errors import DataError
from conn.data.simulators.haemodynamics import balloon

__all__ = ["FMRINetworkSimulation", "clustered_network", "simulate_fmri_network"]

_BURN_IN = 40.0


@dataclass(frozen=True, kw_only=True, eq=False)
class FMRINetworkSimulation:
    """BOLD series of people whose regions drive one another along a known network.

    Parameters
    ----------
    time_series : array, shape (subject, region, frame)
        BOLD as a proportion of its mean, with noise, high-pass filtered.
    clean : array, shape (subject, region, frame)
        The same without noise and filter.
    network : bool array, shape (target, source)
        Who drives whom.
    weights : array, shape (subject, target, source)
        How strongly, in each person.
    delays : array, shape (subject, region)
        By how much each region's response comes later than the model's, in seconds.
    repetition_time : float
        Seconds from a frame to the next.
    """

    time_series: NDArray[np.float64]
    clean: NDArray[np.float64]
    network: NDArray[np.bool_]
    weights: NDArray[np.float64]
    delays: NDArray[np.float64]
    repetition_time: float


def clustered_network(n_regions: int = 5) -> NDArray[np.bool_]:
    """Return the network of rings of five regions, each joined to the next by one connection.

    Within a ring 1 drives 2, 2 drives 3, 3 drives 4, 4 drives 5, and 1 drives 5; the third region of a
    ring drives the first of the next. There is no cycle.

    Parameters
    ----------
    n_regions : int, default 5
        A multiple of 5.

    Returns
    -------
    bool array, shape (target, source)
        For `simulate_fmri_network`.

    Raises
    ------
    DataError
        If the number is no multiple of 5.

    Examples
    --------
    >>> from conn.data.simulators import clustered_network
    >>> clustered_network().sum(), clustered_network(10).sum()
    (np.int64(5), np.int64(11))
    """
    n_regions = whole_number("n_regions", n_regions, 5)
    if n_regions % 5:
        raise DataError(f"n_regions is {n_regions}, expected a multiple of 5")
    network = np.zeros((n_regions, n_regions), dtype=bool)
    for first in range(0, n_regions, 5):
        for source, target in ((0, 1), (1, 2), (2, 3), (3, 4), (0, 4)):
            network[first + target, first + source] = True
        if first:
            network[first, first - 3] = True
    return network


def simulate_fmri_network(
    network: ArrayLike | None = None,
    *,
    n_subjects: int = 10,
    duration: float = 600.0,
    repetition_time: float = 3.0,
    noise: float = 0.01,
    neural_lag: float = 0.05,
    weight_mean: float = 0.4,
    weight_sd: float = 0.1,
    weight_range: tuple[float, float] = (0.2, 0.6),
    mean_up: float = 2.5,
    mean_down: float = 10.0,
    input_noise: float = 0.05,
    delay_sd: float = 0.5,
    constants: Mapping[str, ArrayLike] | None = None,
    high_pass: float | None = 200.0,
    neural_step: float = 0.005,
    haemodynamic_step: float = 0.05,
    rng: np.random.Generator | int | None = 0,
) -> FMRINetworkSimulation:
    r"""Return BOLD series of a network of regions, with haemodynamics that differ between regions.

    Activity follows :math:`\dot z = (A z + u) / \tau` with :math:`-1` on the diagonal of :math:`A` and the
    connections beside it. Each region has an input :math:`u` of its own that switches between 0 and 1, with
    white noise; activity enters the balloon model (`balloon`), whose signal comes a random delay later
    in each region, is sampled every `repetition_time`, and gets white noise.

    The defaults are those of the first simulation of Smith et al. (2011) as far as its text gives them. What
    differs: regions differ by a pure delay of the response, not by constants of the balloon drawn anew
    (`constants` takes one value a region), and the constants are those of `BALLOON`.

    Parameters
    ----------
    network : array, shape (target, source), optional
        Nonzero where a region drives another; `clustered_network` of 5 regions by default. The
        diagonal must be 0.
    n_subjects : int, default 10
        People; weights, inputs and delays are drawn anew for each.
    duration : float, default 600
        Seconds.
    repetition_time : float, default 3
        Seconds from a frame to the next.
    noise : float, default 0.01
        Standard deviation of the measurement noise, as a proportion of the mean signal.
    neural_lag : float, default 0.05
        :math:`\tau` in seconds.
    weight_mean, weight_sd : float, defaults 0.4 and 0.1
        Of the normal distribution of weights.
    weight_range : tuple of float, default (0.2, 0.6)
        To which weights are clipped.
    mean_up, mean_down : float, defaults 2.5 and 10
        Mean seconds that an input stays at 1 and at 0; exponentially distributed.
    input_noise : float, default 0.05
        Standard deviation of the noise on the input, in every neural step.
    delay_sd : float, default 0.5
        Standard deviation of the responses' delays over regions, in seconds.
    constants : mapping of str to float or array of shape (region,), optional
        Of the balloon model.
    high_pass : float or None, default 200
        Slowest period in seconds that is kept; the mean goes too. None leaves the series as they are.
    neural_step, haemodynamic_step : float, defaults 0.005 and 0.05
        Seconds. Activity is integrated exactly over steps of constant input and averaged over those of
        the balloon model, a multiple.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    FMRINetworkSimulation
        Series with and without noise, network, weights, delays.

    Raises
    ------
    DataError
        If the network is not square, has a diagonal or is unstable with some person's weights (the message
        names the largest real part), or a number lies outside its range.

    References
    ----------
    Smith et al. (2011), NeuroImage 54, 875-891, doi:10.1016/j.neuroimage.2010.08.063.

    Examples
    --------
    >>> from conn.data.simulators import simulate_fmri_network
    >>> made = simulate_fmri_network(n_subjects=2, duration=60.0)
    >>> made.time_series.shape, made.network.sum()
    ((2, 5, 20), np.int64(5))
    """
    wiring = square_matrix("network", clustered_network() if network is None else network) != 0
    if wiring.diagonal().any():
        raise DataError("network has entries on its diagonal: a region's decay is part of the model")
    n_subjects, n_regions = whole_number("n_subjects", n_subjects), len(wiring)
    times = {
        "duration": duration,
        "repetition_time": repetition_time,
        "neural_lag": neural_lag,
        "mean_up": mean_up,
        "mean_down": mean_down,
        "neural_step": neural_step,
        "haemodynamic_step": haemodynamic_step,
    }
    for name, value in times.items():
        real_number(name, value, above=0)
    for name, value in (
        ("noise", noise),
        ("input_noise", input_noise),
        ("delay_sd", delay_sd),
        ("weight_sd", weight_sd),
    ):
        real_number(name, value, minimum=0)
    weight_mean = real_number("weight_mean", weight_mean)
    low, high = (real_number("weight_range", edge) for edge in weight_range)
    if low > high:
        raise DataError(f"weight_range runs backwards: {low:g} to {high:g}")
    n_frames = int(duration / repetition_time + 1e-9)
    if n_frames < 2:
        raise DataError(f"{duration:g} s hold fewer than two frames of {repetition_time:g} s")
    n_inner = round(haemodynamic_step / neural_step)
    if n_inner < 1 or abs(n_inner * neural_step - haemodynamic_step) > 1e-9:
        raise DataError(
            f"haemodynamic_step ({haemodynamic_step:g} s) is no multiple of neural_step ({neural_step:g} s)"
        )

    generator = np.random.default_rng(rng)
    drawn = generator.normal(weight_mean, weight_sd, (n_subjects, n_regions, n_regions))
    weights = np.where(wiring, np.clip(drawn, low, high), 0.0)
    rates = (weights - np.eye(n_regions)) / neural_lag
    largest = np.linalg.eigvals(rates).real.max(axis=1)
    if largest.max() >= 0:
        raise DataError(
            f"the network is unstable with the weights of subject {int(largest.argmax())}: "
            f"the largest real part of an eigenvalue is {largest.max():.4g} per second"
        )
    delays = delay_sd * generator.standard_normal((n_subjects, n_regions))
    # Delays may be negative: the end is simulated a little longer.
    lead = max(0.0, -float(delays.min()))
    before = max(_BURN_IN, float(delays.max()))
    n_steps = math.ceil((before + duration + lead) / haemodynamic_step) + 1
    ends, means = np.empty((2, n_steps, n_subjects, n_regions))
    blocks = [_Block(one, neural_step, n_inner) for one in rates]
    for subject, block in enumerate(blocks):
        inputs = _inputs((n_steps * n_inner, n_regions), neural_step, (mean_up, mean_down), generator)
        inputs += input_noise * generator.standard_normal(inputs.shape)
        arriving = (inputs / neural_lag).reshape(n_steps, -1)
        ends[:, subject], means[:, subject] = arriving @ block.to_last, arriving @ block.to_mean
    # The state before each step of the balloon model, of all people at once.
    begins = np.zeros_like(ends)
    onward = np.stack([block.onward.T for block in blocks])
    for place in range(1, n_steps):
        begins[place] = (begins[place - 1][:, None] @ onward)[:, 0] + ends[place - 1]
    means += np.einsum("tsr,spr->tsp", begins, np.stack([block.state_to_mean for block in blocks]))
    activity = means.transpose(1, 2, 0)
    signal = balloon(activity, haemodynamic_step, constants=constants)
    clean = np.empty((n_subjects, n_regions, n_frames))
    grid, frames = np.arange(n_steps) * haemodynamic_step, before + np.arange(n_frames) * repetition_time
    for subject in range(n_subjects):
        for region in range(n_regions):
            clean[subject, region] = np.interp(frames - delays[subject, region], grid, signal[subject, region])
    series = clean + noise * generator.standard_normal(clean.shape)
    if high_pass is not None:
        slow = np.fft.rfftfreq(n_frames, repetition_time) < 1 / real_number("high_pass", high_pass, above=0)
        if slow.all():
            raise DataError(
                f"high_pass of {high_pass:g} s leaves nothing at a repetition time of {repetition_time:g} s"
            )
        series = np.fft.irfft(np.where(slow, 0, np.fft.rfft(series)), n=n_frames)
    return FMRINetworkSimulation(
        time_series=series,
        clean=clean,
        network=wiring,
        weights=weights,
        delays=delays,
        repetition_time=float(repetition_time),
    )


def _inputs(
    shape: tuple[int, int], step: float, means: tuple[float, float], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return inputs of shape (time, region) that switch between 1 and 0."""
    n_times, n_regions = shape
    up, down = means
    begins_up = generator.random(n_regions) < up / (up + down)
    flips = np.zeros(shape, dtype=bool)
    flips[0] = begins_up
    n_cycles = max(8, int(3 * n_times * step / (up + down)))
    for region in range(n_regions):
        scales = np.tile([up, down] if begins_up[region] else [down, up], n_cycles)
        now = 0.0
        while now < n_times * step:
            ends = now + np.cumsum(generator.exponential(scales))
            places = np.floor(ends / step).astype(int)
            np.logical_xor.at(flips[:, region], places[(places > 0) & (places < n_times)], True)
            now = ends[-1]
    return np.logical_xor.accumulate(flips, axis=0).astype(np.float64)


class _Block:
    """What a linear network does within one step of the balloon model, its inputs constant in each neural step."""

    def __init__(self, rates: NDArray[np.float64], step: float, n_inner: int) -> None:
        from scipy.linalg import expm

        identity = np.eye(len(rates))
        once = expm(rates * step)
        gain = np.linalg.solve(rates, once - identity)
        powers = [identity]
        for _ in range(n_inner):
            powers.append(powers[-1] @ once)
        # From the inputs of the block, one neural step after the other, to its last state and to its mean state.
        self.to_last = np.concatenate([(powers[n_inner - 1 - k] @ gain).T for k in range(n_inner)])
        self.to_mean = np.concatenate(
            [(np.sum(powers[: n_inner - k], axis=0) @ gain).T / n_inner for k in range(n_inner)]
        )
        # From the state before the block to the same.
        self.onward = powers[n_inner]
        self.state_to_mean = np.sum(powers[1:], axis=0) / n_inner
