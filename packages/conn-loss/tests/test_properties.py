"""What holds for every score whatever its values: invariances, bounds, and that a batch is what its items are."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import conn.loss as cl
from conn.functional import correlation_operator

N_DRAWS, KEY = 3, jax.random.PRNGKey(5)


class Drawn(NamedTuple):
    """Random arguments of two items each."""

    series: Any  # (item, region, frame)
    other: Any
    simplex: Any  # (item, region, outcome), on the last axis
    simplex_other: Any
    assignment: Any  # (item, region, vertex), positive
    second: Any
    places: Any  # (item, vertex, 3)
    places_other: Any
    references: Any  # (item, region, 3)
    affinity: Any  # (item, region, region)
    maps: Any  # (item, region, map)
    quality: Any  # (subject,)
    turn: Any  # (3, 3)
    mixing: Any  # (map, map)


def drawn(seed):
    rng = np.random.default_rng(seed)
    affinity = rng.uniform(0.1, 1, (2, 6, 6))
    return Drawn(
        series=rng.standard_normal((2, 6, 20)),
        other=rng.standard_normal((2, 6, 20)),
        simplex=rng.dirichlet(np.ones(4), (2, 6)),
        simplex_other=rng.dirichlet(np.ones(4), (2, 6)),
        assignment=rng.uniform(0.1, 1, (2, 3, 6)),
        second=rng.uniform(0.1, 1, (2, 3, 6)),
        places=rng.standard_normal((2, 6, 3)),
        places_other=rng.standard_normal((2, 6, 3)),
        references=rng.standard_normal((2, 3, 3)),
        affinity=affinity + affinity.swapaxes(1, 2),
        maps=rng.standard_normal((2, 6, 2)),
        quality=rng.standard_normal(6),
        turn=np.linalg.qr(rng.standard_normal((3, 3)))[0],
        mixing=rng.standard_normal((2, 2)) + 2 * np.eye(2),
    )


def squared_norm(values):
    return (values**2).sum()


def correlations(series):
    return jax.vmap(jnp.corrcoef)(series)


ORDER = np.array([3, 0, 5, 1, 4, 2])
LIMITS = (lambda x: x - 1, lambda x: -1 - x)
bregman = partial(cl.bregman_divergence, function=squared_norm)
bregman_logit = partial(cl.bregman_divergence_logit, function=squared_norm)
violation = partial(cl.constraint_violation, constraints=LIMITS)
dynamics = partial(cl.connectivity_dynamics_distance, width=6, step=3)
spectra = partial(cl.spectral_density_difference, repetition_time=2.0, segment_length=8)
sliced = partial(cl.sliced_wasserstein, key=KEY, n_directions=4)
mmd = partial(cl.maximum_mean_discrepancy, gamma=0.3)

SAME = {
    "identity": lambda d: (cl.identity(d.series), d.series),
    "difference": lambda d: (cl.difference(d.series, d.other), -cl.difference(d.other, d.series)),
    "fisher_z_difference": lambda d: (
        cl.fisher_z_difference(correlations(d.series), correlations(d.other)),
        -cl.fisher_z_difference(correlations(d.other), correlations(d.series)),
    ),
    "masked": lambda d: (
        cl.masked(d.series, d.other > 0),
        cl.masked(jnp.where(d.other > 0, d.series, jnp.nan), d.other > 0),
    ),
    "constraint_violation": lambda d: (violation(d.series), jnp.abs(d.series - jnp.clip(d.series, -1, 1))),
    "unilateral": lambda d: (cl.unilateral(d.series) - cl.unilateral(-d.series), d.series),
    "hinge": lambda d: (
        cl.hinge(d.series, jnp.sign(d.other)),
        cl.hinge(-d.series, -jnp.sign(d.other)),
    ),
    "smoothness": lambda d: (
        cl.smoothness(d.series, order=2),
        cl.smoothness(d.series + d.other[..., :1] + d.other[..., 1:2] * jnp.arange(20), order=2),
    ),
    "bimodal_symmetric": lambda d: (cl.bimodal_symmetric(d.series), cl.bimodal_symmetric(1 - d.series)),
    "det_gram": lambda d: (cl.det_gram(d.series), cl.det_gram(7 * d.series[:, ORDER] + 3)),
    "log_det_gram": lambda d: (cl.log_det_gram(d.series), cl.log_det_gram(7 * d.series[:, ORDER] + 3)),
    "entropy": lambda d: (cl.entropy(d.simplex), cl.entropy(d.simplex[..., ::-1])),
    "entropy_logit": lambda d: (cl.entropy_logit(jnp.log(d.simplex) + 3), cl.entropy(d.simplex)),
    "kl_divergence": lambda d: (
        cl.kl_divergence(d.simplex, jnp.full_like(d.simplex, 0.25)),
        np.log(4) - cl.entropy(d.simplex),
    ),
    "kl_divergence_logit": lambda d: (
        cl.kl_divergence_logit(jnp.log(d.simplex) + 3, jnp.log(d.simplex_other) - 3),
        cl.kl_divergence(d.simplex, d.simplex_other),
    ),
    "js_divergence": lambda d: (
        cl.js_divergence(d.simplex, d.simplex_other),
        cl.js_divergence(d.simplex_other, d.simplex),
    ),
    "js_divergence_logit": lambda d: (
        cl.js_divergence_logit(jnp.log(d.simplex) + 3, jnp.log(d.simplex_other) - 3),
        cl.js_divergence(d.simplex, d.simplex_other),
    ),
    "bregman_divergence": lambda d: (bregman(d.series, d.other), bregman(d.series + 1, d.other + 1)),
    "bregman_divergence_logit": lambda d: (
        bregman_logit(jnp.log(d.simplex) + 3, jnp.log(d.simplex_other) - 3),
        bregman(d.simplex, d.simplex_other),
    ),
    "equilibrium": lambda d: (cl.equilibrium(d.assignment), cl.equilibrium(5 * d.assignment[..., ORDER])),
    "equilibrium_logit": lambda d: (
        cl.equilibrium_logit(d.assignment + 2),
        cl.equilibrium(jax.nn.softmax(d.assignment, -2)),
    ),
    "second_moment": lambda d: (
        4 * cl.second_moment(d.series, d.assignment),
        cl.second_moment(2 * d.series + 1, 3 * d.assignment),
    ),
    "second_moment_centred": lambda d: (
        cl.second_moment_centred(d.series, d.assignment, d.other[:, :3]),
        cl.second_moment_centred(d.series + 1, d.assignment, d.other[:, :3] + 1),
    ),
    "batch_correlation": lambda d: (
        cl.batch_correlation(d.series[0], d.quality),
        cl.batch_correlation(1 - 2 * d.series[0], 3 * d.quality + 1),
    ),
    "qcfc": lambda d: (
        cl.qcfc(d.series[0, :, :9].reshape(6, 3, 3), d.quality),
        cl.batch_correlation(d.series[0][:, jnp.array([1, 2, 5])], d.quality),
    ),
    "reference_tether": lambda d: (
        cl.reference_tether(d.assignment, d.references, d.places),
        cl.reference_tether(d.assignment, d.references @ d.turn + 1, d.places @ d.turn + 1),
    ),
    "interhemispheric_tether": lambda d: (
        cl.interhemispheric_tether(d.assignment, d.second, d.places, d.places_other),
        cl.interhemispheric_tether(d.second, d.assignment, d.places_other, d.places),
    ),
    "compactness": lambda d: (
        cl.compactness(d.assignment, d.places),
        cl.compactness(2 * d.assignment, d.places @ d.turn + 1),
    ),
    "dispersion": lambda d: (cl.dispersion(d.places), cl.dispersion(d.places[:, ORDER] @ d.turn + 1)),
    "multivariate_kurtosis": lambda d: (
        cl.multivariate_kurtosis(d.series),
        cl.multivariate_kurtosis((d.affinity + 6 * jnp.eye(6)) @ d.series + 1),
    ),
    "connectopy": lambda d: (
        cl.connectopy(d.maps, d.affinity),
        cl.connectopy(d.maps[:, ORDER] + 1, 3 * d.affinity[:, ORDER][:, :, ORDER]),
    ),
    "eigenmap": lambda d: (
        cl.eigenmap(d.maps, d.affinity, ridge=0.0),
        cl.eigenmap(d.maps @ d.mixing + 1, 3 * d.affinity, ridge=0.0),
    ),
    "modularity": lambda d: (
        cl.modularity(d.simplex, d.affinity),
        cl.modularity(d.simplex[:, ORDER][..., ::-1], 3 * d.affinity[:, ORDER][:, :, ORDER]),
    ),
    "operator_modularity": lambda d: (
        cl.operator_modularity(d.simplex[0], correlation_operator(d.series[0])),
        cl.operator_modularity(d.simplex[0][ORDER], correlation_operator(2 * d.series[0][ORDER] + 1)),
    ),
    "identification": lambda d: (
        cl.identification(d.series, d.other),
        cl.identification(3 * d.other + 1, d.series),
    ),
    "quantile_distance": lambda d: (
        cl.quantile_distance(d.series, d.series + 2),
        jnp.full((2, 6), 4.0),
    ),
    "sliced_wasserstein": lambda d: (sliced(d.series, d.other), sliced(d.other[:, ORDER] + 1, d.series + 1)),
    "maximum_mean_discrepancy": lambda d: (mmd(d.series, d.other), mmd(d.other[:, ORDER] + 1, d.series + 1)),
    "spectral_density_difference": lambda d: (spectra(d.series, d.other), -spectra(3 * d.other + 1, d.series)),
    "connectivity_dynamics_distance": lambda d: (
        dynamics(d.series, d.other),
        dynamics(d.other[:, ORDER], 2 * d.series),
    ),
}
"""By score: two expressions that must agree for any values."""

BOUNDED = {
    "entropy": lambda d: (0.0, cl.entropy(d.simplex), np.log(4)),
    "kl_divergence": lambda d: (0.0, cl.kl_divergence(d.simplex, d.simplex_other), np.inf),
    "js_divergence": lambda d: (0.0, cl.js_divergence(d.simplex, d.simplex_other), np.log(2)),
    "bregman_divergence": lambda d: (0.0, bregman(d.series, d.other), np.inf),
    "det_gram": lambda d: (-1.0, cl.det_gram(d.series), 0.0),
    "log_det_gram": lambda d: (-6 * np.log(1.001), cl.log_det_gram(d.series), np.inf),
    "equilibrium": lambda d: (0.0, cl.equilibrium(d.assignment), np.inf),
    "batch_correlation": lambda d: (0.0, cl.batch_correlation(d.series[0], d.quality), 1.0),
    "qcfc": lambda d: (0.0, cl.qcfc(d.series[0, :, :9].reshape(6, 3, 3), d.quality), 1.0),
    "compactness": lambda d: (0.0, cl.compactness(d.assignment, d.places), np.inf),
    "dispersion": lambda d: (-np.inf, cl.dispersion(d.places), 0.0),
    "modularity": lambda d: (-1.0, cl.modularity(d.simplex, d.affinity), 0.5),
    "eigenmap": lambda d: (0.0, cl.eigenmap(d.maps, d.affinity, ridge=0.0), 4.0),
    "identification": lambda d: (0.0, cl.identification(d.series, d.other), np.inf),
    "maximum_mean_discrepancy": lambda d: (0.0, mmd(d.series, d.other), 2.0),
    "multivariate_kurtosis": lambda d: (36.0, cl.multivariate_kurtosis(d.series), np.inf),
}
"""By score: a bound below, the score, and one above."""

BATCHED = {
    "identity": lambda d: cl.identity(d.series),
    "difference": lambda d: cl.difference(d.series, d.other),
    "fisher_z_difference": lambda d: cl.fisher_z_difference(correlations(d.series), correlations(d.other)),
    "masked": lambda d: cl.masked(d.series, d.other > 0),
    "constraint_violation": lambda d: violation(d.series),
    "unilateral": lambda d: cl.unilateral(d.series),
    "hinge": lambda d: cl.hinge(d.series, jnp.sign(d.other)),
    "smoothness": lambda d: cl.smoothness(d.series),
    "bimodal_symmetric": lambda d: cl.bimodal_symmetric(d.series),
    "det_gram": lambda d: cl.det_gram(d.series),
    "log_det_gram": lambda d: cl.log_det_gram(d.series),
    "entropy": lambda d: cl.entropy(d.simplex),
    "entropy_logit": lambda d: cl.entropy_logit(d.series),
    "kl_divergence": lambda d: cl.kl_divergence(d.simplex, d.simplex_other),
    "kl_divergence_logit": lambda d: cl.kl_divergence_logit(d.series, d.other),
    "js_divergence": lambda d: cl.js_divergence(d.simplex, d.simplex_other),
    "js_divergence_logit": lambda d: cl.js_divergence_logit(d.series, d.other),
    "bregman_divergence": lambda d: bregman(d.series, d.other),
    "bregman_divergence_logit": lambda d: bregman_logit(d.series, d.other),
    "equilibrium": lambda d: cl.equilibrium(d.assignment),
    "equilibrium_logit": lambda d: cl.equilibrium_logit(d.assignment),
    "second_moment": lambda d: cl.second_moment(d.series, d.assignment),
    "second_moment_centred": lambda d: cl.second_moment_centred(d.series, d.assignment, d.other[:, :3]),
    "reference_tether": lambda d: cl.reference_tether(d.assignment, d.references, d.places),
    "interhemispheric_tether": lambda d: cl.interhemispheric_tether(d.assignment, d.second, d.places, d.places_other),
    "compactness": lambda d: cl.compactness(d.assignment, d.places),
    "dispersion": lambda d: cl.dispersion(d.places),
    "multivariate_kurtosis": lambda d: cl.multivariate_kurtosis(d.series),
    "connectopy": lambda d: cl.connectopy(d.maps, d.affinity),
    "eigenmap": lambda d: cl.eigenmap(d.maps, d.affinity),
    "modularity": lambda d: cl.modularity(d.simplex, d.affinity),
    "identification": lambda d: cl.identification(d.series, d.other),
    "quantile_distance": lambda d: cl.quantile_distance(d.series, d.other),
    "maximum_mean_discrepancy": lambda d: mmd(d.series, d.other),
    "spectral_density_difference": lambda d: spectra(d.series, d.other),
    "connectivity_dynamics_distance": lambda d: dynamics(d.series, d.other),
}
"""Scores of two items, which both come first."""

WITHOUT_BATCH = {"batch_correlation", "qcfc", "operator_modularity", "sliced_wasserstein"}
"""Scores whose first axis is the subject's, which take one operator, or put their directions first."""

NO_SCORES = {"gradient_norms", "tolerated_correlation"}


def items(score, values):
    """Return a score of each item as a batch of one: a loop, so that it is compiled once."""
    held = [v.ndim != 3 for v in values]

    def one(place):
        return score(
            Drawn(*(v if h else jax.lax.dynamic_slice_in_dim(v, place, 1) for v, h in zip(values, held, strict=True)))
        )

    return jax.lax.map(one, jnp.arange(2))[:, 0]


def evaluated(functions):
    """Return what functions give for several draws in double precision: one program."""
    with jax.enable_x64(True):
        compiled = jax.jit(lambda values: {name: function(values) for name, function in functions.items()})
        return [jax.device_get(compiled(jax.tree.map(jnp.asarray, drawn(seed)))) for seed in range(N_DRAWS)]


@pytest.fixture(scope="module")
def bounded():
    return evaluated(BOUNDED)


@pytest.fixture(scope="module")
def same():
    return evaluated(SAME)


@pytest.fixture(scope="module")
def batched():
    return evaluated({name: lambda d, score=score: (score(d), items(score, d)) for name, score in BATCHED.items()})


@pytest.mark.parametrize("name", BOUNDED)
def test_a_score_keeps_its_bounds(bounded, name):
    for found in bounded:
        low, value, high = found[name]
        assert np.all(value >= low - 1e-10)
        assert np.all(value <= high + 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAME)
def test_a_score_has_its_symmetry(same, name):
    for found in same:
        np.testing.assert_allclose(*found[name], rtol=1e-8, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", BATCHED)
def test_a_batch_is_what_its_items_are(batched, name):
    for found in batched:
        np.testing.assert_allclose(*found[name], rtol=1e-9, atol=1e-12)


def test_every_public_score_is_held_to_properties():
    public = {
        name
        for name in cl.__all__
        if name.islower() and not name.endswith("_scalarise") and callable(getattr(cl, name)) and name not in NO_SCORES
    }
    assert set(SAME) == public
    assert set(BATCHED) | WITHOUT_BATCH == public
