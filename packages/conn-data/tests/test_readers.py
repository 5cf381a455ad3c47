"""The strict readers: what is written is read back, what is wrong is named with its line."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from conn.data import DataError, read_1d, read_motion

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.fixture
def write(tmp_path):
    def write(body):
        path = tmp_path / "scan.1D"
        path.write_bytes(body if isinstance(body, bytes) else body.encode())
        return path

    return write


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=FINITE),
    gap=st.sampled_from([" ", "  ", "\t", " \t"]),
    end=st.sampled_from(["\n", "", "\n\n", " \n"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    header=st.sampled_from(["", "# a comment\n"]),
)
def test_what_was_written_is_read_back_exactly(write, frames, gap, end, line_end, header):
    lines = [gap.join(repr(float(value)) for value in frame) for frame in frames]
    read = read_1d(write(header + line_end.join(lines) + end))
    assert read.shape == frames.shape[::-1]
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, frames.T)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60))
def test_any_bytes_are_a_finite_table_or_a_refusal_that_names_the_file(write, body):
    path = write(body)
    message = str(path)
    try:
        assert np.isfinite(read_1d(path)).all()
    except DataError as error:
        message = str(error)
    assert str(path) in message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 2\n3 x4\n", r"scan\.1D, line 2: 'x4' is not a number"),
        ("1 2\n3 " + "9z" * 40, r"line 2: '9z9z.*\.\.\.' is not a number"),
        ("1 2\n3 1_0\n", r"line 2: '1_0' is not a number"),
        ("1 2\n3 0x1\n", r"line 2: '0x1' is not a number"),
        ("1 2\n3 inf\n", r"line 2: 'inf' is not a number"),
        ("1 2\n3 1e999\n", r"line 2: '1e999' is too large"),
        ("1,2\n3,4\n", r"line 1: '1,2' is not a number"),
        ("1 2\n3 4\n5\n", r"line 3: 1 columns where the lines before have 2; the file is cut off"),
        ("1 2\n3 4 5\n6 7\n", r"line 2: 3 columns where the lines before have 2$"),
        ("1 2\n\n3 4\n", r"line 2: the line is empty"),
        ("1 2\n# late\n3 4\n", r"line 2: '#' is not a number"),
        ("1 nan\n", r"line 1: NaN \(nan_policy='mask' marks such frames\)"),
        ("", r"scan\.1D: the file holds no frame"),
        ("# only a comment\n\n", r"line 2: the line is empty|holds no frame"),
        (b"1 2\n3 \xff\n", r"line 2: not plain text"),
        (b"1 2\n3 \x00\n", r"line 2: not plain text \(byte 0\)"),
        (b"1 2\r3 4\r", r"line 1: not plain text \(byte 13\)"),
        (b"\x1c", r"line 1: not plain text \(byte 28\)"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(write, body, message):
    with pytest.raises(DataError, match=message):
        read_1d(write(body))


def test_a_frame_with_nan_becomes_nan_in_every_region_under_the_mask_policy(write):
    read = read_1d(write("1 2\n3 NaN\n5 6\n"), nan_policy="mask")
    np.testing.assert_array_equal(read, [[1, np.nan, 5], [2, np.nan, 6]])


def test_the_number_of_columns_can_be_demanded(write):
    with pytest.raises(DataError, match="has 2 columns, expected 3"):
        read_1d(write("1 2\n"), n_regions=3)


def test_a_file_that_is_absent_and_a_policy_that_is_unknown_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"absent\.1D: No such file"):
        read_1d(tmp_path / "absent.1D")
    with pytest.raises(DataError, match="nan_policy 'drop' is neither"):
        read_1d(tmp_path / "absent.1D", nan_policy="drop")


def test_motion_is_one_number_a_line(write):
    np.testing.assert_array_equal(read_motion(write("0\n0.25\n")), [0, 0.25])
    with pytest.raises(DataError, match="has 2 columns, expected 1"):
        read_motion(write("0 1\n"))
    with pytest.raises(DataError, match=r"frame 1: motion is negative"):
        read_motion(write("0\n-1\n"))
    with pytest.raises(DataError, match="has 2 frames, its time series has 3"):
        read_motion(write("0\n1\n"), n_frames=3)
