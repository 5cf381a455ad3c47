"""
Layers: a pipeline that learns its own parcels, band and confounds
===================================================================

From vertices to the tangent space of connectomes in six layers, trained together by one loss, and looked at where the
truth is planted.
"""

# %%
# Two groups of scans have four parcels of six vertices each. Between 0.05 and 0.1 Hz the first two parcels are coupled
# in one group, and the last two in the other; at all other frequencies the coupling is another one in every scan. Two
# of six confounds leave an artefact, of another strength in every scan.

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from conn.functional import FilterBank, MappedLogits, ideal_response, product_filter, spd_mean
from conn.functional.layers import (
    ConfoundGate,
    Covariance,
    Parcellation,
    Residualisation,
    TangentProjection,
)

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"
N_SCANS, N_PARCELS, N_FRAMES, REPETITION_TIME, BAND = 80, 4, 120, 2.0, (0.05, 0.1)
labels = np.repeat(np.arange(N_PARCELS), 6)
group = np.arange(N_SCANS) % 2
passing = np.asarray(ideal_response(N_FRAMES, band=BAND, repetition_time=REPETITION_TIME))


def simulate(seed: int) -> tuple[jax.Array, jax.Array]:
    """Return the vertices' series and the confounds of all scans."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(N_SCANS, N_PARCELS, N_FRAMES))
    pairs = rng.normal(size=(N_SCANS, 2, N_FRAMES)) * np.where(group[:, None] == [0, 1], 1.2, 0.0)[..., None]
    within = np.asarray(product_filter(own + np.repeat(pairs, 2, axis=1), passing))
    mixing = np.eye(N_PARCELS) + 0.5 * rng.normal(size=(N_SCANS, N_PARCELS, N_PARCELS))
    outside = np.asarray(product_filter(mixing @ rng.normal(size=own.shape), 1 - passing))
    confounds = rng.normal(size=(N_SCANS, 6, N_FRAMES))
    loads = rng.normal(size=(N_SCANS, len(labels), 2)) * rng.gamma(1.0, 0.5, size=(N_SCANS, 1, 1))
    noise = 0.7 * rng.normal(size=(N_SCANS, len(labels), N_FRAMES))
    series = (1.5 * within + outside)[:, labels] + loads @ confounds[:, :2] + noise
    return jnp.asarray(series, jnp.float32), jnp.asarray(confounds, jnp.float32)


series, confounds = simulate(0)
unseen, unseen_confounds = simulate(1)

# %%
# **The pipeline.** Nothing is known at the start: shares of parcels are random, the filter lets half of every
# frequency pass, every confound counts by half. Confounds pass the same filter as the series. Parametrisations keep
# shares on the simplex, and gains and gates between 0 and 1. The point of tangency is the mean of the first
# connectomes, and stays there.


class Pipeline(eqx.Module):
    """Vertices and confounds to tangents at a learned point."""

    parcellation: Parcellation
    bank: FilterBank
    gate: ConfoundGate
    residualisation: Residualisation
    covariance: Covariance
    tangent: TangentProjection

    def connectomes(self, series: jax.Array, confounds: jax.Array) -> jax.Array:
        parcels = self.bank(self.parcellation(series))[:, 0]
        return self.covariance(self.residualisation(parcels, self.bank(self.gate(confounds))[:, 0]))

    def __call__(self, series: jax.Array, confounds: jax.Array) -> jax.Array:
        return self.tangent(self.connectomes(series, confounds))


gains = MappedLogits.map(FilterBank(jnp.full((1, N_FRAMES // 2 + 1), 0.5)), where="gain")
start = Pipeline(
    Parcellation.random(N_PARCELS, len(labels), key=jax.random.key(0)),
    gains,
    ConfoundGate.half_open(6),
    Residualisation(10.0),
    Covariance("covariance", ridge=0.01),
    TangentProjection(jnp.eye(N_PARCELS)),
)
point = eqx.filter_jit(lambda model: spd_mean(model.connectomes(series, confounds), metric="log-euclidean"))(start)
start = eqx.tree_at(lambda model: model.tangent.reference, start, point)

# %%
# **The loss** needs no classifier: the spread of tangents within groups over the distance between the groups' means,
# the share of the vertices' variance that parcels do not explain, and small prices for open gates and for gains that
# change from one frequency to the next.


def separation(tangents: jax.Array) -> jax.Array:
    """Return the squared distance of the groups' means over the mean squared distance from them."""
    means = jnp.stack([tangents[group == which].mean(0) for which in (0, 1)])
    return ((means[0] - means[1]) ** 2).sum() / ((tangents - means[group]) ** 2).sum((-2, -1)).mean()


def loss(model: Pipeline) -> jax.Array:
    shares = jnp.asarray(model.parcellation.assignment)
    rest = series - shares.T @ model.parcellation(series)
    price = 0.01 * jnp.asarray(model.gate.gate).sum() + (jnp.diff(jnp.asarray(model.bank.gain)) ** 2).mean()
    return 1 / separation(model(series, confounds)) + 30 * (rest**2).mean() / (series**2).mean() + price


optimiser = optax.adam(0.05)
trained = eqx.tree_at(lambda model: model.tangent, jax.tree.map(eqx.is_inexact_array, start), replace=False)
moving, still = eqx.partition(start, trained)


@jax.jit
def train(moving):
    """Return the trained values, and the separation before every step."""

    def step(carried, _):
        values, state = carried
        model = eqx.combine(values, still)
        found = jnp.stack([separation(model(series, confounds)), separation(model(unseen, unseen_confounds))])
        gradient = jax.grad(lambda values: loss(eqx.combine(values, still)))(values)
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(values, updates), state), found

    (values, _), history = jax.lax.scan(step, (moving, optimiser.init(moving)), length=300)
    return values, history


values, history = train(moving)
model, history = eqx.combine(values, still), np.asarray(history)
shares, gain, gates = (np.asarray(v) for v in (model.parcellation.assignment, model.bank.gain[0], model.gate.gate))
winner = shares.argmax(0)
print(f"separation of unseen scans: {history[0, 1]:.2f} before, {history[-1, 1]:.2f} after")
print(
    f"vertices of a planted parcel that share a learned one: {[len(set(winner[labels == p])) == 1 for p in range(4)]}"
)
print(f"different parcels found: {len(set(winner))}")
print(f"mean gain inside the band {gain[passing > 0].mean():.2f}, outside {gain[passing == 0].mean():.2f}")
print("gates:", ", ".join(f"{gate:.2f}" for gate in gates))

# %%
# How far apart the groups are, in the scans that were trained on and in others; the learned gain, and the band that
# carries the coupling; the learned shares of parcels; and the gates of the confounds, of which two leave an artefact.

figure = Figure(figsize=(12, 6.4), layout="constrained")
(first, second), (third, fourth) = figure.subplots(2, 2)
for values, colour, name in zip(history.T, (GREY, BLUE), ("trained on", "unseen"), strict=True):
    first.plot(values, color=colour, label=name)
first.set(
    xlabel="step", ylabel="separation\n(squared distance / spread)", ylim=(0, None), title="Groups in the tangent space"
)
first.legend(frameon=False)
frequencies = np.fft.rfftfreq(N_FRAMES, REPETITION_TIME)
second.axvspan(*BAND, color="0.9", label="planted band")
second.axhline(0.5, color=GREY, linewidth=1, linestyle=":", label="start")
second.plot(frequencies, gain, color=VERMILION, label="learned")
second.set(xlabel="frequency (Hz)", ylabel="gain", ylim=(0, 1.05), title="Filter")
second.legend(frameon=False)
image = third.imshow(shares, aspect="auto", vmin=0, vmax=1, cmap="viridis")
for edge in np.flatnonzero(np.diff(labels)):
    third.axvline(edge + 0.5, color="white", linewidth=1)
third.set(xlabel="vertex (lines: planted parcels)", ylabel="learned parcel", title="Parcellation")
third.yaxis.set_major_locator(MaxNLocator(integer=True))
figure.colorbar(image, ax=third, label="share")
fourth.bar(np.arange(1, 7), gates, color=[GREEN] * 2 + [GREY] * 4)
fourth.axhline(0.5, color="black", linewidth=0.8, linestyle=":")
fourth.set(xlabel="confound (green: leaves an artefact)", ylabel="gate", ylim=(0, 1), title="Confound selection")
figures = {"A pipeline of layers, trained end to end on planted data": figure}
