"""What losses say of inputs without an answer, or at the edge of one; and what they refuse."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import conn.loss as cl
from conn.functional import laplacian_eigenmaps

KEY = jax.random.PRNGKey(0)
SERIES = jnp.asarray(np.random.default_rng(0).standard_normal((4, 20)))

FINITE = {
    "entropy of certainty": (cl.entropy, (jnp.array([1.0, 0.0]),), 0.0),
    "kl with zeros in both": (cl.kl_divergence, (jnp.array([1.0, 0.0]), jnp.array([1.0, 0.0])), 0.0),
    "js of disjoint": (cl.js_divergence, (jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])), np.log(2)),
    "entropy of extreme logits": (cl.entropy_logit, (jnp.array([1e4, -1e4]),), 0.0),
    "log-determinant of one signal twice": (cl.log_det_gram, (jnp.stack([SERIES[0]] * 2),), -np.log(1.001**2 - 1)),
    "constant feature": (
        lambda x: cl.batch_correlation(x, jnp.arange(5.0)).sum(),
        (jnp.ones((5, 2)),),
        0.0,
    ),
    "centres at their reference": (
        lambda a: cl.reference_tether(a, jnp.eye(3), jnp.eye(3)).sum(),
        (jnp.eye(3),),
        0.0,
    ),
    "coincident points": (cl.dispersion, (jnp.ones((3, 3)),), 0.0),
    "samples at one place": (cl.maximum_mean_discrepancy, (jnp.ones((3, 2)), jnp.ones((4, 2))), 0.0),
    "identical subjects": (lambda x: cl.identification(x, x).mean(), (jnp.stack([SERIES[0]] * 3),), np.log(3)),
    "signal without spectrum": (
        lambda x: cl.MSELoss()(cl.spectral_density_difference(x, x, repetition_time=2.0, segment_length=5)),
        (jnp.zeros((1, 10)),),
        0.0,
    ),
    "maps that depend on each other": (
        lambda y: cl.eigenmap(jnp.stack([y, y], -1), 1 - jnp.eye(4)),
        (jnp.array([1.0, -1.0, 0.0, 0.0]),),
        4 / 3,
    ),
    "correlation of one": (lambda r: (cl.fisher_z_difference(r, r) ** 2).sum(), (jnp.ones((2, 2)),), 0.0),
}


@pytest.mark.parametrize("name", FINITE)
def test_degenerate_inputs_have_a_finite_value_and_derivative(name):
    function, arguments, expected = FINITE[name]
    value, gradient = jax.jit(jax.value_and_grad(function))(*arguments)
    assert float(value) == pytest.approx(expected, abs=1e-4)
    assert np.isfinite(gradient).all()


def test_where_there_is_no_answer_it_is_nan_or_infinite_and_never_zero():
    assert np.isinf(cl.kl_divergence(jnp.array([0.5, 0.5]), jnp.array([1.0, 0.0])))
    assert np.isnan(cl.second_moment(jnp.ones((2, 1)), jnp.zeros((1, 2)))).all()
    assert np.isnan(cl.compactness(jnp.zeros((1, 3)), jnp.eye(3))).all()
    assert np.isnan(cl.equilibrium(jnp.zeros((2, 3)))).all()


def test_the_determinant_underflows_with_many_regions_and_its_logarithm_does_not():
    """The original's determinant loss has neither value nor derivative then."""
    rng = np.random.default_rng(0)
    alike = (rng.standard_normal(40) + 0.03 * rng.standard_normal((30, 40))).astype(np.float32)
    assert jax.jit(cl.det_gram)(alike) == 0
    value, gradient = jax.jit(jax.value_and_grad(cl.log_det_gram))(alike)
    assert value > 100
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_the_order_of_a_norm_and_a_floor_are_heeded():
    """The original's compactness ignores its settings."""
    points = jnp.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    assert float(cl.CompactnessLoss(floor=0.75)(jnp.ones((1, 2)), points)) == pytest.approx(0.25)
    assert float(cl.NormedLoss(p=1)(jnp.array([3.0, -4.0]))) == pytest.approx(7.0)


def test_eigenmaps_reach_the_least_value_whatever_spans_them():
    affinity = np.exp(-np.abs(np.subtract.outer(np.arange(8.0), np.arange(8.0))))
    maps, values = jax.jit(lambda a: laplacian_eigenmaps(a, 2)[:2])(affinity)
    mixed = 3.0 + maps @ jnp.array([[2.0, 1.0], [0.5, -1.0]])
    assert float(jax.jit(cl.eigenmap)(mixed, affinity)) == pytest.approx(float(values.sum()), rel=1e-4)


def test_qcfc_of_unrelated_edges_falls_below_the_tolerance_as_often_as_stated():
    """400 edges of which 10 % should exceed: fails by chance about once in 1000."""
    rng = np.random.default_rng(0)
    excess_of = jax.jit(partial(cl.batch_correlation, significance=0.1))
    excess = excess_of(rng.standard_normal((50, 400)), rng.standard_normal(50))
    assert 0.05 < (np.asarray(excess) > 0).mean() < 0.15


def test_descent_on_the_sliced_distance_moves_a_sample_onto_its_target():
    rng = np.random.default_rng(0)
    target = rng.standard_normal((60, 2)) + 3
    loss = cl.SlicedWassersteinLoss(n_directions=16)

    def descend(state, key):
        return state - 20 * jax.grad(lambda x: loss(x, target, key=key))(state), None

    start = jnp.asarray(rng.standard_normal((40, 2)))
    found, _ = jax.lax.scan(descend, start, jax.random.split(KEY, 100))
    np.testing.assert_allclose(found.mean(0), target.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(found.T), np.cov(target.T), atol=0.2)


def test_fingerprints_are_told_apart_and_noise_is_not():
    rng = np.random.default_rng(0)
    own, noise = rng.standard_normal((10, 200)), rng.standard_normal((3, 10, 200))
    mean_loss = jax.jit(lambda one, other: cl.identification(one, other).mean())
    assert float(mean_loss(own + 0.5 * noise[0], own + 0.5 * noise[1])) < 0.05
    assert float(mean_loss(noise[1], noise[2])) > np.log(10) - 0.2


def test_switching_covariance_has_more_kurtosis_than_a_stationary_one():
    rng = np.random.default_rng(0)
    still = rng.standard_normal((3, 600))
    switching = still * np.where(np.arange(600) % 100 < 50, 0.3, 1.7)
    kurtosis = jax.jit(partial(cl.multivariate_kurtosis, dimensional_scaling=True))
    scaled = [float(kurtosis(x)) for x in (still, switching)]
    assert scaled[0] == pytest.approx(1.0, abs=0.15)
    assert scaled[1] > 1.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cl.difference(jnp.ones(3), jnp.ones((2, 3))), "must broadcast to the values' shape"),
        (lambda: cl.masked(jnp.ones(3), jnp.ones(2, bool)), r"mask must broadcast .* \(2,\)"),
        (lambda: cl.MaskedLoss(cl.SmoothnessLoss())(jnp.ones(3), mask=jnp.ones(3, bool)), "cannot be masked"),
        (lambda: cl.constraint_violation(jnp.ones(3), constraints=()), "at least one constraint"),
        (lambda: cl.bregman_divergence(1.0, 2.0, function=jnp.sum), "takes 1 axes"),
        (lambda: cl.equilibrium(jnp.ones((2, 2)), level_axis=-1), "an axis each"),
        (lambda: cl.tolerated_correlation(2), "at least 3 subjects"),
        (lambda: cl.tolerated_correlation(9, significance=1.0), "between 0 and 1"),
        (lambda: cl.batch_correlation(jnp.ones((3, 2)), jnp.ones(4)), r"have \(3, 2\) and \(4,\)"),
        (lambda: cl.batch_correlation(jnp.ones((2, 2)), jnp.ones(2)), "at least 3 of them"),
        (lambda: cl.qcfc(jnp.ones((3, 2, 2)), jnp.ones(3), tolerance=0.1, significance=0.1), "not both"),
        (lambda: cl.second_moment(jnp.ones((3, 2)), jnp.ones((2, 2))), "assignment"),
        (lambda: cl.second_moment_centred(jnp.ones((3, 2)), jnp.ones((2, 3)), jnp.ones((3, 2))), "centre must have"),
        (lambda: cl.multivariate_kurtosis(jnp.ones(3)), r"\(\.\.\., region, frame\)"),
        (lambda: cl.multivariate_kurtosis(jnp.ones((3, 3))), "give a ridge"),
        (lambda: cl.identification(jnp.ones((3, 2)), jnp.ones((2, 2))), "one shape"),
        (lambda: cl.identification(jnp.ones((1, 2)), jnp.ones((1, 2))), "at least 2 subjects"),
        (lambda: cl.identification(jnp.ones((2, 2)), jnp.ones((2, 2)), temperature=0), "must be positive"),
        (lambda: cl.connectopy(jnp.ones((3, 1)), jnp.ones((2, 2))), "maps must have"),
        (lambda: cl.connectopy(jnp.ones((2, 1)), jnp.ones((2, 2)), weight=jnp.ones(2)), "weight must have"),
        (lambda: cl.eigenmap(jnp.ones((2, 2)), jnp.ones((2, 2))), "at most 1 maps"),
        (lambda: cl.quantile_distance(jnp.ones(2), jnp.ones(2), p=0.5), "at least 1"),
        (lambda: cl.quantile_distance(jnp.ones(2), jnp.ones(0)), "both samples need values"),
        (lambda: cl.sliced_wasserstein(jnp.ones((2, 2)), jnp.ones((2, 3)), key=KEY), "one number of features"),
        (
            lambda: cl.sliced_wasserstein(jnp.ones((2, 2)), jnp.ones((2, 2)), key=KEY, n_directions=0),
            "at least 1 direction",
        ),
        (lambda: cl.SlicedWassersteinLoss()(jnp.ones((2, 2)), jnp.ones((2, 2))), "call it with key="),
        (
            lambda: cl.spectral_density_difference(SERIES, SERIES, repetition_time=2.0, segment_length=5, floor=0),
            "floor must be positive",
        ),
        (lambda: cl.connectivity_dynamics_distance(SERIES[:2], SERIES, width=5), "at least 3 regions"),
        (
            lambda: jax.eval_shape(partial(cl.connectivity_dynamics_distance, width=15), SERIES, SERIES),
            "do not overlap",
        ),
        (lambda: cl.modularity(jnp.ones((3, 2)), jnp.ones((2, 2)), sign=None), r"Q must have shape \(\.\.\., 2"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
