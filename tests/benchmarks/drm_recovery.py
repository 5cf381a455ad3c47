"""What a network finds again of a planted truth, and with which data: `hatch run bench drm-recovery`.

The protocol stands in docs/drm/recovery.md, where the results are written too; it was committed before the first
number.
The seeds of a condition stand side by side in one network without connections between them, which changes nothing but
the time that it takes.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from drm import (
    DRM,
    BasisReadout,
    BOLDReadout,
    DRMConnection,
    DRMIterator,
    DRMNet,
    DRMPopulation,
    DRMReadout,
    LearnedDelayConnection,
    TractConnection,
    Velocity,
    connect,
)

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "drm" / "recovery.md"
STORE = HERE.parents[1] / "build" / "benchmarks" / "drm_recovery_tables.json"
BEGIN, END = "<!-- results, written by `hatch run bench drm-recovery` -->", "<!-- end of results -->"
N_SEEDS, N_AREAS, N_EDGES = 10, 4, 5
TICK, N_TICKS, N_RUNS = 500.0, 300, 4


def _planted() -> np.ndarray:
    """Return the coupling of all seeds (seed, target, source)."""
    found = np.zeros((N_SEEDS, N_AREAS, N_AREAS))
    pairs = np.argwhere(~np.eye(N_AREAS, dtype=bool))
    for seed in range(N_SEEDS):
        rng = np.random.default_rng(seed)
        for target, source in pairs[rng.permutation(len(pairs))[:N_EDGES]]:
            found[seed, target, source] = rng.choice([-1, 1]) * rng.uniform(0.3, 0.6)
    return found


def _net(coupling: np.ndarray, gain: float, *, own: bool, bold: bool) -> DRMNet:
    """Return all seeds' populations side by side; the coupling (seed, target, source) is off the diagonal."""
    n = N_SEEDS * N_AREAS
    present = np.kron(np.eye(N_SEEDS, dtype=bool), ~np.eye(N_AREAS, dtype=bool))
    lines = [DRMConnection(N_AREAS, N_AREAS, delay=0) for _ in range(n)]
    populations = []
    for k in range(n):
        seed, target = divmod(k, N_AREAS)
        population = DRMPopulation(2 * N_AREAS - 1, 1, negative_slope=1.0, mask=_seen(target, own))
        with torch.no_grad():
            row = np.delete(coupling[seed, target], target)
            values = np.concatenate([np.full(N_AREAS, gain), row])
            population.weight.copy_(torch.as_tensor(values).float() * population.mask)
        population.bias.requires_grad_(False)
        populations.append(population)
    weight = torch.eye(n)
    readout = BOLDReadout(n, n, resolution=TICK, weight=weight) if bold else DRMReadout(n, n, weight=weight)
    readout.confound_weight.requires_grad_(False)
    return DRMNet(populations, lines, connect(populations, present=present, delays=1), readout)


def _seen(target: int, own: bool) -> np.ndarray:
    stimulus = np.eye(N_AREAS)[target] if own else np.eye(N_AREAS)[0] * (target == 0)
    return np.concatenate([stimulus, np.ones(N_AREAS - 1)])[None]


def _coupling_of(net: DRMNet) -> np.ndarray:
    found = np.zeros((N_SEEDS, N_AREAS, N_AREAS))
    for k, population in enumerate(net.populations):
        seed, target = divmod(k, N_AREAS)
        row = population.input_weights()[0, N_AREAS:].detach().numpy()
        found[seed, target] = np.insert(row, target, 0.0)
    return found


def _auroc(scores: np.ndarray, present: np.ndarray) -> float:
    off = ~np.eye(N_AREAS, dtype=bool)
    positive, negative = np.abs(scores[off & present]), np.abs(scores[off & ~present])
    difference = positive[:, None] - negative[None]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def coupling(*, own: bool, bold: bool, decibel: float, missing: float = 0.0, epochs: int = 100) -> dict[str, str]:
    """Return a row of the table of coupling."""
    truth = _planted()
    generator = torch.Generator().manual_seed(0)
    stimulus = torch.randn(N_TICKS, N_RUNS, N_AREAS, generator=generator)
    ticks = TICK * np.arange(N_TICKS)
    with torch.no_grad():
        clean, _ = DRM(_net(truth, 1.0, own=own, bold=bold)).forward(DRMIterator(TICK, stimulus, ticks))
    scale = clean.std(dim=(0, 1)) * 10 ** (-decibel / 20)
    noisy = clean + scale * torch.randn(clean.shape, generator=generator)
    noisy[torch.rand(clean.shape, generator=generator) < missing] = math.nan
    step = 2 if bold else 1
    data = DRMIterator(TICK, stimulus, ticks, noisy[::step].numpy(), ticks[::step])
    start = 0.1 * (2 * torch.rand(truth.shape, generator=generator).numpy() - 1)
    net = _net(start, 0.5, own=own, bold=bold)
    DRM(net, learning_rate=0.02).estimate(data, n_epochs=epochs)
    found = _coupling_of(net)
    measured = noisy[::step].numpy().reshape(-1, N_RUNS, N_SEEDS, N_AREAS)
    seen = stimulus[::step].numpy()
    areas, regressions, correlations, errors = [], [], [], []
    off = ~np.eye(N_AREAS, dtype=bool)
    for seed in range(N_SEEDS):
        present = truth[seed] != 0
        areas.append(_auroc(found[seed], present))
        errors.append(float(np.sqrt(np.square(found[seed] - truth[seed])[off].mean())))
        series = measured[:, :, seed]
        regressions.append(_auroc(_autoregression(series, seen), present))
        rows = series.reshape(-1, N_AREAS)
        rows = rows[~np.isnan(rows).any(1)]
        with np.errstate(invalid="ignore"):
            # A population that nothing reaches is constant: it correlates with nobody.
            correlations.append(_auroc(np.nan_to_num(np.corrcoef(rows.T)), present))
    return {
        "stimulus": "each its own" if own else "to the first only",
        "measured": "BOLD, 1 s" if bold else "populations, 0.5 s",
        "noise": f"{decibel:g} dB",
        "AUROC, DRM": _spread(areas),
        "AUROC, autoregression": _spread(regressions),
        "AUROC, correlation": _spread(correlations),
        "error of weights, DRM": _spread(errors),
    }


def _autoregression(series: np.ndarray, stimulus: np.ndarray) -> np.ndarray:
    """Return the coefficients (target, source) of the past, given past and stimulus; frames with gaps are left out."""
    past, present = series[:-1].reshape(-1, N_AREAS), series[1:].reshape(-1, N_AREAS)
    design = np.concatenate([past, stimulus[1:].reshape(-1, N_AREAS), np.ones((len(past), 1))], axis=1)
    whole = ~(np.isnan(design).any(1) | np.isnan(present).any(1))
    return np.linalg.lstsq(design[whole], present[whole], rcond=None)[0][:N_AREAS].T


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _own_lines(lines: list[DRMConnection]) -> DRMNet:
    """Return a linear population for each line, which carries a stimulus of its own to it."""
    n = len(lines)
    populations = [DRMPopulation(1, 1, negative_slope=1.0) for _ in lines]
    for population in populations:
        torch.nn.init.ones_(population.weight)
    ws = {f"stimulus {k}": [line if i == k else None for i in range(n)] for k, line in enumerate(lines)}
    return DRMNet(populations, ws, [[None] * n] * n, DRMReadout(n, n, weight=torch.eye(n)))


def _peaks(stimulus: Tensor, measured: Tensor, n_lags: int) -> np.ndarray:
    """Return the lag in ticks at which each line's cross-correlation is largest."""
    x, y = stimulus[:, 0].numpy(), measured[:, 0].numpy()
    return np.array(
        [max(range(n_lags), key=lambda lag: float(x[: len(x) - lag, k] @ y[lag:, k])) for k in range(x.shape[1])]
    )


def _fit(net: DRMNet, lines: list, stimulus: Tensor, target: Tensor, learned: list, widest: float, steps: int) -> None:
    optimizer = torch.optim.Adam([*learned, *(p.weight for p in net.populations)], lr=0.1)
    for step in range(steps):
        for line in lines:
            line.width = max(1.0, widest * (1 - 1.5 * step / steps))
        net.reset()
        optimizer.zero_grad()
        (net.run(stimulus)[0] - target).square().mean(dim=(0, 1)).sum().backward()
        optimizer.step()


def delays() -> list[dict[str, str]]:
    """Return the rows of the table of delays."""
    generator = torch.Generator().manual_seed(0)
    stimulus = torch.randn(12_000, 1, N_SEEDS, generator=generator)

    def lines(initial: float) -> list[DRMConnection]:
        return [LearnedDelayConnection(resolution=5, initial=initial, minimum=0, maximum=100) for _ in range(N_SEEDS)]

    with torch.no_grad():
        clean, _ = _own_lines(lines(37.0)).run(stimulus)
    target = clean + clean.std() / math.sqrt(10) * torch.randn(clean.shape, generator=generator)
    baseline = np.abs(5 * _peaks(stimulus, target, 21) - 37.0)
    rows = []
    for initial in (10.0, 90.0):
        own = lines(initial)
        net = _own_lines(own)
        _fit(net, own, stimulus, target, [line.raw_delay for line in own], 20.0, 120)
        errors = np.array([abs(float(line.milliseconds().detach()) - 37.0) for line in own])
        rows.append(
            {
                "start": f"{initial:g} ms",
                "found within half a tick": f"{int((errors < 2.5).sum())} of {N_SEEDS}",
                "largest error (ms), DRM": f"{errors.max():.2f}",
                "largest error (ms), cross-correlation": f"{baseline.max():.2f}",
            }
        )
    return rows


def velocities() -> list[dict[str, str]]:
    """Return the rows of the table of velocities."""
    lengths = np.linspace(20.0, 150.0, 10)
    rows = []
    for initial in (3.0, 10.0):
        errors, baselines = [], []
        for seed in range(5):
            generator = torch.Generator().manual_seed(seed)
            stimulus = torch.randn(10_000, 1, len(lengths), generator=generator)

            def tracts(velocity: Velocity) -> list[DRMConnection]:
                return [TractConnection(resolution=2, length=float(x), velocity=velocity, slowest=2.0) for x in lengths]

            with torch.no_grad():
                clean, _ = _own_lines(tracts(Velocity(6.0))).run(stimulus)
            target = clean + clean.std() / math.sqrt(10) * torch.randn(clean.shape, generator=generator)
            velocity = Velocity(initial)
            own = tracts(velocity)
            net = _own_lines(own)
            _fit(net, own, stimulus, target, [velocity.log_value], 15.0, 60)
            errors.append(abs(float(velocity().detach()) / 6.0 - 1))
            peaks = 2.0 * _peaks(stimulus, target, 40)
            baselines.append(abs(float(lengths @ lengths / (lengths @ peaks)) / 6.0 - 1))
        rows.append(
            {
                "start": f"{initial:g} m/s",
                "found within 5 %": f"{sum(error < 0.05 for error in errors)} of 5",
                "largest error, DRM": f"{max(errors):.2%}",
                "largest error, cross-correlation": f"{max(baselines):.2%}",
            }
        )
    return rows


def responses() -> list[dict[str, str]]:
    """Return the rows of the table of haemodynamic responses."""
    rng = np.random.default_rng(0)
    delays_of_voxels = rng.uniform(5.5, 8.5, 10)
    generator = torch.Generator().manual_seed(0)
    activity = torch.rand(600, 1, 10, generator=generator)
    truth = BOLDReadout(10, 10, resolution=1000, learn=["peak_delay"], weight=torch.eye(10))
    with torch.no_grad():
        raw = torch.as_tensor(delays_of_voxels).float()
        truth.raw_hrf["peak_delay"].copy_(torch.log(torch.expm1(raw)))
        clean = truth.run(activity)[40:]
        peaks = _peak_times(truth)
    target = clean + clean.std(dim=(0, 1)) * torch.randn(clean.shape, generator=generator)
    fitted = {
        "double gamma, learned": BOLDReadout(10, 10, resolution=1000, learn=["peak_delay"], weight=torch.eye(10)),
        "canonical with derivatives": BasisReadout(10, 10, resolution=1000, weight=torch.eye(10)),
        "free (FIR, 2 s)": BasisReadout(10, 10, resolution=1000, basis="fir", weight=torch.eye(10)),
    }
    errors = {"canonical for all (baseline)": np.abs(5.0 - peaks)}
    for name, readout in fitted.items():
        learned = [p for key, p in readout.named_parameters() if "confound" not in key]
        optimizer = torch.optim.Adam(learned, lr=0.03)
        for _ in range(400):
            optimizer.zero_grad()
            readout.reset()
            (readout.run(activity)[40:] - target).square().mean(dim=(0, 1)).sum().backward()
            optimizer.step()
        errors[name] = np.abs(_peak_times(readout) - peaks)
    return [
        {"response": name, "mean error of the peak (s)": f"{e.mean():.2f}", "largest (s)": f"{e.max():.2f}"}
        for name, e in errors.items()
    ]


@torch.no_grad()
def _peak_times(readout: BOLDReadout | BasisReadout) -> np.ndarray:
    """Return each response's peak in seconds, by a parabola through the three largest neighbours."""
    found = []
    for response in readout.response.numpy():
        k = int(np.clip(response.argmax(), 1, len(response) - 2))
        before, top, after = response[k - 1 : k + 2]
        bend = before - 2 * top + after
        found.append(k + (0.0 if bend == 0 else 0.5 * (before - after) / bend))
    return np.array(found) * readout.resolution / 1000


TABLES = {
    "Haemodynamic response": responses,
    "Coupling": lambda: [
        coupling(own=own, bold=bold, decibel=decibel)
        for own in (True, False)
        for bold in (False, True)
        for decibel in (10.0, 0.0)
    ],
    "Missing data": lambda: [
        {"missing": f"{missing:.0%}", **coupling(own=True, bold=False, decibel=10.0, missing=missing)}
        for missing in (0.0, 0.3, 0.7)
    ],
    "Delays": delays,
    "Velocity": velocities,
}


def main(arguments: list[str]) -> int:
    """Run the tables that are named, print them and write them into the page of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES), metavar="NAME")
    chosen = parser.parse_args(arguments).tables
    STORE.parent.mkdir(parents=True, exist_ok=True)
    found = json.loads(STORE.read_text(encoding="utf-8")) if STORE.is_file() else {}
    for name in chosen:
        found[name] = TABLES[name]()
        print(f"\n{name}\n{_markdown(found[name])}", flush=True)
        # Written table by table: what took minutes is not lost to what comes after.
        STORE.write_text(json.dumps(found, indent=2), encoding="utf-8")
        _write_page(found)
    return 0


def _write_page(found: dict[str, list[dict[str, str]]]) -> None:
    head, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    tables = "\n".join(f"### {name}\n\n{_markdown(found[name])}" for name in TABLES if name in found)
    PAGE.write_text(f"{head}{BEGIN}\n\n{tables}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def _markdown(rows: list[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
