"""
Parameters: plain gradient descent that cannot leave the domain
===============================================================

Shares that sum to 1, and a covariance that stays positive definite, are learned by an optimiser that knows of neither.
"""

# %%
# A parametrised value stores a free preimage and stands for its image inside the domain. The model and the loss use it
# as the array that it stands for.

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from conn.functional import PositiveDefiniteParameter, ProbabilitySimplexParameter, cov

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"
rng = np.random.default_rng(0)


class Values(eqx.Module):
    value: jax.Array


@eqx.filter_jit
def descend(model: Values, loss, rate: float, n_steps: int) -> tuple[jax.Array, jax.Array]:
    """Return the image and the loss after every step of plain gradient descent."""
    free, fixed = eqx.partition(model, eqx.is_inexact_array)

    def step(free, _):
        def of(free):
            return loss(jnp.asarray(eqx.combine(free, fixed).value))

        value, gradient = jax.value_and_grad(of)(free)
        here = jnp.asarray(eqx.combine(free, fixed).value)
        return jax.tree.map(lambda x, g: x - rate * g, free, gradient), (here, value)

    return jax.lax.scan(step, free, length=n_steps)[1]


# %%
# **Shares.** A hundred noisy signals are mixtures of three templates, with shares of which one is 0: the planted value
# lies on the border of the simplex. The temperature sets how far a step moves the shares.

templates = rng.normal(size=(3, 60))
shares = np.array([0.7, 0.3, 0.0])
signals = shares @ templates + 0.8 * rng.normal(size=(100, 60))


def misfit(mixtures: jax.Array) -> jax.Array:
    return ((mixtures @ templates - signals) ** 2).mean(-1).sum()


start = Values(jnp.tile(jnp.array([0.2, 0.2, 0.6]), (100, 1)))
ways = {"unconstrained": start} | {
    f"simplex, temperature {temperature}": ProbabilitySimplexParameter.map(start, "value", temperature=temperature)
    for temperature in (1.0, 2.0)
}
mixtures = {name: np.asarray(descend(model, misfit, 0.1, 500)[0]) for name, model in ways.items()}
for name, path in mixtures.items():
    sums = path[-1].sum(-1)
    print(f"{name:24s} smallest share {path[-1].min():+.3f}, sums from {sums.min():.3f} to {sums.max():.3f}")

# %%
# **Covariance.** The Gaussian likelihood of few frames, from the identity. The optimum is the sample covariance, which
# is at hand here; the question is whether the way there stays where the likelihood is defined.

series = np.linalg.cholesky(0.9 * np.ones((5, 5)) + 0.1 * np.eye(5)) @ rng.normal(size=(5, 40))
sample = cov(series, ddof=0)


def negative_log_likelihood(covariance: jax.Array) -> jax.Array:
    """Return it for one frame, without its constant."""
    return jnp.linalg.slogdet(covariance)[1] + jnp.trace(jnp.linalg.solve(covariance, sample))


identity = Values(jnp.eye(5))
fits = {
    "unconstrained": descend(identity, negative_log_likelihood, 0.05, 300),
    "positive definite": descend(PositiveDefiniteParameter.map(identity, "value"), negative_log_likelihood, 0.05, 300),
}
smallest = {name: np.linalg.eigvalsh(np.asarray(path)).min(-1) for name, (path, _) in fits.items()}
best = negative_log_likelihood(sample)
for name, (_, losses) in fits.items():
    print(f"{name:18s} smallest eigenvalue {smallest[name].min():+.3f}, loss {losses[-1] - best:.3f} above the best")

# %%
# Left: bands are 1.96 standard errors over signals. Right: below 0 there is no covariance, and no likelihood either.

figure = Figure(figsize=(11, 4), layout="constrained")
left, right = figure.subplots(1, 2)
for (name, path), colour in zip(mixtures.items(), (VERMILION, BLUE, GREEN), strict=True):
    error = np.sqrt(((path - shares) ** 2).mean(-1))
    mean, spread = error.mean(1), 1.96 * error.std(1, ddof=1) / 10
    steps = np.arange(1, len(path) + 1)
    left.plot(steps, mean, color=colour, label=name)
    left.fill_between(steps, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
left.set(xscale="log", xlabel="step of gradient descent", ylabel="root mean square error of the shares", ylim=(0, None))
left.set_title("Shares being learned")
left.legend(frameon=False, loc="lower left")
for (name, values), colour in zip(smallest.items(), (VERMILION, BLUE), strict=True):
    right.plot(values, color=colour, label=name)
right.axhline(
    np.linalg.eigvalsh(np.asarray(sample)).min(), color="black", linewidth=0.8, linestyle=":", label="optimum"
)
right.set_yscale("symlog", linthresh=0.1)
right.axhspan(-1e6, 0, color="0.93", zorder=0)
right.set(
    ylim=(-1e5, 10),
    xlabel="step of gradient descent",
    ylabel="smallest eigenvalue (squared unit)",
    title="A covariance being learned",
)
right.legend(frameon=False)
figures = {"Gradient descent on the simplex and on positive definite matrices": figure}
