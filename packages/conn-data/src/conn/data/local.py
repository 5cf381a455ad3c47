"""A data set in a folder of this computer: found, read file by file, checked against the registry."""

import csv
import functools
import gzip
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conn.data.archives import parse_npy, parse_npz
from conn.data.cards import DatasetCard
from conn.data.download import RemoteFile, is_intact
from conn.data.errors import DataError, DataUnavailableError
from conn.data.locations import cache_folder, data_folder
from conn.data.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LocalSet", "chosen", "frame_mask", "padded", "registered_files"]


@functools.cache
def registered_files() -> dict[str, RemoteFile]:
    """Return the known files of the sets that lie in folders: path below ``CONN_DATA_DIR`` to size and SHA-256."""
    raw = resources.files("conn.data").joinpath("registry", "local.csv.gz").read_bytes()
    rows = csv.DictReader(io.StringIO(gzip.decompress(raw).decode("utf-8")))
    return {row["path"]: RemoteFile(row["path"], row["sha256"], int(row["bytes"])) for row in rows}


class LocalSet:
    """The files of one data set, which remembers what was read for the provenance.

    Parameters
    ----------
    card : DatasetCard
        Which set.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Raises
    ------
    DataUnavailableError
        If neither has the set's folder.
    """

    card: DatasetCard
    folder: Path
    origin: str

    def __init__(
        self, card: DatasetCard, *, data_dir: str | Path | None = None, cache_dir: str | Path | None = None
    ) -> None:
        self.card = card
        self._checksums: dict[str, str] = {}
        own, cache = data_folder(data_dir), cache_folder(cache_dir)
        for base, origin in ((own, "CONN_DATA_DIR"), (cache, "cache")):
            if base is not None and (base / card.folder).is_dir():
                self.folder, self.origin = base / card.folder, origin
                return
        places = (
            f"{'CONN_DATA_DIR is not set' if own is None else f'{own} has no folder {card.folder}'}, nor has {cache}"
        )
        raise DataUnavailableError(f"{card.name} is not at hand: {places}. {self._how_to_get()}")

    def has(self, path: str) -> bool:
        """Return whether the folder has a file."""
        return (self.folder / path).is_file()

    def state(self, path: str) -> str:
        """Return whether a registered file is ``"intact"``, ``"damaged"`` or ``"absent"``."""
        file = registered_files()[f"{self.card.folder}/{path}"]
        if not self.has(path):
            return "absent"
        return "intact" if is_intact(replace(file, path=path), self.folder) else "damaged"

    def read(self, path: str) -> bytes:
        """Return a file's content, and remember its checksum."""
        try:
            raw = (self.folder / path).read_bytes()
        except FileNotFoundError as error:
            raise DataUnavailableError(f"{self.folder} has no {path}. {self._how_to_get()}") from error
        except OSError as error:
            raise DataError(f"{self.folder / path}: {error.strerror}") from error
        self._checksums[path] = hashlib.sha256(raw).hexdigest()
        return raw

    def npz(self, path: str, *names: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of an ``.npz`` file, which must have those named."""
        arrays = parse_npz(self.read(path), self.folder / path)
        for name in names:
            if name not in arrays:
                raise DataError(f"{self.folder / path} has no array {name!r}")
        return arrays

    def npy(self, path: str) -> NDArray[Any]:
        """Return the array of an ``.npy`` file."""
        return parse_npy(self.read(path), self.folder / path)

    def text(self, path: str) -> str:
        """Return a file of UTF-8 text."""
        try:
            return self.read(path).decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.folder / path}: not UTF-8 text (byte {error.start})") from error

    def table(
        self, path: str, *, numbers: Sequence[str] = (), words: Sequence[str] = (), delimiter: str = "\t"
    ) -> "pd.DataFrame":
        """Return columns of a table with a header, ``n/a`` and empty fields as NaN in columns of numbers.

        A missing word is an empty text.
        """
        import pandas as pd

        where = self.folder / path
        try:
            rows = list(csv.reader(io.StringIO(self.text(path)), delimiter=delimiter))
        except csv.Error as error:
            raise DataError(f"{where}: {error}") from error
        header = rows[0] if rows else []
        absent = [name for name in (*numbers, *words) if name not in header]
        if absent:
            raise DataError(f"{where}, line 1: no column {', '.join(absent)}")
        for number, row in enumerate(rows[1:], start=2):
            if len(row) != len(header):
                raise DataError(f"{where}, line {number}: {len(row)} fields, the header has {len(header)}")
        columns: dict[str, list] = {}
        for name in header:
            if name not in numbers and name not in words:
                continue
            place = header.index(name)
            values = ["" if row[place] == "n/a" else row[place] for row in rows[1:]]
            columns[name] = (
                values
                if name in words
                else [
                    _number(value, f"{where}, line {line}, column {name}") for line, value in enumerate(values, start=2)
                ]
            )
        return pd.DataFrame(columns)

    def check(self, array: NDArray[Any], path: str, what: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """Return an array after its shape, type and values were checked; None in `shape` takes any length."""
        where = f"{self.folder / path}, {what}"
        fits = len(array.shape) == len(shape) and all(
            expected in (None, length) for length, expected in zip(array.shape, shape, strict=True)
        )
        if not fits:
            expected = ", ".join("any" if length is None else str(length) for length in shape)
            raise DataError(f"{where} has shape {array.shape}, expected ({expected})")
        if array.dtype.kind not in "fiub":
            raise DataError(f"{where} holds {array.dtype}, expected numbers")
        return array

    def provenance(self, *notes: str) -> Provenance:
        """Return where the data come from, with the checksums of what was read."""
        known = registered_files()
        differing = [
            path
            for path, checksum in self._checksums.items()
            if (file := known.get(f"{self.card.folder}/{path}")) is None or file.sha256 != checksum
        ]
        if differing:
            notes += (f"{len(differing)} of {len(self._checksums)} files differ from the registered ones: "
                      f"{differing[0]}{' and others' if len(differing) > 1 else ''}",)  # fmt: skip
        return Provenance(
            dataset=self.card.name,
            source=self.card.source,
            version=self.card.version,
            licence=self.card.licence,
            citation=self.card.citation,
            origin=self.origin,
            checksums=self._checksums,
            notes=notes,
        )

    def _how_to_get(self) -> str:
        card = self.card
        return (
            f"It is read from a local folder only: get it from {card.source} ({card.version}) and lay it out as "
            f"{card.folder}/ with {card.layout}"
        )


def chosen(known: Iterable[Any], asked: Iterable[Any] | None, what: str) -> list[Any]:
    """Return what was asked for in the order of what there is, or all of it."""
    known = list(known)
    if asked is None:
        return known
    wanted = [asked] if isinstance(asked, (str, int)) else list(asked)
    for value in wanted:
        if value not in known:
            raise DataError(f"there is no {what} {value!r}; there are {', '.join(str(one) for one in known)}")
    if not wanted:
        raise DataError(f"no {what} was asked for; there are {', '.join(str(one) for one in known)}")
    return [value for value in known if value in wanted]


def padded(scans: Sequence[NDArray[Any]], *, first: int = 0) -> NDArray[np.float32]:
    """Return arrays of shape (..., frame) as one of shape (scan, ..., frame), filled up with zeros.

    `first` frames of zeros come before each, for traces of differences, which are one shorter.
    """
    longest = max(scan.shape[-1] for scan in scans) + first
    stacked = np.zeros((len(scans), *scans[0].shape[:-1], longest), dtype=np.float32)
    for place, scan in enumerate(scans):
        stacked[place, ..., first : first + scan.shape[-1]] = scan
    return stacked


def frame_mask(lengths: Sequence[int]) -> NDArray[np.bool_]:
    """Return which frames each scan has, shape (scan, frame)."""
    return np.arange(max(lengths)) < np.array(lengths)[:, None]


def _number(text: str, where: str) -> float:
    if text == "":
        return float("nan")
    try:
        return float({"True": "1", "False": "0"}.get(text, text))
    except ValueError as error:
        raise DataError(f"{where}: {text[:40]!r} is not a number") from error
