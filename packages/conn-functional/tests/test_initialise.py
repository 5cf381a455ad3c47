"""Initial values: distributions, banded matrices, lattices, spectra, means; put into models, parametrised or not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from op_case import OpCase

from conn.functional import FilterBank, MappedLogits, PositiveDefiniteParameter, ideal_response, spd_mean
from conn.functional.initialise import (
    biregular,
    constant,
    dirichlet,
    distribution,
    filter_spectrum,
    identity,
    initialise,
    tangency_point,
    toeplitz,
)
from conn.functional.layers import Parcellation, Recombination, TangentProjection

KEY = jax.random.key(0)


def _shares(concentration):
    return dirichlet(concentration)(KEY, (3, 4), concentration.dtype)


def _spd(rng: np.random.Generator):
    factors = rng.normal(size=(4, 3, 8))
    return (factors @ np.swapaxes(factors, -1, -2),)


OP_CASES: list[OpCase] = [
    OpCase(
        "initialise.constant",
        lambda value: constant(value)(KEY, (2, 3), value.dtype),
        lambda rng: (rng.normal(size=3),),
        "numpy.broadcast_to",
        lambda value: np.broadcast_to(value, (2, 3)),
        degenerate={"zeros": (np.zeros(3),)},
    ),
    OpCase(
        "initialise.identity",
        lambda scale, shift: identity(scale, shift)(KEY, (2, 3, 3), scale.dtype),
        lambda rng: (rng.normal(size=()), rng.normal(size=())),
        "numpy.eye",
        lambda scale, shift: np.broadcast_to(scale * np.eye(3) + shift, (2, 3, 3)),
        degenerate={"zeros": (np.zeros(()), np.zeros(()))},
    ),
    OpCase(
        "initialise.distribution",
        lambda loc, scale: distribution(loc=loc, scale=scale)(KEY, (5,), jnp.float64).astype(loc.dtype),
        lambda rng: (rng.normal(size=()), rng.normal(size=())),
        "jax.random.normal",
        lambda loc, scale: loc + scale * np.asarray(jax.random.normal(KEY, (5,), jnp.float64)),
        degenerate={"zeros": (np.zeros(()), np.zeros(()))},
    ),
    OpCase(
        "initialise.dirichlet",
        lambda concentration: _shares(concentration).sum(0),
        lambda rng: (rng.uniform(0.5, 2.0, size=3),),
        "property: shares of each column, with the mean and the variance of Dirichlet's distribution",
        not_differentiable="a random draw",
    ),
    OpCase(
        "initialise.toeplitz",
        lambda row: toeplitz(row)(KEY, (4, 4), row.dtype),
        lambda rng: (rng.normal(size=2),),
        "scipy.linalg.toeplitz",
        lambda row: scipy.linalg.toeplitz([*row, 0.0, 0.0]),
        degenerate={"zeros": (np.zeros(2),)},
    ),
    OpCase(
        "initialise.filter_spectrum",
        lambda: filter_spectrum([(0.05, 0.1)], n_frames=40, repetition_time=2.0)(KEY, (1, 21), float),
        lambda rng: (),
        "property: equals ideal_response",
        not_differentiable="a design without arrays",
    ),
    OpCase(
        "initialise.tangency_point",
        lambda matrices: tangency_point(matrices, metric="log-euclidean")(KEY, (3, 3), matrices.dtype),
        _spd,
        "property: equals spd_mean",
        degenerate={"equal eigenvalues": (np.stack([np.eye(3)] * 4),)},
    ),
    OpCase(
        "initialise.biregular",
        lambda: biregular()(KEY, (4, 6), float),
        lambda rng: (),
        "property: sums of rows and of columns are equal",
        not_differentiable="a random draw",
    ),
    OpCase(
        "initialise.initialise",
        lambda value: (
            initialise(Recombination(jnp.zeros((2, 3), value.dtype)), "mixture", constant(value), key=KEY).mixture
        ),
        lambda rng: (rng.normal(size=3),),
        "numpy.broadcast_to",
        lambda value: np.broadcast_to(value, (2, 3)),
        degenerate={"zeros": (np.zeros(3),)},
    ),
]
NOT_OPERATIONS = {"initialise.Initialiser": "the type of an initialiser"}


def test_dirichlet_draws_have_its_mean_and_variance():
    # With 20000 draws the standard error of a mean is below 0.002, and of a variance below 0.0005.
    weights = np.array([1.0, 2.0, 5.0])
    shares = np.asarray(dirichlet(weights)(KEY, (3, 20000), float))
    np.testing.assert_allclose(shares.sum(0), 1.0)
    mean = weights / weights.sum()
    np.testing.assert_allclose(shares.mean(1), mean, atol=0.008)
    np.testing.assert_allclose(shares.var(1), mean * (1 - mean) / (weights.sum() + 1), atol=0.002)
    other = dirichlet(1.0, axis=0)(KEY, (3, 2, 4), float)
    np.testing.assert_allclose(other.sum(0), 1.0)


@pytest.mark.parametrize(("shape", "degree"), [((4, 6), 1), ((3, 12), 1), ((5, 7), 2), ((6, 4), 2)])
def test_lattices_have_equal_row_sums_and_equal_column_sums(shape, degree):
    matrix = np.asarray(biregular(degree)(KEY, shape, float))
    assert set(np.unique(matrix)) <= {0.0, 1.0}
    ones = min(degree * np.lcm(*shape), shape[0] * shape[1])
    np.testing.assert_array_equal(matrix.sum(1), ones // shape[0])
    np.testing.assert_array_equal(matrix.sum(0), ones // shape[1])


def test_parametrised_values_get_the_preimage_of_the_initial_value(rng):
    bank = MappedLogits.map(FilterBank(jnp.full((1, 21), 0.5)), where="gain")
    spectrum = filter_spectrum([(0.05, 0.1)], n_frames=40, repetition_time=2.0)
    start = initialise(bank, "gain", lambda *of: jnp.clip(spectrum(*of), 0.01, 0.99), key=KEY)
    assert isinstance(start.gain, MappedLogits)
    expected = np.clip(ideal_response(40, band=(0.05, 0.1), repetition_time=2.0), 0.01, 0.99)
    np.testing.assert_allclose(np.asarray(start.gain)[0], expected, atol=1e-9)
    np.testing.assert_allclose(bank.gain, 0.5)
    layer = TangentProjection(PositiveDefiniteParameter(jnp.eye(3)))
    (matrices,) = _spd(rng)
    point = initialise(
        layer, lambda model: model.reference, tangency_point(matrices, metric="euclidean"), key=KEY
    ).reference
    np.testing.assert_allclose(np.asarray(point), spd_mean(matrices, metric="euclidean"), rtol=1e-6)


def test_several_places_get_draws_of_their_own_and_initialisers_of_jax_will_do():
    layer = Parcellation.random({"left": 2, "right": 2}, {"left": 6, "right": 6}, key=KEY)
    where = ["assignment.left", "assignment.right"]
    drawn = initialise(layer, where, dirichlet(0.5), key=jax.random.key(1)).assignment
    assert not np.allclose(np.asarray(drawn["left"]), np.asarray(drawn["right"]))
    both = initialise(layer, lambda m: tuple(m.assignment.values()), dirichlet(0.5), key=KEY).assignment
    assert not np.allclose(np.asarray(both["left"]), np.asarray(both["right"]))
    mixed = initialise(Recombination(jnp.zeros((4, 4))), "mixture", jax.nn.initializers.orthogonal(), key=KEY).mixture
    np.testing.assert_allclose(mixed @ mixed.T, np.eye(4), atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dirichlet(0.0), "concentration must be above 0"),
        (lambda: dirichlet(np.ones(4))(KEY, (3, 2), float), "one number or 3"),
        (lambda: identity()(KEY, (3,), float), "at least two axes"),
        (lambda: toeplitz(np.ones(5))(KEY, (3, 3), float), "row must hold 1 to 3 values"),
        (lambda: biregular(0), "degree must be a whole number"),
        (
            lambda: filter_spectrum([(0.1, None)], n_frames=8, repetition_time=1.0)(KEY, (1, 4), float),
            r"\(1, 4\) is needed",
        ),
        (lambda: tangency_point(jnp.eye(2)[None], metric="euclidean")(KEY, (3, 3), float), r"and \(3, 3\) is needed"),
        (lambda: initialise(Recombination(jnp.ones((2, 3))), "bais", constant(0.0), key=KEY), "has nothing at 'bais'"),
        (
            lambda: initialise(Recombination(jnp.ones((2, 3))), "mixture", lambda *of: jnp.ones(3), key=KEY),
            r"gave the shape \(3,\) where \(2, 3\) is needed",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
