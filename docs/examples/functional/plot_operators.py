"""
Operators: strengths of a connectome that is never formed
=========================================================

The same numbers with and without the matrix: what they cost as regions grow in number, and how far they agree.
"""

# %%
# Independent series of 300 frames; what they hold does not matter for time or memory.

import time

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from conn.functional import (
    constant_potts_modularity,
    constant_potts_null,
    corr,
    correlation_operator,
    leading_eigenpairs,
    modularity_matrix,
    rectified_modularity,
    relaxed_modularity,
    row_sums,
)

BLUE, VERMILION = "#0072B2", "#D55E00"
sizes, n_frames = [1000, 2000, 4000], 300
rng = np.random.default_rng(0)
ways = {
    "matrix formed": jax.jit(lambda x: corr(x).sum(-1)),
    "operator": jax.jit(lambda x: row_sums(correlation_operator(x))),
}

# %%
# Time is the best of five runs on whatever machine builds this page; memory is what XLA sets aside beside the series
# and the result. The matrix grows with the square of the regions, the operator with their number.

seconds, mebibytes = ({name: [] for name in ways} for _ in range(2))
for size in sizes:
    series = jnp.asarray(rng.normal(size=(size, n_frames)), jnp.float32)
    for name, way in ways.items():
        compiled = way.lower(series).compile()
        mebibytes[name].append(compiled.memory_analysis().temp_size_in_bytes / 2**20)
        taken = []
        for _ in range(5):
            begin = time.perf_counter()
            compiled(series).block_until_ready()
            taken.append(time.perf_counter() - begin)
        seconds[name].append(min(taken))
    cells = [f"{name} {1e3 * seconds[name][-1]:6.1f} ms {mebibytes[name][-1]:6.1f} MiB" for name in ways]
    print(f"{size:5d} regions: " + ", ".join(cells))

# %%
# **Agreement**, on 600 regions with five planted groups, in float32. The first three are linear in the signed
# correlation and have closed forms; the rectified objective is not, and streams the correlations in tiles.

groups = jax.nn.one_hot(jnp.arange(600) // 120, 5)
series = jnp.asarray(groups @ rng.normal(size=(5, n_frames)) + rng.normal(size=(600, n_frames)), jnp.float32)
soft = jax.nn.softmax(2 * groups + jnp.asarray(rng.normal(size=(600, 5)), jnp.float32))


@jax.jit
def with_operator(x: jax.Array) -> dict[str, jax.Array]:
    operator = correlation_operator(x)
    return {
        "strengths": row_sums(operator),
        "eigenvalues": leading_eigenpairs(operator, 5).values,
        "constant Potts": constant_potts_modularity(operator, soft, gamma=0.1),
        "rectified, + and -": rectified_modularity(operator, soft, sign="both", block_size=256),
    }


@jax.jit
def with_matrix(x: jax.Array) -> dict[str, jax.Array]:
    matrix = corr(x)
    potts = modularity_matrix(matrix, gamma=0.1, null=constant_potts_null, sign=None)
    return {
        "strengths": matrix.sum(-1),
        "eigenvalues": jnp.linalg.eigvalsh(matrix)[:-6:-1],
        "constant Potts": (soft * (potts @ soft)).sum() / matrix.size,
        "rectified, + and -": relaxed_modularity(matrix, soft, sign="both"),
    }


names = ("strengths", "eigenvalues", "constant Potts", "rectified, + and -")
streamed, formed = (jax.tree.map(np.asarray, way(series)) for way in (with_operator, with_matrix))
difference = {name: np.abs(streamed[name] - formed[name]).max() / np.abs(formed[name]).max() for name in names}
for name, value in difference.items():
    print(f"{name:20s} relative difference {value:.1e}")

# %%
# The dotted line on the right is the tolerance that the package promises in float32.

figure = Figure(figsize=(11, 3.6), layout="constrained")
left, middle, right = figure.subplots(1, 3)
for axis, values, label in ((left, seconds, "time (s)"), (middle, mebibytes, "temporary memory (MiB)")):
    for name, colour in (("matrix formed", VERMILION), ("operator", BLUE)):
        axis.plot(sizes, values[name], color=colour, marker="o", markersize=3, label=name)
    axis.set(xscale="log", yscale="log", xlabel="regions", ylabel=label, title="Strengths of all regions")
    axis.minorticks_off()
    axis.set_xticks(sizes, sizes)
    axis.legend(frameon=False)
right.barh(list(difference), [max(value, 1e-9) for value in difference.values()], color=BLUE)
right.axvline(1e-5, color="black", linewidth=1, linestyle=":")
right.set(xscale="log", xlim=(1e-9, 1e-4), xlabel="largest relative difference", title="Operator against matrix")
right.invert_yaxis()
figures = {"Time and memory of strengths with and without the matrix, and their agreement": figure}
