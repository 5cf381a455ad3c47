"""Granger causality: statsmodels' tests pair by pair, refits without each source, planted networks, chance."""

import warnings

import jax
import numpy as np
import pytest
from op_case import OpCase
from planted_network import TRUTH, simulated
from scipy.signal import butter, sosfiltfilt
from statsmodels.tsa.stattools import grangercausalitytests

from conn.functional import granger_causality, granger_test

SHAPE = (3, 60)
ORDER = 2
NOT_OPERATIONS = {"GrangerTest": "what the test returns"}
causality = jax.jit(granger_causality, static_argnums=1, static_argnames=("conditional", "ridge"))


def _past(series: np.ndarray, order: int) -> np.ndarray:
    n_frames = series.shape[-1]
    return np.concatenate([series[:, order - lag : n_frames - lag] for lag in range(1, order + 1)])


def _rss(rows: np.ndarray, target: np.ndarray, penalty: float) -> float:
    rows, target = rows - rows.mean(-1, keepdims=True), target - target.mean()
    found = np.linalg.solve(rows @ rows.T + penalty * np.eye(len(rows)), rows @ target)
    return float(np.square(target - found @ rows).sum())


def _refitted(series: np.ndarray, *, conditional: bool, ridge: float = 0.0, order: int = ORDER) -> np.ndarray:
    n_regions, matrix = len(series), np.zeros((len(series), len(series)))
    everything = _past(series, order)
    spread = np.square(everything - everything.mean(-1, keepdims=True)).sum(-1).mean()
    for target in range(n_regions):
        for source in set(range(n_regions)) - {target}:
            known = [region for region in range(n_regions) if region != source] if conditional else [target]
            sums = [
                _rss(_past(series[chosen], order), series[target, order:], ridge * spread)
                for chosen in (known, [*known, source])
            ]
            matrix[target, source] = np.log(sums[0] / sums[1])
    return matrix


def _correlated(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(3, 3)) @ rng.normal(size=SHAPE).cumsum(-1) * 0.3 + rng.normal(size=SHAPE),)


FLAT = {"zeros": (np.zeros(SHAPE),), "constants": (np.full(SHAPE, 0.1),)}

OP_CASES = [
    OpCase(
        "granger_causality",
        lambda series: granger_causality(series, ORDER),
        _correlated,
        "property: refitting without each source, conditional and pairwise, with and without a ridge",
        lambda series: _refitted(series, conditional=True),
        degenerate=FLAT,
    ),
    OpCase(
        "granger_test",
        lambda series: granger_test(series, ORDER, conditional=False)[:5],
        _correlated,
        "statsmodels.tsa.stattools.grangercausalitytests",
        lambda series: _statsmodels(series),
        rtol=1e-6,
        degenerate=FLAT,
    ),
]


def _statsmodels(series: np.ndarray) -> tuple[np.ndarray, ...]:
    n_regions = len(series)
    found = np.zeros((5, n_regions, n_regions))
    found[2], found[4] = np.eye(n_regions), np.eye(n_regions)
    for target, source in np.argwhere(~np.eye(n_regions, dtype=bool)):
        tests = grangercausalitytests(series[[target, source]].T, [ORDER])[ORDER][0]
        found[1, target, source], found[2, target, source] = tests["ssr_ftest"][:2]
        found[3, target, source], found[4, target, source] = tests["lrtest"][:2]
        found[0, target, source] = tests["lrtest"][0] / (series.shape[-1] - ORDER)
    return tuple(found)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("conditional", [True, False])
def test_the_closed_form_is_refitting(conditional, ridge, rng):
    series = simulated(rng, 80)
    found = causality(series, 3, conditional=conditional, ridge=ridge)
    np.testing.assert_allclose(
        found, _refitted(series, conditional=conditional, ridge=ridge, order=3), rtol=1e-8, atol=1e-11
    )


def test_only_planted_causes_are_significant_and_chance_is_chance(rng):
    tested = granger_test(simulated(rng, 5000), 1)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_array_equal(np.asarray(tested.f_p_value)[off] < 1e-6, TRUTH[off] != 0)
    p_values = jax.jit(jax.vmap(lambda x: granger_test(x, 2).f_p_value))(rng.normal(size=(400, 3, 100)))
    assert abs(float((np.asarray(p_values)[:, off] < 0.05).mean()) - 0.05) < 0.02


def test_what_goes_through_a_third_region_is_no_cause_given_it(rng):
    chain = simulated(rng, 5000, np.array([[0.5, 0.0, 0.0], [0.6, 0.5, 0.0], [0.0, 0.6, 0.5]]))
    pairwise, conditional = (np.asarray(causality(chain, 2, conditional=given)) for given in (False, True))
    assert pairwise[2, 0] > 0.02
    assert conditional[2, 0] < 0.003


def test_confounds_and_masked_frames_cost_degrees_of_freedom(rng):
    series, mask = rng.normal(size=SHAPE), np.arange(60) != 30
    tested = granger_test(series, ORDER, mask=mask, n_confounds=4)
    assert tested.degrees_of_freedom[0] == ORDER
    assert float(tested.degrees_of_freedom[1]) == 58 - 3 - 3 * ORDER - 1 - 4


def test_a_narrow_band_is_warned_of(rng):
    noise = rng.normal(size=(3, 400))
    filtered = sosfiltfilt(butter(3, (0.02, 0.2), "bandpass", output="sos"), noise)
    with pytest.warns(UserWarning, match="take unfiltered ones"):
        granger_causality(filtered, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        granger_causality(noise, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: granger_test(x, 1, ridge=0.1), "without a ridge only.*granger_causality"),
        (lambda x: granger_test(x, 1, n_confounds=-1), "must not be negative"),
        (lambda x: granger_causality(x, 20), "60 coefficients a target.*pairs instead of all regions"),
    ],
)
def test_bad_input_is_refused(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(rng.normal(size=SHAPE))
