"""Errors: how far values lie from a target."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional import fisher_z, triangle_to_vector
from conn.functional.engine import Tensor, _to_jax_array
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Axis, Reduction, mean_scalarise, meansq_scalarise, vnorm_scalarise

__all__ = ["FisherZLoss", "MSELoss", "NormedLoss", "difference", "fisher_z_difference"]


def difference(values: Float[Tensor, "..."], target: Float[Tensor, "..."] | float = 0.0) -> Float[Array, "..."]:
    """Return the values less their target.

    Parameters
    ----------
    values : array
        Of any shape; NaN stays NaN.
    target : array or float, default 0
        Broadcasts against the values.

    Raises
    ------
    ValueError
        If the shapes cannot be broadcast to that of the values.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> difference(jnp.array([1.0, 2.0]), 0.5).tolist()
    [0.5, 1.5]
    """
    array, goal = _to_jax_array(values), _to_jax_array(target)
    _fits(array, goal)
    return array - goal


def fisher_z_difference(
    values: Float[Tensor, "... region region"], target: Float[Tensor, "... region region"]
) -> Float[Array, "... pair"]:
    """Return the differences of Fisher's z between two correlation matrices, edge by edge.

    Fisher's z has nearly the same sampling variance for every correlation, so that its squared error weighs strong
    and weak edges by what is known of them.

    Parameters
    ----------
    values, target : array, shape (..., region, region)
        Correlations; the triangle above the diagonal is read. NaN stays NaN.

    Returns
    -------
    array, shape (..., pair)
        Row by row. Correlations of -1 and 1 have the finite value and the derivative 0 of `conn.functional.fisher_z`.

    Raises
    ------
    ValueError
        If the shapes do not fit each other or are not square.

    References
    ----------
    .. [1] Fisher (1921), On the "probable error" of a coefficient of correlation deduced from a small sample.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> found = fisher_z_difference(jnp.array([[1.0, 0.5], [0.5, 1.0]]), jnp.eye(2))
    >>> [round(float(z), 4) for z in found]
    [0.5493]
    """
    array, goal = _to_jax_array(values), _to_jax_array(target)
    _fits(array, goal)
    return fisher_z(triangle_to_vector(array)) - fisher_z(triangle_to_vector(goal))


class MSELoss(Loss):
    """The mean squared error; call it with the values and their target (0 if absent).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "MSE"
        How the loss is called.
    scalarisation : Reduction, optional
        The mean of squares by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(MSELoss()(jnp.array([1.0, 3.0]), jnp.array([1.0, 1.0])))
    2.0
    """

    def __init__(self, nu: Strength = 1.0, name: str | None = None, *, scalarisation: Reduction | None = None):
        super().__init__(
            nu, name, score=difference, scalarisation=meansq_scalarise() if scalarisation is None else scalarisation
        )


class NormedLoss(Loss):
    """The norm of the values less their target (0 if absent), averaged over the axes that the norm leaves.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "Normed"
        How the loss is called.
    p : float, default 2
        Order of the norm, at least 1.
    axis : int, tuple of int or None, default None
        The axes that are taken as one vector; all by default.
    outer : callable, default `mean_scalarise`
        Makes, from ``inner=``, the reduction of what the norm leaves.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(NormedLoss(axis=-1)(jnp.array([[3.0, 4.0], [0.0, 1.0]])))
    3.0
    """

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        p: float = 2.0,
        axis: Axis = None,
        outer: Any = mean_scalarise,
    ):
        super().__init__(nu, name, score=difference, scalarisation=outer(inner=vnorm_scalarise(p=p, axis=axis)))


class FisherZLoss(Loss):
    """The mean squared difference of Fisher's z between two correlation matrices.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "FisherZ"
        How the loss is called.
    scalarisation : Reduction, optional
        The mean of squares by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(FisherZLoss()(jnp.eye(3), jnp.eye(3)))
    0.0
    """

    def __init__(self, nu: Strength = 1.0, name: str | None = None, *, scalarisation: Reduction | None = None):
        super().__init__(
            nu,
            name,
            score=fisher_z_difference,
            scalarisation=meansq_scalarise() if scalarisation is None else scalarisation,
        )


def _fits(values: Array, target: Array) -> None:
    if jnp.broadcast_shapes(values.shape, target.shape) != values.shape:
        raise ValueError(f"the target must broadcast to the values' shape {values.shape}, and has shape {target.shape}")
