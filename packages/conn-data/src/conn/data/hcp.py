"""The HCP Young Adult study in a local folder: runs as parcels, lists of people, behaviour, families."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from conn.data.cifti import CiftiAtlas, parcellate_cifti
from conn.data.errors import DataError, DataUnavailableError
from conn.data.local import chosen, frame_mask, padded
from conn.data.parcellation import SurfaceParcellation
from conn.data.provenance import Provenance
from conn.data.readers import read_motion
from conn.data.scans import ScanSet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["age_bin", "find_hcp_runs", "load_hcp", "read_hcp_behaviour", "read_subject_list", "typed_column"]

_PERSON = re.compile(r"(?P<subject>\d{6})(?P<retest>_retest)?")
_RUN = re.compile(r"(?P<kind>[rt]fMRI)_(?P<task>[A-Z]+)(?P<day>\d?)_(?P<direction>LR|RL|AP|PA)")
_AGE = re.compile(r"(?P<low>\d+)(?:-(?P<high>\d+)|\+)")
_SEX = {"M": "male", "F": "female"}
_TRUTH = {"true": True, "false": False}
_CITATION = "Van Essen et al. 2013, NeuroImage 80:62-79. https://doi.org/10.1016/j.neuroimage.2013.05.041"


def find_hcp_runs(
    folder: str | Path,
    *,
    subjects: Iterable[str] | None = None,
    task: str = "REST",
    variant: str = "_Atlas_MSMAll_hp2000_clean",
) -> "pd.DataFrame":
    """Return the runs of a folder in the layout of the HCP Young Adult study, one a row.

    A run is ``<id>/MNINonLinear/Results/<run>/<run><variant>.dtseries.nii`` with a run such as
    ``rfMRI_REST1_LR``. People of the retest are folders ``<id>_retest``, as session 2 of the same person.

    Parameters
    ----------
    folder : path
        The folder that holds people's folders.
    subjects : iterable of str, default None
        Six digits, with ``_retest`` for the retest alone (see `read_subject_list`); six digits alone take the first
        session only. None takes everybody and both sessions.
    task : str, default "REST"
        ``"REST"``, ``"WM"``, ``"MOTOR"``, and so on.
    variant : str, default "_Atlas_MSMAll_hp2000_clean"
        What follows the run's name in the file's name. Files of the 2025 release and of other
        registrations differ.

    Returns
    -------
    pandas.DataFrame
        Columns ``subject`` (six digits), ``session`` (1; 2 for the retest), ``task`` (``"rest"``), ``run``
        (counted from 1 in the order of days and phase encodings), ``name``, ``direction`` and ``path``.

    Raises
    ------
    DataUnavailableError
        If there is no such folder, or a person who was asked for is not in it.
    DataError
        If a person has no such run; the message names the person.
    """
    import pandas as pd

    folder = Path(folder)
    if not folder.is_dir():
        raise DataUnavailableError(f"{folder} is no folder")
    people = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and _PERSON.fullmatch(entry.name))
    if subjects is not None:
        wanted = [subjects] if isinstance(subjects, str) else list(subjects)
        absent = [name for name in wanted if name not in people]
        if absent:
            raise DataUnavailableError(
                f"{folder} has no folder {absent[0]} ({len(absent)} of {len(wanted)} are absent)"
            )
        people = chosen(people, wanted, "person")
    rows = []
    for person in people:
        match = _PERSON.fullmatch(person)
        number = 0
        results = folder / person / "MNINonLinear" / "Results"
        for place in sorted(results.glob("?fMRI_*")):
            name = _RUN.fullmatch(place.name)
            path = place / f"{place.name}{variant}.dtseries.nii"
            if match is None or name is None or name["task"] != task or not path.is_file():
                continue
            number += 1
            rows.append(
                {
                    "subject": match["subject"],
                    "session": 2 if match["retest"] else 1,
                    "task": task.lower(),
                    "run": number,
                    "name": place.name,
                    "direction": name["direction"],
                    "path": path,
                }
            )
        if not number:
            raise DataError(f"{results} has no run of {task} with a file *{variant}.dtseries.nii")
    if not rows:
        raise DataUnavailableError(f"{folder} has no folder of a person (six digits)")
    return pd.DataFrame(rows)


def load_hcp(
    folder: str | Path,
    atlas: CiftiAtlas | SurfaceParcellation,
    *,
    subjects: Iterable[str] | None = None,
    task: str = "REST",
    variant: str = "_Atlas_MSMAll_hp2000_clean",
    minimum_coverage: float = 0.5,
) -> ScanSet:
    """Return runs of the HCP Young Adult study as mean series of regions, each run a scan of its own.

    Parameters
    ----------
    folder, subjects, task, variant
        As in `find_hcp_runs`.
    atlas : CiftiAtlas or SurfaceParcellation
        From `read_dlabel`, or `load_schaefer_surface` in fsLR-32k.
    minimum_coverage : float, default 0.5
        As in `parcellate_cifti`.

    Returns
    -------
    ScanSet
        float32; `join_runs` joins the runs of a person. The table has ``name`` and ``direction`` too;
        ``scan_arrays["coverage"]`` has shape (scan, region). Motion is ``Movement_RelativeRMS.txt`` where every run
        has it.

    Raises
    ------
    DataUnavailableError, DataError
        As in `find_hcp_runs` and `parcellate_cifti`; if a region is not covered in a run (the message
        names both), or runs have different repetition times.
    """
    runs = find_hcp_runs(folder, subjects=subjects, task=task, variant=variant)
    if isinstance(atlas, SurfaceParcellation):
        atlas = CiftiAtlas.of_surface(atlas)
    series, coverage, times = [], [], []
    for path in runs["path"]:
        found = parcellate_cifti(path, atlas, minimum_coverage=minimum_coverage)
        missing = np.isnan(found.time_series).any(axis=1)
        if missing.any():
            region = int(missing.argmax())
            raise DataError(
                f"{path}: region {found.region_labels[region]!r} has a signal in {found.coverage[region]:.0%} of its "
                f"vertices and voxels, {int(missing.sum())} region(s) lie below {minimum_coverage:g}"
            )
        series.append(found.time_series)
        coverage.append(found.coverage)
        times.append(found.repetition_time)
    if max(times) - min(times) > 1e-6:
        raise DataError(f"runs have repetition times from {min(times):g} to {max(times):g} s: load them apart")
    lengths = [one.shape[1] for one in series]
    traces = [path.parent / "Movement_RelativeRMS.txt" for path in runs["path"]]
    motion = None
    if all(trace.is_file() for trace in traces):
        motion = padded([read_motion(trace, n_frames=length) for trace, length in zip(traces, lengths, strict=True)])
    return ScanSet(
        time_series=padded(series),
        mask=frame_mask(lengths),
        motion=motion,
        table=runs.drop(columns="path").assign(n_frames=lengths),
        region_labels=atlas.region_labels,
        repetition_time=times[0],
        provenance=Provenance(
            dataset="HCP Young Adult",
            source="https://www.humanconnectome.org/study/hcp-young-adult",
            version=variant,
            licence="HCP Open Access terms; restricted data have terms of their own",
            citation=_CITATION,
            origin="CONN_DATA_DIR",
            notes=(f"parcels of {atlas.source}",),
        ),
        scan_arrays={"coverage": np.array(coverage)},
    )


def read_subject_list(path: str | Path) -> "pd.DataFrame":
    """Return a list of people from a CSV file in either of the two forms in use.

    One form has the columns ``subject_id,group``; the other is one column of ids, with or without a
    header.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    pandas.DataFrame
        Columns ``subject`` (str), ``group`` (str, missing in the second form), ``person`` (the id without
        ``_retest``) and ``session`` (2 with ``_retest``, else 1).

    Raises
    ------
    DataError
        If it cannot be read or is empty, has another form, or names somebody twice; the message names the
        line.
    """
    import pandas as pd

    path = Path(path)
    rows = _rows(path)
    header = [name.strip() for name in rows[0]]
    two = header == ["subject_id", "group"]
    if not two and len(header) != 1:
        raise DataError(f"{path}, line 1: {','.join(header)[:60]!r}, expected subject_id,group or one column of ids")
    first = 1 if two or not _PERSON.fullmatch(header[0]) else 0
    names, groups = [], []
    for line, row in enumerate(rows[first:], start=first + 1):
        if len(row) != len(header) or not all(cell.strip() for cell in row):
            raise DataError(f"{path}, line {line}: {','.join(row)[:60]!r}, expected {len(header)} field(s)")
        if row[0].strip() in names:
            raise DataError(f"{path}, line {line}: {row[0].strip()} is there twice")
        names.append(row[0].strip())
        groups.append(row[1].strip() if two else None)
    if not names:
        raise DataError(f"{path} names nobody")
    return pd.DataFrame(
        {
            "subject": names,
            "group": groups,
            "person": [name.removesuffix("_retest") for name in names],
            "session": [2 if name.endswith("_retest") else 1 for name in names],
        }
    )


def read_hcp_behaviour(
    path: str | Path, restricted: str | Path | None = None, *, columns: Sequence[str] | None = None
) -> "pd.DataFrame":
    """Return the behavioural tables of the study with typed columns, one row a person.

    Parameters
    ----------
    path : path
        The unrestricted CSV file, with the column ``Subject``.
    restricted : path, default None
        The restricted CSV file, joined by ``Subject``; it alone has exact ages and families.
    columns : sequence of str, default None
        Columns of the source to keep; None keeps all.

    Returns
    -------
    pandas.DataFrame
        ``subject`` (str) first. ``Gender`` becomes ``sex`` (``"male"``, ``"female"``); ``Age`` becomes ``age_low``
        and ``age_high`` (years; ``36+`` has no upper end and is NaN there); ``Age_in_Yrs`` becomes ``age`` and
        ``Family_ID`` becomes ``family`` (str), for `conn.data.splits`. Columns of numbers are float64 with NaN
        where empty, columns of ``true`` and ``false`` are ``boolean``, all others are text.

    Raises
    ------
    DataError
        If a file cannot be read, has no ``Subject``, a line of another length or a person twice, an age or a
        sex is none of the known forms, a column is not there or in both files, or the restricted file lacks
        a person of the other.
    """
    import pandas as pd

    table = _typed(Path(path))
    if restricted is not None:
        more = _typed(Path(restricted))
        both = sorted(set(table.columns) & set(more.columns) - {"subject"})
        if both:
            raise DataError(f"{restricted}: column {both[0]!r} is in {path} too")
        absent = sorted(set(table["subject"]) - set(more["subject"]))
        if absent:
            raise DataError(f"{restricted} has no row of {absent[0]} ({len(absent)} people of {path} are absent)")
        table = table.merge(more, on="subject", how="left", validate="one_to_one")
    if columns is not None:
        derived = {"Gender": ("sex",), "Age": ("age_low", "age_high"), "Age_in_Yrs": ("age",), "Family_ID": ("family",)}
        wanted = ["subject"]
        for column in columns:
            names = derived.get(column, (column,))
            if any(name not in table.columns for name in names):
                raise DataError(f"there is no column {column!r} in {path}")
            wanted += [name for name in names if name not in wanted]
        table = pd.DataFrame(table[wanted])
    return table


def _typed(path: Path) -> "pd.DataFrame":
    import pandas as pd

    rows = _rows(path)
    header = [name.strip() for name in rows[0]]
    if "Subject" not in header:
        raise DataError(f"{path}, line 1: no column Subject")
    twice = [name for place, name in enumerate(header) if name in header[:place]]
    if twice:
        raise DataError(f"{path}, line 1: column {twice[0]!r} is there twice")
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise DataError(f"{path}, line {line}: {len(row)} fields, the header has {len(header)}")
    if len(rows) == 1:
        raise DataError(f"{path} has no row of a person")
    words = {name: [row[place].strip() for row in rows[1:]] for place, name in enumerate(header)}
    people = words.pop("Subject")
    for line, name in enumerate(people, start=2):
        if not name or name in people[: line - 2]:
            raise DataError(f"{path}, line {line}: Subject {name!r} is {'there twice' if name else 'empty'}")
    columns: dict[str, object] = {"subject": people}
    for name, values in words.items():
        if name == "Gender":
            columns["sex"] = [_known(_SEX, value, path, line, name) for line, value in enumerate(values, start=2)]
        elif name == "Age":
            bins = [age_bin(value, path, line) for line, value in enumerate(values, start=2)]
            columns["age_low"], columns["age_high"] = ([one[end] for one in bins] for end in (0, 1))
        elif name == "Family_ID":
            columns["family"] = [value or None for value in values]
        else:
            columns["age" if name == "Age_in_Yrs" else name] = typed_column(values)
    return pd.DataFrame(columns)


def typed_column(values: list[str]) -> object:
    """Return a column as truth values or numbers where every field is one, else as text; None or NaN where empty."""
    import pandas as pd

    told = [value for value in values if value]
    if told and all(value.lower() in _TRUTH for value in told):
        return pd.array([_TRUTH.get(value.lower()) for value in values], dtype="boolean")
    try:
        return np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        return [value or None for value in values]


def _known(table: dict[str, str], value: str, path: Path, line: int, column: str) -> str | None:
    if value and value not in table:
        raise DataError(f"{path}, line {line}: {column} is {value!r}, expected one of {', '.join(table)}")
    return table.get(value)


def age_bin(value: str, path: Path, line: int) -> tuple[float, float]:
    """Return the ends of a bin of ages in years; the upper one is NaN for such as 36+, both where empty."""
    if not value:
        return np.nan, np.nan
    match = _AGE.fullmatch(value)
    if match is None:
        raise DataError(f"{path}, line {line}: Age is {value!r}, expected a bin such as 22-25 or 36+")
    return float(match["low"]), float(match["high"] or "nan")


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except csv.Error as error:
        raise DataError(f"{path}: {error}") from error
    if not rows:
        raise DataError(f"{path} is empty")
    return rows
