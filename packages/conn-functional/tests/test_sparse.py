"""Sparse connectomes: SciPy's products, which entries are kept, symmetry, blocks, refusals."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from jax.experimental.sparse import BCOO
from op_case import OpCase

from conn.functional import (
    sampled_product,
    sparse_inner_product,
    sparse_product,
    sparse_row_products,
    sparse_top_k_rows,
    symmetrise,
    top_k_rows,
)

SQUARE = (5, 5)


def _kept(matrix: np.ndarray, k: int) -> Any:
    """The k largest entries of every row, by sorting."""
    places = np.argsort(-matrix, axis=1, kind="stable")[:, :k]
    dense = np.zeros_like(matrix)
    np.put_along_axis(dense, places, np.take_along_axis(matrix, places, 1), 1)
    return scipy.sparse.csr_array(dense)


def _two(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.normal(size=SQUARE), rng.normal(size=SQUARE)


def _of_two(function: Callable) -> Callable:
    return lambda x, y: function(sparse_top_k_rows(x, 3), sparse_top_k_rows(y, 2))


DEGENERATE = {"zeros": (np.zeros(SQUARE), np.zeros(SQUARE)), "ties": (np.ones(SQUARE), np.eye(5))}

OP_CASES = [
    OpCase(
        "top_k_rows",
        partial(top_k_rows, k=2),
        lambda rng: (rng.normal(size=SQUARE),),
        "numpy.argsort",
        lambda x: _kept(x, 2).toarray(),
        degenerate={"zeros": (np.zeros(SQUARE),), "ties": (np.ones(SQUARE),)},
    ),
    OpCase(
        "sparse_top_k_rows",
        lambda x: sparse_top_k_rows(x, 2).data,
        lambda rng: (rng.normal(size=SQUARE),),
        "scipy.sparse.csr_array",
        lambda x: _kept(x, 2).data.reshape(5, 2),
        degenerate={"zeros": (np.zeros(SQUARE),), "ties": (np.ones(SQUARE),)},
    ),
    OpCase(
        "sparse_product",
        _of_two(partial(sparse_product, block_size=2)),
        _two,
        "scipy.sparse.csr_array",
        lambda x, y: (_kept(x, 3) @ _kept(y, 2)).toarray(),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "sparse_row_products",
        _of_two(partial(sparse_row_products, block_size=2)),
        _two,
        "scipy.sparse.csr_array",
        lambda x, y: (_kept(x, 3) @ _kept(y, 2).T).toarray(),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "sparse_inner_product",
        _of_two(sparse_inner_product),
        _two,
        "scipy.sparse.csr_array",
        lambda x, y: (_kept(x, 3) * _kept(y, 2)).sum(),
        degenerate=DEGENERATE,
    ),
    OpCase(
        "sampled_product",
        lambda x, y, where: sampled_product(x, y, sparse_top_k_rows(where, 2), block_size=2).data,
        lambda rng: (rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.permutation(25).reshape(SQUARE)),
        "numpy",
        lambda x, y, where: (x @ y.T)[_kept(where + 1, 2).toarray() > 0].reshape(5, 2),
        degenerate={"zeros": (np.zeros((5, 3)), np.zeros((5, 3)), np.arange(25).reshape(SQUARE))},
    ),
]


def test_a_neighbourhood_graph_is_symmetric_without_a_diagonal(rng: np.random.Generator) -> None:
    matrix = np.asarray(symmetrise(np.corrcoef(rng.normal(size=(8, 30)))))
    found = np.asarray(top_k_rows(matrix, 2, by="magnitude", exclude_diag=True, symmetric=True))
    np.testing.assert_array_equal(found, found.T)
    assert np.all(np.diag(found) == 0)
    assert (found != 0).sum(1).min() >= 2
    one_sided = np.asarray(top_k_rows(matrix, 2, by="magnitude", exclude_diag=True))
    np.testing.assert_array_equal(found, np.where((one_sided != 0) | (one_sided.T != 0), matrix, 0))
    off = np.abs(matrix - np.eye(8))
    assert all(off[i][one_sided[i] != 0].min() > off[i][one_sided[i] == 0].max() for i in range(8))


def test_nan_is_kept_last_and_the_diagonal_never() -> None:
    matrix = np.array([[5.0, np.nan, 1.0], [np.nan, 5.0, np.nan], [-np.inf, 2.0, 5.0]])
    found = np.asarray(top_k_rows(matrix, 1, exclude_diag=True))
    assert found[0].tolist() == [0, 0, 1]
    assert np.isnan(found[1, 0])
    assert found[1, 1:].tolist() == [0, 0]
    assert found[2].tolist() == [0, 2, 0]


def test_batches_are_as_their_items_and_jax_multiplies_with_dense_ones(rng: np.random.Generator) -> None:
    left, right = rng.normal(size=(2, 2, 3, 4, 4))
    a, b = sparse_top_k_rows(left, 2), sparse_top_k_rows(right, 3)
    np.testing.assert_array_equal(a.todense(), top_k_rows(left, 2))
    dense = np.asarray(a.todense()), np.asarray(b.todense())
    np.testing.assert_allclose(a @ jnp.asarray(right), dense[0] @ right, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sparse_product(a, b), dense[0] @ dense[1], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sparse_inner_product(a, b), (dense[0] * dense[1]).sum((-2, -1)), rtol=1e-12)
    own = sparse_row_products(a)
    np.testing.assert_allclose(own, dense[0] @ np.swapaxes(dense[0], -1, -2), rtol=1e-12, atol=1e-12)


def test_padding_and_repeated_entries_count_as_jax_counts_them(rng: np.random.Generator) -> None:
    index = jnp.array([[0, 0], [1, 3], [2, 1]])[..., None]  # twice the same column, and one beyond the last: padding
    sparse = BCOO((jnp.asarray(rng.normal(size=(3, 2))).at[1, 1].set(0), index), shape=(3, 3))
    dense = np.asarray(sparse.todense())
    np.testing.assert_allclose(sparse_product(sparse, sparse), dense @ dense, rtol=1e-12)
    np.testing.assert_allclose(sparse_row_products(sparse), dense @ dense.T, rtol=1e-12)
    np.testing.assert_allclose(sparse_inner_product(sparse, sparse), (dense**2).sum(), rtol=1e-12)


def test_neighbours_only_are_correlated_without_the_matrix(rng: np.random.Generator) -> None:
    series = rng.normal(size=(30, 20))
    unit = series - series.mean(1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    near = -np.abs(np.subtract.outer(np.arange(30), np.arange(30)))
    found = sampled_product(unit, unit, sparse_top_k_rows(near.astype(float), 3, exclude_diag=True), block_size=7)
    dense = np.asarray(found.todense())
    np.testing.assert_allclose(dense[dense != 0], np.asarray(np.corrcoef(series))[dense != 0], rtol=1e-10)
    assert (dense != 0).sum() == 90


def test_a_block_holds_memory_down() -> None:
    sparse = sparse_top_k_rows(jnp.ones((400, 400), jnp.float32), 40)

    def temporary(block_size: int) -> int:
        gradient = jax.grad(
            lambda data: sparse_product(
                BCOO((data, sparse.indices), shape=(400, 400)), sparse, block_size=block_size
            ).sum()
        )
        analysis = jax.jit(gradient).lower(sparse.data).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporary(10) < 0.5 * temporary(400)


def test_bad_input_is_refused() -> None:
    sparse = sparse_top_k_rows(np.eye(3), 1)
    with pytest.raises(ValueError, match="between 1 and 2"):
        top_k_rows(np.eye(3), 3, exclude_diag=True)
    with pytest.raises(ValueError, match='"value" or "magnitude"'):
        top_k_rows(np.eye(3), 1, by="size")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="must be square"):
        top_k_rows(np.ones((2, 3)), 1, symmetric=True)
    with pytest.raises(TypeError, match="left must be a jax"):
        sparse_product(np.eye(3), sparse)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="n_batch=0"):
        sparse_product(sparse, BCOO.fromdense(jnp.eye(3)))
    with pytest.raises(ValueError, match="do not make a product"):
        sparse_product(sparse, sparse_top_k_rows(np.ones((2, 3)), 1))
    with pytest.raises(ValueError, match="same columns"):
        sparse_row_products(sparse, sparse_top_k_rows(np.ones((3, 2)), 1))
    with pytest.raises(ValueError, match="one shape"):
        sparse_inner_product(sparse, sparse_top_k_rows(np.ones((2, 3)), 1))
    with pytest.raises(ValueError, match=r"shapes \(3, 4\) and \(3, 4\)"):
        sampled_product(np.ones((3, 4)), np.ones((2, 4)), sparse)
    with pytest.raises(ValueError, match="at least 1 row"):
        sparse_product(sparse, sparse, block_size=0)
    with pytest.raises(eqx.EquinoxRuntimeError, match="matrix holds NaN"):
        eqx.filter_jit(partial(top_k_rows, k=1, check=True))(np.full((2, 2), np.nan))
