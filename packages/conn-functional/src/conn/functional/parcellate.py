r"""From vertices to parcels and back.

An assignment is a matrix :math:`A` (parcel, vertex) that is not negative: one row of zeros and ones a parcel for a hard
parcellation (`label_matrix`), shares for a soft one. With vertices' weights :math:`w` (areas), the mean of a parcel is
:math:`\sum_v A_{pv} w_v x_v / \sum_v A_{pv} w_v`; the projection is the :math:`b` that minimises
:math:`\sum_v w_v (x_v - \sum_p A_{pv} b_p)^2`. For parcels that do not overlap both are the same.

A parcel without vertices has no mean: its series are NaN, never 0, and `check` refuses it.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from conn.functional._inputs import real_series, refuse_infinity
from conn.functional._inverse import symmetric_inverse
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["expand_parcels", "label_matrix", "parcel_means", "parcellate", "parcellation_operator"]

Method = Literal["mean", "projection"]


def label_matrix(
    labels: Int[Tensor, "... vertex"],
    *,
    parcels: Sequence[int] | None = None,
    background: int = 0,
    dtype: DTypeLike | None = None,
) -> Float[Array, "... parcel vertex"]:
    """Return the assignment of vertices to parcels that integer labels say.

    Parameters
    ----------
    labels : array of int, shape (..., vertex)
        Label of every vertex. A label that is not among the parcels belongs to none.
    parcels : sequence of int, optional
        Labels in the order of the rows; required where `labels` are traced. By default all labels there are except the
        background, in ascending order.
    background : int, default 0
        The label of vertices that belong to no parcel (the medial wall), where `parcels` are not given.
    dtype : dtype, optional
        Floating; JAX's default by default.

    Returns
    -------
    array, shape (..., parcel, vertex)
        1 where the vertex has the parcel's label, 0 elsewhere. A label that no vertex has gives a row of zeros.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If there is no parcel, one is named twice, or the labels are traced and `parcels` are not given.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> label_matrix(jnp.array([0, 7, 3, 7])).tolist()
    [[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    """
    array, rows = _labelled(labels, parcels, background)
    return (array[..., None, :] == rows[:, None]).astype(jnp.result_type(float) if dtype is None else dtype)


def parcel_means(
    time_series: Float[Tensor, "... vertex frame"],
    labels: Int[Tensor, " vertex"],
    *,
    parcels: Sequence[int] | None = None,
    background: int = 0,
    weight: Float[Tensor, " vertex"] | None = None,
    check: bool = False,
) -> Float[Array, "... parcel frame"]:
    """Return the weighted mean series of the parcels of a hard parcellation, in one pass over the vertices.

    As `parcellate` with `label_matrix`, in vertex x frame time instead of parcel x vertex x frame.

    Parameters
    ----------
    time_series : array, shape (..., vertex, frame)
        NaN makes its parcel NaN in that frame; in vertices without a parcel or of weight 0 it does not count.
    labels, parcels, background
        As in `label_matrix`, with one label a vertex.
    weight : array, shape (vertex,), optional
        Weight of every vertex, its area for example, not negative. All weigh 1 by default.
    check : bool, default False
        Refuse NaN and infinity where a vertex counts, negative weights and empty parcels by their values, also under
        ``jit``.

    Returns
    -------
    array, shape (..., parcel, frame)
        NaN for a parcel without vertices (or without weight).

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If the shapes do not fit each other, or as in `label_matrix`.

    See Also
    --------
    scipy.ndimage.mean

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> parcel_means(jnp.array([[1.0], [2.0], [4.0]]), jnp.array([0, 5, 5])).tolist()
    [[3.0]]
    """
    series = real_series(time_series, axes="(..., vertex, frame)")
    array, rows = _labelled(labels, parcels, background)
    n_vertices, n_parcels = series.shape[-2], len(rows)
    if array.shape != (n_vertices,):
        raise ValueError(f"labels must have shape ({n_vertices},) for this series, and have shape {array.shape}")
    order = np.argsort(rows)
    place = jnp.asarray(order)[jnp.clip(jnp.searchsorted(jnp.asarray(rows[order]), array), 0, n_parcels - 1)]
    weights = _vertex_weights(weight, series, check=check)
    counts = (jnp.asarray(rows)[place] == array) & (weights != 0)
    place = jnp.where(counts, place, n_parcels)
    values = jnp.where(counts[:, None], series, 0.0)
    if check:
        values = refuse_infinity("time_series", values)
    total = jax.ops.segment_sum(jnp.where(counts, weights, 0.0), place, n_parcels + 1)[:-1]
    by_vertex = jnp.moveaxis(values * weights[:, None], -2, 0)
    sums = jnp.moveaxis(jax.ops.segment_sum(by_vertex, place, n_parcels + 1)[:-1], 0, -2)
    return _divided(sums, total[:, None], check=check)


def parcellate(
    time_series: Float[Tensor, "... vertex frame"],
    assignment: Float[Tensor, "... parcel vertex"],
    *,
    weight: Float[Tensor, " vertex"] | None = None,
    method: Method = "mean",
    check: bool = False,
) -> Float[Array, "... parcel frame"]:
    r"""Return the series of parcels: weighted means of their vertices, or a least-squares projection onto them.

    Parameters
    ----------
    time_series : array, shape (..., vertex, frame)
        In any unit. NaN in a vertex that counts makes its frame NaN in all parcels; in vertices without a parcel or of
        weight 0 it does not count.
    assignment : array, shape (..., parcel, vertex)
        Weight of every vertex in every parcel, hard or soft, not negative. A common factor of a row does not change
        means, and divides the row's projection.
    weight : array, shape (vertex,), optional
        Weight of every vertex, its area for example, not negative. All weigh 1 by default.
    method : {"mean", "projection"}, default "mean"
        The mean of every parcel by itself, or the :math:`b` of all together that minimises
        :math:`\sum_v w_v (x_v - \sum_p A_{pv} b_p)^2`, in which what overlapping parcels share counts once.
    check : bool, default False
        Refuse NaN and infinity where a vertex counts, negative assignments and weights, empty parcels, and parcels that
        cannot be told apart, by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., parcel, frame)
        In the unit of the series. A parcel without vertices (or without weight) is NaN; so are, in a projection, all
        others whose rows of the assignment are linearly dependent to rounding.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the method is unknown.

    See Also
    --------
    parcel_means : for integer labels
    expand_parcels : the way back
    nilearn.maskers.NiftiMapsMasker : its projection

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> series = jnp.array([[1.0], [3.0], [5.0]])
    >>> parcellate(series, jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])).tolist()
    [[2.0], [5.0]]
    """
    if method not in get_args(Method):
        raise ValueError(f'method must be "mean" or "projection", and is {method!r}')
    series = real_series(time_series, axes="(..., vertex, frame)")
    shares = real_series(assignment, name="assignment", axes="(..., parcel, vertex)", check=check)
    if shares.shape[-1] != series.shape[-2]:
        raise ValueError(
            f"assignment must have the {series.shape[-2]} vertices of the series on its last axis, and has shape "
            f"{shares.shape}"
        )
    if check:
        shares = eqx.error_if(shares, (shares < 0).any(), "assignment must not be negative, and is")
    weighted = shares * _vertex_weights(weight, series, check=check)
    counts = (weighted != 0).any(-2)[..., None]
    values = jnp.where(counts, series, 0.0)
    if check:
        values = refuse_infinity("time_series", values)
    sums, total = weighted @ values, weighted.sum(-1, keepdims=True)
    if method == "mean":
        return _divided(sums, total, check=check)
    empty = total == 0
    gram = weighted @ jnp.swapaxes(shares, -1, -2)
    # Scaled to a unit diagonal, so that only dependence counts and not the parcels' sizes; empty ones stand aside.
    own = jnp.where(empty, 1.0, jnp.diagonal(gram, axis1=-2, axis2=-1)[..., None])
    scale = jax.lax.rsqrt(own)
    scaled = gram * scale * jnp.swapaxes(scale, -1, -2) + empty * jnp.eye(gram.shape[-1], dtype=gram.dtype)
    inverse = symmetric_inverse(scaled)
    size = jnp.abs(scaled).sum(-1).max(-1) * jnp.abs(inverse).sum(-1).max(-1)
    singular = ~(size < 1 / (8 * gram.shape[-1] * jnp.finfo(gram.dtype).eps))[..., None, None]
    found = scale * (jnp.where(singular, 0.0, inverse) @ (scale * sums))
    found = jnp.where(empty | singular, jnp.nan, found)
    if not check:
        return found
    found = eqx.error_if(found, singular.any(), "parcels are linearly dependent: they have no projection")
    return _refuse_empty(found, total)


def expand_parcels(
    parcel_series: Float[Tensor, "... parcel frame"],
    assignment: Float[Tensor, "... parcel vertex"],
    *,
    normalise: bool = True,
) -> Float[Array, "... vertex frame"]:
    r"""Return the series of vertices that those of their parcels say.

    Parameters
    ----------
    parcel_series : array, shape (..., parcel, frame)
        NaN in a parcel makes its frame NaN in all vertices; leave out parcels that are empty.
    assignment : array, shape (..., parcel, vertex)
        Weight of every vertex in every parcel, not negative.
    normalise : bool, default True
        Return the mean over a vertex's parcels, weighted by its column: for a hard parcellation the value of its
        parcel. Otherwise the sum :math:`\sum_p A_{pv} b_p`, which is what a projection approximates the series by.

    Returns
    -------
    array, shape (..., vertex, frame)
        NaN for a vertex that belongs to no parcel.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> expand_parcels(jnp.array([[2.0], [5.0]]), jnp.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])).tolist()
    [[2.0], [3.5], [5.0]]
    """
    series = real_series(parcel_series, name="parcel_series", axes="(..., parcel, frame)")
    shares = real_series(assignment, name="assignment", axes="(..., parcel, vertex)")
    if shares.shape[-2] != series.shape[-2]:
        raise ValueError(f"assignment must have {series.shape[-2]} parcels, and has shape {shares.shape}")
    columns = jnp.swapaxes(shares, -1, -2)
    sums, total = columns @ series, columns.sum(-1, keepdims=True)
    return _divided(sums, total, check=False) if normalise else jnp.where(total == 0, jnp.nan, sums)


def parcellation_operator(
    assignment: Float[Tensor, "parcel vertex"],
    *,
    weight: Float[Tensor, " vertex"] | None = None,
    check: bool = False,
) -> lx.AbstractLinearOperator:
    """Return the means of parcels as a linear operator from vertices to parcels.

    It composes with the operators of this package: with a `correlation_operator` :math:`C` of vertices,
    ``to_dense(P @ C @ P.T)`` are the mean correlations between the vertices of every pair of parcels, without the
    matrix between vertices.

    Parameters
    ----------
    assignment : array, shape (parcel, vertex)
        Weight of every vertex in every parcel, not negative. Batches go through ``jax.vmap``.
    weight : array, shape (vertex,), optional
        Weight of every vertex, not negative. All weigh 1 by default.
    check : bool, default False
        Refuse NaN and infinity, negative values and empty parcels by their values, also under ``jit``.

    Returns
    -------
    lineax.AbstractLinearOperator
        Takes vectors of shape (vertex,), gives (parcel,). A parcel without vertices gives NaN.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> parcellation_operator(jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])).mv(jnp.array([1.0, 3.0, 5.0])).tolist()
    [2.0, 5.0]
    """
    shares = real_series(assignment, name="assignment", axes="(parcel, vertex)", check=check)
    if shares.ndim != 2:
        raise ValueError(f"assignment must have shape (parcel, vertex), and has shape {shares.shape}")
    if check:
        shares = eqx.error_if(shares, (shares < 0).any(), "assignment must not be negative, and is")
    weighted = shares * _vertex_weights(weight, shares.T, check=check)
    return lx.MatrixLinearOperator(_divided(weighted, weighted.sum(-1, keepdims=True), check=check))


def _labelled(labels: Tensor, parcels: Sequence[int] | None, background: int) -> tuple[Array, np.ndarray]:
    """Return the labels, and those of the parcels in the order of the rows."""
    array = _to_jax_array(labels)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"labels must be integers, and are {array.dtype}")
    if array.ndim < 1 or array.shape[-1] == 0:
        raise ValueError(f"labels must have shape (..., vertex) with no empty axis, and have shape {array.shape}")
    if parcels is None:
        if isinstance(labels, Tracer):
            raise ValueError("give parcels: which labels there are cannot be read from traced labels")
        found = np.unique(np.asarray(labels))  # as given: under jit, even a NumPy array is traced once it is JAX's
        rows = found[found != background]
    else:
        rows = np.asarray(parcels)
        if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
            raise ValueError(f"parcels must be a sequence of integers, and are {parcels!r}")
        several, times = np.unique(rows, return_counts=True)
        if (times > 1).any():
            raise ValueError(f"parcels name {several[times > 1].tolist()} more than once")
    if not len(rows):
        raise ValueError("there is no parcel: every label is the background's")
    return array, rows


def _vertex_weights(weight: Tensor | None, series: Array, *, check: bool) -> Array:
    n_vertices = series.shape[-2]
    if weight is None:
        return jnp.ones(n_vertices, series.dtype)
    weights = real_series(weight, name="weight", axes="(vertex)", check=check)
    if weights.shape != (n_vertices,):
        raise ValueError(f"weight must have shape ({n_vertices},) for these vertices, and has shape {weights.shape}")
    return eqx.error_if(weights, (weights < 0).any(), "weight must not be negative, and is") if check else weights


def _divided(sums: Array, total: Array, *, check: bool) -> Array:
    """Return the sums divided by their totals, NaN (with derivative 0) where there is nothing to divide by."""
    means = jnp.where(total == 0, jnp.nan, sums / jnp.where(total == 0, 1.0, total))
    return _refuse_empty(means, total) if check else means


def _refuse_empty(found: Array, total: Array) -> Array:
    """Return the result, which raises; an input that raises is gone where constant labels make all of it NaN."""
    return eqx.error_if(found, (total == 0).any(), "a parcel is empty: it has no vertex of weight above 0")
