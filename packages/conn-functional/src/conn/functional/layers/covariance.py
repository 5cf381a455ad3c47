"""Connectomes of series, with weights of frames that are learned."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from conn.functional._inputs import real_series
from conn.functional.covariance import corr, cov
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.parameters import PositiveParameter
from conn.functional.partial_covariance import partial_corr, partial_cov, precision

__all__ = ["Covariance"]

Estimator = Literal["covariance", "correlation", "precision", "partial_covariance", "partial_correlation"]

_ESTIMATORS: dict[str, Callable[..., Array]] = {
    "covariance": cov,
    "correlation": corr,
    "precision": precision,
    "partial_covariance": partial_cov,
    "partial_correlation": partial_corr,
}


class Covariance(eqx.Module):
    r"""Covariance, correlation, or their partial forms, of series whose frames weigh what is learned.

    Parameters
    ----------
    estimator : {"correlation", "covariance", "precision", "partial_covariance", "partial_correlation"}
        The function of `conn.functional` by its name in full.
    weight : array, shape (frame,) or (weighting, frame), optional
        Weight of each frame, not negative; keep it so with a parametrisation, as `random` does. Several weightings
        give a connectome each. All frames weigh 1 by default.
    coupling : array, shape (frame, frame), optional
        Of frames in pairs, symmetric and positive semi-definite, for covariance and correlation; see `cov`.
    ridge : float or array, default 0
        Times the mean variance, added to the diagonal of the covariance. Not for the correlation.
    shrinkage : {"ledoit_wolf", "oas"} or float, optional
        For the inverses, see `precision`.

    Raises
    ------
    ValueError
        If the estimator is unknown or has no such setting, or a shape does not fit.

    Examples
    --------
    >>> import jax
    >>> layer = Covariance.random("correlation", 3, 40, key=jax.random.key(0))
    >>> layer(jax.random.normal(jax.random.key(1), (2, 5, 40))).shape
    (2, 3, 5, 5)
    """

    weight: Tensor | None
    coupling: Tensor | None
    ridge: Tensor
    estimator: Estimator = eqx.field(static=True)
    shrinkage: str | float | None = eqx.field(static=True)

    def __init__(
        self,
        estimator: Estimator = "correlation",
        *,
        weight: Float[Tensor, "... frame"] | None = None,
        coupling: Float[Tensor, "frame frame"] | None = None,
        ridge: float | Tensor = 0.0,
        shrinkage: Literal["ledoit_wolf", "oas"] | float | None = None,
    ) -> None:
        if estimator not in get_args(Estimator):
            raise ValueError(f"estimator must be one of {', '.join(get_args(Estimator))}, and is {estimator!r}")
        direct = estimator in ("covariance", "correlation")
        plain = isinstance(ridge, int | float) and ridge == 0
        for name, given, allowed in (
            ("coupling", coupling is not None, direct),
            ("shrinkage", shrinkage is not None, not direct),
            ("ridge", not plain, estimator != "correlation"),
        ):
            if given and not allowed:
                raise ValueError(f"{name} is no setting of the estimator {estimator!r}")
        if weight is not None and len(np.shape(weight)) not in (1, 2):
            raise ValueError(f"weight must have shape (frame,) or (weighting, frame), and has shape {np.shape(weight)}")
        self.estimator, self.shrinkage = estimator, shrinkage
        self.weight, self.coupling, self.ridge = weight, coupling, ridge

    @classmethod
    def random(
        cls, estimator: Estimator, n_weightings: int, n_frames: int, *, key: Array, spread: float = 0.1, **settings: Any
    ) -> "Covariance":
        """Return a layer with weights near 1, constrained to stay positive.

        Parameters
        ----------
        estimator : str
            As for the class.
        n_weightings, n_frames : int
            Each weighting gives a connectome.
        key : PRNG key
            The same key gives the same weights.
        spread : float, default 0.1
            Standard deviation of the weights.
        **settings
            As for the class.

        Returns
        -------
        Covariance

        Raises
        ------
        ValueError
            As the class.
        """
        weights = 1.0 + spread * jax.random.normal(key, (n_weightings, n_frames))
        return cls(estimator, weight=PositiveParameter(weights, minimum=1e-3), **settings)

    def __call__(
        self, time_series: Float[Tensor, "... region frame"], *, mask: Bool[Tensor, "... frame"] | None = None
    ) -> Float[Array, "... region region"]:
        """Return the connectomes.

        Parameters
        ----------
        time_series : array, shape (..., region, frame)
            In any unit. NaN anywhere makes its region NaN: mark such frames in `mask`.
        mask : array of bool, shape (..., frame), optional
            True where a frame counts.

        Returns
        -------
        array, shape (..., region, region) or (..., weighting, region, region)

        Raises
        ------
        ValueError, RuntimeError
            As the estimator.
        """
        series = real_series(time_series)
        weight = None if self.weight is None else _to_jax_array(self.weight).astype(series.dtype)
        if weight is not None and weight.ndim == 2:
            series = series[..., None, :, :]
            mask = None if mask is None else _to_jax_array(mask)[..., None, :]
        settings: dict[str, Any] = {"weight": weight, "mask": mask}
        if self.coupling is not None:
            settings["coupling"] = self.coupling
        if self.estimator != "correlation":
            plain = isinstance(self.ridge, int | float)
            settings["ridge"] = self.ridge if plain else _to_jax_array(self.ridge).astype(series.dtype)
        if self.shrinkage is not None:
            settings["shrinkage"] = self.shrinkage
        return _ESTIMATORS[self.estimator](series, **settings)
