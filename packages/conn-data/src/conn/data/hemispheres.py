"""Regions that correspond across hemispheres: one rule by name, one by place."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["homologues", "mirrored_pairs"]

_HEMISPHERE_IN_LABEL = re.compile(r"(?P<before>(?:^|_))(?P<side>LH|RH|L|R)(?=_)")


def homologues(
    regions: "pd.DataFrame",
    *,
    method: Literal["name", "centroid"] = "name",
    largest_distance: float = float("inf"),
) -> "pd.DataFrame":
    """Return pairs of regions that correspond across hemispheres.

    Parameters
    ----------
    regions : pandas.DataFrame
        One row a region: ``label``, and for ``"centroid"`` also ``hemisphere`` (``"L"`` or
        ``"R"``) and ``x``, ``y``, ``z`` in millimetres with x = 0 between the hemispheres.
    method : {"name", "centroid"}, default "name"
        ``"name"`` pairs labels that are alike but for their first ``LH`` and ``RH`` (or ``L`` and ``R``).
        Schaefer's labels count within each hemisphere, so that equal names need not lie at mirrored
        places; many have no partner. ``"centroid"`` mirrors the right centroids and finds the
        assignment with the least sum of distances, each region once (`mirrored_pairs`).
    largest_distance : float, default infinity
        With ``"centroid"``, pairs further apart than this are left out (millimetres).

    Returns
    -------
    pandas.DataFrame
        One row a pair: ``left`` and ``right`` (labels), ``left_place`` and ``right_place`` (rows of
        `regions`), and ``distance`` (millimetres between the left centroid and the mirrored right
        one; NaN without coordinates).

    Raises
    ------
    DataError
        If a column is missing, a label is used twice, or `method` is neither.
    """
    import pandas as pd

    if method not in ("name", "centroid"):
        raise DataError(f"method {method!r} is neither 'name' nor 'centroid'")
    needed = ("label",) if method == "name" else ("label", "hemisphere", "x", "y", "z")
    missing = [column for column in needed if column not in regions.columns]
    if missing:
        raise DataError(f"regions has no column {', '.join(missing)}, which method {method!r} needs")
    labels = regions["label"].tolist()
    if len(set(labels)) != len(labels):
        raise DataError("a region label is used twice")
    known = all(column in regions.columns for column in "xyz")
    places = (
        regions.reindex(columns=list("xyz")).to_numpy(dtype=np.float64) if known else np.full((len(labels), 3), np.nan)
    )
    if method == "name":
        pairs = _pairs_by_name(labels)
    else:
        pairs = mirrored_pairs(places, regions["hemisphere"].tolist(), largest_distance=largest_distance)
    rows = []
    for left, right in pairs:
        distance = float(np.linalg.norm(places[left] - places[right] * (-1, 1, 1)))
        rows.append((labels[left], labels[right], left, right, distance))
    return pd.DataFrame(rows, columns=["left", "right", "left_place", "right_place", "distance"])


def _pairs_by_name(labels: list[str]) -> list[tuple[int, int]]:
    sides: dict[str, dict[str, int]] = {"L": {}, "R": {}}
    for place, label in enumerate(labels):
        match = _HEMISPHERE_IN_LABEL.search(label)
        if match is not None:
            rest = f"{label[: match.start('side')]}*{label[match.end('side') :]}"
            sides[match["side"][0]][rest] = place
    return [(place, sides["R"][rest]) for rest, place in sides["L"].items() if rest in sides["R"]]


def mirrored_pairs(
    places: NDArray[np.float64], sides: Sequence[str], *, largest_distance: float = float("inf")
) -> list[tuple[int, int]]:
    """Return the pairs (left, right) of regions whose centroids are mirror images of each other, as nearly as may be.

    Each region is in one pair at most. The pairs are those with the least sum of distances between the left centroids
    and the mirrored right ones, where a distance beyond the largest counts no more than that, and is no pair: a region
    without counterpart does not push its neighbours into wrong pairs.

    Parameters
    ----------
    places : array, shape (region, 3)
        Centroids in millimetres with x = 0 between the hemispheres.
    sides : sequence of str
        ``"L"``, ``"R"``, or something else for a region that has no counterpart.
    largest_distance : float, default infinity
        Millimetres.

    Raises
    ------
    DataError
        If a region of the left or right has no finite centroid.
    """
    from scipy.optimize import linear_sum_assignment

    which = np.array(list(sides))
    for place, side in enumerate(sides):
        if side in ("L", "R") and not np.isfinite(places[place]).all():
            raise DataError(f"region {place} has no finite centroid")
    left, right = np.flatnonzero(which == "L"), np.flatnonzero(which == "R")
    apart = np.linalg.norm(places[left][:, None] - places[right] * np.array([-1, 1, 1]), axis=2)
    rows, columns = linear_sum_assignment(np.minimum(apart, largest_distance))
    near = apart[rows, columns] <= largest_distance
    return [(int(left[row]), int(right[column])) for row, column in zip(rows[near], columns[near], strict=True)]
