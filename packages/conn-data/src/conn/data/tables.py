"""A scan set as a folder of tables, for programs that read neither NumPy nor Python."""

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from conn.data.errors import DataError
from conn.data.scans import ScanSet
from conn.data.storage import whole_folder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["write_tables"]

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def write_tables(scans: ScanSet, folder: str | Path) -> Path:
    """Return the folder that the scans were written to as tables.

    Each scan is a file ``sub-<subject>_ses-<session>_task-<task>_run-<run>_timeseries.tsv``: a header
    of region labels, then a frame a line, ``n/a`` where a frame is masked; nine digits, which hold a
    float32 exactly. ``scans.tsv`` lists them; ``regions.tsv``, ``events.tsv``, ``participants.tsv`` are
    written where there are such tables, ``_motion.tsv`` beside a scan with motion.
    ``dataset_description.json`` has the repetition time, the unit and the provenance. Further arrays
    of the set stay behind: use `save_scans` to keep everything.

    Parameters
    ----------
    scans : ScanSet
        What to write.
    folder : path
        Where to; made, and must not exist yet. It appears when it is whole.

    Raises
    ------
    DataError
        If the folder exists or cannot be written, or a subject or a task has a name that cannot be
        part of a file's name.
    """
    folder = Path(folder)
    for name in {*scans.table["subject"], *scans.table["task"]}:
        if not _PLAIN.fullmatch(name):
            raise DataError(f"{name!r} cannot be part of a file's name")
    with whole_folder(folder) as partial:
        _write_all(scans, partial)
    return folder


def _write_all(scans: ScanSet, folder: Path) -> None:
    import pandas as pd

    names = []
    for place in range(scans.n_scans):
        subject, session, task, run, length = (
            scans.table.at[place, column] for column in ("subject", "session", "task", "run", "n_frames")
        )
        stem = f"sub-{str(subject).removeprefix('sub-')}_ses-{session}_task-{task}_run-{run}"
        series = np.where(scans.mask[place], scans.time_series[place], np.nan)[:, :length]
        _write(pd.DataFrame(series.T, columns=list(scans.region_labels)), folder / f"{stem}_timeseries.tsv")
        if scans.motion is not None:
            motion = scans.motion[place, :length]
            _write(pd.DataFrame({"motion": motion}), folder / f"{stem}_motion.tsv")
        names.append(f"{stem}_timeseries.tsv")
    _write(scans.table.assign(file=names), folder / "scans.tsv")
    regions = scans.regions if scans.regions is not None else pd.DataFrame({"label": scans.region_labels})
    for name, table in (("regions", regions), ("events", scans.events), ("participants", scans.participants)):
        if table is not None:
            _write(table, folder / f"{name}.tsv")
    told = {
        "Name": scans.provenance.dataset,
        "RepetitionTime": scans.repetition_time,
        "Units": scans.unit,
        "MotionMeasure": scans.motion_measure if scans.motion is not None else None,
        "Provenance": dataclasses.asdict(scans.provenance),
    }
    (folder / "dataset_description.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _write(table: "pd.DataFrame", path: Path) -> None:
    table.to_csv(path, sep="\t", index=False, na_rep="n/a", float_format="%.9g", lineterminator="\n")
