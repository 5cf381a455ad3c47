"""Moments: how alike the signals of a region's vertices are, and how a joint distribution's tails weigh."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional import cov, regularise_spd
from conn.functional.engine import Tensor, _to_jax_array
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Reduction

__all__ = [
    "MultivariateKurtosisLoss",
    "SecondMomentCentredLoss",
    "SecondMomentLoss",
    "multivariate_kurtosis",
    "second_moment",
    "second_moment_centred",
]


def second_moment(
    values: Float[Tensor, "... vertex frame"], assignment: Float[Tensor, "... region vertex"]
) -> Float[Array, "... region frame"]:
    r"""Return the variance of the vertices of every region around their own mean, frame by frame.

    .. math:: \frac{\sum_v A_{rv} (x_{vt} - \mu_{rt})^2}{\sum_v A_{rv}}, \qquad
              \mu_{rt} = \frac{\sum_v A_{rv} x_{vt}}{\sum_v A_{rv}}

    Parameters
    ----------
    values : array, shape (..., vertex, frame)
        Signals, or any features of vertices. NaN makes a frame NaN.
    assignment : array, shape (..., region, vertex)
        Weight of every vertex in every region, not negative.

    Returns
    -------
    array, shape (..., region, frame)
        In the squared unit of the values, not negative; NaN for a region without vertices. Vertices are never expanded
        by regions and frames at once.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> second_moment(jnp.array([[1.0], [3.0], [7.0]]), jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])).tolist()
    [[1.0], [0.0]]
    """
    array, shares, _ = _shared(values, assignment)
    return _not_negative(shares @ array**2 - (shares @ array) ** 2)


def second_moment_centred(
    values: Float[Tensor, "... vertex frame"],
    assignment: Float[Tensor, "... region vertex"],
    centre: Float[Tensor, "... region frame"],
) -> Float[Array, "... region frame"]:
    r"""Return the mean squared distance of the vertices of every region from a given signal, frame by frame.

    Parameters
    ----------
    values : array, shape (..., vertex, frame)
        Signals, or any features of vertices. NaN makes a frame NaN.
    assignment : array, shape (..., region, vertex)
        Weight of every vertex in every region, not negative.
    centre : array, shape (..., region, frame)
        The signal from which each region's vertices are measured: the template of a prototype, say.

    Returns
    -------
    array, shape (..., region, frame)
        In the squared unit of the values, not negative; NaN for a region without vertices.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> second_moment_centred(jnp.array([[1.0], [3.0]]), jnp.ones((1, 2)), jnp.array([[1.0]])).tolist()
    [[2.0]]
    """
    array, shares, origin = _shared(values, assignment)
    from_origin = _to_jax_array(centre) - origin
    mean = shares @ array
    if from_origin.shape[-2:] != mean.shape[-2:]:
        raise ValueError(
            f"centre must have shape (..., {mean.shape[-2]}, {mean.shape[-1]}), and has shape {from_origin.shape}"
        )
    return _not_negative(shares @ array**2 - mean**2) + (mean - from_origin) ** 2


def multivariate_kurtosis(
    time_series: Float[Tensor, "... region frame"], *, ridge: float = 0.0, dimensional_scaling: bool = False
) -> Float[Array, "..."]:
    r"""Return Mardia's multivariate kurtosis, the mean fourth power of the frames' Mahalanobis distances.

    .. math:: \frac{1}{t} \sum_k \big[ (x_k - \bar x)^\top S^{-1} (x_k - \bar x) \big]^2

    Of normal frames it is near :math:`n (n + 2)`; signals whose covariance switches have more. To look for such,
    give the loss a negative strength.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit: the result does not depend on an affine map of the regions (without a ridge). NaN makes
        it NaN, and so do linearly dependent regions without a ridge.
    ridge : float, default 0
        What is added to the diagonal of the covariance :math:`S` (divided by the number of frames), as a fraction of
        its mean.
    dimensional_scaling : bool, default False
        Divide by :math:`n (n + 2)`, so that 1 is expected of normal frames.

    Returns
    -------
    array, shape (...)
        Without unit.

    Raises
    ------
    ValueError
        If there are no more frames than regions and no ridge, or the ridge is negative.

    References
    ----------
    .. [1] Mardia (1970). doi:10.1093/biomet/57.3.519

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(multivariate_kurtosis(jnp.array([[1.0, -1.0, 1.0, -1.0]])))
    1.0
    """
    series = _to_jax_array(time_series)
    if series.ndim < 2:
        raise ValueError(f"time_series must have shape (..., region, frame), and has shape {series.shape}")
    n_regions, n_frames = series.shape[-2:]
    if not ridge and n_frames <= n_regions:
        raise ValueError(
            f"the covariance of {n_regions} regions needs more than their number of frames, and there are {n_frames}: "
            "give a ridge"
        )
    centred = series - series.mean(-1, keepdims=True)
    covariance = regularise_spd(cov(series, ddof=0), ridge=ridge)
    distances = jnp.einsum("...if,...if->...f", centred, jnp.linalg.solve(covariance, centred))
    found = (distances**2).mean(-1)
    return found / (n_regions * (n_regions + 2)) if dimensional_scaling else found


def _shared(values: Tensor, assignment: Tensor) -> tuple[Array, Array, Array]:
    """Return the values less a common origin, the shares of each region's vertices, and the origin."""
    array, weights = _to_jax_array(values), _to_jax_array(assignment)
    if array.ndim < 2 or weights.ndim < 2 or weights.shape[-1] != array.shape[-2]:
        raise ValueError(
            "values must have shape (..., vertex, frame) and assignment (..., region, vertex), and have "
            f"{array.shape} and {weights.shape}"
        )
    # The result does not depend on the origin, which only keeps the squares small: it needs no derivative.
    origin = jax.lax.stop_gradient(array.mean(-2, keepdims=True))
    return array - origin, weights / weights.sum(-1, keepdims=True), origin


def _not_negative(variance: Array) -> Array:
    """Return the variance without the rounding below 0; its derivative is the exact formula's."""
    return variance + jax.lax.stop_gradient(jnp.maximum(variance, 0.0) - variance)


class SecondMomentLoss(Loss):
    """The variance of the vertices of regions around their own mean.

    Call it with values (..., vertex, frame) and an assignment (..., region, vertex).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "SecondMoment"
        How the loss is called.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(SecondMomentLoss()(jnp.array([[1.0], [3.0]]), jnp.ones((1, 2))))
    1.0
    """

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=second_moment, scalarisation=scalarisation)


class SecondMomentCentredLoss(Loss):
    """The mean squared distance of the vertices of regions from given signals.

    Call it with values (..., vertex, frame), an assignment (..., region, vertex) and centres (..., region, frame).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "SecondMomentCentred"
        How the loss is called.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(SecondMomentCentredLoss()(jnp.array([[1.0], [3.0]]), jnp.ones((1, 2)), jnp.ones((1, 1))))
    2.0
    """

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=second_moment_centred, scalarisation=scalarisation)


class MultivariateKurtosisLoss(Loss):
    """Mardia's multivariate kurtosis; with a negative strength, switching covariance is sought.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "MultivariateKurtosis"
        How the loss is called.
    ridge : float, default 0
        What is added to the diagonal of the covariance, as a fraction of its mean.
    dimensional_scaling : bool, default False
        Divide by what is expected of normal frames.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(MultivariateKurtosisLoss(nu=-1.0)(jnp.array([[1.0, -1.0, 1.0, -1.0]])))
    -1.0
    """

    ridge: float = eqx.field(static=True)
    dimensional_scaling: bool = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        ridge: float = 0.0,
        dimensional_scaling: bool = False,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=multivariate_kurtosis, scalarisation=scalarisation)
        self.ridge, self.dimensional_scaling = ridge, dimensional_scaling
