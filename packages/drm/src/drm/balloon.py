"""The Balloon-Windkessel readout: blood flow, volume and deoxyhaemoglobin behind the BOLD signal."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from drm.constants import register_constants
from drm.integration import Integrated, Method
from drm.readout import DRMReadout
from drm.recurrence import Kind, Recurrence

__all__ = ["BalloonReadout"]


class BalloonReadout(DRMReadout):
    """A readout in which voxels follow weighted sums of units through the Balloon-Windkessel model.

    Activity z drives a signal s, blood flow f, volume v and deoxyhaemoglobin q::

        ds/dt = z - kappa s - gamma (f - 1)          tau dv/dt = f - v^(1/alpha)
        df/dt = s                                    tau dq/dt = f E(f) / rho - v^(1/alpha) q / v

    with the extraction ``E(f) = 1 - (1 - rho)^(1/f)``, and the BOLD signal is
    ``V0 (k1 (1 - q) + k2 (1 - q / v) + k3 (1 - v))``. Flow, volume and content are integrated in
    their logarithms, so that they stay positive.

    Parameters
    ----------
    n_in : int, default 1
        Number of units of all populations together.
    n_out : int, default 1
        Number of voxels.
    resolution : float
        Length of a tick in milliseconds.
    constants : mapping of str to float or sequence of n_out floats, optional
        In place of kappa (0.65 per s), gamma (0.41 per s), tau (0.98 s), alpha (0.32), rho (0.34),
        volume (V0, 0.02), k1 (7 rho = 2.38), k2 (2), k3 (2 rho - 0.2 = 0.48).
        `drm.haemodynamics.SPM12_BALLOON` is a complete set.
    learn : sequence of str, default ()
        The constants that are parameters.
    method : {"euler", "heun", "rk4"}, default "rk4"
        The integration's order is 1, 2 and 4.
    n_steps : int, default 1
        Number of integration steps in a tick; steps of half a second and less are stable.
    n_confounds, confound_lags, weight, units, mask, generator
        As for `DRMReadout`.

    Raises
    ------
    ValueError
        As for `DRMReadout`; if the resolution or `n_steps` is not positive, or a method or
        constant is unknown.

    References
    ----------
    Friston et al. (2000), NeuroImage 12, 466-477, doi:10.1006/nimg.2000.0630; constants of
    Friston et al. (2003), NeuroImage 19, 1273-1302, doi:10.1016/S1053-8119(03)00202-7.

    Examples
    --------
    >>> import torch
    >>> readout = BalloonReadout(1, 1, resolution=100, weight=torch.eye(1))
    >>> burst = torch.zeros(100, 1, 1)
    >>> burst[:10] = 1
    >>> bool(readout.run(burst).argmax() > 20)  # the peak comes seconds later
    True
    """

    constants: ClassVar[Mapping[str, float]] = {
        "kappa": 0.65,
        "gamma": 0.41,
        "tau": 0.98,
        "alpha": 0.32,
        "rho": 0.34,
        "volume": 0.02,
        "k1": 2.38,
        "k2": 2.0,
        "k3": 0.48,
    }

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        *,
        resolution: float,
        constants: Mapping[str, float | Sequence[float]] | None = None,
        learn: Sequence[str] = (),
        method: Method = "rk4",
        n_steps: int = 1,
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
        register_constants(self, self.constants, constants, learn, n_out)
        self.resolution: float = float(resolution)
        self.method: Method = method
        self.n_steps = n_steps
        voxels = slice(0, n_out)
        kind = Kind(
            advance=Integrated(self.derivative, self.observe, method, self.resolution, n_steps),
            n_drive=1,
            n_state=4,
            n_units=n_out,
            units=voxels,
            drives=voxels,
            n_parameters=len(self.constants),
        )
        self._recurrence = Recurrence([kind], None)

    @property
    def memory(self) -> int:
        """The number of past ticks on which a measurement depends noticeably: half a minute."""
        return int(30_000 / self.resolution)

    @staticmethod
    def derivative(state: Tensor, drive: Tensor, constants: tuple[Tensor, ...]) -> Tensor:
        """Return the change per second of the signal and of the logarithms of f, v and q.

        Parameters
        ----------
        state : Tensor, shape (..., 4, voxel, batch)
        drive : Tensor, shape (..., 1, voxel, batch)
        constants : tuple of Tensor, each of shape (voxel, 1)

        Returns
        -------
        Tensor, shape (..., 4, voxel, batch)
        """
        kappa, gamma, tau, alpha, rho, *_ = constants
        signal, log_flow, log_volume, log_content = state.unbind(-3)
        flow = log_flow.exp()
        # v^(1/alpha) / v, in which the outflow enters both equations.
        outflow = (log_volume * (1 / alpha - 1)).exp()
        extracted = -torch.expm1(torch.log1p(-rho) / flow) / rho
        return torch.stack(
            [
                drive.select(-3, 0) - kappa * signal - gamma * (flow - 1),
                signal / flow,
                ((log_flow - log_volume).exp() - outflow) / tau,
                ((log_flow - log_content).exp() * extracted - outflow) / tau,
            ],
            dim=-3,
        )

    @staticmethod
    def observe(state: Tensor, constants: tuple[Tensor, ...]) -> Tensor:
        """Return the BOLD signal, as a proportion of its mean.

        Parameters
        ----------
        state : Tensor, shape (..., 4, voxel, batch)
        constants : tuple of Tensor, each of shape (voxel, 1)

        Returns
        -------
        Tensor, shape (..., voxel, batch)
        """
        volume, k1, k2, k3 = constants[5:]
        _, _, log_v, log_q = state.unbind(-3)
        # expm1 keeps the small differences from 1 in single precision.
        q, ratio, v = torch.expm1(log_q), torch.expm1(log_q - log_v), torch.expm1(log_v)
        return -volume * (k1 * q + k2 * ratio + k3 * v)

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
        neural = self.project(activity).transpose(1, 2)
        states = self._memory or (neural.new_zeros(4, self.n_out, neural.shape[2]),)
        constants = tuple(getattr(self, key).unsqueeze(1) for key in self.constants)
        output, self._memory = self._recurrence(
            neural, neural.new_empty(0), neural.new_zeros(1, *neural.shape[1:]), states, constants
        )
        return output.transpose(1, 2)

    def extra_repr(self) -> str:
        """Return sizes and resolution, for printing."""
        return f"{super().extra_repr()}, resolution={self.resolution}"
