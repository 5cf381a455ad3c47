"""Small data sets in the layouts of miniMSC and the Allen atlas, and a loopback server that misbehaves on request."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

N_REGIONS = 400
LENGTHS = {"rest": 12, "motor": 9}


@pytest.fixture(autouse=True)
def _no_real_folders(request, monkeypatch, tmp_path):
    """Keep the user's own data and cache out of every test that does not ask for real data."""
    if request.node.get_closest_marker("realdata") is None:
        monkeypatch.delenv("CONN_DATA_DIR", raising=False)
    monkeypatch.setenv("CONN_CACHE_DIR", str(tmp_path / "default-cache"))


@dataclass
class SmallSet:
    """Two people, two sessions, rest and (for the first person) motor."""

    root: Path
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def registry(self) -> Path:
        return self.root / "registry.csv"

    def write_registry(self) -> None:
        lines = ["path,sha256,bytes"]
        lines += [f"{path},{hashlib.sha256(body).hexdigest()},{len(body)}" for path, body in self.contents.items()]
        self.registry.write_text("\n".join(lines) + "\n")

    def write_tree(self, folder: Path) -> Path:
        """Lay the files out as a data folder and return it."""
        for path, body in self.contents.items():
            target = folder / "miniMSC" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
        return folder


def paths_of(subject: str, session: int, task: str) -> tuple[str, str]:
    stem = f"sub-{subject}_ses-func{session:02d}_task-{task}_run-01"
    return f"data/ts/{stem}_schaefer400_ts.1D", f"data/motion/{stem}_relRMS.1D"


@pytest.fixture
def small_set(tmp_path) -> SmallSet:
    rng = np.random.default_rng(0)
    made = SmallSet(tmp_path)
    for subject in ("MSC01", "MSC02"):
        for session in (1, 2):
            for task in ("rest", "motor") if subject == "MSC01" else ("rest",):
                series, motion = paths_of(subject, session, task)
                values = rng.standard_normal((LENGTHS[task], N_REGIONS))
                made.contents[series] = (
                    "\n".join(" ".join(f"{value:.3f}" for value in row) for row in values) + "\n"
                ).encode()
                trace = np.abs(rng.standard_normal(LENGTHS[task]))
                trace[0] = 0
                made.contents[motion] = "".join(f"{value:.4f}\n" for value in trace).encode()
    made.write_registry()
    return made


@dataclass
class Server:
    """What the loopback server serves, how it misbehaves, and what it was asked."""

    url: str
    contents: dict[str, bytes]
    misbehave: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    server: "_HTTPServer"

    def do_GET(self) -> None:
        state = self.server.state
        path = self.path.lstrip("/")
        state.asked.append(path)
        body = state.contents.get(path)
        queue = state.misbehave.get(path) or state.misbehave.get("*") or []
        how = queue.pop(0) if queue else "serve"
        if body is None or how == "404":
            self._answer(404, b"not here")
        elif how in ("403", "429", "500", "503"):
            self._answer(int(how), b"", {"Retry-After": "0"})
        elif how == "drop":
            self.close_connection = True
        elif how == "break off":
            self._head(200, {"Content-Length": str(len(body))})
            self.wfile.write(body[: len(body) // 2])
        elif how == "short":
            self._answer(200, body[: len(body) // 2])
        elif how == "wrong":
            self._answer(200, body[:-1] + b" ")
        elif how == "long":
            self._answer(200, body + b"more")
        elif how == "slow":
            self._head(200, {"Content-Length": str(len(body))})
            for begin in range(0, len(body), 128):
                try:
                    self.wfile.write(body[begin : begin + 128])
                except OSError:
                    return
                time.sleep(0.15)
        elif how == "hang":
            time.sleep(1.0)
            self.close_connection = True
        else:
            time.sleep(0.05 if how == "late" else 0)
            self._answer(200, body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, {"Content-Length": str(len(body)), **(headers or {})})
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the tests read what was asked from the server's state."""


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    state: Server

    def handle_error(self, request, client_address) -> None:
        """Stay silent: a client that gives up on a slow stream is what some tests provoke."""


@pytest.fixture
def server(small_set) -> Iterator[Server]:
    listener = _HTTPServer(("127.0.0.1", 0), _Handler)
    listener.state = Server(f"http://127.0.0.1:{listener.server_address[1]}", small_set.contents)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield listener.state
    listener.shutdown()
    thread.join()
    listener.server_close()


# Structures of the made-up ontology: number, acronym, part's path.
PARTS = {"cortex": "4005/4006/4007/4008", "subcortex": "4005/4006/4275", "white matter": "4005/9218"}


@dataclass
class AllenFolder:
    """Where the donors lie, and what was planted in them."""

    folder: Path
    regions: pd.DataFrame
    maps: pd.DataFrame
    samples: dict[str, pd.DataFrame]

    def file(self, donor: str, name: str) -> Path:
        return self.folder / f"normalized_microarray_donor{donor}" / name

    def edit(self, donor: str, name: str, change) -> Path:
        path = self.file(donor, name)
        path.write_bytes(change(path.read_bytes()))
        return path


def regions_of(n_cortex: int = 8, n_subcortex: int = 2) -> pd.DataFrame:
    """Regions on a line in each hemisphere, 20 mm apart."""
    rows = []
    for side, sign in (("L", -1), ("R", 1)):
        for kind, count, height in (("cortex", n_cortex, 40.0), ("subcortex", n_subcortex, 0.0)):
            rows += [
                (f"{side}_{kind}_{number}", side, kind, sign * 30.0, -80 + 20.0 * number, height)
                for number in range(count)
            ]
    table = pd.DataFrame(rows, columns=["label", "hemisphere", "structure", "x", "y", "z"])
    return table.assign(id=np.arange(1, len(table) + 1))


def _write_donors(
    folder: Path,
    *,
    donors: tuple[str, ...] = ("9861", "10021", "12876"),
    bilateral: tuple[str, ...] = ("9861",),
    n_genes: int = 30,
    per_region: int = 3,
    noise: float = 0.2,
    spread: float = 0.5,
    empty: tuple[str, ...] = (),
    seed: int = 0,
) -> AllenFolder:
    """Write donors whose genes follow maps over regions; every gene has a good, a noisy and a background probe.

    Probes of gene g are 10 g + 1 (its map and noise), 10 g + 2 (noise of twice the size alone, brighter), and
    10 g + 3 (its map, below the background in most samples). Gene ``NOENTREZ`` has no Entrez number.
    """
    rng = np.random.default_rng(seed)
    regions = regions_of()
    genes = [f"G{number:03d}" for number in range(n_genes)]
    maps = pd.DataFrame(rng.normal(size=(len(regions), n_genes)), index=regions["label"], columns=genes)
    structures = pd.DataFrame(
        [(100 + 2 * row + (side == "R"), f"{kind}-{row}", side, kind)
         for row, kind in enumerate(["cortex"] * 8 + ["subcortex"] * 2) for side in "LR"],
        columns=["id", "acronym", "hemisphere", "part"],
    )  # fmt: skip
    numbers = [10 * gene + place for gene in range(n_genes) for place in (1, 2, 3)] + [99999]
    made = AllenFolder(folder, regions, maps, {})
    for donor in donors:
        kept = regions[~regions["label"].isin(empty)]
        if donor not in bilateral:
            kept = kept[kept["hemisphere"] == "L"]
        samples = kept.loc[kept.index.repeat(per_region)].reset_index(drop=True)
        places = samples[["x", "y", "z"]].to_numpy() + rng.uniform(-spread, spread, (len(samples), 3))
        row = samples["label"].str.rsplit("_").str[-1].astype(int) + 8 * (samples["structure"] == "subcortex")
        identifiers = 100 + 2 * row + (samples["hemisphere"] == "R")
        signal = maps.loc[samples["label"]].to_numpy()
        values = np.empty((len(numbers), len(samples)))
        values[0:-1:3] = 8 + signal.T + noise * rng.normal(size=signal.T.shape)
        values[1:-1:3] = 10 + 2 * rng.normal(size=signal.T.shape)
        values[2:-1:3] = 3 + signal.T
        values[-1] = 5
        values += rng.normal()  # a donor's own level
        calls = np.ones(values.shape, dtype=int)
        calls[2:-1:3, : int(0.7 * len(samples))] = 0
        place = folder / f"normalized_microarray_donor{donor}"
        place.mkdir(parents=True)
        for name, table, form in (("MicroarrayExpression", values, "%.6f"), ("PACall", calls, "%d")):
            pd.DataFrame(table, index=numbers).to_csv(place / f"{name}.csv", header=False, float_format=form)
        annotation = pd.DataFrame(
            {
                "structure_id": identifiers,
                "slab_num": 1,
                "well_id": 1000 * int(donor) + np.arange(len(samples)),
                "structure_name": '"name, with a comma"',
                "mni_x": places[:, 0],
                "mni_y": places[:, 1],
                "mni_z": places[:, 2],
            }
        )
        annotation.to_csv(place / "SampleAnnot.csv", index=False)
        pd.DataFrame(
            {
                "probe_id": numbers,
                "probe_name": [f"P_{number}" for number in numbers],
                "gene_symbol": np.append(np.repeat(genes, 3), "NOENTREZ"),
                "entrez_id": [*(f"{7000 + number}" for number in range(3 * n_genes)), ""],
            }
        ).to_csv(place / "Probes.csv", index=False)
        paths = [f"/{PARTS[kind]}/{number}/" for number, kind in zip(structures["id"], structures["part"], strict=True)]
        structures.drop(columns="part").assign(structure_id_path=paths).to_csv(place / "Ontology.csv", index=False)
        made.samples[donor] = samples.assign(x=places[:, 0], y=places[:, 1], z=places[:, 2])
    return made


@pytest.fixture(scope="session")
def write_donors() -> Callable[..., AllenFolder]:
    """The function that writes donors in the layout of the Allen Human Brain Atlas' archives."""
    return _write_donors
