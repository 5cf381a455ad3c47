"""Readouts: how measurements follow from the activity of all populations."""

import math
from collections.abc import Sequence

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
    generator : torch.Generator, optional
        Source of the initial weights; the global generator of torch when not given.

    Raises
    ------
    ValueError
        If a size is not positive (negative for the confounds), or `weight` has another shape or
        values that are not finite.

    Examples
    --------
    >>> import torch
    >>> readout = DRMReadout(n_in=2, n_out=1, weight=torch.tensor([[1.0, -1.0]]))
    >>> readout([torch.tensor([[3.0]]), torch.tensor([[1.0]])]).item()
    2.0
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        *,
        n_confounds: int = 0,
        weight: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(n_in, n_out)
        if n_confounds < 0:
            raise ValueError(f"n_confounds must be at least 0, got {n_confounds}.")
        self.n_confounds = n_confounds
        if weight is None:
            bound = 1 / math.sqrt(n_in)
            initial = torch.empty(n_out, n_in).uniform_(-bound, bound, generator=generator)
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

    def project(self, activity: Tensor) -> Tensor:
        """Return the weighted sums of the units.

        Parameters
        ----------
        activity : Tensor, shape (..., n_in)

        Returns
        -------
        Tensor, shape (..., n_out)
        """
        return functional.linear(activity, self.weight, self.bias)

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
