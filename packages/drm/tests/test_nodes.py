import importlib

import numpy as np
import pytest
import torch

import drm
from drm import BOLDReadout, DRMConnection, DRMLoss, DRMNode, DRMPopulation, DRMReadout, double_gamma


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("base", ["DRM", "DRMLoss", "DRMNet", "DRMNode"]),
        ("connection", ["DRMConnection"]),
        ("iterators", ["DRMIterator"]),
        ("population", ["DRMPopulation"]),
        ("readout", ["DRMReadout"]),
    ],
)
def test_the_names_of_the_first_description_are_in_their_modules(module, names):
    found = importlib.import_module(f"drm.{module}")
    for name in names:
        assert getattr(found, name) is getattr(drm, name)


def test_a_node_alone_computes_nothing():
    node = DRMNode()
    assert (node.n_in, node.n_out) == (1, 1)
    with pytest.raises(NotImplementedError, match="DRMNode"):
        node(torch.zeros(1, 1))
    with pytest.raises(ValueError, match="n_out must be at least 1"):
        DRMNode(1, 0)


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_a_connection_delays_by_its_ticks_and_forgets_on_reset(delay):
    line = DRMConnection(2, 2, delay)
    sent = torch.randn(8, 3, 2)
    found = torch.stack([line(x) for x in sent])
    assert torch.equal(found[delay:], sent[: 8 - delay])
    assert not found[:delay].any()
    line.reset()
    assert torch.equal(line(sent[0]), sent[0] if delay == 0 else torch.zeros(3, 2))


def test_detaching_a_connection_keeps_values_and_drops_the_graph():
    line = DRMConnection(delay=1)
    line.detach_()
    line(torch.ones(1, 1, requires_grad=True) * 2)
    line.detach_()
    arrived = line(torch.zeros(1, 1))
    assert arrived.item() == 2
    assert not arrived.requires_grad


def test_wrong_nodes_are_refused():
    with pytest.raises(ValueError, match="at least 0 ticks"):
        DRMConnection(delay=-1)
    with pytest.raises(TypeError, match="whole number of ticks"):
        DRMConnection(delay=1.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="n_out must equal n_in"):
        DRMConnection(2, 3)
    with pytest.raises(ValueError, match="three coordinates"):
        DRMPopulation(position=[1, 2])
    with pytest.raises(ValueError, match="at least 0 ticks"):
        DRMPopulation(delay=-1)
    with pytest.raises(ValueError, match="V1 expects 2 afferent features, got 3"):
        DRMPopulation(2, 1, name="V1")([torch.zeros(1, 3)])
    with pytest.raises(ValueError, match=r"must have shape \(1, 2\)"):
        DRMReadout(2, 1, weight=torch.zeros(2, 1))
    with pytest.raises(ValueError, match="must be finite"):
        DRMReadout(1, 1, weight=torch.full((1, 1), float("inf")))
    with pytest.raises(ValueError, match="n_confounds"):
        DRMReadout(1, 1, n_confounds=-1)
    with pytest.raises(ValueError, match="expects 1 confounds, got 0"):
        DRMReadout(1, 1, n_confounds=1).run(torch.zeros(1, 1, 1))


def test_a_population_is_linear_then_leaky_relu():
    population = DRMPopulation(3, 2)
    x = [torch.randn(4, 1), torch.randn(4, 2)]
    expected = torch.nn.functional.leaky_relu(torch.cat(x, 1) @ population.weight.T, 0.01)
    torch.testing.assert_close(population(x), expected)
    assert not population.bias.any()


def test_the_loss_is_the_mean_over_what_was_measured():
    prediction = torch.randn(5, 4, requires_grad=True)
    target = torch.randn(5, 4)
    target[torch.rand(5, 4) < 0.4] = float("nan")
    measured = ~torch.isnan(target)
    loss = DRMLoss()(prediction, target)
    expected = torch.nn.functional.mse_loss(prediction[measured], target[measured])
    torch.testing.assert_close(loss, expected)
    (found,) = torch.autograd.grad(loss, prediction)
    (wanted,) = torch.autograd.grad(expected, prediction)
    torch.testing.assert_close(found, wanted)


def test_the_loss_of_nothing_is_zero_with_a_zero_gradient():
    prediction = torch.randn(3, requires_grad=True)
    loss = DRMLoss()(prediction, torch.full((3,), float("nan")))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(prediction.grad, torch.zeros(3))
    with pytest.raises(ValueError, match="one shape"):
        DRMLoss()(prediction, torch.zeros(2))


def test_the_double_gamma_has_the_known_shape():
    time = torch.arange(0, 60, 0.001, dtype=torch.float64)
    response = double_gamma(time)
    assert float(time[response.argmax()]) == pytest.approx(5.0, abs=2e-3)
    assert float(time[response.argmin()]) == pytest.approx(15.75, abs=2e-2)
    assert float(response.min() / response.max()) == pytest.approx(-0.0889, abs=1e-4)
    assert float(response.sum() * 0.001) == pytest.approx(5 / 6, abs=1e-6)


def test_the_double_gamma_is_the_difference_of_scipys_densities():
    stats = pytest.importorskip("scipy.stats")
    time = torch.linspace(-2, 32, 171, dtype=torch.float64)
    found = double_gamma(
        time, peak_delay=5.4, undershoot_delay=10.8, peak_dispersion=0.9,
        undershoot_dispersion=1.1, peak_undershoot_ratio=3.0, onset=0.7,
    )  # fmt: skip
    since = time.numpy() - 0.7
    expected = stats.gamma.pdf(since, 5.4 / 0.9, scale=0.9)
    expected -= stats.gamma.pdf(since, 10.8 / 1.1, scale=1.1) / 3
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_the_double_gamma_has_finite_gradients():
    time = torch.linspace(-1, 20, 22, dtype=torch.float64)
    start = [6.0, 16.0, 1.0, 1.0, 6.0]
    values = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in start]

    def response(p1, p2, p3, p4, p5):
        return double_gamma(
            time, peak_delay=p1, undershoot_delay=p2, peak_dispersion=p3,
            undershoot_dispersion=p4, peak_undershoot_ratio=p5,
        )  # fmt: skip

    assert torch.autograd.gradcheck(response, tuple(values))
    with pytest.raises(ValueError, match="peak_dispersion must be positive"):
        double_gamma(time, peak_dispersion=0.0)


def test_bold_at_one_second_is_the_sampled_canonical_response():
    readout = BOLDReadout(1, 1, resolution=1000, weight=torch.eye(1)).double()
    impulse = torch.zeros(40, 1, 1, dtype=torch.float64)
    impulse[0] = 1
    found = readout.run(impulse).flatten()
    assert (found.argmax().item(), found.argmin().item()) == (5, 16)
    assert found.max().item() == pytest.approx(0.2105, abs=1e-4)
    assert found.min().item() == pytest.approx(-0.0187, abs=1e-4)
    assert readout.memory == 32


@pytest.mark.parametrize("cuts", [(), (1,), (3, 4, 30), tuple(range(1, 60))])
def test_bold_is_the_convolution_with_its_response_however_time_is_cut(cuts):
    readout = BOLDReadout(3, 2, resolution=1500).double()
    activity = torch.randn(60, 2, 3, dtype=torch.float64)
    found = torch.cat([readout.run(part) for part in activity.tensor_split(cuts)])
    neural = readout.project(activity).detach().numpy()
    for b in range(2):
        for v in range(2):
            expected = np.convolve(neural[:, b, v], readout.response[0].detach().numpy())[:60]
            np.testing.assert_allclose(found[:, b, v].detach().numpy(), expected, atol=1e-12)


def test_bold_parameters_are_checked():
    assert BOLDReadout(1, 1, resolution=1000, hrf={"duration": 10.0}).memory == 10
    with pytest.raises(ValueError, match=r"Unknown parameters .*: p1"):
        BOLDReadout(1, 1, resolution=1000, hrf={"p1": 6.0})
    for resolution in (0, -1, 32000):
        with pytest.raises(ValueError, match="time between samples must be above 0"):
            BOLDReadout(1, 1, resolution=resolution)
    with pytest.raises(ValueError, match=r"\['onset'\] cannot be learned"):
        BOLDReadout(1, 1, resolution=1000, learn=["onset"])
    with pytest.raises(ValueError, match="no positive area"):
        BOLDReadout(1, 1, resolution=1000, hrf={"onset": 100.0})


def test_confounds_are_added_and_missing_ones_are_not():
    readout = DRMReadout(1, 1, n_confounds=1)
    torch.nn.init.constant_(readout.confound_weight, 2.0)
    activity = torch.randn(2, 1, 1)
    plain = readout.project(activity)
    confounds = torch.tensor([3.0, float("nan")]).view(2, 1, 1)
    torch.testing.assert_close(readout.run(activity, confounds) - plain, torch.tensor([6.0, 0.0]).view(2, 1, 1))


def test_confounds_count_at_their_lags_however_time_is_cut():
    readout = DRMReadout(1, 1, n_confounds=1, confound_lags=(0, 2), weight=torch.zeros(1, 1))
    with torch.no_grad():
        readout.confound_weight.copy_(torch.tensor([[2.0, 10.0]]))
    confounds = torch.tensor([1.0, float("nan"), 3.0, 4.0]).view(4, 1, 1)
    activity = torch.zeros(4, 1, 1)
    at_once = readout.run(activity, confounds)
    assert at_once.flatten().tolist() == [2.0, 0.0, 16.0, 8.0]
    readout.reset()
    parts = [readout.run(activity[cut], confounds[cut]) for cut in (slice(0, 1), slice(1, 3), slice(3, 4))]
    assert torch.equal(torch.cat(parts), at_once)


@pytest.mark.parametrize("lags", [(), (0, 0), (-1,), (0.5,)])
def test_impossible_lags_of_confounds_are_refused(lags):
    with pytest.raises(ValueError, match="different whole numbers of ticks"):
        DRMReadout(1, 1, confound_lags=lags)


def test_whole_numbers_and_weights_may_come_from_numpy():
    line = DRMConnection(np.int64(2), 2, delay=np.int64(3))
    assert (line.n_in, line.delay) == (2, 3)
    assert type(line.delay) is int
    readout = DRMReadout(2, 2, weight=np.eye(2))
    assert readout.weight.dtype == torch.get_default_dtype()
    with pytest.raises(TypeError, match=r"n_in must be a whole number, got 2\.0"):
        DRMPopulation(2.0, 1)
