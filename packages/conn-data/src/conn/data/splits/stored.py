"""Folds in a JSON file that knows for which labels it was made."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conn.data.errors import DataError
from conn.data.splits.folds import Folds

__all__ = ["load_folds", "save_folds"]

_FORMAT = "conn.data.splits 1"


def save_folds(folds: Folds, path: str | Path, *, labels: Sequence[str] | None = None) -> Path:
    """Return the path of the JSON file that the folds were written to.

    The labels themselves are not written, only two checksums of them: a file of folds over people
    names nobody.

    Parameters
    ----------
    folds : Folds
        What to keep, inner folds included.
    path : path
        The file, with the suffix ``.json``; replaced when its successor is whole. Its folder is made.
    labels : sequence of str, one an item, optional
        Region labels or subject identifiers in the table's order. `load_folds` then asks for the same.

    Returns
    -------
    pathlib.Path
        Where the folds lie.

    Raises
    ------
    DataError
        If the suffix is another one, the labels do not fit or repeat, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".json":
        raise DataError(f"{path}: the file's name must end in .json")
    content = {"format": _FORMAT, **_checksums(labels, folds.n_items), **_as_json(folds)}
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        partial = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=1)
            stream.write("\n")
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
    return path


def load_folds(path: str | Path, *, labels: Sequence[str] | None = None) -> Folds:
    """Return the folds that `save_folds` wrote, for the labels that they were made for.

    Parameters
    ----------
    path : path
        The JSON file.
    labels : sequence of str, one an item
        The labels of the table at hand; may be left out only if the file was written without.

    Returns
    -------
    Folds
        As saved.

    Raises
    ------
    DataError
        If the file cannot be read or is no file of folds, if labels are missing, or if they differ from
        those of the file, in which case the message says whether only their order does.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from conn.data.splits import load_folds, random_folds, save_folds
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_folds(random_folds(4, 2), Path(folder) / "folds.json", labels=["a", "b", "c", "d"])
    ...     load_folds(path, labels=["a", "b", "c", "d"]).get_n_splits()
    2
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON text: {error}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise DataError(f"{path} is not a file of save_folds: its format is not {_FORMAT!r}")
    try:
        folds = _from_json(content)
    except KeyError as error:
        raise DataError(f"{path}: the field {error} is missing") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path} is not a file of save_folds: {error}") from error
    kept = content.get("labels_sha256")
    if kept is None:
        return folds
    if labels is None:
        raise DataError(f"{path} was written for certain labels: give those of the table at hand")
    found = _checksums(labels, folds.n_items)
    if found["labels_sha256"] == kept:
        return folds
    if found["sorted_labels_sha256"] == content.get("sorted_labels_sha256"):
        raise DataError(f"{path} was written for the same labels in another order: sort the table by label")
    raise DataError(f"{path} was written for other labels: their checksum is not {str(kept)[:12]}")


def _as_json(folds: Folds) -> dict[str, Any]:
    return {
        "method": folds.method,
        "settings": dict(folds.settings),
        "n_items": folds.n_items,
        "folds": [
            {"name": name, "train": train.tolist(), "test": test.tolist()}
            for name, train, test in zip(folds.names, folds.train, folds.test, strict=True)
        ],
        "inner": [_as_json(inner) for inner in folds.inner],
    }


def _from_json(content: dict[str, Any]) -> Folds:
    listed = content["folds"]
    return Folds(
        n_items=content["n_items"],
        train=tuple(np.asarray(fold["train"]) for fold in listed),
        test=tuple(np.asarray(fold["test"]) for fold in listed),
        names=tuple(str(fold["name"]) for fold in listed),
        method=str(content["method"]),
        settings=dict(content["settings"]),
        inner=tuple(_from_json(inner) for inner in content["inner"]),
    )


def _checksums(labels: Sequence[str] | None, n_items: int) -> dict[str, str]:
    if labels is None:
        return {}
    given = [str(label) for label in labels]
    if len(given) != n_items:
        raise DataError(f"there are {len(given)} labels, the folds are of {n_items} items")
    if len(set(given)) != len(given):
        twice = next(label for place, label in enumerate(given) if label in given[:place])
        raise DataError(f"the label {twice!r} stands twice")
    # As JSON, so that no label can contain the separator.
    return {
        name: hashlib.sha256(json.dumps(ordered).encode()).hexdigest()
        for name, ordered in (("labels_sha256", given), ("sorted_labels_sha256", sorted(given)))
    }
