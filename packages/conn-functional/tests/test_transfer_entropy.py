"""Transfer entropy: ratios of determinants, and what a known autoregression has."""

import jax
import numpy as np
import pytest
import scipy.linalg
from op_case import OpCase
from planted_network import simulated

from conn.functional import transfer_entropy

SHAPE = (3, 60)
ORDER = 2
entropy = jax.jit(transfer_entropy, static_argnums=1, static_argnames="conditional")


def _from_determinants(series: np.ndarray, *, conditional: bool, order: int = ORDER) -> np.ndarray:
    """Return half the logarithm of determinants of covariances, pair by pair."""
    n_regions, n_frames = series.shape
    past = {r: [series[r, order - lag : n_frames - lag] for lag in range(1, order + 1)] for r in range(n_regions)}

    def volume(rows: list[np.ndarray]) -> float:
        return float(np.linalg.slogdet(np.cov(rows).reshape(len(rows), -1))[1])

    found = np.zeros((n_regions, n_regions))
    for target, source in np.argwhere(~np.eye(n_regions, dtype=bool)):
        known = [r for r in range(n_regions) if r != source] if conditional else [target]
        known = [row for r in known for row in past[r]]
        present, more = [series[target, order:]], known + past[source]
        found[target, source] = (volume(present + known) - volume(known) - volume(present + more) + volume(more)) / 2
    return found


OP_CASES = [
    OpCase(
        "transfer_entropy",
        lambda series: transfer_entropy(series, ORDER),
        lambda rng: (rng.normal(size=(3, 3)) @ rng.normal(size=SHAPE).cumsum(-1) * 0.3 + rng.normal(size=SHAPE),),
        "numpy.linalg.slogdet",
        lambda series: _from_determinants(series, conditional=True),
        degenerate={"zeros": (np.zeros(SHAPE),), "constants": (np.full(SHAPE, 0.1),)},
    ),
]


def test_it_is_a_ratio_of_determinants_between_pairs_too(rng):
    series = simulated(rng, 80)
    found = entropy(series, ORDER, conditional=False)
    np.testing.assert_allclose(found, _from_determinants(series, conditional=False), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("conditional", [True, False])
def test_a_known_autoregression_has_the_entropy_of_its_lyapunov_covariance(conditional, rng):
    chain = np.array([[0.5, 0.0, 0.0], [0.6, 0.5, 0.0], [0.0, 0.6, 0.5]])
    within = scipy.linalg.solve_discrete_lyapunov(chain, np.eye(3))
    joint = np.block([[within, chain @ within], [(chain @ within).T, within]])  # now, and one frame before

    def uncertainty(target: int, known: list[int]) -> float:
        past = [3 + region for region in known]
        carried = joint[target, past] @ np.linalg.solve(joint[np.ix_(past, past)], joint[past, target])
        return float(np.log(joint[target, target] - carried)) / 2

    expected = np.zeros((3, 3))
    for target, source in np.argwhere(~np.eye(3, dtype=bool)):
        known = [region for region in range(3) if region != source] if conditional else [target]
        expected[target, source] = uncertainty(target, known) - uncertainty(target, [*known, source])
    found = np.asarray(entropy(simulated(rng, 8000, chain), 1, conditional=conditional))
    np.testing.assert_allclose(found, expected, atol=2e-2)
    assert (expected[2, 0] > 0.02) is not conditional  # through the middle of the chain


def test_the_mean_of_unrelated_series_is_the_stated_bias(rng):
    found = np.asarray(entropy(rng.normal(size=(300, 3, 100)), ORDER))
    left = 100 - ORDER - 3 * ORDER - 1
    np.testing.assert_allclose(found[:, ~np.eye(3, dtype=bool)].mean(), ORDER / 2 / left, rtol=0.1)


def test_more_lags_than_frames_are_refused(rng):
    with pytest.raises(ValueError, match="need more than 61 frames"):
        transfer_entropy(rng.normal(size=SHAPE), 60)
