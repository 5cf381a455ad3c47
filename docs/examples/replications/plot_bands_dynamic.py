"""
The band whose connectivity switches
====================================

One filter is learned, to leave what is least stationary: series of the largest multivariate kurtosis.
"""

# %%
# **The experiment** is the discovery of a dynamic band of differentiable programming for functional connectomics [1]_.
# Frames that switch between covariances have heavier tails than normal ones of one covariance, which Mardia's
# multivariate kurtosis [2]_ measures; the loss has a negative strength. The authors report a long run.
#
# **Planted.** Twelve runs of six regions, 600 frames of 1 s. In one of five equal bands, another one in every seed, two
# states of mean dwell 60 frames have different covariances; in the other four bands the covariance is, at all times,
# the mean of the two. Connectivity averaged over time is the same in all bands.
#
# **Criterion.** The planted band has the largest mean gain of the five, and its intersection over union with the
# frequencies that pass (gain above half the largest) is above 0.6. The score is the latter.
#
# **Baseline.** The same kurtosis of the runs within every ideal band whose edges are multiples of 0.02 Hz and that is
# at least 0.04 Hz wide (300 of them); the best one is taken. It needs to know that one band is sought.
#
# **Choices** were made on seeds 100 to 102; seeds 0 to 9 are judged.
#
# .. [1] Ciric, Thomas, Esteban & Poldrack (2022), Differentiable programming for functional connectomics.
#    doi:10.48550/arXiv.2206.00649
# .. [2] Mardia (1970), Measures of multivariate skewness and kurtosis with applications. doi:10.1093/biomet/57.3.519

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from conn.data.simulators import simulate_states
from conn.functional import FilterBank, MappedLogits, product_filter
from conn.loss import MultivariateKurtosisLoss, SmoothnessLoss, meansq_scalarise, multivariate_kurtosis

CRITERION = "planted band has the largest mean gain; intersection over union > 0.6"
N_BANDS, REPETITION_TIME = 5, 1.0


class Data(NamedTuple):
    """What is seen, and what is planted."""

    series: np.ndarray
    bands: np.ndarray
    dynamic: int


def simulate(seed: int, *, n_runs: int = 12, n_regions: int = 6, n_frames: int = 600) -> Data:
    """Return runs, which frequencies each band has, (band, frequency), and which band switches."""
    rng = np.random.default_rng(seed)
    frequencies = np.fft.rfftfreq(n_frames, REPETITION_TIME)
    place = np.minimum((frequencies * 2 * N_BANDS).astype(int), N_BANDS - 1)
    bands = place == np.arange(N_BANDS)[:, None]
    dynamic = int(rng.integers(N_BANDS))
    factors = rng.normal(size=(2, n_regions, 2))
    covariances = factors @ factors.swapaxes(1, 2) + 0.3 * np.eye(n_regions)
    switching = simulate_states(covariances, n_frames, mean_dwell=60.0, n_runs=n_runs, rng=rng).time_series
    white = rng.normal(size=(n_runs, n_regions, n_frames))
    stationary = np.linalg.cholesky(covariances.mean(0)) @ white
    gain = bands[dynamic].astype(float)
    series = np.asarray(product_filter(switching, gain)) + np.asarray(product_filter(stationary, 1 - gain))
    return Data(series.astype(np.float32), bands, dynamic)


# %%
# **The fit.** One gain a frequency, between 0 and 1, with a price on squared differences between neighbours. Kurtosis
# does not see the scale of the gains, so that the price would draw them all to 0 in the end: 300 epochs are enough.


@jax.jit
def fit(series: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the gains and the mean kurtosis of the runs, 1 for normal frames, by epoch."""
    heavy = MultivariateKurtosisLoss(-1.0, ridge=1e-4, dimensional_scaling=True)
    smooth = SmoothnessLoss(30.0, scalarisation=meansq_scalarise())
    optimiser = optax.adam(0.05)
    gain = MappedLogits(jnp.full((1, series.shape[-1] // 2 + 1), 0.5))
    free, held = eqx.partition(FilterBank(gain), eqx.is_inexact_array)

    def loss(free: FilterBank) -> tuple[jax.Array, jax.Array]:
        bank = eqx.combine(free, held)
        tails = heavy(bank(series)[:, 0])
        return tails + smooth(jnp.asarray(bank.gain)), -tails

    def step(carried: tuple, _: None) -> tuple[tuple, jax.Array]:
        free, state = carried
        gradient, kurtosis = jax.grad(loss, has_aux=True)(free)
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(free, updates), state), kurtosis

    (free, _), history = jax.lax.scan(step, (free, optimiser.init(free)), length=300)
    return jnp.asarray(eqx.combine(free, held).gain)[0], history


def baseline(data: Data) -> np.ndarray:
    """Return the frequencies of the ideal band of the largest kurtosis."""
    step = np.fft.rfftfreq(data.series.shape[-1], REPETITION_TIME) * 50
    bands = np.stack([(step >= low) & (step <= high) for low in range(26) for high in range(low + 2, 26)])

    @jax.jit
    def kurtosis(gain: jax.Array) -> jax.Array:
        filtered = product_filter(jnp.asarray(data.series), gain)
        return multivariate_kurtosis(filtered, ridge=1e-4, dimensional_scaling=True).mean()

    found = jax.lax.map(kurtosis, jnp.asarray(bands, jnp.float32))
    return bands[int(found.argmax())]


def score(passing: np.ndarray, data: Data) -> float:
    """Return the intersection over union with the planted band."""
    planted = data.bands[data.dynamic]
    return float((passing & planted).sum() / (passing | planted).sum())


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return what comes of one seed; the short form has a third of the frames and twice the runs."""
    data = simulate(seed, n_frames=240, n_runs=24) if short else simulate(seed)
    gain, history = (np.asarray(part) for part in fit(jnp.asarray(data.series)))
    ours = score(gain > gain.max() / 2, data)
    strongest = int((data.bands @ gain / data.bands.sum(1)).argmax())
    return {
        "score": ours,
        "baseline": score(baseline(data), data),
        "passed": strongest == data.dynamic and ours > 0.6,
        "data": data,
        "gain": gain,
        "history": history,
    }


# %%
# **One seed.** The learned gain on the planted band, and the kurtosis of what the filter leaves as it learns.

if __name__ == "__main__":
    found = experiment(0)
    print(f"intersection over union {found['score']:.3f} (baseline {found['baseline']:.3f})")
    assert found["passed"]

    data, gain = found["data"], found["gain"]
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
    frequencies = np.fft.rfftfreq(data.series.shape[-1], REPETITION_TIME)
    low, high = frequencies[data.bands[data.dynamic]][[0, -1]]
    left.axvspan(low, high, color="0.88", label="planted band")
    left.axhline(0.5, color="#7f7f7f", linewidth=1, linestyle=":", label="start")
    passing = frequencies[baseline(data)]
    left.plot(passing[[0, -1]], [1.04, 1.04], color="#D55E00", linewidth=3, label="baseline's band")
    left.plot(frequencies, gain, color="#0072B2", label="learned gain")
    left.set(xlabel="frequency (Hz)", ylabel="gain", ylim=(-0.03, 1.1), title="Filter")
    left.legend(frameon=False, fontsize=8)
    right.plot(found["history"], color="#0072B2")
    right.axhline(1.0, color="#7f7f7f", linewidth=1, linestyle=":", label="normal frames")
    right.set(xlabel="epoch", ylabel="multivariate kurtosis / n (n + 2)", title="What the filter leaves")
    right.legend(frameon=False)
    figures = {"The band whose covariance switches": figure}
