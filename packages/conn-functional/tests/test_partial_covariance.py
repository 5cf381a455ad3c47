"""Precision, partial and conditional covariance: scikit-learn, nilearn, regression residuals, and the refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.covariance
from nilearn.connectome import prec_to_partial
from op_case import OpCase

from conn.functional import conditional_corr, conditional_cov, partial_corr, partial_cov, precision

SHAPE = (5, 40)
FLAT = {
    "zeros": (np.zeros(SHAPE),),
    "constants": (np.full(SHAPE, 0.1),),
}
ALIKE = {**FLAT, "regions alike": (np.ones((5, 1)) * np.random.default_rng(2).normal(size=40),)}
PAIRED_FLAT = {label: (series, series[:3], np.ones(40)) for label, (series,) in ALIKE.items()}


def _related(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(5, 5)) @ rng.normal(size=SHAPE) + 2.0,)


def _two(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    given = rng.normal(size=(3, 40))
    return rng.normal(size=(5, 3)) @ given + rng.normal(size=SHAPE), given, rng.uniform(0.1, 2.0, size=40)


def _residuals(series: np.ndarray, given: np.ndarray, weight: np.ndarray) -> np.ndarray:
    design = np.concatenate([given, np.ones((1, given.shape[-1]))]).T
    root = np.sqrt(weight)[:, None]
    return series - (design @ np.linalg.lstsq(design * root, series.T * root, rcond=None)[0]).T


def _partial_by_regression(series: np.ndarray) -> np.ndarray:
    n_regions, ones = len(series), np.ones(series.shape[-1])
    matrix = np.zeros((n_regions, n_regions))
    for i in range(n_regions):
        for j in range(n_regions):
            others = np.delete(series, [i, j], 0)
            matrix[i, j] = np.cov(_residuals(series[[i, j]], others, ones))[0, 1 if i != j else 0]
    return matrix


def _conditional(series: np.ndarray, given: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.cov(_residuals(series, given, weight), aweights=weight)


def _as_corr(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))


OP_CASES = [
    OpCase("precision", precision, _related, "numpy.linalg.inv", lambda x: np.linalg.inv(np.cov(x)), degenerate=FLAT),
    OpCase(
        "precision",
        lambda x: precision(x, shrinkage="ledoit_wolf"),
        _related,
        "sklearn.covariance.LedoitWolf",
        lambda x: sklearn.covariance.LedoitWolf().fit(x.T).precision_,
        degenerate=ALIKE,
    ),
    OpCase(
        "partial_corr",
        partial_corr,
        _related,
        "nilearn.connectome.prec_to_partial",
        lambda x: prec_to_partial(np.linalg.inv(np.cov(x))),
        degenerate=FLAT,
    ),
    OpCase(
        "partial_corr",
        lambda x: partial_corr(x, shrinkage="oas"),
        _related,
        "sklearn.covariance.OAS, nilearn.connectome.prec_to_partial",
        lambda x: prec_to_partial(sklearn.covariance.OAS().fit(x.T).precision_),
        degenerate=ALIKE,
    ),
    OpCase("partial_cov", partial_cov, _related, "numpy.linalg.lstsq", _partial_by_regression, degenerate=FLAT),
    OpCase(
        "conditional_cov",
        lambda x, g, w: conditional_cov(x, g, weight=w),
        _two,
        "numpy.linalg.lstsq",
        _conditional,
        degenerate=PAIRED_FLAT,
    ),
    OpCase(
        "conditional_corr",
        lambda x, g, w: conditional_corr(x, g, weight=w),
        _two,
        "numpy.linalg.lstsq",
        lambda x, g, w: _as_corr(_conditional(x, g, w)),
        degenerate=PAIRED_FLAT,
    ),
]


def test_partial_variances_are_those_given_all_the_others(rng: np.random.Generator) -> None:
    (series,) = _related(rng)
    np.testing.assert_allclose(jnp.diagonal(partial_cov(series)), 1 / np.diag(np.linalg.inv(np.cov(series))), rtol=1e-9)


def test_a_mask_is_deletion(rng: np.random.Generator) -> None:
    (series,), mask = _related(rng), rng.random(40) > 0.2
    spoilt = np.where(mask, series, np.nan)
    np.testing.assert_allclose(precision(spoilt, mask=mask), precision(series[:, mask]), rtol=1e-8, atol=1e-10)
    series, given, _ = _two(rng)
    found = conditional_cov(np.where(mask, series, np.nan), np.where(mask, given, np.nan), mask=mask)
    np.testing.assert_allclose(found, conditional_cov(series[:, mask], given[:, mask]), rtol=1e-8, atol=1e-10)


def test_a_constant_region_stands_aside(rng: np.random.Generator) -> None:
    (series,) = _related(rng)
    flat = np.concatenate([series, np.full((1, 40), 0.3)])
    np.testing.assert_allclose(precision(flat)[:5, :5], precision(series), rtol=1e-9)
    assert (precision(flat)[5] == 0).all()
    assert (partial_corr(flat)[5] == 0).all()
    assert jnp.isnan(partial_corr(flat, constant="nan")[5]).all()
    assert (jnp.diagonal(partial_corr(series)) == 1).all()


def test_ridge_and_intensity_enter_the_covariance(rng: np.random.Generator) -> None:
    (series,) = _related(rng)
    matrix = np.cov(series)
    mean = np.trace(matrix) / 5
    np.testing.assert_allclose(precision(series, ridge=0.3), np.linalg.inv(matrix + 0.3 * mean * np.eye(5)), rtol=1e-8)
    shrunk = 0.6 * matrix + 0.4 * mean * np.eye(5)
    np.testing.assert_allclose(precision(series, shrinkage=0.4), np.linalg.inv(shrunk), rtol=1e-8)


def test_many_regions_are_inverted_by_halves(rng: np.random.Generator) -> None:
    series = rng.normal(size=(2, 131, 400)) + 2 * rng.normal(size=(2, 1, 400))
    expected = np.stack([prec_to_partial(np.linalg.inv(np.cov(scan))) for scan in series])
    np.testing.assert_allclose(partial_corr(series), expected, atol=1e-10)


def test_no_more_frames_than_regions_are_refused_by_their_shapes() -> None:
    with pytest.raises(ValueError, match="no inverse: give shrinkage"):
        precision(np.ones((5, 5)))


def test_too_few_independent_frames_are_refused_by_their_values(rng: np.random.Generator) -> None:
    spectrum = np.fft.rfft(rng.normal(size=(40, 200)))
    spectrum[:, 12:] = 0.0  # about 24 independent frames for 40 regions
    series = np.fft.irfft(spectrum)
    with pytest.raises(eqx.EquinoxRuntimeError, match="fewer independent ones than the 40 regions"):
        jax.block_until_ready(partial_corr(series))
    for settings in ({"shrinkage": "ledoit_wolf"}, {"shrinkage": 0.1}, {"ridge": 0.1}):
        assert jnp.isfinite(partial_corr(series, **settings)).all()
    assert partial_corr(series, allow_singular=True).shape == (40, 40)
    assert jnp.isfinite(partial_corr(rng.normal(size=(40, 200)))).all()


def test_collinear_confounds_do_no_harm(rng: np.random.Generator) -> None:
    series, given, weight = _two(rng)
    doubled = np.concatenate([given, given[:1] + given[1:2]])
    expected = conditional_cov(series, given, weight=weight)
    np.testing.assert_allclose(conditional_cov(series, doubled, weight=weight), expected, rtol=1e-5, atol=1e-7)


def test_conditioning_leaves_a_constant_region_constant_in_float32_at_any_scale(rng: np.random.Generator) -> None:
    series = np.concatenate([rng.normal(size=(2, 120)), np.full((1, 120), 0.1)]).astype(np.float32)
    given = rng.normal(size=(1, 120)).astype(np.float32)
    expected = conditional_corr(series, given)
    assert not np.asarray(expected)[2].any()
    for scale in np.float32([1e-8, 1e8]):
        np.testing.assert_allclose(conditional_corr(series * scale, given), expected, atol=1e-6)


def test_a_region_that_is_explained_wholly_is_constant(rng: np.random.Generator) -> None:
    series, given, _ = _two(rng)
    series[2] = given[0] - 2 * given[1]
    found = conditional_corr(series, given)
    assert (found[2] == 0).all()
    assert found[0, 0] == 1


REFUSED = {
    "shrinkage": (lambda: precision(np.ones(SHAPE), shrinkage="lasso"), "ledoit_wolf"),
    "ridge": (lambda: precision(np.ones(SHAPE), ridge=-0.1), "must not be negative"),
    "frames": (lambda: conditional_cov(np.ones(SHAPE), np.ones((2, 30))), "same frames"),
    "too many given": (lambda: conditional_cov(np.ones(SHAPE), np.ones((40, 40))), "more frames than that"),
    "leading axes": (lambda: conditional_cov(np.ones((2, *SHAPE)), np.ones((3, 2, 40))), "must broadcast"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
