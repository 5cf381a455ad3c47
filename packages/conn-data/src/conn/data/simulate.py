"""A cohort with planted communities and people who differ, for when no real scans are at hand."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from conn.data.checks import whole_number
from conn.data.errors import DataError
from conn.data.provenance import Provenance
from conn.data.scans import ScanSet
from conn.data.simulators.band import Band
from conn.data.simulators.motion import motion_traces
from conn.data.simulators.states import switching

__all__ = ["SimulatedCohort", "simulate_cohort"]

_BAND_HERTZ = (0.008, 0.1)
_MEAN_DWELL_FRAMES = 20.0
_FLOOR_WHEN_OFF = 0.2
_INDIVIDUAL_FACTORS = 6
_SESSION_FACTORS = 6
# With these two, correlation matrices identify about nine in ten people of the default cohort.
_INDIVIDUAL_STRENGTH = 0.4
_SESSION_STRENGTH = 0.4
_NOISE = 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedCohort(ScanSet):
    """A `ScanSet` from `simulate_cohort`, with the truth that was planted.

    Parameters
    ----------
    communities : array, shape (region,), int
        The community of each region, counted from 0; region labels count from 1.
    activity : array, shape (scan, community, frame), bool
        Whether a community's signal was switched on.
    """

    communities: NDArray[np.integer]
    activity: NDArray[np.bool_]

    _per_scan: ClassVar[tuple[str, ...]] = (*ScanSet._per_scan, "activity")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.communities.shape != (self.n_regions,):
            raise DataError(f"communities has shape {self.communities.shape}, expected ({self.n_regions},)")
        expected = (self.n_scans, int(self.communities.max()) + 1, self.time_series.shape[2])
        if self.activity.shape != expected:
            raise DataError(f"activity has shape {self.activity.shape}, expected (scan, community, frame) {expected}")


def simulate_cohort(
    *,
    n_subjects: int = 10,
    n_sessions: int = 3,
    n_regions: int = 100,
    n_frames: int = 300,
    n_communities: int = 8,
    repetition_time: float = 2.2,
    rng: np.random.Generator | int | None = 0,
) -> SimulatedCohort:
    r"""Return resting scans of people who share communities and differ in their connectomes.

    Region :math:`r` of community :math:`c(r)` in a scan of person :math:`p` is

    .. math:: x_r(t) = w_r\, g_{c(r)}(t)\, u_{c(r)}(t) + L_p\, v(t) + M\, z(t) + \epsilon_r(t)

    where the :math:`u`, :math:`v`, :math:`z` and :math:`\epsilon` are independent noise limited
    to 0.008-0.1 Hz, the gates :math:`g` switch on and off as a two-state Markov chain with a
    mean dwell of 20 frames in each (0.2 of the signal remains when off), :math:`L_p` belongs to
    the person and is the same in every session, and :math:`M` is drawn anew each session. The
    sum is band-limited again, since switching widens the spectrum, and each region is scaled to
    unit variance. Motion is a lognormal trace with occasional spikes, independent of the signal.

    Parameters
    ----------
    n_subjects, n_sessions : int, defaults 10 and 3
        People, and resting scans of each.
    n_regions : int, default 100
        Regions, divided among the communities as evenly as possible, in order.
    n_frames : int, default 300
        Frames a scan.
    n_communities : int, default 8
        Communities, at most one a region.
    repetition_time : float, default 2.2
        Seconds from a frame to the next.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness; the same seed gives the same cohort.

    Returns
    -------
    SimulatedCohort
        float32, labels ``sim_Net1_001`` and so on. Sessions of one person resemble one another
        more than those of others do, but not so much that every scan is recognised.

    Raises
    ------
    DataError
        If a count is below 1, there are more communities than regions, or the scan is too short
        or too slowly sampled to hold the band.

    Examples
    --------
    >>> cohort = simulate_cohort(n_subjects=2, n_sessions=2, n_regions=12, n_frames=200,
    ...                          n_communities=3)
    >>> cohort.time_series.shape, cohort.activity.shape, cohort.simulated
    ((4, 12, 200), (4, 3, 200), True)
    >>> cohort.region_labels[-1]
    'sim_Net3_012'
    """
    import pandas as pd

    counts = {
        "n_subjects": n_subjects,
        "n_sessions": n_sessions,
        "n_regions": n_regions,
        "n_frames": n_frames,
        "n_communities": n_communities,
    }
    for name, count in counts.items():
        whole_number(name, count)
    if n_communities > n_regions:
        raise DataError(f"{n_communities} communities are more than {n_regions} regions")
    band = Band(n_frames, repetition_time, _BAND_HERTZ)
    seed = "a generator" if isinstance(rng, np.random.Generator) else str(rng)
    generator = np.random.default_rng(rng)

    communities = np.sort(np.arange(n_regions) % n_communities)
    weights = generator.uniform(0.7, 1.3, n_regions)
    n_scans = n_subjects * n_sessions
    series = np.empty((n_scans, n_regions, n_frames), dtype=np.float32)
    activity = np.empty((n_scans, n_communities, n_frames), dtype=bool)
    for subject in range(n_subjects):
        individual = generator.standard_normal((n_regions, _INDIVIDUAL_FACTORS))
        for session in range(n_sessions):
            scan = subject * n_sessions + session
            activity[scan] = switching((n_communities,), n_frames, _MEAN_DWELL_FRAMES, generator)
            signals = band.noise(n_communities, generator)
            signals *= np.where(activity[scan], 1.0, _FLOOR_WHEN_OFF)
            passing = generator.standard_normal((n_regions, _SESSION_FACTORS))
            mixed = weights[:, None] * signals[communities]
            mixed += (_INDIVIDUAL_STRENGTH / np.sqrt(_INDIVIDUAL_FACTORS)) * (
                individual @ band.noise(_INDIVIDUAL_FACTORS, generator)
            )
            mixed += (_SESSION_STRENGTH / np.sqrt(_SESSION_FACTORS)) * (
                passing @ band.noise(_SESSION_FACTORS, generator)
            )
            mixed += _NOISE * band.noise(n_regions, generator)
            limited = band.limit(mixed)
            series[scan] = limited / limited.std(axis=1, keepdims=True)
    return SimulatedCohort(
        time_series=series,
        mask=np.ones((n_scans, n_frames), dtype=bool),
        motion=motion_traces(n_scans, n_frames, rng=generator).astype(np.float32),
        table=pd.DataFrame(
            {
                "subject": [f"sim{number + 1:02d}" for number in range(n_subjects) for _ in range(n_sessions)],
                "session": list(range(1, n_sessions + 1)) * n_subjects,
                "task": "rest",
                "run": 1,
                "n_frames": n_frames,
            }
        ),
        region_labels=tuple(f"sim_Net{community + 1}_{region + 1:03d}" for region, community in enumerate(communities)),
        repetition_time=float(repetition_time),
        provenance=Provenance(
            dataset="simulated cohort",
            source="conn.data.simulate_cohort",
            version=f"seed {seed}",
            licence="none needed: no measurement went into it",
            citation="none",
            origin="simulated",
            notes=("simulated: nothing here was measured in a person",),
        ),
        communities=communities,
        activity=activity,
    )
