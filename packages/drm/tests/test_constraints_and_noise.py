"""Stochastic nodes, Dale's law, sparse and low-rank coupling."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import solve_discrete_lyapunov

from drm import (
    DRM,
    DRMConnection,
    DRMIterator,
    DRMNet,
    DRMPopulation,
    DRMReadout,
    GRUPopulation,
    LeakyRatePopulation,
    LowRankConnection,
    WongWangPopulation,
    connect,
)

DOUBLE = torch.float64


def noisy_net(*, vectorised=None, noise=0.3, seed=3, kinds=("linear", "silent", "mass")):
    generator = torch.Generator().manual_seed(0)
    make = {
        "linear": lambda: LeakyRatePopulation(
            5, 2, resolution=10, time_constant=50.0, noise=noise, generator=generator
        ),
        "silent": lambda: GRUPopulation(5, 1, generator=generator),
        "mass": lambda: WongWangPopulation(5, 1, resolution=10, noise=noise / 10, generator=generator),
    }
    populations = [make[kind]() for kind in kinds]
    wp = connect(populations, present=np.ones((3, 3)), delays=[[1, 2, 3], [2, 1, 1], [1, 1, 2]])
    ws = [DRMConnection(1, 1, delay=0) for _ in populations]
    return DRMNet(populations, ws, wp, DRMReadout(4, 1, generator=generator), seed=seed, vectorised=vectorised).double()


def test_noise_is_the_same_however_the_net_is_computed_and_time_is_cut():
    x = torch.randn(11, 2, 1, dtype=DOUBLE)
    fast, slow = noisy_net(vectorised=True), noisy_net(vectorised=False)
    at_once = fast.run(x)[1]
    torch.testing.assert_close(slow.run(x)[1], at_once, rtol=1e-10, atol=1e-12)
    cut = noisy_net()
    torch.testing.assert_close(torch.cat([cut.run(part)[1] for part in x.tensor_split((3, 4))]), at_once)
    assert not torch.allclose(noisy_net(seed=4).run(x)[1], at_once)


def test_noise_vanishes_with_its_size_and_its_gradient_is_exact():
    x = torch.randn(9, 2, 1, dtype=DOUBLE)
    quiet, faint = noisy_net(noise=0.0), noisy_net(noise=1e-9)
    torch.testing.assert_close(faint.run(x)[1], quiet.run(x)[1], atol=1e-6, rtol=0)

    def total(deviation):
        net = noisy_net()
        parameter = net.populations[0].noise
        parameter.requires_grad_()
        with torch.no_grad():
            parameter.fill_(deviation)
        return net, net.run(x)[1].square().sum()

    net, value = total(0.3)
    value.backward()
    step = 1e-6
    slope = (total(0.3 + step)[1] - total(0.3 - step)[1]) / (2 * step)
    assert net.populations[0].noise.grad.sum().item() == pytest.approx(slope.item(), rel=1e-6)
    assert net.populations[2].noise.grad is None


def test_noise_of_a_linear_net_has_the_covariance_of_the_lyapunov_equation():
    # x <- a x + (1 - a) (W x + s eps): a mean over 1,500 time constants of 200 nets, error about 1 %.
    resolution, tau, noise = 20.0, 100.0, 0.5
    population = LeakyRatePopulation(2, 2, resolution=resolution, time_constant=tau, activation="linear", noise=noise)
    coupling = torch.tensor([[0.2, -0.5], [0.4, 0.1]])
    with torch.no_grad():
        population.weight.copy_(coupling)
    net = DRMNet([population], [None], [[DRMConnection(2, 2)]], DRMReadout(2, 1))
    with torch.no_grad():
        _, activity = net.run(torch.zeros(1500, 200, 1))
    found = np.cov(activity[100:].flatten(0, 1).numpy().T)
    decay = math.exp(-resolution / tau)
    step = decay * np.eye(2) + (1 - decay) * coupling.numpy()
    shaken = ((1 - decay) * noise) ** 2 / (resolution / 1000) * np.eye(2)
    np.testing.assert_allclose(found, solve_discrete_lyapunov(step, shaken), atol=0.05 * found.max())


def test_windows_that_are_run_again_meet_the_same_noise():
    x = torch.randn(24, 2, 1).double()
    time = 10 * np.arange(24)
    data = DRMIterator(10, x.numpy(), time, np.zeros((24, 2, 1)), time, dtype=DOUBLE)
    losses = []
    for burn_in in (0, 7):
        net = noisy_net()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
        losses.append(DRM(net, optimizer=optimizer).estimate(data, cutoff=5, burn_in=burn_in).train[0])
    assert losses[0] == pytest.approx(losses[1])


def test_noisy_nets_are_copied_with_their_random_state(tmp_path):
    net, x = noisy_net(), torch.zeros(6, 1, 1)
    net.run(x)
    twins = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]  # noqa: S301
    expected = net.run(x)[1]
    for twin in twins:
        assert torch.equal(twin.run(x)[1], expected)


def ei_net():
    """Two excitatory units and an inhibitory one, in one population, and a sparse one that they drive."""
    generator = torch.Generator().manual_seed(0)
    mask = [[1, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]]
    ei = LeakyRatePopulation(4, 3, resolution=1, time_constant=10, sign=[0, 1, 1, -1], mask=mask, generator=generator)
    follower = DRMPopulation(3, 2, sign=[1, 1, -1], generator=generator)
    wp = [[DRMConnection(3, 3), None], [DRMConnection(3, 3, delay=2), None]]
    return DRMNet([ei, follower], [DRMConnection(), None], wp, DRMReadout(5, 2, generator=generator))


def test_signs_and_masks_are_kept_through_training_and_gradients_are_those_of_what_counts():
    net = ei_net()
    rng = np.random.default_rng(0)
    data = DRMIterator(1, rng.normal(size=(60, 1)), np.arange(60), rng.normal(size=(60, 2)) * 5, np.arange(60))
    before = [p.input_weights().detach().clone() for p in net.populations]
    train, _ = DRM(net, learning_rate=0.2).estimate(data, n_epochs=15)
    assert train[-1] < train[0]
    ei, follower = (p.input_weights().detach() for p in net.populations)
    assert (ei[:, 1:3] >= 0).all()
    assert (ei[:, 3] <= 0).all()
    assert ei[1, 2] == ei[2, 3] == 0
    assert (follower[:, :2] >= 0).all()
    assert (follower[:, 2] <= 0).all()
    assert all((after != start).sum() > 5 for after, start in zip((ei, follower), before, strict=True))
    twin = pickle.loads(pickle.dumps(net))  # noqa: S301
    assert torch.equal(twin.populations[0].input_weights(), net.populations[0].input_weights())


def low_rank_net(vectorised):
    generator = torch.Generator().manual_seed(0)
    many = DRMPopulation(3, 6, negative_slope=1.0, generator=generator)
    few = DRMPopulation(3, 2, generator=generator)
    wp = [
        [LowRankConnection(6, 2, delay=2, generator=generator), None],
        [LowRankConnection(6, 1, delay=1, generator=generator), DRMConnection(2, 2)],
    ]
    net = DRMNet([many, few], [DRMConnection(), None], wp, DRMReadout(8, 1), vectorised=vectorised)
    return net.double()


def test_low_rank_coupling_vectorised_and_one_by_one_agree_in_value_and_gradient():
    x = torch.randn(9, 2, 1, dtype=DOUBLE)
    found = []
    for vectorised in (True, False):
        net = low_rank_net(vectorised)
        activity = torch.cat([net.run(part)[1] for part in x.tensor_split((4,))])
        activity.square().sum().backward()
        found.append((activity, [p.grad for p in net.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)


def test_low_rank_coupling_is_a_dense_one_of_that_rank():
    net = low_rank_net(None)
    many = net.populations[0]
    product = many.weight[:, 1:] @ net.Wp[0][0].projection
    assert torch.linalg.matrix_rank(product) == 2
    dense = DRMPopulation(7, 6, negative_slope=1.0).double()
    with torch.no_grad():
        dense.weight.copy_(torch.cat([many.weight[:, :1], product], dim=1))
    alone = DRMNet([dense], [DRMConnection()], [[DRMConnection(6, 6, delay=2)]], DRMReadout(6, 1)).double()
    x = torch.randn(9, 2, 1, dtype=DOUBLE)
    torch.testing.assert_close(alone.run(x)[1], net.run(x)[1][..., :6])


def test_a_shared_projection_is_one_parameter():
    shared = torch.nn.Parameter(torch.ones(1, 2))
    pair = [DRMPopulation(2, 2), DRMPopulation(1, 2)]
    wp = [[LowRankConnection(2, 1, projection=shared), None], [LowRankConnection(2, 1, projection=shared), None]]
    net = DRMNet(pair, [DRMConnection(), None], wp, DRMReadout(4, 1))
    assert sum(p is shared for p in net.parameters()) == 1


def test_delayed_inhibition_oscillates_beyond_its_known_bifurcation():
    # tau x' = -x - k x(t - d) loses stability where w tau = -tan(w d) and k = sqrt(1 + (w tau)^2).
    tau, delay = 20.0, 10.0
    grid = np.linspace(math.pi / 2 / delay * 1.0001, math.pi / delay * 0.9999, 100_000)
    w = grid[np.argmin(np.abs(grid * tau + np.tan(grid * delay)))]
    critical = math.sqrt(1 + (w * tau) ** 2)
    resolution = 0.5
    found = {}
    for factor in (0.9, 1.0, 1.1):
        unit = LeakyRatePopulation(2, 1, resolution=resolution, time_constant=tau, activation="linear").double()
        with torch.no_grad():
            unit.weight.copy_(torch.tensor([[1.0, -factor * critical]]))
        net = DRMNet([unit], [DRMConnection(delay=0)], [[DRMConnection(delay=int(delay / resolution))]], DRMReadout())
        pulse = torch.zeros(2000, 1, 1)
        pulse[:10] = 1
        with torch.no_grad():
            found[factor] = net.double().run(pulse)[1][:, 0, 0].numpy()
    late, early = slice(1500, 2000), slice(500, 1000)
    assert np.abs(found[0.9][late]).max() < 0.2 * np.abs(found[0.9][early]).max()
    assert np.abs(found[1.1][late]).max() > 5 * np.abs(found[1.1][early]).max()
    crossings = np.flatnonzero(np.diff(np.sign(found[1.0])) > 0)[3:]
    assert np.diff(crossings).mean() * resolution == pytest.approx(2 * math.pi / w, rel=0.03)


def test_an_excitatory_inhibitory_pair_follows_its_equations():
    # tau x' = -x + tanh(W x + u), against SciPy: with ticks of 0.05 ms and a delay of one of them.
    tau, weights, u = 10.0, np.array([[1.5, -1.2], [1.4, -0.3]]), 0.5
    sign = [[1, 1, -1]]
    generator = torch.Generator().manual_seed(0)
    units = []
    for row in weights:
        unit = LeakyRatePopulation(3, 1, resolution=0.05, time_constant=tau, sign=sign, generator=generator)
        with torch.no_grad():
            unit.weight.copy_(torch.tensor([[1.0, *np.abs(row)]]))
        units.append(unit)
    net = DRMNet(
        units,
        [DRMConnection(delay=0), DRMConnection(delay=0)],
        connect(units, present=np.ones((2, 2)), delays=1),
        DRMReadout(2, 1),
    ).double()
    n_ticks = 1000
    with torch.no_grad():
        activity = net.run(torch.full((n_ticks, 1, 1), u))[1][:, 0].numpy()

    def change(_, x):
        return (-x + np.tanh(weights @ x + u)) / tau

    times = 0.05 * np.arange(1, n_ticks + 1)
    exact = solve_ivp(change, (0, times[-1]), [0, 0], t_eval=times, rtol=1e-8, atol=1e-10).y.T
    assert np.abs(exact).max() > 0.3
    np.testing.assert_allclose(activity, exact, atol=0.01)


def test_impossible_constraints_are_refused():
    with pytest.raises(ValueError, match=r"sign must have shape \(2,\) or \(3, 2\), got \(3,\)"):
        DRMPopulation(2, 3, sign=[1, 1, -1])
    with pytest.raises(ValueError, match=r"sign may hold .* only, got \[2.0\]"):
        DRMPopulation(2, 1, sign=[1, 2])
    with pytest.raises(ValueError, match="mask may hold"):
        DRMPopulation(2, 1, mask=[[1, -1]])
    with pytest.raises(ValueError, match="noise must be finite and not negative"):
        DRMPopulation(2, 1, noise=-1)
    with pytest.raises(ValueError, match=r"noise must be one number or 2, got shape \(3,\)"):
        DRMPopulation(2, 2, noise=[1, 2, 3])
    with pytest.raises(ValueError, match="rank must be at least 1"):
        LowRankConnection(2, 0)
    with pytest.raises(ValueError, match="delay of at least 1 tick, got 0"):
        LowRankConnection(2, 1, delay=0)
    with pytest.raises(ValueError, match=r"projection must have shape \(1, 2\), got \(2, 2\)"):
        LowRankConnection(2, 1, projection=torch.nn.Parameter(torch.eye(2)))
