"""Training a network on partly observed measurements by truncated back-propagation through time."""

import copy
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from drm.loss import DRMLoss
from drm.network import DRMNet

__all__ = ["DRM", "DataIterator", "Losses"]


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
        Mean over the measured elements, each with the parameters at its time.
    validation : array of shape (epoch,), or None
        After each epoch; None without validation data.
    """

    train: np.ndarray
    validation: np.ndarray | None


class DRM:
    """A network with what it takes to train it and to run it on data.

    Parameters
    ----------
    drm_net : DRMNet
        Trained in place.
    loss : Module, optional
        Called with prediction and target, NaN in the target where nothing was measured; must be a
        mean over the measured elements. `DRMLoss` when not given.
    optimizer : torch.optim.Optimizer, optional
        Over the network's parameters; Adam when not given. It keeps its state from one call of
        `estimate` to the next.
    learning_rate : float, default 0.001
        Of the default optimiser.
    clip : float, optional
        Largest norm of the gradient; it is scaled down to that.

    Raises
    ------
    ValueError
        If the learning rate or `clip` is not positive.

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
    ) -> None:
        if not learning_rate > 0:
            raise ValueError(f"The learning rate must be positive, got {learning_rate}.")
        if clip is not None and not clip > 0:
            raise ValueError(f"clip must be positive, got {clip}.")
        self.net = drm_net
        self.loss = DRMLoss() if loss is None else loss
        learned = [p for p in drm_net.parameters() if p.requires_grad]
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(learned, lr=learning_rate) if optimizer is None else optimizer
        )
        self.clip = clip

    def estimate(
        self,
        data_iter: DataIterator,
        val_iter: DataIterator | None = None,
        n_epochs: int = 1,
        cutoff: int | None = None,
    ) -> Losses:
        """Train the network, and return the losses.

        Each epoch starts from the initial state and runs through the data in windows of `cutoff`
        ticks. The state is carried on from window to window, the gradient is not. A window in
        which nothing was measured changes no parameter. With validation data, the parameters of
        the best epoch are restored at the end.

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

        Returns
        -------
        Losses
            Named tuple ``(train, validation)`` of arrays of shape (epoch,); the validation loss is
            None without validation data.

        Raises
        ------
        ValueError
            If `n_epochs` or `cutoff` is below 1, or data have no response.
        FloatingPointError
            If the loss is no longer finite; the parameters are those before that step.
        """
        if n_epochs < 1:
            raise ValueError(f"n_epochs must be at least 1, got {n_epochs}.")
        if cutoff is not None and cutoff < 1:
            raise ValueError(f"cutoff must be at least 1 tick, got {cutoff}.")
        train, validation = [], []
        best: tuple[float, dict[str, Any]] | None = None
        for _ in range(n_epochs):
            train.append(self._epoch(data_iter, cutoff))
            if val_iter is None:
                continue
            validation.append(self.evaluate(val_iter))
            if best is None or validation[-1] < best[0]:
                best = validation[-1], copy.deepcopy(self.net.state_dict())
        if best is not None:
            self.net.load_state_dict(best[1])
        return Losses(np.array(train), np.array(validation) if val_iter is not None else None)

    def _epoch(self, data_iter: DataIterator, cutoff: int | None) -> float:
        self.net.train()
        self.net.reset()
        total = n_measured = 0.0
        for block in _windows(data_iter, cutoff):
            response = _response(block)
            predicted, _ = self.net.run(_stimulus(block), block["confounds"])
            response = response.to(predicted)
            loss = self.loss(predicted, response)
            count = float((~torch.isnan(response)).sum())
            if count:
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise FloatingPointError(f"The loss is {value}; try a smaller learning rate or clip.")
                self.optimizer.zero_grad()
                loss.backward()
                if self.clip is not None:
                    nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
                self.optimizer.step()
                total += value * count
                n_measured += count
            self.net.detach_()
        if n_measured == 0:
            raise ValueError("The data hold no measurement.")
        return total / n_measured

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
        self.net.eval()
        self.net.reset()
        total = n_measured = 0.0
        for block in _windows(data_iter, None):
            predicted, _ = self.net.run(_stimulus(block), block["confounds"])
            response = _response(block).to(predicted)
            count = float((~torch.isnan(response)).sum())
            total += float(self.loss(predicted, response)) * count
            n_measured += count
        if n_measured == 0:
            raise ValueError("The data hold no measurement.")
        return total / n_measured

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
        """
        self.net.eval()
        self.net.reset()
        parts = [self.net.run(_stimulus(block), block["confounds"]) for block in _windows(data_iter, None)]
        responses, activity = zip(*parts, strict=True)
        return torch.cat(responses), torch.cat(activity)


def _windows(data_iter: DataIterator, cutoff: int | None) -> Iterator[dict[str, Tensor | None]]:
    iter(data_iter)
    # The iterator gives what is left when asked for more: that is one window.
    size = np.iinfo(np.int32).max if cutoff is None else cutoff
    while not data_iter.is_final():
        yield data_iter.next_block(int(size))


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
