"""What all tests of conn.loss share: quick compiling."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def without_optimisations() -> Iterator[None]:
    """Compile without LLVM's optimisations: most programs here run once or twice on small arrays."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
