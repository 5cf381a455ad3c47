r"""Precision, partial and conditional covariance: what two regions share beyond others.

With the precision :math:`P = C^{-1}`, the partial correlation is :math:`-P_{ij} / \sqrt{P_{ii} P_{jj}}`, and the
partial covariance of a pair, given all the others, :math:`-P_{ij} / (P_{ii} P_{jj} - P_{ij}^2)`.

A covariance of :math:`n` regions has an inverse worth the name only from more than :math:`n` *independent*
frames. Band-passed scans have far fewer of these than frames, so that their effective number is estimated and a
covariance that falls short of it is refused unless it is regularised, or the check is waived by name.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from conn.functional._inverse import symmetric_inverse
from conn.functional._moments import checked_series, each_scan, reciprocal_root, variances, weigh
from conn.functional.covariance import ConstantPolicy, corr_from_cov, cov, with_ridge
from conn.functional.degrees_of_freedom import pooled_degrees_of_freedom
from conn.functional.engine import Tensor
from conn.functional.shrinkage import ledoit_wolf, oas, shrunk_cov

__all__ = ["conditional_corr", "conditional_cov", "partial_corr", "partial_cov", "precision"]

Shrinkage = Literal["ledoit_wolf", "oas"] | float | None

_REMEDIES = (
    'give shrinkage="ledoit_wolf", shrinkage="oas" or an intensity, give a ridge, '
    "or waive this check with allow_singular=True"
)


def precision(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    shrinkage: Shrinkage = None,
    ridge: float | Array = 0.0,
    ddof: int = 1,
    allow_singular: bool = False,
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return the inverse of the covariance between regions.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere makes the result NaN: mark such frames in `mask`.
    weight : array, shape (..., frame), optional
        Weight of every frame, not negative. All frames weigh 1 by default. A stack of weightings takes the memory of
        the stacked series.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A masked frame counts as if it had been deleted.
    shrinkage : {"ledoit_wolf", "oas"} or float, optional
        How the covariance is shrunk before it is inverted: estimated (the covariance then has ``ddof=0``, as in
        scikit-learn), or by an intensity between 0 and 1. Not shrunk by default.
    ridge : float, default 0
        Times the mean variance of the regions, added to the diagonal of the covariance.
    ddof : int, default 1
        Delta degrees of freedom of the covariance, where it is not shrunk by an estimate.
    allow_singular : bool, default False
        Invert whatever there is, where neither shrinkage nor a ridge is given: a singular covariance then gives
        entries without meaning, infinite ones among them.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    array, shape (..., region, region)
        In one over the square of the series' unit. Rows and columns of constant regions are 0, and the others are as
        if there were no constant region.

    Raises
    ------
    ValueError
        If there are no more frames than regions (known from the shapes) and nothing regularises.
    RuntimeError
        If the frames that count are worth fewer independent ones than there are regions (known from the values,
        through ``equinox.error_if``) and nothing regularises.

    See Also
    --------
    sklearn.covariance.LedoitWolf : its ``precision_``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> series = jnp.array([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])
    >>> jnp.round(precision(series, ddof=0), 6).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return _precision(time_series, weight, mask, shrinkage, ridge, ddof, allow_singular, check)[0]


def partial_corr(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    shrinkage: Shrinkage = None,
    ridge: float | Array = 0.0,
    allow_singular: bool = False,
    constant: ConstantPolicy = "zero",
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return the correlation of each pair of regions given all the others.

    Parameters
    ----------
    time_series, weight, mask, shrinkage, ridge, allow_singular, check
        As in `precision`.
    constant : {"zero", "nan"}, default "zero"
        What the row and the column of a constant region hold, diagonal included.

    Returns
    -------
    array, shape (..., region, region)
        Without unit, symmetric, with a diagonal of exactly 1.

    Raises
    ------
    ValueError, RuntimeError
        As `precision`.

    See Also
    --------
    nilearn.connectome.ConnectivityMeasure : ``kind="partial correlation"``.

    Examples
    --------
    >>> import jax
    >>> x, y, z = jax.random.normal(jax.random.key(0), (3, 500))
    >>> matrix = partial_corr(jax.numpy.stack([x, x + y, x + y + z]))
    >>> bool(abs(matrix[0, 2]) < 0.1)
    True
    """
    inverse, varies = _precision(time_series, weight, mask, shrinkage, ridge, 1, allow_singular, check)
    identity = jnp.eye(inverse.shape[-1], dtype=bool)
    return corr_from_cov(jnp.where(identity, jnp.where(varies[..., None], inverse, 0.0), -inverse), constant=constant)


def partial_cov(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    shrinkage: Shrinkage = None,
    ridge: float | Array = 0.0,
    ddof: int = 1,
    allow_singular: bool = False,
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return the covariance of each pair of regions given all the others, and each region's own residual variance.

    Parameters
    ----------
    time_series, weight, mask, shrinkage, ridge, ddof, allow_singular, check
        As in `precision`.

    Returns
    -------
    array, shape (..., region, region)
        In the square of the series' unit. Off the diagonal, the covariance of what is left of the two regions after
        regression on all the others; on it, the variance of what is left of the region. 0 for constant regions.

    Raises
    ------
    ValueError, RuntimeError
        As `precision`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> series = jnp.array([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])
    >>> (jnp.round(partial_cov(series, ddof=0), 6) + 0.0).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    inverse, varies = _precision(time_series, weight, mask, shrinkage, ridge, ddof, allow_singular, check)
    identity = jnp.eye(inverse.shape[-1], dtype=bool)
    both = varies[..., :, None] & varies[..., None, :]
    own = jnp.diagonal(inverse, axis1=-2, axis2=-1)
    block = jnp.where(identity, own[..., None], own[..., :, None] * own[..., None, :] - inverse**2)
    block = jnp.where(both, block, 1.0)
    return jnp.where(both, jnp.where(identity, 1.0, -inverse) / block, 0.0)


def conditional_cov(
    time_series: Float[Tensor, "... region frame"],
    given: Float[Tensor, "... confound frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    ridge: float | Array = 0.0,
    ddof: int = 1,
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return the covariance between regions given other signals: :math:`C_{xx} - C_{xg} C_{gg}^{-1} C_{gx}`.

    It equals the covariance of the residuals of a regression on the other signals and a constant.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere makes the result NaN: mark such frames in `mask`.
    given : array, shape (..., confound, frame)
        The signals conditioned on, fewer than the frames. Constant ones count for nothing.
    weight : array, shape (..., frame), optional
        Weight of every frame, not negative. All frames weigh 1 by default.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A masked frame counts as if it had been deleted.
    ridge : float, default 0
        Added to the variances, scaled to 1, of the signals conditioned on. Collinear ones do no harm without it.
    ddof : int, default 1
        Delta degrees of freedom, to which the signals conditioned on are not added.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    array, shape (..., region, region)
        In the square of the series' unit.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or there are not more frames than signals conditioned on.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> confound = jnp.array([[1.0, 2.0, 3.0, 4.0]])
    >>> series = jnp.concatenate([2 * confound, jnp.array([[1.0, -1.0, -1.0, 1.0]])])
    >>> jnp.round(conditional_cov(series, confound, ddof=0), 4).tolist()
    [[0.0, 0.0], [0.0, 1.0]]
    """
    return _conditional(time_series, given, weight, mask, ridge, ddof, check)[0]


def conditional_corr(
    time_series: Float[Tensor, "... region frame"],
    given: Float[Tensor, "... confound frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    ridge: float | Array = 0.0,
    constant: ConstantPolicy = "zero",
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return the correlation between regions given other signals.

    Parameters
    ----------
    time_series, given, weight, mask, ridge, check
        As in `conditional_cov`.
    constant : {"zero", "nan"}, default "zero"
        What the row and the column of a region hold that is constant (see `corr`) or of which nothing is left: a
        share of its variance within the rounding of the solution (the number of signals conditioned on times
        1024 eps).

    Returns
    -------
    array, shape (..., region, region)
        Without unit, symmetric, with a diagonal of exactly 1.

    Raises
    ------
    ValueError
        As `conditional_cov`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> confound = jnp.array([[1.0, 2.0, 3.0, 4.0]])
    >>> series = jnp.array([[1.0, -1.0, -1.0, 1.0], [2.0, -1.0, 0.0, 5.0]])
    >>> jnp.round(conditional_corr(series, confound), 4).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    rest, before, still, n_given = _conditional(time_series, given, weight, mask, ridge, 1, check)
    epsilon = jnp.finfo(rest.dtype).eps
    left = jnp.diagonal(rest, axis1=-2, axis2=-1)
    gone = (left <= (1024 * n_given * epsilon) * before) | still
    return corr_from_cov(jnp.where((gone[..., :, None] | gone[..., None, :]), 0.0, rest), constant=constant)


def _precision(time_series, weight, mask, shrinkage, ridge, ddof, allow_singular, check) -> tuple[Array, Array]:
    """Return the inverse covariance, and which regions vary."""
    series, weights = checked_series(time_series, weight, mask, check=check)
    plain = shrinkage is None and isinstance(ridge, int | float) and ridge == 0
    if plain and not allow_singular:
        n_regions, n_frames = series.shape[-2:]
        if n_frames <= n_regions:
            raise ValueError(
                f"the covariance of {n_regions} regions over {n_frames} frames has no inverse: {_REMEDIES}"
            )
        worth = pooled_degrees_of_freedom(jax.lax.stop_gradient(series), weight=jax.lax.stop_gradient(weights))
        series = eqx.error_if(
            series,
            (worth < n_regions).any(),
            f"the frames are worth fewer independent ones than the {n_regions} regions, so that their covariance "
            f"has no inverse that means anything: {_REMEDIES}",
        )
    # Weights of 1 are left out, which spares passes over the series.
    given = None if weight is None and mask is None else weights
    lead = jnp.broadcast_shapes(series.shape[:-2], weights.shape[:-1])
    series = jnp.broadcast_to(series, (*lead, *series.shape[-2:]))
    still = each_scan(lambda x, w: variances(weigh(x, None if given is None else w))[1], series, weights)
    matrix = _regularised(series, given, shrinkage, ridge, ddof)
    # A constant region stands aside: its row of the covariance is that of the identity.
    scale = reciprocal_root(jnp.diagonal(matrix, axis1=-2, axis2=-1), ~still)
    outer = scale[..., :, None] * scale[..., None, :]
    identity = jnp.eye(matrix.shape[-1], dtype=matrix.dtype)
    inverse = symmetric_inverse(jnp.where(identity > 0, 1.0, matrix * outer)) * outer
    return inverse, ~still


def _regularised(series: Array, weights: Array | None, shrinkage: Shrinkage, ridge: float | Array, ddof: int) -> Array:
    if shrinkage is None:
        return cov(series, weight=weights, ddof=ddof, ridge=ridge)
    if isinstance(shrinkage, str):
        estimators = {"ledoit_wolf": ledoit_wolf, "oas": oas}
        if shrinkage not in estimators:
            raise ValueError(f'shrinkage must be "ledoit_wolf", "oas" or a number, and is {shrinkage!r}')
        matrix = estimators[shrinkage](series, weight=weights).covariance
    else:
        matrix = shrunk_cov(cov(series, weight=weights, ddof=ddof), shrinkage=shrinkage)
    return with_ridge(matrix, ridge)


def _conditional(time_series, given, weight, mask, ridge, ddof, check) -> tuple[Array, Array, Array, int]:
    """Return the conditional covariance, the variances before it, who is constant, and the number conditioned on."""
    series, weights = checked_series(time_series, weight, mask, check=check)
    others, other_weights = checked_series(given, weight, mask, check=check, name="given")
    n_given, n_frames = others.shape[-2:]
    if n_frames != series.shape[-1]:
        raise ValueError(f"time_series and given must have the same frames, and have {series.shape[-1]} and {n_frames}")
    if n_frames <= n_given:
        raise ValueError(f"conditioning on {n_given} signals needs more frames than that, and there are {n_frames}")
    try:
        lead = jnp.broadcast_shapes(series.shape[:-2], others.shape[:-2])
    except ValueError:
        raise ValueError(
            f"the leading axes of time_series {series.shape[:-2]} must broadcast with those of given "
            f"{others.shape[:-2]}"
        ) from None
    n_regions = series.shape[-2]
    joint = jnp.concatenate(
        [
            jnp.broadcast_to(series, (*lead, n_regions, n_frames)),
            jnp.broadcast_to(others, (*lead, n_given, n_frames)),
        ],
        -2,
    )
    matrix = cov(joint, weight=weights, ddof=ddof)
    _, still = variances(weigh(others, other_weights))
    whole = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    own = whole[..., n_regions:]
    varies = jnp.broadcast_to(~still, own.shape) & (own > 0)
    scale = reciprocal_root(own, varies)
    across = matrix[..., :n_regions, n_regions:] * scale[..., None, :]
    among = matrix[..., n_regions:, n_regions:] * scale[..., :, None] * scale[..., None, :]
    identity = jnp.eye(n_given, dtype=matrix.dtype)
    among = jnp.where(identity > 0, 1.0, among)
    if isinstance(ridge, int | float) and ridge == 0:
        # Twice-iterated Tikhonov regularisation: collinear signals do no harm, and the bias is of the order of eps.
        least = float(jnp.finfo(matrix.dtype).eps) ** 0.5
        once = symmetric_inverse(among + least * identity)
        inverse = once + least * (once @ once)
    else:
        inverse = symmetric_inverse(among + jnp.asarray(ridge, matrix.dtype)[..., None, None] * identity)
    explained = across @ inverse @ jnp.swapaxes(across, -1, -2)
    rest = matrix[..., :n_regions, :n_regions] - (explained + jnp.swapaxes(explained, -1, -2)) / 2
    _, constant = variances(weigh(series, weights))
    return rest, whole[..., :n_regions], constant, n_given
