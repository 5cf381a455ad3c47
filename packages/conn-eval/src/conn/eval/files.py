"""Files that appear complete or not at all."""

import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from conn.eval.errors import OutputError

__all__ = ["check_output_folder", "write_files"]


def check_output_folder(folder: str | Path) -> Path:
    """Return the folder, having made sure that files can be written there; nothing is left behind.

    For the beginning of a long computation, so that it does not fail at its end.

    Parameters
    ----------
    folder : str or Path
        Where files shall go; it need not exist yet. A leading ``~`` is the home folder.

    Returns
    -------
    Path
        The folder, with ``~`` replaced.

    Raises
    ------
    OutputError
        If it is a file, or neither it nor the nearest folder above it can be written to.

    Examples
    --------
    >>> check_output_folder("results").name
    'results'
    """
    wanted = Path(folder).expanduser()
    existing = wanted.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise OutputError(f"cannot write to {wanted}: {existing} is a file, and a folder was expected")
    try:
        with tempfile.TemporaryFile(dir=existing):
            return wanted
    except OSError as error:
        raise OutputError(f"cannot write to {wanted}: {error.strerror or error}") from error


def write_files(contents: Mapping[Path, str]) -> None:
    """Write texts to files; none is replaced before all are on the disk.

    Missing folders are made. Every text first goes to a temporary file beside its destination,
    then all are renamed, so that an error leaves the old files as they were.

    Parameters
    ----------
    contents : mapping of Path to str
        What each file is to hold, encoded as UTF-8.

    Raises
    ------
    OutputError
        If a folder cannot be made or a file cannot be written; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_files({Path(folder, "new", "a.txt"): "text"})
    ...     Path(folder, "new", "a.txt").read_text()
    'text'
    """
    temporary: dict[Path, Path] = {}
    path = Path()
    try:
        for path, text in contents.items():
            if path.is_dir():
                raise OutputError(f"cannot write {path}: it is a folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path] = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
            with temporary[path].open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        for path, complete in temporary.items():
            complete.replace(path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for leftover in temporary.values():
            with suppress(OSError):
                leftover.unlink(missing_ok=True)
