"""What all constrained parameters share: an image for a preimage, a place in a model, and the manners of an array.

A parametrised value stores its *preimage* (attribute ``original``, any real numbers) and stands for its *image* (inside
the domain). The model keeps using the attribute's name: operators, indexing, functions of ``jax.numpy`` and of this
package, and ``numpy.asarray`` take the image.
"""

import operator
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["MappedParameter", "Outside", "Where"]

Where: TypeAlias = str | Callable[[Any], Any]
"""A dotted address of one value, or a function that picks one value or a tuple of them."""

Outside = Literal["clip", "renormalise", "raise"]
"""What becomes of an initial value outside the domain: the nearest value inside, a rescaled one, or an error."""


def _of_image(operation: Callable[..., Any]) -> Callable[..., Any]:
    def of_image(self: "MappedParameter", *others: Any) -> Any:
        return operation(jnp.asarray(self), *(_image_of(other) for other in others))

    return of_image


def _reflected(operation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def of_image(self: "MappedParameter", other: Any) -> Any:
        return operation(_image_of(other), jnp.asarray(self))

    return of_image


class MappedParameter(eqx.Module):
    """A value that is stored as its preimage and used as its image.

    Subclasses give `image` and `preimage`. The image of the preimage of any value inside the domain is that value.
    """

    original: eqx.AbstractVar[Array]

    __array_priority__: ClassVar[int] = 100  # so that NumPy's operators leave the operation to the ones below

    @abstractmethod
    def image(self, preimage: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the constrained value of a free one."""

    @abstractmethod
    def preimage(self, image: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return a free value of which the given one, inside the domain, is the image."""

    @classmethod
    def map(cls, model: Any, where: Where | Sequence[Where], **settings: Any) -> Any:
        """Return the model with the values at these places replaced by parametrised ones.

        Parameters
        ----------
        model : PyTree
            Usually an Equinox module.
        where : str, callable, or a sequence of them
            A dotted address such as ``"affiliation"``, ``"encoder.layers.0.weight"`` (numbers index sequences, names
            are attributes or keys of a dictionary); or a function that picks one value, or a tuple of values, out of
            the model.
        **settings
            Passed to the class, one setting for all.

        Returns
        -------
        PyTree
            A new model; the old one is not touched.

        Raises
        ------
        ValueError
            If an address names nothing, or what stands there is parametrised already or no array.
        """
        places = [where] if isinstance(where, str) or callable(where) else list(where)
        for place in places:
            model = eqx.tree_at(
                picker(model, place),
                model,
                replace_fn=lambda value: cls(_unmapped(value), **settings),
                is_leaf=lambda node: isinstance(node, MappedParameter),
            )
        return model

    def __jax_array__(self) -> Array:
        return self.image(self.original)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.__jax_array__(), dtype=dtype)

    def __getattr__(self, name: str) -> Any:
        # Methods and properties of arrays that no field or method of the class hides, such as `sum` or `T`.
        if name.startswith("_") or not hasattr(jax.Array, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.__jax_array__(), name)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the image."""
        return jax.eval_shape(self.image, self.original).shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the image's entries."""
        return jax.eval_shape(self.image, self.original).dtype

    @property
    def ndim(self) -> int:
        """The number of axes of the image."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of entries of the image."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a parametrised scalar has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Array]:
        return iter(jnp.asarray(self))

    def __float__(self) -> float:
        return float(jnp.asarray(self))

    __getitem__: ClassVar[Callable[..., Any]] = _of_image(operator.getitem)
    __neg__: ClassVar[Callable[..., Any]] = _of_image(operator.neg)
    __pos__: ClassVar[Callable[..., Any]] = _of_image(operator.pos)
    __abs__: ClassVar[Callable[..., Any]] = _of_image(operator.abs)
    __add__: ClassVar[Callable[..., Any]] = _of_image(operator.add)
    __radd__: ClassVar[Callable[..., Any]] = _reflected(operator.add)
    __sub__: ClassVar[Callable[..., Any]] = _of_image(operator.sub)
    __rsub__: ClassVar[Callable[..., Any]] = _reflected(operator.sub)
    __mul__: ClassVar[Callable[..., Any]] = _of_image(operator.mul)
    __rmul__: ClassVar[Callable[..., Any]] = _reflected(operator.mul)
    __truediv__: ClassVar[Callable[..., Any]] = _of_image(operator.truediv)
    __rtruediv__: ClassVar[Callable[..., Any]] = _reflected(operator.truediv)
    __floordiv__: ClassVar[Callable[..., Any]] = _of_image(operator.floordiv)
    __rfloordiv__: ClassVar[Callable[..., Any]] = _reflected(operator.floordiv)
    __mod__: ClassVar[Callable[..., Any]] = _of_image(operator.mod)
    __rmod__: ClassVar[Callable[..., Any]] = _reflected(operator.mod)
    __pow__: ClassVar[Callable[..., Any]] = _of_image(operator.pow)
    __rpow__: ClassVar[Callable[..., Any]] = _reflected(operator.pow)
    __matmul__: ClassVar[Callable[..., Any]] = _of_image(operator.matmul)
    __rmatmul__: ClassVar[Callable[..., Any]] = _reflected(operator.matmul)
    __lt__: ClassVar[Callable[..., Any]] = _of_image(operator.lt)
    __le__: ClassVar[Callable[..., Any]] = _of_image(operator.le)
    __gt__: ClassVar[Callable[..., Any]] = _of_image(operator.gt)
    __ge__: ClassVar[Callable[..., Any]] = _of_image(operator.ge)


def initial_value(value: Tensor) -> Array:
    """Return the initial value as a floating array, having checked that it is finite."""
    array = _to_jax_array(value)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    if known(array) and not bool(jnp.isfinite(array).all()):
        raise ValueError("an initial value must be finite, and this one holds NaN or infinity")
    return array


def known(array: Array) -> bool:
    """Return whether the values can be looked at: not so under a transformation of JAX."""
    return not isinstance(array, Tracer)


def check_policy(outside: str, *allowed: Outside) -> None:
    """Refuse a policy for values outside the domain that the class does not have."""
    if outside not in get_args(Outside) or outside not in allowed:
        raise ValueError(f"outside must be one of {', '.join(allowed)}, and is {outside!r}")


def refuse_outside(inside: Array, domain: str) -> None:
    """Raise where any value that can be looked at lies outside the domain."""
    if known(inside) and not bool(inside.all()):
        raise ValueError(f'an initial value must lie in the domain with outside="raise", and {domain}')


def _image_of(value: Any) -> Any:
    return jnp.asarray(value) if isinstance(value, MappedParameter) else value


def _unmapped(value: Any) -> Any:
    if isinstance(value, MappedParameter):
        raise ValueError(f"this value is a {type(value).__name__} already: map it once")
    # Equinox's test for the like of arrays fails on the values of a compiled function; these are arrays.
    if not (eqx.is_inexact_array if isinstance(value, jax.Array) else eqx.is_inexact_array_like)(value):
        raise ValueError(f"only a floating array can be parametrised, and this value is of type {type(value).__name__}")
    return value


def picker(model: Any, place: Where) -> Callable[[Any], Any]:
    """Return the function that picks what `place` names, having checked that the model has it."""
    if not isinstance(place, str):
        return place

    def pick(tree: Any) -> Any:
        for name in place.split("."):
            tree = _child(tree, name)
        return tree

    try:
        pick(model)
    except (AttributeError, LookupError, ValueError) as error:
        raise ValueError(f"{type(model).__name__} has nothing at {place!r}: {error!r}") from None
    return pick


def _child(tree: Any, name: str) -> Any:
    if isinstance(tree, Mapping):
        return tree[name]
    if isinstance(tree, Sequence) and not hasattr(tree, name):
        return tree[int(name)]
    return getattr(tree, name)
