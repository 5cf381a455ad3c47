"""The table of files, the selection of runs, and the short form of sessions."""

import csv
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conn.data import DataError, describe_dataset, list_datasets, parse_sessions
from conn.data.registry import load_registry, select_runs

HASH = "0" * 64
SERIES = "data/ts/sub-MSC01_ses-func01_task-rest_run-01_schaefer400_ts.1D"
MOTION = "data/motion/sub-MSC01_ses-func01_task-rest_run-01_relRMS.1D"
HEADER = "path,sha256,bytes\n"


def test_the_built_in_table_lists_every_file_of_the_source():
    registry = load_registry()
    assert len(registry.files) == 1564
    assert len(registry.runs) == 782
    assert {run.subject for run in registry.runs} == {f"MSC{n:02d}" for n in range(1, 11)}
    assert {run.session for run in registry.runs} == set(range(1, 11))
    assert sum(run.task == "rest" for run in registry.runs) == 100
    assert {run.task for run in registry.runs} == {
        "rest", "motor", "glasslexical", "memoryfaces", "memoryscenes", "memorywords",
    }  # fmt: skip
    assert {run.run for run in registry.runs if run.task == "glasslexical"} == {1, 2, 3}


@pytest.mark.realdata
def test_the_built_in_table_is_that_of_the_data_folder(real_data):
    with (real_data("miniMSC") / "registry.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    built_in = {file.path: (file.sha256, str(file.n_bytes)) for file in load_registry().files}
    assert {row["path"]: (row["sha256"], row["bytes"]) for row in rows} == built_in


def test_a_table_of_ones_own_is_read_plain_or_compressed(tmp_path):
    text = f"{HEADER}{SERIES},{HASH},10\n{MOTION},{HASH},5\n"
    (tmp_path / "own.csv").write_text(text)
    (tmp_path / "own.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert load_registry(tmp_path / "own.csv") == load_registry(tmp_path / "own.csv.gz")
    (run,) = load_registry(tmp_path / "own.csv").runs
    assert run.name == "MSC01 session 1 rest run 1"
    assert (run.time_series.n_bytes, run.motion.n_bytes) == (10, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected the header"),
        (f"{HEADER}{SERIES},{HASH}\n", "line 2: 2 fields, expected 3"),
        (f"{HEADER}{SERIES},{HASH[1:]},1\n", "line 2: '0+' is not a SHA-256"),
        (f"{HEADER}{SERIES},{HASH},-1\n", "line 2: '-1' is not a number of bytes"),
        (f"{HEADER}../../etc/passwd,{HASH},1\n", "line 2: '../../etc/passwd' is not the path"),
        (f"{HEADER}/{SERIES},{HASH},1\n", "line 2: .* is not the path"),
        (f"{HEADER}{SERIES.replace('/ts/', '/motion/')},{HASH},1\n", "line 2: .* is not the path"),
        (f"{HEADER}{SERIES},{HASH},1\n{SERIES},{HASH},1\n", "line 3: .* stands twice"),
        (f"{HEADER}{SERIES},{HASH},1\n", "has schaefer400_ts only"),
    ],
)
def test_a_bad_table_is_refused_by_line(tmp_path, text, message):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_registry(tmp_path / "own.csv")


def test_a_table_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv: No such file"):
        load_registry(tmp_path / "absent.csv")
    (tmp_path / "own.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match="not a CSV file"):
        load_registry(tmp_path / "own.csv.gz")
    (tmp_path / "own.csv").write_bytes(b"\xff")
    with pytest.raises(DataError, match="not a CSV file"):
        load_registry(tmp_path / "own.csv")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"subjects": ["MSC11"]}, "subject MSC11 is not in the data set; there are MSC01, MSC02"),
        ({"sessions": [0]}, "session 0 is not in the data set; there are 1 to 10"),
        ({"sessions": [11]}, "session 11 is not in the data set"),
        ({"sessions": []}, "no session was asked for"),
        ({"tasks": "sleep"}, "task sleep is not in the data set; there are glasslexical"),
    ],
)
def test_what_the_data_set_does_not_have_is_refused(asked, message):
    everything = {"subjects": None, "sessions": None, "tasks": None}
    with pytest.raises(DataError, match=message):
        select_runs(load_registry(), **(everything | asked))


def test_a_selection_that_leaves_nothing_is_refused():
    registry = load_registry()
    runs, notes = select_runs(registry, subjects="MSC02", sessions=None, tasks="memoryscenes")
    absent = [session for session in range(1, 11) if session not in {run.session for run in runs}]
    assert len(notes) == len(absent) == 3
    with pytest.raises(DataError, match="no run with these subjects"):
        select_runs(registry, subjects="MSC02", sessions=absent, tasks="memoryscenes")


@given(st.sets(st.integers(1, 9999), min_size=1, max_size=30), st.randoms())
def test_every_set_of_sessions_can_be_written_and_read_back(sessions, random):
    parts, rest = [], sorted(sessions)
    while rest:
        length = 1
        while length < len(rest) and rest[length] == rest[0] + length and random.random() < 0.7:
            length += 1
        first, last = rest[0], rest[length - 1]
        parts.append(str(first) if first == last else f"{first}-{last}")
        rest = rest[length:]
    random.shuffle(parts)
    assert parse_sessions(random.choice([",", " , "]).join(parts)) == tuple(sorted(sessions))


@given(st.text(alphabet="0123456789-, ab", max_size=12))
def test_any_text_is_sessions_or_a_refusal(text):
    message = repr(text)
    try:
        sessions = parse_sessions(text)
        assert sessions == tuple(sorted(set(sessions)))
        assert min(sessions) >= 1
    except DataError as error:
        message = str(error)
    assert repr(text) in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is neither a number nor a range"),
        ("1,,2", "'' is neither"),
        ("1-2-3", "'1-2-3' is neither"),
        ("one", "'one' is neither"),
        ("3-1", "the range '3-1' runs backwards"),
        ("0-2", "'0-2' lies outside 1 to 9999"),
        ("1-10000", "lies outside"),
        ("9" * 30, "is neither"),
    ],
)
def test_sessions_that_make_no_sense_are_refused(text, message):
    with pytest.raises(DataError, match=message):
        parse_sessions(text)


def test_every_data_set_has_a_description():
    datasets = list_datasets()
    assert datasets["name"].is_unique
    assert (datasets["megabytes"] > 0).all()
    for name, summary in zip(datasets["name"], datasets["summary"], strict=True):
        text = describe_dataset(name)
        assert text.startswith(summary)
        assert "cite" in text
        assert "licence" in text
    with pytest.raises(DataError, match="unknown data set 'hcp'; there are conte69, eeg-visual"):
        describe_dataset("hcp")
