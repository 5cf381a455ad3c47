"""Training by PyTorch Lightning, for those who want its trainer (extra `lightning`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from drm.network import DRMNet
from drm.training import DRM, DataIterator, measured, weighted_loss, windows

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

__all__ = ["Windows", "lightning_module"]


class Windows(IterableDataset[dict[str, Any]]):
    """Windows of several recordings, each with what it takes to run it: for Lightning's trainer.

    Windows of one recording come one after the other; before each recording the network starts
    anew. Give it to a `torch.utils.data.DataLoader` with ``batch_size=None`` and without workers.

    Parameters
    ----------
    recordings : sequence of DataIterator
        With several processes each takes its share of them.
    cutoff : int, optional
        Length of a window in ticks; by default the whole recording.
    rank, n_ranks : int, default 0 and 1
        Which process this is of how many; recordings ``rank, rank + n_ranks, ...`` are its own.
        All processes need as many windows, so that none waits for another.

    Raises
    ------
    ValueError
        If there is no recording for the process, or the cutoff is below 1.
    """

    def __init__(
        self, recordings: Sequence[DataIterator], cutoff: int | None = None, *, rank: int = 0, n_ranks: int = 1
    ) -> None:
        if cutoff is not None and cutoff < 1:
            raise ValueError(f"cutoff must be at least 1, got {cutoff}.")
        self.recordings: list[DataIterator] = list(recordings)[rank::n_ranks]
        if not self.recordings:
            raise ValueError(f"There are {len(recordings)} recordings, none for process {rank} of {n_ranks}.")
        self.cutoff = cutoff

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Return the windows, each a dict of stimulus, response, confounds and ``first``, whether it begins one."""
        for recording in self.recordings:
            for place, window in enumerate(windows(recording, self.cutoff)):
                yield {**{name: part for name, part in window.items() if part is not None}, "first": place == 0}


def lightning_module(
    model: DRM, *, make_optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer] | None = None
) -> LightningModule:
    """Return a Lightning module that trains a network on `Windows`.

    Each window is a step: the state is carried on from window to window of a recording, and the
    gradient ends at the window's beginning, so that windows should be much longer than the
    readout's memory; `DRM.estimate` has burn-in.

    Parameters
    ----------
    model : DRM
        Its network is trained in place, with its loss, decay and lasso. Clipping is the trainer's
        (``gradient_clip_val``).
    make_optimizer : callable, optional
        From the learned parameters to the optimiser; that of `model` when not given.

    Returns
    -------
    LightningModule
        It logs ``train_loss``, and ``val_loss`` where there are validation data. Windows in which
        nothing was measured are skipped.

    Raises
    ------
    ImportError
        If Lightning is not installed.
    """
    try:
        from pytorch_lightning import LightningModule
    except ImportError as error:
        raise ImportError("Lightning's trainer needs Lightning: pip install 'drm[lightning]'.") from error

    class DRMModule(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net: DRMNet = model.net

        def _loss(self, window: dict[str, Any]) -> tuple[Tensor | None, int]:
            if window["first"]:
                self.net.reset()
            self.net.detach_()
            response, ticks = measured(window["response"])
            predicted, _ = self.net.run(window["stimulus"], window.get("confounds"), ticks=ticks)
            found = model.losses(predicted, response)
            count = sum(count for _, count in found.values())
            if count:
                return weighted_loss(self.net.readout, found), count
            # Several processes wait for each other's gradients, be they zero.
            return (predicted.sum() * 0 if self.trainer.world_size > 1 else None), 0

        def training_step(self, window: dict[str, Any], _: int) -> Tensor | None:
            loss, count = self._loss(window)
            self._learned = loss is not None
            if loss is not None and count:
                self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=count)
            return loss

        def on_before_optimizer_step(self, *_: Any) -> None:
            if self._learned:
                model.before_step()

        def on_train_batch_end(self, *_: Any) -> None:
            if self._learned:
                model.after_step(self.trainer.optimizers[0])

        def validation_step(self, window: dict[str, Any], _: int) -> None:
            loss, count = self._loss(window)
            if loss is not None and count:
                self.log("val_loss", loss, on_epoch=True, batch_size=count)

        def on_validation_epoch_start(self) -> None:
            self._kept = self.net.state

        def on_validation_epoch_end(self) -> None:
            self.net.state = self._kept

        def configure_optimizers(self) -> torch.optim.Optimizer:
            if make_optimizer is None:
                return model.optimizer
            return make_optimizer(p for p in self.net.parameters() if p.requires_grad)

    return DRMModule()
