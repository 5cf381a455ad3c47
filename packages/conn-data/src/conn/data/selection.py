"""Which sessions: the short form ``1-3,5`` as numbers."""

import re

from conn.data.errors import DataError

__all__ = ["parse_sessions"]

# Enough for any study, and a bound on what a typing error can make us allocate.
_LARGEST_SESSION = 9999


def parse_sessions(text: str) -> tuple[int, ...]:
    """Return the session numbers that a list of numbers and ranges names, in ascending order.

    Parameters
    ----------
    text : str
        Numbers and ranges separated by commas, such as ``"1-3,5"``; sessions count from 1.

    Returns
    -------
    tuple of int
        Each session once.

    Raises
    ------
    DataError
        If the text is empty, a part is neither a number nor a range, a range runs backwards,
        or a number lies outside 1 to 9999.

    Examples
    --------
    >>> parse_sessions("1-3,5")
    (1, 2, 3, 5)
    """
    sessions: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part)
        if match is None:
            raise DataError(f"sessions {text!r}: {part.strip()!r} is neither a number nor a range like 1-3")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first:
            raise DataError(f"sessions {text!r}: the range {part.strip()!r} runs backwards")
        if first < 1 or last > _LARGEST_SESSION:
            raise DataError(f"sessions {text!r}: {part.strip()!r} lies outside 1 to {_LARGEST_SESSION}")
        sessions.update(range(first, last + 1))
    return tuple(sorted(sessions))
