"""Reductions: how the values of a score become one number.

A factory such as `mean_scalarise` makes a reduction; reductions nest, innermost first:
``mean_scalarise(inner=vnorm_scalarise(axis=-1))`` is the mean of the norms along the last axis. The axes of an outer
reduction are those of the array that the inner one leaves (``keepdims=True`` keeps their numbers).
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["Reduction", "mean_scalarise", "sum_scalarise", "vnorm_scalarise"]

Axis = int | tuple[int, ...] | None


@dataclass(frozen=True)
class Reduction:
    """A reduction of an array along axes, after an inner one.

    Parameters
    ----------
    reduce : callable
        Takes the array, ``axis`` and ``keepdims``.
    inner : Reduction, optional
        What is done first.
    axis : int, tuple of int or None, default None
        The axes that are reduced; all by default.
    keepdims : bool, default False
        Keep a reduced axis with extent 1.
    """

    reduce: Callable[[Array, Axis, bool], Array]
    inner: "Reduction | None" = None
    axis: Axis = None
    keepdims: bool = False

    def __call__(self, values: Float[Tensor, "..."]) -> Float[Array, "..."]:
        """Return the reduced array."""
        array = _to_jax_array(values)
        return self.reduce(array if self.inner is None else self.inner(array), self.axis, self.keepdims)


def sum_scalarise(*, inner: Reduction | None = None, axis: Axis = None, keepdims: bool = False) -> Reduction:
    """Return the reduction that sums.

    Parameters
    ----------
    inner : Reduction, optional
        What is done first.
    axis : int, tuple of int or None, default None
        The axes that are reduced; all by default.
    keepdims : bool, default False
        Keep a reduced axis with extent 1.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(sum_scalarise()(jnp.ones((2, 3))))
    6.0
    """
    return Reduction(_sum, inner, axis, keepdims)


def mean_scalarise(*, inner: Reduction | None = None, axis: Axis = None, keepdims: bool = False) -> Reduction:
    """Return the reduction that averages.

    Parameters
    ----------
    inner : Reduction, optional
        What is done first.
    axis : int, tuple of int or None, default None
        The axes that are reduced; all by default.
    keepdims : bool, default False
        Keep a reduced axis with extent 1.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(mean_scalarise(inner=sum_scalarise(axis=-1))(jnp.ones((2, 3))))
    3.0
    """
    return Reduction(_mean, inner, axis, keepdims)


def vnorm_scalarise(
    *, p: float = 2.0, inner: Reduction | None = None, axis: Axis = None, keepdims: bool = False
) -> Reduction:
    r"""Return the reduction to the vector norm :math:`(\sum |x|^p)^{1/p}`.

    Parameters
    ----------
    p : float, default 2
        Order, at least 1.
    inner : Reduction, optional
        What is done first.
    axis : int, tuple of int or None, default None
        The axes that are taken as one vector; all by default.
    keepdims : bool, default False
        Keep a reduced axis with extent 1.

    Raises
    ------
    ValueError
        If `p` is below 1.

    Notes
    -----
    Not differentiable at the zero vector, where the derivative 0 is returned.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(vnorm_scalarise()(jnp.array([3.0, 4.0])))
    5.0
    """
    if p < 1:
        raise ValueError(f"the order p of a norm is at least 1, and is {p}")
    return Reduction(_VectorNorm(float(p)), inner, axis, keepdims)


def _sum(array: Array, axis: Axis, keepdims: bool) -> Array:
    return array.sum(axis, keepdims=keepdims)


def _mean(array: Array, axis: Axis, keepdims: bool) -> Array:
    return array.mean(axis, keepdims=keepdims)


@dataclass(frozen=True)
class _VectorNorm:
    p: float

    def __call__(self, array: Array, axis: Axis, keepdims: bool) -> Array:
        # Scaled by the largest entry, so that neither tiny nor huge vectors leave the range of the dtype.
        magnitude = jnp.abs(array)
        largest = magnitude.max(axis, keepdims=True)
        nonzero = largest > 0
        unit = magnitude / jnp.where(nonzero, largest, 1.0)
        powers = (unit**self.p).sum(axis, keepdims=True)
        norm = jnp.where(nonzero, largest * jnp.where(nonzero, powers, 1.0) ** (1 / self.p), 0.0)
        return norm if keepdims else norm.squeeze(axis)
