"""A service that really runs, in processes of its own, for tests that talk to it and kill it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil


def as_a_user() -> dict[str, str]:
    """Return the environment without what a Ray cluster of this process left in it: its token."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}


def _stopped(pid):
    """Return whether every thread has stopped: each goes on for a moment after the signal."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


class RunningService:
    """A real service in its own processes."""

    def __init__(self, home: Path, *, executor: str = "local", **settings: str):
        self.home, self._executor, self._settings = home, executor, settings
        self.start()

    def start(self, port="0"):
        environment = {**as_a_user(), "ROADSCRIBE_PROBE_JOBS": "true", "ROADSCRIBE_MIN_FREE_MB": "0"}
        environment |= {"ROADSCRIBE_LEASE_S": "2", **self._settings}
        roots = self.home / "roots"
        roots.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", "from service.cli import main; main()", "serve", "--json", "--port", port]
        command += ["--home", str(self.home), "--root", str(roots), "--executor", self._executor]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True)
        self.url = json.loads(self.process.stdout.readline())["url"]
        self.port = self.url.rpartition(":")[2]

    def executor(self):
        """Return the executor's process."""
        for child in psutil.Process(self.process.pid).children():
            if "service.executor" in child.cmdline():
                return child
        return None

    def workers(self):
        """Return the processes of the local pool."""
        executor = self.executor()
        return [] if executor is None else [p for p in executor.children() if "workers.local_worker" in p.cmdline()]

    def suspend_between_writes(self, process):
        """Stop a process while it holds no lock on SQLite: a frozen writer is waited for, whatever its lease."""
        while True:
            process.suspend()
            while not _stopped(process.pid):
                time.sleep(0.002)
            with closing(sqlite3.connect(self.home / "ledger.sqlite3", timeout=0, isolation_level=None)) as ledger:
                try:
                    ledger.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError:
                    process.resume()
                    time.sleep(0.05)

    def kill(self):
        """Kill the API process; its executor notices a second later and ends."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def start_executor(self, **settings: str):
        """Start another executor of this service."""
        environment = {**as_a_user(), "ROADSCRIBE_HOME": str(self.home), "ROADSCRIBE_EXECUTOR": self._executor}
        environment |= {"ROADSCRIBE_LEASE_S": "2", "ROADSCRIBE_MIN_FREE_MB": "0", **self._settings, **settings}
        return subprocess.Popen([sys.executable, "-m", "service.executor"], env=environment, start_new_session=True)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(30)
        finally:
            self.process.stdout.close()
        return status
