"""Squared distances between all pairs of 400 observations of 200 features, in Gram form and by naive broadcast.

The naive broadcast forms the differences of all pairs, (observation, observation, feature), as NumPy does; compiled,
with its gradient, it is the same expression under `jit`. The inputs are not centred: each feature has a mean of 10.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from _timing import seconds
from functional import _against, _result
from scipy.spatial.distance import cdist

from conn.functional import pairwise_squared_distance

N_OBSERVATIONS, N_FEATURES = 400, 200
ROW = f"squared distances {N_OBSERVATIONS} x {N_FEATURES}"
ESTIMATOR = "conn.functional.pairwise_squared_distance"


def distances(repeats: int) -> list[dict[str, Any]]:
    """Values against NumPy's broadcast and SciPy's loop in C."""
    points = _points()
    peers = {
        f"naive broadcast, NumPy {np.__version__}": lambda x: ((x[:, None] - x) ** 2).sum(-1),
        f"scipy.spatial.distance.cdist {scipy.__version__}": lambda x: cdist(x, x, "sqeuclidean"),
    }
    return [
        _against(
            ROW,
            ESTIMATOR,
            pairwise_squared_distance,
            (points,),
            dtype,
            f"{peer}, {dtype if 'NumPy' in peer else 'float64'}",
            partial(call, points.astype(dtype)),
            1.0,
            repeats,
        )
        for dtype in ("float64", "float32")
        for peer, call in peers.items()
    ]


def gradients(repeats: int) -> list[dict[str, Any]]:
    """Value and gradient against the naive broadcast, both compiled."""
    points = jnp.asarray(_points(), "float32")
    probe = jnp.asarray(np.random.default_rng(1).normal(size=(N_OBSERVATIONS, N_OBSERVATIONS)), "float32")

    def compiled(distance: Callable[[jax.Array], jax.Array]) -> Any:
        return jax.jit(jax.value_and_grad(lambda x: (probe * distance(x)).sum())).lower(points).compile()

    begin = time.perf_counter()
    ours = compiled(pairwise_squared_distance)
    compilation = time.perf_counter() - begin
    theirs = compiled(lambda x: ((x[:, None] - x) ** 2).sum(-1))
    slope, expected = ours(points)[1], theirs(points)[1]
    pairs = [
        (
            seconds(lambda: jax.block_until_ready(theirs(points))),
            seconds(lambda: jax.block_until_ready(ours(points))),
        )
        for _ in range(repeats)
    ]
    result = _result(
        f"{ROW}, value and gradient",
        ESTIMATOR,
        "naive broadcast, compiled, float32",
        "float32",
        pairs,
        1.0,
        float(jnp.abs(slope - expected).max() / jnp.abs(expected).max()),
        compilation,
        ours.memory_analysis(),
    )
    return [{**result, "peer_temporary_bytes": theirs.memory_analysis().temp_size_in_bytes}]


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {"distances": distances, "gradients": gradients}


def rows(repeats: int = 5, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


def _points() -> np.ndarray:
    return 10 + np.random.default_rng(0).normal(size=(N_OBSERVATIONS, N_FEATURES))
