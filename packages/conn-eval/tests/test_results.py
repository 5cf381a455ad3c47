import json
import os

import numpy as np
import pandas as pd
import pytest

import conn.eval
from conn.eval import OutputError, check_output_folder, environment_versions, write_results


def strictly(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_results_and_tables_come_back_as_they_were(tmp_path):
    results = {
        "z": np.float32(0.5),
        "a": {"counts": np.arange(3), "names": ("x", "ÿ"), "none": None, "yes": np.bool_(True)},
    }
    table = pd.DataFrame({"subject": ["a", "b"], "r": [0.1, np.nan]})
    paths = write_results(tmp_path / "new" / "folder", results, {"pairs": table})
    content = strictly(paths["results"].read_text(encoding="utf-8"))
    assert content == {
        "a": {"counts": [0, 1, 2], "names": ["x", "ÿ"], "none": None, "yes": True},
        "simulated": False,
        "z": 0.5,
    }
    assert list(content) == sorted(content)
    pd.testing.assert_frame_equal(pd.read_csv(paths["pairs"]), table)
    assert sorted(p.name for p in paths["results"].parent.iterdir()) == ["pairs.csv", "results.json"]


def test_simulated_results_say_so_everywhere(tmp_path):
    table = pd.DataFrame({"r": [0.1]}, index=pd.Index(["a"], name="subject"))
    paths = write_results(tmp_path, {}, {"pairs": table}, simulated=True)
    assert strictly(paths["results"].read_text()) == {"simulated": True}
    assert paths["pairs"].read_text() == "subject,r,simulated\na,0.1,True\n"
    assert "simulated" not in table
    with pytest.raises(ValueError, match="but the argument simulated is False"):
        write_results(tmp_path, {"simulated": True})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_values_that_json_lacks_are_refused_or_null(tmp_path, value):
    with pytest.raises(ValueError, match=r"results\['fit'\]\[1\] is (nan|inf)"):
        write_results(tmp_path, {"fit": [1.0, value]})
    assert list(tmp_path.iterdir()) == []
    path = write_results(tmp_path, {"fit": [1.0, value]}, nan_policy="null")["results"]
    assert strictly(path.read_text())["fit"] == [1.0, None]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({"a": {1: 2}},), TypeError, r"results\['a'\] has the key 1"),
        (({"a": {"b": object()}},), TypeError, r"results\['a'\]\['b'\] is a object"),
        (({"a": 1j},), TypeError, "is a complex"),
        (({"a": pd.DataFrame()},), TypeError, "tables go into the argument tables"),
        (({}, {"../up": pd.DataFrame()}), ValueError, "'../up' is no file name"),
        (({}, {".hidden": pd.DataFrame()}), ValueError, "'.hidden' is no file name"),
        (({}, {"results": pd.DataFrame()}), ValueError, "rename it"),
        (({}, {"pairs": [1]}), TypeError, "'pairs' is a list"),
        (({}, {"pairs": pd.DataFrame({"a": [1]}, index=["x"])}), ValueError, "without a name"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_file(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        write_results(tmp_path, *arguments)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="nan_policy must be"):
        write_results(tmp_path, {}, nan_policy="omit")


def test_unwritable_folder_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"^cannot write .*results\.json: .+$") as caught:
        write_results(tmp_path / "file" / "folder", {})
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, ValueError)


def test_output_folder_is_checked_before_the_work(tmp_path, monkeypatch):
    assert check_output_folder(tmp_path / "new" / "folder") == tmp_path / "new" / "folder"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file is a file, and a folder was expected"):
        check_output_folder(tmp_path / "file" / "folder")

    def forbidden(**where):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", forbidden)
    with pytest.raises(OutputError, match=r"new: Permission denied"):
        check_output_folder(tmp_path / "new")


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_output_folder("~/out") == tmp_path / "out"
    assert write_results("~/out", {})["results"] == tmp_path / "out" / "results.json"


def test_failure_leaves_the_old_files_and_nothing_else(tmp_path, monkeypatch):
    table = pd.DataFrame({"r": [1]})
    write_results(tmp_path, {"run": 1}, {"pairs": table})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"pairs\.csv: No space left on device"):
        write_results(tmp_path, {"run": 2}, {"pairs": table})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_in_the_way_of_a_file_leaves_the_others_alone(tmp_path):
    (tmp_path / "pairs.csv").mkdir()
    with pytest.raises(OutputError, match=r"pairs\.csv: it is a folder"):
        write_results(tmp_path, {}, {"pairs": pd.DataFrame({"r": [1]})})
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]


def test_versions_name_what_numbers_depend_on_and_no_path():
    versions = environment_versions()
    assert versions["numpy"] == np.__version__
    assert versions["conn-eval"] == conn.eval.__version__
    assert {"python", "platform", "scipy", "pandas", "scikit-learn"} <= set(versions)
    assert not any("/" in version or "\\" in version for version in versions.values())
