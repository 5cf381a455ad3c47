"""Simulators that return the truth beside the data.

Every function takes ``rng``, a NumPy generator or a seed, and gives a small frozen dataclass with the data, what was
planted in them, and what is known about them exactly.
"""

from conn.data.simulators.autoregression import (
    BaccalaSystem,
    VARSimulation,
    autocovariance,
    baccala_sameshima,
    random_var_coefficients,
    simulate_var,
)
from conn.data.simulators.communities import CommunitySimulation, simulate_communities
from conn.data.simulators.fmri_network import FMRINetworkSimulation, clustered_network, simulate_fmri_network
from conn.data.simulators.gene_connectome import GeneConnectomeSimulation, simulate_gene_connectome
from conn.data.simulators.haemodynamics import (
    BALLOON,
    CANONICAL,
    GLOVER,
    SPM12_BALLOON,
    HRFConvention,
    balloon,
    double_gamma,
    sampled_hrf,
)
from conn.data.simulators.lorenz96 import Lorenz96Simulation, lorenz96_rates, simulate_lorenz96
from conn.data.simulators.maps import Kernel, MapSimulation, simulate_maps
from conn.data.simulators.motion import MotionSimulation, add_motion, motion_traces
from conn.data.simulators.ornstein_uhlenbeck import OUSimulation, simulate_ou
from conn.data.simulators.oscillators import OscillatorSimulation, simulate_oscillators
from conn.data.simulators.population import (
    BehaviourSimulation,
    PopulationSimulation,
    simulate_behaviour,
    simulate_population,
)
from conn.data.simulators.states import (
    StateSimulation,
    dwell_transition,
    markov_states,
    simulate_states,
    stationary_distribution,
)
from conn.data.simulators.stimulus import (
    Measurement,
    ResponseSimulation,
    calcium_kernel,
    event_stimulus,
    measure,
    simulate_responses,
)
from conn.data.simulators.surrogates import MatchedSimulation, simulate_like, simulate_matched

__all__ = [
    "BALLOON",
    "CANONICAL",
    "GLOVER",
    "SPM12_BALLOON",
    "BaccalaSystem",
    "BehaviourSimulation",
    "CommunitySimulation",
    "FMRINetworkSimulation",
    "GeneConnectomeSimulation",
    "HRFConvention",
    "Kernel",
    "Lorenz96Simulation",
    "MapSimulation",
    "MatchedSimulation",
    "Measurement",
    "MotionSimulation",
    "OUSimulation",
    "OscillatorSimulation",
    "PopulationSimulation",
    "ResponseSimulation",
    "StateSimulation",
    "VARSimulation",
    "add_motion",
    "autocovariance",
    "baccala_sameshima",
    "balloon",
    "calcium_kernel",
    "clustered_network",
    "double_gamma",
    "dwell_transition",
    "event_stimulus",
    "lorenz96_rates",
    "markov_states",
    "measure",
    "motion_traces",
    "random_var_coefficients",
    "sampled_hrf",
    "simulate_behaviour",
    "simulate_communities",
    "simulate_fmri_network",
    "simulate_gene_connectome",
    "simulate_like",
    "simulate_lorenz96",
    "simulate_maps",
    "simulate_matched",
    "simulate_oscillators",
    "simulate_ou",
    "simulate_population",
    "simulate_responses",
    "simulate_states",
    "simulate_var",
    "stationary_distribution",
]
