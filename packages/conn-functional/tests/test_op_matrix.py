"""Every public function under every transformation: one row a function, generated from what these tests find.

The cases come from the tables ``OP_CASES`` of the other test modules of this folder.
"""

import importlib.util
import inspect
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import op_record
import pytest
from op_case import Arrays, OpCase

import conn.functional
import conn.functional.initialise
import conn.functional.layers

NOT_OPERATIONS = {
    "MappedParameter": "the abstract base of the parametrised values, which have a case each",
    "__version__": "the version",
}
"""Public names that compute nothing, and why. A test module adds its own under the same name."""


UNREADABLE: dict[str, str] = {}
"""Test modules that cannot be imported, and why."""


def _tables() -> Iterator[tuple[dict[str, str], list[OpCase]]]:
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.name == Path(__file__).name or "OP_CASES" not in path.read_text(encoding="utf-8"):
            continue
        name = f"conn_functional_op_cases_{path.stem}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except ImportError as error:  # the other tables are tried all the same
                UNREADABLE[path.name] = str(error)
                continue
            sys.modules[name] = module
        module = sys.modules[name]
        yield getattr(module, "NOT_OPERATIONS", {}), module.OP_CASES


def _cases() -> dict[str, OpCase]:
    found: dict[str, OpCase] = {}
    for reasons, table in _tables():
        NOT_OPERATIONS.update(reasons)
        for case in table:
            key, number = case.name, 1
            while key in found:
                number += 1
                key = f"{case.name}-{number}"
            found[key] = case
    return found


CASES = _cases()
TRACED = [key for key, case in CASES.items() if case.host_only is None]
DIFFERENTIABLE = [key for key in TRACED if CASES[key].not_differentiable is None]
WITH_REFERENCE = [key for key, case in CASES.items() if case.reference is not None]


@pytest.fixture
def tried(request: pytest.FixtureRequest, op_cells: op_record.Cells, op_matrix_writer: Callable) -> Iterator[Callable]:
    """Return the function that notes a check as passed; checks that were begun and not passed have failed."""
    op_matrix_writer(_rows)
    key = request.node.callspec.params["key"]
    outcomes = op_cells.setdefault(key, {})

    def note(*checks: str, passed: bool = False) -> None:
        outcomes.update(dict.fromkeys(checks, op_record.PASSED if passed else op_record.FAILED))

    return note


@pytest.mark.parametrize("key", WITH_REFERENCE)
def test_agrees_with_its_oracle(key: str, tried: Callable) -> None:
    tried("oracle")
    case = CASES[key]
    assert case.reference is not None
    found, expected = _eager(key), jax.tree.leaves(case.reference(*_inputs(key)))
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=case.rtol, atol=case.atol)
    tried("oracle", passed=True)


@pytest.mark.parametrize("key", TRACED)
def test_jit_and_vmap_equal_item_by_item(key: str, tried: Callable) -> None:
    tried("jit", "vmap", "float64", "devices")
    case = CASES[key]
    items = [_inputs(key), _inputs(key, 1)]
    alone = _eager(key)
    for leaf in alone:
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            assert jnp.finfo(leaf.dtype).dtype == jnp.float64, "float64 in, float64 out"
    # The item stands first, then last: its result must not depend on its place or on its neighbour.
    stacked = [jnp.stack(pair) for pair in zip(*items, strict=True)]
    batched = jax.jit(jax.vmap(case.call) if stacked else case.call)
    for place in (0, 1):
        together = jax.tree.leaves(batched(*[jnp.roll(pair, place, axis=0) for pair in stacked]))
        for single, several in zip(alone, together, strict=True):
            found = several[place] if stacked else several
            np.testing.assert_allclose(np.asarray(found), np.asarray(single), rtol=1e-8, atol=1e-9 * _largest(single))
    for backend in _platforms() - {jax.default_backend()}:
        with jax.default_device(jax.devices(backend)[0]):
            elsewhere = jax.tree.leaves(jax.jit(case.call)(*[np.asarray(array) for array in items[0]]))
        for ours, theirs in zip(alone, elsewhere, strict=True):
            np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-6, atol=1e-7 * _largest(ours))
    tried("jit", "vmap", "float64", "devices", passed=True)


@pytest.mark.parametrize("key", DIFFERENTIABLE)
def test_gradient_equals_finite_differences(key: str, tried: Callable) -> None:
    tried("grad")
    inputs = _on_device(_inputs(key))
    value_and_grad = _value_and_grad(key)
    floats, rest = _parted(inputs)
    assert floats, f"{key} has no floating input: give not_differentiable"
    generator = np.random.default_rng([2, zlib.crc32(key.encode())])
    direction = {place: _like(generator, array) for place, array in floats.items()}
    _, gradient = value_and_grad(floats, rest)
    _assert_finite(gradient, f"the gradient of {key}")
    along = sum(float(jnp.real((gradient[place] * step).sum())) for place, step in direction.items())
    scale = sum(float(jnp.abs(gradient[place] * step).sum()) for place, step in direction.items())
    size = max(_largest(array) for array in floats.values())
    errors = []
    for step in (1e-5 * size, 1e-6 * size):  # the larger is better where the function is steep, the smaller near a kink
        ahead, _ = value_and_grad({k: a + step * direction[k] for k, a in floats.items()}, rest)
        behind, _ = value_and_grad({k: a - step * direction[k] for k, a in floats.items()}, rest)
        numeric = float(ahead - behind) / (2 * step)
        errors.append(abs(numeric - along) / max(scale, abs(numeric), 1e-8 * float(jnp.abs(ahead)) / size, 1e-300))
    assert min(errors) < 1e-5, f"derivative {along:.6g} along a random direction, numerically {numeric:.6g}"
    tried("grad", passed=True)


@pytest.mark.parametrize("key", DIFFERENTIABLE)
def test_value_and_gradient_are_finite_at_degenerate_inputs(key: str, tried: Callable) -> None:
    tried("degenerate gradient")
    name = CASES[key].name
    named = [other for other in DIFFERENTIABLE if CASES[other].name == name and CASES[other].degenerate]
    assert named, f"no case of {name} names a degenerate input: zeros will do where nothing is degenerate"
    for label, inputs in CASES[key].degenerate.items():
        value, gradient = _value_and_grad(key)(*_parted(_on_device(inputs)))
        _assert_finite(value, f"{key} at {label}")
        _assert_finite(gradient, f"the gradient of {key} at {label}")
    tried("degenerate gradient", passed=True)


@pytest.mark.parametrize("key", TRACED)
def test_float32_is_kept_and_is_close_to_float64(key: str, tried: Callable) -> None:
    tried("float32")
    case = CASES[key]
    single = [_single(array) for array in _on_device(_inputs(key))]
    leaves = jax.tree.leaves(jax.jit(case.call)(*single))
    for narrow, wide in zip(leaves, _eager(key), strict=True):
        if jnp.issubdtype(wide.dtype, jnp.inexact):
            if single:
                assert jnp.finfo(narrow.dtype).dtype == jnp.float32, f"float32 in, {narrow.dtype} out"
            tolerance = case.rtol32 * _largest(wide)
            np.testing.assert_allclose(np.asarray(narrow), np.asarray(wide), rtol=0, atol=tolerance)
    tried("float32", passed=True)


def test_every_table_can_be_read() -> None:
    assert not UNREADABLE


def test_every_public_name_has_a_case() -> None:
    with_case = {case.name for case in CASES.values()}
    public = set(_public())
    missing = sorted(public - with_case - set(NOT_OPERATIONS))
    assert not missing, f"public, and in no table OP_CASES: {missing}"
    unknown = sorted((with_case | set(NOT_OPERATIONS)) - public)
    assert not unknown, f"in a table, and not public: {unknown}"
    both = sorted(with_case & set(NOT_OPERATIONS))
    assert not both, f"have a case and a reason to have none: {both}"


def test_what_is_no_operation_has_a_reason() -> None:
    assert all(reason.strip() for reason in NOT_OPERATIONS.values())


def test_every_case_names_an_oracle_or_a_property() -> None:
    for key, case in CASES.items():
        assert case.oracle.strip(), f"{key} names no oracle"
        if case.reference is None:
            assert case.oracle.startswith("property:"), f"{key} names {case.oracle} and gives no reference"


def _rows(cells: op_record.Cells) -> list | None:
    """Return the rows of the matrix, or None where not all has been tried."""
    expected, facts = {}, {}
    for key, case in CASES.items():
        why = dict.fromkeys(op_record.CHECKS, "")
        if case.reference is None:
            why["oracle"] = case.oracle
        if case.not_differentiable is not None:
            why.update(dict.fromkeys(("grad", "degenerate gradient"), f"no: {case.not_differentiable}"))
        if case.host_only is not None:
            checks = [check for check in op_record.CHECKS if check != "oracle"]
            why.update(dict.fromkeys(checks, f"host only: {case.host_only}"))
        expected[key] = why
        compared = case.reference is not None
        facts[key] = {
            "name": case.name,
            "module": _module_of(case.name),
            "oracle": case.oracle,
            "tolerance": case.rtol if compared else None,
            "host_only": case.host_only,
        }
        if any(not why[check] and check not in cells.get(key, {}) for check in op_record.CHECKS):
            return None
    rows = op_record.rows_of(expected, cells, facts)
    for row in rows:
        if row["devices"] == op_record.PASSED:
            row["devices"] = ", ".join(sorted(_platforms()))
    # A public name without a case is a row without a trial, so that the documentation is not built without it.
    absent = set(_public()) - {case.name for case in CASES.values()} - set(NOT_OPERATIONS)
    empty = {**dict.fromkeys(op_record.CHECKS, "untried"), "agrees with": [], "tolerance": None, "host only": None}
    rows += [{"name": name, "module": _module_of(name), **empty} for name in sorted(absent)]
    return rows


def _public() -> dict[str, Any]:
    """Return the public objects by name, those of the two further modules from which users import with its name."""
    found = {name: getattr(conn.functional, name) for name in conn.functional.__all__}
    for module in (conn.functional.initialise, conn.functional.layers):
        for name in module.__all__:
            found[f"{module.__name__.removeprefix('conn.functional.')}.{name}"] = getattr(module, name)
    return found


def _module_of(name: str) -> str:
    module = inspect.getmodule(_public()[name])
    return "" if module is None else module.__name__.removeprefix("conn.functional.")


def _platforms() -> set[str]:
    return {jax.default_backend(), "cpu"}


def _inputs(key: str, number: int = 0) -> Arrays:
    return CASES[key].inputs(np.random.default_rng([number, zlib.crc32(key.encode())]))


@cache
def _eager(key: str) -> list[Any]:
    """Return what the function gives outside of any transformation: several tests compare with it."""
    return jax.tree.leaves(CASES[key].call(*_on_device(_inputs(key))))


def _on_device(inputs: Arrays) -> list[jax.Array]:
    return [jnp.asarray(array) for array in inputs]


def _single(array: jax.Array) -> jax.Array:
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        return array.astype(jnp.complex64)
    return array.astype(jnp.float32) if jnp.issubdtype(array.dtype, jnp.floating) else array


def _parted(inputs: list[jax.Array]) -> tuple[dict[int, jax.Array], dict[int, jax.Array]]:
    """Return what can be differentiated and what cannot, by place."""
    floats = {place: array for place, array in enumerate(inputs) if jnp.issubdtype(array.dtype, jnp.inexact)}
    return floats, {place: array for place, array in enumerate(inputs) if place not in floats}


@cache
def _value_and_grad(key: str) -> Callable:
    """Return the compiled value and gradient of a random linear functional of the function's outputs."""
    call = CASES[key].call

    def projected(floats: dict[int, jax.Array], rest: dict[int, jax.Array]) -> jax.Array:
        inputs = {**floats, **rest}
        total = jnp.zeros(())
        for number, leaf in enumerate(jax.tree.leaves(call(*[inputs[place] for place in sorted(inputs)]))):
            if jnp.issubdtype(leaf.dtype, jnp.inexact):
                probe = np.random.default_rng(number).normal(size=(2, *leaf.shape))
                total = total + (jnp.real(leaf) * probe[0]).sum()
                if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
                    total = total + (jnp.imag(leaf) * probe[1]).sum()
        return total

    return jax.jit(jax.value_and_grad(projected))


def _like(generator: np.random.Generator, array: jax.Array) -> np.ndarray:
    step = generator.normal(size=array.shape)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        return step + 1j * generator.normal(size=array.shape)
    return step


def _largest(array: Any) -> float:
    finite = np.abs(np.asarray(array))
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


def _assert_finite(tree: Any, what: str) -> None:
    for leaf in jax.tree.leaves(tree):
        assert bool(jnp.isfinite(leaf).all()), f"{what} is not finite"
