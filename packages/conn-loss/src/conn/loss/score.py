"""Scores: what each loss measures, before it is reduced to a number. Plain functions of arrays."""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional import girvan_newman_null, modularity_matrix, relaxed_modularity
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["bimodal_symmetric", "identity", "modularity", "smoothness"]

Sign = Literal["+", "-", "both"]


def identity(values: Float[Tensor, "..."]) -> Float[Array, "..."]:
    """Return the values themselves.

    Parameters
    ----------
    values : array
        Of any shape; NaN stays NaN.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> identity(jnp.array([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    return _to_jax_array(values)


def smoothness(values: Float[Tensor, "..."], *, order: int = 1, axis: int = -1) -> Float[Array, "..."]:
    """Return the differences between neighbours along an axis.

    Parameters
    ----------
    values : array
        Of any shape; NaN spreads to its differences.
    order : int, default 1
        How many times differences are taken.
    axis : int, default -1
        The axis of neighbours (frames, say).

    Returns
    -------
    array
        Shorter by `order` along the axis.

    Raises
    ------
    ValueError
        If the axis holds no more than `order` values.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> smoothness(jnp.array([1.0, 4.0, 9.0])).tolist()
    [3.0, 5.0]
    """
    array = _to_jax_array(values)
    if order < 1 or array.shape[axis] <= order:
        raise ValueError(
            f"differences of order {order} need an order of at least 1 and more than {order} values, "
            f"and axis {axis} holds {array.shape[axis]}"
        )
    return jnp.diff(array, n=order, axis=axis)


def bimodal_symmetric(values: Float[Tensor, "..."], *, modes: tuple[float, float] = (0.0, 1.0)) -> Float[Array, "..."]:
    """Return the distance of each value from the nearer of two modes.

    Parameters
    ----------
    values : array
        Of any shape; NaN stays NaN.
    modes : pair of float, default (0, 1)
        Where values should lie.

    Returns
    -------
    array
        Not negative, shaped as the values. Not differentiable at the modes and half way between them, where the
        derivative of one side, or 0, is returned.

    Raises
    ------
    ValueError
        If the modes are equal.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> bimodal_symmetric(jnp.array([0.0, 0.25, 0.5, 1.5])).tolist()
    [0.0, 0.25, 0.5, 0.5]
    """
    low, high = sorted(modes)
    if low == high:
        raise ValueError(f"two modes are needed, and both are {low}")
    half = (high - low) / 2
    return jnp.abs(jnp.abs(_to_jax_array(values) - (low + half)) - half)


def modularity(
    Q: Float[Tensor, "... region community"],
    A: Float[Tensor, "... region region"],
    *,
    gamma: float | Array = 1.0,
    null: Callable[[Array], Array] = girvan_newman_null,
    sign: Sign | None = "+",
) -> Float[Array, "..."]:
    r"""Return *minus* the modularity of a soft partition: less is better.

    Parameters
    ----------
    Q : array, shape (..., region, community)
        Affiliation of each region, rows on the simplex.
    A : array, shape (..., region, region)
        Weights, the diagonal among them; `sign` says which of them count.
    gamma : float, default 1
        Resolution.
    null : callable, default `conn.functional.girvan_newman_null`
        Gives the expected weights from the weights that count: `constant_potts_null` or a `correlation_null` with
        its frames are others.
    sign : {"+", "-", "both"} or None, default "+"
        Keep the positive weights, the absolute values of the negative ones, or both as opponents. None keeps all as
        they are, which `correlation_null` is made for; since a signed sum may be 0, the result is then divided by the
        number of pairs :math:`n^2` instead of the sum of the weights.

    Returns
    -------
    array, shape (...)
        With the default null and sign -1 or more; 0 for an empty graph.

    Raises
    ------
    ValueError
        If the shapes do not fit each other or the sign is unknown.

    See Also
    --------
    conn.functional.relaxed_modularity : The quantity itself.
    operator_modularity : Without the matrix.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pairs = jnp.kron(jnp.eye(2), jnp.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> float(modularity(jnp.kron(jnp.eye(2), jnp.ones((2, 1))), pairs))
    -0.5
    """
    if sign is not None:
        return -relaxed_modularity(A, Q, gamma=gamma, null=null, sign=sign)
    matrix = modularity_matrix(A, gamma=gamma, null=null, sign=None)
    communities = _to_jax_array(Q)
    if communities.ndim < 2 or communities.shape[-2] != matrix.shape[-1]:
        raise ValueError(f"Q must have shape (..., {matrix.shape[-1]}, community), and has shape {communities.shape}")
    return -jnp.einsum("...ic,...ic->...", communities, matrix @ communities) / float(matrix.shape[-1]) ** 2
