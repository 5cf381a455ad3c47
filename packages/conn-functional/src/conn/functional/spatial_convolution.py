r"""Smoothing of maps over a surface: normalised convolution with a Gaussian of the distance between vertices.

.. math:: y_v = \frac{\sum_u g_{vu} m_u x_u}{\sum_u g_{vu} m_u}, \qquad g_{vu} = \exp\!\big(-d_{vu}^2 / 2 s^2\big)

with :math:`m` the vertices that count and :math:`d` the distance along a sphere or straight. Divided by the weights'
sum, a constant map stays constant, at the edge of a mask too. The sums run over all vertices, a block at a time, or
over lists of neighbours, which cost vertex x neighbour instead of vertex squared.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int
from scipy.spatial import KDTree

from conn.functional._inputs import positive, real_series
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.sphere import _apart, _on_sphere, _vertices

__all__ = ["NeighbourLists", "euclidean_convolution", "neighbour_lists", "spherical_convolution"]


class NeighbourLists(NamedTuple):
    """Which vertices lie near each vertex, itself among them, in lists padded to one length.

    Parameters
    ----------
    index : array of int, shape (vertex, neighbour)
        Of the neighbours; the vertex's own where there are no more.
    mask : array of bool, shape (vertex, neighbour)
        True where the list holds a neighbour.
    """

    index: Int[np.ndarray, "vertex neighbour"]
    mask: Bool[np.ndarray, "vertex neighbour"]


def neighbour_lists(
    coordinates: Float[np.ndarray, "vertex 3"], *, cutoff: float, radius: float | None = None
) -> NeighbourLists:
    """Return which vertices lie within a distance of each vertex, itself among them.

    A function of the host: a k-d tree of SciPy finds them, in vertex x log(vertex) time.

    Parameters
    ----------
    coordinates : array, shape (vertex, 3)
        Known numbers without NaN.
    cutoff : float
        Largest distance, in the unit of the coordinates. At three times the scale of a convolution, what is left out
        weighs less than 0.012 of the centre each.
    radius : float, optional
        Of the sphere along which to measure; straight distances by default.

    Returns
    -------
    NeighbourLists
        As wide as the longest list.

    Raises
    ------
    ValueError
        If the shape is wrong, there is NaN or infinity, or the cutoff or the radius is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> lists = neighbour_lists(np.array([[0.0, 0, 0], [1.0, 0, 0], [5.0, 0, 0]]), cutoff=2.0)
    >>> lists.index.tolist(), lists.mask.sum(1).tolist()
    ([[0, 1], [0, 1], [2, 2]], [2, 2, 1])
    """
    points = np.asarray(coordinates, float)
    if points.ndim != 2 or points.shape[-1] != 3 or not len(points):
        raise ValueError(f"coordinates must have shape (vertex, 3), and have shape {points.shape}")
    if not np.isfinite(points).all():
        place = int(np.flatnonzero(~np.isfinite(points).all(1))[0])
        raise ValueError(f"coordinates must be finite, and those of vertex {place} are {points[place]}")
    reach = positive("cutoff", cutoff, "in the unit of the coordinates")
    if radius is not None:
        size = positive("radius", radius, "in the unit of the coordinates")
        lengths = np.linalg.norm(points, axis=1)
        off = np.flatnonzero(np.abs(lengths - size) > 1e-3 * size)
        if off.size:
            away = f"{lengths[off[0]]:g} off its centre"
            raise ValueError(f"vertex {off[0]} does not lie on the sphere of radius {size:g}: it is {away}")
        points = size * points / lengths[:, None]
        reach = 2 * size * np.sin(min(reach / (2 * size), np.pi / 2))
    found = KDTree(points).query_ball_point(points, reach * (1 + 1e-12), return_sorted=True)
    lengths = np.array([len(near) for near in found])
    mask = np.arange(lengths.max()) < lengths[:, None]
    index = np.repeat(np.arange(len(points))[:, None], lengths.max(), axis=1)
    index[mask] = np.concatenate(found)
    return NeighbourLists(index, mask)


def spherical_convolution(
    maps: Float[Tensor, "... vertex"],
    coordinates: Float[Tensor, "vertex 3"],
    *,
    scale: ArrayLike,
    radius: float,
    mask: Bool[Tensor, " vertex"] | None = None,
    neighbours: NeighbourLists | None = None,
    block_size: int = 256,
    check: bool = False,
) -> Float[Array, "... vertex"]:
    """Return maps smoothed along a sphere by a Gaussian of the great-circle distance, divided by the weights' sum.

    Parameters
    ----------
    maps : array, shape (..., vertex)
        NaN in a vertex that counts spreads to all it reaches: mark it in `mask`.
    coordinates : array, shape (vertex, 3)
        Of the sphere's vertices about its centre.
    scale : float
        Standard deviation of the Gaussian in the unit of the radius; its full width at half maximum is 2.355 times
        that. It may be traced.
    radius : float
        Of the sphere.
    mask : array of bool, shape (vertex,), optional
        True where a vertex counts. Others (the medial wall) give nothing, whatever stands in them, and receive the mean
        of those near them that count.
    neighbours : NeighbourLists, optional
        Sum over these only; all vertices by default.
    block_size : int, default 256
        Vertices whose weights are held at once, where there are no neighbours' lists.
    check : bool, default False
        Refuse NaN and infinity in vertices that count, and vertices off the sphere by more than a thousandth of the
        radius, by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., vertex)
        In the maps' unit; NaN where no vertex that counts is in reach.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, the scale or the radius is not positive, or the block is empty.

    References
    ----------
    .. [1] Knutsson and Westin (1993), Normalized and differential convolution. doi:10.1109/CVPR.1993.341081

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> axes = 100 * jnp.concatenate([jnp.eye(3), -jnp.eye(3)])
    >>> [f"{value:.3f}" for value in spherical_convolution(jnp.full(6, 2.0), axes, scale=30.0, radius=100.0)]
    ['2.000', '2.000', '2.000', '2.000', '2.000', '2.000']
    """
    points = _on_sphere("coordinates", coordinates, radius, check=check)
    return _convolved(maps, points, scale, radius, mask, neighbours, block_size, check)


def euclidean_convolution(
    maps: Float[Tensor, "... vertex"],
    coordinates: Float[Tensor, "vertex 3"],
    *,
    scale: ArrayLike,
    mask: Bool[Tensor, " vertex"] | None = None,
    neighbours: NeighbourLists | None = None,
    block_size: int = 256,
    check: bool = False,
) -> Float[Array, "... vertex"]:
    """Return maps smoothed in space by a Gaussian of the straight distance, divided by the weights' sum.

    Parameters
    ----------
    maps : array, shape (..., vertex)
        NaN in a vertex that counts spreads to all it reaches: mark it in `mask`.
    coordinates : array, shape (vertex, 3)
        Of vertices or voxels. A straight distance crosses sulci.
    scale : float
        Standard deviation of the Gaussian in the coordinates' unit. It may be traced.
    mask : array of bool, shape (vertex,), optional
        True where a vertex counts; see `spherical_convolution`.
    neighbours : NeighbourLists, optional
        Sum over these only; all vertices by default.
    block_size : int, default 256
        Vertices whose weights are held at once, where there are no neighbours' lists.
    check : bool, default False
        Refuse NaN and infinity in vertices that count, and in coordinates, by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., vertex)
        In the maps' unit; NaN where no vertex that counts is in reach.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, the scale is not positive, or the block is empty.

    See Also
    --------
    scipy.ndimage.gaussian_filter : on a grid

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> line = jnp.array([[0.0, 0, 0], [1.0, 0, 0], [2.0, 0, 0]])
    >>> [f"{value:.3f}" for value in euclidean_convolution(jnp.array([0.0, 1.0, 0.0]), line, scale=1.0)]
    ['0.348', '0.452', '0.348']
    """
    points = _vertices("coordinates", coordinates, check=check)
    return _convolved(maps, points, scale, None, mask, neighbours, block_size, check)


def _convolved(
    maps: Tensor,
    points: Array,
    scale: ArrayLike,
    radius: float | None,
    mask: Tensor | None,
    neighbours: NeighbourLists | None,
    block_size: int,
    check: bool,
) -> Array:
    values = real_series(maps, name="maps", axes="(..., vertex)")
    n_vertices = values.shape[-1]
    if points.shape != (n_vertices, 3):
        raise ValueError(f"coordinates must have shape ({n_vertices}, 3) for these maps, and have shape {points.shape}")
    if isinstance(scale, int | float):
        positive("scale", scale, "in the unit of the coordinates")
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1 vertex, and is {block_size}")
    if mask is None:
        valid = jnp.ones(n_vertices, bool)
    else:
        valid = _to_jax_array(mask).astype(bool)
        if valid.shape != (n_vertices,):
            raise ValueError(f"mask must have shape ({n_vertices},) for these maps, and has shape {valid.shape}")
        values = jnp.where(valid, values, 0.0)
    if check:
        values = eqx.error_if(values, ~jnp.isfinite(values).all(), "maps hold NaN or infinity in a vertex that counts")
    steepness = 1 / (2 * jnp.asarray(scale, values.dtype) ** 2)

    def weights(here: Array, there: Array) -> Array:
        return jnp.exp(-steepness * _apart(here, there, radius) ** 2)

    if neighbours is None:
        flat = values.reshape(-1, n_vertices)

        def at(point: Array) -> tuple[Array, Array]:
            weight = jnp.where(valid, weights(point, points), 0.0)
            return flat @ weight, weight.sum()

        sums, totals = jax.lax.map(jax.checkpoint(at), points, batch_size=block_size)
        sums = sums.T.reshape(values.shape)
    else:
        index, listed = (jnp.asarray(array) for array in neighbours)
        if index.ndim != 2 or index.shape[0] != n_vertices or listed.shape != index.shape:
            raise ValueError(
                f"neighbours must be lists of shape ({n_vertices}, neighbour) for these maps, and have the shapes "
                f"{index.shape} and {listed.shape}"
            )

        @jax.checkpoint
        def of_one(places: Array, counts: Array) -> tuple[Array, Array]:
            counts = counts & valid[places]
            weight = jnp.where(counts, weights(points, points[places]), 0.0)
            return weight * jnp.where(counts, values[..., places], 0.0), weight

        def add(sums: tuple[Array, Array], item: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            terms, weight = of_one(*item)
            return (sums[0] + terms, sums[1] + weight), None

        dtype = jnp.result_type(values, points)
        start = jnp.zeros(values.shape, dtype), jnp.zeros(n_vertices, dtype)
        (sums, totals), _ = jax.lax.scan(add, start, (index.T, listed.T))
    reached = totals > 0
    return jnp.where(reached | jnp.isnan(totals), sums / jnp.where(totals == 0, 1.0, totals), jnp.nan)
