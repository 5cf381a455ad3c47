"""What must hold on an accelerator; run by the matrix that asks for one."""

import numpy as np
import pytest

pytestmark = pytest.mark.gpu


@pytest.fixture
def series():
    return np.random.default_rng(0).standard_normal((3, 50, 200)).astype(np.float32)


def test_connectomes_and_gradients_are_those_of_the_cpu(series):
    import jax

    from conn.functional import corr, relaxed_modularity

    assert jax.default_backend() != "cpu"
    affiliation = np.random.default_rng(1).dirichlet(np.ones(5), 50).astype(np.float32)

    def objective(weight, x):
        return relaxed_modularity(corr(x[:, None], weight=weight), affiliation).mean()

    weight = np.random.default_rng(2).random((3, 4, 200), dtype=np.float32)
    value, gradient = jax.jit(jax.value_and_grad(objective))(weight, series)
    with jax.default_device(jax.devices("cpu")[0]):
        expected, expected_gradient = jax.value_and_grad(objective)(weight, series)
    np.testing.assert_allclose(value, expected, rtol=1e-3)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-2, atol=1e-6)


def test_forecasting_runs_on_the_accelerator(series):
    torch = pytest.importorskip("torch", reason="torch is not installed for this Python")
    from conn.models import AttentionForecaster

    device = str(torch.accelerator.current_accelerator())
    model = AttentionForecaster(1, n_epochs=3, device=device, progress=False).fit(series)
    np.testing.assert_allclose(model.connectome_.sum(1), 1, rtol=1e-4)


def test_an_artificial_brain_runs_where_its_parameters_are():
    torch = pytest.importorskip("torch", reason="torch is not installed for this Python")
    from drm import DRM, DRMConnection, DRMIterator, DRMNet, DRMPopulation, DRMReadout

    device = torch.accelerator.current_accelerator()
    net = DRMNet([DRMPopulation(1, 1)], [DRMConnection()], [[None]], DRMReadout(1, 1)).to(device)
    time = torch.arange(20)
    responses, activity = DRM(net).forward(DRMIterator(1, torch.ones(20, 1, 1), time))
    assert responses.device.type == device.type
    assert torch.isfinite(activity).all()
