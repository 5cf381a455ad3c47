"""Connections through few features: coupling of low rank."""

import math

import torch
from torch import Tensor, nn

from drm.connection import DRMConnection

__all__ = ["LowRankConnection"]


class LowRankConnection(DRMConnection):
    """A delay line that carries few weighted sums of the sender's units: coupling of low rank.

    The sender's `n_in` units are projected on `n_out` features, which arrive `delay` ticks later.
    Together with the receiving population's weights for these features, the units are coupled by a
    matrix whose rank is at most `n_out`, and which is the product of the two.

    Parameters
    ----------
    n_in : int, default 1
        Number of the sender's units.
    n_out : int, default 1
        The rank.
    delay : int, default 1
        Delay in ticks, at least 1.
    projection : Parameter of shape (n_out, n_in), optional
        The projection, where several connections of a sender share it. Its own when not given,
        uniform within plus and minus one over the square root of `n_in`.
    generator : torch.Generator, optional
        Source of the initial projection; the global generator of torch when not given.

    Raises
    ------
    ValueError
        If the delay is below 1, or `projection` has another shape.

    References
    ----------
    Mastrogiuseppe and Ostojic (2018), Neuron 99, 609-623, doi:10.1016/j.neuron.2018.07.003.

    Examples
    --------
    >>> import torch
    >>> line = LowRankConnection(3, 1, projection=torch.nn.Parameter(torch.tensor([[1.0, 2.0, 3.0]])))
    >>> _ = line(torch.ones(1, 3))
    >>> line(torch.zeros(1, 3)).item()
    6.0
    """

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        delay: int = 1,
        *,
        projection: nn.Parameter | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(n_in, n_in, delay)
        if n_out < 1:
            raise ValueError(f"The rank must be at least 1, got {n_out}.")
        if delay < 1:
            raise ValueError(f"A connection of low rank needs a delay of at least 1 tick, got {delay}.")
        self.n_out = n_out
        if projection is None:
            bound = 1 / math.sqrt(n_in)
            projection = nn.Parameter(torch.empty(n_out, n_in).uniform_(-bound, bound, generator=generator))
        if tuple(projection.shape) != (n_out, n_in):
            raise ValueError(f"projection must have shape ({n_out}, {n_in}), got {tuple(projection.shape)}.")
        self.shared_projection: nn.Parameter = projection

    @property
    def projection(self) -> Tensor:
        """What the sender's units are multiplied with, of shape (n_out, n_in)."""
        return self.shared_projection
