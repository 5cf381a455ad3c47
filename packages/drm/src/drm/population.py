"""Neuronal populations: a linear drive from all afferents, then each unit's own dynamics."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
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
    noise : float or sequence of n_out floats, default 0
        Standard deviation of the noise that is added to each unit's drive, anew in each tick and
        independently for each unit and batch item. The network draws it, from its own seed.
    learn_noise : bool, default False
        Whether the noise's standard deviation is learned; where it starts at 0 it stays there.
    sign : array of -1, 0 and 1, shape (n_in,) or (n_out, n_in), optional
        The sign that each weight keeps, whatever is learned; 0 leaves it free. Dale's law holds
        when all populations give the columns of one sending unit one sign.
    mask : array of bool, shape (n_out, n_in), optional
        The weights that there are; all others are zero and stay it.
    name : str, optional
        The population's name, for messages and pictures.
    position : sequence of three floats, optional
        Coordinates in millimetres.
    unit : str, optional
        In what the output is measured, for messages and pictures.
    generator : torch.Generator, optional
        Source of the initial weights; the global generator of torch when not given.

    Attributes
    ----------
    weight : Parameter, shape (n_drive * n_out, n_in)
        Starts uniform within plus and minus one over the square root of `n_in`. With `sign` or
        `mask`, the weights that count are those that `input_weights` gives.
    bias : Parameter, shape (n_drive * n_out,)
        Starts at zero.

    Raises
    ------
    ValueError
        If a size is below 1, the delay is negative, `position` has not three coordinates, the
        noise is negative or not finite, or `sign` or `mask` has another shape or other values.

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
    sign: Tensor | None
    mask: Tensor | None

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        delay: int = 1,
        *,
        negative_slope: float = 0.01,
        noise: float | Sequence[float] = 0.0,
        learn_noise: bool = False,
        sign: Any = None,
        mask: Any = None,
        name: str | None = None,
        position: Sequence[float] | None = None,
        unit: str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(n_in, n_out)
        if delay < 0:
            raise ValueError(f"A delay must be at least 0 ticks, got {delay}.")
        self.delay = delay
        self.name = name
        self.position: tuple[float, ...] | None = None if position is None else _coordinates(position)
        self.unit = unit
        bound = 1 / math.sqrt(n_in)
        weight = torch.empty(self.n_drive * n_out, n_in)
        self.weight: nn.Parameter = nn.Parameter(weight.uniform_(-bound, bound, generator=generator))
        self.bias: nn.Parameter = nn.Parameter(torch.zeros(self.n_drive * n_out))
        self.register_buffer("negative_slope", torch.tensor(float(negative_slope)))
        deviation = _deviations(noise, n_out)
        self.noise: nn.Parameter | None = None
        if bool((deviation > 0).any()):
            self.noise = nn.Parameter(deviation, requires_grad=learn_noise)
        for key, given, allowed in (("sign", sign, (-1.0, 0.0, 1.0)), ("mask", mask, (0.0, 1.0))):
            table = None if given is None else _table(key, given, n_out, n_in, allowed)
            self.register_buffer(key, None if table is None else table.repeat(self.n_drive, 1))
        if sign is not None or mask is not None:
            with torch.no_grad():
                self.weight.copy_(self.input_weights())

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
        # Where one of the two parts is not zero, the other is: no condition, which would take longer.
        return torch.addcmul(torch.relu(summed), slope, summed.clamp_max(0)), state

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: Sequence[Tensor], noise: Tensor | None = None
    ) -> Tensor:
        """Return the population's output in one tick.

        Parameters
        ----------
        x : sequence of Tensor, each of shape (batch, features)
            What arrives from each afferent, `n_in` features in all.
        noise : Tensor of shape (batch, n_drive * n_out), optional
            Standard normal numbers, which `noise_scale` scales; without them there is no noise.

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
        scale = self.noise_scale()
        if noise is not None and scale is not None:
            drive = drive + noise * scale
        drive = drive.T.reshape(self.n_drive, self.n_out, batch)
        output, state = self.advance(drive, state, self.unit_parameters())
        self._memory = (state, output.T)
        return output.T

    def input_weights(self) -> Tensor:
        """Return the weights of the afferents.

        Returns
        -------
        Tensor, shape (n_drive * n_out, n_in)
            Drive after drive, with the units of each side by side. What `mask` leaves out is
            zero, and what has a `sign` is the absolute value of `weight` with that sign.

        Notes
        -----
        Not differentiable at a weight of 0 that has a sign; the derivative taken there is 0.
        """
        weight = self.weight
        if self.mask is not None:
            weight = weight * self.mask
        if self.sign is not None:
            weight = torch.where(self.sign == 0, weight, self.sign * weight.abs())
        return weight

    def noise_scale(self) -> Tensor | None:
        """Return the standard deviation of the noise in each drive and tick.

        Returns
        -------
        Tensor of shape (n_drive * n_out,), or None without noise
        """
        return None if self.noise is None else self.noise.repeat(self.n_drive)

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


def _coordinates(position: Sequence[float]) -> tuple[float, ...]:
    if len(position) != 3:
        raise ValueError(f"A position has three coordinates, got {len(position)}.")
    coordinates = tuple(float(x) for x in position)
    if not all(math.isfinite(x) for x in coordinates):
        raise ValueError(f"A position must be finite, got {coordinates}.")
    return coordinates


def _deviations(noise: float | Sequence[float], n_out: int) -> Tensor:
    deviation = torch.as_tensor(noise, dtype=torch.get_default_dtype())
    if deviation.ndim > 1 or deviation.numel() not in (1, n_out):
        raise ValueError(f"noise must be one number or {n_out}, got shape {tuple(deviation.shape)}.")
    if not bool((deviation >= 0).all() and torch.isfinite(deviation).all()):
        raise ValueError(f"noise must be finite and not negative, got {deviation.tolist()}.")
    return deviation.expand(n_out).clone()


def _table(name: str, given: Any, n_out: int, n_in: int, allowed: tuple[float, ...]) -> Tensor:
    """Return what is given for each weight, of shape (n_out, n_in)."""
    table = torch.as_tensor(np.asarray(given, dtype=float), dtype=torch.get_default_dtype())
    if tuple(table.shape) not in ((n_in,), (n_out, n_in)):
        raise ValueError(f"{name} must have shape ({n_in},) or ({n_out}, {n_in}), got {tuple(table.shape)}.")
    if not set(table.unique().tolist()) <= set(allowed):
        raise ValueError(f"{name} may hold {allowed} only, got {sorted(set(table.flatten().tolist()) - set(allowed))}.")
    return table.expand(n_out, n_in).clone()
