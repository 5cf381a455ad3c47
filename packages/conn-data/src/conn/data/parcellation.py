"""Parcels on the cortical surface: vertices to parcels and back, neighbours."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.atlas import schaefer_regions
from conn.data.cards import CARDS
from conn.data.errors import DataError
from conn.data.local import LocalSet
from conn.data.provenance import Provenance
from conn.data.surfaces import Surface, read_cifti_surface

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SurfaceParcellation",
    "load_schaefer_surface",
    "parcel_adjacency",
    "parcels_to_vertices",
    "vertices_to_parcels",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class SurfaceParcellation:
    """Which region each vertex of both hemispheres belongs to.

    Parameters
    ----------
    space : {"fsLR-32k", "fsaverage5"}
        The mesh that vertices are counted on.
    left, right : array, shape (vertex,), int64
        Place of the region in `region_labels`, counted from 0; -1 for none (the medial wall).
    region_labels : tuple of str
        One unique label a region, those of both hemispheres in one list.
    regions : pandas.DataFrame
        What is known about the regions, in the same order, with the column ``label``.
    provenance : Provenance
        Source, version, licence, citation, checksums.

    Raises
    ------
    DataError
        If a vertex has a region that is not there, a region has no vertex or vertices on both
        sides, or a label is used twice.
    """

    space: str
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    region_labels: tuple[str, ...]
    regions: "pd.DataFrame"
    provenance: Provenance

    def __post_init__(self) -> None:
        object.__setattr__(self, "region_labels", tuple(self.region_labels))
        n_regions = len(self.region_labels)
        if len(set(self.region_labels)) != n_regions:
            raise DataError("a region label is used twice")
        if tuple(self.regions["label"]) != self.region_labels:
            raise DataError("the labels of regions are not region_labels in the same order")
        counts = []
        for side in (self.left, self.right):
            if side.ndim != 1 or side.dtype.kind not in "iu" or side.min() < -1 or side.max() >= n_regions:
                raise DataError(f"vertices must hold numbers from -1 to {n_regions - 1} in one dimension")
            counts.append(np.bincount(side[side >= 0], minlength=n_regions))
        for region, (on_left, on_right) in enumerate(zip(*counts, strict=True)):
            if bool(on_left) == bool(on_right):
                where = "vertices on both sides" if on_left else "no vertex"
                raise DataError(f"region {self.region_labels[region]!r} has {where}")

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return len(self.region_labels)

    @property
    def vertices(self) -> NDArray[np.int64]:
        """Place of the region of each vertex, shape (vertex,): those of the left side, then of the right."""
        return np.concatenate([self.left, self.right])

    def describe(self) -> str:
        """Return what the parcellation is and where it comes from, as text of a few lines."""
        outside = int((self.vertices < 0).sum())
        lines = [
            f"{self.n_regions} regions on {self.space}",
            f"vertices   {self.left.size} left, {self.right.size} right, {outside} of them in no region",
        ]
        return "\n".join(lines) + "\n" + self.provenance.describe()

    def __repr__(self) -> str:
        vertices = f"{self.left.size} + {self.right.size} vertices"
        return f"SurfaceParcellation({self.n_regions} regions, {self.space}, {vertices})"


def load_schaefer_surface(
    n_regions: int = 400,
    n_networks: int = 7,
    *,
    space: Literal["fsLR-32k", "fsaverage5"] = "fsLR-32k",
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> SurfaceParcellation:
    """Return the Schaefer 2018 parcellation on the vertices of a surface.

    Parameters
    ----------
    n_regions : {100, 200, ..., 1000}, default 400
        Number of regions, as far as the folder has the file.
    n_networks : {7, 17}, default 7
        Which of the two divisions into networks orders and labels the regions.
    space : {"fsLR-32k", "fsaverage5"}, default "fsLR-32k"
        ``"fsLR-32k"`` reads ``.dlabel.nii`` through its brain models, with or without the medial
        wall; ``"fsaverage5"`` reads two ``.annot`` files.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    SurfaceParcellation
        Regions in the order of `load_schaefer`.

    Raises
    ------
    DataError
        If `space` is neither, a file is not what it should be, or its labels are not those of the
        table of regions.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Schaefer et al. 2018, Cerebral Cortex 28:3095-3114. https://doi.org/10.1093/cercor/bhx179
    """
    import pandas as pd

    files = LocalSet(CARDS["schaefer2018-surface"], data_dir=data_dir, cache_dir=cache_dir)
    name = f"Schaefer2018_{n_regions}Parcels_{n_networks}Networks_order"
    if space == "fsLR-32k":
        path = f"{name}.dlabel.nii"
        maps, tables = read_cifti_surface(files, path)
        if not tables[0]:
            raise DataError(f"{files.folder / path} has no labels")
        # The medial wall is NaN where the file leaves it out, and 0 where it has it.
        numbers = [np.nan_to_num(side).astype(np.int64) for side in maps[0]]
        names = {number: label for number, label in tables[0].items() if number}
        labels = tuple(names[number] for number in sorted(names))
        sides = [_places(side, sorted(names), files.folder / path) for side in numbers]
    elif space == "fsaverage5":
        sides, labels = [], ()
        for hemisphere in ("lh", "rh"):
            path = f"{hemisphere}.{name}.annot"
            numbers, words = _read_annot(files, path)
            sides.append(_places(numbers, list(range(1, len(words))), files.folder / path, first=len(labels)))
            labels += words[1:]
    else:
        raise DataError(f"space {space!r} is neither 'fsLR-32k' nor 'fsaverage5'")
    regions, notes = schaefer_regions(n_regions, n_networks, data_dir=data_dir, cache_dir=cache_dir)
    if notes:
        regions = pd.DataFrame({"label": labels})
    elif tuple(regions["label"]) != labels:
        regions = _in_order(regions, labels, str(files.folder / path))
    return SurfaceParcellation(
        space=space,
        left=sides[0],
        right=sides[1],
        region_labels=labels,
        regions=regions,
        provenance=files.provenance(*(f"{note}: centroids and networks are missing" for note in notes)),
    )


def vertices_to_parcels(
    values: ArrayLike,
    parcellation: SurfaceParcellation,
    *,
    weights: ArrayLike | None = None,
    nan_policy: Literal["raise", "omit", "propagate"] = "raise",
) -> NDArray[np.float64]:
    """Return the mean over the vertices of each region.

    Parameters
    ----------
    values : array, shape (..., vertex)
        Values of the left hemisphere's vertices, then of the right's. What stands on vertices
        without a region does not count, NaN or not.
    parcellation : SurfaceParcellation
        Which region each vertex belongs to.
    weights : array, shape (vertex,), default None
        Weight of each vertex, such as its area; finite, not negative. None weighs all alike.
    nan_policy : {"raise", "omit", "propagate"}, default "raise"
        Whether a NaN inside a region is refused, left out (a region of nothing but NaN is NaN), or
        makes its region NaN.

    Returns
    -------
    array, shape (..., region), float64
        In the unit of `values`.

    Raises
    ------
    DataError
        If shapes do not fit, a weight is negative or not finite, a region's weights sum to 0, or a
        NaN is inside a region under ``"raise"``.
    """
    values = np.asarray(values, dtype=np.float64)
    place = parcellation.vertices
    if values.shape[-1:] != place.shape:
        raise DataError(f"values has shape {values.shape}, the parcellation has {place.size} vertices")
    if nan_policy not in ("raise", "omit", "propagate"):
        raise DataError(f"nan_policy {nan_policy!r} is none of 'raise', 'omit', 'propagate'")
    inside = np.flatnonzero(place >= 0)
    weight = np.ones(place.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != place.shape or not np.isfinite(weight).all() or (weight < 0).any():
        raise DataError(f"weights must be {place.size} finite numbers that are not negative")
    # Vertices of one region side by side: sums over stretches, which also sum stacks of maps.
    order = inside[np.argsort(place[inside], kind="stable")]
    begin = np.searchsorted(place[order], np.arange(parcellation.n_regions))
    weight = weight[order]
    total = np.add.reduceat(weight, begin)
    if (total == 0).any():
        raise DataError(f"the weights of region {parcellation.region_labels[int((total == 0).argmax())]!r} sum to 0")
    chosen = values[..., order]
    missing = np.isnan(chosen)
    if not missing.any() or nan_policy == "propagate":
        return np.add.reduceat(chosen * weight, begin, axis=-1) / total
    if nan_policy == "raise":
        region = place[order[int(np.argwhere(missing)[0, -1])]]
        raise DataError(f"region {parcellation.region_labels[region]!r} has a vertex that is NaN")
    counted = np.add.reduceat(np.where(missing, 0.0, weight), begin, axis=-1)
    summed = np.add.reduceat(np.where(missing, 0.0, chosen * weight), begin, axis=-1)
    return np.divide(summed, counted, out=np.full(summed.shape, np.nan), where=counted > 0)


def parcels_to_vertices(
    values: ArrayLike, parcellation: SurfaceParcellation, *, fill: float = float("nan")
) -> NDArray[np.float64]:
    """Return each region's value on all its vertices.

    Parameters
    ----------
    values : array, shape (..., region)
        In the order of ``parcellation.region_labels``. NaN stays NaN.
    parcellation : SurfaceParcellation
        Which region each vertex belongs to.
    fill : float, default NaN
        Value of vertices without a region.

    Returns
    -------
    array, shape (..., vertex), float64
        The left hemisphere's vertices, then the right's.

    Raises
    ------
    DataError
        If the number of regions is another.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape[-1:] != (parcellation.n_regions,):
        raise DataError(f"values has shape {values.shape}, the parcellation has {parcellation.n_regions} regions")
    place = parcellation.vertices
    return np.where(place >= 0, values[..., np.maximum(place, 0)], fill)


def parcel_adjacency(parcellation: SurfaceParcellation, surfaces: tuple[Surface, Surface]) -> NDArray[np.bool_]:
    """Return which regions are neighbours: an edge of the mesh leads from one to the other.

    Parameters
    ----------
    parcellation : SurfaceParcellation
        Which region each vertex belongs to.
    surfaces : pair of Surface
        Left and right mesh of the same space; any kind, since only triangles count.

    Returns
    -------
    array, shape (region, region), bool
        Symmetric, False on the diagonal. Regions of two hemispheres are never neighbours, and the
        medial wall is no region.

    Raises
    ------
    DataError
        If a mesh has another number of vertices, or the sides are swapped.
    """
    adjacency = np.zeros((parcellation.n_regions,) * 2, dtype=bool)
    for place, surface, hemisphere in zip((parcellation.left, parcellation.right), surfaces, "LR", strict=True):
        if surface.hemisphere != hemisphere:
            raise DataError(f"the surface for {hemisphere} is of hemisphere {surface.hemisphere}")
        if surface.n_vertices != place.size:
            raise DataError(
                f"the {hemisphere} surface has {surface.n_vertices} vertices, the parcellation has {place.size}"
            )
        ends = place[surface.edges]
        between = ends[(ends >= 0).all(axis=1) & (ends[:, 0] != ends[:, 1])]
        adjacency[between[:, 0], between[:, 1]] = True
    return adjacency | adjacency.T


def _places(numbers: NDArray[np.int64], known: list[int], path: Path, *, first: int = 0) -> NDArray[np.int64]:
    """Return the place of each number in a list of numbers, -1 for 0."""
    strangers = set(np.unique(numbers).tolist()) - set(known) - {0}
    if strangers:
        raise DataError(f"{path}: vertices have the number {min(strangers)}, which has no label")
    place = np.searchsorted(known, numbers) + first
    return np.where(numbers == 0, -1, place).astype(np.int64)


def _in_order(regions: "pd.DataFrame", labels: tuple[str, ...], path: str) -> "pd.DataFrame":
    """Return the rows of a table in the order of labels."""
    absent = sorted(set(labels) ^ set(regions["label"]))
    if absent:
        raise DataError(
            f"{path}: its labels are not those of the table of regions; the first that differs is {absent[0]!r}"
        )
    return regions.set_index("label").loc[list(labels)].reset_index()


def _read_annot(files: LocalSet, path: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    from nibabel.freesurfer.io import read_annot

    # nibabel reads annotations from a path only; its bytes are read as well, for the checksum.
    files.read(path)
    try:
        numbers, _, words = read_annot(files.folder / path)
        names = tuple(word.decode("utf-8") for word in words)
    except (OSError, EOFError, ValueError, IndexError, KeyError, TypeError, MemoryError) as error:
        raise DataError(f"{files.folder / path} cannot be read: {error}") from error
    # -1 stands for vertices without an annotation.
    return np.maximum(numbers, 0).astype(np.int64), names
