import math

import numpy as np
import pytest
import torch

from drm import DRM, DRMConnection, DRMIterator, DRMNet, DRMPopulation, DRMReadout, connect, events_to_samples

NAN = float("nan")


def test_samples_of_other_rates_land_on_their_ticks():
    stimulus, response = np.arange(1.0, 6.0)[:, None], np.array([[7.0], [8.0]])
    items = DRMIterator(2, stimulus, 4 * np.arange(5), response, 10 * np.arange(2))
    ticks = list(items)
    assert [tick["stimulus"].item() for tick in ticks] == [1, 0, 2, 0, 3, 0, 4, 0, 5]
    found = {k: t["response"].item() for k, t in enumerate(ticks) if not t["response"].isnan()}
    assert found == {0: 7.0, 5: 8.0}
    assert ticks[0]["confounds"] is None


def test_lists_and_arrays_give_the_same():
    values, times = [[1.0], [2.0]], [0, 3]
    one = DRMIterator(1, values, times, values, times)
    other = DRMIterator(*(np.array(x) for x in (1, values, times, values, times)))
    assert len(one) == len(other) == 4
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a["stimulus"], b["stimulus"])


def test_time_runs_to_the_last_stimulus_or_response_but_not_confound():
    assert len(DRMIterator(1, [[1.0]], [0], [[1.0]], [6])) == 7
    assert len(DRMIterator(1, [[1.0], [1.0]], [0, 6], [[1.0]], [0])) == 7
    items = DRMIterator(1, [[1.0]], [1], confounds=[[1.0], [2.0]], confound_time=[1, 9])
    assert len(items) == 2
    items.next()
    assert items.next()["confounds"].item() == 1


def test_is_final_holds_after_the_last_tick_and_an_epoch_can_start_again():
    items = DRMIterator(1, np.ones((3, 1)), [0, 1, 2])
    for _ in range(2):
        iter(items)
        flags = []
        for _ in range(3):
            items.next()
            flags.append(items.is_final())
        assert flags == [False, False, True]
        with pytest.raises(StopIteration):
            items.next()


def test_a_recording_is_cut_into_stretches_and_nothing_is_lost():
    stimulus = np.arange(7.0)[:, None]
    items = DRMIterator(1, stimulus, np.arange(7), stimulus, np.arange(7), batch_size=3)
    ticks = list(items)
    found = torch.stack([tick["stimulus"] for tick in ticks])[..., 0]
    assert found.T.tolist() == [[0, 1, 2], [3, 4, 5], [6, 0, 0]]
    assert torch.stack([tick["response"] for tick in ticks])[1:, 2].isnan().all()
    fewer = DRMIterator(1, stimulus, np.arange(7), batch_size=3, n_batches=2)
    found = torch.stack([tick["stimulus"] for tick in fewer])[..., 0]
    assert found.T.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_recordings_side_by_side_keep_their_batch():
    stimulus = np.random.default_rng(0).normal(size=(5, 4, 2))
    items = DRMIterator(1, stimulus, np.arange(5), n_batches=3, dtype=torch.float64)
    assert (items.n_ticks, items.batch_size) == (3, 4)
    block = items.next_block(10)
    np.testing.assert_array_equal(block["stimulus"].numpy(), stimulus[:3])


@pytest.mark.parametrize(("policy", "expected"), [("mean", 2.0), ("last", 3.0)])
def test_two_samples_in_a_tick_follow_the_policy(policy, expected):
    arguments = (10, [[1.0], [3.0], [5.0]], [0, 4, 10], [[2.0], [NAN]], [0, 1])
    with pytest.raises(ValueError, match="stimulus: 2 samples fall in tick 0"):
        DRMIterator(*arguments)
    items = DRMIterator(*arguments[:3], duplicates=policy)
    assert items.next()["stimulus"].item() == expected


def test_the_mean_of_duplicates_leaves_out_what_is_missing():
    items = DRMIterator(10, [[1.0]], [0], [[2.0], [NAN], [4.0]], [0, 1, 2], duplicates="mean")
    assert items.next()["response"].item() == 3.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 0}, "above 0 ms"),
        ({"stimulus": None, "stim_time": None, "response": None, "resp_time": None}, "or a response is needed"),
        ({"stimulus": None, "stim_time": None, "mark_missing": True}, "mark_missing needs a stimulus"),
        ({"stim_time": [3, 4]}, "responses end at 2 ms, before the first stimulus at 3 ms"),
        ({"resp_time": [60_004]}, "responses begin at 60004 ms, more than a minute after"),
        ({"stimulus": [[math.inf], [1.0]], "mark_missing": True}, "stimulus must be finite"),
        ({"stimulus": [[NAN], [1.0]]}, "stimulus must be finite"),
        ({"stim_time": [0]}, "2 samples, its times have shape"),
        ({"stim_time": [0, -1]}, "not negative"),
        ({"stim_time": None}, "needs both values and times"),
        ({"stimulus": [1.0, 2.0]}, r"shape \(sample, feature\)"),
        ({"response": [[NAN]]}, "No measurement"),
        ({"response": np.zeros((0, 1)), "resp_time": []}, "no sample"),
        ({"response": [[[1.0]]]}, "same batch axis"),
        ({"batch_size": 5}, "batch_size must be from 1 to 4"),
        ({"n_batches": 5}, "n_batches must be from 1 to 4"),
        ({"duplicates": "first"}, "duplicates must be one of"),
        ({"between": "cubic"}, "between must be one of"),
    ],
)
def test_wrong_data_are_refused(changes, message):
    arguments = {
        "resolution": 1,
        "stimulus": [[1.0], [2.0]],
        "stim_time": [0, 3],
        "response": [[1.0]],
        "resp_time": [2],
    }
    with pytest.raises(ValueError, match=message):
        DRMIterator(**(arguments | changes))


def test_wrong_batches_are_refused():
    values = np.ones((3, 2, 1))
    with pytest.raises(ValueError, match="2 batch items, batch_size is 3"):
        DRMIterator(1, values, [0, 1, 2], batch_size=3)
    with pytest.raises(ValueError, match="n_batches must be from 1 to 3"):
        DRMIterator(1, values, [0, 1, 2], n_batches=4)


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ("zero", [0, 0, 1, 0, 3, 0, 0, 0]),
        ("hold", [0, 0, 1, 1, 3, 3, 3, 3]),
        ("linear", [0, 0, 1, 2, 3, 0, 0, 0]),
    ],
)
def test_the_stimulus_between_its_samples_follows_the_policy(between, expected):
    items = DRMIterator(1, [[1.0], [3.0]], [2, 4], [[1.0]], [7], between=between)
    assert [tick["stimulus"].item() for tick in items] == expected


def test_a_single_sample_can_be_interpolated():
    items = DRMIterator(1, [[1.0]], [1], [[1.0]], [2], between="linear")
    assert [tick["stimulus"].item() for tick in items] == [0, 1, 0]


@pytest.mark.parametrize("resolution", [1.0, 7.0, 40.0, 1000.0])
def test_events_keep_their_area_at_any_resolution(resolution):
    rng = np.random.default_rng(0)
    onset, duration = rng.uniform(0, 900, 20), rng.uniform(1, 90, 20)
    amplitude = rng.normal(size=20)
    n_ticks = int(1100 / resolution) + 2
    found = events_to_samples(onset, duration, amplitude, resolution=resolution, n_ticks=n_ticks)
    assert found.shape == (n_ticks, 1)
    assert found.sum() * resolution == pytest.approx(amplitude @ duration, abs=1e-6)


def test_events_in_seconds_are_warned_of():
    with pytest.warns(UserWarning, match=r"All 2 events are over after 44 of 60000 ms"):
        events_to_samples([10.0, 40.0], [4.0, 4.0], [1.0, 1.0], resolution=500.0, n_ticks=120)


def test_wrong_events_are_refused_by_number():
    for events, message in (
        (([0, 1], [1], [1, 1]), "one shape"),
        (([0, 1], [1, 0], [1, 1]), "Event 1"),
        (([0, 1], [1, 1], [np.nan, 1]), "Event 0"),
        (([0, 9], [1, 5], [1, 1]), "Event 1 .* from -0.5 to 9.5 ms"),
        (([-3, 9], [1, 5], [1, 1]), "Event 0"),
    ):
        with pytest.raises(ValueError, match=message):
            events_to_samples(*events, resolution=1, n_ticks=10)
    with pytest.raises(ValueError, match="resolution must be above 0"):
        events_to_samples([0], [1], [1], resolution=0, n_ticks=10)


def test_without_a_stimulus_time_runs_to_the_last_response():
    generator = torch.Generator().manual_seed(0)
    pair = [DRMPopulation(1, 1, noise=1.0, generator=generator) for _ in range(2)]
    net = DRMNet(pair, [None, None], connect(pair, present=[[0, 1], [1, 0]]), DRMReadout(2, 2, generator=generator))
    for response in (np.ones((5, 2)), np.ones((5, 3, 2))):
        rest = DRMIterator(10, None, None, response, 10 * np.arange(5), batch_size=2 if response.ndim == 2 else None)
        responses, _ = DRM(net).forward(rest)
        assert responses.shape[:2] == (len(rest), rest.batch_size)
        DRM(net).estimate(rest)
    driven = DRMNet([DRMPopulation(1, 1)], [DRMConnection()], [[None]], DRMReadout(1, 2))
    with pytest.raises(ValueError, match="expects 1 stimulus features, got 0"):
        DRM(driven).forward(rest)


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ("zero", [(0, 1), (1, 0), (0, 1), (0, 1), (3, 0), (0, 1)]),
        ("hold", [(0, 1), (1, 0), (1, 0), (0, 1), (3, 0), (3, 0)]),
        ("linear", [(0, 1), (1, 0), (0, 1), (0, 1), (3, 0), (0, 1)]),
    ],
)
def test_a_missing_stimulus_is_marked(between, expected):
    sound = {"sound": [[2.0, 5.0]], "light": [[1.0], [NAN], [3.0]]}
    items = DRMIterator(1, sound, {"sound": [0], "light": [1, 3, 4]}, [[0.0]], [5], between=between, mark_missing=True)
    assert items.streams["stimulus"] == {"sound": slice(0, 3), "light": slice(3, 5)}
    found = items.next_block(6)["stimulus"][:, 0]
    assert [tuple(row) for row in found[:, 3:].int().tolist()] == expected
    assert found[0, :3].tolist() == [2.0, 5.0, 0.0]


def test_what_fills_up_the_last_stretch_is_marked_as_missing():
    items = DRMIterator(1, np.ones((5, 1)), range(5), np.ones((5, 1)), range(5), batch_size=2, mark_missing=True)
    assert items.next_block(3)["stimulus"][-1].tolist() == [[1.0, 0.0], [0.0, 1.0]]
