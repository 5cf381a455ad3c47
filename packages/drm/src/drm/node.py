"""The base of everything that a network is made of: populations, connections and readouts."""

from numbers import Integral
from typing import Any

from torch import Tensor, nn

__all__ = ["DRMNode"]


class DRMNode(nn.Module):
    """Base class of populations, connections and readouts.

    A node receives `n_in` features and gives `n_out`. What it remembers between two ticks is its
    state, which `reset` forgets and `detach_` cuts out of the gradient's history.

    Parameters
    ----------
    n_in : int, default 1
        Number of features received, at least 1.
    n_out : int, default 1
        Number of features given, at least 1.

    Raises
    ------
    ValueError
        If `n_in` or `n_out` is smaller than 1.
    TypeError
        If one is not a whole number.
    """

    def __init__(self, n_in: int = 1, n_out: int = 1) -> None:
        super().__init__()
        for name, value in (("n_in", n_in), ("n_out", n_out)):
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise TypeError(f"{type(self).__name__}: {name} must be a whole number, got {value!r}.")
            if value < 1:
                raise ValueError(f"{type(self).__name__}: {name} must be at least 1, got {value}.")
        self.n_in: int = int(n_in)
        self.n_out: int = int(n_out)
        # All that is remembered between two ticks; empty after a reset.
        self._memory: tuple[Tensor, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """Return the node's output of one tick; each subclass says how.

        Parameters
        ----------
        x : Tensor, shape (batch, n_in)
            What arrives in this tick.

        Returns
        -------
        Tensor, shape (batch, n_out)

        Raises
        ------
        NotImplementedError
            Always: the base class computes nothing.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")

    def reset(self) -> None:
        """Forget the internal state."""
        # A whole brain has 100,000 connections, and setting a module's attribute is slow.
        if self._memory:
            self._memory = ()

    def detach_(self) -> None:
        """Cut the internal state out of the gradient's history."""
        if self._memory:
            self._memory = tuple(x.detach() for x in self._memory)

    def __getstate__(self) -> dict[str, Any]:
        # torch refuses to copy or pickle tensors inside a graph: a twin starts from their values.
        return {**self.__dict__, "_memory": tuple(x.detach() for x in self._memory)}
