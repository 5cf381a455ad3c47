import jax
import jax.numpy as jnp
import numpy as np
import pytest
from connectome_strength import strength


@pytest.fixture
def time_series():
    return np.random.default_rng(0).standard_normal((3, 5, 40)).astype(np.float32)


def test_strength_is_the_mean_absolute_correlation_of_numpy(time_series):
    expected = [(np.abs(np.corrcoef(scan)).sum(-1) - 1) / 4 for scan in time_series]
    np.testing.assert_allclose(strength(jnp.asarray(time_series)), expected, rtol=1e-4)


def test_strength_is_the_same_compiled_and_one_scan_at_a_time(time_series):
    expected = strength(jnp.asarray(time_series))
    np.testing.assert_allclose(jax.jit(strength)(time_series), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(strength)(time_series), expected, rtol=1e-5)


def test_strength_has_a_finite_gradient_that_is_not_zero(time_series):
    gradient = jax.grad(lambda series: strength(series).sum())(time_series)
    assert jnp.isfinite(gradient).all()
    assert jnp.abs(gradient).max() > 0
