import doctest
import importlib
import inspect
import pkgutil

import pytest

import conn.eval

MODULES = [f"conn.eval.{module.name}" for module in pkgutil.iter_modules(conn.eval.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_docstrings_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", [name for name in conn.eval.__all__ if name != "__version__"])
def test_every_public_name_says_what_it_is(name):
    thing = getattr(conn.eval, name)
    documentation = inspect.getdoc(thing)
    assert documentation
    if inspect.isfunction(thing):
        for section in ("Parameters", "Returns", "Examples"):
            if section != "Parameters" or inspect.signature(thing).parameters:
                assert f"\n{section}\n---" in documentation, section
