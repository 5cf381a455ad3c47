"""Every public loss: its value by other means, its derivative by finite differences, jit, and single precision."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import conn.loss

sys.path.insert(0, str(Path(__file__).parent))
from loss_cases import loss_cases

with jax.enable_x64(True):
    KEY = jax.random.PRNGKey(3)
    CASES = loss_cases(KEY)


def value(case, arguments):
    found = case.wrap(arguments) if case.wrap else arguments
    return case.loss(*found, key=KEY, **case.named)


def of_all(arguments):
    """All losses and their derivatives in the first argument: one program."""
    results = {}
    for name, case in CASES.items():
        own = arguments[name]
        results[name] = jax.value_and_grad(lambda first, case=case, own=own: value(case, (first, *own[1:])))(own[0])
    return results


def as_arrays(dtype):
    return {name: tuple(jnp.asarray(a, dtype) for a in case.arguments) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def measured():
    """Values and derivatives in double precision, and differences along a random direction."""
    rng = np.random.default_rng(1)
    directions = {name: rng.standard_normal(np.shape(case.arguments[0])) for name, case in CASES.items()}
    with jax.enable_x64(True):
        compiled = jax.jit(of_all)
        points = as_arrays(np.float64)
        double = jax.device_get(compiled(points))
        step = 1e-6
        sides = [
            jax.device_get(compiled({n: (a[0] + sign * step * directions[n], *a[1:]) for n, a in points.items()}))
            for sign in (1, -1)
        ]
    slopes = {name: float(sides[0][name][0] - sides[1][name][0]) / (2 * step) for name in CASES}
    along = {name: float(np.nansum(double[name][1] * directions[name])) for name in CASES}
    return double, slopes, along


@pytest.fixture(scope="module")
def single_values():
    of_each = jax.jit(lambda arguments: {name: value(case, arguments[name]) for name, case in CASES.items()})
    return jax.device_get(of_each(as_arrays(np.float32)))


@pytest.mark.parametrize("name", CASES)
def test_a_loss_agrees_with_numpy_or_scipy(measured, name):
    assert float(measured[0][name][0]) == pytest.approx(float(CASES[name].expected), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_the_derivative_of_a_loss_agrees_with_finite_differences(measured, name):
    _, slopes, along = measured
    assert np.isfinite(measured[0][name][1]).all()
    assert along[name] == pytest.approx(slopes[name], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_a_loss_keeps_single_precision(measured, single_values, name):
    found = single_values[name]
    assert found.dtype == np.float32
    assert np.isfinite(found)
    if name != "SlicedWasserstein":  # draws other directions in single precision
        np.testing.assert_allclose(found, measured[0][name][0], rtol=2e-4, atol=1e-5)


@pytest.mark.slow
def test_derivatives_keep_single_precision(measured):
    single = jax.device_get(jax.jit(of_all)(as_arrays(np.float32)))
    for name in CASES.keys() - {"SlicedWasserstein"}:
        double = measured[0][name][1]
        np.testing.assert_allclose(single[name][1], double, atol=2e-3 * np.abs(double).max() + 1e-6, err_msg=name)


def test_every_public_loss_has_a_case():
    public = {
        name
        for name in conn.loss.__all__
        if isinstance(getattr(conn.loss, name), type) and issubclass(getattr(conn.loss, name), conn.loss.Loss)
    }
    assert public == {type(case.loss).__name__ for case in CASES.values()}
