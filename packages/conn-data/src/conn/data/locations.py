"""Where data lie on this computer: the user's data folder and the per-user cache."""

import os
from pathlib import Path

from conn.data.errors import DataError

__all__ = ["asked_offline", "cache_folder", "data_folder"]


def data_folder(data_dir: str | Path | None = None) -> Path | None:
    """Return the folder of data that the user already has, or None.

    Parameters
    ----------
    data_dir : path, default None
        The folder; None takes the one named by the environment variable ``CONN_DATA_DIR``.

    Raises
    ------
    DataError
        If what is named is not a folder.
    """
    named_by = "data_dir"
    if data_dir is None:
        named_by = "CONN_DATA_DIR"
        data_dir = os.environ.get("CONN_DATA_DIR") or None
    if data_dir is None:
        return None
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        raise DataError(f"{named_by} names {folder}, which is not a folder")
    return folder


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Return the folder that downloads are kept in; it need not exist yet.

    Parameters
    ----------
    cache_dir : path, default None
        The folder; None takes the one named by the environment variable ``CONN_CACHE_DIR``, and
        without it the operating system's per-user cache folder.
    """
    named = cache_dir if cache_dir is not None else os.environ.get("CONN_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("conn"))


def asked_offline(offline: bool) -> bool:
    """Return whether the network must not be used: by argument, or by ``CONN_OFFLINE``.

    Parameters
    ----------
    offline : bool
        True forbids it whatever the environment says.

    Raises
    ------
    DataError
        If ``CONN_OFFLINE`` is none of ``1``, ``true``, ``yes``, ``0``, ``false``, ``no`` and empty.
    """
    said = os.environ.get("CONN_OFFLINE", "").strip().lower()
    if said not in ("", "0", "false", "no", "1", "true", "yes"):
        raise DataError(f"CONN_OFFLINE is {said!r}, expected 1 or 0")
    return offline or said in ("1", "true", "yes")
