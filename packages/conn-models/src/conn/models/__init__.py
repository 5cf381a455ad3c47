"""Model families of functional connectomics: each has ``fit``, results ending in ``_``, and ``score``."""

from conn.models._version import __version__
from conn.models.attention import AttentionForecaster
from conn.models.community import DynamicCommunityModel
from conn.models.resolution import ChosenResolution, choose_resolution
from conn.models.states import CoactivationPatterns, GaussianHMM, LEiDA
from conn.models.workflow import Workflow
from conn.models.workflow_stages import Censoring, Runs

__all__ = [
    "AttentionForecaster",
    "Censoring",
    "ChosenResolution",
    "CoactivationPatterns",
    "DynamicCommunityModel",
    "GaussianHMM",
    "LEiDA",
    "Runs",
    "Workflow",
    "__version__",
    "choose_resolution",
]
