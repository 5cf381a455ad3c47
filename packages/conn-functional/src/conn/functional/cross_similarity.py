r"""Filters on connectomes in the form of a cross, with symmetric templates of low rank (sylo).

A template :math:`T` is as large as the connectome :math:`X`. For the pair :math:`(i, j)` the two are compared over all
connections that share a region with it, its row and its column together:

.. math:: y_{ij} = \sum_{k} x_{ik} t_{ik} + \sum_{k} x_{kj} t_{kj} - x_{ij} t_{ij} .

Templates are :math:`L \operatorname{diag}(s) R^\top` of few columns. Reordering the regions of connectome and template
reorders the result in the same way.
"""

from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional._inputs import real_series
from conn.functional.convolution import per_output
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.matrix import fill_diagonal, symmetrise

__all__ = ["TemplateSymmetry", "cross_similarity", "low_rank_template", "sylo"]

TemplateSymmetry = Literal["symmetric", "skew"] | None
"""Of a template: its symmetric or its skew-symmetric part, or the whole of it."""


def low_rank_template(
    left: Float[Tensor, "... row rank"],
    right: Float[Tensor, "... column rank"] | None = None,
    *,
    sign: Float[Tensor, "... rank"] | None = None,
    symmetry: TemplateSymmetry = None,
) -> Float[Array, "... row column"]:
    r"""Return matrices of low rank, :math:`L \operatorname{diag}(s) R^\top`.

    Parameters
    ----------
    left : array, shape (..., row, rank)
    right : array, shape (..., column, rank), optional
        `left` by default: the matrix is then symmetric, and positive semi-definite if no `sign` is negative.
    sign : array, shape (..., rank), optional
        Weight of each column, of any sign; 1 by default. Leading axes broadcast.
    symmetry : {"symmetric", "skew"}, optional
        Return half the sum, or half the difference, of the matrix and its transpose.

    Returns
    -------
    array, shape (..., row, column)

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the symmetry is unknown.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> community = jnp.array([[1.0], [1.0], [0.0]])
    >>> low_rank_template(community).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    if symmetry is not None and symmetry not in get_args(get_args(TemplateSymmetry)[0]):
        raise ValueError(f'symmetry must be "symmetric", "skew" or None, and is {symmetry!r}')
    rows = real_series(left, name="left", axes="(..., row, rank)")
    columns = rows if right is None else real_series(right, name="right", axes="(..., column, rank)").astype(rows.dtype)
    rank = rows.shape[-1]
    if columns.shape[-1] != rank:
        raise ValueError(
            f"left and right must have one rank on their last axes, and have {rank} and {columns.shape[-1]}"
        )
    if symmetry is not None and rows.shape[-2] != columns.shape[-2]:
        raise ValueError(
            f"a {symmetry} template has as many rows as columns, and there are {rows.shape[-2]} and {columns.shape[-2]}"
        )
    if sign is not None:
        weights = _to_jax_array(sign).astype(rows.dtype)
        if weights.ndim == 0 or weights.shape[-1] != rank:
            raise ValueError(f"sign must have shape (..., {rank}) for a rank of {rank}, and has shape {weights.shape}")
        rows = rows * weights[..., None, :]
    matrix = rows @ jnp.swapaxes(columns, -1, -2)
    return matrix if symmetry is None else symmetrise(matrix, skew=symmetry == "skew")


def cross_similarity(
    connectome: Float[Tensor, "... channel row column"],
    template: Float[Tensor, "output channel row column"],
    *,
    remove_diagonal: bool = False,
    check: bool = False,
) -> Float[Array, "... output row column"]:
    r"""Return how alike connectome and template are around each pair of regions, summed over channels.

    Parameters
    ----------
    connectome : array, shape (..., channel, row, column)
        Matrices, in any unit, symmetric or not. NaN spreads over its row and column.
    template : array, shape (output, channel, row, column)
        One matrix for each output and channel.
    remove_diagonal : bool, default False
        Leave the diagonals out of the sums, and give 0 on the diagonal.
    check : bool, default False
        Refuse NaN and infinity, also under ``jit``.

    Returns
    -------
    array, shape (..., output, row, column)
        In the unit of the connectome times that of the template. Symmetric where both are.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or a diagonal is to be removed from matrices that are not square.
    RuntimeError
        With `check`, as said there.

    References
    ----------
    .. [1] Kawahara et al. (2017). BrainNetCNN, where filters in the form of a cross were proposed for connectomes.
       doi:10.1016/j.neuroimage.2016.09.046

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> cross_similarity(jnp.ones((1, 2, 3)), jnp.ones((1, 1, 2, 3)))[0, 0].tolist()
    [4.0, 4.0, 4.0]
    """
    matrices = real_series(connectome, name="connectome", axes="(..., channel, row, column)", check=check)
    filters = _to_jax_array(template).astype(matrices.dtype)
    if filters.ndim != 4 or filters.shape[1:] != matrices.shape[-3:]:
        raise ValueError(
            "template must have shape (output, channel, row, column), the last three "
            f"{matrices.shape[-3:]} as the connectome, and has shape {filters.shape}"
        )
    if remove_diagonal and matrices.shape[-2] != matrices.shape[-1]:
        raise ValueError(f"only square matrices have a diagonal to remove, and these are {matrices.shape[-2:]}")
    if remove_diagonal:  # of both: NaN stands on the diagonal of some connectomes
        matrices, filters = fill_diagonal(matrices, 0.0), fill_diagonal(filters, 0.0)
    # Sums over channels and over the cross commute: what is as large as all channels together is never kept.
    product = (matrices[..., None, :, :, :] * filters).sum(-3)
    around = product.sum(-1, keepdims=True) + product.sum(-2, keepdims=True) - product
    return fill_diagonal(around, 0.0) if remove_diagonal else around


def sylo(
    connectome: Float[Tensor, "... channel row column"],
    left: Float[Tensor, "output channel row rank"],
    right: Float[Tensor, "output channel column rank"] | None = None,
    *,
    sign: Float[Tensor, "output channel rank"] | None = None,
    symmetry: TemplateSymmetry = None,
    bias: Float[Tensor, " output"] | None = None,
    remove_diagonal: bool = False,
    check: bool = False,
) -> Float[Array, "... output row column"]:
    r"""Return the likeness of connectomes to templates of low rank around each pair of regions.

    Parameters
    ----------
    connectome : array, shape (..., channel, row, column)
        Matrices, in any unit. NaN spreads over its row and column.
    left, right : array, shape (output, channel, row or column, rank)
        Factors of the templates, see `low_rank_template`.
    sign : array, shape (output, channel, rank), optional
        Weight of each factor.
    symmetry : {"symmetric", "skew"}, optional
        Of the templates.
    bias : array, shape (output,), optional
        Added to every pair.
    remove_diagonal : bool, default False
        Leave the diagonals out of the sums, and give 0 on the diagonal, where no bias is added either.
    check : bool, default False
        Refuse NaN and infinity, also under ``jit``.

    Returns
    -------
    array, shape (..., output, row, column)
        Symmetric for symmetric connectomes and templates; a positive semi-definite input need not stay so.

    Raises
    ------
    ValueError, RuntimeError
        As `low_rank_template` and `cross_similarity`.

    References
    ----------
    .. [1] Kawahara et al. (2017). doi:10.1016/j.neuroimage.2016.09.046

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> community = jnp.array([1.0, 1.0, 0.0])[None, None, :, None]
    >>> sylo(jnp.ones((1, 3, 3)), community)[0].tolist()
    [[3.0, 3.0, 2.0], [3.0, 3.0, 2.0], [2.0, 2.0, 0.0]]
    """
    template = low_rank_template(left, right, sign=sign, symmetry=symmetry)
    out = cross_similarity(connectome, template, remove_diagonal=remove_diagonal, check=check)
    if bias is None:
        return out
    out = out + per_output(bias, out.shape[-3], out.dtype)
    return fill_diagonal(out, 0.0) if remove_diagonal else out
