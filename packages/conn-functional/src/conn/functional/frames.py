"""Results as labelled tables: the border where arrays become those of pandas and xarray."""

import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jax.core import Tracer

from conn.functional.engine import Tensor

if TYPE_CHECKING:
    import pandas
    import xarray

__all__ = ["to_dataframe", "to_xarray"]

Layout = Literal["wide", "long", "edges"]
_OF_REGIONS = ("region", "target", "source", "parcel")


def to_dataframe(
    values: Tensor,
    dims: Sequence[str],
    *,
    regions: Sequence[str] | None = None,
    coordinates: Mapping[str, Sequence[Any]] | None = None,
    layout: Layout = "wide",
    name: str = "value",
) -> "pandas.DataFrame":
    """Return an array as a labelled table of pandas.

    Parameters
    ----------
    values : array
        A result, outside of ``jit``: of any rank. NaN stays NaN.
    dims : sequence of str
        The name of each axis: ``("target", "source")`` for a connectome, ``("region", "frame")`` for series,
        ``("scan", "target", "source")`` for a stack.
    regions : sequence of str, optional
        Labels of the axes named region, parcel, target or source; each once.
    coordinates : mapping of str to sequence, optional
        Labels of other axes, such as the times of frames in seconds or the scans. Axes without labels are numbered.
    layout : {"wide", "long", "edges"}, default "wide"
        A table of rows and columns, for two axes; a row for each entry; or a row for each pair of regions, once, for
        arrays whose last two axes are symmetric, without the diagonal.
    name : str, default "value"
        The column of values, where there is one.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ValueError
        If names or labels do not fit the axes, labels occur twice, the layout does not suit the array, or edges are
        asked of matrices that are not symmetric.
    TypeError
        Under a transformation of JAX, where there are no values yet.
    ImportError
        Without pandas: install ``conn-functional[frames]``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> connectome = jnp.array([[1.0, 0.25], [0.25, 1.0]])
    >>> to_dataframe(connectome, ("target", "source"), regions=["V1", "M1"], layout="edges")
      target source  value
    0     V1     M1   0.25
    """
    if layout not in get_args(Layout):
        raise ValueError(f"layout must be one of {', '.join(get_args(Layout))}, and is {layout!r}")
    array, names, labels = _labelled(values, dims, regions, coordinates)
    pandas = _library("pandas")
    if layout == "wide":
        if array.ndim != 2:
            raise ValueError(f'layout "wide" needs two axes, and the array has {array.ndim}: use "long"')
        index, columns = (pandas.Index(labels[axis], name=axis) for axis in names)
        return pandas.DataFrame(array, index=index, columns=columns)
    if name in names:
        raise ValueError(f"name must not be the name of an axis, and is {name!r}")
    if layout == "edges":
        kept = _edges(array, names, labels)
        places = np.broadcast_to(kept, array.shape).nonzero()
    else:
        places = np.indices(array.shape).reshape(array.ndim, -1)
    columns = {axis: np.asarray(labels[axis])[place] for axis, place in zip(names, places, strict=True)}
    return pandas.DataFrame({**columns, name: array[tuple(places)]})


def to_xarray(
    values: Tensor,
    dims: Sequence[str],
    *,
    regions: Sequence[str] | None = None,
    coordinates: Mapping[str, Sequence[Any]] | None = None,
    name: str | None = None,
) -> "xarray.DataArray":
    """Return an array as a labelled array of xarray.

    Parameters
    ----------
    values, dims, regions, coordinates
        As for `to_dataframe`.
    name : str, optional
        Of the array.

    Returns
    -------
    xarray.DataArray
        A copy on the host.

    Raises
    ------
    ValueError, TypeError, ImportError
        As `to_dataframe`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> series = to_xarray(jnp.arange(6.0).reshape(2, 3), ("region", "frame"), regions=["V1", "M1"])
    >>> series.sel(region="M1").values.tolist()
    [3.0, 4.0, 5.0]
    """
    array, names, labels = _labelled(values, dims, regions, coordinates)
    return _library("xarray").DataArray(array, dims=names, coords=labels, name=name)


def _labelled(
    values: Tensor,
    dims: Sequence[str],
    regions: Sequence[str] | None,
    coordinates: Mapping[str, Sequence[Any]] | None,
) -> tuple[np.ndarray, list[str], dict[str, list[Any]]]:
    """Return the values on the host, the names of the axes, and the labels of each."""
    if isinstance(values, Tracer):
        raise TypeError("tables hold values, which are not known inside jit, grad or vmap: make them of the results")
    array, names = np.array(values), list(dims)
    if len(names) != array.ndim or len(set(names)) != len(names):
        raise ValueError(
            f"dims must name each of the {array.ndim} axes of shape {array.shape} once, and is {tuple(dims)}"
        )
    given = dict(coordinates or {})
    if regions is not None:
        own = [axis for axis in names if axis in _OF_REGIONS]
        if not own:
            raise ValueError(f"regions label axes named {', '.join(_OF_REGIONS)}, and the axes are {tuple(dims)}")
        if both := sorted(set(own) & set(given)):
            raise ValueError(f"regions and coordinates both label {', '.join(both)}")
        given.update(dict.fromkeys(own, regions))
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"coordinates name {', '.join(unknown)}, and the axes are {tuple(dims)}")
    labels = {axis: list(given.get(axis, range(size))) for axis, size in zip(names, array.shape, strict=True)}
    for axis, size in zip(names, array.shape, strict=True):
        if len(labels[axis]) != size:
            raise ValueError(f"axis {axis!r} has {size} entries, and {len(labels[axis])} labels were given")
        if len(set(labels[axis])) != size:
            raise ValueError(f"the labels of axis {axis!r} must differ, and some occur twice")
    return array, names, labels


def _edges(array: np.ndarray, names: list[str], labels: dict[str, list[Any]]) -> np.ndarray:
    """Return which entries are one of each pair, having checked that the matrices are symmetric."""
    if array.ndim < 2 or labels[names[-2]] != labels[names[-1]]:
        raise ValueError('layout "edges" needs the same regions on the last two axes')
    transposed = np.swapaxes(array, -1, -2)
    scale = np.nanmax(np.abs(array), initial=0.0)
    slack = 64 * np.finfo(array.dtype).eps * scale if np.issubdtype(array.dtype, np.floating) else 0
    if not np.allclose(array, transposed, rtol=0.0, atol=slack, equal_nan=True):
        raise ValueError('layout "edges" has each pair once, and the matrices are not symmetric: use "long"')
    return np.triu(np.ones(array.shape[-2:], bool), 1)


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"this needs {name}: install conn-functional[frames]") from error
