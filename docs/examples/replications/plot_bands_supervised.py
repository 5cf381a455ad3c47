"""
Three bands that are known by their connectivity
================================================

Filters are learned from the covariance that each is to leave, and find the bands that carry it.
"""

# %%
# **The experiment** is the supervised identification of bands of differentiable programming for functional
# connectomics [1]_: a bank of filters with a gain at every frequency is trained until the filtered series have given
# covariances, with prices on gains that jump, that lie between 0 and 1, or that are large.
#
# **Planted.** Ten runs of eight regions, 300 frames of 1 s. Each of three bands, whose edges are drawn anew in every
# seed, has a covariance of its own; between the bands there is as much power a frequency, with yet another covariance.
# The targets are the three covariances in expectation, not those of these runs.
#
# **Criterion.** Intersection over union of the frequencies that pass (gain above one half) with the planted band,
# averaged over the three, is above 0.8.
#
# **Baseline.** The cross-spectrum of all runs, smoothed over neighbouring frequencies; a frequency goes to the target
# that it correlates with most, and to none below a threshold. Width (1 to 15 frequencies) and threshold (0 to 0.9) are
# those with the least error of the covariances that such filters leave in the same runs, which is what ours minimise.
#
# **Choices** were made on seeds 100 to 102; seeds 0 to 9 are judged.
#
# .. [1] Ciric, Thomas, Esteban & Poldrack (2022), Differentiable programming for functional connectomics.
#    doi:10.48550/arXiv.2206.00649

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter1d

from conn.functional import FilterBank, MappedLogits, cov, ideal_response, product_filter
from conn.loss import BimodalSymmetricLoss, MSELoss, NormedLoss, SmoothnessLoss

CRITERION = "intersection over union of bands > 0.8"
N_BANDS, REPETITION_TIME, THRESHOLDS = 3, 1.0, np.linspace(0, 0.9, 10)


class Data(NamedTuple):
    """What is seen, and what is planted."""

    series: np.ndarray
    targets: np.ndarray
    bands: np.ndarray


def simulate(seed: int, *, n_runs: int = 10, n_regions: int = 8, n_frames: int = 300) -> Data:
    """Return runs, the covariance of each band, and which frequencies each band has, (band, frequency)."""
    rng = np.random.default_rng(seed)
    edges = np.array([0.03, 0.10, 0.17, 0.26, 0.33, 0.45]) + rng.uniform(-0.02, 0.02, 6)
    ideal = [
        ideal_response(n_frames, band=tuple(band), repetition_time=REPETITION_TIME) for band in edges.reshape(3, 2)
    ]
    bands = np.asarray(ideal)
    gains = np.concatenate([bands, 1 - bands.sum(0, keepdims=True)])
    factors = rng.normal(size=(4, n_regions, 3))
    covariances = factors @ factors.swapaxes(1, 2) / 3 + 0.3 * np.eye(n_regions)
    white = rng.normal(size=(4, n_runs, n_regions, n_frames))
    mixed = np.linalg.cholesky(covariances)[:, None] @ white
    series = sum(np.asarray(product_filter(one, gain)) for one, gain in zip(mixed, gains, strict=True))
    # Of white noise, what a filter leaves of the variance is the share of the frequencies that pass.
    share = np.mean(np.concatenate([gains[:3], gains[:3, -2:0:-1]], axis=1), axis=1)
    return Data(series.astype(np.float32), covariances[:3] * share[:, None, None], bands > 0)


# %%
# **The fit.** Gains lie between 0 and 1 by their parametrisation, and all begin at one half.


@jax.jit
def fit(series: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the gains, (band, frequency), and the error of the covariances by epoch."""
    n_epochs = 400
    error, size = MSELoss(100.0), NormedLoss(0.01)
    decided = BimodalSymmetricLoss(optax.linear_schedule(0.0, 0.3, n_epochs))
    smooth = SmoothnessLoss(0.02)
    optimiser = optax.adam(0.05)
    start = FilterBank(MappedLogits(jnp.full((N_BANDS, series.shape[-1] // 2 + 1), 0.5)))
    free, held = eqx.partition(start, eqx.is_inexact_array)

    def loss(free: FilterBank, epoch: jax.Array) -> tuple[jax.Array, jax.Array]:
        bank = eqx.combine(free, held)
        gain = jnp.asarray(bank.gain)
        misfit = error(cov(bank(series)).mean(0), targets)
        return misfit + smooth(gain) + size(gain) + decided(gain, step=epoch), misfit / error.nu

    def step(carried: tuple, epoch: jax.Array) -> tuple[tuple, jax.Array]:
        free, state = carried
        gradient, misfit = jax.grad(loss, has_aux=True)(free, epoch)
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(free, updates), state), misfit

    (free, _), history = jax.lax.scan(step, (free, optimiser.init(free)), jnp.arange(n_epochs))
    return jnp.asarray(eqx.combine(free, held).gain), history


def baseline(data: Data) -> np.ndarray:
    """Return the frequencies of each band, (band, frequency), by the target that each frequency resembles most."""
    n_frames = data.series.shape[-1]
    spectra = np.fft.rfft(data.series)
    cross = np.einsum("rif,rjf->fij", spectra, spectra.conj()).real / len(spectra)
    twice = np.full(len(cross), 2.0)
    twice[0], twice[-1] = 1.0, 2.0 - (n_frames % 2 == 0)
    left = cross * twice[:, None, None] / n_frames**2
    rows, columns = np.triu_indices(data.series.shape[1])
    wanted = data.targets[:, rows, columns]
    found, least = np.zeros(0), np.inf
    for width in range(1, 16, 2):
        local = uniform_filter1d(cross, width, axis=0)[:, rows, columns]
        alike = np.corrcoef(wanted, local)[:N_BANDS, N_BANDS:]
        for threshold in THRESHOLDS:
            passing = (alike == alike.max(0)) & (alike > threshold)
            error = np.square(np.einsum("bf,fij->bij", passing, left) - data.targets).mean()
            if error < least:
                found, least = passing, error
    return found


def score(passing: np.ndarray, data: Data) -> float:
    """Return the mean intersection over union with the planted bands."""
    return float(((passing & data.bands).sum(1) / (passing | data.bands).sum(1)).mean())


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return what comes of one seed; the short form has half the frames."""
    data = simulate(seed, n_frames=150, n_runs=20) if short else simulate(seed)
    gain, history = fit(jnp.asarray(data.series), jnp.asarray(data.targets, jnp.float32))
    ours = score(np.asarray(gain) > 0.5, data)
    return {
        "score": ours,
        "baseline": score(baseline(data), data),
        "passed": ours > 0.8,
        "data": data,
        "gain": np.asarray(gain),
        "history": np.asarray(history),
    }


# %%
# **One seed.** The learned gains on the planted bands, and the covariances that the filters leave against the targets.

if __name__ == "__main__":
    found = experiment(0)
    print(f"intersection over union {found['score']:.3f} (baseline {found['baseline']:.3f})")
    assert found["passed"]

    data, colours = found["data"], ("#0072B2", "#D55E00", "#009E73")
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.8, 1, 1])
    frequencies = np.fft.rfftfreq(data.series.shape[-1], REPETITION_TIME)
    leaves = np.asarray(cov(FilterBank(jnp.asarray(found["gain"]))(jnp.asarray(data.series))).mean(0))
    middle.plot([-0.5, 1], [-0.5, 1], color="black", linewidth=0.8, linestyle=":")
    for band, colour in enumerate(colours):
        low, high = frequencies[data.bands[band]][[0, -1]]
        left.axvspan(low, high, color=colour, alpha=0.15, linewidth=0)
        left.plot(frequencies, found["gain"][band], color=colour, label=f"filter {band + 1}")
        middle.plot(data.targets[band].ravel(), leaves[band].ravel(), ".", color=colour)
    left.set(xlabel="frequency (Hz); shaded: planted", ylabel="gain", ylim=(-0.03, 1.25), title="Learned filters")
    left.legend(frameon=False, ncols=3, loc="upper center")
    middle.set(xlabel="target", ylabel="what the filter leaves", title="Covariances")
    right.semilogy(found["history"], color="#7f7f7f")
    right.set(xlabel="epoch", ylabel="mean squared error", title="Error of the covariances")
    figures = {"Three filters learned from three covariances": figure}
