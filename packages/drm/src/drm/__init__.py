"""Dynamic representational models: recurrent artificial brains fitted to measurements."""

from drm._version import __version__
from drm.balloon import BalloonReadout
from drm.base import DRM, DRMLoss, DRMNet, DRMNode
from drm.bold import BasisReadout, BOLDReadout
from drm.connection import DRMConnection
from drm.description import build, describe, load_description, save_description
from drm.distance import conduction_delays, distances
from drm.gated import GRUPopulation, LSTMPopulation
from drm.haemodynamics import derivative_responses, double_gamma, fir_responses, sampled_response
from drm.inspection import Edge, currents, edges, summary, to_dot
from drm.iterators import DRMIterator, events_to_samples
from drm.joint import JointReadout
from drm.learned_delay import LearnedDelayConnection, TractConnection, Velocity, narrow_delays
from drm.low_rank import LowRankConnection
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
from drm.segments import RandomSegments, time_folds
from drm.ticks import Ticks
from drm.voxels import region_means, units_of, voxel_mask
from drm.wiring import connect

__all__ = [
    "DRM",
    "BOLDReadout",
    "BalloonReadout",
    "BasisReadout",
    "DRMConnection",
    "DRMIterator",
    "DRMLoss",
    "DRMNet",
    "DRMNode",
    "DRMPopulation",
    "DRMReadout",
    "Edge",
    "GRUPopulation",
    "HopfPopulation",
    "JansenRitPopulation",
    "JointReadout",
    "LSTMPopulation",
    "LeakyRatePopulation",
    "LearnedDelayConnection",
    "LowRankConnection",
    "NeuralMassPopulation",
    "RandomSegments",
    "Ticks",
    "TractConnection",
    "Velocity",
    "WilsonCowanPopulation",
    "WongWangPopulation",
    "__version__",
    "build",
    "conduction_delays",
    "connect",
    "currents",
    "derivative_responses",
    "describe",
    "distances",
    "double_gamma",
    "edges",
    "events_to_samples",
    "fir_responses",
    "frames_last",
    "load_description",
    "narrow_delays",
    "region_means",
    "sampled_response",
    "save_description",
    "summary",
    "time_first",
    "time_folds",
    "to_dot",
    "units_of",
    "voxel_mask",
]
