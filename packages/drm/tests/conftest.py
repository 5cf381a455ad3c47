import importlib.util

import pytest

# On Pythons without a build of torch the package is not installed.
collect_ignore_glob = [] if importlib.util.find_spec("drm") else ["*"]


@pytest.fixture(autouse=True)
def _seeded():
    if importlib.util.find_spec("torch"):
        import torch

        torch.manual_seed(0)
