"""The recurrent loop over time, and its exact gradient by the adjoint equations."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from drm.coupling import Edges, LaggedProduct

__all__ = ["Kind", "Recurrence"]

Advance = Callable[[Tensor, Tensor, tuple[Tensor, ...]], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Kind:
    """All units of one kind: the same dynamics, side by side.

    Attributes
    ----------
    advance : callable
        The dynamics, as `DRMPopulation.advance`.
    n_drive, n_state, n_units : int
        Number of drives and of states of a unit, and of units.
    units, drives : slice
        Where the kind's units and its rows of the drive lie, drive after drive.
    n_parameters : int
        Number of the dynamics' parameters.
    """

    advance: Advance
    n_drive: int
    n_state: int
    n_units: int
    units: slice
    drives: slice
    n_parameters: int


class Recurrence:
    """A delayed recurrent network as one differentiable function of whole stretches of time.

    When every delay is at least m ticks, m ticks are computed at once: they depend on nothing but
    the past. Memoryless kinds have their dynamics computed for all m too.

    The gradient is that of the adjoint equations, run backwards over time with the same batched
    products; the gradient of the weights is computed after the loop, for many ticks at once.
    Nothing that was gathered is kept, so that memory grows with units and ticks, not with edges.

    Parameters
    ----------
    kinds : list of Kind
    edges : Edges or None
        None when no population receives from another.
    """

    def __init__(self, kinds: list[Kind], edges: Edges | None) -> None:
        self.kinds = kinds
        self.n_units: int = sum(kind.n_units for kind in kinds)
        self.n_rows: int = sum(kind.n_units * kind.n_drive for kind in kinds)
        self.edges = edges
        self.depth: int = 1 if edges is None else int(edges.lag.max())
        self.block: int = 0 if edges is None else int(edges.lag.min())
        self.product: LaggedProduct | None = None
        self.adjoint: LaggedProduct | None = None
        if edges is not None:
            self.product = LaggedProduct(edges, n_rows=self.n_rows, n_columns=self.n_units, shift=-1, origin=self.depth)
            # The adjoint's buffer starts `depth` ticks early too, for the history's own gradient.
            self.adjoint = LaggedProduct(
                edges.reversed(),
                n_rows=self.n_units,
                n_columns=self.n_rows,
                shift=1,
                origin=self.depth,
            )

    def __call__(
        self,
        drive: Tensor,
        weights: Tensor,
        history: Tensor,
        states: tuple[Tensor, ...],
        parameters: tuple[Tensor, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the output of all units over time, and the state after the last tick.

        Parameters
        ----------
        drive : Tensor, shape (time, row, batch)
            What drives the units from outside.
        weights : Tensor, shape (weight,)
            The edges' weights.
        history : Tensor, shape (depth, unit, batch)
            Output of the ticks before.
        states : tuple of Tensor, each of shape (n_state, unit of the kind, batch)
            The state after the tick before, for each kind.
        parameters : tuple of Tensor, each of shape (unit of the kind, 1)
            The dynamics' parameters, kind after kind.

        Returns
        -------
        output : Tensor, shape (time, unit, batch)
        states : tuple of Tensor
        """
        for product in (self.product, self.adjoint):
            if product is not None:
                product.to(drive.device)
        output, *after = _Simulate.apply(  # pyright: ignore[reportGeneralTypeIssues]
            self, drive, weights, history, *states, *parameters
        )
        return output, tuple(after)

    def split(self, parameters: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
        """Return the parameters of each kind.

        Parameters
        ----------
        parameters : tuple of Tensor
            The parameters, kind after kind.

        Returns
        -------
        list of tuple of Tensor
        """
        found, start = [], 0
        for kind in self.kinds:
            found.append(parameters[start : start + kind.n_parameters])
            start += kind.n_parameters
        return found

    def blocks(self, n_ticks: int) -> list[tuple[int, int]]:
        """Return start and length of the stretches of ticks that are computed at once.

        Parameters
        ----------
        n_ticks : int

        Returns
        -------
        list of (int, int)
        """
        size = self.block or n_ticks
        return [(start, min(size, n_ticks - start)) for start in range(0, n_ticks, size)]


def _by_kind(kind: Kind, drive: Tensor) -> Tensor:
    """Return the kind's rows of the drive (time, row, batch) as (time, n_drive, unit, batch)."""
    n_ticks, _, batch = drive.shape
    return drive[:, kind.drives].view(n_ticks, kind.n_drive, kind.n_units, batch)


class _Simulate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, plan: Recurrence, drive, weights, history, *rest):  # pyright: ignore
        n_ticks, _, batch = drive.shape
        states = rest[: len(plan.kinds)]
        parameters = plan.split(rest[len(plan.kinds) :])
        depth = history.shape[0]
        output = drive.new_empty(depth + n_ticks, plan.n_units, batch)
        output[:depth] = history
        drive = drive.clone()
        couple = None if plan.product is None else plan.product.on(output, weights)
        # The states before each tick, and one more after the last.
        tracks = [drive.new_empty(n_ticks + 1, kind.n_state, kind.n_units, batch) for kind in plan.kinds]
        for track, state in zip(tracks, states, strict=True):
            track[0] = state
        for start, length in plan.blocks(n_ticks):
            stretch = slice(start, start + length)
            if couple is not None:
                couple(drive[stretch], start)
            for kind, track, own in zip(plan.kinds, tracks, parameters, strict=True):
                summed = _by_kind(kind, drive[stretch])
                if kind.n_state == 0:
                    result, _ = kind.advance(summed, track, own)
                    output[depth + start : depth + start + length, kind.units] = result
                    continue
                for tick in range(length):
                    result, after = kind.advance(summed[tick], track[start + tick], own)
                    output[depth + start + tick, kind.units] = result
                    track[start + tick + 1] = after
        ctx.plan, ctx.depth = plan, depth
        ctx.save_for_backward(drive, weights, output, *tracks, *rest[len(plan.kinds) :])
        final = tuple(
            state.clone() if kind.n_state == 0 else track[-1].clone()
            for kind, track, state in zip(plan.kinds, tracks, states, strict=True)
        )
        return output[depth:].clone(), *final

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):  # pyright: ignore
        plan: Recurrence = ctx.plan
        depth: int = ctx.depth
        g_output, *g_states = gradients
        drive, weights, output, *rest = ctx.saved_tensors
        tracks = rest[: len(plan.kinds)]
        parameters = plan.split(tuple(rest[len(plan.kinds) :]))
        n_ticks, n_rows, batch = drive.shape

        graphs = [
            _linearise(kind, _by_kind(kind, drive), track[:-1], own)
            for kind, track, own in zip(plan.kinds, tracks, parameters, strict=True)
        ]
        # Zeros on both sides: before the start there is only history, after the end nothing.
        received = drive.new_zeros(depth + n_ticks + depth, n_rows, batch)
        g_output = g_output.clone(memory_format=torch.contiguous_format)
        couple_back = None if plan.adjoint is None else plan.adjoint.on(received, weights)
        g_tracks = [
            [drive.new_empty(n_ticks, kind.n_state, kind.n_units, batch), g_state]
            for kind, g_state in zip(plan.kinds, g_states, strict=True)
        ]
        for start, length in reversed(plan.blocks(n_ticks)):
            stretch = slice(start, start + length)
            if couple_back is not None:
                couple_back(g_output[stretch], start)
            for kind, graph, g_track in zip(plan.kinds, graphs, g_tracks, strict=True):
                into = received[depth + start : depth + start + length, kind.drives]
                g_own = g_output[stretch, kind.units]
                if kind.n_state == 0:
                    result = graph.jacobian[stretch, 0] * g_own.unsqueeze(1)
                    into.copy_(result.view(length, -1, batch))
                    continue
                g_state = g_track[1]
                for tick in reversed(range(length)):
                    g_track[0][start + tick] = g_state
                    g_results = torch.cat([g_own[tick].unsqueeze(0), g_state])
                    jacobian = graph.jacobian[start + tick]
                    g_inputs = (jacobian * g_results.unsqueeze(1)).sum(0)
                    into[tick] = g_inputs[: kind.n_drive].flatten(0, 1)
                    g_state = g_inputs[kind.n_drive :]
                g_track[1] = g_state

        adjoint = received[depth : depth + n_ticks]
        needed = ctx.needs_input_grad
        g_weights = None
        if needed[2] and plan.product is not None:
            g_weights = plan.product.weight_gradient(output, adjoint)
        g_history = None
        if needed[3]:
            g_history = torch.zeros_like(output[:depth])
            if couple_back is not None:
                couple_back(g_history, -depth)
        g_parameters = []
        for kind, graph, g_track in zip(plan.kinds, graphs, g_tracks, strict=True):
            g_parameters += graph.parameter_gradients(g_output[:, kind.units], g_track[0])
        return None, adjoint, g_weights, g_history, *(g[1] for g in g_tracks), *g_parameters


@dataclass(frozen=True)
class _Linearised:
    """The dynamics of one kind around the path that was taken.

    `jacobian` (time, 1 + n_state results, n_drive + n_state inputs, unit, batch).
    """

    jacobian: Tensor
    results: tuple[Tensor, Tensor]
    parameters: tuple[Tensor, ...]

    def parameter_gradients(self, g_output: Tensor, g_state: Tensor) -> list[Tensor | None]:
        learned = [p for p in self.parameters if p.requires_grad]
        if not learned:
            return [None] * len(self.parameters)
        results, gradients = [], []
        for result, gradient in zip(self.results, (g_output, g_state), strict=True):
            if result.requires_grad:
                results.append(result)
                gradients.append(gradient)
        found = iter(torch.autograd.grad(results, learned, gradients, allow_unused=True))
        return [next(found) if p.requires_grad else None for p in self.parameters]


def _linearise(kind: Kind, drive: Tensor, state: Tensor, parameters: tuple[Tensor, ...]) -> _Linearised:
    # A unit's results depend on its own inputs at its own tick only: one pass of reverse mode for
    # each result gives the derivatives of all units at all ticks.
    with torch.enable_grad():
        drive = drive.detach().requires_grad_()
        state = state.detach().requires_grad_()
        own = tuple(p.detach().requires_grad_(p.requires_grad) for p in parameters)
        output, after = kind.advance(drive, state, own)
        rows = []
        for result in (output, *after.unbind(1)):
            if result.requires_grad:
                g_drive, g_state = torch.autograd.grad(
                    result,
                    (drive, state),
                    torch.ones_like(result),
                    retain_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
            else:
                g_drive, g_state = torch.zeros_like(drive), torch.zeros_like(state)
            rows.append(torch.cat([g_drive, g_state], dim=1))
    return _Linearised(torch.stack(rows, dim=1), (output, after), own)
