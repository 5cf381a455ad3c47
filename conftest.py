"""What every test is held to: no skip without a listed reason, no missing data where it is required."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# XLA's compiling is most of what these tests take. What one process compiled, the others and the next run read; and a
# small program is compiled whole, rather than in parts that workers compile side by side.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / "build" / "jax-cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_parallel_codegen_split_count=1")

MISSING_DATA = "CONN_DATA_DIR"


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Return the function that gives a folder of real data by its name, or skips the test."""

    def folder(name: str) -> Path:
        if not os.environ.get("CONN_DATA_DIR"):
            pytest.skip("CONN_DATA_DIR is not set")
        path = Path(os.environ["CONN_DATA_DIR"]) / name
        if not path.is_dir():
            pytest.skip(f"CONN_DATA_DIR holds no {name}")
        return path

    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("allowed_skips", "reasons (regular expressions) for which a test may be skipped", type="linelist")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SKIPS] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None):
    yield
    if "jax" in sys.modules and (nextitem is None or nextitem.path != item.path):
        _forget_programs()


def pytest_runtest_setup(item: pytest.Item) -> None:
    accelerator = os.environ.get("CONN_ACCELERATOR", "cpu")
    if item.get_closest_marker("gpu") and accelerator == "cpu":
        pytest.skip("no accelerator was asked for")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.skipped and _reason(report).startswith(MISSING_DATA) and os.environ.get("CONN_REQUIRE_DATA") == "1":
        report.outcome = "failed"
        report.longrepr = f"{_reason(report)}, and CONN_REQUIRE_DATA=1 says that the data must be there"
    return report


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note(report)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workerinput"):
        return
    allowed = [re.compile(pattern) for pattern in session.config.getini("allowed_skips")]
    unlisted = {
        place: reason for place, reason in _SEEN.items() if not any(pattern.fullmatch(reason) for pattern in allowed)
    }
    session.config.stash[_SKIPS] = unlisted
    if unlisted and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    unlisted = config.stash[_SKIPS]
    if unlisted:
        terminalreporter.section("skips whose reason is not listed under allowed_skips", red=True)
        for place, reason in unlisted.items():
            terminalreporter.line(f"{place}: {reason}")


def _forget_programs() -> None:
    """Let go of what was compiled, once there is much of it.

    Each compiled program keeps regions of memory mapped. Linux grants a process 65,530 of them, and a process that
    asks for more dies without a word.
    """
    regions = Path("/proc/self/maps")
    if not regions.exists() or regions.read_bytes().count(b"\n") > 15_000:
        sys.modules["jax"].clear_caches()


_SKIPS = pytest.StashKey[dict[str, str]]()
_SEEN: dict[str, str] = {}


def _note(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _SEEN[report.nodeid] = _reason(report)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)
