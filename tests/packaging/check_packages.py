"""Prove that every package works alone, from the archives that a user would install.

Builds a source archive and, from it, a wheel of each of the six packages; looks into them; then installs each wheel
into a fresh virtual environment, with what it declares and nothing else, imports it, runs its command lines' help and
its README's Python example from an empty folder without network. Its extras come on top afterwards.

Run by `hatch run check-packages`, or by any Python 3.11 or later: only the standard library is imported here.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from archives import Wheel, forbidden_names, namespace_inits, python_example, sdist_files, shared_files, wheel_problems

ROOT = Path(__file__).resolve().parents[2]
STRANGER = ROOT / "tests" / "downstream" / "connectome-strength"
JAX = ("jax", "jaxlib", "equinox")


@dataclass(frozen=True)
class Rule:
    """What a package is called, and what its environment must not hold when it is installed without extras.

    A forbidden name is looked for twice: among the installed distributions, and among the imported modules.
    """

    module: str
    may_need: tuple[str, ...] = ()  # of the six packages
    forbidden: tuple[str, ...] = ()  # of everyone else's


RULES = {
    "conn-functional": Rule("conn.functional", forbidden=("torch",)),
    "conn-loss": Rule("conn.loss", may_need=("conn-functional",), forbidden=("torch",)),
    "conn-data": Rule("conn.data", forbidden=(*JAX, "torch")),
    "conn-models": Rule(
        "conn.models",
        may_need=("conn-functional", "conn-loss", "conn-data"),
        forbidden=("torch",),
    ),
    "conn-eval": Rule("conn.eval", may_need=("conn-functional", "conn-data"), forbidden=("torch",)),
    "drm": Rule("drm", forbidden=(*JAX, "scipy", "pandas")),
}


@dataclass(frozen=True)
class MissingExtra:
    """A statement that needs an extra: without the extra its error says `expected`, with the extra it runs."""

    distribution: str
    extra: str
    statement: str
    expected: str


_DERIVATIVES = (
    "import json, pathlib; run = pathlib.Path('sub-01/func/sub-01_task-rest_atlas-x_timeseries.tsv'); "
    "run.parent.mkdir(parents=True, exist_ok=True); _ = run.write_text('a\\tb\\n' + '1\\t2\\n3\\t1\\n' * 20); "
    "_ = run.with_suffix('.json').write_text(json.dumps({'RepetitionTime': 2.0})); "
    "described = {'Name': 'x', 'BIDSVersion': '1.8.0', 'DatasetType': 'derivative'}; "
    "_ = pathlib.Path('dataset_description.json').write_text(json.dumps(described)); "
)
MISSING_EXTRAS = (
    MissingExtra(
        "conn-functional",
        "communities",
        "import numpy; from conn.functional import detect_communities; detect_communities(numpy.eye(2), n_runs=1)",
        "conn-functional[communities]",
    ),
    MissingExtra(
        "conn-functional",
        "frames",
        "import numpy; from conn.functional import to_dataframe; to_dataframe(numpy.eye(2), ['region', 'frame'])",
        "conn-functional[frames]",
    ),
    MissingExtra(
        "conn-data",
        "communities",
        "import numpy; from conn.data.splits import community_folds; "
        "community_folds(numpy.kron(numpy.eye(2), numpy.ones((3, 3))))",
        "conn-data[communities]",
    ),
    MissingExtra(
        "conn-data",
        "volumes",
        "import nibabel, numpy; from conn.data import parcellate_volume; values = numpy.arange(135.0, dtype='f4'); "
        "nibabel.Nifti1Image(values.reshape(3, 3, 3, 5), numpy.eye(4)).to_filename('run.nii.gz'); "
        "nibabel.Nifti1Image(numpy.ones((3, 3, 3), 'i2'), numpy.eye(4)).to_filename('atlas.nii.gz'); "
        "parcellate_volume('run.nii.gz', 'atlas.nii.gz')",
        "conn-data[volumes]",
    ),
    MissingExtra(
        "conn-data",
        "bids",
        _DERIVATIVES + "from conn.data import find_derivative_runs; find_derivative_runs('.', atlas='x')",
        "conn-data[bids]",
    ),
    MissingExtra(
        "conn-eval",
        "connectome",
        _DERIVATIVES + "from conn.eval import ConnectomeSettings, write_connectomes; "
        "write_connectomes('.', 'out', ConnectomeSettings(atlas='x', minimum_minutes=0.5))",
        "conn-eval[connectome]",
    ),
    MissingExtra(
        "conn-eval", "report", "from conn.eval import Report; Report('x').write('x.html')", "conn-eval[report]"
    ),
    MissingExtra(
        "conn-eval",
        "report",
        "from conn.eval import plot_training; plot_training({'loss': [2.0, 1.0]})",
        "conn-eval[report]",
    ),
    MissingExtra(
        "conn-models",
        "torch",
        "import numpy; from conn.models import AttentionForecaster; "
        "AttentionForecaster(1, n_epochs=1, progress=False).fit(numpy.random.default_rng(0).normal(size=(2, 3, 30)))",
        "conn-models[torch]",
    ),
)


class CheckFailed(Exception):
    """A step did not work; the message is what its reader needs."""


@dataclass
class Report:
    """What was found out about one package."""

    name: str
    wheel_bytes: int = 0
    n_installed: int | None = None
    import_seconds: float | None = None
    skipped: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def collecting(self):
        """Turn a failed step into a problem, so that the steps after it still run."""
        try:
            yield
        except CheckFailed as failure:
            self.problems.append(str(failure))


# ------------------------------------------------------------------------------ running things

PROBE = """
import importlib, json, sys, time
start = time.perf_counter()
module = importlib.import_module(sys.argv[1])
seconds = time.perf_counter() - start
print(json.dumps({
    "seconds": seconds,
    "version": module.__version__,
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "namespace": sys.argv[1].partition(".")[1] == "" or importlib.import_module("conn").__file__ is None,
}))
"""

EVERY_MODULE = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
def fail(name):
    raise
for found in pkgutil.walk_packages(package.__path__, sys.argv[1] + ".", onerror=fail):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
"""

# What pip says once for each package of each local index that it is told of, and how an import got where it failed.
NOISE = re.compile(
    r"WARNING: Location .* is ignored"
    r"|\s*File .*importlib(\._bootstrap|.__init__\.py)|\s*return _bootstrap|\s*\^+$"
)

_printing = threading.Lock()
_started = time.monotonic()


def say(name: str, text: str) -> None:
    """Print a line of progress."""
    with _printing:
        print(f"{time.monotonic() - _started:4.0f} s  {name:<16} {text}", flush=True)


def installer_environment() -> dict[str, str]:
    """Return this environment less what would change what pip and Python do in another one."""
    unwanted = ("PYTHON", "PIP_CONSTRAINT", "PIP_REQUIRE_VIRTUALENV", "VIRTUAL_ENV", "COV_", "COVERAGE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def newcomer_environment(home: Path) -> dict[str, str]:
    """Return the environment of someone with an empty home, no data of ours and no network."""
    unwanted = ("CONN_", "XDG_", "JAX_", "XLA_", "PYTEST_")
    kept = {
        name: value
        for name, value in installer_environment().items()
        if not name.startswith(unwanted) and not name.lower().endswith("_proxy")
    }
    nowhere = "http://127.0.0.1:9"  # the discard port: whatever asks for a page fails at once
    proxies = {"http_proxy": nowhere, "https_proxy": nowhere, "HTTPS_PROXY": nowhere, "all_proxy": nowhere}
    # Command lines show their help as plain text that does not depend on the terminal.
    return kept | proxies | {"HOME": str(home), "USERPROFILE": str(home), "NO_COLOR": "1", "TERM": "dumb"}


def call(command: Sequence[str | Path], what: str, *, env: dict[str, str], cwd: Path, minutes: float = 5) -> str:
    """Return what a command prints on its standard output, or raise with the end of what it said."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env=env,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=minutes * 60,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"{what} took more than {minutes} minutes") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        said = [line for line in said if not NOISE.match(line)]
        tail = "\n      ".join(said[-15:])
        raise CheckFailed(f"{what} failed with exit code {done.returncode}\n      {tail}")
    return done.stdout


def interpreter(environment: Path) -> Path:
    """Return the path of a virtual environment's Python."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


class Workshop:
    """The folder where everything is built and installed, and the tools that do it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.archives = folder / "dist"
        self.constraints = folder / "constraints.txt"
        self.archives.mkdir(parents=True)
        self.environment = installer_environment()
        call([sys.executable, "-m", "venv", folder / "tools"], "venv", env=self.environment, cwd=folder)
        self.python = interpreter(folder / "tools")
        self.pip(self.python, "install", "--upgrade", "pip", "uv", "build", "hatchling>=1.27")

    def uv(self, target: Path, *arguments: str | Path) -> str:
        """Run the workshop's uv on an environment."""
        action, *rest = arguments
        return call(
            [self.python, "-m", "uv", "pip", action, "--python", target, *rest],
            f"uv pip {action}",
            env=self.environment,
            cwd=self.folder,
            minutes=15,
        )

    def pip(self, target: Path, *arguments: str | Path) -> str:
        """Run the workshop's pip on an environment, which needs none of its own."""
        action, *rest = arguments
        return call(
            [self.python, "-m", "pip", "--python", target, "--disable-pip-version-check", action, *rest],
            f"pip {action}",
            env=self.environment,
            cwd=self.folder,
            minutes=15,
        )

    def build(self, source: Path) -> Wheel:
        """Return the wheel that is built from the source archive that is built from a folder."""
        output = self.archives / source.name
        call(
            [self.python, "-m", "build", "--no-isolation", "--outdir", output, source],
            f"building {source.name}",
            env=self.environment,
            cwd=self.folder,
        )
        return Wheel.read(next(output.glob("*.whl")))

    def constrain(self, wheels: Mapping[str, Wheel]) -> None:
        """Write the constraints that tie our names to our wheels: no index ever decides what they are."""
        ours = [f"{name} @ {wheel.path.as_uri()}" for name, wheel in wheels.items()]
        reference = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        # The reference versions hold on every Python here, so that asking for torch on a newer one gets the same.
        pins = [line.partition(";")[0].strip() for line in reference if re.match(r"[A-Za-z]", line)]
        self.constraints.write_text("\n".join([*pins, *ours]) + "\n", encoding="utf-8")

    def fresh(self, name: str) -> Path:
        """Return the Python of a new environment with nothing in it, not even pip."""
        environment = self.folder / "environments" / name
        call(
            [sys.executable, "-m", "venv", "--without-pip", environment],
            "venv",
            env=self.environment,
            cwd=self.folder,
        )
        return interpreter(environment)

    def install(self, python: Path, name: str, wheel: Wheel, extras: Sequence[str] = ()) -> list[str]:
        """Install a wheel, perhaps with extras, and return the names of all that is then installed."""
        suffix = f"[{','.join(extras)}]" if extras else ""
        requirement = f"{name}{suffix} @ {wheel.path.as_uri()}"
        if any(needs_torch(wheel, extra) for extra in (None, *extras)):
            # Only pip finds a CPU build of torch. Compiling all of an installation's files takes longer than compiling
            # those that an import touches.
            self.pip(python, "install", "--no-compile", "-c", self.constraints, requirement)
        else:
            self.uv(python, "install", "-c", self.constraints, requirement)
        return [entry["name"] for entry in json.loads(self.uv(python, "list", "--format", "json"))]


# ------------------------------------------------------------------------------ one package


class Alone:
    """One package in an environment of its own."""

    def __init__(self, workshop: Workshop, name: str, wheel: Wheel, report: Report):
        self.workshop, self.name, self.wheel, self.report = workshop, name, wheel, report
        self.rule = RULES[name]
        self.empty = workshop.folder / "empty" / name
        self.empty.mkdir(parents=True)
        home = workshop.folder / "homes" / name
        home.mkdir(parents=True)
        self.environment = newcomer_environment(home)
        self.python = workshop.fresh(name)

    def run(self, what: str, *arguments: str | Path) -> str:
        """Run the package's Python, which sees its own environment only, in the empty folder."""
        return call([self.python, "-I", *arguments], what, env=self.environment, cwd=self.empty)

    def check(self, extras: Sequence[str]) -> None:
        """Install and check the package without extras, then with them."""
        report = self.report
        with report.collecting():
            installed = self.workshop.install(self.python, self.name, self.wheel)
            report.n_installed = len(installed)
            say(self.name, f"installed alone: {len(installed)} distributions")
            self.check_installed(installed)
            self.check_import()  # what cannot be imported is not asked for anything else
            with report.collecting():
                self.run_example()
            for command in self.wheel.commands:
                with report.collecting():
                    script = self.python.parent / command
                    call([script, "--help"], f"{command} --help", env=self.environment, cwd=self.empty)
            for extra in extras:
                self.check_missing(extra)
            if extras:
                self.workshop.install(self.python, self.name, self.wheel, extras)
                say(self.name, f"installed with the extras {', '.join(extras)}")
                self.check_with(extras)
            if set(extras) == set(self.wheel.extras):  # a module may be there for an extra only
                with report.collecting():
                    self.run("importing every module", "-c", EVERY_MODULE, self.rule.module)

    def check_installed(self, installed: Sequence[str]) -> None:
        """Note what must not have been installed."""
        others = [each for each in RULES if each not in (self.name, *self.rule.may_need)]
        for each in forbidden_names(installed, [*self.rule.forbidden, *others]):
            self.report.problems.append(f"installing {self.name} alone brings {each}")

    def probe(self) -> dict:
        """Return what importing the package does."""
        return json.loads(self.run(f"import {self.rule.module}", "-c", PROBE, self.rule.module))

    def check_import(self) -> None:
        """Time the import, and note what it must not have imported."""
        self.probe()  # compiles; what a user waits for every day is the second one
        found = self.probe()
        self.report.import_seconds = found["seconds"]
        if not found["namespace"]:
            self.report.problems.append("conn has a file: it is no longer a namespace")
        if [found["version"]] != self.wheel.values("Version"):
            self.report.problems.append(f"__version__ is {found['version']}, which is not the wheel's version")
        others = [RULES[each].module for each in RULES if each not in (self.name, *self.rule.may_need)]
        for each in forbidden_names(found["modules"], [*self.rule.forbidden, *others]):
            self.report.problems.append(f"import {self.rule.module} imports {each}")

    def run_example(self) -> None:
        """Run the README's example."""
        example = python_example((ROOT / "packages" / self.name / "README.md").read_text(encoding="utf-8"))
        if not example.strip():
            raise CheckFailed(f"packages/{self.name}/README.md has no ```python example")
        script = self.empty.parent / f"{self.name}_readme_example.py"
        script.write_text(example, encoding="utf-8")
        start = time.monotonic()
        self.run("the README's example", script)
        say(self.name, f"README example ran in {time.monotonic() - start:.1f} s")

    def check_missing(self, extra: str) -> None:
        """Note the statements that do not ask for the extra which they need."""
        rows = [row for row in MISSING_EXTRAS if (row.distribution, row.extra) == (self.name, extra)]
        if not rows:
            self.report.notes.append(f"no row of MISSING_EXTRAS says what {self.name}[{extra}] is for")
        for row in rows:
            try:
                self.run(row.statement, "-c", row.statement)
            except CheckFailed as failure:
                if row.expected not in str(failure):
                    self.report.problems.append(f"without [{extra}] the error does not say {row.expected!r}: {failure}")
            else:
                self.report.problems.append(f"without [{extra}] this runs: {row.statement}")

    def check_with(self, extras: Sequence[str]) -> None:
        """Note what does not work once the extras are there."""
        for row in MISSING_EXTRAS:
            if row.distribution == self.name and row.extra in extras:
                with self.report.collecting():
                    self.run(f"with [{row.extra}], {row.statement}", "-c", row.statement)
        with self.report.collecting():
            optional = set().union(*(self.wheel.requirements(extra) for extra in extras))
            for each in forbidden_names(self.probe()["modules"], sorted(optional - self.wheel.requirements())):
                self.report.problems.append(f"import {self.rule.module} imports {each}, which belongs to an extra")

    def check_stranger(self) -> None:
        """Install the stranger's package beside this one and run its tests."""
        with self.report.collecting():
            stranger = self.workshop.build(STRANGER)
            self.workshop.install(self.python, STRANGER.name, stranger, ["test"])
            tests = shutil.copytree(STRANGER / "tests", self.empty.parent / "stranger" / "tests")
            call(
                [self.python, "-I", "-m", "pytest", "-q", "-p", "no:cacheprovider", tests],
                f"the tests of {STRANGER.name}",
                env=self.environment,
                cwd=tests.parent,
            )
            say(self.name, f"the tests of {STRANGER.name} passed")


def needs_torch(wheel: Wheel, extra: str | None = None) -> bool:
    """Tell whether a wheel, or one of its extras, requires torch."""
    return "torch" in wheel.requirements(extra)


def check_alone(workshop: Workshop, name: str, wheel: Wheel, report: Report, *, torch: bool) -> None:
    """Check one package in an environment of its own, as far as torch may be installed."""
    if needs_torch(wheel) and not torch:
        report.skipped = "it needs torch: --with-torch runs it on this Python"
        say(name, f"skipped: {report.skipped}")
        return
    extras = [extra for extra in wheel.extras if torch or not needs_torch(wheel, extra)]
    for extra in sorted(set(wheel.extras) - set(extras)):
        report.notes.append(f"[{extra}] was not checked: it needs torch, which --with-torch installs")
    with report.collecting():
        alone = Alone(workshop, name, wheel, report)
        alone.check(extras)
        if name == "conn-functional":
            alone.check_stranger()
    say(name, "failed" if report.problems else "passed")


# ------------------------------------------------------------------------------ all of them


def side_by_side(task: Callable, items: Iterable, *, jobs: int) -> list:
    """Return the results of a task on every item, a few at a time; an error of any is raised."""
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return list(pool.map(task, items))


def check(names: Sequence[str], folder: Path, *, torch: bool, jobs: int) -> tuple[list[Report], list[str]]:
    """Return what was found about each named package, and about all six together."""
    together = [
        f"{path.relative_to(ROOT)} exists"
        for path in sorted((ROOT / "packages").rglob("__init__.py*"))
        if namespace_inits([path.as_posix()])
    ]
    workshop = Workshop(folder)
    say("all", "building source archives and wheels")
    built = side_by_side(lambda name: workshop.build(ROOT / "packages" / name), RULES, jobs=jobs)
    wheels = dict(zip(RULES, built, strict=True))
    workshop.constrain(wheels)
    together += shared_files({name: wheel.files for name, wheel in wheels.items()})
    reports = {name: Report(name, wheel_bytes=wheels[name].path.stat().st_size) for name in names}
    for name, report in reports.items():
        report.problems += wheel_problems(wheels[name], RULES[name].module)
        sdist = next((workshop.archives / name).glob("*.tar.gz"))
        report.problems += [f"{sdist.name} holds {file}" for file in namespace_inits(sdist_files(sdist))]
    # The largest installations first, so that none of them is left to run alone at the end.
    order = sorted(names, key=lambda name: not any(needs_torch(wheels[name], e) for e in (None, *wheels[name].extras)))
    side_by_side(lambda name: check_alone(workshop, name, wheels[name], reports[name], torch=torch), order, jobs=jobs)
    return list(reports.values()), together


def table(reports: Sequence[Report]) -> str:
    """Return the summary, one line a package."""
    lines = [f"{'package':<16} {'wheel':>9} {'installed':>10} {'import':>8}  result"]
    for report in reports:
        installed = "-" if report.n_installed is None else str(report.n_installed)
        seconds = "-" if report.import_seconds is None else f"{report.import_seconds:.2f} s"
        result = "failed" if report.problems else "skipped" if report.skipped else "passed"
        size = f"{report.wheel_bytes / 1000:.1f} kB"
        lines.append(f"{report.name:<16} {size:>9} {installed:>10} {seconds:>8}  {result}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every package works alone, 1 if one does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", action="append", choices=list(RULES), metavar="NAME", help="check this package only; may be repeated"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this new folder and leave it there")
    parser.add_argument(
        "--with-torch",
        action="store_true",
        help="install torch on Python 3.12 and later too (gigabytes, where no CPU build is found)",
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="environments at a time (default: 2)")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    if options.keep and options.keep.exists() and (not options.keep.is_dir() or any(options.keep.iterdir())):
        parser.error(f"--keep: {options.keep} exists and is not an empty folder")
    names = [name for name in RULES if not options.only or name in options.only]
    torch = options.with_torch or sys.version_info < (3, 12)
    folder = options.keep.resolve() if options.keep else Path(tempfile.mkdtemp(prefix="check-packages-")).resolve()
    try:
        reports, together = check(names, folder, torch=torch, jobs=options.jobs)
    except CheckFailed as failure:
        print(f"\nNothing could be checked: {failure}", file=sys.stderr)
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{table(reports)}")
    for report in reports:
        for note in report.notes + ([f"skipped: {report.skipped}"] if report.skipped else []):
            print(f"note: {report.name}: {note}")
    problems = [*together, *(f"{report.name}: {problem}" for report in reports for problem in report.problems)]
    sys.stdout.flush()
    for problem in problems:
        print(f"FAILED {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
