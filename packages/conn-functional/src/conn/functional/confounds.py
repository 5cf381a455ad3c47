r"""What is left of series when trends and confounds are taken out by least squares.

With confounds :math:`C` (confound by frame) and their pseudo-inverse :math:`C^+`, the residual of series :math:`Y` is
:math:`R = Y (I - C^+ C)`. The projector :math:`P = C^+ C` depends on the space of the confounds alone, so that they are
brought to one norm first. :math:`C^+` comes from the QR decomposition of the confounds and the singular values of its
small factor, and leaves out directions that are rounding. Neither decomposition is ever differentiated: with
:math:`P_\perp = I - P` the derivative is, at constant rank (Golub & Pereyra 1973),

.. math:: dR = (dY - Y C^+ dC) P_\perp - R\, dC^\top (C^+)^\top ,

which is finite at any confounds, collinear, constant and absent ones included.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from conn.functional._inputs import real_series, several_frames
from conn.functional._series import centred, joined_lead, refuse_bad_values, with_mask
from conn.functional.engine import Tensor

__all__ = ["detrend", "residualise"]


def detrend(
    time_series: Float[Tensor, "... region frame"],
    *,
    order: int = 1,
    mask: Bool[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    """Return the series without its least-squares polynomial in time.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN in a frame that counts makes its region NaN.
    order : int, default 1
        Highest power of time taken out: 0 the mean, 1 a line.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. The polynomial is fitted to these frames at the times they were taken at; masked
        frames hold 0 in the result.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or `order` is negative or not less than the number of frames.
    RuntimeError
        With `check`, as said there.

    See Also
    --------
    scipy.signal.detrend : agrees to rounding for orders 0 and 1.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(jnp.round(detrend(jnp.array([[5.0, 8.0, 9.0, 12.0]])), 3))
    [[-0.2  0.6 -0.6  0.2]]
    """
    series = real_series(time_series)
    if not 0 <= order < series.shape[-1]:
        raise ValueError(f"order must lie between 0 and the {series.shape[-1]} frames less one, and is {order}")
    series, valid = with_mask(series, mask)
    if check:
        series = refuse_bad_values("time_series", series)
    return detrended(series, valid, order, every_frame=mask is None)


def residualise(
    time_series: Float[Tensor, "... region frame"],
    confounds: Float[Tensor, "... confound frame"],
    *,
    mask: Bool[Tensor, "... frame"] | None = None,
    ridge: float | Float[Array, ""] | None = None,
    intercept: bool = True,
    check: bool = False,
) -> Float[Array, "... region frame"]:
    r"""Return what is left of the series when the confounds are regressed out of them.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN in a frame that counts makes its region NaN.
    confounds : array, shape (..., confound, frame)
        In any units: without `ridge` nothing depends on them. Leading axes broadcast with those of the series. NaN in
        a frame that counts makes everything NaN: the first frame of a temporal derivative is often empty.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts. Masked frames count as if they had been deleted, and hold 0 in the result.
    ridge : float, optional
        :math:`\lambda > 0` of the penalty :math:`\lambda \sum b^2` on the coefficients of the confounds as they are
        given (not on the intercept). Without it confounds are projected out, at whatever rank they have.
    intercept : bool, default True
        Fit a mean as well, and take it out. A confound that is constant is then ignored.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts.

    Returns
    -------
    array, shape (..., region, frame)
        In the unit of the series. Gradients are finite at any confounds; where the rank of the confounds changes they
        are those at constant rank.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or `ridge` is a number that is not positive.
    RuntimeError
        With `check`, as said there.

    See Also
    --------
    nilearn.signal.clean : with ``detrend=False, standardize=None``.
    sklearn.linear_model.Ridge : with ``alpha=ridge``.

    References
    ----------
    .. [1] Golub & Pereyra (1973). The differentiation of pseudo-inverses and nonlinear least squares problems whose
       variables separate. doi:10.1137/0710036

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> drift = jnp.arange(4.0)[None]
    >>> print(jnp.round(residualise(3.0 * drift + jnp.array([0.0, 1.0, 0.0, 1.0]), drift), 3))
    [[-0.2  0.6 -0.6  0.2]]
    """
    if isinstance(ridge, (int, float)) and not ridge > 0:
        raise ValueError(f"ridge must be positive, or None for a projection, and is {ridge}")
    series = real_series(time_series)
    several_frames(series, "a regression")
    regressors = real_series(confounds, name="confounds", axes="(..., confound, frame)").astype(series.dtype)
    if regressors.shape[-1] != series.shape[-1]:
        raise ValueError(
            f"confounds must have the {series.shape[-1]} frames of the series, and have shape {regressors.shape}"
        )
    series, regressors = joined_lead(series, "confounds", regressors, own=2)
    series, valid = with_mask(series, mask)
    regressors, valid_regressors = with_mask(regressors, mask)
    if check:
        series = refuse_bad_values("time_series", series)
        regressors = refuse_bad_values("confounds", regressors)
    if intercept:
        series = centred(series, valid)[0]
        regressors = centred(regressors, valid_regressors)[0]
    return regressed(series, regressors, ridge)


def detrended(series: Array, valid: Bool[Array, "... 1 frame"], order: int, *, every_frame: bool) -> Array:
    """Return what `detrend` does, of a masked series; `every_frame` says that no frame is masked."""
    series = series - series.mean(-1, keepdims=True) if every_frame else centred(series, valid)[0]
    if order == 0:
        return series
    time = np.linspace(-1.0, 1.0, series.shape[-1])
    powers = np.polynomial.legendre.legvander(time, order).T
    if every_frame:
        basis = jnp.asarray(np.linalg.qr(powers.T)[0].T, series.dtype)
        return series - (series @ basis.T) @ basis
    masked = jnp.where(valid, jnp.asarray(powers, series.dtype).reshape((1,) * (series.ndim - 2) + powers.shape), 0.0)
    return projected_out(series, masked)


def regressed(series: Array, regressors: Array, ridge: float | Array | None) -> Array:
    """Return the residual of masked series on masked regressors, of one rank."""
    if ridge is None:
        return projected_out(series, regressors)
    transposed = jnp.swapaxes(regressors, -1, -2)
    gram = regressors @ transposed + ridge * jnp.eye(regressors.shape[-2], dtype=series.dtype)
    # LU, because gradients of batched triangular solves after a Cholesky factorisation may hang on CPU.
    coefficients = jnp.linalg.solve(gram, regressors @ jnp.swapaxes(series, -1, -2))
    return series - jnp.swapaxes(coefficients, -1, -2) @ regressors


def projected_out(
    series: Float[Array, "... region frame"], regressors: Float[Array, "... confound frame"]
) -> Float[Array, "... region frame"]:
    """Return the part of the series that is orthogonal to the regressors, whatever their rank and scale."""
    power = jax.lax.stop_gradient((regressors**2).sum(-1, keepdims=True))
    scale = jnp.where(power > 0, jax.lax.rsqrt(jnp.where(power > 0, power, 1.0)), 0.0)
    return _residual(series, regressors * scale)


@jax.custom_jvp
def _residual(series: Array, regressors: Array) -> Array:
    return series - (series @ _pseudoinverse(regressors)) @ regressors


@_residual.defjvp
def _residual_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    series, regressors = primals
    series_dot, regressors_dot = tangents
    inverse = _pseudoinverse(regressors)
    coefficients = series @ inverse
    residual = series - coefficients @ regressors
    moved = series_dot - coefficients @ regressors_dot
    moved = moved - (moved @ inverse) @ regressors
    return residual, moved - (residual @ jnp.swapaxes(regressors_dot, -1, -2)) @ jnp.swapaxes(inverse, -1, -2)


def _pseudoinverse(regressors: Float[Array, "... confound frame"]) -> Float[Array, "... frame confound"]:
    """Return the pseudo-inverse; singular values below max(shape) x eps of the largest count as 0."""
    orthonormal, factor = jnp.linalg.qr(jnp.swapaxes(regressors, -1, -2))
    left, values, right = jnp.linalg.svd(factor, full_matrices=False)
    bound = max(regressors.shape[-2:]) * jnp.finfo(regressors.dtype).eps * values.max(-1, keepdims=True)
    kept = values > bound
    inverse = jnp.where(kept, 1.0 / jnp.where(kept, values, 1.0), 0.0)
    return (orthonormal @ left) @ (inverse[..., None] * right)
