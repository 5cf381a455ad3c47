"""Lightning's trainer, and torch's compiler."""

import runpy
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from drm import DRM, DRMConnection, DRMIterator, DRMNet, DRMPopulation, DRMReadout, LeakyRatePopulation, connect
from drm.lightning import Windows, lightning_module


def net_of(seed, noise=0.0):
    generator = torch.Generator().manual_seed(seed)
    pair = [
        LeakyRatePopulation(2, 1, resolution=1, time_constant=5, activation="linear", noise=noise, generator=generator),
        DRMPopulation(1, 1, generator=generator),
    ]
    wp = connect(pair, present=[[0, 1], [1, 0]], delays=2)
    return DRMNet(pair, [DRMConnection(), None], wp, DRMReadout(2, 1, generator=generator))


def recordings(n, n_ticks=40):
    rng = np.random.default_rng(0)
    time = np.arange(n_ticks)
    return [
        DRMIterator(1, rng.normal(size=(n_ticks, 1)), time, rng.normal(size=(n_ticks // 2, 1)), time[::2])
        for _ in range(n)
    ]


def fit(module, train, validation=None, epochs=1):
    from pytorch_lightning import Trainer

    with warnings.catch_warnings():
        # Lightning's remarks on workers, on the device, and on what its own dependencies deprecate.
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        loaders = [None if data is None else DataLoader(data, batch_size=None) for data in (train, validation)]
        trainer.fit(module, *loaders)
    return trainer


def test_lightnings_trainer_learns_what_estimate_learns():
    (data,) = recordings(1)
    ours, theirs = DRM(net_of(0), learning_rate=0.05), DRM(net_of(0), learning_rate=0.05)
    expected = ours.estimate(data, n_epochs=3, cutoff=10)
    trainer = fit(lightning_module(theirs), Windows([data], cutoff=10), epochs=3)
    for name, value in ours.net.state_dict().items():
        torch.testing.assert_close(theirs.net.state_dict()[name], value)
    assert trainer.callback_metrics["train_loss"].item() == pytest.approx(expected.train[-1], rel=1e-5)


def test_each_recording_starts_anew_and_validation_leaves_training_alone():
    first, second, other = recordings(3)
    plain, validated = (DRM(net_of(0), learning_rate=0.05) for _ in range(2))
    fit(lightning_module(plain), Windows([first, second], cutoff=10))
    trainer = fit(
        lightning_module(validated, make_optimizer=lambda p: torch.optim.Adam(p, lr=0.05)),
        Windows([first, second], cutoff=10),
        Windows([other]),
    )
    for name, value in plain.net.state_dict().items():
        assert torch.equal(validated.net.state_dict()[name], value)
    assert trainer.callback_metrics["val_loss"].item() == pytest.approx(validated.evaluate(other), rel=1e-5)


def test_lightnings_trainer_shrinks_as_estimate_does():
    (data,) = recordings(1)
    settings = {"learning_rate": 0.05, "weight_decay": 0.1, "edge_lasso": 0.05}
    ours, theirs = DRM(net_of(0), **settings), DRM(net_of(0), **settings)
    ours.estimate(data, n_epochs=3, cutoff=10)
    fit(lightning_module(theirs), Windows([data], cutoff=10), epochs=3)
    for name, value in ours.net.state_dict().items():
        torch.testing.assert_close(theirs.net.state_dict()[name], value)


@pytest.mark.slow
def test_two_processes_learn_the_mean_of_their_gradients(tmp_path):
    # A script of its own: the processes import it anew. The second recording has a window without measurements.
    script = tmp_path / "two_processes.py"
    script.write_text(
        """
import sys, warnings
import numpy as np, torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader
from drm import DRM, DRMConnection, DRMIterator, DRMNet, DRMPopulation, DRMReadout
from drm.lightning import Windows, lightning_module

def recording(k):
    rng, time = np.random.default_rng(k), np.arange(20)
    response = rng.normal(size=(20, 1))
    if k:
        response[:10] = np.nan
    return DRMIterator(1, rng.normal(size=(20, 1)), time, response, time)

def net():
    g = torch.Generator().manual_seed(0)
    areas = [DRMPopulation(1, 1, negative_slope=1.0, generator=g)]
    return DRMNet(areas, [DRMConnection()], [[None]], DRMReadout(1, 1, generator=g))

if __name__ == "__main__":
    import os
    model = DRM(net(), optimizer=None, learning_rate=0.1)
    module = lightning_module(model, make_optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    rank = int(os.environ.get("LOCAL_RANK", 0))
    data = Windows([recording(0), recording(1)], cutoff=10, rank=rank, n_ranks=2)
    trainer = Trainer(max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", logger=False,
                      enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(module, DataLoader(data, batch_size=None))
    if rank == 0:
        torch.save(model.net.state_dict(), sys.argv[1])
"""
    )
    subprocess.run([sys.executable, "-W", "ignore", str(script), str(tmp_path / "found")], check=True, timeout=110)
    found = torch.load(tmp_path / "found", weights_only=True)
    namespace = runpy.run_path(str(script))
    net, recording = namespace["net"](), namespace["recording"]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    blocks = [[iter(recording(k)).next_block(20)[name] for name in ("stimulus", "response")] for k in range(2)]
    states = [(), ()]
    for window in (slice(0, 10), slice(10, 20)):
        optimizer.zero_grad()
        for k, (stimulus, response) in enumerate(blocks):
            net.reset()
            if states[k]:
                net.state = states[k]
            loss = DRM(net).loss(net.run(stimulus[window])[0], response[window])
            (loss / 2).backward()
            states[k] = net.state
        optimizer.step()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(found[name], value)


def test_windows_are_shared_among_processes_and_say_where_a_recording_begins():
    data = recordings(3, n_ticks=20)
    shares = [list(Windows(data, cutoff=8, rank=rank, n_ranks=2)) for rank in (0, 1)]
    assert [[window["first"] for window in share] for share in shares] == [
        [True, False, False, True, False, False],
        [True, False, False],
    ]
    assert [window["stimulus"].shape[0] for window in shares[1]] == [8, 8, 4]
    with pytest.raises(ValueError, match="3 recordings, none for process 3 of 4"):
        Windows(data, rank=3, n_ranks=4)
    with pytest.raises(ValueError, match="cutoff must be at least 1"):
        Windows(data, 0)


def test_without_lightning_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    with pytest.raises(ImportError, match=r"drm\[lightning\]"):
        lightning_module(DRM(net_of(0)))


def compiled_equals_eager(backend):
    x = torch.randn(12, 2, 1)
    found = []
    for compile_it in (False, True):
        net = net_of(0, noise=0.1)
        with warnings.catch_warnings():
            # The compiler warns of what it leaves to the interpreter, and of parts of its own.
            warnings.simplefilter("ignore")
            run = torch.compile(net.run, backend=backend) if compile_it else net.run
            parts = [run(part) for part in x.tensor_split(2)]
            activity = torch.cat([activity for _, activity in parts])
            torch.cat([responses for responses, _ in parts]).square().sum().backward()
        found.append((activity.detach(), [p.grad for p in net.parameters() if p.grad is not None]))
    torch.testing.assert_close(*found)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_a_compiled_net_gives_the_same_values_and_gradients(backend):
    compiled_equals_eager(backend)
