"""The published tutorial runs line for line, with only the modules of its imports changed, on the real scans."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parent / "benchmarks"))

import _tutorial_text
import tutorial
import tutorial_planted
import tutorial_real

from conn.data import fetch_msc, load_schaefer
from conn.data.msc import minimal_msc_download

EPOCHS = {"max_epoch = 500": "max_epoch = 3"}
"""All that is changed in the text beside its imports: what the test has no time for."""


@pytest.fixture(scope="module")
def text(real_data) -> str:
    """The page as published; it is not part of this repository."""
    real_data("miniMSC")
    path = _tutorial_text.tutorial_path()
    if path is None:
        pytest.skip("the tutorial's text is not beside the data")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def program(text) -> str:
    return "\n".join(_tutorial_text.rewritten(block) for block in _tutorial_text.code_blocks(text))


@pytest.fixture(scope="module")
def _own_cache(tmp_path_factory):
    """Leave nothing in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONN_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.realdata
def test_only_the_modules_of_imports_differ_from_the_text(text, program):
    published = "\n".join(_tutorial_text.code_blocks(text)).splitlines()
    ours = program.splitlines()
    # All that the page indents is code, and none of it is missing.
    indented = [line.removeprefix("    ") for line in text.splitlines() if line.startswith("    ") and line.strip()]
    assert [line for line in published if line] == indented
    changed = [(old, new) for old, new in zip(published, ours, strict=True) if old != new]
    assert len(changed) == 7
    for old, new in changed:
        module = re.fullmatch(r"from ([.\w]+) import.*", old)
        assert module is not None
        assert new == old.replace(module[1], _tutorial_text.MODULES[module[1]], 1)
    assert "hypercoil" not in program


@pytest.mark.realdata
@pytest.mark.usefixtures("_own_cache")
@pytest.mark.timeout(600)
def test_the_tutorial_runs_on_the_real_scans(program, tmp_path, capsys):
    short = _tutorial_text.substituted(program, EPOCHS)
    differing = [pair for pair in zip(program.splitlines(), short.splitlines(), strict=True) if pair[0] != pair[1]]
    assert differing == list(EPOCHS.items())

    names = _tutorial_text.run_program(short, tmp_path)

    # Nothing is padded: all thirty scans have 814 frames that count, and they are the scans that `fetch_msc` gives.
    series, scans = np.asarray(names["time_series"]), fetch_msc()
    assert series.shape == (30, 400, 814)
    assert scans.mask.all()
    folder = Path(minimal_msc_download())
    manifest = pd.read_csv(folder / "manifest.csv").set_index("path")
    assert manifest["n_frames"].eq(814).all()
    # The text takes the files as the folder lists them; the manifest says whose they are.
    files = (folder / "data" / "ts").glob("*ses-func0[1-3]*task-rest*ts.1D")
    rows = manifest.loc[[path.relative_to(folder).as_posix() for path in files], "row"]
    np.testing.assert_array_equal(series, scans.time_series[rows.to_numpy()])

    # The objective is 10 times minus the modularity: 10 equal shares of one community, whose modularity is 1 - 5.
    printed = capsys.readouterr().out
    terms = {name: float(value) for name, value in re.findall(r"^(\w+): (\S+)$", printed, flags=re.MULTILINE)}
    assert set(terms) == {"Modularity", "DynamicCommunities", "Smoothness", "BimodalSymmetric"}
    assert terms["Modularity"] == pytest.approx(10 * (5 - 1) / 10, abs=1e-3)
    assert np.isfinite(float(names["loss"]))
    affiliation = np.asarray(names["model"].affiliation)
    np.testing.assert_allclose(affiliation.sum(-1), 1, rtol=1e-5)
    assert np.abs(affiliation - 0.1).max() > 1e-3


@pytest.mark.realdata
@pytest.mark.usefixtures("text")
def test_the_text_takes_the_way_of_a_textbook(tmp_path):
    """20 epochs on planted communities, beside the original's arithmetic in plain JAX with the sign mended."""
    made = tutorial_planted.planted(0)
    program = _tutorial_text.substituted(
        tutorial_planted.program(0), {f"max_epoch = {tutorial_planted.N_EPOCHS}": "max_epoch = 0"}
    )
    names = _tutorial_text.run_program(program, tmp_path, {"time_series": made.time_series})
    ours, theirs = tutorial.epochs_of_the_text(names), tutorial.epochs_of_the_textbook(names)
    for epoch in range(20):
        loss = ours(epoch)
        assert loss == pytest.approx(theirs(epoch), rel=1e-4)
    assert loss < 5.9  # 6.0 at the start


@pytest.mark.realdata
def test_yeo_networks_are_joined_by_centroid_and_never_by_row(real_data):
    real_data("atlas-schaefer2018")
    networks, seven = tutorial_real.yeo_networks(), load_schaefer(400, 7)
    own = load_schaefer(400, 17)
    places = [f"{row.x} {row.y} {row.z}" for row in own.itertuples()]
    of_place = {f"{row.x} {row.y} {row.z}": row.network for row in seven.itertuples()}
    assert networks[7] == [of_place[place] for place in places]
    assert len(set(networks[7])) == 7
    # A join by row would put 396 parcels at another place, and many of them into another network.
    assert (own[["x", "y", "z"]].to_numpy() != seven[["x", "y", "z"]].to_numpy()).any(1).sum() == 396
    assert sum(one != other for one, other in zip(networks[7], seven["network"], strict=True)) > 100
