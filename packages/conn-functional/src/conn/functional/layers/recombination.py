"""Mixtures of the channels of connectomes, as a layer."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional.engine import Tensor
from conn.functional.recombination import recombine

__all__ = ["Recombination"]


class Recombination(eqx.Module):
    """Learned mixtures of the channels of connectomes, see `recombine`.

    Parameters
    ----------
    mixture : array, shape (output, channel)
        Weights, of any sign unless they are parametrised.
    bias : array, shape (output,), optional
        Added to every entry.

    Raises
    ------
    ValueError
        If the mixture is no matrix.

    Examples
    --------
    >>> import jax
    >>> layer = Recombination.random(3, 2, key=jax.random.key(0))
    >>> layer(jax.numpy.ones((5, 3, 4, 4))).shape
    (5, 2, 4, 4)
    """

    mixture: Tensor
    bias: Tensor | None

    def __init__(self, mixture: Float[Tensor, "output channel"], bias: Float[Tensor, " output"] | None = None) -> None:
        if len(np.shape(mixture)) != 2:
            raise ValueError(f"mixture must have shape (output, channel), and has shape {np.shape(mixture)}")
        self.mixture, self.bias = mixture, bias

    @classmethod
    def random(cls, n_channels: int, n_outputs: int, *, key: Array, with_bias: bool = True) -> "Recombination":
        """Return a layer of normal weights, with which independent channels keep their variance.

        Parameters
        ----------
        n_channels, n_outputs : int
            The sizes.
        key : PRNG key
            The same key gives the same weights.
        with_bias : bool, default True
            Learn a bias, which starts at 0.

        Returns
        -------
        Recombination
        """
        mixture = jax.random.normal(key, (n_outputs, n_channels)) / n_channels**0.5
        return cls(mixture, jnp.zeros(n_outputs) if with_bias else None)

    def __call__(
        self,
        connectome: Float[Tensor, "... channel row column"],
        query: Float[Tensor, "... channel channel"] | None = None,
    ) -> Float[Array, "... output row column"]:
        """Return the mixtures.

        Parameters
        ----------
        connectome : array, shape (..., channel, row, column)
            In any unit.
        query : array, shape (..., channel, channel), optional
            Makes the weights shares that it chooses.

        Returns
        -------
        array, shape (..., output, row, column)

        Raises
        ------
        ValueError
            If the shapes do not fit each other.
        """
        return recombine(connectome, self.mixture, query=query, bias=self.bias)
