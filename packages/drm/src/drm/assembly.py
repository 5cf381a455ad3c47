"""A network's populations and connections as the arrays of one batched recurrence."""

from collections.abc import Sequence

import torch
from torch import Tensor

from drm.connection import DRMConnection
from drm.coupling import Edges
from drm.population import DRMPopulation
from drm.recurrence import Kind, Recurrence

__all__ = ["Assembly", "can_assemble"]

Rows = list[list[DRMConnection | None]]

Inlets = list[list[tuple[slice, DRMConnection]]]
"""For each population the connections from the stimuli, each with the features that it carries."""


def can_assemble(populations: Sequence[DRMPopulation], inlets: Inlets, wp: Rows) -> bool:
    """Return whether all parts compute what their base classes do, so that they can be batched.

    A subclass with its own `forward` (or `read`, `push`), and connections between populations
    without delay, must be visited one by one.

    Parameters
    ----------
    populations : sequence of DRMPopulation
    inlets : list of lists of (slice, DRMConnection)
    wp : list of lists of DRMConnection or None

    Returns
    -------
    bool
    """
    lines = [line for row in wp for line in row if line is not None]
    lines += [line for row in inlets for _, line in row]
    plain_lines = all(
        getattr(type(line), name) is getattr(DRMConnection, name)
        for line in lines
        for name in ("forward", "read", "push")
    )
    plain_populations = all(type(p).forward is DRMPopulation.forward for p in populations)
    delayed = all(min(line.lags) > 0 for row in wp for line in row if line is not None)
    return plain_lines and plain_populations and delayed


class Assembly:
    """The batched form of a network, in which units are ordered kind after kind.

    Parameters
    ----------
    populations : sequence of DRMPopulation
    inlets : list of lists of (slice, DRMConnection)
        For each population the connections from the stimuli, each with the features it carries.
    wp : list of lists of DRMConnection or None
        Connections from population to population, ``wp[target][source]``.
    n_stimulus : int
        Number of stimulus features.
    """

    def __init__(
        self,
        populations: Sequence[DRMPopulation],
        inlets: Inlets,
        wp: Rows,
        n_stimulus: int,
    ) -> None:
        self.n_stimulus = n_stimulus
        self.members: list[list[int]] = _members_of_kinds(populations)
        units: list[Tensor] = [torch.empty(0)] * len(populations)
        rows: list[Tensor] = [torch.empty(0)] * len(populations)
        kinds = []
        first_unit = first_row = 0
        for members in self.members:
            example = populations[members[0]]
            n_units = sum(populations[i].n_out for i in members)
            start = 0
            for i in members:
                own = torch.arange(start, start + populations[i].n_out)
                units[i] = first_unit + own
                drive = torch.arange(example.n_drive).unsqueeze(1)
                rows[i] = (first_row + drive * n_units + own).flatten()
                start += populations[i].n_out
            n_rows = n_units * example.n_drive
            kinds.append(
                Kind(
                    advance=example.advance,
                    n_drive=example.n_drive,
                    n_state=example.n_state,
                    n_units=n_units,
                    units=slice(first_unit, first_unit + n_units),
                    drives=slice(first_row, first_row + n_rows),
                    n_parameters=len(example.unit_parameters()),
                )
            )
            first_unit += n_units
            first_row += n_rows

        order = torch.cat(units)
        self.unit_order: Tensor | None = None if bool((order == torch.arange(order.numel())).all()) else order
        self.bias_order: Tensor = torch.argsort(torch.cat(rows))
        noisy = [rows[i] for i, p in enumerate(populations) if p.noise is not None]
        self.noisy_rows: Tensor | None = torch.cat(noisy) if noisy else None
        self._index_weights(populations, inlets, wp, units, rows)
        self.recurrence: Recurrence = Recurrence(kinds, self.edges)
        self.device: torch.device = torch.device("cpu")

    def _index_weights(
        self,
        populations: Sequence[DRMPopulation],
        inlets: Inlets,
        wp: Rows,
        units: list[Tensor],
        rows: list[Tensor],
    ) -> None:
        """Find where each entry of each population's weights belongs.

        The entries are numbered as `run` puts them side by side: those of the stimuli, and apart
        from these all others. In a plain network the others are the edges, in their order.
        """
        edges, stimuli = _Entries(), _Entries()
        self.tapped: list[DRMConnection] = []
        # Weights of features that are sums of a sender's units: they are multiplied out first.
        self.projected: list[tuple[int, slice, DRMConnection]] = []
        senders: list[int] = []
        n_shares = 1

        def taps(line: DRMConnection) -> tuple[Tensor, Tensor]:
            """Return a line's lags, and where its proportions stand among those of all lines."""
            nonlocal n_shares
            lags = torch.tensor(line.lags).view(-1, 1, 1)
            if line.coefficients() is None:
                return lags, torch.zeros_like(lags)
            self.tapped.append(line)
            n_shares += len(line.lags)
            return lags, torch.arange(n_shares - len(line.lags), n_shares).view(-1, 1, 1)

        self.inlet_widths: list[int] = [sum(line.n_out for _, line in lines) for lines in inlets]
        n_before = n_before_stimuli = 0
        for i, (population, width) in enumerate(zip(populations, self.inlet_widths, strict=True)):
            row = rows[i].unsqueeze(1)
            entry = n_before_stimuli + torch.arange(row.numel() * width).view(row.numel(), width)
            n_before_stimuli += entry.numel()
            offset = 0
            for features, line in inlets[i]:
                columns = torch.arange(self.n_stimulus)[features]
                block = entry[:, offset : offset + line.n_out]
                offset += line.n_out
                stimuli.add(block, *taps(line), row, columns)
            n_others = population.n_in - width
            entry = n_before + torch.arange(row.numel() * n_others).view(row.numel(), n_others)
            n_before += entry.numel()
            offset = 0
            here = torch.tensor(i)
            # All plain lines of a target together: a whole brain has 100,000 of them.
            plain: list[tuple[int, int, int]] = []
            for j, line in enumerate(wp[i]):
                if line is None:
                    continue
                if line.projection is not None:
                    columns = slice(width + offset, width + offset + line.n_out)
                    self.projected.append((i, columns, line))
                    senders.append(j)
                    offset += line.n_out
                    continue
                if line.coefficients() is None:
                    plain.append((offset, j, line.delay))
                else:
                    block = entry[:, offset : offset + populations[j].n_out]
                    edges.add(block, *taps(line), row, units[j], here, torch.tensor(j))
                offset += populations[j].n_out
            if plain:
                first, source, lag = torch.tensor(plain).T
                size = torch.tensor([populations[j].n_out for _, j, _ in plain])
                column = torch.cat([torch.arange(n) for n in size.tolist()])
                column += first.repeat_interleave(size)
                unit = torch.cat([units[j] for _, j, _ in plain])
                lag, source = lag.repeat_interleave(size), source.repeat_interleave(size)
                edges.add(entry[:, column], lag, torch.tensor(0), row, unit, here, source)
        for i, population in enumerate(populations):
            if population.recurrent_weights() is None:
                continue
            n_entries = rows[i].numel() * population.n_out
            block = n_before + torch.arange(n_entries).view(-1, population.n_out)
            n_before += n_entries
            lag, share, here = torch.tensor(1), torch.tensor(0), torch.tensor(i)
            edges.add(block, lag, share, rows[i].unsqueeze(1), units[i], here, here)
        for (i, _, line), j in zip(self.projected, senders, strict=True):
            n_entries = rows[i].numel() * line.n_in
            block = n_before + torch.arange(n_entries).view(-1, line.n_in)
            n_before += n_entries
            edges.add(block, *taps(line), rows[i].unsqueeze(1), units[j], torch.tensor(i), torch.tensor(j))
        self.edge_entry: Tensor | None
        self.edge_share: Tensor
        self.stimulus_entry: Tensor
        self.stimulus_share: Tensor
        self.stimulus_row: Tensor
        self.stimulus_column: Tensor
        self.stimulus_place: Tensor
        self.edge_entry, lag, self.edge_share, row, column, row_block, column_block = edges.joined(7)
        self.edges: Edges | None = None
        if row.numel():
            self.edges = Edges(row, column, lag, row_block, column_block)
        everything = torch.arange(n_before)
        if torch.equal(self.edge_entry, everything):
            self.edge_entry = None
        self.stimulus_entry, lag, self.stimulus_share, self.stimulus_row, self.stimulus_column = stimuli.joined(5)
        distinct, self.stimulus_place = torch.unique(lag, return_inverse=True)
        self.stimulus_lags: list[int] = distinct.tolist()
        self.stimulus_depth: int = max(self.stimulus_lags, default=0)

    def _shares(self, weights: Tensor) -> Tensor | None:
        """Return the proportions of all taps, after a first one of 1; None where all are 1."""
        if not self.tapped:
            return None
        found = [line.coefficients() for line in self.tapped]
        return torch.cat([weights.new_ones(1), *(x for x in found if x is not None)])

    def _to(self, device: torch.device) -> None:
        if device == self.device:
            return
        self.device = device
        names = ("bias_order", "noisy_rows", "edge_entry", "edge_share", "stimulus_entry", "stimulus_share")
        for name in (*names, "stimulus_row", "stimulus_column", "stimulus_place", "unit_order"):
            value = getattr(self, name)
            setattr(self, name, None if value is None else value.to(device))

    def initial_memory(self, populations: Sequence[DRMPopulation], batch: int) -> tuple[Tensor, ...]:
        """Return what is remembered before the first tick.

        Parameters
        ----------
        populations : sequence of DRMPopulation
        batch : int

        Returns
        -------
        tuple of Tensor
            Past stimuli (tick, batch, feature), past outputs (tick, unit, batch), and the state
            of each kind (n_state, unit, batch).
        """
        like = populations[0].weight
        recurrence = self.recurrence
        return (
            like.new_zeros(self.stimulus_depth, batch, self.n_stimulus),
            like.new_zeros(recurrence.depth, recurrence.n_units, batch),
            *(torch.cat([populations[i].initial_state(batch) for i in members], dim=1) for members in self.members),
        )

    def run(
        self,
        populations: Sequence[DRMPopulation],
        stimulus: Tensor,
        memory: tuple[Tensor, ...],
        noise: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the activity of all populations over time, and what is remembered after it.

        Parameters
        ----------
        populations : sequence of DRMPopulation
        stimulus : Tensor, shape (time, batch, feature)
        memory : tuple of Tensor
            What `initial_memory` or the call before gave.
        noise : Tensor of shape (time, batch, drive), optional
            Standard normal numbers for the drives of all populations with noise.

        Returns
        -------
        activity : Tensor, shape (time, batch, unit)
            In the order of the populations.
        memory : tuple of Tensor
        """
        self._to(stimulus.device)
        past_stimulus, history, *states = memory
        own = [p.input_weights() for p in populations]
        recurrent = [p.recurrent_weights() for p in populations]
        multiplied = [
            own[i][:, columns] @ projection
            for i, columns, line in self.projected
            if (projection := line.projection) is not None
        ]
        parts = [
            block.split([width, block.shape[1] - width], dim=1)
            for block, width in zip(own, self.inlet_widths, strict=True)
        ]
        others = [*(part for _, part in parts), *(block for block in recurrent if block is not None), *multiplied]
        edge_weights = torch.cat([block.flatten() for block in others])
        stimulus_weights = torch.cat([part.flatten() for part, _ in parts])
        seen = torch.cat([past_stimulus, stimulus])
        n_ticks = stimulus.shape[0]
        shares = self._shares(edge_weights)
        stimulus_weights = stimulus_weights[self.stimulus_entry]
        if self.edge_entry is not None:
            edge_weights = edge_weights[self.edge_entry]
        if shares is not None:
            edge_weights = edge_weights * shares[self.edge_share]
            stimulus_weights = stimulus_weights * shares[self.stimulus_share]
        drive = self._external(populations, stimulus_weights, seen, n_ticks)
        if noise is not None and self.noisy_rows is not None:
            scales = [scale for p in populations if (scale := p.noise_scale()) is not None]
            drive = drive.index_add(1, self.noisy_rows, (noise * torch.cat(scales)).transpose(1, 2))
        parameters = []
        for members in self.members:
            each = [populations[i].unit_parameters() for i in members]
            parameters += [torch.cat(same) for same in zip(*each, strict=True)]
        output, after = self.recurrence(drive, edge_weights, history, tuple(states), tuple(parameters))
        history = torch.cat([history, output[-self.recurrence.depth :]])[-self.recurrence.depth :]
        past_stimulus = seen[n_ticks:]
        if self.unit_order is not None:
            output = output.index_select(1, self.unit_order)
        # Side by side, as readouts need it: their products are then one, without another copy.
        return output.transpose(1, 2).contiguous(), (past_stimulus, history, *after)

    def _external(
        self,
        populations: Sequence[DRMPopulation],
        weights: Tensor,
        seen: Tensor,
        n_ticks: int,
    ) -> Tensor:
        """Return bias and stimulus, for all ticks at once (time, row, batch)."""
        bias = torch.cat([p.drive_bias() for p in populations])[self.bias_order]
        drive = bias.unsqueeze(-1)
        if not self.stimulus_lags:
            return drive.repeat(n_ticks, 1, seen.shape[1])
        n_lags = len(self.stimulus_lags)
        matrices = weights.new_zeros(n_lags, self.recurrence.n_rows, self.n_stimulus)
        place = (self.stimulus_place, self.stimulus_row, self.stimulus_column)
        matrices = matrices.index_put(place, weights, accumulate=True)
        for matrix, lag in zip(matrices, self.stimulus_lags, strict=True):
            start = self.stimulus_depth - lag
            arriving = seen[start : start + n_ticks].transpose(1, 2)
            drive = torch.baddbmm(drive.expand(n_ticks, -1, -1), matrix.expand(n_ticks, -1, -1), arriving)
        return drive


class _Entries:
    """Columns of indices, collected block after block."""

    def __init__(self) -> None:
        self.rows: list[tuple[Tensor, ...]] = []

    def add(self, *fields: Tensor) -> None:
        """Add a block: fields that are broadcast with one another."""
        self.rows.append(tuple(x.flatten() for x in torch.broadcast_tensors(*fields)))

    def joined(self, n_fields: int) -> list[Tensor]:
        """Return all blocks' values of each field."""
        empty = torch.empty(0, dtype=torch.long)
        columns = zip(*self.rows, strict=True) if self.rows else [()] * n_fields
        return [torch.cat([empty, *column]) for column in columns]


def _members_of_kinds(populations: Sequence[DRMPopulation]) -> list[list[int]]:
    """Return the populations of each kind: those that share their dynamics."""
    kinds: dict[tuple[object, int, int], list[int]] = {}
    for index, population in enumerate(populations):
        key = (population.advance, population.n_drive, population.n_state)
        kinds.setdefault(key, []).append(index)
    return list(kinds.values())
