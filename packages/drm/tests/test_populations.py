import copy
import itertools
import math
import pickle

import numpy as np
import pytest
import torch

from drm import (
    DRMConnection,
    DRMNet,
    DRMPopulation,
    DRMReadout,
    GRUPopulation,
    HopfPopulation,
    JansenRitPopulation,
    LeakyRatePopulation,
    LSTMPopulation,
    NeuralMassPopulation,
    WilsonCowanPopulation,
    WongWangPopulation,
    connect,
)

DOUBLE = torch.float64
KINDS = {
    "linear": lambda n_in, n_out: DRMPopulation(n_in, n_out, negative_slope=0.3),
    "rate": lambda n_in, n_out: LeakyRatePopulation(n_in, n_out, resolution=1, time_constant=5.0),
    "relu rate": lambda n_in, n_out: LeakyRatePopulation(
        n_in, n_out, resolution=1, time_constant=7.0, activation="relu"
    ),
    "gru": GRUPopulation,
    "lstm": LSTMPopulation,
    "wilson-cowan": lambda n_in, n_out: WilsonCowanPopulation(n_in, n_out, resolution=1, learn=["w_ee", "tau_e"]),
    "wong-wang": lambda n_in, n_out: WongWangPopulation(n_in, n_out, resolution=1, method="heun"),
    "hopf": lambda n_in, n_out: HopfPopulation(n_in, n_out, resolution=1, learn=["frequency"]),
    "jansen-rit": lambda n_in, n_out: JansenRitPopulation(n_in, n_out, resolution=1, method="euler", n_steps=2),
}


def driven(population, value, n_ticks):
    """The output under a constant drive, given through the bias."""
    population = population.double()
    with torch.no_grad():
        population.weight.zero_()
        population.bias.fill_(value)
        ticks = [population([torch.zeros(1, 1, dtype=DOUBLE)]) for _ in range(n_ticks)]
    return torch.stack(ticks)[:, 0, 0].numpy()


def mixed_net(names, *, vectorised, seed=0):
    torch.manual_seed(seed)
    sizes = [1 + index % 3 for index in range(len(names))]
    n = len(names)
    rng = np.random.default_rng(seed)
    present, delays = rng.random((n, n)) < 0.6, rng.integers(1, 4, (n, n))
    populations = [
        KINDS[name](2 + sum(s for s, p in zip(sizes, present[i], strict=True) if p), sizes[i])
        for i, name in enumerate(names)
    ]
    for population in populations:
        with torch.no_grad():
            population.weight.mul_(0.3)
            population.bias.add_(0.1)
    return DRMNet(
        populations,
        [DRMConnection(2, 2) for _ in names],
        connect(populations, present=present, delays=delays),
        DRMReadout(sum(sizes), 2),
        vectorised=vectorised,
    ).to(DOUBLE)


@pytest.mark.parametrize(
    "names",
    [
        ["rate", "linear", "rate"],
        ["gru", "rate", "gru", "relu rate"],
        ["lstm", "lstm"],
        ["hopf", "wilson-cowan", "hopf"],
        ["jansen-rit", "wong-wang", "linear"],
        ["gru"],
    ],
)
def test_kinds_side_by_side_equal_one_by_one_in_value_and_gradient(names):
    x = torch.randn(9, 2, 2, dtype=DOUBLE)
    found = []
    for vectorised in (True, False):
        net = mixed_net(names, vectorised=vectorised)
        activity = torch.cat([net.run(part)[1] for part in x.tensor_split((4, 5))])
        activity.square().sum().backward()
        found.append((activity, {name: p.grad for name, p in net.named_parameters()}))
    (fast, fast_gradients), (slow, slow_gradients) = found
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-12)
    for name, gradient in slow_gradients.items():
        if gradient is not None:
            torch.testing.assert_close(fast_gradients[name], gradient, rtol=1e-8, atol=1e-10)


def test_blocks_of_ticks_equal_single_ticks_for_stateful_kinds():
    x = torch.randn(23, 2, 2, dtype=DOUBLE)
    torch.manual_seed(0)
    pair = [LeakyRatePopulation(4, 1, resolution=1, time_constant=5.0), DRMPopulation(4, 1)]
    wp = connect(pair, present=np.ones((2, 2)), delays=[[7, 9], [8, 7]])
    net = DRMNet(pair, [DRMConnection(2, 2), DRMConnection(2, 2)], wp, DRMReadout(2, 1)).to(DOUBLE)
    at_once, _ = net.run(x)
    net.reset()
    torch.testing.assert_close(torch.stack([net(tick) for tick in x]), at_once, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", ["rate", "gru", "jansen-rit"])
def test_copies_and_pickles_of_stateful_nets_go_on_alike(kind):
    net = mixed_net([kind, "linear"], vectorised=None)
    x = torch.randn(6, 1, 2, dtype=DOUBLE)
    net.run(x[:3])
    twins = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]  # noqa: S301
    expected, _ = net.run(x[3:])
    for twin in twins:
        assert torch.equal(twin.run(x[3:])[0], expected)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(GRUPopulation, torch.nn.GRUCell), (LSTMPopulation, torch.nn.LSTMCell)],
)
def test_gated_units_are_those_of_torch(ours, theirs):
    population, cell = ours(3, 4), theirs(3, 4)
    with torch.no_grad():
        population.weight.copy_(cell.weight_ih)
        population.recurrent_weight.copy_(cell.weight_hh)
        population.bias.copy_(cell.bias_ih)
        population.recurrent_bias.copy_(cell.bias_hh)
    state = None
    for x in torch.randn(6, 2, 3):
        state = cell(x, state)
        expected = state[0] if isinstance(state, tuple) else state
        torch.testing.assert_close(population([x]), expected)


@pytest.mark.parametrize("resolution", [1.0, 5.0])
def test_a_linear_rate_follows_a_step_exactly_whatever_the_resolution(resolution):
    population = LeakyRatePopulation(1, 1, resolution=resolution, time_constant=20.0, activation="linear")
    found = driven(population, 1.0, 20)
    time = resolution * np.arange(1, 21)
    np.testing.assert_allclose(found, 1 - np.exp(-time / 20), rtol=1e-6)


def test_a_rate_converges_at_first_order_where_its_drive_changes():
    # What is held over a tick lags by half of one: the error of a sine is in proportion to the tick.
    errors = []
    for resolution in (2.0, 1.0, 0.5):
        population = LeakyRatePopulation(1, 1, resolution=resolution, time_constant=20, activation="linear").double()
        torch.nn.init.ones_(population.weight)
        time = resolution * torch.arange(round(200 / resolution), dtype=torch.float64)
        omega = 2 * math.pi / 100
        for x in torch.sin(omega * time):
            output = population([x.view(1, 1)])
        end, a = 200.0, 20 * omega
        exact = (math.sin(omega * end) - a * math.cos(omega * end) + a * math.exp(-end / 20)) / (1 + a**2)
        errors.append(abs(output.item() - exact))
    for coarse, fine in itertools.pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(1, abs=0.1)


def test_time_constants_are_learned():
    truth = LeakyRatePopulation(1, 1, resolution=10, time_constant=80.0, activation="linear")
    model = LeakyRatePopulation(1, 1, resolution=10, time_constant=20.0, activation="linear")
    for population in (truth, model):
        torch.nn.init.ones_(population.weight)
        population.weight.requires_grad_(False)

    def net(population):
        readout = DRMReadout(1, 1, weight=torch.eye(1))
        return DRMNet([population], [DRMConnection()], [[None]], readout)

    x = torch.randn(40, 8, 1)
    with torch.no_grad():
        target, _ = net(truth).run(x)
    fitted = net(model)
    optimizer = torch.optim.Adam([model.log_time_constant], lr=0.1)
    for _ in range(60):
        fitted.reset()
        optimizer.zero_grad()
        (fitted.run(x)[0] - target).square().mean().backward()
        optimizer.step()
    assert model.time_constant.item() == pytest.approx(80, rel=0.05)


def solved(population, value, seconds):
    integrate = pytest.importorskip("scipy.integrate")
    population = population.double()
    constants = population.unit_parameters()
    drive = torch.full((1, 1, 1), value, dtype=DOUBLE)

    def slope(_, y):
        state = torch.as_tensor(y).view(-1, 1, 1)
        return population.derivative(state, drive, constants).flatten().detach().numpy()

    start = population.initial_state(1).flatten().numpy()
    found = integrate.solve_ivp(slope, (0, seconds[-1]), start, t_eval=seconds, rtol=1e-10, atol=1e-12)
    states = torch.as_tensor(found.y).unsqueeze(1)
    return population.observe(states, constants)[0].detach().numpy()


@pytest.mark.parametrize(
    ("kind", "resolution", "value"),
    [
        (WilsonCowanPopulation, 0.1, 1.25),
        (JansenRitPopulation, 0.5, 220.0),
        (WongWangPopulation, 1.0, 0.02),
        (HopfPopulation, 50.0, 0.01),
    ],
)
def test_neural_masses_agree_with_scipy(kind, resolution, value):
    found = driven(kind(1, 1, resolution=resolution), value, 300)
    expected = solved(kind(1, 1, resolution=resolution), value, resolution / 1000 * np.arange(1, 301))
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2), ("rk4", 4)])
def test_integration_converges_at_its_order(method, order):
    expected = solved(WilsonCowanPopulation(1, 1, resolution=1.0), 1.25, np.array([0.02]))[-1]
    errors = [
        abs(driven(WilsonCowanPopulation(1, 1, resolution=1.0, method=method, n_steps=n), 1.25, 20)[-1] - expected)
        for n in (2, 4)
    ]  # fmt: skip
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


def test_a_hopf_oscillator_has_its_amplitude_and_frequency():
    population = HopfPopulation(1, 1, resolution=20, constants={"bifurcation": 4.0, "frequency": 2.0})
    found = driven(population, 0.0, 400)[150:]
    assert found.max() == pytest.approx(2.0, rel=1e-2)
    crossings = np.flatnonzero((found[:-1] < 0) & (found[1:] >= 0))
    assert 1000 / (20 * np.diff(crossings).mean()) == pytest.approx(2.0, rel=1e-2)
    at_rest = HopfPopulation(1, 1, resolution=10, constants={"bifurcation": -4.0})
    assert abs(driven(at_rest, 0.0, 500)[-1]) < 1e-6


def test_a_jansen_rit_column_oscillates_near_ten_hertz():
    found = driven(JansenRitPopulation(1, 1, resolution=4.0), 220.0, 750)[250:]
    power = np.abs(np.fft.rfft(found - found.mean())) ** 2
    assert np.fft.rfftfreq(500, 0.004)[power.argmax()] == pytest.approx(10.5, abs=1.5)
    assert np.ptp(found) > 3


def test_a_wilson_cowan_unit_has_a_limit_cycle_at_the_published_drive_only():
    cycling = driven(WilsonCowanPopulation(1, 1, resolution=1.0), 1.25, 400)[200:]
    resting = driven(WilsonCowanPopulation(1, 1, resolution=1.0), 0.0, 150)[50:]
    assert np.ptp(cycling[:100]) == pytest.approx(np.ptp(cycling[100:]), rel=2e-2)
    assert np.ptp(cycling) > 0.15
    assert np.ptp(resting) < 1e-9


def test_a_wong_wang_unit_comes_to_its_fixed_point():
    population = WongWangPopulation(1, 1, resolution=20.0)
    end = driven(population, 0.0, 200)[-1]
    state = torch.full((1, 1, 1), end, dtype=DOUBLE)
    slope = population.derivative(state, torch.zeros(1, 1, 1, dtype=DOUBLE), population.unit_parameters())
    assert slope.item() == pytest.approx(0, abs=1e-8)
    assert 0 < end < 1


def test_the_wong_wang_rate_is_smooth_where_its_formula_is_undefined():
    population = WongWangPopulation(1, 1, resolution=1.0).double()
    constants = population.unit_parameters()
    # The drive at which a x - b = 0 for S = 0.
    drive = torch.full((1, 1, 1), 108 / 270 - 0.3, dtype=DOUBLE, requires_grad=True)
    state = torch.zeros(1, 1, 1, dtype=DOUBLE)
    slope = population.derivative(state, drive, constants)
    (gradient,) = torch.autograd.grad(slope.sum(), drive)
    assert slope.item() == pytest.approx(0.641 / 0.154, rel=1e-6)
    assert gradient.item() == pytest.approx(0.641 * 270 / 2, rel=1e-4)


def test_wrong_populations_are_refused():
    cases = [
        (lambda: LeakyRatePopulation(resolution=0, time_constant=1.0), "resolution"),
        (lambda: LeakyRatePopulation(resolution=1, time_constant=0.0), "Time constants"),
        (lambda: LeakyRatePopulation(1, 2, resolution=1, time_constant=[1.0] * 3), "one number or 2"),
        (lambda: LeakyRatePopulation(resolution=1, time_constant=1.0, activation="sine"), "activation"),
        (lambda: HopfPopulation(resolution=-1), "resolution"),
        (lambda: HopfPopulation(resolution=1, method="leapfrog"), "method must be one of"),
        (lambda: HopfPopulation(resolution=1, n_steps=0), "n_steps"),
        (lambda: HopfPopulation(resolution=1, constants={"mass": 1.0}), r"no constants \['mass'\]"),
        (lambda: HopfPopulation(resolution=1, learn=["mass"]), r"no constants \['mass'\]"),
        (lambda: HopfPopulation(1, 3, resolution=1, constants={"frequency": [1.0, 2.0]}), "or 3"),
    ]  # fmt: skip
    for make, message in cases:
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(NotImplementedError, match="equations"):
        NeuralMassPopulation(1, 1, resolution=1)([torch.zeros(1, 1)])
