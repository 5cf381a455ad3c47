"""Regional gene expression of the Allen Human Brain Atlas, as the ENIGMA Toolbox has it."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from conn.data.atlas import region_networks, schaefer_regions
from conn.data.cards import CARDS
from conn.data.errors import DataError
from conn.data.local import LocalSet
from conn.data.region_dataset import RegionDataset, assemble_regions

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_gene_expression_ahba"]


def load_gene_expression_ahba(
    n_regions: int = 100,
    *,
    missing_expression: Literal["raise", "keep", "drop", "mirror", "interpolate", "mirror_interpolate"] = "raise",
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> RegionDataset:
    """Return expression of stable genes with HCP group connectomes, Schaefer 100 or 400 and 14 subcortical regions.

    Parameters
    ----------
    n_regions : {100, 400}, default 100
        Cortical regions; 100 come with 810 genes, 400 with 282.
    missing_expression : str, default "raise"
        As `policy` of `fill_expression`. With 100 regions nothing is missing. Of the 400, 49 have no sample, 46 of
        them on the right: most donors were sampled on the left only.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    RegionDataset
        ``expression`` from 0 to 1, each gene scaled over regions by the source. ``connectome`` is functional, as the
        source ships it: diagonal 0, values up to 1.4, so no correlations. ``connectomes["structural"]`` is the
        logarithm of streamline weights. ``regions`` has ``label``, ``hemisphere``, ``network``, ``structure`` and,
        of the cortex, ``x``, ``y``, ``z``; the source has no coordinates below the cortex.

    Raises
    ------
    DataError
        If there is no such size, expression is missing and `missing_expression` is ``"raise"``, or the file is
        not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Hawrylycz et al. 2012, Nature 489:391-399. https://doi.org/10.1038/nature11405
    Larivière et al. 2021, Nature Methods 18:698-700. https://doi.org/10.1038/s41592-021-01186-4
    """
    import pandas as pd

    if n_regions not in (100, 400):
        raise DataError(f"n_regions is {n_regions!r}; there are 100 and 400")
    files = LocalSet(CARDS["gene-expression-ahba"], data_dir=data_dir, cache_dir=cache_dir)
    path = f"ahba_r0.6_schaefer{n_regions}_with_hcp_connectivity.npz"
    arrays = files.npz(path, "expression", "genes", "regions", "fc", "sc", "conn_regions")
    labels, edges = (_words(files, arrays, path, name) for name in ("regions", "conn_regions"))
    genes = _words(files, arrays, path, "genes")
    size = n_regions + 14
    shapes = {"expression": (size, len(genes)), "fc": (size, size), "sc": (size, size)}
    values = {name: files.check(arrays[name], path, name, shape) for name, shape in shapes.items()}
    for name, words in (("regions", labels), ("conn_regions", edges)):
        if len(words) != size:
            raise DataError(f"{files.folder / path}, {name} has {len(words)} labels, expected {size}")
    known, notes = schaefer_regions(n_regions, 7, data_dir=data_dir, cache_dir=cache_dir)
    return assemble_regions(
        pd.DataFrame(values["expression"].astype(np.float64), index=labels, columns=genes),
        pd.DataFrame(values["fc"], index=edges, columns=edges),
        _regions(labels, known),
        connectomes={"structural": pd.DataFrame(values["sc"], index=edges, columns=edges)},
        missing_expression=missing_expression,
        provenance=files.provenance("the connectomes' people overlap with other HCP group averages", *notes),
    )


def _words(files: LocalSet, arrays: dict, path: str, name: str) -> list[str]:
    words = arrays[name]
    if words.dtype.kind != "U" or words.ndim != 1:
        raise DataError(f"{files.folder / path}, {name} is no list of words")
    return words.tolist()


def _regions(labels: list[str], known: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    networks = region_networks(labels)
    cortical = [network != "unassigned" for network in networks]
    sides = ["L" if "_LH_" in label or label.startswith("L") else "R" for label in labels]
    places = known.reindex(columns=["label", "x", "y", "z"]).set_index("label").reindex(labels)
    return pd.DataFrame(
        {
            "label": labels,
            "hemisphere": sides,
            "network": [network if one else "Subcortical" for network, one in zip(networks, cortical, strict=True)],
            "structure": ["cortex" if one else "subcortex" for one in cortical],
            **{axis: places[axis].to_numpy(dtype=np.float64) for axis in ("x", "y", "z")},
        }
    )
