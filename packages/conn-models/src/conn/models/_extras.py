"""Libraries that only some models need."""

import importlib
from types import ModuleType

__all__ = ["library"]


def library(module: str, name: str, extra: str) -> ModuleType:
    """Return a module of an optional library, or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        raise ImportError(
            f'{name} is not installed; `pip install "conn-models[{extra}]"` brings it', name=name
        ) from error
