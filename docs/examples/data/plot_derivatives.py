"""
From derivatives to connectomes: what cleaning takes away of motion
===================================================================

A folder as fMRIPrep leaves it is generated, with motion artefacts of known coupling. One call makes a labelled
connectome of each run. How much do edges still go with motion, and does that depend on distance?
"""

# %%
# **A folder of derivatives.** Thirty people, one resting run each, 24 regions as parcellated series. Those who move
# more have more artefacts: a signal in all regions, and one that neighbours share.

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from conn.data import confound_columns, read_relmat
from conn.data.simulators import add_motion
from conn.eval import ConnectomeSettings, qc_fc, write_connectomes

N_PEOPLE, N_REGIONS, N_FRAMES, REPETITION_TIME = 30, 24, 200, 2.0
rng = np.random.default_rng(2)
places = rng.uniform(-60, 60, (N_REGIONS, 3))
labels = [f"R{number:02d}" for number in range(1, N_REGIONS + 1)]
mixing = np.eye(N_REGIONS) + rng.normal(size=(N_REGIONS, N_REGIONS)) / (2 * np.sqrt(N_REGIONS))
neural = mixing @ rng.normal(size=(N_PEOPLE, N_REGIONS, N_FRAMES))
jerks = rng.random((N_PEOPLE, N_FRAMES)) < np.linspace(0.01, 0.2, N_PEOPLE)[:, None]
motion = jerks * rng.uniform(0.4, 1.0, jerks.shape) + 0.05 * rng.random(jerks.shape)
motion[:, 0] = 0
series = add_motion(neural, places, motion=motion, repetition_time=REPETITION_TIME, rng=3).time_series

folder = tempfile.TemporaryDirectory()
tree, out = Path(folder.name, "derivatives"), Path(folder.name, "connectomes")
for person in range(N_PEOPLE):
    stem = f"sub-{person + 1:02d}_task-rest"
    func = tree / f"sub-{person + 1:02d}" / "func"
    func.mkdir(parents=True)
    values = pd.DataFrame(1000 + 10 * series[person].T, columns=labels)
    name = f"{stem}_space-fsLR_atlas-Example_stat-mean_timeseries"
    values.to_csv(func / f"{name}.tsv", sep="\t", index=False)
    (func / f"{name}.json").write_text(json.dumps({"RepetitionTime": REPETITION_TIME}))
    table = pd.DataFrame({"global_signal": values.mean(axis=1), "framewise_displacement": motion[person]})
    table.to_csv(func / f"{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False)
(tree / "dataset_description.json").write_text('{"Name": "generated", "BIDSVersion": "1.8.0"}')

# %%
# **Confounds by expression.** The global signal and its difference from frame to frame, each also squared.

expression = "dd1(gsr)^^2"
print(confound_columns(table, expression).round(2).head(3))

# %%
# **Connectomes.** The same as ``conn-eval connectome derivatives --atlas Example --confounds "dd1(gsr)^^2"
# --fd-threshold 0.3 --out connectomes``. A second call would compute nothing.

settings = ConnectomeSettings(atlas="Example", confounds=expression, fd_threshold=0.3)
coordinates = pd.DataFrame(places, columns=list("xyz")).assign(label=labels)
tables = write_connectomes(tree, out, settings, coordinates=coordinates)
print(tables["runs"][["run", "censored_frames", "minutes", "mean_fd", "median_tsnr"]].tail(3).round(2))
print(tables["qc_fc"].round(2))

# %%
# **QC-FC by distance.** Before cleaning the edges of neighbours go with motion most; afterwards what is left is what
# chance leaves with thirty runs.

runs = tables["runs"]
before = [read_relmat(out / path.replace("_relmat", "_desc-uncleaned_relmat")) for path in runs["relmat"]]
after = [read_relmat(out / path) for path in runs["relmat"]]
rows, columns = np.triu_indices(N_REGIONS, k=1)
distance = np.linalg.norm(places[rows] - places[columns], axis=1)
figure = Figure(figsize=(9, 3.6), layout="constrained")
for axes, matrices, title in zip(
    figure.subplots(1, 2, sharex=True, sharey=True), (before, after), ("before", "after"), strict=True
):
    found = qc_fc(np.stack(matrices), runs["mean_fd"], coordinates=places)
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.scatter(distance, found.correlation, s=9, color="#4063a3" if title == "after" else "#b5482f")
    axes.set_title(
        f"{title} cleaning: median |r| {found.median_absolute:.2f}, with distance {found.distance_correlation:.2f}"
    )
    axes.set_xlabel("distance between regions (mm)")
    axes.title.set_fontsize(10)
figure.axes[0].set_ylabel("correlation of edge with motion (r)")
folder.cleanup()
figures = {"Correlation of edges with motion by distance, before and after cleaning": figure}
