"""The study of heat pain, on simulated people: the held-out run is never seen, and what is planted comes out."""

import importlib
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

BENCHMARKS = Path(__file__).parent / "benchmarks"
PARCELS = 6

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("drm") is None, reason="torch is not installed for this Python"
)


@pytest.fixture
def suite(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("drm_pain")


@pytest.fixture
def study(suite):
    return people([70, 60, 60], n_trials=3)


def people(lengths, n_trials):
    """Return two people whose series are noise."""
    data, rng = importlib.import_module("_pain_data"), np.random.default_rng(0)
    basis = data._cosines(lengths, 2.0)
    stimulus, canonical, fir = [], [], []
    for _ in range(2):
        for cosines in basis:
            told, times = events(rng, n_trials), 2.0 * np.arange(basis.shape[2])
            stimulus.append(data._at_ticks(told, len(times)))
            canonical.append(cosines @ data._regressors(told, times))
            fir.append(cosines @ data._taps(told, times))
    stacked = [np.stack(one).reshape(2, 3, *one[0].shape) for one in (stimulus, canonical, fir)]
    noise = rng.standard_normal((2, 3, basis.shape[1], PARCELS)) * (np.abs(basis).sum(2) > 0)[..., None]
    noise *= np.sqrt(np.array(lengths)[:, None, None] / (noise**2).sum(2, keepdims=True))
    return data.Study(
        subjects=("sub-01", "sub-02"),
        measured=noise,
        good=np.ones((2, PARCELS), dtype=bool),
        basis=basis,
        stimulus=stacked[0],
        canonical=stacked[1],
        fir=stacked[2],
        labels=("AINS_v", "PINS_d", "c", "d", "e", "f"),
        networks=("salience", "salience", "salience", "visual", "visual", "visual"),
    )


def events(rng, n_trials):
    onset = 10.0 + 35.0 * np.arange(n_trials) + rng.uniform(0, 3, n_trials)
    degrees = rng.permutation(np.linspace(42.3, 46.3, n_trials))
    rows = [(time, 12.5, "heat", temperature) for time, temperature in zip(onset, degrees, strict=True)]
    rows += [(time + 18.0, 11.0, "rating", np.nan) for time in onset]
    return pd.DataFrame(rows, columns=["onset", "duration", "trial_type", "temperature"])


def without(study, run):
    """Return people whose run holds something else."""
    measured = study.measured.copy()
    measured[:, run] = 100.0 * np.random.default_rng(1).standard_normal(measured[:, run].shape)
    return replace(study, measured=measured)


def test_the_held_out_run_has_no_part_in_its_prediction_by_linear_models(suite, study):
    changed = without(study, 1)
    for derivatives in (False, True):
        one, other = (suite.general_linear_model(people, derivatives=derivatives)[1] for people in (study, changed))
        np.testing.assert_allclose(one[:, :, 1], other[:, :, 1], rtol=1e-6)
        assert not np.allclose(one[:, :, 0], other[:, :, 0])
    one, other = (suite.ridge_paths(people)["own"][1] for people in (study, changed))
    np.testing.assert_allclose(one[:, :, 1], other[:, :, 1], rtol=1e-6)
    # The others' responses are learned from all of their runs, and from none of the person's own.
    alone = replace(study, measured=np.concatenate([study.measured[:1] * 7.0, study.measured[1:]]))
    one, other = (suite.ridge_paths(people)["others"] for people in (study, alone))
    np.testing.assert_allclose(one[1][:, 0], other[1][:, 0], rtol=1e-6)
    assert not np.allclose(one[1][:, 1], other[1][:, 1])


def test_the_held_out_run_has_no_part_in_its_prediction_by_networks(suite, study):
    predictions = []
    for people in (study, without(study, 1)):
        fits = suite.every_fit(people)
        found, _ = suite.train(fits, suite.initial(fits), n_epochs=4, every=2)
        predictions.append(suite._as_paths(found))
    (single, both), (single_changed, both_changed) = predictions
    np.testing.assert_array_equal(both[:, :, 1], both_changed[:, :, 1])
    assert not np.allclose(both[-1, :, 0], both_changed[-1, :, 0])
    np.testing.assert_array_equal(single[:, :, [0, 2]], single_changed[:, :, [0, 2]])
    assert not single[0].any()
    assert single[-1].any()


def test_people_who_are_fitted_side_by_side_have_nothing_to_do_with_one_another(suite, study):
    fits = suite.every_fit(study)
    found, learned = suite.train(fits, suite.initial(fits), n_epochs=4, every=4)
    second = suite.every_fit(study.take([1]))
    alone, learned_alone = suite.train(second, suite.initial(second), n_epochs=4, every=4)
    np.testing.assert_allclose(found[:, 6:], alone, atol=1e-6)
    for name in learned[-1].__dataclass_fields__:
        np.testing.assert_allclose(getattr(learned[-1], name)[6:], getattr(learned_alone[-1], name), atol=1e-6)
    # What is read out of a network makes the same network.
    again = importlib.import_module("_pain_drm").predict(fits, learned[-1])
    np.testing.assert_allclose(again, found[-1], atol=1e-5)


def test_a_network_that_follows_its_input_at_once_gives_the_regressor_of_nilearn(suite):
    study = people([209, 191, 191], n_trials=10)
    fits = suite.every_fit(study.take([0]))
    start = suite.initial(fits)
    start.time_constant[:] = 0.05
    start.readout[..., 0] = 1.0
    found = importlib.import_module("_pain_drm").predict(fits, start)[0, ..., 0]
    for run in range(3):
        agreement = np.corrcoef(study.basis[run].T @ found[run], study.basis[run].T @ study.canonical[0, run, :, 0])
        assert agreement[0, 1] > 0.999


def test_measures_are_those_of_the_series(suite, study):
    rng = np.random.default_rng(2)
    inside = (np.abs(study.basis).sum(2) > 0)[..., None]
    predicted = study.measured + inside * rng.standard_normal(study.measured.shape)
    found = suite._measures(predicted, study.measured)
    one, run, parcel = 1, 2, 3
    y, p = (study.basis[run].T @ series[one, run, :, parcel] for series in (study.measured, predicted))
    y, p = y[:60], p[:60]
    assert found[0, one, run, parcel] == pytest.approx(np.corrcoef(y, p)[0, 1])
    assert found[1, one, run, parcel] == pytest.approx(1 - ((y - p) ** 2).sum() / (y**2).sum())
    assert not suite._measures(np.zeros_like(predicted), study.measured).any()


def test_the_signal_that_repeats_is_found_without_bias(suite):
    study = people([209, 191, 191], n_trials=10)
    rng = np.random.default_rng(3)
    signal = study.canonical[..., [0, 3, 6]] @ np.array([1.0, 0.5, 0.3])
    signal *= np.sqrt(0.3 / ((signal**2).sum(-1) / study.n_frames).mean())
    inside = (np.abs(study.basis).sum(2) > 0)[..., None]
    noise = rng.standard_normal((2, 3, study.basis.shape[1], 2000)) * inside
    noise *= np.sqrt(0.7 * study.n_frames[:, None, None] / (noise**2).sum(2, keepdims=True))
    with_signal = replace(study, measured=signal[..., None] + noise)
    planted = ((signal**2).sum(-1)[..., None] / (with_signal.measured**2).sum(2)).mean()
    # Over 12 000 estimates the standard errors are below 0.005; the basis is too short for what comes after 24 s.
    assert suite.signal_share(with_signal).mean() == pytest.approx(planted, abs=0.03)
    assert suite.signal_share(replace(study, measured=noise)).mean() == pytest.approx(0.0, abs=0.01)


def test_a_setting_is_chosen_within_the_training_runs(suite, study):
    single, both = np.zeros((2, 3, 2, 3, 3, PARCELS)), np.zeros((2, 3, 2, 3, PARCELS))
    single[:, 1, 0, 0, 2] = single[:, 1, 0, 2, 0] = 0.5  # best from run 0 to 2 and back
    single[:, 2, 0, 1] = 0.9  # best from run 1, which is held out
    both[:, 1, 0, 1], both[:, 2, 0, 1] = 0.2, 0.8
    found, settings = suite.held_out(suite.Scores(single, both), study, np.arange(PARCELS) < 2)
    assert settings[:, 0, 1].tolist() == [1, 1]
    np.testing.assert_array_equal(found[0, 0, 1], [0.2, 0.2, np.nan, np.nan, np.nan, np.nan])


def test_p_values_and_intervals_are_what_they_should_be(suite):
    p_values = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5}
    expected = np.asarray(multipletests(list(p_values.values()), method="holm")[1])
    found = suite.holm(p_values)
    np.testing.assert_allclose([found[name] for name in p_values], expected)
    shifted = np.random.default_rng(4).normal(1.0, 1.0, 20)
    assert suite.sign_flip(shifted) < 0.01
    assert suite.sign_flip(np.array([1.0, -1.0, 2.0, -2.0])) == 1.0
    low, high = suite.interval(shifted)
    half = 1.96 * shifted.std() / np.sqrt(20)
    assert (low, high) == pytest.approx((shifted.mean() - half, shifted.mean() + half), abs=0.06)


def test_simulated_people_have_the_share_of_signal_that_was_asked_for(suite, study):
    recovery = importlib.import_module("_pain_recovery")
    people, signal = recovery.simulate(study, recovery.plant(study, 1), 2)
    share = (signal**2).sum(2) / (people.measured**2).sum(2)
    assert share[..., :2].mean() == pytest.approx(recovery.SHARES["pain"], rel=0.3)
    assert share[..., 2:].mean() == pytest.approx(recovery.SHARES["other"], rel=0.3)
    quiet, signal = recovery.simulate(study, recovery.plant(study, 1), 2, noise=0.0)
    np.testing.assert_allclose(quiet.measured, signal)


def test_a_study_gets_the_arguments_that_are_its_own(suite, monkeypatch, capsys):
    bench = importlib.import_module("run")
    # It would confine the whole of this process to one core.
    monkeypatch.setattr(bench, "_restrict", lambda cores: None)
    given = []
    monkeypatch.setattr(suite, "main", lambda arguments: given.append(arguments) or 0)
    monkeypatch.setattr("sys.argv", ["run.py", "drm-pain", "--quick", "--subjects", "sub-02", "sub-03"])
    assert bench.main() == 0
    assert given == [["--quick", "--subjects", "sub-02", "sub-03"]]
    monkeypatch.setattr("sys.argv", ["run.py", "difficulty", "--quick"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "difficulty takes no arguments ['--quick']" in capsys.readouterr().err


def test_what_is_asked_of_the_study_must_make_sense(suite, study, monkeypatch, capsys):
    monkeypatch.setattr(suite, "load_study", lambda: study)
    for arguments, said in (
        (["--subjects", "sub-99"], "no person ['sub-99'] with three runs; there are ['sub-01', 'sub-02']"),
        (["--subjects", "sub-01"], "the average of the others takes two people"),
    ):
        with pytest.raises(SystemExit):
            suite.main(arguments)
        assert said in capsys.readouterr().err


def test_the_page_holds_the_marks_between_which_results_are_written(suite, monkeypatch, tmp_path):
    page = tmp_path / "pain-task.md"
    page.write_text(suite.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(suite, "PAGE", page)
    for name in ("results", "recovery"):
        suite.write_between(name, f"| {name} |\n")
    text = page.read_text(encoding="utf-8")
    assert "| results |" in text
    assert "| recovery |" in text
    assert "canonical GLM | own runs" not in text
    assert text.startswith("# From heat to BOLD")
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold the marks"):
        suite.write_between("results", "")
    assert list(tmp_path.iterdir()) == [page]
