"""Several readouts at once: measurements of different kinds of the same activity."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from drm.confounds import LaggedConfounds
from drm.node import DRMNode
from drm.readout import DRMReadout

__all__ = ["JointReadout"]


class JointReadout(DRMReadout):
    """Several readouts of the same populations, each with its own measurements, weight and loss.

    The measurements stand side by side, readout after readout. `DRMIterator` takes them under the
    same names, each at its own times; what was not measured in a tick is left out of that
    readout's loss. The loss of all is the weighted sum of theirs, each a mean over what was
    measured of it.

    Parameters
    ----------
    readouts : mapping of str to DRMReadout
        At least one, all with the same `n_in`.
    weights : mapping of str to float, optional
        Weight of each readout's loss, positive; 1 where none is given.
    losses : mapping of str to Module, optional
        Loss of each readout, as `drm.DRM` takes one; where none is given, that of `drm.DRM`.

    Raises
    ------
    ValueError
        If there is no readout, their `n_in` differ, a weight is not positive, or a weight or loss
        belongs to no readout.
    TypeError
        If the readouts have no names.

    Notes
    -----
    Confounds stand side by side too: each readout receives its own `n_confounds`, in order.

    Examples
    --------
    >>> import torch
    >>> from drm import BOLDReadout
    >>> readout = JointReadout({
    ...     "bold": BOLDReadout(3, 2, resolution=100), "probe": DRMReadout(3, 1, units=[0]),
    ... })
    >>> readout.streams
    {'bold': slice(0, 2, None), 'probe': slice(2, 3, None)}
    >>> readout.run(torch.zeros(5, 1, 3)).shape
    torch.Size([5, 1, 3])
    """

    def __init__(
        self,
        readouts: Mapping[str, DRMReadout],
        *,
        weights: Mapping[str, float] | None = None,
        losses: Mapping[str, nn.Module] | None = None,
    ) -> None:
        if not isinstance(readouts, Mapping):
            raise TypeError(f"readouts must be a mapping from names to readouts, got a {type(readouts).__name__}.")
        sizes = {name: readout.n_in for name, readout in readouts.items()}
        if not sizes or len(set(sizes.values())) > 1:
            raise ValueError(f"Readouts are needed that all see the same units; got n_in {sizes}.")
        for what, given in (("weights", weights), ("losses", losses)):
            unknown = sorted(set(given or {}) - set(sizes))
            if unknown:
                raise ValueError(f"There are {what} for {unknown}, but the readouts are {list(sizes)}.")
        shares = {name: float((weights or {}).get(name, 1.0)) for name in sizes}
        if not all(share > 0 for share in shares.values()):
            raise ValueError(f"The weights of losses must be positive, got {shares}.")
        # It has no weights of its own, which a readout's initialisation would make.
        DRMNode.__init__(self, next(iter(sizes.values())), sum(part.n_out for part in readouts.values()))
        self.readouts: nn.ModuleDict = nn.ModuleDict(readouts)
        self.loss_weights: dict[str, float] = shares
        self.losses: nn.ModuleDict = nn.ModuleDict(losses)
        self.lagged: LaggedConfounds | None = None
        self.n_confounds: int = sum(part.n_confounds for part in self._each().values())

    def _each(self) -> dict[str, DRMReadout]:
        return dict(self.readouts.items())  # pyright: ignore[reportReturnType]

    @property
    def streams(self) -> dict[str, slice]:
        """Where each readout's measurements stand among the `n_out`."""
        found, start = {}, 0
        for name, part in self._each().items():
            found[name] = slice(start, start + part.n_out)
            start += part.n_out
        return found

    @property
    def memory(self) -> int:
        """The number of past ticks on which a measurement depends: the most of all readouts."""
        return max(part.memory for part in self._each().values())

    def parts(self) -> tuple[DRMReadout, ...]:
        """Return the readouts of which this one is made, itself included.

        Returns
        -------
        tuple of DRMReadout
        """
        return (self, *self._each().values())

    def measure(self, activity: Tensor) -> Tensor:
        """Return the measurements of all readouts for a stretch of time, without confounds.

        Parameters
        ----------
        activity : Tensor, shape (time, batch, n_in)
            Outputs of all populations, in the network's order.

        Returns
        -------
        Tensor, shape (time, batch, n_out)
        """
        return torch.cat([part.measure(activity) for part in self._each().values()], dim=-1)

    def measure_at(self, activity: Tensor, ticks: Tensor) -> Tensor:
        """Return the measurements of all readouts in some ticks, without confounds.

        Parameters
        ----------
        activity : Tensor, shape (time, batch, n_in)
            Outputs of all populations, in the network's order.
        ticks : Tensor of int, shape (tick,)
            Places in the stretch.

        Returns
        -------
        Tensor, shape (tick, batch, n_out)
        """
        return torch.cat([part.measure_at(activity, ticks) for part in self._each().values()], dim=-1)

    def confounded(self, confounds: Tensor) -> Tensor:
        """Return what each readout's own confounds add to its measurements.

        Parameters
        ----------
        confounds : Tensor, shape (time, batch, n_confounds)
            NaN where one is missing.

        Returns
        -------
        Tensor, shape (time, batch, n_out)
        """
        parts = list(self._each().values())
        own = confounds.split([part.n_confounds for part in parts], dim=-1)
        return torch.cat([part.confounded(given) for part, given in zip(parts, own, strict=True)], dim=-1)

    def reset(self) -> None:
        """Forget the internal state of all readouts."""
        super().reset()
        for part in self._each().values():
            part.reset()

    def detach_(self) -> None:
        """Cut the internal state of all readouts out of the gradient's history."""
        super().detach_()
        for part in self._each().values():
            part.detach_()
