"""Lets the tests import the script and its neighbour by name, as the script itself does when it is run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
