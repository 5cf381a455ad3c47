"""A whole brain without its correlation matrix: `python tests/benchmarks/run.py operators`.

59,412 vertices and 1,200 frames in float32, simulated with planted networks; the dense matrix would take 14 GB. Every
row runs in a process of its own, which reports the median time of its calls (of the process, as in `functional`), the
largest difference to NumPy in float64, and its peak resident memory above what it held once the data stood
(interpreter, JAX and the series themselves), the compilation included. There is no peer: nobody else has such a
function.

The streamed objective takes time that grows with the square of the vertices, so that its row has fewer, and says what
the whole brain would take.
"""

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

N_VERTICES, N_FRAMES, N_COMMUNITIES, N_PAIRS = 59_412, 1200, 17, 10
N_STREAMED = 8000
GAMMA = 0.05
SEED = 17
PEAK_GIB, RESIDUAL = 2.0, 1e-4

Result = dict[str, Any]
Arrays = tuple[np.ndarray, ...]


class Row(NamedTuple):
    """What a row computes, what NumPy says it should be, and the largest difference that passes."""

    title: str
    n_vertices: int
    call: Callable[..., Any]
    difference: Callable[[Arrays, Any], float]
    target: float


def _strengths(series: Any, communities: Any) -> Any:
    from conn.functional import correlation_operator, row_sums

    return row_sums(correlation_operator(series))


def _strengths_difference(arrays: Arrays, found: Any) -> float:
    z = _unit(arrays[0])
    expected = z @ z.sum(0)
    return _relative(found, expected)


def _potts(series: Any, communities: Any) -> Any:
    import jax

    from conn.functional import constant_potts_modularity, correlation_operator

    operator = correlation_operator(series)
    return jax.value_and_grad(lambda q: constant_potts_modularity(operator, q, gamma=GAMMA))(communities)


def _potts_difference(arrays: Arrays, found: Any) -> float:
    z, q = _unit(arrays[0]), arrays[1].astype(np.float64)
    return _quadratic_difference(z @ (z.T @ q) - GAMMA * q.sum(0), q, found)


def _macmahon_garlaschelli(series: Any, communities: Any) -> Any:
    import jax

    from conn.functional import correlation_modularity, correlation_operator

    operator = correlation_operator(series)
    return jax.value_and_grad(lambda q: correlation_modularity(operator, q, n_frames=N_FRAMES))(communities)


def _macmahon_garlaschelli_difference(arrays: Arrays, found: Any) -> float:
    z, q = _unit(arrays[0]), arrays[1].astype(np.float64)
    values, inner = np.linalg.eigh(z.T @ z)
    kept = values > (1 + np.sqrt(len(z) / N_FRAMES)) ** 2
    kept[-1] = False
    basis = z @ inner[:, kept]
    return _quadratic_difference(basis @ (basis.T @ q), q, found)


def _eigenpairs(series: Any, communities: Any) -> Any:
    from conn.functional import correlation_operator, leading_eigenpairs

    return leading_eigenpairs(correlation_operator(series), N_PAIRS)


def _eigenpairs_difference(arrays: Arrays, found: Any) -> float:
    """Return the largest residual, each relative to its own eigenvalue."""
    z = _unit(arrays[0])
    values, vectors = (np.asarray(array, np.float64) for array in found[:2])
    return float((np.linalg.norm(z @ (z.T @ vectors) - vectors * values, axis=0) / values).max())


def _rubinov_sporns(series: Any, communities: Any) -> Any:
    import jax

    from conn.functional import correlation_operator, rectified_modularity

    operator = correlation_operator(series)
    return jax.value_and_grad(lambda q: rectified_modularity(operator, q, sign="both"))(communities)


def _rubinov_sporns_difference(arrays: Arrays, found: Any) -> float:
    z, q = _unit(arrays[0]), arrays[1].astype(np.float64)
    dense = z @ z.T
    np.fill_diagonal(dense, 1.0)
    value, gradient, total = 0.0, np.zeros_like(q), 0.0
    for sign in (1.0, -1.0):
        part = np.maximum(sign * dense, 0.0)
        strengths = part.sum(0)
        own = strengths.sum()
        total += own
        product = part @ q - strengths[:, None] * (strengths @ q) / own
        value += sign * float((q * product).sum()) / total
        gradient += sign * 2 * product / total
    return max(_relative(found[0], value), _relative(found[1], gradient))


TABLE = {
    "strengths": Row("strengths", N_VERTICES, _strengths, _strengths_difference, 1e-4),
    "constant-potts": Row(
        f"constant Potts modularity of {N_COMMUNITIES} soft communities, value and gradient in them",
        N_VERTICES,
        _potts,
        _potts_difference,
        1e-4,
    ),
    "macmahon-garlaschelli": Row(
        f"MacMahon-Garlaschelli modularity of {N_COMMUNITIES} soft communities, value and gradient in them",
        N_VERTICES,
        _macmahon_garlaschelli,
        _macmahon_garlaschelli_difference,
        1e-3,
    ),
    "eigenpairs": Row(
        f"{N_PAIRS} leading eigenpairs, difference: the largest residual over its eigenvalue",
        N_VERTICES,
        _eigenpairs,
        _eigenpairs_difference,
        RESIDUAL,
    ),
    "rubinov-sporns": Row(
        f"Rubinov-Sporns modularity of {N_COMMUNITIES} soft communities, streamed, value and gradient in them",
        N_STREAMED,
        _rubinov_sporns,
        _rubinov_sporns_difference,
        1e-4,
    ),
}


def _in_a_process(name: str) -> Callable[[int], list[Result]]:
    def measured(repeats: int) -> list[Result]:
        """Return the row that a process of its own measures."""
        command = [sys.executable, str(Path(__file__).resolve()), name, str(repeats)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return [json.loads(output)]

    return measured


ROWS: dict[str, Callable[[int], list[Result]]] = {name: _in_a_process(name) for name in TABLE}


def rows(repeats: int = 5, names: list[str] | None = None) -> list[Result]:
    """Return the results of the named rows, all by default, one after the other."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


def measure(name: str, repeats: int) -> Result:
    """Return one row's result, measured in this process."""
    import jax
    import jax.numpy as jnp

    row = TABLE[name]
    arrays = _data(row.n_vertices)
    held = tuple(jnp.asarray(array) for array in arrays)
    jax.block_until_ready(jax.jit(jnp.sum)(held[0]))  # JAX itself is up before the memory is read
    del arrays
    gc.collect()  # JAX may hold on to what it copied
    before = _resident_from_now_on()
    begin = time.perf_counter()
    compiled = jax.jit(row.call).lower(*held).compile()
    compilation = time.perf_counter() - begin
    found = jax.block_until_ready(compiled(*held))
    spent, walls = [], []
    for _ in range(repeats):
        begin, wall = time.process_time(), time.perf_counter()
        jax.block_until_ready(compiled(*held))
        spent.append(time.process_time() - begin)
        walls.append(time.perf_counter() - wall)
    peak = _status("VmHWM") - before
    memory: Any = compiled.memory_analysis()
    seconds = statistics.median(spent)
    difference = row.difference(tuple(np.asarray(array) for array in held), found)
    result = {
        "row": f"{row.title}, {row.n_vertices} x {N_FRAMES}",
        "estimator": f"conn.functional, {name}",
        "peer": "none",
        "dtype": "float32",
        "cores": len(os.sched_getaffinity(0)),
        "seconds": seconds,
        "wall_seconds": statistics.median(walls),
        "largest_difference": difference,
        "largest_difference_allowed": row.target,
        "compilation_seconds": compilation,
        "peak_gib": peak / 2**30,
        "resident_gib_before": before / 2**30,
        "peak_gib_allowed": PEAK_GIB,
        "data_bytes": held[0].nbytes,
        "dense_bytes": held[0].shape[0] ** 2 * held[0].dtype.itemsize,
        "temporary_bytes": memory.temp_size_in_bytes,
        "passed": bool(difference <= row.target and peak <= PEAK_GIB * 2**30),
    }
    if row.n_vertices != N_VERTICES:
        result["whole_brain_seconds_computed"] = seconds * (N_VERTICES / row.n_vertices) ** 2
    return result


def _data(n_vertices: int) -> Arrays:
    """Return series of planted networks under a common signal and noise, and soft communities."""
    rng = np.random.default_rng(SEED)
    loadings = rng.uniform(-0.3, 0.3, size=(n_vertices, N_COMMUNITIES)).astype(np.float32)
    loadings[np.arange(n_vertices), np.arange(n_vertices) * N_COMMUNITIES // n_vertices] += 1.0
    signals = rng.standard_normal((N_COMMUNITIES, N_FRAMES), dtype=np.float32)
    series = rng.standard_normal((n_vertices, N_FRAMES), dtype=np.float32)
    for start in range(0, n_vertices, 4096):
        series[start : start + 4096] += loadings[start : start + 4096] @ signals
    logits = 2 * loadings + 0.1 * rng.standard_normal(loadings.shape, dtype=np.float32)
    communities = np.exp(logits)
    return series, communities / communities.sum(1, keepdims=True)


def _unit(series: np.ndarray) -> np.ndarray:
    """Return the frames centred and of unit norm, in float64."""
    z = series.astype(np.float64)
    z -= z.mean(1, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return z


def _quadratic_difference(product: np.ndarray, communities: np.ndarray, found: Any) -> float:
    """Return the difference to the value and the gradient of a mean over pairs, given the matrix's product."""
    pairs = len(communities) ** 2
    value = _relative(found[0], (communities * product).sum() / pairs)
    return max(value, _relative(found[1], 2 * product / pairs))


def _relative(found: Any, expected: Any) -> float:
    return float(np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(expected).max())


def _resident_from_now_on() -> int:
    """Return the resident memory, having forgotten its peak so far (Linux; 5 stands for the peak)."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(field: str) -> int:
    """Return a field of the process's status, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}, which the peak of the memory is read from")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", choices=TABLE)
    parser.add_argument("repeats", type=int)
    settings = parser.parse_args()
    print(json.dumps(measure(settings.row, settings.repeats)))
