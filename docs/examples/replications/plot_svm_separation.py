r"""
Separation of classes through a support vector machine
======================================================

How far apart two classes are for a support vector machine is itself differentiable: what the classes depend on can be
learned so that they move apart, or into each other.
"""

# %%
# **The experiment** is the separation by a differentiable support vector machine of differentiable programming for
# functional connectomics [1]_: a machine is solved, and its objective is minimised (or maximised) by what shapes the
# data.
#
# **The derivative.** The machine's dual,
#
# .. math:: J(K) = \max_\alpha \; \textstyle\sum_i \alpha_i - \frac12 \sum_{ij} \alpha_i \alpha_j y_i y_j K_{ij},
#           \qquad 0 \le \alpha_i \le C, \; \sum_i \alpha_i y_i = 0,
#
# is the least of half the squared norm plus :math:`C` times the sum of hinge losses. By the envelope theorem its
# derivative with respect to the kernel is that at the solution with :math:`\alpha` held: exact, and without unrolling
# the solver (accelerated projected ascent; the projection on box and plane by bisection).
#
# **Planted.** Two classes of 40 points in two dimensions, elongated Gaussians. *Growth and collapse:* the classes'
# means are learned, on a circle of radius 1, from where they are 0.6 apart, for the least or the greatest objective.
# *Orientation:* means stay 1.2 apart, and each class's angle is learned from a random start: best is to point across
# the line between the means.
#
# **Criterion.** The dual's value and the decision function equal scikit-learn's within 1 % (of the value, and of the
# largest decision). Accuracy in 2000 new points of the same distributions, by scikit-learn's machine, is at least 0.95
# after growth, and between 0.4 and 0.6 after collapse. The learned angles lie within 15 degrees of across.
#
# **Baseline.** The same machine before anything is learned; for the angles, a search of a grid of 19 x 19 for the least
# objective of scikit-learn's machine on the same points.
#
# **Choices** were made on seeds from 1000 on; seeds 0 to 9 are judged.
#
# .. [1] Ciric, Thomas, Esteban & Poldrack (2022), Differentiable programming for functional connectomics.
#    doi:10.48550/arXiv.2206.00649. Envelope theorem: Milgrom & Segal (2002), doi:10.1111/1468-0262.00296.

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from sklearn.svm import SVC

from conn.functional import NormSphereParameter, gaussian_kernel, linear_kernel

CRITERIA = {
    "accuracy after growth": ">= 0.95",
    "accuracy after collapse": "0.4 to 0.6",
    "error of angles (degrees)": "<= 15",
    "decision function against scikit-learn": "<= 0.01",
}
CRITERION = "; ".join(f"{measure} {asked}" for measure, asked in CRITERIA.items())
N_POINTS, COST, SCALE = 40, 1.0, 0.8
SPREAD = np.array([0.9, 0.25], np.float32)
SIGN = np.repeat([1.0, -1.0], N_POINTS).astype(np.float32)
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7f7f7f"


# %%
# **The machine.**


def _project(values: jax.Array) -> jax.Array:
    """Return the nearest point of the box whose product with the signs is 0."""

    def halve(bounds, _):
        low, high = bounds
        middle = (low + high) / 2
        above = (SIGN * jnp.clip(values - middle * SIGN, 0.0, COST)).sum() > 0
        return (jnp.where(above, middle, low), jnp.where(above, high, middle)), None

    reach = jnp.abs(values).max() + COST
    (low, high), _ = jax.lax.scan(halve, (-reach, reach), length=40)
    return jnp.clip(values - (low + high) / 2 * SIGN, 0.0, COST)


def solve(kernel: jax.Array, *, n_steps: int = 1500) -> jax.Array:
    """Return the coefficients that solve the dual, by projected ascent with momentum."""
    form = kernel * SIGN[:, None] * SIGN
    rate = 1 / jnp.linalg.norm(form)

    def step(carried, count):
        before, ahead = carried
        now = _project(ahead + rate * (1 - form @ ahead))
        return (now, now + count / (count + 3) * (now - before)), None

    start = jnp.zeros(len(SIGN))
    (found, _), _ = jax.lax.scan(step, (start, start), jnp.arange(n_steps))
    return found


def objective(kernel: jax.Array) -> jax.Array:
    """Return the dual's greatest value; its derivative holds the solution."""
    found = jax.lax.stop_gradient(solve(jax.lax.stop_gradient(kernel), n_steps=200))
    weight = found * SIGN
    return found.sum() - weight @ kernel @ weight / 2


@jax.jit
def decision(kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the decision at the points themselves, and the dual's value."""
    found = solve(kernel)
    scores = kernel @ (found * SIGN)
    # The intercept is that of the points on the margin.
    free = jnp.minimum(found, COST - found)
    on_margin = free > 0.01 * COST
    shift = jnp.where(on_margin, SIGN - scores, 0.0).sum() / jnp.maximum(on_margin.sum(), 1)
    weight = found * SIGN
    return scores + shift, found.sum() - weight @ kernel @ weight / 2


# %%
# **What is learned.** Points are made from noise that is held, so that the derivative reaches means and angles.


def simulate(seed: int) -> dict[str, np.ndarray]:
    """Return the noise of the points and of new ones, and the starts of means and angles."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0, 2 * np.pi)
    angle = turn + np.array([0.3, -0.3])
    return {
        "noise": rng.normal(size=(2, N_POINTS, 2)).astype(np.float32),
        "new": rng.normal(size=(2, 1000, 2)).astype(np.float32),
        "means": np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32),
        "line": np.float32(turn),
        "angles": rng.uniform(-np.pi / 2, np.pi / 2, 2).astype(np.float32),
    }


def points(noise, means, angles):
    """Return points (class x point, 2) of elongated classes."""
    along = jnp.stack([jnp.cos(angles), jnp.sin(angles)], -1)
    across = jnp.stack([-jnp.sin(angles), jnp.cos(angles)], -1)
    axes = jnp.stack([along, across], 1)
    return (means[:, None] + (noise * SPREAD) @ axes).reshape(-1, 2)


@partial(jax.jit, static_argnames="direction")
def fit_means(noise, means, direction: int):
    """Return the means (class, 2) of least (1) or greatest (-1) objective, the course of it, and all means."""
    optimiser = optax.adam(0.05)
    start = NormSphereParameter(means, axis=-1)
    angles = jnp.zeros(2)

    def loss(model):
        return direction * objective(linear_kernel(points(SCALE * noise, jnp.asarray(model), angles)))

    def step(carried, _):
        model, state = carried
        value, gradient = jax.value_and_grad(loss)(model)
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(model, updates), state), (direction * value, jnp.asarray(model))

    (model, _), (course, path) = jax.lax.scan(step, (start, optimiser.init(start)), length=150)
    return jnp.asarray(model), course, path


@jax.jit
def fit_angles(noise, means, starts):
    """Return the angles of least objective among the starts (start, class)."""
    optimiser = optax.adam(0.05)

    def one(start):
        def step(carried, _):
            angles, state = carried
            value, gradient = jax.value_and_grad(lambda a: objective(linear_kernel(points(noise, means, a))))(angles)
            updates, state = optimiser.update(gradient, state)
            return (optax.apply_updates(angles, updates), state), value

        (angles, _), course = jax.lax.scan(step, (start, optimiser.init(start)), length=100)
        return angles, course[-1]

    angles, values = jax.vmap(one)(starts)
    return angles[values.argmin()]


def baseline(noise: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the angles of a grid with the least objective of scikit-learn's machine."""
    grid = np.linspace(-np.pi / 2, np.pi / 2, 19)[:-1]
    best, found = np.inf, np.zeros(2)
    for first in grid:
        for second in grid:
            angles = np.array([first, second])
            kernel = np.asarray(_kernel(noise, means, angles), float)
            weight = SVC(kernel="precomputed", C=COST).fit(kernel, SIGN)
            dual = np.zeros(len(SIGN))
            dual[weight.support_] = weight.dual_coef_[0]
            value = np.abs(dual).sum() - dual @ kernel @ dual / 2
            if value < best:
                best, found = value, angles
    return found


@jax.jit
def _kernel(noise, means, angles):
    return linear_kernel(points(noise, means, angles))


def score(train: np.ndarray, test: np.ndarray) -> float:
    """Return the accuracy of scikit-learn's machine in new points."""
    machine = SVC(kernel="linear", C=COST).fit(np.asarray(train), SIGN)
    return float(machine.score(np.asarray(test), np.repeat([1.0, -1.0], len(test) // 2)))


def off_across(angles: np.ndarray, line: float) -> float:
    """Return the mean angle in degrees between the classes' long axes and across the line between the means."""
    apart = np.mod(np.asarray(angles) - line - np.pi / 2 + np.pi / 2, np.pi) - np.pi / 2
    return float(np.rad2deg(np.abs(apart)).mean())


def experiment(seed: int, *, short: bool = False) -> dict:
    """Return what comes of one seed; a short run leaves out the grid of angles, the baseline."""
    data = simulate(seed)
    level = np.zeros(2, np.float32)
    accuracy, learned = {}, {}
    for name, direction in (("growth", 1), ("collapse", -1)):
        learned[name] = fit_means(data["noise"], data["means"], direction)
        means = np.asarray(learned[name][0])
        accuracy[name] = score(points(SCALE * data["noise"], means, level), points(SCALE * data["new"], means, level))
    before = score(
        points(SCALE * data["noise"], data["means"], level), points(SCALE * data["new"], data["means"], level)
    )
    line = float(data["line"])
    apart = 0.6 * np.array([[np.cos(line), np.sin(line)], [-np.cos(line), -np.sin(line)]], np.float32)
    starts = data["angles"] + np.pi / 4 * np.array([[0, 0], [2, 0], [0, 2], [2, 2]], np.float32)
    angles = fit_angles(data["noise"], apart, starts)
    errors = (
        off_across(angles, line),
        float("nan") if short else off_across(baseline(data["noise"], apart), line),
    )
    # Against scikit-learn, with both kernels.
    cloud = np.asarray(points(data["noise"], apart, data["angles"]))
    differences, values = [], []
    for kernel in (linear_kernel(cloud), gaussian_kernel(cloud, gamma=1.0)):
        known = SVC(kernel="precomputed", C=COST, tol=1e-6).fit(np.asarray(kernel, float), SIGN)
        expected = known.decision_function(np.asarray(kernel, float))
        scores, value = decision(kernel)
        dual = np.zeros(len(SIGN))
        dual[known.support_] = known.dual_coef_[0]
        reached = np.abs(dual).sum() - dual @ np.asarray(kernel, float) @ dual / 2
        differences.append(float(np.abs(np.asarray(scores) - expected).max() / np.abs(expected).max()))
        values.append(abs(float(value) / reached - 1))
    ours = (accuracy["growth"], accuracy["collapse"], errors[0], max(differences))
    simple = (before, before, errors[1], 0.0)
    return {
        **dict(zip(CRITERIA, ours, strict=True)),
        **{f"{measure}, baseline": value for measure, value in zip(CRITERIA, simple, strict=True)},
        "error of the dual": max(values),
        "score": ours[0],
        "baseline": simple[0],
        "passed": bool(ours[0] >= 0.95 and 0.4 <= ours[1] <= 0.6 and ours[2] <= 15 and max(*ours[3:], *values) <= 0.01),
        "data": data,
        "learned": learned,
        "angles": np.asarray(angles),
        "apart": apart,
    }


# %%
# **One seed.** Points before and after, with the way that the means took; and the course of the objective.

if __name__ == "__main__":
    outcome = experiment(0)
    for measure in CRITERIA:
        print(f"{measure}: {outcome[measure]:.3g} (baseline {outcome[f'{measure}, baseline']:.3g})")
    assert outcome["passed"]

    data, level = outcome["data"], np.zeros(2, np.float32)
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    clouds = {
        "before": (SCALE * data["noise"], data["means"], level),
        "growth": (SCALE * data["noise"], outcome["learned"]["growth"][0], level),
        "collapse": (SCALE * data["noise"], outcome["learned"]["collapse"][0], level),
        "angles, before": (data["noise"], outcome["apart"], data["angles"]),
        "angles, after": (data["noise"], outcome["apart"], outcome["angles"]),
    }
    for axis, (name, made) in zip(axes, clouds.items(), strict=False):
        cloud = np.asarray(points(*made))
        for sign, colour in ((1, BLUE), (-1, VERMILION)):
            axis.plot(*cloud[sign == SIGN].T, ".", color=colour)
        if name in outcome["learned"]:
            for place in (0, 1):
                axis.plot(*np.asarray(outcome["learned"][name][2])[:, place].T, color="black", linewidth=1)
        axis.set(
            title=f"{name} (lines: the means' way)" if name in outcome["learned"] else name,
            xlabel="first feature",
            ylabel="second feature",
            aspect="equal",
            xlim=(-3, 3),
            ylim=(-3, 3),
        )
    for name, colour in (("growth", BLUE), ("collapse", VERMILION)):
        axes[5].plot(outcome["learned"][name][1], color=colour, label=name)
    axes[5].set(xlabel="step", ylabel="objective of the machine", title="Course")
    axes[5].legend(frameon=False)
    figures = {"Classes that a support vector machine moves apart, and into each other": figure}
