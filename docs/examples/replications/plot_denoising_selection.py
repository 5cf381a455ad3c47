"""
Confounds chosen by what motion leaves in connectomes
=====================================================

Of 24 candidate confounds, a few carry an artefact of motion, some carry signal, and most carry nothing. Which
combinations of them to regress out is learned from one number a person, how much they moved: connections should not
follow it across people (QC-FC).
"""

# %%
# **The experiment** is the denoising model selection of differentiable programming for functional connectomics [1]_:
# linear combinations of confounds are regressed out of the series, and are trained by the correlation of edges with
# motion across people. Its authors report it to work for artefacts that are alike in all regions or differ between
# them, and to fail with batches of 12, 25 or 50 people, and where the artefact's size follows motion weakly.
#
# **Planted.** 100 people to learn from and 100 others to judge, 16 regions, 120 frames, white signals with four
# communities. A person's artefact is three combinations of confounds, the same for all, whose size is the person's
# motion. *Homogeneous:* one combination of the three, alike in all regions. *Heterogeneous:* each region has weights of
# its own. *Intercorrelated:* as that, and confounds correlate by 0.5 with one another. *Weak:* as heterogeneous, but
# the artefact's size correlates with motion by only 0.3. Eight of the confounds are mixtures of the clean signals with
# equal noise, as components of grey matter are: regressing everything costs signal.
#
# **Criterion**, in the 100 people not trained on: the median absolute QC-FC lies below the 99th percentile of what
# permuted motion gives (200 permutations: *chance* is that quotient being at most 1), and the squared error of
# connectomes against the clean ones is below that of both no and the full regression. It is asked of the first three
# artefacts with all 100 people a step. Batches and the weak artefact are run and shown as they come. Connectomes
# without any artefact lie below the percentile in 98 % of data sets, and with all three artefacts' people in 95 % of
# seeds (1000 to 1039): what misses the criterion has an artefact left.
#
# **Baseline.** Forward selection of confounds by the same loss on the same people, until no confound lowers it.
#
# **Choices** (rank 4, 50 and 100 steps of Adam with a rate of 0.05, edges' correlations squared) were made on seeds
# from 1000 on; seeds 10 to 19 are judged. On seeds 0 to 9 the fit had the 100 steps on QC-FC alone, and 5 of 10 met
# the criterion. The 50 steps before them were added after that, for the reason given at the fit; the criterion is the
# same.
#
# .. [1] Ciric, Thomas, Esteban & Poldrack (2022), Differentiable programming for functional connectomics.
#    doi:10.48550/arXiv.2206.00649

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from conn.eval import qc_fc
from conn.functional import corr, cov, residualise, triangle_to_vector
from conn.functional.layers import ConfoundCombination
from conn.loss import QCFCLoss, meansq_scalarise

ARTEFACTS = ("homogeneous", "heterogeneous", "intercorrelated", "weak")
CRITERIA = {
    **{f"QC-FC / chance, {artefact}": "<= 1" for artefact in ARTEFACTS[:3]},
    **{f"error / least of no and full regression, {artefact}": "< 1" for artefact in ARTEFACTS[:3]},
    **{f"QC-FC / chance, {kind}": "shown" for kind in ("weak", "batches of 12", "batches of 25", "batches of 50")},
}
CRITERION = "; ".join(f"{measure} {asked}" for measure, asked in CRITERIA.items())
FIRST_SEED = 10
N_REGIONS, N_CONFOUNDS, N_FRAMES, N_SIGNAL, RANK = 16, 24, 120, 8, 4
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"


class Data(NamedTuple):
    """People with artefacts: what is seen, and the connectomes without artefacts."""

    series: np.ndarray
    confounds: np.ndarray
    motion: np.ndarray
    clean: np.ndarray


def simulate(seed: int, artefact: str, *, n_subjects: int = 100) -> tuple[Data, Data]:
    """Return the people to learn from and those to judge by."""
    rng = np.random.default_rng([seed, ARTEFACTS.index(artefact)])
    common = rng.normal(size=(N_REGIONS, 3)) if artefact != "homogeneous" else np.ones((N_REGIONS, 3))
    combination = np.zeros((3, N_CONFOUNDS))
    combination[:, : N_CONFOUNDS - N_SIGNAL] = rng.normal(size=(3, N_CONFOUNDS - N_SIGNAL))
    combination /= np.linalg.norm(combination, axis=1, keepdims=True)
    of_signal = rng.normal(size=(N_SIGNAL, N_REGIONS)) / N_REGIONS**0.5

    def people() -> Data:
        shape = (n_subjects, N_REGIONS, N_FRAMES)
        communities = np.repeat(rng.normal(size=(n_subjects, 4, N_FRAMES)), N_REGIONS // 4, axis=1)
        own = rng.normal(size=(n_subjects, N_REGIONS, 3)) @ rng.normal(size=(n_subjects, 3, N_FRAMES))
        clean = communities + 0.4 * own + rng.normal(size=shape)
        confounds = rng.normal(size=(n_subjects, N_CONFOUNDS, N_FRAMES))
        if artefact == "intercorrelated":
            confounds = np.sqrt(0.5) * confounds + np.sqrt(0.5) * rng.normal(size=(n_subjects, 1, N_FRAMES))
        signal = of_signal @ clean
        signal /= signal.std(-1, keepdims=True)
        confounds[:, -N_SIGNAL:] = np.sqrt(0.5) * (signal + confounds[:, -N_SIGNAL:])
        motion = rng.lognormal(0.0, 0.5, n_subjects)
        size = motion
        if artefact == "weak":
            size = np.exp(0.3 * np.log(motion) + 0.5 * np.sqrt(1 - 0.3**2) * rng.normal(size=n_subjects))
        added = common @ (combination @ confounds)
        seen = clean + size[:, None, None] * added
        return Data(*(np.float32(v) for v in (seen, confounds, motion, np.asarray(corr(clean)))))

    return people(), people()


# %%
# **The fit.** Only the space that the combinations span matters: the regression projects it out. A step sees all
# people, or a batch that is drawn anew.
#
# QC-FC is a correlation, and hardly falls until nearly all of a large artefact is gone: half of it follows motion as
# well as the whole does. Descent on QC-FC alone stays on that plateau (homogeneous artefact, seeds 1004 to 1009: from
# all of eight random starts in two data sets, from four and seven in two others). The first steps are therefore on the
# slopes of covariances on motion, which fall with the power of the artefact; those that follow are on QC-FC.


@partial(jax.jit, static_argnames=("n_first", "n_steps", "batch"))
def fit(series, confounds, motion, key, *, n_first: int = 50, n_steps: int = 100, batch: int | None = None):
    """Return the learned combinations (component, confound), and QC-FC by step."""
    start, draws = jax.random.split(key)
    of_correlations = QCFCLoss(scalarisation=meansq_scalarise())
    optimiser = optax.adam(0.05)

    def qcfc(model, chosen):
        return of_correlations(corr(residualise(series[chosen], model(confounds[chosen]))), motion[chosen])

    def slopes(model, chosen):
        edges = triangle_to_vector(cov(residualise(series[chosen], model(confounds[chosen]))))
        moved = motion[chosen] - motion[chosen].mean()
        return jnp.square(moved @ edges / jnp.square(moved).sum()).mean()

    def descent(model, objective, keys):
        def step(carried, key):
            model, state = carried
            chosen = jnp.arange(len(motion)) if batch is None else jax.random.permutation(key, len(motion))[:batch]
            value, gradient = jax.value_and_grad(objective)(model, chosen)
            updates, state = optimiser.update(gradient, state)
            return (eqx.apply_updates(model, updates), state), value

        (model, _), values = jax.lax.scan(step, (model, optimiser.init(model)), keys)
        return model, values

    first, then = jnp.split(jax.random.split(draws, n_first + n_steps), [n_first])
    model, _ = descent(ConfoundCombination.random(N_CONFOUNDS, RANK, key=start), slopes, first)
    model, history = descent(model, qcfc, then)
    return model.mixture, history


@jax.jit
def _selected_loss(series, confounds, motion, gates):
    """Return the loss of each set of confounds, (set, confound)."""
    loss = QCFCLoss(scalarisation=meansq_scalarise())
    return jax.lax.map(lambda gate: loss(corr(residualise(series, gate[:, None] * confounds)), motion), gates)


def baseline(data: Data) -> np.ndarray:
    """Return the confounds that forward selection keeps, as a mixture (component, confound)."""
    kept = np.zeros(N_CONFOUNDS, np.float32)
    best = float(_selected_loss(data.series, data.confounds, data.motion, kept[None])[0])
    for _ in range(N_CONFOUNDS):
        tried = np.maximum(kept, np.eye(N_CONFOUNDS, dtype=np.float32))
        found = np.asarray(_selected_loss(data.series, data.confounds, data.motion, tried))
        if found.min() >= best:
            break
        kept, best = tried[found.argmin()], float(found.min())
    return np.diag(kept)


@jax.jit
def connectomes(series, confounds, mixture):
    """Return connectomes without what combinations of confounds explain."""
    return corr(residualise(series, mixture @ confounds))


def score(mixture: np.ndarray, data: Data, *, n_permutations: int = 200) -> dict[str, float]:
    """Return QC-FC, its quotient by chance, and the squared error of connectomes."""
    found = np.asarray(connectomes(data.series, data.confounds, np.float32(mixture)))
    median = qc_fc(found, data.motion).median_absolute
    rng = np.random.default_rng(0)
    edges = found[:, *np.triu_indices(N_REGIONS, 1)]
    edges = (edges - edges.mean(0)) / edges.std(0)
    motion = np.stack([rng.permutation(data.motion) for _ in range(n_permutations)])
    motion = (motion - motion.mean(1, keepdims=True)) / motion.std(1, keepdims=True)
    null = np.median(np.abs(motion @ edges) / len(edges), axis=1)
    error = float(np.square(found - data.clean).sum((1, 2)).mean())
    return {"qcfc": median, "quotient": float(median / np.quantile(null, 0.99)), "error": error}


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return what comes of one seed; the short form has one artefact, and NaN for the rest."""
    found = {}
    rows = [(artefact, None) for artefact in ARTEFACTS] + [("heterogeneous", batch) for batch in (12, 25, 50)]
    for artefact, batch in [("heterogeneous", None)] if short else rows:
        train, test = simulate(seed, artefact)
        mixture, history = fit(*train[:3], jax.random.key(seed), batch=batch)
        models = {"ours": mixture, "none": np.zeros((1, N_CONFOUNDS)), "full": np.eye(N_CONFOUNDS)}
        if batch is None:
            models["baseline"] = baseline(train)
        name = artefact if batch is None else f"batches of {batch}"
        found[name] = {kind: score(model, test) for kind, model in models.items()} | {"history": np.asarray(history)}
    for batch in (12, 25, 50):
        if f"batches of {batch}" in found:
            found[f"batches of {batch}"]["baseline"] = found["heterogeneous"]["baseline"]
    outcome, passed = {}, True
    for measure in CRITERIA:
        models = found.get(measure.split(", ")[1])
        if models is None:
            values = (float("nan"), float("nan"))
        elif measure.startswith("QC-FC"):
            values = (models["ours"]["quotient"], models["baseline"]["quotient"])
        else:
            least = min(models["none"]["error"], models["full"]["error"])
            values = (models["ours"]["error"] / least, models["baseline"]["error"] / least)
        outcome[measure], outcome[f"{measure}, baseline"] = values
        passed &= not values[0] > 1 or CRITERIA[measure] == "shown"
    models = found["heterogeneous"]
    return outcome | {
        "score": models["ours"]["quotient"],
        "baseline": models["baseline"]["quotient"],
        "passed": bool(passed),
        "models": found,
    }


# %%
# **One seed.** QC-FC and error of every model in the people who were not trained on.

if __name__ == "__main__":
    outcome = experiment(0)
    for measure, asked in CRITERIA.items():
        print(f"{measure} ({asked}): {outcome[measure]:.2f} (baseline {outcome[f'{measure}, baseline']:.2f})")
    assert outcome["passed"]

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    first, second = figure.subplots(2, 1, sharex=True)
    kinds = {"none": GREY, "full": VERMILION, "baseline": GREEN, "ours": BLUE}
    names = list(outcome["models"])
    for place, (kind, colour) in enumerate(kinds.items()):
        at = np.arange(len(names)) + 0.2 * (place - 1.5)
        values = [outcome["models"][name][kind] for name in names]
        label = {"none": "no regression", "full": "all confounds", "baseline": "forward selection", "ours": "learned"}
        first.bar(at, [value["quotient"] for value in values], 0.18, color=colour, label=label[kind])
        second.bar(at, [value["error"] for value in values], 0.18, color=colour)
    first.axhline(1, color="black", linewidth=0.8, linestyle=":")
    first.set(
        ylabel="median |QC-FC| / chance", title="People who were not trained on", ylim=(0, 1.2 * first.get_ylim()[1])
    )
    first.legend(frameon=False, ncols=4)
    second.set_xticks(range(len(names)), [name.replace(" ", "\n", 1) for name in names])
    second.set(ylabel="squared error\nagainst clean connectomes", yscale="log")
    figures = {"QC-FC and error of connectomes by artefact and by model": figure}
