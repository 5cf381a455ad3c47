"""Losses of data with gaps: what does not count enters neither the value nor the derivative."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from conn.functional.engine import Tensor, _to_jax_array
from conn.loss.loss import Loss
from conn.loss.reduction import wmean_scalarise

__all__ = ["MaskedLoss", "masked"]


def masked(values: Float[Tensor, "..."], mask: Bool[Tensor, "..."], *, fill: float = 0.0) -> Float[Array, "..."]:
    """Return the values with another number where a mask is False; the derivative there is 0, were they NaN.

    Parameters
    ----------
    values : array
        Of any shape.
    mask : array of bool
        True where a value counts; broadcasts to the values.
    fill : float, default 0
        What stands where no value counts.

    Raises
    ------
    ValueError
        If the mask does not broadcast to the values.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> masked(jnp.array([1.0, jnp.nan]), jnp.array([True, False])).tolist()
    [1.0, 0.0]
    """
    array, counts = _to_jax_array(values), jnp.asarray(mask, bool)
    if counts.ndim > array.ndim or any(
        m not in (1, n) for m, n in zip(counts.shape[::-1], array.shape[::-1], strict=False)
    ):
        raise ValueError(f"the mask must broadcast to the values' shape {array.shape}, and has shape {counts.shape}")
    return jnp.where(counts, array, fill)


class MaskedLoss(Loss):
    """The mean of another loss's score over what counts.

    Call it with what the other loss takes and ``mask``, True where values count. All array arguments that are not
    single numbers are masked before the score is taken, so that the derivative stays finite where NaN marks gaps.

    Parameters
    ----------
    loss : Loss
        Whose score is taken, value by value (errors, hinge, bimodality), and whose strength counts; a weighted mean
        stands in for its reduction.
    name : str, optional
        How the loss is called; as the other loss by default.
    fill : float, default 0
        What stands in for values that do not count, where the score must be finite.

    Notes
    -----
    Where nothing counts the loss is NaN. A score that joins neighbours (smoothness) is refused: its shape is not the
    mask's.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from conn.loss import BimodalSymmetricLoss
    >>> float(MaskedLoss(BimodalSymmetricLoss())(jnp.array([0.25, jnp.nan]), mask=jnp.array([True, False])))
    0.25
    """

    loss: Loss
    fill: float = eqx.field(static=True)

    def __init__(self, loss: Loss, name: str | None = None, *, fill: float = 0.0):
        super().__init__(
            loss.nu, loss.name if name is None else name, score=loss.score, scalarisation=wmean_scalarise()
        )
        self.loss, self.fill = loss, fill

    def __call__(
        self,
        *arguments: Any,
        mask: Bool[Tensor, "..."],
        key: jax.Array | None = None,
        step: int | Array | None = None,
        **named: Any,
    ) -> Float[Array, ""]:
        """Return the loss of what counts.

        Parameters
        ----------
        *arguments, **named
            What the other loss's score takes.
        mask : array of bool
            True where values count; broadcasts to each of the arrays.
        key : PRNG key, optional
            For losses that draw.
        step : int or array, optional
            Where a schedule of the strength stands.

        Raises
        ------
        ValueError
            If the mask does not fit the arguments, or the score does not have their shape.
        """
        arrays = [self._filled(argument, mask) for argument in arguments]
        others = {name: self._filled(value, mask) for name, value in named.items()}
        score = self.score(*arrays, **self.loss._settings(key), **others)
        shapes = [array.shape for array in (*arrays, *others.values()) if array.ndim]
        if not shapes or score.shape != jnp.broadcast_shapes(*shapes):
            raise ValueError(
                f"loss {self.name!r} cannot be masked: its score has shape {score.shape}, and a mask needs one number "
                "for each value"
            )
        weight = jnp.broadcast_to(jnp.asarray(mask, bool), score.shape)
        return self.strength(step) * self.scalarisation(score, weight=weight)

    def _filled(self, value: Any, mask: Any) -> Array:
        array = _to_jax_array(value)
        return masked(array, mask, fill=self.fill) if array.ndim else array
