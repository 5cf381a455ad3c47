"""Stimuli and what the brain answers: pictures and BOLD, squares and EEG, and nitime's two examples."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from conn.data.cards import CARDS
from conn.data.errors import DataError
from conn.data.local import LocalSet
from conn.data.scans import ScanSet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_eeg_visual", "load_haxby2001", "load_nitime_events", "load_nitime_rest"]


def load_haxby2001(
    *,
    voxels: Literal["25mm", "slice"] = "25mm",
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> ScanSet:
    """Return the twelve runs of subject 1 of Haxby 2001: blocks of pictures of eight kinds.

    Values are those of the scanner: they drift, and runs differ in scale. Detrend and scale each
    run before they are compared.

    Parameters
    ----------
    voxels : {"25mm", "slice"}, default "25mm"
        129 large voxels of the brain, or one slice of 40 x 20 voxels as it is (its background
        included).
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    ScanSet
        121 frames a run, one every 2.5 s. ``events`` has 96 blocks of 22.5 s, ``trial_type`` is the
        kind of picture. ``regions`` has the voxel indices ``i``, ``j`` (and, of large voxels, ``k``,
        scanner coordinates ``x``, ``y``, ``z`` in millimetres, and the masks ``gray``, ``white``,
        ``hoc``, ``vt`` of the source). ``scan_arrays["motion_parameters"]``, shape (scan, frame, 6),
        is in the order and unit of the source, which does not state them.

    Raises
    ------
    DataError
        If `voxels` is neither, or a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Haxby et al. 2001, Science 293:2425-2430. https://doi.org/10.1126/science.1063736
    """
    import pandas as pd

    if voxels not in ("25mm", "slice"):
        raise DataError(f"voxels {voxels!r} is neither '25mm' nor 'slice'")
    files = LocalSet(CARDS["haxby2001"], data_dir=data_dir, cache_dir=cache_dir)
    path = "bold_25mm.npz" if voxels == "25mm" else "bold_1slice.npz"
    if voxels == "25mm":
        arrays = files.npz(path, "bold", "ijk", "affine", "gray", "white", "hoc", "vt")
        place = files.check(arrays["ijk"], path, "ijk", (None, 3)).astype(int)
        affine = files.check(arrays["affine"], path, "affine", (4, 4))
        x, y, z = affine[:3, :3] @ place.T + affine[:3, 3:]
        regions = pd.DataFrame(
            {"label": [f"voxel-{i}-{j}-{k}" for i, j, k in place], "i": place[:, 0], "j": place[:, 1], "k": place[:, 2]}
        ).assign(x=x, y=y, z=z)
        for name in ("gray", "white", "hoc", "vt"):
            regions[name] = files.check(arrays[name], path, name, (len(place),)).astype(int)
    else:
        arrays = files.npz(path, "bold", "shape")
        rows, columns = (int(length) for length in files.check(arrays["shape"], path, "shape", (2,)))
        i, j = np.divmod(np.arange(rows * columns), columns)
        regions = pd.DataFrame({"label": [f"voxel-{a}-{b}" for a, b in zip(i, j, strict=True)], "i": i, "j": j})
    bold = files.check(arrays["bold"], path, "bold", (12, None, len(regions)))
    n_frames = bold.shape[1]
    movement = files.npz("motion.npz", *(f"run{run:02d}" for run in range(1, 13)))
    told = files.table("events.tsv", numbers=("run", "onset", "duration"), words=("trial_type",))
    return ScanSet(
        time_series=bold.transpose(0, 2, 1).astype(np.float32),
        mask=np.ones((12, n_frames), dtype=bool),
        motion=None,
        table=_one_person("sub-001", "pictures", [n_frames] * 12),
        region_labels=tuple(regions["label"]),
        regions=regions,
        events=_events("sub-001", "pictures", told["run"].astype(int).tolist(), told),
        scan_arrays={
            "motion_parameters": np.stack(
                [
                    files.check(movement[f"run{run:02d}"], "motion.npz", f"run{run:02d}", (n_frames, 6))
                    for run in range(1, 13)
                ]
            )
        },
        repetition_time=2.5,
        unit="raw scanner values",
        provenance=files.provenance("neither detrended, nor scaled, nor corrected for motion"),
    )


def load_eeg_visual(*, data_dir: str | Path | None = None, cache_dir: str | Path | None = None) -> ScanSet:
    """Return the EEG of one person who attends to squares, with stimuli and responses.

    Parameters
    ----------
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    ScanSet
        One scan of 32 channels in microvolt, a sample every 1/128 s, with a common reference. It
        consists of epochs of 3 s one after the other: the series jumps where they meet.
        ``events["trial_type"]`` is ``"square"`` (with ``position`` 1 or 2) or ``"rt"`` (a button
        press), ``duration`` is 0. ``regions`` has the positions ``x``, ``y``, ``z`` of the channels on
        a sphere of radius 1 (x to the nose, y to the left).

    Raises
    ------
    DataError
        If a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Delorme & Makeig 2004, J Neurosci Methods 134:9-21. https://doi.org/10.1016/j.jneumeth.2003.10.009
    """
    files = LocalSet(CARDS["eeg-visual"], data_dir=data_dir, cache_dir=cache_dir)
    arrays = files.npz("eeg.npz", "eeg_uv", "srate")
    regions = files.table("channels.tsv", words=("label",), numbers=("X", "Y", "Z"))
    regions = regions.rename(columns=str.lower)
    eeg = files.check(arrays["eeg_uv"], "eeg.npz", "eeg_uv", (None, len(regions)))
    rate = float(files.check(arrays["srate"], "eeg.npz", "srate", ()))
    if not rate > 0:
        raise DataError(f"{files.folder / 'eeg.npz'}: a sampling rate of {rate} Hz makes no sense")
    told = files.table("events.tsv", words=("type",), numbers=("position", "onset_s"))
    told = told.rename(columns={"type": "trial_type", "onset_s": "onset"}).assign(duration=0.0)
    return ScanSet(
        time_series=np.ascontiguousarray(eeg.T, dtype=np.float32)[None],
        mask=np.ones((1, len(eeg)), dtype=bool),
        motion=None,
        table=_one_person("sub-001", "squares", [len(eeg)]),
        region_labels=tuple(regions["label"]),
        regions=regions,
        events=_events("sub-001", "squares", 1, told),
        repetition_time=1 / rate,
        unit="microvolt",
        provenance=files.provenance("epochs of 3 s one after the other, not one recording"),
    )


def load_nitime_rest(*, data_dir: str | Path | None = None, cache_dir: str | Path | None = None) -> ScanSet:
    """Return nitime's example of rest: 31 series of one person.

    Parameters
    ----------
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    ScanSet
        One scan of 250 frames, one every 1.89 s. The first three series (``WM``, ``Vent``,
        ``Brain``) are signals to regress out rather than regions.

    Raises
    ------
    DataError
        If the file is not what it should be.
    DataUnavailableError
        If the file is not at hand; the message says where to get it.
    """
    files = LocalSet(CARDS["nitime-rest"], data_dir=data_dir, cache_dir=cache_dir)
    path = "fmri_timeseries.csv"
    labels = next(csv.reader(io.StringIO(files.text(path))), [])
    series = files.table(path, numbers=labels, delimiter=",").to_numpy(dtype=np.float64).T
    return _nitime(files, series, tuple(labels), "rest", 1.89)


def load_nitime_events(*, data_dir: str | Path | None = None, cache_dir: str | Path | None = None) -> ScanSet:
    """Return nitime's example of an event-related design: one region, six types of events.

    Parameters
    ----------
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    ScanSet
        One scan of one region, 3360 frames, one every 2 s. ``trial_type`` is ``"1"`` to ``"6"``; the
        source does not say what they are or how long they last, ``duration`` is 0.

    Raises
    ------
    DataError
        If the file is not what it should be.
    DataUnavailableError
        If the file is not at hand; the message says where to get it.
    """
    import pandas as pd

    files = LocalSet(CARDS["nitime-events"], data_dir=data_dir, cache_dir=cache_dir)
    told = files.table("event_related_fmri.csv", numbers=("bold", "events"), delimiter=",")
    codes = told["events"].to_numpy()
    frames = np.flatnonzero(codes)
    events = pd.DataFrame(
        {"onset": frames * 2.0, "duration": 0.0, "trial_type": [f"{code:g}" for code in codes[frames]]}
    )
    series = told["bold"].to_numpy(dtype=np.float64)[None]
    return _nitime(files, series, ("bold",), "events", 2.0, _events("sub-001", "events", 1, events))


def _nitime(
    files: LocalSet,
    series: NDArray[np.float64],
    labels: tuple[str, ...],
    task: str,
    repetition_time: float,
    events: "pd.DataFrame | None" = None,
) -> ScanSet:
    return ScanSet(
        time_series=series[None],
        mask=np.ones((1, series.shape[1]), dtype=bool),
        motion=None,
        table=_one_person("sub-001", task, [series.shape[1]]),
        region_labels=labels,
        events=events,
        repetition_time=repetition_time,
        provenance=files.provenance("the repetition time is that of the package's examples; the file has none"),
    )


def _one_person(subject: str, task: str, lengths: list[int]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        {"subject": subject, "session": 1, "task": task, "run": range(1, len(lengths) + 1), "n_frames": lengths}
    )


def _events(subject: str, task: str, run: list[int] | int, told: "pd.DataFrame") -> "pd.DataFrame":
    first = {"subject": subject, "session": 1, "task": task, "run": run}
    events = told.drop(columns="run", errors="ignore").assign(**first)
    return events.reindex(columns=[*first, *(column for column in events.columns if column not in first)])
