import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import squareform

from conn.eval import connectome_edges, connectome_strength, group_connectome


def test_edges_agree_with_the_squareform_of_scipy(cohort):
    connectomes, _, _ = cohort(3, 2)
    expected = [squareform(matrix - np.eye(12), checks=False) for matrix in connectomes]
    np.testing.assert_allclose(connectome_edges(connectomes), expected)
    assert connectome_edges(connectomes.astype(np.float32)).dtype == np.float64


def test_strength_leaves_the_diagonal_out(cohort):
    connectomes, _, _ = cohort(3, 2)
    expected = [[np.delete(matrix[i], i).mean() for i in range(len(matrix))] for matrix in connectomes]
    np.testing.assert_allclose(connectome_strength(connectomes), expected)
    connectomes[:, np.arange(12), np.arange(12)] = np.nan
    np.testing.assert_allclose(connectome_strength(connectomes), expected)


def test_group_mean_agrees_with_arctanh_and_tanh(cohort):
    connectomes, _, _ = cohort(4, 2)
    group = group_connectome(connectomes)
    off = ~np.eye(12, dtype=bool)
    np.testing.assert_allclose(group[off], np.tanh(np.arctanh(connectomes[:, off]).mean(axis=0)), atol=1e-12)
    np.testing.assert_array_equal(np.diag(group), 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6))
def test_group_mean_lies_between_the_scans_even_at_one(correlations):
    connectomes = [[[1, r], [r, 1]] for r in correlations]
    value = group_connectome(connectomes)[0, 1]
    assert min(correlations) - 1e-6 <= value <= max(correlations) + 1e-6


def test_one_perfect_correlation_does_not_decide_the_mean():
    connectomes = [[[1, r], [r, 1]] for r in (1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0)]
    assert group_connectome(connectomes)[0, 1] < 0.7


def test_group_mean_omits_nan_only_when_told():
    connectomes = np.array([[[1, 0.2], [0.2, 1]], [[1, np.nan], [np.nan, 1]]])
    with pytest.raises(ValueError, match="scan 1 is NaN between regions 0 and 1"):
        group_connectome(connectomes)
    assert group_connectome(connectomes, nan_policy="omit")[0, 1] == pytest.approx(0.2)
    assert np.isnan(group_connectome(connectomes[1:], nan_policy="omit")[0, 1])


MATRICES = np.tile(np.eye(3), (2, 1, 1))


def changed(value, *where):
    matrices = MATRICES.copy()
    for place in where:
        matrices[place] = value
    return matrices


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (MATRICES[0], r"shape \(scan, region, region\), got \(3, 3\)"),
        (MATRICES[:, :2], r"got \(2, 2, 3\)"),
        (MATRICES[:0], "at least one scan"),
        (np.ones((2, 1, 1)), "at least two regions"),
        (changed(0.5, (1, 0, 2)), "scan 1 is not symmetric: regions 0 and 2 have 0.5 one way and 0"),
        (changed(np.nan, (1, 0, 2)), "scan 1 is not symmetric: regions 0 and 2 have nan"),
        (changed(np.inf, (0, 1, 2), (0, 2, 1)), "scan 0 is infinite between regions 1 and 2"),
    ],
)
def test_bad_connectomes_are_refused_by_name(matrices, message):
    with pytest.raises(ValueError, match=message):
        connectome_edges(matrices)


def test_values_that_are_no_correlations_are_refused():
    with pytest.raises(ValueError, match=r"scan 1 has 2 between regions 0 and 2"):
        group_connectome(changed(2.0, (1, 0, 2), (1, 2, 0)))
    with pytest.raises(TypeError, match="real numbers, got dtype complex128"):
        group_connectome(MATRICES.astype(complex))
    with pytest.raises(ValueError, match="nan_policy must be"):
        group_connectome(MATRICES, nan_policy="propagate")
