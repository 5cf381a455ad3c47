"""Named outputs of a model, as its losses read them."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import jax

__all__ = ["LossArgument", "UnpackingLossArgument"]


@jax.tree_util.register_pytree_with_keys_class
class LossArgument(Mapping[str, Any]):
    """Named values, read as attributes or as items; immutable, and a PyTree.

    Parameters
    ----------
    **values
        Arrays or PyTrees. A name may not hide one of a mapping's methods.

    Raises
    ------
    ValueError
        If a name is that of one of a mapping's methods.
    AttributeError
        On reading a name that is not there: a typing error never passes as None.

    Examples
    --------
    >>> outputs = LossArgument(affiliation=1.0, dynamics=2.0)
    >>> outputs.dynamics
    2.0
    """

    def __init__(self, **values: Any):
        hidden = sorted(name for name in values if hasattr(type(self), name))
        if hidden:
            raise ValueError(f"these names belong to the methods of a mapping, choose others: {', '.join(hidden)}")
        object.__setattr__(self, "_values", values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        if name in values:
            return values[name]
        raise AttributeError(f"there is no value {name!r} here; there are: {', '.join(sorted(values)) or 'none'}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: make a new one with {name!r} replaced")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._values)})"

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple[str, ...]]:
        """Return the values under their names, for JAX."""
        names = tuple(sorted(self._values))
        return [(jax.tree_util.GetAttrKey(name), self._values[name]) for name in names], names

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], values: list[Any]) -> Self:
        """Return the argument that JAX took apart."""
        return cls(**dict(zip(names, values, strict=True)))


@jax.tree_util.register_pytree_with_keys_class
class UnpackingLossArgument(LossArgument):
    """Named values that a loss takes as keyword arguments, one by one.

    Parameters
    ----------
    **values
        Under the names of the loss's own arguments. ``values`` and other names of a mapping's methods are allowed here,
        since that is what many losses call what they take; such a value is read as an item.

    Examples
    --------
    >>> from conn.loss import LossApply, ModularityLoss
    >>> apply = LossApply(ModularityLoss(), apply=lambda out: UnpackingLossArgument(A=out.corr, Q=out.affiliation))
    """

    def __init__(self, **values: Any):
        object.__setattr__(self, "_values", values)
