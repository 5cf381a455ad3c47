"""Users' own tables of regions, expression and connectomes, joined by label into one set."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from conn.data.errors import DataError
from conn.data.gene_lists import read_gene_list
from conn.data.labels import named
from conn.data.provenance import Provenance, sha256_of_file
from conn.data.region_dataset import RegionDataset, assemble_regions
from conn.data.region_tables import read_connectome, read_expression, read_region_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["assemble_region_files"]


def assemble_region_files(
    regions: str | Path,
    connectome: str | Path,
    *,
    expression: str | Path | None = None,
    connectomes: Mapping[str, str | Path] | None = None,
    connectome_labels: str | Path | None = None,
    genes: str | Path | None = None,
    unmatched: Literal["raise", "drop"] = "raise",
    missing_expression: Literal["raise", "keep", "drop", "mirror", "interpolate", "mirror_interpolate"] = "raise",
    missing_edges: Literal["raise", "drop"] = "raise",
    pairs: "pd.DataFrame | None" = None,
    name: str = "assembled",
    source: str = "unknown",
    licence: str = "unknown",
    citation: str = "unknown",
) -> RegionDataset:
    """Return the files of one parcellation joined by the labels of regions.

    Parameters
    ----------
    regions : path
        As for `read_region_table`.
    connectome : path
        As for `read_connectome`: a table with labels, or a square of numbers with `connectome_labels`.
    expression : path, default None
        As for `read_expression`. None: the set has no genes.
    connectomes : mapping of str to path, optional
        Further connectomes, such as ``"structural"``.
    connectome_labels : path, default None
        Table with a column ``label`` in the order of the connectomes' rows, if they have no labels. It may be the
        file of `regions`, if that has the same order: nothing is assumed.
    genes : path, default None
        List of symbols to keep, one a line, as of `read_gene_list`. Those that `expression` lacks are noted.
    unmatched, missing_expression, missing_edges, pairs
        As for `assemble_regions`.
    name, source, licence, citation : str
        What the provenance says.

    Returns
    -------
    RegionDataset
        With the SHA-256 of every file in ``provenance.checksums``.

    Raises
    ------
    DataError
        If a file cannot be used, the labels do not match, or none of the genes is there. The message names file and
        line, or the labels.
    """
    files = [Path(file) for file in (regions, connectome, expression, *(connectomes or {}).values(), connectome_labels,
                                     genes) if file is not None]  # fmt: skip
    labels = None if connectome_labels is None else read_region_table(connectome_labels)["label"].tolist()
    notes: tuple[str, ...] = ()
    table = None if expression is None else read_expression(expression)
    if genes is not None:
        if table is None:
            raise DataError("a list of genes was given, but no expression")
        wanted = read_gene_list(genes)
        kept = [gene for gene in wanted if gene in table.columns]
        if not kept:
            raise DataError(f"{expression} has none of the {len(wanted)} genes of {genes}")
        table = table.reindex(columns=kept)
        if absent := [gene for gene in wanted if gene not in table.columns]:
            notes = (f"{len(absent)} of {len(wanted)} genes of the list have no expression: {named(absent)}",)
    return assemble_regions(
        table,
        read_connectome(connectome, labels=labels),
        read_region_table(regions),
        connectomes={key: read_connectome(file, labels=labels) for key, file in (connectomes or {}).items()},
        unmatched=unmatched,
        missing_expression=missing_expression,
        missing_edges=missing_edges,
        pairs=pairs,
        provenance=Provenance(
            dataset=name,
            source=source,
            version="as of the files' checksums",
            licence=licence,
            citation=citation,
            origin="files",
            checksums={str(file): sha256_of_file(file) for file in files},
            notes=notes,
        ),
    )
