"""The Schaefer 2018 parcellation's table of regions, and networks from region labels."""

import csv
import io
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conn.data.cards import CARDS
from conn.data.download import RemoteFile, fetch_files, is_intact
from conn.data.errors import DataError, DataUnavailableError
from conn.data.locations import asked_offline, cache_folder, data_folder

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SCHAEFER_FILES",
    "SCHAEFER_URL",
    "load_schaefer",
    "region_networks",
    "schaefer_regions",
]

SCHAEFER_URL = (
    f"https://raw.githubusercontent.com/ThomasYeoLab/CBIG/{CARDS['schaefer2018'].version.removeprefix('commit ')}"
    "/stable_projects/brain_parcellation/Schaefer2018_LocalGlobal/Parcellations/MNI/Centroid_coordinates"
)
_FOLDER = CARDS["schaefer2018"].folder
_NAME = "Schaefer2018_{}Parcels_{}Networks_order_FSLMNI152_2mm.Centroid_RAS.csv"

SCHAEFER_FILES: dict[tuple[int, int], RemoteFile] = {
    (n_regions, n_networks): RemoteFile(_NAME.format(n_regions, n_networks), sha256, n_bytes)
    for n_regions, n_networks, n_bytes, sha256 in (
        (100, 7, 3938, "b59d28adece3f956103b77319e76afd2afb95f2df89d7e7964f75bb53325adab"),
        (100, 17, 4300, "5ffbb0f9404d8a3be27a097caee3a4b3049df496bd302148624b5fba8cacdd40"),
        (200, 7, 7983, "60f08eb38abe1313dc87ddd4ffcfb7c60428769a0304bd66cc46d359dd4e0de9"),
        (200, 17, 8628, "4dd296821b75bfb32c7dc8d587913f5f9cb83a0c6d11b0b9fa0fb6f10e485377"),
        (400, 7, 16123, "4207656a0c8855a824f8fb92681204a8368e8a9dd964b066501136c60ecd1d21"),
        (400, 17, 17379, "bb0c179497da581eb39f59d62b3c1fc1025717847f48e7fad351c0008650b04b"),
    )
}

# Of these there are checksums of six; the others are read from a data folder.
_SIZES = range(100, 1001, 100)

_LABEL = re.compile(r"(?:7|17)Networks_(?P<hemisphere>[LR])H_(?P<network>[A-Za-z]+)(?:_\w+)?_\d+")
_SIMULATED_LABEL = re.compile(r"sim_(?P<network>Net\d+)_\d+")


def load_schaefer(
    n_regions: int = 400,
    n_networks: int = 17,
    *,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    base_url: str = SCHAEFER_URL,
    offline: bool = False,
    progress: bool = False,
    retry_wait: float = 1.0,
    timeout: float = 30.0,
) -> "pd.DataFrame":
    """Return the regions of a Schaefer 2018 parcellation in the order of the source.

    Looked for in the user's data folder (``atlas-schaefer2018/``), then in the per-user cache,
    then in the authors' public repository.

    Parameters
    ----------
    n_regions : {100, 200, ..., 1000}, default 400
        Number of regions. Those with other numbers than 100, 200 and 400 are read from a data
        folder, never fetched.
    n_networks : {7, 17}, default 17
        Which of the two divisions into networks orders and labels the regions. The same region
        stands in different rows of the two: join by label or coordinates, never by row.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.
    base_url : str, default the authors' repository at a fixed commit
        Address below which the file lies.
    offline : bool, default False
        Whether to refuse rather than use the network.
    progress : bool, default False
        Whether to show a progress bar on standard error.
    retry_wait, timeout : float, defaults 1.0 and 30.0
        Seconds before the first further try, and without an answer before a try is given up.

    Returns
    -------
    pandas.DataFrame
        One row a region, columns ``label`` (str), ``hemisphere`` (``"L"`` or ``"R"``),
        ``network`` (str), and ``x``, ``y``, ``z`` (float, centroid in MNI152 millimetres).

    Raises
    ------
    DataError
        If there is no such parcellation, or a file is not what it should be.
    DataUnavailableError
        If the table is not at hand offline, or the server fails.

    References
    ----------
    Schaefer et al. 2018, Cerebral Cortex 28:3095-3114. https://doi.org/10.1093/cercor/bhx179
    """
    if n_regions not in _SIZES or n_networks not in (7, 17):
        raise DataError(
            f"no Schaefer table of {n_regions} regions and {n_networks} networks; there are 100, "
            "200 to 1000 regions, 7 and 17 networks"
        )
    own = data_folder(data_dir)
    file = SCHAEFER_FILES.get((n_regions, n_networks))
    name = _NAME.format(n_regions, n_networks) if file is None else file.path
    if own is not None and (own / _FOLDER / name).is_file():
        return _read_centroids(own / _FOLDER / name, n_regions)
    cache = cache_folder(cache_dir) / _FOLDER
    if file is None:
        raise DataUnavailableError(
            f"{name} is not at hand, and is not fetched since its checksum is not known: put the file of "
            f"{SCHAEFER_URL} into {_FOLDER}/ of the folder that CONN_DATA_DIR names"
        )
    if not is_intact(file, cache):
        if asked_offline(offline):
            raise DataUnavailableError(
                f"{file.path} is neither in a data folder nor in {cache}, and offline was asked for"
            )
        fetch_files(
            [file],
            base_url=base_url,
            folder=cache,
            progress=progress,
            retry_wait=retry_wait,
            timeout=timeout,
            title="Schaefer 2018",
        )
    return _read_centroids(cache / file.path, n_regions)


def schaefer_regions(
    n_regions: int,
    n_networks: int,
    **where: Any,
) -> tuple["pd.DataFrame", tuple[str, ...]]:
    """Return the regions of a Schaefer parcellation, and a note where they are substitutes.

    Parameters
    ----------
    n_regions, n_networks : int
        As for `load_schaefer`.
    **where
        Further arguments of `load_schaefer`; offline unless said otherwise.

    Returns
    -------
    regions : pandas.DataFrame
        As of `load_schaefer`, or, if the table is not at hand, the column ``label`` alone with
        ``parcel-001`` and so on.
    notes : tuple of str
        Empty, or one note.
    """
    try:
        return load_schaefer(n_regions, n_networks, **{"offline": True, **where}), ()
    except DataUnavailableError:
        import pandas as pd

        labels = [f"parcel-{number:03d}" for number in range(1, n_regions + 1)]
        note = "the Schaefer table was not at hand: regions are numbered and have no network"
        return pd.DataFrame({"label": labels}), (note,)


def region_networks(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the network that each region label names.

    Parameters
    ----------
    labels : iterable of str
        Schaefer labels (``17Networks_LH_VisCent_ExStr_1``), those of `simulate_cohort`
        (``sim_Net3_012``), or others.

    Returns
    -------
    tuple of str
        ``"VisCent"``, ``"Net3"``; ``"unassigned"`` for a label of neither form.

    Examples
    --------
    >>> region_networks(["17Networks_LH_VisCent_ExStr_1", "sim_Net3_012", "parcel-001"])
    ('VisCent', 'Net3', 'unassigned')
    """
    return tuple(
        match["network"] if (match := _LABEL.fullmatch(label) or _SIMULATED_LABEL.fullmatch(label)) else "unassigned"
        for label in labels
    )


def _read_centroids(path: Path, n_regions: int) -> "pd.DataFrame":
    import pandas as pd

    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file ({error})") from error
    if not rows or rows[0] != ["ROI Label", "ROI Name", "R", "A", "S"]:
        raise DataError(f"{path}, line 1: expected the header ROI Label,ROI Name,R,A,S")
    if len(rows) != n_regions + 1:
        raise DataError(f"{path} has {len(rows) - 1} regions, expected {n_regions}")
    table = []
    for number, row in enumerate(rows[1:], start=1):
        match = _LABEL.fullmatch(row[1]) if len(row) == 5 else None
        if match is None or row[0] != str(number):
            raise DataError(f"{path}, line {number + 1}: not region {number} of a Schaefer table")
        try:
            x, y, z = (float(value) for value in row[2:])
        except ValueError as error:
            raise DataError(f"{path}, line {number + 1}: {error}") from error
        if not all(math.isfinite(value) for value in (x, y, z)):
            raise DataError(f"{path}, line {number + 1}: a coordinate is not finite")
        table.append((row[1], match["hemisphere"], match["network"], x, y, z))
    return pd.DataFrame(table, columns=["label", "hemisphere", "network", "x", "y", "z"])
