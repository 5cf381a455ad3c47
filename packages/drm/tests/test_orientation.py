import numpy as np
import pytest
import torch

from drm import DRM, DRMIterator, frames_last, time_first
from drm.connection import DRMConnection
from drm.network import DRMNet
from drm.population import DRMPopulation
from drm.readout import DRMReadout


@pytest.mark.parametrize("shape", [(4, 9), (2, 4, 9)])
def test_there_and_back_is_the_same(shape):
    series = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_array_equal(frames_last(time_first(series)), series)
    assert time_first(series).shape == (9, *shape[:-1])


def test_scans_with_frames_last_go_through_a_network():
    stimulus = np.random.default_rng(0).normal(size=(3, 2, 11))
    readout = DRMReadout(1, 5)
    net = DRMNet([DRMPopulation(2, 1)], [DRMConnection(2, 2)], [[None]], readout)
    responses, _ = DRM(net).forward(DRMIterator(10, time_first(stimulus), 10 * np.arange(11)))
    assert frames_last(responses).shape == (3, 5, 11)


def test_other_numbers_of_axes_are_refused():
    for convert in (time_first, frames_last):
        with pytest.raises(ValueError, match="Time series must have shape"):
            convert(np.zeros(3))
    with pytest.raises(ValueError, match="Time series must have shape"):
        frames_last(torch.zeros(1, 2, 3, 4))
