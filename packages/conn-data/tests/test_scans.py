"""The container of scans, and its file."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from conn.data import (
    DataError,
    Provenance,
    ScanSet,
    SimulatedCohort,
    join_runs,
    load_scans,
    save_scans,
    simulate_cohort,
)

PROVENANCE = {
    "dataset": "made up",
    "source": "a test",
    "version": "1",
    "licence": "none",
    "citation": "none",
    "origin": "cache",
}


def make(**changes):
    mask = np.array([[True] * 5, [True, False, True, False, False]])
    fields = {
        "time_series": np.arange(1.0, 31).reshape(2, 3, 5) * mask[:, None],
        "mask": mask,
        "motion": np.zeros((2, 5)),
        "table": pd.DataFrame(
            {
                "subject": ["A", "B"],
                "session": [1, 2],
                "task": ["rest", "motor"],
                "run": 1,
                "n_frames": [5, 3],
            },
            index=[7, 3],
        ),
        "region_labels": ["x", "y", "z"],
        "repetition_time": 2.0,
        "provenance": Provenance(**PROVENANCE, checksums={"file": "0" * 64}, notes=("beware",)),
    }
    return ScanSet(**(fields | changes))


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


GOOD = make()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_series": GOOD.time_series.astype(int)}, "must be a float32 or float64 array"),
        ({"time_series": GOOD.time_series.tolist()}, "must be a float32 or float64 array"),
        ({"time_series": GOOD.time_series[0]}, r"has shape \(3, 5\), expected \(scan, region"),
        ({"time_series": GOOD.time_series[:, :0]}, "none empty"),
        (
            {"time_series": changed(GOOD.time_series, (1, 0, 0), np.nan)},
            "time_series of scan 1 has values that are not finite",
        ),
        ({"mask": GOOD.mask.astype(int)}, "mask must be an array of bool"),
        ({"mask": GOOD.mask[:, :4]}, r"mask has shape \(2, 4\), expected"),
        ({"mask": changed(GOOD.mask, 0, False)}, "scan 0 has no usable frame"),
        (
            {"time_series": changed(GOOD.time_series, (1, 2, 1), 9)},
            "scan 1, frame 1 lies outside the mask and is not zero",
        ),
        ({"motion": np.zeros((2, 4))}, "motion has shape"),
        ({"motion": np.full((2, 5), -1.0)}, "motion must be finite and not negative"),
        ({"table": GOOD.table.drop(columns="task")}, "table has no column task"),
        ({"table": GOOD.table[:1]}, "table has 1 rows for 2 scans"),
        ({"table": pd.concat([GOOD.table[:1]] * 2)}, "table names the scan of row 1 twice"),
        (
            {"table": GOOD.table.assign(n_frames=[5, 2])},
            "scan 1 has usable frames beyond its length of 2 frames",
        ),
        ({"region_labels": ["x", "y"]}, "2 region labels for 3 regions"),
        ({"region_labels": ["x", "y", "x"]}, "region label 'x' is used twice"),
        ({"repetition_time": 0.0}, r"repetition_time 0\.0 is not a positive number"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        make(**changes)


def test_provenance_is_checked_and_described():
    with pytest.raises(DataError, match="origin 'heaven' is not one of CONN_DATA_DIR, cache"):
        Provenance(**(PROVENANCE | {"origin": "heaven"}))
    with pytest.raises(DataError, match="checksum of file: 'short' is not a SHA-256"):
        Provenance(**PROVENANCE, checksums={"file": "short"})
    text = GOOD.describe()
    for part in ("2 scans: 3 regions, 3 to 5 frames", "SHA-256 of 1 file", "note       beware"):
        assert part in text
    assert "1 measured frames" in text
    assert "simulated" not in text


def test_selection_keeps_order_and_class():
    scans = simulate_cohort(n_subjects=3, n_sessions=2, n_regions=6, n_communities=2, n_frames=200)
    chosen = scans.select(subjects=["sim03", "sim01"], sessions=[2], tasks="rest")
    assert isinstance(chosen, SimulatedCohort)
    assert chosen.table["subject"].tolist() == ["sim01", "sim03"]
    np.testing.assert_array_equal(chosen.time_series, scans.time_series[[1, 5]])
    np.testing.assert_array_equal(chosen.activity, scans.activity[[1, 5]])
    assert make(motion=None).select(sessions=[2]).motion is None


def test_a_selection_of_nothing_is_refused():
    with pytest.raises(DataError, match="no scan has subject 'C'; there are A, B"):
        GOOD.select(subjects=["C"])
    with pytest.raises(DataError, match="no scan has session 9; there are 1, 2"):
        GOOD.select(sessions=[9])
    with pytest.raises(DataError, match="together"):
        GOOD.select(subjects=["A"], tasks=["motor"])


def same(first, second):
    for field in dataclasses.fields(first):
        left, right = getattr(first, field.name), getattr(second, field.name)
        if isinstance(left, pd.DataFrame):
            assert left.astype(object).equals(right.astype(object))
        elif isinstance(left, np.ndarray):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right


@pytest.mark.parametrize(
    "scans",
    [
        make(),
        make(motion=None),
        simulate_cohort(n_subjects=1, n_sessions=1, n_regions=4, n_communities=2),
    ],
    ids=["ragged", "without motion", "simulated"],
)
def test_scans_come_back_from_their_file_as_they_were(tmp_path, scans):
    path = save_scans(scans, tmp_path / "new" / "scans.npz")
    back = load_scans(path)
    assert type(back) is type(scans)
    same(back, scans)
    assert [item.name for item in path.parent.iterdir()] == ["scans.npz"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = save_scans(GOOD, tmp_path / "scans.npz")
    before = path.read_bytes()

    def fail(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(DataError, match=r"cannot write .*scans\.npz: No space left"):
        save_scans(GOOD, path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["scans.npz"]


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"must end in \.npz"):
        save_scans(GOOD, tmp_path / "scans.csv")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write"):
        save_scans(GOOD, tmp_path / "file" / "scans.npz")
    with pytest.raises(DataError, match="cannot be read"):
        load_scans(tmp_path / "absent.npz")
    path = save_scans(GOOD, tmp_path / "scans.npz")
    whole = dict(np.load(path))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="cannot be read"):
        load_scans(path)
    np.savez(path, time_series=np.zeros(3))
    with pytest.raises(DataError, match="has no array 'provenance'"):
        load_scans(path)
    np.savez(path, **(whole | {"mask": whole["mask"][:1]}))
    with pytest.raises(DataError, match=r"scans\.npz: mask has shape"):
        load_scans(path)
    np.savez(path, **(whole | {"provenance": np.array("{")}))
    with pytest.raises(DataError, match="is not a file of save_scans"):
        load_scans(path)
    np.savez(path, **(whole | {"provenance": np.array(json.dumps({"unknown": 1}))}))
    with pytest.raises(DataError, match="is not a file of save_scans"):
        load_scans(path)


def runs_of_two_people(rng=0):
    """A person with runs of 5 and 7 frames, one with a run of 6; an event and a flat region in the second run."""
    generator = np.random.default_rng(rng)
    lengths = [7, 5, 6]
    mask = np.arange(7) < np.array(lengths)[:, None]
    mask[0, 3] = False
    series = (generator.normal(size=(3, 4, 7)) + 10 * np.arange(3)[:, None, None]) * mask[:, None]
    series[0, 2] = 4.0 * mask[0]
    table = pd.DataFrame(
        {"subject": ["a", "a", "b"], "session": 1, "task": "rest", "run": [2, 1, 1], "n_frames": lengths}
    )
    events = pd.DataFrame(
        {"subject": ["a"], "session": 1, "task": "rest", "run": 2, "onset": 1.5, "duration": 1.0, "trial_type": "x"}
    )
    return ScanSet(
        time_series=series, mask=mask, motion=0.1 * mask, table=table, region_labels=tuple("wxyz"), repetition_time=2.0,
        provenance=Provenance(dataset="d", source="s", version="v", licence="l", citation="c", origin="files"),
        events=events, scan_arrays={"global": np.ones((3, 7)) * mask, "coverage": np.ones((3, 4))},
    )  # fmt: skip


def test_runs_are_joined_in_order_with_their_boundaries():
    scans = runs_of_two_people()
    joined = join_runs(scans)
    assert joined.table[["subject", "run", "n_frames", "joined"]].to_numpy().tolist() == [
        ["a", 1, 12, 2],
        ["b", 1, 6, 1],
    ]
    assert joined.scan_arrays["run"].tolist() == [[1] * 5 + [2] * 7, [1] * 6 + [0] * 6]
    np.testing.assert_array_equal(joined.time_series[0, :, :5], scans.time_series[1, :, :5])
    np.testing.assert_array_equal(joined.time_series[0, :, 5:], scans.time_series[0])
    assert not joined.mask[0, 8]
    assert joined.events["onset"].tolist() == [11.5]
    assert set(joined.scan_arrays) == {"run", "global"}
    assert "arrays of single runs left out: coverage" in joined.describe()


@pytest.mark.parametrize("normalisation", ["centre", "zscore"])
def test_runs_are_normalised_one_by_one_before_they_are_joined(normalisation):
    joined = join_runs(runs_of_two_people(), normalisation=normalisation)
    for run in (1, 2):
        frames = (joined.scan_arrays["run"][0] == run) & joined.mask[0]
        np.testing.assert_allclose(joined.time_series[0][:, frames].mean(axis=1), 0, atol=1e-12)
        spread = joined.time_series[0][:, frames].std(axis=1)
        if normalisation == "zscore":
            np.testing.assert_allclose(spread, [1, 1, 0 if run == 2 else 1, 1])
    with pytest.raises(DataError, match="normalisation 'sd'"):
        join_runs(runs_of_two_people(), normalisation="sd")
