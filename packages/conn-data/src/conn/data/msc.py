"""The minimal Midnight Scan Club data set: found, fetched, checked, read."""

import hashlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from conn.data.array_cache import CachedArrays, load_arrays, store_arrays
from conn.data.atlas import SCHAEFER_URL, schaefer_regions
from conn.data.cards import CARDS
from conn.data.download import fetch_files, is_intact
from conn.data.errors import DataError, DataUnavailableError
from conn.data.local import padded
from conn.data.locations import asked_offline, cache_folder, data_folder
from conn.data.provenance import Provenance, sha256_of_file
from conn.data.readers import parse_1d, read_motion
from conn.data.registry import RunFiles, load_registry, select_runs
from conn.data.scans import ScanSet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MSC_URL", "fetch_msc", "minimal_msc_download", "verify_msc"]

MSC_URL = f"https://raw.githubusercontent.com/hypercoil/miniMSC/{CARDS['msc'].version.removeprefix('commit ')}"
_FOLDER = CARDS["msc"].folder
_PACKED = "rest_ses-func01-03.npz"
_AS_TEXT = "miniMSC-text"
_N_REGIONS = 400
_REPETITION_TIME = 2.2


def fetch_msc(
    *,
    subjects: Iterable[str] | None = None,
    sessions: Iterable[int] | None = (1, 2, 3),
    tasks: Iterable[str] | None = ("rest",),
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    base_url: str = MSC_URL,
    atlas_base_url: str | None = None,
    registry: str | Path | None = None,
    offline: bool = False,
    progress: bool = True,
    n_jobs: int = 4,
    retry_wait: float = 1.0,
    timeout: float = 30.0,
    nan_policy: Literal["raise", "mask"] = "raise",
    array_cache: bool = True,
) -> ScanSet:
    """Return scans of the minimal Midnight Scan Club data set: 10 people, 10 sessions each.

    The scans are denoised blood-oxygen-level series of the 400 Schaefer parcels (17-network
    order), one frame every 2.2 s, with a head motion trace each. They are looked for in the
    user's data folder (``miniMSC/rest_ses-func01-03.npz``, which holds rest of sessions 1 to 3,
    or the text files of the source below ``miniMSC/``), then in the per-user cache, then in the
    public repository, from which only the files asked for are fetched, each checked against its
    registered SHA-256 and size.

    Parameters
    ----------
    subjects : iterable of str, default None
        ``"MSC01"`` to ``"MSC10"``; None takes all.
    sessions : iterable of int, default (1, 2, 3)
        1 to 10; None takes all.
    tasks : iterable of str, default ("rest",)
        Of ``"rest"``, ``"motor"``, ``"glasslexical"``, ``"memoryfaces"``, ``"memoryscenes"``,
        ``"memorywords"``; None takes all. Every run of a task is taken.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.
        Files in a data folder are taken as they are, with a note where they differ from the
        registered ones; files in the cache are always checked.
    base_url : str, default the public repository at a fixed commit
        Address below which the files lie.
    atlas_base_url : str, default None
        Address of the parcellation's table, for the region labels. None is the authors'
        repository when `base_url` is the default, and otherwise no address: the labels then come
        from the data folder or the cache, or are ``parcel-001`` to ``parcel-400``, with a note.
    registry : path, default None
        A table of files (``path,sha256,bytes``) in place of the built-in one.
    offline : bool, default False
        Whether to refuse rather than use the network.
    progress : bool, default True
        Whether to show a progress bar on standard error while downloading.
    n_jobs : int, default 4
        Files fetched or read at once.
    retry_wait, timeout : float, defaults 1.0 and 30.0
        Seconds before the first further try, and without an answer before a try is given up.
    nan_policy : {"raise", "mask"}, default "raise"
        Whether a frame with NaN is refused, or left out through the mask.
    array_cache : bool, default True
        Whether what was read from text files is kept uncompressed in ``arrays/`` of the per-user
        cache, about as large as in memory, and mapped into memory the next time the same files are
        asked for. It is made anew when a file has changed: other size or time of change, and other
        SHA-256. Where the cache cannot be written, nothing is kept.

    Returns
    -------
    ScanSet
        ``time_series`` is float32 in the source's arbitrary unit, scans in the order subject,
        session, task, run.

    Raises
    ------
    DataError
        If a subject, session or task is not in the data set, or a file is not what it should be.
    DataUnavailableError
        If the files are not at hand offline, or the server fails.

    References
    ----------
    Gordon et al. 2017, Neuron 95:791-807. https://doi.org/10.1016/j.neuron.2017.07.011
    """
    if n_jobs < 1:
        raise DataError(f"n_jobs is {n_jobs}, expected at least 1")
    if nan_policy not in ("raise", "mask"):
        raise DataError(f"nan_policy {nan_policy!r} is neither 'raise' nor 'mask'")
    runs, notes = select_runs(load_registry(registry), subjects=subjects, sessions=sessions, tasks=tasks)
    files = [file for run in runs for file in (run.time_series, run.motion)]
    own = data_folder(data_dir)
    own = None if own is None else own / _FOLDER
    cache = cache_folder(cache_dir) / _FOLDER

    def labels(*, allow_network: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        address = atlas_base_url or (SCHAEFER_URL if base_url == MSC_URL else None)
        regions, notes = schaefer_regions(
            _N_REGIONS,
            17,
            data_dir=data_dir,
            cache_dir=cache_dir,
            base_url=address or SCHAEFER_URL,
            offline=address is None or not allow_network,
            retry_wait=retry_wait,
            timeout=timeout,
        )
        return tuple(regions["label"]), notes

    if own is not None and (own / _PACKED).is_file():
        packed = _Packed(own / _PACKED)
        if packed.holds(runs):
            return packed.scans(runs, labels(allow_network=False), notes)
    arrays = cache_folder(cache_dir) / "arrays" if array_cache else None
    if own is not None and all((own / file.path).is_file() for file in files):
        kept = _kept(runs, own, arrays, nan_policy, n_jobs)
        if kept is None:
            kept = _read_runs(runs, own, arrays, nan_policy=nan_policy, n_jobs=n_jobs)
        differing = sum(one != file.sha256 for one, file in zip(kept.checksums, files, strict=True))
        if differing:
            notes += (f"{differing} of {len(files)} files differ from the registered ones",)
        return _scan_set(runs, kept, "CONN_DATA_DIR", labels(allow_network=False), notes)
    registered = tuple(file.sha256 for file in files)
    kept = _kept(runs, cache, arrays, nan_policy, n_jobs)
    if kept is not None and kept.checksums == registered:
        return _scan_set(runs, kept, "cache", labels(allow_network=False), notes)
    with ThreadPoolExecutor(n_jobs) as executor:
        intact = list(executor.map(lambda file: is_intact(file, cache), files))
    missing = [file for file, is_there in zip(files, intact, strict=True) if not is_there]
    if missing and asked_offline(offline):
        raise DataUnavailableError(_why_absent(missing, len(files), own, cache))
    if missing:
        fetch_files(
            missing,
            base_url=base_url,
            folder=cache,
            n_jobs=n_jobs,
            progress=progress,
            retry_wait=retry_wait,
            timeout=timeout,
            title="Midnight Scan Club",
        )
    # Files in the cache were hashed just now, by the check or on their way here.
    kept = _read_runs(runs, cache, arrays, nan_policy=nan_policy, n_jobs=n_jobs, checksums=registered)
    origin = "network" if missing else "cache"
    return _scan_set(runs, kept, origin, labels(allow_network=bool(missing)), notes)


def verify_msc(
    *,
    cache_dir: str | Path | None = None,
    registry: str | Path | None = None,
    n_jobs: int = 4,
) -> "pd.DataFrame":
    """Return the state of every registered file in the cache, hashed anew.

    Parameters
    ----------
    cache_dir : path, default None
        Folder to use in place of the one named by ``CONN_CACHE_DIR``.
    registry : path, default None
        A table of files (``path,sha256,bytes``) in place of the built-in one.
    n_jobs : int, default 4
        Files hashed at once.

    Returns
    -------
    pandas.DataFrame
        One row a file, columns ``path`` and ``state``: ``"intact"``, ``"damaged"`` or
        ``"absent"``.

    Raises
    ------
    DataError
        If a file is there and cannot be read.
    """
    import pandas as pd

    cache = cache_folder(cache_dir) / _FOLDER
    files = load_registry(registry).files
    with ThreadPoolExecutor(n_jobs) as executor:
        intact = executor.map(lambda file: is_intact(file, cache), files)
        states = [
            "intact" if good else "damaged" if (cache / file.path).exists() else "absent"
            for file, good in zip(files, intact, strict=True)
        ]
    return pd.DataFrame({"path": [file.path for file in files], "state": states})


def minimal_msc_download(
    *,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    offline: bool = False,
    progress: bool = True,
) -> str:
    """Return a folder with the thirty resting scans of sessions 1 to 3 as text files.

    The scans are those of `fetch_msc`, wherever it finds them. They are written once, into a folder of
    the per-user cache of their own, and found there the next time.

    Parameters
    ----------
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.
    offline : bool, default False
        Whether to refuse rather than use the network.
    progress : bool, default True
        Whether to show a progress bar on standard error while downloading.

    Returns
    -------
    str
        The folder. ``data/ts/sub-*_ses-func*_task-rest_run-01_schaefer400_ts.1D`` hold one frame a
        line and one region a column, separated by a blank, in as many digits as tell float32 apart;
        frames that do not count are absent. ``manifest.csv`` tells the subject, the session and the
        number of frames of each file (columns ``row``, ``path``, ``subject``, ``session``,
        ``n_frames``), in the order of `fetch_msc`.

    Raises
    ------
    DataError
        If the scans are not what they should be, or the cache cannot be written.
    DataUnavailableError
        If they are not at hand offline, or the server fails.

    References
    ----------
    Gordon et al. 2017, Neuron 95:791-807. https://doi.org/10.1016/j.neuron.2017.07.011
    """
    scans = fetch_msc(data_dir=data_dir, cache_dir=cache_dir, offline=offline, progress=progress)
    told = "".join(f"{path} {checksum}\n" for path, checksum in sorted(scans.provenance.checksums.items()))
    folder = cache_folder(cache_dir) / _AS_TEXT / hashlib.sha256(told.encode()).hexdigest()[:16]
    if (folder / "manifest.csv").is_file():
        return str(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
        try:
            _write_text(scans, partial)
            partial.chmod(0o755)
            # Another process may have been quicker: what it wrote is the same.
            if not (folder / "manifest.csv").is_file():
                partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}") from error
    return str(folder)


def _write_text(scans: ScanSet, folder: Path) -> None:
    """Write each scan's frames that count as text, and the manifest last."""
    (folder / "data" / "ts").mkdir(parents=True)
    manifest = scans.table[["subject", "session"]].copy()
    keys = zip(*(scans.table[name].tolist() for name in ("subject", "session", "task", "run")), strict=True)
    names = [
        f"data/ts/sub-{subject}_ses-func{session:02d}_task-{task}_run-{run:02d}_schaefer400_ts.1D"
        for subject, session, task, run in keys
    ]
    for name, series, counts in zip(names, scans.time_series, scans.mask, strict=True):
        lines = (" ".join(frame) for frame in np.asarray(series)[:, counts].T.astype(np.str_).tolist())
        (folder / name).write_text("\n".join(lines) + "\n", encoding="ascii")
    manifest.insert(0, "path", names)
    manifest["n_frames"] = scans.mask.sum(axis=1)
    manifest.to_csv(folder / "manifest.csv", index_label="row")


def _why_absent(missing: Sequence, n_files: int, own: Path | None, cache: Path) -> str:
    places = f"the cache {cache}"
    if own is not None and (own / _PACKED).is_file():
        places = f"{own / _PACKED} (rest of sessions 1 to 3 only) and {places}"
    elif own is not None:
        places = f"{own} and {places}"
    return (
        f"{len(missing)} of {n_files} files are not in {places}, and offline was asked for; "
        f"the first is {missing[0].path}"
    )


def _provenance(origin: str, checksums: dict[str, str], notes: tuple[str, ...]) -> Provenance:
    card = CARDS["msc"]
    return Provenance(
        dataset=card.name,
        source=card.source,
        version=card.version,
        licence=card.licence,
        citation=card.citation,
        origin=origin,
        checksums=checksums,
        notes=notes,
    )


def _table(runs: Sequence[RunFiles], n_frames: Sequence[int]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        {
            "subject": [run.subject for run in runs],
            "session": [run.session for run in runs],
            "task": [run.task for run in runs],
            "run": [run.run for run in runs],
            "n_frames": list(n_frames),
        }
    )


def _paths(runs: Sequence[RunFiles], folder: Path) -> list[Path]:
    return [folder / file.path for run in runs for file in (run.time_series, run.motion)]


def _kept(
    runs: Sequence[RunFiles], folder: Path, arrays: Path | None, nan_policy: str, n_jobs: int
) -> CachedArrays | None:
    """Return the arrays of an earlier read of the same files, if there was one."""
    if arrays is None:
        return None
    kept = load_arrays(arrays, _paths(runs, folder), f"msc {nan_policy}", n_jobs=n_jobs)
    if kept is None or set(kept.arrays) != {"time_series", "motion", "mask", "n_frames"}:
        return None
    shape = (len(runs), _N_REGIONS, kept.arrays["mask"].shape[-1])
    return kept if kept.arrays["time_series"].shape == shape else None


def _read_runs(
    runs: Sequence[RunFiles],
    folder: Path,
    arrays: Path | None,
    *,
    nan_policy: Literal["raise", "mask"],
    n_jobs: int,
    checksums: tuple[str, ...] | None = None,
) -> CachedArrays:
    """Return the arrays of the text files with their checksums, and keep them for the next read."""

    def read(run: RunFiles) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[str, ...]]:
        path = folder / run.time_series.path
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from error
        series = parse_1d(raw, path, nan_policy=nan_policy)
        if series.shape[0] != _N_REGIONS:
            raise DataError(
                f"{folder / run.time_series.path} has {series.shape[0]} parcels, its neighbours have {_N_REGIONS}"
            )
        motion = read_motion(folder / run.motion.path, n_frames=series.shape[1])
        hashed = () if checksums else (hashlib.sha256(raw).hexdigest(), sha256_of_file(folder / run.motion.path))
        return series.astype(np.float32), motion.astype(np.float32), hashed

    with ThreadPoolExecutor(n_jobs) as executor:
        scans = list(executor.map(read, runs))
    checksums = checksums or tuple(one for *_, hashed in scans for one in hashed)
    lengths = [motion.size for _, motion, _ in scans]
    time_series = np.zeros((len(scans), _N_REGIONS, max(lengths)), dtype=np.float32)
    mask = np.zeros((len(scans), max(lengths)), dtype=bool)
    for scan, (series, trace, _) in enumerate(scans):
        usable = np.isfinite(series).all(axis=0)
        time_series[scan, :, : trace.size] = np.where(usable, series, 0)
        mask[scan, : trace.size] = usable
        if not usable.any():
            raise DataError(f"{folder / runs[scan].time_series.path} has NaN in every frame")
    found = {
        "time_series": time_series,
        "mask": mask,
        "motion": padded([motion for _, motion, _ in scans]),
        "n_frames": np.array(lengths),
    }
    if arrays is not None:
        store_arrays(arrays, _paths(runs, folder), f"msc {nan_policy}", checksums, found)
    return CachedArrays(found, checksums)


def _scan_set(
    runs: Sequence[RunFiles],
    kept: CachedArrays,
    origin: str,
    labels: tuple[tuple[str, ...], tuple[str, ...]],
    notes: tuple[str, ...],
) -> ScanSet:
    paths = [file.path for run in runs for file in (run.time_series, run.motion)]
    return ScanSet(
        time_series=kept.arrays["time_series"],
        mask=kept.arrays["mask"],
        motion=kept.arrays["motion"],
        table=_table(runs, kept.arrays["n_frames"].tolist()),
        region_labels=labels[0],
        repetition_time=_REPETITION_TIME,
        provenance=_provenance(origin, dict(zip(paths, kept.checksums, strict=True)), notes + labels[1]),
    )


class _Packed:
    """The resting scans of sessions 1 to 3 in one file, as some data folders hold them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        subjects, sessions = self._read("subject"), self._read("session")
        if subjects.ndim != 1 or subjects.shape != sessions.shape or subjects.dtype.kind != "U":
            raise DataError(f"{path}: subject and session are not lists of names of one length")
        names = zip(subjects.tolist(), sessions.tolist(), strict=True)
        self._rows = {
            (subject.removeprefix("sub-"), session.removeprefix("ses-func")): row
            for row, (subject, session) in enumerate(names)
        }

    def holds(self, runs: Sequence[RunFiles]) -> bool:
        return all(run.task == "rest" and run.run == 1 and self._key(run) in self._rows for run in runs)

    def scans(
        self,
        runs: Sequence[RunFiles],
        labels: tuple[tuple[str, ...], tuple[str, ...]],
        notes: tuple[str, ...],
    ) -> ScanSet:
        rows = [self._rows[self._key(run)] for run in runs]
        series, motion = self._read("time_series"), self._read("relrms")
        if series.ndim != 3 or series.shape[:2] != (len(self._rows), _N_REGIONS):
            raise DataError(
                f"{self._path}: time_series has shape {series.shape}, expected ({len(self._rows)}, {_N_REGIONS}, frame)"
            )
        if motion.shape != (series.shape[0], series.shape[2]):
            raise DataError(f"{self._path}: relrms has shape {motion.shape}, not (scan, frame)")
        n_frames = series.shape[2]
        return ScanSet(
            time_series=series[rows].astype(np.float32, copy=False),
            mask=np.ones((len(rows), n_frames), dtype=bool),
            motion=motion[rows],
            table=_table(runs, [n_frames] * len(rows)),
            region_labels=labels[0],
            repetition_time=_REPETITION_TIME,
            provenance=_provenance("CONN_DATA_DIR", {_PACKED: sha256_of_file(self._path)}, notes + labels[1]),
        )

    @staticmethod
    def _key(run: RunFiles) -> tuple[str, str]:
        return run.subject, f"{run.session:02d}"

    def _read(self, name: str) -> NDArray[Any]:
        try:
            # Opened here, since np.load leaves a file open that it cannot make sense of.
            with self._path.open("rb") as stream, np.load(stream, allow_pickle=False) as packed:
                return packed[name]
        except KeyError as error:
            raise DataError(f"{self._path} has no array {name!r}") from error
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{self._path} cannot be read: {error}") from error
