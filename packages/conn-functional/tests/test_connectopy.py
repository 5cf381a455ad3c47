"""Gradients of connectomes: SciPy's eigenvectors, BrainSpace, planted gradients, equal eigenvalues, refusals."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import sklearn.decomposition
from brainspace.gradient import DiffusionMaps, LaplacianEigenmaps, compute_affinity
from brainspace.gradient.embedding import PCAMaps
from op_case import OpCase

from conn.functional import (
    affinity,
    corr,
    correlation_operator,
    diffusion_map,
    laplacian_eigenmaps,
    leading_eigenpairs,
    principal_gradients,
)

NOT_OPERATIONS = {"Gradients": "what the embeddings return"}
EMBEDDINGS = (laplacian_eigenmaps, partial(laplacian_eigenmaps, normalised=False), diffusion_map)


def affinities(rng: np.random.Generator, n_regions: int = 7) -> tuple[np.ndarray]:
    matrix = rng.uniform(0.1, 1.0, size=(n_regions, n_regions))
    return ((matrix + matrix.T) / 2,)


def _signed(maps: np.ndarray) -> np.ndarray:
    return maps * np.sign(maps[np.abs(maps).argmax(0), np.arange(maps.shape[1])])


def _eigenmaps(matrix: np.ndarray, n_components: int, normalised: bool = True) -> tuple[np.ndarray, np.ndarray]:
    matrix = matrix - np.diag(np.diag(matrix))
    strengths = np.diag(matrix.sum(0))
    values, vectors = scipy.linalg.eigh(strengths - matrix, strengths if normalised else None)
    return _signed(vectors[:, 1 : n_components + 1]), values[1 : n_components + 1]


def _diffusion(
    matrix: np.ndarray, n_components: int, alpha: float = 0.5, time: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the diffusion map from the walk's own transition matrix, by a solver for any matrix."""
    density = matrix.sum(1)
    kernel = matrix / np.outer(density, density) ** alpha
    steps = kernel / kernel.sum(1, keepdims=True)
    values, vectors = scipy.linalg.eig(steps)
    order = np.argsort(-values.real)[1 : n_components + 1]
    values, vectors = values.real[order], vectors.real[:, order]
    stationary = kernel.sum(1) / kernel.sum()
    vectors = vectors / np.sqrt(stationary @ vectors**2)
    multipliers = values**time if time else values / (1 - values)
    return _signed(vectors * multipliers), multipliers


def _principal(matrix: np.ndarray, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    fitted = sklearn.decomposition.PCA(n_components, svd_solver="full")
    return _signed(fitted.fit_transform(matrix)), fitted.explained_variance_


RING = np.eye(7)[:, [1, 2, 3, 4, 5, 6, 0]] + np.eye(7)[:, [6, 0, 1, 2, 3, 4, 5]]
DEGENERATE = {
    "all alike, every eigenvalue equal": (np.ones((7, 7)),),
    "a ring, eigenvalues in equal pairs": (RING + 0.5 * np.eye(7),),
}
OP_CASES = [
    OpCase(
        "laplacian_eigenmaps",
        lambda matrix: laplacian_eigenmaps(matrix, 3),
        affinities,
        "scipy.linalg.eigh",
        lambda matrix: _eigenmaps(matrix, 3),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "laplacian_eigenmaps",
        lambda matrix: laplacian_eigenmaps(matrix, 3, normalised=False),
        affinities,
        "scipy.linalg.eigh",
        lambda matrix: _eigenmaps(matrix, 3, normalised=False),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "diffusion_map",
        lambda matrix: diffusion_map(matrix, 3),
        affinities,
        "scipy.linalg.eig",
        lambda matrix: _diffusion(matrix, 3),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "diffusion_map",
        lambda matrix: diffusion_map(matrix, 2, alpha=1.0, diffusion_time=2.0),
        affinities,
        "scipy.linalg.eig",
        lambda matrix: _diffusion(matrix, 2, alpha=1.0, time=2.0),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "principal_gradients",
        lambda matrix: principal_gradients(matrix, 3),
        lambda rng: (rng.normal(size=(7, 5)),),
        "sklearn.decomposition.PCA",
        lambda matrix: _principal(matrix, 3),
        degenerate={"constant features": (np.ones((7, 5)),), "of rank 1": (np.outer(np.arange(7.0), np.ones(5)),)},
    ),
]


def test_they_agree_with_brainspace_where_it_is_exact(rng):
    (matrix,) = affinities(rng, 20)
    ours = jax.jit(partial(laplacian_eigenmaps, n_components=4))(matrix)
    theirs = LaplacianEigenmaps(4, random_state=0).fit(matrix.copy())
    np.testing.assert_allclose(ours.eigenvalues, theirs.lambdas_, rtol=1e-9)
    np.testing.assert_allclose(ours.gradients, theirs.maps_, atol=1e-9)
    ours = jax.jit(partial(principal_gradients, n_components=4))(matrix)
    theirs = PCAMaps(4, random_state=0).fit(matrix.copy())
    np.testing.assert_allclose(ours.eigenvalues, theirs.lambdas_, rtol=1e-9)
    np.testing.assert_allclose(ours.gradients, _signed(theirs.maps_), atol=1e-9)


def test_diffusion_maps_agree_with_brainspace_where_every_region_has_the_same_strength(rng):
    """There the walk's matrix is symmetric, as BrainSpace's solver presumes, and its positive eigenvalues lead."""
    features = rng.uniform(size=(20, 30))
    matrix = features @ features.T
    for _ in range(100):
        matrix = matrix / np.sqrt(np.outer(matrix.sum(1), matrix.sum(1)))
    ours = jax.jit(partial(diffusion_map, n_components=4))(matrix)
    theirs = DiffusionMaps(4, random_state=0).fit(matrix.copy())
    np.testing.assert_allclose(ours.eigenvalues, theirs.lambdas_, rtol=1e-9)
    np.testing.assert_allclose(ours.gradients, theirs.maps_, atol=1e-9)


@pytest.mark.parametrize("embed", [diffusion_map, laplacian_eigenmaps])
def test_a_planted_line_is_the_first_gradient(rng, embed):
    """Regions on a line, alike when close: the first gradient has their order, noise or not."""
    place = np.sort(rng.uniform(size=40))
    matrix = np.exp(-((place[:, None] - place) ** 2) / 0.05) + 0.01 * rng.uniform(size=(40, 40))
    first = np.asarray(jax.jit(partial(embed, n_components=2))(matrix).gradients[:, 0])
    assert abs(np.corrcoef(np.argsort(np.argsort(first)), np.arange(40))[0, 1]) > 0.99


def test_principal_gradients_of_a_correlation_equal_those_of_one_that_is_never_formed(rng):
    series = rng.normal(size=(12, 4)) @ rng.normal(size=(4, 60)) + 0.3 * rng.normal(size=(12, 60))
    formed = principal_gradients(corr(series), 3, centre=False)
    pairs = leading_eigenpairs(correlation_operator(series), 3)
    np.testing.assert_allclose(formed.gradients, pairs.vectors * pairs.values, atol=1e-9)
    np.testing.assert_allclose(formed.eigenvalues, pairs.values**2 / 11, rtol=1e-9)


def _turned(values: np.ndarray, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return profiles whose principal gradients have these singular values, and a direction to move them in."""
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.normal(size=(8, 8)))[0][:, : len(values)]
    right = np.linalg.qr(rng.normal(size=(6, 6)))[0][:, : len(values)]
    return left * values @ right.T, rng.normal(size=(8, 6))


@pytest.mark.parametrize("gap", [0.0, 1e-13, 1e-9, 1e-5])
def test_equal_kept_eigenvalues_give_the_exact_gradient_of_what_no_rotation_changes(gap):
    """The sum of squared scores, weighted by region pairs, does not depend on how two equal components are turned."""
    matrix, direction = _turned(np.array([3.0, 3.0 + gap, 1.0, 0.5]))
    weights = np.random.default_rng(4).normal(size=(8, 8))
    weights = weights + weights.T

    @jax.jit
    def loss(x):
        maps = principal_gradients(x, 2, centre=False).gradients
        return (weights * (maps @ maps.T)).sum()

    step = 1e-5
    numeric = (loss(matrix + step * direction) - loss(matrix - step * direction)) / (2 * step)
    along = (jax.grad(loss)(matrix) * direction).sum()
    np.testing.assert_allclose(along, numeric, rtol=2e-6)


def test_scaled_gradients_of_a_ring_have_the_exact_gradient_of_their_distances():
    """Its eigenvalues are equal in pairs; moved along a symmetric direction, its regions' distances change smoothly."""
    rng = np.random.default_rng(6)
    place = np.arange(9)
    steps = np.minimum((place[:, None] - place) % 9, (place - place[:, None]) % 9)
    ring, (direction,), weights = np.exp(-steps / 2.0), affinities(rng, 9), rng.normal(size=(9, 9))

    @jax.jit
    @jax.value_and_grad
    def loss(matrix):
        walks = [diffusion_map(matrix, 2, diffusion_time=time).gradients for time in (0.0, 2.0)]
        maps = [*walks, *(laplacian_eigenmaps(matrix, 4, normalised=flag).gradients for flag in (True, False))]
        return sum((weights * jnp.square(m[:, None] - m).sum(-1)).sum() for m in maps)

    step = 1e-5
    numeric = (loss(ring + step * direction)[0] - loss(ring - step * direction)[0]) / (2 * step)
    np.testing.assert_allclose((loss(ring)[1] * direction).sum(), numeric, rtol=1e-6)


def test_equal_eigenvalues_leave_the_plane_which_is_scipys_and_brainspaces():
    place = 2 * np.pi * np.arange(12) / 12
    ring = np.exp(np.cos(place[:, None] - place))
    found = np.asarray(jax.jit(partial(laplacian_eigenmaps, n_components=4))(ring).gradients)
    theirs = LaplacianEigenmaps(4, random_state=0).fit(ring.copy()).maps_
    for expected in (_eigenmaps(ring, 4)[0], theirs):
        for pair in (slice(0, 2), slice(2, 4)):
            assert scipy.linalg.subspace_angles(found[:, pair], expected[:, pair]).max() < 1e-6


def test_equal_eigenvalues_left_out_do_no_harm():
    matrix, direction = _turned(np.array([3.0, 2.0, 1.0, 1.0, 1.0]))
    probe = np.random.default_rng(5).normal(size=(8, 2))

    @jax.jit
    def loss(x):
        return (probe * principal_gradients(x, 2, centre=False).gradients).sum()

    step = 1e-5
    numeric = (loss(matrix + step * direction) - loss(matrix - step * direction)) / (2 * step)
    np.testing.assert_allclose((jax.grad(loss)(matrix) * direction).sum(), numeric, rtol=1e-6)


@pytest.mark.parametrize("embed", EMBEDDINGS)
def test_an_isolated_region_stands_aside(rng, embed):
    (matrix,) = affinities(rng)
    apart = np.insert(np.insert(matrix, 2, 0.0, axis=0), 2, 0.0, axis=1)
    apart[2, 2] = 5.0
    found, expected = (jax.jit(partial(embed, n_components=6))(graph) for graph in (apart, matrix))
    assert bool(jnp.isnan(found.gradients[2]).all())
    np.testing.assert_allclose(np.delete(found.gradients, 2, axis=0), expected.gradients, atol=1e-8)
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, rtol=1e-9)
    assert bool(jnp.isnan(jax.jit(partial(embed, n_components=7))(apart).gradients[:, 6]).all())
    slope = jax.jit(jax.grad(lambda m: jnp.nansum(embed(m, 3).gradients[:2])))(apart)
    assert bool(jnp.isfinite(slope).all())


def test_the_parts_of_a_graph_are_told_apart_or_refused_by_their_number():
    parts = np.kron(np.eye(3), np.ones((3, 3))) + 1.0 * np.eye(9)
    found = jax.jit(partial(laplacian_eigenmaps, n_components=3))(parts)
    np.testing.assert_allclose(found.eigenvalues, [0.0, 0.0, 1.5], atol=1e-12)
    within = np.asarray(found.gradients[:, :2]).reshape(3, 3, 2)
    np.testing.assert_allclose(within, within[:, :1].repeat(3, 1), atol=1e-12)
    diffused = jax.jit(partial(diffusion_map, n_components=3))(parts)
    assert bool(jnp.isnan(diffused.eigenvalues[:2]).all())
    np.testing.assert_allclose(diffused.eigenvalues[2], 1 / 3, rtol=1e-9)
    for embed in EMBEDDINGS:
        with pytest.raises(ValueError, match="a graph of 3 connected parts: keep more"):
            embed(parts, 2, check=True)
        with pytest.raises(eqx.EquinoxRuntimeError, match="a graph of several connected parts"):
            jax.block_until_ready(eqx.filter_jit(partial(embed, n_components=2, check=True))(parts))


def test_a_long_chain_is_one_part():
    chain = np.diag(np.ones(29), 1)
    order = np.random.default_rng(0).permutation(30)
    laplacian_eigenmaps((chain + chain.T)[order][:, order], 2, check=True)


@pytest.mark.parametrize("embed", EMBEDDINGS)
def test_bad_values_are_refused_on_demand(rng, embed):
    (good,) = affinities(rng)
    embed(good, 2, check=True)
    for value, message in ((np.nan, "NaN or infinity"), (-0.5, "must not be negative")):
        bad = good.copy()
        bad[1, 2] = bad[2, 1] = value
        with pytest.raises(ValueError, match=message):
            embed(bad, 2, check=True)
    bad = good.copy()
    bad[1, 2] += 0.1
    with pytest.raises(ValueError, match="affinity is not symmetric"):
        embed(bad, 2, check=True)


def test_nan_gives_nan_and_is_refused_on_demand_in_profiles():
    bad = np.array([[1.0, np.nan], [0.0, 1.0], [2.0, 2.0]])
    assert bool(jnp.isnan(principal_gradients(bad, 1).eigenvalues).all())
    with pytest.raises(ValueError, match="NaN or infinity"):
        principal_gradients(bad, 1, check=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: laplacian_eigenmaps(np.ones((3, 4)), 2), "region, region"),
        (lambda: laplacian_eigenmaps(np.ones((3, 3)), 3), "less 1, which is 2, and is 3"),
        (lambda: diffusion_map(np.ones((3, 3)), 0), "n_components must lie between 1"),
        (lambda: diffusion_map(np.ones((3, 3)), 1, alpha=2.0), "alpha must lie between 0 and 1"),
        (lambda: diffusion_map(np.ones((3, 3)), 1, diffusion_time=-1.0), "diffusion_time must be at least 0"),
        (lambda: principal_gradients(np.ones((3, 2)), 3), "regions and features, which is 2"),
        (lambda: principal_gradients(np.ones((1, 2)), 1), "at least two regions"),
    ],
)
def test_settings_that_cannot_be_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.realdata
@pytest.mark.parametrize("n_regions", [100, 400])
def test_the_principal_gradient_of_a_group_is_reproduced(real_data, n_regions):
    """The group's connectome in Schaefer's parcellation, as BrainSpace's first tutorial embeds it.

    Of every profile it keeps the truncated tenth: 9 of 100, 39 of 400. Its solver takes the walk's matrix for
    symmetric, which it is not quite.
    """
    connectome = np.load(real_data("brainspace-conte69") / f"fc_schaefer_{n_regions}_main_group.npy").astype(float)
    sparsity = 1 - (n_regions // 10 - 1) / n_regions
    alike, ours = jax.jit(lambda c: (a := affinity(c, sparsity=sparsity), diffusion_map(a)))(connectome)
    np.testing.assert_allclose(alike, compute_affinity(connectome.copy(), "normalized_angle"), atol=1e-7)
    exact_maps, exact_values = _diffusion(np.asarray(alike), 10)
    np.testing.assert_allclose(ours.eigenvalues, exact_values, rtol=1e-8)
    np.testing.assert_allclose(ours.gradients, exact_maps, atol=1e-6 * np.abs(exact_maps).max())
    theirs = DiffusionMaps(10, random_state=0).fit(np.array(alike))
    together = np.abs(np.corrcoef(ours.gradients.T, theirs.maps_.T)[:10, 10:])
    assert together.diagonal().min() > 0.999
    ratios = [values / values.sum() for values in (np.asarray(ours.eigenvalues), theirs.lambdas_)]
    np.testing.assert_allclose(*ratios, atol=2e-3)
