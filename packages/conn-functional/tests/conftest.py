"""What all tests of conn.functional share: precision, quick compiling, a generator, the record of the op matrix."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # op_case and op_record, which --import-mode=importlib does not find

import op_record


@pytest.fixture(autouse=True, scope="module")
def double_precision() -> Iterator[None]:
    """Switch float64 on for each test module of this folder, and leave other packages' tests as they were."""
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(autouse=True, scope="module")
def without_optimisations() -> Iterator[None]:
    """Compile without LLVM's optimisations: most programs here run once or twice on small arrays, and it is a third."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def rng() -> np.random.Generator:
    """Return the same generator for every test."""
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session")
def op_cells(request: pytest.FixtureRequest) -> op_record.Cells:
    """Return the outcomes by case and check, which the op matrix's tests fill."""
    return request.config.stash.setdefault(_CELLS, {})


@pytest.fixture(scope="session")
def op_matrix_writer(request: pytest.FixtureRequest) -> Callable[[Callable[[op_record.Cells], list | None]], None]:
    """Return the function that takes what builds the rows; it is called at the session's end."""

    def register(build: Callable[[op_record.Cells], list | None]) -> None:
        request.config.stash[_BUILD] = build

    return register


def pytest_sessionfinish(session: pytest.Session) -> None:
    build, root = session.config.stash.get(_BUILD, None), op_record.repository_root()
    if build is None or root is None:
        return
    worker = getattr(session.config, "workerinput", {})
    parts = op_record.merge_parts(
        session.config.stash.get(_CELLS, {}),
        run=worker.get("testrunuid", f"alone-{os.getpid()}"),
        worker=worker.get("workerid", "alone"),
    )
    if parts is None:
        return
    cells, folder = parts
    rows = build(cells)
    if rows is not None:
        path = op_record.matrix_path(root)
        op_record.write_json(path, {"sources": op_record.sources_digest(root), "jax": jax.__version__, "rows": rows})
        op_record.remove_parts(folder)
    elif not worker:
        op_record.remove_parts(folder)


_CELLS = pytest.StashKey[op_record.Cells]()
_BUILD = pytest.StashKey[Callable[[op_record.Cells], list | None]]()
