"""Readouts: how measurements follow from the activity of all populations."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from drm.node import DRMNode

__all__ = ["DRMReadout"]


class DRMReadout(DRMNode):
    """A readout in which each measurement is a weighted sum of all units, at once.

    A subclass overrides `run`, which sees a whole stretch of time; `forward` is one tick of it.

    Parameters
    ----------
    n_in : int, default 1
        Number of units of all populations together.
    n_out : int, default 1
        Number of measurements.
    n_confounds : int, default 0
        Number of confounds (breathing, heart beat, movement) that are added to the measurements,
        with weights that start at zero.
    weight : Tensor of shape (n_out, n_in), optional
        Fixed weights: these are not learned and there is no bias then. Without them, weights and
        bias are parameters.
    units : sequence of int, optional
        The units that it sees, as `drm.units_of` gives them for single populations; all by
        default. With them, `n_in` in the shapes of `weight` and `mask` is their number.
    mask : array of bool, shape (n_out, n_in), optional
        The weights that there are, as `drm.voxel_mask` gives them; all others are zero.
    generator : torch.Generator, optional
        Source of the initial weights; the global generator of torch when not given.

    Raises
    ------
    ValueError
        If a size is not positive (negative for the confounds), `weight` or `mask` has another
        shape, weights are not finite, or `units` are not different units that there are.

    Examples
    --------
    >>> import torch
    >>> readout = DRMReadout(n_in=2, n_out=1, weight=torch.tensor([[1.0, -1.0]]))
    >>> readout([torch.tensor([[3.0]]), torch.tensor([[1.0]])]).item()
    2.0
    """

    bias: nn.Parameter | None
    mask: Tensor | None
    units: Tensor | None

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        *,
        n_confounds: int = 0,
        weight: Tensor | None = None,
        units: Sequence[int] | None = None,
        mask: Any = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(n_in, n_out)
        if n_confounds < 0:
            raise ValueError(f"n_confounds must be at least 0, got {n_confounds}.")
        self.n_confounds = n_confounds
        chosen = None if units is None else _chosen(units, n_in)
        self.register_buffer("units", chosen)
        n_in = n_in if chosen is None else chosen.numel()
        present = None if mask is None else torch.as_tensor(np.asarray(mask, dtype=bool))
        if present is not None and tuple(present.shape) != (n_out, n_in):
            raise ValueError(f"mask must have shape ({n_out}, {n_in}), got {tuple(present.shape)}.")
        self.register_buffer("mask", present)
        if weight is None:
            bound = 1 / math.sqrt(n_in)
            initial = torch.empty(n_out, n_in).uniform_(-bound, bound, generator=generator)
            initial = initial if present is None else initial * present
            self.weight: Tensor = nn.Parameter(initial)
            self.bias = nn.Parameter(torch.zeros(n_out))
        else:
            if tuple(weight.shape) != (n_out, n_in):
                raise ValueError(
                    f"The weights of {type(self).__name__} must have shape ({n_out}, {n_in}), "
                    f"got {tuple(weight.shape)}."
                )
            if not bool(torch.isfinite(weight).all()):
                raise ValueError(f"The weights of {type(self).__name__} must be finite.")
            self.register_buffer("weight", weight.detach().clone())
            self.bias = None
        self.confound_weight: nn.Parameter = nn.Parameter(torch.zeros(n_out, n_confounds))

    @property
    def memory(self) -> int:
        """The number of past ticks, beside the present one, on which a measurement depends."""
        return 0

    @property
    def streams(self) -> dict[str, slice]:
        """Where each kind of measurement stands among the `n_out`; here there is one."""
        return {"response": slice(0, self.n_out)}

    def parts(self) -> tuple["DRMReadout", ...]:
        """Return the readouts of which this one is made, itself included.

        Returns
        -------
        tuple of DRMReadout
        """
        return (self,)

    def project(self, activity: Tensor) -> Tensor:
        """Return the weighted sums of the units.

        Parameters
        ----------
        activity : Tensor, shape (..., n_in)

        Returns
        -------
        Tensor, shape (..., n_out)
        """
        if self.units is not None:
            activity = activity.index_select(-1, self.units)
        weight = self.weight if self.mask is None else self.weight * self.mask
        return functional.linear(activity, weight, self.bias)

    def confound(self, measurements: Tensor, confounds: Tensor | None) -> Tensor:
        """Return the measurements with the confounds' share added.

        Parameters
        ----------
        measurements : Tensor, shape (..., n_out)
        confounds : Tensor of shape (..., n_confounds), optional
            NaN where a confound is missing: it then adds nothing.

        Returns
        -------
        Tensor, shape (..., n_out)

        Raises
        ------
        ValueError
            If the confounds are not `n_confounds` features.
        """
        n_given = 0 if confounds is None else confounds.shape[-1]
        if n_given != self.n_confounds:
            raise ValueError(f"{type(self).__name__} expects {self.n_confounds} confounds, got {n_given}.")
        if confounds is None:
            return measurements
        return measurements + functional.linear(confounds.nan_to_num(), self.confound_weight)

    def run(self, activity: Tensor, confounds: Tensor | None = None) -> Tensor:
        """Return the predicted measurements of a stretch of time.

        Parameters
        ----------
        activity : Tensor, shape (time, batch, n_in)
            Outputs of all populations, in the network's order.
        confounds : Tensor of shape (time, batch, n_confounds), optional
            Confounds; NaN where missing.

        Returns
        -------
        Tensor, shape (time, batch, n_out)
        """
        return self.confound(self.project(activity), confounds)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: Sequence[Tensor], confounds: Tensor | None = None
    ) -> Tensor:
        """Return the predicted measurements of one tick.

        Parameters
        ----------
        x : sequence of Tensor, each of shape (batch, units)
            Output of each population.
        confounds : Tensor of shape (batch, n_confounds), optional
            Confounds; NaN where missing.

        Returns
        -------
        Tensor, shape (batch, n_out)
        """
        activity = torch.cat(tuple(x), dim=-1).unsqueeze(0)
        return self.run(activity, None if confounds is None else confounds.unsqueeze(0))[0]

    def extra_repr(self) -> str:
        """Return the sizes, for printing."""
        return f"n_in={self.n_in}, n_out={self.n_out}"


def _chosen(units: Sequence[int], n_in: int) -> Tensor:
    chosen = torch.as_tensor(np.asarray(units))
    whole = chosen.ndim == 1 and chosen.numel() > 0 and not chosen.is_floating_point()
    if not whole or int(chosen.min()) < 0 or int(chosen.max()) >= n_in or chosen.unique().numel() < chosen.numel():
        raise ValueError(f"units must be different numbers from 0 to {n_in - 1}, got {list(units)}.")
    return chosen.long()
