"""Every public loss, with inputs and the value that NumPy or SciPy give for them in double precision."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import networkx as nx
import numpy as np
from scipy import linalg, signal, special, stats
from scipy.spatial import distance

from conn import loss as cl
from conn.functional import correlation_null, correlation_operator


class LossCase(NamedTuple):
    """A loss, what it is called with (the first is differentiated), and its value by other means."""

    loss: cl.Loss
    arguments: tuple[np.ndarray, ...]
    expected: float
    named: Mapping[str, Any] = MappingProxyType({})
    wrap: Any = None


def _simplex(rng, *shape, axis=-1):
    return special.softmax(rng.standard_normal(shape), axis)


def _sphere(rng, n, radius=10.0):
    points = rng.standard_normal((n, 3))
    return radius * points / np.linalg.norm(points, axis=-1, keepdims=True)


def _centres(assignment, points, radius=None):
    centres = assignment @ points / assignment.sum(-1, keepdims=True)
    return centres if radius is None else radius * centres / np.linalg.norm(centres, axis=-1, keepdims=True)


def _arc(a, b, radius):
    return radius * np.arccos(np.clip((a * b).sum(-1) / radius**2, -1, 1))


def _kl(p, q):
    return stats.entropy(p, q, axis=-1).mean()


def _newman(labels, weights, gamma):
    graph = nx.from_numpy_array(weights)
    sets = [set(np.flatnonzero(labels == c)) for c in np.unique(labels)]
    return nx.community.modularity(graph, sets, resolution=gamma)


def _batch_excess(values, quality, tolerance):
    return np.mean([max(abs(stats.pearsonr(v, quality)[0]) - tolerance, 0) for v in values.T])


def _moment(x, a, centre=None):
    shares = a / a.sum(-1, keepdims=True)
    mean = shares @ x if centre is None else centre
    return np.einsum("rv,rvf->rf", shares, (x[None] - mean[:, None]) ** 2).mean()


def _eigenmap(y, a):
    a = a - np.diag(np.diag(a))
    d = np.diag(a.sum(0))
    y = y - (d @ y).sum(0) / d.sum()
    return np.trace(linalg.inv(y.T @ d @ y) @ y.T @ (d - a) @ y)


def _kurtosis(x):
    inverse = np.linalg.inv(np.cov(x, ddof=0))
    centre = x.mean(-1)
    return np.mean([distance.mahalanobis(frame, centre, inverse) ** 4 for frame in x.T])


def _identification(a, b, temperature):
    r = np.corrcoef(a, b)[: len(a), len(a) :] / temperature
    return -np.mean(np.diag(special.log_softmax(r, 0)) + np.diag(special.log_softmax(r, 1))) / 2


def _sliced(x, y, key, n):
    directions = np.asarray(jax.random.normal(key, (n, x.shape[-1]), np.float64))
    directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return np.mean([stats.wasserstein_distance(x @ d, y @ d) for d in directions])


def _mmd(x, y, gamma):
    k = lambda a, b: np.exp(-gamma * distance.cdist(a, b, "sqeuclidean")).mean()
    return k(x, x) + k(y, y) - 2 * k(x, y)


def _spectra(x, y, repetition_time, length, floor=1e-6):
    logs = []
    for series in (x, y):
        power = signal.welch(series, 1 / repetition_time, nperseg=length)[1][:, 1:]
        logs.append(np.log(power / power.sum(-1, keepdims=True) + floor))
    return np.mean((logs[0] - logs[1]) ** 2)


def _fcd(x, width, step):
    upper = np.triu_indices(len(x), 1)
    starts = range(0, x.shape[1] - width + 1, step)
    edges = np.array([np.corrcoef(x[:, s : s + width])[upper] for s in starts])
    apart = np.array([(i, j) for i in range(len(edges)) for j in range(i, len(edges)) if (j - i) * step >= width])
    return np.corrcoef(edges)[apart[:, 0], apart[:, 1]]


def loss_cases(key) -> dict[str, LossCase]:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 4, 12))
    p, q = _simplex(rng, 3, 5), _simplex(rng, 3, 5)
    logit, other = rng.standard_normal((2, 3, 5))
    assignment, points = rng.uniform(0.1, 1, (3, 9)), _sphere(rng, 9)
    reference = _sphere(rng, 3)
    right, right_points = rng.uniform(0.1, 1, (3, 8)), _sphere(rng, 8)
    mirrored = _centres(assignment, points, 10.0) * [-1, 1, 1]
    distances = _arc(_centres(assignment, points, 10.0)[:, None], points[None], 10.0)
    straight = distance.cdist(_centres(assignment, points), points)
    r, s = np.corrcoef(x), np.corrcoef(y)
    upper = np.triu_indices(4, 1)
    motion, fc = rng.uniform(0.1, 1, 12), rng.standard_normal((12, 3, 3))
    affinity = np.exp(rng.standard_normal((7, 7)))
    affinity = affinity + affinity.T - np.diag(2 * np.diag(affinity))
    maps = rng.standard_normal((7, 2))
    labels = np.array([0, 0, 0, 1, 1, 2, 2])
    one_hot = np.eye(3)[labels]
    series = rng.standard_normal((7, 30))
    positive = np.maximum(np.corrcoef(series), 0)
    doubled = positive + np.eye(7)  # NetworkX counts a loop twice in a degree
    long, longer = rng.standard_normal((2, 3, 40)), rng.standard_normal((2, 3, 50))
    null = partial(correlation_null, n_frames=30, global_mode=False)
    values, vectors = np.linalg.eigh(np.corrcoef(series))
    kept = values > (1 + np.sqrt(7 / 30)) ** 2
    structure = (vectors[:, kept] * values[kept]) @ vectors[:, kept].T
    apart, near = rng.standard_normal((6, 3)), rng.standard_normal((4, 3))
    share = assignment.sum(-1) / assignment.sum(-1).mean()
    soft = special.softmax(assignment, 0).sum(-1)
    tolerated = cl.tolerated_correlation(12, significance=0.5)
    negative = lambda z: (z**2).sum()
    masked = np.where(x > 1, np.nan, x)
    log_det = -np.linalg.slogdet(r + 1e-3 * np.eye(4))[1]
    cases = [
        LossCase(cl.Loss(2.0, score=cl.identity), (x,), 2 * x.mean()),
        LossCase(cl.MSELoss(), (x, y), ((x - y) ** 2).mean()),
        LossCase(cl.NormedLoss(p=3, axis=-1), (x,), np.linalg.norm(x, 3, -1).mean()),
        LossCase(cl.FisherZLoss(), (r, s), ((np.arctanh(r[upper]) - np.arctanh(s[upper])) ** 2).mean()),
        LossCase(
            cl.MaskedLoss(cl.Loss(score=_squared, name="Masked")),
            (masked, y),
            np.nanmean((masked - y) ** 2),
            {"mask": ~np.isnan(masked)},
        ),
        LossCase(
            cl.ConstraintViolationLoss(constraints=[lambda z: z - 1, lambda z: -z - 1]),
            (x,),
            np.maximum(np.abs(x) - 1, 0).mean(),
        ),
        LossCase(cl.UnilateralLoss(), (x,), np.clip(x, 0, None).mean()),
        LossCase(cl.HingeLoss(), (x, np.sign(y)), np.clip(1 - x * np.sign(y), 0, None).sum()),
        LossCase(cl.SmoothnessLoss(order=2), (x,), np.abs(np.diff(x, 2)).sum()),
        LossCase(cl.BimodalSymmetricLoss(), (x,), np.minimum(np.abs(x), np.abs(x - 1)).mean()),
        LossCase(cl.GramDeterminantLoss(), (x,), -np.linalg.det(r)),
        LossCase(cl.GramLogDeterminantLoss(), (x,), log_det),
        LossCase(cl.EntropyLoss(), (p,), stats.entropy(p, axis=-1).mean()),
        LossCase(cl.EntropyLogitLoss(), (logit,), stats.entropy(special.softmax(logit, -1), axis=-1).mean()),
        LossCase(cl.KLDivergenceLoss(), (p, q), _kl(p, q)),
        LossCase(
            cl.KLDivergenceLogitLoss(), (logit, other), _kl(special.softmax(logit, -1), special.softmax(other, -1))
        ),
        LossCase(cl.JSDivergenceLoss(), (p, q), (distance.jensenshannon(p, q, axis=-1) ** 2).mean()),
        LossCase(
            cl.JSDivergenceLogitLoss(),
            (logit, other),
            (distance.jensenshannon(special.softmax(logit, -1), special.softmax(other, -1), axis=-1) ** 2).mean(),
        ),
        LossCase(cl.BregmanLoss(function=negative), (x, y), ((x - y) ** 2).sum(-1).mean()),
        LossCase(
            cl.BregmanLogitLoss(function=negative),
            (logit, other),
            ((special.softmax(logit, -1) - special.softmax(other, -1)) ** 2).sum(-1).mean(),
        ),
        LossCase(cl.EquilibriumLoss(), (assignment,), ((share - 1) ** 2).mean()),
        LossCase(cl.EquilibriumLogitLoss(), (assignment,), ((soft / 3 - 1) ** 2).mean()),
        LossCase(cl.SecondMomentLoss(), (rng_x := rng.standard_normal((9, 4)), assignment), _moment(rng_x, assignment)),
        LossCase(
            cl.SecondMomentCentredLoss(),
            (rng_x, assignment, logit[:, :4]),
            _moment(rng_x, assignment, logit[:, :4]),
        ),
        LossCase(cl.BatchCorrelationLoss(tolerance=0.1), (x.T, motion), _batch_excess(x.T, motion, 0.1)),
        LossCase(
            cl.QCFCLoss(significance=0.5),
            (fc, motion),
            _batch_excess(fc[(slice(None), *np.triu_indices(3, 1))], motion, tolerated),
        ),
        LossCase(
            cl.ReferenceTetherLoss(radius=10.0),
            (assignment, reference, points),
            _arc(_centres(assignment, points, 10.0), reference, 10.0).mean(),
        ),
        LossCase(
            cl.InterhemisphericTetherLoss(radius=10.0),
            (assignment, right, points, right_points),
            _arc(_centres(right, right_points, 10.0), mirrored, 10.0).mean(),
        ),
        LossCase(
            cl.CompactnessLoss(radius=10.0),
            (assignment, points),
            ((assignment * distances).sum(-1) / assignment.sum(-1)).mean(),
        ),
        LossCase(
            cl.CompactnessLoss(name="CompactnessInSpace", floor=0.1),
            (assignment, points),
            np.maximum((assignment * straight).sum(-1) / assignment.sum(-1) - 0.1, 0).mean(),
        ),
        LossCase(
            cl.ReferenceTetherLoss(name="ReferenceTetherInSpace"),
            (assignment, reference, points),
            np.linalg.norm(_centres(assignment, points) - reference, axis=-1).mean(),
        ),
        LossCase(cl.DispersionLoss(), (reference,), -distance.pdist(reference).mean()),
        LossCase(
            cl.DispersionLoss(name="DispersionOnSphere", radius=10.0, threshold=15.0),
            (reference,),
            -np.mean([min(_arc(reference[i], reference[j], 10.0), 15.0) for i, j in ((0, 1), (0, 2), (1, 2))]),
        ),
        LossCase(cl.MultivariateKurtosisLoss(), (x,), _kurtosis(x)),
        LossCase(
            cl.ConnectopyLoss(),
            (maps, affinity),
            (affinity * distance.cdist(maps, maps, "sqeuclidean")).sum() / affinity.sum(),
        ),
        LossCase(cl.EigenmapLoss(ridge=0.0), (maps, affinity), _eigenmap(maps, affinity)),
        LossCase(cl.ModularityLoss(gamma=1.3), (one_hot, doubled), -_newman(labels, positive, 1.3)),
        LossCase(
            cl.ModularityLoss(name="ModularityOfCorrelations", null=null, sign=None),
            (one_hot, np.corrcoef(series)),
            -np.einsum("ic,jc,ij", one_hot, one_hot, structure) / 49,
        ),
        LossCase(
            cl.OperatorModularityLoss(),
            (one_hot, series),
            -_newman(labels, positive - np.eye(7) / 2, 1.0),
            wrap=lambda a: (a[0], correlation_operator(a[1])),
        ),
        LossCase(cl.IdentificationLoss(), (x, x + y), _identification(x, x + y, 0.1)),
        LossCase(cl.SlicedWassersteinLoss(n_directions=3, p=1), (apart, near), _sliced(apart, near, key, 3)),
        LossCase(cl.MaximumMeanDiscrepancyLoss(gamma=0.5), (apart, near), _mmd(apart, near, 0.5)),
        LossCase(
            cl.SpectralDensityLoss(repetition_time=2.0, segment_length=10),
            (long[0], longer[0]),
            _spectra(long[0], longer[0], 2.0, 10),
        ),
        LossCase(
            cl.ConnectivityDynamicsLoss(width=10, step=5),
            (np.vstack([long[0], long[1, :1]]), np.vstack([longer[0], longer[1, :1]])),
            stats.wasserstein_distance(
                _fcd(np.vstack([long[0], long[1, :1]]), 10, 5), _fcd(np.vstack([longer[0], longer[1, :1]]), 10, 5)
            ),
        ),
    ]
    return {case.loss.name: case for case in cases}


def _squared(values, target):
    return (values - target) ** 2
