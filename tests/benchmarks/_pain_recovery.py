"""Simulated people with the events of the heat-pain task: what was planted, and what of it is found again."""

from dataclasses import replace

import numpy as np
from _pain_data import PAIN_PARCELS, Study
from _pain_drm import Fits, Parameters, initial, predict, train
from tqdm.auto import tqdm

__all__ = ["every_fit", "network_numbers", "plant", "recovery", "simulate"]

LEVELS = ((1.0, 24, 1.0), (0.3, 80, 0.5), (0.0, 240, 0.2))
"""Noise as a multiple of the measured level, epochs, and a multiple of the learning rates: strong signals are learned
in smaller steps, or training is not stable."""
CHECKED_EVERY = 4

SHARES = {"pain": 0.04, "other": 0.01}
"""The signal's share of a run's variance; its root is the correlation that the true signal has with a run."""


def network_numbers(study: Study) -> np.ndarray:
    """Return the number of each parcel's network, in the order of their names."""
    return np.unique(study.networks, return_inverse=True)[1]


def every_fit(study: Study) -> Fits:
    """Return six fits for each person: on run 0, 1 and 2 alone, then on the two others than run 0, 1 and 2."""
    n_people = len(study.subjects)
    person = np.repeat(np.arange(n_people), 6)
    alone = np.eye(3, dtype=bool)
    runs = np.tile(np.vstack([alone, ~alone]), (n_people, 1))
    return Fits(
        stimulus=study.stimulus,
        person=person,
        target=study.measured[person],
        trained_on=runs[:, :, None] & study.good[person][:, None],
        basis=study.basis,
        network=network_numbers(study),
    )


def plant(study: Study, seed: int) -> Parameters:
    """Return parameters of each person, drawn at random.

    Time constants from 1 to 8 s, delays of the response from 5 to 7 s, answers to temperature in half of the networks,
    a third of all couplings.
    """
    rng = np.random.default_rng(seed)
    n_people = len(study.subjects)
    fits = replace(every_fit(study), person=np.arange(n_people))
    planted = initial(fits)
    shape = planted.time_constant.shape
    planted.time_constant[:] = np.exp(rng.uniform(np.log(1.0), np.log(8.0), shape))
    planted.drive[:, :, 0, 1] = rng.uniform(0.2, 1.0, shape[:2]) * (rng.random(shape[:2]) < 0.5)
    planted.drive[:, :, 1, 0] = rng.normal(0.0, 0.3, shape[:2])
    coupling = rng.normal(0.0, 0.5, planted.coupling.shape) * (rng.random(planted.coupling.shape) < 1 / 3)
    planted.coupling[:] = coupling * (1 - np.eye(shape[1]))[:, None, :, None]
    planted.readout[:] = rng.normal(0.0, 1.0, planted.readout.shape)
    planted.response[..., 0] = rng.uniform(5.0, 7.0, planted.response.shape[:2])
    return planted


def simulate(
    study: Study, planted: Parameters, seed: int, *, noise: float = 1.0, measured: np.ndarray | None = None
) -> tuple[Study, np.ndarray]:
    """Return simulated people and, in the same units, the signal in them.

    The noise has the spectrum of measured runs and their correlation between parcels.

    Parameters
    ----------
    study : Study
        Whose events are taken.
    planted : Parameters
        One fit a person.
    seed : int
    noise : float, default 1.0
        Standard deviation of the noise in multiples of that at which the signal has its share of the variance.
    measured : array, shape (subject, run, coefficient, parcel), optional
        Runs whose spectrum and correlations between parcels the noise has; those of `study` when not given.

    Returns
    -------
    Study
    array, shape (subject, run, coefficient, parcel)
    """
    rng = np.random.default_rng(seed)
    n_people = len(study.subjects)
    fits = replace(every_fit(study), person=np.arange(n_people))
    signal = predict(fits, planted).astype(np.float64)
    share = np.where(np.isin(study.labels, PAIN_PARCELS), SHARES["pain"], SHARES["other"])
    runs = study.measured if measured is None else measured
    power = (runs**2).mean((0, 3))
    pooled = runs.reshape(-1, len(study.labels))
    correlation = np.corrcoef(pooled.T)
    root = np.linalg.cholesky(0.999 * correlation + 0.001 * np.eye(len(correlation)))
    error = rng.standard_normal(study.measured.shape) @ root.T * np.sqrt(power)[:, :, None]
    frames = study.n_frames[:, None]
    scale = np.sqrt(share / ((signal**2).sum(2) / frames).mean(1, keepdims=True))
    signal *= scale[:, :, None]
    total = signal + noise * np.sqrt(1 - share) * error
    size = np.sqrt((total**2).sum(2, keepdims=True) / frames[:, :, None])
    return replace(study, measured=total / size, good=np.ones_like(study.good)), signal / size


def recovery(study: Study, *, n_people: int, share: float = 1.0, seed: int = 1) -> list[dict[str, str]]:
    """Return, for each level of noise, how well what was planted in simulated people is found again.

    As in the study, a network is trained on two runs for as many epochs as predict either of them best from the other,
    in the pain parcels.

    Parameters
    ----------
    study : Study
        Whose events are taken: those of the first people.
    n_people : int
    share : float, default 1.0
        Of the epochs, for a quick look.
    seed : int, default 1

    Returns
    -------
    list of dict, one a level of noise
        Mean and standard deviation over people: the correlation with the held-out run, and with the signal in it; then
        correlations of planted and found parameters or responses.
    """
    noise_of_all, some = study, study.take(range(n_people))
    planted = plant(some, seed)
    pain = np.isin(some.labels, PAIN_PARCELS)
    rows = []
    for noise, n_epochs, rate in tqdm(LEVELS, desc="recovery", unit="level"):
        people, signal = simulate(some, planted, seed + 1, noise=noise, measured=noise_of_all.measured)
        fits = every_fit(people)
        # Runs 0 and 1 are learned from, 2 is held out: fits 0 and 1 choose the epoch, fit 5 is the one looked at.
        chosen = np.add.outer(6 * np.arange(n_people), [0, 1, 5]).ravel()
        fits = replace(fits, person=fits.person[chosen], target=fits.target[chosen], trained_on=fits.trained_on[chosen])
        path, learned = train(fits, initial(fits), n_epochs=round(share * n_epochs), every=CHECKED_EVERY, rate=rate)
        path = path.reshape(len(path), n_people, 3, *path.shape[2:])[..., pain]
        measured = people.measured[..., pain]
        inner = _cosine(path[:, :, 0, 1], measured[:, 1]) + _cosine(path[:, :, 1, 0], measured[:, 0])
        best = inner.mean(-1).argmax(0)
        parts = [learned[place].take([3 * one + 2]) for one, place in enumerate(best)]
        found = Parameters(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in Parameters.__dataclass_fields__)
        )
        rows.append(_row(noise, CHECKED_EVERY * best, planted, found, people, signal, pain))
    return rows


def _row(
    noise: float,
    epochs: np.ndarray,
    planted: Parameters,
    found: Parameters,
    people: Study,
    signal: np.ndarray,
    pain: np.ndarray,
) -> dict[str, str]:
    n_people = len(people.subjects)
    fits = replace(every_fit(people), person=np.arange(n_people))
    predicted = predict(fits, found)[:, 2]
    responses = [_to_single_trials(one, fits) for one in (planted, found)]
    off = ~np.eye(fits.n_networks, dtype=bool)
    slopes = [one.drive[:, :, 0, 1] for one in (planted, found)]
    pairs = {
        "delay of the response, parcels": [one.response[..., 0] for one in (planted, found)],
        "time constants, units": [np.log(one.time_constant).reshape(n_people, -1) for one in (planted, found)],
        "weight of temperature, networks": slopes,
        "coupling": [one.coupling.swapaxes(2, 3)[:, off].reshape(n_people, -1) for one in (planted, found)],
    }
    return {
        "noise": f"{noise:g}",
        "epochs": f"{epochs.min()} to {epochs.max()}",
        "held-out run": _spread(_cosine(predicted, people.measured[:, 2])[:, pain].mean(-1)),
        "signal in it": _spread(_cosine(predicted, signal[:, 2])[:, pain].mean(-1)),
        "answer to one heat": _spread(_cosine(*(one[:, 0] for one in responses))[:, pain].mean(-1)),
        "what 2 degrees add": _spread(_cosine(*(one[:, 1] - one[:, 0] for one in responses))[:, pain].mean(-1)),
        **{name: _spread(_correlation(*both)) for name, both in pairs.items()},
    }


def _to_single_trials(given: Parameters, fits: Fits) -> np.ndarray:
    """Return the responses to heat for 12 s, neutral and 2 degrees hotter, shape (person, trial, frame, parcel)."""
    stimulus = np.zeros((1, 2, *fits.stimulus.shape[2:]))
    stimulus[:, :, 1:7, 0] = 1.0
    stimulus[:, 1, 1:7, 1] = 1.0
    frames = fits.basis.shape[2]
    basis = np.broadcast_to(np.eye(30, frames), (2, 30, frames))
    n_people = fits.n_fits
    empty = np.zeros((n_people, 2, 30, len(fits.network)))
    alone = Fits(stimulus, np.zeros(n_people, dtype=int), empty, empty[:, :, 0] > 0, basis, fits.network)
    return predict(alone, given)


def _cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the correlation over the last axis but one of what has no mean; zero where nothing is predicted."""
    size = np.sqrt((first**2).sum(-2) * (second**2).sum(-2))
    return np.divide((first * second).sum(-2), size, out=np.zeros_like(size), where=size > 0)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return each person's correlation over the last axis, zero where what was found does not vary."""
    first, second = (one - one.mean(-1, keepdims=True) for one in (first, second))
    return _cosine(first[..., None], second[..., None])[..., 0]


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"
