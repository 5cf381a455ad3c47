"""Communities of regions that all scans share, and when each of them is active in each scan."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from conn.functional import consensus_communities
from conn.models._checkpoint import data_digest, read_checkpoint, write_checkpoint
from conn.models._objectives import (
    LINEAR_EPOCHS,
    LINEAR_RATE,
    LikelihoodObjective,
    LinearObjective,
    Objective,
    ObjectiveName,
    RectifiedObjective,
    decoded_scans,
)
from conn.models._restarts import community_stability, matched_affiliation
from conn.models._scans import Scans, checked_scans
from conn.models._switching import SwitchingParameters, per_frame
from conn.models.resolution import choose_resolution

__all__ = ["DynamicCommunityModel"]

_EPOCHS = {"likelihood": 40, "constant_potts": LINEAR_EPOCHS, "correlation": LINEAR_EPOCHS, "rectified": 500}
_LEARNING_RATES = {"constant_potts": LINEAR_RATE, "correlation": LINEAR_RATE, "rectified": 0.05}


class DynamicCommunityModel:
    r"""Soft communities shared by all scans, and when each is on in every scan.

    The affiliation of each region lies on the simplex of communities and is common to all scans; the activity of each
    community lies in (0, 1) at each frame of each scan. Four objectives, from which `docs/models/communities` shows
    what they find in planted and in real scans:

    - ``"likelihood"``: each region follows one community's signal, with a probability for each; the signals are
      switched on and off by Markov chains. Memberships, loadings and chains are learned together by expectation and
      maximisation, so that frames in which a community is on weigh more.
    - ``"constant_potts"``: the signed correlation, averaged over scans, less a constant `resolution`.
    - ``"correlation"``: the same correlation less what independent series with one common signal would have [2]_.
    - ``"rectified"``: the published example [1]_: modularity of the rectified correlation of each scan, and smooth
      weights of frames learned beside it. Its `dynamics_` are those weights, ruled by their regularisers.

    With the first three, and for new scans with all of them, activity is decoded: by a forward and a backward pass
    through each community's chain, given the communities.

    Parameters
    ----------
    n_communities : int, default 10
        How many communities there may be; some may stay empty.
    resolution : float or "halves", optional
        :math:`\gamma` of a modularity. By default 5 with ``"rectified"``, 1 with ``"correlation"``, and with
        ``"constant_potts"`` the mean correlation of all pairs of regions in the scans. With ``"halves"``, for
        ``"constant_potts"`` of two scans or more, the one whose communities agree best between even and odd scans:
        what `choose_resolution` returns for this model's settings (extra ``conn-models[communities]``). Together with
        `refine` this is what has served best, in planted and in real scans. The likelihood has none.
    objective : {"likelihood", "constant_potts", "correlation", "rectified"}, default "likelihood"
        What is maximised.
    n_epochs : int, optional
        Steps over all scans, at most. By default 40 of the likelihood, 200 of the linear modularities, and 500 of the
        published example.
    learning_rate : float, optional
        Of Adam: 0.05 by default for the published example, 0.1 for the linear modularities. The likelihood's steps
        have none.
    refine : bool, default False
        Let each search of a linear modularity end with a refinement: its communities are improved as a hard partition,
        by chains of moves of single regions [5]_ and by mergers, and made soft again. Different starts then mostly end
        alike, nearer to the objective's highest point, which is no better than the resolution is: take one that was
        chosen. It needs the matrix of all pairs, and is left out where there are more regions than frames in all scans
        together; seconds for 400 regions.
    modularity_nu, dynamics_nu, smoothness_nu, bimodality_nu : float
        Strengths of the four terms of ``"rectified"``, by default the published ones.
    n_restarts : int, default 1
        Searches from different beginnings. The best is kept: by the score of the validation scans if there are any,
        or else by the objective.
    patience : int, optional
        Stop a search when that has not improved for so many epochs. By default every search takes all its epochs.
    seed : int, default 0
        Of the beginnings. Same seed, same result.
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
        Of the search that was kept: the objective that is minimised ("Total"), each of its terms where it has several,
        and "Validation", the score of validation scans, before each step; without the refinement that ends a search.
    resolution_ : float
        The resolution that was used; NaN with the likelihood.
    mean_dwell_ : float
        Frames that a community stays on, or off, on average.
    independent_share_ : float
        How many independent frames a frame of the scans was worth.
    restart_labels_ : array of int, shape (restart, region)
        The communities that every search ended in, numbered as in `labels_`.
    restart_scores_ : array, shape (restart,)
        What the searches were compared by; more is better.
    stability_ : array, shape (community,)
        Mean Jaccard index of each community with its counterparts in the other searches; NaN with one search.
    seconds_per_epoch_ : float
        Median wall time of a step, compilation apart.

    Notes
    -----
    Chains take as much from their scans as these are worth: the share of independent frames is estimated from the
    autocorrelation. All communities share one mean dwell, equal on and off, since the loadings and the share of time
    that a community is on can hardly be told apart.

    At the published learning rate of 0.05 the affiliation of ``"rectified"`` stays near the uniform one for about 30
    epochs; 0.2 leaves it within ten, for looks at the data with few epochs.

    References
    ----------
    .. [1] Ciric et al. (2022), Differentiable programming for functional connectomics, Machine Learning for Health.
    .. [2] MacMahon & Garlaschelli (2015). doi:10.1103/PhysRevX.5.021006
    .. [3] Traag, Van Dooren & Nesterov (2011). doi:10.1103/PhysRevE.84.016114
    .. [4] Rabiner (1989), A tutorial on hidden Markov models. doi:10.1109/5.18626
    .. [5] Kernighan & Lin (1970). doi:10.1002/j.1538-7305.1970.tb01770.x

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> signal = np.repeat(rng.standard_normal((2, 2, 60)), 5, axis=1)  # two scans, two communities of five regions
    >>> scans = signal + 0.5 * rng.standard_normal(signal.shape)
    >>> model = DynamicCommunityModel(2, progress=False).fit(scans)
    >>> len(set(model.labels_[:5])), len(set(model.labels_[5:])), len(set(model.labels_))
    (1, 1, 2)
    >>> model.transform(scans[:1]).shape
    (1, 2, 60)
    """

    def __init__(
        self,
        n_communities: int = 10,
        *,
        resolution: float | Literal["halves"] | None = None,
        objective: ObjectiveName = "likelihood",
        n_epochs: int | None = None,
        learning_rate: float | None = None,
        refine: bool = False,
        modularity_nu: float = 10.0,
        dynamics_nu: float = 2e-3,
        smoothness_nu: float = 0.2,
        bimodality_nu: float = 2.0,
        n_restarts: int = 1,
        patience: int | None = None,
        seed: int = 0,
        progress: bool = True,
    ):
        if objective not in get_args(ObjectiveName):
            raise ValueError(f"objective must be one of {', '.join(get_args(ObjectiveName))}, and is {objective!r}")
        for name, number in (
            ("n_communities", n_communities),
            ("n_epochs", n_epochs),
            ("n_restarts", n_restarts),
            ("patience", patience),
        ):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, and is {number}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, and is {seed}")
        if learning_rate is not None and not learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, and is {learning_rate}")
        if objective == "likelihood":
            for name, number in (("resolution", resolution), ("learning_rate", learning_rate)):
                if number is not None:
                    raise ValueError(f"the likelihood has no {name}: leave it out, or name another objective")
        if isinstance(resolution, str) and (resolution != "halves" or objective != "constant_potts"):
            raise ValueError(
                'resolution must be a number, or "halves" with objective="constant_potts", '
                f"and is {resolution!r} with {objective!r}"
            )
        if refine and objective not in ("constant_potts", "correlation"):
            raise ValueError(f"refine is for linear modularities, constant_potts and correlation, not for {objective}")
        self.n_communities = n_communities
        self.resolution = resolution
        self.objective = objective
        self.n_epochs: int = _EPOCHS[objective] if n_epochs is None else n_epochs
        self.learning_rate: float | None = _LEARNING_RATES.get(objective) if learning_rate is None else learning_rate
        self.refine = refine
        self.modularity_nu = modularity_nu
        self.dynamics_nu = dynamics_nu
        self.smoothness_nu = smoothness_nu
        self.bimodality_nu = bimodality_nu
        self.n_restarts = n_restarts
        self.patience = patience
        self.seed = seed
        self.progress = progress

    affiliation_: NDArray[np.floating]
    labels_: NDArray[np.integer]
    dynamics_: NDArray[np.floating]
    history_: dict[str, NDArray[np.floating]]
    resolution_: float
    mean_dwell_: float
    independent_share_: float
    restart_labels_: NDArray[np.integer]
    restart_scores_: NDArray[np.floating]
    stability_: NDArray[np.floating]
    seconds_per_epoch_: float

    def fit(
        self,
        time_series: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        validation: ArrayLike | None = None,
        validation_mask: ArrayLike | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 10,
    ) -> Self:
        """Return the model, fitted to scans.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            Signals in any unit. Runs of unequal length are filled up with anything, and masked there.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts. Masked frames never enter a correlation or a likelihood.
        validation : array, shape (scan, region, frame), optional
            Scans that are kept out: their score chooses the epoch and the restart that are kept.
        validation_mask : array of bool, shape (scan, frame), optional
            True where a frame of these counts.
        checkpoint : path, optional
            A file that holds the search every few epochs. Where it exists, the search goes on from it and ends exactly
            where it would have ended; once the search is over, it is read and nothing is computed again but decoding.
        checkpoint_every : int, default 10
            Epochs between two states of the file.

        Returns
        -------
        DynamicCommunityModel
            This model.

        Raises
        ------
        ValueError
            If the shapes do not fit, a frame that counts holds NaN or infinity, the checkpoint is of another model or
            of other scans, or the objective is not finite any more.
        FileNotFoundError
            If the folder of the checkpoint does not exist.
        ImportError
            If a resolution is to be chosen and scikit-learn is not installed; the message names the extra.
        """
        if checkpoint_every < 1:
            raise ValueError(f"checkpoint_every must be at least 1, and is {checkpoint_every}")
        series, valid = checked_scans("time_series", time_series, "mask", mask)
        kept_out = None
        if validation is not None:
            others, others_valid = checked_scans("validation", validation, "validation_mask", validation_mask)
            if others.shape[1] != series.shape[1]:
                raise ValueError(f"validation has {others.shape[1]} regions, and time_series {series.shape[1]}")
            kept_out = Scans(others, others_valid)
        elif validation_mask is not None:
            raise ValueError("validation_mask was given without validation")
        path = None if checkpoint is None else Path(checkpoint)
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"the folder of the checkpoint does not exist: {path.parent}")

        scans = Scans(series, valid)
        self.resolution_ = self._resolution(scans)
        objective = self._objective(scans)
        run = _Search(objective.initial(0))
        identity: dict[str, Any] = {}
        if path is not None:
            arrays = [series, valid] if kept_out is None else [series, valid, kept_out.series, kept_out.valid]
            identity = {"settings": self._settings(), "data": data_digest(*map(np.asarray, arrays))}
            if path.exists():
                run = self._resumed(path, identity, objective)
        seconds = self._search(objective, run, kept_out, path, checkpoint_every, identity)
        self._conclude(objective, run, scans, kept_out)
        self.seconds_per_epoch_ = float(np.median(seconds[1:] or seconds or [np.nan]))
        return self

    def score(self, time_series: ArrayLike, *, mask: ArrayLike | None = None) -> float:
        """Return how well the learned communities describe scans; more is better.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            Scans of the same regions, in the same order; for an honest number, scans that were not fitted.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts.

        Returns
        -------
        float
            With ``"likelihood"`` the log-likelihood, in nats a region and frame, that frames have when neighbours are
            taken as far apart as they are independent; otherwise the objective's modularity, comparable at one
            resolution only.

        Raises
        ------
        AttributeError
            If the model was not fitted.
        ValueError
            If the shapes do not fit.
        """
        scans = self._known(time_series, mask)
        return self._fitted_objective.score(jnp.asarray(self.affiliation_), self._switching, scans)

    def transform(self, time_series: ArrayLike, *, mask: ArrayLike | None = None) -> NDArray[np.floating]:
        """Return the probability that each community is on, at every frame of scans, decoded by the learned chains.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            Scans of the same regions, in the same order; they need not have been fitted.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts. Chains pass through masked frames without learning anything there.

        Returns
        -------
        array, shape (scan, community, frame)
            NaN at masked frames.

        Raises
        ------
        AttributeError
            If the model was not fitted.
        ValueError
            If the shapes do not fit.
        """
        scans = self._known(time_series, mask)
        return _emptied(decoded_scans(self._switching, self._learned, scans), scans)

    def predict(self, time_series: ArrayLike, *, mask: ArrayLike | None = None) -> NDArray[np.bool_]:
        """Return whether each community is likelier on than off, at every frame of scans.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            Scans of the same regions, in the same order.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts.

        Returns
        -------
        array of bool, shape (scan, community, frame)
            False at masked frames.

        Raises
        ------
        AttributeError
            If the model was not fitted.
        ValueError
            If the shapes do not fit.
        """
        return np.nan_to_num(self.transform(time_series, mask=mask)) > 0.5

    def consensus(self, *, threshold: float = 0.5, seed: int = 0) -> NDArray[np.integer]:
        """Return the partition that the restarts agree on; it may have another number of communities than they.

        Parameters
        ----------
        threshold : float, default 0.5
            See `conn.functional.consensus_communities`.
        seed : int, default 0
            Of that search.

        Returns
        -------
        array of int, shape (region,)
            Labels count from 0, by falling size of the community.

        Raises
        ------
        AttributeError
            If the model was not fitted.
        ImportError
            If leidenalg is not installed; the message names the extra.
        """
        if not hasattr(self, "restart_labels_"):
            raise AttributeError("this model has no restarts yet: call fit first")
        return consensus_communities(self.restart_labels_, threshold=threshold, seed=seed)

    def _known(self, time_series: ArrayLike, mask: ArrayLike | None) -> Scans:
        if not hasattr(self, "affiliation_"):
            raise AttributeError("this model has nothing to look at scans with yet: call fit first")
        series, valid = checked_scans("time_series", time_series, "mask", mask)
        if series.shape[1] != len(self.affiliation_):
            raise ValueError(
                f"the model knows {len(self.affiliation_)} regions, and these scans have {series.shape[1]}"
            )
        return Scans(series, valid)

    def _settings(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_") and name[-1] != "_"} | {
            "progress": None
        }

    def _resolution(self, scans: Scans) -> float:
        if self.objective == "likelihood":
            return float("nan")
        if self.resolution == "halves":
            return choose_resolution(
                scans.series,
                self.n_communities,
                mask=scans.valid,
                n_epochs=self.n_epochs,
                refine=self.refine,
                seed=self.seed,
                progress=self.progress,
            ).resolution
        if self.resolution is not None:
            return float(self.resolution)
        if self.objective == "constant_potts":
            return scans.mean_correlation
        return 5.0 if self.objective == "rectified" else 1.0

    def _objective(self, scans: Scans) -> Objective:
        if self.objective == "likelihood":
            return LikelihoodObjective(scans, self.n_communities, self.seed)
        rate = self.learning_rate if self.learning_rate is not None else _LEARNING_RATES[self.objective]
        if self.objective == "rectified":
            strengths = (self.modularity_nu, self.dynamics_nu, self.smoothness_nu, self.bimodality_nu)
            return RectifiedObjective(
                scans,
                self.n_communities,
                self.seed,
                resolution=self.resolution_,
                learning_rate=rate,
                strengths=strengths,
            )
        return LinearObjective(
            scans,
            self.n_communities,
            self.seed,
            null="constant_potts" if self.objective == "constant_potts" else "correlation",
            resolution=self.resolution_,
            learning_rate=rate,
            refine=self.refine,
        )

    def _search(
        self,
        objective: Objective,
        run: "_Search",
        kept_out: Scans | None,
        path: Path | None,
        every: int,
        identity: dict[str, Any],
    ) -> list[float]:
        """Take all steps that are left of all restarts, and return the seconds of each."""
        seconds: list[float] = []
        bar = tqdm(
            total=self.n_restarts * self.n_epochs,
            initial=run.restart * self.n_epochs + run.epoch,
            desc="fitting communities",
            unit="epoch",
            disable=not self.progress,
        )
        with bar:
            while run.restart < self.n_restarts:
                while run.epoch < self.n_epochs and not run.stopped(self.patience):
                    start = time.perf_counter()
                    state, values = objective.step(run.state)
                    terms = {name: float(value) for name, value in values.items()}
                    seconds.append(time.perf_counter() - start)
                    if not np.isfinite(terms["Total"]):
                        raise ValueError("the objective is not finite any more: lower the learning rate")
                    level = -terms["Total"]
                    if kept_out is not None:
                        level = _level(objective, run.state, kept_out)
                        terms["Validation"] = level
                    run.note(terms, level, keep=kept_out is not None)
                    run.state = state
                    run.epoch += 1
                    bar.update()
                    bar.set_postfix(objective=f"{terms['Total']:.4f}")
                    if path is not None and run.epoch % every == 0:
                        self._write(path, run, identity)
                run.close(objective, kept_out)
                if run.restart < self.n_restarts:
                    run.begin(objective.initial(run.restart))
                if path is not None:
                    self._write(path, run, identity)
        return seconds

    def _conclude(self, objective: Objective, run: "_Search", scans: Scans, kept_out: Scans | None) -> None:
        best = int(np.argmax(run.levels))
        self._fitted_objective, self._learned = objective, scans
        self._switching: SwitchingParameters = objective.switching(run.best_state)
        self.affiliation_ = objective.affiliation(run.best_state)
        if not np.isfinite(self.affiliation_).all():
            raise ValueError("the objective is not finite any more: lower the learning rate")
        self.labels_ = self.affiliation_.argmax(-1)
        self.dynamics_ = _emptied(objective.dynamics(run.best_state, self._switching), scans)
        self.history_ = {name: np.asarray(values) for name, values in run.best_history.items()}
        self.mean_dwell_ = 1 / float(per_frame(self._switching.switch, scans.stride)[0])
        self.independent_share_ = scans.share
        identity = np.eye(self.n_communities)
        matched = []
        for labels in run.labels:
            # Column k of a restart, in the place of its counterpart.
            order = matched_affiliation(identity[labels], self.affiliation_)
            matched.append(np.argsort(order)[labels])
        self.restart_labels_ = np.array(matched)
        self.restart_labels_[best] = self.labels_
        self.restart_scores_ = np.array(run.levels)
        self.stability_ = community_stability(self.restart_labels_, best, self.n_communities)

    def _write(self, path: Path, run: "_Search", identity: dict[str, Any]) -> None:
        facts = identity | {
            "restart": run.restart,
            "epoch": run.epoch,
            "history": run.history,
            "best_history": run.best_history,
            "levels": run.levels,
            "best_level": run.best_level,
            "best_epoch": run.best_epoch,
        }
        arrays = {f"label_{number}": labels for number, labels in enumerate(run.labels)}
        for name in _STATES:
            state = getattr(run, name)
            if state is not None:
                leaves = jax.tree.leaves(eqx.filter(state, eqx.is_array))
                arrays |= {f"{name}_{number}": np.asarray(leaf) for number, leaf in enumerate(leaves)}
        write_checkpoint(path, facts, arrays)

    def _resumed(self, path: Path, identity: dict[str, Any], objective: Objective) -> "_Search":
        facts, arrays = read_checkpoint(path)
        for name, what in (("settings", "settings"), ("data", "scans")):
            if facts.get(name) != identity[name]:
                raise ValueError(f"{path} is the checkpoint of other {what}: name another file, or remove this one")
        run = _Search(objective.initial(0))
        like, plain = eqx.partition(run.state, eqx.is_array)
        leaves, shape = jax.tree.flatten(like)
        for name in _STATES:
            if f"{name}_0" in arrays:
                read = [jnp.asarray(arrays[f"{name}_{number}"]) for number in range(len(leaves))]
                setattr(run, name, eqx.combine(jax.tree.unflatten(shape, read), plain))
        run.restart, run.epoch, run.history = facts["restart"], facts["epoch"], facts["history"]
        run.best_history, run.levels = facts["best_history"], facts["levels"]
        run.best_level, run.best_epoch = facts["best_level"], facts["best_epoch"]
        run.labels = [arrays[f"label_{number}"] for number in range(len(run.levels))]
        return run


_STATES = ("state", "candidate", "best_state")
"""States of a search: where it is, its best epoch, and the best search that is over."""


@dataclass
class _Search:
    """Where a search stands."""

    state: Any
    restart: int = 0
    epoch: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    best_level: float | None = None
    best_epoch: int = 0
    candidate: Any = None
    levels: list[float] = field(default_factory=list)
    labels: list[NDArray[np.integer]] = field(default_factory=list)
    best_state: Any = None
    best_history: dict[str, list[float]] = field(default_factory=dict)

    def begin(self, state: Any) -> None:
        self.state, self.epoch, self.history = state, 0, {}
        self.best_level, self.best_epoch, self.candidate = None, 0, None

    def note(self, terms: dict[str, float], level: float, *, keep: bool) -> None:
        for name, value in terms.items():
            self.history.setdefault(name, []).append(value)
        if self.best_level is None or level > self.best_level:
            self.best_level, self.best_epoch = level, self.epoch
            if keep:
                self.candidate = self.state

    def stopped(self, patience: int | None) -> bool:
        return patience is not None and self.epoch - self.best_epoch > patience

    def close(self, objective: Objective, kept_out: Scans | None) -> None:
        """Compare the search with those before, by its last state or the best one of the validation scans."""
        self.state, level = objective.finished(self.state, -self.history["Total"][-1])
        if kept_out is not None:
            level = _level(objective, self.state, kept_out)
            if self.best_level is not None and self.best_level > level:
                level, self.state = self.best_level, self.candidate
        if self.best_state is None or level > max(self.levels):
            self.best_state, self.best_history = self.state, self.history
        self.levels.append(level)
        self.labels.append(objective.affiliation(self.state).argmax(-1))
        self.restart += 1


def _level(objective: Objective, state: Any, kept_out: Scans) -> float:
    affiliation = jnp.asarray(objective.affiliation(state))
    # Only the likelihood is scored by more than its affiliation, and there this costs nothing.
    switching = state if isinstance(state, SwitchingParameters) else None
    return objective.score(affiliation, switching, kept_out)


def _emptied(activity: NDArray[np.floating], scans: Scans) -> NDArray[np.floating]:
    return np.where(np.asarray(scans.valid)[:, None, :], activity, np.nan)
