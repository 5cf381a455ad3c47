"""The command line: what it prints, and one line with status 2 for every refusal."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conn.data import list_datasets, load_scans, save_scans, simulate_cohort
from conn.data.cli import app, main

SERIES = "data/ts/sub-MSC01_ses-func01_task-rest_run-01_schaefer400_ts.1D"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def source(server, small_set, tmp_path):
    """Options that lead to the small set on the loopback server."""
    return [
        "--base-url", server.url, "--registry", small_set.registry,
        "--cache-dir", tmp_path / "cache",
    ]  # fmt: skip


def refused(result, message):
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("conn-data: error: ")
    assert message in lines[0]


def test_list_and_describe_name_the_data_sets():
    assert [line.split()[0] for line in run("list").stdout.splitlines()] == list_datasets()["name"].tolist()
    assert "782" in run("describe", "msc").stdout
    assert "MIT" in run("describe", "schaefer2018").stdout
    assert run("--version").stdout.startswith("conn-data 0.")


def test_every_command_has_help():
    for command in ([], ["list"], ["describe"], ["fetch"], ["verify"], ["convert"], ["assemble"], ["expression"]):
        result = run(*command, "--help")
        assert result.exit_code == 0
        assert "Usage: " in result.stdout
    assert run().stdout == run("--help").stdout
    assert "in place of the per-user cache" in " ".join(run("fetch", "--help").stdout.split())


def test_fetch_brings_the_scans_says_what_they_are_and_verify_confirms(source, tmp_path, small_set):
    result = run("fetch", "msc", "--sessions", "1-2", "--tasks", "all", *source)
    assert result.exit_code == 0, result.output
    assert "6 scans: 400 regions, 9 to 12 frames" in result.stdout
    assert "read from  network" in result.stdout
    assert str(tmp_path / "cache") in result.stdout
    checked = run("verify", "msc", *source[2:])
    assert checked.exit_code == 0
    assert checked.stdout.startswith("12 files intact, 0 damaged, 0 not fetched")
    (tmp_path / "cache" / "miniMSC" / SERIES).write_text("1 2 3\n")
    refused(run("verify", "msc", *source[2:]), f"1 damaged files, the first is {SERIES}")


def test_fetch_writes_the_scans_where_it_is_told(source, tmp_path):
    out = tmp_path / "out" / "scans.npz"
    result = run("fetch", "msc", "--sessions", "1", "--subjects", "MSC02, MSC01", "--out", out, *source)
    assert result.exit_code == 0, result.output
    assert load_scans(out).table["subject"].tolist() == ["MSC01", "MSC02"]


def test_fetch_serves_a_data_folder_without_the_network(small_set, tmp_path, server):
    own = small_set.write_tree(tmp_path / "own")
    result = run(
        "fetch", "msc", "--sessions", "all", "--data-dir", own, "--offline",
        "--registry", small_set.registry,
    )  # fmt: skip
    assert "read from  CONN_DATA_DIR" in result.stdout
    assert server.asked == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "hcp"], "unknown data set 'hcp'"),
        (["fetch", "stages-fep"], "stages-fep is not at hand: CONN_DATA_DIR is not set"),
        (["fetch", "stages-fep", "--tasks", "rest"], "--tasks has no meaning for stages-fep"),
        (["convert", "stages-fep", "out.npz"], "get it from https://github.com/izachp"),
        (["convert", "absent.npz", "out.npz"], "absent.npz cannot be read"),
        (["verify", "stages-fep", "--registry", "mine.csv"], "is for msc only"),
        (["describe", "hcp"], "unknown data set 'hcp'"),
        (["verify", "hcp"], "unknown data set 'hcp'"),
        (["verify", "schaefer2018"], "schaefer2018 is not at hand"),
        (["fetch", "msc", "--sessions", "1-30"], "session 11 is not in the data set"),
        (["fetch", "msc", "--sessions", "3-1"], "runs backwards"),
        (["fetch", "msc", "--subjects", "MSC99"], "subject MSC99 is not in the data set"),
        (["fetch", "msc", "--tasks", "sleep"], "task sleep is not in the data set"),
        (["fetch", "msc", "--jobs", "0"], "n_jobs is 0"),
        (["fetch", "msc", "--jobs", "many"], "--jobs"),
        (["fetch", "msc", "--offline"], "offline was asked for"),
        (["fetch", "msc", "--data-dir", "/nowhere"], "which is not a folder"),
        (["fetch", "msc", "--registry", "/nowhere"], "registry /nowhere"),
        (["fetch", "msc", "--nan-frames", "guess"], "nan_policy 'guess'"),
        (["fetch", "schaefer2018", "--tasks", "rest"], "--tasks has no meaning for schaefer2018"),
        (["fetch", "schaefer2018", "--offline"], "offline was asked for"),
        (["fetch"], "Missing argument"),
        (["fetch", "msc", "--bogus"], "No such option"),
        (["bogus"], "No such command 'bogus'"),
    ],
)
def test_a_bad_request_is_one_line_and_status_two(arguments, message):
    refused(run(*arguments), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body[: len(body) - 900], "ts.1D, line 12: "),
        (lambda body: body.replace(b".", b".x", 1), "ts.1D, line 1: "),
        (
            lambda body: b"\n".join(line.rsplit(b" ", 1)[0] for line in body.splitlines()),
            "has 399 parcels, its neighbours have 400",
        ),
        (lambda body: b"nan" + body[body.index(b" ") :], "ts.1D, line 1: NaN"),
    ],
    ids=["truncated", "not a number", "parcel count", "NaN frame"],
)
def test_a_bad_file_is_one_line_and_nothing_is_written(small_set, tmp_path, change, message):
    own = small_set.write_tree(tmp_path / "own")
    path = own / "miniMSC" / SERIES
    path.write_bytes(change(path.read_bytes()))
    out = tmp_path / "out" / "scans.npz"
    fetch = ["fetch", "msc", "--sessions", "1", "--registry", small_set.registry]
    refused(run(*fetch, "--data-dir", own, "--out", out), message)
    assert not out.parent.exists()


def test_nan_frames_are_masked_on_request(small_set, tmp_path):
    own = small_set.write_tree(tmp_path / "own")
    path = own / "miniMSC" / SERIES
    body = path.read_bytes()
    path.write_bytes(b"nan" + body[body.index(b" ") :])
    result = run(
        "fetch", "msc", "--sessions", "1", "--registry", small_set.registry,
        "--data-dir", own, "--nan-frames", "mask",
    )  # fmt: skip
    assert "1 measured frames are marked" in result.stdout


def test_an_unwritable_folder_is_one_line(source, tmp_path):
    (tmp_path / "file").write_text("in the way")
    fetch = ["fetch", "msc", "--sessions", "1", *source[:4]]
    refused(run(*fetch, "--cache-dir", tmp_path / "file" / "cache"), "cannot write into")
    out = tmp_path / "file" / "scans.npz"
    refused(run(*fetch, "--cache-dir", tmp_path / "cache", "--out", out), "cannot write")


def test_a_failing_server_is_one_line(source, server):
    server.misbehave = {SERIES: ["404"]}
    refused(run("fetch", "msc", "--sessions", "1", *source), "does not exist (status 404)")


def test_the_traceback_comes_with_debug_only():
    result = run("fetch", "hcp", "--debug")
    assert result.exit_code == 2
    assert "Traceback (most recent call last)" in result.stderr
    assert "conn.data.errors.DataError: unknown data set" in result.stderr


def test_an_interrupt_is_one_line(monkeypatch):
    def interrupt(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("conn.data.cli.describe_dataset", interrupt)
    assert run("describe", "msc").exit_code == 130


def test_main_exits_with_the_status_of_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["conn-data", "describe", "hcp"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_installed_command_refuses_in_one_line(tmp_path):
    command = Path(sys.executable).with_name("conn-data")
    done = subprocess.run(
        [command, "fetch", "msc", "--offline", "--cache-dir", tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "60 of 60 files are not in" in done.stderr


def test_schaefer_tables_are_fetched_all_at_once(server, tmp_path, monkeypatch):
    import hashlib

    from conn.data import atlas
    from conn.data.download import RemoteFile

    small = {}
    for n_regions, n_networks in atlas.SCHAEFER_FILES:
        rows = [f"{n},7Networks_RH_Vis_{n},1,2,3\n" for n in range(1, n_regions + 1)]
        body = "".join(["ROI Label,ROI Name,R,A,S\n", *rows]).encode()
        name = f"{n_regions}-{n_networks}.csv"
        small[n_regions, n_networks] = RemoteFile(name, hashlib.sha256(body).hexdigest(), len(body))
        server.contents[name] = body
    for key, file in small.items():
        monkeypatch.setitem(atlas.SCHAEFER_FILES, key, file)
    result = run("fetch", "schaefer2018", "--base-url", server.url, "--cache-dir", tmp_path / "c")
    assert result.stdout == "6 tables of schaefer2018 are at hand\n"
    assert len(server.asked) == 6


def test_importing_the_package_loads_nothing_heavy():
    program = (
        "import sys, conn.data; "
        "print([name for name in ('jax', 'torch', 'nilearn', 'nibabel', 'pandas', 'pooch', 'requests', "
        "'typer', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_scans_are_converted_to_tables_and_back_to_one_file(tmp_path):
    scans = simulate_cohort(n_subjects=2, n_sessions=1, n_regions=6, n_communities=2, n_frames=200)
    path = save_scans(scans, tmp_path / "scans.npz")
    result = run("convert", path, tmp_path / "tables")
    assert result.stdout == f"2 scans written to {tmp_path / 'tables'}\n"
    assert (tmp_path / "tables" / "sub-sim01_ses-1_task-rest_run-1_timeseries.tsv").is_file()
    run("convert", path, tmp_path / "again.npz")
    assert load_scans(tmp_path / "again.npz").describe() == scans.describe()


def test_offline_can_be_asked_for_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CONN_OFFLINE", "1")
    refused(run("fetch", "msc", "--cache-dir", tmp_path), "offline was asked for")
    monkeypatch.setenv("CONN_OFFLINE", "perhaps")
    refused(run("fetch", "msc", "--cache-dir", tmp_path), "CONN_OFFLINE is 'perhaps', expected 1 or 0")
