"""Covariance, correlation and their paired forms: agreement, masks, weights, couplings, constants and refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from op_case import OpCase

from conn.functional import corr, corr_from_cov, cov, paired_corr, paired_cov

SHAPE = (5, 40)
ROW = 0.6 ** np.arange(8)
FLAT = {
    "zeros": (np.zeros(SHAPE), np.ones(40)),
    "constants": (np.full(SHAPE, 0.1), np.ones(40)),
    "no weight": (np.random.default_rng(1).normal(size=SHAPE), np.zeros(40)),
    "two regions alike": (np.ones((5, 1)) * np.random.default_rng(2).normal(size=40), np.ones(40)),
}


def _weighted(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=SHAPE) + 3.0, rng.uniform(0.1, 2.0, size=40)


def _stacked(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(1, *SHAPE)) + 3.0, rng.uniform(0.1, 2.0, size=(3, 40))


def _two(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rng.normal(size=SHAPE), rng.normal(size=(3, 40)), rng.uniform(0.1, 2.0, size=40)


def _numpy_corr(series: np.ndarray, weight: np.ndarray) -> np.ndarray:
    matrix = np.cov(series, aweights=weight)
    return matrix / np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))


STACKED_FLAT = {label: (series[None], np.stack([weight] * 3)) for label, (series, weight) in FLAT.items()}
PAIRED_FLAT = {label: (series, series[:3], weight) for label, (series, weight) in FLAT.items()}

OP_CASES = [
    OpCase(
        "cov",
        lambda x, w: cov(x, weight=w),
        _weighted,
        "numpy.cov",
        lambda x, w: np.cov(x, aweights=w),
        degenerate=FLAT,
    ),
    OpCase(
        "cov",
        lambda x, w: cov(x, weight=w, ridge=0.1),
        _stacked,
        "numpy.cov",
        lambda x, w: np.stack([(c := np.cov(x[0], aweights=v)) + 0.1 * np.trace(c) / 5 * np.eye(5) for v in w]),
        degenerate=STACKED_FLAT,
    ),
    OpCase(
        "corr",
        lambda x, w: corr(x, weight=w),
        _weighted,
        "numpy.corrcoef, numpy.cov",
        _numpy_corr,
        degenerate=FLAT,
    ),
    OpCase(
        "corr",
        lambda x, w: corr(x, weight=w),
        _stacked,
        "numpy.cov",
        lambda x, w: np.stack([_numpy_corr(x[0], v) for v in w]),
        degenerate=STACKED_FLAT,
    ),
    OpCase(
        "corr_from_cov",
        corr_from_cov,
        lambda rng: (np.cov(rng.normal(size=SHAPE)),),
        "numpy.corrcoef",
        lambda c: c / np.sqrt(np.outer(np.diag(c), np.diag(c))),
        degenerate={"zeros": (np.zeros((5, 5)),)},
    ),
    OpCase(
        "paired_cov",
        lambda x, y, w: paired_cov(x, y, weight=w),
        _two,
        "numpy.cov",
        lambda x, y, w: np.cov(np.concatenate([x, y]), aweights=w)[:5, 5:],
        degenerate=PAIRED_FLAT,
    ),
    OpCase(
        "paired_corr",
        lambda x, y, w: paired_corr(x, y, weight=w),
        _two,
        "numpy.cov",
        lambda x, y, w: _numpy_corr(np.concatenate([x, y]), w)[:5, 5:],
        degenerate=PAIRED_FLAT,
    ),
]

FAMILY = {
    "cov": cov,
    "corr": corr,
    "paired_cov": lambda x, **settings: paired_cov(x, x[..., :3, :], **settings),
    "paired_corr": lambda x, **settings: paired_corr(x, x[..., :3, :], **settings),
}


@pytest.mark.parametrize("name", FAMILY)
def test_a_masked_frame_counts_as_if_it_were_deleted(name: str, rng: np.random.Generator) -> None:
    series, mask = rng.normal(size=SHAPE), rng.random(40) > 0.3
    spoilt = np.where(mask, series, np.nan)
    np.testing.assert_allclose(FAMILY[name](spoilt, mask=mask), FAMILY[name](series[:, mask]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", FAMILY)
def test_a_weight_is_a_diagonal_coupling(name: str, rng: np.random.Generator) -> None:
    series, weight = _weighted(rng)
    expected = FAMILY[name](series, weight=weight)
    np.testing.assert_allclose(FAMILY[name](series, coupling=np.diag(weight)), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", FAMILY)
def test_a_toeplitz_coupling_equals_its_matrix(name: str, rng: np.random.Generator) -> None:
    series, weight = _weighted(rng)
    matrix = scipy.linalg.toeplitz(np.r_[ROW, np.zeros(32)])
    expected = FAMILY[name](series, weight=weight, coupling=matrix)
    np.testing.assert_allclose(FAMILY[name](series, weight=weight, toeplitz=ROW), expected, rtol=1e-9, atol=1e-12)


def test_a_coupling_is_the_textbook_form(rng: np.random.Generator) -> None:
    series, weight = _weighted(rng)
    root = np.sqrt(weight)
    form = root[:, None] * scipy.linalg.toeplitz(np.r_[ROW, np.zeros(32)]) * root
    mean = series @ form.sum(1) / form.sum()
    centred = series - mean[:, None]
    divisor = np.trace(form) - (form.sum(1) ** 2).sum() / form.sum()
    expected = centred @ form @ centred.T / divisor
    np.testing.assert_allclose(cov(series, weight=weight, toeplitz=ROW), expected, rtol=1e-9)


def test_gradients_through_a_toeplitz_coupling_are_finite_at_weights_of_zero(rng: np.random.Generator) -> None:
    series, weight = _weighted(rng)
    weight[::3] = 0.0
    gradient = jax.grad(lambda w: (corr(series, weight=w, toeplitz=ROW) ** 2).sum())(jnp.asarray(weight))
    assert jnp.isfinite(gradient).all()


def test_a_coupling_that_is_not_semidefinite_gives_nan_and_not_a_number_that_looks_right() -> None:
    series = np.array([[1.0, -1.0, 1.0, -1.0], [1.0, 2.0, 3.0, 5.0]])
    found = corr(series, toeplitz=np.array([1.0, 1.5]))
    assert jnp.isnan(found[0]).all()


def test_the_diagonal_is_exactly_one_with_weights(rng: np.random.Generator) -> None:
    series, weight = _stacked(rng)
    assert (jnp.diagonal(corr(series, weight=weight), axis1=-2, axis2=-1) == 1.0).all()
    assert (jnp.diagonal(corr(series[0], weight=weight[0])) == 1.0).all()
    np.testing.assert_allclose(jnp.diagonal(paired_corr(series[0], series[0], weight=weight[0])), 1.0, rtol=1e-14)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_correlation_has_no_scale_in_float32(scale: float, rng: np.random.Generator) -> None:
    series, weight = (array.astype(np.float32) for array in _stacked(rng))
    scaled = series * np.float32(scale)
    np.testing.assert_allclose(corr(scaled, weight=weight), corr(series, weight=weight), atol=2e-6)
    np.testing.assert_allclose(corr(scaled[0]), corr(series[0]), atol=2e-6)


@pytest.mark.parametrize("weight", [None, np.ones((2, 40), np.float32)])
def test_a_constant_region_is_zero_or_nan_by_policy(weight: np.ndarray | None, rng: np.random.Generator) -> None:
    series = rng.normal(size=(1, *SHAPE)).astype(np.float32)
    series[:, 2] = 0.1
    zero, nan = corr(series, weight=weight), corr(series, weight=weight, constant="nan")
    assert (zero[..., 2, :] == 0).all()
    assert jnp.isnan(nan[..., 2, :]).all()
    assert jnp.isnan(nan[..., :, 2]).all()
    assert (nan[..., 0, 0] == 1).all()
    assert jnp.isnan(paired_corr(series, series, constant="nan")[..., 2, :]).all()


def test_a_stack_of_scans_and_communities_keeps_its_axes(rng: np.random.Generator) -> None:
    series, weight = rng.normal(size=(4, *SHAPE)), rng.uniform(0.1, 1.0, size=(4, 3, 40))
    found = corr(series[:, None], weight=weight)
    assert found.shape == (4, 3, 5, 5)
    np.testing.assert_allclose(found[2, 1], _numpy_corr(series[2], weight[2, 1]), rtol=1e-10, atol=1e-12)
    outer = corr(series[None], weight=weight.swapaxes(0, 1))
    np.testing.assert_allclose(outer, jnp.swapaxes(found, 0, 1), rtol=1e-10, atol=1e-12)


def test_the_closed_derivative_of_a_stack_equals_that_of_the_textbook(rng: np.random.Generator) -> None:
    series, weight = jnp.asarray(rng.normal(size=(2, 1, *SHAPE))), jnp.asarray(rng.uniform(0.1, 1, size=(2, 3, 40)))
    probe = rng.normal(size=(2, 3, 5, 5))

    def textbook(x, w):
        shares = w / w.sum(-1, keepdims=True)
        centred = x - (x * shares[..., None, :]).sum(-1, keepdims=True)
        product = (centred * shares[..., None, :]) @ jnp.swapaxes(centred, -1, -2)
        deviation = jnp.sqrt(jnp.diagonal(product, axis1=-2, axis2=-1))
        return (probe * product / deviation[..., :, None] / deviation[..., None, :]).sum()

    found = jax.jit(jax.grad(lambda x, w: (probe * corr(x, weight=w)).sum(), (0, 1)))(series, weight)
    expected = jax.jit(jax.grad(textbook, (0, 1)))(series, weight)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), shift=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3))
def test_correlation_is_symmetric_bounded_and_invariant_to_shift_and_scale(
    seed: int, shift: float, scale: float
) -> None:
    series = np.random.default_rng(seed).normal(size=SHAPE)
    found = corr(series)
    np.testing.assert_array_equal(found, found.T)
    assert (jnp.abs(found) <= 1).all()
    np.testing.assert_allclose(corr(series * scale + shift), found, atol=1e-8)


def test_a_square_weight_is_a_stack_of_weightings_and_never_a_coupling(rng: np.random.Generator) -> None:
    series, weight = rng.normal(size=(3, 6)), rng.uniform(0.1, 1, size=(6, 6))
    found = corr(series, weight=weight)
    assert found.shape == (6, 3, 3)
    np.testing.assert_allclose(found[4], _numpy_corr(series, weight[4]), rtol=1e-9)


def test_many_regions_in_blocks_equal_numpy(rng: np.random.Generator) -> None:
    series, weight = rng.normal(size=(2, 259, 60)), rng.uniform(0.1, 1.0, size=60)
    found = jax.jit(corr)(series)
    np.testing.assert_allclose(found[1], np.corrcoef(series[1]), atol=1e-13)
    np.testing.assert_array_equal(found, jnp.swapaxes(found, -1, -2))
    np.testing.assert_allclose(cov(series[0], weight=weight), np.cov(series[0], aweights=weight), atol=1e-13)
    gradient = jax.jit(jax.grad(lambda x: (corr(x) ** 3).sum()))(series[0])
    step, direction = 1e-5, rng.normal(size=(259, 60))
    ahead, behind = ((np.corrcoef(series[0] + sign * step * direction) ** 3).sum() for sign in (1, -1))
    assert abs(float((gradient * direction).sum()) / ((ahead - behind) / (2 * step)) - 1) < 1e-5


REFUSED = {
    "one axis": (lambda: cov(np.ones(3)), r"\(\.\.\., region, frame\)"),
    "no region": (lambda: cov(np.ones((0, 3))), "no empty axis"),
    "one frame": (lambda: corr(np.ones((3, 1))), "two frames"),
    "ddof": (lambda: cov(np.ones((3, 2)), ddof=2), "more than 2 frames"),
    "frames of the weight": (lambda: cov(np.ones((3, 4)), weight=np.ones(5)), "one value for each of the 4 frames"),
    "frames of the mask": (lambda: corr(np.ones((3, 4)), mask=np.ones(5, bool)), "one value for each"),
    "leading axes": (lambda: cov(np.ones((2, 3, 4)), weight=np.ones((5, 4))), "must broadcast"),
    "policy": (lambda: corr(np.ones((3, 4)), constant="one"), "constant must be"),
    "two couplings": (lambda: cov(np.ones((3, 4)), coupling=np.eye(4), toeplitz=np.ones(2)), "as a matrix"),
    "shape of the coupling": (lambda: cov(np.ones((3, 4)), coupling=np.eye(5)), "frame by frame"),
    "length of the row": (lambda: cov(np.ones((3, 4)), toeplitz=np.ones(5)), "at most 3"),
    "ridge": (lambda: cov(np.ones((3, 4)), ridge=-1.0), "must not be negative"),
    "frames of a pair": (lambda: paired_cov(np.ones((3, 4)), np.ones((3, 5))), "same frames"),
    "leading axes of a pair": (lambda: paired_cov(np.ones((2, 3, 4)), np.ones((3, 3, 4))), "must broadcast"),
    "square": (lambda: corr_from_cov(np.ones((3, 4))), r"\(\.\.\., region, region\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_shapes_and_settings_are_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()


def test_complex_series_are_refused() -> None:
    with pytest.raises(TypeError, match="must be real"):
        cov(np.ones((3, 4), complex))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": np.array([1.0, -1.0, 1.0])}, "must not be negative"),
        ({"mask": np.zeros(3, bool)}, "no frame has weight"),
        ({}, "NaN or infinity"),
    ],
)
def test_bad_values_are_refused_on_request(settings: dict, message: str) -> None:
    series = np.array([[1.0, 2.0, 4.0], [1.0, np.nan if not settings else 0.0, 3.0]])
    with pytest.raises(eqx.EquinoxRuntimeError, match=message):
        corr(series, check=True, **settings)


def test_weightings_of_many_regions_are_symmetric_and_have_the_derivative_of_few(rng: np.random.Generator) -> None:
    """From 256 regions on only blocks on and below the diagonal are computed; those above are their copies."""
    series, weights = rng.standard_normal((1, 261, 12)), rng.uniform(0.2, 1, (2, 12))
    found = corr(series, weight=weights)
    expected = [corr_from_cov(np.cov(series[0], aweights=weight)) for weight in weights]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(found, jnp.swapaxes(found, -1, -2))
    outer = rng.standard_normal(found.shape)
    gradients = jax.jit(jax.grad(lambda x, w: (corr(x, weight=w) * outer).sum(), argnums=(0, 1)))

    def one_by_one(x, w):
        return sum((corr(x[0], weight=one) * other).sum() for one, other in zip(w, outer, strict=True))

    expected = jax.jit(jax.grad(one_by_one, argnums=(0, 1)))(series, weights)
    for ours, theirs in zip(gradients(series, weights), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
