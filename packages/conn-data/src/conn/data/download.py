"""Files over HTTP into a folder: several at once, checked, each moved into place when whole."""

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from conn.data.errors import DataError, DataUnavailableError
from conn.data.provenance import sha256_of_file

if TYPE_CHECKING:
    import requests

__all__ = ["RemoteFile", "fetch_files", "is_intact"]

# A server that is alive but slower than this is as good as stuck: 3 MB would take an hour.
_SLOWEST_BYTES_PER_SECOND = 1000
_LONGEST_WAIT_SECONDS = 60.0
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, order=True)
class RemoteFile:
    """A file known in advance: its path below the source's address, SHA-256 and size."""

    path: str
    sha256: str
    n_bytes: int


def is_intact(file: RemoteFile, folder: Path) -> bool:
    """Return whether a folder holds a file with the registered size and checksum."""
    path = folder / file.path
    try:
        return path.stat().st_size == file.n_bytes and sha256_of_file(path) == file.sha256
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


def fetch_files(
    files: Sequence[RemoteFile],
    *,
    base_url: str,
    folder: Path,
    n_jobs: int = 4,
    progress: bool = True,
    retries: int = 3,
    retry_wait: float = 1.0,
    timeout: float = 30.0,
    title: str = "download",
) -> None:
    """Bring files into a folder, below which they keep their paths.

    Each file is written beside its place under a temporary name, checked, and renamed: an
    interrupted download leaves whole files or none, the next one goes on with what is missing,
    and two processes at once can at worst fetch a file twice.

    Parameters
    ----------
    files : sequence of RemoteFile
        What to fetch, intact or not; the caller leaves out what it has.
    base_url : str
        ``http://`` or ``https://`` address that the files' paths are relative to.
    folder : path
        Where to; made if it does not exist.
    n_jobs : int, default 4
        Files at once.
    progress : bool, default True
        Whether to show a progress bar on standard error.
    retries : int, default 3
        Further tries after a dropped connection, a short body, a stuck server, or status 408,
        425, 429, 500, 502, 503, 504.
    retry_wait : float, default 1.0
        Seconds before the first further try; doubles each time, up to 60. A longer
        ``Retry-After`` of the server is respected up to the same limit.
    timeout : float, default 30.0
        Seconds without an answer, or below 1 kB/s, after which a try is given up.
    title : str, default "download"
        What the progress bar says.

    Raises
    ------
    DataError
        If the folder cannot be written, the address is no HTTP address, the server does not have
        a file, or what it sends is not the registered file. Nothing of that file is left behind.
    DataUnavailableError
        If the server cannot be reached or goes on failing.
    """
    from tqdm.auto import tqdm

    if not base_url.startswith(("http://", "https://")):
        raise DataError(f"base_url {base_url!r} begins with neither http:// nor https://")
    if n_jobs < 1:
        raise DataError(f"n_jobs is {n_jobs}, expected at least 1")
    for parent in sorted({(folder / file.path).parent for file in files}):
        _check_writable(parent)
    stop = threading.Event()
    settings = _Settings(base_url.rstrip("/"), folder, retries, retry_wait, timeout, stop)
    executor = ThreadPoolExecutor(max_workers=n_jobs)
    bar = tqdm(
        total=sum(file.n_bytes for file in files),
        desc=title,
        unit="B",
        unit_scale=True,
        disable=not progress,
    )
    try:
        pending = {executor.submit(_download, file, settings): file for file in files}
        for done in as_completed(pending):
            done.result()
            bar.update(pending[done].n_bytes)
    finally:
        # On the way out by an error or an interrupt, what is under way ends at its next chunk.
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)
        bar.close()


@dataclass(frozen=True)
class _Settings:
    base_url: str
    folder: Path
    retries: int
    retry_wait: float
    timeout: float
    stop: threading.Event


class _WorthRetryingError(Exception):
    """A failure that another try may mend, and the seconds that the server asks to wait."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _StoppedError(Exception):
    """Another file has failed, or the user has interrupted; this one's failure says nothing."""


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(f"cannot write into {folder}: {error.strerror}") from error


def _download(file: RemoteFile, settings: _Settings) -> None:
    wait = settings.retry_wait
    for tries_left in range(settings.retries, -1, -1):
        try:
            _transfer(file, settings)
            return
        except _WorthRetryingError as failure:
            if not tries_left:
                raise DataUnavailableError(
                    f"could not fetch {file.path} from {settings.base_url} in {settings.retries + 1} tries: {failure}"
                ) from failure
            pause = min(max(wait, failure.wait), _LONGEST_WAIT_SECONDS)
        if settings.stop.wait(pause):
            raise _StoppedError(file.path)
        wait *= 2


def _transfer(file: RemoteFile, settings: _Settings) -> None:
    target = settings.folder / file.path
    partial: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        partial = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            sink = _Sink(stream, file, settings)
            _receive(f"{settings.base_url}/{file.path}", sink, settings.timeout)
        sink.check()
        # mkstemp makes files that only their owner may read; a cache may be shared.
        partial.chmod(0o644)
        partial.replace(target)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror}") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _receive(url: str, sink: "_Sink", timeout: float) -> None:
    import requests
    from pooch import HTTPDownloader

    responses: list[requests.Response] = []

    def remember(response: "requests.Response", *_args: object, **_settings: object) -> None:
        responses.append(response)

    download = HTTPDownloader(progressbar=False, timeout=timeout, hooks={"response": remember})
    try:
        download(url, sink, None)
    except requests.exceptions.HTTPError as error:
        # The type allows no response; raise_for_status, which raised this, always has one.
        response = cast("requests.Response", error.response)
        status = response.status_code
        if status in _WORTH_ANOTHER_TRY:
            wait = response.headers.get("Retry-After", "")
            raise _WorthRetryingError(
                f"the server answers {status}", float(wait) if wait.isdecimal() else 0.0
            ) from error
        if status == 404:
            raise DataError(f"{url} does not exist (status 404)") from error
        raise DataError(f"{url}: the server answers {status}") from error
    except (
        requests.exceptions.ConnectionError,
        requests.exceptions.Timeout,
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
    ) as error:
        raise _WorthRetryingError(_in_a_few_words(error)) from error
    except requests.exceptions.RequestException as error:
        raise DataError(f"{url}: {error}") from error
    finally:
        # The downloader leaves the connection open when the sink refuses a chunk.
        for response in responses:
            response.close()


def _in_a_few_words(error: Exception) -> str:
    kind = type(error).__name__
    words = {
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "no answer in time",
        "ChunkedEncodingError": "the connection broke off",
        "ContentDecodingError": "the body cannot be decompressed",
        "ProxyError": "the proxy refuses",
        "SSLError": "no trusted connection",
    }
    return words.get(kind, "the connection failed")


class _Sink:
    """A file for the downloader to write to that watches size, checksum and pace."""

    def __init__(self, stream: IO[bytes], file: RemoteFile, settings: _Settings) -> None:
        self._stream = stream
        self._file = file
        self._settings = settings
        self._hash = hashlib.sha256()
        self._received = 0
        self._begin = time.monotonic()

    def write(self, chunk: bytes) -> int:
        if self._settings.stop.is_set():
            raise _StoppedError(self._file.path)
        self._received += len(chunk)
        if self._received > self._file.n_bytes:
            raise DataError(
                f"{self._settings.base_url}/{self._file.path} sends more than the registered {self._file.n_bytes} bytes"
            )
        elapsed = time.monotonic() - self._begin
        if elapsed > self._settings.timeout and (self._received < _SLOWEST_BYTES_PER_SECOND * elapsed):
            raise _WorthRetryingError(f"slower than {_SLOWEST_BYTES_PER_SECOND} bytes a second")
        self._hash.update(chunk)
        return self._stream.write(chunk)

    def flush(self) -> None:
        """Do nothing: the downloader asks for it after every chunk, closing the file suffices."""

    def check(self) -> None:
        if self._received < self._file.n_bytes:
            raise _WorthRetryingError(f"{self._received} of {self._file.n_bytes} bytes came, then the body ended")
        if self._hash.hexdigest() != self._file.sha256:
            raise DataError(
                f"{self._settings.base_url}/{self._file.path} has SHA-256 "
                f"{self._hash.hexdigest()}, registered is {self._file.sha256}"
            )
