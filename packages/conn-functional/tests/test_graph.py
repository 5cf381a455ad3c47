from functools import partial

import equinox as eqx
import jax
import numpy as np
import pytest
import scipy.sparse.csgraph
from op_case import OpCase

from conn.functional import (
    assortativity,
    clustering_coefficient,
    correlation_null,
    degree,
    girvan_newman_null,
    global_efficiency,
    laplacian,
    local_efficiency,
    modularity_matrix,
    multilayer_modularity,
    participation_coefficient,
    relaxed_modularity,
    rich_club_coefficient,
    shortest_path_length,
    strength,
    within_module_z,
)

DEGENERATE = {"empty graph": (np.zeros((6, 6)),), "one edge": (np.eye(6)[::-1] * np.eye(6)[0][:, None],)}


def weights(rng):
    """Symmetric, not negative, with loops, and half of the connections absent."""
    upper = np.triu(rng.uniform(0.2, 1, (6, 6)) * (rng.random((6, 6)) < 0.6))
    return (upper + np.triu(upper, 1).T,)


def signed(rng):
    matrix = rng.normal(size=(6, 6))
    return (matrix + matrix.T,)


def _alone(matrix):
    return matrix - np.diag(np.diag(matrix))


OP_CASES = [
    OpCase(
        "degree",
        degree,
        weights,
        "numpy.count_nonzero",
        lambda a: np.count_nonzero(_alone(a), axis=1),
        not_differentiable="a count: its derivative is 0 wherever it has one",
    ),
    OpCase("strength", strength, signed, "numpy.sum", lambda a: _alone(a).sum(1), degenerate=DEGENERATE),
    OpCase(
        "strength",
        lambda a: strength(a, direction="out", sign="-"),
        signed,
        "numpy.sum",
        lambda a: np.maximum(-_alone(a), 0).sum(0),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "laplacian",
        laplacian,
        weights,
        "scipy.sparse.csgraph.laplacian",
        lambda a: scipy.sparse.csgraph.laplacian(_alone(a)),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "laplacian",
        lambda a: laplacian((a + a.T) / 2, normalisation="symmetric"),
        weights,
        "scipy.sparse.csgraph.laplacian",
        lambda a: scipy.sparse.csgraph.laplacian(_alone(a), normed=True),
        degenerate=DEGENERATE,
    ),
]


def test_the_random_walk_laplacian_has_rows_that_sum_to_zero(rng):
    (matrix,) = weights(rng)
    rows = laplacian(matrix, normalisation="random_walk")
    np.testing.assert_allclose(rows.sum(-1), 0, atol=1e-12)
    steps = _alone(matrix) / _alone(matrix).sum(1, keepdims=True)
    np.testing.assert_allclose(rows, np.eye(6) - steps, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("normalisation", [None, "symmetric"])
def test_the_signed_laplacian_is_positive_semidefinite(normalisation, rng):
    (matrix,) = signed(rng)
    values = np.linalg.eigvalsh(laplacian(matrix, signed=True, normalisation=normalisation))
    assert values.min() > -1e-10


def test_a_region_without_connections_has_rows_of_zeros(rng):
    matrix = weights(rng)[0]
    matrix[2] = matrix[:, 2] = 0
    for normalisation in (None, "symmetric", "random_walk"):
        found = np.asarray(laplacian(matrix, normalisation=normalisation))
        assert not found[2].any()
        assert not found[:, 2].any()
        gradient = jax.jacobian(partial(laplacian, normalisation=normalisation))(matrix)
        assert np.isfinite(gradient).all()


def test_a_directed_graph_receives_in_rows_and_sends_in_columns():
    sends_to_first = np.zeros((3, 3))
    sends_to_first[0, 1] = 2.0  # region 0 receives from region 1
    assert strength(sends_to_first).tolist() == [2, 0, 0]
    assert strength(sends_to_first, direction="out").tolist() == [0, 2, 0]
    assert degree(sends_to_first).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: degree(np.ones((2, 3))), r"shape \(\.\.\., region, region\)"),
        (lambda: strength(np.ones((2, 2)), direction="up"), 'direction must be "in" or "out"'),
        (lambda: strength(np.ones((2, 2)), sign="x"), 'sign must be "\\+" or "-"'),
        (lambda: laplacian(np.ones((2, 2)), normalisation="other"), "normalisation must be"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


EVERYONE = np.ones((3, 1))
ANY_SIGN = {
    "degree": degree,
    "strength": strength,
    "modularity_matrix": modularity_matrix,
    "relaxed_modularity": lambda a, check: relaxed_modularity(a, EVERYONE, check=check),
    "multilayer_modularity": lambda a, check: multilayer_modularity(a[None], EVERYONE[None], check=check),
}
NOT_NEGATIVE = {
    "girvan_newman_null": girvan_newman_null,
    "clustering_coefficient": clustering_coefficient,
    "participation_coefficient": lambda a, check: participation_coefficient(a, EVERYONE, check=check),
    "within_module_z": lambda a, check: within_module_z(a, EVERYONE, check=check),
    "rich_club_coefficient": rich_club_coefficient,
    "shortest_path_length": shortest_path_length,
    "global_efficiency": global_efficiency,
    "local_efficiency": local_efficiency,
}
SYMMETRIC = {
    "correlation_null": lambda a, check: correlation_null(a, n_frames=50, check=check),
    "laplacian": lambda a, check: laplacian(a, signed=True, check=check),
}
BOTH = {
    "assortativity": assortativity,
    "clustering_coefficient": lambda a, check: clustering_coefficient(a, kind="zhang", check=check),
    "laplacian": laplacian,
}


@pytest.mark.parametrize(
    ("measure", "wrong", "message"),
    [
        *((measure, np.nan, "holds NaN or infinity") for measure in ANY_SIGN.values()),
        *((measure, -1.0, "must not be negative") for measure in (*NOT_NEGATIVE.values(), *BOTH.values())),
        *((measure, 2.0, "must be symmetric") for measure in (*SYMMETRIC.values(), *BOTH.values())),
    ],
)
def test_values_that_cannot_be_are_refused_on_demand(measure, wrong, message):
    matrix = np.ones((3, 3))
    matrix[0, 1] = wrong
    with pytest.raises(eqx.EquinoxRuntimeError, match=message):
        jax.block_until_ready(measure(matrix, check=True))


@pytest.mark.parametrize("measures", [ANY_SIGN, NOT_NEGATIVE, SYMMETRIC, BOTH])
def test_a_check_changes_nothing_where_all_is_well(measures, rng):
    good = np.abs(weights(rng)[0][:3, :3]).astype(np.float32)
    good[0, 1] *= 1 + 1e-6  # the rounding of float32 is no direction
    for measure in measures.values():
        np.testing.assert_array_equal(measure(good, check=True), measure(good, check=False))


def test_a_graph_without_regions_is_refused():
    with pytest.raises(ValueError, match="no empty axis"):
        strength(np.zeros((0, 0)))
