"""The order of genes along the genome, from a table of where they start."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from conn.data.errors import DataError
from conn.data.labels import named, repeated
from conn.data.region_tables import read_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["genome_order", "read_gene_positions"]

_COLUMNS = {
    "gene": ("gene", "gene_id", "gene_symbol", "symbol"),
    "chromosome": ("chromosome", "chrom", "chr"),
    "start": ("start", "start_position", "position"),
    "end": ("end", "end_position"),
    "strand": ("strand",),
}
_LETTERS = {"X": 23, "Y": 24, "MT": 25, "M": 25}


def read_gene_positions(path: str | Path) -> "pd.DataFrame":
    """Return where genes lie, from a reference-genome table of the user.

    No such table is part of this package. One comes from a genome annotation, such as NCBI's
    GCF_000001405.40 (GRCh38.p14): keep the lines of genes of the ``.gtf`` file and these fields.

    Parameters
    ----------
    path : path
        CSV or ``.tsv`` with a header: ``gene`` (or ``gene_id``, ``gene_symbol``, ``symbol``), ``chromosome`` (1 to
        22, X, Y, MT, with or without ``chr``) and ``start`` (base pairs); ``end`` and ``strand`` (``+`` or ``-``)
        if the transcription start is to be taken from the strand. Lines of chromosomes of other names
        (patches, unplaced scaffolds) come last.

    Returns
    -------
    pandas.DataFrame
        Columns ``gene``, ``chromosome`` (text without ``chr``), ``start`` (int), and ``end``, ``strand`` where the
        table has them. Of a gene that is listed more than once the first line counts.

    Raises
    ------
    DataError
        If a column is missing, a position is no whole number, or a strand is neither ``+`` nor ``-``.
    """
    import pandas as pd

    rows = read_rows(path)
    header = [name.strip().lower() for name in rows[0]]
    places = {
        name: header.index(next(other for other in others if other in header))
        for name, others in _COLUMNS.items()
        if any(other in header for other in others)
    }
    missing = [name for name in ("gene", "chromosome", "start") if name not in places]
    if missing:
        raise DataError(f"{path}, line 1: no column {', '.join(missing)}")
    columns: dict[str, list] = {name: [] for name in places}
    seen: set[str] = set()
    for line, row in enumerate(rows[1:], start=2):
        if row[places["gene"]] in seen:
            continue
        seen.add(row[places["gene"]])
        for name, place in places.items():
            word = row[place].strip()
            if name in ("start", "end"):
                if not re.fullmatch(r"\d{1,12}", word):
                    raise DataError(f"{path}, line {line}, column {name}: {word[:40]!r} is not a position")
                columns[name].append(int(word))
            elif name == "strand" and word not in ("+", "-"):
                raise DataError(f"{path}, line {line}, column strand: {word[:40]!r} is neither + nor -")
            else:
                columns[name].append(re.sub("^chr", "", word, flags=re.IGNORECASE) if name == "chromosome" else word)
    return pd.DataFrame(columns)


def genome_order(
    genes: Sequence[str],
    positions: "pd.DataFrame",
    *,
    start: Literal["transcription", "first_base"] = "transcription",
    unknown: Literal["drop", "last", "raise"] = "drop",
) -> tuple[str, ...]:
    """Return genes sorted by chromosome and by where their transcription starts.

    Parameters
    ----------
    genes : sequence of str
        Symbols.
    positions : pandas.DataFrame
        As of `read_gene_positions`.
    start : {"transcription", "first_base"}, default "transcription"
        Where a gene begins: on the reverse strand at its ``end``, or at ``start`` whatever the strand, as the
        reference implementation of gene-to-connectome models has it. Without the columns ``end`` and
        ``strand`` only the latter is possible.
    unknown : {"drop", "last", "raise"}, default "drop"
        What to do with genes that the table does not have.

    Returns
    -------
    tuple of str

    Raises
    ------
    DataError
        If a gene is given twice, columns are missing, or genes are unknown and that is to be refused.

    Examples
    --------
    >>> import pandas as pd
    >>> from conn.data import genome_order
    >>> table = pd.DataFrame({"gene": ["A", "B", "C"], "chromosome": ["2", "10", "2"], "start": [9, 1, 4]})
    >>> genome_order(["A", "B", "C", "D"], table, start="first_base")
    ('C', 'A', 'B')
    """
    if start not in ("transcription", "first_base") or unknown not in ("drop", "last", "raise"):
        raise DataError("start is 'transcription' or 'first_base', unknown is 'drop', 'last' or 'raise'")
    needed = ["gene", "chromosome", "start"] + (["end", "strand"] if start == "transcription" else [])
    missing = [name for name in needed if name not in positions.columns]
    if missing:
        raise DataError(f"positions has no column {', '.join(missing)}, which start={start!r} needs")
    if twice := repeated(list(genes)):
        raise DataError(f"gene {named(twice)} is given more than once")
    known = positions.drop_duplicates("gene").set_index("gene")
    strangers = [gene for gene in genes if gene not in known.index]
    if strangers and unknown == "raise":
        raise DataError(f"the table has no position of {named(strangers)}")
    found = known.loc[[gene for gene in genes if gene in known.index]]
    begin = found["start"]
    if start == "transcription":
        begin = begin.where(found["strand"] == "+", found["end"])
    keys = {
        gene: (*_rank(chromosome), base, gene)
        for gene, chromosome, base in zip(found.index, found["chromosome"], begin, strict=True)
    }
    return (*sorted(keys, key=lambda gene: keys[gene]), *(strangers if unknown == "last" else ()))


def _rank(chromosome: str) -> tuple[int, str]:
    word = re.sub("^chr", "", str(chromosome), flags=re.IGNORECASE).upper()
    if word.isdigit() and len(word) <= 2:
        return int(word), ""
    return (_LETTERS[word], "") if word in _LETTERS else (99, word)
