"""Differential equations over one tick in which the input does not change."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

__all__ = ["Integrated", "Method"]

Method = Literal["euler", "heun", "rk4"]
Derivative = Callable[[Tensor, Tensor, tuple[Tensor, ...]], Tensor]
Observe = Callable[[Tensor, tuple[Tensor, ...]], Tensor]


@dataclass(frozen=True)
class Integrated:
    """A model's equations, integrated over one tick, as the dynamics of a population's units.

    Two of them are equal when they integrate the same equations in the same way, so that units of
    equal kind are recognised.

    Parameters
    ----------
    derivative : callable
        From state, drive and constants to the state's change per second.
    observe : callable
        From state and constants to the output.
    method : {"euler", "heun", "rk4"}
        The order is 1, 2 and 4.
    resolution : float
        Length of a tick in milliseconds.
    n_steps : int
        Number of integration steps in a tick.

    Raises
    ------
    ValueError
        If the resolution or `n_steps` is not positive, or the method is unknown.
    """

    derivative: Derivative
    observe: Observe
    method: Method
    resolution: float
    n_steps: int

    def __post_init__(self) -> None:
        if not (self.resolution > 0 and math.isfinite(self.resolution)):
            raise ValueError(f"The resolution must be above 0 ms, got {self.resolution}.")
        if self.method not in get_args(Method):
            raise ValueError(f"method must be one of {get_args(Method)}, got {self.method!r}.")
        if self.n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {self.n_steps}.")

    def __call__(self, drive: Tensor, state: Tensor, parameters: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the output after the tick, and the state.

        Parameters
        ----------
        drive : Tensor, shape (..., n_drive, unit, batch)
        state : Tensor, shape (..., n_state, unit, batch)
        parameters : tuple of Tensor, each of shape (unit, 1)

        Returns
        -------
        output : Tensor, shape (..., unit, batch)
        state : Tensor, shape (..., n_state, unit, batch)
        """
        h = self.resolution / 1000 / self.n_steps
        for _ in range(self.n_steps):
            k1 = self.derivative(state, drive, parameters)
            if self.method == "euler":
                state = state + h * k1
            elif self.method == "heun":
                k2 = self.derivative(state + h * k1, drive, parameters)
                state = state + h / 2 * (k1 + k2)
            else:
                k2 = self.derivative(state + h / 2 * k1, drive, parameters)
                k3 = self.derivative(state + h / 2 * k2, drive, parameters)
                k4 = self.derivative(state + h * k3, drive, parameters)
                state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return self.observe(state, parameters), state
