"""Confidence intervals that stand beside the reported numbers."""

import math
from statistics import NormalDist

__all__ = ["wilson_interval"]


def wilson_interval(proportion: float, n: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    Unlike the normal approximation it stays within [0, 1] and has a width at 0 % and at 100 %,
    where small identification studies usually end.

    Parameters
    ----------
    proportion : float
        Observed fraction of successes, in [0, 1].
    n : float
        Number of independent trials, above 0.
    confidence : float, default 0.95
        Coverage, between 0 and 1.

    Returns
    -------
    low, high : float
        Ends of the interval, within [0, 1].

    Raises
    ------
    ValueError
        If `proportion` or `confidence` is out of range or NaN, or if `n` is not positive.

    References
    ----------
    Wilson 1927, Journal of the American Statistical Association 22:209-212,
    doi 10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> low, high = wilson_interval(1.0, 10)
    >>> print(f"{low:.3f} {high:.3f}")
    0.722 1.000
    """
    if not 0 <= proportion <= 1:
        raise ValueError(f"proportion must lie in [0, 1], got {proportion!r}")
    if not n > 0 or math.isinf(n):
        raise ValueError(f"n must be a positive number of trials, got {n!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    denominator = 1 + z**2 / n
    centre = (proportion + z**2 / (2 * n)) / denominator
    half = z * math.sqrt(proportion * (1 - proportion) / n + z**2 / (4 * n**2)) / denominator
    # The ends meet the observed proportion exactly at 0 and 1; rounding must not push them past it.
    low = 0.0 if proportion == 0 else max(0.0, centre - half)
    high = 1.0 if proportion == 1 else min(1.0, centre + half)
    return low, high
