"""Regions that no tissue sample fell into: left out, mirrored or interpolated."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from conn.data.checks import real_number
from conn.data.errors import DataError
from conn.data.hemispheres import homologues
from conn.data.labels import named, repeated

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["fill_expression", "incomplete_regions"]

_POLICIES = ("raise", "keep", "drop", "mirror", "interpolate", "mirror_interpolate")
_FARTHEST = 20.0


def incomplete_regions(expression: "pd.DataFrame") -> tuple[str, ...]:
    """Return the labels of the regions that lack a value of at least one gene.

    Parameters
    ----------
    expression : pandas.DataFrame, shape (region, gene)
        Labels in the index.

    Returns
    -------
    tuple of str
    """
    return tuple(str(expression.index[row]) for row in np.flatnonzero(expression.isna().to_numpy().any(axis=1)))


def fill_expression(
    expression: "pd.DataFrame",
    regions: "pd.DataFrame",
    *,
    policy: Literal["raise", "keep", "drop", "mirror", "interpolate", "mirror_interpolate"] = "raise",
    pairs: "pd.DataFrame | None" = None,
    power: float = 2.0,
) -> "pd.DataFrame":
    r"""Return expression after regions with missing values were dealt with as told.

    Parameters
    ----------
    expression : pandas.DataFrame, shape (region, gene)
        Labels in the index; NaN is missing.
    regions : pandas.DataFrame
        Column ``label`` with the labels of `expression` in any order. ``"mirror"`` reads ``hemisphere`` and
        ``x``, ``y``, ``z`` (MNI, millimetres) where the table has them; ``"interpolate"`` needs ``x``, ``y``, ``z``,
        and stays within the hemisphere and the ``structure`` (cortex, subcortex and so on) where these are known.
    policy : str, default "raise"
        ``"raise"`` refuses and names the regions; ``"keep"`` leaves NaN; ``"drop"`` leaves the regions out;
        ``"mirror"`` takes the value of the homologue in the other hemisphere; ``"interpolate"`` takes the mean of
        the regions that have the gene, weighted by :math:`d^{-p}` of the distance between centroids;
        ``"mirror_interpolate"`` mirrors first and interpolates what is left.
    pairs : pandas.DataFrame, optional
        Columns ``left`` and ``right`` with labels, as of `conn.data.homologues`. By default regions with
        hemisphere and centroid are paired by mirrored centroids, at most 20 mm apart, and the others by name:
        Schaefer's labels count within each hemisphere, and equal names lie up to 54 mm from each other's mirror
        image.
    power : float, default 2
        :math:`p` above.

    Returns
    -------
    pandas.DataFrame
        In the order of `expression`. Values that were there are not touched.

    Raises
    ------
    DataError
        If something is still missing after mirroring or interpolating, a gene has no value anywhere, or
        columns are missing. Never a zero in place of a value.

    Notes
    -----
    Mirrored values make both hemispheres equal there: keep homologues in the same fold
    (`conn.data.splits.homologous_groups`), or the answer stands in the training data.

    Examples
    --------
    >>> import pandas as pd
    >>> from conn.data import fill_expression
    >>> table = pd.DataFrame({"SST": [0.2, float("nan")]}, index=["LH_Vis_1", "RH_Vis_1"])
    >>> regions = pd.DataFrame({"label": table.index})
    >>> fill_expression(table, regions, policy="mirror")["SST"].tolist()
    [0.2, 0.2]
    """
    import pandas as pd

    if policy not in _POLICIES:
        raise DataError(f"policy {policy!r} is not one of {', '.join(_POLICIES)}")
    power = real_number("power", power, above=0)
    incomplete = incomplete_regions(expression)
    if not incomplete or policy == "keep":
        return expression
    if policy == "raise":
        raise DataError(
            f"expression is missing in {len(incomplete)} regions: {named(incomplete)}; choose drop, mirror, "
            "interpolate or keep"
        )
    if policy == "drop":
        kept = expression.drop(index=list(incomplete))
        if kept.empty:
            raise DataError("every region lacks a value of some gene: nothing is left")
        return kept
    known = regions.set_index("label")
    if not known.index.is_unique:
        raise DataError(f"regions has {named(repeated(list(regions['label'])))} more than once")
    if absent := [str(label) for label in expression.index if label not in known.index]:
        raise DataError(f"regions has no {named(absent)}, which expression has")
    ordered = known.loc[list(expression.index)].reset_index()
    values = expression.to_numpy(dtype=np.float64, copy=True)
    nowhere = np.isnan(values).all(axis=0)
    if nowhere.any():
        genes = [str(expression.columns[column]) for column in np.flatnonzero(nowhere)]
        raise DataError(f"no region has a value of {named(genes)}")
    if policy.startswith("mirror"):
        _mirror(values, ordered, pairs)
    if policy.endswith("interpolate"):
        _interpolate(values, ordered, power)
    left = [str(expression.index[row]) for row in np.flatnonzero(np.isnan(values).any(axis=1))]
    if left:
        raise DataError(f"after {policy!r} expression is still missing in {named(left)}")
    return pd.DataFrame(values, index=expression.index, columns=expression.columns)


def _mirror(values: NDArray[np.float64], regions: "pd.DataFrame", pairs: "pd.DataFrame | None") -> None:
    if pairs is None:
        pairs = _counterparts(regions)
    elif missing := [column for column in ("left", "right") if column not in pairs.columns]:
        raise DataError(f"pairs has no column {', '.join(missing)}")
    place = {label: number for number, label in enumerate(regions["label"])}
    both = [(place[one], place[two]) for one, two in zip(pairs["left"], pairs["right"], strict=True)
            if one in place and two in place]  # fmt: skip
    if not both:
        raise DataError("no two regions are homologues: give pairs, or labels that name the hemisphere")
    left, right = np.array(both).T
    before = values.copy()
    for one, two in ((left, right), (right, left)):
        values[one] = np.where(np.isnan(before[one]), before[two], before[one])


def _counterparts(regions: "pd.DataFrame") -> "pd.DataFrame":
    """Return the pairs of regions across hemispheres: by centroid where both have one, else by name."""
    import pandas as pd

    if not {"hemisphere", "x", "y", "z"} <= set(regions.columns):
        return homologues(regions)
    placed = np.isfinite(regions[["x", "y", "z"]].to_numpy(dtype=np.float64)).all(axis=1)
    placed &= regions["hemisphere"].isin(["L", "R"]).to_numpy()
    with_place = regions.iloc[np.flatnonzero(placed)].reset_index(drop=True)
    by_place = homologues(with_place, method="centroid", largest_distance=_FARTHEST)
    by_name = homologues(regions.iloc[np.flatnonzero(~placed)].reset_index(drop=True))
    return pd.concat([by_place, by_name], ignore_index=True)


def _interpolate(values: NDArray[np.float64], regions: "pd.DataFrame", power: float) -> None:
    missing = [column for column in ("x", "y", "z") if column not in regions.columns]
    if missing:
        raise DataError(f"regions has no column {', '.join(missing)}, which interpolation needs")
    holes = np.isnan(values).any(axis=1)
    places = regions[["x", "y", "z"]].to_numpy(dtype=np.float64)
    unknown = regions["label"][~np.isfinite(places).all(axis=1) & holes].tolist()
    if unknown:
        raise DataError(f"{named(unknown)} has no coordinates to interpolate at")
    distance = np.linalg.norm(places[holes, None] - places, axis=-1)
    with np.errstate(divide="ignore"):
        weights = np.where(np.isfinite(distance), np.maximum(distance, 1e-6) ** -power, 0.0)
    for column in ("hemisphere", "structure"):
        if column in regions.columns:
            words = regions[column].to_numpy(dtype=object)
            weights *= words[holes, None] == words
    known = np.isfinite(values)
    total = weights @ known
    with np.errstate(divide="ignore", invalid="ignore"):
        guess = np.where(total > 0, weights @ np.where(known, values, 0.0) / total, np.nan)
    values[holes] = np.where(known[holes], values[holes], guess)
