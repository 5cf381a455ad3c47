"""Files that hold what training needs to go on: tensors, numbers and text, nothing that runs."""

import io
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch

__all__ = ["read_checkpoint", "write_checkpoint"]

_FORMAT = "drm-checkpoint-1"


def write_checkpoint(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write a checkpoint; an older file of that name stays whole until the new one is complete.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    content : dict
        Tensors, numbers, text, and lists and dicts of them.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save({"format": _FORMAT, **content}, file)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of a checkpoint; nothing in the file is executed.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict
        What `write_checkpoint` was given; tensors are on the host.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a checkpoint of this package, or is damaged.
    """
    # Read first: what goes wrong after this is the content's fault, not the file system's.
    data = io.BytesIO(Path(path).read_bytes())
    # torch says what is wrong with a damaged archive in as many ways as there are damages.
    damaged = (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError)
    try:
        content = torch.load(data, map_location="cpu", weights_only=True)
    except damaged as error:
        raise ValueError(f"{os.fspath(path)} is not a checkpoint, or is damaged.") from error
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise ValueError(f"{os.fspath(path)} is not a checkpoint of this version of drm.")
    return content
