"""The BOLD readout: voxels that follow their populations through a haemodynamic response."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from drm.haemodynamics import CANONICAL, double_gamma
from drm.readout import DRMReadout

__all__ = ["BOLDReadout"]

_FEW_TICKS = 16


class BOLDReadout(DRMReadout):
    """A readout in which voxels are weighted sums of units, convolved with the canonical response.

    The double-gamma response (`drm.haemodynamics.double_gamma`) is sampled at the ticks
    0, 1, 2, ... after the activity and scaled to sum to one, so that lasting activity of one gives
    a signal of one whatever the resolution.

    Parameters
    ----------
    n_in : int, default 1
        Number of units of all populations together.
    n_out : int, default 1
        Number of voxels.
    resolution : float
        Length of a tick in milliseconds.
    hrf : dict of str to float, optional
        Parameters of the response in seconds, in place of those in
        `drm.haemodynamics.CANONICAL`: peak_delay (6), undershoot_delay (16), peak_dispersion (1),
        undershoot_dispersion (1), peak_undershoot_ratio (6), onset (0), duration (32).
    n_confounds, weight, generator
        As for `DRMReadout`. ``weight=torch.eye(n)`` gives one voxel for each of n units.

    Raises
    ------
    ValueError
        If the resolution is not positive or not shorter than the response, or a parameter of the
        response is unknown or not allowed.

    Notes
    -----
    The state is the projected activity of the last `memory` ticks. A gradient that is truncated
    after fewer ticks than that misses part of the response.

    Examples
    --------
    >>> import torch
    >>> readout = BOLDReadout(1, 1, resolution=1000, weight=torch.eye(1))
    >>> impulse = torch.zeros(33, 1, 1)
    >>> impulse[0] = 1
    >>> readout.run(impulse).argmax().item()
    5
    """

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        *,
        resolution: float,
        hrf: dict[str, float] | None = None,
        n_confounds: int = 0,
        weight: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(n_in, n_out, n_confounds=n_confounds, weight=weight, generator=generator)
        unknown = sorted(set(hrf or {}) - set(CANONICAL))
        if unknown:
            raise ValueError(
                f"Unknown parameters of the haemodynamic response: {', '.join(unknown)}; "
                f"there are {', '.join(CANONICAL)}."
            )
        parameters = CANONICAL | (hrf or {})
        duration = parameters.pop("duration")
        if not 0 < resolution < 1000 * duration:
            raise ValueError(
                f"The resolution must be above 0 ms and below the response's {duration} s, got {resolution} ms."
            )
        self.resolution = float(resolution)
        n_taps = math.floor(1000 * duration / resolution + 1e-9) + 1
        time = torch.arange(n_taps, dtype=torch.float64) * (resolution / 1000)
        response = double_gamma(time, **parameters)
        if not float(response.sum()) > 0:
            raise ValueError(
                f"The haemodynamic response {parameters} has no positive area at ticks of {resolution} ms."
            )
        # In double precision on the host, whatever the module is moved to: `run` converts it.
        self.response = response / response.sum()

    @property
    def memory(self) -> int:
        """The number of past ticks, beside the present one, on which a measurement depends."""
        return self.response.shape[0] - 1

    def run(self, activity: Tensor, confounds: Tensor | None = None) -> Tensor:
        """Return the predicted BOLD signal of a stretch of time.

        Parameters
        ----------
        activity : Tensor, shape (time, batch, n_in)
            Outputs of all populations, in the network's order.
        confounds : Tensor of shape (time, batch, n_confounds), optional
            Confounds; NaN where missing.

        Returns
        -------
        Tensor, shape (time, batch, n_out)
        """
        neural = self.project(activity)
        past = self._memory or (neural.new_zeros(self.memory, *neural.shape[1:]),)
        series = torch.cat([*past, neural])
        self._memory = (series[neural.shape[0] :],)
        response = self.response.to(neural)
        return self.confound(_convolve(series, response, neural.shape[0]), confounds)


def _convolve(series: Tensor, response: Tensor, n_ticks: int) -> Tensor:
    """Return the last `n_ticks` of the causal convolution along the first axis.

    `series` (time, batch, voxel) is longer than that by one less than the response's length.
    """
    rows = series.flatten(1).T
    if n_ticks <= _FEW_TICKS:
        kernel = response.flip(0).view(1, 1, -1)
        result = functional.conv1d(rows.unsqueeze(1), kernel).squeeze(1)
    else:
        # What wraps around lands on the first ticks, those that are dropped.
        length = series.shape[0]
        spectrum = torch.fft.rfft(rows) * torch.fft.rfft(response, n=length)
        result = torch.fft.irfft(spectrum, n=length)[:, response.shape[0] - 1 :]
    return result.T.reshape(n_ticks, *series.shape[1:])
