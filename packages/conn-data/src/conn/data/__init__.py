"""Data sets, readers and simulators for functional connectomics, without JAX or torch."""

from conn.data._version import __version__

__all__ = ["__version__"]
