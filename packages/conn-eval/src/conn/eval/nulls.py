"""What identification reaches when identities mean nothing."""

from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np

from conn.eval.fingerprinting import TIE_TOLERANCE, Fingerprint

__all__ = ["IdentificationNull", "identification_null"]


@dataclass(frozen=True, eq=False)
class IdentificationNull:
    """Null distribution of an identification.

    Attributes
    ----------
    statistic : str
        What is compared: "accuracy" (fraction) or "differential_identifiability" (percent).
    observed : float
        Its value with the true identities.
    null : ndarray, shape (permutation,)
        Its values with permuted identities.
    p_value : float
        (1 + number of permutations at least as good as the truth) / (1 + number of permutations).
    chance : float
        The fingerprint's chance accuracy, 1 / n.
    """

    statistic: str
    observed: float
    null: np.ndarray
    p_value: float
    chance: float

    @property
    def n_permutations(self) -> int:
        """Number of permutations."""
        return len(self.null)


def identification_null(
    fingerprint: Fingerprint,
    *,
    statistic: Literal["accuracy", "differential_identifiability"] = "accuracy",
    n_permutations: int = 1000,
    rng: np.random.Generator | int | None = 0,
) -> IdentificationNull:
    """Return the permutation null of an identification.

    What moves are the subject labels: within each session, and in each independently, they are
    permuted across the scans, and the identification is scored again. Scans, sessions,
    similarities and the number of subjects that two sessions share stay as they are; brain
    regions do not move (no spins, so no assumption about the cortex's geometry). The null
    hypothesis is that within a session the scans are exchangeable: none resembles its own
    subject's other scans more than anyone else's. The p value is exact under it up to the
    discreteness of the statistic, and cannot be below 1 / (1 + n_permutations).

    The similarities are not computed again, so that a permutation costs O(scan · session).

    Parameters
    ----------
    fingerprint : Fingerprint
        The identification to test.
    statistic : {"accuracy", "differential_identifiability"}, default "accuracy"
        What is compared, both as means over the ordered pairs of sessions. Accuracy is coarse in
        small studies; differential identifiability is continuous.
    n_permutations : int, default 1000
        Number of permutations.
    rng : Generator, int or None, default 0
        Source of the permutations.

    Returns
    -------
    IdentificationNull
        Observed value, null distribution, p value.

    Raises
    ------
    ValueError
        If `statistic` is unknown or `n_permutations` is below 1.

    References
    ----------
    Phipson and Smyth 2010, Statistical Applications in Genetics and Molecular Biology 9:39,
    doi 10.2202/1544-6115.1585 (why no permutation p value is 0).

    Examples
    --------
    >>> import numpy as np
    >>> from conn.eval import fingerprint_features
    >>> people = np.repeat(np.random.default_rng(0).standard_normal((9, 30)), 2, axis=0)
    >>> result = fingerprint_features(people, list("aabbccddeeffgghhii"), [1, 2] * 9)
    >>> identification_null(result, n_permutations=99).p_value
    0.01
    """
    if statistic not in ("accuracy", "differential_identifiability"):
        raise ValueError(f"statistic must be 'accuracy' or 'differential_identifiability', got {statistic!r}")
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, got {n_permutations}")
    generator = np.random.default_rng(rng)
    people, label = np.unique(fingerprint.subjects, return_inverse=True)
    session = np.asarray(fingerprint.sessions)
    members = {name: np.flatnonzero(session == name) for name in np.unique(session)}

    # The identities themselves come first: both go through the same arithmetic.
    labels = np.tile(label, (n_permutations + 1, 1))
    for scans in members.values():
        labels[1:, scans] = generator.permuted(labels[1:, scans], axis=1)

    values = np.zeros(n_permutations + 1)
    for database, target in permutations(members, 2):
        block = fingerprint.similarity[np.ix_(members[target], members[database])]
        score = _accuracy if statistic == "accuracy" else _differential_identifiability
        values += score(block, labels[:, members[target]], labels[:, members[database]], len(people))
    values /= len(members) * (len(members) - 1)

    observed, null = float(values[0]), values[1:]
    # Equal values may differ by the rounding of their sums; such a tie counts against the truth.
    as_good = int((null >= observed - 1e-9).sum())
    return IdentificationNull(
        statistic=statistic,
        observed=observed,
        null=null,
        p_value=(1 + as_good) / (1 + n_permutations),
        chance=fingerprint.chance,
    )


def _accuracy(block: np.ndarray, targets: np.ndarray, database: np.ndarray, n_people: int) -> np.ndarray:
    best = block.max(axis=1, keepdims=True)
    unique = (block >= best - TIE_TOLERANCE).sum(axis=1) == 1
    hits = (database[:, block.argmax(axis=1)] == targets) & unique
    return hits.sum(axis=1) / _position(targets, database, n_people)[1].sum(axis=1)


def _differential_identifiability(
    block: np.ndarray, targets: np.ndarray, database: np.ndarray, n_people: int
) -> np.ndarray:
    position, known = _position(targets, database, n_people)
    own = np.where(known, block[np.arange(len(block)), position], 0.0).sum(axis=1)
    # Targets whom the database does not know have no part in either mean.
    everyone = known @ block.sum(axis=1)
    n_known = known.sum(axis=1)
    other = (everyone - own) / (n_known * (block.shape[1] - 1))
    return 100 * (own / n_known - other)


def _position(targets: np.ndarray, database: np.ndarray, n_people: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where in the database every target's subject stands, and whether it does."""
    where = np.full((len(database), n_people), -1)
    np.put_along_axis(where, database, np.arange(database.shape[1])[None, :], axis=1)
    position = np.take_along_axis(where, targets, axis=1)
    return position, position >= 0
