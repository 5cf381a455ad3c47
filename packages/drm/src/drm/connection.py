"""Connections that take time: tapped delay lines."""

from numbers import Integral

import torch
from torch import Tensor
from torch.nn import functional

from drm.node import DRMNode

__all__ = ["DRMConnection"]


class DRMConnection(DRMNode):
    """A tapped delay line: gives at each tick what it received `delay` ticks ago.

    A connection has no weights. Its strength is the block of columns that belongs to it in the
    receiving population's weights. Before anything has arrived, it gives zeros.

    Parameters
    ----------
    n_in : int, default 1
        Number of features received.
    n_out : int, default 1
        Number of features given; a delay line changes nothing but time, so it equals `n_in`.
    delay : int, default 1
        Delay in ticks, at least 0; 0 is the identity.

    Raises
    ------
    ValueError
        If `delay` is negative, or `n_out` differs from `n_in`.
    TypeError
        If `delay` is not an integer.

    Examples
    --------
    >>> import torch
    >>> line = DRMConnection(1, 1, delay=2)
    >>> [line(torch.tensor([[float(tick)]])).item() for tick in (1, 2, 3, 4)]
    [0.0, 0.0, 1.0, 2.0]
    """

    def __init__(self, n_in: int = 1, n_out: int = 1, delay: int = 1) -> None:
        super().__init__(n_in, n_out)
        if isinstance(delay, bool) or not isinstance(delay, Integral):
            raise TypeError(f"A delay is a whole number of ticks, got {delay!r}.")
        if delay < 0:
            raise ValueError(f"A delay must be at least 0 ticks, got {delay}.")
        if n_in != n_out:
            raise ValueError(f"A delay line gives what it receives: n_out must equal n_in={n_in}, got {n_out}.")
        self.delay: int = int(delay)

    @property
    def lags(self) -> tuple[int, ...]:
        """The delays in ticks of all that arrives at a time; here there is one."""
        return (self.delay,)

    def coefficients(self) -> Tensor | None:
        """Return in what proportions the lags arrive, or None for one lag in full.

        Returns
        -------
        Tensor of shape (lag,), or None
        """
        return None

    @property
    def projection(self) -> Tensor | None:
        """What the features are multiplied with, of shape (n_out, n_in); None for no change."""
        return None

    def read(self, like: Tensor) -> Tensor:
        """Return what arrives in this tick, without sending anything.

        Parameters
        ----------
        like : Tensor, shape (batch, n_in)
            The sender's present value; it is what arrives when the delay is 0, and it gives the
            shape of the zeros that arrive before anything was sent.

        Returns
        -------
        Tensor, shape (batch, n_out)
        """
        coefficients = self.coefficients()
        if coefficients is None:
            arriving = self._sent(self.delay, like)
        else:
            taps = torch.stack([self._sent(lag, like) for lag in self.lags])
            arriving = torch.tensordot(coefficients, taps, dims=1)
        return arriving if self.projection is None else functional.linear(arriving, self.projection)

    def _sent(self, lag: int, like: Tensor) -> Tensor:
        if lag == 0:
            return like
        return self._memory[-lag] if lag <= len(self._memory) else torch.zeros_like(like)

    def push(self, x: Tensor) -> None:
        """Send `x`, which arrives `delay` ticks later.

        Parameters
        ----------
        x : Tensor, shape (batch, n_in)
            The sender's value in this tick.
        """
        if self.delay:
            self._memory = (*self._memory, x)[-self.delay :]

    def forward(self, x: Tensor) -> Tensor:
        """Return what arrives in this tick, and send `x`.

        Parameters
        ----------
        x : Tensor, shape (batch, n_in)
            The sender's value in this tick.

        Returns
        -------
        Tensor, shape (batch, n_out)
            What was sent `delay` ticks ago; zeros before that.
        """
        arriving = self.read(x)
        self.push(x)
        return arriving

    def extra_repr(self) -> str:
        """Return the sizes and the delay, for printing."""
        return f"n_in={self.n_in}, n_out={self.n_out}, delay={self.delay}"
