"""A network's populations and connections as the arrays of one batched recurrence."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from drm.connection import DRMConnection
from drm.coupling import Edges
from drm.population import DRMPopulation
from drm.recurrence import Kind, Recurrence

__all__ = ["Assembly", "can_assemble"]

Rows = list[list[DRMConnection | None]]
T = TypeVar("T")


def can_assemble(populations: Sequence[DRMPopulation], ws: Sequence[DRMConnection | None], wp: Rows) -> bool:
    """Return whether all parts compute what their base classes do, so that they can be batched.

    A subclass with its own `forward` (or `read`, `push`), and connections between populations
    without delay, must be visited one by one.

    Parameters
    ----------
    populations : sequence of DRMPopulation
    ws : sequence of DRMConnection or None
    wp : list of lists of DRMConnection or None

    Returns
    -------
    bool
    """
    lines = [line for row in [list(ws), *wp] for line in row if line is not None]
    plain_lines = all(
        getattr(type(line), name) is getattr(DRMConnection, name)
        for line in lines
        for name in ("forward", "read", "push")
    )
    plain_populations = all(type(p).forward is DRMPopulation.forward for p in populations)
    delayed = all(line.delay > 0 for row in wp for line in row if line is not None)
    return plain_lines and plain_populations and delayed


class Assembly:
    """The batched form of a network, in which units are ordered kind after kind.

    Parameters
    ----------
    populations : sequence of DRMPopulation
    ws : sequence of DRMConnection or None
        Connections from the stimulus.
    wp : list of lists of DRMConnection or None
        Connections from population to population, ``wp[target][source]``.
    n_stimulus : int
        Number of stimulus features.
    """

    def __init__(
        self,
        populations: Sequence[DRMPopulation],
        ws: Sequence[DRMConnection | None],
        wp: Rows,
        n_stimulus: int,
    ) -> None:
        self.n_stimulus = n_stimulus
        self.members = _members_of_kinds(populations)
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
        self.unit_order = None if bool((order == torch.arange(order.numel())).all()) else order
        self.bias_order = torch.argsort(torch.cat(rows))
        self._index_weights(populations, ws, wp, units, rows)
        edges = None if self.edge_entry.numel() == 0 else self.edges
        self.recurrence = Recurrence(kinds, edges)
        self.device = torch.device("cpu")

    def _index_weights(
        self,
        populations: Sequence[DRMPopulation],
        ws: Sequence[DRMConnection | None],
        wp: Rows,
        units: list[Tensor],
        rows: list[Tensor],
    ) -> None:
        """Find where each entry of each population's weights belongs."""
        empty = torch.empty(0, dtype=torch.long)
        edge_fields: list[list[Tensor]] = [[empty] for _ in range(6)]
        stimulus_fields: list[list[Tensor]] = [[empty] for _ in range(4)]
        n_before = 0
        for i, population in enumerate(populations):
            row = rows[i].unsqueeze(1)
            n_entries = row.numel() * population.n_in
            entry = n_before + torch.arange(n_entries).view(-1, population.n_in)
            n_before += n_entries
            offset = 0
            line = ws[i]
            if line is not None:
                block = entry[:, : self.n_stimulus]
                feature = torch.arange(self.n_stimulus)
                fields = (block, torch.tensor(line.delay), row, feature)
                for field, value in zip(stimulus_fields, fields, strict=True):
                    field.append(value.expand_as(block).flatten())
                offset = self.n_stimulus
            for j, line in enumerate(wp[i]):
                if line is None:
                    continue
                block = entry[:, offset : offset + populations[j].n_out]
                offset += populations[j].n_out
                fields = (
                    block,
                    row,
                    units[j],
                    torch.tensor(line.delay),
                    torch.tensor(i),
                    torch.tensor(j),
                )
                for field, value in zip(edge_fields, fields, strict=True):
                    field.append(value.expand_as(block).flatten())
        for i, population in enumerate(populations):
            if population.recurrent_weights() is None:
                continue
            n_entries = rows[i].numel() * population.n_out
            block = n_before + torch.arange(n_entries).view(-1, population.n_out)
            n_before += n_entries
            here = torch.tensor(i)
            fields = (block, rows[i].unsqueeze(1), units[i], torch.tensor(1), here, here)
            for field, value in zip(edge_fields, fields, strict=True):
                field.append(value.expand_as(block).flatten())
        self.edge_entry, *edge_columns = (torch.cat(field) for field in edge_fields)
        self.edges = Edges(*edge_columns)
        self.stimulus_entry, lag, self.stimulus_row, self.stimulus_column = (
            torch.cat(field) for field in stimulus_fields
        )
        distinct, self.stimulus_place = torch.unique(lag, return_inverse=True)
        self.stimulus_lags: list[int] = distinct.tolist()
        self.stimulus_depth = max(self.stimulus_lags, default=0)

    def _to(self, device: torch.device) -> None:
        if device == self.device:
            return
        self.device = device
        names = ("bias_order", "edge_entry", "stimulus_entry", "stimulus_row")
        for name in (*names, "stimulus_column", "stimulus_place", "unit_order"):
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
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the activity of all populations over time, and what is remembered after it.

        Parameters
        ----------
        populations : sequence of DRMPopulation
        stimulus : Tensor, shape (time, batch, feature)
        memory : tuple of Tensor
            What `initial_memory` or the call before gave.

        Returns
        -------
        activity : Tensor, shape (time, batch, unit)
            In the order of the populations.
        memory : tuple of Tensor
        """
        self._to(stimulus.device)
        past_stimulus, history, *states = memory
        recurrent = [p.recurrent_weights() for p in populations]
        weights = torch.cat(
            [p.input_weights().flatten() for p in populations] + [own.flatten() for own in recurrent if own is not None]
        )
        seen = torch.cat([past_stimulus, stimulus])
        n_ticks = stimulus.shape[0]
        drive = self._external(populations, weights, seen, n_ticks)
        parameters = []
        for members in self.members:
            each = [populations[i].unit_parameters() for i in members]
            parameters += [torch.cat(same) for same in zip(*each, strict=True)]
        output, after = self.recurrence(drive, weights[self.edge_entry], history, tuple(states), tuple(parameters))
        history = torch.cat([history, output[-self.recurrence.depth :]])[-self.recurrence.depth :]
        past_stimulus = seen[n_ticks:]
        if self.unit_order is not None:
            output = output.index_select(1, self.unit_order)
        return output.transpose(1, 2), (past_stimulus, history, *after)

    def _external(
        self,
        populations: Sequence[DRMPopulation],
        weights: Tensor,
        seen: Tensor,
        n_ticks: int,
    ) -> Tensor:
        """Return bias and stimulus, for all ticks at once (time, row, batch)."""
        bias = torch.cat([p.drive_bias() for p in populations])[self.bias_order]
        drive = bias.unsqueeze(-1).expand(n_ticks, -1, seen.shape[1])
        if not self.stimulus_lags:
            return drive
        n_lags = len(self.stimulus_lags)
        matrices = weights.new_zeros(n_lags, self.recurrence.n_rows, self.n_stimulus)
        place = (self.stimulus_place, self.stimulus_row, self.stimulus_column)
        matrices = matrices.index_put(place, weights[self.stimulus_entry])
        for matrix, lag in zip(matrices, self.stimulus_lags, strict=True):
            start = self.stimulus_depth - lag
            drive = drive + matrix @ seen[start : start + n_ticks].transpose(1, 2)
        return drive


def _members_of_kinds(populations: Sequence[DRMPopulation]) -> list[list[int]]:
    """Return the populations of each kind: those that share their dynamics."""
    kinds: dict[tuple[object, int, int], list[int]] = {}
    for index, population in enumerate(populations):
        key = (population.advance, population.n_drive, population.n_state)
        kinds.setdefault(key, []).append(index)
    return list(kinds.values())
