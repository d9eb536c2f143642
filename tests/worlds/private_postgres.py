"""A private PostgreSQL server in a temporary folder, reached through a socket there: no port, no password."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

ROLE = "roadscribe"
# The server refuses to run as root. In a user namespace root has another name and still owns its files.
NOT_ROOT = ("unshare", "--user", "--map-user=nobody", "--map-group=nogroup")


def why_not() -> str:
    """Return the reason why no server can be started here, or an empty string."""
    if _programs() is None:
        return "PostgreSQL is not installed here (apt-get install postgresql)"
    prefix = _prefix()
    if prefix and subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode != 0:
        return "PostgreSQL does not run as root, and user namespaces are not available here"
    return ""


def _programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; on Debian they are not on PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def _prefix() -> tuple[str, ...]:
    return NOT_ROOT if os.geteuid() == 0 else ()


class PrivatePostgres:
    """A running server that creates databases; `stop` ends it and removes its files."""

    def __init__(self) -> None:
        programs = _programs()
        assert programs is not None
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        data = self.folder / "data"
        prepare = [*_prefix(), programs / "initdb", "-D", data, "-U", ROLE, "--auth=trust", "--no-sync"]
        subprocess.run([*prepare, "--encoding=UTF8"], check=True, capture_output=True)
        # fsync=off: the data are needed for one run only.
        serve = [programs / "postgres", "-D", data, "-k", self.folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        self._command = [*_prefix(), *serve]
        self._start()

    def _start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stderr=log)
        self._wait()

    def _connect(self):
        import psycopg

        return psycopg.connect(host=str(self.folder), user=ROLE, dbname="postgres", autocommit=True)

    def _wait(self) -> None:
        import psycopg

        for _ in range(300):
            try:
                self._connect().close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def new_database(self) -> str:
        """Return the URL of an empty database."""
        name = f"test_{uuid.uuid4().hex}"
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://{ROLE}@/{name}?host={self.folder}"

    def restart(self) -> None:
        """End the server, and with it every connection, and start it again."""
        self._end()
        self._start()

    def crash(self) -> None:
        """Let the server die without a word to anybody, and start it again: it recovers from its log."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)
        self._start()

    def _end(self) -> None:
        self._process.send_signal(signal.SIGINT)  # "fast" shutdown: does not wait for clients
        self._process.wait(30)

    def stop(self) -> None:
        """End the server and remove its files."""
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)
