r"""Connectopic maps by descent: maps whose values are alike in regions that are strongly connected."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional import laplacian, pairwise_squared_distance, strength
from conn.functional.engine import Tensor, _to_jax_array
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Reduction

__all__ = ["ConnectopyLoss", "EigenmapLoss", "connectopy", "eigenmap"]


def connectopy(
    maps: Float[Tensor, "... region map"],
    affinity: Float[Tensor, "... region region"],
    *,
    weight: Float[Tensor, "map"] | None = None,
    dissimilarity: Callable[[Array], Array] = pairwise_squared_distance,
) -> Float[Array, "..."]:
    r"""Return the mean dissimilarity of pairs of regions, weighted by their affinity.

    .. math:: \sum_{ij} a_{ij}\, d(q_i, q_j) \Big/ \sum_{ij} a_{ij}

    It is least for constant maps: hold their scale and centre by their parameter or by another loss, or take
    `eigenmap`, which needs neither.

    Parameters
    ----------
    maps : array, shape (..., region, map)
        Places of regions in the space of the maps. NaN makes the result NaN.
    affinity : array, shape (..., region, region)
        Not negative; the diagonal counts in the sum below.
    weight : array, shape (map,), optional
        Weight of every map, not negative: falling ones order the maps. All weigh 1 by default.
    dissimilarity : callable, default `conn.functional.pairwise_squared_distance`
        Gives :math:`d` of all pairs from the places.

    Returns
    -------
    array, shape (...)
        NaN where there is no affinity at all.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    References
    ----------
    .. [1] Belkin & Niyogi (2003). doi:10.1162/089976603321780317

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(connectopy(jnp.array([[0.0], [1.0]]), 1 - jnp.eye(2)))
    1.0
    """
    places, weights = _placed(maps, affinity)
    if weight is not None:
        shares = _to_jax_array(weight)
        if shares.shape != places.shape[-1:]:
            raise ValueError(f"weight must have shape {places.shape[-1:]}, and has shape {shares.shape}")
        # The double where keeps the derivative finite in a map that weighs nothing.
        places = places * jnp.where(shares > 0, jnp.sqrt(jnp.where(shares > 0, shares, 1.0)), 0.0)
    return (weights * dissimilarity(places)).sum((-2, -1)) / weights.sum((-2, -1))


def eigenmap(
    maps: Float[Tensor, "... region map"], affinity: Float[Tensor, "... region region"], *, ridge: float = 1e-6
) -> Float[Array, "..."]:
    r"""Return the Rayleigh trace of maps, which is least where they span the Laplacian eigenmaps.

    .. math:: \operatorname{tr}\big[ (Y^\top D Y)^{-1} Y^\top L Y \big]

    with :math:`L = D - A`, :math:`D` the strengths, and :math:`Y` the maps less their mean weighted by strength. It
    depends on nothing but the space that the maps span, so that no constraint is needed on them; its least value is the
    sum of as many smallest eigenvalues of :math:`L y = \lambda D y` but the one of the constant map.

    Parameters
    ----------
    maps : array, shape (..., region, map)
        At most one map less than there are regions. NaN makes the result NaN.
    affinity : array, shape (..., region, region)
        Symmetric and not negative; the diagonal does not count.
    ridge : float, default 1e-6
        What is added to the diagonal of :math:`Y^\top D Y`, as a fraction of its mean, so that dependent maps have a
        finite value.

    Returns
    -------
    array, shape (...)
        Between 0 and twice the number of maps. NaN for maps that are all constant, and without affinities.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or there are too many maps.

    References
    ----------
    .. [1] Belkin & Niyogi (2003). doi:10.1162/089976603321780317

    See Also
    --------
    conn.functional.laplacian_eigenmaps : the maps themselves

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(eigenmap(jnp.array([[0.0], [1.0]]), 1 - jnp.eye(2))), 4)
    2.0
    """
    places, weights = _placed(maps, affinity)
    if places.shape[-1] >= places.shape[-2]:
        raise ValueError(
            f"{places.shape[-2]} regions have at most {places.shape[-2] - 1} maps, and there are {places.shape[-1]}"
        )
    degrees = strength(weights)[..., None]
    places = places - (degrees * places).sum(-2, keepdims=True) / degrees.sum(-2, keepdims=True)
    transposed = jnp.swapaxes(places, -1, -2)
    scale = transposed @ (degrees * places)
    size = jnp.trace(scale, axis1=-2, axis2=-1)[..., None, None] / places.shape[-1]
    scale = scale + ridge * size * jnp.eye(places.shape[-1], dtype=places.dtype)
    rough = transposed @ (laplacian(weights, normalisation=None) @ places)
    return jnp.trace(jnp.linalg.solve(scale, rough), axis1=-2, axis2=-1)


def _placed(maps: Tensor, affinity: Tensor) -> tuple[Array, Array]:
    places, weights = _to_jax_array(maps), _to_jax_array(affinity)
    if places.ndim < 2 or weights.ndim < 2 or weights.shape[-2:] != (places.shape[-2],) * 2:
        raise ValueError(
            "maps must have shape (..., region, map) and affinity (..., region, region), and have "
            f"{places.shape} and {weights.shape}"
        )
    return places, weights


class ConnectopyLoss(Loss):
    """The mean dissimilarity of regions, weighted by their affinity.

    Call it with maps (..., region, map) and affinities (..., region, region).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "Connectopy"
        How the loss is called.
    weight : array, shape (map,), optional
        Weight of every map.
    dissimilarity : callable, default `conn.functional.pairwise_squared_distance`
        Of all pairs of places.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(ConnectopyLoss()(jnp.array([[0.0], [1.0]]), 1 - jnp.eye(2)))
    1.0
    """

    weight: Array | None
    dissimilarity: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        weight: Array | None = None,
        dissimilarity: Callable[[Array], Array] = pairwise_squared_distance,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=connectopy, scalarisation=scalarisation)
        self.weight, self.dissimilarity = weight, dissimilarity


class EigenmapLoss(Loss):
    """The Rayleigh trace of maps: least where they span the Laplacian eigenmaps.

    Call it with maps (..., region, map) and affinities (..., region, region).

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "Eigenmap"
        How the loss is called.
    ridge : float, default 1e-6
        What keeps dependent maps finite.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(EigenmapLoss()(jnp.array([[0.0], [1.0]]), 1 - jnp.eye(2))), 4)
    2.0
    """

    ridge: float = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        ridge: float = 1e-6,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=eigenmap, scalarisation=scalarisation)
        self.ridge = ridge
