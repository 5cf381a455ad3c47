"""Padding ragged collections of arrays."""

import numpy as np
import pytest
from op_case import OpCase

from conn.functional import extend_to_max_size


def _ragged(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(2, 3)), rng.normal(size=(4, 2))


OP_CASES = [
    OpCase(
        "extend_to_max_size",
        lambda a, b: extend_to_max_size([a, b], 0.0),
        _ragged,
        "numpy.pad",
        lambda a, b: (np.pad(a, ((0, 2), (0, 0))), np.pad(b, ((0, 0), (0, 1)))),
        degenerate={"zeros": (np.zeros((2, 3)), np.zeros((4, 2)))},
    )
]


def test_padding_is_nan_unless_a_value_is_given() -> None:
    first, second = extend_to_max_size([np.ones((1, 2)), np.ones((1, 3))])
    assert np.isnan(first[0, 2])
    assert np.isfinite(second).all()


def test_arrays_of_different_rank_are_refused() -> None:
    with pytest.raises(ValueError, match="rank"):
        extend_to_max_size([np.ones(2), np.ones((2, 2))])


def test_an_empty_collection_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one|no array"):
        extend_to_max_size([])
