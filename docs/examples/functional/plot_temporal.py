"""
Temporal: a run before and after cleaning, and why deletion is wrong for lags
=============================================================================

A run with drift, motion and spikes is cleaned in one call; then a mask and a deletion are compared where neighbours
matter.
"""

# %%
# Ten regions share one slow signal; on it lie drift, six motion parameters and spikes where the head moved.

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from conn.functional import (
    censoring_mask,
    clean,
    corr,
    design_sections,
    framewise_displacement,
    lagged_corr,
    sosfiltfilt,
)

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#7f7f7f"
N_REGIONS, N_FRAMES, REPETITION_TIME, BAND = 10, 300, 2.0, (0.01, 0.1)
rng = np.random.default_rng(0)
passing = design_sections("butterworth", order=5, band=BAND, repetition_time=REPETITION_TIME)
own, shared = (sosfiltfilt(rng.normal(size=(n, N_FRAMES)), passing) for n in (N_REGIONS, 1))
signal = (own + shared) / jnp.std(own)

jerks = rng.choice(np.arange(10, N_FRAMES - 10), 12, replace=False)
motion = rng.normal(scale=0.02, size=(6, N_FRAMES)).cumsum(-1)
motion[:, jerks] += rng.normal(scale=0.6, size=(6, 12))
displacement = framewise_displacement(motion[:3], motion[3:] / 50, rotation_unit="radians")
drift = np.linspace(-3, 3, N_FRAMES) * rng.normal(size=(N_REGIONS, 1))
spikes = 2.5 * np.asarray(displacement) * rng.normal(1, 0.3, size=(N_REGIONS, 1))
series = signal + drift + 0.5 * rng.normal(size=(N_REGIONS, 6)) @ motion + spikes

# %%
# Frames that moved by more than half a millimetre do not count, nor does the one after them. `clean` keeps its order
# (censor, interpolate, filter series and confounds, censor again, regress, standardise) whatever is left out of it.

mask = censoring_mask(displacement, threshold=0.5, after=1)


pairs = np.triu_indices(N_REGIONS, 1)
everything = np.ones(N_FRAMES, bool)


@jax.jit
def analysed(x: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the cleaned run, and its correlations."""
    cleaned = clean(x, motion, mask=valid, band=BAND, repetition_time=REPETITION_TIME)
    return cleaned, corr(cleaned, mask=valid)[pairs]


censored, of_censored = analysed(series, mask)
planted = np.corrcoef(signal)[pairs]
found = {
    "as measured": np.corrcoef(series)[pairs],
    "cleaned, not censored": analysed(series, everything)[1],
    "cleaned and censored": of_censored,
}
print(f"{int((~mask).sum())} of {N_FRAMES} frames are censored")
for name, estimate in found.items():
    error = jnp.sqrt(((estimate - planted) ** 2).mean())
    print(f"{name:22s} error of r {error:.3f} (root mean square), of which bias {(estimate - planted).mean():+.3f}")

# %%
# **Lags.** Series whose frame-to-frame correlation is 0.7 lose a growing share of their frames. `lagged_corr` with a
# mask uses only pairs of frames that were neighbours. Deletion makes neighbours of frames that were none.

memory, shares = 0.7, np.linspace(0, 0.6, 7)
white = rng.normal(size=(200, 600))
for frame in range(1, white.shape[-1]):
    white[:, frame] = memory * white[:, frame - 1] + np.sqrt(1 - memory**2) * white[:, frame]
at_lag_one = jax.jit(lambda x, m: lagged_corr(x[:, None], [1], mask=m)[:, 0, 0, 0])
at_lags = {"mask": [], "deletion": []}
for share in shares:
    kept = rng.random(white.shape[-1]) >= share
    at_lags["mask"].append(at_lag_one(white, kept))
    closed = np.argsort(~kept, stable=True)  # frames that count move together, as a deletion makes them do
    at_lags["deletion"].append(at_lag_one(white[:, closed], kept[closed]))

# %%
# Bars are 1.96 standard errors of the mean over 200 series.

figure = Figure(figsize=(11, 6), layout="constrained")
axes = figure.subplot_mosaic([["run", "run"], ["error", "lags"]])
seconds = REPETITION_TIME * np.arange(N_FRAMES)
region = axes["run"]
region.plot(seconds, series[0], color=GREY, linewidth=0.8, label="as measured")
region.plot(
    seconds, np.where(mask, censored[0], np.nan) - 8, color=BLUE, linewidth=1, label="cleaned (z, lowered by 8)"
)
truth = signal[0] / signal[0].std()
region.plot(seconds, truth - 8, color="black", linewidth=0.6, linestyle=":", label="planted (z, lowered by 8)")
region.vlines(seconds[~mask], -12, 12, color=VERMILION, linewidth=0.8, alpha=0.4, label="censored")
region.set(xlabel="time (s)", ylabel="region 1 (arbitrary unit)", title="One region of the run", ylim=(-13, 26))
region.legend(frameon=False, ncols=4, loc="upper center")
for (name, estimate), colour in zip(found.items(), (GREY, VERMILION, BLUE), strict=True):
    axes["error"].plot(planted, estimate, ".", color=colour, label=name)
axes["error"].plot([0.3, 0.7], [0.3, 0.7], color="black", linewidth=0.8, linestyle=":")
axes["error"].set(xlabel="correlation of the planted signals", ylabel="correlation estimated", title="Correlations")
axes["error"].legend(frameon=False, loc="lower right")
for (name, values), colour in zip(at_lags.items(), (BLUE, VERMILION), strict=True):
    spread = [1.96 * np.std(v, ddof=1) / np.sqrt(len(v)) for v in values]
    axes["lags"].errorbar(100 * shares, np.mean(values, 1), spread, color=colour, marker="o", markersize=3, label=name)
axes["lags"].axhline(memory, color="black", linewidth=0.8, linestyle=":", label="planted")
axes["lags"].set(xlabel="frames censored (%)", ylabel="correlation at lag 1", title="Masks are no deletions")
axes["lags"].set_ylim(0, 0.8)
axes["lags"].legend(frameon=False)
figures = {"A run before and after cleaning, its correlations, and the autocorrelation under a mask": figure}
