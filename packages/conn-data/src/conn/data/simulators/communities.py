"""Communities that overlap, lie within larger ones, and switch on and off."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conn.data.checks import probability, real_number, whole_number
from conn.data.errors import DataError
from conn.data.simulators.band import Band
from conn.data.simulators.states import switching

__all__ = ["CommunitySimulation", "simulate_communities"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CommunitySimulation:
    """Scans with planted communities.

    Parameters
    ----------
    time_series : array, shape (scan, region, frame)
        float32, each region of unit variance.
    affiliation : array, shape (region, community)
        Share of each community in each region; rows sum to 1.
    communities : int array, shape (region,)
        The community with the largest share.
    activity : bool array, shape (scan, community, frame)
        Whether a community's signal was switched on.
    parents : int array, shape (community,)
        The larger community in which each lies; all 0 without a hierarchy.
    repetition_time : float
        Seconds from a frame to the next.
    """

    time_series: NDArray[np.float32]
    affiliation: NDArray[np.float64]
    communities: NDArray[np.intp]
    activity: NDArray[np.bool_]
    parents: NDArray[np.intp]
    repetition_time: float


def simulate_communities(
    *,
    n_regions: int = 100,
    n_communities: int = 8,
    n_scans: int = 10,
    n_frames: int = 400,
    snr: float = 0.08,
    mean_dwell: float | None = 20.0,
    floor: float = 0.0,
    overlap: float = 0.2,
    n_parents: int = 1,
    parent_share: float = 0.0,
    repetition_time: float = 2.2,
    band: tuple[float, float] = (0.008, 0.1),
    rng: np.random.Generator | int | None = 0,
) -> CommunitySimulation:
    r"""Return scans whose regions belong, wholly or in part, to communities that switch on and off.

    .. math:: x_r(t) = \sum_k \frac{a_{rk}}{\lVert a_r \rVert}\, g_k(t)\, u_k(t) + \frac{\epsilon_r(t)}{\sqrt{s}}

    with shares :math:`a` that sum to 1 in each region, gates :math:`g` that are 1 when on and `floor` when
    off, signals :math:`u` and noise :math:`\epsilon` of unit variance within the band, and the
    signal-to-noise ratio :math:`s`. With a hierarchy,
    :math:`u_k = \sqrt{1 - p}\, w_k + \sqrt{p}\, v_{P(k)}`, where communities of one parent share
    :math:`v`. The sum is limited to the band again, since switching widens the spectrum, and each region is
    scaled to unit variance.

    Parameters
    ----------
    n_regions, n_communities : int, defaults 100 and 8
        Regions are divided among the communities as evenly as possible, in order.
    n_scans, n_frames : int, defaults 10 and 400
        Scans share affiliations and nothing else.
    snr : float, default 0.08
        :math:`s`, power of the signal while on over that of the noise.
    mean_dwell : float or None, default 20
        Mean frames that a community stays on, and off; above 1. None leaves all on.
    floor : float, default 0
        What remains of the signal's amplitude when off, 0 to 1.
    overlap : float, default 0.2
        Probability that a region belongs to a second community too, with a share uniform from 0.2 to 0.5.
    n_parents : int, default 1
        Larger communities, each of neighbouring ones.
    parent_share : float, default 0
        :math:`p`, the part of a signal's power that comes from the larger community, 0 to 1.
    repetition_time : float, default 2.2
        Seconds from a frame to the next.
    band : tuple of float, default (0.008, 0.1)
        Hertz.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    CommunitySimulation
        Scans and what was planted.

    Raises
    ------
    DataError
        If a count is below 1, there are more communities than regions or more parents than communities, or
        a number lies outside its range.

    Notes
    -----
    How hard it is depends on the number of scans as much as on `snr`. For ten scans of 400 frames Louvain's
    method on the mean connectome reaches a mean adjusted Rand index between 0.6 and 0.8 at 0.08 with 100
    regions and at 0.045 with 400, for dwells of 20 and 60 frames; ``hatch run bench difficulty`` finds
    these numbers.

    Examples
    --------
    >>> from conn.data.simulators import simulate_communities
    >>> made = simulate_communities(n_regions=12, n_communities=3, n_scans=2, n_frames=100, snr=1.0)
    >>> made.time_series.shape, made.affiliation.shape, made.activity.shape
    ((2, 12, 100), (12, 3), (2, 3, 100))
    """
    n_regions, n_communities = whole_number("n_regions", n_regions), whole_number("n_communities", n_communities)
    n_scans, n_frames = whole_number("n_scans", n_scans), whole_number("n_frames", n_frames)
    n_parents = whole_number("n_parents", n_parents)
    if n_communities > n_regions:
        raise DataError(f"{n_communities} communities are more than {n_regions} regions")
    if n_parents > n_communities:
        raise DataError(f"{n_parents} parents are more than {n_communities} communities")
    snr, floor = real_number("snr", snr, above=0), probability("floor", floor)
    overlap, parent_share = probability("overlap", overlap), probability("parent_share", parent_share)
    if mean_dwell is not None:
        mean_dwell = real_number("mean_dwell", mean_dwell, above=1)
    limits = Band(n_frames, repetition_time, band)
    generator = np.random.default_rng(rng)

    first = np.sort(np.arange(n_regions) % n_communities)
    affiliation = np.eye(n_communities)[first]
    shared = (generator.random(n_regions) < overlap) & (n_communities > 1)
    second = (first + generator.integers(1, max(n_communities, 2), n_regions)) % n_communities
    share = np.where(shared, generator.uniform(0.2, 0.5, n_regions), 0.0)
    affiliation[np.arange(n_regions), first] -= share
    affiliation[np.arange(n_regions), second] += share
    loading = affiliation / np.linalg.norm(affiliation, axis=1, keepdims=True)
    parents = np.sort(np.arange(n_communities) % n_parents)

    series = np.empty((n_scans, n_regions, n_frames), dtype=np.float32)
    activity = np.ones((n_scans, n_communities, n_frames), dtype=bool)
    for scan in range(n_scans):
        if mean_dwell is not None:
            activity[scan] = switching((n_communities,), n_frames, mean_dwell, generator)
        signals = np.sqrt(1 - parent_share) * limits.noise(n_communities, generator)
        signals = signals + np.sqrt(parent_share) * limits.noise(n_parents, generator)[parents]
        gated = signals * np.where(activity[scan], 1.0, floor)
        mixed = limits.limit(loading @ gated + limits.noise(n_regions, generator) / np.sqrt(snr))
        series[scan] = mixed / mixed.std(axis=1, keepdims=True)
    return CommunitySimulation(
        time_series=series,
        affiliation=affiliation,
        communities=first.astype(np.intp),
        activity=activity,
        parents=parents.astype(np.intp),
        repetition_time=float(repetition_time),
    )
