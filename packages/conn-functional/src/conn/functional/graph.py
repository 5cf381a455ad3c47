r"""Community structure of weighted graphs: modularity matrices, co-affiliation and relaxed modularity.

With :math:`k_i = \sum_j a_{ij}` and :math:`2m = \sum_{ij} a_{ij}`, Newman's modularity of a partition with
affiliations :math:`q_{ic}` is :math:`Q = \frac{1}{2m} \sum_{ij} (a_{ij} - \gamma k_i k_j / 2m) \sum_c q_{ic} q_{jc}`.
Soft affiliations relax it; for hard ones it is Newman's number.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["coaffiliation", "girvan_newman_null", "modularity_matrix", "relaxed_modularity"]

Sign = Literal["+", "-"]


def girvan_newman_null(
    adjacency: Float[Tensor, "... region region"],
) -> Float[Array, "... region region"]:
    """Return the weights expected under the configuration model, :math:`k_i k_j / 2m`.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights, not negative. For a directed graph the in-strengths of the rows meet the out-strengths of the columns.

    Returns
    -------
    array, shape (..., target, source)
        With the row and column sums of `adjacency`. An empty graph gives zeros, with finite gradients.

    Raises
    ------
    ValueError
        If the matrix is not square.

    References
    ----------
    .. [1] Newman & Girvan (2004). doi:10.1103/PhysRevE.69.026113

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> girvan_newman_null(jnp.array([[0.0, 2.0], [2.0, 0.0]])).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    matrix = _square("adjacency", adjacency)
    total = matrix.sum((-2, -1), keepdims=True)
    return matrix.sum(-1, keepdims=True) * matrix.sum(-2, keepdims=True) * _reciprocal(total)


def modularity_matrix(
    adjacency: Float[Tensor, "... region region"],
    *,
    gamma: float | Array = 1.0,
    null: Callable[[Array], Array] = girvan_newman_null,
    normalise_modularity: bool = False,
    sign: Sign | None = "+",
) -> Float[Array, "... region region"]:
    r"""Return the modularity matrix, :math:`A - \gamma N`.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights of either sign; `sign` says which of them count.
    gamma : float, default 1
        Resolution. More, smaller communities are found as it grows.
    null : callable, default `girvan_newman_null`
        Gives the expected weights from the weights that count.
    normalise_modularity : bool, default False
        Divide by the sum of all weights that count (the diagonal among them). An empty graph gives zeros.
    sign : {"+", "-"} or None, default "+"
        Keep the positive weights, the absolute values of the negative ones, or all as they are. Not
        differentiable at a weight of 0, where the derivative 0 is returned.

    Returns
    -------
    array, shape (..., target, source)

    Raises
    ------
    ValueError
        If the matrix is not square, or the sign is unknown; or if all weights as they are should be normalised,
        since a sum of signed weights may be anything.

    References
    ----------
    .. [1] Newman (2006). doi:10.1073/pnas.0601602103

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> modularity_matrix(jnp.array([[0.0, 2.0], [2.0, 0.0]])).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    matrix = _square("adjacency", adjacency)
    if sign == "+":
        matrix = jax.nn.relu(matrix)
    elif sign == "-":
        matrix = jax.nn.relu(-matrix)
    elif sign is not None:
        raise ValueError(f'sign must be "+", "-" or None, and is {sign!r}')
    elif normalise_modularity:
        raise ValueError("signed weights cannot be normalised by their sum, which may be 0: choose a sign")
    modularity = matrix - gamma * null(matrix)
    if normalise_modularity:
        modularity = modularity * _reciprocal(matrix.sum((-2, -1), keepdims=True))
    return modularity


def coaffiliation(
    affiliation: Float[Tensor, "... region community"],
    other: Float[Tensor, "... source community"] | None = None,
    *,
    coupling: Float[Tensor, "... community community"] | None = None,
    exclude_diag: bool = True,
    normalise_coaffiliation: bool = False,
) -> Float[Array, "... region source"]:
    """Return how far each pair of regions shares its communities.

    Parameters
    ----------
    affiliation : array, shape (..., target, community)
        Weight of every region in every community. ``affiliation.T[..., None]`` gives a matrix a community.
    other : array, shape (..., source, community), optional
        Affiliations of the columns, those of the rows by default.
    coupling : array, shape (..., community, community), optional
        Weight of each pair of communities, the identity by default.
    exclude_diag : bool, default True
        Set the diagonal to 0 (only for a square result).
    normalise_coaffiliation : bool, default False
        Divide each matrix by its largest entry where that is greater than 1. Probabilities are left as they are.

    Returns
    -------
    array, shape (..., target, source)

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> coaffiliation(jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    rows = _to_jax_array(affiliation)
    columns = rows if other is None else _to_jax_array(other)
    if rows.ndim < 2 or columns.ndim < 2:
        raise ValueError(
            f"affiliations must have shape (..., region, community), and have shapes {rows.shape} and {columns.shape}"
        )
    left = rows if coupling is None else rows @ _to_jax_array(coupling)
    if left.shape[-1] != columns.shape[-1]:
        raise ValueError(
            f"rows have {left.shape[-1]} communities and columns {columns.shape[-1]}: give a coupling that joins them"
        )
    matrix = left @ jnp.swapaxes(columns, -1, -2)
    if exclude_diag and matrix.shape[-1] == matrix.shape[-2]:
        matrix = jnp.where(jnp.eye(matrix.shape[-1], dtype=bool), 0.0, matrix)
    if normalise_coaffiliation:
        matrix = matrix / jnp.maximum(matrix.max((-2, -1), keepdims=True), 1.0)
    return matrix


def relaxed_modularity(
    adjacency: Float[Tensor, "... region region"],
    affiliation: Float[Tensor, "... region community"],
    *,
    gamma: float | Array = 1.0,
    null: Callable[[Array], Array] = girvan_newman_null,
    sign: Sign = "+",
) -> Float[Array, "..."]:
    """Return the modularity of a soft partition, which is Newman's Q when the partition is hard.

    The sum is never taken over pairs: it is the trace of the communities' own blocks, at the cost of one product of
    the matrix with the affiliations.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights; `sign` says which of them count.
    affiliation : array, shape (..., region, community)
        Rows on the simplex for a partition.
    gamma : float, default 1
        Resolution.
    null : callable, default `girvan_newman_null`
        Gives the expected weights from the weights that count.
    sign : {"+", "-"}, default "+"
        Keep the positive weights, or the absolute values of the negative ones.

    Returns
    -------
    array, shape (...)
        At most 1 for a partition. An empty graph gives 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    References
    ----------
    .. [1] Newman (2006). doi:10.1073/pnas.0601602103

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pairs = jnp.kron(jnp.eye(2), jnp.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> float(relaxed_modularity(pairs, jnp.kron(jnp.eye(2), jnp.ones((2, 1)))))
    0.5
    """
    matrix = modularity_matrix(adjacency, gamma=gamma, null=null, normalise_modularity=True, sign=sign)
    communities = _to_jax_array(affiliation)
    if communities.ndim < 2 or communities.shape[-2] != matrix.shape[-1]:
        raise ValueError(
            f"affiliation must have shape (..., {matrix.shape[-1]}, community), and has shape {communities.shape}"
        )
    return jnp.einsum("...ic,...ic->...", communities, matrix @ communities)


def _square(name: str, value: Tensor) -> Array:
    matrix = _to_jax_array(value)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"{name} must have shape (..., region, region), and has shape {matrix.shape}")
    return matrix


def _reciprocal(total: Array) -> Array:
    """Return 1 / total, and 0 (with derivative 0) where the total is 0."""
    empty = total == 0
    return jnp.where(empty, 0.0, 1.0 / jnp.where(empty, 1.0, total))
