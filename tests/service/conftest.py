import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx
import psutil
import pytest
from private_postgres import PrivatePostgres, why_not

from service.client import Client
from service.ledger.database import migrate, open_database
from service.ledger.leases import Leases
from service.ledger.submissions import Submissions


@pytest.fixture(scope="session")
def postgres():
    """Start a PostgreSQL server, or skip where there is none to start."""
    pytest.importorskip("psycopg", reason="needs the extra [postgres]")
    reason = why_not()
    if reason:
        pytest.skip(reason)
    server = PrivatePostgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def database_url(request, tmp_path):
    """Return the URL of an empty database: whatever holds the ledger must pass the same tests."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres").new_database()
    return f"sqlite:///{tmp_path / 'ledger.sqlite3'}"


@pytest.fixture
def engine(tmp_path, database_url):
    engine = open_database(database_url)
    migrate(engine, tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def submissions(engine):
    return Submissions(engine)


@pytest.fixture
def leases(engine):
    leases = Leases(engine, "one")
    leases.beat()
    return leases


class RunningService:
    """A real service in its own processes."""

    def __init__(self, home: Path, *, executor: str = "local", **settings: str):
        self.home, self._executor, self._settings = home, executor, settings
        self.start()

    def start(self, port="0"):
        environment = {**os.environ, "ROADSCRIBE_PROBE_JOBS": "true", "ROADSCRIBE_MIN_FREE_MB": "0"}
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

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(30)
        finally:
            self.process.stdout.close()
        return status


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    running = RunningService(tmp_path_factory.mktemp("service"))
    with Client(running.url) as client:
        deadline = time.monotonic() + 30
        while not client.ready():
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield running
    assert running.stop() == 0


@pytest.fixture
def client(service):
    with Client(service.url) as client:
        yield client


@pytest.fixture
def http(service):
    with httpx.Client(base_url=service.url, trust_env=False, timeout=60) as http:
        yield http


def probe_body(*script, **fields):
    fields.setdefault("salt", uuid.uuid4().hex)
    return {"kind": "probe", "probe": {"script": list(script), **fields}}


@pytest.fixture
def body():
    """Make the JSON of a probe that is unlike any other."""
    return probe_body


@pytest.fixture
def start_service():
    return RunningService
