"""What a search needs to go on where it was stopped: arrays and plain numbers in one file, replaced whole."""

import hashlib
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["data_digest", "read_checkpoint", "write_checkpoint"]

_FACTS = "facts"


def data_digest(*arrays: NDArray[Any]) -> str:
    """Return a digest of values, shapes and types."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def write_checkpoint(path: Path, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write a checkpoint beside its place and move it there, so that the file is always whole."""
    held: dict[str, Any] = {_FACTS: np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8), **arrays}
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **held)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what was written.

    Raises
    ------
    ValueError
        If the file is not a checkpoint.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(arrays.pop(_FACTS).tobytes())
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a checkpoint of a community model: {error}") from error
    return facts, arrays
