"""Where data come from: source, version, licence, citation and checksums."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conn.data.errors import DataError

__all__ = ["ORIGINS", "Provenance", "sha256_of_file"]

ORIGINS = ("CONN_DATA_DIR", "cache", "network", "simulated", "files")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a data set comes from and what may be done with it.

    Parameters
    ----------
    dataset : str
        Name of the data set, as in `conn.data.list_datasets`.
    source : str
        Repository, address or program that the data come from.
    version : str
        Commit, release or seed that fixes the content.
    licence : str
        Terms, in words.
    citation : str
        What a paper should cite.
    origin : {"CONN_DATA_DIR", "cache", "network", "simulated", "files"}
        Where the bytes lay when they were read. A folder given as ``data_dir`` counts as
        ``"CONN_DATA_DIR"``; ``"files"`` are tables and files that the user named one by one.
    checksums : mapping of str to str, default empty
        Path inside the data set to SHA-256 (64 hexadecimal digits) of each file read.
    notes : tuple of str, default ()
        What a reader should know: substitutions, files that the source does not have.

    Raises
    ------
    DataError
        If `origin` is not one of these, or a checksum is not 64 hexadecimal digits.
    """

    dataset: str
    source: str
    version: str
    licence: str
    citation: str
    origin: str
    checksums: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS:
            raise DataError(f"origin {self.origin!r} is not one of {', '.join(ORIGINS)}")
        for path, checksum in self.checksums.items():
            if not re.fullmatch("[0-9a-f]{64}", checksum):
                raise DataError(f"checksum of {path}: {checksum!r} is not a SHA-256")
        object.__setattr__(self, "checksums", dict(self.checksums))
        object.__setattr__(self, "notes", tuple(self.notes))

    def describe(self) -> str:
        """Return the provenance as text, one fact a line."""
        lines = [
            f"data set   {self.dataset} ({self.version})",
            f"source     {self.source}",
            f"read from  {self.origin}",
            f"licence    {self.licence}",
            f"cite       {self.citation}",
        ]
        if self.checksums:
            lines.append(f"checksums  SHA-256 of {len(self.checksums)} file(s)")
        lines += [f"note       {note}" for note in self.notes]
        return "\n".join(lines)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
