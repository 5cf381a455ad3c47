"""Vertices to parcels by a membership that is learned, in one or several compartments."""

from collections.abc import Mapping
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional._inputs import real_series
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.initialise import dirichlet
from conn.functional.parameters import ProbabilitySimplexParameter

__all__ = ["Parcellation"]

Aggregation = Literal["mean", "sum", "least_squares"]


class Parcellation(eqx.Module):
    r"""Series of vertices (or voxels, or finer regions) as series of parcels.

    With :math:`a_{pv} \ge 0` the membership of vertex :math:`v` in parcel :math:`p`, a parcel's series is the weighted
    mean :math:`\sum_v a_{pv} x_v / \sum_v a_{pv}`, the sum without the divisor, or the least-squares solution
    :math:`s` of :math:`x_v = \sum_p a_{pv} s_p`.

    Parameters
    ----------
    membership : array, shape (parcel, vertex), or a mapping of these by compartment
        Any array, such as a label matrix, which stays as it is unless it is trained; or parametrised shares of each
        vertex, ``ProbabilitySimplexParameter(matrix, axis=-2)``, as `random` makes them. Compartments (hemispheres,
        subcortex) share no vertex and no parcel; vertices and parcels follow one another in the mapping's order.
    aggregation : {"mean", "sum", "least_squares"}, default "mean"
        What a parcel's series is.

    Raises
    ------
    ValueError
        If a membership is no matrix, there is none, or the aggregation is unknown.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> layer = Parcellation(jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    >>> layer(jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])).tolist()
    [[2.0, 3.0], [5.0, 6.0]]
    >>> both = Parcellation.random({"left": 2, "right": 3}, {"left": 10, "right": 12}, key=jax.random.key(0))
    >>> both(jnp.ones((22, 40))).shape
    (5, 40)
    """

    membership: Tensor | dict[str, Tensor]
    aggregation: Aggregation = eqx.field(static=True)

    def __init__(
        self,
        membership: Float[Tensor, "parcel vertex"] | Mapping[str, Float[Tensor, "parcel vertex"]],
        *,
        aggregation: Aggregation = "mean",
    ) -> None:
        if aggregation not in get_args(Aggregation):
            raise ValueError(f"aggregation must be one of {', '.join(get_args(Aggregation))}, and is {aggregation!r}")
        self.membership = dict(membership) if isinstance(membership, Mapping) else membership
        self.aggregation = aggregation
        if not self._compartments():
            raise ValueError("a parcellation needs at least one compartment")
        for name, matrix in self._compartments().items():
            if len(np.shape(matrix)) != 2 or 0 in np.shape(matrix):
                raise ValueError(f"membership{name} must have shape (parcel, vertex), and has shape {np.shape(matrix)}")

    @classmethod
    def random(
        cls,
        n_parcels: int | Mapping[str, int],
        n_vertices: int | Mapping[str, int],
        *,
        key: Array,
        concentration: float = 10.0,
        aggregation: Aggregation = "mean",
    ) -> "Parcellation":
        """Return a parcellation with random shares of each vertex, constrained to stay shares.

        Parameters
        ----------
        n_parcels, n_vertices : int, or mappings of int by compartment
            With the same compartments.
        key : PRNG key
            The same key gives the same shares.
        concentration : float, default 10
            Of Dirichlet's distribution: the larger, the more equal the shares.
        aggregation : {"mean", "sum", "least_squares"}, default "mean"
            What a parcel's series is.

        Returns
        -------
        Parcellation

        Raises
        ------
        ValueError
            If the compartments differ, or the concentration is not positive.
        """
        parcels = n_parcels if isinstance(n_parcels, Mapping) else {"": n_parcels}
        vertices = n_vertices if isinstance(n_vertices, Mapping) else {"": n_vertices}
        if list(parcels) != list(vertices):
            raise ValueError(f"n_parcels and n_vertices must name the same compartments: {[*parcels]}, {[*vertices]}")
        draw = dirichlet(concentration)
        shares = {
            name: ProbabilitySimplexParameter(draw(own, (parcels[name], vertices[name]), float), axis=-2)
            for name, own in zip(parcels, jax.random.split(key, len(parcels)), strict=True)
        }
        return cls(shares if isinstance(n_parcels, Mapping) else shares[""], aggregation=aggregation)

    def __call__(self, time_series: Float[Tensor, "... vertex frame"]) -> Float[Array, "... parcel frame"]:
        """Return the parcels' series.

        Parameters
        ----------
        time_series : array, shape (..., vertex, frame)
            In any unit; the vertices of all compartments. NaN reaches every parcel with a share of the vertex.

        Returns
        -------
        array, shape (..., parcel, frame)
            The parcels of all compartments. A parcel without vertices is 0, and so is its gradient.

        Raises
        ------
        ValueError
            If there are not as many vertices as the membership has.
        """
        series = real_series(time_series, axes="(..., vertex, frame)")
        matrices = [_to_jax_array(matrix).astype(series.dtype) for matrix in self._compartments().values()]
        bounds = np.cumsum([matrix.shape[-1] for matrix in matrices])
        if series.shape[-2] != bounds[-1]:
            raise ValueError(f"the membership has {bounds[-1]} vertices, and the series {series.shape[-2]}")
        parts = jnp.split(series, bounds[:-1], axis=-2)
        return jnp.concatenate([self._aggregate(m, part) for m, part in zip(matrices, parts, strict=True)], axis=-2)

    def _compartments(self) -> dict[str, Tensor]:
        """Return the memberships by how a message calls them."""
        if isinstance(self.membership, dict):
            return {f"[{name!r}]": matrix for name, matrix in self.membership.items()}
        return {"": self.membership}

    def _aggregate(self, membership: Array, series: Array) -> Array:
        if self.aggregation == "sum":
            return membership @ series
        if self.aggregation == "mean":
            size = membership.sum(-1, keepdims=True)
            return jnp.where(size > 0, membership @ series / jnp.where(size > 0, size, 1.0), 0.0)
        size = (membership**2).sum(-1)
        filled = size > 0
        gram = membership @ membership.T + jnp.diag(jnp.where(filled, 0.0, 1.0).astype(series.dtype))
        # LU, because gradients of batched triangular solves after a Cholesky factorisation may hang on CPU.
        return jnp.linalg.solve(gram, membership @ series)
