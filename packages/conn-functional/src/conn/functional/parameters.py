"""Constrained parameters: what an optimiser moves freely, and the model sees inside its domain.

A parametrised value stores its *preimage* (attribute ``original``, any real number) and stands for its *image*
(inside the domain). The model keeps using the attribute's name; ``jnp.asarray`` and this package's functions take
the image.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["MappedLogits", "MappedParameter", "ProbabilitySimplexParameter"]

Where = str | Callable[[Any], Any]


class MappedParameter(eqx.Module):
    """A value that is stored as its preimage and used as its image.

    Subclasses give `preimage` and `image`, which invert each other on the domain; a subclass may move an initial
    value that lies outside the domain into it, and says so.
    """

    original: eqx.AbstractVar[Array]

    @abstractmethod
    def image(self, preimage: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the constrained value of a free one."""

    def __jax_array__(self) -> Array:
        return self.image(self.original)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the image."""
        return jax.eval_shape(self.image, self.original).shape

    @property
    def ndim(self) -> int:
        """The number of axes of the image."""
        return len(self.shape)

    @classmethod
    def map(cls, model: PyTree, where: Where | Sequence[Where], **settings: Any) -> PyTree:
        """Return the model with the named values replaced by parametrised ones.

        Parameters
        ----------
        model : PyTree
            Usually an Equinox module.
        where : str, callable, or a sequence of them
            A dotted attribute address such as ``"affiliation"`` or ``"encoder.weight"``; or a function that picks one
            value, or a tuple of values, out of the model.
        **settings
            Passed to the class, one setting for all.

        Returns
        -------
        PyTree
            A new model; the old one is not touched.

        Raises
        ------
        ValueError
            If an address names no attribute, or what stands there is parametrised already.
        """
        places = [where] if isinstance(where, str) or callable(where) else list(where)
        for place in places:
            model = eqx.tree_at(
                _picker(model, place),
                model,
                replace_fn=lambda value: cls(_unmapped(value), **settings),
                is_leaf=lambda node: isinstance(node, MappedParameter),
            )
        return model


class MappedLogits(MappedParameter):
    r"""Values in an open interval, through the logistic function: :math:`a + (b - a) / (1 + e^{-z})`.

    Parameters
    ----------
    value : array
        Initial value. One outside the interval, or closer to its ends than `margin` times its length, is moved to
        that margin: at the ends themselves the preimage is infinite.
    lower, upper : float, default 0 and 1
        The interval.
    margin : float, default 0.01
        In units of the interval's length, between 0 and one half.

    Raises
    ------
    ValueError
        If the interval is empty, the margin is not in (0, 0.5), or a value is not finite.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(jnp.asarray(MappedLogits(jnp.array([0.25, 0.5, 7.0]))))
    [0.25 0.5  0.99]
    """

    original: Array
    lower: float = eqx.field(static=True)
    upper: float = eqx.field(static=True)

    def __init__(self, value: Tensor, *, lower: float = 0.0, upper: float = 1.0, margin: float = 0.01):
        if not lower < upper:
            raise ValueError(f"the interval must not be empty, and is ({lower}, {upper})")
        if not 0 < margin < 0.5:
            raise ValueError(f"margin must lie between 0 and 0.5, and is {margin}")
        self.lower, self.upper = lower, upper
        unit = (_finite(value) - lower) / (upper - lower)
        unit = jnp.clip(unit, margin, 1 - margin)
        self.original = jnp.log(unit) - jnp.log1p(-unit)

    def image(self, preimage: Array) -> Array:
        """Return the value in the interval."""
        return self.lower + (self.upper - self.lower) * jax.nn.sigmoid(preimage)


class ProbabilitySimplexParameter(MappedParameter):
    r"""Probabilities along one axis, through the softmax: :math:`e^{z_i / \tau} / \sum_j e^{z_j / \tau}`.

    Parameters
    ----------
    value : array
        Initial value. Entries below `minimum` are raised to it, and the rest is scaled to sum to 1.
    axis : int, default -1
        The axis along which probabilities sum to 1.
    minimum : float, default 1e-3
        Smallest initial weight, above 0: at 0 the preimage is infinite.
    temperature : float, default 1
        :math:`\tau`. The same step of the optimiser moves the probabilities less as it grows.

    Raises
    ------
    ValueError
        If the minimum or the temperature is not positive, or a value is not finite.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(jnp.asarray(ProbabilitySimplexParameter(jnp.array([2.0, 6.0]))))
    [0.25 0.75]
    """

    original: Array
    axis: int = eqx.field(static=True)
    temperature: float = eqx.field(static=True)

    def __init__(self, value: Tensor, *, axis: int = -1, minimum: float = 1e-3, temperature: float = 1.0):
        if minimum <= 0:
            raise ValueError(f"minimum must be positive, and is {minimum}")
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, and is {temperature}")
        self.axis, self.temperature = axis, temperature
        weights = jnp.maximum(_finite(value), minimum)
        self.original = temperature * jnp.log(weights / weights.sum(axis, keepdims=True))

    def image(self, preimage: Array) -> Array:
        """Return the probabilities."""
        return jax.nn.softmax(preimage / self.temperature, axis=self.axis)


def _finite(value: Tensor) -> Array:
    array = _to_jax_array(value)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    if not isinstance(array, jax.core.Tracer) and not bool(jnp.isfinite(array).all()):
        raise ValueError("an initial value must be finite, and this one holds NaN or infinity")
    return array


def _unmapped(value: Any) -> Any:
    if isinstance(value, MappedParameter):
        raise ValueError(f"this value is a {type(value).__name__} already: map it once")
    return value


def _picker(model: PyTree, place: Where) -> Callable[[PyTree], Any]:
    """Return the function that picks what `place` names, having checked that the model has it."""
    if not isinstance(place, str):
        return place
    names = place.split(".")

    def pick(tree: PyTree) -> Any:
        for name in names:
            tree = getattr(tree, name)
        return tree

    try:
        pick(model)
    except AttributeError as error:
        raise ValueError(f"{type(model).__name__} has nothing at {place!r}: {error}") from None
    return pick
