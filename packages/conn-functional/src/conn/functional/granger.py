r"""Granger causality of all ordered pairs of regions, in closed form.

A source Granger-causes a target when its past improves the prediction of the target beyond what other pasts predict:
:math:`G_{ts} = \ln (\mathrm{RSS}_{\text{without } s} / \mathrm{RSS}_{\text{with } s})`. Pairwise, the others are the
target's own past; conditionally, that of all regions. No reduced model is fitted: with :math:`A` the (penalised)
moments of the past, :math:`\beta = A^{-1} c` and :math:`S` the columns of one source, leaving these out raises the
objective by :math:`\beta_S' ((A^{-1})_{SS})^{-1} \beta_S`, so that one inverse serves all sources and targets.
"""

import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from conn.functional._inverse import symmetric_inverse
from conn.functional.autoregression import (
    LaggedMoments,
    enough_frames,
    lagged_frames,
    lagged_moments,
    penalised,
    penalty,
)
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["GrangerTest", "granger_causality", "granger_test"]

_QUIET_SHARE = 1e-3


class GrangerTest(NamedTuple):
    """Granger causality with what it says of chance; every matrix is [target, source]."""

    causality: Float[Array, "... target source"]
    """Logarithm of the ratio of residual sums of squares, in nats; 0 on the diagonal."""
    f_statistic: Float[Array, "... target source"]
    """What the source's past takes off the residuals, a lag, relative to what is left a degree of freedom."""
    f_p_value: Float[Array, "... target source"]
    """Probability of an F statistic as large or larger where the source causes nothing; 1 on the diagonal."""
    likelihood_ratio: Float[Array, "... target source"]
    """Twice the difference of the log-likelihoods with and without the source."""
    likelihood_ratio_p_value: Float[Array, "... target source"]
    """By the chi-squared distribution, which holds for long series; 1 on the diagonal."""
    degrees_of_freedom: tuple[int, Float[Array, "..."]]
    """Of the numerator and of the denominator of the F statistic; the first are those of the likelihood ratio."""


def granger_causality(
    time_series: Float[Tensor, "... region frame"],
    order: int,
    *,
    conditional: bool = True,
    ridge: float = 0.0,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... target source"]:
    """Return the Granger causality of all ordered pairs of regions.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. Band-passed series predict themselves almost perfectly, whatever causes them: a warning
        says so where the values are known.
    order : int
        Number of lags, in frames.
    conditional : bool, default True
        Given the past of all other regions, rather than that of the target alone.
    ridge : float, default 0
        Penalty of the coefficients, as a fraction of the mean sum of squares of the past. The residuals compared are
        those of the penalised fits; they need not get smaller with a further source, so that values below 0 occur.
    mask, run, check
        As in `fit_autoregression`.

    Returns
    -------
    array, shape (..., target, source)
        In nats; what the source adds. 0 on the diagonal, and for a target that is predicted without error either way.

    Raises
    ------
    ValueError
        As `fit_autoregression`; without a ridge, if there are not more frames than coefficients.

    Warns
    -----
    UserWarning
        If the upper half of the spectrum is (almost) empty.

    See Also
    --------
    granger_test : the same with F and likelihood-ratio tests.

    References
    ----------
    .. [1] Granger (1969). doi:10.2307/1912791
    .. [2] Geweke (1984). doi:10.1080/01621459.1984.10477110
    .. [3] Barnett and Seth (2011), on filtering. doi:10.1016/j.jneumeth.2011.08.010

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> drive, noise = jax.random.normal(jax.random.key(0), (2, 400))
    >>> driven = jnp.roll(drive, 1) + noise
    >>> causality = granger_causality(jnp.stack([drive, driven]), 1)
    >>> bool(causality[1, 0] > 0.5), bool(causality[0, 1] < 0.05)
    (True, True)
    """
    _, without, full = _residuals(time_series, order, conditional, ridge, mask, run, check)
    return _log_ratio(without, full)


def granger_test(
    time_series: Float[Tensor, "... region frame"],
    order: int,
    *,
    conditional: bool = True,
    n_confounds: int = 0,
    ridge: float = 0.0,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> GrangerTest:
    """Return the Granger causality of all ordered pairs with F and likelihood-ratio tests of it.

    Parameters
    ----------
    time_series, order, conditional, mask, run, check
        As in `granger_causality`.
    n_confounds : int, default 0
        Regressors that were taken out of the series before; each costs a degree of freedom.
    ridge : float, default 0
        Must be 0: with a penalty neither statistic has its distribution. `granger_causality` takes one; compare its
        values with those of series whose frames were shifted or permuted by blocks.

    Returns
    -------
    GrangerTest
        On the diagonal the statistics are 0 and the p-values 1. P-values are those of single pairs: correct them for
        as many pairs as you look at.

    Raises
    ------
    ValueError
        As `granger_causality`; if there is a ridge, or `n_confounds` is negative.

    See Also
    --------
    statsmodels.tsa.stattools.grangercausalitytests

    References
    ----------
    .. [1] Luetkepohl (2005). doi:10.1007/978-3-540-27752-1

    Examples
    --------
    >>> import jax
    >>> tested = granger_test(jax.random.normal(jax.random.key(0), (2, 400)), 1)
    >>> bool(tested.f_p_value[0, 1] > 0.01)
    True
    """
    if ridge != 0:
        raise ValueError(
            "p-values hold for least squares without a ridge only: take granger_causality(..., ridge=) and compare it "
            "with its values for series that were shifted or permuted by blocks"
        )
    if n_confounds < 0:
        raise ValueError(f"n_confounds must not be negative, and is {n_confounds}")
    moments, without, full = _residuals(time_series, order, conditional, 0.0, mask, run, check)
    n_regions = moments.cross.shape[-1]
    n_coefficients = order * (n_regions if conditional else 2)
    left = (moments.count - n_coefficients - 1 - n_confounds)[..., None, None]
    left = jnp.where(left > 0, left, jnp.nan)
    causality = _log_ratio(without, full)
    statistic = jnp.expm1(causality) * left / order
    likelihood = causality * moments.count[..., None, None]
    # Where nothing is added (the diagonal always) the p-value is 1, and its derivative, infinite there, is left out.
    adds = causality > 0
    share = left / (left + order * jnp.where(adds, statistic, 1.0))
    of_f = jax.scipy.special.betainc(left / 2, order / 2, share)
    of_likelihood = jax.scipy.special.gammaincc(order / 2, jnp.where(adds, likelihood, 1.0) / 2)
    known = ~jnp.isnan(causality)
    return GrangerTest(
        causality=causality,
        f_statistic=statistic,
        f_p_value=jnp.where(adds, of_f, jnp.where(known, 1.0, jnp.nan)),
        likelihood_ratio=likelihood,
        likelihood_ratio_p_value=jnp.where(adds, of_likelihood, jnp.where(known, 1.0, jnp.nan)),
        degrees_of_freedom=(order, left[..., 0, 0]),
    )


def _residuals(
    time_series: Tensor,
    order: int,
    conditional: bool,
    ridge: float,
    mask: Tensor | None,
    run: Tensor | None,
    check: bool,
) -> tuple[LaggedMoments, Array, Array]:
    """Return the moments, and the residual sums of squares without and with each source, [target, source]."""
    _warn_of_a_narrow_band(time_series)
    frames = lagged_frames(time_series, order, mask=mask, run=run, check=check)
    n_regions, n_frames = frames.present.shape[-2:]
    enough_frames(n_frames, order * (n_regions if conditional else 2), ridge)
    moments = lagged_moments(frames)
    without, full = (_given_all if conditional else _given_own)(moments, order, ridge)
    diagonal = jnp.eye(n_regions, dtype=bool)
    return moments, jnp.where(diagonal, full, without), full


def _given_all(moments: LaggedMoments, order: int, ridge: float) -> tuple[Array, Array]:
    n_regions = moments.cross.shape[-1]
    lead = moments.cross.shape[:-2]
    inverse = symmetric_inverse(penalised(moments.past, ridge))
    found = inverse @ moments.cross  # (feature, target)
    objective = moments.present - (moments.cross * found).sum(-2)

    def of_sources(features: Array) -> Float[Array, "... source target lag"]:
        blocks = features.reshape(*lead, order, n_regions, n_regions)
        return jnp.moveaxis(blocks, -3, -1)

    own = of_sources(found)
    drop = solve_each(_source_blocks(inverse, order)[..., None, :, :], own)
    raised = (own * drop).sum(-1)
    if ridge == 0:
        full = objective[..., :, None]
        return full + jnp.swapaxes(raised, -1, -2), jnp.broadcast_to(full, (*lead, n_regions, n_regions))
    # The penalty's share is taken out of both objectives, for which the norms of both solutions are needed.
    strength = penalty(moments.past, ridge)[..., None, None]
    size = jnp.square(found).sum(-2)[..., None, :]
    carried = jnp.einsum("...stl,...slk,...stk->...st", drop, _source_blocks(inverse @ inverse, order), drop)
    reduced = size - 2 * (of_sources(inverse @ found) * drop).sum(-1) + carried
    without = objective[..., None, :] + raised - strength * reduced
    full = objective[..., None, :] - strength * size
    return jnp.swapaxes(without, -1, -2), jnp.swapaxes(jnp.broadcast_to(full, without.shape), -1, -2)


def _given_own(moments: LaggedMoments, order: int, ridge: float) -> tuple[Array, Array]:
    n_regions = moments.cross.shape[-1]
    lead = moments.cross.shape[:-2]
    past = moments.past.reshape(*lead, order, n_regions, order, n_regions)
    # (first, second, lag of the first, lag of the second)
    past = jnp.moveaxis(jnp.swapaxes(past, -4, -3), -1, -3)
    cross = jnp.moveaxis(moments.cross.reshape(*lead, order, n_regions, n_regions), -3, -1)  # (source, target, lag)
    strength = penalty(moments.past, ridge)[..., None, None, None]
    place = jnp.arange(n_regions)
    own = past[..., place, place, :, :] + strength * jnp.eye(order, dtype=past.dtype)
    own_cross = cross[..., place, place, :]
    # Of the target's past: solutions for its present, and for every source's past.
    alone = solve_each(own, own_cross)  # (target, lag)
    carried = solve_each(own[..., None, :, None, :, :], past)  # (source, target, lag of the source, of the target)
    rest = own[..., :, None, :, :] - jnp.einsum("...stkl,...stml->...stkm", past, carried)
    wanted = cross - jnp.einsum("...stkl,...tl->...stk", past, alone)
    diagonal = jnp.eye(n_regions, dtype=bool)
    rest = jnp.where(diagonal[..., None, None], jnp.eye(order, dtype=rest.dtype), rest)
    added = solve_each(rest, wanted)
    gained = (wanted * added).sum(-1)
    objective = moments.present - (own_cross * alone).sum(-1)
    without, full = objective[..., None, :], objective[..., None, :] - gained
    if ridge != 0:
        both = alone[..., None, :, :] - jnp.einsum("...stk,...stkl->...stl", added, carried)
        without = without - strength[..., 0] * jnp.square(alone).sum(-1)[..., None, :]
        full = full - strength[..., 0] * (jnp.square(both).sum(-1) + jnp.square(added).sum(-1))
    without = jnp.broadcast_to(without, full.shape)
    return jnp.swapaxes(without, -1, -2), jnp.swapaxes(full, -1, -2)


def _source_blocks(matrix: Array, order: int) -> Float[Array, "... source lag lag"]:
    """Return the blocks of each source with itself."""
    n_regions = matrix.shape[-1] // order
    blocks = matrix.reshape(*matrix.shape[:-2], order, n_regions, order, n_regions)
    return jnp.moveaxis(jnp.diagonal(blocks, axis1=-3, axis2=-1), -1, -3)


def solve_each(matrix: Float[Array, "... lag lag"], wanted: Float[Array, "... lag"]) -> Float[Array, "... lag"]:
    """Return the solutions of many small positive definite systems, eliminated side by side.

    A pivot that rounding has eaten up (a region that never changes, or repeats another) adds nothing.
    """
    size = matrix.shape[-1]
    scale = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    floor = 8 * jnp.finfo(matrix.dtype).eps * jnp.abs(scale)
    for step in range(size):
        pivot = matrix[..., step, step]
        usable = pivot > floor[..., step]
        factor = jnp.where(usable, 1 / jnp.where(usable, pivot, 1.0), 0.0)
        row, value = matrix[..., step, :] * factor[..., None], wanted[..., step] * factor
        column = matrix[..., :, step]
        others = (jnp.arange(size) != step).astype(matrix.dtype)
        matrix = (matrix - (column * others)[..., :, None] * row[..., None, :]).at[..., step, :].set(row)
        wanted = (wanted - (column * others) * value[..., None]).at[..., step].set(value)
    return wanted


def _log_ratio(without: Array, full: Array) -> Array:
    usable = (full > 0) & (without > 0)
    ratio = jnp.where(usable, without, 1.0) / jnp.where(usable, full, 1.0)
    found = jnp.where(usable, jnp.log(ratio), 0.0)
    return jnp.where(jnp.isnan(without) | jnp.isnan(full), jnp.nan, found)


def _warn_of_a_narrow_band(time_series: Tensor) -> None:
    """Warn of series whose spectrum is empty in its upper half, where the values are known."""
    series = _to_jax_array(time_series)
    if isinstance(series, Tracer) or series.ndim < 2 or series.shape[-1] < 16:
        return
    values = np.nan_to_num(np.asarray(series, float))
    values = (values - values.mean(-1, keepdims=True)) * np.hanning(values.shape[-1])
    power = np.square(np.abs(np.fft.rfft(values))).reshape(-1, values.shape[-1] // 2 + 1).sum(0)
    if power[len(power) // 2 :].sum() < _QUIET_SHARE * power.sum():
        warnings.warn(
            "the upper half of the spectrum is empty, as after a band-pass filter: filtered series predict themselves, "
            "and their Granger causality says little (doi:10.1016/j.jneumeth.2011.08.010); take unfiltered ones",
            UserWarning,
            stacklevel=4,
        )
