"""Matrices: NumPy's and SciPy's order and values, exact round trips, batches, refusals."""

from functools import partial

import numpy as np
import pytest
import scipy.linalg
from op_case import OpCase
from scipy.spatial.distance import squareform

from conn.functional import (
    delete_diagonal,
    embed_diagonal,
    fill_diagonal,
    symmetrise,
    toeplitz,
    triangle_to_matrix,
    triangle_to_vector,
)
from conn.functional.matrix import Triangle


def _matrix(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(5, 5)),)


ZEROS = {"zeros": (np.zeros((5, 5)),)}

OP_CASES = [
    OpCase("symmetrise", symmetrise, _matrix, "numpy", lambda x: (x + x.T) / 2, degenerate=ZEROS),
    OpCase(
        "triangle_to_vector",
        partial(triangle_to_vector, offset=2, triangle="lower"),
        _matrix,
        "numpy.tril_indices",
        lambda x: x[np.tril_indices(5, -2)],
        degenerate=ZEROS,
    ),
    OpCase(
        "triangle_to_matrix",
        triangle_to_matrix,
        lambda rng: (rng.normal(size=10),),
        "scipy.spatial.distance.squareform",
        squareform,
        degenerate={"zeros": (np.zeros(10),)},
    ),
    OpCase(
        "toeplitz",
        toeplitz,
        lambda rng: (rng.normal(size=4), rng.normal(size=5)),
        "scipy.linalg.toeplitz",
        scipy.linalg.toeplitz,
        degenerate={"zeros": (np.zeros(4), np.zeros(5))},
    ),
    OpCase(
        "embed_diagonal",
        partial(embed_diagonal, offset=-1),
        lambda rng: (rng.normal(size=4),),
        "numpy.diag",
        partial(np.diag, k=-1),
        degenerate={"zeros": (np.zeros(4),)},
    ),
    OpCase(
        "fill_diagonal",
        fill_diagonal,
        lambda rng: (rng.normal(size=(5, 5)), rng.normal(size=5)),
        "numpy",
        lambda x, v: x - np.diag(np.diag(x)) + np.diag(v),
        degenerate={"zeros": (np.zeros((5, 5)), np.zeros(5))},
    ),
    OpCase(
        "delete_diagonal",
        delete_diagonal,
        _matrix,
        "numpy.delete",
        lambda x: np.stack([np.delete(row, place) for place, row in enumerate(x)]),
        degenerate=ZEROS,
    ),
]


@pytest.mark.parametrize(
    ("side", "offset", "triangle"), [(1, 2, "upper"), (4, 0, "lower"), (3, 2, "lower"), (5, 1, "upper")]
)
def test_a_triangle_comes_back_exactly(side: int, offset: int, triangle: Triangle) -> None:
    rng = np.random.default_rng(side)
    vector = rng.normal(size=(2, side * (side + 1) // 2))
    matrix = np.asarray(triangle_to_matrix(vector, offset=offset, triangle=triangle, fill=7.0))
    np.testing.assert_array_equal(matrix, np.swapaxes(matrix, -1, -2))
    np.testing.assert_array_equal(triangle_to_vector(matrix, offset=offset, triangle=triangle), vector)
    n = side + offset
    near = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) < offset
    assert np.all(matrix[..., near] == 7.0)


def test_batches_are_as_their_items(rng: np.random.Generator) -> None:
    matrices = rng.normal(size=(2, 3, 4, 4))
    for function in (symmetrise, triangle_to_vector, delete_diagonal, partial(fill_diagonal, value=np.arange(4.0))):
        np.testing.assert_array_equal(function(matrices)[1, 2], function(matrices[1, 2]))
    np.testing.assert_array_equal(embed_diagonal(matrices[0, 0], offset=2)[3], np.diag(matrices[0, 0, 3], 2))
    several = toeplitz(matrices[0, 0], matrices[0, 1, 0])
    np.testing.assert_array_equal(several[2], scipy.linalg.toeplitz(matrices[0, 0, 2], matrices[0, 1, 0]))


def test_both_parts_add_up(rng: np.random.Generator) -> None:
    matrix = rng.normal(size=(4, 4))
    np.testing.assert_allclose(symmetrise(matrix) + symmetrise(matrix, skew=True), matrix, rtol=1e-15)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (2, 6)])
def test_a_band_is_what_scipy_makes_of_zeros(shape: tuple[int, int]) -> None:
    band = np.array([3.0, 2.0, 1.0])
    row, column = np.zeros(shape[1]), np.zeros(shape[0])
    row[:3], column[: min(3, shape[0])] = band, band[: shape[0]]
    np.testing.assert_array_equal(toeplitz(band, shape=shape), scipy.linalg.toeplitz(column, row))
    if shape[0] >= 2:
        one_sided = scipy.linalg.toeplitz([5.0, 2.0] + [0.0] * (shape[0] - 2), np.r_[0.0, row[1:]])
        np.testing.assert_array_equal(toeplitz(np.array([5.0, 2.0]), band, shape=shape), one_sided)


def test_a_complex_column_gives_a_hermitian_matrix() -> None:
    column = np.array([1.0, 2 + 1j, 3j])
    np.testing.assert_array_equal(toeplitz(column), scipy.linalg.toeplitz(column))


def test_diagonals_beside_the_main_one_are_filled() -> None:
    found = np.asarray(fill_diagonal(np.zeros((2, 3, 4)), np.array([[1.0], [2.0]]), offset=1))
    np.testing.assert_array_equal(found[1], 2 * np.eye(3, 4, 1))
    assert fill_diagonal(np.array([[np.nan, 1.0], [1.0, np.nan]]), 0.0).tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_bad_input_is_refused() -> None:
    for function in (symmetrise, triangle_to_vector, delete_diagonal):
        with pytest.raises(ValueError, match=r"\(..., region, region\)"):
            function(np.ones((2, 3)))
    with pytest.raises(ValueError, match="offset must lie between 0 and 2"):
        triangle_to_vector(np.ones((3, 3)), offset=3)
    with pytest.raises(ValueError, match='"upper" or "lower"'):
        triangle_to_vector(np.ones((3, 3)), triangle="left")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="6 and 10 among them, and vector has 7"):
        triangle_to_matrix(np.ones(7))
    with pytest.raises(ValueError, match="no empty axis"):
        triangle_to_matrix(np.ones(0))
    with pytest.raises(ValueError, match="at least 0"):
        triangle_to_matrix(np.ones(3), offset=-1)
    with pytest.raises(ValueError, match="at least one entry"):
        toeplitz(np.ones(0))
    with pytest.raises(ValueError, match=r"pair of at least \(3, 2\)"):
        toeplitz(np.ones(3), np.ones(2), shape=(2, 2))
    with pytest.raises(ValueError, match="no empty axis"):
        embed_diagonal(np.ones(0))
    with pytest.raises(ValueError, match="no diagonal at the offset 4"):
        fill_diagonal(np.ones((3, 3)), 0.0, offset=4)
    with pytest.raises(ValueError, match=r"\(..., row, column\)"):
        fill_diagonal(np.ones(3), 0.0)
    with pytest.raises(ValueError, match="must broadcast"):
        fill_diagonal(np.ones((3, 3)), np.ones(2))
    with pytest.raises(ValueError, match="nothing beside"):
        delete_diagonal(np.ones((1, 1)))
