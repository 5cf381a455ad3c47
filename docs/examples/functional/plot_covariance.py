"""
Covariance: shrinkage, masks and standard errors against a planted truth
========================================================================

Scans are drawn whose correlation is known. How far from it are the estimates, and do their standard errors say so?
"""

# %%
# Twenty regions in four groups; within a group the correlation is 0.5, between groups 0.1. Every region is the same
# kind of autocorrelated series (from frame to frame 0.6), so that this is also the correlation of the series.

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from conn.functional import corr, corr_from_cov, fisher_z, fisher_z_standard_error, ledoit_wolf, oas

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"
N_SCANS, N_REGIONS, MEMORY = 100, 20, 0.6
group = np.arange(N_REGIONS) // 5
truth = np.where(group[:, None] == group, 0.5, 0.1) + 0.5 * np.eye(N_REGIONS)
pairs = np.triu_indices(N_REGIONS, 1)


def simulate(n_frames: int, seed: int) -> np.ndarray:
    """Return scans of shape (scan, region, frame)."""
    white = np.random.default_rng(seed).normal(size=(N_SCANS, N_REGIONS, n_frames + 50))
    for frame in range(1, white.shape[-1]):
        white[..., frame] = MEMORY * white[..., frame - 1] + np.sqrt(1 - MEMORY**2) * white[..., frame]
    return (np.linalg.cholesky(truth) @ white[..., 50:]).astype(np.float32)


# %%
# **Shrinkage.** The error over all pairs of regions, in each of 100 scans of which the first frames count. Ledoit and
# Wolf take frames for independent; these are not, and so the shrinkage is weaker than the best one.

lengths = [25, 50, 100, 200, 400]


@jax.jit
def estimates(x: jax.Array, mask: jax.Array) -> dict[str, jax.Array]:
    shrunk = {"Ledoit-Wolf": ledoit_wolf(x, mask=mask), "oracle approximating": oas(x, mask=mask)}
    return {"sample": corr(x, mask=mask)} | {name: corr_from_cov(one.covariance) for name, one in shrunk.items()}


scans = simulate(lengths[-1], 2)
found = [estimates(scans, np.arange(lengths[-1]) < length) for length in lengths]
error = {
    name: np.array([np.sqrt(((one[name] - truth)[:, *pairs] ** 2).mean(-1)) for one in found])
    for name in ("sample", "Ledoit-Wolf", "oracle approximating")
}

# %%
# **Masks.** In a tenth of the frames the head moves, and all regions jump together. A masked frame counts as if it had
# been deleted, to rounding, whatever stands in it.

series = simulate(200, 0)
rng = np.random.default_rng(1)
moved = rng.random(series.shape[-1]) < 0.1
spiky = series + moved * rng.normal(scale=4.0, size=(N_SCANS, 1, 200)).astype(np.float32)
with_motion, masked, deleted = (
    np.asarray(m) for m in (corr(spiky), corr(spiky, mask=~moved), corr(spiky[..., ~moved]))
)
means = [matrix[..., *pairs].mean() for matrix in (truth, with_motion, masked)]
print("mean correlation: planted {:.3f}, with motion {:.3f}, masked {:.3f}".format(*means))
print(f"largest difference between masking and deleting: {np.abs(masked - deleted).max():.1e}")

# %%
# **Standard errors.** How often does an interval of plus or minus 1.96 standard errors of Fisher's z cover the planted
# value? Counting 200 frames as 200 independent ones promises too much.


@jax.jit
def with_errors(x: jax.Array) -> dict[str, jax.Array]:
    found = {method: fisher_z_standard_error(x, method=method)[:, *pairs] for method in ("bartlett", "xdf")}
    return {"z": fisher_z(corr(x))[:, *pairs], "white": jnp.full_like(found["xdf"], (x.shape[-1] - 3) ** -0.5), **found}


errors = {name: np.asarray(one) for name, one in with_errors(series).items()}
z, planted, related = errors["z"], np.arctanh(truth[pairs]), truth[pairs] > 0.3
covered = {name: np.abs(z - planted) < 1.96 * errors[name] for name in ("white", "bartlett", "xdf")}
for name, one in covered.items():
    print(f"{name:9s} covers {one[:, related].mean():.3f} within groups, {one[:, ~related].mean():.3f} between")

# %%
# Bars are 1.96 standard errors over scans. On the right, the dotted line is what is promised.

figure = Figure(figsize=(11, 3.6), layout="constrained")
left, middle, right = figure.subplots(1, 3)
for (name, values), colour in zip(error.items(), (GREY, BLUE, VERMILION), strict=True):
    mean, spread = values.mean(1), values.std(1, ddof=1) / np.sqrt(N_SCANS)
    left.errorbar(lengths, mean, 1.96 * spread, label=name, color=colour, marker="o", markersize=3)
left.set(
    xscale="log", xlabel="frames that count", ylabel="root mean square error of r", title="Shrinkage", ylim=(0, None)
)
left.legend(frameon=False)
left.minorticks_off()
left.set_xticks(lengths, lengths)
for label, matrix, colour in (("with motion", with_motion, VERMILION), ("masked", masked, BLUE)):
    middle.hist(matrix[:, *pairs].ravel(), bins=60, range=(-0.4, 1), density=True, alpha=0.6, label=label, color=colour)
for value in (0.1, 0.5):
    middle.axvline(value, color="black", linewidth=1, linestyle=":")
middle.set(xlabel="correlation (dotted: planted)", ylabel="density over pairs and scans", title="Masks", ylim=(0, 4))
middle.legend(frameon=False)
for place, one in enumerate(covered.values()):
    for share, colour, shift in ((one[:, ~related], GREY, -0.1), (one[:, related], GREEN, 0.1)):
        spread = 1.96 * share.mean(1).std(ddof=1) / np.sqrt(N_SCANS)
        right.errorbar(place + shift, share.mean(), spread, color=colour, marker="o")
right.axhline(0.95, color="black", linewidth=1, linestyle=":")
right.plot([], [], "o", color=GREY, label="planted r = 0.1")
right.plot([], [], "o", color=GREEN, label="planted r = 0.5")
right.set(
    xticks=range(3),
    xticklabels=["white", "Bartlett", "xDF"],
    ylabel="coverage of 95 % intervals",
    title="Standard errors",
    ylim=(0.6, 1),
)
right.legend(frameon=False)
figures = {"Error of estimated correlations, effect of a motion mask, coverage of intervals": figure}
