import jax
import numpy as np
import pytest
from op_case import OpCase

from conn.functional import censoring_mask, dummy_frame_mask, framewise_displacement

NOT_OPERATIONS = {"dummy_frame_mask": "takes two sizes, and no array"}


def _power_2012(translation, rotation):
    # The article's own words: the sum of the absolute backward differences of the six parameters, rotations being
    # converted from degrees to arcs on a sphere of 50 mm.
    parameters = np.concatenate([translation, rotation / 360 * 2 * np.pi * 50])
    return np.r_[0.0, [sum(abs(now - then)) for then, now in zip(parameters.T[:-1], parameters.T[1:], strict=True)]]


def _motion(rng):
    return rng.normal(size=(3, 12)), rng.normal(size=(3, 12))


def _by_hand(displacement, *, threshold, before, after, shortest, dummy_frames):
    n_frames = len(displacement)
    keep = np.ones(n_frames, bool)
    for frame in range(n_frames):
        if not displacement[frame] <= threshold:
            keep[max(frame - before, 0) : frame + after + 1] = False
    keep[:dummy_frames] = False
    result, start = keep.copy(), 0
    while start < n_frames:
        stop = start
        while stop < n_frames and keep[stop]:
            stop += 1
        if stop - start < shortest:
            result[start:stop] = False
        start = max(stop, start + 1)
    return result


OP_CASES = [
    OpCase(
        "framewise_displacement",
        lambda t, r: framewise_displacement(t, r, rotation_unit="degrees"),
        _motion,
        oracle="Power et al. (2012), in NumPy",
        reference=_power_2012,
        rtol=1e-12,
        degenerate={"a still head": (np.zeros((3, 12)), np.ones((3, 12)))},
    ),
    OpCase(
        "censoring_mask",
        lambda fd: censoring_mask(fd, threshold=0.5, before=1, after=2, shortest=3, dummy_frames=2),
        lambda rng: (rng.random(40) * 0.6,),
        oracle="a loop over frames in NumPy",
        reference=lambda fd: _by_hand(fd, threshold=0.5, before=1, after=2, shortest=3, dummy_frames=2),
        not_differentiable="yes or no",
    ),
]


def test_radians_and_degrees_give_one_displacement(rng):
    translation, rotation = _motion(rng)
    by_degrees = framewise_displacement(translation, rotation, rotation_unit="degrees")
    by_radians = framewise_displacement(translation, np.deg2rad(rotation), rotation_unit="radians")
    np.testing.assert_allclose(by_degrees, by_radians, rtol=1e-12)


def test_a_quarter_degree_on_a_larger_sphere_is_a_longer_arc():
    rotation = np.zeros((3, 2))
    rotation[1, 1] = 0.25
    arc = framewise_displacement(np.zeros((3, 2)), rotation, rotation_unit="degrees", radius=80.0)
    np.testing.assert_allclose(arc, [0.0, np.pi / 180 / 4 * 80], rtol=1e-12)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dilation", [(0, 0), (1, 2), (3, 0)])
def test_masks_equal_a_loop_over_frames(seed, dilation):
    rng = np.random.default_rng(seed)
    displacement = rng.random(30) ** 3
    before, after = dilation
    settings = {"before": before, "after": after, "shortest": seed, "dummy_frames": seed % 3}
    found = jax.jit(lambda fd, threshold: censoring_mask(fd, threshold=threshold, **settings))(displacement, 0.4)
    np.testing.assert_array_equal(found, _by_hand(displacement, threshold=0.4, **settings))


def test_nan_counts_as_movement():
    np.testing.assert_array_equal(censoring_mask(np.array([np.nan, 0.1, 0.1]), threshold=0.5), [False, True, True])


def test_runs_are_masked_each_by_itself(rng):
    displacement = rng.random((3, 20))
    settings = {"threshold": 0.7, "before": 1, "after": 1, "shortest": 2}
    one_by_one = [censoring_mask(run, **settings) for run in displacement]
    np.testing.assert_array_equal(censoring_mask(displacement, **settings), np.stack(one_by_one))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: framewise_displacement(np.ones((3, 4)), np.ones((3, 4)), rotation_unit="turns"), "rotation_unit"),
        (lambda: framewise_displacement(np.ones((6, 4)), np.ones((6, 4)), rotation_unit="degrees"), "one shape"),
        (lambda: framewise_displacement(np.ones((3, 4)), np.ones((3, 5)), rotation_unit="degrees"), "one shape"),
        (lambda: censoring_mask(np.ones(4), threshold=0.5, before=-1), "before must not be negative"),
        (lambda: censoring_mask(np.ones(4), threshold=0.5, dummy_frames=5), "n_dummy must lie between 0 and the 4"),
        (lambda: censoring_mask(np.ones(()), threshold=0.5), "displacement must have shape"),
        (lambda: dummy_frame_mask(4, n_dummy=-1), "n_dummy must lie between"),
    ],
)
def test_impossible_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
