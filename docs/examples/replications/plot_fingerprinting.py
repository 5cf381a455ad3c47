"""
Fingerprinting by connectomes
=============================

A person is found among others by the connectome of another session: the most alike one is the person's own. How well
that goes depends on how much of what sets connectomes apart stays with the person, and on how long the scans are.

**Reference.** Finn et al. (2015), Functional connectome fingerprinting, doi:10.1038/nn.4135: 92.9 % and 94.4 % of 126
people between two resting sessions. Length: Anderson et al. (2011), doi:10.1093/brain/awr263.

**Planted.** 40 people with two sessions each, 30 regions. In the tangent space an edge is a group's value, a personal
one and a passing one; the personal part has 0, 0.25, 0.5 or 0.75 of the variance that is not the group's. Scans have
600 frames, and 100 frames in a further row.

**Criterion.** At 0.75 at least 0.9 of the people are found, in both directions; at 0 the accuracy is no larger than
chance gives in 999 of 1000 permutations of people; 100 frames find fewer people than 600; and edges find more people
than the baseline.

**Baseline.** The mean edge of every region and the variance of every region, of the same scans, the better of the two.

**Protocol.** All was set up on seeds from 1000 on; the table of replications has seeds 0 to 9. Nothing is trained.
"""

import jax
import numpy as np
from matplotlib.figure import Figure

from conn.data.simulators import simulate_population
from conn.eval import Fingerprint, fingerprint, fingerprint_baselines, identification_null
from conn.functional import corr

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"
N_SUBJECTS, N_SESSIONS, N_REGIONS = 40, 2, 30
SUBJECTS, SESSIONS = np.repeat(np.arange(N_SUBJECTS), N_SESSIONS), np.tile([1, 2], N_SUBJECTS)
CRITERIA = {"share of people found": ">= 0.9"}
CRITERION = "; ".join(f"{measure} {asked}" for measure, asked in CRITERIA.items())

# %%
# What is planted, and how people are found
# -----------------------------------------


def simulate(seed: int, reliability: float, n_frames: int) -> np.ndarray:
    """Return series (scan, region, frame), the sessions of a person one after the other."""
    made = simulate_population(
        n_subjects=N_SUBJECTS,
        n_sessions=N_SESSIONS,
        n_regions=N_REGIONS,
        reliability=reliability,
        spread=0.05,
        n_frames=n_frames,
        rng=np.random.default_rng([seed, n_frames, round(100 * reliability)]),
    )
    return made.time_series.reshape(-1, N_REGIONS, n_frames)


def fit(series: np.ndarray) -> Fingerprint:
    """Return the identification by all edges."""
    connectomes = np.asarray(jax.jit(corr)(series))
    return fingerprint(connectomes, SUBJECTS, SESSIONS, n_bootstraps=100)


def baseline(series: np.ndarray) -> float:
    """Return the accuracy of the better of two simple descriptions."""
    connectomes = np.asarray(jax.jit(corr)(series))
    found = fingerprint_baselines(connectomes, SUBJECTS, SESSIONS, time_series=series, n_bootstraps=100)
    return max(one.accuracy for one in found.values())


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return the accuracy at every reliability, and whether the criterion holds."""
    levels = (0.0, 0.75) if short else (0.0, 0.25, 0.5, 0.75)
    found = {level: fit(simulate(seed, level, 600)) for level in levels}
    brief = {level: fit(simulate(seed, level, 100)) for level in levels}
    chance = identification_null(found[0.0], n_permutations=1000, rng=seed)
    simple = baseline(simulate(seed, 0.75, 600))
    return {
        "fingerprints": found,
        "accuracy": {level: one.accuracy for level, one in found.items()},
        "accuracy_of_100_frames": {level: one.accuracy for level, one in brief.items()},
        "share of people found": found[0.75].accuracy,
        "share of people found, baseline": simple,
        "p_without_persons": chance.p_value,
        "score": found[0.75].accuracy,
        "baseline": simple,
        "passed": found[0.75].pairs["accuracy"].min() >= 0.9
        and chance.p_value > 0.001
        and brief[0.75].accuracy < found[0.75].accuracy
        and simple < found[0.75].accuracy,
    }


# %%
# One seed
# --------
# People found against the share of the variance that is personal, with Wilson's intervals; and how alike scans are.

if __name__ == "__main__":
    outcome = experiment(0)
    print("600 frames:", ", ".join(f"{level:g}: {value:.2f}" for level, value in outcome["accuracy"].items()))
    print("100 frames:", ", ".join(f"{level:g}: {v:.2f}" for level, v in outcome["accuracy_of_100_frames"].items()))
    print(
        f"baseline at 0.75: {outcome['share of people found, baseline']:.2f}; "
        f"p without a personal part: {outcome['p_without_persons']:.3f}"
    )
    assert outcome["passed"], outcome

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    levels = list(outcome["accuracy"])
    bounds = np.array([outcome["fingerprints"][level].accuracy_interval for level in levels])
    left.fill_between(levels, *bounds.T, color=BLUE, alpha=0.15, linewidth=0)
    left.plot(levels, list(outcome["accuracy"].values()), "o-", color=BLUE, label="600 frames, 95 % interval")
    left.plot(levels, list(outcome["accuracy_of_100_frames"].values()), "o--", color=GREEN, label="100 frames")
    left.plot(0.75, outcome["share of people found, baseline"], "s", color=VERMILION, label="regional summaries")
    left.axhline(1 / N_SUBJECTS, color=GREY, linestyle=":", label="chance")
    left.set(xlabel="share of the variance that is personal", ylabel="share of people found", ylim=(-0.03, 1.03))
    left.legend(frameon=False)
    likeness = outcome["fingerprints"][0.75].similarity
    same = (SUBJECTS[:, None] == SUBJECTS) & (SESSIONS[:, None] < SESSIONS)
    other = (SUBJECTS[:, None] != SUBJECTS) & (SESSIONS[:, None] < SESSIONS)
    for mask, colour, name in ((other, GREY, "another person"), (same, BLUE, "the same person")):
        right.hist(likeness[mask], bins=30, density=True, color=colour, alpha=0.6, label=name)
    right.set(xlabel="correlation of connectomes of two sessions", ylabel="density", title="At 0.75, 600 frames")
    right.legend(frameon=False)
    figures = {"People found by their connectomes": figure}
