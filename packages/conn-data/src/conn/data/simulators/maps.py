"""Maps on the cortex that are smooth to a known extent."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import finite_array, real_number, whole_number
from conn.data.errors import DataError

__all__ = ["Kernel", "MapSimulation", "simulate_maps", "smooth_fields"]

Kernel = Literal["exponential", "gaussian"]

_BLOCK = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class MapSimulation:
    """Maps whose values are correlated in space.

    Parameters
    ----------
    maps : array, shape (map, vertex)
        Independent of one another; mean 0 and variance 1 in expectation.
    kernel : {"exponential", "gaussian"}
        How the correlation falls with distance.
    length_scale : float
        Millimetres.
    nugget : float
        Share of the variance that is not smooth.
    """

    maps: NDArray[np.float64]
    kernel: Kernel
    length_scale: float
    nugget: float

    def correlation(self, distance: ArrayLike) -> NDArray[np.float64]:
        """Return the correlation of a map's values at given distances.

        Parameters
        ----------
        distance : array, any shape
            Straight-line distances in millimetres.

        Returns
        -------
        array, shape of distance
            1 at distance 0.
        """
        apart = np.asarray(distance, dtype=np.float64)
        scaled = apart / self.length_scale
        smooth = np.exp(-scaled) if self.kernel == "exponential" else np.exp(-(scaled**2) / 2)
        return np.where(apart == 0, 1.0, (1 - self.nugget) * smooth)


def simulate_maps(
    coordinates: ArrayLike,
    *,
    n_maps: int = 1,
    length_scale: float = 20.0,
    kernel: Kernel = "exponential",
    nugget: float = 0.0,
    n_waves: int = 1024,
    rng: np.random.Generator | int | None = 0,
) -> MapSimulation:
    r"""Return maps with the correlation :math:`e^{-d / \ell}` or :math:`e^{-d^2 / 2 \ell^2}` between places.

    A map is a sum of plane waves through space with Gaussian amplitudes, whose wave vectors follow the
    kernel's spectral density: the cost grows with vertices, not with their square, and no distance matrix is
    formed. Distances are straight lines; for distances along the cortex give the coordinates on the sphere, one
    hemisphere at a time.

    Parameters
    ----------
    coordinates : array, shape (vertex, 3)
        Millimetres.
    n_maps : int, default 1
        Maps; each has waves of its own.
    length_scale : float, default 20
        :math:`\ell` in millimetres.
    kernel : {"exponential", "gaussian"}, default "exponential"
        The former is rough, as brain maps are; the latter smooth.
    nugget : float, default 0
        Share of the variance that is independent at each vertex, 0 to below 1.
    n_waves : int, default 1024
        Waves a map. Over maps the correlation is exact whatever their number; within one map it
        deviates by about :math:`1 / \sqrt{n}`.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    MapSimulation
        Maps and the correlation that they have.

    Raises
    ------
    DataError
        If the coordinates have another shape or are not finite, or an argument lies outside its range.

    References
    ----------
    Rahimi & Recht (2007), Advances in Neural Information Processing Systems 20; why it matters:
    Burt et al. (2020), NeuroImage 220, 117038, doi:10.1016/j.neuroimage.2020.117038.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.simulators import simulate_maps
    >>> made = simulate_maps(np.random.default_rng(0).normal(size=(50, 3)) * 30, n_maps=2)
    >>> made.maps.shape, round(float(made.correlation(20.0)), 3)
    ((2, 50), 0.368)
    """
    points = finite_array("coordinates", coordinates, ("vertex", 3))
    nugget = real_number("nugget", nugget, minimum=0)
    if nugget >= 1:
        raise DataError(f"nugget is {nugget:g}, expected a number below 1")
    generator = np.random.default_rng(rng)
    smooth = smooth_fields(
        points,
        whole_number("n_maps", n_maps),
        length_scale=real_number("length_scale", length_scale, above=0),
        kernel=kernel,
        n_waves=whole_number("n_waves", n_waves),
        generator=generator,
    )
    maps = np.sqrt(1 - nugget) * smooth
    if nugget:
        maps = maps + np.sqrt(nugget) * generator.standard_normal(maps.shape)
    return MapSimulation(maps=maps, kernel=kernel, length_scale=float(length_scale), nugget=nugget)


def smooth_fields(
    points: NDArray[np.float64],
    n_fields: int,
    *,
    length_scale: float,
    kernel: str,
    n_waves: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return fields of unit variance, shape (field, point)."""
    if kernel not in get_args(Kernel):
        raise DataError(f"kernel is {kernel!r}, expected one of {', '.join(get_args(Kernel))}")
    fields = np.zeros((n_fields, len(points)))
    for field in fields:
        for begin in range(0, n_waves, _BLOCK):
            count = min(_BLOCK, n_waves - begin)
            waves = generator.standard_normal((3, count)) / length_scale
            if kernel == "exponential":
                # The spectral density of exp(-d) in space is the trivariate Cauchy distribution.
                waves /= np.abs(generator.standard_normal(count))
            phase = points @ waves
            amplitude = generator.standard_normal((2, count)) / np.sqrt(n_waves)
            field += np.cos(phase) @ amplitude[0] + np.sin(phase) @ amplitude[1]
    return fields
