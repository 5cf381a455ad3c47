r"""Matching of simulated to measured series: their power spectra, and how their connectivity changes."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional import corr, power_spectrum, sliding_window_corr, triangle_to_vector
from conn.functional.engine import Tensor, _to_jax_array
from conn.loss.distribution import quantile_distance
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Reduction, meansq_scalarise

__all__ = [
    "ConnectivityDynamicsLoss",
    "SpectralDensityLoss",
    "connectivity_dynamics_distance",
    "spectral_density_difference",
]


def spectral_density_difference(
    time_series: Float[Tensor, "... region frame"],
    target: Float[Tensor, "... region other"],
    *,
    repetition_time: float,
    segment_length: int,
    floor: float = 1e-6,
) -> Float[Array, "... region bin"]:
    r"""Return the differences of the log power spectral densities of two series, by Welch's method.

    Each density is divided by its sum first, so that the shape counts and the scale does not.

    Parameters
    ----------
    time_series, target : array, shape (..., region, frame)
        Signals, in any unit; their numbers of frames may differ. NaN makes a region NaN.
    repetition_time : float
        Seconds from frame to frame, in both.
    segment_length : int
        Frames a segment: bins are 1 / (segment_length x repetition_time) Hz apart. The first, whose power the
        detrended segments lack, is left out.
    floor : float, default 1e-6
        What is added to each share of power, so that an empty bin has a finite logarithm.

    Returns
    -------
    array, shape (..., region, bin)
        In nats. A constant region has no spectrum, and every share is then 0.

    Raises
    ------
    ValueError
        If a setting or a shape does not fit, see `conn.functional.power_spectrum`.

    References
    ----------
    .. [1] Welch (1967). doi:10.1109/TAU.1967.1161901

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> signal = jnp.sin(jnp.arange(40.0))[None]
    >>> found = spectral_density_difference(2 * signal, signal, repetition_time=2.0, segment_length=10)
    >>> found.shape, bool((jnp.abs(found) < 1e-4).all())
    ((1, 5), True)
    """
    if floor <= 0:
        raise ValueError(f"floor must be positive, and is {floor}")
    logs = []
    for series in (time_series, target):
        density = power_spectrum(series, repetition_time=repetition_time, segment_length=segment_length)[..., 1:]
        total = density.sum(-1, keepdims=True)
        # NaN is not 0, and stays.
        share = jnp.where(total == 0, 0.0, density / jnp.where(total == 0, 1.0, total))
        logs.append(jnp.log(share + floor))
    return logs[0] - logs[1]


def connectivity_dynamics_distance(
    time_series: Float[Tensor, "... region frame"],
    target: Float[Tensor, "... region other"],
    *,
    width: int,
    step: int = 1,
    p: float = 1.0,
) -> Float[Array, "..."]:
    r"""Return how far the distributions of two series' functional connectivity dynamics lie apart.

    Functional connectivity dynamics are the correlations between the connectomes of any two windows. The literature
    compares their distributions by the Kolmogorov–Smirnov distance, which has no useful derivative; this is the
    Wasserstein distance (its p-th power).

    Parameters
    ----------
    time_series, target : array, shape (..., region, frame)
        Signals of at least 3 regions, in any unit; their numbers of frames may differ. NaN makes the result NaN.
    width : int
        Of a window, in frames.
    step : int, default 1
        From one window's first frame to the next's. Pairs of windows that overlap do not count.
    p : float, default 1
        Order, at least 1.

    Returns
    -------
    array, shape (...)
        Without unit, between 0 and 2 to the power of p. A window's connectome without variation correlates 0 with all.

    Raises
    ------
    ValueError
        If there are fewer than 3 regions, or no two windows without overlap, or a window does not fit the frames.

    References
    ----------
    .. [1] Hansen, Battaglia, Spiegler, Deco & Jirsa (2015). doi:10.1016/j.neuroimage.2014.11.001

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> signals = jnp.sin(jnp.outer(jnp.arange(1.0, 5.0), jnp.arange(40.0)))
    >>> float(connectivity_dynamics_distance(signals, signals, width=10, step=5))
    0.0
    """
    samples = (_dynamics(name, x, width, step) for name, x in (("time_series", time_series), ("target", target)))
    return quantile_distance(*samples, p=p)


def _dynamics(name: str, time_series: Tensor, width: int, step: int) -> Float[Array, "... pair"]:
    """Return the correlations between the connectomes of windows that do not overlap."""
    series = _to_jax_array(time_series)
    if series.ndim < 2 or series.shape[-2] < 3:
        raise ValueError(f"{name} must have shape (..., region, frame) with at least 3 regions, and has {series.shape}")
    edges = triangle_to_vector(sliding_window_corr(series, width=width, step=step))
    apart = -(-width // step)
    if edges.shape[-2] <= apart:
        raise ValueError(
            f"{name} needs two windows of {width} frames, steps of {step} apart, that do not overlap, and has "
            f"{series.shape[-1]} frames"
        )
    return triangle_to_vector(corr(edges), offset=apart)


class SpectralDensityLoss(Loss):
    """The mean squared difference of the log power spectral densities of two series, each with sum 1.

    Call it with both series, (..., region, frame).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "SpectralDensity"
        How the loss is called.
    repetition_time : float
        Seconds from frame to frame.
    segment_length : int
        Frames a segment.
    floor : float, default 1e-6
        What is added to each share of power.
    scalarisation : Reduction, optional
        The mean of squares by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> signal = jnp.sin(jnp.arange(40.0))[None]
    >>> float(SpectralDensityLoss(repetition_time=2.0, segment_length=10)(signal, signal))
    0.0
    """

    repetition_time: float = eqx.field(static=True)
    segment_length: int = eqx.field(static=True)
    floor: float = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        repetition_time: float,
        segment_length: int,
        floor: float = 1e-6,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(
            nu,
            name,
            score=spectral_density_difference,
            scalarisation=meansq_scalarise() if scalarisation is None else scalarisation,
        )
        self.repetition_time, self.segment_length, self.floor = repetition_time, segment_length, floor


class ConnectivityDynamicsLoss(Loss):
    """How far the distributions of two series' functional connectivity dynamics lie apart.

    Call it with both series, (..., region, frame).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "ConnectivityDynamics"
        How the loss is called.
    width : int
        Of a window, in frames.
    step : int, default 1
        From one window's first frame to the next's.
    p : float, default 1
        Order of the Wasserstein distance.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> signals = jnp.sin(jnp.outer(jnp.arange(1.0, 5.0), jnp.arange(40.0)))
    >>> float(ConnectivityDynamicsLoss(width=10, step=5)(signals, signals))
    0.0
    """

    width: int = eqx.field(static=True)
    step: int = eqx.field(static=True)
    p: float = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        width: int,
        step: int = 1,
        p: float = 1.0,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=connectivity_dynamics_distance, scalarisation=scalarisation)
        self.width, self.step, self.p = width, step, p
