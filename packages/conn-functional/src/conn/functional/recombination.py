r"""Mixtures of the channels of connectomes: fixed shares, or shares that a query chooses."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional._inputs import real_series
from conn.functional.convolution import per_output
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["recombine"]


def recombine(
    connectome: Float[Tensor, "... channel row column"],
    mixture: Float[Tensor, "output channel"],
    *,
    query: Float[Tensor, "... channel channel"] | None = None,
    bias: Float[Tensor, " output"] | None = None,
    check: bool = False,
) -> Float[Array, "... output row column"]:
    r"""Return mixtures of the channels, :math:`y_o = \sum_c m_{oc} x_c + b_o`.

    Parameters
    ----------
    connectome : array, shape (..., channel, row, column)
        Matrices, in any unit, one a channel.
    mixture : array, shape (output, channel)
        Weights, of any sign.
    query : array, shape (..., channel, channel), optional
        Makes the weights shares: :math:`\operatorname{softmax}_c (m q)_{oc}`, of one query for each item of the batch.
        Leading axes broadcast with those of the connectome.
    bias : array, shape (output,), optional
        Added to every entry.
    check : bool, default False
        Refuse NaN and infinity, also under ``jit``.

    Returns
    -------
    array, shape (..., output, row, column)

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    RuntimeError
        With `check`, as said there.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> channels = jnp.stack([jnp.eye(2), jnp.ones((2, 2))])
    >>> recombine(channels, jnp.array([[2.0, -1.0]])).tolist()
    [[[1.0, -1.0], [-1.0, 1.0]]]
    """
    matrices = real_series(connectome, name="connectome", axes="(..., channel, row, column)", check=check)
    weights = _to_jax_array(mixture).astype(matrices.dtype)
    n_channels = matrices.shape[-3]
    if weights.ndim != 2 or weights.shape[1] != n_channels:
        raise ValueError(
            f"mixture must have shape (output, {n_channels}) for {n_channels} channels, and has shape {weights.shape}"
        )
    n_outputs = len(weights)
    if query is not None:
        asked = _to_jax_array(query).astype(matrices.dtype)
        if asked.ndim < 2 or asked.shape[-2:] != (n_channels, n_channels):
            raise ValueError(
                f"query must have shape (..., {n_channels}, {n_channels}) for {n_channels} channels, "
                f"and has shape {asked.shape}"
            )
        weights = jax.nn.softmax(weights @ asked, axis=-1)
    out = jnp.einsum("...oc,...crk->...ork", weights, matrices)
    return out if bias is None else out + per_output(bias, n_outputs, out.dtype)
