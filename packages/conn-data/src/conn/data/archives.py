"""Strict readers of NumPy's files: no pickles, and nothing larger than the file itself says."""

import io
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError

__all__ = ["parse_npy", "parse_npz"]

# More than any set here unpacks to, and a bound on what a forged archive can make us allocate.
_LARGEST_BYTES = 4 * 1024**3
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def parse_npz(raw: bytes, path: str | Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file by name.

    Parameters
    ----------
    raw : bytes
        The file's content.
    path : path
        Its name, for messages.

    Raises
    ------
    DataError
        If it is not such a file, an array is cut off, holds Python objects, or claims more than
        4 GiB.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > _LARGEST_BYTES:
                raise DataError(f"{path} unpacks to more than {_LARGEST_BYTES} bytes")
            for member in members:
                name = member.filename.removesuffix(".npy")
                arrays[name] = parse_npy(archive.read(member), f"{path}, array {name!r}")
    except DataError:
        raise
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return arrays


def parse_npy(raw: bytes, path: str | Path) -> NDArray[Any]:
    """Return the array of an ``.npy`` file.

    Parameters
    ----------
    raw : bytes
        The file's content.
    path : path
        Its name, for messages.

    Raises
    ------
    DataError
        As for `parse_npz`; also if the length is not what the header says.
    """
    stream = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"{path} is of version {version} of the format, expected (1, 0) or (2, 0)")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
    except DataError:
        raise
    # NumPy reads the header with Python's own parser, and tells of what that stumbles over.
    except (*_UNREADABLE, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if dtype.hasobject:
        raise DataError(f"{path} holds Python objects, which are not read")
    # Before anything is allocated: the header may promise anything.
    held, promised = len(raw) - stream.tell(), math.prod(shape) * dtype.itemsize
    if held != promised:
        raise DataError(f"{path} holds {held} bytes where its header promises {promised}")
    return np.load(io.BytesIO(raw), allow_pickle=False)
