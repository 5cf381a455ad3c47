"""
Surfaces and parcels: from vertices to regions, neighbours, homologues
======================================================================

Two small spheres stand for the hemispheres. Parcels are planted on the left, mirrored to the right and shuffled there.
What do the regions' means keep of a map, who are neighbours, and are the mirror images found again?
"""

# %%
# A mesh of evenly spread points. With real data `load_fslr32k` and `load_schaefer_surface` give surfaces and parcels in
# the same containers.

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.spatial import ConvexHull

from conn.data import (
    Provenance,
    Surface,
    SurfaceParcellation,
    homologues,
    parcel_adjacency,
    parcels_to_vertices,
    vertices_to_parcels,
)

N_VERTICES, N_PARCELS, RADIUS = 2000, 30, 100.0
MIRROR = np.array([-1, 1, 1])
rng = np.random.default_rng(3)


def spread(n: int) -> np.ndarray:
    """Return points on the sphere along a Fibonacci spiral, shape (point, 3)."""
    place = np.arange(n) + 0.5
    height, angle = 1 - 2 * place / n, np.pi * (1 + 5**0.5) * place
    flat = np.sqrt(1 - height**2)
    return RADIUS * np.stack([flat * np.cos(angle), flat * np.sin(angle), height], axis=1)


points = spread(N_VERTICES)
triangles = ConvexHull(points).simplices.astype(np.int64)
surfaces = tuple(
    Surface(hemisphere=side, coordinates=points * sign, faces=triangles) for side, sign in (("L", 1), ("R", MIRROR))
)

# %%
# **Parcels** are the vertices nearest to a seed. Those around the lower pole belong to none, like a medial wall.

seeds = spread(N_PARCELS) + rng.normal(scale=8, size=(N_PARCELS, 3))
left = np.argmax(points @ (seeds / np.linalg.norm(seeds, axis=1, keepdims=True)).T, axis=1)
left[points[:, 2] < -93] = -1
shuffled = rng.permutation(N_PARCELS)
right = np.where(left >= 0, N_PARCELS + shuffled[left], -1)
labels = tuple(f"{side}H_{number}" for side in "LR" for number in range(1, N_PARCELS + 1))
parcels = SurfaceParcellation(
    space="sphere",
    left=left,
    right=right,
    region_labels=labels,
    regions=pd.DataFrame({"label": labels}),
    provenance=Provenance(
        dataset="spheres", source="this example", version="3", licence="-", citation="-", origin="simulated"
    ),
)

# %%
# **Homologues.** Equal names are of no use here, since the right side is shuffled; mirrored centroids find all pairs.
# In Schaefer's parcellations names and places disagree as well: 159 of 200 pairs of names exist, some far apart.

places = vertices_to_parcels(np.concatenate([side.coordinates for side in surfaces]).T, parcels).T
table = parcels.regions.assign(
    hemisphere=[label[0] for label in labels], x=places[:, 0], y=places[:, 1], z=places[:, 2]
)
truth = dict(zip(range(N_PARCELS), N_PARCELS + shuffled, strict=True))
for method in ("name", "centroid"):
    pairs = homologues(table, method=method)
    right_ones = sum(truth[a] == b for a, b in zip(pairs["left_place"], pairs["right_place"], strict=True))
    print(f"by {method}: {right_ones} of {N_PARCELS} pairs are mirror images")

# %%
# **From vertices to parcels and back.** A map that changes slowly, with noise at every vertex: the mean over a parcel
# removes noise, and loses what changes inside the parcel. Vertices of no parcel are NaN on the way back.

slow = points[:, 2] / RADIUS + 0.7 * np.sin(2 * np.arctan2(points[:, 1], points[:, 0]))
noisy = slow + rng.normal(size=(50, N_VERTICES))
areas = np.concatenate([side.vertex_areas for side in surfaces])
means = vertices_to_parcels(np.concatenate([noisy, noisy], axis=1), parcels, weights=areas)
back = parcels_to_vertices(means, parcels)[:, :N_VERTICES]
inside = left >= 0
error = {
    "vertices": np.sqrt(np.mean((noisy - slow)[:, inside] ** 2)),
    "parcels": np.sqrt(np.mean((back - slow)[:, inside] ** 2)),
    "inside parcels alone": np.sqrt(
        np.mean(
            (parcels_to_vertices(vertices_to_parcels(np.tile(slow, 2), parcels), parcels)[:N_VERTICES] - slow)[inside]
            ** 2
        )
    ),
}
print({name: round(float(value), 3) for name, value in error.items()})

# %%
# **Neighbours** share an edge of the mesh. Left: parcels of the upper half, seen from above, with lines between the
# centroids of neighbours. Middle: one noisy map. Right: its means.

adjacency = parcel_adjacency(parcels, surfaces)
print(f"{adjacency[:N_PARCELS, :N_PARCELS].sum(1).mean():.1f} neighbours on average; none across hemispheres:",
      not adjacency[:N_PARCELS, N_PARCELS:].any())  # fmt: skip

figure = Figure(figsize=(11, 3.8), layout="constrained")
panels = figure.subplots(1, 3, sharex=True, sharey=True)
upper = (points[:, 2] > 0) & inside
colours = rng.permutation(N_PARCELS)[left[upper]]
panels[0].scatter(*points[upper, :2].T, c=colours, cmap="tab20", s=12)
for one, other in zip(*np.nonzero(np.triu(adjacency[:N_PARCELS, :N_PARCELS])), strict=True):
    if min(places[one, 2], places[other, 2]) > 10:
        panels[0].plot(*places[[one, other], :2].T, color="black", linewidth=1.2)
for panel, values in ((panels[1], noisy[0]), (panels[2], back[0])):
    drawn = panel.scatter(*points[upper, :2].T, c=values[upper], cmap="RdBu_r", vmin=-2.5, vmax=2.5, s=12)
figure.colorbar(drawn, ax=panels[1:], label="value")
for panel, title in zip(
    panels, ("Parcels and who are neighbours", "One noisy map", "Its means over parcels"), strict=True
):
    panel.set(title=title, xlabel="x (mm)", aspect="equal")
panels[0].set_ylabel("y (mm)")
figures = {"Parcels on a sphere with their neighbours, a noisy map and its means over parcels": figure}
