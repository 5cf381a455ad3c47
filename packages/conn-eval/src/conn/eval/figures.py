"""Figures of connectomes, identification and dynamic communities.

Every function returns a ``matplotlib.figure.Figure`` of its own: no pyplot, no display, no global
state. Colours are readable with every kind of colour vision, and text is never read as mathematics.
Matplotlib comes with the extra ``report``.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from conn.eval.errors import import_extra
from conn.eval.fingerprinting import Fingerprint
from conn.eval.nulls import IdentificationNull

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "plot_communities",
    "plot_connectome",
    "plot_dynamics",
    "plot_null",
    "plot_similarity",
    "plot_training",
]

# Of the palette of Okabe and Ito (jfly.uni-koeln.de/color), told apart with any colour vision.
_BLUE, _VERMILION, _GREY = "#0072B2", "#D55E00", "#8a8a8a"
_MISSING = "#d9d9d9"
_FONT_SIZE = 9


def plot_connectome(
    matrix: npt.ArrayLike,
    *,
    groups: Iterable[object] | None = None,
    title: str = "",
    label: str = "correlation (Pearson r)",
    limit: float | None = None,
) -> "Figure":
    """Return a figure of a connectome, ordered by group.

    Parameters
    ----------
    matrix : array_like, shape (region, region)
        ``matrix[target, source]``. The diagonal and NaN are drawn grey.
    groups : sequence, length region, optional
        Group (network, hemisphere, …) of every region. Regions are reordered by group, in the
        order in which the groups appear; lines part the groups.
    title : str, default ""
        Title of the figure.
    label : str, default "correlation (Pearson r)"
        Name and unit of the values, written beside the colour bar.
    limit : float, optional
        The colours span ±limit. By default the 99th percentile of the absolute values, so that
        few strong edges do not wash out the others; the bar's pointed ends tell of larger ones.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If the matrix is not square, the groups do not fit it, all edges are NaN or the limit is
        not positive.
    MissingExtraError
        If Matplotlib is not installed.

    Examples
    --------
    >>> plot_connectome([[1, 0.5], [0.5, 1]], groups=["Vis", "Default"]).axes[0].get_xlabel()
    'region, by group'
    """
    values = _array(matrix, "matrix", ("region", "region"))
    if values.shape[0] != values.shape[1]:
        raise ValueError(f"matrix must have the shape (region, region), got {values.shape}")
    values = values.copy()
    np.fill_diagonal(values, np.nan)
    known = np.abs(values[np.isfinite(values)])
    if known.size == 0:
        raise ValueError("matrix has no finite value off its diagonal, so there is nothing to draw")
    if limit is None:
        limit = float(np.percentile(known, 99)) or 1.0
    elif not limit > 0:
        raise ValueError(f"limit must be positive, got {limit!r}")
    order, blocks = _blocks(groups, len(values))
    symmetric = np.allclose(values, values.T, equal_nan=True)
    ending = "region, by group" if blocks else "region"

    figure, axes = _figure(7.2, 6.2)
    # Without interpolation a vector drawing keeps one pixel an edge: a quarter of the file's size.
    image = axes.imshow(
        values[np.ix_(order, order)],
        cmap=_colours("RdBu_r"),
        vmin=-limit,
        vmax=limit,
        interpolation="none",
    )
    extend = "both" if known.max() > limit else "neither"
    _colour_bar(figure, axes, image, label, extend=extend)
    _mark_blocks(axes, blocks, "y", inches=5.0, across=5.0, line_colour="black")
    _mark_blocks(axes, blocks, "x", inches=5.0, across=5.0, line_colour="black")
    axes.set_xlabel(ending if symmetric else f"source {ending}")
    axes.set_ylabel(ending if symmetric else f"target {ending}")
    _title(axes, title)
    return figure


def plot_similarity(fingerprint: Fingerprint, *, title: str = "") -> "Figure":
    """Return a figure of the similarity of all scans, ordered by subject and session.

    Squares on the diagonal hold the scans of one subject; the similarity of a scan with itself
    is left out (grey). Where identification works, the squares stand out.

    Parameters
    ----------
    fingerprint : Fingerprint
        The identification to show.
    title : str, default ""
        Title of the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    MissingExtraError
        If Matplotlib is not installed.

    Examples
    --------
    >>> from conn.eval import fingerprint_features
    >>> result = fingerprint_features([[1, 2, 3], [1, 2, 4], [3, 1, 0], [4, 1, 0]],
    ...                               ["a", "a", "b", "b"], [1, 2, 1, 2])
    >>> [tick.get_text() for tick in plot_similarity(result).axes[0].get_yticklabels()]
    ['a', 'b']
    """
    subject = np.asarray(fingerprint.subjects)
    order = np.lexsort((np.asarray(fingerprint.sessions), subject))
    values = fingerprint.similarity[np.ix_(order, order)].copy()
    np.fill_diagonal(values, np.nan)
    figure, axes = _figure(7.2, 6.2)
    image = axes.imshow(values, cmap=_colours("viridis"))
    method = {"pearson": "Pearson r", "spearman": "Spearman rho", "cosine": "cosine"}
    _colour_bar(figure, axes, image, f"similarity of scans ({method[fingerprint.method]})")

    people, first, count = np.unique(subject[order], return_index=True, return_counts=True)
    rectangle = import_extra("matplotlib.patches", "report").Rectangle
    for start, size in zip(first, count, strict=True):
        corner = (start - 0.5, start - 0.5)
        axes.add_patch(rectangle(corner, size, size, fill=False, edgecolor="white", linewidth=1.5))
    # With many subjects only some are named, rather than all on top of one another.
    shown = slice(None, None, int(np.ceil(len(people) / 40)))
    centres = (first + (count - 1) / 2)[shown]
    names = [_literal(name) for name in people[shown]]
    axes.set_xticks(centres, names, rotation=90)
    axes.set_yticks(centres, names)
    axes.set_xlabel("scan, by subject and session")
    axes.set_ylabel("scan, by subject and session")
    _title(axes, title)
    return figure


def plot_null(null: IdentificationNull, *, title: str = "") -> "Figure":
    """Return a figure of a permutation null and of the observed value.

    Parameters
    ----------
    null : IdentificationNull
        Null distribution of an identification.
    title : str, default ""
        Title of the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    MissingExtraError
        If Matplotlib is not installed.

    Examples
    --------
    >>> from conn.eval import fingerprint_features, identification_null
    >>> result = fingerprint_features([[1, 2, 3], [1, 2, 4], [3, 1, 0], [4, 1, 0]],
    ...                               ["a", "a", "b", "b"], [1, 2, 1, 2])
    >>> plot_null(identification_null(result, n_permutations=9)).axes[0].get_ylabel()
    'permutations (count)'
    """
    figure, axes = _figure(7.2, 3.4)
    accuracy = null.statistic == "accuracy"
    permuted = f"permuted identities (n = {null.n_permutations})"
    # Accuracy takes few values, which bins would gather unevenly.
    values, counts = np.unique(null.null.round(6), return_counts=True)
    if len(values) <= 60:
        width = 0.8 * np.diff(values).min(initial=0.02 if accuracy else 1.0)
        axes.bar(values, counts, width=width, color=_GREY, label=permuted)
    else:
        axes.hist(null.null, bins=40, color=_GREY, label=permuted)
    axes.axvline(
        null.observed,
        color=_VERMILION,
        linewidth=2,
        label=f"observed: {null.observed:.3g} (p = {null.p_value:.3g})",
    )
    if accuracy:
        axes.axvline(
            null.chance,
            color=_BLUE,
            linewidth=1.5,
            linestyle="--",
            label=f"chance (1 / n): {null.chance:.3g}",
        )
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("identification accuracy (fraction of target scans)")
    else:
        axes.set_xlabel("differential identifiability (%)")
    axes.set_ylabel("permutations (count)")
    _without_frame(axes)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=_FONT_SIZE)
    _title(axes, title)
    return figure


def plot_communities(
    affiliation: npt.ArrayLike,
    *,
    groups: Iterable[object] | None = None,
    title: str = "",
    label: str = "affiliation (probability)",
) -> "Figure":
    """Return a figure of every region's affiliation with every community.

    Parameters
    ----------
    affiliation : array_like, shape (region, community)
        Affiliations, not negative. NaN is drawn grey.
    groups : sequence, length region, optional
        Group of every region; regions are reordered by group, as in `plot_connectome`.
    title : str, default ""
        Title of the figure.
    label : str, default "affiliation (probability)"
        Name and unit of the values.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: communities down, numbered from 1, and regions across.

    Raises
    ------
    ValueError
        If the shape is wrong, the groups do not fit, or a value is negative.
    MissingExtraError
        If Matplotlib is not installed.

    Examples
    --------
    >>> plot_communities([[0.9, 0.1], [0.2, 0.8]]).axes[0].get_ylabel()
    'community'
    """
    values = _array(affiliation, "affiliation", ("region", "community"))
    negative = np.argwhere(values < 0)
    if len(negative):
        region, community = negative[0]
        raise ValueError(
            f"the affiliation of region {region} with community {community} is "
            f"{values[region, community]:.6g}; affiliations are not negative"
        )
    order, blocks = _blocks(groups, len(values))
    figure, axes = _figure(9.0, 3.2 + 0.06 * min(values.shape[1], 40) + (0.6 if blocks else 0.0))
    image = axes.imshow(values[order].T, cmap=_colours("viridis"), vmin=0, aspect="auto", interpolation="nearest")
    _colour_bar(figure, axes, image, label)
    _mark_blocks(axes, blocks, "x", inches=7.4, across=2.4, line_colour="white")
    axes.set_xlabel("region, by group" if blocks else "region")
    _number_communities(axes, values.shape[1])
    axes.set_ylabel("community")
    _title(axes, title)
    return figure


def plot_dynamics(
    dynamics: npt.ArrayLike,
    repetition_time: float,
    *,
    title: str = "",
    label: str = "activity (0 absent, 1 present)",
) -> "Figure":
    """Return a figure of the communities' activity over the time of one scan.

    Parameters
    ----------
    dynamics : array_like, shape (community, frame)
        Activity of every community in every frame. NaN is drawn grey.
    repetition_time : float
        Time between two frames, in seconds.
    title : str, default ""
        Title of the figure.
    label : str, default "activity (0 absent, 1 present)"
        Name and unit of the values. Values within [0, 1] are drawn on that whole scale.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; communities are numbered from 1.

    Raises
    ------
    ValueError
        If the shape is wrong or the repetition time is not positive.
    MissingExtraError
        If Matplotlib is not installed.

    Examples
    --------
    >>> plot_dynamics([[0, 1, 1], [1, 0, 0]], 2.2).axes[0].get_xlabel()
    'time (s)'
    """
    values = _array(dynamics, "dynamics", ("community", "frame"))
    if not repetition_time > 0 or np.isinf(repetition_time):
        raise ValueError(f"repetition_time must be a positive number of seconds: {repetition_time}")
    n_communities, n_frames = values.shape
    unit_scale = np.nanmin(values) >= 0 and np.nanmax(values) <= 1
    figure, axes = _figure(9.0, 2.4 + 0.1 * min(n_communities, 40))
    image = axes.imshow(
        values,
        cmap=_colours("cividis"),
        vmin=0 if unit_scale else None,
        vmax=1 if unit_scale else None,
        aspect="auto",
        interpolation="nearest",
        extent=(0, n_frames * repetition_time, n_communities - 0.5, -0.5),
    )
    _colour_bar(figure, axes, image, label)
    for border in np.arange(n_communities - 1) + 0.5:
        axes.axhline(border, color="white", linewidth=0.8)
    axes.set_xlabel("time (s)")
    _number_communities(axes, n_communities)
    axes.set_ylabel("community")
    _title(axes, title)
    return figure


def plot_training(
    history: Mapping[str, npt.ArrayLike],
    *,
    title: str = "",
    label: str = "loss (no unit)",
) -> "Figure":
    """Return a figure of training curves, one panel a quantity.

    Losses differ by orders of magnitude, so that each has an axis of its own.

    Parameters
    ----------
    history : mapping of str to array_like, shape (epoch,)
        Values of every quantity by its name; NaN leaves a gap.
    title : str, default ""
        Title of the figure.
    label : str, default "loss (no unit)"
        Name and unit of the values.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If there is no quantity, or one has no values.
    MissingExtraError
        If Matplotlib is not installed.

    Examples
    --------
    >>> len(plot_training({"total": [3, 2, 1], "modularity": [-1, -2, -3]}).axes)
    2
    """
    if not history:
        raise ValueError("history is empty; expected at least one quantity with its values")
    curves = {name: _array(values, f"history[{name!r}]", ("epoch",)) for name, values in history.items()}
    ticker = import_extra("matplotlib.ticker", "report")
    n_columns = min(3, len(curves))
    n_rows = -(-len(curves) // n_columns)
    figure = _empty_figure(3.0 * n_columns if n_columns > 1 else 5.0, 2.4 * n_rows + 0.3)
    for position, (name, values) in enumerate(curves.items(), start=1):
        axes = figure.add_subplot(n_rows, n_columns, position)
        # A lone epoch is a point, which a line without markers would not show.
        marker = "o" if len(values) == 1 else None
        axes.plot(np.arange(1, len(values) + 1), values, color=_BLUE, linewidth=1.5, marker=marker)
        axes.set_title(_literal(name), fontsize=_FONT_SIZE + 1)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(ticker.MaxNLocator(5))
        axes.ticklabel_format(axis="y", scilimits=(-3, 4), useOffset=False)
        axes.set_xlabel("epoch", fontsize=_FONT_SIZE)
        if (position - 1) % n_columns == 0:
            axes.set_ylabel(_literal(label), fontsize=_FONT_SIZE)
        _without_frame(axes)
    if title:
        figure.suptitle(_literal(title), fontsize=_FONT_SIZE + 2)
    return figure


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    figure = _empty_figure(width, height)
    axes = figure.add_subplot()
    axes.tick_params(labelsize=_FONT_SIZE)
    return figure, axes


def _empty_figure(width: float, height: float) -> "Figure":
    module = import_extra("matplotlib.figure", "report")
    return module.Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _colours(name: str) -> Any:
    return import_extra("matplotlib", "report").colormaps[name].with_extremes(bad=_MISSING)


def _colour_bar(figure: "Figure", axes: "Axes", image: Any, label: str, *, extend: str = "neither") -> None:
    bar = figure.colorbar(image, ax=axes, extend=extend, fraction=0.046, pad=0.02)
    bar.set_label(_literal(label), fontsize=_FONT_SIZE)
    bar.ax.tick_params(labelsize=_FONT_SIZE)


def _title(axes: "Axes", title: str) -> None:
    if title:
        axes.set_title(_literal(title), fontsize=_FONT_SIZE + 2)


def _literal(text: object) -> str:
    # Matplotlib reads what stands between dollar signs as mathematics.
    return str(text).replace("$", r"\$")


def _without_frame(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=_FONT_SIZE)


def _number_communities(axes: "Axes", n_communities: int) -> None:
    places = np.arange(0, n_communities, max(1, int(np.ceil(n_communities / 20))))
    axes.set_yticks(places, [str(place + 1) for place in places])


def _blocks(groups: Iterable[object] | None, n_regions: int) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """Return an order of the regions and, in it, every group's name and size."""
    if groups is None:
        return np.arange(n_regions), []
    if isinstance(groups, str):
        raise TypeError("groups must be a sequence of labels, one a region, got one string")
    names = [str(group) for group in groups]
    if len(names) != n_regions:
        raise ValueError(f"groups has {len(names)} labels for {n_regions} regions")
    rank = {name: index for index, name in enumerate(dict.fromkeys(names))}
    codes = np.array([rank[name] for name in names])
    return np.argsort(codes, kind="stable"), list(zip(rank, np.bincount(codes).tolist(), strict=True))


def _mark_blocks(
    axes: "Axes",
    blocks: list[tuple[str, int]],
    axis: Literal["x", "y"],
    *,
    inches: float,
    across: float,
    line_colour: str,
) -> None:
    """Part the groups by lines and name each at its middle, names kept from overlapping.

    `inches` is the approximate length of the axis, `across` that of the other one.
    """
    if not blocks:
        return
    from scipy.optimize import isotonic_regression

    sizes = np.array([size for _, size in blocks])
    ends = np.cumsum(sizes) - 0.5
    middles = ends - sizes / 2
    n_regions = int(sizes.sum())
    line = axes.axhline if axis == "y" else axes.axvline
    for end in ends[:-1]:
        line(end, color=line_colour, linewidth=0.5)

    # The nearest places to the middles that are at least one line of text apart, all beside the
    # axes: crowded names move aside, and a thin line leads back to the group.
    font_size = float(np.clip(60 * inches / len(blocks), 4, _FONT_SIZE - 1))
    gap = min(n_regions * (1.25 * font_size / 72) / inches, n_regions / len(blocks))
    steps = gap * np.arange(len(blocks))
    highest = n_regions - 1 - steps[-1]
    places = np.clip(isotonic_regression(middles - steps).x, 0, max(highest, 0)) + steps

    names = [_literal(name) for name, _ in blocks]
    getattr(axes, f"set_{axis}ticks")(places, names, rotation=0 if axis == "y" else 90)
    axes.tick_params(axis=axis, length=0, pad=10, labelsize=font_size)
    transform = axes.get_yaxis_transform() if axis == "y" else axes.get_xaxis_transform()
    outwards = [0.0, -0.12 / across]
    for middle, place in zip(middles, places, strict=True):
        along = [middle, place]
        axes.plot(
            *((outwards, along) if axis == "y" else (along, outwards)),
            color=_GREY,
            linewidth=0.5,
            transform=transform,
            clip_on=False,
            scalex=False,
            scaley=False,
        )


def _array(values: npt.ArrayLike, argument: str, shape: tuple[str, ...]) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{argument} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != len(shape) or array.size == 0:
        raise ValueError(f"{argument} must have the shape ({', '.join(shape)}), got {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).any():
        raise ValueError(f"{argument} has no finite value, so there is nothing to draw")
    return array
