"""Gene expression, distance and a connectome that depends on both, with the best possible prediction known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conn.data.checks import finite_array, probability, real_number, whole_number
from conn.data.errors import DataError
from conn.data.simulators.maps import smooth_fields

__all__ = ["GeneConnectomeSimulation", "simulate_gene_connectome"]


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneConnectomeSimulation:
    """Regions with expression and coordinates, and a connectome made of both.

    Parameters
    ----------
    expression : array, shape (region, gene)
        Each gene of mean 0 and variance 1 over regions.
    coordinates : array, shape (region, 3)
        Millimetres.
    connectome : array, shape (region, region)
        Symmetric, diagonal 0; the edges have mean 0 and variance 1.
    signal : array, shape (region, region)
        What expression and coordinates determine: the best prediction of the connectome.
    distance_part, gene_part : array, shape (region, region)
        The two summands of the signal.
    projection : array, shape (gene, factor)
        ``expression @ projection`` are the factors whose products make the gene part.
    optimal_r : float
        Correlation of signal and connectome over all edges.
    """

    expression: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    connectome: NDArray[np.float64]
    signal: NDArray[np.float64]
    distance_part: NDArray[np.float64]
    gene_part: NDArray[np.float64]
    projection: NDArray[np.float64]
    optimal_r: float

    def optimal_r_of(self, pairs: ArrayLike) -> float:
        """Return the correlation of signal and connectome over some pairs: the ceiling of a fold.

        Parameters
        ----------
        pairs : int array, shape (pair, 2)
            As `conn.data.splits.region_pairs` gives them.

        Returns
        -------
        float
            At most about `optimal_r`, up to sampling.

        Raises
        ------
        DataError
            If there are fewer than two pairs.
        """
        rows = np.asarray(pairs)
        if rows.ndim != 2 or rows.shape[1] != 2 or len(rows) < 2:
            raise DataError(f"pairs has shape {rows.shape}, expected (pair, 2) with at least two pairs")
        return float(np.corrcoef(self.signal[*rows.T], self.connectome[*rows.T])[0, 1])


def simulate_gene_connectome(
    *,
    n_regions: int = 100,
    n_genes: int = 500,
    n_factors: int = 4,
    optimal_r: float = 0.8,
    distance_share: float = 0.5,
    decay: float = 30.0,
    smoothness: float = 40.0,
    gene_noise: float = 0.5,
    coordinates: ArrayLike | None = None,
    rng: np.random.Generator | int | None = 0,
) -> GeneConnectomeSimulation:
    r"""Return expression, coordinates and a connectome whose best prediction has a set correlation.

    Expression is a mixture of maps that are smooth in space, with noise for each gene. The connectome is

    .. math:: Y_{ij} = r \left( \sqrt{q}\, D_{ij} + \sqrt{1 - q}\, G_{ij} \right) + \sqrt{1 - r^2}\, E_{ij}

    where :math:`D` is :math:`e^{-d_{ij} / \lambda}`, :math:`G` is :math:`F F'` with
    factors :math:`F = X P` of the expression, from which its regression on :math:`D` is taken off, :math:`E` is
    noise orthogonal to both, and all are scaled to mean 0 and variance 1 over edges. So the prediction
    with the smallest error, the signal, has the correlation :math:`r` over all edges, and distance alone
    :math:`r \sqrt{q}`, exactly.

    Parameters
    ----------
    n_regions, n_genes, n_factors : int, defaults 100, 500 and 4
        Sizes; at least 4 regions.
    optimal_r : float, default 0.8
        :math:`r`, 0 to 1.
    distance_share : float, default 0.5
        :math:`q`, 0 to 1.
    decay : float, default 30
        :math:`\lambda` in millimetres.
    smoothness : float, default 40
        Length scale of the maps behind expression, in millimetres.
    gene_noise : float, default 0.5
        Share of each gene's variance that is noise of its own, 0 to 1.
    coordinates : array, shape (region, 3), optional
        By default points on an ellipsoid of a brain's size, symmetric about x = 0.
    rng : numpy.random.Generator, int or None, default 0
        Source of randomness.

    Returns
    -------
    GeneConnectomeSimulation
        Data and truth.

    Raises
    ------
    DataError
        If a count is too small, a number lies outside its range, or the coordinates do not fit or coincide.

    Examples
    --------
    >>> import numpy as np
    >>> from conn.data.simulators import simulate_gene_connectome
    >>> made = simulate_gene_connectome(n_regions=40, n_genes=60, optimal_r=0.7)
    >>> edges = np.column_stack(np.triu_indices(40, 1))
    >>> round(made.optimal_r_of(edges), 6)
    0.7
    """
    n_regions, n_genes = whole_number("n_regions", n_regions, 4), whole_number("n_genes", n_genes)
    n_factors = whole_number("n_factors", n_factors)
    best, share = probability("optimal_r", optimal_r), probability("distance_share", distance_share)
    decay, smoothness = real_number("decay", decay, above=0), real_number("smoothness", smoothness, above=0)
    gene_noise = probability("gene_noise", gene_noise)
    generator = np.random.default_rng(rng)
    if coordinates is None:
        points = _ellipsoid(n_regions, generator)
    else:
        points = finite_array("coordinates", coordinates, (n_regions, 3))
    upper = np.triu_indices(n_regions, 1)
    apart = np.linalg.norm(points[:, None] - points, axis=-1)[upper]
    near = np.exp(-apart / decay)
    if near.std() <= 1e-9 * near.mean():
        raise DataError("the coordinates leave no differences of distance: do the regions coincide?")
    fields = smooth_fields(
        points, 2 * n_factors, length_scale=smoothness, kernel="exponential", n_waves=512, generator=generator
    )
    smooth = _standard(fields.T @ generator.standard_normal((2 * n_factors, n_genes)))
    expression = _standard(
        np.sqrt(1 - gene_noise) * smooth + np.sqrt(gene_noise) * generator.standard_normal((n_regions, n_genes))
    )
    projection = generator.standard_normal((n_genes, n_factors)) / np.sqrt(n_genes)
    factors = expression @ projection
    distance_edges = _standard(near)
    gene_edges = _standard(_rest((factors @ factors.T)[upper], [distance_edges]))
    noise = _standard(_rest(generator.standard_normal(apart.size), [distance_edges, gene_edges]))
    distance_edges = best * np.sqrt(share) * distance_edges
    gene_edges = best * np.sqrt(1 - share) * gene_edges
    parts = [_matrix(edges, n_regions) for edges in (distance_edges, gene_edges, np.sqrt(1 - best**2) * noise)]
    return GeneConnectomeSimulation(
        expression=expression,
        coordinates=points,
        connectome=parts[0] + parts[1] + parts[2],
        signal=parts[0] + parts[1],
        distance_part=parts[0],
        gene_part=parts[1],
        projection=projection,
        optimal_r=best,
    )


def _ellipsoid(n_regions: int, generator: np.random.Generator) -> NDArray[np.float64]:
    directions = generator.standard_normal(((n_regions + 1) // 2, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    left = directions * [65.0, 85.0, 60.0]
    left[:, 0] = -np.abs(left[:, 0])
    return np.concatenate([left, left * [-1, 1, 1]])[:n_regions]


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = values - values.mean(axis=0)
    return centred / centred.std(axis=0)


def _rest(values: NDArray[np.float64], known: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    basis = np.column_stack([np.ones(values.size), *known])
    return values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]


def _matrix(edges: NDArray[np.float64], n_regions: int) -> NDArray[np.float64]:
    matrix = np.zeros((n_regions, n_regions))
    matrix[np.triu_indices(n_regions, 1)] = edges
    return matrix + matrix.T
