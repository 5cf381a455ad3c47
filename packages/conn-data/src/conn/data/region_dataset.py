"""Expression, connectomes and coordinates of the same regions: the container, put together by label."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from conn.data.archives import parse_npz
from conn.data.errors import DataError
from conn.data.labels import named, repeated
from conn.data.missing_expression import fill_expression, incomplete_regions
from conn.data.provenance import Provenance
from conn.data.storage import table_as_text, table_from_text, write_whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "RegionDataset",
    "assemble_regions",
    "coordinates_of",
    "load_region_dataset",
    "save_region_dataset",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionDataset:
    """Gene expression, connectomes and coordinates of the same regions, in the same order.

    Parameters
    ----------
    expression : array, shape (region, gene), float64
        NaN where a region has no value; no genes where the set has none.
    genes : tuple of str
        One unique symbol a gene.
    connectome : array, shape (target, source), float64
        What is to be predicted. ``regions`` says the order of both axes; the diagonal is as in the source.
    coordinates : array, shape (region, 3), float64
        MNI, millimetres; NaN where unknown.
    regions : pandas.DataFrame
        One row a region: unique ``label``, and ``hemisphere`` (``"L"``, ``"R"``, ``"B"``), ``network``
        and others as far as they are known.
    provenance : Provenance
        Source, version, licence, citation, checksums, and notes on what was left out or filled.
    connectomes : mapping of str to array, shape (target, source), default empty
        Further ones by name, such as ``"structural"``.
    arrays : mapping of str to array, default empty
        What else the set has; the loader says what.

    Raises
    ------
    DataError
        If shapes do not fit together, or a label or a gene is used twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from conn.data import assemble_regions
    >>> labels = ["a", "b", "c"]
    >>> made = assemble_regions(
    ...     pd.DataFrame({"SST": [0.1, 0.4, 0.3]}, index=labels),
    ...     pd.DataFrame(1.0, index=labels[::-1], columns=labels[::-1]),
    ...     pd.DataFrame({"label": labels}),
    ... )
    >>> made
    RegionDataset(assembled, region x gene = 3 x 1)
    """

    expression: NDArray[np.float64]
    genes: tuple[str, ...]
    connectome: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    regions: "pd.DataFrame"
    provenance: Provenance
    connectomes: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "genes", tuple(self.genes))
        object.__setattr__(self, "connectomes", dict(self.connectomes))
        object.__setattr__(self, "arrays", dict(self.arrays))
        if "label" not in self.regions.columns:
            raise DataError("regions has no column label")
        for words, what in ((self.labels, "region"), (self.genes, "gene")):
            if twice := repeated(words):
                raise DataError(f"{what} {named(twice)} more than once")
        expected = {
            "expression": (self.n_regions, len(self.genes)),
            "connectome": (self.n_regions, self.n_regions),
            "coordinates": (self.n_regions, 3),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise DataError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        for name, matrix in self.connectomes.items():
            if matrix.shape != expected["connectome"]:
                raise DataError(f"connectome {name!r} has shape {matrix.shape}, expected {expected['connectome']}")

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return len(self.regions)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the regions, in order."""
        return tuple(self.regions["label"])

    @property
    def incomplete(self) -> tuple[str, ...]:
        """Labels of the regions that lack a value of at least one gene."""
        return incomplete_regions(self.expression_table())

    def expression_table(self) -> "pd.DataFrame":
        """Return expression as a table: labels in the index, genes in the columns."""
        import pandas as pd

        return pd.DataFrame(self.expression, index=list(self.labels), columns=list(self.genes))

    def select(self, labels: Sequence[str] | None = None, *, genes: Sequence[str] | None = None) -> "RegionDataset":
        """Return the set with some regions or genes, in the order asked for.

        Parameters
        ----------
        labels : sequence of str, default None
            Regions to keep; None keeps all.
        genes : sequence of str, default None
            Genes to keep; None keeps all.

        Returns
        -------
        RegionDataset
            ``arrays`` go along only when all regions stay in their order.

        Raises
        ------
        DataError
            If one is not there, or is asked for twice; the message names it.
        """
        rows = _places(self.labels, labels, "region")
        columns = _places(self.genes, genes, "gene")
        block = np.ix_(rows, rows)
        return dataclasses.replace(
            self,
            expression=self.expression[np.ix_(rows, columns)],
            genes=tuple(self.genes[place] for place in columns),
            connectome=self.connectome[block],
            coordinates=self.coordinates[rows],
            regions=self.regions.iloc[rows].reset_index(drop=True),
            connectomes={name: matrix[block] for name, matrix in self.connectomes.items()},
            arrays=self.arrays if np.array_equal(rows, np.arange(self.n_regions)) else {},
        )

    def describe(self) -> str:
        """Return what the set holds and where it comes from, as text of a few lines."""
        apart = self.connectome[~np.eye(self.n_regions, dtype=bool)]
        spread = f"values {np.nanmin(apart):.3g} to {np.nanmax(apart):.3g}" if np.isfinite(apart).any() else "no values"
        known = int(np.isfinite(self.coordinates).all(axis=1).sum())
        lines = [
            f"{self.n_regions} regions, {len(self.genes)} genes",
            f"columns    {', '.join(str(name) for name in self.regions.columns)}",
            f"connectome {spread}" + (f"; also {', '.join(self.connectomes)}" if self.connectomes else ""),
            f"places     {known} of {self.n_regions} regions",
        ]
        if self.genes and self.incomplete:
            lines.append(f"incomplete {len(self.incomplete)} regions: {named(self.incomplete)}")
        if self.arrays:
            lines.append(f"with       {', '.join(self.arrays)}")
        return "\n".join(lines) + "\n" + self.provenance.describe()

    def __repr__(self) -> str:
        return f"RegionDataset({self.provenance.dataset}, region x gene = {self.n_regions} x {len(self.genes)})"


def assemble_regions(
    expression: "pd.DataFrame | None",
    connectome: "pd.DataFrame",
    regions: "pd.DataFrame",
    *,
    connectomes: "Mapping[str, pd.DataFrame] | None" = None,
    unmatched: Literal["raise", "drop"] = "raise",
    missing_expression: Literal["raise", "keep", "drop", "mirror", "interpolate", "mirror_interpolate"] = "raise",
    missing_edges: Literal["raise", "drop"] = "raise",
    pairs: "pd.DataFrame | None" = None,
    provenance: Provenance | None = None,
) -> RegionDataset:
    """Return expression, connectomes and coordinates joined by the labels of regions.

    Nothing is ever joined by position: every table names its regions, and the result has the order of `regions`.

    Parameters
    ----------
    expression : pandas.DataFrame, shape (region, gene), or None
        Labels in the index, gene symbols in the columns (abagen's output form). None: no genes.
    connectome : pandas.DataFrame, shape (target, source)
        The same labels in index and columns, in any order.
    regions : pandas.DataFrame
        Column ``label``; ``x``, ``y``, ``z`` (MNI, millimetres), ``hemisphere`` and ``network`` as far as
        known.
    connectomes : mapping of str to pandas.DataFrame, optional
        Further connectomes, such as ``"structural"``.
    unmatched : {"raise", "drop"}, default "raise"
        What to do with regions that not all tables have: refuse and name them, or leave them out and
        note their names in the provenance.
    missing_expression : str, default "raise"
        As `policy` of `fill_expression`.
    missing_edges : {"raise", "drop"}, default "raise"
        What to do with regions all of whose edges are NaN in a connectome: refuse and name them, or leave
        them out. Single edges that are NaN are refused always.
    pairs : pandas.DataFrame, optional
        Pairs of homologues for ``"mirror"``, as of `conn.data.homologues`.
    provenance : Provenance, optional
        Where the tables come from; by default the set is called ``assembled`` and says that nothing is known.

    Returns
    -------
    RegionDataset
        With notes on every region that was left out or filled.

    Raises
    ------
    DataError
        If labels are used twice, do not match, a matrix is not square in labels, values are infinite or
        missing and the policy does not cover it. The message names the labels.
    """
    import pandas as pd

    if unmatched not in ("raise", "drop") or missing_edges not in ("raise", "drop"):
        raise DataError("unmatched and missing_edges are 'raise' or 'drop'")
    if "label" not in regions.columns:
        raise DataError("regions has no column label")
    matrices = {"connectome": connectome} | {
        f"connectome {name!r}": table for name, table in (connectomes or {}).items()
    }
    labelled = {"regions": [str(label) for label in regions["label"]]}
    if expression is not None:
        expression = _renamed(expression, "expression", square=False)
        labelled["expression"] = list(expression.index)
    for name, table in matrices.items():
        matrices[name] = _renamed(table, name, square=True)
        labelled[name] = list(matrices[name].index)
    for name, labels in labelled.items():
        if twice := repeated(labels):
            raise DataError(f"{name} has region {named(twice)} more than once")
    notes = list(provenance.notes) if provenance is not None else []
    shared = set.intersection(*(set(labels) for labels in labelled.values()))
    everywhere = dict.fromkeys(label for labels in labelled.values() for label in labels)
    outside = [label for label in everywhere if label not in shared]
    if outside and unmatched == "raise":
        told = [
            f"{name} lacks {named([label for label in everywhere if label not in labels])}"
            for name, labels in ((name, set(labels)) for name, labels in labelled.items())
            if len(labels) < len(everywhere)
        ]
        raise DataError(f"the tables do not have the same regions: {'; '.join(told)}")
    if not shared:
        raise DataError(f"no region is in all of {', '.join(labelled)}")
    if outside:
        notes.append(f"left out, not in every table: {', '.join(outside)}")
    table = regions.assign(label=labelled["regions"])
    table = _only(table, shared)
    unconnected = _unconnected(matrices, table["label"].tolist())
    if unconnected and missing_edges == "raise":
        raise DataError(f"all edges are NaN of region {named(unconnected)}; missing_edges='drop' leaves such out")
    if unconnected:
        notes.append(f"left out, without edges: {', '.join(unconnected)}")
        table = _only(table, shared - set(unconnected))
    if expression is None:
        genes = pd.DataFrame(index=table["label"].tolist())
    else:
        genes = expression.reindex(table["label"].tolist())
        incomplete = incomplete_regions(genes)
        genes = fill_expression(genes, table, policy=missing_expression, pairs=pairs)
        if incomplete:
            verb = {"drop": "left out, expression is missing", "keep": "expression is missing"}.get(
                missing_expression, f"expression filled ({missing_expression})"
            )
            notes.append(f"{verb}: {', '.join(incomplete)}")
        table = _only(table, set(genes.index))
    labels = table["label"].tolist()
    values = {name: _edges(matrix.loc[labels, labels], name) for name, matrix in matrices.items()}
    if provenance is None:
        provenance = Provenance(
            dataset="assembled",
            source="tables of the user",
            version="unknown",
            licence="unknown",
            citation="unknown",
            origin="files",
        )
    return RegionDataset(
        expression=genes.to_numpy(dtype=np.float64),
        genes=tuple(str(gene) for gene in genes.columns),
        connectome=values.pop("connectome"),
        coordinates=coordinates_of(table),
        regions=table,
        provenance=dataclasses.replace(provenance, notes=tuple(notes)),
        connectomes=dict(zip(connectomes or {}, values.values(), strict=True)),
    )


def save_region_dataset(data: RegionDataset, path: str | Path) -> Path:
    """Return the path of the ``.npz`` file that a set was written to.

    Parameters
    ----------
    data : RegionDataset
        What to keep.
    path : path
        The file, with the suffix ``.npz``; replaced, if it exists, when its successor is whole.

    Raises
    ------
    DataError
        If the suffix is another one, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise DataError(f"{path}: the file's name must end in .npz")
    arrays = {
        "expression": data.expression,
        "genes": np.array(data.genes, dtype=str),
        "connectome": data.connectome,
        "coordinates": data.coordinates,
        "regions": table_as_text(data.regions),
        "provenance": np.array(json.dumps(dataclasses.asdict(data.provenance))),
    }
    arrays |= {f"connectome_{name}": matrix for name, matrix in data.connectomes.items()}
    arrays |= {f"array_{name}": array for name, array in data.arrays.items()}
    write_whole(path, lambda stream: np.savez(stream, **arrays))
    return path


def load_region_dataset(path: str | Path) -> RegionDataset:
    """Return the set that `save_region_dataset` wrote to a file.

    Parameters
    ----------
    path : path
        The ``.npz`` file.

    Returns
    -------
    RegionDataset

    Raises
    ------
    DataError
        If the file cannot be read, lacks an array, or its arrays do not fit together.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    arrays = parse_npz(raw, path)
    try:
        return RegionDataset(
            expression=arrays["expression"],
            genes=tuple(arrays["genes"].tolist()),
            connectome=arrays["connectome"],
            coordinates=arrays["coordinates"],
            regions=table_from_text(arrays["regions"]),
            provenance=Provenance(**json.loads(str(arrays["provenance"]))),
            connectomes=_with_prefix(arrays, "connectome_"),
            arrays=_with_prefix(arrays, "array_"),
        )
    except KeyError as error:
        raise DataError(f"{path} has no array {error}: not a file of save_region_dataset") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a file of save_region_dataset: {error}") from error


def coordinates_of(regions: "pd.DataFrame") -> NDArray[np.float64]:
    """Return the columns x, y, z of a table of regions, shape (region, 3); NaN without them."""
    return regions.reindex(columns=["x", "y", "z"]).to_numpy(dtype=np.float64)


def _with_prefix(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _places(known: Sequence[str], asked: Sequence[str] | None, what: str) -> NDArray[np.intp]:
    if asked is None:
        return np.arange(len(known))
    wanted = [asked] if isinstance(asked, str) else list(asked)
    if twice := repeated(wanted):
        raise DataError(f"{what} {named(twice)} is asked for more than once")
    places = {name: place for place, name in enumerate(known)}
    if absent := [name for name in wanted if name not in places]:
        raise DataError(f"there is no {what} {named(absent)}")
    if not wanted:
        raise DataError(f"no {what} was asked for")
    return np.array([places[name] for name in wanted], dtype=np.intp)


def _only(regions: "pd.DataFrame", labels: "set[str]") -> "pd.DataFrame":
    kept = [place for place, label in enumerate(regions["label"]) if label in labels]
    return regions.iloc[kept].reset_index(drop=True)


def _renamed(table: "pd.DataFrame", name: str, *, square: bool) -> "pd.DataFrame":
    """Return a table of numbers with texts for labels, and the same labels along both axes if square."""
    try:
        table = table.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} does not consist of numbers: {error}") from error
    table = table.set_axis([str(label) for label in table.index], axis=0)
    table = table.set_axis([str(label) for label in table.columns], axis=1)
    if twice := repeated(list(table.columns)):
        raise DataError(f"{name} has {'region' if square else 'gene'} {named(twice)} more than once")
    if square and set(table.index) != set(table.columns):
        odd = sorted(set(table.index) ^ set(table.columns))
        raise DataError(f"{name} has {named(odd)} along one axis only")
    if np.isinf(table.to_numpy()).any():
        rows = [str(table.index[row]) for row in np.flatnonzero(np.isinf(table.to_numpy()).any(axis=1))]
        raise DataError(f"{name} is infinite in region {named(rows)}")
    return table


def _unconnected(matrices: "Mapping[str, pd.DataFrame]", labels: list[str]) -> list[str]:
    apart = ~np.eye(len(labels), dtype=bool)
    empty = np.zeros(len(labels), dtype=bool)
    for matrix in matrices.values():
        absent = np.isnan(matrix.loc[labels, labels].to_numpy()) | ~apart
        empty |= absent.all(axis=0) | absent.all(axis=1) if len(labels) > 1 else False
    return [label for label, gone in zip(labels, empty, strict=True) if gone]


def _edges(matrix: "pd.DataFrame", name: str) -> NDArray[np.float64]:
    values = matrix.to_numpy(dtype=np.float64)
    absent = np.isnan(values) & ~np.eye(len(values), dtype=bool)
    if absent.any():
        target, source = np.argwhere(absent)[0]
        raise DataError(
            f"{name} is NaN at {matrix.index[target]}, {matrix.columns[source]} and {absent.sum() - 1} other edges"
        )
    return values
