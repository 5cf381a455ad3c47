"""Model families of functional connectomics, with fit and score."""

from conn.models._version import __version__

__all__ = ["__version__"]
