"""Losses: a score, a reduction and a strength, under a name."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from conn.loss.reduction import Reduction, mean_scalarise, vnorm_scalarise
from conn.loss.score import bimodal_symmetric, modularity, smoothness

__all__ = ["BimodalSymmetricLoss", "Loss", "ModularityLoss", "SmoothnessLoss"]


class Loss(eqx.Module):
    r"""A loss: :math:`\nu` times the reduction of a score.

    Parameters
    ----------
    nu : float, default 1
        Strength.
    name : str, optional
        How the loss is called in a scheme's results; its class's name, without "Loss", by default.
    score : callable
        Takes what the loss is called with, gives an array.
    scalarisation : Reduction, optional
        How the score becomes one number; the mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.loss import identity, sum_scalarise
    >>> float(Loss(nu=2.0, score=identity, scalarisation=sum_scalarise())(jnp.ones(3)))
    6.0
    """

    nu: float | Array
    name: str = eqx.field(static=True)
    score: Callable[..., Array] = eqx.field(static=True)
    scalarisation: Reduction = eqx.field(static=True)

    def __init__(
        self,
        nu: float | Array = 1.0,
        name: str | None = None,
        *,
        score: Callable[..., Array],
        scalarisation: Reduction | None = None,
    ):
        self.nu = nu
        self.name = type(self).__name__.removesuffix("Loss") or "Loss" if name is None else name
        self.score = score
        self.scalarisation = mean_scalarise() if scalarisation is None else scalarisation

    def __call__(self, *arguments: Any, key: jax.Array | None = None, **named: Any) -> Float[Array, ""]:
        """Return the loss of what the score takes; `key` is for losses that draw, and is ignored by the others."""
        value = self.scalarisation(self.score(*arguments, **self._settings(), **named))
        if value.ndim:
            raise ValueError(
                f"the reduction of loss {self.name!r} leaves an array of shape {value.shape} instead of one number: "
                "reduce all axes"
            )
        return self.nu * value

    def _settings(self) -> dict[str, Any]:
        """Return what the score takes beside the model's outputs."""
        return {}


class ModularityLoss(Loss):
    """Minus the modularity of a soft partition, averaged over graphs: minimising it finds communities.

    Call it with ``Q`` (..., region, community) and ``A`` (..., region, region).

    Parameters
    ----------
    nu : float, default 1
        Strength.
    name : str, default "Modularity"
        How the loss is called.
    gamma : float, default 1
        Resolution.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pairs = jnp.kron(jnp.eye(2), jnp.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> float(ModularityLoss()(Q=jnp.kron(jnp.eye(2), jnp.ones((2, 1))), A=pairs))
    -0.5
    """

    gamma: float | Array

    def __init__(
        self,
        nu: float | Array = 1.0,
        name: str | None = None,
        *,
        gamma: float | Array = 1.0,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=modularity, scalarisation=scalarisation)
        self.gamma = gamma

    def _settings(self) -> dict[str, Any]:
        return {"gamma": self.gamma}


class SmoothnessLoss(Loss):
    """The size of the differences between neighbours.

    Parameters
    ----------
    nu : float, default 1
        Strength.
    name : str, default "Smoothness"
        How the loss is called.
    order : int, default 1
        How many times differences are taken.
    axis : int, default -1
        The axis of neighbours.
    scalarisation : Reduction, optional
        The sum of absolute values by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(SmoothnessLoss()(jnp.array([0.0, 1.0, -1.0])))
    3.0
    """

    order: int = eqx.field(static=True)
    axis: int = eqx.field(static=True)

    def __init__(
        self,
        nu: float | Array = 1.0,
        name: str | None = None,
        *,
        order: int = 1,
        axis: int = -1,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(
            nu, name, score=smoothness, scalarisation=vnorm_scalarise(p=1) if scalarisation is None else scalarisation
        )
        self.order, self.axis = order, axis

    def _settings(self) -> dict[str, Any]:
        return {"order": self.order, "axis": self.axis}


class BimodalSymmetricLoss(Loss):
    """The distance of values from the nearer of two modes.

    Parameters
    ----------
    nu : float, default 1
        Strength.
    name : str, default "BimodalSymmetric"
        How the loss is called.
    modes : pair of float, default (0, 1)
        Where values should lie.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(BimodalSymmetricLoss()(jnp.array([0.0, 0.5])))
    0.25
    """

    modes: tuple[float, float] = eqx.field(static=True)

    def __init__(
        self,
        nu: float | Array = 1.0,
        name: str | None = None,
        *,
        modes: tuple[float, float] = (0.0, 1.0),
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=bimodal_symmetric, scalarisation=scalarisation)
        low, high = modes
        self.modes = (float(low), float(high))

    def _settings(self) -> dict[str, Any]:
        return {"modes": self.modes}
