"""From places in the brain to conduction delays."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from drm.population import DRMPopulation

__all__ = ["LONGEST_DELAY", "conduction_delays", "distances", "warn_of_positions"]

LONGEST_DELAY = 2000.0
"""The longest delay in milliseconds between areas that is taken without a warning. The slowest axons between the
hemispheres, without myelin, take about 0.3 s; models of slow measurements have ticks of a second."""

_LARGEST_COORDINATE = 250.0
_SLOWEST, _FASTEST = 0.1, 150.0


def distances(populations: Sequence[DRMPopulation]) -> np.ndarray:
    """Return the straight-line distances between populations.

    Parameters
    ----------
    populations : sequence of DRMPopulation
        All with a `position` in millimetres.

    Returns
    -------
    array, shape (population, population)
        In millimetres, zero on the diagonal. Tracts are longer than that.

    Raises
    ------
    ValueError
        If a population has no position (the message names it).

    Examples
    --------
    >>> pair = [DRMPopulation(position=(0, 0, 0)), DRMPopulation(position=(0, 30, 40))]
    >>> distances(pair).tolist()
    [[0.0, 50.0], [50.0, 0.0]]
    """
    for i, population in enumerate(populations):
        if population.position is None:
            raise ValueError(f"populations[{i}] ({population.label}) has no position.")
    places = np.array([p.position for p in populations], dtype=np.float64)
    return np.linalg.norm(places[:, None] - places[None], axis=-1)


def conduction_delays(lengths: Any, *, velocity: float = 6.0, resolution: float) -> np.ndarray:
    """Return conduction delays in ticks, as `drm.connect` takes them.

    Parameters
    ----------
    lengths : array, any shape
        Lengths of tracts, or distances, in millimetres.
    velocity : float, default 6
        Conduction velocity in metres per second, which is millimetres per millisecond.
    resolution : float
        Length of a tick in milliseconds.

    Returns
    -------
    array of int, shape of `lengths`
        Rounded to whole ticks (halves go up), and at least 1.

    Raises
    ------
    ValueError
        If the velocity or the resolution is not positive, or a length is negative or not finite.

    Warns
    -----
    UserWarning
        If a delay is longer than two seconds or the velocity lies outside 0.1 to 150 m/s, which
        hints at other units; if most delays are shorter than half a tick and lengthened to one.

    Examples
    --------
    >>> conduction_delays([[0, 60], [60, 0]], velocity=6.0, resolution=2.0).tolist()
    [[1, 5], [5, 1]]
    """
    for name, value in (("velocity", velocity), ("resolution", resolution)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"The {name} must be above 0, got {value}.")
    array = np.asarray(lengths, dtype=np.float64)
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError("Lengths must be finite and not negative.")
    if not _SLOWEST <= velocity <= _FASTEST:
        warnings.warn(
            f"A velocity of {velocity:g} m/s lies outside that of axons, {_SLOWEST} to {_FASTEST:g} m/s. "
            "Is it in metres per second?",
            stacklevel=2,
        )
    milliseconds = array / velocity
    if milliseconds.size and milliseconds.max() > LONGEST_DELAY:
        warnings.warn(
            f"The longest delay is {milliseconds.max():g} ms, over {array.max():g} mm at {velocity:g} m/s; between "
            "cortical areas it takes milliseconds to tens of them. Are the lengths in millimetres?",
            stacklevel=2,
        )
    apart = milliseconds[milliseconds > 0]
    n_short = int((apart < resolution / 2).sum())
    if 2 * n_short > apart.size and velocity <= _FASTEST:
        warnings.warn(
            f"{n_short} of {apart.size} delays, from {apart.min():.3g} ms on, are shorter than half a tick of "
            f"{resolution:g} ms and are lengthened to one: the network cannot tell them apart.",
            stacklevel=2,
        )
    return np.maximum(1, np.floor(milliseconds / resolution + 0.5)).astype(np.int64)


def warn_of_positions(placed: Mapping[str, Sequence[float]], *, stacklevel: int) -> None:
    """Warn of positions that cannot be millimetres in a brain.

    Parameters
    ----------
    placed : mapping of str to three floats
        Each population's position.
    stacklevel : int
        Whom the warning is about, as for `warnings.warn`.

    Warns
    -----
    UserWarning
        If a coordinate is beyond 250 mm, or all of three places and more lie within 1 mm.
    """
    for name, position in placed.items():
        if max(abs(x) for x in position) > _LARGEST_COORDINATE:
            warnings.warn(
                f"{name} is placed at {tuple(position)}, outside any brain. Is the position in millimetres?",
                stacklevel=stacklevel,
            )
            return
    places = np.array(list(placed.values()), dtype=np.float64).reshape(-1, 3)
    if len(places) > 2 and 0 < np.ptp(places, axis=0).max() < 1:
        warnings.warn(
            f"All {len(places)} populations are placed within 1 mm of each other. Are the positions in millimetres?",
            stacklevel=stacklevel,
        )
