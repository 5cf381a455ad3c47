r"""Transfer entropy between Gaussian series: what the past of a source says of a target's next frame.

.. math:: T_{s \to t} = H(x_t \mid \text{past without } s) - H(x_t \mid \text{past with } s).

For Gaussian series an entropy is half the logarithm of a residual variance (and a constant), so that transfer entropy
is half of Granger causality; other dependence than linear one is not seen.
"""

from jaxtyping import Array, Bool, Float, Int

from conn.functional.engine import Tensor
from conn.functional.granger import granger_causality

__all__ = ["transfer_entropy"]


def transfer_entropy(
    time_series: Float[Tensor, "... region frame"],
    order: int,
    *,
    conditional: bool = True,
    ridge: float = 0.0,
    mask: Bool[Tensor, "... frame"] | None = None,
    run: Int[Tensor, "... frame"] | None = None,
    check: bool = False,
) -> Float[Array, "... target source"]:
    r"""Return the Gaussian transfer entropy of all ordered pairs of regions.

    Parameters
    ----------
    time_series : array, shape (..., region, frame)
        Signals, in any unit, and not band-passed (see `granger_causality`).
    order : int
        Frames of the past that are looked at, of the target as of the source.
    conditional : bool, default True
        Given the past of all other regions. Without it, given the target's own past alone, as first defined [1]_.
    ridge, mask, run, check
        As in `granger_causality`.

    Returns
    -------
    array, shape (..., target, source)
        In nats a frame; divide by :math:`\log 2` for bits. 0 on the diagonal, and for a target that never changes.
        Biased upwards: the mean of series that have nothing to do with each other is about half of `order` over the
        frames less the coefficients. NaN in a frame that counts makes everything NaN.

    Raises
    ------
    ValueError
        As `granger_causality`.

    Warns
    -----
    UserWarning
        As `granger_causality`.

    See Also
    --------
    granger_test : what of it is chance.

    References
    ----------
    .. [1] Schreiber (2000). doi:10.1103/PhysRevLett.85.461
    .. [2] Barnett, Barrett and Seth (2009), on Gaussian series. doi:10.1103/PhysRevLett.103.238701

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> drive, noise = jax.random.normal(jax.random.key(0), (2, 400))
    >>> entropy = transfer_entropy(jnp.stack([drive, jnp.roll(drive, 1) + noise]), 1)
    >>> bool(entropy[1, 0] > 0.25), bool(entropy[0, 1] < 0.025)
    (True, True)
    """
    found = granger_causality(time_series, order, conditional=conditional, ridge=ridge, mask=mask, run=run, check=check)
    return found / 2
