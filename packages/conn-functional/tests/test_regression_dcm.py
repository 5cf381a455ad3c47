"""Regression DCM: brute-force evidence, planted networks, autoregression; the balloon model against its equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.special
from op_case import OpCase

from conn.functional import RegressionDCM, balloon_response, regression_dcm

SHAPE = (3, 40)
TR = 0.5
NOT_OPERATIONS = {"RegressionDCM": "what the regression returns"}
CHAIN = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]], bool)
fit = jax.jit(regression_dcm, static_argnames=("repetition_time", "band", "max_iterations"))


def _inputs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=SHAPE) + rng.normal(size=SHAPE).cumsum(-1) * 0.3, rng.normal(size=(2, 80))


FLAT = {
    "zeros": (np.zeros(SHAPE), np.zeros((2, 80))),
    "constants": (np.full(SHAPE, 0.1), np.ones((2, 80))),
    "a repeated region": (np.sin(np.arange(40.0)) * np.ones((3, 1)), np.ones((2, 80))),
}


def _regression(series: np.ndarray, driving: np.ndarray, target: int, allowed: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return rows, what is to be predicted, and the priors, in time: Parseval's theorem makes frequencies needless."""
    n_regions, n_frames = series.shape
    series = series - series.mean(-1, keepdims=True)
    rows = np.concatenate([series, driving - driving.mean(-1, keepdims=True)])[allowed].T
    wanted = (np.roll(series[target], -1) - series[target]) / TR
    # All but the mean, in the size of Fourier coefficients that are not normalised.
    basis = np.sqrt(n_frames) * scipy.linalg.null_space(np.ones((1, n_frames))).T
    own = np.arange(n_regions) == target
    mean = np.concatenate([-0.5 * own, np.zeros(len(driving))])[allowed]
    spread = np.concatenate([np.where(own, 1 / (8 * n_regions), 8 / n_regions), np.ones(len(driving))])[allowed]
    return basis @ rows, basis @ wanted, mean, spread


def _exact(rows: np.ndarray, wanted: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the log evidence and the posterior mean of the weights, by quadrature over the noise precision."""
    values, vectors = np.linalg.eigh((rows * spread) @ rows.T)
    left = vectors.T @ (wanted - rows @ mean)

    def log_joint(log_precision: np.ndarray) -> np.ndarray:
        precision = np.exp(log_precision)[..., None]
        variance = values + 1 / precision
        likelihood = -(np.log(2 * np.pi * variance) + left**2 / variance).sum(-1) / 2
        return likelihood + 2 * log_precision - precision[..., 0]  # the Gamma(2, 1) prior, of the logarithm

    grid = np.linspace(-25, 5, 20_001)
    joint = log_joint(grid)
    evidence = scipy.special.logsumexp(joint) + np.log(grid[1] - grid[0])
    share = np.exp(joint - scipy.special.logsumexp(joint))
    near = np.flatnonzero(share > 1e-12)
    means = [
        np.linalg.solve(
            np.exp(grid[k]) * rows.T @ rows + np.diag(1 / spread), np.exp(grid[k]) * rows.T @ wanted + mean / spread
        )
        for k in near
    ]
    return float(evidence), share[near] @ np.array(means)


def _iterated(series: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what the updates converge to, written down with inverses and in time."""
    driving = _passed_on(inputs)
    found = []
    for target in range(3):
        rows, wanted, mean, spread = _regression(series, driving, target, np.ones(5, bool))
        precision, prior, count = 2.0, np.diag(1 / spread), SHAPE[1] - 1
        for _ in range(400):
            covariance = np.linalg.inv(precision * rows.T @ rows + prior)
            weights = covariance @ (precision * rows.T @ wanted + prior @ mean)
            error = np.square(wanted - rows @ weights).sum() / 2 + np.trace(rows.T @ rows @ covariance) / 2
            precision = (2 + count / 2) / (1 + error)
        found.append((weights, np.sqrt(np.diag(covariance)), precision))
    weights, spread, precision = (np.array(part) for part in zip(*found, strict=True))
    return weights[:, :3], spread[:, :3], weights[:, 3:], spread[:, 3:], precision


def _passed_on(inputs: np.ndarray) -> np.ndarray:
    n_steps = inputs.shape[-1]
    response = np.asarray(balloon_response(n_steps, time_step=TR * SHAPE[1] / n_steps))
    return np.array([np.convolve(one, response)[: n_steps : n_steps // SHAPE[1]] for one in inputs])


OP_CASES = [
    OpCase(
        "regression_dcm",
        lambda series, inputs: regression_dcm(series, repetition_time=TR, inputs=inputs)[:5],
        _inputs,
        "numpy.linalg.inv",
        _iterated,
        rtol=1e-8,
        degenerate=FLAT,
    ),
    OpCase(
        "regression_dcm",
        lambda series: _found(regression_dcm(series, repetition_time=TR, connections=CHAIN)),
        lambda rng: _inputs(rng)[:1],
        "property: below the evidence by quadrature, by little",
        degenerate={name: inputs[:1] for name, inputs in FLAT.items()},
    ),
    OpCase(
        "balloon_response",
        lambda: balloon_response(60, time_step=0.5),
        lambda rng: (),
        "scipy.integrate.solve_ivp",
        lambda: _nonlinear(1e-5, np.arange(60) * 0.5),
        rtol=1e-3,
        atol=1e-4,
        host_only="depends on numbers that are known before anything is traced",
    ),
]


def _found(fitted: RegressionDCM) -> tuple[jax.Array, ...]:
    return fitted.connectivity, fitted.connectivity_deviation, fitted.free_energy


def _nonlinear(size: float, times: np.ndarray) -> np.ndarray:
    """Return the response of the balloon model's equations to half a second of activity, over its size."""

    def slopes(time: float, state: np.ndarray) -> list[float]:
        signal, flow, volume, oxygen = state
        out = volume ** (1 / 0.32)
        taken = flow * (1 - (1 - 0.32) ** (1 / flow)) / 0.32
        active = size * (time < 0.5)
        return [
            active - 0.64 * signal - 0.32 * (flow - 1),
            signal,
            (flow - out) / 2.0,
            (taken - out * oxygen / volume) / 2.0,
        ]

    first = scipy.integrate.solve_ivp(slopes, (0, 0.5), [0, 1, 1, 1], rtol=1e-11, atol=1e-14, max_step=0.05)
    later = scipy.integrate.solve_ivp(
        slopes, (0.5, times[-1] + 1), first.y[:, -1], rtol=1e-11, atol=1e-14, t_eval=times[1:], max_step=0.2
    )
    volume, oxygen = later.y[2:]
    signal = 4 * (4.3 * 40.3 * 0.4 * 0.04 * (1 - oxygen) + 0.4 * (1 - oxygen / volume))
    return np.concatenate([[0.0], signal / size])


def _network(rng: np.random.Generator, n_regions: int, share: float) -> np.ndarray:
    """Return a stable network, in hertz: every region decays, and has a few sources."""
    others = rng.choice([-1, 1], size=(n_regions, n_regions)) * rng.uniform(0.15, 0.4, size=(n_regions, n_regions))
    network = np.where(rng.random((n_regions, n_regions)) < share, others, 0.0)
    np.fill_diagonal(network, -0.6)
    network -= max(np.linalg.eigvals(network).real.max() + 0.15, 0) * np.eye(n_regions)
    return network


def test_the_free_energy_is_just_below_the_evidence_by_quadrature(rng):
    series, inputs = _inputs(rng)
    full = np.ones((3, 3), bool)
    for connections in (full, CHAIN):
        found = fit(series, repetition_time=TR, connections=connections, inputs=inputs)
        driving = _passed_on(inputs)
        for target in range(3):
            allowed = np.concatenate([connections[target], np.ones(2, bool)])
            evidence, mean = _exact(*_regression(series, driving, target, allowed))
            gap = evidence - float(found.free_energy[target])
            assert 0 < gap < 0.15
            weights = np.concatenate([found.connectivity[target], found.input_weights[target]])[allowed]
            np.testing.assert_allclose(weights, mean, atol=0.02)


def test_the_free_energy_never_decreases_and_ends_where_it_is_returned(rng):
    found = fit(_inputs(rng)[0], repetition_time=TR)
    path, last = np.asarray(found.free_energy_path), np.asarray(found.free_energy)
    assert (np.diff(path) >= -1e-10 * np.abs(last)[:, None]).all()
    assert (path[:, 0] < last - 1e-3).any()
    np.testing.assert_allclose(path[:, -1], last, rtol=1e-12)
    assert (np.asarray(found.n_iterations) < 500).all()
    short = fit(_inputs(np.random.default_rng(20260101))[0], repetition_time=TR, max_iterations=2)
    np.testing.assert_allclose(short.free_energy, path[:, 1], rtol=1e-9)


@pytest.mark.parametrize("n_regions", [1, 3])
def test_all_connections_by_name_are_those_by_default(n_regions, rng):
    series = _inputs(rng)[0][:n_regions]
    by_default = fit(series, repetition_time=TR)
    by_name = fit(series, repetition_time=TR, connections=np.ones((n_regions, n_regions), bool))
    for one, other in zip(by_default[:6], by_name[:6], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_a_network_made_in_frequencies_is_recovered_within_its_deviations(rng):
    network = _network(rng, 20, 0.15)
    n_frames = 1000
    factor = (np.exp(2j * np.pi * np.fft.rfftfreq(n_frames)) - 1) / TR
    noise = np.fft.rfft(rng.normal(size=(20, n_frames)))
    inverse = np.linalg.inv(factor[:, None, None] * np.eye(20) - network)
    series = np.fft.irfft(np.einsum("frs,sf->rf", inverse, noise), n_frames)
    found = fit(series, repetition_time=TR)
    off = (np.asarray(found.connectivity) - network) / np.asarray(found.connectivity_deviation)
    assert abs(np.sqrt(np.mean(off[~np.eye(20, dtype=bool)] ** 2)) - 1) < 0.15
    assert np.corrcoef(np.ravel(found.connectivity), network.ravel())[0, 1] > 0.95
    masked = fit(series, repetition_time=TR, connections=network != 0)
    assert not np.asarray(masked.connectivity)[network == 0].any()
    assert float(masked.free_energy.sum()) > float(found.free_energy.sum()) + 100
    wrong = fit(series, repetition_time=TR, connections=(network != 0).T)
    assert float(wrong.free_energy.sum()) < float(found.free_energy.sum())


def test_a_driven_network_is_recovered_through_differential_equations_and_vessels(rng):
    """Euler's method in steps of 1/16 frame, the nonlinear balloon model, noise on the measurements."""
    n_regions, n_frames, each = 20, 1200, 8
    network, driven = _network(rng, n_regions, 0.1), 0.1 * np.eye(n_regions)
    inputs = (rng.random((n_regions, n_frames // 10)) < 0.3).repeat(10 * each, axis=-1).astype(float)
    step, state = TR / each, np.zeros((5, n_regions))
    state[2:] = 1.0
    series = np.zeros((n_regions, n_frames))
    for number in range(n_frames * each):
        activity, signal, flow, volume, oxygen = state
        if number % each == 0:
            series[:, number // each] = 4 * (4.3 * 40.3 * 0.4 * 0.04 * (1 - oxygen) + 0.4 * (1 - oxygen / volume))
        out = volume ** (1 / 0.32)
        taken = flow * (1 - 0.68 ** (1 / flow)) / 0.32
        state = state + step * np.stack(
            [
                network @ activity + driven @ inputs[:, number],
                activity - 0.64 * signal - 0.32 * (flow - 1),
                signal,
                (flow - out) / 2,
                (taken - out * oxygen / volume) / 2,
            ]
        )
    series += rng.normal(size=series.shape) * series.std() / 30
    found = fit(series, repetition_time=TR, inputs=inputs, input_connections=np.eye(n_regions, dtype=bool))
    off = ~np.eye(n_regions, dtype=bool)
    estimate, planted = np.asarray(found.connectivity)[off], network[off]
    assert np.corrcoef(estimate, planted)[0, 1] > 0.9
    assert abs(np.corrcoef(estimate, network.T[off])[0, 1]) < 0.1
    assert (np.sign(estimate) == np.sign(planted))[planted != 0].mean() > 0.95


def test_without_inputs_it_is_an_autoregression_of_order_one_with_a_prior(rng):
    series = rng.normal(size=(3, 2000))
    for frame in range(1, 2000):
        series[:, frame] += np.array([[0.5, 0.3, 0.0], [0.0, 0.4, 0.0], [-0.3, 0.0, 0.5]]) @ series[:, frame - 1]
    found = fit(series, repetition_time=1.0)
    step = np.linalg.lstsq(series[:, :-1].T, series[:, 1:].T, rcond=None)[0].T
    np.testing.assert_allclose(np.asarray(found.connectivity) + np.eye(3), step, atol=0.01)


def test_what_was_not_measured_keeps_its_prior(rng):
    series = rng.normal(size=SHAPE)
    series[1] = 3.1
    found = fit(series, repetition_time=TR)
    np.testing.assert_allclose(found.connectivity[1], [0, -0.5, 0], atol=1e-12)
    np.testing.assert_allclose(found.connectivity_deviation[1, 1], np.sqrt(1 / 24), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(found.connectivity)[[0, 2], 1], 0, atol=1e-12)
    np.testing.assert_allclose(np.asarray(found.connectivity_deviation)[[0, 2], 1], np.sqrt(8 / 3), rtol=1e-12)
    assert abs(float(found.free_energy[1])) < 1e-12


def test_fewer_frequencies_than_connections_lean_on_the_prior(rng):
    found = fit(rng.normal(size=(12, 10)), repetition_time=TR)
    assert all(bool(jnp.isfinite(part).all()) for part in found)
    assert (np.asarray(found.connectivity_deviation) <= np.sqrt(8 / 12) + 1e-12).all()


def test_a_scan_with_nan_is_nan_and_the_next_one_is_not(rng):
    series = rng.normal(size=(2, 3, 40))
    series[0, 1, 5] = np.nan
    found = fit(series, repetition_time=TR)
    assert bool(jnp.isnan(found.connectivity[0]).all())
    np.testing.assert_allclose(found.connectivity[1], fit(series[1], repetition_time=TR).connectivity, rtol=1e-9)


def test_frequencies_outside_of_the_band_do_not_count(rng):
    series = rng.normal(size=(3, 200))
    wave = np.array([[5.0], [3.0], [1.0]]) * np.cos(2 * np.pi * np.arange(200) * 0.4)  # at 0.8 Hz, one of the series'
    plain, waved = (fit(one, repetition_time=TR, band=(0.05, 0.7)) for one in (series, series + wave))
    np.testing.assert_allclose(plain.connectivity, waved.connectivity, rtol=1e-7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repetition_time": 0}, "repetition_time must be above 0"),
        ({"noise_rate": 0.0}, "noise_rate must be above 0"),
        ({"max_iterations": 0}, "max_iterations must be at least 1"),
        ({"connections": np.ones((2, 3))}, r"connections must have shape \(target, source\) = \(3, 3\)"),
        ({"inputs": np.ones((1, 40)), "input_connections": np.ones((1, 3))}, r"\(target, input\) = \(3, 1\)"),
        ({"response": np.ones(3)}, "there are no inputs"),
        ({"inputs": np.ones((1, 41))}, "whole number of time steps for each of the 40 frames, and have 41"),
        ({"inputs": np.ones((1, 40)), "response": np.ones((2, 2))}, r"response must have shape \(step,\)"),
        ({"inputs": np.ones((3, 1, 40))}, "leading axes of inputs"),
        ({"band": (0.01, 0.02)}, "no Fourier bin"),
    ],
)
def test_bad_input_is_refused(settings, message, rng):
    series = rng.normal(size=(2, *SHAPE))
    with pytest.raises(ValueError, match=message):
        regression_dcm(series, **({"repetition_time": TR} | settings))


def test_too_few_frames_and_time_steps_are_refused(rng):
    with pytest.raises(ValueError, match="at least four frames, and there are 3"):
        regression_dcm(rng.normal(size=(3, 3)), repetition_time=TR)
    with pytest.raises(ValueError, match="n_frames must be at least 1"):
        balloon_response(0, time_step=1.0)
    with pytest.raises(ValueError, match="time_step must be above 0"):
        balloon_response(3, time_step=0.0)
