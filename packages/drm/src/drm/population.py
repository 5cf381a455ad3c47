"""Neuronal populations: a linear drive from all afferents, then each unit's own dynamics."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from drm.node import DRMNode

__all__ = ["DRMPopulation"]


class DRMPopulation(DRMNode):
    """A population of units that answer their summed input at once: linear, then leaky ReLU.

    The afferents are concatenated, the stimulus first and then the sending populations in the
    network's order; `weight` has one block of columns for each of them.

    Every kind of population is made of two parts. The *drive* is linear in the afferents:
    `n_drive` values for each unit. The *dynamics*, `advance`, are the same function for each unit
    of a kind, look at nothing but that unit's drive, state and parameters, and so can be computed
    for all populations of a kind at once. A new kind is a subclass that sets `n_drive` and
    `n_state` and overrides `advance` and `unit_parameters`, and where needed what makes the drive:
    `input_weights`, `recurrent_weights` and `drive_bias`.

    Parameters
    ----------
    n_in : int, default 1
        Total number of afferent features.
    n_out : int, default 1
        Number of units.
    delay : int, default 1
        Conduction delay in ticks of the population's outgoing connections, where
        `drm.connect` makes them.
    negative_slope : float, default 0.01
        Slope of the leaky ReLU below zero; 1 makes the population linear.
    name : str, optional
        The population's name, for messages and pictures.
    position : sequence of three floats, optional
        Coordinates in millimetres.
    generator : torch.Generator, optional
        Source of the initial weights; the global generator of torch when not given.

    Attributes
    ----------
    weight : Parameter, shape (n_drive * n_out, n_in)
        Starts uniform within plus and minus one over the square root of `n_in`.
    bias : Parameter, shape (n_drive * n_out,)
        Starts at zero.

    Raises
    ------
    ValueError
        If a size is below 1, the delay is negative, or `position` has not three coordinates.

    Examples
    --------
    >>> import torch
    >>> population = DRMPopulation(n_in=2, n_out=1)
    >>> _ = torch.nn.init.ones_(population.weight)
    >>> stimulus, afferent = torch.tensor([[1.0]]), torch.tensor([[2.0]])
    >>> population([stimulus, afferent]).item()
    3.0
    """

    n_drive: ClassVar[int] = 1
    n_state: ClassVar[int] = 0

    negative_slope: Tensor

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        delay: int = 1,
        *,
        negative_slope: float = 0.01,
        name: str | None = None,
        position: Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(n_in, n_out)
        if delay < 0:
            raise ValueError(f"A delay must be at least 0 ticks, got {delay}.")
        if position is not None and len(position) != 3:
            raise ValueError(f"A position has three coordinates, got {len(position)}.")
        self.delay = delay
        self.name = name
        self.position: tuple[float, ...] | None = None if position is None else tuple(float(x) for x in position)
        bound = 1 / math.sqrt(n_in)
        weight = torch.empty(self.n_drive * n_out, n_in)
        self.weight: nn.Parameter = nn.Parameter(weight.uniform_(-bound, bound, generator=generator))
        self.bias: nn.Parameter = nn.Parameter(torch.zeros(self.n_drive * n_out))
        self.register_buffer("negative_slope", torch.tensor(float(negative_slope)))

    def unit_parameters(self) -> tuple[Tensor, ...]:
        """Return the parameters of `advance`, one value for each unit.

        Returns
        -------
        tuple of Tensor, each of shape (n_out, 1)
        """
        return (self.negative_slope.expand(self.n_out, 1),)

    @staticmethod
    def advance(drive: Tensor, state: Tensor, parameters: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the units' output in this tick, and their next state.

        The function must act on each unit and batch item by itself.

        Parameters
        ----------
        drive : Tensor, shape (..., n_drive, unit, batch)
            The summed input.
        state : Tensor, shape (..., n_state, unit, batch)
            The state after the tick before; zeros at the start.
        parameters : tuple of Tensor, each of shape (unit, 1)
            What `unit_parameters` gives.

        Returns
        -------
        output : Tensor, shape (..., unit, batch)
        state : Tensor, shape (..., n_state, unit, batch)

        Notes
        -----
        The leaky ReLU is not differentiable at a drive of 0; the slope taken there is the negative
        one.
        """
        (slope,) = parameters
        summed = drive.select(-3, 0)
        return torch.where(summed > 0, summed, slope * summed), state

    def forward(self, x: Sequence[Tensor]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the population's output in one tick.

        Parameters
        ----------
        x : sequence of Tensor, each of shape (batch, features)
            What arrives from each afferent, `n_in` features in all.

        Returns
        -------
        Tensor, shape (batch, n_out)

        Raises
        ------
        ValueError
            If the afferents have not `n_in` features in all.
        """
        arriving = torch.cat(tuple(x), dim=-1)
        if arriving.shape[-1] != self.n_in:
            raise ValueError(f"{self.label} expects {self.n_in} afferent features, got {arriving.shape[-1]}.")
        batch = arriving.shape[0]
        if not self._memory:
            silence = arriving.new_zeros(batch, self.n_out)
            self._memory = (self.initial_state(batch), silence)
        state, before = self._memory
        drive = functional.linear(arriving, self.input_weights(), self.drive_bias())
        recurrent = self.recurrent_weights()
        if recurrent is not None:
            drive = drive + functional.linear(before, recurrent)
        drive = drive.T.reshape(self.n_drive, self.n_out, batch)
        output, state = self.advance(drive, state, self.unit_parameters())
        self._memory = (state, output.T)
        return output.T

    def input_weights(self) -> Tensor:
        """Return the weights of the afferents.

        Returns
        -------
        Tensor, shape (n_drive * n_out, n_in)
            Drive after drive, with the units of each side by side.
        """
        return self.weight

    def recurrent_weights(self) -> Tensor | None:
        """Return the weights of the population's own output in the tick before.

        Returns
        -------
        Tensor of shape (n_drive * n_out, n_out), or None
            None when the population does not receive itself but through a connection.
        """
        return None

    def drive_bias(self) -> Tensor:
        """Return what is added to the drive.

        Returns
        -------
        Tensor, shape (n_drive * n_out,)
        """
        return self.bias

    def initial_state(self, batch: int) -> Tensor:
        """Return the state before the first tick: zeros.

        Parameters
        ----------
        batch : int
            Number of batch items.

        Returns
        -------
        Tensor, shape (n_state, n_out, batch)
        """
        return self.weight.new_zeros(self.n_state, self.n_out, batch)

    @property
    def label(self) -> str:
        """The population's name, or else its kind, for messages."""
        return self.name if self.name is not None else type(self).__name__

    def extra_repr(self) -> str:
        """Return the sizes and the name, for printing."""
        named = "" if self.name is None else f", name={self.name!r}"
        return f"n_in={self.n_in}, n_out={self.n_out}{named}"
