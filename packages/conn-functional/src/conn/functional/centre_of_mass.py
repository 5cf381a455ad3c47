r"""Where regions lie and how far they extend: centres of mass, their displacement, compactness, dispersion.

Regions are rows of an assignment :math:`A` (region, vertex), hard or soft and not negative (see `label_matrix`). The
centre of a region is the mean of its vertices' coordinates, weighted by its row; on a sphere that mean is carried back
out to the radius.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional._inputs import positive, real_series
from conn.functional.engine import Tensor
from conn.functional.sphere import _apart, _directions, _on_sphere, _vertices

__all__ = ["centre_displacement", "centre_of_mass", "compactness", "dispersion"]


def centre_of_mass(
    assignment: Float[Tensor, "... region vertex"],
    coordinates: Float[Tensor, "... vertex 3"],
    *,
    radius: float | None = None,
    check: bool = False,
) -> Float[Array, "... region 3"]:
    """Return the centre of mass of every region.

    Parameters
    ----------
    assignment : array, shape (..., region, vertex)
        Weight of every vertex in every region, not negative.
    coordinates : array, shape (..., vertex, 3)
        NaN makes the centres of all regions NaN.
    radius : float, optional
        Of the sphere on which the vertices lie, and the centres shall lie; by default the centres are means in space.
    check : bool, default False
        Refuse NaN and infinity, negative weights, empty regions, and vertices off the sphere by more than a thousandth
        of the radius, by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region, 3)
        In the unit of the coordinates. NaN for a region without vertices, and on a sphere for one whose mean is its
        centre to rounding (the whole sphere, two antipodes): it has no direction.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the radius is not positive.

    See Also
    --------
    scipy.ndimage.center_of_mass : on a grid

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> points = jnp.array([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    >>> centre_of_mass(jnp.array([[1.0, 1.0], [0.0, 2.0]]), points).tolist()
    [[1.5, 1.5, 0.0], [0.0, 3.0, 0.0]]
    """
    weights, points = _placed(assignment, coordinates, radius, check=check)
    return _centres(weights, points, radius)


def centre_displacement(
    assignment: Float[Tensor, "... region vertex"],
    coordinates: Float[Tensor, "... vertex 3"],
    reference: Float[Tensor, "... region 3"],
    *,
    radius: float | None = None,
    check: bool = False,
) -> Float[Array, "... region"]:
    """Return how far the centre of mass of every region lies from a place of reference.

    Parameters
    ----------
    assignment, coordinates, radius, check
        As in `centre_of_mass`.
    reference : array, shape (..., region, 3)
        Where the centres are expected: those of an atlas.

    Returns
    -------
    array, shape (..., region)
        Straight, or along the sphere if there is a radius, in the unit of the coordinates. NaN where there is no
        centre. Not differentiable at 0, where the derivative is given as 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the radius is not positive.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> points = jnp.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    >>> centre_displacement(jnp.eye(2), points, points[::-1]).tolist()
    [5.0, 5.0]
    """
    weights, points = _placed(assignment, coordinates, radius, check=check)
    expected = _vertices("reference", reference, check=check)
    if expected.shape[-2] != weights.shape[-2]:
        raise ValueError(f"reference must have {weights.shape[-2]} regions, and has shape {expected.shape}")
    return _apart(_centres(weights, points, radius), expected, radius)


def compactness(
    assignment: Float[Tensor, "... region vertex"],
    coordinates: Float[Tensor, "... vertex 3"],
    *,
    radius: float | None = None,
    check: bool = False,
) -> Float[Array, "... region"]:
    r"""Return the mean distance of every region's vertices from its centre of mass: small for compact regions.

    .. math:: \frac{\sum_v A_{rv}\, d(v, c_r)}{\sum_v A_{rv}}

    Parameters
    ----------
    assignment, coordinates, radius, check
        As in `centre_of_mass`.

    Returns
    -------
    array, shape (..., region)
        Straight, or along the sphere if there is a radius, in the unit of the coordinates. NaN where there is no
        centre. Takes memory for the distances of all vertices from all centres.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the radius is not positive.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> points = jnp.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    >>> compactness(jnp.array([[1.0, 1.0], [0.0, 1.0]]), points).tolist()
    [1.0, 0.0]
    """
    weights, points = _placed(assignment, coordinates, radius, check=check)
    centres = _centres(weights, points, radius)
    distances = _apart(centres[..., :, None, :], points[..., None, :, :], radius)
    return (_shares(weights) * distances).sum(-1)


def dispersion(
    points: Float[Tensor, "... region 3"],
    *,
    threshold: float | None = None,
    radius: float | None = None,
    check: bool = False,
) -> Float[Array, "..."]:
    r"""Return the mean distance between all pairs of points: large for centres that spread out.

    .. math:: \frac{2}{n (n - 1)} \sum_{i < j} \min(d_{ij}, \tau)

    Parameters
    ----------
    points : array, shape (..., region, 3)
        Centres of regions. NaN in one makes the result NaN.
    threshold : float, optional
        :math:`\tau`: pairs further apart than this count as this far, so that only near ones are pushed apart.
    radius : float, optional
        Of the sphere along which to measure; straight distances by default.
    check : bool, default False
        Refuse NaN and infinity, and points off the sphere by more than a thousandth of the radius, by their values,
        also under ``jit``.

    Returns
    -------
    array, shape (...)
        In the unit of the coordinates. Not differentiable where two points coincide or are antipodes; such pairs have
        the derivative 0.

    Raises
    ------
    ValueError
        If there are fewer than two points, or the threshold or the radius is not positive.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(dispersion(jnp.array([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]])))
    5.0
    """
    if radius is None:
        places = _vertices("points", points, check=check)
    else:
        places = _on_sphere("points", points, radius, check=check)
    n_points = places.shape[-2]
    if n_points < 2:
        raise ValueError(f"a dispersion needs at least two points, and there are {n_points}")
    distances = _apart(places[..., :, None, :], places[..., None, :, :], radius)
    if threshold is not None:
        distances = jnp.minimum(distances, positive("threshold", threshold, "in the unit of the coordinates"))
    return distances.sum((-2, -1)) / (n_points * (n_points - 1))


def _placed(assignment: Tensor, coordinates: Tensor, radius: float | None, *, check: bool) -> tuple[Array, Array]:
    """Return the assignment and the coordinates, having made sure that they fit."""
    weights = real_series(assignment, name="assignment", axes="(..., region, vertex)", check=check)
    if radius is None:
        points = _vertices("coordinates", coordinates, check=check)
    else:
        points = _on_sphere("coordinates", coordinates, radius, check=check)
    n_vertices = weights.shape[-1]
    if points.shape[-2] != n_vertices:
        raise ValueError(f"coordinates must have shape (..., {n_vertices}, 3) here, and have shape {points.shape}")
    if check:
        weights = eqx.error_if(weights, (weights < 0).any(), "assignment must not be negative, and is")
        empty = (weights.sum(-1) == 0).any()
        weights = eqx.error_if(weights, empty, "assignment holds a region without vertices")
    return weights, points


def _shares(weights: Array) -> Array:
    """Return the share of every vertex in its region; NaN in a region without vertices."""
    totals = weights.sum(-1, keepdims=True)
    return jnp.where(totals == 0, jnp.nan, weights / jnp.where(totals == 0, 1.0, totals))


def _centres(weights: Array, points: Array, radius: float | None) -> Array:
    means = _shares(weights) @ points
    if radius is None:
        return means
    # Rounding leaves a direction to what has none.
    lost = (means**2).sum(-1, keepdims=True) <= (64 * jnp.finfo(means.dtype).eps * radius) ** 2
    return radius * _directions(jnp.where(lost, 0.0, means))
