r"""Shortest paths of a weighted graph, and the efficiencies that they give.

The length of a connection is the reciprocal of its weight. The derivative of a path's length is taken on the path that
is the shortest (the envelope theorem): exact wherever the shortest path is unique. It costs no more than the paths
themselves, and keeps a tree of predecessors, one matrix, instead of every step of the search.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional.engine import Tensor
from conn.functional.graph import _graph, _reciprocal, _without_diagonal
from conn.functional.network_measures import _connections, _cube_root

__all__ = ["global_efficiency", "local_efficiency", "shortest_path_length"]


def shortest_path_length(
    adjacency: Float[Tensor, "... target source"],
    *,
    check: bool = False,
) -> Float[Array, "... target source"]:
    r"""Return the length of the shortest path from every region (column) to every other (row).

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights, not negative; a connection is as long as the reciprocal of its weight, and the diagonal does not
        count. NaN counts as no connection.
    check : bool, default False
        Refuse NaN, infinity and negative weights by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., target, source)
        In the reciprocal unit of the weights; 0 on the diagonal, infinity where no path leads. Differentiable where
        the shortest path is unique; one of them is followed where it is not. Time :math:`O(n^3)`, memory
        :math:`O(n^2)`.

    Raises
    ------
    ValueError
        If the matrix is not square.

    References
    ----------
    .. [1] Floyd (1962), Algorithm 97: shortest path. doi:10.1145/367766.368168

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> shortest_path_length(jnp.array([[0.0, 1.0, 0.1], [1.0, 0.0, 0.5], [0.1, 0.5, 0.0]])).tolist()
    [[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]
    """
    return _path_lengths(_lengths(_without_diagonal(_graph("adjacency", adjacency, check=check, signed=False))))


def global_efficiency(
    adjacency: Float[Tensor, "... target source"],
    *,
    check: bool = False,
) -> Float[Array, "..."]:
    """Return the mean, over pairs of regions, of the reciprocal length of the shortest path between them.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights, not negative; see `shortest_path_length`.
    check : bool, default False
        Refuse NaN, infinity and negative weights by their values, also under ``jit``.

    Returns
    -------
    array, shape (...)
        In the unit of the weights. Pairs without a path count 0, so that an empty graph has 0, with finite gradients.

    Raises
    ------
    ValueError
        If the matrix is not square, or there is only one region.

    References
    ----------
    .. [1] Latora & Marchiori (2001). doi:10.1103/PhysRevLett.87.198701

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> global_efficiency(jnp.ones((4, 4))).tolist()
    1.0
    """
    matrix = _without_diagonal(_graph("adjacency", adjacency, check=check, signed=False))
    n_regions = matrix.shape[-1]
    if n_regions < 2:
        raise ValueError("an efficiency needs at least two regions, and there is one")
    return _closeness(_path_lengths(_lengths(matrix))).sum((-2, -1)) / (n_regions * (n_regions - 1))


def local_efficiency(
    adjacency: Float[Tensor, "... target source"],
    *,
    check: bool = False,
) -> Float[Array, "... region"]:
    r"""Return how efficiently the neighbours of every region are connected among themselves.

    .. math:: E_i = \frac{\sum_{j \ne h} (w_{ij} w_{ih})^{1/3} / d_{jh}(N_i)}{k_i (k_i - 1)},

    with :math:`d_{jh}(N_i)` the shortest path among the neighbours of :math:`i` alone, over lengths
    :math:`w^{-1/3}` [2]_; in the form that also holds for directed graphs.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights, not negative; the diagonal does not count. NaN counts as no path.
    check : bool, default False
        Refuse NaN, infinity and negative weights by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region)
        In the unit of the weights; 0 for a region with fewer than two neighbours. Gradients are finite. The
        shortest paths of every neighbourhood are sought one region after another: time :math:`O(n^4)`, memory
        :math:`O(n^2)`.

    Raises
    ------
    ValueError
        If the matrix is not square.

    References
    ----------
    .. [1] Rubinov & Sporns (2010). doi:10.1016/j.neuroimage.2009.10.003
    .. [2] Wang, Ghumare, Vandenberghe & Dupont (2017). doi:10.1162/NECO_a_00914

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> local_efficiency(jnp.ones((3, 3))).tolist()
    [1.0, 1.0, 1.0]
    """
    matrix = _without_diagonal(_graph("adjacency", adjacency, check=check, signed=False))
    edges = _connections(matrix)
    transposed = jnp.swapaxes(matrix, -1, -2)
    roots = _cube_root(matrix)
    tied = roots + jnp.swapaxes(roots, -1, -2)
    ends = edges + jnp.swapaxes(edges, -1, -2)
    lengths = _lengths(roots)
    neighbours = (matrix != 0) | (transposed != 0)

    def of_one_region(region: tuple[Array, Array]) -> Array:
        near, tie = region
        inside = near[..., :, None] & near[..., None, :]
        closeness = _closeness(_path_lengths(jnp.where(inside, lengths, jnp.inf)))
        return jnp.einsum("...j,...jh,...h->...", tie, closeness + jnp.swapaxes(closeness, -1, -2), tie) / 2

    efficiency = jax.lax.map(of_one_region, (jnp.moveaxis(neighbours, -2, 0), jnp.moveaxis(tied, -2, 0)))
    return jnp.moveaxis(efficiency, 0, -1) * _reciprocal(ends.sum(-1) ** 2 - (ends**2).sum(-1))


def _lengths(matrix: Array) -> Array:
    """Return the lengths of the connections: infinite (with derivative 0) where there is none."""
    present = matrix > 0
    return jnp.where(present, 1.0 / jnp.where(present, matrix, 1.0), jnp.inf)


def _closeness(distance: Array) -> Array:
    """Return reciprocal distances: 0 (with derivative 0) on the diagonal and where no path leads."""
    reached = jnp.isfinite(distance) & (distance > 0)
    return jnp.where(reached, 1.0 / jnp.where(reached, distance, 1.0), 0.0)


def _path_lengths(lengths: Array) -> Array:
    return jnp.vectorize(_path_lengths_of_one, signature="(n,n)->(n,n)")(lengths)


@jax.custom_vjp
def _path_lengths_of_one(lengths: Array) -> Array:
    """Return the shortest path lengths of one graph, by Floyd's recursion over the regions that a path may pass."""
    n_regions = lengths.shape[-1]
    start = jnp.where(jnp.eye(n_regions, dtype=bool), 0.0, lengths)

    def through(region: Array, distance: Array) -> Array:
        return jnp.minimum(distance, distance[:, region, None] + distance[region, None, :])

    return jax.lax.fori_loop(0, n_regions, through, start)


def _path_lengths_forward(lengths: Array) -> tuple[Array, tuple[Array, Array]]:
    distance = _path_lengths_of_one(lengths)
    return distance, (lengths, distance)


def _path_lengths_backward(saved: tuple[Array, Array], cotangent: Array) -> tuple[Array]:
    lengths, distance = saved
    n_regions = lengths.shape[-1]
    rows = jnp.arange(n_regions)
    away = jnp.where(jnp.eye(n_regions, dtype=bool), jnp.inf, lengths)

    # The first step from a source (column) of its shortest path to a target (row): the p of min_p d[i, p] + l[p, j].
    def better(step: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
        shortest, first = best
        candidate = distance[:, step, None] + away[step, None, :]
        closer = candidate < shortest
        return jnp.where(closer, candidate, shortest), jnp.where(closer, step, first)

    nowhere = (jnp.full_like(lengths, jnp.inf), jnp.zeros(lengths.shape, int))
    _, first = jax.lax.fori_loop(0, n_regions, better, nowhere)

    # Of every target, the longest path hands its share to the path that is shorter by one connection, and so on.
    linked = jnp.isfinite(distance) & ~jnp.eye(n_regions, dtype=bool)
    order = jnp.argsort(jnp.where(linked, -distance, jnp.inf), axis=1)

    def hand_on(position: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        pending, gradient = sums
        source = order[:, position]
        passed = first[rows, source]
        share = jnp.where(linked[rows, source], pending[rows, source], 0.0)
        return pending.at[rows, passed].add(share), gradient.at[passed, source].add(share)

    sums = (jnp.where(linked, cotangent, 0.0), jnp.zeros_like(lengths))
    _, gradient = jax.lax.fori_loop(0, n_regions, hand_on, sums)
    return (gradient,)


_path_lengths_of_one.defvjp(_path_lengths_forward, _path_lengths_backward)
