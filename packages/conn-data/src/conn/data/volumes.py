"""Mean series of the regions of a volume, through nilearn."""

import json
import re
import warnings
from pathlib import Path

import numpy as np

from conn.data.checks import probability
from conn.data.cifti import RegionSeries
from conn.data.derivatives import sidecar_path
from conn.data.errors import DataError
from conn.data.region_tables import read_rows

__all__ = ["labels_of_volume", "parcellate_volume"]


def parcellate_volume(path: str | Path, atlas: str | Path, *, minimum_coverage: float = 0.5) -> RegionSeries:
    """Return the mean series of each region of a ``_bold.nii.gz``, by nilearn (extra ``volumes``).

    Parameters
    ----------
    path : path
        Four-dimensional image.
    atlas : path
        Image of whole numbers in the same space, 0 for no region. Labels are the column ``name`` (or ``label``) of a
        ``.tsv`` file of the same name beside it, with the column ``index``; without it they are the numbers. It is
        resampled to the run's grid by nearest neighbours.
    minimum_coverage : float, default 0.5
        A region of which less than this share of voxels has a signal is NaN. A voxel that is 0 or NaN in every
        frame has none, and does not count.

    Returns
    -------
    RegionSeries
        The repetition time is that of the JSON file beside the image, else of its header.

    Raises
    ------
    DataError
        If nilearn is not installed, a file cannot be read, the table of labels lacks a number of the image, or there
        is no repetition time.
    """
    path, atlas, least = Path(path), Path(atlas), probability("minimum_coverage", minimum_coverage)
    try:
        from nilearn import image
        from nilearn.maskers import NiftiLabelsMasker
    except ModuleNotFoundError as error:
        raise DataError('volumes need nilearn; `pip install "conn-data[volumes]"` brings it') from error
    from nibabel.filebasedimages import ImageFileError

    try:
        run = image.load_img(str(path))
        if len(run.shape) != 4:
            raise DataError(f"{path} has shape {run.shape}, expected four dimensions")
        data = np.asarray(run.dataobj, dtype=np.float32)
        signal = ((data != 0) & np.isfinite(data)).any(axis=3)
        with warnings.catch_warnings():
            # nilearn tells of its own future defaults.
            warnings.simplefilter("ignore", FutureWarning)
            labels = image.resample_to_img(
                str(atlas), image.index_img(run, 0), interpolation="nearest", copy_header=True, force_resample=True
            )
        numbers = np.asarray(labels.dataobj).round().astype(np.int64).reshape(signal.shape)
        used = [int(number) for number in np.unique(numbers) if number]
        if not used:
            raise DataError(f"{atlas} has no region on the grid of {path}")
        inside = image.new_img_like(run, signal.astype(np.uint8))
        masker = NiftiLabelsMasker(
            image.new_img_like(run, (numbers * signal).astype(np.int32)),
            mask_img=inside,
            standardize=False,
            reports=False,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of labels that the mask removes: coverage tells
            found = masker.fit_transform(run)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}, {atlas}: {' '.join(str(error).split())}") from error
    sizes = np.bincount(numbers.ravel())[used]
    present = np.bincount(numbers[signal], minlength=used[-1] + 1)[used]
    coverage = present / sizes
    series = np.full((len(used), run.shape[3]), np.nan)
    series[present > 0] = np.asarray(found, dtype=np.float64).T
    series[coverage < least] = np.nan
    return RegionSeries(
        time_series=series,
        region_labels=labels_of_volume(atlas, used),
        coverage=coverage,
        repetition_time=_seconds(path, run),
    )


def labels_of_volume(atlas: Path, used: list[int]) -> tuple[str, ...]:
    """Return the label of each number in an image, from the table beside it; the numbers themselves without one.

    Parameters
    ----------
    atlas : pathlib.Path
        The image; the table has the same name and ends in ``.tsv``.
    used : list of int
        Numbers.

    Raises
    ------
    DataError
        If the table cannot be read or lacks a column or a number.
    """
    table = atlas.with_name(atlas.name.removesuffix(".gz").removesuffix(".nii") + ".tsv")
    if not table.is_file():
        return tuple(str(number) for number in used)
    rows = read_rows(table)
    name = next((column for column in ("name", "label") if column in rows[0]), None)
    if name is None or "index" not in rows[0]:
        raise DataError(f"{table} has no columns index and name")
    known = {}
    for line, row in enumerate(rows[1:], start=2):
        word = row[rows[0].index("index")].strip()
        if not re.fullmatch("[0-9]{1,15}", word):
            raise DataError(f"{table}, line {line}, column index: {word[:40]!r} is not a whole number")
        known[int(word)] = row[rows[0].index(name)].strip()
    absent = [number for number in used if number not in known]
    if absent:
        raise DataError(f"{table} has no index {absent[0]}, which is in {atlas}")
    return tuple(known[number] for number in used)


def _seconds(path: Path, run: object) -> float:
    side = sidecar_path(path)
    if side.is_file():
        try:
            told = json.loads(side.read_text(encoding="utf-8")).get("RepetitionTime")
        except (ValueError, AttributeError) as error:
            raise DataError(f"{side} cannot be read: {error}") from error
        if isinstance(told, (int, float)) and told > 0:
            return float(told)
    step = float(run.header.get_zooms()[3])  # pyright: ignore[reportAttributeAccessIssue]
    if not (np.isfinite(step) and step > 0):
        raise DataError(f"{path} tells no repetition time")
    return step
