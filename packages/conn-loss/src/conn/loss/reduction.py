"""Reductions: how the values of a score become one number.

A factory such as `mean_scalarise` makes a reduction; reductions nest, innermost first:
``mean_scalarise(inner=vnorm_scalarise(axis=-1))`` is the mean of the norms along the last axis. The axes of an outer
reduction are those of the array that the inner one leaves (``keepdims=True`` keeps their numbers).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional.engine import Tensor, _to_jax_array

__all__ = [
    "Reduction",
    "max_scalarise",
    "mean_scalarise",
    "meansq_scalarise",
    "selfwmean_scalarise",
    "sum_scalarise",
    "vnorm_scalarise",
    "wmean_scalarise",
]

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

    reduce: Callable[..., Array]
    inner: "Reduction | None" = None
    axis: Axis = None
    keepdims: bool = False

    def __call__(
        self, values: Float[Tensor, "..."], *, weight: Float[Tensor, "..."] | None = None
    ) -> Float[Array, "..."]:
        """Return the reduced array.

        Parameters
        ----------
        values : array
            Of any shape.
        weight : array, optional
            What `wmean_scalarise` weighs its values with, wherever in the nest it stands.

        Raises
        ------
        ValueError
            If a weighted mean has no weights, or weights meet no weighted mean or several.
        """
        needed = self._n_weighted()
        if needed != int(weight is not None):
            raise ValueError(
                f"this reduction holds {needed} weighted means, and {'no ' if weight is None else ''}weights "
                "were given: one weighted mean takes one array of weights"
            )
        return self._reduced(_to_jax_array(values), weight)

    def _n_weighted(self) -> int:
        return isinstance(self.reduce, _WeightedMean) + (0 if self.inner is None else self.inner._n_weighted())

    def _reduced(self, values: Array, weight: Tensor | None) -> Array:
        array = values if self.inner is None else self.inner._reduced(values, weight)
        if isinstance(self.reduce, _WeightedMean):
            return self.reduce(array, self.axis, self.keepdims, _to_jax_array(weight))
        return self.reduce(array, self.axis, self.keepdims)


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


def meansq_scalarise(*, inner: Reduction | None = None, axis: Axis = None, keepdims: bool = False) -> Reduction:
    """Return the reduction to the mean of the squares.

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
    >>> float(meansq_scalarise()(jnp.array([1.0, 3.0])))
    5.0
    """
    return Reduction(_mean_of_squares, inner, axis, keepdims)


def max_scalarise(*, inner: Reduction | None = None, axis: Axis = None, keepdims: bool = False) -> Reduction:
    """Return the reduction to the largest value; where several are largest, they share the derivative.

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
    >>> float(max_scalarise()(jnp.array([1.0, 3.0])))
    3.0
    """
    return Reduction(_max, inner, axis, keepdims)


def wmean_scalarise(*, inner: Reduction | None = None, axis: Axis = None, keepdims: bool = False) -> Reduction:
    r"""Return the reduction to a weighted mean, :math:`\sum w x / \sum w`; the weights are given at the call.

    The call of the reduction takes them as ``weight``, that of a loss as ``scalarisation_weight``. Where a weight is
    0 the value does not count, were it NaN; its own derivative may be NaN nevertheless, see `MaskedLoss`.

    Parameters
    ----------
    inner : Reduction, optional
        What is done first.
    axis : int, tuple of int or None, default None
        The axes that are reduced; all by default.
    keepdims : bool, default False
        Keep a reduced axis with extent 1.

    Notes
    -----
    Weights are not negative and broadcast against the values; weights of one axis alone, with an integer `axis`,
    belong to that axis. Without any weight the mean is NaN.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(wmean_scalarise()(jnp.array([1.0, 3.0]), weight=jnp.array([3.0, 1.0])))
    1.5
    """
    return Reduction(_WeightedMean(), inner, axis, keepdims)


def selfwmean_scalarise(
    *,
    temperature: float = 1.0,
    gradient: Literal["value", "weight", "both"] = "value",
    inner: Reduction | None = None,
    axis: Axis = None,
    keepdims: bool = False,
) -> Reduction:
    r"""Return the reduction to a mean that weighs values by their own softmax: between the mean and the maximum.

    .. math:: \sum_i x_i\, e^{x_i / \tau} \big/ \sum_i e^{x_i / \tau}

    Parameters
    ----------
    temperature : float, default 1
        :math:`\tau`, in the unit of the values. Large values near the mean, small ones near the maximum; negative
        ones near the minimum.
    gradient : {"value", "weight", "both"}, default "value"
        Through which of the two the derivative is taken; the other counts as constant.
    inner : Reduction, optional
        What is done first.
    axis : int, tuple of int or None, default None
        The axes that are reduced; all by default.
    keepdims : bool, default False
        Keep a reduced axis with extent 1.

    Raises
    ------
    ValueError
        If the temperature is 0 or the gradient's name unknown.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(selfwmean_scalarise()(jnp.array([0.0, jnp.log(3.0)]))), 4)
    0.824
    """
    if temperature == 0:
        raise ValueError("the temperature of a self-weighted mean must differ from 0")
    if gradient not in ("value", "weight", "both"):
        raise ValueError(f'gradient must be "value", "weight" or "both", and is {gradient!r}')
    return Reduction(_SelfWeightedMean(float(temperature), gradient), inner, axis, keepdims)


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


def _mean_of_squares(array: Array, axis: Axis, keepdims: bool) -> Array:
    return (array**2).mean(axis, keepdims=keepdims)


def _max(array: Array, axis: Axis, keepdims: bool) -> Array:
    return array.max(axis, keepdims=keepdims)


@dataclass(frozen=True)
class _WeightedMean:
    def __call__(self, array: Array, axis: Axis, keepdims: bool, weight: Array) -> Array:
        if isinstance(axis, int) and weight.ndim == 1 and array.ndim > 1:
            weight = jnp.expand_dims(weight, tuple(i for i in range(array.ndim) if i != axis % array.ndim))
        shares = jnp.broadcast_to(weight, array.shape).astype(array.dtype)
        total = shares.sum(axis, keepdims=keepdims)
        return (jnp.where(shares == 0, 0.0, array) * shares).sum(axis, keepdims=keepdims) / total


@dataclass(frozen=True)
class _SelfWeightedMean:
    temperature: float
    gradient: str

    def __call__(self, array: Array, axis: Axis, keepdims: bool) -> Array:
        shares = jax.nn.softmax(array / self.temperature, axis)
        if self.gradient == "value":
            shares = jax.lax.stop_gradient(shares)
        elif self.gradient == "weight":
            array = jax.lax.stop_gradient(array)
        return (shares * array).sum(axis, keepdims=keepdims)


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
