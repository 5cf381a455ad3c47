"""A connectome that is never formed against the same connectome formed."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from op_case import OpCase
from scipy.sparse import csgraph

from conn.functional import (
    block_mv,
    coaffiliation_operator,
    constant_potts_modularity,
    constant_potts_operator,
    corr,
    correlation_modularity,
    correlation_null,
    correlation_null_operator,
    correlation_operator,
    elementwise_operator,
    girvan_newman_operator,
    laplacian,
    laplacian_operator,
    leading_eigenpairs,
    low_rank_operator,
    modularity_matrix,
    operator_diagonal,
    operator_trace,
    quadratic_form,
    rectified_modularity,
    relaxed_modularity,
    row_sums,
    strength,
    to_dense,
)

N_REGIONS, N_FRAMES = 7, 30
RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(2, N_FRAMES))[np.arange(N_REGIONS) % 2] + RNG.normal(size=(N_REGIONS, N_FRAMES))
SOFT = RNG.dirichlet(np.ones(3), N_REGIONS)
DENSE = np.corrcoef(SERIES)

NOT_OPERATIONS = {"Eigenpairs": "the result of leading_eigenpairs, whose fields are tried there"}


def _grouped(generator):
    """Return series of two groups of regions, of which one eigenvalue after the leading one stands out of the noise."""
    signals = generator.normal(size=(2, 40)) + 0.5 * generator.normal(size=40)
    return signals[np.arange(6) % 2] + 0.4 * generator.normal(size=(6, 40))


def _with_communities(generator):
    return _grouped(generator), generator.dirichlet(np.ones(2), 6)


def _with_a_constant(*others):
    series = _grouped(np.random.default_rng(5))
    series[2] = 0.1
    return series, *others


def _affinity(series, communities):
    return 0.5 * low_rank_operator(communities) + correlation_operator(series) / 2


def _dense_affinity(series, communities):
    return 0.5 * communities @ communities.T + np.corrcoef(series) / 2


def _squares(series):
    return elementwise_operator(correlation_operator(series), jnp.square, block_size=4)


def _dense_structure(series, *, n_frames=40):
    values, vectors = np.linalg.eigh(np.corrcoef(series))
    kept = values > (1 + np.sqrt(len(values) / n_frames)) ** 2
    kept[-1] = False
    return (vectors * values * kept) @ vectors.T


def _weighted_correlation(series, weight):
    matrix = np.cov(series, aweights=weight, ddof=0)
    deviation = np.sqrt(np.diag(matrix))
    return matrix / np.outer(deviation, deviation)


def _newman(weights, communities):
    strengths = weights.sum(0)
    return np.sum((weights - np.outer(strengths, strengths) / weights.sum()) * (communities @ communities.T))


def _rubinov_sporns(series, communities):
    positive, negative = np.maximum(np.corrcoef(series), 0), np.maximum(-np.corrcoef(series), 0)
    total = positive.sum()
    return _newman(positive, communities) / total - _newman(negative, communities) / (total + negative.sum())


def _dense_vectors(series):
    vectors = np.linalg.eigh(np.corrcoef(series))[1][:, :-4:-1]
    return vectors * np.sign(np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], 0))


CONSTANT = {"constant region": _with_a_constant()}
CONSTANT_TOO = {
    "constant region": _with_a_constant(np.eye(2)[np.arange(6) % 2]),
    "empty communities": _with_a_constant(np.zeros((6, 2))),
}

OP_CASES = [
    OpCase(
        name="correlation_operator",
        call=lambda x, w: to_dense(correlation_operator(x, weight=w)),
        inputs=lambda generator: (_grouped(generator), generator.uniform(0.2, 1, size=40)),
        oracle="numpy.cov, of formed matrices",
        reference=_weighted_correlation,
        degenerate={
            "constant region": _with_a_constant(np.arange(40.0) % 2),
            "no weight": _with_a_constant(np.zeros(40)),
        },
    ),
    OpCase(
        name="low_rank_operator",
        call=lambda f, k: to_dense(low_rank_operator(f, core=k + k.T)),
        inputs=lambda generator: (generator.normal(size=(6, 2)), generator.normal(size=(2, 2))),
        oracle="numpy.matmul, of formed matrices",
        reference=lambda f, k: f @ (k + k.T) @ f.T,
        degenerate={"zeros": (np.zeros((6, 2)), np.zeros((2, 2)))},
    ),
    OpCase(
        name="coaffiliation_operator",
        call=lambda q: to_dense(coaffiliation_operator(q)),
        inputs=lambda generator: (generator.dirichlet(np.ones(2), 6),),
        oracle="numpy.matmul, of formed matrices",
        reference=lambda q: q @ q.T * (1 - np.eye(6)),
        degenerate={"zeros": (np.zeros((6, 2)),)},
    ),
    OpCase(
        name="elementwise_operator",
        call=lambda x, q: _squares(x).mv(q[:, 0]),
        inputs=_with_communities,
        oracle="numpy.corrcoef, of formed matrices",
        reference=lambda x, q: np.corrcoef(x) ** 2 @ q[:, 0],
        degenerate=CONSTANT_TOO,
    ),
    OpCase(
        name="laplacian_operator",
        call=lambda x: to_dense(laplacian_operator(_squares(x), normalisation="symmetric")),
        inputs=lambda generator: (_grouped(generator),),
        oracle="scipy.sparse.csgraph.laplacian, of formed matrices",
        reference=lambda x: csgraph.laplacian(np.corrcoef(x) ** 2, normed=True),
        degenerate=CONSTANT,
    ),
    OpCase(
        name="block_mv",
        call=lambda x, q: block_mv(_affinity(x, q), q),
        inputs=_with_communities,
        oracle="numpy.matmul, of formed matrices",
        reference=lambda x, q: _dense_affinity(x, q) @ q,
        degenerate=CONSTANT_TOO,
    ),
    OpCase(
        name="row_sums",
        call=lambda x, q: row_sums(_affinity(x, q)),
        inputs=_with_communities,
        oracle="numpy.sum, of formed matrices",
        reference=lambda x, q: _dense_affinity(x, q).sum(1),
        degenerate=CONSTANT_TOO,
    ),
    OpCase(
        name="quadratic_form",
        call=lambda x, q: quadratic_form(_affinity(x, q), q),
        inputs=_with_communities,
        oracle="numpy.matmul, of formed matrices",
        reference=lambda x, q: np.diag(q.T @ _dense_affinity(x, q) @ q),
        degenerate=CONSTANT_TOO,
    ),
    OpCase(
        name="operator_diagonal",
        call=lambda x, q: operator_diagonal(_affinity(x, q)),
        inputs=_with_communities,
        oracle="numpy.diag, of formed matrices",
        reference=lambda x, q: np.diag(_dense_affinity(x, q)),
        degenerate=CONSTANT_TOO,
    ),
    OpCase(
        name="operator_trace",
        call=lambda x, q: operator_trace(_affinity(x, q)),
        inputs=_with_communities,
        oracle="numpy.trace, of formed matrices",
        reference=lambda x, q: np.trace(_dense_affinity(x, q)),
        degenerate=CONSTANT_TOO,
    ),
    OpCase(
        name="to_dense",
        call=lambda x, q: to_dense(_affinity(x, q)),
        inputs=_with_communities,
        oracle="numpy.corrcoef, of formed matrices",
        reference=_dense_affinity,
        degenerate=CONSTANT_TOO,
    ),
    OpCase(
        name="constant_potts_operator",
        call=lambda x: block_mv(correlation_operator(x) - constant_potts_operator(correlation_operator(x)), x),
        inputs=lambda generator: (_grouped(generator),),
        oracle="numpy.corrcoef, of formed matrices",
        reference=lambda x: (np.corrcoef(x) - 1) @ x,
        degenerate=CONSTANT,
    ),
    OpCase(
        name="girvan_newman_operator",
        call=lambda x: to_dense(girvan_newman_operator(_squares(x))),
        inputs=lambda generator: (_grouped(generator),),
        oracle="numpy.outer, of formed matrices",
        reference=lambda x: np.outer(*[(np.corrcoef(x) ** 2).sum(0)] * 2) / (np.corrcoef(x) ** 2).sum(),
        degenerate={**CONSTANT, "empty graph": (np.ones((6, 40)),)},
    ),
    OpCase(
        name="correlation_null_operator",
        call=lambda x: to_dense(correlation_null_operator(correlation_operator(x), n_frames=40)),
        inputs=lambda generator: (_grouped(generator),),
        oracle="numpy.linalg.eigh, of formed matrices",
        reference=lambda x: np.corrcoef(x) - _dense_structure(x),
        degenerate=CONSTANT,
    ),
    OpCase(
        name="constant_potts_modularity",
        call=lambda x, q: constant_potts_modularity(correlation_operator(x), q, gamma=0.2),
        inputs=_with_communities,
        oracle="numpy.corrcoef, of formed matrices",
        reference=lambda x, q: np.mean((np.corrcoef(x) - 0.2) * (q @ q.T)),
        degenerate=CONSTANT_TOO,
    ),
    OpCase(
        name="correlation_modularity",
        call=lambda x, q: correlation_modularity(correlation_operator(x), q, n_frames=40),
        inputs=_with_communities,
        oracle="numpy.linalg.eigh, of formed matrices",
        reference=lambda x, q: np.mean(_dense_structure(x) * (q @ q.T)),
        degenerate=CONSTANT_TOO,
    ),
    OpCase(
        name="rectified_modularity",
        call=lambda x, q: rectified_modularity(correlation_operator(x), q, sign="both", block_size=4),
        inputs=lambda generator: (generator.normal(size=(6, 40)), generator.dirichlet(np.ones(2), 6)),
        oracle="numpy.corrcoef, of formed matrices",
        reference=_rubinov_sporns,
        degenerate={**CONSTANT_TOO, "empty graph": (np.ones((6, 40)), np.eye(2)[np.arange(6) % 2])},
    ),
    OpCase(
        name="leading_eigenpairs",
        call=lambda x: leading_eigenpairs(correlation_operator(x), 3).values,
        inputs=lambda generator: (_grouped(generator),),
        oracle="numpy.linalg.eigh, of formed matrices",
        reference=lambda x: np.linalg.eigvalsh(np.corrcoef(x))[:-4:-1],
        degenerate={**CONSTANT, "equal eigenvalues": (np.kron(np.eye(6), [1.0, -1.0]) @ np.eye(12, 40),)},
    ),
    OpCase(
        name="leading_eigenpairs",
        call=lambda x: leading_eigenpairs(correlation_operator(x), 3).vectors,
        inputs=lambda generator: (_grouped(generator),),
        oracle="numpy.linalg.eigh, of formed matrices",
        reference=_dense_vectors,
        not_differentiable="eigenvectors are constants of the derivative",
    ),
]


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


def test_leading_eigenpairs_of_an_operator_that_is_smaller_than_the_basis_are_exact():
    series = np.random.default_rng(3).normal(size=(11, N_FRAMES))
    found = leading_eigenpairs(elementwise_operator(correlation_operator(series), jnp.abs), 3)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(np.abs(np.corrcoef(series)))[:-4:-1], rtol=1e-8)
    assert float(jnp.max(found.residuals)) < 1e-8


def test_leading_eigenpairs_of_an_operator_that_is_larger_than_the_basis_are_iterated():
    series = np.random.default_rng(4).normal(size=(60, N_FRAMES))
    found = leading_eigenpairs(low_rank_operator(series, core=jnp.eye(N_FRAMES)), 2, tolerance=1e-6, n_steps=4)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(series @ series.T)[:-3:-1], rtol=1e-8)
    assert float(jnp.max(found.residuals)) <= 1e-6


def test_the_derivative_in_a_weight_of_0_is_that_of_corr():
    weight = jnp.asarray(RNG.random(N_FRAMES) * (np.arange(N_FRAMES) % 3 > 0))
    probe = RNG.normal(size=(N_REGIONS, N_REGIONS))

    def formed(w):
        return (probe * corr(SERIES, weight=w)).sum(), (corr(SERIES, weight=w) ** 2 @ SOFT).sum()

    def linear(w):
        return (probe * to_dense(correlation_operator(SERIES, weight=w))).sum(), (
            block_mv(elementwise_operator(correlation_operator(SERIES, weight=w), jnp.square, block_size=4), SOFT)
        ).sum()

    for ours, theirs in zip(jax.jacrev(linear)(weight), jax.jacrev(formed)(weight), strict=True):
        assert float(jnp.abs(theirs[::3]).min()) > 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_the_derivative_of_the_null_for_correlations_in_the_weights_is_that_of_the_matrix():
    def formed(w, series):
        matrix = corr(series, weight=w)
        return ((matrix - correlation_null(matrix, n_frames=N_FRAMES)) * (SOFT @ SOFT.T)).mean()

    def linear(w, series):
        return correlation_modularity(correlation_operator(series, weight=w), SOFT, n_frames=N_FRAMES)

    for n_frames in (N_FRAMES, 5):  # the Gram matrix of the regions, and that of the frames
        weight, series = jnp.asarray(RNG.uniform(0.5, 1, size=n_frames)), jnp.asarray(SERIES[:, :n_frames])
        expected = jax.grad(formed)(weight, series)
        np.testing.assert_allclose(jax.grad(linear)(weight, series), expected, rtol=1e-7, atol=1e-12)


def test_a_mean_over_more_pairs_than_an_integer_of_32_bits_counts():
    with jax.enable_x64(False):
        operator = correlation_operator(np.tile(np.float32([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]]), (25_000, 1)))
        whole = np.ones((50_000, 1), np.float32)
        mean = float(constant_potts_modularity(operator, whole))
        found = float(correlation_modularity(operator, whole, n_frames=3, gamma=0.0))
    np.testing.assert_allclose([mean, found], (1 - 0.5) / 2, rtol=1e-3)


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
    for taker in (
        lambda: elementwise_operator(low_rank_operator(SOFT), jnp.abs),
        lambda: rectified_modularity(low_rank_operator(SOFT), SOFT),
        lambda: correlation_modularity(low_rank_operator(SOFT), SOFT, n_frames=N_FRAMES),
    ):
        with pytest.raises(TypeError, match="needs the result of correlation_operator"):
            taker()
    with pytest.raises(TypeError, match="the configuration model divides by the total weight"):
        girvan_newman_operator(operator)
    with pytest.raises(ValueError, match="block_size must be positive"):
        elementwise_operator(operator, jnp.abs, block_size=0)
    with pytest.raises(ValueError, match="factor must have shape"):
        low_rank_operator(np.ones(3))
    with pytest.raises(ValueError, match="core must have shape"):
        low_rank_operator(SOFT, core=np.eye(2))
    with pytest.raises(ValueError, match="coupling must have shape"):
        coaffiliation_operator(SOFT, coupling=np.eye(2))
    with pytest.raises(ValueError, match="block must have shape"):
        block_mv(operator, SOFT[:2])
    with pytest.raises(ValueError, match="normalisation must be"):
        laplacian_operator(operator, normalisation="?")
    with pytest.raises(ValueError, match="n_pairs must lie between"):
        leading_eigenpairs(operator, 0)
    with pytest.raises(ValueError, match="n_steps at least 2"):
        leading_eigenpairs(operator, 1, n_steps=1)
    with pytest.raises(ValueError, match="affiliation must have shape"):
        rectified_modularity(operator, SOFT[:2])
