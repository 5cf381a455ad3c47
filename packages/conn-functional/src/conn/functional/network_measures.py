r"""Measures of a weighted graph and its regions: clustering, participation, within-module z, assortativity, rich club.

Weights are not negative here: take ``jax.nn.relu(connectome)`` or ``jax.nn.relu(-connectome)`` of a signed connectome.
A region's connection with itself counts for nothing. Where a measure counts connections, the count is a constant of
the derivative, which is then that of the weights on a fixed set of connections.

Communities may be soft: `affiliation` has one row a region and one column a community, and for one-hot rows each
measure is the usual one of a hard partition.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional.engine import Tensor
from conn.functional.graph import _graph, _reciprocal, _without_diagonal
from conn.functional.modularity import _affiliation_of

__all__ = [
    "assortativity",
    "clustering_coefficient",
    "participation_coefficient",
    "rich_club_coefficient",
    "within_module_z",
]


def clustering_coefficient(
    adjacency: Float[Tensor, "... target source"],
    *,
    kind: Literal["onnela", "zhang"] = "onnela",
    check: bool = False,
) -> Float[Array, "... region"]:
    r"""Return how strongly the neighbours of every region are connected with one another.

    "onnela" is the mean over pairs of neighbours of the geometric mean of the triangle's weights, in the form that also
    holds for directed graphs [2]_; "zhang" is
    :math:`\sum_{jh} w_{ij} w_{jh} w_{hi} / ((\sum_j w_{ij})^2 - \sum_j w_{ij}^2)` [3]_, which counts nothing and so is
    smooth in the weights, and holds for symmetric ones.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights, not negative. NaN anywhere may spread to every region. ("onnela" is in the unit of the weights;
        networkx divides them by the largest first, bctpy does not.)
    kind : {"onnela", "zhang"}, default "onnela"
    check : bool, default False
        Refuse NaN, infinity, negative weights and, for "zhang", a matrix that is not symmetric by their values, also
        under ``jit``.

    Returns
    -------
    array, shape (..., region)
        0 for a region without a triangle, with finite gradients. "onnela" is not differentiable at a weight of 0,
        where the derivative 0 is returned.

    Raises
    ------
    ValueError
        If the matrix is not square, or the kind is unknown.

    References
    ----------
    .. [1] Onnela et al. (2005). doi:10.1103/PhysRevE.71.065103
    .. [2] Fagiolo (2007). doi:10.1103/PhysRevE.76.026107
    .. [3] Zhang & Horvath (2005). doi:10.2202/1544-6115.1128

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> clustering_coefficient(jnp.ones((3, 3))).tolist()
    [1.0, 1.0, 1.0]
    """
    if kind not in ("onnela", "zhang"):
        raise ValueError(f'kind must be "onnela" or "zhang", and is {kind!r}')
    matrix = _without_diagonal(_graph("adjacency", adjacency, check=check, symmetric=kind == "zhang", signed=False))
    transposed = jnp.swapaxes(matrix, -1, -2)
    if kind == "zhang":
        triangles = ((matrix @ matrix) * transposed).sum(-1)
        triples = matrix.sum(-1) ** 2 - (matrix**2).sum(-1)
        # With one neighbour the difference is 0 but for rounding, and there is no triangle either.
        return triangles * _reciprocal(jnp.where(_connections(matrix).sum(-1) > 1, triples, 0.0))
    roots = _cube_root(matrix) + _cube_root(transposed)
    triangles = ((roots @ roots) * roots).sum(-1) / 2
    edges = _connections(matrix)
    ends = edges.sum(-1) + edges.sum(-2)
    mutual = (edges * jnp.swapaxes(edges, -1, -2)).sum(-1)
    return triangles * _reciprocal(ends * (ends - 1) - 2 * mutual)


def participation_coefficient(
    adjacency: Float[Tensor, "... target source"],
    affiliation: Float[Tensor, "... region community"],
    *,
    check: bool = False,
) -> Float[Array, "... region"]:
    r"""Return how evenly every region's connections are spread over communities, :math:`1 - \sum_c (k_{ic}/k_i)^2`.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights, not negative; connections received (rows) count. NaN spreads to its row.
    affiliation : array, shape (..., region, community)
        Rows on the simplex for a partition.
    check : bool, default False
        Refuse NaN, infinity and negative weights by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region)
        Between 0 (all in one community) and 1. A region without connections has 0, with finite gradients.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    References
    ----------
    .. [1] Guimerà & Amaral (2005). doi:10.1038/nature03288

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> participation_coefficient(jnp.ones((3, 3)), jnp.eye(3)).tolist()
    [0.5, 0.5, 0.5]
    """
    matrix = _without_diagonal(_graph("adjacency", adjacency, check=check, signed=False))
    shares = matrix @ _affiliation_of(matrix, affiliation) * _reciprocal(matrix.sum(-1, keepdims=True))
    return jnp.where(matrix.sum(-1) == 0, 0.0, 1.0 - (shares**2).sum(-1))


def within_module_z(
    adjacency: Float[Tensor, "... target source"],
    affiliation: Float[Tensor, "... region community"],
    *,
    check: bool = False,
) -> Float[Array, "... region"]:
    r"""Return how strongly every region is connected within its community, as a z-score among that community's regions.

    The z-scores of soft affiliations are those of every community, with mean and (population) standard deviation
    weighted by the affiliations, averaged by the region's own.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights, not negative; connections received (rows) count. NaN spreads to the community.
    affiliation : array, shape (..., region, community)
        Rows on the simplex for a partition. Empty communities are allowed.
    check : bool, default False
        Refuse NaN, infinity and negative weights by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region)
        Without unit. 0 in a community whose regions are all connected alike, with finite gradients: its standard
        deviation is at most 16 eps times the root of its mean square.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    References
    ----------
    .. [1] Guimerà & Amaral (2005). doi:10.1038/nature03288

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> path = jnp.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    >>> print(jnp.round(within_module_z(path, jnp.ones((3, 1))), 3))
    [-0.707  1.414 -0.707]
    """
    matrix = _without_diagonal(_graph("adjacency", adjacency, check=check, signed=False))
    communities = _affiliation_of(matrix, affiliation)
    epsilon = jnp.finfo(matrix.dtype).eps
    weights = communities * _reciprocal(communities.sum(-2, keepdims=True))
    within = matrix @ communities
    centred = within - (weights * within).sum(-2, keepdims=True)
    variance = (weights * centred**2).sum(-2, keepdims=True)
    power = (weights * within**2).sum(-2, keepdims=True)
    varies = variance > (16 * epsilon) ** 2 * power
    scale = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, variance, 1.0)), 0.0)
    return (communities * centred * scale).sum(-1)


def assortativity(
    adjacency: Float[Tensor, "... region region"],
    *,
    check: bool = False,
) -> Float[Array, "..."]:
    """Return the correlation, over connections, between the strengths of the two regions that are connected.

    Parameters
    ----------
    adjacency : array, shape (..., region, region)
        Weights, symmetric, not negative. Every connection counts once, whatever its weight. NaN gives NaN.
    check : bool, default False
        Refuse NaN, infinity, negative weights and a matrix that is not symmetric by their values, also under ``jit``.

    Returns
    -------
    array, shape (...)
        Between -1 and 1. Where all connected regions have one strength (a ring, an empty graph), 0, with finite
        gradients.

    Raises
    ------
    ValueError
        If the matrix is not square.

    References
    ----------
    .. [1] Newman (2002). doi:10.1103/PhysRevLett.89.208701
    .. [2] Leung & Chau (2007). doi:10.1016/j.physa.2006.12.022

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> star = jnp.zeros((4, 4)).at[0, 1:].set(1.0).at[1:, 0].set(1.0)
    >>> round(float(assortativity(star)), 6)
    -1.0
    """
    matrix = _without_diagonal(_graph("adjacency", adjacency, check=check, symmetric=True, signed=False))
    epsilon = jnp.finfo(matrix.dtype).eps
    edges = _connections(matrix)
    share = edges * _reciprocal(edges.sum((-2, -1), keepdims=True))
    ends = share.sum(-1)
    strengths = matrix.sum(-1)
    mean = (ends * strengths).sum(-1, keepdims=True)
    centred = strengths - mean
    variance = (ends * centred**2).sum(-1)
    product = jnp.einsum("...i,...ij,...j->...", centred, share, centred)
    varies = variance > (16 * epsilon) ** 2 * mean[..., 0] ** 2
    return product * jnp.where(varies, _reciprocal(jnp.where(varies, variance, 0.0)), 0.0)


def rich_club_coefficient(
    adjacency: Float[Tensor, "... target source"],
    *,
    n_levels: int | None = None,
    check: bool = False,
) -> Float[Array, "... level"]:
    r"""Return, for every degree :math:`k`, how much of the strongest connections lies among regions of that degree.

    It is the summed weight of the connections among regions of at least :math:`k` connections, over the sum of as many
    of the graph's strongest connections. Compare it with that of rewired graphs: it grows with :math:`k` in any graph.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights, not negative. The degree counts connections sent and is the same in a symmetric matrix. NaN gives NaN.
    n_levels : int, optional
        Give the coefficients for :math:`k` from 1 to this, by default to the number of regions less one.
    check : bool, default False
        Refuse NaN, infinity and negative weights by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., level)
        Entry ``k - 1`` belongs to degree `k`; between 0 and 1, and 0 where no connections are left. Differentiable
        where no two weights are equal.

    Raises
    ------
    ValueError
        If the matrix is not square, or there is no level.

    References
    ----------
    .. [1] Opsahl, Colizza, Panzarasa & Ramasco (2008). doi:10.1103/PhysRevLett.101.168702
    .. [2] van den Heuvel & Sporns (2011). doi:10.1523/JNEUROSCI.3539-11.2011

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> star = jnp.zeros((4, 4)).at[0, 1:].set(1.0).at[1:, 0].set(1.0)
    >>> rich_club_coefficient(star).tolist()
    [1.0, 0.0, 0.0]
    """
    matrix = _without_diagonal(_graph("adjacency", adjacency, check=check, signed=False))
    n_regions = matrix.shape[-1]
    levels = n_regions - 1 if n_levels is None else n_levels
    if levels < 1:
        raise ValueError(f"n_levels must be at least 1, and is {levels}")
    edges = _connections(matrix)
    rich = (edges.sum(-2)[..., None, :] >= jnp.arange(1, levels + 1)[:, None]).astype(matrix.dtype)
    weight = jnp.einsum("...ki,...ij,...kj->...k", rich, matrix, rich)
    count = jnp.einsum("...ki,...ij,...kj->...k", rich, edges, rich)
    flat = matrix.reshape(*matrix.shape[:-2], -1)
    strongest = jnp.cumsum(jnp.flip(jnp.sort(flat, axis=-1), axis=-1), axis=-1)
    last = jnp.maximum(count.astype(int) - 1, 0)
    most = jnp.where(count > 0, jnp.take_along_axis(strongest, last, axis=-1), 0.0)
    return weight * _reciprocal(most)


def _connections(matrix: Array) -> Array:
    """Return 1 where there is a weight and 0 elsewhere, in the matrix's dtype."""
    return (matrix != 0).astype(matrix.dtype)


def _cube_root(matrix: Array) -> Array:
    """Return the cube root, and 0 (with derivative 0) at 0."""
    present = matrix > 0
    return jnp.where(present, jnp.cbrt(jnp.where(present, matrix, 1.0)), 0.0)
