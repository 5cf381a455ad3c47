"""How long a piece of work takes."""

import os
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """Return the time of the process where it has one core, so that other programs count little, else the wall's."""
    clock = time.process_time if len(os.sched_getaffinity(0)) == 1 else time.perf_counter
    begin = clock()
    work()
    return clock() - begin
