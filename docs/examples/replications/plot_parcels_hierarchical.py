"""
A hierarchy of parcels
======================

The same loss finds five large parcels or the twenty-five small ones within them: how many parcels are asked for
selects the tier.
"""

# %%
# **The experiment** is the hierarchical parcellation of differentiable programming for functional connectomics [1]_:
# the losses of hard parcels on a truth with two tiers, once with five parcels and once with twenty-five.
#
# **Planted.** A map of 25 x 25 vertices is divided among five points, and each of the five regions among five points
# of its own. Half of the variance of a small parcel's signal is that of its region; a vertex adds half as much noise
# (variance) as it has signal, and is standardised.
#
# **Criterion.** The adjusted Rand index is above 0.9 at both tiers; the score is the smaller of the two.
#
# **Baseline.** k-means with 20 restarts, once with five and once with twenty-five clusters.
#
# **Choices** were made on seeds 100 to 102; seeds 0 to 9 are judged. Of four starts the one of least loss counts.
#
# .. [1] Ciric, Thomas, Esteban & Poldrack (2022), Differentiable programming for functional connectomics.
#    doi:10.48550/arXiv.2206.00649

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from conn.functional import corr
from conn.functional.layers import Parcellation
from conn.loss import EntropyLoss, EquilibriumLoss, GramLogDeterminantLoss, SecondMomentLoss

CRITERION = "adjusted Rand index > 0.9 with 5 and with 25 parcels"
TIERS, N_STARTS = (5, 25), 4


class Data(NamedTuple):
    """What is seen, and what is planted."""

    series: np.ndarray
    labels: dict[int, np.ndarray]


def points(vertices: np.ndarray, n_points: int, rng: np.random.Generator) -> np.ndarray:
    """Return points that spread over the vertices evenly, as the centres of clusters in space."""
    start = vertices[rng.choice(len(vertices), n_points, replace=False)].astype(float)
    return KMeans(n_points, init=start, n_init=1).fit(vertices).labels_


def simulate(seed: int, *, side: int = 25, n_frames: int = 150) -> Data:
    """Return the standardised series of the map's vertices, and their parcels at both tiers."""
    rng = np.random.default_rng(seed)
    vertices = np.stack(np.indices((side, side)), axis=-1).reshape(-1, 2)
    large = points(vertices, 5, rng)
    small = np.zeros_like(large)
    for region in range(5):
        inside = large == region
        small[inside] = 5 * region + points(vertices[inside], 5, rng)
    shared, own = rng.normal(size=(5, n_frames)), rng.normal(size=(25, n_frames))
    signals = np.sqrt(0.5) * (np.repeat(shared, 5, axis=0) + own)
    series = signals[small] + np.sqrt(0.5) * rng.normal(size=(side**2, n_frames))
    series = (series - series.mean(1, keepdims=True)) / series.std(1, keepdims=True)
    return Data(series.astype(np.float32), {5: large, 25: small})


# %%
# **The fit** is that of hard parcels: parcels differ, their vertices are alike, and none decides early.


@partial(jax.jit, static_argnames=("n_parcels", "n_epochs"))
def fit(series: jax.Array, key: jax.Array, *, n_parcels: int, n_epochs: int = 500) -> tuple[jax.Array, jax.Array]:
    """Return the assignment of least loss among the starts, (parcel, vertex), and its loss by epoch."""
    undecided = EntropyLoss(optax.linear_schedule(-5.0, 0.0, 4 * n_epochs // 5), axis=-2)
    different, alike, balanced = GramLogDeterminantLoss(5.0 / n_parcels), SecondMomentLoss(10.0), EquilibriumLoss(1.0)
    optimiser = optax.adam(0.05)

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        free, held = eqx.partition(Parcellation.random(n_parcels, series.shape[0], key=key), eqx.is_inexact_array)

        def loss(free: Parcellation, epoch: jax.Array) -> jax.Array:
            model = eqx.combine(free, held)
            shares = jnp.asarray(model.assignment)
            apart, together = different(model(series)), alike(series, shares)
            return apart + together + balanced(shares) + undecided(shares, step=epoch)

        def step(carried: tuple, epoch: jax.Array) -> tuple[tuple, jax.Array]:
            free, state = carried
            value, gradient = jax.value_and_grad(loss)(free, epoch)
            updates, state = optimiser.update(gradient, state)
            return (optax.apply_updates(free, updates), state), value

        (free, _), history = jax.lax.scan(step, (free, optimiser.init(free)), jnp.arange(n_epochs))
        return jnp.asarray(eqx.combine(free, held).assignment), history

    shares, history = jax.vmap(one)(jax.random.split(key, N_STARTS))
    best = history[:, -1].argmin()
    return shares[best], history[best]


def baseline(data: Data) -> dict[int, np.ndarray]:
    """Return the labels of k-means at both tiers."""
    return {tier: KMeans(tier, n_init=20, random_state=0).fit(data.series).labels_ for tier in TIERS}


def score(labels: dict[int, np.ndarray], data: Data) -> dict[int, float]:
    """Return the adjusted Rand index with the planted parcels at both tiers."""
    return {tier: float(adjusted_rand_score(data.labels[tier], labels[tier])) for tier in TIERS}


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return what comes of one seed; the short form has a map of 15 x 15 vertices."""
    data = simulate(seed, side=15) if short else simulate(seed)
    key = jax.random.key(seed)
    labels = {tier: np.asarray(fit(jnp.asarray(data.series), key, n_parcels=tier)[0]).argmax(0) for tier in TIERS}
    ours, theirs = score(labels, data), score(baseline(data), data)
    return {
        "score": min(ours.values()),
        "baseline": min(theirs.values()),
        "passed": min(ours.values()) > 0.9,
        "adjusted Rand index": ours,
        "adjusted Rand index of the baseline": theirs,
        "data": data,
        "labels": labels,
    }


# %%
# **One seed.** Large and small parcels as planted and as learned, by the planted parcel that each learned one overlaps
# most; and the correlations between the vertices, in the order of the planted parcels.

if __name__ == "__main__":
    found = experiment(0)
    for tier in TIERS:
        ours, theirs = (found[name][tier] for name in ("adjusted Rand index", "adjusted Rand index of the baseline"))
        print(f"{tier} parcels: adjusted Rand index {ours:.3f} (baseline {theirs:.3f})")
    assert found["passed"]

    data, side = found["data"], 25
    figure = Figure(figsize=(13, 3.1), layout="constrained")
    axes = figure.subplots(1, 5, width_ratios=[1, 1, 1, 1, 1.35])
    shuffled = np.random.default_rng(0).permutation(25)  # neighbours among small parcels get colours that differ
    for place, tier in enumerate(TIERS):
        order = np.arange(5) if tier == 5 else shuffled
        planted = data.labels[tier]
        largest = {label: np.bincount(planted[found["labels"][tier] == label]).argmax() for label in range(tier)}
        renamed = np.array([largest[label] for label in found["labels"][tier]])
        for axis, labels, title in zip(axes[2 * place :], (planted, renamed), ("planted", "learned"), strict=False):
            axis.imshow(order[labels].reshape(side, side), cmap="turbo", interpolation="nearest")
            axis.set(title=f"{tier} parcels, {title}", xlabel="vertex, across", ylabel="vertex, down")
    image = axes[4].imshow(corr(data.series[np.argsort(data.labels[25])]), cmap="RdBu_r", vmin=-1, vmax=1)
    axes[4].set(title="Correlations", xlabel="vertex, by planted parcel", ylabel="vertex, by planted parcel")
    figure.colorbar(image, ax=axes[4], label="r")
    figures = {"Two tiers of parcels, planted and learned": figure}
