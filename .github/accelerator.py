"""Print what JAX and torch compute on, and fail where that is the CPU.

Tests that find no accelerator skip: without this, a broken driver would pass the GPU workflow.
"""

import sys

import jax
import torch

print("JAX:", jax.__version__, jax.devices())
print("torch:", torch.__version__, torch.accelerator.current_accelerator())
missing = []
if jax.default_backend() == "cpu":
    missing.append("JAX")
if not torch.accelerator.is_available():
    missing.append("torch")
if missing:
    sys.exit(f"no accelerator is seen by {' and by '.join(missing)}")
