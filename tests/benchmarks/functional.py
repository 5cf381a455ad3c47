"""The covariance family against its peers, in one process: `python tests/benchmarks/run.py functional`.

A row is a function that takes the number of repeats and returns a list of results. Times are those of the process, so
that other programs on the machine count little; on one core with nothing else running they are the wall's. Ratios are
medians over pairs of measurements, ours straight after the peer's.
"""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _timing import seconds

N_SCANS, N_REGIONS, N_FRAMES = 30, 400, 1200
N_COMMUNITIES, N_STACK_FRAMES = 10, 814

Result = dict[str, Any]


def correlation(repeats: int) -> list[Result]:
    """Plain correlation against NumPy's in a loop, and against nilearn's estimator."""
    import nilearn
    from nilearn.connectome import ConnectivityMeasure
    from sklearn.covariance import EmpiricalCovariance

    from conn.functional import corr

    scans = _scans()

    def by_numpy() -> np.ndarray:
        return np.stack([np.corrcoef(scan) for scan in scans])

    def by_nilearn() -> np.ndarray:
        estimator = EmpiricalCovariance(store_precision=False)
        measure = ConnectivityMeasure(kind="correlation", cov_estimator=estimator, standardize=False)
        return measure.fit_transform([scan.T for scan in scans])

    peers = {f"numpy.corrcoef {np.__version__} in a loop, float64": by_numpy}
    peers[f"nilearn EmpiricalCovariance {nilearn.__version__}, float64"] = by_nilearn
    return [
        _against(
            "correlation 30 x 400 x 1200", "conn.functional.corr", corr, (scans,), dtype, peer, call, target, repeats
        )
        for dtype, target in (("float64", 1.0), ("float32", 2.5))
        for peer, call in peers.items()
    ]


def shrinkage(repeats: int) -> list[Result]:
    """Ledoit-Wolf correlation and partial correlation against nilearn's defaults."""
    import nilearn
    from nilearn.connectome import ConnectivityMeasure

    from conn.functional import corr_from_cov, ledoit_wolf, partial_corr

    scans = _scans()

    def of_kind(kind: str) -> Callable[[], np.ndarray]:
        return lambda: ConnectivityMeasure(kind=kind, standardize=False).fit_transform([scan.T for scan in scans])

    def shrunk_correlation(series: jax.Array) -> jax.Array:
        return corr_from_cov(ledoit_wolf(series).covariance)

    def shrunk_partial(series: jax.Array) -> jax.Array:
        return partial_corr(series, shrinkage="ledoit_wolf")

    peer = f"nilearn ConnectivityMeasure {nilearn.__version__}, float64"
    return [
        _against(row, estimator, ours, (scans,), dtype, peer, of_kind(kind), 3.0, repeats)
        for dtype in ("float64", "float32")
        for row, estimator, ours, kind in (
            (
                "Ledoit-Wolf correlation 30 x 400 x 1200",
                "conn.functional.ledoit_wolf",
                shrunk_correlation,
                "correlation",
            ),
            ("Ledoit-Wolf partial correlation", "conn.functional.partial_corr", shrunk_partial, "partial correlation"),
        )
    ]


def weighted_stack(repeats: int) -> list[Result]:
    """Value and gradient of a stack of weighted correlations against the textbook's expression, both compiled."""
    from conn.functional import corr

    rng = np.random.default_rng(0)
    series = rng.normal(size=(N_SCANS, 1, N_REGIONS, N_STACK_FRAMES)).astype(np.float32)
    weights = rng.uniform(0.05, 1.0, size=(N_SCANS, N_COMMUNITIES, N_STACK_FRAMES)).astype(np.float32)
    probe = jnp.asarray(rng.normal(size=(N_REGIONS, N_REGIONS)).astype(np.float32))

    def textbook(x: jax.Array, w: jax.Array) -> jax.Array:
        w = (w / w.sum(-1, keepdims=True))[..., None, :]
        centred = x - (x * w).sum(-1, keepdims=True)
        product = (centred * w) @ jnp.swapaxes(centred, -1, -2)
        deviation = jnp.sqrt(jnp.diagonal(product, axis1=-2, axis2=-1))
        return product / deviation[..., :, None] / deviation[..., None, :]

    def objective(estimate: Callable) -> Callable:
        return jax.value_and_grad(lambda w, x: (probe * estimate(x, w)).sum() / N_REGIONS)

    arrays = jnp.asarray(weights), jnp.asarray(series)
    begin = time.perf_counter()
    ours = jax.jit(objective(lambda x, w: corr(x, weight=w))).lower(*arrays).compile()
    compilation = time.perf_counter() - begin
    theirs = jax.jit(objective(textbook)).lower(*arrays).compile()
    (value, gradient), (expected, slope) = ours(*arrays), theirs(*arrays)
    error = float(jnp.abs(gradient - slope).max() / jnp.abs(slope).max())
    pairs = [
        (
            seconds(lambda: jax.block_until_ready(theirs(*arrays))),
            seconds(lambda: jax.block_until_ready(ours(*arrays))),
        )
        for _ in range(repeats)
    ]
    peer_memory = theirs.memory_analysis()
    result = _result(
        "weighted stack 30 x 10 x 400 x 814, value and gradient in the weights",
        "conn.functional.corr",
        "textbook expression, compiled, float32",
        "float32",
        pairs,
        1.4,
        max(error, abs(float(value - expected)) / max(abs(float(expected)), 1.0)),
        compilation,
        ours.memory_analysis(),
    )
    return [{**result, "peer_temporary_bytes": peer_memory.temp_size_in_bytes}]


def clean(repeats: int) -> list[Result]:
    """Denoising against nilearn."""
    import temporal

    return temporal.rows(repeats)


ROWS: dict[str, Callable[[int], list[Result]]] = {
    "correlation": correlation,
    "shrinkage": shrinkage,
    "weighted-stack": weighted_stack,
    "clean": clean,
}


def rows(repeats: int = 5, names: list[str] | None = None) -> list[Result]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


def _scans() -> np.ndarray:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(N_REGIONS, 40))
    return rng.normal(size=(N_SCANS, N_REGIONS, N_FRAMES)) + mixing @ rng.normal(size=(N_SCANS, 40, N_FRAMES)) / 4


def _against(
    row: str,
    estimator: str,
    function: Callable[..., jax.Array],
    inputs: tuple[np.ndarray, ...],
    dtype: str,
    peer: str,
    call: Callable[[], np.ndarray],
    target: float,
    repeats: int,
) -> Result:
    with jax.enable_x64(dtype == "float64"):
        arrays = [jnp.asarray(array, dtype) for array in inputs]
        begin = time.perf_counter()
        compiled = jax.jit(function).lower(*arrays).compile()
        compilation = time.perf_counter() - begin
        error = float(np.abs(np.asarray(compiled(*arrays)) - call()).max())
        pairs = [(seconds(call), seconds(lambda: compiled(*arrays).block_until_ready())) for _ in range(repeats)]
    return _result(row, estimator, peer, dtype, pairs, target, error, compilation, compiled.memory_analysis())


def _result(
    row: str,
    estimator: str,
    peer: str,
    dtype: str,
    pairs: list[tuple[float, float]],
    target: float,
    error: float,
    compilation: float,
    memory: Any,
) -> Result:
    return {
        "row": row,
        "estimator": estimator,
        "peer": peer,
        "dtype": dtype,
        "cores": len(os.sched_getaffinity(0)),
        "peer_seconds": statistics.median(theirs for theirs, _ in pairs),
        "seconds": statistics.median(ours for _, ours in pairs),
        "ratio": statistics.median(theirs / ours for theirs, ours in pairs),
        "target": target,
        "largest_difference": error,
        "compilation_seconds": compilation,
        "temporary_bytes": memory.temp_size_in_bytes,
        "input_and_output_bytes": memory.argument_size_in_bytes + memory.output_size_in_bytes,
    }
