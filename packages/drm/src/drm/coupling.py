"""Delayed coupling as one batched product: gather what arrives, multiply, for all edges at once."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Edges", "LaggedProduct"]

# How many multiplications of one large matrix product cost as much as one element that is gathered
# and multiplied on its own (measured on CPUs; it decides between two exact ways).
_GATHER_COST = 4.0

# The same for one weight of a sparse matrix, which needs no gathering.
_SPARSE_COST = 1.3

# How many gathered elements are held at once for the gradient of the weights.
_HELD = 1 << 22

# How many gathered elements are multiplied at once: so many that they are still in the cache.
_CACHED = 1 << 18

# Up to how many entries of dense products over all ticks, for each weight that is wanted, are cheaper than
# gathering for that weight: when values are gathered in long runs, and in short ones (measured on CPUs).
_DENSE_FOR_LONG, _DENSE_FOR_SHORT = 16, 128


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


class LaggedProduct:
    """The sum over all edges of a weight times a value at another time.

    For tick t, ``result[row] += weight * buffer[t + shift * lag + origin, column]``: with shift -1
    it is the coupling itself, with shift +1 on reversed edges its adjoint. Rows with the same list
    of (lag, column) form a block, and a block is one matrix product with the gathered values. The
    blocks are either the populations, so that the cost is edges times units squared whatever the
    number of distinct delays, or a single one of all rows, which is faster when delays are few.
    Where populations are small, a sparse matrix over all the ticks that are reached is faster.

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
        tick = origin + shift * edges.lag
        address = tick * n_columns + edges.column
        single = torch.zeros_like(edges.row)
        blocks, slots, columns = _cost(edges.row_block, edges.row, address)
        single_blocks, single_slots, single_columns = _cost(single, edges.row, address)
        by_population = blocks * columns * (slots + _GATHER_COST)
        at_once = single_blocks * single_columns * single_slots / _GATHER_COST
        block = edges.row_block if by_population < at_once else single
        self.sparse: bool = edges.row.numel() * _SPARSE_COST < min(by_population, at_once)

        self.row: Tensor = edges.row
        self.column: Tensor = edges.column
        self.tick: Tensor = tick
        self.n_rows: int = n_rows
        self.n_columns: int = n_columns
        block = torch.unique(block, return_inverse=True)[1]
        self.row_slot: Tensor
        self.column_slot: Tensor
        self.row_slot, rows_of_slot = _slots(block, edges.row)
        self.column_slot, address_of_slot = _slots(block, address)
        self.block: Tensor = block
        self.shape: tuple[int, int, int] = (rows_of_slot.shape[0], rows_of_slot.shape[1], address_of_slot.shape[1])
        self.run: int = _run_length(address_of_slot, n_columns)
        # An empty slot has weight zero everywhere, so that it may read any address that others read too,
        # and its result goes to a row past the last one, where nobody looks.
        earliest = int(tick.min()) * n_columns
        self.address: Tensor = torch.where(address_of_slot < 0, earliest, address_of_slot)
        target = torch.where(rows_of_slot < 0, n_rows, rows_of_slot).flatten()
        place = torch.full((n_rows + 1,), -1, dtype=torch.long)
        place[target] = torch.arange(target.numel())
        self.place: Tensor = place[:n_rows]
        self.device: torch.device = torch.device("cpu")
        self._finish()

    def _index_sparse(self) -> None:
        """Find the places of the weights in a sparse matrix from the ticks that are reached to the rows."""
        self.first_tick: int = int(self.tick.min())
        self.n_ticks_reached: int = int(self.tick.max()) - self.first_tick + 1
        key = (self.row * self.n_ticks_reached + self.tick - self.first_tick) * self.n_columns + self.column
        # Weights between the same units with the same delay are summed: taps of one line are not.
        self.entry: Tensor
        distinct, self.entry = torch.unique(key, return_inverse=True)
        width = self.n_ticks_reached * self.n_columns
        counts = torch.bincount(distinct // width, minlength=self.n_rows)
        # The indices are 32 bits wide, as the sparse products of the host's library want them.
        self.row_ends: Tensor = functional.pad(counts.cumsum(0), (1, 0)).int()
        self.sparse_column: Tensor = (distinct % width).int()

    def _finish(self) -> None:
        distinct, place = torch.unique(self.tick, return_inverse=True)
        self.distinct_ticks: list[int] = distinct.tolist()
        order = torch.argsort(place, stable=True)
        self.weights_of_tick: list[Tensor] = list(order.split(torch.bincount(place).tolist()))
        if self.sparse:
            self._index_sparse()
        n_places = self.shape[0] * self.shape[1]
        arange = torch.arange(self.n_rows, device=self.device)
        self.in_order: bool = n_places == self.n_rows and bool((self.place == arange).all())
        # A row that receives nothing has no place.
        self.occupied: Tensor = self.place >= 0
        self.has_gaps: bool = not bool(self.occupied.all())
        flat = self.address.flatten()
        first = int(flat[0])
        # A single delay from all units needs no gathering: the values lie side by side, in one tick.
        side_by_side = torch.arange(first, first + self.n_columns, device=self.device)
        whole_tick = first % self.n_columns == 0 and torch.equal(flat, side_by_side)
        self.slice_start: int | None = first if whole_tick else None
        self._addresses: dict[int, Tensor] = {}

    def _address(self, n_ticks: int) -> Tensor:
        """Return the addresses of all runs of values (block, run, tick) that a stretch reads."""
        if n_ticks not in self._addresses:
            ticks = torch.arange(n_ticks, device=self.device) * self.n_columns
            first = self.address[:, :: self.run].unsqueeze(-1) + ticks
            self._addresses[n_ticks] = first.flatten() // self.run
        return self._addresses[n_ticks]

    def to(self, device: torch.device) -> None:
        """Move the plan to a device.

        Parameters
        ----------
        device : torch.device
        """
        if device == self.device:
            return
        self.device = device
        for name in ("row_slot", "column_slot", "block", "address", "place", "row", "column", "tick"):
            setattr(self, name, getattr(self, name).to(device))
        self._finish()

    def pack(self, values: Tensor) -> Tensor:
        """Return the weights as one matrix for each block, zero where there is no edge.

        Parameters
        ----------
        values : Tensor, shape (weight,)

        Returns
        -------
        Tensor, shape (block, slot, address)
        """
        packed = values.new_zeros(self.shape)
        return packed.index_put_((self.block, self.row_slot, self.column_slot), values, True)

    def unpack(self, packed: Tensor) -> Tensor:
        """Return the entries of packed matrices that belong to the weights.

        Parameters
        ----------
        packed : Tensor, shape (block, slot, address)

        Returns
        -------
        Tensor, shape (weight,)
        """
        return packed[self.block, self.row_slot, self.column_slot]

    def workspace(self, buffer: Tensor) -> Tensor:
        """Return room for the values of one tick, so that a loop need not allocate it each time.

        Parameters
        ----------
        buffer : Tensor, shape (tick, column, batch)

        Returns
        -------
        Tensor
        """
        if self.slice_start is not None:
            return buffer.new_empty(0)
        n_runs = self._address(1).numel()
        return buffer.new_empty(n_runs, self.run * buffer.shape[-1])

    def gather(self, buffer: Tensor, start: int, n_ticks: int, out: Tensor | None = None) -> Tensor:
        """Return the values that a stretch of ticks reads from the buffer.

        Parameters
        ----------
        buffer : Tensor, shape (tick, column, batch), contiguous
        start, n_ticks : int
            First tick, and how many; one only when values are read in runs.
        out : Tensor, optional
            The `workspace`, for one tick.

        Returns
        -------
        Tensor, shape (block, address, n_ticks * batch)
        """
        runs = buffer.view(-1, self.run * buffer.shape[-1])
        address = self._address(n_ticks)
        base = start * self.n_columns // self.run
        if base < 0:
            address = address + base
        else:
            runs = runs[base:]
        if n_ticks > 1:
            out = None
        found = torch.index_select(runs, 0, address, out=out)
        return found.view(self.shape[0], self.shape[2], -1)

    def on(self, buffer: Tensor, values: Tensor) -> Callable[[Tensor, int], None]:
        """Return a function that adds the product for a stretch of ticks to a result, in place.

        Parameters
        ----------
        buffer : Tensor, shape (tick, column, batch), contiguous
            What is read; it may change between calls.
        values : Tensor, shape (weight,)
            The weights.

        Returns
        -------
        callable
            Takes the result (time, row, batch) and the tick of its first entry.
        """
        if self.sparse:
            return partial(self._add_sparse, self._sparse_matrix(values), buffer)
        return partial(self._add_to, self.pack(values), buffer, self.workspace(buffer))

    def _sparse_matrix(self, values: Tensor) -> Tensor:
        entries = values.new_zeros(self.sparse_column.numel()).index_add_(0, self.entry, values.detach())
        shape = (self.n_rows, self.n_ticks_reached * self.n_columns)
        with warnings.catch_warnings():
            # torch calls its sparse matrices a beta; the tests hold them against dense products.
            warnings.filterwarnings("ignore", message="Sparse CSR", category=UserWarning)
            return torch.sparse_csr_tensor(
                self.row_ends, self.sparse_column, entries, size=shape, check_invariants=False
            )

    def _add_sparse(self, matrix: Tensor, buffer: Tensor, result: Tensor, start: int) -> None:
        for tick in range(result.shape[0]):
            first = start + tick + self.first_tick
            reached = buffer[first : first + self.n_ticks_reached].flatten(0, 1)
            result[tick].addmm_(matrix, reached)

    def _add_to(self, packed: Tensor, buffer: Tensor, work: Tensor, result: Tensor, start: int) -> None:
        n_ticks = result.shape[0]
        n_blocks, n_slots, _ = self.shape
        if self.slice_start is not None:
            first = start + self.slice_start // self.n_columns
            if n_ticks == 1 and self.in_order:
                result[0].addmm_(packed[0], buffer[first])
                return
            product = packed[0] @ buffer[first : first + n_ticks]
        elif n_ticks == 1 and n_blocks == 1 and self.in_order:
            result[0].addmm_(packed[0], self.gather(buffer, start, 1, work)[0])
            return
        elif self.run > 1:
            product = self._in_chunks(packed, buffer, start, n_ticks)
        else:
            product = torch.bmm(packed, self.gather(buffer, start, n_ticks, work))
            product = product.view(n_blocks * n_slots, n_ticks, -1).transpose(0, 1)
        if self.in_order:
            result += product
        elif self.has_gaps:
            result[:, self.occupied] += product.index_select(1, self.place[self.occupied])
        else:
            result += product.index_select(1, self.place)

    def _in_chunks(self, packed: Tensor, buffer: Tensor, start: int, n_ticks: int) -> Tensor:
        """Return the product (tick, slot of a block, batch), gathered for as many blocks as the cache holds."""
        n_blocks, n_slots, n_addresses = self.shape
        batch = buffer.shape[-1]
        runs = buffer.view(-1, self.run * batch)
        n_together = max(1, _CACHED // (n_addresses * batch))
        product = buffer.new_empty(n_ticks, n_blocks, n_slots, batch)
        work = buffer.new_empty(n_together * n_addresses // self.run, self.run * batch)
        addresses = self._address(1).split(work.shape[0])
        for tick in range(n_ticks):
            base = (start + tick) * self.n_columns // self.run
            shifted = runs[base:] if base >= 0 else runs
            parts = zip(addresses, packed.split(n_together), product[tick].split(n_together), strict=True)
            for address, weights, into in parts:
                own = address if base >= 0 else address + base
                found = torch.index_select(shifted, 0, own, out=work[: own.numel()])
                torch.bmm(weights, found.view(weights.shape[0], n_addresses, batch), out=into)
        return product.flatten(1, 2)

    def weight_gradient(self, buffer: Tensor, adjoint: Tensor) -> Tensor:
        """Return the gradient of the weights, given that of the product, over all ticks.

        Parameters
        ----------
        buffer : Tensor, shape (tick, column, batch), contiguous
            What the product read.
        adjoint : Tensor, shape (time, row, batch)
            The gradient of the product at each tick from 0 on.

        Returns
        -------
        Tensor, shape (weight,)
        """
        n_blocks, n_slots, n_addresses = self.shape
        n_ticks, _, batch = adjoint.shape
        few = _DENSE_FOR_LONG if self.run * batch >= _DENSE_FOR_LONG else _DENSE_FOR_SHORT
        if len(self.distinct_ticks) * self.n_rows * self.n_columns <= few * self.row.numel():
            return self._dense_gradient(buffer, adjoint)
        total = adjoint.new_zeros(self.shape)
        chunk = 1 if self.run > 1 else max(1, _HELD // (n_blocks * n_addresses * batch))
        work = self.workspace(buffer)
        for start in range(0, n_ticks, chunk):
            part = adjoint[start : start + chunk]
            length = part.shape[0]
            wide = self.gather(buffer, start, length, work)
            if self.in_order:
                spread = part
            else:
                spread = part.new_zeros(length, n_blocks * n_slots, batch)
                spread[:, self.place[self.occupied]] = part[:, self.occupied]
            spread = spread.view(length, n_blocks, n_slots, batch).permute(1, 2, 0, 3)
            total.baddbmm_(spread.reshape(n_blocks, n_slots, -1), wide.transpose(1, 2))
        return self.unpack(total)

    def _dense_gradient(self, buffer: Tensor, adjoint: Tensor) -> Tensor:
        """Return the gradient of the weights from the products of all rows and columns, delay by delay."""
        n_ticks, _, batch = adjoint.shape
        total = adjoint.new_zeros(self.row.numel())
        chunk = max(1, _HELD // (batch * max(self.n_rows, self.n_columns)))
        for start in range(0, n_ticks, chunk):
            rows = adjoint[start : start + chunk].transpose(0, 1).flatten(1)
            length = min(chunk, n_ticks - start)
            for place, tick in enumerate(self.distinct_ticks):
                first = start + tick
                values = buffer[first : first + length].transpose(0, 1).flatten(1)
                own = self.weights_of_tick[place]
                total[own] += (rows @ values.T)[self.row[own], self.column[own]]
        return total


def _slots(block: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Return each entry's place among its block's distinct keys, and the keys (-1 where none)."""
    n_keys = int(key.max()) + 1
    pairs, inverse = torch.unique(block * n_keys + key, return_inverse=True)
    block_of_pair, key_of_pair = pairs // n_keys, pairs % n_keys
    n_blocks = int(block.max()) + 1
    counts = torch.bincount(block_of_pair, minlength=n_blocks)
    # `unique` sorts by block, then by key: a key's place is its position after its block's first.
    first = counts.cumsum(0) - counts
    place = torch.arange(pairs.numel()) - first[block_of_pair]
    table = torch.full((n_blocks, int(counts.max())), -1, dtype=torch.long)
    table[block_of_pair, place] = key_of_pair
    return place[inverse], table


def _run_length(address: Tensor, n_columns: int) -> int:
    """Return the number of neighbouring values that are always read together.

    It divides the number of columns, so that runs stay runs at every tick. In `address` (block,
    slot) -1 is an empty slot.
    """
    largest = math.gcd(n_columns, address.shape[1])
    for length in range(largest, 1, -1):
        if largest % length:
            continue
        runs = address.view(-1, length)
        empty = (runs < 0).all(1)
        steps = runs[:, :1] + torch.arange(length)
        together = (runs == steps).all(1) & (runs[:, 0] % length == 0)
        if bool((empty | together).all()):
            return length
    return 1


def _cost(block: Tensor, row: Tensor, address: Tensor) -> tuple[int, int, int]:
    """Return the number of blocks, and the largest number of rows and of addresses of one."""
    block = torch.unique(block, return_inverse=True)[1]
    rows, addresses = _slots(block, row)[1], _slots(block, address)[1]
    return rows.shape[0], rows.shape[1], addresses.shape[1]
