"""How much memory this process can have at most: that of the machine, or of its control group."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP_FILES = ("memory.max", "memory/memory.limit_in_bytes")  # of version 2 and 1, as a container sees its own


def memory_limit_mb(cgroups: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the memory in MB beyond which the kernel kills."""
    limits = [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
    for name in CGROUP_FILES:
        try:
            limits.append(float((cgroups / name).read_text()))
        except (OSError, ValueError):  # there is no such file, or it holds "max"
            continue
    return min(limits) / 1e6


def kills_for_memory(vmstat: Path = Path("/proc/vmstat")) -> int:
    """Return how many processes the kernel has killed for memory since it started, 0 where it does not count them."""
    try:
        lines = vmstat.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
