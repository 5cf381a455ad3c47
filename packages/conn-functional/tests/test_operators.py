"""A connectome that is never formed against the same connectome formed."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from conn.functional import corr, correlation_null, laplacian, modularity_matrix, relaxed_modularity, strength
from conn.functional._eigenpairs import leading_eigenpairs
from conn.functional._operator_modularity import (
    constant_potts_modularity,
    constant_potts_operator,
    correlation_modularity,
    correlation_null_operator,
    girvan_newman_operator,
    rectified_modularity,
)
from conn.functional._operators import (
    coaffiliation_operator,
    correlation_operator,
    elementwise_operator,
    laplacian_operator,
    operator_diagonal,
    operator_trace,
    quadratic_form,
    row_sums,
    to_dense,
)

N_REGIONS, N_FRAMES = 7, 30
RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(2, N_FRAMES))[np.arange(N_REGIONS) % 2] + RNG.normal(size=(N_REGIONS, N_FRAMES))
SOFT = RNG.dirichlet(np.ones(3), N_REGIONS)
DENSE = np.corrcoef(SERIES)


@pytest.fixture(scope="module")
def operator():
    return correlation_operator(SERIES)


def test_products_sums_and_diagonal_are_those_of_the_matrix(operator):
    vector = RNG.normal(size=N_REGIONS)
    np.testing.assert_allclose(operator.mv(vector), DENSE @ vector, rtol=1e-10)
    np.testing.assert_allclose(operator.block_mv(SOFT), DENSE @ SOFT, rtol=1e-10)
    np.testing.assert_allclose(row_sums(operator), DENSE.sum(1), rtol=1e-10)
    np.testing.assert_allclose(operator_diagonal(operator), 1, rtol=1e-12)
    np.testing.assert_allclose(operator_trace(operator), N_REGIONS, rtol=1e-12)
    np.testing.assert_allclose(to_dense(operator), DENSE, rtol=1e-10)
    np.testing.assert_allclose(quadratic_form(operator, SOFT), np.diag(SOFT.T @ DENSE @ SOFT), rtol=1e-10)
    np.testing.assert_allclose(lx.TaggedLinearOperator(operator, lx.symmetric_tag).as_matrix(), DENSE, rtol=1e-10)


def test_weights_and_masks_are_those_of_corr():
    weight, mask = RNG.random(N_FRAMES), RNG.random(N_FRAMES) < 0.8
    found = to_dense(correlation_operator(SERIES, weight=weight, mask=mask))
    np.testing.assert_allclose(found, corr(SERIES, weight=weight, mask=mask), rtol=1e-9, atol=1e-12)


def test_float32_agrees_to_five_digits():
    found = to_dense(correlation_operator(SERIES.astype(np.float32)))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, DENSE, atol=1e-5)


def test_operators_compose(operator):
    null = correlation_null_operator(operator, n_frames=N_FRAMES)
    np.testing.assert_allclose(to_dense(operator - null), DENSE - correlation_null(DENSE, n_frames=N_FRAMES), atol=1e-9)
    alone = SOFT @ SOFT.T * (1 - np.eye(N_REGIONS))
    np.testing.assert_allclose(to_dense(coaffiliation_operator(SOFT)), alone, atol=1e-12)
    np.testing.assert_allclose(to_dense(constant_potts_operator(operator)), 1, rtol=1e-12)
    positive = elementwise_operator(operator, jax.nn.relu)
    part = np.maximum(DENSE, 0)
    np.testing.assert_allclose(to_dense(positive), part, atol=1e-12)
    np.testing.assert_allclose(
        to_dense(girvan_newman_operator(positive)), np.outer(part.sum(1), part.sum(0)) / part.sum(), rtol=1e-9
    )
    np.testing.assert_allclose(row_sums(positive) - 1, strength(part), rtol=1e-9)
    np.testing.assert_allclose(to_dense(laplacian_operator(positive)), laplacian(part), atol=1e-9)


def test_quadratic_objectives_are_those_of_the_matrix(operator):
    same = SOFT @ SOFT.T
    potts = ((DENSE - 0.2) * same).sum() / N_REGIONS**2
    np.testing.assert_allclose(constant_potts_modularity(operator, SOFT, gamma=0.2), potts, rtol=1e-9)
    structure = DENSE - correlation_null(DENSE, n_frames=N_FRAMES)
    found = correlation_modularity(operator, SOFT, n_frames=N_FRAMES)
    np.testing.assert_allclose(found, (structure * same).sum() / N_REGIONS**2, rtol=1e-8)


@pytest.mark.parametrize("sign", ["+", "-", "both"])
@pytest.mark.parametrize("block_size", [3, 1024])
def test_the_rectified_modularity_streams_to_the_same_value_and_gradient(sign, block_size, operator):
    value, gradient = jax.value_and_grad(
        lambda q: rectified_modularity(operator, q, gamma=1.2, sign=sign, block_size=block_size)
    )(jnp.asarray(SOFT))
    expected, expected_gradient = jax.value_and_grad(lambda q: relaxed_modularity(DENSE, q, gamma=1.2, sign=sign))(
        jnp.asarray(SOFT)
    )
    np.testing.assert_allclose(value, expected, rtol=1e-8)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-7, atol=1e-10)


def test_the_gradient_in_the_series_is_that_of_the_formed_matrix():
    def streamed(series):
        return rectified_modularity(correlation_operator(series), SOFT, block_size=3)

    def formed(series):
        return relaxed_modularity(corr(series), SOFT)

    series = jnp.asarray(SERIES)
    np.testing.assert_allclose(jax.grad(streamed)(series), jax.grad(formed)(series), rtol=1e-6, atol=1e-10)


def test_leading_eigenpairs_are_those_of_the_matrix(operator):
    values, vectors = np.linalg.eigh(DENSE)
    exact = leading_eigenpairs(operator, 3)
    np.testing.assert_allclose(exact.values, values[::-1][:3], rtol=1e-8)
    overlap = np.abs(np.sum(np.asarray(exact.vectors) * vectors[:, ::-1][:, :3], axis=0))
    np.testing.assert_allclose(overlap, 1, rtol=1e-8)
    assert float(jnp.max(exact.residuals)) < 1e-8
    null = correlation_null_operator(operator, n_frames=N_FRAMES)
    iterated = leading_eigenpairs(operator - null, 1)
    np.testing.assert_allclose(
        iterated.values[0], np.linalg.eigvalsh(DENSE - correlation_null(DENSE, n_frames=N_FRAMES))[-1], atol=1e-5
    )


def test_a_constant_region_is_a_row_of_zeros_with_finite_gradients():
    series = SERIES.copy()
    series[3] = 0.1
    found = np.asarray(to_dense(correlation_operator(series)))
    assert not found[3].any()
    gradient = jax.grad(lambda x: constant_potts_modularity(correlation_operator(x), SOFT))(jnp.asarray(series))
    assert np.isfinite(gradient).all()


def test_the_modularity_matrix_of_the_signed_correlation_has_the_same_quadratic_form(operator):
    matrix = modularity_matrix(DENSE, sign=None, null=lambda c: 0.1 * jnp.ones_like(c))
    np.testing.assert_allclose(
        constant_potts_modularity(operator, SOFT, gamma=0.1) * N_REGIONS**2,
        jnp.sum(matrix * (SOFT @ SOFT.T)),
        rtol=1e-8,
    )


def test_what_cannot_be_is_refused(operator):
    with pytest.raises(ValueError, match="at least two frames"):
        correlation_operator(np.ones((3, 1)))
    with pytest.raises(ValueError, match="sign must be"):
        rectified_modularity(operator, SOFT, sign="?")
    with pytest.raises(ValueError, match="affiliation must have shape"):
        rectified_modularity(operator, SOFT[:2])
