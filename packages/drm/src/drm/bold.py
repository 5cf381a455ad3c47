"""BOLD readouts: voxels that follow their populations through a haemodynamic response."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from drm.convolution import convolved
from drm.haemodynamics import (
    CANONICAL,
    Convention,
    derivative_responses,
    double_gamma,
    fir_responses,
    response_parameters,
    sample_times,
    sampled_response,
)
from drm.readout import DRMReadout

__all__ = ["BOLDReadout", "BasisReadout"]

_POSITIVE = tuple(name for name in CANONICAL if name not in ("onset", "duration"))


class _ConvolvedReadout(DRMReadout):
    """The base of readouts in which each voxel's activity is convolved with a response of its own."""

    resolution: float
    _n_taps: int

    @property
    def memory(self) -> int:
        """The number of past ticks, beside the present one, on which a measurement depends."""
        return self._n_taps - 1

    @property
    def response(self) -> Tensor:
        """The response of each voxel at the ticks after a burst of activity, (n_out, tick)."""
        raise NotImplementedError(f"{type(self).__name__} does not define its response.")

    def measure(self, activity: Tensor) -> Tensor:
        """Return the BOLD signal of a stretch of time, without confounds.

        Parameters
        ----------
        activity : Tensor, shape (time, batch, n_in)
            Outputs of all populations, in the network's order.

        Returns
        -------
        Tensor, shape (time, batch, n_out)
        """
        return convolved(self._remembered(activity), self.response)

    def measure_at(self, activity: Tensor, ticks: Tensor) -> Tensor:
        """Return the BOLD signal in some ticks of a stretch of time, without confounds.

        Parameters
        ----------
        activity : Tensor, shape (time, batch, n_in)
            Outputs of all populations, in the network's order.
        ticks : Tensor of int, shape (tick,)
            Places in the stretch.

        Returns
        -------
        Tensor, shape (tick, batch, n_out)
        """
        return convolved(self._remembered(activity), self.response, ticks)

    def _remembered(self, activity: Tensor) -> Tensor:
        """Return the activity of each voxel after that of the ticks before, and remember its end."""
        neural = self.project(activity)
        past = self._memory or (neural.new_zeros(self.memory, *neural.shape[1:]),)
        series = torch.cat([*past, neural])
        self._memory = (series[neural.shape[0] :],)
        return series


class BOLDReadout(_ConvolvedReadout):
    """A readout in which voxels are weighted sums of units, convolved with a double-gamma response.

    The response (`drm.haemodynamics.double_gamma`) is sampled at the ticks 0, 1, 2, ... after the
    activity and scaled to sum to one, so that lasting activity of one gives a signal of one
    whatever the resolution.

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
    learn : sequence of str, default ()
        The parameters of the response, other than onset and duration, that are learned for each
        voxel by itself; they stay positive.
    convention : {"spm", "nilearn"}, default "spm"
        Whose samples to take, as for `drm.sampled_response`; nilearn's come a tick later.
    n_confounds, confound_lags, weight, units, mask, generator
        As for `DRMReadout`. ``weight=torch.eye(n)`` gives one voxel for each of n units.

    Raises
    ------
    ValueError
        If the resolution is not positive or not shorter than the response, or the convention or a
        parameter of the response is unknown or not allowed.

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
        learn: Sequence[str] = (),
        convention: Convention = "spm",
        n_confounds: int = 0,
        confound_lags: Sequence[int] = (0,),
        weight: Tensor | np.ndarray | None = None,
        units: Sequence[int] | None = None,
        mask: Any = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            n_in,
            n_out,
            n_confounds=n_confounds,
            confound_lags=confound_lags,
            weight=weight,
            units=units,
            mask=mask,
            generator=generator,
        )
        unknown = sorted(set(learn) - set(_POSITIVE))
        if unknown:
            raise ValueError(f"{unknown} cannot be learned; there are {list(_POSITIVE)}.")
        self.resolution: float = float(resolution)
        self.convention: Convention = convention
        self._hrf = response_parameters(convention, hrf)
        # In double precision on the host, whatever the module is moved to: `response` converts it.
        seconds = self.resolution / 1000
        self._fixed_response = sampled_response(seconds, convention=convention, parameters=self._hrf)
        self._times = sample_times(seconds, convention=convention, duration=self._hrf["duration"])
        self._n_taps = self._fixed_response.shape[0]
        # softplus(x) = log(1 + exp(x)) keeps a parameter positive; this is its inverse.
        self.raw_hrf: nn.ParameterDict = nn.ParameterDict(
            {name: nn.Parameter(torch.full((n_out,), math.log(math.expm1(self._hrf[name])))) for name in learn}
        )

    @property
    def initial_hrf(self) -> dict[str, float]:
        """The parameters of the response in seconds before anything was learned."""
        return dict(self._hrf)

    @property
    def hrf(self) -> dict[str, Tensor]:
        """The parameters of each voxel's response in seconds, each of shape (n_out,)."""
        like = self.confound_weight
        values = {name: like.new_full((self.n_out,), x) for name, x in self._hrf.items()}
        return values | {name: functional.softplus(raw) for name, raw in self.raw_hrf.items()}

    @property
    def response(self) -> Tensor:
        """The response of each voxel at the ticks after a burst of activity, (n_out, tick)."""
        like = self.confound_weight
        if not len(self.raw_hrf):
            return self._fixed_response.to(like).expand(self.n_out, -1)
        parameters = {name: value.unsqueeze(1) for name, value in self.hrf.items()}
        del parameters["duration"]
        response = double_gamma(self._times.to(like), **parameters)
        return response / response.sum(1, keepdim=True)

    def extra_repr(self) -> str:
        """Return sizes, resolution and what is not canonical in the response, for printing."""
        learned = f", learn={list(self.raw_hrf)}" if len(self.raw_hrf) else ""
        own = {name: value for name, value in self._hrf.items() if value != CANONICAL[name]}
        return (
            f"{super().extra_repr()}, resolution={self.resolution}, convention={self.convention!r}, hrf={own}{learned}"
        )


class BasisReadout(_ConvolvedReadout):
    """A BOLD readout whose responses are weighted sums of given ones, with weights of each voxel.

    With ``basis="derivatives"`` the response is the canonical one plus learned shares of its
    derivatives in time and dispersion, which move its peak by up to about a second and change its
    width. With ``basis="fir"`` it is piecewise linear, of any shape, and starts at the canonical
    one.

    Parameters
    ----------
    n_in : int, default 1
        Number of units of all populations together.
    n_out : int, default 1
        Number of voxels.
    resolution : float
        Length of a tick in milliseconds.
    basis : {"derivatives", "fir"}, default "derivatives"
        The responses that are summed: `drm.derivative_responses` or `drm.fir_responses`.
    step : float, default 2
        Seconds between the pieces of ``fir``.
    convention : {"spm", "nilearn"}, default "spm"
        Whose derivatives, as for `drm.derivative_responses`; free responses have none.
    n_confounds, confound_lags, weight, units, mask, generator
        As for `DRMReadout`.

    Attributes
    ----------
    coefficients : Parameter, shape (n_out, 2) or (n_out, piece)
        Shares of the two derivatives, in seconds, from zero; or the response at each step.

    Raises
    ------
    ValueError
        If the resolution is not positive, not shorter than the response or longer than the step of
        the pieces, the basis or convention is unknown, or a free response has a convention.

    Notes
    -----
    The size of a free response and the weights of the units are only determined together: fix
    the `weight` to compare responses between voxels.

    Examples
    --------
    >>> readout = BasisReadout(1, 1, resolution=1000, basis="fir", weight=torch.eye(1))
    >>> readout.response.argmax().item()  # the canonical peak, at 5 s, on a grid of 2 s
    6
    """

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        *,
        resolution: float,
        basis: Literal["derivatives", "fir"] = "derivatives",
        step: float = 2.0,
        convention: Convention = "spm",
        n_confounds: int = 0,
        confound_lags: Sequence[int] = (0,),
        weight: Tensor | np.ndarray | None = None,
        units: Sequence[int] | None = None,
        mask: Any = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            n_in,
            n_out,
            n_confounds=n_confounds,
            confound_lags=confound_lags,
            weight=weight,
            units=units,
            mask=mask,
            generator=generator,
        )
        if basis not in ("derivatives", "fir"):
            raise ValueError(f"basis must be 'derivatives' or 'fir', got {basis!r}.")
        self.resolution: float = float(resolution)
        if basis == "fir" and convention != "spm":
            raise ValueError(f"A free response follows no convention, got {convention!r}.")
        self.basis = basis
        self.convention: Convention = convention
        self.step: float = float(step)
        seconds = self.resolution / 1000
        # In double precision on the host, whatever the module is moved to: `response` converts it.
        if basis == "derivatives":
            self._fixed, self._pieces = derivative_responses(seconds, convention=convention).tensor_split((1,))
            initial = torch.zeros(n_out, 2)
        else:
            self._pieces = fir_responses(seconds, step=self.step)
            self._fixed = torch.zeros(1, self._pieces.shape[1], dtype=torch.float64)
            peaks = torch.arange(1, len(self._pieces) + 1, dtype=torch.float64) * self.step
            canonical = double_gamma(peaks)
            canonical = canonical / (canonical @ self._pieces).sum()
            initial = canonical.to(torch.get_default_dtype()).repeat(n_out, 1)
        self._n_taps = self._pieces.shape[1]
        self.coefficients: nn.Parameter = nn.Parameter(initial)

    @property
    def response(self) -> Tensor:
        """The response of each voxel at the ticks after a burst of activity, (n_out, tick)."""
        own = self.coefficients
        return self._fixed.to(own) + own @ self._pieces.to(own)

    def extra_repr(self) -> str:
        """Return sizes, resolution and basis, for printing."""
        return (
            f"{super().extra_repr()}, resolution={self.resolution}, basis={self.basis!r}, step={self.step}, "
            f"convention={self.convention!r}"
        )
