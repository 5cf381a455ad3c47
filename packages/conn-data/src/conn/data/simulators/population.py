"""People whose connectomes differ by a known amount, and behaviour that depends on them by a known amount."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import finite_array, probability, real_number, whole_number
from conn.data.errors import DataError

__all__ = ["BehaviourSimulation", "PopulationSimulation", "simulate_behaviour", "simulate_population"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationSimulation:
    """Sessions of people whose connectomes have a group, a personal and a passing part.

    Parameters
    ----------
    covariance : array, shape (subject, session, region, region)
        The connectome of each session, positive definite.
    tangent : array, shape (subject, session, edge)
        Its matrix logarithm above the diagonal, ``numpy.triu_indices(region, 1)``: here the parts add up.
    time_series : array of shape (subject, session, region, frame), or None
        White Gaussian series with these covariances, if frames were asked for.
    group : array, shape (edge,)
        The part that all share.
    individual : array, shape (subject, edge)
        The part that belongs to a person.
    reliability : float
        Intraclass correlation of every edge: variance between people over the whole.
    """

    covariance: NDArray[np.float64]
    tangent: NDArray[np.float64]
    time_series: NDArray[np.float64] | None
    group: NDArray[np.float64]
    individual: NDArray[np.float64]
    reliability: float


def simulate_population(
    *,
    n_subjects: int = 20,
    n_sessions: int = 2,
    n_regions: int = 30,
    reliability: float = 0.5,
    spread: float = 0.1,
    group_spread: float = 0.2,
    n_frames: int | None = None,
    rng: np.random.Generator | int | None = 0,
) -> PopulationSimulation:
    r"""Return repeated connectomes of people, with a set reliability of every edge.

    .. math:: \log C_{ps} = G + \sigma \left( \sqrt{\rho}\, P_p + \sqrt{1 - \rho}\, N_{ps} \right)

    with symmetric Gaussian :math:`P` of the person and :math:`N` of the session, of unit variance off the
    diagonal and 0 on it. The intraclass correlation ICC(1,1) of an edge is :math:`\rho`; it is also the
    expected correlation over edges of two sessions of one person after the group's mean is taken off, while
    that of two people is 0. The matrix exponential makes every connectome positive definite.

    Parameters
    ----------
    n_subjects, n_sessions : int, defaults 20 and 2
        People, and sessions of each.
    n_regions : int, default 30
        At least 2.
    reliability : float, default 0.5
        :math:`\rho`, 0 to 1.
    spread : float, default 0.1
        :math:`\sigma`, above 0.
    group_spread : float, default 0.2
        Standard deviation over edges of the group's part :math:`G`.
    n_frames : int, optional
        Draw so many frames of white series a session. What is estimated from them is less reliable than
        :math:`\rho`.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    PopulationSimulation
        Connectomes, their parts, series.

    Raises
    ------
    DataError
        If a count is too small or a number lies outside its range.

    References
    ----------
    Shrout & Fleiss (1979), Psychological Bulletin 86, 420-428, doi:10.1037/0033-2909.86.2.420;
    log-Euclidean means: Arsigny et al. (2007), SIAM Journal on Matrix Analysis 29, 328-347,
    doi:10.1137/050637996.

    Examples
    --------
    >>> from conn.data.simulators import simulate_population
    >>> made = simulate_population(n_subjects=3, n_regions=5, n_frames=40)
    >>> made.covariance.shape, made.time_series.shape
    ((3, 2, 5, 5), (3, 2, 5, 40))
    """
    n_subjects, n_sessions = whole_number("n_subjects", n_subjects), whole_number("n_sessions", n_sessions)
    n_regions, rho = whole_number("n_regions", n_regions, 2), probability("reliability", reliability)
    spread = real_number("spread", spread, above=0)
    group_spread = real_number("group_spread", group_spread, minimum=0)
    generator = np.random.default_rng(rng)
    edges = np.triu_indices(n_regions, 1)
    n_edges = edges[0].size
    group = group_spread * generator.standard_normal(n_edges)
    individual = spread * np.sqrt(rho) * generator.standard_normal((n_subjects, n_edges))
    passing = spread * np.sqrt(1 - rho) * generator.standard_normal((n_subjects, n_sessions, n_edges))
    tangent = group + individual[:, None] + passing
    logarithm = np.zeros((n_subjects, n_sessions, n_regions, n_regions))
    logarithm[..., edges[0], edges[1]] = tangent
    values, vectors = np.linalg.eigh(logarithm + logarithm.swapaxes(-1, -2))
    covariance = (vectors * np.exp(values)[..., None, :]) @ vectors.swapaxes(-1, -2)
    series = None
    if n_frames is not None:
        white = generator.standard_normal((n_subjects, n_sessions, n_regions, whole_number("n_frames", n_frames)))
        series = (vectors * np.exp(values / 2)[..., None, :]) @ white
    return PopulationSimulation(
        covariance=covariance,
        tangent=tangent,
        time_series=series,
        group=group,
        individual=individual,
        reliability=rho,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class BehaviourSimulation:
    """A score that features explain to a set extent.

    Parameters
    ----------
    score : array, shape (subject,)
        Of mean 0 and variance 1 in these people.
    predictable : array, shape (subject,)
        What the features say, in the units of the score: the best prediction.
    weights : array, shape (feature,)
        ``(features - features.mean(axis=0)) @ weights`` is the predictable part.
    explained_variance : float
        Share of the score's variance that is predictable, exact in these people.
    """

    score: NDArray[np.float64]
    predictable: NDArray[np.float64]
    weights: NDArray[np.float64]
    explained_variance: float


def simulate_behaviour(
    features: ArrayLike,
    explained_variance: float = 0.3,
    *,
    n_active: int | None = None,
    confounds: ArrayLike | None = None,
    rng: np.random.Generator | int | None = 0,
) -> BehaviourSimulation:
    r"""Return a score with a set share of variance explained by features.

    .. math:: y = \sqrt{R^2}\, z + \sqrt{1 - R^2}\, \epsilon

    with :math:`z` a random combination of standardised features, and noise that is made orthogonal to
    :math:`z`, so that :math:`R^2` is exact in the people given and not only in expectation.

    Parameters
    ----------
    features : array, shape (subject, feature)
        Such as the edges of connectomes. Constant features take no part.
    explained_variance : float, default 0.3
        :math:`R^2`, 0 to 1.
    n_active : int, optional
        Features that take part, drawn at random; all by default.
    confounds : array, shape (subject, confound), optional
        The noise is made orthogonal to them too.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    BehaviourSimulation
        Score, its predictable part, weights.

    Raises
    ------
    DataError
        If the shapes do not fit, there are too few people for the noise, or no active feature varies.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.simulators import simulate_behaviour
    >>> made = simulate_behaviour(np.random.default_rng(0).normal(size=(50, 10)), 0.4)
    >>> round(float(np.corrcoef(made.score, made.predictable)[0, 1] ** 2), 6)
    0.4
    """
    given = finite_array("features", features, ("subject", "feature"))
    share = probability("explained_variance", explained_variance)
    n_subjects, n_features = given.shape
    extra = np.empty((n_subjects, 0))
    if confounds is not None:
        extra = finite_array("confounds", confounds, (n_subjects, "confound"))
    if n_subjects < extra.shape[1] + 3:
        raise DataError(f"{n_subjects} people are too few: at least {extra.shape[1] + 3} are needed")
    n_active = n_features if n_active is None else whole_number("n_active", n_active)
    if n_active > n_features:
        raise DataError(f"{n_active} active features are more than {n_features}")
    generator = np.random.default_rng(rng)
    active = generator.choice(n_features, n_active, replace=False)
    centred = given - given.mean(axis=0)
    deviation = centred.std(axis=0)
    varies = deviation > 1e-12 * np.maximum(np.abs(given).max(axis=0), np.finfo(float).tiny)
    weights = np.zeros(n_features)
    drawn = generator.standard_normal(n_active)
    weights[active] = np.where(varies[active], drawn / np.where(varies[active], deviation[active], 1.0), 0.0)
    combined = centred @ weights
    size = combined.std()
    if size == 0:
        raise DataError("none of the active features varies")
    known = np.column_stack([np.ones(n_subjects), combined / size, extra])
    noise = generator.standard_normal(n_subjects)
    noise = noise - known @ np.linalg.lstsq(known, noise, rcond=None)[0]
    predictable = np.sqrt(share) * combined / size
    return BehaviourSimulation(
        score=predictable + np.sqrt(1 - share) * noise / noise.std(),
        predictable=predictable,
        weights=np.sqrt(share) * weights / size,
        explained_variance=share,
    )
