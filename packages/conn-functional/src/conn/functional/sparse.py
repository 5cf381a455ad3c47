r"""Sparse connectomes: the strongest connections of every region, and products that JAX does not have.

A sparse matrix is a `jax.experimental.sparse.BCOO` whose rows each hold :math:`k` entries: its rows are batch axes
(``n_batch`` is the matrix's rank less 1), ``data`` has shape (..., row, k) and ``indices`` (..., row, k, 1). In this
layout a row is read without a search and gradients flow to ``data``. JAX multiplies it with dense matrices
(``sparse @ dense``); what stands here is what it lacks: products of two sparse matrices, inner products of their rows,
and dense products taken at the places of a sparse one.

Which entries are kept is a choice, and has no derivative: gradients flow through the values kept.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
from jax.experimental.sparse import BCOO
from jaxtyping import Array, Float, Int

from conn.functional._inputs import real_series
from conn.functional.engine import Tensor

__all__ = [
    "sampled_product",
    "sparse_inner_product",
    "sparse_product",
    "sparse_row_products",
    "sparse_top_k_rows",
    "top_k_rows",
]

By = Literal["value", "magnitude"]


def top_k_rows(
    matrix: Float[Tensor, "... row column"],
    k: int,
    *,
    by: By = "value",
    exclude_diag: bool = False,
    symmetric: bool = False,
    check: bool = False,
) -> Float[Array, "... row column"]:
    """Return matrices with the k largest entries of every row, and 0 elsewhere.

    Parameters
    ----------
    matrix : array, shape (..., row, column)
        NaN counts as the smallest entry, and is kept only where nothing else is left.
    k : int
        Entries to keep of every row. Of equal ones the first come first.
    by : {"value", "magnitude"}, default "value"
        Whether the largest or the strongest entries of either sign are kept.
    exclude_diag : bool, default False
        Never keep the diagonal.
    symmetric : bool, default False
        Keep an entry also if the one across the diagonal is kept, as neighbourhood graphs do: of a symmetric matrix the
        result is symmetric, with at least k entries a row.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., row, column)
        The derivative is that of the entries kept, and 0 for the others; which ones are kept has none.

    Raises
    ------
    ValueError
        If k is not between 1 and the number of columns that count, `by` is unknown, or a matrix is not square where it
        has to be.

    References
    ----------
    .. [1] von Luxburg (2007), A tutorial on spectral clustering, section 2.2. doi:10.1007/s11222-007-9033-z

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> top_k_rows(jnp.array([[1.0, -3.0, 2.0], [0.0, 5.0, 4.0]]), 1, by="magnitude").tolist()
    [[0.0, -3.0, 0.0], [0.0, 5.0, 0.0]]
    """
    array, index = _strongest(matrix, k, by, exclude_diag, symmetric, check)
    kept = jnp.put_along_axis(jnp.zeros(array.shape, bool), index, True, axis=-1, inplace=False)
    if symmetric:
        kept = kept | jnp.swapaxes(kept, -1, -2)
    return jnp.where(kept, array, 0.0)


def sparse_top_k_rows(
    matrix: Float[Tensor, "... row column"],
    k: int,
    *,
    by: By = "value",
    exclude_diag: bool = False,
    check: bool = False,
) -> BCOO:
    """Return the k largest entries of every row as a sparse matrix.

    Parameters
    ----------
    matrix, k, by, exclude_diag, check
        As in `top_k_rows`.

    Returns
    -------
    jax.experimental.sparse.BCOO, shape (..., row, column)
        Rows are batch axes, with k entries each in the order of their columns; a 0 among the largest is an entry too.

    Raises
    ------
    ValueError
        As in `top_k_rows`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> sparse = sparse_top_k_rows(jnp.array([[1.0, -3.0, 2.0], [0.0, 5.0, 4.0]]), 1)
    >>> sparse.data.tolist(), sparse.indices.tolist()
    ([[2.0], [5.0]], [[[2]], [[1]]])
    """
    array, index = _strongest(matrix, k, by, exclude_diag, False, check)
    index = jnp.sort(index, -1)
    data = jnp.take_along_axis(array, index, -1)
    return BCOO((data, index[..., None]), shape=array.shape, indices_sorted=True, unique_indices=True)


def sparse_product(left: BCOO, right: BCOO, *, block_size: int = 256) -> Float[Array, "... row column"]:
    """Return the product of two sparse matrices, which is dense in general.

    A block of rows at a time, in the time of row x k of `left` x k of `right`, and memory for one block's terms.

    Parameters
    ----------
    left : BCOO, shape (..., row, inner)
    right : BCOO, shape (..., inner, column)
        Both with rows as batch axes, as `sparse_top_k_rows` gives them, and with the same leading axes.
    block_size : int, default 256
        Rows taken at once.

    Returns
    -------
    array, shape (..., row, column)
        Differentiable in the data of both.

    Raises
    ------
    TypeError
        If one is not a BCOO.
    ValueError
        If rows are not batch axes, the shapes do not fit, or the block is empty.

    See Also
    --------
    scipy.sparse.csr_array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> sparse = sparse_top_k_rows(jnp.array([[0.0, 2.0], [3.0, 0.0]]), 1)
    >>> sparse_product(sparse, sparse).tolist()
    [[6.0, 0.0], [0.0, 6.0]]
    """
    first, second = _rows_of("left", left), _rows_of("right", right)
    if left.shape[:-2] != right.shape[:-2] or left.shape[-1] != right.shape[-2]:
        raise ValueError(f"the shapes {left.shape} and {right.shape} of left and right do not make a product")
    n_columns = right.shape[-1]

    def of_row(row: _Rows, others: _Rows) -> Array:
        data, index = row
        terms = data[:, None] * others[0].at[index].get(mode="fill", fill_value=0)
        columns = others[1].at[index].get(mode="fill", fill_value=n_columns)
        return jnp.zeros(n_columns, terms.dtype).at[columns].add(terms, mode="drop")

    return _by_blocks(of_row, first, second, block_size)


def sparse_row_products(
    left: BCOO, right: BCOO | None = None, *, block_size: int = 256
) -> Float[Array, "... row other"]:
    """Return the inner products between all rows of sparse matrices: the product with a transpose.

    Parameters
    ----------
    left : BCOO, shape (..., row, column)
    right : BCOO, shape (..., other, column), optional
        Both with rows as batch axes, as `sparse_top_k_rows` gives them, and with the same leading axes; `left` by
        default.
    block_size : int, default 256
        Rows of `left` taken at once.

    Returns
    -------
    array, shape (..., row, other)
        Differentiable in the data of both. With its diagonal, distances and cosines between rows follow.

    Raises
    ------
    TypeError
        If one is not a BCOO.
    ValueError
        If rows are not batch axes, the shapes do not fit, or the block is empty.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> sparse = sparse_top_k_rows(jnp.array([[0.0, 2.0], [1.0, 3.0]]), 1)
    >>> sparse_row_products(sparse).tolist()
    [[4.0, 6.0], [6.0, 9.0]]
    """
    other = left if right is None else right
    first, second = _rows_of("left", left), _rows_of("right", other)
    if left.shape[:-2] != other.shape[:-2] or left.shape[-1] != other.shape[-1]:
        raise ValueError(f"left and right must have the same columns, and have the shapes {left.shape}, {other.shape}")
    n_columns = left.shape[-1]

    def of_row(row: _Rows, others: _Rows) -> Array:
        dense = jnp.zeros(n_columns, row[0].dtype).at[row[1]].add(row[0], mode="drop")
        return (dense.at[others[1]].get(mode="fill", fill_value=0) * others[0]).sum(-1)

    return _by_blocks(of_row, first, second, block_size)


def sparse_inner_product(left: BCOO, right: BCOO) -> Float[Array, "..."]:
    r"""Return the sum of products of all entries, :math:`\operatorname{tr}(A^\top B)`, of two sparse matrices.

    Parameters
    ----------
    left, right : BCOO, shape (..., row, column)
        Of one shape, both with rows as batch axes, as `sparse_top_k_rows` gives them.

    Returns
    -------
    array, shape (...)
        In the time of row x k of `left` x k of `right`. Differentiable in the data of both.

    Raises
    ------
    TypeError
        If one is not a BCOO.
    ValueError
        If rows are not batch axes, or the shapes differ.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> sparse = sparse_top_k_rows(jnp.array([[0.0, 2.0], [1.0, 3.0]]), 1)
    >>> float(sparse_inner_product(sparse, sparse))
    13.0
    """
    (data, index), (others, places) = _rows_of("left", left), _rows_of("right", right)
    if left.shape != right.shape:
        raise ValueError(f"left and right must have one shape, and have the shapes {left.shape} and {right.shape}")
    shared = (index[..., :, None] == places[..., None, :]) & (index < left.shape[-1])[..., :, None]
    return jnp.where(shared, data[..., :, None] * others[..., None, :], 0.0).sum((-3, -2, -1))


def sampled_product(
    left: Float[Tensor, "... row feature"],
    right: Float[Tensor, "... column feature"],
    pattern: BCOO,
    *,
    block_size: int = 256,
) -> BCOO:
    r"""Return the entries of a dense product, :math:`L R^\top`, at the places of a sparse matrix.

    The product is never formed: a block of rows at a time, in the time and memory of row x k x feature. With series of
    unit norm, these are correlations between neighbours only.

    Parameters
    ----------
    left : array, shape (..., row, feature)
    right : array, shape (..., column, feature)
    pattern : BCOO, shape (..., row, column)
        Rows as batch axes, as `sparse_top_k_rows` gives them; its data do not count. Multiply both data for the
        entrywise product of a sparse matrix and one of low rank.
    block_size : int, default 256
        Rows taken at once.

    Returns
    -------
    BCOO, shape (..., row, column)
        With the indices of the pattern. Differentiable in `left` and `right`.

    Raises
    ------
    TypeError
        If the pattern is not a BCOO.
    ValueError
        If rows are not its batch axes, the shapes do not fit, or the block is empty.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pattern = sparse_top_k_rows(jnp.array([[0.0, 2.0], [1.0, 3.0]]), 1)
    >>> sampled_product(jnp.ones((2, 3)), jnp.ones((2, 3)), pattern).data.tolist()
    [[3.0], [3.0]]
    """
    rows = real_series(left, name="left", axes="(..., row, feature)")
    columns = real_series(right, name="right", axes="(..., column, feature)")
    index = _rows_of("pattern", pattern)[1]
    wanted = (
        (*pattern.shape[:-2], pattern.shape[-2], rows.shape[-1]),
        (*pattern.shape[:-2], pattern.shape[-1], rows.shape[-1]),
    )
    if (rows.shape, columns.shape) != wanted:
        raise ValueError(
            f"left and right must have the shapes {wanted[0]} and {wanted[1]} for this pattern, and have the shapes "
            f"{rows.shape} and {columns.shape}"
        )

    def of_row(row: _Rows, others: _Rows) -> Array:
        return others[0].at[row[1]].get(mode="fill", fill_value=0) @ row[0]

    sampled = _by_blocks(of_row, (rows, index), (columns, columns), block_size)
    return BCOO(
        (sampled, index[..., None]),
        shape=pattern.shape,
        indices_sorted=pattern.indices_sorted,
        unique_indices=pattern.unique_indices,
    )


_Rows: TypeAlias = tuple[Array, Array]
"""The data and the columns of rows, or of one."""


def _strongest(
    matrix: Tensor, k: int, by: By, exclude_diag: bool, symmetric: bool, check: bool
) -> tuple[Float[Array, "... row column"], Int[Array, "... row k"]]:
    """Return the matrix, and in which columns the k largest entries of every row stand."""
    array = real_series(matrix, name="matrix", axes="(..., row, column)", check=check)
    if by not in get_args(By):
        raise ValueError(f'by must be "value" or "magnitude", and is {by!r}')
    if (symmetric or exclude_diag) and array.shape[-1] != array.shape[-2]:
        raise ValueError(f"matrix must be square here, and has shape {array.shape}")
    most = array.shape[-1] - exclude_diag
    if not 1 <= k <= most:
        raise ValueError(f"k must lie between 1 and {most}, the entries of a row that count, and is {k}")
    score = jax.lax.stop_gradient(array)
    score = jnp.abs(score) if by == "magnitude" else score
    least = jnp.finfo(score.dtype).min
    score = jnp.maximum(jnp.where(jnp.isnan(score), least, score), least)
    if exclude_diag:  # below whatever else there is
        score = jnp.where(jnp.eye(score.shape[-1], dtype=bool), -jnp.inf, score)
    return array, jax.lax.top_k(score, k)[1]


def _rows_of(name: str, sparse: BCOO) -> _Rows:
    """Return the data and the columns of every row, having made sure that rows are batch axes."""
    if not isinstance(sparse, BCOO):
        raise TypeError(f"{name} must be a jax.experimental.sparse.BCOO, and is a {type(sparse).__name__}")
    if len(sparse.shape) < 2 or sparse.n_batch != len(sparse.shape) - 1 or sparse.n_dense != 0:
        raise ValueError(
            f"{name} must have its rows as batch axes, as sparse_top_k_rows gives them, and has shape {sparse.shape} "
            f"with n_batch={sparse.n_batch}: see jax.experimental.sparse.bcoo_update_layout"
        )
    wanted = (*sparse.shape[:-1], sparse.nse)
    return jnp.broadcast_to(sparse.data, wanted), jnp.broadcast_to(sparse.indices[..., 0], wanted)


def _by_blocks(of_row: Callable[[_Rows, _Rows], Array], first: _Rows, second: _Rows, block_size: int) -> Array:
    """Return the result of every row of the first with all rows of the second, some rows at a time.

    Rows are computed anew for the derivative, so that one block's terms exist at a time there too.
    """
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1 row, and is {block_size}")

    def of_matrix(pair: tuple[_Rows, _Rows]) -> Array:
        rows, others = pair
        return jax.lax.map(lambda row: jax.checkpoint(of_row)(row, others), rows, batch_size=block_size)

    lead = first[0].shape[:-2]
    if not lead:
        return of_matrix((first, second))
    flat = jax.tree.map(lambda array: array.reshape(-1, *array.shape[-2:]), (first, second))
    results = jax.lax.map(of_matrix, flat)
    return results.reshape(*lead, *results.shape[1:])
