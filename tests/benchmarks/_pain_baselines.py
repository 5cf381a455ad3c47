"""Predictions of a run without a network: general linear models, finite impulse responses, other people."""

from collections.abc import Callable

import numpy as np
from _pain_data import HEAT_TAPS, RATING_TAPS, Study
from scipy.fft import dct

__all__ = ["Paths", "general_linear_model", "ridge_paths", "signal_share"]

STRENGTHS = np.logspace(-1, 4, 11)
"""Of the ridge penalty, for series with a mean square of one and rows that are frames."""

Paths = tuple[np.ndarray, np.ndarray]
"""Predictions along a path of settings.

Of run `k` from each single other run, ``[setting, subject, trained on, k]``, and from both, ``[setting, subject, k]``;
coefficient and parcel follow. The first is what a setting is chosen by.
"""


def paths(predict: Callable[[int, list[int], int], np.ndarray], n_people: int, n_runs: int = 3) -> Paths:
    """Return the paths of a function of subject, runs to learn from, and run to predict."""
    single = [[[predict(one, [run], k) for k in range(n_runs)] for run in range(n_runs)] for one in range(n_people)]
    both = [
        [predict(one, [run for run in range(n_runs) if run != k], k) for k in range(n_runs)] for one in range(n_people)
    ]
    # A setting is the first axis of what `predict` returns.
    return np.moveaxis(np.array(single, dtype=np.float32), 3, 0), np.moveaxis(np.array(both, dtype=np.float32), 2, 0)


def general_linear_model(study: Study, *, derivatives: bool) -> Paths:
    """Return predictions of least squares with the canonical response of each input, one setting."""
    columns = slice(None) if derivatives else slice(None, None, 3)
    design = study.canonical[..., columns]

    def predict(one: int, runs: list[int], k: int) -> np.ndarray:
        rows, series = np.concatenate(design[one, runs]), np.concatenate(study.measured[one, runs])
        return (design[one, k] @ np.linalg.lstsq(rows, series, rcond=None)[0])[None]

    return paths(predict, len(study.subjects))


def ridge_paths(study: Study) -> dict[str, Paths]:
    """Return predictions of finite impulse responses under a penalty, one setting a strength.

    ``own``: learned from the person's own runs, shrunk to zero. ``others``: from all runs of the other people, whatever
    the person's own runs hold. ``towards others``: from the person's own runs, shrunk to the others' responses.
    """
    gram = np.einsum("srkp,srkq->srpq", study.fir, study.fir)
    cross = np.einsum("srkp,srkv->srpv", study.fir, study.measured)
    # Where somebody has no signal there are fewer people, and the sums are those of as many people as there are.
    present = len(study.subjects) / study.good.sum(0)
    total_gram, total_cross = gram.sum((0, 1)), cross.sum((0, 1)) * present
    average = np.stack(
        [
            _ridge(total_gram - gram[one].sum(0), total_cross - cross[one].sum(0) * present, STRENGTHS)
            for one in range(len(study.subjects))
        ]
    )

    def own(one: int, runs: list[int], k: int) -> np.ndarray:
        return study.fir[one, k] @ _ridge(gram[one, runs].sum(0), cross[one, runs].sum(0), STRENGTHS)

    def others(one: int, _runs: list[int], k: int) -> np.ndarray:
        return study.fir[one, k] @ average[one]

    def towards_others(one: int, runs: list[int], k: int) -> np.ndarray:
        # The others' responses are those of the middle strength; two nested choices would cost more than they bring.
        prior = average[one, len(STRENGTHS) // 2]
        own_gram = gram[one, runs].sum(0)
        rest = _ridge(own_gram, cross[one, runs].sum(0) - own_gram @ prior, STRENGTHS)
        return study.fir[one, k] @ (prior + rest)

    n_people = len(study.subjects)
    return {
        "own": paths(own, n_people),
        "others": paths(others, n_people),
        "towards others": paths(towards_others, n_people),
    }


def signal_share(study: Study) -> np.ndarray:
    """Return the share of each run's variance that a response can explain which repeats, shape (subject, run, parcel).

    Responses of 36 s to heat and to its temperature, and of 24 s to ratings, are learned from each other run. What the
    two predict for this run has, but for the signal that both share, independent errors, so that the mean of their
    product is an unbiased estimate of the signal's power, which may come out negative: what counts is the average over
    people and parcels. It knows no signal that answers otherwise in another run, lasts longer, or does not add up.
    """
    n_taps = len(HEAT_TAPS)
    # Below 0.08 Hz, 37 s hold few cosines; the constant one is not seen within the band.
    cosines, short = (np.asarray(dct(np.eye(size), norm="ortho", axis=0)) for size in (n_taps, len(RATING_TAPS)))
    blocks = np.split(study.fir, [n_taps, 2 * n_taps], axis=-1)
    smooth = (cosines[1:7], cosines[:6], short[1:5])
    design = np.concatenate([block @ one.T for block, one in zip(blocks, smooth, strict=True)], axis=-1)
    share = np.zeros((len(study.subjects), 3, study.measured.shape[-1]))
    for one in range(len(study.subjects)):
        for k in range(3):
            first, second = (
                design[one, k] @ np.linalg.lstsq(design[one, run], study.measured[one, run], rcond=None)[0]
                for run in range(3)
                if run != k
            )
            power = (study.measured[one, k] ** 2).sum(0)
            np.divide((first * second).sum(0), power, out=share[one, k], where=power > 0)
    return share


def _ridge(gram: np.ndarray, cross: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Return the solutions for all strengths, shape (strength, column, parcel)."""
    values, vectors = np.linalg.eigh(gram)
    projected = vectors.T @ cross
    return np.stack([vectors @ (projected / (np.maximum(values, 0) + strength)[:, None]) for strength in strengths])
