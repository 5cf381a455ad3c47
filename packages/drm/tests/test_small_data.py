import io

import numpy as np
import pytest
import torch

from drm import (
    DRM,
    BOLDReadout,
    DRMConnection,
    DRMIterator,
    DRMNet,
    DRMPopulation,
    DRMReadout,
    LowRankConnection,
    RandomSegments,
    connect,
    time_folds,
)
from drm.progress import ProgressBar
from drm.shrinkage import EdgeLasso, decay_weights


def recording(n_ticks=40, n_items=3, resolution=1, n_confounds=1):
    """Data whose values tell from which tick and item they are."""
    values = np.arange(n_ticks)[:, None, None] + 1000.0 * np.arange(n_items)[:, None]
    time = resolution * np.arange(n_ticks)
    more = {"confounds": values, "confound_time": time} if n_confounds else {}
    return DRMIterator(resolution, values, time, values, time, **more)


def test_segments_are_stretches_of_recordings_drawn_anew_for_each_epoch():
    data = recording()
    segments = RandomSegments(data, length=5, n_segments=200, burn_in=3, seed=1)
    assert (len(segments), segments.batch_size, segments.streams) == (8, 200, data.streams)
    epochs = [iter(segments).next_block(100) for _ in range(2)]
    assert segments.is_final()
    for block in epochs:
        stimulus, response = block["stimulus"][..., 0], block["response"][..., 0]
        assert (stimulus.diff(dim=0) == 1).all()
        assert torch.equal(block["confounds"], block["stimulus"])
        starts = stimulus[0] % 1000
        assert set((stimulus[0] // 1000).tolist()) == {0, 1, 2}
        assert set(starts.tolist()) == set(range(33))
        # Burn-in does not count, but where the recording begins there is none.
        assert torch.equal(response.isnan().sum(0) == 3, starts > 0)
        assert torch.equal(response[3:], stimulus[3:])
    assert not torch.equal(epochs[0]["stimulus"], epochs[1]["stimulus"])


def test_segments_follow_their_seed():
    one, other = (RandomSegments(recording(), length=5, n_segments=4, seed=3) for _ in range(2))
    assert torch.equal(iter(one).next_block(5)["stimulus"], iter(other).next_block(5)["stimulus"])


def test_responses_of_segments_are_those_of_the_whole_recording():
    # After a burn-in of the readout's memory, a memoryless network predicts the same.
    data = recording(n_items=1, resolution=2000, n_confounds=0)
    readout = BOLDReadout(1, 1, resolution=2000, weight=torch.eye(1))
    net = DRMNet([DRMPopulation(1, 1, negative_slope=1.0)], [DRMConnection(delay=0)], [[None]], readout)
    whole, _ = DRM(net).forward(data)
    segments = RandomSegments(data, length=6, n_segments=5, burn_in=readout.memory, seed=1)
    found, _ = DRM(net).forward(segments)
    for item, start in enumerate(segments.tensors["stimulus"][0, :, 0].int().tolist()):
        expected = whole[start + readout.memory : start + readout.memory + 6, 0]
        torch.testing.assert_close(found[readout.memory :, item], expected)


def test_wrong_segments_are_refused():
    with pytest.raises(ValueError, match="at least 1 and burn_in at least 0"):
        RandomSegments(recording(), length=0, n_segments=1)
    with pytest.raises(ValueError, match="do not fit recordings of 40 ticks"):
        RandomSegments(recording(), length=30, n_segments=1, burn_in=11)


def test_folds_are_blocks_of_time_that_cover_it_once():
    data = recording()
    folds = time_folds(data, 3, gap=2)
    seen = torch.stack([~validation.tensors["response"].isnan() for _, validation in folds])
    assert (seen.sum(0) == 1).all()
    for train, validation in folds:
        learned, tested = (~part.tensors["response"].isnan()[:, 0, 0] for part in (train, validation))
        near = torch.nn.functional.max_pool1d(tested.float()[None], 5, stride=1, padding=2)[0] > 0
        assert torch.equal(learned, ~near)
        assert torch.equal(train.tensors["stimulus"], data.tensors["stimulus"])
    assert not data.tensors["response"].isnan().any()


def test_wrong_folds_are_refused():
    with pytest.raises(ValueError, match="n_folds must be from 2 to 40"):
        time_folds(recording(), 1)
    with pytest.raises(ValueError, match="gap must be at least 0"):
        time_folds(recording(), 2, gap=-1)
    with pytest.raises(ValueError, match="Fold 0 has no measurement for training"):
        time_folds(recording(), 2, gap=40)
    with pytest.raises(ValueError, match="no response"):
        time_folds(DRMIterator(1, [[1.0], [2.0]], [0, 1]), 2)


def dense(n=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    areas = [DRMPopulation(n + 1, 1, negative_slope=1.0, generator=generator) for _ in range(n)]
    wp = connect(areas, present=np.ones((n, n)), delays=1)
    return DRMNet(areas, [DRMConnection() for _ in areas], wp, DRMReadout(n, n, weight=torch.eye(n)))


def test_the_penalty_on_connections_has_its_gradient_and_holds_at_zero():
    generator = torch.Generator().manual_seed(0)
    pair = [DRMPopulation(1 + 3 + 1, 2, generator=generator), DRMPopulation(2, 3, generator=generator)]
    wp = [[LowRankConnection(2, 1, generator=generator), DRMConnection(3, 3)], [DRMConnection(2, 2), None]]
    net = DRMNet(pair, [DRMConnection(), None], wp, DRMReadout(5, 1, generator=generator))
    blocks = [(pair[0], slice(1, 2)), (pair[0], slice(2, 5)), (pair[1], slice(0, 2))]
    penalty = sum(p.weight[:, part].numel() ** 0.5 * p.weight[:, part].norm() for p, part in blocks)
    expected = torch.autograd.grad(0.3 * penalty, [p.weight for p in pair])
    for p in pair:
        p.weight.grad = torch.zeros_like(p.weight)
    lasso = EdgeLasso(net, 0.3)
    lasso.before_step()
    for p, gradient in zip(pair, expected, strict=True):
        torch.testing.assert_close(p.weight.grad, gradient)
    torch.optim.SGD([p.weight for p in pair], lr=100.0).step()  # carries all of them past zero
    lasso.after_step()
    assert [bool(p.weight[:, part].any()) for p, part in blocks] == [False] * 3
    assert pair[0].weight[:, 0].all()
    # At zero, what is less steep than the penalty stays, and the rest of what is steeper counts.
    for p in pair:
        p.weight.grad = torch.zeros_like(p.weight)
    pair[0].weight.grad[:, 1] = torch.tensor([0.3, 0.4])  # norm 0.5 against 0.3 times the root of 2
    pair[1].weight.grad[:] = 0.1
    lasso.before_step()
    share = 1 - 0.3 * 2**0.5 / 0.5
    torch.testing.assert_close(pair[0].weight.grad[:, 1], share * torch.tensor([0.3, 0.4]))
    assert not pair[1].weight.grad.any()


def test_weights_decay_and_nothing_else():
    net = dense()
    with torch.no_grad():
        for population in net.populations:
            population.bias.fill_(1.0)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    decay_weights(net, 0.05)
    for name, p in net.named_parameters():
        torch.testing.assert_close(p.detach(), before[name] * (0.95 if name.endswith("weight") else 1.0))


def test_a_lasso_finds_the_connections_that_there_are():
    def net(seed):
        generator = torch.Generator().manual_seed(seed)
        areas = [DRMPopulation(5, 1, negative_slope=1.0, generator=generator) for _ in range(4)]
        own = {f"stimulus {k}": [DRMConnection() if k == i else None for i in range(4)] for k in range(4)}
        wp = connect(areas, present=np.ones((4, 4)), delays=5)
        return DRMNet(areas, own, wp, DRMReadout(4, 4, weight=torch.eye(4)))

    truth, model = net(1), net(2)
    present = torch.zeros(4, 4)
    for source, target in ((0, 1), (1, 2), (2, 3)):
        present[target, source] = 0.6
    with torch.no_grad():
        for row, area in zip(present, truth.populations, strict=True):
            area.weight.copy_(torch.cat([torch.tensor([0.5]), row])[None])
    ticks = np.arange(50)
    rng = np.random.default_rng(0)
    stimulus = {name: rng.normal(size=(50, 8, 1)) for name in truth.stimuli}
    times = dict.fromkeys(stimulus, ticks)
    clean, _ = DRM(truth).forward(DRMIterator(1, stimulus, times))
    noisy = clean + 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    data = DRMIterator(1, stimulus, times, noisy, ticks)
    losses, _ = DRM(model, learning_rate=0.05, edge_lasso=0.05).estimate(data, n_epochs=80)
    found = torch.cat([area.weight[:, 1:] for area in model.populations]).detach()
    assert torch.equal(found != 0, present != 0), found
    assert losses[-1] < 0.15


def test_an_interrupted_training_on_segments_ends_as_if_it_had_not_been(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 3, 4))
    whole = DRMIterator(1, values[..., :1], range(40), values, range(40))

    def train(n_epochs, checkpoint=None):
        net = dense()
        data = RandomSegments(whole, length=8, n_segments=4, burn_in=2, seed=5)
        losses = DRM(net, edge_lasso=0.1).estimate(data, n_epochs=n_epochs, cutoff=4, checkpoint=checkpoint)
        return losses.train, net.state_dict()

    path = tmp_path / "training"
    train(2, path)
    (ours, resumed), (theirs, expected) = train(5, path), train(5)
    assert ours.tolist() == theirs.tolist()
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    with pytest.raises(ValueError, match="data of another kind"):
        DRM(dense()).estimate(whole, checkpoint=path)


def test_a_bar_shows_epochs_losses_and_time(capsys):
    data = DRMIterator(1, np.ones((10, 1)), range(10), np.ones((10, 4)), range(10))
    DRM(dense()).estimate(data, data, n_epochs=2, cutoff=5, progress=True)
    shown = capsys.readouterr().err
    assert shown.rstrip().endswith("left")
    assert shown.endswith("\n")
    assert "epoch 2/2 [########################], train " in shown
    assert ", validation " in shown
    DRM(dense()).estimate(data)
    assert capsys.readouterr().err == ""


def test_a_bar_counts_what_was_done_before():
    text = io.StringIO()
    bar = ProgressBar(4, n_done=2, stream=text)
    bar.part(0.5)
    bar.epoch(0.25, 0.5)
    assert "epoch 2/4" in text.getvalue()
    assert "epoch 3/4" in text.getvalue()
    assert "train 0.25, validation 0.5" in text.getvalue()
