"""
Directed connectivity: who leads, from activity and from blood oxygenation
==========================================================================

Networks are planted whose directed connections are known. What does each method find of them, and what do sampling,
filters and vessels leave of it?
"""

# %%
# Ten regions; each ordered pair is connected with a chance of 15 %, excitatory or inhibitory. Activity decays within
# some two seconds; it is driven by noise, and in each region by blocks of stimuli of its own. Sixteen networks, ten
# minutes each. A second time everything but the stimuli is ten times faster, nearer to what neurons do.

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.signal import butter, sosfiltfilt

from conn.functional import (
    balloon_response,
    choose_order,
    directed_transfer_function,
    fit_autoregression,
    granger_causality,
    granger_test,
    lagged_corr,
    partial_directed_coherence,
    regression_dcm,
    spectral_granger,
    transfer_entropy,
)

N_SCANS, N_REGIONS, STEP, TR, SECONDS = 16, 10, 0.1, 1.0, 600
rng = np.random.default_rng(0)
own = np.eye(N_REGIONS, dtype=bool)


def planted() -> np.ndarray:
    """Return a stable network in hertz, [target, source], in which no pair is connected both ways."""
    strength = rng.choice([-1, 1], size=own.shape) * rng.uniform(0.2, 0.5, size=own.shape)
    network = np.where(rng.random(own.shape) < 0.15, strength, 0.0)
    network[(network != 0) & (network.T != 0) & np.tri(N_REGIONS, dtype=bool)] = 0.0
    np.fill_diagonal(network, -0.6)
    return network if np.linalg.eigvals(network).real.max() < -0.1 else planted()


networks = np.stack([planted() for _ in range(N_SCANS)])
n_steps = round(SECONDS / STEP)
blocks = (rng.random((N_SCANS, N_REGIONS, SECONDS // 5)) < 0.3).astype(np.float32)
stimuli = blocks.repeat(round(5 / STEP), axis=-1)


def active(speed: int) -> np.ndarray:
    """Return the activity, its mean in each time step."""
    fine = STEP / 5
    onward = np.eye(N_REGIONS) + fine * speed * networks
    state, means = np.zeros((N_SCANS, N_REGIONS, 1)), np.zeros((N_SCANS, N_REGIONS, n_steps))
    for step in range(n_steps):
        for noise in 0.5 * np.sqrt(fine * speed) * rng.normal(size=(5, *state.shape)):
            means[..., step] += state[..., 0] / 5
            state = onward @ state + 0.5 * fine * speed * stimuli[..., step, None] + noise
    return means


slow, fast = active(1), active(10)

# %%
# Vessels answer with the balloon model's response: the same everywhere, or with a delay of each region's own (standard
# deviation 0.5 s). To what is measured, noise of a twentieth of its spread is added.


def through_vessels(activity: np.ndarray, spread: float) -> np.ndarray:
    """Return the BOLD signal in per cent; delays are counted from three standard deviations on."""
    delays = spread * np.clip(rng.normal(size=activity.shape[:2]) + 3, 0, None)
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(2 * n_steps, STEP) * delays[..., None])
    response = np.fft.rfft(np.asarray(balloon_response(n_steps, time_step=STEP)), 2 * n_steps)
    return np.fft.irfft(np.fft.rfft(activity, 2 * n_steps) * response * turns)[..., :n_steps]


def measured(signal: np.ndarray) -> np.ndarray:
    """Return a frame a second, with noise."""
    frames = signal[..., :: round(TR / STEP)]
    return frames + 0.05 * frames.std() * rng.normal(size=frames.shape)


conditions = {
    "activity": measured(slow),
    "activity,\nband-passed": sosfiltfilt(butter(2, (0.01, 0.1), "bandpass", fs=1 / TR, output="sos"), measured(slow)),
    "BOLD": measured(through_vessels(slow, 0.0)),
    "BOLD,\ndelays differ": measured(through_vessels(slow, 0.5)),
    "BOLD of\nfast activity": measured(through_vessels(fast, 0.0)),
}
scans = np.stack(list(conditions.values())).astype(np.float32)  # (condition, scan, region, frame)

# %%
# **What each method finds**, as a strength for each ordered pair. Transfer entropy is half of Granger causality here,
# and so it ranks pairs alike. Regression DCM without inputs regresses on the frame before, as an autoregression of
# order one does; told the stimuli, it knows more than the others do.

ORDER = 2
frequencies = np.linspace(0, 0.5 / TR, 20)
orders = jax.jit(choose_order, static_argnums=1)(scans[:, 0], 4).order
print("orders by Schwarz's criterion:", dict(zip(conditions, orders.tolist(), strict=True)))


@jax.jit
def strengths(series: jax.Array) -> list[jax.Array]:
    model = fit_autoregression(series, ORDER)
    coherence = partial_directed_coherence(model, frequencies, repetition_time=TR, generalised=True)
    told = regression_dcm(series, repetition_time=TR, inputs=stimuli, input_connections=own)
    return [
        jnp.abs(lagged_corr(series, [1])[..., 0, :, :]),
        granger_causality(series, ORDER, conditional=False),
        granger_causality(series, ORDER),
        coherence.mean(-3),
        directed_transfer_function(model, frequencies, repetition_time=TR).mean(-3),
        jnp.abs(regression_dcm(series, repetition_time=TR).connectivity),
        jnp.abs(told.connectivity),
    ]


METHODS = (
    "lagged correlation",
    "Granger, pairwise",
    "Granger, conditional",
    "partial directed coherence",
    "directed transfer function",
    "regression DCM, at rest",
    "regression DCM, stimuli known",
)
found = np.stack([np.asarray(one) for one in strengths(scans)])  # (method, condition, scan, target, source)

# %%
# **How good is that?** Two questions. *Connected or not*: the area under the ROC curve over all ordered pairs, that is
# how often a connection is stronger than a pair without one. *Direction*: of connected pairs, how often the planted
# direction is the stronger one. One half is chance in both.


def detection(strength: np.ndarray, network: np.ndarray) -> float:
    there, absent = strength[(network != 0) & ~own], strength[(network == 0) & ~own]
    return float((there[:, None] > absent).mean() + (there[:, None] == absent).mean() / 2)


def direction(strength: np.ndarray, network: np.ndarray) -> float:
    return float((strength > strength.T)[(network != 0) & ~own].mean())


scores = {
    score.__name__: np.array(
        [[[score(*pair) for pair in zip(one, networks, strict=True)] for one in method] for method in found]
    )
    for score in (detection, direction)
}  # each (method, condition, scan)
for name, values in scores.items():
    print(name)
    for method, row in zip(METHODS, values.mean(-1), strict=True):
        print(f"  {method:31s}" + "".join(f"{value:6.2f}" for value in row))

# %%
# **Chance and frequency.** Without a ridge the causality of a pair has a p-value. By frequency it is a curve, whose
# mean over all frequencies is the causality in time, twice the transfer entropy.


@jax.jit
def of_one(network: jax.Array, pairs: jax.Array) -> tuple[jax.Array, ...]:
    curves = spectral_granger(pairs, 4, frequencies, repetition_time=TR)
    return granger_test(network, ORDER).f_p_value, curves, transfer_entropy(pairs, ORDER)


there = (networks[0] != 0) & ~own
target, source = np.unravel_index(np.where(there, networks[0], 0).argmax(), own.shape)  # the strongest excitation
p_values, curves, entropy = map(np.asarray, of_one(scans[0, 0], scans[[0, 2], 0][:, [target, source]]))
significant = p_values < 0.05 / (N_REGIONS * (N_REGIONS - 1))
print(f"significant: {(significant & there).sum()} of {there.sum()} connections, {(significant & ~there).sum()} others")
print(f"transfer entropy there and back: {entropy[0, 0, 1]:.3f} and {entropy[0, 1, 0]:.3f} nats a frame")

# %%
# Above, one network and what is found of it in BOLD, in units of the strongest pair; circles are the planted
# connections. Below, means over networks with 1.96 standard errors; chance is dotted.

COLOURS = ("#7f7f7f", "#56B4E9", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#D55E00")
MARKERS = "osD^vP*"
figure = Figure(figsize=(12, 7.5), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=(0.85, 1.15))
panels = above.subplots(2, 4)
for panel, title, matrix in zip(panels.flat, ("planted", *METHODS), (networks[0], *found[:, 2, 0]), strict=True):
    shown = np.where(own, np.nan, np.abs(matrix))
    panel.imshow(shown / np.nanmax(shown), cmap="Blues", vmin=0, vmax=1)
    panel.scatter(*np.nonzero(there)[::-1], s=30, facecolors="none", edgecolors="#D55E00", linewidths=1)
    panel.set(title=title, xticks=[], yticks=[])
    panel.title.set_fontsize(9)
panels[0, 0].set(xlabel="source", ylabel="target")
first, second, third = below.subplots(1, 3, width_ratios=(1.25, 1.25, 1))
places = np.arange(len(conditions))
for panel, values in zip((first, second), scores.values(), strict=True):
    for method, (label, colour, marker) in enumerate(zip(METHODS, COLOURS, MARKERS, strict=True)):
        spread = 1.96 * values[method].std(-1, ddof=1) / np.sqrt(N_SCANS)
        at = places + 0.1 * (method - 3)
        panel.errorbar(at, values[method].mean(-1), spread, fmt=marker, color=colour, label=label, markersize=5)
    panel.axhline(0.5, color="black", linewidth=1, linestyle=":")
    panel.set(xticks=places, xticklabels=list(conditions), ylim=(0.4, 1.03))
    panel.tick_params(axis="x", labelsize=8)
first.set(ylabel="area under the ROC curve", title="Connected or not")
second.set(ylabel="share of connections", title="Planted direction is the stronger one")
below.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False, fontsize=8)
for curve, label, style in zip(curves, ("activity", "BOLD"), ("-", "--"), strict=True):
    third.plot(frequencies, curve[:, 0, 1], style, color="#0072B2", label=f"{label}, as planted")
    third.plot(frequencies, curve[:, 1, 0], style, color="#7f7f7f", label=f"{label}, backwards")
third.set(xlabel="frequency / Hz", ylabel="Granger causality / nats", title="One pair, by frequency", xlim=(0, 0.5))
third.legend(frameon=False, fontsize=8)
figures = {"What each method finds of planted networks, from activity and from BOLD": figure}
