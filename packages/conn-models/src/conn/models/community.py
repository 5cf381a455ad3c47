"""Communities of regions that all scans share, and when each of them is active in each scan."""

import time
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from conn.functional import (
    MappedLogits,
    ProbabilitySimplexParameter,
    corr,
    modularity_matrix,
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

__all__ = ["DynamicCommunityModel"]


class DynamicCommunityModel:
    r"""Soft communities shared by all scans, and their activity at every frame of every scan.

    Two things are learned: the affiliation of each region, on the simplex of communities and common to all scans, and
    the activity of each community in (0, 1) at each frame of each scan. Four terms are minimised (Adam): minus the
    modularity of the affiliation on each scan's correlations; minus the weight that each community holds together in
    the modularity matrix of the scan's correlations *weighted by the community's activity*; roughness of the activity;
    and its distance from on and off.

    Parameters
    ----------
    n_communities : int, default 10
        How many communities there may be; some may stay empty.
    resolution : float, default 5
        :math:`\gamma` of the modularity. Correlations are dense: at 1 a few large communities win.
    n_epochs : int, default 500
        Steps of the optimiser, each over all scans.
    learning_rate : float, default 0.05
        Of Adam.
    modularity_nu, dynamics_nu, smoothness_nu, bimodality_nu : float
        Strengths of the four terms; by default those of the published example.
    seed : int, default 0
        Of the initial values. Same seed, same result.
    progress : bool, default True
        Show a bar.

    Attributes
    ----------
    affiliation_ : array, shape (region, community)
        Probabilities.
    labels_ : array of int, shape (region,)
        The likeliest community of each region.
    dynamics_ : array, shape (scan, community, frame)
        Activity between 0 and 1; NaN at masked frames.
    history_ : dict of str to array, shape (epoch,)
        The objective ("Total") and each term, strength included, before each step.
    seconds_per_epoch_ : float
        Median wall time of a step, compilation apart.

    Notes
    -----
    With the published strengths the activity is governed by its two regularisers; read `dynamics_` as a smooth
    weighting of frames, not as a decoded state sequence. At the published learning rate of 0.05 the affiliation stays
    near the uniform one for about 30 epochs; 0.2 leaves it within ten, for looks at the data with few epochs.

    References
    ----------
    .. [1] Ciric et al. (2022), Differentiable programming for functional connectomics, Machine Learning for Health.
    .. [2] Newman (2006). doi:10.1073/pnas.0601602103

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> signal = np.repeat(rng.standard_normal((2, 2, 60)), 5, axis=1)  # two scans, two communities of five regions
    >>> scans = signal + 0.5 * rng.standard_normal(signal.shape)
    >>> model = DynamicCommunityModel(2, resolution=1.0, n_epochs=60, progress=False).fit(scans)
    >>> len(set(model.labels_[:5])), len(set(model.labels_[5:])), len(set(model.labels_))
    (1, 1, 2)
    """

    def __init__(
        self,
        n_communities: int = 10,
        *,
        resolution: float = 5.0,
        n_epochs: int = 500,
        learning_rate: float = 0.05,
        modularity_nu: float = 10.0,
        dynamics_nu: float = 2e-3,
        smoothness_nu: float = 0.2,
        bimodality_nu: float = 2.0,
        seed: int = 0,
        progress: bool = True,
    ):
        for name, number in (("n_communities", n_communities), ("n_epochs", n_epochs)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, and is {number}")
        if learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, and is {learning_rate}")
        self.n_communities = n_communities
        self.resolution = resolution
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.modularity_nu = modularity_nu
        self.dynamics_nu = dynamics_nu
        self.smoothness_nu = smoothness_nu
        self.bimodality_nu = bimodality_nu
        self.seed = seed
        self.progress = progress

    affiliation_: NDArray[np.floating]
    labels_: NDArray[np.integer]
    dynamics_: NDArray[np.floating]
    history_: dict[str, NDArray[np.floating]]
    seconds_per_epoch_: float

    def fit(self, time_series: ArrayLike, *, mask: ArrayLike | None = None) -> Self:
        """Return the model, fitted to scans.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            Signals in any unit.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts. Masked frames never enter a correlation; the activity there is free.

        Returns
        -------
        DynamicCommunityModel
            This model.

        Raises
        ------
        ValueError
            If the shapes do not fit, or a frame that counts holds NaN or infinity.
        """
        series, valid = _checked(time_series, mask)
        state = _State.initial(self.n_communities, series.shape, jax.random.PRNGKey(self.seed))
        scheme = self._scheme()
        static = corr(series, mask=valid)
        optimiser = optax.adam(self.learning_rate)
        memory = optimiser.init(eqx.filter(state, eqx.is_inexact_array))

        @eqx.filter_jit
        def step(state: _State, memory: Any, inputs: tuple[Array, Array, Array]) -> tuple[_State, Any, Any]:
            def objective(state: _State) -> Any:
                return scheme(state.outputs(*inputs, resolution=self.resolution))

            (total, terms), gradient = eqx.filter_value_and_grad(objective, has_aux=True)(state)
            updates, memory = optimiser.update(gradient, memory, eqx.filter(state, eqx.is_inexact_array))
            values = {"Total": total} | {name: term.value for name, term in terms.items()}
            return eqx.apply_updates(state, updates), memory, values

        history: dict[str, list[float]] = {}
        seconds = []
        for _ in (
            bar := tqdm(range(self.n_epochs), desc="fitting communities", unit="epoch", disable=not self.progress)
        ):
            start = time.perf_counter()
            state, memory, values = step(state, memory, (series, valid, static))
            for name, value in values.items():
                history.setdefault(name, []).append(float(value))
            seconds.append(time.perf_counter() - start)
            bar.set_postfix(objective=f"{history['Total'][-1]:.4f}")
        if not np.isfinite(history["Total"][-1]):
            raise ValueError("the objective is not finite any more: lower the learning rate")
        self.affiliation_ = np.asarray(jnp.asarray(state.affiliation))
        self.labels_ = self.affiliation_.argmax(-1)
        activity = np.asarray(jnp.asarray(state.dynamics))
        self.dynamics_ = np.where(np.asarray(valid)[:, None, :], activity, np.nan)
        self.history_ = {name: np.asarray(values) for name, values in history.items()}
        self.seconds_per_epoch_ = float(np.median(seconds[1:] or seconds))
        return self

    def score(self, time_series: ArrayLike, *, mask: ArrayLike | None = None) -> float:
        """Return the modularity of the learned affiliation on scans, averaged over them.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            Scans of the same regions, in the same order; for an honest number, scans that were not fitted.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts.

        Returns
        -------
        float
            More is better; comparable at one resolution only.

        Raises
        ------
        AttributeError
            If the model was not fitted.
        ValueError
            If the shapes do not fit.
        """
        if not hasattr(self, "affiliation_"):
            raise AttributeError("this model has nothing to score with yet: call fit first")
        series, valid = _checked(time_series, mask)
        if series.shape[1] != len(self.affiliation_):
            raise ValueError(
                f"the model knows {len(self.affiliation_)} regions, and these scans have {series.shape[1]}"
            )
        return float(relaxed_modularity(corr(series, mask=valid), self.affiliation_, gamma=self.resolution).mean())

    def _scheme(self) -> LossScheme:
        """Return the objective, term by term."""
        return LossScheme(
            [
                LossApply(
                    ModularityLoss(self.modularity_nu, gamma=self.resolution),
                    apply=lambda out: UnpackingLossArgument(A=out.correlation, Q=out.affiliation),
                ),
                LossApply(
                    Loss(self.dynamics_nu, "DynamicCommunities", score=identity),
                    apply=lambda out: -out.cohesion,
                ),
                LossScheme(
                    [
                        SmoothnessLoss(
                            self.smoothness_nu, scalarisation=mean_scalarise(inner=vnorm_scalarise(axis=-1))
                        ),
                        BimodalSymmetricLoss(self.bimodality_nu),
                    ],
                    apply=lambda out: out.dynamics,
                ),
            ]
        )


class _State(eqx.Module):
    """What the optimiser moves: both parameters, each behind its constraint."""

    affiliation: Any
    dynamics: Any

    @classmethod
    def initial(cls, n_communities: int, shape: tuple[int, ...], key: Array) -> "_State":
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


def _checked(time_series: ArrayLike, mask: ArrayLike | None) -> tuple[Array, Array]:
    """Return the scans with masked frames emptied, and the mask; refuse what cannot be fitted."""
    series = np.asarray(time_series, dtype=np.result_type(np.asarray(time_series).dtype, np.float32))
    if series.ndim != 3:
        raise ValueError(f"scans must have shape (scan, region, frame), and have shape {series.shape}")
    valid = np.ones((len(series), series.shape[-1]), bool) if mask is None else np.asarray(mask, bool)
    if valid.shape != (len(series), series.shape[-1]):
        raise ValueError(f"mask must have shape {(len(series), series.shape[-1])}, and has shape {valid.shape}")
    series = np.where(valid[:, None, :], series, 0)
    for scan, values in enumerate(series):
        if not np.isfinite(values).all():
            region, frame = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(
                f"scan {scan} holds {values[region, frame]} in region {region} at frame {frame}: mask such frames"
            )
    return jnp.asarray(series), jnp.asarray(valid)
