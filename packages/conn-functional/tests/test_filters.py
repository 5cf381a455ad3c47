"""Filters: agreement with SciPy, linearity, exactness in float32, derivatives in the design, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from op_case import OpCase

from conn.functional import (
    design_sections,
    ideal_response,
    product_filter,
    product_filtfilt,
    sections_response,
    sosfilt,
    sosfiltfilt,
)

REPETITION_TIME = 2.0
BAND = (0.02, 0.12)
SECTIONS = design_sections("butterworth", order=2, band=BAND, repetition_time=REPETITION_TIME)
RESPONSE = scipy.signal.freqz_sos(SECTIONS, 2 * np.pi * np.fft.rfftfreq(40))[1]
RIPPLES = {
    "butterworth": {},
    "bessel": {},
    "chebyshev1": {"passband_ripple": 1.0},
    "chebyshev2": {"stopband_attenuation": 30.0},
    "elliptic": {"passband_ripple": 1.0, "stopband_attenuation": 30.0},
}


def _series(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (rng.normal(size=(5, 40)),)


def _filtered_bins(series: np.ndarray, response: np.ndarray) -> np.ndarray:
    return np.fft.irfft(np.fft.rfft(series) * response, n=series.shape[-1])


def _scipys_response(sections: np.ndarray) -> np.ndarray:
    return np.abs(scipy.signal.freqz_sos(sections / sections[:, 3:4], 2 * np.pi * np.fft.rfftfreq(39))[1])


FLAT = {"zeros": (np.zeros((5, 40)),), "constant": (np.full((5, 40), 0.1),)}
DESIGN_ONLY = "takes settings and no arrays: designed once, outside any transformation"

OP_CASES: list[OpCase] = [
    OpCase(
        "design_sections",
        lambda: design_sections("butterworth", order=5, band=BAND, repetition_time=REPETITION_TIME),
        lambda rng: (),
        "scipy.signal.butter",
        lambda: scipy.signal.butter(5, BAND, "bandpass", output="sos", fs=1 / REPETITION_TIME),
        host_only=DESIGN_ONLY,
    ),
    OpCase(
        "ideal_response",
        lambda: ideal_response(40, band=BAND, repetition_time=REPETITION_TIME),
        lambda rng: (),
        "numpy.fft.rfftfreq",
        lambda: ((np.fft.rfftfreq(40, 2.0) >= BAND[0]) & (np.fft.rfftfreq(40, 2.0) <= BAND[1])).astype(float),
        host_only=DESIGN_ONLY,
    ),
    OpCase(
        "sections_response",
        lambda sections: jnp.abs(sections_response(sections, n_frames=39)),
        lambda rng: (SECTIONS + 0.01 * rng.normal(size=SECTIONS.shape),),
        "scipy.signal.freqz_sos",
        _scipys_response,
        degenerate={"a zero on a bin": (SECTIONS,), "no gain": (SECTIONS * [0, 0, 0, 1, 1, 1],)},
    ),
    OpCase(
        "product_filter",
        lambda series: product_filter(series, RESPONSE),
        _series,
        "numpy.fft",
        lambda series: _filtered_bins(series, RESPONSE),
        degenerate=FLAT,
    ),
    OpCase(
        "product_filtfilt",
        lambda series: product_filtfilt(series, RESPONSE),
        _series,
        "numpy.fft",
        lambda series: _filtered_bins(series, np.abs(RESPONSE) ** 2),
        degenerate=FLAT,
    ),
    OpCase(
        "sosfilt",
        lambda series: sosfilt(series, SECTIONS),
        _series,
        "scipy.signal.sosfilt",
        lambda series: scipy.signal.sosfilt(SECTIONS, series),
        degenerate=FLAT,
    ),
    OpCase(
        "sosfiltfilt",
        lambda series: sosfiltfilt(series, SECTIONS),
        _series,
        "scipy.signal.sosfiltfilt",
        lambda series: scipy.signal.sosfiltfilt(SECTIONS, series),
        degenerate=FLAT,
    ),
]


@pytest.mark.parametrize("family", RIPPLES)
@pytest.mark.parametrize(("band", "stop"), [((0.01, 0.1), False), ((None, 0.1), False), ((0.05, 0.1), True)])
def test_every_family_filters_as_scipy_does(family, band, stop):
    sections = design_sections(family, order=4, band=band, repetition_time=0.72, stop=stop, **RIPPLES[family])
    series = np.cumsum(np.random.default_rng(1).normal(size=(2, 100)), -1) + 100
    np.testing.assert_allclose(
        sosfiltfilt(series, sections), scipy.signal.sosfiltfilt(sections, series), rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("family", RIPPLES)
def test_sections_are_those_of_scipys_own_design_functions(family):
    settings = RIPPLES[family]
    ours = design_sections(family, order=3, band=(0.01, None), repetition_time=2.0, **settings)
    function = {
        "butterworth": scipy.signal.butter,
        "bessel": lambda *a, **k: scipy.signal.bessel(*a, norm="mag", **k),
        "chebyshev1": lambda n, *a, **k: scipy.signal.cheby1(n, 1.0, *a, **k),
        "chebyshev2": lambda n, *a, **k: scipy.signal.cheby2(n, 30.0, *a, **k),
        "elliptic": lambda n, *a, **k: scipy.signal.ellip(n, 1.0, 30.0, *a, **k),
    }[family]
    np.testing.assert_allclose(ours, function(3, 0.01, "highpass", output="sos", fs=0.5), rtol=1e-10)


@pytest.mark.parametrize("padding", ["odd", "even", "constant", None])
@pytest.mark.parametrize("n_frames", [31, 64])
def test_paddings_are_those_of_scipy(padding, n_frames):
    series = np.random.default_rng(2).normal(size=(1, n_frames)) + 5
    ours = sosfiltfilt(series, SECTIONS, padding=padding)
    np.testing.assert_allclose(ours, scipy.signal.sosfiltfilt(SECTIONS, series, padtype=padding), rtol=1e-9, atol=1e-10)


def test_a_steady_start_is_that_of_scipys_initial_state():
    series = np.random.default_rng(3).normal(size=(40,)) + 7
    sections = design_sections("butterworth", order=3, band=(None, 0.1), repetition_time=2.0)
    expected, _ = scipy.signal.sosfilt(sections, series, zi=scipy.signal.sosfilt_zi(sections) * series[0])
    np.testing.assert_allclose(sosfilt(series[None], sections, initial="steady")[0], expected, rtol=1e-10)


def test_float32_series_keep_a_slow_high_pass_accurate():
    # With float32 coefficients the poles of this filter, 4e-3 from the unit circle, would move by up to 1e-4.
    sections = design_sections("butterworth", order=5, band=(0.008, None), repetition_time=0.72)
    series = np.cumsum(np.random.default_rng(4).normal(size=(3, 300)), -1) + 1000
    exact = scipy.signal.sosfiltfilt(sections, series)
    ours = sosfiltfilt(series.astype(np.float32), sections)
    assert ours.dtype == jnp.float32
    assert np.abs(ours - exact).max() < 1e-4 * np.abs(series).max()


def test_filtering_is_differentiable_in_the_sections():
    series = np.random.default_rng(5).normal(size=(2, 40))
    step = np.random.default_rng(6).normal(size=SECTIONS.shape) * np.array([1, 1, 1, 0, 1, 1])

    def energy(sections):
        return jnp.sum(sosfiltfilt(series, sections, pad_length=9) ** 2)

    def scipys(sections):
        return np.sum(scipy.signal.sosfiltfilt(sections, series, padlen=9) ** 2)

    slope = np.sum(np.asarray(jax.jit(jax.grad(energy))(jnp.asarray(SECTIONS))) * step)
    expected = (scipys(SECTIONS + 1e-6 * step) - scipys(SECTIONS - 1e-6 * step)) / 2e-6
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


@pytest.mark.parametrize("n_regions", [300, 301])
def test_many_regions_are_filtered_some_at_a_time(n_regions):
    series = np.random.default_rng(12).normal(size=(n_regions, 31))
    np.testing.assert_allclose(
        sosfiltfilt(series, SECTIONS), scipy.signal.sosfiltfilt(SECTIONS, series), rtol=1e-9, atol=1e-10
    )


def test_filtering_needs_less_memory_than_its_input_takes():
    shape = jax.ShapeDtypeStruct((16, 256, 100), np.float64)
    memory = jax.jit(lambda x: sosfiltfilt(x, SECTIONS)).lower(shape).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 0.5 * 16 * 256 * 100 * 8


def test_a_low_pass_response_lets_the_mean_pass_and_a_band_pass_does_not():
    series = np.random.default_rng(7).normal(size=(3, 50)) + 4
    low = product_filter(series, ideal_response(50, band=(None, 0.1), repetition_time=2.0))
    band = product_filter(series, ideal_response(50, band=(0.01, 0.1), repetition_time=2.0))
    np.testing.assert_allclose(low.mean(-1), series.mean(-1))
    np.testing.assert_allclose(band.mean(-1), 0, atol=1e-12)


def test_a_stop_band_and_its_pass_band_add_up_to_the_series():
    series = np.random.default_rng(8).normal(size=(3, 51))
    parts = [
        product_filter(series, ideal_response(51, band=BAND, repetition_time=2.0, stop=stop)) for stop in (True, False)
    ]
    np.testing.assert_allclose(parts[0] + parts[1], series, atol=1e-12)


def test_a_delay_is_a_transfer_function():
    series = np.random.default_rng(9).normal(size=(2, 41))
    delay = np.exp(-2j * np.pi * np.fft.rfftfreq(41) * 3)
    np.testing.assert_allclose(product_filter(series, delay), np.roll(series, 3, -1), atol=1e-12)


def test_a_bank_of_transfer_functions_broadcasts_over_scans_and_regions():
    series = np.random.default_rng(10).normal(size=(2, 3, 40))
    bank = np.random.default_rng(11).normal(size=(4, 1, 21))
    filtered = product_filter(series[:, None], bank)
    assert filtered.shape == (2, 4, 3, 40)
    np.testing.assert_allclose(filtered[1, 2], product_filter(series[1], bank[2, 0]), atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "gauss"}, "family must be one of"),
        ({"order": 0}, "order must be a whole number"),
        ({"band": (None, None)}, "must have a lowest or a highest"),
        ({"band": (0.1, 0.05)}, "must be below the highest"),
        ({"band": (0.1, 0.3)}, "Nyquist frequency 0.25 Hz"),
        ({"band": 0.1}, "must be a pair"),
        ({"band": (None, 0.1), "stop": True}, "needs both its edges"),
        ({"passband_ripple": 1.0}, "takes no passband_ripple"),
        ({"family": "chebyshev2"}, "needs stopband_attenuation"),
        ({"family": "chebyshev1", "passband_ripple": -1.0}, "passband_ripple must be above 0 dB"),
        ({"repetition_time": 0.0}, "repetition_time must be above 0 s"),
    ],
)
def test_an_impossible_design_is_refused(settings, message):
    base = {"family": "butterworth", "order": 2, "band": BAND, "repetition_time": 2.0}
    with pytest.raises(ValueError, match=message):
        design_sections(**(base | settings))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: product_filter(np.ones((2, 8)), np.ones(8)), ValueError, "one gain for each of the 5 Fourier bins"),
        (lambda: product_filter(np.ones((2, 8)), np.ones((3, 5))), ValueError, "must broadcast"),
        (lambda: product_filter(np.ones((2, 8)) * 1j, np.ones(5)), TypeError, "must be real"),
        (lambda: product_filter(np.ones(8), np.ones(5)), ValueError, "must have shape"),
        (lambda: ideal_response(0, band=BAND, repetition_time=2.0), ValueError, "at least one frame"),
        (lambda: sections_response(np.ones(6), n_frames=8), ValueError, r"shape \(section, 6\)"),
        (lambda: sosfilt(np.ones((2, 8)), SECTIONS, initial="warm"), ValueError, "initial must be"),
        (lambda: sosfiltfilt(np.ones((2, 8)), SECTIONS), ValueError, "must be shorter than the series"),
        (lambda: sosfiltfilt(np.ones((2, 8)), SECTIONS, padding="wrap"), ValueError, "padding must be"),
        (lambda: sosfiltfilt(np.ones((2, 8)), SECTIONS, padding=None, pad_length=3), ValueError, "padding is None"),
        (lambda: jax.jit(sosfiltfilt)(np.ones((2, 40)), SECTIONS), ValueError, "need pad_length said"),
    ],
)
def test_misfitting_arrays_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
