"""Arrays that were read from text once, kept uncompressed so that the second read maps them into memory."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conn.data.provenance import sha256_of_file

__all__ = ["CachedArrays", "load_arrays", "store_arrays"]

# Part of every key: another number makes all that was kept before stale.
_FORMAT = 1


@dataclass(frozen=True)
class CachedArrays:
    """Arrays made from files, and the SHA-256 of each of these files at that time."""

    arrays: dict[str, NDArray[Any]]
    checksums: tuple[str, ...]


def load_arrays(folder: Path, files: Sequence[Path], settings: str, *, n_jobs: int = 4) -> CachedArrays | None:
    """Return the arrays that were made from files, or None where there are none or a file has changed.

    A file counts as unchanged if its size and time of change are those that were recorded; if not,
    it is hashed, and counts as unchanged if its SHA-256 is. The arrays are mapped into memory: they
    may be written to, which changes no file.

    Parameters
    ----------
    folder : path
        Where `store_arrays` kept them.
    files : sequence of path
        The files, in order.
    settings : str
        What else the arrays depend on.
    n_jobs : int, default 4
        Files hashed at once.
    """
    index = _index(folder, files, settings)
    try:
        told = json.loads(index.read_text(encoding="utf-8"))
        recorded = [(tuple(stamp), checksum) for stamp, checksum in told["files"]]
        stamps = [_stamp(file) for file in files]
        arrays = {name: np.load(folder / path, mmap_mode="c") for name, path in told["arrays"].items()}
    # A missing, cut off or foreign index or array is as good as none.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None
    checksums = tuple(checksum for _, checksum in recorded)
    if stamps != [stamp for stamp, _ in recorded]:
        with ThreadPoolExecutor(n_jobs) as executor:
            if tuple(executor.map(sha256_of_file, files)) != checksums:
                return None
        with contextlib.suppress(OSError):
            _write_index(index, told["arrays"], stamps, checksums)
    return CachedArrays(arrays, checksums)


def store_arrays(
    folder: Path, files: Sequence[Path], settings: str, checksums: Sequence[str], arrays: dict[str, NDArray[Any]]
) -> None:
    """Keep arrays that were made from files, in place of older ones made from the same files.

    A folder that cannot be written, or is full, is no error: the next read takes longer.

    Parameters
    ----------
    folder : path
        Where to; made if need be.
    files : sequence of path
        What the arrays were made from.
    settings : str
        What else they depend on.
    checksums : sequence of str
        SHA-256 of the files.
    arrays : mapping of str to array
        By name, which must be plain words.
    """
    index = _index(folder, files, settings)
    content = _digest([_FORMAT, settings, list(checksums)])
    paths = {name: f"{content}.{name}.npy" for name in arrays}
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        older = _paths_of(index)
        for name, array in arrays.items():
            with _whole_file(folder / paths[name]) as descriptor, os.fdopen(descriptor, "wb") as stream:
                np.save(stream, array)
        _write_index(index, paths, [_stamp(file) for file in files], checksums)
        for path in older - set(paths.values()):
            (folder / path).unlink(missing_ok=True)


def _index(folder: Path, files: Sequence[Path], settings: str) -> Path:
    return folder / f"{_digest([_FORMAT, settings, [str(file) for file in files]])}.json"


def _digest(what: list) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _stamp(file: Path) -> tuple[int, int]:
    told = file.stat()
    return told.st_size, told.st_mtime_ns


def _paths_of(index: Path) -> set[str]:
    """Return the arrays that an index leads to, none if it is not there or not one of ours."""
    try:
        paths = json.loads(index.read_text(encoding="utf-8"))["arrays"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
    return {path for path in paths if isinstance(path, str) and "/" not in path and path.endswith(".npy")}


def _write_index(
    index: Path, paths: dict[str, str], stamps: Sequence[tuple[int, int]], checksums: Sequence[str]
) -> None:
    told = {"arrays": paths, "files": list(zip(stamps, checksums, strict=True))}
    with _whole_file(index) as descriptor, os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(told, stream)


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[int]:
    """Give a descriptor of a temporary file that takes its place when all went well."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    partial = Path(name)
    try:
        yield descriptor
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
