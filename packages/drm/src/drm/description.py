"""A network as plain text: what it is made of, without its weights."""

import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from drm.balloon import BalloonReadout
from drm.bold import BasisReadout, BOLDReadout
from drm.connection import DRMConnection
from drm.gated import GRUPopulation, LSTMPopulation
from drm.haemodynamics import CANONICAL
from drm.joint import JointReadout
from drm.learned_delay import LearnedDelayConnection, TractConnection, Velocity
from drm.loss import DRMLoss
from drm.low_rank import LowRankConnection
from drm.network import DRMNet
from drm.neural_mass import (
    HopfPopulation,
    JansenRitPopulation,
    NeuralMassPopulation,
    WilsonCowanPopulation,
    WongWangPopulation,
)
from drm.population import DRMPopulation
from drm.rate import LeakyRatePopulation
from drm.readout import DRMReadout
from drm.training import DRM

__all__ = ["build", "describe", "load_description", "save_description"]

_POPULATIONS: dict[str, type[DRMPopulation]] = {
    kind.__name__: kind
    for kind in (
        DRMPopulation,
        LeakyRatePopulation,
        GRUPopulation,
        LSTMPopulation,
        WilsonCowanPopulation,
        JansenRitPopulation,
        WongWangPopulation,
        HopfPopulation,
    )
}
_READOUTS: dict[str, type[DRMReadout]] = {
    kind.__name__: kind for kind in (DRMReadout, BOLDReadout, BasisReadout, BalloonReadout)
}


def describe(net: DRMNet | DRM) -> dict[str, Any]:
    """Return what a network is made of, as numbers, text, lists and dicts.

    Constants that are learned are given with their present values. Weights are left out: they are
    in the network's `state_dict`.

    Parameters
    ----------
    net : DRMNet or DRM
        Of this package's own kinds of populations, connections and readouts.

    Returns
    -------
    dict
        With ``stimuli`` (features of each), ``populations``, ``connections``, ``readout`` and
        ``mode``; of a `DRM` also ``training``, the keywords with which to make it again. What has
        its default value is left out. `build` makes a network of it, `save_description` a JSON or
        TOML file.

    Raises
    ------
    ValueError
        If a part is of a kind of the user's own, two populations share a name, a readout has a
        loss of its own, or a `DRM` has another loss than `DRMLoss` or optimiser than Adam.

    Examples
    --------
    >>> from drm import DRMConnection, DRMNet, DRMPopulation, DRMReadout
    >>> net = DRMNet([DRMPopulation(1, 2, name="V1")], [DRMConnection(delay=2)], [[None]], DRMReadout(2, 1))
    >>> describe(net)["populations"], describe(net)["connections"]
    ([{'name': 'V1', 'kind': 'DRMPopulation', 'n_out': 2}], [{'stimulus': 'stimulus', 'target': 'V1', 'delay': 2}])
    """
    if isinstance(net, DRM):
        for what, part, known in (("loss", net.loss, DRMLoss), ("optimiser", net.optimizer, torch.optim.Adam)):
            if type(part) is not known:
                raise ValueError(f"A description knows of no {what} but {known.__name__}, got {type(part).__name__}.")
        return {**describe(net.net), "training": net.settings}
    if len(set(net.names)) < len(net.names):
        raise ValueError(f"Populations need names of their own to be described, got {net.names}.")
    shared = _Shared()
    by_stimulus = net.ws if isinstance(net.ws, dict) else {"stimulus": net.ws}
    connections = [
        {"stimulus": name, "target": net.names[i], **_of_line(line, shared)}
        for name, lines in by_stimulus.items()
        for i, line in enumerate(lines)
        if line is not None
    ]
    connections += [
        {"source": net.names[j], "target": net.names[i], **_of_line(line, shared)}
        for i, row in enumerate(net.Wp)
        for j, line in enumerate(row)
        if line is not None
    ]
    populations: list[DRMPopulation] = list(net.populations)  # pyright: ignore[reportAssignmentType]
    found: dict[str, Any] = {
        "mode": net.mode,
        "stimuli": {name: part.stop - part.start for name, part in net.stimuli.items()},
        "populations": [_of_population(name, p) for name, p in zip(net.names, populations, strict=True)],
        "connections": connections,
        "readout": _of_readout(net.readout),
    }
    if shared.velocities:
        found["velocities"] = {name: float(v().detach()) for name, v in shared.velocities.items()}
    return found


def build(description: Mapping[str, Any], *, generator: torch.Generator | None = None, seed: int = 0) -> DRMNet:
    """Return the network that a description tells of, with new weights.

    Parameters
    ----------
    description : mapping
        As `describe` gives it. The sizes of inputs are not in it: they follow from the connections.
        What it says of ``training`` is not used: ``DRM(net, **description["training"])`` takes it.
    generator : torch.Generator, optional
        Source of the initial weights; the global generator of torch when not given.
    seed : int, default 0
        As for `drm.DRMNet`.

    Returns
    -------
    DRMNet

    Raises
    ------
    ValueError
        If a key or kind is missing or unknown, or the parts do not fit together; the message names
        the part.

    Examples
    --------
    >>> net = build({
    ...     "stimuli": {"flash": 1},
    ...     "populations": [{"name": "V1", "kind": "DRMPopulation", "n_out": 2}],
    ...     "connections": [{"stimulus": "flash", "target": "V1", "delay": 1}],
    ...     "readout": {"kind": "DRMReadout", "n_out": 3},
    ... })
    >>> net.names, net.populations[0].n_in, net.readout.n_out
    (['V1'], 1, 3)
    """
    known = {"mode", "stimuli", "populations", "connections", "readout", "velocities", "training"}
    unknown = sorted(set(description) - known)
    if unknown:
        raise ValueError(f"A description has no {unknown}.")
    stimuli = _key(description, "stimuli", "The description")
    if not isinstance(stimuli, Mapping) or not all(isinstance(width, int) for width in stimuli.values()):
        raise ValueError(f"stimuli are names with their numbers of features, got {stimuli!r}.")
    tables = [dict(table) for table in _key(description, "populations", "The description")]
    names = [str(_key(table, "name", "A population")) for table in tables]
    if len(set(names)) < len(names):
        raise ValueError(f"Populations need names of their own, got {names}.")
    sizes = [int(table.get("n_out", 1)) for table in tables]
    velocities = {name: Velocity(float(value)) for name, value in description.get("velocities", {}).items()}
    shared = _Shared(velocities)
    by_stimulus: dict[str, list[DRMConnection | None]] = {name: [None] * len(names) for name in stimuli}
    rows: list[list[DRMConnection | None]] = [[None] * len(names) for _ in names]
    for table in _key(description, "connections", "The description"):
        target = _place(names, _key(table, "target", "A connection"), "target", table)
        if ("stimulus" in table) is ("source" in table):
            raise ValueError(f"A connection comes from a stimulus or a source, got {dict(table)}.")
        if "stimulus" in table:
            row = by_stimulus.get(table["stimulus"])
            if row is None:
                raise ValueError(f"There is no stimulus {table['stimulus']!r}, only {list(stimuli)}.")
            place, width = target, int(stimuli[table["stimulus"]])
        else:
            row, place = rows[target], _place(names, table["source"], "source", table)
            width = sizes[place]
        if row[place] is not None:
            raise ValueError(f"There are two connections for {dict(table)}.")
        row[place] = _line(table, width, shared, generator)
    populations = []
    for i, table in enumerate(tables):
        arriving = [lines[i] for lines in by_stimulus.values()] + rows[i]
        n_in = sum(line.n_out for line in arriving if line is not None)
        if n_in == 0:
            raise ValueError(f"{names[i]} receives nothing.")
        populations.append(_population(table, n_in, generator))
    readout = _readout(dict(_key(description, "readout", "The description")), sum(sizes), generator)
    ws = by_stimulus if list(by_stimulus) != ["stimulus"] else by_stimulus["stimulus"]
    return DRMNet(populations, ws, rows, readout, mode=description.get("mode", "sync"), seed=seed)


def save_description(description: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a description to a file, as JSON or TOML by the name's end.

    Parameters
    ----------
    description : mapping
        As `describe` gives it.
    path : path
        Ends in ``.json`` or ``.toml``; its folder must exist. An older file of that name stays
        whole until the new one is complete.

    Raises
    ------
    ValueError
        If the name ends otherwise.
    OSError
        If the file cannot be written.
    """
    target = Path(path)
    if target.suffix == ".json":
        text = json.dumps(description, indent=2) + "\n"
    elif target.suffix == ".toml":
        text = _toml(description)
    else:
        raise ValueError(f"A description is written to a .json or .toml file, not {target.name}.")
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def load_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the description that a JSON or TOML file holds.

    Parameters
    ----------
    path : path
        Ends in ``.json`` or ``.toml``.

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the name ends otherwise, or the file does not hold what its name says.
    """
    source = Path(path)
    readers = {".json": json.loads, ".toml": tomllib.loads}
    if source.suffix not in readers:
        raise ValueError(f"A description is read from a .json or .toml file, not {source.name}.")
    text = source.read_text(encoding="utf-8")
    try:
        found = readers[source.suffix](text)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} is not {source.suffix[1:].upper()}: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{os.fspath(path)} holds no description, but a {type(found).__name__}.")
    return found


class _Shared:
    """What several connections share, by name."""

    def __init__(self, velocities: dict[str, Velocity] | None = None) -> None:
        self.velocities: dict[str, Velocity] = velocities or {}
        self.projections: dict[str, nn.Parameter] = {}

    def velocity(self, velocity: Velocity) -> str:
        for name, known in self.velocities.items():
            if known is velocity:
                return name
        name = f"velocity {len(self.velocities)}"
        self.velocities[name] = velocity
        return name

    def projection(self, projection: nn.Parameter) -> str:
        for name, known in self.projections.items():
            if known is projection:
                return name
        name = f"projection {len(self.projections)}"
        self.projections[name] = projection
        return name


def _key(table: Mapping[str, Any], key: str, what: str) -> Any:
    if key not in table:
        raise ValueError(f"{what} needs {key!r}, got {sorted(table)}.")
    return table[key]


def _place(names: list[str], name: str, what: str, table: Mapping[str, Any]) -> int:
    if name not in names:
        raise ValueError(f"There is no {what} {name!r} of {dict(table)}, only {names}.")
    return names.index(name)


def _plain(values: Tensor) -> Any:
    """Return one number where all are equal, else a list."""
    values = values.detach().cpu().double()
    return float(values.flatten()[0]) if bool((values == values.flatten()[0]).all()) else values.tolist()


def _of_constants(part: NeuralMassPopulation | BalloonReadout) -> dict[str, Any]:
    own = {key: getattr(part, key) for key in part.constants}
    given = {key: _plain(value) for key, value in own.items() if bool((value != part.constants[key]).any())}
    learn = [key for key, value in own.items() if isinstance(value, nn.Parameter)]
    return {**({"constants": given} if given else {}), **({"learn": learn} if learn else {})}


def _of_population(name: str, population: DRMPopulation) -> dict[str, Any]:
    kind = type(population).__name__
    if _POPULATIONS.get(kind) is not type(population):
        raise ValueError(f"{name} is a {kind}, of which a description knows nothing; it knows {list(_POPULATIONS)}.")
    found: dict[str, Any] = {"name": name, "kind": kind, "n_out": population.n_out}
    if population.delay != 1:
        found["delay"] = population.delay
    if population.position is not None:
        found["position"] = list(population.position)
    if population.unit is not None:
        found["unit"] = population.unit
    if type(population) is DRMPopulation and float(population.negative_slope) != torch.tensor(0.01).item():
        found["negative_slope"] = float(population.negative_slope)
    if population.noise is not None:
        found["noise"] = _plain(population.noise)
        if population.noise.requires_grad:
            found["learn_noise"] = True
    for key in ("sign", "mask"):
        table: Tensor | None = getattr(population, key)
        if table is not None:
            found[key] = table[: population.n_out].int().tolist()
    if isinstance(population, LeakyRatePopulation):
        found |= {
            "resolution": population.resolution,
            "time_constant": _plain(population.time_constant),
            "activation": population.activation,
        }
    if isinstance(population, NeuralMassPopulation):
        found |= {"resolution": population.resolution, **_of_constants(population)}
        found |= {"method": population.advance.method, "n_steps": population.advance.n_steps}
    return found


def _population(table: dict[str, Any], n_in: int, generator: torch.Generator | None) -> DRMPopulation:
    kind = str(_key(table, "kind", f"The population {table['name']!r}"))
    if kind not in _POPULATIONS:
        raise ValueError(
            f"The population {table['name']!r} is of unknown kind {kind!r}; there are {list(_POPULATIONS)}."
        )
    settings = {key: value for key, value in table.items() if key != "kind"}
    return _make(_POPULATIONS[kind], f"The population {table['name']!r}", n_in=n_in, generator=generator, **settings)


def _of_line(line: DRMConnection, shared: _Shared) -> dict[str, Any]:
    kind = type(line).__name__
    if isinstance(line, LearnedDelayConnection):
        found = {"initial": float(line.milliseconds().detach()), "minimum": line.minimum, "maximum": line.maximum}
    elif isinstance(line, TractConnection):
        found = {
            "length": line.length,
            "velocity": shared.velocity(line.velocity),
            "slowest": line.length / line.maximum,
            "fastest": line.length / line.minimum,
        }
    elif isinstance(line, LowRankConnection):
        found = {"rank": line.n_out, "delay": line.delay, "projection": shared.projection(line.shared_projection)}
    elif type(line) is DRMConnection:
        return {"delay": line.delay}
    else:
        raise ValueError(f"A description knows nothing of connections that are a {kind}.")
    if isinstance(line, (LearnedDelayConnection, TractConnection)):
        found |= {"resolution": line.resolution, "width": line.width}
    return {"kind": kind, **found}


def _line(table: Mapping[str, Any], width: int, shared: _Shared, generator: torch.Generator | None) -> DRMConnection:
    settings = {key: value for key, value in table.items() if key not in ("stimulus", "source", "target", "kind")}
    kind, what = table.get("kind", "DRMConnection"), f"The connection {dict(table)}"
    if kind == "DRMConnection":
        return _make(DRMConnection, what, n_in=width, n_out=width, **settings)
    if kind == "LearnedDelayConnection":
        return _make(LearnedDelayConnection, what, n_in=width, n_out=width, **settings)
    if kind == "TractConnection":
        velocity = settings.pop("velocity", None)
        if velocity not in shared.velocities:
            raise ValueError(f"{what} needs one of the velocities {list(shared.velocities)}, got {velocity!r}.")
        known = shared.velocities[velocity]
        return _make(TractConnection, what, n_in=width, n_out=width, velocity=known, **settings)
    if kind == "LowRankConnection":
        rank, name = settings.pop("rank", 1), settings.pop("projection", None)
        line = _make(
            LowRankConnection,
            what,
            n_in=width,
            n_out=rank,
            projection=shared.projections.get(name),
            generator=generator,
            **settings,
        )
        if name is not None:
            shared.projections[name] = line.shared_projection
        return line
    raise ValueError(f"{what} is of unknown kind {kind!r}.")


def _of_readout(readout: DRMReadout) -> dict[str, Any]:
    kind = type(readout).__name__
    if isinstance(readout, JointReadout):
        if len(readout.losses):
            raise ValueError(f"A description knows nothing of losses, but {list(readout.losses)} have their own.")
        parts = {name: _of_readout(part) for name, part in readout.readouts.items()}  # pyright: ignore
        return {"kind": kind, "weights": dict(readout.loss_weights), "readouts": parts}
    if _READOUTS.get(kind) is not type(readout):
        raise ValueError(f"The readout is a {kind}, of which a description knows nothing; it knows {list(_READOUTS)}.")
    found: dict[str, Any] = {"kind": kind, "n_out": readout.n_out}
    if readout.n_confounds:
        found["n_confounds"] = readout.n_confounds
    if readout.lagged is not None and readout.lagged.lags != (0,):
        found["confound_lags"] = list(readout.lagged.lags)
    if not isinstance(readout.weight, nn.Parameter):
        found["weight"] = readout.weight.tolist()
    if readout.units is not None:
        found["units"] = readout.units.tolist()
    if readout.mask is not None:
        found["mask"] = readout.mask.int().tolist()
    if isinstance(readout, (BOLDReadout, BasisReadout, BalloonReadout)):
        found["resolution"] = readout.resolution
    if isinstance(readout, (BOLDReadout, BasisReadout)) and readout.convention != "spm":
        found["convention"] = readout.convention
    if isinstance(readout, BOLDReadout):
        hrf = {key: value for key, value in readout.initial_hrf.items() if value != CANONICAL[key]}
        learn = list(readout.raw_hrf)
        found |= {**({"hrf": hrf} if hrf else {}), **({"learn": learn} if learn else {})}
    if isinstance(readout, BasisReadout):
        found |= {"basis": readout.basis, "step": readout.step}
    if isinstance(readout, BalloonReadout):
        found |= {**_of_constants(readout), "method": readout.method, "n_steps": readout.n_steps}
    return found


def _readout(table: dict[str, Any], n_in: int, generator: torch.Generator | None) -> DRMReadout:
    kind = str(_key(table, "kind", "The readout"))
    if kind == "JointReadout":
        parts = {name: _readout(dict(part), n_in, generator) for name, part in table.get("readouts", {}).items()}
        return JointReadout(parts, weights=table.get("weights"))
    if kind not in _READOUTS:
        raise ValueError(f"The readout is of unknown kind {kind!r}; there are {[*_READOUTS, 'JointReadout']}.")
    settings = {key: value for key, value in table.items() if key != "kind"}
    if "weight" in settings:
        settings["weight"] = torch.tensor(settings["weight"], dtype=torch.get_default_dtype())
    return _make(_READOUTS[kind], "The readout", n_in=n_in, generator=generator, **settings)


def _make(kind: type[Any], what: str, **settings: Any) -> Any:
    try:
        return kind(**settings)
    except TypeError as error:
        # Python's own words for a keyword that is unknown or missing.
        raise ValueError(f"{what} cannot be made: {error}.") from error


def _toml(table: Mapping[str, Any]) -> str:
    """Return a table as TOML: plain values first, then tables and arrays of tables."""
    lines: list[str] = []

    def write(content: Mapping[str, Any], path: tuple[str, ...]) -> None:
        nested = {key: value for key, value in content.items() if _is_nested(value)}
        lines.extend(f"{_toml_key(key)} = {_toml_value(value)}" for key, value in content.items() if key not in nested)
        for key, value in nested.items():
            name = ".".join(_toml_key(part) for part in (*path, key))
            for part in value if isinstance(value, list) else [value]:
                lines.extend(["", f"[[{name}]]" if isinstance(value, list) else f"[{name}]"])
                write(part, (*path, key))

    write(table, ())
    return "\n".join(lines).strip() + "\n"


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _toml_key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "a").replace("-", "a").isalnum()
    return key if bare else json.dumps(key, ensure_ascii=False)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    # TOML's basic strings, and finite numbers, are written as in JSON.
    return json.dumps(value, ensure_ascii=False)
