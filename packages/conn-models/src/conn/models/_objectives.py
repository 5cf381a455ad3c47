"""What a community model may maximise: each objective begins, steps, names its affiliation and scores scans."""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
from jaxtyping import Array, Bool, Float
from numpy.typing import NDArray

from conn.functional import (
    MappedLogits,
    ProbabilitySimplexParameter,
    constant_potts_modularity,
    constant_potts_operator,
    corr,
    correlation_modularity,
    correlation_null_operator,
    modularity_matrix,
    quadratic_form,
    relaxed_modularity,
)
from conn.loss import (
    BimodalSymmetricLoss,
    Loss,
    LossApply,
    LossArgument,
    LossScheme,
    ModularityLoss,
    SmoothnessLoss,
    UnpackingLossArgument,
    identity,
    mean_scalarise,
    vnorm_scalarise,
)
from conn.models._factor_start import factor_start
from conn.models._refinement import refined_labels
from conn.models._scans import Scans, smaller
from conn.models._switching import SwitchingParameters, decoded, learned_step, scored, starting_parameters

ObjectiveName = Literal["likelihood", "constant_potts", "correlation", "rectified"]

LINEAR_EPOCHS, LINEAR_RATE = 200, 0.1
"""Steps of a search for communities of a linear modularity, and the learning rate of Adam."""

_SETTLING_STEPS = 20
"""Steps that make refined communities soft again."""

SWITCHING_STEPS = 20
"""Steps that learn when given communities are on."""


class Objective(Protocol):
    """What the search needs of an objective."""

    def initial(self, restart: int) -> Any:
        """Return the state that a restart begins from."""
        ...

    def step(self, state: Any) -> tuple[Any, dict[str, Array]]:
        """Return the state after one epoch, and the terms minimised before it, "Total" among them."""
        ...

    def finished(self, state: Any, level: float) -> tuple[Any, float]:
        """Return the state that a search ends in, given its last one, and how good it is: more is better."""
        ...

    def affiliation(self, state: Any) -> NDArray[np.floating]:
        """Return probabilities of shape (region, community)."""
        ...

    def switching(self, state: Any) -> SwitchingParameters:
        """Return what scans are decoded with."""
        ...

    def dynamics(self, state: Any, switching: SwitchingParameters) -> NDArray[np.floating]:
        """Return the activity in the scans that were learned from, of shape (scan, community, frame)."""
        ...

    def score(self, affiliation: Array, switching: SwitchingParameters | None, scans: Scans) -> float:
        """Return how well other scans are described: more is better."""
        ...


class LikelihoodObjective:
    """Communities and their gates together, by expectation and maximisation."""

    def __init__(self, scans: Scans, n_communities: int, seed: int) -> None:
        self.scans, self.n_communities, self.seed = scans, n_communities, seed

    def initial(self, restart: int) -> SwitchingParameters:
        start = factor_start(self.scans.small, self.n_communities, restart_rng(self.seed, restart))
        # A region follows the community that explains most of it: were all its loadings taken together, communities of
        # many regions with little in common would be expected to say far more than they do, and be found off.
        power = np.maximum(start, 1e-6) ** 2
        shared = power.sum(1)
        return starting_parameters(power / shared[:, None], start.max(1), 1 - shared, self.scans.standardised)

    def step(self, state: SwitchingParameters) -> tuple[SwitchingParameters, dict[str, Array]]:
        scans = self.scans
        share = jnp.asarray(scans.share, scans.series.dtype)
        learned, level = _learned(state, scans.standardised, scans.valid, share, scans.stride, None)
        return learned, {"Total": -level}

    def finished(self, state: SwitchingParameters, level: float) -> tuple[SwitchingParameters, float]:
        return state, level

    def affiliation(self, state: SwitchingParameters) -> NDArray[np.floating]:
        return np.asarray(state.probability)

    def switching(self, state: SwitchingParameters) -> SwitchingParameters:
        return state

    def dynamics(self, state: SwitchingParameters, switching: SwitchingParameters) -> NDArray[np.floating]:
        return decoded_scans(switching, self.scans, self.scans)

    def score(self, affiliation: Array, switching: SwitchingParameters | None, scans: Scans) -> float:
        if switching is None:
            raise TypeError("the likelihood is that of switching parameters")
        return float(_scored(switching, scans.standardised, scans.valid, self.scans.stride))


class LinearObjective:
    """A modularity that is linear in the signed correlation: one operator holds all scans."""

    def __init__(
        self,
        scans: Scans,
        n_communities: int,
        seed: int,
        *,
        null: Literal["constant_potts", "correlation"],
        resolution: float,
        learning_rate: float = LINEAR_RATE,
        refine: bool = False,
    ) -> None:
        self.scans, self.n_communities, self.seed, self.refine = scans, n_communities, seed, refine
        self.null, self.resolution = null, resolution
        pooled = scans.pooled
        if null == "constant_potts":
            expected = constant_potts_operator(pooled)
        else:
            expected = correlation_null_operator(pooled, n_frames=scans.n_independent)
        modularity = smaller(pooled - resolution * expected, scans.valid.size)
        self._modularity, self._learning_rate = modularity, jnp.asarray(learning_rate, scans.series.dtype)

    def initial(self, restart: int) -> tuple[Array, Any]:
        start = factor_start(self.scans.small, self.n_communities, restart_rng(self.seed, restart))
        shares = np.square(start) / np.square(start).sum(1, keepdims=True)
        logits = jnp.asarray(0.5 * np.log(shares + 1e-2), self.scans.series.dtype)
        return logits, optax.adam(self._learning_rate).init(logits)

    def step(self, state: tuple[Array, Any]) -> tuple[tuple[Array, Any], dict[str, Array]]:
        state, value = _linear_step(state, self._modularity, self._learning_rate)
        return state, {"Total": value}

    def finished(self, state: tuple[Array, Any], level: float) -> tuple[tuple[Array, Any], float]:
        """Return communities whose likeliest partition is refined, where asked for and better, and soft again."""
        if not self.refine or not isinstance(self._modularity, lx.MatrixLinearOperator):
            return state, level
        level = -self._total(state)
        labels = np.asarray(state[0]).argmax(-1)
        refined = refined_labels(np.asarray(self._modularity.as_matrix()), labels, self.n_communities)
        if (refined == labels).all():
            return state, level
        logits = _likeliest(state[0], refined)
        proposed = logits, optax.adam(self._learning_rate).init(logits)
        for _ in range(_SETTLING_STEPS):
            proposed, _ = self.step(proposed)
        proposed = _likeliest(proposed[0], refined), proposed[1]
        proposed_level = -self._total(proposed)
        return (proposed, proposed_level) if proposed_level > level else (state, level)

    def _total(self, state: tuple[Array, Any]) -> float:
        return float(self.step(state)[1]["Total"])

    def affiliation(self, state: tuple[Array, Any]) -> NDArray[np.floating]:
        return np.asarray(jax.nn.softmax(state[0], -1))

    def switching(self, state: tuple[Array, Any]) -> SwitchingParameters:
        return switching_of(self.affiliation(state), self.scans)

    def dynamics(self, state: tuple[Array, Any], switching: SwitchingParameters) -> NDArray[np.floating]:
        return decoded_scans(switching, self.scans, self.scans)

    def score(self, affiliation: Array, switching: SwitchingParameters | None, scans: Scans) -> float:
        if self.null == "constant_potts":
            return float(constant_potts_modularity(scans.pooled, affiliation, gamma=self.resolution))
        return float(
            correlation_modularity(scans.pooled, affiliation, n_frames=scans.n_independent, gamma=self.resolution)
        )


@eqx.filter_jit
def _linear_step(
    state: tuple[Array, Any], modularity: lx.AbstractLinearOperator, learning_rate: Array
) -> tuple[tuple[Array, Any], Array]:
    """Return the state after a step uphill, and minus the objective before it."""
    logits, memory = state
    n_regions = logits.shape[0]

    def objective(logits: Array) -> Array:
        return -quadratic_form(modularity, jax.nn.softmax(logits, -1)).sum(-1) / n_regions**2

    value, gradient = jax.value_and_grad(objective)(logits)
    # The optimiser's steps have no size of their own, and so the objective's scale does not matter to it.
    updates, memory = optax.adam(learning_rate).update(gradient * n_regions, memory, logits)
    return (jnp.asarray(optax.apply_updates(logits, updates)), memory), value


class RectifiedObjective:
    """The published example: modularity of rectified correlations, and weights of frames learned beside it."""

    def __init__(
        self,
        scans: Scans,
        n_communities: int,
        seed: int,
        *,
        resolution: float,
        learning_rate: float,
        strengths: tuple[float, float, float, float],
    ) -> None:
        self.scans, self.n_communities, self.seed, self.resolution = scans, n_communities, seed, resolution
        self._scheme = _rectified_scheme(resolution, *strengths)
        self._static = corr(scans.series, mask=scans.valid)
        self._learning_rate = jnp.asarray(learning_rate, scans.series.dtype)

    def initial(self, restart: int) -> "tuple[_Weighting, Any]":
        key = jax.random.PRNGKey(self.seed)
        state = _Weighting.initial(
            self.n_communities, self.scans.series.shape, jax.random.fold_in(key, restart) if restart else key
        )
        return state, optax.adam(self._learning_rate).init(eqx.filter(state, eqx.is_inexact_array))

    def step(self, state: "tuple[_Weighting, Any]") -> "tuple[tuple[_Weighting, Any], dict[str, Array]]":
        inputs = self.scans.series, self.scans.valid, self._static
        return _rectified_step(state, inputs, self._scheme, self.resolution, self._learning_rate)

    def finished(self, state: "tuple[_Weighting, Any]", level: float) -> "tuple[tuple[_Weighting, Any], float]":
        return state, level

    def affiliation(self, state: "tuple[_Weighting, Any]") -> NDArray[np.floating]:
        return np.asarray(jnp.asarray(state[0].affiliation))

    def switching(self, state: "tuple[_Weighting, Any]") -> SwitchingParameters:
        return switching_of(self.affiliation(state), self.scans)

    def dynamics(self, state: "tuple[_Weighting, Any]", switching: SwitchingParameters) -> NDArray[np.floating]:
        return np.asarray(jnp.asarray(state[0].dynamics))

    def score(self, affiliation: Array, switching: SwitchingParameters | None, scans: Scans) -> float:
        return float(
            relaxed_modularity(corr(scans.series, mask=scans.valid), affiliation, gamma=self.resolution).mean()
        )


@eqx.filter_jit
def _rectified_step(
    state: "tuple[_Weighting, Any]",
    inputs: tuple[Array, Array, Array],
    scheme: LossScheme,
    resolution: float,
    learning_rate: Array,
) -> "tuple[tuple[_Weighting, Any], dict[str, Array]]":
    """Return the state after a step downhill, and the loss before it, term by term."""
    parameters, memory = state

    def objective(parameters: _Weighting) -> Any:
        return scheme(parameters.outputs(*inputs, resolution=resolution))

    (total, terms), gradient = eqx.filter_value_and_grad(objective, has_aux=True)(parameters)
    trained = eqx.filter(parameters, eqx.is_inexact_array)
    updates, memory = optax.adam(learning_rate).update(gradient, memory, trained)
    values = {"Total": total} | {name: term.value for name, term in terms.items()}
    return (eqx.apply_updates(parameters, updates), memory), values


def restart_rng(seed: int, restart: int) -> np.random.Generator | None:
    """Return the random numbers of a restart; the first one turns nothing, and needs none."""
    return np.random.default_rng([seed, restart]) if restart else None


def _likeliest(logits: Array, labels: NDArray[np.integer]) -> Array:
    """Return logits of which each region's largest is that of its label: the two change places."""
    values = np.array(logits)
    regions, largest = np.arange(len(values)), values.argmax(-1)
    values[regions, labels], values[regions, largest] = values[regions, largest], values[regions, labels]
    return jnp.asarray(values)


def switching_of(affiliation: NDArray[np.floating], scans: Scans) -> SwitchingParameters:
    """Return when given communities are on, learned with the affiliation held."""
    fixed = jnp.asarray(affiliation, scans.series.dtype)
    size = 0.5 * affiliation.max(1)
    parameters = starting_parameters(affiliation, size, 1 - 0.25 * (affiliation**2).sum(1), scans.standardised)
    share = jnp.asarray(scans.share, scans.series.dtype)
    for _ in range(SWITCHING_STEPS):
        parameters, _ = _learned(parameters, scans.standardised, scans.valid, share, scans.stride, fixed)
    return parameters


def decoded_scans(switching: SwitchingParameters, learned: Scans, scans: Scans) -> NDArray[np.floating]:
    """Return the probability that each community is on at each frame of scans."""
    share = jnp.asarray(learned.share, scans.series.dtype)
    return np.asarray(_decoded(switching, scans.standardised, scans.valid, share, learned.stride))


_learned: Callable[..., tuple[SwitchingParameters, Array]] = jax.jit(learned_step, static_argnums=4)
_scored: Callable[..., Array] = jax.jit(scored, static_argnums=3)
_decoded: Callable[..., Array] = jax.jit(decoded, static_argnums=4)


@cache
def _rectified_scheme(
    resolution: float, modularity_nu: float, dynamics_nu: float, smoothness_nu: float, bimodality_nu: float
) -> LossScheme:
    """Return the objective of the published example, term by term."""
    return LossScheme(
        [
            LossApply(
                ModularityLoss(modularity_nu, gamma=resolution),
                apply=lambda out: UnpackingLossArgument(A=out.correlation, Q=out.affiliation),
            ),
            LossApply(
                Loss(dynamics_nu, "DynamicCommunities", score=identity),
                apply=lambda out: -out.cohesion,
            ),
            LossScheme(
                [
                    SmoothnessLoss(smoothness_nu, scalarisation=mean_scalarise(inner=vnorm_scalarise(axis=-1))),
                    BimodalSymmetricLoss(bimodality_nu),
                ],
                apply=lambda out: out.dynamics,
            ),
        ]
    )


class _Weighting(eqx.Module):
    """What the optimiser moves: both parameters, each behind its constraint."""

    affiliation: Any
    dynamics: Any

    @classmethod
    def initial(cls, n_communities: int, shape: tuple[int, ...], key: Array) -> "_Weighting":
        n_scans, n_regions, n_frames = shape
        of_regions, of_frames = jax.random.split(key)
        state = cls(
            affiliation=1.0 + 0.01 * jax.random.normal(of_regions, (n_regions, n_communities)),
            dynamics=0.5 + 0.001 * jax.random.normal(of_frames, (n_scans, n_communities, n_frames)),
        )
        return MappedLogits.map(ProbabilitySimplexParameter.map(state, where="affiliation"), where="dynamics")

    def outputs(
        self,
        series: Float[Array, "scan region frame"],
        valid: Bool[Array, "scan frame"],
        correlation: Float[Array, "scan region region"],
        *,
        resolution: float,
    ) -> LossArgument:
        affiliation, dynamics = jnp.asarray(self.affiliation), jnp.asarray(self.dynamics)

        def cohesion_of_scan(scan: tuple[Array, Array, Array]) -> Array:
            x, mask, activity = scan
            matrices = modularity_matrix(
                corr(x[None], weight=activity, mask=mask[None]), gamma=resolution, normalise_modularity=True
            )
            # The sum over pairs of co-affiliation times modularity, and no co-affiliation matrix is made for it.
            pairs = jnp.einsum("ic,cij,jc->c", affiliation, matrices, affiliation)
            alone = jnp.einsum("ic,cii->c", affiliation**2, matrices)
            return pairs - alone

        return LossArgument(
            affiliation=affiliation,
            dynamics=dynamics,
            correlation=correlation,
            # Scan by scan, so that the matrices of all communities exist for one scan at a time.
            cohesion=jax.lax.map(cohesion_of_scan, (series, valid, dynamics)),
        )
