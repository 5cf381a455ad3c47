"""Constrained parameters: what an optimiser moves freely, and the model sees inside its domain."""

from conn.functional.parameters.base import MappedParameter
from conn.functional.parameters.elementwise import (
    AffineParameter,
    IdentityParameter,
    MappedLogits,
    PositiveParameter,
    TanhParameter,
)
from conn.functional.parameters.matrices import (
    IsochoricParameter,
    OrthogonalParameter,
    PositiveDefiniteParameter,
)
from conn.functional.parameters.vectors import (
    EllipsoidParameter,
    NormSphereParameter,
    ProbabilitySimplexParameter,
)

__all__ = [
    "AffineParameter",
    "EllipsoidParameter",
    "IdentityParameter",
    "IsochoricParameter",
    "MappedLogits",
    "MappedParameter",
    "NormSphereParameter",
    "OrthogonalParameter",
    "PositiveDefiniteParameter",
    "PositiveParameter",
    "ProbabilitySimplexParameter",
    "TanhParameter",
]
