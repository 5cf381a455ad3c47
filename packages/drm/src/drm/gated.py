"""Gated units: populations that learn when to remember."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from drm.population import DRMPopulation

__all__ = ["GRUPopulation", "LSTMPopulation"]


class _GatedPopulation(DRMPopulation):
    """Units with gates, each of which sees all afferents and the population's own last output."""

    n_gates: ClassVar[int]
    n_state: ClassVar[int] = 1

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        delay: int = 1,
        *,
        name: str | None = None,
        position: Sequence[float] | None = None,
        unit: str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(n_in, n_out, delay, name=name, position=position, unit=unit, generator=generator)
        bound = 1 / math.sqrt(n_out)
        shapes = {
            "weight": (self.n_gates * n_out, n_in),
            "recurrent_weight": (self.n_gates * n_out, n_out),
            "bias": (self.n_gates * n_out,),
            "recurrent_bias": (self.n_gates * n_out,),
        }
        for key, shape in shapes.items():
            initial = torch.empty(shape).uniform_(-bound, bound, generator=generator)
            setattr(self, key, nn.Parameter(initial))


class GRUPopulation(_GatedPopulation):
    """A population of gated recurrent units.

    ``h <- (1 - z) n + z h`` with ``n = tanh(W x + b + r (U h + c))`` and reset and update gates
    ``r`` and ``z``; the weights are laid out as in `torch.nn.GRUCell`.

    Parameters
    ----------
    n_in, n_out, delay, name, position, unit, generator
        As for `DRMPopulation`.

    Attributes
    ----------
    weight, recurrent_weight : Parameter, shape (3 * n_out, n_in) and (3 * n_out, n_out)
        Reset, update, new.
    bias, recurrent_bias : Parameter, shape (3 * n_out,)

    References
    ----------
    Cho et al. (2014), doi:10.3115/v1/D14-1179.

    Examples
    --------
    >>> import torch
    >>> GRUPopulation(3, 2)([torch.zeros(5, 3)]).shape
    torch.Size([5, 2])
    """

    # Reset, update, and the new value's share from afferents and from the population itself,
    # which must be kept apart because the reset gate scales the latter alone.
    n_gates: ClassVar[int] = 3
    n_drive: ClassVar[int] = 4

    recurrent_weight: nn.Parameter
    recurrent_bias: nn.Parameter

    def unit_parameters(self) -> tuple[Tensor, ...]:
        """Return no parameters: all of them are in the drive.

        Returns
        -------
        tuple, empty
        """
        return ()

    def input_weights(self) -> Tensor:
        """Return the weights of the afferents, zero for the share that they have not.

        Returns
        -------
        Tensor, shape (4 * n_out, n_in)
        """
        return torch.cat([self.weight, self.weight.new_zeros(self.n_out, self.n_in)])

    def recurrent_weights(self) -> Tensor:
        """Return the weights of the population's own output in the tick before.

        Returns
        -------
        Tensor, shape (4 * n_out, n_out)
        """
        gates, new = self.recurrent_weight.tensor_split((2 * self.n_out,))
        return torch.cat([gates, torch.zeros_like(new), new])

    def drive_bias(self) -> Tensor:
        """Return what is added to the drive.

        Returns
        -------
        Tensor, shape (4 * n_out,)
        """
        n_gates = 2 * self.n_out
        gates = self.bias[:n_gates] + self.recurrent_bias[:n_gates]
        return torch.cat([gates, self.bias[n_gates:], self.recurrent_bias[n_gates:]])

    @staticmethod
    def advance(drive: Tensor, state: Tensor, parameters: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the units' output in this tick, and their next state, which is the same.

        Parameters
        ----------
        drive : Tensor, shape (..., 4, unit, batch)
        state : Tensor, shape (..., 1, unit, batch)
        parameters : tuple, empty

        Returns
        -------
        output : Tensor, shape (..., unit, batch)
        state : Tensor, shape (..., 1, unit, batch)
        """
        reset, update, from_afferents, from_itself = drive.unbind(-3)
        new = torch.tanh(from_afferents + torch.sigmoid(reset) * from_itself)
        kept = torch.sigmoid(update)
        output = (1 - kept) * new + kept * state.select(-3, 0)
        return output, output.unsqueeze(-3)


class LSTMPopulation(_GatedPopulation):
    """A population of long short-term memory units.

    ``c <- f c + i tanh(g)`` and the output ``o tanh(c)``; the weights are laid out as in
    `torch.nn.LSTMCell`.

    Parameters
    ----------
    n_in, n_out, delay, name, position, unit, generator
        As for `DRMPopulation`.

    Attributes
    ----------
    weight, recurrent_weight : Parameter, shape (4 * n_out, n_in) and (4 * n_out, n_out)
        Input, forget, cell, output.
    bias, recurrent_bias : Parameter, shape (4 * n_out,)

    References
    ----------
    Hochreiter and Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735.

    Examples
    --------
    >>> import torch
    >>> LSTMPopulation(3, 2)([torch.zeros(5, 3)]).shape
    torch.Size([5, 2])
    """

    n_gates: ClassVar[int] = 4
    n_drive: ClassVar[int] = 4

    recurrent_weight: nn.Parameter
    recurrent_bias: nn.Parameter

    def unit_parameters(self) -> tuple[Tensor, ...]:
        """Return no parameters: all of them are in the drive.

        Returns
        -------
        tuple, empty
        """
        return ()

    def recurrent_weights(self) -> Tensor:
        """Return the weights of the population's own output in the tick before.

        Returns
        -------
        Tensor, shape (4 * n_out, n_out)
        """
        return self.recurrent_weight

    def drive_bias(self) -> Tensor:
        """Return what is added to the drive.

        Returns
        -------
        Tensor, shape (4 * n_out,)
        """
        return self.bias + self.recurrent_bias

    @staticmethod
    def advance(drive: Tensor, state: Tensor, parameters: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the units' output in this tick, and their next cell state.

        Parameters
        ----------
        drive : Tensor, shape (..., 4, unit, batch)
        state : Tensor, shape (..., 1, unit, batch)
        parameters : tuple, empty

        Returns
        -------
        output : Tensor, shape (..., unit, batch)
        state : Tensor, shape (..., 1, unit, batch)
        """
        let_in, forget, cell, let_out = drive.unbind(-3)
        kept = torch.sigmoid(forget) * state.select(-3, 0)
        cell = kept + torch.sigmoid(let_in) * torch.tanh(cell)
        return torch.sigmoid(let_out) * torch.tanh(cell), cell.unsqueeze(-3)
