"""Every replication meets its criterion in its short form, and the runner's table says what came of it."""

import importlib.util
import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest

SPECIFICATION = importlib.util.spec_from_file_location("replications_run", Path(__file__).with_name("run.py"))
run = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(run)

QUICK = (
    "bands_supervised",
    "benchmark_atlases",
    "fingerprinting",
    "global_signal",
    "gradient",
    "motion_distance",
    "parcels_individual",
    "states_supervised",
)
"""Replications whose short form takes less than five seconds, compilation included."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in run.names()]
)
def test_the_short_form_of_a_replication_meets_its_criterion(name):
    page = run.load(name)
    found = page.experiment(0, short=True)
    assert found["passed"], found
    assert page.CRITERION in run.row(name, page, [found | {"seconds": 0.0}])


def test_every_page_has_what_the_runner_calls():
    for name in run.names():
        page = run.load(name)
        assert page.CRITERION
        assert set(inspect.signature(page.experiment).parameters) == {"seed", "short"}


def test_the_interval_of_a_median_has_the_order_statistics_of_the_sign_test():
    # Conover's table: of ten observations the 2nd and the 9th, with a coverage of 0.979; five have no such interval.
    assert run.median_interval(range(10, 0, -1)) == (2, 9)
    assert run.median_interval(range(6)) == (0, 5)
    assert run.median_interval(range(5)) is None


def test_a_page_keeps_the_rows_of_experiments_that_were_not_run(tmp_path):
    page = tmp_path / "results.md"
    page.write_text(f"before\n\n{run.BEGIN}\n{run.END}\nafter\n")
    module = SimpleNamespace(__doc__="\nA title\n=====\n", CRITERION="error < 0.1")

    def write(name, error):
        found = [{"score": error, "baseline": 2 * error, "passed": error < 0.1, "seconds": 1.0}] * 10
        run.write_page(page, name, run.row(name, module, found))

    write("second", 0.05)
    write("first", 0.5)
    write("second", 0.06)
    text = page.read_text()
    lines = [line for line in text.splitlines() if "plot_" in line]
    assert len(lines) == 2
    assert "plot_first" in lines[0]
    assert "0 of 10 (0.00 to 0.28)" in lines[0]
    assert "0.060 (0.060 to 0.060)" in lines[1]
    assert "10 of 10 (0.72 to 1.00)" in lines[1]
    assert text.startswith("before")
    assert text.endswith("after\n")


def test_a_page_without_marks_is_refused(tmp_path):
    page = tmp_path / "results.md"
    page.write_text("nothing")
    with pytest.raises(SystemExit, match="must hold the marks"):
        run.write_page(page, "first", "| a row |")


def test_the_command_runs_every_seed_and_writes_the_page_that_it_is_told(tmp_path, monkeypatch, capsys):
    seeds = []

    def experiment(seed):
        seeds.append(seed)
        return {"score": seed / 10, "baseline": 0.0, "passed": seed > 0}

    module = SimpleNamespace(__doc__="A title", CRITERION="score > 0 | guessing", experiment=experiment)
    monkeypatch.setattr(run, "load", lambda name: module)
    monkeypatch.setattr("sys.argv", ["run.py", run.names()[0], "--seeds", "3", "--out", str(tmp_path / "page.md")])
    assert run.main() == 0
    assert seeds == [0, 1, 2]
    assert "2 of 3" in capsys.readouterr().out
    assert "| score > 0 \\| guessing | 0.100 | 0.000 |" in (tmp_path / "page.md").read_text()


def test_the_command_begins_at_the_first_seed_of_a_page(monkeypatch):
    seeds = []

    def experiment(seed):
        seeds.append(seed)
        return {"score": 0.0, "baseline": 0.0, "passed": True}

    module = SimpleNamespace(__doc__="A title", CRITERION="none", FIRST_SEED=10, experiment=experiment)
    monkeypatch.setattr(run, "load", lambda name: module)
    monkeypatch.setattr("sys.argv", ["run.py", run.names()[0], "--seeds", "2"])
    assert run.main() == 0
    assert seeds == [10, 11]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nothing"], "no replication nothing"), (["--seeds", "0"], "--seeds must be at least 1")],
)
def test_the_command_refuses_what_it_cannot_run(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run.py", *arguments])
    with pytest.raises(SystemExit):
        run.main()
    assert message in capsys.readouterr().err
