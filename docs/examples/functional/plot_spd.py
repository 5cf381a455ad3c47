"""
SPD matrices: which mean, and sites brought to one reference
============================================================

Covariances have positive eigenvalues, and sums of them do not respect what lies between. Which mean recovers a centre
around which scans scatter, and what does a geometry buy when two scanners measure the same people?
"""

# %%
# Scans scatter around a planted centre :math:`C` as :math:`C^{1/2} \exp(E) C^{1/2}`, with symmetric noise :math:`E`:
# the centre is their geometric mean, up to chance. Six metrics have six means.

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from conn.functional import cone_project, parallel_transport, spd_distance, spd_mean, tangent_project

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"
METRICS = ("geometric", "log-euclidean", "kullback", "bures-wasserstein", "euclidean", "harmonic")
N_REGIONS, N_STUDIES = 12, 20
COUNTS = (3, 6, 12, 24, 48)
rng = np.random.default_rng(3)


def symmetric_noise(*shape: int, scale: float) -> np.ndarray:
    noise = rng.normal(size=(*shape, N_REGIONS, N_REGIONS)) * scale
    return (noise + np.swapaxes(noise, -1, -2)) / 2


mixing = rng.normal(size=(N_REGIONS, 30))
centre = mixing @ mixing.T / 30
scans = np.asarray(jax.jit(cone_project)(symmetric_noise(N_STUDIES, max(COUNTS), scale=0.5), centre))
weights = np.stack([np.arange(max(COUNTS)) < count for count in COUNTS]).astype(float)


@partial(jax.jit, static_argnames="metric")
def errors(studies: jax.Array, metric: str) -> jax.Array:
    """Return how far from the centre the mean of the first scans is, for each study and count."""
    means = jax.vmap(lambda weight: spd_mean(studies, metric=metric, weight=weight))(jnp.asarray(weights))
    return spd_distance(means, jnp.asarray(centre))


found = {metric: np.asarray(errors(scans, metric)) for metric in METRICS}
for metric, values in found.items():
    print(f"{metric:18s} distance to the centre: " + ", ".join(f"{value:.2f}" for value in np.median(values, axis=1)))

# %%
# **Between two matrices.** On a straight line the determinant (the volume of the Gaussian's ellipsoid) swells; on the
# geodesic it goes from one to the other.

first, second = np.diag([4.0, 0.25]), np.array([[2.125, -1.875], [-1.875, 2.125]])
share = np.linspace(0, 1, 41)
straight = (1 - share)[:, None, None] * first + share[:, None, None] * second
curved = cone_project(share[:, None, None] * tangent_project(second, first), first)
volumes = {"straight line": np.linalg.det(straight), "geodesic": np.linalg.det(np.asarray(curved))}

# %%
# **Two sites** see the same eight people through different mixtures of regions: :math:`A C A'`. Distances between the
# two measurements of a person drown in the difference of the sites. Carried from the mean of each site to a common
# reference, they do not; nothing of the people was used but their sites' means.

people = np.asarray(cone_project(symmetric_noise(8, scale=0.3), centre))
sites = []
for _ in range(2):
    mixture = np.eye(N_REGIONS) + 0.25 * rng.normal(size=(N_REGIONS, N_REGIONS))
    seen = np.asarray(cone_project(symmetric_noise(8, scale=0.06), people))
    sites.append(mixture @ seen @ mixture.T)


@jax.jit
def between(ours: jax.Array, theirs: jax.Array) -> jax.Array:
    return spd_distance(ours[:, None], theirs[None])


@jax.jit
def carried(site: jax.Array) -> jax.Array:
    """Return the matrices of a site as they would be if their mean were the identity."""
    return parallel_transport(site, spd_mean(site), jnp.eye(N_REGIONS))


before = np.asarray(between(*sites))
after = np.asarray(between(*[carried(site) for site in sites]))
for label, distances in (("as measured", before), ("carried", after)):
    own = np.diag(distances)
    named = (distances.argmin(axis=1) == np.arange(8)).mean()
    others = distances[~np.eye(8, dtype=bool)].mean()
    print(f"{label:12s} same person {own.mean():.2f}, others {others:.2f}, identified {100 * named:.0f} %")

# %%
# Left: how far the means are from the planted centre (median of 20 studies; band: quartiles). Middle: the determinant
# between two matrices. Right: distances between people at the two sites.

figure = Figure(figsize=(12, 3.8), layout="constrained")
left, middle, right = figure.subplots(1, 3)
for metric, colour in zip(METRICS, (BLUE, GREEN, "#CC79A7", "#E69F00", VERMILION, GREY), strict=True):
    low, median, high = np.quantile(found[metric], (0.25, 0.5, 0.75), axis=1)
    left.fill_between(COUNTS, low, high, color=colour, alpha=0.2, linewidth=0)
    left.plot(COUNTS, median, marker="o", markersize=3, color=colour, label=metric)
left.set(xscale="log", yscale="log", xlabel="scans", ylabel="geometric distance to the centre", title="Means")
left.set_xticks(COUNTS, labels=[str(count) for count in COUNTS])
left.set_yticks((0.5, 1, 2), labels=("0.5", "1", "2"))
left.minorticks_off()
left.legend(frameon=False, fontsize=8)
for (label, values), colour in zip(volumes.items(), (VERMILION, BLUE), strict=True):
    middle.plot(share, values, color=colour, label=label)
middle.set(xlabel="share of the way", ylabel="determinant", title="Between two matrices", ylim=(0, None))
middle.legend(frameon=False)
off = ~np.eye(8, dtype=bool)
for place, distances in enumerate((before, after)):
    for shift, values, colour in ((-0.18, np.diag(distances), BLUE), (0.18, distances[off], GREY)):
        right.scatter(place + shift + rng.uniform(-0.08, 0.08, values.size), values, s=14, color=colour, alpha=0.7)
right.scatter([], [], color=BLUE, label="same person")
right.scatter([], [], color=GREY, label="other person")
right.set(
    xticks=(0, 1),
    xticklabels=("as measured", "carried to one reference"),
    ylabel="geometric distance",
    title="Two sites",
    ylim=(0, None),
)
right.legend(frameon=False)
figures = {"Means, geodesics, and two sites": figure}
