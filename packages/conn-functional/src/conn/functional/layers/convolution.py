"""Convolution of series over frames, of the series and of functions of them."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional._inputs import real_series
from conn.functional.convolution import convolve_series
from conn.functional.engine import Tensor

__all__ = ["TimeSeriesConvolution"]


class TimeSeriesConvolution(eqx.Module):
    """Series convolved over frames with learned kernels, see `convolve_series`.

    Parameters
    ----------
    kernel : array, shape (output, channel, region or 1, tap)
        One kernel for all regions, or one a region.
    bias : array, shape (output,), optional
        Added to every frame.
    basis : sequence of callables, optional
        Functions of a value, such as powers, that are convolved in the place of the series: each gives as many
        channels as the series has, one function after the other.
    causal : bool, default False
        Look at the present and the past alone.
    pooled : bool, default False
        Add up the regions.

    Raises
    ------
    ValueError
        If the kernel does not have four axes, or its channels cannot be shared out among the functions.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> layer = TimeSeriesConvolution.random(2, 5, basis=(jnp.asarray, jnp.square), key=jax.random.key(0))
    >>> layer(jnp.ones((1, 3, 40))).shape
    (2, 3, 40)
    """

    kernel: Tensor
    bias: Tensor | None
    basis: tuple[Callable[[Array], Array], ...] | None = eqx.field(static=True)
    causal: bool = eqx.field(static=True)
    pooled: bool = eqx.field(static=True)

    def __init__(
        self,
        kernel: Float[Tensor, "output channel #region tap"],
        bias: Float[Tensor, " output"] | None = None,
        *,
        basis: Sequence[Callable[[Array], Array]] | None = None,
        causal: bool = False,
        pooled: bool = False,
    ) -> None:
        shape = np.shape(kernel)
        if len(shape) != 4:
            raise ValueError(f"kernel must have shape (output, channel, region or 1, tap), and has shape {shape}")
        if basis is not None and (len(basis) == 0 or shape[1] % len(basis)):
            raise ValueError(f"the {shape[1]} channels of the kernel cannot be shared by {len(basis)} functions")
        self.kernel, self.bias = kernel, bias
        self.basis = None if basis is None else tuple(basis)
        self.causal, self.pooled = causal, pooled

    @classmethod
    def random(
        cls,
        n_outputs: int,
        n_taps: int,
        *,
        n_channels: int = 1,
        n_regions: int = 1,
        key: Array,
        basis: Sequence[Callable[[Array], Array]] | None = None,
        causal: bool = False,
        pooled: bool = False,
        with_bias: bool = True,
    ) -> "TimeSeriesConvolution":
        """Return a layer of normal kernels, with which white series keep their variance.

        Parameters
        ----------
        n_outputs, n_taps, n_channels : int
            The sizes; the channels are those of the series.
        n_regions : int, default 1
            1 for one kernel for all regions.
        key : PRNG key
            The same key gives the same kernels.
        basis, causal, pooled
            As for the class.
        with_bias : bool, default True
            Learn a bias, which starts at 0.

        Returns
        -------
        TimeSeriesConvolution
        """
        channels = n_channels * (1 if basis is None else len(basis))
        fan = channels * n_taps * (n_regions if pooled else 1)
        kernel = jax.random.normal(key, (n_outputs, channels, n_regions, n_taps)) / fan**0.5
        bias = jnp.zeros(n_outputs) if with_bias else None
        return cls(kernel, bias, basis=basis, causal=causal, pooled=pooled)

    def __call__(
        self, time_series: Float[Tensor, "... channel region frame"]
    ) -> Float[Array, "... output #region frame"]:
        """Return the convolved series.

        Parameters
        ----------
        time_series : array, shape (..., channel, region, frame)
            In any unit. NaN spreads as far as the kernel reaches.

        Returns
        -------
        array, shape (..., output, region, frame)

        Raises
        ------
        ValueError
            If the shapes do not fit each other.
        """
        series = real_series(time_series, axes="(..., channel, region, frame)")
        if self.basis is not None:
            series = jnp.concatenate([function(series) for function in self.basis], axis=-3)
        return convolve_series(series, self.kernel, bias=self.bias, causal=self.causal, pooled=self.pooled)
