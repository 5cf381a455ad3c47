"""The heat-pain task as arrays: what was measured, what was applied, and simulated subjects with the same events."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from nilearn.glm.first_level import compute_regressor

from conn.data import load_pain_task
from drm import events_to_samples

RUNS = (1, 3, 7)
BAND = (0.008, 0.08)
"""Hertz; what the preprocessing of the data has left."""
TICK = 2000.0
"""Milliseconds."""
TEMPERATURE = (44.3, 2.0)
"""Degrees Celsius that stand for 0, and those that stand for 1, above it."""
HEAT_TAPS, RATING_TAPS = np.arange(0.0, 37.0, 2.0), np.arange(0.0, 25.0, 2.0)
"""Seconds after the onset."""
INPUTS = ("heat", "temperature", "rating")
PAIN_PARCELS = (
    "AINS_ad", "AINS_pd", "AINS_v", "PINS_d", "PINS_v", "ACcor_d", "CNGsul_p", "SMgyr", "THAL_d", "THAL_v",
    "l_PCsul", "R_PCsul",
)  # fmt: skip
"""Insula, middle cingulate, parietal operculum, thalamus, postcentral sulcus: chosen by name."""


@dataclass(frozen=True)
class Study:
    """Runs of several people, and what was applied in each.

    Series are held by the coefficients of their cosine transform within the band: sums over coefficients are sums over
    frames. Shorter runs have fewer coefficients and frames; the rest is zero.

    Parameters
    ----------
    subjects : tuple of str
    measured : array, shape (subject, run, coefficient, parcel)
        A mean square over frames of one in each run; zero where a parcel is flat.
    good : array of bool, shape (subject, parcel)
        Whether the parcel has a signal in all runs.
    basis : array, shape (run, coefficient, frame)
        Rows are orthonormal.
    stimulus : array, shape (subject, run, tick, input)
        ``INPUTS`` at each tick.
    canonical : array, shape (subject, run, coefficient, 9)
        Regressors of the general linear model, input by input: the response, its derivatives by time and dispersion.
    fir : array, shape (subject, run, coefficient, tap)
        Regressors of the finite impulse response, input by input.
    labels, networks : tuple of str, one a parcel
    """

    subjects: tuple[str, ...]
    measured: np.ndarray
    good: np.ndarray
    basis: np.ndarray
    stimulus: np.ndarray
    canonical: np.ndarray
    fir: np.ndarray
    labels: tuple[str, ...]
    networks: tuple[str, ...]

    @property
    def n_frames(self) -> np.ndarray:
        """The number of frames of each run."""
        return (np.abs(self.basis).sum(1) > 0).sum(1)

    def take(self, rows: Iterable[int]) -> "Study":
        """Return some of the people."""
        rows = list(rows)
        parts = {name: getattr(self, name)[rows] for name in ("measured", "good", "stimulus", "canonical", "fir")}
        return replace(self, subjects=tuple(self.subjects[row] for row in rows), **parts)


def load_study() -> Study:
    """Return all people who have three runs."""
    scans = load_pain_task()
    table, events = scans.table, scans.events
    if events is None:
        raise ValueError("the data have no events")
    complete = [str(name) for name, rows in table.groupby("subject") if len(rows) == len(RUNS)]
    n_ticks = int(scans.time_series.shape[2] * scans.repetition_time * 1000 / TICK)
    lengths = [int(table.loc[table["run"] == run, "n_frames"].iloc[0]) for run in RUNS]
    basis = _cosines(lengths, scans.repetition_time)
    measured, stimulus, canonical, fir = [], [], [], []
    for name in complete:
        for run, cosines, length in zip(RUNS, basis, lengths, strict=True):
            row = int(np.flatnonzero((table["subject"] == name) & (table["run"] == run))[0])
            if table["n_frames"].iloc[row] != length:
                raise ValueError(f"{name}, run {run}: {table['n_frames'].iloc[row]} frames, expected {length}")
            series = cosines @ scans.time_series[row].T.astype(np.float64)
            scale = np.sqrt((series**2).sum(0) / length)
            measured.append(np.divide(series, scale, out=np.zeros_like(series), where=scale > 0))
            own = events.loc[(events["subject"] == name) & (events["run"] == run)]
            frame_times = np.arange(cosines.shape[1]) * scans.repetition_time
            stimulus.append(_at_ticks(own, n_ticks))
            canonical.append(cosines @ _regressors(own, frame_times))
            fir.append(cosines @ _taps(own, frame_times))
    shaped = [
        np.stack(one).reshape(len(complete), len(RUNS), *one[0].shape) for one in (measured, stimulus, canonical, fir)
    ]
    return Study(
        subjects=tuple(complete),
        measured=shaped[0],
        good=(np.abs(shaped[0]).sum(2) > 0).all(1),
        basis=basis,
        stimulus=shaped[1],
        canonical=shaped[2],
        fir=shaped[3],
        labels=scans.region_labels,
        networks=scans.networks,
    )


def events_of_inputs(events: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return onset, duration (seconds) and amplitude of each input's events, shape (3, event)."""
    heat = events.loc[events["trial_type"] == "heat"]
    rating = events.loc[events["trial_type"] == "rating"]
    zero, one = TEMPERATURE
    times = heat[["onset", "duration"]].to_numpy(float).T
    return {
        "heat": np.vstack([times, np.ones(len(heat))]),
        "temperature": np.vstack([times, (heat["temperature"].to_numpy(float) - zero) / one]),
        "rating": np.vstack([rating[["onset", "duration"]].to_numpy(float).T, np.ones(len(rating))]),
    }


def _cosines(lengths: list[int], repetition_time: float) -> np.ndarray:
    """Return the cosines (DCT-II) within the band for runs of these lengths, zero where a run is over."""
    rows = []
    for length in lengths:
        orders = np.arange(1, length)
        frequency = orders / (2 * length * repetition_time)
        orders = orders[(frequency >= BAND[0]) & (frequency <= BAND[1])]
        rows.append(np.sqrt(2 / length) * np.cos(np.pi * orders[:, None] * (np.arange(length) + 0.5) / length))
    basis = np.zeros((len(lengths), max(len(one) for one in rows), max(lengths)))
    for place, one in zip(basis, rows, strict=True):
        place[: one.shape[0], : one.shape[1]] = one
    return basis


def _at_ticks(events: pd.DataFrame, n_ticks: int) -> np.ndarray:
    columns = [
        events_to_samples(1000 * onset, 1000 * duration, amplitude, resolution=TICK, n_ticks=n_ticks)
        for onset, duration, amplitude in events_of_inputs(events).values()
    ]
    return np.hstack(columns)


def _regressors(events: pd.DataFrame, frame_times: np.ndarray) -> np.ndarray:
    columns = [
        compute_regressor(condition, "spm + derivative + dispersion", frame_times)[0]
        for condition in events_of_inputs(events).values()
    ]
    return np.hstack(columns)


def _taps(events: pd.DataFrame, frame_times: np.ndarray) -> np.ndarray:
    """Return hat functions of the time since an event, summed over events."""
    columns = []
    for name, (onset, _, amplitude) in events_of_inputs(events).items():
        delays = RATING_TAPS if name == "rating" else HEAT_TAPS
        since = frame_times[:, None, None] - onset[:, None] - delays
        hats = np.clip(1 - np.abs(since) / (delays[1] - delays[0]), 0, None)
        columns.append((hats * amplitude[:, None]).sum(1))
    return np.hstack(columns)
