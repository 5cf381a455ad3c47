"""Scans as models take them: checked, standardised, and pooled."""

import functools

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from conn.functional import correlation_operator, row_sums, to_dense
from conn.models._switching import independent_share, standardised_scans

_FEWEST_FRAMES = 8
_standardised = jax.jit(standardised_scans)


class Scans:
    """Scans to learn from: as given, standardised, and pooled."""

    def __init__(self, series: Array, valid: Array) -> None:
        self.series, self.valid = series, valid
        self.standardised = _standardised(series, valid)
        self.share = independent_share(self.standardised, valid)
        self.stride = max(1, round(1 / self.share))

    @functools.cached_property
    def pooled(self) -> lx.AbstractLinearOperator:
        """The mean correlation over scans, weighted by valid frames; an array of the scans' size, and no matrix."""
        frames = jnp.moveaxis(self.standardised, 1, 0).reshape(self.standardised.shape[1], -1)
        return correlation_operator(frames, mask=self.valid.reshape(-1))

    @functools.cached_property
    def small(self) -> lx.AbstractLinearOperator:
        """The same, as one matrix for all scans together where that is smaller than their frames."""
        return smaller(self.pooled, self.valid.size)

    @functools.cached_property
    def mean_correlation(self) -> float:
        """Of all pairs of regions, in all scans."""
        n_regions = self.series.shape[1]
        return (float(row_sums(self.pooled).sum()) - n_regions) / max(n_regions * (n_regions - 1), 1)

    @property
    def n_independent(self) -> float:
        """What all frames together are worth."""
        return self.share * float(self.valid.sum())


def smaller(operator: lx.AbstractLinearOperator, n_frames: int) -> lx.AbstractLinearOperator:
    """Return a matrix in the place of an operator that acts through more frames than there are regions."""
    if operator.in_structure().shape[-1] > n_frames:
        return operator
    return lx.MatrixLinearOperator(to_dense(operator), lx.symmetric_tag)


def checked_scans(
    name: str, time_series: ArrayLike, mask_name: str, mask: ArrayLike | None
) -> tuple[jax.Array, jax.Array]:
    """Return the scans with masked frames emptied, and the mask; refuse what cannot be fitted."""
    series = np.asarray(time_series, dtype=np.result_type(np.asarray(time_series).dtype, np.float32))
    if series.ndim != 3 or 0 in series.shape:
        raise ValueError(f"{name} must have shape (scan, region, frame) and not be empty, and has shape {series.shape}")
    valid = np.ones((len(series), series.shape[-1]), bool) if mask is None else np.asarray(mask, bool)
    if valid.shape != (len(series), series.shape[-1]):
        raise ValueError(f"{mask_name} must have shape {(len(series), series.shape[-1])}, and has shape {valid.shape}")
    series = np.where(valid[:, None, :], series, 0)
    for scan, values in enumerate(series):
        if not np.isfinite(values).all():
            region, frame = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(
                f"scan {scan} of {name} holds {values[region, frame]} in region {region} at frame {frame}: "
                "mask such frames"
            )
        if valid[scan].sum() < _FEWEST_FRAMES:
            raise ValueError(
                f"scan {scan} of {name} has {valid[scan].sum()} frames that count, and needs {_FEWEST_FRAMES}"
            )
    return jnp.asarray(series), jnp.asarray(valid)
