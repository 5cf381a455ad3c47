"""Vector autoregression: statsmodels' coefficients, planted ones, and frames that are no neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from op_case import OpCase
from planted_network import TRUTH, simulated
from statsmodels.tsa.api import VAR

from conn.functional import choose_order, fit_autoregression

SHAPE = (3, 60)
NOT_OPERATIONS = {"VectorAutoregression": "what the fit returns", "OrderChoice": "what the choice returns"}
fit = jax.jit(fit_autoregression, static_argnums=1, static_argnames="ridge")


def _peer(series: np.ndarray) -> tuple[np.ndarray, ...]:
    fitted = VAR(series.T).fit(2, trend="c")
    return fitted.coefs, fitted.intercept, np.asarray(fitted.sigma_u), np.float64(fitted.nobs)


OP_CASES = [
    OpCase(
        "fit_autoregression",
        lambda series: tuple(fit_autoregression(series, 2)),
        lambda rng: (rng.normal(size=SHAPE).cumsum(-1) * 0.3 + rng.normal(size=SHAPE) + 3.0,),
        "statsmodels.tsa.api.VAR",
        _peer,
        rtol=1e-7,
        degenerate={"zeros": (np.zeros(SHAPE),), "constants": (np.full(SHAPE, 0.1),)},
    ),
    OpCase(
        "choose_order",
        lambda series: choose_order(series, 3, criterion="aic").criterion,
        lambda rng: (rng.normal(size=SHAPE).cumsum(-1) * 0.3 + rng.normal(size=SHAPE) + 3.0,),
        "statsmodels.tsa.api.VAR.select_order",
        lambda series: np.array(VAR(series.T).select_order(3, trend="c").ics["aic"][1:]),
        rtol=1e-7,
        degenerate={"zeros": (np.zeros(SHAPE),), "constants": (np.full(SHAPE, 0.1),)},
    ),
]


def test_planted_coefficients_are_recovered(rng):
    fitted = fit(simulated(rng, 20_000), 1)
    np.testing.assert_allclose(fitted.coefficients[0], TRUTH, atol=0.03)
    np.testing.assert_allclose(fitted.residual_covariance, np.eye(3), atol=0.05)


def test_a_masked_frame_is_no_neighbour_and_deletion_makes_neighbours_of_strangers(rng):
    series = simulated(rng, 4000)
    mask = np.arange(4000) % 4 != 3
    masked = fit(np.where(mask, series, np.nan), 1, mask=mask)
    assert int(masked.n_frames) == 2000  # two of each block of three have a predecessor
    np.testing.assert_allclose(masked.coefficients[0], TRUTH, atol=0.08)
    deleted = fit(series[:, mask], 1)
    lost = [np.trace(TRUTH - fitted.coefficients[0]) for fitted in (masked, deleted)]
    assert abs(lost[0]) < 0.1
    assert lost[1] > 0.2


def test_a_run_is_not_predicted_from_the_one_before(rng):
    parts = [simulated(rng, 50) + shift for shift in (0.0, 30.0)]
    run = np.repeat([0, 1], 50)
    joined = fit(np.concatenate(parts, axis=-1), 1, run=run)
    assert int(joined.n_frames) == 98


def test_a_ridge_makes_coefficients_smaller_and_more_of_them_possible(rng):
    series = simulated(rng, 60)
    plain, shrunk = (fit(series, 2, ridge=ridge).coefficients for ridge in (0.0, 1.0))
    assert float(jnp.square(shrunk).sum()) < float(jnp.square(plain).sum())
    assert bool(jnp.isfinite(fit(series[:, :12], 6, ridge=0.1).coefficients).all())


def test_the_planted_order_is_chosen(rng):
    noise, series = rng.normal(size=(4000, 2)), np.zeros((4000, 2))
    for frame in range(3, 4000):
        series[frame] = 0.3 * series[frame - 1] + 0.4 * series[frame - 3] + noise[frame]
    assert int(jax.jit(choose_order, static_argnums=1)(series.T, 6).order) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: fit_autoregression(x, 0), "from 1 on"),
        (lambda x: fit_autoregression(x, 59), "need more than 60 frames"),
        (lambda x: fit_autoregression(x, 20), "60 coefficients a target.*a ridge"),
        (lambda x: fit_autoregression(x, 1, ridge=-1.0), "must not be negative"),
        (lambda x: choose_order(x, 2, criterion="dic"), "one of aic, bic"),
        (lambda x: choose_order(x, 20), "60 coefficients a target"),
    ],
)
def test_bad_input_is_refused(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(rng.normal(size=SHAPE))
