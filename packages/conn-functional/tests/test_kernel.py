"""Kernels: scikit-learn and SciPy, metrics, coincident points, zero vectors, refusals."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from op_case import OpCase
from scipy.spatial.distance import cdist
from sklearn.metrics import pairwise

from conn.functional import (
    cosine_kernel,
    gaussian_kernel,
    laplacian_kernel,
    linear_kernel,
    pairwise_distance,
    pairwise_squared_distance,
    polynomial_kernel,
    sigmoid_kernel,
)

SHAPE, OTHER = (5, 3), (4, 3)
COINCIDENT = np.array([[0.1, 0.2, 0.3]] * 2 + [[1.0, 2.0, 3.0]] * 3)
DEGENERATE = {"zeros": (np.zeros(SHAPE), np.zeros(OTHER)), "coincident": (COINCIDENT, COINCIDENT[:4])}


def _two(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.normal(size=SHAPE), rng.normal(size=OTHER)


OP_CASES = [
    OpCase(
        "pairwise_squared_distance",
        pairwise_squared_distance,
        _two,
        "sklearn.metrics.pairwise.euclidean_distances",
        partial(pairwise.euclidean_distances, squared=True),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "pairwise_distance",
        lambda x, m: pairwise_distance(x, metric=m @ m.T),
        lambda rng: (rng.normal(size=SHAPE), rng.normal(size=(3, 3))),
        "scipy.spatial.distance.cdist",
        lambda x, m: cdist(x, x, "mahalanobis", VI=m @ m.T),
        degenerate={"coincident": (COINCIDENT, np.eye(3)), "no metric": (np.eye(5)[:, :3], np.zeros((3, 3)))},
    ),
    OpCase(
        "linear_kernel",
        lambda x, y, w: linear_kernel(x, y, weight=w),
        lambda rng: (*_two(rng), rng.random(3)),
        "sklearn.metrics.pairwise.linear_kernel",
        lambda x, y, w: pairwise.linear_kernel(x * w, y),
        degenerate={"zeros": (np.zeros(SHAPE), np.zeros(OTHER), np.zeros(3))},
    ),
    OpCase(
        "polynomial_kernel",
        partial(polynomial_kernel, degree=2, gamma=0.3, offset=2.0),
        _two,
        "sklearn.metrics.pairwise.polynomial_kernel",
        partial(pairwise.polynomial_kernel, degree=2, gamma=0.3, coef0=2),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "sigmoid_kernel",
        sigmoid_kernel,
        _two,
        "sklearn.metrics.pairwise.sigmoid_kernel",
        pairwise.sigmoid_kernel,
        degenerate=DEGENERATE,
    ),
    OpCase(
        "gaussian_kernel",
        lambda x, y, width: gaussian_kernel(x, y, width=width),
        lambda rng: (*_two(rng), np.asarray(1.5)),
        "sklearn.metrics.pairwise.rbf_kernel",
        lambda x, y, width: pairwise.rbf_kernel(x, y, gamma=1 / (2 * width**2)),
        degenerate={name: (*arrays, np.asarray(1.0)) for name, arrays in DEGENERATE.items()},
    ),
    OpCase(
        "laplacian_kernel",
        laplacian_kernel,
        _two,
        "sklearn.metrics.pairwise.laplacian_kernel",
        pairwise.laplacian_kernel,
        degenerate=DEGENERATE,
    ),
    OpCase(
        "cosine_kernel",
        cosine_kernel,
        _two,
        "sklearn.metrics.pairwise.cosine_similarity",
        pairwise.cosine_similarity,
        degenerate=DEGENERATE,
    ),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_coincident_points_are_at_no_distance_and_harm_no_gradient(dtype: type, rng: np.random.Generator) -> None:
    points = (1e4 + rng.normal(size=(6, 1000))).astype(dtype)
    points[3] = points[1]
    value, gradient = jax.jit(jax.value_and_grad(lambda x: pairwise_distance(x).sum()))(points)
    distances = np.asarray(jax.jit(pairwise_distance)(points))
    assert np.all(np.diag(distances) == 0)
    assert distances[1, 3] == 0
    np.testing.assert_array_equal(distances, distances.T)
    np.testing.assert_allclose(distances, cdist(points, points), rtol=1e-4 if dtype is np.float32 else 1e-10)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_the_squared_distance_has_its_derivative_at_coincident_points() -> None:
    # f(x) = |x1 - x2|^2 + a tilt of every distance: at x1 = x2 its derivative is 0, and around it 2 (x1 - x2).
    step = 1e-9
    points = jnp.array([[1.0, 2.0], [1.0 + step, 2.0], [5.0, -3.0]])
    gradient = jax.grad(lambda x: pairwise_squared_distance(x)[0, 1])(points)
    np.testing.assert_allclose(gradient, [[-2 * step, 0], [2 * step, 0], [0, 0]], atol=1e-14)


def test_settings_mean_the_same_in_two_ways(rng: np.random.Generator) -> None:
    points, weight = rng.normal(size=(2, 5, 3)), rng.random((2, 3))
    metric = weight[..., None] * np.eye(3)
    for kernel in (pairwise_squared_distance, linear_kernel, cosine_kernel):
        np.testing.assert_allclose(kernel(points, weight=weight), kernel(points, metric=metric), rtol=1e-12)
    np.testing.assert_allclose(gaussian_kernel(points, width=2.0), gaussian_kernel(points, gamma=0.125), rtol=1e-12)
    scaled = laplacian_kernel(points * weight[:, None])
    np.testing.assert_allclose(laplacian_kernel(points, weight=weight), scaled, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_a_cosine_has_no_unit_and_zeros_have_none(scale: float, rng: np.random.Generator) -> None:
    points = rng.normal(size=(4, 3)).astype(np.float32)
    points[2] = 0
    found = np.asarray(cosine_kernel(np.float32(scale) * points))
    np.testing.assert_allclose(found, pairwise.cosine_similarity(points), atol=1e-6)
    np.testing.assert_array_equal(np.diag(found), [1, 1, 0, 1])


def test_a_parameter_of_the_metric_is_recovered_by_its_gradient(rng: np.random.Generator) -> None:
    points, truth = rng.normal(size=(30, 2)), jnp.array([2.0, 0.1])
    wanted = gaussian_kernel(points, weight=truth)

    def step(weight: jax.Array, _: None) -> tuple[jax.Array, None]:
        loss = jax.grad(lambda w: ((gaussian_kernel(points, weight=jax.nn.softplus(w)) - wanted) ** 2).sum())
        return weight - 0.1 * loss(weight), None

    found = jax.lax.scan(step, jnp.zeros(2), length=300)[0]
    np.testing.assert_allclose(jax.nn.softplus(found), truth, rtol=1e-3)


def test_nan_is_not_hidden() -> None:
    points = np.array([[1.0, np.nan], [0.0, 1.0], [2.0, 0.0]])
    assert np.isnan(pairwise_distance(points)).all()
    for kernel in (linear_kernel, cosine_kernel, laplacian_kernel, polynomial_kernel):
        found = np.isnan(kernel(points))
        assert found[0].all()
        assert found[:, 0].all()
        assert not found[1:, 1:].any()


def test_bad_input_is_refused() -> None:
    points = np.ones((4, 3))
    with pytest.raises(ValueError, match="3 features of points"):
        linear_kernel(points, np.ones((4, 2)))
    with pytest.raises(ValueError, match="weight or metric, not both"):
        linear_kernel(points, weight=np.ones(3), metric=np.eye(3))
    with pytest.raises(ValueError, match=r"weight must have shape \(..., 3\)"):
        linear_kernel(points, weight=np.ones(4))
    with pytest.raises(ValueError, match=r"metric must have shape \(..., 3, 3\)"):
        linear_kernel(points, metric=np.ones(3))
    with pytest.raises(ValueError, match="gamma or width, not both"):
        gaussian_kernel(points, gamma=1.0, width=1.0)
    with pytest.raises(ValueError, match="width must be finite and above 0"):
        gaussian_kernel(points, width=0.0)
    with pytest.raises(ValueError, match="gamma must be finite and above 0"):
        laplacian_kernel(points, gamma=-1.0)
    with pytest.raises(ValueError, match="degree must be a whole number"):
        polynomial_kernel(points, degree=0)


def test_bad_values_are_refused_on_demand() -> None:
    points = np.arange(6.0).reshape(3, 2)
    checked = eqx.filter_jit(partial(linear_kernel, check=True))
    for message, settings in {
        "weight must not be negative": {"weight": np.array([1.0, -1.0])},
        "metric must be symmetric": {"metric": np.array([[1.0, 0.5], [0.0, 1.0]])},
        "metric must be positive semidefinite": {"metric": np.diag([1.0, -1.0])},
    }.items():
        with pytest.raises(eqx.EquinoxRuntimeError, match=message):
            checked(points, **settings)
    with pytest.raises(eqx.EquinoxRuntimeError, match="points holds NaN"):
        checked(np.full((2, 2), np.nan))
