"""
A shallow auto-encoder of connectomes
=====================================

Connectomes that are mixtures of a few patterns of blocks are compressed to a few numbers by templates of low rank, and
the templates that do it best are the patterns themselves.
"""

# %%
# **The experiment** is the shallow auto-encoder of differentiable programming for functional connectomics [1]_: `Sylo`
# compares a connectome with templates of rank 4; the mean over all pairs, corrected for what templates share, is the
# code, and the code weighs the templates to give the connectome back.
#
# **Planted.** Four patterns over 20 regions, each the sum of two communities of five regions (1 within, 0 elsewhere);
# patterns overlap. A connectome is a mixture with gamma-distributed weights plus symmetric noise (standard deviation
# 0.5). 60 connectomes are learned from, 60 others are judged by.
#
# **Criterion.** Of the variance of the clean part of connectomes that were not trained on, the auto-encoder explains
# at least 0.9; templates that are regularised (prices on negative entries, on negative codes, and on their size)
# correlate with the matched patterns by at least 0.8 in the mean. What comes without regularisation is printed: where
# patterns are of low rank, that rank alone already tells them from their mixtures.
#
# **Baseline.** Principal components, as many, for the variance; non-negative matrix factorisation, its penalty chosen
# by three-fold reconstruction of the same 60 connectomes, for the templates.
#
# **Choices** (300 steps of Adam with a falling rate from 0.1, prices, four starts, of which that of least loss counts)
# were made on data of seeds from 1000 on. A parametrisation in which no factor can be negative was dropped there: it
# ends in poor minima. A first version with one start met the criterion in 5 of 10 seeds; starts were added, and the
# table's seeds 0 to 9 have new data since (those of 100 to 109).
#
# .. [1] Ciric, Thomas, Esteban & Poldrack (2022), Differentiable programming for functional connectomics.
#    doi:10.48550/arXiv.2206.00649. Filters in the form of a cross: Kawahara et al. (2017),
#    doi:10.1016/j.neuroimage.2016.09.046. Non-negative factors: Lee & Seung (1999), doi:10.1038/44565.

import warnings
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import NMF, PCA
from sklearn.exceptions import ConvergenceWarning

from conn.functional import low_rank_template
from conn.functional.engine import Tensor
from conn.functional.layers import Sylo
from conn.loss import MSELoss, NormedLoss, UnilateralLoss

CRITERIA = {"explained variance": ">= 0.9", "matched correlation of templates": ">= 0.8"}
CRITERION = "; ".join(f"{measure} {asked}" for measure, asked in CRITERIA.items())
N_REGIONS, N_PATTERNS, RANK, N_CONNECTOMES, NOISE, PRICE = 20, 4, 4, 60, 0.5, 0.002
N_STARTS = 4


class Data(NamedTuple):
    """Connectomes to learn from and to judge by, the latter's clean part, and the patterns."""

    train: np.ndarray
    test: np.ndarray
    clean: np.ndarray
    patterns: np.ndarray


def simulate(seed: int) -> Data:
    """Return connectomes (connectome, region, region), and the patterns they are made of."""
    rng = np.random.default_rng(seed + 100)
    patterns = np.zeros((N_PATTERNS, N_REGIONS, N_REGIONS))
    for pattern in patterns:
        regions = rng.permutation(N_REGIONS)
        for members in (regions[:5], regions[5:10]):
            pattern[np.ix_(members, members)] = 1.0
    weights = rng.gamma(2.0, 0.5, (2 * N_CONNECTOMES, N_PATTERNS))
    clean = np.einsum("sk,kij->sij", weights, patterns)
    noise = np.tril(rng.normal(size=clean.shape))
    seen = clean + NOISE * (noise + np.tril(noise, -1).swapaxes(1, 2))
    seen, n = np.float32(seen), N_CONNECTOMES
    return Data(seen[:n], seen[n:], clean[n:], patterns)


# %%
# **The model.** Templates of the decoder have unit norm: their scale is the code's.


class AutoEncoder(eqx.Module):
    """Connectomes to codes and back, with the same templates both ways."""

    factors: Tensor
    sign: Tensor

    @property
    def encoder(self) -> Sylo:
        """The layer that compares connectomes with the templates."""
        made = low_rank_template(self.factors, sign=self.sign)
        scale = jnp.sqrt(jnp.linalg.norm(made, axis=(-2, -1), keepdims=True))
        # Template and code are known up to one sign for both: entries shall sum to more than 0.
        facing = jnp.sign(made.sum((-2, -1)))[:, None]
        return Sylo((self.factors / scale)[:, None], sign=(self.sign * facing)[:, None])

    @property
    def templates(self) -> jax.Array:
        """The templates (pattern, region, region), of unit norm."""
        return self.encoder.template[:, 0]

    def code(self, connectomes: jax.Array) -> jax.Array:
        """Return how much of each template is in connectomes, (connectome, pattern)."""
        # A mean over pairs is (2 n - 1) / n^2 of the product with a template; templates that overlap share products.
        gain = N_REGIONS**2 / (2 * N_REGIONS - 1)
        shared = jnp.einsum("kij,lij->kl", self.templates, self.templates) + 1e-3 * jnp.eye(N_PATTERNS)
        likeness = self.encoder(connectomes[:, None]).mean((-2, -1))
        return gain * jnp.linalg.solve(shared, likeness.T).T

    def __call__(self, connectomes: jax.Array) -> jax.Array:
        """Return the reconstruction."""
        return jnp.einsum("sk,kij->sij", self.code(connectomes), self.templates)


def _rising(price: float, n_steps: int) -> optax.Schedule:
    return optax.linear_schedule(0.0, price, n_steps // 3, n_steps // 3)


@partial(jax.jit, static_argnames=("regularised", "n_steps"))
def fit(connectomes: jax.Array, key: jax.Array, *, regularised: bool, n_steps: int = 300):
    """Return the auto-encoder of least loss among the starts, and its loss by step."""
    # Templates find their patterns first; prices from the start would trap them.
    near, sparse = MSELoss(), NormedLoss(_rising(PRICE, n_steps), p=1.0, axis=(-2, -1))
    positive = UnilateralLoss(_rising(1.0, n_steps))
    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, n_steps))

    def loss(model, count):
        value = near(connectomes - model(connectomes))
        if regularised:
            value = value + sparse(model.templates, step=count) + positive(-model.templates, step=count)
            value = value + positive(-model.code(connectomes), step=count)
        return value

    def one(key):
        factors = jax.random.normal(key, (N_PATTERNS, N_REGIONS, RANK))
        model = AutoEncoder(factors, jnp.ones((N_PATTERNS, RANK)).at[:, 1::2].set(-1.0))

        def step(carried, count):
            model, state = carried
            value, gradient = jax.value_and_grad(loss)(model, count)
            updates, state = optimiser.update(gradient, state)
            return (optax.apply_updates(model, updates), state), value

        (model, _), history = jax.lax.scan(step, (model, optimiser.init(model)), jnp.arange(n_steps))
        return model, history

    models, histories = jax.vmap(one)(jax.random.split(key, N_STARTS))
    best = histories[:, -1].argmin()
    return jax.tree.map(lambda leaf: leaf[best], models), histories[best]


def baseline(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Return the principal components' reconstruction of the test, and the factors of least left-out error."""
    flat, n = data.train.reshape(N_CONNECTOMES, -1), N_CONNECTOMES
    components = PCA(N_PATTERNS).fit(flat)
    rebuilt = components.inverse_transform(components.transform(data.test.reshape(n, -1))).reshape(data.test.shape)
    positive, fold = np.maximum(flat, 0.0), np.arange(n) % 3
    errors = []
    penalties = (0.0, 0.001, 0.01)
    settings = {"init": "nndsvda", "l1_ratio": 1.0, "max_iter": 1000, "tol": 1e-2}
    with warnings.catch_warnings():
        # A thousand sweeps are enough for a baseline, whether or not the tolerance is met.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for penalty in penalties:
            error = 0.0
            for which in range(3):
                model = NMF(N_PATTERNS, alpha_W=0.0, alpha_H=penalty, **settings).fit(positive[fold != which])
                left_out = positive[fold == which]
                error += np.square(left_out - model.transform(left_out) @ model.components_).sum()
            errors.append(error)
        best = NMF(N_PATTERNS, alpha_W=0.0, alpha_H=penalties[int(np.argmin(errors))], **settings).fit(positive)
    return rebuilt, best.components_.reshape(-1, N_REGIONS, N_REGIONS)


def explained(rebuilt: np.ndarray, clean: np.ndarray) -> float:
    """Return the share of the clean part's variance over connectomes that a reconstruction explains."""
    return float(1 - np.square(rebuilt - clean).sum() / np.square(clean - clean.mean(0)).sum())


def score(templates: np.ndarray, patterns: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean correlation of templates with the matched patterns, above the diagonal, and the match."""
    pairs = np.triu_indices(N_REGIONS, 1)
    found = np.corrcoef(patterns[:, *pairs], templates[:, *pairs])[:N_PATTERNS, N_PATTERNS:]
    rows, columns = linear_sum_assignment(-np.abs(found))
    return float(np.abs(found[rows, columns]).mean()), columns


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return what comes of one seed; a short run is the same."""
    data = simulate(seed)
    key = jax.random.key(seed)
    regularised, history = fit(data.train, key, regularised=True)
    free, _ = fit(data.train, key, regularised=False)
    rebuilt, factors = baseline(data)
    ours, match = score(np.asarray(regularised.templates), data.patterns)
    without = score(np.asarray(free.templates), data.patterns)[0]
    variance = explained(np.asarray(regularised(data.test)), data.clean)
    return {
        "explained variance": variance,
        "explained variance, baseline": explained(rebuilt, data.clean),
        "matched correlation of templates": ours,
        "matched correlation of templates, baseline": score(factors, data.patterns)[0],
        "matched correlation without regularisation": without,
        "score": ours,
        "baseline": score(factors, data.patterns)[0],
        "passed": bool(variance >= 0.9 and ours >= 0.8),
        "data": data,
        "templates": np.asarray(regularised.templates)[match],
        "free": np.asarray(free.templates)[score(np.asarray(free.templates), data.patterns)[1]],
        "history": np.asarray(history),
    }


# %%
# **One seed.** Patterns, and the templates matched with them.

if __name__ == "__main__":
    outcome = experiment(0)
    for measure in CRITERIA:
        print(f"{measure}: {outcome[measure]:.3f} (baseline {outcome[f'{measure}, baseline']:.3f})")
    print(f"templates without regularisation: {outcome['matched correlation without regularisation']:.3f}")
    assert outcome["passed"]

    order = np.argsort(outcome["data"].patterns[0].sum(0) * 2 + outcome["data"].patterns[1].sum(0))[::-1]
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    axes = figure.subplots(3, N_PATTERNS)
    rows = {"planted": outcome["data"].patterns, "regularised": outcome["templates"], "free": outcome["free"]}
    for line, (name, matrices) in zip(axes, rows.items(), strict=True):
        for axis, matrix in zip(line, matrices, strict=True):
            bound = np.abs(matrix).max()
            image = axis.imshow(matrix[np.ix_(order, order)] / bound, cmap="RdBu_r", vmin=-1, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(f"{name}\nregion")
    for axis in axes[-1]:
        axis.set_xlabel("region")
    figure.colorbar(image, ax=axes, label="entry / largest")
    figures = {"Planted patterns and learned templates": figure}
