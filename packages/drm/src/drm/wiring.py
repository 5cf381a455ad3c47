"""Connections for a whole network from arrays: who receives what, and how late."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from drm.connection import DRMConnection
from drm.population import DRMPopulation

__all__ = ["connect"]


def connect(
    populations: Sequence[DRMPopulation], *, present: Any, delays: Any = None
) -> list[list[DRMConnection | None]]:
    """Return the matrix of connections among populations, as `drm.DRMNet` takes it.

    Parameters
    ----------
    populations : sequence of DRMPopulation
        The populations to connect.
    present : array of bool, shape (target, source)
        Which connections there are.
    delays : int or array of int, shape (target, source), optional
        Delay of each in ticks; values where there is no connection have no influence. By default
        each population's own `delay` holds for all that it sends.

    Returns
    -------
    list of lists of DRMConnection or None
        ``[target][source]``.

    Raises
    ------
    ValueError
        If an array has not one row and one column for each population, or a delay is not a whole
        number of ticks from 0 on.

    Examples
    --------
    >>> pair = [DRMPopulation(1, 1), DRMPopulation(1, 1)]
    >>> matrix = connect(pair, present=[[False, False], [True, False]], delays=3)
    >>> matrix[1][0].delay, matrix[0][1]
    (3, None)
    """
    n = len(populations)
    mask = np.asarray(present, dtype=bool)
    ticks = np.asarray([p.delay for p in populations] if delays is None else delays)
    if delays is None or ticks.ndim == 0:
        ticks = np.broadcast_to(ticks, (n, n))
    for name, array in (("present", mask), ("delays", ticks)):
        if array.shape != (n, n):
            raise ValueError(f"{name} must have shape ({n}, {n}), got {array.shape}.")
    wrong = mask & ~(np.isfinite(ticks) & (ticks >= 0) & (ticks == np.floor(ticks)))
    if wrong.any():
        i, j = (int(k) for k in np.argwhere(wrong)[0])
        raise ValueError(f"delays[{i}, {j}] must be a whole number of ticks from 0 on, got {ticks[i, j]}.")
    return [
        [
            DRMConnection(source.n_out, source.n_out, delay=int(ticks[i, j])) if mask[i, j] else None
            for j, source in enumerate(populations)
        ]
        for i in range(n)
    ]
