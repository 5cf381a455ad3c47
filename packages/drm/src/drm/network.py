"""The artificial brain: populations, the connections among them, and a readout."""

import json
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from drm.assembly import Assembly, Inlets, can_assemble
from drm.connection import DRMConnection
from drm.distance import LONGEST_DELAY, warn_of_positions
from drm.inspection import summary
from drm.node import DRMNode
from drm.population import DRMPopulation
from drm.readout import DRMReadout

__all__ = ["DRMNet", "UpdateMode", "Watcher"]

UpdateMode = Literal["sync", "sequential", "random", "legacy"]
Watcher = Callable[[dict[str, Tensor], dict[str, Tensor]], None]


class DRMNet(DRMNode):
    """A network of populations that receive a stimulus and one another, seen through a readout.

    At each tick every population receives what its connections deliver. A connection's strength
    is its block of columns in the target's weights: the stimulus first, then the senders in order.

    Parameters
    ----------
    populations : sequence of DRMPopulation
        At least one.
    ws : sequence of DRMConnection or None, one for each population; or mapping of str to these
        Connections from the stimulus; None where a population does not receive it. A mapping has
        such a sequence for each of several named stimuli, which are side by side in the features
        of what `run` takes, in the mapping's order.
    Wp : array of objects or nested sequences, shape (population, population)
        Connections among populations, ``Wp[target, source]``; None where there is none.
    readout : DRMReadout
        Receives the outputs of all populations.
    mode : {"sync", "sequential", "random", "legacy"}, default "sync"
        How populations are updated within a tick. ``sync``: all at once, from the past alone, so
        that their order has no influence (connections without delay are followed in their order).
        ``sequential`` and ``random``: one after the other, in the given order or in one drawn
        anew for each tick, each sending what it last computed. ``legacy``: as ``random``, but all
        outputs are zero at the start of each tick, as in the framework's first implementation,
        which drops about half of what is sent; for comparisons with it only.
    seed : int, default 0
        Seed of the order in ``random`` and ``legacy``, and of the populations' noise.
    vectorised : bool, optional
        Whether all populations of a kind are computed at once over whole stretches of time, which
        is faster and gives the same result. By default it is so wherever possible: in mode
        ``sync``, with delays of at least one tick and without parts that define their own
        `forward`.

    Raises
    ------
    ValueError
        If the parts do not fit together (the message names the population or connection), a cycle
        has no delay, or `vectorised` is asked for where it is not possible.
    TypeError
        If an element of `ws` or `Wp` is neither a connection nor None.

    Examples
    --------
    >>> import torch
    >>> first, second = DRMPopulation(1, 1), DRMPopulation(1, 1)
    >>> for population in (first, second):
    ...     _ = torch.nn.init.ones_(population.weight)
    >>> net = DRMNet(
    ...     [first, second],
    ...     ws=[DRMConnection(), None],
    ...     Wp=[[None, None], [DRMConnection(delay=2), None]],
    ...     readout=DRMReadout(2, 2, weight=torch.eye(2)),
    ... )
    >>> impulse = torch.zeros(5, 1, 1)
    >>> impulse[0] = 1
    >>> responses, activity = net.run(impulse)
    >>> responses[:, 0].argmax(0).tolist()
    [1, 3]
    """

    def __init__(
        self,
        populations: Sequence[DRMPopulation],
        ws: Sequence[DRMConnection | None] | Mapping[str, Sequence[DRMConnection | None]],
        Wp: Any,
        readout: DRMReadout,
        *,
        mode: UpdateMode = "sync",
        seed: int = 0,
        vectorised: bool | None = None,
    ) -> None:
        populations = list(populations)
        named = isinstance(ws, Mapping)
        by_stimulus = {name: list(lines) for name, lines in ws.items()} if named else {"stimulus": list(ws)}
        rows = _check_parts(populations, by_stimulus, Wp, readout)
        stimuli = _stimulus_features(by_stimulus)
        n_features = max((features.stop for features in stimuli.values()), default=0)
        super().__init__(n_in=max(1, n_features), n_out=readout.n_out)
        self.receives_stimulus: bool = n_features > 0
        self.stimuli: dict[str, slice] = stimuli
        self.populations: nn.ModuleList = nn.ModuleList(populations)
        self.readout = readout
        self.ws: list[DRMConnection | None] | dict[str, list[DRMConnection | None]] = (
            by_stimulus if named else by_stimulus["stimulus"]
        )
        self.Wp = rows
        self._inlets: Inlets = [
            [(stimuli[name], line) for name, lines in by_stimulus.items() if (line := lines[i]) is not None]
            for i in range(len(populations))
        ]
        self.connections: nn.ModuleList = nn.ModuleList(
            line for row in [*by_stimulus.values(), *rows] for line in row if line is not None
        )
        _check_widths(self._populations, self._inlets, rows, readout)
        _check_units(self._populations, by_stimulus, rows, readout)
        if mode not in get_args(UpdateMode):
            raise ValueError(f"mode must be one of {get_args(UpdateMode)}, got {mode!r}.")
        self.mode: UpdateMode = mode
        self._order = _order_without_delay(self._populations, rows) if mode == "sync" else None
        self._watchers: dict[int, Watcher] = {}
        self.generator: torch.Generator = torch.Generator().manual_seed(seed)
        self.noise_generator: torch.Generator = torch.Generator().manual_seed(seed)
        possible = mode == "sync" and can_assemble(self._populations, self._inlets, rows)
        if vectorised and not possible:
            raise ValueError(
                "The network cannot be vectorised: that takes mode 'sync', delays of at least one "
                "tick among populations, and parts without their own forward."
            )
        self.vectorised: bool = possible if vectorised is None else vectorised
        self._assembly = Assembly(self._populations, self._inlets, rows, self.n_in) if self.vectorised else None

    @property
    def _populations(self) -> list[DRMPopulation]:
        return list(self.populations)  # pyright: ignore[reportReturnType]

    @property
    def names(self) -> list[str]:
        """The populations' names; a population without one is called by its number."""
        return [_name(self._populations, i) for i in range(len(self.populations))]

    @property
    def sizes(self) -> list[int]:
        """The number of units of each population."""
        return [p.n_out for p in self._populations]

    @property
    def resolution(self) -> float | None:
        """The length of a tick in milliseconds, where a part of the network knows it."""
        parts = [*self.populations, *self.connections, *self.readout.parts()]
        return next((found for part in parts if (found := getattr(part, "resolution", None)) is not None), None)

    def forward(self, x: Tensor | np.ndarray, confounds: Tensor | None = None) -> Tensor:
        """Return the predicted measurements of one tick.

        Parameters
        ----------
        x : Tensor or array, shape (batch, feature)
            The stimulus in this tick; zeros where there is none.
        confounds : Tensor of shape (batch, confound), optional
            Confounds for the readout; NaN where missing.

        Returns
        -------
        Tensor, shape (batch, measurement)

        Raises
        ------
        ValueError
            As for `run`.
        """
        stimulus = torch.as_tensor(x).unsqueeze(0)
        later = None if confounds is None else confounds.unsqueeze(0)
        return self.run(stimulus, later)[0][0]

    def run(
        self, stimulus: Tensor | np.ndarray, confounds: Tensor | None = None, *, ticks: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return predicted measurements and activity for a stretch of time.

        The stretch follows on what was run before, until `reset`.

        Parameters
        ----------
        stimulus : Tensor or array, shape (time, batch, feature)
            The stimulus; zeros where there is none. Without a population that receives it, only
            its time and batch count.
        confounds : Tensor of shape (time, batch, confound), optional
            Confounds for the readout; NaN where missing.
        ticks : Tensor of int, shape (tick,), optional
            Places in the stretch whose measurements are wanted; all by default. Of a few, less is
            computed and held.

        Returns
        -------
        responses : Tensor, shape (time, batch, measurement) or (tick, batch, measurement)
        activity : Tensor, shape (time, batch, unit)
            Outputs of all units, population after population.

        Raises
        ------
        ValueError
            If the stimulus has not three axes, no tick, other features than the net expects,
            another batch size than before, or values that are not finite; if confounds are given
            or missing against what the readout expects.
        """
        reference = self._populations[0].weight
        stimulus = torch.as_tensor(stimulus).to(device=reference.device, dtype=reference.dtype)
        self._check_stimulus(stimulus)
        if confounds is not None:
            confounds = confounds.to(device=reference.device, dtype=reference.dtype)
        noise = self._draw_noise(stimulus)
        if self._assembly is not None:
            activity = self._run_vectorised(self._assembly, stimulus, noise)
        else:
            activity = self._run_one_by_one(stimulus, noise)
        responses = self._read(activity, confounds, None if ticks is None else ticks.to(activity.device))
        for watcher in list(self._watchers.values()):
            watcher(dict(zip(self.names, activity.split(self.sizes, dim=-1), strict=True)), self.population_states())
        return responses, activity

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Have a function called after each stretch of time that is run, and return what ends that.

        Parameters
        ----------
        watcher : callable
            Takes two dicts by the populations' names: the activity (time, batch, unit) of the
            stretch, and the state after its last tick, as `population_states` gives it. To see
            the states of every tick, call the network tick by tick. It is not copied or pickled
            with the network.

        Returns
        -------
        callable
            Without arguments; afterwards the function is no longer called.
        """
        key = max(self._watchers, default=-1) + 1
        self._watchers[key] = watcher

        def end() -> None:
            self._watchers.pop(key, None)

        return end

    def population_states(self) -> dict[str, Tensor]:
        """Return the inner state of each population after the last tick, cut out of the gradient's history.

        Returns
        -------
        dict of str to Tensor, each of shape (n_state, unit, batch)
            By the populations' names; empty before the first tick. What the states are is said by
            each kind: the cell of an LSTM, the variables of a neural mass.
        """
        if not self._memory:
            return {}
        if self._assembly is None:
            memories = [p._memory for p in self._populations]
            return {name: m[0].detach() for name, m in zip(self.names, memories, strict=True) if m}
        found: dict[int, Tensor] = {}
        for members, state in zip(self._assembly.members, self._memory[2:], strict=True):
            parts = state.detach().split([self.sizes[i] for i in members], dim=1)
            found |= dict(zip(members, parts, strict=True))
        return {name: found[i] for i, name in enumerate(self.names)}

    def summary(self) -> str:
        """Return a table of populations and connections, as `drm.summary`.

        Returns
        -------
        str
        """
        return summary(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_watchers": {}}

    def _check_stimulus(self, stimulus: Tensor) -> None:
        if stimulus.ndim != 3 or stimulus.shape[0] < 1 or stimulus.shape[1] < 1:
            raise ValueError(
                "The stimulus must have shape (time, batch, feature) with at least one tick and "
                f"one batch item, got {tuple(stimulus.shape)}."
            )
        if self.receives_stimulus and stimulus.shape[2] != self.n_in:
            raise ValueError(f"The network expects {self.n_in} stimulus features, got {stimulus.shape[2]}.")
        # Tensors without values, which give shapes alone, cannot be asked.
        if not stimulus.is_meta and not bool(torch.isfinite(stimulus).all()):
            raise ValueError("The stimulus must be finite; use zeros where there is none.")
        if self._memory:
            before = self._memory[-1].shape[-1] if self.vectorised else self._memory[0].shape[0]
            if before != stimulus.shape[1]:
                raise ValueError(
                    f"The state is that of {before} batch items, the stimulus has "
                    f"{stimulus.shape[1]}; call reset first."
                )

    def _draw_noise(self, stimulus: Tensor) -> Tensor | None:
        """Return standard normal numbers (time, batch, drive) for all populations with noise."""
        n_drives = sum(p.n_drive * p.n_out for p in self._populations if p.noise is not None)
        if n_drives == 0:
            return None
        # Tick by tick, and on the host in single precision: the numbers are then the same however
        # time is cut, on every device and in every precision.
        noise = torch.empty(*stimulus.shape[:2], n_drives)
        for tick in noise:
            tick.normal_(generator=self.noise_generator)
        return noise.to(stimulus)

    def _run_vectorised(self, assembly: Assembly, stimulus: Tensor, noise: Tensor | None) -> Tensor:
        if not self.receives_stimulus:
            stimulus = stimulus.new_zeros(*stimulus.shape[:2], self.n_in)
        memory = self._memory or assembly.initial_memory(self._populations, stimulus.shape[1])
        memory = tuple(x.to(stimulus) for x in memory)
        activity, self._memory = assembly.run(self._populations, stimulus, memory, noise)
        return activity

    def _run_one_by_one(self, stimulus: Tensor, noise: Tensor | None) -> Tensor:
        batch = stimulus.shape[1]
        outputs = list(self._memory) or self._silence(stimulus, batch)
        sizes = [0 if p.noise is None else p.n_drive * p.n_out for p in self._populations]
        given = [None] * stimulus.shape[0] if noise is None else list(noise)
        ticks = []
        for x, drawn in zip(stimulus, given, strict=True):
            shares = [None] * len(sizes) if drawn is None else list(drawn.split(sizes, dim=-1))
            outputs = self._tick_sync(x, outputs, shares) if self._order else self._tick(x, outputs, shares)
            ticks.append(torch.cat(outputs, dim=-1))
        self._memory = tuple(outputs)
        return torch.stack(ticks)

    def _silence(self, like: Tensor, batch: int) -> list[Tensor]:
        return [like.new_zeros(batch, p.n_out) for p in self._populations]

    def _respond(self, index: int, arriving: list[Tensor], noise: Tensor | None) -> Tensor:
        population = self._populations[index]
        # A population without noise may have a forward of its own, which knows of none.
        return population(arriving) if population.noise is None else population(arriving, noise)

    def _tick_sync(self, x: Tensor, outputs: list[Tensor], noise: Sequence[Tensor | None]) -> list[Tensor]:
        outputs = list(outputs)
        for i in self._order or ():
            arriving = [line(x[:, features]) for features, line in self._inlets[i]]
            arriving += [line.read(outputs[j]) for j, line in enumerate(self.Wp[i]) if line is not None]
            # Nothing reads this output at this tick but connections without delay, which come
            # later in the order: all others read what was sent in ticks before.
            outputs[i] = self._respond(i, arriving, noise[i])
        for row in self.Wp:
            for j, line in enumerate(row):
                if line is not None:
                    line.push(outputs[j])
        return outputs

    def _tick(self, x: Tensor, outputs: list[Tensor], noise: Sequence[Tensor | None]) -> list[Tensor]:
        order = range(len(self.populations))
        if self.mode != "sequential":
            order = torch.randperm(len(self.populations), generator=self.generator).tolist()
        outputs = self._silence(x, x.shape[0]) if self.mode == "legacy" else list(outputs)
        for i in order:
            arriving = [line(x[:, features]) for features, line in self._inlets[i]]
            arriving += [line(outputs[j]) for j, line in enumerate(self.Wp[i]) if line is not None]
            outputs[i] = self._respond(i, arriving, noise[i])
        return outputs

    def _read(self, activity: Tensor, confounds: Tensor | None, ticks: Tensor | None) -> Tensor:
        if type(self.readout).forward is DRMReadout.forward:
            return self.readout.run(activity, confounds, ticks)
        given = [None] * activity.shape[0] if confounds is None else list(confounds)
        each = zip(activity, given, strict=True)
        responses = torch.stack([self.readout(x.split(self.sizes, dim=-1), c) for x, c in each])
        return responses if ticks is None else responses[ticks]

    def _nodes(self) -> list[DRMNode]:
        parts = self.readout.parts()
        lagged = [part.lagged for part in parts if part.lagged is not None]
        # What populations and connections of a vectorised network would remember, it remembers itself: to visit
        # the 100,000 connections of a whole brain takes longer than some of its runs.
        visited = [] if self.vectorised else [*self.populations, *self.connections]
        return [*visited, *parts, *lagged]  # pyright: ignore

    @property
    def state(self) -> tuple[tuple[Tensor, ...], ...]:
        """All that is remembered between two ticks, cut out of the gradient's history.

        Setting it takes the network back to that moment, its random numbers included.
        """
        memories = [tuple(x.detach() for x in node._memory) for node in (self, *self._nodes())]
        return (*memories, self.random_state)

    @state.setter
    def state(self, state: tuple[tuple[Tensor, ...], ...]) -> None:
        *memories, self.random_state = state
        for node, memory in zip((self, *self._nodes()), memories, strict=True):
            node._memory = memory

    @property
    def random_state(self) -> tuple[Tensor, ...]:
        """The states of the generators of orders and of noise; setting it takes them back."""
        return (self.generator.get_state(), self.noise_generator.get_state())

    @random_state.setter
    def random_state(self, random_state: tuple[Tensor, ...]) -> None:
        for generator, state in zip((self.generator, self.noise_generator), random_state, strict=True):
            generator.set_state(state)

    def _by_stimulus(self) -> dict[str, list[DRMConnection | None]]:
        return self.ws if isinstance(self.ws, dict) else {"stimulus": self.ws}

    def signature(self) -> str:
        """Return a text that two networks share if and only if they are built alike.

        Returns
        -------
        str
            JSON: the populations' names, kinds, sizes and settings, the delays ``ws`` and ``Wp`` in
            ticks (null for no connection), the readout, the order of updates, and the shape of
            everything that a `state_dict` holds.
        """

        def delay(line: DRMConnection | None) -> int | None:
            return None if line is None else line.delay

        description = {
            "populations": [
                {"name": name, "kind": f"{type(p).__name__}({p.extra_repr()})"}
                for name, p in zip(self.names, self._populations, strict=True)
            ],
            "ws": {name: [delay(line) for line in lines] for name, lines in self._by_stimulus().items()},
            "Wp": [[delay(line) for line in row] for row in self.Wp],
            "readout": [f"{type(part).__name__}({part.extra_repr()})" for part in self.readout.parts()],
            "mode": self.mode,
            "shapes": {name: list(value.shape) for name, value in self.state_dict().items()},
        }
        return json.dumps(description)

    def reset(self) -> None:
        """Forget the state of the network and of all its parts."""
        super().reset()
        for node in self._nodes():
            node.reset()

    def detach_(self) -> None:
        """Cut the state of the network and of all its parts out of the gradient's history."""
        super().detach_()
        for node in self._nodes():
            node.detach_()


def _name(populations: Sequence[DRMPopulation], index: int) -> str:
    name = populations[index].name
    return f"population {index}" if name is None else name


def _check_parts(
    populations: list[DRMPopulation], by_stimulus: dict[str, list[Any]], Wp: Any, readout: Any
) -> list[list[DRMConnection | None]]:
    if not populations:
        raise ValueError("A network needs at least one population.")
    for i, population in enumerate(populations):
        if not isinstance(population, DRMPopulation):
            raise TypeError(f"populations[{i}] must be a DRMPopulation, got {population!r}.")
    if len({id(population) for population in populations}) < len(populations):
        raise ValueError("Each population may stand in a network only once.")
    if not isinstance(readout, DRMReadout):
        raise TypeError(f"The readout must be a DRMReadout, got {readout!r}.")
    n = len(populations)
    for name, lines in by_stimulus.items():
        if len(lines) != n:
            raise ValueError(
                f"ws must have one element for each of {n} populations, got {len(lines)} for the stimulus {name!r}."
            )
    rows = [list(row) for row in Wp]
    if len(rows) != n or any(len(row) != n for row in rows):
        lengths = [len(row) for row in rows]
        raise ValueError(f"Wp must be {n} x {n} (target, source), got rows of lengths {lengths}.")
    seen: dict[int, str] = {}
    places = [(f"ws[{i}]", line) for lines in by_stimulus.values() for i, line in enumerate(lines)]
    places += [(f"Wp[{i}, {j}]", line) for i, row in enumerate(rows) for j, line in enumerate(row)]
    for place, line in places:
        if line is None:
            continue
        if not isinstance(line, DRMConnection):
            raise TypeError(f"{place} must be a DRMConnection or None, got {line!r}.")
        if id(line) in seen:
            raise ValueError(
                f"{place} is the same connection as {seen[id(line)]}: each keeps what is under "
                "way, so that none can serve two places."
            )
        seen[id(line)] = place
    return rows


def _stimulus_features(by_stimulus: dict[str, list[DRMConnection | None]]) -> dict[str, slice]:
    """Return where each stimulus stands among the features of what a network is given."""
    features: dict[str, slice] = {}
    start = 0
    for name, lines in by_stimulus.items():
        widths = {line.n_in for line in lines if line is not None}
        if len(widths) > 1:
            raise ValueError(
                f"All connections from the {name} must have the same n_in, the number of its features; "
                f"got {sorted(widths)}."
            )
        if not widths and len(by_stimulus) > 1:
            raise ValueError(f"No population receives the stimulus {name!r}.")
        width = widths.pop() if widths else 0
        features[name] = slice(start, start + width)
        start += width
    return features


def _check_units(
    populations: list[DRMPopulation],
    by_stimulus: dict[str, list[DRMConnection | None]],
    rows: list[list[DRMConnection | None]],
    readout: DRMReadout,
) -> None:
    """Refuse parts with ticks of different lengths, and warn of times and places no brain has."""
    names = [_name(populations, i) for i in range(len(populations))]
    parts: list[tuple[str, Any]] = list(zip(names, populations, strict=True))
    parts += [(f"Wp[{i}, {j}]", line) for i, row in enumerate(rows) for j, line in enumerate(row) if line is not None]
    parts += [
        (f"the connection from the {name} to {names[i]}", line)
        for name, lines in by_stimulus.items()
        for i, line in enumerate(lines)
        if line is not None
    ]
    parts += [("the readout", part) for part in readout.parts()]
    lengths = {place: length for place, part in parts if (length := getattr(part, "resolution", None)) is not None}
    if len(set(lengths.values())) > 1:
        first = next(iter(lengths))
        second = next(place for place in lengths if lengths[place] != lengths[first])
        raise ValueError(
            f"All parts of a network share its ticks, but those of {first} last {lengths[first]} ms and those of "
            f"{second} {lengths[second]} ms."
        )
    resolution = next(iter(lengths.values()), None)
    if resolution is not None:
        _warn_of_delays(names, rows, resolution)
    placed = {name: p.position for name, p in zip(names, populations, strict=True) if p.position is not None}
    warn_of_positions(placed, stacklevel=4)


def _warn_of_delays(names: list[str], rows: list[list[DRMConnection | None]], resolution: float) -> None:
    slow = [
        (line.delay, i, j)
        for i, row in enumerate(rows)
        for j, line in enumerate(row)
        if line is not None and i != j and line.coefficients() is None and line.delay * resolution > LONGEST_DELAY
    ]
    if slow:
        delay, i, j = max(slow, key=operator.itemgetter(0))
        warnings.warn(
            f"{len(slow)} connections take more than {LONGEST_DELAY:g} ms, the longest, from {names[j]} to {names[i]}, "
            f"{delay * resolution:g} ms ({delay} ticks of {resolution:g} ms); between cortical areas it takes "
            "milliseconds to tens of them. Are the delays in ticks?",
            stacklevel=4,
        )


def _check_widths(
    populations: list[DRMPopulation],
    inlets: Inlets,
    rows: list[list[DRMConnection | None]],
    readout: DRMReadout,
) -> None:
    for i, population in enumerate(populations):
        expected = sum(line.n_out for _, line in inlets[i])
        for j, line in enumerate(rows[i]):
            if line is None:
                continue
            if line.n_in != populations[j].n_out:
                raise ValueError(
                    f"Wp[{i}, {j}] carries {line.n_in} features, but its source "
                    f"{_name(populations, j)} has {populations[j].n_out} units."
                )
            expected += line.n_out
        if expected == 0:
            raise ValueError(
                f"{_name(populations, i)} receives nothing: it needs a connection from the stimulus or a population."
            )
        if population.n_in != expected:
            raise ValueError(
                f"{_name(populations, i)} expects {population.n_in} afferent features, but its "
                f"connections deliver {expected}."
            )
    n_units = sum(p.n_out for p in populations)
    if readout.n_in != n_units:
        raise ValueError(f"The readout expects {readout.n_in} units, but the populations have {n_units}.")


def _order_without_delay(populations: list[DRMPopulation], rows: list[list[DRMConnection | None]]) -> list[int]:
    """Return an order in which connections without delay lead from earlier to later."""
    waits = [{j for j, line in enumerate(row) if line is not None and min(line.lags) == 0} for row in rows]
    order: list[int] = []
    remaining = list(range(len(rows)))
    while remaining:
        ready = [i for i in remaining if not waits[i] & set(remaining)]
        if not ready:
            cycle = _cycle(waits, remaining)
            path = " -> ".join(_name(populations, i) for i in cycle)
            raise ValueError(
                f"Connections without delay form a cycle: {path}. At least one of them needs a delay of one tick."
            )
        order += ready
        remaining = [i for i in remaining if i not in ready]
    return order


def _cycle(waits: list[set[int]], remaining: list[int]) -> list[int]:
    """Return a cycle among nodes that all wait for another of them, in the direction of travel."""
    among = set(remaining)
    path = [remaining[0]]
    while True:
        source = min(waits[path[-1]] & among)
        if source in path:
            return [source, *reversed(path[path.index(source) :])]
        path.append(source)
