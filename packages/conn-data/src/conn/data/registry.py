"""The table of every file of miniMSC: path, SHA-256 and size, as runs that can be selected."""

import csv
import functools
import gzip
import io
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from conn.data.download import RemoteFile
from conn.data.errors import DataError

__all__ = ["Registry", "RunFiles", "load_registry", "select_runs"]

# The pattern is also what keeps a registry from naming a path outside its folder.
_LARGEST_BYTES = 64 * 1024**2
_PATH = re.compile(
    r"data/(?:ts|motion)/sub-(?P<subject>[A-Za-z0-9]+)_ses-func(?P<session>[0-9]{1,4})"
    r"_task-(?P<task>[A-Za-z0-9]+)_run-(?P<run>[0-9]{1,4})_(?P<suffix>schaefer400_ts|relRMS)\.1D"
)
_SUFFIX_OF_FOLDER = {"ts": "schaefer400_ts", "motion": "relRMS"}


@dataclass(frozen=True, order=True)
class RunFiles:
    """One run of the data set: who, when, what, and its two files."""

    subject: str
    session: int
    task: str
    run: int
    time_series: RemoteFile
    motion: RemoteFile

    @property
    def name(self) -> str:
        """The run in words, for messages."""
        return f"{self.subject} session {self.session} {self.task} run {self.run}"


@dataclass(frozen=True)
class Registry:
    """Every file of the data set, and the same as runs in the order subject, session, task, run."""

    files: tuple[RemoteFile, ...]
    runs: tuple[RunFiles, ...]


def load_registry(path: str | Path | None = None) -> Registry:
    """Return the table of files that a data set of miniMSC's layout consists of.

    Parameters
    ----------
    path : path, default None
        A CSV file with the columns ``path``, ``sha256`` and ``bytes``, gzip-compressed if its
        name ends in ``.gz``; None reads the table of all 1,564 files that the package brings.

    Returns
    -------
    Registry

    Raises
    ------
    DataError
        If the file cannot be read, a line is not of this form (the message names the line), a
        path stands twice, or a run lacks its series or its motion trace.
    """
    if path is None:
        return _built_in()
    try:
        return _unpacked(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"registry {path}: {error.strerror}") from error


@functools.cache
def _built_in() -> Registry:
    name = "miniMSC.csv.gz"
    return _unpacked(resources.files("conn.data").joinpath("registry", name).read_bytes(), name)


def _unpacked(raw: bytes, name: str) -> Registry:
    try:
        if name.endswith(".gz"):
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
                raw = stream.read(_LARGEST_BYTES + 1)
            if len(raw) > _LARGEST_BYTES:
                raise DataError(f"registry {name} unpacks to more than {_LARGEST_BYTES} bytes")
        return _parse(raw.decode("utf-8"), name)
    except DataError:
        raise
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"registry {name}: not a CSV file ({error})") from error


def _parse(text: str, name: str) -> Registry:
    rows = csv.reader(io.StringIO(text))
    if next(rows, None) != ["path", "sha256", "bytes"]:
        raise DataError(f"registry {name}, line 1: expected the header path,sha256,bytes")
    files: dict[str, RemoteFile] = {}
    parts: dict[tuple[str, int, str, int], dict[str, RemoteFile]] = {}
    for number, row in enumerate(rows, start=2):
        where = f"registry {name}, line {number}"
        if len(row) != 3:
            raise DataError(f"{where}: {len(row)} fields, expected 3")
        match = _PATH.fullmatch(row[0])
        if match is None or _SUFFIX_OF_FOLDER[row[0].split("/")[1]] != match["suffix"]:
            raise DataError(f"{where}: {row[0]!r} is not the path of a series or a motion trace")
        if not re.fullmatch("[0-9a-f]{64}", row[1]):
            raise DataError(f"{where}: {row[1]!r} is not a SHA-256")
        if not re.fullmatch("[0-9]{1,12}", row[2]):
            raise DataError(f"{where}: {row[2]!r} is not a number of bytes")
        if row[0] in files:
            raise DataError(f"{where}: {row[0]} stands twice")
        file = files[row[0]] = RemoteFile(path=row[0], sha256=row[1], n_bytes=int(row[2]))
        key = (match["subject"], int(match["session"]), match["task"], int(match["run"]))
        parts.setdefault(key, {})[match["suffix"]] = file
    for key, pair in parts.items():
        if len(pair) != 2:
            raise DataError(f"registry {name}: {key} has {' and '.join(pair)} only")
    runs = (RunFiles(*key, pair["schaefer400_ts"], pair["relRMS"]) for key, pair in parts.items())
    return Registry(files=tuple(files.values()), runs=tuple(sorted(runs)))


def select_runs(
    registry: Registry,
    *,
    subjects: Iterable[str] | None,
    sessions: Iterable[int] | None,
    tasks: Iterable[str] | None,
) -> tuple[tuple[RunFiles, ...], tuple[str, ...]]:
    """Return the runs asked for, and a note for each subject and session that lacks a task.

    Parameters
    ----------
    registry : Registry
        What there is.
    subjects, sessions, tasks : iterable or None
        What to keep; None keeps all.

    Returns
    -------
    runs : tuple of RunFiles
        In the order subject, session, task, run.
    notes : tuple of str
        The combinations that were asked for and that the data set does not have.

    Raises
    ------
    DataError
        If a subject, a session or a task is not in the data set, or nothing is left.
    """
    wanted: dict[str, list] = {}
    for field, asked in (("subject", subjects), ("session", sessions), ("task", tasks)):
        known = sorted({getattr(run, field) for run in registry.runs})
        wanted[field] = known if asked is None else sorted(set(_as_list(asked)), key=str)
        if not wanted[field]:
            raise DataError(f"no {field} was asked for; there are {_listed(known)}")
        for value in wanted[field]:
            if value not in known:
                raise DataError(f"{field} {value} is not in the data set; there are {_listed(known)}")
    runs = tuple(
        run
        for run in registry.runs
        if run.subject in wanted["subject"] and run.session in wanted["session"] and run.task in wanted["task"]
    )
    if not runs:
        raise DataError("the data set has no run with these subjects, sessions and tasks together")
    present = {(run.subject, run.session, run.task) for run in runs}
    notes = tuple(
        f"the source has no {task} run of {subject} in session {session}"
        for subject in wanted["subject"]
        for session in wanted["session"]
        for task in wanted["task"]
        if (subject, session, task) not in present
    )
    return runs, notes


def _as_list(asked: Iterable) -> list:
    return [asked] if isinstance(asked, (str, int)) else list(asked)


def _listed(values: list) -> str:
    numbers = all(isinstance(value, int) for value in values)
    if numbers and len(values) > 2 and values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    return ", ".join(str(value) for value in values)
