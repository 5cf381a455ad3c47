import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from conn.data import fetch_msc, load_schaefer
from conn.data.simulators import simulate_communities
from conn.functional import detect_communities
from conn.models import DynamicCommunityModel, choose_resolution
from conn.models._refinement import partition_value, refined_labels

N_COMMUNITIES = 3
LABELS = np.repeat(np.arange(N_COMMUNITIES), 6)


@pytest.fixture(scope="module")
def scans():
    """Three scans of 18 regions in three communities whose signals come and go."""
    rng = np.random.default_rng(0)
    activity = (rng.random((3, N_COMMUNITIES, 8)) < 0.5).repeat(25, axis=-1) + 0.3
    signal = activity * rng.standard_normal((3, N_COMMUNITIES, 200))
    return signal[:, LABELS] + 0.7 * rng.standard_normal((3, len(LABELS), 200))


@pytest.fixture(scope="module")
def fitted(scans):
    return DynamicCommunityModel(
        4, objective="rectified", resolution=1.5, n_epochs=80, learning_rate=0.1, progress=False
    ).fit(scans)


def test_planted_communities_are_found(fitted):
    assert adjusted_rand_score(LABELS, fitted.labels_) == 1


def test_results_have_their_shapes_and_lie_in_their_domains(fitted, scans):
    assert fitted.affiliation_.shape == (18, 4)
    np.testing.assert_allclose(fitted.affiliation_.sum(1), 1, rtol=1e-5)
    assert fitted.dynamics_.shape == (3, 4, 200)
    assert ((fitted.dynamics_ > 0) & (fitted.dynamics_ < 1)).all()
    assert set(fitted.history_) == {"Total", "Modularity", "DynamicCommunities", "Smoothness", "BimodalSymmetric"}
    terms = sum(values for name, values in fitted.history_.items() if name != "Total")
    np.testing.assert_allclose(terms, fitted.history_["Total"], rtol=1e-5)
    assert fitted.history_["Total"][-1] < fitted.history_["Total"][0]
    assert fitted.seconds_per_epoch_ > 0


def test_the_score_prefers_the_learned_communities_on_new_scans(fitted, scans):
    mixed = copy.copy(fitted)
    mixed.affiliation_ = np.roll(fitted.affiliation_, 3, axis=0)
    assert fitted.score(scans[:, :, ::-1]) > mixed.score(scans[:, :, ::-1])


def test_same_seed_same_result(scans):
    first, second = (
        DynamicCommunityModel(4, objective="rectified", resolution=1.5, n_epochs=5, progress=False, seed=3)
        .fit(scans)
        .affiliation_
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_masked_frames_do_not_count(scans):
    """Padding filled with anything leaves the correlations, and with them the affiliation, as they were."""
    padded = np.concatenate([scans, np.full((3, 18, 20), 1e3)], axis=-1)
    mask = np.arange(220) < 200
    model = DynamicCommunityModel(
        4, objective="rectified", resolution=1.5, n_epochs=3, progress=False, dynamics_nu=0.0, seed=1
    )
    plain = model.fit(scans).affiliation_
    masked = model.fit(np.where(mask, padded, np.nan), mask=np.tile(mask, (3, 1)))
    np.testing.assert_allclose(masked.affiliation_, plain, atol=1e-4)
    assert np.isnan(masked.dynamics_[:, :, 200:]).all()
    assert np.isfinite(masked.dynamics_[:, :, :200]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DynamicCommunityModel(0), "n_communities must be at least 1"),
        (lambda: DynamicCommunityModel(n_epochs=0), "n_epochs must be at least 1"),
        (lambda: DynamicCommunityModel(learning_rate=0), "learning_rate must be positive"),
        (lambda: DynamicCommunityModel(learning_rate=0.1), "the likelihood has no learning_rate"),
        (lambda: DynamicCommunityModel(resolution=1), "the likelihood has no resolution"),
        (lambda: DynamicCommunityModel(refine=True), "refine is for linear modularities"),
        (lambda: DynamicCommunityModel(resolution="thirds", objective="constant_potts"), "and is 'thirds'"),
        (lambda: DynamicCommunityModel(resolution="halves", objective="correlation"), "with 'correlation'"),
        (lambda: DynamicCommunityModel(seed=-1), "seed must not be negative"),
        (lambda: DynamicCommunityModel(n_restarts=0), "n_restarts must be at least 1"),
        (lambda: DynamicCommunityModel(patience=0), "patience must be at least 1"),
        (lambda: DynamicCommunityModel(objective="newman"), "objective must be one of likelihood, "),
        (lambda: DynamicCommunityModel(2).fit(np.ones((1, 3, 9)), checkpoint_every=0), "checkpoint_every must be"),
        (lambda: DynamicCommunityModel(2).fit(np.ones((1, 3, 9)), validation=np.ones((1, 4, 9))), "has 4 regions"),
        (
            lambda: DynamicCommunityModel(2).fit(np.ones((1, 3, 9)), validation_mask=np.ones((1, 9))),
            "without validation",
        ),
        (lambda: DynamicCommunityModel(2).fit(np.ones((1, 3, 4))), "has 4 frames that count, and needs 8"),
        (lambda: DynamicCommunityModel(2).fit(np.ones((3, 4))), r"\(scan, region, frame\)"),
        (lambda: DynamicCommunityModel(2).fit(np.ones((1, 3, 4)), mask=np.ones((1, 3))), "mask must have shape"),
        (
            lambda: DynamicCommunityModel(2).fit(np.full((1, 3, 4), np.nan)),
            "scan 0 of time_series holds nan in region 0 at frame 0",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_scoring_needs_a_fit_and_the_same_regions(fitted):
    with pytest.raises(AttributeError, match="call fit first"):
        DynamicCommunityModel(2).score(np.ones((1, 3, 9)))
    with pytest.raises(ValueError, match="knows 18 regions"):
        fitted.score(np.ones((1, 3, 9)))


def test_a_learning_rate_that_explodes_is_reported(scans):
    with pytest.raises(ValueError, match="lower the learning rate"):
        DynamicCommunityModel(4, objective="rectified", n_epochs=3, learning_rate=float("inf"), progress=False).fit(
            scans
        )


@pytest.mark.realdata
@pytest.mark.slow  # the text of the tutorial, run by tests/test_tutorial.py, sets the same objective up on real scans
def test_real_scans_fall_into_several_communities(real_data):
    real_data("miniMSC")
    scans = fetch_msc(subjects=("MSC01",), progress=False)
    model = DynamicCommunityModel(10, objective="rectified", n_epochs=40, learning_rate=0.2, progress=False).fit(
        scans.time_series
    )
    assert (np.bincount(model.labels_, minlength=10) >= 10).sum() >= 6


@pytest.fixture(scope="module")
def planted():
    """Communities that are easy to see: what tests of recovery take no luck for."""
    return simulate_communities(
        n_regions=24, n_communities=3, n_scans=4, n_frames=200, snr=1.0, mean_dwell=40, overlap=0.0, rng=0
    )


@pytest.fixture(scope="module")
def likelihood(planted):
    return DynamicCommunityModel(3, n_epochs=15, n_restarts=2, progress=False).fit(planted.time_series)


def in_planted_order(model, planted):
    return [np.bincount(model.labels_[planted.communities == number], minlength=3).argmax() for number in range(3)]


@pytest.mark.parametrize("objective", ["likelihood", "constant_potts"])
def test_planted_communities_and_their_activity_are_recovered(objective, planted, likelihood):
    model = likelihood
    if objective != "likelihood":
        model = DynamicCommunityModel(3, objective=objective, n_epochs=60, progress=False).fit(planted.time_series)
    assert adjusted_rand_score(planted.communities, model.labels_) > 0.85
    found = model.dynamics_[:, in_planted_order(model, planted)]
    assert np.corrcoef(found.ravel(), planted.activity.ravel())[0, 1] > 0.6
    np.testing.assert_allclose(model.affiliation_.sum(1), 1, rtol=1e-5)


def test_the_correlation_objective_finds_communities_beyond_a_common_signal():
    """The null takes one mode off, which a scan needs to have: here all regions share a signal."""
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((3, 4, 300))
    scans = signal[:, np.arange(24) // 6] + rng.standard_normal((3, 1, 300)) + 0.7 * rng.standard_normal((3, 24, 300))
    model = DynamicCommunityModel(4, objective="correlation", n_epochs=80, progress=False).fit(scans)
    assert adjusted_rand_score(np.arange(24) // 6, model.labels_) == 1
    assert model.resolution_ == 1


def test_new_scans_are_decoded_as_those_that_were_fitted(planted, likelihood):
    again = likelihood.transform(planted.time_series)
    np.testing.assert_array_equal(again, likelihood.dynamics_)
    alone = likelihood.transform(planted.time_series[:1])
    np.testing.assert_allclose(alone[0], again[0], atol=1e-5)
    np.testing.assert_array_equal(likelihood.predict(planted.time_series), again > 0.5)


def test_the_likelihood_of_new_scans_prefers_the_planted_communities(planted, likelihood):
    rng = np.random.default_rng(1)
    assert likelihood.score(planted.time_series) > likelihood.score(planted.time_series[:, rng.permutation(24)])


def test_ragged_runs_are_masked(planted, likelihood):
    """What stands in masked frames changes nothing, and there is no activity there."""
    mask = np.ones((4, 200), bool)
    mask[1, 120:] = False
    mask[2, 50:60] = False
    filled = np.where(mask[:, None], planted.time_series, np.nan)
    model = DynamicCommunityModel(3, n_epochs=15, progress=False)
    first = model.fit(filled, mask=mask).dynamics_
    assert np.isnan(first[1, :, 120:]).all()
    assert np.isfinite(first[1, :, :120]).all()
    assert adjusted_rand_score(planted.communities, model.labels_) > 0.85
    second = model.fit(np.where(mask[:, None], planted.time_series, 1e3), mask=mask).dynamics_
    np.testing.assert_array_equal(first, second)
    assert not model.predict(filled, mask=mask)[1, :, 120:].any()


def test_a_region_that_never_varies_breaks_nothing(planted):
    scans = planted.time_series.copy()
    scans[:, 5] = 3.0
    model = DynamicCommunityModel(3, n_epochs=10, progress=False).fit(scans)
    assert np.isfinite(model.dynamics_).all()
    assert adjusted_rand_score(np.delete(planted.communities, 5), np.delete(model.labels_, 5)) > 0.85


def test_restarts_are_matched_and_compared(planted, likelihood):
    assert likelihood.restart_labels_.shape == (2, 24)
    assert likelihood.restart_scores_.shape == (2,)
    assert (likelihood.restart_labels_ == likelihood.labels_).mean() > 0.9
    assert (likelihood.stability_ > 0.8).all()
    pytest.importorskip("leidenalg")
    assert adjusted_rand_score(planted.communities, likelihood.consensus()) > 0.85


@pytest.mark.parametrize(
    "objective", ["likelihood", "constant_potts", pytest.param("rectified", marks=pytest.mark.slow)]
)
def test_a_search_that_was_stopped_ends_where_it_would_have_ended(objective, scans, tmp_path):
    def model(n_restarts: int) -> DynamicCommunityModel:
        return DynamicCommunityModel(
            3,
            objective=objective,
            refine=objective == "constant_potts",
            n_epochs=6,
            n_restarts=n_restarts,
            progress=False,
        )

    whole = model(2).fit(scans, validation=scans[:1])
    steps = 0

    def stop(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 9:
            raise KeyboardInterrupt

    path = tmp_path / "search.npz"
    stopped = model(2)
    write = stopped._write
    stopped._write = lambda *arguments: (write(*arguments), stop())
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(scans, validation=scans[:1], checkpoint=path, checkpoint_every=1)
    resumed = model(2).fit(scans, validation=scans[:1], checkpoint=path, checkpoint_every=1)
    np.testing.assert_array_equal(resumed.affiliation_, whole.affiliation_)
    np.testing.assert_array_equal(resumed.dynamics_, whole.dynamics_)
    np.testing.assert_array_equal(resumed.restart_labels_, whole.restart_labels_)
    assert {name: values.tolist() for name, values in resumed.history_.items()} == {
        name: values.tolist() for name, values in whole.history_.items()
    }
    assert [entry.name for entry in tmp_path.iterdir()] == ["search.npz"]
    with pytest.raises(ValueError, match="the checkpoint of other scans"):
        model(2).fit(scans[:2], validation=scans[:1], checkpoint=path)
    with pytest.raises(ValueError, match="the checkpoint of other settings"):
        model(3).fit(scans, validation=scans[:1], checkpoint=path)


def test_a_file_that_is_no_checkpoint_is_refused(scans, tmp_path):
    path = tmp_path / "notes.npz"
    path.write_text("notes")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        DynamicCommunityModel(2, progress=False).fit(scans, checkpoint=path)
    with pytest.raises(FileNotFoundError, match="folder of the checkpoint"):
        DynamicCommunityModel(2, progress=False).fit(scans, checkpoint=tmp_path / "nowhere" / "search.npz")


def test_patience_ends_a_search_and_validation_keeps_its_best_epoch(planted):
    model = DynamicCommunityModel(3, n_epochs=60, patience=2, progress=False)
    model.fit(planted.time_series[:3], validation=planted.time_series[3:])
    shown = model.history_["Validation"]
    assert len(shown) < 60
    assert model.restart_scores_[0] >= shown.max() - 1e-7
    assert model.score(planted.time_series[3:]) == pytest.approx(model.restart_scores_[0], abs=1e-6)


def test_a_gate_has_the_posterior_of_all_its_paths():
    """Forward and backward passes against the sum over all 2^7 paths."""
    from conn.models._switching import gate_posterior

    odds = np.random.default_rng(0).standard_normal(7)
    on, off = 0.2, 0.4
    paths = (np.arange(2**7)[:, None] >> np.arange(7)) & 1
    chain = np.log(np.array([[1 - on, on], [off, 1 - off]]))
    start = np.log(np.array([off, on]) / (on + off))
    weight = start[paths[:, 0]] + chain[paths[:, :-1], paths[:, 1:]].sum(1) + paths @ odds
    expected = np.exp(weight - logsumexp(weight)) @ paths
    with jax.enable_x64(True):
        posterior, gained, steps = gate_posterior(jnp.asarray(odds), jnp.array([on, off]))
    np.testing.assert_allclose(posterior, expected, rtol=1e-10)
    assert float(gained) == pytest.approx(logsumexp(weight))
    both = np.exp(weight - logsumexp(weight)) @ (paths[:, :-1] & paths[:, 1:])
    np.testing.assert_allclose(steps[:-1, 3], both, rtol=1e-10)


def test_scoring_and_decoding_need_a_fit():
    for call in ("transform", "predict", "score"):
        with pytest.raises(AttributeError, match="call fit first"):
            getattr(DynamicCommunityModel(2), call)(np.ones((1, 3, 9)))
    with pytest.raises(AttributeError, match="call fit first"):
        DynamicCommunityModel(2).consensus()


def block_modularity(rng, noise):
    """Three planted groups of 10, 8 and 6, and what a modularity matrix says of their pairs."""
    groups = np.repeat([0, 1, 2], [10, 8, 6])
    matrix = np.where(groups[:, None] == groups, 1.0, -0.5) + noise * rng.standard_normal((24, 24))
    return groups, (matrix + matrix.T) / 2


@pytest.mark.parametrize("start", ["random", "one community", "each in the wrong one"])
def test_refinement_finds_planted_groups_from_any_start(start):
    rng = np.random.default_rng(0)
    groups, matrix = block_modularity(rng, 0.5)
    labels = {
        "random": rng.integers(0, 5, 24),
        "one community": np.zeros(24, int),
        "each in the wrong one": np.arange(24) % 3,
    }[start]
    assert adjusted_rand_score(groups, refined_labels(matrix, labels, 5)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_refinement_never_lowers_the_sum_and_keeps_to_the_number_of_communities(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((20, 20))
    matrix = matrix + matrix.T
    labels = rng.integers(0, 4, 20)
    refined = refined_labels(matrix, labels, 4)
    assert refined.min() >= 0
    assert refined.max() < 4
    assert partition_value(matrix, refined) >= partition_value(matrix, labels)
    np.testing.assert_array_equal(refined_labels(matrix, labels, 4), refined)
    np.testing.assert_array_equal(refined_labels(matrix, refined, 4), refined)


def test_refinement_is_as_good_as_leiden_where_that_has_few_communities():
    pytest.importorskip("leidenalg")
    _, matrix = block_modularity(np.random.default_rng(1), 1.5)
    found = detect_communities(matrix, null=jnp.zeros_like, sign=None, n_runs=10)
    refined = refined_labels(matrix, np.zeros(24, int), int(found.labels.max()) + 1)
    assert partition_value(matrix, refined) >= partition_value(matrix, found.labels) * (1 - 1e-6)


def test_what_cannot_be_improved_is_left_as_it_is():
    np.testing.assert_array_equal(refined_labels(np.zeros((4, 4)), np.array([0, 1, 2, 0]), 3), [0, 1, 2, 0])
    np.testing.assert_array_equal(refined_labels(np.ones((1, 1)), np.array([0]), 1), [0])


def test_searches_of_a_modularity_end_in_the_same_refined_communities(planted):
    """Each restart's score is the objective it ends with, and all reach the same one."""
    model = DynamicCommunityModel(5, objective="constant_potts", refine=True, n_epochs=3, n_restarts=3, progress=False)
    model.fit(planted.time_series)
    assert adjusted_rand_score(planted.communities, model.labels_) > 0.85
    assert (model.restart_labels_ == model.labels_).all()
    assert model.restart_scores_.max() > -model.history_["Total"][-1]


def test_more_regions_than_frames_are_searched_without_a_refinement():
    rng = np.random.default_rng(0)
    scans = rng.standard_normal((1, 3, 12))[:, np.arange(30) % 3] + 0.1 * rng.standard_normal((1, 30, 12))
    model = DynamicCommunityModel(3, objective="constant_potts", refine=True, n_epochs=40, progress=False).fit(scans)
    assert adjusted_rand_score(np.arange(30) % 3, model.labels_) == 1


def test_the_resolution_is_that_of_communities_that_both_halves_have(planted):
    """At a low one all regions are together, which says nothing; at a high one chance divides the planted ones."""
    candidates = [-1.0, 0.15, 0.9]
    found = choose_resolution(
        planted.time_series, 6, candidates=candidates, n_epochs=20, refine=True, n_searches=2, progress=False
    )
    assert found.resolution == 0.15
    assert found.candidates.tolist() == candidates
    assert found.agreement[0] == 0
    assert found.agreement[1] > max(0.8, found.agreement[2] + 0.1)
    assert found.n_found[:2].tolist() == [1, 3]
    fitted = DynamicCommunityModel(
        3, objective="constant_potts", resolution="halves", refine=True, n_epochs=20, progress=False
    ).fit(planted.time_series)
    chosen = choose_resolution(planted.time_series, 3, n_epochs=20, refine=True, progress=False)
    assert fitted.resolution_ == chosen.resolution
    assert adjusted_rand_score(planted.communities, fitted.labels_) == 1
    same = choose_resolution(
        planted.time_series, 6, candidates=[0.15, 0.16], n_epochs=20, refine=True, n_searches=2, progress=False
    )
    assert same.resolution == 0.16
    assert same.agreement[0] == same.agreement[1] == found.agreement[1]


def test_halves_of_the_scans_may_be_named_and_frames_masked(planted):
    mask = np.ones((4, 200), bool)
    mask[3, 150:] = False
    filled = np.where(mask[:, None], planted.time_series, np.nan)
    found = choose_resolution(
        filled,
        3,
        mask=mask,
        half=[True, True, False, False],
        candidates=[0.15],
        n_epochs=5,
        n_searches=1,
        progress=False,
    )
    assert found.agreement[0] > 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_communities": 0}, "n_communities must be at least 1"),
        ({"n_epochs": 0}, "n_epochs must be at least 1"),
        ({"n_searches": 0}, "n_searches must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"half": [True, True]}, "scans on both sides"),
        ({"half": [1, 0]}, "true or false for each of 2 scans"),
        ({"half": [True]}, "true or false for each of 2 scans"),
        ({"candidates": []}, "one finite number or more"),
        ({"candidates": [np.nan]}, "one finite number or more"),
        ({}, "not positive: give candidates"),
    ],
)
def test_a_resolution_cannot_be_chosen_from_bad_input(settings, message):
    scans = np.sin(np.arange(20))[None, None] * np.array([1.0, -1.0])[None, :, None] * np.ones((2, 1, 1))
    with pytest.raises(ValueError, match=message):
        choose_resolution(scans, progress=False, **settings)


@pytest.mark.realdata
def test_labels_of_two_orders_of_the_same_parcels_are_joined_by_centroid(real_data):
    """By position nearly all parcels get the name of another one."""
    real_data("atlas-schaefer2018")
    seventeen, seven = load_schaefer(400, 17, offline=True), load_schaefer(400, 7, offline=True)
    places = ["x", "y", "z"]
    joined = seventeen[places].merge(seven, on=places, how="left", validate="one_to_one")["network"]
    assert joined.notna().all()
    names = seventeen["label"].str.replace("17Networks", "7Networks")
    assert (names == seven["label"]).sum() < 20
    assert (seventeen[places].to_numpy() == seven[places].to_numpy()).all(1).sum() < 20
    assert (joined.to_numpy() != seven["network"].to_numpy()).sum() > 50
    assert normalized_mutual_info_score(joined, seventeen["network"]) > 0.65


def test_many_regions_with_little_in_common_stay_apart():
    # Started with all loadings of a region taken together, this ended in two communities of noise.
    made = simulate_communities(n_regions=400, mean_dwell=20.0, snr=0.045, rng=0)
    model = DynamicCommunityModel(8, n_epochs=15, progress=False).fit(made.time_series)
    assert adjusted_rand_score(made.communities, model.labels_) > 0.8
