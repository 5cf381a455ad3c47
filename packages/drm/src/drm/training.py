"""Training a network on partly observed measurements by truncated back-propagation through time."""

import copy
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from drm.checkpoint import read_checkpoint, write_checkpoint
from drm.joint import JointReadout
from drm.loss import DRMLoss
from drm.network import DRMNet
from drm.progress import ProgressBar
from drm.readout import DRMReadout
from drm.shrinkage import EdgeLasso, decay_weights

__all__ = ["DRM", "DataIterator", "Losses", "loss_weights", "measured", "weighted_loss", "windows"]


class DataIterator(Protocol):
    """What a source of data must offer; `DRMIterator` does."""

    def __iter__(self) -> Any:
        """Start again at the first tick."""
        ...

    def next_block(self, n_ticks: int) -> dict[str, Tensor | None]:
        """Return stimulus, response and confounds of the next ticks, with time as first axis."""
        ...

    def is_final(self) -> bool:
        """Return whether the last tick was given."""
        ...


class Losses(NamedTuple):
    """Loss for each epoch.

    Attributes
    ----------
    train : array, shape (epoch,)
        Mean over the measured elements, each with the parameters at its time; of several readouts
        the weighted sum of their means.
    validation : array of shape (epoch,), or None
        After each epoch; None without validation data.
    """

    train: np.ndarray
    validation: np.ndarray | None


@dataclass
class _Progress:
    """How far a call of `estimate` has come."""

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best: dict[str, Any] | None = None

    @property
    def epochs_since_best(self) -> int:
        return len(self.validation) - 1 - int(np.argmin(self.validation))


def loss_weights(readout: DRMReadout) -> dict[str, float]:
    """Return the weight of each kind of measurement's loss.

    Parameters
    ----------
    readout : DRMReadout

    Returns
    -------
    dict of str to float
        By the names of the readout's `streams`.
    """
    return dict.fromkeys(readout.streams, 1.0) | (readout.loss_weights if isinstance(readout, JointReadout) else {})


def weighted_loss(readout: DRMReadout, found: dict[str, tuple[Tensor, int]]) -> Tensor:
    """Return the sum of several readouts' losses, each times its weight.

    Parameters
    ----------
    readout : DRMReadout
    found : dict of str to (Tensor of shape (), int)
        As `DRM.losses` gives them, at least one.

    Returns
    -------
    Tensor, shape ()
    """
    weights = loss_weights(readout)
    return torch.stack([weights[name] * value for name, (value, _) in found.items()]).sum()


class _Running:
    """The losses of an epoch so far: for each readout a sum over measured elements, and their number."""

    def __init__(self, readout: DRMReadout) -> None:
        self.weights: dict[str, float] = loss_weights(readout)
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, found: dict[str, tuple[Tensor, int]]) -> None:
        for name, (value, count) in found.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach()) * count
            self.counts[name] = self.counts.get(name, 0) + count

    def mean(self) -> float:
        if not self.counts:
            raise ValueError("The data hold no measurement.")
        return sum(self.weights[name] * total / self.counts[name] for name, total in self.sums.items())


class DRM:
    """A network with what it takes to train it and to run it on data.

    Parameters
    ----------
    drm_net : DRMNet
        Trained in place.
    loss : Module, optional
        Called with prediction and target, NaN in the target where nothing was measured; must be a
        mean over the measured elements. `DRMLoss` when not given. Of several readouts
        (`drm.JointReadout`) each has its own, this one where it has none.
    optimizer : torch.optim.Optimizer, optional
        Over the network's parameters; Adam when not given. It keeps its state from one call of
        `estimate` to the next.
    learning_rate : float, default 0.001
        Of the default optimiser.
    clip : float, optional
        Largest norm of the gradient; it is scaled down to that.
    weight_decay : float, default 0
        After each step weights are multiplied by one less the learning rate times this.
    edge_lasso : float, default 0
        Strength of a group lasso on connections among populations (`drm.shrinkage.EdgeLasso`), with
        which those that the data do not ask for vanish. The losses are told without it.

    Raises
    ------
    ValueError
        If the learning rate or `clip` is not positive, or `weight_decay` or `edge_lasso` is
        negative.
    TypeError
        If the network is not a `DRMNet`, or the optimiser none of torch's.

    Examples
    --------
    >>> import torch
    >>> from drm import DRMConnection, DRMIterator, DRMPopulation, DRMReadout
    >>> net = DRMNet(
    ...     [DRMPopulation(1, 1)], ws=[DRMConnection()], Wp=[[None]],
    ...     readout=DRMReadout(1, 1, weight=torch.eye(1)),
    ... )
    >>> data = DRMIterator(1, [[1.0], [2.0]], [0, 1], [[0.5], [1.0]], [1, 2])
    >>> model = DRM(net, learning_rate=0.1)
    >>> train, _ = model.estimate(data, n_epochs=200)
    >>> bool(train[-1] < 1e-4), round(net.populations[0].weight.item(), 1)
    (True, 0.5)
    """

    def __init__(
        self,
        drm_net: DRMNet,
        *,
        loss: nn.Module | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        learning_rate: float = 1e-3,
        clip: float | None = None,
        weight_decay: float = 0.0,
        edge_lasso: float = 0.0,
    ) -> None:
        if not isinstance(drm_net, DRMNet):
            raise TypeError(f"drm_net must be a DRMNet, got {type(drm_net).__name__}.")
        if not isinstance(optimizer, torch.optim.Optimizer | None):
            raise TypeError(f"optimizer must be one of torch's, got {optimizer!r}.")
        if not learning_rate > 0:
            raise ValueError(f"The learning rate must be positive, got {learning_rate}.")
        if clip is not None and not clip > 0:
            raise ValueError(f"clip must be positive, got {clip}.")
        for name, value in (("weight_decay", weight_decay), ("edge_lasso", edge_lasso)):
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0, got {value}.")
        self.net = drm_net
        self.loss: nn.Module = DRMLoss() if loss is None else loss
        learned = [p for p in drm_net.parameters() if p.requires_grad]
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(learned, lr=learning_rate) if optimizer is None else optimizer
        )
        self.clip = clip
        self.weight_decay: float = float(weight_decay)
        self.edge_lasso: float = float(edge_lasso)
        self._lasso = EdgeLasso(drm_net, self.edge_lasso) if edge_lasso else None

    def estimate(
        self,
        data_iter: DataIterator,
        val_iter: DataIterator | None = None,
        n_epochs: int = 1,
        cutoff: int | None = None,
        *,
        burn_in: int | None = None,
        patience: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        on_epoch: Callable[[int, float, float | None], None] | None = None,
        progress: bool = False,
    ) -> Losses:
        """Train the network, and return the losses.

        Each epoch starts from the initial state and runs through the data in windows of `cutoff`
        ticks, each followed by a step of the optimiser. The state is carried on from window to
        window; the gradient goes back to `burn_in` ticks before the window. A window in which
        nothing was measured changes no parameter. With validation data, the parameters of the best
        epoch are restored at the end.

        Parameters
        ----------
        data_iter : DataIterator
            Stimuli and responses to learn from.
        val_iter : DataIterator, optional
            Stimuli and responses to validate on.
        n_epochs : int, default 1
            Number of runs through the data.
        cutoff : int, optional
            Length of a window in ticks; by default all of the data.
        burn_in : int, optional
            Number of ticks before each window that are run again, so that the gradient reaches
            them. By default the readout's memory: a haemodynamic response answers to half a minute
            of activity, and a gradient that does not reach back so far points elsewhere.
        patience : int, optional
            Stop when the validation loss has not improved for that many epochs.
        checkpoint : path, optional
            File that is written after each epoch. If it exists, training goes on from there, up to
            `n_epochs` in all, and ends as if it had not been interrupted.
        on_epoch : callable, optional
            Called after each epoch with its number from 0 on, training and validation loss, before
            the checkpoint is written: what it changes (a learning rate, the width of a learned
            delay) is in the checkpoint.
        progress : bool, default False
            Whether a bar with the losses and the time that is left is written to standard error.

        Returns
        -------
        Losses
            Named tuple ``(train, validation)`` of arrays of shape (epoch,); the validation loss is
            None without validation data.

        Raises
        ------
        ValueError
            If `n_epochs`, `cutoff` or `patience` is below 1, `burn_in` is negative, `patience` is
            given without validation data, data have no response, or the checkpoint is damaged or
            that of another network, optimiser or kind of data; nothing is changed then. If data
            are not the network's, as `check_data` says.
        TypeError
            If a number of epochs or ticks is not a whole number.
        FileNotFoundError
            If the checkpoint's folder does not exist.
        FloatingPointError
            If the loss is no longer finite; the parameters are those before that step.

        Warns
        -----
        UserWarning
            If windows are cut and `burn_in` is shorter than the readout's memory.
        """
        for name, value in (("n_epochs", n_epochs), ("cutoff", cutoff), ("patience", patience), ("burn_in", burn_in)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
                raise TypeError(f"{name} must be a whole number, got {value!r}.")
        for name, value in (("n_epochs", n_epochs), ("cutoff", cutoff), ("patience", patience)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        if patience is not None and val_iter is None:
            raise ValueError("patience needs validation data.")
        memory = self.net.readout.memory
        burn_in = memory if burn_in is None else burn_in
        if burn_in < 0:
            raise ValueError(f"burn_in must be at least 0 ticks, got {burn_in}.")
        if cutoff is not None and burn_in < memory:
            warnings.warn(
                f"A burn-in of {burn_in} ticks is shorter than the readout's memory of {memory}: "
                "the gradient misses part of what the measurements answer to.",
                stacklevel=2,
            )
        self.check_data(data_iter)
        if val_iter is not None:
            self.check_data(val_iter)
        if checkpoint is not None and not Path(checkpoint).parent.is_dir():
            raise FileNotFoundError(f"There is no folder {Path(checkpoint).parent} for the checkpoint.")
        done = _Progress()
        if checkpoint is not None and Path(checkpoint).exists():
            done = self._restore(checkpoint, data_iter)
        bar = ProgressBar(n_epochs, len(done.train)) if progress else None
        try:
            while len(done.train) < n_epochs:
                if patience is not None and done.validation and done.epochs_since_best >= patience:
                    break
                done.train.append(self._epoch(data_iter, cutoff, burn_in, bar))
                if val_iter is not None:
                    done.validation.append(self.evaluate(val_iter))
                    if done.epochs_since_best == 0:
                        done.best = copy.deepcopy(self.net.state_dict())
                latest = done.validation[-1] if done.validation else None
                if bar is not None:
                    bar.epoch(done.train[-1], latest)
                if on_epoch is not None:
                    on_epoch(len(done.train) - 1, done.train[-1], latest)
                if checkpoint is not None:
                    self._save(checkpoint, done, data_iter)
        finally:
            if bar is not None:
                bar.close()
        if done.best is not None:
            self.net.load_state_dict(done.best)
        validation = np.array(done.validation) if val_iter is not None else None
        return Losses(np.array(done.train), validation)

    def _save(self, path: str | os.PathLike[str], done: _Progress, data_iter: DataIterator) -> None:
        content = {
            "signature": self.net.signature(),
            "optimizer_kind": type(self.optimizer).__name__,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "net_random": list(self.net.random_state),
            "data_random": getattr(data_iter, "random_state", None),
            "train": done.train,
            "validation": done.validation,
            "best": done.best,
        }
        write_checkpoint(path, content)

    def _restore(self, path: str | os.PathLike[str], data_iter: DataIterator) -> _Progress:
        content = read_checkpoint(path)
        # All that can be wrong is found before anything is changed.
        if content["signature"] != self.net.signature():
            raise ValueError(
                f"{os.fspath(path)} belongs to another network: {content['signature']}, not {self.net.signature()}."
            )
        kind = type(self.optimizer).__name__
        if content["optimizer_kind"] != kind:
            raise ValueError(f"{os.fspath(path)} belongs to the optimiser {content['optimizer_kind']}, not {kind}.")
        drawn = content["data_random"]
        if (drawn is None) is hasattr(data_iter, "random_state"):
            raise ValueError(f"{os.fspath(path)} was written in training on data of another kind.")
        self.net.load_state_dict(content["net"])
        self.optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random"])
        self.net.random_state = tuple(content["net_random"])
        if drawn is not None:
            setattr(data_iter, "random_state", drawn)  # noqa: B010 - only some sources of data have it
        return _Progress(content["train"], content["validation"], content["best"])

    def _epoch(self, data_iter: DataIterator, cutoff: int | None, burn_in: int, bar: ProgressBar | None) -> float:
        self.net.train()
        self.net.reset()
        running = _Running(self.net.readout)
        n_given, n_all = 0, len(data_iter) if isinstance(data_iter, Sized) else None
        held: tuple[Tensor, Tensor | None] | None = None
        state = None
        for block in windows(data_iter, cutoff):
            if state is not None:
                self.net.state = state
            again = 0 if held is None else held[0].shape[0]
            stimulus, confounds = _stimulus(block), block["confounds"]
            if held is not None:
                stimulus = torch.cat([held[0], stimulus])
                confounds = None if confounds is None or held[1] is None else torch.cat([held[1], confounds])
            response, ticks = measured(_response(block))
            ticks = ticks + again
            # The next window starts again from the state at this tick.
            turn = max(0, stimulus.shape[0] - burn_in)
            before, after = slice(0, turn), slice(turn, stimulus.shape[0])
            predicted = self._predicted(stimulus, confounds, ticks, before)
            state = self.net.state
            predicted += self._predicted(stimulus, confounds, ticks, after)
            held = stimulus[after], None if confounds is None else confounds[after]
            self._step(torch.cat(predicted), response, running)
            n_given += stimulus.shape[0] - again
            if bar is not None and n_all:
                bar.part(n_given / n_all)
        return running.mean()

    def _predicted(self, stimulus: Tensor, confounds: Tensor | None, ticks: Tensor, part: slice) -> list[Tensor]:
        """Run a part of a window, and return what is predicted at those of the `ticks` that lie in it."""
        if part.start == part.stop:
            return []
        own = ticks[(ticks >= part.start) & (ticks < part.stop)] - part.start
        return [self.net.run(stimulus[part], None if confounds is None else confounds[part], ticks=own)[0]]

    def losses(self, predicted: Tensor, response: Tensor) -> dict[str, tuple[Tensor, int]]:
        """Return the loss of each readout, and of how many measured elements it is the mean.

        Parameters
        ----------
        predicted : Tensor, shape (time, batch, measurement)
        response : Tensor, shape of `predicted`
            NaN where nothing was measured.

        Returns
        -------
        dict of str to (Tensor of shape (), int)
            Readouts of which nothing was measured are left out. A network with one readout has
            the name ``response``.
        """
        readout = self.net.readout
        own = dict(readout.losses.items()) if isinstance(readout, JointReadout) else {}
        found: dict[str, tuple[Tensor, int]] = {}
        for name, columns in readout.streams.items():
            target = response[..., columns].to(predicted)
            count = int((~torch.isnan(target)).sum())
            if count:
                found[name] = (own.get(name, self.loss)(predicted[..., columns], target), count)
        return found

    def _step(self, predicted: Tensor, response: Tensor, running: "_Running") -> None:
        """Learn from one window, and note its losses."""
        found = self.losses(predicted, response)
        if not found:
            return
        loss = weighted_loss(self.net.readout, found)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(f"The loss is {value}; {self._reason(predicted)}.")
        running.add(found)
        self.optimizer.zero_grad()
        loss.backward()
        self.before_step()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimizer.step()
        self.after_step(self.optimizer)

    def _reason(self, predicted: Tensor) -> str:
        if bool(torch.isfinite(predicted).all()):
            return "predictions are finite: a loss of one's own must leave out what is missing (NaN) in the target"
        return "try a smaller learning rate or clip, and shorter steps (n_steps) of neural masses"

    def before_step(self) -> None:
        """Add to the loss's gradient that of the penalty on connections, for those who step by themselves."""
        if self._lasso is not None:
            self._lasso.before_step()

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Shrink the weights after a step of an optimiser, for those who step by themselves.

        Parameters
        ----------
        optimizer : torch.optim.Optimizer
            Its first learning rate counts.
        """
        if self.weight_decay:
            decay_weights(self.net, float(optimizer.param_groups[0]["lr"]) * self.weight_decay)
        if self._lasso is not None:
            self._lasso.after_step()

    @property
    def settings(self) -> dict[str, float]:
        """What training was told, as keywords for `DRM`; what has its default value is left out.

        The optimiser and a loss of one's own are not among them.
        """
        found = {
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
            "weight_decay": self.weight_decay,
            "edge_lasso": self.edge_lasso,
        }
        if self.clip is not None:
            found["clip"] = float(self.clip)
        defaults = {"learning_rate": 1e-3, "weight_decay": 0.0, "edge_lasso": 0.0}
        return {key: value for key, value in found.items() if value != defaults.get(key)}

    @torch.no_grad()
    def evaluate(self, data_iter: DataIterator) -> float:
        """Return the loss on data, from the initial state and without learning.

        Parameters
        ----------
        data_iter : DataIterator
            Stimuli and responses.

        Returns
        -------
        float
            Mean over the measured elements.

        Raises
        ------
        ValueError
            If the data have no response.
        """
        self.check_data(data_iter)
        self.net.eval()
        self.net.reset()
        running = _Running(self.net.readout)
        for block in windows(data_iter, None):
            response, ticks = measured(_response(block))
            predicted, _ = self.net.run(_stimulus(block), block["confounds"], ticks=ticks)
            running.add(self.losses(predicted, response))
        return running.mean()

    def check_data(self, data_iter: DataIterator) -> None:
        """Refuse data that are not the network's: other ticks, names or numbers of features.

        Parameters
        ----------
        data_iter : DataIterator
            What it does not say of itself (`resolution`, `streams`) is not refused. A single
            stream has no name.

        Raises
        ------
        ValueError
            If the ticks have another length, names differ, or a stream has another number of
            features.
        TypeError
            If it is no source of data.
        """
        if not hasattr(data_iter, "next_block") or not hasattr(data_iter, "is_final"):
            raise TypeError(f"Data come from a DRMIterator or the like, got {type(data_iter).__name__}.")
        ours, theirs = self.net.resolution, getattr(data_iter, "resolution", None)
        if None not in (ours, theirs) and ours != theirs:
            raise ValueError(f"The network's ticks last {ours:g} ms, those of the data {theirs:g} ms.")
        expected = {"stimulus": self.net.stimuli, "response": self.net.readout.streams}
        for kind, given in (getattr(data_iter, "streams", None) or {}).items():
            if kind not in expected or (kind == "stimulus" and not self.net.receives_stimulus):
                continue
            there = {name: features.stop - features.start for name, features in given.items()}
            wanted = {name: features.stop - features.start for name, features in expected[kind].items()}
            if list(given) == [kind]:
                fits = sum(there.values()) == sum(wanted.values())
            else:
                fits = list(there.items()) == list(wanted.items())
            if not fits:
                raise ValueError(f"The network's {kind} is {wanted} (features of each), the data have {there}.")

    @torch.no_grad()
    def forward(self, data_iter: DataIterator) -> tuple[Tensor, Tensor]:
        """Return the responses and the activity that the network generates.

        Parameters
        ----------
        data_iter : DataIterator
            Stimuli; responses are not used.

        Returns
        -------
        responses : Tensor, shape (time, batch, measurement)
        activity : Tensor, shape (time, batch, unit)
            Of all units, population after population.

        Raises
        ------
        ValueError
            If the data are not the network's, as `check_data` says.
        FloatingPointError
            If the activity is not finite; the message names the population and the tick.
        """
        self.check_data(data_iter)
        self.net.eval()
        self.net.reset()
        parts = [self.net.run(_stimulus(block), block["confounds"]) for block in windows(data_iter, None)]
        responses, activity = (torch.cat(part) for part in zip(*parts, strict=True))
        wrong = ~torch.isfinite(activity)
        if bool(wrong.any()):
            tick = int(wrong.flatten(1).any(1).nonzero()[0])
            ends = np.cumsum(self.net.sizes)
            unit = int(wrong[tick].any(0).nonzero()[0])
            name = self.net.names[int(np.searchsorted(ends, unit, side="right"))]
            raise FloatingPointError(
                f"The activity of {name} is not finite from tick {tick} on: weights may be too large, or the steps of "
                "a neural mass too long (n_steps)."
            )
        return responses, activity


def windows(data_iter: DataIterator, cutoff: int | None) -> Iterator[dict[str, Tensor | None]]:
    """Return the data from the first tick on, window after window.

    Parameters
    ----------
    data_iter : DataIterator
    cutoff : int, optional
        Length of a window in ticks, the last may be shorter; all of the data by default.

    Yields
    ------
    dict of str to Tensor or None
        As `DRMIterator.next_block` gives it.
    """
    iter(data_iter)
    # The iterator gives what is left when asked for more: that is one window.
    size = np.iinfo(np.int32).max if cutoff is None else cutoff
    while not data_iter.is_final():
        yield data_iter.next_block(int(size))


def measured(response: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ticks in which anything was measured.

    Parameters
    ----------
    response : Tensor, shape (time, batch, measurement)
        NaN where nothing was measured.

    Returns
    -------
    response : Tensor, shape (tick, batch, measurement)
        Of those ticks.
    ticks : Tensor of int, shape (tick,)
    """
    ticks = torch.nonzero(~torch.isnan(response).flatten(1).all(1)).flatten()
    return response[ticks], ticks


def _stimulus(block: dict[str, Tensor | None]) -> Tensor:
    stimulus = block["stimulus"]
    if stimulus is None:
        raise ValueError("The data have no stimulus.")
    return stimulus


def _response(block: dict[str, Tensor | None]) -> Tensor:
    response = block["response"]
    if response is None:
        raise ValueError("The data have no response to learn from.")
    return response
