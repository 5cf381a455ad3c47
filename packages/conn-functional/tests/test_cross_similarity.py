"""Cross-shaped filters: their definition, symmetry, reordering, diagonals; refusals."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from op_case import OpCase

from conn.functional import (
    convolve_series,
    cross_similarity,
    low_rank_template,
    recombine,
    sylo,
    vertical_compression,
)


def _factors(rng: np.random.Generator):
    return rng.normal(size=(2, 5, 2)), rng.normal(size=(2, 5, 2)), rng.normal(size=(2, 2))


def _connectome_and_factors(rng: np.random.Generator):
    left, right = rng.normal(size=(2, 3, 2, 5, 2))
    return rng.normal(size=(2, 5, 5)), left, right, rng.normal(size=(3, 2, 2)), rng.normal(size=3)


def _template(left: np.ndarray, right: np.ndarray, sign: np.ndarray) -> np.ndarray:
    full = np.einsum("...ir,...r,...jr->...ij", left, sign, right)
    return (full - np.swapaxes(full, -1, -2)) / 2


def _cross(connectome: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Return the sum over the cross of each pair, entry by entry."""
    out = np.zeros((len(template), *connectome.shape[1:]))
    for o, i, j in np.ndindex(out.shape):
        cross = {(i, k) for k in range(connectome.shape[2])} | {(k, j) for k in range(connectome.shape[1])}
        for c in range(len(connectome)):
            out[o, i, j] += sum(connectome[c, a, b] * template[o, c, a, b] for a, b in cross)
    return out


OP_CASES: list[OpCase] = [
    OpCase(
        "low_rank_template",
        lambda left, right, sign: low_rank_template(left, right, sign=sign, symmetry="skew"),
        _factors,
        "numpy.einsum",
        _template,
        degenerate={"zeros": (np.zeros((2, 5, 2)), np.zeros((2, 5, 2)), np.zeros((2, 2)))},
    ),
    OpCase(
        "cross_similarity",
        cross_similarity,
        lambda rng: (rng.normal(size=(2, 4, 5)), rng.normal(size=(3, 2, 4, 5))),
        "a loop over the entries of each cross, in NumPy",
        _cross,
        degenerate={"zeros": (np.zeros((2, 4, 5)), np.zeros((3, 2, 4, 5)))},
    ),
    OpCase(
        "sylo",
        lambda x, left, right, sign, bias: sylo(x, left, right, sign=sign, symmetry="skew", bias=bias),
        _connectome_and_factors,
        "a loop over the entries of each cross, in NumPy",
        lambda x, left, right, sign, bias: _cross(x, _template(left, right, sign)) + bias[:, None, None],
        degenerate={
            "an empty connectome": (np.zeros((2, 5, 5)), *_connectome_and_factors(np.random.default_rng(0))[1:])
        },
    ),
]


def test_symmetric_connectomes_and_templates_give_symmetric_outputs_that_follow_the_order_of_regions(rng):
    left = rng.normal(size=(2, 1, 6, 2))
    connectome = rng.normal(size=(4, 1, 6, 6))
    connectome = connectome + np.swapaxes(connectome, -1, -2)
    found = np.asarray(sylo(connectome, left))
    np.testing.assert_allclose(found, np.swapaxes(found, -1, -2), atol=1e-12)
    order = rng.permutation(6)
    reordered = sylo(connectome[..., order, :][..., order], left[..., order, :])
    np.testing.assert_allclose(reordered, found[..., order, :][..., order], atol=1e-12)


def test_templates_have_the_symmetry_that_was_asked_for(rng):
    left, right = rng.normal(size=(2, 6, 2))
    alone = low_rank_template(left)
    np.testing.assert_allclose(alone, left @ left.T)
    assert np.linalg.eigvalsh(alone).min() > -1e-12
    assert np.linalg.eigvalsh(low_rank_template(left, sign=np.array([1.0, -1.0]))).min() < -0.1
    both = np.asarray(low_rank_template(left, right, symmetry="symmetric"))
    np.testing.assert_allclose(both, (left @ right.T + right @ left.T) / 2)
    assert np.linalg.matrix_rank(low_rank_template(left, right)) == 2


def test_a_removed_diagonal_counts_nowhere_even_if_it_holds_nan(rng):
    connectome, template = rng.normal(size=(1, 5, 5)), rng.normal(size=(2, 1, 5, 5))
    hollow = connectome * (1 - np.eye(5))
    with_nan = hollow + np.diag(np.full(5, np.nan))
    found = cross_similarity(with_nan, template, remove_diagonal=True)
    np.testing.assert_allclose(found, _cross(hollow, template) * (1 - np.eye(5)), atol=1e-12)
    shifted = sylo(connectome, rng.normal(size=(2, 1, 5, 2)), bias=np.ones(2), remove_diagonal=True)
    np.testing.assert_array_equal(np.diagonal(shifted, axis1=-2, axis2=-1), 0.0)
    assert np.isnan(np.asarray(cross_similarity(with_nan, template))).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: low_rank_template(jnp.ones((5, 2)), jnp.ones((5, 3))),
            "one rank on their last axes, and have 2 and 3",
        ),
        (lambda: low_rank_template(jnp.ones((5, 2)), jnp.ones((4, 2)), symmetry="skew"), "as many rows as columns"),
        (lambda: low_rank_template(jnp.ones((5, 2)), sign=jnp.ones(3)), "sign must have shape"),
        (lambda: low_rank_template(jnp.ones((5, 2)), symmetry="cross"), 'symmetry must be "symmetric", "skew" or None'),
        (lambda: cross_similarity(jnp.ones((1, 5, 5)), jnp.ones((1, 5, 5))), "template must have shape"),
        (lambda: cross_similarity(jnp.ones((1, 4, 5)), jnp.ones((1, 1, 4, 5)), remove_diagonal=True), "only square"),
        (lambda: sylo(jnp.ones((1, 5, 5)), jnp.ones((2, 1, 5, 1)), bias=jnp.ones(3)), "for each of the 2 outputs"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: cross_similarity(x, jnp.ones((1, 2, 4, 4)), check=True),
        lambda x: sylo(x, jnp.ones((1, 2, 4, 1)), check=True),
        lambda x: recombine(x, jnp.ones((1, 2)), check=True),
        lambda x: vertical_compression(x, jnp.ones((2, 4)), check=True),
        lambda x: convolve_series(x, jnp.ones((1, 2, 1, 3)), check=True),
    ],
)
def test_nan_is_refused_on_demand_under_jit_too(call):
    with pytest.raises(eqx.EquinoxRuntimeError, match="holds NaN or infinity"):
        eqx.filter_jit(call)(jnp.ones((2, 4, 4)).at[0, 1, 2].set(jnp.nan))
