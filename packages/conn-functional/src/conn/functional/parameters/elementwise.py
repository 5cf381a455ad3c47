"""Domains of single numbers: the whole line, its affine copies, the positive half, and intervals."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from conn.functional.engine import Tensor
from conn.functional.parameters.base import MappedParameter, Outside, check_policy, initial_value, refuse_outside

__all__ = ["AffineParameter", "IdentityParameter", "MappedLogits", "PositiveParameter", "TanhParameter"]


class IdentityParameter(MappedParameter):
    """Any real values, as they are.

    Parameters
    ----------
    value : array
        Initial value.

    Raises
    ------
    ValueError
        If a value is not finite.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(2 * IdentityParameter(jnp.array([1.0, 2.0])))
    [2. 4.]
    """

    original: Array

    def __init__(self, value: Tensor):
        self.original = initial_value(value)

    def image(self, preimage: Array) -> Array:
        """Return the value itself."""
        return preimage

    def preimage(self, image: Array) -> Array:
        """Return the value itself."""
        return image


class AffineParameter(MappedParameter):
    r"""Any real values, in a unit and about a point that suit the optimiser: :math:`a + s z`.

    Parameters
    ----------
    value : array
        Initial value.
    loc : float, default 0
        :math:`a`, the value of preimage 0.
    scale : float, default 1
        :math:`s`, which is not 0. A step of the optimiser moves the value that much further.

    Raises
    ------
    ValueError
        If the scale is 0, or a value is not finite.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> parameter = AffineParameter(jnp.array([100.0, 110.0]), loc=100.0, scale=10.0)
    >>> print(parameter.original, parameter + 0)
    [0. 1.] [100. 110.]
    """

    original: Array
    loc: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    def __init__(self, value: Tensor, *, loc: float = 0.0, scale: float = 1.0):
        if scale == 0:
            raise ValueError("scale must not be 0")
        self.loc, self.scale = loc, scale
        self.original = self.preimage(initial_value(value))

    def image(self, preimage: Array) -> Array:
        """Return the value in its own unit."""
        return self.loc + self.scale * preimage

    def preimage(self, image: Array) -> Array:
        """Return the value in the optimiser's unit."""
        return (image - self.loc) / self.scale


class PositiveParameter(MappedParameter):
    r"""Values above 0, through :math:`\log(1 + e^z)`, which far from 0 is nearly :math:`z` itself.

    Parameters
    ----------
    value : array
        Initial value.
    minimum : float, default 1e-6
        Smallest initial value, above 0, in the unit of the values: at 0 the preimage is infinite.
    outside : {"clip", "raise"}, default "clip"
        Raise initial values below `minimum` to it, or refuse those that are not positive.

    Raises
    ------
    ValueError
        If `minimum` is not positive, the policy is unknown, or a value is not finite or refused.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> [round(float(value), 3) for value in PositiveParameter(jnp.array([0.5, 2.0, -1.0]), minimum=0.25)]
    [0.5, 2.0, 0.25]
    """

    original: Array

    def __init__(self, value: Tensor, *, minimum: float = 1e-6, outside: Outside = "clip"):
        if minimum <= 0:
            raise ValueError(f"minimum must be positive, and is {minimum}")
        check_policy(outside, "clip", "raise")
        array = initial_value(value)
        if outside == "raise":
            refuse_outside(array > 0, "not all values are positive")
        else:
            array = jnp.maximum(array, minimum)
        self.original = self.preimage(array)

    def image(self, preimage: Array) -> Array:
        """Return the positive value."""
        return jax.nn.softplus(preimage)

    def preimage(self, image: Array) -> Array:
        """Return the free value."""
        return image + jnp.log(-jnp.expm1(-image))


class TanhParameter(MappedParameter):
    r"""Values in an open interval, through the hyperbolic tangent: :math:`(a + b) / 2 + \tanh(z) (b - a) / 2`.

    For correlations and other values whose middle is 0: the preimage of a small value is the value itself.

    Parameters
    ----------
    value : array
        Initial value.
    lower, upper : float, default -1 and 1
        The interval.
    margin : float, default 0.01
        In units of the interval's length, between 0 and one half.
    outside : {"clip", "raise"}, default "clip"
        Move initial values outside the interval, or closer to its ends than the margin, to the margin; or refuse those
        that are not inside.

    Raises
    ------
    ValueError
        If the interval is empty, the margin is not in (0, 0.5), the policy is unknown, or a value is not finite or
        refused.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> [round(float(value), 3) for value in TanhParameter(jnp.array([-0.5, 0.25, 3.0]))]
    [-0.5, 0.25, 0.98]
    """

    original: Array
    lower: float = eqx.field(static=True)
    upper: float = eqx.field(static=True)

    def __init__(
        self,
        value: Tensor,
        *,
        lower: float = -1.0,
        upper: float = 1.0,
        margin: float = 0.01,
        outside: Outside = "clip",
    ):
        self.lower, self.upper = lower, upper
        self.original = self.preimage(_inside_interval(value, lower, upper, margin, outside))

    def image(self, preimage: Array) -> Array:
        """Return the value in the interval."""
        return (self.lower + self.upper) / 2 + (self.upper - self.lower) / 2 * jnp.tanh(preimage)

    def preimage(self, image: Array) -> Array:
        """Return the free value."""
        return jnp.arctanh((2 * image - self.lower - self.upper) / (self.upper - self.lower))


class MappedLogits(MappedParameter):
    r"""Values in an open interval, through the logistic function: :math:`a + (b - a) / (1 + e^{-z})`.

    Parameters
    ----------
    value : array
        Initial value.
    lower, upper : float, default 0 and 1
        The interval.
    margin : float, default 0.01
        In units of the interval's length, between 0 and one half.
    outside : {"clip", "raise"}, default "clip"
        Move initial values outside the interval, or closer to its ends than the margin, to the margin (at the ends
        themselves the preimage is infinite); or refuse those that are not inside.

    Raises
    ------
    ValueError
        If the interval is empty, the margin is not in (0, 0.5), the policy is unknown, or a value is not finite or
        refused.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> [round(float(value), 3) for value in MappedLogits(jnp.array([0.25, 0.5, 7.0]))]
    [0.25, 0.5, 0.99]
    """

    original: Array
    lower: float = eqx.field(static=True)
    upper: float = eqx.field(static=True)

    def __init__(
        self,
        value: Tensor,
        *,
        lower: float = 0.0,
        upper: float = 1.0,
        margin: float = 0.01,
        outside: Outside = "clip",
    ):
        self.lower, self.upper = lower, upper
        self.original = self.preimage(_inside_interval(value, lower, upper, margin, outside))

    def image(self, preimage: Array) -> Array:
        """Return the value in the interval."""
        return self.lower + (self.upper - self.lower) * jax.nn.sigmoid(preimage)

    def preimage(self, image: Array) -> Array:
        """Return the free value."""
        unit = (image - self.lower) / (self.upper - self.lower)
        return jnp.log(unit) - jnp.log1p(-unit)


def _inside_interval(value: Tensor, lower: float, upper: float, margin: float, outside: Outside) -> Array:
    if not lower < upper:
        raise ValueError(f"the interval must not be empty, and is ({lower}, {upper})")
    if not 0 < margin < 0.5:
        raise ValueError(f"margin must lie between 0 and 0.5, and is {margin}")
    check_policy(outside, "clip", "raise")
    array = initial_value(value)
    if outside == "raise":
        refuse_outside((array > lower) & (array < upper), f"not all values lie between {lower} and {upper}")
        return array
    slack = margin * (upper - lower)
    return jnp.clip(array, lower + slack, upper - slack)
