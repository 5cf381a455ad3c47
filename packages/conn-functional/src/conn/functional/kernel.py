r"""Kernels: how alike two observations are, from their features.

With :math:`\langle x, y \rangle = x^\top M y` and the identity, a diagonal (`weight`) or any positive semidefinite
matrix (`metric`) as :math:`M`, kernels are functions of :math:`\langle x, y \rangle` or of the squared distance
:math:`\lVert x - y \rVert^2 = \langle x - y, x - y \rangle`. The inverse covariance of the features as `metric` gives
the Mahalanobis distance. Covariance and correlation between observations, which are kernels too, are
`conn.functional.cov` and `conn.functional.corr`.

Squared distances are taken in Gram form, one matrix product, after the common mean has been subtracted: no array of
shape (observation, observation, feature) exists.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float

from conn.functional._inputs import real_series, refuse_asymmetry, refuse_infinity
from conn.functional._moments import _symmetric_product, reciprocal_root, root_or_zero
from conn.functional._pairwise import row_by_row
from conn.functional.engine import Tensor, _to_jax_array

__all__ = [
    "cosine_kernel",
    "gaussian_kernel",
    "laplacian_kernel",
    "linear_kernel",
    "pairwise_distance",
    "pairwise_squared_distance",
    "polynomial_kernel",
    "sigmoid_kernel",
]

_AXES = "(..., observation, feature)"


def pairwise_squared_distance(
    points: Float[Tensor, "... observation feature"],
    others: Float[Tensor, "... other feature"] | None = None,
    *,
    weight: Float[Tensor, "... feature"] | None = None,
    metric: Float[Tensor, "... feature feature"] | None = None,
    check: bool = False,
) -> Float[Array, "... observation other"]:
    r"""Return the squared distances :math:`(x - y)^\top M (x - y)` between all observations.

    Parameters
    ----------
    points : array, shape (..., observation, feature)
        NaN in a point makes all distances of its set NaN, since the mean is subtracted first.
    others : array, shape (..., other, feature), optional
        The observations to compare with; `points` themselves by default.
    weight : array, shape (..., feature), optional
        Weight of every feature, not negative: the diagonal of :math:`M`. All weigh 1 by default.
    metric : array, shape (..., feature, feature), optional
        :math:`M` itself, symmetric and positive semidefinite; give this or `weight`.
    check : bool, default False
        Refuse NaN and infinity, negative weights, and a metric that is not symmetric or not positive semidefinite by
        their values, also under ``jit``.

    Returns
    -------
    array, shape (..., observation, other)
        In the squared unit of the features, never negative; between the points themselves symmetric, with an exact 0
        on the diagonal. The Gram form cannot tell distances below :math:`\sqrt{8 \varepsilon}` of the points' distance
        to their common mean from rounding, and gives 0 for them. The derivative is that of the exact formula
        everywhere, at coincident points too.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or both `weight` and `metric` are given.

    See Also
    --------
    sklearn.metrics.pairwise.euclidean_distances

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pairwise_squared_distance(jnp.array([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 25.0], [25.0, 0.0]]
    """
    left, right, matrix = _compared(points, others, weight, metric, check=check)
    # The distance does not depend on the origin, and so has no derivative in it.
    centre = jax.lax.stop_gradient(left.mean(-2, keepdims=True))
    left = left - centre
    right = None if right is None else right - centre
    product, norms, other_norms = _products(left, right, matrix)
    sums = norms[..., :, None] + other_norms[..., None, :]
    raw = sums - 2 * product
    value = jnp.where(raw > 8 * jnp.finfo(raw.dtype).eps * sums, raw, 0.0)
    if right is None:
        value = jnp.where(jnp.eye(raw.shape[-1], dtype=bool), 0.0, value)
    return raw + jax.lax.stop_gradient(value - raw)  # NaN stays NaN


def pairwise_distance(
    points: Float[Tensor, "... observation feature"],
    others: Float[Tensor, "... other feature"] | None = None,
    *,
    weight: Float[Tensor, "... feature"] | None = None,
    metric: Float[Tensor, "... feature feature"] | None = None,
    check: bool = False,
) -> Float[Array, "... observation other"]:
    """Return the distances between all observations: Euclidean, weighted, or of Mahalanobis with its metric.

    Parameters
    ----------
    points, others, weight, metric, check
        As in `pairwise_squared_distance`.

    Returns
    -------
    array, shape (..., observation, other)
        The root of `pairwise_squared_distance`, with what is said there about precision. Not differentiable at
        coincident points, where the derivative is given as 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or both `weight` and `metric` are given.

    See Also
    --------
    scipy.spatial.distance.cdist

    References
    ----------
    .. [1] Mahalanobis (1936), On the generalised distance in statistics. Reprinted in doi:10.1007/s13171-019-00164-5

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pairwise_distance(jnp.array([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    return _distance(pairwise_squared_distance(points, others, weight=weight, metric=metric, check=check))


def linear_kernel(
    points: Float[Tensor, "... observation feature"],
    others: Float[Tensor, "... other feature"] | None = None,
    *,
    weight: Float[Tensor, "... feature"] | None = None,
    metric: Float[Tensor, "... feature feature"] | None = None,
    check: bool = False,
) -> Float[Array, "... observation other"]:
    r"""Return the inner products :math:`x^\top M y` of all observations.

    Parameters
    ----------
    points, others, weight, metric, check
        As in `pairwise_squared_distance`. NaN in a point makes its row (or column) NaN.

    Returns
    -------
    array, shape (..., observation, other)
        In the squared unit of the features; between the points themselves exactly symmetric.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or both `weight` and `metric` are given.

    See Also
    --------
    sklearn.metrics.pairwise.linear_kernel

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> linear_kernel(jnp.array([[1.0, 0.0], [3.0, 4.0]]), weight=jnp.array([1.0, 2.0])).tolist()
    [[1.0, 3.0], [3.0, 41.0]]
    """
    return _products(*_compared(points, others, weight, metric, check=check))[0]


def polynomial_kernel(
    points: Float[Tensor, "... observation feature"],
    others: Float[Tensor, "... other feature"] | None = None,
    *,
    degree: int = 3,
    gamma: ArrayLike | None = None,
    offset: ArrayLike = 1.0,
    weight: Float[Tensor, "... feature"] | None = None,
    metric: Float[Tensor, "... feature feature"] | None = None,
    check: bool = False,
) -> Float[Array, "... observation other"]:
    r"""Return the polynomial kernel :math:`(\gamma\, x^\top M y + c)^p` of all observations.

    Parameters
    ----------
    points, others, weight, metric, check
        As in `pairwise_squared_distance`. NaN in a point makes its row (or column) NaN.
    degree : int, default 3
        :math:`p`, at least 1.
    gamma : float, optional
        Above 0; one over the number of features by default. It may be traced.
    offset : float, default 1.0
        :math:`c`. It may be traced. Positive semidefinite for :math:`c \ge 0`.

    Returns
    -------
    array, shape (..., observation, other)

    Raises
    ------
    ValueError
        If the shapes do not fit each other, both `weight` and `metric` are given, or a setting is out of range.

    See Also
    --------
    sklearn.metrics.pairwise.polynomial_kernel

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> polynomial_kernel(jnp.array([[1.0], [2.0]]), degree=2).tolist()
    [[4.0, 9.0], [9.0, 25.0]]
    """
    if isinstance(degree, bool) or not isinstance(degree, int) or degree < 1:
        raise ValueError(f"degree must be a whole number of at least 1, and is {degree!r}")
    left, right, matrix = _compared(points, others, weight, metric, check=check)
    product = _products(left, right, matrix)[0]
    return (_gamma(gamma, left.shape[-1], product.dtype) * product + jnp.asarray(offset, product.dtype)) ** degree


def sigmoid_kernel(
    points: Float[Tensor, "... observation feature"],
    others: Float[Tensor, "... other feature"] | None = None,
    *,
    gamma: ArrayLike | None = None,
    offset: ArrayLike = 1.0,
    weight: Float[Tensor, "... feature"] | None = None,
    metric: Float[Tensor, "... feature feature"] | None = None,
    check: bool = False,
) -> Float[Array, "... observation other"]:
    r"""Return the sigmoid kernel :math:`\tanh(\gamma\, x^\top M y + c)` of all observations.

    Parameters
    ----------
    points, others, weight, metric, check
        As in `pairwise_squared_distance`. NaN in a point makes its row (or column) NaN.
    gamma : float, optional
        Above 0; one over the number of features by default. It may be traced.
    offset : float, default 1.0
        :math:`c`. It may be traced.

    Returns
    -------
    array, shape (..., observation, other)
        Between -1 and 1; in general not positive semidefinite.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, both `weight` and `metric` are given, or gamma is not positive.

    See Also
    --------
    sklearn.metrics.pairwise.sigmoid_kernel

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> sigmoid_kernel(jnp.array([[0.0]]), offset=0.0).tolist()
    [[0.0]]
    """
    left, right, matrix = _compared(points, others, weight, metric, check=check)
    product = _products(left, right, matrix)[0]
    return jnp.tanh(_gamma(gamma, left.shape[-1], product.dtype) * product + jnp.asarray(offset, product.dtype))


def gaussian_kernel(
    points: Float[Tensor, "... observation feature"],
    others: Float[Tensor, "... other feature"] | None = None,
    *,
    gamma: ArrayLike | None = None,
    width: ArrayLike | None = None,
    weight: Float[Tensor, "... feature"] | None = None,
    metric: Float[Tensor, "... feature feature"] | None = None,
    check: bool = False,
) -> Float[Array, "... observation other"]:
    r"""Return the Gaussian (radial basis function) kernel :math:`\exp(-\gamma \lVert x - y \rVert^2)`.

    Parameters
    ----------
    points, others, weight, metric, check
        As in `pairwise_squared_distance`.
    gamma : float, optional
        Above 0; one over the number of features by default. It may be traced.
    width : float, optional
        Standard deviation :math:`\sigma` in the unit of the features, in place of
        :math:`\gamma = 1 / (2 \sigma^2)`. It may be traced.

    Returns
    -------
    array, shape (..., observation, other)
        Between 0 and 1, exactly 1 on the diagonal between the points themselves.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, both `weight` and `metric` or both `gamma` and `width` are given, or one
        of these is not positive.

    See Also
    --------
    sklearn.metrics.pairwise.rbf_kernel

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> kernel = gaussian_kernel(jnp.array([[0.0], [2.0]]), width=1.0)
    >>> [f"{value:.3f}" for value in kernel[0]]
    ['1.000', '0.135']
    """
    if gamma is not None and width is not None:
        raise ValueError("give gamma or width, not both")
    squared = pairwise_squared_distance(points, others, weight=weight, metric=metric, check=check)
    if width is not None:
        scale = 1 / (2 * _above_zero("width", width, squared.dtype) ** 2)
    else:
        scale = _gamma(gamma, _to_jax_array(points).shape[-1], squared.dtype)
    return jnp.exp(-scale * squared)


def laplacian_kernel(
    points: Float[Tensor, "... observation feature"],
    others: Float[Tensor, "... other feature"] | None = None,
    *,
    gamma: ArrayLike | None = None,
    weight: Float[Tensor, "... feature"] | None = None,
    check: bool = False,
) -> Float[Array, "... observation other"]:
    r"""Return the Laplacian kernel :math:`\exp(-\gamma \sum_f w_f |x_f - y_f|)`.

    City-block distances have no Gram form: they are taken a row at a time, in the time of
    observation x other x feature and the memory of one row's differences.

    Parameters
    ----------
    points, others, weight, check
        As in `pairwise_squared_distance`. NaN in a point makes its row (and column) NaN.
    gamma : float, optional
        Above 0; one over the number of features by default. It may be traced.

    Returns
    -------
    array, shape (..., observation, other)
        Between 0 and 1. Not differentiable where two observations share the value of a feature; the derivative is
        given as 0 there.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or gamma is not positive.

    See Also
    --------
    sklearn.metrics.pairwise.laplacian_kernel

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> [f"{value:.3f}" for value in laplacian_kernel(jnp.array([[0.0], [2.0]]))[0]]
    ['1.000', '0.135']
    """
    left, right, weights = _compared(points, others, weight, None, check=check)
    compared = left if right is None else right

    def distances(_: Array, point: Array) -> Array:
        steps = jnp.abs(point[..., None, :] - compared)
        return (steps if weights is None else steps * weights).sum(-1)

    apart = row_by_row(distances, left)
    return jnp.exp(-_gamma(gamma, left.shape[-1], apart.dtype) * apart)


def cosine_kernel(
    points: Float[Tensor, "... observation feature"],
    others: Float[Tensor, "... other feature"] | None = None,
    *,
    weight: Float[Tensor, "... feature"] | None = None,
    metric: Float[Tensor, "... feature feature"] | None = None,
    check: bool = False,
) -> Float[Array, "... observation other"]:
    r"""Return the cosine of the angle between all observations.

    Parameters
    ----------
    points, others, weight, metric, check
        As in `pairwise_squared_distance`. NaN in a point makes its row (or column) NaN.

    Returns
    -------
    array, shape (..., observation, other)
        Between -1 and 1; between the points themselves exactly 1 on the diagonal. A vector of zeros has no angle: its
        row and column, the diagonal included, are 0, with the derivative 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or both `weight` and `metric` are given.

    See Also
    --------
    sklearn.metrics.pairwise.cosine_similarity

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> [f"{value:.1f}" for value in cosine_kernel(jnp.array([[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]]))[0]]
    ['1.0', '0.8', '0.0']
    """
    left, right, matrix = _compared(points, others, weight, metric, check=check)
    product, norms, other_norms = _products(left, right, matrix)
    nonzero, other_nonzero = norms != 0, other_norms != 0
    scale, other_scale = reciprocal_root(norms, nonzero), reciprocal_root(other_norms, other_nonzero)
    cosine = jnp.clip(product * scale[..., :, None] * other_scale[..., None, :], -1.0, 1.0)
    if right is not None:
        return cosine
    own = jnp.where(jnp.isnan(norms), norms, nonzero.astype(norms.dtype))
    return jnp.where(jnp.eye(product.shape[-1], dtype=bool), jax.lax.stop_gradient(own)[..., None], cosine)


def _compared(
    points: Tensor, others: Tensor | None, weight: Tensor | None, metric: Tensor | None, *, check: bool
) -> tuple[Array, Array | None, Array | None]:
    """Return both sets of observations, and weights as one row or a metric, having made sure that they fit."""
    left = real_series(points, name="points", axes=_AXES, check=check)
    right = None if others is None else real_series(others, name="others", axes="(..., other, feature)", check=check)
    n_features = left.shape[-1]
    if right is not None and right.shape[-1] != n_features:
        raise ValueError(f"others must have the {n_features} features of points, and have shape {right.shape}")
    if weight is not None and metric is not None:
        raise ValueError("give weight or metric, not both")
    if weight is not None:
        matrix = real_series(weight, name="weight", axes="(..., feature)", check=check)
        if matrix.shape[-1] != n_features:
            raise ValueError(f"weight must have shape (..., {n_features}), and has shape {matrix.shape}")
        if check:
            matrix = eqx.error_if(matrix, (matrix < 0).any(), "weight must not be negative, and is")
        return left, right, matrix[..., None, :]
    if metric is None:
        return left, right, None
    matrix = _to_jax_array(metric)
    if matrix.shape[-2:] != (n_features, n_features):
        raise ValueError(f"metric must have shape (..., {n_features}, {n_features}), and has shape {matrix.shape}")
    if check:
        matrix = refuse_asymmetry("metric", refuse_infinity("metric", matrix))
        values = jnp.linalg.eigvalsh(jax.lax.stop_gradient(matrix))
        slack = 8 * n_features * jnp.finfo(matrix.dtype).eps * jnp.abs(values).max(-1)
        negative = (values[..., 0] < -slack).any()
        matrix = eqx.error_if(matrix, negative, "metric must be positive semidefinite, and has a negative eigenvalue")
    return left, right, (matrix + jnp.swapaxes(matrix, -1, -2)) / 2


def _products(left: Array, right: Array | None, matrix: Array | None) -> tuple[Array, Array, Array]:
    """Return the inner products of all pairs, and of each observation of either set with itself."""

    def applied(array: Array) -> Array:
        if matrix is None:
            return array
        return array * matrix if matrix.shape[-2] == 1 else array @ matrix

    scaled = applied(left)
    norms = (scaled * left).sum(-1)
    if right is None:
        return _symmetric_product(scaled, left), norms, norms
    return scaled @ jnp.swapaxes(right, -1, -2), norms, (applied(right) * right).sum(-1)


def _distance(squared: Array) -> Array:
    """Return the root of squared distances, with derivative 0 where they are 0; NaN stays NaN."""
    return jnp.where(jnp.isnan(squared), squared, root_or_zero(squared))


def _gamma(gamma: ArrayLike | None, n_features: int, dtype: DTypeLike) -> Array:
    return _above_zero("gamma", 1 / n_features if gamma is None else gamma, dtype)


def _above_zero(name: str, value: ArrayLike, dtype: DTypeLike) -> Array:
    """Return the setting in the dtype; where it is known, it must be finite and above 0."""
    if isinstance(value, int | float) and not (np.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and above 0, and is {value}")
    return jnp.asarray(value, dtype)
