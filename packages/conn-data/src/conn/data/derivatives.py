"""Folders of BIDS derivatives as fMRIPrep and XCP-D write them: runs, series, confounds, connectivity matrices."""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from conn.data.confound_expressions import confound_columns
from conn.data.errors import DataError, DataUnavailableError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CONFOUND_STRATEGIES",
    "DerivativeRun",
    "find_derivative_runs",
    "load_confounds",
    "read_relmat",
    "read_timeseries",
    "write_relmat",
]

_RUN_ENTITIES = ("sub", "ses", "task", "acq", "dir", "rec", "run", "echo")
_IMAGES = (".dtseries.nii", ".nii.gz")
_PLAIN = re.compile(r"[A-Za-z0-9+]+")

# Names to the arguments of nilearn's loader, which knows fMRIPrep's columns in all of its versions.
CONFOUND_STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "motion6": {"strategy": ("high_pass", "motion"), "motion": "basic"},
    "motion24": {"strategy": ("high_pass", "motion"), "motion": "full"},
    "9p": {"strategy": ("high_pass", "motion", "wm_csf", "global_signal"), "motion": "basic"},
    "36p": {
        "strategy": ("high_pass", "motion", "wm_csf", "global_signal"),
        "motion": "full",
        "wm_csf": "full",
        "global_signal": "full",
    },
    "simple": {"strategy": ("high_pass", "motion", "wm_csf"), "motion": "full", "wm_csf": "basic"},
    "acompcor": {"strategy": ("high_pass", "motion", "compcor"), "motion": "full", "compcor": "anat_combined"},
    "acompcor5": {
        "strategy": ("high_pass", "motion", "compcor"),
        "motion": "full",
        "compcor": "anat_separated",
        "n_compcor": 5,
    },
}


@dataclass(frozen=True, kw_only=True)
class DerivativeRun:
    """The files of one run.

    Parameters
    ----------
    entities : mapping of str to str
        What the names of all its files share: ``sub``, ``ses``, ``task``, ``run``, as written in them.
    series : path or None
        Parcellated series, ``_timeseries.tsv`` with one column a region.
    image : path or None
        The run itself, ``_bold.dtseries.nii`` or ``_desc-preproc_bold.nii.gz``; only where no series is.
    confounds : path or None
        fMRIPrep's ``_desc-confounds_timeseries.tsv``.
    coverage, outliers, motion, relmat : path or None
        XCP-D's ``_stat-coverage_bold.tsv``, ``_outliers.tsv``, ``_motion.tsv`` and
        ``_stat-pearsoncorrelation_relmat.tsv``.
    """

    entities: Mapping[str, str]
    series: Path | None = None
    image: Path | None = None
    confounds: Path | None = None
    coverage: Path | None = None
    outliers: Path | None = None
    motion: Path | None = None
    relmat: Path | None = None

    @property
    def name(self) -> str:
        """The part of the files' names that says which run it is, such as ``sub-01_task-rest_run-1``."""
        return "_".join(f"{key}-{value}" for key, value in self.entities.items())

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the run, with the JSON files beside them."""
        named = [self.series, self.image, self.confounds, self.coverage, self.outliers, self.motion, self.relmat]
        found = [path for path in named if path is not None]
        return (*found, *(side for path in found if (side := sidecar_path(path)).is_file()))

    def metadata(self) -> dict[str, Any]:
        """Return what the JSON file beside the series (or the image) says; empty if there is none."""
        main = self.series or self.image
        return {} if main is None else _read_json(sidecar_path(main))


def find_derivative_runs(
    folder: str | Path,
    *,
    atlas: str | None = None,
    space: str | None = None,
    task: str | None = None,
    subjects: Sequence[str] | None = None,
) -> list[DerivativeRun]:
    """Return the runs of a folder of derivatives, in the order of their names.

    The folder is indexed by ancpBIDS (extra ``bids``).

    Parameters
    ----------
    folder : path
        What fMRIPrep or XCP-D wrote.
    atlas : str, default None
        Label of an atlas, as in ``atlas-<label>`` or ``seg-<label>`` of the names: the runs' parcellated series. None
        finds the images of runs, CIFTI before volumes where a run has both.
    space : str, default None
        Take files of this space only. Where a run is there in several, one must be named.
    task : str, default None
        Take this task only.
    subjects : sequence of str, default None
        Take these people only, without ``sub-``.

    Returns
    -------
    list of DerivativeRun

    Raises
    ------
    DataUnavailableError
        If there is no such folder, or no such run in it; the message tells the atlases that there are.
    DataError
        If ancpBIDS is not installed, or a run has several files where one was expected.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataUnavailableError(f"{folder} is no folder")
    files = _index(folder)
    main: dict[tuple[tuple[str, str], ...], list[_File]] = {}
    beside: dict[tuple[tuple[str, str], ...], list[_File]] = {}
    atlases: set[str] = set()
    for file in files:
        who = tuple((key, file.entities[key]) for key in _RUN_ENTITIES if key in file.entities)
        beside.setdefault(who, []).append(file)
        label = file.entities.get("atlas", file.entities.get("seg"))
        is_series = file.suffix == "timeseries" and file.extension == ".tsv" and label is not None
        if is_series:
            atlases.add(str(label))
        is_image = (
            file.suffix == "bold" and file.extension in _IMAGES and file.entities.get("desc") in (None, "preproc")
        )
        if not (is_series and label == atlas if atlas is not None else is_image and label is None):
            continue
        if any(
            asked is not None and file.entities.get(key) != asked for key, asked in (("space", space), ("task", task))
        ):
            continue
        if subjects is None or file.entities.get("sub") in subjects:
            main.setdefault(who, []).append(file)
    if not main:
        what = f"series of atlas {atlas!r}" if atlas is not None else "image of a run"
        known = f"; there are atlases {', '.join(sorted(atlases))}" if atlases else ""
        raise DataUnavailableError(f"{folder} has no {what} with what was asked for{known}")
    return [_run(dict(who), candidates, beside[who], atlas) for who, candidates in sorted(main.items())]


def read_timeseries(path: str | Path) -> "pd.DataFrame":
    """Return a table of numbers with a header, such as parcellated series: one column a region, one row a frame.

    ``n/a`` and empty fields are NaN.

    Parameters
    ----------
    path : path
        A ``.tsv`` file.

    Raises
    ------
    DataError
        If it cannot be read, is empty, has a column twice, or a field is no number; the message names file and
        column.
    """
    import pandas as pd

    path = Path(path)
    try:
        with path.open(encoding="utf-8") as stream:
            header = stream.readline().rstrip("\r\n").split("\t")
        table = pd.read_csv(path, sep="\t", na_values=["n/a"], encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())}") from error
    if len(set(header)) != len(header):
        raise DataError(
            f"{path}, line 1: column {next(name for name in header if header.count(name) > 1)!r} is there twice"
        )
    if table.shape[0] == 0:
        raise DataError(f"{path} has no line after its header")
    for name in table.columns:
        if table[name].dtype.kind not in "fiub":
            raise DataError(f"{path}, column {name!r}: not all fields are numbers")
    return table.astype(np.float64)


def load_confounds(path: str | Path, confounds: str) -> "pd.DataFrame":
    """Return the regressors of a run from fMRIPrep's table, by a strategy's name or by an expression.

    Parameters
    ----------
    path : path
        ``..._desc-confounds_timeseries.tsv``, with its JSON file beside it where components are used.
    confounds : str
        A name of `CONFOUND_STRATEGIES`, which nilearn's loader (extra ``volumes``) makes columns of: ``"motion6"``,
        ``"motion24"``, ``"9p"``, ``"36p"``, ``"simple"``, ``"acompcor"`` (all components of the combined mask),
        ``"acompcor5"`` (five of each mask); each has the cosines of fMRIPrep's high-pass filter. Or an expression, see
        `confound_columns`.

    Returns
    -------
    pandas.DataFrame
        One row a frame. nilearn's are centred.

    Raises
    ------
    DataError
        If nilearn is needed and not installed, the table or its JSON file cannot be read, or has not what was asked
        for.
    """
    path = Path(path)
    if confounds not in CONFOUND_STRATEGIES:
        metadata = _read_json(sidecar_path(path))
        table = read_timeseries(path)
        try:
            return confound_columns(table, confounds, metadata=metadata or None)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    try:
        from nilearn.interfaces import fmriprep
    except ModuleNotFoundError as error:
        raise DataError(
            f'confounds {confounds!r} need nilearn; `pip install "conn-data[volumes]"` brings it, '
            "expressions do without"
        ) from error
    # nilearn finds the table by the name of an image beside it, which need not be there.
    name = re.sub(r"_desc-confounds_(?:timeseries|regressors)\.tsv$", "_desc-preproc_bold.nii.gz", path.name)
    if name == path.name:
        raise DataError(f"{path} is not named ..._desc-confounds_timeseries.tsv")
    # nilearn trusts the table; what it is not made for shows in many ways.
    read_timeseries(path)
    try:
        table, _ = fmriprep.load_confounds(str(path.with_name(name)), **CONFOUND_STRATEGIES[confounds])
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())}") from error
    if table is None or isinstance(table, list):
        raise DataError(f"{path}: confounds {confounds!r} select no column")
    return table


def read_relmat(path: str | Path) -> "pd.DataFrame":
    """Return a connectivity matrix with its labels, from XCP-D's or our ``_relmat.tsv``.

    Parameters
    ----------
    path : path
        A table with labels in its first line and its first column.

    Returns
    -------
    pandas.DataFrame
        float64, rows receive and columns send; NaN where the file has ``n/a``.

    Raises
    ------
    DataError
        If it cannot be read, is not square, or labels of rows and columns differ.
    """
    import pandas as pd

    path = Path(path)
    try:
        table = pd.read_csv(path, sep="\t", index_col=0, na_values=["n/a"], encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())}") from error
    labels = [str(name) for name in table.index]
    if labels != [str(name) for name in table.columns]:
        raise DataError(f"{path}: the labels of its {table.shape[0]} rows and {table.shape[1]} columns differ")
    try:
        return pd.DataFrame(table.to_numpy(dtype=np.float64), index=labels, columns=labels)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: not all fields are numbers") from error


def write_relmat(
    path: str | Path, matrix: ArrayLike, labels: Sequence[str], *, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Return the path of a connectivity matrix just written, with a JSON file of the same name beside it.

    The name follows the *draft* of BIDS for connectivity (BEP017), as XCP-D does: ``_relmat.tsv``. It is not part of
    the standard and may change; the JSON file says so.

    Parameters
    ----------
    path : path
        Its name must end in ``_relmat.tsv``. Missing folders are made; older files are replaced when the new ones are
        complete.
    matrix : array, shape (region, region)
        Rows receive, columns send. NaN is written as ``n/a``.
    labels : sequence of str
        One unique label a region.
    metadata : mapping, default None
        What the JSON file tells besides.

    Raises
    ------
    DataError
        If the name ends otherwise, labels and matrix do not fit, a label is used twice or has a tab or a line break in
        it, or the files cannot be written.
    """
    import pandas as pd

    path, values = Path(path), np.asarray(matrix, dtype=np.float64)
    names = [str(label) for label in labels]
    if not path.name.endswith("_relmat.tsv"):
        raise DataError(f"{path}: the name must end in _relmat.tsv")
    if values.shape != (len(names), len(names)) or not names:
        raise DataError(f"the matrix has shape {values.shape}, there are {len(names)} labels")
    if len(set(names)) != len(names) or any(re.search(r"[\t\r\n]", name) for name in names):
        raise DataError(f"{path}: labels must be unique, without tabs and line breaks")
    table = pd.DataFrame(values, index=pd.Index(names, name="Node"), columns=names)
    facts = {
        "RelationshipMeasure": "unknown",
        **(metadata or {}),
        "BIDSDraft": "named after the draft of BEP017 (connectivity matrices), which is not part of BIDS",
        "Orientation": "rows receive, columns send",
    }
    _write(sidecar_path(path), json.dumps(facts, indent=2, sort_keys=True) + "\n")
    _write(path, table.to_csv(sep="\t", na_rep="n/a", float_format="%.9g", lineterminator="\n"))
    return path


def sidecar_path(path: Path) -> Path:
    """Return the JSON file of the same name."""
    for ending in (".dtseries.nii", ".nii.gz"):
        if path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + ".json")
    return path.with_suffix(".json")


@dataclass(frozen=True)
class _File:
    path: Path
    entities: dict[str, str]
    suffix: str
    extension: str


def _index(folder: Path) -> list[_File]:
    try:
        import ancpbids
        from ancpbids.utils import parse_bids_name
    except ModuleNotFoundError as error:
        raise DataError(
            'folders of derivatives are indexed by ancpBIDS; `pip install "conn-data[bids]"` brings it'
        ) from error
    # Without the pickled index that the library would read from the folder itself.
    options = ancpbids.DatasetOptions(ignore=False, infer_artifact_datatype=False, ignore_pickle_file=True)
    dataset = ancpbids.load_dataset(str(folder), options)
    suffixes = ["timeseries", "bold", "relmat", "outliers", "motion"]
    found = []
    artifacts: Any = dataset.query(suffix=suffixes, return_type="object")
    for artifact in artifacts:
        relative = artifact.get_relative_path()
        # The names' own text: the index makes numbers of some, and 01 and 1 are different names.
        parts: Any = parse_bids_name(Path(relative).name)
        entities = {str(key): str(value) for key, value in parts["entities"].items()}
        if "sub" in entities and all(_PLAIN.fullmatch(value) for value in entities.values()):
            found.append(_File(folder / relative, entities, str(parts["suffix"]), str(parts["extension"])))
    return sorted(found, key=lambda file: str(file.path))


def _run(who: dict[str, str], candidates: list[_File], beside: list[_File], atlas: str | None) -> DerivativeRun:
    surface = [file for file in candidates if file.extension == ".dtseries.nii"]
    candidates = surface or candidates
    if len(candidates) > 1:
        raise DataError(
            f"{candidates[0].path} and {candidates[1].path.name} are both there: name a space to choose one of them"
        )
    chosen = candidates[0]

    def companion(suffix: str, **wanted: str | None) -> Path | None:
        """The one file beside it with this suffix, with the space and the atlas of the series where it has these."""
        fits = [
            file
            for file in beside
            if file.suffix == suffix
            and file.extension == ".tsv"
            and all(file.entities.get(key) == value for key, value in wanted.items())
            and all(
                file.entities.get(key) in (None, chosen.entities.get(key))
                for key in ("space", "atlas", "seg", "den", "res")
            )
            and (suffix not in ("bold", "relmat") or _atlas(file) == atlas)
        ]
        if len(fits) > 1:
            raise DataError(f"{fits[0].path} and {fits[1].path.name} both belong to {chosen.path.name}")
        return fits[0].path if fits else None

    return DerivativeRun(
        entities=who,
        series=chosen.path if atlas is not None else None,
        image=chosen.path if atlas is None else None,
        confounds=companion("timeseries", desc="confounds"),
        coverage=companion("bold", stat="coverage"),
        outliers=companion("outliers"),
        motion=companion("motion"),
        relmat=companion("relmat", stat="pearsoncorrelation", desc=None),
    )


def _atlas(file: _File) -> str | None:
    return file.entities.get("atlas", file.entities.get("seg"))


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(facts, dict):
        raise DataError(f"{path} holds no table of facts")
    return facts


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
