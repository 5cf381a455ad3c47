"""Censored frames filled, as a layer."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import equinox as eqx
from jaxtyping import Array, Bool, Float

from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.interpolation import (
    cubic_interpolate,
    hybrid_interpolate,
    linear_interpolate,
    spectral_interpolate,
    weighted_interpolate,
)

__all__ = ["Interpolation"]

Method = Literal["linear", "cubic", "spectral", "hybrid", "weighted"]

_METHODS: dict[str, Callable[..., Array]] = {
    "linear": linear_interpolate,
    "cubic": cubic_interpolate,
    "spectral": spectral_interpolate,
    "hybrid": hybrid_interpolate,
    "weighted": weighted_interpolate,
}


class Interpolation(eqx.Module):
    """Series with masked frames filled from those that count.

    Parameters
    ----------
    method : {"hybrid", "linear", "cubic", "spectral", "weighted"}, default "hybrid"
        Which function of `conn.functional`.
    width : float or array, shape (), optional
        For "weighted" alone, in frames; learned if it is a parametrised value. 1 by default.

    Raises
    ------
    ValueError
        If the method is unknown, or has no width.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> layer = Interpolation("linear")
    >>> layer(jnp.array([[0.0, jnp.nan, 2.0]]), jnp.array([True, False, True])).tolist()
    [[0.0, 1.0, 2.0]]
    """

    width: Tensor | None
    method: Method = eqx.field(static=True)

    def __init__(self, method: Method = "hybrid", *, width: float | Float[Tensor, ""] | None = None) -> None:
        if method not in get_args(Method):
            raise ValueError(f"method must be one of {', '.join(get_args(Method))}, and is {method!r}")
        if width is not None and method != "weighted":
            raise ValueError(f"width is no setting of the method {method!r}")
        self.method, self.width = method, width

    def __call__(
        self, time_series: Float[Tensor, "... region frame"], mask: Bool[Tensor, "... frame"]
    ) -> Float[Array, "... region frame"]:
        """Return the filled series.

        Parameters
        ----------
        time_series : array, shape (..., region, frame)
            In any unit. What stands in masked frames is not read.
        mask : array of bool, shape (..., frame)
            True where a frame counts.

        Returns
        -------
        array, shape (..., region, frame)

        Raises
        ------
        ValueError
            If the shapes do not fit each other.
        """
        settings: dict[str, Any] = {}
        if self.width is not None:
            settings["width"] = self.width if isinstance(self.width, int | float) else _to_jax_array(self.width)
        return _METHODS[self.method](time_series, mask, **settings)
