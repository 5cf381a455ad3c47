import numpy as np
import pytest
import torch

from drm import BalloonReadout, BasisReadout, BOLDReadout, convolution, derivative_responses, sampled_response
from drm.haemodynamics import GLOVER, SPM12_BALLOON

# Samples of SPM at a repetition time of 2 s, scaled to a sum of one.
SPM = [0, .0866, .3749, .3849, .2161, .0769, .0016, -.0306, -.0373, -.0308, -.0205, -.0116, -.0058,
       -.0026, -.0011, -.0004, -.0001]  # fmt: skip


def test_the_spm_samples_are_the_published_ones():
    np.testing.assert_allclose(sampled_response(2.0).numpy(), SPM, atol=1e-4)
    every_second = sampled_response(1.0)
    assert every_second.shape == (33,)
    assert every_second.max().item() == pytest.approx(0.2105, abs=1e-4)


@pytest.mark.parametrize("oversampling", [1, 16, 50])
@pytest.mark.parametrize("name", ["spm_hrf", "glover_hrf"])
def test_the_nilearn_samples_are_those_of_nilearn(name, oversampling):
    models = pytest.importorskip("nilearn.glm.first_level")
    expected = getattr(models, name)(1.3, oversampling=oversampling)
    found = sampled_response(
        1.3,
        convention="nilearn",
        oversampling=oversampling,
        parameters=GLOVER if name == "glover_hrf" else None,
    )
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_wrong_samples_are_refused():
    with pytest.raises(ValueError, match="convention must be one of"):
        sampled_response(1.0, convention="fsl")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="oversampling"):
        sampled_response(1.0, oversampling=0)


def test_a_learned_response_starts_as_the_fixed_one_and_is_each_voxels_own():
    fixed = BOLDReadout(2, 2, resolution=1000, weight=torch.eye(2)).double()
    learned = BOLDReadout(
        2, 2, resolution=1000, weight=torch.eye(2), learn=["peak_delay", "peak_undershoot_ratio"]
    ).double()
    activity = torch.randn(50, 1, 2, dtype=torch.float64)
    torch.testing.assert_close(learned.run(activity), fixed.run(activity), atol=1e-6, rtol=0)
    with torch.no_grad():
        learned.raw_hrf["peak_delay"][1] += 2
    fixed.reset()
    learned.reset()
    difference = (learned.run(activity) - fixed.run(activity)).abs().amax((0, 1))
    assert difference[1] > 1e-3
    assert difference[0] < 1e-6


def test_peak_delays_are_recovered_from_ten_minutes_as_loud_as_the_noise():
    # Of seeds 0 to 19, eighteen end with all three delays within 0.3 s, the worst at 0.35 s.
    torch.manual_seed(0)
    delays = torch.tensor([4.5, 6.0, 7.5])
    neural = torch.relu(torch.randn(600, 1, 3))
    truth = BOLDReadout(3, 3, resolution=1000, weight=torch.eye(3), learn=["peak_delay"])
    with torch.no_grad():
        truth.raw_hrf["peak_delay"].copy_(torch.log(torch.expm1(delays)))
        clean = truth.run(neural)
    noisy = clean + clean.std(0) * torch.randn_like(clean)
    model = BOLDReadout(3, 3, resolution=1000, weight=torch.eye(3), learn=["peak_delay"])
    optimizer = torch.optim.Adam(model.raw_hrf.parameters(), lr=0.1)
    for _ in range(80):
        model.reset()
        optimizer.zero_grad()
        (model.run(neural) - noisy).square().mean().backward()
        optimizer.step()
    assert (model.hrf["peak_delay"].detach() - delays).abs().max() < 0.3


def balloon(**options):
    return BalloonReadout(1, 1, weight=torch.eye(1), **options).double()


def constant(value, n_ticks):
    return torch.full((n_ticks, 1, 1), value, dtype=torch.float64)


@pytest.mark.parametrize("n_ticks", [300, pytest.param(100_000, marks=pytest.mark.slow)])
def test_without_activity_the_balloon_stays_at_rest(n_ticks):
    with torch.no_grad():
        assert (
            not balloon(resolution=100, method="rk4" if n_ticks < 1000 else "euler").run(constant(0.0, n_ticks)).any()
        )


def test_under_constant_activity_the_balloon_comes_to_its_steady_state():
    readout = balloon(resolution=500)
    found = readout.run(constant(0.2, 600))[-1].item()
    flow = 1 + 0.2 / 0.41
    volume = flow**0.32
    content = volume * (1 - (1 - 0.34) ** (1 / flow)) / 0.34
    expected = 0.02 * (2.38 * (1 - content) + 2 * (1 - content / volume) + 0.48 * (1 - volume))
    assert found == pytest.approx(expected, abs=1e-9)
    state = readout._memory[0].flatten()
    np.testing.assert_allclose(state.numpy(), [0, np.log(flow), np.log(volume), np.log(content)], atol=1e-6)


def test_the_balloon_agrees_with_scipy_in_the_plain_variables():
    integrate = pytest.importorskip("scipy.integrate")

    def slope(t, y):
        s, f, v, q = y
        z = 1.0 if t < 3 else 0.0
        out = v ** (1 / 0.32)
        extraction = 1 - (1 - 0.34) ** (1 / f)
        return [
            z - 0.65 * s - 0.41 * (f - 1),
            s,
            (f - out) / 0.98,
            (f * extraction / 0.34 - out * q / v) / 0.98,
        ]

    burst = constant(0.0, 400)
    burst[:60] = 1
    found = balloon(resolution=50).run(burst).flatten().numpy()
    time = 0.05 * np.arange(1, 401)
    solution = integrate.solve_ivp(slope, (0, 20), [0, 1, 1, 1], t_eval=time, rtol=1e-9, atol=1e-11, max_step=0.05)
    _, _, v, q = solution.y
    expected = 0.02 * (2.38 * (1 - q) + 2 * (1 - q / v) + 0.48 * (1 - v))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_small_input_twice_as_large_gives_a_response_twice_as_large():
    burst = constant(0.0, 60)
    burst[:4] = 0.01
    one, two = (balloon(resolution=500).run(scale * burst) for scale in (1, 2))
    assert (two - 2 * one).abs().max() < 0.02 * two.abs().max()


def test_the_balloon_has_exact_gradients_and_goes_on_from_its_state():
    readout = balloon(resolution=500, learn=["kappa", "tau"])
    z = (0.3 * torch.rand(3, 2, 1, dtype=torch.float64)).requires_grad_()

    def run(z, kappa, tau):
        readout.reset()
        parts = [torch.func.functional_call(readout, {"kappa": kappa, "tau": tau}, ([tick],)) for tick in z]
        return torch.stack(parts)

    assert torch.autograd.gradcheck(run, (z, readout.kappa, readout.tau))
    readout.reset()
    at_once = readout.run(z)
    torch.testing.assert_close(run(z, readout.kappa, readout.tau), at_once)


def test_wrong_balloons_are_refused():
    for options, message in (
        ({"resolution": 0}, "resolution must be above 0"),
        ({"resolution": 1, "constants": {"mass": 1.0}}, "no constants"),
        ({"resolution": 1, "constants": {"kappa": float("nan")}}, "kappa must be finite"),
        ({"resolution": 1, "n_steps": 0}, "n_steps"),
    ):
        with pytest.raises(ValueError, match=message):
            BalloonReadout(1, 1, **options)


def test_a_readout_has_the_samples_of_its_convention():
    impulse = torch.zeros(33, 1, 1)
    impulse[0] = 1
    for learn in ((), ("peak_delay",)):
        readout = BOLDReadout(1, 1, resolution=1000, convention="nilearn", learn=learn, weight=torch.eye(1))
        found = readout.run(impulse)[:32, 0, 0]
        expected = sampled_response(1.0, convention="nilearn")
        torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)
    derivatives = BasisReadout(1, 1, resolution=1000, convention="nilearn", weight=torch.eye(1))
    with torch.no_grad():
        derivatives.coefficients.copy_(torch.tensor([[1.0, 0.0]]))
    rows = derivative_responses(1.0, convention="nilearn")
    torch.testing.assert_close(derivatives.response[0].double(), rows[0] + rows[1], atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="convention must be"):
        BOLDReadout(1, 1, resolution=1000, convention="afni")
    with pytest.raises(ValueError, match="follows no convention"):
        BasisReadout(1, 1, resolution=1000, basis="fir", convention="nilearn")


def test_the_constants_of_spm12_come_to_their_steady_state():
    readout = BalloonReadout(1, 1, resolution=500, constants=SPM12_BALLOON, weight=torch.eye(1)).double()
    z, c = 0.2, SPM12_BALLOON
    flow = 1 + z / c["gamma"]
    volume = flow ** c["alpha"]
    content = volume * (1 - (1 - c["rho"]) ** (1 / flow)) / c["rho"]
    signal = c["volume"] * (c["k1"] * (1 - content) + c["k2"] * (1 - content / volume) + c["k3"] * (1 - volume))
    found = readout.run(torch.full((400, 1, 1), z, dtype=torch.float64))[-1]
    assert found.item() == pytest.approx(signal, abs=1e-6)


@pytest.mark.parametrize("n_ticks", [3, 40])
@pytest.mark.parametrize("ticks", [None, [2, 0, 2], []])
def test_a_convolution_has_the_gradient_of_sums(n_ticks, ticks, monkeypatch):
    monkeypatch.setattr(convolution, "_CACHED", 150)  # one voxel at a time
    generator = torch.Generator().manual_seed(0)
    series = torch.randn(n_ticks + 4, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    response = torch.randn(3, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    wanted = None if ticks is None else torch.tensor(ticks, dtype=torch.long)

    def found(series, response):
        return convolution.convolved(series, response, wanted)

    expected = torch.stack([(series[t : t + 5] * response.T.flip(0)[:, None]).sum(0) for t in range(n_ticks)])
    expected = expected if wanted is None else expected[wanted]
    torch.testing.assert_close(found(series, response), expected)
    assert torch.autograd.gradcheck(found, (series, response))


@pytest.mark.parametrize("n_ticks", [17, 31, 64, 101])
def test_a_readout_convolves_stretches_of_any_length(n_ticks):
    readout = BOLDReadout(1, 1, resolution=1000, weight=torch.eye(1)).double()
    activity = torch.randn(n_ticks, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = readout.run(activity).flatten().detach()
    expected = np.convolve(activity.flatten().numpy(), readout.response[0].detach().numpy())[:n_ticks]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    lengths = [convolution._fast_length(n) for n in range(1, 40)]
    assert all(length >= n for n, length in enumerate(lengths, 1))
    assert sorted(set(lengths)) == [1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16, 18, 20, 24, 25, 27, 30, 32, 36, 40]
