r"""The response of blood oxygenation to neural activity: the balloon model near rest.

Activity :math:`z` raises flow :math:`f`, which fills a vessel (volume :math:`v`) and washes out deoxyhaemoglobin
:math:`q`. With all three relative to rest,

.. math::
    \dot s &= z - \kappa s - \gamma (f - 1), \qquad \dot f = s, \\
    \tau \dot v &= f - v^{1/\alpha}, \qquad
    \tau \dot q = f \frac{1 - (1 - E)^{1/f}}{E} - v^{1/\alpha} \frac qv, \\
    y &= V_0 [k_1 (1 - q) + k_2 (1 - q / v)].

Small activity is answered linearly, by the response that follows of the derivatives at rest.
"""

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from conn.functional._inputs import positive

__all__ = ["balloon_response"]

_KAPPA, _GAMMA, _TAU, _ALPHA, _EXTRACTION = 0.64, 0.32, 2.0, 0.32, 0.32
# Of the signal at 1.5 T: 4.3 nu0 E0 TE and r0 E0 TE, with E0 = 0.4 and TE = 0.04 s; V0 = 4, so that y is in per cent.
_INTRAVASCULAR, _EXTRAVASCULAR, _VOLUME = 4.3 * 40.3 * 0.4 * 0.04, 25.0 * 0.4 * 0.04, 4.0


def balloon_response(n_frames: int, *, time_step: float) -> Float[Array, " frame"]:
    """Return the response of the BOLD signal to activity of one time step.

    The balloon model's equations near rest, with the constants of SPM12 and TAPAS. Convolved with activity that is
    constant within time steps, it gives the response at the beginning of each without any error of discretisation.

    Parameters
    ----------
    n_frames : int
        How many time steps; the response is over within some 30 s.
    time_step : float
        In seconds.

    Returns
    -------
    array, shape (frame,)
        In per cent of the signal, to activity of 1 during the first time step. 0 at the beginning.

    Raises
    ------
    ValueError
        If the time step is not positive or there is no frame.

    References
    ----------
    .. [1] Friston, Harrison and Penny (2003). doi:10.1016/S1053-8119(03)00202-7
    .. [2] Stephan et al. (2007). doi:10.1016/j.neuroimage.2007.07.040

    Examples
    --------
    >>> response = balloon_response(320, time_step=0.1)
    >>> round(float(response.argmax()) / 10, 1)
    4.5
    """
    step = positive("time_step", time_step, "s")
    if n_frames < 1:
        raise ValueError(f"n_frames must be at least 1, and is {n_frames}")
    left = 1 - _EXTRACTION
    oxygen = 1 + left * np.log(left) / _EXTRACTION  # derivative of f (1 - (1 - E)^(1/f)) / E at f = 1
    # States: signal, flow, volume, deoxyhaemoglobin, and the activity, which is constant within a step.
    rates = np.zeros((5, 5))
    rates[0, [0, 1, 4]] = -_KAPPA, -_GAMMA, 1.0
    rates[1, 0] = 1.0
    rates[2, [1, 2]] = 1 / _TAU, -1 / (_ALPHA * _TAU)
    rates[3, [1, 2, 3]] = oxygen / _TAU, -(1 / _ALPHA - 1) / _TAU, -1 / _TAU
    moved = scipy.linalg.expm(rates * step)
    state, onward = moved[:4, 4], moved[:4, :4]
    signal = _VOLUME * np.array([0.0, 0.0, _EXTRAVASCULAR, -_INTRAVASCULAR - _EXTRAVASCULAR])
    response = np.zeros(n_frames)
    for frame in range(1, n_frames):
        response[frame] = signal @ state
        state = onward @ state
    return jnp.asarray(response)
