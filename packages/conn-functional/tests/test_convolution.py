"""Convolution of series: NumPy's, for one kernel, one a region, pooled, causal and centred; refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
from op_case import OpCase

from conn.functional import convolve_series


def _inputs(n_own: int):
    def draw(rng: np.random.Generator):
        return rng.normal(size=(2, 5, 40)), rng.normal(size=(3, 2, n_own, 4)), rng.normal(size=3)

    return draw


def _numpy(series: np.ndarray, kernel: np.ndarray, bias: np.ndarray, *, ahead: int, pooled: bool) -> np.ndarray:
    out = np.zeros((len(kernel), *series.shape[1:])) + bias[:, None, None] * (not pooled)
    for o, i in np.ndindex(out.shape[:2]):
        for c, channel in enumerate(series):
            row = kernel[o, c, i if kernel.shape[2] > 1 else 0]
            out[o, i] += np.convolve(channel[i], row)[ahead : ahead + series.shape[-1]]
    return out.sum(1, keepdims=True) + bias[:, None, None] if pooled else out


OP_CASES: list[OpCase] = [
    OpCase(
        "convolve_series",
        lambda series, kernel, bias: convolve_series(series, kernel, bias=bias),
        _inputs(1),
        "numpy.convolve",
        lambda *arrays: _numpy(*arrays, ahead=1, pooled=False),
        degenerate={"zeros": (np.zeros((2, 5, 40)), np.zeros((3, 2, 1, 4)), np.zeros(3))},
    ),
    OpCase(
        "convolve_series",
        lambda series, kernel, bias: convolve_series(series, kernel, bias=bias, causal=True),
        _inputs(5),
        "numpy.convolve",
        lambda *arrays: _numpy(*arrays, ahead=0, pooled=False),
    ),
    OpCase(
        "convolve_series",
        lambda series, kernel, bias: convolve_series(series, kernel, bias=bias, pooled=True),
        _inputs(5),
        "numpy.convolve",
        lambda *arrays: _numpy(*arrays, ahead=1, pooled=True),
    ),
]


def test_centred_kernels_give_the_mode_same_of_numpy_and_batches_are_kept(rng):
    series, kernel = rng.normal(size=(2, 3, 1, 4, 9)), rng.normal(size=(1, 1, 1, 5))
    found = convolve_series(series, kernel)
    assert found.shape == (2, 3, 1, 4, 9)
    np.testing.assert_allclose(found[1, 2, 0, 3], np.convolve(series[1, 2, 0, 3], kernel[0, 0, 0], "same"), atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "settings", "message"),
    [
        (np.ones((1, 3, 1, 2)), {}, r"kernel must have shape \(output, 2, 5 or 1, tap\)"),
        (np.ones((1, 2, 4, 2)), {}, r"and has shape \(1, 2, 4, 2\)"),
        (np.ones((1, 2, 1, 2)), {"bias": np.ones(2)}, "bias must have one value for each of the 1 outputs"),
    ],
)
def test_kernels_that_do_not_fit_are_refused(kernel, settings, message):
    with pytest.raises(ValueError, match=message):
        convolve_series(jnp.ones((2, 5, 8)), kernel, **settings)
    with pytest.raises(ValueError, match=r"shape \(..., channel, region, frame\)"):
        convolve_series(jnp.ones((5, 8)), kernel)
