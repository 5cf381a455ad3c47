"""Connections whose delay is a parameter: free, or a tract's length over a conduction velocity."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from drm.connection import DRMConnection

__all__ = ["LearnedDelayConnection", "TractConnection", "Velocity", "narrow_delays"]


class _TappedConnection(DRMConnection):
    """A delay line that is read at several taps, in proportions that follow a delay in between.

    The proportions fall off linearly with the distance from the delay, to zero at `width` ticks.
    With a width of one tick this is linear interpolation, and exact at whole ticks. A gradient
    sees no further than the width: to find a delay from afar start wide, and narrow it.
    """

    taps_width: Tensor

    def __init__(self, n_in: int, n_out: int, *, resolution: float, span: Sequence[float], width: float) -> None:
        if not (resolution > 0 and math.isfinite(resolution)):
            raise ValueError(f"The resolution must be above 0 ms, got {resolution}.")
        minimum, maximum = span
        if not 0 <= minimum < maximum < math.inf:
            raise ValueError(f"The delays must span from at least 0 ms to more, got {minimum} to {maximum} ms.")
        first = math.floor(minimum / resolution + 1e-9)
        last = math.ceil(maximum / resolution - 1e-9)
        super().__init__(n_in, n_out, delay=last)
        self.resolution: float = float(resolution)
        self.minimum: float = float(minimum)
        self.maximum: float = float(maximum)
        self._lags = tuple(range(first, last + 1))
        # A buffer: a training that goes on from a file goes on with the width of that moment.
        self.register_buffer("taps_width", torch.ones(()))
        self.width = width

    @property
    def lags(self) -> tuple[int, ...]:
        """The delays in ticks of all taps."""
        return self._lags

    @property
    def width(self) -> float:
        """The distance in ticks, at least 1, from the delay at which taps no longer count."""
        return float(self.taps_width)

    @width.setter
    def width(self, width: float) -> None:
        if not width >= 1:
            raise ValueError(f"The width must be at least 1 tick, got {width}.")
        self.taps_width.fill_(float(width))

    def milliseconds(self) -> Tensor:
        """Return the delay in milliseconds; each subclass says how.

        Returns
        -------
        Tensor, shape ()

        Raises
        ------
        NotImplementedError
            Always: the base class has no delay.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define its delay.")

    def coefficients(self) -> Tensor:
        """Return in what proportions the taps arrive; they sum to one.

        Returns
        -------
        Tensor, shape (lag,)
        """
        delay = self.milliseconds() / self.resolution
        lags = torch.tensor(self._lags, device=delay.device, dtype=delay.dtype)
        near = torch.relu(1 - (lags - delay).abs() / self.taps_width)
        return near / near.sum()

    def extra_repr(self) -> str:
        """Return the sizes and the span of delays, for printing."""
        return (
            f"n_in={self.n_in}, n_out={self.n_out}, resolution={self.resolution}, "
            f"minimum={self.minimum}, maximum={self.maximum}"
        )


class LearnedDelayConnection(_TappedConnection):
    """A connection whose delay is learned.

    Parameters
    ----------
    n_in, n_out : int, default 1
        As for `DRMConnection`.
    resolution : float
        Length of a tick in milliseconds.
    initial : float
        The delay at the start, in milliseconds, between the two ends.
    minimum, maximum : float
        Ends between which the delay stays, in milliseconds. Among populations the minimum must be
        a tick or more.
    width : float, default 1
        How far in ticks, at least 1, the taps reach on both sides of the delay. It may be changed
        at any time: wide at the start lets a delay be found from afar, and 1 at the end makes it
        sharp.

    Raises
    ------
    ValueError
        If the delays or the width are not possible.

    Examples
    --------
    >>> line = LearnedDelayConnection(resolution=5, initial=37, minimum=5, maximum=100)
    >>> round(line.milliseconds().item(), 3)
    37.0
    >>> {lag: round(x, 2) for lag, x in zip(line.lags, line.coefficients().tolist()) if x > 0}
    {7: 0.6, 8: 0.4}
    """

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        *,
        resolution: float,
        initial: float,
        minimum: float,
        maximum: float,
        width: float = 1.0,
    ) -> None:
        super().__init__(n_in, n_out, resolution=resolution, span=(minimum, maximum), width=width)
        if not minimum < initial < maximum:
            raise ValueError(f"The initial delay must lie between {minimum} and {maximum} ms, got {initial} ms.")
        share = (initial - minimum) / (maximum - minimum)
        self.raw_delay: nn.Parameter = nn.Parameter(torch.tensor(math.log(share / (1 - share))))

    def milliseconds(self) -> Tensor:
        """Return the delay in milliseconds.

        Returns
        -------
        Tensor, shape ()
        """
        return self.minimum + (self.maximum - self.minimum) * torch.sigmoid(self.raw_delay)


class Velocity(nn.Module):
    """A conduction velocity that is learned, for several tracts to share.

    Parameters
    ----------
    initial : float
        Metres per second (which is millimetres per millisecond), positive.

    Raises
    ------
    ValueError
        If the velocity is not positive.

    Examples
    --------
    >>> round(Velocity(6.0)().item(), 3)
    6.0
    """

    def __init__(self, initial: float) -> None:
        super().__init__()
        if not (initial > 0 and math.isfinite(initial)):
            raise ValueError(f"A velocity must be above 0 m/s, got {initial}.")
        self.log_value: nn.Parameter = nn.Parameter(torch.tensor(math.log(initial)))

    def forward(self) -> Tensor:
        """Return the velocity in metres per second.

        Returns
        -------
        Tensor, shape ()
        """
        return self.log_value.exp()


class TractConnection(_TappedConnection):
    """A connection along a tract, whose delay is its length over a conduction velocity.

    Parameters
    ----------
    n_in, n_out : int, default 1
        As for `DRMConnection`.
    resolution : float
        Length of a tick in milliseconds.
    length : float
        Length of the tract in millimetres, positive.
    velocity : Velocity
        Shared among tracts, or not.
    slowest, fastest : float, default 1 and 20
        The velocities in metres per second between which the delay can follow; beyond them it
        stays at the end. At the fastest, a tract among populations must take a tick or more.
    width : float, default 1
        As for `LearnedDelayConnection`.

    Raises
    ------
    ValueError
        If the length, the velocities or the width are not possible.

    Examples
    --------
    >>> tract = TractConnection(resolution=1, length=60, velocity=Velocity(6.0))
    >>> round(tract.milliseconds().item(), 3)
    10.0
    """

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        *,
        resolution: float,
        length: float,
        velocity: Velocity,
        slowest: float = 1.0,
        fastest: float = 20.0,
        width: float = 1.0,
    ) -> None:
        if not (length > 0 and math.isfinite(length)):
            raise ValueError(f"The length of a tract must be above 0 mm, got {length}.")
        if not 0 < slowest < fastest:
            raise ValueError(
                f"The slowest velocity must be above 0 and below the fastest, got {slowest} and {fastest} m/s."
            )
        span = (length / fastest, length / slowest)
        super().__init__(n_in, n_out, resolution=resolution, span=span, width=width)
        self.length: float = float(length)
        self.velocity = velocity

    def milliseconds(self) -> Tensor:
        """Return the delay in milliseconds.

        Returns
        -------
        Tensor, shape ()
        """
        return (self.length / self.velocity()).clamp(self.minimum, self.maximum)


def narrow_delays(net: nn.Module, *, start: float, n_epochs: int) -> Callable[[int, float, float | None], None]:
    """Return a function that narrows the taps of all learned delays epoch by epoch: an annealing.

    Wide taps find a delay from afar, narrow ones make it sharp. The width falls in equal steps from
    `start` to one tick, which it reaches after two thirds of the epochs.

    Parameters
    ----------
    net : Module
        Its learned delays have the width `start` from now on.
    start : float
        In ticks, at least 1: about the distance from which a delay is to be found.
    n_epochs : int
        Number of epochs of the training, at least 1.

    Returns
    -------
    callable
        For `on_epoch` of `drm.DRM.estimate`.

    Raises
    ------
    ValueError
        If the network has no learned delay, `start` is below 1 or `n_epochs` is.

    Examples
    --------
    >>> line = LearnedDelayConnection(resolution=5, initial=37, minimum=5, maximum=100)
    >>> narrow = narrow_delays(line, start=7, n_epochs=6)
    >>> widths = [line.width]
    >>> for epoch in range(6):
    ...     narrow(epoch, 0.0, None)
    ...     widths.append(line.width)
    >>> widths
    [7.0, 5.5, 4.0, 2.5, 1.0, 1.0, 1.0]
    """
    lines = [module for module in net.modules() if isinstance(module, _TappedConnection)]
    if not lines:
        raise ValueError("The network has no learned delay.")
    if not start >= 1 or n_epochs < 1:
        raise ValueError(f"start and n_epochs must be at least 1, got {start} and {n_epochs}.")

    def narrow(epoch: int, train: float = math.nan, validation: float | None = None) -> None:
        width = max(1.0, start - (start - 1) * 1.5 * (epoch + 1) / n_epochs)
        for line in lines:
            line.width = width

    narrow(-1)
    return narrow
