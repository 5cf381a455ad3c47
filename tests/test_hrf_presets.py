"""Haemodynamic constants stand once, in hrf_presets.json, which binds packages that may not import one another."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import gamma

from conn.data import simulators
from conn.functional import balloon_response

TABLE = json.loads(Path(__file__).with_name("hrf_presets.json").read_text(encoding="utf-8"))
BOUND = 1e-6
SAMPLED = [pytest.param(case, id=f"{case['preset']}-{case['convention']}") for case in TABLE["sampled"]]
BALLOONS = [pytest.param(case, id=case["preset"]) for case in TABLE["balloon"]]

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("drm") is None, reason="torch is not installed for this Python"
)


def burst(case):
    activity = np.zeros(round(case["duration"] / case["step"]))
    activity[: round(case["burst"] / case["step"])] = 1.0
    return activity


@pytest.mark.parametrize("case", SAMPLED)
def test_the_table_holds_what_scipy_gives(case):
    p = TABLE["double_gamma"][case["preset"]]
    step = case["repetition_time"] / case["oversampling"]
    ratio = p["peak_undershoot_ratio"]
    if case["convention"] == "spm":
        time = np.arange(int(p["duration"] / step + 1e-9) + 1) * step
    else:
        time = np.linspace(0, p["duration"], round(p["duration"] / step)) - step
        ratio = 1 / 0.167 if ratio == 6 else ratio
    parts = [
        gamma.pdf(time - p["onset"], p[f"{name}_delay"] / p[f"{name}_dispersion"], scale=p[f"{name}_dispersion"])
        for name in ("peak", "undershoot")
    ]
    response = parts[0] - parts[1] / ratio
    np.testing.assert_allclose(case["samples"], response / response.sum(), atol=1e-9)


@pytest.mark.parametrize("case", BALLOONS)
def test_the_table_holds_what_an_ode_solver_gives(case):
    p = case["constants"]

    def rates(time, state):
        s, f, v, q = state
        out = v ** (1 / p["alpha"])
        return [
            (time < case["burst"]) - p["kappa"] * s - p["gamma"] * (f - 1),
            s,
            (f - out) / p["tau"],
            (f * (1 - (1 - p["rho"]) ** (1 / f)) / p["rho"] - out * q / v) / p["tau"],
        ]

    # In two pieces, so that the solver does not step over the end of the burst.
    during = solve_ivp(rates, (0, case["burst"] - 1e-12), [0, 1, 1, 1], rtol=1e-11, atol=1e-12)
    times = np.array(case["times"])
    after = solve_ivp(
        rates, (case["burst"], times[-1]), during.y[:, -1], t_eval=times[times >= case["burst"]], rtol=1e-11, atol=1e-12
    )
    _, _, v, q = after.y
    signal = p["volume"] * (p["k1"] * (1 - q) + p["k2"] * (1 - q / v) + p["k3"] * (1 - v))
    np.testing.assert_allclose(np.array(case["samples"])[times >= case["burst"]], signal, atol=1e-9)


def test_conn_data_has_the_table():
    assert TABLE["double_gamma"] == {"canonical": simulators.CANONICAL, "glover": simulators.GLOVER}
    presets = {"friston2003": simulators.BALLOON, "spm12": simulators.SPM12_BALLOON}
    assert {case["preset"]: case["constants"] for case in TABLE["balloon"]} == presets


@pytest.mark.parametrize("case", SAMPLED)
def test_conn_data_samples_the_response(case):
    found = simulators.sampled_hrf(
        case["repetition_time"],
        convention=case["convention"],
        oversampling=case["oversampling"],
        parameters=TABLE["double_gamma"][case["preset"]],
    )
    np.testing.assert_allclose(found, case["samples"], atol=BOUND)


@pytest.mark.parametrize("case", BALLOONS)
def test_conn_data_integrates_the_balloon_model(case):
    signal = simulators.balloon(burst(case)[None], case["step"], constants=case["constants"])[0]
    places = np.round(np.array(case["times"]) / case["step"]).astype(int)
    np.testing.assert_allclose(signal[places], case["samples"], atol=BOUND)


@needs_torch
def test_drm_has_the_table():
    from drm import BalloonReadout
    from drm.haemodynamics import CANONICAL, GLOVER, SPM12_BALLOON

    assert TABLE["double_gamma"] == {"canonical": CANONICAL, "glover": GLOVER}
    presets = {"friston2003": BalloonReadout.constants, "spm12": SPM12_BALLOON}
    assert {case["preset"]: case["constants"] for case in TABLE["balloon"]} == presets


@needs_torch
@pytest.mark.parametrize("case", SAMPLED)
def test_drm_samples_the_response(case):
    from drm.haemodynamics import sampled_response

    found = sampled_response(
        case["repetition_time"],
        convention=case["convention"],
        oversampling=case["oversampling"],
        parameters=TABLE["double_gamma"][case["preset"]],
    )
    np.testing.assert_allclose(found.numpy(), case["samples"], atol=BOUND)


@needs_torch
@pytest.mark.parametrize("case", BALLOONS)
def test_drm_integrates_the_balloon_model(case):
    import torch

    from drm.balloon import BalloonReadout

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        readout = BalloonReadout(1, 1, resolution=1000 * case["step"], constants=case["constants"], weight=torch.eye(1))
        signal = readout.run(torch.as_tensor(burst(case))[:, None, None]).detach().numpy()[:, 0, 0]
    finally:
        torch.set_default_dtype(before)
    # drm measures at the end of a tick.
    places = np.round(np.array(case["times"]) / case["step"]).astype(int)
    np.testing.assert_allclose(signal[places - 1], case["samples"], atol=BOUND)


def test_conn_functional_has_the_linear_response_of_the_same_constants():
    case = next(case for case in TABLE["balloon"] if case["preset"] == "spm12")
    small = 1e-6
    brief = np.zeros((1, 300))
    brief[0, 0] = small
    nonlinear = simulators.balloon(brief, 0.1, constants=case["constants"])[0] / small
    linear = 100 * nonlinear
    np.testing.assert_allclose(np.asarray(balloon_response(300, time_step=0.1)), linear, atol=1e-5 * linear.max())
