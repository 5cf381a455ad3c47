"""The microarray files of the Allen Human Brain Atlas: donors, their tissue samples, probes and values."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError, DataUnavailableError
from conn.data.labels import named, repeated
from conn.data.local import chosen
from conn.data.region_tables import read_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "STRUCTURES",
    "Donor",
    "find_donors",
    "read_corrected_coordinates",
    "read_probe_rows",
    "read_probes",
    "read_samples",
    "share_above_background",
]

_FOLDER = re.compile(r"normalized_microarray_donor(?P<donor>\w+)")
_CHUNK = 4096
_MISSING = ("", "na", "nan", "null", "none")
# Identifiers of the atlas' ontology. The innermost one on a structure's path counts: the hippocampal formation lies
# below the cerebral cortex there.
_PARTS = {
    4008: "cortex",
    4249: "subcortex",
    4275: "subcortex",
    4391: "subcortex",
    4696: "cerebellum",
    9001: "brainstem",
    9131: "brainstem",
    9512: "brainstem",
    9218: "white matter",
    9352: "other",
}
STRUCTURES = ("cortex", "subcortex", "brainstem", "cerebellum", "white matter", "other")


@dataclass(frozen=True)
class Donor:
    """One donor's folder."""

    name: str
    folder: Path

    def file(self, name: str) -> Path:
        """Return the path of one of the donor's files."""
        return self.folder / name


def find_donors(folder: str | Path, donors: Sequence[str] | None = None) -> list[Donor]:
    """Return the donors of a folder, in the order of their names' numbers.

    Parameters
    ----------
    folder : path
        Holds ``normalized_microarray_donor9861`` and so on, as the archives unpack.
    donors : sequence of str, default None
        ``"9861"`` and so on; None takes all.

    Raises
    ------
    DataUnavailableError
        If there is no such folder, no donor in it, or a file is absent.
    DataError
        If a donor who was asked for is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataUnavailableError(f"{folder} is no folder")
    found = {
        match["donor"]: Donor(match["donor"], entry)
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and (match := _FOLDER.fullmatch(entry.name))
    }
    if not found:
        raise DataUnavailableError(
            f"{folder} has no folder normalized_microarray_donor...; the archives are to be had from "
            "https://human.brain-map.org/static/download"
        )
    names = chosen(sorted(found, key=lambda name: (len(name), name)), donors, "donor")
    for name in names:
        for file in ("MicroarrayExpression.csv", "PACall.csv", "Probes.csv", "SampleAnnot.csv", "Ontology.csv"):
            if not found[name].file(file).is_file():
                raise DataUnavailableError(f"{found[name].folder} has no {file}")
    return [found[name] for name in names]


def read_samples(donor: Donor) -> "pd.DataFrame":
    """Return a donor's tissue samples, one a row in the order of the columns of values.

    Returns
    -------
    pandas.DataFrame
        ``well`` and ``structure_id`` (whole numbers), ``x``, ``y``, ``z`` (MNI, millimetres), ``hemisphere``
        (``"L"``, ``"R"``, or ``"B"`` where the ontology names none) and ``structure`` (one of `STRUCTURES`).

    Raises
    ------
    DataError
        If a file cannot be read, a column is missing, a number is none, or the ontology lacks a structure.
    """
    import pandas as pd

    path = donor.file("SampleAnnot.csv")
    table = _Table(path, ("well_id", "structure_id", "mni_x", "mni_y", "mni_z"))
    known = _ontology(donor.file("Ontology.csv"))
    structures = table.whole("structure_id")
    for line, number in enumerate(structures, start=2):
        if number not in known:
            raise DataError(f"{path}, line {line}: structure {number} is not in {donor.file('Ontology.csv')}")
    wells = table.whole("well_id")
    if twice := repeated([str(well) for well in wells]):
        raise DataError(f"{path}: well {named(twice)} is there twice")
    return pd.DataFrame(
        {
            "well": wells,
            "structure_id": structures,
            **{axis: table.numbers(f"mni_{axis}") for axis in "xyz"},
            "hemisphere": [known[number][0] for number in structures],
            "structure": [known[number][1] for number in structures],
        }
    )


def read_corrected_coordinates(path: str | Path) -> "pd.DataFrame":
    """Return coordinates of wells that take the place of the atlas' own.

    Parameters
    ----------
    path : path
        Table with columns ``well_id`` and ``corrected_mni_x``, ``_y``, ``_z`` (or ``mni_x`` and so on).

    Returns
    -------
    pandas.DataFrame
        ``x``, ``y``, ``z`` by well.
    """
    import pandas as pd

    header = read_rows(path)[0]
    prefix = "corrected_mni" if "corrected_mni_x" in header else "mni"
    table = _Table(Path(path), ("well_id", *(f"{prefix}_{axis}" for axis in "xyz")))
    wells = table.whole("well_id")
    if twice := repeated([str(well) for well in wells]):
        raise DataError(f"{path}: well {named(twice)} is there twice")
    return pd.DataFrame({axis: table.numbers(f"{prefix}_{axis}") for axis in "xyz"}, index=pd.Index(wells))


def read_probes(path: Path, reannotation: str | Path | None = None) -> "pd.DataFrame":
    """Return the probes that belong to a gene, by probe number.

    Parameters
    ----------
    path : path
        ``Probes.csv`` of a donor; it is the same for all.
    reannotation : path, default None
        Table with columns ``probe_name``, ``gene_symbol`` and ``entrez_id`` that replaces the genes; probes
        that it lacks are left out.

    Returns
    -------
    pandas.DataFrame
        ``probe_name`` and ``gene``, by number; probes without an Entrez number are left out.

    Raises
    ------
    DataError
        If a file cannot be read, a probe is there twice, or none belongs to a gene.
    """
    import pandas as pd

    table = _Table(path, ("probe_id", "probe_name", "gene_symbol", "entrez_id"))
    numbers, names = table.whole("probe_id"), table.words("probe_name")
    for words, what in (([str(number) for number in numbers], "probe_id"), (names, "probe_name")):
        if twice := repeated(words):
            raise DataError(f"{path}: {what} {named(twice)} is there twice")
    genes, codes = table.words("gene_symbol"), table.words("entrez_id")
    if reannotation is not None:
        other = _Table(Path(reannotation), ("probe_name", "gene_symbol", "entrez_id"))
        if twice := repeated(other.words("probe_name")):
            raise DataError(f"{reannotation}: probe_name {named(twice)} is there twice")
        told = dict(zip(other.words("probe_name"), other.lines("gene_symbol", "entrez_id"), strict=True))
        genes, codes = map(list, zip(*(told.get(name, ("", "")) for name in names), strict=True))
    kept = [code.lower() not in _MISSING and gene.lower() not in _MISSING
            for code, gene in zip(codes, genes, strict=True)]  # fmt: skip
    if not any(kept):
        raise DataError(f"{reannotation or path}: no probe has a gene_symbol and an entrez_id")
    return pd.DataFrame({"probe_name": names, "gene": genes}, index=pd.Index(numbers)).loc[kept]


def share_above_background(
    donors: Sequence[Donor], samples: Sequence["pd.DataFrame"], kept: Sequence[NDArray[np.bool_]], probes: "pd.Index"
) -> NDArray[np.float64]:
    """Return in which share of the donors' kept samples each probe's signal exceeds the background."""
    count, total = np.zeros(len(probes)), 0
    for donor, table, keep in zip(donors, samples, kept, strict=True):
        calls = read_probe_rows(donor.file("PACall.csv"), len(table), probes)
        if ((calls != 0) & (calls != 1)).any():
            row = int(((calls != 0) & (calls != 1)).any(axis=1).argmax())
            raise DataError(f"{donor.file('PACall.csv')}: probe {probes[row]} has a call that is neither 0 nor 1")
        count += calls[:, keep].sum(axis=1)
        total += int(keep.sum())
    return count / total


def read_probe_rows(path: Path, n_samples: int, probes: "pd.Index") -> NDArray[np.float32]:
    """Return the values of some probes in all samples of a file without header, the probe's number first.

    The file is read in pieces: memory is that of the probes asked for.

    Parameters
    ----------
    path : path
        ``MicroarrayExpression.csv`` or ``PACall.csv``.
    n_samples : int
        Rows of ``SampleAnnot.csv``.
    probes : pandas.Index
        Numbers, each once.

    Returns
    -------
    array, shape (probe, sample), float32
        In the order of `probes`.

    Raises
    ------
    DataError
        If a line has another number of fields, a field is no finite number, or a probe is absent or there
        twice; the message names file and line, or the probe.
    """
    import pandas as pd

    _check_width(path, n_samples)
    values = np.empty((len(probes), n_samples), dtype=np.float32)
    found = np.zeros(len(probes), dtype=bool)
    kinds: dict[Any, Any] = {0: np.int64, **dict.fromkeys(range(1, n_samples + 1), np.float32)}
    # What is too large for its column becomes infinite, and is refused below.
    with _explained(path, n_samples), np.errstate(invalid="ignore", over="ignore"), path.open("rb") as stream:
        for piece in pd.read_csv(
            stream,
            header=None,
            names=list(kinds),
            index_col=False,
            dtype=kinds,
            na_filter=False,
            engine="c",
            chunksize=_CHUNK,
        ):
            places = probes.get_indexer(pd.Index(piece[0]))
            rows = np.flatnonzero(places >= 0)
            places = places[rows]
            if found[places].any() or len(np.unique(places)) < len(places):
                again = probes[np.concatenate([places[found[places]], places[pd.Index(places).duplicated()]])[0]]
                raise DataError(f"{path}: probe {again} is there twice")
            found[places] = True
            values[places] = piece.iloc[rows, 1:].to_numpy(np.float32)
    if not found.all():
        absent = [str(number) for number in probes[~found]]
        raise DataError(f"{path} has no probe {named(absent)}")
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values)).any(axis=1).argmax())
        raise DataError(f"{path}: probe {probes[row]} has a value that is not finite")
    return values


def _check_width(path: Path, n_samples: int) -> None:
    # pandas would fill up or cut off the lines to the width that it is told.
    with path.open("rb") as stream:
        fields = stream.readline().count(b",")
    if fields != n_samples:
        raise DataError(
            f"{path}, line 1: {fields} samples, and {path.with_name('SampleAnnot.csv')} has {n_samples} rows"
        )


@contextmanager
def _explained(path: Path, n_samples: int) -> Iterator[None]:
    """Turn a failure of pandas, which does not say where, into one that names the line."""
    import pandas as pd

    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, OverflowError, pd.errors.ParserError) as error:
        with path.open("rb") as stream:
            for line, raw in enumerate(stream, start=1):
                if problem := _problem(raw, n_samples):
                    raise DataError(f"{path}, line {line}: {problem}") from error
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _problem(raw: bytes, n_samples: int) -> str | None:
    fields = raw.rstrip(b"\r\n").split(b",")
    if len(fields) != n_samples + 1:
        return f"{len(fields)} fields, expected {n_samples + 1}"
    if not re.fullmatch(rb"\d{1,18}", fields[0].strip()):
        return f"{_shown(fields[0])} is no probe number"
    for place, field in enumerate(fields[1:], start=2):
        try:
            float(field)
        except ValueError:
            return f"field {place}: {_shown(field)} is not a number"
    return None


def _shown(field: bytes) -> str:
    return repr(field[:40].decode("latin-1"))


def _ontology(path: Path) -> dict[int, tuple[str, str]]:
    """Return hemisphere and part of the brain of each structure."""
    table = _Table(path, ("id", "hemisphere", "structure_id_path"))
    known = {}
    rows = zip(table.whole("id"), table.words("hemisphere"), table.words("structure_id_path"), strict=True)
    for line, (number, side, way) in enumerate(rows, start=2):
        steps = way.strip("/").split("/")
        if not all(re.fullmatch("[0-9]{1,18}", step) for step in steps):
            raise DataError(f"{path}, line {line}, column structure_id_path: {way[:40]!r} is no path of numbers")
        if side not in ("L", "R", "") and side.lower() not in _MISSING:
            raise DataError(f"{path}, line {line}, column hemisphere: {side[:40]!r} is neither L nor R")
        parts = [_PARTS[int(step)] for step in steps if int(step) in _PARTS]
        known[number] = (side if side in ("L", "R") else "B", parts[-1] if parts else "other")
    return known


class _Table:
    """Columns of a CSV file with a header, each read as what it holds."""

    def __init__(self, path: Path, needed: Sequence[str]) -> None:
        rows = read_rows(path)
        self._path, self._rows = path, rows[1:]
        missing = [name for name in needed if name not in rows[0]]
        if missing:
            raise DataError(f"{path}, line 1: no column {', '.join(missing)}")
        self._place = {name: rows[0].index(name) for name in needed}

    def words(self, name: str) -> list[str]:
        return [row[self._place[name]].strip() for row in self._rows]

    def lines(self, *names: str) -> list[tuple[str, ...]]:
        return list(zip(*(self.words(name) for name in names), strict=True))

    def whole(self, name: str) -> list[int]:
        words = self.words(name)
        for line, word in enumerate(words, start=2):
            if not re.fullmatch(r"[0-9]{1,18}", word):
                raise DataError(f"{self._path}, line {line}, column {name}: {word[:40]!r} is not a whole number")
        return [int(word) for word in words]

    def numbers(self, name: str) -> list[float]:
        values = []
        for line, word in enumerate(self.words(name), start=2):
            try:
                values.append(float(word))
            except ValueError as error:
                where = f"{self._path}, line {line}, column {name}"
                raise DataError(f"{where}: {word[:40]!r} is not a number") from error
            if not np.isfinite(values[-1]):
                raise DataError(f"{self._path}, line {line}, column {name}: {word[:40]!r} is not finite")
        return values
