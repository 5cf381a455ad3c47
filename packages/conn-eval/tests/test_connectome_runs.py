"""From generated folders of fMRIPrep and XCP-D to connectomes: planted motion, resuming, exclusions, refusals."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conn.data import DataError, read_relmat
from conn.data.simulators import add_motion
from conn.eval import ConnectomeSettings, qc_fc, write_connectomes
from conn.eval.cli import main

N_SUBJECTS, N_REGIONS, N_FRAMES, REPETITION_TIME = 20, 10, 130, 2.0
LABELS = tuple(f"R{number:02d}" for number in range(N_REGIONS))
SETTINGS: dict[str, Any] = {"atlas": "Tiny", "confounds": "dd1(gsr)", "fd_threshold": 0.25, "minimum_minutes": 2.0}


def write_table(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False, na_rep="n/a")


@pytest.fixture(scope="module")
def planted():
    """Series with and without motion artefacts; people who move more have more of them."""
    rng = np.random.default_rng(4)
    places = rng.uniform(-50, 50, (N_REGIONS, 3))
    mixing = np.eye(N_REGIONS) + 0.5 * rng.normal(size=(N_REGIONS, N_REGIONS)) / np.sqrt(N_REGIONS)
    series = mixing @ rng.normal(size=(N_SUBJECTS, N_REGIONS, N_FRAMES))
    jerks = (rng.random((N_SUBJECTS, N_FRAMES)) < np.linspace(0.02, 0.25, N_SUBJECTS)[:, None]) * 1.0
    motion = jerks * rng.uniform(0.4, 1.0, jerks.shape) + 0.02 * rng.random(jerks.shape)
    motion[:, 0] = 0
    made = add_motion(series, places, motion=motion, repetition_time=REPETITION_TIME, spike=1.5, delayed=0.0, rng=5)
    return series, made.time_series, motion, places


@pytest.fixture(scope="module")
def fmriprep(tmp_path_factory, planted):
    """One rest run a person as parcellated series, with a table of confounds as fMRIPrep's; two dummy frames."""
    _, series, motion, _ = planted
    folder = tmp_path_factory.mktemp("tree")
    (folder / "dataset_description.json").write_text('{"Name": "generated", "BIDSVersion": "1.8.0"}')
    for person in range(N_SUBJECTS):
        func = folder / f"sub-{person + 1:02d}" / "func"
        stem = f"sub-{person + 1:02d}_task-rest"
        values = 1000 + 10 * np.concatenate([series[person][:, :2] + 30, series[person]], axis=1)
        write_table(
            func / f"{stem}_space-fsLR_atlas-Tiny_stat-mean_timeseries.tsv", dict(zip(LABELS, values, strict=True))
        )
        (func / f"{stem}_space-fsLR_atlas-Tiny_stat-mean_timeseries.json").write_text('{"RepetitionTime": 2.0}')
        confounds = {
            "global_signal": values.mean(axis=0),
            "framewise_displacement": np.concatenate([[np.nan, 0], motion[person]]),
            "non_steady_state_outlier00": np.eye(N_FRAMES + 2)[0],
            "non_steady_state_outlier01": np.eye(N_FRAMES + 2)[1],
        }
        write_table(func / f"{stem}_desc-confounds_timeseries.tsv", confounds)
    return folder


def test_qc_fc_drops_after_cleaning(fmriprep, tmp_path, planted):
    clean, _, motion, places = planted
    coordinates = pd.DataFrame(places, columns=list("xyz")).assign(label=LABELS)
    tables = write_connectomes(fmriprep, tmp_path, ConnectomeSettings(**SETTINGS), coordinates=coordinates, report=True)
    found = tables["qc_fc"].set_index("stage")
    assert found.loc["after", "median_absolute"] < 0.7 * found.loc["before", "median_absolute"]
    assert found.loc["before", "share_significant"] > 0.1
    assert found.loc["after", "share_significant"] < 0.1
    # The local artefact raises the correlations of neighbours.
    assert found.loc["before", "distance_correlation"] < -0.2
    assert abs(found.loc["after", "distance_correlation"]) < abs(found.loc["before", "distance_correlation"])
    runs = tables["runs"]
    assert len(runs) == N_SUBJECTS
    assert (runs["dummy_frames"] == 2).all()
    np.testing.assert_array_equal(runs["censored_frames"], (motion > 0.25).sum(axis=1))
    np.testing.assert_allclose(runs["mean_fd"], motion.mean(axis=1), rtol=1e-6)
    assert (runs["median_tsnr"] > 20).all()
    # What is left is nearer to the clean scans than what was there before.
    errors = {}
    for stage in ("relmat", "desc-uncleaned_relmat"):
        paths = sorted(tmp_path.glob(f"sub-*/func/*pearsoncorrelation_{stage}.tsv"))
        matrices = np.stack([read_relmat(path).to_numpy() for path in paths])
        truth = np.stack([np.corrcoef(one - one.mean(axis=0)) for one in clean])
        plain = np.stack([np.corrcoef(one) for one in clean])
        errors[stage] = np.abs(matrices - (truth if stage == "relmat" else plain)).mean()
    assert errors["relmat"] < errors["desc-uncleaned_relmat"]
    (group,) = (tmp_path / "group").glob("*_relmat.tsv")
    assert list(read_relmat(group).index) == list(LABELS)
    assert (tmp_path / "report.html").read_text().count("<table") >= 3
    assert json.loads((tmp_path / "dataset_description.json").read_text())["DatasetType"] == "derivative"


def test_finished_runs_are_skipped_until_their_files_or_settings_change(fmriprep, tmp_path, monkeypatch):
    made = []
    import conn.eval.connectome_runs as module

    original = module._one_run
    monkeypatch.setattr(module, "_one_run", lambda run, *rest: made.append(run.name) or original(run, *rest))
    people = ["01", "02"]

    def again(**changes):
        made.clear()
        tables = write_connectomes(fmriprep, tmp_path, ConnectomeSettings(**SETTINGS | changes), subjects=people)
        return tables, list(made)

    first, computed = again()
    assert len(computed) == 2
    second, computed = again()
    assert computed == []
    pd.testing.assert_frame_equal(first["runs"], second["runs"])
    assert len(again(kind="covariance")[1]) == 2
    assert len(again()[1]) == 2
    table = fmriprep / "sub-01/func/sub-01_task-rest_desc-confounds_timeseries.tsv"
    before = table.read_text()
    try:
        table.write_text(before.replace("n/a", "0.01"))
        assert again()[1] == ["sub-01_task-rest"]
    finally:
        table.write_text(before)
    next(tmp_path.glob("sub-02/func/*pearsoncorrelation_relmat.tsv")).unlink()
    assert set(again()[1]) == {"sub-01_task-rest", "sub-02_task-rest"}


def test_runs_that_moved_too_much_are_excluded_with_the_reason(fmriprep, tmp_path):
    settings = ConnectomeSettings(**SETTINGS | {"minimum_minutes": 4.0})
    tables = write_connectomes(fmriprep, tmp_path, settings)
    assert 0 < len(tables["excluded"]) < N_SUBJECTS
    assert tables["excluded"]["reason"].str.contains("minutes are left after censoring, fewer than 4").all()
    assert (tables["runs"]["minutes"] >= 4).all()
    with pytest.raises(ValueError, match=r"no run of .* can be used"):
        write_connectomes(fmriprep, tmp_path / "b", ConnectomeSettings(**SETTINGS | {"minimum_minutes": 60.0}))


@pytest.fixture
def xcpd(tmp_path, planted):
    """Two runs as XCP-D writes them: with a region of little coverage, and the second one censored already."""
    series, _, motion, _ = planted
    func = tmp_path / "xcp_d" / "sub-01" / "func"
    func.mkdir(parents=True)
    outlier = motion[5] > 0.25
    for run, kept in (("1", np.ones(N_FRAMES, bool)), ("2", ~outlier)):
        stem = f"sub-01_task-rest_run-{run}"
        name = f"{stem}_space-fsLR_atlas-Tiny_den-91k_stat"
        write_table(func / f"{name}-mean_timeseries.tsv", dict(zip(LABELS, series[5][:, kept], strict=True)))
        (func / f"{name}-mean_timeseries.json").write_text('{"RepetitionTime": 2.0}')
        write_table(func / f"{name}-coverage_bold.tsv", {"Node": LABELS, "coverage": [0.1] + [1.0] * (N_REGIONS - 1)})
        write_table(func / f"{stem}_outliers.tsv", {"framewise_displacement": outlier.astype(int)})
        write_table(func / f"{stem}_motion.tsv", {"trans_x": motion[5], "framewise_displacement": motion[5]})
    return tmp_path / "xcp_d"


def test_series_of_xcp_d_are_censored_once_and_uncovered_regions_are_missing(xcpd, tmp_path, planted):
    series, _, motion, _ = planted
    settings = ConnectomeSettings(atlas="Tiny", minimum_minutes=1.0)
    tables = write_connectomes(xcpd, tmp_path / "out", settings)
    assert tables["runs"]["censored_frames"].tolist() == [int((motion[5] > 0.25).sum()), 0]
    assert tables["runs"]["regions_left_out"].tolist() == [1, 1]
    assert tables["runs"]["median_tsnr"].isna().all()
    one, two = (read_relmat(tmp_path / "out" / path) for path in tables["runs"]["relmat"])
    assert np.isnan(one.to_numpy()[0]).all()
    kept = motion[5] <= 0.25
    time = np.arange(N_FRAMES)[kept]
    straight = np.stack([x - np.polyval(np.polyfit(time, x, 1), time) for x in series[5][1:, kept]])
    np.testing.assert_allclose(one.to_numpy()[1:, 1:], np.corrcoef(straight), atol=1e-6)
    np.testing.assert_allclose(two, one, atol=0.02)
    with pytest.raises(DataError, match="clean already"):
        write_connectomes(xcpd, tmp_path / "a", ConnectomeSettings(atlas="Tiny", confounds="36p"))
    with pytest.raises(DataError, match="no filter can run"):
        write_connectomes(xcpd, tmp_path / "a", ConnectomeSettings(atlas="Tiny", band=(0.01, 0.1), minimum_minutes=1.0))


def test_partial_correlation_agrees_with_scikit_learn(fmriprep, tmp_path, planted):
    from sklearn.covariance import LedoitWolf

    settings = ConnectomeSettings(atlas="Tiny", kind="partial-correlation", dummy_frames=2)
    tables = write_connectomes(fmriprep, tmp_path, settings, subjects=["03"])
    found = read_relmat(tmp_path / tables["runs"]["relmat"][0]).to_numpy()
    series = planted[1][2] * 10
    time = np.arange(N_FRAMES)
    straight = np.stack([x - np.polyval(np.polyfit(time, x, 1), time) for x in series])
    precision = LedoitWolf().fit(straight.T).precision_
    scale = np.sqrt(np.diag(precision))
    expected = -precision / np.outer(scale, scale)
    np.fill_diagonal(expected, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_command_line_writes_and_refuses_in_one_line(fmriprep, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["conn-eval", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, capsys.readouterr()

    places = tmp_path / "places.csv"
    pd.DataFrame(0.0, index=range(N_REGIONS), columns=list("xyz")).assign(label=LABELS).to_csv(places)
    command = [
        "connectome",
        str(fmriprep),
        "--out",
        str(tmp_path / "out"),
        "--atlas",
        "Tiny",
        "--subjects",
        "01,sub-02",
    ]
    code, printed = run(*command, "--band", "0.01-0.1", "--fd-threshold", "0.5", "--coordinates", str(places))
    assert code == 0
    assert printed.out.startswith("2 connectomes, 0 runs excluded")
    for arguments, message in (
        ([*command, "--atlas", "Big"], "there are atlases Tiny"),
        ([*command, "--band", "0.1"], "expected hertz"),
        ([*command, "--band", "0.1-0.01"], "does not run"),
        ([*command, "--kind", "magic"], "kind 'magic' is none of"),
        ([*command, "--confounds", "bogus"], "no column 'bogus'"),
        ([*command, "--fd-threshold", "-1"], "above 0"),
        ([*command, "--coordinates", str(tmp_path)], "error"),
        (["connectome", str(tmp_path / "absent"), "--out", str(tmp_path / "o"), "--atlas", "A"], "is no folder"),
        (["connectome"], "Missing argument"),
    ):
        code, printed = run(*arguments)
        assert code == 2
        assert message in printed.err
        assert printed.err.count("\n") == 1


def test_qc_fc_finds_a_planted_effect_and_none_where_there_is_none():
    rng = np.random.default_rng(0)
    motion = rng.random(60)
    places = rng.normal(size=(12, 3)) * 40
    noise = rng.normal(size=(60, 12, 12)) * 0.1
    noise = noise + noise.transpose(0, 2, 1)
    near = np.exp(-np.linalg.norm(places[:, None] - places, axis=-1) / 30)
    none = qc_fc(noise, motion, coordinates=places)
    assert none.share_significant <= 0.05
    assert none.median_absolute == pytest.approx(0.67 / np.sqrt(59), rel=0.3)
    planted = qc_fc(noise + 2 * near * motion[:, None, None], motion, coordinates=places)
    assert planted.share_significant > 0.3
    assert planted.distance_correlation < -0.5
    rows, columns = np.triu_indices(12, 1)
    expected = [np.corrcoef(noise[:, i, j], motion)[0, 1] for i, j in zip(rows, columns, strict=True)]
    np.testing.assert_allclose(none.correlation, expected, atol=1e-12)


def test_qc_fc_leaves_out_what_is_missing_and_refuses_what_it_cannot_judge():
    matrices = np.random.default_rng(0).normal(size=(6, 3, 3))
    matrices = matrices + matrices.transpose(0, 2, 1)
    matrices[:3, 0, 1] = matrices[:3, 1, 0] = np.nan
    matrices[:, 0, 2] = matrices[:, 2, 0] = 0.3
    motion = np.arange(6.0)
    found = qc_fc(matrices, motion)
    assert np.isnan(found.correlation[:2]).all()
    assert np.isfinite(found.correlation[2])
    assert np.isnan(found.distance_correlation)
    for arguments, message in (
        ((matrices, motion[:5]), "6 finite numbers"),
        ((matrices, np.ones(6)), "moved differently"),
        ((matrices[:3], motion[:3]), "at least four scans"),
        ((np.full((5, 2, 2), 0.5), motion[:5]), "no edge varies"),
    ):
        with pytest.raises(ValueError, match=message):
            qc_fc(*arguments)
    with pytest.raises(ValueError, match="coordinates has shape"):
        qc_fc(matrices, motion, coordinates=np.zeros((2, 3)))


@pytest.mark.filterwarnings("ignore:pixdim")
def test_images_of_fmriprep_are_parcellated_with_an_atlas_file(tmp_path):
    import nibabel
    from nibabel.cifti2 import cifti2_axes as axes

    rng = np.random.default_rng(1)
    func = tmp_path / "tree" / "sub-01" / "ses-a" / "func"
    func.mkdir(parents=True)
    sides = [axes.BrainModelAxis.from_mask(np.ones(20, bool), name=name) for name in ("CortexLeft", "CortexRight")]
    model = sides[0] + sides[1]
    numbers = np.repeat([1, 2, 3, 4], 10)
    values = (500 + rng.normal(size=(60, 4))[:, numbers - 1] + 0.1 * rng.normal(size=(60, 40))).astype(np.float32)
    stem = func / "sub-01_ses-a_task-rest"
    nibabel.Cifti2Image(values, header=(axes.SeriesAxis(0, 2.0, 60), model)).to_filename(
        f"{stem}_space-fsLR_den-91k_bold.dtseries.nii"
    )
    table = {number: (f"r{number}", (1, 0, 0, 1)) for number in range(1, 5)} | {0: ("???", (0, 0, 0, 0))}
    atlas = tmp_path / "four.dlabel.nii"
    header = (axes.LabelAxis(["parcels"], [table]), model)
    nibabel.Cifti2Image(numbers[None].astype(np.float32), header=header).to_filename(atlas)
    confounds = {name: rng.normal(size=60) for name in ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")}
    confounds |= {"cosine00": np.cos(np.pi * np.arange(60) / 60), "framewise_displacement": np.full(60, 0.1)}
    write_table(func / f"{stem.name}_desc-confounds_timeseries.tsv", confounds)
    settings = ConnectomeSettings(atlas=str(atlas), confounds="motion6", fd_threshold=0.5, minimum_minutes=1.0)
    tables = write_connectomes(tmp_path / "tree", tmp_path / "out", settings)
    (row,) = tables["runs"].to_dict("records")
    assert row["relmat"] == ("sub-01/ses-a/func/sub-01_ses-a_task-rest_atlas-four_stat-pearsoncorrelation_relmat.tsv")
    assert row["n_confounds"] == 7
    assert row["median_tsnr"] == pytest.approx(500, rel=0.3)
    found = read_relmat(tmp_path / "out" / row["relmat"])
    assert list(found.index) == ["r1", "r2", "r3", "r4"]
    time = np.arange(60)
    design = np.column_stack([np.ones(60), time, *list(confounds.values())[:7]])
    series = values @ np.eye(4)[numbers - 1] / 10
    left = series - design @ np.linalg.lstsq(design, series, rcond=None)[0]
    np.testing.assert_allclose(found, np.corrcoef(left.T), atol=1e-6)
    with pytest.raises(DataError, match="no series of atlas 'four'"):
        write_connectomes(tmp_path / "tree", tmp_path / "other", ConnectomeSettings(atlas="four"))
