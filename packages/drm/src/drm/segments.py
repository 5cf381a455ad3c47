"""Making the most of little data: segments at random offsets, and folds that are blocks of time."""

import torch
from torch import Tensor

from drm.ticks import Ticks

__all__ = ["RandomSegments", "time_folds"]


class RandomSegments(Ticks):
    """Segments of recordings, drawn anew for each epoch and run side by side.

    Each segment starts from the initial state, `burn_in` ticks before the first response that
    counts, so that the state is right by then. A segment that begins with the recording has no
    need of that: all its responses count.

    Parameters
    ----------
    data : Ticks
        As `drm.DRMIterator` is.
    length : int
        Ticks of a segment in which responses count.
    n_segments : int
        How many are drawn for an epoch, over all batch items and offsets alike.
    burn_in : int, default 0
        Ticks before them whose responses do not count: the readout's memory, and as long as the
        populations take to forget.
    seed : int, default 0
        Of the offsets.

    Raises
    ------
    ValueError
        If `length` or `n_segments` is below 1, `burn_in` is negative, or the recordings are
        shorter than a segment with its burn-in.

    Examples
    --------
    >>> from drm import DRMIterator
    >>> data = DRMIterator(10.0, [[1.0]] * 8, range(0, 80, 10), [[2.0]] * 8, range(0, 80, 10))
    >>> segments = RandomSegments(data, length=3, n_segments=5, burn_in=2)
    >>> iter(segments).next_block(100)["response"].shape
    torch.Size([5, 5, 1])
    """

    def __init__(self, data: Ticks, *, length: int, n_segments: int, burn_in: int = 0, seed: int = 0) -> None:
        if length < 1 or n_segments < 1 or burn_in < 0:
            raise ValueError(
                f"length and n_segments must be at least 1 and burn_in at least 0, got {length}, {n_segments} and "
                f"{burn_in}."
            )
        if burn_in + length > data.n_ticks:
            raise ValueError(
                f"Segments of {length} ticks with {burn_in} of burn-in do not fit recordings of {data.n_ticks} ticks."
            )
        self.source = data
        self.length = length
        self.n_segments = n_segments
        self.burn_in = burn_in
        self.generator: torch.Generator = torch.Generator().manual_seed(seed)
        # Before the first epoch: the first segments, without a draw that would shift those that follow.
        firsts = torch.zeros(n_segments, dtype=torch.long)
        super().__init__(self._cut(firsts, firsts), resolution=data.resolution, streams=data.streams)

    def _cut(self, items: Tensor, starts: Tensor) -> dict[str, Tensor]:
        ticks = starts + torch.arange(self.burn_in + self.length).unsqueeze(1)
        parts = {name: part[ticks, items] for name, part in self.source.tensors.items()}
        if "response" in parts:
            uncounted = (ticks < (starts + self.burn_in)) & (starts > 0)
            parts["response"][uncounted] = torch.nan
        return parts

    def __iter__(self) -> "RandomSegments":
        """Draw new segments, start at their first tick, and return the iterator itself."""
        n_starts = self.source.n_ticks - self.burn_in - self.length + 1
        drawn = torch.randint(n_starts * self.source.batch_size, (self.n_segments,), generator=self.generator)
        self.tensors: dict[str, Tensor] = self._cut(drawn % self.source.batch_size, drawn // self.source.batch_size)
        super().__iter__()
        return self

    @property
    def random_state(self) -> Tensor:
        """The state of the generator of offsets; setting it takes it back."""
        return self.generator.get_state()

    @random_state.setter
    def random_state(self, random_state: Tensor) -> None:
        self.generator.set_state(random_state)


def time_folds(data: Ticks, n_folds: int, *, gap: int = 0) -> list[tuple[Ticks, Ticks]]:
    """Return data for training and for validation, for each of several blocks of time left out.

    Neighbouring scans are alike: folds of single scans would let a model see what it is tested on.
    Here a fold is a block of time. The stimulus stays whole, so that the network's state is right
    at each tick; only responses are left out of one or the other.

    Parameters
    ----------
    data : Ticks
        As `drm.DRMIterator` is, with responses.
    n_folds : int
        Number of blocks, at least 2.
    gap : int, default 0
        Ticks on either side of a block whose responses are in neither of the two.

    Returns
    -------
    list of (training, validation), each a Ticks
        The blocks' lengths differ by at most one tick.

    Raises
    ------
    ValueError
        If `n_folds` is below 2 or above the number of ticks, the gap is negative, there is no
        response, or nothing was measured in a block or outside of it (the message gives the fold).

    References
    ----------
    Bergmeir and Benitez (2012), Information Sciences 191, 192-213, doi:10.1016/j.ins.2011.12.028.

    Examples
    --------
    >>> from drm import DRMIterator
    >>> data = DRMIterator(10.0, [[0.0]] * 6, range(0, 60, 10), [[2.0]] * 6, range(0, 60, 10))
    >>> train, validation = time_folds(data, 3, gap=1)[1]
    >>> train.tensors["response"].flatten().tolist()
    [2.0, nan, nan, nan, nan, 2.0]
    >>> validation.tensors["response"].flatten().tolist()
    [nan, nan, 2.0, 2.0, nan, nan]
    """
    if not 2 <= n_folds <= data.n_ticks:
        raise ValueError(f"n_folds must be from 2 to {data.n_ticks} ticks, got {n_folds}.")
    if gap < 0:
        raise ValueError(f"gap must be at least 0 ticks, got {gap}.")
    ticks = torch.arange(data.n_ticks)
    folds = []
    for fold, block in enumerate(ticks.tensor_split(n_folds)):
        first, last = block[0], block[-1]
        inside = (ticks >= first) & (ticks <= last)
        pair = data.with_response((ticks < first - gap) | (ticks > last + gap)), data.with_response(inside)
        for part, what in zip(pair, ("training", "validation"), strict=True):
            if bool(part.tensors["response"].isnan().all()):
                raise ValueError(f"Fold {fold} has no measurement for {what}.")
        folds.append(pair)
    return folds
