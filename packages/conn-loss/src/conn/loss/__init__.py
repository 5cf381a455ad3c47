"""Losses, reductions and loss schemes for functional connectomics, in JAX."""

from conn.loss._version import __version__

__all__ = ["__version__"]
