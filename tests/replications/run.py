"""Run replications: each page of docs/examples/replications on several seeds, as one table.

A page has ``CRITERION``, what must be reached in words, and ``experiment(seed, short=False)``, which returns a
dictionary with ``score`` and ``baseline`` (numbers) and ``passed`` (the criterion, which may ask for more than the
score). A page whose protocol changed after its first seeds were run names the next one as ``FIRST_SEED``.
"""

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from scipy.stats import binom

from conn.eval import wilson_interval

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "examples" / "replications"
RESULTS = ROOT / "docs" / "models" / "replications.md"
ENOUGH = 10
BEGIN, END = "<!-- results, written by `hatch run replicate` -->", "<!-- end of results -->"
COLUMNS = ("experiment", "criterion", "score", "baseline", "seeds that pass", "seconds a seed")


def names() -> list[str]:
    """Return the names of all replications."""
    return sorted(path.stem.removeprefix("plot_") for path in PAGES.glob("plot_*.py"))


def load(name: str) -> ModuleType:
    """Return a page as a module; what it does as a page of the gallery is not done."""
    specification = importlib.util.spec_from_file_location(f"replication_{name}", PAGES / f"plot_{name}.py")
    if specification is None or specification.loader is None:
        raise ValueError(f"{PAGES / f'plot_{name}.py'} cannot be imported")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(names())} (default: all)")
    parser.add_argument(
        "--seeds", type=int, default=ENOUGH, help="how many, from 0 or the page's FIRST_SEED (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, help=f"page to write (default with {ENOUGH} seeds or more: {RESULTS})")
    settings = parser.parse_args()
    unknown = sorted(set(settings.name) - set(names()))
    if unknown:
        parser.error(f"there is no replication {', '.join(unknown)}; there are {', '.join(names())}")
    if settings.seeds < 1:
        parser.error(f"--seeds must be at least 1, and is {settings.seeds}")
    page = settings.out or (RESULTS if settings.seeds >= ENOUGH else None)
    for name in settings.name or names():
        module = load(name)
        first = getattr(module, "FIRST_SEED", 0)
        found = [_timed(module, seed) for seed in range(first, first + settings.seeds)]
        line = row(name, module, found)
        print(line, flush=True)
        if page is not None:
            write_page(page, name, line)
    if page is not None:
        print(f"written to {page}")
    return 0


def row(name: str, module: ModuleType, found: Sequence[dict[str, Any]]) -> str:
    """Return an experiment's row of the table."""
    n_passed = sum(bool(outcome["passed"]) for outcome in found)
    low, high = wilson_interval(n_passed / len(found), len(found))
    title = (module.__doc__ or name).strip().splitlines()[0]
    cells = (
        f"{{doc}}`{title} </gallery/replications/plot_{name}>`",
        module.CRITERION.replace("|", "\\|"),
        _median([outcome["score"] for outcome in found]),
        _median([outcome["baseline"] for outcome in found]),
        f"{n_passed} of {len(found)} ({low:.2f} to {high:.2f})",
        f"{statistics.median(outcome['seconds'] for outcome in found):.1f}",
    )
    return f"| {' | '.join(cells)} |"


def write_page(page: Path, name: str, line: str) -> None:
    """Put an experiment's row between the marks of the page, in the place of its former one; the rest stays."""
    text = page.read_text(encoding="utf-8") if page.is_file() else f"# Replications\n\n{BEGIN}\n{END}\n"
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        sys.exit(f"{page} must hold the marks {BEGIN!r} and {END!r}, once and in this order")
    head, rest = text.split(BEGIN)
    former, tail = rest.split(END)
    kept = [
        other for other in former.splitlines() if "/gallery/replications/" in other and f"plot_{name}>" not in other
    ]
    table = sorted([*kept, line], key=lambda one: one.split("plot_")[1].split(">")[0])
    header = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    body = "\n".join([*header, *table])
    page.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=page.parent, prefix=page.name, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{head}{BEGIN}\n\n{body}\n\n{END}{tail}")
    Path(part).replace(page)


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the narrowest pair of order statistics that covers the median in 95 % of samples; too few have none."""
    ordered, n = sorted(values), len(values)
    covering = [rank for rank in range((n + 1) // 2) if 1 - 2 * binom.cdf(rank, n, 0.5) >= 0.95]
    return (ordered[covering[-1]], ordered[n - 1 - covering[-1]]) if covering else None


def _timed(module: ModuleType, seed: int) -> dict[str, Any]:
    begin = time.perf_counter()
    found = module.experiment(seed)
    return {key: found[key] for key in ("score", "baseline", "passed")} | {"seconds": time.perf_counter() - begin}


def _median(values: Sequence[float]) -> str:
    interval = median_interval(values)
    limits = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
    return f"{statistics.median(values):.3f}{limits}"


if __name__ == "__main__":
    sys.exit(main())
