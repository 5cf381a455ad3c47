"""A small data set in miniMSC's layout, and a loopback server that misbehaves on request."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

N_REGIONS = 400
LENGTHS = {"rest": 12, "motor": 9}


@pytest.fixture(autouse=True)
def _no_real_folders(request, monkeypatch, tmp_path):
    """Keep the user's own data and cache out of every test that does not ask for real data."""
    if request.node.get_closest_marker("realdata") is None:
        monkeypatch.delenv("CONN_DATA_DIR", raising=False)
    monkeypatch.setenv("CONN_CACHE_DIR", str(tmp_path / "default-cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a skip that says what is missing."""
    named = os.environ.get("CONN_DATA_DIR")
    if not named:
        pytest.skip("CONN_DATA_DIR is not set")
    if not (Path(named) / "miniMSC").is_dir():
        pytest.skip("CONN_DATA_DIR holds no miniMSC")
    return Path(named)


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
