"""An epoch of the published tutorial on the 30 real scans: the text, our model, and a textbook's way.

Protocol
--------
*Peer*: the arithmetic of the original written down anew in plain JAX as a textbook has it, on the same JAX: each
community centres the series about its own mean, covariances are divided by deviations, the modularity matrix and the
co-affiliation of each community are formed and multiplied, and everything is differentiated by JAX. Its modularity
has the mended sign and the sum over all pairs, as ours has. It goes scan by scan, since the centred and weighted
copies of all scans at once would take 7.8 GB.

*Rows*: ``text`` is the text as it stands but for the modules of its imports: its own functions, called by its own
loop. It and the peer start from the same values and take turns, an epoch each, for 20 epochs (four a repeat); the
difference is the largest of the objective relative to the peer's. ``rectified`` is
`conn.models.DynamicCommunityModel` with the same objective, through its public interface, which draws its own initial
values; the time of an epoch is that of 8 further ones. ``constant-potts`` and ``correlation`` are the same with
*other* objectives, which need no matrix: 20,000 further epochs, since a fit's preparation takes seconds. Of each length
the shorter of two fits counts.

``fits`` are whole fits of our model with default settings otherwise: seconds on the clock, compilation included.

*Measures*: seconds of the process an epoch, median, compilation apart, on one core. Memory is the peak of the process
while it compiles and trains above what it held with the scans. "To 1 %" is the time of as many epochs as it takes
until the objective stays within 1 % of its last value, of 200 epochs (the model's default) for the objectives without
a matrix, of 500 for the others, where it is taken from the course of `tutorial_real` that has come furthest, which
the remark names.

*To reach*: ``text`` at least 2 times as fast as the peer, with differences of at most 1e-4, and at most 1 GiB; the
objectives without a matrix at least 80 times.
"""

import functools
import os
import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from operators import _resident_from_now_on, _status
from tutorial_real import EPOCHS, courses, epochs_to_one_percent, set_up

COLUMNS = ("row", "peer_seconds", "seconds", "ratio", "target", "largest_difference", "peak_gib_above_scans", "remark")
EPOCHS_A_REPEAT, N_FREE_EPOCHS, N_MANY_EPOCHS = 4, 200, 20_002
PEER = "a textbook's way, scan by scan"

FITS: dict[str, dict[str, Any]] = {
    "likelihood (defaults)": {},
    "constant Potts": {"objective": "constant_potts"},
    "constant Potts, resolution of the halves, refined": {
        "objective": "constant_potts",
        "resolution": "halves",
        "refine": True,
    },
}

Result = dict[str, Any]


def textbook(names: dict[str, Any]) -> Callable[[Any, Any], Any]:
    """Return one epoch of the original's arithmetic, with the text's strengths and optimiser."""
    gamma, optim = names["gamma"], names["optim"]

    def modularity_matrix(correlation: jax.Array) -> jax.Array:
        positive = jax.nn.relu(correlation)
        out, into = positive.sum(-1, keepdims=True), positive.sum(-2, keepdims=True)
        total = out.sum(-2, keepdims=True)
        return (positive - gamma * (out @ into) / total) / total

    def correlation(series: jax.Array, weight: jax.Array) -> jax.Array:
        total = weight.sum(-1)[:, None, None]
        mean = (series * weight[:, None]).sum(-1, keepdims=True) / total
        centred = series - mean
        divisor = total - (weight**2).sum(-1)[:, None, None] / total
        covariance = (centred * weight[:, None]) @ jnp.swapaxes(centred, -1, -2) / divisor
        deviation = jnp.sqrt(jnp.diagonal(covariance, axis1=-2, axis2=-1))
        return covariance / (deviation[:, :, None] * deviation[:, None, :])

    def objective(parameters: tuple[jax.Array, jax.Array], series: jax.Array) -> jax.Array:
        communities, dynamics = jax.nn.softmax(parameters[0], -1), jax.nn.sigmoid(parameters[1])
        together = communities @ communities.T
        shared = communities.T[:, :, None] * communities.T[:, None, :]
        shared = jnp.where(jnp.eye(len(communities), dtype=bool), 0.0, shared)

        def of_scan(scan: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            one, activity = scan
            plain = modularity_matrix(correlation(one[None], jnp.ones((1, one.shape[-1]))))
            weighted = modularity_matrix(correlation(one[None], activity))
            return (plain * together).sum(), (weighted * shared).sum((-1, -2)).mean()

        modularity, cohesion = jax.lax.map(of_scan, (series, dynamics))
        rough = jnp.linalg.norm(jnp.diff(dynamics), axis=-1).mean()
        between = jnp.abs(jnp.abs(dynamics - 0.5) - 0.5).mean()
        return (
            -names["modularity_nu"] * modularity.mean()
            - names["dynamic_community_nu"] * cohesion.mean()
            + names["smoothness_nu"] * rough
            + names["bimodal_symmetric_nu"] * between
        )

    @jax.jit
    def epoch(state: Any, series: jax.Array) -> Any:
        parameters, memory = state
        loss, gradient = jax.value_and_grad(objective)(parameters, series)
        updates, memory = optim.update(gradient, memory, parameters)
        return (optax.apply_updates(parameters, updates), memory), loss

    return epoch


def _start(names: dict[str, Any]) -> tuple[Any, Any]:
    """Return the text's initial values, free, and the optimiser's memory for them."""
    parameters = (names["model"].affiliation.original, names["model"].dynamics.original)
    return parameters, names["optim"].init(parameters)


def epochs_of_the_text(names: dict[str, Any]) -> Callable[[int], float]:
    """Return what runs an epoch of the text's own loop, given its number, and gives the objective before the step."""
    model, memory = names["model"], names["optim_state"]
    update = eqx.filter_jit(names["update"])

    def epoch(number: int) -> float:
        nonlocal model, memory
        key = jax.random.fold_in(names["key_train"], number)
        series, scheme, optim = names["time_series"], names["loss_scheme"], names["optim"]
        model, memory, loss, _ = update(model, series, scheme, optim, memory, key=key)
        return float(loss)

    return epoch


def epochs_of_the_textbook(names: dict[str, Any]) -> Callable[[int], float]:
    """Return the same of the peer, which starts from the text's initial values."""
    state, step = _start(names), textbook(names)

    def epoch(number: int) -> float:
        nonlocal state
        state, loss = step(state, names["time_series"])
        return float(loss)

    return epoch


@functools.cache
def side_by_side(n_epochs: int) -> dict[str, Any]:
    """Return what epochs of the text and of the peer, in turn, took and gave."""
    names = set_up(0)
    jax.block_until_ready(names["time_series"])
    before = _resident_from_now_on()
    text_epoch = epochs_of_the_text(names)
    begin = time.perf_counter()
    losses, spent, walls = [text_epoch(0)], [], []
    first = time.perf_counter() - begin
    peak = _status("VmHWM") - before
    peer_epoch = epochs_of_the_textbook(names)
    peer_losses, peer_spent = [peer_epoch(0)], []
    for number in range(1, n_epochs):
        begin, wall = time.process_time(), time.perf_counter()
        losses.append(text_epoch(number))
        spent.append(time.process_time() - begin)
        walls.append(time.perf_counter() - wall)
        begin = time.process_time()
        peer_losses.append(peer_epoch(number))
        peer_spent.append(time.process_time() - begin)
        told = (
            f"epoch {number}: {spent[-1]:.2f} s, {losses[-1]:.6f}; peer {peer_spent[-1]:.2f} s, {peer_losses[-1]:.6f}"
        )
        print(told, flush=True)
    return {
        "seconds": statistics.median(spent),
        "wall_seconds": statistics.median(walls),
        "peer_seconds": statistics.median(peer_spent),
        "peak_gib": peak / 2**30,
        "difference": float(np.max(np.abs(np.array(losses) / np.array(peer_losses) - 1))),
        "first_epoch_seconds": first,
    }


def text(repeats: int) -> list[Result]:
    """Return the row of the text."""
    n_epochs = EPOCHS_A_REPEAT * repeats
    found = side_by_side(n_epochs)
    remark = f"difference over {n_epochs} epochs; {_to_one_percent(found['seconds'])}"
    return [_line("tutorial text", "the text", found, 2.0, found["difference"], remark)]


def model(repeats: int, *, objective: Literal["rectified", "constant_potts", "correlation"]) -> list[Result]:
    """Return the row of our model with one of its objectives."""
    from conn.data import fetch_msc
    from conn.models import DynamicCommunityModel

    scans = fetch_msc().time_series
    jax.block_until_ready(jax.jit(jnp.sum)(scans))
    before = _resident_from_now_on()

    def fitted(n_epochs: int) -> tuple[float, DynamicCommunityModel]:
        begin = time.process_time()
        fit = DynamicCommunityModel(objective=objective, n_epochs=n_epochs, progress=False).fit(scans)
        return time.process_time() - begin, fit

    same = objective == "rectified"
    n_epochs = 10 if same else N_MANY_EPOCHS
    fitted(2)  # compiles
    few = min(fitted(2)[0] for _ in range(2))
    many = min(fitted(n_epochs)[0] for _ in range(2))
    peak = _status("VmHWM") - before
    found = side_by_side(EPOCHS_A_REPEAT * repeats) | {
        "seconds": (many - few) / (n_epochs - 2),
        "peak_gib": peak / 2**30,
    }
    if same:
        remark = _to_one_percent(found["seconds"])
    else:
        near = epochs_to_one_percent(fitted(N_FREE_EPOCHS)[1].history_["Total"])
        remark = f"another objective; to 1 %: {near} epochs, {near * found['seconds']:.1f} s"
    row = f"our model, {'the same objective' if same else objective.replace('_', ' ')}"
    target = 2.0 if same else 80.0
    return [_line(row, "conn.models.DynamicCommunityModel", found, target, np.nan, remark)]


def whole_fits(repeats: int) -> list[Result]:
    """Return the seconds on the clock of whole fits, compilation included, each once."""
    del repeats
    from conn.data import fetch_msc
    from conn.models import DynamicCommunityModel

    scans = fetch_msc().time_series
    results = []
    for name, settings in FITS.items():
        begin = time.perf_counter()
        model = DynamicCommunityModel(10, progress=False, **settings).fit(scans)
        results.append(
            {
                "row": f"whole fit, {name}",
                "dtype": "float32",
                "peer": "",
                "cores": len(os.sched_getaffinity(0)),
                "seconds": time.perf_counter() - begin,
                "remark": f"{len(np.unique(model.labels_))} communities",
            }
        )
    return results


def _to_one_percent(seconds: float) -> str:
    whole, short = courses("whole").get(0), courses("short").get(0)
    complete = whole is not None and len(whole["losses"]) == EPOCHS
    told = whole if complete else short
    if told is None:
        return "to 1 %: not known"
    near = epochs_to_one_percent(told["losses"])
    source = "the whole text" if complete else "the short way"
    return f"to 1 %: {near} epochs (by {source}), {near * seconds:.0f} s"


def _line(row: str, ours: str, found: dict[str, Any], target: float, difference: float, remark: str) -> Result:
    memory = f"{found['peak_gib']:.2f} GiB above the scans"
    return {
        "row": row,
        "estimator": ours,
        "dtype": "float32",
        "peer": PEER,
        "cores": len(os.sched_getaffinity(0)),
        "seconds": found["seconds"],
        "peer_seconds": found["peer_seconds"],
        "ratio": found["peer_seconds"] / found["seconds"],
        "target": target,
        "largest_difference": difference,
        "peak_gib_above_scans": found["peak_gib"],
        "remark": f"{memory}; {remark}",
    }


ROWS: dict[str, Callable[[int], list[Result]]] = {
    "text": text,
    "rectified": functools.partial(model, objective="rectified"),
    "constant-potts": functools.partial(model, objective="constant_potts"),
    "correlation": functools.partial(model, objective="correlation"),
    "fits": whole_fits,
}


def rows(repeats: int = 1, names: list[str] | None = None) -> list[Result]:
    """Return the results of the named rows, all by default; a repeat is four epochs of text and peer."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]
