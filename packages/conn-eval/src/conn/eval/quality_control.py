"""How far motion is left in connectomes: its correlation with edges over scans, and that with distance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from conn.eval.connectomes import connectome_edges

__all__ = ["QCFC", "qc_fc"]


@dataclass(frozen=True, kw_only=True, eq=False)
class QCFC:
    """Correlation of motion with edges over scans.

    Parameters
    ----------
    correlation : ndarray, shape (edge,)
        Pearson correlation of each edge with motion over the scans that have the edge, in the order of
        `connectome_edges`; NaN where fewer than four have it or it is constant.
    n_scans : int
        Scans.
    median_absolute : float
        Median of its absolute value over edges. Without any effect of motion it is about
        0.67 / sqrt(n_scans - 1), not 0.
    share_significant : float
        Share of edges with p < 0.05 after the false discovery rate is controlled (Benjamini and Hochberg).
    distance_correlation : float
        Spearman correlation of `correlation` with the distance between regions; NaN without coordinates.
    """

    correlation: np.ndarray
    n_scans: int
    median_absolute: float
    share_significant: float
    distance_correlation: float


def qc_fc(connectomes: npt.ArrayLike, motion: npt.ArrayLike, *, coordinates: npt.ArrayLike | None = None) -> QCFC:
    """Return how edges go with motion over scans (QC-FC), and how that depends on distance.

    Parameters
    ----------
    connectomes : array_like, shape (scan, region, region)
        Symmetric. A NaN edge is left out where it is NaN.
    motion : array_like, shape (scan,)
        One number a scan, such as mean framewise displacement in millimetres; finite.
    coordinates : array_like, shape (region, 3), optional
        Millimetres; a region without coordinates (NaN) is left out of the dependence on distance.

    Returns
    -------
    QCFC
        Scans of one person count as if they were of several: with many of each, take one of each person.

    Raises
    ------
    TypeError, ValueError
        As `connectome_edges`; if there are fewer than four scans, shapes do not fit, or motion is not finite or the
        same in all scans.

    References
    ----------
    Power et al. 2012, NeuroImage 59:2142-2154. https://doi.org/10.1016/j.neuroimage.2011.10.018
    Ciric et al. 2017, NeuroImage 154:174-187. https://doi.org/10.1016/j.neuroimage.2017.03.020
    Benjamini and Hochberg 1995, J R Stat Soc B 57:289-300. https://doi.org/10.1111/j.2517-6161.1995.tb02031.x

    Examples
    --------
    >>> import numpy as np
    >>> motion = np.array([0.1, 0.2, 0.3, 0.4])
    >>> found = qc_fc([[[1, m], [m, 1]] for m in motion], motion)
    >>> round(found.median_absolute, 6), found.share_significant
    (1.0, 1.0)
    """
    edges = connectome_edges(connectomes)
    moved = np.asarray(motion, dtype=np.float64)
    n_scans = len(edges)
    if moved.shape != (n_scans,) or not np.isfinite(moved).all():
        raise ValueError(f"motion must be {n_scans} finite numbers, one a scan; it has shape {moved.shape}")
    if n_scans < 4 or np.ptp(moved) == 0:
        raise ValueError(f"QC-FC needs at least four scans that moved differently, there are {n_scans}")
    known = np.isfinite(edges)
    count = known.sum(axis=0)
    filled = np.where(known, edges, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = np.where(known, moved[:, None] - (known * moved[:, None]).sum(axis=0) / count, 0.0)
        y = np.where(known, filled - filled.sum(axis=0) / count, 0.0)
        spread = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
        # What rounding leaves of a constant edge is no variation.
        varies = (count >= 4) & (spread > 1e-12 * np.sqrt((x**2).sum(axis=0) * (filled**2).sum(axis=0)))
        correlation = np.where(varies, np.clip((x * y).sum(axis=0) / spread, -1, 1), np.nan)
        statistic = correlation * np.sqrt((count - 2) / (1 - correlation**2))
    told = np.isfinite(correlation)
    if not told.any():
        raise ValueError("no edge varies over at least four scans")
    from scipy import stats  # here, since importing it takes most of a second

    p_values = 2 * stats.t.sf(np.abs(statistic[told]), count[told] - 2)
    significant = stats.false_discovery_control(p_values) < 0.05
    return QCFC(
        correlation=correlation,
        n_scans=n_scans,
        median_absolute=float(np.median(np.abs(correlation[told]))),
        share_significant=float(significant.mean()),
        distance_correlation=_with_distance(correlation, coordinates, np.asarray(connectomes).shape[-1]),
    )


def _with_distance(correlation: np.ndarray, coordinates: npt.ArrayLike | None, n_regions: int) -> float:
    if coordinates is None:
        return float("nan")
    places = np.asarray(coordinates, dtype=np.float64)
    if places.shape != (n_regions, 3):
        raise ValueError(f"coordinates has shape {places.shape}, expected ({n_regions}, 3)")
    rows, columns = np.triu_indices(n_regions, k=1)
    distance = np.linalg.norm(places[rows] - places[columns], axis=1)
    told = np.isfinite(correlation) & np.isfinite(distance)
    if told.sum() < 3:
        return float("nan")
    from scipy import stats

    ranked: Any = stats.spearmanr(correlation[told], distance[told])
    return float(ranked.statistic)
