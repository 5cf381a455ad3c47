"""Modularity of graphs that are given as operators, never as matrices."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from conn.functional import rectified_modularity
from conn.functional.engine import Tensor
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Reduction

__all__ = ["OperatorModularityLoss", "operator_modularity"]


def operator_modularity(
    Q: Float[Tensor, "... region community"],
    A: Any,
    *,
    gamma: float | Array = 1.0,
    objective: Callable[..., Array] = rectified_modularity,
) -> Float[Array, "..."]:
    """Return *minus* the modularity of a soft partition of an operator's graph: less is better.

    Parameters
    ----------
    Q : array, shape (..., region, community)
        Affiliation of each region, rows on the simplex.
    A : lineax.AbstractLinearOperator
        The result of `conn.functional.correlation_operator`, or another that the objective takes.
    gamma : float, default 1
        Resolution.
    objective : callable, default `conn.functional.rectified_modularity`
        Takes the operator, the affiliation and ``gamma``: `constant_potts_modularity`, or
        ``partial(correlation_modularity, n_frames=...)``.

    Returns
    -------
    array, shape (...)

    See Also
    --------
    modularity : With a matrix.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.functional import correlation_operator
    >>> two = jnp.kron(jnp.eye(2), jnp.ones((5, 1)))
    >>> series = two @ jnp.array([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]])
    >>> round(float(operator_modularity(two, correlation_operator(series))), 6)
    -0.5
    """
    return -objective(A, Q, gamma=gamma)


class OperatorModularityLoss(Loss):
    """Minus the modularity of a soft partition of an operator's graph.

    Call it with ``Q`` (..., region, community) and the operator ``A``.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "OperatorModularity"
        How the loss is called.
    gamma : float, default 1
        Resolution.
    objective : callable, default `conn.functional.rectified_modularity`
        Takes the operator, the affiliation and ``gamma``.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.functional import correlation_operator
    >>> two = jnp.kron(jnp.eye(2), jnp.ones((5, 1)))
    >>> series = two @ jnp.array([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]])
    >>> round(float(OperatorModularityLoss()(Q=two, A=correlation_operator(series))), 6)
    -0.5
    """

    gamma: float | Array
    objective: Callable[..., Array] = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        gamma: float | Array = 1.0,
        objective: Callable[..., Array] = rectified_modularity,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=operator_modularity, scalarisation=scalarisation)
        self.gamma, self.objective = gamma, objective
