"""The container that every loader of scans returns: series, mask, motion, table, labels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError
from conn.data.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ScanSet"]

_COLUMNS = ("subject", "session", "task", "run", "n_frames")


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanSet:
    """Scans of one parcellation, with what is known about each.

    Scans may differ in length: `time_series` is as long as the longest one, and `mask` says
    which frames are measured. Frames outside the mask hold zeros; nothing that is computed from
    them means anything.

    Parameters
    ----------
    time_series : array, shape (scan, region, frame), float32 or float64
        Finite everywhere, in the unit of the source.
    mask : array, shape (scan, frame), bool
        True where a frame was measured and may be used.
    motion : array, shape (scan, frame), or None
        Head motion since the frame before in millimetres, as `motion_measure` says; the first
        frame's is 0.
    table : pandas.DataFrame
        One row a scan, columns ``subject`` (str), ``session`` (int), ``task`` (str), ``run``
        (int) and ``n_frames`` (int, the scan's length before any frame was masked).
    region_labels : tuple of str
        One unique label a region.
    repetition_time : float
        Seconds from a frame to the next.
    provenance : Provenance
        Source, version, licence, citation, checksums.
    events : pandas.DataFrame, default None
        What happened during the scans, one row an event: columns ``subject``, ``session``,
        ``task``, ``run`` as in `table`, ``onset`` (seconds after the scan's first frame),
        ``duration`` (seconds), ``trial_type`` (str), and whatever else the source tells.
    participants : pandas.DataFrame, default None
        What is known about people, in a column ``subject`` and others.
    regions : pandas.DataFrame, default None
        What is known about regions, one row a region in the order of the series: ``label``, and
        for example ``network``, ``hemisphere`` or centroids ``x``, ``y``, ``z`` (MNI,
        millimetres).
    scan_arrays : mapping of str to array, default empty
        Whatever else was measured, the scan as first axis, such as ``"global_signal"`` of shape
        (scan, frame) or ``"structural_connectome"`` of shape (scan, target, source). The loader
        says what it gives.
    unit : str, default "arbitrary"
        Unit of the series.
    motion_measure : str, default "relative RMS"
        What `motion` holds.

    Raises
    ------
    DataError
        If shapes, types or lengths do not fit together, a value is not finite, a frame outside
        the mask is not zero, a label is used twice, or an event or a person belongs to no scan. A
        constant region is let through; `flat_regions` names it.
    """

    time_series: NDArray[np.floating]
    mask: NDArray[np.bool_]
    motion: NDArray[np.floating] | None
    table: "pd.DataFrame"
    region_labels: tuple[str, ...]
    repetition_time: float
    provenance: Provenance
    events: "pd.DataFrame | None" = None
    participants: "pd.DataFrame | None" = None
    regions: "pd.DataFrame | None" = None
    scan_arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    unit: str = "arbitrary"
    motion_measure: str = "relative RMS"

    _per_scan: ClassVar[tuple[str, ...]] = ("time_series", "mask", "motion")

    def __post_init__(self) -> None:
        object.__setattr__(self, "region_labels", tuple(self.region_labels))
        object.__setattr__(self, "table", self.table.reset_index(drop=True))
        self._check_series()
        self._check_mask()
        self._check_motion()
        self._check_table()
        self._check_labels()
        self._check_company()
        if not (np.isfinite(self.repetition_time) and self.repetition_time > 0):
            raise DataError(f"repetition_time {self.repetition_time} is not a positive number")

    @property
    def simulated(self) -> bool:
        """Whether the scans come from a simulator."""
        return self.provenance.origin == "simulated"

    @property
    def n_scans(self) -> int:
        """Number of scans."""
        return self.time_series.shape[0]

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return self.time_series.shape[1]

    @property
    def networks(self) -> tuple[str, ...]:
        """Network of each region, from `regions` or else read from its label (see `region_networks`)."""
        if self.regions is not None and "network" in self.regions.columns:
            return tuple(self.regions["network"])
        from conn.data.atlas import region_networks

        return region_networks(self.region_labels)

    def select(
        self,
        *,
        subjects: Iterable[str] | None = None,
        sessions: Iterable[int] | None = None,
        tasks: Iterable[str] | None = None,
    ) -> Self:
        """Return the scans of some subjects, sessions and tasks, in the order they stand here.

        Parameters
        ----------
        subjects, tasks : iterable of str, default None
            Names to keep; None keeps all.
        sessions : iterable of int, default None
            Session numbers to keep; None keeps all.

        Returns
        -------
        ScanSet
            Of the same class. The frame axis keeps its length.

        Raises
        ------
        DataError
            If a name or number is in no scan, or no scan has all that was asked for.
        """
        keep = np.ones(self.n_scans, dtype=bool)
        for column, asked in (("subject", subjects), ("session", sessions), ("task", tasks)):
            if asked is None:
                continue
            wanted = [asked] if isinstance(asked, str) else list(asked)
            present = set(self.table[column])
            for value in wanted:
                if value not in present:
                    known = ", ".join(str(item) for item in sorted(present))
                    raise DataError(f"no scan has {column} {value!r}; there are {known}")
            keep &= self.table[column].isin(wanted).to_numpy()
        if not keep.any():
            raise DataError("no scan has the subjects, sessions and tasks asked for together")
        changes: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[keep] for name in self._per_scan
        }
        changes["scan_arrays"] = {name: array[keep] for name, array in self.scan_arrays.items()}
        if self.events is not None:
            rows = _scan_of_events(self.events, self.table)
            changes["events"] = self.events[keep[rows]]
        if self.participants is not None:
            people = self.participants["subject"].isin(self.table.loc[keep, "subject"])
            changes["participants"] = self.participants[people]
        return replace(self, table=self.table[keep], **changes)

    def flat_regions(self, *, tolerance: float = 1e-4) -> "pd.DataFrame":
        """Return the regions that hardly vary in a scan, such as those outside the field of view.

        A correlation with such a region is undefined, or that of rounding errors: leave it out.

        Parameters
        ----------
        tolerance : float, default 1e-4
            A region counts if its standard deviation over usable frames is at most this share of
            the median over the scan's regions; 0 finds constant regions only.

        Returns
        -------
        pandas.DataFrame
            One row a scan and region: ``scan`` (row of `table`), ``subject``, ``session``,
            ``task``, ``run``, ``region`` (label) and ``ratio`` (standard deviation over the
            median one; 0 for a constant region).

        Raises
        ------
        DataError
            If `tolerance` is negative or not a number.
        """
        import pandas as pd

        if not tolerance >= 0:
            raise DataError(f"tolerance is {tolerance}, expected a number that is not negative")
        rows = []
        for scan in range(self.n_scans):
            series = self.time_series[scan][:, self.mask[scan]]
            spread = np.where(np.ptp(series, axis=1) > 0, series.std(axis=1, dtype=np.float64), 0.0)
            median = float(np.median(spread))
            who = {column: self.table.at[scan, column] for column in _COLUMNS[:-1]}
            rows += [
                {
                    "scan": scan,
                    **who,
                    "region": self.region_labels[region],
                    "ratio": spread[region] / median if median else 0.0,
                }
                for region in np.flatnonzero(spread <= tolerance * median)
            ]
        return pd.DataFrame(rows, columns=["scan", *_COLUMNS[:-1], "region", "ratio"])

    def describe(self) -> str:
        """Return what the set holds and where it comes from, as text of a few lines."""
        table = self.table
        lengths = table["n_frames"].to_numpy()
        shortest, longest = int(lengths.min()), int(lengths.max())
        frames = str(longest) if shortest == longest else f"{shortest} to {longest}"
        shown = {column: _listed(sorted(table[column].unique())) for column in ("subject", "session", "task")}
        lines = [
            f"{self.n_scans} {'simulated ' if self.simulated else ''}scan{'' if self.n_scans == 1 else 's'}: "
            f"{self.n_regions} regions, {frames} frames, one every {self.repetition_time:g} s",
            f"subjects   {shown['subject']}",
            f"sessions   {shown['session']}",
            f"tasks      {shown['task']}",
        ]
        unused = int(lengths.sum() - self.mask.sum())
        if unused:
            lines.append(f"masked     {unused} measured frames are marked as not usable")
        if self.motion is not None:
            mean = float(self.motion[self.mask].mean())
            lines.append(f"motion     mean {self.motion_measure} {mean:.3f} mm")
        if self.events is not None:
            lines.append(f"events     {len(self.events)}, of {self.events['trial_type'].nunique()} types")
        if self.participants is not None:
            told = [column for column in self.participants.columns if column != "subject"]
            lines.append(f"people     {len(self.participants)}: {', '.join(told)}")
        if self.scan_arrays:
            lines.append(f"with       {', '.join(self.scan_arrays)}")
        return "\n".join(lines) + "\n" + self.provenance.describe()

    def __repr__(self) -> str:
        shape = " x ".join(str(length) for length in self.time_series.shape)
        return f"{type(self).__name__}({self.provenance.dataset}, scan x region x frame = {shape})"

    def _check_series(self) -> None:
        series = self.time_series
        if not isinstance(series, np.ndarray) or series.dtype not in (np.float32, np.float64):
            raise DataError("time_series must be a float32 or float64 array")
        if series.ndim != 3 or 0 in series.shape:
            raise DataError(f"time_series has shape {series.shape}, expected (scan, region, frame), none empty")
        # One pass: a sum is finite unless a value is not (or it overflows, which the second pass settles).
        with np.errstate(over="ignore", invalid="ignore"):
            sums = series.sum(axis=(1, 2))
        bad = [scan for scan in np.flatnonzero(~np.isfinite(sums)) if not np.isfinite(series[scan]).all()]
        if bad:
            raise DataError(f"time_series of scan {bad[0]} has values that are not finite")

    def _check_mask(self) -> None:
        expected = (self.time_series.shape[0], self.time_series.shape[2])
        if not isinstance(self.mask, np.ndarray) or self.mask.dtype != np.bool_:
            raise DataError("mask must be an array of bool")
        if self.mask.shape != expected:
            raise DataError(f"mask has shape {self.mask.shape}, expected (scan, frame) {expected}")
        empty = np.flatnonzero(~self.mask.any(axis=1))
        if empty.size:
            raise DataError(f"scan {empty[0]} has no usable frame")
        for scan in np.flatnonzero(~self.mask.all(axis=1)):
            outside = np.flatnonzero(~self.mask[scan])
            filled = outside[(self.time_series[scan][:, outside] != 0).any(axis=0)]
            if filled.size:
                raise DataError(f"scan {scan}, frame {filled[0]} lies outside the mask and is not zero")

    def _check_motion(self) -> None:
        if self.motion is None:
            return
        if self.motion.shape != self.mask.shape:
            raise DataError(f"motion has shape {self.motion.shape}, expected (scan, frame) {self.mask.shape}")
        if not (np.isfinite(self.motion).all() and (self.motion >= 0).all()):
            raise DataError("motion must be finite and not negative (millimetres)")

    def _check_table(self) -> None:
        missing = [column for column in _COLUMNS if column not in self.table.columns]
        if missing:
            raise DataError(f"table has no column {', '.join(missing)}")
        if len(self.table) != self.n_scans:
            raise DataError(f"table has {len(self.table)} rows for {self.n_scans} scans")
        twice = self.table.duplicated(list(_COLUMNS[:-1]))
        if twice.any():
            raise DataError(f"table names the scan of row {int(twice.to_numpy().argmax())} twice")
        lengths = self.table["n_frames"].to_numpy()
        beyond = self.mask & (np.arange(self.mask.shape[1]) >= lengths[:, None])
        if beyond.any():
            scan = int(np.argwhere(beyond)[0, 0])
            raise DataError(f"scan {scan} has usable frames beyond its length of {lengths[scan]} frames")

    def _check_labels(self) -> None:
        if len(self.region_labels) != self.n_regions:
            raise DataError(f"{len(self.region_labels)} region labels for {self.n_regions} regions")
        seen: set[str] = set()
        for label in self.region_labels:
            if label in seen:
                raise DataError(f"region label {label!r} is used twice")
            seen.add(label)

    def _check_company(self) -> None:
        """Check what goes beside the series: events, people, regions, further arrays."""
        object.__setattr__(self, "scan_arrays", dict(self.scan_arrays))
        for name, array in self.scan_arrays.items():
            if not isinstance(array, np.ndarray) or array.shape[:1] != (self.n_scans,):
                raise DataError(f"scan_arrays: {name!r} is no array with {self.n_scans} scans as first axis")
        for name, columns in (
            ("events", (*_COLUMNS[:-1], "onset", "duration", "trial_type")),
            ("participants", ("subject",)),
            ("regions", ("label",)),
        ):
            frame = getattr(self, name)
            if frame is None:
                continue
            missing = [column for column in columns if column not in frame.columns]
            if missing:
                raise DataError(f"{name} has no column {', '.join(missing)}")
            object.__setattr__(self, name, frame.reset_index(drop=True))
        if self.events is not None:
            _scan_of_events(self.events, self.table)
        if self.participants is not None:
            people, scanned = self.participants["subject"].tolist(), set(self.table["subject"])
            for place, name in enumerate(people):
                if name in people[:place]:
                    raise DataError(f"participants names {name!r} twice")
                if name not in scanned:
                    raise DataError(f"participants names {name!r}, of whom there is no scan")
        if self.regions is not None and tuple(self.regions["label"]) != self.region_labels:
            raise DataError("the labels of regions are not region_labels in the same order")


def _listed(values: Iterable[Any], most: int = 12) -> str:
    words = [str(value) for value in values]
    return ", ".join(words) if len(words) <= most else f"{len(words)}, {words[0]} to {words[-1]}"


def _scan_of_events(events: "pd.DataFrame", table: "pd.DataFrame") -> NDArray[np.intp]:
    """Return the row of the table that each event belongs to."""
    import pandas as pd

    keys = list(_COLUMNS[:-1])
    places = pd.MultiIndex.from_frame(table.reindex(columns=keys)).get_indexer(
        pd.MultiIndex.from_frame(events.reindex(columns=keys))
    )
    if (places < 0).any():
        first = events.loc[int((places < 0).argmax()), keys]
        raise DataError(f"an event belongs to no scan: {', '.join(f'{key} {first[key]}' for key in keys)}")
    return places
