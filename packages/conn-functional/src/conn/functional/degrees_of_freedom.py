r"""What a correlation of autocorrelated series is worth: effective degrees of freedom and standard errors.

With :math:`\rho_{ij}(k)` the correlation of regions :math:`i` and :math:`j` at lag :math:`k`, and :math:`c_k` the
share of frames that have a partner at that lag (:math:`1 - k/t` without a mask),

.. math:: n_{ij} = \frac{t}{1 + 2 \sum_{k \ge 1} c_k\, \rho_{ii}(k)\, \rho_{jj}(k)}

holds where the two are unrelated (Bartlett), and the xDF estimator where they are related:

.. math:: V(r) = \frac1t \Big[ (1 - r^2)^2 + \sum_{k \ge 1} c_k \big\{ r^2 (\rho_{ii}^2 + \rho_{jj}^2
          + \rho_{ij}^2 + \rho_{ji}^2) - 2 r (\rho_{ii} + \rho_{jj})(\rho_{ij} + \rho_{ji})
          + 2 (\rho_{ii} \rho_{jj} + \rho_{ij} \rho_{ji}) \big\} \Big] .

Lags are tapered by Tukey's window up to :math:`2 \sqrt t` frames, without which the noise of long lags adds up.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from conn.functional._moments import checked_series
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.lagged import pair_count, pair_products, run_labels, standardised

__all__ = [
    "effective_degrees_of_freedom",
    "fisher_z",
    "fisher_z_standard_error",
    "pooled_degrees_of_freedom",
]

Method = Literal["bartlett", "xdf"]


def fisher_z(correlation: Float[Tensor, "..."]) -> Float[Array, "..."]:
    """Return Fisher's transform of correlations, artanh, which is finite for every input between -1 and 1.

    Parameters
    ----------
    correlation : array, shape (...)
        Between -1 and 1. NaN stays NaN.

    Returns
    -------
    array, shape (...)
        Where the correlation is within 2 eps of -1 or 1 (as on a diagonal), the value at that distance, with
        derivative 0: about 8.3 in float32 and 18.4 in float64.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(jnp.round(fisher_z(jnp.array([-0.5, 0.0, 0.5])), 4))
    [-0.5493  0.      0.5493]
    """
    values = _to_jax_array(correlation)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        values = values.astype(jnp.result_type(float))
    limit = 1 - 2 * float(jnp.finfo(values.dtype).eps)
    # A clip's derivative at its edge is not 0: cut by a condition.
    inside = ~(jnp.abs(values) > limit)
    return jnp.arctanh(jnp.where(inside, values, jax.lax.stop_gradient(jnp.sign(values)) * limit))


def effective_degrees_of_freedom(
    time_series: Float[Tensor, "... region frame"],
    *,
    method: Method = "bartlett",
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "frame"] | None = None,
    max_lag: int | None = None,
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return how many independent frames the correlation of each pair of regions is worth.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region makes its row and column NaN: mark such frames in `mask`.
    method : {"bartlett", "xdf"}, default "bartlett"
        From the autocorrelations alone, or also from the cross-correlations, as
        :math:`(1 - r^2)^2 / V(r)`. Bartlett's is right where the true correlation is 0, and too small where the
        regions share an autocorrelated signal. xDF costs a matrix product a lag.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A pair at a lag counts where both frames do, at their true distance.
    run : array of int, shape (frame,), optional
        The run of each frame. Frames of different runs are never a pair.
    max_lag : int, optional
        Where the taper reaches 0, in frames; :math:`2 \sqrt t` by default.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    array, shape (..., region, region)
        At most the number of frames with "xdf", where a variance below that of white series is not believed; with
        "bartlett" more where one of the two alternates. Constant regions count as white.

    Raises
    ------
    ValueError
        If the method is unknown, the taper is shorter than a lag or longer than the series, or shapes do not fit.

    References
    ----------
    .. [1] Bartlett (1946). doi:10.2307/2983611
    .. [2] Afyouni, Smith and Nichols (2019). doi:10.1016/j.neuroimage.2019.05.011

    Examples
    --------
    >>> import jax
    >>> white = jax.random.normal(jax.random.key(0), (2, 400))
    >>> smooth = white[:, 2:] + white[:, 1:-1] + white[:, :-2]
    >>> bool(effective_degrees_of_freedom(smooth)[0, 1] < 300)
    True
    """
    series, valid, labels, taper = _prepared(time_series, mask, run, max_lag, check)
    if method == "bartlett":
        return _bartlett(series, valid, labels, taper)
    if method == "xdf":
        correlation, variance, frames = _xdf(series, valid, labels, taper)
        certain = jnp.abs(correlation) > 1 - 16 * jnp.finfo(series.dtype).eps
        rest = jnp.where(certain, 1.0, (1 - correlation**2) ** 2)
        ratio = rest / jnp.where(certain, 1.0, variance)
        # Nothing can be told from a correlation of 1 with itself: Bartlett's value stands there.
        return jnp.where(certain, jnp.minimum(_bartlett(series, valid, labels, taper), frames), ratio)
    raise ValueError(f'method must be "bartlett" or "xdf", and is {method!r}')


def fisher_z_standard_error(
    time_series: Float[Tensor, "... region frame"],
    *,
    method: Method = "xdf",
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "frame"] | None = None,
    max_lag: int | None = None,
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return the standard error of Fisher's z of each correlation, for autocorrelated series.

    Parameters
    ----------
    time_series, mask, run, max_lag
        As in `effective_degrees_of_freedom`.
    method : {"bartlett", "xdf"}, default "xdf"
        :math:`1 / \sqrt{n_{ij} - 3}` with Bartlett's degrees of freedom, or :math:`\sqrt{V(r)} / (1 - r^2)`.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    array, shape (..., region, region)
        Without unit, as Fisher's z. With "bartlett", infinite where no more than 3 degrees of freedom are left.

    Raises
    ------
    ValueError
        As `effective_degrees_of_freedom`.

    References
    ----------
    .. [1] Afyouni, Smith and Nichols (2019). doi:10.1016/j.neuroimage.2019.05.011

    Examples
    --------
    >>> import jax
    >>> white = jax.random.normal(jax.random.key(0), (2, 400))
    >>> bool(abs(fisher_z_standard_error(white)[0, 1] - 400**-0.5) < 0.01)
    True
    """
    degrees = effective_degrees_of_freedom(time_series, method=method, mask=mask, run=run, max_lag=max_lag, check=check)
    spare = degrees - 3 if method == "bartlett" else degrees
    usable = spare > 0
    return jnp.where(usable, jax.lax.rsqrt(jnp.where(usable, spare, 1.0)), jnp.inf)


def pooled_degrees_of_freedom(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "frame"] | None = None,
    max_lag: int | None = None,
    check: bool = False,
) -> Float[Array, "..."]:
    r"""Return how many independent frames all regions' series together are worth: what bounds a covariance's rank.

    With :math:`\bar\rho(k)` the mean autocorrelation of all regions,
    :math:`(\sum w)^2 / \sum_{tu} w_t w_u \bar\rho(t - u)^2`. White series with equal weights give the number of frames,
    series band-passed to a share of the spectrum that share of the number.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere makes the result NaN: mark such frames in `mask`.
    weight : array, shape (..., frame), optional
        Weight of every frame, not negative. All frames weigh 1 by default.
    mask, run, max_lag
        As in `effective_degrees_of_freedom`.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    array, shape (...)
        0 where no frame has weight.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the taper is shorter than a lag or longer than the series.

    References
    ----------
    .. [1] Bartlett (1946). doi:10.2307/2983611

    Examples
    --------
    >>> import jax
    >>> white = jax.random.normal(jax.random.key(0), (40, 300))
    >>> 280 < float(pooled_degrees_of_freedom(white)) < 301
    True
    """
    series, weights = checked_series(time_series, weight, mask, check=check)
    valid = (weights > 0).astype(series.dtype)
    labels = run_labels(run, series.shape[-1])
    taper = _taper(series.shape[-1], max_lag, series.dtype)
    varies = (standardised(series, valid) != 0).any(-1)
    shared = _autocorrelations(standardised(series, valid), valid, labels, taper).sum(-2)
    shared = shared / jnp.maximum(varies.sum(-1), 1)[..., None]
    counts = _counts(weights, labels, taper.shape[0])
    whole = (weights**2).sum(-1) + 2 * (counts * shared**2).sum(-1)
    usable = whole > 0
    return jnp.where(usable, weights.sum(-1) ** 2 / jnp.where(usable, whole, 1.0), 0.0)


def _prepared(time_series, mask, run, max_lag, check) -> tuple[Array, Array, Array, Array]:
    series, valid = checked_series(time_series, None, mask, check=check)
    taper = _taper(series.shape[-1], max_lag, series.dtype)
    return standardised(series, valid), valid, run_labels(run, series.shape[-1]), taper


def _taper(n_frames: int, max_lag: int | None, dtype) -> Float[Array, "lag"]:
    """Return Tukey's window at lags 1, 2, ... up to where it vanishes."""
    longest = min(math.floor(2 * math.sqrt(n_frames)), n_frames - 1) if max_lag is None else int(max_lag)
    if not 1 <= longest < n_frames:
        raise ValueError(f"max_lag must lie between 1 and {n_frames - 1} frames, and is {longest}")
    return (0.5 * (1 + jnp.cos(jnp.pi * jnp.arange(1, longest + 1) / longest))).astype(dtype)


def _counts(weights: Array, run: Array, n_lags: int) -> Float[Array, "... lag"]:
    counts = jax.lax.map(lambda lag: pair_count(weights, lag, run), jnp.arange(1, n_lags + 1))
    return jnp.moveaxis(counts, 0, -1)


def _autocorrelations(series: Array, valid: Array, run: Array, taper: Array) -> Float[Array, "... region lag"]:
    """Return the tapered autocorrelations at lags 1, 2, ..., each from the pairs that there are."""

    def at(lag: Array) -> Array:
        ahead, here = pair_products(series, series, lag, run)
        return (ahead * here).sum(-1) / jnp.maximum(pair_count(valid, lag, run), 1.0)[..., None]

    values = jax.lax.map(at, jnp.arange(1, taper.shape[0] + 1))
    return jnp.moveaxis(values, 0, -1) * taper


def _bartlett(series: Array, valid: Array, run: Array, taper: Array) -> Array:
    auto = _autocorrelations(series, valid, run, taper)
    frames = valid.sum(-1)
    share = _counts(valid, run, taper.shape[0]) / jnp.maximum(frames, 1.0)[..., None]
    inflation = 1 + 2 * jnp.einsum("...rk,...sk->...rs", auto * share[..., None, :], auto)
    # Alternating series could push the sum below 0, where nothing can be estimated.
    least = jnp.finfo(series.dtype).eps ** 0.5
    return frames[..., None, None] / jnp.maximum(inflation, least)


def _xdf(series: Array, valid: Array, run: Array, taper: Array) -> tuple[Array, Array, Array]:
    """Return the correlations, their variances, and the number of frames, with axes to broadcast."""
    frames = jnp.maximum(valid.sum(-1), 1.0)[..., None, None]
    auto = _autocorrelations(series, valid, run, taper)
    r = jnp.clip(jnp.einsum("...rt,...st->...rs", series, series) / frames, -1.0, 1.0)

    def add(total: Array, item: tuple[Array, Array, Array]) -> tuple[Array, None]:
        lag, window, own = item
        ahead, here = pair_products(series, series, lag, run)
        count = pair_count(valid, lag, run)[..., None, None]
        after = window * jnp.einsum("...rt,...st->...rs", ahead, here) / jnp.maximum(count, 1.0)
        before = jnp.swapaxes(after, -1, -2)
        left, right = own[..., :, None], own[..., None, :]
        term = (
            r**2 * (left**2 + right**2 + after**2 + before**2)
            - 2 * r * (left + right) * (after + before)
            + 2 * (left * right + after * before)
        )
        return total + count / frames * term, None

    lags = jnp.arange(1, taper.shape[0] + 1)
    start = (1 - r**2) ** 2
    total, _ = jax.lax.scan(jax.checkpoint(add), start, (lags, taper, jnp.moveaxis(auto, -1, 0)))
    # Nothing is known better than from white series.
    return r, jnp.maximum(total, start) / frames, frames
