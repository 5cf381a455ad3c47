"""
Connectopic maps and communities by descent
===========================================

Maps of a connectome that have a closed form, Laplacian eigenmaps, and partitions that have an algorithm, Louvain's, are
found by minimising a loss: the same machinery then works where neither exists.
"""

# %%
# **The experiment** is that of connectopic maps by loss [1]_: maps are free parameters, and what is minimised is the
# dissimilarity of strongly connected regions; a soft partition is a point on simplexes, and what is minimised is minus
# its modularity.
#
# **Planted.** 120 regions on a ring of five communities, whose affinity falls with the distance along the ring and is
# larger within communities, with multiplicative noise. *Eigenmaps:* four maps. *Communities:* the same graph.
#
# **Criterion.** `ConnectopyLoss` with orthonormal maps that sum to zero has the space of the unnormalised eigenmaps,
# `EigenmapLoss` with free ones that of the normalised: the largest principal angle is below 1 degree. Minus
# `ModularityLoss` reaches 0.99 of Louvain's modularity, and the partition's adjusted Rand index with Louvain's is at
# least 0.9.
#
# **Baselines.** The closed form (`laplacian_eigenmaps`) and Louvain, best of ten runs, are what the losses are held
# against. Beside the angles stands that of principal components of the affinity, beside modularity and Rand index
# k-means on the eigenmaps (spectral clustering).
#
# **Choices** (steps and rates) were made on seeds from 1000 on; seeds 0 to 9 are judged.
#
# .. [1] Ciric, Thomas, Esteban & Poldrack (2022), Differentiable programming for functional connectomics.
#    doi:10.48550/arXiv.2206.00649. Eigenmaps: Belkin & Niyogi (2003), doi:10.1162/089976603321780317.

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy.linalg import subspace_angles
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from conn.functional import (
    OrthogonalParameter,
    ProbabilitySimplexParameter,
    detect_communities,
    laplacian_eigenmaps,
    relaxed_modularity,
)
from conn.loss import ConnectopyLoss, EigenmapLoss, ModularityLoss

CRITERIA = {
    "angle of ConnectopyLoss (degrees)": "< 1",
    "angle of EigenmapLoss (degrees)": "< 1",
    "modularity / Louvain's": ">= 0.99",
    "adjusted Rand index with Louvain": ">= 0.9",
}
CRITERION = "; ".join(f"{measure} {asked}" for measure, asked in CRITERIA.items())
N_REGIONS, N_COMMUNITIES, N_MAPS = 120, 5, 4
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"


def simulate(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the affinity (region, region) and the planted communities."""
    rng = np.random.default_rng(seed)
    place = np.sort(rng.random(N_REGIONS))
    labels = np.minimum((place * N_COMMUNITIES).astype(int), N_COMMUNITIES - 1)
    apart = np.abs(place[:, None] - place)
    apart = np.minimum(apart, 1 - apart)
    affinity = np.exp(-np.square(apart / 0.15)) * np.where(labels[:, None] == labels, 1.0, 0.35) + 0.02
    noise = rng.lognormal(0.0, 0.3, affinity.shape)
    affinity = affinity * np.sqrt(noise * noise.T)
    np.fill_diagonal(affinity, 0)
    return affinity.astype(np.float32), labels


# %%
# **The fits.** All three are the same descent with another parameter and another loss.


def descend(loss, start, *, n_steps: int, rate: float):
    """Return the parameter after Adam with a falling rate, and the loss by step."""
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, n_steps))
    free, held = eqx.partition(start, eqx.is_inexact_array)

    def step(carried, _):
        free, state = carried
        value, gradient = jax.value_and_grad(lambda free: loss(eqx.combine(free, held)))(free)
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(free, updates), state), value

    (free, _), history = jax.lax.scan(step, (free, optimiser.init(free)), length=n_steps)
    return eqx.combine(free, held), history


@jax.jit
def fit_connectopy(affinity: jax.Array, key: jax.Array):
    """Return orthonormal maps that sum to zero, and the loss."""
    # Maps in the space that is orthogonal to the constant one.
    basis = jnp.linalg.qr(jnp.eye(N_REGIONS) - 1 / N_REGIONS)[0][:, :-1]
    start = OrthogonalParameter(jnp.linalg.qr(jax.random.normal(key, (N_REGIONS - 1, N_MAPS)))[0])
    loss = ConnectopyLoss(nu=float(N_REGIONS))
    maps, history = descend(lambda q: loss(basis @ jnp.asarray(q), affinity), start, n_steps=1500, rate=0.03)
    return basis @ jnp.asarray(maps), history


@jax.jit
def fit_eigenmap(affinity: jax.Array, key: jax.Array):
    """Return free maps, and the loss."""
    loss = EigenmapLoss()
    start = jax.random.normal(key, (N_REGIONS, N_MAPS))
    return descend(lambda maps: loss(maps, affinity), start, n_steps=1500, rate=0.03)


@jax.jit
def fit_communities(affinity: jax.Array, key: jax.Array):
    """Return the shares (region, community) of greatest modularity among eight starts, and the loss."""
    loss = ModularityLoss()

    def one(key):
        start = ProbabilitySimplexParameter(jax.random.dirichlet(key, jnp.full(2 * N_COMMUNITIES, 5.0), (N_REGIONS,)))
        return descend(lambda shares: loss(jnp.asarray(shares), affinity), start, n_steps=300, rate=0.1)

    shares, history = jax.vmap(one)(jax.random.split(key, 8))
    best = history[:, -1].argmin()
    return jax.vmap(jnp.asarray)(shares)[best], history[best]


def baseline(affinity: np.ndarray, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return principal components of the affinity, and the labels of k-means on the normalised eigenmaps."""
    centred = affinity - affinity.mean(0)
    components = np.linalg.svd(centred, full_matrices=False)[0][:, :N_MAPS]
    return components, KMeans(N_COMMUNITIES, n_init=20, random_state=0).fit(maps).labels_


def score(labels: np.ndarray, affinity: np.ndarray) -> float:
    """Return the modularity of a hard partition."""
    return float(relaxed_modularity(affinity, np.eye(labels.max() + 1, dtype=np.float32)[labels]))


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return what comes of one seed; a short run is the same."""
    affinity, planted = simulate(seed)
    keys = jax.random.split(jax.random.key(seed), 3)
    connectopy, course = fit_connectopy(affinity, keys[0])
    eigen, eigen_course = fit_eigenmap(affinity, keys[1])
    shares, _ = fit_communities(affinity, keys[2])
    labels = np.asarray(shares).argmax(1)
    plain = np.asarray(laplacian_eigenmaps(affinity, N_MAPS, normalised=False).gradients)
    normalised = np.asarray(laplacian_eigenmaps(affinity, N_MAPS).gradients)
    louvain = detect_communities(affinity, method="louvain", n_runs=10, seed=seed)
    components, spectral = baseline(affinity, normalised)

    def angle(maps, target):
        return float(np.rad2deg(subspace_angles(np.asarray(maps, float), np.asarray(target, float)).max()))

    weight = affinity.sum(1)
    eigen = np.asarray(eigen) - (weight @ np.asarray(eigen)) / weight.sum()
    best = float(louvain.quality)
    values = {
        "angle of ConnectopyLoss (degrees)": (angle(connectopy, plain), angle(components, plain)),
        "angle of EigenmapLoss (degrees)": (angle(eigen, normalised), angle(components, normalised)),
        "modularity / Louvain's": (score(labels, affinity) / best, score(spectral, affinity) / best),
        "adjusted Rand index with Louvain": tuple(adjusted_rand_score(louvain.labels, v) for v in (labels, spectral)),
    }
    ours = [pair[0] for pair in values.values()]
    return {
        **{measure: float(pair[0]) for measure, pair in values.items()},
        **{f"{measure}, baseline": float(pair[1]) for measure, pair in values.items()},
        "score": float(ours[0]),
        "baseline": float(next(iter(values.values()))[1]),
        "passed": bool(ours[0] < 1 and ours[1] < 1 and ours[2] >= 0.99 and ours[3] >= 0.9),
        "maps": np.asarray(connectopy),
        "eigenmaps": plain,
        "labels": labels,
        "planted": planted,
        "affinity": affinity,
        "history": (np.asarray(course), np.asarray(eigen_course)),
    }


# %%
# **One seed.** The affinity, the maps of both kinds after a rotation of the learned ones, and the losses.

if __name__ == "__main__":
    outcome = experiment(0)
    for measure in CRITERIA:
        print(f"{measure}: {outcome[measure]:.3g} (baseline {outcome[f'{measure}, baseline']:.3g})")
    assert outcome["passed"]

    figure = Figure(figsize=(11.5, 3.6), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    image = first.imshow(outcome["affinity"], cmap="viridis")
    for edge in np.flatnonzero(np.diff(outcome["labels"])):
        first.axhline(edge + 0.5, color="white", linewidth=0.7)
        first.axvline(edge + 0.5, color="white", linewidth=0.7)
    first.set(title="Affinity (lines: learned communities)", xlabel="region", ylabel="region")
    figure.colorbar(image, ax=first, label="affinity")
    left, _, right = np.linalg.svd(outcome["maps"].T @ outcome["eigenmaps"])
    turned = outcome["maps"] @ (left @ right)
    for place, colour in enumerate((BLUE, VERMILION, GREEN)):
        second.plot(outcome["eigenmaps"][:, place], color=colour, linewidth=4, alpha=0.3)
        second.plot(turned[:, place], color=colour, linewidth=1, label=f"map {place + 1}")
    second.set(title="Wide: eigenmaps; thin: by descent", xlabel="region", ylabel="value")
    second.legend(frameon=False, fontsize=8)
    for values, colour, name in zip(outcome["history"], (BLUE, VERMILION), CRITERIA, strict=False):
        rest = values - values.min() + 1e-8
        third.loglog(np.arange(1, len(rest) + 1), rest, color=colour, label=name.split()[2])
    third.set(title="Descent", xlabel="step", ylabel="loss above its least value")
    third.legend(frameon=False)
    figures = {"Maps and communities of a connectome, by descent": figure}
