"""Spheres: scikit-learn's haversine, neighbours and antipodes, poles, refusals."""

from functools import partial

import equinox as eqx
import jax
import numpy as np
import pytest
from op_case import OpCase
from sklearn.metrics.pairwise import haversine_distances

from conn.functional import from_latitude_longitude, great_circle_distance, to_latitude_longitude

RADIUS = 100.0
AXES = RADIUS * np.concatenate([np.eye(3), -np.eye(3)])


def _angles(points: np.ndarray) -> np.ndarray:
    return np.stack(
        [np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])), np.arctan2(points[:, 1], points[:, 0])], 1
    )


OP_CASES = [
    OpCase(
        "great_circle_distance",
        partial(great_circle_distance, radius=RADIUS),
        lambda rng: (rng.normal(size=(5, 3)), rng.normal(size=(4, 3))),
        "sklearn.metrics.pairwise.haversine_distances",
        lambda x, y: RADIUS * haversine_distances(_angles(x), _angles(y)),
        degenerate={"equal points and antipodes": (AXES[:5], AXES[:4])},
    ),
    OpCase(
        "to_latitude_longitude",
        to_latitude_longitude,
        lambda rng: (rng.normal(size=(5, 3)),),
        "numpy.arctan2",
        _angles,
        degenerate={"poles": (np.array([[0.0, 0.0, 1.0]] * 3 + [[0.0, 0.0, -5.0]] * 2),)},
    ),
    OpCase(
        "from_latitude_longitude",
        from_latitude_longitude,
        lambda rng: (rng.uniform(-1.5, 1.5, size=(5, 2)),),
        "numpy",
        lambda a: np.stack([np.cos(a[:, 0]) * np.cos(a[:, 1]), np.cos(a[:, 0]) * np.sin(a[:, 1]), np.sin(a[:, 0])], 1),
        degenerate={"poles": (np.array([[np.pi / 2, 0.0], [-np.pi / 2, 1.0]]),)},
    ),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_and_antipodes_keep_their_precision(dtype: type) -> None:
    angle = 1e-6
    points = np.array([[1.0, 0, 0], [np.cos(angle), np.sin(angle), 0], [-np.cos(angle), -np.sin(angle), 0]])
    found = np.asarray(great_circle_distance(points.astype(dtype), radius=1.0))
    epsilon = np.finfo(dtype).eps
    assert np.all(np.diag(found) == 0)
    np.testing.assert_allclose(found[0, 1], angle, rtol=4 * epsilon)
    np.testing.assert_allclose(found[0, 2], np.pi - angle, rtol=4 * epsilon)
    np.testing.assert_allclose(found[1, 2], np.pi, rtol=4 * epsilon)


def test_distances_are_a_metric_and_do_not_depend_on_the_radius_of_the_points(rng: np.random.Generator) -> None:
    points = rng.normal(size=(2, 8, 3))
    found = np.asarray(great_circle_distance(points, radius=RADIUS))
    np.testing.assert_array_equal(found, np.swapaxes(found, -1, -2))
    through = found[:, :, :, None] + found[:, None, :, :]  # from the first to the last by way of each
    assert np.all(through.min(2) >= found - 1e-9)
    np.testing.assert_allclose(great_circle_distance(3 * points, radius=RADIUS), found, rtol=1e-10, atol=1e-10)


def test_angles_and_coordinates_are_each_others_way_back(rng: np.random.Generator) -> None:
    points = rng.normal(size=(3, 5, 3))
    points *= RADIUS / np.linalg.norm(points, axis=-1, keepdims=True)
    np.testing.assert_allclose(
        from_latitude_longitude(to_latitude_longitude(points), radius=RADIUS), points, rtol=1e-10
    )


def test_what_has_no_direction_is_nan() -> None:
    points = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [np.nan, 1.0, 0.0]])
    assert np.isnan(to_latitude_longitude(points)).all(1).tolist() == [True, False, True]
    found = np.isnan(great_circle_distance(points, radius=1.0))
    assert found[0].all()
    assert found[2].all()
    assert not found[1, 1]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="three coordinates"):
        great_circle_distance(np.ones((4, 2)), radius=1.0)
    with pytest.raises(ValueError, match="radius must be above 0"):
        great_circle_distance(np.ones((4, 3)), radius=0.0)
    with pytest.raises(ValueError, match="latitude and longitude on their last axis"):
        from_latitude_longitude(np.ones((4, 3)))
    checked = eqx.filter_jit(partial(great_circle_distance, radius=RADIUS, check=True))
    assert np.isfinite(checked(1.0005 * AXES)).all()
    with pytest.raises(eqx.EquinoxRuntimeError, match="does not lie on the sphere of radius 100"):
        checked(1.002 * AXES)
    with pytest.raises(eqx.EquinoxRuntimeError, match="coordinates holds NaN"):
        checked(np.full((2, 3), np.nan))


def test_three_points_are_carried_apart_by_gradient() -> None:
    start = np.array([[0.0, 0.0, 1.0], [0.0, 0.3, 1.0], [0.3, 0.0, 1.0]])

    @jax.jit
    def ascend(points: jax.Array) -> jax.Array:
        def step(points: jax.Array, _: None) -> tuple[jax.Array, None]:
            return points + 0.02 * jax.grad(lambda x: great_circle_distance(x, radius=1.0).sum())(points), None

        return great_circle_distance(jax.lax.scan(step, points, length=300)[0], radius=1.0)

    # A triangle on a sphere is at most as long as a great circle.
    np.testing.assert_allclose(np.asarray(ascend(start))[np.triu_indices(3, 1)].sum(), 2 * np.pi, rtol=1e-3)
