"""Hard partitions: networkx's and leidenalg's numbers, planted communities, consensus, versatility, refusals."""

import importlib

import igraph
import jax.numpy as jnp
import leidenalg
import networkx as nx
import numpy as np
import pytest
from op_case import OpCase

from conn.functional import (
    coassignment,
    consensus_communities,
    constant_potts_null,
    correlation_null,
    detect_communities,
    detect_multilayer_communities,
    multilayer_modularity,
    relaxed_modularity,
    versatility,
)

NOT_OPERATIONS = {"DetectedCommunities": "what detect_communities returns"}
HOST = "leidenalg searches, and no array of fixed shape says how"
KARATE = nx.to_numpy_array(nx.karate_club_graph())
PLANTED = np.repeat(np.arange(4), [14, 10, 8, 8])
"""In the order in which communities are labelled."""

METHODS = pytest.mark.parametrize("method", ["leiden", "louvain"])


def stochastic_blocks(rng, *, within=0.6, between=0.05):
    probability = np.where(PLANTED[:, None] == PLANTED, within, between)
    upper = np.triu(rng.random(probability.shape) < probability, 1)
    return (upper + upper.T).astype(float)


def ring_of_cliques(n_cliques, size):
    graph = nx.ring_of_cliques(n_cliques, size)
    return nx.to_numpy_array(graph, nodelist=sorted(graph))


def signed_weights(rng):
    """Positive on the whole within two groups, negative between them."""
    group = np.arange(12) < 7
    matrix = np.where(group[:, None] == group, 0.5, -0.3) + 0.3 * rng.normal(size=(12, 12))
    return (matrix + matrix.T) / 2


def runs(rng):
    return (rng.integers(0, 3, (6, 5)), rng.uniform(0.5, 1.5, 6))


def _one_hot(labels):
    return np.eye(labels.max() + 1)[labels]


def _sets(labels):
    return [set(np.flatnonzero(labels == label)) for label in np.unique(labels)]


def _best_of_networkx(adjacency, n_runs=10):
    graph = nx.from_numpy_array(adjacency)
    found = [nx.community.louvain_communities(graph, seed=seed) for seed in range(n_runs)]
    return max(nx.community.modularity(graph, partition) for partition in found)


def _agreement(labels, weight):
    pairs = [[[a == b for b in run] for a in run] for run in labels]
    return np.average(pairs, axis=0, weights=weight)


OP_CASES = [
    OpCase(
        "detect_communities",
        lambda a: detect_communities(a).quality,
        lambda rng: (KARATE,),
        "networkx.community.louvain_communities, the best of ten",
        _best_of_networkx,
        host_only=HOST,
    ),
    OpCase(
        "consensus_communities",
        lambda a: consensus_communities(detect_communities(a).run_labels),
        lambda rng: (stochastic_blocks(rng),),
        "property: finds planted communities, and what runs agree on",
        host_only=HOST,
    ),
    OpCase(
        "detect_multilayer_communities",
        lambda a: detect_multilayer_communities(np.stack([a, a]), coupling=0.0).quality,
        lambda rng: (KARATE,),
        "networkx.community.louvain_communities, the best of ten",
        _best_of_networkx,
        host_only=HOST,
    ),
    OpCase(
        "coassignment",
        lambda labels, weight: coassignment(labels, weight=weight),
        runs,
        "numpy.average",
        _agreement,
        degenerate={"no run has weight": (np.zeros((6, 5), int), np.zeros(6))},
    ),
    OpCase(
        "versatility",
        versatility,
        lambda rng: (_agreement(*runs(rng)),),
        "numpy.sin",
        lambda shared: np.sin(np.pi * shared).sum(0) / shared.sum(0),
        degenerate={"nobody shares": (np.zeros((5, 5)),), "everybody does": (np.ones((5, 5)),)},
    ),
]


@METHODS
def test_planted_communities_are_found(method, rng):
    found = detect_communities(stochastic_blocks(rng), method=method, n_runs=5)
    np.testing.assert_array_equal(found.labels, PLANTED)


@METHODS
def test_every_clique_of_a_ring_is_a_community(method):
    found = detect_communities(ring_of_cliques(6, 5), method=method, n_runs=3)
    np.testing.assert_array_equal(found.labels, np.repeat(np.arange(6), 5))


def test_cliques_pair_up_where_the_resolution_is_too_low():
    """Fortunato and Barthelemy (2007): beyond about the root of twice the connections, pairs have more modularity."""
    ring = ring_of_cliques(30, 3)
    assert detect_communities(ring, n_runs=3).labels.max() + 1 < 30
    assert detect_communities(ring, gamma=4.5, n_runs=3).labels.max() + 1 == 30
    potts = detect_communities(ring, gamma=0.5, null=constant_potts_null, sign=None, n_runs=3)
    assert potts.labels.max() + 1 == 30


@METHODS
def test_quality_is_newmans_and_is_not_below_networkx(method):
    for adjacency in (KARATE, nx.to_numpy_array(nx.les_miserables_graph())):
        found = detect_communities(adjacency, method=method, n_runs=10)
        graph = nx.from_numpy_array(adjacency)
        for labels, quality in zip(found.run_labels, found.run_quality, strict=True):
            assert quality == pytest.approx(nx.community.modularity(graph, _sets(labels)), rel=1e-10)
        assert found.quality == found.run_quality.max()
        assert found.quality >= _best_of_networkx(adjacency, 5) - 1e-10


@pytest.mark.parametrize("sign", ["+", "-", "both"])
def test_quality_is_the_relaxed_modularity_of_the_partition(sign, rng):
    matrix = signed_weights(rng) + np.eye(12)
    found = detect_communities(matrix, sign=sign, gamma=1.2, n_runs=2)
    expected = relaxed_modularity(matrix, _one_hot(found.labels), sign=sign, gamma=1.2)
    np.testing.assert_allclose(found.quality, expected, rtol=1e-10)


def test_signed_weights_are_partitioned_as_two_layers_of_leidenalg(rng):
    """Rubinov and Sporns (2011) as leidenalg would do it: a layer a sign, the negative one counting against."""
    matrix = signed_weights(rng)
    np.fill_diagonal(matrix, 0.0)
    found = detect_communities(matrix, sign="both", n_runs=10)
    np.testing.assert_array_equal(found.labels, [0] * 7 + [1] * 5)
    parts = np.maximum(matrix, 0), np.maximum(-matrix, 0)
    totals = parts[0].sum(), parts[0].sum() + parts[1].sum()
    rows, columns = np.triu_indices(12, 1)
    layers = []
    for part in parts:
        graph = igraph.Graph(n=12, edges=np.stack([rows, columns], 1))
        layers.append(leidenalg.RBConfigurationVertexPartition(graph, weights=part[rows, columns].tolist()))
    optimiser = leidenalg.Optimiser()
    optimiser.set_rng_seed(1)
    optimiser.optimise_partition_multiplex(layers, layer_weights=[1 / totals[0], -1 / totals[1]], n_iterations=-1)
    theirs = layers[0].quality() / totals[0] - layers[1].quality() / totals[1]
    assert _sets(np.array(layers[0].membership)) == _sets(found.labels)
    assert found.quality == pytest.approx(theirs, rel=1e-10)


def test_correlations_have_a_null_of_their_own(rng):
    group = np.repeat(np.arange(3), 6)
    series = rng.normal(size=(3, 200))[group] + rng.normal(size=(18, 200)) + 0.5 * rng.normal(size=200)
    found = detect_communities(np.corrcoef(series), null=lambda c: correlation_null(c, n_frames=200), sign=None)
    np.testing.assert_array_equal(found.labels, group)
    assert found.quality > 1  # in the unit of the weights: the sum over pairs


def test_a_directed_graph_has_the_directed_modularity(rng):
    matrix = stochastic_blocks(rng) * rng.uniform(0.1, 1, (40, 40))
    found = detect_communities(matrix, n_runs=2)
    graph = nx.from_numpy_array(matrix.T, create_using=nx.DiGraph)
    assert found.quality == pytest.approx(nx.community.modularity(graph, _sets(found.labels)), rel=1e-10)


def moving_region(rng):
    """Four layers of two groups of five, between which region 4 changes after the second layer."""
    group = np.arange(10) // 5 == np.zeros((4, 1))
    group[2:, 4] = False
    noise = 0.3 * rng.random((4, 10, 10))
    return np.where(group[:, :, None] == group[:, None, :], 1.0, 0.1) + noise + np.swapaxes(noise, 1, 2), group


def test_a_region_that_changes_its_community_is_followed_through_the_layers(rng):
    matrices, group = moving_region(rng)
    found = detect_multilayer_communities(matrices, coupling=0.2, n_runs=3)
    np.testing.assert_array_equal(found.labels, np.where(group, found.labels[0, 0], found.labels[0, 9]))
    assert found.labels[0, 0] != found.labels[0, 9]
    assert found.run_labels.shape == (3, 4, 10)
    # Coupled more strongly than connected, it stays where it is.
    tied = detect_multilayer_communities(matrices, coupling=50.0, n_runs=3)
    assert (tied.labels == tied.labels[0]).all()


@pytest.mark.parametrize("sign", ["+", "both"])
@pytest.mark.parametrize("order", ["ordinal", "categorical"])
def test_quality_is_the_multilayer_modularity_of_the_partition(sign, order, rng):
    matrices = rng.normal(size=(2, 3, 6, 6))
    matrices = matrices + np.swapaxes(matrices, -1, -2)
    settings = {"coupling": 0.7, "order": order, "gamma": np.array([0.8, 1.0, 1.2]), "sign": sign}
    found = detect_multilayer_communities(matrices, n_runs=2, **settings)
    for item in range(2):
        expected = multilayer_modularity(matrices[item], _one_hot(found.labels[item]), **settings)
        np.testing.assert_allclose(found.quality[item], expected, rtol=1e-10)
        np.testing.assert_allclose(found.quality[item], found.run_quality[item].max())


def test_layers_without_weight_or_coupling_have_regions_alone():
    found = detect_multilayer_communities(np.zeros((2, 3, 3)), coupling=0.0, n_runs=1)
    assert found.labels.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.quality == 0


def test_a_seed_gives_the_same_runs_and_more_runs_begin_with_them():
    first, again = detect_communities(KARATE, seed=3), detect_communities(KARATE, seed=3, n_runs=4)
    np.testing.assert_array_equal(first.run_labels[:4], again.run_labels)
    assert (first.run_labels != detect_communities(KARATE, seed=4).run_labels).any()


def test_a_batch_is_partitioned_graph_by_graph(rng):
    graphs = np.stack([stochastic_blocks(rng), 3e-9 * stochastic_blocks(rng)])[None]
    together = detect_communities(graphs, n_runs=3)
    alone = [detect_communities(graph, n_runs=3) for graph in graphs[0]]
    shapes = [array.shape for array in together]
    assert shapes == [(1, 2, 40), (1, 2), (1, 2, 3, 40), (1, 2, 3)]
    for place, one in enumerate(alone):
        np.testing.assert_array_equal(together.labels[0, place], one.labels)
        np.testing.assert_allclose(together.run_quality[0, place], one.run_quality, rtol=1e-12)


@METHODS
def test_who_has_no_connection_stays_alone(method):
    triangle = np.zeros((5, 5))
    triangle[1:4, 1:4] = 1 - np.eye(3)
    assert detect_communities(triangle, method=method, n_runs=2).labels.tolist() == [1, 0, 0, 0, 2]
    empty = detect_communities(np.zeros((3, 3)), method=method, n_runs=2)
    assert empty.labels.tolist() == [0, 1, 2]
    assert empty.quality == 0


def test_float32_is_kept(rng):
    found = detect_communities(stochastic_blocks(rng).astype(np.float32), n_runs=2)
    assert found.quality.dtype == np.float32
    np.testing.assert_array_equal(found.labels, PLANTED)


@pytest.mark.parametrize("threshold", [0.3, 0.5, "chance"])
def test_the_consensus_finds_what_no_single_run_does(threshold, rng):
    """Runs that each misplace a quarter of the regions: the chance of a failure is far below 1e-6."""
    labels = np.where(rng.random((60, 40)) < 0.25, rng.integers(0, 4, (60, 40)), PLANTED)
    assert not (labels == PLANTED).all(1).any()
    found = consensus_communities(labels, threshold=threshold)
    np.testing.assert_array_equal(found, PLANTED)


def test_equal_runs_are_their_own_consensus_and_items_are_taken_one_by_one():
    first, second = np.array([2, 2, 0, 0, 0]), np.array([1, 0, 0, 1, 1])
    batch = np.stack([np.tile(first, (3, 1)), np.tile(second, (3, 1))])
    np.testing.assert_array_equal(consensus_communities(batch), [[1, 1, 0, 0, 0], [0, 1, 1, 0, 0]])


def test_a_region_keeps_its_most_frequent_companions():
    """Region 4 is with each of three groups in a third of the runs: below the threshold, and yet not alone."""
    labels = np.array([[0, 0, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 2]])
    found = consensus_communities(labels, threshold=0.5)
    assert found[4] in (found[0], found[2])
    assert found[0] == found[1] != found[2] == found[3]


def test_consensus_is_the_same_for_the_same_seed(rng):
    labels = rng.integers(0, 3, (10, 12))
    np.testing.assert_array_equal(consensus_communities(labels, seed=5), consensus_communities(labels, seed=5))


def test_coassignment_does_not_depend_on_the_names_of_labels(rng):
    labels, weight = runs(rng)
    renamed = np.array([5, -2, 0])[labels]
    np.testing.assert_array_equal(coassignment(renamed, weight=weight), coassignment(labels, weight=weight))
    np.testing.assert_allclose(coassignment(labels), coassignment(labels, weight=np.full(6, 7.0)), rtol=1e-12)
    both = coassignment(np.stack([labels, renamed]), weight=weight)
    assert both.shape == (2, 5, 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_who_always_shares_a_community_has_exactly_one(dtype, rng):
    labels = np.tile([0, 0, 1], (49, 1))  # 49 times the rounded 1/49 is not 1
    for weight in (np.ones(49), rng.uniform(0.1, 1, 49)):
        shared = np.asarray(coassignment(labels, weight=weight.astype(dtype)))
        np.testing.assert_array_equal(shared, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
        assert not np.asarray(versatility(shared)).any()


def test_versatility_of_certain_and_of_evenly_split_regions():
    certain = np.tile([0, 0, 1, 1, 2], (7, 1))
    assert versatility(coassignment(certain)).tolist() == [0.0] * 5
    # Half of the runs put region 2 with the first two, half with the last two.
    split = np.array([[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]])
    np.testing.assert_allclose(versatility(coassignment(split)), [0.4, 0.4, 4 / 3, 0.4, 0.4], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: detect_communities(np.ones((2, 3))), ValueError, "region, region"),
        (lambda: detect_communities(np.full((2, 2), np.nan)), ValueError, r"4 entries that are not, the first at \(0"),
        (lambda: detect_communities(np.eye(2), gamma=np.inf), ValueError, "modularity matrix must be finite"),
        (lambda: detect_communities(np.eye(2), method="walktrap"), ValueError, "method must be"),
        (lambda: detect_communities(np.eye(2), sign="?"), ValueError, "sign must be"),
        (lambda: detect_communities(np.eye(2), n_runs=0), ValueError, "n_runs must be"),
        (lambda: detect_communities(np.eye(2), seed=-1), ValueError, "seed must not"),
        (lambda: detect_multilayer_communities(np.ones((2, 2))), ValueError, "layer, region, region"),
        (
            lambda: detect_multilayer_communities(np.ones((2, 2, 2)), coupling=np.nan),
            ValueError,
            "coupling must be fin",
        ),
        (lambda: detect_multilayer_communities(np.ones((2, 2, 2)), sign=None), ValueError, "sign must be"),
        (lambda: consensus_communities(np.zeros(3, int)), ValueError, "run, region"),
        (lambda: consensus_communities(np.zeros((2, 3), int), threshold=2), ValueError, "threshold must lie"),
        (lambda: consensus_communities(np.zeros((2, 3), int), max_iterations=0), ValueError, "max_iterations must"),
        (lambda: coassignment(np.zeros((2, 3))), TypeError, "whole numbers"),
        (lambda: coassignment(np.zeros((2, 3), int), weight=np.ones(3)), ValueError, "each of 2 runs"),
        (lambda: versatility(jnp.ones(3)), ValueError, "region, region"),
    ],
)
def test_what_cannot_be_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_consensus_that_is_not_reached_is_refused(rng):
    labels = rng.integers(0, 3, (2, 10, 12))
    with pytest.raises(RuntimeError, match=r"of item \(0,\) still differ after 1 iterations"):
        consensus_communities(labels, max_iterations=1)


def test_an_absent_library_names_its_extra(monkeypatch):
    def absent(name, *arguments):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ImportError, match=r'pip install "conn-functional\[communities\]"'):
        detect_communities(np.ones((2, 2)))
