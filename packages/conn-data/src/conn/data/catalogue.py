"""The data sets that this package knows by name: listed, described, loaded, verified."""

import fnmatch
import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conn.data.cards import CARDS, DatasetCard, card_of
from conn.data.errors import DataError
from conn.data.local import LocalSet, registered_files
from conn.data.msc import verify_msc
from conn.data.registry import load_registry

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["describe_dataset", "list_datasets", "load_dataset", "verify_dataset"]


def list_datasets() -> "pd.DataFrame":
    """Return the data sets that are known by name, one row each.

    Returns
    -------
    pandas.DataFrame
        Columns ``name``, ``summary``, ``kind`` (``"scans"``, ``"maps"``, ``"surfaces"``, ``"regions"`` or
        ``"connectomes"``), ``megabytes`` (of the registered files), ``licence``, ``needs`` (``"network or
        folder"``, or ``"folder"`` for sets that are read from a local folder only) and ``loader``
        (function of `conn.data`).

    Examples
    --------
    >>> datasets = list_datasets()
    >>> datasets["name"].head(2).tolist()
    ['msc', 'schaefer2018']
    """
    import pandas as pd

    rows = [
        {
            "name": card.name,
            "summary": card.summary,
            "kind": card.kind,
            "megabytes": round(_bytes_of(card) / 1e6, 1),
            "licence": card.licence,
            "needs": card.needs,
            "loader": card.loader,
        }
        for card in CARDS.values()
    ]
    return pd.DataFrame(rows)


def describe_dataset(name: str) -> str:
    """Return what a data set holds, its source, terms and citation, as text of several lines.

    Parameters
    ----------
    name : str
        One of `list_datasets`.

    Returns
    -------
    str

    Raises
    ------
    DataError
        If there is no such data set.
    """
    card = card_of(name)
    lines = [card.describe(), f"size      {_bytes_of(card) / 1e6:.1f} MB"]
    if name == "msc":
        tasks: dict[str, int] = {}
        runs = load_registry().runs
        for run in runs:
            tasks[run.task] = tasks.get(run.task, 0) + 1
        lines.append(f"runs      {len(runs)}: {', '.join(f'{task} {n}' for task, n in sorted(tasks.items()))}")
    return "\n".join(lines)


def load_dataset(name: str, **options: Any) -> Any:
    """Return a data set by its name.

    Parameters
    ----------
    name : str
        One of `list_datasets`.
    **options
        Arguments of the set's loader, such as ``data_dir``, ``subjects``.

    Returns
    -------
    ScanSet, RegionMaps, RegionDataset, SurfaceSet, SurfaceParcellation or pandas.DataFrame
        What the loader that `list_datasets` names returns.

    Raises
    ------
    DataError
        If there is no such data set, it has no such option, or a file is not what it should be.
    DataUnavailableError
        If the files are not at hand and cannot be fetched.
    """
    load = getattr(importlib.import_module("conn.data"), card_of(name).loader)
    unknown = sorted(set(options) - set(inspect.signature(load).parameters))
    if unknown:
        raise DataError(f"{name} has no option {unknown[0]!r}; see conn.data.{card_of(name).loader}")
    return load(**options)


def verify_dataset(
    name: str,
    *,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    registry: str | Path | None = None,
) -> "pd.DataFrame":
    """Return the state of every registered file of a data set, hashed anew.

    Parameters
    ----------
    name : str
        One of `list_datasets`. Of ``"msc"`` it is the cache that is looked at, as in `verify_msc`;
        of the others the folder that their loader reads.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.
    registry : path, default None
        For ``"msc"``: a table of files in place of the built-in one.

    Returns
    -------
    pandas.DataFrame
        One row a file, columns ``path`` and ``state``: ``"intact"``, ``"damaged"`` (other bytes than
        the registered ones) or ``"absent"``.

    Raises
    ------
    DataError
        If there is no such data set, or `registry` is given for another than ``"msc"``.
    DataUnavailableError
        If the set's folder is nowhere.
    """
    import pandas as pd

    card = card_of(name)
    if name == "msc":
        return verify_msc(cache_dir=cache_dir, registry=registry)
    if registry is not None:
        raise DataError(f"a registry of one's own is for msc only, not for {name}")
    files = LocalSet(card, data_dir=data_dir, cache_dir=cache_dir)
    rows = [(path, files.state(path)) for path in _paths_of(card)]
    return pd.DataFrame(rows, columns=["path", "state"])


def _paths_of(card: DatasetCard) -> list[str]:
    """Return the registered files of a set, relative to its folder."""
    inside = [path.removeprefix(f"{card.folder}/") for path in registered_files() if path.startswith(f"{card.folder}/")]
    return [path for path in inside if any(fnmatch.fnmatch(path, pattern) for pattern in card.files)]


def _bytes_of(card: DatasetCard) -> int:
    if card.name == "msc":
        return sum(file.n_bytes for file in load_registry().files)
    return sum(registered_files()[f"{card.folder}/{path}"].n_bytes for path in _paths_of(card))
