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
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional._inverse import symmetric_inverse
from conn.functional._moments import root_or_zero
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.spd import (
    composed,
    definite,
    divided_differences,
    same_size,
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
    same_size(first=ours, second=theirs)
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
    tolerance: float = 1e-8,
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
    tolerance : float, default 1e-8
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
    the Kullback mean, with steps whose length comes from the eigenvalues of the whitened matrices [2]_, in single
    precision as far as that goes (where single precision cannot, from the arithmetic mean in double precision). The
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
        return _halfway(_average(shares, stack), spd_power(_average(shares, spd_power(stack, -1.0)), -1.0))
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
    same_size(matrix=point, reference=whitener)
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
    same_size(tangent=direction, reference=root)
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
    same_size(tangent=vector, source=begin, target=end)
    root, whitener = spd_sqrt(begin), spd_power(begin, -0.5)
    carrier = root @ spd_sqrt(symmetrised(whitener @ end @ whitener)) @ whitener
    return symmetrised(carrier @ vector @ jnp.swapaxes(carrier, -1, -2))


class _Pull(NamedTuple):
    """Where an iteration of the geometric mean stands, and what drives it on."""

    mean: Float[Array, "... region region"]
    values: Float[Array, "... matrix region"]
    """Of the matrices whitened by the mean."""
    vectors: Float[Array, "... matrix region region"]
    log: Float[Array, "... region region"]
    """The mean logarithm of the whitened matrices, which is 0 at the geometric mean."""
    length: Float[Array, "..."]
    """Of the next step, as a share of that logarithm."""

    @property
    def size(self) -> Float[Array, "..."]:
        return jnp.sqrt(_inner(self.log, self.log) / self.log.shape[-1])


def _geometric_mean(stack: Array, shares: Array, limit: float, max_steps: int) -> Array:
    r"""Return the Karcher mean: found nearly by iteration, then by one step of Newton's, whose derivative is exact.

    The step solves :math:`H X = \sum_i w_i \log W_i` with the matrices :math:`W_i` whitened by the nearly found mean;
    it squares what error is left, and with :math:`H` held constant its derivative is that of the equation. Single
    precision suffices for the step, itself small: only the logarithm must be right.
    """
    near = _karcher(*jax.lax.stop_gradient((stack, shares)), limit**0.5, max_steps)
    root, whitener = _roots(near.mean)
    pull = _known_pull(near.log, shares, _between(whitener, stack), near.values, near.vectors)
    weights = jax.lax.stop_gradient(shares)
    step = _newton(_single(pull), *map(_single, (weights, near.values, near.vectors)), limit, max_steps)
    return symmetrised(root @ spd_exp(symmetrised(step).astype(root.dtype)) @ root)


@partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def _newton(pull: Array, shares: Array, values: Array, vectors: Array, limit: float, max_steps: int) -> Array:
    """Return the step whose image under the curvature of all whitened matrices together is the pull.

    It is as exact as the mean must be, which a small pull makes easy; the derivative has a precision of its own.
    """
    size = jnp.sqrt(_inner(pull, pull) / pull.shape[-1]).max()
    return _solved(pull, shares, values, vectors, jnp.clip(limit / size, 1e-5, 0.1), max_steps)


@_newton.defjvp
def _newton_jvp(
    limit: float, max_steps: int, primals: tuple[Array, ...], tangents: tuple[Array, ...]
) -> tuple[Array, Array]:
    pull, shares, values, vectors = primals
    step = _newton(pull, shares, values, vectors, limit, max_steps)
    return step, _solved(tangents[0], shares, values, vectors, 1e-5, max_steps)


def _solved(pull: Array, shares: Array, values: Array, vectors: Array, tolerance: Any, max_steps: int) -> Array:
    curvature = _curvature(values)

    def hessian(step: Array) -> Array:
        return _summed(lambda q, quotients: turned(q, quotients, step), shares, vectors, curvature)

    # The curvature of a pair of eigenvalues is about the sum of two numbers, one an eigenvalue: in the eigenvectors of
    # the mean matrix of these the whole is about diagonal.
    single = curvature.mean(-1)
    halves = single - single.mean(-1, keepdims=True) / 2
    sizes, axes = jnp.linalg.eigh(_summed(composed, shares, vectors, halves), symmetrize_input=False)
    likely = 1 / jnp.maximum(sizes[..., :, None] + sizes[..., None, :], 1.0)
    precondition = partial(turned, axes, likely)

    def solve(operator: Callable[[Array], Array], wanted: Array) -> Array:
        start = precondition(wanted)
        return jax.scipy.sparse.linalg.cg(operator, wanted, start, tol=tolerance, maxiter=max_steps, M=precondition)[0]

    return jax.lax.custom_linear_solve(hessian, pull, solve, symmetric=True)


def _summed(term: Callable[..., Array], shares: Array, *parts: Array) -> Array:
    """Return the weighted sum of a function of each matrix, one after the other, which is faster than all at once."""
    moved = [jnp.moveaxis(part, shares.ndim - 1, 0) for part in (shares, *parts)]
    like = jax.eval_shape(term, *[part[0] for part in moved[1:]])

    def add(total: Array, terms: list[Array]) -> tuple[Array, None]:
        weight, *others = terms
        return total + weight[..., None, None] * term(*others), None

    return jax.lax.scan(add, jnp.zeros(like.shape, like.dtype), moved)[0]


def _karcher(stack: Array, shares: Array, limit: float, max_steps: int) -> _Pull:
    """Return where the mean logarithm of the whitened matrices is below the limit, or NaN.

    In double precision the start is the mean in single precision, where there is one. In single precision it is the
    Kullback mean; the first step is as long as the mean curvature allows, the others as long as what the last one did
    to the logarithm allows (Barzilai & Borwein), and no shorter than what is safe whatever the start.
    """

    def pulled(mean: Array, last: Array | None = None, length: Array | None = None) -> _Pull:
        values, vectors = jnp.linalg.eigh(_between(_roots(mean)[1], stack), symmetrize_input=False)
        logs = jnp.log(values)
        log = _summed(composed, shares, vectors, logs)
        if last is None or length is None:
            return _Pull(mean, values, vectors, log, 1 / (shares * _curvature(_single(values)).mean((-2, -1))).sum(-1))
        # The curvature of each term lies between 1 and a bound, which gives a length that is safe.
        spread = (logs[..., -1] - logs[..., 0]) / 2
        bound = jnp.where(spread > 1e-3, spread / jnp.tanh(jnp.maximum(spread, 1e-3)), 1.0)
        safe = 2 / (1 + (shares * bound).sum(-1))
        lost = _inner(last, last - log)
        seen = length * _inner(last, last) / jnp.where(lost > 0, lost, 1.0)
        return _Pull(mean, values, vectors, log, jnp.where(lost > 0, jnp.clip(seen, safe, 1.0), safe))

    def advance(state: tuple[_Pull, Array]) -> tuple[_Pull, Array]:
        at, steps = state
        root, _ = _roots(at.mean)
        moved = symmetrised(root @ spd_exp(at.length[..., None, None] * at.log) @ root)
        return pulled(moved, at.log, at.length), steps + 1

    def unfinished(state: tuple[_Pull, Array]) -> Array:
        at, steps = state
        return (steps < max_steps) & (at.size > limit).any()

    arithmetic = _average(shares, stack)
    if stack.dtype == jnp.float64:
        rough = _geometric_mean(_single(stack), _single(shares), limit, max_steps).astype(stack.dtype)
    else:
        rough = _halfway(arithmetic, symmetric_inverse(_average(shares, symmetric_inverse(stack))))
    start = jnp.where(jnp.isfinite(rough).all((-2, -1), keepdims=True), rough, arithmetic)
    found, _ = jax.lax.while_loop(unfinished, advance, (pulled(start), jnp.array(0)))
    return found._replace(mean=jnp.where((found.size <= limit)[..., None, None], found.mean, jnp.nan))


def _single(values: Array) -> Array:
    return values.astype(jnp.float32)


def _curvature(values: Array) -> Array:
    """Return, for pairs of eigenvalues of a whitened matrix, how its logarithm answers to a step of the mean."""
    return (values[..., :, None] + values[..., None, :]) / 2 * divided_differences(("log", 0.0), values)


@jax.custom_jvp
def _known_pull(log: Array, shares: Array, stack: Array, values: Array, vectors: Array) -> Array:
    """Return the mean logarithm of matrices, which is known as their eigenvalues and eigenvectors are."""
    return log


@_known_pull.defjvp
def _known_pull_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    log, shares, _, values, vectors = primals
    _, by_share, by_matrix, _, _ = tangents
    of_matrices = turned(vectors, divided_differences(("log", 0.0), values), by_matrix)
    return log, _average(shares, of_matrices) + _average(by_share, composed(vectors, jnp.log(values)))


def _halfway(first: Array, second: Array) -> Array:
    """Return the geometric mean of two SPD matrices, which is known in closed form."""
    root, whitener = spd_sqrt(first), spd_power(first, -0.5)
    return symmetrised(root @ spd_sqrt(symmetrised(whitener @ second @ whitener)) @ root)


def _bures_wasserstein_mean(stack: Array, shares: Array, limit: float, max_steps: int) -> Array:
    """Return the Wasserstein barycentre of centred Gaussians, found as `_geometric_mean` finds its mean."""
    fixed, fixed_shares = jax.lax.stop_gradient((stack, shares))

    def middle(mean: Array, matrices: Array, weights: Array) -> Array:
        return _average(weights, spd_sqrt(_between(spd_sqrt(mean), matrices)))

    def advance(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        mean, _, steps = state
        inner, whitener = middle(mean, fixed, fixed_shares), spd_power(mean, -0.5)
        moved = symmetrised(whitener @ inner @ inner @ whitener)
        change = moved - mean
        return moved, jnp.sqrt(_inner(change, change) / _inner(mean, mean)), steps + 1

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        _, size, steps = state
        return (steps < max_steps) & (size > limit**0.5).any()

    start = _average(fixed_shares, fixed)
    far = jnp.full(start.shape[:-2], jnp.inf, start.dtype)
    near, size, _ = jax.lax.while_loop(unfinished, advance, (start, far, jnp.array(0)))
    near = jnp.where((size <= limit**0.5)[..., None, None], near, jnp.nan)
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


def _roots(matrix: Array) -> tuple[Array, Array]:
    """Return the square root and its inverse."""
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    root, inverse = (symmetrised(composed(vectors, scale)) for scale in (jnp.sqrt(values), 1 / jnp.sqrt(values)))
    return root, inverse


def _between(outer: Array, stack: Array) -> Array:
    """Return each matrix multiplied from both sides by one that is shared."""
    return symmetrised(outer[..., None, :, :] @ stack @ outer[..., None, :, :])


def _average(shares: Array, stack: Array) -> Array:
    """Return the weighted mean; XLA must not merge the sum with a product before it, which takes four times as long."""
    return (shares[..., None, None] * jax.lax.optimization_barrier(stack)).sum(-3)


def _shares(weight: Tensor | None, stack: Array) -> Array:
    if weight is None:
        return jnp.full(stack.shape[:-2], 1 / stack.shape[-3], stack.dtype)
    weights = _to_jax_array(weight).astype(stack.dtype)
    if weights.ndim == 0 or weights.shape[-1] != stack.shape[-3]:
        raise ValueError(
            f"weight must have one value for each of the {stack.shape[-3]} matrices, and has shape {weights.shape}"
        )
    lead = jnp.broadcast_shapes(weights.shape[:-1], stack.shape[:-3])
    return jnp.broadcast_to(weights / weights.sum(-1, keepdims=True), (*lead, stack.shape[-3]))


def _checked(matrix: Tensor, metric: Metric, check: bool, name: str) -> Array:
    return (symmetric_part if metric == "euclidean" else definite)(matrix, name=name, check=check)


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
