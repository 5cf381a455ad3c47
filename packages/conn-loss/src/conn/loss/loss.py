"""Losses: a score, a reduction and a strength, under a name."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from conn.functional import girvan_newman_null
from conn.loss.reduction import Reduction, mean_scalarise, vnorm_scalarise
from conn.loss.score import Sign, bimodal_symmetric, modularity, smoothness

__all__ = ["BimodalSymmetricLoss", "Loss", "ModularityLoss", "SmoothnessLoss"]

Strength = float | Array | Callable[[Any], Any]


class Loss(eqx.Module):
    r"""A loss: :math:`\nu` times the reduction of a score.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength, or a schedule: a function of the step that gives the strength (those of optax are such functions).
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

    nu: Strength
    name: str = eqx.field(static=True)
    score: Callable[..., Array] = eqx.field(static=True)
    scalarisation: Reduction = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        score: Callable[..., Array],
        scalarisation: Reduction | None = None,
    ):
        self.nu = nu
        self.name = type(self).__name__.removesuffix("Loss") or "Loss" if name is None else name
        self.score = score
        self.scalarisation = mean_scalarise() if scalarisation is None else scalarisation

    def __call__(
        self,
        *arguments: Any,
        key: jax.Array | None = None,
        step: int | Array | None = None,
        scalarisation_weight: Array | None = None,
        **named: Any,
    ) -> Float[Array, ""]:
        """Return the loss of what the score takes.

        Parameters
        ----------
        *arguments, **named
            What the score takes beside the settings of the loss.
        key : PRNG key, optional
            For losses that draw; ignored by the others.
        step : int or array, optional
            Where a schedule of the strength stands.
        scalarisation_weight : array, optional
            The weights of `wmean_scalarise`.

        Raises
        ------
        ValueError
            If more than one number is left, if a schedule has no step, or if weights are absent or too many.
        """
        strength = self.strength(step)
        value = self.scalarisation(self.score(*arguments, **self._settings(key), **named), weight=scalarisation_weight)
        if value.ndim:
            raise ValueError(
                f"the reduction of loss {self.name!r} leaves an array of shape {value.shape} instead of one number: "
                "reduce all axes"
            )
        return strength * value

    def strength(self, step: int | Array | None = None) -> float | Array:
        """Return the strength, at a step where it is a schedule.

        Parameters
        ----------
        step : int or array, optional
            The step; a strength that is a number needs none.

        Raises
        ------
        ValueError
            If the strength is a schedule and there is no step.
        """
        if not callable(self.nu):
            return self.nu
        if step is None:
            raise ValueError(f"the strength of loss {self.name!r} is a schedule: call the loss with step=")
        return self.nu(step)

    def _settings(self, key: jax.Array | None) -> dict[str, Any]:
        """Return what the score takes beside the model's outputs: the fields that a subclass adds."""
        own = {field.name for field in fields(Loss)}
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in own}


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
    null : callable, default `conn.functional.girvan_newman_null`
        Gives the expected weights; `sign` says which weights count. See `modularity`.
    sign : {"+", "-", "both"} or None, default "+"
        Which weights count.
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
    null: Callable[[Array], Array] = eqx.field(static=True)
    sign: Sign | None = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        gamma: float | Array = 1.0,
        null: Callable[[Array], Array] = girvan_newman_null,
        sign: Sign | None = "+",
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=modularity, scalarisation=scalarisation)
        self.gamma, self.null, self.sign = gamma, null, sign


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
        nu: Strength = 1.0,
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
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        modes: tuple[float, float] = (0.0, 1.0),
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=bimodal_symmetric, scalarisation=scalarisation)
        low, high = modes
        self.modes = (float(low), float(high))
