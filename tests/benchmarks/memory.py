"""Temporary memory of what `conn.functional` compiles, as a multiple of its inputs and outputs together.

Nothing is run: XLA says how much a compiled program asks for. A multiple above 1 (rounded to a tenth) is an exception,
and named with its reason; one that is not named, or is named and no longer one, stops the suite.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import conn.functional as cf

COLUMNS = ("row", "dtype", "peer", "temporary_mib", "inputs_and_outputs_mib", "ratio", "target", "exception")
N_REGIONS, N_FRAMES, N_CONFOUNDS, N_COMMUNITIES, N_LAYERS = 400, 1200, 36, 17, 4
TR = 2.0
SECTIONS = cf.design_sections("butterworth", band=(0.01, 0.1), repetition_time=TR, order=3)

SERIES = jax.ShapeDtypeStruct((N_REGIONS, N_FRAMES), jnp.float32)
PART = jax.ShapeDtypeStruct((50, N_FRAMES), jnp.float32)
WEIGHT = jax.ShapeDtypeStruct((N_FRAMES,), jnp.float32)
MASK = jax.ShapeDtypeStruct((N_FRAMES,), jnp.bool_)
CONFOUNDS = jax.ShapeDtypeStruct((N_CONFOUNDS, N_FRAMES), jnp.float32)
GRAPH = jax.ShapeDtypeStruct((N_REGIONS, N_REGIONS), jnp.float32)
SMALL_GRAPH = jax.ShapeDtypeStruct((100, 100), jnp.float32)
SOFT = jax.ShapeDtypeStruct((N_REGIONS, N_COMMUNITIES), jnp.float32)
LAYERS = jax.ShapeDtypeStruct((N_LAYERS, N_REGIONS, N_REGIONS), jnp.float32)
SOFT_LAYERS = jax.ShapeDtypeStruct((N_LAYERS, N_REGIONS, N_COMMUNITIES), jnp.float32)
BINS = jax.ShapeDtypeStruct((N_FRAMES // 2 + 1,), jnp.float32)

Call = tuple[Callable[..., Any], tuple[jax.ShapeDtypeStruct, ...]]

CALLS: dict[str, Call] = {
    # covariance
    "cov": (cf.cov, (SERIES,)),
    "corr": (cf.corr, (SERIES,)),
    "corr, weighted and masked": (lambda x, w, m: cf.corr(x, weight=w, mask=m), (SERIES, WEIGHT, MASK)),
    "paired_corr": (cf.paired_corr, (SERIES, SERIES)),
    "conditional_corr": (cf.conditional_corr, (SERIES, CONFOUNDS)),
    "partial_corr, Ledoit-Wolf": (lambda x: cf.partial_corr(x, shrinkage="ledoit_wolf"), (SERIES,)),
    "ledoit_wolf": (cf.ledoit_wolf, (SERIES,)),
    "oas": (cf.oas, (SERIES,)),
    "distance_corr, 50 regions": (cf.distance_corr, (PART,)),
    "effective_degrees_of_freedom": (cf.effective_degrees_of_freedom, (SERIES,)),
    "lagged_corr, 5 lags": (lambda x: cf.lagged_corr(x, [-2, -1, 0, 1, 2]), (SERIES,)),
    "sliding_window_corr, 100 of 1200 frames, step 20": (
        lambda x: cf.sliding_window_corr(x, width=100, step=20),
        (SERIES,),
    ),
    "edge_time_series, 50 regions": (cf.edge_time_series, (PART,)),
    "dynamic_conditional_corr, 50 regions": (cf.dynamic_conditional_corr, (PART,)),
    # graph
    "modularity_matrix": (cf.modularity_matrix, (GRAPH,)),
    "modularity_matrix, both signs": (lambda a: cf.modularity_matrix(a, sign="both"), (GRAPH,)),
    "coaffiliation": (cf.coaffiliation, (SOFT,)),
    "relaxed_modularity": (cf.relaxed_modularity, (GRAPH, SOFT)),
    "relaxed_modularity, gradient": (jax.grad(cf.relaxed_modularity, argnums=1), (GRAPH, SOFT)),
    "multilayer_modularity, 4 layers": (cf.multilayer_modularity, (LAYERS, SOFT_LAYERS)),
    "laplacian, symmetric": (lambda a: cf.laplacian(a, normalisation="symmetric"), (GRAPH,)),
    "clustering_coefficient": (cf.clustering_coefficient, (GRAPH,)),
    "participation_coefficient": (cf.participation_coefficient, (GRAPH, SOFT)),
    "within_module_z": (cf.within_module_z, (GRAPH, SOFT)),
    "assortativity": (cf.assortativity, (GRAPH,)),
    "global_efficiency, 100 regions": (cf.global_efficiency, (SMALL_GRAPH,)),
    # spectral
    "product_filter": (cf.product_filter, (SERIES, BINS)),
    "sosfiltfilt": (lambda x: cf.sosfiltfilt(x, SECTIONS), (SERIES,)),
    "analytic_signal": (cf.analytic_signal, (SERIES,)),
    "envelope": (cf.envelope, (SERIES,)),
    "power_spectrum": (lambda x: cf.power_spectrum(x, repetition_time=TR, segment_length=128), (SERIES,)),
    "alff": (lambda x: cf.alff(x, repetition_time=TR), (SERIES,)),
    "coherence": (lambda x: cf.coherence(x, segment_length=128), (SERIES,)),
    "phase_locking_value": (cf.phase_locking_value, (SERIES,)),
    "phase_lag_index": (cf.phase_lag_index, (SERIES,)),
    "weighted_phase_lag_index": (cf.weighted_phase_lag_index, (SERIES,)),
    "envelope_correlation": (cf.envelope_correlation, (SERIES,)),
    "wavelet_coherence, 50 regions, 8 frequencies": (
        lambda a, b: cf.wavelet_coherence(a, b, [0.02 + 0.01 * step for step in range(8)], repetition_time=TR),
        (PART, PART),
    ),
    # temporal
    "detrend": (cf.detrend, (SERIES,)),
    "standardise": (cf.standardise, (SERIES,)),
    "residualise": (cf.residualise, (SERIES, CONFOUNDS)),
    "linear_interpolate": (cf.linear_interpolate, (SERIES, MASK)),
    "cubic_interpolate": (cf.cubic_interpolate, (SERIES, MASK)),
    "spectral_interpolate": (cf.spectral_interpolate, (SERIES, MASK)),
    "clean": (
        lambda x, c, m: cf.clean(x, c, mask=m, band=(0.01, 0.1), repetition_time=TR),
        (SERIES, CONFOUNDS, MASK),
    ),
}

EXCEPTIONS: dict[str, str] = {
    "corr, weighted and masked": "a centred series, and the same weighted",
    "paired_corr": "both series, centred and scaled",
    "conditional_corr": "both series centred, and what remains of the first",
    "partial_corr, Ledoit-Wolf": "the centred series and its squares, from which the shrinkage is estimated",
    "ledoit_wolf": "the centred series and its squares, from which the shrinkage is estimated",
    "distance_corr, 50 regions": "the distances of every two frames, for a block of regions at a time",
    "effective_degrees_of_freedom": "complex spectra of series padded to twice their length",
    "lagged_corr, 5 lags": "a shifted series for each lag",
    "relaxed_modularity": "positive part and null model, as matrices",
    "relaxed_modularity, gradient": "positive part and null model, as matrices",
    "clustering_coefficient": "cube roots of the weights, and their products",
    "assortativity": "weights and products of strengths, as matrices",
    "global_efficiency, 100 regions": "lengths, and the shortest of them so far",
    "envelope": "complex numbers, before their modulus is taken",
    "power_spectrum": "complex spectra of overlapping segments",
    "alff": "complex spectra",
    "phase_locking_value": "complex phasors, and the complex products of every two regions",
    "phase_lag_index": "complex phasors, and their products for a row of pairs at a time",
    "weighted_phase_lag_index": "complex phasors, and their products for a row of pairs at a time",
    "envelope_correlation": "complex series, and a block of rows of orthogonalised envelopes",
    "wavelet_coherence, 50 regions, 8 frequencies": "complex transforms of both series at every frequency",
    "cubic_interpolate": "slopes at, and indices of, the frames on both sides of a gap",
    "spectral_interpolate": "complex spectra of series eight times as long (its oversampling)",
    "clean": "the data interpolated and padded for the filter, and an array for each end of the recursion",
}


def rows(repeats: int = 1) -> list[dict[str, Any]]:
    """Return one row for each call; `repeats` is not needed, since nothing is timed."""
    del repeats
    results = []
    for name, (function, arguments) in CALLS.items():
        begin = time.perf_counter()
        memory = jax.jit(function).lower(*arguments).compile().memory_analysis()
        whole = memory.argument_size_in_bytes + memory.output_size_in_bytes
        results.append(
            {
                "row": name,
                "estimator": f"conn.functional.{name.partition(',')[0]}",
                "peer": "inputs and outputs",
                "dtype": "float32",
                "cores": len(os.sched_getaffinity(0)),
                "temporary_mib": memory.temp_size_in_bytes / 2**20,
                "inputs_and_outputs_mib": whole / 2**20,
                "ratio": memory.temp_size_in_bytes / whole,
                "target": 1.0,
                "exception": EXCEPTIONS.get(name, ""),
                "compilation_seconds": time.perf_counter() - begin,
            }
        )
    wrong = [result["row"] for result in results if (round(result["ratio"], 1) > 1.0) is not bool(result["exception"])]
    if wrong:
        lines = "\n".join(f"{result['row']}: {result['ratio']:.2f}" for result in results)
        raise SystemExit(f"{lines}\n\nthese ask for more and no reason is named, or for no more and one is: {wrong}")
    return results
