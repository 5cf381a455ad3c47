"""What to minimise, how to reduce it and how to compose it, for models of functional connectomes."""

from conn.loss._version import __version__
from conn.loss.argument import LossArgument, UnpackingLossArgument
from conn.loss.loss import BimodalSymmetricLoss, Loss, ModularityLoss, SmoothnessLoss
from conn.loss.reduction import Reduction, mean_scalarise, sum_scalarise, vnorm_scalarise
from conn.loss.scheme import LossApply, LossReturn, LossScheme
from conn.loss.score import bimodal_symmetric, identity, modularity, smoothness

__all__ = [
    "BimodalSymmetricLoss",
    "Loss",
    "LossApply",
    "LossArgument",
    "LossReturn",
    "LossScheme",
    "ModularityLoss",
    "Reduction",
    "SmoothnessLoss",
    "UnpackingLossArgument",
    "__version__",
    "bimodal_symmetric",
    "identity",
    "mean_scalarise",
    "modularity",
    "smoothness",
    "sum_scalarise",
    "vnorm_scalarise",
]
