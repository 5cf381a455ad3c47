"""Strict readers of ``.1D`` text: one frame a line, columns separated by blanks."""

import contextlib
import io
import re
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError

__all__ = ["parse_1d", "read_1d", "read_motion"]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# What a table of finite numbers is written with; anything else sends it to the strict reader.
_PLAIN_BYTES = b"0123456789.+-eE \t\r\n"
_CONTROL = re.compile(r"[^\x20-\x7e\t\n]")
_NAN = re.compile(r"[+-]?nan", re.IGNORECASE)


def read_1d(
    path: str | Path,
    *,
    n_regions: int | None = None,
    nan_policy: Literal["raise", "mask"] = "raise",
) -> NDArray[np.float64]:
    r"""Return the series of a ``.1D`` text file.

    The file holds one frame a line, one column a region, separated by blanks or tabs. Lines that
    begin with ``#`` before the first frame are skipped.

    Parameters
    ----------
    path : path
        The file.
    n_regions : int, default None
        The number of columns that the file must have; None takes that of the first frame.
    nan_policy : {"raise", "mask"}, default "raise"
        What to do with a frame in which a region is NaN: refuse the file, or return all its
        regions as NaN, for the caller to leave out (`fetch_msc` marks it in the mask).

    Returns
    -------
    array, shape (region, frame), float64
        In the unit of the file. Finite, but for whole frames of NaN under ``"mask"``.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, holds something that is not a number, an infinite
        value, or a line with more or fewer columns than the first; the message names file and
        line.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "scan.1D")
    ...     _ = path.write_text("1 2 3\n4 5 6\n")
    ...     read_1d(path)
    array([[1., 4.],
           [2., 5.],
           [3., 6.]])
    """
    if nan_policy not in ("raise", "mask"):
        raise DataError(f"nan_policy {nan_policy!r} is neither 'raise' nor 'mask'")
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    return parse_1d(raw, path, n_regions=n_regions, nan_policy=nan_policy)


def parse_1d(
    raw: bytes, path: Path, *, n_regions: int | None = None, nan_policy: Literal["raise", "mask"] = "raise"
) -> NDArray[np.float64]:
    """Return the series in the content of a ``.1D`` file, as `read_1d` does; `path` is its name for messages."""
    table = _read_fast(raw)
    if table is None:
        table = _read_line_by_line(raw, path, nan_policy=nan_policy)
    if n_regions is not None and table.shape[1] != n_regions:
        raise DataError(f"{path} has {table.shape[1]} columns, expected {n_regions}")
    series = np.array(table.T, order="C")
    series[:, np.isnan(series).any(axis=0)] = np.nan
    return series


def read_motion(path: str | Path, *, n_frames: int | None = None) -> NDArray[np.float64]:
    """Return the head motion trace of a ``.1D`` text file with one number a line.

    Parameters
    ----------
    path : path
        The file: relative root-mean-square motion, one frame a line.
    n_frames : int, default None
        The number of lines that the file must have; None takes any.

    Returns
    -------
    array, shape (frame,), float64
        Millimetres, finite and not negative.

    Raises
    ------
    DataError
        As for `read_1d`, and if a line has more than one number, a number is negative, or the
        length differs from `n_frames`.
    """
    trace = read_1d(path, n_regions=1)[0]
    if (trace < 0).any():
        raise DataError(f"{path}, frame {int((trace < 0).argmax())}: motion is negative")
    if n_frames is not None and trace.size != n_frames:
        raise DataError(f"{path} has {trace.size} frames, its time series has {n_frames}")
    return trace


def _read_fast(raw: bytes) -> NDArray[np.float64] | None:
    """Return a table that is beyond doubt, or None where the strict reader must look."""
    if not raw.strip() or raw.translate(None, _PLAIN_BYTES) or _has_stray_returns(raw):
        return None
    try:
        table = _parsed(raw)
    except ValueError:
        return None
    # Both parsers skip empty lines, which the strict reader refuses.
    n_lines = raw.count(b"\n") + (not raw.endswith(b"\n"))
    if len(table) != n_lines or not np.isfinite(table).all():
        return None
    return table


def _parsed(raw: bytes) -> NDArray[np.float64]:
    """Return the table by the faster of two parsers that agree to the last bit, or raise a ValueError."""
    import pandas as pd

    # Since 3.1 pandas rounds right by itself. It lets other threads run, but takes one blank between columns only.
    rounds_right = tuple(int(part) for part in pd.__version__.split(".")[:2]) >= (3, 1)
    first = raw[: raw.find(b"\n")]
    if rounds_right and b"\t" not in first and b"  " not in first and first == first.strip():
        with contextlib.suppress(ValueError):
            # Without a dtype pandas finds the type itself, a sixth faster. Words that it takes for numbers or for truth
            # values have letters, which were refused before; what is empty becomes NaN, which is refused after.
            frame = pd.read_csv(io.BytesIO(raw), sep=" ", header=None, engine="c", low_memory=False)
            return frame.to_numpy(dtype=np.float64)
    return np.loadtxt(io.BytesIO(raw), comments=None, ndmin=2)


def _has_stray_returns(raw: bytes) -> bool:
    return b"\r" in raw and raw.count(b"\r") != raw.count(b"\r\n")


def _read_line_by_line(raw: bytes, path: Path, *, nan_policy: str) -> NDArray[np.float64]:
    text = raw.decode("latin-1").replace("\r\n", "\n")
    stray = _CONTROL.search(text)
    if stray is not None:
        line = text.count("\n", 0, stray.start()) + 1
        raise DataError(f"{path}, line {line}: not plain text (byte {ord(stray[0])})")
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        if not rows and line.lstrip().startswith("#"):
            continue
        tokens = line.split()
        if not tokens:
            raise DataError(f"{path}, line {number}: the line is empty")
        rows.append([_number(token, path, number, nan_policy) for token in tokens])
        if len(tokens) != len(rows[0]):
            cut = "; the file is cut off" if number == len(lines) else ""
            raise DataError(
                f"{path}, line {number}: {len(tokens)} columns where the lines before have {len(rows[0])}{cut}"
            )
    if not rows:
        raise DataError(f"{path}: the file holds no frame")
    return np.array(rows, dtype=np.float64)


def _number(token: str, path: Path, line: int, nan_policy: str) -> float:
    if _NAN.fullmatch(token):
        if nan_policy == "raise":
            raise DataError(f"{path}, line {line}: NaN (nan_policy='mask' marks such frames)")
        return np.nan
    if not _NUMBER.fullmatch(token):
        shown = token if len(token) <= 40 else token[:40] + "..."
        raise DataError(f"{path}, line {line}: {shown!r} is not a number")
    value = float(token)
    if not np.isfinite(value):
        raise DataError(f"{path}, line {line}: {token!r} is too large")
    return value
