import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

import conn.loss
from conn.loss import (
    Loss,
    Reduction,
    identity,
    max_scalarise,
    mean_scalarise,
    meansq_scalarise,
    selfwmean_scalarise,
    sum_scalarise,
    vnorm_scalarise,
    wmean_scalarise,
)

matrices = hnp.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32, allow_subnormal=False))


@settings(max_examples=25, deadline=None)
@given(matrices)
def test_reductions_agree_with_numpy_in_double_precision(x):
    single, x = x, x.astype(np.float64)
    np.testing.assert_allclose(sum_scalarise(axis=0)(single), x.sum(0), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(mean_scalarise()(single), x.mean(), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(vnorm_scalarise(axis=-1)(single), np.linalg.norm(x, axis=-1), rtol=1e-5, atol=1e-36)
    np.testing.assert_allclose(
        vnorm_scalarise(p=3, axis=0)(single), np.linalg.norm(x, 3, axis=0), rtol=1e-4, atol=1e-36
    )


def test_an_outer_reduction_sees_what_the_inner_one_leaves():
    x = jnp.arange(6.0).reshape(2, 3)
    nested = mean_scalarise(inner=vnorm_scalarise(axis=-1))
    assert float(nested(x)) == pytest.approx(np.linalg.norm(x, axis=-1).mean())
    kept = mean_scalarise(axis=-1, inner=sum_scalarise(axis=0, keepdims=True))
    assert kept(x).shape == (1,)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_norm_neither_underflows_nor_overflows(scale):
    np.testing.assert_allclose(vnorm_scalarise()(jnp.array([3.0, 4.0]) * scale), 5 * scale, rtol=1e-6)


def test_the_norm_of_zero_has_a_finite_gradient():
    value, gradient = jax.value_and_grad(vnorm_scalarise(p=2))(jnp.zeros(3))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
def test_the_gradient_of_a_norm_agrees_with_finite_differences(p):
    norm = vnorm_scalarise(p=p)
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).standard_normal(5))
        check_grads(norm, (x,), order=1, modes=("rev",), eps=1e-6)


EVERY = {
    "sum": sum_scalarise(),
    "mean": mean_scalarise(inner=vnorm_scalarise(axis=-1)),
    "meansq": meansq_scalarise(inner=sum_scalarise(axis=0)),
    "max": max_scalarise(inner=mean_scalarise(axis=-1)),
    "selfwmean": selfwmean_scalarise(gradient="both", inner=max_scalarise(axis=0)),
    "vnorm": vnorm_scalarise(p=3, inner=meansq_scalarise(axis=(0,), keepdims=True)),
    "wmean": wmean_scalarise(inner=selfwmean_scalarise(gradient="both", axis=0)),
}


def test_values_and_gradients_of_nested_reductions_agree_with_numpy_and_finite_differences():
    rng = np.random.default_rng(0)
    x, along, weight = rng.standard_normal((3, 4)), rng.standard_normal((3, 4)), rng.uniform(0.1, 1, 4)
    shares = lambda v: np.exp(v) / np.exp(v).sum(0)
    largest = x.max(0)
    expected = {
        "sum": x.sum(),
        "mean": np.linalg.norm(x, axis=-1).mean(),
        "meansq": (x.sum(0) ** 2).mean(),
        "max": x.mean(-1).max(),
        "selfwmean": (shares(largest) * largest).sum(),
        "vnorm": np.linalg.norm((x**2).mean(0), 3),
        "wmean": np.average((shares(x) * x).sum(0), weights=weight),
    }

    def of_all(values):
        named = {"wmean": {"weight": weight}}
        return {name: reduction(values, **named.get(name, {})) for name, reduction in EVERY.items()}

    with jax.enable_x64(True):
        values, slopes = jax.device_get(jax.jit(lambda v: jax.jvp(of_all, (v,), (along,)))(x))
        backward = jax.device_get(jax.jit(jax.jacrev(of_all))(x))
        step = 1e-6
        ahead, behind = (jax.device_get(jax.jit(of_all)(x + sign * step * along)) for sign in (1, -1))
    assert set(EVERY) == {name.removesuffix("_scalarise") for name in conn.loss.__all__ if name.endswith("_scalarise")}
    for name, value in expected.items():
        assert float(values[name]) == pytest.approx(value, rel=1e-12)
        difference = (float(ahead[name]) - float(behind[name])) / (2 * step)
        assert float(slopes[name]) == pytest.approx(difference, rel=1e-6)
        assert float((backward[name] * along).sum()) == pytest.approx(difference, rel=1e-6)


def test_an_order_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        vnorm_scalarise(p=0.5)


def test_equal_reductions_are_equal_so_that_jit_compiles_once():
    assert mean_scalarise(inner=vnorm_scalarise(p=2)) == mean_scalarise(inner=vnorm_scalarise(p=2))
    assert isinstance(hash(mean_scalarise()), int)
    assert mean_scalarise() != Reduction(mean_scalarise().reduce, axis=0)


def test_means_of_squares_maxima_and_weighted_means_agree_with_numpy():
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    weight = np.array([1.0, 0.0, 2.0, 3.0], np.float32)
    np.testing.assert_allclose(meansq_scalarise(axis=0)(x), (x**2).mean(0), rtol=1e-5)
    np.testing.assert_allclose(max_scalarise()(x), x.max())
    average = np.average(x, axis=-1, weights=weight)
    np.testing.assert_allclose(wmean_scalarise(axis=-1)(x, weight=weight), average, rtol=1e-5)
    nested = mean_scalarise(inner=wmean_scalarise(axis=-1))
    np.testing.assert_allclose(nested(x, weight=weight), average.mean(), rtol=1e-5)
    np.testing.assert_allclose(wmean_scalarise(axis=0)(x.T, weight=weight), average, rtol=1e-5)


def test_a_value_without_weight_does_not_count_were_it_nan():
    assert float(wmean_scalarise()(jnp.array([2.0, jnp.nan]), weight=jnp.array([1.0, 0.0]))) == 2.0
    loss = Loss(2.0, score=identity, scalarisation=wmean_scalarise())
    assert float(loss(jnp.array([1.0, 3.0]), scalarisation_weight=jnp.array([3.0, 1.0]))) == 3.0


def test_a_self_weighted_mean_lies_between_the_mean_and_the_maximum():
    x = jnp.array([0.0, 1.0, 5.0])
    assert float(selfwmean_scalarise(temperature=1e4)(x)) == pytest.approx(2.0, abs=1e-2)
    assert float(selfwmean_scalarise(temperature=1e-2)(x)) == pytest.approx(5.0)
    gradients = {g: jax.grad(selfwmean_scalarise(gradient=g))(x) for g in ("value", "weight", "both")}
    np.testing.assert_allclose(gradients["value"], jax.nn.softmax(x), rtol=1e-6)
    np.testing.assert_allclose(gradients["both"], gradients["value"] + gradients["weight"], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wmean_scalarise()(jnp.ones(2)), "holds 1 weighted means, and no weights"),
        (lambda: mean_scalarise()(jnp.ones(2), weight=jnp.ones(2)), "holds 0 weighted means, and weights"),
        (lambda: selfwmean_scalarise(temperature=0), "differ from 0"),
        (lambda: selfwmean_scalarise(gradient="none"), 'gradient must be "value"'),
    ],
)
def test_misused_weights_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
