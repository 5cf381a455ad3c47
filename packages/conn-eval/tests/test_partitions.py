import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conn.eval import match_communities, partition_agreement


def pair_counting_rand(first, second):
    """Hubert and Arabie's adjusted Rand index by counting pairs of regions."""
    pairs = list(itertools.combinations(range(len(first)), 2))
    together_first = np.array([first[i] == first[j] for i, j in pairs])
    together_second = np.array([second[i] == second[j] for i, j in pairs])
    both = np.sum(together_first & together_second)
    expected = together_first.sum() * together_second.sum() / len(pairs)
    largest = (together_first.sum() + together_second.sum()) / 2
    return (both - expected) / (largest - expected)


def mutual_information(first, second):
    joint = pd.crosstab(np.asarray(first), np.asarray(second)).to_numpy() / len(first)
    expected = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    known = joint > 0
    return np.sum(joint[known] * np.log(joint[known] / expected[known]))


def test_agreement_follows_its_definitions():
    generator = np.random.default_rng(0)
    reference = generator.integers(0, 4, 60)
    labels = np.where(generator.random(60) < 0.3, generator.integers(0, 5, 60), reference)
    result = partition_agreement(labels, reference)
    assert result.adjusted_rand_index == pytest.approx(pair_counting_rand(labels, reference))
    entropies = [mutual_information(part, part) for part in (labels, reference)]
    assert result.normalized_mutual_information == pytest.approx(
        mutual_information(labels, reference) / np.mean(entropies)
    )
    assert (result.n_regions, result.n_communities, result.n_reference_communities) == (60, 5, 4)


def test_meaningless_communities_are_at_chance():
    generator = np.random.default_rng(1)
    result = partition_agreement(generator.integers(0, 17, 400), generator.integers(0, 17, 400))
    # Standard deviations of about 0.005: 0.03 fails by chance less than once in a million seeds.
    assert result.adjusted_mutual_information == pytest.approx(0, abs=0.03)
    assert result.adjusted_rand_index == pytest.approx(0, abs=0.03)
    chance = result.chance_normalized_mutual_information
    assert result.normalized_mutual_information == pytest.approx(chance, abs=0.03)
    assert chance > 0.05  # why the plain measure needs its chance beside it
    assert result.to_frame()["chance"].tolist() == [chance, 0, 0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=40), st.permutations(range(6)))
def test_names_of_communities_do_not_matter(labels, renamed):
    names = [f"network {renamed[label]}" for label in labels]
    assert partition_agreement(labels, names, n_permutations=1).adjusted_rand_index == 1
    assert match_communities(labels, names) == {label: f"network {renamed[label]}" for label in labels}


def test_matching_is_the_best_of_all():
    generator = np.random.default_rng(3)
    labels, reference = generator.integers(0, 4, 50), generator.integers(0, 4, 50)
    matched = match_communities(labels, reference)
    agreement = sum(matched[a] == b for a, b in zip(labels, reference, strict=True))
    best = max(
        sum(order[a] == b for a, b in zip(labels, reference, strict=True)) for order in itertools.permutations(range(4))
    )
    assert agreement == best


def test_communities_left_over_are_absent():
    assert match_communities([0, 0, 1, 2, 2], ["x", "x", "y", "y", "y"]) == {0: "x", 2: "y"}


def test_series_and_arrays_of_labels_are_welcome():
    table = pd.Series(["Vis", "Vis", "Default"], index=[7, 8, 9])
    assert partition_agreement(np.array([1, 1, 2]), table).adjusted_rand_index == 1


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 1], ValueError, "labels has 2 regions and reference has 3"),
        ([0, None, 1], TypeError, "labels has no label for region 1"),
        ([0, 1, float("nan")], TypeError, "labels has no label for region 2"),
        ("abc", TypeError, "got one string"),
        (np.eye(3), TypeError, r"array of shape \(3, 3\).*argmax"),
    ],
)
def test_bad_labels_are_refused_by_name(labels, error, message):
    with pytest.raises(error, match=message):
        partition_agreement(labels, [0, 1, 1])
    with pytest.raises(error, match=message):
        match_communities(labels, [0, 1, 1])


def test_empty_partitions_and_no_permutations_are_refused():
    with pytest.raises(ValueError, match="empty"):
        partition_agreement([], [])
    with pytest.raises(ValueError, match="n_permutations must be at least 1"):
        partition_agreement([0, 1], [0, 1], n_permutations=0)
