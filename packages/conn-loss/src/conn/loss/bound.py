"""Bounds: what violates them costs, what keeps them costs nothing."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional.engine import Tensor, _to_jax_array
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Reduction, sum_scalarise

__all__ = [
    "ConstraintViolationLoss",
    "HingeLoss",
    "UnilateralLoss",
    "constraint_violation",
    "hinge",
    "unilateral",
]

Constraint = Callable[[Array], Array]


def constraint_violation(values: Float[Tensor, "..."], *, constraints: Sequence[Constraint]) -> Float[Array, "..."]:
    r"""Return by how much the worst of several constraints is violated, :math:`\max(0, g_1(x), g_2(x), \dots)`.

    Parameters
    ----------
    values : array
        Of any shape; NaN stays NaN where a constraint passes it on.
    constraints : sequence of callable
        Each takes the values and gives what shall not be positive, of any shapes that broadcast against each other.

    Returns
    -------
    array
        Of the constraints' common shape, not negative. Where two are equally violated they share the derivative.

    Raises
    ------
    ValueError
        If there is no constraint.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> between = (lambda x: x - 1, lambda x: -x)
    >>> constraint_violation(jnp.array([-0.5, 0.5, 3.0]), constraints=between).tolist()
    [0.5, 0.0, 2.0]
    """
    array = _to_jax_array(values)
    if not constraints:
        raise ValueError("at least one constraint is needed")
    worst = jnp.zeros((), array.dtype)
    for constraint in constraints:
        worst = jnp.maximum(worst, constraint(array))
    return worst


def unilateral(values: Float[Tensor, "..."]) -> Float[Array, "..."]:
    """Return the positive part of values: what lies above 0 costs.

    Parameters
    ----------
    values : array
        Of any shape; NaN stays NaN.

    Returns
    -------
    array
        Not negative, shaped as the values. Not differentiable at 0, where 1/2 is returned.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> unilateral(jnp.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return jnp.maximum(_to_jax_array(values), 0.0)


def hinge(prediction: Float[Tensor, "..."], target: Float[Tensor, "..."]) -> Float[Array, "..."]:
    r"""Return the hinge of predictions with targets of -1 and 1, :math:`\max(0, 1 - y \hat y)`.

    Parameters
    ----------
    prediction : array
        Of any shape; NaN stays NaN.
    target : array
        -1 or 1; broadcasts against the prediction.

    Returns
    -------
    array
        Not negative; 0 where the prediction has the target's sign and at least the margin 1.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> hinge(jnp.array([2.0, 0.5, -1.0]), jnp.ones(3)).tolist()
    [0.0, 0.5, 2.0]
    """
    return jnp.maximum(1 - _to_jax_array(target) * _to_jax_array(prediction), 0.0)


class ConstraintViolationLoss(Loss):
    """The violation of the worst of several constraints.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "ConstraintViolation"
        How the loss is called.
    constraints : sequence of callable
        Each gives what shall not be positive.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(ConstraintViolationLoss(constraints=[lambda x: x - 1])(jnp.array([0.0, 3.0])))
    1.0
    """

    constraints: tuple[Constraint, ...] = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        constraints: Sequence[Constraint],
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=constraint_violation, scalarisation=scalarisation)
        self.constraints = tuple(constraints)


class UnilateralLoss(Loss):
    """The positive part of values.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "Unilateral"
        How the loss is called.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(UnilateralLoss()(jnp.array([-1.0, 2.0])))
    1.0
    """

    def __init__(self, nu: Strength = 1.0, name: str | None = None, *, scalarisation: Reduction | None = None):
        super().__init__(nu, name, score=unilateral, scalarisation=scalarisation)


class HingeLoss(Loss):
    """The hinge of predictions with targets of -1 and 1.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "Hinge"
        How the loss is called.
    scalarisation : Reduction, optional
        The sum by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(HingeLoss()(jnp.array([0.5, -1.0]), jnp.ones(2)))
    2.5
    """

    def __init__(self, nu: Strength = 1.0, name: str | None = None, *, scalarisation: Reduction | None = None):
        super().__init__(
            nu, name, score=hinge, scalarisation=sum_scalarise() if scalarisation is None else scalarisation
        )
