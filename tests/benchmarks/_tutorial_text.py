"""The published tutorial, read from its own text and run as it stands but for the modules that it imports from.

The text is not part of this repository. It is looked for beside the folder of real data, as
``reference/tutorial.rst``, or where `path` says.
"""

import os
import re
import runpy
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODULES = {
    "hypercoil.functional": "conn.functional",
    "hypercoil.init.mapparam": "conn.functional.parameters",
    "hypercoil.engine": "conn.functional.engine",
    "hypercoil.engine.axisutil": "conn.functional.engine",
    "hypercoil.loss": "conn.loss",
    "hypercoil.neuro.data_msc": "conn.data.msc",
}
"""The modules of the text, and those that have the same names here."""

LAST_BLOCK = "# Configure the hyperparameters."
"""How the block begins that makes a model and trains it; those before it define and load."""


def tutorial_path() -> Path | None:
    """Return where the text lies, or None."""
    data = os.environ.get("CONN_DATA_DIR")
    path = Path(data).parent / "reference" / "tutorial.rst" if data else None
    return path if path is not None and path.is_file() else None


def code_blocks(text: str) -> list[str]:
    """Return the Python blocks of a reStructuredText page, in order."""
    found = re.findall(r"^\.\. code-block:: python\n\n((?:(?: {4}.*)?\n)+)", text + "\n", flags=re.MULTILINE)
    return [textwrap.dedent(block).strip("\n") + "\n" for block in found]


def rewritten(block: str) -> str:
    """Return a block whose imports name our modules; no other line is touched."""
    lines = []
    for line in block.splitlines(keepends=True):
        match = re.match(r"from (hypercoil[.\w]*) import\b", line)
        lines.append(line if match is None else line.replace(match[1], MODULES[match[1]], 1))
    return "".join(lines)


def substituted(program: str, changes: Mapping[str, str]) -> str:
    """Return the program with whole lines replaced, each of which must stand in it exactly once.

    Raises
    ------
    ValueError
        If a line stands there not at all, or more than once.
    """
    lines = program.splitlines()
    for old, new in changes.items():
        if lines.count(old) != 1:
            raise ValueError(f"the line {old!r} stands {lines.count(old)} times in the text, and must stand there once")
        lines[lines.index(old)] = new
    return "\n".join(lines) + "\n"


def run_program(program: str, folder: Path, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the global names that a program leaves behind, run from a file in the folder."""
    path = folder / "tutorial.py"
    path.write_text(program, encoding="utf-8")
    return runpy.run_path(str(path), init_globals=dict(given or {}))
