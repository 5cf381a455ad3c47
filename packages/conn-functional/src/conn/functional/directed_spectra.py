r"""What a vector autoregression says of directed influence by frequency; every matrix is [target, source].

With the coefficients :math:`B_l` of a fit and the frequency :math:`f` in cycles a frame,
:math:`A(f) = I - \sum_l B_l e^{-2 \pi i f l}`; :math:`H(f) = A(f)^{-1}` carries the residuals, of covariance
:math:`\Sigma`, to the series, whose spectrum is :math:`S = H \Sigma H^*`.
"""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Complex, Float, Int

from conn.functional._inputs import positive
from conn.functional.autoregression import VectorAutoregression, fit_autoregression
from conn.functional.engine import Tensor, _to_jax_array

__all__ = [
    "autoregressive_spectrum",
    "directed_transfer_function",
    "is_stable",
    "partial_directed_coherence",
    "spectral_granger",
]


def is_stable(model: VectorAutoregression) -> Array:
    """Return whether series of the model stay finite: whether all eigenvalues of its companion lie inside the circle.

    Parameters
    ----------
    model : VectorAutoregression
        From `fit_autoregression`.

    Returns
    -------
    array of bool, shape (...)
        The spectra of a model that is not stable are numbers without a meaning.

    References
    ----------
    .. [1] Luetkepohl (2005). doi:10.1007/978-3-540-27752-1

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> bool(is_stable(fit_autoregression(2.0 ** jnp.arange(8.0)[None], 1)))
    False
    """
    coefficients = model.coefficients
    n_lags, n_regions = coefficients.shape[-3], coefficients.shape[-1]
    top = jnp.moveaxis(coefficients, -3, -2).reshape(*coefficients.shape[:-3], n_regions, n_lags * n_regions)
    shift = jnp.eye((n_lags - 1) * n_regions, n_lags * n_regions, dtype=top.dtype)
    companion = jnp.concatenate([top, jnp.broadcast_to(shift, (*top.shape[:-2], *shift.shape))], axis=-2)
    # The size of the largest eigenvalue by repeated squaring: general eigenvalues are not to be had on accelerators.
    logarithm, power = jnp.zeros(companion.shape[:-2], companion.dtype), companion
    for step in range(24):
        size = jnp.sqrt(jnp.square(power).sum((-2, -1)))
        logarithm = logarithm + jnp.where(size > 0, jnp.log(jnp.where(size > 0, size, 1.0)), -jnp.inf) / 2**step
        power = power / jnp.where(size > 0, size, 1.0)[..., None, None]
        power = power @ power
    return logarithm < 0


def autoregressive_spectrum(
    model: VectorAutoregression,
    frequencies: Float[Tensor, " frequency"],
    *,
    repetition_time: float,
    check: bool = False,
) -> Complex[Array, "... frequency target source"]:
    r"""Return the cross-spectral density of the series that a vector autoregression describes.

    Parameters
    ----------
    model : VectorAutoregression
        From `fit_autoregression`; see `is_stable`.
    frequencies : array, shape (frequency,)
        In hertz.
    repetition_time : float
        Seconds from frame to frame.
    check : bool, default False
        Refuse a model that is not stable also where values are not known, under ``jit``.

    Returns
    -------
    array of complex, shape (..., frequency, target, source)
        Two-sided, in the square of the series' unit per hertz: over :math:`\pm 1 / (2 TR)` it integrates to the
        covariance. Hermitian.

    Raises
    ------
    ValueError
        If the repetition time is not positive, or a frequency is beyond the Nyquist frequency; where values are known,
        if the model is not stable.

    Examples
    --------
    >>> import jax
    >>> model = fit_autoregression(jax.random.normal(jax.random.key(0), (2, 500)), 1)
    >>> autoregressive_spectrum(model, [0.0, 0.1], repetition_time=2.0).shape
    (2, 2, 2)
    """
    transfer = jnp.linalg.inv(_one_step(model, frequencies, repetition_time, check))
    noise = model.residual_covariance[..., None, :, :].astype(transfer.dtype)
    return repetition_time * (transfer @ noise @ jnp.conj(jnp.swapaxes(transfer, -1, -2)))


def partial_directed_coherence(
    model: VectorAutoregression,
    frequencies: Float[Tensor, " frequency"],
    *,
    repetition_time: float,
    generalised: bool = False,
    check: bool = False,
) -> Float[Array, "... frequency target source"]:
    r"""Return the partial directed coherence: what share of a source's outflow goes directly to each target.

    :math:`|A_{ts}| / (\sum_k |A_{ks}|^2)^{1/2}`; 0 where no coefficient leads from source to target.

    Parameters
    ----------
    model, frequencies, repetition_time, check
        As in `autoregressive_spectrum`.
    generalised : bool, default False
        Divide each row by the standard deviation of its residual, so that the unit of a region does not matter [2]_.

    Returns
    -------
    array, shape (..., frequency, target, source)
        Between 0 and 1; squares of a column sum to 1. The diagonal is the source's outflow to itself.

    Raises
    ------
    ValueError
        As `autoregressive_spectrum`.

    References
    ----------
    .. [1] Baccala and Sameshima (2001). doi:10.1007/PL00007990
    .. [2] Baccala, Sameshima and Takahashi (2007). doi:10.1109/ICDSP.2007.4288544

    Examples
    --------
    >>> import jax
    >>> model = fit_autoregression(jax.random.normal(jax.random.key(0), (2, 500)), 1)
    >>> bool(partial_directed_coherence(model, [0.1], repetition_time=2.0)[0, 1, 0] < 0.2)
    True
    """
    size = _modulus(_one_step(model, frequencies, repetition_time, check))
    if generalised:
        size = size * _reciprocal_deviation(model)[..., None, :, None]
    return _shares(size, axis=-2)


def directed_transfer_function(
    model: VectorAutoregression,
    frequencies: Float[Tensor, " frequency"],
    *,
    repetition_time: float,
    check: bool = False,
) -> Float[Array, "... frequency target source"]:
    r"""Return the directed transfer function: what share of a target's inflow comes from each source, by any path.

    :math:`|H_{ts}| / (\sum_k |H_{tk}|^2)^{1/2}`.

    Parameters
    ----------
    model, frequencies, repetition_time, check
        As in `autoregressive_spectrum`.

    Returns
    -------
    array, shape (..., frequency, target, source)
        Between 0 and 1; squares of a row sum to 1.

    Raises
    ------
    ValueError
        As `autoregressive_spectrum`.

    References
    ----------
    .. [1] Kaminski and Blinowska (1991). doi:10.1007/BF00198091

    Examples
    --------
    >>> import jax
    >>> model = fit_autoregression(jax.random.normal(jax.random.key(0), (2, 500)), 1)
    >>> bool(directed_transfer_function(model, [0.1], repetition_time=2.0)[0, 1, 0] < 0.2)
    True
    """
    return _shares(_modulus(jnp.linalg.inv(_one_step(model, frequencies, repetition_time, check))), axis=-1)


def spectral_granger(
    time_series: Float[Tensor, "... 2 frame"],
    order: int,
    frequencies: Float[Tensor, " frequency"],
    *,
    repetition_time: float,
    mask: Tensor | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... frequency 2 2"]:
    r"""Return Geweke's Granger causality of two series by frequency.

    It is :math:`\ln (S_{tt} / (S_{tt} - (\Sigma_{ss} - \Sigma_{ts}^2 / \Sigma_{tt}) |H_{ts}|^2))`: the share of the
    target's power that comes from what is new in the source. Over all frequencies its mean is the causality in time
    (if the target alone is predicted from its whole past).

    Parameters
    ----------
    time_series : array, shape (..., 2, frame)
        Two signals; leading axes may run over pairs of regions.
    order : int
        Number of lags, in frames.
    frequencies, repetition_time
        As in `autoregressive_spectrum`.
    mask, run
        As in `fit_autoregression`.
    check : bool, default False
        Refuse NaN and infinity where a frame counts and models that are not stable, also under ``jit``.

    Returns
    -------
    array, shape (..., frequency, target, source)
        In nats, not negative, 0 on the diagonal.

    Raises
    ------
    ValueError
        If there are not two signals, or as `fit_autoregression` and `autoregressive_spectrum`.

    References
    ----------
    .. [1] Geweke (1982). doi:10.1080/01621459.1982.10477803

    Examples
    --------
    >>> import jax
    >>> noise = jax.random.normal(jax.random.key(0), (2, 500))
    >>> bool((spectral_granger(noise, 1, [0.0, 0.1, 0.2], repetition_time=2.0) < 0.1).all())
    True
    """
    series = _to_jax_array(time_series)
    if series.ndim < 2 or series.shape[-2] != 2:
        raise ValueError(f"time_series must have shape (..., 2, frame), and has shape {series.shape}")
    model = fit_autoregression(series, order, mask=mask, run=run, check=check)
    transfer = jnp.linalg.inv(_one_step(model, frequencies, repetition_time, check))
    noise = model.residual_covariance
    spectrum = transfer @ noise[..., None, :, :].astype(transfer.dtype) @ jnp.conj(jnp.swapaxes(transfer, -1, -2))
    power = jnp.real(jnp.diagonal(spectrum, axis1=-2, axis2=-1))[..., :, None]
    own = jnp.diagonal(noise, axis1=-2, axis2=-1)
    usable = own > 0
    shared = jnp.square(noise) / jnp.where(usable, own, 1.0)[..., :, None]
    new = jnp.maximum(own[..., None, :] - shared, 0.0)[..., None, :, :]  # in the source, given the target's news
    carried = new * jnp.square(_modulus(transfer))
    left = power - carried
    comes = (left > 0) & (power > 0) & ~jnp.eye(2, dtype=bool)
    return jnp.where(comes, jnp.log(jnp.where(comes, power, 1.0) / jnp.where(comes, left, 1.0)), 0.0)


def _one_step(model: VectorAutoregression, frequencies: Tensor, repetition_time: float, check: bool) -> Array:
    """Return A(f), which takes the series to its residuals, shape (..., frequency, target, source)."""
    interval = positive("repetition_time", repetition_time, "s")
    values = np.asarray(frequencies, float)
    if values.ndim != 1 or values.size == 0 or not (np.abs(values) <= 0.5 / interval * (1 + 1e-9)).all():
        raise ValueError(
            f"frequencies must be a list within the Nyquist frequency, {0.5 / interval:g} Hz, and is {frequencies}"
        )
    stable = is_stable(model).all()
    message = (
        "the vector autoregression is not stable, so that it has no spectrum: take out trends, take fewer lags, or "
        "a ridge (fit_autoregression)"
    )
    coefficients = model.coefficients
    if not isinstance(stable, Tracer):
        if not bool(stable):
            raise ValueError(message)
    elif check:
        coefficients = eqx.error_if(coefficients, ~stable, message)
    n_lags = coefficients.shape[-3]
    turns = np.exp(-2j * np.pi * interval * values[:, None] * np.arange(1, n_lags + 1))
    kind = jnp.result_type(coefficients.dtype, jnp.complex64)
    summed = jnp.einsum("fl,...lts->...fts", jnp.asarray(turns, kind), coefficients.astype(kind))
    return jnp.eye(coefficients.shape[-1], dtype=kind) - summed


def _modulus(value: Array) -> Array:
    """Return the absolute value, with derivative 0 at 0."""
    square = jnp.square(jnp.real(value)) + jnp.square(jnp.imag(value))
    usable = square > 0
    return jnp.where(usable, jnp.sqrt(jnp.where(usable, square, 1.0)), square)


def _shares(size: Array, *, axis: Literal[-1, -2]) -> Array:
    total = jnp.sqrt(jnp.square(size).sum(axis, keepdims=True))
    usable = total > 0
    return jnp.where(usable, size / jnp.where(usable, total, 1.0), total)


def _reciprocal_deviation(model: VectorAutoregression) -> Array:
    variance = jnp.diagonal(model.residual_covariance, axis1=-2, axis2=-1)
    usable = variance > 0
    return jnp.where(usable, 1 / jnp.sqrt(jnp.where(usable, variance, 1.0)), 0.0)
