import equinox as eqx
import jax
import jax.numpy as jnp
import nilearn.signal
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from op_case import OpCase
from sklearn.linear_model import Ridge

import conn.functional

# Compiled whole, which takes less time than to compile every operation by itself.
detrend, residualise = eqx.filter_jit(conn.functional.detrend), eqx.filter_jit(conn.functional.residualise)

RNG = np.random.default_rng(5)
SERIES = RNG.normal(size=(5, 40))
COLLINEAR = np.stack([SERIES[0], 2 * SERIES[0], np.ones(40)])


def _pair(rng):
    return rng.normal(size=(5, 40)) + 2, rng.normal(size=(3, 40)) + 1


def _nilearn(series, confounds):
    return nilearn.signal.clean(
        series.T - series.mean(-1), confounds=confounds.T, detrend=False, standardize=None, filter=False
    ).T


def _ridge(series, confounds):
    model = Ridge(alpha=2.0, fit_intercept=True, solver="svd").fit(confounds.T, series.T)
    return series - model.predict(confounds.T).T


OP_CASES = [
    OpCase(
        "detrend",
        detrend,
        lambda rng: (rng.normal(size=(5, 40)) + np.arange(40.0),),
        oracle="scipy.signal.detrend",
        reference=lambda x: scipy.signal.detrend(x, axis=-1),
        rtol=1e-9,
        degenerate={"a line": (np.arange(200.0).reshape(5, 40),), "zeros": (np.zeros((5, 40)),)},
    ),
    OpCase(
        "residualise",
        residualise,
        _pair,
        oracle="nilearn.signal.clean",
        reference=_nilearn,
        rtol=1e-8,
        degenerate={
            "collinear and constant confounds": (SERIES, COLLINEAR),
            "no variance at all": (np.ones((5, 40)), np.ones((3, 40))),
            "zero confounds": (SERIES, np.zeros((3, 40))),
        },
    ),
    OpCase(
        "residualise",
        lambda x, c: residualise(x, c, ridge=2.0),
        lambda rng: (rng.normal(size=(5, 40)), rng.normal(size=(3, 40))),
        oracle="sklearn.linear_model.Ridge",
        reference=_ridge,
        rtol=1e-8,
        degenerate={"collinear and constant confounds": (SERIES, COLLINEAR)},
    ),
]


@pytest.mark.parametrize("order", [0, 1, 2, 4])
def test_a_polynomial_of_the_order_leaves_nothing(order):
    time = np.linspace(-1, 3, 50)
    trend = np.polynomial.Polynomial(RNG.normal(size=order + 1))(time)[None]
    mask = RNG.random(50) > 0.3
    assert np.abs(detrend(trend, order=order)).max() < 1e-10
    assert np.abs(detrend(trend, order=order, mask=mask)).max() < 1e-10
    assert np.abs(detrend(trend + time**6, order=order)).max() > 0.1


def test_a_trend_is_fitted_at_the_times_of_the_frames_that_count():
    series, mask = SERIES.copy(), np.arange(40) % 5 != 2
    series[:, ~mask] = np.nan
    time = np.flatnonzero(mask)
    expected = np.stack([row - np.polyval(np.polyfit(time, row, 1), time) for row in series[:, mask]])
    found = np.asarray(detrend(series, mask=mask))
    np.testing.assert_allclose(found[:, mask], expected, atol=1e-12)
    assert not found[:, ~mask].any()


@pytest.mark.parametrize("ridge", [None, 0.5])
def test_a_mask_equals_deletion(ridge):
    mask = RNG.random(40) > 0.3
    series, confounds = SERIES.copy(), RNG.normal(size=(2, 3, 40))
    deleted = residualise(series[:, mask], confounds[..., mask], ridge=ridge)
    series[:, ~mask], confounds[..., ~mask] = np.nan, np.inf
    found = np.asarray(residualise(series, confounds, mask=mask, ridge=ridge))
    np.testing.assert_allclose(found[..., mask], deleted, atol=1e-12)
    assert not found[..., ~mask].any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_residuals_are_orthogonal_to_the_confounds_and_know_only_their_space(seed):
    rng = np.random.default_rng(seed)
    series, confounds = rng.normal(size=(5, 40)), rng.normal(size=(3, 40))
    residual = residualise(series, confounds)
    assert np.abs(residual @ confounds.T).max() < 1e-10
    assert np.abs(residual.sum(-1)).max() < 1e-10
    in_other_units = np.array([[1.0], [1e6], [1e-6]]) * (np.tri(3) @ confounds)
    np.testing.assert_allclose(residualise(series, in_other_units), residual, atol=1e-10)
    np.testing.assert_allclose(residualise(residual, confounds), residual, atol=1e-10)


def test_a_confound_given_twice_takes_nothing_more_away():
    once = residualise(SERIES, COLLINEAR[:1])
    np.testing.assert_allclose(residualise(SERIES, COLLINEAR), once, atol=1e-10)
    single = residualise(jnp.asarray(SERIES, jnp.float32), jnp.asarray(COLLINEAR, jnp.float32))
    np.testing.assert_allclose(single, once, atol=1e-4)


def test_more_confounds_than_frames_leave_nothing():
    assert np.abs(residualise(SERIES[:, :10], RNG.normal(size=(12, 10)))).max() < 1e-12


def test_without_an_intercept_the_mean_stays():
    series = SERIES + 5
    orthogonal = np.stack([np.tile([1.0, -1.0], 20)])
    found = residualise(series, orthogonal, intercept=False)
    np.testing.assert_allclose(found.mean(-1), series.mean(-1), atol=1e-12)


def test_the_gradient_at_collinear_confounds_is_that_of_the_space_they_span():
    # Moving the series changes the residual through the projector alone, whatever spans the space.
    probe = RNG.normal(size=SERIES.shape)
    by_both = jax.grad(lambda x: (residualise(x, COLLINEAR) * probe).sum())(SERIES)
    by_one = jax.grad(lambda x: (residualise(x, COLLINEAR[:1]) * probe).sum())(SERIES)
    np.testing.assert_allclose(by_both, by_one, atol=1e-10)


def test_forward_and_reverse_derivatives_agree():
    confounds = RNG.normal(size=(3, 40))
    step, probe = RNG.normal(size=(3, 40)), RNG.normal(size=SERIES.shape)
    forward = jax.jvp(lambda c: (residualise(SERIES, c) * probe).sum(), (confounds,), (step,))[1]
    reverse = jax.grad(lambda c: (residualise(SERIES, c) * probe).sum())(confounds)
    np.testing.assert_allclose(forward, (reverse * step).sum(), rtol=1e-9)


def test_batched_gradients_come_back_every_time():
    # Gradients of batched triangular solves have been seen to hang under jit; the test's time limit would tell.
    series, confounds = RNG.normal(size=(10, 20, 100)), RNG.normal(size=(10, 6, 100))
    gradient = jax.jit(jax.grad(lambda c: (residualise(series, c) ** 2).sum()))
    for _ in range(5):
        assert bool(jnp.isfinite(gradient(confounds)).all())


def test_bad_values_are_refused_where_they_are_checked():
    broken = np.where(np.arange(40) == 3, np.nan, SERIES)
    for call in (detrend, lambda x, **settings: residualise(SERIES, x, **settings)):
        checked = eqx.filter_jit(lambda x, mask, call=call: call(x, mask=mask, check=True))
        assert bool(jnp.isfinite(checked(broken, np.arange(40) != 3)).all())
        with pytest.raises(RuntimeError, match="NaN or infinity in a frame that counts"):
            checked(broken, np.ones(40, bool))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: residualise(SERIES, np.ones((3, 39))), "must have the 40 frames of the series"),
        (lambda: residualise(SERIES, np.ones(40)), "confounds must have shape"),
        (lambda: residualise(np.ones((2, 5, 40)), np.ones((3, 3, 40))), "leading axes of confounds"),
        (lambda: residualise(SERIES, np.ones((3, 40)), ridge=0.0), "ridge must be positive"),
        (lambda: detrend(SERIES, order=-1), "order must lie between 0 and the 40 frames less one"),
        (lambda: detrend(SERIES, order=40), "order must lie between"),
    ],
)
def test_misfitting_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
