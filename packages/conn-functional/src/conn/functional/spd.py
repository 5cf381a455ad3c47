r"""Functions of symmetric positive definite (SPD) matrices, with derivatives that repeated eigenvalues do not harm.

A function of a symmetric matrix is :math:`f(A) = Q f(\Lambda) Q'`, and its derivative in the direction :math:`E` is
:math:`Q (F \circ Q' E Q) Q'`, where :math:`F_{ij} = (f(\lambda_i) - f(\lambda_j)) / (\lambda_i - \lambda_j)`, and
:math:`f'(\lambda_i)` where they are equal (Daleckii & Krein). :math:`F` is computed in forms that lose no digits when
two eigenvalues come close: no eigenvector is differentiated, and no noise added. This holds for the first derivative,
forward and reverse; a second one goes through the eigenvectors and needs eigenvalues apart.
"""

from functools import partial
from typing import Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from conn.functional.covariance import square_matrix, with_ridge
from conn.functional.engine import Tensor

__all__ = ["nearest_spd", "regularise_spd", "spd_exp", "spd_log", "spd_power", "spd_sqrt"]

Kind: TypeAlias = tuple[Literal["log", "exp", "power"], float]
_REMEDY = "shrink or regularise it (ledoit_wolf, regularise_spd), or take the nearest (nearest_spd)"


def spd_log(matrix: Float[Tensor, "... region region"], *, check: bool = False) -> Float[Array, "... region region"]:
    """Return the symmetric logarithm of SPD matrices.

    Parameters
    ----------
    matrix : array, shape (..., region, region)
        Symmetric positive definite. Only its symmetric part is read.
    check : bool, default False
        Refuse matrices that are not symmetric or not positive definite, also under ``jit``. Without it, such a matrix
        gives NaN: never zeros.

    Returns
    -------
    array, shape (..., region, region)
        Symmetric.

    Raises
    ------
    ValueError
        If the matrices are not square; with `check`, if one is not symmetric positive definite. The message names the
        smallest eigenvalue.
    RuntimeError
        In place of ValueError where values are only known later, under ``jit``.

    References
    ----------
    .. [1] Daleckii and Krein (1965). doi:10.1090/trans2/047/01

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> bool(jnp.allclose(spd_log(jnp.eye(2) * jnp.e), jnp.eye(2)))
    True
    """
    return _function(("log", 0.0), definite(matrix, check=check))


def spd_exp(matrix: Float[Tensor, "... region region"], *, check: bool = False) -> Float[Array, "... region region"]:
    """Return the exponential of symmetric matrices, which is SPD: the inverse of `spd_log`.

    Parameters
    ----------
    matrix : array, shape (..., region, region)
        Symmetric, with eigenvalues of any sign. Only its symmetric part is read.
    check : bool, default False
        Refuse matrices that are not symmetric.

    Returns
    -------
    array, shape (..., region, region)

    Raises
    ------
    ValueError, RuntimeError
        As `spd_log`, for the shape and the symmetry.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> bool(jnp.allclose(spd_log(spd_exp(jnp.array([[1.0, 2.0], [2.0, -1.0]]))), jnp.array([[1.0, 2.0], [2.0, -1.0]])))
    True
    """
    return _function(("exp", 0.0), symmetric_part(matrix, check=check))


def spd_power(
    matrix: Float[Tensor, "... region region"], exponent: float, *, check: bool = False
) -> Float[Array, "... region region"]:
    """Return a real power of SPD matrices: -1 is the inverse, -0.5 what whitens.

    Parameters
    ----------
    matrix : array, shape (..., region, region)
        Symmetric positive definite. Only its symmetric part is read.
    exponent : float
        Any real number.
    check : bool, default False
        As for `spd_log`.

    Returns
    -------
    array, shape (..., region, region)
        SPD.

    Raises
    ------
    ValueError, RuntimeError
        As `spd_log`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> [round(float(value), 4) for value in spd_power(jnp.diag(jnp.array([4.0, 9.0])), -0.5).diagonal()]
    [0.5, 0.3333]
    """
    return _function(("power", float(exponent)), definite(matrix, check=check))


def spd_sqrt(matrix: Float[Tensor, "... region region"], *, check: bool = False) -> Float[Array, "... region region"]:
    """Return the SPD square root of SPD matrices.

    Parameters
    ----------
    matrix : array, shape (..., region, region)
        Symmetric positive definite. Only its symmetric part is read.
    check : bool, default False
        As for `spd_log`.

    Returns
    -------
    array, shape (..., region, region)
        SPD; multiplied by itself it gives the matrix.

    Raises
    ------
    ValueError, RuntimeError
        As `spd_log`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> spd_sqrt(jnp.diag(jnp.array([4.0, 9.0]))).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    return _function(("power", 0.5), definite(matrix, check=check))


def nearest_spd(
    matrix: Float[Tensor, "... region region"], *, smallest: float = 1e-6
) -> Float[Array, "... region region"]:
    """Return the nearest matrix, in Frobenius norm, whose eigenvalues are at least a fraction of the largest.

    Parameters
    ----------
    matrix : array, shape (..., region, region)
        Any square matrix with a positive eigenvalue. Its symmetric part is what is approached.
    smallest : float, default 1e-6
        The smallest eigenvalue allowed, as a fraction of the largest one of the same matrix.

    Returns
    -------
    array, shape (..., region, region)
        SPD; what is SPD enough already is returned unchanged. NaN where no eigenvalue is positive. The derivative
        counts the largest eigenvalue, from which the floor is taken, as constant.

    Raises
    ------
    ValueError
        If the matrices are not square, or `smallest` is not in (0, 1).

    References
    ----------
    .. [1] Higham (1988). doi:10.1016/0024-3795(88)90223-6

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> nearest_spd(jnp.diag(jnp.array([2.0, -1.0])), smallest=0.25).tolist()
    [[2.0, 0.0], [0.0, 0.5]]
    """
    if not 0 < smallest < 1:
        raise ValueError(f"smallest must lie between 0 and 1, and is {smallest}")
    symmetric = symmetric_part(matrix)
    largest = jax.lax.stop_gradient(jnp.linalg.eigvalsh(symmetric)[..., -1])
    floor = jnp.where(largest > 0, smallest * largest, jnp.nan)
    return _floored(symmetric, floor)


def regularise_spd(
    matrix: Float[Tensor, "... region region"], *, ridge: float | Array = 1e-3
) -> Float[Array, "... region region"]:
    """Return the matrices with a multiple of the identity added.

    Parameters
    ----------
    matrix : array, shape (..., region, region)
        Symmetric.
    ridge : float or array, default 1e-3
        What is added to the diagonal, as a fraction of the mean of the diagonal. A fraction above that of a negative
        eigenvalue makes the matrix SPD.

    Returns
    -------
    array, shape (..., region, region)

    Raises
    ------
    ValueError
        If the matrices are not square, or `ridge` is negative.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> regularise_spd(jnp.ones((2, 2)), ridge=0.5).tolist()
    [[1.5, 1.0], [1.0, 1.5]]
    """
    return with_ridge(symmetric_part(matrix), ridge)


def symmetric_part(matrix: Tensor, *, name: str = "matrix", check: bool = False) -> Array:
    """Return the symmetric part of square matrices; with `check`, refuse what differs from it by more than rounding."""
    array = square_matrix(name, matrix)
    transposed = jnp.swapaxes(array, -1, -2)
    if check:
        slack = 1e3 * jnp.finfo(array.dtype).eps
        skew = jnp.abs(array - transposed).max() > slack * jnp.abs(array).max()
        array = _refuse(array, skew, f"{name} is not symmetric: take (A + A.T) / 2 if that is what you mean")
    return (array + transposed) / 2


def definite(matrix: Tensor, *, name: str = "matrix", check: bool = False) -> Array:
    """Return the symmetric part of square matrices; with `check`, refuse what is not symmetric positive definite."""
    array = symmetric_part(matrix, name=name, check=check)
    if not check:
        return array
    smallest = jnp.linalg.eigvalsh(array)[..., 0].min()
    found = "" if isinstance(smallest, Tracer) else f", its smallest eigenvalue being {float(smallest):.3g}"
    return _refuse(array, ~(smallest > 0), f"{name} is not positive definite{found}: {_REMEDY}")


def same_size(**matrices: Array) -> None:
    """Refuse matrices, known by their names, that have not as many regions each."""
    sizes = {name: matrix.shape[-1] for name, matrix in matrices.items()}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(f"{' and '.join(sizes)} must have as many regions each: {found}")


def _refuse(array: Array, wrong: Array, message: str) -> Array:
    if isinstance(wrong, Tracer):
        return eqx.error_if(array, wrong, message)
    if bool(wrong):
        raise ValueError(message)
    return array


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _function(kind: Kind, matrix: Array) -> Array:
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    return composed(vectors, _values(kind, values))


@_function.defjvp
def _function_jvp(kind: Kind, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (matrix,), (direction,) = primals, tangents
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    return composed(vectors, _values(kind, values)), turned(vectors, divided_differences(kind, values), direction)


def _values(kind: Kind, values: Array) -> Array:
    name, exponent = kind
    if name == "exp":
        return jnp.exp(values)
    positive = jnp.where(values > 0, values, 1.0)
    found = jnp.log(positive) if name == "log" else positive**exponent
    return jnp.where(values > 0, found, jnp.nan)


def divided_differences(kind: Kind, values: Array) -> Array:
    """Return (f(a) - f(b)) / (a - b) for all pairs, and the derivative where a = b, without loss of digits."""
    name, exponent = kind
    rows, columns = jnp.broadcast_arrays(values[..., :, None], values[..., None, :])
    larger, smaller = jnp.maximum(rows, columns), jnp.minimum(rows, columns)
    if name == "exp":
        gap = smaller - larger
        safe = jnp.where(gap < 0, gap, -1.0)
        return jnp.exp(larger) * jnp.where(gap < 0, jnp.expm1(safe) / safe, 1.0)
    defined = smaller > 0
    larger, smaller = jnp.where(defined, larger, 1.0), jnp.where(defined, smaller, 1.0)
    drop = (smaller - larger) / larger  # of the smaller from the larger, in (-1, 0]
    safe = jnp.where(drop < 0, drop, -0.5)
    # Close eigenvalues need their difference, far ones their ratio: rounding makes the drop of a tiny one -1.
    fall = jnp.where(drop > -0.5, jnp.log1p(jnp.maximum(safe, -0.5)), jnp.log(smaller / larger))
    if name == "log":
        quotient = jnp.where(drop < 0, fall / safe, 1.0) / larger
    else:
        slope = jnp.where(drop < 0, jnp.expm1(exponent * fall) / safe, exponent)
        quotient = larger ** (exponent - 1.0) * slope
    return jnp.where(defined, quotient, jnp.nan)


@jax.custom_jvp
def _floored(matrix: Array, floor: Array) -> Array:
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    enough = (values[..., 0] >= floor)[..., None, None]
    return jnp.where(enough, matrix, composed(vectors, jnp.maximum(values, floor[..., None])))


@_floored.defjvp
def _floored_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (matrix, floor), (direction, _) = primals, tangents
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    raised = jnp.maximum(values, floor[..., None])
    gap = values[..., :, None] - values[..., None, :]
    own = (values > floor[..., None]).astype(values.dtype)
    # Both above, 1; both below, 0; one of each, a share of the way between them, whose gap is never 0.
    both = own[..., :, None] * own[..., None, :]
    mixed = own[..., :, None] != own[..., None, :]
    share = (raised[..., :, None] - raised[..., None, :]) / jnp.where(mixed, gap, 1.0)
    return _floored(matrix, floor), turned(vectors, jnp.where(mixed, share, both), direction)


def composed(vectors: Array, values: Array) -> Array:
    """Return the symmetric matrix with these eigenvectors and eigenvalues."""
    return symmetrised((vectors * values[..., None, :]) @ jnp.swapaxes(vectors, -1, -2))


def turned(vectors: Array, quotients: Array, direction: Array) -> Array:
    """Return the derivative of a function of a symmetric matrix, from its eigenvectors and divided differences."""
    transposed = jnp.swapaxes(vectors, -1, -2)
    return vectors @ (quotients * (transposed @ symmetrised(direction) @ vectors)) @ transposed


def symmetrised(matrix: Array) -> Array:
    """Return the symmetric part."""
    return (matrix + jnp.swapaxes(matrix, -1, -2)) / 2
