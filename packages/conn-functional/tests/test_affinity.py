"""Kernels between profiles: BrainSpace and SciPy, profiles without a direction, refusals."""

from functools import partial

import equinox as eqx
import jax
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from brainspace.gradient import compute_affinity
from op_case import OpCase

from conn.functional import affinity

KERNELS = ("normalised_angle", "cosine", "pearson", "spearman", "gaussian")
PARALLEL = np.array([[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [-1.0, -2.0, -0.5], [0.3, 0.2, -0.7]])


def profiles(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(6, 8)),)


def _brainspace(matrix: np.ndarray, kernel: str | None, sparsity: float | None = None, **settings) -> np.ndarray:
    theirs = "normalized_angle" if kernel == "normalised_angle" else kernel
    found = compute_affinity(matrix.copy(), kernel=theirs, sparsity=sparsity, **settings)
    return (found + found.T) / 2


DEGENERATE = {
    "zeros": (np.zeros((6, 8)),),
    "one profile of zeros": (np.vstack([np.zeros((1, 8)), np.eye(5, 8)]),),
    "equal profiles": (np.ones((6, 8)) * np.arange(8.0),),
    "opposite profiles": (np.outer([1.0, -1.0, 2.0, -2.0, 1.0, 1.0], np.arange(8.0)),),
}
OP_CASES = [
    OpCase(
        "affinity",
        partial(affinity, sparsity=0.5),
        profiles,
        "brainspace.gradient.compute_affinity",
        partial(_brainspace, kernel="normalised_angle", sparsity=0.5),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "affinity",
        partial(affinity, kernel="gaussian", sparsity=None, gamma=0.2),
        profiles,
        "scipy.spatial.distance.pdist",
        lambda x: np.exp(-0.2 * scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(x, "sqeuclidean"))),
        degenerate=DEGENERATE,
    ),
]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("non_negative", [True, False])
def test_every_kernel_is_brainspaces(rng, kernel, non_negative):
    matrix = rng.normal(size=(7, 9)).round(1)  # rounded: ranks have ties
    ours = jax.jit(partial(affinity, kernel=kernel, sparsity=None, non_negative=non_negative))(matrix)
    np.testing.assert_allclose(ours, _brainspace(matrix, kernel, non_negative=non_negative), atol=1e-12)


def test_without_a_kernel_the_rows_are_sparsified_and_made_symmetric(rng):
    matrix = np.corrcoef(rng.normal(size=(8, 20)))
    ours = affinity(matrix, kernel=None, sparsity=0.75)
    np.testing.assert_allclose(ours, _brainspace(matrix, None, 0.75), atol=1e-15)


def test_ranks_are_those_of_scipy(rng):
    matrix = rng.normal(size=(7, 9)).round(1)
    expected = np.maximum(scipy.stats.spearmanr(matrix, axis=1).statistic, 0)
    found = jax.jit(partial(affinity, kernel="spearman", sparsity=None))(matrix)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("sparsity", "n_kept"), [(0.9, 4), (0.99, 1), (0.6, 16)])
def test_the_number_of_kept_entries_is_rounded_to_the_nearest_and_never_0(sparsity, n_kept):
    """Rising rows keep their last entries, of which the symmetric part has half where the other row kept none."""
    found = np.asarray(affinity(np.tile(np.arange(1.0, 41.0), (40, 1)), kernel=None, sparsity=sparsity))
    assert (found[0] > 0).sum() == n_kept


def test_profiles_without_a_direction_are_isolated_and_the_others_as_if_they_were_not_there(rng):
    full = rng.normal(size=(5, 8))
    matrix = np.insert(full, 2, 0.0, axis=0)
    for kernel in KERNELS[:-1]:
        alike = jax.jit(partial(affinity, kernel=kernel, sparsity=None))
        found = np.asarray(alike(matrix))
        assert not found[2].any()
        assert not found[:, 2].any()
        rest = np.delete(np.delete(found, 2, 0), 2, 1)
        np.testing.assert_allclose(rest, alike(full), atol=1e-14)
        with pytest.raises(ValueError, match="without a direction"):
            affinity(matrix, kernel=kernel, check=True)
    affinity(matrix, kernel="gaussian", check=True)


def test_parallel_profiles_have_the_angle_1_and_opposite_ones_0():
    found = affinity(PARALLEL, sparsity=None)
    assert float(found[0, 1]) == float(found[0, 0]) == 1.0
    assert float(found[0, 2]) == 0.0
    assert 0 < float(found[0, 3]) < 1


def test_affinities_by_direction_do_not_depend_on_the_unit():
    for kernel in ("normalised_angle", "pearson"):
        alike = jax.jit(partial(affinity, kernel=kernel, sparsity=None))
        expected = alike(PARALLEL.astype(np.float32))
        for unit in (1e-8, 1e8):
            np.testing.assert_allclose(alike(unit * PARALLEL.astype(np.float32)), expected, atol=3e-4)


def test_nan_spreads_to_its_region_alone(rng):
    (matrix,) = profiles(rng)
    matrix[1, 3] = np.nan
    for kernel in KERNELS:
        bad = np.isnan(np.asarray(jax.jit(partial(affinity, kernel=kernel, sparsity=None))(matrix)))
        if kernel != "gaussian":
            assert bad[1].all()
            assert bad[:, 1].all()
            assert bad.sum() == 11
        with pytest.raises(ValueError, match="NaN or infinity"):
            affinity(matrix, kernel=kernel, check=True)
    with pytest.raises(eqx.EquinoxRuntimeError, match="NaN or infinity"):
        jax.block_until_ready(eqx.filter_jit(partial(affinity, check=True))(matrix))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": "angle"}, "kernel must be one of normalised_angle"),
        ({"sparsity": 1.0}, "below 1, and is 1.0"),
        ({"gamma": 1.0}, "gamma belongs to the Gaussian kernel"),
        ({"kernel": "gaussian", "gamma": -1.0}, "gamma must be above 0"),
        ({"kernel": None}, "must be a square matrix"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        affinity(np.ones((3, 4)), **settings)
