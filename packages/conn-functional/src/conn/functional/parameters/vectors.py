"""Domains of vectors along one axis: the probability simplex, spheres of a norm, and ellipsoids."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional.engine import Tensor
from conn.functional.parameters.base import (
    MappedParameter,
    Outside,
    check_policy,
    initial_value,
    known,
    refuse_outside,
)

__all__ = ["EllipsoidParameter", "NormSphereParameter", "ProbabilitySimplexParameter"]


class ProbabilitySimplexParameter(MappedParameter):
    r"""Probabilities along one axis, through the softmax: :math:`e^{z_i / \tau} / \sum_j e^{z_j / \tau}`.

    Preimages that differ by a constant have one image; the preimage given is one of them.

    Parameters
    ----------
    value : array
        Initial value.
    axis : int, default -1
        The axis along which probabilities sum to 1.
    minimum : float, default 1e-3
        Smallest initial weight, above 0: at 0 the preimage is infinite.
    temperature : float, default 1
        :math:`\tau`. The same step of the optimiser moves the probabilities less as it grows.
    outside : {"renormalise", "raise"}, default "renormalise"
        Raise initial entries below `minimum` to it and scale the rest to sum to 1; or refuse values that are not
        positive or do not sum to 1.

    Raises
    ------
    ValueError
        If the minimum or the temperature is not positive, the policy is unknown, or a value is not finite or refused.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> [round(float(value), 3) for value in ProbabilitySimplexParameter(jnp.array([2.0, 6.0]))]
    [0.25, 0.75]
    """

    original: Array
    axis: int = eqx.field(static=True)
    temperature: float = eqx.field(static=True)

    def __init__(
        self,
        value: Tensor,
        *,
        axis: int = -1,
        minimum: float = 1e-3,
        temperature: float = 1.0,
        outside: Outside = "renormalise",
    ):
        if minimum <= 0:
            raise ValueError(f"minimum must be positive, and is {minimum}")
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, and is {temperature}")
        check_policy(outside, "renormalise", "raise")
        self.axis, self.temperature = axis, temperature
        weights = initial_value(value)
        if outside == "raise":
            sums = weights.sum(axis, keepdims=True)
            refuse_outside((weights > 0) & _close(sums, 1.0), "not all entries are positive with a sum of 1")
        else:
            weights = jnp.maximum(weights, minimum)
            weights = weights / weights.sum(axis, keepdims=True)
        self.original = self.preimage(weights)

    def image(self, preimage: Array) -> Array:
        """Return the probabilities."""
        return jax.nn.softmax(preimage / self.temperature, axis=self.axis)

    def preimage(self, image: Array) -> Array:
        """Return their logarithms, times the temperature."""
        return self.temperature * jnp.log(image)


class NormSphereParameter(MappedParameter):
    r"""Vectors of one norm along one axis: :math:`r z / \lVert z \rVert_p`.

    Preimages that differ by a positive factor have one image; the preimage given is the vector itself.

    Parameters
    ----------
    value : array
        Initial value.
    axis : int, default -1
        The axis along which the norm is taken.
    radius : float, default 1
        :math:`r > 0`.
    order : float, default 2
        :math:`p \ge 1`, finite.
    outside : {"renormalise", "raise"}, default "renormalise"
        Scale initial vectors to the norm, or refuse those of another one. A vector of zeros is refused either way.

    Raises
    ------
    ValueError
        If the radius is not positive, the order is below 1 or infinite, the policy is unknown, or a value is not
        finite or refused.

    Notes
    -----
    At a preimage of zeros the image is zeros, which are not on the sphere, and the derivative is 0: no direction is
    better than another.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(jnp.asarray(NormSphereParameter(jnp.array([3.0, 4.0]))))
    [0.6 0.8]
    """

    original: Array
    axis: int = eqx.field(static=True)
    radius: float = eqx.field(static=True)
    order: float = eqx.field(static=True)

    def __init__(
        self,
        value: Tensor,
        *,
        axis: int = -1,
        radius: float = 1.0,
        order: float = 2.0,
        outside: Outside = "renormalise",
    ):
        if radius <= 0:
            raise ValueError(f"radius must be positive, and is {radius}")
        if not 1 <= order < float("inf"):
            raise ValueError(f"order must be at least 1 and finite, and is {order}")
        check_policy(outside, "renormalise", "raise")
        self.axis, self.radius, self.order = axis, radius, order
        array = initial_value(value)
        _refuse_zero_vectors(array, axis)
        if outside == "raise":
            norm = (jnp.abs(array) ** order).sum(axis, keepdims=True) ** (1 / order)
            refuse_outside(_close(norm, radius), f"not all vectors have norm {radius}")
        self.original = self.preimage(self.image(array))

    def image(self, preimage: Array) -> Array:
        """Return the vectors on the sphere."""
        return self.radius * _normalised(preimage, self.axis, self.order)

    def preimage(self, image: Array) -> Array:
        """Return the vectors themselves."""
        return image


class EllipsoidParameter(MappedParameter):
    r"""Vectors on an ellipsoid along one axis: :math:`z / \sqrt{\sum_i (z_i / a_i)^2}`.

    Preimages that differ by a positive factor have one image; the preimage given is the vector itself.

    Parameters
    ----------
    value : array
        Initial value.
    semi_axes : array, shape (entry,)
        :math:`a_i > 0`, one for each entry along the axis, in the unit of the values.
    axis : int, default -1
        The axis along which the vectors lie.
    outside : {"renormalise", "raise"}, default "renormalise"
        Scale initial vectors onto the ellipsoid, or refuse those that are not on it. A vector of zeros is refused
        either way.

    Raises
    ------
    ValueError
        If the semi-axes are not positive or not as many as the entries, the policy is unknown, or a value is not
        finite or refused.

    Notes
    -----
    At a preimage of zeros the image is zeros, and the derivative is 0.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(jnp.asarray(EllipsoidParameter(jnp.array([0.0, 1.0]), semi_axes=[1.0, 3.0])))
    [0. 3.]
    """

    original: Array
    semi_axes: tuple[float, ...] = eqx.field(static=True)
    axis: int = eqx.field(static=True)

    def __init__(
        self,
        value: Tensor,
        *,
        semi_axes: Float[Tensor, " entry"],
        axis: int = -1,
        outside: Outside = "renormalise",
    ):
        check_policy(outside, "renormalise", "raise")
        array = initial_value(value)
        lengths = np.asarray(semi_axes, dtype=float)
        if lengths.shape != (array.shape[axis],) or not (np.isfinite(lengths) & (lengths > 0)).all():
            raise ValueError(
                f"semi_axes must be {array.shape[axis]} positive numbers, one for each entry along the axis, "
                f"and are {semi_axes}"
            )
        self.semi_axes, self.axis = tuple(lengths.tolist()), axis
        _refuse_zero_vectors(array, axis)
        if outside == "raise":
            norm = jnp.sqrt(((array / self._along_axis(array)) ** 2).sum(axis, keepdims=True))
            refuse_outside(_close(norm, 1.0), "not all vectors lie on the ellipsoid")
        self.original = self.preimage(self.image(array))

    def image(self, preimage: Array) -> Array:
        """Return the vectors on the ellipsoid."""
        lengths = self._along_axis(preimage)
        return lengths * _normalised(preimage / lengths, self.axis, 2.0)

    def preimage(self, image: Array) -> Array:
        """Return the vectors themselves."""
        return image

    def _along_axis(self, like: Array) -> Array:
        shape = [1] * like.ndim
        shape[self.axis] = len(self.semi_axes)
        return jnp.asarray(self.semi_axes, like.dtype).reshape(shape)


def _normalised(vectors: Array, axis: int, order: float) -> Array:
    """Return the vectors divided by their norm, zeros for zeros; no power overflows."""
    largest = jax.lax.stop_gradient(jnp.abs(vectors).max(axis, keepdims=True))
    absent = largest == 0
    scaled = vectors / jnp.where(absent, 1.0, largest)  # the result does not depend on this factor
    power = (jnp.abs(scaled) ** order if order != 2 else scaled**2).sum(axis, keepdims=True)
    return jnp.where(absent, 0.0, scaled * jnp.where(absent, 1.0, power) ** (-1 / order))


def _close(values: Array, target: float) -> Array:
    return jnp.abs(values - target) <= 16 * jnp.sqrt(jnp.finfo(values.dtype).eps) * target


def _refuse_zero_vectors(array: Array, axis: int) -> None:
    if known(array) and not bool((array != 0).any(axis).all()):
        raise ValueError("a vector of zeros has no direction: start from another value")
