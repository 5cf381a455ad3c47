"""Confounds at several lags: what breathing and heart beat did some ticks ago."""

from collections.abc import Sequence

import torch
from torch import Tensor

from drm.node import DRMNode

__all__ = ["LaggedConfounds"]


class LaggedConfounds(DRMNode):
    """Gives the confounds of this tick and of ticks before it, side by side.

    Parameters
    ----------
    n_confounds : int
        At least 1.
    lags : sequence of int
        The lags in ticks, different and from 0 on.

    Raises
    ------
    ValueError
        If there is no lag, two are the same, or one is negative or not a whole number.

    Examples
    --------
    >>> import torch
    >>> lagged = LaggedConfounds(1, (0, 1))
    >>> lagged(torch.tensor([[[1.0]], [[2.0]]])).tolist()
    [[[1.0, 0.0]], [[2.0, 1.0]]]
    """

    def __init__(self, n_confounds: int, lags: Sequence[int]) -> None:
        super().__init__(n_confounds, n_confounds * max(1, len(lags)))
        whole = all(isinstance(lag, int) and lag >= 0 for lag in lags)
        if not lags or not whole or len(set(lags)) < len(lags):
            raise ValueError(f"Lags of confounds are different whole numbers of ticks from 0 on, got {list(lags)}.")
        self.lags: tuple[int, ...] = tuple(lags)

    def forward(self, x: Tensor) -> Tensor:
        """Return the confounds at all lags for a stretch of time.

        Parameters
        ----------
        x : Tensor, shape (time, batch, n_confounds)
            NaN where one is missing: zero stands for it, so that it adds nothing at any lag.

        Returns
        -------
        Tensor, shape (time, batch, n_confounds * lag)
            Lag after lag; zeros before the first tick.
        """
        present = x.nan_to_num()
        longest = max(self.lags)
        if longest == 0:
            return present
        past = self._memory or (present.new_zeros(longest, *present.shape[1:]),)
        series = torch.cat([*past, present])
        self._memory = (series[present.shape[0] :],)
        start = [longest - lag for lag in self.lags]
        return torch.cat([series[first : first + present.shape[0]] for first in start], dim=-1)
