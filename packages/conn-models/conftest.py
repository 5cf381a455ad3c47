"""The attention models are an extra: where torch is missing, their module is not looked at for doctests."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["src/conn/models/_attention_network.py"]
