r"""Where regions lie and how far they extend, on a sphere or in space.

Regions are rows of an assignment :math:`A` (region, vertex), hard or soft and not negative; with a radius, distances
are those along the sphere. A region without vertices has no place, and its score is NaN.
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import conn.functional as functional
from conn.functional import centre_displacement, centre_of_mass
from conn.functional.engine import Tensor, _to_jax_array
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Reduction

__all__ = [
    "CompactnessLoss",
    "DispersionLoss",
    "EquilibriumLogitLoss",
    "EquilibriumLoss",
    "InterhemisphericTetherLoss",
    "ReferenceTetherLoss",
    "compactness",
    "dispersion",
    "equilibrium",
    "equilibrium_logit",
    "interhemispheric_tether",
    "reference_tether",
]


def compactness(
    assignment: Float[Tensor, "... region vertex"],
    coordinates: Float[Tensor, "... vertex 3"],
    *,
    radius: float | None = None,
    floor: float = 0.0,
) -> Float[Array, "... region"]:
    """Return by how much the mean distance of every region's vertices from its centre exceeds a floor.

    Parameters
    ----------
    assignment : array, shape (..., region, vertex)
        Weight of every vertex in every region, not negative.
    coordinates : array, shape (..., vertex, 3)
        Of the vertices.
    radius : float, optional
        Of the sphere on which the vertices lie; by default distances are straight.
    floor : float, default 0
        What is compact enough, in the unit of the coordinates.

    Returns
    -------
    array, shape (..., region)
        In the unit of the coordinates, not negative; NaN for a region without a centre.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the radius is not positive.

    See Also
    --------
    conn.functional.compactness : without a floor

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> points = jnp.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    >>> compactness(jnp.array([[1.0, 1.0], [0.0, 1.0]]), points).tolist()
    [1.0, 0.0]
    """
    found = functional.compactness(assignment, coordinates, radius=radius)
    return jnp.maximum(found - floor, 0.0)


def dispersion(
    points: Float[Tensor, "... region 3"], *, threshold: float | None = None, radius: float | None = None
) -> Float[Array, "..."]:
    """Return *minus* the mean distance between all pairs of points: least for points that spread out.

    Parameters
    ----------
    points : array, shape (..., region, 3)
        Centres of regions (`conn.functional.centre_of_mass`). NaN in one makes the result NaN.
    threshold : float, optional
        Pairs further apart than this count as this far, so that only near ones are pushed apart.
    radius : float, optional
        Of the sphere along which to measure; straight distances by default.

    Returns
    -------
    array, shape (...)
        In the unit of the coordinates. Not differentiable where two points coincide, where the derivative is 0.

    Raises
    ------
    ValueError
        If there are fewer than two points, or the threshold or the radius is not positive.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(dispersion(jnp.array([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]])))
    -5.0
    """
    return -functional.dispersion(points, threshold=threshold, radius=radius)


def reference_tether(
    assignment: Float[Tensor, "... region vertex"],
    reference: Float[Tensor, "... region 3"],
    coordinates: Float[Tensor, "... vertex 3"],
    *,
    radius: float | None = None,
) -> Float[Array, "... region"]:
    """Return how far every region's centre of mass lies from its place in a reference.

    Parameters
    ----------
    assignment : array, shape (..., region, vertex)
        Weight of every vertex in every region, not negative.
    reference : array, shape (..., region, 3)
        Where the centres are expected.
    coordinates : array, shape (..., vertex, 3)
        Of the vertices.
    radius : float, optional
        Of the sphere on which the vertices lie; by default distances are straight.

    Returns
    -------
    array, shape (..., region)
        In the unit of the coordinates; NaN for a region without a centre. Not differentiable at 0, where the
        derivative is 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the radius is not positive.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> points = jnp.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    >>> reference_tether(jnp.eye(2), points[::-1], points).tolist()
    [5.0, 5.0]
    """
    return centre_displacement(assignment, coordinates, reference, radius=radius)


def interhemispheric_tether(
    left: Float[Tensor, "... region vertex"],
    right: Float[Tensor, "... region other"],
    left_coordinates: Float[Tensor, "... vertex 3"],
    right_coordinates: Float[Tensor, "... other 3"],
    *,
    radius: float | None = None,
) -> Float[Array, "... region"]:
    """Return how far every region's centre in the right hemisphere lies from the mirror image of that in the left.

    Parameters
    ----------
    left : array, shape (..., region, vertex)
        Weight of every vertex of the left hemisphere in every region, not negative.
    right : array, shape (..., region, other)
        The same for the right one, its regions in the same order.
    left_coordinates, right_coordinates : array, shape (..., vertex, 3)
        Of the vertices. The first coordinate is mirrored; a sphere has its centre at 0.
    radius : float, optional
        Of the spheres on which the vertices lie; by default distances are straight.

    Returns
    -------
    array, shape (..., region)
        In the unit of the coordinates; NaN for a region without a centre. Not differentiable at 0, where the
        derivative is 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the radius is not positive.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> points = jnp.array([[-3.0, 0.0, 0.0], [-1.0, 4.0, 0.0]])
    >>> mirrored = points * jnp.array([-1.0, 1.0, 1.0])
    >>> interhemispheric_tether(jnp.eye(2), jnp.eye(2), points, mirrored).tolist()
    [0.0, 0.0]
    """
    centres = centre_of_mass(left, left_coordinates, radius=radius)
    return centre_displacement(right, right_coordinates, centres * jnp.array([-1.0, 1.0, 1.0]), radius=radius)


def equilibrium(
    assignment: Float[Tensor, "... region vertex"], *, level_axis: int = -2, instance_axis: int = -1
) -> Float[Array, "... region"]:
    r"""Return the squared relative deviation of every region's mass from the mean: 0 for regions of equal mass.

    .. math:: \Big( \frac{m_r}{\frac{1}{n} \sum_s m_s} - 1 \Big)^2, \qquad m_r = \sum_v A_{rv}

    Parameters
    ----------
    assignment : array, shape (..., region, vertex)
        Weight of every vertex in every region, not negative.
    level_axis : int, default -2
        The axis of what shall be balanced.
    instance_axis : int, default -1
        The axis along which masses are summed.

    Returns
    -------
    array, shape (..., region)
        Without unit, and without the instance axis; NaN if there is no mass at all.

    Raises
    ------
    ValueError
        If the two axes are one.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> equilibrium(jnp.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])).tolist()
    [0.25, 0.25]
    """
    array = _to_jax_array(assignment)
    if level_axis % array.ndim == instance_axis % array.ndim:
        raise ValueError(f"levels and instances need an axis each, and both have axis {level_axis}")
    mass = array.sum(instance_axis, keepdims=True)
    return ((mass / mass.mean(level_axis, keepdims=True) - 1) ** 2).squeeze(instance_axis)


def equilibrium_logit(
    logit: Float[Tensor, "... region vertex"], *, level_axis: int = -2, instance_axis: int = -1
) -> Float[Array, "... region"]:
    """Return the equilibrium of the softmax of logits over the levels.

    Parameters
    ----------
    logit : array, shape (..., region, vertex)
        Of any values.
    level_axis : int, default -2
        The axis of what shall be balanced, along which the softmax is taken.
    instance_axis : int, default -1
        The axis along which masses are summed.

    Returns
    -------
    array, shape (..., region)
        See `equilibrium`.

    Raises
    ------
    ValueError
        If the two axes are one.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> equilibrium_logit(jnp.zeros((2, 5))).tolist()
    [0.0, 0.0]
    """
    array = _to_jax_array(logit)
    return equilibrium(jax.nn.softmax(array, level_axis), level_axis=level_axis, instance_axis=instance_axis)


class CompactnessLoss(Loss):
    """How far the vertices of regions lie from their centres.

    Call it with an assignment (..., region, vertex) and the coordinates (..., vertex, 3).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "Compactness"
        How the loss is called.
    radius : float, optional
        Of the sphere; by default distances are straight.
    floor : float, default 0
        What is compact enough, in the unit of the coordinates.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(CompactnessLoss()(jnp.ones((1, 2)), jnp.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])))
    1.0
    """

    radius: float | None = eqx.field(static=True)
    floor: float = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        radius: float | None = None,
        floor: float = 0.0,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=compactness, scalarisation=scalarisation)
        self.radius, self.floor = radius, floor


class DispersionLoss(Loss):
    """Minus the mean distance between points, (..., region, 3).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "Dispersion"
        How the loss is called.
    threshold : float, optional
        Pairs further apart than this count as this far.
    radius : float, optional
        Of the sphere; by default distances are straight.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(DispersionLoss()(jnp.array([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]])))
    -5.0
    """

    threshold: float | None = eqx.field(static=True)
    radius: float | None = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        threshold: float | None = None,
        radius: float | None = None,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=dispersion, scalarisation=scalarisation)
        self.threshold, self.radius = threshold, radius


class _TetherLoss(Loss):
    """A loss whose score is how far centres lie from their places; a subclass names the score."""

    radius: float | None = eqx.field(static=True)
    _distance: ClassVar[Callable[..., Array]]

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        radius: float | None = None,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=type(self)._distance, scalarisation=scalarisation)
        self.radius = radius


class ReferenceTetherLoss(_TetherLoss):
    """How far the centres of regions lie from their places in a reference.

    Call it with an assignment (..., region, vertex), the reference (..., region, 3) and the coordinates
    (..., vertex, 3).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "ReferenceTether"
        How the loss is called.
    radius : float, optional
        Of the sphere; by default distances are straight.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> points = jnp.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    >>> float(ReferenceTetherLoss()(jnp.eye(2), points[::-1], points))
    5.0
    """

    _distance = staticmethod(reference_tether)


class InterhemisphericTetherLoss(_TetherLoss):
    """How far the centres of regions lie from the mirror images of those in the other hemisphere.

    Call it with what `interhemispheric_tether` takes.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "InterhemisphericTether"
        How the loss is called.
    radius : float, optional
        Of the sphere; by default distances are straight.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> points = jnp.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    >>> float(InterhemisphericTetherLoss()(jnp.eye(2), jnp.eye(2), points, points))
    3.0
    """

    _distance = staticmethod(interhemispheric_tether)


class _BalanceLoss(Loss):
    """A loss whose score is how unequal the levels are; a subclass names the score."""

    level_axis: int = eqx.field(static=True)
    instance_axis: int = eqx.field(static=True)
    _balance: ClassVar[Callable[..., Array]]

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        level_axis: int = -2,
        instance_axis: int = -1,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=type(self)._balance, scalarisation=scalarisation)
        self.level_axis, self.instance_axis = level_axis, instance_axis


class EquilibriumLoss(_BalanceLoss):
    """The squared relative deviation of the regions' masses from their mean.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "Equilibrium"
        How the loss is called.
    level_axis : int, default -2
        The axis of what shall be balanced.
    instance_axis : int, default -1
        The axis along which masses are summed.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(EquilibriumLoss()(jnp.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])))
    0.25
    """

    _balance = staticmethod(equilibrium)


class EquilibriumLogitLoss(_BalanceLoss):
    """The equilibrium of the softmax of logits over the levels.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "EquilibriumLogit"
        How the loss is called.
    level_axis : int, default -2
        The axis of what shall be balanced.
    instance_axis : int, default -1
        The axis along which masses are summed.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(EquilibriumLogitLoss()(jnp.zeros((2, 5))))
    0.0
    """

    _balance = staticmethod(equilibrium_logit)
