"""The stranger's tests run where the stranger's package is installed, which is never the development environment.

`hatch run check-packages` builds that place from the conn-functional wheel alone.
"""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("connectome_strength") else ["*"]
