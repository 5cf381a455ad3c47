"""Identification: a subject's connectome should be nearer to their own on another day than to anyone else's."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from conn.functional import paired_corr
from conn.functional.engine import Tensor, _to_jax_array
from conn.loss.loss import Loss, Strength
from conn.loss.reduction import Reduction

__all__ = ["IdentificationLoss", "identification"]


def identification(
    first: Float[Tensor, "... subject feature"],
    second: Float[Tensor, "... subject feature"],
    *,
    temperature: float = 0.1,
) -> Float[Array, "... subject"]:
    r"""Return minus the log-probability that each subject is found again, by the correlations of two sessions.

    With :math:`r_{ij}` the correlation of subject i's first session with subject j's second one, it is

    .. math:: -\frac12 \Big( \log \frac{e^{r_{ii}/\tau}}{\sum_j e^{r_{ij}/\tau}}
              + \log \frac{e^{r_{ii}/\tau}}{\sum_j e^{r_{ji}/\tau}} \Big) ,

    the contrastive loss of [2]_, in both directions, of the fingerprints of [1]_.

    Parameters
    ----------
    first, second : array, shape (..., subject, feature)
        Features (edges, say) of the same subjects, in the same order, in two sessions. NaN makes all results NaN that
        the subject takes part in. A fingerprint without variation correlates 0 with all.
    temperature : float, default 0.1
        :math:`\tau`, in units of correlation: how small a lead counts.

    Returns
    -------
    array, shape (..., subject)
        In nats, not negative; the log of the number of subjects where nothing tells them apart.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than 2 subjects, or the temperature is not positive.

    References
    ----------
    .. [1] Finn et al. (2015). doi:10.1038/nn.4135
    .. [2] van den Oord, Li & Vinyals (2018), Representation learning with contrastive predictive coding.
       doi:10.48550/arXiv.1807.03748

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> [round(float(loss), 4) for loss in identification(jnp.eye(2, 3), jnp.eye(2, 3), temperature=0.5)]
    [0.0486, 0.0486]
    """
    one, other = _to_jax_array(first), _to_jax_array(second)
    if one.ndim < 2 or one.shape != other.shape:
        raise ValueError(
            f"both sessions must have one shape (..., subject, feature), and have {one.shape} and {other.shape}"
        )
    if one.shape[-2] < 2:
        raise ValueError("an identification needs at least 2 subjects, and there is 1")
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, and is {temperature}")
    logits = paired_corr(one, other) / temperature
    forth, back = jax.nn.log_softmax(logits, -1), jax.nn.log_softmax(logits, -2)
    return -jnp.diagonal(forth + back, axis1=-2, axis2=-1) / 2


class IdentificationLoss(Loss):
    """Minus the log-probability that subjects are found again in another session.

    Call it with the features (..., subject, feature) of both sessions.

    Parameters
    ----------
    nu : float or callable, default 1
        Strength.
    name : str, default "Identification"
        How the loss is called.
    temperature : float, default 0.1
        How small a lead of correlation counts.
    scalarisation : Reduction, optional
        The mean by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(IdentificationLoss(temperature=0.5)(jnp.eye(2, 3), jnp.eye(2, 3))), 4)
    0.0486
    """

    temperature: float = eqx.field(static=True)

    def __init__(
        self,
        nu: Strength = 1.0,
        name: str | None = None,
        *,
        temperature: float = 0.1,
        scalarisation: Reduction | None = None,
    ):
        super().__init__(nu, name, score=identification, scalarisation=scalarisation)
        self.temperature = temperature
