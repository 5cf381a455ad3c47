"""From a folder of derivatives to labelled connectomes, run by run, with quality control."""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from conn.eval._version import __version__
from conn.eval.connectomes import group_connectome
from conn.eval.errors import import_extra
from conn.eval.files import check_output_folder, write_files
from conn.eval.quality_control import qc_fc
from conn.eval.report import Report
from conn.eval.results import environment_versions, write_results

if TYPE_CHECKING:
    from conn.data import CiftiAtlas, DerivativeRun

__all__ = ["KINDS", "ConnectomeSettings", "write_connectomes"]

# Kinds to the label in the files' names, which is XCP-D's for the first.
KINDS: Mapping[str, str] = {
    "correlation": "pearsoncorrelation",
    "covariance": "covariance",
    "partial-correlation": "partialcorrelation",
}


@dataclass(frozen=True, kw_only=True)
class ConnectomeSettings:
    """What is done with every run.

    Parameters
    ----------
    atlas : str
        Label of parcellated series (``atlas-<label>`` in their names), or the path of a ``.dlabel.nii`` file or an
        image of labels (``.nii.gz``), with which the runs' images are parcellated.
    confounds : str or None, default None
        A strategy's name or an expression, see `conn.data.load_confounds`; None regresses nothing but a linear trend.
    band : pair of float or None, default None
        Lowest and highest frequency that pass, in hertz; either may be None.
    fd_threshold : float or None, default None
        Frames that moved more than this since the one before are censored, in millimetres (framewise displacement).
        With None and a table of XCP-D's outliers, those are; otherwise nothing is.
    kind : {"correlation", "covariance", "partial-correlation"}, default "correlation"
        The partial correlation is shrunk after Ledoit and Wolf.
    dummy_frames : int or None, default None
        Frames dropped at the beginning; None counts fMRIPrep's ``non_steady_state_outlier`` columns.
    minimum_coverage : float, default 0.5
        A region of which less than this share has a signal is NaN, as far as coverage is known.
    minimum_minutes : float, default 4.0
        A run with less than this left after censoring is excluded.
    space, task : str or None, default None
        Take these only.

    Raises
    ------
    ValueError
        If a number is out of its range or the kind is unknown.
    """

    atlas: str
    confounds: str | None = None
    band: tuple[float | None, float | None] | None = None
    fd_threshold: float | None = None
    kind: Literal["correlation", "covariance", "partial-correlation"] = "correlation"
    dummy_frames: int | None = None
    minimum_coverage: float = 0.5
    minimum_minutes: float = 4.0
    space: str | None = None
    task: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is none of {', '.join(KINDS)}")
        if not self.atlas:
            raise ValueError("atlas is empty, expected a label or a file")
        if self.fd_threshold is not None and not self.fd_threshold > 0:
            raise ValueError(f"fd_threshold is {self.fd_threshold}, expected millimetres above 0")
        if self.dummy_frames is not None and self.dummy_frames < 0:
            raise ValueError(f"dummy_frames is {self.dummy_frames}, expected a number that is not negative")
        if not 0 <= self.minimum_coverage <= 1:
            raise ValueError(f"minimum_coverage is {self.minimum_coverage}, expected a share from 0 to 1")
        if not self.minimum_minutes >= 0:
            raise ValueError(f"minimum_minutes is {self.minimum_minutes}, expected a number that is not negative")
        if self.band is not None:
            low, high = (
                edge if edge is not None else default for edge, default in zip(self.band, (0, np.inf), strict=True)
            )
            if not 0 <= low < high:
                raise ValueError(f"band {self.band} does not run from a lower to a higher frequency")


@dataclass(frozen=True, kw_only=True)
class _Series:
    """One run as it was read."""

    values: np.ndarray  # (region, frame)
    labels: tuple[str, ...]
    coverage: np.ndarray
    repetition_time: float
    raw: bool  # whether its mean over time is that of the signal


class _Unusable(Exception):
    """Why a run is excluded."""


def write_connectomes(
    derivatives: str | Path,
    out: str | Path,
    settings: ConnectomeSettings,
    *,
    coordinates: pd.DataFrame | None = None,
    subjects: Sequence[str] | None = None,
    report: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, pd.DataFrame]:
    """Return the tables of quality control of all runs, after their connectomes were written.

    Each run gets a ``_relmat.tsv`` with its labels and a JSON file, and one more before cleaning
    (``desc-uncleaned``), for the comparison of the two. Each task gets the mean over its runs, correlations in
    Fisher's z. ``runs.csv``, ``excluded.csv`` and ``results.json`` hold the quality control. A run whose files and
    settings are what they were is not computed again: its checksums stand in ``runs/<run>.json``.

    Names follow the *draft* of BIDS for connectivity (``relmat``), which is not part of the standard.

    Parameters
    ----------
    derivatives : path
        What fMRIPrep or XCP-D wrote.
    out : path
        Folder for what is written; made if it is missing.
    settings : ConnectomeSettings
        What is done with every run.
    coordinates : DataFrame, optional
        Columns ``label``, ``x``, ``y``, ``z`` (millimetres) for the dependence of QC-FC on distance.
    subjects : sequence of str, optional
        Take these people only, without ``sub-``.
    report : bool, default False
        Write ``report.html`` too (extra ``report``).
    progress : callable, optional
        Called with the run's name, its number and the number of all before each run.

    Returns
    -------
    dict of str to DataFrame
        ``"runs"``: one row a run with a connectome: frames, frames dropped at the beginning and censored, minutes left,
        mean and largest framewise displacement (before censoring, after the dropped frames), number of confounds,
        regions below the coverage, median temporal signal-to-noise ratio (NaN where the series have no mean of their
        own). ``"excluded"``: ``run`` and ``reason``. ``"qc_fc"``: ``stage`` (before, after), ``median_absolute``,
        ``share_significant``, ``distance_correlation`` and ``n_scans``; empty for fewer than four runs.

    Raises
    ------
    conn.data.DataError
        If the folder or a file cannot be read (also a ``ValueError``).
    ValueError
        If no run can be used, or the runs have different regions.
    OutputError, MissingExtraError
        If `out` cannot be written; if conn-data or conn-functional (extra ``connectome``) is not installed.

    Notes
    -----
    The order of cleaning is that of `conn.functional.clean`. XCP-D's series are denoised already: leave `confounds` and
    `band` out. Where XCP-D has removed the outliers itself they are shorter than its table says, and nothing is
    censored again.

    References
    ----------
    Ciric et al. 2017, NeuroImage 154:174-187. https://doi.org/10.1016/j.neuroimage.2017.03.020
    Mehta et al. 2024, Imaging Neuroscience 2:1-26. https://doi.org/10.1162/imag_a_00257

    Examples
    --------
    >>> settings = ConnectomeSettings(atlas="4S156Parcels", fd_threshold=0.3)
    >>> tables = write_connectomes("xcp_d", "connectomes", settings)  # doctest: +SKIP
    """
    data = import_extra("conn.data", extra="connectome")
    import_extra("conn.functional", extra="connectome")
    out = check_output_folder(out)
    file = Path(settings.atlas) if settings.atlas.endswith((".nii", ".nii.gz")) else None
    runs = data.find_derivative_runs(
        derivatives,
        atlas=settings.atlas if file is None else None,
        space=settings.space,
        task=settings.task,
        subjects=subjects,
    )
    atlas = data.read_dlabel(file) if file is not None and file.name.endswith(".dlabel.nii") else file
    label = _plain(settings.atlas if file is None else file.name.partition(".")[0])
    kept: list[dict[str, Any]] = []
    excluded: list[dict[str, str]] = []
    for number, run in enumerate(runs):
        if progress is not None:
            progress(run.name, number, len(runs))
        inputs = _checksums(run, Path(derivatives), file)
        state = _finished(out, run.name, inputs, settings)
        if state is None:
            state = _one_run(run, out, settings, label, atlas, inputs)
        if state["reason"]:
            excluded.append({"run": run.name, "reason": state["reason"]})
        else:
            kept.append({"run": run.name, **state["quality"], "relmat": state["relmat"], "before": state["before"]})
    tables = {
        "excluded": pd.DataFrame(excluded, columns=["run", "reason"]),
        "runs": pd.DataFrame([{key: value for key, value in row.items() if key != "before"} for row in kept]),
    }
    if not kept:
        write_results(
            out, {"settings": _told(settings), "versions": environment_versions()}, {"excluded": tables["excluded"]}
        )
        raise ValueError(
            f"no run of {derivatives} can be used; the first: {excluded[0]['run']}: {excluded[0]['reason']}"
        )
    tables["qc_fc"] = _group(out, kept, settings, label, coordinates)
    write_results(
        out,
        {
            "settings": _told(settings),
            "versions": environment_versions(),
            "n_runs": len(kept),
            "n_excluded": len(excluded),
        },
        tables,
    )
    write_files(
        {
            out / "dataset_description.json": json.dumps(
                {
                    "Name": "Connectomes",
                    "BIDSVersion": "1.10.0",
                    "DatasetType": "derivative",
                    "GeneratedBy": [{"Name": "conn-eval", "Version": __version__}],
                },
                indent=2,
            )
            + "\n"
        }
    )
    if report:
        _report(out, tables, settings)
    return tables


def _one_run(
    run: "DerivativeRun",
    out: Path,
    settings: ConnectomeSettings,
    label: str,
    atlas: "CiftiAtlas | Path | None",
    inputs: dict[str, str],
) -> dict[str, Any]:
    """Compute and write one run, and write last that it is finished."""
    from conn.data import write_relmat

    folder = out / f"sub-{run.entities['sub']}"
    if "ses" in run.entities:
        folder = folder / f"ses-{run.entities['ses']}"
    stem = f"{run.name}_atlas-{label}_stat-{KINDS[settings.kind]}"
    state: dict[str, Any] = {"inputs": inputs, "settings": _told(settings), "version": __version__, "reason": ""}
    try:
        series = _read(run, settings, atlas)
        cleaned, before, quality = _clean(run, series, settings)
    except _Unusable as reason:
        state["reason"] = str(reason)
    else:
        facts = {"RelationshipMeasure": KINDS[settings.kind], "Atlas": label, "RepetitionTime": series.repetition_time}
        facts |= {"Settings": _told(settings), "Quality": _without_nan(quality)}
        places = {"relmat": folder / "func" / f"{stem}_relmat.tsv"}
        places["before"] = folder / "func" / f"{stem}_desc-uncleaned_relmat.tsv"
        for (name, path), matrix in zip(places.items(), (cleaned, before), strict=True):
            write_relmat(path, matrix, series.labels, metadata=facts | {"Cleaned": name == "relmat"})
            state[name] = path.relative_to(out).as_posix()
        state["quality"] = _without_nan(quality)
    write_files({_state_path(out, run.name): json.dumps(state, indent=2) + "\n"})
    return state


def _read(run: "DerivativeRun", settings: ConnectomeSettings, atlas: "CiftiAtlas | Path | None") -> _Series:
    from conn.data import DataError, parcellate_cifti, parcellate_volume, read_timeseries

    if run.series is not None:
        table = read_timeseries(run.series)
        coverage = np.ones(table.shape[1])
        if run.coverage is not None:
            told = _read_coverage(run.coverage)
            absent = [name for name in table.columns if name not in told]
            if absent:
                raise DataError(f"{run.coverage} has no region {absent[0]!r}, which {run.series.name} has")
            coverage = np.array([told[name] for name in table.columns])
        step = run.metadata().get("RepetitionTime")
        if not isinstance(step, (int, float)) or not step > 0:
            raise DataError(f"{run.series} has no JSON file beside it that tells RepetitionTime")
        return _Series(
            values=table.to_numpy().T,
            labels=tuple(str(name) for name in table.columns),
            coverage=coverage,
            repetition_time=float(step),
            raw=run.confounds is not None,
        )
    image = run.image
    if image is None or atlas is None:
        raise DataError(f"{run.name} has neither series nor an image")
    cifti = image.name.endswith(".dtseries.nii")
    if cifti is isinstance(atlas, Path):
        raise DataError(f"{image} is a {'CIFTI file' if cifti else 'volume'}, the atlas {settings.atlas} is not")
    found: Any = (
        parcellate_volume(image, atlas, minimum_coverage=settings.minimum_coverage)
        if isinstance(atlas, Path)
        else parcellate_cifti(image, atlas, minimum_coverage=settings.minimum_coverage)
    )
    return _Series(
        values=found.time_series,
        labels=found.region_labels,
        coverage=found.coverage,
        repetition_time=found.repetition_time,
        raw=True,
    )


def _read_coverage(path: Path) -> dict[str, float]:
    """Return the coverage of each region from XCP-D's table: labels in the first column, shares in the second."""
    from conn.data import DataError

    try:
        table = pd.read_csv(path, sep="\t", na_values=["n/a"], encoding="utf-8")
        shares = table.iloc[:, 1].astype(float).fillna(0.0)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{path}: no table of regions and their coverage: {error}") from error
    return dict(zip(table.iloc[:, 0].astype(str), shares, strict=True))


def _clean(
    run: "DerivativeRun", series: _Series, settings: ConnectomeSettings
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return the connectomes after and before cleaning, and what is known of the run's quality."""
    import jax

    frames, motion, confounds, outlier = _companions(run, series, settings)
    values = series.values[:, frames:]
    n_frames = values.shape[1]
    step = series.repetition_time
    moved = motion[frames:]
    mask = np.ones(n_frames, dtype=bool)
    if settings.fd_threshold is not None:
        if np.isnan(moved).all():
            raise _Unusable("no framewise displacement is known, which the threshold needs")
        # The first frame of a run has none before it, and did not move.
        mask = ~(np.nan_to_num(moved) > settings.fd_threshold)
    elif outlier is not None:
        mask = ~outlier[frames:]
    known = (series.coverage >= settings.minimum_coverage) & np.isfinite(values).all(axis=1)
    known &= np.ptp(np.where(np.isfinite(values), values, 0.0), axis=1) > 0
    minutes = float(mask.sum() * step / 60)
    regressors = None if confounds is None else confounds[:, frames:]
    n_confounds = 0 if regressors is None else len(regressors)
    if minutes < settings.minimum_minutes:
        raise _Unusable(f"{minutes:.2f} minutes are left after censoring, fewer than {settings.minimum_minutes:g}")
    if known.sum() < 2:
        raise _Unusable(f"{int(known.sum())} regions have a signal and {settings.minimum_coverage:g} of coverage")
    if mask.sum() <= n_confounds + 2:
        raise _Unusable(f"{int(mask.sum())} frames are left, too few for {n_confounds} confounds and a trend")
    signal = values[known]
    with jax.enable_x64(True):
        everything = np.ones(n_frames, dtype=bool)
        after = _embedded(_program(settings.kind, settings.band, step)(signal, regressors, mask), known)
        before = _embedded(_program(settings.kind, None, step)(signal, None, everything), known)
    spread, mean = signal.std(axis=1), signal.mean(axis=1)
    quality = {
        "n_frames": n_frames + frames,
        "dummy_frames": frames,
        "censored_frames": int((~mask).sum()),
        "minutes": minutes,
        "mean_fd": float(np.nanmean(moved)) if np.isfinite(moved).any() else float("nan"),
        "largest_fd": float(np.nanmax(moved)) if np.isfinite(moved).any() else float("nan"),
        "n_confounds": n_confounds,
        "regions_left_out": int((~known).sum()),
        # A ratio below 1 is that of series whose mean was taken away.
        "median_tsnr": float(np.median(mean / spread)) if series.raw and (mean > spread).all() else float("nan"),
    }
    return after, before, quality


def _companions(
    run: "DerivativeRun", series: _Series, settings: ConnectomeSettings
) -> tuple[int, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return the dummy frames, framewise displacement, the confounds and the outliers of a run."""
    from conn.data import DataError, load_confounds, read_timeseries

    n_frames = series.values.shape[1]
    motion, confounds, outlier, dummies = np.full(n_frames, np.nan), None, None, 0
    if run.confounds is not None:
        table = read_timeseries(run.confounds)
        if len(table) != n_frames:
            raise DataError(f"{run.confounds} has {len(table)} frames, the run has {n_frames}")
        dummies = sum(name.startswith("non_steady_state_outlier") for name in table.columns)
        if "framewise_displacement" in table.columns:
            motion = table["framewise_displacement"].to_numpy()
        if settings.confounds is not None:
            confounds = load_confounds(run.confounds, settings.confounds).to_numpy(dtype=np.float64).T
    elif settings.confounds is not None:
        raise DataError(f"{run.name} has no table of confounds (XCP-D's series are clean already: leave confounds out)")
    if run.outliers is not None:
        outlier = read_timeseries(run.outliers).iloc[:, 0].to_numpy() > 0
        moved = motion
        if run.motion is not None:
            found = read_timeseries(run.motion)
            if "framewise_displacement" not in found.columns or len(found) != len(outlier):
                raise DataError(f"{run.motion} has no framewise_displacement of {len(outlier)} frames")
            moved = found["framewise_displacement"].to_numpy()
        if len(outlier) == n_frames:
            motion = moved
        elif int((~outlier).sum()) == n_frames:
            if settings.band is not None:
                raise DataError(f"{run.name}: XCP-D has removed frames, so that no filter can run over what is left")
            motion, outlier = moved[~outlier] if moved.size == outlier.size else motion, None
        else:
            raise DataError(f"{run.outliers} has {len(outlier)} frames, the series have {n_frames}")
    if settings.dummy_frames is not None:
        dummies = settings.dummy_frames
    if dummies >= n_frames:
        raise _Unusable(f"{dummies} frames at the beginning do not count, of {n_frames}")
    return dummies, motion, confounds, outlier


@functools.cache
def _program(kind: str, band: tuple[float | None, float | None] | None, repetition_time: float) -> Callable[..., Any]:
    """Return the compiled way from series, confounds and mask to a connectome, which runs of one shape share."""
    import jax

    from conn.functional import clean, corr, cov, partial_corr

    def connectome(series: Any, confounds: Any, mask: Any) -> Any:
        cleaned = clean(series, confounds, mask=mask, band=band, repetition_time=repetition_time, standardisation=None)
        if kind == "correlation":
            return corr(cleaned, mask=mask, constant="nan")
        if kind == "covariance":
            return cov(cleaned, mask=mask)
        return partial_corr(cleaned, mask=mask, shrinkage="ledoit_wolf", constant="nan")

    return jax.jit(connectome)


def _embedded(found: Any, known: np.ndarray) -> np.ndarray:
    """Return a matrix of all regions, NaN where one has no signal."""
    matrix = np.asarray(found)
    whole = np.full((known.size, known.size), np.nan)
    whole[np.ix_(known, known)] = (matrix + matrix.T) / 2
    return whole


def _group(
    out: Path, kept: list[dict[str, Any]], settings: ConnectomeSettings, label: str, coordinates: pd.DataFrame | None
) -> pd.DataFrame:
    """Write the mean of each task, and return QC-FC before and after."""
    from conn.data import read_relmat, write_relmat

    matrices = {stage: [read_relmat(out / row[stage]) for row in kept] for stage in ("before", "relmat")}
    labels = list(matrices["relmat"][0].index)
    for row, matrix in zip(kept, matrices["relmat"], strict=True):
        if list(matrix.index) != labels:
            raise ValueError(f"{row['run']} has other regions than {kept[0]['run']}")
    stacks = {stage: np.stack([matrix.to_numpy() for matrix in found]) for stage, found in matrices.items()}
    tasks = [_task(row["run"]) for row in kept]
    for task in sorted(set(tasks)):
        chosen = stacks["relmat"][[one == task for one in tasks]]
        if settings.kind == "covariance":
            told = np.isfinite(chosen)
            count = told.sum(axis=0)
            total = np.where(told, chosen, 0.0).sum(axis=0)
            mean = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        else:
            mean = group_connectome(chosen, nan_policy="omit")
        name = f"task-{task}_atlas-{label}_stat-{KINDS[settings.kind]}_desc-group_relmat.tsv"
        facts = {"RelationshipMeasure": KINDS[settings.kind], "Atlas": label, "NumberOfRuns": len(chosen)}
        write_relmat(out / "group" / name, mean, labels, metadata=facts | {"Settings": _told(settings)})
    columns = ["stage", "median_absolute", "share_significant", "distance_correlation", "n_scans"]
    motion = np.array([np.nan if row["mean_fd"] is None else row["mean_fd"] for row in kept])
    told = np.isfinite(motion)
    if told.sum() < 4 or np.ptp(motion[told]) == 0:
        return pd.DataFrame(columns=columns)
    places = None
    if coordinates is not None:
        absent = [name for name in labels if name not in set(coordinates["label"])]
        if absent:
            raise ValueError(f"there are no coordinates of {absent[0]!r} ({len(absent)} of {len(labels)} regions)")
        places = coordinates.set_index("label").loc[labels, ["x", "y", "z"]].to_numpy(dtype=np.float64)
    rows = []
    for stage, name in (("before", "before"), ("after", "relmat")):
        found = qc_fc(stacks[name][told], motion[told], coordinates=places)
        rows.append([stage, *(getattr(found, column) for column in columns[1:])])
    return pd.DataFrame(rows, columns=columns)


def _report(out: Path, tables: dict[str, pd.DataFrame], settings: ConnectomeSettings) -> None:
    page = Report("Connectomes from derivatives")
    runs, excluded = tables["runs"], tables["excluded"]
    page.add_numbers(
        "Runs",
        {
            "runs with a connectome": len(runs),
            "runs excluded": len(excluded),
            "minutes": float(runs["minutes"].to_numpy(dtype=np.float64).sum()),
        },
    )
    page.add_table(
        "Runs", runs.drop(columns="relmat"), "Quality of each run; FD is framewise displacement in millimetres."
    )
    if len(excluded):
        page.add_table("Runs", excluded, "Runs left out, and why.")
    if len(tables["qc_fc"]):
        page.add_table("Motion", tables["qc_fc"], "QC-FC before and after cleaning: correlation of edges with mean FD.")
    told = {key: str(value) for key, value in _told(settings).items()}
    page.add_table(
        "Settings", pd.DataFrame(told.items(), columns=["setting", "value"]), "What was done with every run."
    )
    page.write(out / "report.html")


def _finished(out: Path, name: str, inputs: dict[str, str], settings: ConnectomeSettings) -> dict[str, Any] | None:
    """Return what an earlier call wrote of a run, if nothing that it depends on has changed."""
    try:
        state = json.loads(_state_path(out, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    expected = {"inputs": inputs, "settings": _told(settings), "version": __version__}
    if not isinstance(state, dict) or any(state.get(key) != value for key, value in expected.items()):
        return None
    if not state.get("reason") and not all((out / state.get(key, "absent")).is_file() for key in ("relmat", "before")):
        return None
    return state


def _checksums(run: "DerivativeRun", folder: Path, atlas: Path | None) -> dict[str, str]:
    found = {}
    for path in (*run.files, *([] if atlas is None else [atlas])):
        name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
        with path.open("rb") as stream:
            found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def _state_path(out: Path, name: str) -> Path:
    return out / "runs" / f"{name}.json"


def _told(settings: ConnectomeSettings) -> dict[str, Any]:
    told = asdict(settings)
    told["band"] = None if settings.band is None else list(settings.band)
    told["atlas"] = Path(settings.atlas).name
    return told


def _without_nan(quality: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in quality.items()}


def _task(run: str) -> str:
    return next((part.removeprefix("task-") for part in run.split("_") if part.startswith("task-")), "unknown")


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and letter.isalnum())
