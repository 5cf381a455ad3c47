"""Regional expression with what it was made from: the container, its files, and the methods in words."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conn.data.provenance import Provenance
from conn.data.sample_regions import RegionSpace
from conn.data.storage import whole_folder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RegionalExpression", "methods_in_words", "write_regional_expression"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionalExpression:
    """Expression of genes in regions, with what it was made from.

    Parameters
    ----------
    expression : pandas.DataFrame, shape (region, gene)
        Over all donors; NaN where a region has no value.
    donors : mapping of str to pandas.DataFrame, shape (region, gene)
        Of each donor, NaN where the donor has no sample in the region; regions that were filled are NaN here.
    counts : pandas.DataFrame, shape (region, donor)
        Tissue samples in each region, mirrored ones counted.
    samples : pandas.DataFrame
        One row a sample: ``donor``, ``well``, ``structure_id``, ``x``, ``y``, ``z``, ``hemisphere``, ``structure``,
        ``mirrored`` (bool) and ``region`` (label, empty for none).
    probes : pandas.DataFrame
        One row a probe that was used: ``gene``, ``probe_name``, the probe's number in the index.
    regions : pandas.DataFrame
        The regions, with the table's other columns.
    methods : str
        What was done, in sentences with the numbers, for a paper.
    provenance : Provenance
        Source, terms, checksums, and notes on genes that were left out and regions that were filled.
    """

    expression: "pd.DataFrame"
    donors: Mapping[str, "pd.DataFrame"]
    counts: "pd.DataFrame"
    samples: "pd.DataFrame"
    probes: "pd.DataFrame"
    regions: "pd.DataFrame"
    methods: str
    provenance: Provenance

    def describe(self) -> str:
        """Return what the tables hold and how they were made, as text of a few lines."""
        n_regions, n_genes = self.expression.shape
        empty = int(self.expression.isna().to_numpy().all(axis=1).sum())
        lines = [
            f"{n_regions} regions x {n_genes} genes of {len(self.donors)} donors, "
            f"{int((self.samples['region'].to_numpy() != '').sum())} of {len(self.samples)} tissue samples in a region",
            f"empty      {empty} regions have no value",
            f"methods    {self.methods}",
        ]
        return "\n".join(lines) + "\n" + self.provenance.describe()


def write_regional_expression(found: RegionalExpression, folder: str | Path) -> Path:
    """Return the folder that regional expression was written to as tables.

    ``expression.csv`` (a region a line, a gene a column, as `read_expression` reads it), ``donors/<name>.csv`` in
    the same form, ``counts.csv``, ``samples.csv``, ``probes.csv``, ``regions.csv``, ``methods.txt`` and
    ``provenance.json``. Missing values are empty fields; numbers have nine digits.

    Parameters
    ----------
    found : RegionalExpression
        What to write.
    folder : path
        Where to; made, and must not exist yet. It appears when it is whole.

    Raises
    ------
    DataError
        If the folder exists or cannot be written.
    """
    folder = Path(folder)
    with whole_folder(folder) as partial:
        (partial / "donors").mkdir()
        tables = {"expression": found.expression, "counts": found.counts}
        tables |= {f"donors/{name}": table for name, table in found.donors.items()}
        for name, table in tables.items():
            table.to_csv(partial / f"{name}.csv", float_format="%.9g", lineterminator="\n")
        found.probes.rename_axis("probe_id").to_csv(partial / "probes.csv", lineterminator="\n")
        for name, table in (("samples", found.samples), ("regions", found.regions)):
            table.to_csv(partial / f"{name}.csv", index=False, float_format="%.9g", lineterminator="\n")
        (partial / "methods.txt").write_text(found.methods + "\n", encoding="utf-8")
        told = json.dumps(dataclasses.asdict(found.provenance), indent=2)
        (partial / "provenance.json").write_text(told + "\n", encoding="utf-8")
    return folder


def methods_in_words(
    n_probes: tuple[int, int], n_genes: int, samples: "pd.DataFrame", space: RegionSpace, settings: Mapping[str, Any]
) -> str:
    """Return what was done as sentences."""
    inside = samples["region"].to_numpy() != ""
    respected = [name for name in ("hemisphere", "structure") if name in space.regions.columns]
    sentences = [
        f"Microarray data of {samples['donor'].nunique()} donors of the Allen Human Brain Atlas (Hawrylycz et al. "
        "2012) were processed after Markello et al. (2021)",
        f"Probes have the genes of {'a reannotation table' if settings['reannotation'] else 'the source'}; of "
        f"{n_probes[0]} with an Entrez number, {n_probes[1]} exceeded the background in at least "
        f"{settings['intensity_threshold']:.0%} of samples",
        f"Probes became {n_genes} genes by {settings['probe_selection'].replace('_', ' ')}",
    ]
    if settings["coordinates"]:
        sentences.append("Coordinates of samples were replaced by corrected ones")
    if settings["mirror"] != "none":
        sentences.append(f"Samples were mirrored across hemispheres ({settings['mirror'].replace('_', ' ')})")
    sentences.append(
        f"{int(inside.sum())} of {len(samples)} samples lie within {settings['tolerance']:g} mm of the {space.source} "
        f"of {samples.loc[inside, 'region'].nunique()} of {len(space.regions)} regions"
        + (f", {' and '.join(respected)} respected" if respected else "")
    )
    kinds = {"sample": "each sample was normalised over genes", "gene": "each gene over the samples of a donor"}
    told = {key: str(settings[f"{key}_normalisation"]).replace("_", " ") for key in kinds}
    steps = [f"{words} ({told[key]})" for key, words in kinds.items() if told[key] != "none"]
    if steps:
        which = "samples in a region" if settings["normalise_matched"] else "all samples"
        apart = ", each part of the brain apart" if settings["normalise_structures"] else ""
        sentences.append(f"Of {which}, {' and then '.join(steps)}{apart}")
    within = " within donors and then over donors" if settings["aggregation"] == "donors" else " of all donors at once"
    sentences.append(f"Regions have the {settings['statistic']} of their samples{within}")
    if settings["missing"] != "keep":
        nearest = "their centroid" if settings["missing"] == "centroids" else f"each of their {space.source}"
        sentences.append(
            f"Regions without a sample have those nearest to {nearest} of each donor, weighted by inverse distance"
        )
    return ". ".join(sentences) + "."
