"""
A workflow whose choices are learned
====================================

People are simulated whose scans hold artefacts of motion with a known coupling. A workflow chooses filter, confounds
and censoring on half of them, by how far connections follow motion; the other half judges.
"""

# %%
# Sixty people, thirty regions, 150 frames of 2 s. Motion leaves a drop in the frame that moved, a rise that decays by a
# factor e in ten seconds, and an artefact that neighbours share. The first two are linear in the trace of displacement
# and its past; no regression removes the third, and only censoring helps. Six realignment parameters are walks whose
# steps add up to the displacement: they hold its size only through absolute values, which are not among them.

import numpy as np
from matplotlib.figure import Figure

from conn.data.simulators import add_motion, motion_traces, simulate_population
from conn.eval import qc_fc
from conn.loss import qcfc
from conn.models import Runs, Workflow

BLUE, VERMILION, GREEN, GREY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#7f7f7f", "#CC79A7"
N_PEOPLE, N_REGIONS, N_FRAMES = 60, 30, 150
rng = np.random.default_rng(0)
clean = simulate_population(n_subjects=N_PEOPLE, n_sessions=1, n_regions=N_REGIONS, n_frames=N_FRAMES, rng=rng)
motion = motion_traces(N_PEOPLE, N_FRAMES, levels=(0.1, 0.1), rng=rng) * rng.uniform(0.4, 2, (N_PEOPLE, 1))
coordinates = 40 * rng.normal(size=(N_REGIONS, 3))
scans = add_motion(
    clean.time_series[:, 0], coordinates, motion=motion, spike=3.0, delayed=1.5, local=3.0, rng=rng
).time_series
steps = rng.dirichlet(np.ones(6), (N_PEOPLE, N_FRAMES)).swapaxes(1, 2) * motion[:, None]
walks = np.cumsum(rng.choice([-1, 1], steps.shape) * steps, axis=-1)
past = np.stack([np.pad(motion, ((0, 0), (lag, 0)))[:, :N_FRAMES] for lag in range(6)], axis=1)
runs = Runs(
    time_series=scans,
    confounds={"realignment": walks, "trace": past, "global": scans.mean(1, keepdims=True)},
    motion=motion,
    repetition_time=2.0,
)
chosen_on, judged = runs.select(np.arange(N_PEOPLE) < 30), runs.select(np.arange(N_PEOPLE) >= 30)

# %%
# The workflow: each stage has alternatives by name, and a weight of each. The loss is the mean absolute correlation of
# connections with motion, over people. The term of hardening drives each choice towards one alternative.

workflow = Workflow(
    filter={"none": None, "0.01-0.1 Hz": (0.01, 0.1)},
    confounds={"none": [], "realignment": ["realignment"], "trace": ["trace"], "global": ["global"]},
    censoring={"none": None, "0.4 mm": 0.4, "0.25 mm": 0.25},
    n_epochs=60,
    learning_rate=0.2,
    hardening=0.1,
    progress=False,
)
workflow.fit(chosen_on, lambda out: qcfc(out.connectome, out.quality).mean())
for stage, name in workflow.pipeline_.items():
    print(f"{stage:12s} {name} ({workflow.weights_[stage][name]:.2f})")

# %%
# On the people who were kept apart: nothing done, a usual pipeline (band-pass, realignment parameters), the mixture
# that was learned, and the pipeline of its greatest weights.

nothing = workflow.vertex(filter="none", confounds="none", censoring="none")
usual = workflow.vertex(filter="0.01-0.1 Hz", confounds="realignment", censoring="none")
pipelines = {"nothing": nothing, "usual": usual, "mixture": workflow, "hardened": workflow.harden()}
found = {
    name: qc_fc(pipeline.transform(judged), judged.quality, coordinates=coordinates)
    for name, pipeline in pipelines.items()
}
for name, told in found.items():
    print(f"{name:9s} median |QC-FC| {told.median_absolute:.3f}, with distance {told.distance_correlation:+.2f}")
chance = 0.67 / np.sqrt(judged.n_runs - 1)
print(f"without any effect of motion the median is about {chance:.3f}")

# %%
# Weights start equal. The loss falls while choices are mixed, and rises a little as hardening forces them: trace and
# global signal together did better than either. Below, each connection's correlation with motion in the people kept
# apart, and its dependence on distance: means over eight bins of distance, with the standard error over connections
# (which are not independent). What is left among neighbours is the artefact that no regression knows.

figure = Figure(figsize=(11, 7), layout="constrained")
axes = figure.subplots(2, 3)
colours = (GREY, BLUE, GREEN, VERMILION)
for axis, stage in zip(axes[0], ("filter", "confounds", "censoring"), strict=True):
    for path, name, colour in zip(workflow.weights_history_[stage].T, workflow.stages[stage], colours, strict=False):
        axis.plot(path, color=colour, label=name)
    axis.set(title=f"Weights: {stage}", xlabel="epoch", ylim=(0, 1.02))
    axis.legend(frameon=False, loc="center right")
axes[0, 0].set_ylabel("weight")
shown = {"nothing": VERMILION, "usual": PURPLE, "hardened": BLUE}
left, middle, right = axes[1]
left.plot(workflow.history_["Total"] - workflow.history_["Hardening"], color="black")
left.set(title="Loss on the people chosen on", xlabel="epoch", ylabel="mean |QC-FC|", ylim=(0, None))
bins = np.linspace(-1, 1, 31)
for name, colour in shown.items():
    middle.hist(found[name].correlation, bins, density=True, histtype="step", linewidth=1.8, color=colour, label=name)
expected = (1 - bins**2) ** ((judged.n_runs - 4) / 2)
middle.plot(bins, expected / expected.sum() / (bins[1] - bins[0]), ":", color="black", label="by chance")
middle.set(title="People kept apart", xlabel="correlation of a connection with motion", ylabel="density of connections")
middle.set_ylim(0, 1.35 * middle.get_ylim()[1])
middle.legend(frameon=False, ncols=2, loc="upper center")
pairs = np.triu_indices(N_REGIONS, 1)
distance = np.linalg.norm(coordinates[pairs[0]] - coordinates[pairs[1]], axis=1)
edges = np.quantile(distance, np.linspace(0, 1, 9))
place = np.clip(np.searchsorted(edges, distance) - 1, 0, 7)
for name, colour in shown.items():
    values = [found[name].correlation[place == one] for one in range(8)]
    right.errorbar(
        [distance[place == one].mean() for one in range(8)],
        [one.mean() for one in values],
        [one.std(ddof=1) / np.sqrt(one.size) for one in values],
        color=colour,
        marker="o",
        markersize=4,
        label=name,
    )
right.axhline(0, color="black", linewidth=1, linestyle=":")
right.set(title="Dependence on distance", xlabel="distance (mm)", ylabel="mean correlation with motion")
right.legend(frameon=False)
figures = {"Weights over epochs, loss, correlation of connections with motion, and its dependence on distance": figure}
