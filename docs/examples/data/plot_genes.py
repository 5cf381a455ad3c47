"""
Genes: what to do with regions that have no sample
==================================================

Four of the six donors of the Allen Human Brain Atlas were sampled on the left only, so that many right regions of a
fine parcellation have no expression. How good a guess is depends on how alike the hemispheres are.
"""

# %%
# The data are simulated: 200 regions in mirrored pairs and 60 genes that are smooth in space. A gene's map is
# made of a part that both hemispheres share and a part of its own; the share of variance of the latter is set.

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from conn.data import assemble_regions, fill_expression
from conn.data.simulators import simulate_gene_connectome

N_REGIONS, N_SEEDS = 200, 5
HALF = N_REGIONS // 2
BLUE, RED, GREY = "#0072B2", "#D55E00", "#777777"
labels = [f"{side}H_{number:03d}" for side in "LR" for number in range(HALF)]


def brain(own: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    made = simulate_gene_connectome(n_regions=N_REGIONS, n_genes=60, smoothness=60.0, gene_noise=0.1, rng=seed)
    swapped = np.roll(made.expression, HALF, axis=0)
    shared, apart = made.expression + swapped, made.expression - swapped
    values = np.sqrt(1 - own) * shared / shared.std(axis=0) + np.sqrt(own) * apart / apart.std(axis=0)
    regions = pd.DataFrame(made.coordinates, columns=["x", "y", "z"])
    regions.insert(0, "label", labels)
    regions.insert(1, "hemisphere", ["L"] * HALF + ["R"] * HALF)
    connectome = pd.DataFrame(made.connectome, index=labels, columns=labels)
    return pd.DataFrame(values, index=labels).add_prefix("gene "), connectome, regions


# %%
# A quarter of the right regions loses its values. The set is put together by label; what was filled stands in the
# provenance.

expression, connectome, regions = brain(own=0.2, seed=0)
hidden = np.random.default_rng(0).choice(np.arange(HALF, N_REGIONS), HALF // 4, replace=False)
blanked = expression.copy()
blanked.iloc[hidden] = np.nan
data = assemble_regions(blanked, connectome, regions, missing_expression="mirror_interpolate")
print(data.describe())

# %%
# The error of each policy, as a share of the variance of what was hidden: 0 is perfect, 1 is as good as the mean.


def error(policy: Literal["mirror", "interpolate"], own: float, seed: int) -> float:
    truth, _, places = brain(own, seed)
    lost = np.random.default_rng(seed).choice(np.arange(HALF, N_REGIONS), HALF // 4, replace=False)
    table = truth.copy()
    table.iloc[lost] = np.nan
    guess = fill_expression(table, places, policy=policy)
    residual = (guess - truth).iloc[lost].to_numpy()
    return float((residual**2).mean() / (truth.iloc[lost] - table.mean()).to_numpy().var())


shares = np.linspace(0, 0.3, 7)
errors = {
    policy: np.array([[error(policy, own, seed) for own in shares] for seed in range(N_SEEDS)])
    for policy in ("mirror", "interpolate")
}
for policy, values in errors.items():
    means = values.mean(axis=0)
    print(f"{policy:12s}", " ".join(f"{own:.2f}: {mean:.2f}" for own, mean in zip(shares, means, strict=True)))

# %%
# Left: one gene on the right hemisphere, seen from the side; hollow regions have no value. Right: dots are simulated
# brains, lines their means.

figure = Figure(figsize=(9.5, 3.8), layout="constrained")
left, right = figure.subplots(1, 2)
seen = np.setdiff1d(np.arange(HALF, N_REGIONS), hidden)
places = regions[["y", "z"]].to_numpy()
dots = left.scatter(*places[seen].T, c=expression.iloc[seen, 0], s=34, cmap="viridis")
left.scatter(*places[hidden].T, s=34, facecolors="none", edgecolors=GREY, label="no sample")
left.set(xlabel="y (mm)", ylabel="z (mm)", title="One gene, right hemisphere", aspect="equal")
left.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2))
figure.colorbar(dots, ax=left, label="expression (standard deviations)", shrink=0.8)
for (policy, values), colour in zip(errors.items(), (BLUE, RED), strict=True):
    right.plot(shares, values.mean(axis=0), color=colour, label=policy)
    right.plot(np.tile(shares, (N_SEEDS, 1)), values, ".", color=colour, markersize=4)
right.axhline(1, color="black", linestyle=":", linewidth=1, label="mean of the known regions")
right.set(
    xlabel="share of variance that differs between hemispheres",
    ylabel="error (share of variance)",
    title="Filled against hidden values",
    ylim=(0, 1.75),
)
right.legend(frameon=False)
figures = {"A gene with regions that have no sample, and the error of two ways to fill them": figure}
