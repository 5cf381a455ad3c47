"""What the six packages promise: the names in `__all__` with their signatures, and which changes break a promise.

Everything is read from the source by griffe. Nothing is imported, so that a package counts whose dependencies are
not installed, and so that importing cannot change the answer.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import griffe

__all__ = ["PACKAGES", "Change", "announces", "changes", "described", "is_released", "load", "read_snapshot", "version"]

ROOT = Path(__file__).resolve().parents[2]

# The modules from which users import. What other modules hold is public only if the package re-exports it.
PACKAGES = {
    "conn-data": ("conn.data", "conn.data.simulators", "conn.data.splits"),
    "conn-eval": ("conn.eval",),
    "conn-functional": ("conn.functional", "conn.functional.initialise", "conn.functional.layers"),
    "conn-loss": ("conn.loss",),
    "conn-models": ("conn.models",),
    "drm": ("drm", "drm.base", "drm.connection", "drm.iterators", "drm.population", "drm.readout"),
}
# Special methods that a user meets as syntax.
SYNTAX = {"__call__", "__getitem__", "__iter__", "__len__", "__enter__", "__exit__"}
# Bases that make a constructor of the annotated attributes, which griffe knows of dataclasses only.
FIELD_BASES = {"Module", "NamedTuple"}


def load() -> griffe.ModulesCollection:
    """Return the modules of all packages as their sources stand; one package's class may inherit from another's."""
    loader = griffe.GriffeLoader(
        search_paths=[path / "src" for path in sorted((ROOT / "packages").iterdir())],
        allow_inspection=False,
        store_source=False,
    )
    for first, *_ in PACKAGES.values():
        loader.load(first, try_relative_path=False)
    return loader.modules_collection


def described(name: str, sources: griffe.ModulesCollection) -> dict[str, dict]:
    """Return what each public name of a package is, by the path from which it is imported, sorted."""
    found = {}
    for path in PACKAGES[name]:
        module = sources[path]
        if module.exports is None:
            raise ValueError(f"{path} lists no names: it needs an __all__")
        for export in map(str, module.exports):
            if export not in module.members:
                raise ValueError(f"{path}.__all__ lists {export!r}, which the module does not hold")
            found[f"{path}.{export}"] = _describe(module[export])
    return dict(sorted(found.items()))


def _describe(item: griffe.Object | griffe.Alias) -> dict:
    """Return the kind of an object and what its users depend on."""
    try:
        target = item.final_target if isinstance(item, griffe.Alias) else item
    except griffe.AliasResolutionError:
        # Someone else's name, handed on: what it is, its own package says.
        return {"kind": "alias", "target": getattr(item, "target_path", "")}
    if isinstance(target, griffe.Class):
        return _describe_class(target)
    if isinstance(target, griffe.Function):
        return {"kind": _method_kind(target), "signature": _signature(target)}
    if isinstance(target, griffe.Attribute):
        kind = "property" if "property" in target.labels else "attribute"
        return {"kind": kind, "annotation": str(target.annotation) if target.annotation else ""}
    return {"kind": target.kind.value}


def _describe_class(cls: griffe.Class) -> dict:
    members = {
        name: _describe(member)
        for name, member in sorted(cls.all_members.items())
        if name in SYNTAX or not name.startswith("_")
    }
    return {
        "kind": "class",
        "bases": [str(base) for base in cls.bases],
        "signature": _constructor(cls),
        "members": members,
    }


def _method_kind(function: griffe.Function) -> str:
    kinds = [kind for kind in ("classmethod", "staticmethod") if kind in function.labels]
    return kinds[0] if kinds else "function"


def _signature(function: griffe.Function) -> str:
    """Return `(parameters) -> annotation`, without a method's `self`, and without the slash after it."""
    return re.sub(r"^\(/(, )?", "(", function.signature(name=" ").strip())


def _constructor(cls: griffe.Class) -> str:
    """Return how a class is called: by its `__init__`, or by its fields in their order."""
    if init := cls.all_members.get("__init__"):
        target = init.final_target if isinstance(init, griffe.Alias) else init
        if isinstance(target, griffe.Function):
            return _signature(target).removesuffix(" -> None")
    lineage = [*reversed(cls.mro()), cls]
    if not any(str(base).rpartition(".")[2] in FIELD_BASES for each in lineage for base in each.bases):
        return "()"
    fields: dict[str, str] = {}
    for each in lineage:
        for name, member in each.members.items():
            if isinstance(member, griffe.Attribute) and member.annotation and "property" not in member.labels:
                annotation = str(member.annotation)
                if "ClassVar" not in annotation:
                    default = "" if member.value is None else f" = {member.value}"
                    fields[name] = f"{name}: {annotation}{default}"
    return f"({', '.join(fields.values())})"


# ------------------------------------------------------------------------------ what a change does


@dataclass(frozen=True)
class Change:
    """A difference between what was promised and what there is."""

    path: str
    what: str
    breaking: bool

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def changes(old: Mapping[str, dict], new: Mapping[str, dict]) -> list[Change]:
    """Return every difference between two descriptions, by path."""
    found = [Change(path, "removed, or renamed", True) for path in old.keys() - new.keys()]
    found += [Change(path, "added", False) for path in new.keys() - old.keys()]
    for path in old.keys() & new.keys():
        found += _changes_of_one(path, old[path], new[path])
    return sorted(found, key=lambda change: change.path)


def _changes_of_one(path: str, old: dict, new: dict) -> list[Change]:
    if old == new:
        return []
    if old["kind"] != new["kind"]:
        return [Change(path, f"was a {old['kind']}, is a {new['kind']}", True)]
    found = []
    if "signature" in old:
        found += [Change(path, what, True) for what in signature_breaks(old["signature"], new["signature"])]
    missing_bases = [base for base in old.get("bases", ()) if base not in new["bases"]]
    found += [Change(path, f"is no longer a {base}", True) for base in missing_bases]
    members = {f"{path}.{name}": member for name, member in old.get("members", {}).items()}
    members_now = {f"{path}.{name}": member for name, member in new.get("members", {}).items()}
    found += changes(members, members_now)
    return found or [Change(path, "described otherwise, compatibly", False)]


@dataclass(frozen=True)
class _Parameter:
    name: str
    kind: str  # "positional", "by position or name", "by name", "*" or "**"
    default: str | None

    @property
    def required(self) -> bool:
        return self.default is None and self.kind not in {"*", "**"}


def _parameters(signature: str) -> list[_Parameter]:
    """Return the parameters of a signature as it stands in a snapshot."""
    function = ast.parse(f"def f{signature}: ...").body[0]
    if not isinstance(function, ast.FunctionDef):
        raise TypeError(f"not a signature: {signature!r}")
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    missing = [None] * (len(positional) - len(given.defaults))
    found = [
        _Parameter(
            argument.arg,
            "positional" if argument in given.posonlyargs else "by position or name",
            ast.unparse(default) if default else None,
        )
        for argument, default in zip(positional, [*missing, *given.defaults], strict=True)
    ]
    found += [_Parameter(given.vararg.arg, "*", None)] if given.vararg else []
    found += [
        _Parameter(argument.arg, "by name", ast.unparse(default) if default else None)
        for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    found += [_Parameter(given.kwarg.arg, "**", None)] if given.kwarg else []
    return found


def signature_breaks(old: str, new: str) -> list[str]:
    """Return why calls that the old signature accepts are refused, or mean something else, under the new one."""
    before, after = _parameters(old), _parameters(new)
    now = {parameter.name: parameter for parameter in after}
    names = {parameter.name for parameter in before}
    accepts = {parameter.kind for parameter in after}
    found = []
    for parameter in before:
        same = now.get(parameter.name)
        if same is None:
            if parameter.kind in {"*", "**"}:
                if parameter.kind not in accepts:
                    found.append(f"no longer takes {parameter.kind}{parameter.name}")
            else:
                found.append(f"parameter {parameter.name!r} removed, or renamed")
        elif same.kind not in {parameter.kind, "by position or name"}:
            found.append(f"parameter {parameter.name!r} was given {parameter.kind}, is given {same.kind}")
        elif same.kind != parameter.kind and parameter.kind in {"*", "**"}:
            found.append(f"parameter {parameter.name!r} is no longer {parameter.kind}{parameter.name}")
        elif same.required and not parameter.required:
            found.append(f"parameter {parameter.name!r} lost its default")
        elif same.default != parameter.default and not parameter.required:
            found.append(f"the default of {parameter.name!r} was {parameter.default}, is {same.default}")
    found += [
        f"new parameter {parameter.name!r} has no default"
        for parameter in after
        if parameter.name not in names and parameter.required
    ]
    order, order_now = _positions(before), _positions(after)
    kept = [name for name in order if name in order_now]
    if not found and order_now[: len(kept)] != kept:
        found.append(f"the positions were {', '.join(order)}, are {', '.join(order_now)}")
    return found


def _positions(parameters: Sequence[_Parameter]) -> list[str]:
    """Return the names that may be given by position, in order."""
    return [
        each.name for each in takewhile(lambda each: each.kind in {"positional", "by position or name"}, parameters)
    ]


# ------------------------------------------------------------------------------ versions and snapshots


def version(name: str) -> str:
    """Return the version that a package declares."""
    source = ROOT / "packages" / name / "src" / PACKAGES[name][0].replace(".", "/") / "_version.py"
    match = re.search(r'^__version__ = "([^"]+)"', source.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if match is None:
        raise ValueError(f"{source} declares no __version__")
    return match.group(1)


def announces(old: str, new: str) -> bool:
    """Tell whether going from one version to another says that something broke (semantic versioning)."""
    before, after = ([int(part) for part in text.split(".")[:2]] for text in (old, new))
    return after > before if before[0] == 0 else after[0] > before[0]


def is_released(changelog: str) -> bool:
    """Tell whether a changelog has a version's section: before that there is nobody to break."""
    return re.search(r"^## \[?\d", changelog, flags=re.MULTILINE) is not None


def snapshot_path(name: str) -> Path:
    """Return where a package's snapshot is kept."""
    return Path(__file__).parent / f"{name}.json"


def read_snapshot(name: str) -> dict:
    """Return the version and the description that were kept for a package; of nothing if there is none."""
    path = snapshot_path(name)
    if not path.exists():
        return {"version": version(name), "api": {}}
    return json.loads(path.read_text(encoding="utf-8"))
