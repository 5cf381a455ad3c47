"""Distance correlation: statsmodels, blocks, masks, dependence that correlation misses, refusals."""

import numpy as np
import pytest
from op_case import OpCase
from statsmodels.stats.dist_dependence_measures import distance_correlation

from conn.functional import corr, distance_corr

SHAPE = (4, 20)

OP_CASES = [
    OpCase(
        "distance_corr",
        lambda x: distance_corr(x, block_size=8),
        lambda rng: (rng.normal(size=SHAPE),),
        "statsmodels.stats.dist_dependence_measures.distance_correlation",
        lambda x: np.array([[distance_correlation(a, b) for b in x] for a in x]),
        degenerate={
            "zeros": (np.zeros(SHAPE),),
            "constants": (np.full(SHAPE, 0.1),),
            "regions alike": (np.ones((4, 1)) * np.random.default_rng(2).normal(size=20),),
        },
    )
]


def test_blocks_do_not_matter_and_a_mask_is_deletion(rng: np.random.Generator) -> None:
    series, mask = rng.normal(size=(2, *SHAPE)), rng.random(20) > 0.3
    expected = distance_corr(series[..., mask], block_size=20)
    found = distance_corr(np.where(mask, series, np.nan), mask=mask, block_size=7)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_it_sees_what_correlation_does_not(rng: np.random.Generator) -> None:
    x = rng.normal(size=300)
    series = np.stack([x, x**2 - 1, rng.normal(size=300)])
    assert abs(corr(series)[0, 1]) < 0.25
    assert distance_corr(series)[0, 1] > 2 * distance_corr(series)[0, 2]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="two frames"):
        distance_corr(np.ones((2, 1)))
    with pytest.raises(ValueError, match="at least 1 frame"):
        distance_corr(np.ones((2, 4)), block_size=0)
