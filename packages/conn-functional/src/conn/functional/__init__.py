"""Differentiable primitives for functional connectomics: plain arrays in, plain arrays out.

Every function is batched over leading axes and works under ``jit``, ``vmap`` and ``grad``.
"""

from conn.functional._version import __version__
from conn.functional.affinity import affinity
from conn.functional.alignment import (
    Alignment,
    GroupAlignment,
    generalised_procrustes,
    joint_embedding,
    procrustes,
)
from conn.functional.analytic import (
    analytic_signal,
    envelope,
    hilbert_transform,
    instantaneous_frequency,
    instantaneous_phase,
    unwrap,
)
from conn.functional.autoregression import OrderChoice, VectorAutoregression, choose_order, fit_autoregression
from conn.functional.censoring import censoring_mask, dummy_frame_mask, framewise_displacement
from conn.functional.centre_of_mass import (
    centre_displacement,
    centre_of_mass,
    compactness,
    dispersion,
)
from conn.functional.cleaning import clean
from conn.functional.coherence import (
    coherence,
    coherency,
    imaginary_coherence,
)
from conn.functional.communities import (
    DetectedCommunities,
    coassignment,
    consensus_communities,
    detect_communities,
    detect_multilayer_communities,
    versatility,
)
from conn.functional.compression import vertical_compression
from conn.functional.confounds import detrend, residualise
from conn.functional.connectopy import Gradients, diffusion_map, laplacian_eigenmaps, principal_gradients
from conn.functional.convolution import convolve_series
from conn.functional.covariance import corr, corr_from_cov, cov, paired_corr, paired_cov
from conn.functional.cross_similarity import cross_similarity, low_rank_template, sylo
from conn.functional.degrees_of_freedom import (
    effective_degrees_of_freedom,
    fisher_z,
    fisher_z_standard_error,
    pooled_degrees_of_freedom,
)
from conn.functional.directed_spectra import (
    autoregressive_spectrum,
    directed_transfer_function,
    is_stable,
    partial_directed_coherence,
    spectral_granger,
)
from conn.functional.distance_correlation import (
    distance_corr,
)
from conn.functional.drift import (
    dct_basis,
)
from conn.functional.dynamic import (
    DynamicConditionalFit,
    dynamic_conditional_corr,
    dynamic_conditional_log_likelihood,
    edge_time_series,
    fit_dynamic_conditional_corr,
    sliding_window_corr,
)
from conn.functional.eigenpairs import Eigenpairs, leading_eigenpairs
from conn.functional.engine import extend_to_max_size
from conn.functional.envelope_correlation import (
    envelope_correlation,
)
from conn.functional.filter_bank import (
    ButterworthBank,
    FilterBank,
)
from conn.functional.filters import (
    design_sections,
    ideal_response,
    product_filter,
    product_filtfilt,
    sections_response,
    sosfilt,
    sosfiltfilt,
)
from conn.functional.frames import to_dataframe, to_xarray
from conn.functional.granger import GrangerTest, granger_causality, granger_test
from conn.functional.graph import (
    degree,
    laplacian,
    strength,
)
from conn.functional.graphical_lasso import (
    SparsePrecision,
    graphical_lasso,
)
from conn.functional.haemodynamics import balloon_response
from conn.functional.information import (
    dual_total_correlation,
    gaussian_entropy,
    gaussian_jensen_shannon,
    gaussian_kullback_leibler,
    gaussian_mutual_information,
    o_information,
    pairwise_mutual_information,
    total_correlation,
)
from conn.functional.interpolation import (
    cubic_interpolate,
    hybrid_interpolate,
    linear_interpolate,
    spectral_interpolate,
    weighted_interpolate,
)
from conn.functional.kernel import (
    cosine_kernel,
    gaussian_kernel,
    laplacian_kernel,
    linear_kernel,
    pairwise_distance,
    pairwise_squared_distance,
    polynomial_kernel,
    sigmoid_kernel,
)
from conn.functional.lagged import (
    lagged_corr,
    lagged_cov,
)
from conn.functional.matrix import (
    delete_diagonal,
    embed_diagonal,
    fill_diagonal,
    symmetrise,
    toeplitz,
    triangle_to_matrix,
    triangle_to_vector,
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
from conn.functional.operator_modularity import (
    constant_potts_modularity,
    constant_potts_operator,
    correlation_modularity,
    correlation_null_operator,
    girvan_newman_operator,
    rectified_modularity,
)
from conn.functional.operators import (
    block_mv,
    coaffiliation_operator,
    correlation_operator,
    elementwise_operator,
    laplacian_operator,
    low_rank_operator,
    operator_diagonal,
    operator_trace,
    quadratic_form,
    row_sums,
    to_dense,
)
from conn.functional.parameters import (
    AffineParameter,
    EllipsoidParameter,
    IdentityParameter,
    IsochoricParameter,
    MappedLogits,
    MappedParameter,
    NormSphereParameter,
    OrthogonalParameter,
    PositiveDefiniteParameter,
    PositiveParameter,
    ProbabilitySimplexParameter,
    TanhParameter,
)
from conn.functional.parcellate import (
    expand_parcels,
    label_matrix,
    parcel_means,
    parcellate,
    parcellation_operator,
)
from conn.functional.partial_covariance import (
    conditional_corr,
    conditional_cov,
    partial_corr,
    partial_cov,
    precision,
)
from conn.functional.phase import (
    phase_lag_index,
    phase_locking_value,
    weighted_phase_lag_index,
)
from conn.functional.recombination import recombine
from conn.functional.regression_dcm import RegressionDCM, regression_dcm
from conn.functional.shortest_paths import global_efficiency, local_efficiency, shortest_path_length
from conn.functional.shrinkage import (
    ShrunkCovariance,
    ledoit_wolf,
    oas,
    shrunk_cov,
)
from conn.functional.sparse import (
    sampled_product,
    sparse_inner_product,
    sparse_product,
    sparse_row_products,
    sparse_top_k_rows,
    top_k_rows,
)
from conn.functional.spatial_convolution import (
    NeighbourLists,
    euclidean_convolution,
    neighbour_lists,
    spherical_convolution,
)
from conn.functional.spd import nearest_spd, regularise_spd, spd_exp, spd_log, spd_power, spd_sqrt
from conn.functional.spd_geometry import cone_project, parallel_transport, spd_distance, spd_mean, tangent_project
from conn.functional.spectrum import (
    SegmentSpectra,
    alff,
    cross_spectrum,
    falff,
    power_spectrum,
    segment_spectra,
)
from conn.functional.sphere import (
    from_latitude_longitude,
    great_circle_distance,
    to_latitude_longitude,
)
from conn.functional.standardisation import standardise
from conn.functional.transfer_entropy import transfer_entropy
from conn.functional.wavelets import (
    MorletTransform,
    WaveletCoherence,
    morlet_transform,
    wavelet_coherence,
)
from conn.functional.windows import sample_windows, sliding_windows

__all__ = [
    "AffineParameter",
    "Alignment",
    "ButterworthBank",
    "DetectedCommunities",
    "DynamicConditionalFit",
    "Eigenpairs",
    "EllipsoidParameter",
    "FilterBank",
    "Gradients",
    "GrangerTest",
    "GroupAlignment",
    "IdentityParameter",
    "IsochoricParameter",
    "MappedLogits",
    "MappedParameter",
    "MorletTransform",
    "NeighbourLists",
    "NormSphereParameter",
    "OrderChoice",
    "OrthogonalParameter",
    "PositiveDefiniteParameter",
    "PositiveParameter",
    "ProbabilitySimplexParameter",
    "RegressionDCM",
    "SegmentSpectra",
    "ShrunkCovariance",
    "SparsePrecision",
    "TanhParameter",
    "VectorAutoregression",
    "WaveletCoherence",
    "__version__",
    "affinity",
    "alff",
    "analytic_signal",
    "assortativity",
    "autoregressive_spectrum",
    "balloon_response",
    "block_mv",
    "censoring_mask",
    "centre_displacement",
    "centre_of_mass",
    "choose_order",
    "clean",
    "clustering_coefficient",
    "coaffiliation",
    "coaffiliation_operator",
    "coassignment",
    "coherence",
    "coherency",
    "compactness",
    "conditional_corr",
    "conditional_cov",
    "cone_project",
    "consensus_communities",
    "constant_potts_modularity",
    "constant_potts_null",
    "constant_potts_operator",
    "convolve_series",
    "corr",
    "corr_from_cov",
    "correlation_modularity",
    "correlation_null",
    "correlation_null_operator",
    "correlation_operator",
    "cosine_kernel",
    "cov",
    "cross_similarity",
    "cross_spectrum",
    "cubic_interpolate",
    "dct_basis",
    "degree",
    "delete_diagonal",
    "design_sections",
    "detect_communities",
    "detect_multilayer_communities",
    "detrend",
    "diffusion_map",
    "directed_transfer_function",
    "dispersion",
    "distance_corr",
    "dual_total_correlation",
    "dummy_frame_mask",
    "dynamic_conditional_corr",
    "dynamic_conditional_log_likelihood",
    "edge_time_series",
    "effective_degrees_of_freedom",
    "elementwise_operator",
    "embed_diagonal",
    "envelope",
    "envelope_correlation",
    "euclidean_convolution",
    "expand_parcels",
    "extend_to_max_size",
    "falff",
    "fill_diagonal",
    "fisher_z",
    "fisher_z_standard_error",
    "fit_autoregression",
    "fit_dynamic_conditional_corr",
    "framewise_displacement",
    "from_latitude_longitude",
    "gaussian_entropy",
    "gaussian_jensen_shannon",
    "gaussian_kernel",
    "gaussian_kullback_leibler",
    "gaussian_mutual_information",
    "generalised_procrustes",
    "girvan_newman_null",
    "girvan_newman_operator",
    "global_efficiency",
    "granger_causality",
    "granger_test",
    "graphical_lasso",
    "great_circle_distance",
    "hilbert_transform",
    "hybrid_interpolate",
    "ideal_response",
    "imaginary_coherence",
    "instantaneous_frequency",
    "instantaneous_phase",
    "is_stable",
    "joint_embedding",
    "label_matrix",
    "lagged_corr",
    "lagged_cov",
    "laplacian",
    "laplacian_eigenmaps",
    "laplacian_kernel",
    "laplacian_operator",
    "leading_eigenpairs",
    "ledoit_wolf",
    "linear_interpolate",
    "linear_kernel",
    "local_efficiency",
    "low_rank_operator",
    "low_rank_template",
    "modularity_matrix",
    "morlet_transform",
    "multilayer_modularity",
    "nearest_spd",
    "neighbour_lists",
    "o_information",
    "oas",
    "operator_diagonal",
    "operator_trace",
    "paired_corr",
    "paired_cov",
    "pairwise_distance",
    "pairwise_mutual_information",
    "pairwise_squared_distance",
    "parallel_transport",
    "parcel_means",
    "parcellate",
    "parcellation_operator",
    "partial_corr",
    "partial_cov",
    "partial_directed_coherence",
    "participation_coefficient",
    "phase_lag_index",
    "phase_locking_value",
    "polynomial_kernel",
    "pooled_degrees_of_freedom",
    "power_spectrum",
    "precision",
    "principal_gradients",
    "procrustes",
    "product_filter",
    "product_filtfilt",
    "quadratic_form",
    "recombine",
    "rectified_modularity",
    "regression_dcm",
    "regularise_spd",
    "relaxed_modularity",
    "residualise",
    "rich_club_coefficient",
    "row_sums",
    "sample_windows",
    "sampled_product",
    "sections_response",
    "segment_spectra",
    "shortest_path_length",
    "shrunk_cov",
    "sigmoid_kernel",
    "sliding_window_corr",
    "sliding_windows",
    "sosfilt",
    "sosfiltfilt",
    "sparse_inner_product",
    "sparse_product",
    "sparse_row_products",
    "sparse_top_k_rows",
    "spd_distance",
    "spd_exp",
    "spd_log",
    "spd_mean",
    "spd_power",
    "spd_sqrt",
    "spectral_granger",
    "spectral_interpolate",
    "spherical_convolution",
    "standardise",
    "strength",
    "sylo",
    "symmetrise",
    "tangent_project",
    "to_dataframe",
    "to_dense",
    "to_latitude_longitude",
    "to_xarray",
    "toeplitz",
    "top_k_rows",
    "total_correlation",
    "transfer_entropy",
    "triangle_to_matrix",
    "triangle_to_vector",
    "unwrap",
    "versatility",
    "vertical_compression",
    "wavelet_coherence",
    "weighted_interpolate",
    "weighted_phase_lag_index",
    "within_module_z",
]
