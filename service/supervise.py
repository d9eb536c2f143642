"""Run the whole service on one machine: the API in this process, the executor as a child that is started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import structlog
import uvicorn

from recon.errors import StorageError
from service import logs
from service.api import create_app
from service.execution.names import release_dead
from service.ledger.database import open_database
from service.ledger.leases import Leases
from service.settings import Settings
from service.web.listener import Protocol, listen

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
SOUND_S = 10.0  # an executor that lived longer does not die of its settings, nor does one that somebody killed
STOP_WAIT_S = 15.0
NOT_STARTED = 1  # the status of an executor that could not even be started


def pause_after(last_s: float, lived_s: float, status: int) -> float:
    """Return the pause before an executor is started again: it grows while executors die young by themselves."""
    sound = lived_s > SOUND_S or status == -signal.SIGKILL
    return FIRST_PAUSE_S if sound else min(LONGEST_PAUSE_S, last_s * 2)


class Supervisor(threading.Thread):
    """Keeps one executor process running until `stop`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self._environment = {**settings.environment(), "ROADSCRIBE_SUPERVISOR": str(os.getpid())}
        self._end = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Start the executor, and again after it died, with a growing pause while it dies at once."""
        log, pause_s = structlog.get_logger(), FIRST_PAUSE_S
        while not self._end.is_set():
            started, status = time.monotonic(), NOT_STARTED
            try:
                status = self._run_once()
                if self._end.is_set():
                    return
                self._free_jobs()
            except Exception as error:  # a machine without a free process or descriptor has some again later
                log.error("supervisor.failed", exc_info=error)
            pause_s = pause_after(pause_s, time.monotonic() - started, status)
            log.warning("executor.ended", status=status, again_in_s=pause_s)
            self._end.wait(pause_s)

    def _run_once(self) -> int:
        """Start the executor and return its status once it has ended."""
        self._child = None
        # A session of its own: Ctrl-C in our terminal must not reach Ray before we have stopped the jobs.
        command = [sys.executable, "-m", "service.executor"]
        self._child = child = subprocess.Popen(
            command, env=self._environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=sys.__stderr__
        )
        status = child.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # its children would only hold memory
        return status

    def _free_jobs(self) -> None:
        """Return the dead executor's jobs to the queue, for other executors: this one needs seconds to start."""
        engine = open_database(self._settings.url)
        try:
            with contextlib.suppress(StorageError):  # then the next executor does it, or the end of the leases
                release_dead(self._settings.home, Leases(engine, "supervisor", **self._settings.time_limits()))
        finally:
            engine.dispose()

    def stop(self) -> None:
        """Let the executor give its job back and end; kill it and its workers when it takes too long."""
        self._end.set()
        child = self._child
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(STOP_WAIT_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        self.join(5.0)


def serve(settings: Settings, announce: Callable[[str], None], *, executor: bool = True) -> None:
    """Serve until SIGINT or SIGTERM. `announce` is called with the URL once requests are taken."""
    logs.configure()
    app = create_app(settings)
    listener = listen(settings.host, settings.port)
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    config = uvicorn.Config(
        app, http=Protocol, log_config=None, log_level="warning", timeout_graceful_shutdown=2, access_log=False
    )
    server = uvicorn.Server(config)
    supervisor = Supervisor(settings) if executor else None
    if supervisor is not None:
        supervisor.start()
    threading.Thread(target=_announce, args=(server, announce, f"http://{host}:{port}"), daemon=True).start()
    try:
        # uvicorn raises the signal again after its own shutdown: by then it has served its purpose.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        if supervisor is not None:
            supervisor.stop()
        listener.close()


def _announce(server: uvicorn.Server, announce: Callable[[str], None], url: str) -> None:
    while not server.started and not server.should_exit:
        time.sleep(0.02)
    if server.started:
        announce(url)


def announce_json(url: str) -> None:
    """Print the URL as one line of JSON for a parent process."""
    print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)
