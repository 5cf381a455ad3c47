"""The names that the framework's seed document has in its base module."""

from drm.loss import DRMLoss
from drm.network import DRMNet
from drm.node import DRMNode
from drm.training import DRM

__all__ = ["DRM", "DRMLoss", "DRMNet", "DRMNode"]
