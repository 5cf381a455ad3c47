"""The main job as a user runs it: a process of its own, both branches, and its page in a browser."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

DEMO = Path(__file__).resolve().parents[1] / "docs" / "examples" / "demo.py"
SECTIONS = [
    "Data",
    "Identification",
    "Communities",
    "Group connectome",
    "Similarity of scans",
    "Null of identification",
    "Learned communities",
    "Activity in the first scan",
    "Training",
    "Timings",
    "Versions",
]


def run_demo(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO), *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated")
    result = run_demo("--simulate", "--epochs", 2, "--permutations", 99, "--out", out)
    assert result.returncode == 0, result.stderr
    return out, result.stdout


@pytest.fixture(scope="module")
def real(real_data, tmp_path_factory):
    real_data("miniMSC")
    out = tmp_path_factory.mktemp("real")
    result = run_demo("--epochs", 2, "--permutations", 999, "--out", out)
    assert result.returncode == 0, result.stderr
    return out


def test_a_simulated_run_says_so_in_every_output(simulated):
    out, printed = simulated
    assert "simulated" in printed
    assert json.loads((out / "results.json").read_text())["simulated"] is True
    tables = sorted(out.glob("*.csv"))
    assert len(tables) == 6
    for table in tables:
        assert pd.read_csv(table)["simulated"].all(), table.name
    assert "simulated" in (out / "report.html").read_text().lower()


def test_nothing_but_the_outputs_is_left(simulated):
    out, printed = simulated
    assert sorted(path.suffix for path in out.iterdir()) == [".csv"] * 6 + [".html", ".json"]
    for path in out.iterdir():
        assert f"wrote {path}" in printed


@pytest.mark.realdata
def test_everybody_is_identified_on_the_real_scans(real):
    """The anchor: 100 % between any two of sessions 1 to 3, self 0.72-0.77, other 0.47."""
    results = json.loads((real / "results.json").read_text())
    assert results["simulated"] is False
    pairs = pd.read_csv(real / "identification.csv")
    assert len(pairs) == 6
    assert (pairs["accuracy"] == 1).all()
    assert pairs["self_similarity"].between(0.715, 0.775).all()
    assert pairs["other_similarity"].between(0.46, 0.48).all()
    assert results["identification"]["p value (permuted subjects)"] == pytest.approx(0.001)
    communities = pd.read_csv(real / "communities.csv")
    assert len(communities) == 400
    assert communities["network"].nunique() == 17


@pytest.mark.browser
@pytest.mark.parametrize("branch", ["simulated", pytest.param("real", marks=pytest.mark.realdata)])
def test_the_page_renders_without_network_and_without_console_errors(branch, request):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    out = request.getfixturevalue(branch)
    folder = out[0] if branch == "simulated" else out
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--headless=new", "--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        complaints, requests = [], []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((folder / "report.html").as_uri())
        headings = [text.strip() for text in page.locator("h2").all_inner_texts()]
        widths = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
        shown = page.inner_text("body").lower()
        browser.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert [name for name in SECTIONS if not any(name in heading for heading in headings)] == []
    assert len(widths) == 6
    assert min(widths) > 300
    assert ("simulated" in shown) == (branch == "simulated")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sessions", "0-3"], "session"),
        (["--sessions", "11"], "session"),
        (["--sessions", "one"], "session"),
        (["--simulate", "--epochs", "0"], "n_epochs must be at least 1"),
        (["--simulate", "--out", DEMO / "below-a-file"], "is a file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, tmp_path):
    result = run_demo("--out", tmp_path / "out", *arguments)
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("demo: ")
    assert message in last
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_traceback_is_shown_on_request(tmp_path):
    result = run_demo("--debug", "--sessions", "11", "--out", tmp_path)
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_the_help_can_be_read():
    result = run_demo("--help")
    assert result.returncode == 0
    assert "--sessions" in result.stdout
    assert "such as 1-3" in result.stdout
