r"""Convolution of series over frames with kernels that mix channels, as in `numpy.convolve` with mode "same".

With :math:`K` taps and :math:`s` the number of frames that a kernel looks ahead, :math:`\lfloor (K - 1) / 2 \rfloor`
or 0,

.. math:: y_{oit} = \sum_c \sum_{k=0}^{K-1} w_{ocik}\, x_{ci,\,t + s - k} ,

where frames before the first and after the last count as 0.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional._inputs import real_series
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["convolve_series"]


def convolve_series(
    time_series: Float[Tensor, "... channel region frame"],
    kernel: Float[Tensor, "output channel #region tap"],
    *,
    bias: Float[Tensor, " output"] | None = None,
    causal: bool = False,
    pooled: bool = False,
    check: bool = False,
) -> Float[Array, "... output #region frame"]:
    """Return the series convolved over frames, with channels mixed.

    Parameters
    ----------
    time_series : array, shape (..., channel, region, frame)
        Signals, in any unit; a channel is a version of all of them. NaN spreads as far as the kernel reaches:
        interpolate masked frames first.
    kernel : array, shape (output, channel, region or 1, tap)
        Weights at lags of 0, 1, ... frames after the frames that the kernel looks ahead. One kernel for all regions
        if the third axis is 1, else one a region. More taps than frames are allowed.
    bias : array, shape (output,), optional
        Added to every frame.
    causal : bool, default False
        Look at the present and the past alone; by default the kernel is centred, and looks ahead by
        ``(n_taps - 1) // 2`` frames.
    pooled : bool, default False
        Add up the regions, each convolved with its own kernel.
    check : bool, default False
        Refuse NaN and infinity, also under ``jit``.

    Returns
    -------
    array, shape (..., output, region, frame)
        In the unit of the series times that of the kernel. One region if they are `pooled`.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    RuntimeError
        With `check`, as said there.

    See Also
    --------
    numpy.convolve : mode "same" for each region and channel.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> step = jnp.array([[[0.0, 0.0, 1.0, 1.0, 1.0]]])
    >>> convolve_series(step, jnp.array([[[[1.0, -1.0]]]]), causal=True)[0, 0].tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0]
    """
    series = real_series(time_series, axes="(..., channel, region, frame)", check=check)
    weights = _to_jax_array(kernel).astype(series.dtype)
    n_channels, n_regions, n_frames = series.shape[-3:]
    if (
        weights.ndim != 4
        or weights.shape[1] != n_channels
        or weights.shape[2] not in (1, n_regions)
        or 0 in weights.shape
    ):
        raise ValueError(
            f"kernel must have shape (output, {n_channels}, {n_regions} or 1, tap) for the {n_channels} channels and "
            f"{n_regions} regions of the series, and has shape {weights.shape}"
        )
    n_outputs, _, n_own, n_taps = weights.shape
    ahead = 0 if causal else (n_taps - 1) // 2
    weights = weights[..., ::-1]  # XLA's convolution does not turn its kernel round
    lead = series.shape[:-3]
    if pooled:
        weights = jnp.broadcast_to(weights, (n_outputs, n_channels, n_regions, n_taps))
        lines = series.reshape(-1, n_channels * n_regions, n_frames)
        rows, groups = weights.reshape(n_outputs, n_channels * n_regions, n_taps), 1
    elif n_own == 1:
        lines = jnp.swapaxes(series, -3, -2).reshape(-1, n_channels, n_frames)
        rows, groups = weights[:, :, 0], 1
    else:
        lines = jnp.swapaxes(series, -3, -2).reshape(-1, n_regions * n_channels, n_frames)
        rows = weights.transpose(2, 0, 1, 3).reshape(n_regions * n_outputs, n_channels, n_taps)
        groups = n_regions
    out = jax.lax.conv_general_dilated(
        lines,
        rows,
        window_strides=(1,),
        padding=[(n_taps - 1 - ahead, ahead)],
        dimension_numbers=("NCH", "OIH", "NCH"),
        feature_group_count=groups,
    )
    if pooled:
        out = out.reshape(*lead, n_outputs, 1, n_frames)
    else:
        out = jnp.swapaxes(out.reshape(*lead, n_regions, n_outputs, n_frames), -3, -2)
    if bias is None:
        return out
    return out + per_output(bias, n_outputs, out.dtype)


def per_output(bias: Tensor, n_outputs: int, dtype: jnp.dtype) -> Float[Array, "output 1 1"]:
    """Return one value an output channel, before the two axes of what a channel holds."""
    values = _to_jax_array(bias).astype(dtype)
    if values.shape != (n_outputs,):
        raise ValueError(f"bias must have one value for each of the {n_outputs} outputs, and has shape {values.shape}")
    return values[:, None, None]
