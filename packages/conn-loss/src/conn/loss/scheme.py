"""Schemes: several losses, each reading its part of a model's outputs, summed to one objective."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from conn.loss.argument import UnpackingLossArgument
from conn.loss.loss import Loss

__all__ = ["LossApply", "LossReturn", "LossScheme"]

Selector = Callable[[Any], Any]


class LossReturn(NamedTuple):
    """One term of an objective: its value, strength included, and the strength."""

    value: Array
    nu: float | Array


class LossApply(eqx.Module):
    """A loss (or a scheme) together with the part of the outputs that it reads.

    Parameters
    ----------
    loss : Loss or LossScheme
        What is applied.
    apply : callable
        Picks what the loss takes out of the model's outputs. An `UnpackingLossArgument` is passed on as keyword
        arguments, anything else as one argument.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.loss import BimodalSymmetricLoss, LossArgument
    >>> float(LossApply(BimodalSymmetricLoss(), apply=lambda out: out.dynamics)(LossArgument(dynamics=jnp.array(0.5))))
    0.5
    """

    loss: "Loss | LossScheme"
    apply: Selector = eqx.field(static=True)

    def __init__(self, loss: "Loss | LossScheme", apply: Selector):
        self.loss, self.apply = loss, apply

    @property
    def name(self) -> str:
        """The name of the loss."""
        if isinstance(self.loss, LossScheme):
            raise AttributeError("a scheme has the names of its terms, and none of its own: read scheme.names")
        return self.loss.name

    @property
    def nu(self) -> float | Array:
        """The strength of the loss."""
        if isinstance(self.loss, LossScheme):
            raise AttributeError("a scheme has the strengths of its terms, and none of its own")
        return self.loss.nu

    def __call__(self, outputs: Any, *, key: jax.Array | None = None) -> Any:
        """Return what the loss returns for its part of the outputs."""
        return _called(self.loss, self.apply(outputs), key)


class LossScheme(eqx.Module):
    """A sum of losses and schemes, which also tells the terms apart.

    Parameters
    ----------
    losses : sequence of Loss, LossApply or LossScheme
        The terms.
    apply : callable, optional
        Picks what all terms read out of the outputs; everything by default.

    Raises
    ------
    ValueError
        If the scheme is empty, or two terms, however deep, have one name.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.loss import BimodalSymmetricLoss, SmoothnessLoss
    >>> total, meta = LossScheme([SmoothnessLoss(nu=2.0), BimodalSymmetricLoss()])(jnp.array([0.0, 0.5]))
    >>> float(total), {name: float(term.value) for name, term in meta.items()}
    (1.25, {'Smoothness': 1.0, 'BimodalSymmetric': 0.25})
    """

    losses: tuple["Loss | LossApply | LossScheme", ...]
    apply: Selector | None = eqx.field(static=True)

    def __init__(self, losses: Sequence["Loss | LossApply | LossScheme"], apply: Selector | None = None):
        self.losses, self.apply = tuple(losses), apply
        if not self.losses:
            raise ValueError("a scheme needs at least one loss")
        names = self.names
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"each loss of a scheme needs its own name, and these stand twice: {', '.join(repeated)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all terms, nested schemes' among them, in their order."""
        return tuple(name for loss in self.losses for name in _names(loss))

    def __len__(self) -> int:
        return len(self.losses)

    def __iter__(self) -> Iterator["Loss | LossApply | LossScheme"]:
        return iter(self.losses)

    def __call__(self, outputs: Any, *, key: jax.Array | None = None) -> tuple[Array, dict[str, LossReturn]]:
        """Return the objective, and each of its terms by name."""
        selected = outputs if self.apply is None else self.apply(outputs)
        keys = [None] * len(self.losses) if key is None else list(jax.random.split(key, len(self.losses)))
        total, meta = jnp.zeros(()), {}
        for loss, own in zip(self.losses, keys, strict=True):
            argument = loss.apply(selected) if isinstance(loss, LossApply) else selected
            inner = loss.loss if isinstance(loss, LossApply) else loss
            result = _called(inner, argument, own)
            if isinstance(inner, LossScheme):
                value, terms = result
                meta.update(terms)
            else:
                value = result
                meta[inner.name] = LossReturn(value, inner.nu)
            total = total + value
        return total, meta


def _called(loss: "Loss | LossScheme", argument: Any, key: jax.Array | None) -> Any:
    if isinstance(argument, UnpackingLossArgument) and not isinstance(loss, LossScheme):
        return loss(**argument, key=key)
    return loss(argument, key=key)


def _names(loss: "Loss | LossApply | LossScheme") -> tuple[str, ...]:
    inner = loss.loss if isinstance(loss, LossApply) else loss
    return inner.names if isinstance(inner, LossScheme) else (inner.name,)
