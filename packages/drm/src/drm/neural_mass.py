"""Neural-mass populations: few differential equations for the mean activity of many neurons."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from drm.constants import register_constants
from drm.integration import Integrated, Method
from drm.population import DRMPopulation

__all__ = [
    "HopfPopulation",
    "JansenRitPopulation",
    "NeuralMassPopulation",
    "WilsonCowanPopulation",
    "WongWangPopulation",
]


class NeuralMassPopulation(DRMPopulation):
    """The base of populations whose units follow differential equations.

    A subclass names its `constants`, and defines `derivative` and `observe`. The drive is held for
    a tick, and the output is that at the tick's end.

    Parameters
    ----------
    n_in, n_out, delay
        As for `DRMPopulation`.
    resolution : float
        Length of a tick in milliseconds.
    constants : mapping of str to float or sequence of n_out floats, optional
        Values in place of the class's `constants`.
    learn : sequence of str, default ()
        The constants that are parameters.
    method : {"euler", "heun", "rk4"}, default "rk4"
        The integration's order is 1, 2 and 4.
    n_steps : int, default 1
        Number of integration steps in a tick.
    noise : float or sequence of n_out floats, default 0
        White noise in the drive, in units of the drive times the square root of a second.
    learn_noise, sign, mask, name, position, unit, generator
        As for `DRMPopulation`.

    Raises
    ------
    ValueError
        If the resolution or `n_steps` is not positive, the method or a constant is unknown, or a
        constant has not one value or `n_out`.
    """

    constants: ClassVar[Mapping[str, float]] = {}

    def __init__(
        self,
        n_in: int = 1,
        n_out: int = 1,
        delay: int = 1,
        *,
        resolution: float,
        constants: Mapping[str, float | Sequence[float]] | None = None,
        learn: Sequence[str] = (),
        method: Method = "rk4",
        n_steps: int = 1,
        noise: float | Sequence[float] = 0.0,
        learn_noise: bool = False,
        sign: Any = None,
        mask: Any = None,
        name: str | None = None,
        position: Sequence[float] | None = None,
        unit: str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            n_in,
            n_out,
            delay,
            noise=noise,
            learn_noise=learn_noise,
            sign=sign,
            mask=mask,
            name=name,
            position=position,
            unit=unit,
            generator=generator,
        )
        self.advance: Integrated = Integrated(self.derivative, self.observe, method, float(resolution), n_steps)
        self.resolution: float = self.advance.resolution
        register_constants(self, self.constants, constants, learn, n_out)

    @staticmethod
    def derivative(state: Tensor, drive: Tensor, constants: tuple[Tensor, ...]) -> Tensor:
        """Return the state's change per second; each subclass says how.

        Parameters
        ----------
        state : Tensor, shape (..., n_state, unit, batch)
        drive : Tensor, shape (..., n_drive, unit, batch)
        constants : tuple of Tensor, each of shape (unit, 1)
            In the order of the class's `constants`.

        Returns
        -------
        Tensor, shape of `state`

        Raises
        ------
        NotImplementedError
            Always: the base class has no equations.
        """
        raise NotImplementedError("A neural-mass population needs its equations.")

    @staticmethod
    def observe(state: Tensor, constants: tuple[Tensor, ...]) -> Tensor:
        """Return the output that belongs to a state: its first variable.

        Parameters
        ----------
        state : Tensor, shape (..., n_state, unit, batch)
        constants : tuple of Tensor, each of shape (unit, 1)

        Returns
        -------
        Tensor, shape (..., unit, batch)
        """
        return state.select(-3, 0)

    def extra_repr(self) -> str:
        """Return sizes, name, resolution and integration, for printing."""
        method = f"method={self.advance.method!r}, n_steps={self.advance.n_steps}"
        return f"{super().extra_repr()}, resolution={self.resolution}, {method}"

    def noise_scale(self) -> Tensor | None:
        """Return the standard deviation of the noise in a tick's drive.

        Returns
        -------
        Tensor of shape (n_drive * n_out,), or None without noise
        """
        scale = super().noise_scale()
        return None if scale is None else scale / math.sqrt(self.resolution / 1000)

    def unit_parameters(self) -> tuple[Tensor, ...]:
        """Return the constants of all units.

        Returns
        -------
        tuple of Tensor, each of shape (n_out, 1)
        """
        return tuple(getattr(self, key).unsqueeze(1) for key in self.constants)


class WilsonCowanPopulation(NeuralMassPopulation):
    """Units that are pairs of an excitatory and an inhibitory subpopulation.

    ``tau_e dE/dt = -E + (1 - r E) S_e(w_ee E - w_ei I + drive)`` and
    ``tau_i dI/dt = -I + (1 - r I) S_i(w_ie E - w_ii I)`` with the sigmoid
    ``S(x) = 1 / (1 + exp(-a (x - theta))) - 1 / (1 + exp(a theta))``. The output is E, the
    proportion of excitatory cells that are active. With the default constants a drive of 1.25
    leads to a limit cycle.

    Parameters
    ----------
    n_in, n_out, delay, resolution, learn, method, n_steps, noise, learn_noise, sign, mask
        As for `NeuralMassPopulation`.
    name, position, unit, generator
        As for `DRMPopulation`.
    constants : mapping, optional
        w_ee (16), w_ei (12), w_ie (15), w_ii (3), slope_e (1.3), slope_i (2), threshold_e (4),
        threshold_i (3.7), refractory (1), tau_e and tau_i (0.008 s).

    References
    ----------
    Wilson and Cowan (1972), Biophysical Journal 12, 1-24, doi:10.1016/S0006-3495(72)86068-5.

    Examples
    --------
    >>> import torch
    >>> WilsonCowanPopulation(1, 2, resolution=0.5)([torch.ones(3, 1)]).shape
    torch.Size([3, 2])
    """

    n_state: ClassVar[int] = 2
    constants: ClassVar[Mapping[str, float]] = {
        "w_ee": 16.0,
        "w_ei": 12.0,
        "w_ie": 15.0,
        "w_ii": 3.0,
        "slope_e": 1.3,
        "slope_i": 2.0,
        "threshold_e": 4.0,
        "threshold_i": 3.7,
        "refractory": 1.0,
        "tau_e": 0.008,
        "tau_i": 0.008,
    }

    @staticmethod
    def derivative(state: Tensor, drive: Tensor, constants: tuple[Tensor, ...]) -> Tensor:
        """Return the change per second of E and I.

        Parameters
        ----------
        state : Tensor, shape (..., 2, unit, batch)
        drive : Tensor, shape (..., 1, unit, batch)
        constants : tuple of Tensor, each of shape (unit, 1)

        Returns
        -------
        Tensor, shape (..., 2, unit, batch)
        """
        w_ee, w_ei, w_ie, w_ii, slope_e, slope_i, theta_e, theta_i, r, tau_e, tau_i = constants
        e, i = state.unbind(-3)
        to_e = _sigmoid_from_zero(w_ee * e - w_ei * i + drive.select(-3, 0), slope_e, theta_e)
        to_i = _sigmoid_from_zero(w_ie * e - w_ii * i, slope_i, theta_i)
        de, di = (-e + (1 - r * e) * to_e) / tau_e, (-i + (1 - r * i) * to_i) / tau_i
        return torch.stack([de, di], dim=-3)


def _sigmoid_from_zero(x: Tensor, slope: Tensor, threshold: Tensor) -> Tensor:
    return torch.sigmoid(slope * (x - threshold)) - torch.sigmoid(-slope * threshold)


class JansenRitPopulation(NeuralMassPopulation):
    """Units that are cortical columns of pyramidal cells and two kinds of interneurons.

    The drive is the rate of incoming pulses per second, the output the pyramidal cells' mean
    membrane potential in millivolts, ``y1 - y2``. At the standard input, around 200 pulses per
    second, it oscillates at about 10 Hz.

    Parameters
    ----------
    n_in, n_out, delay, resolution, learn, method, n_steps, noise, learn_noise, sign, mask
        As for `NeuralMassPopulation`.
    name, position, unit, generator
        As for `DRMPopulation`.
    constants : mapping, optional
        gain_e and gain_i (3.25 and 22 mV), rate_e and rate_i (100 and 50 per second),
        connectivity (135), max_rate (5 per second), threshold (6 mV), steepness (0.56 per mV).

    References
    ----------
    Jansen and Rit (1995), Biological Cybernetics 73, 357-366, doi:10.1007/BF00199471.

    Examples
    --------
    >>> import torch
    >>> JansenRitPopulation(1, 2, resolution=1)([torch.ones(3, 1)]).shape
    torch.Size([3, 2])
    """

    n_state: ClassVar[int] = 6
    constants: ClassVar[Mapping[str, float]] = {
        "gain_e": 3.25,
        "gain_i": 22.0,
        "rate_e": 100.0,
        "rate_i": 50.0,
        "connectivity": 135.0,
        "max_rate": 5.0,
        "threshold": 6.0,
        "steepness": 0.56,
    }

    @staticmethod
    def derivative(state: Tensor, drive: Tensor, constants: tuple[Tensor, ...]) -> Tensor:
        """Return the change per second of the three potentials and of their derivatives.

        Parameters
        ----------
        state : Tensor, shape (..., 6, unit, batch)
        drive : Tensor, shape (..., 1, unit, batch)
        constants : tuple of Tensor, each of shape (unit, 1)

        Returns
        -------
        Tensor, shape (..., 6, unit, batch)
        """
        gain_e, gain_i, a, b, c, max_rate, threshold, steepness = constants
        y0, y1, y2, y3, y4, y5 = state.unbind(-3)

        def pulses(potential: Tensor) -> Tensor:
            return max_rate * torch.sigmoid(steepness * (potential - threshold))

        # Connectivity of the four pathways: C, 0.8 C, 0.25 C and 0.25 C (Jansen and Rit, p. 360).
        dy3 = gain_e * a * pulses(y1 - y2) - 2 * a * y3 - a**2 * y0
        incoming = drive.select(-3, 0) + 0.8 * c * pulses(c * y0)
        dy4 = gain_e * a * incoming - 2 * a * y4 - a**2 * y1
        dy5 = gain_i * b * 0.25 * c * pulses(0.25 * c * y0) - 2 * b * y5 - b**2 * y2
        return torch.stack([y3, y4, y5, dy3, dy4, dy5], dim=-3)

    @staticmethod
    def observe(state: Tensor, constants: tuple[Tensor, ...]) -> Tensor:
        """Return the pyramidal cells' potential in millivolts.

        Parameters
        ----------
        state : Tensor, shape (..., 6, unit, batch)
        constants : tuple of Tensor, each of shape (unit, 1)

        Returns
        -------
        Tensor, shape (..., unit, batch)
        """
        return state.select(-3, 1) - state.select(-3, 2)


class WongWangPopulation(NeuralMassPopulation):
    """Units of the reduced Wong-Wang model: the gating of slow excitatory synapses.

    ``dS/dt = -S / tau + (1 - S) gamma H(x)`` with ``x = w J S + I + drive`` and
    ``H(x) = (a x - b) / (1 - exp(-d (a x - b)))``. The drive is a current in nanoampere, the
    output S the proportion of open channels.

    Parameters
    ----------
    n_in, n_out, delay, resolution, learn, method, n_steps, noise, learn_noise, sign, mask
        As for `NeuralMassPopulation`.
    name, position, unit, generator
        As for `DRMPopulation`.
    constants : mapping, optional
        gain (270 per nC), threshold (108 Hz), curvature (0.154 s), tau (0.1 s), gamma (0.641),
        recurrence (0.9), coupling (0.2609 nA), current (0.3 nA).

    References
    ----------
    Deco et al. (2013), Journal of Neuroscience 33, 11239-11252, doi:10.1523/JNEUROSCI.1091-13.2013.

    Examples
    --------
    >>> import torch
    >>> WongWangPopulation(1, 2, resolution=1)([torch.zeros(3, 1)]).shape
    torch.Size([3, 2])
    """

    n_state: ClassVar[int] = 1
    constants: ClassVar[Mapping[str, float]] = {
        "gain": 270.0,
        "threshold": 108.0,
        "curvature": 0.154,
        "tau": 0.1,
        "gamma": 0.641,
        "recurrence": 0.9,
        "coupling": 0.2609,
        "current": 0.3,
    }

    @staticmethod
    def derivative(state: Tensor, drive: Tensor, constants: tuple[Tensor, ...]) -> Tensor:
        """Return the change per second of S.

        Parameters
        ----------
        state : Tensor, shape (..., 1, unit, batch)
        drive : Tensor, shape (..., 1, unit, batch)
        constants : tuple of Tensor, each of shape (unit, 1)

        Returns
        -------
        Tensor, shape (..., 1, unit, batch)
        """
        a, b, d, tau, gamma, w, coupling, current = constants
        u = a * (w * coupling * state + current + drive) - b
        # H has the limit 1 / d and the slope 1 / 2 at u = 0, where its formula is 0 / 0.
        small = (d * u).abs() < 1e-4
        safe = torch.where(small, torch.ones_like(u), u)
        rate = torch.where(small, 1 / d + u / 2, safe / -torch.expm1(-d * safe))
        return -state / tau + (1 - state) * gamma * rate


class HopfPopulation(NeuralMassPopulation):
    """Units that are oscillators near a Hopf bifurcation.

    ``dz/dt = (a + 2 pi i f) z - |z|^2 z + drive`` for complex z, whose real part is the output.
    For ``a > 0`` it oscillates with amplitude ``sqrt(a)`` at f hertz, for ``a < 0`` it comes to
    rest. It starts at ``z = 0.1``.

    Parameters
    ----------
    n_in, n_out, delay, resolution, learn, method, n_steps, noise, learn_noise, sign, mask
        As for `NeuralMassPopulation`.
    name, position, unit, generator
        As for `DRMPopulation`.
    constants : mapping, optional
        bifurcation (0.02 per second), frequency (0.05 Hz).

    References
    ----------
    Deco et al. (2017), Scientific Reports 7, 3095, doi:10.1038/s41598-017-03073-5.

    Examples
    --------
    >>> import torch
    >>> HopfPopulation(1, 2, resolution=100)([torch.zeros(3, 1)]).shape
    torch.Size([3, 2])
    """

    n_state: ClassVar[int] = 2
    constants: ClassVar[Mapping[str, float]] = {"bifurcation": 0.02, "frequency": 0.05}

    @staticmethod
    def derivative(state: Tensor, drive: Tensor, constants: tuple[Tensor, ...]) -> Tensor:
        """Return the change per second of z's real and imaginary part.

        Parameters
        ----------
        state : Tensor, shape (..., 2, unit, batch)
        drive : Tensor, shape (..., 1, unit, batch)
        constants : tuple of Tensor, each of shape (unit, 1)

        Returns
        -------
        Tensor, shape (..., 2, unit, batch)
        """
        bifurcation, frequency = constants
        x, y = state.unbind(-3)
        growth = bifurcation - x**2 - y**2
        turning = 2 * math.pi * frequency
        dx = growth * x - turning * y + drive.select(-3, 0)
        return torch.stack([dx, growth * y + turning * x], dim=-3)

    def initial_state(self, batch: int) -> Tensor:
        """Return the state before the first tick, a little off the fixed point at 0.

        Parameters
        ----------
        batch : int
            Number of batch items.

        Returns
        -------
        Tensor, shape (2, n_out, batch)
        """
        state = super().initial_state(batch)
        state[0] = 0.1
        return state
