"""A scan set in one NumPy file, with its table, labels and provenance."""

import contextlib
import dataclasses
import io
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError
from conn.data.provenance import Provenance
from conn.data.scans import ScanSet
from conn.data.simulate import SimulatedCohort

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_scans", "save_scans", "table_as_text", "table_from_text", "whole_folder", "write_whole"]

_TRUTH = ("communities", "activity")
_TABLES = ("events", "participants", "regions")
_COLUMNS = {"subject": "str", "session": "int64", "task": "str", "run": "int64", "n_frames": "int64"}


def save_scans(scans: ScanSet, path: str | Path) -> Path:
    """Return the path of the ``.npz`` file that the scans were written to.

    The arrays lie in it under the names of the fields of `ScanSet`; ``region_labels``, the columns
    of the table (``table_subject`` and so on) and what `scan_arrays` holds (``scan_`` and its
    name) are arrays too; the provenance and the other tables are JSON text. The file is written
    under a temporary name and renamed when it is whole.

    Parameters
    ----------
    scans : ScanSet
        What to keep; the truth of a `SimulatedCohort` is kept too.
    path : path
        The file, with the suffix ``.npz``; replaced if it exists. Its folder is made.

    Raises
    ------
    DataError
        If the suffix is another one, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise DataError(f"{path}: the file's name must end in .npz")
    arrays: dict[str, Any] = {
        "time_series": scans.time_series,
        "mask": scans.mask,
        "region_labels": np.array(scans.region_labels),
        "repetition_time": np.array(scans.repetition_time),
        "provenance": np.array(json.dumps(dataclasses.asdict(scans.provenance))),
    }
    arrays["unit"], arrays["motion_measure"] = np.array(scans.unit), np.array(scans.motion_measure)
    if scans.motion is not None:
        arrays["motion"] = scans.motion
    for column, kind in _COLUMNS.items():
        arrays[f"table_{column}"] = scans.table[column].to_numpy(dtype=kind)
    others = [column for column in scans.table.columns if column not in _COLUMNS]
    if others:
        arrays["table_others"] = table_as_text(scans.table.reindex(columns=others))
    for name in _TABLES:
        table = getattr(scans, name)
        if table is not None:
            arrays[name] = table_as_text(table)
    arrays |= {f"scan_{name}": array for name, array in scans.scan_arrays.items()}
    if isinstance(scans, SimulatedCohort):
        arrays |= {name: getattr(scans, name) for name in _TRUTH}
    write_whole(path, lambda stream: np.savez(stream, **arrays))
    return path


def load_scans(path: str | Path) -> ScanSet:
    """Return the scans that `save_scans` wrote to a file.

    Parameters
    ----------
    path : path
        The ``.npz`` file.

    Returns
    -------
    ScanSet
        A `SimulatedCohort` if that was what was saved.

    Raises
    ------
    DataError
        If the file cannot be read, lacks an array, or its arrays do not fit together.
    """
    import pandas as pd

    try:
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as packed:
            arrays = {name: packed[name] for name in packed.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    try:
        told = json.loads(str(arrays["provenance"]))
        fields: dict[str, Any] = {
            "time_series": arrays["time_series"],
            "mask": arrays["mask"],
            "motion": arrays.get("motion"),
            "table": pd.DataFrame({column: arrays[f"table_{column}"] for column in _COLUMNS}),
            "region_labels": tuple(arrays["region_labels"].tolist()),
            "repetition_time": float(arrays["repetition_time"]),
            "provenance": Provenance(**told),
            "scan_arrays": {
                name.removeprefix("scan_"): array for name, array in arrays.items() if name.startswith("scan_")
            },
        }
        fields |= {name: table_from_text(arrays[name]) for name in _TABLES if name in arrays}
        fields |= {name: str(arrays[name]) for name in ("unit", "motion_measure") if name in arrays}
        if "table_others" in arrays:
            fields["table"] = fields["table"].join(table_from_text(arrays["table_others"]))
        if "communities" in arrays:
            return SimulatedCohort(**fields, **{name: arrays[name] for name in _TRUTH})
        return ScanSet(**fields)
    except KeyError as error:
        raise DataError(f"{path} has no array {error}: not a file of save_scans") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a file of save_scans: {error}") from error


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under a temporary name beside it, and rename it when it is whole.

    Parameters
    ----------
    path : pathlib.Path
        The file; replaced if it exists. Its folder is made.
    write : callable
        Gets the open binary stream.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        partial = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            write(stream)
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a folder under a temporary name, which takes its own name when all was written.

    Parameters
    ----------
    folder : pathlib.Path
        Must not exist yet; the folder above it is made.

    Raises
    ------
    DataError
        If it exists or cannot be written.
    """
    if folder.exists():
        raise DataError(f"{folder} exists already")
    partial: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        yield partial
        partial.chmod(0o755)
        partial.rename(folder)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}") from error
    finally:
        if partial is not None and partial.exists():
            shutil.rmtree(partial)


def table_as_text(table: "pd.DataFrame") -> NDArray[Any]:
    """Return a table as JSON, in which floats keep their last bit and missing words are null."""
    columns: dict[str, list] = {}
    for name, column in table.items():
        missing, values = column.isna().tolist(), column.tolist()
        numbers = column.dtype.kind == "f"
        columns[str(name)] = [
            None if empty and not numbers else value for value, empty in zip(values, missing, strict=True)
        ]
    return np.array(json.dumps(columns))


def table_from_text(text: NDArray[Any]) -> "pd.DataFrame":
    """Return the table that `table_as_text` wrote."""
    import pandas as pd

    return pd.DataFrame(json.loads(str(text)))
