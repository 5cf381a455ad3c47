r"""Communities whose common signal is switched on and off: the likelihood, its steps, and the decoding of scans.

Every region follows one community, and which one is uncertain: with :math:`c_r` the community of region :math:`r`,

.. math:: x_{rt} = \lambda_r\, g_{c_r t}\, u_{c_r t} + \epsilon_{rt}, \quad u \sim N(0, 1), \quad
          \epsilon_{rt} \sim N(0, \psi_r), \quad g \in \{0, 1\},

where each gate :math:`g_k` is a Markov chain. What is unknown is approximated by independent factors, and since no
region follows two communities these need no matrix of communities by communities: a community's frames enter through
one precision :math:`P_k = \sum_r E[\lambda^2 1_{c_r = k}] / \psi_r` and one projected series
:math:`y_{kt} = \sum_r E[\lambda 1_{c_r = k}] x_{rt} / \psi_r`, and the odds of being on gain
:math:`\tfrac12 y^2 / (1 + P) - \tfrac12 \log(1 + P)`.

Neighbouring frames of band-passed scans say nearly the same. Only a share :math:`\kappa` of the frames counts as
independent: chains are learned from every :math:`m`-th frame, :math:`m = 1 / \kappa` to the nearest whole number, in
each of the :math:`m` phases; scans are decoded at the full rate with odds to the power :math:`\kappa`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.typing import NDArray

from conn.functional import pooled_degrees_of_freedom

SPREAD = 0.3
"""Prior standard deviation of loadings about their mean, relative to it."""

PRIOR_SWITCHES = 20.0
"""Chains start as if they had been seen for so many steps of one switch in sixteen."""


class SwitchingParameters(NamedTuple):
    """What is learned from scans; a batch of none."""

    probability: Float[Array, "region community"]
    """That a region follows a community."""
    loading: Float[Array, "region community"]
    """Mean loading of a region, were it of this community."""
    variance: Float[Array, "region community"]
    """Variance of that loading."""
    noise: Float[Array, "region"]
    """Variance of what a region does not share."""
    mean_loading: Float[Array, ""]
    """Centre of the prior of loadings."""
    switch: Float[Array, "2"]
    """Probability, from a frame of a phase to the next, of going on, and of going off."""


def standardised_scans(series: Float[Array, "scan region frame"], valid: Bool[Array, "scan frame"]) -> Array:
    """Return scans of which every region has mean 0 and variance 1 over valid frames; constant regions are 0."""
    counts = valid[:, None, :].astype(series.dtype)
    n_frames = jnp.maximum(counts.sum(-1, keepdims=True), 1)
    centred = (series - (series * counts).sum(-1, keepdims=True) / n_frames) * counts
    norm = jnp.sqrt((centred**2).sum(-1, keepdims=True))
    varies = norm > 8 * jnp.finfo(series.dtype).eps * jnp.sqrt((series**2 * counts).sum(-1, keepdims=True))
    return jnp.where(varies, centred * jnp.sqrt(n_frames) / jnp.where(varies, norm, 1), 0)


def independent_share(scans: Float[Array, "scan region frame"], valid: Bool[Array, "scan frame"]) -> float:
    """Return how many independent frames a frame is worth, over all scans."""
    counted = np.asarray(valid).sum(-1)
    worth = _worth(scans, valid)
    return float(np.clip(np.asarray(worth, float).sum() / max(counted.sum(), 1), 1e-3, 1))


@jax.jit
def _worth(scans: Array, valid: Array) -> Array:
    return jax.lax.map(lambda scan: pooled_degrees_of_freedom(scan[0], mask=scan[1]), (scans, valid))


def gate_posterior(
    log_odds: Float[Array, "... frame"], switch: Float[Array, "2"]
) -> tuple[Float[Array, "... frame"], Float[Array, "..."], Float[Array, "... frame 4"]]:
    """Return the posterior of being on, the log-likelihood relative to always off, and the shares of the four steps.

    Steps (off-off, off-on, on-off, on-on) stand at the frame that they start from; the last frame has none.
    """
    on, off = switch[0], switch[1]
    frames = jnp.moveaxis(log_odds, -1, 0)
    tiny = jnp.finfo(log_odds.dtype).tiny

    def forward(before: Array, odds: Array) -> tuple[Array, tuple[Array, Array]]:
        gained = jnp.logaddexp(jnp.log(before) + odds, jnp.log1p(-before))
        now = jax.nn.sigmoid(odds + jnp.log(before) - jnp.log1p(-before))
        return now * (1 - off) + (1 - now) * on, (now, gained)

    def backward(after: Array, odds: Array) -> tuple[Array, tuple[Array, Array]]:
        # `after`: log-odds of what follows, seen from this frame.
        ahead = jax.nn.sigmoid(odds + after)
        from_on = (1 - off) * ahead + off * (1 - ahead)
        from_off = on * ahead + (1 - on) * (1 - ahead)
        return jnp.log(from_on) - jnp.log(from_off), (after, ahead)

    start = jnp.broadcast_to(on / (on + off), frames.shape[1:])
    _, (filtered, gained) = jax.lax.scan(forward, start, frames)
    _, (after, ahead) = jax.lax.scan(backward, jnp.zeros_like(start), frames, reverse=True)
    filtered = jnp.clip(filtered, tiny, 1 - jnp.finfo(log_odds.dtype).eps)
    posterior = jax.nn.sigmoid(jnp.log(filtered) - jnp.log1p(-filtered) + after)
    now, then = filtered[:-1], ahead[1:]
    steps = jnp.stack(
        [
            (1 - now) * (1 - on) * (1 - then),
            (1 - now) * on * then,
            now * off * (1 - then),
            now * (1 - off) * then,
        ],
        -1,
    )
    steps = steps / steps.sum(-1, keepdims=True)
    steps = jnp.concatenate([steps, jnp.zeros_like(steps[:1])])
    return jnp.moveaxis(posterior, 0, -1), gained.sum(0), jnp.moveaxis(steps, 0, -2)


def projected(
    parameters: SwitchingParameters, scans: Float[Array, "scan region frame"]
) -> tuple[Float[Array, "scan community frame"], Float[Array, "community"]]:
    """Return every community's projected series, and its precision."""
    mean = parameters.probability * parameters.loading / parameters.noise[:, None]
    square = parameters.probability * (parameters.loading**2 + parameters.variance)
    return jnp.einsum("rk,srt->skt", mean, scans), (square / parameters.noise[:, None]).sum(0)


def _log_odds(series: Array, precision: Array) -> Array:
    room = 1 + precision[:, None]
    return 0.5 * series**2 / room - 0.5 * jnp.log(room)


def _phases(frames: Array, stride: int) -> Array:
    """Return series of shape (..., frame) as (stride, ..., frame of a phase), the last filled with zeros."""
    missing = -frames.shape[-1] % stride
    filled = jnp.pad(frames, [(0, 0)] * (frames.ndim - 1) + [(0, missing)])
    return jnp.moveaxis(filled.reshape(*frames.shape[:-1], -1, stride), -1, 0)


def _together(phases: Array, n_frames: int) -> Array:
    joined = jnp.moveaxis(phases, 0, -1)
    return joined.reshape(*joined.shape[:-2], -1)[..., :n_frames]


def learned_step(
    parameters: SwitchingParameters,
    scans: Float[Array, "scan region frame"],
    valid: Bool[Array, "scan frame"],
    share: Float[Array, ""],
    stride: int,
    fixed: Float[Array, "region community"] | None,
) -> tuple[SwitchingParameters, Float[Array, ""]]:
    """Return parameters after one step of expectation and maximisation, and the log-likelihood before it.

    `fixed` holds memberships that are not learned. The log-likelihood is a mean over regions and valid frames.
    """
    series, precision = projected(parameters, scans)
    counted = valid[:, None, :]
    phases = _phases(jnp.where(counted, _log_odds(series, precision), 0), stride)
    posterior, gained, steps = gate_posterior(phases, parameters.switch)
    n_frames = scans.shape[-1]
    active = jnp.where(counted, _together(posterior, n_frames), 0)
    level = log_likelihood(parameters, scans, valid, gained.sum())

    # Steps between two valid frames of a phase, of all communities and scans together.
    seen = _phases(counted.astype(scans.dtype), stride)
    pairs = (seen * jnp.roll(seen, -1, -1)).at[..., -1].set(0)
    stayed_off, went_on, went_off, stayed_on = jnp.einsum("...tq,...t->q", steps, jnp.broadcast_to(pairs, phases.shape))
    # One rate for going on and off: loadings and the share of frames that are on hardly tell apart.
    switched = went_on + went_off
    rate = (switched + PRIOR_SWITCHES / 16) / (stayed_off + stayed_on + switched + PRIOR_SWITCHES)
    switch = jnp.stack([rate, rate])

    signal = series / (1 + precision[:, None])
    total = jnp.maximum(valid.sum(), 1).astype(scans.dtype)
    power = jnp.einsum("skt,skt->k", active, signal**2 + 1 / (1 + precision[:, None])) / total
    shared = jnp.einsum("srt,skt->rk", scans, active * signal) / total
    worth = share * total / parameters.noise[:, None]
    prior_precision = 1 / (SPREAD * parameters.mean_loading) ** 2
    accuracy = worth * power + prior_precision
    loading = (worth * shared + prior_precision * parameters.mean_loading) / accuracy
    evidence = 0.5 * (loading**2 * accuracy - prior_precision * parameters.mean_loading**2) - 0.5 * jnp.log(
        accuracy / prior_precision
    )
    # Loadings are positive: a region that runs against a community does not belong to it.
    evidence = evidence + jax.scipy.stats.norm.logcdf(loading * jnp.sqrt(accuracy))
    probability = jax.nn.softmax(evidence, axis=-1) if fixed is None else fixed
    loading, variance = jnp.maximum(loading, 0), 1 / accuracy
    square = probability * (loading**2 + variance)
    present = (scans**2).sum((0, 2)) / total
    noise = present - 2 * (probability * loading * shared).sum(1) + square @ power
    learned = SwitchingParameters(
        probability=probability,
        loading=loading,
        variance=variance,
        # No region is all signal, and one that never varies has the noise of a whole one.
        noise=jnp.where(present > 0, jnp.maximum(noise, 0.05 * present), 1.0),
        mean_loading=(probability * loading).sum() / probability.sum(),
        switch=switch,
    )
    return learned, level


def log_likelihood(
    parameters: SwitchingParameters, scans: Array, valid: Array, gained: Float[Array, ""]
) -> Float[Array, ""]:
    """Return the log-likelihood of all scans, a mean over regions and valid frames, given what the chains gained."""
    total = jnp.maximum(valid.sum(), 1)
    alone = -0.5 * (total * jnp.log(2 * jnp.pi * parameters.noise) + (scans**2).sum((0, 2)) / parameters.noise).sum()
    return (alone + gained) / (total * scans.shape[1])


def scored(parameters: SwitchingParameters, scans: Array, valid: Array, stride: int) -> Float[Array, ""]:
    """Return the log-likelihood of scans, a mean over regions and valid frames."""
    odds = jnp.where(valid[:, None, :], _log_odds(*projected(parameters, scans)), 0)
    _, gained, _ = gate_posterior(_phases(odds, stride), parameters.switch)
    return log_likelihood(parameters, scans, valid, gained.sum())


def decoded(
    parameters: SwitchingParameters, scans: Array, valid: Array, share: Float[Array, ""], stride: int
) -> Float[Array, "scan community frame"]:
    """Return the probability that each community is on, at every frame, by forward and backward passes."""
    odds = jnp.where(valid[:, None, :], share * _log_odds(*projected(parameters, scans)), 0)
    posterior, _, _ = gate_posterior(odds, per_frame(parameters.switch, stride))
    return posterior


def per_frame(switch: Float[Array, "2"], stride: int) -> Float[Array, "2"]:
    """Return the probabilities of switching from a frame to the next that give these over `stride` frames."""
    # The chain's second eigenvalue is taken to its root; a chain that alternates has none, and is taken for white.
    remembered = jnp.maximum(1 - switch.sum(), 1e-6)
    return switch * (1 - remembered ** (1 / stride)) / (1 - remembered)


def starting_parameters(
    probability: NDArray[np.floating], size: NDArray[np.floating], noise: NDArray[np.floating], scans: Array
) -> SwitchingParameters:
    """Return parameters to begin from.

    Beside the probability that a region follows a community (region, community): how large its loading is on the one
    that it follows (region,), of a signal that is on all the time, and the variance of its noise (region,).
    """
    dtype = scans.dtype
    # A signal that is on half of the time has twice the power of its mean while it is on.
    loading = np.sqrt(2) * np.maximum(size, 1e-6)
    return SwitchingParameters(
        probability=jnp.asarray(probability, dtype),
        loading=jnp.asarray(np.broadcast_to(loading[:, None], probability.shape), dtype),
        variance=jnp.zeros(probability.shape, dtype),
        noise=jnp.asarray(np.maximum(noise, 0.2), dtype),
        mean_loading=jnp.asarray(np.clip(loading.mean(), 0.05, 0.95), dtype),
        switch=jnp.full(2, 1 / 16, dtype),
    )
