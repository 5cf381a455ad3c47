import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

from conn.loss import (
    BimodalSymmetricLoss,
    Loss,
    ModularityLoss,
    SmoothnessLoss,
    bimodal_symmetric,
    identity,
    modularity,
    smoothness,
    sum_scalarise,
)


@pytest.fixture(scope="module")
def planted():
    """Two communities of ten regions: connected inside with weight about 1, outside with about 0.1."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 10)
    weights = np.where(labels[:, None] == labels, 1.0, 0.1) * rng.uniform(0.5, 1.5, (20, 20))
    return labels, (weights + weights.T) / 2


def test_modularity_is_minus_newmans_q(planted):
    labels, weights = planted
    graph = nx.from_numpy_array(weights)
    expected = nx.community.modularity(graph, [set(np.flatnonzero(labels == c)) for c in (0, 1)], resolution=1.3)
    loss = ModularityLoss(gamma=1.3)(Q=jnp.eye(2)[labels], A=jnp.asarray(doubled_loops(weights)))
    assert float(loss) == pytest.approx(-expected, abs=1e-6)


def doubled_loops(weights):
    """NetworkX counts a loop twice in a degree, a matrix counts it once: the matrix of NetworkX's graph."""
    return weights + np.diag(np.diag(weights))


def test_the_planted_partition_is_better_than_one_community(planted):
    """The original returns plus modularity: its minimum is one community that holds everything."""
    labels, weights = planted
    one = jnp.ones((20, 1))
    assert float(modularity(jnp.eye(2)[labels], weights, gamma=5.0)) < float(modularity(one, weights, gamma=5.0))


def test_minimising_modularity_finds_planted_communities(planted):
    _, weights = planted
    loss = ModularityLoss()
    descend = jax.jit(jax.grad(lambda logits: loss(Q=jax.nn.softmax(logits), A=jnp.asarray(weights))))
    logits = 0.01 * jax.random.normal(jax.random.PRNGKey(0), (20, 3))
    for _ in range(200):
        logits = logits - 20 * descend(logits)
    found = np.asarray(logits.argmax(-1))
    assert len(set(found[:10])) == len(set(found[10:])) == 1
    assert found[0] != found[-1]


def test_an_empty_graph_has_modularity_zero_and_a_finite_gradient():
    value, gradient = jax.jit(jax.value_and_grad(lambda a: modularity(jnp.eye(3), a)))(jnp.zeros((3, 3)))
    assert value == 0
    assert np.isfinite(gradient).all()


def test_smoothness_is_the_difference_of_neighbours():
    x = np.random.default_rng(0).standard_normal((2, 7)).astype(np.float32)
    np.testing.assert_allclose(smoothness(x, order=2), np.diff(x, 2), rtol=1e-5)
    assert float(SmoothnessLoss(nu=3.0)(x)) == pytest.approx(3 * np.abs(np.diff(x)).sum(), rel=1e-5)
    assert float(SmoothnessLoss(axis=0)(x)) == pytest.approx(np.abs(np.diff(x, axis=0)).sum(), rel=1e-5)


def test_bimodal_loss_is_zero_at_the_modes_and_largest_between_them():
    x = jnp.linspace(-1, 3, 401)
    expected = np.minimum(np.abs(x - 0), np.abs(x - 2))
    np.testing.assert_allclose(bimodal_symmetric(x, modes=(2, 0)), expected, atol=1e-6)
    assert float(BimodalSymmetricLoss(modes=(0, 2))(jnp.array([0.0, 2.0]))) == 0


def test_a_loss_is_its_strength_times_its_reduced_score():
    assert float(Loss(nu=0.5, score=identity, scalarisation=sum_scalarise())(jnp.arange(4.0))) == 3.0


def test_names_come_from_the_class_unless_given():
    assert [ModularityLoss().name, SmoothnessLoss().name, Loss(score=identity).name] == [
        "Modularity",
        "Smoothness",
        "Loss",
    ]
    assert ModularityLoss(name="Q").name == "Q"


def test_a_loss_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="reduce all axes"):
        Loss(score=identity, scalarisation=sum_scalarise(axis=0))(jnp.ones((2, 2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smoothness(jnp.ones(1)), "holds 1"),
        (lambda: smoothness(jnp.ones(5), order=0), "order of at least 1"),
        (lambda: bimodal_symmetric(jnp.ones(5), modes=(1, 1)), "both are 1"),
        (lambda: modularity(jnp.ones((4, 2)), jnp.ones((3, 3))), r"shape \(\.\.\., 3, community\)"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
