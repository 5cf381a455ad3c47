"""Series without what confounds explain, with a ridge that can be learned."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float

from conn.functional.confounds import residualise
from conn.functional.engine import Tensor, _to_jax_array

__all__ = ["Residualisation"]


class Residualisation(eqx.Module):
    """What is left of series when confounds are regressed out, see `residualise`.

    Parameters
    ----------
    ridge : float or array, shape (), optional
        Penalty on the coefficients, above 0; learned if it is a parametrised value, for example
        ``PositiveParameter(1.0)``. Without it the confounds are projected out, and only the space that they span
        matters: a factor that multiplies a confound then has no gradient (see `ConfoundGate`).
    intercept : bool, default True
        Take out the mean as well.

    Raises
    ------
    ValueError
        If the ridge is not one number, or not positive.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> layer = Residualisation()
    >>> bool(jnp.allclose(layer(jnp.arange(8.0).reshape(2, 4), jnp.arange(4.0)[None]), 0.0, atol=1e-5))
    True
    """

    ridge: Tensor | None
    intercept: bool = eqx.field(static=True)

    def __init__(self, ridge: float | Float[Tensor, ""] | None = None, *, intercept: bool = True) -> None:
        if ridge is not None and np.shape(ridge) != ():
            raise ValueError(f"ridge must be one number, and has shape {np.shape(ridge)}")
        if isinstance(ridge, int | float) and not ridge > 0:
            raise ValueError(f"ridge must be positive, or None for a projection, and is {ridge}")
        self.ridge, self.intercept = ridge, intercept

    def __call__(
        self,
        time_series: Float[Tensor, "... region frame"],
        confounds: Float[Tensor, "... confound frame"],
        *,
        mask: Bool[Tensor, "... frame"] | None = None,
    ) -> Float[Array, "... region frame"]:
        """Return the residuals.

        Parameters
        ----------
        time_series : array, shape (..., region, frame)
            In any unit. NaN in a frame that counts makes its region NaN.
        confounds : array, shape (..., confound, frame)
            Leading axes broadcast with those of the series.
        mask : array of bool, shape (..., frame), optional
            True where a frame counts; masked frames hold 0 in the result.

        Returns
        -------
        array, shape (..., region, frame)

        Raises
        ------
        ValueError
            If the shapes do not fit each other.
        """
        ridge = self.ridge if self.ridge is None or isinstance(self.ridge, int | float) else _to_jax_array(self.ridge)
        return residualise(time_series, confounds, mask=mask, ridge=ridge, intercept=self.intercept)
