"""How strongly every region is connected to the others."""

import jax
import jax.numpy as jnp

from conn.functional import corr

__all__ = ["strength"]


def strength(time_series: jax.Array) -> jax.Array:
    """Return every region's mean absolute correlation with the other regions, shape (..., region).

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals of at least two regions, in any unit.
    """
    connectome = corr(time_series)
    n_regions = connectome.shape[-1]
    elsewhere = 1 - jnp.eye(n_regions, dtype=connectome.dtype)
    return (jnp.abs(connectome) * elsewhere).sum(-1) / (n_regions - 1)
