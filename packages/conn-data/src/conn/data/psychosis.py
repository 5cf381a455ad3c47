"""First-episode psychosis: rest in two sessions, with clinical change."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from conn.data.atlas import schaefer_regions
from conn.data.cards import CARDS
from conn.data.errors import DataError
from conn.data.local import LocalSet, chosen, frame_mask, padded
from conn.data.scans import ScanSet

__all__ = ["load_stages_fep"]

_N_CORTICAL, _N_SUBCORTICAL = 400, 19


def load_stages_fep(
    *,
    subjects: Iterable[str] | None = None,
    sessions: Iterable[int] | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> ScanSet:
    """Return resting scans of people with a first episode of psychosis, with clinical change.

    The authors report that connectivity does not predict this change: an honest analysis finds
    about nothing here. Parcels that a scan hardly covers are named by `ScanSet.flat_regions`; one
    scan (``"sub-001"``, session 2) has eleven of them.

    Parameters
    ----------
    subjects : iterable of str, default None
        Names such as ``"sub-001"``; None takes all 37.
    sessions : iterable of {1, 2}, default None
        1 is baseline, 2 is three months later (25 people); None takes both.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    ScanSet
        419 regions: Schaefer 400 in the order of 7 networks, then ``subcortex-01`` to
        ``subcortex-19``, which the source does not name. Series are band-passed from 0.008 to
        0.08 Hz; ``scan_arrays["region_mean"]``, shape (scan, region), is what was taken off them.
        ``participants`` has ``arm`` (empty where the source does not say) and z-scored changes
        ``bprs_change_6_months``, ``bprs_pos_change_12_months``, ``sofas_change_12_months`` and so on;
        NaN where not measured.

    Raises
    ------
    DataError
        If there is no such person or session, or a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Pope et al. 2025, Biological Psychiatry Global Open Science. https://doi.org/10.1016/j.bpsgos.2025.100589
    """
    import pandas as pd

    files = LocalSet(CARDS["stages-fep"], data_dir=data_dir, cache_dir=cache_dir)
    told = files.table("participants.tsv", words=("participant_id", "has_ses2", "arm"))
    two = dict(zip(told["participant_id"], told["has_ses2"] == "True", strict=True))
    wanted = chosen((1, 2), sessions, "session")
    series, means, rows = [], [], []
    for subject in chosen(told["participant_id"], subjects, "subject"):
        if not re.fullmatch("sub-[0-9]{1,6}", subject):
            raise DataError(f"{files.folder / 'participants.tsv'}: {subject!r} is not a participant's name")
        for session in wanted:
            if session == 2 and not two[subject]:
                continue
            path = f"{subject}_ses-{session}.npz"
            arrays = files.npz(path, "ts", "mean")
            n_regions = _N_CORTICAL + _N_SUBCORTICAL
            series.append(files.check(arrays["ts"], path, "ts", (n_regions, None)))
            means.append(files.check(arrays["mean"], path, "mean", (n_regions,)))
            rows.append((subject, session, "rest", 1, series[-1].shape[1]))
    if not rows:
        raise DataError("none of these people has this session")
    table = pd.DataFrame(rows, columns=["subject", "session", "task", "run", "n_frames"])
    scores = files.table("clinical_change_scores.tsv", words=("BIDS_ID", "scale"), numbers=("months", "outcome"))
    names = scores["scale"] + "_change_" + scores["months"].astype(int).astype(str) + "_months"
    change = scores.assign(name=names).pivot(index="BIDS_ID", columns="name", values="outcome")
    people = told.rename(columns={"participant_id": "subject"})[["subject", "arm"]].join(change, on="subject")
    cortex, notes = schaefer_regions(_N_CORTICAL, 7, data_dir=data_dir, cache_dir=cache_dir)
    below = [f"subcortex-{number:02d}" for number in range(1, _N_SUBCORTICAL + 1)]
    regions = pd.concat([cortex, pd.DataFrame({"label": below, "network": "Subcortex"})], ignore_index=True)
    return ScanSet(
        time_series=padded(series),
        mask=frame_mask(table["n_frames"].tolist()),
        motion=None,
        table=table,
        region_labels=tuple(regions["label"]),
        regions=regions,
        participants=people.take(np.flatnonzero(people["subject"].isin(table["subject"]))),
        scan_arrays={"region_mean": padded(means)},
        repetition_time=2.0,
        provenance=files.provenance("the source does not state the repetition time; 2 s is assumed", *notes),
    )
