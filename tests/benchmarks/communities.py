"""Planted communities and their activity: the community model against an oracle and simpler ways.

The protocol stands in docs/models/communities.md. A row is one size and dwell; every seed's numbers are printed as they
come.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from difficulty import louvain_index
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from conn.data.simulators import CommunitySimulation, simulate_communities
from conn.models import CoactivationPatterns, DynamicCommunityModel, GaussianHMM, LEiDA, choose_resolution
from conn.models._factor_start import factor_start
from conn.models._scans import Scans
from conn.models._switching import gate_posterior

COLUMNS = ("row", "mean", "half_interval", "lowest", "highest", "n_seeds")
RATIOS = {100: 0.08, 400: 0.045}
SEEDS = {100: range(1000, 1020), 400: range(1000, 1006)}
CHOSEN_ON = range(100, 103)
WIDTHS = (4, 7, 10, 14, 20, 28, 40)
"""Frames: standard deviation of a Gaussian, or half of a window."""

N_COMMUNITIES = 8
BAND_SHARE = (0.1 - 0.008) * 2 * 2.2
"""Of the spectrum up to Nyquist's frequency: how many independent frames a frame is worth."""


def mean_correlation(found: np.ndarray, planted: np.ndarray) -> float:
    """Return the mean over scans and communities of the correlation over frames; 0 for what never changes."""
    x = found - found.mean(-1, keepdims=True)
    y = planted - planted.mean(-1, keepdims=True)
    both = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    varies = (y**2).sum(-1) > 0
    r = np.where(both > 1e-12, (x * y).sum(-1) / np.maximum(both, 1e-12), 0.0)
    return float(r[varies].mean())


def in_planted_order(labels: np.ndarray, planted: np.ndarray) -> np.ndarray:
    """Return the learned community that is each planted one's counterpart."""
    shared = np.zeros((N_COMMUNITIES, N_COMMUNITIES))
    np.add.at(shared, (planted, labels), 1)
    return linear_sum_assignment(shared, maximize=True)[1]


_GATE = jax.jit(gate_posterior)


class Oracle:
    """What true parameters give: activity of all communities, and the community of each region given all others."""

    def __init__(self, made: CommunitySimulation, snr: float, mean_dwell: float) -> None:
        shares = made.affiliation / np.linalg.norm(made.affiliation, axis=1, keepdims=True)
        power = 1 / snr + 0.5  # half of the time on
        self.scale = 1 / np.sqrt(power)
        self.loadings, self.noise = shares * self.scale, np.full(len(shares), 1 / snr / power)
        self.switch = jnp.full(2, 1 / mean_dwell)
        self.made = made
        self.series = made.time_series.astype(float)
        self.precision = (self.loadings / self.noise[:, None]).T @ self.loadings
        self.seen = np.einsum("rk,srt->skt", self.loadings / self.noise[:, None], self.series)

    def activity(self, precision: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the posterior of being on, the signals, and the variance of their estimate."""
        spread = np.linalg.inv(precision)
        signal = np.einsum("kl,slt->skt", spread, seen)
        off = np.diag(spread)[:, None]
        odds = 0.5 * (signal**2 / off - signal**2 / (1 + off) + np.log(off / (1 + off)))
        posterior, _, _ = _GATE(jnp.asarray(BAND_SHARE * odds), self.switch)
        return np.asarray(posterior), signal, off

    def correlation(self) -> float:
        """Return r of the decoded with the planted activity."""
        return mean_correlation(self.activity(self.precision, self.seen)[0], self.made.activity.astype(float))

    def index(self) -> float:
        """Return the adjusted Rand index of regions classified one by one, all others being known."""
        labels = [np.linalg.solve(power, shared).argmax() for power, shared in self.regressions()]
        return float(adjusted_rand_score(self.made.communities, labels))

    def informed_index(self) -> float:
        """Return the same, told also how many regions belong to two communities and with which shares.

        Each region gets the first community of the highest posterior: the likelihood of all loadings that the generator
        may draw, weighted by how often it draws them.
        """
        labels = []
        for (power, shared), noise in zip(self.regressions(), self.noise, strict=True):
            fit = _LOADINGS @ shared - 0.5 * np.einsum("dk,kl,dl->d", _LOADINGS, power, _LOADINGS) * self.scale
            log_posterior = BAND_SHARE * self.scale * fit / noise + np.log(_FREQUENCY)
            weights = np.exp(log_posterior - log_posterior.max())
            labels.append(np.bincount(_FIRST, weights, minlength=N_COMMUNITIES).argmax())
        return float(adjusted_rand_score(self.made.communities, labels))

    def regressions(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Return, for each region, the power of the signals that all others show, and their product with its series."""
        for region, (loading, noise) in enumerate(zip(self.loadings, self.noise, strict=True)):
            series = self.series[:, region]
            precision = self.precision - np.outer(loading, loading) / noise
            posterior, signal, off = self.activity(precision, self.seen - loading[:, None] * series[:, None] / noise)
            expected = posterior * signal / (1 + off)
            power = np.einsum("skt,slt->kl", expected, expected)
            power += np.diag((posterior * off / (1 + off)).sum((0, 2)))
            yield power, np.einsum("skt,st->k", expected, series)


def _possible_loadings(overlap: float = 0.2, n_shares: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the loadings that a region may have, the first community of each, and how often it is drawn."""
    shares = 0.2 + 0.3 * (np.arange(n_shares) + 0.5) / n_shares
    pure = np.eye(N_COMMUNITIES)
    mixed = [
        (1 - share) * pure[first] + share * pure[second]
        for first, second in permutations(range(N_COMMUNITIES), 2)
        for share in shares
    ]
    affiliation = np.concatenate([pure, mixed])
    pure_share, mixed_share = (1 - overlap) / len(pure), overlap / len(mixed)
    frequency = np.where(np.arange(len(affiliation)) < len(pure), pure_share, mixed_share)
    return affiliation / np.linalg.norm(affiliation, axis=1, keepdims=True), affiliation.argmax(1), frequency


_LOADINGS, _FIRST, _FREQUENCY = _possible_loadings()


def community_signals(made: CommunitySimulation, labels: np.ndarray) -> np.ndarray:
    """Return the mean series of each community's regions."""
    member = np.eye(N_COMMUNITIES)[labels]
    return np.einsum("rk,srt->skt", member / np.maximum(member.sum(0), 1), made.time_series)


def smoothed_energy(made: CommunitySimulation, labels: np.ndarray, width: int) -> np.ndarray:
    """Return the squared mean signal of each community, smoothed."""
    return gaussian_filter1d(community_signals(made, labels) ** 2, width, axis=-1)


def windowed_coupling(made: CommunitySimulation, labels: np.ndarray, width: int) -> np.ndarray:
    """Return the mean correlation between a community's regions in a window about each frame."""

    def window(series: np.ndarray) -> np.ndarray:
        return uniform_filter1d(series, 2 * width + 1, axis=-1)

    series = made.time_series.astype(float)
    mean = window(series)
    scale = 1 / np.sqrt(np.maximum(window(series**2) - mean**2, 1e-6))
    found = np.zeros((len(series), N_COMMUNITIES, series.shape[-1]))
    # Correlations over pairs: the squared sum of standardised series, less the diagonal.
    for community in range(N_COMMUNITIES):
        mine = labels == community
        if mine.sum() > 1:
            offsets = range(-width, width + 1)
            padded = np.pad(series[:, mine], [(0, 0), (0, 0), (width, width)], mode="reflect")
            n_frames = series.shape[-1]
            sums = sum(
                ((padded[..., width + offset : width + offset + n_frames] - mean[:, mine]) * scale[:, mine]).sum(1) ** 2
                for offset in offsets
            )
            found[:, community] = (sums / (2 * width + 1) / mine.sum() - 1) / (mine.sum() - 1)
    return found


def fitted(made: CommunitySimulation, objective: str) -> DynamicCommunityModel:
    """Return the model with its default settings."""
    return DynamicCommunityModel(N_COMMUNITIES, objective=objective, progress=False).fit(made.time_series)


def refined(made: CommunitySimulation) -> DynamicCommunityModel:
    """Return refined constant Potts at the resolution that both halves of the scans agree on."""
    chosen = choose_resolution(made.time_series, N_COMMUNITIES, refine=True, progress=False)
    return DynamicCommunityModel(
        N_COMMUNITIES, objective="constant_potts", resolution=chosen.resolution, refine=True, progress=False
    ).fit(made.time_series)


def by_states(made: CommunitySimulation, model: Any) -> float:
    """Return r of states of the whole brain, each community with the state that fits it best, one to one."""
    states = model.fit(made.time_series).states_
    on = (states[:, None] == np.arange(N_COMMUNITIES)[:, None]).astype(float)
    planted = made.activity.astype(float)
    table = np.array(
        [
            [mean_correlation(on[:, [state]], planted[:, [community]]) for state in range(N_COMMUNITIES)]
            for community in range(N_COMMUNITIES)
        ]
    )
    return float(table[linear_sum_assignment(table, maximize=True)].mean())


def one_seed(
    n_regions: int, mean_dwell: float, seed: int, *, widths: dict[str, int], with_refined: bool
) -> dict[str, float]:
    """Return every measure of one simulation; the sixty searches for a resolution take most of the time."""
    snr = RATIOS[n_regions]
    made = simulate_communities(n_regions=n_regions, mean_dwell=mean_dwell, snr=snr, rng=seed)
    planted = made.activity.astype(float)
    oracle = Oracle(made, snr, mean_dwell)
    results = {
        "ARI, Louvain": louvain_index(n_regions, mean_dwell, snr, seed),
        "ARI, oracle": oracle.index(),
        "ARI, oracle told of overlap": oracle.informed_index(),
        "r, oracle": oracle.correlation(),
    }
    scans = Scans(jnp.asarray(made.time_series), jnp.ones((len(planted), planted.shape[-1]), bool))
    start = factor_start(scans.small, N_COMMUNITIES, None)
    results["ARI, positive factors"] = adjusted_rand_score(made.communities, start.argmax(1))
    models = {objective: fitted(made, objective) for objective in ("likelihood", "constant_potts")}
    if with_refined:
        models["refined, chosen resolution"] = refined(made)
    for objective, model in models.items():
        order = in_planted_order(model.labels_, made.communities)
        results[f"ARI, ours: {objective}"] = adjusted_rand_score(made.communities, model.labels_)
        results[f"r, ours: {objective}"] = mean_correlation(model.dynamics_[:, order], planted)
        results[f"r, ours over oracle: {objective}"] = results[f"r, ours: {objective}"] / results["r, oracle"]
    likeliest = models["likelihood"].labels_
    order = in_planted_order(likeliest, made.communities)
    for name, measure in SIMPLER.items():
        results[f"r, {name}"] = mean_correlation(measure(made, likeliest, widths[name])[:, order], planted)
    return {name: float(value) for name, value in results.items()}


def oracles_of_one_seed(n_regions: int, mean_dwell: float, seed: int) -> dict[str, float]:
    """Return what the oracles reach alone."""
    made = simulate_communities(n_regions=n_regions, mean_dwell=mean_dwell, snr=RATIOS[n_regions], rng=seed)
    oracle = Oracle(made, RATIOS[n_regions], mean_dwell)
    return {"ARI, oracle": oracle.index(), "ARI, oracle told of overlap": oracle.informed_index()}


def states_of_one_seed(n_regions: int, mean_dwell: float, seed: int) -> dict[str, float]:
    """Return r of the whole brain's states in one simulation."""
    made = simulate_communities(n_regions=n_regions, mean_dwell=mean_dwell, snr=RATIOS[n_regions], rng=seed)
    models = {
        "co-activation patterns": CoactivationPatterns(N_COMMUNITIES, n_restarts=3),
        "LEiDA": LEiDA(N_COMMUNITIES, n_restarts=3),
        "Gaussian HMM": GaussianHMM(N_COMMUNITIES, n_dimensions=12, covariance="full", n_iterations=30),
    }
    return {f"r, {name}": by_states(made, model) for name, model in models.items()}


SIMPLER: dict[str, Callable[[CommunitySimulation, np.ndarray, int], np.ndarray]] = {
    "smoothed energy": smoothed_energy,
    "sliding windows": windowed_coupling,
}


def chosen_widths(n_regions: int, mean_dwell: float) -> dict[str, int]:
    """Return the width of each simpler way that does best on other seeds, with the planted communities."""
    made = [
        simulate_communities(n_regions=n_regions, mean_dwell=mean_dwell, snr=RATIOS[n_regions], rng=seed)
        for seed in CHOSEN_ON
    ]
    return {
        name: max(
            WIDTHS,
            key=lambda width: np.mean(
                [mean_correlation(measure(one, one.communities, width), one.activity.astype(float)) for one in made]
            ),
        )
        for name, measure in SIMPLER.items()
    }


def setting(repeats: int, *, n_regions: int, mean_dwell: float, with_refined: bool = True) -> list[dict[str, Any]]:
    """Return all measures of one size and dwell; the seeds are fixed, whatever the repeats."""
    widths = chosen_widths(n_regions, mean_dwell)
    print(f"{n_regions} regions, dwell {mean_dwell:g}: widths {widths}", flush=True)
    return _over_seeds(
        n_regions, mean_dwell, partial(one_seed, n_regions, mean_dwell, widths=widths, with_refined=with_refined)
    )


def states(repeats: int, *, n_regions: int, mean_dwell: float) -> list[dict[str, Any]]:
    """Return what states of the whole brain reach in the same simulations."""
    return _over_seeds(n_regions, mean_dwell, partial(states_of_one_seed, n_regions, mean_dwell))


def oracles(repeats: int, *, n_regions: int, mean_dwell: float) -> list[dict[str, Any]]:
    """Return what true parameters give in the same simulations."""
    return _over_seeds(n_regions, mean_dwell, partial(oracles_of_one_seed, n_regions, mean_dwell))


def _over_seeds(n_regions: int, mean_dwell: float, measured: Callable[[int], dict[str, float]]) -> list[dict[str, Any]]:
    each = []
    for seed in SEEDS[n_regions]:
        each.append(measured(seed))
        print(seed, {name: round(value, 3) for name, value in each[-1].items()}, flush=True)
    results = []
    for name in each[0]:
        values = np.array([one[name] for one in each])
        results.append(
            {
                "row": f"{n_regions} regions, dwell {mean_dwell:g}: {name}",
                "dtype": "float32",
                "peer": "planted truth",
                "cores": len(os.sched_getaffinity(0)),
                "mean": float(values.mean()),
                "half_interval": float(1.96 * values.std(ddof=1) / np.sqrt(len(values))),
                "lowest": float(values.min()),
                "highest": float(values.max()),
                "n_seeds": len(values),
            }
        )
    return results


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    f"{prefix}{n_regions}-{dwell}": partial(measure, n_regions=n_regions, mean_dwell=float(dwell))
    for prefix, measure in (
        ("", setting),
        ("default-", partial(setting, with_refined=False)),
        ("oracle-", oracles),
        ("states-", states),
    )
    for n_regions in (100, 400)
    for dwell in (20, 60)
}


def rows(repeats: int = 1, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]
