"""
Kernels: which features matter, and how many neighbours
=======================================================

Regions have several features, and a map that depends on two of them. The map of a region is predicted from those of the
regions most like it. Whose likeness counts is learned by gradient through the kernel.
"""

# %%
# Two hundred regions with six features; the map follows the first two, under noise.

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from conn.functional import fill_diagonal, gaussian_kernel, sparse_top_k_rows, top_k_rows

N_REGIONS, N_FEATURES = 200, 6
rng = np.random.default_rng(0)
features = rng.normal(size=(N_REGIONS, N_FEATURES)).astype(np.float32)
truth = np.sin(2 * features[:, 0]) + features[:, 1] ** 2 / 2
measured = (truth + 0.3 * rng.normal(size=N_REGIONS)).astype(np.float32)

# %%
# A region is predicted by the mean of all others, weighted by a Gaussian kernel. Its diagonal is emptied, so that no
# region predicts itself.


def likeness(weight: jax.Array) -> jax.Array:
    return fill_diagonal(gaussian_kernel(features, gamma=1.0, weight=weight), 0.0)


def error(kernel: jax.Array) -> jax.Array:
    """Return the mean squared error of predicting every region from others, relative to the map's variance."""
    return ((kernel @ measured / kernel.sum(-1) - measured) ** 2).mean() / measured.var()


# %%
# The features' weights, positive through an exponential, fall along the error's gradient; all begin alike.


@jax.jit
def learn(start: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    def step(logs: jax.Array, _) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        value, slope = jax.value_and_grad(lambda x: error(likeness(jnp.exp(x))))(logs)
        return logs - 5 * slope, (value, jnp.exp(logs))

    return jax.lax.scan(step, start, length=200)


_, (errors, weights) = learn(jnp.full(N_FEATURES, -2.0))
print("weights: " + ", ".join(f"{value:.3f}" for value in weights[-1]))
print(f"error: {errors[0]:.2f} at first, {errors[-1]:.2f} at last")

# %%
# How many neighbours does the prediction need? All but the largest entries of a row are set to 0; sparse rows hold
# exactly those.

counts = [1, 4, 16, 64, 199]
kernels = {"equal weights": likeness(weights[0]), "learned weights": likeness(weights[-1])}
curves = {
    name: [float(error(top_k_rows(kernel, count, exclude_diag=True))) for count in counts]
    for name, kernel in kernels.items()
}
sparse = sparse_top_k_rows(kernels["learned weights"], 16, exclude_diag=True)
print(f"16 neighbours a region: {sparse.data.size} of {N_REGIONS**2} entries")

# %%
# The weights of the four features that do not matter stay twenty times and more below the others. With the learned
# weights sixteen neighbours do as well as all; with equal ones no number does.

figure = Figure(figsize=(11, 3.4), layout="constrained")
axes = figure.subplots(1, 3)
for place in range(N_FEATURES):
    matters = place < 2
    style = {"color": "#D55E00" if matters else "#999999", "linestyle": "--" if place == 1 else "-"}
    label = {0: "feature 1", 1: "feature 2", 2: "features 3 to 6"}.get(place)
    axes[0].semilogy(weights[:, place], label=label, **style)
axes[0].set(xlabel="step", ylabel="weight of the feature", title="Weights learned")
axes[0].legend(frameon=False, loc="center right", bbox_to_anchor=(1.0, 0.6))
order = np.lexsort((features[:, 1], features[:, 0] > 0))
kernel = gaussian_kernel(features[order], gamma=1.0, weight=weights[-1])
image = axes[1].imshow(kernel, cmap="magma", vmin=0, vmax=1)
axes[1].set(xlabel="region, sorted", ylabel="region, sorted", title="Kernel with the learned weights")
figure.colorbar(image, ax=axes[1], label="likeness", fraction=0.046)
for (name, values), colour in zip(curves.items(), ("#0072B2", "#D55E00"), strict=True):
    axes[2].semilogx(counts, values, "o-", color=colour, markersize=4, label=name)
axes[2].set(xlabel="neighbours kept", ylabel="error / variance", title="Prediction of left-out regions")
axes[2].set_ylim(0, 1.3)
axes[2].legend(frameon=False, loc="upper center")
figures = {"Weights of features learned through a kernel, the kernel, and how many neighbours it needs": figure}
