"""Dynamic connectivity: windows, the recursion in a plain loop, recovery of planted parameters, edges, runs, masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from op_case import OpCase

from conn.functional import (
    corr,
    dynamic_conditional_corr,
    dynamic_conditional_log_likelihood,
    edge_time_series,
    fit_dynamic_conditional_corr,
    sliding_window_corr,
)

SHAPE = (3, 30)
NOT_OPERATIONS = {"DynamicConditionalFit": "what the fit of a dynamic conditional correlation returns"}
FLAT = {"zeros": (np.zeros(SHAPE),), "constants": (np.full(SHAPE, 0.1),)}
PARAMETERS = (np.float64(0.1), np.float64(0.7))
FLAT_WITH = {label: (series, *PARAMETERS) for label, (series,) in FLAT.items()}


def _series(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=SHAPE),)


def _with_parameters(rng: np.random.Generator) -> tuple[np.ndarray, np.float64, np.float64]:
    return rng.normal(size=SHAPE), np.float64(rng.uniform(0.05, 0.2)), np.float64(rng.uniform(0.5, 0.7))


def _windows(series: np.ndarray) -> np.ndarray:
    return np.stack([np.corrcoef(series[:, first : first + 12]) for first in range(0, 19, 6)])


def _loop(series: np.ndarray, news: float, decay: float) -> tuple[np.ndarray, float]:
    """Return Engle's recursion and its likelihood, a frame at a time."""
    scores = scipy.stats.zscore(series, axis=-1)
    mean = np.corrcoef(series)
    form, found, likelihood = mean, [], 0.0
    for score in scores.T:
        matrix = form / np.sqrt(np.outer(np.diag(form), np.diag(form)))
        found.append(matrix)
        likelihood += scipy.stats.multivariate_normal(cov=matrix).logpdf(score)
        form = (1 - news - decay) * mean + news * np.outer(score, score) + decay * form
    return np.stack(found), likelihood


OP_CASES = [
    OpCase(
        "sliding_window_corr",
        lambda x: sliding_window_corr(x, width=12, step=6),
        _series,
        "numpy.corrcoef",
        _windows,
        degenerate=FLAT,
    ),
    OpCase(
        "dynamic_conditional_corr",
        lambda x, a, b: dynamic_conditional_corr(x, news=a, decay=b),
        _with_parameters,
        "property: equals the recursion in a plain loop, and recovers a planted change",
        degenerate=FLAT_WITH,
    ),
    OpCase(
        "dynamic_conditional_log_likelihood",
        lambda x, a, b: dynamic_conditional_log_likelihood(x, news=a, decay=b),
        _with_parameters,
        "scipy.stats.multivariate_normal",
        lambda x, a, b: _loop(x, a, b)[1],
        degenerate=FLAT_WITH,
    ),
    OpCase(
        "fit_dynamic_conditional_corr",
        lambda x: fit_dynamic_conditional_corr(x).log_likelihood,
        _series,
        "property: no point of a grid is likelier, and planted parameters are recovered",
        host_only="SciPy's L-BFGS-B walks on the host",
    ),
    OpCase(
        "edge_time_series",
        edge_time_series,
        _series,
        "scipy.stats.zscore",
        lambda x: np.stack([np.prod(scipy.stats.zscore(x[[i, j]], axis=-1), 0) for i, j in [(0, 1), (0, 2), (1, 2)]]),
        degenerate=FLAT,
    ),
]


def _simulate(rng: np.random.Generator, news: float, decay: float, n_frames: int) -> np.ndarray:
    mean = np.array([[1.0, 0.4], [0.4, 1.0]])
    form, series = mean, np.zeros((2, n_frames))
    for t in range(n_frames):
        matrix = form / np.sqrt(np.outer(np.diag(form), np.diag(form)))
        series[:, t] = np.linalg.cholesky(matrix) @ rng.normal(size=2)
        form = (1 - news - decay) * mean + news * np.outer(series[:, t], series[:, t]) + decay * form
    return series


def test_the_recursion_equals_a_plain_loop(rng: np.random.Generator) -> None:
    series, news, decay = _with_parameters(rng)
    found = dynamic_conditional_corr(series, news=float(news), decay=float(decay))
    np.testing.assert_allclose(found, _loop(series, news, decay)[0], rtol=1e-10, atol=1e-12)


def test_without_news_nothing_changes(rng: np.random.Generator) -> None:
    (series,) = _series(rng)
    found = dynamic_conditional_corr(series, news=0.0, decay=0.5)
    np.testing.assert_allclose(found, np.broadcast_to(corr(series), found.shape), atol=1e-12)


def test_planted_parameters_are_recovered_and_no_grid_point_is_likelier(rng: np.random.Generator) -> None:
    series = _simulate(rng, 0.1, 0.8, 2500)
    fit = fit_dynamic_conditional_corr(series)
    assert abs(float(fit.news) - 0.1) < 0.04
    assert abs(float(fit.decay) - 0.8) < 0.1
    likelihood = jax.jit(jax.vmap(lambda a, b: dynamic_conditional_log_likelihood(series, news=a, decay=b)))
    news, decay = (axis.ravel() for axis in np.meshgrid([0.01, 0.05, 0.1, 0.2], [0.2, 0.5, 0.75, 0.79]))
    assert float(fit.log_likelihood) >= float(likelihood(news, decay).max()) - 1e-3


def test_the_fit_keeps_leading_axes(rng: np.random.Generator) -> None:
    fit = fit_dynamic_conditional_corr(rng.normal(size=(2, 2, 40)), max_iterations=3)
    assert fit.news.shape == fit.decay.shape == fit.log_likelihood.shape == (2,)


def test_a_masked_frame_is_no_news_and_deletion_is_something_else(rng: np.random.Generator) -> None:
    series, mask = rng.normal(size=SHAPE), np.ones(30, bool)
    mask[10:14] = False
    found = dynamic_conditional_corr(np.where(mask, series, np.nan), news=0.2, decay=0.6, mask=mask)
    assert jnp.isfinite(found).all()
    # Without news the form relaxes towards the mean, frame by frame, at true distances.
    distance = jnp.abs(found - corr(series[:, mask])).max((-2, -1))
    assert distance[14] < distance[11]
    deleted = dynamic_conditional_corr(series[:, mask], news=0.2, decay=0.6)
    assert not np.allclose(found[14], deleted[10])
    np.testing.assert_allclose(found[:10], deleted[:10], atol=1e-12)


def test_every_run_starts_afresh(rng: np.random.Generator) -> None:
    (series,) = _series(rng)
    found = dynamic_conditional_corr(series, news=0.2, decay=0.6, run=np.repeat([0, 1], 15))
    np.testing.assert_allclose(found[15], corr(series), atol=1e-12)


def test_a_gaussian_taper_is_a_rectangle_convolved(rng: np.random.Generator) -> None:
    (series,) = _series(rng)
    kernel = np.exp(-0.5 * (np.arange(-40, 41) / 2.0) ** 2)
    taper = scipy.ndimage.convolve1d(np.pad(np.ones(11), 60), kernel, mode="constant")[60:71]
    found = sliding_window_corr(series, width=11, step=19, taper="gaussian", sigma=2.0)
    np.testing.assert_allclose(found[0], corr(series[:, :11], weight=taper), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found, sliding_window_corr(series, width=11, step=19, taper=taper), atol=1e-12)
    assert sliding_window_corr(series, width=11, step=19, taper="hann").shape == found.shape


def test_a_window_keeps_its_place_under_a_mask_and_stays_in_its_run(rng: np.random.Generator) -> None:
    series, mask, run = rng.normal(size=SHAPE), np.ones(30, bool), np.repeat([0, 1], 15)
    mask[[2, 3, 20]] = False
    found = sliding_window_corr(np.where(mask, series, np.nan), width=10, step=10, mask=mask, run=run)
    np.testing.assert_allclose(found[0], np.corrcoef(series[:, :10][:, mask[:10]]), atol=1e-12)
    np.testing.assert_allclose(found[1], np.corrcoef(series[:, [*range(15, 20)]]), atol=1e-12)


def test_the_mean_edge_is_the_correlation(rng: np.random.Generator) -> None:
    series, mask = rng.normal(size=SHAPE), rng.random(30) > 0.3
    edges = edge_time_series(np.where(mask, series, np.nan), mask=mask)
    expected = np.corrcoef(series[:, mask])[np.triu_indices(3, 1)]
    np.testing.assert_allclose(edges.sum(-1) / mask.sum(), expected, atol=1e-13)


REFUSED = {
    "width": (lambda: sliding_window_corr(np.ones(SHAPE), width=31), "between 2 and the 30"),
    "step": (lambda: sliding_window_corr(np.ones(SHAPE), width=5, step=0), "at least 1 frame"),
    "taper": (lambda: sliding_window_corr(np.ones(SHAPE), width=5, taper="kaiser"), "rectangle"),
    "length of the taper": (lambda: sliding_window_corr(np.ones(SHAPE), width=5, taper=np.ones(4)), "one weight"),
    "sigma": (lambda: sliding_window_corr(np.ones(SHAPE), width=5, taper="gaussian", sigma=0.0), "above 0"),
    "parameters": (lambda: dynamic_conditional_corr(np.ones(SHAPE), news=0.2, decay=0.8), "below 1"),
    "start": (lambda: fit_dynamic_conditional_corr(np.ones(SHAPE), start=(0.0, 0.5)), "above 0"),
    "one region": (lambda: edge_time_series(np.ones((1, 30))), "two regions"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("constant", "expected"), [("zero", 0.0), ("nan", np.nan)])
def test_a_constant_region_holds_what_the_policy_says(constant: str, expected: float, rng: np.random.Generator) -> None:
    series = np.stack([rng.normal(size=40), np.full(40, 0.1), rng.normal(size=40)]).astype(np.float32)
    found = np.asarray(dynamic_conditional_corr(series, constant=constant))
    np.testing.assert_array_equal(found[:, 1], expected)
    np.testing.assert_array_equal(found[:, :, 1], expected)
    assert np.isfinite(found[:, ::2, ::2]).all()
    with pytest.raises(ValueError, match='constant must be "zero" or "nan"'):
        dynamic_conditional_corr(series, constant="drop")
