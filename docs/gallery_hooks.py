"""What the gallery does around an example: its arguments, its warnings, its figures."""

import os
import warnings
from contextlib import ExitStack
from pathlib import Path

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

HERE = Path(__file__).parent

_inside_example = ExitStack()


def arguments(gallery_conf: dict, script_vars: dict) -> list[str]:
    """Return the command-line arguments of an example: the demo in the documentation is a short one."""
    if Path(script_vars["src_file"]).name != "demo.py":
        return []
    return ["--epochs", os.environ.get("CONN_DOCS_EPOCHS", "45"), "--out", str(HERE / "_build" / "demo")]


def warnings_are_errors(gallery_conf: dict, fname: str, when: str) -> None:
    """Make Python's warnings inside an example errors, which Sphinx's -W does not see; after it, they are as before."""
    if when == "before":
        _inside_example.enter_context(warnings.catch_warnings(action="error"))
    else:
        _inside_example.close()


def figures(block: tuple, block_vars: dict, gallery_conf: dict) -> str:
    """Return the reStructuredText that shows the dictionary ``figures`` which an example leaves behind.

    The packages make figures without pyplot's global list of open ones, so that the gallery's own scraper sees none.
    """
    left = block_vars["example_globals"].get("figures", {})
    shown = []
    for name, figure in left.items():
        if isinstance(figure, Figure):
            path = next(block_vars["image_path_iterator"])
            figure.savefig(path, dpi=110, bbox_inches="tight")
            shown.append(figure_rst([path], gallery_conf["src_dir"], name))
    left.clear()
    return "\n".join(shown)
