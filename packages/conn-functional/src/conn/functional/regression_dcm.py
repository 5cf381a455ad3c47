r"""Regression DCM: effective connectivity of whole brains, region by region a Bayesian regression in frequencies.

A linear network :math:`\dot x = A x + C u` whose regions share one haemodynamic response :math:`h`, :math:`y = h * x`,
obeys :math:`\dot y = A y + C (h * u)`. At the :math:`m`-th of :math:`T` frequencies, with frames :math:`\Delta` seconds
apart, the derivative is a factor, so that each target :math:`r` has a linear regression of its own:

.. math::
    \frac{e^{2 \pi i m / T} - 1}{\Delta} \hat y_r = \sum_s A_{rs} \hat y_s + \sum_j C_{rj} \widehat{(h * u_j)}
    + \hat\varepsilon_r.

Its connections :math:`\theta` have a Gaussian prior, its noise precision :math:`\tau` a Gamma prior; the posterior
:math:`q(\theta) q(\tau)` is updated in turns, each of which raises the free energy.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma, gammaln
from jaxtyping import Array, Bool, Float, Int

from conn.functional._inputs import Band, bins_of_band, positive, real_series
from conn.functional._inverse import symmetric_inverse
from conn.functional._series import centred, with_mask
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.haemodynamics import balloon_response

__all__ = ["RegressionDCM", "regression_dcm"]

_STIFFNESS = 63.0
"""Prior precision of a region's own decay over that of other connections, less 1."""


class RegressionDCM(NamedTuple):
    """The posterior of a regression DCM, region by region; matrices are [target, source]."""

    connectivity: Float[Array, "... target source"]
    """Posterior mean of the connections, in hertz; the diagonal is a region's own decay. 0 where there is none."""
    connectivity_deviation: Float[Array, "... target source"]
    """Posterior standard deviation of the connections, in hertz."""
    input_weights: Float[Array, "... target input"]
    """Posterior mean of what an input drives, in hertz times the unit of the series over that of the responses."""
    input_deviation: Float[Array, "... target input"]
    """Posterior standard deviation of the weights of inputs."""
    noise_precision: Float[Array, "... target"]
    """Posterior mean of the precision of the derivative's Fourier coefficients; `frame` times it, of its frames."""
    free_energy: Float[Array, "... target"]
    """Lower bound of the log evidence of each target, in nats. Those of a scan's targets add up to that of the scan."""
    free_energy_path: Float[Array, "... target iteration"]
    """The free energy after each iteration, which never decreases; the last value is repeated once it has converged."""
    n_iterations: Int[Array, "... target"]
    """Updates that were made."""


class _Regressions(NamedTuple):
    """The regressions of all targets of a scan."""

    gram: Float[Array, "weight weight"]
    cross: Float[Array, "target weight"]
    power: Float[Array, " target"]
    """Sum of squares of what is predicted."""
    count: Float[Array, " target"]
    """Values that are predicted; none where nothing was measured."""
    allowed: Float[Array, "target weight"]
    """1 where there is a weight to be learnt, else 0."""
    prior_mean: Float[Array, "target weight"]
    prior_precision: Float[Array, "target weight"]
    common: Float[Array, " weight"]
    """Prior standard deviation of a weight, unless it is the target's own decay."""


class _Posteriors(NamedTuple):
    """What is learnt of the regressions, and the slope of the noise precision's update where it stands still."""

    mean: Float[Array, "target weight"]
    deviation: Float[Array, "target weight"]
    precision: Float[Array, " target"]
    free_energy: Float[Array, " target"]
    path: Float[Array, "target iteration"]
    n_iterations: Int[Array, " target"]
    slope: Float[Array, " target"]


class _Rotated(NamedTuple):
    """One target's regression in the eigenvectors of its Gram matrix, in units of prior deviations.

    There the posterior precision is diagonal, but for `stiffness` along `own`: what a target's prior of its own decay
    has beyond that of other connections. It lets all targets share their eigenvectors.
    """

    values: Float[Array, " weight"]
    cross: Float[Array, " weight"]
    own: Float[Array, " weight"]
    stiffness: float
    prior_mean: Float[Array, " weight"]
    power: Float[Array, ""]
    count: Float[Array, ""]


def regression_dcm(
    time_series: Float[Tensor, "... region frame"],
    *,
    repetition_time: float,
    connections: Bool[Tensor, "target source"] | None = None,
    inputs: Float[Tensor, "... input step"] | None = None,
    input_connections: Bool[Tensor, "target input"] | None = None,
    response: Float[Tensor, " step"] | None = None,
    band: Band | None = None,
    noise_shape: float = 2.0,
    noise_rate: float = 1.0,
    max_iterations: int = 500,
    check: bool = False,
) -> RegressionDCM:
    r"""Return the effective connectivity of a linear dynamic causal model, by regression in the frequency domain.

    Without `inputs` it is the model of resting state [2]_, in which fluctuations that are not modelled stand in the
    noise.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        BOLD series of one unbroken run, without missing frames (interpolate them first). The mean is taken out, and the
        series is taken for periodic, as by any Fourier transform: take out trends. In per cent of signal change the
        priors fit best; connections have no unit but hertz, while the prior of the noise depends on that of the series.
    repetition_time : float
        Seconds from frame to frame.
    connections : array of bool, shape (target, source), optional
        Which connections there are; all by default. A region always has a connection to itself.
    inputs : array, shape (..., input, step), optional
        What drives the regions, such as stimuli; a whole number of time steps a frame (16 are usual), constant within
        each. The activity before the first frame is taken for 0.
    input_connections : array of bool, shape (target, input), optional
        Which input drives which regions; all by default.
    response : array, shape (step,), optional
        Haemodynamic response in the time steps of the inputs; `balloon_response` by default. Without inputs no response
        is needed: whatever it is, it falls out of the equation.
    band : (float or None, float or None), optional
        The frequencies in hertz that count; all but 0 by default.
    noise_shape, noise_rate : float, default 2 and 1
        Of the Gamma prior of the noise precision; the rate is in the square of the unit of the series per second.
    max_iterations : int, default 500
        Updates stop before, once the noise precision does not change any more.
    check : bool, default False
        Refuse NaN and infinity, also under ``jit``.

    Returns
    -------
    RegressionDCM
        NaN anywhere in a scan makes everything of that scan NaN. A region that never changes was not measured: its
        row and its column keep their prior, and its free energy is 0. With fewer frequencies than connections the
        posterior leans on the prior. Differentiable in series, inputs and response as if iterated without end (except
        `free_energy_path`, whose derivative is 0).

    Raises
    ------
    ValueError
        If shapes do not fit, there are fewer than four frames, no frequency lies in the band, a parameter of the prior
        is not positive, or there is an argument for inputs without inputs.

    Notes
    -----
    The priors are those of [1]_: with :math:`n` regions, connections are 0 with variance :math:`8 / n`, connections to
    themselves are -1/2 Hz with variance :math:`1 / (8 n)`, and weights of inputs 0 with variance 1.

    The derivative is that of neighbouring frames, so that a series of a repetition time that is not short has the
    connections :math:`(e^{A \Delta} - I) / \Delta` rather than :math:`A`.

    There is no choice of informative frequencies by thresholds on the data, as TAPAS makes one where there are inputs;
    a `band` is chosen beforehand. TAPAS' response is that of a region which decays by 1 per second, ours that of the
    vessels alone, as the formula has it. The noise counts each frequency's real and imaginary part once.

    With all connections and inputs one eigendecomposition of the Gram matrix of regions and inputs serves all targets;
    with some left out each target costs one.

    References
    ----------
    .. [1] Frässle et al. (2017). doi:10.1016/j.neuroimage.2017.02.090
    .. [2] Frässle et al. (2021), on resting state. doi:10.1002/hbm.25357

    Examples
    --------
    >>> import jax
    >>> noise = jax.random.normal(jax.random.key(0), (3, 500))
    >>> fitted = regression_dcm(noise, repetition_time=1.0)
    >>> fitted.connectivity.shape, bool((fitted.connectivity.diagonal() < -0.5).all())
    ((3, 3), True)
    """
    series = real_series(time_series, check=check)
    n_regions, n_frames = series.shape[-2:]
    interval = positive("repetition_time", repetition_time, "s")
    shape, rate = float(noise_shape), float(noise_rate)
    for name, value in (("noise_shape", shape), ("noise_rate", rate)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be above 0, and is {value:g}")
    if n_frames < 4:
        raise ValueError(f"a regression DCM needs at least four frames, and there are {n_frames}")
    if max_iterations < 1:
        raise ValueError(f"max_iterations must be at least 1, and is {max_iterations}")
    rest, _, constant = centred(*with_mask(series, None))
    predictors = rest
    n_inputs = 0
    if inputs is not None:
        driving = _driving(inputs, response, series, interval, check)
        n_inputs = driving.shape[-2]
        lead = jnp.broadcast_shapes(rest.shape[:-2], driving.shape[:-2])
        rest, constant = (jnp.broadcast_to(part, (*lead, *part.shape[-2:])) for part in (rest, constant))
        predictors = jnp.concatenate([rest, jnp.broadcast_to(driving, (*lead, *driving.shape[-2:]))], axis=-2)
    elif input_connections is not None or response is not None:
        raise ValueError("input_connections and response describe inputs, and there are no inputs")
    between = _allowed("connections", connections, (n_regions, n_regions), "(target, source)")
    driven = _allowed("input_connections", input_connections, (n_regions, n_inputs), "(target, input)")
    allowed = jnp.concatenate([between | jnp.eye(n_regions, dtype=bool), driven], axis=1)
    columns, wanted, count = _in_frequencies(predictors, rest, interval, band)
    gram = columns @ jnp.swapaxes(columns, -1, -2)
    cross = wanted @ jnp.swapaxes(columns, -1, -2)
    power = jnp.square(wanted).sum(-1)
    prior = tuple(jnp.asarray(part, series.dtype) for part in _prior(n_regions, n_inputs))
    measured = (~constant[..., 0]).astype(series.dtype)
    alike = connections is None and input_connections is None

    def of_scan(scan: tuple[Array, ...]) -> tuple[Array, ...]:
        gram, cross, power, measured = scan
        learnt = allowed * measured[:, None] * jnp.concatenate([measured, jnp.ones(n_inputs, series.dtype)])
        regressions = _Regressions(gram, cross, power * measured, count * measured, learnt, *prior)
        found = _posteriors(alike, shape, rate, max_iterations, regressions)
        return jnp.where(allowed, found.mean, 0.0), jnp.where(allowed, found.deviation, 0.0), *found[2:6]

    lead = rest.shape[:-2]
    parts = (gram, cross, power, measured)
    flat = tuple(part.reshape(-1, *part.shape[len(lead) :]) for part in parts)
    found, spread, *others = (part.reshape(*lead, *part.shape[1:]) for part in jax.lax.map(of_scan, flat))
    return RegressionDCM(
        found[..., :n_regions], spread[..., :n_regions], found[..., n_regions:], spread[..., n_regions:], *others
    )


def _driving(
    inputs: Tensor, response: Tensor | None, series: Array, interval: float, check: bool
) -> Float[Array, "... input frame"]:
    """Return the inputs as the vessels pass them on, at the series' frames."""
    fine = real_series(inputs, name="inputs", axes="(..., input, step)", check=check).astype(series.dtype)
    n_frames, n_steps = series.shape[-1], fine.shape[-1]
    try:
        jnp.broadcast_shapes(fine.shape[:-2], series.shape[:-2])
    except ValueError:
        raise ValueError(
            f"the leading axes of inputs {fine.shape[:-2]} must broadcast with those of the series {series.shape[:-2]}"
        ) from None
    if n_steps % n_frames:
        raise ValueError(
            f"inputs must have a whole number of time steps for each of the {n_frames} frames, and have {n_steps}"
        )
    each = n_steps // n_frames
    kernel = balloon_response(n_steps, time_step=interval / each) if response is None else _to_jax_array(response)
    if kernel.ndim != 1 or kernel.size == 0:
        raise ValueError(f"response must have shape (step,), and has shape {kernel.shape}")
    length = n_steps + kernel.size - 1
    passed = jnp.fft.rfft(fine, length) * jnp.fft.rfft(kernel.astype(series.dtype), length)
    return jnp.fft.irfft(passed, length)[..., :n_steps:each]


def _allowed(name: str, value: Tensor | None, shape: tuple[int, int], axes: str) -> Bool[Array, "target source"]:
    if value is None:
        return jnp.ones(shape, bool)
    allowed = _to_jax_array(value)
    if allowed.shape != shape:
        raise ValueError(f"{name} must have shape {axes} = {shape}, and has shape {allowed.shape}")
    return allowed.astype(bool)


def _in_frequencies(
    predictors: Array, series: Array, interval: float, band: Band | None
) -> tuple[Float[Array, "... weight row"], Float[Array, "... region row"], float]:
    """Return predictors and derivatives as real rows whose sums of squares are those over all frequencies.

    Of each pair of conjugate frequencies one is kept, and counts twice.
    """
    n_frames = series.shape[-1]
    if band is None:
        bins = np.arange(1, n_frames // 2 + 1)
    else:
        bins = bins_of_band(band, n_frames=n_frames, repetition_time=interval)
    twice = np.where(2 * bins == n_frames, 1.0, 2.0)
    factor = (np.exp(2j * np.pi * bins / n_frames) - 1) / interval
    kind = jnp.result_type(series.dtype, jnp.complex64)

    def rows(coefficients: Array) -> Array:
        return jnp.concatenate([jnp.real(coefficients), jnp.imag(coefficients)], axis=-1)

    weight = jnp.asarray(np.sqrt(twice), series.dtype)
    columns = jnp.fft.rfft(predictors)[..., bins] * weight
    return rows(columns), rows(columns[..., : series.shape[-2], :] * jnp.asarray(factor, kind)), float(twice.sum())


def _prior(n_regions: int, n_inputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means and precisions of all weights, [target, source and input], and the deviations of most targets'."""
    own = np.eye(n_regions, dtype=bool)
    nothing, unit = np.zeros((n_regions, n_inputs)), np.ones((n_regions, n_inputs))
    precision = np.where(own, 8 * n_regions, n_regions / 8)
    common = np.concatenate([np.full(n_regions, np.sqrt(8 / n_regions)), np.ones(n_inputs)])
    return np.concatenate([-0.5 * own, nothing], axis=1), np.concatenate([precision, unit], axis=1), common


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3))
def _posteriors(alike: bool, shape: float, rate: float, max_iterations: int, regressions: _Regressions) -> _Posteriors:
    """Return the posteriors of all targets; `alike` says that all weights of all targets are to be learnt."""
    gram, cross, power, count, allowed, prior_mean, prior_precision, common = regressions

    def scaled(scale: Array) -> tuple[Array, Array]:
        values, vectors = jnp.linalg.eigh(gram * scale[:, None] * scale)
        return jnp.maximum(values, 0.0), vectors

    shared = scaled(common * allowed.max(0)) if alike else None  # without what was not measured

    def of_target(target: Array) -> tuple[Array, ...]:
        unit = jnp.sqrt(1 / prior_precision[target]) if shared is None else common
        values, vectors = scaled(unit * allowed[target]) if shared is None else shared
        measured = (count[target] > 0).astype(gram.dtype)
        rotated = _Rotated(
            values=values * measured,
            cross=(cross[target] * unit * allowed[target]) @ vectors,
            own=jnp.zeros_like(values) if shared is None else vectors[target],
            stiffness=0.0 if shared is None else _STIFFNESS,
            prior_mean=(prior_mean[target] / unit) @ vectors,
            power=power[target],
            count=count[target],
        )
        precision, energy, path, number = _iterated(rotated, shape, rate, max_iterations)
        mean, shrunk, along, weight = _rotated_posterior(rotated, precision)
        variance = jnp.square(vectors) @ shrunk - weight * jnp.square(vectors @ along)
        slope = _slope(rotated, precision, shape)
        return unit * (vectors @ mean), unit * jnp.sqrt(variance), precision, energy, path, number, slope

    targets = jnp.arange(cross.shape[0])
    # Side by side where that takes no more memory than the result.
    return _Posteriors(*(jax.vmap(of_target)(targets) if alike else jax.lax.map(of_target, targets)))


@_posteriors.defjvp
def _posteriors_jvp(
    alike: bool,
    shape: float,
    rate: float,
    max_iterations: int,
    primals: tuple[_Regressions],
    tangents: tuple[_Regressions],
) -> tuple[_Posteriors, _Posteriors]:
    """Return the posteriors and how they move with the data, by the implicit function theorem at the fixed point."""
    (regressions,), (moved,) = primals, tangents
    found = _posteriors(alike, shape, rate, max_iterations, regressions)

    def of_target(target: Array) -> tuple[Array, ...]:
        here, mean, precision = regressions.allowed[target], found.mean[target], found.precision[target]
        both = here[:, None] * here
        gram, cross = regressions.gram * both, regressions.cross[target] * here
        d_gram, d_cross, d_power = moved.gram * both, moved.cross[target] * here, moved.power[target]
        covariance = symmetric_inverse(jnp.diag(regressions.prior_precision[target]) + precision * gram)
        left, d_left = cross - gram @ mean, d_cross - d_gram @ mean
        around = covariance @ gram @ covariance
        # Of half the expected squared error: at fixed posterior, then as the weights follow.
        direct = d_power / 2 - (d_cross * mean).sum() + (mean @ d_gram @ mean + (d_gram * covariance).sum()) / 2
        d_error = direct - precision * (left * (covariance @ d_left)).sum() - precision / 2 * (around * d_gram).sum()
        pull = precision**2 / (shape + regressions.count[target] / 2) / (1 - found.slope[target])
        d_precision = -pull * d_error
        d_mean = covariance @ (precision * d_left + d_precision * left)
        d_variance = -precision * ((covariance @ d_gram) * covariance).sum(-1) - d_precision * jnp.diagonal(around)
        return d_mean, d_variance / (2 * found.deviation[target]), d_precision, -precision * direct

    mean, deviation, precision, energy = jax.lax.map(of_target, jnp.arange(regressions.cross.shape[0]))
    return found, _Posteriors(
        mean,
        deviation,
        precision,
        energy,
        path=jnp.zeros_like(found.path),
        n_iterations=np.zeros(found.n_iterations.shape, jax.dtypes.float0),  # pyright: ignore[reportArgumentType]
        slope=jnp.zeros_like(found.slope),
    )


def _rotated_posterior(rotated: _Rotated, precision: Array) -> tuple[Array, Array, Array, Array]:
    """Return the mean, and the covariance as a diagonal less a weighted square of a vector (Sherman-Morrison)."""
    shrunk = 1 / (1 + precision * rotated.values)
    along = shrunk * rotated.own
    weight = rotated.stiffness / (1 + rotated.stiffness * (rotated.own * along).sum())
    pulled = rotated.prior_mean + rotated.stiffness * (rotated.own * rotated.prior_mean).sum() * rotated.own
    wanted = precision * rotated.cross + pulled
    return shrunk * wanted - weight * (along * wanted).sum() * along, shrunk, along, weight


def _error(rotated: _Rotated, precision: Array) -> Array:
    """Return half the expected sum of squares of what the weights leave."""
    mean, shrunk, along, weight = _rotated_posterior(rotated, precision)
    left = rotated.power - 2 * (rotated.cross * mean).sum() + (rotated.values * mean**2).sum()
    spread = (rotated.values * (shrunk - weight * along**2)).sum()
    return (jnp.maximum(left, 0.0) + spread) / 2


def _slope(rotated: _Rotated, precision: Array, shape: float) -> Array:
    """Return the derivative of the precision's update by the precision."""
    mean, shrunk, along, weight = _rotated_posterior(rotated, precision)
    values = rotated.values
    left = rotated.cross - values * mean
    moved = shrunk * left - weight * (along * left).sum() * along
    square = (values * shrunk) ** 2
    trace = square.sum() - 2 * weight * (values**2 * shrunk * along**2).sum()
    trace = trace + (weight * (values * along**2).sum()) ** 2
    return precision**2 / (shape + rotated.count / 2) * ((left * moved).sum() + trace / 2)


def _free_energy(rotated: _Rotated, precision: Array, shape: float, rate: float) -> Array:
    """Return the expected log likelihood less the divergences of weights and precision from their priors."""
    mean, shrunk, along, weight = _rotated_posterior(rotated, precision)
    stiffness, apart = rotated.stiffness, mean - rotated.prior_mean
    inside = (rotated.own * along).sum()
    distance = (apart**2).sum() + stiffness * (rotated.own * apart).sum() ** 2
    spread = (shrunk - 1).sum() - weight * (along**2).sum() + stiffness * inside / (1 + stiffness * inside)
    volume = jnp.log1p(stiffness * inside) - math.log1p(stiffness) - jnp.log(shrunk).sum()
    of_weights = (distance + spread + volume) / 2
    posterior_shape = shape + rotated.count / 2
    posterior_rate = posterior_shape / precision
    log_precision = digamma(posterior_shape) - jnp.log(posterior_rate)
    likelihood = rotated.count * (log_precision - math.log(2 * math.pi)) / 2 - _error(rotated, precision) * precision
    of_precision = (
        (posterior_shape - shape) * digamma(posterior_shape)
        - gammaln(posterior_shape)
        + math.lgamma(shape)
        + shape * (jnp.log(posterior_rate) - math.log(rate))
        + (rate - posterior_rate) * precision
    )
    return likelihood - of_weights - of_precision


def _iterated(rotated: _Rotated, shape: float, rate: float, max_iterations: int) -> tuple[Array, Array, Array, Array]:
    """Return the converged precision, the free energy there and on the way, and the number of updates."""
    kind = rotated.values.dtype

    def step(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        _, precision, path, number = state
        following = (shape + rotated.count / 2) / (rate + _error(rotated, precision))
        energy = _free_energy(rotated, following, shape, rate)
        return precision, following, path.at[number].set(energy), number + 1

    def moves(state: tuple[Array, Array, Array, Array]) -> Array:
        before, precision, _, number = state
        still = jnp.abs(precision - before) <= jnp.finfo(kind).eps ** 0.75 * precision
        return ~still & ~jnp.isnan(precision) & (number < max_iterations)

    start = jnp.asarray(shape / rate, kind)
    state = (jnp.zeros((), kind), start, jnp.zeros(max_iterations, kind), jnp.zeros((), int))
    _, precision, path, number = jax.lax.while_loop(moves, step, state)
    last = path[number - 1]
    return precision, last, jnp.where(jnp.arange(max_iterations) < number, path, last), number
