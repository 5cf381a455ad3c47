"""Which populations are behind which measurements."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from drm.population import DRMPopulation

__all__ = ["region_means", "units_of", "voxel_mask"]


def units_of(populations: Sequence[DRMPopulation], *names: str) -> list[int]:
    """Return the numbers of the units of some populations among all units of a network.

    Parameters
    ----------
    populations : sequence of DRMPopulation
        All populations, in the network's order.
    *names : str
        Names of those whose units are wanted.

    Returns
    -------
    list of int
        For the `units` of a readout, in the order of the names.

    Raises
    ------
    ValueError
        If no population or more than one has a name.

    Examples
    --------
    >>> areas = [DRMPopulation(1, 2, name="V1"), DRMPopulation(2, 3, name="V2")]
    >>> units_of(areas, "V2")
    [2, 3, 4]
    """
    found: list[int] = []
    for name in names:
        places = [i for i, population in enumerate(populations) if population.name == name]
        if len(places) != 1:
            known = [population.name for population in populations]
            raise ValueError(f"{len(places)} populations are named {name!r}, one is needed; there are {known}.")
        start = sum(population.n_out for population in populations[: places[0]])
        found += range(start, start + populations[places[0]].n_out)
    return found


def voxel_mask(populations: Sequence[DRMPopulation], regions: Sequence[str]) -> np.ndarray:
    """Return which units each voxel sees: those of the population in which it lies.

    Parameters
    ----------
    populations : sequence of DRMPopulation
        All populations, in the network's order.
    regions : sequence of str
        For each voxel the name of its population.

    Returns
    -------
    array of bool, shape (voxel, unit)
        For the `mask` of a readout.

    Raises
    ------
    ValueError
        If no population or more than one has a region's name.

    Examples
    --------
    >>> areas = [DRMPopulation(1, 1, name="V1"), DRMPopulation(1, 2, name="V2")]
    >>> voxel_mask(areas, ["V2", "V1"]).astype(int).tolist()
    [[0, 1, 1], [1, 0, 0]]
    """
    mask = np.zeros((len(regions), sum(population.n_out for population in populations)), dtype=bool)
    for voxel, region in enumerate(regions):
        mask[voxel, units_of(populations, region)] = True
    return mask


def region_means(response: Any, regions: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return the mean of each region's voxels, and the regions.

    Parameters
    ----------
    response : array, shape (..., voxel)
        Measurements; NaN where one is missing.
    regions : sequence of str
        For each voxel the name of its region.

    Returns
    -------
    means : array, shape (..., region)
        Over the voxels that were measured; NaN where none was.
    names : list of str
        The regions in the order in which they first appear.

    Raises
    ------
    ValueError
        If there is not one name for each voxel.

    Examples
    --------
    >>> region_means([[1.0, 3.0, 5.0]], ["V1", "V1", "V2"])
    (array([[2., 5.]]), ['V1', 'V2'])
    """
    values = np.asarray(response, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] != len(regions):
        raise ValueError(f"There are {len(regions)} names of regions for measurements of shape {values.shape}.")
    names = list(dict.fromkeys(regions))
    member = np.array([[region == name for region in regions] for name in names], dtype=np.float64)
    measured = ~np.isnan(values)
    count = measured @ member.T
    total = np.where(measured, values, 0.0) @ member.T
    return np.divide(total, count, out=np.full(total.shape, math.nan), where=count > 0), names
