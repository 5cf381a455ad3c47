"""Maps and connectomes of one parcellation: the container, and the loaders of such sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conn.data.atlas import schaefer_regions
from conn.data.cards import CARDS
from conn.data.errors import DataError
from conn.data.local import LocalSet
from conn.data.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RegionMaps", "load_hcp_schaefer100_group", "load_receptor_maps"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionMaps:
    """Maps of values and connectomes of the same regions.

    Parameters
    ----------
    values : array, shape (map, region), float64
        One row a map; NaN where a map has no value.
    map_names : tuple of str
        One unique name a map.
    regions : pandas.DataFrame
        One row a region, with a unique ``label`` and what else is known.
    connectomes : mapping of str to array, shape (target, source)
        By name, such as ``"functional"``, ``"structural"``.
    provenance : Provenance
        Source, version, licence, citation, checksums.
    arrays : mapping of str to array, default empty
        What else the set has; the loader says what.

    Raises
    ------
    DataError
        If shapes do not fit together, or a name or a label is used twice.
    """

    values: NDArray[np.float64]
    map_names: tuple[str, ...]
    regions: "pd.DataFrame"
    connectomes: Mapping[str, NDArray[Any]]
    provenance: Provenance
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "map_names", tuple(self.map_names))
        object.__setattr__(self, "connectomes", dict(self.connectomes))
        object.__setattr__(self, "arrays", dict(self.arrays))
        expected = (len(self.map_names), len(self.regions))
        if self.values.shape != expected:
            raise DataError(f"values has shape {self.values.shape}, expected (map, region) {expected}")
        for words, what in ((self.map_names, "map"), (tuple(self.regions["label"]), "region")):
            twice = [word for word in words if words.count(word) > 1]
            if twice:
                raise DataError(f"{what} {twice[0]!r} is named twice")
        for name, matrix in self.connectomes.items():
            if matrix.shape != (self.n_regions, self.n_regions):
                raise DataError(f"connectome {name!r} has shape {matrix.shape} for {self.n_regions} regions")

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return len(self.regions)

    def map(self, name: str) -> NDArray[np.float64]:
        """Return one map, shape (region,).

        Parameters
        ----------
        name : str
            One of `map_names`.

        Raises
        ------
        DataError
            If there is no such map.
        """
        if name not in self.map_names:
            raise DataError(f"there is no map {name!r}; there are {', '.join(self.map_names)}")
        return self.values[self.map_names.index(name)]

    def describe(self) -> str:
        """Return what the set holds and where it comes from, as text of a few lines."""
        lines = [
            f"{len(self.map_names)} maps of {self.n_regions} regions",
            f"maps       {', '.join(self.map_names)}",
            f"connectome {', '.join(self.connectomes) or 'none'}",
        ]
        if self.arrays:
            lines.append(f"with       {', '.join(self.arrays)}")
        return "\n".join(lines) + "\n" + self.provenance.describe()

    def __repr__(self) -> str:
        return f"RegionMaps({self.provenance.dataset}, map x region = {len(self.map_names)} x {self.n_regions})"


def load_receptor_maps(*, data_dir: str | Path | None = None, cache_dir: str | Path | None = None) -> RegionMaps:
    """Return 19 receptor and transporter maps from PET with HCP group connectomes, Schaefer 100.

    Parameters
    ----------
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    RegionMaps
        ``values`` are tracer uptakes in the unit of each tracer's study: scale each map before maps
        are compared. ``connectomes`` has ``"functional"`` (correlation) and ``"structural"``
        (weights of the source). ``regions`` has the source's centroids in ``x``, ``y``, ``z`` (MNI,
        millimetres) and its names in ``source_label``.

    Raises
    ------
    DataError
        If a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Hansen et al. 2022, Nature Neuroscience 25:1569-1581. https://doi.org/10.1038/s41593-022-01186-3
    """
    files = LocalSet(CARDS["receptor-maps"], data_dir=data_dir, cache_dir=cache_dir)
    names = files.text("receptor_names.txt").split()
    values = _numbers(files, "receptor_data_scale100.csv", ",", (100, len(names)))
    centres = [line.split() for line in files.text("Schaefer_100_centres.txt").splitlines()]
    if len(centres) != 100 or any(len(row) != 4 for row in centres):
        raise DataError(f"{files.folder / 'Schaefer_100_centres.txt'}: expected 100 lines of a name and x y z")
    regions, notes = schaefer_regions(100, 7, data_dir=data_dir, cache_dir=cache_dir)
    places = np.array([[float(value) for value in row[1:]] for row in centres])
    regions = regions.assign(x=places[:, 0], y=places[:, 1], z=places[:, 2], source_label=[row[0] for row in centres])
    connectomes = {
        name: files.check(files.npy(f"{short}_weighted.npy"), f"{short}_weighted.npy", "the matrix", (100, 100))
        for name, short in (("functional", "fc"), ("structural", "sc"))
    }
    return RegionMaps(
        values=values.T.copy(),
        map_names=tuple(names),
        regions=regions,
        connectomes=connectomes,
        provenance=files.provenance("the group overlaps with other HCP group averages", *notes),
    )


def load_hcp_schaefer100_group(
    *, data_dir: str | Path | None = None, cache_dir: str | Path | None = None
) -> RegionMaps:
    """Return connectomes of 706 HCP people and cortical maps, Schaefer 100 in the order of 7 networks.

    Parameters
    ----------
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    RegionMaps
        Maps are z-scored: myelin, thickness, first gradient of functional connectivity, first
        component of gene expression, NMDA and GABA-A receptors. ``connectomes`` has ``"functional"``
        (correlation), ``"structural"`` (streamline counts) and ``"fibre_length"`` (millimetres).
        ``arrays["fcd_samples"]`` are quantiles of the lower triangle of functional connectivity
        dynamics (windows of 30 frames, step of 5). ``regions`` has the column ``yeo7`` (0 to 6).

    Raises
    ------
    DataError
        If a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.
    """
    files = LocalSet(CARDS["hcp-schaefer100-group"], data_dir=data_dir, cache_dir=cache_dir)
    path = "group-train706.npz"
    group = files.npz(path, "fc", "sc", "length", "fcd_tril")
    columns = {
        "myelin": "myelinmap_zscore",
        "thickness": "thickness_zscore",
        "fc_gradient1": "fcgradient01_zscore",
        "gene_component1": "genepc1_zscore",
        "nmda": "nmda_zscore",
        "gabaa": "gabaa_zscore",
    }
    table = files.table("maps_schaefer100.csv", numbers=(*columns.values(), "yeo7"), delimiter=",")
    if len(table) != 100:
        raise DataError(f"{files.folder / 'maps_schaefer100.csv'} has {len(table)} regions, expected 100")
    regions, notes = schaefer_regions(100, 7, data_dir=data_dir, cache_dir=cache_dir)
    return RegionMaps(
        values=table[list(columns.values())].to_numpy(dtype=np.float64).T.copy(),
        map_names=tuple(columns),
        regions=regions.assign(yeo7=table["yeo7"].astype(int)),
        connectomes={
            name: files.check(group[short], path, short, (100, 100))
            for name, short in (("functional", "fc"), ("structural", "sc"), ("fibre_length", "length"))
        },
        provenance=files.provenance("the people very likely overlap with other HCP group averages", *notes),
        arrays={"fcd_samples": files.check(group["fcd_tril"], path, "fcd_tril", (None,))},
    )


def _numbers(files: LocalSet, path: str, delimiter: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return a table without header as numbers."""
    rows = [line.split(delimiter) for line in files.text(path).splitlines()]
    for line, row in enumerate(rows, start=1):
        if len(row) != shape[1]:
            raise DataError(f"{files.folder / path}, line {line}: {len(row)} numbers, expected {shape[1]}")
    if len(rows) != shape[0]:
        raise DataError(f"{files.folder / path} has {len(rows)} lines, expected {shape[0]}")
    try:
        return np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{files.folder / path}: {error}") from error
