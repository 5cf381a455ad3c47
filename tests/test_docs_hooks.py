"""What the documentation's hooks refuse: an op matrix that is missing, stale or has a gap; the page of benchmarks."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHECKS = ("oracle", "jit", "vmap", "grad")


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(**outcomes: str) -> dict[str, Any]:
    facts = {"name": "corr", "module": "covariance", "agrees with": ["numpy.corrcoef"], "tolerance": 1e-12}
    return facts | dict.fromkeys(CHECKS, "yes") | outcomes


class StoppedBuild(Exception):
    """Stands for Sphinx's ExtensionError, so that these tests need no Sphinx."""


@pytest.fixture
def hooks(monkeypatch) -> ModuleType:
    for name, attributes in (
        ("sphinx", {}),
        ("sphinx.application", {"Sphinx": object}),
        ("sphinx.errors", {"ExtensionError": StoppedBuild}),
    ):
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    return loaded(ROOT / "docs" / "op_matrix.py")


@pytest.fixture
def hook(tmp_path, monkeypatch, hooks):
    """Return a function that runs the hook on a matrix of these rows, in a repository of its own."""
    monkeypatch.setattr(hooks, "ROOT", tmp_path)
    monkeypatch.setattr(hooks, "PAGE", tmp_path / "docs" / "functional" / "op-matrix.md")
    record = SimpleNamespace(
        CHECKS=CHECKS,
        FAILED="failed",
        matrix_path=lambda root: root / "op-matrix.json",
        sources_digest=lambda root: "now",
    )
    monkeypatch.setattr(hooks, "_record", lambda: record)

    def run(*rows: dict[str, Any], sources: str = "now") -> str:
        if rows:
            content = {"sources": sources, "jax": "0.12", "rows": list(rows)}
            (tmp_path / "op-matrix.json").write_text(json.dumps(content), encoding="utf-8")
        hooks.write_op_matrix(None)
        return hooks.PAGE.read_text(encoding="utf-8")

    return run


def test_a_whole_op_matrix_becomes_a_table_with_numbered_notes(hook):
    page = hook(row(), row(name="phase_lag_index", grad="no: piecewise constant", vmap="no: piecewise constant"))
    assert "| `corr` | covariance | numpy.corrcoef | 1e-12 | yes | yes | yes |" in page
    assert page.count("no [1]") == 2
    assert "- \\[1\\] piecewise constant" in page


def test_a_missing_op_matrix_stops_the_build(hook):
    with pytest.raises(
        StoppedBuild, match=r"op-matrix\.json is missing: run `hatch run test packages/conn-functional`"
    ):
        hook()


def test_a_stale_op_matrix_stops_the_build(hook):
    with pytest.raises(StoppedBuild, match=r"older than the sources of conn\.functional: run `hatch run test"):
        hook(row(), sources="before")


@pytest.mark.parametrize("outcome", ["failed", "untried", "", "no: "])
def test_a_gap_of_the_op_matrix_stops_the_build_and_is_named(hook, outcome):
    with pytest.raises(StoppedBuild, match=rf"not tried: corr: grad {outcome or 'unexplained'}"):
        hook(row(grad=outcome))


def test_the_hook_reads_the_columns_from_the_tests_that_fill_them(hooks):
    record = hooks._record()
    assert "degenerate gradient" in record.CHECKS
    assert record.matrix_path(ROOT) == ROOT / "build" / "op-matrix.json"


def result(**values: Any) -> dict[str, Any]:
    return {
        "row": "correlation",
        "estimator": "conn.functional.corr",
        "peer": "numpy",
        "dtype": "float64",
        "cores": 1,
        "peer_seconds": 0.2,
        "seconds": 0.1,
        "ratio": 2.0,
        "target": 1.0,
        "largest_difference": 1e-15,
    } | values


def test_the_page_of_benchmarks_holds_the_last_results_and_keeps_its_text(tmp_path):
    bench = loaded(ROOT / "tests" / "benchmarks" / "run.py")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n", encoding="utf-8")
    memory = {
        "row": "corr",
        "peer": "inputs and outputs",
        "dtype": "float32",
        "cores": 1,
        "ratio": 0.5,
        "exception": "",
    }
    memory |= {"temporary_mib": 1.0, "inputs_and_outputs_mib": 2.0}
    (tmp_path / "functional-2-cores.json").write_text(
        json.dumps([result(), result(cores=2, ratio=0.5), memory]), encoding="utf-8"
    )
    bench.write_page(page, tmp_path, ("functional",))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.index("## One core") < text.index("## 2 cores") < text.index("**0.50 (1)**, missed")
    assert "| corr | 1.00 | 2.00 | 0.50 |  |" in text
    bench.write_page(page, tmp_path, ("functional",))
    assert page.read_text(encoding="utf-8") == text


def test_the_page_of_benchmarks_needs_results_and_marks(tmp_path):
    bench = loaded(ROOT / "tests" / "benchmarks" / "run.py")
    page = tmp_path / "page.md"
    with pytest.raises(SystemExit, match="no results of functional"):
        bench.write_page(page, tmp_path, ("functional",))
    (tmp_path / "functional-2-cores.json").write_text(json.dumps([result()]), encoding="utf-8")
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(SystemExit, match="must hold the marks"):
        bench.write_page(page, tmp_path, ("functional",))


def test_the_benchmarks_of_the_documentation_hold_the_marks():
    bench = loaded(ROOT / "tests" / "benchmarks" / "run.py")
    for page in bench.PAGES:
        text = page.read_text(encoding="utf-8")
        assert (text.count(bench.BEGIN), text.count(bench.END)) == (1, 1)


def test_a_page_of_benchmarks_shows_suites_that_there_are_and_no_others(tmp_path):
    bench = loaded(ROOT / "tests" / "benchmarks" / "run.py")
    for suites in bench.PAGES.values():
        assert all((ROOT / "tests" / "benchmarks" / f"{suite}.py").is_file() for suite in suites)
    page = tmp_path / "page.md"
    page.write_text(f"{bench.BEGIN}\n{bench.END}", encoding="utf-8")
    (tmp_path / "functional.json").write_text(json.dumps([result()]), encoding="utf-8")
    (tmp_path / "data.json").write_text(json.dumps([result(row="reading")]), encoding="utf-8")
    bench.write_page(page, tmp_path, ("functional",))
    assert "reading" not in page.read_text(encoding="utf-8")
