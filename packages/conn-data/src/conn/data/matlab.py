"""One matrix of numbers from a MATLAB file of version 4 or 5, with every size checked against the bytes that are there.

SciPy's `loadmat` reads past the end of damaged files and can end the process; it is not used for that reason.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError

__all__ = ["parse_matlab_matrix"]

# Numbers of the format: types of data elements, and classes of arrays that hold numbers.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TYPES_OF_4 = ("f8", "f4", "i4", "i2", "u2", "u1")
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX = 0x0800
_LARGEST_BYTES = 1024**3


def parse_matlab_matrix(raw: bytes, path: str | Path, name: str) -> NDArray[np.float64]:
    """Return a variable of a MATLAB file of version 4 or 5 (``save`` with ``-v4``, ``-v6`` or ``-v7``).

    Parameters
    ----------
    raw : bytes
        The file's content.
    path : path
        Its name, for messages.
    name : str
        The variable: real numbers in two axes, not sparse.

    Raises
    ------
    DataError
        If it is not such a file, is cut off, or the variable is absent or something else.
    """
    order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(raw[124:128])
    if order is None:
        return _of_version_4(raw, path, name)
    for kind, body in _elements(raw[128:], order, path):
        if kind == _COMPRESSED:
            body = _unpacked(body, path)
            kind, body = next(_elements(body, order, path), (0, b""))
        if kind != _MATRIX:
            continue
        parts = list(_elements(body, order, path))
        if len(parts) < 4 or len(parts[0][1]) != 8:
            continue
        if parts[2][1] == name.encode():
            return _matrix(parts, order, f"{path}, variable {name!r}")
    raise DataError(f"{path} has no variable {name!r}")


def _matrix(parts: list[tuple[int, bytes]], order: str, where: str) -> NDArray[np.float64]:
    (flags,) = struct.unpack(order + "I", parts[0][1][:4])
    kind, body = parts[3]
    if flags & 0xFF not in _NUMERIC_CLASSES or flags & _COMPLEX or kind not in _TYPES:
        raise DataError(f"{where} does not hold real numbers")
    dtype = np.dtype(order + _TYPES[kind])
    shape = tuple(int(size) for size in np.frombuffer(parts[1][1][: len(parts[1][1]) // 4 * 4], dtype=order + "i4"))
    if len(shape) != 2 or min(shape) < 0 or math.prod(shape) * dtype.itemsize != len(body):
        raise DataError(f"{where} has {len(body)} bytes, which do not fit its shape {shape}")
    return np.frombuffer(body, dtype=dtype).reshape(shape, order="F").astype(np.float64)


def _of_version_4(raw: bytes, path: str | Path, name: str) -> NDArray[np.float64]:
    place = 0
    while place < len(raw):
        if place + 20 > len(raw):
            raise DataError(f"{path} is no MATLAB file of version 4 or 5, or is cut off")
        # Thousands are the byte order, tens the type of numbers, ones 0 for a full matrix of numbers.
        code, n_rows, n_columns, imaginary, length = struct.unpack_from("<5i", raw, place)
        kind = code // 10 % 10
        if not 0 <= code < 100 or code % 10 > 2 or kind >= len(_TYPES_OF_4) or min(n_rows, n_columns, length) < 0:
            raise DataError(f"{path} is no MATLAB file of version 4 (little-endian) or 5")
        dtype = np.dtype("<" + _TYPES_OF_4[kind])
        start = place + 20 + length
        after = start + n_rows * n_columns * dtype.itemsize * (2 if imaginary else 1)
        if after > len(raw):
            raise DataError(f"{path} cannot be read: it is cut off, or its sizes are wrong")
        if raw[place + 20 : start].rstrip(b"\0") == name.encode():
            if imaginary or code % 10:
                raise DataError(f"{path}, variable {name!r} does not hold real numbers")
            return (
                np.frombuffer(raw[start:after], dtype=dtype).reshape((n_rows, n_columns), order="F").astype(np.float64)
            )
        place = after
    raise DataError(f"{path} has no variable {name!r}")


def _elements(raw: bytes, order: str, path: str | Path) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 8 <= len(raw):
        kind, length = struct.unpack_from(order + "II", raw, place)
        if kind >> 16:
            # A short element: its length stands in the upper half of the type, its data in the tag.
            kind, length, start, after = kind & 0xFFFF, kind >> 16, place + 4, place + 8
        else:
            start = place + 8
            after = start + length + (0 if kind == _COMPRESSED else -length % 8)
        if start + length > len(raw) or (start == place + 4 and length > 4):
            raise DataError(f"{path} cannot be read: it is cut off, or its sizes are wrong")
        yield kind, raw[start : start + length]
        place = after


def _unpacked(body: bytes, path: str | Path) -> bytes:
    unpack = zlib.decompressobj()
    try:
        found = unpack.decompress(body, _LARGEST_BYTES)
    except zlib.error as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not unpack.eof:
        raise DataError(f"{path} cannot be read: a variable is cut off, or unpacks to more than {_LARGEST_BYTES} bytes")
    return found
