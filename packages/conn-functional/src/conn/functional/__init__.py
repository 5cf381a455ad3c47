"""Differentiable primitives for functional connectomics: plain arrays in, plain arrays out.

Every function is batched over leading axes and works under ``jit``, ``vmap`` and ``grad``.
"""

from conn.functional._version import __version__
from conn.functional.analytic import (
    analytic_signal,
    envelope,
    hilbert_transform,
    instantaneous_frequency,
    instantaneous_phase,
    unwrap,
)
from conn.functional.coherence import (
    coherence,
    coherency,
    imaginary_coherence,
)
from conn.functional.covariance import corr, cov
from conn.functional.engine import extend_to_max_size
from conn.functional.filters import (
    design_sections,
    ideal_response,
    product_filter,
    product_filtfilt,
    sections_response,
    sosfilt,
    sosfiltfilt,
)
from conn.functional.graph import (
    degree,
    laplacian,
    strength,
)
from conn.functional.modularity import (
    coaffiliation,
    constant_potts_null,
    correlation_null,
    girvan_newman_null,
    modularity_matrix,
    multilayer_modularity,
    relaxed_modularity,
)
from conn.functional.network_measures import (
    assortativity,
    clustering_coefficient,
    participation_coefficient,
    rich_club_coefficient,
    within_module_z,
)
from conn.functional.parameters import (
    MappedLogits,
    MappedParameter,
    ProbabilitySimplexParameter,
)
from conn.functional.shortest_paths import global_efficiency, local_efficiency, shortest_path_length
from conn.functional.spectrum import (
    SegmentSpectra,
    alff,
    cross_spectrum,
    falff,
    power_spectrum,
    segment_spectra,
)

__all__ = [
    "MappedLogits",
    "MappedParameter",
    "ProbabilitySimplexParameter",
    "SegmentSpectra",
    "__version__",
    "alff",
    "analytic_signal",
    "assortativity",
    "clustering_coefficient",
    "coaffiliation",
    "coherence",
    "coherency",
    "constant_potts_null",
    "corr",
    "correlation_null",
    "cov",
    "cross_spectrum",
    "degree",
    "design_sections",
    "envelope",
    "extend_to_max_size",
    "falff",
    "girvan_newman_null",
    "global_efficiency",
    "hilbert_transform",
    "ideal_response",
    "imaginary_coherence",
    "instantaneous_frequency",
    "instantaneous_phase",
    "laplacian",
    "local_efficiency",
    "modularity_matrix",
    "multilayer_modularity",
    "participation_coefficient",
    "power_spectrum",
    "product_filter",
    "product_filtfilt",
    "relaxed_modularity",
    "rich_club_coefficient",
    "sections_response",
    "segment_spectra",
    "shortest_path_length",
    "sosfilt",
    "sosfiltfilt",
    "strength",
    "unwrap",
    "within_module_z",
]
