"""Strict readers of users' tables: regions, expression in abagen's form, connectomes with labels."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from conn.data.archives import parse_npy
from conn.data.errors import DataError
from conn.data.labels import named, repeated

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "numbers_of_rows",
    "read_connectome",
    "read_expression",
    "read_region_table",
    "read_rows",
    "read_text",
    "region_table",
    "rows_of_text",
]

_MISSING = {"", "na", "n/a", "nan", "null", "none"}
_SIDES = {"l": "L", "lh": "L", "left": "L", "r": "R", "rh": "R", "right": "R", "b": "B", "bilateral": "B", "": ""}
# What others call these columns: 4S and iPA tables, abagen's atlas information.
_ALIASES = {
    "label": ("label", "region", "name"),
    "hemisphere": ("hemisphere", "hemi"),
    "network": ("network", "network_label"),
    "structure": ("structure",),
    "id": ("id",),
    "x": ("x", "mni_x", "x_mni"),
    "y": ("y", "mni_y", "y_mni"),
    "z": ("z", "mni_z", "z_mni"),
}


def read_region_table(path: str | Path) -> "pd.DataFrame":
    """Return the regions of a table with a header, CSV or (with the suffix ``.tsv``) tab-separated.

    Parameters
    ----------
    path : path
        Column ``label`` (or ``region``, ``name``); as far as known ``hemisphere`` (L, R, left, lh ...),
        ``network``, ``structure``, ``id`` (whole numbers in a parcellation volume), and ``x``, ``y``, ``z``
        (or ``mni_x``, ``X_MNI`` ...; MNI millimetres). Other columns are left out.

    Returns
    -------
    pandas.DataFrame
        One row a region. An empty coordinate is NaN, an empty word is an empty text.

    Raises
    ------
    DataError
        If the file cannot be read, has no labels, uses one twice, or a field is not what its column
        holds; the message names file and line.
    """
    rows = read_rows(path)
    return region_table(rows[0], rows[1:], str(path))


def read_expression(path: str | Path) -> "pd.DataFrame":
    """Return expression from a table in abagen's output form: a region a line, a gene a column.

    Parameters
    ----------
    path : path
        CSV, or tab-separated with the suffix ``.tsv``. The first column holds labels of regions, the header
        symbols of genes. Empty fields, ``NA`` and ``NaN`` are missing.

    Returns
    -------
    pandas.DataFrame, shape (region, gene)
        float64, labels in the index; NaN is missing.

    Raises
    ------
    DataError
        If a label or a symbol is used twice, a line has another length, or a field is no number; the message
        names file, line and column.
    """
    return _labelled(path, "gene")


def read_connectome(path: str | Path, *, labels: "list[str] | tuple[str, ...] | None" = None) -> "pd.DataFrame":
    """Return a connectome with its labels from a table or an ``.npy`` file.

    Parameters
    ----------
    path : path
        With labels: a header and a first column of the same labels, rows receive and columns send. Without:
        a square of numbers (``.csv``, ``.tsv`` without header, or ``.npy``), which needs `labels`.
    labels : sequence of str, default None
        Labels of both axes in the file's order, for a file that has none.

    Returns
    -------
    pandas.DataFrame, shape (target, source)
        float64, labels in index and columns.

    Raises
    ------
    DataError
        If the matrix is not square, labels are used twice or differ in number, or a field is no number.
    """
    import pandas as pd

    if labels is None and Path(path).suffix != ".npy":
        table = _labelled(path, "region")
        if set(table.index) != set(table.columns):
            odd = sorted(set(table.index) ^ set(table.columns))
            raise DataError(f"{path} has {named(odd)} along one axis only")
        return table
    if labels is None:
        raise DataError(f"{path} holds no labels: say which regions its rows are")
    values = _plain(path)
    if values.shape != (len(labels), len(labels)):
        raise DataError(f"{path} has shape {values.shape} for {len(labels)} labels")
    if twice := repeated(list(labels)):
        raise DataError(f"region {named(twice)} is named more than once for {path}")
    return pd.DataFrame(values, index=list(labels), columns=list(labels))


def region_table(header: list[str], rows: list[list[str]], where: str) -> "pd.DataFrame":
    """Return the known columns of a table of regions, each read as what it holds.

    Parameters
    ----------
    header : list of str
        Names of the columns.
    rows : list of list of str
        Their fields.
    where : str
        File, for messages.
    """
    import pandas as pd

    places: dict[str, int] = {}
    lowered = [name.strip().lower() for name in header]
    for name, others in _ALIASES.items():
        found = next((lowered.index(other) for other in others if other in lowered), None)
        if found is not None:
            places[name] = found
    if "label" not in places:
        raise DataError(f"{where}, line 1: no column label")
    columns: dict[str, list] = {}
    for name, place in places.items():
        words = [row[place].strip() for row in rows]
        spots = [f"{where}, line {line}, column {name}" for line in range(2, len(rows) + 2)]
        if name in ("x", "y", "z"):
            columns[name] = [_number(word, spot) for word, spot in zip(words, spots, strict=True)]
        elif name == "id":
            columns[name] = [_whole(word, spot) for word, spot in zip(words, spots, strict=True)]
        elif name == "hemisphere":
            columns[name] = [_side(word, spot) for word, spot in zip(words, spots, strict=True)]
        else:
            columns[name] = words
    if twice := repeated(columns["label"]):
        raise DataError(f"{where}: region {named(twice)} is named more than once")
    if "" in columns["label"]:
        raise DataError(f"{where}, line {columns['label'].index('') + 2}: a region has no label")
    return pd.DataFrame(columns)


def read_text(path: str | Path) -> str:
    """Return a file of UTF-8 text, without a byte-order mark.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error


def read_rows(path: str | Path, *, minimum: int = 2) -> list[list[str]]:
    """Return the lines of a table as fields, all of the header's length; empty lines are left out.

    Raises
    ------
    DataError
        If it cannot be read, a line has another length, or there are too few lines.
    """
    return rows_of_text(read_text(path), path, delimiter="\t" if Path(path).suffix == ".tsv" else ",", minimum=minimum)


def rows_of_text(text: str, where: str | Path, *, delimiter: str = ",", minimum: int = 2) -> list[list[str]]:
    """Return the lines of a table as fields, as `read_rows` does; `where` is the file's name for messages."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error as error:
        raise DataError(f"{where}: {error}") from error
    if len(rows) < minimum:
        raise DataError(f"{where} has {len(rows)} lines, expected at least {minimum}")
    for line, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise DataError(f"{where}, line {line}: {len(row)} fields, the first line has {len(rows[0])}")
    return rows


def numbers_of_rows(rows: list[list[str]], where: str | Path, *, first_line: int = 1) -> NDArray[np.float64]:
    """Return fields as numbers, NaN where they are empty or say so; `where` is the file's name for messages."""
    columns = [str(number) for number in range(1, len(rows[0]) + 1)]
    return np.array([_numbers(row, where, line, columns) for line, row in enumerate(rows, start=first_line)])


def _labelled(path: str | Path, what: str) -> "pd.DataFrame":
    import pandas as pd

    rows = read_rows(path)
    names = [name.strip() for name in rows[0][1:]]
    labels = [row[0].strip() for row in rows[1:]]
    for words, kind in ((labels, "region"), (names, what)):
        if not words:
            raise DataError(f"{path} has no {kind}")
        if twice := repeated(words):
            raise DataError(f"{path}: {kind} {named(twice)} is named more than once")
        if "" in words:
            raise DataError(f"{path}: a {kind} has no name")
    values = np.empty((len(labels), len(names)))
    for line, row in enumerate(rows[1:], start=2):
        values[line - 2] = _numbers(row[1:], path, line, names)
    return pd.DataFrame(values, index=labels, columns=names)


def _plain(path: str | Path) -> NDArray[np.float64]:
    if Path(path).suffix != ".npy":
        return numbers_of_rows(read_rows(path, minimum=1), path)
    try:
        values = parse_npy(Path(path).read_bytes(), path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    if values.dtype.kind not in "fiub":
        raise DataError(f"{path} holds {values.dtype}, expected numbers")
    return values.astype(np.float64)


def _numbers(row: list[str], path: str | Path, line: int, columns: list[str]) -> NDArray[np.float64]:
    try:
        return np.array(row, dtype=np.float64)
    except ValueError:
        return np.array(
            [_number(word, f"{path}, line {line}, column {name}") for word, name in zip(row, columns, strict=True)]
        )


def _number(word: str, where: str) -> float:
    if word.strip().lower() in _MISSING:
        return float("nan")
    try:
        return float(word)
    except ValueError as error:
        raise DataError(f"{where}: {word[:40]!r} is not a number") from error


def _whole(word: str, where: str) -> int:
    try:
        return int(word)
    except ValueError as error:
        raise DataError(f"{where}: {word[:40]!r} is not a whole number") from error


def _side(word: str, where: str) -> str:
    if word.lower() not in _SIDES:
        raise DataError(f"{where}: {word[:40]!r} is no hemisphere; L, R or B is expected")
    return _SIDES[word.lower()]
