"""Where the search for communities begins: common factors with positive loadings of the pooled correlation."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from conn.functional import block_mv, leading_eigenpairs, operator_diagonal

_MOST_ROTATIONS = 500
_FACTOR_STEPS = 100
_SWEEPS = 5
"""Passes of coordinate descent in a step; the next step begins where they ended."""

_LEAST_NOISE = 0.05
_JITTER = 0.5
"""Standard deviation of the logarithm of what a restart multiplies every loading with."""


def factor_start(
    correlation: lx.AbstractLinearOperator, n_communities: int, rng: np.random.Generator | None
) -> NDArray[np.floating]:
    """Return loadings of shape (region, community), not negative.

    They are a maximum of the likelihood of common factors with positive loadings, found from leading eigenvectors that
    varimax has rotated. A generator gives other beginnings: another rotation, and loadings that are jittered.
    """
    n_regions = correlation.in_structure().shape[-1]
    n_pairs = min(n_communities, n_regions)
    pairs = leading_eigenpairs(correlation, n_pairs)
    values, vectors = np.asarray(pairs.values, float), np.asarray(pairs.vectors, float)
    loadings = vectors * np.sqrt(np.maximum(values - 1, _LEAST_NOISE))
    if rng is not None:
        loadings = loadings @ np.linalg.qr(rng.standard_normal((n_pairs, n_pairs)))[0]
    loadings = varimax(loadings)
    loadings = np.maximum(loadings * np.sign(np.sum(loadings**3, axis=0)), 1e-3)
    loadings = np.pad(loadings, [(0, 0), (0, n_communities - n_pairs)], constant_values=1e-3)
    if rng is not None:
        loadings = loadings * np.exp(_JITTER * rng.standard_normal(loadings.shape))
    dtype = pairs.values.dtype
    return np.asarray(_positive_factors(correlation, jnp.asarray(loadings, dtype)), float)


def varimax(loadings: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return loadings rotated so that their squares vary most within columns.

    References
    ----------
    Kaiser (1958). doi:10.1007/BF02289233
    Rohe & Zeng (2023). doi:10.1093/jrsssb/qkad029
    """
    rotation, before = np.eye(loadings.shape[1]), 0.0
    for _ in range(_MOST_ROTATIONS):
        turned = loadings @ rotation
        left, sizes, right = np.linalg.svd(loadings.T @ (turned**3 - turned * (turned**2).mean(0)))
        rotation = left @ right
        if sizes.sum() <= before * (1 + 1e-8):
            break
        before = sizes.sum()
    return loadings @ rotation


@jax.jit
def _positive_factors(
    correlation: lx.AbstractLinearOperator, loadings: Float[Array, "region community"]
) -> Float[Array, "region community"]:
    """Return loadings after steps of expectation and maximisation (Rubin & Thayer 1982, doi:10.1007/BF02293851)."""
    present = operator_diagonal(correlation)
    n_communities = loadings.shape[1]

    def step(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        loadings, noise = state
        scaled = loadings / noise[:, None]
        inside = jnp.linalg.inv(jnp.eye(n_communities, dtype=loadings.dtype) + loadings.T @ scaled)
        weights = scaled @ inside
        shared = block_mv(correlation, weights)
        power = inside + weights.T @ shared

        def coordinate(number: int, loadings: Array) -> Array:
            column = number % n_communities
            missing = shared[:, column] - loadings @ power[:, column]
            better = jnp.maximum(loadings[:, column] + missing / power[column, column], 0)
            return loadings.at[:, column].set(better)

        loadings = jax.lax.fori_loop(0, _SWEEPS * n_communities, coordinate, loadings)
        left = present - 2 * (loadings * shared).sum(1) + jnp.einsum("ik,kl,il->i", loadings, power, loadings)
        return loadings, jnp.maximum(left, _LEAST_NOISE)

    noise = jnp.maximum(present - (loadings**2).sum(1), 4 * _LEAST_NOISE)
    return jax.lax.fori_loop(0, _FACTOR_STEPS, step, (loadings, noise))[0]
