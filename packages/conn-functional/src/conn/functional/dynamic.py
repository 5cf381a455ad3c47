r"""Connectivity that changes: sliding and tapered windows, dynamic conditional correlation, edge time series.

Windows keep the frames' true distances: a masked frame leaves a hole in its window, and nothing else moves up. Dynamic
conditional correlation starts afresh with every run and hears no news from a masked frame.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Bool, Float, Int

from conn.functional._inputs import several_frames
from conn.functional._moments import checked_series
from conn.functional.covariance import ConstantPolicy, constant_as, corr, corr_from_cov, known_policy
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.lagged import run_labels, standardised

__all__ = [
    "DynamicConditionalFit",
    "dynamic_conditional_corr",
    "dynamic_conditional_log_likelihood",
    "edge_time_series",
    "fit_dynamic_conditional_corr",
    "sliding_window_corr",
]

Taper = Literal["rectangle", "hann", "gaussian"]


class DynamicConditionalFit(NamedTuple):
    """The parameters of a dynamic conditional correlation, as fitted."""

    news: np.ndarray
    """Shape (...), weight of the last frame's products."""
    decay: np.ndarray
    """Shape (...), weight of the last frame's correlation."""
    log_likelihood: np.ndarray
    """Shape (...), in nats, at these parameters."""


def sliding_window_corr(
    time_series: Float[Tensor, "... region frame"],
    *,
    width: int,
    step: int = 1,
    taper: Taper | Float[Tensor, "width"] = "rectangle",
    sigma: float = 3.0,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "frame"] | None = None,
    constant: ConstantPolicy = "zero",
    check: bool = False,
) -> Float[Array, "... window region region"]:
    """Return the correlation between regions in each of a sequence of windows.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a window makes the region's row and column NaN there: mark such frames
        in `mask`.
    width : int
        Of a window, in frames.
    step : int, default 1
        From one window's first frame to the next's. Frames after the last whole window are not used.
    taper : {"rectangle", "hann", "gaussian"} or array of shape (width,), default "rectangle"
        Weight of each frame of a window. "gaussian" is the rectangle convolved with a Gaussian of `sigma` frames, as
        Allen et al. do; "hann" has no zeros at its ends.
    sigma : float, default 3
        Standard deviation of the Gaussian, in frames.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts.
    run : array of int, shape (frame,), optional
        The run of each frame. In a window that spans runs, the frames of its centre's run count.
    constant : {"zero", "nan"}, default "zero"
        What the row and the column of a region hold that is constant in a window, or has no frame there that counts.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    array, shape (..., window, region, region)
        Without unit.

    Raises
    ------
    ValueError
        If a window is shorter than two frames or longer than the series, or the step, the taper or sigma is unfit.

    References
    ----------
    .. [1] Allen et al. (2014). doi:10.1093/cercor/bhs352

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> x = jnp.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    >>> y = jnp.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0])
    >>> jnp.round(sliding_window_corr(jnp.stack([x, y]), width=3, step=3)[:, 0, 1], 6).tolist()
    [1.0, -1.0]
    """
    series, valid = checked_series(time_series, None, mask, check=check)
    n_frames = series.shape[-1]
    if not 2 <= width <= n_frames:
        raise ValueError(f"width must lie between 2 and the {n_frames} frames, and is {width}")
    if step < 1:
        raise ValueError(f"step must be at least 1 frame, and is {step}")
    weights = _taper(taper, width, sigma).astype(series.dtype)
    places = np.arange(0, n_frames - width + 1, step)[:, None] + np.arange(width)
    labels = run_labels(run, n_frames)
    same_run = labels[places] == labels[places[:, width // 2]][:, None]
    shares = jnp.where(same_run, valid[..., places] * weights, 0.0)
    windows = jnp.moveaxis(series[..., places], -2, -3)
    return corr(windows, weight=shares, constant=constant)


def dynamic_conditional_corr(
    time_series: Float[Tensor, "... region frame"],
    *,
    news: float | Float[Tensor, ""] = 0.03,
    decay: float | Float[Tensor, ""] = 0.94,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "frame"] | None = None,
    constant: ConstantPolicy = "zero",
    check: bool = False,
) -> Float[Array, "... frame region region"]:
    r"""Return the dynamic conditional correlation of each frame, given the frames before it.

    Engle's recursion of order (1, 1) on the z-scored series :math:`z`, around their correlation :math:`\bar Q`:

    .. math:: Q_{t+1} = (1 - a - b) \bar Q + a\, z_t z_t' + b\, Q_t, \qquad R_t = D_t^{-1/2} Q_t D_t^{-1/2},

    with :math:`a` the `news`, :math:`b` the `decay` and :math:`D_t` the diagonal of :math:`Q_t`. Variances count as
    constant: divide by a volatility first where they are not.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region makes its row and column NaN: mark such frames in `mask`.
    news, decay : float, default 0.03 and 0.94
        Not negative, with a sum below 1. See `fit_dynamic_conditional_corr`.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. In the place of a masked frame's products stands what was expected, :math:`Q_t`.
    run : array of int, shape (frame,), optional
        The run of each frame. The recursion starts at :math:`\bar Q` in every run.
    constant : {"zero", "nan"}, default "zero"
        What the row and the column of a constant region hold (see `corr`), diagonal included.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    array, shape (..., frame, region, region)
        Without unit. With ``news=0`` the correlation at every frame.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or news and decay, given as numbers, are negative or sum to 1 or more, or
        `constant` is unknown.

    References
    ----------
    .. [1] Engle (2002). doi:10.1198/073500102288618487
    .. [2] Lindquist et al. (2014). doi:10.1016/j.neuroimage.2014.06.052

    Examples
    --------
    >>> import jax
    >>> dynamic_conditional_corr(jax.random.normal(jax.random.key(0), (3, 20))).shape
    (20, 3, 3)
    """
    known_policy(constant)
    scores, valid, first = _scores(time_series, mask, run, check)
    a, b = _coefficients(news, decay, scores)
    mean = _mean_products(scores, valid)

    def step(state: Array, item: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        here, following = _recursion(state, item, mean, a, b)
        return following, corr_from_cov(here)

    _, found = jax.lax.scan(step, mean, _frames_first(scores, valid, first))
    return constant_as(constant, jnp.moveaxis(found, 0, -3), (scores != 0).any(-1)[..., None, :])


def dynamic_conditional_log_likelihood(
    time_series: Float[Tensor, "... region frame"],
    *,
    news: float | Float[Tensor, ""],
    decay: float | Float[Tensor, ""],
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "frame"] | None = None,
    check: bool = False,
) -> Float[Array, "..."]:
    r"""Return the Gaussian log-likelihood of z-scored series under dynamic conditional correlation.

    .. math:: -\tfrac12 \sum_t \big( n \log 2\pi + \log\det R_t + z_t' R_t^{-1} z_t \big)

    Parameters
    ----------
    time_series, news, decay, mask, run, check
        As in `dynamic_conditional_corr`. Masked frames add nothing.

    Returns
    -------
    array, shape (...)
        In nats. Constant regions add nothing but their constant; regions that are alike make it infinite.

    Raises
    ------
    ValueError
        As `dynamic_conditional_corr`.

    References
    ----------
    .. [1] Engle (2002). doi:10.1198/073500102288618487

    Examples
    --------
    >>> import jax
    >>> white = jax.random.normal(jax.random.key(0), (2, 50))
    >>> bool(dynamic_conditional_log_likelihood(white, news=0.0, decay=0.0) < 0)
    True
    """
    scores, valid, first = _scores(time_series, mask, run, check)
    a, b = _coefficients(news, decay, scores)
    mean = _mean_products(scores, valid)
    size = scores.shape[-2]
    identity = jnp.eye(size, dtype=bool)

    def step(state: Array, item: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        here, following = _recursion(state, item, mean, a, b)
        score, counts, _ = item
        matrix = jnp.where(identity, 1.0, corr_from_cov(here))
        square = (score * jnp.linalg.solve(matrix, score[..., None])[..., 0]).sum(-1)
        term = size * jnp.log(2 * jnp.pi) + jnp.linalg.slogdet(matrix)[1] + square
        return following, jnp.where(counts > 0, -term / 2, 0.0).astype(score.dtype)

    _, terms = jax.lax.scan(jax.checkpoint(step), mean, _frames_first(scores, valid, first))
    return terms.sum(0)


def fit_dynamic_conditional_corr(
    time_series: Float[Tensor, "... region frame"],
    *,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "frame"] | None = None,
    start: tuple[float, float] = (0.03, 0.9),
    max_iterations: int = 200,
) -> DynamicConditionalFit:
    """Return the news and decay of greatest likelihood, around the correlation of all frames.

    Leaves JAX: SciPy's L-BFGS-B walks on the host, on JAX's value and gradient, in coordinates in which every point
    is admissible.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. Each series of leading axes is fitted for itself, at the cost of a solution of
        (region, region) for every frame and evaluation.
    mask, run
        As in `dynamic_conditional_corr`.
    start : (float, float), default (0.03, 0.9)
        News and decay to start from, above 0, with a sum below 1.
    max_iterations : int, default 200

    Returns
    -------
    DynamicConditionalFit
        ``news``, ``decay`` and ``log_likelihood``, each of the series' leading shape.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the start is not admissible.
    RuntimeError
        If the walk does not end at a finite optimum: which series, and why.

    References
    ----------
    .. [1] Engle (2002). doi:10.1198/073500102288618487

    Examples
    --------
    >>> import jax
    >>> fit = fit_dynamic_conditional_corr(jax.random.normal(jax.random.key(0), (2, 60)))
    >>> bool(0 <= fit.news and fit.news + fit.decay < 1)
    True
    """
    series = _to_jax_array(time_series)
    if not min(start) > 0 or not sum(start) < 1:
        raise ValueError(f"start must be two numbers above 0 whose sum is below 1, and is {start}")
    checked, valid = checked_series(series, None, mask)
    lead = checked.shape[:-2]
    walked = checked.reshape(-1, *checked.shape[-2:])
    masks = jnp.broadcast_to(valid > 0, (*lead, valid.shape[-1])).reshape(-1, valid.shape[-1])

    @jax.jit
    def loss(logits: Array, one: Array, frames: Array) -> tuple[Array, Array]:
        def negative(values: Array) -> Array:
            a, b, _ = jax.nn.softmax(jnp.append(values, 0.0).astype(one.dtype))
            return -dynamic_conditional_log_likelihood(one, news=a, decay=b, mask=frames, run=run)

        return jax.value_and_grad(negative)(logits)

    first = np.log(np.array(start) / (1 - sum(start)))
    found = []
    for number, (one, frames) in enumerate(zip(walked, masks, strict=True)):

        def host(logits: np.ndarray, one: Array = one, frames: Array = frames) -> tuple[float, np.ndarray]:
            value, gradient = loss(jnp.asarray(logits), one, frames)
            return float(value), np.asarray(gradient, float)

        # A news of 0 lies at infinity: within these bounds the probabilities differ from 0 by no more than 1e-6.
        result = scipy.optimize.minimize(
            host, first, jac=True, method="L-BFGS-B", bounds=[(-14, 14)] * 2, options={"maxiter": max_iterations}
        )
        if not np.isfinite(result.fun):
            raise RuntimeError(f"the likelihood of series {number} has no finite optimum: {result.message}")
        shares = np.exp(np.append(result.x, 0.0) - max(result.x.max(), 0.0))
        found.append([*(shares / shares.sum())[:2], -result.fun])
    news, decay, value = np.array(found).T
    return DynamicConditionalFit(news.reshape(lead), decay.reshape(lead), value.reshape(lead))


def edge_time_series(
    time_series: Float[Tensor, "... region frame"],
    *,
    mask: Bool[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... edge frame"]:
    """Return the product of the z-scored series of each pair of regions at each frame.

    The mean over the frames that count is Pearson's correlation, exactly.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region makes its edges NaN: mark such frames in `mask`.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts; 0 stands in the others.
    check : bool, default False
        Refuse bad values too, also under ``jit`` (see `cov`).

    Returns
    -------
    array, shape (..., edge, frame)
        Without unit. Edges in the order of ``numpy.triu_indices(region, 1)``, region * (region - 1) / 2 of them.
        Constant regions give 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or there are fewer than two regions.

    References
    ----------
    .. [1] Faskowitz, Esfahlani, Jo, Sporns and Betzel (2020). doi:10.1038/s41593-020-00719-y

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> series = jnp.array([[1.0, -1.0, 1.0, -1.0], [1.0, -1.0, -1.0, 1.0]])
    >>> edge_time_series(series).tolist()
    [[1.0, 1.0, -1.0, -1.0]]
    """
    series, valid = checked_series(time_series, None, mask, check=check)
    if series.shape[-2] < 2:
        raise ValueError("an edge needs two regions, and there is one")
    several_frames(series, "a z-score")
    scores = standardised(series, valid)
    rows, columns = np.triu_indices(series.shape[-2], 1)
    return scores[..., rows, :] * scores[..., columns, :]


def _taper(taper: Taper | Tensor, width: int, sigma: float) -> Array:
    if not isinstance(taper, str):
        weights = _to_jax_array(taper)
        if weights.shape != (width,):
            raise ValueError(f"a taper must have one weight for each of the {width} frames, and has {weights.shape}")
        return weights
    if taper == "rectangle":
        return jnp.ones(width)
    if taper == "hann":
        return jnp.asarray(np.sin(np.pi * (np.arange(width) + 0.5) / width) ** 2)
    if taper == "gaussian":
        if not sigma > 0:
            raise ValueError(f"sigma must be above 0 frames, and is {sigma}")
        distance = np.arange(width)[:, None] - np.arange(width)
        return jnp.asarray(np.exp(-0.5 * (distance / sigma) ** 2).sum(-1))
    raise ValueError(f'taper must be "rectangle", "hann", "gaussian" or an array, and is {taper!r}')


def _scores(time_series, mask, run, check) -> tuple[Array, Array, Array]:
    """Return the z-scored series, which frames count, and which are the first of their run."""
    series, valid = checked_series(time_series, None, mask, check=check)
    several_frames(series, "a correlation")
    labels = run_labels(run, series.shape[-1])
    first = jnp.concatenate([jnp.ones(1, bool), labels[1:] != labels[:-1]])
    return standardised(series, valid), valid, first


def _mean_products(scores: Array, valid: Array) -> Array:
    count = jnp.maximum(valid.sum(-1), 1.0)[..., None, None]
    return jnp.einsum("...rt,...st->...rs", scores, scores) / count


def _coefficients(news, decay, scores: Array) -> tuple[Array, Array]:
    if all(isinstance(value, int | float) for value in (news, decay)) and not (
        news >= 0 and decay >= 0 and news + decay < 1
    ):
        raise ValueError(f"news and decay must not be negative, with a sum below 1, and are {news} and {decay}")
    return jnp.asarray(_to_jax_array(news), scores.dtype), jnp.asarray(_to_jax_array(decay), scores.dtype)


def _frames_first(scores: Array, valid: Array, first: Array) -> tuple[Array, Array, Array]:
    lead = jnp.broadcast_shapes(valid.shape[:-1], scores.shape[:-2])
    valid = jnp.broadcast_to(valid, (*lead, valid.shape[-1]))
    return jnp.moveaxis(scores, -1, 0), jnp.moveaxis(valid, -1, 0), first


def _recursion(state: Array, item: tuple[Array, Array, Array], mean: Array, news: Array, decay: Array):
    """Return the form of this frame and that of the next."""
    score, counts, first = item
    here = jnp.where(first, mean, state)
    products = jnp.where((counts > 0)[..., None, None], score[..., :, None] * score[..., None, :], here)
    return here, (1 - news - decay) * mean + news * products + decay * here
