"""Simulators: what they say is true of the data is true of the data.

Statistical tests have fixed seeds; their bounds lie at least four standard errors out.
"""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import gamma as gamma_distribution

from conn.data import DataError
from conn.data import simulators as sim


def correlation(one, other):
    return float(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1])


def test_a_vector_autoregression_has_the_covariances_that_algebra_gives():
    coefficients = sim.random_var_coefficients(4, n_lags=2, density=0.4, rng=1)
    noise = np.cov(np.random.default_rng(0).normal(size=(4, 20)))
    made = sim.simulate_var(coefficients, 400, n_runs=400, noise_covariance=noise)
    expected = sim.autocovariance(coefficients, 3, noise_covariance=noise)
    np.testing.assert_allclose(expected[0], made.covariance, atol=1e-12)
    # The Yule-Walker equation of lag 0, which the solver does not use.
    implied = noise + sum(coefficients[k] @ expected[k + 1].T for k in range(2))
    np.testing.assert_allclose(implied, expected[0], atol=1e-10)
    for lag in range(4):
        series = made.time_series
        found = np.einsum("rit,rjt->ij", series[..., lag:], series[..., : 400 - lag]) / (400 * (400 - lag))
        np.testing.assert_allclose(found, expected[lag], atol=0.03 * np.abs(expected[0]).max())
    # Stationary from the first frame on.
    first = np.cov(made.time_series[..., 0].T)
    np.testing.assert_allclose(first, made.covariance, atol=0.3 * np.abs(made.covariance).max())


def test_coefficients_are_found_again_by_least_squares():
    made = sim.simulate_var(sim.baccala_sameshima("loop"), 20_000)
    series = made.time_series[0]
    past = np.concatenate([series[:, 1:-1], series[:, :-2]])
    found = np.linalg.lstsq(past.T, series[:, 2:].T, rcond=None)[0].T.reshape(5, 2, 5).swapaxes(0, 1)
    np.testing.assert_allclose(found, made.coefficients, atol=0.05)


def test_the_systems_of_the_literature_have_their_arrows_and_are_stable():
    arrows = {
        "three": {(2, 1), (3, 1), (1, 2), (3, 2), (2, 3)},
        "feedforward": {(1, 2), (1, 3), (1, 4), (5, 4), (4, 5)},
        "chain": {(1, 2), (2, 3), (3, 4), (5, 4), (4, 5)},
        "loop": {(1, 2), (2, 3), (3, 4), (5, 4), (4, 5), (5, 1)},
    }
    for system, expected in arrows.items():
        made = sim.simulate_var(sim.baccala_sameshima(system), 3)
        assert {(source + 1, target + 1) for target, source in np.argwhere(made.adjacency)} == expected
        assert made.spectral_radius < 1
    # The oscillator's poles: modulus 0.95, an eighth of the sampling rate.
    poles = np.roots([1, -0.95 * np.sqrt(2), 0.9025])
    np.testing.assert_allclose(np.abs(poles), 0.95)
    np.testing.assert_allclose(np.abs(np.angle(poles)), np.pi / 4)


def test_an_ornstein_uhlenbeck_network_has_its_lyapunov_covariance_at_every_sampling():
    rng = np.random.default_rng(0)
    jacobian = -np.eye(5) + 0.3 * rng.normal(size=(5, 5)) * (rng.random((5, 5)) < 0.5)
    for step in (0.1, 2.0):
        made = sim.simulate_ou(jacobian, 300, repetition_time=step, n_runs=600)
        rest = jacobian @ made.covariance + made.covariance @ jacobian.T + np.eye(5)
        np.testing.assert_allclose(rest, 0, atol=1e-12)
        series = made.time_series
        found = np.einsum("rit,rjt->ij", series, series) / (600 * 300)
        np.testing.assert_allclose(found, made.covariance, atol=0.06)
        lagged = np.einsum("rit,rjt->ij", series[..., 3:], series[..., :-3]) / (600 * 297)
        np.testing.assert_allclose(lagged, made.lagged_covariance(3 * step), atol=0.06)


def test_lorenz_96_follows_an_independent_integrator_and_its_own_arrows():
    made = sim.simulate_lorenz96(8, 12, noise=0.0, burn_in=200, n_substeps=20)
    solved = solve_ivp(
        lambda _, x: [(x[(i + 1) % 8] - x[i - 2]) * x[i - 1] - x[i] + 10 for i in range(8)],
        (0, 0.05 * 11),
        made.clean[0, :, 0],
        t_eval=np.arange(12) * 0.05,
        rtol=1e-10,
        atol=1e-10,
    )
    np.testing.assert_allclose(made.time_series[0], solved.y, atol=1e-4)
    rates, nudged = sim.lorenz96_rates(np.arange(1.0, 9.0), 10.0), np.empty((8, 8))
    for source in range(8):
        nudged[:, source] = sim.lorenz96_rates(np.arange(1.0, 9.0) + 0.5 * np.eye(8)[source], 10.0) - rates
    np.testing.assert_array_equal((nudged != 0) & ~np.eye(8, dtype=bool), made.adjacency)
    # Lorenz & Emanuel (1998): with 40 places and a forcing of 8 the standard deviation is 3.6.
    assert sim.simulate_lorenz96(40, 200, forcing=8, noise=0, burn_in=200).clean.std() == pytest.approx(3.6, abs=0.15)


def test_the_double_gamma_response_is_that_of_scipy_and_of_spm():
    time = np.arange(-2, 40, 0.01)
    for p in (sim.CANONICAL, sim.GLOVER):
        peak = gamma_distribution.pdf(time, p["peak_delay"] / p["peak_dispersion"], scale=p["peak_dispersion"])
        under = gamma_distribution.pdf(
            time, p["undershoot_delay"] / p["undershoot_dispersion"], scale=p["undershoot_dispersion"]
        )
        ours = sim.double_gamma(time, **{name: value for name, value in p.items() if name != "duration"})
        np.testing.assert_allclose(ours, peak - under / p["peak_undershoot_ratio"], atol=1e-12)
    known = [0, 0.0866, 0.3749, 0.3849, 0.2161, 0.0769, 0.0016, -0.0306, -0.0373, -0.0308]
    np.testing.assert_allclose(sim.sampled_hrf(2.0)[:10], known, atol=5e-5)
    published = [0, 0, 0.161, 0.443, 0.335, 0.139, 0.022, -0.028, -0.04, -0.033]
    ours = sim.sampled_hrf(2.0, convention="nilearn", parameters={"duration": 20.0})
    np.testing.assert_allclose(ours, published, atol=1e-3)


@pytest.mark.parametrize("preset", ["BALLOON", "SPM12_BALLOON"])
def test_the_balloon_model_follows_an_independent_integrator_to_its_steady_state(preset):
    p = getattr(sim, preset)
    activity = np.full(2000, 0.5)

    def rates(_, state):
        s, f, v, q = state
        out = v ** (1 / p["alpha"])
        return [
            0.5 - p["kappa"] * s - p["gamma"] * (f - 1),
            s,
            (f - out) / p["tau"],
            (f * (1 - (1 - p["rho"]) ** (1 / f)) / p["rho"] - out * q / v) / p["tau"],
        ]

    solved = solve_ivp(rates, (0, 199.9), [0, 1, 1, 1], t_eval=np.arange(2000) * 0.1, rtol=1e-9, atol=1e-10)
    _, _, v, q = solved.y
    expected = p["volume"] * (p["k1"] * (1 - q) + p["k2"] * (1 - q / v) + p["k3"] * (1 - v))
    found = sim.balloon(activity[None], 0.1, constants=p)[0]
    np.testing.assert_allclose(found, expected, atol=2e-7)
    flow = 1 + 0.5 / p["gamma"]
    v, q = flow ** p["alpha"], flow ** p["alpha"] * (1 - (1 - p["rho"]) ** (1 / flow)) / p["rho"]
    steady = p["volume"] * (p["k1"] * (1 - q) + p["k2"] * (1 - q / v) + p["k3"] * (1 - v))
    assert found[-1] == pytest.approx(steady, rel=1e-6)
    # Small inputs are answered in proportion, and steps of any length agree.
    small = sim.balloon(np.eye(1, 300) * 1e-3, 0.1)
    np.testing.assert_allclose(sim.balloon(np.eye(1, 300) * 2e-3, 0.1), 2 * small, atol=1e-3 * small.max())
    coarse = sim.balloon(np.ones((1, 20)), 1.0)
    np.testing.assert_allclose(coarse, sim.balloon(np.ones((1, 200)), 0.1)[:, ::10], atol=1e-12)


@pytest.fixture(scope="module")
def netsim():
    return sim.simulate_fmri_network(n_subjects=6, noise=0.001)


def test_partial_correlations_see_the_network_and_full_ones_less(netsim):
    """The bands of a re-simulation of Smith et al.: full 0.66, partial 0.98, for 30 people and noise of 0.1 %."""
    full = np.array([np.corrcoef(series) for series in netsim.time_series])
    precision = np.linalg.inv(full)
    size = np.sqrt(np.einsum("sii->si", precision))
    partial = -precision / size[:, None] / size[:, :, None]
    upper = np.triu_indices(5, 1)
    true = (netsim.network | netsim.network.T)[upper]

    def sensitivity(matrices):
        values = np.abs(matrices[:, *upper])
        return np.mean(values[:, true] > np.quantile(values[:, ~true], 0.95))

    assert sensitivity(partial) > 0.85
    assert 0.4 < sensitivity(full) < 0.95


def test_netsim_scans_have_the_stated_noise_band_weights_and_delays(netsim):
    present = netsim.weights[:, netsim.network]
    assert ((present >= 0.2) & (present <= 0.6)).all()
    assert (netsim.weights[:, ~netsim.network] == 0).all()
    assert netsim.delays.std() == pytest.approx(0.5, abs=0.25)
    frequencies = np.fft.rfftfreq(200, 3.0)
    power = np.abs(np.fft.rfft(netsim.time_series)) ** 2
    assert power[..., frequencies < 1 / 200].max() < 1e-20
    raw = sim.simulate_fmri_network(n_subjects=2, duration=60, repetition_time=0.5, noise=0.001, high_pass=None)
    assert (raw.time_series - raw.clean).std() == pytest.approx(0.001, rel=0.12)


def test_a_delayed_region_answers_later_by_its_delay():
    made = sim.simulate_fmri_network(
        np.zeros((2, 2)), n_subjects=1, duration=150, repetition_time=0.1, noise=0, delay_sd=0.0, high_pass=None
    )
    late = sim.simulate_fmri_network(
        np.zeros((2, 2)), n_subjects=1, duration=150, repetition_time=0.1, noise=0, delay_sd=1.0, high_pass=None
    )
    assert late.delays.std() > 0.1
    # The same inputs, of which one grid begins as much later as the other's delays are negative.
    for region in range(2):
        lags = np.arange(-30, 31)
        scores = [
            correlation(made.clean[0, region, 100:-100], np.roll(late.clean[0, region], -k)[100:-100]) for k in lags
        ]
        assert lags[np.argmax(scores)] * 0.1 == pytest.approx(late.delays[0, region], abs=0.11)


def test_oscillators_have_the_covariance_coherence_and_phase_that_they_state():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 3, 3)) + 1j * rng.normal(size=(2, 3, 3))
    spectra = root @ root.conj().swapaxes(1, 2)
    bands = [(0.02, 0.06), (0.1, 0.2)]
    made = sim.simulate_oscillators(spectra, bands, 400, repetition_time=2.0, n_runs=600)
    for part, spectrum, (low, high) in zip(made.parts, spectra, bands, strict=True):
        found = np.einsum("rit,rjt->ij", part, part) / part[:, 0].size
        np.testing.assert_allclose(found, spectrum.real, atol=0.06 * np.abs(spectrum).max())
        bins = np.fft.rfft(part)
        frequencies = np.fft.rfftfreq(400, 2.0)
        outside = (frequencies < low) | (frequencies > high)
        assert (np.abs(bins[..., outside]) ** 2).sum() < 1e-20 * (np.abs(bins) ** 2).sum()
        cross = np.einsum("rif,rjf->ij", bins, bins.conj())
        np.testing.assert_allclose(cross / np.abs(cross).max(), spectrum / np.abs(spectrum).max(), atol=0.05)
    np.testing.assert_allclose(made.time_series, made.parts.sum(axis=0))
    assert np.isnan(
        sim.simulate_oscillators([np.diag([1.0, 0.0])], bands[:1], 99, repetition_time=2.0).coherence[0, 0, 1]
    )


def test_markov_chains_have_their_dwell_and_stationary_shares():
    chain = sim.dwell_transition(4, 15.0)
    states = sim.markov_states(chain, 500, n_runs=400)
    stays = (states[:, 1:] == states[:, :-1]).mean()
    assert 1 / (1 - stays) == pytest.approx(15, rel=0.05)
    uneven = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    states = sim.markov_states(uneven, 400, n_runs=1000)
    shares = sim.stationary_distribution(uneven)
    np.testing.assert_allclose(shares @ uneven, shares, atol=1e-12)
    np.testing.assert_allclose(np.bincount(states.ravel()) / states.size, shares, atol=0.02)
    np.testing.assert_allclose(np.bincount(states[:, 0], minlength=3) / 1000, shares, atol=0.07)
    counted = np.zeros((3, 3))
    np.add.at(counted, (states[:, :-1], states[:, 1:]), 1)
    np.testing.assert_allclose(counted / counted.sum(axis=1, keepdims=True), uneven, atol=0.01)


def test_series_have_the_covariance_of_their_state():
    rng = np.random.default_rng(0)
    covariances = np.stack([np.cov(rng.normal(size=(4, 30))) for _ in range(3)])
    made = sim.simulate_states(covariances, 500, n_runs=60, mean_dwell=10)
    for state in range(3):
        frames = made.time_series.swapaxes(1, 2)[made.states == state]
        np.testing.assert_allclose(np.cov(frames.T), covariances[state], atol=0.1)


@pytest.mark.parametrize("dwell", [20.0, 60.0])
def test_planted_communities_switch_overlap_and_share_parents(dwell):
    made = sim.simulate_communities(
        n_regions=60, n_communities=6, n_scans=8, n_frames=800, mean_dwell=dwell, snr=4.0, overlap=0.3
    )
    assert made.time_series.dtype == np.float32
    np.testing.assert_allclose(made.affiliation.sum(axis=1), 1)
    np.testing.assert_array_equal(made.affiliation.argmax(axis=1), made.communities)
    assert 0.1 < (made.affiliation.max(axis=1) < 1).mean() < 0.5
    switches = (np.diff(made.activity.astype(int), axis=-1) != 0).mean()
    assert 1 / switches == pytest.approx(dwell, rel=0.2)
    frequencies = np.fft.rfftfreq(800, 2.2)
    power = np.abs(np.fft.rfft(made.time_series.astype(float))) ** 2
    assert power[..., (frequencies < 0.008) | (frequencies > 0.1)].sum() < 1e-8 * power.sum()
    for community in range(6):
        pure = made.affiliation[:, community] == 1
        mean = made.time_series[:, pure].mean(axis=1)
        on = made.activity[:, community]
        assert mean[on].var() > 2 * mean[~on].var()
    connectome = np.mean([np.corrcoef(scan) for scan in made.time_series], axis=0)
    same = made.communities[:, None] == made.communities
    assert connectome[same].mean() > connectome[~same].mean() + 0.2


def test_communities_of_one_parent_are_correlated_as_stated():
    made = sim.simulate_communities(
        n_regions=8, n_communities=8, n_parents=2, parent_share=0.5, snr=1e6, overlap=0, mean_dwell=None, n_scans=60
    )
    connectome = np.mean([np.corrcoef(scan) for scan in made.time_series], axis=0)
    same = made.parents[:, None] == made.parents
    np.fill_diagonal(same, False)
    assert connectome[same].mean() == pytest.approx(0.5, abs=0.05)
    assert np.abs(connectome[made.parents[:, None] != made.parents]).mean() < 0.08
    assert made.activity.all()


def test_matched_series_have_covariance_and_spectrum_and_no_dynamics():
    rng = np.random.default_rng(0)
    scan = sim.simulate_communities(n_regions=10, n_communities=2, n_scans=1, n_frames=401).time_series[0].astype(float)
    made = sim.simulate_like(scan, n_runs=300, exact=True)
    for run in made.time_series[:5]:
        np.testing.assert_allclose(np.cov(run, ddof=0), np.cov(scan, ddof=0), atol=1e-10)
    wanted = np.abs(np.fft.rfft((scan - scan.mean(1, keepdims=True)) / scan.std(1, keepdims=True))) ** 2
    found = (np.abs(np.fft.rfft(made.time_series)) ** 2).mean(axis=(0, 1))
    assert correlation(found, wanted.mean(axis=0)) > 0.99
    loose = sim.simulate_matched(made.covariance, wanted.mean(axis=0), 401, n_runs=400, rng=rng)
    mean = np.einsum("rit,rjt->ij", loose.time_series, loose.time_series) / (400 * 401)
    np.testing.assert_allclose(mean, made.covariance, atol=0.08)
    assert loose.spectrum.sum() == pytest.approx(1)


@pytest.mark.parametrize("reliability", [0.0, 0.3, 0.8])
def test_people_are_as_reliable_as_asked_for(reliability):
    made = sim.simulate_population(n_subjects=60, n_sessions=3, n_regions=30, reliability=reliability)
    between = 3 * made.tangent.mean(axis=1).var(axis=0, ddof=1)
    within = made.tangent.var(axis=1, ddof=1).mean(axis=0)
    icc = (between - within).mean() / (between + 2 * within).mean()
    assert icc == pytest.approx(reliability, abs=0.05)
    rest = made.tangent - made.group
    same = np.mean([correlation(one[0], one[1]) for one in rest])
    assert same == pytest.approx(reliability, abs=0.05)
    values, vectors = np.linalg.eigh(made.covariance[0, 0])
    logarithm = (vectors * np.log(values)) @ vectors.T
    np.testing.assert_allclose(logarithm[np.triu_indices(30, 1)], made.tangent[0, 0], atol=1e-10)


def test_series_of_people_have_their_covariance():
    made = sim.simulate_population(n_subjects=2, n_regions=5, n_frames=40_000)
    np.testing.assert_allclose(np.cov(made.time_series[1, 0]), made.covariance[1, 0], atol=0.05)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_behaviour_is_explained_exactly_as_far_as_asked_for(share):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 100)) * rng.uniform(0.1, 5, 100) + 3
    features[:, 0] = 3.0
    age = rng.normal(size=(40, 1))
    made = sim.simulate_behaviour(features, share, n_active=20, confounds=age)
    assert made.score.mean() == pytest.approx(0, abs=1e-12)
    assert made.score.var() == pytest.approx(1)
    assert made.predictable.var() == pytest.approx(share, abs=1e-12)
    assert (made.score - made.predictable) @ made.predictable == pytest.approx(0, abs=1e-9)
    assert (made.score - made.predictable) @ (age - age.mean()) == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose((features - features.mean(axis=0)) @ made.weights, made.predictable, atol=1e-9)
    assert np.count_nonzero(made.weights) <= 20


@pytest.mark.parametrize(("kernel", "nugget"), [("exponential", 0.0), ("gaussian", 0.0), ("exponential", 0.3)])
def test_maps_are_correlated_over_distance_as_stated(kernel, nugget):
    line = np.column_stack([np.arange(0, 100, 10.0), np.zeros(10), np.zeros(10)])
    made = sim.simulate_maps(line, n_maps=3000, length_scale=25, kernel=kernel, nugget=nugget, n_waves=64)
    expected = made.correlation(np.abs(line[:, :1] - line[:, 0]))
    np.testing.assert_allclose(made.maps.T @ made.maps / 3000, expected, atol=0.09)


def test_the_best_prediction_of_a_connectome_has_the_correlation_asked_for():
    made = sim.simulate_gene_connectome(n_regions=60, n_genes=80, optimal_r=0.6, distance_share=0.3)
    edges = np.triu_indices(60, 1)
    target = made.connectome[edges]
    assert correlation(made.signal[edges], target) == pytest.approx(0.6)
    assert correlation(made.distance_part[edges], target) == pytest.approx(0.6 * np.sqrt(0.3))
    assert target.var() == pytest.approx(1)
    # The signal follows from expression and coordinates: distance, products of factors, a constant.
    factors = made.expression @ made.projection
    apart = np.linalg.norm(made.coordinates[:, None] - made.coordinates, axis=-1)
    known = np.stack([np.ones(target.size), np.exp(-apart / 30)[edges], (factors @ factors.T)[edges]])
    fitted = known.T @ np.linalg.lstsq(known.T, made.signal[edges], rcond=None)[0]
    np.testing.assert_allclose(fitted, made.signal[edges], atol=1e-9)
    # No regression on them does better than the signal in other noise.
    assert made.optimal_r_of(np.column_stack(edges)[:500]) == pytest.approx(0.6, abs=0.15)
    np.testing.assert_allclose(made.expression.var(axis=0), 1)


def test_motion_artefacts_have_the_coupling_that_they_state():
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(1, 6, 20_000)) * np.arange(1, 7)[:, None]
    places = np.column_stack([np.arange(6) * 15.0, np.zeros(6), np.zeros(6)])
    made = sim.add_motion(clean, places, repetition_time=2.0, local=3.0)
    size = clean[0].std(axis=1)
    np.testing.assert_allclose(made.time_series, clean + made.spikes + made.delayed + made.local)
    np.testing.assert_allclose(made.spikes[0], -size[:, None] * made.motion[0], atol=1e-12)
    fade = np.exp(-np.arange(1, 60) * 2.0 / 10.0)
    expected = 0.5 * size[0] * np.convolve(made.motion[0], np.concatenate([[0], fade]))[:20_000]
    np.testing.assert_allclose(made.delayed[0, 0], expected, atol=1e-4)
    shared = made.local[0] @ made.local[0].T / 20_000 / np.outer(size, size)
    apart = np.abs(places[:, :1] - places[:, 0])
    squared = (made.motion[0] ** 2).mean()
    np.testing.assert_allclose(shared, 9 * squared * np.exp(-(apart**2) / (2 * 30.0**2)), rtol=0.3, atol=0.02)
    assert shared[0, 1] > 2 * shared[0, 4]


def test_those_who_move_more_have_more_local_connectivity():
    rng = np.random.default_rng(1)
    places = rng.normal(size=(30, 3)) * 35
    motion = sim.motion_traces(40, 200, levels=(0.05, 0.5), rng=2)
    made = sim.add_motion(rng.normal(size=(40, 30, 200)), places, motion=motion, spike=0, delayed=0)
    edges = np.triu_indices(30, 1)
    connectivity = np.array([np.corrcoef(scan)[edges] for scan in made.time_series])
    quality = [correlation(connectivity[:, edge], motion.mean(axis=1)) for edge in range(len(edges[0]))]
    apart = np.linalg.norm(places[:, None] - places, axis=-1)[edges]
    assert correlation(quality, apart) < -0.4


def test_a_driven_network_reaches_its_steady_state_by_its_time_constant():
    wiring = np.array([[0.0, 0.0], [0.8, 0.0]])
    made = sim.simulate_responses(np.ones((1, 500)), wiring, [[1.0], [0.5]])
    np.testing.assert_allclose(made.activity[:, -1], np.linalg.solve(np.eye(2) - wiring, [1.0, 0.5]), atol=1e-10)
    np.testing.assert_allclose(made.activity[0], 1 - np.exp(-np.arange(500) * 0.01 / 0.1), atol=1e-12)


def test_measurements_are_the_convolutions_that_they_state():
    step, n = 0.01, 4000
    # A burst of unit area at 1 s.
    burst = np.zeros((2, n))
    burst[:, 100] = 1 / step
    time = np.arange(n) * step - 1.0
    bold = sim.measure(burst, "bold", step=step, sampling_time=step, delays=[0.0, 1.5])
    np.testing.assert_allclose(bold[0], sim.double_gamma(time - step / 2) * 6 / 5, atol=1e-3)
    np.testing.assert_allclose(bold[1], sim.double_gamma(time - 1.5 - step / 2) * 6 / 5, atol=1e-3)
    calcium = sim.measure(burst, "calcium", step=step, sampling_time=step, rise=0.05, decay=0.3)
    np.testing.assert_allclose(calcium[0], sim.calcium_kernel(time - step / 2, rise=0.05, decay=0.3), atol=1e-9)
    late = slice(300, 400)
    np.testing.assert_allclose(calcium[0, 301:401] / calcium[0, late], np.exp(-step / 0.3), rtol=1e-3)
    field = np.random.default_rng(0).normal(size=(5, 2))
    meg = sim.measure(burst, "meg", step=step, sampling_time=0.05, lead_field=field)
    np.testing.assert_allclose(meg, field @ burst[:, ::5])
    noisy = sim.measure(0 * burst, "meg", step=step, sampling_time=step, lead_field=field, noise=0.5)
    assert noisy.std() == pytest.approx(0.5, rel=0.03)


def test_events_keep_their_area_whatever_the_step():
    for step in (0.05, 0.3, 1.0):
        course = sim.event_stimulus([0.13, 4.0], [0.7, 2.0], duration=9.0, step=step, amplitudes=[1.0, -2.0])
        assert course.sum() * step == pytest.approx(0.7 - 4.0)


SEEDED = {
    "var": lambda rng: sim.simulate_var(0.5 * np.eye(2), 20, rng=rng).time_series,
    "ou": lambda rng: sim.simulate_ou(-np.eye(2), 20, rng=rng).time_series,
    "lorenz96": lambda rng: sim.simulate_lorenz96(4, 5, burn_in=2, rng=rng).time_series,
    "fmri": lambda rng: sim.simulate_fmri_network(n_subjects=1, duration=20, rng=rng).time_series,
    "oscillators": lambda rng: (
        sim.simulate_oscillators([np.eye(2)], [(0.1, 0.3)], 50, repetition_time=1.0, rng=rng).time_series
    ),
    "communities": lambda rng: sim.simulate_communities(n_regions=8, n_scans=1, n_frames=100, rng=rng).time_series,
    "states": lambda rng: sim.simulate_states([np.eye(2)] * 2, 20, rng=rng).time_series,
    "matched": lambda rng: sim.simulate_matched(np.eye(2), np.ones(11), 20, rng=rng).time_series,
    "population": lambda rng: sim.simulate_population(n_subjects=2, n_regions=4, rng=rng).tangent,
    "behaviour": lambda rng: sim.simulate_behaviour(np.eye(5), rng=rng).score,
    "maps": lambda rng: sim.simulate_maps(np.eye(3), rng=rng).maps,
    "genes": lambda rng: sim.simulate_gene_connectome(n_regions=8, n_genes=9, rng=rng).connectome,
    "motion": lambda rng: sim.add_motion(np.eye(6)[None], np.eye(6)[:, :3], rng=rng).time_series,
}


@pytest.mark.parametrize("make", SEEDED.values(), ids=SEEDED)
def test_the_same_seed_gives_the_same_data(make):
    np.testing.assert_array_equal(make(3), make(np.random.default_rng(3)))
    assert (make(3) != make(4)).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sim.simulate_var([[1.02]], 5), r"unstable: its spectral radius is 1\.02"),
        (lambda: sim.simulate_var(np.zeros((1, 2, 3)), 5), "expected as many targets as sources"),
        (lambda: sim.simulate_var(np.zeros((2, 2)), 5, noise_covariance=np.eye(3)), "noise_covariance has shape"),
        (lambda: sim.simulate_var(np.zeros((2, 2)), 5, noise_covariance=-np.eye(2)), "not positive semidefinite"),
        (lambda: sim.simulate_var([["a"]], 5), "does not consist of numbers"),
        (lambda: sim.baccala_sameshima("six"), "there is no system 'six'"),
        (lambda: sim.random_var_coefficients(3, spectral_radius=1.0), "expected a number below 1"),
        (lambda: sim.random_var_coefficients(3, density=2), "density is 2, expected a number from 0 to 1"),
        (lambda: sim.simulate_ou([[0.1]], 5), r"largest real part of an eigenvalue is 0\.1 per second"),
        (lambda: sim.simulate_ou(-np.eye(2), 5, noise_covariance=np.eye(3)), "noise_covariance has shape"),
        (lambda: sim.simulate_lorenz96(3), "n_regions is 3, expected a whole number of at least 4"),
        (lambda: sim.clustered_network(6), "expected a multiple of 5"),
        (lambda: sim.simulate_fmri_network(np.eye(2)), "entries on its diagonal"),
        (
            lambda: sim.simulate_fmri_network(1 - np.eye(5), n_subjects=1, weight_mean=0.6),
            "unstable with the weights of subject 0",
        ),
        (lambda: sim.simulate_fmri_network(duration=5), "fewer than two frames"),
        (lambda: sim.simulate_fmri_network(haemodynamic_step=0.007), "no multiple of neural_step"),
        (lambda: sim.simulate_fmri_network(weight_range=(0.6, 0.2)), "weight_range runs backwards"),
        (lambda: sim.simulate_fmri_network(n_subjects=1, duration=30, high_pass=1.0), "leaves nothing"),
        (lambda: sim.motion_traces(1, 5, levels=(0.2, 0.1)), "levels run backwards"),
        (lambda: sim.balloon(np.ones(3), 0.1), r"expected \(\.\.\., region, sample\)"),
        (lambda: sim.balloon([[np.nan]], 0.1), "activity is not finite"),
        (lambda: sim.balloon([[1.0]], 0.1, constants={"beta": 1}), "unknown constants"),
        (lambda: sim.balloon([[1.0]], 0.1, constants={"tau": 0}), "tau of the balloon model must be positive"),
        (lambda: sim.balloon([[1.0]], 0.1, constants={"rho": 1}), "rho of the balloon model must lie below 1"),
        (lambda: sim.balloon([[1.0]], 0.1, constants={"tau": [1, 2]}), r"tau has shape \(2,\), expected \(1,\)"),
        (lambda: sim.balloon(np.full((1, 90), 1e9), 0.1), "the balloon model diverges"),
        (lambda: sim.sampled_hrf(40.0), "not shorter than the response"),
        (lambda: sim.sampled_hrf(1.0, convention="fsl"), "convention is 'fsl'"),
        (lambda: sim.sampled_hrf(1.0, parameters={"delay": 1}), "unknown parameters of the response: delay"),
        (lambda: sim.sampled_hrf(1.0, parameters={"peak_undershoot_ratio": 0.5}), "no positive area"),
        (lambda: sim.double_gamma(1.0, peak_delay=0), "peak_delay is 0, expected a positive number"),
        (
            lambda: sim.simulate_oscillators(np.eye(2), [(0.1, 0.2)], 9, repetition_time=1),
            r"expected \(band, region, region\)",
        ),
        (lambda: sim.simulate_oscillators([np.eye(2)], [], 9, repetition_time=1), "there are 0 bands"),
        (
            lambda: sim.simulate_oscillators([[[1, 2], [0, 1]]], [(0.1, 0.3)], 50, repetition_time=1),
            "is not Hermitian",
        ),
        (
            lambda: sim.simulate_oscillators([[[1, 2], [2, 1]]], [(0.1, 0.3)], 50, repetition_time=1),
            "is not positive semidefinite",
        ),
        (lambda: sim.simulate_oscillators([np.eye(2)], [(0, 0.3)], 50, repetition_time=1), "holds 0 or the Nyquist"),
        (lambda: sim.simulate_oscillators([np.eye(2)], [(0.3, 0.1)], 50, repetition_time=1), "runs backwards"),
        (lambda: sim.dwell_transition(2, 1.0), "expected a number above 1"),
        (lambda: sim.stationary_distribution(np.eye(2)), "chains that never meet"),
        (lambda: sim.stationary_distribution([[0.5, 0.4], [0.5, 0.5]]), "probabilities that sum to 1"),
        (lambda: sim.simulate_states([np.eye(2)] * 2, 5, transition=np.full((3, 3), 1 / 3)), "transition has 3 states"),
        (lambda: sim.simulate_states([np.ones((2, 2)) - np.eye(2)] * 2, 5), r"covariances\[0\] is not positive"),
        (lambda: sim.simulate_communities(n_regions=3), "8 communities are more than 3 regions"),
        (lambda: sim.simulate_communities(n_parents=9), "9 parents are more than 8 communities"),
        (lambda: sim.simulate_communities(n_frames=5), "resolve fewer than two frequencies"),
        (lambda: sim.simulate_communities(mean_dwell=1.0), "mean_dwell is 1"),
        (lambda: sim.simulate_matched(np.eye(2), np.ones(3), 20), r"spectrum has shape \(3,\), expected \(11,\)"),
        (lambda: sim.simulate_matched(np.eye(2), -np.ones(11), 20), "negative power"),
        (lambda: sim.simulate_matched(np.eye(2), np.eye(1, 11)[0], 20), "no power beside the mean"),
        (lambda: sim.simulate_matched(np.eye(9), np.ones(4), 6, exact=True), "needs as many degrees of freedom"),
        (lambda: sim.simulate_like(np.ones((2, 9))), "region 0 is constant"),
        (lambda: sim.simulate_population(reliability=1.5), "reliability is 1.5, expected a number from 0 to 1"),
        (lambda: sim.simulate_behaviour(np.ones((9, 2))), "none of the active features varies"),
        (lambda: sim.simulate_behaviour(np.ones((2, 2))), "2 people are too few"),
        (lambda: sim.simulate_behaviour(np.eye(5), n_active=6), "6 active features are more than 5"),
        (lambda: sim.simulate_maps(np.eye(3), nugget=1.0), "expected a number below 1"),
        (lambda: sim.simulate_maps(np.eye(3), kernel="box"), "kernel is 'box'"),
        (lambda: sim.simulate_gene_connectome(n_regions=4, coordinates=np.zeros((4, 3))), "do the regions coincide"),
        (
            lambda: sim.simulate_gene_connectome(n_regions=8, n_genes=9).optimal_r_of([[0, 1]]),
            "with at least two pairs",
        ),
        (lambda: sim.add_motion(np.ones((1, 2, 3)), np.ones((2, 3)), motion=[[0, -1, 0]]), "motion is negative"),
        (lambda: sim.add_motion(np.ones((1, 2, 3)), np.ones((3, 3))), "coordinates has shape"),
        (lambda: sim.simulate_responses([[1.0]], [[1.0]], [[1.0]]), "the network is unstable"),
        (lambda: sim.event_stimulus([1.0], [2.0], duration=2.0, step=0.1), "lies outside the time course"),
        (lambda: sim.event_stimulus([1.0], [0.0], duration=2.0, step=0.1), "durations must be positive"),
        (lambda: sim.calcium_kernel(0.1, rise=1.0), "is not shorter than the decay"),
        (lambda: sim.measure([[1.0]], "eeg", step=1, sampling_time=1), "kind is 'eeg'"),
        (lambda: sim.measure([[1.0]], "meg", step=1, sampling_time=1), "a lead field is needed for MEG"),
        (lambda: sim.measure([[1.0]], "calcium", step=1, sampling_time=1, delays=[0]), "delays belong to BOLD"),
        (lambda: sim.measure([[1.0]], "bold", step=1, sampling_time=1, delays=[-1]), "delays are negative"),
        (lambda: sim.measure([[1.0]], "bold", step=1, sampling_time=1.5), "no multiple of the step"),
    ],
)
def test_what_cannot_be_simulated_is_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()
