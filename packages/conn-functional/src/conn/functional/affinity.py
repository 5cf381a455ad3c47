"""How alike the connectivity profiles of regions are: the kernels that gradients are made from."""

from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
from jax.scipy.stats import rankdata
from jaxtyping import Array, Bool, Float

from conn.functional._inputs import real_series
from conn.functional._moments import reciprocal_root
from conn.functional.covariance import corr
from conn.functional.engine import Tensor
from conn.functional.spd import _refuse, symmetrised

__all__ = ["affinity"]

Kernel: TypeAlias = Literal["normalised_angle", "cosine", "pearson", "spearman", "gaussian"]


def affinity(
    profiles: Float[Tensor, "... region feature"],
    *,
    kernel: Kernel | None = "normalised_angle",
    sparsity: float | None = 0.9,
    gamma: float | None = None,
    non_negative: bool = True,
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return how alike the profiles of every two regions are.

    Of every profile only the largest entries are kept, the others become 0. Then, for two profiles :math:`x, y`:

    - "cosine": :math:`c = x'y / (\|x\| \|y\|)`
    - "normalised_angle": :math:`1 - \arccos(c) / \pi`
    - "pearson": the correlation of :math:`x` and :math:`y`; "spearman": that of their ranks, ties sharing their mean
    - "gaussian": :math:`\exp(-\gamma \|x - y\|^2)`

    Parameters
    ----------
    profiles : array, shape (..., region, feature)
        Often the rows of a connectome.
    kernel : {"normalised_angle", "cosine", "pearson", "spearman", "gaussian"} or None, default "normalised_angle"
        None takes the profiles themselves, which must then be a square matrix, and returns their symmetric part.
    sparsity : float or None, default 0.9
        The fraction of each profile, of its smallest entries, that becomes 0; in [0, 1). The number kept is rounded
        to the nearest, and at least 1. Of equal entries the first are kept. None or 0 keeps all.
    gamma : float, optional
        Of the Gaussian kernel, in one over the squared unit of the profiles; by default 1 / number of features, which
        presumes profiles of about unit spread.
    non_negative : bool, default True
        Set negative affinities to 0, as the embeddings need.
    check : bool, default False
        Refuse NaN, infinity and, unless the kernel is "gaussian" or None, profiles without a direction, also under
        ``jit``.

    Returns
    -------
    array, shape (..., region, region)
        Symmetric. A profile without a direction (all zeros; for the correlations, constant) has the affinity 0 with
        every region and with itself: such a region is isolated. NaN spreads to its region's row and column.
        Which entries are kept counts as constant in the derivative, and so do ranks. The normalised angle of parallel
        profiles (to rounding) is 1, or 0 if they are opposite, and its derivative there, where there is none, 0.

    Raises
    ------
    ValueError
        If the kernel is unknown, a setting is out of its range, or the shape does not fit; with `check`, for the
        values.
    RuntimeError
        In place of ValueError where values are only known later, under ``jit``.

    See Also
    --------
    brainspace.gradient.compute_affinity : truncates the number of kept entries, so that of 400 it keeps 39 by
        default, not 40 (ours does with a sparsity of 0.9025); gives an all-zero profile the normalised angle 0.5 with
        every region.

    References
    ----------
    .. [1] Margulies et al. (2016). doi:10.1073/pnas.1608282113
    .. [2] Vos de Wael et al. (2020). doi:10.1038/s42003-020-0794-7

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> affinity(jnp.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]), sparsity=None).tolist()
    [[1.0, 0.5, 1.0], [0.5, 1.0, 0.5], [1.0, 0.5, 1.0]]
    """
    rows = real_series(profiles, name="profiles", axes="(..., region, feature)")
    _settings(kernel, sparsity, gamma, rows)
    if check:
        rows = _refuse(rows, ~jnp.isfinite(rows).all(), "profiles holds NaN or infinity: leave such regions out")
    rows = _largest(rows, 0.0 if sparsity is None else sparsity)
    if kernel is None:
        found = symmetrised(rows)
    elif kernel == "gaussian":
        found = _gaussian(rows, 1.0 / rows.shape[-1] if gamma is None else gamma)
    elif kernel in ("pearson", "spearman"):
        ranked = rankdata(rows, axis=-1).astype(rows.dtype) if kernel == "spearman" else rows
        found = corr(jnp.where(jnp.isnan(rows), rows, ranked))
    else:
        found = _cosine(rows)
        if kernel == "normalised_angle":
            directed = jnp.diagonal(found, axis1=-2, axis2=-1) != 0  # NaN has one
            found = jnp.where(_both(directed), _angle(found), 0.0)
    if check and kernel not in (None, "gaussian"):
        without = jnp.diagonal(found, axis1=-2, axis2=-1) == 0
        message = "profiles holds rows without a direction (all zeros, or constant): leave such regions out"
        found = _refuse(found, without.any(), message)
    return jax.nn.relu(found) if non_negative else found


def _settings(kernel: str | None, sparsity: float | None, gamma: float | None, rows: Array) -> None:
    if kernel is not None and kernel not in get_args(Kernel):
        raise ValueError(f"kernel must be one of {', '.join(get_args(Kernel))} or None, and is {kernel!r}")
    if kernel is None and rows.shape[-1] != rows.shape[-2]:
        raise ValueError(f"without a kernel the profiles must be a square matrix, and have shape {rows.shape}")
    if sparsity is not None and not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must be at least 0 and below 1, and is {sparsity}")
    if gamma is not None and kernel != "gaussian":
        raise ValueError(f"gamma belongs to the Gaussian kernel, and the kernel is {kernel!r}")
    if gamma is not None and not gamma > 0:
        raise ValueError(f"gamma must be above 0, and is {gamma}")


def _largest(rows: Array, sparsity: float) -> Array:
    """Return the rows with all but their largest entries set to 0."""
    n_kept = max(1, round(rows.shape[-1] * (1 - sparsity)))
    if n_kept == rows.shape[-1]:
        return rows
    _, places = jax.lax.top_k(jax.lax.stop_gradient(rows), n_kept)
    kept = jnp.put_along_axis(jnp.zeros(rows.shape, bool), places, True, axis=-1, inplace=False)
    return jnp.where(kept, rows, 0.0)


def _cosine(rows: Array) -> Array:
    """Return the cosines; of rows of zeros 0, of any other row with itself exactly 1."""
    squares = jnp.square(rows).sum(-1)
    directed = squares != 0
    directions = rows * reciprocal_root(squares, directed)[..., None]
    own = jnp.eye(rows.shape[-2], dtype=bool) & (squares > 0)[..., None]
    return jnp.where(own, 1.0, directions @ jnp.swapaxes(directions, -1, -2))


def _angle(cosines: Array) -> Array:
    """Return 1 at the angle 0 and 0 at the angle of 180 degrees."""
    parallel = 1 - jnp.abs(cosines) <= 8 * jnp.finfo(cosines.dtype).eps
    safe = jnp.where(parallel, 0.0, cosines)
    return jnp.where(parallel, (cosines > 0).astype(cosines.dtype), 1.0 - jnp.arccos(safe) / jnp.pi)


def _gaussian(rows: Array, gamma: float) -> Array:
    rows = rows - rows.mean(-2, keepdims=True)  # distances stay, and lose fewer digits below
    squares = jnp.square(rows).sum(-1)
    distances = squares[..., :, None] + squares[..., None, :] - 2 * rows @ jnp.swapaxes(rows, -1, -2)
    itself = jnp.eye(rows.shape[-2], dtype=bool) & jnp.isfinite(squares)[..., None]
    return jnp.exp(-gamma * jnp.where(itself | (distances < 0), 0.0, distances))


def _both(regions: Bool[Array, "... region"]) -> Bool[Array, "... region region"]:
    return regions[..., :, None] & regions[..., None, :]
