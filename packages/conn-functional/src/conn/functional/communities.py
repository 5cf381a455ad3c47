r"""Hard partitions of graphs into communities: detection by Leiden or Louvain, consensus over runs, versatility.

Whatever the null model, the resolution and the treatment of signs, a partition is judged by the entries of one
modularity matrix :math:`B` within its communities, :math:`Q = \sum_{ij} b_{ij} \delta(c_i, c_j)`. That matrix goes to
leidenalg as a graph of signed weights without a null model of its own, so that what is maximised is what
`relaxed_modularity` computes. Every run starts from other random numbers and may end in another partition of nearly
the same quality [1]_; `coassignment`, `consensus_communities` and `versatility` say what the runs have in common.

References
----------
.. [1] Good, de Montjoye & Clauset (2010). doi:10.1103/PhysRevE.81.046106
"""

import importlib
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from conn.functional.engine import Tensor, _to_jax_array
from conn.functional.graph import _reciprocal, _square
from conn.functional.modularity import Sign, girvan_newman_null, layered, modularity_matrix

__all__ = [
    "DetectedCommunities",
    "coassignment",
    "consensus_communities",
    "detect_communities",
    "detect_multilayer_communities",
    "versatility",
]

Method = Literal["leiden", "louvain"]


class DetectedCommunities(NamedTuple):
    """The partitions that runs of a community detection end in, and the best of them.

    Labels count from 0, by falling size of the community and then by its first region. Those of several layers have
    the shape (..., layer, region), and (..., run, layer, region).
    """

    labels: Int[np.ndarray, "... region"]
    """The partition of the run of the highest quality."""
    quality: Float[np.ndarray, "..."]
    """Its quality."""
    run_labels: Int[np.ndarray, "... run region"]
    """The partition of every run."""
    run_quality: Float[np.ndarray, "... run"]
    """The quality of every run."""


def detect_communities(
    adjacency: Float[Tensor, "... region region"],
    *,
    method: Method = "leiden",
    gamma: float = 1.0,
    null: Callable[[Array], Array] = girvan_newman_null,
    sign: Sign | None = "+",
    n_runs: int = 10,
    seed: int = 0,
) -> DetectedCommunities:
    """Return the hard partitions of every graph that several runs of Leiden or Louvain find, and the best of them.

    The arguments are those of `modularity_matrix` and `relaxed_modularity`; any null model is maximised as it is. The
    work is done on the host by leidenalg (the extra ``communities``), outside of ``jit``, in time and memory of all
    pairs of regions: 0.3 s a run of 400 regions.

    Parameters
    ----------
    adjacency : array, shape (..., target, source)
        Weights of either sign; `sign` says which of them count. The diagonal counts in the strengths, as in
        `modularity_matrix`. Of a directed graph the modularity is the directed one.
    method : {"leiden", "louvain"}, default "leiden"
        Leiden [1]_ repeats its passes until none improves the partition; Louvain [2]_ moves regions, then the
        communities found, and ends there.
    gamma : float, default 1
        Resolution. More, smaller communities are found as it grows.
    null : callable, default `girvan_newman_null`
        Gives the expected weights from the weights that count; `constant_potts_null` asks for communities whose mean
        weight is above `gamma`.
    sign : {"+", "-", "both"} or None, default "+"
        See `modularity_matrix`. Take None with a null model made for signed weights.
    n_runs : int, default 10
        Runs a graph; all graphs of a batch start from the same random numbers.
    seed : int, default 0
        Not negative. With the same seed, fewer runs are the first of more runs.

    Returns
    -------
    DetectedCommunities
        ``labels`` of shape (..., region), ``quality`` (...), ``run_labels`` (..., run, region) and ``run_quality``
        (..., run). Quality is the `relaxed_modularity` of the partition; with ``sign=None``, where nothing is divided
        by a total, it is the sum of the modularity matrix within communities, in the unit of the weights. A region
        without connections is a community of its own.

    Raises
    ------
    ImportError
        If leidenalg is not installed; the message names the extra.
    ValueError
        If the matrix is not square or has entries that are not finite, if the method or the sign is unknown, if there
        is no run, or the seed is negative.

    References
    ----------
    .. [1] Traag, Waltman & van Eck (2019), From Louvain to Leiden. doi:10.1038/s41598-019-41695-z
    .. [2] Blondel, Guillaume, Lambiotte & Lefebvre (2008). doi:10.1088/1742-5468/2008/10/P10008

    Examples
    --------
    >>> import numpy as np
    >>> pairs = np.kron(np.eye(2), np.ones((2, 2)))
    >>> found = detect_communities(pairs, n_runs=3)
    >>> found.labels.tolist(), float(found.quality)
    ([0, 0, 1, 1], 0.5)
    """
    seeds = _run_seeds(method, n_runs, seed)
    weights = _square("adjacency", adjacency)
    _refuse_infinite("adjacency", np.asarray(weights))
    matrices = np.asarray(
        modularity_matrix(weights, gamma=gamma, null=null, normalise_modularity=sign is not None, sign=sign)
    )
    _refuse_infinite("the modularity matrix", matrices)
    graphs = (_pairs(matrices[item]) for item in np.ndindex(matrices.shape[:-2]))
    return _detected(graphs, matrices.shape[:-1], matrices.dtype, method, seeds)


def detect_multilayer_communities(
    adjacency: Float[Tensor, "... layer region region"],
    *,
    coupling: float | Float[Tensor, "... layer layer"] = 1.0,
    order: Literal["ordinal", "categorical"] = "ordinal",
    method: Method = "leiden",
    gamma: float | Float[Tensor, "layer"] = 1.0,
    null: Callable[[Array], Array] = girvan_newman_null,
    sign: Sign = "+",
    n_runs: int = 10,
    seed: int = 0,
) -> DetectedCommunities:
    """Return the hard partitions of all regions in all layers at once that several runs of Leiden or Louvain find.

    Layers are windows of time, scans or frequency bands; a community keeps its label from layer to layer. Work, place
    and cost are those of `detect_communities`, summed over layers.

    Parameters
    ----------
    adjacency : array, shape (..., layer, target, source)
        Weights of every layer; `sign` says which of them count.
    coupling, order, gamma, null, sign
        As in `multilayer_modularity`.
    method, n_runs, seed
        As in `detect_communities`.

    Returns
    -------
    DetectedCommunities
        ``labels`` of shape (..., layer, region), ``quality`` (...), ``run_labels`` (..., run, layer, region) and
        ``run_quality`` (..., run). Quality is the `multilayer_modularity` of the partition.

    Raises
    ------
    ImportError
        If leidenalg is not installed; the message names the extra.
    ValueError
        As `detect_communities` and `multilayer_modularity`.

    References
    ----------
    .. [1] Mucha, Richardson, Macon, Porter & Onnela (2010). doi:10.1126/science.1184819
    .. [2] Bassett et al. (2011), Dynamic reconfiguration of human brain networks during learning.
       doi:10.1073/pnas.1018985108

    Examples
    --------
    >>> import numpy as np
    >>> pairs = np.kron(np.eye(2), np.ones((2, 2)))
    >>> detect_multilayer_communities(np.stack([pairs, pairs]), n_runs=3).labels.tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    seeds = _run_seeds(method, n_runs, seed)
    weights = _square("adjacency", adjacency)
    _refuse_infinite("adjacency", np.asarray(weights))
    parts = layered(weights, coupling=coupling, order=order, gamma=gamma, null=null, sign=sign)
    within, couplings, total = (np.asarray(part) for part in parts)
    lead, (n_layers, n_regions) = within.shape[:-3], within.shape[-3:-1]
    _refuse_infinite("the modularity matrix", within)
    _refuse_infinite("coupling", couplings)
    couplings = np.broadcast_to(couplings, (*lead, n_layers, n_layers))
    graphs = (_layered_pairs(within[item], couplings[item], float(total[item])) for item in np.ndindex(lead))
    found = _detected(graphs, (*lead, n_layers * n_regions), within.dtype, method, seeds)
    return found._replace(
        labels=found.labels.reshape(*lead, n_layers, n_regions),
        run_labels=found.run_labels.reshape(*lead, n_runs, n_layers, n_regions),
    )


def consensus_communities(
    run_labels: Int[Tensor, "... run region"],
    *,
    threshold: float | Literal["chance"] = 0.5,
    method: Method = "leiden",
    gamma: float = 1.0,
    max_iterations: int = 50,
    seed: int = 0,
) -> Int[np.ndarray, "... region"]:
    """Return the partition that many partitions of the same regions agree on.

    Pairs of regions that seldom share a community are dropped from the `coassignment`; what remains is a graph that is
    partitioned as often as there are runs; and so on with these partitions until they are all the same. On the host,
    as `detect_communities`.

    Parameters
    ----------
    run_labels : array of int, shape (..., run, region)
        One partition a run; a label has no meaning beyond its run.
    threshold : float or "chance", default 0.5
        Pairs that share their community in a smaller part of the runs are dropped, except that every region keeps its
        most frequent companions [1]_; or "chance", and pairs are dropped that share it less often than any pair does
        after the regions of every run have been permuted [2]_.
    method : {"leiden", "louvain"}, default "leiden"
        How the coassignment is partitioned.
    gamma : float, default 1
        Resolution of these partitions (not of those that `run_labels` come from).
    max_iterations : int, default 50
        After which runs that still differ are refused.
    seed : int, default 0
        Not negative.

    Returns
    -------
    array of int, shape (..., region)
        Labels count from 0, by falling size of the community and then by its first region.

    Raises
    ------
    ImportError
        If leidenalg is not installed; the message names the extra.
    TypeError
        If the labels are not whole numbers.
    ValueError
        If the shape is wrong, the threshold does not lie between 0 and 1, or a setting is refused by
        `detect_communities`.
    RuntimeError
        If the runs still differ after the last iteration.

    References
    ----------
    .. [1] Lancichinetti & Fortunato (2012), Consensus clustering in complex networks. doi:10.1038/srep00336
    .. [2] Bassett et al. (2013), Robust detection of dynamic community structure in networks. doi:10.1063/1.4790830

    Examples
    --------
    >>> import numpy as np
    >>> consensus_communities(np.array([[0, 0, 1, 1], [3, 3, 2, 2]])).tolist()
    [0, 0, 1, 1]
    """
    if threshold != "chance" and not (isinstance(threshold, int | float) and 0 <= threshold <= 1):
        raise ValueError(f'threshold must lie between 0 and 1 or be "chance", and is {threshold!r}')
    if max_iterations < 1:
        raise ValueError(f"max_iterations must be at least 1, and is {max_iterations}")
    given = np.asarray(_labels(run_labels))
    lead, n_regions = given.shape[:-2], given.shape[-1]
    found = np.empty((*lead, n_regions), int)
    for item in np.ndindex(lead):
        rng = np.random.default_rng(_seeds(seed, 1))
        labels = given[item]
        for _ in range(max_iterations):
            shared = np.array(coassignment(labels))
            if np.isin(shared, (0.0, 1.0)).all():
                break
            kept = _reliable(shared, labels, threshold, rng)
            again = int(rng.integers(2**31))
            labels = detect_communities(kept, method=method, gamma=gamma, n_runs=len(labels), seed=again).run_labels
        else:
            of = f" of item {item}" if item else ""
            raise RuntimeError(
                f"the partitions{of} still differ after {max_iterations} iterations: give more runs, another threshold "
                "or a larger max_iterations"
            )
        found[item] = _in_order(labels[0])
    return found


def coassignment(
    run_labels: Int[Tensor, "... run region"],
    *,
    weight: Float[Tensor, "... run"] | None = None,
) -> Float[Array, "... region region"]:
    """Return the part of the runs (partitions, windows, people) in which each pair of regions shares its community.

    Parameters
    ----------
    run_labels : array of int, shape (..., run, region)
        One partition a run; a label has no meaning beyond its run.
    weight : array, shape (..., run), optional
        Weight of every run, not negative, by default the same for all.

    Returns
    -------
    array, shape (..., region, region)
        Between 0 and 1, symmetric, with ones on its diagonal; zeros where no run has weight. In the dtype of `weight`,
        in which it is differentiable.

    Raises
    ------
    TypeError
        If the labels are not whole numbers.
    ValueError
        If the shapes do not fit each other, or there is no run.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> coassignment(jnp.array([[0, 0, 1], [0, 1, 1]])).tolist()
    [[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]]
    """
    labels = _labels(run_labels)
    n_runs = labels.shape[-2]
    weights = jnp.ones(n_runs) if weight is None else _to_jax_array(weight)
    if not jnp.issubdtype(weights.dtype, jnp.floating):
        weights = weights.astype(jnp.result_type(float))
    if weights.shape[-1:] != (n_runs,):
        raise ValueError(f"weight must have one value for each of {n_runs} runs, and has shape {weights.shape}")
    same = labels[..., :, None] == labels[..., None, :]
    shared = jnp.where(same, weights[..., None, None], 0.0).sum(-3)
    # A region shares its community with itself in all runs: who always does has exactly its sum, and exactly 1, though
    # XLA divides by multiplying with a rounded reciprocal.
    total = shared[..., :1, :1]
    part = shared * _reciprocal(total)
    rounding = jnp.where(shared == total, 1.0 - part, 0.0)
    return jnp.where(total == 0, 0.0, part + jax.lax.stop_gradient(rounding))


def versatility(coassigned: Float[Tensor, "... region region"]) -> Float[Array, "... region"]:
    r"""Return how undecided every region's community is, :math:`\sum_j \sin(\pi p_{ij}) / \sum_j p_{ij}`.

    Parameters
    ----------
    coassigned : array, shape (..., region, region)
        :math:`p_{ij}`, the part of the runs in which two regions share their community, between 0 and 1; from
        `coassignment`. NaN spreads to its row.

    Returns
    -------
    array, shape (..., region)
        0 for a region that is always, or never, with the same others; a row of zeros gives 0 with finite gradients.

    Raises
    ------
    ValueError
        If the matrix is not square.

    References
    ----------
    .. [1] Shinn et al. (2017), Versatility of nodal affiliation to communities. doi:10.1038/s41598-017-03394-5

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> versatility(coassignment(jnp.array([[0, 0, 0], [0, 1, 2]]))).tolist()
    [1.0, 1.0, 1.0]
    """
    shared = _square("coassigned", coassigned)
    # The sine of a multiple of pi is exactly 0 at 0 only, so that certainty is measured from the nearer end.
    undecided = jnp.sin(jnp.pi * jnp.minimum(shared, 1.0 - shared))
    return undecided.sum(-1) * _reciprocal(shared.sum(-1))


class _Pairs(NamedTuple):
    """What quality the pairs of a graph's nodes add that share a community, and what every node adds by itself."""

    n_nodes: int
    first: np.ndarray
    second: np.ndarray
    weights: np.ndarray
    alone: float


def _pairs(matrix: np.ndarray) -> _Pairs:
    rows, columns = np.triu_indices(len(matrix), 1)
    matrix = matrix.astype(float)
    return _Pairs(len(matrix), rows, columns, matrix[rows, columns] + matrix[columns, rows], np.trace(matrix))


def _layered_pairs(within: np.ndarray, couplings: np.ndarray, total: float) -> _Pairs:
    """Return the pairs of regions of one layer, and of each region with itself in two layers."""
    n_layers, n_regions = within.shape[:2]
    layers = [_pairs(matrix) for matrix in within]
    between = _pairs(couplings)
    regions = np.arange(n_regions)
    first = [layer.first + place * n_regions for place, layer in enumerate(layers)]
    second = [layer.second + place * n_regions for place, layer in enumerate(layers)]
    first.append((between.first[:, None] * n_regions + regions).ravel())
    second.append((between.second[:, None] * n_regions + regions).ravel())
    weights = [*(layer.weights for layer in layers), np.repeat(between.weights, n_regions)]
    scale = 1 / total if total else 0.0
    alone = scale * sum(layer.alone for layer in layers)
    return _Pairs(
        n_layers * n_regions, np.concatenate(first), np.concatenate(second), scale * np.concatenate(weights), alone
    )


def _run_seeds(method: str, n_runs: int, seed: int) -> np.ndarray:
    """Return a seed for every run, having checked how these are to be done."""
    if method not in ("leiden", "louvain"):
        raise ValueError(f'method must be "leiden" or "louvain", and is {method!r}')
    if n_runs < 1:
        raise ValueError(f"n_runs must be at least 1, and is {n_runs}")
    return _seeds(seed, n_runs)


def _detected(
    graphs: Iterable[_Pairs], shape: tuple[int, ...], dtype: np.dtype, method: Method, seeds: np.ndarray
) -> DetectedCommunities:
    """Return the partitions of every graph of the batch, whose nodes have this shape together."""
    lead, n_nodes, n_runs = shape[:-1], shape[-1], len(seeds)
    labels = np.empty((*lead, n_runs, n_nodes), int)
    quality = np.empty((*lead, n_runs), dtype)
    for item, graph in zip(np.ndindex(lead), graphs, strict=True):
        labels[item] = _partitions(graph, method, seeds)
        shared = (of_run[graph.first] == of_run[graph.second] for of_run in labels[item])
        quality[item] = [graph.alone + graph.weights[pairs].sum() for pairs in shared]
    best = quality.argmax(-1, keepdims=True)
    return DetectedCommunities(
        labels=np.take_along_axis(labels, best[..., None], axis=-2)[..., 0, :],
        quality=np.take_along_axis(quality, best, axis=-1)[..., 0],
        run_labels=labels,
        run_quality=quality,
    )


def _partitions(pairs: _Pairs, method: str, seeds: np.ndarray) -> np.ndarray:
    """Return one partition a seed that maximises the sum of the weights within communities."""
    igraph, leidenalg = _library("igraph"), _library("leidenalg")
    present = pairs.weights != 0  # who is connected with nobody is nobody's neighbour, and stays alone
    if not present.any():
        return np.tile(np.arange(pairs.n_nodes), (len(seeds), 1))
    weights = (pairs.weights[present] / np.abs(pairs.weights).max()).tolist()
    edges = np.stack([pairs.first[present], pairs.second[present]], axis=1)
    graph = igraph.Graph(n=pairs.n_nodes, edges=edges)
    found = []
    for seed in seeds:
        optimiser = leidenalg.Optimiser()
        optimiser.set_rng_seed(int(seed))
        partition = leidenalg.CPMVertexPartition(graph, weights=weights, resolution_parameter=0.0)
        if method == "leiden":
            _leiden(optimiser, partition)
        else:
            _louvain(optimiser, partition)
        found.append(_in_order(np.array(partition.membership)))
    return np.stack(found)


_LEAST_GAIN = 1e-10
"""What a pass has to gain for another one to follow, where the largest weight is 1: above rounding, below any use."""


def _leiden(optimiser: Any, partition: Any) -> None:
    while optimiser.optimise_partition(partition, n_iterations=1) > _LEAST_GAIN:
        pass


def _louvain(optimiser: Any, partition: Any) -> None:
    # Written out: leidenalg 0.12 crashes when it is told to leave its refinement out.
    optimiser.move_nodes(partition)
    coarse = partition.aggregate_partition()
    while optimiser.move_nodes(coarse) > _LEAST_GAIN:
        partition.from_coarse_partition(coarse)
        coarse = coarse.aggregate_partition()


def _reliable(
    shared: np.ndarray, labels: np.ndarray, threshold: float | Literal["chance"], rng: np.random.Generator
) -> np.ndarray:
    """Return the coassignment without its diagonal and without the pairs below the threshold."""
    np.fill_diagonal(shared, 0.0)
    if threshold == "chance":
        permuted = np.array(coassignment(rng.permuted(labels, axis=1)))
        np.fill_diagonal(permuted, 0.0)
        return np.where(shared >= permuted.max(), shared, 0.0)
    most = shared == shared.max(-1, keepdims=True)
    return np.where((shared >= threshold) | most | most.T, shared, 0.0)


def _in_order(labels: np.ndarray) -> np.ndarray:
    """Return the labels counted from 0, by falling size of the community and then by its first member."""
    _, first, inverse, size = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(first), int)
    rank[np.lexsort((first, -size))] = np.arange(len(first))
    return rank[inverse]


def _labels(run_labels: Tensor) -> Array:
    labels = _to_jax_array(run_labels)
    if labels.ndim < 2 or 0 in labels.shape[-2:]:
        raise ValueError(f"run_labels must have shape (..., run, region) and not be empty, not shape {labels.shape}")
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"run_labels must be whole numbers, and are {labels.dtype}")
    return labels


def _refuse_infinite(name: str, matrices: np.ndarray) -> None:
    wrong = np.argwhere(~np.isfinite(matrices))
    if len(wrong):
        place = tuple(int(index) for index in wrong[0])
        raise ValueError(f"{name} must be finite, and has {len(wrong)} entries that are not, the first at {place}")


def _seeds(seed: int, n_runs: int) -> np.ndarray:
    """Return as many seeds of 31 bits, the first of which do not depend on how many they are."""
    if seed < 0:
        raise ValueError(f"seed must not be negative, and is {seed}")
    return np.random.SeedSequence(seed).generate_state(n_runs) >> 1


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(
            f'{name} is not installed; `pip install "conn-functional[communities]"` brings it', name=name
        ) from error
