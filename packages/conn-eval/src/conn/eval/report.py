"""A report: one HTML page that needs nothing but itself."""

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from conn.eval._version import __version__
from conn.eval.errors import import_extra
from conn.eval.files import write_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report"]

_MISSING = "\N{EN DASH}"


class Report:
    """A page of text, numbers, tables and figures, written as one self-contained HTML file.

    Parts are added in the order of reading. Consecutive parts under the same heading make one
    section; the sections make the table of contents. All that is given is shown as text, never
    as markup; figures and styles are inside the file, which loads nothing and runs no script.

    Parameters
    ----------
    title : str
        Title of the page.
    simulated : bool, default False
        Whether the scans behind the page are simulated. If so, a banner and every section say it.
    subtitle : str, default ""
        A line below the title.

    Raises
    ------
    ValueError
        If the title is empty.

    Examples
    --------
    >>> report = Report("Identification", simulated=True)
    >>> report.add_text("Data", "Ten people, three sessions.")
    >>> report.add_numbers("Result", {"accuracy": (1.0, 0.72, 1.0), "chance": 0.1})
    """

    def __init__(self, title: str, *, simulated: bool = False, subtitle: str = "") -> None:
        if not title.strip():
            raise ValueError("a report needs a title, got an empty one")
        self._title, self._subtitle, self._simulated = title, subtitle, bool(simulated)
        self._sections: list[dict[str, Any]] = []
        self._n_tables = self._n_figures = 0

    def add_text(self, heading: str, text: str) -> None:
        """Add paragraphs, parted by empty lines.

        Parameters
        ----------
        heading : str
            Heading of the section.
        text : str
            Plain text.

        Raises
        ------
        ValueError
            If the heading is empty.
        """
        paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
        self._add(heading, {"kind": "text", "paragraphs": paragraphs})

    def add_numbers(self, heading: str, numbers: Mapping[str, Any], caption: str = "") -> None:
        """Add a few numbers that shall be seen at a glance.

        Parameters
        ----------
        heading : str
            Heading of the section.
        numbers : mapping of str
            By name (with the unit): a number, text, or ``(value, low, high)`` for a value with
            its interval.
        caption : str, default ""
            A line below them, for example what the intervals are.

        Raises
        ------
        ValueError
            If the heading is empty, there is no number, or a tuple has another length than three.
        """
        if not numbers:
            raise ValueError(f"section {heading!r} has no numbers; expected at least one")
        rows = []
        for name, value in numbers.items():
            interval = ""
            if isinstance(value, tuple | list):
                if len(value) != 3:
                    raise ValueError(f"number {name!r} has {len(value)} parts; expected (value, low, high)")
                value, low, high = value
                interval = _interval(low, high)
            rows.append({"name": name, "value": _cell(value), "interval": interval})
        self._add(heading, {"kind": "numbers", "rows": rows, "caption": caption})

    def add_table(
        self,
        heading: str,
        table: pd.DataFrame | Sequence[Mapping[str, Any]],
        caption: str = "",
    ) -> None:
        """Add a table.

        Floating-point numbers are shown with about four digits. Three columns ``x``, ``x_low`` and
        ``x_high`` become one, with the interval behind the value; underscores in the columns'
        names become spaces.

        Parameters
        ----------
        heading : str
            Heading of the section.
        table : DataFrame or sequence of mappings
            One row each; the index of a DataFrame is not shown.
        caption : str, default ""
            What the table shows.

        Raises
        ------
        ValueError
            If the heading is empty or the table has no columns.
        """
        frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame(list(table))
        if len(frame.columns) == 0:
            raise ValueError(f"the table of section {heading!r} has no columns")
        self._n_tables += 1
        columns = _columns(frame)
        self._add(
            heading,
            {
                "kind": "table",
                "number": self._n_tables,
                "caption": caption,
                "header": [(name, numeric) for name, numeric, _ in columns],
                "rows": list(zip(*(cells for _, _, cells in columns), strict=True)),
            },
        )

    def add_figure(self, heading: str, figure: "Figure", caption: str, alt: str) -> None:
        """Add a Matplotlib figure, as a vector drawing inside the page.

        Parameters
        ----------
        heading : str
            Heading of the section.
        figure : matplotlib.figure.Figure
            The figure; it is drawn now.
        caption : str
            What the figure shows, below it.
        alt : str
            What there is to see, for those who cannot see it.

        Raises
        ------
        ValueError
            If the heading or the alternative text is empty.
        TypeError
            If it is no Matplotlib figure.
        MissingExtraError
            If Matplotlib is not installed.
        """
        if not alt.strip():
            raise ValueError(f"the figure of section {heading!r} needs an alternative text (alt), got none")
        source = _image_source(figure)
        self._n_figures += 1
        self._add(
            heading,
            {
                "kind": "figure",
                "number": self._n_figures,
                "caption": caption,
                "alt": alt,
                "source": source,
            },
        )

    def write(self, path: str | Path) -> Path:
        """Write the page and return its path.

        Parameters
        ----------
        path : str or Path
            The file; missing folders are made. An older file is replaced once the new one is
            complete.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputError
            If the folder or the file cannot be written (an ``OSError`` and a ``ValueError``).
        MissingExtraError
            If Jinja is not installed.

        Examples
        --------
        >>> import tempfile
        >>> report = Report("Identification")
        >>> report.add_text("Data", "Ten people, three sessions.")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = report.write(Path(folder) / "report.html").read_text()
        >>> "<h1>Identification</h1>" in page
        True
        """
        jinja2 = import_extra("jinja2", "report")
        template = resources.files("conn.eval").joinpath("templates", "report.html.j2")
        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        page = environment.from_string(template.read_text(encoding="utf-8")).render(
            title=self._title,
            subtitle=self._subtitle,
            simulated=self._simulated,
            sections=self._sections,
            version=__version__,
        )
        destination = Path(path).expanduser()
        write_files({destination: page + "\n"})
        return destination

    def _add(self, heading: str, part: dict[str, Any]) -> None:
        heading = heading.strip()
        if not heading:
            raise ValueError("a part of a report needs a heading, got an empty one")
        if not self._sections or self._sections[-1]["heading"] != heading:
            words = re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
            identifier = f"section-{len(self._sections) + 1}" + (f"-{words}" if words else "")
            self._sections.append({"heading": heading, "id": identifier, "parts": []})
        self._sections[-1]["parts"].append(part)


def _image_source(figure: Any) -> str:
    matplotlib = import_extra("matplotlib", "report")
    if not isinstance(figure, import_extra("matplotlib.figure", "report").Figure):
        raise TypeError(f"expected a matplotlib.figure.Figure, got a {type(figure).__name__}")
    buffer = io.BytesIO()
    # Text as outlines looks alike on every machine; no date, and fixed identifiers, so that the
    # same figure gives the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "conn"}):
        figure.savefig(buffer, format="svg", dpi=200, bbox_inches="tight", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _columns(frame: pd.DataFrame) -> list[tuple[str, bool, list[str]]]:
    """Return heading, whether it is numeric, and cells of every column that is shown."""
    names = [str(name) for name in frame.columns]
    merged = {name for name in names if names.count(name) == 1 and f"{name}_low" in names and f"{name}_high" in names}
    bounds = {f"{name}_{end}" for name in merged for end in ("low", "high")}
    columns = []
    for position, name in enumerate(names):
        if name in bounds:
            continue
        values = frame.iloc[:, position]
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        cells = [_cell(value) for value in values]
        heading = name.replace("_", " ")
        if name in merged:
            low, high = frame[f"{name}_low"], frame[f"{name}_high"]
            cells = [f"{cell} {_interval(*ends)}".rstrip() for cell, *ends in zip(cells, low, high, strict=True)]
            heading += " [low, high]"
        columns.append((heading, numeric, cells))
    return columns


def _interval(low: Any, high: Any) -> str:
    return "" if pd.isna(low) or pd.isna(high) else f"[{_cell(low)}, {_cell(high)}]"


def _rounded(value: float) -> str:
    # About four digits, with as many decimals in neighbouring cells, so that they can be compared.
    size = abs(value)
    if value == 0 or not 1e-3 <= size < 1e6:
        return f"{value:.3g}"
    return f"{value:.{3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0}f}"


def _cell(value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return _MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if math.isnan(value):
            return _MISSING
        return _rounded(value)
    return str(value)
