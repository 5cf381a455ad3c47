"""From samples with times to what happens at each tick."""

import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import torch

from drm.ticks import Ticks

__all__ = ["Between", "DRMIterator", "Duplicates", "bin_samples", "events_to_samples"]

Duplicates = Literal["error", "mean", "last"]
Between = Literal["zero", "hold", "linear"]

# Milliseconds: twice as long as a haemodynamic response lasts.
_LONGEST_SILENCE = 60_000.0


class DRMIterator(Ticks):
    """What happens at each tick: the stimulus and, where there was one, the measurement.

    Samples with their own times and rates are put on one grid of ticks, tick k lying at
    ``k * resolution`` milliseconds. Where there is no stimulus it is zero; where there is no
    measurement or confound it is NaN. Time runs from 0 to the last stimulus or measurement.

    A recording (two axes) is cut into `batch_size` stretches of `n_batches` ticks that are run
    side by side, each from the initial state; the last is filled up with zeros and NaN. Recordings
    of several subjects or trials (three axes) are run side by side as they are.

    Parameters
    ----------
    resolution : float
        Length of a tick in milliseconds.
    stimulus : array, shape (sample, feature) or (sample, batch, feature); or mapping of str to these; or None
        Finite. A mapping holds several named stimuli, each with its own times; their features are
        put side by side in its order. So it is with response and confounds. None for networks that
        receive no stimulus: time then runs to the last response.
    stim_time : array, shape (sample,); or mapping of str to these
        Times of the stimulus samples in milliseconds, from 0 on, in any order.
    response : array, shape (sample, measurement) or (sample, batch, measurement), optional; or mapping
        Measurements; NaN where one is missing. The names are those of a `drm.JointReadout`.
    resp_time : array, shape (sample,), optional; or mapping
        Times of the measurements in milliseconds.
    batch_size : int, default 1
        Number of stretches; for three axes the size of the second axis, and need not be given.
    n_batches : int, optional
        Number of ticks of each stretch. By default as many as take in all ticks; if smaller, only
        the first ``batch_size * n_batches`` ticks are used.
    confounds : array, shape (sample, confound) or (sample, batch, confound), optional
        Confounds; NaN where missing.
    confound_time : array, shape (sample,), optional
        Times of the confounds in milliseconds.
    duplicates : {"error", "mean", "last"}, default "error"
        What to do with two samples in one tick.
    between : {"zero", "hold", "linear"}, default "zero"
        The stimulus at ticks between its samples: none, that of the sample before, or in
        proportion to the distance from the samples on both sides. Before the first sample and
        (but for "hold") after the last there is none.
    mark_missing : bool, default False
        Whether each stimulus gets one more feature, which is 1 at ticks where it is missing and 0
        elsewhere: a zero alone does not tell a dark screen from a stimulus that nobody recorded.
        NaN then stand for missing samples.
    dtype : torch.dtype, optional
        Of the tensors given; torch's default type when not given.
    device : torch.device or str, optional
        Of the tensors given.

    Attributes
    ----------
    streams : dict
        For stimulus, response and confounds where each named stream stands among the features.

    Raises
    ------
    ValueError
        If shapes or times do not fit, a time is negative or not finite, two samples fall in one
        tick (with ``duplicates="error"``), the stimulus is not finite, no measurement falls in the
        ticks that are used, or the responses end before the first stimulus or begin more than a
        minute after the last.

    Examples
    --------
    >>> items = DRMIterator(
    ...     10.0, stimulus=[[1.0], [2.0]], stim_time=[0, 10], response=[[5.0]], resp_time=[20]
    ... )
    >>> for item in items:
    ...     print(item["stimulus"].item(), item["response"].item(), items.is_final())
    1.0 nan False
    2.0 nan False
    0.0 5.0 True
    """

    def __init__(
        self,
        resolution: float,
        stimulus: Any,
        stim_time: Any,
        response: Any = None,
        resp_time: Any = None,
        batch_size: int | None = None,
        n_batches: int | None = None,
        *,
        confounds: Any = None,
        confound_time: Any = None,
        duplicates: Duplicates = "error",
        between: Between = "zero",
        mark_missing: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if not (resolution > 0 and math.isfinite(resolution)):
            raise ValueError(f"The resolution must be above 0 ms, got {resolution}.")
        if between not in get_args(Between):
            raise ValueError(f"between must be one of {get_args(Between)}, got {between!r}.")
        resolution = float(resolution)
        given = {
            **_named("stimulus", stimulus, stim_time),
            **_named("response", response, resp_time),
            **_named("confounds", confounds, confound_time),
        }
        found: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
        for (kind, name), (values, times) in given.items():
            stream = _stream(kind if kind == name else f"{kind} {name!r}", values, times, resolution)
            if stream is not None:
                found[kind, name] = stream
        stimuli = [stream for (kind, _), stream in found.items() if kind == "stimulus"]
        responses = [stream for (kind, _), stream in found.items() if kind == "response"]
        if not stimuli and not responses:
            raise ValueError("A stimulus or a response is needed.")
        if mark_missing and not stimuli:
            raise ValueError("mark_missing needs a stimulus.")
        for values, _ in stimuli:
            if np.isinf(values).any() or (not mark_missing and np.isnan(values).any()):
                raise ValueError(
                    "The stimulus must be finite; leave out the samples that are missing, or give NaN with "
                    "mark_missing=True."
                )
        if stimuli and responses:
            _check_overlap(stimuli, responses, resolution, held=between == "hold")
        batched = {name: values.shape[1] for name, (values, _) in found.items() if values.ndim == 3}
        if batched and (len(set(batched.values())) > 1 or len(batched) < len(found)):
            sizes = {name: values.shape for (_, name), (values, _) in found.items()}
            raise ValueError(
                f"Stimulus, response and confounds must all have the same batch axis, or none; got shapes {sizes}."
            )

        n_ticks = 1 + max(int(ticks.max()) for (kind, _), (_, ticks) in found.items() if kind != "confounds")
        side_by_side: dict[str, list[np.ndarray]] = {}
        streams: dict[str, dict[str, slice]] = {}
        for (kind, name), (values, ticks) in found.items():
            inside = ticks < n_ticks
            fill = 0.0 if kind == "stimulus" and not mark_missing else math.nan
            grid = bin_samples(values[inside], ticks[inside], n_ticks, fill=fill, duplicates=duplicates, name=name)
            if kind == "stimulus" and between != "zero":
                grid = _fill(grid, ticks, between)
            start = sum(part.shape[-1] for part in side_by_side.get(kind, []))
            side_by_side.setdefault(kind, []).append(grid)
            streams.setdefault(kind, {})[name] = slice(start, start + grid.shape[-1])
        on_grid = {kind: np.concatenate(grids, axis=-1) for kind, grids in side_by_side.items()}
        if not stimuli:
            on_grid["stimulus"] = np.zeros((*on_grid["response"].shape[:-1], 0))
        if batched:
            size = next(iter(batched.values()))
            if batch_size not in (None, size):
                raise ValueError(f"The data have {size} batch items, batch_size is {batch_size}.")
            if n_batches is not None and not 1 <= n_batches <= n_ticks:
                raise ValueError(f"n_batches must be from 1 to {n_ticks}, got {n_batches}.")
            on_grid = {name: grid[:n_batches] for name, grid in on_grid.items()}
        else:
            fills = dict.fromkeys(on_grid, math.nan) | ({} if mark_missing else {"stimulus": 0.0})
            on_grid = _cut(on_grid, n_ticks, 1 if batch_size is None else batch_size, n_batches, fills)
        if "response" in on_grid and np.isnan(on_grid["response"]).all():
            raise ValueError("No measurement falls in the ticks that are used.")
        if mark_missing:
            on_grid["stimulus"], streams["stimulus"] = _mark(on_grid["stimulus"], streams["stimulus"])
        dtype = torch.get_default_dtype() if dtype is None else dtype
        tensors = {name: torch.as_tensor(grid, dtype=dtype, device=device) for name, grid in on_grid.items()}
        super().__init__(tensors, resolution=resolution, streams=streams)


def bin_samples(
    values: np.ndarray,
    ticks: np.ndarray,
    n_ticks: int,
    *,
    fill: float,
    duplicates: Duplicates = "error",
    name: str = "samples",
) -> np.ndarray:
    """Return samples on a grid of ticks.

    Parameters
    ----------
    values : array, shape (sample, ...)
        The samples.
    ticks : array of int, shape (sample,)
        The tick of each sample, from 0 to ``n_ticks - 1``.
    n_ticks : int
        Number of ticks.
    fill : float
        Value of ticks without a sample.
    duplicates : {"error", "mean", "last"}, default "error"
        What to do with two samples in one tick: refuse them, take their mean (over the values that
        are not NaN), or take the later one in the order given.
    name : str, default "samples"
        What the samples are, for messages.

    Returns
    -------
    array, shape (n_ticks, ...)

    Raises
    ------
    ValueError
        If two samples fall in one tick and `duplicates` is "error", or it is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> bin_samples(np.array([1.0, 2.0]), np.array([0, 2]), 3, fill=0.0).tolist()
    [1.0, 0.0, 2.0]
    """
    if duplicates not in get_args(Duplicates):
        raise ValueError(f"duplicates must be one of {get_args(Duplicates)}, got {duplicates!r}.")
    grid = np.full((n_ticks, *values.shape[1:]), fill)
    found, counts = np.unique(ticks, return_counts=True)
    if duplicates == "error" and (counts > 1).any():
        tick = int(found[counts > 1][0])
        raise ValueError(
            f"{name}: {int(counts.max())} samples fall in tick {tick}; use a finer resolution, or "
            "duplicates='mean' or 'last'."
        )
    if duplicates == "mean":
        present = ~np.isnan(values)
        total, number = np.zeros_like(grid), np.zeros_like(grid)
        np.add.at(total, ticks, np.where(present, values, 0.0))
        np.add.at(number, ticks, present)
        grid[found] = np.nan
        np.divide(total, number, out=grid, where=number > 0)
    else:
        for tick, value in zip(ticks, values, strict=True):
            grid[tick] = value
    return grid


def events_to_samples(onset: Any, duration: Any, amplitude: Any, *, resolution: float, n_ticks: int) -> np.ndarray:
    """Return a stimulus at each tick from events with a duration.

    Tick k stands for the time from half a tick before ``k * resolution`` to half a tick after. An
    event that covers part of it counts by that part, so that its area is kept whatever the
    resolution. Events that overlap add up.

    Parameters
    ----------
    onset, duration : array, shape (event,)
        In milliseconds; the durations positive.
    amplitude : array, shape (event,)
        Height of each event.
    resolution : float
        Length of a tick in milliseconds.
    n_ticks : int
        Number of ticks.

    Returns
    -------
    array, shape (n_ticks, 1)

    Raises
    ------
    ValueError
        If the shapes differ, a value is not finite, a duration is not positive, or an event lies
        partly outside the ticks (the message gives its number).

    Warns
    -----
    UserWarning
        If all of several events lie in the first hundredth of the time, which hints at seconds.

    Examples
    --------
    >>> events_to_samples([5.0], [15.0], [2.0], resolution=10.0, n_ticks=3).ravel().tolist()
    [0.0, 2.0, 1.0]
    """
    starts, lengths, heights = (np.atleast_1d(np.asarray(x, dtype=np.float64)) for x in (onset, duration, amplitude))
    if not starts.ndim == lengths.ndim == heights.ndim == 1 or not (starts.shape == lengths.shape == heights.shape):
        raise ValueError(
            "Onsets, durations and amplitudes must have one shape (event,), got "
            f"{starts.shape}, {lengths.shape} and {heights.shape}."
        )
    if not (resolution > 0 and math.isfinite(resolution)) or n_ticks < 1:
        raise ValueError(
            f"The resolution must be above 0 ms and n_ticks at least 1, got {resolution} ms and {n_ticks}."
        )
    edges = (np.arange(n_ticks + 1) - 0.5) * resolution
    good = np.isfinite(starts) & np.isfinite(heights) & (lengths > 0)
    good &= (starts >= edges[0]) & (starts + lengths <= edges[-1] + 1e-9 * resolution)
    if not good.all():
        k = int(np.argmin(good))
        raise ValueError(
            f"Event {k} (onset {starts[k]} ms, duration {lengths[k]} ms, amplitude {heights[k]}) "
            f"must be finite, of positive duration, and lie from {edges[0]} to {edges[-1]} ms."
        )
    if starts.size > 1 and (starts + lengths).max() < 0.01 * n_ticks * resolution:
        warnings.warn(
            f"All {starts.size} events are over after {(starts + lengths).max():g} of {n_ticks * resolution:g} ms. Are "
            "their times in milliseconds?",
            stacklevel=2,
        )
    samples = np.zeros(n_ticks)
    for start, length, height in zip(starts, lengths, heights, strict=True):
        covered = np.clip(edges, start, start + length)
        samples += height * np.diff(covered) / resolution
    return samples[:, None]


def _fill(grid: np.ndarray, ticks: np.ndarray, between: Between) -> np.ndarray:
    """Return the stimulus with the ticks between its samples filled in."""
    known = np.unique(ticks)
    every = np.arange(known[0], grid.shape[0] if between == "hold" else known[-1] + 1)
    before = np.searchsorted(known, every, side="right") - 1
    filled = grid.copy()
    filled[every] = grid[known[before]]
    if between == "linear" and known.size > 1:
        left = np.minimum(before, known.size - 2)
        start, stop = known[left], known[left + 1]
        share = ((every - start) / (stop - start)).reshape(-1, *[1] * (grid.ndim - 1))
        filled[every] = (1 - share) * grid[start] + share * grid[stop]
        # A missing neighbour must not reach the samples themselves.
        filled[known] = grid[known]
    return filled


def _named(kind: str, values: Any, times: Any) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Return the values and times of each stream of a kind; a single one bears the kind's name."""
    if isinstance(values, Mapping) != isinstance(times, Mapping) and values is not None and times is not None:
        raise ValueError(f"The {kind} needs values and times of the same names.")
    if not isinstance(values, Mapping):
        return {(kind, kind): (values, times)}
    moments = dict(times or {})
    if list(values) != list(moments):
        raise ValueError(f"The {kind} needs times for {list(values)}, got them for {list(moments)}.")
    return {(kind, name): (values[name], moments[name]) for name in values}


def _stream(name: str, values: Any, times: Any, resolution: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return checked samples in double precision, and the tick of each."""
    if (values is None) != (times is None):
        raise ValueError(f"The {name} needs both values and times.")
    if values is None:
        return None
    samples = np.asarray(values, dtype=np.float64)
    moments = np.asarray(times, dtype=np.float64)
    if samples.ndim not in (2, 3):
        raise ValueError(
            f"The {name} must have shape (sample, feature) or (sample, batch, feature), got {samples.shape}."
        )
    if moments.shape != (samples.shape[0],):
        raise ValueError(f"The {name} has {samples.shape[0]} samples, its times have shape {moments.shape}.")
    if samples.shape[0] == 0:
        raise ValueError(f"The {name} has no sample.")
    if not np.isfinite(moments).all() or (moments < 0).any():
        raise ValueError(f"The times of the {name} must be finite and not negative.")
    # Half a tick always goes up: rounding to even would pull neighbours into one tick.
    return samples, np.floor(moments / resolution + 0.5).astype(np.int64)


def _check_overlap(
    stimuli: list[tuple[np.ndarray, np.ndarray]],
    responses: list[tuple[np.ndarray, np.ndarray]],
    resolution: float,
    *,
    held: bool,
) -> None:
    """Refuse responses that end before any stimulus, or begin when each has long been over."""
    first, last = min(int(ticks.min()) for _, ticks in stimuli), max(int(ticks.max()) for _, ticks in stimuli)
    begin, end = min(int(ticks.min()) for _, ticks in responses), max(int(ticks.max()) for _, ticks in responses)
    if end < first:
        raise ValueError(
            f"The responses end at {end * resolution:g} ms, before the first stimulus at {first * resolution:g} ms: "
            "are the times of both in milliseconds, from one beginning?"
        )
    if not held and (begin - last) * resolution > _LONGEST_SILENCE:
        raise ValueError(
            f"The responses begin at {begin * resolution:g} ms, more than a minute after the last stimulus at "
            f"{last * resolution:g} ms: are the times of both in milliseconds, from one beginning? Give "
            "zeros for a stimulus that is over."
        )


def _mark(stimulus: np.ndarray, streams: dict[str, slice]) -> tuple[np.ndarray, dict[str, slice]]:
    """Return each stimulus with zeros where it is missing, and one more feature that is one there."""
    parts, places, start = [], {}, 0
    for name, features in streams.items():
        own = stimulus[..., features]
        absent = np.isnan(own).any(axis=-1, keepdims=True)
        parts += [np.where(absent, 0.0, own), absent.astype(np.float64)]
        width = own.shape[-1] + 1
        places[name] = slice(start, start + width)
        start += width
    return np.concatenate(parts, axis=-1), places


def _cut(
    on_grid: dict[str, np.ndarray], n_ticks: int, batch_size: int, n_batches: int | None, fills: dict[str, float]
) -> dict[str, np.ndarray]:
    """Return recordings (tick, feature) as stretches side by side (tick, batch, feature)."""
    if not 1 <= batch_size <= n_ticks:
        raise ValueError(f"batch_size must be from 1 to {n_ticks} ticks, got {batch_size}.")
    length = math.ceil(n_ticks / batch_size)
    if n_batches is not None:
        if not 1 <= n_batches <= length:
            raise ValueError(
                f"n_batches must be from 1 to {length} for {n_ticks} ticks in {batch_size} stretches, got {n_batches}."
            )
        length = n_batches
    result = {}
    for name, grid in on_grid.items():
        used = grid[: batch_size * length]
        missing = batch_size * length - used.shape[0]
        padded = np.pad(used, ((0, missing), (0, 0)), constant_values=fills[name])
        result[name] = padded.reshape(batch_size, length, grid.shape[1]).swapaxes(0, 1)
    return result
