"""Runs of one person joined into one series, with the run of each frame kept."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError
from conn.data.scans import ScanSet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["join_runs"]


def join_runs(scans: ScanSet, *, normalisation: Literal["none", "centre", "zscore"] = "none") -> ScanSet:
    """Return the scans with the runs of each subject, session and task joined in the order of their numbers.

    Parameters
    ----------
    scans : ScanSet
        Such as `load_hcp` gives.
    normalisation : {"none", "centre", "zscore"}, default "none"
        Whether the mean of each region is taken from each run before, and its standard deviation made 1: levels and
        scales of runs differ, and the joined series jumps between them otherwise. Only frames in the mask count;
        a region that is constant in a run is 0 there.

    Returns
    -------
    ScanSet
        One scan a subject, session and task, run 1. ``scan_arrays["run"]``, shape (scan, frame), says which run each
        frame is of, 0 behind the end: differences, lags and windows must not cross from one to the next. The table has
        ``joined``, the number of runs. Mask, motion, events and arrays of shape (scan, frame) are joined too; other
        arrays belong to single runs and are left out, with a note.

    Raises
    ------
    DataError
        If there is no such normalisation.

    Examples
    --------
    >>> from conn.data import join_runs, simulate_cohort
    >>> joined = join_runs(simulate_cohort(n_subjects=2, n_sessions=1))
    >>> joined.n_scans, joined.table["joined"].tolist()
    (2, [1, 1])
    """
    import pandas as pd

    if normalisation not in ("none", "centre", "zscore"):
        raise DataError(f"normalisation {normalisation!r} is not one of none, centre, zscore")
    keys = ["subject", "session", "task"]
    groups = [list(rows.sort_values("run").index) for _, rows in scans.table.groupby(keys, sort=False)]
    lengths = scans.table["n_frames"].tolist()
    size = max(sum(lengths[scan] for scan in group) for group in groups)
    of_frames = {name: array for name, array in scans.scan_arrays.items() if array.shape == scans.mask.shape}
    series = np.zeros((len(groups), scans.n_regions, size), dtype=scans.time_series.dtype)
    mask = np.zeros((len(groups), size), dtype=bool)
    motion = None if scans.motion is None else np.zeros((len(groups), size), dtype=scans.motion.dtype)
    arrays = {name: np.zeros((len(groups), size), dtype=array.dtype) for name, array in of_frames.items()}
    arrays["run"] = np.zeros((len(groups), size), dtype=np.int64)
    events: list[pd.DataFrame] = []
    for place, group in enumerate(groups):
        start = 0
        for scan in group:
            count = lengths[scan]
            there = slice(start, start + count)
            series[place, :, there] = _normalised(
                scans.time_series[scan, :, :count], scans.mask[scan, :count], normalisation
            )
            mask[place, there] = scans.mask[scan, :count]
            if motion is not None and scans.motion is not None:
                motion[place, there] = scans.motion[scan, :count]
            for name, array in of_frames.items():
                arrays[name][place, there] = array[scan, :count]
            arrays["run"][place, there] = scans.table["run"].iloc[scan]
            events += _moved(scans, scan, start * scans.repetition_time)
            start += count
    table = scans.table.loc[[group[0] for group in groups], keys].assign(
        run=1,
        n_frames=[sum(lengths[scan] for scan in group) for group in groups],
        joined=[len(group) for group in groups],
    )
    left = [name for name in scans.scan_arrays if name not in of_frames]
    notes = (f"runs joined, normalisation {normalisation}",)
    if left:
        notes += (f"arrays of single runs left out: {', '.join(left)}",)
    told = scans.provenance
    return ScanSet(
        time_series=series,
        mask=mask,
        motion=motion,
        table=table,
        region_labels=scans.region_labels,
        repetition_time=scans.repetition_time,
        provenance=type(told)(**{**vars(told), "notes": told.notes + notes}),
        events=pd.concat(events, ignore_index=True) if events else None,
        participants=scans.participants,
        regions=scans.regions,
        scan_arrays=arrays,
        unit=scans.unit if normalisation != "zscore" else "standard deviations",
        motion_measure=scans.motion_measure,
    )


def _normalised(series: NDArray[np.floating], used: NDArray[np.bool_], how: str) -> NDArray[np.floating]:
    if how == "none":
        return series
    measured = series[:, used].astype(np.float64)
    centred = measured - measured.mean(axis=1, keepdims=True)
    # What rounding leaves of a constant is no signal.
    centred[np.ptp(measured, axis=1) == 0] = 0
    if how == "zscore":
        spread = centred.std(axis=1, keepdims=True)
        centred = np.divide(centred, spread, out=centred, where=spread > 0)
    result = np.zeros_like(series)
    result[:, used] = centred
    return result


def _moved(scans: ScanSet, scan: int, seconds: float) -> list["pd.DataFrame"]:
    """Return the events of a scan, as of run 1 and so much later."""
    if scans.events is None:
        return []
    who = scans.table.loc[scan]
    own = np.ones(len(scans.events), dtype=bool)
    for key in ("subject", "session", "task", "run"):
        own &= (scans.events[key] == who[key]).to_numpy()
    found = scans.events.loc[own]
    return [found.assign(onset=found["onset"] + seconds, run=1)] if len(found) else []
