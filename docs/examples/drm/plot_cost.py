"""
What a tick costs: edges count, distinct delays do not
======================================================

The time of one tick of a network of 100 populations of 8 units each, over the number of its connections and over the
number of distinct delays among them.
"""

# %%
# Measured where these pages were built, in the time of the process, the shortest of three runs over 40 ticks.

import time

import numpy as np
import torch
from matplotlib.figure import Figure

from drm import DRMConnection, DRMNet, DRMPopulation, DRMReadout, connect

N, UNITS, BATCH, N_TICKS, VERMILION, BLUE = 100, 8, 16, 40, "#D55E00", "#0072B2"


def milliseconds(density: float, n_delays: int) -> tuple[int, float]:
    """Return the number of connections, and the time of a tick."""
    rng = np.random.default_rng(0)
    present = rng.random((N, N)) < density
    generator = torch.Generator().manual_seed(0)
    populations = [DRMPopulation(1 + UNITS * int(row.sum()), UNITS, generator=generator) for row in present]
    wp = connect(populations, present=present, delays=rng.integers(1, n_delays + 1, (N, N)))
    net = DRMNet(populations, [DRMConnection() for _ in populations], wp, DRMReadout(N * UNITS, 1, generator=generator))
    found = []
    with torch.no_grad():
        for n_ticks in (1, N_TICKS, 1, N_TICKS, 1, N_TICKS):
            stimulus = torch.randn(n_ticks, BATCH, 1, generator=generator)
            net.reset()
            begin = time.process_time()
            net.run(stimulus)
            found.append(time.process_time() - begin)
    # A run has a fixed cost too, which the runs of one tick hold.
    return int(present.sum()), 1e3 * (min(found[1::2]) - min(found[::2])) / (N_TICKS - 1)


by_edges = np.array([milliseconds(density, 8) for density in (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)])
n_delays = np.array([1, 2, 4, 8, 16, 32])
by_delays = np.array([milliseconds(0.5, int(n)) for n in n_delays])
figure = Figure(figsize=(10, 4), layout="constrained")
left, right = figure.subplots(1, 2, sharey=True)
left.plot(by_edges[:, 0], by_edges[:, 1], "o-", color=VERMILION)
left.set(xlabel="connections (8 distinct delays)", ylabel="time of a tick (ms)", title="Over connections")
right.semilogx(n_delays, by_delays[:, 1], "o-", color=BLUE, base=2)
right.set(xlabel="distinct delays (half of all connections)", title="Over distinct delays", ylim=(0, None))
right.set_xticks(n_delays, [str(n) for n in n_delays])
figures = {"Time of a tick over connections and over distinct delays.": figure}
