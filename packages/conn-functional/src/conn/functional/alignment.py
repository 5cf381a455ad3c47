r"""Gradients of several subjects in one space: turned onto each other, or embedded together.

The orthogonal matrix that turns :math:`X` best onto :math:`Y` is the polar factor :math:`R = U V'` of
:math:`X'Y = U S V'`. Its derivative is :math:`dR = U \Omega V'` with
:math:`\Omega_{ij} = (W_{ij} - W_{ji}) / (s_i + s_j)` and :math:`W = U' \, d(X'Y) \, V`: repeated singular values do no
harm. Only where one is 0 there is none, since a component may be flipped at no cost.
"""

from typing import Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional._inputs import real_series
from conn.functional.affinity import Kernel, affinity
from conn.functional.connectopy import Gradients, diffusion_map, laplacian_eigenmaps
from conn.functional.engine import Tensor
from conn.functional.spd import _refuse

__all__ = ["Alignment", "GroupAlignment", "generalised_procrustes", "joint_embedding", "procrustes"]

Embedding: TypeAlias = Literal["diffusion_map", "laplacian_eigenmaps"]


class Alignment(NamedTuple):
    """Gradients turned onto a target, and how.

    Attributes
    ----------
    aligned : array, shape (..., region, component)
        `scale` times the source times `rotation`, moved to the target's mean if centred.
    rotation : array, shape (..., component, component)
        Orthogonal: it may swap components and change signs.
    scale : array, shape (...)
        1 if not asked for.
    """

    aligned: Float[Array, "... region component"]
    rotation: Float[Array, "... component component"]
    scale: Float[Array, "..."]


class GroupAlignment(NamedTuple):
    """Gradients of several subjects turned onto their mean.

    Attributes
    ----------
    aligned : array, shape (..., subject, region, component)
    rotations : array, shape (..., subject, component, component)
        Of the last iteration, from the gradients as they were given.
    reference : array, shape (..., region, component)
        The mean of the aligned gradients.
    change : array, shape (...)
        Norm by which the last iteration moved the reference, relative to its norm: whether it has converged.
    """

    aligned: Float[Array, "... subject region component"]
    rotations: Float[Array, "... subject component component"]
    reference: Float[Array, "... region component"]
    change: Float[Array, "..."]


def procrustes(
    source: Float[Tensor, "... region component"],
    target: Float[Tensor, "... region component"],
    *,
    centre: bool = False,
    scale: bool = False,
    check: bool = False,
) -> Alignment:
    """Return the gradients turned onto a target, with the least sum of squared differences.

    Parameters
    ----------
    source, target : array, shape (..., region, component)
        The same regions in the same order, as many components. Leading axes broadcast.
    centre : bool, default False
        Align what differs from the mean over regions, and move the result to the target's mean.
    scale : bool, default False
        Also stretch the source by the one factor that fits best.
    check : bool, default False
        Refuse NaN and infinity, also under ``jit``.

    Returns
    -------
    Alignment
        Where several rotations are best (a singular value of the cross-product is 0, as where the source is 0) it is
        one of them, and its derivative, which does not exist, is finite. The scale of a source that is 0 is 1.

    Raises
    ------
    ValueError
        If the shapes do not fit; with `check`, for the values.
    RuntimeError
        In place of ValueError where values are only known later, under ``jit``.

    See Also
    --------
    scipy.linalg.orthogonal_procrustes, brainspace.gradient.alignment.procrustes

    References
    ----------
    .. [1] Schönemann (1966). doi:10.1007/BF02289451
    .. [2] Langs, Golland and Ghosh (2015). doi:10.1007/978-3-319-24571-3_38

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> target = jnp.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])
    >>> aligned, rotation, _ = procrustes(-target[:, ::-1], target)
    >>> bool(jnp.allclose(aligned, target, atol=1e-6)), [round(float(entry), 3) for entry in rotation[0] + rotation[1]]
    (True, [-1.0, -1.0])
    """
    ours, theirs = _maps("source", source, check), _maps("target", target, check)
    if ours.shape[-2:] != theirs.shape[-2:]:
        raise ValueError(
            f"source and target must have the same regions and components, and have shapes {ours.shape} "
            f"and {theirs.shape}"
        )
    return _aligned(ours, theirs, centre, scale)


def generalised_procrustes(
    gradients: Float[Tensor, "... subject region component"],
    *,
    reference: Float[Tensor, "... region component"] | None = None,
    n_iterations: int = 10,
    centre: bool = False,
    scale: bool = False,
    check: bool = False,
) -> GroupAlignment:
    """Return the gradients of several subjects turned onto their mean, which is found by iteration.

    Every iteration turns all subjects onto the reference and makes their mean the next one.

    Parameters
    ----------
    gradients : array, shape (..., subject, region, component)
        The same regions in the same order.
    reference : array, shape (..., region, component), optional
        The first reference: for example gradients of the group's connectome, or of another study. By default the
        others are turned onto the first subject, and the mean is taken. One iteration keeps it as the only target.
    n_iterations : int, default 10
        The derivative goes through all of them.
    centre, scale : bool, default False
        As for `procrustes`.
    check : bool, default False
        Refuse NaN and infinity, also under ``jit``.

    Returns
    -------
    GroupAlignment
        The result depends on the first reference by one common rotation, and, where subjects differ much, by more:
        only a local optimum is found.

    Raises
    ------
    ValueError
        If the shapes do not fit, or `n_iterations` is not positive; with `check`, for the values.
    RuntimeError
        In place of ValueError where values are only known later, under ``jit``.

    See Also
    --------
    brainspace.gradient.ProcrustesAlignment : may stop before the last iteration.

    References
    ----------
    .. [1] Gower (1975). doi:10.1007/BF02291478
    .. [2] Langs, Golland and Ghosh (2015). doi:10.1007/978-3-319-24571-3_38

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> one = jnp.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])
    >>> group = generalised_procrustes(jnp.stack([one, -one, one[:, ::-1]]))
    >>> bool(jnp.allclose(group.aligned, one, atol=1e-6))
    True
    """
    if n_iterations < 1:
        raise ValueError(f"n_iterations must be at least 1, and is {n_iterations}")
    maps = _maps("gradients", gradients, check, "(..., subject, region, component)")
    if reference is None:
        first = maps[..., :1, :, :]
        others = _aligned(maps[..., 1:, :, :], first, centre, scale).aligned
        start = jnp.concatenate([first, others], axis=-3).mean(-3)
    else:
        start = _maps("reference", reference, check)
        if start.shape[-2:] != maps.shape[-2:]:
            raise ValueError(
                f"reference must have the regions and components of the gradients {maps.shape[-2:]}, and has shape "
                f"{start.shape}"
            )
        start = jnp.broadcast_to(start, (*jnp.broadcast_shapes(start.shape[:-2], maps.shape[:-3]), *start.shape[-2:]))
        start = start.astype(jnp.result_type(start, maps))

    def turn(target: Array, _: None) -> tuple[Array, Array]:
        return _aligned(maps, target[..., None, :, :], centre, scale).aligned.mean(-3), target

    last, targets = jax.lax.scan(turn, start, length=n_iterations)
    aligned, rotations, _ = _aligned(maps, targets[-1][..., None, :, :], centre, scale)
    moved, size = (jnp.square(part).sum((-2, -1)) for part in jax.lax.stop_gradient((last - targets[-1], last)))
    return GroupAlignment(aligned, rotations, last, jnp.sqrt(moved / jnp.where(size > 0, size, 1.0)))


def joint_embedding(
    profiles: Float[Tensor, "... subject region feature"],
    n_components: int = 10,
    *,
    embedding: Embedding = "diffusion_map",
    kernel: Kernel = "normalised_angle",
    sparsity: float | None = 0.9,
    gamma: float | None = None,
    check: bool = False,
) -> Gradients:
    """Return the gradients of several subjects, from one embedding of all their regions together.

    The affinity is taken between any two regions, of one subject or of two, so that regions alike in profile lie
    close whoever they belong to, and no alignment is needed.

    Parameters
    ----------
    profiles : array, shape (..., subject, region, feature)
        The features must mean the same in every subject.
    n_components : int, default 10
        At most subjects times regions, less 1.
    embedding : {"diffusion_map", "laplacian_eigenmaps"}, default "diffusion_map"
        With the settings that are its defaults.
    kernel, sparsity, gamma, check
        As for `affinity`, and `check` also as for the embedding.

    Returns
    -------
    Gradients
        Gradients of shape (..., subject, region, component), and the one set of eigenvalues that they share. Time grows
        with the third power of subjects times regions.

    Raises
    ------
    ValueError, RuntimeError
        If the embedding is unknown, or as `affinity`, `diffusion_map` and `laplacian_eigenmaps`.

    See Also
    --------
    brainspace.gradient.GradientMaps : with ``alignment="joint"``.

    References
    ----------
    .. [1] Nenning et al. (2020). doi:10.1016/j.neuroimage.2020.117232
    .. [2] Xu et al. (2020). doi:10.1016/j.neuroimage.2020.117346

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> subject = jnp.array([[1.0, 0.1, 0.0], [0.5, 0.5, 0.1], [0.0, 0.4, 1.0]])
    >>> both = joint_embedding(jnp.stack([subject, 2.0 * subject]), 1, sparsity=None)
    >>> both.gradients.shape, bool(jnp.allclose(both.gradients[0], both.gradients[1], atol=1e-5))
    ((2, 3, 1), True)
    """
    if embedding not in get_args(Embedding):
        raise ValueError(f"embedding must be one of {', '.join(get_args(Embedding))}, and is {embedding!r}")
    if kernel is None:
        raise ValueError("a joint embedding needs a kernel, which compares regions of two subjects, and it is None")
    axes = "(..., subject, region, feature)"
    rows = real_series(profiles, name="profiles", axes=axes)
    *lead, n_subjects, n_regions, n_features = rows.shape
    together = rows.reshape(*lead, n_subjects * n_regions, n_features)
    alike = affinity(together, kernel=kernel, sparsity=sparsity, gamma=gamma, check=check)
    embed = diffusion_map if embedding == "diffusion_map" else laplacian_eigenmaps
    found = embed(alike, n_components, check=check)
    return found._replace(gradients=found.gradients.reshape(*lead, n_subjects, n_regions, n_components))


def _maps(name: str, value: Tensor, check: bool, axes: str = "(..., region, component)") -> Array:
    maps = real_series(value, name=name, axes=axes)
    return _refuse(maps, ~jnp.isfinite(maps).all(), f"{name} holds NaN or infinity") if check else maps


def _aligned(source: Array, target: Array, centre: bool, scale: bool) -> Alignment:
    middle = target.mean(-2, keepdims=True) if centre else jnp.zeros((), target.dtype)
    if centre:
        source, target = source - source.mean(-2, keepdims=True), target - middle
    cross = jnp.swapaxes(source, -1, -2) @ target
    rotation = _polar(cross)
    factor = jnp.ones(cross.shape[:-2], cross.dtype)
    if scale:
        size = jnp.broadcast_to(jnp.square(source).sum((-2, -1)), factor.shape)
        factor = jnp.where(size > 0, (rotation * cross).sum((-2, -1)) / jnp.where(size > 0, size, 1.0), 1.0)
    return Alignment(factor[..., None, None] * (source @ rotation) + middle, rotation, factor)


@jax.custom_jvp
def _polar(matrix: Array) -> Array:
    """Return the orthogonal polar factor of square matrices."""
    left, _, right = jnp.linalg.svd(matrix)
    return left @ right


@_polar.defjvp
def _polar_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (matrix,), (direction,) = primals, tangents
    left, values, right = jnp.linalg.svd(matrix)
    inside = jnp.swapaxes(left, -1, -2) @ direction @ jnp.swapaxes(right, -1, -2)
    sums = values[..., :, None] + values[..., None, :]
    usable = sums > values.shape[-1] * jnp.finfo(values.dtype).eps * values[..., :1, None]
    turned = (inside - jnp.swapaxes(inside, -1, -2)) * jnp.where(usable, 1.0 / jnp.where(usable, sums, 1.0), 0.0)
    return left @ right, left @ turned @ right
