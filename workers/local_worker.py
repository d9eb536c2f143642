"""A worker process of the local pool: tasks come in by stdin, progress and outcomes leave by a pipe, as JSON lines."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sys
import threading

from recon.progress import throttled
from workers.pool import StageTask
from workers.stage_process import execute

PR_SET_PDEATHSIG = 1
REPORT_EVERY_S = 0.1
IDLE_S = 60.0  # longer than the pool sends tasks to an idle worker: no task meets one that ends


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies: its result would be lost anyway."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request
        os._exit(1)


def main(parent: int, pipe: int) -> None:
    """Run tasks until stdin ends, or none came for a while: an idle process only holds memory."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the pool decides: it receives the Ctrl-C too
    tasks: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            tasks.put(line)
        os.killpg(0, signal.SIGKILL)  # the pool is gone, so the result is not needed

    threading.Thread(target=read, daemon=True).start()
    values: dict[str, float] = {}
    with os.fdopen(pipe, "w", buffering=1) as out:

        def tick(done: int, total: int, unit: str = "", /) -> None:
            out.write(json.dumps({"done": int(done), "total": int(total), "unit": unit, "values": values}) + "\n")

        while True:
            try:
                task = StageTask.from_json(tasks.get(timeout=IDLE_S))
            except queue.Empty:
                os.killpg(0, signal.SIGKILL)
            values = {}
            out.write(execute(task, throttled(tick, REPORT_EVERY_S), measured=values.update).to_json() + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
