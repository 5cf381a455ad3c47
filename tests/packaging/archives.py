"""What a wheel and a source archive of ours may hold, and what they must hold."""

import re
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = [
    "Wheel",
    "forbidden_names",
    "namespace_inits",
    "python_example",
    "sdist_files",
    "shared_files",
    "wheel_problems",
]

LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Wheel:
    """A wheel's files and metadata."""

    path: Path
    files: tuple[str, ...]
    metadata: str
    entry_points: str

    @classmethod
    def read(cls, path: Path) -> "Wheel":
        with zipfile.ZipFile(path) as archive:
            files = tuple(archive.namelist())
            texts = {
                name: archive.read(entry).decode()
                for entry in files
                for name in ("METADATA", "entry_points.txt")
                if PurePosixPath(entry).parts[1:] == (name,) and ".dist-info/" in entry
            }
        return cls(path, files, texts.get("METADATA", ""), texts.get("entry_points.txt", ""))

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The metadata's `Name: value` lines."""
        lines = self.metadata.split("\n\n", 1)[0].splitlines()
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]

    def values(self, header: str) -> list[str]:
        """Return every value of a metadata header."""
        return [value for name, value in self.headers if name == header]

    @property
    def extras(self) -> list[str]:
        return self.values("Provides-Extra")

    def requirements(self, extra: str | None = None) -> set[str]:
        """Return the normalised names that the wheel requires, without extras or for one extra."""
        found = set()
        for value in self.values("Requires-Dist"):
            requirement, _, marker = value.partition(";")
            match = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker)
            if (match.group(1) if match else None) == extra:
                found.add(normalised(re.split(r"[\s\[<>=!~(@]", requirement.strip(), maxsplit=1)[0]))
        return found

    @property
    def commands(self) -> list[str]:
        """The names of the console scripts."""
        parser = ConfigParser()
        parser.read_string(self.entry_points)
        return list(parser["console_scripts"]) if parser.has_section("console_scripts") else []


def normalised(name: str) -> str:
    """Return a distribution's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def namespace_inits(files: Iterable[str]) -> list[str]:
    """Return the files that would turn the namespace `conn` into one package's property."""
    return [
        file for file in files if PurePosixPath(file).parts[-2:] in {("conn", "__init__.py"), ("conn", "__init__.pyi")}
    ]


def shared_files(contents: Mapping[str, Iterable[str]]) -> list[str]:
    """Return a line for every file that more than one wheel would install at the same place."""
    owners: dict[str, list[str]] = {}
    for name, files in contents.items():
        for file in files:
            if not file.endswith("/"):
                owners.setdefault(file, []).append(name)
    return [
        f"{file} is in the wheels of {' and of '.join(sorted(names))}"
        for file, names in sorted(owners.items())
        if len(names) > 1
    ]


def forbidden_names(present: Iterable[str], forbidden: Sequence[str]) -> list[str]:
    """Return which forbidden distributions or top-level modules are present."""
    return sorted({normalised(name) for name in present} & {normalised(name) for name in forbidden})


def wheel_problems(wheel: Wheel, module: str) -> list[str]:
    """Return what is wrong with the files and the metadata of one wheel."""
    name, folder = wheel.path.name, module.replace(".", "/")
    problems = [f"{name} holds {file}" for file in namespace_inits(wheel.files)]
    strays = [
        file
        for file in wheel.files
        if not file.startswith(f"{folder}/") and ".dist-info/" not in file and file not in namespace_inits([file])
    ]
    problems += [f"{name} holds {file}, which is not below {folder}/" for file in strays]
    if f"{folder}/py.typed" not in wheel.files:
        problems.append(f"{name} lacks {folder}/py.typed")
    if wheel.values("License-Expression") != [LICENCE]:
        problems.append(f"{name} does not declare the licence {LICENCE}")
    licence_files = wheel.values("License-File")
    if not any(file.endswith(f".dist-info/licenses/{each}") for file in wheel.files for each in licence_files):
        problems.append(f"{name} carries no licence text: copy the root's LICENSE beside its pyproject.toml")
    return problems


def sdist_files(path: Path) -> list[str]:
    """Return the names in a source archive."""
    with tarfile.open(path) as archive:
        return archive.getnames()


def python_example(readme: str) -> str:
    """Return the code of a README's ```python blocks, one after the other."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL))
