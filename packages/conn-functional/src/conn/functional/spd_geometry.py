r"""The space of SPD matrices: distances, means, tangent spaces and transport under six metrics.

With :math:`\|\cdot\|` the Frobenius norm, and :math:`\log`, :math:`A^{1/2}` functions of symmetric matrices:

- Euclidean: :math:`\|A - B\|`
- log-Euclidean: :math:`\|\log A - \log B\|`
- harmonic: :math:`\|A^{-1} - B^{-1}\|`
- geometric (affine-invariant): :math:`\|\log(A^{-1/2} B A^{-1/2})\|`
- Kullback (symmetrised divergence of two Gaussians): :math:`\tfrac12 \operatorname{tr}(A^{-1}B + B^{-1}A) - n`
- Bures-Wasserstein:
  :math:`(\operatorname{tr} A + \operatorname{tr} B - 2 \operatorname{tr} (A^{1/2} B A^{1/2})^{1/2})^{1/2}`
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional._moments import root_or_zero
from conn.functional.engine import PyTree, Tensor, _to_jax_array
from conn.functional.spd import (
    definite,
    divided_differences,
    spd_exp,
    spd_log,
    spd_power,
    spd_sqrt,
    symmetric_part,
    symmetrised,
    turned,
)

__all__ = ["cone_project", "parallel_transport", "spd_distance", "spd_mean", "tangent_project"]

Metric: TypeAlias = Literal["euclidean", "log-euclidean", "harmonic", "geometric", "kullback", "bures-wasserstein"]


def spd_distance(
    first: Float[Tensor, "... region region"],
    second: Float[Tensor, "... region region"],
    *,
    metric: Metric = "geometric",
    check: bool = False,
) -> Float[Array, "..."]:
    """Return the distance of two SPD matrices.

    Parameters
    ----------
    first, second : array, shape (..., region, region)
        SPD (the Euclidean metric takes any symmetric matrix). Leading axes broadcast.
    metric : {"geometric", "euclidean", "log-euclidean", "harmonic", "kullback", "bures-wasserstein"}
        Which of the module's six. "kullback" is the symmetrised divergence itself, which is no metric.
    check : bool, default False
        Refuse matrices that are not SPD, as `spd_log` does. Without it they give NaN.

    Returns
    -------
    array, shape (...)
        Not negative. The derivative at equal matrices, where there is none, is given as 0.

    Raises
    ------
    ValueError, RuntimeError
        If the sizes differ, the metric is unknown, or as `spd_log`.

    See Also
    --------
    pyriemann.geometry.distance

    References
    ----------
    .. [1] Pennec, Fillard and Ayache (2006). doi:10.1007/s11263-005-3222-z
    .. [2] Bhatia, Jain and Lim (2019). doi:10.1016/j.exmath.2018.01.002

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(spd_distance(jnp.eye(4), jnp.e * jnp.eye(4))), 5)
    2.0
    """
    _known(metric)
    ours, theirs = _checked(first, metric, check, "first"), _checked(second, metric, check, "second")
    if ours.shape[-1] != theirs.shape[-1]:
        raise ValueError(
            f"first and second must have as many regions, and have {ours.shape[-1]} and {theirs.shape[-1]}"
        )
    if metric == "euclidean":
        return _norm(ours - theirs)
    if metric == "log-euclidean":
        return _norm(spd_log(ours) - spd_log(theirs))
    if metric == "harmonic":
        return _norm(spd_power(ours, -1.0) - spd_power(theirs, -1.0))
    if metric == "geometric":
        return _norm(tangent_project(theirs, ours))
    if metric == "kullback":
        forth = _inner(spd_power(ours, -1.0), theirs)
        back = _inner(spd_power(theirs, -1.0), ours)
        return jnp.maximum((forth + back) / 2 - ours.shape[-1], 0.0)
    root = spd_sqrt(ours)
    between = spd_sqrt(symmetrised(root @ theirs @ root))
    return _root(jnp.maximum(_trace(ours) + _trace(theirs) - 2 * _trace(between), 0.0))


def spd_mean(
    matrices: Float[Tensor, "... matrix region region"],
    *,
    metric: Metric = "geometric",
    weight: Float[Tensor, "... matrix"] | None = None,
    tolerance: float = 1e-9,
    max_steps: int = 50,
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return the mean of SPD matrices.

    Parameters
    ----------
    matrices : array, shape (..., matrix, region, region)
        SPD, for example one covariance a scan.
    metric : {"geometric", "euclidean", "log-euclidean", "harmonic", "kullback", "bures-wasserstein"}
        What the mean minimises the squared distances of; for "kullback" the divergences.
    weight : array, shape (..., matrix), optional
        Not negative; divided by its sum.
    tolerance : float, default 1e-9
        Relative error allowed for the geometric and the Bures-Wasserstein mean. The iteration ends when its step,
        relative to the mean, is below the root of it, and a step of Newton's squares what is left.
    max_steps : int, default 50
        An iteration that has not ended by then gives NaN.
    check : bool, default False
        Refuse matrices that are not SPD, as `spd_log` does. Without it they give NaN.

    Returns
    -------
    array, shape (..., region, region)
        SPD. It is differentiable in the matrices and the weights; the derivatives of the two iterated means are those
        of the equation that they solve, not of the steps.

    Raises
    ------
    ValueError, RuntimeError
        If there is no matrix, the weights do not fit, the metric is unknown, or as `spd_log`.

    Notes
    -----
    The geometric mean :math:`M` solves :math:`\sum_i w_i \log(M^{-1/2} C_i M^{-1/2}) = 0`. The iteration starts from
    the log-Euclidean mean, and the length of its steps comes from the condition of the whitened matrices [2]_. The
    Kullback mean is the geometric mean of the arithmetic and the harmonic one [3]_. The Bures-Wasserstein mean solves
    :math:`M = \sum_i w_i (M^{1/2} C_i M^{1/2})^{1/2}` [4]_.

    References
    ----------
    .. [1] Moakher (2005). doi:10.1137/S0895479803436937
    .. [2] Bini and Iannazzo (2013). doi:10.1016/j.laa.2011.08.052
    .. [3] Moakher and Batchelor (2006). doi:10.1007/3-540-31272-2_17
    .. [4] Alvarez-Esteban et al. (2016). doi:10.1016/j.jmaa.2016.04.045

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> spd_mean(jnp.stack([jnp.eye(2), 4 * jnp.eye(2)])).round(3).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    _known(metric)
    stack = _checked(matrices, metric, check, "matrices")
    if stack.ndim < 3 or stack.shape[-3] == 0:
        raise ValueError(f"matrices must have shape (..., matrix, region, region), and has shape {stack.shape}")
    shares = _shares(weight, stack)
    if metric == "euclidean":
        return _average(shares, stack)
    if metric == "log-euclidean":
        return spd_exp(_average(shares, spd_log(stack)))
    if metric == "harmonic":
        return spd_power(_average(shares, spd_power(stack, -1.0)), -1.0)
    if metric == "kullback":
        arithmetic = _average(shares, stack)
        harmonic = spd_power(_average(shares, spd_power(stack, -1.0)), -1.0)
        root, whitener = spd_sqrt(arithmetic), spd_power(arithmetic, -0.5)
        return symmetrised(root @ spd_sqrt(symmetrised(whitener @ harmonic @ whitener)) @ root)
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, and is {max_steps}")
    limit = max(tolerance, 20 * float(jnp.finfo(stack.dtype).eps))
    implicit = _geometric_mean if metric == "geometric" else _bures_wasserstein_mean
    return implicit(stack, shares, limit, max_steps)


def tangent_project(
    matrix: Float[Tensor, "... region region"],
    reference: Float[Tensor, "... region region"],
    *,
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return SPD matrices as symmetric ones, :math:`\log(G^{-1/2} C G^{-1/2})`, in the tangent space at a reference.

    Parameters
    ----------
    matrix : array, shape (..., region, region)
        :math:`C`, SPD.
    reference : array, shape (..., region, region)
        :math:`G`, SPD: the point of tangency, for example `spd_mean` of the training set alone. Leading axes broadcast.
    check : bool, default False
        Refuse matrices that are not SPD, as `spd_log` does. Without it they give NaN.

    Returns
    -------
    array, shape (..., region, region)
        Symmetric and without unit; 0 where matrix and reference are equal. Its Frobenius norm is their geometric
        distance.

    Raises
    ------
    ValueError, RuntimeError
        If the sizes differ, or as `spd_log`.

    See Also
    --------
    cone_project : the way back.
    nilearn.connectome.ConnectivityMeasure : ``kind="tangent"`` gives the same.

    References
    ----------
    .. [1] Varoquaux et al. (2010). doi:10.1007/978-3-642-15705-9_25

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> bool(jnp.allclose(tangent_project(2 * jnp.eye(2), 2 * jnp.eye(2)), 0.0, atol=1e-6))
    True
    """
    point = definite(matrix, check=check)
    whitener = spd_power(definite(reference, name="reference", check=check), -0.5)
    _same_size(point, whitener)
    return spd_log(symmetrised(whitener @ point @ whitener))


def cone_project(
    tangent: Float[Tensor, "... region region"],
    reference: Float[Tensor, "... region region"],
    *,
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return the SPD matrices of tangents, :math:`G^{1/2} \exp(T) G^{1/2}`: the inverse of `tangent_project`.

    Parameters
    ----------
    tangent : array, shape (..., region, region)
        :math:`T`, symmetric, as from `tangent_project`.
    reference : array, shape (..., region, region)
        :math:`G`, SPD: the point of tangency.
    check : bool, default False
        Refuse a tangent that is not symmetric and a reference that is not SPD.

    Returns
    -------
    array, shape (..., region, region)
        SPD.

    Raises
    ------
    ValueError, RuntimeError
        If the sizes differ, or as `spd_log`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> matrix, reference = jnp.array([[2.0, 1.0], [1.0, 2.0]]), jnp.diag(jnp.array([1.0, 3.0]))
    >>> bool(jnp.allclose(cone_project(tangent_project(matrix, reference), reference), matrix, atol=1e-5))
    True
    """
    direction = symmetric_part(tangent, name="tangent", check=check)
    root = spd_sqrt(definite(reference, name="reference", check=check))
    _same_size(direction, root)
    return symmetrised(root @ spd_exp(direction) @ root)


def parallel_transport(
    tangent: Float[Tensor, "... region region"],
    source: Float[Tensor, "... region region"],
    target: Float[Tensor, "... region region"],
    *,
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return tangent vectors at one SPD matrix, carried along the geodesic to another.

    :math:`E S E'` with :math:`E = (Q P^{-1})^{1/2}` carries :math:`S` from :math:`P` to :math:`Q` without changing
    lengths or angles of the affine-invariant metric: sessions or sites can so be brought to one reference.

    Parameters
    ----------
    tangent : array, shape (..., region, region)
        :math:`S`, symmetric, in the coordinates of the matrices themselves (not whitened, as `tangent_project` gives).
    source, target : array, shape (..., region, region)
        :math:`P` and :math:`Q`, SPD.
    check : bool, default False
        Refuse matrices that are not symmetric, or SPD.

    Returns
    -------
    array, shape (..., region, region)
        Symmetric. An SPD matrix is carried to an SPD matrix, the source itself to the target.

    Raises
    ------
    ValueError, RuntimeError
        If the sizes differ, or as `spd_log`.

    References
    ----------
    .. [1] Yair, Ben-Chen and Talmon (2019). doi:10.1109/TSP.2019.2894801

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> parallel_transport(jnp.eye(2), jnp.eye(2), 3 * jnp.eye(2)).round(4).tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """
    vector = symmetric_part(tangent, name="tangent", check=check)
    begin = definite(source, name="source", check=check)
    end = definite(target, name="target", check=check)
    _same_size(vector, begin)
    _same_size(vector, end)
    root, whitener = spd_sqrt(begin), spd_power(begin, -0.5)
    carrier = root @ spd_sqrt(symmetrised(whitener @ end @ whitener)) @ whitener
    return symmetrised(carrier @ vector @ jnp.swapaxes(carrier, -1, -2))


def _geometric_mean(stack: Array, shares: Array, limit: float, max_steps: int) -> Array:
    r"""Return the Karcher mean: found nearly by iteration, then by one step of Newton's, whose derivative is exact.

    The step solves :math:`H X = \sum_i w_i \log W_i` with the matrices :math:`W_i` whitened by the nearly found mean;
    it squares what error is left, and with :math:`H` held constant its derivative is that of the equation.
    """
    fixed, fixed_shares = jax.lax.stop_gradient((stack, shares))
    near = _karcher(fixed, fixed_shares, limit**0.5, max_steps)
    root, whitener = _roots(near)
    values, vectors = jnp.linalg.eigh(_between(whitener, fixed), symmetrize_input=False)
    curvature = (values[..., :, None] + values[..., None, :]) / 2 * divided_differences(("log", 0.0), values)

    def hessian(step: Array) -> Array:
        return _average(fixed_shares, turned(vectors, curvature, step[..., None, :, :]))

    pull = _average(shares, spd_log(_between(whitener, stack)))
    step, _ = jax.scipy.sparse.linalg.cg(hessian, pull, tol=limit**0.5 / 10, maxiter=max_steps)
    return symmetrised(root @ spd_exp(symmetrised(step)) @ root)


def _karcher(stack: Array, shares: Array, limit: float, max_steps: int) -> Array:
    """Return the matrix at which the mean logarithm of the whitened matrices is below the limit, or NaN."""

    def refine(mean: Array, memory: tuple[Array, Array]) -> tuple[Array, Array, tuple[Array, Array]]:
        last, length = memory
        root, whitener = _roots(mean)
        values, vectors = jnp.linalg.eigh(_between(whitener, stack), symmetrize_input=False)
        logs = jnp.log(values)
        pull = symmetrised(_average(shares, (vectors * logs[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)))
        # The curvature of each term lies between 1 and a bound, which gives a length that is safe; what the last step
        # did to the pull tells how much longer this one may be.
        spread = (logs[..., -1] - logs[..., 0]) / 2
        bound = jnp.where(spread > 1e-3, spread / jnp.tanh(jnp.maximum(spread, 1e-3)), 1.0)
        safe = 2 / (1 + (shares * bound).sum(-1))
        lost = _inner(last, last - pull)
        seen = length * _inner(last, last) / jnp.where(lost > 0, lost, 1.0)
        length = jnp.where(lost > 0, jnp.clip(seen, safe, 1.0), safe)
        moved = symmetrised(root @ spd_exp(length[..., None, None] * pull) @ root)
        return moved, jnp.sqrt(_inner(pull, pull) / pull.shape[-1]), (pull, length)

    start = spd_exp(_average(shares, spd_log(stack)))
    memory = jnp.zeros_like(start), jnp.ones(start.shape[:-2], start.dtype)
    return _iterated(refine, start, memory, limit, max_steps)


def _bures_wasserstein_mean(stack: Array, shares: Array, limit: float, max_steps: int) -> Array:
    """Return the Wasserstein barycentre of centred Gaussians, found as `_geometric_mean` finds its mean."""
    fixed, fixed_shares = jax.lax.stop_gradient((stack, shares))

    def middle(mean: Array, matrices: Array, weights: Array) -> Array:
        return _average(weights, spd_sqrt(_between(spd_sqrt(mean), matrices)))

    def refine(mean: Array, memory: tuple[()]) -> tuple[Array, Array, tuple[()]]:
        inner, whitener = middle(mean, fixed, fixed_shares), spd_power(mean, -0.5)
        moved = symmetrised(whitener @ inner @ inner @ whitener)
        change = moved - mean
        return moved, jnp.sqrt(_inner(change, change) / _inner(mean, mean)), memory

    near = _iterated(refine, _average(fixed_shares, fixed), (), limit**0.5, max_steps)
    own_values, own_vectors = jnp.linalg.eigh(near, symmetrize_input=False)
    own_quotients = divided_differences(("power", 0.5), own_values)
    root = spd_sqrt(near)
    values, vectors = jnp.linalg.eigh(_between(root, fixed), symmetrize_input=False)
    quotients = divided_differences(("power", 0.5), values)
    carried = fixed @ root[..., None, :, :]

    def linear(step: Array) -> Array:
        of_root = turned(own_vectors, own_quotients, step)[..., None, :, :] @ carried
        return symmetrised(step) - _average(fixed_shares, turned(vectors, quotients, 2 * of_root))

    wanted = middle(near, stack, shares) - near
    step, _ = jax.scipy.sparse.linalg.bicgstab(linear, wanted, tol=limit**0.5 / 10, maxiter=max_steps)
    return symmetrised(near + step)


def _iterated(
    refine: Callable[[Array, PyTree], tuple[Array, Array, PyTree]],
    start: Array,
    memory: PyTree,
    limit: float,
    max_steps: int,
) -> Float[Array, "... region region"]:
    """Return what refinement ends in, or NaN where it has not ended."""

    def unfinished(state: tuple[Array, Array, PyTree, Array]) -> Array:
        _, size, _, steps = state
        return (steps < max_steps) & (size > limit).any()

    def advance(state: tuple[Array, Array, PyTree, Array]) -> tuple[Array, Array, PyTree, Array]:
        mean, _, remembered, steps = state
        return *refine(mean, remembered), steps + 1

    far = jnp.full(start.shape[:-2], jnp.inf, start.dtype)
    mean, size, _, _ = jax.lax.while_loop(unfinished, advance, (start, far, memory, jnp.array(0)))
    return jnp.where((size <= limit)[..., None, None], mean, jnp.nan)


def _roots(matrix: Array) -> tuple[Array, Array]:
    """Return the square root and its inverse."""
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    root, inverse = (
        symmetrised((vectors * scale[..., None, :]) @ jnp.swapaxes(vectors, -1, -2))
        for scale in (jnp.sqrt(values), 1 / jnp.sqrt(values))
    )
    return root, inverse


def _between(outer: Array, stack: Array) -> Array:
    """Return each matrix multiplied from both sides by one that is shared."""
    return symmetrised(outer[..., None, :, :] @ stack @ outer[..., None, :, :])


def _average(shares: Array, stack: Array) -> Array:
    return (shares[..., None, None] * stack).sum(-3)


def _shares(weight: Tensor | None, stack: Array) -> Array:
    if weight is None:
        return jnp.full(stack.shape[:-2], 1 / stack.shape[-3], stack.dtype)
    weights = _to_jax_array(weight).astype(stack.dtype)
    if weights.ndim == 0 or weights.shape[-1] != stack.shape[-3]:
        raise ValueError(
            f"weight must have one value for each of the {stack.shape[-3]} matrices, and has shape {weights.shape}"
        )
    return weights / weights.sum(-1, keepdims=True)


def _checked(matrix: Tensor, metric: Metric, check: bool, name: str) -> Array:
    return (symmetric_part if metric == "euclidean" else definite)(matrix, name=name, check=check)


def _same_size(first: Array, second: Array) -> None:
    if first.shape[-1] != second.shape[-1]:
        raise ValueError(f"all matrices must have as many regions, and have {first.shape[-1]} and {second.shape[-1]}")


def _known(metric: str) -> None:
    if metric not in get_args(Metric):
        raise ValueError(f"metric must be one of {', '.join(get_args(Metric))}, and is {metric!r}")


def _norm(matrix: Array) -> Array:
    return _root(jnp.square(matrix).sum((-2, -1)))


def _root(square: Array) -> Array:
    """Return the root, with derivative 0 at 0, and NaN for NaN."""
    return jnp.where(jnp.isnan(square), jnp.nan, root_or_zero(square))


def _inner(first: Array, second: Array) -> Array:
    return (first * second).sum((-2, -1))


_trace = partial(jnp.trace, axis1=-2, axis2=-1)
