"""How much memory a process has taken."""

import re
import resource
import sys
from pathlib import Path


def peak_megabytes() -> float:
    """The most memory this process has had. On Linux from /proc: ru_maxrss starts at the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
