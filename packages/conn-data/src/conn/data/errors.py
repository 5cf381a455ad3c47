"""What every refusal of this package raises."""

__all__ = ["DataError", "DataUnavailableError"]


class DataError(ValueError):
    """Raised for data or arguments that cannot be used; the message says which item and why.

    Examples
    --------
    >>> from conn.data import parse_sessions
    >>> parse_sessions("3-1")
    Traceback (most recent call last):
    ...
    conn.data.errors.DataError: sessions '3-1': the range '3-1' runs backwards
    """


class DataUnavailableError(DataError):
    """Raised when data are sound but out of reach: offline and absent, or the server fails.

    A program that can go on without the real data (with simulated ones, say) catches this
    class and lets every other `DataError` through.
    """
