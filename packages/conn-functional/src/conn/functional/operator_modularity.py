r"""Modularity of a correlation matrix that is never formed.

Which objective is which, with :math:`r_{ij}` the signed correlation and :math:`q_{ic}` a soft partition:

**Linear in the signed correlation**, so that closed forms in the frames exist, in :math:`O(ntc)` for :math:`c`
communities:

- `constant_potts_modularity`, :math:`\frac{1}{n^2} \sum_{ijc} (r_{ij} - \gamma)\, q_{ic} q_{jc}`;
- `correlation_modularity` in its first term,
  :math:`\frac{1}{n^2} \sum_{ijc} (r_{ij} - \gamma n_{ij})\, q_{ic} q_{jc}`, whose null :math:`n = R - R_g` takes a
  spectral projection :math:`R_g` of the correlation off it: not linear, but of low rank, from the smaller of the two
  Gram matrices.

Neither divides by a signed total weight, which may be 0 or negative: both are means over all :math:`n^2` pairs.

**Not linear**: `rectified_modularity` is Newman's modularity of the positive part
:math:`r^+_{ij} = \max(r_{ij}, 0)` or of the negative part :math:`r^-_{ij} = \max(-r_{ij}, 0)`,

.. math:: Q^\pm = \frac{1}{v^\pm} \sum_{ijc}
                  \Bigl(r^\pm_{ij} - \gamma \frac{s^\pm_i s^\pm_j}{v^\pm}\Bigr) q_{ic} q_{jc}, \qquad
          s^\pm_i = \sum_j r^\pm_{ij}, \quad v^\pm = \sum_i s^\pm_i \ge 0,

or of both with the weighting of Rubinov and Sporns, :math:`Q^+ - \frac{v^-}{v^+ + v^-} Q^-`. These stream in tiles:
:math:`O(n^2 t)` time, bounded memory. What they divide by is a sum of absolute values. They equal
`relaxed_modularity` of the dense correlation matrix.

The null models are operators of low rank: ``operator - gamma * null`` is a modularity matrix that adds, multiplies and
goes to `leading_eigenpairs` like any other operator.
"""

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from conn.functional._symmetric_operators import (
    CorrelationOperator,
    LowRankOperator,
    checked_correlation,
    elementwise,
)
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.graph import _reciprocal
from conn.functional.modularity import Sign, _noise_edge, _structure_projector
from conn.functional.operators import (
    operator_diagonal,
    quadratic_form,
    row_sums,
)

__all__ = [
    "constant_potts_modularity",
    "constant_potts_operator",
    "correlation_modularity",
    "correlation_null_operator",
    "girvan_newman_operator",
    "rectified_modularity",
]


def constant_potts_operator(operator: lx.AbstractLinearOperator) -> lx.AbstractLinearOperator:
    """Return the weights expected under the constant Potts model, 1 for every pair, for the regions of an operator.

    Parameters
    ----------
    operator : lineax.AbstractLinearOperator

    Returns
    -------
    lineax.AbstractLinearOperator
        See `constant_potts_null`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.functional import low_rank_operator
    >>> constant_potts_operator(low_rank_operator(jnp.ones((2, 1)))).mv(jnp.array([1.0, 2.0])).tolist()
    [3.0, 3.0]
    """
    structure = operator.in_structure()
    return LowRankOperator(jnp.ones((*structure.shape, 1), structure.dtype))


def girvan_newman_operator(operator: lx.AbstractLinearOperator) -> lx.AbstractLinearOperator:
    r"""Return the weights expected under the configuration model, :math:`k_i k_j / 2m`, of an operator.

    Parameters
    ----------
    operator : lineax.AbstractLinearOperator
        Symmetric, with weights that are not negative, for example ``elementwise_operator(correlation, jax.nn.relu)``.

    Returns
    -------
    lineax.AbstractLinearOperator
        See `girvan_newman_null`. An empty graph gives zeros.

    Raises
    ------
    TypeError
        If the operator is a signed correlation, whose total may be anything.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.functional import low_rank_operator
    >>> null = girvan_newman_operator(low_rank_operator(jnp.array([[1.0], [3.0]])))
    >>> null.mv(jnp.array([1.0, 1.0])).tolist()
    [4.0, 12.0]
    """
    if isinstance(operator, CorrelationOperator):
        raise TypeError(
            "the configuration model divides by the total weight, which for signed correlations may be anything: take "
            "constant_potts_operator, correlation_null_operator, or the positive part by elementwise_operator"
        )
    sums = row_sums(operator)
    return LowRankOperator(sums[..., None], _reciprocal(sums.sum(-1))[..., None, None])


def correlation_null_operator(
    correlation: lx.AbstractLinearOperator,
    *,
    n_frames: float | Array,
    global_mode: bool = True,
) -> lx.AbstractLinearOperator:
    r"""Return the correlations expected of independent series, with or without a common signal, as an operator.

    Parameters
    ----------
    correlation : lineax.AbstractLinearOperator
        The result of `correlation_operator`.
    n_frames : float or array of shape (...)
        The number of independent frames; of an autocorrelated series the effective degrees of freedom.
    global_mode : bool, default True
        Whether the leading eigenvector is part of the null.

    Returns
    -------
    lineax.AbstractLinearOperator
        The correlation less the group structure, which has as many dimensions as eigenvalues beyond the noise:
        see `correlation_null`.

    Raises
    ------
    TypeError
        If `correlation` is not the result of `correlation_operator`.

    References
    ----------
    .. [1] MacMahon & Garlaschelli (2015), Community detection for correlation matrices.
       doi:10.1103/PhysRevX.5.021006

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.functional import correlation_operator
    >>> series = jnp.array([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0], [1.0, -1.0, -1.0, 1.0]])
    >>> null = correlation_null_operator(correlation_operator(series), n_frames=100, global_mode=False)
    >>> [round(float(entry), 3) for entry in null.mv(jnp.array([1.0, 2.0, 3.0]))]
    [1.0, 2.0, 3.0]
    """
    return correlation - _structure(correlation, n_frames, global_mode)


def constant_potts_modularity(
    operator: lx.AbstractLinearOperator,
    affiliation: Float[Tensor, "... region community"],
    *,
    gamma: float | Array = 0.0,
) -> Float[Array, "..."]:
    r"""Return the modularity of a soft partition against a constant, as a mean over pairs of regions.

    .. math:: \frac{1}{n^2} \sum_{ij} (a_{ij} - \gamma) \sum_c q_{ic} q_{jc}

    Parameters
    ----------
    operator : lineax.AbstractLinearOperator
        Symmetric weights of either sign: the result of `correlation_operator`, or whatever is composed of one.
    affiliation : array, shape (..., region, community)
        Rows on the simplex for a partition.
    gamma : float, default 0
        The weight that a pair inside a community must exceed; 0 keeps positive correlations in and negative ones out.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    ValueError
        If the affiliations do not have the operator's regions.

    References
    ----------
    .. [1] Traag, Van Dooren & Nesterov (2011). doi:10.1103/PhysRevE.84.016114

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.functional import low_rank_operator
    >>> float(constant_potts_modularity(low_rank_operator(jnp.ones((2, 1))), jnp.eye(2), gamma=0.5))
    0.25
    """
    communities = _to_jax_array(affiliation)
    inside = quadratic_form(operator, communities).sum(-1)
    expected = (communities.sum(-2) ** 2).sum(-1)
    return (inside - gamma * expected) / float(operator.in_structure().shape[-1]) ** 2


def correlation_modularity(
    correlation: lx.AbstractLinearOperator,
    affiliation: Float[Tensor, "... region community"],
    *,
    n_frames: float | Array,
    gamma: float | Array = 1.0,
    global_mode: bool = True,
) -> Float[Array, "..."]:
    r"""Return the modularity of a soft partition against the null made for correlations, as a mean over pairs.

    .. math:: \frac{1}{n^2} \sum_{ij} (r_{ij} - \gamma n_{ij}) \sum_c q_{ic} q_{jc}

    Parameters
    ----------
    correlation : lineax.AbstractLinearOperator
        The result of `correlation_operator`.
    affiliation : array, shape (..., region, community)
        Rows on the simplex for a partition.
    n_frames : float or array of shape (...)
        The number of independent frames; of an autocorrelated series the effective degrees of freedom.
    gamma : float, default 1
        Resolution. At 1 only the group structure counts.
    global_mode : bool, default True
        Whether the leading eigenvector is part of the null.

    Returns
    -------
    array, shape (...)
        The original divides by the signed total of the correlations, which may be 0; this one by the number of pairs.
        Derivatives as for `correlation_null`, at the cost of the smaller of the two Gram matrices' eigenvectors; with
        fewer frames than regions, that of the null in a frame's weight of exactly 0 is given as 0.

    Raises
    ------
    TypeError
        If `correlation` is not the result of `correlation_operator`.
    ValueError
        If the affiliations do not have the operator's regions.

    References
    ----------
    .. [1] MacMahon & Garlaschelli (2015), Community detection for correlation matrices.
       doi:10.1103/PhysRevX.5.021006

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.functional import correlation_operator
    >>> two = jnp.kron(jnp.eye(2), jnp.ones((5, 1)))
    >>> series = two @ jnp.array([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]])
    >>> found = correlation_modularity(correlation_operator(series), two, n_frames=100, global_mode=False)
    >>> round(float(found), 6)
    0.5
    """
    structure = _structure(correlation, n_frames, global_mode)
    of_structure = quadratic_form(structure, affiliation).sum(-1)
    inside = quadratic_form(correlation, affiliation).sum(-1)
    return ((1.0 - gamma) * inside + gamma * of_structure) / float(structure.factor.shape[-2]) ** 2


def rectified_modularity(
    correlation: lx.AbstractLinearOperator,
    affiliation: Float[Tensor, "... region community"],
    *,
    gamma: float | Array = 1.0,
    sign: Sign = "+",
    exclude_diag: bool = False,
    block_size: int = 1024,
) -> Float[Array, "..."]:
    r"""Return Newman's modularity of a soft partition of the rectified correlations, streamed in bounded memory.

    Parameters
    ----------
    correlation : lineax.AbstractLinearOperator
        The result of `correlation_operator`.
    affiliation : array, shape (..., region, community)
        Rows on the simplex for a partition.
    gamma : float, default 1
        Resolution.
    sign : {"+", "-", "both"}, default "+"
        Keep the positive correlations, the absolute values of the negative ones, or both with the asymmetric
        weighting of [2]_: see `modularity_matrix`. All take one pass, since the negative part is the positive part less
        the correlation itself, whose sums have closed forms.
    exclude_diag : bool, default False
        Leave out each region's correlation of 1 with itself.
    block_size : int, default 1024
        Rows and columns of a tile.

    Returns
    -------
    array, shape (...)
        Equal to ``relaxed_modularity(corr(time_series), affiliation, sign=sign)``. Its derivative in the affiliations
        needs no further pass, that in the series one. Only reverse-mode derivatives are defined.

    Raises
    ------
    TypeError
        If `correlation` is not the result of `correlation_operator`.
    ValueError
        If the affiliations do not have the operator's regions, or the sign is unknown.

    References
    ----------
    .. [1] Newman (2006). doi:10.1073/pnas.0601602103
    .. [2] Rubinov & Sporns (2011). doi:10.1016/j.neuroimage.2011.03.069

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.functional import correlation_operator
    >>> two = jnp.kron(jnp.eye(2), jnp.ones((5, 1)))
    >>> series = two @ jnp.array([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]])
    >>> round(float(rectified_modularity(correlation_operator(series), two)), 6)
    0.5
    """
    if sign not in ("+", "-", "both"):
        raise ValueError(f'sign must be "+", "-" or "both", and is {sign!r}')
    function = _negative_part if sign == "-" else jax.nn.relu
    part = elementwise(correlation, function, block_size, "rectified_modularity")
    communities = _to_jax_array(affiliation)
    if communities.shape[:-1] != part.factor.shape[:-1]:
        raise ValueError(
            f"affiliation must have shape {(*part.factor.shape[:-1], 'community')}, and has shape {communities.shape}"
        )
    strengths, inside = part.sums(communities)
    own = operator_diagonal(part)[..., None] * communities**2
    if exclude_diag:
        strengths, inside = strengths - operator_diagonal(part), inside - own.sum(-2)
    value, total = _newman(strengths, inside, communities, gamma)
    if sign != "both":
        return value * _reciprocal(total)
    signed_strengths, signed_inside = row_sums(correlation), quadratic_form(correlation, communities)
    if exclude_diag:
        signed_strengths, signed_inside = signed_strengths - operator_diagonal(part), signed_inside - own.sum(-2)
    # Where there is nothing negative the difference is rounding, of either sign.
    negative, less = _newman(jax.nn.relu(strengths - signed_strengths), inside - signed_inside, communities, gamma)
    return value * _reciprocal(total) - negative * _reciprocal(total + less)


def _newman(strengths: Array, inside: Array, communities: Array, gamma: float | Array) -> tuple[Array, Array]:
    """Return the modularity before it is divided by the total weight, and that total."""
    total = strengths.sum(-1)
    shares = jnp.einsum("...i,...ic->...c", strengths, communities)
    return inside.sum(-1) - gamma * (shares**2).sum(-1) * _reciprocal(total), total


def _negative_part(correlation: Array) -> Array:
    return jax.nn.relu(-correlation)


def _structure(operator: lx.AbstractLinearOperator, n_frames: float | Array, global_mode: bool) -> LowRankOperator:
    """Return the correlations beyond noise (and the global mode), from the smaller of the two Gram matrices."""
    correlation = checked_correlation(operator, "this null model")
    factor = correlation.factor
    edge = _noise_edge(factor.shape[-2], n_frames, factor.dtype)
    if factor.shape[-2] <= factor.shape[-1]:
        gram = (factor * correlation.share[..., None, :]) @ jnp.swapaxes(factor, -1, -2)
        return LowRankOperator(_structure_projector((gram + jnp.swapaxes(gram, -1, -2)) / 2, edge, global_mode), gram)
    root = correlation.root()
    return LowRankOperator(root, _structure_projector(jnp.swapaxes(root, -1, -2) @ root, edge, global_mode))
