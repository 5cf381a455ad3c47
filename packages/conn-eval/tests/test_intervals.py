import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from conn.eval import wilson_interval


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(counts):
    hits, n = counts
    low, high = wilson_interval(hits / n, n)
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high == pytest.approx(expected.high, abs=1e-12)
    assert low <= hits / n <= high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.1, 10), "proportion must lie"),
        ((float("nan"), 10), "proportion must lie"),
        ((0.5, 0), "n must be a positive"),
        ((0.5, float("inf")), "n must be a positive"),
    ],
)
def test_impossible_proportions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        wilson_interval(*arguments)
    with pytest.raises(ValueError, match="confidence must lie"):
        wilson_interval(0.5, 10, confidence=1)
