"""States of the whole brain that follow one another: co-activation patterns, LEiDA, a Gaussian hidden Markov model.

One state a frame, where `DynamicCommunityModel` lets communities go on and off beside each other.
"""

from typing import Self

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.functional import instantaneous_phase
from conn.models._extras import library
from conn.models._scans import checked_scans
from conn.models._switching import standardised_scans

__all__ = ["CoactivationPatterns", "GaussianHMM", "LEiDA"]


class _BrainStates:
    """What the three have in common: features of frames, a state for each, and how long states last."""

    def __init__(self, n_states: int = 8, *, n_restarts: int = 10, seed: int = 0) -> None:
        for name, number in (("n_states", n_states), ("n_restarts", n_restarts)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, and is {number}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, and is {seed}")
        self.n_states, self.n_restarts, self.seed = n_states, n_restarts, seed

    n_states: int
    n_restarts: int
    seed: int
    states_: NDArray[np.integer]
    maps_: NDArray[np.floating]
    occupancy_: NDArray[np.floating]
    mean_dwell_: NDArray[np.floating]

    def fit(self, time_series: ArrayLike, *, mask: ArrayLike | None = None) -> Self:
        """Return the model, fitted to scans.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            Signals in any unit; every region of every scan is standardised.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts.

        Returns
        -------
        Self
            This model.

        Raises
        ------
        ImportError
            If the library behind it is not installed; the message names the extra.
        ValueError
            If the shapes do not fit, a frame that counts holds NaN or infinity, or there are fewer frames than states.
        """
        features, valid = self._described(time_series, mask)
        if valid.sum() < self.n_states:
            raise ValueError(f"{valid.sum()} frames that count are fewer than {self.n_states} states")
        self._n_regions = np.asarray(time_series).shape[1]
        self._learn(features, valid)
        self.states_ = self._decode(features, valid)
        counted = self.states_[valid]
        self.occupancy_ = np.bincount(counted, minlength=self.n_states) / len(counted)
        self.mean_dwell_ = _dwells(self.states_, self.n_states)
        return self

    def predict(self, time_series: ArrayLike, *, mask: ArrayLike | None = None) -> NDArray[np.integer]:
        """Return the state of every frame of scans.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            Scans of the same regions, in the same order.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts.

        Returns
        -------
        array of int, shape (scan, frame)
            -1 at masked frames.

        Raises
        ------
        AttributeError
            If the model was not fitted.
        ValueError
            If the shapes do not fit.
        """
        return self._decode(*self._known(time_series, mask))

    def _known(self, time_series: ArrayLike, mask: ArrayLike | None) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
        """Return what `_described` does, of scans that fit what was learned."""
        if not hasattr(self, "maps_"):
            raise AttributeError("this model knows no states yet: call fit first")
        found = np.asarray(time_series).shape
        if len(found) == 3 and found[1] != self._n_regions:
            raise ValueError(f"the model knows {self._n_regions} regions, and these scans have {found[1]}")
        return self._described(time_series, mask)

    def _described(
        self, time_series: ArrayLike, mask: ArrayLike | None
    ) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
        """Return features of shape (scan, frame, feature), and which frames count."""
        series, valid = checked_scans("time_series", time_series, "mask", mask)
        return np.moveaxis(np.asarray(standardised_scans(series, valid)), 1, 2), np.asarray(valid)

    def _learn(self, features: NDArray[np.floating], valid: NDArray[np.bool_]) -> None:
        cluster = library("sklearn.cluster", "scikit-learn", "states")
        self._clusters = cluster.KMeans(self.n_states, n_init=self.n_restarts, random_state=self.seed).fit(
            features[valid]
        )
        self.maps_ = np.asarray(self._clusters.cluster_centers_)

    def _decode(self, features: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.integer]:
        states = np.full(valid.shape, -1)
        states[valid] = self._clusters.predict(np.ascontiguousarray(features[valid]))
        return states


class CoactivationPatterns(_BrainStates):
    """Co-activation patterns: clusters of frames by k-means.

    Parameters
    ----------
    n_states : int, default 8
        How many patterns.
    n_restarts : int, default 10
        Beginnings of k-means, the best of which is kept.
    seed : int, default 0
        Of these.

    Attributes
    ----------
    maps_ : array, shape (state, region)
        Mean of each pattern's frames, in standard deviations of the regions.
    states_ : array of int, shape (scan, frame)
        The pattern of each frame; -1 where masked.
    occupancy_ : array, shape (state,)
        Share of the frames.
    mean_dwell_ : array, shape (state,)
        Frames that a visit lasts on average; NaN for a state that is never visited.

    Notes
    -----
    All frames are clustered, none chosen by a seed region. Needs scikit-learn (the extra ``states``).

    References
    ----------
    .. [1] Liu & Duyn (2013). doi:10.1073/pnas.1216856110

    Examples
    --------
    >>> import numpy as np
    >>> pattern = np.repeat([[1.0, -1.0], [-1.0, 1.0]], 10, axis=0).T  # two regions that take turns, twice ten frames
    >>> CoactivationPatterns(2).fit(pattern[None]).mean_dwell_.tolist()
    [10.0, 10.0]
    """


class LEiDA(_BrainStates):
    r"""Leading eigenvectors of phase coherence, clustered by k-means.

    At each frame the matrix :math:`\cos(\theta_i - \theta_j)` of phases has rank 2; its leading eigenvector is found
    from a matrix of 2 x 2, and its sign is turned so that most of it is negative.

    Parameters
    ----------
    n_states : int, default 8
        How many states.
    n_restarts : int, default 10
        Beginnings of k-means, the best of which is kept.
    seed : int, default 0
        Of these.

    Attributes
    ----------
    maps_ : array, shape (state, region)
        Mean leading eigenvector.
    states_ : array of int, shape (scan, frame)
        The state of each frame; -1 where masked.
    occupancy_ : array, shape (state,)
        Share of the frames.
    mean_dwell_ : array, shape (state,)
        Frames that a visit lasts on average; NaN for a state that is never visited.

    Notes
    -----
    Phases are those of the analytic signal of the whole scan, with masked frames at the mean: scans should be
    band-passed, and masked frames few. Needs scikit-learn (the extra ``states``).

    References
    ----------
    .. [1] Cabral et al. (2017). doi:10.1038/s41598-017-05425-7

    Examples
    --------
    >>> import numpy as np
    >>> time = np.arange(100) / 100
    >>> scan = np.stack([np.sin(40 * time), np.sin(40 * time + 0.1), np.cos(40 * time)])
    >>> LEiDA(2).fit(scan[None]).maps_.shape
    (2, 3)
    """

    def _described(
        self, time_series: ArrayLike, mask: ArrayLike | None
    ) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
        frames, valid = super()._described(time_series, mask)
        phase = np.asarray(instantaneous_phase(jnp.asarray(np.moveaxis(frames, 2, 1))))
        parts = np.stack([np.cos(phase), np.sin(phase)], -1)  # (scan, region, frame, 2)
        inner = np.einsum("srti,srtj->stij", parts, parts)
        leading = np.linalg.eigh(inner)[1][..., -1]
        vectors = np.einsum("srti,sti->str", parts, leading)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.finfo(vectors.dtype).tiny)
        mostly_positive = (vectors > 0).sum(-1, keepdims=True) > vectors.shape[-1] / 2
        return np.where(mostly_positive, -vectors, vectors), valid


class GaussianHMM(_BrainStates):
    """A hidden Markov model whose states are Gaussian patterns of all regions, by hmmlearn.

    Parameters
    ----------
    n_states : int, default 8
        How many states.
    n_dimensions : int, optional
        Principal components that the regions are reduced to first; by default none are left out.
    covariance : {"full", "diag"}, default "diag"
        Form of each state's covariance, of the components where regions are reduced.
    n_restarts : int, default 1
        Beginnings, of which the one of the highest likelihood is kept.
    n_iterations : int, default 100
        Steps of expectation and maximisation, at most.
    seed : int, default 0
        Of the beginnings.

    Attributes
    ----------
    maps_ : array, shape (state, region)
        Mean of each state, in standard deviations of the regions.
    states_ : array of int, shape (scan, frame)
        The likeliest state of each frame (Viterbi); -1 where masked.
    transition_ : array, shape (state, state)
        Row: from; column: to.
    occupancy_, mean_dwell_ : array, shape (state,)
        Share of the frames; frames that a visit lasts on average, NaN for a state that is never visited.

    Notes
    -----
    Masked frames are taken out, and their neighbours follow one another. Frames count as independent given the state,
    which band-passed scans are not. Needs hmmlearn (the extra ``hmm``).

    References
    ----------
    .. [1] Vidaurre, Smith & Woolrich (2017). doi:10.1073/pnas.1705120114

    Examples
    --------
    >>> import numpy as np
    >>> pattern = np.repeat([[1.0, -1.0], [-1.0, 1.0]], 10, axis=0).T
    >>> scan = pattern + 0.1 * np.random.default_rng(0).standard_normal(pattern.shape)
    >>> GaussianHMM(2).fit(scan[None]).mean_dwell_.tolist()
    [10.0, 10.0]
    """

    def __init__(
        self,
        n_states: int = 8,
        *,
        n_dimensions: int | None = None,
        covariance: str = "diag",
        n_restarts: int = 1,
        n_iterations: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__(n_states, n_restarts=n_restarts, seed=seed)
        for name, number in (("n_dimensions", n_dimensions), ("n_iterations", n_iterations)):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, and is {number}")
        if covariance not in ("full", "diag"):
            raise ValueError(f'covariance must be "full" or "diag", and is {covariance!r}')
        self.n_dimensions, self.covariance = n_dimensions, covariance
        self.n_iterations = n_iterations

    n_dimensions: int | None
    maps_: NDArray[np.floating]
    transition_: NDArray[np.floating]

    def _learn(self, features: NDArray[np.floating], valid: NDArray[np.bool_]) -> None:
        hmm = library("hmmlearn.hmm", "hmmlearn", "hmm")
        frames = features[valid].astype(float)
        n_features = frames.shape[1]
        if self.n_dimensions is not None and self.n_dimensions > n_features:
            raise ValueError(f"n_dimensions is {self.n_dimensions}, and there are {n_features} regions")
        self._axes = np.eye(n_features)
        if self.n_dimensions is not None:
            self._axes = np.linalg.eigh(frames.T @ frames)[1][:, ::-1][:, : self.n_dimensions]
        reduced, lengths = frames @ self._axes, _lengths(valid)
        n_dimensions = reduced.shape[1]
        # As if each state had been seen for one more frame, of the variance of all: no state dies or becomes a point.
        variance = float(np.mean(reduced**2))
        prior = (variance * np.eye(n_dimensions), n_dimensions + 1) if self.covariance == "full" else (variance, 2)
        best = -np.inf
        for restart in range(self.n_restarts):
            model = hmm.GaussianHMM(
                self.n_states,
                covariance_type=self.covariance,
                n_iter=self.n_iterations,
                tol=1e-6 * len(reduced),
                covars_prior=prior[0],
                covars_weight=prior[1],
                random_state=self.seed + restart,
            )
            model.fit(reduced, lengths)
            if (level := model.score(reduced, lengths)) > best:
                best, self._chain = level, model
        self.maps_ = np.asarray(self._chain.means_) @ self._axes.T
        self.transition_ = np.asarray(self._chain.transmat_)

    def _decode(self, features: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.integer]:
        states = np.full(valid.shape, -1)
        states[valid] = self._chain.predict(features[valid].astype(float) @ self._axes, _lengths(valid))
        return states

    def probabilities(self, time_series: ArrayLike, *, mask: ArrayLike | None = None) -> NDArray[np.floating]:
        """Return the posterior probability of each state at every frame of scans.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            Scans of the same regions, in the same order.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts.

        Returns
        -------
        array, shape (scan, state, frame)
            NaN at masked frames.

        Raises
        ------
        AttributeError
            If the model was not fitted.
        ValueError
            If the shapes do not fit.
        """
        features, valid = self._known(time_series, mask)
        found = np.full((*valid.shape, self.n_states), np.nan)
        found[valid] = self._chain.predict_proba(features[valid].astype(float) @ self._axes, _lengths(valid))
        return np.moveaxis(found, 1, 2)


def _lengths(valid: NDArray[np.bool_]) -> list[int]:
    return [int(number) for number in valid.sum(1)]


def _dwells(states: NDArray[np.integer], n_states: int) -> NDArray[np.floating]:
    """Return how many frames a visit lasts on average."""
    visits = np.zeros(n_states)
    for scan in states:
        starts = scan[np.concatenate([[True], scan[1:] != scan[:-1]])]
        visits += np.bincount(starts[starts >= 0], minlength=n_states)
    frames = np.bincount(states[states >= 0], minlength=n_states)
    return np.where(visits > 0, frames / np.maximum(visits, 1), np.nan)
