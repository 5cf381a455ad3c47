"""Determinants of the correlations between signals: large for signals that say different things."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional import corr
from conn.functional.engine import Tensor
from conn.functional.spd import regularise_spd
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Reduction

__all__ = ["GramDeterminantLoss", "GramLogDeterminantLoss", "det_gram", "log_det_gram"]


def det_gram(time_series: Float[Tensor, "... region frame"], *, ridge: float = 0.0) -> Float[Array, "..."]:
    """Return *minus* the determinant of the signals' correlations: least, -1, for uncorrelated signals.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN makes the result NaN. A constant signal correlates with nothing, nor itself.
    ridge : float, default 0
        What is added to the diagonal, as a fraction of its mean.

    Returns
    -------
    array, shape (...)
        Without unit. With many regions the determinant underflows to 0, and its derivative with it: `log_det_gram`
        does not.

    Raises
    ------
    ValueError
        If the ridge is negative.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(det_gram(jnp.array([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])))
    -1.0
    """
    return -jnp.linalg.det(regularise_spd(corr(time_series), ridge=ridge))


def log_det_gram(time_series: Float[Tensor, "... region frame"], *, ridge: float = 1e-3) -> Float[Array, "..."]:
    """Return *minus* the log-determinant of the signals' correlations: least, near 0, for uncorrelated signals.

    Half of it is the total correlation of Gaussian signals, in nats.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit. NaN makes the result NaN. A constant signal correlates with nothing, nor itself.
    ridge : float, default 1e-3
        What is added to the diagonal, as a fraction of its mean. With 0, linearly dependent signals (more regions than
        frames) have an infinite loss.

    Returns
    -------
    array, shape (...)
        In nats.

    Raises
    ------
    ValueError
        If the ridge is negative.

    References
    ----------
    .. [1] Watanabe (1960), Information theoretical analysis of multivariate correlation. doi:10.1147/rd.41.0066

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> signals = jnp.array([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])
    >>> abs(float(log_det_gram(signals, ridge=0.0)))
    0.0
    """
    return -jnp.linalg.slogdet(regularise_spd(corr(time_series), ridge=ridge))[1]


class GramDeterminantLoss(Loss):
    """Minus the determinant of the signals' correlations.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "GramDeterminant"
        How the loss is called.
    ridge : float, default 0
        What is added to the diagonal, as a fraction of its mean.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(GramDeterminantLoss(ridge=1.0)(jnp.array([[1.0, -1.0], [1.0, -1.0]])))
    -3.0
    """

    ridge: float = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        ridge: float = 0.0,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=det_gram, scalarisation=scalarisation)
        self.ridge = ridge


class GramLogDeterminantLoss(Loss):
    """Minus the log-determinant of the signals' correlations.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "GramLogDeterminant"
        How the loss is called.
    ridge : float, default 1e-3
        What is added to the diagonal, as a fraction of its mean.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(GramLogDeterminantLoss()(jnp.array([[1.0, -1.0], [1.0, -1.0]]))) > 6
    True
    """

    ridge: float = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        ridge: float = 1e-3,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=log_det_gram, scalarisation=scalarisation)
        self.ridge = ridge
