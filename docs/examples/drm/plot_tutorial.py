"""
From events and scans to a fitted, drawn and criticised model
=============================================================

An event table and a BOLD array come in; a network of four areas comes out, with its connections, its time constants and
its haemodynamic responses. The scans are simulated, so that every claim of the model can be held against the truth.
"""

# %%
# **The data.** Three runs of four minutes, a scan every 2 s, in four areas; brief touches and long heat, each with its
# own events. They come as anyone's data do: onsets and durations in seconds, and an array (run, region, frame).

import numpy as np
import torch
from matplotlib.figure import Figure

from drm import (
    DRM,
    BOLDReadout,
    DRMConnection,
    DRMIterator,
    DRMNet,
    LeakyRatePopulation,
    connect,
    currents,
    edges,
    events_to_samples,
    summary,
    time_first,
)
from drm.plots import plot_activity, plot_graph, plot_losses, plot_responses

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#7f7f7f"
TICK, REPETITION_TIME, N_RUNS, DURATION = 500.0, 2.0, 3, 240.0
AREAS = {"S1": (44, -28, 54), "S2": (52, -18, 18), "insula": (38, 4, 4), "cingulate": (4, 16, 34)}
N_TICKS = int(DURATION * 1000 / TICK)
rng = np.random.default_rng(0)


def event_table(run: int) -> dict[str, tuple[np.ndarray, float]]:
    """Return onsets and duration in seconds of each stimulus."""
    touch = np.arange(6.0, 225.0, 11.0) + np.random.default_rng(run).uniform(-4, 4, 20)
    heat = np.arange(15.0, 215.0, 40.0) + np.random.default_rng(run + 10).uniform(-6, 6, 5)
    return {"touch": (touch, 1.0), "heat": (heat, 12.0)}


def samples(name: str) -> np.ndarray:
    """Return a stimulus at each tick (tick, run, 1)."""
    runs = []
    for run in range(N_RUNS):
        onsets, duration = event_table(run)[name]
        milliseconds = 1000 * onsets, np.full(onsets.size, 1000 * duration)
        runs.append(events_to_samples(*milliseconds, np.ones(onsets.size), resolution=TICK, n_ticks=N_TICKS))
    return np.stack(runs, axis=1)


stimulus = {name: samples(name) for name in ("touch", "heat")}
ticks = TICK * np.arange(N_TICKS)

# %%
# **A network.** Touch reaches S1, heat S2. Which areas send to which is the model's assumption; how strongly is
# learned, and so are time constants and the delay of each area's response.

SENDS = np.array([[0, 1, 0, 0], [1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0]], dtype=bool)  # [target, source]


def network(seed: int) -> DRMNet:
    generator = torch.Generator().manual_seed(seed)
    populations = [
        LeakyRatePopulation(
            int(SENDS[place].sum()) + (name in ("S1", "S2")),
            1,
            resolution=TICK,
            time_constant=1000.0,
            name=name,
            position=position,
            generator=generator,
        )
        for place, (name, position) in enumerate(AREAS.items())
    ]
    with torch.no_grad():
        for population in populations:
            population.weight.mul_(0.5)
    touch, heat = DRMConnection(delay=0), DRMConnection(delay=0)
    ws = {"touch": [touch, None, None, None], "heat": [None, heat, None, None]}
    bold = BOLDReadout(4, 4, resolution=TICK, learn=["peak_delay"], weight=torch.eye(4))
    return DRMNet(populations, ws, connect(populations, present=SENDS, delays=1), bold)


# %%
# The brain that is measured is such a network, whose weights we choose, with noise in the scans.

brain = network(0)
PLANTED = {"S1": [1.0, -0.4], "S2": [0.8, 0.5, 0.0], "insula": [0.9, 0.3], "cingulate": [0.8]}
DELAYS = torch.tensor([5.5, 6.0, 6.6, 6.2])
with torch.no_grad():
    for population in brain.populations:
        population.weight.copy_(torch.tensor([PLANTED[population.name]]))
    brain.populations[2].log_time_constant.fill_(float(np.log(3000.0)))
    brain.readout.raw_hrf["peak_delay"].copy_(torch.log(torch.expm1(DELAYS)))
times = dict.fromkeys(stimulus, ticks)
clean, _ = DRM(brain).forward(DRMIterator(TICK, stimulus, times))
every = int(1000 * REPETITION_TIME / TICK)
scans = np.moveaxis(clean[::every].numpy(), 0, -1)  # (run, region, frame), as scans usually come
scans = scans + 0.5 * scans.std(axis=(0, 2), keepdims=True) * rng.normal(size=scans.shape)
print(summary(brain))


# %%
# **Fitting.** Two runs train; the third is for criticism alone.


def data(runs: slice) -> DRMIterator:
    own = {name: values[:, runs] for name, values in stimulus.items()}
    return DRMIterator(TICK, own, times, time_first(scans[runs]), 1000 * REPETITION_TIME * np.arange(scans.shape[-1]))


model = network(1)
losses = DRM(model, learning_rate=0.08).estimate(data(slice(0, 2)), n_epochs=60)
figure = Figure(figsize=(11, 4.4), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=[1.3, 1])
plot_graph(model, ax=left)
left.set_title("The fitted network")
plot_losses(losses, ax=right)
right.set_title("Two runs")
figures = {"The fitted network, with delays; red excites, blue inhibits. The loss over epochs.": figure}

# %%
# **What it says.** The activity behind the scans, each area's response, and who drives whom: the currents into the
# insula, which nobody measured.

test = data(slice(2, 3))
predicted, activity = DRM(model).forward(test)
block = next(iter([iter(test).next_block(N_TICKS)]))
flows = currents(model, block["stimulus"], activity)
figure = Figure(figsize=(11, 6.2), layout="constrained")
axes = figure.subplots(2, 2)
plot_activity(activity, model, resolution=TICK, ax=axes[0, 0])
axes[0, 0].set_title("Activity in the run that was not seen")
plot_responses(model.readout, names=list(AREAS), ax=axes[0, 1])
axes[0, 1].set_title("Learned responses")
seconds = ticks / 1000
for source, colour in (("S2", VERMILION), ("cingulate", BLUE)):
    axes[1, 0].plot(seconds, flows["insula", source][:, 0, 0], color=colour, label=f"from {source}")
axes[1, 0].set(xlabel="time (s)", ylabel="current into the insula", title="Who drives the insula")
axes[1, 0].set_ylim(top=1.5)
axes[1, 0].legend(frameon=False, ncols=2, loc="upper right")
frames = REPETITION_TIME * np.arange(scans.shape[-1])
axes[1, 1].plot(frames, scans[2, 2], ".", color=GREY, markersize=4, label="scans")
axes[1, 1].plot(frames, predicted[::every, 0, 2], color=VERMILION, label="predicted")
axes[1, 1].set(xlabel="time (s)", ylabel="BOLD of the insula", title="The run that was not seen")
axes[1, 1].set_ylim(top=1.05)
axes[1, 1].legend(frameon=False, ncols=2, loc="upper right")
figures["Activity, responses, currents, and the prediction of the third run."] = figure

# %%
# **Criticism.** First, the run that was not seen, against what is simpler: a linear model with canonical responses to
# both stimuli, fitted to the same two runs, and the best that anyone can do, the scans without their noise. Second, the
# truth, and a second model from another start. Where the two differ, as in what the cingulate sends to S2, the data do
# not say. Where they agree, they may be wrong together: of the cingulate's effect on the insula both find the wrong
# sign, since a slow insula (planted: 3 s) and a late haemodynamic response look alike.

canonical = BOLDReadout(2, 2, resolution=TICK, weight=torch.eye(2))
both = torch.as_tensor(np.concatenate(list(stimulus.values()), axis=-1)).float()
regressors = canonical.run(both)[::every].numpy()
design = np.concatenate([regressors, np.ones_like(regressors[..., :1])], axis=-1)  # (frame, run, regressor)
measured = time_first(scans)
coefficients = np.linalg.lstsq(design[:, :2].reshape(-1, 3), measured[:, :2].reshape(-1, 4), rcond=None)[0]


def explained(prediction: np.ndarray) -> np.ndarray:
    """Return the share of variance of each area's third run that is explained."""
    residual = measured[:, 2] - prediction
    return 1 - residual.var(axis=0) / measured[:, 2].var(axis=0)


scores = {
    "linear model": explained(design[:, 2] @ coefficients),
    "network": explained(predicted[::every, 0].numpy()),
    "truth without noise": explained(clean[::every, 2].numpy()),
}
twin = network(2)
DRM(twin, learning_rate=0.08).estimate(data(slice(0, 2)), n_epochs=60)
planted = torch.cat([p.weight[0].detach() for p in brain.populations])
names = [f"{edge.source} → {edge.target}" for edge in edges(brain)]
figure = Figure(figsize=(11, 4.4), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=[1, 1.3])
for place, (name, values) in enumerate(scores.items()):
    colour = (GREY, VERMILION, "black")[place]
    left.bar(np.arange(4) + 0.27 * (place - 1), values, 0.25, color=colour, label=name)
left.set_xticks(np.arange(4), list(AREAS))
left.set(ylabel="explained variance, unseen run", title="Against what is simpler", ylim=(0, 1.15))
left.legend(frameon=False, ncols=3, fontsize=8, loc="upper center")
rows = np.arange(len(names))
right.plot(planted, rows, "|", color="black", markersize=18, markeredgewidth=2, label="planted")
for net, marker, name in ((model, "o", "first start"), (twin, "s", "second start")):
    found = torch.cat([p.weight[0].detach() for p in net.populations])
    right.plot(found, rows, marker, color=VERMILION if marker == "o" else BLUE, fillstyle="none", label=name)
right.axvline(0, color=GREY, linewidth=0.6)
right.set_yticks(rows, names)
right.set(xlabel="weight", title="Against the truth, from two starts")
right.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.14))
figures["Explained variance of the unseen run, and the weights against the truth."] = figure
for name, values in scores.items():
    print(f"{name}: {np.round(values, 2)}")
