r"""Information in Gaussian variables, in nats: entropy, what variables share, and how far two Gaussians are apart.

All follow from log-determinants: the entropy of :math:`n` jointly Gaussian variables with covariance :math:`\Sigma` is
:math:`H = \tfrac12 \log \det \Sigma + \tfrac n2 \log 2 \pi e`, and given all others one variable has
:math:`H_{i|-i} = \tfrac12 \log (2 \pi e / (\Sigma^{-1})_{ii})`. Divide by :math:`\log 2` for bits.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional._inverse import symmetric_inverse
from conn.functional.covariance import square_matrix
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.spd import definite, same_size

__all__ = [
    "dual_total_correlation",
    "gaussian_entropy",
    "gaussian_jensen_shannon",
    "gaussian_kullback_leibler",
    "gaussian_mutual_information",
    "o_information",
    "pairwise_mutual_information",
    "total_correlation",
]

_UNIT = math.log(2 * math.pi * math.e)


def gaussian_entropy(covariance: Float[Tensor, "... region region"], *, check: bool = False) -> Float[Array, "..."]:
    """Return the differential entropy of Gaussian variables.

    Parameters
    ----------
    covariance : array, shape (..., region, region)
        Symmetric positive definite.
    check : bool, default False
        Refuse matrices that are not, as `spd_log` does. Without it they give NaN.

    Returns
    -------
    array, shape (...)
        In nats; of either sign, since it depends on the unit of the variables.

    Raises
    ------
    ValueError, RuntimeError
        As `spd_log`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(gaussian_entropy(jnp.eye(1))), 4)
    1.4189
    """
    matrix = definite(covariance, name="covariance", check=check)
    return (log_determinant(matrix) + matrix.shape[-1] * _UNIT) / 2


def gaussian_mutual_information(
    covariance: Float[Tensor, "... region region"],
    first: Sequence[int],
    second: Sequence[int],
    *,
    given: Sequence[int] = (),
    check: bool = False,
) -> Float[Array, "..."]:
    r"""Return the information that two sets of regions share, :math:`H_a + H_b - H_{ab}`, or do so given a third.

    Parameters
    ----------
    covariance : array, shape (..., region, region)
        Symmetric positive definite. Correlations give the same, for the unit does not matter.
    first, second : sequence of int
        Indices of the regions of each set. No region may be in two sets.
    given : sequence of int, optional
        Regions that are known already: the information is then conditional on them.
    check : bool, default False
        As for `gaussian_entropy`.

    Returns
    -------
    array, shape (...)
        In nats, not negative.

    Raises
    ------
    ValueError, RuntimeError
        If a set is empty, an index out of range or used twice; or as `spd_log`.

    References
    ----------
    .. [1] Cover and Thomas (2005). doi:10.1002/047174882X

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(gaussian_mutual_information(jnp.array([[1.0, 0.6], [0.6, 1.0]]), [0], [1])), 4)
    0.2231
    """
    matrix = definite(covariance, name="covariance", check=check)
    if len(first) == 0 or len(second) == 0:
        raise ValueError("first and second must each name at least one region")
    named = [*first, *second, *given]
    if len(set(named)) < len(named) or not all(0 <= region < matrix.shape[-1] for region in named):
        raise ValueError(f"regions must be distinct indices below {matrix.shape[-1]}, and are {named}")

    def volume(*sets: Sequence[int]) -> Array:
        chosen = np.array([region for regions in sets for region in regions], int)
        return log_determinant(matrix[..., chosen[:, None], chosen]) if chosen.size else jnp.zeros((), matrix.dtype)

    shared = volume(first, given) + volume(second, given) - volume(first, second, given) - volume(given)
    return _not_negative(shared / 2)


def pairwise_mutual_information(correlation: Float[Tensor, "... region region"]) -> Float[Array, "... region region"]:
    r"""Return the information that every two regions share, :math:`-\tfrac12 \log (1 - r^2)`.

    Parameters
    ----------
    correlation : array, shape (..., region, region)
        Between -1 and 1; of any kind (partial correlations give conditional information).

    Returns
    -------
    array, shape (..., region, region)
        In nats. 0 on the diagonal, infinite where another correlation is 1 or -1 (with derivative 0).

    Raises
    ------
    ValueError
        If the matrices are not square.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> shared = pairwise_mutual_information(jnp.array([[1.0, 0.6], [0.6, 1.0]]))
    >>> [round(float(value), 4) for value in shared[0]]
    [0.0, 0.2231]
    """
    matrix = square_matrix("correlation", correlation)
    left = 1 - jnp.square(matrix)
    usable = left > 0
    shared = jnp.where(usable, -jnp.log(jnp.where(usable, left, 1.0)) / 2, jnp.where(left == 0, jnp.inf, jnp.nan))
    return jnp.where(jnp.eye(matrix.shape[-1], dtype=bool), 0.0, shared)


def total_correlation(covariance: Float[Tensor, "... region region"], *, check: bool = False) -> Float[Array, "..."]:
    r"""Return the total correlation, :math:`\sum_i H_i - H`: how much less is uncertain together than one by one.

    Parameters
    ----------
    covariance : array, shape (..., region, region)
        Symmetric positive definite, in any unit.
    check : bool, default False
        As for `gaussian_entropy`.

    Returns
    -------
    array, shape (...)
        In nats, not negative; 0 for independent regions.

    Raises
    ------
    ValueError, RuntimeError
        As `spd_log`.

    References
    ----------
    .. [1] Watanabe (1960). doi:10.1147/rd.41.0066

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(total_correlation(jnp.array([[1.0, 0.6], [0.6, 1.0]]))), 4)
    0.2231
    """
    matrix = definite(covariance, name="covariance", check=check)
    own = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    return _not_negative((jnp.log(jnp.where(own > 0, own, jnp.nan)).sum(-1) - log_determinant(matrix)) / 2)


def dual_total_correlation(
    covariance: Float[Tensor, "... region region"], *, check: bool = False
) -> Float[Array, "..."]:
    r"""Return the dual total correlation, :math:`H - \sum_i H_{i|-i}`: how much of the uncertainty is shared.

    Parameters
    ----------
    covariance : array, shape (..., region, region)
        Symmetric positive definite, in any unit.
    check : bool, default False
        As for `gaussian_entropy`.

    Returns
    -------
    array, shape (...)
        In nats, not negative; 0 for independent regions.

    Raises
    ------
    ValueError, RuntimeError
        As `spd_log`.

    References
    ----------
    .. [1] Han (1975). doi:10.1016/S0019-9958(75)80004-0

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(dual_total_correlation(jnp.array([[1.0, 0.6], [0.6, 1.0]]))), 4)
    0.2231
    """
    matrix = definite(covariance, name="covariance", check=check)
    own = jnp.diagonal(symmetric_inverse(matrix), axis1=-2, axis2=-1)
    return _not_negative((log_determinant(matrix) + jnp.log(jnp.where(own > 0, own, jnp.nan)).sum(-1)) / 2)


def o_information(covariance: Float[Tensor, "... region region"], *, check: bool = False) -> Float[Array, "..."]:
    """Return the O-information: total less dual total correlation.

    Parameters
    ----------
    covariance : array, shape (..., region, region)
        Symmetric positive definite, in any unit.
    check : bool, default False
        As for `gaussian_entropy`.

    Returns
    -------
    array, shape (...)
        In nats. Above 0 where regions rather repeat each other (redundancy), below 0 where they rather tell something
        only together (synergy); 0 for two regions.

    Raises
    ------
    ValueError, RuntimeError
        As `spd_log`.

    References
    ----------
    .. [1] Rosas et al. (2019). doi:10.1103/PhysRevE.100.032305

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> bool(o_information(jnp.full((3, 3), 0.8) + 0.2 * jnp.eye(3)) > 0)
    True
    """
    return total_correlation(covariance, check=check) - dual_total_correlation(covariance, check=check)


def gaussian_kullback_leibler(
    first: Float[Tensor, "... region region"],
    second: Float[Tensor, "... region region"],
    *,
    first_mean: Float[Tensor, "... region"] | None = None,
    second_mean: Float[Tensor, "... region"] | None = None,
    check: bool = False,
) -> Float[Array, "..."]:
    r"""Return the Kullback-Leibler divergence of one Gaussian from another, :math:`D(p \| q)`.

    Parameters
    ----------
    first, second : array, shape (..., region, region)
        Covariances of :math:`p` and :math:`q`, SPD, in one unit. Leading axes broadcast.
    first_mean, second_mean : array, shape (..., region), optional
        Their means, by default 0.
    check : bool, default False
        As for `gaussian_entropy`.

    Returns
    -------
    array, shape (...)
        In nats, not negative; not symmetric.

    Raises
    ------
    ValueError, RuntimeError
        If sizes differ, or as `spd_log`.

    References
    ----------
    .. [1] Kullback and Leibler (1951). doi:10.1214/aoms/1177729694

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(gaussian_kullback_leibler(jnp.eye(2), jnp.eye(2), first_mean=jnp.array([1.0, 0.0])))
    0.5
    """
    ours, theirs = _pair_of(first, second, check)
    means = [_mean(mean, ours, name) for mean, name in ((first_mean, "first_mean"), (second_mean, "second_mean"))]
    return _divergence(ours, theirs, means[0] - means[1])


def gaussian_jensen_shannon(
    first: Float[Tensor, "... region region"],
    second: Float[Tensor, "... region region"],
    *,
    first_mean: Float[Tensor, "... region"] | None = None,
    second_mean: Float[Tensor, "... region"] | None = None,
    check: bool = False,
) -> Float[Array, "..."]:
    r"""Return the geometric Jensen-Shannon divergence of two Gaussians.

    It is :math:`\tfrac12 D(p \| g) + \tfrac12 D(q \| g)`. Between them lies :math:`g`, their normalised geometric mean,
    which is Gaussian (the mean precision, and the mean weighted by precision). The original divergence, of which the
    arithmetic mixture is part, has no closed form.

    Parameters
    ----------
    first, second, first_mean, second_mean, check
        As for `gaussian_kullback_leibler`.

    Returns
    -------
    array, shape (...)
        In nats, not negative, symmetric; 0 for equal Gaussians.

    Raises
    ------
    ValueError, RuntimeError
        As `gaussian_kullback_leibler`.

    References
    ----------
    .. [1] Nielsen (2019). doi:10.3390/e21050485

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(gaussian_jensen_shannon(jnp.eye(2), jnp.eye(2), first_mean=jnp.array([2.0, 0.0])))
    0.5
    """
    ours, theirs = _pair_of(first, second, check)
    our_mean, their_mean = _mean(first_mean, ours, "first_mean"), _mean(second_mean, theirs, "second_mean")
    our_precision, their_precision = symmetric_inverse(ours), symmetric_inverse(theirs)
    between = symmetric_inverse((our_precision + their_precision) / 2)
    pulled = _applied(our_precision, our_mean) + _applied(their_precision, their_mean)
    middle = _applied(between, pulled) / 2
    return (_divergence(ours, between, our_mean - middle) + _divergence(theirs, between, their_mean - middle)) / 2


def _divergence(first: Array, second: Array, gap: Array) -> Array:
    precision = symmetric_inverse(second)
    spread = (precision * first).sum((-2, -1)) + (gap * _applied(precision, gap)).sum(-1)
    volumes = log_determinant(second) - log_determinant(first)
    return _not_negative((spread + volumes - first.shape[-1]) / 2)


def _applied(matrix: Array, vector: Array) -> Array:
    return (matrix @ vector[..., None])[..., 0]


def _pair_of(first: Tensor, second: Tensor, check: bool) -> tuple[Array, Array]:
    ours, theirs = definite(first, name="first", check=check), definite(second, name="second", check=check)
    same_size(first=ours, second=theirs)
    return ours, theirs


def _mean(mean: Tensor | None, covariance: Array, name: str) -> Array:
    if mean is None:
        return jnp.zeros(covariance.shape[-1:], covariance.dtype)
    vector = _to_jax_array(mean).astype(covariance.dtype)
    if vector.ndim == 0 or vector.shape[-1] != covariance.shape[-1]:
        raise ValueError(
            f"{name} must have one value for each of the {covariance.shape[-1]} regions, and has shape {vector.shape}"
        )
    return vector


def _not_negative(value: Array) -> Array:
    """Return what is 0 in theory, and below it only by rounding, as 0; NaN stays."""
    return jnp.where(value < 0, 0.0, value)


@jax.custom_jvp
def log_determinant(matrix: Float[Array, "... region region"]) -> Float[Array, "..."]:
    """Return the logarithm of the determinant of SPD matrices, NaN where it is not positive."""
    sign, value = jnp.linalg.slogdet(matrix)
    return jnp.where(sign > 0, value, jnp.nan)


@log_determinant.defjvp
def _log_determinant_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (matrix,), (direction,) = primals, tangents
    return log_determinant(matrix), (symmetric_inverse(matrix) * direction).sum((-2, -1))
