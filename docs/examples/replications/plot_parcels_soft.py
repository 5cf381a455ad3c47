"""
Soft parcels, without supervision
=================================

Nine maps that overlap are found from the series of 25 x 25 vertices.
"""

# %%
# **The experiment** is the unsupervised soft parcellation of differentiable programming for functional connectomics
# [1]_: log-determinant and second moment, as for hard parcels, and compactness, the mean distance of a parcel's
# vertices from its centre, of which only what exceeds a floor counts. The authors run 10 001 epochs, and report that
# the result depends on the seed.
#
# **Planted.** Shares are the softmax over nine jittered points of minus the squared distance in units of three
# vertices, so that four in ten vertices belong to no parcel by more than 80 %. A vertex has the sum of the parcels'
# white signals by its shares, and noise of standard deviation 1.
#
# **Criterion.** The mean correlation of learned maps with planted ones, matched one to one, is above 0.8.
#
# **Baseline.** Spatial independent component analysis (FastICA with nine components), by the magnitude of the maps: the
# usual way to overlapping maps. It has nothing to tune.
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
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import FastICA

from conn.functional.layers import Parcellation
from conn.loss import CompactnessLoss, EntropyLoss, GramLogDeterminantLoss, SecondMomentLoss

CRITERION = "matched correlation of maps > 0.8"
N_PARCELS, N_STARTS = 9, 4


class Data(NamedTuple):
    """What is seen, and what is planted."""

    series: np.ndarray
    coordinates: np.ndarray
    maps: np.ndarray


def simulate(seed: int, *, side: int = 25, n_frames: int = 100, noise: float = 1.0) -> Data:
    """Return the series of the vertices, their coordinates (on a square of side 25), and the maps of the parcels."""
    rng = np.random.default_rng(seed)
    vertices = np.stack(np.indices((side, side)), axis=-1).reshape(-1, 2)
    centres = (np.stack(np.indices((3, 3)), axis=-1).reshape(-1, 2) + 0.5) * side / 3
    centres = centres + rng.uniform(-side / 15, side / 15, centres.shape)
    closeness = -((vertices[None] - centres[:, None]) ** 2).sum(-1) / (3 * side / 25) ** 2 / 2
    maps = np.exp(closeness - closeness.max(0))
    maps /= maps.sum(0)
    series = maps.T @ rng.normal(size=(N_PARCELS, n_frames)) + noise * rng.normal(size=(side**2, n_frames))
    series -= series.mean(1, keepdims=True)
    coordinates = np.pad(vertices * 25 / side, ((0, 0), (0, 1))).astype(np.float32)
    return Data(series.astype(np.float32), coordinates, maps)


# %%
# **The fit.** Entropy is rewarded throughout, less and less.


@partial(jax.jit, static_argnames="n_epochs")
def fit(
    series: jax.Array, coordinates: jax.Array, key: jax.Array, *, n_epochs: int = 500
) -> tuple[jax.Array, jax.Array]:
    """Return the assignment of least loss among the starts, (parcel, vertex), and its terms by epoch."""
    undecided = EntropyLoss(optax.linear_schedule(-5.0, -2.0, n_epochs), axis=-2)
    different, alike = GramLogDeterminantLoss(0.5), SecondMomentLoss(10.0)
    compact = CompactnessLoss(0.1, floor=3.0)
    optimiser = optax.adam(0.05)

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        free, held = eqx.partition(Parcellation.random(N_PARCELS, series.shape[0], key=key), eqx.is_inexact_array)

        def loss(free: Parcellation, epoch: jax.Array) -> tuple[jax.Array, jax.Array]:
            model = eqx.combine(free, held)
            shares = jnp.asarray(model.assignment)
            terms = (
                different(model(series)),
                alike(series, shares),
                compact(shares, coordinates),
                undecided(shares, step=epoch),
            )
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
    """Return the magnitudes of spatially independent components, (component, vertex)."""
    found = FastICA(N_PARCELS, whiten="unit-variance", max_iter=1000, tol=1e-3, random_state=0).fit_transform(
        data.series
    )
    return np.abs(found).T


def matched(maps: np.ndarray, data: Data) -> tuple[np.ndarray, float]:
    """Return the maps in the order of the planted ones that they resemble most, and their mean correlation."""
    correlation = np.corrcoef(data.maps, maps)[:N_PARCELS, N_PARCELS:]
    rows, columns = linear_sum_assignment(correlation, maximize=True)
    return maps[columns], float(correlation[rows, columns].mean())


def score(maps: np.ndarray, data: Data) -> float:
    """Return the mean correlation of matched maps."""
    return matched(maps, data)[1]


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return what comes of one seed; the short form has a map of 15 x 15 vertices with less noise."""
    data = simulate(seed, side=15, noise=0.5) if short else simulate(seed)
    shares, history = fit(jnp.asarray(data.series), jnp.asarray(data.coordinates), jax.random.key(seed))
    ours = score(np.asarray(shares), data)
    return {
        "score": ours,
        "baseline": score(baseline(data), data),
        "passed": ours > 0.8,
        "data": data,
        "shares": np.asarray(shares),
        "history": np.asarray(history),
    }


# %%
# **One seed.** The planted maps, the learned ones and those of the baseline, each with its correlation.

if __name__ == "__main__":
    found = experiment(0)
    print(f"matched correlation {found['score']:.3f} (baseline {found['baseline']:.3f})")
    assert found["passed"]

    data, side = found["data"], 25
    learned, components = (matched(maps, data)[0] for maps in (found["shares"], baseline(data)))
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    grid = figure.subplots(3, N_PARCELS, sharex=True, sharey=True)
    rows = zip(grid, (data.maps, learned, components), ("planted", "learned", "ICA"), strict=True)
    for row, maps, name in rows:
        for parcel, axis in enumerate(row):
            shown = maps[parcel] / maps[parcel].max()
            image = axis.imshow(shown.reshape(side, side), cmap="viridis", vmin=0, vmax=1)
            axis.set(xticks=[0, side - 1], yticks=[0, side - 1])
            if name != "planted":
                axis.set_title(f"r = {np.corrcoef(maps[parcel], data.maps[parcel])[0, 1]:.2f}", fontsize=9)
        row[0].set_ylabel(f"{name}\nvertex, down")
    figure.supxlabel("vertex, across")
    figure.colorbar(image, ax=grid, label="share of the map's largest", shrink=0.7)
    figures = {"Nine overlapping maps: planted, learned, and by independent components": figure}
