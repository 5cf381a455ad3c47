"""
A benchmark of atlases
======================

A good parcellation is more homogeneous than others of the same shape. Homogeneity grows with the number of parcels and
with smoothness, whatever the parcels: only the difference to null parcellations says something.

**Reference.** Gordon et al. (2016), doi:10.1093/cercor/bhu239, who rotate parcels on the sphere; Arslan et al. (2018),
doi:10.1016/j.neuroimage.2017.04.014; Schaefer et al. (2018), doi:10.1093/cercor/bhx179.

**Planted.** 600 vertices on a sphere, 20 true parcels (Voronoi cells of random vertices). A parcel has a white signal,
to which a field that is smooth over the sphere and noise are added; 200 frames. *Atlases:* the true one; one whose
borders are moved (a fifth of the vertices, those nearest to another parcel, exchanged); Voronoi cells of other
vertices with 20 and with 60 parcels.

**Criterion.** Against 100 rotations of itself, the true atlas has the largest z-score of homogeneity, above 3; the one
with moved borders is the second, and the random one with 20 parcels lies between -3 and 3, while the random one
with 60 parcels is more homogeneous than it: homogeneity alone rewards small parcels. *Real surface* (where the data
folder has BrainSpace's): Schaefer's 100 parcels on the functional gradient and on the myelin map of a group, left
hemisphere, 30 rotations; the z-scores are printed, and not judged.

**Baseline.** Homogeneity itself, without rotations: its value for the random atlas of 60 parcels over the true one's.

**Protocol.** All was set up on seeds from 1000 on; the table of replications has seeds 0 to 9. Nothing is trained.
"""

import numpy as np
from matplotlib.figure import Figure
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from conn.data import DataUnavailableError, load_conte69
from conn.data.simulators import simulate_maps

CRITERION = "z against rotations: true > 3, above moved borders, above random; random within -3 to 3"
N_VERTICES, N_FRAMES, N_ROTATIONS = 600, 200, 100
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"


def sphere(n_vertices: int) -> np.ndarray:
    """Return evenly spread points (vertex, 3) of the unit sphere, on a spiral."""
    place = np.arange(n_vertices) + 0.5
    height, turn = 1 - 2 * place / n_vertices, np.pi * (1 + 5**0.5) * place
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)


POINTS = sphere(N_VERTICES)

# %%
# What is planted
# ---------------


def cells(rng: np.random.Generator, n_parcels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Voronoi cells of random vertices, and the two nearest parcels of every vertex."""
    centres = POINTS[rng.choice(N_VERTICES, n_parcels, replace=False)]
    nearest = np.argsort(-POINTS @ centres.T, axis=1)[:, :2]
    return nearest[:, 0], nearest


def simulate(seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return standardised series (vertex, frame), and the labels of every atlas."""
    rng = np.random.default_rng(seed)
    centres = POINTS[rng.choice(N_VERTICES, 20, replace=False)]
    cosine = POINTS @ centres.T
    nearest = np.argsort(-cosine, axis=1)[:, :2]
    true = nearest[:, 0]
    margin = np.diff(np.sort(cosine, axis=1)[:, -2:], axis=1)[:, 0]
    moved = np.where(np.argsort(np.argsort(margin)) < N_VERTICES // 5, nearest[:, 1], true)
    signals = rng.normal(size=(20, N_FRAMES))
    smooth = simulate_maps(POINTS, n_maps=N_FRAMES, length_scale=0.4, n_waves=128, rng=rng).maps.T
    series = signals[true] + smooth + rng.normal(size=(N_VERTICES, N_FRAMES))
    series = (series - series.mean(1, keepdims=True)) / series.std(1, keepdims=True)
    return series, {
        "true": true,
        "moved borders": moved,
        "random, 20 parcels": cells(rng, 20)[0],
        "random, 60 parcels": cells(rng, 60)[0],
    }


# %%
# Homogeneity, and rotations
# --------------------------


def baseline(series: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over vertices of the mean correlation within their parcel (pairs of different vertices)."""
    total = 0.0
    for parcel in np.unique(labels[labels >= 0]):
        members = series[labels == parcel]
        n = len(members)
        if n > 1:
            summed = np.square(members.sum(0)).mean() - np.square(members).mean() * n
            total += summed / (n - 1)
    return float(total / (labels >= 0).sum())


def rotated(labels: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the labels that a random rotation of the sphere brings to every vertex."""
    turned = Rotation.from_quat(rng.normal(size=4)).apply(points)
    return labels[cKDTree(turned).query(points)[1]]


def fit(series: np.ndarray, labels: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the homogeneity of rotated labels, (rotation,)."""
    return np.array([baseline(series, rotated(labels, points, rng)) for _ in range(N_ROTATIONS)])


def score(found: float, null: np.ndarray) -> float:
    """Return by how many standard deviations of the null a homogeneity lies above its mean."""
    return float((found - null.mean()) / null.std(ddof=1))


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return the homogeneity and z-score of every atlas; a short run is the same."""
    series, atlases = simulate(seed)
    rng = np.random.default_rng([seed, 1])
    plain = {name: baseline(series, labels) for name, labels in atlases.items()}
    null = {name: fit(series, labels, POINTS, rng) for name, labels in atlases.items()}
    z = {name: score(plain[name], null[name]) for name in atlases}
    random = z["random, 20 parcels"]
    return {
        "homogeneity": plain,
        "null": null,
        "z": z,
        "score": z["true"],
        "baseline": plain["random, 60 parcels"] / plain["true"],
        "passed": z["true"] > 3
        and sorted(z, key=z.__getitem__)[:1:-1] == ["true", "moved borders"]
        and -3 < random < 3
        and plain["random, 60 parcels"] > plain["random, 20 parcels"],
    }


def real(seed: int) -> dict[str, float] | None:
    """Return z-scores of Schaefer's 100 parcels on two maps of the left hemisphere, or nothing without the data."""
    try:
        surfaces = load_conte69()
    except DataUnavailableError:
        return None
    labels = surfaces.labels["schaefer_100"].left.astype(int)
    points = surfaces.surfaces["sphere"][0].coordinates
    found = {}
    for name in ("fc_gradient0", "t1wt2w"):
        values = surfaces.maps[name][0]
        known = (labels > 0) & np.isfinite(values)
        rng = np.random.default_rng(seed)
        tree = cKDTree(points[known])

        def explained(numbers: np.ndarray, mask: np.ndarray, values: np.ndarray = values) -> float:
            sums, counts = np.bincount(numbers[mask], values[mask]), np.bincount(numbers[mask])
            total = values[mask].var() * mask.sum()
            means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
            return float((counts * np.square(means - values[mask].mean())).sum() / total)

        null = []
        for _ in range(30):
            away, place = tree.query(Rotation.from_quat(rng.normal(size=4)).apply(points[known]))
            turned = np.where(known, labels, 0)
            turned[known] = labels[known][place]
            # Where the medial wall was turned to, there are no parcels.
            inside = known.copy()
            inside[known] = away < 3
            null.append(explained(turned, inside))
        found[name] = score(explained(labels, known), np.array(null))
    return found


# %%
# One seed
# --------

if __name__ == "__main__":
    outcome = experiment(0)
    for name, value in outcome["z"].items():
        print(f"{name}: homogeneity {outcome['homogeneity'][name]:.3f}, z {value:.1f}")
    assert outcome["passed"], outcome["z"]
    found = real(0)
    if found is None:
        print("real surfaces are not at hand")
    else:
        for name, value in found.items():
            print(f"Schaefer 100 on {name}, left hemisphere: z {value:.1f}")

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.4, 1])
    names = list(outcome["z"])
    for place, name in enumerate(names):
        spread = np.random.default_rng(0).uniform(-0.15, 0.15, N_ROTATIONS)
        left.plot(outcome["null"][name], place + spread, ".", color="0.75", label=None if place else "rotations")
        left.plot(outcome["homogeneity"][name], place, "o", color=BLUE, label=None if place else "atlas")
    left.set_yticks(range(len(names)), names)
    left.set(xlabel="homogeneity (mean correlation within parcels)")
    left.legend(frameon=False)
    right.barh(names, list(outcome["z"].values()), color=BLUE)
    right.set(xlabel="z against rotations")
    figures = {"Homogeneity of atlases, and what rotations of them have": figure}
