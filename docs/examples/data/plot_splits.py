"""
Splits: what neighbours give away
=================================

A connectome is predicted for regions that were left out. Whether their neighbours were left out too decides how good
the prediction looks.
"""

# %%
# The data are simulated: expression that is smooth in space, and a connectome made of distance, of products of genes
# and of noise. The best prediction that anyone can make has a correlation of 0.8.

import numpy as np
from matplotlib.figure import Figure

from conn.data.simulators import simulate_gene_connectome
from conn.data.splits import homologous_groups, random_folds, region_pairs, spatial_folds

COLOURS = np.array(["#0072B2", "#D55E00", "#009E73", "#CC79A7"])
N_SEEDS = 6
made = [simulate_gene_connectome(n_regions=200, optimal_r=0.8, smoothness=60.0, rng=seed) for seed in range(N_SEEDS)]

# %%
# Four kinds of folds. `region_pairs` gives the pairs within the test regions, on which the prediction is judged.


def kinds(coordinates: np.ndarray, seed: int) -> dict:
    groups = homologous_groups(coordinates)
    return {
        "random": random_folds(len(coordinates), 4, rng=seed),
        "spatial": spatial_folds(coordinates, 4, rng=seed),
        "spatial,\nbilateral": spatial_folds(coordinates, 4, rng=seed, groups=groups),
        "bilateral,\n20 mm buffer": spatial_folds(coordinates, 4, rng=seed, groups=groups, buffer=20.0),
    }


# %%
# The model is the mean connectome's smooth interpolation: kernel ridge regression in both regions of a pair, by where
# they lie. It knows no genes. What it loses from random to spatial folds is what neighbours of test regions give away.


def predicted(data, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    apart = np.linalg.norm(data.coordinates[:, None] - data.coordinates, axis=-1)
    kernel = np.exp(-apart / 40)
    inverse = np.linalg.inv(kernel[np.ix_(train, train)] + 0.3 * np.eye(train.size))
    weights = kernel[np.ix_(test, train)] @ inverse
    return weights @ data.connectome[np.ix_(train, train)] @ weights.T


def scores(data, folds) -> list[float]:
    found = []
    for train, test in folds.split():
        pairs = region_pairs(train, test).within_test
        guess = predicted(data, train, test)
        rows, columns = np.searchsorted(test, pairs).T
        found.append(np.corrcoef(guess[rows, columns], data.connectome[*pairs.T])[0, 1])
    return found


results = {
    name: np.array([np.mean(scores(data, kinds(data.coordinates, seed)[name])) for seed, data in enumerate(made)])
    for name in kinds(made[0].coordinates, 0)
}
for name, values in results.items():
    mean, spread = values.mean(), values.std(ddof=1)
    print(f"{' '.join(name.split()):24s} mean r on test pairs {mean:.2f}, standard deviation {spread:.2f}")

# %%
# Left and middle: the left hemisphere of one brain from the side, each region in the colour of its fold. Right: dots
# are simulated brains, bars their means.

figure = Figure(figsize=(11, 3.6), layout="constrained")
left, middle, right = figure.subplots(1, 3)
coordinates = made[0].coordinates
shown = coordinates[:, 0] < 0
for axes, name in ((left, "random"), (middle, "spatial,\nbilateral")):
    for fold, test in enumerate(kinds(coordinates, 0)[name].test):
        seen = test[shown[test]]
        axes.scatter(coordinates[seen, 1], coordinates[seen, 2], s=18, color=COLOURS[fold], label=f"fold {fold + 1}")
    axes.set(xlabel="y (mm)", ylabel="z (mm)", title=" ".join(name.split()).capitalize() + " folds", aspect="equal")
left.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.22), handletextpad=0, columnspacing=0.8)
for place, values in enumerate(results.values()):
    right.bar(place, values.mean(), color="#cccccc", width=0.7)
    right.plot(np.full(N_SEEDS, place), values, ".", color=COLOURS[0])
right.axhline(0.8, color="black", linestyle=":", linewidth=1, label="best possible")
right.set(
    xticks=range(len(results)),
    xticklabels=list(results),
    ylabel="r within test regions",
    title="Kernel regression on coordinates",
    ylim=(0, 0.9),
)
right.tick_params(axis="x", labelsize=8)
right.legend(frameon=False)
figures = {"Random and spatial folds, and what a model of coordinates alone scores on them": figure}
