"""Private PostgreSQL servers in temporary folders, reached through a socket there: no port, no password."""

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

    def __init__(
        self, folder: Path | None = None, *, copy_of: PrivatePostgres | None = None, durable: bool = False
    ) -> None:
        """Start an empty server, or one that follows another and only reads until `promote`.

        Only a `durable` server waits for the disk.
        """
        programs = _programs()
        assert programs is not None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="pg"))
        self._data = self.folder / "data"
        if copy_of is None:
            options = ["initdb", "--auth=trust", "--encoding=UTF8"]
        else:
            options = ["pg_basebackup", "-h", copy_of.folder, "--write-recovery-conf", "--checkpoint=fast"]
        self._run(*options, "-D", self._data, "-U", ROLE, "--no-sync")
        serve = [programs / "postgres", "-D", self._data, "-k", self.folder, "-c", "listen_addresses="]
        self._command = [*_prefix(), *serve, "-c", f"fsync={'on' if durable else 'off'}"]
        self._start()

    def _run(self, program: str, *options: str | Path) -> None:
        programs = _programs()
        assert programs is not None
        subprocess.run([*_prefix(), programs / program, *options], check=True, capture_output=True)

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

    def end_sessions(self) -> int:
        """End every session with a database of ours, and return how many there were."""
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname LIKE 'test%'"
        with self._connect() as connection:
            return int(connection.execute(query).fetchone()[0])

    def kill(self) -> None:
        """Kill the server for good; its backends notice and end."""
        self._process.kill()
        self._process.wait(30)

    def promote(self) -> None:
        """Let a copy take over: from now on it writes."""
        self._run("pg_ctl", "promote", "-D", self._data, "--wait")

    def wait_for_copy(self) -> None:
        """Let no commit be answered from now on before a copy of this server has it too."""
        with self._connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            while connection.execute(query).fetchone() != (1,):
                time.sleep(0.05)

    def _end(self) -> None:
        self._process.send_signal(signal.SIGINT)  # "fast" shutdown: does not wait for clients
        self._process.wait(30)

    def stop(self) -> None:
        """End the server and remove its files."""
        if self._process.poll() is None:
            self._end()
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgresPair:
    """A server and its copy: a commit is answered when both have it. `url` leads to the one of both that writes."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pg"))
        seats = [self._folder / name for name in "ab"]
        for seat in seats:
            seat.mkdir()
        self._writer = PrivatePostgres(seats[0])
        one = self._writer.new_database()
        self._copy = self._following(seats[1])
        both = ",".join(map(str, seats))
        self.url = f"{one.partition('?')[0]}?host={both}&target_session_attrs=read-write"

    def _following(self, seat: Path) -> PrivatePostgres:
        copy = PrivatePostgres(seat, copy_of=self._writer)
        self._writer.wait_for_copy()
        return copy

    def fail_over(self) -> None:
        """Kill the server that writes, and let its copy take over."""
        self._writer.kill()
        self._copy.promote()
        self._writer, self._copy = self._copy, self._writer

    def repair(self) -> None:
        """Replace the server that was killed by a new copy."""
        seat = self._copy.folder
        self._copy.stop()
        seat.mkdir()
        self._copy = self._following(seat)

    def stop(self) -> None:
        """End both servers and remove their files."""
        self._copy.stop()
        self._writer.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
