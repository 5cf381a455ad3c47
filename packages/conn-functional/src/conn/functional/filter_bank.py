"""Banks of zero-phase filters whose gains, or whose band edges, are learned."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from conn.functional._inputs import Band, positive, real_series
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.filters import Family, design_sections, ideal_response, product_filter, sections_response

__all__ = ["ButterworthBank", "FilterBank"]


class FilterBank(eqx.Module):
    """Filters with a free gain at each Fourier frequency.

    Parameters
    ----------
    gain : array, shape (filter, bin)
        Real gain of each filter at the ``n_frames // 2 + 1`` frequencies of ``numpy.fft.rfftfreq``. Constrain it with
        a parametrisation, for example ``MappedLogits.map(bank, where="gain")`` for gains from 0 to 1 or
        ``ProbabilitySimplexParameter.map(bank, where="gain", axis=0)`` for filters that share out each frequency.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> bank = FilterBank.from_bands([(0.01, 0.05), (0.05, 0.1)], n_frames=100, repetition_time=2.0)
    >>> bank(jnp.ones((3, 100))).shape
    (2, 3, 100)
    """

    gain: Tensor

    def __check_init__(self) -> None:
        if len(np.shape(self.gain)) != 2:
            raise ValueError(f"gain must have shape (filter, bin), and has shape {np.shape(self.gain)}")

    @classmethod
    def from_bands(
        cls,
        bands: Sequence[Band],
        *,
        n_frames: int,
        repetition_time: float,
        family: Family | None = None,
        order: int = 4,
        **settings: Any,
    ) -> "FilterBank":
        """Return a bank that starts from classical filters, one a band.

        Parameters
        ----------
        bands : sequence of (float or None, float or None)
            Lowest and highest frequency that pass, in hertz; None leaves a side open.
        n_frames : int
            Number of frames of the series that will be filtered.
        repetition_time : float
            Seconds from frame to frame.
        family : {"butterworth", "chebyshev1", "chebyshev2", "elliptic", "bessel"}, optional
            Start from the squared magnitude of this filter, as run forwards and backwards; by default from 1 inside
            the band and 0 outside.
        order : int, default 4
            Of the filter, see `design_sections`.
        **settings
            Ripple and attenuation, see `design_sections`.

        Returns
        -------
        FilterBank
            With gains of the default precision.

        Raises
        ------
        ValueError
            If there is no band, or one does not fit the repetition time.
        """
        if not bands:
            raise ValueError("a filter bank needs at least one band")
        if family is None:
            gains = [ideal_response(n_frames, band=band, repetition_time=repetition_time) for band in bands]
        else:
            designs = [
                design_sections(family, order=order, band=band, repetition_time=repetition_time, **settings)
                for band in bands
            ]
            gains = [jnp.abs(sections_response(sections, n_frames=n_frames)) ** 2 for sections in designs]
        return cls(jnp.stack(gains))

    def __call__(self, time_series: Float[Tensor, "... region frame"]) -> Float[Array, "... filter region frame"]:
        """Return the series filtered by every filter.

        Parameters
        ----------
        time_series : array, shape (..., region, frame)
            Signals, in any unit; they count as periodic, see `product_filter`.

        Returns
        -------
        array, shape (..., filter, region, frame)
            In the unit of the series times that of the gain.

        Raises
        ------
        ValueError
            If the gains do not fit the number of frames.
        """
        series = real_series(time_series)
        return product_filter(series[..., None, :, :], _to_jax_array(self.gain)[:, None, :])


class ButterworthBank(eqx.Module):
    r"""Band-pass filters with Butterworth flanks, whose band edges are the parameters.

    The gain at frequency :math:`f` is :math:`\big(1 + (l / f)^{2n}\big)^{-1} \big(1 + (f / h)^{2n}\big)^{-1}`: a half
    at the edges :math:`l` and :math:`h` of a wide band, as if a Butterworth filter of order :math:`n` had been run
    forwards and backwards. It is smooth in the edges, which a design by bilinear transformation is only outside JAX.

    Parameters
    ----------
    low, high : arrays, shape (filter,)
        Edges in hertz, above 0. Keep them in order and in range with a parametrisation, for example
        ``MappedLogits.map(bank, where=["low", "high"], ...)``.
    order : int, default 4
        Steepness of the flanks.
    repetition_time : float
        Seconds from frame to frame.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> bank = ButterworthBank(jnp.array([0.01, 0.05]), jnp.array([0.05, 0.1]), repetition_time=2.0)
    >>> bank(jnp.ones((3, 100))).shape
    (2, 3, 100)
    """

    low: Tensor
    high: Tensor
    order: int = eqx.field(static=True)
    repetition_time: float = eqx.field(static=True)

    def __init__(
        self,
        low: Float[Tensor, " filter"],
        high: Float[Tensor, " filter"],
        *,
        order: int = 4,
        repetition_time: float,
    ) -> None:
        if order < 1 or int(order) != order:
            raise ValueError(f"order must be a whole number of at least 1, and is {order}")
        self.low, self.high = low, high
        self.order = int(order)
        self.repetition_time = positive("repetition_time", repetition_time, "s")
        shapes = [np.shape(low), np.shape(high)]
        if len(shapes[0]) != 1 or shapes[0] != shapes[1]:
            raise ValueError(
                f"low and high must both have shape (filter,), and have shapes {shapes[0]} and {shapes[1]}"
            )
        for name, edges in (("low", low), ("high", high)):
            values = _to_jax_array(edges)
            if not isinstance(values, Tracer) and not bool((values > 0).all()):
                raise ValueError(f"the edges in {name} must be above 0 Hz, and are {values.tolist()}")

    def gain(self, n_frames: int) -> Float[Array, "filter bin"]:
        """Return the gain of every filter at the Fourier frequencies of so many frames.

        Parameters
        ----------
        n_frames : int
            Number of frames of the series that will be filtered.

        Returns
        -------
        array, shape (filter, n_frames // 2 + 1)
            From 0 to 1; 0 at 0 Hz.
        """
        low, high = (_to_jax_array(edges)[:, None] for edges in (self.low, self.high))
        octave = np.log(np.fft.rfftfreq(n_frames, self.repetition_time)[1:])
        steep = 2 * self.order
        # 1 / (1 + (f / h)^2n) is the logistic function of the distance in log frequency: no power overflows.
        rising = jax.nn.sigmoid(steep * (octave.astype(low.dtype) - jnp.log(low)))
        falling = jax.nn.sigmoid(steep * (jnp.log(high) - octave.astype(high.dtype)))
        passing = rising * falling
        return jnp.concatenate([jnp.zeros_like(passing, shape=(len(passing), 1)), passing], axis=1)

    def __call__(self, time_series: Float[Tensor, "... region frame"]) -> Float[Array, "... filter region frame"]:
        """Return the series filtered by every filter.

        Parameters
        ----------
        time_series : array, shape (..., region, frame)
            Signals, in any unit; they count as periodic, see `product_filter`.

        Returns
        -------
        array, shape (..., filter, region, frame)
            In the unit of the series.

        Raises
        ------
        ValueError
            If the series does not have the shape (..., region, frame).
        """
        series = real_series(time_series)
        return product_filter(series[..., None, :, :], self.gain(series.shape[-1])[:, None, :])
