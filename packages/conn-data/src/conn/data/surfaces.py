"""Surfaces of the cortex: meshes with their spheres, and maps with one value a vertex."""

import gzip
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from conn.data.cards import CARDS
from conn.data.errors import DataError
from conn.data.local import LocalSet
from conn.data.provenance import Provenance

__all__ = [
    "HEMISPHERES",
    "MOST_VERTICES",
    "Surface",
    "SurfaceSet",
    "VertexLabels",
    "load_conte69",
    "load_fsaverage5",
    "load_fslr32k",
    "read_cifti_surface",
    "readable",
]

HEMISPHERES = ("L", "R")

# More than any mesh in use has, and a bound on what a forged header can make us allocate.
MOST_VERTICES = 10_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """A triangle mesh of one hemisphere.

    Parameters
    ----------
    hemisphere : {"L", "R"}
        Which side.
    coordinates : array, shape (vertex, 3), float64
        Millimetres.
    faces : array, shape (face, 3), int64
        Vertices of each triangle.

    Raises
    ------
    DataError
        If shapes are others, a coordinate is not finite, or a face names a vertex that is not there.
    """

    hemisphere: str
    coordinates: NDArray[np.float64]
    faces: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.hemisphere not in HEMISPHERES:
            raise DataError(f"hemisphere {self.hemisphere!r} is neither 'L' nor 'R'")
        if self.coordinates.ndim != 2 or self.coordinates.shape[1] != 3:
            raise DataError(f"coordinates has shape {self.coordinates.shape}, expected (vertex, 3)")
        if not np.isfinite(self.coordinates).all():
            raise DataError("a coordinate is not finite")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or self.faces.dtype.kind not in "iu":
            raise DataError(
                f"faces has shape {self.faces.shape} and type {self.faces.dtype}, expected (face, 3) of int"
            )
        if self.faces.size and not 0 <= self.faces.min() <= self.faces.max() < self.n_vertices:
            raise DataError(f"a face names a vertex outside 0 to {self.n_vertices - 1}")

    @property
    def n_vertices(self) -> int:
        """Number of vertices."""
        return self.coordinates.shape[0]

    @property
    def edges(self) -> NDArray[np.int64]:
        """Pairs of vertices that a triangle joins, shape (edge, 2), each once, the smaller first."""
        pairs = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        pairs.sort(axis=1)
        # One number a pair: many times faster than unique rows.
        codes = np.unique(pairs[:, 0] * np.int64(self.n_vertices) + pairs[:, 1])
        return np.stack(np.divmod(codes, self.n_vertices), axis=1)

    @property
    def vertex_areas(self) -> NDArray[np.float64]:
        """A third of the area of the triangles around each vertex, shape (vertex,), square millimetres."""
        a, b, c = (self.coordinates[self.faces[:, corner]] for corner in range(3))
        thirds = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
        return np.bincount(self.faces.ravel(), np.repeat(thirds, 3), minlength=self.n_vertices).astype(np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class VertexLabels:
    """A number a vertex for each hemisphere, and what the numbers mean.

    Parameters
    ----------
    left, right : array, shape (vertex,), int64
        0 where a vertex belongs to nothing (the medial wall).
    names : mapping of int to str
        Name of each number that occurs, but 0; empty where the source names none.

    Raises
    ------
    DataError
        If a number is negative, or occurs and has no name although others have.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", dict(self.names))
        found = np.union1d(self.left, self.right)
        if found.size and found[0] < 0:
            raise DataError(f"a vertex has the number {found[0]}")
        nameless = [int(number) for number in found if number and number not in self.names]
        if self.names and nameless:
            raise DataError(f"vertices have the number {nameless[0]}, which has no name")


@dataclass(frozen=True, kw_only=True, eq=False)
class SurfaceSet:
    """Surfaces of both hemispheres, with maps and labels on their vertices.

    Parameters
    ----------
    space : {"fsLR-32k", "fsaverage5"}
        Which mesh; vertices of one space correspond, those of two do not.
    surfaces : mapping of str to pair of Surface
        By kind, such as ``"midthickness"`` or ``"sphere"``: left, right.
    maps : mapping of str to pair of array, shape (vertex,)
        By name: left, right. NaN where there is no value, as on the medial wall.
    labels : mapping of str to VertexLabels
        Parcellations by name.
    provenance : Provenance
        Source, version, licence, citation, checksums.
    connectomes : mapping of str to array, shape (target, source), default empty
        Group connectomes that come with the set.

    Raises
    ------
    DataError
        If the meshes of a side differ in their number of vertices, or a map or labels have another
        number.
    """

    space: str
    surfaces: Mapping[str, tuple[Surface, Surface]]
    maps: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    labels: Mapping[str, VertexLabels]
    provenance: Provenance
    connectomes: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("surfaces", "maps", "labels", "connectomes"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        for name, pair in (
            *((kind, [one.coordinates for one in pair]) for kind, pair in self.surfaces.items()),
            *self.maps.items(),
            *((name, (one.left, one.right)) for name, one in self.labels.items()),
        ):
            found = tuple(len(one) for one in pair)
            if found != self.n_vertices:
                raise DataError(f"{name!r} has {found} vertices, the surfaces have {self.n_vertices}")

    @property
    def n_vertices(self) -> tuple[int, int]:
        """Number of vertices left and right."""
        left, right = next(iter(self.surfaces.values()))
        return left.n_vertices, right.n_vertices

    def describe(self) -> str:
        """Return what the set holds and where it comes from, as text of a few lines."""
        lines = [
            f"{self.space}: {self.n_vertices[0]} + {self.n_vertices[1]} vertices (left, right)",
            f"surfaces   {', '.join(self.surfaces)}",
            f"maps       {', '.join(self.maps) or 'none'}",
            f"labels     {', '.join(self.labels) or 'none'}",
        ]
        if self.connectomes:
            lines.append(f"connectome {', '.join(self.connectomes)}")
        return "\n".join(lines) + "\n" + self.provenance.describe()

    def __repr__(self) -> str:
        return f"SurfaceSet({self.provenance.dataset}, {self.space}, {self.n_vertices} vertices)"


def load_fsaverage5(*, data_dir: str | Path | None = None, cache_dir: str | Path | None = None) -> SurfaceSet:
    """Return FreeSurfer's average surfaces fsaverage5 with their spheres.

    Parameters
    ----------
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    SurfaceSet
        10242 vertices a side. Surfaces ``"white"``, ``"pial"``, ``"sphere"`` (radius 100); maps
        ``"sulc"`` and ``"thickness"`` (millimetres), ``"curvature"`` (1/millimetre), ``"area"``
        (square millimetres).

    Raises
    ------
    DataError
        If a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.
    """
    files = LocalSet(CARDS["fsaverage5"], data_dir=data_dir, cache_dir=cache_dir)
    sides = ("left", "right")
    return SurfaceSet(
        space="fsaverage5",
        surfaces={
            kind: _pair([_surface(files, f"{kind}_{side}.gii.gz", side[0].upper()) for side in sides])
            for kind in ("white", "pial", "sphere")
        },
        maps={
            name: _pair([_gifti_map(files, f"{short}_{side}.gii.gz") for side in sides])
            for name, short in (("sulc", "sulc"), ("thickness", "thick"), ("curvature", "curv"), ("area", "area"))
        },
        labels={},
        provenance=files.provenance(),
    )


def load_fslr32k(*, data_dir: str | Path | None = None, cache_dir: str | Path | None = None) -> SurfaceSet:
    """Return the HCP S1200 group surfaces fsLR 32k with their spheres and three parcellations.

    Parameters
    ----------
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    SurfaceSet
        32492 vertices a side. Surfaces ``"midthickness"`` and ``"sphere"`` (radius 100); map
        ``"sulc"``, NaN on the medial wall; labels ``"glasser"`` (360 areas), ``"yeo7"``,
        ``"cole_anticevic"`` (12 networks). Their subcortical part is left out.

    Raises
    ------
    DataError
        If a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Van Essen et al. 2012, Cerebral Cortex 22:2241-2262. https://doi.org/10.1093/cercor/bhr291
    Glasser et al. 2016, Nature 536:171-178. https://doi.org/10.1038/nature18933
    Yeo et al. 2011, J Neurophysiol 106:1125-1165. https://doi.org/10.1152/jn.00338.2011
    Ji et al. 2019, NeuroImage 185:35-57. https://doi.org/10.1016/j.neuroimage.2018.10.006
    """
    files = LocalSet(CARDS["fslr32k"], data_dir=data_dir, cache_dir=cache_dir)
    info = files.npz("fMRI_vertex_info_32k.npz", "grayl", "grayr", "num_meshl", "num_meshr")
    numbers = (info["grayl"].astype(np.int64), info["grayr"].astype(np.int64))
    totals = (int(info["num_meshl"]), int(info["num_meshr"]))
    if any(one.ndim != 1 or one.min() < 0 or one.max() >= total for one, total in zip(numbers, totals, strict=True)):
        raise DataError(f"{files.folder / 'fMRI_vertex_info_32k.npz'}: a vertex lies outside the mesh")
    surfaces = {
        kind: _pair([_surface(files, f"S1200.{side}.{name}.32k_fs_LR.surf.gii", side) for side in HEMISPHERES])
        for kind, name in (("midthickness", "midthickness_MSMAll"), ("sphere", "sphere"))
    }
    labels = {}
    for name, path in (("glasser", "mmp_1.0.npz"), ("yeo7", "yeo7.npz"), ("cole_anticevic", "ca_network_1.1.npz")):
        arrays = files.npz(path, "map_all", "labels", "ids")
        everywhere = files.check(arrays["map_all"], path, "map_all", (None,)).astype(np.int64)
        sides, begin = [], 0
        for vertices, total in zip(numbers, totals, strict=True):
            side = np.zeros(total, dtype=np.int64)
            side[vertices] = everywhere[begin : begin + len(vertices)]
            sides.append(side)
            begin += len(vertices)
        words = dict(zip(arrays["ids"].tolist(), arrays["labels"].tolist(), strict=True))
        present = set(np.concatenate(sides).tolist()) - {0}
        labels[name] = VertexLabels(
            left=sides[0], right=sides[1], names={number: words[number] for number in sorted(present & set(words))}
        )
    sulc = read_cifti_surface(files, "S1200.sulc_MSMAll.32k_fs_LR.dscalar.nii")[0][0]
    return SurfaceSet(
        space="fsLR-32k",
        surfaces=surfaces,
        maps={"sulc": sulc},
        labels=labels,
        provenance=files.provenance(),
    )


def load_conte69(*, data_dir: str | Path | None = None, cache_dir: str | Path | None = None) -> SurfaceSet:
    """Return BrainSpace's group maps, parcellations, surfaces and connectomes.

    Parameters
    ----------
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    SurfaceSet
        32492 vertices a side. Surfaces ``"midthickness"`` and ``"sphere"`` (radius 100). Maps
        ``"t1wt2w"``, ``"thickness"``, ``"curvature"``, ``"fc_gradient0"`` and ``"fc_gradient1"``,
        ``"mpc_gradient0"`` and ``"mpc_gradient1"``, NaN on the medial wall, and ``"temporal_lobe"``
        (1 inside, 0 outside). Labels ``"schaefer_100"``, ``"vosdewael_100"``, ``"mesulam"`` and so on
        are numbers without names. ``connectomes`` has ``"schaefer_100"``, ``"schaefer_200"`` and
        ``"schaefer_400"``: functional connectomes of an HCP group in the order of the numbers.

    Raises
    ------
    DataError
        If a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Vos de Wael et al. 2020, Communications Biology 3:103. https://doi.org/10.1038/s42003-020-0794-7
    """
    files = LocalSet(CARDS["conte69"], data_dir=data_dir, cache_dir=cache_dir)
    surfaces = {
        kind: _pair(
            [
                _surface(files, f"conte69_32k_{side}{suffix}.gii", hemisphere)
                for side, hemisphere in (("lh", "L"), ("rh", "R"))
            ]
        )
        for kind, suffix in (("midthickness", ""), ("sphere", "_sphere"))
    }
    n_left, n_right = (one.n_vertices for one in surfaces["sphere"])
    path = "maps_conte69_32k.npz"
    maps = {}
    found = files.npz(path, "temporal_mask_lh", "temporal_mask_rh", "mask_lh", "mask_rh")
    cortex = [files.check(found[f"mask_{side}"], path, f"mask_{side}", (None,)) for side in ("lh", "rh")]
    for name in sorted(set(found) - {"temporal_mask_lh", "temporal_mask_rh", "mask_lh", "mask_rh"}):
        values = files.check(found[name], path, name, (n_left + n_right,)).astype(np.float64)
        values[~np.concatenate(cortex).astype(bool)] = np.nan
        maps[name] = (values[:n_left], values[n_left:])
    maps["temporal_lobe"] = _pair([found[f"temporal_mask_{side}"].astype(np.float64) for side in ("lh", "rh")])
    path = "parcellations_conte69_32k.npz"
    labels = {
        name: VertexLabels(left=numbers[:n_left], right=numbers[n_left:])
        for name, array in sorted(files.npz(path).items())
        for numbers in [files.check(array, path, name, (n_left + n_right,)).astype(np.int64)]
    }
    connectomes = {}
    for size in (100, 200, 400):
        path = f"fc_schaefer_{size}_main_group.npy"
        connectomes[f"schaefer_{size}"] = files.check(files.npy(path), path, "the matrix", (size, size))
    return SurfaceSet(
        space="fsLR-32k",
        surfaces=surfaces,
        maps=maps,
        labels=labels,
        provenance=files.provenance("the group overlaps with other HCP group averages"),
        connectomes=connectomes,
    )


def read_cifti_surface(
    files: LocalSet, path: str
) -> tuple[list[tuple[NDArray[Any], NDArray[Any]]], list[Mapping[int, str]]]:
    """Return the maps of a ``.dscalar.nii`` or ``.dlabel.nii`` file on the vertices of both hemispheres.

    Values are placed through the file's own list of vertices, never by column: files with and
    without the medial wall come out alike.

    Parameters
    ----------
    files : LocalSet
        The set.
    path : str
        The file in it.

    Returns
    -------
    maps : list of pair of array, shape (vertex,), float64
        Left and right of each map; NaN on vertices that the file leaves out.
    names : list of mapping of int to str
        Names of the labels of each map; empty in a ``.dscalar.nii``.

    Raises
    ------
    DataError
        If it is no such file, or lacks a hemisphere.
    """
    from nibabel.cifti2.cifti2 import Cifti2Image
    from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis

    raw = files.read(path)
    with readable(files.folder / path):
        image = Cifti2Image.from_bytes(raw)
        axes = [image.header.get_axis(place) for place in range(2)] if image.ndim == 2 else []
        if len(axes) != 2 or not isinstance(axes[1], BrainModelAxis):
            raise DataError(f"{files.folder / path} has no brain models along its columns")
        if math.prod(image.shape) > len(raw):
            raise DataError(f"{files.folder / path} holds less than the {image.shape} values that its header promises")
        data = np.asarray(image.dataobj, dtype=np.float64)
    sides: dict[str, NDArray[Any]] = {}
    for structure, columns, model in axes[1].iter_structures():
        hemisphere = {"CIFTI_STRUCTURE_CORTEX_LEFT": "L", "CIFTI_STRUCTURE_CORTEX_RIGHT": "R"}.get(structure)
        if hemisphere is None:
            continue
        n_vertices, vertex = axes[1].nvertices[structure], cast("BrainModelAxis", model).vertex
        if n_vertices > MOST_VERTICES or (vertex.size and not 0 <= vertex.min() <= vertex.max() < n_vertices):
            raise DataError(f"{files.folder / path}: a vertex of {structure} lies outside its {n_vertices} vertices")
        sides[hemisphere] = np.full((len(data), n_vertices), np.nan)
        sides[hemisphere][:, vertex] = data[:, columns]
    if set(sides) != set(HEMISPHERES):
        raise DataError(f"{files.folder / path} has no cortex of {' and '.join(sorted(set(HEMISPHERES) - set(sides)))}")
    names: list[Mapping[int, str]] = [{}] * len(data)
    if isinstance(axes[0], LabelAxis):
        names = [{int(key): str(value[0]) for key, value in table.items()} for table in axes[0].label]
    return list(zip(sides["L"], sides["R"], strict=True)), names


def _pair(sides: list[Any]) -> tuple[Any, Any]:
    left, right = sides
    return left, right


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever nibabel raises for a bad file into one kind of error, and silence what it logs."""
    import zlib
    from xml.parsers.expat import ExpatError

    from nibabel.cifti2.cifti2 import Cifti2HeaderError
    from nibabel.filebasedimages import ImageFileError
    from nibabel.imageglobals import LoggingOutputSuppressor
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        # Files of connectivity have no voxels, of which nibabel would complain on standard error.
        with LoggingOutputSuppressor():
            yield
    except DataError:
        raise
    except (
        Cifti2HeaderError, ImageFileError, HeaderDataError, WrapStructError, ExpatError, zlib.error, OSError, EOFError,
        ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, MemoryError, OverflowError,
    ) as error:  # fmt: skip
        raise DataError(f"{path} cannot be read: {error}") from error


def _gifti_arrays(files: LocalSet, path: str) -> list[NDArray[Any]]:
    from nibabel.gifti.gifti import GiftiImage

    raw = files.read(path)
    with readable(files.folder / path):
        image = GiftiImage.from_bytes(gzip.decompress(raw) if path.endswith(".gz") else raw)
        return [array.data for array in image.darrays]


def _surface(files: LocalSet, path: str, hemisphere: str) -> Surface:
    arrays = _gifti_arrays(files, path)
    if len(arrays) != 2:
        raise DataError(f"{files.folder / path} has {len(arrays)} arrays, expected vertices and triangles")
    try:
        return Surface(
            hemisphere=hemisphere,
            coordinates=arrays[0].astype(np.float64),
            faces=arrays[1].astype(np.int64),
        )
    except DataError as error:
        raise DataError(f"{files.folder / path}: {error}") from error


def _gifti_map(files: LocalSet, path: str) -> NDArray[np.float64]:
    arrays = _gifti_arrays(files, path)
    if len(arrays) != 1 or arrays[0].ndim != 1:
        raise DataError(f"{files.folder / path} has {len(arrays)} arrays, expected one with a value a vertex")
    return arrays[0].astype(np.float64)
