"""Weights that are pulled towards zero: each by itself, and connection by connection."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from drm.network import DRMNet
from drm.population import DRMPopulation

__all__ = ["EdgeLasso", "decay_weights"]

_WEIGHTS = ("weight", "recurrent_weight", "shared_projection")


@torch.no_grad()
def decay_weights(net: DRMNet, amount: float) -> None:
    """Multiply each learned weight of populations, readouts and projections by ``1 - amount``, in place.

    Biases, constants, delays and responses stay. Apart from the gradient, whose size Adam divides
    by, decay is the same for all weights.

    Parameters
    ----------
    net : DRMNet
    amount : float
        From 0 to 1.

    References
    ----------
    Loshchilov and Hutter (2019), arXiv:1711.05101.

    Examples
    --------
    >>> from drm import DRMConnection, DRMReadout
    >>> net = DRMNet([DRMPopulation()], [DRMConnection()], [[None]], DRMReadout(weight=torch.eye(1)))
    >>> net.populations[0].weight.data = torch.tensor([[0.5]])
    >>> decay_weights(net, 0.2)
    >>> round(net.populations[0].weight.item(), 6)
    0.4
    """
    for weight in _learned_weights(net):
        weight.mul_(1 - amount)


class EdgeLasso:
    """The group lasso on connections among populations: those that the data do not ask for vanish.

    ``strength`` times the sum over connections of the norm of their weights, each times the square
    root of their number, is added to what is minimised. At zero that sum has no gradient: a
    connection stays there as long as the loss's gradient is smaller than the penalty's, and a step
    that would carry it past zero ends there. This holds whatever the optimiser. Weights of stimuli
    are left alone.

    Parameters
    ----------
    net : DRMNet
    strength : float
        In units of the loss per unit of weight.

    References
    ----------
    Yuan and Lin (2006), Journal of the Royal Statistical Society B 68, 49-67,
    doi:10.1111/j.1467-9868.2005.00532.x; steps that end at zero as in Andrew and Gao (2007),
    doi:10.1145/1273496.1273501.
    """

    def __init__(self, net: DRMNet, strength: float) -> None:
        self.strength = strength
        self._blocks: list[tuple[DRMPopulation, int, Tensor]] = []
        for population, row in zip(net.populations, net.Wp, strict=True):
            widths = [line.n_out for line in row if line is not None]
            if widths:
                owner = torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(widths))
                # Stimuli come first among a target's columns.
                first = population.n_in - len(owner)  # pyright: ignore[reportOperatorIssue]
                self._blocks.append((population, first, owner))  # pyright: ignore[reportArgumentType]
        self._before: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def before_step(self) -> None:
        """Add the penalty's gradient to that of the loss."""
        self._before = []
        for population, first, owner in self._blocks:
            weight, gradient = population.weight, population.weight.grad
            if gradient is None:
                self._before.append((weight.new_empty(0), weight.new_empty(0)))
                continue
            owner = owner.to(weight.device)
            blocks, slopes = weight[:, first:], gradient[:, first:]
            bounds = self.strength * (owner.bincount() * weight.shape[0]).to(weight).sqrt()
            norms, steepness = _norms(blocks, owner), _norms(slopes, owner)
            held = (norms == 0) & (steepness <= bounds)
            towards = bounds / norms.clamp(min=torch.finfo(norms.dtype).tiny)
            less = torch.where(held, 0.0, 1 - bounds / steepness.clamp(min=torch.finfo(norms.dtype).tiny))
            absent = (norms == 0)[owner]
            slopes.copy_(torch.where(absent, slopes * less[owner], slopes + blocks * towards[owner]))
            self._before.append((blocks.clone(), held))

    @torch.no_grad()
    def after_step(self) -> None:
        """Set to zero what the step carried past zero, or away from it against the penalty."""
        for (population, first, owner), (before, held) in zip(self._blocks, self._before, strict=True):
            if before.numel():
                owner = owner.to(before.device)
                blocks = population.weight[:, first:]
                along = before.new_zeros(held.shape).index_add_(0, owner, (blocks * before).sum(0))
                blocks.mul_(~(held | (along < 0))[owner])


def _norms(columns: Tensor, owner: Tensor) -> Tensor:
    n_owners = int(owner[-1]) + 1
    return columns.new_zeros(n_owners).index_add_(0, owner, columns.square().sum(0)).sqrt()


def _learned_weights(net: DRMNet) -> Iterator[nn.Parameter]:
    seen: set[int] = set()
    for module in net.modules():
        for name in _WEIGHTS:
            weight = getattr(module, name, None)
            # Connections of a sender may share a projection.
            if isinstance(weight, nn.Parameter) and weight.requires_grad and id(weight) not in seen:
                seen.add(id(weight))
                yield weight
