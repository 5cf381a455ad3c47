"""Dynamic representational models: recurrent artificial brains fitted to measurements."""

from drm._version import __version__

__all__ = ["__version__"]
