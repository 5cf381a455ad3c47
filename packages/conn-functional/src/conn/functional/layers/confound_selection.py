"""Networks that choose confounds: a gate for each, combinations of them, and combinations of responses to them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from conn.functional._inputs import real_series
from conn.functional.convolution import convolve_series
from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.parameters import MappedLogits

__all__ = ["ConfoundCombination", "ConfoundGate", "ConfoundResponse"]


class ConfoundGate(eqx.Module):
    r"""Confounds multiplied by a learned share each, by which they are kept or dropped.

    A regression without a penalty depends on the space that its regressors span, which no factor above 0 changes:
    through `Residualisation` without a ridge the gates have no gradient. With a ridge :math:`\lambda` a gate :math:`g`
    makes the penalty on the coefficient of its confound :math:`\lambda / g^2`, so that a closing gate drops it
    smoothly. Give the confounds one scale first.

    Parameters
    ----------
    gate : array, shape (confound,)
        From 0 (dropped) to 1; keep it there with a ``MappedLogits``, as `half_open` does.

    Raises
    ------
    ValueError
        If the gates are not one a confound.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> ConfoundGate(jnp.array([1.0, 0.0]))(jnp.ones((2, 3))).tolist()
    [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """

    gate: Tensor

    def __init__(self, gate: Float[Tensor, " confound"]) -> None:
        if len(np.shape(gate)) != 1:
            raise ValueError(f"gate must have shape (confound,), and has shape {np.shape(gate)}")
        self.gate = gate

    @classmethod
    def half_open(cls, n_confounds: int) -> "ConfoundGate":
        """Return the layer whose gates all start at a half, constrained to stay between 0 and 1.

        Parameters
        ----------
        n_confounds : int

        Returns
        -------
        ConfoundGate
        """
        return cls(MappedLogits(jnp.full(n_confounds, 0.5)))

    def __call__(self, confounds: Float[Tensor, "... confound frame"]) -> Float[Array, "... confound frame"]:
        """Return the confounds times their gates.

        Parameters
        ----------
        confounds : array, shape (..., confound, frame)
            Standardised.

        Returns
        -------
        array, shape (..., confound, frame)

        Raises
        ------
        ValueError
            If there are not as many confounds as gates.
        """
        series = real_series(confounds, name="confounds", axes="(..., confound, frame)")
        gates = _to_jax_array(self.gate).astype(series.dtype)
        _same_number(series, gates.shape[0])
        return gates[:, None] * series

    def kept(self, threshold: float = 0.5) -> Bool[Array, " confound"]:
        """Return which gates are more open than the threshold.

        Parameters
        ----------
        threshold : float, default 0.5

        Returns
        -------
        array of bool, shape (confound,)
        """
        return _to_jax_array(self.gate) > threshold


class ConfoundCombination(eqx.Module):
    """A few linear combinations of many confounds.

    Parameters
    ----------
    mixture : array, shape (component, confound)
        Weights, of any sign.

    Raises
    ------
    ValueError
        If the mixture is no matrix.

    Examples
    --------
    >>> import jax
    >>> ConfoundCombination.random(36, 4, key=jax.random.key(0))(jax.numpy.ones((2, 36, 50))).shape
    (2, 4, 50)
    """

    mixture: Tensor

    def __init__(self, mixture: Float[Tensor, "component confound"]) -> None:
        if len(np.shape(mixture)) != 2:
            raise ValueError(f"mixture must have shape (component, confound), and has shape {np.shape(mixture)}")
        self.mixture = mixture

    @classmethod
    def random(cls, n_confounds: int, n_components: int, *, key: Array) -> "ConfoundCombination":
        """Return a layer of normal weights, with which independent confounds keep their variance.

        Parameters
        ----------
        n_confounds, n_components : int
            The sizes.
        key : PRNG key
            The same key gives the same weights.

        Returns
        -------
        ConfoundCombination
        """
        return cls(jax.random.normal(key, (n_components, n_confounds)) / n_confounds**0.5)

    def __call__(self, confounds: Float[Tensor, "... confound frame"]) -> Float[Array, "... component frame"]:
        """Return the combinations.

        Parameters
        ----------
        confounds : array, shape (..., confound, frame)
            Standardised.

        Returns
        -------
        array, shape (..., component, frame)

        Raises
        ------
        ValueError
            If there are not as many confounds as weights.
        """
        series = real_series(confounds, name="confounds", axes="(..., confound, frame)")
        weights = _to_jax_array(self.mixture).astype(series.dtype)
        _same_number(series, weights.shape[1])
        return weights @ series


class ConfoundResponse(eqx.Module):
    r"""Linear combinations of confounds and of learned responses to them.

    Each confound :math:`c` is convolved with response functions :math:`h_r`, and what falls below a threshold
    :math:`\theta_r` is pressed together by the leak :math:`\ell`:
    :math:`z = \theta_r + \phi(h_r * c - \theta_r)` with :math:`\phi(x) = x` above 0 and :math:`\ell x` below. The model
    is a linear combination of the confounds and of all responses to them.

    Parameters
    ----------
    response : array, shape (response, tap)
        Response functions, the same for all confounds, at lags of 0, 1, ... frames: responses follow their cause.
    threshold : array, shape (response,)
        In the unit of the convolved confounds.
    mixture : array, shape (component, confound x (1 + response))
        Weights of the confounds, then of the responses to them, those of the first response function first.
    leak : float, default 0.001
        Not negative.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the leak is negative.

    Notes
    -----
    At the threshold itself the derivative is that from below.

    Examples
    --------
    >>> import jax
    >>> layer = ConfoundResponse.random(6, 3, n_responses=2, n_taps=9, key=jax.random.key(0))
    >>> layer(jax.numpy.ones((2, 6, 50))).shape
    (2, 3, 50)
    """

    response: Tensor
    threshold: Tensor
    mixture: Tensor
    leak: float = eqx.field(static=True)

    def __init__(
        self,
        response: Float[Tensor, "response tap"],
        threshold: Float[Tensor, " response"],
        mixture: Float[Tensor, "component column"],
        *,
        leak: float = 0.001,
    ) -> None:
        if len(np.shape(response)) != 2 or np.shape(threshold) != np.shape(response)[:1]:
            raise ValueError(
                "response must have shape (response, tap) and threshold (response,), and they have shapes "
                f"{np.shape(response)} and {np.shape(threshold)}"
            )
        if len(np.shape(mixture)) != 2 or np.shape(mixture)[1] % (1 + np.shape(response)[0]):
            raise ValueError(
                f"mixture must have shape (component, confound x {1 + np.shape(response)[0]}), "
                f"and has shape {np.shape(mixture)}"
            )
        if leak < 0:
            raise ValueError(f"leak must not be negative, and is {leak}")
        self.response, self.threshold, self.mixture, self.leak = response, threshold, mixture, float(leak)

    @classmethod
    def random(
        cls,
        n_confounds: int,
        n_components: int,
        *,
        n_responses: int = 10,
        n_taps: int = 9,
        key: Array,
        leak: float = 0.001,
    ) -> "ConfoundResponse":
        """Return a layer of normal response functions and weights.

        Parameters
        ----------
        n_confounds, n_components, n_responses, n_taps : int
            The sizes; taps are frames.
        key : PRNG key
            The same key gives the same layer.
        leak : float, default 0.001
            As for the class.

        Returns
        -------
        ConfoundResponse
        """
        of_response, of_threshold, of_mixture = jax.random.split(key, 3)
        columns = n_confounds * (1 + n_responses)
        return cls(
            jax.random.normal(of_response, (n_responses, n_taps)) / n_taps**0.5,
            0.05 * jax.random.normal(of_threshold, (n_responses,)),
            jax.random.normal(of_mixture, (n_components, columns)) / columns**0.5,
            leak=leak,
        )

    def __call__(self, confounds: Float[Tensor, "... confound frame"]) -> Float[Array, "... component frame"]:
        """Return the combinations.

        Parameters
        ----------
        confounds : array, shape (..., confound, frame)
            Standardised.

        Returns
        -------
        array, shape (..., component, frame)

        Raises
        ------
        ValueError
            If there are not as many confounds as the mixture has.
        """
        series = real_series(confounds, name="confounds", axes="(..., confound, frame)")
        weights = _to_jax_array(self.mixture).astype(series.dtype)
        kernel = _to_jax_array(self.response).astype(series.dtype)
        bound = _to_jax_array(self.threshold).astype(series.dtype)[:, None, None]
        _same_number(series, weights.shape[1] // (1 + kernel.shape[0]))
        answers = convolve_series(series[..., None, :, :], kernel[:, None, None, :], causal=True) - bound
        answers = jax.nn.leaky_relu(answers, self.leak) + bound
        answers = answers.reshape(*series.shape[:-2], -1, series.shape[-1])
        return weights @ jnp.concatenate([series, answers], axis=-2)


def _same_number(series: Array, expected: int) -> None:
    if series.shape[-2] != expected:
        raise ValueError(f"the layer was made for {expected} confounds, and there are {series.shape[-2]}")
