"""Numbers that other programs read: strict JSON and tidy CSV, and the versions behind them."""

import json
import math
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from conn.eval.files import write_files

__all__ = ["environment_versions", "write_results"]

# Distributions whose version is told wherever they are installed, and, after them, those that
# count only when the program has loaded them: module name first.
_OURS = ("conn-functional", "conn-loss", "conn-data", "conn-models", "conn-eval", "drm")
_ALWAYS = ("numpy", "scipy", "pandas", "scikit-learn")
_IF_LOADED = ("jax", "jaxlib", "equinox", "optax", "torch", "nibabel", "matplotlib", "jinja2")


def write_results(
    folder: str | Path,
    results: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame] | None = None,
    *,
    simulated: bool = False,
    nan_policy: Literal["raise", "null"] = "raise",
) -> dict[str, Path]:
    """Return the paths of results just written: ``results.json`` and one CSV a table.

    The JSON is strict (no NaN, no Infinity), with sorted keys and ``"simulated"`` at the top
    level. The tables are tidy CSV with a header and no index; a missing value is an empty cell.
    No file is replaced before all of them are complete.

    Parameters
    ----------
    folder : str or Path
        Where to write; made if it is missing.
    results : mapping of str
        Numbers, text, None, NumPy scalars and arrays, and mappings and sequences of these.
    tables : mapping of str to DataFrame, optional
        By file name without its ending: letters, digits, ``_``, ``-`` and ``.``. A named index
        becomes a column.
    simulated : bool, default False
        Whether the numbers come from simulated scans. If so, every table gets a column
        ``simulated``.
    nan_policy : {"raise", "null"}, default "raise"
        What a NaN or an infinity in `results` does: an error that names it, or ``null``.

    Returns
    -------
    dict of str to Path
        ``"results"`` and the tables' names, each with its file.

    Raises
    ------
    TypeError
        If a value cannot be told in JSON or a key is no text; the message names it.
    ValueError
        If a value is not finite under ``nan_policy="raise"``, `results` says ``"simulated"``
        and something else than the argument, a table's name is no file name or its index has no
        name, or `nan_policy` is unknown.
    OutputError
        If the folder or a file cannot be written (an ``OSError`` and a ``ValueError``).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_results(folder, {"accuracy": 1.0})
    ...     print(paths["results"].read_text())
    {
      "accuracy": 1.0,
      "simulated": false
    }
    <BLANKLINE>
    """
    if nan_policy not in ("raise", "null"):
        raise ValueError(f"nan_policy must be 'raise' or 'null', got {nan_policy!r}")
    content = _strict(results, "results", nan_policy)
    if content.setdefault("simulated", bool(simulated)) != bool(simulated):
        raise ValueError(
            f"results['simulated'] is {content['simulated']!r} but the argument simulated is {bool(simulated)!r}"
        )
    folder = Path(folder).expanduser()
    paths = {"results": folder / "results.json"}
    texts = {
        paths["results"]: json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    }
    for name, table in (tables or {}).items():
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise ValueError(f"table name {name!r} is no file name: expected letters, digits, '_', '-' and '.'")
        if name == "results":
            raise ValueError("a table named 'results' would be taken for results.json; rename it")
        paths[name] = folder / f"{name}.csv"
        texts[paths[name]] = _tidy(name, table, simulated).to_csv(index=False, lineterminator="\n")
    write_files(texts)
    return paths


def environment_versions() -> dict[str, str]:
    """Return the versions that numbers depend on: Python, libraries and our packages.

    Libraries that a program loads only at need (JAX, torch, Matplotlib, …) are named when they
    are loaded. Nothing in it tells a path or a user.

    Returns
    -------
    dict of str to str
        Version by name, beginning with ``"python"`` and ``"platform"`` (system and processor).

    Examples
    --------
    >>> sorted({"numpy", "python", "conn-eval"} - set(environment_versions()))
    []
    """
    versions = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    loaded = tuple(name for name in _IF_LOADED if name in sys.modules)
    for name in (*_ALWAYS, *loaded, *_OURS):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _strict(value: Any, where: str, nan_policy: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        if nan_policy == "null":
            return None
        raise ValueError(f"{where} is {value}; nan_policy='null' writes it as null")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}; JSON knows text keys only")
        return {key: _strict(item, f"{where}[{key!r}]", nan_policy) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item, f"{where}[{i}]", nan_policy) for i, item in enumerate(value)]
    if hasattr(value, "__array__") and not isinstance(value, pd.DataFrame | pd.Series):
        array = np.asarray(value)
        if array.dtype.kind in "biufU":
            return _strict(array.tolist(), where, nan_policy)
    raise TypeError(
        f"{where} is a {type(value).__name__}, which JSON does not know: expected numbers, text, "
        "None, arrays, mappings or sequences (tables go into the argument tables)"
    )


def _tidy(name: str, table: pd.DataFrame, simulated: bool) -> pd.DataFrame:
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"table {name!r} is a {type(table).__name__}, expected a DataFrame")
    if not isinstance(table.index, pd.RangeIndex):
        if any(level is None for level in table.index.names):
            raise ValueError(
                f"table {name!r} has an index without a name, which a tidy file would lose: "
                "name it, or reset it with drop=True"
            )
        table = table.reset_index()
    if simulated:
        table = table.assign(simulated=True)
    return table
