"""Domains of matrices: orthonormal columns, positive definite ones, and those of a fixed determinant."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional.engine import Tensor
from conn.functional.parameters.base import (
    MappedParameter,
    Outside,
    check_policy,
    initial_value,
    refuse_outside,
)

__all__ = ["IsochoricParameter", "OrthogonalParameter", "PositiveDefiniteParameter"]


class OrthogonalParameter(MappedParameter):
    r"""Matrices with orthonormal columns (or rows, where these are fewer), through the polar factor :math:`U V^\top`.

    Of all such matrices the polar factor is the nearest to the preimage :math:`U S V^\top`. Its derivative has a closed
    form, which equal singular values do not trouble; 0 is returned for directions in which it would be infinite,
    between singular values of 0. Preimages that differ by their symmetric factor have one image; the preimage given is
    the matrix itself.

    Parameters
    ----------
    value : array, shape (..., row, column)
        Initial value, of full rank.
    outside : {"renormalise", "raise"}, default "renormalise"
        Take the nearest matrix of the domain, or refuse others.

    Raises
    ------
    ValueError
        If the value has fewer than two axes, the policy is unknown, or a value is not finite, not of full rank or
        refused.

    References
    ----------
    .. [1] Higham (1986). Computing the polar decomposition. doi:10.1137/0907079

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(jnp.abs(jnp.round(jnp.asarray(OrthogonalParameter(jnp.array([[0.0, 2.0], [5.0, 0.0]]))), 4)))
    [[0. 1.]
     [1. 0.]]
    """

    original: Array

    def __init__(self, value: Tensor, *, outside: Outside = "renormalise"):
        check_policy(outside, "renormalise", "raise")
        array = initial_value(value)
        if array.ndim < 2:
            raise ValueError(f"an orthogonal matrix needs two axes, and the value has shape {array.shape}")
        singular = jnp.linalg.svd(array, compute_uv=False)
        tolerance = jnp.sqrt(jnp.finfo(array.dtype).eps)
        refuse_rank = singular[..., -1] > tolerance * singular[..., 0]
        refuse_outside(refuse_rank, "a matrix without full rank has no nearest orthogonal one")
        if outside == "raise":
            refuse_outside(jnp.abs(singular - 1) <= 16 * tolerance, "not all singular values are 1")
        self.original = self.preimage(_polar_factor(array))

    def image(self, preimage: Array) -> Array:
        """Return the nearest orthogonal matrix."""
        return _polar_factor(preimage)

    def preimage(self, image: Array) -> Array:
        """Return the matrix itself."""
        return image


class PositiveDefiniteParameter(MappedParameter):
    r"""Symmetric positive definite matrices, :math:`L L^\top` with :math:`\log L_{ii}` free.

    The preimage is a vector: the logarithms of the Cholesky factor's diagonal, then what stands below the diagonal, row
    by row. Vectors and matrices belong together one to one.

    Parameters
    ----------
    value : array, shape (..., region, region)
        Initial value.
    minimum : float, default 1e-4
        Smallest initial eigenvalue, in units of the largest.
    outside : {"clip", "raise"}, default "clip"
        Take the symmetric part of the initial value and raise its eigenvalues to the minimum; or refuse what is not
        symmetric and positive definite.

    Raises
    ------
    ValueError
        If the value is not square, has no positive eigenvalue, the minimum is not in (0, 1), the policy is unknown, or
        a value is not finite or refused.

    References
    ----------
    .. [1] Pinheiro & Bates (1996). Unconstrained parametrizations for variance-covariance matrices.
       doi:10.1007/BF00140873

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(jnp.round(jnp.asarray(PositiveDefiniteParameter(jnp.array([[2.0, 1.0], [1.0, 2.0]]))), 4))
    [[2. 1.]
     [1. 2.]]
    """

    original: Array
    n_regions: int = eqx.field(static=True)

    def __init__(self, value: Tensor, *, minimum: float = 1e-4, outside: Outside = "clip"):
        matrix = _positive_definite(value, minimum, outside)
        self.n_regions = matrix.shape[-1]
        self.original = self.preimage(matrix)

    def image(self, preimage: Array) -> Array:
        """Return the matrix."""
        return _product(preimage[..., : self.n_regions], preimage[..., self.n_regions :])

    def preimage(self, image: Array) -> Array:
        """Return the vector of the matrix's Cholesky factor."""
        return jnp.concatenate(_factor(image), axis=-1)


class IsochoricParameter(MappedParameter):
    r"""Symmetric positive definite matrices of one determinant, :math:`L L^\top` with :math:`\prod L_{ii}^2 = d`.

    The preimage is a vector: the logarithms of the Cholesky factor's diagonal less their mean, in an orthonormal basis
    of such vectors (Helmert's), then what stands below the diagonal, row by row. Vectors and matrices belong together
    one to one.

    Parameters
    ----------
    value : array, shape (..., region, region)
        Initial value.
    determinant : float, default 1
        :math:`d > 0`.
    minimum : float, default 1e-4
        Smallest initial eigenvalue, in units of the largest.
    outside : {"renormalise", "raise"}, default "renormalise"
        Make the initial value positive definite as `PositiveDefiniteParameter` does, and scale it to the determinant;
        or refuse what is not in the domain.

    Raises
    ------
    ValueError
        If the value is not square, has no positive eigenvalue, the determinant is not positive, the minimum is not in
        (0, 1), the policy is unknown, or a value is not finite or refused.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(jnp.round(jnp.asarray(IsochoricParameter(jnp.array([[8.0, 0.0], [0.0, 2.0]]))), 4))
    [[2.  0. ]
     [0.  0.5]]
    """

    original: Array
    n_regions: int = eqx.field(static=True)
    determinant: float = eqx.field(static=True)

    def __init__(
        self,
        value: Tensor,
        *,
        determinant: float = 1.0,
        minimum: float = 1e-4,
        outside: Outside = "renormalise",
    ):
        if determinant <= 0:
            raise ValueError(f"determinant must be positive, and is {determinant}")
        check_policy(outside, "renormalise", "raise")
        matrix = _positive_definite(value, minimum, "raise" if outside == "raise" else "clip")
        self.n_regions, self.determinant = matrix.shape[-1], determinant
        if outside == "raise":
            volume = jnp.linalg.slogdet(matrix)[1]
            tolerance = 16 * self.n_regions * jnp.sqrt(jnp.finfo(matrix.dtype).eps)
            refuse_outside(
                jnp.abs(volume - math.log(determinant)) <= tolerance, f"its determinant is not {determinant}"
            )
        # Any scale of the matrix has the same diagonal about its mean, but not the same rows below it.
        volume = jnp.linalg.slogdet(matrix)[1][..., None, None]
        self.original = self.preimage(matrix * jnp.exp((math.log(determinant) - volume) / self.n_regions))

    def image(self, preimage: Array) -> Array:
        """Return the matrix."""
        level = math.log(self.determinant) / (2 * self.n_regions)
        basis = jnp.asarray(_helmert(self.n_regions), preimage.dtype)
        free = self.n_regions - 1
        return _product(preimage[..., :free] @ basis + level, preimage[..., free:])

    def preimage(self, image: Array) -> Array:
        """Return the vector of the matrix's Cholesky factor."""
        logarithms, below = _factor(image)
        basis = jnp.asarray(_helmert(self.n_regions), image.dtype)
        return jnp.concatenate([logarithms @ basis.T, below], axis=-1)


@jax.custom_jvp
def _polar_factor(matrix: Float[Array, "... row column"]) -> Float[Array, "... row column"]:
    left, _, right = jnp.linalg.svd(matrix, full_matrices=False)
    return left @ right


@_polar_factor.defjvp
def _polar_factor_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    r"""Return the factor and its derivative.

    With :math:`Z = U S V^\top` and :math:`E = U^\top \dot Z V` it is
    :math:`U [(E - E^\top)_{ij} / (s_i + s_j)] V^\top`, and for what leaves the columns' (rows') space
    :math:`(I - U U^\top) \dot Z V S^{-1} V^\top` (and :math:`U S^{-1} U^\top \dot Z (I - V V^\top)`).
    """
    (matrix,), (moved,) = primals, tangents
    left, values, right = jnp.linalg.svd(matrix, full_matrices=False)
    transposed = lambda array: jnp.swapaxes(array, -1, -2)
    bound = jnp.finfo(matrix.dtype).eps * max(matrix.shape[-2:]) * values.max(-1, keepdims=True)

    def reciprocal(sums: Array, least: Array) -> Array:
        return jnp.where(sums > least, 1.0 / jnp.where(sums > least, sums, 1.0), 0.0)

    inner = transposed(left) @ moved @ transposed(right)
    sums = reciprocal(values[..., :, None] + values[..., None, :], bound[..., None])
    derivative = left @ ((inner - transposed(inner)) * sums) @ right
    inverse = reciprocal(values, bound)
    n_rows, n_columns = matrix.shape[-2:]
    if n_rows > n_columns:
        escaped = moved - left @ (transposed(left) @ moved)
        derivative += (escaped @ transposed(right) * inverse[..., None, :]) @ right
    elif n_rows < n_columns:
        escaped = moved - (moved @ transposed(right)) @ right
        derivative += left @ (inverse[..., :, None] * (transposed(left) @ escaped))
    return left @ right, derivative


def _positive_definite(value: Tensor, minimum: float, outside: Outside) -> Array:
    """Return the initial value, made symmetric with eigenvalues from the minimum on, or refused."""
    if not 0 < minimum < 1:
        raise ValueError(f"minimum must lie between 0 and 1, and is {minimum}")
    check_policy(outside, "clip", "raise")
    matrix = initial_value(value)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"the value must have shape (..., region, region), and has shape {matrix.shape}")
    transposed = jnp.swapaxes(matrix, -1, -2)
    symmetric = (matrix + transposed) / 2
    values, vectors = jnp.linalg.eigh(symmetric)
    largest = values.max(-1, keepdims=True)
    refuse_outside(largest > 0, "a matrix without a positive eigenvalue has no scale")
    if outside == "raise":
        tolerance = 16 * jnp.sqrt(jnp.finfo(matrix.dtype).eps) * largest[..., None]
        refuse_outside(jnp.abs(matrix - transposed) <= tolerance, "the matrix is not symmetric")
        refuse_outside(values > 0, "not all eigenvalues are positive")
        return symmetric
    raised = jnp.maximum(values, minimum * largest)
    clipped = (vectors * raised[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)
    # A matrix that is inside is left as it is, without the rounding of its decomposition.
    return jnp.where((values < minimum * largest).any(-1)[..., None, None], clipped, symmetric)


def _factor(matrix: Array) -> tuple[Array, Array]:
    """Return the logarithms of the Cholesky factor's diagonal, and what stands below it, row by row."""
    factor = jnp.linalg.cholesky(matrix)
    rows, columns = np.tril_indices(matrix.shape[-1], -1)
    return jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)), factor[..., rows, columns]


def _product(logarithms: Array, below: Array) -> Array:
    """Return the matrix with this Cholesky factor."""
    n_regions = logarithms.shape[-1]
    rows, columns = np.tril_indices(n_regions, -1)
    factor = jnp.zeros((*logarithms.shape, n_regions), logarithms.dtype)
    factor = factor.at[..., np.arange(n_regions), np.arange(n_regions)].set(jnp.exp(logarithms))
    factor = factor.at[..., rows, columns].set(below)
    return factor @ jnp.swapaxes(factor, -1, -2)


def _helmert(n_regions: int) -> np.ndarray:
    """Return orthonormal rows, one fewer than regions, that are orthogonal to the row of ones."""
    rows = np.tril(np.ones((n_regions - 1, n_regions)))
    count = np.arange(1, n_regions)
    rows[np.arange(n_regions - 1), count] = -count
    return rows / np.sqrt(count * (count + 1))[:, None]
