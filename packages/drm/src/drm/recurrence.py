"""The recurrent loop over time, and its exact gradient by the adjoint equations."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from drm.coupling import Edges, LaggedProduct

__all__ = ["Kind", "Recurrence"]

# How many derivatives are held at once on the way back.
_HELD = 1 << 22

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
    Nothing that was gathered is kept, and the dynamics are linearised for a few ticks at a time, so
    that memory grows with units and ticks, a handful of numbers for each, and not with edges.

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
            What drives the units from outside. What arrives from other units is added to it in
            place.
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
        # A compiler would write out every tick, minutes of work for nothing: ticks wait for one another.
        simulate: Callable[..., tuple[Tensor, ...]] = _simulate
        if torch.compiler.is_compiling():
            simulate = torch.compiler.disable(_simulate)  # pyright: ignore[reportAssignmentType]
        output, *after = simulate(self, drive, weights, history, *states, *parameters)
        return output[history.shape[0] :], tuple(after[: len(self.kinds)])

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
        return _stretches(n_ticks, self.block or n_ticks)

    def chunks(self, n_ticks: int, batch: int) -> list[tuple[int, int]]:
        """Return start and length of the stretches of ticks for which derivatives are held at once.

        Parameters
        ----------
        n_ticks, batch : int

        Returns
        -------
        list of (int, int)
            Each is several of the `blocks`, without blocks as many ticks as may be held.
        """
        n_values = sum(k.n_units * (1 + k.n_state) * (k.n_drive + k.n_state) for k in self.kinds)
        size = max(1, _HELD // (n_values * batch))
        if self.block:
            size = max(1, size // self.block) * self.block
        return _stretches(n_ticks, size)


def _stretches(n_ticks: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(size, n_ticks - start)) for start in range(0, n_ticks, size)]


def _by_kind(kind: Kind, drive: Tensor) -> Tensor:
    """Return the kind's rows of the drive (time, row, batch) as (time, n_drive, unit, batch)."""
    n_ticks, _, batch = drive.shape
    return drive[:, kind.drives].view(n_ticks, kind.n_drive, kind.n_units, batch)


class _Course:
    """The course of all units of a kind over time, computed from their drive stretch by stretch.

    Parameters
    ----------
    kind : Kind
    parameters : tuple of Tensor
    drive : Tensor, shape (time, n_drive, unit, batch)
        Read once everything has been added to it.
    output : Tensor, shape (time, unit, batch)
        Written.
    state : Tensor, shape (n_state, unit, batch)
        Before the first tick.
    """

    def __init__(
        self, kind: Kind, parameters: tuple[Tensor, ...], drive: Tensor, output: Tensor, state: Tensor
    ) -> None:
        self.kind = kind
        self.parameters = parameters
        self.drive = drive
        self.output = output
        # The states before each tick, and one more after the last.
        self.track: Tensor = state.unsqueeze(0)
        if kind.n_state:
            self.track = drive.new_empty(len(drive) + 1, *state.shape)
            self.track[0] = state

    @cached_property
    def ticks(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """One view for each tick, made once: to make them one by one takes as long as the dynamics do."""
        states = list(self.track.unbind(0)) if self.kind.n_state else [self.track[0]] * (len(self.drive) + 1)
        return list(zip(self.drive.unbind(0), self.output.unbind(0), states[:-1], states[1:], strict=True))

    def run(self, start: int, length: int) -> None:
        """Compute output and state of a stretch of ticks."""
        advance = self.kind.advance
        if self.kind.n_state == 0 and length > 1:
            stretch = slice(start, start + length)
            self.output[stretch] = advance(self.drive[stretch], self.track, self.parameters)[0]
            return
        for drive, output, before, after in self.ticks[start : start + length]:
            result, state = advance(drive, before, self.parameters)
            output.copy_(result)
            if self.kind.n_state:
                after.copy_(state)


class _Return:
    """The way back over a chunk of a kind's course: from the output's gradient to the drive's.

    Parameters
    ----------
    kind : Kind
    parameters : tuple of Tensor
    drive, state : Tensor, shape (time, n_drive or n_state, unit, batch)
        What each tick of the chunk started from.
    g_output : Tensor, shape (time, unit, batch)
        The output's gradient; read once everything has been added to it.
    g_drive : Tensor, shape (time, n_drive, unit, batch)
        Written.
    g_state : Tensor, shape (n_state, unit, batch)
        The gradient of the state after the last tick; in the end of that before the first.
    """

    def __init__(
        self,
        kind: Kind,
        parameters: tuple[Tensor, ...],
        drive: Tensor,
        state: Tensor,
        g_output: Tensor,
        g_drive: Tensor,
        g_state: Tensor,
    ) -> None:
        self.kind = kind
        self.graph: _Linearised = _linearise(kind, drive, state, parameters)
        self.g_output = g_output
        self.g_drive = g_drive
        self.g_state = g_state
        self.g_after: Tensor = drive.new_empty(len(drive), *g_state.shape)

    @cached_property
    def ticks(self) -> list[tuple[Tensor, ...]]:
        """One view for each tick, made once."""
        views = (self.graph.jacobian, self.g_output, self.g_drive, self.g_after)
        return list(zip(*(x.unbind(0) for x in views), strict=True))

    def run(self, start: int, length: int) -> None:
        """Compute the gradients of drive and state for a stretch of ticks."""
        if self.kind.n_state == 0:
            stretch = slice(start, start + length)
            torch.mul(self.graph.jacobian[stretch, 0], self.g_output[stretch].unsqueeze(1), out=self.g_drive[stretch])
            return
        n_drive = self.kind.n_drive
        for jacobian, g_output, g_drive, g_after in reversed(self.ticks[start : start + length]):
            g_after.copy_(self.g_state)
            g_results = torch.cat([g_output.unsqueeze(0), self.g_state])
            g_inputs = (jacobian * g_results.unsqueeze(1)).sum(0)
            g_drive.copy_(g_inputs[:n_drive])
            self.g_state = g_inputs[n_drive:]

    def parameter_gradients(self) -> list[Tensor | None]:
        """Return the gradients of the dynamics' parameters, once all ticks have been run."""
        return self.graph.parameter_gradients(self.g_output, self.g_after)


class _Simulate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, plan: Recurrence, drive, weights, history, *rest):  # pyright: ignore
        n_ticks, _, batch = drive.shape
        states = rest[: len(plan.kinds)]
        parameters = plan.split(rest[len(plan.kinds) :])
        depth = history.shape[0]
        output = drive.new_empty(depth + n_ticks, plan.n_units, batch)
        output[:depth] = history
        couple = None if plan.product is None else plan.product.on(output, plan.product.pack(weights), drive)
        courses = [
            _Course(kind, own, _by_kind(kind, drive), output[depth:, kind.units], state)
            for kind, own, state in zip(plan.kinds, parameters, states, strict=True)
        ]
        for start, length in plan.blocks(n_ticks):
            if couple is not None:
                couple(start, length)
            for course in courses:
                course.run(start, length)
        ctx.plan, ctx.depth = plan, depth
        tracks = [course.track for course in courses]
        ctx.save_for_backward(drive, weights, output, *tracks, *rest[len(plan.kinds) :])
        final = [track[-1].clone() for track in tracks]
        if couple is None:
            return output, *final
        # What is changed in place must be among the results, though nobody uses it.
        ctx.mark_dirty(drive)
        ctx.set_materialize_grads(False)
        return output, *final, drive

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):  # pyright: ignore
        plan: Recurrence = ctx.plan
        depth: int = ctx.depth
        drive, weights, output, *rest = ctx.saved_tensors
        tracks = rest[: len(plan.kinds)]
        parameters = plan.split(tuple(rest[len(plan.kinds) :]))
        n_ticks, n_rows, batch = drive.shape
        g_whole, *g_state_of = (
            torch.zeros_like(result) if gradient is None else gradient
            for gradient, result in zip(gradients, [output, *(track[-1] for track in tracks)], strict=False)
        )

        # Zeros on both sides: before the start there is only history, after the end nothing.
        received = drive.new_zeros(depth + n_ticks + depth, n_rows, batch)
        adjoint = received[depth : depth + n_ticks]
        g_output = g_whole[depth:].clone(memory_format=torch.contiguous_format)
        packed = weights if plan.adjoint is None else plan.adjoint.pack(weights)
        couple_back = None if plan.adjoint is None else plan.adjoint.on(received, packed, g_output)
        g_parameters: list[list[Tensor | None]] = [[None] * kind.n_parameters for kind in plan.kinds]
        for begin, size in reversed(plan.chunks(n_ticks, batch)):
            chunk = slice(begin, begin + size)
            returns = [
                _Return(
                    kind,
                    own,
                    _by_kind(kind, drive[chunk]),
                    track[chunk] if kind.n_state else track.expand(size, -1, -1, -1),
                    g_output[chunk, kind.units],
                    _by_kind(kind, adjoint[chunk]),
                    g_state,
                )
                for kind, own, track, g_state in zip(plan.kinds, parameters, tracks, g_state_of, strict=True)
            ]
            for start, length in reversed(plan.blocks(size)):
                if couple_back is not None:
                    couple_back(begin + start, length)
                for back in returns:
                    back.run(start, length)
            g_state_of = [back.g_state for back in returns]
            for k, back in enumerate(returns):
                g_parameters[k] = _summed(g_parameters[k], back.parameter_gradients())

        needed = ctx.needs_input_grad
        g_weights = None
        if needed[2] and plan.product is not None:
            g_weights = plan.product.weight_gradient(output, adjoint)
        g_history = None
        if needed[3]:
            g_history = g_whole[:depth].clone(memory_format=torch.contiguous_format)
            if plan.adjoint is not None:
                plan.adjoint.on(received, packed, g_history, -depth)(0, depth)
        return None, adjoint, g_weights, g_history, *g_state_of, *(g for own in g_parameters for g in own)


def _simulate(*arguments: Any) -> tuple[Tensor, ...]:
    return _Simulate.apply(*arguments)  # pyright: ignore[reportReturnType]


def _summed(first: list[Tensor | None], second: list[Tensor | None]) -> list[Tensor | None]:
    pairs = zip(first, second, strict=True)
    return [b if a is None else a if b is None else a + b for a, b in pairs]


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
