"""Fused regions: products, spreads that stay, diagonals; refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
from op_case import OpCase

from conn.functional import vertical_compression


def _inputs(rng: np.random.Generator):
    return rng.normal(size=(5, 6)), rng.normal(size=(3, 5)), rng.normal(size=(2, 6))


def _square(rng: np.random.Generator):
    return rng.normal(size=(5, 5)), rng.normal(size=(3, 5))


def _fused(connectome, rows, columns):
    fused = rows @ connectome @ columns.T
    return fused * connectome.std() / fused.std()


def _hollow(connectome, rows):
    off = ~np.eye(5, dtype=bool)
    fused = rows @ (connectome * off) @ rows.T * ~np.eye(3, dtype=bool)
    return fused * connectome[off].std() / fused[~np.eye(3, dtype=bool)].std()


OP_CASES: list[OpCase] = [
    OpCase(
        "vertical_compression",
        vertical_compression,
        _inputs,
        "numpy.matmul, numpy.std",
        _fused,
        degenerate={
            "an empty connectome": (np.zeros((5, 6)), np.ones((3, 5)), np.ones((2, 6))),
            "a flat connectome": (np.ones((5, 6)), np.ones((3, 5)), np.ones((2, 6))),
            "compressors without weight": (np.eye(5, 6), np.zeros((3, 5)), np.zeros((2, 6))),
        },
    ),
    OpCase(
        "vertical_compression",
        lambda connectome, rows: vertical_compression(connectome, rows, remove_diagonal=True),
        _square,
        "numpy.matmul, numpy.std over the entries off the diagonal, both triangles",
        _hollow,
    ),
]


def test_leading_axes_broadcast_and_spread_is_left_where_there_is_none(rng):
    connectome, rows = rng.normal(size=(4, 1, 5, 5)), rng.normal(size=(2, 3, 5))
    found = vertical_compression(connectome, rows)
    assert found.shape == (4, 2, 3, 3)
    np.testing.assert_allclose(found[3, 1], vertical_compression(connectome[3, 0], rows[1]), atol=1e-12)
    np.testing.assert_allclose(vertical_compression(np.ones((5, 5)), np.full((2, 5), 0.2)), 1.0)
    one = vertical_compression(connectome[0, 0], np.ones((1, 5)))
    np.testing.assert_allclose(one, connectome[0, 0].sum()[None, None])


@pytest.mark.parametrize(
    ("arrays", "settings", "message"),
    [
        ((jnp.ones((5, 6)), jnp.ones((3, 6))), {}, "row_compressor must have shape"),
        ((jnp.ones((5, 6)), jnp.ones((3, 5)), jnp.ones((2, 5))), {}, "column_compressor must have shape"),
        ((jnp.ones((5, 6)), jnp.ones((3, 5)), jnp.ones((3, 6))), {"remove_diagonal": True}, "only square matrices"),
    ],
)
def test_what_does_not_fit_is_refused(arrays, settings, message):
    with pytest.raises(ValueError, match=message):
        vertical_compression(*arrays, **settings)
