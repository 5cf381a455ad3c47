"""Vertices to parcels by an assignment that is learned, in one or several compartments."""

from collections.abc import Mapping
from typing import get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional._inputs import real_series
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.initialise import dirichlet
from conn.functional.parameters import ProbabilitySimplexParameter
from conn.functional.parcellate import Method, parcellate

__all__ = ["Parcellation"]


class Parcellation(eqx.Module):
    """Series of vertices (or voxels, or finer regions) as series of parcels, see `parcellate`.

    Parameters
    ----------
    assignment : array, shape (parcel, vertex), or a mapping of these by compartment
        Any array that is not negative, such as a `label_matrix`, which stays as it is unless it is trained; or
        parametrised shares of each vertex, ``ProbabilitySimplexParameter(matrix, axis=-2)``, as `random` makes them.
        Compartments (hemispheres, subcortex) share no vertex and no parcel; vertices and parcels follow one another in
        the mapping's order.
    method : {"mean", "projection"}, default "mean"
        A parcel's series is the weighted mean of its vertices, or comes from a least-squares projection.
    weight : array, shape (vertex,), optional
        Areas of the vertices of all compartments, not negative. They are not trained.

    Raises
    ------
    ValueError
        If an assignment is no matrix, there is none, the weights are not one a vertex, or the method is unknown.

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

    assignment: Tensor | dict[str, Tensor]
    weight: Tensor | None
    method: Method = eqx.field(static=True)

    def __init__(
        self,
        assignment: Float[Tensor, "parcel vertex"] | Mapping[str, Float[Tensor, "parcel vertex"]],
        *,
        method: Method = "mean",
        weight: Float[Tensor, " vertex"] | None = None,
    ) -> None:
        if method not in get_args(Method):
            raise ValueError(f"method must be one of {', '.join(get_args(Method))}, and is {method!r}")
        self.assignment = dict(assignment) if isinstance(assignment, Mapping) else assignment
        self.method, self.weight = method, weight
        if not self._compartments():
            raise ValueError("a parcellation needs at least one compartment")
        for name, matrix in self._compartments().items():
            if len(np.shape(matrix)) != 2 or 0 in np.shape(matrix):
                raise ValueError(f"assignment{name} must have shape (parcel, vertex), and has shape {np.shape(matrix)}")
        n_vertices = sum(np.shape(matrix)[1] for matrix in self._compartments().values())
        if weight is not None and np.shape(weight) != (n_vertices,):
            raise ValueError(f"weight must have one value for each of {n_vertices} vertices: {np.shape(weight)}")

    @classmethod
    def random(
        cls,
        n_parcels: int | Mapping[str, int],
        n_vertices: int | Mapping[str, int],
        *,
        key: Array,
        concentration: float = 10.0,
        method: Method = "mean",
        weight: Float[Tensor, " vertex"] | None = None,
    ) -> "Parcellation":
        """Return a parcellation with random shares of each vertex, constrained to stay shares.

        Parameters
        ----------
        n_parcels, n_vertices : int, or mappings of int by compartment
            With the same compartments in the same order.
        key : PRNG key
            The same key gives the same shares.
        concentration : float, default 10
            Of Dirichlet's distribution: the larger, the more equal the shares.
        method, weight
            As for the class.

        Returns
        -------
        Parcellation

        Raises
        ------
        ValueError
            If the compartments differ, the concentration is not positive, or as the class.
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
        return cls(shares if isinstance(n_parcels, Mapping) else shares[""], method=method, weight=weight)

    def __call__(self, time_series: Float[Tensor, "... vertex frame"]) -> Float[Array, "... parcel frame"]:
        """Return the parcels' series.

        Parameters
        ----------
        time_series : array, shape (..., vertex, frame)
            In any unit; the vertices of all compartments. NaN reaches every parcel of its compartment: `parcellate`.

        Returns
        -------
        array, shape (..., parcel, frame)
            The parcels of all compartments. NaN for a parcel without vertices.

        Raises
        ------
        ValueError
            If there are not as many vertices as the assignment has.
        """
        series = real_series(time_series, axes="(..., vertex, frame)")
        matrices = [_to_jax_array(matrix).astype(series.dtype) for matrix in self._compartments().values()]
        bounds = np.cumsum([matrix.shape[-1] for matrix in matrices])
        if series.shape[-2] != bounds[-1]:
            raise ValueError(f"the assignment has {bounds[-1]} vertices, and the series {series.shape[-2]}")
        weights = [None] * len(matrices)
        if self.weight is not None:
            weights = jnp.split(jax.lax.stop_gradient(_to_jax_array(self.weight)).astype(series.dtype), bounds[:-1])
        parts = zip(jnp.split(series, bounds[:-1], axis=-2), matrices, weights, strict=True)
        return jnp.concatenate(
            [parcellate(part, matrix, weight=weight, method=self.method) for part, matrix, weight in parts], axis=-2
        )

    def _compartments(self) -> dict[str, Tensor]:
        """Return the assignments by how a message calls them."""
        if isinstance(self.assignment, dict):
            return {f"[{name!r}]": matrix for name, matrix in self.assignment.items()}
        return {"": self.assignment}
