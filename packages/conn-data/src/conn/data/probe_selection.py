"""One value a gene from the several probes that measure it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError
from conn.data.gene_lists import differential_stability

__all__ = ["PROBE_SELECTIONS", "check_probe_selection", "genes_from_probes", "select_probes"]

PROBE_SELECTIONS = (
    "differential_stability",
    "max_intensity",
    "max_variance",
    "correlation_variance",
    "correlation_intensity",
    "mean",
)
"""Ways to get from probes to genes, by name."""


def check_probe_selection(method: str, n_donors: int) -> None:
    """Refuse a way to choose probes that is not known, or that needs more donors.

    Raises
    ------
    DataError
        In these cases; for ``"rnaseq"`` the message says that RNA sequencing is not read.
    """
    if method == "rnaseq":
        raise DataError(
            "probe_selection 'rnaseq' compares with RNA sequencing of two donors, which is not read here; choose one "
            f"of {', '.join(PROBE_SELECTIONS)}"
        )
    if method not in PROBE_SELECTIONS:
        raise DataError(f"probe_selection {method!r} is not one of {', '.join(PROBE_SELECTIONS)}")
    if method == "differential_stability" and n_donors < 2:
        raise DataError("probe_selection 'differential_stability' compares donors, and there is one: choose another")


def select_probes(
    expression: Sequence[NDArray[np.float32]],
    structures: Sequence[Sequence[int]],
    genes: Sequence[str],
    method: str,
) -> dict[str, NDArray[np.intp]]:
    """Return the rows of the probes that stand for each gene, genes in alphabetical order.

    Parameters
    ----------
    expression : sequence of array, shape (probe, sample)
        One a donor; the same probes.
    structures : sequence of sequence of int
        Of each donor the structure of each sample.
    genes : sequence of str
        Gene of each probe.
    method : str
        ``"differential_stability"``: the probe whose map over structures is most alike in different donors.
        ``"max_intensity"``, ``"max_variance"``: the largest mean or variance over all samples.
        ``"correlation_variance"``, ``"correlation_intensity"``: of three probes or more the one with the largest
        mean correlation with the others, of two that with the larger variance or mean. ``"mean"``: all of them.

    Returns
    -------
    dict of str to array
        One row a gene, several with ``"mean"``. Genes none of whose probes varies over structures in two donors
        are left out by ``"differential_stability"``.

    Raises
    ------
    DataError
        If donors share fewer than three structures and stability is asked for.
    """
    names = np.asarray(genes)
    order = np.argsort(names, kind="stable")
    ends = np.flatnonzero(np.append(names[order][1:] != names[order][:-1], True)) + 1
    groups = {str(names[rows[0]]): rows for rows in np.split(order, ends[:-1])}
    if method == "mean":
        return groups
    pooled = np.concatenate(expression, axis=1)
    if method == "differential_stability":
        score = _stability(expression, structures)
    elif method.endswith("intensity"):
        score = pooled.mean(axis=1, dtype=np.float64)
    else:
        score = pooled.var(axis=1, dtype=np.float64)
    chosen = {}
    for gene, rows in groups.items():
        of_gene = _likeness(pooled[rows]) if method.startswith("correlation") and len(rows) > 2 else score[rows]
        if np.isfinite(of_gene).any():
            chosen[gene] = rows[[int(np.nanargmax(of_gene))]]
    return chosen


def genes_from_probes(expression: NDArray[np.float32], chosen: dict[str, NDArray[np.intp]]) -> NDArray[np.float32]:
    """Return the mean over the probes of each gene, shape (gene, sample)."""
    starts = np.cumsum([0, *(len(rows) for rows in chosen.values())])
    sums = np.add.reduceat(expression[np.concatenate(list(chosen.values()))], starts[:-1], axis=0)
    return np.asarray(sums / np.diff(starts)[:, None], dtype=np.float32)


def _stability(expression: Sequence[NDArray[np.float32]], structures: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    import pandas as pd

    tables = []
    for values, places in zip(expression, structures, strict=True):
        means = pd.DataFrame(values.T).groupby(np.asarray(places)).mean()
        tables.append(pd.DataFrame(means))
    return differential_stability(tables).to_numpy(dtype=np.float64)


def _likeness(probes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean correlation of each probe with the probes of its gene; NaN for a constant one."""
    centred = probes - probes.mean(axis=1, keepdims=True, dtype=np.float64)
    scale = np.linalg.norm(centred, axis=1, keepdims=True)
    varies = np.ptp(probes, axis=1) > 0
    unit = np.divide(centred, scale, out=np.zeros_like(centred), where=varies[:, None])
    return np.where(varies, (unit @ unit.T).mean(axis=1), np.nan)
