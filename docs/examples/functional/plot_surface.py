"""
Surface: a parcellation learned on a sphere
===========================================

Vertices of a sphere carry the signals of planted parcels under noise. A soft parcellation is learned from the series by
gradient. What do smoothing along the surface, and asking parcels to be compact, do for it?
"""

# %%
# Four hundred vertices, evenly spread over a sphere of 100 mm (a Fibonacci lattice), and six planted parcels: a vertex
# belongs to the nearest of six seeds.

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from conn.functional import (
    centre_of_mass,
    compactness,
    expand_parcels,
    from_latitude_longitude,
    great_circle_distance,
    label_matrix,
    neighbour_lists,
    parcellate,
    spherical_convolution,
    standardise,
    to_latitude_longitude,
)

N_VERTICES, N_PARCELS, N_FRAMES, RADIUS = 400, 6, 60, 100.0
rng = np.random.default_rng(0)
steps = np.arange(N_VERTICES)
angles = np.stack([np.arcsin(1 - (2 * steps + 1) / N_VERTICES), np.pi * (3 - 5**0.5) * steps], -1)
sphere = from_latitude_longitude(angles, radius=RADIUS)
seeds = from_latitude_longitude(
    np.stack([np.arcsin(rng.uniform(-1, 1, 6)), rng.uniform(-3.1, 3.1, 6)], -1), radius=RADIUS
)
planted = np.asarray(great_circle_distance(seeds, sphere, radius=RADIUS).argmin(0)) + 1

# %%
# Each parcel has a signal of its own. The operator back from parcels to vertices lays it out; noise comes on top.

levels = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
signals = rng.normal(size=(N_PARCELS, N_FRAMES)).astype(np.float32)
clean = expand_parcels(signals, label_matrix(planted))
noise = rng.normal(size=(len(levels), N_VERTICES, N_FRAMES)).astype(np.float32)
series = standardise(clean + levels[:, None, None] * noise)

# %%
# Smoothing along the sphere sums over neighbours within three standard deviations of the Gaussian. Maps are (frame,
# vertex) here.

lists = neighbour_lists(np.asarray(sphere), cutoff=36.0, radius=RADIUS)
maps = jnp.swapaxes(series, -1, -2)
smooth = spherical_convolution(maps, sphere, scale=12.0, radius=RADIUS, neighbours=lists, check=True)
smooth = standardise(jnp.swapaxes(smooth, -1, -2))

# %%
# Shares of vertices are a softmax over parcels. They fall by gradient until the parcels' mean series, expanded again,
# miss the vertices' series least; optionally the mean distance of a parcel's vertices from its centre counts too. The
# best of four random starts is kept.


def cost(logits: jax.Array, data: jax.Array, penalty: float) -> jax.Array:
    shares = jax.nn.softmax(logits, -2)
    missed = ((data - expand_parcels(parcellate(data, shares), shares)) ** 2).mean((-2, -1))
    return missed + penalty * compactness(shares, sphere, radius=RADIUS).mean(-1) / RADIUS


@jax.jit
def learn(data: jax.Array, starts: jax.Array, penalty: float) -> jax.Array:
    def from_one(start: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(logits: jax.Array, _) -> tuple[jax.Array, None]:
            return logits - 2 * N_VERTICES * jax.grad(cost)(logits, data, penalty), None

        end = jax.lax.scan(step, start, length=80)[0]
        return cost(end, data, penalty), jax.nn.softmax(end, -2)

    costs, shares = jax.lax.map(from_one, starts)
    return shares[costs.argmin()]


corners = from_latitude_longitude(
    np.stack([np.arcsin(rng.uniform(-1, 1, (4, N_PARCELS))), rng.uniform(-3.1, 3.1, (4, N_PARCELS))], -1), radius=RADIUS
)
starts = -0.02 * great_circle_distance(corners, sphere, radius=RADIUS)

# %%
# Parcels have no order: they are matched to the planted ones so that most vertices agree.


def agreement(shares: jax.Array) -> tuple[float, np.ndarray]:
    """Return the share of vertices in the right parcel, and the labels of all."""
    found = np.asarray(shares.argmax(-2))
    counts = np.array([[(found[planted == p + 1] == q).sum() for q in range(N_PARCELS)] for p in range(N_PARCELS)])
    rows, columns = linear_sum_assignment(-counts)
    names = np.empty(N_PARCELS, int)
    names[columns] = rows + 1
    return counts[rows, columns].sum() / N_VERTICES, names[found]


results, labels = {}, {}
for name, data, penalty in (("as measured", series, 0.0), ("compact", series, 0.1), ("smoothed", smooth, 0.0)):
    ends = [agreement(learn(one, starts, penalty)) for one in data]
    results[name], labels[name] = [share for share, _ in ends], [found for _, found in ends]
    print(f"{name:12s}" + "".join(f"{share:7.2f}" for share in results[name]))

# %%
# The sphere is drawn by longitude and the sine of latitude, in which areas are true. Crosses are centres of mass.

PLACE = 3
latitude, longitude = np.asarray(to_latitude_longitude(sphere)).T
figure = Figure(figsize=(11, 3.4), layout="constrained")
axes = figure.subplots(1, 3)
shown = {"Planted parcels": planted, f"Learned as measured, noise {levels[PLACE]:.0f}": labels["as measured"][PLACE]}
for axis, (title, found) in zip(axes, shown.items(), strict=False):
    axis.scatter(np.degrees(longitude), np.sin(latitude), c=found, cmap="tab10", vmin=1, vmax=10, s=14)
    centres = np.asarray(to_latitude_longitude(centre_of_mass(label_matrix(found), sphere, radius=RADIUS)))
    axis.plot(np.degrees(centres[:, 1]), np.sin(centres[:, 0]), "kx", markersize=8)
    axis.set(xlabel="longitude (degrees)", ylabel="sine of latitude", title=title)
for (name, shares), colour in zip(results.items(), ("#0072B2", "#D55E00", "#009E73"), strict=True):
    axes[2].plot(levels, shares, color=colour, marker="o", markersize=4, label=name)
axes[2].set(xlabel="standard deviation of the noise", ylabel="vertices in the right parcel", ylim=(0, 1.05))
axes[2].legend(frameon=False)
figures = {"Planted and learned parcels of a sphere, and what smoothing and compactness do": figure}
