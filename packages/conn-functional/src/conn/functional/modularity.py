r"""Community structure of weighted graphs: modularity matrices and their null models, co-affiliation, modularity.

With :math:`k_i = \sum_j a_{ij}` and :math:`2m = \sum_{ij} a_{ij}`, Newman's modularity of a partition with
affiliations :math:`q_{ic}` is :math:`Q = \frac{1}{2m} \sum_{ij} (a_{ij} - \gamma k_i k_j / 2m) \sum_c q_{ic} q_{jc}`.
Soft affiliations relax it; for hard ones it is Newman's number.

Which null model for which graph: the configuration model (`girvan_newman_null`) and the constant Potts model
(`constant_potts_null`) expect something of non-negative weights; a correlation matrix has negative entries and an
expectation of its own (`correlation_null`). Split it by sign (``sign="both"``) or take the null made for it; its
signed sum may be anything, and nothing here divides by it.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.graph import _graph, _part, _reciprocal, _square

__all__ = [
    "coaffiliation",
    "constant_potts_null",
    "correlation_null",
    "girvan_newman_null",
    "modularity_matrix",
    "multilayer_modularity",
    "relaxed_modularity",
]

Sign = Literal["+", "-", "both"]


def girvan_newman_null(
    adjacency: Float[Tensor, "... region region"],
    *,
    check: bool = False,
) -> Float[Array, "... region region"]:
    """Return the weights expected under the configuration model, :math:`k_i k_j / 2m`.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights, not negative. For a directed graph the in-strengths of the rows meet the out-strengths of the columns.
    check : bool, default False
        Refuse NaN, infinity and negative weights by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., target, source)
        With the row and column sums of `adjacency`. An empty graph gives zeros, with finite gradients.

    Raises
    ------
    ValueError
        If the matrix is not square.

    References
    ----------
    .. [1] Newman & Girvan (2004). doi:10.1103/PhysRevE.69.026113

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> girvan_newman_null(jnp.array([[0.0, 2.0], [2.0, 0.0]])).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    matrix = _graph("adjacency", adjacency, check=check, signed=False)
    total = matrix.sum((-2, -1), keepdims=True)
    # As a product of matrices, whose derivative is two of them with a vector: that of a product of elements broadcasts.
    return jnp.matmul(
        matrix.sum(-1, keepdims=True) * _reciprocal(total), matrix.sum(-2, keepdims=True), precision="highest"
    )


def constant_potts_null(
    adjacency: Float[Tensor, "... region region"],
) -> Float[Array, "... region region"]:
    """Return the weights expected under the constant Potts model: 1 for every pair, itself included.

    The resolution `gamma` is then the weight that a pair inside a community must exceed. Nothing is divided by a total
    weight, so that signed weights are as good as others, and a community does not depend on the rest of the graph.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights of either sign; only the shape and the dtype matter.

    Returns
    -------
    array, shape (..., target, source)

    Raises
    ------
    ValueError
        If the matrix is not square.

    References
    ----------
    .. [1] Traag, Van Dooren & Nesterov (2011). doi:10.1103/PhysRevE.84.016114

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> constant_potts_null(jnp.array([[0.0, 2.0], [2.0, 0.0]])).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    return jnp.ones_like(_square("adjacency", adjacency))


def correlation_null(
    correlation: Float[Tensor, "... region region"],
    *,
    n_frames: float | Array,
    global_mode: bool = True,
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return the correlations expected of independent series, with or without a signal common to all regions.

    The eigenvalues of a correlation matrix of :math:`n` independent series of :math:`t` frames lie below
    :math:`(1 + \sqrt{n/t})^2` (Marchenko and Pastur). What lies below is kept as noise; of the rest, the leading
    component is kept as well where it is a mode common to all regions. What remains, ``correlation - null``, is the
    group structure. This null is made for signed correlations: use ``modularity_matrix(..., sign=None)`` with it.

    Parameters
    ----------
    correlation : array, shape (..., region, region)
        Symmetric, with ones on its diagonal.
    n_frames : float or array of shape (...)
        The number of independent frames; of an autocorrelated series the effective degrees of freedom.
    global_mode : bool, default True
        Whether the leading eigenvector is part of the null (both are in [1]_).
    check : bool, default False
        Refuse NaN, infinity and a matrix that is not symmetric by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., region, region)
        Differentiable where no eigenvalue lies at the edge and the leading one is simple; at repeated eigenvalues
        within the noise, or within the structure, the derivative is exact and finite.

    Raises
    ------
    ValueError
        If the matrix is not square.

    References
    ----------
    .. [1] MacMahon & Garlaschelli (2015), Community detection for correlation matrices.
       doi:10.1103/PhysRevX.5.021006

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> correlation_null(jnp.eye(3), n_frames=100, global_mode=False).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    matrix = _graph("correlation", correlation, check=check, symmetric=True)
    edge = _noise_edge(matrix.shape[-1], n_frames, matrix.dtype)
    structure = _structure_projector(matrix, edge, global_mode) @ matrix
    return matrix - (structure + jnp.swapaxes(structure, -1, -2)) / 2


def modularity_matrix(
    adjacency: Float[Tensor, "... region region"],
    *,
    gamma: float | Array = 1.0,
    null: Callable[[Array], Array] = girvan_newman_null,
    normalise_modularity: bool = False,
    sign: Sign | None = "+",
    check: bool = False,
) -> Float[Array, "... region region"]:
    r"""Return the modularity matrix, :math:`A - \gamma N`.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights of either sign; `sign` says which of them count.
    gamma : float, default 1
        Resolution. More, smaller communities are found as it grows.
    null : callable, default `girvan_newman_null`
        Gives the expected weights from the weights that count.
    normalise_modularity : bool, default False
        Divide by the sum of all weights that count (the diagonal among them). An empty graph gives zeros. With the
        default null model and one gamma, derivatives are those of reverse mode (``grad``).
    sign : {"+", "-", "both"} or None, default "+"
        Keep the positive weights, the absolute values of the negative ones, or all as they are (None). "both" takes
        the modularity of the positive weights less that of the negative ones, which counts less the less negative
        weight there is: normalised, it is :math:`Q^* = Q^+ - \frac{v^-}{v^+ + v^-} Q^-` of [2]_. Not differentiable
        at a weight of 0, where the derivative 0 is returned.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., target, source)

    Raises
    ------
    ValueError
        If the matrix is not square, or the sign is unknown; or if all weights as they are should be normalised,
        since a sum of signed weights may be anything.

    References
    ----------
    .. [1] Newman (2006). doi:10.1073/pnas.0601602103
    .. [2] Rubinov & Sporns (2011). doi:10.1016/j.neuroimage.2011.03.069

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> modularity_matrix(jnp.array([[0.0, 2.0], [2.0, 0.0]])).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    matrix = _graph("adjacency", adjacency, check=check)
    if sign is None:
        if normalise_modularity:
            raise ValueError("signed weights cannot be normalised by their sum, which may be 0: choose a sign")
        return matrix - gamma * null(matrix)
    if sign not in ("+", "-", "both"):
        raise ValueError(f'sign must be "+", "-", "both" or None, and is {sign!r}')
    if sign != "both" and normalise_modularity and null is girvan_newman_null and jnp.ndim(gamma) == 0:
        return _normalised(matrix, jnp.full((*matrix.shape[:-2], 1, 1), gamma, matrix.dtype), sign)
    if sign == "both":
        positive, negative = _part(matrix, "+"), _part(matrix, "-")
        total = jnp.abs(matrix).sum((-2, -1), keepdims=True)
        share = total * _reciprocal(positive.sum((-2, -1), keepdims=True))
        modularity = share * (positive - gamma * null(positive)) - (negative - gamma * null(negative))
    else:
        part = _part(matrix, sign)
        total = part.sum((-2, -1), keepdims=True)
        modularity = part - gamma * null(part)
    return modularity * _reciprocal(total) if normalise_modularity else modularity


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _normalised(matrix: Array, gamma: Array, sign: Sign) -> Array:
    """Return the normalised modularity matrix of one part of the weights, under the configuration model.

    Its derivatives are written down, so that of arrays of the matrices' size only the weights themselves are kept.
    """
    return _normalised_forward(matrix, gamma, sign)[0]


def _normalised_forward(matrix: Array, gamma: Array, sign: Sign):
    part = _part(matrix, sign)
    rows, columns = part.sum(-1, keepdims=True), part.sum(-2, keepdims=True)
    share = _reciprocal(rows.sum(-2, keepdims=True))
    return part * share - gamma * (rows * share**2) * columns, (matrix, gamma, rows, columns, share)


def _normalised_backward(sign: Sign, kept: tuple[Array, ...], cotangent: Array):
    matrix, gamma, rows, columns, share = kept
    part, pull_back = jax.vjp(partial(_part, sign=sign), matrix)
    to_rows = jnp.einsum("...rs,...s->...r", cotangent, columns[..., 0, :])[..., None]
    to_columns = jnp.einsum("...rs,...r->...s", cotangent, rows[..., 0])[..., None, :]
    expected = (rows * to_rows).sum(-2, keepdims=True)
    found = (cotangent * part).sum(-1, keepdims=True).sum(-2, keepdims=True)
    to_total = 2 * gamma * share**3 * expected - share**2 * found
    to_part = cotangent * share - gamma * share**2 * (to_rows + to_columns) + to_total
    return *pull_back(to_part), -(share**2) * expected


_normalised.defvjp(_normalised_forward, _normalised_backward)


def coaffiliation(
    affiliation: Float[Tensor, "... region community"],
    other: Float[Tensor, "... source community"] | None = None,
    *,
    coupling: Float[Tensor, "... community community"] | None = None,
    exclude_diag: bool = True,
    normalise_coaffiliation: bool = False,
) -> Float[Array, "... region source"]:
    """Return how far each pair of regions shares its communities.

    Parameters
    ----------
    affiliation : array, shape (..., target, community)
        Weight of every region in every community. ``affiliation.T[..., None]`` gives a matrix a community.
    other : array, shape (..., source, community), optional
        Affiliations of the columns, those of the rows by default.
    coupling : array, shape (..., community, community), optional
        Weight of each pair of communities, the identity by default.
    exclude_diag : bool, default True
        Set the diagonal to 0 (only for a square result).
    normalise_coaffiliation : bool, default False
        Divide each matrix by its largest entry where that is greater than 1. Probabilities are left as they are.

    Returns
    -------
    array, shape (..., target, source)

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> coaffiliation(jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    rows = _to_jax_array(affiliation)
    columns = rows if other is None else _to_jax_array(other)
    if rows.ndim < 2 or columns.ndim < 2:
        raise ValueError(
            f"affiliations must have shape (..., region, community), and have shapes {rows.shape} and {columns.shape}"
        )
    left = rows if coupling is None else rows @ _to_jax_array(coupling)
    if left.shape[-1] != columns.shape[-1]:
        raise ValueError(
            f"rows have {left.shape[-1]} communities and columns {columns.shape[-1]}: give a coupling that joins them"
        )
    matrix = left @ jnp.swapaxes(columns, -1, -2)
    if exclude_diag and matrix.shape[-1] == matrix.shape[-2]:
        matrix = jnp.where(jnp.eye(matrix.shape[-1], dtype=bool), 0.0, matrix)
    if normalise_coaffiliation:
        matrix = matrix / jnp.maximum(matrix.max((-2, -1), keepdims=True), 1.0)
    return matrix


def relaxed_modularity(
    adjacency: Float[Tensor, "... region region"],
    affiliation: Float[Tensor, "... region community"],
    *,
    gamma: float | Array = 1.0,
    null: Callable[[Array], Array] = girvan_newman_null,
    sign: Sign = "+",
    check: bool = False,
) -> Float[Array, "..."]:
    """Return the modularity of a soft partition, which is Newman's Q when the partition is hard.

    The sum is never taken over pairs: it is the trace of the communities' own blocks, at the cost of one product of
    the matrix with the affiliations.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights; `sign` says which of them count.
    affiliation : array, shape (..., region, community)
        Rows on the simplex for a partition.
    gamma : float, default 1
        Resolution.
    null : callable, default `girvan_newman_null`
        Gives the expected weights from the weights that count.
    sign : {"+", "-", "both"}, default "+"
        Keep the positive weights, the absolute values of the negative ones, or both with the asymmetric weighting of
        [2]_: see `modularity_matrix`.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``.

    Returns
    -------
    array, shape (...)
        At most 1 for a partition. An empty graph gives 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    References
    ----------
    .. [1] Newman (2006). doi:10.1073/pnas.0601602103
    .. [2] Rubinov & Sporns (2011). doi:10.1016/j.neuroimage.2011.03.069

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pairs = jnp.kron(jnp.eye(2), jnp.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> float(relaxed_modularity(pairs, jnp.kron(jnp.eye(2), jnp.ones((2, 1)))))
    0.5
    """
    matrix = modularity_matrix(adjacency, gamma=gamma, null=null, normalise_modularity=True, sign=sign, check=check)
    communities = _affiliation_of(matrix, affiliation)
    return jnp.einsum("...ic,...ic->...", communities, matrix @ communities)


def multilayer_modularity(
    adjacency: Float[Tensor, "... layer region region"],
    affiliation: Float[Tensor, "... layer region community"],
    *,
    coupling: float | Float[Tensor, "... layer layer"] = 1.0,
    order: Literal["ordinal", "categorical"] = "ordinal",
    gamma: float | Float[Tensor, "layer"] = 1.0,
    null: Callable[[Array], Array] = girvan_newman_null,
    sign: Sign = "+",
    check: bool = False,
) -> Float[Array, "..."]:
    r"""Return the modularity of one soft partition a layer, where each region is coupled to itself in other layers.

    .. math:: Q = \frac{1}{2\mu} \Big[ \sum_s \sum_{ij} (a_{ijs} - \gamma_s n_{ijs}) \sum_c q_{ics} q_{jcs}
              + \sum_{s \ne r} \omega_{sr} \sum_{jc} q_{jcs} q_{jcr} \Big], \qquad
              2\mu = \sum_{ijs} a_{ijs} + n \sum_{s \ne r} \omega_{sr} .

    Parameters
    ----------
    adjacency : array, shape (..., layer, target, source)
        Weights of every layer: windows of time, scans, frequency bands. `sign` says which of them count.
    affiliation : array, shape (..., layer, region, community)
        Rows on the simplex for a partition; a community keeps its place on the last axis across layers.
    coupling : float or array of shape (..., layer, layer), default 1
        :math:`\omega`, not negative: one number for the pairs that `order` names, or one for every pair (the
        diagonal does not count). In the unit of the weights.
    order : {"ordinal", "categorical"}, default "ordinal"
        Couple neighbouring layers, or all pairs. Of no effect where `coupling` is a matrix.
    gamma : float or array of shape (layer,), default 1
        Resolution.
    null : callable, default `girvan_newman_null`
        Gives the expected weights of every layer from the weights that count.
    sign : {"+", "-", "both"}, default "+"
        See `modularity_matrix`.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``.

    Returns
    -------
    array, shape (...)
        With one layer, or without coupling and with one total weight in all layers, the (mean) `relaxed_modularity`.
        Where nothing has weight, 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the order or the sign is unknown.

    References
    ----------
    .. [1] Mucha, Richardson, Macon, Porter & Onnela (2010). doi:10.1126/science.1184819

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pairs = jnp.kron(jnp.eye(2), jnp.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> layers, partition = jnp.stack([pairs, pairs]), jnp.kron(jnp.eye(2), jnp.ones((2, 1)))
    >>> round(float(multilayer_modularity(layers, jnp.stack([partition, partition]), coupling=0.5)), 6)
    0.666667
    """
    within, couplings, total = layered(
        adjacency, coupling=coupling, order=order, gamma=gamma, null=null, sign=sign, check=check
    )
    n_layers, n_regions = within.shape[-3:-1]
    communities = _affiliation_of(within, affiliation)
    if communities.ndim < 3 or communities.shape[-3] != n_layers:
        raise ValueError(
            f"affiliation must have shape (..., {n_layers}, {n_regions}, community), one for each of the "
            f"{n_layers} layers, and has shape {communities.shape}"
        )
    intra = jnp.einsum("...lic,...lic->...", communities, within @ communities)
    shared = jnp.einsum("...lic,...mic->...lm", communities, communities)
    return (intra + (couplings * shared).sum((-2, -1))) * _reciprocal(total)


def layered(
    adjacency: Tensor,
    *,
    coupling: Tensor | float,
    order: str,
    gamma: Tensor | float,
    null: Callable[[Array], Array],
    sign: Sign,
    check: bool = False,
) -> tuple[Array, Array, Array]:
    """Return the modularity matrix of every layer, the weight between every two layers, and what all weights sum to."""
    matrix = _graph("adjacency", adjacency, check=check)
    if matrix.ndim < 3:
        raise ValueError(f"adjacency must have shape (..., layer, region, region), and has shape {matrix.shape}")
    if sign not in ("+", "-", "both"):
        raise ValueError(f'sign must be "+", "-" or "both", and is {sign!r}')
    n_layers, n_regions = matrix.shape[-3], matrix.shape[-1]
    resolution = jnp.asarray(gamma)
    if resolution.ndim > 0:
        if resolution.shape != (n_layers,):
            raise ValueError(f"gamma must be a number or one for each of {n_layers} layers, not {resolution.shape}")
        resolution = resolution[:, None, None]
    couplings = _couplings(coupling, order, n_layers, matrix.dtype)
    within = modularity_matrix(matrix, gamma=resolution.astype(matrix.dtype), null=null, sign=sign)
    counted = jnp.abs(matrix) if sign == "both" else _part(matrix, sign)
    total = counted.sum((-3, -2, -1)) + n_regions * couplings.sum((-2, -1))
    return within, couplings, total


def _couplings(coupling: Tensor | float, order: str, n_layers: int, dtype: jnp.dtype) -> Array:
    """Return the weight between every two layers, 0 on the diagonal."""
    if order not in ("ordinal", "categorical"):
        raise ValueError(f'order must be "ordinal" or "categorical", and is {order!r}')
    weights = _to_jax_array(coupling).astype(dtype)
    layers = jnp.arange(n_layers)
    apart = jnp.abs(layers[:, None] - layers)
    if weights.ndim == 0:
        return weights * (apart == 1 if order == "ordinal" else apart > 0)
    if weights.shape[-2:] != (n_layers, n_layers):
        raise ValueError(
            f"coupling must be a number or have shape (..., {n_layers}, {n_layers}), and has shape {weights.shape}"
        )
    return jnp.where(apart == 0, 0.0, weights)


def _affiliation_of(matrix: Array, affiliation: Tensor) -> Array:
    """Return the affiliations of the matrix's regions as an array of its dtype."""
    communities = _to_jax_array(affiliation)
    if communities.ndim < 2 or communities.shape[-2] != matrix.shape[-1]:
        raise ValueError(
            f"affiliation must have shape (..., {matrix.shape[-1]}, community), and has shape {communities.shape}"
        )
    return communities if jnp.issubdtype(communities.dtype, jnp.floating) else communities.astype(matrix.dtype)


def _noise_edge(n_regions: int, n_frames: float | Array, dtype: jnp.dtype) -> Array:
    """Return the largest eigenvalue that the correlations of independent series have (Marchenko and Pastur)."""
    frames = jnp.asarray(n_frames, dtype)
    return (1 + jnp.sqrt(n_regions / frames)) ** 2


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _structure_projector(matrix: Array, edge: Array, global_mode: bool) -> Array:
    """Return the projector on the eigenvectors beyond the noise, without the leading one if it is the global mode."""
    _, vectors, kept = _structure(matrix, edge, global_mode)
    return _projector(vectors, kept)


@_structure_projector.defjvp
def _structure_projector_jvp(
    global_mode: bool, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    # Daleckii and Krein: the derivative between two eigenvectors of one side is exactly 0, however close their
    # eigenvalues are; between the sides the eigenvalues differ unless one lies at the edge.
    values, vectors, kept = _structure(*primals, global_mode)
    gap = values[..., :, None] - values[..., None, :]
    step = kept[..., :, None].astype(gap.dtype) - kept[..., None, :].astype(gap.dtype)
    usable = (step != 0) & (gap != 0)
    divided = jnp.where(usable, step / jnp.where(usable, gap, 1.0), 0.0)
    transposed = jnp.swapaxes(vectors, -1, -2)
    change = vectors @ (divided * (transposed @ tangents[0] @ vectors)) @ transposed
    return _projector(vectors, kept), change


def _structure(matrix: Array, edge: Array, global_mode: bool) -> tuple[Array, Array, Array]:
    values, vectors = jnp.linalg.eigh(matrix)
    kept = values > edge[..., None]
    if global_mode:
        kept = kept.at[..., -1].set(False)
    return values, vectors, kept


def _projector(vectors: Array, kept: Array) -> Array:
    return (vectors * kept[..., None, :].astype(vectors.dtype)) @ jnp.swapaxes(vectors, -1, -2)
