"""Mixtures of channels: weights, shares that a query chooses, biases of the outputs; refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from op_case import OpCase

from conn.functional import recombine


def _inputs(rng: np.random.Generator):
    return rng.normal(size=(3, 5, 5)), rng.normal(size=(2, 3)), rng.normal(size=(3, 3)), rng.normal(size=2)


def _chosen(connectome, mixture, query, bias):
    return np.tensordot(scipy.special.softmax(mixture @ query, axis=-1), connectome, 1) + bias[:, None, None]


OP_CASES: list[OpCase] = [
    OpCase(
        "recombine",
        lambda connectome, mixture, query, bias: recombine(connectome, mixture, query=query, bias=bias),
        _inputs,
        "numpy.tensordot, scipy.special.softmax",
        _chosen,
        degenerate={"zeros": (np.zeros((3, 5, 5)), np.zeros((2, 3)), np.zeros((3, 3)), np.zeros(2))},
    ),
    OpCase(
        "recombine",
        lambda connectome, mixture, query, bias: recombine(connectome, mixture, bias=bias),
        _inputs,
        "numpy.tensordot",
        lambda connectome, mixture, query, bias: np.tensordot(mixture, connectome, 1) + bias[:, None, None],
    ),
]


def test_each_item_of_a_batch_has_a_query_of_its_own(rng):
    connectome, mixture = rng.normal(size=(4, 3, 5, 5)), rng.normal(size=(2, 3))
    queries = rng.normal(size=(4, 3, 3))
    found = recombine(connectome, mixture, query=queries)
    for item, query, ours in zip(connectome, queries, found, strict=True):
        np.testing.assert_allclose(ours, _chosen(item, mixture, query, np.zeros(2)), atol=1e-12)


@pytest.mark.parametrize(
    ("mixture", "settings", "message"),
    [
        (jnp.ones((2, 4)), {}, r"mixture must have shape \(output, 3\)"),
        (jnp.ones((2, 3)), {"query": jnp.ones((4, 4))}, r"query must have shape \(..., 3, 3\)"),
        (jnp.ones((2, 3)), {"bias": jnp.ones(3)}, "bias must have one value for each of the 2 outputs"),
    ],
)
def test_what_does_not_fit_is_refused(mixture, settings, message):
    with pytest.raises(ValueError, match=message):
        recombine(jnp.ones((3, 5, 5)), mixture, **settings)
