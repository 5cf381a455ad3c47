r"""Relations across subjects between what was measured and how well: QC–FC.

An edge whose strength follows the subjects' head motion tells of motion. What chance alone gives is let pass: a
correlation counts by how much it exceeds a tolerance.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from scipy import stats

from conn.functional import paired_corr, triangle_to_vector
from conn.functional.engine import Tensor, _to_jax_array
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Reduction

__all__ = ["BatchCorrelationLoss", "QCFCLoss", "batch_correlation", "qcfc", "tolerated_correlation"]


def tolerated_correlation(n_subjects: int, *, significance: float = 0.1) -> float:
    r"""Return the absolute correlation that independent normal values exceed with a given probability.

    .. math:: r = t / \sqrt{n - 2 + t^2}

    with :math:`t` the two-sided quantile of Student's distribution with :math:`n - 2` degrees of freedom.

    Parameters
    ----------
    n_subjects : int
        At least 3.
    significance : float, default 0.1
        The probability, between 0 and 1.

    Raises
    ------
    ValueError
        If there are fewer than 3 subjects, or the significance is not between 0 and 1.

    Examples
    --------
    >>> round(tolerated_correlation(100, significance=0.05), 4)
    0.1966
    """
    if n_subjects < 3:
        raise ValueError(f"a correlation's significance needs at least 3 subjects, and there are {n_subjects}")
    if not 0 < significance < 1:
        raise ValueError(f"significance must lie between 0 and 1, and is {significance}")
    t = float(stats.t.ppf(1 - significance / 2, n_subjects - 2))
    return t / math.sqrt(n_subjects - 2 + t**2)


def batch_correlation(
    values: Float[Tensor, "subject *feature"],
    quality: Float[Tensor, "subject"],
    *,
    tolerance: float = 0.0,
    significance: float | None = None,
    absolute: bool = True,
) -> Float[Array, "*feature"]:
    """Return by how much the correlation of each feature with a quality, across subjects, exceeds a tolerance.

    Parameters
    ----------
    values : array, shape (subject, ...)
        Features of every subject. NaN makes a feature's result NaN; a feature that does not vary has correlation 0.
    quality : array, shape (subject,)
        A number a subject: mean framewise displacement, say.
    tolerance : float, default 0
        Correlation that does not count.
    significance : float, optional
        In place of `tolerance`: that of `tolerated_correlation`.
    absolute : bool, default True
        Count negative correlations as positive ones; otherwise they cost nothing.

    Returns
    -------
    array
        Shaped as one subject's features, between 0 and 1. Not differentiable at the tolerance.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, there are fewer than 3 subjects, or both tolerances are given.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> values = jnp.array([[0.0, 1.0], [1.0, -2.0], [2.0, 1.0]])
    >>> [round(float(r), 6) for r in batch_correlation(values, jnp.array([0.0, 1.0, 2.0]), tolerance=0.25)]
    [0.75, 0.0]
    """
    array, quality = _to_jax_array(values), _to_jax_array(quality)
    if array.ndim < 1 or quality.shape != array.shape[:1]:
        raise ValueError(
            f"values must have shape (subject, ...) and quality (subject,), and have {array.shape} and {quality.shape}"
        )
    n_subjects = array.shape[0]
    if n_subjects < 3:
        raise ValueError(f"a correlation across subjects needs at least 3 of them, and there are {n_subjects}")
    if significance is not None:
        if tolerance:
            raise ValueError(f"give tolerance or significance, not both: they are {tolerance} and {significance}")
        tolerance = tolerated_correlation(n_subjects, significance=significance)
    found = paired_corr(array.reshape(n_subjects, -1).T, quality[None])[:, 0].reshape(array.shape[1:])
    return jnp.maximum((jnp.abs(found) if absolute else found) - tolerance, 0.0)


def qcfc(
    connectome: Float[Tensor, "subject region region"],
    quality: Float[Tensor, "subject"],
    *,
    tolerance: float = 0.0,
    significance: float | None = None,
    absolute: bool = True,
) -> Float[Array, "pair"]:
    """Return by how much the correlation of each edge with a quality, across subjects, exceeds a tolerance.

    Parameters
    ----------
    connectome : array, shape (subject, region, region)
        Of every subject; the triangle above the diagonal is read.
    quality, tolerance, significance, absolute
        As in `batch_correlation`.

    Returns
    -------
    array, shape (pair,)
        Row by row.

    Raises
    ------
    ValueError
        As `batch_correlation`.

    References
    ----------
    .. [1] Power, Barnes, Snyder, Schlaggar & Petersen (2012). doi:10.1016/j.neuroimage.2011.10.018
    .. [2] Ciric et al. (2017). doi:10.1016/j.neuroimage.2017.03.020

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> motion = jnp.array([0.1, 0.2, 0.3])
    >>> [round(float(r), 4) for r in qcfc(motion[:, None, None] * jnp.ones((3, 2, 2)), motion)]
    [1.0]
    """
    return batch_correlation(
        triangle_to_vector(connectome),
        quality,
        tolerance=tolerance,
        significance=significance,
        absolute=absolute,
    )


class _AcrossSubjectsLoss(Loss):
    """A loss of correlations across subjects, above a tolerance; a subclass names the score."""

    tolerance: float = eqx.field(static=True)
    significance: float | None = eqx.field(static=True)
    absolute: bool = eqx.field(static=True)
    _across_subjects: ClassVar[Callable[..., Array]]

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        tolerance: float = 0.0,
        significance: float | None = None,
        absolute: bool = True,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=type(self)._across_subjects, scalarisation=scalarisation)
        self.tolerance, self.significance, self.absolute = tolerance, significance, absolute


class BatchCorrelationLoss(_AcrossSubjectsLoss):
    """How features follow a quality across subjects, above a tolerance.

    Call it with features (subject, ...) and the quality (subject,).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "BatchCorrelation"
        How the loss is called.
    tolerance : float, default 0
        Correlation that does not count.
    significance : float, optional
        In place of `tolerance`: that of `tolerated_correlation`.
    absolute : bool, default True
        Count negative correlations as positive ones.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> quality = jnp.array([0.0, 1.0, 2.0])
    >>> round(float(BatchCorrelationLoss()(-quality[:, None], quality)), 6)
    1.0
    """

    _across_subjects = staticmethod(batch_correlation)


class QCFCLoss(_AcrossSubjectsLoss):
    """How the edges of connectomes follow a quality across subjects, above a tolerance.

    Call it with connectomes (subject, region, region) and the quality (subject,).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "QCFC"
        How the loss is called.
    tolerance : float, default 0
        Correlation that does not count.
    significance : float, optional
        In place of `tolerance`: that of `tolerated_correlation`.
    absolute : bool, default True
        Count negative correlations as positive ones.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> motion = jnp.array([0.1, 0.2, 0.3])
    >>> round(float(QCFCLoss()(motion[:, None, None] * jnp.ones((3, 2, 2)), motion)), 4)
    1.0
    """

    _across_subjects = staticmethod(qcfc)
