"""A bar that shows how far a training has come."""

import sys
import time
from typing import TextIO

__all__ = ["ProgressBar"]

_WIDTH = 24


class ProgressBar:
    """A line of text that is written again and again: epochs, losses and the time that is left.

    Parameters
    ----------
    n_epochs : int
        Of the whole training.
    n_done : int, default 0
        Epochs that were done before.
    stream : text stream, optional
        Where to write; standard error when not given.

    Examples
    --------
    >>> import io
    >>> text = io.StringIO()
    >>> bar = ProgressBar(2, stream=text)
    >>> bar.epoch(0.5, None)
    >>> bar.close()
    >>> "epoch 1/2" in text.getvalue(), "train 0.5" in text.getvalue()
    (True, True)
    """

    def __init__(self, n_epochs: int, n_done: int = 0, stream: TextIO | None = None) -> None:
        self.n_epochs = n_epochs
        self.n_done: int = n_done
        self.stream: TextIO = sys.stderr if stream is None else stream
        self._begin = time.monotonic()
        self._first = n_done
        self._losses = ""
        self._longest = 0
        self._written = 0.0

    def part(self, share: float) -> None:
        """Show how much of the present epoch is done; more than ten times a second is left out.

        Parameters
        ----------
        share : float
            From 0 to 1.
        """
        if time.monotonic() - self._written > 0.1:
            self._write(self.n_done + share)

    def epoch(self, train: float, validation: float | None) -> None:
        """Show that an epoch is done.

        Parameters
        ----------
        train : float
            Its training loss.
        validation : float or None
            Its validation loss, if there is one.
        """
        self.n_done += 1
        self._losses = f", train {train:.4g}" + ("" if validation is None else f", validation {validation:.4g}")
        self._write(self.n_done)

    def close(self) -> None:
        """End the line."""
        self.stream.write("\n")
        self.stream.flush()

    def _write(self, done: float) -> None:
        self._written = time.monotonic()
        share = done / self.n_epochs
        full = round(_WIDTH * share)
        elapsed = self._written - self._begin
        left = elapsed * (self.n_epochs - done) / max(done - self._first, 1e-9)
        bar = "#" * full + "-" * (_WIDTH - full)
        text = f"epoch {self.n_done}/{self.n_epochs} [{bar}]{self._losses}, {_duration(left)} left"
        self._longest = max(self._longest, len(text))
        self.stream.write("\r" + text.ljust(self._longest))
        self.stream.flush()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
