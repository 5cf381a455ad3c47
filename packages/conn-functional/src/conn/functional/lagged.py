r"""Covariance between regions at lags, where only truly neighbouring frames of one run make a pair.

.. math:: c_{ij}(k) = \frac{1}{n_k} \sum_{t \in V_k} (x_{i,t+k} - m_i)(x_{j,t} - m_j),

with :math:`V_k` the frames for which both :math:`t` and :math:`t + k` count and lie in one run. Deleting masked frames
first would be wrong: it makes neighbours of frames that were none.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from conn.functional._inputs import several_frames
from conn.functional._moments import checked_series, reciprocal_root, variances, weigh
from conn.functional.covariance import ConstantPolicy, constant_as, known_policy
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["lagged_corr", "lagged_cov"]


def lagged_cov(
    time_series: Float[Tensor, "... region frame"],
    lags: Sequence[int],
    *,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... lag region region"]:
    """Return the covariance of every region with every other one some frames earlier.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region makes its rows and columns NaN: mark such frames in `mask`.
    lags : sequence of int
        In frames, shorter than the series. At a positive lag the column leads: entry ``[target, source]`` relates
        the target to the source that many frames earlier.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A pair counts where both of its frames do.
    run : array of int, shape (frame,), optional
        The run of each frame. Frames of different runs are never a pair; the mean is that of all runs.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    array, shape (..., lag, target, source)
        Divided by the number of pairs; 0 at a lag without any. At lag 0 the covariance with ``ddof=0``.

    Raises
    ------
    ValueError
        If there is no lag, a lag is as long as the series, there is one frame, or the shapes do not fit each other.

    See Also
    --------
    statsmodels.tsa.stattools.ccovf

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> source = jnp.array([0.0, 0.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0])
    >>> follower = jnp.roll(source, 1)
    >>> matrix = lagged_cov(jnp.stack([follower, source]), [1])
    >>> bool(matrix[0, 0, 1] > matrix[0, 1, 0])
    True
    """
    series, weights = checked_series(time_series, None, mask, check=check)
    several_frames(series, "a covariance")
    steps = _checked_lags(lags, series.shape[-1])
    return _at_lags(_centred(series, weights), weights, run_labels(run, series.shape[-1]), steps)


def lagged_corr(
    time_series: Float[Tensor, "... region frame"],
    lags: Sequence[int],
    *,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "frame"] | None = None,
    constant: ConstantPolicy = "zero",
    check: bool = False,
) -> Float[Array, "... lag region region"]:
    """Return the correlation of every region with every other one some frames earlier.

    The covariance at the lag over the standard deviations of all frames that count. Estimated from fewer pairs than
    the deviations are, it may exceed 1 by a little at long lags.

    Parameters
    ----------
    time_series, lags, mask, run, check
        As in `lagged_cov`.
    constant : {"zero", "nan"}, default "zero"
        What the rows and the columns of a constant region hold (see `corr`), diagonal included.

    Returns
    -------
    array, shape (..., lag, target, source)
        Without unit.

    Raises
    ------
    ValueError
        If there is no lag, a lag is as long as the series, there is one frame, the shapes do not fit each other, or
        `constant` is unknown.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> alternating = jnp.array([[1.0, -1.0, 1.0, -1.0, 1.0, -1.0]])
    >>> jnp.round(lagged_corr(alternating, [0, 1, 2]), 6).ravel().tolist()
    [1.0, -1.0, 1.0]
    """
    series, weights = checked_series(time_series, None, mask, check=check)
    known_policy(constant)
    several_frames(series, "a correlation")
    steps = _checked_lags(lags, series.shape[-1])
    scores = standardised(series, weights)
    matrices = _at_lags(scores, weights, run_labels(run, series.shape[-1]), steps)
    return constant_as(constant, matrices, (scores != 0).any(-1)[..., None, :])


def standardised(series: Array, weights: Array) -> Float[Array, "... region frame"]:
    """Return the z-scored series (``ddof=0``), 0 in frames that do not count and for constant regions."""
    variance, still = variances(weigh(series, weights))
    return _centred(series, weights) * reciprocal_root(variance, ~still)[..., None]


def pair_products(
    array: Float[Array, "... region frame"], other: Float[Array, "... region frame"], lag: Int[Array, ""], run: Array
) -> tuple[Array, Array]:
    """Return, for one lag that may be traced, `array` at t + lag and `other` at t, emptied where they are no pair."""
    n_frames = array.shape[-1]
    place = jnp.arange(n_frames) + lag
    inside = (place >= 0) & (place < n_frames) & (jnp.roll(run, -lag) == run)
    return jnp.where(inside, jnp.roll(array, -lag, -1), 0.0), jnp.where(inside, other, 0.0)


def pair_count(valid: Float[Array, "... frame"], lag: Int[Array, ""], run: Array) -> Float[Array, "..."]:
    """Return the number (the summed products of weights) of pairs at a lag."""
    ahead, here = pair_products(valid[..., None, :], valid[..., None, :], lag, run)
    return (ahead * here).sum((-2, -1))


def run_labels(run: Tensor | None, n_frames: int) -> Int[Array, "frame"]:
    """Return the run of each frame, one run by default."""
    if run is None:
        return jnp.zeros(n_frames, jnp.int32)
    labels = _to_jax_array(run)
    if labels.shape != (n_frames,):
        raise ValueError(f"run must have shape ({n_frames},), one label a frame, and has shape {labels.shape}")
    return labels


def _centred(series: Array, weights: Array) -> Array:
    return jnp.where((weights > 0)[..., None, :], weigh(series, weights).centred, 0.0)


def _at_lags(series: Array, weights: Array, run: Array, steps: tuple[int, ...]) -> Array:
    def at(lag: Array) -> Array:
        ahead, here = pair_products(series, series, lag, run)
        count = pair_count(weights, lag, run)
        return jnp.einsum("...rt,...st->...rs", ahead, here) / jnp.maximum(count, 1.0)[..., None, None]

    return jnp.moveaxis(jax.lax.map(at, jnp.asarray(steps)), 0, -3)


def _checked_lags(lags: Sequence[int], n_frames: int) -> tuple[int, ...]:
    steps = tuple(int(lag) for lag in lags)
    if not steps:
        raise ValueError("lags must name at least one lag, and is empty")
    too_long = [lag for lag in steps if abs(lag) >= n_frames]
    if too_long:
        raise ValueError(f"lags must be shorter than the {n_frames} frames, and hold {too_long}")
    return steps
