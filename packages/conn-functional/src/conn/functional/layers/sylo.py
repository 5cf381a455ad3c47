"""Symmetric low-rank convolution of connectomes with filters in the form of a cross."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from conn.functional.cross_similarity import TemplateSymmetry, low_rank_template, sylo
from conn.functional.engine import Tensor

__all__ = ["Sylo"]


class Sylo(eqx.Module):
    r"""Likeness of connectomes to learned templates of low rank around each pair of regions, see `sylo`.

    Parameters
    ----------
    left : array, shape (output, channel, region, rank)
        Factors of the templates :math:`L \operatorname{diag}(s) R^\top`.
    right : array, shape (output, channel, region, rank), optional
        As `left` by default.
    sign : array, shape (output, channel, rank), optional
        Weight of each factor, of any sign; all 1 by default, and templates then positive semi-definite.
    bias : array, shape (output,), optional
        Added to every pair.
    symmetry : {"symmetric", "skew"}, optional
        Of the templates, where `right` is given.
    remove_diagonal : bool, default False
        Leave the diagonals out, and give 0 there.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import jax
    >>> layer = Sylo.random(10, n_channels=1, n_outputs=4, rank=2, key=jax.random.key(0))
    >>> layer(jax.numpy.ones((3, 1, 10, 10))).shape
    (3, 4, 10, 10)
    """

    left: Tensor
    right: Tensor | None
    sign: Tensor | None
    bias: Tensor | None
    symmetry: TemplateSymmetry = eqx.field(static=True)
    remove_diagonal: bool = eqx.field(static=True)

    def __init__(
        self,
        left: Float[Tensor, "output channel region rank"],
        right: Float[Tensor, "output channel region rank"] | None = None,
        *,
        sign: Float[Tensor, "output channel rank"] | None = None,
        bias: Float[Tensor, " output"] | None = None,
        symmetry: TemplateSymmetry = None,
        remove_diagonal: bool = False,
    ) -> None:
        if len(np.shape(left)) != 4:
            raise ValueError(f"left must have shape (output, channel, region, rank), and has shape {np.shape(left)}")
        if right is None and symmetry == "skew":
            raise ValueError("a skew template needs a right factor: that of left alone is symmetric")
        self.left, self.right, self.sign, self.bias = left, right, sign, bias
        self.symmetry, self.remove_diagonal = symmetry, remove_diagonal

    @classmethod
    def random(
        cls,
        n_regions: int,
        *,
        n_channels: int = 1,
        n_outputs: int = 1,
        rank: int = 1,
        key: Array,
        symmetry: TemplateSymmetry = None,
        two_sided: bool = False,
        signed: bool = False,
        with_bias: bool = True,
        remove_diagonal: bool = False,
    ) -> "Sylo":
        r"""Return a layer of normal factors, with which independent entries keep their variance.

        Parameters
        ----------
        n_regions, n_channels, n_outputs, rank : int
            The sizes.
        key : PRNG key
            The same key gives the same factors.
        symmetry, remove_diagonal
            As for the class.
        two_sided : bool, default False
            Learn `right` apart from `left`.
        signed : bool, default False
            Learn a `sign`, which starts at 1 and -1 in turn.
        with_bias : bool, default True
            Learn a bias, which starts at 0.

        Returns
        -------
        Sylo
            An output is a sum of :math:`c\,(2 n - 1)` products of connectome and template, so that the entries of
            templates start with the variance :math:`1 / (c\,(2 n - 1))`.

        Raises
        ------
        ValueError
            As the class.
        """
        entry = 1.0 / (n_channels * (2 * n_regions - 1))
        scale = (entry / rank) ** 0.25
        left, right = scale * jax.random.normal(key, (2, n_outputs, n_channels, n_regions, rank))
        signs = jnp.broadcast_to(1.0 - 2.0 * (jnp.arange(rank) % 2), (n_outputs, n_channels, rank))
        return cls(
            left,
            right if two_sided else None,
            sign=signs if signed else None,
            bias=jnp.zeros(n_outputs) if with_bias else None,
            symmetry=symmetry,
            remove_diagonal=remove_diagonal,
        )

    @property
    def template(self) -> Float[Array, "output channel region region"]:
        """The templates that connectomes are compared with."""
        return low_rank_template(self.left, self.right, sign=self.sign, symmetry=self.symmetry)

    def __call__(
        self, connectome: Float[Tensor, "... channel region region"]
    ) -> Float[Array, "... output region region"]:
        """Return the likeness to every template.

        Parameters
        ----------
        connectome : array, shape (..., channel, region, region)
            In any unit. NaN spreads over its row and column.

        Returns
        -------
        array, shape (..., output, region, region)

        Raises
        ------
        ValueError
            If the sizes differ.
        """
        return sylo(
            connectome,
            self.left,
            self.right,
            sign=self.sign,
            symmetry=self.symmetry,
            bias=self.bias,
            remove_diagonal=self.remove_diagonal,
        )
