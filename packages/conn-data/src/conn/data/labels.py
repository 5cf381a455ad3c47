"""Labels of regions and symbols of genes in messages: which are repeated, and lists that stay short."""

from collections.abc import Sequence

__all__ = ["named", "repeated"]

_NAMED_AT_MOST = 8


def repeated(words: Sequence[str]) -> list[str]:
    """Return the words that occur more than once, each once."""
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for word in words:
        if word in seen:
            twice[word] = None
        seen.add(word)
    return list(twice)


def named(words: Sequence[str]) -> str:
    """Return words as a list for a message, with the number of those left out."""
    shown = ", ".join(str(word) for word in words[:_NAMED_AT_MOST])
    return shown if len(words) <= _NAMED_AT_MOST else f"{shown} and {len(words) - _NAMED_AT_MOST} others"
