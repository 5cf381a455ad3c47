r"""Distances between distributions that are known by samples: sliced Wasserstein, maximum mean discrepancy."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional import gaussian_kernel, pairwise_squared_distance
from conn.functional.engine import Tensor, _to_jax_array
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Reduction

__all__ = [
    "MaximumMeanDiscrepancyLoss",
    "SlicedWassersteinLoss",
    "maximum_mean_discrepancy",
    "quantile_distance",
    "sliced_wasserstein",
]


def quantile_distance(
    values: Float[Tensor, "... observation"], target: Float[Tensor, "... other"], *, p: float = 2.0
) -> Float[Array, "..."]:
    r"""Return the p-th power of the Wasserstein distance between two samples of numbers.

    .. math:: W_p^p = \int_0^1 | F^{-1}(u) - G^{-1}(u) |^p \, du

    Parameters
    ----------
    values, target : array, shape (..., observation)
        Samples, whose sizes may differ: the integral is exact. NaN counts as the largest value and makes the result
        NaN.
    p : float, default 2
        Order, at least 1.

    Returns
    -------
    array, shape (...)
        In the p-th power of the values' unit, not negative. Differentiable where no two values of a sample are equal.

    Raises
    ------
    ValueError
        If the order is below 1, or a sample is empty.

    See Also
    --------
    scipy.stats.wasserstein_distance : for p = 1

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(quantile_distance(jnp.array([0.0, 1.0]), jnp.array([3.0, 2.0])))
    4.0
    """
    first, second = _to_jax_array(values), _to_jax_array(target)
    if p < 1:
        raise ValueError(f"the order p is at least 1, and is {p}")
    if not first.ndim or not second.ndim or not first.shape[-1] or not second.shape[-1]:
        raise ValueError(
            f"both samples need values along their last axis, and have shapes {first.shape}, {second.shape}"
        )
    n, m = first.shape[-1], second.shape[-1]
    # Multiples of 1 / (n m), in whole numbers: breakpoints that coincide do so exactly.
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    widths, start = np.diff(edges) / (n * m), edges[:-1]
    apart = jnp.abs(jnp.sort(first, -1)[..., start // m] - jnp.sort(second, -1)[..., start // n])
    return (apart**p * widths.astype(apart.dtype)).sum(-1)


def sliced_wasserstein(
    values: Float[Tensor, "... observation feature"],
    target: Float[Tensor, "... other feature"],
    *,
    key: jax.Array,
    n_directions: int = 64,
    p: float = 2.0,
) -> Float[Array, "direction ..."]:
    """Return the p-th power of the Wasserstein distance between two samples, along random directions.

    Parameters
    ----------
    values, target : array, shape (..., observation, feature)
        Samples, whose sizes may differ. NaN makes the result NaN.
    key : PRNG key
        Draws the directions, uniformly on the sphere.
    n_directions : int, default 64
        The mean over them tends to the sliced distance, with an error as one over the root of their number.
    p : float, default 2
        Order, at least 1.

    Returns
    -------
    array, shape (direction, ...)
        In the p-th power of the features' unit.

    Raises
    ------
    ValueError
        If the features do not fit each other, or the order or the number of directions is below 1.

    References
    ----------
    .. [1] Bonneel, Rabin, Peyré & Pfister (2015). doi:10.1007/s10851-014-0506-3

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> sliced_wasserstein(jnp.eye(3), jnp.eye(3)[::-1], key=jax.random.PRNGKey(0), n_directions=2).tolist()
    [0.0, 0.0]
    """
    first, second = _samples(values, target)
    if n_directions < 1:
        raise ValueError(f"at least 1 direction is needed, and there are {n_directions}")
    drawn = jax.random.normal(key, (n_directions, first.shape[-1]), first.dtype)
    directions = drawn / jnp.linalg.norm(drawn, axis=-1, keepdims=True)
    along = (jnp.moveaxis(sample @ directions.T, -1, 0) for sample in (first, second))
    return quantile_distance(*along, p=p)


def maximum_mean_discrepancy(
    values: Float[Tensor, "... observation feature"],
    target: Float[Tensor, "... other feature"],
    *,
    gamma: float | Array | None = None,
) -> Float[Array, "..."]:
    r"""Return the squared maximum mean discrepancy between two samples, with a Gaussian kernel.

    .. math:: \overline{k(x, x')} + \overline{k(y, y')} - 2\, \overline{k(x, y)}, \qquad
              k(x, y) = e^{-\gamma |x - y|^2}

    Parameters
    ----------
    values, target : array, shape (..., observation, feature)
        Samples, whose sizes may differ. NaN makes the result NaN.
    gamma : float, optional
        One over the squared feature unit. By default one over the mean squared distance between target and values,
        which counts as a constant in the derivative.

    Returns
    -------
    array, shape (...)
        Without unit. The estimate that counts each observation's pair with itself: not negative but for rounding, and
        above 0 by about one over the sample size for equal distributions.

    Raises
    ------
    ValueError
        If the features do not fit each other, or gamma is not positive.

    References
    ----------
    .. [1] Gretton, Borgwardt, Rasch, Schölkopf & Smola (2012), A kernel two-sample test. Journal of Machine Learning
       Research 13, 723-773.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(maximum_mean_discrepancy(jnp.eye(3), jnp.eye(3), gamma=1.0))
    0.0
    """
    first, second = _samples(values, target)
    if gamma is None:
        spread = pairwise_squared_distance(*(jax.lax.stop_gradient(x) for x in (first, second))).mean((-2, -1))
        gamma = 1 / jnp.where(spread > 0, spread, 1.0)
    kernels = (
        gaussian_kernel(first, gamma=gamma),
        gaussian_kernel(second, gamma=gamma),
        gaussian_kernel(first, second, gamma=gamma),
    )
    inside, other, between = (kernel.mean((-2, -1)) for kernel in kernels)
    return inside + other - 2 * between


def _samples(values: Tensor, target: Tensor) -> tuple[Array, Array]:
    first, second = _to_jax_array(values), _to_jax_array(target)
    if first.ndim < 2 or second.ndim < 2 or first.shape[-1] != second.shape[-1]:
        raise ValueError(
            f"samples must have shape (..., observation, feature), with one number of features, and have shapes "
            f"{first.shape} and {second.shape}"
        )
    return first, second


class SlicedWassersteinLoss(Loss):
    """The p-th power of the Wasserstein distance between two samples, along directions drawn anew at each call.

    Call it with both samples, (..., observation, feature), and a ``key``.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "SlicedWasserstein"
        How the loss is called.
    n_directions : int, default 64
        How many directions are drawn.
    p : float, default 2
        Order, at least 1.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> float(SlicedWassersteinLoss()(jnp.eye(3), jnp.eye(3)[::-1], key=jax.random.PRNGKey(0)))
    0.0
    """

    n_directions: int = eqx.field(static=True)
    p: float = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        n_directions: int = 64,
        p: float = 2.0,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=sliced_wasserstein, scalarisation=scalarisation)
        self.n_directions, self.p = n_directions, p

    def _settings(self, key: jax.Array | None) -> dict[str, Any]:
        if key is None:
            raise ValueError(f"loss {self.name!r} draws directions: call it with key=")
        return {"key": key, **super()._settings(key)}


class MaximumMeanDiscrepancyLoss(Loss):
    """The squared maximum mean discrepancy between two samples, (..., observation, feature).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "MaximumMeanDiscrepancy"
        How the loss is called.
    gamma : float, optional
        Of the Gaussian kernel, see `maximum_mean_discrepancy`.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(MaximumMeanDiscrepancyLoss(gamma=1.0)(jnp.eye(3), jnp.eye(3)))
    0.0
    """

    gamma: float | Array | None

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        gamma: float | Array | None = None,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=maximum_mean_discrepancy, scalarisation=scalarisation)
        self.gamma = gamma
