"""Run a benchmark: both sides in one process, on the same cores, and print what came of it as a table and as JSON.

`--page` runs nothing, and writes what the JSON files hold into the page of the documentation. A study, which is a suite
with a `main`, gets the arguments that are not known here, and writes its results itself.
"""

import argparse
import importlib
import json
import math
import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "benchmarks"
DOCS = HERE.parents[1] / "docs"
PAGES = {
    DOCS / "functional" / "benchmarks.md": (
        "functional",
        "temporal",
        "operators",
        "memory",
        "directed",
        "spd",
        "geometry",
    ),
    DOCS / "loss" / "benchmarks.md": ("tutorial",),
    DOCS / "data" / "benchmarks.md": ("data", "simulators"),
    DOCS / "drm" / "benchmarks.md": ("drm_speed",),
}
"""The pages that show results, and the suites that each one shows."""

BEGIN, END = "<!-- results, written by `hatch run bench --page` -->", "<!-- end of results -->"
COLUMNS = ("row", "dtype", "peer", "peer_seconds", "seconds", "ratio", "target", "largest_difference", "peak_gib")
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> int:
    """Run what the command line names."""
    suites = sorted(path.stem for path in HERE.glob("[!_]*.py") if path.name != Path(__file__).name)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "suite",
        nargs="?",
        choices=suites,
        type=lambda name: name.replace("-", "_"),
        help="the module of this folder to run",
    )
    parser.add_argument(
        "--page", action="store_true", help="write the documentation's pages from the results there are"
    )
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows of the suite (default: all)")
    parser.add_argument("--cores", type=int, default=1, help="cores that both sides may use (default: 1)")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of measurements (default: 5)")
    settings, rest = parser.parse_known_args()
    if settings.page is (settings.suite is not None):
        parser.error("name a suite to run, or give --page alone")
    if settings.page:
        if rest:
            parser.error(f"unknown arguments {rest}")
        for page, shown in PAGES.items():
            write_page(page, BUILD, shown)
            print(f"written to {page}")
        return 0
    _restrict(settings.cores)
    module = importlib.import_module(settings.suite)
    if hasattr(module, "main"):
        return module.main(rest)
    if rest:
        parser.error(f"{settings.suite} takes no arguments {rest}")
    known = list(getattr(module, "ROWS", {}))
    unknown = sorted(set(settings.rows or ()) - set(known))
    if unknown:
        parser.error(f"{settings.suite} has no rows {unknown}; it has {known or 'one set, without names'}")
    results = module.rows(settings.repeats, settings.rows) if known else module.rows(settings.repeats)
    results = [{**result, "jax": metadata.version("jax")} for result in results]
    print(_table(results, getattr(module, "COLUMNS", COLUMNS)))
    name = settings.suite if settings.cores == 1 else f"{settings.suite}-{settings.cores}-cores"
    path = BUILD / f"{name}.json"
    _write(path, results)
    print(f"\nwritten to {path}")
    return 0


def write_page(page: Path, build: Path, suites: tuple[str, ...]) -> None:
    """Write the suites' results in the folder between the marks of the page; what stands around them stays."""
    paths = [path for path in build.glob("*.json") if path.stem.split("-")[0] in suites]
    paths.sort(key=lambda path: path.stat().st_mtime)
    if not paths:
        sys.exit(f"{build} has no results of {', '.join(suites)}: run one first")
    # A row that two suites have run counts once, as last run.
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path in paths:
        for result in json.loads(path.read_text(encoding="utf-8")):
            found[(*_key(result), result["cores"])] = result
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        sys.exit(f"{page} must hold the marks {BEGIN!r} and {END!r}, once and in this order")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n\n{_sections(list(found.values()))}\n{END}{tail}", encoding="utf-8")


def _sections(results: list[dict[str, Any]]) -> str:
    """Return a table of times for each number of cores, and one of memory."""
    timed = [result for result in results if "peer_seconds" in result]
    sections = []
    for cores in sorted({result["cores"] for result in timed}):
        rows = [result for result in timed if result["cores"] == cores]
        versions = sorted({result["jax"] for result in rows if "jax" in result})
        with_jax = f", JAX {' and '.join(versions)}" if versions else ""
        title = f"## {'One core' if cores == 1 else f'{cores} cores'}"
        threads = "one thread" if cores == 1 else f"{cores} threads"
        targets = "" if cores == 1 else " The targets are those of one core."
        pools = f"All thread pools have {threads}{with_jax}.{targets}"
        cells = [_timed_cells(row) for row in rows]
        kept = [name for name in cells[0] if any(line[name] for line in cells)]
        table = _markdown([{name: line[name] for name in kept} for line in cells])
        sections.append(f"{title}\n\n{pools}\n\n{table}")
    measured = [result for result in results if "temporary_mib" in result]
    if measured:
        text = "What compiled programs ask for beside inputs and outputs, in float32; nothing is run."
        sections.append(f"## Temporary memory\n\n{text}\n\n{_markdown([_memory_cells(row) for row in measured])}")
    trained = [result for result in results if "distances" in result]
    if trained:
        text = (
            "Two epochs, without a peer. A distance is that of all weights from the planted ones, at first and after "
            "each epoch. Memory is the peak of the process."
        )
        sections.append(f"## Training\n\n{text}\n\n{_markdown([_training_cells(row) for row in trained])}")
    alone = [result for result in results if "peak_gib" in result and result not in trained]
    if alone:
        text = (
            "What nobody else has, each row in a process of its own on as many cores as it says. Memory is the peak of "
            "the process above what it held with the data alone, the compilation included."
        )
        sections.append(f"## Without the matrix\n\n{text}\n\n{_markdown([_alone_cells(row) for row in alone])}")
    return "\n".join(sections)


def _timed_cells(result: dict[str, Any]) -> dict[str, str]:
    ratio = f"{result['ratio']:.2f} ({result['target']:g})"
    whole = result.get("input_and_output_bytes")
    asked = [result[key] for key in ("temporary_bytes", "peer_temporary_bytes") if key in result]
    return {
        "row": result["row"],
        "ours": f"`{result['estimator'].removeprefix('conn.functional.')}`, {result['dtype']}",
        "peer": result["peer"],
        "seconds, ours / peer": f"{result['seconds']:.3g} / {result['peer_seconds']:.3g}",
        "ratio (target)": f"**{ratio}**, missed" if result["ratio"] < result["target"] else ratio,
        "difference": "" if math.isnan(result["largest_difference"]) else f"{result['largest_difference']:.0e}",
        "compiling (s)": f"{result['compilation_seconds']:.1f}" if "compilation_seconds" in result else "",
        "memory": ", peer ".join(f"{size / whole:.2f}" for size in asked) if whole else "",
        "remark": result.get("remark", ""),
    }


def _memory_cells(result: dict[str, Any]) -> dict[str, str]:
    return {
        "call": result["row"],
        "temporary (MiB)": f"{result['temporary_mib']:.2f}",
        "inputs and outputs (MiB)": f"{result['inputs_and_outputs_mib']:.2f}",
        "ratio": f"{result['ratio']:.2f}",
        "why more than 1": result["exception"],
    }


def _alone_cells(result: dict[str, Any]) -> dict[str, str]:
    memory = f"{result['peak_gib']:.2f} ({result['peak_gib_allowed']:g})"
    whole = result.get("whole_brain_seconds_computed")
    return {
        "row": f"{result['row']}, {result['dtype']}",
        "cores": str(result["cores"]),
        "seconds": f"{result['seconds']:.3g}" + (f" (whole brain, computed: {whole:.0f})" if whole else ""),
        "compiling (s)": f"{result['compilation_seconds']:.1f}",
        "difference (allowed)": f"{result['largest_difference']:.0e} ({result['largest_difference_allowed']:g})",
        "peak memory, GiB (allowed)": memory if result["passed"] else f"**{memory}**, missed",
    }


def _training_cells(result: dict[str, Any]) -> dict[str, str]:
    memory = f"{result['peak_gib']:.2f} ({result['peak_gib_allowed']:g})"
    return {
        "row": f"{result['row']}, {result['dtype']}",
        "cores": str(result["cores"]),
        "seconds of each": ", ".join(f"{spent:.0f}" for spent in result["seconds_of_each"]),
        "losses": ", ".join(f"{loss:.2e}" for loss in result["losses"]),
        "distances": ", ".join(f"{distance:.3f}" for distance in result["distances"]),
        "peak memory, GiB (allowed)": memory if result["passed"] else f"**{memory}**, missed",
    }


def _markdown(rows: list[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _restrict(cores: int) -> None:
    """Confine this process to some cores, before NumPy and JAX are imported and count them."""
    available = sorted(os.sched_getaffinity(0))
    if not 1 <= cores <= len(available):
        sys.exit(f"--cores must lie between 1 and {len(available)}, and is {cores}")
    os.sched_setaffinity(0, available[:cores])
    os.environ.update(dict.fromkeys(POOLS, str(cores)))


def _table(results: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    def cell(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [columns, *(tuple(cell(result.get(column, "")) for column in columns) for result in results)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
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
