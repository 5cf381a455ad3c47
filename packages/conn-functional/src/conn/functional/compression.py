r"""Connectomes of fewer regions: :math:`R X C^\top`, with the spread of the connectome that they come from."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional._inputs import real_series
from conn.functional.engine import Tensor
from conn.functional.matrix import fill_diagonal

__all__ = ["vertical_compression"]


def vertical_compression(
    connectome: Float[Tensor, "... row column"],
    row_compressor: Float[Tensor, "... less_rows row"],
    column_compressor: Float[Tensor, "... less_columns column"] | None = None,
    *,
    renormalise: bool = True,
    remove_diagonal: bool = False,
    check: bool = False,
) -> Float[Array, "... less_rows less_columns"]:
    r"""Return connectomes whose regions are fused, :math:`R X C^\top`.

    Parameters
    ----------
    connectome : array, shape (..., row, column)
        Matrices, in any unit.
    row_compressor : array, shape (..., less_rows, row)
        :math:`R`, what each fused region takes of the regions. Leading axes broadcast with those of the connectome.
    column_compressor : array, shape (..., less_columns, column), optional
        :math:`C`; as :math:`R` by default.
    renormalise : bool, default True
        Scale the result to the standard deviation, over its entries, of the connectome's. Where either has none (a
        spread within 8 eps of the root mean square), nothing is scaled.
    remove_diagonal : bool, default False
        Set the diagonals to 0 before and after, and leave them out of the standard deviations.
    check : bool, default False
        Refuse NaN and infinity, also under ``jit``.

    Returns
    -------
    array, shape (..., less_rows, less_columns)
        In the unit of the connectome (times that of the compressors, unless renormalised).

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or a diagonal is to be removed from matrices that are not square.
    RuntimeError
        With `check`, as said there.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pairs = jnp.array([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]])
    >>> blocks = jnp.array([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    >>> vertical_compression(blocks, pairs, renormalise=False).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    matrix = real_series(connectome, name="connectome", axes="(..., row, column)", check=check)
    rows = real_series(row_compressor, name="row_compressor", axes="(..., less_rows, row)").astype(matrix.dtype)
    columns = rows
    if column_compressor is not None:
        columns = real_series(column_compressor, name="column_compressor", axes="(..., less_columns, column)")
        columns = columns.astype(matrix.dtype)
    for name, compressor, axis in (("row_compressor", rows, -2), ("column_compressor", columns, -1)):
        if compressor.shape[-1] != matrix.shape[axis]:
            raise ValueError(
                f"{name} must have shape (..., any, {matrix.shape[axis]}) for a connectome of shape {matrix.shape}, "
                f"and has shape {compressor.shape}"
            )
    square = matrix.shape[-1] == matrix.shape[-2] and rows.shape[-2] == columns.shape[-2]
    if remove_diagonal and not square:
        raise ValueError("only square matrices have a diagonal to remove, before and after the compression")
    if remove_diagonal:
        matrix = fill_diagonal(matrix, 0.0)
    fused = rows @ matrix @ jnp.swapaxes(columns, -1, -2)
    if remove_diagonal:
        fused = fill_diagonal(fused, 0.0)
    if not renormalise:
        return fused
    before, flat = _variance(matrix, remove_diagonal)
    after, fused_flat = _variance(fused, remove_diagonal)
    usable = ~flat & ~fused_flat
    ratio = jnp.where(usable, before, 1.0) / jnp.where(usable, after, 1.0)
    return fused * jnp.sqrt(ratio)


def _variance(matrix: Array, remove_diagonal: bool) -> tuple[Array, Array]:
    """Return the variance over the entries that count, as (..., 1, 1), and whether it is rounding alone."""
    counted = jnp.ones(matrix.shape[-2:], bool)
    if remove_diagonal:
        counted = ~jnp.eye(matrix.shape[-1], dtype=bool)
    number = max(matrix.shape[-2] * matrix.shape[-1] - (matrix.shape[-1] if remove_diagonal else 0), 1)
    mean = matrix.sum((-2, -1), keepdims=True) / number  # a diagonal that does not count is 0
    variance = (jnp.where(counted, matrix - mean, 0.0) ** 2).sum((-2, -1), keepdims=True) / number
    power = (matrix**2).sum((-2, -1), keepdims=True) / number
    return variance, variance <= (8 * jnp.finfo(matrix.dtype).eps) ** 2 * power
