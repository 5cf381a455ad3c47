"""Run a benchmark: both sides in one process, on the same cores, and print what came of it as a table and as JSON."""

import argparse
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "benchmarks"
COLUMNS = ("row", "dtype", "peer", "peer_seconds", "seconds", "ratio", "target", "largest_difference")
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> int:
    """Run what the command line names."""
    suites = sorted(path.stem for path in HERE.glob("*.py") if path.name != Path(__file__).name)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=suites, help="the module of this folder to run")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows of the suite (default: all)")
    parser.add_argument("--cores", type=int, default=1, help="cores that both sides may use (default: 1)")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of measurements (default: 5)")
    settings = parser.parse_args()
    _restrict(settings.cores)
    module = importlib.import_module(settings.suite)
    known = list(getattr(module, "ROWS", {}))
    unknown = sorted(set(settings.rows or ()) - set(known))
    if unknown:
        parser.error(f"{settings.suite} has no rows {unknown}; it has {known or 'one set, without names'}")
    results = module.rows(settings.repeats, settings.rows) if known else module.rows(settings.repeats)
    print(_table(results))
    name = settings.suite if settings.cores == 1 else f"{settings.suite}-{settings.cores}-cores"
    path = BUILD / f"{name}.json"
    _write(path, results)
    print(f"\nwritten to {path}")
    return 0


def _restrict(cores: int) -> None:
    """Confine this process to some cores, before NumPy and JAX are imported and count them."""
    available = sorted(os.sched_getaffinity(0))
    if not 1 <= cores <= len(available):
        sys.exit(f"--cores must lie between 1 and {len(available)}, and is {cores}")
    os.sched_setaffinity(0, available[:cores])
    os.environ.update(dict.fromkeys(POOLS, str(cores)))


def _table(results: list[dict[str, Any]]) -> str:
    def cell(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [COLUMNS, *(tuple(cell(result.get(column, "")) for column in COLUMNS) for result in results)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(COLUMNS))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)


def _write(path: Path, results: list[dict[str, Any]]) -> None:
    """Write the results whole; rows that were not run keep their last result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    fresh = {_key(result) for result in results}
    kept = [result for result in before if _key(result) not in fresh]
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump([*kept, *results], file, indent=2)
    Path(name).replace(path)


def _key(result: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(result.get(column) for column in ("row", "dtype", "peer"))


if __name__ == "__main__":
    sys.exit(main())
