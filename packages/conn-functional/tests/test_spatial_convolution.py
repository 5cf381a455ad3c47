"""Smoothing over a surface: SciPy's filter on a line, constants, masks, neighbours' lists, real surfaces."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import nibabel
import numpy as np
import pytest
from op_case import OpCase
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics.pairwise import haversine_distances

from conn.functional import (
    NeighbourLists,
    centre_of_mass,
    euclidean_convolution,
    great_circle_distance,
    label_matrix,
    neighbour_lists,
    spherical_convolution,
    to_latitude_longitude,
)

LINE = np.arange(9.0)[:, None] * np.array([1.0, 0.0, 0.0])
RADIUS, SCALE = 100.0, 30.0


def _sphere(rng: np.random.Generator, n_vertices: int) -> np.ndarray:
    points = rng.normal(size=(n_vertices, 3))
    return RADIUS * points / np.linalg.norm(points, axis=1, keepdims=True)


def _on_a_line(maps: np.ndarray) -> np.ndarray:
    smooth = partial(gaussian_filter1d, sigma=2.0, mode="constant", truncate=10.0)
    return smooth(maps) / smooth(np.ones(maps.shape[-1]))


def _by_haversine(maps: np.ndarray, points: np.ndarray) -> np.ndarray:
    angles = np.stack([np.arcsin(points[:, 2] / RADIUS), np.arctan2(points[:, 1], points[:, 0])], 1)
    weights = np.exp(-0.5 * (RADIUS * haversine_distances(angles) / SCALE) ** 2)
    return maps @ weights / weights.sum(0)


NOT_OPERATIONS = {"NeighbourLists": "what neighbour_lists returns"}

OP_CASES = [
    OpCase(
        "euclidean_convolution",
        lambda maps, points: euclidean_convolution(maps, points, scale=2.0),
        lambda rng: (rng.normal(size=9), LINE),
        "scipy.ndimage.gaussian_filter1d",
        lambda maps, points: _on_a_line(maps),
        degenerate={"vertices in one place": (np.ones(9), np.zeros((9, 3)))},
    ),
    OpCase(
        "spherical_convolution",
        lambda maps, points: spherical_convolution(maps, points, scale=SCALE, radius=RADIUS, block_size=4),
        lambda rng: (rng.normal(size=9), _sphere(rng, 9)),
        "sklearn.metrics.pairwise.haversine_distances",
        _by_haversine,
        degenerate={"antipodes": (np.ones(9), np.resize([[0, 0, RADIUS], [0, 0, -RADIUS]], (9, 3)))},
    ),
    OpCase(
        "neighbour_lists",
        lambda points: neighbour_lists(np.asarray(points), cutoff=2.5).mask.sum(1),
        lambda rng: (LINE,),
        "numpy",
        lambda points: (np.abs(np.subtract.outer(points[:, 0], points[:, 0])) < 2.5).sum(1),
        host_only="SciPy's k-d tree finds the neighbours",
    ),
]


def test_lists_of_all_neighbours_give_the_dense_result(rng: np.random.Generator) -> None:
    points, maps = _sphere(rng, 40), rng.normal(size=(2, 3, 40))
    mask = rng.random(40) > 0.3
    lists = neighbour_lists(points, cutoff=np.pi * RADIUS, radius=RADIUS)
    assert lists.mask.all()

    @jax.jit
    def both(points: np.ndarray) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        def squares(points: np.ndarray, neighbours: NeighbourLists | None) -> tuple[jax.Array, jax.Array]:
            settings = {"scale": SCALE, "radius": RADIUS, "mask": mask, "neighbours": neighbours, "block_size": 16}
            found = spherical_convolution(maps, points, **settings)
            return (found**2).sum(), found

        graded = jax.grad(squares, has_aux=True)
        return graded(points, None), graded(points, lists)

    dense, listed = both(points)
    np.testing.assert_allclose(listed[1], dense[1], rtol=1e-10)
    np.testing.assert_allclose(listed[0], dense[0], rtol=1e-8, atol=1e-10)


def test_neighbours_are_those_within_the_cutoff(rng: np.random.Generator) -> None:
    points = _sphere(rng, 60)
    lists = neighbour_lists(points, cutoff=50.0, radius=RADIUS)
    near = np.asarray(jax.jit(partial(great_circle_distance, radius=RADIUS))(points)) <= 50.0
    for place, (index, mask) in enumerate(zip(*lists, strict=True)):
        np.testing.assert_array_equal(index[mask], np.flatnonzero(near[place]))
        assert np.all(index[~mask] == place)


def test_a_constant_stays_constant_whatever_is_masked(rng: np.random.Generator) -> None:
    points = _sphere(rng, 50)
    mask = rng.random(50) > 0.4
    maps = np.where(mask, 3.0, np.nan)
    lists = neighbour_lists(points, cutoff=60.0, radius=RADIUS)

    def smooth(maps: np.ndarray, neighbours: NeighbourLists | None) -> tuple[jax.Array, jax.Array]:
        settings = {"scale": 20.0, "radius": RADIUS, "mask": mask, "neighbours": neighbours}
        found = spherical_convolution(maps, points, **settings)
        return found[mask].sum(), found

    both = jax.jit(lambda maps: [jax.grad(smooth, has_aux=True)(maps, neighbours) for neighbours in (None, lists)])
    for gradient, found in both(maps):
        np.testing.assert_allclose(np.asarray(found)[mask], 3.0, rtol=1e-12)
        assert np.isfinite(gradient).all()
        assert np.all(np.asarray(gradient)[~mask] == 0)


def test_where_nothing_counts_is_nan() -> None:
    found = euclidean_convolution(np.ones(3), LINE[:3] * 1e6, scale=1.0, mask=np.array([True, False, False]))
    np.testing.assert_array_equal(found, [1.0, np.nan, np.nan])


def test_bad_input_is_refused() -> None:
    smooth = partial(euclidean_convolution, scale=1.0)
    with pytest.raises(ValueError, match=r"shape \(3, 3\) for these maps"):
        smooth(np.ones(3), LINE)
    with pytest.raises(ValueError, match=r"mask must have shape \(9,\)"):
        smooth(np.ones(9), LINE, mask=np.ones(3, bool))
    with pytest.raises(ValueError, match="scale must be above 0"):
        euclidean_convolution(np.ones(9), LINE, scale=0.0)
    with pytest.raises(ValueError, match="at least 1 vertex"):
        smooth(np.ones(9), LINE, block_size=0)
    with pytest.raises(ValueError, match=r"lists of shape \(9, neighbour\)"):
        smooth(np.ones(9), LINE, neighbours=neighbour_lists(LINE[:3], cutoff=1.0))
    with pytest.raises(ValueError, match="of vertex 1 are"):
        neighbour_lists(np.array([[0.0, 0, 0], [np.nan, 0, 0]]), cutoff=1.0)
    with pytest.raises(ValueError, match=r"shape \(vertex, 3\)"):
        neighbour_lists(np.ones((4, 2)), cutoff=1.0)
    with pytest.raises(ValueError, match="vertex 0 does not lie on the sphere of radius 1"):
        neighbour_lists(LINE, cutoff=1.0, radius=1.0)
    with pytest.raises(ValueError, match="cutoff must be above 0"):
        neighbour_lists(LINE, cutoff=0.0)
    checked = eqx.filter_jit(partial(smooth, check=True))
    with pytest.raises(eqx.EquinoxRuntimeError, match="vertex that counts"):
        checked(np.full(9, np.nan), LINE)
    with pytest.raises(eqx.EquinoxRuntimeError, match="does not lie on the sphere"):
        eqx.filter_jit(partial(spherical_convolution, scale=1.0, radius=1.0, check=True))(np.ones(9), LINE)


@pytest.mark.slow
@pytest.mark.realdata
def test_constants_and_centres_on_the_sphere_of_conte69(real_data: Callable[[str], Path]) -> None:
    folder = real_data("brainspace-conte69")
    points = nibabel.load(folder / "conte69_32k_lh_sphere.gii").darrays[0].data.astype(np.float32)
    labels = np.load(folder / "parcellations_conte69_32k.npz")["schaefer_100"][: len(points)].astype(int)
    wall = labels == 0
    lists = neighbour_lists(points, cutoff=6.0, radius=RADIUS)
    smooth = eqx.filter_jit(
        partial(spherical_convolution, scale=2.0, radius=RADIUS, mask=~wall, neighbours=lists, check=True)
    )
    maps = np.where(wall, np.nan, np.stack([np.full(len(points), 7.0), points[:, 2]]).astype(np.float32))
    constant, height = np.asarray(smooth(maps, points))
    np.testing.assert_allclose(constant[~wall], 7.0, rtol=1e-5)
    assert np.abs(height - points[:, 2])[~wall].max() < 2.0
    assignment = label_matrix(labels)
    centres = np.asarray(centre_of_mass(assignment, points, radius=RADIUS, check=True))
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), RADIUS, rtol=1e-5)
    nearest = np.asarray(great_circle_distance(centres, points, radius=RADIUS)).argmin(1)
    inside = labels[nearest] == np.unique(labels[~wall])
    assert inside.all(), f"centres outside of their parcels: {np.flatnonzero(~inside)}"
    assert np.abs(np.asarray(to_latitude_longitude(points))).max() <= np.pi
