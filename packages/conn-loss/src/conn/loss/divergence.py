r"""Entropy and divergences of probability distributions, from probabilities or from logits.

Probabilities of 0 are exact: :math:`0 \log 0 = 0`, with no number added inside a logarithm. The derivative of
:math:`p \log p` is infinite at 0 and is given as 0 there; logits have no such edge.
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional.engine import Tensor, _to_jax_array
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Reduction

__all__ = [
    "BregmanLogitLoss",
    "BregmanLoss",
    "EntropyLogitLoss",
    "EntropyLoss",
    "JSDivergenceLogitLoss",
    "JSDivergenceLoss",
    "KLDivergenceLogitLoss",
    "KLDivergenceLoss",
    "bregman_divergence",
    "bregman_divergence_logit",
    "entropy",
    "entropy_logit",
    "js_divergence",
    "js_divergence_logit",
    "kl_divergence",
    "kl_divergence_logit",
]


def entropy(probability: Float[Tensor, "..."], *, axis: int = -1) -> Float[Array, "..."]:
    """Return the entropy of distributions, in nats.

    Parameters
    ----------
    probability : array
        Not negative, with sum 1 along the axis; NaN makes a distribution's entropy NaN.
    axis : int, default -1
        The axis of outcomes.

    Returns
    -------
    array
        Without that axis; between 0 and the log of the number of outcomes.

    See Also
    --------
    scipy.stats.entropy

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> [round(float(h), 4) for h in entropy(jnp.array([[0.5, 0.5], [0.25, 0.75]]))]
    [0.6931, 0.5623]
    """
    array = _to_jax_array(probability)
    return -_x_log(array, array).sum(axis)


def entropy_logit(logit: Float[Tensor, "..."], *, axis: int = -1) -> Float[Array, "..."]:
    """Return the entropy of the softmax of logits, in nats.

    Parameters
    ----------
    logit : array
        Of any shape; NaN makes a distribution's entropy NaN.
    axis : int, default -1
        The axis of outcomes.

    Returns
    -------
    array
        Without that axis.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(entropy_logit(jnp.zeros(2))), 4)
    0.6931
    """
    log = jax.nn.log_softmax(_to_jax_array(logit), axis)
    return -(jnp.exp(log) * log).sum(axis)


def kl_divergence(
    probability: Float[Tensor, "..."], other: Float[Tensor, "..."], *, axis: int = -1
) -> Float[Array, "..."]:
    r"""Return the Kullback–Leibler divergence :math:`\sum_i p_i \log(p_i / q_i)`, in nats.

    Parameters
    ----------
    probability, other : array
        :math:`p` and :math:`q`: not negative, with sum 1 along the axis; they broadcast against each other.
    axis : int, default -1
        The axis of outcomes.

    Returns
    -------
    array
        Without that axis; not negative, and infinite where something has probability in :math:`p` and none in
        :math:`q`.

    References
    ----------
    .. [1] Kullback & Leibler (1951). doi:10.1214/aoms/1177729694

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(kl_divergence(jnp.array([1.0, 0.0]), jnp.array([0.5, 0.5]))), 4)
    0.6931
    """
    first, second = _to_jax_array(probability), _to_jax_array(other)
    return (_x_log(first, first) - _x_log(first, second)).sum(axis)


def kl_divergence_logit(
    logit: Float[Tensor, "..."], other: Float[Tensor, "..."], *, axis: int = -1
) -> Float[Array, "..."]:
    """Return the Kullback–Leibler divergence of the softmax of logits from that of others, in nats.

    Parameters
    ----------
    logit, other : array
        Of any shapes that broadcast against each other.
    axis : int, default -1
        The axis of outcomes.

    Returns
    -------
    array
        Without that axis; not negative and finite.

    References
    ----------
    .. [1] Kullback & Leibler (1951). doi:10.1214/aoms/1177729694

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(kl_divergence_logit(jnp.ones(3), jnp.zeros(3)))
    0.0
    """
    first, second = (jax.nn.log_softmax(_to_jax_array(x), axis) for x in (logit, other))
    return (jnp.exp(first) * (first - second)).sum(axis)


def js_divergence(
    probability: Float[Tensor, "..."], other: Float[Tensor, "..."], *, axis: int = -1
) -> Float[Array, "..."]:
    """Return the Jensen–Shannon divergence: the mean divergence of two distributions from their mean, in nats.

    Parameters
    ----------
    probability, other : array
        Not negative, with sum 1 along the axis; they broadcast against each other.
    axis : int, default -1
        The axis of outcomes.

    Returns
    -------
    array
        Without that axis; symmetric, between 0 and log 2, and finite for zeros too. The square of
        `scipy.spatial.distance.jensenshannon`.

    References
    ----------
    .. [1] Lin (1991). doi:10.1109/18.61115

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(js_divergence(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))), 4)
    0.6931
    """
    first, second = _to_jax_array(probability), _to_jax_array(other)
    mean = (first + second) / 2
    return (kl_divergence(first, mean, axis=axis) + kl_divergence(second, mean, axis=axis)) / 2


def js_divergence_logit(
    logit: Float[Tensor, "..."], other: Float[Tensor, "..."], *, axis: int = -1
) -> Float[Array, "..."]:
    """Return the Jensen–Shannon divergence of the softmax of logits and that of others, in nats.

    Parameters
    ----------
    logit, other : array
        Of any shapes that broadcast against each other.
    axis : int, default -1
        The axis of outcomes.

    Returns
    -------
    array
        Without that axis; symmetric, between 0 and log 2.

    References
    ----------
    .. [1] Lin (1991). doi:10.1109/18.61115

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(js_divergence_logit(jnp.ones(3), jnp.zeros(3)))
    0.0
    """
    first, second = (jax.nn.log_softmax(_to_jax_array(x), axis) for x in (logit, other))
    mean = jnp.logaddexp(first, second) - jnp.log(jnp.asarray(2.0, first.dtype))
    return (jnp.exp(first) * (first - mean) + jnp.exp(second) * (second - mean)).sum(axis) / 2


def bregman_divergence(
    values: Float[Tensor, "..."],
    other: Float[Tensor, "..."],
    *,
    function: Callable[[Array], Array],
    n_axes: int = 1,
) -> Float[Array, "..."]:
    r"""Return the Bregman divergence :math:`f(x) - f(y) - \nabla f(y) \cdot (x - y)` of a convex function.

    Parameters
    ----------
    values, other : array
        :math:`x` and :math:`y`, of shapes that broadcast against each other.
    function : callable
        :math:`f`, convex: takes an array of `n_axes` axes, gives one number. The sum of squares gives the squared
        distance, minus the entropy the Kullback–Leibler divergence.
    n_axes : int, default 1
        How many of the last axes one argument of the function has.

    Returns
    -------
    array
        Without those axes; not negative where the function is convex.

    Raises
    ------
    ValueError
        If the arrays have fewer axes.

    References
    ----------
    .. [1] Bregman (1967). doi:10.1016/0041-5553(67)90040-7

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(bregman_divergence(jnp.array([3.0, 4.0]), jnp.zeros(2), function=lambda x: (x**2).sum()))
    25.0
    """
    first, second = jnp.broadcast_arrays(_to_jax_array(values), _to_jax_array(other))
    if n_axes < 0 or first.ndim < n_axes:
        raise ValueError(f"the function takes {n_axes} axes, and the values have shape {first.shape}")

    def of_one(x: Array, y: Array) -> Array:
        at_y, slope = jax.value_and_grad(function)(y)
        return function(x) - at_y - (slope * (x - y)).sum()

    leading, own = first.shape[: first.ndim - n_axes], first.shape[first.ndim - n_axes :]
    found = jax.vmap(of_one)(first.reshape(-1, *own), second.reshape(-1, *own))
    return found.reshape(leading)


def bregman_divergence_logit(
    logit: Float[Tensor, "..."],
    other: Float[Tensor, "..."],
    *,
    function: Callable[[Array], Array],
) -> Float[Array, "..."]:
    """Return the Bregman divergence of the softmax of logits from that of others.

    Parameters
    ----------
    logit, other : array, shape (..., outcome)
        Shapes broadcast against each other; the softmax is taken along the last axis.
    function : callable
        Convex: takes the probabilities of one distribution, gives one number.

    Returns
    -------
    array, shape (...)

    References
    ----------
    .. [1] Bregman (1967). doi:10.1016/0041-5553(67)90040-7

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(bregman_divergence_logit(jnp.ones(3), jnp.zeros(3), function=lambda p: (p**2).sum()))
    0.0
    """
    first, second = (jax.nn.softmax(_to_jax_array(x), -1) for x in (logit, other))
    return bregman_divergence(first, second, function=function)


def _x_log(x: Array, y: Array) -> Array:
    """Return x log y, with 0 log 0 = 0 and the derivative 0 where x is 0."""
    counts = x != 0
    return jnp.where(counts, x * jnp.log(jnp.where(counts, y, 1.0)), 0.0)


class _OutcomeLoss(Loss):
    """A loss whose score is taken along the axis of outcomes; a subclass names the score."""

    axis: int = eqx.field(static=True)
    _of_outcomes: ClassVar[Callable[..., Array]]

    def __init__(
        self, nu: Strength = 1.0, name: str | None = None, *, axis: int = -1, scalarisation: Reduction | None = None
    ):
        super().__init__(nu, name, score=type(self)._of_outcomes, scalarisation=scalarisation)
        self.axis = axis


class EntropyLoss(_OutcomeLoss):
    """The entropy of distributions: least for certainty.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "Entropy"
        How the loss is called.
    axis : int, default -1
        The axis of outcomes.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> abs(float(EntropyLoss()(jnp.array([1.0, 0.0]))))
    0.0
    """

    _of_outcomes = staticmethod(entropy)


class EntropyLogitLoss(_OutcomeLoss):
    """The entropy of the softmax of logits: least for certainty.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "EntropyLogit"
        How the loss is called.
    axis : int, default -1
        The axis of outcomes.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> abs(float(EntropyLogitLoss()(jnp.array([100.0, 0.0]))))
    0.0
    """

    _of_outcomes = staticmethod(entropy_logit)


class KLDivergenceLoss(_OutcomeLoss):
    """The Kullback–Leibler divergence of distributions from others.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "KLDivergence"
        How the loss is called.
    axis : int, default -1
        The axis of outcomes.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> abs(float(KLDivergenceLoss()(jnp.array([0.5, 0.5]), jnp.array([0.5, 0.5]))))
    0.0
    """

    _of_outcomes = staticmethod(kl_divergence)


class KLDivergenceLogitLoss(_OutcomeLoss):
    """The Kullback–Leibler divergence of the softmax of logits from that of others.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "KLDivergenceLogit"
        How the loss is called.
    axis : int, default -1
        The axis of outcomes.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> abs(float(KLDivergenceLogitLoss()(jnp.ones(3), jnp.zeros(3))))
    0.0
    """

    _of_outcomes = staticmethod(kl_divergence_logit)


class JSDivergenceLoss(_OutcomeLoss):
    """The Jensen–Shannon divergence of two distributions.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "JSDivergence"
        How the loss is called.
    axis : int, default -1
        The axis of outcomes.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> abs(float(JSDivergenceLoss()(jnp.array([0.5, 0.5]), jnp.array([0.5, 0.5]))))
    0.0
    """

    _of_outcomes = staticmethod(js_divergence)


class JSDivergenceLogitLoss(_OutcomeLoss):
    """The Jensen–Shannon divergence of the softmax of logits and that of others.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "JSDivergenceLogit"
        How the loss is called.
    axis : int, default -1
        The axis of outcomes.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> abs(float(JSDivergenceLogitLoss()(jnp.ones(3), jnp.zeros(3))))
    0.0
    """

    _of_outcomes = staticmethod(js_divergence_logit)


class BregmanLoss(Loss):
    """The Bregman divergence of values from others.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "Bregman"
        How the loss is called.
    function : callable
        Convex: takes an array of `n_axes` axes, gives one number.
    n_axes : int, default 1
        How many of the last axes one argument of the function has.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(BregmanLoss(function=lambda x: (x**2).sum())(jnp.array([3.0, 4.0]), jnp.zeros(2)))
    25.0
    """

    function: Callable[[Array], Array] = eqx.field(static=True)
    n_axes: int = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        function: Callable[[Array], Array],
        n_axes: int = 1,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=bregman_divergence, scalarisation=scalarisation)
        self.function, self.n_axes = function, n_axes


class BregmanLogitLoss(Loss):
    """The Bregman divergence of the softmax of logits from that of others.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "BregmanLogit"
        How the loss is called.
    function : callable
        Convex: takes the probabilities of one distribution, gives one number.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(BregmanLogitLoss(function=lambda p: (p**2).sum())(jnp.ones(3), jnp.zeros(3)))
    0.0
    """

    function: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        function: Callable[[Array], Array],
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=bregman_divergence_logit, scalarisation=scalarisation)
        self.function = function
