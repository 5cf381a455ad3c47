"""
Hard parcels, without supervision
=================================

Nine parcels on a map of 25 x 25 vertices are found by two demands alone: the vertices of a parcel are alike, and the
parcels say different things.
"""

# %%
# **The experiment** is the unsupervised hard parcellation of differentiable programming for functional connectomics
# [1]_: an assignment of vertices to parcels, kept on the simplex, is trained by the second moment (the variance of
# vertices around their parcel's mean, frame by frame) and by the log-determinant of the parcels' correlations. The
# authors report that it needs a small learning rate: otherwise one label takes two regions.
#
# **Planted.** Parcels are the vertices nearest to nine jittered points. A parcel's signal is white, and correlates by
# 0.2 with any other's; a vertex has its parcel's signal and four times as much noise (variance), and is standardised.
#
# **Criterion.** The adjusted Rand index of the learned labels with the planted ones is above 0.9.
#
# **Baseline.** k-means with as many restarts as its scatter needs to settle (20), on the same series. The noise is
# independent and equal everywhere, which is what k-means is made for: it can hardly be beaten here.
#
# **Choices** were made on seeds 100 to 102; seeds 0 to 9 are judged. What decides is how early vertices commit: a
# price that begins by *rewarding* entropy and falls to zero keeps them undecided until parcels have formed. Four
# starts are run at once, and the one of least loss counts.
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
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from conn.functional.layers import Parcellation
from conn.loss import EntropyLoss, EquilibriumLoss, GramLogDeterminantLoss, SecondMomentLoss

CRITERION = "adjusted Rand index > 0.9"
N_PARCELS, N_STARTS = 9, 4


class Data(NamedTuple):
    """What is seen, and what is planted."""

    series: np.ndarray
    labels: np.ndarray


def simulate(seed: int, *, side: int = 25, n_frames: int = 100, noise: float = 2.0) -> Data:
    """Return the standardised series of the map's vertices, and their parcels."""
    rng = np.random.default_rng(seed)
    vertices = np.stack(np.indices((side, side)), axis=-1).reshape(-1, 2)
    centres = (np.stack(np.indices((3, 3)), axis=-1).reshape(-1, 2) + 0.5) * side / 3
    centres = centres + rng.uniform(-side / 9, side / 9, centres.shape)
    labels = ((vertices[:, None] - centres) ** 2).sum(-1).argmin(1)
    signals = np.sqrt(0.8) * rng.normal(size=(N_PARCELS, n_frames)) + np.sqrt(0.2) * rng.normal(size=n_frames)
    series = signals[labels] + noise * rng.normal(size=(side**2, n_frames))
    series = (series - series.mean(1, keepdims=True)) / series.std(1, keepdims=True)
    return Data(series.astype(np.float32), labels)


# %%
# **The fit** is one compiled program: starts in parallel, epochs in a scan.


@partial(jax.jit, static_argnames="n_epochs")
def fit(series: jax.Array, key: jax.Array, *, n_epochs: int = 500) -> tuple[jax.Array, jax.Array]:
    """Return the assignment of least loss among the starts, (parcel, vertex), and its terms by epoch."""
    undecided = EntropyLoss(optax.linear_schedule(-5.0, 0.0, 4 * n_epochs // 5), axis=-2)
    different, alike, balanced = GramLogDeterminantLoss(0.5), SecondMomentLoss(10.0), EquilibriumLoss(1.0)
    optimiser = optax.adam(0.05)

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        free, held = eqx.partition(Parcellation.random(N_PARCELS, series.shape[0], key=key), eqx.is_inexact_array)

        def loss(free: Parcellation, epoch: jax.Array) -> tuple[jax.Array, jax.Array]:
            model = eqx.combine(free, held)
            shares = jnp.asarray(model.assignment)
            terms = (different(model(series)), alike(series, shares), balanced(shares), undecided(shares, step=epoch))
            return sum(terms), jnp.stack(terms)

        def step(carried: tuple, epoch: jax.Array) -> tuple[tuple, jax.Array]:
            free, state = carried
            gradient, terms = jax.grad(loss, has_aux=True)(free, epoch)
            updates, state = optimiser.update(gradient, state)
            return (optax.apply_updates(free, updates), state), terms

        (free, _), history = jax.lax.scan(step, (free, optimiser.init(free)), jnp.arange(n_epochs))
        return jnp.asarray(eqx.combine(free, held).assignment), history

    shares, history = jax.vmap(one)(jax.random.split(key, N_STARTS))
    best = history[:, -1].sum(-1).argmin()
    return shares[best], history[best]


def baseline(data: Data) -> np.ndarray:
    """Return the labels of k-means."""
    return KMeans(N_PARCELS, n_init=20, random_state=0).fit(data.series).labels_


def score(labels: np.ndarray, data: Data) -> float:
    """Return the adjusted Rand index with the planted parcels."""
    return float(adjusted_rand_score(data.labels, labels))


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return what comes of one seed; the short form has a smaller map with less noise."""
    data = simulate(seed, side=15, n_frames=60, noise=1.0) if short else simulate(seed)
    shares, history = fit(jnp.asarray(data.series), jax.random.key(seed), n_epochs=200 if short else 500)
    ours = score(np.asarray(shares).argmax(0), data)
    return {
        "score": ours,
        "baseline": score(baseline(data), data),
        "passed": ours > 0.9,
        "data": data,
        "shares": np.asarray(shares),
        "history": np.asarray(history),
    }


# %%
# **One seed.** The planted parcels, the learned ones, how sure the assignment is, and the terms of the loss.

if __name__ == "__main__":
    found = experiment(0)
    print(f"adjusted Rand index {found['score']:.3f} (baseline {found['baseline']:.3f})")
    assert found["passed"]

    planted, side = found["data"].labels, 25
    shared = np.eye(N_PARCELS)[planted].T @ found["shares"].T
    shares = found["shares"][linear_sum_assignment(shared, maximize=True)[1]]  # in the order of the planted ones
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=[1, 1, 1.2, 1.5])
    for axis, labels, title in zip(axes, (planted, shares.argmax(0)), ("Planted", "Learned"), strict=False):
        axis.imshow(labels.reshape(side, side), cmap="tab10", vmin=0, vmax=9, interpolation="nearest")
        axis.set(title=f"{title} parcels", xlabel="vertex, across", ylabel="vertex, down")
    image = axes[2].imshow(shares.max(0).reshape(side, side), cmap="viridis", vmin=1 / N_PARCELS, vmax=1)
    axes[2].set(title="Largest share", xlabel="vertex, across", ylabel="vertex, down")
    figure.colorbar(image, ax=axes[2], label="share", shrink=0.6)
    names = ("log-determinant", "second moment", "equilibrium", "entropy (rewarded)")
    colours = ("#0072B2", "#D55E00", "#009E73", "#7f7f7f")
    for values, name, colour in zip((found["history"] - found["history"][-1]).T, names, colours, strict=True):
        axes[3].plot(values, label=name, color=colour)
    axes[3].set(title="Terms of the loss", xlabel="epoch", ylabel="above the last value")
    axes[3].legend(frameon=False, fontsize=8)
    figures = {"Nine parcels, planted and learned": figure}
