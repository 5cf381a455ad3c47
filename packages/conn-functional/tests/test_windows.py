import jax
import jax.numpy as jnp
import numpy as np
import pytest
from op_case import OpCase

from conn.functional import sample_windows, sliding_windows

KEY = jax.random.key(7)


def _series(rng):
    return (rng.normal(size=(3, 20)),)


OP_CASES = [
    OpCase(
        "sliding_windows",
        lambda x: sliding_windows(x, 6, step=4),
        _series,
        oracle="numpy.lib.stride_tricks.sliding_window_view",
        reference=lambda x: np.lib.stride_tricks.sliding_window_view(x, 6, axis=-1)[:, ::4],
        rtol=0,
        atol=0,
        degenerate={"zeros": (np.zeros((3, 20)),)},
    ),
    OpCase(
        "sample_windows",
        lambda x: sample_windows(x, 5, 3, key=KEY, overlap=False),
        _series,
        oracle="property: windows are runs of neighbouring frames, disjoint if asked, every placement equally likely",
        degenerate={"zeros": (np.zeros((3, 20)),)},
    ),
]


def test_windows_in_place_are_the_same_frames_in_one_row(rng):
    series = rng.normal(size=(2, 3, 20))
    apart = sliding_windows(series, 6, step=3)
    joined = sliding_windows(series, 6, step=3, new_axis=False)
    assert apart.shape == (2, 3, 5, 6)
    np.testing.assert_array_equal(joined, np.asarray(apart).reshape(2, 3, 30))


def test_frames_may_lie_on_any_axis(rng):
    series = rng.normal(size=(2, 20, 3))
    found = sliding_windows(series, 6, step=3, axis=1)
    np.testing.assert_array_equal(found, jnp.moveaxis(sliding_windows(jnp.moveaxis(series, 1, -1), 6, step=3), 1, -1))


def test_a_mask_is_cut_like_its_series():
    mask = np.array([True, False, True, True])
    assert sliding_windows(mask, 2).dtype == bool
    np.testing.assert_array_equal(sliding_windows(mask, 2), [[1, 0], [0, 1], [1, 1]])


def test_sampled_windows_are_runs_of_frames_in_order():
    frames = np.asarray(sample_windows(jnp.arange(30), 4, 5, key=KEY))
    assert (np.diff(frames, axis=-1) == 1).all()
    assert (np.diff(frames[:, 0]) >= 0).all()
    joined = sample_windows(jnp.arange(30), 4, 5, key=KEY, new_axis=False)
    np.testing.assert_array_equal(joined, frames.ravel())


def test_disjoint_windows_never_share_a_frame_and_all_placements_are_equally_likely():
    # Two windows of two frames among five: three placements. A count of 600 draws falls outside 200 +- 58 (5 standard
    # deviations) with a chance below 1e-5, and the seed is fixed.
    keys = jax.random.split(jax.random.key(0), 600)
    frames = np.asarray(jax.vmap(lambda key: sample_windows(jnp.arange(5), 2, 2, key=key, overlap=False))(keys))
    assert all(len(set(row.ravel().tolist())) == 4 for row in frames)
    placements, counts = np.unique(frames[:, :, 0], axis=0, return_counts=True)
    assert placements.tolist() == [[0, 2], [0, 3], [1, 3]]
    assert (abs(counts - 200) < 58).all()


def test_overlapping_windows_begin_anywhere():
    starts = np.asarray(sample_windows(jnp.arange(6), 4, 400, key=KEY))[:, 0]
    counts = np.bincount(starts, minlength=3)
    assert counts.size == 3
    assert (abs(counts - 133) < 50).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: sliding_windows(x, 9), "length must lie between 1 and the 8 frames"),
        (lambda x: sliding_windows(x, 0), "length must lie between"),
        (lambda x: sliding_windows(x, 2, step=0), "step must be at least 1"),
        (lambda x: sliding_windows(x, 2, axis=2), "axis 2 is none of the axes"),
        (lambda x: sample_windows(x, 2, 0, key=KEY), "n_windows must be at least 1"),
        (lambda x: sample_windows(x, 3, 3, key=KEY, overlap=False), "need 9 frames, and there are 8"),
    ],
)
def test_windows_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((2, 8)))
