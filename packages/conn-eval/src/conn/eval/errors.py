"""The errors of the package, and the import of optional libraries that raises one of them."""

import importlib
from typing import Any

__all__ = ["MissingExtraError", "OutputError", "import_extra"]


class MissingExtraError(ImportError):
    """An optional library is absent; the message names the extra that installs it."""


class OutputError(OSError, ValueError):
    """A result cannot be written where it was asked for.

    Both an ``OSError`` (the operating system refused) and a ``ValueError`` (the path was an
    argument), so that a caller who catches either one sees it.
    """


def import_extra(module: str, extra: str) -> Any:
    """Return an imported optional module, or say which extra of conn-eval brings it.

    Parameters
    ----------
    module : str
        Dotted name of the module.
    extra : str
        The extra of conn-eval that installs it.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtraError
        If the library is not installed.

    Examples
    --------
    >>> import_extra("math", extra="report").sqrt(4.0)
    2.0
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Our own packages share their first name.
        library = module if module.startswith("conn.") else module.partition(".")[0]
        # A module missing deep inside an installed library is a broken library, not a missing extra.
        if error.name is not None and not f"{error.name}.".startswith(f"{library}."):
            raise
        raise MissingExtraError(
            f'{library} is not installed; `pip install "conn-eval[{extra}]"` brings it',
            name=library,
        ) from error
