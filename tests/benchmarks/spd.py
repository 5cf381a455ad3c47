"""Means and tangents of 30 SPD matrices of 400 regions, at the same accuracy as the peers.

The matrices are Ledoit-Wolf correlations: of simulated scans of 1,200 frames (subjects' own components, seed 0), and,
where CONN_DATA_DIR holds them, of the 30 resting scans of the Midnight Scan Club. The solution is pyRiemann's at a
tolerance of 1e-12; pyRiemann runs with the largest power of ten as tolerance that brings it within 1e-7 of the solution
(relative, in Frobenius norm), ours with its default, nilearn as it is, for it has no such choice: each one's error is
printed. So is the number of eigendecompositions of matrices of 400 x 400, ours in single and in double precision.
"""

import collections
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import nilearn
import numpy as np
import pyriemann
from _timing import seconds
from nilearn.connectome import ConnectivityMeasure
from pyriemann.geometry.mean import mean_riemann
from sklearn.covariance import LedoitWolf, ledoit_wolf

import conn.functional as cf

N_SCANS, N_REGIONS, N_FRAMES, N_SUBJECTS, N_COMPONENTS = 30, 400, 1200, 10, 40
ACCURACY, SOLUTION, MOST_ROUNDS = 1e-7, 1e-12, 500
COLUMNS = (
    "row",
    "peer",
    "peer_seconds",
    "seconds",
    "ratio",
    "target",
    "largest_difference",
    "remark",
)


def mean_simulated(repeats: int) -> list[dict[str, Any]]:
    """The geometric mean of simulated scans."""
    return [_mean("Karcher mean 30 x 400 x 400, simulated scans", _correlations(_scans()), repeats)]


def mean_real(repeats: int) -> list[dict[str, Any]]:
    """The geometric mean of real scans, none where they are not at hand."""
    path = Path(os.environ.get("CONN_DATA_DIR", "")) / "miniMSC" / "rest_ses-func01-03.npz"
    if not path.is_file():
        return []
    with np.load(path, allow_pickle=False) as file:
        scans = file["time_series"].astype(float)
    return [_mean("Karcher mean 30 x 400 x 400, Midnight Scan Club", _correlations(scans), repeats)]


def tangent(repeats: int) -> list[dict[str, Any]]:
    """From series to tangents at the mean, the covariances included."""
    scans = _scans()
    scans = (scans - scans.mean(-1, keepdims=True)) / scans.std(-1, keepdims=True)

    def by_nilearn() -> np.ndarray:
        measure = ConnectivityMeasure(kind="tangent", cov_estimator=LedoitWolf(), standardize=False)
        return measure.fit_transform([scan.T for scan in scans])

    def of_series(series: jax.Array) -> jax.Array:
        matrices, _ = cf.ledoit_wolf(series)
        return cf.tangent_project(matrices, cf.spd_mean(matrices))

    with jax.enable_x64(True):
        matrices, _ = cf.ledoit_wolf(jnp.asarray(scans))
        exact = np.asarray(cf.tangent_project(matrices, jnp.asarray(_solution(np.asarray(matrices)))))
        row = "tangent 30 x 400 x 1200, from series"
        name = f"nilearn ConnectivityMeasure {nilearn.__version__}, Ledoit-Wolf, float64"
        return [_against(row, name, by_nilearn, of_series, scans, exact, repeats)]


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "mean-simulated": mean_simulated,
    "mean-real": mean_real,
    "tangent": tangent,
}


def rows(repeats: int = 3, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


def _mean(row: str, matrices: np.ndarray, repeats: int) -> dict[str, Any]:
    exact = _solution(matrices)
    tolerance = 1e-2
    while _error(_by_pyriemann(matrices, tolerance), exact) > ACCURACY and tolerance > SOLUTION:
        tolerance /= 10
    with jax.enable_x64(True):
        name = f"pyriemann mean_riemann {pyriemann.__version__}, tolerance {tolerance:.0e}, float64"
        return _against(row, name, lambda: _by_pyriemann(matrices, tolerance), cf.spd_mean, matrices, exact, repeats)


def _against(
    row: str,
    name: str,
    peer: Callable[[], np.ndarray],
    ours: Callable[[jax.Array], jax.Array],
    values: np.ndarray,
    exact: np.ndarray,
    repeats: int,
) -> dict[str, Any]:
    array = jnp.asarray(values)
    with _counted_in_jax() as found:
        jax.block_until_ready(jax.jit(lambda x: ours(x))(array))
        jax.effects_barrier()
    with _counted_in_numpy() as of_peer:
        peer_error = _error(peer(), exact)
    begin = time.perf_counter()
    compiled = jax.jit(ours).lower(array).compile()
    compilation = time.perf_counter() - begin
    error = _error(np.asarray(compiled(array)), exact)
    pairs = [(seconds(peer), seconds(lambda: compiled(array).block_until_ready())) for _ in range(repeats)]
    return {
        "row": row,
        "estimator": "conn.functional.spd_mean",
        "peer": name,
        "dtype": "float64",
        "cores": len(os.sched_getaffinity(0)),
        "peer_seconds": statistics.median(theirs for theirs, _ in pairs),
        "seconds": statistics.median(own for _, own in pairs),
        "ratio": statistics.median(theirs / own for theirs, own in pairs),
        "target": 3.0,
        "largest_difference": error,
        "compilation_seconds": compilation,
        "remark": f"error of the peer {peer_error:.0e}; eigendecompositions {found['float32']} in single and "
        f"{found['float64']} in double precision, the peer's {of_peer['float64']}",
    }


def _scans() -> np.ndarray:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(N_REGIONS, N_COMPONENTS))
    subjects = rng.normal(size=(N_SUBJECTS, N_REGIONS, N_COMPONENTS))
    scans = []
    for scan in range(N_SCANS):
        mixing = common + 0.5 * subjects[scan % N_SUBJECTS] + 0.3 * rng.normal(size=(N_REGIONS, N_COMPONENTS))
        noise = 3 * rng.normal(size=(N_REGIONS, N_FRAMES))
        scans.append(mixing @ rng.normal(size=(N_COMPONENTS, N_FRAMES)) + noise)
    return np.stack(scans)


def _correlations(scans: np.ndarray) -> np.ndarray:
    """Return covariances of standardised series, shrunk by scikit-learn."""
    standard = (scans - scans.mean(-1, keepdims=True)) / scans.std(-1, keepdims=True)
    return np.stack([ledoit_wolf(scan.T)[0] for scan in standard])


def _by_pyriemann(matrices: np.ndarray, tolerance: float) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a tolerance that was not reached: the error is printed
        return mean_riemann(matrices, tol=tolerance, maxiter=MOST_ROUNDS)


def _solution(matrices: np.ndarray) -> np.ndarray:
    return _by_pyriemann(matrices, SOLUTION)


def _error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


@contextmanager
def _counted_in_jax() -> Iterator[collections.Counter[str]]:
    """Count the matrices that JAX decomposes, also within its loops."""
    counter: collections.Counter[str] = collections.Counter()
    plain = jnp.linalg.eigh

    def counting(matrix: jax.Array, **options: Any) -> Any:
        size = int(np.prod(matrix.shape[:-2]))
        jax.debug.callback(lambda: counter.update({str(matrix.dtype): size}))
        return plain(matrix, **options)

    jnp.linalg.eigh = counting
    try:
        yield counter
    finally:
        jnp.linalg.eigh = plain


@contextmanager
def _counted_in_numpy() -> Iterator[collections.Counter[str]]:
    """Count the matrices that NumPy and SciPy decompose."""
    import scipy.linalg

    counter: collections.Counter[str] = collections.Counter()
    plain = {module: module.eigh for module in (np.linalg, scipy.linalg)}

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def counting(matrix: np.ndarray, *others: Any, **options: Any) -> Any:
            counter[str(matrix.dtype)] += int(np.prod(matrix.shape[:-2]))
            return function(matrix, *others, **options)

        return counting

    for module, function in plain.items():
        module.eigh = counted(function)
    try:
        yield counter
    finally:
        for module, function in plain.items():
            module.eigh = function
