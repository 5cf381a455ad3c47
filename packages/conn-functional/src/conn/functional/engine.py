"""Small glue between arrays, parametrised arrays and ragged collections of arrays."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

__all__ = ["PyTree", "Tensor", "extend_to_max_size"]

PyTree: TypeAlias = Any
"""Any nesting of containers and arrays that JAX flattens: a model, its gradient, an optimiser's memory."""

Tensor: TypeAlias = Any
"""Whatever stands for an array: a JAX array, a NumPy array, or a parametrised value (see `parameters`)."""


def _to_jax_array(value: Any) -> Array:
    """Return the array that `value` stands for: the image of a parametrised value, anything else as it is.

    A tracer of JAX carries ``__jax_array__ = None``, so that the attribute's presence alone says nothing.
    """
    convert = getattr(value, "__jax_array__", None)
    return jnp.asarray(convert() if callable(convert) else value)


def extend_to_max_size(tensors: Sequence[ArrayLike], fill: float = jnp.nan) -> tuple[Array, ...]:
    """Return the arrays, each padded at the end of every axis to the largest extent among them.

    Parameters
    ----------
    tensors : sequence of arrays of equal rank
        For example time series, each of shape ``(region, frame)`` with its own number of frames.
    fill : float, default NaN
        What stands in the added cells. Padding is data to whoever reads the result: keep a mask beside it.

    Returns
    -------
    tuple of arrays
        As many as were given, all of one shape.

    Raises
    ------
    ValueError
        If there is no array, or if their ranks differ.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> a, b = extend_to_max_size([jnp.ones((2, 3)), jnp.ones((2, 5))], 0.0)
    >>> a.shape, float(a.sum())
    ((2, 5), 6.0)
    """
    arrays = tuple(jnp.asarray(tensor) for tensor in tensors)
    if not arrays:
        raise ValueError("extend_to_max_size needs at least one array, and was given none")
    ranks = sorted({array.ndim for array in arrays})
    if len(ranks) > 1:
        raise ValueError(f"the arrays must have one rank, and these have ranks {ranks}")
    largest = tuple(max(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True))
    return tuple(
        jnp.pad(
            array,
            [(0, big - small) for big, small in zip(largest, array.shape, strict=True)],
            constant_values=fill,
        )
        for array in arrays
    )
