"""Layers: each against NumPy, against the function of its name, on a planted truth to learn; refusals."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg
import scipy.signal
from op_case import OpCase
from sklearn.metrics import adjusted_rand_score

import conn.functional as cf
from conn.functional import MappedLogits, PositiveDefiniteParameter, PositiveParameter, layers
from conn.functional.initialise import constant, initialise

KEY = jax.random.key(0)
MASK = np.arange(40) % 7 != 3


def _series(rng: np.random.Generator, *more: tuple[int, ...]):
    return (rng.normal(size=(5, 40)), *(rng.normal(size=shape) for shape in more))


def _spd(rng: np.random.Generator) -> np.ndarray:
    factor = rng.normal(size=(4, 12))
    return factor @ factor.T / 12


def _parcels(series, left, right):
    parts = zip((left, right), (series[:3], series[3:]), strict=True)
    return np.concatenate([np.stack([np.average(x, axis=0, weights=row) for row in m]) for m, x in parts])


def _least_squares(series, assignment):
    return np.linalg.lstsq(assignment.T, series, rcond=None)[0]


def _weighted(series, weight):
    return np.stack([np.cov(series, aweights=row) for row in weight])


def _residuals(series, confounds):
    design = np.vstack([confounds, np.ones(40)]).T
    return series - (design @ np.linalg.lstsq(design, series.T, rcond=None)[0]).T


def _ridge_residuals(series, confounds, ridge):
    x, c = (a - a.mean(-1, keepdims=True) for a in (series, confounds))
    return x - x @ c.T @ np.linalg.inv(c @ c.T + ridge * np.eye(len(c))) @ c


def _on_lines(series):
    frames = np.arange(40)
    return np.stack([np.interp(frames, frames[MASK], row[MASK]) for row in series])


def _tangent(matrix, reference):
    whitener = np.linalg.inv(scipy.linalg.sqrtm(reference))
    return scipy.linalg.logm(whitener @ matrix @ whitener).real


def _around(connectome, left):
    product = connectome * np.einsum("ocir,ocjr->ocij", left, left)
    return (product.sum(-1, keepdims=True) + product.sum(-2, keepdims=True) - product).sum(1)


def _convolved(series, kernel):
    lines = np.stack([series, series**2])
    return np.stack([
        [sum(np.convolve(lines[c, i], row[c, 0], "same") for c in range(2)) for i in range(5)] for row in kernel
    ])  # fmt: skip


def _responses(confounds, response, threshold, mixture):
    answers = [
        scipy.signal.lfilter(row, 1.0, confounds) - bound for row, bound in zip(response, threshold, strict=True)
    ]
    bent = [np.where(a > 0, a, 0.001 * a) + bound for a, bound in zip(answers, threshold, strict=True)]
    return mixture @ np.concatenate([confounds, *bent])


def _quality(series, first, second, third):
    bend = lambda x: np.where(x > 0, x, 0.05 * x)
    channels = np.stack([series, *(bend(scipy.signal.lfilter(h, 1.0, series)) for h in first)])
    found = [
        bend(sum(scipy.signal.lfilter(p[c, i], 1.0, channels[c, i]) for c, i in np.ndindex(channels.shape[:2])))
        for p in second
    ]
    return third @ np.concatenate([series, found])


def _predicted(series, first, second, third):
    causal = lambda kernel, **settings: layers.TimeSeriesConvolution(kernel, causal=True, **settings)
    network = layers.QualityPrediction(
        causal(first[:, None, None]), causal(second, pooled=True), causal(third[:, :, None, None])
    )
    return network(series)


OP_CASES: list[OpCase] = [
    OpCase(
        "layers.Parcellation",
        lambda series, left, right: layers.Parcellation({"left": left, "right": right})(series),
        lambda rng: (*_series(rng), rng.uniform(size=(2, 3)), rng.uniform(size=(1, 2))),
        "numpy.average",
        _parcels,
        degenerate={"constant vertices": (np.ones((5, 40)), np.ones((2, 3)), np.ones((1, 2)))},
    ),
    OpCase(
        "layers.Parcellation",
        lambda series, assignment: layers.Parcellation(assignment, method="projection")(series),
        lambda rng: (*_series(rng), rng.uniform(size=(2, 5))),
        "numpy.linalg.lstsq",
        _least_squares,
        degenerate={"constant vertices": (np.ones((5, 40)), np.eye(2, 5) + 0.1)},
    ),
    OpCase(
        "layers.Covariance",
        lambda series, weight: layers.Covariance("covariance", weight=weight)(series),
        lambda rng: (*_series(rng), rng.uniform(size=(3, 40))),
        "numpy.cov",
        _weighted,
        degenerate={"a weighting without weight": (np.ones((5, 40)), np.zeros((3, 40)))},
    ),
    OpCase(
        "layers.Residualisation",
        lambda series, confounds: layers.Residualisation()(series, confounds),
        lambda rng: _series(rng, (3, 40)),
        "numpy.linalg.lstsq",
        _residuals,
        degenerate={"confounds that are one": (np.ones((5, 40)), np.ones((3, 40)))},
    ),
    OpCase(
        "layers.Residualisation",
        lambda series, confounds, ridge: layers.Residualisation(ridge)(series, confounds),
        lambda rng: (*_series(rng, (3, 40)), rng.uniform(1.0, 5.0, size=())),
        "numpy.linalg.inv",
        _ridge_residuals,
    ),
    OpCase(
        "layers.Interpolation",
        lambda series: layers.Interpolation("linear")(series, MASK),
        _series,
        "numpy.interp",
        _on_lines,
        degenerate={"zeros": (np.zeros((5, 40)),)},
    ),
    OpCase(
        "layers.TangentProjection",
        lambda matrix, reference: layers.TangentProjection(reference)(matrix),
        lambda rng: (_spd(rng), _spd(rng)),
        "scipy.linalg.logm",
        _tangent,
        degenerate={"equal matrices": (np.eye(4), np.eye(4))},
    ),
    OpCase(
        "layers.Sylo",
        lambda connectome, left: layers.Sylo(left)(connectome),
        lambda rng: (rng.normal(size=(2, 5, 5)), rng.normal(size=(3, 2, 5, 2))),
        "numpy.einsum",
        _around,
        degenerate={"zeros": (np.zeros((2, 5, 5)), np.zeros((3, 2, 5, 2)))},
    ),
    OpCase(
        "layers.Recombination",
        lambda connectome, mixture, bias: layers.Recombination(mixture, bias)(connectome),
        lambda rng: (rng.normal(size=(3, 5, 5)), rng.normal(size=(2, 3)), rng.normal(size=2)),
        "numpy.tensordot",
        lambda connectome, mixture, bias: np.tensordot(mixture, connectome, 1) + bias[:, None, None],
        degenerate={"zeros": (np.zeros((3, 5, 5)), np.zeros((2, 3)), np.zeros(2))},
    ),
    OpCase(
        "layers.VerticalCompression",
        lambda connectome, compressor: layers.VerticalCompression(
            compressor, np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]]), renormalise=False, remove_diagonal=False
        )(connectome),
        lambda rng: (rng.normal(size=(5, 5)), rng.normal(size=(3, 2, 5))),
        "numpy.matmul",
        lambda connectome, compressor: (
            (inside := compressor * [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]]) @ connectome @ np.swapaxes(inside, -1, -2)
        ),
        degenerate={"zeros": (np.zeros((5, 5)), np.zeros((3, 2, 5)))},
    ),
    OpCase(
        "layers.TimeSeriesConvolution",
        lambda series, kernel: layers.TimeSeriesConvolution(kernel, basis=(jnp.asarray, jnp.square))(series[None]),
        lambda rng: _series(rng, (3, 2, 1, 5)),
        "numpy.convolve",
        _convolved,
        degenerate={"zeros": (np.zeros((5, 40)), np.zeros((3, 2, 1, 5)))},
    ),
    OpCase(
        "layers.ConfoundGate",
        lambda confounds, gate: layers.ConfoundGate(gate)(confounds),
        lambda rng: (*_series(rng), rng.uniform(size=5)),
        "numpy.multiply",
        lambda confounds, gate: np.multiply(confounds, gate[:, None]),
        degenerate={"closed gates": (np.zeros((5, 40)), np.zeros(5))},
    ),
    OpCase(
        "layers.ConfoundCombination",
        lambda confounds, mixture: layers.ConfoundCombination(mixture)(confounds),
        lambda rng: _series(rng, (2, 5)),
        "numpy.matmul",
        lambda confounds, mixture: mixture @ confounds,
        degenerate={"zeros": (np.zeros((5, 40)), np.zeros((2, 5)))},
    ),
    OpCase(
        "layers.ConfoundResponse",
        lambda *arrays: layers.ConfoundResponse(*arrays[1:])(arrays[0]),
        lambda rng: _series(rng, (2, 4), (2,), (3, 15)),
        "scipy.signal.lfilter",
        _responses,
        degenerate={"at the threshold": (np.zeros((5, 40)), np.zeros((2, 4)), np.zeros(2), np.zeros((3, 15)))},
    ),
    OpCase(
        "layers.QualityPrediction",
        _predicted,
        lambda rng: _series(rng, (2, 4), (3, 3, 5, 4), (2, 8)),
        "scipy.signal.lfilter",
        _quality,
        degenerate={"zeros": (np.zeros((5, 40)), np.zeros((2, 4)), np.zeros((3, 3, 5, 4)), np.zeros((2, 8)))},
    ),
    OpCase(
        "layers.WindowAmplifier",
        lambda series: layers.WindowAmplifier(10, 3)(series, key=KEY),
        _series,
        "property: equals sample_windows under the same key",
        degenerate={"zeros": (np.zeros((5, 40)),)},
    ),
]


def test_layers_equal_the_functions_of_their_names_for_batches(rng):
    series, confounds = rng.normal(size=(2, 3, 5, 40)), rng.normal(size=(2, 3, 4, 40))
    connectomes = rng.normal(size=(2, 2, 5, 5))
    sylo = layers.Sylo.random(
        5,
        n_channels=2,
        n_outputs=3,
        rank=2,
        two_sided=True,
        signed=True,
        symmetry="skew",
        remove_diagonal=True,
        key=KEY,
    )
    mixing, fusing = layers.Recombination.random(2, 3, key=KEY), layers.VerticalCompression.random(5, 2, key=KEY)
    kernels = layers.TimeSeriesConvolution.random(2, 5, n_channels=3, n_regions=5, pooled=True, causal=True, key=KEY)
    frames = layers.Covariance.random("partial_correlation", 2, 40, shrinkage=0.1, ridge=0.1, key=KEY)
    windows = layers.WindowAmplifier(10, 3)

    @jax.jit
    def both(series, confounds, connectomes):
        unfolding = jnp.swapaxes(fusing.weight, -1, -2)
        query = jnp.eye(2)
        stack = {"weight": jnp.asarray(frames.weight), "mask": MASK}
        return {
            "residualise": (
                layers.Residualisation(2.0)(series, confounds),
                cf.residualise(series, confounds, ridge=2.0),
            ),
            "interpolate": (layers.Interpolation("cubic")(series, MASK), cf.cubic_interpolate(series, MASK)),
            "covariance": (
                frames(series, mask=MASK),
                cf.partial_corr(series[..., None, :, :], shrinkage=0.1, ridge=0.1, **stack),
            ),
            "sylo": (
                sylo(connectomes),
                cf.sylo(
                    connectomes, sylo.left, sylo.right, sign=sylo.sign, bias=sylo.bias, symmetry="skew",
                    remove_diagonal=True,
                ),
            ),
            "recombine": (
                mixing(connectomes, query),
                cf.recombine(connectomes, mixing.mixture, query=query, bias=mixing.bias),
            ),
            "compress": (
                fusing(connectomes),
                cf.vertical_compression(connectomes[:, :, None], fusing.weight, remove_diagonal=True),
            ),
            "expand": (
                fusing.expand(connectomes[..., :2, :2]),
                cf.vertical_compression(connectomes[..., :2, :2], unfolding, remove_diagonal=True),
            ),
            "convolve": (kernels(series), cf.convolve_series(series, kernels.kernel, causal=True, pooled=True)),
            "windows": (
                windows(series, key=KEY),
                jnp.swapaxes(cf.sample_windows(series, 10, 3, key=KEY, overlap=False), -2, -3),
            ),
        }  # fmt: skip

    for name, (ours, theirs) in both(series, confounds, connectomes).items():
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12, err_msg=name)


def test_windows_of_a_mask_are_those_of_the_series():
    amplify = layers.WindowAmplifier(8, 4, overlap=True)
    series = jnp.broadcast_to(jnp.arange(40.0), (2, 3, 40))
    cut, mask = amplify(series, key=KEY), amplify.of_mask(jnp.asarray(MASK), key=KEY)
    assert (cut.shape, mask.shape) == ((2, 4, 3, 8), (4, 8))
    np.testing.assert_array_equal(mask, MASK[np.asarray(cut[0, :, 0], int)])
    assert not np.array_equal(cut, amplify(series, key=jax.random.key(1)))


def test_random_layers_keep_the_variance_of_white_input(rng):
    # Bounds are five standard errors or more.
    connectome = rng.normal(size=(50, 2, 12, 12))
    for settings in ({}, {"two_sided": True}, {"signed": True, "rank": 3}):
        layer = layers.Sylo.random(12, n_channels=2, n_outputs=30, key=KEY, **settings)
        assert 0.6 < float(jax.jit(lambda x, layer=layer: layer(x).var())(connectome)) < 1.6
    layer = layers.TimeSeriesConvolution.random(30, 5, n_channels=3, key=KEY)
    assert 0.6 < float(jax.jit(lambda x: layer(x).var())(rng.normal(size=(3, 20, 400)))) < 1.5


def _learned(model: Any, loss: Callable[[Any], Any], *, rate: float, n_steps: int) -> Any:
    """Return the model after descent by Adam, compiled as one program."""
    moving, still = eqx.partition(model, eqx.is_inexact_array)
    optimiser = optax.adam(rate)

    def step(carried, _):
        values, state = carried
        gradient = jax.grad(lambda v: loss(eqx.combine(v, still)))(values)
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(values, updates), state), None

    descend = jax.jit(lambda start: jax.lax.scan(step, start, length=n_steps)[0][0])
    return eqx.combine(descend((moving, optimiser.init(moving))), still)


def test_planted_parcels_are_learned(rng):
    labels = np.repeat([0, 1, 2], 6)
    signals = rng.normal(size=(3, 80))
    series = signals[labels] + 0.5 * rng.normal(size=(18, 80))

    def unexplained(layer):
        shares = jnp.asarray(layer.assignment)
        return ((series - shares.T @ layer(series)) ** 2).mean()

    layer = _learned(layers.Parcellation.random(3, 18, key=KEY), unexplained, rate=0.1, n_steps=200)
    assert adjusted_rand_score(labels, np.asarray(layer.assignment).argmax(0)) == 1.0


def test_frames_of_a_planted_state_are_learned_as_weights(rng):
    # Two regions are coupled while a state is on, at the same frames of 100 scans; the target is the coupling itself.
    on = np.sin(np.arange(60) / 5) > 0.2
    shared = rng.normal(size=(100, 1, 60)) * on
    series = rng.normal(size=(100, 3, 60)) * 0.6 + np.concatenate([shared, shared, 0 * shared], axis=1)
    target = np.array([[1.36, 1.0, 0.0], [1.0, 1.36, 0.0], [0.0, 0.0, 0.36]])
    start = layers.Covariance.random("covariance", 1, 60, key=KEY)
    layer = _learned(start, lambda m: ((m(series)[:, 0] - target) ** 2).mean(), rate=0.05, n_steps=200)
    assert np.corrcoef(np.asarray(layer.weight)[0], on)[0, 1] > 0.7


def test_a_planted_band_is_learned_by_a_filter(rng):
    inside = np.asarray(cf.ideal_response(100, band=(0.05, 0.1), repetition_time=2.0)) > 0
    bank = MappedLogits.map(cf.FilterBank(jnp.full((1, 51), 0.5)), where="gain")
    clean = 3 * np.asarray(cf.product_filter(rng.normal(size=(6, 5, 100)), inside.astype(float)))
    series = clean + 0.5 * rng.normal(size=clean.shape)
    gain = np.asarray(_learned(bank, lambda m: ((m(series)[:, 0] - clean) ** 2).mean(), rate=0.1, n_steps=150).gain)[0]
    assert gain[inside].min() > 0.8
    assert gain[~inside].max() < 0.2


def test_a_planted_ridge_and_a_planted_width_are_learned(rng):
    series, confounds = rng.normal(size=(5, 40)), rng.normal(size=(3, 40))
    aim = cf.residualise(series, confounds, ridge=8.0)
    ridge = layers.Residualisation(PositiveParameter(jnp.array(2.0)))
    filled = cf.weighted_interpolate(series, MASK, width=2.0)
    width = layers.Interpolation("weighted", width=PositiveParameter(jnp.array(1.0)))

    def misfit(models):
        return ((models[0](series, confounds) - aim) ** 2).sum() + ((models[1](series, MASK) - filled) ** 2).sum()

    found = _learned((ridge, width), misfit, rate=0.1, n_steps=200)
    np.testing.assert_allclose(float(found[0].ridge), 8.0, rtol=0.01)
    np.testing.assert_allclose(float(found[1].width), 2.0, rtol=0.01)


def test_the_reference_of_least_tangents_is_the_geometric_mean(rng):
    matrices = np.stack([_spd(rng) for _ in range(6)])
    start = layers.TangentProjection(PositiveDefiniteParameter(jnp.eye(4)))
    layer = _learned(start, lambda m: (m(matrices) ** 2).sum(), rate=0.05, n_steps=250)
    started = np.asarray(layers.TangentProjection.from_data(matrices).reference)
    np.testing.assert_allclose(np.asarray(layer.reference), started, atol=1e-3)
    np.testing.assert_allclose(layer.inverse(layer(matrices)), matrices, atol=1e-8)


def test_planted_templates_mixtures_and_kernels_are_learned(rng):
    communities = rng.normal(size=(1, 1, 8, 1))
    connectomes = cf.symmetrise(rng.normal(size=(30, 1, 8, 8)))
    shaped = cf.sylo(connectomes, communities)
    channels, mixture = rng.normal(size=(20, 3, 4, 4)), rng.normal(size=(2, 3))
    mixed = cf.recombine(channels, mixture)
    series, kernel = rng.normal(size=(1, 5, 80)), rng.normal(size=(1, 1, 1, 5))
    convolved = cf.convolve_series(series, kernel, causal=True)
    start = (
        layers.Sylo.random(8, key=KEY),
        layers.Recombination.random(3, 2, key=KEY),
        layers.TimeSeriesConvolution.random(1, 5, causal=True, key=KEY),
    )

    def misfit(models):
        found = (models[0](connectomes), models[1](channels), models[2](series))
        return sum(((ours - aim) ** 2).mean() for ours, aim in zip(found, (shaped, mixed, convolved), strict=True))

    sylo, recombination, convolution = _learned(start, misfit, rate=0.05, n_steps=300)
    np.testing.assert_allclose(sylo.template, cf.low_rank_template(communities), atol=0.02)
    np.testing.assert_allclose(recombination.mixture, mixture, atol=0.01)
    np.testing.assert_allclose(convolution.kernel, kernel, atol=0.01)


def test_a_planted_fusion_of_regions_is_learned_inside_its_lattice(rng):
    start = layers.VerticalCompression.random(8, 4, key=KEY, renormalise=False)
    planted = initialise(start, "compressor", constant(0.5), key=KEY)
    connectomes = cf.symmetrise(rng.normal(size=(40, 8, 8)))
    aim = planted(connectomes)
    layer = _learned(start, lambda m: ((m(connectomes) - aim) ** 2).mean(), rate=0.05, n_steps=200)
    np.testing.assert_allclose(np.abs(layer.weight), planted.weight, atol=0.02)
    np.testing.assert_array_equal(layer.weight[0] != 0, planted.lattice != 0)


def _scans(rng: np.random.Generator, lag: int = 0):
    """Return clean series, confounds of which the first two leave an artefact, and the series with it."""
    clean, confounds = rng.normal(size=(12, 4, 40)), rng.normal(size=(12, 8, 40))
    loads = rng.normal(size=(4, 2))
    return clean, confounds, clean + 1.5 * loads @ np.roll(confounds[:, :2], lag, axis=-1)


def test_gates_keep_the_confounds_that_leave_an_artefact_and_close_on_the_others(rng):
    clean, confounds, series = _scans(rng)
    denoise = layers.Residualisation(1.0, intercept=False)
    start = layers.ConfoundGate.half_open(8)
    gates = _learned(start, lambda m: ((denoise(series, m(confounds)) - clean) ** 2).mean(), rate=0.1, n_steps=150)
    np.testing.assert_array_equal(gates.kept(), np.arange(8) < 2)
    assert float(jnp.asarray(gates.gate)[2:].max()) < 0.2


def test_without_a_ridge_gates_have_no_gradient_as_the_documentation_says(rng):
    clean, confounds, series = _scans(rng)
    denoise = layers.Residualisation()

    def misfit(gate):
        return ((denoise(series, layers.ConfoundGate(gate)(confounds)) - clean) ** 2).mean()

    gradient = jax.jit(jax.grad(misfit))(jnp.full(8, 0.5))
    np.testing.assert_allclose(gradient, 0.0, atol=1e-10)


def test_combinations_of_confounds_and_of_responses_take_out_a_planted_artefact(rng):
    clean, confounds, series = _scans(rng)
    other, delayed, late = _scans(rng, lag=2)
    denoise = layers.Residualisation()
    combine = layers.ConfoundCombination.random(8, 2, key=KEY)
    respond = layers.ConfoundResponse.random(8, 2, n_responses=2, n_taps=4, key=KEY)

    def misfits(models):
        return jnp.stack([
            ((denoise(series, models[0](confounds)) - clean) ** 2).mean(),
            ((denoise(late, models[1](delayed)) - other) ** 2).mean(),
        ])  # fmt: skip

    found = _learned((combine, respond), lambda models: misfits(models).sum(), rate=0.05, n_steps=150)
    before, after = misfits((combine, respond)), misfits(found)
    # Two regressors and a mean take 3 of 40 frames of the clean series with them: 0.075 is the floor.
    assert after[0] < 0.09
    assert after[1] < 0.3 * before[1]


@pytest.mark.parametrize(
    ("rate", "n_steps", "agreement"), [(0.03, 60, 0.5), pytest.param(0.01, 400, 0.7, marks=pytest.mark.slow)]
)
def test_motion_is_predicted_from_series_that_it_disturbs(rate, n_steps, agreement, rng):
    def simulate(n_scans: int):
        motion = np.abs(rng.normal(size=(n_scans, 1, 60))) * (rng.uniform(size=(n_scans, 1, 60)) < 0.2)
        spikes = motion * np.sign(rng.normal(size=(n_scans, 5, 60))) * 3
        return rng.normal(size=(n_scans, 5, 60)) * 0.5 + spikes, motion

    series, motion = simulate(20)
    start = layers.QualityPrediction.random(5, n_responses=4, n_patterns=4, n_taps=3, key=KEY)
    network = _learned(start, lambda m: ((m(series) - motion) ** 2).mean(), rate=rate, n_steps=n_steps)
    unseen, truth = simulate(10)
    assert np.corrcoef(np.ravel(network(unseen)), truth.ravel())[0, 1] > agreement


def test_compartments_share_neither_vertices_nor_parcels(rng):
    layer = layers.Parcellation.random({"left": 2, "right": 3}, {"left": 6, "right": 4}, key=KEY)
    series = rng.normal(size=(2, 10, 7))
    found = layer(series)
    assert found.shape == (2, 5, 7)
    moved = layer(np.concatenate([series[:, :6], 2 * series[:, 6:]], axis=1))
    np.testing.assert_allclose(moved[:, :2], found[:, :2])
    np.testing.assert_allclose(moved[:, 2:], 2 * found[:, 2:])
    areas, matrices = rng.uniform(size=10), {name: np.asarray(m) for name, m in layer.assignment.items()}
    weighted = layers.Parcellation(matrices, weight=areas)(series)
    np.testing.assert_allclose(
        weighted[0, 4], np.average(series[0, 6:], axis=0, weights=matrices["right"][2] * areas[6:])
    )


def _row(**settings: Any) -> Any:
    return layers.Covariance("correlation", **settings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.Parcellation(jnp.ones(3)), r"assignment must have shape \(parcel, vertex\)"),
        (lambda: layers.Parcellation({"left": jnp.ones(3)}), r"assignment\['left'\] must have shape"),
        (lambda: layers.Parcellation(jnp.ones((2, 3)), weight=jnp.ones(2)), "one value for each of 3 vertices"),
        (lambda: layers.Parcellation({}), "at least one compartment"),
        (lambda: layers.Parcellation(jnp.ones((2, 3)), method="median"), "method must be one of"),
        (lambda: layers.Parcellation.random({"left": 2}, {"right": 3}, key=KEY), "name the same compartments"),
        (lambda: layers.Parcellation(jnp.ones((2, 3)))(jnp.ones((4, 9))), "has 3 vertices, and the series 4"),
        (lambda: layers.Covariance("tangent"), "estimator must be one of"),
        (lambda: _row(ridge=0.1), "ridge is no setting of the estimator 'correlation'"),
        (lambda: _row(shrinkage="oas"), "shrinkage is no setting"),
        (lambda: layers.Covariance("precision", coupling=jnp.eye(4)), "coupling is no setting"),
        (lambda: _row(weight=jnp.ones((1, 1, 4))), "weight must have shape"),
        (lambda: layers.Residualisation(jnp.ones(3)), "ridge must be one number"),
        (lambda: layers.Residualisation(0.0), "ridge must be positive"),
        (lambda: layers.Interpolation("nearest"), "method must be one of"),
        (lambda: layers.Interpolation("linear", width=2.0), "width is no setting of the method 'linear'"),
        (lambda: layers.TangentProjection(jnp.ones((2, 3))), r"reference must have shape \(region, region\)"),
        (lambda: layers.Sylo(jnp.ones((5, 2))), "left must have shape"),
        (lambda: layers.Sylo(jnp.ones((1, 1, 5, 2)), symmetry="skew"), "a skew template needs a right factor"),
        (lambda: layers.Recombination(jnp.ones(3)), "mixture must have shape"),
        (lambda: layers.VerticalCompression(jnp.ones((2, 5))), "compressor must have shape"),
        (lambda: layers.VerticalCompression(jnp.ones((1, 2, 5)), jnp.ones((2, 4))), "lattice must have the shape"),
        (lambda: layers.TimeSeriesConvolution(jnp.ones((1, 5))), "kernel must have shape"),
        (
            lambda: layers.TimeSeriesConvolution(jnp.ones((1, 3, 1, 5)), basis=(jnp.sin, jnp.cos)),
            "shared by 2 functions",
        ),
        (lambda: layers.WindowAmplifier(0), "length and n_windows must be at least 1"),
        (lambda: layers.ConfoundGate(jnp.ones((2, 2))), "gate must have shape"),
        (lambda: layers.ConfoundGate(jnp.ones(2))(jnp.ones((3, 9))), "made for 2 confounds, and there are 3"),
        (lambda: layers.ConfoundCombination(jnp.ones(2)), "mixture must have shape"),
        (lambda: layers.ConfoundResponse(jnp.ones((2, 4)), jnp.ones(3), jnp.ones((2, 6))), "response must have shape"),
        (lambda: layers.ConfoundResponse(jnp.ones((2, 4)), jnp.ones(2), jnp.ones((2, 7))), "confound x 3"),
        (
            lambda: layers.ConfoundResponse(jnp.ones((2, 4)), jnp.ones(2), jnp.ones((2, 6)), leak=-1.0),
            "leak must not be negative",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"responses": {"n_regions": 5}}, "one kernel for all regions"),
        ({"patterns": {"pooled": False}}, "patterns must be pooled, and take 3 channels"),
        ({"readout": {"n_channels": 2}}, "readout must take the regions"),
        ({"leak": -1.0}, "leak must not be negative"),
    ],
)
def test_convolutions_that_do_not_follow_one_another_are_refused(change, message):
    def make(n_outputs: int, n_taps: int, *, n_channels: int = 1, n_regions: int = 1, pooled: bool = False):
        return layers.TimeSeriesConvolution(np.ones((n_outputs, n_channels, n_regions, n_taps)), pooled=pooled)

    parts = {
        "responses": make(2, 3, **change.get("responses", {})),
        "patterns": make(4, 3, **{"n_channels": 3, "n_regions": 5, "pooled": True, **change.get("patterns", {})}),
        "readout": make(1, 1, **{"n_channels": 9, **change.get("readout", {})}),
    }
    with pytest.raises(ValueError, match=message):
        layers.QualityPrediction(**parts, leak=change.get("leak", 0.05))
