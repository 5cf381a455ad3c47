"""Mean series of the regions of a volume, through nilearn."""

import json
import math
import re
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conn.data.checks import probability
from conn.data.cifti import RegionSeries
from conn.data.derivatives import sidecar_path
from conn.data.errors import DataError
from conn.data.region_tables import read_rows

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

__all__ = ["labels_of_volume", "open_volume", "parcellate_volume", "values_of"]

# Deflate packs a byte into no fewer than 1/1032: a header that says more than this of its file is damaged.
_MOST_PACKED = 1032


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

    run, numbered = open_volume(path, 4), open_volume(atlas, 3)
    if not (values_of(numbered, atlas) >= 0).all():
        raise DataError(f"{atlas} has numbers below 0, or none")
    try:
        data = values_of(run, path)
        signal = ((data != 0) & np.isfinite(data)).any(axis=3)
        with warnings.catch_warnings():
            # nilearn tells of its own future defaults.
            warnings.simplefilter("ignore", FutureWarning)
            labels = image.resample_to_img(
                numbered, image.index_img(run, 0), interpolation="nearest", copy_header=True, force_resample=True
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
    except DataError:
        raise
    except (OSError, EOFError, ValueError, ArithmeticError) as error:
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


def open_volume(path: Path, n_dimensions: int) -> "Nifti1Image":
    """Return an image of numbers whose header fits its file; the numbers themselves are not read yet.

    Raises
    ------
    DataError
        If it cannot be read, has another number of dimensions, or its header says more than the file can hold.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.nifti1 import Nifti1Image
    from nibabel.spatialimages import HeaderDataError

    try:
        image = nibabel.load(path)
        size = path.stat().st_size
    except (
        ImageFileError,
        HeaderDataError,
        OSError,
        EOFError,
        ValueError,
        ArithmeticError,
        LookupError,
        zlib.error,
    ) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(image, Nifti1Image):
        raise DataError(f"{path} is no NIfTI image")
    dtype = np.dtype(image.get_data_dtype())
    if len(image.shape) != n_dimensions or dtype.kind not in "fiu":
        dimensions = {3: "three", 4: "four"}[n_dimensions]
        raise DataError(f"{path} has shape {image.shape} of {dtype}, expected numbers in {dimensions} dimensions")
    promised = math.prod(image.shape) * dtype.itemsize
    if promised > _MOST_PACKED * size:
        raise DataError(f"{path} has {size} bytes, too few for the {promised} that its header says")
    return image


def values_of(image: "Nifti1Image", path: Path) -> NDArray[Any]:
    """Return the numbers of an image, float32 if they are not whole.

    Raises
    ------
    DataError
        If the file is cut off or damaged.
    """
    try:
        data = np.asarray(image.dataobj)
    except (OSError, EOFError, ValueError, ArithmeticError, MemoryError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    return data.astype(np.float32) if data.dtype.kind == "f" and data.ndim == 4 else data


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
