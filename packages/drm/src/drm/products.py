"""The ways of computing a product of weights with values at other times; each gives the same result."""

import math
import warnings
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Blocks", "DensePerLag", "Gathered", "Reach", "Sparse"]

# How many gathered values are multiplied at once on a CPU: so many that they and their weights stay in the cache.
_CACHED = 1 << 16

# How many values are copied at once otherwise.
_HELD = 1 << 22


class Reach:
    """What each weight reads and to what it adds.

    At tick t, ``result[row] += weight * buffer[t + tick, column]``.

    Parameters
    ----------
    row, column, tick : Tensor of int, shape (weight,)
        At least one weight.
    n_rows, n_columns : int
        Number of rows of the result and of values in a tick of the buffer.
    """

    def __init__(self, row: Tensor, column: Tensor, tick: Tensor, n_rows: int, n_columns: int) -> None:
        self.row = row
        self.column = column
        self.tick = tick
        self.n_rows = n_rows
        self.n_columns = n_columns

    @cached_property
    def distinct_ticks(self) -> list[int]:
        """The ticks that are read, relative to the present one."""
        return torch.unique(self.tick).tolist()


class Blocks:
    """Rows in blocks, each with a list of all the addresses (tick and column) that its rows read.

    Parameters
    ----------
    reach : Reach
    block : Tensor of int, shape (weight,)
        The block of each weight's row.

    Attributes
    ----------
    shape : tuple of int
        Number of blocks, most rows of a block, most addresses of a block.
    place : Tensor of int, shape (weight,)
        Where each weight stands among the entries of an array of that shape.
    rows : Tensor of int, shape (block, slot)
        The row of each slot; -1 where a block has fewer.
    addresses : Tensor of int, shape (block, address)
        What is read, relative to the first tick that anyone reads.
    first_tick : int
    run : int
        Number of neighbouring values that are always read together. It divides the number of
        columns, so that runs stay runs at every tick.
    """

    def __init__(self, reach: Reach, block: Tensor) -> None:
        self.first_tick: int = min(reach.distinct_ticks)
        block = torch.unique(block, return_inverse=True)[1]
        address = (reach.tick - self.first_tick) * reach.n_columns + reach.column
        row_slot, rows = _slots(block, reach.row)
        self.rows: Tensor = rows
        column_slot, addresses = _slots(block, address)
        self.shape: tuple[int, int, int] = (*self.rows.shape, addresses.shape[1])  # pyright: ignore
        self.place: Tensor = (block * self.shape[1] + row_slot) * self.shape[2] + column_slot
        self.run: int = _run_length(addresses, reach.n_columns)
        # An empty slot has weight zero everywhere: it may read any address that others read too.
        self.addresses: Tensor = torch.where(addresses < 0, int(address.min()), addresses)


class _Way:
    """The base of all ways: a plan that lives on a device, and weights in places of an array."""

    def __init__(self) -> None:
        self.device: torch.device = torch.device("cpu")

    def to(self, device: torch.device) -> None:
        """Move the plan to a device.

        Parameters
        ----------
        device : torch.device
        """
        if device == self.device:
            return
        self.device = device
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))

    @staticmethod
    def _spread(values: Tensor, places: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Return an array with the values at their places; those at one place are added up."""
        if places is None:
            return values.view(shape)
        return values.new_zeros(math.prod(shape)).index_add_(0, places, values).view(shape)


class DensePerLag(_Way):
    """One dense matrix for each delay, from all columns to all rows.

    Nothing is copied: the values of one tick lie side by side. The cost grows with the number of
    distinct delays.

    Parameters
    ----------
    reach : Reach
    """

    def __init__(self, reach: Reach) -> None:
        super().__init__()
        self.ticks: list[int] = reach.distinct_ticks
        lag = torch.searchsorted(torch.tensor(self.ticks), reach.tick)
        self.shape: tuple[int, int, int] = (len(self.ticks), reach.n_rows, reach.n_columns)
        self._place: Tensor | None = _unless_in_order((lag * reach.n_rows + reach.row) * reach.n_columns + reach.column)
        order = torch.argsort(lag, stable=True)
        self._by_lag: Tensor = order
        self._entry_by_lag: Tensor = (reach.row * reach.n_columns + reach.column)[order]
        self._n_by_lag: list[int] = torch.bincount(lag).tolist()

    def pack(self, values: Tensor) -> Tensor:
        """Return the weights (weight,) as one matrix for each delay (delay, row, column)."""
        return self._spread(values, self._place, self.shape)

    def on(self, buffer: Tensor, packed: Tensor, result: Tensor, first: int) -> Callable[[int, int], None]:
        """Return a function that adds the product, as `drm.coupling.LaggedProduct.on`."""
        # One view for each tick, made once: to make them one by one takes as long as a small product.
        into, values = result.unbind(0), buffer.unbind(0)
        terms = [(matrix, first + tick) for matrix, tick in zip(packed.unbind(0), self.ticks, strict=True)]

        def add(start: int, length: int) -> None:
            for tick in range(start, start + length):
                for matrix, offset in terms:
                    into[tick].addmm_(matrix, values[tick + offset])

        return add

    def weight_gradient(self, buffer: Tensor, adjoint: Tensor) -> Tensor:
        """Return the gradient of the weights, as `drm.coupling.LaggedProduct.weight_gradient`.

        For each delay it is one product of all rows with all columns over many ticks.
        """
        n_ticks, n_rows, batch = adjoint.shape
        n_columns = buffer.shape[1]
        first, depth = self.ticks[0], self.ticks[-1] - self.ticks[0]
        found = [adjoint.new_zeros(n) for n in self._n_by_lag]
        chunk = max(1, _HELD // (batch * max(n_rows, n_columns)))
        for start in range(0, n_ticks, chunk):
            length = min(chunk, n_ticks - start)
            rows = adjoint[start : start + length].transpose(0, 1).reshape(n_rows, -1)
            # All ticks of a column lie side by side, so that those of each delay are a stretch of them.
            reached = buffer[start + first : start + first + depth + length].transpose(0, 1).reshape(n_columns, -1)
            for total, tick, entry in zip(found, self.ticks, self._entry_by_lag.split(self._n_by_lag), strict=True):
                offset = (tick - first) * batch
                product = rows @ reached[:, offset : offset + length * batch].T
                total += product.view(-1).index_select(0, entry)
        gradient = adjoint.new_empty(self._by_lag.numel())
        gradient[self._by_lag] = torch.cat(found)
        return gradient


class Gathered(_Way):
    """For each block of rows one product with copies of all that the block reads.

    Parameters
    ----------
    reach : Reach
    blocks : Blocks
    """

    def __init__(self, reach: Reach, blocks: Blocks) -> None:
        super().__init__()
        self.shape: tuple[int, int, int] = blocks.shape
        self._run: int = blocks.run
        self._first_tick: int = blocks.first_tick
        self._runs_of_tick: int = reach.n_columns // blocks.run
        n_blocks, n_slots, _ = self.shape
        in_order = _unless_in_order(blocks.place) is None and blocks.place.numel() == math.prod(self.shape)
        self._where: Tensor | None = None if in_order else blocks.place
        self._address: Tensor = blocks.addresses[:, :: blocks.run] // blocks.run
        # A row that receives nothing has no slot: it takes what stands after the last one, a zero.
        slots = blocks.rows.flatten()
        place = torch.full((reach.n_rows,), n_blocks * n_slots)
        place[slots[slots >= 0]] = torch.nonzero(slots >= 0).flatten()
        self._slot_of_row: Tensor | None = place
        if n_blocks * n_slots == reach.n_rows and _unless_in_order(place) is None:
            self._slot_of_row = None

    def pack(self, values: Tensor) -> Tensor:
        """Return the weights (weight,) as one matrix for each block (block, slot, address)."""
        return self._spread(values, self._where, self.shape)

    def _chunk(self, batch: int) -> int:
        """Return for how many blocks values are gathered at once."""
        room = _CACHED if self.device.type == "cpu" else _HELD
        return max(1, room // (self.shape[2] * batch))

    def on(self, buffer: Tensor, packed: Tensor, result: Tensor, first: int) -> Callable[[int, int], None]:
        """Return a function that adds the product, as `drm.coupling.LaggedProduct.on`."""
        n_blocks, n_slots, n_addresses = self.shape
        batch = buffer.shape[-1]
        runs, per_tick = buffer.view(-1, self._run * batch), self._runs_of_tick
        chunk = self._chunk(batch)
        work = buffer.new_empty(chunk * n_addresses // self._run, self._run * batch)
        steps = []
        for address, weights in zip(self._address.split(chunk), packed.split(chunk), strict=True):
            copies = work[: address.numel()]
            steps.append((address.flatten(), copies, copies.view(-1, n_addresses, batch), weights))
        slot_of_row = self._slot_of_row
        product = None if slot_of_row is None else buffer.new_zeros(n_blocks * n_slots + 1, batch)

        def add(start: int, length: int) -> None:
            for tick in range(start, start + length):
                shifted = runs[(tick + first + self._first_tick) * per_tick :]
                into = result[tick] if product is None else product[:-1].zero_()
                parts = into.view(n_blocks, n_slots, batch).split(chunk)
                for (address, copies, values, weights), part in zip(steps, parts, strict=True):
                    torch.index_select(shifted, 0, address, out=copies)
                    part.baddbmm_(weights, values)
                if product is not None and slot_of_row is not None:
                    result[tick] += product.index_select(0, slot_of_row)

        return add

    def weight_gradient(self, buffer: Tensor, adjoint: Tensor) -> Tensor:
        """Return the gradient of the weights, as `drm.coupling.LaggedProduct.weight_gradient`.

        What a block reads is gathered again, tick by tick.
        """
        n_blocks, n_slots, n_addresses = self.shape
        n_ticks, _, batch = adjoint.shape
        if self._slot_of_row is not None:
            spread = adjoint.new_zeros(n_ticks, n_blocks * n_slots + 1, batch)
            adjoint = spread.index_copy_(1, self._slot_of_row, adjoint)[:, :-1]
        by_block = adjoint.view(n_ticks, n_blocks, n_slots, batch).transpose(2, 3)
        runs, per_tick = buffer.view(-1, self._run * batch), self._runs_of_tick
        chunk = self._chunk(batch)
        work = buffer.new_empty(chunk * n_addresses // self._run, self._run * batch)
        # The sender comes first here, which makes the products faster.
        total = adjoint.new_zeros(n_blocks, n_addresses, n_slots)
        steps = []
        for address, into in zip(self._address.split(chunk), total.split(chunk), strict=True):
            copies = work[: address.numel()]
            steps.append((address.flatten(), copies, copies.view(-1, n_addresses, batch), into))
        # Tick by tick: the values that blocks share stay in the cache, though their sums do not.
        for tick, gradients in enumerate(by_block.unbind(0)):
            shifted = runs[(tick + self._first_tick) * per_tick :]
            for (address, copies, values, into), gradient in zip(steps, gradients.split(chunk), strict=True):
                torch.index_select(shifted, 0, address, out=copies)
                into.baddbmm_(values, gradient)
        packed = total.transpose(1, 2).reshape(-1)
        return packed if self._where is None else packed.index_select(0, self._where)


class Sparse(_Way):
    """One sparse matrix from all the ticks that are reached to the rows.

    Parameters
    ----------
    reach : Reach
    """

    def __init__(self, reach: Reach) -> None:
        super().__init__()
        self._first_tick: int = reach.distinct_ticks[0]
        self._n_ticks: int = reach.distinct_ticks[-1] - self._first_tick + 1
        width = self._n_ticks * reach.n_columns
        key = reach.row * width + (reach.tick - self._first_tick) * reach.n_columns + reach.column
        # Weights between the same units with the same delay are summed: taps of one line are not.
        distinct, entry = torch.unique(key, return_inverse=True)
        counts = torch.bincount(distinct // width, minlength=reach.n_rows)
        # The indices are 32 bits wide, as the sparse products of the host's library want them.
        self._row_ends: Tensor = functional.pad(counts.cumsum(0), (1, 0)).int()
        self._column: Tensor = (distinct % width).int()
        self._entry: Tensor = entry
        self.shape: tuple[int, int] = (reach.n_rows, width)

    def pack(self, values: Tensor) -> Tensor:
        """Return the weights (weight,) as a sparse matrix (row, tick and column)."""
        entries = values.new_zeros(self._column.numel()).index_add_(0, self._entry, values.detach())
        with warnings.catch_warnings():
            # torch calls its sparse matrices a beta; the tests hold them against dense products.
            warnings.filterwarnings("ignore", message="Sparse CSR", category=UserWarning)
            return torch.sparse_csr_tensor(
                self._row_ends, self._column, entries, size=self.shape, check_invariants=False
            )

    def on(self, buffer: Tensor, packed: Tensor, result: Tensor, first: int) -> Callable[[int, int], None]:
        """Return a function that adds the product, as `drm.coupling.LaggedProduct.on`."""
        values, into = buffer.view(-1, buffer.shape[-1]), result.unbind(0)
        n_columns, n_values = buffer.shape[1], self.shape[1]
        offset = first + self._first_tick

        def add(start: int, length: int) -> None:
            for tick in range(start, start + length):
                into[tick].addmm_(packed, values.narrow(0, (tick + offset) * n_columns, n_values))

        return add


def _unless_in_order(places: Tensor) -> Tensor | None:
    """Return the places, or None if they are 0, 1, 2, ..."""
    return None if bool((places == torch.arange(places.numel())).all()) else places


def _slots(block: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Return each entry's place among its block's distinct keys, and the keys (-1 where none).

    They are in the order in which they come first.
    """
    n_keys = int(key.max()) + 1
    pairs, inverse = torch.unique(block * n_keys + key, return_inverse=True)
    entry = torch.arange(key.numel())
    appears = torch.full_like(pairs, key.numel()).scatter_reduce_(0, inverse, entry, "amin")
    n_blocks = int(block.max()) + 1
    block_of_pair = pairs // n_keys
    order = torch.argsort(block_of_pair * key.numel() + appears)
    counts = torch.bincount(block_of_pair, minlength=n_blocks)
    place = torch.empty_like(pairs)
    # In that order, a key's place is its position after its block's first.
    place[order] = torch.arange(pairs.numel()) - (counts.cumsum(0) - counts)[block_of_pair[order]]
    table = torch.full((n_blocks, int(counts.max())), -1, dtype=torch.long)
    table[block_of_pair, place] = pairs % n_keys
    return place[inverse], table


def _run_length(address: Tensor, n_columns: int) -> int:
    """Return the number of neighbouring values that are always read together.

    In `address` (block, slot) -1 is an empty slot.
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
