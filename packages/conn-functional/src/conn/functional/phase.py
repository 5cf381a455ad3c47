r"""Phase synchronisation between regions: locking value and lag indices.

Each reads complex numbers :math:`z_{it}` with a phase: analytic signals over frames, or the Fourier coefficients of
segments (`segment_spectra`), or wavelet coefficients (`morlet_transform`), whose axes in front of the regions give one
matrix each. With :math:`u = z / |z|` and :math:`s_t = \operatorname{Im}(z_{it} z^*_{jt})`,

.. math:: \mathrm{PLV} = \Big|\frac1T \sum_t u_{it} u^*_{jt}\Big|, \quad
          \mathrm{PLI} = \Big|\frac1T \sum_t \operatorname{sign} s_t\Big|, \quad
          \mathrm{wPLI} = \frac{|\sum_t s_t|}{\sum_t |s_t|}, \quad
          \mathrm{wPLI}^2_{\mathrm{debiased}} = \frac{(\sum_t s_t)^2 - \sum_t s_t^2}{(\sum_t |s_t|)^2 - \sum_t s_t^2} .

The phases themselves come from neighbouring frames, and censored ones must be interpolated before a real series is
given; given the phases, the means are over frames in any order, and a mask leaves frames out of them.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact

from conn.functional._pairwise import frame_weights, row_by_row
from conn.functional.analytic import as_analytic, modulus, phasor
from conn.functional.engine import Tensor

__all__ = ["phase_lag_index", "phase_locking_value", "weighted_phase_lag_index"]


def phase_locking_value(
    time_series: Inexact[Tensor, "... region frame"],
    *,
    mask: Bool[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return how constant the phase difference between two regions is.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Real signals of a narrow band, of which the analytic signal is taken; or complex ones, taken as they are.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts in the mean. It comes after the analytic signal, which reads all frames.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts, or none that counts.

    Returns
    -------
    array, shape (..., region, region)
        Symmetric, from 0 to 1; the diagonal is 1. A frame in which either amplitude is 0 counts as 0; where no frame
        counts, 0. NaN in a region makes its row and column NaN. Where the value is 0 its derivative is given as 0.

    Raises
    ------
    ValueError
        If the series or the mask does not fit.
    RuntimeError
        With `check`, as said there.

    See Also
    --------
    mne_connectivity.spectral_connectivity_epochs : method "plv", with segments for frames.

    References
    ----------
    .. [1] Lachaux JP et al. (1999). Measuring phase synchrony in brain signals.
       doi:10.1002/(SICI)1097-0193(1999)8:4<194::AID-HBM4>3.0.CO;2-C

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> angle = 0.4 * jnp.arange(20.0)
    >>> matrix = phase_locking_value(jnp.exp(1j * jnp.stack([angle, angle + 1, -angle])))
    >>> [f"{value:.2f}" for value in matrix[0]]
    ['1.00', '1.00', '0.13']
    """
    analytic, valid = frame_weights(mask, as_analytic(time_series), check=check)
    return _locking(analytic, valid)


def phase_lag_index(
    time_series: Inexact[Tensor, "... region frame"],
    *,
    mask: Bool[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return how consistently one region is ahead of the other, however little.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Real signals of a narrow band, of which the analytic signal is taken; or complex ones, taken as they are.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts in the mean. It comes after the analytic signal, which reads all frames.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts, or none that counts.

    Returns
    -------
    array, shape (..., region, region)
        Symmetric, from 0 to 1, the diagonal 0. A piecewise constant function of the series: its derivative is 0
        wherever it has one; to optimise, take `weighted_phase_lag_index`. Where no frame counts, 0.

    Raises
    ------
    ValueError
        If the series or the mask does not fit.
    RuntimeError
        With `check`, as said there.

    See Also
    --------
    mne_connectivity.spectral_connectivity_epochs : method "pli", with segments for frames.

    References
    ----------
    .. [1] Stam CJ, Nolte G, Daffertshofer A (2007). Phase lag index. doi:10.1002/hbm.20346

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> angle = 0.4 * jnp.arange(20.0)
    >>> phase_lag_index(jnp.exp(1j * jnp.stack([angle, angle + 1])))[0].tolist()
    [0.0, 1.0]
    """
    analytic, valid = frame_weights(mask, as_analytic(time_series), check=check)
    return _lag_index(analytic, valid)


def weighted_phase_lag_index(
    time_series: Inexact[Tensor, "... region frame"],
    *,
    debiased: bool = False,
    mask: Bool[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return how consistently one region is ahead of the other, weighted by how far off the line of no lag.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Real signals of a narrow band, of which the analytic signal is taken; or complex ones, taken as they are.
    debiased : bool, default False
        Give the debiased estimate of the *square*, whose expectation does not depend on the number of frames.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts in the sums. It comes after the analytic signal, which reads all frames.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts, or none that counts.

    Returns
    -------
    array, shape (..., region, region)
        Symmetric, the diagonal 0; from 0 to 1, or for the debiased square from about ``-1 / (frame - 1)`` to 1. For a
        pair that is never out of phase (and, debiased, in a single frame at most), 0.

    Raises
    ------
    ValueError
        If the series or the mask does not fit.
    RuntimeError
        With `check`, as said there.

    See Also
    --------
    mne_connectivity.spectral_connectivity_epochs : methods "wpli" and "wpli2_debiased", with segments for frames.

    References
    ----------
    .. [1] Vinck M et al. (2011). An improved index of phase-synchronization for electrophysiological data in the
       presence of volume-conduction, noise and sample-size bias. doi:10.1016/j.neuroimage.2011.01.055

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> angle = 0.4 * jnp.arange(20.0)
    >>> jnp.round(weighted_phase_lag_index(jnp.exp(1j * jnp.stack([angle, angle + 1]))), 4)[0].tolist()
    [0.0, 1.0]
    """
    analytic, _ = frame_weights(mask, as_analytic(time_series), check=check)
    return _weighted_lag_index(analytic, debiased=bool(debiased))


@jax.jit
def _locking(analytic: Array, valid: Array) -> Array:
    unit = phasor(analytic)
    count = jnp.maximum(valid.sum(-1)[..., None], 1).astype(unit.real.dtype)
    product = jnp.einsum("...it,...jt->...ij", unit, jnp.conj(unit), precision="highest") / count
    return jnp.minimum(modulus(product), 1.0)


@jax.jit
def _lag_index(analytic: Array, valid: Array) -> Array:
    count = jnp.maximum(valid.sum(-1), 1).astype(analytic.real.dtype)
    scaled = _of_unit_size(analytic)
    return row_by_row(lambda place, one: jnp.abs(jnp.sign(_lag(scaled, place, one)).sum(-1)) / count, scaled)


@partial(jax.jit, static_argnames="debiased")
def _weighted_lag_index(analytic: Array, *, debiased: bool) -> Array:
    scaled = _of_unit_size(analytic)

    def row(place: Array, one: Array) -> Array:
        lag = _lag(scaled, place, one)
        signed, absolute = lag.sum(-1), jnp.abs(lag).sum(-1)
        if debiased:
            squares = (lag**2).sum(-1)
            # In a single frame the two terms are equal but for rounding, and there is nothing to divide by.
            above, below = signed**2 - squares, absolute**2 - squares
            never = below <= 8 * jnp.finfo(below.dtype).eps * squares
        else:
            above, below = jnp.abs(signed), absolute
            never = below <= 0
        return jnp.where(never, 0.0, above / jnp.where(never, 1.0, below))

    return row_by_row(row, scaled)


def _lag(analytic: Array, place: Array, one: Array) -> Array:
    """Return Im(z_i z_j*) of region i with all regions j; 0 where that is rounding, and of a region with itself.

    The largest amplitude of each region is 1, and the rounding of an analytic signal is some eps of that.
    """
    own, others = one[..., None, :], analytic
    lag = own.imag * others.real - own.real * others.imag
    rounding = 8 * jnp.finfo(lag.dtype).eps * (modulus(own) + modulus(others))
    itself = jnp.arange(analytic.shape[-2])[:, None] == place
    return jnp.where(itself | (jnp.abs(lag) <= rounding), 0.0, lag)


def _of_unit_size(analytic: Array) -> Array:
    """Return the signals scaled to a largest amplitude of 1: the lag indices do not depend on it, rounding does."""
    size = jax.lax.stop_gradient(jnp.abs(analytic).max(-1, keepdims=True))
    return analytic / jnp.where(size == 0, 1.0, size)
