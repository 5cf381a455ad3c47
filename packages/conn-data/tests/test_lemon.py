"""MPI-LEMON's preprocessed scans and EEG in a generated folder of the public layout."""

import nibabel
import numpy as np
import pytest
from scipy.io import savemat

from conn.data import DataError, DataUnavailableError, load_lemon, load_lemon_eeg, read_lemon_participants

SHAPE = (4, 4, 3)
META = (
    "ID,Gender_ 1=female_2=male,Age,Handedness,Hamilton_Scale,\n"
    "sub-010002,2,20-25,right,1,\n"
    "sub-010003,1,65-70,,,\n"
    "sub-010004,1,,left,3,\n"
)


@pytest.fixture
def scanner(tmp_path):
    """Two people, the second with a shorter run, and an atlas of two regions."""
    affine = np.diag([2.3, 2.3, 2.3, 1.0])
    numbers = np.zeros(SHAPE, dtype=np.int16)
    numbers[0], numbers[1] = 1, 2
    nibabel.Nifti1Image(numbers, affine).to_filename(tmp_path / "atlas.nii.gz")
    values = {}
    for person, n_frames in (("sub-010002", 9), ("sub-010003", 7)):
        run = np.random.default_rng(n_frames).normal(100, 5, (*SHAPE, n_frames)).astype(np.float32)
        image = nibabel.Nifti1Image(run, affine)
        image.header.set_zooms((2.3, 2.3, 2.3, 1.4))
        folder = tmp_path / "mri" / person / "func"
        folder.mkdir(parents=True)
        image.to_filename(folder / f"{person}_ses-01_task-rest_acq-AP_run-01_MNI2mm.nii.gz")
        values[person] = run
    (tmp_path / "meta.csv").write_text(META)
    return tmp_path, values


def write_set(path, values, channels, *, rate=250.0, inside=False, flat=False, events=(), compress=True, change=None):
    """Write an EEGLAB file, its numbers in an .fdt file beside it or inside."""
    places = np.zeros((1, len(channels)), dtype=[("labels", object), ("theta", object)])
    places["labels"], places["theta"] = channels, 12.0
    fields = {
        "setname": "rest",
        "nbchan": float(len(channels)),
        "pnts": float(values.shape[1]),
        "trials": 1.0,
        "srate": rate,
        "chanlocs": places,
        "data": values.astype(np.float32) if inside else "sub-032301_EC.fdt",
        "event": np.array(list(events), dtype=[("latency", object), ("type", object), ("duration", object)]),
    }
    fields |= change or {}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, fields if flat else {"EEG": fields}, do_compression=compress)
    if not inside:
        path.with_suffix(".fdt").write_bytes(values.astype("<f4").tobytes(order="F"))


@pytest.fixture
def eeg(tmp_path):
    """Three recordings with unlike channels."""
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=(3, size)) for name, size in (("2EC", 50), ("2EO", 40), ("3EC", 30))}
    events = [(1.0, "S210", 1.0), (26.0, "boundary", 500.0)]
    write_set(tmp_path / "sub-010002" / "sub-010002_EC.set", values["2EC"], ["Fp1", "Cz", "Oz"], events=events)
    write_set(tmp_path / "sub-010002" / "sub-010002_EO.set", values["2EO"], ["Fp1", "Cz", "Oz"], flat=True)
    write_set(tmp_path / "sub-010003" / "sub-010003_EC.set", values["3EC"], ["Oz", "Pz", "Cz"], inside=True,
              compress=False)  # fmt: skip
    return tmp_path, values


def test_rest_in_the_scanner_is_means_of_regions_with_people(scanner):
    folder, values = scanner
    scans = load_lemon(folder / "mri", folder / "atlas.nii.gz", participants=folder / "meta.csv")
    assert scans.table["subject"].tolist() == ["sub-010002", "sub-010003"]
    assert scans.table["n_frames"].tolist() == [9, 7]
    assert scans.table["direction"].tolist() == ["AP", "AP"]
    assert scans.repetition_time == pytest.approx(1.4)
    np.testing.assert_allclose(scans.time_series[0, 1], values["sub-010002"][1].mean(axis=(0, 1)), rtol=1e-5)
    assert scans.participants["sex"].tolist() == ["male", "female"]
    assert scans.participants["age_low"].tolist() == [20, 65]
    alone = load_lemon(folder / "mri", folder / "atlas.nii.gz", subjects=["sub-010003"], repetition_time=2.0)
    assert alone.n_scans == 1
    assert alone.repetition_time == 2.0


def test_scans_that_are_not_there_or_do_not_fit_are_named(scanner):
    folder, _ = scanner
    mri, atlas = folder / "mri", folder / "atlas.nii.gz"
    with pytest.raises(DataError, match="no person 'sub-010009'"):
        load_lemon(mri, atlas, subjects=["sub-010009"])
    (folder / "meta.csv").write_text(META.replace("sub-010003", "sub-032303"))
    with pytest.raises(DataError, match="no row of sub-010003: the study has two systems"):
        load_lemon(mri, atlas, participants=folder / "meta.csv")
    image = nibabel.load(mri / "sub-010003" / "func" / "sub-010003_ses-01_task-rest_acq-AP_run-01_MNI2mm.nii.gz")
    dark = np.asarray(image.dataobj).copy()
    dark[1] = 0
    changed = nibabel.Nifti1Image(dark, image.affine, image.header)
    changed.to_filename(mri / "sub-010003" / "func" / "sub-010003_ses-01_task-rest_acq-AP_run-01_MNI2mm.nii.gz")
    with pytest.raises(DataError, match=r"1 region\(s\) have a signal in less than 50%.* the first is '2'"):
        load_lemon(mri, atlas)
    (mri / "sub-010004" / "func").mkdir(parents=True)
    with pytest.raises(DataUnavailableError, match=r"sub-010004/func has no run"):
        load_lemon(mri, atlas, subjects=["sub-010004"])
    for empty, message in ((folder / "nowhere", "is no folder"), (folder, "has no folder sub-<six digits>")):
        with pytest.raises(DataUnavailableError, match=message):
            load_lemon(empty, atlas)


def test_eeg_keeps_the_channels_that_all_files_have(eeg, tmp_path):
    folder, values = eeg
    scans = load_lemon_eeg(folder)
    assert scans.region_labels == ("Cz", "Oz")
    assert scans.table[["subject", "task", "n_frames"]].to_numpy().tolist() == [
        ["sub-010002", "eyes_closed", 50], ["sub-010003", "eyes_closed", 30],
    ]  # fmt: skip
    assert scans.repetition_time == 1 / 250
    np.testing.assert_allclose(scans.time_series[0], values["2EC"][1:], rtol=1e-6)
    np.testing.assert_allclose(scans.time_series[1, :, :30], values["3EC"][[2, 0]], rtol=1e-6)
    assert scans.events[["onset", "trial_type"]].to_numpy().tolist() == [[0.0, "S210"], [0.1, "boundary"]]
    assert "2 channels that not all files have are left out: Fp1, Pz" in scans.describe()
    both = load_lemon_eeg(folder, condition="both", subjects=["sub-010002"], channels=["Oz", "Fp1"])
    assert both.table["task"].tolist() == ["eyes_closed", "eyes_open"]
    np.testing.assert_allclose(both.time_series[1, :, :40], values["2EO"][[2, 0]], rtol=1e-6)


def test_eeg_that_is_not_there_or_does_not_fit_is_named(eeg):
    folder, values = eeg
    with pytest.raises(DataError, match=r"sub-010003_EC\.set has no channel Fp1"):
        load_lemon_eeg(folder, channels=["Fp1"])
    with pytest.raises(DataUnavailableError, match=r"no file sub-010003_EO\.set"):
        load_lemon_eeg(folder, condition="both")
    with pytest.raises(DataError, match="condition 'shut'"):
        load_lemon_eeg(folder, condition="shut")
    path = folder / "sub-010002" / "sub-010002_EC.set"
    path.with_suffix(".fdt").write_bytes(b"1234")
    with pytest.raises(DataError, match=r"sub-010002_EC\.fdt has 4 bytes, and 3 channels x 50 samples are 600"):
        load_lemon_eeg(folder)
    path.with_suffix(".fdt").unlink()
    with pytest.raises(DataUnavailableError, match=r"has no sub-010002_EC\.fdt"):
        load_lemon_eeg(folder)
    for options, message in (
        ({"change": {"trials": 3.0}}, "holds epochs"),
        ({"rate": 0.0}, "field srate"),
        ({"rate": 500.0}, "sampling rates differ"),
        ({"change": {"nbchan": 2.5}}, "field nbchan: expected a whole number"),
        ({"change": {"nbchan": 4.0}}, "3 names of channels, expected 4"),
        ({"change": {"data": np.zeros((3, 4))}}, "field data: expected 3 channels x 50 samples"),
        ({"events": [("?", "S1", 0.0)]}, "event 1: no latency"),
    ):
        write_set(path, values["2EC"], ["Fp1", "Cz", "Oz"], **options)
        with pytest.raises(DataError, match=message):
            load_lemon_eeg(folder)
    bad = values["2EC"].copy()
    bad[1, 3] = np.nan
    write_set(path, bad, ["Fp1", "Cz", "Oz"])
    with pytest.raises(DataError, match="channel Cz has a value that is not finite"):
        load_lemon_eeg(folder)
    path.write_text("no MATLAB file")
    with pytest.raises(DataError, match="is no MATLAB file of version 5"):
        load_lemon_eeg(folder)


def test_people_are_typed_and_what_is_wrong_is_named_with_the_line(tmp_path):
    path = tmp_path / "meta.csv"
    path.write_text(META)
    people = read_lemon_participants(path)
    assert people.columns.tolist() == [
        "subject", "sex", "age_low", "age_high", "Handedness", "Hamilton_Scale", "column 6",
    ]  # fmt: skip
    assert people["age_high"].tolist()[:2] == [25, 70]
    assert np.isnan(people["Hamilton_Scale"][1])
    for old, new, message in (
        ("sub-010003", "sub-10003", "line 3: 'sub-10003' is no id"),
        ("sub-010003", "sub-010002", "sub-010002 is there twice"),
        ("sub-010003,1", "sub-010003,3", "line 3: Gender_ 1=female_2=male is '3'"),
        ("65-70", "old", "line 3: Age is 'old'"),
        ("Handedness", "sex", "column 'sex' is there twice"),
    ):
        path.write_text(META.replace(old, new, 1))
        with pytest.raises(DataError, match=message):
            read_lemon_participants(path)
