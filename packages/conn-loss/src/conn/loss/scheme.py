"""Schemes: several losses, each reading its part of a model's outputs, summed to one objective."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from conn.loss.argument import UnpackingLossArgument
from conn.loss.loss import Loss, Strength

__all__ = ["LossApply", "LossReturn", "LossScheme", "gradient_norms"]

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
    def nu(self) -> Strength:
        """The strength of the loss, or its schedule."""
        if isinstance(self.loss, LossScheme):
            raise AttributeError("a scheme has the strengths of its terms, and none of its own")
        return self.loss.nu

    def __call__(self, outputs: Any, *, key: jax.Array | None = None, step: int | Array | None = None) -> Any:
        """Return what the loss returns for its part of the outputs."""
        return _called(self.loss, self.apply(outputs), key, step)


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

    def __str__(self) -> str:
        """Return the terms with their strengths, as a tree."""
        return "\n".join(_lines(self, "LossScheme", "", ""))

    def __call__(
        self, outputs: Any, *, key: jax.Array | None = None, step: int | Array | None = None
    ) -> tuple[Array, dict[str, LossReturn]]:
        """Return the objective, and each of its terms by name; `step` is where schedules of strengths stand."""
        selected = outputs if self.apply is None else self.apply(outputs)
        keys = [None] * len(self.losses) if key is None else list(jax.random.split(key, len(self.losses)))
        total, meta = jnp.zeros(()), {}
        for loss, own in zip(self.losses, keys, strict=True):
            argument = loss.apply(selected) if isinstance(loss, LossApply) else selected
            inner = loss.loss if isinstance(loss, LossApply) else loss
            result = _called(inner, argument, own, step)
            if isinstance(inner, LossScheme):
                value, terms = result
                meta.update(terms)
            else:
                value = result
                meta[inner.name] = LossReturn(value, inner.strength(step))
            total = total + value
        return total, meta


def gradient_norms(
    objective: Callable[[Any], tuple[Array, dict[str, LossReturn]]], parameters: Any
) -> dict[str, Array]:
    """Return the Euclidean norm of the gradient of each term of an objective: what balancing strengths starts from.

    Parameters
    ----------
    objective : callable
        Takes the parameters, gives what a scheme gives: ``lambda model: scheme(model(data))``.
    parameters : PyTree
        Where the gradient is taken; leaves that are not arrays of real numbers are held.

    Returns
    -------
    dict
        A number for each term by name, strengths included. The outputs are computed once, and each term costs one
        backward pass.

    References
    ----------
    .. [1] Chen, Badrinarayanan, Lee & Rabinovich (2018), GradNorm. doi:10.48550/arXiv.1711.02257

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.loss import BimodalSymmetricLoss, MSELoss
    >>> scheme = LossScheme([MSELoss(nu=2.0), BimodalSymmetricLoss()])
    >>> {name: float(norm) for name, norm in gradient_norms(scheme, jnp.array([0.25])).items()}
    {'MSE': 1.0, 'BimodalSymmetric': 1.0}
    """
    free, held = eqx.partition(parameters, eqx.is_inexact_array)

    names: list[str] = []  # JAX would sort the keys of a dictionary

    def terms(values: Any) -> tuple[Array, ...]:
        meta = objective(eqx.combine(values, held))[1]
        names[:] = meta
        return tuple(term.value for term in meta.values())

    found, pullback = jax.vjp(terms, free)
    norms = {}
    for place, name in enumerate(names):
        seed = tuple(jnp.full_like(value, float(other == place)) for other, value in enumerate(found))
        (gradient,) = pullback(seed)
        squares = [jnp.sum(jnp.abs(leaf) ** 2) for leaf in jax.tree.leaves(gradient)]
        norms[name] = jnp.sqrt(sum(squares, start=jnp.zeros(())))
    return norms


def _lines(loss: "Loss | LossApply | LossScheme", label: str, first: str, rest: str) -> list[str]:
    inner = loss.loss if isinstance(loss, LossApply) else loss
    if isinstance(inner, Loss):
        strength = "a schedule" if callable(inner.nu) else inner.nu
        return [f"{first}{inner.name} (nu = {strength})"]
    lines = [first + label]
    for place, term in enumerate(inner):
        last = place == len(inner) - 1
        branch, below = ("└── ", "    ") if last else ("├── ", "│   ")
        lines += _lines(term, label, rest + branch, rest + below)
    return lines


def _called(loss: "Loss | LossScheme", argument: Any, key: jax.Array | None, step: int | Array | None) -> Any:
    if isinstance(argument, UnpackingLossArgument) and not isinstance(loss, LossScheme):
        return loss(**argument, key=key, step=step)
    return loss(argument, key=key, step=step)


def _names(loss: "Loss | LossApply | LossScheme") -> tuple[str, ...]:
    inner = loss.loss if isinstance(loss, LossApply) else loss
    return inner.names if isinstance(inner, LossScheme) else (inner.name,)
