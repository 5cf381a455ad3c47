"""Reading 30 scans of 400 regions x 814 frames from text, against a loop of pandas; and reading them again.

The text is generated: six decimals, 90 MB. Both sides find it in the memory of the
operating system. Ours also hashes every file. The second read maps what the first one kept.
"""

import csv
import hashlib
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _timing import seconds

from conn.data import ScanSet, fetch_msc

N_REGIONS, N_FRAMES = 400, 814


def cold(repeats: int) -> list[dict[str, Any]]:
    """The first read, files in parallel threads."""
    with _folder() as (folder, paths):
        pairs = [
            (seconds(lambda: _loop(paths)), seconds(lambda: _read(folder, array_cache=False))) for _ in range(repeats)
        ]
        difference = np.abs(_loop(paths) - _read(folder, array_cache=False).time_series).max()
    name = f"pandas.read_csv {pd.__version__} in a loop"
    return [_row("30 scans from text, first read", name, pairs, 1.0, float(difference))]


def second(repeats: int) -> list[dict[str, Any]]:
    """The second read, from the cache of arrays."""
    with _folder() as (folder, _):
        first = _read(folder, array_cache=False).time_series
        _read(folder, array_cache=True)
        pairs = [
            (
                seconds(lambda: _read(folder, array_cache=False)),
                seconds(lambda: _read(folder, array_cache=True)),
            )
            for _ in range(repeats)
        ]
        difference = np.abs(first - _read(folder, array_cache=True).time_series).max()
    return [_row("30 scans from text, second read", "the first read", pairs, 20.0, float(difference))]


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {"cold": cold, "second": second}


def rows(repeats: int = 5, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


def _loop(paths: list[Path]) -> np.ndarray:
    return np.array([pd.read_csv(path, sep=" ", header=None).to_numpy(np.float32).T for path in paths])


def _read(folder: Path, *, array_cache: bool) -> ScanSet:
    return fetch_msc(
        data_dir=folder,
        cache_dir=folder / "cache",
        registry=folder / "registry.csv",
        offline=True,
        array_cache=array_cache,
    )


@contextmanager
def _folder() -> Iterator[tuple[Path, list[Path]]]:
    """Give a data folder of ten people and three sessions, and the paths of the series in order."""
    rng = np.random.default_rng(0)
    lines = np.array([" ".join(f"{value:.6f}" for value in frame) for frame in rng.normal(size=(N_FRAMES, N_REGIONS))])
    with tempfile.TemporaryDirectory() as name:
        folder, paths, table = Path(name), [], [("path", "sha256", "bytes")]
        for kind in ("ts", "motion"):
            (folder / "miniMSC" / "data" / kind).mkdir(parents=True)
        for subject in range(1, 11):
            for session in range(1, 4):
                stem = f"sub-MSC{subject:02d}_ses-func{session:02d}_task-rest_run-01"
                bodies = {
                    f"data/ts/{stem}_schaefer400_ts.1D": "\n".join(rng.permutation(lines)) + "\n",
                    f"data/motion/{stem}_relRMS.1D": "0.05\n" * N_FRAMES,
                }
                for path, text in bodies.items():
                    body = text.encode()
                    (folder / "miniMSC" / path).write_bytes(body)
                    table.append((path, hashlib.sha256(body).hexdigest(), str(len(body))))
                paths.append(folder / "miniMSC" / next(iter(bodies)))
        with (folder / "registry.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows(table)
        yield folder, paths


def _row(row: str, peer: str, pairs: list[tuple[float, float]], target: float, difference: float) -> dict[str, Any]:
    theirs, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {
        "row": row,
        "estimator": "conn.data.fetch_msc",
        "peer": peer,
        "dtype": "float32",
        "cores": len(os.sched_getaffinity(0)),
        "peer_seconds": theirs,
        "seconds": ours,
        "ratio": statistics.median(their / our for their, our in pairs),
        "target": target,
        "largest_difference": difference,
    }
