r"""Points on a sphere: great-circle distances, latitude and longitude.

Coordinates are (..., vertex, 3), with the sphere's centre as their origin. FreeSurfer's and fsLR's spheres have a
radius of 100 mm. A vertex counts by its direction; `check` refuses those that lie off the radius.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional._inputs import positive, real_series
from conn.functional._moments import reciprocal_root, root_or_zero
from conn.functional.engine import Tensor
from conn.functional.kernel import _distance

__all__ = ["from_latitude_longitude", "great_circle_distance", "to_latitude_longitude"]


def great_circle_distance(
    coordinates: Float[Tensor, "... vertex 3"],
    others: Float[Tensor, "... other 3"] | None = None,
    *,
    radius: float,
    check: bool = False,
) -> Float[Array, "... vertex other"]:
    r"""Return the distances along the sphere between all vertices.

    With unit vectors :math:`u, v` they are :math:`2 r \operatorname{atan2}(|u - v|, |u + v|)`, which keeps its
    precision for neighbours and for antipodes, where the arc cosine of an inner product loses it.

    Parameters
    ----------
    coordinates : array, shape (..., vertex, 3)
        In any unit. NaN makes a row NaN, and so does a vertex at the origin, which has no direction.
    others : array, shape (..., other, 3), optional
        The vertices to compare with; `coordinates` themselves by default.
    radius : float
        Of the sphere, in the unit that the distances shall have.
    check : bool, default False
        Refuse NaN and infinity, and vertices whose distance from the origin is off the radius by more than a
        thousandth of it, by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., vertex, other)
        Between 0 and :math:`\pi r`; 0 exactly between equal vertices. Not differentiable there and between antipodes,
        where the derivative is given as 0.

    Raises
    ------
    ValueError
        If the last axis is not 3 long, or the radius is not positive.

    See Also
    --------
    sklearn.metrics.pairwise.haversine_distances

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> distances = great_circle_distance(jnp.array([[0.0, 0.0, 100.0], [100.0, 0.0, 0.0]]), radius=100.0)
    >>> [f"{value:.2f}" for value in distances[0]]
    ['0.00', '157.08']
    """
    left = _on_sphere("coordinates", coordinates, radius, check=check)
    right = left if others is None else _on_sphere("others", others, radius, check=check)
    return _apart(left[..., :, None, :], right[..., None, :, :], radius)


def to_latitude_longitude(coordinates: Float[Tensor, "... vertex 3"]) -> Float[Array, "... vertex 2"]:
    """Return latitude and longitude of vertices, in radians.

    Parameters
    ----------
    coordinates : array, shape (..., vertex, 3)
        In any unit: the radius does not count. The third axis points to the north pole.

    Returns
    -------
    array, shape (..., vertex, 2)
        Latitude between -pi/2 and pi/2, longitude between -pi and pi. At a pole the longitude is given as 0; neither
        has a derivative there, and 0 is returned. A vertex at the origin, or one with NaN, gives NaN.

    Raises
    ------
    ValueError
        If the last axis is not 3 long.

    See Also
    --------
    from_latitude_longitude : the way back

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> [f"{angle:.4f}" for angle in to_latitude_longitude(jnp.array([[0.0, 2.0, 0.0]]))[0]]
    ['0.0000', '1.5708']
    """
    x, y, z = jnp.moveaxis(_vertices("coordinates", coordinates), -1, 0)
    off_axis = x**2 + y**2
    beside = off_axis > 0
    somewhere = beside | (z != 0)
    latitude = jnp.arctan2(jnp.where(somewhere, z, 1.0), root_or_zero(off_axis))
    longitude = jnp.arctan2(jnp.where(beside, y, 0.0), jnp.where(beside, x, 1.0))
    known = somewhere & ~jnp.isnan(x + y + z)
    return jnp.where(known[..., None], jnp.stack([latitude, longitude], -1), jnp.nan)


def from_latitude_longitude(
    angles: Float[Tensor, "... vertex 2"], *, radius: float = 1.0
) -> Float[Array, "... vertex 3"]:
    """Return the coordinates of vertices given by latitude and longitude.

    Parameters
    ----------
    angles : array, shape (..., vertex, 2)
        Latitude and longitude in radians. NaN stays in its vertex.
    radius : float, default 1.0
        Of the sphere.

    Returns
    -------
    array, shape (..., vertex, 3)
        In the unit of the radius.

    Raises
    ------
    ValueError
        If the last axis is not 2 long, or the radius is not positive.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from_latitude_longitude(jnp.array([[0.0, 0.0]]), radius=100.0).tolist()
    [[100.0, 0.0, 0.0]]
    """
    pairs = real_series(angles, name="angles", axes="(..., vertex, 2)")
    if pairs.shape[-1] != 2:
        raise ValueError(f"angles must be latitude and longitude on their last axis, and have shape {pairs.shape}")
    latitude, longitude = pairs[..., 0], pairs[..., 1]
    flat = jnp.cos(latitude)
    points = jnp.stack([flat * jnp.cos(longitude), flat * jnp.sin(longitude), jnp.sin(latitude)], -1)
    return positive("radius", radius, "in the unit of the coordinates") * points


def _vertices(name: str, coordinates: Tensor, *, check: bool = False) -> Array:
    array = real_series(coordinates, name=name, axes="(..., vertex, 3)", check=check)
    if array.shape[-1] != 3:
        raise ValueError(f"{name} must have three coordinates on their last axis, and have shape {array.shape}")
    return array


def _on_sphere(name: str, coordinates: Tensor, radius: float, *, check: bool) -> Array:
    """Return the coordinates, which must have three axes and, with `check`, lie on the sphere."""
    array = _vertices(name, coordinates, check=check)
    size = positive("radius", radius, "in the unit of the coordinates")
    if not check:
        return array
    off = jnp.abs(_distance((array**2).sum(-1)) - size) > 1e-3 * size
    return eqx.error_if(array, off.any(), f"{name} hold a vertex that does not lie on the sphere of radius {size:g}")


def _directions(points: Array) -> Array:
    """Return the points divided by their distances from the origin; at the origin NaN, with derivative 0."""
    squared = (points**2).sum(-1, keepdims=True)
    return jnp.where(squared == 0, jnp.nan, points * reciprocal_root(squared, squared != 0))


def _apart(left: Array, right: Array, radius: float | None) -> Array:
    """Return the distance of each point from its counterpart: along the sphere, or straight without a radius.

    Both have three coordinates on their last axis and broadcast on the others. Coordinate by coordinate, no array of
    pairs x 3 exists.
    """
    if radius is None:
        return _distance(_squares(left, -right))
    first, second = _directions(left), _directions(right)
    return 2 * radius * jnp.arctan2(_distance(_squares(first, -second)), _distance(_squares(first, second)))


def _squares(left: Array, right: Array) -> Array:
    """Return the squared norms of sums."""
    x, y, z = ((left[..., axis] + right[..., axis]) ** 2 for axis in range(3))
    return x + y + z
