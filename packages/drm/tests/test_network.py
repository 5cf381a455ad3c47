import copy
import pickle

import numpy as np
import pytest
import torch

from drm import (
    DRMConnection,
    DRMNet,
    DRMPopulation,
    DRMReadout,
    LeakyRatePopulation,
    WilsonCowanPopulation,
    connect,
    coupling,
    products,
    recurrence,
)
from drm.coupling import Costs
from drm.products import DensePerLag, Gathered, Sparse

DOUBLE = torch.float64


def random_net(seed, *, vectorised=None, mode="sync", sizes=(2, 1, 3), order=None):
    """A sparse net with mixed sizes and delays; `order` permutes its populations."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    n = len(sizes)
    present = rng.random((n, n)) < 0.7
    delays = rng.integers(1, 5, (n, n))
    from_stimulus = rng.integers(0, 4, n)
    populations = []
    for i in range(n):
        n_in = 2 + sum(size for size, there in zip(sizes, present[i], strict=True) if there)
        populations.append(DRMPopulation(n_in, sizes[i], generator=generator))
    ws = [DRMConnection(2, 2, delay=int(d)) for d in from_stimulus]
    readout = DRMReadout(sum(sizes), 2, generator=generator)
    if order is not None:
        ends = np.cumsum(sizes)
        units = np.concatenate([np.arange(ends[i] - sizes[i], ends[i]) for i in order])
        for i, population in enumerate(populations):
            blocks, start = [population.weight.data[:, :2]], 2
            block_of = {}
            for j in range(n):
                if present[i, j]:
                    block_of[j] = population.weight.data[:, start : start + sizes[j]]
                    start += sizes[j]
            blocks += [block_of[j] for j in order if j in block_of]
            population.weight.data = torch.cat(blocks, dim=1)
        readout.weight.data = readout.weight.data[:, units]
        populations, ws = [populations[i] for i in order], [ws[i] for i in order]
        present, delays = present[np.ix_(order, order)], delays[np.ix_(order, order)]
    wp = connect(populations, present=present, delays=delays)
    return DRMNet(populations, ws, wp, readout, mode=mode, vectorised=vectorised).to(DOUBLE)


def stimulus(n_ticks=13, n_batch=2, n_features=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_ticks, n_batch, n_features, dtype=DOUBLE, generator=generator)


def gradients(net, x, cuts):
    outputs = [net.run(part) for part in x.tensor_split(cuts)]
    responses = torch.cat([responses for responses, _ in outputs])
    activity = torch.cat([activity for _, activity in outputs])
    (responses.square().sum() + activity.pow(3).sum()).backward()
    return responses, activity, [p.grad for p in net.parameters()]


@pytest.mark.parametrize("seed", range(12))
def test_vectorised_and_one_by_one_agree_in_value_and_gradient(seed):
    x = stimulus()
    fast = gradients(random_net(seed, vectorised=True), x, (5, 6))
    slow = gradients(random_net(seed, vectorised=False), x, ())
    torch.testing.assert_close(fast[0], slow[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(fast[1], slow[1], rtol=0, atol=1e-12)
    for one, other in zip(fast[2], slow[2], strict=True):
        if one is None or other is None:
            assert one is None or not one.any()
            assert other is None or not other.any()
        else:
            torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_the_gradient_holds_where_neighbouring_values_belong_to_two_ticks():
    # The first receives itself after 2 ticks, the second both after 1: for the adjoint, the values that
    # are read lie side by side, but not within one tick.
    found = []
    for vectorised in (True, False):
        generator = torch.Generator().manual_seed(0)
        pair = [DRMPopulation(3, 2, generator=generator), DRMPopulation(3, 1, generator=generator)]
        wp = connect(pair, present=[[1, 0], [1, 1]], delays=[[2, 0], [1, 1]])
        net = DRMNet(
            pair, [DRMConnection(), None], wp, DRMReadout(3, 1, generator=generator), vectorised=vectorised
        ).double()
        found.append(gradients(net, stimulus(n_features=1), (4,))[2][:4])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


NEVER = 1e12
WAYS = {
    "dense": Costs(gathered_run=NEVER, gathered_single=NEVER, sparse=NEVER),
    "gathered": Costs(gathered_run=0, gathered_single=0, dense=NEVER, sparse=NEVER**2),
    "sparse, dense gradient": Costs(gathered_run=NEVER, gathered_single=NEVER, sparse=0, call=0),
    "sparse, gathered gradient": Costs(gathered_run=0, gathered_single=0, dense=NEVER, sparse=0, call=0),
}


@pytest.mark.parametrize("sizes", [(2, 1, 3), (4, 4, 4), (1, 1, 1, 1, 1)])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cached", [1, 10**6])
def test_all_ways_of_coupling_are_one(sizes, way, cached, monkeypatch):
    monkeypatch.setattr(coupling, "COSTS", WAYS[way])
    monkeypatch.setattr(products, "_CACHED", cached)
    monkeypatch.setattr(products, "_HELD", 40 * cached)
    monkeypatch.setattr(recurrence, "_HELD", 100 * cached)
    x = stimulus()
    net = random_net(1, vectorised=True, sizes=sizes)
    planned = net._assembly.recurrence.product
    assert type(planned.product).__name__.lower().startswith(way.split(",")[0].removesuffix("ed"))
    assert type(planned.gradient).__name__.startswith("Dense" if "dense" in way else "Gathered")
    fast = gradients(net, x, (5,))
    slow = gradients(random_net(1, vectorised=False, sizes=sizes), x, (5,))
    torch.testing.assert_close(fast[:2], slow[:2], rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(fast[2], slow[2], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("n_units", "lags", "product", "gradient"),
    [
        (1, lambda i, j: 1 + 0 * i, DensePerLag, DensePerLag),
        (16, lambda i, j: 1 + (3 * i + 5 * j) % 8, Gathered, Gathered),
        (1, lambda i, j: 1 + (3 * i + 5 * j) % 13, Sparse, DensePerLag),
        (1, lambda i, j: 1 + j % 50, Gathered, Gathered),
    ],
)
def test_the_plan_takes_the_way_that_fits_the_network(n_units, lags, product, gradient):
    n = 200 if n_units == 1 else 24
    i, j = torch.arange(n).view(-1, 1), torch.arange(n).view(1, -1)
    block = torch.arange(n).repeat_interleave(n_units)
    unit = torch.arange(n * n_units)
    row, column = torch.meshgrid(unit, unit, indexing="ij")
    lag = lags(i, j).expand(n, n)[block][:, block]
    edges = coupling.Edges(*(x.flatten() for x in (row, column, lag, block[row], block[column])))
    plan = coupling.LaggedProduct(edges, n_rows=unit.numel(), n_columns=unit.numel(), shift=-1, origin=60)
    assert (type(plan.product), type(plan.gradient)) == (product, gradient)


def test_gradient_of_the_vectorised_net_matches_finite_differences():
    net = random_net(3, vectorised=True)
    x = stimulus(7)
    for population in net.populations:
        # Away from a drive of exactly zero, where the leaky ReLU has its kink.
        torch.nn.init.uniform_(population.bias, 0.1, 0.5)
    names = [name for name, _ in net.named_parameters()]

    def run(*values):
        net.reset()
        parameters = dict(zip(names, values, strict=True))
        return torch.stack([torch.func.functional_call(net, parameters, (tick,)) for tick in x])

    assert torch.autograd.gradcheck(run, tuple(net.parameters()))


def test_running_tick_by_tick_equals_running_at_once():
    net = random_net(1)
    x = stimulus()
    at_once, _ = net.run(x)
    net.reset()
    torch.testing.assert_close(torch.stack([net(tick) for tick in x]), at_once)


@pytest.mark.parametrize("vectorised", [True, False])
def test_the_order_of_populations_has_no_influence_in_sync(vectorised):
    x = stimulus()
    expected, _ = random_net(5, vectorised=vectorised).run(x)
    permuted, _ = random_net(5, vectorised=vectorised, order=[2, 0, 1]).run(x)
    torch.testing.assert_close(permuted, expected)


def test_a_connection_goes_from_source_to_target_and_takes_its_delay():
    pair = [DRMPopulation(1, 1), DRMPopulation(1, 1)]
    for population in pair:
        torch.nn.init.ones_(population.weight)
    net = DRMNet(
        pair,
        [DRMConnection(delay=0), None],
        connect(pair, present=[[0, 0], [1, 0]], delays=3),
        DRMReadout(2, 2, weight=torch.eye(2)),
    )
    impulse = torch.zeros(6, 1, 1)
    impulse[0] = 1
    _, activity = net.run(impulse)
    assert activity[:, 0, 0].tolist() == [1, 0, 0, 0, 0, 0]
    assert activity[:, 0, 1].tolist() == [0, 0, 0, 1, 0, 0]


def test_a_population_can_receive_its_own_output():
    population = DRMPopulation(2, 1)
    torch.nn.init.ones_(population.weight)
    net = DRMNet([population], [DRMConnection(delay=0)], [[DRMConnection()]], DRMReadout(1, 1))
    assert net.run(torch.ones(4, 1, 1))[1].flatten().tolist() == [1, 2, 3, 4]


def test_connections_without_delay_are_followed_within_the_tick():
    trio = [DRMPopulation(1, 1), DRMPopulation(1, 1), DRMPopulation(1, 1)]
    for population in trio:
        torch.nn.init.ones_(population.weight)
    present = [[0, 0, 1], [0, 0, 0], [0, 1, 0]]
    net = DRMNet(
        trio,
        [None, DRMConnection(delay=0), None],
        connect(trio, present=present, delays=0),
        DRMReadout(3, 1),
    )
    assert not net.vectorised
    assert net.run(torch.full((1, 1, 1), 2.0))[1].flatten().tolist() == [2, 2, 2]


def test_a_cycle_without_delay_is_named():
    names = ["V1", "V2", "V4"]
    trio = [DRMPopulation(1, 1, name=name) for name in names]
    present = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    wp = connect(trio, present=present, delays=0)
    with pytest.raises(ValueError, match=r"V4 -> V1 -> V2 -> V4|V1 -> V2 -> V4 -> V1|V2 -> V4"):
        DRMNet(trio, [None] * 3, wp, DRMReadout(3, 1))


def test_sequential_hands_on_within_the_tick_and_keeps_the_last_value():
    pair = [DRMPopulation(1, 1), DRMPopulation(1, 1)]
    for population in pair:
        torch.nn.init.ones_(population.weight)
    present = [[0, 0], [1, 0]]
    net = DRMNet(
        pair,
        [DRMConnection(delay=0), None],
        connect(pair, present=present, delays=1),
        DRMReadout(2, 1),
        mode="sequential",
    )
    _, activity = net.run(torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1))
    assert activity[:, 0].tolist() == [[1, 0], [2, 1], [3, 2]]


def dense_pair(mode, seed):
    pair = [DRMPopulation(3, 1, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    wp = connect(pair, present=np.ones((2, 2)), delays=1)
    return DRMNet(pair, [DRMConnection(), DRMConnection()], wp, DRMReadout(2, 1), mode=mode, seed=seed)


def test_random_order_follows_its_seed():
    x = torch.randn(20, 1, 1)
    first, again, other = (dense_pair("random", seed).run(x)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_legacy_reproduces_the_zeroing_of_outputs_given_the_order():
    net = dense_pair("legacy", seed=4)
    x = torch.randn(12, 1, 1)
    _, activity = net.run(x)
    generator = torch.Generator().manual_seed(4)
    weights = [p.weight.detach()[0].tolist() for p in net.populations]
    lines = {(i, j): 0.0 for i in range(2) for j in range(2)}
    before = 0.0
    for tick in range(12):
        outputs = [0.0, 0.0]
        for i in torch.randperm(2, generator=generator).tolist():
            arriving = [before]
            for j in range(2):
                arriving.append(lines[i, j])
                lines[i, j] = outputs[j]
            summed = sum(w * a for w, a in zip(weights[i], arriving, strict=True))
            outputs[i] = summed if summed > 0 else 0.01 * summed
        before = x[tick].item()
        assert activity[tick, 0].tolist() == pytest.approx(outputs, abs=1e-6)


def test_own_classes_are_visited_one_by_one():
    class Doubled(DRMPopulation):
        def forward(self, x):
            return 2 * super().forward(x)

    class Plus(DRMReadout):
        def forward(self, x, confounds=None):
            return sum(x) + 1

    pair = [Doubled(1, 1), DRMPopulation(1, 1)]
    for population in pair:
        torch.nn.init.ones_(population.weight)
    wp = connect(pair, present=[[0, 0], [1, 0]])
    net = DRMNet(pair, [DRMConnection(delay=0), None], wp, Plus(2, 1))
    responses, activity = net.run(torch.ones(2, 1, 1))
    assert activity[:, 0].tolist() == [[2, 0], [2, 2]]
    assert responses.flatten().tolist() == [3, 5]
    with pytest.raises(ValueError, match="cannot be vectorised"):
        DRMNet(pair, [DRMConnection(), None], connect(pair, present=[[0, 0], [1, 0]]), Plus(2, 1),
               vectorised=True)  # fmt: skip


@pytest.mark.parametrize("vectorised", [True, False])
def test_copies_and_pickles_in_mid_sequence_go_on_alike_and_share_nothing(vectorised):
    net = random_net(2, vectorised=vectorised)
    x = stimulus()
    net.run(x[:6])
    twins = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]  # noqa: S301
    expected, _ = net.run(x[6:])
    for twin in twins:
        assert torch.equal(twin.run(x[6:])[0], expected)
        with torch.no_grad():
            twin.populations[0].weight.zero_()
        assert net.populations[0].weight.any()


def test_state_dict_round_trip_is_exact():
    net, other = random_net(2), random_net(2)
    with torch.no_grad():
        for p in other.parameters():
            p.zero_()
    other.load_state_dict(net.state_dict())
    assert torch.equal(net.run(stimulus())[0], other.run(stimulus())[0])


def test_detach_cuts_the_gradient_to_the_past():
    net = random_net(2)
    x = stimulus().requires_grad_()
    net.run(x[:6])
    net.detach_()
    responses, _ = net.run(x[6:])
    (gradient,) = torch.autograd.grad(responses.sum(), x)
    assert not gradient[:6].any()
    assert gradient[6:].any()


def test_single_precision_is_close_to_double():
    net = random_net(2)
    double, _ = net.run(stimulus())
    net.reset()
    single, _ = net.float().run(stimulus())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
def test_the_accelerator_gives_what_the_host_gives():
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None:
        pytest.skip("torch sees no accelerator")
    net, x = random_net(2), stimulus()
    expected, _ = net.run(x)
    net.reset()
    found, _ = net.to(accelerator).run(x)
    torch.testing.assert_close(found.cpu(), expected)


def test_wrong_parts_are_refused_by_name():
    def pair():
        return [DRMPopulation(2, 1, name="V1"), DRMPopulation(1, 1, name="V2")]

    def matrix(populations):
        return connect(populations, present=[[0, 1], [1, 0]])

    line, good = DRMConnection(), pair()
    readout = DRMReadout(2, 1)
    cases = [
        (([], [], [], readout), ValueError, "at least one population"),
        (([good[0], good[0]], [line, None], matrix(good), readout), ValueError, "only once"),
        (([good[0], "V2"], [line, None], matrix(good), readout), TypeError, r"populations\[1\]"),
        ((good, [line], matrix(good), readout), ValueError, "ws must have one element"),
        ((good, [line, None], [[None, None]], readout), ValueError, "Wp must be 2 x 2"),
        ((good, [line, 1], matrix(good), readout), TypeError, r"ws\[1\]"),
        ((good, [line, None], matrix(good), "BOLD"), TypeError, "readout"),
        ((good, [line, line], matrix(good), readout), ValueError, "same connection"),
        ((good, [line, DRMConnection(2, 2)], matrix(good), readout), ValueError, "same n_in"),
        ((good, [None, None], matrix(good), readout), ValueError, "V1 expects 2 .* deliver 1"),
        ((good, [line, None], [[None, DRMConnection(3, 3)], [None, None]], readout), ValueError,
         "V2 has 1 units"),
        ((good, [line, None], connect(good, present=[[0, 1], [0, 0]]), readout), ValueError,
         "V2 receives nothing"),
        ((good, [line, None], matrix(good), DRMReadout(3, 1)), ValueError, "readout expects 3"),
    ]  # fmt: skip
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            DRMNet(*arguments)
    with pytest.raises(ValueError, match="mode must be one of"):
        DRMNet(good, [line, None], matrix(good), readout, mode="hogwild")


def test_wrong_stimuli_are_refused():
    net = random_net(0)
    for x, message in (
        (torch.zeros(3, 2), "shape"),
        (torch.zeros(3, 1, 5), "expects 2 stimulus features, got 5"),
        (torch.full((3, 1, 2), float("nan")), "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            net.run(x)
    net.run(torch.zeros(3, 1, 2))
    with pytest.raises(ValueError, match="call reset first"):
        net.run(torch.zeros(3, 4, 2))


def test_connect_refuses_what_is_no_matrix_of_delays():
    pair = [DRMPopulation(1, 1), DRMPopulation(1, 1, delay=4)]
    assert connect(pair, present=[[0, 1], [0, 0]])[0][1].delay == 4
    with pytest.raises(ValueError, match="present must have shape"):
        connect(pair, present=[[1]])
    with pytest.raises(ValueError, match=r"delays\[1, 0\] must be a whole number"):
        connect(pair, present=[[0, 0], [1, 0]], delays=[[0, 0], [1.5, 0]])


def test_the_way_back_is_the_same_in_one_piece_and_tick_by_tick(monkeypatch):
    found = []
    for held in (1, 10**6):
        monkeypatch.setattr(recurrence, "_HELD", held)
        generator = torch.Generator().manual_seed(0)
        trio = [
            LeakyRatePopulation(4, 2, resolution=1, time_constant=[3.0, 7.0], noise=0.1, generator=generator),
            WilsonCowanPopulation(4, 1, resolution=1, generator=generator),
            DRMPopulation(4, 2, generator=generator),
        ]
        lines = [DRMConnection(), None, DRMConnection()]
        wp = connect(trio, present=[[0, 1, 1], [1, 0, 1], [1, 1, 0]], delays=[[0, 2, 3], [2, 0, 4], [5, 2, 0]])
        net = DRMNet(trio, lines, wp, DRMReadout(5, 1, generator=generator)).double()
        found.append(gradients(net, stimulus(n_features=1), (4,)))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)
