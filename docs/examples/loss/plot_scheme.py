"""
A scheme of losses: what each term adds to a parcellation
=========================================================

Signals of a patch of cortex are divided into parcels by descent. One loss alone asks for homogeneous parcels; others
ask for equal sizes and for compact ones, and a schedule changes how much they ask.
"""

# %%
# 24 x 24 vertices in six planted parcels. Vertices of a parcel share a signal; neighbours share noise as well, and
# every vertex has its own.

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment

from conn.loss import (
    CompactnessLoss,
    EquilibriumLoss,
    LossApply,
    LossArgument,
    LossScheme,
    SecondMomentLoss,
    UnpackingLossArgument,
    gradient_norms,
    mean_scalarise,
    sum_scalarise,
)

SIDE, N_PARCELS, N_FRAMES, N_STEPS = 24, 6, 100, 400
rng = np.random.default_rng(1)
grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), -1).reshape(-1, 2)
corners = np.array([(x, y) for x in (4, 12, 20) for y in (6, 18)]) + rng.uniform(-2.5, 2.5, (N_PARCELS, 2))
planted = np.linalg.norm(grid[:, None] - corners, axis=-1).argmin(1)
signals = rng.standard_normal((N_PARCELS, N_FRAMES))
noise = rng.standard_normal((2, SIDE * SIDE, N_FRAMES))
nearby = gaussian_filter(noise[0].reshape(SIDE, SIDE, N_FRAMES), (2, 2, 0)).reshape(-1, N_FRAMES)
series = jnp.asarray(signals[planted] + nearby / nearby.std() + 2 * noise[1], jnp.float32)
places = jnp.asarray(np.column_stack([grid, np.zeros(SIDE * SIDE)]), jnp.float32)

# %%
# A term is a loss, its strength, and what it reads of the model's outputs. In the last scheme the strength of the
# compactness is a schedule: strong at first, so that parcels find their places, then as weak as before. The
# homogeneity is reduced by a nest: the mean over frames, then the sum over parcels.


def outputs(logits: jax.Array) -> LossArgument:
    return LossArgument(assignment=jax.nn.softmax(logits, 0), series=series, places=places)


homogeneous = LossApply(
    SecondMomentLoss(1.0, "homogeneity", scalarisation=sum_scalarise(inner=mean_scalarise(axis=-1))),
    apply=lambda out: UnpackingLossArgument(values=out.series, assignment=out.assignment),
)
compact = LossApply(
    CompactnessLoss(0.3, "compactness"),
    apply=lambda out: UnpackingLossArgument(assignment=out.assignment, coordinates=out.places),
)
balanced = LossApply(EquilibriumLoss(2.0, "equal sizes"), apply=lambda out: out.assignment)
falling = optax.linear_schedule(5.0, 0.3, transition_steps=N_STEPS // 2)
scheduled = LossApply(CompactnessLoss(falling, "compactness"), apply=compact.apply)
schemes = {
    "homogeneity": LossScheme([homogeneous]),
    "+ equal sizes": LossScheme([homogeneous, balanced]),
    "+ compactness": LossScheme([homogeneous, balanced, compact]),
    "+ schedule": LossScheme([homogeneous, balanced, scheduled]),
}
print(schemes["+ schedule"])

# %%
# Each scheme starts from the same small random logits. The terms come by name, strengths included; `gradient_norms`
# says how hard each of them pulls.

optimiser = optax.adam(0.1)
start = 0.1 * jax.random.normal(jax.random.PRNGKey(0), (N_PARCELS, SIDE * SIDE))


@eqx.filter_jit
def trained(scheme: LossScheme) -> tuple[jax.Array, dict, dict]:
    def step(state: tuple, number: jax.Array) -> tuple:
        logits, memory = state

        def objective(logits: jax.Array) -> tuple:
            return scheme(outputs(logits), step=number)

        (_, terms), gradient = jax.value_and_grad(objective, has_aux=True)(logits)
        updates, memory = optimiser.update(gradient, memory)
        found = {name: term.value for name, term in terms.items()}, gradient_norms(objective, logits)
        return (optax.apply_updates(logits, updates), memory), found

    (logits, _), (values, norms) = jax.lax.scan(step, (start, optimiser.init(start)), jnp.arange(N_STEPS))
    return jax.nn.softmax(logits, 0), values, norms


results = {name: trained(scheme) for name, scheme in schemes.items()}


def matched(assignment: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return each vertex's parcel, named as the planted one it shares most vertices with, and how sure that is."""
    learned = np.asarray(assignment).argmax(0)
    shared = np.zeros((N_PARCELS, N_PARCELS))
    np.add.at(shared, (learned, planted), 1)
    rows, columns = linear_sum_assignment(-shared)
    return columns[np.argsort(rows)][learned], np.asarray(assignment).max(0)


maps = {name: matched(assignment) for name, (assignment, _, _) in results.items()}
for name, (labels, certainty) in maps.items():
    print(
        f"{name:14s} vertices in their planted parcel: {(labels == planted).mean():.2f}, sure: {certainty.mean():.2f}"
    )

# %%
# Pale vertices would be shared between parcels. Below, the last scheme's terms and how hard they pull: steps at which
# vertices change sides are peaks.

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"]
palette = ListedColormap(COLOURS)
figure = Figure(figsize=(11, 5.6), layout="constrained")
upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.1))
axes = upper.subplots(1, 5)
for axis, (name, (labels, certainty)) in zip(
    axes, {"planted": (planted, 1.0 + 0 * planted), **maps}.items(), strict=True
):
    strength = np.clip((certainty - 1 / N_PARCELS) / (1 - 1 / N_PARCELS), 0, 1)
    colours = palette(labels)
    colours[:, 3] = 0.1 + 0.9 * strength
    axis.imshow(colours.reshape(SIDE, SIDE, 4))
    axis.set(xticks=[], yticks=[], title=name)
    if name != "planted":
        axis.set_xlabel(f"{(labels == planted).mean():.0%} of vertices right")
left, right = lower.subplots(1, 2)
_, values, norms = results["+ schedule"]
for name, colour in zip(schemes["+ schedule"].names, COLOURS, strict=False):
    left.plot(np.asarray(values[name] - values[name][0]), label=name, color=colour)
    right.plot(np.asarray(norms[name]), label=name, color=colour)
left.set(xlabel="step", ylabel="change of a term, strength included", title="Terms of the last scheme")
right.set(
    xlabel="step", ylabel="norm of the gradient", yscale="log", ylim=(1e-4, None), title="How hard each term pulls"
)
left.legend(frameon=False)
figures = {"Planted and learned parcels under four schemes; terms and gradient norms of the last one": figure}
