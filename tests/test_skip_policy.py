"""The rules of the root conftest.py, tried on small test runs of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(folder: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (folder / "pytest.ini").write_text(
        "[pytest]\nallowed_skips =\n    CONN_DATA_DIR is not set\nmarkers =\n    gpu: x\n"
    )
    (folder / "test_it.py").write_text("import pytest\n\n" + text)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CONN_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=folder, env=clean | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_listed_reason_passes(tmp_path):
    assert run(tmp_path, "def test_a():\n    pytest.skip('CONN_DATA_DIR is not set')\n").returncode == 0


@pytest.mark.parametrize(
    "text",
    ["def test_a():\n    pytest.skip('I am tired')\n", "pytest.skip('I am tired', allow_module_level=True)\n"],
    ids=["test", "module"],
)
def test_an_unlisted_reason_fails_the_run(tmp_path, text):
    result = run(tmp_path, text + "\ndef test_b():\n    pass\n")
    assert result.returncode != 0
    assert "I am tired" in result.stdout


def test_missing_data_fails_where_data_is_required(tmp_path):
    text = "def test_a():\n    pytest.skip('CONN_DATA_DIR is not set')\n"
    result = run(tmp_path, text, CONN_REQUIRE_DATA="1")
    assert result.returncode == 1
    assert "says that the data must be there" in result.stdout


def test_gpu_tests_wait_for_an_accelerator(tmp_path):
    text = "@pytest.mark.gpu\ndef test_a():\n    raise AssertionError('it ran')\n"
    assert "no accelerator was asked for" in run(tmp_path, text).stdout
    assert "it ran" in run(tmp_path, text, CONN_ACCELERATOR="cuda").stdout
