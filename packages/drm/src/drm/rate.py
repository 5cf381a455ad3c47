"""Rate units that follow their input with a time constant."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from drm.population import DRMPopulation

__all__ = ["Activation", "LeakyRatePopulation"]

Activation = Literal["tanh", "relu", "linear"]


def _advance_with(
    activation: Callable[[Tensor], Tensor],
    drive: Tensor,
    state: Tensor,
    parameters: tuple[Tensor, ...],
) -> tuple[Tensor, Tensor]:
    (decay,) = parameters
    rate = torch.lerp(activation(drive.select(-3, 0)), state.select(-3, 0), decay)
    return rate, rate.unsqueeze(-3)


def _advance_tanh(drive: Tensor, state: Tensor, parameters: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    return _advance_with(torch.tanh, drive, state, parameters)


def _advance_relu(drive: Tensor, state: Tensor, parameters: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    return _advance_with(torch.relu, drive, state, parameters)


def _advance_linear(drive: Tensor, state: Tensor, parameters: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    return _advance_with(torch.positive, drive, state, parameters)


_ADVANCE = {"tanh": _advance_tanh, "relu": _advance_relu, "linear": _advance_linear}


class LeakyRatePopulation(DRMPopulation):
    """A population of rate units that follow their input with a time constant.

    ``tau dx/dt = -x + f(drive)``, integrated by the exponential Euler method,
    ``x <- a x + (1 - a) f(drive)`` with ``a = exp(-resolution / tau)``: exact when the drive does
    not change within a tick, and stable whatever the resolution.

    Parameters
    ----------
    n_in, n_out, delay
        As for `DRMPopulation`.
    resolution : float
        Length of a tick in milliseconds.
    time_constant : float or sequence of n_out floats
        Time constants in milliseconds. They are learned, through their logarithms.
    activation : {"tanh", "relu", "linear"}, default "tanh"
        What turns the drive into the rate that is approached.
    noise : float or sequence of n_out floats, default 0
        White noise in the drive, in units of the drive times the square root of a second: its
        standard deviation in a tick is `noise` over the square root of the tick's length, so that
        the resolution has no influence on what it does to slow units.
    learn_noise, sign, mask, name, position, unit, generator
        As for `DRMPopulation`.

    Raises
    ------
    ValueError
        If the resolution or a time constant is not positive, there are not `n_out` of them, or the
        activation is unknown.

    Examples
    --------
    >>> import torch
    >>> population = LeakyRatePopulation(1, 1, resolution=1, time_constant=10, activation="linear")
    >>> _ = torch.nn.init.ones_(population.weight)
    >>> for _ in range(10):
    ...     output = population([torch.ones(1, 1)])
    >>> round(output.item(), 3)  # 1 - 1/e, a time constant after the step
    0.632
    """

    n_state: ClassVar[int] = 1

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        delay: int = 1,
        *,
        resolution: float,
        time_constant: float | Sequence[float] | Tensor,
        activation: Activation = "tanh",
        noise: float | Sequence[float] = 0.0,
        learn_noise: bool = False,
        sign: Any = None,
        mask: Any = None,
        name: str | None = None,
        position: Sequence[float] | None = None,
        unit: str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            n_in,
            n_out,
            delay,
            noise=noise,
            learn_noise=learn_noise,
            sign=sign,
            mask=mask,
            name=name,
            position=position,
            unit=unit,
            generator=generator,
        )
        if not (resolution > 0 and math.isfinite(resolution)):
            raise ValueError(f"The resolution must be above 0 ms, got {resolution}.")
        if activation not in _ADVANCE:
            raise ValueError(f"activation must be one of {list(_ADVANCE)}, got {activation!r}.")
        constants = torch.as_tensor(time_constant, dtype=torch.get_default_dtype())
        if constants.ndim > 1 or constants.numel() not in (1, n_out):
            raise ValueError(f"time_constant must be one number or {n_out}, got shape {tuple(constants.shape)}.")
        if not bool((constants > 0).all() and torch.isfinite(constants).all()):
            raise ValueError(f"Time constants must be above 0 ms, got {constants.tolist()}.")
        self.resolution: float = float(resolution)
        self.activation: Activation = activation
        self.log_time_constant: nn.Parameter = nn.Parameter(constants.log().expand(n_out).clone())
        self.advance: Callable[[Tensor, Tensor, tuple[Tensor, ...]], tuple[Tensor, Tensor]] = _ADVANCE[activation]

    @property
    def time_constant(self) -> Tensor:
        """The time constants in milliseconds, of shape (n_out,)."""
        return self.log_time_constant.exp()

    def noise_scale(self) -> Tensor | None:
        """Return the standard deviation of the noise in a tick's drive.

        Returns
        -------
        Tensor of shape (n_out,), or None without noise
        """
        return None if self.noise is None else self.noise / math.sqrt(self.resolution / 1000)

    def extra_repr(self) -> str:
        """Return sizes, name, resolution and activation, for printing."""
        return f"{super().extra_repr()}, resolution={self.resolution}, activation={self.activation!r}"

    def unit_parameters(self) -> tuple[Tensor, ...]:
        """Return what is left of a rate after a tick without drive, for each unit.

        Returns
        -------
        tuple of one Tensor, of shape (n_out, 1)
        """
        return (torch.exp(-self.resolution / self.time_constant).unsqueeze(1),)
