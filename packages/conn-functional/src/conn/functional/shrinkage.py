r"""Covariance shrunk towards a multiple of the identity, with a given or an estimated intensity.

.. math:: \hat C = (1 - s)\, S + s\, \mu I, \qquad \mu = \operatorname{tr} S / n,

with :math:`S` the covariance of :math:`n` regions over :math:`t` frames, divided by :math:`t` (``ddof=0``).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from conn.functional._inputs import several_frames
from conn.functional._moments import Weighed, checked_series, each_scan, moments, weigh
from conn.functional.covariance import square_matrix
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["ShrunkCovariance", "ledoit_wolf", "oas", "shrunk_cov"]


class ShrunkCovariance(NamedTuple):
    """A shrunk covariance, and how far it was shrunk."""

    covariance: Float[Array, "... region region"]
    """In the square of the series' unit."""
    shrinkage: Float[Array, "..."]
    """Between 0, nothing shrunk, and 1, a multiple of the identity."""


def shrunk_cov(
    covariance: Float[Tensor, "... region region"],
    *,
    shrinkage: float | Float[Tensor, "..."],
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return the covariance, shrunk by a given intensity towards the mean variance times the identity.

    Parameters
    ----------
    covariance : array, shape (..., region, region)
        NaN anywhere makes the diagonal NaN.
    shrinkage : float or array, shape (...)
        Between 0 and 1.
    check : bool, default False
        Refuse NaN, infinity and a matrix that is not symmetric by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region, region)

    Raises
    ------
    ValueError
        If the matrices are not square, or a shrinkage given as a number is not between 0 and 1.

    See Also
    --------
    sklearn.covariance.shrunk_covariance

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> shrunk_cov(jnp.array([[3.0, 1.0], [1.0, 1.0]]), shrinkage=0.5).tolist()
    [[2.5, 0.5], [0.5, 1.5]]
    """
    matrix = square_matrix("covariance", covariance, check=check)
    if isinstance(shrinkage, int | float) and not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage must lie between 0 and 1, and is {shrinkage}")
    intensity = jnp.asarray(_to_jax_array(shrinkage), matrix.dtype)[..., None, None]
    size = matrix.shape[-1]
    mean = jnp.trace(matrix, axis1=-2, axis2=-1)[..., None, None] / size
    return (1 - intensity) * matrix + intensity * mean * jnp.eye(size, dtype=matrix.dtype)


def ledoit_wolf(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> ShrunkCovariance:
    r"""Return the covariance shrunk as Ledoit and Wolf do, which is optimal in mean square as frames and regions grow.

    .. math:: s = \min(\beta, \delta) / \delta, \quad
              \delta = \lVert S - \mu I \rVert^2 / n, \quad
              \beta = \Big( \tfrac1t \sum_t \lVert x_t \rVert^4 - \lVert S \rVert^2 \Big) / (n t) .

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere makes the result NaN: mark such frames in `mask`. Frames count as
        independent, so that autocorrelated series are shrunk too little.
    weight : array, shape (..., frame), optional
        Weight of every frame, not negative; :math:`t` is then :math:`(\sum w)^2 / \sum w^2`. A stack of weightings
        takes the memory of the stacked series.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A masked frame counts as if it had been deleted.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    ShrunkCovariance
        ``covariance``, shape (..., region, region), with divisor :math:`t`, and ``shrinkage``, shape (...). A series
        that is constant everywhere gives 0 and 0. Not differentiable where the intensity reaches 1.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    See Also
    --------
    sklearn.covariance.ledoit_wolf

    References
    ----------
    .. [1] Ledoit and Wolf (2004). doi:10.1016/S0047-259X(03)00096-4

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> series = jnp.array([[1.0, 2.0, 3.0, 5.0], [2.0, 1.0, 2.0, 1.0]])
    >>> round(float(ledoit_wolf(series).shrinkage), 4)
    0.5629
    """
    return _of_each_scan(_ledoit_wolf, time_series, weight, mask, check)


def oas(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> ShrunkCovariance:
    r"""Return the covariance shrunk by the oracle approximating intensity, for Gaussian frames.

    .. math:: s = \min\Big(1, \frac{a + \mu^2}{(t + 1)(a - \mu^2 / n)}\Big), \quad a = \lVert S \rVert^2 / n^2 .

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere makes the result NaN: mark such frames in `mask`.
    weight : array, shape (..., frame), optional
        Weight of every frame, not negative; :math:`t` is then :math:`(\sum w)^2 / \sum w^2`.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A masked frame counts as if it had been deleted.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    ShrunkCovariance
        ``covariance``, shape (..., region, region), with divisor :math:`t`, and ``shrinkage``, shape (...).
        Covariances that are a multiple of the identity already give 1.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    See Also
    --------
    sklearn.covariance.oas

    References
    ----------
    .. [1] Chen, Wiesel, Eldar and Hero (2010). doi:10.1109/TSP.2010.2053029

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> few = jnp.array([[1.0, 2.0, 3.0, 5.0], [2.0, 1.0, 2.0, 1.0]])
    >>> bool(oas(jnp.tile(few, 20)).shrinkage < oas(few).shrinkage)
    True
    """
    return _of_each_scan(_oas, time_series, weight, mask, check)


def _of_each_scan(intensity: Callable[[Weighed, Array], Array], time_series, weight, mask, check) -> ShrunkCovariance:
    series, weights = checked_series(time_series, weight, mask, check=check)
    several_frames(series, "a shrinkage intensity")
    uniform = weight is None and mask is None
    lead = jnp.broadcast_shapes(series.shape[:-2], weights.shape[:-1])
    series = jnp.broadcast_to(series, (*lead, *series.shape[-2:]))

    def of_scan(x: Array, w: Array) -> ShrunkCovariance:
        one = weigh(x, None if uniform else w)
        matrix, _ = moments(one)
        shrinkage = intensity(one, matrix)
        return ShrunkCovariance(shrunk_cov(matrix, shrinkage=shrinkage), shrinkage)

    return each_scan(of_scan, series, weights)


def _ledoit_wolf(one: Weighed, matrix: Array) -> Array:
    size = matrix.shape[-1]
    square = (matrix**2).sum((-2, -1))
    mean = jnp.trace(matrix, axis1=-2, axis2=-1) / size
    distance = square / size - mean**2
    # sum over pairs of the products' variances, without forming them: the pairs of one frame sum to its norm's square
    fourth = ((one.weighted * one.centred).sum(-2) * (one.centred**2).sum(-2)).sum(-1) * one.share
    noise = (fourth - square) / (size * _frames(one))
    return _ratio(jnp.minimum(noise, distance), distance)


def _oas(one: Weighed, matrix: Array) -> Array:
    size = matrix.shape[-1]
    spread = (matrix**2).mean((-2, -1))
    mean = jnp.trace(matrix, axis1=-2, axis2=-1) / size
    numerator = spread + mean**2
    denominator = (_frames(one) + 1) * (spread - mean**2 / size)
    limited = denominator <= numerator
    return jnp.where(limited, 1.0, numerator / jnp.where(limited, 1.0, denominator))


def _frames(one: Weighed) -> Array:
    """Return the number of frames that the weights amount to."""
    return jnp.maximum(_ratio(one.total, one.loss), 1.0)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Return the quotient, and 0 (with derivative 0) where the denominator is not positive."""
    usable = denominator > 0
    return jnp.where(usable, numerator / jnp.where(usable, denominator, 1.0), 0.0)
