"""Sets that lie in folders: what their loaders refuse, on generated folders."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

import conn.data
from conn.data import (
    DataError,
    DataUnavailableError,
    list_datasets,
    load_dataset,
    load_nitime_rest,
    load_pain_task,
    load_scans,
    load_stages_fep,
    save_scans,
    verify_dataset,
    write_tables,
)
from conn.data.archives import parse_npy, parse_npz
from conn.data.cards import CARDS

FOLDER_ONLY = sorted(name for name, card in CARDS.items() if not card.fetched)


def labels_of_mist():
    names = [f"R{number}" for number in range(122)]
    names[5] = names[4]
    return pd.DataFrame(
        {"label": names, "modules": "CER", "name": names, "roi": range(122), "x": 1.0, "y": 2.0, "z": 3.0}
    )


@pytest.fixture
def pain(tmp_path):
    """One person, runs 1 and 3, with a region that is empty in run 3."""
    folder = tmp_path / "own" / "pain-task-mist122"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for name, length in (("run01", 8), ("run03", 6)):
        arrays[name] = rng.standard_normal((length, 122)).astype(np.float32)
        arrays[f"{name}_fd"] = np.arange(1.0, length)
        arrays[f"{name}_globalsignal"] = np.arange(float(length))
    arrays["run03"][:, 7] = 0
    for number in range(1, 25):
        np.savez(folder / f"sub-{number:02d}.npz", **arrays)
        (folder / f"sub-{number:02d}_events.tsv").write_text(
            "run\tonset_in_run\tonset\tduration\ttemperature\tratings\tregulate-up/down\n"
            "01\t1.5\t1.5\t12.5\t46.3\tn/a\tn/a\n"
            "03\t2.5\t838.5\t11.0\tn/a\t105.0\tup\n"
        )
    labels_of_mist().to_csv(folder / "mist122_labels.tsv", sep="\t", index=False)
    return folder


def test_runs_of_two_lengths_come_with_masks_events_and_displacement(pain):
    scans = load_pain_task(subjects=["sub-03", "sub-01"], data_dir=pain.parent)
    assert scans.time_series.shape == (4, 122, 8)
    assert scans.table["n_frames"].tolist() == [8, 6, 8, 6]
    assert scans.mask.sum(axis=1).tolist() == [8, 6, 8, 6]
    # Displacements are one shorter than the frames: the first frame has none.
    np.testing.assert_array_equal(scans.motion[1], [0, 1, 2, 3, 4, 5, 0, 0])
    np.testing.assert_array_equal(scans.scan_arrays["global_signal"][1], [0, 1, 2, 3, 4, 5, 0, 0])
    assert scans.events["onset"].tolist() == [1.5, 2.5] * 2
    assert scans.events["onset_in_session"].tolist() == [1.5, 838.5] * 2
    assert scans.events["trial_type"].tolist() == ["heat", "rating"] * 2
    assert scans.events["regulation"].tolist() == ["", "up"] * 2
    assert scans.region_labels[3:6] == ("R3", "R4_roi4", "R4_roi5")
    assert scans.networks == ("CER",) * 122
    assert any("49" not in note and "differ from the registered" in note for note in scans.provenance.notes)
    assert "mean framewise displacement" in scans.describe()


def test_flat_regions_are_named(pain):
    scans = load_pain_task(subjects="sub-02", data_dir=pain.parent)
    (row,) = scans.flat_regions().to_dict("records")
    assert (row["scan"], row["subject"], row["run"], row["region"], row["ratio"]) == (1, "sub-02", 3, "R7", 0.0)
    with pytest.raises(DataError, match="tolerance is -1"):
        scans.flat_regions(tolerance=-1)


def test_a_selection_takes_events_and_people_along_and_a_file_keeps_them(pain, tmp_path):
    scans = load_pain_task(subjects=["sub-01", "sub-02"], data_dir=pain.parent).select(subjects="sub-02")
    assert scans.events["subject"].unique().tolist() == ["sub-02"]
    assert scans.scan_arrays["global_signal"].shape == (2, 8)
    back = load_scans(save_scans(scans, tmp_path / "scans.npz"))
    pd.testing.assert_frame_equal(back.events, scans.events, check_dtype=False)
    pd.testing.assert_frame_equal(back.regions, scans.regions, check_dtype=False)
    assert back.motion_measure == scans.motion_measure
    np.testing.assert_array_equal(back.scan_arrays["global_signal"], scans.scan_arrays["global_signal"])


def test_tables_hold_the_scans_exactly_and_appear_whole(pain, tmp_path):
    scans = load_pain_task(subjects="sub-02", data_dir=pain.parent)
    folder = write_tables(scans, tmp_path / "tables")
    listed = pd.read_csv(folder / "scans.tsv", sep="\t")
    for place, name in enumerate(listed["file"]):
        series = pd.read_csv(folder / name, sep="\t", na_values="n/a").to_numpy(dtype=np.float32).T
        np.testing.assert_array_equal(series, scans.time_series[place][:, scans.mask[place]])
    assert {path.name for path in tmp_path.iterdir()} == {"own", "tables"}
    with pytest.raises(DataError, match="exists already"):
        write_tables(scans, folder)
    with pytest.raises(DataError, match="cannot write"):
        write_tables(scans, folder / "scans.tsv" / "below")
    odd = scans.table.assign(subject="../x")
    with pytest.raises(DataError, match=r"'\.\./x' cannot be part of a file's name"):
        write_tables(type(scans)(**{**vars(scans), "table": odd, "events": None}), tmp_path / "other")


@pytest.mark.parametrize(
    ("subjects", "runs", "message"),
    [
        (["sub-99"], None, "there is no subject 'sub-99'"),
        (None, [2], "there is no run 2"),
        ([], None, "no subject was"),
    ],
)
def test_what_the_set_does_not_have_is_refused(pain, subjects, runs, message):
    with pytest.raises(DataError, match=message):
        load_pain_task(subjects=subjects, runs=runs, data_dir=pain.parent)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("sub-01.npz", b"PK not a zip", r"sub-01\.npz cannot be read"),
        ("sub-01_events.tsv", b"run\tonset\n01\t1\n", "line 1: no column onset_in_run, duration"),
        (
            "sub-01_events.tsv",
            b"run\tonset_in_run\tonset\tduration\ttemperature\tratings\tregulate-up/down\n01\tx\t1\t1\t1\t1\tup\n",
            "line 2, column onset_in_run: 'x' is not a number",
        ),
        (
            "sub-01_events.tsv",
            b"run\tonset_in_run\tonset\tduration\ttemperature\tratings\tregulate-up/down\n01\t1\n",
            "line 2: 2 fields, the header has 7",
        ),
        ("mist122_labels.tsv", b"label\tmodules\tname\troi\tx\ty\tz\n", "has 0 regions, expected 122"),
        ("mist122_labels.tsv", b"\xff\xfe", "not UTF-8 text"),
        ("sub-01_events.tsv", None, "own/pain-task-mist122 has no sub-01_events.tsv. It is read from a local folder"),
    ],
)
def test_a_bad_file_is_named(pain, name, body, message):
    if body is None:
        (pain / name).unlink()
    else:
        (pain / name).write_bytes(body)
    with pytest.raises(DataError, match=message):
        load_pain_task(subjects="sub-01", data_dir=pain.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run01": np.zeros((8, 121))}, r"run01 has shape \(8, 121\), expected \(any, 122\)"),
        ({"run01_fd": np.zeros(8)}, r"run01_fd has shape \(8,\), expected \(7\)"),
        ({"run01": np.full((8, 122), np.nan)}, "time_series of scan 0 has values that are not finite"),
        ({"run01": np.full((8, 122), "a")}, "expected numbers"),
    ],
)
def test_a_bad_array_is_named(pain, change, message):
    with np.load(pain / "sub-01.npz") as packed:
        arrays = dict(packed)
    np.savez(pain / "sub-01.npz", **(arrays | change))
    with pytest.raises(DataError, match=message):
        load_pain_task(subjects="sub-01", data_dir=pain.parent)


def npz_of(name, body):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, body)
    return stream.getvalue()


def npy_of(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def test_arrays_that_promise_too_much_or_hold_objects_are_refused_before_anything_is_allocated():
    whole = npy_of(np.zeros(4))
    np.testing.assert_array_equal(parse_npy(whole, "x"), np.zeros(4))
    np.testing.assert_array_equal(parse_npz(npz_of("a.npy", whole), "x")["a"], np.zeros(4))
    huge = whole.replace(b"(4,), }" + b" " * 12, b"(4000000000000,), }")
    with pytest.raises(DataError, match="holds 32 bytes where its header promises 32000000000000"):
        parse_npz(npz_of("a.npy", huge), "x")
    with pytest.raises(DataError, match="holds Python objects"):
        parse_npy(npy_of(np.array([{}]), allow_pickle=True), "x")
    for raw in (b"", whole[:20], b"\x93NUMPY\x09\x00" + whole[8:], whole[:-1]):
        with pytest.raises(DataError, match=r"x (cannot be read|is of version|holds)"):
            parse_npy(raw, "x")


def test_an_archive_that_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr("conn.data.archives._LARGEST_BYTES", 100)
    with pytest.raises(DataError, match="unpacks to more than 100 bytes"):
        parse_npz(npz_of("a.npy", npy_of(np.zeros(40))), "x")


@pytest.mark.parametrize("name", FOLDER_ONLY)
def test_a_set_that_is_not_at_hand_says_where_to_get_it(name, tmp_path):
    card = CARDS[name]
    with pytest.raises(DataUnavailableError, match="CONN_DATA_DIR is not set") as caught:
        load_dataset(name)
    assert card.source in str(caught.value)
    assert card.layout in str(caught.value)
    (tmp_path / "own").mkdir()
    with pytest.raises(DataUnavailableError, match=f"own has no folder {card.folder}"):
        load_dataset(name, data_dir=tmp_path / "own")
    (tmp_path / "own" / card.folder).mkdir()
    with pytest.raises(DataUnavailableError, match=r"has no .*It is read from a local folder only"):
        load_dataset(name, data_dir=tmp_path / "own")


def test_a_set_may_also_lie_in_the_cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache" / "nitime-small"
    folder.mkdir(parents=True)
    folder.joinpath("fmri_timeseries.csv").write_text('"WM","A"\n1.5,2\n2.5,4\n')
    monkeypatch.setenv("CONN_CACHE_DIR", str(tmp_path / "cache"))
    scans = load_nitime_rest()
    assert scans.provenance.origin == "cache"
    np.testing.assert_array_equal(scans.time_series, [[[1.5, 2.5], [2, 4]]])
    states = verify_dataset("nitime-rest")
    assert states.to_dict("records") == [{"path": "fmri_timeseries.csv", "state": "damaged"}]
    assert verify_dataset("nitime-events")["state"].tolist() == ["absent"]


def test_a_name_that_leaves_the_folder_is_refused(tmp_path):
    folder = tmp_path / "stages-fep"
    folder.mkdir()
    folder.joinpath("participants.tsv").write_text("participant_id\thas_ses2\tarm\n../../x\tTrue\tplacebo\n")
    with pytest.raises(DataError, match=r"'\.\./\.\./x' is not a participant's name"):
        load_stages_fep(data_dir=tmp_path)


def test_loading_by_name_knows_names_and_options():
    with pytest.raises(DataError, match="unknown data set 'hcp'"):
        load_dataset("hcp")
    with pytest.raises(DataError, match=r"pain-task has no option 'subject'; see conn\.data\.load_pain"):
        load_dataset("pain-task", subject="sub-01")
    assert all(hasattr(conn.data, loader) for loader in list_datasets()["loader"])
