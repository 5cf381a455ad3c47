r"""Where learning starts: values for the arrays and the parametrised values of a model.

An initialiser takes ``(key, shape, dtype)`` and returns an array, as those of ``jax.nn.initializers`` do, which can be
used beside these. `initialise` puts its values into a model; parametrised values receive the preimage of the value.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from conn.functional import matrix
from conn.functional._inputs import Band
from conn.functional.engine import PyTree, Tensor, _to_jax_array
from conn.functional.filter_bank import FilterBank
from conn.functional.filters import Family
from conn.functional.parameters.base import MappedParameter, Where, picker
from conn.functional.spd_geometry import Metric, spd_mean

__all__ = [
    "Initialiser",
    "biregular",
    "constant",
    "dirichlet",
    "distribution",
    "filter_spectrum",
    "identity",
    "initialise",
    "tangency_point",
    "toeplitz",
]

Initialiser: TypeAlias = Callable[[Array, tuple[int, ...], DTypeLike], Array]
"""What returns an array for a key, a shape and a type."""


def initialise(
    model: PyTree, where: Where | Sequence[Where], initialiser: Callable[..., Array], *, key: Array
) -> PyTree:
    """Return the model with new values at these places.

    Parameters
    ----------
    model : PyTree
        Usually a layer, or a model of several.
    where : str, callable, or a sequence of them
        As for `MappedParameter.map`: a dotted address, or a function that picks values.
    initialiser : callable
        One of this module or of ``jax.nn.initializers``; it is called once a place, with shape and type of what
        stands there.
    key : PRNG key
        Split over the places. The same key gives the same values.

    Returns
    -------
    PyTree
        A new model; the old one is not touched. A parametrised value keeps its parametrisation.

    Raises
    ------
    ValueError
        If an address names nothing, or the initialiser gives another shape.

    Examples
    --------
    >>> import jax
    >>> from conn.functional.layers import Recombination
    >>> layer = Recombination.random(3, 2, key=jax.random.key(0))
    >>> initialise(layer, "mixture", constant(0.5), key=jax.random.key(1)).mixture.tolist()
    [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
    """
    places = [where] if isinstance(where, str) or callable(where) else list(where)

    def renewed(value: Any, own: Array) -> Any:
        shape, dtype = np.shape(value), _to_jax_array(value).dtype
        drawn = jnp.asarray(initialiser(own, shape, dtype), dtype)
        if drawn.shape != shape:
            raise ValueError(f"the initialiser gave the shape {drawn.shape} where {shape} is needed")
        if not isinstance(value, MappedParameter):
            return drawn
        return eqx.tree_at(lambda parameter: parameter.original, value, value.preimage(drawn))

    for place in places:
        key, own = jax.random.split(key)
        counter = iter(range(1_000_000))
        model = eqx.tree_at(
            picker(model, place),
            model,
            replace_fn=lambda value, own=own, counter=counter: renewed(value, jax.random.fold_in(own, next(counter))),
            is_leaf=lambda node: isinstance(node, MappedParameter),
        )
    return model


def constant(value: float | Tensor) -> Initialiser:
    """Return the initialiser of one value, or of one array that broadcasts to the shape.

    Parameters
    ----------
    value : float or array

    Returns
    -------
    callable

    Examples
    --------
    >>> import jax
    >>> constant(2.0)(jax.random.key(0), (2,), float).tolist()
    [2.0, 2.0]
    """
    return lambda key, shape, dtype=float: jnp.broadcast_to(_to_jax_array(value).astype(dtype), shape)


def identity(scale: float | Tensor = 1.0, shift: float | Tensor = 0.0) -> Initialiser:
    r"""Return the initialiser of the last two axes by :math:`a I + b`.

    Parameters
    ----------
    scale : float, default 1
        :math:`a`.
    shift : float, default 0
        :math:`b`, added to every entry.

    Returns
    -------
    callable
        Raises ValueError for fewer than two axes. A matrix that is not square has ones where row and column are equal.

    Examples
    --------
    >>> import jax
    >>> identity(2.0, 1.0)(jax.random.key(0), (2, 2), float).tolist()
    [[3.0, 1.0], [1.0, 3.0]]
    """

    def draw(key: Array, shape: tuple[int, ...], dtype: DTypeLike = float) -> Array:
        _matrices(shape, "identity")
        diagonal = _to_jax_array(scale).astype(dtype) * jnp.eye(*shape[-2:], dtype=dtype)
        return jnp.broadcast_to(diagonal + _to_jax_array(shift).astype(dtype), shape)

    return draw


def distribution(
    sampler: Callable[..., Array] = jax.random.normal, *, loc: float | Tensor = 0.0, scale: float | Tensor = 1.0
) -> Initialiser:
    """Return the initialiser of independent draws, scaled and shifted.

    Parameters
    ----------
    sampler : callable, default ``jax.random.normal``
        Takes ``(key, shape, dtype)``: ``jax.random.laplace``, ``uniform``, ``exponential``, ...
    loc, scale : float or array, default 0 and 1
        Added to the draws after they were multiplied.

    Returns
    -------
    callable

    Examples
    --------
    >>> import jax
    >>> values = distribution(jax.random.uniform, loc=2.0)(jax.random.key(0), (100,), float)
    >>> bool((values >= 2).all() and (values < 3).all())
    True
    """
    return lambda key, shape, dtype=float: (
        _to_jax_array(loc).astype(dtype) + _to_jax_array(scale).astype(dtype) * sampler(key, shape, dtype)
    )


def dirichlet(concentration: float | Tensor = 1.0, *, axis: int = -2) -> Initialiser:
    r"""Return the initialiser of random shares that add up to 1 along one axis.

    Parameters
    ----------
    concentration : float or array, shape (share,), default 1
        Of Dirichlet's distribution, above 0. Small values give nearly hard assignments, large ones nearly equal shares.
    axis : int, default -2
        Along which shares add up to 1: the parcels of an assignment (parcel, vertex).

    Returns
    -------
    callable
        Raises ValueError if the concentration is not positive, or there are not as many as shares.

    Examples
    --------
    >>> import jax
    >>> shares = dirichlet(0.5)(jax.random.key(0), (3, 10), float)
    >>> bool(abs(shares.sum(0) - 1).max() < 1e-5)
    True
    """
    if isinstance(concentration, int | float) and not concentration > 0:
        raise ValueError(f"concentration must be above 0, and is {concentration}")

    def draw(key: Array, shape: tuple[int, ...], dtype: DTypeLike = float) -> Array:
        n_shares = shape[axis]
        weights = _to_jax_array(concentration).astype(dtype)
        if weights.ndim > 1 or weights.size not in (1, n_shares):
            raise ValueError(
                f"concentration must be one number or {n_shares}, one for each share, and has shape {weights.shape}"
            )
        lead = tuple(np.delete(np.asarray(shape), axis).tolist())
        shares = jax.random.dirichlet(key, jnp.broadcast_to(weights, (n_shares,)), lead, dtype)
        return jnp.moveaxis(shares, -1, axis)

    return draw


def toeplitz(row: Float[Tensor, " lag"]) -> Initialiser:
    """Return the initialiser of the last two axes by a symmetric banded matrix with equal entries along diagonals.

    Parameters
    ----------
    row : array, shape (lag,)
        The entry at distance 0, 1, ... from the diagonal; 0 further away.

    Returns
    -------
    callable
        Raises ValueError for fewer than two axes, or a row longer than the matrix.

    See Also
    --------
    scipy.linalg.toeplitz

    Examples
    --------
    >>> import jax
    >>> toeplitz([2.0, 1.0])(jax.random.key(0), (3, 3), float).tolist()
    [[2.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 2.0]]
    """

    def draw(key: Array, shape: tuple[int, ...], dtype: DTypeLike = float) -> Array:
        _matrices(shape, "toeplitz")
        values = jnp.asarray(row, dtype)
        longest = max(shape[-2:])
        if values.ndim != 1 or not 1 <= values.size <= longest:
            raise ValueError(f"row must hold 1 to {longest} values for the shape {shape}, and has shape {values.shape}")
        return jnp.broadcast_to(matrix.toeplitz(values, shape=(shape[-2], shape[-1])), shape)

    return draw


def filter_spectrum(
    bands: Sequence[Band], *, n_frames: int, repetition_time: float, family: Family | None = None, order: int = 4
) -> Initialiser:
    """Return the initialiser of gains by frequency, (filter, bin), as of classical filters.

    Parameters
    ----------
    bands, n_frames, repetition_time, family, order
        As for `FilterBank.from_bands`.

    Returns
    -------
    callable
        Raises ValueError if the shape is not that of these bands and frames.

    Examples
    --------
    >>> import jax
    >>> gain = filter_spectrum([(0.1, None)], n_frames=8, repetition_time=1.0)
    >>> gain(jax.random.key(0), (1, 5), float).tolist()
    [[0.0, 1.0, 1.0, 1.0, 1.0]]
    """
    bank = FilterBank.from_bands(bands, n_frames=n_frames, repetition_time=repetition_time, family=family, order=order)

    def draw(key: Array, shape: tuple[int, ...], dtype: DTypeLike = float) -> Array:
        gain = jnp.asarray(bank.gain, dtype)
        if tuple(shape) != gain.shape:
            raise ValueError(
                f"{len(bands)} bands over {n_frames} frames have gains of shape {gain.shape}, "
                f"and {tuple(shape)} is needed"
            )
        return gain

    return draw


def tangency_point(matrices: Float[Tensor, "... matrix region region"], *, metric: Metric = "geometric") -> Initialiser:
    """Return the initialiser of a point of tangency by the mean of data.

    Parameters
    ----------
    matrices : array, shape (..., matrix, region, region)
        SPD: of the training set alone.
    metric : str, default "geometric"
        Of the mean, see `spd_mean`.

    Returns
    -------
    callable
        Raises ValueError if the shape is not that of the mean.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> point = tangency_point(jnp.stack([jnp.eye(2), 4 * jnp.eye(2)]))
    >>> point(jax.random.key(0), (2, 2), float).round(3).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """

    def draw(key: Array, shape: tuple[int, ...], dtype: DTypeLike = float) -> Array:
        mean = spd_mean(matrices, metric=metric).astype(dtype)
        if mean.shape != tuple(shape):
            raise ValueError(f"the mean of the matrices has shape {mean.shape}, and {tuple(shape)} is needed")
        return mean

    return draw


def biregular(degree: int = 1) -> Initialiser:
    r"""Return the initialiser of the last two axes by random 0-1 matrices with equal row sums and equal column sums.

    Parameters
    ----------
    degree : int, default 1
        With :math:`m` the least common multiple of :math:`r` rows and :math:`c` columns, a row has
        :math:`\min(d m, r c) / r` ones. At 1 it is the sparsest matrix of its kind.

    Returns
    -------
    callable
        One matrix for all leading axes. Rows and columns are in random order, but not every matrix with these sums can
        be drawn. Raises ValueError for fewer than two axes.

    Examples
    --------
    >>> import jax
    >>> matrix = biregular()(jax.random.key(0), (4, 6), float)
    >>> matrix.sum(1).tolist(), matrix.sum(0).tolist()
    ([3.0, 3.0, 3.0, 3.0], [2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    """
    if degree < 1 or int(degree) != degree:
        raise ValueError(f"degree must be a whole number of at least 1, and is {degree}")

    def draw(key: Array, shape: tuple[int, ...], dtype: DTypeLike = float) -> Array:
        _matrices(shape, "biregular")
        n_rows, n_columns = shape[-2:]
        in_row = min(int(degree) * int(np.lcm(n_rows, n_columns)), n_rows * n_columns) // n_rows
        # Dealing ones out column after column, row by row, gives every column its share.
        dealt = np.zeros((n_rows, n_columns))
        ones = np.arange(n_rows * in_row)
        dealt[ones // in_row, ones % n_columns] = 1.0
        of_rows, of_columns = jax.random.split(key)
        rows = jax.random.permutation(of_rows, n_rows)
        columns = jax.random.permutation(of_columns, n_columns)
        return jnp.broadcast_to(jnp.asarray(dealt, dtype)[rows][:, columns], shape)

    return draw


def _matrices(shape: tuple[int, ...], name: str) -> None:
    if len(shape) < 2:
        raise ValueError(f"{name} needs a shape of at least two axes, and was asked for {tuple(shape)}")
