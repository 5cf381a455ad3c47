"""
Simulators: data with the truth beside them
===========================================

Three simulators, each tried against what is known about it: an autoregression against its exact covariances, a network
seen through the BOLD signal, and communities that are hard to find.
"""

# %%
# **An autoregression** of five regions in which the first drives three others (Baccala and Sameshima 2001). Its
# covariances at any lag follow from the coefficients; twenty runs of 200 frames scatter about them.

import networkx
import numpy as np
from matplotlib.figure import Figure

from conn.data.simulators import (
    autocovariance,
    baccala_sameshima,
    simulate_communities,
    simulate_fmri_network,
    simulate_var,
)

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"
coefficients = baccala_sameshima("feedforward")
runs = simulate_var(coefficients, 200, n_runs=20)
lags = np.arange(11)
exact = autocovariance(coefficients, lags[-1])
size = np.sqrt(np.outer(*[np.diag(runs.covariance)] * 2))
series = runs.time_series
sampled = np.stack([(series[..., lag:] @ series[..., : 200 - lag].swapaxes(1, 2)) / (200 - lag) for lag in lags])
print(
    f"spectral radius {runs.spectral_radius:.2f}; drives: {[tuple(map(int, p)) for p in np.argwhere(runs.adjacency)]}"
)

# %%
# **A network seen through the BOLD signal**: inputs that switch, activity that spreads within 50 ms, the balloon model
# with responses that come earlier or later by half a second, a frame every 3 s (Smith et al. 2011). Full correlation
# is high between regions that are connected by way of others only; partial correlation is not.

people = simulate_fmri_network(n_subjects=20, noise=0.001)
full = np.array([np.corrcoef(scan) for scan in people.time_series])
precision = np.linalg.inv(full)
spread = np.sqrt(np.einsum("sii->si", precision))
partial = -precision / spread[:, None] / spread[:, :, None]
pairs = np.triu_indices(5, 1)
connected = (people.network | people.network.T)[pairs]
for name, matrices in (("full", full), ("partial", partial)):
    values = np.abs(matrices[:, *pairs])
    found = np.mean(values[:, connected] > np.quantile(values[:, ~connected], 0.95))
    print(f"{name:8s} correlation: {found:.2f} of the connections lie above 95 % of the empty pairs")

# %%
# **Communities** that overlap and switch on and off every 20 frames, 100 regions, ten scans of 400 frames. How well
# does Louvain's method find them in the mean connectome? At 0.6 to 0.8 something is left to find.

ratios, seeds = [0.04, 0.06, 0.08, 0.1, 0.14, 0.2], range(4)


def adjusted_rand(one: np.ndarray, other: np.ndarray) -> float:
    """Return the adjusted Rand index of two partitions (Hubert and Arabie 1985)."""
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1)

    def choose(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    rows, columns, together = choose(table.sum(1)), choose(table.sum(0)), choose(table)
    chance = rows * columns / choose(np.array([one.size]))
    return (together - chance) / ((rows + columns) / 2 - chance)


def louvain(connectome: np.ndarray, seed: int) -> np.ndarray:
    """Return the community of each region."""
    weights = connectome.clip(0)
    np.fill_diagonal(weights, 0)
    label = np.empty(len(weights), dtype=int)
    parts = networkx.community.louvain_communities(networkx.from_numpy_array(weights), seed=seed)
    for number, part in enumerate(parts):
        label[list(part)] = number
    return label


index = np.empty((len(ratios), len(seeds)))
for place, snr in enumerate(ratios):
    for seed in seeds:
        made = simulate_communities(snr=snr, rng=seed)
        connectome = np.mean([np.corrcoef(scan) for scan in made.time_series], axis=0)
        index[place, seed] = adjusted_rand(made.communities, louvain(connectome, seed))

# %%
# Left: lines are exact, bars are the standard deviation over runs. Right: dots are cohorts, the line is their mean.

figure = Figure(figsize=(11, 3.6), layout="constrained")
left, middle, right = figure.subplots(1, 3)
for (target, source), colour in (((0, 0), GREY), ((1, 0), BLUE), ((0, 1), VERMILION)):
    scale = size[target, source]
    left.plot(lags, exact[:, target, source] / scale, color=colour, label=f"region {target + 1} after {source + 1}")
    scatter = sampled[:, :, target, source] / scale
    left.errorbar(lags, scatter.mean(1), scatter.std(1), color=colour, fmt="o", markersize=3)
left.set(xlabel="lag (frames)", ylabel="correlation", title="Autoregression: exact and sampled", ylim=(-1.1, 1.9))
left.legend(frameon=False, loc="upper right")
rng = np.random.default_rng(0)
for place, (matrices, kept, colour) in enumerate(
    ((full, connected, BLUE), (full, ~connected, GREY), (partial, connected, BLUE), (partial, ~connected, GREY))
):
    values = matrices[:, *pairs][:, kept].ravel()
    middle.plot(place + rng.uniform(-0.25, 0.25, values.size), values, ".", color=colour, markersize=3, alpha=0.6)
    middle.plot([place - 0.35, place + 0.35], [np.median(values)] * 2, color="black")
middle.set(
    xticks=range(4),
    xticklabels=["full,\nconnected", "full,\nnot", "partial,\nconnected", "partial,\nnot"],
    ylabel="correlation of a pair in one person",
    title="A network seen through BOLD",
)
right.axhspan(0.6, 0.8, color=GREEN, alpha=0.15, label="0.6 to 0.8")
right.plot(ratios, index, ".", color=GREY)
right.plot(ratios, index.mean(1), color=BLUE, label="mean")
right.set(
    xlabel="signal-to-noise ratio", ylabel="adjusted Rand index", title="Louvain on planted communities", ylim=(0, 1)
)
right.legend(frameon=False, loc="lower right")
figures = {"Exact and sampled covariances, full and partial correlation, index by signal-to-noise ratio": figure}
