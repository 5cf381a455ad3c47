import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conn.loss import (
    BimodalSymmetricLoss,
    Loss,
    LossApply,
    LossArgument,
    LossScheme,
    ModularityLoss,
    SecondMomentLoss,
    SmoothnessLoss,
    UnpackingLossArgument,
    gradient_norms,
    identity,
    mean_scalarise,
    sum_scalarise,
    vnorm_scalarise,
)


@pytest.fixture
def outputs():
    return LossArgument(
        weights=jnp.kron(jnp.eye(2), jnp.ones((3, 3))),
        affiliation=jnp.kron(jnp.eye(2), jnp.ones((3, 1))),
        activity=jnp.array([[0.0, 0.5, 1.0], [1.0, 1.0, 0.25]]),
    )


@pytest.fixture
def scheme():
    return LossScheme(
        [
            LossApply(
                ModularityLoss(nu=2.0), apply=lambda out: UnpackingLossArgument(A=out.weights, Q=out.affiliation)
            ),
            LossApply(Loss(nu=0.5, name="Size", score=identity), apply=lambda out: out.activity),
            LossScheme(
                [
                    SmoothnessLoss(nu=0.1, scalarisation=mean_scalarise(inner=vnorm_scalarise(axis=-1))),
                    BimodalSymmetricLoss(nu=3.0),
                ],
                apply=lambda out: out.activity,
            ),
        ]
    )


def test_the_total_is_the_sum_of_the_terms_and_each_is_named(scheme, outputs):
    total, meta = scheme(outputs)
    assert list(meta) == ["Modularity", "Size", "Smoothness", "BimodalSymmetric"] == list(scheme.names)
    assert float(total) == pytest.approx(sum(float(term.value) for term in meta.values()))
    assert float(meta["Modularity"].value) == pytest.approx(-1.0)  # 2 x -(1 - 1/2)
    assert float(meta["Size"].value) == pytest.approx(0.5 * float(outputs.activity.mean()))
    assert float(meta["BimodalSymmetric"].value) == pytest.approx(3 * (0.5 + 0.25) / 6)
    assert meta["BimodalSymmetric"].nu == 3.0


def test_jit_and_gradient_agree_with_the_eager_scheme(scheme, outputs):
    total, meta = scheme(outputs)
    fast, fast_meta = eqx.filter_jit(scheme)(outputs)
    assert float(fast) == pytest.approx(float(total), rel=1e-6)
    assert {name: float(v.value) for name, v in fast_meta.items()} == pytest.approx(
        {name: float(v.value) for name, v in meta.items()}
    )
    gradient = jax.grad(lambda out: scheme(out)[0])(outputs)
    assert isinstance(gradient, LossArgument)
    assert np.isfinite(gradient.activity).all()
    assert np.abs(gradient.activity).sum() > 0


def test_a_key_reaches_each_loss_and_they_differ():
    seen = []

    class Drawing(Loss):
        def __call__(self, *arguments, key=None, **named):
            seen.append(key)
            return super().__call__(*arguments, **named)

    scheme = LossScheme([Drawing(name="a", score=identity), Drawing(name="b", score=identity)])
    scheme(jnp.zeros(2), key=jax.random.PRNGKey(0))
    assert not np.array_equal(seen[0], seen[1])


def test_a_scheme_inside_loss_apply_is_flattened():
    inner = LossScheme([SmoothnessLoss(), BimodalSymmetricLoss()])
    total, meta = LossScheme([LossApply(inner, apply=lambda out: out.x)])(LossArgument(x=jnp.array([0.0, 1.0])))
    assert (float(total), list(meta)) == (1.0, ["Smoothness", "BimodalSymmetric"])
    assert (len(inner), [loss.name for loss in inner]) == (2, ["Smoothness", "BimodalSymmetric"])


def test_equal_names_are_refused_however_deep():
    """The original lets the second term of a name overwrite the first."""
    with pytest.raises(ValueError, match="stand twice: Smoothness"):
        LossScheme([SmoothnessLoss(), LossScheme([SmoothnessLoss(), BimodalSymmetricLoss()])])


def test_an_empty_scheme_is_refused():
    with pytest.raises(ValueError, match="at least one loss"):
        LossScheme([])


def test_a_missing_output_raises_and_names_those_there(outputs):
    """The original returns None, so that a typing error passes silently."""
    with pytest.raises(AttributeError, match="'afiliation' here; there are: activity, affiliation, weights"):
        _ = outputs.afiliation


def test_outputs_are_immutable_and_cannot_hide_a_method(outputs):
    with pytest.raises(AttributeError, match="immutable"):
        outputs.activity = 0
    with pytest.raises(ValueError, match="items"):
        LossArgument(items=1)


def test_a_loss_whose_argument_is_called_values_can_be_reached():
    apply = LossApply(
        SecondMomentLoss(), apply=lambda out: UnpackingLossArgument(values=out.series, assignment=out.parcels)
    )
    outputs = LossArgument(series=jnp.array([[1.0], [3.0]]), parcels=jnp.ones((1, 2)))
    assert float(apply(outputs)) == 1.0
    assert float(jax.tree.map(lambda x: 2 * x, UnpackingLossArgument(values=1.0))["values"]) == 2.0


def test_outputs_are_a_mapping_and_a_tree(outputs):
    assert set(outputs) == {"weights", "affiliation", "activity"}
    assert repr(outputs) == "LossArgument(weights, affiliation, activity)"
    doubled = jax.tree.map(lambda x: 2 * x, outputs)
    np.testing.assert_array_equal(doubled["activity"], 2 * outputs.activity)


def test_only_a_loss_has_one_name_and_one_strength():
    apply = LossApply(SmoothnessLoss(nu=2.0), apply=identity)
    assert (apply.name, apply.nu) == ("Smoothness", 2.0)
    whole = LossApply(LossScheme([SmoothnessLoss()]), apply=identity)
    with pytest.raises(AttributeError, match="names of its terms"):
        _ = whole.name
    with pytest.raises(AttributeError, match="strengths of its terms"):
        _ = whole.nu


def test_an_argument_that_is_not_unpacked_is_passed_as_one():
    loss = Loss(score=lambda pair: pair["a"] - pair["b"], scalarisation=sum_scalarise())
    apply = LossApply(loss, apply=lambda out: {"a": out.x, "b": 1.0})
    assert float(apply(LossArgument(x=jnp.array(3.0)))) == 2.0


def test_strengths_follow_a_schedule_inside_a_scheme_and_under_jit(outputs):
    ramp = lambda step: 0.5 * step
    scheme = LossScheme([LossApply(BimodalSymmetricLoss(nu=ramp), apply=lambda out: out.activity)])
    fixed = BimodalSymmetricLoss()(outputs.activity)
    total, meta = jax.jit(lambda step: scheme(outputs, step=step))(4)
    assert float(total) == pytest.approx(2 * float(fixed))
    assert float(meta["BimodalSymmetric"].nu) == 2.0
    with pytest.raises(ValueError, match="'BimodalSymmetric' is a schedule"):
        scheme(outputs)


def test_the_gradient_norm_of_each_term_is_that_of_its_own_gradient(scheme, outputs):
    norms = jax.jit(lambda out: gradient_norms(scheme, out))(outputs)
    assert set(norms) == set(scheme.names)
    for name, norm in norms.items():
        gradient = jax.grad(lambda out, name=name: scheme(out)[1][name].value)(outputs)
        alone = np.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(gradient)))
        assert float(norm) == pytest.approx(alone, rel=1e-5)


def test_a_scheme_is_printed_as_a_tree_of_its_strengths(scheme):
    assert str(scheme).splitlines() == [
        "LossScheme",
        "├── Modularity (nu = 2.0)",
        "├── Size (nu = 0.5)",
        "└── LossScheme",
        "    ├── Smoothness (nu = 0.1)",
        "    └── BimodalSymmetric (nu = 3.0)",
    ]
    assert "a schedule" in str(LossScheme([SmoothnessLoss(nu=lambda step: step)]))
