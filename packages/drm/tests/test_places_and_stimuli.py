"""Several stimuli, places, distances and units."""

import numpy as np
import pytest
import torch

from drm import (
    DRM,
    BOLDReadout,
    DRMConnection,
    DRMIterator,
    DRMNet,
    DRMPopulation,
    DRMReadout,
    LeakyRatePopulation,
    conduction_delays,
    connect,
    distances,
)


def two_stimuli(vectorised=None):
    generator = torch.Generator().manual_seed(0)
    seeing = DRMPopulation(3, 1, name="seeing", generator=generator)  # 2 of the picture, 1 of hearing
    hearing = DRMPopulation(1, 1, name="hearing", generator=generator)
    both = DRMPopulation(3, 1, name="both", generator=generator)
    ws = {
        "picture": [DRMConnection(2, 2, delay=0), None, DRMConnection(2, 2, delay=3)],
        "sound": [None, DRMConnection(1, 1, delay=1), DRMConnection(1, 1, delay=0)],
    }
    wp = [[None, DRMConnection(), None], [None] * 3, [None] * 3]
    return DRMNet([seeing, hearing, both], ws, wp, DRMReadout(3, 1), vectorised=vectorised).double()


def test_each_stimulus_reaches_its_own_populations():
    x = torch.zeros(6, 1, 3, dtype=torch.float64)
    net = two_stimuli()
    assert net.stimuli == {"picture": slice(0, 2), "sound": slice(2, 3)}
    silent = net.run(x)[1]
    x[0, 0, 2] = 1.0
    net.reset()
    changed = (net.run(x)[1] != silent)[:, 0]
    # Sound: to hearing after 1 tick, from there to seeing after another, to both at once.
    assert [changed[:, k].nonzero().flatten().tolist() for k in range(3)] == [[2], [1], [0]]


def test_several_stimuli_vectorised_and_one_by_one_agree():
    x = torch.randn(8, 2, 3, dtype=torch.float64)
    found = []
    for vectorised in (True, False):
        net = two_stimuli(vectorised)
        activity = torch.cat([net.run(part)[1] for part in x.tensor_split((3,))])
        activity.square().sum().backward()
        found.append((activity, [p.grad for p in net.populations.parameters()]))
    torch.testing.assert_close(found[0], found[1])


def test_stimuli_keep_their_own_rates_and_names():
    data = DRMIterator(
        10,
        {"picture": np.ones((3, 2)), "sound": np.full((6, 1), 2.0)},
        {"picture": [0, 20, 40], "sound": [0, 10, 20, 30, 40, 50]},
        np.zeros((1, 1)),
        [50],
        dtype=torch.float64,
    )
    stimulus = data.next_block(6)["stimulus"][:, 0]
    assert stimulus[:, 0].tolist() == [1, 0, 1, 0, 1, 0]
    assert stimulus[:, 2].tolist() == [2] * 6
    assert data.streams["stimulus"] == {"picture": slice(0, 2), "sound": slice(2, 3)}
    DRM(two_stimuli()).evaluate(data)
    other = DRMIterator(10, {"sound": np.ones((1, 1)), "picture": np.ones((1, 2))}, {"sound": [0], "picture": [0]})
    with pytest.raises(ValueError, match=r"stimulus is \{'picture': 2, 'sound': 1\}"):
        DRM(two_stimuli()).forward(other)


def test_wrong_stimuli_are_refused():
    pair = [DRMPopulation(1, 1), DRMPopulation(1, 1)]
    none = [[None, None], [None, None]]
    lines = [DRMConnection(), DRMConnection()]
    with pytest.raises(ValueError, match="one element for each of 2 populations, got 1 for the stimulus 'a'"):
        DRMNet(pair, {"a": lines[:1]}, none, DRMReadout(2, 1))
    with pytest.raises(ValueError, match="No population receives the stimulus 'b'"):
        DRMNet(pair, {"a": lines, "b": [None, None]}, none, DRMReadout(2, 1))
    with pytest.raises(ValueError, match=r"needs times for \['a'\], got them for \['b'\]"):
        DRMIterator(1, {"a": [[1.0]]}, {"b": [0]})
    with pytest.raises(ValueError, match="values and times of the same names"):
        DRMIterator(1, {"a": [[1.0]]}, [0])


def test_delays_follow_from_distance_and_velocity():
    places = [(0, 0, 0), (0, 60, 0), (0, 0, -24)]
    trio = [DRMPopulation(2, 1, position=place) for place in places]
    lengths = distances(trio)
    assert lengths[1, 0] == 60.0
    delays = conduction_delays(lengths, velocity=6.0, resolution=2.0)
    assert delays.tolist() == [[1, 5, 2], [5, 1, 5], [2, 5, 1]]
    wp = connect(trio, present=~np.eye(3, dtype=bool), delays=delays)
    assert wp[1][0].delay == 5


def test_places_and_delays_that_cannot_be_right_are_refused_or_warned_of():
    with pytest.raises(ValueError, match=r"populations\[0\] \(V1\) has no position"):
        distances([DRMPopulation(name="V1")])
    with pytest.raises(ValueError, match="velocity must be above 0"):
        conduction_delays([[1.0]], velocity=0.0, resolution=1)
    with pytest.raises(ValueError, match="Lengths must be finite"):
        conduction_delays([[-1.0]], resolution=1)
    with pytest.warns(UserWarning, match="5000 ms, over 30000 mm at 6 m/s"):
        conduction_delays([[30_000.0]], resolution=1)
    with pytest.warns(UserWarning, match="velocity of 6000 m/s"):
        conduction_delays([[60.0]], velocity=6000.0, resolution=1)
    with pytest.raises(ValueError, match="A position must be finite"):
        DRMPopulation(position=(0, 0, float("nan")))


def rates(*resolutions):
    return [
        LeakyRatePopulation(1, 1, resolution=r, time_constant=20, name=f"area {k}") for k, r in enumerate(resolutions)
    ]


def test_a_delay_of_seconds_between_areas_is_warned_of():
    pair = rates(1.0, 1.0)
    wp = [[None, None], [DRMConnection(delay=5000), None]]
    with pytest.warns(UserWarning, match="1 connections take .* from area 0 to area 1, 5000 ms"):
        DRMNet(pair, [DRMConnection(), None], wp, DRMReadout(2, 1))


def test_many_delays_that_cannot_be_right_make_one_warning():
    n = 5
    areas = [LeakyRatePopulation(n, 1, resolution=1, time_constant=20, name=f"area {k}") for k in range(n)]
    delays = 3000 + np.arange(n * n).reshape(n, n)
    wp = connect(areas, present=~np.eye(n, dtype=bool), delays=delays)
    with pytest.warns(UserWarning, match="20 connections take .* from area 3 to area 4, 3023 ms") as found:
        DRMNet(areas, [DRMConnection() for _ in areas], wp, DRMReadout(n, 1))
    assert len(found) == 1


def test_delays_that_are_shorter_than_the_tick_are_warned_of():
    lengths = np.array([[0, 30, 60], [30, 0, 90], [60, 90, 0]])
    assert conduction_delays(lengths, resolution=5).tolist() == [[1, 1, 2], [1, 1, 3], [2, 3, 1]]
    with pytest.warns(UserWarning, match="6 of 6 delays, from 5 ms on, are shorter than half a tick of 500 ms"):
        conduction_delays(lengths, resolution=500)


def test_parts_with_ticks_of_other_lengths_are_refused():
    pair = rates(1.0, 2.0)
    wp = [[None, None], [DRMConnection(), None]]
    with pytest.raises(ValueError, match=r"those of area 0 last 1.0 ms and those of area 1 2.0 ms"):
        DRMNet(pair, [DRMConnection(), None], wp, DRMReadout(2, 1))
    with pytest.raises(ValueError, match=r"those of the readout 1000\.0 ms"):
        DRMNet(rates(1.0), [DRMConnection()], [[None]], BOLDReadout(1, 1, resolution=1000))


def test_positions_that_are_no_millimetres_are_warned_of():
    def net(*places):
        populations = [DRMPopulation(1, 1, position=place) for place in places]
        n = len(places)
        return DRMNet(populations, [DRMConnection() for _ in places], [[None] * n] * n, DRMReadout(n, 1))

    with pytest.warns(UserWarning, match="outside any brain"):
        net((0, 0, 1000))
    with pytest.warns(UserWarning, match="within 1 mm of each other"):
        net((0, 0, 0.03), (0, 0.05, 0), (0.04, 0, 0))
