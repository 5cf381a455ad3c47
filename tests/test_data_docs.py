"""The pages about data: their table is that of the package, and their examples run."""

import re
from pathlib import Path

import pytest

from conn.data import list_datasets

PAGES = Path(__file__).resolve().parents[1] / "docs" / "data"


def test_the_table_of_data_sets_is_that_of_the_package():
    page = (PAGES / "datasets.md").read_text(encoding="utf-8")
    table = page.split("<!-- table of data sets, as list_datasets() has it -->")[1].split("<!-- end of table -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    expected = [
        [f"`{row['name']}`", row["summary"], str(row["megabytes"]), row["needs"], row["licence"]]
        for row in list_datasets().to_dict("records")
    ]
    assert rows == expected


@pytest.mark.parametrize("name", ["datasets.md", "atlases.md", "genes.md"])
def test_examples_run_without_a_data_folder(name, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("CONN_DATA_DIR", raising=False)
    monkeypatch.setenv("CONN_CACHE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    page = (PAGES / name).read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, name, "exec"), {})
    assert capsys.readouterr().out


def test_the_example_of_each_set_runs(real_data, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CONN_DATA_DIR", str(real_data("miniMSC").parent))
    monkeypatch.setenv("CONN_CACHE_DIR", str(tmp_path))
    page = (PAGES / "examples.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([-a-z0-9]+)`", page))
    assert set(list_datasets()["name"]) <= named
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, "examples.md", "exec"), {})
        assert capsys.readouterr().out
