"""Workflows: vertices against nilearn, gradients, planted motion, masks and ragged runs."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conn.loss import LossApply, LossScheme, QCFCLoss, UnpackingLossArgument
from conn.models import Censoring, Runs, Workflow

N_RUNS, N_REGIONS, N_FRAMES, STEP = 3, 6, 90, 2.0
ATLAS = np.kron(np.eye(N_REGIONS), [[1.0, 2.0]])


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


def made_runs(seed: int = 0, lengths: tuple[int, ...] = (N_FRAMES,) * N_RUNS, n_rows: int = N_REGIONS) -> Runs:
    rng = np.random.default_rng(seed)
    motion = [rng.uniform(0.05, 0.1) * rng.lognormal(size=length) for length in lengths]
    for one in motion:
        one[[0, -1]] = 0.0  # nilearn extrapolates where an end is censored
        one[[20, 21, 50]] = 1.0
    noise = [rng.normal(size=(5, length)).cumsum(-1) for length in lengths]
    mixing = rng.normal(size=(n_rows, n_rows))
    series = [
        mixing @ rng.normal(size=(n_rows, length)) + rng.normal(size=(n_rows, 5)) @ own + 10 * one
        for length, own, one in zip(lengths, noise, motion, strict=True)
    ]
    confounds = {"motion": [own[:2] for own in noise], "tissue": [own[2:] for own in noise]}
    return Runs(time_series=series, confounds=confounds, motion=motion, repetition_time=STEP)


def whole_workflow(**settings) -> Workflow:
    alternatives = {
        "filter": {"none": None, "band": (0.01, 0.1), "high": (0.01, None)},
        "confounds": {"none": [], "2P": ["motion"], "5P": ["motion", "tissue"]},
        "censoring": {"none": None, "0.5 mm": 0.5},
        "connectome": ("full", "shrunk", "partial", "tangent"),
    }
    return Workflow(**(alternatives | {"progress": False} | settings))


def by_nilearn(runs: Runs, choice: dict[str, str], workflow: Workflow) -> np.ndarray:
    from nilearn.connectome import ConnectivityMeasure
    from nilearn.signal import clean
    from sklearn.covariance import EmpiricalCovariance, LedoitWolf

    stages = workflow._stages
    band, rule = stages.filter[choice["filter"]], stages.censoring[choice["censoring"]]
    groups = stages.confounds[choice["confounds"]]
    cleaned = []
    for place, series in enumerate(runs.time_series):
        rows = [runs.confounds[name][place] for name in groups]
        kept = None if rule is None else np.flatnonzero(runs.motion[place] <= rule.threshold)
        # Without a filter nilearn takes a trend as if the frames that count were neighbours: time is a confound then.
        as_neighbours = band is None and rule is not None
        if as_neighbours:
            rows.append(np.arange(series.shape[-1], dtype=float)[None])
        low, high = band or (None, None)
        cleaned.append(
            clean(
                series.T,
                confounds=np.concatenate(rows).T if rows else None,
                sample_mask=kept,
                detrend=not as_neighbours,
                filter="butterworth" if band else False,
                high_pass=low,
                low_pass=high,
                t_r=STEP,
                standardize="zscore_sample",
            )
        )
    kind = choice["connectome"]
    measure = ConnectivityMeasure(
        kind={"full": "correlation", "shrunk": "correlation", "partial": "partial correlation"}.get(kind, kind),
        cov_estimator=EmpiricalCovariance() if kind == "full" else LedoitWolf(),
        standardize=False,
    )
    found = measure.fit_transform(cleaned)
    return found if kind == "tangent" else np.arctanh(found - np.eye(N_REGIONS))


def check_vertices(workflow: Workflow, n_vertices: int) -> None:
    runs = made_runs()
    program = workflow.program(runs)
    vertices = list(workflow.vertices())
    assert len(vertices) == n_vertices
    for choice in vertices:
        weights = {stage: np.eye(len(names))[names.index(choice[stage])] for stage, names in workflow.stages.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            expected = by_nilearn(runs, choice, workflow)
        np.testing.assert_allclose(program(weights), expected, atol=1e-5, err_msg=str(choice))


def test_every_vertex_is_the_pipeline_of_nilearn():
    small = whole_workflow(
        filter={"none": None, "band": (0.01, 0.1)},
        confounds={"none": [], "5P": ["motion", "tissue"]},
        connectome=("full", "partial"),
    )
    check_vertices(small, 2 * 2 * 2 * 2)


@pytest.mark.slow
def test_every_vertex_of_a_larger_grid_is_the_pipeline_of_nilearn():
    check_vertices(whole_workflow(), 3 * 3 * 2 * 4)


@pytest.mark.slow
def test_gradients_with_every_kind_agree_with_finite_differences():
    # The geometric mean, a tangent's reference, is iterated to a relative error of 1e-8: steps of 1e-5 see it.
    check_gradients(whole_workflow(filter={"none": None, "band": (0.01, 0.1)}), rtol=2e-3)


def test_gradients_agree_with_finite_differences():
    check_gradients(
        Workflow(
            filter={"none": None, "band": (0.01, 0.1)},
            confounds={"none": [], "5P": ["motion", "tissue"]},
            censoring={"none": None, "0.5 mm": 0.5},
        )
    )


def check_gradients(workflow: Workflow, rtol: float = 1e-5) -> None:
    program = workflow.program(made_runs())
    sizes = {stage: len(names) for stage, names in workflow.stages.items()}

    @jax.jit
    def of_program(program, weights):
        return jax.value_and_grad(lambda weights: jnp.abs(program(weights)).sum())(weights)

    with_gradient = partial(of_program, program)

    rng = np.random.default_rng(3)
    weights = {stage: jnp.asarray(rng.dirichlet(np.full(size, 5.0))) for stage, size in sizes.items()}
    gradient = with_gradient(weights)[1]
    for stage, size in sizes.items():
        if size == 1:
            continue
        # Along the simplex: what leaves it is no mixture.
        direction = np.zeros(size)
        direction[[0, -1]] = 1e-5, -1e-5
        ahead, behind = (with_gradient(weights | {stage: weights[stage] + sign * direction})[0] for sign in (1.0, -1.0))
        np.testing.assert_allclose((ahead - behind) / 2, gradient[stage] @ direction, rtol=rtol, err_msg=stage)
    for choice in (0, -1):
        corner = {stage: jnp.eye(size)[choice] for stage, size in sizes.items()}
        assert all(bool(jnp.isfinite(one).all()) for one in with_gradient(corner)[1].values())


def test_runs_of_different_lengths_are_what_each_is_alone():
    workflow, runs = Workflow(filter={"band": (0.01, 0.1)}, censoring={"0.5 mm": 0.5}), made_runs(lengths=(90, 70))
    together = workflow.transform(runs)
    np.testing.assert_allclose(together[1:], workflow.transform(runs.select([1])), atol=1e-12)
    padded, mask = np.full((2, N_REGIONS, 95), np.nan), np.zeros((2, 95), bool)
    motion = np.full((2, 95), np.nan)
    for place, length in enumerate((90, 70)):
        own = slice(2, 2 + length)
        mask[place, own], padded[place, :, own] = True, runs.time_series[place]
        motion[place, own] = runs.motion[place]
    from_arrays = Runs(time_series=padded, motion=motion, mask=mask, repetition_time=STEP)
    np.testing.assert_allclose(from_arrays.quality, runs.quality)
    np.testing.assert_array_equal(workflow.transform(from_arrays), together)


def test_masked_frames_are_censored_whatever_they_hold_and_whatever_is_chosen():
    runs = made_runs(lengths=(N_FRAMES, N_FRAMES))
    mask = np.stack(runs.motion) <= 0.5
    spoilt = [np.where(told, one, np.nan) for one, told in zip(runs.time_series, mask, strict=True)]
    masked = Runs(time_series=spoilt, mask=mask, motion=runs.motion, repetition_time=STEP)
    workflow = Workflow(filter={"band": (0.01, 0.1)}, censoring={"none": None, "0.5 mm": 0.5})
    uncensored = workflow.program(masked)({"censoring": jnp.array([1.0, 0.0])})
    np.testing.assert_allclose(uncensored, workflow.program(runs)({"censoring": jnp.array([0.0, 1.0])}), atol=1e-12)


def test_vertices_of_the_cortex_become_parcels_and_atlases_are_mixed():
    fine = made_runs(lengths=(80, 80), n_rows=2 * N_REGIONS)
    other = np.kron(np.eye(N_REGIONS), [[1.0, 0.0]])
    workflow = Workflow(parcellation={"both": ATLAS, "first": other}, connectome=["full"], progress=False)
    program = workflow.program(fine)
    for name, assignment in (("both", ATLAS), ("first", other)):
        parcels = [assignment @ one / assignment.sum(1, keepdims=True) for one in fine.time_series]
        coarse = Runs(time_series=parcels, repetition_time=STEP)
        chosen = workflow.stages["parcellation"].index(name)
        found = program({"parcellation": jnp.eye(2)[chosen]})
        np.testing.assert_allclose(found, Workflow(progress=False).transform(coarse), atol=1e-10)
    halfway = [np.kron(np.eye(N_REGIONS), [[2 / 3, 1 / 3]]) @ one for one in fine.time_series]
    expected = Workflow(progress=False).transform(Runs(time_series=halfway, repetition_time=STEP))
    np.testing.assert_allclose(program({"parcellation": jnp.full(2, 0.5)}), expected, atol=1e-10)
    with pytest.raises(ValueError, match="a parcel has no vertex"):
        Workflow(parcellation={"none left": 0 * ATLAS}).transform(fine)


def moving_people() -> Runs:
    """Return runs whose series follow a known confound as far as their people move, one person a run."""
    rng = np.random.default_rng(0)
    motion = rng.uniform(0.5, 2.0, (16, 1)) * rng.uniform(0.05, 0.15, (16, 60))
    series = rng.normal(size=(16, 5, 60)) + 8 * (motion * rng.normal(size=(16, 60)))[:, None]
    common = series.mean(1, keepdims=True)
    other = rng.normal(size=common.shape)
    return Runs(time_series=series, confounds={"common": common, "other": other}, motion=motion, repetition_time=STEP)


def test_what_removes_planted_motion_is_chosen():
    runs = moving_people()
    scheme = LossScheme(
        [
            LossApply(
                QCFCLoss(nu=2.0),
                apply=lambda out: UnpackingLossArgument(connectome=out.connectome, quality=out.quality),
            )
        ]
    )
    alternatives = {"none": [], "other": ["other"], "common": ["common"]}
    workflow = Workflow(confounds=alternatives, n_epochs=30, hardening=0.5, learning_rate=0.3, progress=False)
    workflow.fit(runs, scheme)
    assert workflow.pipeline_ == {
        "parcellation": "none",
        "filter": "none",
        "confounds": "common",
        "censoring": "none",
        "connectome": "full",
    }
    assert workflow.weights_["confounds"]["common"] > 0.9
    assert sum(workflow.weights_["confounds"].values()) == pytest.approx(1)
    assert set(workflow.history_) == {"Total", "QCFC", "Hardening"}
    assert workflow.history_["QCFC"][-1] < workflow.history_["QCFC"][0] / 2
    np.testing.assert_allclose(
        workflow.history_["QCFC"] + workflow.history_["Hardening"], workflow.history_["Total"], rtol=1e-10
    )
    assert workflow.weights_history_["confounds"].shape == (30, 3)
    np.testing.assert_allclose(workflow.weights_history_["confounds"][0], 1 / 3)
    assert workflow.harden().stages["confounds"] == ("common",)
    corner = workflow.program(runs)({"confounds": jnp.array([0.0, 0.0, 1.0])})
    assert np.abs(workflow.transform(runs) - corner).max() < 0.1


def test_a_tangent_is_taken_where_the_fitted_runs_put_it():
    runs = made_runs()
    workflow = Workflow(connectome=["tangent"], progress=False).fit(runs)
    assert workflow.reference_.shape == (N_REGIONS, N_REGIONS)
    together = workflow.transform(runs)
    np.testing.assert_allclose(workflow.transform(runs.select([1])), together[1:2], atol=1e-10)
    np.testing.assert_allclose(together.mean(0), 0, atol=1e-7)
    with pytest.raises(AttributeError, match="call fit first"):
        Workflow(connectome=["tangent"]).transform(runs)


def test_a_region_that_the_confounds_explain_has_no_connections():
    rng = np.random.default_rng(0)
    series = rng.normal(size=(2, 4, 50))
    runs = Runs(time_series=series, confounds={"first": series[:, :1]}, repetition_time=STEP)
    found = Workflow(confounds={"first": ["first"]}, connectome=["full"]).transform(runs)
    assert not found[:, 0].any()
    assert np.abs(found[:, 1:, 1:]).max() > 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filter": {}}, "filter has no alternative"),
        ({"confounds": {"24P": "motion"}}, "'24P' must be a list of groups"),
        ({"connectome": ["coherence"]}, "connectome must be of full"),
        ({"parcellation": {"a": np.eye(2), "b": np.eye(3)}}, "all have one shape"),
        ({"n_epochs": 0}, "n_epochs must be at least 1"),
        ({"learning_rate": 0}, "learning_rate must be positive"),
        ({"hardening": -1}, "hardening must not be negative"),
        ({"censoring": {"all": 0}}, "threshold must be positive"),
        ({"censoring": {"all": Censoring(0.1, after=0)}, "n_epochs": -1}, "n_epochs"),
    ],
)
def test_alternatives_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Workflow(**settings)


def test_rules_of_censoring_are_checked():
    with pytest.raises(ValueError, match="after must not be negative"):
        Censoring(0.2, after=-1)


def some_runs(**changes) -> Runs:
    given = {"time_series": np.ones((2, 3, 20)), "repetition_time": STEP, "motion": np.full((2, 20), 0.1)}
    return Runs(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repetition_time": 0.0}, "repetition_time must be positive"),
        ({"time_series": []}, "at least one run"),
        ({"time_series": [np.ones(3)], "motion": None}, "run 0 must be real numbers with 2 axes"),
        ({"time_series": [np.ones((3, 20)), np.ones((4, 20))]}, "run 1 has 4 regions"),
        ({"time_series": np.full((2, 3, 20), np.nan)}, "run 0 holds nan in row 0 at frame 0"),
        ({"confounds": {"m": np.ones((2, 1, 19))}}, "'m' must have the frames"),
        ({"confounds": {"m": [np.ones((1, 20)), np.ones((2, 20))]}}, "run 1 has 2, and run 0 has 1"),
        ({"confounds": {"m": np.full((2, 1, 20), np.inf)}}, "'m' of run 0 holds inf"),
        ({"motion": np.ones((2, 19))}, "motion must have one value for each frame"),
        ({"mask": np.eye(2, 20, dtype=bool)}, "run 0 has 1 frames that count"),
    ],
)
def test_runs_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        some_runs(**changes)


@pytest.mark.parametrize(
    ("settings", "changes", "message"),
    [
        ({"censoring": {"0.2": 0.2}}, {"motion": None}, "needs the runs' motion"),
        ({"confounds": {"6P": ["motion"]}}, {}, "no confounds 'motion'; they have none"),
        ({"censoring": {"strict": 0.05}}, {}, "run 0 keeps 0 frames under censoring 'strict'"),
    ],
)
def test_what_alternatives_need_must_be_there(settings, changes, message):
    with pytest.raises(ValueError, match=message):
        Workflow(**settings).transform(some_runs(**changes))


def test_misuse_is_told():
    runs = moving_people()
    workflow = Workflow(confounds={"none": [], "common": ["common"]}, progress=False)
    with pytest.raises(AttributeError, match="call fit first"):
        workflow.transform(runs)
    with pytest.raises(AttributeError, match="call fit first"):
        workflow.harden()
    with pytest.raises(ValueError, match="choices are open at confounds"):
        workflow.fit(runs)
    with pytest.raises(ValueError, match="no stage 'filters'"):
        workflow.vertex(filters="none")
    with pytest.raises(ValueError, match="confounds has no alternative '36P'; it has none, common"):
        workflow.vertex(confounds="36P")
    program = workflow.program(runs)
    with pytest.raises(ValueError, match="confounds has 2 alternatives and no weights"):
        program({})
    with pytest.raises(ValueError, match="confounds needs 2 weights"):
        program({"confounds": jnp.ones(3)})
    with pytest.raises(ValueError, match="no stages regression"):
        program({"confounds": jnp.ones(2), "regression": jnp.ones(1)})
    with pytest.raises(ValueError, match="not finite at epoch 0"):
        Workflow(connectome=["full", "shrunk"], progress=False).fit(runs, lambda out: out.connectome.sum() * jnp.nan)
