"""What the op matrix asks of every public function: one `OpCase` a function, in the table of its module's tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class OpCase:
    """One public function with its inputs, its oracle and its degenerate inputs.

    Parameters
    ----------
    name : str
        The name in ``conn.functional.__all__``; of a layer or an initialiser, with its module: "layers.Sylo".
    call : callable
        Takes the arrays of `inputs` by position, gives an array or a tuple of arrays; settings are closed over.
    inputs : callable
        Takes a NumPy generator, gives the unbatched float64 arrays. Keep them small and of few shapes.
    oracle : str
        The third-party function that `reference` calls, for example "numpy.corrcoef"; or "property: ..." naming what
        the module's own tests prove instead, where nobody else has such a function.
    reference : callable, optional
        Takes the same arrays, gives what the oracle says.
    rtol, atol : float
        Tolerance against the oracle in float64.
    rtol32 : float
        Tolerance of float32 against float64, relative to the largest entry.
    degenerate : mapping of str to arrays
        Named inputs (shapes as `inputs`) at which value and gradient must be finite.
    not_differentiable : str, optional
        Why there is no gradient (an index, a host function, ...).
    host_only : str, optional
        Why the function leaves JAX; then only the oracle is tried.
    """

    name: str
    call: Callable[..., Any]
    inputs: Callable[[np.random.Generator], Arrays]
    oracle: str
    reference: Callable[..., Any] | None = None
    rtol: float = 1e-6
    atol: float = 1e-9
    rtol32: float = 1e-3
    degenerate: Mapping[str, Arrays] = field(default_factory=dict)
    not_differentiable: str | None = None
    host_only: str | None = None
