"""A command of the project as a step of a measurement: a process of its own, on one thread."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


def roadscribe(*arguments: str | Path) -> str:
    """Run a command, say how long it took, and return what it prints; leave with its message if it fails."""
    start = time.monotonic()
    command = [sys.executable, "-c", "from service.cli import main; main()", *map(str, arguments)]
    # Threads that spin while they wait would take the cores from the process beside this one.
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | threads)
    if done.returncode:
        sys.exit(f"{' '.join(command[3:])}\n{done.stderr}")
    print(f"{time.monotonic() - start:6.1f} s  {' '.join(command[3:6])}", file=sys.stderr, flush=True)
    return done.stdout
