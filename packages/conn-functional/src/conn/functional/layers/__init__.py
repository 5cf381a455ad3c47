"""The steps of a connectome pipeline as layers: Equinox modules whose parameters are learned together.

Every layer is built from arrays or parametrised values (see `conn.functional.parameters`), or drawn with a key by its
``random``; it takes any leading axes as a batch, and equals a function of `conn.functional`. The learned filters are
beside the other filters: `conn.functional.FilterBank` and `conn.functional.ButterworthBank`.
"""

from conn.functional.layers.compression import VerticalCompression
from conn.functional.layers.confound_selection import ConfoundCombination, ConfoundGate, ConfoundResponse
from conn.functional.layers.convolution import TimeSeriesConvolution
from conn.functional.layers.covariance import Covariance
from conn.functional.layers.interpolation import Interpolation
from conn.functional.layers.parcellation import Parcellation
from conn.functional.layers.quality import QualityPrediction
from conn.functional.layers.recombination import Recombination
from conn.functional.layers.residualisation import Residualisation
from conn.functional.layers.sylo import Sylo
from conn.functional.layers.tangent import TangentProjection
from conn.functional.layers.windows import WindowAmplifier

__all__ = [
    "ConfoundCombination",
    "ConfoundGate",
    "ConfoundResponse",
    "Covariance",
    "Interpolation",
    "Parcellation",
    "QualityPrediction",
    "Recombination",
    "Residualisation",
    "Sylo",
    "TangentProjection",
    "TimeSeriesConvolution",
    "VerticalCompression",
    "WindowAmplifier",
]
