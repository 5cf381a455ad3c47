import operator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg
import scipy.special
from op_case import OpCase

from conn.functional import (
    AffineParameter,
    EllipsoidParameter,
    IdentityParameter,
    IsochoricParameter,
    MappedLogits,
    NormSphereParameter,
    OrthogonalParameter,
    PositiveDefiniteParameter,
    PositiveParameter,
    ProbabilitySimplexParameter,
    TanhParameter,
    corr,
)

SEMI_AXES = np.array([1.0, 2.0, 0.5])
UNIT = np.random.default_rng(0).uniform(0.1, 0.9, size=(4, 3))


def _spd(n_regions, rng):
    factor = rng.normal(size=(n_regions, n_regions))
    return factor @ factor.T + np.eye(n_regions)


def _image(template):
    """Return the function from preimages to images, by way of a parametrised value as a model holds it."""
    return lambda preimage: jnp.asarray(eqx.tree_at(lambda value: value.original, template, preimage))


def _log_cholesky(vector, n_regions=3):
    factor = np.diag(np.exp(vector[:n_regions]))
    factor[np.tril_indices(n_regions, -1)] = vector[n_regions:]
    return factor @ factor.T


def _isochoric(vector):
    logarithms = vector[:2] @ scipy.linalg.helmert(3) + np.log(2.0) / 6
    return _log_cholesky(np.concatenate([logarithms, vector[2:]]))


def _case(template, oracle, reference, degenerate=None, shape=None):
    name = type(template).__name__
    shape = template.original.shape if shape is None else shape
    return OpCase(
        name,
        _image(template),
        lambda rng: (rng.normal(size=shape),),
        oracle,
        reference,
        rtol=1e-10,
        degenerate={"zeros": (np.zeros(shape),)} | (degenerate or {}),
    )


EXTREME = {"far out": (np.linspace(-300, 300, 12).reshape(4, 3),)}
REPEATED = np.vstack([np.eye(3), np.zeros((1, 3))])

OP_CASES = [
    _case(IdentityParameter(UNIT), "the identity", lambda z: z, EXTREME),
    _case(AffineParameter(UNIT, loc=2.0, scale=-3.0), "NumPy", lambda z: 2 - 3 * z, EXTREME),
    _case(PositiveParameter(UNIT), "numpy.logaddexp", lambda z: np.logaddexp(z, 0), EXTREME),
    _case(TanhParameter(UNIT, lower=-2.0, upper=4.0), "numpy.tanh", lambda z: 1 + 3 * np.tanh(z), EXTREME),
    _case(
        MappedLogits(UNIT, lower=-2.0, upper=4.0),
        "scipy.special.expit",
        lambda z: -2 + 6 * scipy.special.expit(z),
        EXTREME,
    ),
    _case(
        ProbabilitySimplexParameter(UNIT, axis=0, temperature=2.0),
        "scipy.special.softmax",
        lambda z: scipy.special.softmax(z / 2, axis=0),
        EXTREME,
    ),
    _case(
        NormSphereParameter(UNIT, axis=0, radius=2.0),
        "numpy.linalg.norm",
        lambda z: 2 * z / np.linalg.norm(z, axis=0, keepdims=True),
    ),
    _case(
        NormSphereParameter(UNIT, order=3.0),
        "numpy.linalg.norm",
        lambda z: z / np.stack([[np.linalg.norm(row, 3)] for row in z]),
        {"a zero entry": (np.tile([0.0, 1.0, 2.0], (4, 1)),)},
    ),
    _case(
        EllipsoidParameter(UNIT, semi_axes=SEMI_AXES),
        "numpy.linalg.norm",
        lambda z: z / np.linalg.norm(z / SEMI_AXES, axis=-1, keepdims=True),
    ),
    _case(
        OrthogonalParameter(UNIT),
        "scipy.linalg.polar",
        lambda z: scipy.linalg.polar(z)[0],
        {"equal singular values": (REPEATED,), "rank one": (np.ones((4, 3)),)},
    ),
    _case(
        OrthogonalParameter(UNIT.T),
        "scipy.linalg.polar",
        lambda z: scipy.linalg.polar(z)[0],
        {"equal singular values": (REPEATED.T,)},
    ),
    _case(PositiveDefiniteParameter(_spd(3, np.random.default_rng(1))), "Cholesky product, NumPy", _log_cholesky),
    _case(IsochoricParameter(_spd(3, np.random.default_rng(1)), determinant=2.0), "scipy.linalg.helmert", _isochoric),
]

INSIDE = [
    (IdentityParameter, UNIT, {}),
    (AffineParameter, UNIT, {"loc": 3.0, "scale": 0.1}),
    (PositiveParameter, UNIT * np.array([1e-5, 1.0, 1e3]), {}),
    (TanhParameter, UNIT, {}),
    (MappedLogits, UNIT, {}),
    (ProbabilitySimplexParameter, UNIT / UNIT.sum(-1, keepdims=True), {}),
    (NormSphereParameter, UNIT / np.linalg.norm(UNIT, axis=-1, keepdims=True), {}),
    (EllipsoidParameter, UNIT / np.linalg.norm(UNIT / SEMI_AXES, axis=-1, keepdims=True), {"semi_axes": SEMI_AXES}),
    (OrthogonalParameter, np.linalg.qr(UNIT)[0], {}),
    (PositiveDefiniteParameter, np.stack([_spd(4, np.random.default_rng(seed)) for seed in range(2)]), {}),
    (IsochoricParameter, np.diag([0.5, 1.0, 2.0]), {}),
]


@pytest.mark.parametrize(("kind", "value", "settings"), INSIDE)
def test_a_value_of_the_domain_is_its_own_image_under_every_policy(kind, value, settings):
    np.testing.assert_allclose(np.asarray(kind(value, **settings)), value, rtol=1e-9, atol=1e-12)
    if kind not in (IdentityParameter, AffineParameter):
        np.testing.assert_allclose(np.asarray(kind(value, outside="raise", **settings)), value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kind", "value", "settings"), INSIDE)
def test_the_image_of_the_preimage_of_an_image_is_that_image(kind, value, settings, rng):
    parameter = kind(value, **settings)
    image = parameter.image(jnp.asarray(rng.normal(size=parameter.original.shape)))
    np.testing.assert_allclose(parameter.image(parameter.preimage(image)), image, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", [PositiveDefiniteParameter, IsochoricParameter])
def test_vectors_and_positive_definite_matrices_belong_together_one_to_one(kind, rng):
    parameter = kind(_spd(4, rng))
    free = {PositiveDefiniteParameter: 10, IsochoricParameter: 9}[kind]
    vector = jnp.asarray(rng.normal(size=(5, free)))
    matrices = parameter.image(vector)
    assert bool((jnp.linalg.eigvalsh(matrices) > 0).all())
    np.testing.assert_allclose(parameter.preimage(matrices), vector, atol=1e-8)
    if kind is IsochoricParameter:
        np.testing.assert_allclose(jnp.linalg.det(matrices), 1.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "value", "settings", "expected"),
    [
        (PositiveParameter, [-1.0, 2.0], {"minimum": 0.5}, [0.5, 2.0]),
        (TanhParameter, [-3.0, 0.5], {"margin": 0.1}, [-0.8, 0.5]),
        (MappedLogits, [0.0, 0.5, 2.0], {"margin": 0.2}, [0.2, 0.5, 0.8]),
        (ProbabilitySimplexParameter, [-1.0, 3.0], {"minimum": 1.0}, [0.25, 0.75]),
        (NormSphereParameter, [1.0, -3.0], {"order": 1}, [0.25, -0.75]),
        (EllipsoidParameter, [3.0, 0.0], {"semi_axes": [2.0, 1.0]}, [2.0, 0.0]),
        (OrthogonalParameter, [[2.0, 0.0], [0.0, -7.0]], {}, [[1.0, 0.0], [0.0, -1.0]]),
        (PositiveDefiniteParameter, [[4.0, 0.0], [0.0, -1.0]], {"minimum": 0.25}, [[4.0, 0.0], [0.0, 1.0]]),
        (IsochoricParameter, [[8.0, 0.0], [0.0, 2.0]], {"determinant": 4.0}, [[4.0, 0.0], [0.0, 1.0]]),
    ],
)
def test_an_initial_value_outside_is_moved_inside_or_refused(kind, value, settings, expected):
    value = np.array(value)
    np.testing.assert_allclose(np.asarray(kind(value, **settings)), expected, atol=1e-9)
    with pytest.raises(ValueError, match='with outside="raise"'):
        kind(value, outside="raise", **settings)
    with pytest.raises(ValueError, match="outside must be one of"):
        kind(value, outside="ignore", **settings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: IdentityParameter(np.array([1.0, np.nan])), "must be finite"),
        (lambda: AffineParameter(UNIT, scale=0.0), "scale must not be 0"),
        (lambda: PositiveParameter(UNIT, minimum=0.0), "minimum must be positive"),
        (lambda: TanhParameter(UNIT, lower=1.0), "interval must not be empty"),
        (lambda: MappedLogits(UNIT, margin=0.5), "margin must lie between"),
        (lambda: ProbabilitySimplexParameter(UNIT, minimum=0.0), "minimum must be positive"),
        (lambda: ProbabilitySimplexParameter(UNIT, temperature=0.0), "temperature must be positive"),
        (lambda: NormSphereParameter(UNIT, radius=0.0), "radius must be positive"),
        (lambda: NormSphereParameter(UNIT, order=0.5), "order must be at least 1"),
        (lambda: NormSphereParameter(np.zeros((2, 3))), "a vector of zeros has no direction"),
        (lambda: EllipsoidParameter(UNIT, semi_axes=[1.0, 2.0]), "semi_axes must be 3 positive numbers"),
        (lambda: OrthogonalParameter(np.ones(3)), "needs two axes"),
        (lambda: OrthogonalParameter(np.ones((3, 2))), "without full rank"),
        (lambda: PositiveDefiniteParameter(UNIT), r"shape \(..., region, region\)"),
        (lambda: PositiveDefiniteParameter(-np.eye(3)), "without a positive eigenvalue"),
        (lambda: PositiveDefiniteParameter(np.eye(3), minimum=1.0), "minimum must lie between 0 and 1"),
        (lambda: PositiveDefiniteParameter(np.tri(3), outside="raise"), "not symmetric"),
        (lambda: IsochoricParameter(np.eye(3), determinant=0.0), "determinant must be positive"),
        (lambda: IsochoricParameter(2 * np.eye(3), outside="raise"), "determinant is not 1.0"),
    ],
)
def test_impossible_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


class Encoder(eqx.Module):
    weight: jax.Array
    layers: list
    table: dict


class Model(eqx.Module):
    affiliation: jax.Array
    dynamics: jax.Array
    encoder: Encoder
    n_communities: int

    def __init__(self):
        self.n_communities = 3
        self.affiliation = jnp.asarray(UNIT)
        self.dynamics = jnp.asarray(UNIT[0])
        self.encoder = Encoder(jnp.ones((2, 2)), [jnp.ones(2), jnp.full(2, 0.5)], {"gain": jnp.full(3, 2.0)})


@pytest.mark.parametrize(
    "where",
    [
        ["affiliation", "dynamics"],
        lambda model: (model.affiliation, model.dynamics),
        ("affiliation", lambda model: model.dynamics),
    ],
)
def test_several_places_are_mapped_at_once(where):
    model = Model()
    mapped = MappedLogits.map(model, where=where, lower=-1.0)
    assert isinstance(mapped.affiliation, MappedLogits)
    assert mapped.dynamics.lower == -1.0
    np.testing.assert_allclose(np.asarray(mapped.affiliation), UNIT)
    assert isinstance(model.affiliation, jax.Array)


def test_values_are_mapped_inside_a_compiled_function():
    @jax.jit
    def image(value):
        return jnp.asarray(MappedLogits.map({"weight": value}, where="weight")["weight"])

    np.testing.assert_allclose(image(jnp.asarray(UNIT)), UNIT)


def test_addresses_reach_into_modules_sequences_and_dictionaries():
    mapped = PositiveParameter.map(Model(), where=["encoder.weight", "encoder.layers.1", "encoder.table.gain"])
    np.testing.assert_allclose(np.asarray(mapped.encoder.layers[1]), 0.5)
    np.testing.assert_allclose(np.asarray(mapped.encoder.table["gain"]), 2.0)
    assert isinstance(mapped.encoder.layers[0], jax.Array)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("affiliations", "Model has nothing at 'affiliations'"),
        ("encoder.layers.7", "Model has nothing at 'encoder.layers.7'"),
        ("encoder.layers.first", "Model has nothing at"),
        ("encoder.table.bias", "Model has nothing at"),
        (["dynamics", "dynamics"], "is a MappedLogits already"),
        ("n_communities", "only a floating array can be parametrised"),
    ],
)
def test_an_address_of_nothing_that_can_be_mapped_is_refused(where, message):
    with pytest.raises(ValueError, match=message):
        MappedLogits.map(Model(), where=where)


OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]


@pytest.mark.parametrize("operation", OPERATORS)
def test_operators_take_the_image_from_either_side(operation):
    parameter, image = MappedLogits(UNIT), jnp.asarray(MappedLogits(UNIT))
    other = MappedLogits(1 - UNIT)
    for value in (2.0, np.full(3, 0.5), jnp.full(3, 0.5)):
        assert isinstance(operation(value, parameter), jax.Array)
        np.testing.assert_array_equal(operation(parameter, value), operation(image, value))
        np.testing.assert_array_equal(operation(value, parameter), operation(value, image))
    np.testing.assert_array_equal(operation(parameter, other), operation(image, jnp.asarray(other)))


def test_a_parametrised_value_has_the_manners_of_an_array():
    parameter, image = MappedLogits(UNIT), np.asarray(MappedLogits(UNIT))
    assert (parameter.shape, parameter.ndim, parameter.size, len(parameter)) == ((4, 3), 2, 12, 4)
    assert parameter.dtype == np.float64
    np.testing.assert_array_equal(parameter[1:, 0], image[1:, 0])
    np.testing.assert_array_equal(-parameter, -image)
    np.testing.assert_array_equal(+parameter, image)
    np.testing.assert_array_equal(abs(parameter), image)
    np.testing.assert_allclose(parameter @ image.T, image @ image.T)
    np.testing.assert_allclose(image.T @ parameter, image.T @ image)
    np.testing.assert_array_equal(parameter.T, image.T)
    np.testing.assert_allclose(parameter.sum(0), image.sum(0))
    np.testing.assert_allclose(jnp.einsum("ij,ij->i", parameter, parameter), (image**2).sum(1))
    np.testing.assert_array_equal(jnp.concatenate([parameter, parameter])[4:], image)
    np.testing.assert_array_equal(np.stack(list(parameter)), image)
    np.testing.assert_array_equal(np.asarray(parameter, dtype=np.float32), image.astype(np.float32))
    np.testing.assert_allclose(corr(parameter), np.corrcoef(image))
    assert float(MappedLogits(0.25)) == pytest.approx(0.25)
    with pytest.raises(TypeError, match="scalar has no length"):
        len(MappedLogits(0.25))
    with pytest.raises(AttributeError, match="no attribute 'columns'"):
        _ = parameter.columns


def test_a_model_with_parameters_is_trained_inside_their_domains():
    target = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4], [0.05, 0.9, 0.05]])
    model = ProbabilitySimplexParameter.map(Model(), where="affiliation", axis=-1)
    optimiser = optax.adam(0.1)
    state = optimiser.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, state):
        gradient = eqx.filter_grad(lambda model: ((model.affiliation - target) ** 2).sum())(model)
        updates, state = optimiser.update(gradient, state)
        return eqx.apply_updates(model, updates), state

    for _ in range(200):
        model, state = step(model, state)
    np.testing.assert_allclose(model.affiliation.sum(-1), 1.0)
    np.testing.assert_allclose(np.asarray(model.affiliation), target, atol=1e-2)


def test_parameters_are_built_and_read_under_jit():
    built = jax.jit(lambda value: PositiveDefiniteParameter(value).original)(jnp.eye(3))
    np.testing.assert_allclose(built, 0.0, atol=1e-12)
    np.testing.assert_allclose(jax.jit(lambda p: p * 2)(MappedLogits(UNIT)), 2 * UNIT)


def test_single_precision_stays_single():
    value = jnp.asarray(UNIT, jnp.float32)
    for kind in (MappedLogits, TanhParameter, PositiveParameter, NormSphereParameter, OrthogonalParameter):
        assert jnp.asarray(kind(value)).dtype == jnp.float32
