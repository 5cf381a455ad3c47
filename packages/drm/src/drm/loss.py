"""The distance between predicted and measured responses, where some were not measured."""

import torch
from torch import Tensor, nn

__all__ = ["DRMLoss"]


class DRMLoss(nn.Module):
    """Mean squared error over the elements that were measured.

    A missing measurement is a NaN in the target. It is left out element by element, and has no
    influence on the gradient. When nothing was measured, the loss is zero and so is its gradient.

    Examples
    --------
    >>> import torch
    >>> prediction = torch.tensor([1.0, 2.0, 3.0])
    >>> DRMLoss()(prediction, torch.tensor([0.0, float("nan"), 5.0])).item()
    2.5
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error over the elements of `target` that are not NaN.

        Parameters
        ----------
        prediction : Tensor, any shape
            Predicted measurements.
        target : Tensor, shape of `prediction`
            Measurements; NaN where there is none.

        Returns
        -------
        Tensor, shape ()
            The loss, in squared units of the measurements. A NaN in `prediction` where there is a
            measurement makes it NaN.

        Raises
        ------
        ValueError
            If the shapes differ.

        Notes
        -----
        Differentiable everywhere in `prediction`.
        """
        if prediction.shape != target.shape:
            raise ValueError(
                f"Prediction and target must have one shape, got {tuple(prediction.shape)} and {tuple(target.shape)}."
            )
        measured = ~torch.isnan(target)
        # The masked difference is replaced before it is squared: a NaN times zero is still a NaN.
        zero = prediction.new_zeros(())
        difference = torch.where(measured, prediction - target.nan_to_num(), zero)
        return difference.square().sum() / measured.sum().clamp(min=1)
