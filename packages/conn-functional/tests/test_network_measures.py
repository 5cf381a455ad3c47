import warnings

import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
import scipy.sparse.csgraph
from op_case import OpCase

from conn.functional import (
    assortativity,
    clustering_coefficient,
    global_efficiency,
    local_efficiency,
    participation_coefficient,
    rich_club_coefficient,
    shortest_path_length,
    within_module_z,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import bct

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
HARD = np.eye(2)[LABELS]
EMPTY = {"empty graph": (np.zeros((8, 8)),), "equal weights": (np.ones((8, 8)),)}
EMPTY_PARTITIONED = {name: (*arrays, HARD) for name, arrays in EMPTY.items()}


PRESENT = np.triu(np.random.default_rng(0).random((8, 8)) < 0.6, 1) | np.eye(8, k=1, dtype=bool)
PRESENT = PRESENT | PRESENT.T
"""Which connections there are: a connected graph without loops."""


def sparse(rng):
    upper = np.triu(rng.uniform(0.2, 1, (8, 8)), 1)
    return ((upper + upper.T) * PRESENT,)


def partitioned(rng):
    return (*sparse(rng), HARD)


def _on_present(function):
    """On a fixed set of connections: a measure that counts them is not differentiable where one appears."""
    return lambda a, *rest: function(jnp.where(PRESENT, a, 0), *rest)


def _even(function):
    """The same of the symmetric part, for measures of symmetric weights."""
    return _on_present(lambda a: function((a + a.T) / 2))


def _lengths(weights):
    return np.where(weights > 0, 1 / np.where(weights > 0, weights, 1), 0)


def _zhang(weights):
    """The definition, pair by pair."""
    n = len(weights)
    found = []
    for i in range(n):
        pairs = [(j, h) for j in range(n) for h in range(n) if i not in (j, h) and j != h]
        triangles = sum(weights[i, j] * weights[j, h] * weights[h, i] for j, h in pairs)
        found.append(triangles / sum(weights[i, j] * weights[i, h] for j, h in pairs))
    return np.array(found)


def _local(weights):
    """The definition, neighbourhood by neighbourhood, with SciPy's shortest paths."""
    roots = np.cbrt(weights)
    found = np.zeros(len(weights))
    for i, row in enumerate(weights):
        near = np.flatnonzero(row)
        if len(near) < 2:
            continue
        paths = scipy.sparse.csgraph.shortest_path(_lengths(roots[np.ix_(near, near)]))
        closeness = np.where(paths > 0, 1 / np.where(paths > 0, paths, 1), 0)
        found[i] = roots[i, near] @ closeness @ roots[i, near] / (len(near) * (len(near) - 1))
    return found


OP_CASES = [
    OpCase(
        "clustering_coefficient",
        _on_present(clustering_coefficient),
        sparse,
        "bct.clustering_coef_wu",
        lambda a: bct.clustering_coef_wu(a.copy()),
        degenerate=EMPTY,
    ),
    OpCase(
        "clustering_coefficient",
        _even(lambda a: clustering_coefficient(a, kind="zhang")),
        sparse,
        "numpy",
        _zhang,
        degenerate=EMPTY,
    ),
    OpCase(
        "participation_coefficient",
        _on_present(participation_coefficient),
        partitioned,
        "bct.participation_coef",
        lambda a, q: bct.participation_coef(a.copy(), q.argmax(1) + 1),
        degenerate=EMPTY_PARTITIONED,
    ),
    OpCase(
        "within_module_z",
        _on_present(within_module_z),
        partitioned,
        "bct.module_degree_zscore",
        lambda a, q: bct.module_degree_zscore(a.copy(), q.argmax(1) + 1),
        degenerate=EMPTY_PARTITIONED,
    ),
    OpCase(
        "assortativity",
        _even(assortativity),
        sparse,
        "bct.assortativity_wei",
        lambda a: bct.assortativity_wei(a.copy()),
        degenerate=EMPTY,
    ),
    OpCase(
        "rich_club_coefficient",
        _even(lambda a: rich_club_coefficient(a, n_levels=4)),
        sparse,
        "bct.rich_club_wu",
        lambda a: np.nan_to_num(bct.rich_club_wu(a.copy(), klevel=4), nan=1.0),  # NaN there: all regions are rich
        degenerate={"empty graph": (np.zeros((8, 8)),)},
    ),
    OpCase(
        "shortest_path_length",
        _on_present(shortest_path_length),
        sparse,
        "scipy.sparse.csgraph.shortest_path",
        lambda a: scipy.sparse.csgraph.shortest_path(_lengths(a)),
        degenerate={"equal weights": (np.ones((8, 8)),)},
    ),
    OpCase(
        "global_efficiency",
        _on_present(global_efficiency),
        sparse,
        "bct.efficiency_wei",
        lambda a: bct.efficiency_wei(a.copy()),
        degenerate=EMPTY,
    ),
    OpCase("local_efficiency", _on_present(local_efficiency), sparse, "scipy.sparse.csgraph", _local, degenerate=EMPTY),
]


def test_clustering_agrees_with_networkx_up_to_the_largest_weight(rng):
    (matrix,) = sparse(rng)
    expected = nx.clustering(nx.from_numpy_array(matrix), weight="weight")
    np.testing.assert_allclose(clustering_coefficient(matrix) / matrix.max(), list(expected.values()), rtol=1e-10)


def test_directed_paths_lead_from_columns_to_rows():
    chain = np.zeros((3, 3))
    chain[1, 0] = chain[2, 1] = 0.5  # 0 sends to 1, 1 sends to 2
    lengths = shortest_path_length(chain)
    assert lengths[2, 0] == 4
    assert np.isinf(lengths[0, 2])


def test_relabelling_regions_relabels_the_measures(rng):
    (matrix,) = sparse(rng)
    order = rng.permutation(8)
    moved = matrix[np.ix_(order, order)]
    for measure in (clustering_coefficient, local_efficiency):
        np.testing.assert_allclose(measure(moved), measure(matrix)[order], rtol=1e-10)
    np.testing.assert_allclose(
        participation_coefficient(moved, HARD[order]), participation_coefficient(matrix, HARD)[order], rtol=1e-10
    )
    np.testing.assert_allclose(global_efficiency(moved), global_efficiency(matrix), rtol=1e-10)


def test_a_loop_counts_for_nothing(rng):
    (matrix,) = sparse(rng)
    for measure in (clustering_coefficient, assortativity, global_efficiency, rich_club_coefficient):
        np.testing.assert_allclose(measure(matrix + np.eye(8)), measure(matrix), rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clustering_coefficient(np.ones((3, 3)), kind="other"), "kind must be"),
        (lambda: participation_coefficient(np.ones((3, 3)), np.ones((4, 1))), "affiliation must have shape"),
        (lambda: within_module_z(np.ones((3, 2)), np.ones((3, 1))), "region, region"),
        (lambda: assortativity(np.ones(3)), "region, region"),
        (lambda: rich_club_coefficient(np.ones((3, 3)), n_levels=0), "n_levels must be at least 1"),
        (lambda: global_efficiency(np.ones((1, 1))), "at least two regions"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
