import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from op_case import OpCase

from conn.functional import (
    coaffiliation,
    constant_potts_null,
    correlation_null,
    girvan_newman_null,
    modularity_matrix,
    multilayer_modularity,
    relaxed_modularity,
)

LABELS = np.array([0, 0, 0, 1, 1, 1])
HARD = np.eye(2)[LABELS]
EMPTY = {"empty graph": (np.zeros((6, 6)),)}


def weights(rng):
    matrix = rng.uniform(0.1, 1, (6, 6))
    return ((matrix + matrix.T) / 2,)


def signed(rng):
    matrix = rng.normal(size=(6, 6))
    return (matrix + matrix.T,)


def partitioned(rng):
    return (*weights(rng), HARD)


def correlations(rng):
    """Two groups of three regions, far from independence, of 60 frames."""
    series = rng.normal(size=(2, 60))[LABELS] + 0.5 * rng.normal(size=(6, 60)) + 0.3 * rng.normal(size=60)
    return (np.corrcoef(series),)


def layers(rng):
    return (np.stack([weights(rng)[0] for _ in range(3)]), np.tile(HARD, (3, 1, 1)))


def _newman(adjacency, affiliation, gamma=1.0):
    graph = nx.from_numpy_array(adjacency - np.diag(np.diag(adjacency)) / 2)  # a loop has two ends there
    communities = [set(np.flatnonzero(column)) for column in affiliation.T]
    return nx.community.modularity(graph, [c for c in communities if c], resolution=gamma)


def _expected(adjacency):
    return np.outer(adjacency.sum(1), adjacency.sum(0)) / adjacency.sum()


def _asymmetric(adjacency):
    """Rubinov & Sporns (2011), equation 4: Q+ less Q- with its share of all weight."""
    positive, negative = np.maximum(adjacency, 0), np.maximum(-adjacency, 0)
    same = HARD @ HARD.T
    q = [((part - _expected(part)) * same).sum() / part.sum() for part in (positive, negative)]
    return q[0] - negative.sum() / (positive.sum() + negative.sum()) * q[1]


def _noise(correlation, n_frames, global_mode):
    values, vectors = np.linalg.eigh(correlation)
    kept = values <= (1 + np.sqrt(len(correlation) / n_frames)) ** 2
    if global_mode:
        kept[-1] = True
    return (vectors[:, kept] * values[kept]) @ vectors[:, kept].T


def _supra(adjacency, affiliation, coupling=0.7):
    """Mucha et al. (2010), as one matrix of all regions of all layers, with neighbouring layers coupled."""
    n_layers, n_regions = adjacency.shape[:2]
    blocks = np.zeros((n_layers, n_regions, n_layers, n_regions))
    total = adjacency.sum()
    for s in range(n_layers):
        blocks[s, :, s] = adjacency[s] - _expected(adjacency[s])
        for r in (s - 1, s + 1):
            if 0 <= r < n_layers:
                blocks[s, :, r] = coupling * np.eye(n_regions)
                total += coupling * n_regions
    flat = blocks.reshape(n_layers * n_regions, -1)
    tall = affiliation.reshape(n_layers * n_regions, -1)
    return (flat * (tall @ tall.T)).sum() / total


OP_CASES = [
    OpCase("girvan_newman_null", girvan_newman_null, weights, "numpy.outer", _expected, degenerate=EMPTY),
    OpCase(
        "constant_potts_null",
        constant_potts_null,
        weights,
        "numpy.ones_like",
        np.ones_like,
        not_differentiable="a constant",
    ),
    *[
        OpCase(
            "correlation_null",
            lambda c, common=common: correlation_null((c + c.T) / 2, n_frames=60, global_mode=common),
            correlations,
            "numpy.linalg.eigh",
            lambda c, common=common: _noise(c, 60, common),
            rtol32=1e-2,
            degenerate={"independence": (np.eye(6),), "one signal": (np.ones((6, 6)),)},
        )
        for common in (True, False)
    ],
    OpCase(
        "modularity_matrix",
        lambda a: modularity_matrix(a, gamma=1.5, normalise_modularity=True),
        weights,
        "numpy.outer",
        lambda a: (a - 1.5 * _expected(a)) / a.sum(),
        degenerate=EMPTY,
    ),
    OpCase(
        "coaffiliation",
        lambda a, q: coaffiliation(q, coupling=a[:2, :2], exclude_diag=False),
        partitioned,
        "numpy.einsum",
        lambda a, q: np.einsum("ic,cd,jd->ij", q, a[:2, :2], q),
        degenerate={"nobody": (np.zeros((6, 6)), np.zeros((6, 2)))},
    ),
    OpCase(
        "relaxed_modularity",
        lambda a, q: relaxed_modularity(a, q, gamma=1.3),
        partitioned,
        "networkx.community.modularity",
        lambda a, q: _newman(a, q, 1.3),
        degenerate={"empty graph": (np.zeros((6, 6)), HARD), "no community": (np.ones((6, 6)), np.zeros((6, 2)))},
    ),
    OpCase(
        "relaxed_modularity",
        lambda a: relaxed_modularity(a, HARD.astype(a.dtype), sign="both"),
        signed,
        "numpy",
        _asymmetric,
        degenerate=EMPTY,
    ),
    OpCase(
        "multilayer_modularity",
        lambda a, q: multilayer_modularity(a, q, coupling=0.7),
        layers,
        "numpy",
        _supra,
        degenerate={"empty layers": (np.zeros((3, 6, 6)), np.tile(HARD, (3, 1, 1)))},
    ),
]


def test_one_layer_has_the_modularity_of_its_graph(rng):
    (matrix,) = weights(rng)
    np.testing.assert_allclose(multilayer_modularity(matrix[None], HARD[None]), relaxed_modularity(matrix, HARD))


def test_categorical_layers_are_all_coupled(rng):
    matrices, affiliation = layers(rng)
    every = multilayer_modularity(matrices, affiliation, coupling=0.5, order="categorical")
    given = multilayer_modularity(matrices, affiliation, coupling=np.full((3, 3), 0.5))
    np.testing.assert_allclose(every, given)
    assert float(every) != pytest.approx(float(multilayer_modularity(matrices, affiliation, coupling=0.5)))


def test_the_correlation_null_leaves_nothing_of_independent_series(rng):
    series = rng.normal(size=(20, 2000))
    correlation = np.corrcoef(series)
    null = correlation_null(correlation, n_frames=2000, global_mode=False)
    assert np.abs(correlation - null).max() < 0.05


def test_the_correlation_null_keeps_planted_groups(rng):
    (correlation,) = correlations(rng)
    structure = modularity_matrix(
        correlation, sign=None, null=lambda c: correlation_null(c, n_frames=60, global_mode=True)
    )
    same = LABELS[:, None] == LABELS
    assert np.asarray(structure)[same].min() > np.asarray(structure)[~same].max()


def test_normalising_divides_by_the_sum_of_all_entries(rng):
    (matrix,) = weights(rng)
    loops = matrix + np.eye(6)
    expected = modularity_matrix(loops) / loops.sum()
    np.testing.assert_allclose(modularity_matrix(loops, normalise_modularity=True), expected)


def test_coaffiliation_of_each_community_and_of_all():
    soft = np.random.default_rng(0).dirichlet(np.ones(3), 5)
    each = coaffiliation(soft.T[..., None], normalise_coaffiliation=True)
    assert each.shape == (3, 5, 5)
    np.testing.assert_allclose(each.sum(0), coaffiliation(soft), rtol=1e-12)
    assert float(coaffiliation(3 * soft, normalise_coaffiliation=True).max()) == pytest.approx(1)
    np.testing.assert_allclose(coaffiliation(soft, soft[:2]), soft @ soft[:2].T, rtol=1e-12)


@pytest.mark.parametrize("sign", ["+", "-", "both"])
def test_gradients_are_finite_where_a_sign_is_absent(sign):
    gradient = jax.grad(lambda a: relaxed_modularity(a, HARD, sign=sign))(jnp.ones((6, 6)))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: girvan_newman_null(np.ones(3)), "region, region"),
        (lambda: modularity_matrix(np.ones((3, 3)), sign="?"), "sign must be"),
        (lambda: modularity_matrix(np.ones((3, 3)), sign=None, normalise_modularity=True), "choose a sign"),
        (lambda: coaffiliation(np.ones(3)), "affiliations must have shape"),
        (lambda: coaffiliation(np.ones((3, 2)), np.ones((3, 4))), "give a coupling"),
        (lambda: relaxed_modularity(np.ones((3, 3)), np.ones((4, 2))), "affiliation must have shape"),
        (lambda: multilayer_modularity(np.ones((2, 3, 3)), np.ones((2, 3, 1)), order="x"), "order must be"),
        (
            lambda: multilayer_modularity(np.ones((2, 3, 3)), np.ones((2, 3, 1)), coupling=np.ones((3, 3))),
            "coupling must be a number",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("sign", ["+", "-"])
def test_the_written_derivative_is_that_of_the_general_way(sign):
    rng = np.random.default_rng(0)
    graphs = jnp.asarray(rng.normal(size=(3, 6, 6))).at[2].set(0.0)  # directed, and an empty one
    probe = jnp.asarray(rng.normal(size=(3, 6, 6)))

    def value(null, graphs, gamma):
        made = modularity_matrix(graphs, gamma=gamma, null=null, normalise_modularity=True, sign=sign)
        return (probe * made**2).sum() + (probe * made).sum()

    written = jax.value_and_grad(lambda *a: value(girvan_newman_null, *a), (0, 1))(graphs, 1.5)
    general = jax.value_and_grad(lambda *a: value(lambda a: girvan_newman_null(a), *a), (0, 1))(graphs, 1.5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), written, general)


def test_several_resolutions_at_once_and_whole_numbers():
    graph = np.array([[0, 2, 1], [2, 0, 0], [1, 0, 0]])
    gammas = jnp.array([0.5, 1.5])
    both = modularity_matrix(graph, gamma=gammas[:, None, None], normalise_modularity=True)
    for gamma, one in zip(gammas, both, strict=True):
        np.testing.assert_allclose(modularity_matrix(graph, gamma=gamma, normalise_modularity=True), one, atol=1e-6)
