"""CIFTI files: any atlas of labels, and the mean series of its regions, joined through the brain models."""

import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import probability
from conn.data.errors import DataError
from conn.data.parcellation import SurfaceParcellation
from conn.data.surfaces import MOST_VERTICES, readable

if TYPE_CHECKING:
    from nibabel.cifti2.cifti2 import Cifti2Image
    from nibabel.cifti2.cifti2_axes import BrainModelAxis

__all__ = ["CiftiAtlas", "RegionSeries", "parcellate_cifti", "read_dlabel"]

_CORTEX = ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT")
# Vertices and voxels read at a time, so that a run is never whole in memory.
_COLUMNS_AT_A_TIME = 2048
_SECONDS = {"SECOND": 1.0, "MSEC": 1e-3, "USEC": 1e-6}


@dataclass(frozen=True, kw_only=True, eq=False)
class CiftiAtlas:
    """Which region each vertex and each voxel belongs to.

    Parameters
    ----------
    region_labels : tuple of str
        One unique label a region.
    surfaces : mapping of str to array, shape (vertex,), int64
        For each structure on a surface (``"CIFTI_STRUCTURE_CORTEX_LEFT"``) the place of the region in
        `region_labels` for every vertex of the mesh, the medial wall too; -1 for none.
    voxels : array, shape (voxel, 3), int64
        Indices of voxels that belong to a region; none by default.
    voxel_regions : array, shape (voxel,), int64
        Their regions.
    affine : array, shape (4, 4), or None
        From indices of voxels to millimetres; None if there are no voxels.
    volume_shape : tuple of int, or None
        Shape of the volume that the voxels are counted in.
    source : str
        File or parcellation that this comes from.

    Raises
    ------
    DataError
        If a label is used twice, a place is not that of a label, or a region has neither vertex nor
        voxel.
    """

    region_labels: tuple[str, ...]
    surfaces: dict[str, NDArray[np.int64]]
    voxels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))
    voxel_regions: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    affine: NDArray[np.float64] | None = None
    volume_shape: tuple[int, ...] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "region_labels", tuple(self.region_labels))
        labels = self.region_labels
        if len(set(labels)) != len(labels):
            twice = next(label for place, label in enumerate(labels) if label in labels[:place])
            raise DataError(f"{self.source}: region label {twice!r} is used twice")
        counts = np.zeros(len(labels), dtype=np.int64)
        for name, places in (*self.surfaces.items(), ("voxels", self.voxel_regions)):
            if places.ndim != 1 or (places.size and not -1 <= places.min() <= places.max() < len(labels)):
                raise DataError(f"{self.source}: {name} holds no places from -1 to {len(labels) - 1}")
            counts += np.bincount(places[places >= 0], minlength=len(labels))
        if not counts.all():
            raise DataError(f"{self.source}: region {labels[int((counts == 0).argmax())]!r} has no vertex and no voxel")

    @classmethod
    def of_surface(cls, parcellation: SurfaceParcellation) -> "CiftiAtlas":
        """Return a parcellation of the cortex in fsLR-32k as an atlas of CIFTI files.

        Raises
        ------
        DataError
            If it lies in another space.
        """
        if parcellation.space != "fsLR-32k":
            raise DataError(f"CIFTI files are in fsLR-32k, the parcellation is in {parcellation.space}")
        sides = (parcellation.left, parcellation.right)
        return cls(
            region_labels=parcellation.region_labels,
            surfaces=dict(zip(_CORTEX, sides, strict=True)),
            source=repr(parcellation),
        )

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return len(self.region_labels)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Vertices and voxels of each region, shape (region,)."""
        every = np.concatenate([*self.surfaces.values(), self.voxel_regions])
        return np.bincount(every[every >= 0], minlength=self.n_regions)

    def __repr__(self) -> str:
        parts = [f"{places.size} vertices of {name}" for name, places in self.surfaces.items()]
        parts += [f"{len(self.voxels)} voxels"] if len(self.voxels) else []
        return f"CiftiAtlas({self.n_regions} regions, {', '.join(parts)})"


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionSeries:
    """The mean series of the regions of one run.

    Parameters
    ----------
    time_series : array, shape (region, frame), float64
        In the unit of the file; NaN for a region below the least coverage.
    region_labels : tuple of str
        As in the atlas.
    coverage : array, shape (region,), float64
        Share of the region's vertices and voxels that the file has with a signal, from 0 to 1.
    repetition_time : float
        Seconds from a frame to the next.
    """

    time_series: NDArray[np.float64]
    region_labels: tuple[str, ...]
    coverage: NDArray[np.float64]
    repetition_time: float

    @property
    def temporal_snr(self) -> NDArray[np.float64]:
        """Mean over time of each region's series over its standard deviation; NaN where it is constant."""
        spread = self.time_series.std(axis=1)
        return np.divide(self.time_series.mean(axis=1), spread, out=np.full(spread.shape, np.nan), where=spread > 0)


def read_dlabel(path: str | Path, *, label_map: int = 0) -> CiftiAtlas:
    """Return the regions of a ``.dlabel.nii`` file on vertices and voxels.

    Labels are placed through the file's own brain models: files with the medial wall (64,984 vertices of
    fsLR-32k) and without it (59,412) give the same atlas, and subcortical voxels are kept. A label of
    number 0, or that no vertex and no voxel has, is no region.

    Parameters
    ----------
    path : path
        The file.
    label_map : int, default 0
        Which of its maps, counted from 0.

    Returns
    -------
    CiftiAtlas
        Regions in the order of their numbers.

    Raises
    ------
    DataError
        If it cannot be read, is no label file, has no such map, or a value is not in its table.

    References
    ----------
    CIFTI-2: Glasser et al. 2013, NeuroImage 80:105-124. https://doi.org/10.1016/j.neuroimage.2013.04.127
    """
    from nibabel.cifti2.cifti2_axes import LabelAxis

    path = Path(path)
    image, models = _open(path)
    with readable(path):
        names = image.header.get_axis(0)
        if not isinstance(names, LabelAxis):
            raise DataError(f"{path} has no tables of labels along its rows: it is no .dlabel.nii")
        if not 0 <= label_map < len(names.label):
            raise DataError(f"{path} has {len(names.label)} maps, there is no map {label_map}")
        numbers = np.nan_to_num(np.asarray(image.dataobj[label_map], dtype=np.float64))
        if np.abs(numbers).max(initial=0) > 2**53:
            raise DataError(f"{path} holds a label of {np.abs(numbers).max():g}")
        values = numbers.astype(np.int64)
        table = {int(key): str(value[0]) for key, value in names.label[label_map].items()}
    used = np.unique(values[values != 0])
    unknown = [int(number) for number in used if number not in table]
    if unknown:
        raise DataError(f"{path}: label {unknown[0]} is in no table of labels")
    place = np.full(len(values), -1, dtype=np.int64)
    place[values != 0] = np.searchsorted(used, values[values != 0])
    surfaces: dict[str, NDArray[np.int64]] = {}
    voxels, voxel_regions = [np.zeros((0, 3), dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for structure, columns in _structures(models):
        if structure in models.nvertices:
            surfaces[structure] = np.full(models.nvertices[structure], -1, dtype=np.int64)
            surfaces[structure][models.vertex[columns]] = place[columns]
        else:
            inside = place[columns] >= 0
            voxels.append(np.asarray(models.voxel[columns], dtype=np.int64)[inside])
            voxel_regions.append(place[columns][inside])
    return CiftiAtlas(
        region_labels=tuple(table[int(number)] for number in used),
        surfaces=surfaces,
        voxels=np.concatenate(voxels),
        voxel_regions=np.concatenate(voxel_regions),
        affine=None if models.affine is None else np.asarray(models.affine, dtype=np.float64),
        volume_shape=None if models.volume_shape is None else tuple(models.volume_shape),
        source=str(path),
    )


def parcellate_cifti(
    path: str | Path, atlas: CiftiAtlas | SurfaceParcellation, *, minimum_coverage: float = 0.5
) -> RegionSeries:
    """Return the mean series of each region of a ``.dtseries.nii`` file.

    Columns of the file are joined to the atlas through the file's brain models, structure by structure
    and vertex by vertex (voxel by voxel), never by their position: a standard file has 91,282
    grayordinates, of which the first 59,412 are cortex without the medial wall. A vertex that is 0 or
    NaN in every frame has no signal and does not count.

    Parameters
    ----------
    path : path
        The file. It is read some hundred vertices at a time, and never held whole in memory.
    atlas : CiftiAtlas or SurfaceParcellation
        From `read_dlabel`, or from `load_schaefer_surface` in fsLR-32k.
    minimum_coverage : float, default 0.5
        A region of which less than this share has a signal is NaN.

    Returns
    -------
    RegionSeries
        Series, coverage and repetition time.

    Raises
    ------
    DataError
        If the file cannot be read or is shorter than its header says, is no series, its mesh has another
        number of vertices than the atlas, its voxels lie on another grid, it lacks a structure that the
        atlas has regions in, or a vertex with signal is NaN in some frames. The message names file and
        structure.
    """
    from scipy.sparse import csr_array

    path, least = Path(path), probability("minimum_coverage", minimum_coverage)
    if isinstance(atlas, SurfaceParcellation):
        atlas = CiftiAtlas.of_surface(atlas)
    image, models = _open(path)
    repetition_time = _repetition_time(image, path)
    place = _places(models, atlas, path)
    n_frames = image.shape[0]
    total = np.zeros((atlas.n_regions, n_frames))
    audible = np.zeros(place.size, dtype=bool)
    # A file holds the frames of one vertex side by side: stretches of columns are read in one go.
    for begin in range(0, place.size, _COLUMNS_AT_A_TIME):
        inside = begin + np.flatnonzero(place[begin : begin + _COLUMNS_AT_A_TIME] >= 0)
        if not inside.size:
            continue
        with readable(path):
            block = np.asarray(cast("Any", image.dataobj)[:, begin : begin + _COLUMNS_AT_A_TIME]).T
        rows = np.asarray(block[inside - begin], dtype=np.float64)
        begun = rows[:, 0]
        doubtful = np.flatnonzero((begun == 0) | np.isnan(begun))
        silent = doubtful[((rows[doubtful] == 0) | np.isnan(rows[doubtful])).all(axis=1)]
        if silent.size:
            rows, inside = np.delete(rows, silent, axis=0), np.delete(inside, silent)
        audible[inside] = True
        finite = np.isfinite(rows.sum(axis=1))
        if not finite.all():
            bad = int((~finite).argmax())
            frame = int((~np.isfinite(rows[bad])).argmax())
            structure = cast("Any", models.name)[inside[bad]]
            raise DataError(f"{path}, frame {frame}: a vertex or voxel of {structure} is {rows[bad, frame]}")
        sums = csr_array((np.ones(inside.size), (place[inside], np.arange(inside.size))), (len(total), inside.size))
        total += sums @ rows
    present = np.bincount(place[audible], minlength=atlas.n_regions)
    coverage = present / atlas.sizes
    known = (coverage >= least) & (present > 0)
    series = np.full(total.shape, np.nan)
    series[known] = total[known] / present[known, None]
    return RegionSeries(
        time_series=series, region_labels=atlas.region_labels, coverage=coverage, repetition_time=repetition_time
    )


def _open(path: Path) -> "tuple[Cifti2Image, BrainModelAxis]":
    """Return a two-dimensional CIFTI image whose columns are brain models that make sense, nothing of it read."""
    from nibabel.cifti2.cifti2 import Cifti2Image
    from nibabel.cifti2.cifti2_axes import BrainModelAxis

    with readable(path), warnings.catch_warnings():
        # nibabel warns of sizes that do not fit, and goes on: they are refused here.
        warnings.simplefilter("ignore", UserWarning)
        image = Cifti2Image.from_filename(path)
        if min(image.shape, default=0) < 1:
            raise DataError(f"{path} has shape {image.shape}")
        axis = image.header.get_axis(1) if image.ndim == 2 else None
        if not isinstance(axis, BrainModelAxis):
            raise DataError(f"{path} has no brain models along its columns")
        if len(axis) != image.shape[1]:
            raise DataError(f"{path} has {image.shape[1]} columns, its brain models have {len(axis)}")
        proxy: Any = image.dataobj
        promised = int(proxy.offset) + math.prod(image.shape) * proxy.dtype.itemsize
        if path.stat().st_size < promised:
            raise DataError(f"{path} is truncated: {path.stat().st_size} bytes, its header promises {promised}")
    for structure, columns in _structures(axis):
        if structure not in axis.nvertices:
            continue
        n_vertices, vertex = axis.nvertices[structure], axis.vertex[columns]
        if not isinstance(n_vertices, (int, np.integer)) or n_vertices < 1:
            raise DataError(f"{path}: {structure} has {n_vertices} vertices")
        if n_vertices > MOST_VERTICES or (vertex.size and not 0 <= vertex.min() <= vertex.max() < n_vertices):
            raise DataError(f"{path}: a vertex of {structure} lies outside its {n_vertices} vertices")
    return image, axis


def _structures(models: "BrainModelAxis") -> Iterator[tuple[str, slice]]:
    """Yield each structure and its columns, without the copies of names that nibabel's own iterator makes."""
    names = np.asarray(models.name)
    bounds = [0, *(1 + np.flatnonzero(names[1:] != names[:-1])).tolist(), len(names)]
    for begin, end in itertools.pairwise(bounds):
        yield str(names[begin]), slice(begin, end)


def _repetition_time(image: "Cifti2Image", path: Path) -> float:
    from nibabel.cifti2.cifti2_axes import SeriesAxis

    with readable(path):
        axis = image.header.get_axis(0)
    if not isinstance(axis, SeriesAxis):
        raise DataError(f"{path} has no frames along its rows: it is no .dtseries.nii")
    step = float(axis.step) * _SECONDS.get(str(axis.unit), float("nan"))
    if not (np.isfinite(step) and step > 0):
        raise DataError(f"{path}: frames are {axis.step} {axis.unit} apart, expected a positive time")
    return step


def _places(models: "BrainModelAxis", atlas: CiftiAtlas, path: Path) -> NDArray[np.int64]:
    """Return the region of each column, -1 for none."""
    place = np.full(len(models), -1, dtype=np.int64)
    wanted = {name for name, places in atlas.surfaces.items() if (places >= 0).any()}
    region_of_voxel: dict[tuple[int, ...], int] = {}
    if len(atlas.voxels):
        _same_grid(models, atlas, path)
        region_of_voxel = dict(zip(map(tuple, atlas.voxels.tolist()), atlas.voxel_regions.tolist(), strict=True))
    for structure, columns in _structures(models):
        n_vertices = models.nvertices.get(structure)
        if n_vertices is None:
            if region_of_voxel:
                place[columns] = [region_of_voxel.get(tuple(voxel), -1) for voxel in models.voxel[columns].tolist()]
        elif structure in wanted:
            n_expected = atlas.surfaces[structure].size
            if n_vertices != n_expected:
                raise DataError(
                    f"{path}: {structure} has {n_vertices} vertices, the atlas {atlas.source} has {n_expected}: "
                    "they lie in different spaces"
                )
            place[columns] = atlas.surfaces[structure][models.vertex[columns]]
            wanted.discard(structure)
    if wanted:
        raise DataError(f"{path} has no {' and no '.join(sorted(wanted))}, in which the atlas has regions")
    return place


def _same_grid(models: "BrainModelAxis", atlas: CiftiAtlas, path: Path) -> None:
    if models.affine is None or models.volume_shape is None:
        raise DataError(f"{path} has no voxels, in which the atlas {atlas.source} has regions")
    same = tuple(models.volume_shape) == atlas.volume_shape and np.allclose(
        models.affine, cast("ArrayLike", atlas.affine), atol=1e-3
    )
    if not same:
        raise DataError(f"{path}: its voxels lie on another grid than those of the atlas {atlas.source}")
