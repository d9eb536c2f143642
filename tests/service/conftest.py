import threading
import time
import uuid
from contextlib import contextmanager

import httpx
import pytest
from private_postgres import PrivatePostgres, why_not
from running_service import RunningService

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


@pytest.fixture(scope="session")
def start_service():
    return RunningService


@pytest.fixture
def no_new_threads():
    """Let no thread be started for a while: their stacks would be larger than the address space."""

    @contextmanager
    def one():
        threading.stack_size(1 << 47)
        try:
            yield
        finally:
            threading.stack_size(0)

    return one
