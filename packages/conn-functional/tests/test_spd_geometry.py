"""The space of SPD matrices: pyRiemann's means, distances, maps and transport; planted means; invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pyriemann.geometry.distance as peer_distance
import pyriemann.geometry.mean as peer_mean
import pyriemann.geometry.tangentspace as peer_tangent
import pytest
from op_case import OpCase

from conn.functional import cone_project, parallel_transport, spd_distance, spd_mean, tangent_project

METRICS = {
    "euclidean": ("euclid", {}),
    "log-euclidean": ("logeuclid", {}),
    "harmonic": ("harmonic", {}),
    "geometric": ("riemann", {"tol": 1e-13, "maxiter": 200}),
    "kullback": ("kullback_sym", {}),
    "bures-wasserstein": ("wasserstein", {"tol": 1e-13, "maxiter": 500}),
}
EYE = np.eye(4)
mean = jax.jit(spd_mean, static_argnames=("metric", "tolerance", "max_steps"))
distance = jax.jit(spd_distance, static_argnames="metric")


def _stack(rng: np.random.Generator, n_matrices: int = 3, n_regions: int = 4) -> np.ndarray:
    factors = rng.normal(size=(n_matrices, n_regions, 9)) * rng.uniform(0.5, 2, size=(n_matrices, 1, 1))
    return factors @ np.swapaxes(factors, -1, -2) / 9


OP_CASES = [
    OpCase(
        "spd_mean",
        spd_mean,
        lambda rng: (_stack(rng),),
        "pyriemann.geometry.mean.mean_riemann",
        lambda stack: peer_mean.mean_riemann(stack, tol=1e-13, maxiter=200),
        degenerate={"all alike": (np.stack([EYE] * 3),), "repeated eigenvalues": (np.stack([EYE, 2 * EYE, 3 * EYE]),)},
    ),
    OpCase(
        "spd_distance",
        spd_distance,
        lambda rng: tuple(_stack(rng, 2)),
        "pyriemann.geometry.distance.distance_riemann",
        peer_distance.distance_riemann,
        degenerate={"equal": (EYE, EYE), "repeated eigenvalues": (EYE, 2 * EYE)},
    ),
    OpCase(
        "tangent_project",
        tangent_project,
        lambda rng: tuple(_stack(rng, 2)),
        "pyriemann.geometry.tangentspace.log_map_riemann",
        peer_tangent.log_map_riemann,
        degenerate={"equal": (EYE, EYE), "repeated eigenvalues": (EYE, 2 * EYE)},
    ),
    OpCase(
        "cone_project",
        cone_project,
        lambda rng: (rng.normal(size=(4, 4)) / 3, _stack(rng)[0]),
        "pyriemann.geometry.tangentspace.exp_map_riemann",
        lambda tangent, reference: peer_tangent.exp_map_riemann((tangent + tangent.T) / 2, reference),
        degenerate={"zero": (0 * EYE, EYE)},
    ),
    OpCase(
        "parallel_transport",
        parallel_transport,
        lambda rng: tuple(_stack(rng)),
        "pyriemann.geometry.tangentspace.transport_riemann",
        peer_tangent.transport_riemann,
        degenerate={"to the same place": (EYE, EYE, EYE)},
    ),
]


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T


def _whitened(vector: np.ndarray, reference: np.ndarray) -> np.ndarray:
    whitener = np.linalg.inv(_root(reference))
    return whitener @ vector @ whitener


@pytest.mark.parametrize("metric", METRICS)
def test_means_and_distances_are_pyriemanns(metric, rng):
    name, settings = METRICS[metric]
    stack, weight = _stack(rng, 5), rng.uniform(0.2, 1.0, 5)
    expected = getattr(peer_mean, f"mean_{name}")(stack, sample_weight=weight, **settings)
    np.testing.assert_allclose(
        mean(stack, metric=metric, weight=weight, tolerance=1e-13), expected, rtol=1e-7, atol=1e-9
    )
    expected = getattr(peer_distance, f"distance_{name}")(stack[0], stack[1])
    np.testing.assert_allclose(distance(stack[0], stack[1], metric=metric), expected, rtol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_the_gradient_of_a_mean_is_that_of_finite_differences(metric, rng):
    stack, probe, direction = _stack(rng), rng.normal(size=(4, 4)), _stack(rng)
    weight = np.array([0.5, 1.0, 2.0])

    def value(step: float, tilt: float):
        found = spd_mean(stack + step * direction, metric=metric, weight=weight + tilt * weight**2, tolerance=1e-13)
        return (found * probe).sum()

    slopes = jax.jit(jax.grad(value, argnums=(0, 1)))(0.0, 0.0)
    plain, size = jax.jit(value), 1e-5
    differences = [
        (plain(size, 0.0) - plain(-size, 0.0)) / (2 * size),
        (plain(0.0, size) - plain(0.0, -size)) / (2 * size),
    ]
    np.testing.assert_allclose(slopes, differences, rtol=1e-5, atol=1e-8)


def test_the_geometric_mean_moves_with_the_coordinates_and_inverts_with_the_matrices(rng):
    stack, mixing = _stack(rng), rng.normal(size=(4, 4))
    found = mean(stack)
    np.testing.assert_allclose(mean(mixing @ stack @ mixing.T), mixing @ found @ mixing.T, rtol=1e-7)
    np.testing.assert_allclose(mean(np.linalg.inv(stack)), np.linalg.inv(found), rtol=1e-7)


def test_far_apart_matrices_have_a_mean_and_too_few_steps_are_no_answer(rng):
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    stack = np.stack([np.diag([1e-4, 1.0, 1e4, 1.0]), rotation @ np.diag([1e4, 1e-4, 1.0, 1.0]) @ rotation.T])
    # Of two matrices the mean is known: half the way of the geodesic.
    half = np.asarray(cone_project(tangent_project(stack[1], stack[0]) / 2, stack[0]))
    np.testing.assert_allclose(mean(stack, max_steps=200), half, rtol=1e-5, atol=1e-6)
    assert bool(jnp.isnan(mean(stack, max_steps=1)).all())


def test_a_transported_vector_keeps_its_length_and_the_source_becomes_the_target(rng):
    vector, source, target = _stack(rng)
    carried = parallel_transport(vector, source, target)
    lengths = [np.linalg.norm(_whitened(v, at)) for v, at in ((vector, source), (np.asarray(carried), target))]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-9)
    np.testing.assert_allclose(parallel_transport(source, source, target), target, rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: spd_mean(s, metric="median"), "metric must be one of"),
        (lambda s: spd_distance(s[0], s[1], metric="l1"), "metric must be one of"),
        (lambda s: spd_mean(s[0]), "matrix, region, region"),
        (lambda s: spd_mean(s, weight=np.ones(2)), "each of the 3 matrices"),
        (lambda s: spd_distance(s[0], np.eye(3)), "as many regions"),
        (lambda s: tangent_project(s[0], np.eye(3)), "as many regions"),
        (lambda s: spd_mean(s - 9 * np.eye(4), check=True), "matrices is not positive definite.*eigenvalue being -"),
        (lambda s: tangent_project(s[0], -s[1], check=True), "reference is not positive definite"),
    ],
)
def test_bad_input_is_refused(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(_stack(rng))


def test_indefinite_matrices_are_nan_far_away_from_zero(rng):
    assert bool(jnp.isnan(distance(np.diag([1.0, -1.0]), np.eye(2))))
