"""Variables of MATLAB files of version 4 or 5, with every size checked against the bytes that are there.

SciPy's `loadmat` reads past the end of damaged files and can end the process; it is not used for that reason.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError

__all__ = ["parse_matlab_matrix", "parse_matlab_variables"]

# Numbers of the format: types of data elements, and classes of arrays that hold numbers.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TYPES_OF_4 = ("f8", "f4", "i4", "i2", "u2", "u1")
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX = 0x0800
_LARGEST_BYTES = 1024**3
_CELL, _STRUCT, _TEXT = 1, 2, 4
_DEEPEST = 8


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
    order = _byte_order(raw)
    if order is None:
        return _of_version_4(raw, path, name)
    for parts in _variables(raw, order, path):
        if len(parts) >= 4 and parts[2][1] == name.encode():
            return _matrix(parts, order, f"{path}, variable {name!r}")
    raise DataError(f"{path} has no variable {name!r}")


def parse_matlab_variables(raw: bytes, path: str | Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file of version 5.

    Parameters
    ----------
    raw : bytes
        The file's content.
    path : path
        Its name, for messages.

    Returns
    -------
    dict of str
        Real matrices as arrays of float64, text as str (several lines joined by line ends), cells as lists, structures
        as lists of dicts, one an element; None for whatever else there is.

    Raises
    ------
    DataError
        If it is not such a file, is cut off, or is nested deeper than eight levels.
    """
    order = _byte_order(raw)
    if order is None:
        raise DataError(f"{path} is no MATLAB file of version 5")
    return {parts[2][1].decode("latin-1"): _value(parts, order, str(path), 0) for parts in _variables(raw, order, path)}


def _byte_order(raw: bytes) -> str | None:
    return {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(raw[124:128])


def _variables(raw: bytes, order: str, path: str | Path) -> Iterator[list[tuple[int, bytes]]]:
    for kind, body in _elements(raw[128:], order, path):
        if kind == _COMPRESSED:
            body = _unpacked(body, path)
            kind, body = next(_elements(body, order, path), (0, b""))
        if kind != _MATRIX:
            continue
        parts = list(_elements(body, order, path))
        if len(parts) >= 3 and len(parts[0][1]) == 8:
            yield parts


def _value(parts: list[tuple[int, bytes]], order: str, where: str, depth: int) -> Any:
    """Return the value of an array element as `parse_matlab_variables` says."""
    if depth > _DEEPEST:
        raise DataError(f"{where} is nested deeper than {_DEEPEST} levels")
    if len(parts) < 3 or len(parts[0][1]) != 8:
        return None
    (flags,) = struct.unpack(order + "I", parts[0][1][:4])
    if flags & 0xFF in _NUMERIC_CLASSES and len(parts) >= 4:
        return None if flags & _COMPLEX else _matrix(parts, order, where)
    if flags & 0xFF == _TEXT and len(parts) >= 4:
        return _text(parts, order, where)
    if flags & 0xFF == _CELL:
        return [_inner(part, order, where, depth) for part in parts[3:]]
    if flags & 0xFF == _STRUCT and len(parts) >= 5 and len(parts[3][1]) == 4:
        (width,) = struct.unpack(order + "i", parts[3][1])
        if not 0 < width <= 256:
            raise DataError(f"{where} is a structure whose names have {width} bytes")
        names = [parts[4][1][start : start + width].split(b"\0")[0].decode("latin-1")
                 for start in range(0, len(parts[4][1]), width)]  # fmt: skip
        values = [_inner(part, order, where, depth) for part in parts[5:]]
        if not names or len(values) % len(names):
            raise DataError(f"{where} is a structure of {len(names)} fields with {len(values)} values")
        return [dict(zip(names, values[start : start + len(names)], strict=True))
                for start in range(0, len(values), len(names))]  # fmt: skip
    return None


def _inner(part: tuple[int, bytes], order: str, where: str, depth: int) -> Any:
    kind, body = part
    return _value(list(_elements(body, order, where)), order, where, depth + 1) if kind == _MATRIX else None


def _text(parts: list[tuple[int, bytes]], order: str, where: str) -> str:
    shape = _shape(parts, order)
    kind, body = parts[3]
    if kind in (1, 2, 16):  # bytes, and UTF-8
        letters = body.decode("utf-8", errors="replace")
    elif kind in (4, 17):
        letters = body[: len(body) // 2 * 2].decode("utf-16-le" if order == "<" else "utf-16-be", errors="replace")
    else:
        raise DataError(f"{where} holds text in a form that is not known")
    if len(shape) != 2 or shape[0] <= 1:
        return letters
    return "\n".join(letters[line :: shape[0]].rstrip() for line in range(min(shape[0], len(letters))))


def _shape(parts: list[tuple[int, bytes]], order: str) -> tuple[int, ...]:
    return tuple(int(size) for size in np.frombuffer(parts[1][1][: len(parts[1][1]) // 4 * 4], dtype=order + "i4"))


def _matrix(parts: list[tuple[int, bytes]], order: str, where: str) -> NDArray[np.float64]:
    (flags,) = struct.unpack(order + "I", parts[0][1][:4])
    kind, body = parts[3]
    if flags & 0xFF not in _NUMERIC_CLASSES or flags & _COMPLEX or kind not in _TYPES:
        raise DataError(f"{where} does not hold real numbers")
    dtype = np.dtype(order + _TYPES[kind])
    shape = _shape(parts, order)
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
