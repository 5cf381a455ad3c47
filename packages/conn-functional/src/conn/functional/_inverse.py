"""The inverse of symmetric matrices, with its derivative in closed form."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["symmetric_inverse"]


@jax.custom_vjp
def symmetric_inverse(matrix: Float[Array, "... region region"]) -> Float[Array, "... region region"]:
    """Return the inverse of symmetric matrices, one after the other: nothing batched is factorised or derived."""
    size = matrix.shape[-1]
    inverse = jax.lax.map(jnp.linalg.inv, matrix.reshape(-1, size, size)).reshape(matrix.shape)
    return (inverse + jnp.swapaxes(inverse, -1, -2)) / 2


def _forward(matrix: Array) -> tuple[Array, Array]:
    inverse = symmetric_inverse(matrix)
    return inverse, inverse


def _backward(inverse: Array, cotangent: Array) -> tuple[Array]:
    outer = (cotangent + jnp.swapaxes(cotangent, -1, -2)) / 2
    return (-(inverse @ outer @ inverse),)


symmetric_inverse.defvjp(_forward, _backward)
