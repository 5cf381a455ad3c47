"""Denoising of runs against nilearn: `python tests/benchmarks/run.py temporal`.

Both sides do the same work to the same numbers: 36 confounds, a line, a Butterworth band-pass forwards and backwards on
the series and on the confounds, z-scores. Times are those of the process, so that other programs on the machine count
little; on one core with nothing else running they are the wall's.
"""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _timing import seconds

N_RUNS, N_REGIONS, N_FRAMES, N_CONFOUNDS = 30, 400, 1200, 36
REPETITION_TIME, BAND = 0.8, (0.01, 0.1)


def rows(repeats: int = 5) -> list[dict[str, Any]]:
    """Return one row a precision: both times, the ratio (median over repeats), the agreement and the memory."""
    import nilearn.signal

    rng = np.random.default_rng(0)
    confounds = rng.normal(size=(N_RUNS, N_CONFOUNDS, N_FRAMES)).cumsum(-1)
    mixing = rng.normal(size=(N_RUNS, N_REGIONS, N_CONFOUNDS))
    series = rng.normal(size=(N_RUNS, N_REGIONS, N_FRAMES)) + mixing @ confounds / 10

    def peer() -> np.ndarray:
        low, high = BAND
        cleaned = [
            nilearn.signal.clean(x.T, confounds=c.T, high_pass=low, low_pass=high, t_r=REPETITION_TIME).T
            for x, c in zip(series, confounds, strict=True)
        ]
        return np.stack(cleaned)

    return [_row(dtype, series, confounds, peer, repeats, nilearn.__version__) for dtype in ("float32", "float64")]


def _row(
    dtype: str,
    series: np.ndarray,
    confounds: np.ndarray,
    peer: Callable[[], np.ndarray],
    repeats: int,
    version: str,
) -> dict[str, Any]:
    import jax
    from threadpoolctl import threadpool_limits

    from conn.functional import clean

    with jax.enable_x64(dtype == "float64"), threadpool_limits(1):
        arrays = jax.numpy.asarray(series, dtype), jax.numpy.asarray(confounds, dtype)
        begin = time.perf_counter()
        compiled = (
            jax.jit(lambda x, c: clean(x, c, band=BAND, repetition_time=REPETITION_TIME)).lower(*arrays).compile()
        )
        compilation = time.perf_counter() - begin
        expected = peer()
        error = float(np.abs(np.asarray(compiled(*arrays)) - expected).max() / np.abs(expected).max())
        pairs = [(seconds(peer), seconds(lambda: compiled(*arrays).block_until_ready())) for _ in range(repeats)]
    memory = compiled.memory_analysis()
    return {
        "row": "clean with 36 confounds and band-pass, 30 runs of 400 x 1200",
        "estimator": "conn.functional.clean",
        "peer": f"nilearn.signal.clean {version}, float64",
        "dtype": dtype,
        "cores": len(os.sched_getaffinity(0)),
        "peer_seconds": statistics.median(theirs for theirs, _ in pairs),
        "seconds": statistics.median(ours for _, ours in pairs),
        "ratio": statistics.median(theirs / ours for theirs, ours in pairs),
        "target": 10.0,
        "largest_difference": error,
        "compilation_seconds": compilation,
        "temporary_bytes": memory.temp_size_in_bytes,
        "input_and_output_bytes": memory.argument_size_in_bytes + memory.output_size_in_bytes,
    }
