"""A scan set in one NumPy file, with its table, labels and provenance."""

import dataclasses
import io
import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from conn.data.errors import DataError
from conn.data.provenance import Provenance
from conn.data.scans import ScanSet
from conn.data.simulate import SimulatedCohort

__all__ = ["load_scans", "save_scans"]

_TRUTH = ("communities", "activity")


def save_scans(scans: ScanSet, path: str | Path) -> Path:
    """Return the path of the ``.npz`` file that the scans were written to.

    The arrays lie in it under the names of the fields of `ScanSet`; ``labels`` and the columns
    of the table (``table_subject`` and so on) are arrays too, the provenance is JSON text. The
    file is written under a temporary name and renamed when it is whole.

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
    if scans.motion is not None:
        arrays["motion"] = scans.motion
    for column in ("subject", "task"):
        arrays[f"table_{column}"] = scans.table[column].to_numpy(dtype=str)
    for column in ("session", "run", "n_frames"):
        arrays[f"table_{column}"] = scans.table[column].to_numpy(dtype=np.int64)
    if isinstance(scans, SimulatedCohort):
        arrays |= {name: getattr(scans, name) for name in _TRUTH}
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        partial = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            np.savez(stream, **arrays)
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
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
            "table": pd.DataFrame(
                {column: arrays[f"table_{column}"] for column in ("subject", "session", "task", "run", "n_frames")}
            ),
            "region_labels": tuple(arrays["region_labels"].tolist()),
            "repetition_time": float(arrays["repetition_time"]),
            "provenance": Provenance(**told),
        }
        if "communities" in arrays:
            return SimulatedCohort(**fields, **{name: arrays[name] for name in _TRUTH})
        return ScanSet(**fields)
    except KeyError as error:
        raise DataError(f"{path} has no array {error}: not a file of save_scans") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a file of save_scans: {error}") from error
