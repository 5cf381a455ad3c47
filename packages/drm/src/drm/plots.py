"""Pictures of networks, of what they do and of what they learned (extra `plots`).

All draw on the axes that they are given, or else on new ones, which takes Matplotlib: an ImportError names the extra.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from drm.bold import BasisReadout, BOLDReadout
from drm.inspection import edges
from drm.network import DRMNet
from drm.orientation import frames_last
from drm.training import Losses

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_activity", "plot_graph", "plot_losses", "plot_responses"]

_EXCITATION, _INHIBITION, _STIMULUS = "#b2182b", "#2166ac", "#777777"
_BEND = 0.15


def _new_axes() -> Axes:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("Pictures need Matplotlib: pip install 'drm[plots]'.") from error
    return pyplot.subplots(layout="constrained")[1]


def _places(net: DRMNet) -> tuple[dict[str, tuple[float, float]], tuple[str, str] | None]:
    """Return where populations are drawn, and the names of the axes where these are places in the brain."""
    positions = [p.position for p in net.populations]
    if all(position is not None for position in positions) and len(positions) > 1:
        places = np.array(positions, dtype=np.float64)
        # The two directions in which the populations lie farthest apart.
        first, second = sorted(np.argsort(np.ptp(places, axis=0), kind="stable")[1:].tolist())
        chosen = {name: (place[first], place[second]) for name, place in zip(net.names, places.tolist(), strict=True)}
        labels = ("x (mm)", "y (mm)", "z (mm)")
        return chosen, (labels[first], labels[second])
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(positions)) / len(positions)
    points = 40 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return {name: (x, y) for name, (x, y) in zip(net.names, points.tolist(), strict=True)}, None


def _clearest(start: np.ndarray, stop: np.ndarray, taken: list[np.ndarray]) -> np.ndarray:
    """Return the place on a bent arrow that is farthest from all that is taken."""
    across = stop - start
    aside = _BEND * np.array([across[1], -across[0]])
    places = [start + t * across + 2 * t * (1 - t) * aside for t in (0.5, 0.58, 0.42, 0.66, 0.34, 0.74, 0.26)]
    return max(places, key=lambda place: min(float(np.linalg.norm(place - other)) for other in taken))


def plot_graph(net: DRMNet, *, stimuli: bool = True, label_edges: bool | None = None, ax: Axes | None = None) -> Axes:
    """Draw a network's graph with its weights and delays, and return the axes.

    An arrow is as wide as the connection is strong (root mean square of its weights), red where
    the mean weight is positive and blue where it is negative, and bears its delay.

    Parameters
    ----------
    net : DRMNet
        Populations are drawn at their positions, in the two directions in which they lie farthest
        apart, or on a circle where one has none.
    stimuli : bool, default True
        Whether stimuli are drawn, as squares to the left of all populations.
    label_edges : bool, optional
        Whether delays are written; by default for up to 20 connections.
    ax : Axes, optional
        Where to draw; new axes by default.

    Returns
    -------
    Axes
    """
    ax = _new_axes() if ax is None else ax
    places, labels = _places(net)
    every = [edge for edge in edges(net) if stimuli or edge.source not in net.stimuli]
    xs, ys = np.array(list(places.values())).T
    extent = max(float(np.ptp(xs)), float(np.ptp(ys)), 1.0)
    at_left = float(xs.min()) - 0.35 * extent
    sources = {}
    if stimuli:
        spread = 0.25 * extent * (len(net.stimuli) - 1) / 2
        heights = np.mean([ys.max(), ys.min()]) + np.linspace(spread, -spread, len(net.stimuli))
        sources = {name: (at_left, float(height)) for name, height in zip(net.stimuli, heights, strict=True)}
    label_edges = len(every) <= 20 if label_edges is None else label_edges
    largest = max((edge.strength for edge in every), default=0.0) or 1.0
    # What labels must keep clear of: nodes with their names, and one another.
    taken = [np.array(place) for place in (*places.values(), *sources.values())]
    taken += [place - np.array([0.0, 0.08 * extent]) for place in taken]
    for edge in every:
        from_stimulus = edge.source in sources
        start = np.array(sources[edge.source] if from_stimulus else places[edge.source])
        stop = np.array(places[edge.target])
        colour = _EXCITATION if edge.mean >= 0 else _INHIBITION
        loop = not from_stimulus and edge.source == edge.target
        if loop:
            # An arrow from a point to itself has no length: it leaves above and comes back beside.
            aside = 0.02 * extent * np.array([1.0, 0.0])
            above = stop + 0.035 * extent * np.array([0.0, 1.0])
            start, stop = above - aside, above + aside
        ax.annotate(
            "",
            xy=tuple(stop),
            xytext=tuple(start),
            arrowprops={
                "arrowstyle": "-|>",
                "color": colour,
                "alpha": 0.8,
                "linewidth": 0.5 + 3.5 * edge.strength / largest,
                "connectionstyle": f"arc3,rad={-2.5 if loop else _BEND}",
                "shrinkA": 2 if loop else 9,
                "shrinkB": 2 if loop else 9,
            },
        )
        if label_edges:
            text = f"{edge.delay:g} ticks" if edge.milliseconds is None else f"{edge.milliseconds:.3g} ms"
            middle = np.array(places[edge.target]) + 0.14 * extent * np.array([0.0, 1.0])
            if not loop:
                middle = _clearest(start, stop, taken)
            taken.append(middle)
            ax.annotate(
                text,
                tuple(middle),
                ha="center",
                va="center",
                fontsize=8,
                color=colour,
                bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            )
    ax.scatter(xs, ys, s=160, color="white", edgecolor="black", zorder=3)
    for place in sources.values():
        ax.scatter(*place, s=160, marker="s", color="white", edgecolor=_STIMULUS, zorder=3)
    # Beneath the nodes: a name may be longer than any node is wide.
    for named, colour in ((places, "black"), (sources, _STIMULUS)):
        for name, place in named.items():
            ax.annotate(
                name,
                place,
                xytext=(0, -9),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=9,
                color=colour,
                zorder=4,
                bbox={"boxstyle": "round,pad=0.05", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
            )
    ax.margins(0.22)
    ax.set_aspect("equal")
    if labels is None:
        ax.set_axis_off()
    else:
        ax.set(xlabel=labels[0], ylabel=labels[1])
    return ax


def plot_activity(
    activity: Any, net: DRMNet, *, resolution: float | None = None, item: int = 0, ax: Axes | None = None
) -> Axes:
    """Draw the activity of all units over time as an image, and return the axes.

    Parameters
    ----------
    activity : Tensor or array, shape (time, batch, unit)
        As `DRMNet.run` and `DRM.forward` give it.
    net : DRMNet
        Its populations are set apart by lines, and named.
    resolution : float, optional
        Length of a tick in milliseconds; without it time is in ticks.
    item : int, default 0
        The batch item to draw.
    ax : Axes, optional
        Where to draw; new axes by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the activity has not three axes, or not the network's units.
    """
    values = frames_last(activity)
    if values.ndim != 3 or values.shape[1] != sum(net.sizes):
        raise ValueError(
            f"Activity must have shape (time, batch, {sum(net.sizes)}), got {np.moveaxis(values, -1, 0).shape}."
        )
    ax = _new_axes() if ax is None else ax
    shown = values[item]
    limit = float(np.abs(shown).max()) or 1.0
    seconds = 1.0 if resolution is None else resolution / 1000
    image = ax.imshow(
        shown,
        aspect="auto",
        interpolation="nearest",
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        extent=(-seconds / 2, (shown.shape[1] - 0.5) * seconds, shown.shape[0] - 0.5, -0.5),
    )
    ends = np.cumsum(net.sizes)
    for end in ends[:-1]:
        ax.axhline(end - 0.5, color="black", linewidth=0.8)
    ax.set_yticks(ends - np.array(net.sizes) / 2 - 0.5, net.names)
    ax.set_xlabel("time (ticks)" if resolution is None else "time (s)")
    ax.figure.colorbar(image, ax=ax, label="activity")
    return ax


@torch.no_grad()
def plot_responses(
    readout: BOLDReadout | BasisReadout, *, names: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw each voxel's haemodynamic response, and return the axes.

    Parameters
    ----------
    readout : BOLDReadout or BasisReadout
    names : sequence of str, optional
        The voxels' names, for a legend.
    ax : Axes, optional
        Where to draw; new axes by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there is not one name for each voxel.
    """
    responses = readout.response.cpu().numpy()
    if names is not None and len(names) != len(responses):
        raise ValueError(f"There are {len(names)} names for {len(responses)} voxels.")
    ax = _new_axes() if ax is None else ax
    seconds = readout.resolution / 1000 * np.arange(responses.shape[1])
    for place, response in enumerate(responses):
        # Per second, so that the height does not depend on the ticks' length.
        label = None if names is None else names[place]
        ax.plot(seconds, response * 1000 / readout.resolution, linewidth=1.5, label=label)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(xlabel="time after a burst of activity (s)", ylabel="response (per second)")
    if names is not None:
        ax.legend(frameon=False)
    return ax


def plot_losses(losses: Losses, *, ax: Axes | None = None) -> Axes:
    """Draw the losses of a training on a logarithmic scale, and return the axes.

    Parameters
    ----------
    losses : Losses
        As `DRM.estimate` gives them.
    ax : Axes, optional
        Where to draw; new axes by default.

    Returns
    -------
    Axes
    """
    ax = _new_axes() if ax is None else ax
    epochs = np.arange(1, len(losses.train) + 1)
    ax.semilogy(epochs, losses.train, label="training")
    if losses.validation is not None:
        ax.semilogy(epochs, losses.validation, label="validation")
        best = int(np.argmin(losses.validation))
        ax.plot(epochs[best], losses.validation[best], "o", color="black", markersize=5, label="restored")
        ax.legend(frameon=False)
    ax.set(xlabel="epoch", ylabel="loss (mean squared error)")
    return ax
