"""Which frames count: displacement of the head between frames, thresholds on it, dummy frames."""

from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from conn.functional._inputs import real_series
from conn.functional._series import neighbours
from conn.functional.engine import Tensor

__all__ = ["censoring_mask", "dummy_frame_mask", "framewise_displacement"]

RotationUnit = Literal["radians", "degrees"]


def framewise_displacement(
    translation: Float[Tensor, "... 3 frame"],
    rotation: Float[Tensor, "... 3 frame"],
    *,
    rotation_unit: RotationUnit,
    radius: float = 50.0,
    check: bool = False,
) -> Float[Array, "... frame"]:
    r"""Return how far the head moved since the frame before, :math:`\sum |\Delta t| + r \sum |\Delta \theta|`.

    Translations and rotations are two arguments, since programs disagree about their order in one table (rotations
    come first in FSL's and AFNI's files, translations in SPM's and fMRIPrep's), and about the rotations' unit.

    Parameters
    ----------
    translation : array, shape (..., 3, frame)
        Along three axes, in millimetres.
    rotation : array, shape (..., 3, frame)
        About three axes, in the unit named.
    rotation_unit : {"radians", "degrees"}
        Radians in FSL's, SPM's and fMRIPrep's files, degrees in AFNI's.
    radius : float, default 50
        Of the sphere on which rotations become arcs, in millimetres.
    check : bool, default False
        Refuse NaN and infinity by their values, also under ``jit``.

    Returns
    -------
    array, shape (..., frame)
        In millimetres; 0 for the first frame. NaN in a frame makes it and the next NaN. Where nothing moved the
        derivative 0 is returned.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the unit is unknown.

    References
    ----------
    .. [1] Power et al. (2012). doi:10.1016/j.neuroimage.2011.10.018

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> shift = jnp.zeros((3, 3)).at[0, 1:].set(0.5)
    >>> turn = jnp.zeros((3, 3)).at[2, 2].set(0.01)
    >>> framewise_displacement(shift, turn, rotation_unit="radians").tolist()
    [0.0, 0.5, 0.5]
    """
    if rotation_unit not in get_args(RotationUnit):
        raise ValueError(f'rotation_unit must be "radians" or "degrees", and is {rotation_unit!r}')
    shift = real_series(translation, name="translation", axes="(..., 3, frame)", check=check)
    turn = real_series(rotation, name="rotation", axes="(..., 3, frame)", check=check)
    if shift.shape[-2] != 3 or turn.shape != shift.shape:
        raise ValueError(
            "translation and rotation must have one shape (..., 3, frame), "
            f"and have shapes {shift.shape} and {turn.shape}"
        )
    arc = radius * (jnp.deg2rad(turn) if rotation_unit == "degrees" else turn)
    moved = jnp.abs(jnp.diff(shift, axis=-1)).sum(-2) + jnp.abs(jnp.diff(arc, axis=-1)).sum(-2)
    return jnp.concatenate([jnp.zeros_like(moved, shape=(*moved.shape[:-1], 1)), moved], axis=-1)


def censoring_mask(
    displacement: Float[Tensor, "... frame"],
    *,
    threshold: float | Array,
    before: int = 0,
    after: int = 0,
    shortest: int = 1,
    dummy_frames: int = 0,
) -> Bool[Array, "... frame"]:
    """Return True for the frames that count: those that are still, and have enough still neighbours.

    Parameters
    ----------
    displacement : array, shape (..., frame)
        One number a frame, such as `framewise_displacement`. NaN counts as movement (in fMRIPrep's tables the first
        frame is empty: fill it with 0 to keep that frame).
    threshold : float
        Frames above it are censored, in the unit of `displacement`.
    before, after : int, default 0
        Frames censored before and after each of these too.
    shortest : int, default 1
        Runs of fewer uncensored frames in a row are censored as well.
    dummy_frames : int, default 0
        Frames at the beginning that are censored whatever moved; they censor no neighbours.

    Returns
    -------
    array of bool, shape (..., frame)

    Raises
    ------
    ValueError
        If `displacement` has no frame, or a count is negative.

    References
    ----------
    .. [1] Power et al. (2012). doi:10.1016/j.neuroimage.2011.10.018
    .. [2] Power et al. (2014). doi:10.1016/j.neuroimage.2013.08.048

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> censoring_mask(jnp.array([0.0, 0.1, 0.9, 0.1, 0.1]), threshold=0.5, after=1).tolist()
    [True, True, False, False, True]
    """
    moved = real_series(displacement, name="displacement", axes="(..., frame)")
    for name, number in (("before", before), ("after", after), ("shortest", shortest)):
        if number < 0:
            raise ValueError(f"{name} must not be negative, and is {number}")
    n_frames = moved.shape[-1]
    still = moved <= threshold
    place = jnp.arange(n_frames).reshape((1,) * (moved.ndim - 1) + (n_frames,))
    last, following = neighbours(~still)
    still &= ((last < 0) | (place - last > after)) & ((following == n_frames) | (following - place > before))
    still &= dummy_frame_mask(n_frames, n_dummy=dummy_frames).reshape(place.shape)
    last, following = neighbours(~still)
    return still & (following - last - 1 >= shortest)


def dummy_frame_mask(n_frames: int, *, n_dummy: int) -> Bool[Array, " frame"]:
    """Return False for the first `n_dummy` frames, which are taken before magnetisation is steady, and True after.

    Parameters
    ----------
    n_frames : int
        Frames in all.
    n_dummy : int
        How many of them, at the beginning, do not count.

    Returns
    -------
    array of bool, shape (frame,)

    Raises
    ------
    ValueError
        If `n_dummy` is negative or more than all frames.

    Examples
    --------
    >>> dummy_frame_mask(4, n_dummy=2).tolist()
    [False, False, True, True]
    """
    if not 0 <= n_dummy <= n_frames:
        raise ValueError(f"n_dummy must lie between 0 and the {n_frames} frames there are, and is {n_dummy}")
    return jnp.arange(n_frames) >= n_dummy
