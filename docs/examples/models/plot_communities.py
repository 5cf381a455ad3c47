"""
Communities that come and go: planted ones, found again
=======================================================

Ten simulated scans hold eight communities whose signals are switched on and off. The model is told how many there are,
and nothing else. Which regions belong together, and when was each community on?
"""

# %%
# One hundred regions within the band of resting scans (0.008-0.1 Hz, a frame every 2.2 s). While a community is on, its
# signal has an eighth of the power of each region's noise; a fifth of the regions belongs to two communities.

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import linear_sum_assignment

from conn.data.simulators import simulate_communities
from conn.models import DynamicCommunityModel

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"
made = simulate_communities(n_regions=100, n_communities=8, n_scans=10, snr=0.125, mean_dwell=60, rng=1)
model = DynamicCommunityModel(8, progress=False).fit(made.time_series)

# %%
# Numbers of communities mean nothing: learned ones are put into the order of the planted ones that they share most
# regions with.

shared = made.affiliation.T @ model.affiliation_
order = linear_sum_assignment(shared, maximize=True)[1]
affiliation, activity = model.affiliation_[:, order], model.dynamics_[:, order]
right = (affiliation.argmax(1) == made.communities).mean()
r = np.corrcoef(activity.ravel(), made.activity.ravel())[0, 1]
print(f"regions in their first community: {right:.0%}; r of learned with planted activity: {r:.2f}")
print(f"mean dwell: learned {model.mean_dwell_:.0f} frames, planted 60")

# %%
# The simpler way to activity is the squared mean signal of each community's regions, smoothed over frames. It needs a
# width; here is the best of several *for these scans*, which nobody would know.

member = np.eye(8)[affiliation.argmax(1)]
energy = np.einsum("rk,srt->skt", member / member.sum(0), made.time_series) ** 2
smooth = {width: gaussian_filter1d(energy, width, axis=-1) for width in (5, 10, 20, 40)}
width = max(smooth, key=lambda one: np.corrcoef(smooth[one].ravel(), made.activity.ravel())[0, 1])


def detection(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return false alarms and hits at every threshold."""
    truth = made.activity.ravel()[np.argsort(-score.ravel())]
    return np.cumsum(~truth) / (~truth).sum(), np.cumsum(truth) / truth.sum()


# %%
# Left: probabilities of membership. Regions are ordered by their planted community, and triangles mark those that
# belong to two. Right: how many frames that are on are found, at every rate of false alarms.

figure = Figure(figsize=(10, 4.2), layout="constrained")
left, middle, right_axis = figure.subplots(1, 3, width_ratios=(1, 1, 1.4))
for axes, matrix, title in ((left, made.affiliation, "planted shares"), (middle, affiliation, "learned probabilities")):
    image = axes.imshow(matrix, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="community", title=title, xticks=range(8), xticklabels=range(1, 9))
left.set_ylabel("region")
both = np.flatnonzero((made.affiliation > 0).sum(1) > 1)
middle.plot(np.full(len(both), 7.7), both, "<", color=VERMILION, markersize=3, clip_on=False)
middle.set_yticklabels([])
figure.colorbar(image, ax=middle, shrink=0.8)
for score, label, colour in (
    (activity, "decoded", BLUE),
    (smooth[width], f"energy, smoothed ({width} frames)", VERMILION),
):
    false, hits = detection(score)
    area = np.sum((hits[1:] + hits[:-1]) / 2 * np.diff(false))
    right_axis.plot(false, hits, color=colour, label=f"{label}: area {area:.2f}")
right_axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
right_axis.set(xlabel="frames off, called on", ylabel="frames on, called on", title="activity", aspect="equal")
right_axis.legend(frameon=False, loc="lower right", fontsize=9)

# %%
# Four communities of the first scan. Grey: planted on. Blue: the decoded probability. It follows slow changes, and
# misses visits of a few frames: within the band a visit of ten frames holds about four independent values.

courses = Figure(figsize=(10, 5), layout="constrained")
minutes = np.arange(made.time_series.shape[-1]) * made.repetition_time / 60
for number, axes in enumerate(courses.subplots(4, 1, sharex=True, sharey=True)):
    axes.fill_between(minutes, 0, made.activity[0, number], step="mid", color="0.85", linewidth=0)
    axes.plot(minutes, activity[0, number], color=BLUE)
    axes.set(ylabel=f"P(on), {number + 1}", ylim=(0, 1), xlim=(0, minutes[-1]))
axes.set_xlabel("minutes")
figures = {
    "Planted and learned membership of 100 regions; hits against false alarms of decoded activity": figure,
    "Planted and decoded activity of four communities over fifteen minutes": courses,
}
