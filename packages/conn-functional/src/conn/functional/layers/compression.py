"""Connectomes of fewer regions by learned compressors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional.compression import vertical_compression
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.initialise import biregular

__all__ = ["VerticalCompression"]


class VerticalCompression(eqx.Module):
    """Connectomes whose regions are fused by learned weights, see `vertical_compression`.

    Parameters
    ----------
    compressor : array, shape (channel, parcel, region)
        What each fused region takes of the regions, in each channel.
    lattice : array, shape (parcel, region), optional
        Multiplies the compressor: 0 where a region may not enter. It is not trained.
    renormalise : bool, default True
        Keep the standard deviation over entries.
    remove_diagonal : bool, default True
        Set the diagonals to 0 before and after.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import jax
    >>> layer = VerticalCompression.random(12, 4, n_channels=2, key=jax.random.key(0))
    >>> small = layer(jax.random.normal(jax.random.key(1), (3, 12, 12)))
    >>> small.shape, layer.expand(small).shape
    ((3, 2, 4, 4), (3, 2, 12, 12))
    """

    compressor: Tensor
    lattice: Tensor | None
    renormalise: bool = eqx.field(static=True)
    remove_diagonal: bool = eqx.field(static=True)

    def __init__(
        self,
        compressor: Float[Tensor, "channel parcel region"],
        lattice: Float[Tensor, "parcel region"] | None = None,
        *,
        renormalise: bool = True,
        remove_diagonal: bool = True,
    ) -> None:
        if len(np.shape(compressor)) != 3:
            raise ValueError(
                f"compressor must have shape (channel, parcel, region), and has shape {np.shape(compressor)}"
            )
        if lattice is not None and np.shape(lattice) != np.shape(compressor)[1:]:
            raise ValueError(
                f"lattice must have the shape {np.shape(compressor)[1:]} of a channel of the compressor, "
                f"and has shape {np.shape(lattice)}"
            )
        self.compressor, self.lattice = compressor, lattice
        self.renormalise, self.remove_diagonal = renormalise, remove_diagonal

    @classmethod
    def random(
        cls,
        n_regions: int,
        n_parcels: int,
        *,
        n_channels: int = 1,
        degree: int = 1,
        key: Array,
        renormalise: bool = True,
        remove_diagonal: bool = True,
    ) -> "VerticalCompression":
        """Return a layer of uniform weights on a random lattice in which every region enters equally often.

        Parameters
        ----------
        n_regions, n_parcels, n_channels : int
            The sizes.
        degree : int, default 1
            Of the lattice, see `initialise.biregular`. At 1 with a whole number of regions a parcel, each region enters
            one parcel.
        key : PRNG key
            The same key gives the same layer.
        renormalise, remove_diagonal
            As for the class.

        Returns
        -------
        VerticalCompression
        """
        of_lattice, of_weights = jax.random.split(key)
        lattice = biregular(degree)(of_lattice, (n_parcels, n_regions), float)
        weights = jax.random.uniform(of_weights, (n_channels, n_parcels, n_regions))
        return cls(weights, lattice, renormalise=renormalise, remove_diagonal=remove_diagonal)

    @property
    def weight(self) -> Float[Array, "channel parcel region"]:
        """The compressor inside its lattice."""
        weights = _to_jax_array(self.compressor)
        if self.lattice is None:
            return weights
        return weights * jax.lax.stop_gradient(_to_jax_array(self.lattice).astype(weights.dtype))

    def __call__(self, connectome: Float[Tensor, "... region region"]) -> Float[Array, "... channel parcel parcel"]:
        """Return the compressed connectomes.

        Parameters
        ----------
        connectome : array, shape (..., region, region)
            In any unit.

        Returns
        -------
        array, shape (..., channel, parcel, parcel)

        Raises
        ------
        ValueError
            If the sizes differ.
        """
        return self._fused(_to_jax_array(connectome)[..., None, :, :], self.weight)

    def expand(
        self, compressed: Float[Tensor, "... channel parcel parcel"]
    ) -> Float[Array, "... channel region region"]:
        """Return connectomes of all regions from compressed ones, by the transposed compressor.

        Parameters
        ----------
        compressed : array, shape (..., channel, parcel, parcel)
            In any unit.

        Returns
        -------
        array, shape (..., channel, region, region)
            Not the inverse, which does not exist.

        Raises
        ------
        ValueError
            If the sizes differ.
        """
        return self._fused(compressed, jnp.swapaxes(self.weight, -1, -2))

    def _fused(self, matrix: Tensor, compressor: Array) -> Array:
        return vertical_compression(
            matrix, compressor, renormalise=self.renormalise, remove_diagonal=self.remove_diagonal
        )
