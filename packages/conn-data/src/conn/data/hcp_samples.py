"""Resting scans of a few people of the Human Connectome Project, as toolboxes bring them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conn.data.atlas import schaefer_regions
from conn.data.cards import CARDS
from conn.data.errors import DataError
from conn.data.local import LocalSet, chosen, frame_mask, padded
from conn.data.provenance import Provenance
from conn.data.scans import ScanSet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_hcp_aal2", "load_hcp_schaefer100", "load_hcp_schaefer200"]

_REPETITION_TIME = 0.72
_RUNS = ("REST1_LR", "REST2_LR")


def load_hcp_aal2(
    *,
    subjects: Iterable[str] | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> ScanSet:
    """Return resting scans and structural connectomes of five HCP people, 94 AAL2 regions.

    Series are not band-passed, which suits models of direction; filter them for functional
    connectivity.

    Parameters
    ----------
    subjects : iterable of str, default None
        HCP numbers such as ``"101309"``; None takes all five.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    ScanSet
        ``REST1_LR`` of each person, region means removed. The source names no regions: they are
        ``AAL2-01`` to ``AAL2-94`` (AAL2 without the cerebellum), left and right by turns.
        ``scan_arrays`` has ``"structural_connectome"`` (streamline counts) and ``"fibre_length"``
        (millimetres), both of shape (scan, target, source) and symmetric, and ``"region_mean"``.

    Raises
    ------
    DataError
        If there is no such person, or a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Cakan et al. 2021, Cognitive Computation. https://doi.org/10.1007/s12559-021-09931-9
    """
    import pandas as pd

    files = LocalSet(CARDS["hcp-aal2"], data_dir=data_dir, cache_dir=cache_dir)
    people = chosen(("101309", "102311", "102816", "131217", "211619"), subjects, "subject")
    arrays = [files.npz(f"{name}.npz", "ts", "mean", "sc", "length") for name in people]
    regions = pd.DataFrame({"label": [f"AAL2-{number:02d}" for number in range(1, 95)], "hemisphere": ["L", "R"] * 47})
    return _scan_set(
        [files.check(one["ts"], f"{name}.npz", "ts", (94, None)) for name, one in zip(people, arrays, strict=True)],
        [(name, 1) for name in people],
        regions,
        {
            "structural_connectome": _stacked(files, people, arrays, "sc", (94, 94)),
            "fibre_length": _stacked(files, people, arrays, "length", (94, 94)),
            "region_mean": _stacked(files, people, arrays, "mean", (94,)),
        },
        files.provenance("the source names no regions; the order is that of AAL2 without the cerebellum"),
    )


def load_hcp_schaefer100(
    *,
    subjects: Iterable[str] | None = None,
    sessions: Iterable[int] | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> ScanSet:
    """Return resting scans of two HCP people on two days with structural connectomes, Schaefer 100.

    Parameters
    ----------
    subjects : iterable of {"100206", "100307"}, default None
        None takes both.
    sessions : iterable of {1, 2}, default None
        The day: ``REST1_LR`` or ``REST2_LR``; None takes both.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    ScanSet
        Not band-passed, region means removed, in the order of 7 networks. ``scan_arrays`` has
        ``"structural_connectome"`` (streamline counts) and ``"fibre_length"`` (millimetres), of shape
        (scan, target, source), the same for both days of a person, and ``"region_mean"``.

    Raises
    ------
    DataError
        If there is no such person or session, or a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.
    """
    files = LocalSet(CARDS["hcp-schaefer100"], data_dir=data_dir, cache_dir=cache_dir)
    people = chosen(("100206", "100307"), subjects, "subject")
    days = chosen((1, 2), sessions, "session")
    read = {
        name: files.npz(f"{name}.npz", "sc", "length", *_RUNS, *(f"{run}_mean" for run in _RUNS)) for name in people
    }
    scans = [(name, day) for name in people for day in days]
    owners = [name for name, _ in scans]
    arrays = [read[name] | {"mean": read[name][f"{_RUNS[day - 1]}_mean"]} for name, day in scans]
    regions, notes = schaefer_regions(100, 7, data_dir=data_dir, cache_dir=cache_dir)
    return _scan_set(
        [files.check(read[name][_RUNS[day - 1]], f"{name}.npz", _RUNS[day - 1], (100, None)) for name, day in scans],
        scans,
        regions,
        {
            "structural_connectome": _stacked(files, owners, arrays, "sc", (100, 100)),
            "fibre_length": _stacked(files, owners, arrays, "length", (100, 100)),
            "region_mean": _stacked(files, owners, arrays, "mean", (100,)),
        },
        files.provenance(*notes),
    )


def load_hcp_schaefer200(*, data_dir: str | Path | None = None, cache_dir: str | Path | None = None) -> ScanSet:
    """Return a resting scan of one HCP person, 200 cortical nodes.

    Parameters
    ----------
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    ScanSet
        Band-passed from 0.008 to 0.1 Hz. The source gives the nodes no names but networks: labels
        are ``node-001`` to ``node-200``, and ``regions`` has ``network`` (16 of them).

    Raises
    ------
    DataError
        If a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.

    References
    ----------
    Faskowitz et al. 2020, Nature Neuroscience 23:1644-1654. https://doi.org/10.1038/s41593-020-00719-y
    """
    import pandas as pd

    files = LocalSet(CARDS["hcp-schaefer200"], data_dir=data_dir, cache_dir=cache_dir)
    path = "hcp_subject.npz"
    arrays = files.npz(path, "ts", "mean", "network")
    networks = files.text("network_names.txt").split()
    codes = files.check(arrays["network"], path, "network", (200,))
    if codes.dtype.kind not in "iu" or codes.min() < 1 or codes.max() > len(networks):
        raise DataError(f"{files.folder / path}: network holds numbers outside 1 to {len(networks)}")
    regions = pd.DataFrame(
        {
            "label": [f"node-{number:03d}" for number in range(1, 201)],
            "network": [networks[code - 1] for code in codes],
        }
    )
    return _scan_set(
        [files.check(arrays["ts"], path, "ts", (200, None))],
        [("hcp", 1)],
        regions,
        {"region_mean": files.check(arrays["mean"], path, "mean", (200,))[None]},
        files.provenance("the source does not say who it is; the subject is called 'hcp'"),
    )


def _stacked(
    files: LocalSet, names: list[str], arrays: list[dict[str, NDArray[Any]]], what: str, shape: tuple[int, ...]
) -> NDArray[Any]:
    return np.stack(
        [files.check(one[what], f"{name}.npz", what, shape) for name, one in zip(names, arrays, strict=True)]
    )


def _scan_set(
    series: list[NDArray[Any]],
    scans: list[tuple[str, int]],
    regions: "pd.DataFrame",
    scan_arrays: dict[str, NDArray[Any]],
    provenance: Provenance,
) -> ScanSet:
    import pandas as pd

    lengths = [scan.shape[1] for scan in series]
    return ScanSet(
        time_series=padded(series),
        mask=frame_mask(lengths),
        motion=None,
        table=pd.DataFrame(
            {
                "subject": [name for name, _ in scans],
                "session": [session for _, session in scans],
                "task": "rest",
                "run": 1,
                "n_frames": lengths,
            }
        ),
        region_labels=tuple(regions["label"]),
        regions=regions,
        scan_arrays=scan_arrays,
        repetition_time=_REPETITION_TIME,
        provenance=provenance,
    )
