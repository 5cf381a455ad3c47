"""Generated folders of fMRIPrep and XCP-D: runs, confounds, matrices; the parser of confound expressions."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conn.data import (
    DataError,
    DataUnavailableError,
    confound_columns,
    find_derivative_runs,
    load_confounds,
    read_relmat,
    read_timeseries,
    write_relmat,
)

N_FRAMES = 40
BASE = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z", "white_matter", "csf", "global_signal")


def confound_table(rng=0) -> pd.DataFrame:
    """Columns as fMRIPrep writes them."""
    generator = np.random.default_rng(rng)
    table = pd.DataFrame({name: generator.normal(size=N_FRAMES) for name in BASE})
    for name in BASE:
        difference = table[name].diff()
        table[f"{name}_derivative1"] = difference
        table[f"{name}_power2"] = table[name] ** 2
        table[f"{name}_derivative1_power2"] = difference**2
    table["framewise_displacement"] = np.abs(generator.normal(0, 0.2, N_FRAMES))
    table.loc[0, "framewise_displacement"] = np.nan
    table["std_dvars"] = 1 + np.abs(generator.normal(0, 0.3, N_FRAMES))
    for number in range(3):
        table[f"cosine{number:02d}"] = np.cos(np.pi * (number + 1) * (np.arange(N_FRAMES) + 0.5) / N_FRAMES)
    for number in range(18):
        table[f"a_comp_cor_{number:02d}"] = generator.normal(size=N_FRAMES)
    return table


def confound_facts() -> dict:
    return {
        f"a_comp_cor_{number:02d}": {
            "Method": "aCompCor",
            "Mask": ("combined", "CSF", "WM")[number // 6],
            "CumulativeVarianceExplained": 0.15 * (number % 6 + 1),
            "Retained": True,
        }
        for number in range(18)
    }


@pytest.fixture
def fmriprep(tmp_path):
    folder = tmp_path / "fmriprep" / "sub-01" / "ses-1" / "func"
    folder.mkdir(parents=True)
    (tmp_path / "fmriprep/dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    confound_table().to_csv(
        folder / "sub-01_ses-1_task-rest_desc-confounds_timeseries.tsv", sep="\t", na_rep="n/a", index=False
    )
    path = folder / "sub-01_ses-1_task-rest_desc-confounds_timeseries.json"
    path.write_text(json.dumps(confound_facts()))
    for name in ("space-fsLR_den-91k_bold.dtseries.nii", "space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"):
        (folder / f"sub-01_ses-1_task-rest_{name}").touch()
    return tmp_path / "fmriprep"


@pytest.fixture
def xcpd(tmp_path):
    folder = tmp_path / "xcp_d" / "sub-01" / "func"
    folder.mkdir(parents=True)
    for run in ("01", "02"):
        stem = f"sub-01_task-rest_run-{run}"
        for name in (
            "space-fsLR_atlas-4S156Parcels_den-91k_stat-mean_timeseries.tsv",
            "space-fsLR_atlas-Gordon_den-91k_stat-mean_timeseries.tsv",
            "space-fsLR_atlas-4S156Parcels_den-91k_stat-coverage_bold.tsv",
            "space-fsLR_atlas-Gordon_den-91k_stat-coverage_bold.tsv",
            "space-fsLR_atlas-4S156Parcels_den-91k_stat-pearsoncorrelation_relmat.tsv",
            "space-fsLR_atlas-4S156Parcels_den-91k_stat-pearsoncorrelation_desc-100volumes_relmat.tsv",
            "outliers.tsv",
            "motion.tsv",
        ):
            (folder / f"{stem}_{name}").write_text("a\tb\n1\t2\n")
        path = folder / f"{stem}_space-fsLR_atlas-4S156Parcels_den-91k_stat-mean_timeseries.json"
        path.write_text('{"RepetitionTime": 2.0}')
    return tmp_path / "xcp_d"


def test_runs_of_xcp_d_are_found_with_all_their_files(xcpd):
    runs = find_derivative_runs(xcpd, atlas="4S156Parcels")
    assert [run.name for run in runs] == ["sub-01_task-rest_run-01", "sub-01_task-rest_run-02"]
    run = runs[1]
    assert run.series is not None
    assert "atlas-4S156Parcels" in run.series.name
    assert run.coverage is not None
    assert "atlas-4S156Parcels" in run.coverage.name
    assert run.relmat is not None
    assert "volumes" not in run.relmat.name
    assert run.outliers is not None
    assert run.motion is not None
    assert run.confounds is None
    assert run.metadata() == {"RepetitionTime": 2.0}
    assert len(run.files) == 6
    with pytest.raises(DataUnavailableError, match="there are atlases 4S156Parcels, Gordon"):
        find_derivative_runs(xcpd, atlas="Tian")
    with pytest.raises(DataUnavailableError, match="is no folder"):
        find_derivative_runs(xcpd / "absent")
    (xcpd / "sub-01/func/sub-01_task-rest_run-01_space-MNI_atlas-Gordon_stat-mean_timeseries.tsv").touch()
    with pytest.raises(DataError, match="name a space"):
        find_derivative_runs(xcpd, atlas="Gordon")
    assert len(find_derivative_runs(xcpd, atlas="Gordon", space="fsLR")) == 2


def test_runs_of_fmriprep_are_found_with_their_confounds_and_cifti_goes_first(fmriprep):
    (run,) = find_derivative_runs(fmriprep)
    assert run.image is not None
    assert run.image.name.endswith(".dtseries.nii")
    assert run.confounds is not None
    (run,) = find_derivative_runs(fmriprep, space="MNI152NLin2009cAsym")
    assert run.image is not None
    assert run.image.name.endswith("_desc-preproc_bold.nii.gz")
    with pytest.raises(DataUnavailableError):
        find_derivative_runs(fmriprep, task="motor")


def test_the_expression_of_36_parameters_gives_fmripreps_own_columns():
    table = confound_table()
    found = confound_columns(table, "dd1((rps + wm + csf + gsr))^^2")
    assert found.shape == (N_FRAMES, 36)
    for name in found.columns:
        expected = table[name].to_numpy(copy=True)
        if np.isnan(expected[0]):
            expected[0] = expected[1]
        np.testing.assert_allclose(found[name], expected, atol=1e-12)


def test_expressions_and_nilearns_strategies_span_the_same(fmriprep):
    (run,) = find_derivative_runs(fmriprep)
    assert run.confounds is not None
    ours = load_confounds(run.confounds, "dd1((rps + wm + csf + gsr))^^2 + cosine00 + cosine01 + cosine02")
    theirs = load_confounds(run.confounds, "36p")
    assert set(ours.columns) == set(theirs.columns)
    np.testing.assert_allclose(ours[list(theirs.columns)] - ours.mean()[list(theirs.columns)], theirs, atol=1e-10)
    assert load_confounds(run.confounds, "acompcor5").shape[1] == 3 + 24 + 10
    assert load_confounds(run.confounds, "motion6").shape[1] == 3 + 6


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("d1(csf)", ["csf_derivative1"]),
        ("d2(csf) + csf", ["csf_derivative2", "csf"]),
        ("dd2(csf)", ["csf", "csf_derivative1", "csf_derivative2"]),
        ("(csf + wm)^2", ["csf_power2", "white_matter_power2"]),
        ("csf + csf", ["csf"]),
        ("n_{{2; acc; Mask=WM}}", ["a_comp_cor_12", "a_comp_cor_13"]),
        ("v_{{0.4; acc; Mask=CSF}}", ["a_comp_cor_06", "a_comp_cor_07", "a_comp_cor_08"]),
        ("n_{{1; acc}} + cosine00", ["a_comp_cor_00", "cosine00"]),
    ],
)
def test_expressions_choose_columns_by_name(expression, names):
    assert list(confound_columns(confound_table(), expression, metadata=confound_facts()).columns) == names


def test_spikes_follow_comparisons_with_and_or_not():
    table = pd.DataFrame({"framewise_displacement": [np.nan, 0.6, 0.1, 0.9], "std_dvars": [0.0, 1.0, 2.0, 2.0]})
    for expression, frames in (
        ("spikes(fd > 0.5)", [1, 3]),
        ("spikes(fd > 0.5 and dvars > 1.5)", [3]),
        ("spikes(fd > 0.5 or dvars > 1.5)", [1, 2, 3]),
        ("spikes(not (fd <= 0.5 or dvars < 1.5))", [3]),
        ("spikes(fd > 5)", []),
    ):
        found = confound_columns(table, expression)
        assert found.shape == (4, len(frames))
        assert [int(found[name].to_numpy().argmax()) for name in found.columns] == frames
        assert found.to_numpy().sum() == len(frames)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "'the end' where a confound"),
        ("csf +", "'the end' where a confound"),
        ("(csf", r"where '\)' was expected"),
        ("csf csf", "'csf' where 'the end'"),
        ("csf^1", "2 to 9"),
        ("csf^^x", "where a number"),
        ("csf; import", "';' means nothing"),
        ("bogus", "no column 'bogus'"),
        ("spikes(fd)", "is compared with"),
        ("spikes(rps > 1)", "one column was expected"),
        ("spikes(1 > fd)", "one column was expected"),
        ("n_{{99; acc}}", "there are 6 components"),
        ("n_{{0.5; acc}}", "expected a count"),
        ("v_{{2; acc}}", "share of variance"),
        ("n_{{1; acc; Mask=GM}}", "Mask= and one of"),
        ("framewise_displacement + empty", "'empty' is nan in frame 1"),
        ("(" * 60 + "csf" + ")" * 60, "more than 50 parentheses"),
    ],
)
def test_expressions_that_mean_nothing_are_refused_with_the_place(expression, message):
    table = confound_table().assign(empty=np.nan)
    table.loc[0, "empty"] = 0.0
    with pytest.raises(DataError, match=message):
        confound_columns(table, expression, metadata=confound_facts())


def test_components_need_the_json_file():
    with pytest.raises(DataError, match="need the table's JSON file"):
        confound_columns(confound_table(), "n_{{1; acc}}")


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="csfwmd12345()+^{}_;>=<. notandrspike", max_size=40))
def test_any_text_is_an_expression_or_a_refusal(text):
    table = pd.DataFrame({"csf": np.arange(12.0), "white_matter": np.ones(12)})
    try:
        assert len(confound_columns(table, text)) == 12
    except DataError as error:
        assert "confound" in str(error)  # noqa: PT017


def test_tables_that_are_no_tables_are_refused(tmp_path):
    path = tmp_path / "x.tsv"
    for content, message in (
        (b"", "x.tsv"),
        (b"a\tb\n", "no line after"),
        (b"a\ta\n1\t2\n", "'a' is there twice"),
        (b"a\tb\n1\tx\n", "'b': not all fields"),
        (b"\xff\xfe\n", "not UTF-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_timeseries(path)
    with pytest.raises(DataError, match="No such file"):
        read_timeseries(tmp_path / "absent.tsv")
    path.write_text("a\tb\n1\tn/a\n2\t3\n")
    np.testing.assert_array_equal(read_timeseries(path), [[1, np.nan], [2, 3]])


def test_matrices_go_through_files_and_say_that_their_name_is_a_draft(tmp_path):
    matrix = np.array([[1.0, np.nan], [0.25, 1.0]])
    path = write_relmat(tmp_path / "new" / "sub-01_relmat.tsv", matrix, ["a", "b"], metadata={"TaskName": "rest"})
    found = read_relmat(path)
    np.testing.assert_array_equal(found, matrix)
    assert list(found.index) == list(found.columns) == ["a", "b"]
    facts = json.loads(path.with_suffix(".json").read_text())
    assert "draft" in facts["BIDSDraft"]
    assert facts["TaskName"] == "rest"
    for arguments, message in (
        ((tmp_path / "x.tsv", matrix, ["a", "b"]), "must end in _relmat.tsv"),
        ((path, matrix, ["a"]), "there are 1 labels"),
        ((path, matrix, ["a", "a"]), "unique"),
        ((path, matrix, ["a", "b\t"]), "without tabs"),
    ):
        with pytest.raises(DataError, match=message):
            write_relmat(*arguments)
    path.write_text("Node\ta\tc\na\t1\t0\nb\t0\t1\n")
    with pytest.raises(DataError, match="labels of its 2 rows"):
        read_relmat(path)
    path.write_text("Node\ta\na\tx\n")
    with pytest.raises(DataError, match="not all fields"):
        read_relmat(path)
