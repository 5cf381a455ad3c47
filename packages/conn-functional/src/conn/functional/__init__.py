"""Differentiable primitives for functional connectomics: plain arrays in, plain arrays out.

Every function is batched over leading axes and works under ``jit``, ``vmap`` and ``grad``.
"""

from conn.functional._version import __version__
from conn.functional.covariance import corr, cov
from conn.functional.engine import PyTree, Tensor, extend_to_max_size
from conn.functional.graph import (
    coaffiliation,
    girvan_newman_null,
    modularity_matrix,
    relaxed_modularity,
)
from conn.functional.parameters import (
    MappedLogits,
    MappedParameter,
    ProbabilitySimplexParameter,
)

__all__ = [
    "MappedLogits",
    "MappedParameter",
    "ProbabilitySimplexParameter",
    "PyTree",
    "Tensor",
    "__version__",
    "coaffiliation",
    "corr",
    "cov",
    "extend_to_max_size",
    "girvan_newman_null",
    "modularity_matrix",
    "relaxed_modularity",
]
