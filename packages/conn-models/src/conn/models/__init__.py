"""Model families of functional connectomics: each has ``fit``, results ending in ``_``, and ``score``."""

from conn.models._version import __version__
from conn.models.attention import AttentionForecaster
from conn.models.community import DynamicCommunityModel

__all__ = ["AttentionForecaster", "DynamicCommunityModel", "__version__"]
