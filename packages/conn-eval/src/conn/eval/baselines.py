"""Simpler descriptions of the same scans, and the table that sets them beside the connectome."""

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from conn.eval.connectomes import connectome_strength
from conn.eval.fingerprinting import Fingerprint, fingerprint_features

__all__ = ["compare_fingerprints", "fingerprint_baselines"]


def fingerprint_baselines(
    connectomes: npt.ArrayLike,
    subjects: Iterable[object],
    sessions: Iterable[object],
    *,
    time_series: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    similarity: Literal["pearson", "spearman", "cosine"] = "pearson",
    n_bootstraps: int = 1000,
    confidence: float = 0.95,
    rng: np.random.Generator | int | None = 0,
) -> dict[str, Fingerprint]:
    """Return the identification that simpler descriptions of the same scans reach.

    A connectome has to beat these before its edges can be said to tell people apart: the mean
    edge of every region ("regional strength"), and, where the series are given, the logarithm
    of every region's variance ("regional variance"), which knows nothing of connectivity.

    Parameters
    ----------
    connectomes : array_like, shape (scan, region, region)
        Symmetric connectomes without NaN.
    subjects, sessions : sequence, length scan
        Labels of every scan.
    time_series : array_like, shape (scan, region, frame), optional
        The scans' series; enables the baseline by variance.
    mask : array_like of bool, shape (scan, frame), optional
        Which frames were measured; the others do not enter the variance.
    similarity, n_bootstraps, confidence, rng
        As in `fingerprint`.

    Returns
    -------
    dict of str to Fingerprint
        By the baseline's name.

    Raises
    ------
    TypeError, ValueError
        As `fingerprint`; also if the series or the mask do not fit the connectomes, or a region
        is constant or NaN in the measured frames of a scan.

    Examples
    --------
    >>> import numpy as np
    >>> series = np.random.default_rng(0).standard_normal((4, 5, 50))
    >>> connectomes = [np.corrcoef(scan) for scan in series]
    >>> result = fingerprint_baselines(connectomes, list("aabb"), [1, 2, 1, 2], time_series=series)
    >>> sorted(result)
    ['regional strength', 'regional variance']
    """
    subjects, sessions = list(subjects), list(sessions)
    features = {"regional strength": connectome_strength(connectomes)}
    if time_series is not None:
        shape = np.asarray(connectomes).shape
        features["regional variance"] = _log_variance(time_series, mask, shape[:2])
    elif mask is not None:
        raise ValueError("mask says which frames of time_series count, but time_series is missing")
    return {
        name: fingerprint_features(
            values,
            subjects,
            sessions,
            similarity=similarity,
            n_bootstraps=n_bootstraps,
            confidence=confidence,
            rng=rng,
        )
        for name, values in features.items()
    }


def compare_fingerprints(fingerprints: Mapping[str, Fingerprint]) -> pd.DataFrame:
    """Return one table of several identifications, with chance as its last row.

    Parameters
    ----------
    fingerprints : mapping of str to Fingerprint
        Identifications of the same scans, by name.

    Returns
    -------
    DataFrame
        One row a fingerprint: ``method``, ``accuracy``, ``accuracy_low``, ``accuracy_high``,
        ``self_similarity``, ``other_similarity``, ``differential_identifiability`` (percent)
        with their ``…_low`` and ``…_high``, ``n_features``; and the row "chance", which has an
        accuracy only.

    Raises
    ------
    ValueError
        If there is none, or they are not of the same scans.

    Examples
    --------
    >>> result = fingerprint_features([[1, 2, 3], [1, 2, 4], [3, 1, 0], [4, 1, 0]],
    ...                               ["a", "a", "b", "b"], [1, 2, 1, 2])
    >>> compare_fingerprints({"three numbers": result})[["method", "accuracy"]]
              method  accuracy
    0  three numbers       1.0
    1         chance       0.5
    """
    if not fingerprints:
        raise ValueError("compare_fingerprints needs at least one fingerprint, got none")
    first_name, first = next(iter(fingerprints.items()))
    rows = []
    for name, result in fingerprints.items():
        if (result.subjects, result.sessions) != (first.subjects, first.sessions):
            raise ValueError(
                f"{name!r} and {first_name!r} are fingerprints of different scans; "
                "compare those of the same subjects and sessions in the same order"
            )
        row: dict[str, object] = {"method": name}
        for quantity, value, low, high in result.summary().itertuples(index=False):
            if quantity != "chance":
                row |= {quantity: value, f"{quantity}_low": low, f"{quantity}_high": high}
        rows.append(row | {"n_features": result.n_features})
    rows.append({"method": "chance", "accuracy": first.chance})
    return pd.DataFrame(rows).astype({"n_features": "Int64"})


def _log_variance(time_series: npt.ArrayLike, mask: npt.ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray:
    series = np.asarray(time_series)
    if not (np.issubdtype(series.dtype, np.floating) or np.issubdtype(series.dtype, np.integer)):
        raise TypeError(f"time_series must hold real numbers, got dtype {series.dtype}")
    if series.ndim != 3 or series.shape[:2] != shape or series.shape[2] < 2:
        raise ValueError(
            f"time_series must have the shape (scan, region, frame) of the connectomes' "
            f"{shape[0]} scans and {shape[1]} regions, got {series.shape}"
        )
    frames = np.ones((series.shape[0], series.shape[2]), dtype=bool) if mask is None else np.asarray(mask)
    if frames.dtype != bool or frames.shape != (series.shape[0], series.shape[2]):
        raise ValueError(
            f"mask must be boolean with the shape (scan, frame) "
            f"{(series.shape[0], series.shape[2])}, got {frames.dtype} {frames.shape}"
        )
    variance = np.full(shape, np.nan)
    for scan, (values, measured) in enumerate(zip(series, frames, strict=True)):
        if measured.sum() < 2:
            raise ValueError(f"scan {scan} has {int(measured.sum())} measured frames, needs two")
        variance[scan] = values[:, measured].astype(np.float64).var(axis=1)
    wrong = np.argwhere(~(variance > 0))
    if len(wrong):
        scan, region = wrong[0]
        raise ValueError(
            f"region {region} of scan {scan} has the variance {variance[scan, region]}; "
            "the baseline by variance needs regions that vary and are free of NaN"
        )
    return np.log(variance)
