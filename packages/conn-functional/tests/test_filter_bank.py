"""Filter banks: gains of classical filters, learning a planted band, constrained gains, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from op_case import OpCase

from conn.functional import ButterworthBank, FilterBank, MappedLogits, design_sections

BANDS = [(0.02, 0.08), (0.08, 0.16)]


def _gains_and_series(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(size=(2, 21)), rng.normal(size=(3, 40))


def _edges_and_series(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array([0.02, 0.05]), np.array([0.08, 0.2]), rng.normal(size=(3, 40))


def _filtered(gain: np.ndarray, series: np.ndarray) -> np.ndarray:
    return np.stack([np.fft.irfft(np.fft.rfft(series) * row, n=series.shape[-1]) for row in gain])


def _butterworth(low: np.ndarray, high: np.ndarray, series: np.ndarray) -> np.ndarray:
    # The analogue prototypes: a low-pass and a high-pass in series, their squared magnitudes by SciPy.
    angular = 2 * np.pi * np.fft.rfftfreq(series.shape[-1], 2.0)
    gains = []
    for first, last in zip(low, high, strict=True):
        parts = [
            np.abs(scipy.signal.freqs(*scipy.signal.butter(4, 2 * np.pi * edge, kind, analog=True), angular)[1]) ** 2
            for edge, kind in ((first, "highpass"), (last, "lowpass"))
        ]
        gains.append(parts[0] * parts[1])
    return _filtered(np.stack(gains), series)


OP_CASES: list[OpCase] = [
    OpCase(
        "FilterBank",
        lambda gain, series: FilterBank(gain)(series),
        _gains_and_series,
        "numpy.fft",
        _filtered,
        degenerate={"zeros": (np.zeros((2, 21)), np.zeros((3, 40)))},
    ),
    OpCase(
        "ButterworthBank",
        lambda low, high, series: ButterworthBank(low, high, repetition_time=2.0)(series),
        _edges_and_series,
        "scipy.signal.butter, scipy.signal.freqs",
        _butterworth,
        degenerate={
            "an empty band": (np.array([0.1, 0.1]), np.array([0.1, 0.01]), np.ones((3, 40))),
            "edges far out of range": (np.array([1e-30, 10.0]), np.array([1e30, 20.0]), np.zeros((3, 40))),
        },
    ),
]


def test_a_bank_starts_from_the_squared_magnitude_of_a_classical_filter():
    bank = FilterBank.from_bands(BANDS, n_frames=50, repetition_time=2.0, family="butterworth", order=3)
    for gain, band in zip(bank.gain, BANDS, strict=True):
        sections = design_sections("butterworth", order=3, band=band, repetition_time=2.0)
        response = scipy.signal.freqz_sos(sections, 2 * np.pi * np.fft.rfftfreq(50))[1]
        np.testing.assert_allclose(gain, np.abs(response) ** 2, atol=1e-12)


def test_ideal_bands_that_share_out_the_spectrum_add_up_to_the_series():
    edges = [0.011, 0.1, 0.2]
    bank = FilterBank.from_bands(
        [(None, edges[0]), (edges[0], edges[1]), (edges[1], edges[2]), (edges[2], None)],
        n_frames=50,
        repetition_time=2.0,
    )
    series = np.random.default_rng(0).normal(size=(2, 3, 50))
    parts = bank(series)
    assert parts.shape == (2, 4, 3, 50)
    shared = bank.gain.sum(0)  # a bin on an edge is in both bands
    np.testing.assert_allclose(parts.sum(1), _filtered(np.asarray(shared)[None], series)[0], atol=1e-12)
    assert set(np.unique(shared)) <= {1.0, 2.0}


def test_gains_constrained_to_an_interval_filter_and_are_learned():
    bank = MappedLogits.map(FilterBank(jnp.full((1, 21), 0.5)), where="gain")
    series = np.random.default_rng(1).normal(size=(3, 40))
    np.testing.assert_allclose(bank(series)[0], series / 2, atol=1e-9)
    gradient = eqx.filter_grad(lambda model: (model(series) ** 2).sum())(bank)
    assert np.any(jax.tree.leaves(gradient)[0] != 0)


def test_the_band_of_a_planted_rhythm_is_learned_from_its_edges():
    # Band-limited noise from 0.05 to 0.1 Hz in white noise: the edges that best rebuild it are found by descent from
    # a band that is too wide.
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(4, 400))
    truth = np.asarray(FilterBank.from_bands([(0.05, 0.1)], n_frames=400, repetition_time=2.0)(3 * noise))[0]
    series = jnp.asarray(truth + rng.normal(size=truth.shape))

    @jax.jit
    def step(logs):
        def error(logs):
            low, high = jnp.exp(logs)
            return (
                (ButterworthBank(low[None], high[None], repetition_time=2.0, order=6)(series)[0] - truth) ** 2
            ).mean()

        return logs - 0.1 * jax.grad(error)(logs)

    logs = jnp.log(jnp.array([0.02, 0.2]))
    for _ in range(200):
        logs = step(logs)
    np.testing.assert_allclose(jnp.exp(logs), [0.05, 0.1], rtol=0.12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FilterBank(np.ones(21)), r"gain must have shape \(filter, bin\)"),
        (lambda: FilterBank(np.ones((2, 20)))(np.ones((3, 40))), "one gain for each of the 21"),
        (lambda: FilterBank.from_bands([], n_frames=40, repetition_time=2.0), "at least one band"),
        (lambda: ButterworthBank(np.ones(2), np.ones(3), repetition_time=2.0), "must both have shape"),
        (lambda: ButterworthBank(np.zeros(2), np.ones(2), repetition_time=2.0), "edges in low must be above 0 Hz"),
        (lambda: ButterworthBank(np.ones(2), np.ones(2), repetition_time=0.0), "repetition_time must be above 0 s"),
        (lambda: ButterworthBank(np.ones(2), np.ones(2), repetition_time=2.0, order=0), "order must be"),
    ],
)
def test_misfitting_banks_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
