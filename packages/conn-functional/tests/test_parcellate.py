"""Parcellation: SciPy's means, least squares, empty parcels, operators, round trips, refusals."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from op_case import OpCase

from conn.functional import (
    corr,
    correlation_operator,
    expand_parcels,
    label_matrix,
    parcel_means,
    parcellate,
    parcellation_operator,
    quadratic_form,
    to_dense,
)

LABELS = np.array([0, 7, 3, 7, 3, 3, 0, 9])
PARCELS = (3, 7, 9)
HARD = (np.array(PARCELS)[:, None] == LABELS).astype(float)
SERIES = (8, 5)


def _soft(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.normal(size=SERIES), rng.random((3, 8)), 0.1 + rng.random(8)


def _means(series: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.stack([scipy.ndimage.mean(frame, labels, PARCELS) for frame in series.T], 1)


def _projected(series: np.ndarray, shares: np.ndarray, weight: np.ndarray) -> np.ndarray:
    root = np.sqrt(weight)[:, None]
    return np.linalg.lstsq(root * shares.T, root * series, rcond=None)[0]


OP_CASES = [
    OpCase(
        "label_matrix",
        lambda labels, series: label_matrix(labels, parcels=PARCELS, dtype=series.dtype),
        lambda rng: (LABELS, rng.normal(size=SERIES)),
        "numpy",
        lambda labels, series: HARD,
        not_differentiable="labels are integers",
    ),
    OpCase(
        "parcel_means",
        partial(parcel_means, parcels=PARCELS),
        lambda rng: (rng.normal(size=SERIES), LABELS),
        "scipy.ndimage.mean",
        _means,
        degenerate={"zeros": (np.zeros(SERIES), LABELS)},
    ),
    OpCase(
        "parcellate",
        lambda x, shares, weight: parcellate(x, shares, weight=weight),
        _soft,
        "numpy.average",
        lambda x, shares, weight: np.stack([np.average(x, axis=0, weights=row * weight) for row in shares]),
        degenerate={"one vertex each": (np.zeros(SERIES), np.eye(3, 8), np.ones(8))},
    ),
    OpCase(
        "parcellate",
        lambda x, shares, weight: parcellate(x, shares, weight=weight, method="projection"),
        _soft,
        "numpy.linalg.lstsq",
        _projected,
        degenerate={"one vertex each": (np.zeros(SERIES), np.eye(3, 8), np.ones(8))},
    ),
    OpCase(
        "expand_parcels",
        expand_parcels,
        lambda rng: (rng.normal(size=(3, 5)), rng.random((3, 8))),
        "numpy.average",
        lambda x, shares: np.stack([np.average(x, axis=0, weights=column) for column in shares.T]),
        degenerate={"zeros": (np.zeros((3, 5)), np.ones((3, 8)))},
    ),
    OpCase(
        "parcellation_operator",
        lambda shares, vector: parcellation_operator(shares).mv(vector),
        lambda rng: (rng.random((3, 8)), rng.normal(size=8)),
        "numpy.average",
        lambda shares, vector: np.stack([np.average(vector, weights=row) for row in shares]),
        degenerate={"one vertex each": (np.eye(3, 8), np.zeros(8))},
    ),
]


def test_labels_their_matrix_and_the_projection_give_the_same_means(rng: np.random.Generator) -> None:
    series, weight = rng.normal(size=(2, *SERIES)), rng.random(8)
    by_label = np.asarray(parcel_means(series, LABELS, weight=weight))
    for method in ("mean", "projection"):
        found = parcellate(series, label_matrix(LABELS, dtype=float), weight=weight, method=method)
        np.testing.assert_allclose(found, by_label, rtol=1e-12)


def test_rows_stand_in_the_order_asked_for(rng: np.random.Generator) -> None:
    series = rng.normal(size=SERIES)
    np.testing.assert_array_equal(label_matrix(LABELS), HARD)
    np.testing.assert_allclose(jax.jit(lambda x: parcel_means(x, LABELS))(series), _means(series, LABELS), rtol=1e-12)
    np.testing.assert_array_equal(label_matrix(LABELS, parcels=(9, 3)), HARD[[2, 0]])
    np.testing.assert_allclose(parcel_means(series, LABELS, parcels=(9, 3)), _means(series, LABELS)[[2, 0]], rtol=1e-12)
    assert label_matrix(LABELS, background=3).shape == (3, 8)


def test_parcel_series_come_back_from_the_vertices_they_are_expanded_to(rng: np.random.Generator) -> None:
    truth, shares = rng.normal(size=(3, 5)), rng.random((3, 8))
    hard = np.asarray(expand_parcels(truth, HARD))
    assert np.isnan(hard).all(1).tolist() == (LABELS == 0).tolist()
    np.testing.assert_allclose(parcellate(hard, HARD), truth, rtol=1e-12)
    vertices = expand_parcels(truth, shares, normalise=False)
    np.testing.assert_allclose(parcellate(vertices, shares, method="projection"), truth, rtol=1e-9)


def test_an_empty_parcel_is_nan_and_harms_no_other(rng: np.random.Generator) -> None:
    series, shares = rng.normal(size=SERIES), np.concatenate([HARD, np.zeros((1, 8))])
    alone = np.asarray(parcellate(series, HARD))

    @jax.jit
    def both(series: np.ndarray) -> list[tuple[jax.Array, jax.Array]]:
        def total(series: np.ndarray, method: str) -> tuple[jax.Array, jax.Array]:
            found = parcellate(series, shares, method=method)  # pyright: ignore[reportArgumentType]
            return found[:3].sum(), found

        return [jax.grad(total, has_aux=True)(series, method) for method in ("mean", "projection")]

    for gradient, found in both(series):
        assert np.isnan(found[3]).all()
        np.testing.assert_allclose(found[:3], alone, rtol=1e-12)
        assert np.isfinite(gradient).all()
    by_label = np.asarray(parcel_means(series, LABELS, parcels=(3, 4, 7)))
    assert np.isnan(by_label).all(1).tolist() == [False, True, False]


def test_parcels_that_cannot_be_told_apart_have_means_but_no_projection(rng: np.random.Generator) -> None:
    series, shares = rng.normal(size=SERIES), np.stack([HARD[0], 2 * HARD[0], HARD[1]])
    assert np.isfinite(parcellate(series, shares)).all()
    assert np.isnan(parcellate(series, shares, method="projection")).all()


def test_nan_where_no_vertex_counts_is_not_seen(rng: np.random.Generator) -> None:
    series, weight = rng.normal(size=SERIES), np.ones(8)
    wanted = np.asarray(parcellate(series, HARD))
    series[LABELS == 0] = np.nan
    np.testing.assert_allclose(parcellate(series, HARD, check=True), wanted, rtol=1e-12)
    np.testing.assert_allclose(parcel_means(series, LABELS, check=True), wanted, rtol=1e-12)
    series[1], weight[1] = np.nan, 0
    assert np.isfinite(parcellate(series, HARD, weight=weight)).all()
    series[3, 2] = np.nan
    found = np.isnan(parcel_means(series, LABELS, weight=weight))
    assert np.argwhere(found).tolist() == [[1, 2]]


def test_mean_correlations_between_parcels_need_no_matrix_of_vertices(rng: np.random.Generator) -> None:
    series, shares = rng.normal(size=(8, 30)), rng.random((3, 8))
    parcels = parcellation_operator(shares)
    composed = parcels @ correlation_operator(series) @ parcels.T
    rows = shares / shares.sum(1, keepdims=True)
    wanted = rows @ np.asarray(corr(series)) @ rows.T
    np.testing.assert_allclose(to_dense(composed), wanted, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(quadratic_form(composed, jnp.eye(3)), np.diag(wanted), rtol=1e-10)


def test_a_soft_parcellation_is_learned_from_its_series(rng: np.random.Generator) -> None:
    truth = rng.normal(size=(3, 60))
    series = np.asarray(expand_parcels(truth, HARD))[LABELS > 0] + 0.1 * rng.normal(size=(6, 60))

    @jax.jit
    def learn(logits: jax.Array) -> jax.Array:
        def cost(x: jax.Array) -> jax.Array:
            shares = jax.nn.softmax(x, 0)
            return ((series - expand_parcels(parcellate(series, shares), shares)) ** 2).mean()

        ends = jax.lax.scan(lambda x, _: (x - 10 * jax.grad(cost)(x), None), logits, length=300)[0]
        return jax.nn.softmax(ends, 0)

    found = np.asarray(learn(0.3 * rng.normal(size=(3, 6)))).argmax(0)
    same = LABELS[LABELS > 0]
    np.testing.assert_array_equal(found[:, None] == found, same[:, None] == same)


def test_bad_input_is_refused() -> None:
    series = np.ones(SERIES)
    with pytest.raises(TypeError, match="labels must be integers"):
        label_matrix(LABELS.astype(float))
    with pytest.raises(ValueError, match="there is no parcel"):
        label_matrix(np.zeros(3, int))
    with pytest.raises(ValueError, match="no empty axis"):
        label_matrix(np.zeros(0, int))
    with pytest.raises(ValueError, match=r"name \[3\] more than once"):
        label_matrix(LABELS, parcels=(3, 3, 7))
    with pytest.raises(ValueError, match="sequence of integers"):
        label_matrix(LABELS, parcels=(0.5,))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="give parcels"):
        jax.jit(label_matrix)(LABELS)
    with pytest.raises(ValueError, match=r"labels must have shape \(8,\)"):
        parcel_means(series, LABELS[:5])
    with pytest.raises(ValueError, match="the 8 vertices"):
        parcellate(series, np.ones((3, 7)))
    with pytest.raises(ValueError, match=r"weight must have shape \(8,\)"):
        parcellate(series, HARD, weight=np.ones(3))
    with pytest.raises(ValueError, match='"mean" or "projection"'):
        parcellate(series, HARD, method="sum")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="must have 2 parcels"):
        expand_parcels(np.ones((2, 5)), HARD)
    with pytest.raises(ValueError, match=r"shape \(parcel, vertex\)"):
        parcellation_operator(np.ones((2, 3, 8)))


def test_bad_values_are_refused_on_demand() -> None:
    series, negative = np.ones(SERIES), -HARD
    broken = np.where(LABELS[:, None] == 3, np.nan, series)
    empty = np.concatenate([HARD, np.zeros((1, 8))])
    twice = HARD[[0, 0]]
    for message, call in {
        "a parcel is empty": lambda: parcellate(series, empty, check=True),
        "a parcel is empty: it": lambda: parcel_means(series, LABELS, parcels=(4,), check=True),
        "time_series holds NaN": lambda: parcellate(broken, HARD, check=True),
        "assignment must not be negative": lambda: parcellate(series, negative, check=True),
        "assignment must not be": lambda: parcellation_operator(negative, check=True).mv(series[:, 0]),
        "weight must not be negative": lambda: parcellate(series, HARD, weight=-np.ones(8), check=True),
        "linearly dependent": lambda: parcellate(series, twice, method="projection", check=True),
    }.items():
        with pytest.raises(eqx.EquinoxRuntimeError, match=message):
            eqx.filter_jit(call)()
