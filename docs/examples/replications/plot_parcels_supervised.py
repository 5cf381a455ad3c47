"""
Parcels from homologous connectivity
====================================

A map of nine parcels is learned from connectomes alone: those that the same people's homologous map gives.
"""

# %%
# **The experiment** is the supervised parcellation homology of differentiable programming for functional connectomics
# [1]_: a linear map with weights on the simplex is trained until the connectivity of its parcels equals a given one.
#
# **Planted.** Nine parcels are the vertices nearest to jittered points of a map of 25 x 25 vertices. In each of 24
# people the parcels' signals have a covariance of their own, drawn anew; a vertex adds as much noise (variance) as it
# has signal. A second map, with parcels of another shape and noise of its own, carries the same signals: of it nothing
# but the 9 x 9 correlations of each person are known.
#
# **Criterion.** The adjusted Rand index of the learned labels with the planted ones is above 0.9. Since the target
# numbers the parcels, the share of vertices with the right number is told as well.
#
# **Baseline.** k-means of the vertices' series, people end to end, with 10 restarts; it sees the series and needs no
# target, and its numbers of parcels mean nothing.
#
# **Choices** were made on seeds 100 to 102; seeds 0 to 9 are judged. Of four starts the one of least error
# counts.
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

from conn.functional import corr, triangle_to_vector
from conn.functional.layers import Parcellation
from conn.loss import EntropyLoss, MSELoss

CRITERION = "adjusted Rand index > 0.9"
N_PARCELS, N_STARTS = 9, 4


class Data(NamedTuple):
    """What is seen, and what is planted."""

    series: np.ndarray
    connectomes: np.ndarray
    labels: np.ndarray


def nearest(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return the number of the parcel of each vertex of a map."""
    vertices = np.stack(np.indices((side, side)), axis=-1).reshape(-1, 2)
    centres = (np.stack(np.indices((3, 3)), axis=-1).reshape(-1, 2) + 0.5) * side / 3
    centres = centres + rng.uniform(-side / 9, side / 9, centres.shape)
    return ((vertices[:, None] - centres) ** 2).sum(-1).argmin(1)


def simulate(seed: int, *, side: int = 25, n_people: int = 24, n_frames: int = 50) -> Data:
    """Return the series of the map's vertices, the homologous map's connectomes, and the parcels."""
    rng = np.random.default_rng(seed)
    labels, homologous = nearest(side, rng), nearest(side, rng)
    mixing = np.eye(N_PARCELS) + 0.5 * rng.normal(size=(n_people, N_PARCELS, N_PARCELS))
    signals = mixing @ rng.normal(size=(n_people, N_PARCELS, n_frames))
    signals /= signals.std(-1, keepdims=True)
    noise = rng.normal(size=(2, n_people, side**2, n_frames))
    other = signals[:, homologous] + noise[1]
    means = np.stack([other[:, homologous == parcel].mean(1) for parcel in range(N_PARCELS)], axis=1)
    return Data((signals[:, labels] + noise[0]).astype(np.float32), np.asarray(corr(means), np.float32), labels)


# %%
# **The fit.** The error of the connectomes is the loss; a price on entropy, which begins as a reward, keeps vertices
# undecided until parcels have formed, and makes them decide at last.


@partial(jax.jit, static_argnames="n_epochs")
def fit(
    series: jax.Array, connectomes: jax.Array, key: jax.Array, *, n_epochs: int = 500
) -> tuple[jax.Array, jax.Array]:
    """Return the assignment, (parcel, vertex), and the error of the connectomes by epoch."""
    error = MSELoss(100.0)
    decided = EntropyLoss(optax.linear_schedule(-8.0, 0.5, n_epochs), axis=-2)
    optimiser = optax.adam(0.05)

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        free, held = eqx.partition(Parcellation.random(N_PARCELS, series.shape[-2], key=key), eqx.is_inexact_array)

        def loss(free: Parcellation, epoch: jax.Array) -> tuple[jax.Array, jax.Array]:
            model = eqx.combine(free, held)
            misfit = error(corr(model(series)), connectomes)
            return misfit + decided(jnp.asarray(model.assignment), step=epoch), misfit / error.nu

        def step(carried: tuple, epoch: jax.Array) -> tuple[tuple, jax.Array]:
            free, state = carried
            gradient, misfit = jax.grad(loss, has_aux=True)(free, epoch)
            updates, state = optimiser.update(gradient, state)
            return (optax.apply_updates(free, updates), state), misfit

        (free, _), history = jax.lax.scan(step, (free, optimiser.init(free)), jnp.arange(n_epochs))
        return jnp.asarray(eqx.combine(free, held).assignment), history

    shares, history = jax.lax.map(one, jax.random.split(key, N_STARTS))
    best = history[:, -1].argmin()
    return shares[best], history[best]


def baseline(data: Data) -> np.ndarray:
    """Return the labels of k-means."""
    joined = np.moveaxis(data.series, 1, 0).reshape(data.series.shape[1], -1)
    return KMeans(N_PARCELS, n_init=10, random_state=0).fit(joined).labels_


def score(labels: np.ndarray, data: Data) -> float:
    """Return the adjusted Rand index with the planted parcels."""
    return float(adjusted_rand_score(data.labels, labels))


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return what comes of one seed; the short form has a map of 12 x 12 vertices and shorter scans."""
    data = simulate(seed, side=12, n_frames=60) if short else simulate(seed)
    shares, history = fit(jnp.asarray(data.series), jnp.asarray(data.connectomes), jax.random.key(seed))
    labels = np.asarray(shares).argmax(0)
    return {
        "score": score(labels, data),
        "baseline": score(baseline(data), data),
        "passed": score(labels, data) > 0.9,
        "right number": float((labels == data.labels).mean()),
        "data": data,
        "shares": np.asarray(shares),
        "history": np.asarray(history),
    }


# %%
# **One seed.** The planted parcels and the learned ones, with the numbers of the target; the connectomes of all people
# under the learned map against those of the homologous one; and the error.

if __name__ == "__main__":
    found = experiment(0)
    print(f"adjusted Rand index {found['score']:.3f} (baseline {found['baseline']:.3f})")
    print(f"vertices with the right number of parcel: {found['right number']:.1%}")
    assert found["passed"]

    data, side = found["data"], 25
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    axes = figure.subplots(1, 4)
    for axis, labels, title in zip(
        axes, (data.labels, found["shares"].argmax(0)), ("Planted", "Learned"), strict=False
    ):
        axis.imshow(labels.reshape(side, side), cmap="tab10", vmin=0, vmax=9, interpolation="nearest")
        axis.set(title=f"{title} parcels", xlabel="vertex, across", ylabel="vertex, down")
    learned = np.asarray(corr(Parcellation(jnp.asarray(found["shares"]))(jnp.asarray(data.series))))
    axes[2].plot([-1, 1], [-1, 1], color="black", linewidth=0.8, linestyle=":")
    edges = [np.asarray(triangle_to_vector(connectomes)).ravel() for connectomes in (data.connectomes, learned)]
    axes[2].plot(*edges, ".", markersize=2, color="#0072B2")
    axes[2].set(title="Edges of all people", xlabel="homologous map (r)", ylabel="learned map (r)", aspect="equal")
    axes[3].semilogy(found["history"], color="#D55E00")
    axes[3].set(title="Error of connectomes", xlabel="epoch", ylabel="mean squared error")
    figures = {"Nine parcels learned from connectomes": figure}
