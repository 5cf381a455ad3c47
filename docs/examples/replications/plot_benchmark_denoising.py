"""
A benchmark of confound models
==============================

Which confounds to regress out is a matter of trade: models that take out the global signal leave the least relation
between connections and motion, and leave one that depends on distance; leaving out the frames that moved ends that.

**Reference.** Ciric et al. (2017), Benchmarking of participant-level confound regression strategies,
doi:10.1016/j.neuroimage.2017.03.020; Parkes et al. (2018), doi:10.1016/j.neuroimage.2017.12.073; component-based noise
correction: Behzadi et al. (2007), doi:10.1016/j.neuroimage.2007.04.042. ICA-AROMA needs images, and is not here.

**Planted.** 80 people, 40 regions in a ball of 70 mm radius, 240 frames of 2 s. Six realignment parameters are smooth
drifts with occasional jerks of lasting effect; displacement is that of their differences (Power's). The artefact has a
part that drops everywhere in the frame of a movement and one that lingers for ten seconds after it, one that
neighbours share in that frame (`add_motion`), and one that is linear in the parameters, with weights of each region.
White matter and fluid signals, and 40 noise voxels, contain the first two and the last, and no signal.

**Models.** 2P (white matter, fluid), 6P (realignment), 24P (these, differences, squares of both), 9P (6P, 2P and the
global signal), 36P (9P, differences, squares of both), aCompCor (five components of the noise voxels, 6P and its
differences), 36P with frames above 0.25 mm left out.

**Criterion.** The order of the reference: in median absolute QC-FC, 36P lies below 24P and that below 6P, aCompCor
below 6P, and 36P no more than a tenth above the least of all models (several may reach what chance alone leaves); the
correlation of QC-FC with distance is more negative with 9P than with 6P, and nearer 0 with 36P where frames are left
out. Whether 6P improves on nothing at all is printed, and not asked.

**Baseline.** No regression; the score is the median of 36P. Nothing is trained.

**Protocol.** All was set up on seeds from 1000 on; the table of replications has seeds 10 to 19. On seeds 0 to 9
leaving frames out had to bring the correlation with distance *a third of the way* to 0; 7 of 10 seeds met that, and the
other three missed that part alone (they had 0.72, 0.70 and 0.84 of it left). Motion permuted among 80 people gives
correlations up to 0.1 or so in size (95 %; seeds 1000 to 1009), with 0.2 there to be reduced: a third of it cannot be
judged in one sample. What the reference says is an order, as the rest of the criterion is. The share that is left is
still returned, as `distance_left`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from conn.data.simulators import add_motion
from conn.eval import QCFC, qc_fc
from conn.functional import censoring_mask, corr, framewise_displacement, residualise

CRITERION = "QC-FC: 36P < 24P < 6P, aCompCor < 6P, 36P near the least; distance: 9P below 6P, 36P nearer 0 if censored"
FIRST_SEED = 10
N_SUBJECTS, N_REGIONS, N_FRAMES = 80, 40, 240
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"
COLOURS = {"none": GREY, "36P": BLUE, "9P": BLUE, "36P, censored": GREEN}

# %%
# What is planted
# ---------------


def simulate(seed: int) -> dict[str, np.ndarray]:
    """Return series, realignment parameters, tissue signals, noise voxels, displacement and coordinates."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(N_REGIONS, 3))
    coordinates = (
        70 * directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.random((N_REGIONS, 1)) ** (1 / 3)
    )
    apart = np.linalg.norm(coordinates[:, None] - coordinates, axis=-1)
    factor = np.linalg.cholesky(np.exp(-np.square(apart / 30) / 2) + 0.5 * np.eye(N_REGIONS))
    shape = (N_SUBJECTS, N_REGIONS, N_FRAMES)
    own = rng.normal(size=(N_SUBJECTS, N_REGIONS, 3)) @ rng.normal(size=(N_SUBJECTS, 3, N_FRAMES))
    clean = factor @ rng.normal(size=shape) + 0.4 * own
    # How much a person moves: drifts, and jerks that last.
    level = rng.uniform(0.3, 1.7, (N_SUBJECTS, 1, 1))
    steps = 0.015 * rng.normal(size=(N_SUBJECTS, 6, N_FRAMES))
    jerks = (rng.random((N_SUBJECTS, 1, N_FRAMES)) < 0.04 * level) * 0.15 * rng.normal(size=steps.shape)
    realignment = np.cumsum(level * steps + jerks, axis=-1)
    realignment[:, 3:] /= 50  # millimetres on a sphere of 50 mm radius to radians
    displacement = np.array(framewise_displacement(realignment[:, :3], realignment[:, 3:], rotation_unit="radians"))
    displacement[:, 0] = 0.0
    made = add_motion(clean, coordinates, motion=displacement, spike=2.5, delayed=1.0, local=2.5, rng=rng)
    scaled = realignment * np.array([1, 1, 1, 50, 50, 50])[:, None]
    scaled = scaled - scaled.mean(-1, keepdims=True)
    linear = 0.4 * rng.normal(size=(N_REGIONS, 6)) @ scaled
    everywhere = (made.spikes + made.delayed).mean(1, keepdims=True)
    tissue = everywhere * np.array([1.0, 0.7])[:, None] + 0.5 * rng.normal(size=(N_SUBJECTS, 2, N_FRAMES))
    voxels = everywhere * rng.uniform(0.3, 1.2, (N_SUBJECTS, 40, 1)) + rng.normal(size=(N_SUBJECTS, 40, N_FRAMES))
    voxels += 0.3 * rng.normal(size=(N_SUBJECTS, 40, 6)) @ scaled
    return {
        "series": made.time_series + linear,
        "realignment": scaled,
        "tissue": tissue,
        "voxels": voxels,
        "displacement": displacement,
        "coordinates": coordinates,
    }


# %%
# The models
# ----------


def models(data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the confounds of every model, (subject, confound, frame)."""

    def differences(values):
        return np.diff(values, axis=-1, prepend=values[..., :1])

    def expanded(values):
        both = np.concatenate([values, differences(values)], axis=1)
        return np.concatenate([both, both**2], axis=1)

    six = data["realignment"]
    nine = np.concatenate([six, data["tissue"], data["series"].mean(1, keepdims=True)], axis=1)
    voxels = data["voxels"] - data["voxels"].mean(-1, keepdims=True)
    components = np.linalg.svd(voxels / voxels.std(-1, keepdims=True), full_matrices=False)[2][:, :5]
    return {
        "2P": data["tissue"],
        "6P": six,
        "24P": expanded(six),
        "9P": nine,
        "36P": expanded(nine),
        "aCompCor": np.concatenate([components, six, differences(six)], axis=1),
    }


@jax.jit
def fit(series: jax.Array, confounds: jax.Array, mask: jax.Array) -> jax.Array:
    """Return connectomes without what confounds explain in the frames that count."""
    return corr(residualise(series, confounds, mask=mask), mask=mask)


@jax.jit
def baseline(series: jax.Array) -> jax.Array:
    """Return connectomes of the series as they are."""
    return corr(jnp.asarray(series))


def score(matrices: jax.Array, data: dict[str, np.ndarray]) -> QCFC:
    """Return QC-FC and its dependence on distance."""
    return qc_fc(np.asarray(matrices), data["displacement"].mean(1), coordinates=data["coordinates"])


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return the quality of every model; a short run leaves out what the criterion does not ask for."""
    data = simulate(seed)
    everything = np.ones(data["displacement"].shape, bool)
    kept = np.asarray(censoring_mask(data["displacement"], threshold=0.25, after=1))
    confounds = models(data)
    if short:
        del confounds["2P"]
    found = {"none": score(baseline(data["series"]), data)}
    found |= {name: score(fit(data["series"], values, everything), data) for name, values in confounds.items()}
    found["36P, censored"] = score(fit(data["series"], confounds["36P"], kept), data)
    left = {name: quality.median_absolute for name, quality in found.items()}
    slope = {name: quality.distance_correlation for name, quality in found.items()}
    return {
        "median_absolute": left,
        "distance": slope,
        "distance_left": abs(slope["36P, censored"]) / abs(slope["36P"]),
        "share_kept": float(kept.mean()),
        "score": left["36P"],
        "baseline": left["none"],
        "passed": left["36P"] < left["24P"] < left["6P"]
        and left["aCompCor"] < left["6P"]
        and left["36P"] <= 1.1 * min(left.values())
        and slope["9P"] < slope["6P"]
        and abs(slope["36P, censored"]) < abs(slope["36P"]),
    }


# %%
# One seed
# --------
# What every model leaves, and how it depends on distance.

if __name__ == "__main__":
    outcome = experiment(0)
    for name, value in outcome["median_absolute"].items():
        print(f"{name}: median |QC-FC| {value:.3f}, rho with distance {outcome['distance'][name]:.2f}")
    print(f"frames kept by censoring: {outcome['share_kept']:.2f}; without any effect: {0.67 / 79**0.5:.3f}")
    assert outcome["passed"], outcome

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = sorted(outcome["median_absolute"], key=outcome["median_absolute"].get, reverse=True)
    colours = [COLOURS.get(name, VERMILION) for name in names]
    left.barh(names, [outcome["median_absolute"][name] for name in names], color=colours)
    left.axvline(0.67 / (N_SUBJECTS - 1) ** 0.5, color="black", linestyle=":", label="no effect of motion")
    left.set(xlabel="median absolute QC-FC")
    left.legend(frameon=False, loc="upper right")
    right.barh(names, [outcome["distance"][name] for name in names], color=colours)
    right.axvline(0, color="black", linewidth=0.8)
    right.set(xlabel="rank correlation of QC-FC with distance")
    figures = {
        "What confound models leave (blue and green: with the global signal; green: frames left out, too)": figure
    }
