"""Metrics, nulls, fingerprinting and reports for functional connectomics."""

from conn.eval._version import __version__

__all__ = ["__version__"]
