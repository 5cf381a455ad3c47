"""Connectome fingerprinting: who is this, judged by the scans of another session."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from conn.eval.connectomes import connectome_edges
from conn.eval.intervals import wilson_interval

__all__ = [
    "Fingerprint",
    "fingerprint",
    "fingerprint_features",
]

# Similarities nearer to each other than this are equal: the same scan given twice differs by
# rounding only, and rounding must not decide who is recognised.
TIE_TOLERANCE = 1e-10

_SIMILARITIES = ("pearson", "spearman", "cosine")

_AVERAGED = (
    "accuracy",
    "self_similarity",
    "other_similarity",
    "differential_identifiability",
    "chance",
)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Result of an identification across sessions.

    Attributes
    ----------
    similarity : ndarray, shape (scan, scan), float64
        Similarity of every two scans, within [-1, 1], symmetric, with a diagonal of 1.
    subjects, sessions : tuple of str, length scan
        Identity of every scan.
    method : str
        The similarity: "pearson", "spearman" or "cosine".
    n_features, n_features_dropped : int
        Number of edges (or other features) compared, and of those left out as NaN.
    pairs : DataFrame
        One row an ordered pair of sessions: ``database_session``, ``target_session``,
        ``n_targets``, ``n_database``, ``n_hits``, ``n_ties`` (targets whose best match was not
        unique), ``accuracy`` with Wilson's interval (``accuracy_low``, ``accuracy_high``),
        ``chance`` (1 / n_database), ``self_similarity`` and ``other_similarity`` (means over
        scans of the same and of different subjects) and ``differential_identifiability``
        (percent), each with a bootstrap interval over subjects (``…_low``, ``…_high``), and
        ``self_rank`` (mean rank of the own scan in the database; 1 is best).
    targets : DataFrame
        One row an identification: ``subject``, ``database_session``, ``target_session``,
        ``identified_as`` (missing when the best match was a tie), ``hit``, ``self_similarity``,
        ``best_other_similarity``, ``self_rank``.
    by_subject : DataFrame
        One row a subject: ``subject``, ``n_targets``, ``n_hits``, ``accuracy``,
        ``self_similarity``, ``best_other_similarity`` (means over its identifications).
    accuracy, self_similarity, other_similarity, differential_identifiability : float
        Means over the ordered pairs of sessions. Accuracy is a fraction; differential
        identifiability is 100 * (self - other), in percent.
    accuracy_interval, self_interval, other_interval, identifiability_interval : (float, float)
        Intervals of these four. The subjects are the independent units: accuracy has Wilson's
        interval at n = number of subjects, the others a percentile bootstrap over subjects.
    chance : float
        Mean over session pairs of 1 / (number of scans in the database).
    confidence : float
        Coverage of all intervals.
    """

    similarity: np.ndarray
    subjects: tuple[str, ...]
    sessions: tuple[str, ...]
    method: str
    n_features: int
    n_features_dropped: int
    pairs: pd.DataFrame
    targets: pd.DataFrame
    by_subject: pd.DataFrame
    accuracy: float
    accuracy_interval: tuple[float, float]
    self_similarity: float
    self_interval: tuple[float, float]
    other_similarity: float
    other_interval: tuple[float, float]
    differential_identifiability: float
    identifiability_interval: tuple[float, float]
    chance: float
    confidence: float

    @property
    def n_subjects(self) -> int:
        """Number of different subjects."""
        return len(set(self.subjects))

    def summary(self) -> pd.DataFrame:
        """Return the four main numbers and chance: ``quantity``, ``value``, ``low``, ``high``."""
        missing = (np.nan, np.nan)
        rows = [
            ("accuracy", self.accuracy, *self.accuracy_interval),
            ("chance", self.chance, *missing),
            ("self_similarity", self.self_similarity, *self.self_interval),
            ("other_similarity", self.other_similarity, *self.other_interval),
            (
                "differential_identifiability",
                self.differential_identifiability,
                *self.identifiability_interval,
            ),
        ]
        return pd.DataFrame(rows, columns=["quantity", "value", "low", "high"])


def fingerprint(
    connectomes: npt.ArrayLike,
    subjects: Iterable[object],
    sessions: Iterable[object],
    *,
    similarity: Literal["pearson", "spearman", "cosine"] = "pearson",
    nan_policy: Literal["raise", "omit"] = "raise",
    n_bootstraps: int = 1000,
    confidence: float = 0.95,
    rng: np.random.Generator | int | None = 0,
) -> Fingerprint:
    """Return how well connectomes of one session identify the subjects of another.

    For every ordered pair of sessions, the first is the database and the second holds the
    targets. A target scan is given the identity of the most similar scan of the database; it is
    a hit when that is its own subject. A tie for the first place is no hit. Scans are compared
    by their edges, the upper triangle without the diagonal, in one matrix product:
    O(scan² · region²) time and O(scan · region²) memory.

    A subject who is missing in the target session is still somebody to be mistaken for in the
    database; a target who is missing in the database cannot be identified and is not counted
    (``n_targets`` says how many were).

    Parameters
    ----------
    connectomes : array_like, shape (scan, region, region)
        Symmetric connectomes.
    subjects, sessions : sequence, length scan
        Labels of every scan, compared as text. Every combination may occur once; every two
        sessions must share at least two subjects.
    similarity : {"pearson", "spearman", "cosine"}, default "pearson"
        How two scans' edges are compared.
    nan_policy : {"raise", "omit"}, default "raise"
        What a NaN edge does: an error that names it, or the edge is left out of all scans.
    n_bootstraps : int, default 1000
        Number of resamples of the subjects for the intervals of the similarities.
    confidence : float, default 0.95
        Coverage of all intervals.
    rng : Generator, int or None, default 0
        Source of the resamples.

    Returns
    -------
    Fingerprint
        Similarities, accuracies with intervals, and the tables behind them.

    Raises
    ------
    TypeError
        If the connectomes are not real numbers, or a label is missing.
    ValueError
        If a matrix is not symmetric, infinite or (under ``nan_policy="raise"``) NaN, if all
        edges of a scan are equal, if labels and scans differ in number, a subject was given
        twice in one session, there is only one subject or only one session, or two sessions
        share fewer than two subjects. The message names the scan, subject or session.

    See Also
    --------
    fingerprint_features : The same for any other description of scans.
    identification_null : The accuracy that shuffled identities reach.
    fingerprint_baselines : What simpler descriptions of the same scans reach.

    References
    ----------
    Finn et al. 2015, Nature Neuroscience 18:1664-1671, doi 10.1038/nn.4135 (identification).
    Amico and Goñi 2018, Scientific Reports 8:8254, doi 10.1038/s41598-018-25089-1
    (differential identifiability).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> people = rng.standard_normal((4, 1, 20, 50))
    >>> series = people + 0.5 * rng.standard_normal((4, 2, 20, 50))
    >>> connectomes = [np.corrcoef(scan) for scan in series.reshape(8, 20, 50)]
    >>> result = fingerprint(connectomes, list("aabbccdd"), ["one", "two"] * 4)
    >>> result.accuracy, result.chance
    (1.0, 0.25)
    """
    edges = connectome_edges(connectomes)
    n_regions = np.asarray(connectomes).shape[-1]
    rows, columns = np.triu_indices(n_regions, k=1)
    names = _EdgeNames(rows, columns)
    return _identify(edges, subjects, sessions, similarity, nan_policy, n_bootstraps, confidence, rng, names)


def fingerprint_features(
    features: npt.ArrayLike,
    subjects: Iterable[object],
    sessions: Iterable[object],
    *,
    similarity: Literal["pearson", "spearman", "cosine"] = "pearson",
    nan_policy: Literal["raise", "omit"] = "raise",
    n_bootstraps: int = 1000,
    confidence: float = 0.95,
    rng: np.random.Generator | int | None = 0,
) -> Fingerprint:
    """Return how well any features of the scans of one session identify those of another.

    Parameters
    ----------
    features : array_like, shape (scan, feature)
        One row a scan; at least two features.
    subjects, sessions, similarity, nan_policy, n_bootstraps, confidence, rng
        As in `fingerprint`.

    Returns
    -------
    Fingerprint
        As `fingerprint`.

    Raises
    ------
    TypeError, ValueError
        As `fingerprint`, with the feature named by its index.

    Examples
    --------
    >>> result = fingerprint_features([[1, 2, 3], [1, 2, 4], [3, 1, 0], [4, 1, 0]],
    ...                               ["a", "a", "b", "b"], [1, 2, 1, 2])
    >>> result.accuracy
    1.0
    """
    values = np.asarray(features)
    if not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
        raise TypeError(f"features must hold real numbers, got dtype {values.dtype}")
    if values.ndim != 2 or values.shape[0] == 0 or values.shape[1] < 2:
        raise ValueError(f"features must have the shape (scan, feature) with at least two features, got {values.shape}")
    values = values.astype(np.float64)
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        scan, feature = infinite[0]
        raise ValueError(f"feature {feature} of scan {scan} is infinite; features must be finite")
    return _identify(values, subjects, sessions, similarity, nan_policy, n_bootstraps, confidence, rng, None)


class _EdgeNames:
    """Names a feature by the two regions that it joins."""

    def __init__(self, rows: np.ndarray, columns: np.ndarray) -> None:
        self._rows, self._columns = rows, columns

    def __getitem__(self, feature: int) -> str:
        return f"the edge between regions {self._rows[feature]} and {self._columns[feature]}"


def _identify(
    features: np.ndarray,
    subjects: Iterable[object],
    sessions: Iterable[object],
    similarity: str,
    nan_policy: str,
    n_bootstraps: int,
    confidence: float,
    rng: np.random.Generator | int | None,
    names: _EdgeNames | None,
) -> Fingerprint:
    if similarity not in _SIMILARITIES:
        raise ValueError(f"similarity must be one of {_SIMILARITIES}, got {similarity!r}")
    if nan_policy not in ("raise", "omit"):
        raise ValueError(f"nan_policy must be 'raise' or 'omit', got {nan_policy!r}")
    if n_bootstraps < 1:
        raise ValueError(f"n_bootstraps must be at least 1, got {n_bootstraps}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}")
    subject = _labels(subjects, len(features), "subjects")
    session = _labels(sessions, len(features), "sessions")
    _refuse_impossible_designs(subject, session)

    features, n_dropped = _without_nan(features, nan_policy, subject, session, names)
    matrix = _similarity(features, similarity, subject, session)
    people = np.unique(subject)
    # Number of times that every subject is drawn in every resample.
    draws = np.random.default_rng(rng).multinomial(
        len(people), np.full(len(people), 1 / len(people)), size=n_bootstraps
    )

    pair_rows, target_tables, boot = [], [], []
    for database, target in permutations(np.unique(session), 2):
        pair = _Pair.of(matrix, subject, session, database, target)
        pair_row, targets, resampled = pair.judge(people, draws, confidence)
        pair_rows.append(pair_row)
        target_tables.append(targets)
        boot.append(resampled)
    pairs = pd.DataFrame(pair_rows)
    targets = pd.concat(target_tables, ignore_index=True)

    resampled = np.mean(boot, axis=0)
    means = {name: float(pairs[name].to_numpy(dtype=float).mean()) for name in _AVERAGED}
    return Fingerprint(
        similarity=matrix,
        subjects=tuple(subject.tolist()),
        sessions=tuple(session.tolist()),
        method=similarity,
        n_features=features.shape[1],
        n_features_dropped=n_dropped,
        pairs=pairs,
        targets=targets,
        by_subject=_by_subject(targets),
        accuracy=means["accuracy"],
        accuracy_interval=wilson_interval(means["accuracy"], len(people), confidence=confidence),
        self_similarity=means["self_similarity"],
        self_interval=_percentiles(resampled[0], confidence),
        other_similarity=means["other_similarity"],
        other_interval=_percentiles(resampled[1], confidence),
        differential_identifiability=means["differential_identifiability"],
        identifiability_interval=_percentiles(resampled[2], confidence),
        chance=means["chance"],
        confidence=confidence,
    )


@dataclass(frozen=True)
class _Pair:
    """The targets of one session against the database of another."""

    database_session: str
    target_session: str
    database: np.ndarray  # subject of every scan of the database
    targets: np.ndarray  # subject of every target that the database knows
    similarity: np.ndarray  # (target, database)

    @classmethod
    def of(
        cls,
        similarity: np.ndarray,
        subject: np.ndarray,
        session: np.ndarray,
        database: str,
        target: str,
    ) -> "_Pair":
        rows = np.flatnonzero((session == target) & np.isin(subject, subject[session == database]))
        columns = np.flatnonzero(session == database)
        return cls(
            str(database),
            str(target),
            subject[columns],
            subject[rows],
            similarity[np.ix_(rows, columns)],
        )

    def judge(
        self, people: np.ndarray, draws: np.ndarray, confidence: float
    ) -> tuple[dict[str, object], pd.DataFrame, np.ndarray]:
        """Return the row of the pair, its targets, and self, other and I_diff by resample."""
        own = self.targets[:, None] == self.database[None, :]
        self_similarity = self.similarity[own]
        others = np.where(own, -np.inf, self.similarity)
        best_other = others.max(axis=1)
        best = self.similarity.max(axis=1)
        n_best = (self.similarity >= best[:, None] - TIE_TOLERANCE).sum(axis=1)
        hit = self_similarity > best_other + TIE_TOLERANCE
        rank = 1 + (others >= self_similarity[:, None] - TIE_TOLERANCE).sum(axis=1)
        winners = self.database[self.similarity.argmax(axis=1)].astype(object)
        winners[n_best > 1] = None
        targets = pd.DataFrame(
            {
                "subject": self.targets.astype(object),
                "database_session": self.database_session,
                "target_session": self.target_session,
                "identified_as": winners,
                "hit": hit,
                "self_similarity": self_similarity,
                "best_other_similarity": best_other,
                "self_rank": rank,
            }
        )

        other_similarity = float(self.similarity[~own].mean())
        mean_self = float(self_similarity.mean())
        resampled = self._resample(own, people, draws)
        intervals = [_percentiles(values, confidence) for values in resampled]
        accuracy = float(hit.mean())
        low, high = wilson_interval(accuracy, len(hit), confidence=confidence)
        pair_row: dict[str, object] = {
            "database_session": self.database_session,
            "target_session": self.target_session,
            "n_targets": len(hit),
            "n_database": len(self.database),
            "n_hits": int(hit.sum()),
            "n_ties": int((n_best > 1).sum()),
            "accuracy": accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "chance": 1 / len(self.database),
        }
        means = {
            "self_similarity": mean_self,
            "other_similarity": other_similarity,
            "differential_identifiability": 100 * (mean_self - other_similarity),
        }
        for (name, value), (low, high) in zip(means.items(), intervals, strict=True):
            pair_row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        pair_row["self_rank"] = float(rank.mean())
        return pair_row, targets, resampled

    def _resample(self, own: np.ndarray, people: np.ndarray, draws: np.ndarray) -> np.ndarray:
        # A subject drawn twice counts twice among the selves; two copies of one subject are no
        # pair of different people. A resample without any such pair is NaN.
        weight_target = draws[:, np.searchsorted(people, self.targets)].astype(np.float64)
        weight_database = draws[:, np.searchsorted(people, self.database)].astype(np.float64)
        different = np.where(own, 0.0, self.similarity)
        with np.errstate(invalid="ignore", divide="ignore"):
            self_mean = weight_target @ self.similarity[own] / weight_target.sum(axis=1)
            other_mean = ((weight_target @ different) * weight_database).sum(axis=1) / (
                (weight_target @ ~own) * weight_database
            ).sum(axis=1)
        return np.stack([self_mean, other_mean, 100 * (self_mean - other_mean)])


def _labels(values: Iterable[object], n_scans: int, argument: str) -> np.ndarray:
    if isinstance(values, str):
        raise TypeError(f"{argument} must be a sequence of labels, one a scan, got one string")
    labels = list(values)
    if len(labels) != n_scans:
        raise ValueError(f"{argument} has {len(labels)} labels for {n_scans} scans")
    for scan, label in enumerate(labels):
        if label is None or label is pd.NA or label != label:
            raise TypeError(f"{argument} has no label for scan {scan}, got {label!r}")
    return np.array([str(label) for label in labels])


def _refuse_impossible_designs(subject: np.ndarray, session: np.ndarray) -> None:
    seen: dict[tuple[str, str], int] = {}
    for scan, key in enumerate(zip(subject.tolist(), session.tolist(), strict=True)):
        if key in seen:
            raise ValueError(
                f"subject {key[0]!r} occurs twice in session {key[1]!r} (scans {seen[key]} and "
                f"{scan}); give repeated runs different session labels, or average them"
            )
        seen[key] = scan
    if len(np.unique(subject)) < 2:
        raise ValueError(f"identification needs at least two subjects, got only {str(subject[0])!r}")
    names = np.unique(session)
    if len(names) < 2:
        raise ValueError(f"identification needs at least two sessions, got only {str(names[0])!r}")
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            shared = np.intersect1d(subject[session == first], subject[session == second])
            if len(shared) < 2:
                raise ValueError(
                    f"sessions {str(first)!r} and {str(second)!r} share {len(shared)} subject(s) "
                    f"{shared.tolist()}; identification needs at least two, leave one session out"
                )


def _without_nan(
    features: np.ndarray,
    nan_policy: str,
    subject: np.ndarray,
    session: np.ndarray,
    names: _EdgeNames | None,
) -> tuple[np.ndarray, int]:
    missing = np.isnan(features)
    if not missing.any():
        return features, 0
    if nan_policy == "raise":
        scan, feature = np.argwhere(missing)[0]
        name = f"feature {feature}" if names is None else names[feature]
        raise ValueError(
            f"{name} is NaN in {_scan_name(scan, subject, session)}; nan_policy='omit' leaves it out of all scans"
        )
    kept = ~missing.any(axis=0)
    if kept.sum() < 2:
        worst = int(missing.sum(axis=1).argmax())
        raise ValueError(
            f"fewer than two features are free of NaN in all scans; "
            f"{_scan_name(worst, subject, session)} lacks {int(missing[worst].sum())} "
            f"of {features.shape[1]}"
        )
    return features[:, kept], int((~kept).sum())


def _similarity(features: np.ndarray, similarity: str, subject: np.ndarray, session: np.ndarray) -> np.ndarray:
    if similarity == "spearman":
        from scipy.stats import rankdata

        features = rankdata(features, axis=1)
    # Scaled first, so that neither huge nor tiny units overflow the sum of squares.
    scale = np.abs(features).max(axis=1, keepdims=True)
    features = features / np.where(scale == 0, 1.0, scale)
    if similarity != "cosine":
        features = features - features.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(features, axis=1)
    flat = norm <= 1e-12 * np.sqrt(features.shape[1])
    if flat.any():
        name = _scan_name(int(flat.argmax()), subject, session)
        what = "zero" if similarity == "cosine" else "equal"
        raise ValueError(f"all features of {name} are {what}: it has no {similarity} similarity")
    features = features / norm[:, None]
    matrix = np.clip(features @ features.T, -1.0, 1.0)
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _by_subject(targets: pd.DataFrame) -> pd.DataFrame:
    return (
        targets.groupby("subject", sort=True)
        .agg(
            n_targets=("hit", "size"),
            n_hits=("hit", "sum"),
            accuracy=("hit", "mean"),
            self_similarity=("self_similarity", "mean"),
            best_other_similarity=("best_other_similarity", "mean"),
        )
        .reset_index()
    )


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return float("nan"), float("nan")
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def _scan_name(scan: int, subject: np.ndarray, session: np.ndarray) -> str:
    return f"scan {scan} (subject {str(subject[scan])!r}, session {str(session[scan])!r})"
