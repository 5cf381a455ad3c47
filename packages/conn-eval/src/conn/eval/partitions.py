"""How well two partitions of the same regions agree."""

from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

__all__ = ["PartitionAgreement", "match_communities", "partition_agreement"]


@dataclass(frozen=True)
class PartitionAgreement:
    """Agreement of a partition with a reference.

    Attributes
    ----------
    normalized_mutual_information : float
        0 to 1; rises with the number of communities even for meaningless ones.
    chance_normalized_mutual_information : float
        Its mean over permutations of the regions: what to compare it with.
    adjusted_mutual_information, adjusted_rand_index : float
        Corrected for chance: 0 is expected of meaningless communities, 1 is equality.
    n_regions, n_communities, n_reference_communities : int
        Sizes.
    """

    normalized_mutual_information: float
    chance_normalized_mutual_information: float
    adjusted_mutual_information: float
    adjusted_rand_index: float
    n_regions: int
    n_communities: int
    n_reference_communities: int

    def to_frame(self) -> pd.DataFrame:
        """Return one row a measure: ``measure``, ``value``, ``chance``."""
        values = asdict(self)
        chance = {
            "normalized_mutual_information": self.chance_normalized_mutual_information,
            "adjusted_mutual_information": 0.0,
            "adjusted_rand_index": 0.0,
        }
        return pd.DataFrame(
            [(name, values[name], expected) for name, expected in chance.items()],
            columns=["measure", "value", "chance"],
        )


def partition_agreement(
    labels: Iterable[Hashable],
    reference: Iterable[Hashable],
    *,
    n_permutations: int = 100,
    rng: np.random.Generator | int | None = 0,
) -> PartitionAgreement:
    """Return the agreement of a partition with a reference, by three measures of scikit-learn.

    Parameters
    ----------
    labels, reference : sequence, length region
        Community of every region, as anything hashable; names need not correspond.
    n_permutations : int, default 100
        Number of permutations of the regions behind the chance level of the normalized mutual
        information. They ignore that neighbouring regions are alike, so that this level is a
        floor and no test.
    rng : Generator, int or None, default 0
        Source of the permutations.

    Returns
    -------
    PartitionAgreement
        The three measures, the chance level, the sizes.

    Raises
    ------
    TypeError
        If a label is missing (None or NaN).
    ValueError
        If the lengths differ or are 0, or `n_permutations` is below 1.

    See Also
    --------
    sklearn.metrics.adjusted_mutual_info_score, sklearn.metrics.adjusted_rand_score

    References
    ----------
    Vinh, Epps and Bailey 2010, Journal of Machine Learning Research 11:2837-2854.
    Hubert and Arabie 1985, Journal of Classification 2:193-218, doi 10.1007/BF01908075.

    Examples
    --------
    >>> partition_agreement([0, 0, 1, 1], ["Vis", "Vis", "Default", "Default"]).adjusted_rand_index
    1.0
    """
    from sklearn.metrics import (
        adjusted_mutual_info_score,
        adjusted_rand_score,
        normalized_mutual_info_score,
    )

    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, got {n_permutations}")
    (codes, names), (reference_codes, reference_names) = _two_partitions(labels, reference)
    generator = np.random.default_rng(rng)
    chance = np.mean(
        [normalized_mutual_info_score(reference_codes, generator.permutation(codes)) for _ in range(n_permutations)]
    )
    return PartitionAgreement(
        normalized_mutual_information=float(normalized_mutual_info_score(reference_codes, codes)),
        chance_normalized_mutual_information=float(chance),
        adjusted_mutual_information=float(adjusted_mutual_info_score(reference_codes, codes)),
        adjusted_rand_index=float(adjusted_rand_score(reference_codes, codes)),
        n_regions=len(codes),
        n_communities=len(names),
        n_reference_communities=len(reference_names),
    )


def match_communities(labels: Iterable[Hashable], reference: Iterable[Hashable]) -> dict[Hashable, Hashable]:
    """Return which community of a reference every community corresponds to, one to one.

    The correspondence is the one with the most regions in agreement (Hungarian algorithm).

    Parameters
    ----------
    labels, reference : sequence, length region
        Community of every region.

    Returns
    -------
    dict
        From a community of `labels` to its counterpart in `reference`. Where `labels` has more
        communities than `reference`, those left over are absent.

    Raises
    ------
    TypeError
        If a label is missing (None or NaN).
    ValueError
        If the lengths differ or are 0.

    References
    ----------
    Kuhn 1955, Naval Research Logistics Quarterly 2:83-97, doi 10.1002/nav.3800020109.

    Examples
    --------
    >>> match_communities([1, 1, 0, 0, 0], ["Vis", "Vis", "Default", "Default", "Vis"])
    {1: 'Vis', 0: 'Default'}
    """
    from scipy.optimize import linear_sum_assignment

    (codes, names), (reference_codes, reference_names) = _two_partitions(labels, reference)
    overlap = np.zeros((len(names), len(reference_names)), dtype=int)
    np.add.at(overlap, (codes, reference_codes), 1)
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    return {names[row]: reference_names[column] for row, column in zip(rows, columns, strict=True)}


_Partition = tuple[np.ndarray, list[Hashable]]


def _two_partitions(labels: Iterable[Hashable], reference: Iterable[Hashable]) -> tuple[_Partition, _Partition]:
    first, second = _encoded(labels, "labels"), _encoded(reference, "reference")
    if len(first[0]) != len(second[0]):
        raise ValueError(
            f"labels has {len(first[0])} regions and reference has {len(second[0])}; "
            "both must label the same regions in the same order"
        )
    if len(first[0]) == 0:
        raise ValueError("labels and reference are empty; expected one label a region")
    return first, second


def _encoded(labels: Iterable[Hashable], argument: str) -> _Partition:
    if isinstance(labels, str):
        raise TypeError(f"{argument} must be a sequence of labels, one a region, got one string")
    values = list(labels)
    if hasattr(labels, "__array__"):
        array = np.asarray(labels)
        if array.ndim != 1:
            raise TypeError(
                f"{argument} must be one label a region, got an array of shape {array.shape}; "
                "take the most likely community of a soft affiliation first (argmax)"
            )
        values = array.tolist()
    for region, label in enumerate(values):
        if label is None or label is pd.NA or label != label:
            raise TypeError(f"{argument} has no label for region {region}, got {label!r}")
    # In the order of appearance, which needs no order between labels of different types.
    code = {label: index for index, label in enumerate(dict.fromkeys(values))}
    return np.array([code[label] for label in values], dtype=int), list(code)
