"""The executor process: takes jobs under a lease, runs them in a pool, writes progress and endings to the ledger.

Run as `python -m service.executor`. It owns the Ray driver: when Ray crashes this process, its jobs return to the
queue, the supervisor starts it again, and they continue from their finished stages.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from recon.errors import RoadscribeError, StorageError
from service import logs
from service.execution.names import release_dead, take_name
from service.execution.resources import Resources, declared
from service.execution.slot import SICK_EXIT, Slot
from service.ledger.database import open_database
from service.ledger.leases import Leases
from service.settings import Settings, load_settings
from workers.machine import this_machine
from workers.pool import ClusterUnresponsive, Pool

BEAT_S = 2.0
IDLE_SHARE = 0.1  # of the memory that jobs may use: what idle workers hold, which no stage is counted with


class Executor:
    """Several slots, each with one job at a time; meanwhile it says that it lives, and sweeps."""

    def __init__(self, settings: Settings, pools: Sequence[Pool], leases: Leases) -> None:
        """Run as many jobs at once as there are `pools`; the same pool may be there several times."""
        self._settings, self._leases = settings, leases
        self._pools = tuple(dict.fromkeys(pools))
        self._log = structlog.get_logger()
        self.stopping = threading.Event()
        gpus = settings.gpus if settings.gpus is not None else float(this_machine().cuda)
        resources = Resources(declared(settings.cpus, settings.memory_mb, gpus))
        self.slots = [Slot(settings, pool, leases, resources, self.stopping) for pool in pools]

    def serve(self) -> None:
        """Take jobs until `stopping` is set."""
        threads = [threading.Thread(target=self._guarded, args=(slot,)) for slot in self.slots]
        for thread in threads:
            thread.start()
        dead = partial(release_dead, self._settings.home, self._leases)
        duties: list[Callable[[], object]] = [self._leases.beat, dead, self._leases.sweep]
        duties += [pool.check for pool in self._pools]
        while not self.stopping.is_set():
            for duty in duties:
                self._do(duty)
            self.stopping.wait(BEAT_S)
        for thread in threads:
            thread.join()

    def _do(self, duty: Callable[[], object]) -> None:
        """Do one of the duties beside the jobs; a defect in it costs neither the others nor the jobs that run."""
        try:
            duty()
        except ClusterUnresponsive as error:
            self._log.warning("cluster.dead", error=str(error))
            os._exit(SICK_EXIT)  # with its jobs: the supervisor starts a new process, and they go on
        except StorageError as error:
            self._log.warning("ledger.unavailable", error=str(error))
        except Exception as error:
            self._log.error("executor.bug", exc_info=error)

    def _guarded(self, slot: Slot) -> None:
        """Serve; a defect in a slot ends the process, whose jobs then go on elsewhere, instead of only the thread."""
        try:
            slot.serve()
        except BaseException as error:
            self._log.error("slot.bug", exc_info=error)
            os._exit(1)


def make_pools(settings: Settings) -> list[Pool]:
    """Return the pool of each slot: Ray's, which all share, or one worker process each."""
    count = settings.jobs_at_once or max(1, int(settings.cpus or os.cpu_count() or 1))
    if settings.executor == "local":
        from workers.local_pool import KEPT_MB, LocalPool

        memory_mb = declared(settings.cpus, settings.memory_mb, 0.0).memory_mb
        return [LocalPool(kept_mb=min(KEPT_MB, IDLE_SHARE * memory_mb / count)) for _ in range(count)]
    from workers.cluster.ray_pool import RayPool

    return [RayPool(settings.home, address=settings.ray_address, num_cpus=int(settings.cpus) or None)] * count


def main() -> None:
    """Run an executor until SIGTERM, SIGINT or the end of the parent process."""
    settings = load_settings()
    logs.configure()
    name = take_name(settings.home)
    leases = Leases(open_database(settings.url), name, **settings.time_limits())
    try:
        leases.release([name])  # what the last executor of this name had: it is dead, or we would not have the name
    except StorageError as error:
        structlog.get_logger().warning("ledger.unavailable", error=str(error))
    try:
        pools = make_pools(settings)
    except RoadscribeError as error:
        structlog.get_logger().error("executor.cannot_start", code=error.code, error=str(error))
        sys.exit(SICK_EXIT)
    executor = Executor(settings, pools, leases)
    _stop_on_signals(executor.stopping.set)
    try:
        executor.serve()
    finally:
        for pool in dict.fromkeys(pools):
            pool.close()


def _stop_on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    supervisor = int(os.environ.get("ROADSCRIBE_SUPERVISOR", "0"))

    def watch() -> None:
        # Compared with the stated pid: the parent may have died before this check.
        while os.getppid() == supervisor:
            time.sleep(1.0)
        stop()  # without a supervisor nothing restarts this process

    if supervisor:
        threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
