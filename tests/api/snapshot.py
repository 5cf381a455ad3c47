"""Write down what the six packages promise today, for tests/api/test_public_api.py to compare with.

Run by `hatch run api-snapshot`. A change that breaks users of a released version is refused until the package's
version announces it: the minor version below 1.0, the major version from then on.
"""

import argparse
import json
import sys
from collections.abc import Sequence

import griffe
from public_api import (
    PACKAGES,
    ROOT,
    announces,
    changes,
    described,
    is_released,
    load,
    read_snapshot,
    snapshot_path,
    version,
)


def write(name: str, sources: griffe.ModulesCollection, *, allow_breaking: bool) -> bool:
    """Write a package's snapshot and return True, or say which changes its version does not announce."""
    kept, api = read_snapshot(name), described(name, sources)
    found = changes(kept["api"], api)
    breaking = [change for change in found if change.breaking]
    released = is_released((ROOT / "packages" / name / "CHANGELOG.md").read_text(encoding="utf-8"))
    for change in found:
        print(f"{name}: {'BREAKS ' if change.breaking else ''}{change}")
    if breaking and released and not allow_breaking and not announces(kept["version"], version(name)):
        print(
            f"{name}: not written. Version {version(name)} does not announce these breaks: "
            f"`cd packages/{name} && hatch version minor`, widen the bounds of the packages that need it, and say "
            "it in its CHANGELOG.md.",
            file=sys.stderr,
        )
        return False
    text = json.dumps({"version": version(name), "api": api}, indent=1, sort_keys=True, ensure_ascii=False)
    path = snapshot_path(name)
    beside = path.with_suffix(".part")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)
    print(f"{name}: {len(api)} names, {len(found)} changes")
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every snapshot was written, 1 if a break was not announced."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", metavar="NAME", help="packages to write (default: all six)")
    parser.add_argument(
        "--allow-breaking",
        action="store_true",
        help="write breaks that no version announces: for names that were never in a release",
    )
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.packages) - set(PACKAGES)):
        parser.error(f"unknown: {', '.join(unknown)}; the packages are {', '.join(PACKAGES)}")
    names, sources = options.packages or list(PACKAGES), load()
    written = [write(name, sources, allow_breaking=options.allow_breaking) for name in names]
    return 0 if all(written) else 1


if __name__ == "__main__":
    sys.exit(main())
