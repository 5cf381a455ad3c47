"""What a network is made of, and what flows through its connections."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from drm.connection import DRMConnection
    from drm.network import DRMNet

__all__ = ["Edge", "currents", "edges", "summary", "to_dot"]


class Edge(NamedTuple):
    """A connection of a network.

    Attributes
    ----------
    source : str
        Name of the stimulus or population that sends.
    target : str
        Name of the population that receives.
    delay : float
        In ticks; with learned delays their present value.
    milliseconds : float or None
        The same in milliseconds, where a part of the network knows how long a tick is.
    strength : float
        Root mean square of the weights.
    mean : float
        Mean of the weights.
    """

    source: str
    target: str
    delay: float
    milliseconds: float | None
    strength: float
    mean: float


def _lines(net: DRMNet) -> list[tuple[str, int, slice, slice, DRMConnection]]:
    """Return sender, receiver, the sender's place among its features, the weights' columns and the line, for all."""
    found = []
    stops = torch.tensor(net.sizes).cumsum(0).tolist()
    by_stimulus = net.ws if isinstance(net.ws, dict) else {"stimulus": net.ws}
    for i, row in enumerate(net.Wp):
        start = 0
        senders = [(name, net.stimuli[name], lines[i]) for name, lines in by_stimulus.items()]
        senders += [(net.names[j], slice(stops[j] - net.sizes[j], stops[j]), line) for j, line in enumerate(row)]
        for name, place, line in senders:
            if line is not None:
                found.append((name, i, place, slice(start, start + line.n_out), line))
                start += line.n_out
    return found


def _block(net: DRMNet, target: int, columns: slice, line: DRMConnection) -> Tensor:
    """Return the weights from the sender's features to the receiver's drive."""
    block = net.populations[target].input_weights()[:, columns]  # pyright: ignore
    return block if line.projection is None else block @ line.projection


def _delay(line: DRMConnection) -> float:
    shares = line.coefficients()
    if shares is None:
        return float(line.delay)
    return float(shares.detach() @ torch.tensor(line.lags).to(shares))


@torch.no_grad()
def edges(net: DRMNet) -> list[Edge]:
    """Return all connections of a network with their delays and strengths.

    Parameters
    ----------
    net : DRMNet

    Returns
    -------
    list of Edge
        Target after target; those from stimuli come before those from populations.

    Examples
    --------
    >>> from drm import DRMConnection, DRMNet, DRMPopulation, DRMReadout
    >>> net = DRMNet([DRMPopulation(1, 1, name="V1")], [DRMConnection(delay=2)], [[None]], DRMReadout())
    >>> [(edge.source, edge.target, edge.delay) for edge in edges(net)]
    [('stimulus', 'V1', 2.0)]
    """
    resolution = net.resolution
    found = []
    for name, i, _, columns, line in _lines(net):
        block = _block(net, i, columns, line)
        delay = _delay(line)
        milliseconds = None if resolution is None else delay * resolution
        strength = float(block.square().mean().sqrt())
        found.append(Edge(name, net.names[i], delay, milliseconds, strength, float(block.mean())))
    return found


@torch.no_grad()
def currents(net: DRMNet, stimulus: Tensor, activity: Tensor) -> dict[tuple[str, str], Tensor]:
    """Return what each connection contributes to its target's drive, over time.

    The drive of a population is the sum of these currents, its bias, the noise, and what gated
    units receive of themselves. Large activity does not show who causes it; currents do.

    Parameters
    ----------
    net : DRMNet
    stimulus : Tensor, shape (time, batch, feature)
        What the network was given, from the initial state on.
    activity : Tensor, shape (time, batch, unit)
        What it answered, as `DRMNet.run` and `DRM.forward` return it. The activity of a brain may
        stand here too, when the network has a unit for each of its recorded ones.

    Returns
    -------
    dict of (str, str) to Tensor of shape (time, batch, n_drive * unit)
        For each (target, source).

    Raises
    ------
    ValueError
        If the shapes do not fit the network.

    References
    ----------
    Perich et al. (2020), bioRxiv, doi:10.1101/2020.12.18.423348 (CURBD).

    Examples
    --------
    >>> import torch
    >>> from drm import DRMConnection, DRMNet, DRMPopulation, DRMReadout
    >>> net = DRMNet([DRMPopulation(1, 1, name="V1")], [DRMConnection(delay=1)], [[None]], DRMReadout())
    >>> _ = torch.nn.init.constant_(net.populations[0].weight, 2.0)
    >>> stimulus = torch.tensor([1.0, 3.0]).view(2, 1, 1)
    >>> _, activity = net.run(stimulus)
    >>> currents(net, stimulus, activity)["V1", "stimulus"].flatten().tolist()
    [0.0, 2.0]
    """
    n_units = sum(net.sizes)
    fits = stimulus.ndim == activity.ndim == 3 and stimulus.shape[:2] == activity.shape[:2]
    if not fits or activity.shape[2] != n_units or (net.receives_stimulus and stimulus.shape[2] != net.n_in):
        raise ValueError(
            f"Stimulus and activity must have shapes (time, batch, {net.n_in}) and (time, batch, {n_units}), got "
            f"{tuple(stimulus.shape)} and {tuple(activity.shape)}."
        )
    found: dict[tuple[str, str], Tensor] = {}
    by_stimulus = set(net.stimuli)
    for name, i, place, columns, line in _lines(net):
        key = (net.names[i], name)
        # A population may bear a stimulus's name: stimuli come first in a target's list.
        sent = (stimulus if name in by_stimulus and key not in found else activity)[..., place]
        shares = line.coefficients()
        weights = [1.0] if shares is None else shares.tolist()
        arriving = torch.zeros_like(sent)
        for lag, weight in zip(line.lags, weights, strict=True):
            arriving = arriving + weight * functional.pad(sent, (0, 0, 0, 0, lag, 0))[: sent.shape[0]]
        found[key] = functional.linear(arriving, _block(net, i, columns, line).to(arriving))
    return found


def summary(net: DRMNet) -> str:
    """Return a table of a network's populations and connections, as text.

    Parameters
    ----------
    net : DRMNet

    Returns
    -------
    str
        Populations with kind, number of units, place and what they send (Dale's law holds where
        all weights of a sender have one sign); connections with delay and strength, up to 40 of
        them; the readout; the number of parameters.
    """
    sends: dict[str, set[str]] = {name: set() for name in net.names}
    with torch.no_grad():
        for name, i, _, columns, line in _lines(net):
            block = _block(net, i, columns, line)
            if name in sends:
                sends[name] |= {word for word, there in (("+", block > 0), ("-", block < 0)) if bool(there.any())}
    words = {"": "nothing", "+": "excitation", "-": "inhibition", "+-": "both"}
    lines = ["populations"]
    for name, population in zip(net.names, net.populations, strict=True):
        position: tuple[float, ...] | None = population.position  # pyright: ignore
        place = "" if position is None else " at (" + ", ".join(f"{x:g}" for x in position) + ") mm"
        unit = f" in {population.unit}" if population.unit else ""
        sent = words["".join(sorted(sends[name]))]
        lines.append(f"  {name}: {type(population).__name__}, {population.n_out} units{unit}{place}, sends {sent}")
    every = edges(net)
    lines.append(f"connections ({len(every)})")
    for edge in every[:40]:
        time = f"{edge.delay:g} ticks" if edge.milliseconds is None else f"{edge.milliseconds:g} ms"
        lines.append(f"  {edge.source} -> {edge.target}: {time}, strength {edge.strength:.3g}, mean {edge.mean:+.3g}")
    if len(every) > 40:
        lines.append(f"  and {len(every) - 40} more")
    lines += [f"readout {type(part).__name__}({part.extra_repr()})" for part in net.readout.parts()]
    learned = sum(p.numel() for p in net.parameters() if p.requires_grad)
    fixed = sum(p.numel() for p in net.parameters() if not p.requires_grad)
    lines.append(f"{learned} parameters are learned, {fixed} fixed; update mode {net.mode}")
    return "\n".join(lines)


def to_dot(net: DRMNet) -> str:
    """Return a network's graph in the language of Graphviz.

    Parameters
    ----------
    net : DRMNet

    Returns
    -------
    str
        A digraph; edges bear their delays, and are drawn wider the stronger they are.
    """
    every = edges(net)
    largest = max((edge.strength for edge in every), default=0.0) or 1.0
    lines = ["digraph {"]
    # A stimulus and a population may share a name: nodes are called by number.
    names = [("stimulus", name) for name in net.stimuli] + [("population", name) for name in net.names]
    for number, (what, name) in enumerate(names):
        shape = "box" if what == "stimulus" else "ellipse"
        lines.append(f"  n{number} [label={json.dumps(name)}, shape={shape}];")
    for (name, i, _, _, _), edge in zip(_lines(net), every, strict=True):
        from_stimulus = edge.source in net.stimuli and edge.source not in net.names
        source = names.index(("stimulus" if from_stimulus else "population", name))
        label = f"{edge.delay:g}" if edge.milliseconds is None else f"{edge.milliseconds:g} ms"
        width = 0.3 + 3 * edge.strength / largest
        target = len(net.stimuli) + i
        lines.append(f'  n{source} -> n{target} [label="{label}", penwidth={width:.2f}];')
    return "\n".join([*lines, "}"])
