"""
Gradients: a planted hierarchy, three embeddings, and subjects brought together
===============================================================================

Regions lie on a sheet with two axes, and are the more alike the closer they lie. Do gradients find the axes, and do the
gradients of several subjects agree?
"""

# %%
# Sixty regions on a sheet that is longer than wide. Every subject has a sheet of its own, warped a little, and a scan
# of 300 frames whose covariance falls off with the distance on it.

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from conn.functional import (
    Gradients,
    affinity,
    corr,
    diffusion_map,
    generalised_procrustes,
    joint_embedding,
    laplacian_eigenmaps,
    principal_gradients,
)

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"
N_SUBJECTS, N_REGIONS, N_FRAMES, N_COMPONENTS = 8, 60, 300, 4
rng = np.random.default_rng(7)
grid = np.stack(np.meshgrid(np.arange(10), np.arange(6)), axis=-1).reshape(-1, 2)
sheet = (grid + rng.uniform(-0.3, 0.3, size=grid.shape)) / 6
warped = sheet + 0.08 * rng.normal(size=(N_SUBJECTS, N_REGIONS, 2))
distance = np.linalg.norm(warped[:, :, None] - warped[:, None], axis=-1)
covariance = np.exp(-(distance**2) / 0.3) + 0.2 * np.eye(N_REGIONS)
scans = np.linalg.cholesky(covariance) @ rng.normal(size=(N_SUBJECTS, N_REGIONS, N_FRAMES))
connectomes = jax.jit(corr)(scans)

# %%
# **Three embeddings** of the group's mean connectome. Of every profile the largest fifth is kept, and two profiles are
# compared by their normalised angle.


@jax.jit
def embeddings(connectome: jax.Array) -> dict[str, Gradients]:
    alike = affinity(connectome, sparsity=0.8)
    return {
        "diffusion map": diffusion_map(alike, N_COMPONENTS),
        "Laplacian eigenmaps": laplacian_eigenmaps(alike, N_COMPONENTS),
        "principal components": principal_gradients(alike, N_COMPONENTS),
    }


def agreement(maps: np.ndarray, axis: np.ndarray) -> float:
    """Return the absolute correlation with a planted axis, since the sign of a gradient means nothing."""
    return abs(float(np.corrcoef(maps, axis)[0, 1]))


colours = {"diffusion map": BLUE, "Laplacian eigenmaps": VERMILION, "principal components": GREY}
group = embeddings(connectomes.mean(0))
for name in colours:
    found = group[name]
    long, wide = (agreement(found.gradients[:, place], sheet[:, place]) for place in (0, 1))
    print(f"{name:21s} first gradient and long axis {long:.3f}, second gradient and short axis {wide:.3f}")

# %%
# **Subjects.** Each one's own gradients may have other signs, another order, and mix. Procrustes turns them onto their
# mean. A joint embedding compares regions of all subjects with each other, and needs no alignment.


@jax.jit
def of_subjects(profiles: jax.Array) -> dict[str, jax.Array]:
    alone = diffusion_map(affinity(profiles, sparsity=0.8), N_COMPONENTS).gradients
    together = joint_embedding(profiles, N_COMPONENTS, sparsity=0.8).gradients
    return {"each alone": alone, "Procrustes": generalised_procrustes(alone).aligned, "joint": together}


pairs = np.triu_indices(N_SUBJECTS, 1)
similarity, subjects = {}, of_subjects(connectomes)
for name in ("each alone", "Procrustes", "joint"):
    by_component = np.moveaxis(np.asarray(subjects[name]), -1, 0)
    similarity[name] = np.stack([np.corrcoef(component)[pairs] for component in by_component])
    medians = ", ".join(f"{value:.2f}" for value in np.median(similarity[name], axis=1))
    print(f"{name:10s} median correlation of two subjects, gradient by gradient: {medians}")

# %%
# **The derivative** goes through the affinity, the walk and its eigenvectors. Which connections would bring the first
# gradient closer to the long axis? One step along the derivative does.


@jax.jit
@jax.value_and_grad
def closeness(connectome: jax.Array) -> jax.Array:
    first = diffusion_map(affinity(connectome, sparsity=0.8), 1).gradients[:, 0]
    return jnp.square(corr(jnp.stack([first, jnp.asarray(sheet[:, 0], first.dtype)]))[0, 1])


subject = connectomes[0]
before, slope = closeness(subject)
after, _ = closeness(subject + 0.05 * slope / jnp.abs(slope).max())
print(f"squared correlation with the long axis: {before:.4f}, after one step {after:.4f}")

# %%
# Left: the sheet, coloured by the first and by the second gradient. Middle: eigenvalues as shares of the four computed.
# Right: the correlation of two subjects, for all pairs (box: quartiles; line: range).

figure = Figure(figsize=(12, 4), layout="constrained")
axes = figure.subplot_mosaic([["1", "eigenvalues", "subjects"], ["2", "eigenvalues", "subjects"]])
middle, right = axes["eigenvalues"], axes["subjects"]
for place, title in enumerate(("First gradient", "Second gradient")):
    values = np.asarray(group["diffusion map"].gradients[:, place])
    panel = axes[str(place + 1)]
    points = panel.scatter(*sheet.T, c=values / np.abs(values).max(), cmap="viridis", s=30, vmin=-1, vmax=1)
    panel.set(title=f"{title} (diffusion map)", ylabel="short axis", aspect="equal")
    figure.colorbar(points, ax=panel, label="largest = 1")
axes["2"].set_xlabel("long axis of the sheet")
order = np.arange(1, N_COMPONENTS + 1)
for name in ("diffusion map", "principal components"):  # eigenvalues of eigenmaps ascend, and are no shares
    values = np.asarray(group[name].eigenvalues)
    middle.plot(order, values / values.sum(), marker="o", color=colours[name], label=name)
middle.set(xlabel="component", ylabel="share of the eigenvalues", title="Eigenvalues", xticks=order, ylim=(0, None))
middle.legend(frameon=False)
for shift, ((name, values), colour) in enumerate(zip(similarity.items(), (GREY, BLUE, GREEN), strict=True)):
    drawn = right.boxplot(
        list(values), positions=order + 0.26 * (shift - 1), widths=0.2, whis=(0, 100), patch_artist=True
    )
    for box in drawn["boxes"]:
        box.set(facecolor=colour, alpha=0.7)
    for line in drawn["medians"]:
        line.set(color="black")
    right.plot([], [], "s", color=colour, label=name)
right.axhline(0, color="black", linewidth=0.8, linestyle=":")
right.set(
    xticks=order,
    xticklabels=order,
    xlabel="component",
    ylabel="correlation of two subjects",
    title="Across subjects",
    ylim=(-1.5, 1.05),
    yticks=np.linspace(-1, 1, 5),
)
right.legend(frameon=False, loc="lower center", ncols=3, handletextpad=0.1, columnspacing=1)
figures = {"First gradient on a planted sheet, eigenvalues, agreement of subjects": figure}
