"""Information of Gaussians: SciPy's entropies, integrals over densities, systems with known redundancy and synergy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from op_case import OpCase

from conn.functional import (
    dual_total_correlation,
    gaussian_entropy,
    gaussian_jensen_shannon,
    gaussian_kullback_leibler,
    gaussian_mutual_information,
    o_information,
    pairwise_mutual_information,
    total_correlation,
)


def _covariance(rng: np.random.Generator, n_regions: int = 5) -> np.ndarray:
    factor = rng.normal(size=(n_regions, 12))
    return factor @ factor.T / 12


def _entropy(covariance: np.ndarray) -> float:
    return float(scipy.stats.multivariate_normal(cov=covariance).entropy())


def _shared(covariance: np.ndarray, first: list[int], second: list[int]) -> float:
    parts = [_entropy(covariance[np.ix_(chosen, chosen)]) for chosen in (first, second, first + second)]
    return parts[0] + parts[1] - parts[2]


def _one_by_one(covariance: np.ndarray) -> float:
    return sum(_entropy(covariance[i : i + 1, i : i + 1]) for i in range(len(covariance)))


def _leaving_one_out(covariance: np.ndarray) -> float:
    whole, n_regions = _entropy(covariance), len(covariance)
    others = [[j for j in range(n_regions) if j != i] for i in range(n_regions)]
    return whole - sum(whole - _entropy(covariance[np.ix_(rest, rest)]) for rest in others)


ONE = {"independent": (np.eye(5),), "equal correlations": (np.full((5, 5), 0.5) + 0.5 * np.eye(5),)}
TWO = {"equal": (np.eye(5), np.eye(5))}

OP_CASES = [
    OpCase(
        "gaussian_entropy",
        gaussian_entropy,
        lambda rng: (_covariance(rng),),
        "scipy.stats.multivariate_normal.entropy",
        _entropy,
        degenerate=ONE,
    ),
    OpCase(
        "gaussian_mutual_information",
        lambda c: gaussian_mutual_information(c, [0, 3], [1, 2]),
        lambda rng: (_covariance(rng),),
        "scipy.stats.multivariate_normal.entropy",
        lambda c: _shared(c, [0, 3], [1, 2]),
        degenerate=ONE,
    ),
    OpCase(
        "pairwise_mutual_information",
        pairwise_mutual_information,
        lambda rng: (np.corrcoef(rng.normal(size=(5, 12))),),
        "scipy.stats.multivariate_normal.entropy",
        lambda r: np.array([[0 if i == j else _shared(r, [i], [j]) for j in range(5)] for i in range(5)]),
        degenerate=ONE,
    ),
    OpCase(
        "total_correlation",
        total_correlation,
        lambda rng: (_covariance(rng),),
        "scipy.stats.multivariate_normal.entropy",
        lambda c: _one_by_one(c) - _entropy(c),
        degenerate=ONE,
    ),
    OpCase(
        "dual_total_correlation",
        dual_total_correlation,
        lambda rng: (_covariance(rng),),
        "scipy.stats.multivariate_normal.entropy",
        _leaving_one_out,
        degenerate=ONE,
    ),
    OpCase(
        "o_information",
        o_information,
        lambda rng: (_covariance(rng),),
        "scipy.stats.multivariate_normal.entropy",
        lambda c: _one_by_one(c) - _entropy(c) - _leaving_one_out(c),
        degenerate=ONE,
    ),
    OpCase(
        "gaussian_kullback_leibler",
        lambda a, b, m: gaussian_kullback_leibler(a, b, first_mean=m),
        lambda rng: (_covariance(rng), _covariance(rng), rng.normal(size=5)),
        "property: the integral over both densities, and the drift between equal covariances",
        degenerate={"equal": (np.eye(5), np.eye(5), np.zeros(5))},
    ),
    OpCase(
        "gaussian_jensen_shannon",
        gaussian_jensen_shannon,
        lambda rng: (_covariance(rng), _covariance(rng)),
        "property: symmetric, and a half of both divergences from the Gaussian between",
        degenerate=TWO,
    ),
]


def test_divergence_is_the_integral_over_densities():
    grid = np.linspace(-30, 30, 200_001)
    first, second = scipy.stats.norm(1.0, 1.5), scipy.stats.norm(-0.5, 2.0)
    expected = np.trapezoid(first.pdf(grid) * (first.logpdf(grid) - second.logpdf(grid)), grid)
    found = gaussian_kullback_leibler(
        np.array([[1.5**2]]), np.array([[4.0]]), first_mean=np.array([1.0]), second_mean=np.array([-0.5])
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_jensen_shannon_divergence_is_that_to_the_normalised_geometric_mean():
    grid = np.linspace(-30, 30, 200_001)
    densities = scipy.stats.norm(1.0, 1.5).pdf(grid), scipy.stats.norm(-0.5, 2.0).pdf(grid)
    between = np.sqrt(densities[0] * densities[1])
    between /= np.trapezoid(between, grid)
    expected = np.mean([np.trapezoid(p * (np.log(p + 1e-300) - np.log(between + 1e-300)), grid) for p in densities])
    first, second = np.array([[1.5**2]]), np.array([[4.0]])
    means = {"first_mean": np.array([1.0]), "second_mean": np.array([-0.5])}
    np.testing.assert_allclose(gaussian_jensen_shannon(first, second, **means), expected, rtol=1e-7)
    swapped = {"first_mean": means["second_mean"], "second_mean": means["first_mean"]}
    np.testing.assert_allclose(gaussian_jensen_shannon(second, first, **swapped), expected, rtol=1e-7)


def test_copies_are_redundant_and_a_sum_is_synergy():
    common = np.full((3, 3), 1.0) + 0.1 * np.eye(3)
    first, second, noise = np.eye(3)
    rows = np.stack([first, second, first + second + 0.1 * noise])
    assert float(o_information(common)) > 0.3
    assert float(o_information(rows @ rows.T)) < -0.3


def test_information_given_what_mediates_it_is_none(rng):
    """A chain: the first tells of the last only through the middle."""
    n = 3
    drive = np.eye(n) - np.diag([0.8, 0.8], -1)
    covariance = np.linalg.inv(drive) @ np.linalg.inv(drive).T
    assert float(gaussian_mutual_information(covariance, [0], [2])) > 0.1
    assert float(gaussian_mutual_information(covariance, [0], [2], given=[1])) < 1e-12


def test_units_do_not_matter_to_what_is_shared(rng):
    covariance, scale = _covariance(rng), np.diag([1e-3, 1.0, 1e3, 5.0, 1.0])
    for measure in (total_correlation, dual_total_correlation):
        np.testing.assert_allclose(measure(scale @ covariance @ scale), measure(covariance), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian_entropy(-np.eye(2), check=True), "covariance is not positive definite"),
        (lambda: gaussian_mutual_information(np.eye(3), [], [1]), "at least one region"),
        (lambda: gaussian_mutual_information(np.eye(3), [0, 1], [1]), "distinct indices below 3"),
        (lambda: gaussian_mutual_information(np.eye(3), [0], [3]), "distinct indices below 3"),
        (lambda: gaussian_kullback_leibler(np.eye(3), np.eye(2)), "as many regions"),
        (lambda: gaussian_kullback_leibler(np.eye(3), np.eye(3), first_mean=np.ones(2)), "each of the 3 regions"),
        (lambda: pairwise_mutual_information(np.ones((2, 3))), "region, region"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_region_shares_infinitely_much_with_its_copy():
    value, gradient = jax.value_and_grad(lambda r: pairwise_mutual_information(r)[0, 1])(jnp.ones((2, 2)))
    assert bool(jnp.isinf(value))
    assert bool(jnp.isfinite(gradient).all())


def test_what_is_not_positive_definite_is_nan():
    measured = jax.jit(lambda m: (gaussian_entropy(m), total_correlation(m), o_information(m)))(-jnp.eye(3))
    assert all(bool(jnp.isnan(value)) for value in measured)
