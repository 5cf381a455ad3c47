"""Centres of mass and extent: SciPy's centres, the sphere, empty regions, recovery by gradient, refusals."""

from functools import partial

import equinox as eqx
import jax
import numpy as np
import pytest
from op_case import OpCase
from scipy.ndimage import center_of_mass
from scipy.spatial.distance import cdist, pdist

from conn.functional import centre_displacement, centre_of_mass, compactness, dispersion

GRID = np.concatenate([np.indices((4, 5)).reshape(2, -1), np.zeros((1, 20))]).T
RADIUS = 100.0


def _centres(weights: np.ndarray) -> np.ndarray:
    return np.array([[*center_of_mass(row.reshape(4, 5)), 0.0] for row in weights])


def _regions(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.random((3, 20)), GRID


def _spread(weights: np.ndarray) -> np.ndarray:
    distances = cdist(_centres(weights), GRID)
    return (weights * distances).sum(1) / weights.sum(1)


ONE_VERTEX = {"regions of one vertex": (np.eye(3, 20), GRID), "vertices in one place": (np.ones((3, 20)), 0 * GRID)}

OP_CASES = [
    OpCase(
        "centre_of_mass",
        centre_of_mass,
        _regions,
        "scipy.ndimage.center_of_mass",
        lambda weights, points: _centres(weights),
        degenerate=ONE_VERTEX,
    ),
    OpCase(
        "centre_displacement",
        centre_displacement,
        lambda rng: (*_regions(rng), rng.random((3, 3))),
        "scipy.ndimage.center_of_mass",
        lambda weights, points, reference: np.linalg.norm(_centres(weights) - reference, axis=1),
        degenerate={name: (*arrays, 0 * GRID[:3]) for name, arrays in ONE_VERTEX.items()},
    ),
    OpCase(
        "compactness",
        compactness,
        _regions,
        "scipy.ndimage.center_of_mass",
        lambda weights, points: _spread(weights),
        degenerate=ONE_VERTEX,
    ),
    OpCase(
        "dispersion",
        partial(dispersion, threshold=1.5),
        lambda rng: (rng.normal(size=(5, 3)),),
        "scipy.spatial.distance.pdist",
        lambda points: np.minimum(pdist(points), 1.5).mean(),
        degenerate={"coincident": (np.ones((5, 3)),)},
    ),
]


def _sphere(rng: np.random.Generator, n_vertices: int) -> np.ndarray:
    points = rng.normal(size=(n_vertices, 3))
    return RADIUS * points / np.linalg.norm(points, axis=1, keepdims=True)


def test_on_a_sphere_centres_lie_on_it_and_turn_with_it(rng: np.random.Generator) -> None:
    points, weights = _sphere(rng, 60), rng.random((2, 4, 60))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = jax.jit(partial(centre_of_mass, radius=RADIUS))
    centres = np.asarray(found(weights, points))
    np.testing.assert_allclose(np.linalg.norm(centres, axis=-1), RADIUS, rtol=1e-12)
    np.testing.assert_allclose(found(weights, points @ turn), centres @ turn, rtol=1e-9, atol=1e-9)
    flat = np.asarray(centre_of_mass(weights, points))
    np.testing.assert_allclose(centres, RADIUS * flat / np.linalg.norm(flat, axis=-1, keepdims=True), rtol=1e-12)


def test_compactness_is_the_mean_angle_of_a_ring() -> None:
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = RADIUS * np.stack([np.sin(0.4) * np.cos(angles), np.sin(0.4) * np.sin(angles), np.full(12, np.cos(0.4))], 1)
    both = jax.jit(lambda points: [compactness(np.ones((1, 12)), points, radius=radius) for radius in (RADIUS, None)])
    along, straight = both(ring)
    np.testing.assert_allclose(along, [0.4 * RADIUS], rtol=1e-12)
    np.testing.assert_allclose(straight, [np.sin(0.4) * RADIUS], rtol=1e-12)


def test_a_region_without_vertices_or_direction_is_nan_and_harms_no_other() -> None:
    points = RADIUS * np.concatenate([np.eye(3), -np.eye(3)])
    weights = np.array([[1.0, 1, 0, 0, 0, 0], [0.0] * 6, [1.0] * 6])

    def total(weights: np.ndarray) -> tuple[jax.Array, jax.Array]:
        centres = centre_of_mass(weights, points, radius=RADIUS)
        return centres[0].sum(), centres

    gradient, centres = jax.jit(jax.grad(total, has_aux=True))(weights)
    assert np.isnan(centres).all(1).tolist() == [False, True, True]
    assert np.isfinite(gradient).all()
    assert np.isnan(compactness(weights, points)).tolist() == [False, True, False]


def test_a_soft_region_shrinks_around_its_centre_by_gradient(rng: np.random.Generator) -> None:
    points = _sphere(rng, 200)
    near = RADIUS * np.arccos(points @ points[0] / RADIUS**2 * (1 - 1e-12))
    start = -((near / 60.0) ** 2) + 0.5 * rng.normal(size=200)

    @jax.jit
    def descend(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
        def cost(x: jax.Array) -> jax.Array:
            return compactness(jax.nn.softmax(x)[None], points, radius=RADIUS).sum()

        ends = jax.lax.scan(lambda x, _: (x - jax.grad(cost)(x), None), logits, length=200)[0]
        return cost(logits), cost(ends)

    before, after = descend(start)
    assert after < 0.5 * before


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(..., 20, 3\) here"):
        centre_of_mass(np.ones((3, 20)), GRID[:5])
    with pytest.raises(ValueError, match="reference must have 3 regions"):
        centre_displacement(np.ones((3, 20)), GRID, np.ones((2, 3)))
    with pytest.raises(ValueError, match="at least two points"):
        dispersion(np.ones((1, 3)))
    with pytest.raises(ValueError, match="threshold must be above 0"):
        dispersion(np.ones((2, 3)), threshold=0.0)
    checked = eqx.filter_jit(partial(centre_of_mass, check=True))
    with pytest.raises(eqx.EquinoxRuntimeError, match="must not be negative"):
        checked(-np.eye(3, 20), GRID)
    with pytest.raises(eqx.EquinoxRuntimeError, match="region without vertices"):
        checked(np.zeros((3, 20)), GRID)
    with pytest.raises(eqx.EquinoxRuntimeError, match="does not lie on the sphere"):
        eqx.filter_jit(partial(dispersion, radius=RADIUS, check=True))(np.ones((3, 3)))
