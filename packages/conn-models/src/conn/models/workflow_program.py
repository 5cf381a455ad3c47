r"""The program of a workflow: from runs and weights of the alternatives to connectomes, differentiable in the weights.

Every choice is a vector on the simplex, :math:`p` for parcellations, :math:`f` for filters, :math:`k` for censorings,
:math:`g` for sets of confounds and :math:`h` for kinds of connectome. With :math:`M_{kt}` whether censoring :math:`k`
keeps a frame, and :math:`x_{pfkt}` the parcels' series censored, filled, detrended and filtered:

.. math::

    w_t &= \textstyle\sum_k k_k M_{kt}, \qquad
    x_t = \textstyle\sum_{pfk} p_p\, f_f\, k_k M_{kt}\, x_{pfkt} / w_t, \\
    z_t &= \textstyle\sum_g g_g\, R_g(x)_t, \qquad
    E = \textstyle\sum_h h_h E_h(z, w),

:math:`R_g` being the residual of the regression, with frame weights :math:`w`, on the confounds of :math:`g`, which
have gone through the same steps as the series; :math:`z` is standardised before the connectome. Where each vector is a
vertex, every sum has one term, and the program is that pipeline.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional import (
    censoring_mask,
    clean,
    corr,
    corr_from_cov,
    fisher_z,
    ledoit_wolf,
    parcellate,
    partial_corr,
    residualise,
    spd_mean,
    tangent_project,
)
from conn.models.workflow_stages import STAGES, Runs, Stages

__all__ = ["Prepared", "Program", "connectomes", "prepare"]


class Prepared(eqx.Module):
    """What does not depend on the weights, computed once: series and confounds of every censoring and filter."""

    series: Float[Array, "run parcellation censoring filter region frame"]
    confounds: Float[Array, "run censoring filter confound frame"]
    kept: Float[Array, "run censoring frame"]
    columns: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    """The rows of the confounds that each alternative takes."""


def prepare(stages: Stages, runs: Runs) -> Prepared:
    """Return the runs with every censoring and filter, short runs padded with frames that no censoring keeps.

    Parameters
    ----------
    stages : Stages
        The alternatives.
    runs : Runs
        The runs.

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError
        If motion or a group of confounds is missing, a parcellation does not fit or has an empty parcel, a run is
        too short for a filter, or keeps no more frames under a censoring than confounds are fitted to it.
    """
    censored = _masks(stages, runs)
    regressors = _regressors(stages, runs)
    columns = _columns(stages, runs)
    _refuse_too_few(stages, censored, columns)
    longest = max(one.shape[-1] for one in censored)
    lengths = np.array([one.shape[-1] for one in censored])
    parts: list[Any] = [None] * runs.n_runs
    # Runs of one length go together: padding before the filter would bend what it makes of their ends.
    for length in np.unique(lengths):
        places = [place for place, one in enumerate(censored) if one.shape[-1] == length]
        stacked = [
            jnp.asarray(np.stack([arrays[place] for place in places]))
            for arrays in (runs.time_series, regressors, censored)
        ]
        # Where no frame is censored at all nothing is filled, and the program is shorter.
        some_censored = not all(censored[place].all() for place in places)
        of_series, of_confounds = _cleaned(stages, runs.repetition_time, *stacked, some_censored=some_censored)
        padding = [(0, longest - length)]
        for row, place in enumerate(places):
            parts[place] = tuple(
                np.pad(np.asarray(one[row]), [(0, 0)] * (one.ndim - 2) + padding)
                for one in (of_series, of_confounds, stacked[2].astype(of_series.dtype))
            )
    series, confounds, kept = (jnp.asarray(np.stack(own)) for own in zip(*parts, strict=True))
    if not bool(jnp.isfinite(series).all()):
        raise ValueError("a parcel has no vertex: its series would not be finite")
    return Prepared(series, confounds, kept, columns)


@eqx.filter_jit
def connectomes(
    stages: Stages,
    prepared: Prepared,
    weights: Mapping[str, Any],
    reference: Float[Array, "region region"] | None = None,
) -> tuple[Float[Array, "run region region"], Float[Array, "region region"] | None]:
    """Return the connectomes of all runs at these weights, and the point of tangency.

    Parameters
    ----------
    stages : Stages
        The alternatives.
    prepared : Prepared
        The runs, see `prepare`.
    weights : mapping of str to array
        One vector on the simplex a stage; a stage of one alternative may be left out.
    reference : array, shape (region, region), optional
        Point of tangency; by default the geometric mean of these runs' shrunk covariances.

    Returns
    -------
    array, shape (run, region, region)
        Symmetric: Fisher's z with diagonal 0, tangents, or what the weights mix of these.
    array, shape (region, region), or None
        The point of tangency; None where no alternative is a tangent.

    Raises
    ------
    ValueError
        If weights are missing, of another length, or of no stage.
    """
    shares = _shares(stages, weights)
    kinds = list(stages.connectome.values())

    # A run at a time, and nothing kept of it but its connectome: the derivative computes the rest again.
    @jax.checkpoint
    def of_run(run: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        series, frames = _residuals(*run, shares, prepared.columns)
        return _connectome(kinds, series, frames, shares["connectome"])

    found, covariances = jax.lax.map(of_run, (prepared.series, prepared.confounds, prepared.kept))
    if "tangent" not in kinds:
        return found, None
    if reference is None:
        reference = spd_mean(covariances)
    share = shares["connectome"][kinds.index("tangent")]
    return found + share * tangent_project(covariances, reference), reference


class Program(eqx.Module):
    """Connectomes of given runs as a function of the weights, see `Workflow.program`."""

    prepared: Prepared
    stages: Stages = eqx.field(static=True)

    def __call__(self, weights: Mapping[str, Any]) -> Float[Array, "run region region"]:
        """Return the connectomes at these weights.

        Parameters
        ----------
        weights : mapping of str to array
            One vector on the simplex a stage; a stage of one alternative may be left out.

        Returns
        -------
        array, shape (run, region, region)

        Raises
        ------
        ValueError
            If weights are missing, of another length, or of no stage.
        """
        return connectomes(self.stages, self.prepared, weights)[0]


def _masks(stages: Stages, runs: Runs) -> list[np.ndarray]:
    """Return which frames each censoring keeps, an array (censoring, frame) a run."""
    if runs.motion is None and any(rule is not None for rule in stages.censoring.values()):
        raise ValueError("censoring needs the runs' motion")
    found = []
    for place, series in enumerate(runs.time_series):
        counts = np.ones(series.shape[-1], bool) if runs.mask is None else runs.mask[place]
        rows = []
        for rule in stages.censoring.values():
            kept = counts
            if rule is not None and runs.motion is not None:
                moved = jnp.asarray(runs.motion[place])
                still = censoring_mask(
                    moved, threshold=rule.threshold, before=rule.before, after=rule.after, shortest=rule.shortest
                )
                kept = counts & np.asarray(still)
            rows.append(kept)
        found.append(np.stack(rows))
    return found


def _regressors(stages: Stages, runs: Runs) -> list[np.ndarray]:
    """Return the groups of confounds that are used, one below the other, an array a run."""
    missing = sorted(set(stages.groups) - set(runs.confounds))
    if missing:
        known = ", ".join(runs.confounds) or "none"
        raise ValueError(f"the runs have no confounds {', '.join(map(repr, missing))}; they have {known}")
    empty = np.zeros((0, 1))
    return [
        np.concatenate([runs.confounds[name][place] for name in stages.groups])
        if stages.groups
        else np.broadcast_to(empty, (0, series.shape[-1]))
        for place, series in enumerate(runs.time_series)
    ]


def _columns(stages: Stages, runs: Runs) -> tuple[tuple[int, ...], ...]:
    """Return which rows of the regressors each alternative takes."""
    rows, begin = {}, 0
    for name in stages.groups:
        rows[name] = range(begin, begin := begin + len(runs.confounds[name][0]))
    return tuple(tuple(row for name in groups for row in rows[name]) for groups in stages.confounds.values())


def _refuse_too_few(stages: Stages, censored: list[np.ndarray], columns: tuple[tuple[int, ...], ...]) -> None:
    powers = 1 if stages.trend is None else stages.trend + 1
    for confounds, own in zip(stages.confounds, columns, strict=True):
        n_fitted = powers + len(own)
        for place, masks in enumerate(censored):
            for censoring, kept in zip(stages.censoring, masks, strict=True):
                if kept.sum() <= n_fitted:
                    raise ValueError(
                        f"run {place} keeps {kept.sum()} frames under censoring {censoring!r}, and confounds "
                        f"{confounds!r} with a mean and a trend fit {n_fitted} numbers to them: leave this run out"
                    )


@eqx.filter_jit
def _cleaned(
    stages: Stages,
    repetition_time: float,
    time_series: Float[Array, "run row frame"],
    regressors: Float[Array, "run confound frame"],
    masks: Float[Array, "run censoring frame"],
    *,
    some_censored: bool,
) -> tuple[Array, Array]:
    """Return runs of one length and their confounds, censored, filled, detrended and filtered in every way."""
    atlases = [
        time_series if one is None else parcellate(time_series, jnp.asarray(one))
        for one in stages.parcellation.values()
    ]
    n_regions = atlases[0].shape[-2]
    rows = jnp.concatenate([*atlases, regressors.astype(atlases[0].dtype)], axis=-2)
    every = jnp.stack(
        [
            clean(
                jnp.broadcast_to(rows[:, None], (*masks.shape[:2], *rows.shape[1:])),
                mask=masks if some_censored else None,
                band=band,
                repetition_time=repetition_time,
                filter_order=stages.filter_order,
                trend=stages.trend,
                standardisation=None,
            )
            for band in stages.filter.values()
        ],
        axis=2,
    )
    *split, confounds = jnp.split(every, [n_regions * (place + 1) for place in range(len(atlases))], axis=-2)
    return jnp.stack(split, axis=1), confounds


def _shares(stages: Stages, weights: Mapping[str, Any]) -> dict[str, Array]:
    unknown = sorted(set(weights) - set(STAGES))
    if unknown:
        raise ValueError(f"there are no stages {', '.join(unknown)}; there are {', '.join(STAGES)}")
    shares = {}
    for stage, names in stages.names.items():
        if stage not in weights and len(names) > 1:
            raise ValueError(f"{stage} has {len(names)} alternatives and no weights")
        share = jnp.asarray(weights[stage]) if stage in weights else jnp.ones(1)
        if share.shape != (len(names),):
            raise ValueError(f"{stage} needs {len(names)} weights, for {', '.join(names)}, and has {share.shape}")
        shares[stage] = share
    return shares


def _residuals(
    series: Float[Array, "parcellation censoring filter region frame"],
    confounds: Float[Array, "censoring filter confound frame"],
    kept: Float[Array, "censoring frame"],
    shares: Mapping[str, Array],
    columns: tuple[tuple[int, ...], ...],
) -> tuple[Float[Array, "region frame"], Float[Array, " frame"]]:
    """Return the standardised residuals of one run, and the weights of its frames."""
    frames = shares["censoring"] @ kept
    used = frames > 0
    weight = jnp.where(used, frames, 1.0)
    # What a frame holds is averaged over the censorings that keep it; the others hold 0 there.
    mixture = jnp.outer(shares["censoring"], shares["filter"])
    x = jnp.einsum("p,kf,pkfrt->rt", shares["parcellation"], mixture, series) / weight
    c = jnp.einsum("kf,kfct->ct", mixture, confounds) / weight
    root = jnp.where(used, jnp.sqrt(weight), 0.0)
    x, c = _about_mean(x, frames, root), _about_mean(c, frames, root)
    residual = jnp.zeros_like(x)
    for share, own in zip(shares["confounds"], columns, strict=True):
        left = residualise(x, c[np.array(own)], intercept=False) if len(own) else x
        residual = residual + share * left
    power, before = (residual**2).sum(-1, keepdims=True), (x**2).sum(-1, keepdims=True)
    # A region of which only rounding is left is constant.
    varies = power > (32 * jnp.finfo(x.dtype).eps) ** 2 * before
    scale = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, power, 1.0) / (frames.sum() - 1)), 0.0)
    return residual * scale * jnp.where(used, jax.lax.rsqrt(weight), 0.0), frames


def _about_mean(rows: Array, frames: Array, root: Array) -> Array:
    """Return rows about their weighted mean, times the roots of the weights; 0 where only rounding is left of one."""
    centred = (rows - (rows * frames).sum(-1, keepdims=True) / frames.sum()) * root
    power, before = (centred**2).sum(-1, keepdims=True), (frames * rows**2).sum(-1, keepdims=True)
    return jnp.where(power > (8 * jnp.finfo(rows.dtype).eps) ** 2 * before, centred, 0.0)


def _connectome(kinds: list[Any], series: Array, frames: Array, shares: Array) -> tuple[Array, Array]:
    """Return the mixture of all kinds but the tangent, and the shrunk covariance, 0 x 0 where no kind needs it."""
    n_regions = len(series)
    covariance = jnp.zeros((0, 0), series.dtype)
    if "shrunk" in kinds or "tangent" in kinds:
        covariance = ledoit_wolf(series, weight=frames).covariance
    found = jnp.zeros((n_regions, n_regions), series.dtype)
    for kind, share in zip(kinds, shares, strict=True):
        if kind == "full":
            one = corr(series, weight=frames)
        elif kind == "shrunk":
            one = corr_from_cov(covariance)
        elif kind == "partial":
            one = partial_corr(series, weight=frames, shrinkage="ledoit_wolf")
        else:
            continue
        found = found + share * fisher_z(jnp.where(jnp.eye(n_regions, dtype=bool), 0.0, one))
    return found, covariance
