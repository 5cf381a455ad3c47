"""Delayed coupling: which of several exact ways of computing it is the fastest for a network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from drm.products import Blocks, DensePerLag, Gathered, Reach, Sparse

__all__ = ["COSTS", "Costs", "Edges", "LaggedProduct"]


@dataclass(frozen=True)
class Edges:
    """Single weights between units, each with its delay; all arrays have one entry per weight.

    Attributes
    ----------
    row, column : Tensor of int, shape (weight,)
        The receiving row of the drive and the sending unit.
    lag : Tensor of int, shape (weight,)
        Delay in ticks.
    row_block, column_block : Tensor of int, shape (weight,)
        The population to which the row and the unit belong.
    """

    row: Tensor
    column: Tensor
    lag: Tensor
    row_block: Tensor
    column_block: Tensor

    def reversed(self) -> "Edges":
        """Return the same weights seen from the sender."""
        return Edges(self.column, self.row, self.lag, self.column_block, self.row_block)


@dataclass(frozen=True)
class Costs:
    """What each way costs on a CPU, in multiplications of a product of large matrices.

    Measured for 32 batch items; they decide between exact ways, so that an error costs time only.

    Attributes
    ----------
    dense : float
        One multiplication of a dense product.
    gathered_run, gathered_single : float
        Copying one value that is read together with the rest of its population, or alone.
    sparse : float
        One weight of a sparse product.
    call : float
        One call of torch.
    update : float
        Adding to one sum of the weights' gradient in each tick, where values are gathered.
    """

    dense: float = 1.0
    gathered_run: float = 11.0
    gathered_single: float = 50.0
    sparse: float = 5.0
    call: float = 7000.0
    update: float = 2.0

    def of_dense(self, reach: Reach) -> float:
        """Return the cost of one dense product for each delay.

        Parameters
        ----------
        reach : Reach

        Returns
        -------
        float
        """
        return len(reach.distinct_ticks) * (reach.n_rows * reach.n_columns * self.dense + self.call)

    def of_gathering(self, blocks: Blocks) -> float:
        """Return the cost of copying what each block of rows reads, and of one product for each.

        Parameters
        ----------
        blocks : Blocks

        Returns
        -------
        float
        """
        copying = self.gathered_run if blocks.run > 1 else self.gathered_single
        n_blocks, n_slots, n_addresses = blocks.shape
        return n_blocks * n_addresses * (n_slots * self.dense + copying) + 2 * self.call

    def of_gathered_gradient(self, blocks: Blocks) -> float:
        """Return the cost of the gradient of the weights by gathering.

        Parameters
        ----------
        blocks : Blocks

        Returns
        -------
        float
        """
        n_blocks, n_slots, n_addresses = blocks.shape
        return self.of_gathering(blocks) + n_blocks * n_slots * n_addresses * self.update

    def of_sparse(self, reach: Reach) -> float:
        """Return the cost of a sparse product.

        Parameters
        ----------
        reach : Reach

        Returns
        -------
        float
        """
        return reach.row.numel() * self.sparse + self.call


COSTS = Costs()


class LaggedProduct:
    """The sum over all edges of a weight times a value at another time, planned for one network.

    For tick t, ``result[row] += weight * buffer[t + shift * lag + origin, column]``: with shift -1
    it is the coupling itself, with shift +1 on reversed edges its adjoint. There are three ways of
    computing it, each in `drm.products`, and two of computing the gradient of the weights:

    - `DensePerLag`, where all units are connected and delays are few;
    - `Gathered`, whose cost is edges times units squared whatever the number of distinct delays,
      with populations as blocks, or with one block of all rows where each sender has one delay;
    - `Sparse`, where populations are small and delays many (for the product only).

    The plan takes those with the smallest `Costs`.

    Parameters
    ----------
    edges : Edges
        At least one weight.
    n_rows, n_columns : int
        Number of rows of the result and of values in a tick of the buffer.
    shift : int
        -1 or +1.
    origin : int
        Tick of the buffer that is tick 0.
    """

    def __init__(self, edges: Edges, *, n_rows: int, n_columns: int, shift: int, origin: int) -> None:
        reach = Reach(edges.row, edges.column, origin + shift * edges.lag, n_rows, n_columns)
        grouped = [Blocks(reach, block) for block in (edges.row_block, torch.zeros_like(edges.row))]
        blocks = min(grouped, key=COSTS.of_gathering)
        dense, gathering, sparse = COSTS.of_dense(reach), COSTS.of_gathering(blocks), COSTS.of_sparse(reach)
        self.gradient: DensePerLag | Gathered
        by_lag = dense <= COSTS.of_gathered_gradient(blocks)
        self.gradient = DensePerLag(reach) if by_lag else Gathered(reach, blocks)
        self.product: DensePerLag | Gathered | Sparse
        least = min(dense, gathering, sparse)
        if least == sparse:
            self.product = Sparse(reach)
        elif isinstance(self.gradient, DensePerLag if least == dense else Gathered):
            self.product = self.gradient
        else:
            self.product = DensePerLag(reach) if least == dense else Gathered(reach, blocks)

    def to(self, device: torch.device) -> None:
        """Move the plan to a device.

        Parameters
        ----------
        device : torch.device
        """
        self.product.to(device)
        self.gradient.to(device)

    def pack(self, values: Tensor) -> Tensor:
        """Return the weights in the form in which `on` takes them.

        Parameters
        ----------
        values : Tensor, shape (weight,)

        Returns
        -------
        Tensor
        """
        return self.product.pack(values)

    def on(self, buffer: Tensor, packed: Tensor, result: Tensor, first: int = 0) -> Callable[[int, int], None]:
        """Return a function that adds the product for a stretch of ticks to the result, in place.

        Parameters
        ----------
        buffer : Tensor, shape (tick, column, batch), contiguous
            What is read; it may change between calls.
        packed : Tensor
            The weights, as `pack` gives them.
        result : Tensor, shape (time, row, batch), contiguous
            To what is added.
        first : int, default 0
            The tick of the result's first entry.

        Returns
        -------
        callable
            Takes the place in the result of the first tick, and the number of ticks.
        """
        return self.product.on(buffer, packed, result, first)

    def weight_gradient(self, buffer: Tensor, adjoint: Tensor) -> Tensor:
        """Return the gradient of the weights, given that of the product, over all ticks.

        Parameters
        ----------
        buffer : Tensor, shape (tick, column, batch), contiguous
            What the product read.
        adjoint : Tensor, shape (time, row, batch), contiguous
            The gradient of the product at each tick from 0 on.

        Returns
        -------
        Tensor, shape (weight,)
        """
        return self.gradient.weight_gradient(buffer, adjoint)
