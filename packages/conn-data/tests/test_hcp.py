"""A generated folder in the layout of the HCP Young Adult study, lists of people, behaviour."""

import nibabel
import numpy as np
import pytest
from nibabel.cifti2 import cifti2_axes as axes

from conn.data import (
    DataError,
    DataUnavailableError,
    find_hcp_runs,
    load_hcp,
    read_dlabel,
    read_hcp_behaviour,
    read_subject_list,
)

N_VERTICES = 30
VARIANT = "_Atlas_MSMAll_hp2000_clean"
pytestmark = pytest.mark.filterwarnings("ignore:pixdim")


def models(first: int = 0):
    there = np.arange(N_VERTICES) >= first
    return axes.BrainModelAxis.from_mask(there, name="CortexLeft") + axes.BrainModelAxis.from_mask(
        there, name="CortexRight"
    )


@pytest.fixture
def atlas(tmp_path):
    table = {0: ("???", (0, 0, 0, 0)), 1: ("left", (1, 0, 0, 1)), 2: ("right", (0, 1, 0, 1))}
    values = np.repeat([0, 1, 0, 2], [5, 25, 5, 25])[None].astype(np.float32)
    path = tmp_path / "atlas.dlabel.nii"
    nibabel.Cifti2Image(values, header=(axes.LabelAxis(["parcels"], [table]), models())).to_filename(path)
    return read_dlabel(path)


def write_run(folder, person, run, n_frames, *, level=1.0, step=0.72, motion=True):
    place = folder / person / "MNINonLinear" / "Results" / run
    place.mkdir(parents=True)
    values = level + np.random.default_rng(0).normal(size=(n_frames, 50)).astype(np.float32)
    path = place / f"{run}{VARIANT}.dtseries.nii"
    nibabel.Cifti2Image(values, header=(axes.SeriesAxis(0, step, n_frames), models(5))).to_filename(path)
    if motion:
        (place / "Movement_RelativeRMS.txt").write_text("\n".join(["0"] + ["0.1"] * (n_frames - 1)) + "\n")
    return values


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "hcp"
    write_run(folder, "100307", "rfMRI_REST1_LR", 12, level=1)
    write_run(folder, "100307", "rfMRI_REST1_RL", 10, level=2)
    write_run(folder, "100307", "tfMRI_WM_LR", 9, level=3)
    write_run(folder, "100307_retest", "rfMRI_REST1_LR", 11, level=4)
    write_run(folder, "103818", "rfMRI_REST1_LR", 12, level=5)
    return folder


def test_runs_stay_apart_and_retests_are_second_sessions(tree, atlas):
    scans = load_hcp(tree, atlas)
    table = scans.table[["subject", "session", "task", "run", "n_frames", "name"]].to_numpy().tolist()
    assert table == [
        ["100307", 1, "rest", 1, 12, "rfMRI_REST1_LR"],
        ["100307", 1, "rest", 2, 10, "rfMRI_REST1_RL"],
        ["100307", 2, "rest", 1, 11, "rfMRI_REST1_LR"],
        ["103818", 1, "rest", 1, 12, "rfMRI_REST1_LR"],
    ]
    assert scans.region_labels == ("left", "right")
    assert scans.mask.sum(axis=1).tolist() == [12, 10, 11, 12]
    levels = [series[:, mask].mean() for series, mask in zip(scans.time_series, scans.mask, strict=True)]
    np.testing.assert_allclose(levels, [1, 2, 4, 5], atol=0.2)
    assert scans.motion is not None
    assert scans.motion[1].tolist() == pytest.approx([0] + [0.1] * 9 + [0, 0])
    np.testing.assert_array_equal(scans.scan_arrays["coverage"], 1)
    assert scans.repetition_time == pytest.approx(0.72)


def test_people_and_tasks_are_chosen_by_name(tree, atlas):
    assert find_hcp_runs(tree, subjects=["100307"])["name"].tolist() == ["rfMRI_REST1_LR", "rfMRI_REST1_RL"]
    assert find_hcp_runs(tree, subjects="100307_retest")["session"].tolist() == [2]
    assert find_hcp_runs(tree, subjects=["100307"], task="WM")["direction"].tolist() == ["LR"]
    with pytest.raises(DataUnavailableError, match=r"no folder 999999 \(1 of 2"):
        find_hcp_runs(tree, subjects=["100307", "999999"])
    with pytest.raises(DataError, match=r"103818.*has no run of WM"):
        find_hcp_runs(tree, task="WM", subjects=["103818"])
    with pytest.raises(DataUnavailableError, match="is no folder"):
        find_hcp_runs(tree / "absent")
    with pytest.raises(DataUnavailableError, match="no folder of a person"):
        find_hcp_runs(tree / "100307")


def test_runs_that_do_not_fit_together_are_refused(tree, atlas):
    write_run(tree, "999999", "rfMRI_REST1_LR", 12, step=1.0, motion=False)
    with pytest.raises(DataError, match=r"repetition times from 0.72 to 1 s"):
        load_hcp(tree, atlas)
    path = tree / "103818/MNINonLinear/Results/rfMRI_REST1_LR/Movement_RelativeRMS.txt"
    path.write_text("0\n0\n")
    with pytest.raises(DataError, match=r"Movement_RelativeRMS.txt has 2 frames"):
        load_hcp(tree, atlas, subjects=["103818"])


def test_a_region_without_signal_is_refused_by_name(tree, atlas):
    write_run(tree, "111111", "rfMRI_REST1_LR", 12)
    path = next((tree / "111111").rglob("*.dtseries.nii"))
    values = np.ones((12, 50), dtype=np.float32)
    values[:, 25:] = 0
    nibabel.Cifti2Image(values, header=(axes.SeriesAxis(0, 0.72, 12), models(5))).to_filename(path)
    with pytest.raises(DataError, match="region 'right' has a signal in 0%"):
        load_hcp(tree, atlas, subjects=["111111"])


def test_subject_lists_are_read_in_both_forms(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("subject_id,group\n100307,train\n100307_retest,test\n")
    found = read_subject_list(path)
    assert found["group"].tolist() == ["train", "test"]
    assert found["person"].tolist() == ["100307", "100307"]
    assert found["session"].tolist() == [1, 2]
    for text in ("100307\n103818\n", "Subject\r\n100307\r\n103818\r\n", "\ufeffid\n100307\n103818\n"):
        path.write_text(text, encoding="utf-8")
        assert read_subject_list(path)["subject"].tolist() == ["100307", "103818"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("id\n", "names nobody"),
        ("a,b,c\n1,2,3\n", "line 1"),
        ("subject_id,group\n100307\n", "line 2: '100307'"),
        ("subject_id,group\n100307,\n", "line 2"),
        ("100307\n100307\n", "line 2: 100307 is there twice"),
        ("\xff".encode("latin-1"), "not UTF-8"),
    ],
)
def test_other_subject_lists_are_refused(tmp_path, text, message):
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        read_subject_list(path)


UNRESTRICTED = "Subject,Release,Gender,Age,PMAT24_A_CR,3T_Full\n100307,S1,F,26-30,17,true\n103818,S2,M,36+,,false\n"


def test_behaviour_has_typed_columns_and_families(tmp_path):
    path, restricted = tmp_path / "u.csv", tmp_path / "r.csv"
    path.write_text(UNRESTRICTED)
    restricted.write_text("Subject,Age_in_Yrs,Family_ID\n103818,36,F2\n100307,27,F1\n888888,29,F1\n")
    table = read_hcp_behaviour(path, restricted)
    assert table["subject"].tolist() == ["100307", "103818"]
    assert table["sex"].tolist() == ["female", "male"]
    assert table["age_low"].tolist() == [26, 36]
    assert table["age_high"].tolist()[0] == 30
    assert np.isnan(table["age_high"].tolist()[1])
    assert table["PMAT24_A_CR"].dtype == np.float64
    assert np.isnan(table["PMAT24_A_CR"].tolist()[1])
    assert table["3T_Full"].tolist() == [True, False]
    assert table["age"].tolist() == [27, 36]
    assert table["family"].tolist() == ["F1", "F2"]
    chosen = read_hcp_behaviour(path, columns=["Age", "PMAT24_A_CR"])
    assert list(chosen.columns) == ["subject", "age_low", "age_high", "PMAT24_A_CR"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Subject", "Person"), "line 1: no column Subject"),
        (("26-30", "young"), "line 2: Age is 'young'"),
        (("S1,F", "S1,X"), "line 2: Gender is 'X'"),
        (("103818", "100307"), "line 3: Subject '100307' is there twice"),
        (("S2,M,", "S2,M,7,"), "line 3: 7 fields"),
        (("Release", "Age"), "line 1: column 'Age' is there twice"),
    ],
)
def test_damaged_behaviour_is_refused_by_line(tmp_path, change, message):
    path = tmp_path / "u.csv"
    path.write_text(UNRESTRICTED.replace(*change))
    with pytest.raises(DataError, match=message):
        read_hcp_behaviour(path)


def test_behaviour_that_does_not_join_is_refused(tmp_path):
    path, restricted = tmp_path / "u.csv", tmp_path / "r.csv"
    path.write_text(UNRESTRICTED)
    restricted.write_text("Subject,Family_ID\n103818,F2\n")
    with pytest.raises(DataError, match="has no row of 100307"):
        read_hcp_behaviour(path, restricted)
    restricted.write_text("Subject,Release\n103818,F2\n100307,S1\n")
    with pytest.raises(DataError, match="column 'Release' is in"):
        read_hcp_behaviour(path, restricted)
    with pytest.raises(DataError, match="no column 'IQ'"):
        read_hcp_behaviour(path, columns=["IQ"])
