"""Brings an example's figures into its gallery page."""

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


class FigureScraper:
    """Saves every figure in the dictionary ``figures`` that an example leaves behind.

    The packages make figures without pyplot's global list of open ones, so that the gallery's own scraper sees none.
    """

    def __repr__(self) -> str:
        """Stable, since Sphinx compares settings between builds by their text."""
        return "FigureScraper"

    def __call__(self, block: tuple, block_vars: dict, gallery_conf: dict) -> str:
        """Return the reStructuredText that shows the figures of one block."""
        figures = block_vars["example_globals"].get("figures", {})
        paths = []
        for name, figure in figures.items():
            if isinstance(figure, Figure):
                path = next(block_vars["image_path_iterator"])
                figure.savefig(path, dpi=110, bbox_inches="tight")
                paths.append((path, name))
        figures.clear()
        return "\n".join(figure_rst([path], gallery_conf["src_dir"], name) for path, name in paths)
