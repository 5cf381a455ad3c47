"""Scores: what each loss measures, before it is reduced to a number. Plain functions of arrays."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional import relaxed_modularity
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["bimodal_symmetric", "identity", "modularity", "smoothness"]


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
    Q: Float[Tensor, "... region community"], A: Float[Tensor, "... region region"], *, gamma: float | Array = 1.0
) -> Float[Array, "..."]:
    """Return *minus* the modularity of a soft partition: less is better.

    Parameters
    ----------
    Q : array, shape (..., region, community)
        Affiliation of each region, rows on the simplex.
    A : array, shape (..., region, region)
        Weights, of which the positive ones count (the diagonal among them).
    gamma : float, default 1
        Resolution.

    Returns
    -------
    array, shape (...)
        -1 or more; 0 for an empty graph.

    See Also
    --------
    conn.functional.relaxed_modularity : The quantity itself, and its errors.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pairs = jnp.kron(jnp.eye(2), jnp.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> float(modularity(jnp.kron(jnp.eye(2), jnp.ones((2, 1))), pairs))
    -0.5
    """
    return -relaxed_modularity(A, Q, gamma=gamma)
