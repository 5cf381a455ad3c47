"""Alignment of gradients: SciPy and BrainSpace, planted rotations, repeated singular values, refusals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from brainspace.gradient import GradientMaps, ProcrustesAlignment
from brainspace.gradient import alignment as brainspace_alignment
from op_case import OpCase

from conn.functional import affinity, diffusion_map, generalised_procrustes, joint_embedding, procrustes

NOT_OPERATIONS = {"Alignment": "what procrustes returns", "GroupAlignment": "what generalised_procrustes returns"}


def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(6, 3)), rng.normal(size=(6, 3))


def group(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(6, 2)) + 0.3 * rng.normal(size=(3, 6, 2)),)


def rotation(rng: np.random.Generator, size: int = 3) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def _scipy(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    turn, _ = scipy.linalg.orthogonal_procrustes(source, target)
    return source @ turn, turn, np.ones(())


def _brainspace(stack: np.ndarray, **settings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = ProcrustesAlignment(n_iter=10, tol=0.0, **settings).fit(list(stack))
    return np.stack(found.aligned_), np.stack(found.transforms_), found.mean_


ORTHONORMAL = np.eye(6, 3)
OP_CASES = [
    OpCase(
        "procrustes",
        procrustes,
        pair,
        "scipy.linalg.orthogonal_procrustes",
        _scipy,
        degenerate={
            "equal singular values": (ORTHONORMAL, ORTHONORMAL[:, ::-1]),
            "a source of zeros": (np.zeros((6, 3)), ORTHONORMAL),
        },
    ),
    OpCase(
        "procrustes",
        lambda source, target: procrustes(source, target, centre=True, scale=True).aligned,
        pair,
        "brainspace.gradient.alignment.procrustes",
        partial(brainspace_alignment.procrustes, center=True, scale=True),
        degenerate={"a constant source": (np.ones((6, 3)), ORTHONORMAL)},
    ),
    OpCase(
        "generalised_procrustes",
        lambda stack: generalised_procrustes(stack)[:3],
        group,
        "brainspace.gradient.ProcrustesAlignment",
        _brainspace,
        degenerate={"equal subjects": (np.stack([np.eye(6, 2)] * 3),), "zeros": (np.zeros((3, 6, 2)),)},
    ),
    OpCase(
        "joint_embedding",
        lambda profiles: joint_embedding(profiles, 2, sparsity=None),
        lambda rng: (rng.uniform(size=(2, 4, 5)),),
        "property: a subject given twice is embedded twice at the same place, which is its own",
        degenerate={"all subjects alike": (np.stack([np.eye(4, 5) + 0.1] * 2),)},
    ),
]


def test_a_planted_rotation_is_undone(rng):
    target, _ = pair(rng)
    turn = rotation(rng)
    found = procrustes(2.0 * (target - 1.0) @ turn.T, target, centre=True, scale=True)
    np.testing.assert_allclose(found.aligned, target, atol=1e-12)
    np.testing.assert_allclose(found.rotation, turn, atol=1e-12)
    np.testing.assert_allclose(found.scale, 0.5, rtol=1e-12)


def test_planted_rotations_of_a_group_are_undone_and_the_reference_has_converged(rng):
    one = rng.normal(size=(8, 3))
    turned = np.stack([one] + [one @ rotation(rng) for _ in range(3)])
    found = jax.jit(generalised_procrustes)(turned)
    np.testing.assert_allclose(found.aligned, np.stack([one] * 4), atol=1e-12)
    assert float(found.change) < 1e-12
    noisy = turned + 0.3 * rng.normal(size=turned.shape)
    few, many = jax.jit(lambda x: [generalised_procrustes(x, n_iterations=n).change for n in (1, 20)])(noisy)
    assert float(many) < 1e-3 * float(few)


def test_one_iteration_keeps_the_reference_as_the_only_target(rng):
    (stack,) = group(rng)
    reference = rng.normal(size=(6, 2))
    found, expected = jax.jit(
        lambda x: (generalised_procrustes(x, reference=reference, n_iterations=1), procrustes(x, reference))
    )(stack)
    np.testing.assert_allclose(found.aligned, expected.aligned, atol=1e-12)
    np.testing.assert_allclose(found.reference, np.asarray(found.aligned).mean(0), atol=1e-12)


def test_centred_and_scaled_groups_are_brainspaces(rng):
    (stack,) = group(rng)
    found = jax.jit(partial(generalised_procrustes, centre=True, scale=True))(stack)
    expected = _brainspace(stack, center=True, scale=True)
    np.testing.assert_allclose(found.aligned, expected[0], atol=1e-10)
    np.testing.assert_allclose(found.reference, expected[2], atol=1e-10)


@pytest.mark.parametrize("values", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (2.0, 1.0, 1e-2)])
def test_repeated_singular_values_give_the_exact_derivative(rng, values):
    target = np.linalg.qr(rng.normal(size=(6, 3)))[0]
    source = target @ (rotation(rng) * values) @ rotation(rng)
    probe, direction = rng.normal(size=(2, 6, 3))

    @jax.jit
    def loss(x):
        return (probe * procrustes(x, target).aligned).sum()

    step = 1e-6
    numeric = (loss(source + step * direction) - loss(source - step * direction)) / (2 * step)
    np.testing.assert_allclose((jax.grad(loss)(source) * direction).sum(), numeric, rtol=1e-6)


def test_a_joint_embedding_puts_the_same_subject_twice_at_its_own_place(rng):
    profiles = rng.uniform(size=(8, 10))
    both, alone = jax.jit(
        lambda x: (joint_embedding(jnp.stack([x, x]), 3, sparsity=0.5), diffusion_map(affinity(x, sparsity=0.5), 3))
    )(profiles)
    np.testing.assert_allclose(both.eigenvalues, alone.eigenvalues, rtol=1e-9)
    for subject in both.gradients:
        np.testing.assert_allclose(subject, alone.gradients, atol=1e-9)


def test_a_joint_embedding_is_brainspaces(rng):
    profiles = rng.uniform(size=(2, 8, 10))
    settings = {"embedding": "laplacian_eigenmaps", "sparsity": 0.5}
    ours = jax.jit(partial(joint_embedding, n_components=3, **settings))(profiles)
    theirs = GradientMaps(3, approach="le", kernel="normalized_angle", alignment="joint", random_state=0)
    theirs.fit(list(profiles), sparsity=0.5)
    np.testing.assert_allclose(ours.gradients, np.stack(theirs.aligned_), atol=1e-9)


def test_leading_axes_are_a_batch(rng):
    (stack,) = group(rng)
    several = jnp.stack([stack, stack[::-1]])
    align = jax.jit(generalised_procrustes)
    for together, one in zip(align(several).aligned, several, strict=True):
        np.testing.assert_allclose(together, align(one).aligned, atol=1e-12)
    profiles = rng.uniform(size=(2, 2, 4, 5))
    embed = jax.jit(partial(joint_embedding, n_components=2, sparsity=None))
    for together, one in zip(embed(profiles).gradients, profiles, strict=True):
        np.testing.assert_allclose(together, embed(one).gradients, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: procrustes(np.ones((4, 2)), np.ones((4, 3))), "same regions and components"),
        (lambda: procrustes(np.ones(4), np.ones(4)), r"source must have shape"),
        (lambda: procrustes(np.full((4, 2), np.nan), np.ones((4, 2)), check=True), "source holds NaN"),
        (lambda: generalised_procrustes(np.ones((4, 2))), "subject, region, component"),
        (lambda: generalised_procrustes(np.ones((3, 4, 2)), n_iterations=0), "at least 1, and is 0"),
        (lambda: generalised_procrustes(np.ones((3, 4, 2)), reference=np.ones((5, 2))), "reference must have"),
        (lambda: joint_embedding(np.ones((2, 3, 4)), 2, embedding="pca"), "embedding must be one of diffusion_map"),
        (lambda: joint_embedding(np.ones((2, 3, 4)), 2, kernel=None), "needs a kernel"),
    ],
)
def test_what_cannot_be_aligned_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
