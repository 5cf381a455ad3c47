r"""Covariance and correlation between regions, with frame weights, stacks of weightings, masks and couplings.

Notation: :math:`x_{it}` is region :math:`i` at frame :math:`t`, :math:`w_t \ge 0` the weight of a frame.
With :math:`W = \sum_t w_t` and :math:`m_i = \sum_t w_t x_{it} / W`,

.. math:: c_{ij} = \frac{1}{W - d\, \sum_t w_t^2 / W} \sum_t w_t (x_{it} - m_i)(x_{jt} - m_j), \qquad
          r_{ij} = c_{ij} / \sqrt{c_{ii} c_{jj}} .
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from conn.functional._inputs import refuse_asymmetry, refuse_infinity, several_frames
from conn.functional._moments import (
    adds_axes,
    checked_series,
    coupling_of,
    each_scan,
    moments,
    reciprocal_root,
    stack_correlation,
    stack_covariance,
    variances,
    weigh,
)
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["ConstantPolicy", "corr", "corr_from_cov", "cov", "paired_corr", "paired_cov"]

ConstantPolicy = Literal["zero", "nan"]


def cov(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    coupling: Float[Tensor, "... frame frame"] | None = None,
    toeplitz: Float[Tensor, "... lag"] | None = None,
    ddof: int = 1,
    ridge: float | Array = 0.0,
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return the covariance between all pairs of regions.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region makes its row and column NaN: mark such frames in `mask`.
    weight : array, shape (..., frame), optional
        Weight of every frame, not negative. Its leading axes broadcast with those of the series, so that
        ``time_series[:, None]`` with weights of shape ``(scan, community, frame)`` gives
        ``(scan, community, region, region)``. All frames weigh 1 by default.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A masked frame counts as if it had been deleted, whatever stands in it.
    coupling : array, shape (..., frame, frame), optional
        Symmetric, positive semi-definite :math:`q`: frames count in pairs, with :math:`\sqrt{w_t} q_{tu} \sqrt{w_u}`
        in the place of :math:`w_t`. The identity by default. Not differentiable in a weight of 0, where the
        derivative is given as 0.
    toeplitz : array, shape (..., lag), optional
        The same by its first row, at lags 0, 1, ... frames; 0 beyond. The matrix is not formed.
    ddof : int, default 1
        Delta degrees of freedom. For weights the divisor is :math:`W - d \sum w^2 / W` (reliability weights), and for
        a form :math:`Q` over frames :math:`\operatorname{tr} Q - d\, 1'QQ1 / 1'Q1`.
    ridge : float, default 0
        Times the mean variance of the regions, added to the diagonal.
    check : bool, default False
        Refuse NaN, negative weights and weightings without weight by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region, region)
        In the square of the series' unit. Where no frame has weight, 0. Forward-mode derivatives are not defined for
        a stack of weightings, whose reverse-mode derivative is a closed form.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or there are not more frames than `ddof`.

    References
    ----------
    .. [1] GNU Scientific Library, weighted samples (reliability weights).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> cov(jnp.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])).tolist()
    [[1.0, 2.0], [2.0, 4.0]]
    """
    series, weights = checked_series(time_series, weight, mask, check=check)
    _more_frames_than(ddof, series)
    matrix, row = coupling_of(coupling, toeplitz, series)
    if matrix is None and row is None and adds_axes(series, weights):
        product = stack_covariance(series, weights)
        total = weights.sum(-1)
        loss = (weights**2).sum(-1) / jnp.where(total > 0, total, 1.0)
    elif matrix is None and row is None:
        uniform = weight is None and mask is None

        def of_scan(x: Array, w: Array) -> tuple[Array, Array, Array]:
            one = weigh(x, None if uniform else w)
            return moments(one)[0], one.total, one.loss

        product, total, loss = each_scan(of_scan, series, weights)
    else:
        one = weigh(series, weights, matrix, row)
        product, _ = moments(one)
        total, loss = one.total, one.loss
    return with_ridge(product * _bessel(total, loss, ddof)[..., None, None], ridge)


def corr(
    time_series: Float[Tensor, "... region frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    coupling: Float[Tensor, "... frame frame"] | None = None,
    toeplitz: Float[Tensor, "... lag"] | None = None,
    constant: ConstantPolicy = "zero",
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return Pearson's correlation between all pairs of regions.

    Plain correlation: nothing is shrunk. There is no absolute epsilon in it, so that it is invariant to the scale of
    each region (seen from 1e-8 to 1e8 in float32), and the diagonal of a region that varies is exactly 1.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region makes its row and column NaN: mark such frames in `mask`.
    weight : array, shape (..., frame), optional
        Weight of every frame, not negative. Its leading axes broadcast with those of the series, so that
        ``time_series[:, None]`` with weights of shape ``(scan, community, frame)`` gives
        ``(scan, community, region, region)``. All frames weigh 1 by default.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. A masked frame counts as if it had been deleted, whatever stands in it.
    coupling : array, shape (..., frame, frame), optional
        Symmetric, positive semi-definite coupling between frames (see `cov`). Where it is not positive
        semi-definite, a variance can be negative, and the region's row and column are NaN.
    toeplitz : array, shape (..., lag), optional
        The same by its first row, at lags 0, 1, ... frames; 0 beyond. The matrix is not formed.
    constant : {"zero", "nan"}, default "zero"
        What the row and the column of a constant region hold, diagonal included. A region is constant when its
        centred norm is at most 8 eps times its norm; in a stack of weightings, where rounding leaves more
        behind, when its weighted variance is at most 16 eps times its mean square about the unweighted mean.
    check : bool, default False
        Refuse NaN, negative weights and weightings without weight by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region, region)
        Without unit, symmetric. Gradients are finite everywhere, constant regions and zero weights included.
        Forward-mode derivatives are not defined for a stack of weightings, whose reverse-mode derivative is a
        closed form.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, there are fewer than two frames, or `constant` is unknown.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> series = jnp.array([[1.0, 2.0, 3.0, 4.0], [1.0, -1.0, -1.0, 1.0], [5.0, 5.0, 5.0, 5.0]])
    >>> jnp.round(corr(series), 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    known_policy(constant)
    series, weights = checked_series(time_series, weight, mask, check=check)
    several_frames(series, "a correlation")
    matrix, row = coupling_of(coupling, toeplitz, series)
    if matrix is None and row is None and adds_axes(series, weights):
        correlation, varies = stack_correlation(series, weights)
        return constant_as(constant, correlation, varies)
    if matrix is None and row is None:
        uniform = weight is None and mask is None

        def of_scan(x: Array, w: Array) -> Array:
            product, still = moments(weigh(x, None if uniform else w))
            return _normalised(product, ~still, constant)

        return each_scan(of_scan, series, weights)
    product, still = moments(weigh(series, weights, matrix, row))
    return _normalised(product, ~still, constant)


def corr_from_cov(
    covariance: Float[Tensor, "... region region"],
    *,
    constant: ConstantPolicy = "zero",
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return the correlations that belong to covariances, for example shrunk ones.

    Parameters
    ----------
    covariance : array, shape (..., region, region)
        Symmetric, with variances on the diagonal. A variance of exactly 0 makes a constant region, and a negative
        one NaN.
    constant : {"zero", "nan"}, default "zero"
        What the row and the column of a constant region hold, diagonal included.
    check : bool, default False
        Refuse NaN, infinity and a matrix that is not symmetric by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region, region)
        Without unit, with a diagonal of exactly 1.

    Raises
    ------
    ValueError
        If the matrices are not square, or `constant` is unknown.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> corr_from_cov(jnp.array([[4.0, 1.0], [1.0, 1.0]])).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    known_policy(constant)
    matrix = square_matrix("covariance", covariance, check=check)
    return _normalised(matrix, jnp.diagonal(matrix, axis1=-2, axis2=-1) != 0, constant)


def paired_cov(
    first: Float[Tensor, "... region frame"],
    second: Float[Tensor, "... other frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    coupling: Float[Tensor, "... frame frame"] | None = None,
    toeplitz: Float[Tensor, "... lag"] | None = None,
    ddof: int = 1,
    check: bool = False,
) -> Float[Array, "... region other"]:
    """Return the covariance of each region of one set with each of another.

    Parameters
    ----------
    first : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region makes its row NaN: mark such frames in `mask`.
    second : array, shape (..., other, frame)
        Signals of the same frames.
    weight, mask, coupling, toeplitz
        As in `cov`, with the same meaning for both sets.
    ddof : int, default 1
        Delta degrees of freedom, as in `cov`.
    check : bool, default False
        Refuse NaN, negative weights and weightings without weight by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region, other)
        ``paired_cov(x, x)`` equals ``cov(x)``.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or there are not more frames than `ddof`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> paired_cov(jnp.array([[1.0, 2.0, 3.0]]), jnp.array([[2.0, 4.0, 6.0], [0.0, 0.0, 0.0]])).tolist()
    [[2.0, 0.0]]
    """
    one, other = _pair(first, second, weight, mask, coupling, toeplitz, check)
    _more_frames_than(ddof, one.centred)
    product = jnp.einsum("...rt,...st->...rs", one.weighted, other.centred) * one.share
    return product * _bessel(one.total, one.loss, ddof)[..., None, None]


def paired_corr(
    first: Float[Tensor, "... region frame"],
    second: Float[Tensor, "... other frame"],
    *,
    weight: Float[Tensor, "... frame"] | None = None,
    mask: Bool[Tensor, "... frame"] | None = None,
    coupling: Float[Tensor, "... frame frame"] | None = None,
    toeplitz: Float[Tensor, "... lag"] | None = None,
    constant: ConstantPolicy = "zero",
    check: bool = False,
) -> Float[Array, "... region other"]:
    """Return Pearson's correlation of each region of one set with each of another.

    Weights enter the variances as they enter the covariance, so that ``paired_corr(x, x)`` equals ``corr(x)``.

    Parameters
    ----------
    first : array, shape (..., region, frame)
        Signals, in any unit. NaN anywhere in a region makes its row NaN: mark such frames in `mask`.
    second : array, shape (..., other, frame)
        Signals of the same frames.
    weight, mask, coupling, toeplitz
        As in `cov`, with the same meaning for both sets.
    constant : {"zero", "nan"}, default "zero"
        What a constant region's row or column holds.
    check : bool, default False
        Refuse NaN, negative weights and weightings without weight by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region, other)
        Without unit, between -1 and 1.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, there are fewer than two frames, or `constant` is unknown.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> jnp.round(paired_corr(jnp.array([[1.0, 2.0, 3.0]]), jnp.array([[6.0, 4.0, 2.0]])), 6).tolist()
    [[-1.0]]
    """
    known_policy(constant)
    one, other = _pair(first, second, weight, mask, coupling, toeplitz, check)
    several_frames(one.centred, "a correlation")
    product = jnp.einsum("...rt,...st->...rs", one.weighted, other.centred) * one.share
    (of_rows, still_rows), (of_columns, still_columns) = variances(one), variances(other)
    rows, columns = reciprocal_root(of_rows, ~still_rows), reciprocal_root(of_columns, ~still_columns)
    matrix = jnp.clip(product * rows[..., :, None] * columns[..., None, :], -1.0, 1.0)
    both = ~still_rows[..., :, None] & ~still_columns[..., None, :]
    return jnp.where(both, matrix, 0.0 if constant == "zero" else jnp.nan)


def square_matrix(name: str, value: Tensor, *, check: bool = False) -> Array:
    """Return the floating matrices, which must be square; with `check`, finite and symmetric."""
    matrix = _to_jax_array(value)
    if not jnp.issubdtype(matrix.dtype, jnp.floating):
        matrix = matrix.astype(jnp.result_type(float))
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] == 0:
        raise ValueError(f"{name} must have shape (..., region, region), and has shape {matrix.shape}")
    return refuse_asymmetry(name, refuse_infinity(name, matrix)) if check else matrix


def _pair(first, second, weight, mask, coupling, toeplitz, check):
    """Return both sets, centred and weighted alike."""
    series, weights = checked_series(first, weight, mask, check=check, name="first")
    others, _ = checked_series(second, weight, mask, check=check, name="second")
    if series.shape[-1] != others.shape[-1]:
        raise ValueError(
            f"first and second must have the same frames, and have {series.shape[-1]} and {others.shape[-1]}"
        )
    try:
        jnp.broadcast_shapes(series.shape[:-2], others.shape[:-2])
    except ValueError:
        raise ValueError(
            f"the leading axes of first {series.shape[:-2]} must broadcast with those of second {others.shape[:-2]}"
        ) from None
    matrix, row = coupling_of(coupling, toeplitz, series)
    return weigh(series, weights, matrix, row), weigh(others, weights, matrix, row)


def _normalised(product: Array, varies: Array, constant: ConstantPolicy) -> Array:
    """Return the correlations of second moments."""
    scale = reciprocal_root(jnp.diagonal(product, axis1=-2, axis2=-1), varies)
    matrix = jnp.clip(product * (scale[..., :, None] * scale[..., None, :]), -1.0, 1.0)  # symmetric to the bit
    # The diagonal is 1, and NaN where a variance is negative or NaN.
    one = jnp.where(jnp.isnan(scale), jnp.nan, 1.0).astype(matrix.dtype)[..., None]
    identity = jnp.eye(matrix.shape[-1], dtype=bool)
    return constant_as(constant, jnp.where(identity, jnp.where(varies[..., None], one, 0.0), matrix), varies)


def constant_as(constant: ConstantPolicy, matrix: Array, varies: Array) -> Array:
    """Return correlations that are 0 for constant regions with what the policy says there."""
    if constant == "zero":
        return matrix
    return jnp.where(varies[..., :, None] & varies[..., None, :], matrix, jnp.nan)


def _bessel(total: Array, loss: Array, ddof: int) -> Array:
    """Return what turns a mean of squares into a variance with `ddof`, and 0 where nothing is left to divide by."""
    divisor = total - ddof * loss
    usable = divisor > 0
    return jnp.where(usable, total / jnp.where(usable, divisor, 1.0), 0.0)


def with_ridge(matrix: Array, ridge: float | Array) -> Array:
    if isinstance(ridge, int | float) and ridge == 0:
        return matrix
    if isinstance(ridge, int | float) and ridge < 0:
        raise ValueError(f"ridge must not be negative, and is {ridge}")
    mean = jnp.trace(matrix, axis1=-2, axis2=-1) / matrix.shape[-1]
    amount = jnp.asarray(_to_jax_array(ridge), matrix.dtype) * mean
    return matrix + amount[..., None, None] * jnp.eye(matrix.shape[-1], dtype=matrix.dtype)


def known_policy(constant: str) -> None:
    if constant not in ("zero", "nan"):
        raise ValueError(f'constant must be "zero" or "nan", and is {constant!r}')


def _more_frames_than(ddof: int, series: Array) -> None:
    if series.shape[-1] <= ddof:
        raise ValueError(f"covariance with ddof {ddof} needs more than {ddof} frames, and there are {series.shape[-1]}")
