"""Pain: rest with pain sensitivity, and a task with heat; 122 MIST regions."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conn.data.cards import CARDS
from conn.data.errors import DataError
from conn.data.local import LocalSet, chosen, frame_mask, padded
from conn.data.scans import ScanSet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_pain_task", "load_rpn_pain_rest"]

_CENTRES = ("bochum", "essen")
_RUNS = (1, 3, 7)
_N_REGIONS = 122
_POWER = "framewise displacement (Power)"


def load_rpn_pain_rest(
    *,
    centres: Iterable[str] | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> ScanSet:
    """Return resting scans of healthy people of two centres with their pain sensitivity.

    The published model was fitted in Bochum and tested in Essen. Seven people from Bochum have one
    region without signal: `ScanSet.flat_regions` names it.

    Parameters
    ----------
    centres : iterable of {"bochum", "essen"}, default None
        None takes both: 35 scans of 200 frames and 37 of 290, the shorter ones padded and masked.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    ScanSet
        One scan a person. ``motion`` is Power's framewise displacement, put at the later of its two
        frames. ``participants`` has ``centre``, ``age`` (years), ``male``, ``mean_fd`` (millimetres),
        ``pain_sensitivity`` (mean z-score, higher is more sensitive), and the published predictions
        ``rpn_prediction_published`` and ``rpn_nested_prediction_published`` (Bochum only, else NaN).
        ``regions`` has ``network`` (the MIST module) and centroids. Series are band-passed from
        0.008 to 0.08 Hz.

    Raises
    ------
    DataError
        If there is no such centre, or a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Spisak et al. 2020, Nature Communications 11:187. https://doi.org/10.1038/s41467-019-13785-z
    """
    import pandas as pd

    files = LocalSet(CARDS["rpn-pain-rest"], data_dir=data_dir, cache_dir=cache_dir)
    series, displacement, people = [], [], []
    for centre in chosen(_CENTRES, centres, "centre"):
        told = files.table(
            f"{centre}_participants.tsv",
            words=("participant_id",),
            numbers=(
                "age", "male", "mean_fd", "pain_sensitivity",
                "rpn_prediction_published", "rpn_nested_prediction_published",
            ),
        )  # fmt: skip
        path = f"{centre}_timeseries.npz"
        names = told["participant_id"].tolist()
        arrays = files.npz(path, *names, *(f"{name}_fd" for name in names))
        for name in names:
            scan = files.check(arrays[name], path, name, (None, _N_REGIONS))
            series.append(scan.T)
            displacement.append(files.check(arrays[f"{name}_fd"], path, f"{name}_fd", (len(scan) - 1,)))
        people.append(told.assign(centre=centre))
    participants = pd.concat(people, ignore_index=True).rename(columns={"participant_id": "subject"})
    lengths = [scan.shape[1] for scan in series]
    table = pd.DataFrame(
        {"subject": participants["subject"], "session": 1, "task": "rest", "run": 1, "n_frames": lengths}
    )
    return _scan_set(
        files,
        series,
        displacement,
        table,
        repetition_time=2.5,
        participants=participants,
        notes=("the repetition time of 2.5 s is that of the paper; the files do not state it",),
    )


def load_pain_task(
    *,
    subjects: Iterable[str] | None = None,
    runs: Iterable[int] | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> ScanSet:
    """Return scans of a task with heat pain, with the temperature and the rating of each trial.

    Run 1 is passive; in runs 3 and 7 people regulate what they feel up or down. Some individual
    parcels are empty: `ScanSet.flat_regions` names them.

    Parameters
    ----------
    subjects : iterable of str, default None
        ``"sub-01"`` to ``"sub-24"``; None takes all. ``"sub-01"`` has no run 1.
    runs : iterable of {1, 3, 7}, default None
        None takes all.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    ScanSet
        Scans of 209 (run 1) or 191 frames, one every 2 s, padded and masked. ``motion`` is Power's
        framewise displacement, put at the later of its two frames. ``events`` counts ``onset`` from
        the run's first frame; ``onset_in_session`` is what the source has. ``trial_type`` is
        ``"heat"`` (with ``temperature`` in degrees Celsius) or ``"rating"`` (with ``rating`` from 0 to
        200); ``regulation`` is ``"up"``, ``"down"`` or empty. ``scan_arrays["global_signal"]`` has
        shape (scan, frame).

    Raises
    ------
    DataError
        If there is no such person or run, or a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Woo et al. 2015, PLoS Biology 13:e1002036. https://doi.org/10.1371/journal.pbio.1002036
    """
    import pandas as pd

    files = LocalSet(CARDS["pain-task"], data_dir=data_dir, cache_dir=cache_dir)
    wanted = chosen(_RUNS, runs, "run")
    series, displacement, signal, rows, events = [], [], [], [], []
    for subject in chosen([f"sub-{number:02d}" for number in range(1, 25)], subjects, "subject"):
        path = f"{subject}.npz"
        arrays = files.npz(path)
        told = files.table(
            f"{subject}_events.tsv",
            words=("run", "regulate-up/down"),
            numbers=("onset_in_run", "onset", "duration", "temperature", "ratings"),
        )
        for run in wanted:
            name = f"run{run:02d}"
            if name not in arrays:
                continue
            scan = files.check(arrays[name], path, name, (None, _N_REGIONS))
            for other, length in ((f"{name}_fd", len(scan) - 1), (f"{name}_globalsignal", len(scan))):
                if other not in arrays:
                    raise DataError(f"{files.folder / path} has {name} and no {other}")
                files.check(arrays[other], path, other, (length,))
            series.append(scan.T)
            displacement.append(arrays[f"{name}_fd"])
            signal.append(arrays[f"{name}_globalsignal"])
            rows.append((subject, 1, "heat", run, len(scan)))
            events.append(_trials(told.take(np.flatnonzero(told["run"] == f"{run:02d}")), subject, run))
    if not rows:
        raise DataError("no person has these runs")
    return _scan_set(
        files,
        series,
        displacement,
        pd.DataFrame(rows, columns=["subject", "session", "task", "run", "n_frames"]),
        repetition_time=2.0,
        events=pd.concat(events, ignore_index=True),
        scan_arrays={"global_signal": padded(signal)},
        notes=("onsets count from the run's first frame; those of the source run over the whole session",),
    )


def _trials(told: "pd.DataFrame", subject: str, run: int) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        {
            "subject": subject,
            "session": 1,
            "task": "heat",
            "run": run,
            "onset": told["onset_in_run"],
            "duration": told["duration"],
            "trial_type": np.where(told["temperature"].notna(), "heat", "rating"),
            "temperature": told["temperature"],
            "rating": told["ratings"],
            "regulation": told["regulate-up/down"],
            "onset_in_session": told["onset"],
        }
    )


def _scan_set(
    files: LocalSet,
    series: list,
    displacement: list,
    table: "pd.DataFrame",
    *,
    notes: tuple[str, ...],
    **fields: Any,
) -> ScanSet:
    regions = files.table("mist122_labels.tsv", words=("label", "modules", "name", "roi"), numbers=("x", "y", "z"))
    if len(regions) != _N_REGIONS:
        raise DataError(f"{files.folder / 'mist122_labels.tsv'} has {len(regions)} regions, expected {_N_REGIONS}")
    # Four of the source's labels name two regions each; the number of the region tells them apart.
    shared = regions["label"].duplicated(keep=False)
    regions["label"] = regions["label"].where(~shared, regions["label"] + "_roi" + regions["roi"])
    regions = regions.rename(columns={"modules": "network"})
    return ScanSet(
        time_series=padded(series),
        mask=frame_mask(table["n_frames"].tolist()),
        # A displacement belongs to the later of the two frames that it lies between.
        motion=padded(displacement, first=1),
        table=table,
        region_labels=tuple(regions["label"]),
        regions=regions,
        motion_measure=_POWER,
        provenance=files.provenance(*notes),
        **fields,
    )
