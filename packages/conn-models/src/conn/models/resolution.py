"""The resolution at which communities are the same in two halves of the scans."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from conn.models._extras import library
from conn.models._objectives import LINEAR_EPOCHS, LinearObjective
from conn.models._scans import Scans, checked_scans

__all__ = ["ChosenResolution", "choose_resolution"]

_FACTORS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_LEAST_DIFFERENCE = 1e-9


class ChosenResolution(NamedTuple):
    """A resolution, and what it was chosen by."""

    resolution: float
    """The candidate of the highest agreement; of equals, the largest."""
    candidates: NDArray[np.floating]
    """All resolutions that were compared, shape (candidate,)."""
    agreement: NDArray[np.floating]
    """Mean adjusted mutual information between the halves, shape (candidate,)."""
    n_found: NDArray[np.floating]
    """Mean number of communities that are not empty, shape (candidate,)."""


def choose_resolution(
    time_series: ArrayLike,
    n_communities: int = 10,
    *,
    mask: ArrayLike | None = None,
    half: ArrayLike | None = None,
    candidates: Sequence[float] | None = None,
    n_epochs: int = LINEAR_EPOCHS,
    refine: bool = False,
    n_searches: int = 3,
    seed: int = 0,
    progress: bool = True,
) -> ChosenResolution:
    r"""Return the resolution of constant Potts whose communities agree best between two halves of the scans.

    Each half is searched by itself, as `DynamicCommunityModel` with ``objective="constant_potts"`` does; every search
    of one half is compared with every search of the other by the adjusted mutual information [1]_, 0 on average for
    partitions by chance. A search that ends in one community agrees with nothing. Stability does not say that
    communities are right: few large ones are often as stable as more.

    Parameters
    ----------
    time_series : array, shape (scan, region, frame)
        Signals in any unit.
    n_communities : int, default 10
        How many communities there may be.
    mask : array of bool, shape (scan, frame), optional
        True where a frame counts.
    half : array of bool, shape (scan,), optional
        Which scans are the first half, for example those of one session, or of some people. By default every other
        scan.
    candidates : sequence of float, optional
        Resolutions to compare. By default 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8 and 10 times the mean correlation of all pairs
        of regions in all scans.
    n_epochs : int, default 200
        Gradient steps of a search.
    refine : bool, default False
        End each search with a refinement, as the model of the same argument does.
    n_searches : int, default 3
        Searches in each half and for each candidate, from different starts.
    seed : int, default 0
        Of the starts. Same seed, same result.
    progress : bool, default True
        Show a bar.

    Returns
    -------
    ChosenResolution
        The resolution, all candidates, and their agreement and numbers of communities.

    Raises
    ------
    ValueError
        If the shapes do not fit, a frame that counts holds NaN or infinity, a half is empty, a number is below 1,
        there is no candidate or one is not finite, or none was given and the mean correlation is not positive.
    ImportError
        If scikit-learn is not installed; the message names the extra.

    References
    ----------
    .. [1] Vinh, Epps & Bailey (2010), Information theoretic measures for clusterings comparison.
       https://jmlr.org/papers/v11/vinh10a.html
    .. [2] Lange, Roth, Braun & Buhmann (2004), Stability-based validation of clustering solutions.
       doi:10.1162/089976604773717621

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> signal = np.repeat(rng.standard_normal((2, 2, 60)), 5, axis=1)  # two scans, two communities of five regions
    >>> scans = signal + 0.5 * rng.standard_normal(signal.shape)
    >>> found = choose_resolution(scans, 2, candidates=[0.3], n_searches=1, progress=False)
    >>> found.resolution, found.agreement.round(2).tolist(), found.n_found.tolist()
    (0.3, [1.0], [2.0])
    """
    for name, number in (("n_communities", n_communities), ("n_epochs", n_epochs), ("n_searches", n_searches)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, and is {number}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, and is {seed}")
    series, valid = checked_scans("time_series", time_series, "mask", mask)
    first = np.arange(len(series)) % 2 == 0 if half is None else np.asarray(half)
    if first.dtype != bool or first.shape != (len(series),):
        raise ValueError(f"half must be true or false for each of {len(series)} scans, and is {first!r}")
    if first.all() or not first.any():
        raise ValueError("half must leave scans on both sides")
    grid = _candidates(candidates, Scans(series, valid))
    measure = library("sklearn.metrics", "scikit-learn", "communities").adjusted_mutual_info_score

    halves = [Scans(series[jnp.asarray(scans)], valid[jnp.asarray(scans)]) for scans in (first, ~first)]

    def objective(scans: Scans, resolution: float) -> LinearObjective:
        return LinearObjective(scans, n_communities, seed, null="constant_potts", resolution=resolution, refine=refine)

    # Where a search starts does not depend on the resolution.
    starts = [[objective(scans, float(grid[0])).initial(search) for search in range(n_searches)] for scans in halves]
    agreement, n_found = np.zeros(len(grid)), np.zeros(len(grid))
    for place, resolution in enumerate(tqdm(grid, desc="choosing a resolution", disable=not progress)):
        found = []
        for scans, states in zip(halves, starts, strict=True):
            searched = objective(scans, float(resolution))
            found.append([_searched(searched, state, n_epochs) for state in states])
        agreement[place] = np.mean(
            [
                measure(one, other) if len(set(one)) > 1 and len(set(other)) > 1 else 0.0
                for one in found[0]
                for other in found[1]
            ]
        )
        n_found[place] = np.mean([len(set(labels)) for labels in (*found[0], *found[1])])
    best = grid[agreement >= agreement.max() - _LEAST_DIFFERENCE].max()
    return ChosenResolution(float(best), grid, agreement, n_found)


def _candidates(candidates: Sequence[float] | None, scans: Scans) -> NDArray[np.floating]:
    if candidates is not None:
        grid = np.asarray(candidates, float)
        if grid.ndim != 1 or not len(grid) or not np.isfinite(grid).all():
            raise ValueError(f"candidates must be one finite number or more, and are {candidates!r}")
        return grid
    if scans.mean_correlation <= 0:
        raise ValueError(f"the mean correlation is {scans.mean_correlation:.3g}, not positive: give candidates")
    return scans.mean_correlation * np.array(_FACTORS)


def _searched(objective: LinearObjective, state: tuple[Array, Any], n_epochs: int) -> NDArray[np.integer]:
    """Return the partition that a search from a state ends in."""
    for _ in range(n_epochs):
        state, _ = objective.step(state)
    return objective.affiliation(objective.finished(state, 0.0)[0]).argmax(-1)
