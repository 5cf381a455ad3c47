"""A network that predicts measures of a scan's quality, such as motion, from the series."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional._inputs import real_series
from conn.functional.engine import Tensor
from conn.functional.layers.convolution import TimeSeriesConvolution

__all__ = ["QualityPrediction"]


class QualityPrediction(eqx.Module):
    """Measures of quality in each frame, from all regions' series: three convolutions in a row.

    Each region's series is convolved with response functions; series and responses of all regions with global patterns;
    regions' series and patterns with a last kernel for each measure. Between them stands a leaky rectifier; the last
    convolution is linear, so that measures of any sign are reached.

    Parameters
    ----------
    responses : TimeSeriesConvolution
        From one channel to the responses, with one kernel for all regions.
    patterns : TimeSeriesConvolution
        Pooled, from 1 + response channels to the patterns.
    readout : TimeSeriesConvolution
        From region + pattern channels to the measures.
    leak : float, default 0.05
        Slope of the rectifier below 0, not negative.

    Raises
    ------
    ValueError
        If a convolution's channels do not fit the one before it, or the leak is negative.

    Notes
    -----
    At 0 the rectifier's derivative is that from below.

    Examples
    --------
    >>> import jax
    >>> layer = QualityPrediction.random(5, n_measures=2, key=jax.random.key(0))
    >>> layer(jax.numpy.ones((3, 5, 40))).shape
    (3, 2, 40)
    """

    responses: TimeSeriesConvolution
    patterns: TimeSeriesConvolution
    readout: TimeSeriesConvolution
    leak: float = eqx.field(static=True)

    def __init__(
        self,
        responses: TimeSeriesConvolution,
        patterns: TimeSeriesConvolution,
        readout: TimeSeriesConvolution,
        *,
        leak: float = 0.05,
    ) -> None:
        n_responses, n_patterns = responses.kernel.shape[0], patterns.kernel.shape[0]
        if responses.kernel.shape[1:3] != (1, 1):
            raise ValueError("responses must take one channel, with one kernel for all regions")
        if not patterns.pooled or patterns.kernel.shape[1] != 1 + n_responses:
            raise ValueError(f"patterns must be pooled, and take {1 + n_responses} channels: series and responses")
        if readout.kernel.shape[1] <= n_patterns:
            raise ValueError(f"readout must take the regions and the {n_patterns} patterns as channels")
        if leak < 0:
            raise ValueError(f"leak must not be negative, and is {leak}")
        self.responses, self.patterns, self.readout, self.leak = responses, patterns, readout, float(leak)

    @classmethod
    def random(
        cls,
        n_regions: int,
        *,
        n_measures: int = 1,
        n_responses: int = 10,
        n_patterns: int = 10,
        n_taps: int = 9,
        key: Array,
        leak: float = 0.05,
    ) -> "QualityPrediction":
        """Return a network of normal kernels.

        Parameters
        ----------
        n_regions, n_measures, n_responses, n_patterns : int
            The sizes.
        n_taps : int, default 9
            Frames in a kernel of the first two convolutions; the last has one.
        key : PRNG key
            The same key gives the same kernels.
        leak : float, default 0.05
            As for the class.

        Returns
        -------
        QualityPrediction
        """
        first, second, third = jax.random.split(key, 3)
        return cls(
            TimeSeriesConvolution.random(n_responses, n_taps, key=first),
            TimeSeriesConvolution.random(
                n_patterns, n_taps, n_channels=1 + n_responses, n_regions=n_regions, pooled=True, key=second
            ),
            TimeSeriesConvolution.random(n_measures, 1, n_channels=n_regions + n_patterns, key=third),
            leak=leak,
        )

    def __call__(self, time_series: Float[Tensor, "... region frame"]) -> Float[Array, "... measure frame"]:
        """Return the predicted measures.

        Parameters
        ----------
        time_series : array, shape (..., region, frame)
            Standardised. NaN spreads as far as the kernels reach.

        Returns
        -------
        array, shape (..., measure, frame)

        Raises
        ------
        ValueError
            If there are not as many regions as the network was made for.
        """
        series = real_series(time_series)
        channel = series[..., None, :, :]
        answers = jax.nn.leaky_relu(self.responses(channel), self.leak)
        joint = jnp.concatenate([channel, answers], axis=-3)
        found = jax.nn.leaky_relu(self.patterns(joint), self.leak)
        return self.readout(jnp.concatenate([series[..., :, None, :], found], axis=-3))[..., 0, :]
