"""The Leipzig study of mind, brain and body (MPI-LEMON) in a local folder: rest in the scanner, EEG, people."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from conn.data.errors import DataError, DataUnavailableError
from conn.data.hcp import age_bin, typed_column
from conn.data.labels import named, repeated
from conn.data.local import chosen, frame_mask, padded
from conn.data.matlab import parse_matlab_variables
from conn.data.provenance import Provenance
from conn.data.region_tables import read_rows
from conn.data.scans import ScanSet
from conn.data.volumes import parcellate_volume

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_lemon", "load_lemon_eeg", "read_lemon_participants"]

_PERSON = re.compile(r"sub-\d{6}")
_RUN = re.compile(
    r"(?P<subject>sub-\d{6})_(?:ses-(?P<session>\d+)_)?task-rest_acq-(?P<direction>[A-Z]+)_run-(?P<run>\d+)_MNI2mm\.nii\.gz"
)
_SEX_COLUMN = "Gender_ 1=female_2=male"
_SEX = {"1": "female", "2": "male", "": None}
_CONDITIONS = {"closed": "EC", "open": "EO"}


def load_lemon(
    folder: str | Path,
    atlas: str | Path,
    *,
    subjects: Iterable[str] | None = None,
    participants: str | Path | None = None,
    minimum_coverage: float = 0.5,
    repetition_time: float | None = None,
) -> ScanSet:
    """Return the preprocessed resting scans as mean series of regions, through nilearn (extra ``volumes``).

    A run is ``sub-<id>/func/sub-<id>_ses-01_task-rest_acq-AP_run-01_MNI2mm.nii.gz``, as in the study's
    ``MRI_Preprocessed_Derivatives``.

    Parameters
    ----------
    folder : path
        The folder that holds people's folders.
    atlas : path
        As in `parcellate_volume`.
    subjects : iterable of str, default None
        ``"sub-010002"`` and so on; None takes everybody.
    participants : path, default None
        Table of people, as of `read_lemon_participants`.
    minimum_coverage : float, default 0.5
        As in `parcellate_volume`.
    repetition_time : float, default None
        Seconds, in place of what the files say. The study's is 1.4 s (Mendes et al. 2019).

    Returns
    -------
    ScanSet
        float32, task ``"rest"``; the table has ``direction`` too; ``scan_arrays["coverage"]`` has shape (scan, region).

    Raises
    ------
    DataUnavailableError
        If there is no such folder, person or run.
    DataError
        As `parcellate_volume`; if a region is not covered in a run, runs have different repetition times, or the
        table of people lacks somebody: the study has two systems of numbers (0100xx and 0323xx).

    References
    ----------
    Babayan et al. 2019, Scientific Data 6:180308. https://doi.org/10.1038/sdata.2018.308
    Mendes et al. 2019, Scientific Data 6:180307. https://doi.org/10.1038/sdata.2018.307
    """
    import pandas as pd

    runs = []
    for place in _people(Path(folder), subjects):
        found = [(match, path) for path in sorted(place.glob("func/*.nii.gz")) if (match := _RUN.fullmatch(path.name))]
        if not found:
            raise DataUnavailableError(f"{place / 'func'} has no run *_task-rest_acq-*_run-*_MNI2mm.nii.gz")
        for match, path in found:
            if match["subject"] != place.name:
                raise DataError(f"{path} lies in the folder of {place.name}")
            runs.append((place.name, int(match["session"] or 1), int(match["run"]), match["direction"], path))
    series = [parcellate_volume(path, atlas, minimum_coverage=minimum_coverage) for *_, path in runs]
    for (*_, path), one in zip(runs, series, strict=True):
        bad = np.isnan(one.time_series).any(axis=1)
        if bad.any():
            raise DataError(
                f"{path}: {int(bad.sum())} region(s) have a signal in less than {minimum_coverage:.0%} of voxels; "
                f"the first is {one.region_labels[int(bad.argmax())]!r}"
            )
        if one.region_labels != series[0].region_labels:
            raise DataError(f"{path} has other regions than {runs[0][-1]}: its grid leaves some out")
    times = {one.repetition_time for one in series} if repetition_time is None else {repetition_time}
    if max(times) - min(times) > 1e-6:
        raise DataError(f"runs have repetition times from {min(times):g} to {max(times):g} s: load them apart")
    lengths = [one.time_series.shape[1] for one in series]
    names = ("subject", "session", "run", "direction")
    return ScanSet(
        time_series=padded([one.time_series for one in series]),
        mask=frame_mask(lengths),
        motion=None,
        table=pd.DataFrame([run[:-1] for run in runs], columns=list(names)).assign(task="rest", n_frames=lengths),
        region_labels=series[0].region_labels,
        repetition_time=float(min(times)),
        provenance=_provenance("MRI_Preprocessed_Derivatives", (f"regions of {atlas}",)),
        participants=_those_of([run[0] for run in runs], participants),
        scan_arrays={"coverage": np.array([one.coverage for one in series])},
    )


def load_lemon_eeg(
    folder: str | Path,
    *,
    condition: Literal["closed", "open", "both"] = "closed",
    subjects: Iterable[str] | None = None,
    channels: Sequence[str] | None = None,
    participants: str | Path | None = None,
) -> ScanSet:
    """Return the preprocessed resting EEG, one scan a person and condition.

    The files are ``sub-<id>_EC.set`` (eyes closed) and ``sub-<id>_EO.set`` (open), with the numbers in the ``.fdt``
    file of the same name beside them or in the ``.set`` file itself; in people's folders or side by side, as in the
    study's ``EEG_Preprocessed``. The name that stands inside a ``.set`` is not followed: it could lead anywhere, and in
    this study it is not that of the file.

    Parameters
    ----------
    folder : path
        Holds the files, or people's folders with them.
    condition : {"closed", "open", "both"}, default "closed"
        Eyes closed or open.
    subjects : iterable of str, default None
        ``"sub-010002"`` and so on; None takes everybody.
    channels : sequence of str, default None
        Channels to keep. None takes those that all files have, in the order of the first: bad channels were left out of
        the files person by person.
    participants : path, default None
        Table of people, as of `read_lemon_participants`.

    Returns
    -------
    ScanSet
        Microvolt, float32; ``task`` is ``"eyes_closed"`` or ``"eyes_open"``, a "region" is a channel. Events are those
        of the files; ``boundary`` marks where pieces were cut out, across which the signal jumps.

    Raises
    ------
    DataUnavailableError
        If there is no such folder or file.
    DataError
        If a file is not what it should be, a channel is absent (the message names file and channel), no channel is in
        all files, or sampling rates differ.

    References
    ----------
    Babayan et al. 2019, Scientific Data 6:180308. https://doi.org/10.1038/sdata.2018.308
    """
    import pandas as pd

    if condition not in (*_CONDITIONS, "both"):
        raise DataError(f"condition {condition!r} is not one of closed, open, both")
    wanted = list(_CONDITIONS) if condition == "both" else [condition]
    root = Path(folder)
    if not root.is_dir():
        raise DataUnavailableError(f"{root} is no folder")
    pattern = re.compile(rf"({_PERSON.pattern})_({'|'.join(_CONDITIONS[one] for one in wanted)})\.set")
    places = {
        match.groups(): path
        for path in sorted([*root.glob("*.set"), *root.glob("sub-*/*.set")])
        if (match := pattern.fullmatch(path.name))
    }
    if not places:
        raise DataUnavailableError(f"{root} has no file sub-<id>_EC.set or sub-<id>_EO.set, side by side or in folders")
    people = chosen(sorted({person for person, _ in places}), subjects, "person")
    recordings, rows, events = [], [], []
    for person in people:
        for one in wanted:
            path = places.get((person, _CONDITIONS[one]))
            if path is None:
                raise DataUnavailableError(f"{root} has no file {person}_{_CONDITIONS[one]}.set")
            found = _read_set(path)
            who = {"subject": person, "session": 1, "task": f"eyes_{one}", "run": 1}
            recordings.append((path, found))
            rows.append(who | {"n_frames": found["values"].shape[1]})
            events += [who | event for event in found["events"]]
    rates = {found["rate"] for _, found in recordings}
    if len(rates) > 1:
        raise DataError(f"sampling rates differ, from {min(rates):g} to {max(rates):g} Hz: load them apart")
    kept = _common(recordings) if channels is None else list(channels)
    if not kept:
        raise DataError("no channel is in all files: name the channels, or leave people out")
    if twice := repeated(kept):
        raise DataError(f"channels names {named(twice)} twice")
    series = []
    for path, found in recordings:
        if absent := [channel for channel in kept if channel not in found["channels"]]:
            raise DataError(f"{path} has no channel {named(absent)}")
        series.append(found["values"][[found["channels"].index(channel) for channel in kept]])
    every = {channel for _, found in recordings for channel in found["channels"]}
    left = sorted(every - set(kept))
    columns = ["subject", "session", "task", "run", "onset", "duration", "trial_type"]
    return ScanSet(
        time_series=padded(series),
        mask=frame_mask([one.shape[1] for one in series]),
        motion=None,
        table=pd.DataFrame(rows),
        region_labels=tuple(kept),
        repetition_time=1 / rates.pop(),
        provenance=_provenance(
            "EEG_Preprocessed",
            (f"{len(left)} channels that not all files have are left out: {named(left)}",) * bool(left),
        ),
        participants=_those_of(people, participants),
        events=pd.DataFrame(events, columns=columns) if events else None,
        unit="microvolt",
    )


def read_lemon_participants(path: str | Path) -> "pd.DataFrame":
    """Return the study's table of people with typed columns, one row a person.

    Parameters
    ----------
    path : path
        ``META_File_IDs_Age_Gender_Education_Drug_Smoke_SKID_LEMON.csv``, or another CSV file whose first column holds
        ids such as ``sub-010002``.

    Returns
    -------
    pandas.DataFrame
        ``subject`` first. The column ``Gender_ 1=female_2=male`` becomes ``sex`` (``"female"``, ``"male"``); ``Age``
        becomes ``age_low`` and ``age_high`` (years; the study tells bins of five). Columns of numbers are float64 with
        NaN where empty, all others are text.

    Raises
    ------
    DataError
        If it cannot be read, an id, a sex or an age is of another form, or a person is there twice; the message names
        the line.
    """
    import pandas as pd

    path = Path(path)
    rows = read_rows(path)
    people = [row[0].strip() for row in rows[1:]]
    for line, person in enumerate(people, start=2):
        if not _PERSON.fullmatch(person):
            raise DataError(f"{path}, line {line}: {person[:40]!r} is no id such as sub-010002")
    if twice := repeated(people):
        raise DataError(f"{path}: {named(twice)} is there twice")
    columns: dict[str, object] = {"subject": people}
    for place, raw in enumerate(rows[0][1:], start=1):
        name, words = raw.strip() or f"column {place + 1}", [row[place].strip() for row in rows[1:]]
        if name == _SEX_COLUMN:
            for line, word in enumerate(words, start=2):
                if word not in _SEX:
                    raise DataError(f"{path}, line {line}: {name} is {word[:40]!r}, expected 1 or 2")
            columns["sex"] = [_SEX[word] for word in words]
        elif name == "Age":
            bins = [age_bin(word, path, line) for line, word in enumerate(words, start=2)]
            columns["age_low"], columns["age_high"] = ([one[end] for one in bins] for end in (0, 1))
        elif name in columns:
            raise DataError(f"{path}, line 1: column {name!r} is there twice")
        else:
            columns[name] = typed_column(words)
    return pd.DataFrame(columns)


def _people(folder: Path, subjects: Iterable[str] | None) -> list[Path]:
    if not folder.is_dir():
        raise DataUnavailableError(f"{folder} is no folder")
    people = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and _PERSON.fullmatch(entry.name))
    if not people:
        raise DataUnavailableError(f"{folder} has no folder sub-<six digits>")
    return [folder / person for person in chosen(people, subjects, "person")]


def _those_of(people: Sequence[str], path: str | Path | None) -> "pd.DataFrame | None":
    if path is None:
        return None
    table = read_lemon_participants(path).set_index("subject", drop=False)
    people = list(dict.fromkeys(people))
    if absent := [person for person in people if person not in table.index]:
        raise DataError(
            f"{path} has no row of {named(absent)}: the study has two systems of numbers, 0100xx and 0323xx"
        )
    return table.loc[people].reset_index(drop=True)


def _common(recordings: Sequence[tuple[Path, dict[str, Any]]]) -> list[str]:
    return [
        channel for channel in recordings[0][1]["channels"] if all(channel in one["channels"] for _, one in recordings)
    ]


def _read_set(path: Path) -> dict[str, Any]:
    """Return values in microvolt, shape (channel, sample), names of channels, rate and events of an EEGLAB file."""
    found = parse_matlab_variables(_bytes(path), path)
    whole = found.get("EEG")
    if isinstance(whole, list) and len(whole) == 1 and isinstance(whole[0], dict):
        found = whole[0]
    n_channels, n_samples = _count(found, "nbchan", path), _count(found, "pnts", path)
    if _count(found, "trials", path, default=1) != 1:
        raise DataError(f"{path} holds epochs, expected one recording")
    rate = _scalar(found.get("srate"))
    if rate is None or not rate > 0:
        raise DataError(f"{path}, field srate: expected a positive number of hertz")
    places = found.get("chanlocs")
    names = (
        [str(one.get("labels") or "").strip() for one in places if isinstance(one, dict)]
        if isinstance(places, list)
        else []
    )
    if len(names) != n_channels or "" in names or repeated(names):
        raise DataError(f"{path}, field chanlocs: {len(names)} names of channels, expected {n_channels}, none twice")
    values = found.get("data")
    if isinstance(values, str):
        beside = path.with_suffix(".fdt")
        raw = _bytes(beside)
        if len(raw) != 4 * n_channels * n_samples:
            raise DataError(
                f"{beside} has {len(raw)} bytes, and {n_channels} channels x {n_samples} samples are "
                f"{4 * n_channels * n_samples}"
            )
        values = np.frombuffer(raw, dtype="<f4").reshape((n_channels, n_samples), order="F")
    if not isinstance(values, np.ndarray) or values.shape != (n_channels, n_samples):
        raise DataError(f"{path}, field data: expected {n_channels} channels x {n_samples} samples")
    if not np.isfinite(values).all():
        channel = int((~np.isfinite(values)).any(axis=1).argmax())
        raise DataError(f"{path}: channel {names[channel]} has a value that is not finite")
    return {
        "values": np.asarray(values, np.float32),
        "channels": names,
        "rate": rate,
        "events": _events(found, path, rate),
    }


def _events(found: dict[str, Any], path: Path, rate: float) -> list[dict[str, Any]]:
    listed = found.get("event")
    events = []
    for number, event in enumerate(listed if isinstance(listed, list) else [], start=1):
        if not isinstance(event, dict):
            continue
        latency, kind = _scalar(event.get("latency")), event.get("type")
        if latency is None:
            raise DataError(f"{path}, event {number}: no latency")
        length = _scalar(event.get("duration")) or 0.0
        of_type = kind if isinstance(kind, str) else f"{_scalar(kind):g}" if _scalar(kind) is not None else "unknown"
        # Latencies count samples from 1. The length of a boundary is that of what was cut out, so nothing remains.
        lasts = 0.0 if of_type == "boundary" or not length > 0 else length / rate
        events.append({"onset": (latency - 1) / rate, "duration": lasts, "trial_type": of_type})
    return events


def _count(found: dict[str, Any], name: str, path: Path, default: int | None = None) -> int:
    value = _scalar(found.get(name))
    if value is None and default is not None:
        return default
    if value is None or value != int(value) or not 1 <= value < 2**40:
        raise DataError(f"{path}, field {name}: expected a whole number of at least 1")
    return int(value)


def _scalar(value: Any) -> float | None:
    if not isinstance(value, np.ndarray) or value.size != 1:
        return None
    number = float(value.ravel()[0])
    return number if math.isfinite(number) else None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataUnavailableError(f"{path.parent} has no {path.name}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


def _provenance(part: str, notes: tuple[str, ...]) -> Provenance:
    return Provenance(
        dataset="MPI-LEMON",
        source="https://ftp.gwdg.de/pub/misc/MPI-Leipzig_Mind-Brain-Body-LEMON/",
        version=part,
        licence="see the source: Babayan et al. 2019, Usage Notes",
        citation="Babayan et al. 2019, Scientific Data 6:180308, doi:10.1038/sdata.2018.308",
        origin="CONN_DATA_DIR",
        notes=notes,
    )
