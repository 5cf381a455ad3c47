import sys
import tarfile
import tomllib
import zipfile

import archives
import check_packages as script
import pytest

METADATA = """\
Metadata-Version: 2.4
Name: conn-loss
Version: 0.1.0
License-Expression: Apache-2.0
License-File: LICENSE
Requires-Dist: conn-functional<0.2,>=0.1
Requires-Dist: Jax_Typing>=0.3
Provides-Extra: torch
Requires-Dist: torch>=2.6; extra == 'torch'

# conn-loss

Requires-Dist: a-trap-in-the-readme
"""


@pytest.fixture
def wheel(tmp_path):
    """Return a function that makes a faultless wheel, less and more what it is told."""

    def make(*more, without=(), metadata=METADATA):
        info = "conn_loss-0.1.0.dist-info"
        texts = {
            "conn/loss/__init__.py": "",
            "conn/loss/py.typed": "",
            f"{info}/METADATA": metadata,
            f"{info}/licenses/LICENSE": "",
            f"{info}/entry_points.txt": "[console_scripts]\nconn-loss = conn.loss.cli:main\n",
        }
        path = tmp_path / "conn_loss-0.1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in [*texts, *more]:
                if not name.endswith(without or ("\0",)):
                    archive.writestr(name, texts.get(name, ""))
        return archives.Wheel.read(path)

    return make


def test_a_faultless_wheel_is_accepted(wheel):
    assert archives.wheel_problems(wheel(), "conn.loss") == []


def test_a_wheel_tells_its_requirements_extras_and_commands(wheel):
    made = wheel()
    assert made.requirements() == {"conn-functional", "jax-typing"}
    assert made.requirements("torch") == {"torch"}
    assert made.extras == ["torch"]
    assert made.commands == ["conn-loss"]
    assert made.values("Version") == ["0.1.0"]


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ({"more": ("conn/__init__.py",)}, "conn_loss-0.1.0-py3-none-any.whl holds conn/__init__.py"),
        ({"more": ("tests/test_loss.py",)}, "holds tests/test_loss.py, which is not below conn/loss/"),
        ({"without": ("py.typed",)}, "lacks conn/loss/py.typed"),
        ({"without": ("/LICENSE",)}, "carries no licence text"),
        ({"metadata": METADATA.replace("License-File: LICENSE\n", "")}, "carries no licence text"),
        ({"metadata": METADATA.replace("Apache-2.0", "MIT")}, "does not declare the licence Apache-2.0"),
    ],
)
def test_a_fault_planted_in_a_wheel_is_found(wheel, planted, found):
    problems = archives.wheel_problems(wheel(*planted.pop("more", ()), **planted), "conn.loss")
    assert len(problems) == 1
    assert found in problems[0]


def test_a_file_that_two_wheels_hold_is_found_with_both_names():
    contents = {
        "conn-data": ["conn/data/scans.py", "conn/data/"],
        "conn-eval": ["conn/eval/report.py", "conn/data/scans.py", "conn/data/"],
    }
    assert archives.shared_files(contents) == ["conn/data/scans.py is in the wheels of conn-data and of conn-eval"]


def test_a_file_of_the_namespace_is_found_wherever_it_lies(tmp_path):
    path = tmp_path / "conn_loss-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("src/conn/__init__.py", "src/conn/loss/__init__.py", "src/conn/__init__.pyi"):
            archive.addfile(tarfile.TarInfo(f"conn_loss-0.1.0/{name}"))
    found = archives.namespace_inits(archives.sdist_files(path))
    assert found == ["conn_loss-0.1.0/src/conn/__init__.py", "conn_loss-0.1.0/src/conn/__init__.pyi"]


def test_a_forbidden_package_is_found_however_its_name_is_written():
    assert archives.forbidden_names(["numpy", "Torch", "scikit_learn"], ["torch", "scikit-learn"]) == [
        "scikit-learn",
        "torch",
    ]
    assert archives.forbidden_names(["numpy", "torchmetrics"], ["torch"]) == []


def test_a_readmes_python_blocks_are_its_example_and_its_shell_blocks_are_not():
    readme = "# x\n\n```sh\npip install x\n```\n\n```python\na = 1\n```\ntext\n```python\nprint(a)\n```\n"
    assert archives.python_example(readme) == "a = 1\n\nprint(a)\n"
    assert archives.python_example("# x\n") == ""


def test_every_package_of_the_repository_has_a_rule():
    assert set(script.RULES) == {path.parent.name for path in (script.ROOT / "packages").glob("*/pyproject.toml")}


def test_every_row_of_the_extras_is_about_an_extra_of_a_package():
    for row in script.MISSING_EXTRAS:
        text = (script.ROOT / "packages" / row.distribution / "pyproject.toml").read_text(encoding="utf-8")
        assert row.extra in tomllib.loads(text)["project"]["optional-dependencies"]


def test_a_failed_step_says_what_failed_and_the_end_of_its_output(tmp_path):
    code = "import sys; print('\\n'.join(map(str, range(99)))); sys.exit(3)"
    with pytest.raises(script.CheckFailed, match=r"a planted step failed with exit code 3[\s\S]*98$"):
        script.call([sys.executable, "-c", code], "a planted step", env={}, cwd=tmp_path)


def test_a_newcomers_environment_has_no_data_and_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("CONN_DATA_DIR", "data")
    monkeypatch.setenv("PIP_CONSTRAINT", "constraints.txt")
    environment = script.newcomer_environment(tmp_path)
    assert not {"CONN_DATA_DIR", "PIP_CONSTRAINT"} & set(environment)
    assert environment["HOME"] == str(tmp_path)
    assert environment["https_proxy"] == "http://127.0.0.1:9"


def test_what_is_installed_or_imported_but_forbidden_becomes_a_problem(wheel, monkeypatch):
    alone = object.__new__(script.Alone)
    alone.name, alone.rule, alone.wheel = "conn-loss", script.RULES["conn-loss"], wheel()
    alone.report = script.Report("conn-loss")
    alone.check_installed(["conn-loss", "conn-functional", "numpy", "torch", "conn-data"])
    assert alone.report.problems == [
        "installing conn-loss alone brings conn-data",
        "installing conn-loss alone brings torch",
    ]
    alone.report.problems.clear()
    found = {"seconds": 0.1, "version": "0.2.0", "modules": ["conn", "torch"], "namespace": False}
    monkeypatch.setattr(alone, "probe", lambda: found)
    alone.check_import()
    assert alone.report.problems == [
        "conn has a file: it is no longer a namespace",
        "__version__ is 0.2.0, which is not the wheel's version",
        "import conn.loss imports torch",
    ]


def test_a_folder_that_holds_something_is_not_built_in(tmp_path, capsys):
    (tmp_path / "precious.txt").touch()
    with pytest.raises(SystemExit, match="2"):
        script.main(["--keep", str(tmp_path)])
    assert "is not an empty folder" in capsys.readouterr().err


def test_the_summary_has_a_line_for_each_package():
    lines = script.table(
        [
            script.Report("conn-loss", 9900, 12, 0.5),
            script.Report("drm", 19900, skipped="it needs torch"),
            script.Report("conn-data", 108_500, 26, 0.25, problems=["a planted one"]),
        ]
    ).splitlines()
    assert lines[1].split() == ["conn-loss", "9.9", "kB", "12", "0.50", "s", "passed"]
    assert lines[2].split() == ["drm", "19.9", "kB", "-", "-", "skipped"]
    assert lines[3].endswith("failed")
