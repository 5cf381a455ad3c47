"""The data sets that this package knows by name."""

from conn.data.atlas import SCHAEFER_COMMIT, SCHAEFER_FILES
from conn.data.errors import DataError
from conn.data.msc import MSC_COMMIT
from conn.data.registry import load_registry

__all__ = ["describe_dataset", "list_datasets"]

_SUMMARIES = {
    "msc": "Midnight Scan Club, minimal: 10 people x 10 sessions, rest and tasks, 400 regions",
    "schaefer2018": "Schaefer 2018 parcellation: labels, networks and centroids of the regions",
}


def list_datasets() -> dict[str, str]:
    """Return the data sets: name to a summary of one line.

    Examples
    --------
    >>> list(list_datasets())
    ['msc', 'schaefer2018']
    """
    return dict(_SUMMARIES)


def describe_dataset(name: str) -> str:
    """Return what a data set holds, its source, terms and citation, as text of several lines.

    Parameters
    ----------
    name : str
        One of `list_datasets`.

    Returns
    -------
    str

    Raises
    ------
    DataError
        If there is no such data set.
    """
    if name not in _SUMMARIES:
        raise DataError(f"unknown data set {name!r}; there are {', '.join(_SUMMARIES)}")
    return f"{_SUMMARIES[name]}\n{_describe_msc() if name == 'msc' else _describe_schaefer()}"


def _describe_msc() -> str:
    registry = load_registry()
    tasks = {run.task: 0 for run in registry.runs}
    for run in registry.runs:
        tasks[run.task] += 1
    runs = ", ".join(f"{task} {count}" for task, count in sorted(tasks.items()))
    megabytes = sum(file.n_bytes for file in registry.files) / 1e6
    return "\n".join(
        [
            f"runs      {len(registry.runs)}: {runs}",
            f"files     {len(registry.files)}, {megabytes:.0f} MB as text",
            "scans     400 Schaefer regions (17-network order), one frame every 2.2 s, denoised",
            "motion    relative root-mean-square displacement a frame, millimetres",
            f"source    https://github.com/hypercoil/miniMSC at commit {MSC_COMMIT}",
            "licence   the source names none; derived from OpenNeuro ds000224",
            "cite      Gordon et al. 2017, Neuron 95:791-807, doi:10.1016/j.neuron.2017.07.011",
            "load      conn.data.fetch_msc",
        ]
    )


def _describe_schaefer() -> str:
    tables = ", ".join(f"{regions} x {networks}" for regions, networks in SCHAEFER_FILES)
    return "\n".join(
        [
            f"tables    regions x networks: {tables}",
            "columns   label, hemisphere, network, x, y, z (centroid, MNI152 millimetres)",
            f"source    https://github.com/ThomasYeoLab/CBIG at commit {SCHAEFER_COMMIT}",
            "licence   MIT",
            "cite      Schaefer et al. 2018, Cereb Cortex 28:3095-3114, doi:10.1093/cercor/bhx179",
            "load      conn.data.load_schaefer",
        ]
    )
