"""More and shorter scans: windows drawn at random, of series and mask alike."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from conn.functional._inputs import real_series
from conn.functional.engine import Tensor
from conn.functional.windows import sample_windows

__all__ = ["WindowAmplifier"]


class WindowAmplifier(eqx.Module):
    """Windows of each scan, drawn anew with every key, see `sample_windows`.

    Parameters
    ----------
    length : int
        Frames in a window.
    n_windows : int, default 1
        Windows of each scan.
    overlap : bool, default False
        Let windows share frames.

    Raises
    ------
    ValueError
        If a size is not positive.

    Examples
    --------
    >>> import jax
    >>> amplify = WindowAmplifier(10, 3)
    >>> amplify(jax.numpy.ones((2, 5, 40)), key=jax.random.key(0)).shape
    (2, 3, 5, 10)
    """

    length: int = eqx.field(static=True)
    n_windows: int = eqx.field(static=True)
    overlap: bool = eqx.field(static=True)

    def __init__(self, length: int, n_windows: int = 1, *, overlap: bool = False) -> None:
        if length < 1 or n_windows < 1:
            raise ValueError(f"length and n_windows must be at least 1, and are {length} and {n_windows}")
        self.length, self.n_windows, self.overlap = length, n_windows, overlap

    def __call__(
        self, time_series: Float[Tensor, "... region frame"], *, key: Array
    ) -> Float[Array, "... window region length"]:
        """Return the windows of the series.

        Parameters
        ----------
        time_series : array, shape (..., region, frame)
            Series, or confounds; in any unit. All leading axes get the same windows.
        key : PRNG key
            The same key gives the same windows of arrays of as many frames.

        Returns
        -------
        array, shape (..., window, region, length)
            With the windows as a further axis of the batch.

        Raises
        ------
        ValueError
            If the windows do not fit into the series.
        """
        return jnp.moveaxis(self._windows(real_series(time_series), key), -2, -3)

    def of_mask(self, mask: Bool[Tensor, "... frame"], *, key: Array) -> Bool[Array, "... window length"]:
        """Return the windows of a mask: those of the series under the same key.

        Parameters
        ----------
        mask : array, shape (..., frame)
            One value a frame.
        key : PRNG key
            That of the series.

        Returns
        -------
        array, shape (..., window, length)

        Raises
        ------
        ValueError
            If the windows do not fit into the mask.
        """
        return self._windows(mask, key)

    def _windows(self, array: Tensor, key: Array) -> Array:
        return sample_windows(array, self.length, self.n_windows, key=key, overlap=self.overlap)
