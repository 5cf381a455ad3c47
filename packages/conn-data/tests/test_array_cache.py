"""Arrays kept for the second read: mapped into memory, and made anew when a file has changed."""

import os

import numpy as np
import pytest

from conn.data import fetch_msc
from conn.data import msc as module
from conn.data.array_cache import load_arrays, store_arrays
from conn.data.provenance import sha256_of_file


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        path.write_text(path.name)
    return paths


def keep(folder, files, value=1.0):
    store_arrays(folder, files, "s", [sha256_of_file(file) for file in files], {"x": np.full(3, value)})


def test_what_was_kept_comes_back_mapped_and_is_not_changed_by_writing_to_it(files, tmp_path):
    keep(tmp_path / "kept", files)
    first = load_arrays(tmp_path / "kept", files, "s")
    assert isinstance(first.arrays["x"], np.memmap)
    assert first.checksums == tuple(sha256_of_file(file) for file in files)
    first.arrays["x"][:] = 9
    np.testing.assert_array_equal(load_arrays(tmp_path / "kept", files, "s").arrays["x"], np.ones(3))
    assert load_arrays(tmp_path / "kept", files, "other") is None
    assert load_arrays(tmp_path / "kept", files[:1], "s") is None
    assert not [path for path in (tmp_path / "kept").iterdir() if path.suffix == ".part"]


def test_a_touched_file_is_hashed_once_and_a_changed_one_makes_the_arrays_stale(files, tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    keep(kept, files)
    os.utime(files[0], ns=(1, 1))
    assert load_arrays(kept, files, "s") is not None
    hashed = []
    monkeypatch.setattr("conn.data.array_cache.sha256_of_file", hashed.append)
    assert load_arrays(kept, files, "s") is not None
    assert hashed == []
    monkeypatch.undo()
    files[1].write_text("other")
    assert load_arrays(kept, files, "s") is None
    keep(kept, files, 2.0)
    np.testing.assert_array_equal(load_arrays(kept, files, "s").arrays["x"], np.full(3, 2.0))
    # The older arrays are gone.
    assert sorted(path.suffix for path in kept.iterdir()) == [".json", ".npy"]
    files[1].unlink()
    assert load_arrays(kept, files, "s") is None


@pytest.mark.parametrize("suffix", [".json", ".npy"])
@pytest.mark.parametrize("body", [b"", b"{", b'{"files": 3}', b"[]", b"\x93NUMPY"])
def test_a_damaged_cache_is_as_good_as_none(files, tmp_path, suffix, body):
    keep(tmp_path / "kept", files)
    (damaged,) = [path for path in (tmp_path / "kept").iterdir() if path.suffix == suffix]
    damaged.write_bytes(body)
    assert load_arrays(tmp_path / "kept", files, "s") is None
    keep(tmp_path / "kept", files)
    assert load_arrays(tmp_path / "kept", files, "s") is not None


def test_a_folder_that_cannot_be_written_is_no_error(files, tmp_path):
    (tmp_path / "kept").write_text("in the way")
    keep(tmp_path / "kept", files)
    assert load_arrays(tmp_path / "kept", files, "s") is None


def test_the_second_read_of_scans_parses_nothing_and_a_changed_scan_is_parsed_anew(small_set, tmp_path, monkeypatch):
    own = small_set.write_tree(tmp_path / "own")
    asked = {"sessions": None, "tasks": None, "data_dir": own, "registry": small_set.registry, "offline": True}
    first = fetch_msc(**asked)
    parsed = []
    parse = module.parse_1d
    monkeypatch.setattr(
        module, "parse_1d", lambda raw, path, **options: parsed.append(path) or parse(raw, path, **options)
    )
    second = fetch_msc(**asked)
    assert parsed == []
    assert isinstance(second.time_series, np.memmap)
    for name in ("time_series", "mask", "motion"):
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
    assert second.describe() == first.describe()
    assert second.table.equals(first.table)
    path = next((own / "miniMSC" / "data" / "ts").iterdir())
    path.write_bytes(path.read_bytes().replace(b"0", b"1"))
    third = fetch_msc(**asked)
    assert len(parsed) == 6
    assert "1 of 12 files differ from the registered ones" in third.describe()
    assert not np.array_equal(third.time_series, first.time_series)
    fetch_msc(**asked, array_cache=False)
    assert len(parsed) == 12
