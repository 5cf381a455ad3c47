import json

import public_api
import pytest
import snapshot
from public_api import (
    PACKAGES,
    announces,
    changes,
    described,
    is_released,
    load,
    read_snapshot,
    signature_breaks,
    version,
)


@pytest.fixture(scope="module")
def sources():
    return load()


@pytest.mark.parametrize("name", PACKAGES)
def test_the_public_api_is_the_one_written_down(name, sources):
    kept = read_snapshot(name)
    found = changes(kept["api"], described(name, sources))
    released = is_released((public_api.ROOT / "packages" / name / "CHANGELOG.md").read_text(encoding="utf-8"))
    unannounced = [
        change for change in found if change.breaking and released and not announces(kept["version"], version(name))
    ]
    listed = "\n  ".join(map(str, found))
    assert not unannounced, (
        f"{name} {version(name)} breaks what {kept['version']} promised:\n  {listed}\n"
        "Keep the old name or signature, or announce the break: "
        f"`cd packages/{name} && hatch version minor`, widen the bounds of "
        "the packages that need it, a line in its CHANGELOG.md, then `hatch run api-snapshot`."
    )
    assert not found, f"the public names of {name} changed:\n  {listed}\nIf that is meant: `hatch run api-snapshot`"


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_promises_its_version(name, sources):
    assert f"{PACKAGES[name][0]}.__version__" in described(name, sources)


FUNCTION = {"kind": "function", "signature": "(series: Array, *, weight: Array | None = None) -> Array"}


@pytest.mark.parametrize(
    ("new", "what", "breaking"),
    [
        ({}, "removed, or renamed", True),
        ({"m.f": FUNCTION, "m.g": FUNCTION}, "added", False),
        ({"m.f": {"kind": "attribute", "annotation": ""}}, "was a function, is a attribute", True),
        ({"m.f": FUNCTION | {"signature": "(series, *, weight=None)"}}, "described otherwise, compatibly", False),
    ],
)
def test_a_change_is_told_apart_by_whether_it_breaks_users(new, what, breaking):
    (found,) = changes({"m.f": FUNCTION}, new)
    assert (found.what, found.breaking) == (what, breaking)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(a)", "(a, b=1)"),
        ("(a, *, b)", "(a, b)"),
        ("(a, *, b)", "(a, *, b=2)"),
        ("(a: int) -> int", "(a: float) -> float"),
        ("(a)", "(a, *more, **named)"),
        ("(a, *, b, c)", "(a, *, c, b)"),
        ("(a, *more)", "(a, *others)"),
        ("()", "(*, a=None)"),
    ],
)
def test_a_signature_that_accepts_every_old_call_is_no_break(old, new):
    assert signature_breaks(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("(a, b)", "(a)", "parameter 'b' removed, or renamed"),
        ("(a)", "(x)", "parameter 'a' removed, or renamed"),
        ("(a)", "(*, a)", "parameter 'a' was given by position or name, is given by name"),
        ("(a)", "(a, /)", "parameter 'a' was given by position or name, is given positional"),
        ("(a=1)", "(a)", "parameter 'a' lost its default"),
        ("(a=1)", "(a=2)", "the default of 'a' was 1, is 2"),
        ("(a)", "(a, b)", "new parameter 'b' has no default"),
        ("(a, b)", "(b, a)", "the positions were a, b, are b, a"),
        ("(a, b=1)", "(a, c=2, b=1)", "the positions were a, b, are a, c, b"),
        ("(*more)", "()", "no longer takes *more"),
        ("(**named)", "(*, a=1)", "no longer takes **named"),
        ("(*more)", "(more=1)", "parameter 'more' is no longer *more"),
    ],
)
def test_a_signature_that_refuses_an_old_call_is_a_break(old, new, why):
    assert why in signature_breaks(old, new)


def test_a_member_or_a_base_that_goes_breaks_a_class():
    old = {"kind": "class", "bases": ["Base"], "signature": "(a)", "members": {"f": FUNCTION}}
    new = {"kind": "class", "bases": [], "signature": "(a)", "members": {}}
    assert {(change.path, change.what) for change in changes({"m.C": old}, {"m.C": new})} == {
        ("m.C", "is no longer a Base"),
        ("m.C.f", "removed, or renamed"),
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.1.0", "0.2.0", True),
        ("0.1.0", "1.0.0", True),
        ("0.1.0", "0.1.9", False),
        ("0.1.0", "0.1.0", False),
        ("0.10.0", "0.9.0", False),
        ("1.2.0", "1.3.0", False),
        ("1.2.0", "2.0.0", True),
    ],
)
def test_a_break_is_announced_by_the_minor_version_below_one_and_the_major_from_then_on(old, new, said):
    assert announces(old, new) is said


def test_a_package_is_released_once_its_changelog_has_a_version():
    assert not is_released("# Changelog\n\n## [Unreleased]\n\n### Added\n")
    assert is_released("# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one package, `planted`, of three public names."""
    source = tmp_path / "packages" / "planted" / "src" / "planted"
    source.mkdir(parents=True)
    (source / "_version.py").write_text('__version__ = "0.1.0"\n')
    (source / "_shapes.py").write_text(
        "from dataclasses import dataclass\nfrom typing import NamedTuple\n\n"
        "class Pair(NamedTuple):\n    left: int\n    right: int = 2\n\n"
        "@dataclass\nclass Scan:\n    frames: int\n    _hidden: int = 0\n\n"
        "    @property\n    def seconds(self) -> float: ...\n"
        "    def cut(self, n: int = 3) -> int: ...\n"
        "    @staticmethod\n    def read(path: str): ...\n\n"
        "class Cohort(Scan):\n    def __call__(self, /, x): ...\n"
    )
    (source / "__init__.py").write_text(
        "from math import pi\nfrom planted._shapes import Cohort, Pair, Scan\n"
        "__all__ = ['Cohort', 'Pair', 'Scan', 'pi']\n"
    )
    (tmp_path / "packages" / "planted" / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n")
    (tmp_path / "snapshots").mkdir()
    for module in (public_api, snapshot):
        monkeypatch.setattr(module, "ROOT", tmp_path)
        monkeypatch.setattr(module, "PACKAGES", {"planted": ("planted",)})
        monkeypatch.setattr(module, "snapshot_path", lambda name: tmp_path / "snapshots" / f"{name}.json")
    return source


def test_a_class_is_described_by_what_its_users_call(repository):
    found = described("planted", load())
    assert found["planted.pi"] == {"kind": "alias", "target": "math.pi"}
    assert found["planted.Pair"]["signature"] == "(left: int, right: int = 2)"
    scan = found["planted.Scan"]
    assert set(scan["members"]) == {"frames", "seconds", "cut", "read"}
    assert scan["members"]["seconds"] == {"kind": "property", "annotation": "float"}
    assert scan["members"]["cut"] == {"kind": "function", "signature": "(n: int = 3) -> int"}
    assert scan["signature"] == "(frames: int, _hidden: int = 0)"
    cohort = found["planted.Cohort"]
    assert cohort["signature"] == scan["signature"]
    assert cohort["members"] == scan["members"] | {"__call__": {"kind": "function", "signature": "(x)"}}
    assert scan["members"]["read"] == {"kind": "staticmethod", "signature": "(path: str)"}


def test_a_name_without_its_object_is_refused(repository):
    with (repository / "__init__.py").open("a") as file:
        file.write("__all__ = ['Pair', 'gone']\n")
    with pytest.raises(ValueError, match="lists 'gone', which the module does not hold"):
        described("planted", load())


def test_a_package_without_a_list_of_names_is_refused(repository):
    (repository / "__init__.py").write_text("")
    with pytest.raises(ValueError, match="it needs an __all__"):
        described("planted", load())


def test_a_break_is_written_down_only_once_the_version_announces_it(repository, capsys):
    assert snapshot.main([]) == 0
    kept = (repository.parents[3] / "snapshots" / "planted.json").read_text()
    shapes = repository / "_shapes.py"
    shapes.write_text(shapes.read_text().replace("n: int = 3", "count: int = 3"))
    assert snapshot.main([]) == 1
    assert "BREAKS planted.Scan.cut: parameter 'n' removed, or renamed" in capsys.readouterr().out
    assert (repository.parents[3] / "snapshots" / "planted.json").read_text() == kept
    (repository / "_version.py").write_text('__version__ = "0.2.0"\n')
    assert snapshot.main(["planted"]) == 0
    written = json.loads((repository.parents[3] / "snapshots" / "planted.json").read_text())
    assert written["version"] == "0.2.0"
    assert written["api"]["planted.Scan"]["members"]["cut"]["signature"] == "(count: int = 3) -> int"


def test_a_break_before_the_first_release_or_on_request_is_written_down(repository):
    assert snapshot.main([]) == 0
    (repository / "__init__.py").write_text("from planted._shapes import Pair\n__all__ = ['Pair']\n")
    assert snapshot.main(["--allow-breaking"]) == 0
    (repository / "__init__.py").write_text("from planted._shapes import Scan\n__all__ = ['Scan']\n")
    (repository.parents[1] / "CHANGELOG.md").write_text("## [Unreleased]\n")
    assert snapshot.main([]) == 0


def test_an_unknown_package_is_refused_by_name(capsys):
    with pytest.raises(SystemExit, match="2"):
        snapshot.main(["conn-dta"])
    assert "unknown: conn-dta" in capsys.readouterr().err
