"""Stimuli, responses and confounds at each tick, as tensors that are handed out from the first tick on."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

__all__ = ["Ticks"]


class Ticks:
    """What happens at each tick, in order: what `drm.DRM` learns from.

    Parameters
    ----------
    tensors : mapping of str to Tensor, each of shape (tick, batch, feature)
        ``stimulus``, and where there are any ``response`` and ``confounds``, NaN where missing.
    resolution : float
        Length of a tick in milliseconds.
    streams : dict
        For stimulus, response and confounds where each named stream stands among the features.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], *, resolution: float, streams: dict[str, dict[str, slice]]
    ) -> None:
        self.resolution: float = float(resolution)
        self.streams: dict[str, dict[str, slice]] = streams
        self.tensors: dict[str, Tensor] = dict(tensors)
        self.n_ticks: int
        self.batch_size: int
        self.n_ticks, self.batch_size = self.tensors["stimulus"].shape[:2]
        self._next = 0

    def __len__(self) -> int:
        """Return the number of ticks."""
        return self.n_ticks

    def __iter__(self) -> Self:
        """Start again at the first tick, and return the iterator itself."""
        self._next = 0
        return self

    def next(self) -> dict[str, Tensor | None]:
        """Return what happens at the next tick.

        Returns
        -------
        dict
            ``stimulus`` of shape (batch, feature), ``response`` of shape (batch, measurement) and
            ``confounds`` of shape (batch, confound); None for what was not given.

        Raises
        ------
        StopIteration
            After the last tick.
        """
        return {name: None if part is None else part[0] for name, part in self.next_block(1).items()}

    __next__ = next

    def next_block(self, n_ticks: int) -> dict[str, Tensor | None]:
        """Return what happens at the next ticks, fewer where the end comes first.

        Parameters
        ----------
        n_ticks : int
            Number of ticks, at least 1.

        Returns
        -------
        dict
            As `next` gives, with time as first axis.

        Raises
        ------
        StopIteration
            After the last tick.
        """
        if self._next >= self.n_ticks:
            raise StopIteration
        stretch = slice(self._next, min(self._next + n_ticks, self.n_ticks))
        self._next = stretch.stop
        names = ("stimulus", "response", "confounds")
        parts = {name: self.tensors.get(name) for name in names}
        return {name: None if part is None else part[stretch] for name, part in parts.items()}

    def is_final(self) -> bool:
        """Return whether the last tick was given."""
        return self._next >= self.n_ticks

    def with_response(self, seen: Tensor) -> "Ticks":
        """Return the same data with a part of the responses only.

        Parameters
        ----------
        seen : Tensor of bool, shape (tick,)
            The ticks whose responses stay; at all others they are missing.

        Returns
        -------
        Ticks

        Raises
        ------
        ValueError
            If there is no response.
        """
        if "response" not in self.tensors:
            raise ValueError("The data have no response.")
        response = self.tensors["response"]
        kept = torch.where(seen.to(response.device)[:, None, None], response, torch.nan)
        return Ticks({**self.tensors, "response": kept}, resolution=self.resolution, streams=self.streams)
