r"""Amplitude-envelope correlation: how far two regions wax and wane together.

With analytic signals :math:`z_i`, the plain measure is Pearson's correlation of :math:`|z_i|` and :math:`|z_j|`.
Signals that leak into each other share their envelopes without any interaction. Orthogonalised, frame by frame,
region :math:`i` loses what is in phase with region :math:`j`,

.. math:: z_{i \perp j} = \operatorname{Im}\big(z_i z_j^* / |z_j|\big),

and the correlations of :math:`|z_{i \perp j}|` with :math:`|z_j|` and of :math:`|z_{j \perp i}|` with :math:`|z_i|` are
averaged.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact

from conn.functional._pairwise import frame_weights, row_by_row
from conn.functional.analytic import as_analytic, modulus, phasor
from conn.functional.engine import Tensor

__all__ = ["envelope_correlation"]


def envelope_correlation(
    time_series: Inexact[Tensor, "... region frame"],
    *,
    orthogonalise: bool = True,
    absolute: bool = True,
    mask: Bool[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return the correlation between the amplitude envelopes of all pairs of regions.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Real signals of a narrow band, of which the analytic signal is taken; or complex ones, taken as they are.
    orthogonalise : bool, default True
        Remove from each region, frame by frame, what is in phase with the other one.
    absolute : bool, default True
        When orthogonalised, average the absolute values of a pair's two correlations, as MNE-Connectivity does;
        otherwise the correlations themselves.
    mask : array of bool, shape (..., frame), optional
        True where a frame counts in the correlation. It comes after the analytic signal, which reads all frames:
        interpolate censored frames first.
    check : bool, default False
        Refuse bad values too, also under ``jit``: NaN or infinity in a frame that counts, or none that counts.

    Returns
    -------
    array, shape (..., region, region)
        Symmetric. Orthogonalised, the diagonal is 0; otherwise 1. A region with a constant envelope (spread at most
        8 eps of its size) has 0 everywhere, and so has a pair that is never out of phase. NaN in a region makes its
        row and column NaN.

    Raises
    ------
    ValueError
        If the series or the mask does not fit.
    RuntimeError
        With `check`, as said there.

    See Also
    --------
    mne_connectivity.envelope_correlation : agrees to rounding, given the same analytic signals (for real series MNE
        pads with zeros to a fast length).

    References
    ----------
    .. [1] Hipp JF et al. (2012). Large-scale cortical correlation structure of spontaneous oscillatory activity.
       doi:10.1038/nn.3101
    .. [2] Brookes MJ, Woolrich MW, Barnes GR (2012). Measuring functional connectivity in MEG: a multivariate approach
       insensitive to linear source leakage. doi:10.1016/j.neuroimage.2012.03.048

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> time = jnp.arange(80.0)
    >>> slow = 2 + jnp.cos(0.157 * time)
    >>> series = jnp.stack([slow * jnp.cos(1.57 * time), slow * jnp.sin(1.57 * time)])
    >>> bool(envelope_correlation(series)[0, 1] > 0.95)
    True
    """
    analytic, valid = frame_weights(mask, as_analytic(time_series), check=check)
    size = jax.lax.stop_gradient(jnp.abs(analytic).max(-1, keepdims=True))
    analytic = analytic / jnp.where(size == 0, 1.0, size)  # no square of a small amplitude vanishes in float32
    if orthogonalise:
        return _orthogonalised(analytic, valid, absolute=bool(absolute))
    return _plain(analytic, valid)


@jax.jit
def _plain(analytic: Array, valid: Array) -> Array:
    unit, absent = _standardised(modulus(analytic), valid)
    matrix = jnp.einsum("...it,...jt->...ij", unit, unit, precision="highest")
    one = jnp.eye(unit.shape[-2], dtype=bool) & ~(absent | jnp.isnan(unit[..., :1]))
    return jnp.where(one, 1.0, jnp.clip(matrix, -1.0, 1.0))


@partial(jax.jit, static_argnames="absolute")
def _orthogonalised(analytic: Array, valid: Array, *, absolute: bool) -> Array:
    direction = jnp.conj(phasor(analytic))
    envelopes, still = _standardised(modulus(analytic), valid)
    places = jnp.arange(analytic.shape[-2])[:, None]

    def row(place: Array, one: Array) -> Array:
        rest = jnp.abs((one[..., None, :] * direction).imag)
        own = jnp.where(valid, modulus(one)[..., None, :], 0.0)
        # What is left of a pair that is always in phase, a region and itself among them, is rounding.
        noise = (16 * jnp.finfo(rest.dtype).eps) ** 2 * (own**2).sum(-1, keepdims=True)
        nothing = ((rest**2).sum(-1, keepdims=True) <= noise) | (places == place)
        unit, _ = _standardised(jnp.where(nothing, 0.0, rest), valid)
        return (unit * envelopes).sum(-1)

    matrix = row_by_row(row, analytic)
    matrix = jnp.abs(matrix) if absolute else matrix
    # What is out of phase with another region varies even where the region itself does not.
    matrix = jnp.where((still | jnp.swapaxes(still, -1, -2)) & ~jnp.isnan(matrix), 0.0, matrix)
    return (matrix + jnp.swapaxes(matrix, -1, -2)) / 2


def _standardised(amplitude: Array, valid: Array) -> tuple[Array, Array]:
    """Return the amplitudes about their mean with norm 1, 0 where masked, and which of them are constant."""
    count = jnp.maximum(valid.sum(-1, keepdims=True), 1).astype(amplitude.dtype)
    mean = jnp.where(valid, amplitude, 0.0).sum(-1, keepdims=True) / count
    rest = jnp.where(valid, amplitude - mean, 0.0)
    squares = (rest**2).sum(-1, keepdims=True)
    constant = squares <= (8 * jnp.finfo(rest.dtype).eps) ** 2 * count * mean**2
    return jnp.where(constant, 0.0, rest * jnp.where(constant, 1.0, squares) ** -0.5), constant
