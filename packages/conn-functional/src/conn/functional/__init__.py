"""Differentiable primitives for functional connectomics, in JAX."""

from conn.functional._version import __version__

__all__ = ["__version__"]
