"""Readouts: how measurements follow from the activity of all populations."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from drm.confounds import LaggedConfounds
from drm.node import DRMNode

__all__ = ["DRMReadout"]


class DRMReadout(DRMNode):
    """A readout in which each measurement is a weighted sum of all units, at once.

    A subclass overrides `measure`, which sees a whole stretch of time; `run` adds the confounds, and
    `forward` is one tick of it.

    Parameters
    ----------
    n_in : int, default 1
        Number of units of all populations together.
    n_out : int, default 1
        Number of measurements.
    n_confounds : int, default 0
        Number of confounds (breathing, heart beat, movement) that are added to the measurements,
        with weights that start at zero.
    confound_lags : sequence of int, default (0,)
        The lags in ticks at which each confound counts, with weights of their own: breathing and
        heart beat show in the measurements seconds later.
    weight : Tensor or array of shape (n_out, n_in), optional
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
        shape, weights are not finite, `units` are not different units that there are, or
        `confound_lags` are not different whole numbers from 0 on.

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
        confound_lags: Sequence[int] = (0,),
        weight: Tensor | np.ndarray | None = None,
        units: Sequence[int] | None = None,
        mask: Any = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(n_in, n_out)
        if n_confounds < 0:
            raise ValueError(f"n_confounds must be at least 0, got {n_confounds}.")
        self.n_confounds = n_confounds
        # Made even where there are no confounds, so that impossible lags are refused.
        lagged = LaggedConfounds(max(1, n_confounds), tuple(confound_lags))
        self.lagged: LaggedConfounds | None = lagged if n_confounds else None
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
            weight = torch.as_tensor(weight, dtype=None if isinstance(weight, Tensor) else torch.get_default_dtype())
            if tuple(weight.shape) != (n_out, n_in):
                raise ValueError(
                    f"The weights of {type(self).__name__} must have shape ({n_out}, {n_in}), "
                    f"got {tuple(weight.shape)}."
                )
            if not bool(torch.isfinite(weight).all()):
                raise ValueError(f"The weights of {type(self).__name__} must be finite.")
            self.register_buffer("weight", weight.detach().clone())
            self.bias = None
        n_weights = n_confounds * len(lagged.lags)
        # Without confounds it takes no gradient: processes that wait for all gradients would wait for it.
        self.confound_weight: nn.Parameter = nn.Parameter(torch.zeros(n_out, n_weights), requires_grad=n_weights > 0)

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

    def measure(self, activity: Tensor) -> Tensor:
        """Return the measurements of a stretch of time, without confounds.

        Parameters
        ----------
        activity : Tensor, shape (time, batch, n_in)
            Outputs of all populations, in the network's order.

        Returns
        -------
        Tensor, shape (time, batch, n_out)
        """
        return self.project(activity)

    def measure_at(self, activity: Tensor, ticks: Tensor) -> Tensor:
        """Return the measurements in some ticks of a stretch of time, without confounds.

        Parameters
        ----------
        activity : Tensor, shape (time, batch, n_in)
            Outputs of all populations, in the network's order; what is remembered is that of the
            whole stretch.
        ticks : Tensor of int, shape (tick,)
            Places in the stretch.

        Returns
        -------
        Tensor, shape (tick, batch, n_out)
        """
        return self.measure(activity).index_select(0, ticks)

    def confounded(self, confounds: Tensor) -> Tensor:
        """Return what confounds add to the measurements.

        Parameters
        ----------
        confounds : Tensor of shape (time, batch, n_confounds)
            NaN where a confound is missing: it then adds nothing.

        Returns
        -------
        Tensor, shape (time, batch, n_out)
        """
        present = confounds if self.lagged is None else self.lagged(confounds)
        return functional.linear(present, self.confound_weight)

    def run(self, activity: Tensor, confounds: Tensor | None = None, ticks: Tensor | None = None) -> Tensor:
        """Return the predicted measurements of a stretch of time.

        Parameters
        ----------
        activity : Tensor, shape (time, batch, n_in)
            Outputs of all populations, in the network's order.
        confounds : Tensor of shape (time, batch, n_confounds), optional
            Confounds; NaN where missing.
        ticks : Tensor of int, shape (tick,), optional
            Places in the stretch whose measurements are wanted; all by default.

        Returns
        -------
        Tensor, shape (time, batch, n_out) or (tick, batch, n_out)

        Raises
        ------
        ValueError
            If the confounds are not `n_confounds` features.
        """
        n_given = 0 if confounds is None else confounds.shape[-1]
        if n_given != self.n_confounds:
            raise ValueError(f"{type(self).__name__} expects {self.n_confounds} confounds, got {n_given}.")
        measurements = self.measure(activity) if ticks is None else self.measure_at(activity, ticks)
        if confounds is None:
            return measurements
        added = self.confounded(confounds)
        return measurements + (added if ticks is None else added.index_select(0, ticks))

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

    def reset(self) -> None:
        """Forget the internal state, past confounds included."""
        super().reset()
        if self.lagged is not None:
            self.lagged.reset()

    def detach_(self) -> None:
        """Cut the internal state out of the gradient's history, past confounds included."""
        super().detach_()
        if self.lagged is not None:
            self.lagged.detach_()

    def extra_repr(self) -> str:
        """Return the sizes, for printing."""
        return f"n_in={self.n_in}, n_out={self.n_out}"


def _chosen(units: Sequence[int], n_in: int) -> Tensor:
    chosen = torch.as_tensor(np.asarray(units))
    whole = chosen.ndim == 1 and chosen.numel() > 0 and not chosen.is_floating_point()
    if not whole or int(chosen.min()) < 0 or int(chosen.max()) >= n_in or chosen.unique().numel() < chosen.numel():
        raise ValueError(f"units must be different numbers from 0 to {n_in - 1}, got {list(units)}.")
    return chosen.long()
