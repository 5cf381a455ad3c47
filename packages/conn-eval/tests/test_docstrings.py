import inspect

import pytest

import conn.eval


@pytest.mark.parametrize("name", [name for name in conn.eval.__all__ if name != "__version__"])
def test_every_public_name_says_what_it_is(name):
    thing = getattr(conn.eval, name)
    documentation = inspect.getdoc(thing)
    assert documentation
    if inspect.isfunction(thing):
        for section in ("Parameters", "Returns", "Examples"):
            if section != "Parameters" or inspect.signature(thing).parameters:
                assert f"\n{section}\n---" in documentation, section
