"""Sphinx settings: numpydoc and MyST pages, a gallery that runs, warnings as errors."""

import os
import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from op_matrix import write_op_matrix

project = "conn"
author = "The conn developers"
copyright = "The conn developers"  # Sphinx wants this name
release = version = metadata.version("conn-functional")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas are drawn without a network too
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "_templates", "examples", "gallery/*.py", "gallery/*.ipynb", "gallery/*.md5"]
templates_path = ["_templates"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Other projects' indexes are only asked for on request: without a network the request fails, and the build with it.
intersphinx_mapping = (
    {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "jax": ("https://docs.jax.dev/en/latest", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }
    if os.environ.get("CONN_DOCS_LINK")
    else {}
)

html_theme = "furo"
html_title = "conn"
html_static_path = ["_static"]


# All examples are run, or those whose path fits CONN_DOCS_EXAMPLES: the others then have no figures.
if os.environ.get("CONN_DOCS_EXAMPLES"):
    suppress_warnings = ["image.not_readable"]

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": os.environ.get("CONN_DOCS_EXAMPLES") or r"/(plot_|demo)",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("gallery_hooks.figures",),
    "reset_modules": ("gallery_hooks.warnings_are_errors",),
    "reset_modules_order": "both",
    "reset_argv": "gallery_hooks.arguments",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
}


def setup(app):
    """Render the op matrix before pages are read."""
    app.connect("builder-inited", write_op_matrix)
