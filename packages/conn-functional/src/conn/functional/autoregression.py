r"""Vector autoregression: each region's next frame as a linear function of all regions' last ones.

:math:`x_t = c + \sum_{l=1}^{p} B_l x_{t-l} + e_t`, with :math:`B_l` of shape [target, source]. All that is needed of
the series are the second moments of the frames and of what came before them, gathered once.
"""

from typing import Literal, NamedTuple, TypeAlias, get_args

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from conn.functional._inputs import real_series
from conn.functional._inverse import symmetric_inverse
from conn.functional._segments import frame_blocks
from conn.functional._series import refuse_bad_values
from conn.functional.engine import Tensor
from conn.functional.information import log_determinant

__all__ = ["OrderChoice", "VectorAutoregression", "choose_order", "fit_autoregression"]

Criterion: TypeAlias = Literal["aic", "bic"]


class VectorAutoregression(NamedTuple):
    """A fitted vector autoregression."""

    coefficients: Float[Array, "... lag target source"]
    """By lag, from 1 on: what a source's frame adds to the target's."""
    intercept: Float[Array, "... target"]
    """In the unit of the series."""
    residual_covariance: Float[Array, "... target source"]
    """Of what is left, divided by the frames that were predicted less the coefficients of a target."""
    n_frames: Float[Array, "..."]
    """Frames that were predicted: those whose predecessors all count and lie in the same run."""


class OrderChoice(NamedTuple):
    """An order of autoregression, and what it was chosen by."""

    order: Int[Array, "..."]
    """The order of the smallest criterion."""
    criterion: Float[Array, "... order"]
    """The criterion of the orders from 1 on, in nats a frame."""


class LaggedFrames(NamedTuple):
    """What came before (lag by lag, region by region) and what followed: about their means, 0 where it is left out."""

    past: Float[Array, "... feature frame"]
    present: Float[Array, "... target frame"]
    past_mean: Float[Array, "... feature"]
    present_mean: Float[Array, "... target"]
    count: Float[Array, "..."]
    """Frames that are predicted."""


class LaggedMoments(NamedTuple):
    """Sums of products of lagged frames."""

    past: Float[Array, "... feature feature"]
    cross: Float[Array, "... feature target"]
    present: Float[Array, "... target"]
    """Of each target with itself."""
    count: Float[Array, "..."]


def fit_autoregression(
    time_series: Float[Tensor, "... region frame"],
    order: int,
    *,
    ridge: float = 0.0,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> VectorAutoregression:
    """Return the vector autoregression of the series, by least squares with one factorisation for all targets.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. An intercept is always fitted.
    order : int
        Number of lags, in frames.
    ridge : float, default 0
        Penalty of the coefficients, as a fraction of the mean sum of squares of what came before. With 0, there must
        be more frames than coefficients of a target.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A frame is predicted where it and its `order` predecessors count: masked frames are
        not closed up, which would make neighbours of frames that are none.
    run : array of int, shape (..., frame), optional
        A label a frame; no frame is predicted from another run.
    check : bool, default False
        Refuse NaN and infinity where a frame counts, also under ``jit``.

    Returns
    -------
    VectorAutoregression
        NaN in a frame that counts makes everything NaN.

    Raises
    ------
    ValueError
        If shapes do not fit, `order` is not a positive whole number, or without a ridge there are not more frames than
        coefficients.

    See Also
    --------
    statsmodels.tsa.api.VAR

    References
    ----------
    .. [1] Luetkepohl (2005). doi:10.1007/978-3-540-27752-1

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> doubling = 2.0 ** jnp.arange(8.0)[None]
    >>> fitted = fit_autoregression(doubling, 1)
    >>> round(float(fitted.coefficients[0, 0, 0]), 3), abs(round(float(fitted.intercept[0]), 3))
    (2.0, 0.0)
    """
    frames = lagged_frames(time_series, order, mask=mask, run=run, check=check)
    n_targets, n_frames = frames.present.shape[-2:]
    enough_frames(n_frames, order * n_targets, ridge)
    moments = lagged_moments(frames)
    found = symmetric_inverse(penalised(moments.past, ridge)) @ moments.cross
    # From the residuals themselves, so that their covariance is symmetric and never below 0.
    left = frames.present - jnp.swapaxes(found, -1, -2) @ frames.past
    freedom = jnp.maximum(frames.count - order * n_targets - 1, 1.0)
    coefficients = found.reshape(*found.shape[:-2], order, n_targets, n_targets)
    return VectorAutoregression(
        coefficients=jnp.swapaxes(coefficients, -1, -2),
        intercept=frames.present_mean - (frames.past_mean[..., None, :] @ found)[..., 0, :],
        residual_covariance=left @ jnp.swapaxes(left, -1, -2) / freedom[..., None, None],
        n_frames=frames.count,
    )


def choose_order(
    time_series: Float[Tensor, "... region frame"],
    max_order: int,
    *,
    criterion: Criterion = "bic",
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> OrderChoice:
    r"""Return the order of vector autoregression of the smallest information criterion.

    With :math:`n` regions, :math:`T` predicted frames and the residual covariance :math:`\hat\Sigma_p` (divided by
    :math:`T`), it is :math:`\ln \det \hat\Sigma_p + a\, (p n^2 + n) / T`, where :math:`a` is 2 (AIC) or
    :math:`\ln T` (BIC).

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit.
    max_order : int
        Orders from 1 to this one are compared, all of them on the frames that the largest one can predict.
    criterion : {"bic", "aic"}, default "bic"
        Schwarz's finds the true order of long series; Akaike's, with more lags, predicts short ones better.
    mask, run, check
        As in `fit_autoregression`.

    Returns
    -------
    OrderChoice
        A region that never changes adds nothing to the criterion but its coefficients; regions that repeat each other
        make it NaN or minus infinity. Under ``jit`` the order is a tracer, and cannot become the order of a fit: choose
        it before.

    Raises
    ------
    ValueError
        As `fit_autoregression` for the largest order; if the criterion is unknown.

    See Also
    --------
    statsmodels.tsa.api.VAR.select_order

    References
    ----------
    .. [1] Luetkepohl (2005). doi:10.1007/978-3-540-27752-1

    Examples
    --------
    >>> import jax
    >>> int(choose_order(jax.random.normal(jax.random.key(0), (2, 500)), 4).order)
    1
    """
    if criterion not in get_args(Criterion):
        raise ValueError(f"criterion must be one of {', '.join(get_args(Criterion))}, and is {criterion!r}")
    frames = lagged_frames(time_series, max_order, mask=mask, run=run, check=check)
    n_regions, n_frames = frames.present.shape[-2:]
    enough_frames(n_frames, max_order * n_regions, 0.0)
    moments = lagged_moments(frames)
    total = jnp.maximum(frames.count, 1.0)
    own = frames.present @ jnp.swapaxes(frames.present, -1, -2)
    still = jnp.diagonal(own, axis1=-2, axis2=-1) == 0
    own = own + (still * total[..., None])[..., None] * jnp.eye(n_regions, dtype=own.dtype)
    price = 2.0 if criterion == "aic" else jnp.log(total)
    found = []
    for order in range(1, max_order + 1):
        kept = order * n_regions  # lag by lag, so that fewer lags come first
        reached = moments.cross[..., :kept, :]
        inverse = symmetric_inverse(penalised(moments.past[..., :kept, :kept], 0.0))
        left = own - jnp.swapaxes(reached, -1, -2) @ inverse @ reached
        found.append(log_determinant(left / total[..., None, None]) + price * (kept + 1) * n_regions / total)
    values = jnp.stack(found, axis=-1)
    return OrderChoice(order=jnp.argmin(values, axis=-1) + 1, criterion=values)


def lagged_moments(frames: LaggedFrames) -> LaggedMoments:
    """Return the moments of which all autoregressions of this order follow."""
    transposed = jnp.swapaxes(frames.past, -1, -2)
    return LaggedMoments(
        past=frames.past @ transposed,
        cross=jnp.swapaxes(frames.present @ transposed, -1, -2),
        present=jnp.square(frames.present).sum(-1),
        count=frames.count,
    )


def lagged_frames(
    time_series: Tensor, order: int, *, mask: Tensor | None, run: Tensor | None, check: bool
) -> LaggedFrames:
    """Return every frame that has its predecessors, and these."""
    series = real_series(time_series)
    n_regions, n_frames = series.shape[-2:]
    if order < 1 or int(order) != order:
        raise ValueError(f"order must be a whole number of lags from 1 on, and is {order}")
    if n_frames <= order + 1:
        raise ValueError(f"{order} lags need more than {order + 1} frames, and there are {n_frames}")
    valid, block = frame_blocks(mask, run, series)
    usable = (valid & (jnp.arange(n_frames) - block >= order))[..., order:].astype(series.dtype)
    # Whatever stands in a masked frame must not reach a sum: 0 x NaN is NaN.
    quiet = jnp.where(valid[..., None, :], series, 0.0)
    if check:
        quiet = refuse_bad_values("time_series", quiet)
    past = jnp.stack([quiet[..., order - lag : n_frames - lag] for lag in range(1, order + 1)], axis=-3)
    past, past_mean = _about_mean(past.reshape(*past.shape[:-3], order * n_regions, n_frames - order), usable)
    present, present_mean = _about_mean(quiet[..., order:], usable)
    return LaggedFrames(past, present, past_mean, present_mean, usable.sum(-1))


def enough_frames(n_frames: int, n_coefficients: int, ridge: float) -> None:
    """Refuse a ridge below 0, and a least-squares fit of as many coefficients as frames."""
    if ridge < 0:
        raise ValueError(f"ridge must not be negative, and is {ridge}")
    if ridge == 0 and n_frames <= n_coefficients + 1:
        raise ValueError(
            f"{n_coefficients} coefficients a target need more than {n_coefficients + 1} predicted frames, and there "
            f"are at most {n_frames}: take fewer lags or regions, pairs instead of all regions, or a ridge"
        )


def penalised(past: Array, ridge: float) -> Array:
    """Return the moments with the penalty on their diagonal, and with 1 there for what never changes."""
    still = jnp.diagonal(past, axis1=-2, axis2=-1) == 0
    return past + (still + penalty(past, ridge)[..., None])[..., None] * jnp.eye(past.shape[-1], dtype=past.dtype)


def penalty(past: Array, ridge: float) -> Float[Array, "..."]:
    """Return what a ridge adds to the diagonal, in the square of the series' unit."""
    return ridge * jnp.trace(past, axis1=-2, axis2=-1) / past.shape[-1]


def _about_mean(frames: Array, usable: Array) -> tuple[Float[Array, "... feature frame"], Float[Array, "... feature"]]:
    """Return the frames about their mean, 0 where they are left out or only rounding is left of them, and the mean."""
    kept = frames * usable[..., None, :]
    mean = kept.sum(-1) / jnp.maximum(usable.sum(-1), 1.0)[..., None]
    rest = (kept - mean[..., None]) * usable[..., None, :]
    bound = (8 * jnp.finfo(frames.dtype).eps) ** 2
    still = jnp.square(rest).sum(-1) <= bound * jnp.square(kept).sum(-1)
    return jnp.where(still[..., None], 0.0, rest), mean
