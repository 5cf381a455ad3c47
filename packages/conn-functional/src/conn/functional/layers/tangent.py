"""Connectomes in a tangent space, whose point of tangency is learned or comes from data."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.parameters import PositiveDefiniteParameter
from conn.functional.spd_geometry import Metric, cone_project, spd_mean, tangent_project

__all__ = ["TangentProjection"]


class TangentProjection(eqx.Module):
    r"""SPD matrices as symmetric ones, :math:`\log(G^{-1/2} C G^{-1/2})`, see `tangent_project`.

    Parameters
    ----------
    reference : array, shape (region, region)
        :math:`G`, SPD; keep it so with a ``PositiveDefiniteParameter``, as `from_data` does.

    Raises
    ------
    ValueError
        If the reference is no square matrix.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> scans = jnp.stack([jnp.eye(2), 4 * jnp.eye(2)])
    >>> layer = TangentProjection.from_data(scans)
    >>> print(layer(scans)[:, 0, 0].round(3))
    [-0.693  0.693]
    """

    reference: Tensor

    def __init__(self, reference: Float[Tensor, "region region"]) -> None:
        shape = np.shape(reference)
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"reference must have shape (region, region), and has shape {shape}")
        self.reference = reference

    @classmethod
    def from_data(
        cls, matrices: Float[Tensor, "matrix region region"], *, metric: Metric = "geometric", **settings: Any
    ) -> "TangentProjection":
        """Return the layer that starts at the mean of data, constrained to stay SPD.

        Parameters
        ----------
        matrices : array, shape (matrix, region, region)
            SPD: of the training set alone.
        metric : str, default "geometric"
            Of the mean, see `spd_mean`.
        **settings
            Of `spd_mean`.

        Returns
        -------
        TangentProjection

        Raises
        ------
        ValueError
            If the mean is not SPD, as of matrices that are not.
        """
        return cls(PositiveDefiniteParameter(spd_mean(matrices, metric=metric, **settings)))

    def __call__(self, matrix: Float[Tensor, "... region region"]) -> Float[Array, "... region region"]:
        """Return the tangents.

        Parameters
        ----------
        matrix : array, shape (..., region, region)
            SPD, in the unit of the reference. Others give NaN.

        Returns
        -------
        array, shape (..., region, region)
            Symmetric and without unit.

        Raises
        ------
        ValueError
            If the sizes differ.
        """
        return tangent_project(matrix, self._reference(matrix))

    def inverse(self, tangent: Float[Tensor, "... region region"]) -> Float[Array, "... region region"]:
        """Return the SPD matrices of tangents, see `cone_project`.

        Parameters
        ----------
        tangent : array, shape (..., region, region)
            Symmetric.

        Returns
        -------
        array, shape (..., region, region)

        Raises
        ------
        ValueError
            If the sizes differ.
        """
        return cone_project(tangent, self._reference(tangent))

    def _reference(self, like: Tensor) -> Array:
        return _to_jax_array(self.reference).astype(_to_jax_array(like).dtype)
