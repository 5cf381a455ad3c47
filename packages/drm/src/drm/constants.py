"""Physical constants of a model, one value for each unit or region, fixed or learned."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

__all__ = ["register_constants"]


def register_constants(
    module: nn.Module,
    defaults: Mapping[str, float],
    given: Mapping[str, float | Sequence[float]] | None,
    learn: Sequence[str],
    n_units: int,
) -> None:
    """Give a module its constants as attributes of shape (n_units,): buffers, or parameters.

    Parameters
    ----------
    module : Module
    defaults : mapping of str to float
        All constants that there are.
    given : mapping of str to float or sequence of n_units floats, or None
        Values in place of the defaults.
    learn : sequence of str
        The constants that are parameters.
    n_units : int

    Raises
    ------
    ValueError
        If a constant is unknown, not finite, or has not one value or `n_units`.
    """
    values = dict(given or {})
    unknown = sorted({*values, *learn} - set(defaults))
    if unknown:
        raise ValueError(f"{type(module).__name__} has no constants {unknown}; it has {list(defaults)}.")
    for key, default in defaults.items():
        value = torch.as_tensor(values.get(key, default), dtype=torch.get_default_dtype())
        if value.ndim > 1 or value.numel() not in (1, n_units):
            raise ValueError(f"{key} must be one number or {n_units}, got shape {tuple(value.shape)}.")
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{key} must be finite, got {value.tolist()}.")
        value = value.expand(n_units).clone()
        if key in learn:
            module.register_parameter(key, nn.Parameter(value))
        else:
            module.register_buffer(key, value)
