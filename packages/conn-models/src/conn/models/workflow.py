"""A whole workflow, from series to connectomes, whose choices are weights that a loss moves."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from conn.functional import ProbabilitySimplexParameter
from conn.loss import LossApply, LossArgument, LossScheme, entropy
from conn.models.workflow_program import Program, connectomes, prepare
from conn.models.workflow_stages import Band, Censoring, Kind, Runs, Stages

__all__ = ["Workflow"]


class Workflow:
    r"""Filter, confound regression, censoring, parcellation and connectome as one differentiable program.

    Each stage has named alternatives, and a weight of each on the simplex: the stage's output is their convex
    combination. A loss of the connectomes (QC-FC, identification, ...) moves the weights. Where one weight of each
    stage is 1, a *vertex*, the program is the conventional pipeline: the order and the results of
    `nilearn.signal.clean` (as `conn.functional.clean`) and `nilearn.connectome.ConnectivityMeasure`.

    Parameters
    ----------
    filter : mapping of str to (float or None, float or None) or None, optional
        Pass bands of Butterworth filters, in hertz; None for no filter. By default nothing is filtered.
    confounds : mapping of str to sequence of str, optional
        Groups of the runs' confounds that are regressed out; an empty list for none. By default none.
    censoring : mapping of str to float, Censoring or None, optional
        Rules, or thresholds of motion in millimetres; None for none. By default no frame is censored.
    parcellation : mapping of str to array, shape (parcel, vertex), optional
        Weights of vertices in parcels, not negative; means over vertices are taken. All have one shape and the same
        parcels in the same order, since their series are mixed. By default the series are those of regions already.
    connectome : sequence of {"full", "shrunk", "partial", "tangent"}, default ("full",)
        Correlation; correlation of the covariance shrunk as Ledoit and Wolf do; partial correlation of it; its tangent
        at the geometric mean of the runs fitted. Correlations enter as Fisher's z, which agrees with tangents to first
        order: all have one scale.
    trend : int or None, default 1
        Highest power of time taken out of series and confounds, see `conn.functional.clean`.
    filter_order : int, default 5
        Of the filters.
    n_epochs : int, default 150
        Steps of Adam, each over all runs.
    learning_rate : float, default 0.1
        Of Adam, on the logarithms of the weights.
    hardening : float, default 0
        Strength, at the last epoch, of a term that rises linearly from 0: the mean over open stages of the weights'
        entropy over its largest value. It drives every choice towards a vertex.
    progress : bool, default True
        Show a bar.

    Attributes
    ----------
    weights_ : dict of str to dict of str to float
        The weight of every alternative of every stage.
    pipeline_ : dict of str to str
        The alternative of greatest weight of every stage.
    reference_ : array, shape (region, region), or None
        The point of tangency, from the runs fitted; None where no alternative is a tangent.
    history_ : dict of str to array, shape (epoch,)
        The objective ("Total") and each term that the loss tells apart, before each step.
    weights_history_ : dict of str to array, shape (epoch, alternative)
        The weights before each step.
    seconds_per_epoch_ : float
        Median wall time of a step, compilation apart.

    Raises
    ------
    ValueError
        If a stage has no alternative, or one that is not possible.

    Notes
    -----
    What a mixture costs is a sum over the alternatives of a stage, not a product over stages: each regression and each
    kind of connectome is computed once a step. Only censorings, filters and parcellations are combined (the series are
    linear in them, so this is done once, before the first step). How the stages mix is said in
    :doc:`/models/workflow`. A frame that no alternative keeps has weight 0; the derivative by the weight of a
    censoring is that inside the simplex.

    Choices that lower QC-FC may remove signal too: give the loss a term that asks for signal, such as
    `conn.loss.identification`, and judge on runs that were not fitted.

    References
    ----------
    .. [1] Ciric et al. (2022), Differentiable programming for functional connectomics, Machine Learning for Health.
    .. [2] Ciric et al. (2017). doi:10.1016/j.neuroimage.2017.03.020
    .. [3] Liu, Simonyan & Yang (2019), DARTS: differentiable architecture search. doi:10.48550/arXiv.1806.09055

    Examples
    --------
    >>> import numpy as np
    >>> from conn.loss import qcfc
    >>> rng = np.random.default_rng(0)
    >>> motion = rng.uniform(0.05, 0.3, (8, 1)) * rng.lognormal(size=(8, 60))
    >>> series = rng.normal(size=(8, 4, 60)) + 5 * motion[:, None]
    >>> runs = Runs(time_series=series, confounds={"motion": motion[:, None]}, motion=motion, repetition_time=2.0)
    >>> workflow = Workflow(confounds={"none": [], "motion": ["motion"]}, n_epochs=20, progress=False)
    >>> workflow = workflow.fit(runs, lambda out: qcfc(out.connectome, out.quality).mean())
    >>> workflow.pipeline_["confounds"]
    'motion'
    >>> workflow.harden().transform(runs).shape
    (8, 4, 4)
    """

    def __init__(
        self,
        *,
        filter: Mapping[str, Band | None] | None = None,
        confounds: Mapping[str, Sequence[str]] | None = None,
        censoring: Mapping[str, float | Censoring | None] | None = None,
        parcellation: Mapping[str, ArrayLike] | None = None,
        connectome: Sequence[Kind] = ("full",),
        trend: int | None = 1,
        filter_order: int = 5,
        n_epochs: int = 150,
        learning_rate: float = 0.1,
        hardening: float = 0.0,
        progress: bool = True,
    ):
        if n_epochs < 1:
            raise ValueError(f"n_epochs must be at least 1, and is {n_epochs}")
        if learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, and is {learning_rate}")
        if hardening < 0:
            raise ValueError(f"hardening must not be negative, and is {hardening}")
        rules = {
            name: Censoring(rule) if isinstance(rule, (int, float)) else rule
            for name, rule in ({"none": None} if censoring is None else censoring).items()
        }
        atlases = {} if parcellation is None else {name: np.asarray(one) for name, one in parcellation.items()}
        self._stages = Stages(
            parcellation={"none": None} if parcellation is None else atlases,
            filter={"none": None} if filter is None else dict(filter),
            confounds={"none": ()} if confounds is None else dict(confounds),
            censoring=rules,
            connectome={kind: kind for kind in connectome},
            trend=trend,
            filter_order=filter_order,
        )
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.hardening = hardening
        self.progress = progress

    weights_: dict[str, dict[str, float]]
    pipeline_: dict[str, str]
    reference_: NDArray[np.floating] | None
    history_: dict[str, NDArray[np.floating]]
    weights_history_: dict[str, NDArray[np.floating]]
    seconds_per_epoch_: float

    @property
    def stages(self) -> dict[str, tuple[str, ...]]:
        """The names of the alternatives of each stage, in the order of their weights."""
        return self._stages.names

    def vertices(self) -> Iterator[dict[str, str]]:
        """Yield every pipeline that the alternatives make, as the choice at each stage: what `vertex` takes."""
        for names in product(*self.stages.values()):
            yield dict(zip(self.stages, names, strict=True))

    def vertex(self, **choices: str) -> "Workflow":
        """Return the workflow with some stages fixed, not fitted.

        Parameters
        ----------
        **choices : str
            The name of an alternative by stage: ``filter="band"``. Stages that are not named stay open.

        Returns
        -------
        Workflow
            Of fixed stages only the chosen alternative is left, and computed.

        Raises
        ------
        ValueError
            If there is no such stage or alternative.
        """
        fixed = Workflow(
            n_epochs=self.n_epochs,
            learning_rate=self.learning_rate,
            hardening=self.hardening,
            progress=self.progress,
        )
        fixed._stages = self._stages.only(choices)
        return fixed

    def harden(self) -> "Workflow":
        """Return the pipeline of greatest weights: every stage fixed.

        Returns
        -------
        Workflow
            Ready for `transform`; if it ends in a tangent, `fit` it first, without a loss, on the same runs, since the
            point of tangency is another one.

        Raises
        ------
        AttributeError
            If nothing was fitted.
        """
        self._refuse_unfitted()
        return self.vertex(**self.pipeline_)

    def program(self, runs: Runs) -> Program:
        """Return the connectomes of runs as a function of the weights, for optimisations of one's own.

        Parameters
        ----------
        runs : Runs
            The runs.

        Returns
        -------
        callable
            Takes a vector on the simplex by stage, as an array (those of single alternatives may be left out), gives
            connectomes (run, region, region). It works under ``jit``, ``grad`` and ``vmap``, and is a PyTree that holds
            the runs: give it to a compiled function as an argument, or they are compiled into it. A tangent's point of
            tangency is the mean of these runs at these weights.

        Raises
        ------
        ValueError
            As `fit`.
        """
        return Program(prepare(self._stages, runs), self._stages)

    def fit(self, runs: Runs, loss: LossScheme | LossApply | Callable[[LossArgument], Array] | None = None) -> Self:
        """Return the workflow, with the weights that lower a loss.

        Parameters
        ----------
        runs : Runs
            The runs to choose on.
        loss : LossScheme, LossApply or callable
            Takes outputs with the fields ``connectome`` (run, region, region; Fisher's z), ``quality`` (run,), the mean
            motion, and ``weights``, a dict of arrays; gives one number, or what a scheme gives. May be None where every
            stage is fixed: then only the tangent's reference is computed.

        Returns
        -------
        Workflow
            This workflow.

        Raises
        ------
        ValueError
            If stages are open and there is no loss; if what an alternative needs is missing in the runs, or a run is
            too short for it or keeps too few frames; or if the objective is not finite.
        """
        prepared = prepare(self._stages, runs)
        quality = jnp.asarray(runs.quality, prepared.series.dtype)
        state = {
            stage: ProbabilitySimplexParameter(jnp.full(len(names), 1 / len(names)))
            for stage, names in self.stages.items()
            if len(names) > 1
        }
        if state and loss is None:
            raise ValueError(f"choices are open at {', '.join(state)}: fit needs a loss, or fix them with vertex")
        history: dict[str, list[float]] = {}
        paths: dict[str, list[NDArray[Any]]] = {stage: [] for stage in self.stages}
        seconds = []
        if state and loss is not None:
            optimiser = optax.adam(self.learning_rate)
            memory = optimiser.init(eqx.filter(state, eqx.is_inexact_array))

            @eqx.filter_jit
            def step(state: Any, memory: Any, epoch: Array, inputs: Any) -> tuple[Any, Any, Any, Any]:
                (_, (values, weights)), gradient = eqx.filter_value_and_grad(self._objective, has_aux=True)(
                    state, loss, epoch, *inputs
                )
                updates, memory = optimiser.update(gradient, memory, eqx.filter(state, eqx.is_inexact_array))
                return eqx.apply_updates(state, updates), memory, values, weights

            for epoch in (bar := tqdm(range(self.n_epochs), desc="choosing", unit="epoch", disable=not self.progress)):
                start = time.perf_counter()
                state, memory, values, weights = step(state, memory, jnp.asarray(epoch), (prepared, quality))
                for name, value in values.items():
                    history.setdefault(name, []).append(float(value))
                for stage, own in weights.items():
                    paths[stage].append(np.asarray(own))
                seconds.append(time.perf_counter() - start)
                bar.set_postfix(objective=f"{history['Total'][-1]:.4f}")
                if not np.isfinite(history["Total"][-1]):
                    raise ValueError(
                        f"the objective is not finite at epoch {epoch}: the loss may need what the runs do not have, "
                        "such as motion, or the learning rate may be too high"
                    )
        final = _weights(self._stages, state)
        self.weights_ = {
            stage: dict(zip(names, np.asarray(final[stage]).tolist(), strict=True))
            for stage, names in self.stages.items()
        }
        self.pipeline_ = {stage: max(own, key=own.__getitem__) for stage, own in self.weights_.items()}
        reference = None
        if "tangent" in self.stages["connectome"]:
            reference = connectomes(self._stages, prepared, final)[1]
            if reference is None or not bool(jnp.isfinite(reference).all()):
                raise ValueError("the runs' covariances have no geometric mean: is a region constant?")
        self.reference_ = None if reference is None else np.asarray(reference)
        self.history_ = {name: np.asarray(values) for name, values in history.items()}
        self.weights_history_ = {stage: np.asarray(own) for stage, own in paths.items() if own}
        self.seconds_per_epoch_ = float(np.median(seconds[1:] or seconds)) if seconds else float("nan")
        return self

    def transform(self, runs: Runs) -> NDArray[np.floating]:
        """Return the connectomes of runs.

        Parameters
        ----------
        runs : Runs
            Of the same regions, or vertices, in the same order.

        Returns
        -------
        array, shape (run, region, region)
            Symmetric: Fisher's z with diagonal 0, tangents, or what the weights mix of these.

        Raises
        ------
        AttributeError
            If choices are open or a tangent has no reference, and nothing was fitted.
        ValueError
            As `fit`.
        """
        fixed = all(len(names) == 1 for names in self.stages.values())
        if not fixed or "tangent" in self.stages["connectome"]:
            self._refuse_unfitted()
        weights = {} if fixed else {stage: jnp.array(list(own.values())) for stage, own in self.weights_.items()}
        reference = getattr(self, "reference_", None)
        reference = None if reference is None else jnp.asarray(reference)
        return np.asarray(connectomes(self._stages, prepare(self._stages, runs), weights, reference)[0])

    def _objective(
        self, state: Any, loss: Any, epoch: Array, prepared: Any, quality: Array
    ) -> tuple[Array, tuple[dict[str, Array], dict[str, Array]]]:
        weights = _weights(self._stages, state)
        found, _ = connectomes(self._stages, prepared, weights)
        outputs = LossArgument(connectome=found, quality=quality, weights=weights)
        # Schemes and what they hold know steps, for schedules of strengths; a function takes the outputs alone.
        result = loss(outputs, step=epoch) if isinstance(loss, (LossScheme, LossApply)) else loss(outputs)
        total, terms = result if isinstance(result, tuple) else (result, {})
        values = {name: term.value for name, term in terms.items()}
        if self.hardening:
            spread = jnp.stack([entropy(weights[stage]) / np.log(len(weights[stage])) for stage in state]).mean()
            values["Hardening"] = self.hardening * epoch / max(self.n_epochs - 1, 1) * spread
            total = total + values["Hardening"]
        return total, ({"Total": total} | values, weights)

    def _refuse_unfitted(self) -> None:
        if not hasattr(self, "weights_"):
            raise AttributeError("nothing was fitted yet: call fit first, or fix every choice with vertex")


def _weights(stages: Stages, state: Mapping[str, Any]) -> dict[str, Array]:
    return {stage: jnp.asarray(state[stage]) if stage in state else jnp.ones(1) for stage in stages.names}
