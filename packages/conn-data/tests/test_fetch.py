"""Fetching over HTTP: whole files or none, whatever the server and the neighbours do."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conn.data import DataError, DataUnavailableError, fetch_msc, load_schaefer, verify_msc
from conn.data import download as download_module
from conn.data.atlas import SCHAEFER_FILES
from conn.data.download import RemoteFile, fetch_files, is_intact
from conn.data.msc import minimal_msc_download

SERIES = "data/ts/sub-MSC01_ses-func01_task-rest_run-01_schaefer400_ts.1D"
MOTION = "data/motion/sub-MSC01_ses-func01_task-rest_run-01_relRMS.1D"


@pytest.fixture
def fetch(server, small_set, tmp_path):
    """`fetch_msc` on the small set, one scan unless told otherwise."""

    def fetch(**changes):
        settings = {
            "subjects": ["MSC01"],
            "sessions": [1],
            "base_url": server.url,
            "registry": small_set.registry,
            "cache_dir": tmp_path / "cache",
            "progress": False,
            "retry_wait": 0.01,
            "timeout": 5.0,
        }
        return fetch_msc(**(settings | changes))

    return fetch


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_scans_come_over_the_network_and_then_from_the_cache(fetch, server, small_set):
    first = fetch(sessions=None, subjects=None)
    assert first.provenance.origin == "network"
    assert first.time_series.shape == (4, 400, 12)
    assert first.time_series.dtype == np.float32
    assert list(first.table["subject"]) == ["MSC01", "MSC01", "MSC02", "MSC02"]
    assert list(first.table["session"]) == [1, 2, 1, 2]
    assert sorted(first.provenance.checksums) == sorted(set(server.asked))
    n_asked = len(server.asked)
    second = fetch(sessions=None, subjects=None)
    assert second.provenance.origin == "cache"
    assert len(server.asked) == n_asked
    np.testing.assert_array_equal(first.time_series, second.time_series)
    expected = np.loadtxt(small_set.contents[SERIES].decode().splitlines()).T
    np.testing.assert_allclose(first.time_series[0], expected, rtol=1e-6)
    np.testing.assert_allclose(first.motion[0], np.loadtxt(small_set.contents[MOTION].decode().splitlines()), rtol=1e-6)


def test_only_what_was_asked_for_is_fetched(fetch, server):
    fetch()
    assert sorted(server.asked) == [MOTION, SERIES]


def test_ragged_runs_are_padded_with_masked_zeros(fetch):
    scans = fetch(tasks=None)
    assert list(scans.table["task"]) == ["motor", "rest"]
    assert list(scans.table["n_frames"]) == [9, 12]
    np.testing.assert_array_equal(scans.mask.sum(axis=1), [9, 12])
    assert not scans.time_series[0, :, 9:].any()
    assert not scans.motion[0, 9:].any()


def test_a_task_that_a_person_lacks_is_noted(fetch):
    scans = fetch(subjects=None, tasks=["rest", "motor"])
    assert scans.n_scans == 3
    assert "the source has no motor run of MSC02 in session 1" in scans.provenance.notes


@pytest.mark.parametrize("how", ["drop", "break off", "short", "429", "500", "503"])
def test_a_passing_failure_is_tried_again(fetch, server, how):
    server.misbehave = {SERIES: [how, how]}
    assert fetch().provenance.origin == "network"
    assert server.asked.count(SERIES) == 3


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("drop", "in 4 tries: the connection failed"),
        ("break off", "the connection broke off"),
        ("short", "bytes came, then the body ended"),
        ("429", "the server answers 429"),
        ("500", "the server answers 500"),
    ],
)
def test_a_lasting_failure_is_unavailability_and_leaves_nothing_of_the_file(fetch, server, tmp_path, how, message):
    server.misbehave = {SERIES: [how] * 9}
    with pytest.raises(DataUnavailableError, match=message) as caught:
        fetch()
    assert SERIES in str(caught.value)
    assert set(files_in(tmp_path / "cache")) <= {f"miniMSC/{MOTION}"}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("wrong", "has SHA-256 .* registered is"),
        ("long", "sends more than the registered"),
        ("404", r"does not exist \(status 404\)"),
        ("403", "the server answers 403"),
    ],
)
def test_a_wrong_file_is_refused_at_once_and_leaves_nothing(fetch, server, tmp_path, how, message):
    server.misbehave = {SERIES: [how]}
    with pytest.raises(DataError, match=message) as caught:
        fetch()
    assert not isinstance(caught.value, DataUnavailableError)
    assert server.asked.count(SERIES) == 1
    assert set(files_in(tmp_path / "cache")) <= {f"miniMSC/{MOTION}"}


def test_a_slow_stream_is_given_up_and_tried_again(fetch, server):
    server.misbehave = {SERIES: ["slow"]}
    assert fetch(timeout=0.5).provenance.origin == "network"
    assert server.asked.count(SERIES) == 2


def test_a_server_that_does_not_answer_is_given_up(fetch, server):
    server.misbehave = {SERIES: ["hang"] * 9}
    with pytest.raises(DataUnavailableError, match="no answer in time"):
        fetch(timeout=0.1)


def test_no_server_at_all_is_unavailability(fetch):
    with pytest.raises(DataUnavailableError, match=r"the connection failed|no connection"):
        fetch(base_url="http://127.0.0.1:9", timeout=1.0)


def test_an_address_that_is_not_http_is_refused(fetch):
    with pytest.raises(DataError, match="begins with neither http:// nor https://"):
        fetch(base_url="ftp://127.0.0.1")
    with pytest.raises(DataError, match=r"http://\[::bad"):
        fetch(base_url="http://[::bad")


def test_an_interrupted_download_goes_on_with_what_is_missing(fetch, server):
    second = SERIES.replace("func01", "func02")
    server.misbehave = {second: ["404"]}
    with pytest.raises(DataError):
        fetch(sessions=[1, 2], n_jobs=1)
    server.asked.clear()
    assert fetch(sessions=[1, 2]).n_scans == 2
    assert SERIES not in server.asked
    assert second in server.asked


def test_a_damaged_cached_file_is_fetched_anew(fetch, server, small_set, tmp_path):
    fetch()
    cached = tmp_path / "cache" / "miniMSC" / SERIES
    cached.write_bytes(small_set.contents[SERIES][:-1] + b"x")
    states = verify_msc(cache_dir=tmp_path / "cache", registry=small_set.registry)
    states = dict(zip(states["path"], states["state"], strict=True))
    assert states.pop(SERIES) == "damaged"
    assert states.pop(MOTION) == "intact"
    assert set(states.values()) == {"absent"}
    with pytest.raises(DataUnavailableError, match="1 of 2 files"):
        fetch(offline=True)
    assert fetch().provenance.origin == "network"
    assert cached.read_bytes() == small_set.contents[SERIES]


def test_two_processes_at_once_end_with_one_sound_cache(server, small_set, tmp_path):
    server.misbehave = {path: ["late"] * 2 for path in small_set.contents}
    program = (
        "import sys; from conn.data import fetch_msc; "
        "scans = fetch_msc(sessions=None, tasks=None, base_url=sys.argv[1], registry=sys.argv[2], "
        "cache_dir=sys.argv[3], progress=False); print(scans.n_scans)"
    )
    arguments = [server.url, str(small_set.registry), str(tmp_path / "cache")]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in running:
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output.strip()) == (0, "6"), errors
    assert files_in(tmp_path / "cache" / "miniMSC") == sorted(small_set.contents)
    states = verify_msc(cache_dir=tmp_path / "cache", registry=small_set.registry)
    assert set(states["state"]) == {"intact"}


def test_a_folder_that_cannot_be_written_is_refused_before_any_download(fetch, server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write into"):
        fetch(cache_dir=tmp_path / "file" / "cache")
    assert server.asked == []


def test_a_full_disk_is_an_error_that_leaves_nothing(fetch, tmp_path, monkeypatch):
    def refuse(self, chunk):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download_module._Sink, "write", refuse)
    with pytest.raises(DataError, match="No space left"):
        fetch()
    assert files_in(tmp_path / "cache") == []


def test_an_interrupt_stops_what_is_under_way_and_keeps_whole_files(server, small_set, tmp_path, monkeypatch):
    files = [RemoteFile(path, "0" * 64, len(body) + 10**6) for path, body in small_set.contents.items()]
    server.misbehave = {file.path: ["slow"] for file in files}

    def interrupt(futures):
        raise KeyboardInterrupt

    monkeypatch.setattr(download_module, "as_completed", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch_files(files, base_url=server.url, folder=tmp_path / "cache", progress=False)
    assert files_in(tmp_path / "cache") == []


def test_progress_is_shown_on_standard_error(fetch, capsys):
    fetch(progress=True)
    assert "Midnight Scan Club" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_not_taken_for_absent(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="Is a directory"):
        is_intact(RemoteFile("folder", "0" * 64, (tmp_path / "folder").stat().st_size), tmp_path)


def test_counts_and_policies_are_checked_first(fetch, server):
    with pytest.raises(DataError, match="n_jobs is 0"):
        fetch(n_jobs=0)
    with pytest.raises(DataError, match="nan_policy 'drop'"):
        fetch(nan_policy="drop")
    with pytest.raises(DataError, match="n_jobs is 0"):
        fetch_files([], base_url=server.url, folder=None, n_jobs=0)
    assert server.asked == []


# Where data are looked for ------------------------------------------------------------------


def test_a_data_folder_comes_before_the_cache_and_the_network(fetch, server, small_set, tmp_path, monkeypatch):
    own = small_set.write_tree(tmp_path / "own")
    monkeypatch.setenv("CONN_DATA_DIR", str(own))
    scans = fetch(sessions=None)
    assert scans.provenance.origin == "CONN_DATA_DIR"
    assert scans.provenance.checksums[SERIES]
    assert server.asked == []


def test_a_named_data_folder_comes_before_the_variable(fetch, small_set, tmp_path, monkeypatch):
    monkeypatch.setenv("CONN_DATA_DIR", str(tmp_path / "nowhere"))
    own = small_set.write_tree(tmp_path / "own")
    assert fetch(data_dir=own).provenance.origin == "CONN_DATA_DIR"
    with pytest.raises(DataError, match=r"CONN_DATA_DIR names .*nowhere, which is not a folder"):
        fetch()
    with pytest.raises(DataError, match="data_dir names"):
        fetch(data_dir=tmp_path / "neither")


def test_a_data_folder_that_lacks_a_file_is_passed_over(fetch, small_set, tmp_path):
    own = small_set.write_tree(tmp_path / "own")
    (own / "miniMSC" / SERIES).unlink()
    assert fetch(data_dir=own).provenance.origin == "network"


def test_files_that_differ_from_the_registered_ones_are_noted(fetch, small_set, tmp_path):
    own = small_set.write_tree(tmp_path / "own")
    path = own / "miniMSC" / SERIES
    path.write_bytes(small_set.contents[SERIES].replace(b" ", b"  ", 1))
    scans = fetch(data_dir=own)
    assert "1 of 2 files differ from the registered ones" in scans.provenance.notes


def test_offline_and_absent_says_where_it_looked(fetch, server, tmp_path):
    (tmp_path / "own").mkdir()
    with pytest.raises(DataUnavailableError, match=r"2 of 2 files are not in .*own.*cache"):
        fetch(offline=True, data_dir=tmp_path / "own")
    assert server.asked == []


def pack(folder, n_frames=10, n_regions=400, **changes):
    subjects = np.repeat([f"sub-MSC{number:02d}" for number in range(1, 11)], 3)
    sessions = np.tile([f"ses-func{number:02d}" for number in range(1, 4)], 10)
    arrays = {
        "time_series": np.ones((30, n_regions, n_frames), dtype=np.float32),
        "relrms": np.zeros((30, n_frames), dtype=np.float32),
        "subject": subjects,
        "session": sessions,
    }
    arrays["time_series"] *= np.arange(1, 31, dtype=np.float32)[:, None, None]
    (folder / "miniMSC").mkdir(parents=True)
    path = folder / "miniMSC" / "rest_ses-func01-03.npz"
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return folder


def test_the_packed_file_serves_rest_of_sessions_one_to_three_only(tmp_path):
    own = pack(tmp_path / "own")
    scans = fetch_msc(data_dir=own, subjects=["MSC02"], sessions=[3, 2], offline=True)
    assert scans.provenance.origin == "CONN_DATA_DIR"
    np.testing.assert_array_equal(scans.time_series[:, 0, 0], [5, 6])
    assert list(scans.table["session"]) == [2, 3]
    with pytest.raises(DataUnavailableError, match="rest of sessions 1 to 3 only"):
        fetch_msc(data_dir=own, sessions=[3, 4], offline=True)
    with pytest.raises(DataUnavailableError, match="rest of sessions 1 to 3 only"):
        fetch_msc(data_dir=own, tasks=["motor"], offline=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_series": None}, "has no array 'time_series'"),
        ({"relrms": np.zeros((30, 9))}, "relrms has shape"),
        ({"time_series": np.ones((30, 399, 10))}, "time_series has shape"),
        ({"subject": np.arange(30)}, "not lists of names"),
        ({"subject": np.array([None] * 30)}, "cannot be read"),
    ],
)
def test_a_bad_packed_file_is_refused(tmp_path, changes, message):
    own = pack(tmp_path / "own", **changes)
    with pytest.raises(DataError, match=message):
        fetch_msc(data_dir=own, offline=True)


def test_a_truncated_packed_file_is_refused(tmp_path):
    path = pack(tmp_path / "own") / "miniMSC" / "rest_ses-func01-03.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot be read"):
        fetch_msc(data_dir=tmp_path / "own", offline=True)


def test_thirty_resting_scans_are_written_as_text_once_and_without_loss(tmp_path):
    values = np.random.default_rng(0).standard_normal((30, 400, 4)).astype(np.float32)
    own = pack(tmp_path / "own", time_series=values, relrms=np.zeros((30, 4), np.float32))
    folder = Path(minimal_msc_download(data_dir=own, cache_dir=tmp_path / "cache"))
    manifest = pd.read_csv(folder / "manifest.csv")
    assert list(manifest.columns) == ["row", "path", "subject", "session", "n_frames"]
    assert manifest.iloc[4].tolist() == [
        4,
        "data/ts/sub-MSC02_ses-func02_task-rest_run-01_schaefer400_ts.1D",
        "MSC02",
        2,
        4,
    ]
    assert sorted(manifest["path"]) == files_in(folder)[:-1]
    for row, path in zip(manifest["row"], manifest["path"], strict=True):
        table = pd.read_csv(folder / path, sep=" ", header=None)
        np.testing.assert_array_equal(table.values.T.astype(np.float32), values[row])
    before = (folder / "manifest.csv").stat().st_mtime_ns
    assert minimal_msc_download(data_dir=own, cache_dir=tmp_path / "cache") == str(folder)
    assert (folder / "manifest.csv").stat().st_mtime_ns == before
    # Other scans are other files, and nothing half written is left.
    other = Path(minimal_msc_download(data_dir=pack(tmp_path / "other"), cache_dir=tmp_path / "cache"))
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted([folder.name, other.name])


def test_text_that_cannot_be_written_is_an_error_that_leaves_nothing(tmp_path):
    own = pack(tmp_path / "own")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match="cache"):
        minimal_msc_download(data_dir=own, cache_dir=tmp_path / "cache")


# What is wrong inside a file ------------------------------------------------------------------


def spoil(small_set, tmp_path, path, change):
    own = small_set.write_tree(tmp_path / "own")
    target = own / "miniMSC" / path
    target.write_bytes(change(target.read_bytes()))
    return own


def test_a_parcel_count_that_differs_from_the_neighbours_is_refused(fetch, small_set, tmp_path):
    def drop_a_column(body):
        return b"\n".join(line.rsplit(b" ", 1)[0] for line in body.splitlines()) + b"\n"

    own = spoil(small_set, tmp_path, SERIES, drop_a_column)
    with pytest.raises(DataError, match=r"ts\.1D has 399 parcels, its neighbours have 400"):
        fetch(data_dir=own, sessions=None)


def test_nan_frames_are_refused_or_masked(fetch, small_set, tmp_path):
    def spoil_third_frame(body):
        lines = body.splitlines()
        lines[2] = b"nan" + lines[2][lines[2].index(b" ") :]
        return b"\n".join(lines) + b"\n"

    own = spoil(small_set, tmp_path, SERIES, spoil_third_frame)
    with pytest.raises(DataError, match=r"ts\.1D, line 3: NaN"):
        fetch(data_dir=own)
    scans = fetch(data_dir=own, nan_policy="mask")
    assert list(np.flatnonzero(~scans.mask[0])) == [2]
    assert not scans.time_series[0, :, 2].any()
    assert scans.table["n_frames"].tolist() == [12]
    assert "1 measured frames are marked as not usable" in scans.describe()


def test_a_scan_of_nothing_but_nan_is_refused(fetch, small_set, tmp_path):
    own = spoil(small_set, tmp_path, SERIES, lambda body: (b"nan " * 400 + b"\n") * 12)
    with pytest.raises(DataError, match="NaN in every frame"):
        fetch(data_dir=own, nan_policy="mask")


def test_a_motion_trace_of_another_length_is_refused(fetch, small_set, tmp_path):
    own = spoil(small_set, tmp_path, MOTION, lambda body: body + b"0.1\n")
    with pytest.raises(DataError, match="has 13 frames, its time series has 12"):
        fetch(data_dir=own)


# Region labels -------------------------------------------------------------------------------


def test_without_the_parcellations_table_regions_are_numbered_and_that_is_noted(fetch):
    scans = fetch()
    assert scans.region_labels[::399] == ("parcel-001", "parcel-400")
    assert set(scans.networks) == {"unassigned"}
    assert any("Schaefer table was not at hand" in note for note in scans.provenance.notes)


def serve_table(server, monkeypatch, lines):
    body = "\n".join(lines).encode()
    file = RemoteFile("table.csv", hashlib.sha256(body).hexdigest(), len(body))
    monkeypatch.setitem(SCHAEFER_FILES, (400, 17), file)
    server.contents["table.csv"] = body


TABLE = [
    "ROI Label,ROI Name,R,A,S",
    *(f"{number},17Networks_LH_VisCent_ExStr_{number},1,2,3" for number in range(1, 401)),
]


def test_the_parcellations_table_is_fetched_along(fetch, server, monkeypatch, tmp_path):
    serve_table(server, monkeypatch, TABLE)
    scans = fetch(atlas_base_url=server.url)
    assert scans.region_labels[0] == "17Networks_LH_VisCent_ExStr_1"
    assert set(scans.networks) == {"VisCent"}
    assert fetch().region_labels == scans.region_labels
    table = load_schaefer(offline=True, cache_dir=tmp_path / "cache")
    assert tuple(table["label"]) == scans.region_labels
    assert table.columns.tolist() == ["label", "hemisphere", "network", "x", "y", "z"]


def test_a_failing_server_of_the_table_does_not_lose_the_scans(fetch, server, monkeypatch):
    serve_table(server, monkeypatch, TABLE)
    server.misbehave = {"table.csv": ["500"] * 9}
    assert fetch(atlas_base_url=server.url).region_labels[0] == "parcel-001"


def test_a_table_is_looked_for_in_the_data_folder_the_cache_and_the_network(server, monkeypatch, tmp_path):
    serve_table(server, monkeypatch, TABLE)
    where = {"cache_dir": tmp_path / "cache", "base_url": server.url}
    with pytest.raises(DataUnavailableError, match=r"table\.csv is neither in a data folder nor in"):
        load_schaefer(**where, offline=True)
    assert len(load_schaefer(**where)) == 400
    assert len(load_schaefer(**where, offline=True)) == 400
    own = tmp_path / "own" / "atlas-schaefer2018"
    own.mkdir(parents=True)
    own.joinpath("table.csv").write_text("\n".join(TABLE).replace("VisCent", "TempPar"))
    assert set(load_schaefer(**where, data_dir=own.parent)["network"]) == {"TempPar"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["label,x"], "line 1: expected the header"),
        (TABLE[:-1], "has 399 regions, expected 400"),
        ([*TABLE[:5], "5,17Networks_XX_VisCent_1,1,2,3", *TABLE[6:]], "line 6: not region 5"),
        ([*TABLE[:5], *TABLE[4:-1]], "line 6: not region 5"),
        ([*TABLE[:5], "5,17Networks_LH_VisCent_1,1,2,z", *TABLE[6:]], "line 6: could not convert"),
        ([*TABLE[:5], "5,17Networks_LH_VisCent_1,1,2,nan", *TABLE[6:]], "line 6: a coordinate"),
        ([*TABLE[:5], "5,17Networks_LH_VisCent_1,1,2", *TABLE[6:]], "line 6: not region 5"),
    ],
)
def test_a_bad_table_in_the_data_folder_is_refused(monkeypatch, server, tmp_path, lines, message):
    serve_table(server, monkeypatch, TABLE)
    own = tmp_path / "atlas-schaefer2018"
    own.mkdir()
    own.joinpath("table.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        load_schaefer(data_dir=tmp_path)


def test_a_table_that_is_not_text_is_refused(monkeypatch, server, tmp_path):
    serve_table(server, monkeypatch, TABLE)
    own = tmp_path / "atlas-schaefer2018"
    own.mkdir()
    own.joinpath("table.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a CSV file"):
        load_schaefer(data_dir=tmp_path)


def test_a_parcellation_that_is_not_there_is_refused():
    with pytest.raises(DataError, match="no Schaefer table of 150 regions and 17 networks"):
        load_schaefer(150)
    with pytest.raises(DataUnavailableError, match="checksum is not known: put the file of https"):
        load_schaefer(300)
