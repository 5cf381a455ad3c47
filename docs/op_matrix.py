"""The page of the op matrix, rendered from what the tests of conn.functional left in build/op-matrix.json."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).parent / "functional" / "op-matrix.md"
REMEDY = "run `hatch run test packages/conn-functional`, which writes it"

HEAD = """# Op matrix

Every public name of `conn.functional` that computes something, and what the tests found when they tried it. The table
is written by the tests themselves (`hatch run test packages/conn-functional`), and the documentation is not built when
a cell is missing, failed or older than the sources.

- **agrees with**: code of others that the function is compared with, or the property that is proved instead, where
  nobody else has such a function; *tolerance* is relative, in float64.
- **jit**, **vmap**: compiled and batched, it equals the plain call item by item.
- **grad**: equals finite differences in float64. **degenerate**: value and gradient are finite for constant regions,
  zero weights, empty graphs and the like.
- **float32**, **float64**: the input's precision is kept, and float32 is close to float64.

"""


def write_op_matrix(app: Sphinx) -> None:
    """Write the page, or stop the build when the matrix is missing, stale, or has a gap."""
    record = _record()
    matrix = _matrix(record)
    # A page that has not changed is not read again.
    text = HEAD + _table(matrix, record)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        PAGE.write_text(text, encoding="utf-8")


def _record() -> ModuleType:
    """Return the module that knows the matrix's columns, which lies with the tests that fill it."""
    path = ROOT / "packages" / "conn-functional" / "tests" / "op_record.py"
    spec = importlib.util.spec_from_file_location("op_record", path)
    if spec is None or spec.loader is None:
        raise ExtensionError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _matrix(record: ModuleType) -> dict[str, Any]:
    path = record.matrix_path(ROOT)
    if not path.is_file():
        raise ExtensionError(f"the op matrix {path} is missing: {REMEDY}")
    matrix = json.loads(path.read_text(encoding="utf-8"))
    if matrix["sources"] != record.sources_digest(ROOT):
        raise ExtensionError(f"the op matrix {path} is older than the sources of conn.functional: {REMEDY}")
    gaps = [
        f"{row['name']}: {check} {row.get(check) or 'unexplained'}"
        for row in matrix["rows"]
        for check in record.CHECKS
        if row.get(check) in (None, "", "untried", record.FAILED) or str(row.get(check)).endswith(": ")
    ]
    if gaps:
        raise ExtensionError(f"the op matrix {path} has cells that failed or were not tried: " + "; ".join(gaps))
    return matrix


def _table(matrix: dict[str, Any], record: ModuleType) -> str:
    checks = [check for check in record.CHECKS if check != "oracle"]
    head = ["name", "module", "agrees with", "tolerance", *(c.removesuffix(" gradient") for c in checks)]
    notes: dict[str, int] = {}

    def cell(value: str) -> str:
        """Return the outcome in a word; a reason becomes a numbered note under the table."""
        word, _, reason = value.partition(": ")
        return f"{word} [{notes.setdefault(reason, len(notes) + 1)}]" if reason else word

    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in matrix["rows"]:
        tolerance = "" if row["tolerance"] is None else f"{row['tolerance']:.0e}"
        oracles = "; ".join(row["agrees with"]).replace("|", "\\|")
        cells = [f"`{row['name']}`", row["module"], oracles, tolerance, *(cell(row[check]) for check in checks)]
        lines.append("| " + " | ".join(cells) + " |")
    listed = [f"- \\[{number}\\] {reason}" for reason, number in notes.items()]
    return "\n".join([*lines, "", *listed, "", f"Tried with JAX {matrix['jax']}.", ""])
