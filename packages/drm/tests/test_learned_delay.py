import copy
import math

import numpy as np
import pytest
import torch

from drm import (
    DRMConnection,
    DRMNet,
    DRMPopulation,
    DRMReadout,
    LearnedDelayConnection,
    TractConnection,
    Velocity,
    narrow_delays,
)

DOUBLE = torch.float64


def learned(initial, *, resolution=5.0, minimum=5.0, maximum=100.0, width=1.0):
    return LearnedDelayConnection(resolution=resolution, initial=initial, minimum=minimum, maximum=maximum, width=width)


def one_population(line):
    population = DRMPopulation(1, 1, negative_slope=1.0)
    torch.nn.init.ones_(population.weight)
    return DRMNet([population], [line], [[None]], DRMReadout(1, 1, weight=torch.eye(1)))


def pair(line, *, vectorised=None):
    generator = torch.Generator().manual_seed(0)
    populations = [DRMPopulation(2, 1, generator=generator), DRMPopulation(1, 1, generator=generator)]
    net = DRMNet(
        populations,
        [learned(12.0, minimum=0.0), None],
        [[None, line], [DRMConnection(delay=2), None]],
        DRMReadout(2, 2, generator=generator),
        vectorised=vectorised,
    )
    return net.to(DOUBLE)


@pytest.mark.parametrize("width", [1.0, 3.5])
def test_learned_delays_vectorised_and_one_by_one_agree_in_value_and_gradient(width):
    x = torch.randn(40, 2, 1, dtype=DOUBLE)
    found = []
    for vectorised in (True, False):
        net = pair(learned(37.0, width=width), vectorised=vectorised)
        activity = torch.cat([net.run(part)[1] for part in x.tensor_split((15, 16))])
        activity.square().sum().backward()
        found.append((activity, [p.grad for p in net.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=0, atol=1e-12)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
        assert one.any()


def test_a_learned_delay_of_whole_ticks_is_a_delay_line():
    x = torch.randn(30, 1, 1, dtype=DOUBLE)
    line = learned(35.0).double()
    found = torch.stack([line(tick) for tick in x])
    plain = DRMConnection(delay=7)
    expected = torch.stack([plain(tick) for tick in x])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_the_gradient_of_a_delay_matches_finite_differences():
    net = one_population(learned(37.0, width=2.5)).double()
    x = torch.randn(14, 1, 1, dtype=DOUBLE)

    def run(raw):
        net.reset()
        name = "connections.0.raw_delay"
        return torch.stack([torch.func.functional_call(net, {name: raw}, (tick,)) for tick in x])

    assert torch.autograd.gradcheck(run, (net.connections[0].raw_delay,))


def fit_delay(initial, seed, n_ticks=12000):
    """The delay found for a true one of 37 ms: a minute of white noise at 5 ms, 10 dB."""
    torch.manual_seed(seed)
    x = torch.randn(n_ticks, 1, 1)
    with torch.no_grad():
        clean, _ = one_population(learned(37.0)).run(x)
    target = clean + clean.std() / math.sqrt(10) * torch.randn_like(clean)
    line = learned(initial, width=20.0)
    net = one_population(line)
    optimizer = torch.optim.Adam([line.raw_delay, net.populations[0].weight], lr=0.1)
    n_steps = 120
    for step in range(n_steps):
        line.width = max(1.0, 20 * (1 - 1.5 * step / n_steps))
        net.reset()
        optimizer.zero_grad()
        (net.run(x)[0] - target).square().mean().backward()
        optimizer.step()
    return line.milliseconds().item()


@pytest.mark.parametrize("initial", [10.0, 90.0])
def test_a_delay_is_found_from_afar(initial):
    assert abs(fit_delay(initial, seed=0, n_ticks=1500) - 37) < 2.5


@pytest.mark.slow
@pytest.mark.parametrize("initial", [10.0, 90.0])
def test_a_delay_is_found_from_afar_in_nine_of_ten_seeds(initial):
    assert sum(abs(fit_delay(initial, seed) - 37) < 2.5 for seed in range(10)) >= 9


def test_a_shared_velocity_is_recovered_from_tracts_of_many_lengths():
    lengths = np.linspace(20, 150, 10)

    def net(velocity):
        populations = [DRMPopulation(1, 1, negative_slope=1.0) for _ in lengths]
        for population in populations:
            torch.nn.init.ones_(population.weight)
        lines = [TractConnection(resolution=1, length=float(x), velocity=velocity, width=12) for x in lengths]
        nothing = [[None] * 10 for _ in range(10)]
        return DRMNet(populations, lines, nothing, DRMReadout(10, 10, weight=torch.eye(10)))

    def sharpen(net):
        for line in net.connections:
            line.width = 1

    truth, velocity = net(Velocity(6.0)), Velocity(3.5)
    sharpen(truth)
    model = net(velocity)
    assert sum(p is velocity.log_value for p in model.parameters()) == 1
    x = torch.randn(600, 1, 1)
    with torch.no_grad():
        target, _ = truth.run(x)
    optimizer = torch.optim.Adam([velocity.log_value], lr=0.05)
    for step in range(60):
        if step == 40:
            sharpen(model)
        model.reset()
        optimizer.zero_grad()
        (model.run(x)[0] - target).square().mean().backward()
        optimizer.step()
    assert velocity().item() == pytest.approx(6.0, rel=0.05)


def test_copies_of_nets_with_learned_delays_share_nothing():
    net = pair(learned(37.0))
    twin = copy.deepcopy(net)
    x = torch.randn(20, 1, 1, dtype=DOUBLE)
    expected, _ = net.run(x)
    with torch.no_grad():
        net.Wp[0][1].raw_delay.add_(1.0)
    assert torch.equal(twin.run(x)[0], expected)


def test_a_learned_delay_that_may_vanish_is_followed_within_the_tick():
    line = learned(12.0, minimum=0.0)
    assert not pair(line).vectorised
    loop = [DRMPopulation(1, 1), DRMPopulation(1, 1)]
    lines = [learned(12.0, minimum=0.0), learned(12.0, minimum=0.0)]
    with pytest.raises(ValueError, match="without delay form a cycle"):
        DRMNet(loop, [None, None], [[None, lines[0]], [lines[1], None]], DRMReadout(2, 1))


def test_impossible_delays_are_refused():
    with pytest.raises(ValueError, match="no learned delay"):
        narrow_delays(one_population(DRMConnection()), start=5, n_epochs=3)
    with pytest.raises(ValueError, match="start and n_epochs must be at least 1"):
        narrow_delays(learned(37.0), start=0.5, n_epochs=3)
    cases = [
        (lambda: learned(10.0, resolution=0), "resolution must be above 0"),
        (lambda: learned(10.0, minimum=-1.0), "must span from at least 0 ms"),
        (lambda: learned(10.0, maximum=5.0), "must span from at least 0 ms"),
        (lambda: learned(5.0), "initial delay must lie between"),
        (lambda: learned(10.0, width=0.5), "width must be at least 1"),
        (lambda: Velocity(0.0), "velocity must be above 0"),
        (lambda: TractConnection(resolution=1, length=0, velocity=Velocity(1.0)), "length of a tract"),
        (lambda: TractConnection(resolution=1, length=9, velocity=Velocity(1.0), slowest=0), "slowest"),
    ]
    for make, message in cases:
        with pytest.raises(ValueError, match=message):
            make()
