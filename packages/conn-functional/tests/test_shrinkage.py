"""Shrunk covariance: scikit-learn's matrices and intensities, masks, refusals."""

import numpy as np
import pytest
import sklearn.covariance
from op_case import OpCase

from conn.functional import ledoit_wolf, oas, shrunk_cov

SHAPE = (5, 40)
NOT_OPERATIONS = {"ShrunkCovariance": "the pair that the shrinkage estimators return"}
FLAT = {
    "zeros": (np.zeros(SHAPE),),
    "constants": (np.full(SHAPE, 0.1),),
    "regions alike": (np.ones((5, 1)) * np.random.default_rng(2).normal(size=40),),
}


def _related(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(5, 5)) @ rng.normal(size=SHAPE) + 2.0,)


OP_CASES = [
    OpCase(
        "ledoit_wolf",
        ledoit_wolf,
        _related,
        "sklearn.covariance.ledoit_wolf",
        lambda x: sklearn.covariance.ledoit_wolf(x.T),
        rtol=1e-9,
        degenerate=FLAT,
    ),
    OpCase(
        "oas",
        oas,
        _related,
        "sklearn.covariance.oas",
        lambda x: sklearn.covariance.oas(x.T),
        rtol=1e-9,
        degenerate=FLAT,
    ),
    OpCase(
        "shrunk_cov",
        lambda c, s: shrunk_cov(c, shrinkage=s),
        lambda rng: (np.cov(rng.normal(size=SHAPE)), rng.uniform(0.1, 0.9)),
        "sklearn.covariance.shrunk_covariance",
        lambda c, s: sklearn.covariance.shrunk_covariance(c, shrinkage=s),
        rtol=1e-12,
        degenerate={"zeros": (np.zeros((5, 5)), np.float64(0.5))},
    ),
]


@pytest.mark.parametrize("estimator", [ledoit_wolf, oas])
def test_a_mask_is_deletion_and_weights_of_one_are_none(estimator, rng: np.random.Generator) -> None:
    (series,), mask = _related(rng), rng.random(40) > 0.3
    for found, expected in [
        (estimator(np.where(mask, series, np.nan), mask=mask), estimator(series[:, mask])),
        (estimator(series, weight=np.full(40, 3.0)), estimator(series)),
    ]:
        np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-11)
        np.testing.assert_allclose(found.shrinkage, expected.shrinkage, rtol=1e-11)


def test_more_frames_shrink_less(rng: np.random.Generator) -> None:
    mixing = rng.normal(size=(5, 5))
    intensities = [float(ledoit_wolf(mixing @ rng.normal(size=(5, n))).shrinkage) for n in (40, 4000)]
    assert intensities[0] > 5 * intensities[1]


def test_an_intensity_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        shrunk_cov(np.eye(2), shrinkage=1.5)


def test_a_matrix_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match="region, region"):
        shrunk_cov(np.ones((2, 3)), shrinkage=0.5)
