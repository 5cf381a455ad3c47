"""Slow cosines that stand for scanner drift among the confounds."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional._inputs import positive

__all__ = ["dct_basis"]


def dct_basis(
    n_frames: int, *, high_pass: float, repetition_time: float, constant: bool = False
) -> Float[Array, "component frame"]:
    r"""Return the cosines of a discrete cosine transform below a frequency, as confounds for drift.

    :math:`\sqrt{2 / T} \cos(\pi k (t + \tfrac12) / T)`, of frequency :math:`k / 2T` a frame, for
    :math:`k = 1, \dots, \lfloor 2 T \Delta f \rfloor` with repetition time :math:`\Delta` and high-pass frequency
    :math:`f`.

    Parameters
    ----------
    n_frames : int
        Number of frames of the run. Each run has a basis of its own.
    high_pass : float
        Hertz, below the Nyquist frequency; 1 / 128 s = 0.0078 Hz is usual for tasks.
    repetition_time : float
        Seconds from frame to frame.
    constant : bool, default False
        Put the constant first.

    Returns
    -------
    array, shape (component, frame)
        Orthonormal rows, none where the run is shorter than half a period of `high_pass` and no constant is asked for.

    Raises
    ------
    ValueError
        If there is no frame, or the frequency does not lie between 0 and the Nyquist frequency.

    See Also
    --------
    scipy.fft.dct : the rows are those of its orthonormal type II.
    nilearn.glm.first_level.make_first_level_design_matrix : drift model "cosine", the same columns.

    References
    ----------
    .. [1] Friston KJ et al. (2000). To smooth or not to smooth? doi:10.1006/nimg.2000.0609

    Examples
    --------
    >>> dct_basis(100, high_pass=0.01, repetition_time=2.0).shape
    (4, 100)
    """
    if n_frames < 1 or int(n_frames) != n_frames:
        raise ValueError(f"n_frames must be a whole number of at least 1, and is {n_frames}")
    nyquist = 0.5 / positive("repetition_time", repetition_time, "s")
    if not positive("high_pass", high_pass, "Hz") < nyquist:
        raise ValueError(f"high_pass must be below the Nyquist frequency {nyquist:g} Hz, and is {high_pass:g} Hz")
    # A product that is whole but for rounding counts as whole.
    last = int(np.floor(2 * n_frames * repetition_time * high_pass * (1 + 1e-12)))
    order = np.arange(0 if constant else 1, last + 1)[:, None]
    rows = np.cos(np.pi * order * (np.arange(n_frames) + 0.5) / n_frames) * np.sqrt(2 / n_frames)
    return jnp.asarray(np.where(order == 0, 1 / np.sqrt(n_frames), rows), dtype=jnp.result_type(float))
