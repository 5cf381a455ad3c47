import equinox as eqx
import jax
import jax.numpy as jnp
import nilearn.signal
import numpy as np
import pytest
from op_case import OpCase

import conn.functional

# Compiled whole, which takes less time than to compile every operation by itself.
standardise = eqx.filter_jit(conn.functional.standardise)

DEGENERATE = {
    "constant regions": (np.array([[0.1] * 40] * 5),),
    "zeros": (np.zeros((5, 40)),),
}


def _series(rng):
    return (rng.normal(size=(5, 40)) + 3,)


def _reference(method):
    return lambda x: nilearn.signal.standardize_signal(x.T, standardize=method).T


OP_CASES = [
    OpCase(
        "standardise",
        standardise,
        _series,
        oracle="nilearn.signal.standardize_signal",
        reference=_reference("zscore_sample"),
        rtol=1e-10,
        degenerate=DEGENERATE,
    ),
    OpCase(
        "standardise",
        lambda x: standardise(x, "percent_signal_change"),
        _series,
        oracle="nilearn.signal.standardize_signal",
        reference=_reference("psc"),
        rtol=1e-10,
        degenerate=DEGENERATE,
    ),
]


@pytest.mark.parametrize("method", ["zscore", "mean", "percent_signal_change"])
def test_a_mask_equals_deletion(method, rng):
    series = rng.normal(size=(2, 3, 30)) + 2
    mask = rng.random(30) > 0.3
    series[..., ~mask] = np.nan
    found = standardise(series, method, mask=mask)
    np.testing.assert_allclose(found[..., mask], standardise(series[..., mask], method), rtol=1e-12)
    assert not found[..., ~mask].any()


def test_the_mean_is_taken_off_alone(rng):
    series = rng.normal(size=(3, 30)) + 2
    np.testing.assert_allclose(standardise(series, "mean"), series - series.mean(-1, keepdims=True), atol=1e-12)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_z_scores_do_not_know_the_scale_in_single_precision(scale, rng):
    series = rng.normal(size=(3, 200)).astype(np.float32)
    scaled = standardise(jnp.asarray(series * np.float32(scale)))
    np.testing.assert_allclose(scaled, standardise(jnp.asarray(series)), atol=1e-5)


def test_a_region_that_is_constant_but_for_rounding_gives_zeros():
    series = jnp.full((1, 1000), 0.1, jnp.float32)
    assert not standardise(series).any()
    assert not standardise(series, mask=jnp.arange(1000) > 3).any()


def test_a_mean_of_zero_gives_zero_percent_with_a_finite_gradient():
    series = jnp.asarray([[1.0, -1.0, 1.0, -1.0]])
    value, gradient = jax.value_and_grad(lambda x: (standardise(x, "percent_signal_change") ** 2).sum())(series)
    assert float(value) == 0.0
    assert bool(jnp.isfinite(gradient).all())


def test_bad_values_are_refused_where_they_are_checked():
    series, mask = np.array([[1.0, np.nan, 3.0]]), np.array([True, False, True])
    assert np.isfinite(standardise(series, mask=mask, check=True)).all()
    with pytest.raises(RuntimeError, match="NaN or infinity in a frame that counts"):
        standardise(series, check=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: standardise(np.ones((2, 8)), "psc"), "method must be one of"),
        (lambda: standardise(np.ones((2, 1))), "more than 1 frames are needed"),
        (lambda: standardise(np.ones(8)), "must have shape"),
        (lambda: standardise(np.ones((2, 8)), mask=np.ones(7, bool)), "one value for each of the 8 frames"),
        (lambda: standardise(np.ones((2, 3, 8)), mask=np.ones((3, 8), bool)), "leading axes of mask"),
    ],
)
def test_misfitting_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
