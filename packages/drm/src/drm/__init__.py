"""Dynamic representational models: recurrent artificial brains fitted to measurements."""

from drm._version import __version__
from drm.balloon import BalloonReadout
from drm.base import DRM, DRMLoss, DRMNet, DRMNode
from drm.bold import BOLDReadout
from drm.connection import DRMConnection
from drm.gated import GRUPopulation, LSTMPopulation
from drm.haemodynamics import double_gamma, sampled_response
from drm.iterators import DRMIterator, events_to_samples
from drm.learned_delay import LearnedDelayConnection, TractConnection, Velocity
from drm.neural_mass import (
    HopfPopulation,
    JansenRitPopulation,
    NeuralMassPopulation,
    WilsonCowanPopulation,
    WongWangPopulation,
)
from drm.orientation import frames_last, time_first
from drm.population import DRMPopulation
from drm.rate import LeakyRatePopulation
from drm.readout import DRMReadout
from drm.wiring import connect

__all__ = [
    "DRM",
    "BOLDReadout",
    "BalloonReadout",
    "DRMConnection",
    "DRMIterator",
    "DRMLoss",
    "DRMNet",
    "DRMNode",
    "DRMPopulation",
    "DRMReadout",
    "GRUPopulation",
    "HopfPopulation",
    "JansenRitPopulation",
    "LSTMPopulation",
    "LeakyRatePopulation",
    "LearnedDelayConnection",
    "NeuralMassPopulation",
    "TractConnection",
    "Velocity",
    "WilsonCowanPopulation",
    "WongWangPopulation",
    "__version__",
    "connect",
    "double_gamma",
    "events_to_samples",
    "frames_last",
    "sampled_response",
    "time_first",
]
