r"""Gradients of a connectome: coordinates of regions along which connectivity changes most slowly.

They are eigenvectors of a symmetric matrix. The derivative of such maps :math:`M_j = s(\lambda_j) v_j` is

.. math:: dM_j = \sum_i v_i X_{ij}, \qquad
          X_{ij} = s(\lambda_j) \frac{v_i' \, dA \, v_j}{\lambda_j - \lambda_i}, \qquad
          X_{ij} = s'(\lambda_j) \, v_i' \, dA \, v_j \text{ where } \lambda_i = \lambda_j .

Only gaps between a kept eigenvalue and another one appear: two equal ones among those left out do no harm. For two
equal kept ones the second form is exact for every loss that does not depend on how their eigenvectors are turned among
each other (distances, kernels, projections); no other loss has a derivative there. Kept ones count as equal when they
are apart by less than the root of the spacing of numbers at 1, relative to the largest, where rounding would otherwise
take over. Between a kept eigenvalue and one left out that equals it to rounding, there is no derivative, and the term
is dropped. A second derivative is not offered: it goes through the eigenvectors and needs eigenvalues apart.
"""

from functools import partial
from typing import NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from conn.functional._inputs import real_series
from conn.functional.eigenpairs import _with_sign
from conn.functional.engine import Tensor
from conn.functional.graph import _without_diagonal, laplacian
from conn.functional.spd import _refuse, symmetric_part, symmetrised

__all__ = ["Gradients", "diffusion_map", "laplacian_eigenmaps", "principal_gradients"]

Scale: TypeAlias = tuple[str, float]


class Gradients(NamedTuple):
    """Gradients with their eigenvalues, the slowest first.

    Attributes
    ----------
    gradients : array, shape (..., region, component)
        In each column the entry of largest absolute value is positive. This sign jumps where two entries of opposite
        sign have that value; gradients that are to be compared are better aligned (`procrustes`).
    eigenvalues : array, shape (..., component)
        What they are depends on the embedding, and is said there.
    """

    gradients: Float[Array, "... region component"]
    eigenvalues: Float[Array, "... component"]


def laplacian_eigenmaps(
    affinity: Float[Tensor, "... region region"],
    n_components: int = 10,
    *,
    normalised: bool = True,
    check: bool = False,
) -> Gradients:
    r"""Return the Laplacian eigenmaps of affinities.

    With :math:`L = D - A` the combinatorial Laplacian, they solve :math:`L y = \lambda D y`, or :math:`L y = \lambda y`
    if not `normalised`, for the smallest :math:`\lambda` but the one of the constant vector.

    Parameters
    ----------
    affinity : array, shape (..., region, region)
        Symmetric and not negative; only the symmetric part is read, and the diagonal does not count.
    n_components : int, default 10
        At most the number of regions less 1.
    normalised : bool, default True
        Weigh regions by their strength.
    check : bool, default False
        Refuse NaN, infinity, negative and asymmetric affinities and graphs that are not connected, also under ``jit``.

    Returns
    -------
    Gradients
        Eigenvalues ascend from the smallest but the trivial one. Columns are orthonormal in the strengths
        (:math:`Y'DY = I`), or as they are if not `normalised`.
        A region without affinity to any other stands aside: its entries are NaN, and the others' are as if it were not
        there; so are components beyond the regions that remain. Without `check`, a graph of several connected parts
        has an eigenvalue of 0 for each part but one, whose gradients tell the parts apart and nothing else.

    Raises
    ------
    ValueError
        If the affinities are not square or `n_components` is too large; with `check`, for the values. The message
        names the number of connected parts.
    RuntimeError
        In place of ValueError where values are only known later, under ``jit``.

    See Also
    --------
    brainspace.gradient.LaplacianEigenmaps : the same but for the length of columns if not `normalised`.

    References
    ----------
    .. [1] Belkin and Niyogi (2003). doi:10.1162/089976603321780317

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> chain = jnp.diag(jnp.ones(3), 1) + jnp.diag(jnp.ones(3), -1)
    >>> maps, eigenvalues = laplacian_eigenmaps(chain, 1, normalised=False)
    >>> [round(float(entry), 3) for entry in jnp.abs(maps[:, 0])], round(float(eigenvalues[0]), 3)
    ([0.653, 0.271, 0.271, 0.653], 0.586)
    """
    matrix = _affinity(affinity, n_components, check)
    connected, strengths = _connected(matrix), _without_diagonal(matrix).sum(-1)
    spread = -laplacian(matrix, normalisation="symmetric" if normalised else None)
    depth = 4.0 if normalised else 4.0 * jnp.abs(strengths).max(-1)[..., None, None]
    root = _root(strengths, connected) if normalised else connected.astype(matrix.dtype)
    maps, values = _leading(("vectors", 0.0), n_components, _without_trivial(spread, root, connected, depth))
    maps = maps * _reciprocal(root, connected)[..., None] if normalised else maps
    return _told_apart(maps, -values, connected)


def diffusion_map(
    affinity: Float[Tensor, "... region region"],
    n_components: int = 10,
    *,
    alpha: float = 0.5,
    diffusion_time: float = 0.0,
    check: bool = False,
) -> Gradients:
    r"""Return the diffusion map of affinities.

    With :math:`d` the row sums of the affinities :math:`A` and :math:`e` those of
    :math:`K_{ij} = A_{ij} / (d_i d_j)^\alpha`, a walk goes from :math:`i` to :math:`j` with the probability
    :math:`P_{ij} = K_{ij} / e_i`. The gradients are the right eigenvectors of :math:`P` for its largest eigenvalues
    :math:`\lambda` but the 1 of the constant vector, times :math:`\lambda^t`, or
    :math:`\lambda / (1 - \lambda) = \sum_{t \ge 1} \lambda^t` for all times together.

    Parameters
    ----------
    affinity : array, shape (..., region, region)
        Symmetric and not negative; only the symmetric part is read. The diagonal counts: it is how likely a walk stays.
    n_components : int, default 10
        At most the number of regions less 1.
    alpha : float, default 0.5
        How far the density of regions is divided out, in [0, 1]: 0 is the random walk on the affinities, 1 leaves
        only the geometry.
    diffusion_time : float, default 0.0
        Steps of the walk; 0 stands for all times together, as is usual.
    check : bool, default False
        Refuse NaN, infinity, negative and asymmetric affinities and graphs that are not connected, also under ``jit``.

    Returns
    -------
    Gradients
        Eigenvalues are the multipliers :math:`\lambda^t` or :math:`\lambda / (1 - \lambda)`, descending in
        :math:`\lambda`; the mean square of a column, in the walk's stationary distribution
        :math:`e / \sum e`, is the square of its multiplier. A negative :math:`\lambda` has no power that is not whole:
        NaN.
        A region without affinity to any other stands aside: its entries are NaN, and the others' are as if it were not
        there; so are components beyond the regions that remain. Without `check`, a graph of several connected parts
        has :math:`\lambda = 1` for each part but one, whose columns are NaN at diffusion time 0.

    Raises
    ------
    ValueError
        If the affinities are not square, or a setting is out of its range; with `check`, for the values. The message
        names the number of connected parts.
    RuntimeError
        In place of ValueError where values are only known later, under ``jit``.

    See Also
    --------
    brainspace.gradient.DiffusionMaps : runs a symmetric solver on :math:`P`, which is not symmetric: its eigenvalues
        and gradients are approximate.

    References
    ----------
    .. [1] Coifman and Lafon (2006). doi:10.1016/j.acha.2006.04.006

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pairs = jnp.kron(jnp.eye(2), jnp.ones((2, 2))) + 0.1
    >>> maps, eigenvalues = diffusion_map(pairs, 1)
    >>> [round(float(entry), 2) for entry in jnp.abs(maps[:, 0])], round(float(eigenvalues[0]), 2)
    ([5.0, 5.0, 5.0, 5.0], 5.0)
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie between 0 and 1, and is {alpha}")
    if not diffusion_time >= 0:
        raise ValueError(f"diffusion_time must be at least 0, and is {diffusion_time}")
    matrix = _affinity(affinity, n_components, check)
    connected = _connected(matrix)
    matrix = _scaled(matrix, jnp.where(connected, matrix.sum(-1), 1.0) ** -alpha)
    root = _root(matrix.sum(-1), connected)
    steps = _scaled(matrix, _reciprocal(root, connected))
    scale = ("power", float(diffusion_time)) if diffusion_time else ("all times", 0.0)
    maps, values = _leading(scale, n_components, _without_trivial(steps, root, connected, 4.0))
    maps = maps * (_norm(root) * _reciprocal(root, connected))[..., None]
    return _told_apart(maps, _scale(scale, values), connected)


def principal_gradients(
    profiles: Float[Tensor, "... region feature"],
    n_components: int = 10,
    *,
    centre: bool = True,
    check: bool = False,
) -> Gradients:
    r"""Return the principal components of profiles: the scores of regions along the directions of largest variance.

    Parameters
    ----------
    profiles : array, shape (..., region, feature)
        Rows of a connectome, an `affinity`, or any features of regions.
    n_components : int, default 10
        At most the number of regions or of features, whichever is smaller.
    centre : bool, default True
        Subtract from every feature its mean over regions. Without it, the gradients of a symmetric matrix are its
        eigenvectors times their eigenvalues, those of largest absolute value first.
    check : bool, default False
        Refuse NaN and infinity, also under ``jit``.

    Returns
    -------
    Gradients
        Eigenvalues are variances over regions (divided by their number less 1), descending. Columns are orthogonal,
        and the sum of squares of one is its variance times that number. A column whose variance is 0 to rounding, which
        a rank too low for `n_components` leaves over, is 0 and has the derivative 0.

    Raises
    ------
    ValueError
        If there is only one region, or `n_components` is too large; with `check`, for the values.
    RuntimeError
        In place of ValueError where values are only known later, under ``jit``.

    See Also
    --------
    leading_eigenpairs : the same, uncentred, of a correlation matrix that is never formed.
    sklearn.decomposition.PCA : the same but for signs.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> maps, eigenvalues = principal_gradients(jnp.array([[3.0, 4.0], [0.0, 0.0], [-3.0, -4.0]]), 1)
    >>> [round(float(entry), 3) for entry in jnp.abs(maps[:, 0])], round(float(eigenvalues[0]), 3)
    ([5.0, 0.0, 5.0], 25.0)
    """
    rows = real_series(profiles, name="profiles", axes="(..., region, feature)")
    n_regions = rows.shape[-2]
    if n_regions < 2:
        raise ValueError("principal gradients need at least two regions, and there is one")
    _countable(n_components, min(rows.shape[-2:]), "the smaller of the numbers of regions and features")
    if check:
        rows = _refuse(rows, ~jnp.isfinite(rows).all(), "profiles holds NaN or infinity: leave such regions out")
    if centre:
        rows = rows - rows.mean(-2, keepdims=True)
    maps, values = _leading(("root", 0.0), n_components, rows @ jnp.swapaxes(rows, -1, -2))
    return Gradients(_with_sign(maps), jax.nn.relu(values) / (n_regions - 1))


def _affinity(value: Tensor, n_components: int, check: bool) -> Array:
    """Return the symmetric part of the affinities, with what can be refused refused."""
    matrix = symmetric_part(value, name="affinity", check=check)
    _countable(n_components, matrix.shape[-1] - 1, "the number of regions less 1")
    if not check:
        return matrix
    matrix = _refuse(matrix, ~jnp.isfinite(matrix).all(), "affinity holds NaN or infinity: leave such regions out")
    negative = "affinity must not be negative: set negative affinities to 0, or take a kernel that has none"
    matrix = _refuse(matrix, (matrix < 0).any(), negative)
    parts = _number_of_parts(matrix > 0).max()
    found = "several connected parts" if isinstance(parts, Tracer) else f"{int(parts)} connected parts"
    remedy = "keep more of each profile (a lower sparsity), or embed the largest part alone"
    return _refuse(matrix, parts > 1, f"affinity is a graph of {found}: {remedy}")


def _countable(n_components: int, most: int, what: str) -> None:
    if not 1 <= n_components <= most:
        raise ValueError(f"n_components must lie between 1 and {what}, which is {most}, and is {n_components}")


def _number_of_parts(linked: Bool[Array, "... region region"]) -> Int[Array, "..."]:
    """Return how many connected parts every graph has."""
    own = jnp.arange(linked.shape[-1])
    linked = linked | jnp.eye(linked.shape[-1], dtype=bool)

    def spread(state: tuple[Array, Array]) -> tuple[Array, Array]:
        labels, _ = state
        lower = jnp.where(linked, labels[..., None, :], own[-1]).min(-1)
        return lower, (lower != labels).any()

    start = (jnp.broadcast_to(own, linked.shape[:-1]), jnp.array(True))
    labels, _ = jax.lax.while_loop(lambda state: state[1], spread, start)
    return (labels == own).sum(-1)


def _connected(matrix: Array) -> Bool[Array, "... region"]:
    """Return which regions have an affinity to another one."""
    return (_without_diagonal(matrix) != 0).any(-1)


def _root(sums: Array, connected: Array) -> Array:
    """Return the square roots of the row sums, 0 for isolated regions and NaN where a sum is not positive."""
    positive = sums > 0
    return jnp.where(connected, jnp.where(positive, jnp.sqrt(jnp.where(positive, sums, 1.0)), jnp.nan), 0.0)


def _reciprocal(root: Array, connected: Array) -> Array:
    return jnp.where(connected, 1.0 / jnp.where(connected, root, 1.0), 0.0)


def _norm(root: Array) -> Array:
    """Return the norm of a vector of no negative entries, 1 where all are 0."""
    square = jnp.square(root).sum(-1, keepdims=True)
    return jnp.sqrt(jnp.where(square == 0, 1.0, square))


def _scaled(matrix: Array, scale: Array) -> Array:
    return matrix * scale[..., :, None] * scale[..., None, :]


def _without_trivial(matrix: Array, trivial: Array, connected: Array, depth: float | Array) -> Array:
    """Return the matrix with the trivial vector and the isolated regions moved below its other eigenvalues."""
    unit = trivial / _norm(trivial)
    isolated = jnp.eye(matrix.shape[-1], dtype=matrix.dtype) * ~connected[..., None, :]
    return matrix - depth * (unit[..., :, None] * unit[..., None, :] + isolated)


def _told_apart(maps: Array, values: Array, connected: Array) -> Gradients:
    """Return the gradients in their sign, NaN where there is a region or a component that has none."""
    maps = _with_sign(jnp.where(connected[..., None], maps, 0.0))
    exists = jnp.arange(values.shape[-1]) < connected.sum(-1)[..., None] - 1
    maps = jnp.where(connected[..., None] & exists[..., None, :], maps, jnp.nan)
    return Gradients(maps, jnp.where(exists, values, jnp.nan))


def _scale(scale: Scale, values: Array) -> Array:
    """Return what eigenvectors are multiplied with."""
    kind, time = scale
    spacing = jnp.finfo(values.dtype).eps
    if kind == "vectors":
        return jnp.ones_like(values)
    if kind == "root":
        usable = values > values.shape[-1] * spacing * values[..., :1]
        return jnp.where(usable, jnp.sqrt(jnp.where(usable, values, 1.0)), 0.0)
    if kind == "all times":
        fades = 1 - values > 100 * spacing
        return jnp.where(fades, values / jnp.where(fades, 1 - values, 1.0), jnp.nan)
    if time.is_integer():
        return values ** int(time)
    return jnp.where(values > 0, jnp.where(values > 0, values, 1.0) ** time, jnp.nan)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _leading(scale: Scale, n_components: int, matrix: Array) -> tuple[Array, Array]:
    """Return the eigenvectors of the largest eigenvalues, multiplied by the scale of these, and the eigenvalues."""
    values, vectors = _eigenpairs(matrix)
    return _kept(scale, n_components, values, vectors)


@_leading.defjvp
def _leading_jvp(
    scale: Scale, n_components: int, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (matrix,), (direction,) = primals, tangents
    values, vectors = _eigenpairs(matrix)
    maps, kept = _kept(scale, n_components, values, vectors)
    turned = jnp.swapaxes(vectors, -1, -2) @ (symmetrised(direction) @ vectors[..., :n_components])
    # Of all eigenvalues, since the scale looks at their number and at the largest; its slope is one by one.
    factors, slopes = jax.jvp(partial(_scale, scale), (values,), (jnp.ones_like(values),))
    factors, slopes = cast(Array, factors)[..., None, :n_components], cast(Array, slopes)[..., None, :n_components]

    spacing = jnp.finfo(values.dtype).eps
    size = jnp.abs(values).max(-1)[..., None, None]
    both = (jnp.arange(values.shape[-1]) < n_components)[:, None]
    gap = kept[..., None, :] - values[..., :, None]
    equal = jnp.abs(gap) <= jnp.where(both, jnp.sqrt(spacing), values.shape[-1] * spacing) * size
    quotient = jnp.where(equal, jnp.where(both, slopes, 0.0), factors / jnp.where(equal, 1.0, gap))
    change = jnp.diagonal(turned, axis1=-2, axis2=-1)
    return (maps, kept), (vectors @ (quotient * turned), change)


def _eigenpairs(matrix: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    return jnp.flip(values, -1), jnp.flip(vectors, -1)


def _kept(scale: Scale, n_components: int, values: Array, vectors: Array) -> tuple[Array, Array]:
    factors = _scale(scale, values)[..., None, :n_components]
    return vectors[..., :n_components] * factors, values[..., :n_components]
