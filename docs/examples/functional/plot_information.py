"""
Information: redundancy, synergy, and how few frames mislead
============================================================

Regions may say the same thing several times, or together say what none of them says alone. Which is which, and how
many frames does it take to tell?
"""

# %%
# Two systems of four regions with a known covariance. **Copies**: all regions carry one common source. **A sum**: three
# independent regions, and a fourth that is their sum; no two of the three say anything of each other, but given the
# sum they do. The O-information is positive for the first, negative for the second.

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from conn.functional import cov, dual_total_correlation, gaussian_mutual_information, o_information, total_correlation

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#7f7f7f"
MEASURES = {
    "total correlation": total_correlation,
    "dual total correlation": dual_total_correlation,
    "O-information": o_information,
}


def copies(strength: float) -> np.ndarray:
    return np.eye(4) + strength * np.ones((4, 4))


def summed(strength: float) -> np.ndarray:
    mixing = np.vstack([np.eye(3), np.sqrt(strength) * np.ones(3)])
    return mixing @ mixing.T + np.diag([0.0, 0.0, 0.0, 1.0])


strengths = np.linspace(0, 3, 31)
systems = {"copies of one source": copies, "a sum of three": summed}
exact = {
    system: {
        name: np.asarray(jax.jit(measure)(np.stack([build(s) for s in strengths])))
        for name, measure in MEASURES.items()
    }
    for system, build in systems.items()
}
for system, values in exact.items():
    print(f"{system:21s} at strength 3: " + ", ".join(f"{name} {value[-1]:.3f}" for name, value in values.items()))

# %%
# **From frames.** Between six regions and six others that have nothing to do with them, the mutual information is 0.
# The covariance of few frames says otherwise: of :math:`T` frames, about :math:`n m / 2T` nats are chance.

rng = np.random.default_rng(1)
COUNTS = (30, 60, 120, 240, 480, 960)
series = rng.normal(size=(200, 12, max(COUNTS)))


@jax.jit
def by_chance(scans: jax.Array) -> jax.Array:
    masks = jnp.arange(max(COUNTS)) < jnp.asarray(COUNTS)[:, None]
    return jax.vmap(
        lambda mask: gaussian_mutual_information(cov(scans, mask=mask), tuple(range(6)), tuple(range(6, 12)))
    )(masks)


chance = np.asarray(by_chance(series))
for count, values in zip(COUNTS, chance, strict=True):
    print(f"{count:4d} frames: {values.mean():.3f} nats where there are none (36 / 2T = {18 / count:.3f})")

# %%
# Left and middle: the two systems, exactly. Right: mutual information of unrelated regions (200 scans; line: median,
# band: 5 to 95 %), and the rule of thumb.

figure = Figure(figsize=(12, 3.8), layout="constrained")
left, middle, right = figure.subplots(1, 3)
for panel, (system, values) in zip((left, middle), exact.items(), strict=True):
    for (name, line), colour in zip(values.items(), (BLUE, GREY, VERMILION), strict=True):
        panel.plot(strengths, line, color=colour, label=name)
    panel.axhline(0, color="black", linewidth=0.8, linestyle=":")
    panel.set(title=system.capitalize(), xlabel="strength (variance of the common part)", ylabel="nats")
left.legend(frameon=False)
low, median, high = np.quantile(chance, (0.05, 0.5, 0.95), axis=1)
right.fill_between(COUNTS, low, high, color=BLUE, alpha=0.2, linewidth=0)
right.plot(COUNTS, median, marker="o", markersize=3, color=BLUE, label="estimated")
right.plot(COUNTS, 18 / np.asarray(COUNTS), color="black", linestyle="--", linewidth=1, label="36 / 2T")
right.set(
    xscale="log", xlabel="frames T", ylabel="mutual information (nats)", title="Two unrelated sets of six regions"
)
right.set_xticks(COUNTS, labels=[str(count) for count in COUNTS])
right.minorticks_off()
right.set_ylim(0, None)
right.legend(frameon=False)
figures = {"Redundancy, synergy and chance": figure}
