"""Readouts of chosen populations, of several kinds at once, and with responses of free shape."""

import math

import numpy as np
import pytest
import torch
from nilearn.glm.first_level.hemodynamic_models import (
    glover_time_derivative,
    spm_dispersion_derivative,
    spm_time_derivative,
)

from drm import (
    DRM,
    BalloonReadout,
    BasisReadout,
    BOLDReadout,
    DRMConnection,
    DRMIterator,
    DRMLoss,
    DRMNet,
    DRMPopulation,
    DRMReadout,
    JointReadout,
    connect,
    derivative_responses,
    fir_responses,
    region_means,
    units_of,
    voxel_mask,
)
from drm.haemodynamics import GLOVER


def areas(generator=None):
    return [
        DRMPopulation(3, 2, name="V1", generator=generator),
        DRMPopulation(2, 1, name="V2", generator=generator),
    ]


def net_with(readout, seed=0):
    generator = torch.Generator().manual_seed(seed)
    populations = areas(generator)
    wp = connect(populations, present=[[0, 1], [1, 0]], delays=2)
    return DRMNet(populations, [DRMConnection(2, 2), None], wp, readout)


@pytest.mark.parametrize("make", [DRMReadout, BOLDReadout, BalloonReadout, BasisReadout])
def test_a_readout_of_one_population_ignores_all_others(make):
    units = units_of(areas(), "V2")
    options = {} if make is DRMReadout else {"resolution": 500}
    readout = make(3, 1, units=units, weight=torch.ones(1, 1), **options)
    activity = torch.zeros(70, 1, 3)
    activity[5, 0, :2] = 1
    assert not readout.run(activity).any()
    activity[5, 0, 2] = 1
    readout.reset()
    assert readout.run(activity).any()


def test_voxels_see_the_units_of_their_population_only():
    regions = ["V2", "V1", "V1"]
    mask = voxel_mask(areas(), regions)
    readout = DRMReadout(3, 3, mask=mask)
    activity = torch.randn(4, 2, 3)
    readout.run(activity).square().sum().backward()
    assert torch.equal(readout.weight.grad != 0, torch.as_tensor(mask))
    assert (readout.weight.detach()[~torch.as_tensor(mask)] == 0).all()


def test_the_mean_of_a_regions_voxels_leaves_out_what_is_missing():
    response = [[1.0, 3.0, 5.0], [math.nan, 2.0, math.nan]]
    means, names = region_means(response, ["V1", "V1", "V2"])
    assert names == ["V1", "V2"]
    np.testing.assert_array_equal(means, [[2.0, 5.0], [2.0, math.nan]])


def joint(weights=None, losses=None):
    generator = torch.Generator().manual_seed(1)
    bold = BOLDReadout(3, 2, resolution=500, generator=generator)
    probe = DRMReadout(3, 1, units=[2], n_confounds=1, generator=generator)
    return JointReadout({"bold": bold, "probe": probe}, weights=weights, losses=losses)


def streams(rng, *, probe=True):
    ticks = 500.0 * np.arange(40)
    found = {"bold": (rng.normal(size=(20, 2)), ticks[::2]), "probe": (rng.normal(size=(40, 1)), ticks)}
    if not probe:
        found["probe"] = (np.full((1, 1), math.nan), ticks[:1])
    return ticks, {name: value for name, (value, _) in found.items()}, {name: time for name, (_, time) in found.items()}


def joint_data(*, probe=True):
    rng = np.random.default_rng(0)
    ticks, response, times = streams(rng, probe=probe)
    confounds = rng.normal(size=(40, 1))
    return DRMIterator(500, rng.normal(size=(40, 2)), ticks, response, times, confounds=confounds, confound_time=ticks)


def test_the_loss_of_several_readouts_is_the_weighted_sum_of_theirs():
    data = joint_data()
    net = net_with(joint(weights={"probe": 0.25}))
    found = DRM(net).evaluate(data)
    block = next(iter([iter(data).next_block(40)]))
    net.reset()
    predicted, _ = net.run(block["stimulus"], block["confounds"])
    bold = DRMLoss()(predicted[..., :2], block["response"][..., :2])
    probe = DRMLoss()(predicted[..., 2:], block["response"][..., 2:])
    assert found == pytest.approx((bold + 0.25 * probe).item(), rel=1e-5)


def test_a_stream_that_is_missing_leaves_the_others_to_be_learned():
    data = joint_data(probe=False)
    net = net_with(joint())
    before = net.readout.readouts["probe"].weight.clone()
    losses, _ = DRM(net, learning_rate=0.01).estimate(data, n_epochs=5, cutoff=16)
    assert losses[-1] < losses[0]
    assert torch.equal(net.readout.readouts["probe"].weight, before)


def test_each_readout_may_have_a_loss_of_its_own():
    class Absolute(torch.nn.Module):
        def forward(self, prediction, target):
            return (prediction - target)[~torch.isnan(target)].abs().mean()

    data = joint_data()
    plain, own = (DRM(net_with(joint(losses=losses))) for losses in (None, {"probe": Absolute()}))
    assert plain.evaluate(data) != pytest.approx(own.evaluate(data))


def test_joint_readouts_go_on_from_their_state():
    net, x = net_with(joint()), torch.randn(12, 2, 2)
    c = torch.randn(12, 2, 1)
    whole, _ = net.run(x, c)
    net.reset()
    parts = [net.run(a, b)[0] for a, b in zip(x.tensor_split((5,)), c.tensor_split((5,)), strict=True)]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_streams_must_bear_the_networks_names():
    data = joint_data()
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match=r"response is \{'response': 3\} .* the data have \{'bold': 2, 'probe': 1\}"):
        DRM(net_with(DRMReadout(3, 3, generator=generator))).evaluate(data)


def test_wrong_joint_readouts_are_refused():
    with pytest.raises(TypeError, match="mapping from names to readouts, got a list"):
        JointReadout([DRMReadout()])
    with pytest.raises(ValueError, match="Readouts are needed"):
        JointReadout({})
    with pytest.raises(ValueError, match="all see the same units"):
        JointReadout({"a": DRMReadout(2, 1), "b": DRMReadout(3, 1)})
    with pytest.raises(ValueError, match=r"weights for \['c'\], but the readouts are \['a'\]"):
        JointReadout({"a": DRMReadout(2, 1)}, weights={"c": 1.0})
    with pytest.raises(ValueError, match="must be positive"):
        JointReadout({"a": DRMReadout(2, 1)}, weights={"a": 0.0})
    with pytest.raises(ValueError, match="expects 1 confounds, got 0"):
        joint().run(torch.zeros(3, 1, 3))


def test_wrong_units_and_masks_are_refused():
    with pytest.raises(ValueError, match=r"different numbers from 0 to 2, got \[3\]"):
        DRMReadout(3, 1, units=[3])
    with pytest.raises(ValueError, match="different numbers"):
        DRMReadout(3, 1, units=[0, 0])
    with pytest.raises(ValueError, match=r"mask must have shape \(1, 3\), got \(3,\)"):
        DRMReadout(3, 1, mask=[1, 1, 1])
    with pytest.raises(ValueError, match="0 populations are named 'V4'"):
        units_of(areas(), "V4")
    with pytest.raises(ValueError, match="2 names of regions for measurements of shape"):
        region_means([[1.0, 2.0, 3.0]], ["V1", "V2"])


@pytest.mark.parametrize("oversampling", [1, 16])
def test_derivatives_are_those_of_nilearn(oversampling):
    found = derivative_responses(2.0, convention="nilearn", oversampling=oversampling).numpy()
    np.testing.assert_allclose(found[1], spm_time_derivative(2.0, oversampling), atol=1e-3 / oversampling)
    np.testing.assert_allclose(found[2], spm_dispersion_derivative(2.0, oversampling), atol=1e-3 / oversampling)
    glover = derivative_responses(2.0, convention="nilearn", oversampling=oversampling, parameters=GLOVER)
    np.testing.assert_allclose(glover[1], glover_time_derivative(2.0, oversampling), atol=1e-3 / oversampling)


def test_pieces_of_a_free_response_add_up_to_one_between_their_ends():
    pieces = fir_responses(0.5, step=2.0, duration=12.0)
    assert pieces.shape == (5, 25)
    np.testing.assert_allclose(pieces.sum(0)[4:21], 1.0)


def response_error(basis, delay):
    """How well a response with another delay is recovered from ten minutes at 0 dB, over its own size."""
    generator = torch.Generator().manual_seed(0)
    activity = torch.rand(600, 1, 1, generator=generator)
    truth = BOLDReadout(1, 1, resolution=1000, hrf={"peak_delay": delay}, weight=torch.eye(1))
    clean = truth.run(activity)[40:]
    measured = clean + clean.std() * torch.randn(clean.shape, generator=generator)
    readout = BasisReadout(1, 1, resolution=1000, basis=basis, weight=torch.eye(1))
    optimizer = torch.optim.LBFGS([readout.coefficients], max_iter=60)

    def closure():
        optimizer.zero_grad()
        readout.reset()
        loss = (readout.run(activity)[40:] - measured).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return ((readout.response[0, : truth.response.shape[1]] - truth.response[0]).norm() / truth.response.norm()).item()


@pytest.mark.parametrize(("basis", "delay", "allowed"), [("derivatives", 6.7, 0.3), ("fir", 4.5, 0.5)])
def test_responses_are_recovered_from_ten_minutes_as_loud_as_the_noise(basis, delay, allowed):
    canonical = BOLDReadout(1, 1, resolution=1000).response[0]
    truth = BOLDReadout(1, 1, resolution=1000, hrf={"peak_delay": delay}).response[0]
    error = response_error(basis, delay)
    assert error < allowed
    assert error < (canonical - truth).norm() / truth.norm()


def test_wrong_bases_are_refused():
    with pytest.raises(ValueError, match="basis must be 'derivatives' or 'fir'"):
        BasisReadout(1, 1, resolution=1000, basis="gamma")
    with pytest.raises(ValueError, match=r"must be at least the 3\.0 s between samples"):
        BasisReadout(1, 1, resolution=3000, basis="fir")


@pytest.mark.parametrize("own_forward", [False, True])
def test_the_measurements_of_some_ticks_are_those_of_all(own_forward):
    class Twice(DRMReadout):
        def forward(self, x, confounds=None):
            return 2 * super().forward(x, confounds)

    generator = torch.Generator().manual_seed(0)
    made = {
        "bold": BOLDReadout(2, 3, resolution=1000, n_confounds=1, confound_lags=(0, 2), generator=generator),
        "balloon": BalloonReadout(2, 1, resolution=100, generator=generator),
        "lfp": DRMReadout(2, 2, n_confounds=1, generator=generator),
    }
    readout = Twice(2, 1, n_confounds=2, generator=generator) if own_forward else JointReadout(made)
    pair = [DRMPopulation(1, 1, generator=generator) for _ in range(2)]
    net = DRMNet(pair, [DRMConnection(delay=0) for _ in pair], [[None, None], [None, None]], readout).double()
    for part in readout.parts():
        if part.n_confounds and not isinstance(part, JointReadout):
            torch.nn.init.normal_(part.confound_weight, generator=generator)
    stimulus = 0.3 * torch.randn(40, 2, 1, generator=generator, dtype=torch.float64)
    confounds = torch.randn(40, 2, 2, generator=generator, dtype=torch.float64)
    whole, activity = net.run(stimulus, confounds)
    net.reset()
    parts, seen = [], []
    for stretch, ticks in ((slice(0, 25), [3, 24]), (slice(25, 40), [0, 7])):
        found, active = net.run(stimulus[stretch], confounds[stretch], ticks=torch.tensor(ticks))
        parts.append(found)
        seen.append(active)
    torch.testing.assert_close(torch.cat(parts), whole[[3, 24, 25, 32]])
    torch.testing.assert_close(torch.cat(seen), activity)
