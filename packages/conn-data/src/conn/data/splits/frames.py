"""Folds of frames: blocks of time with a gap, since neighbouring frames know each other."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import whole_number
from conn.data.errors import DataError
from conn.data.splits.folds import Folds

__all__ = ["time_folds"]


def time_folds(
    frames: int | ArrayLike, n_folds: int = 5, *, gap: int = 0, runs: ArrayLike | None = None, forward: bool = False
) -> Folds:
    """Return folds each of which tests on one block of consecutive frames.

    Parameters
    ----------
    frames : int or int array, shape (frame,)
        The number of frames; or their ascending numbers where some are missing, such as the training
        frames of an outer fold. The folds count places in this array either way.
    n_folds : int, default 5
        Blocks that are tested on.
    gap : int, default 0
        Frames next to the block, on either side, that are neither tested on nor learned from. At most
        the length of the shortest block.
    runs : array, shape (frame,), optional
        Run of each frame. No gap is needed between frames of different runs.
    forward : bool, default False
        Learn from earlier frames only. There is then one block more, the first, which is never tested on.

    Returns
    -------
    Folds
        Blocks in order of time; without `forward` every frame is tested once.

    Raises
    ------
    DataError
        If there are more blocks than frames, the gap is longer than a block, the frames do not ascend,
        `runs` has another length, or nothing is left to train on.

    References
    ----------
    Bergmeir & Benitez (2012), Information Sciences 191, 192-213, doi:10.1016/j.ins.2011.12.028.

    Examples
    --------
    >>> from conn.data.splits import time_folds
    >>> folds = time_folds(9, 3, gap=1)
    >>> folds.train[1].tolist(), folds.test[1].tolist()
    ([0, 1, 7, 8], [3, 4, 5])
    """
    times = _times(frames)
    n_folds, gap = whole_number("n_folds", n_folds, 2), whole_number("gap", gap, 0)
    n_blocks = n_folds + bool(forward)
    if n_blocks > times.size:
        raise DataError(f"{n_blocks} blocks are more than {times.size} frames")
    blocks = np.array_split(np.arange(times.size), n_blocks)
    shortest = min(block.size for block in blocks)
    if gap > shortest:
        raise DataError(f"the gap of {gap} frames is longer than a block of {shortest}")
    run = np.zeros(times.size) if runs is None else np.asarray(runs)
    if run.shape != times.shape:
        raise DataError(f"runs has shape {run.shape}, expected ({times.size},)")
    names, train = [], []
    tested = blocks[1:] if forward else blocks
    for block in tested:
        inside = np.zeros(times.size, dtype=bool)
        inside[block] = True
        for number in np.unique(run[block]):
            own = times[block[run[block] == number]]
            inside |= (run == number) & (times >= own[0] - gap) & (times <= own[-1] + gap)
        learned = np.flatnonzero(~inside)
        learned = learned[learned < block[0]] if forward else learned
        names.append(f"{times[block[0]]}-{times[block[-1]]}")
        if learned.size == 0:
            raise DataError(f"a gap of {gap} frames leaves nothing to train on beside frames {names[-1]}")
        train.append(learned)
    return Folds(
        n_items=times.size,
        train=tuple(train),
        test=tuple(tested),
        names=tuple(names),
        method="time",
        settings={"n_folds": n_folds, "gap": gap, "forward": bool(forward), "runs": runs is not None},
    )


def _times(frames: int | ArrayLike) -> NDArray[np.intp]:
    if np.ndim(frames) == 0:
        return np.arange(whole_number("frames", frames, 2))
    times = np.asarray(frames)
    if times.ndim != 1 or times.size < 2 or times.dtype.kind not in "iu" or (np.diff(times) <= 0).any():
        raise DataError("frames must be a number or ascending numbers of at least two frames")
    return times.astype(np.intp)
