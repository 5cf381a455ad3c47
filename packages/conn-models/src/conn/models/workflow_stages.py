"""What a workflow is made of: the runs that enter it, and the alternatives at each of its stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Band", "Censoring", "Kind", "Runs", "Stages"]

Band: TypeAlias = tuple[float | None, float | None]
"""Lowest and highest frequency that pass, in hertz."""

Kind = Literal["full", "shrunk", "partial", "tangent"]
"""Kinds of connectome."""

STAGES = ("parcellation", "filter", "confounds", "censoring", "connectome")


@dataclass(frozen=True)
class Censoring:
    """Which frames are left out for motion, see `conn.functional.censoring_mask`.

    Parameters
    ----------
    threshold : float
        Frames that moved more are left out, in the unit of the runs' motion (millimetres).
    before, after : int, default 0
        Frames left out before and after each of these too.
    shortest : int, default 1
        Runs of fewer remaining frames in a row are left out as well.

    Raises
    ------
    ValueError
        If the threshold is not positive or a count is negative.

    Examples
    --------
    >>> Censoring(0.2, after=1)
    Censoring(threshold=0.2, before=0, after=1, shortest=1)
    """

    threshold: float
    before: int = 0
    after: int = 0
    shortest: int = 1

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"threshold must be positive, and is {self.threshold}")
        for name in ("before", "after", "shortest"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, and is {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Series of several runs with what goes with them; runs may differ in length.

    Parameters
    ----------
    time_series : sequence of array, shape (region, frame)
        One a run, or one array (run, region, frame), in any unit. Vertices or voxels take the regions' place in a
        workflow that begins with a parcellation.
    repetition_time : float
        Seconds from frame to frame, the same in all runs.
    confounds : mapping of str to sequence of array, shape (confound, frame), optional
        Groups of confounds by name, one array a run each: ``{"motion": [...], "global": [...]}``. In any unit.
    motion : sequence of array, shape (frame,), optional
        Framewise displacement, in millimetres. Censoring needs it. NaN counts as movement and is left out of `quality`.
    mask : sequence of array of bool, shape (frame,), optional
        True where a frame counts. Frames at a run's ends that do not count are cut off (this is how padded arrays
        become runs of their own lengths); others are censored whatever is chosen.

    Raises
    ------
    ValueError
        If shapes do not fit, a run has fewer than two frames, or a frame that counts holds NaN or infinity; the message
        names the run.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> runs = Runs(time_series=[rng.normal(size=(4, 30)), rng.normal(size=(4, 40))], repetition_time=2.0)
    >>> runs.n_runs, [series.shape[-1] for series in runs.time_series]
    (2, [30, 40])
    """

    time_series: Sequence[NDArray[np.floating]]
    repetition_time: float
    confounds: Mapping[str, Sequence[NDArray[np.floating]]] = field(default_factory=dict)
    motion: Sequence[NDArray[np.floating]] | None = None
    mask: Sequence[NDArray[np.bool_]] | None = None

    def __post_init__(self) -> None:
        if not self.repetition_time > 0:
            raise ValueError(f"repetition_time must be positive, and is {self.repetition_time} s")
        series = [_numbers(f"time_series of run {place}", one, 2) for place, one in enumerate(self.time_series)]
        if not series:
            raise ValueError("there must be at least one run")
        lengths = [one.shape[-1] for one in series]
        mask = _of_frames("mask", self.mask, lengths, bool)
        spans = [_span(place, length, mask) for place, length in enumerate(lengths)]
        counts = [np.ones(length, bool) if mask is None else mask[place] for place, length in enumerate(lengths)]
        for place, one in enumerate(series):
            if len(one) != len(series[0]):
                raise ValueError(f"run {place} has {len(one)} regions, and run 0 has {len(series[0])}")
            _refuse_bad(f"time_series of run {place}", one, counts[place])
        groups = {}
        for name, arrays in self.confounds.items():
            own = [_numbers(f"confounds {name!r} of run {place}", one, 2) for place, one in enumerate(arrays)]
            if [one.shape[-1] for one in own] != lengths:
                raise ValueError(
                    f"confounds {name!r} must have the frames of the {len(lengths)} runs, {lengths}, and have "
                    f"{[one.shape[-1] for one in own]}"
                )
            for place, one in enumerate(own):
                if len(one) != len(own[0]):
                    raise ValueError(f"confounds {name!r}: run {place} has {len(one)}, and run 0 has {len(own[0])}")
                _refuse_bad(f"confounds {name!r} of run {place}", one, counts[place])
            groups[name] = [_cut(one, span) for one, span in zip(own, spans, strict=True)]
        motion = _of_frames("motion", self.motion, lengths, float)
        for name, value in (
            ("time_series", [_cut(one, span) for one, span in zip(series, spans, strict=True)]),
            ("confounds", groups),
            ("motion", None if motion is None else [_cut(one, s) for one, s in zip(motion, spans, strict=True)]),
            ("mask", None if mask is None else [_cut(one, s) for one, s in zip(mask, spans, strict=True)]),
        ):
            object.__setattr__(self, name, value)

    @property
    def n_runs(self) -> int:
        """How many runs there are."""
        return len(self.time_series)

    @property
    def quality(self) -> NDArray[np.floating]:
        """Mean motion of every run over its frames that count, in millimetres; NaN without motion."""
        if self.motion is None:
            return np.full(self.n_runs, np.nan)
        masks = self.mask or [np.ones(len(one), bool) for one in self.motion]
        told = [one[counts & np.isfinite(one)] for one, counts in zip(self.motion, masks, strict=True)]
        return np.array([one.mean() if len(one) else np.nan for one in told])

    def select(self, places: ArrayLike) -> "Runs":
        """Return some of the runs.

        Parameters
        ----------
        places : array of int or of bool
            Which runs, in which order.

        Returns
        -------
        Runs

        Raises
        ------
        IndexError
            If there is no such run.
        """
        chosen = [int(place) for place in np.arange(self.n_runs)[np.asarray(places)]]
        return Runs(
            time_series=[self.time_series[place] for place in chosen],
            repetition_time=self.repetition_time,
            confounds={name: [own[place] for place in chosen] for name, own in self.confounds.items()},
            motion=None if self.motion is None else [self.motion[place] for place in chosen],
            mask=None if self.mask is None else [self.mask[place] for place in chosen],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Stages:
    """The alternatives of a workflow by stage and name, checked.

    Parameters
    ----------
    parcellation, filter, confounds, censoring, connectome
        As `Workflow` takes them.
    trend, filter_order
        As `Workflow` takes them.
    """

    parcellation: Mapping[str, Any]
    filter: Mapping[str, Band | None]
    confounds: Mapping[str, Sequence[str]]
    censoring: Mapping[str, Censoring | None]
    connectome: Mapping[str, Kind]
    trend: int | None
    filter_order: int

    def __post_init__(self) -> None:
        for stage, names in self.names.items():
            if not names:
                raise ValueError(f"{stage} has no alternative; a stage that does nothing is {{'none': ...}}")
        for name, groups in self.confounds.items():
            if isinstance(groups, str):
                raise ValueError(f"confounds {name!r} must be a list of groups, and is the text {groups!r}")
        for kind in self.connectome.values():
            if kind not in get_args(Kind):
                raise ValueError(f"connectome must be of {', '.join(get_args(Kind))}, and is {kind!r}")
        shapes = {name: np.shape(one) for name, one in self.parcellation.items() if one is not None}
        if len(shapes) < len(self.parcellation) and len(self.parcellation) > 1:
            raise ValueError("no parcellation cannot stand beside parcellations: give the identity matrix for it")
        if any(len(shape) != 2 for shape in shapes.values()) or len(set(shapes.values())) > 1:
            raise ValueError(f"parcellations must all have one shape (parcel, vertex), and have {shapes}")

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The names of the alternatives of each stage."""
        return {stage: tuple(getattr(self, stage)) for stage in STAGES}

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of confounds that any alternative names, each once."""
        return tuple(dict.fromkeys(group for groups in self.confounds.values() for group in groups))

    def only(self, choices: Mapping[str, str]) -> "Stages":
        """Return the stages with only the named alternative at each stage that is named."""
        for stage, name in choices.items():
            if stage not in STAGES:
                raise ValueError(f"there is no stage {stage!r}; there are {', '.join(STAGES)}")
            if name not in getattr(self, stage):
                raise ValueError(f"{stage} has no alternative {name!r}; it has {', '.join(self.names[stage])}")
        kept = {
            stage: {choices[stage]: getattr(self, stage)[choices[stage]]} if stage in choices else getattr(self, stage)
            for stage in STAGES
        }
        return Stages(**kept, trend=self.trend, filter_order=self.filter_order)


def _numbers(what: str, values: Any, n_axes: int) -> NDArray[np.floating]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" or array.ndim != n_axes:
        raise ValueError(f"{what} must be real numbers with {n_axes} axes, and is {array.dtype} of shape {array.shape}")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _of_frames(what: str, values: Any, lengths: list[int], dtype: type) -> list[NDArray[Any]] | None:
    if values is None:
        return None
    arrays = [np.asarray(one, dtype) for one in values]
    if [one.shape for one in arrays] != [(length,) for length in lengths]:
        raise ValueError(
            f"{what} must have one value for each frame of the runs, {lengths}, and has shapes "
            f"{[one.shape for one in arrays]}"
        )
    return arrays


def _span(place: int, length: int, mask: list[NDArray[Any]] | None) -> tuple[int, int]:
    """Return from where to where the run goes, between its first and its last frame that counts."""
    frames = np.arange(length) if mask is None else np.flatnonzero(mask[place])
    if len(frames) < 2:
        raise ValueError(f"run {place} has {len(frames)} frames that count, and needs at least two")
    return int(frames[0]), int(frames[-1]) + 1


def _cut(values: NDArray[Any], span: tuple[int, int]) -> NDArray[Any]:
    return values[..., span[0] : span[1]]


def _refuse_bad(what: str, values: NDArray[np.floating], counts: NDArray[np.bool_]) -> None:
    bad = np.argwhere(~np.isfinite(values) & counts)
    if len(bad):
        row, frame = bad[0]
        raise ValueError(f"{what} holds {values[row, frame]} in row {row} at frame {frame}: fill it or mask the frame")
