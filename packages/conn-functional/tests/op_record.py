"""The op matrix as a record: its columns, what a run of the tests leaves behind, and the file that the docs read."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHECKS = ("oracle", "jit", "vmap", "grad", "degenerate gradient", "float64", "float32", "devices")
"""What is tried, in the order of the table's columns."""

PASSED, FAILED = "yes", "failed"

Cells = dict[str, dict[str, str]]
"""The outcome by case and by check."""


def repository_root() -> Path | None:
    """Return the checkout's root, or None where the tests lie outside of one."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "hatch.toml").is_file() else None


def sources_digest(root: Path) -> str:
    """Return the hash of all sources of conn.functional, by which a stale matrix is told."""
    folder = root / "packages" / "conn-functional" / "src" / "conn" / "functional"
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(b"\0")
        digest.update(path.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()


def matrix_path(root: Path) -> Path:
    """Return where the op matrix is written."""
    return root / "build" / "op-matrix.json"


def write_json(path: Path, content: Any) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
    Path(name).replace(path)


def merge_parts(cells: Cells, *, run: str, worker: str) -> tuple[Cells, Path] | None:
    """Add one worker's cells to those of the run, and return all that are there by now, with their folder.

    Workers of pytest-xdist share no memory, and the process that starts them loads no conftest of a package. So each
    leaves its part in a folder of the run; whoever finds the parts complete writes the matrix.
    """
    folder = Path(tempfile.gettempdir()) / f"conn-op-matrix-{run}"
    write_json(folder / f"{worker}.json", cells)
    merged: Cells = {}
    for path in sorted(folder.glob("*.json")):
        try:
            part = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:  # another worker found everything complete, and tidied up
            return None
        for case, outcomes in part.items():
            merged.setdefault(case, {}).update(outcomes)
    return merged, folder


def remove_parts(folder: Path) -> None:
    """Remove the parts of a run, which another worker may be doing too."""
    shutil.rmtree(folder, ignore_errors=True)


def worst(outcomes: list[str]) -> str:
    """Return one word for several cases of a function: a failure or a gap in one of them is the function's."""
    for bad in (FAILED, "untried"):
        if bad in outcomes:
            return bad
    explained = [outcome for outcome in outcomes if outcome != PASSED]
    if len(explained) == len(outcomes):
        return "; ".join(dict.fromkeys(explained))
    return PASSED


def rows_of(expected: Mapping[str, Mapping[str, str]], cells: Cells, facts: Mapping[str, Mapping[str, Any]]) -> list:
    """Return the table's rows: outcomes merged over the cases of each name, with the facts that need no trial.

    `expected` holds the explanation of every cell by case, with an empty one where a trial has to give the outcome.
    """
    by_name: dict[str, list[str]] = {}
    for case in expected:
        by_name.setdefault(str(facts[case]["name"]), []).append(case)
    rows = []
    for name in sorted(by_name, key=str.lower):
        cases = by_name[name]
        row: dict[str, Any] = {"name": name, "module": facts[cases[0]]["module"]}
        for check in CHECKS:
            tried = [expected[case][check] or cells.get(case, {}).get(check, "untried") for case in cases]
            row[check] = worst(tried)
        # A property stands beside an oracle only where some case of the name has no oracle.
        row["agrees with"] = list(dict.fromkeys(str(facts[case]["oracle"]) for case in cases))
        row["tolerance"] = max((facts[case]["tolerance"] for case in cases if facts[case]["tolerance"]), default=None)
        row["host only"] = next((facts[case]["host_only"] for case in cases if facts[case]["host_only"]), None)
        rows.append(row)
    return rows
