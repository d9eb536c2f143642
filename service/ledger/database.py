"""Open the ledger's database, SQLite or PostgreSQL, with the same guarantees, and bring its schema up to date."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, create_engine, event, func, make_url, select, update
from sqlalchemy.exc import ArgumentError, DataError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from recon.errors import ConfigInvalid, InputInvalid, StorageError, storage_errors
from service.ledger import tables

BUSY_S = 15.0
CONNECT_S = 5  # for each server that the URL names
IDLE_S = 10.0  # a process of ours that stops in a transaction, frozen or cut off, holds its locks no longer than this:
# whoever waits for them has more patience


def open_database(url: str) -> Engine:
    """Return an engine whose transactions take the write lock at once and reach the disk before they end."""
    if not url.startswith("sqlite"):
        return _open_postgres(url)
    engine = create_engine(url, connect_args={"timeout": BUSY_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late, see _begin
        _take_turns(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_S * 1000:.0f}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A reader that turns writer fails with "database is locked"; a writer from the start waits its turn.
        read_only = connection.get_execution_options().get("read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _take_turns(connection: sqlite3.Connection) -> None:
    """Turn to WAL, readers beside a writer; on a new file two may try at once, and SQLite lets neither wait."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _open_postgres(url: str) -> Engine:
    try:
        # Nobody waits for a lock longer than on SQLite; the server makes commits durable by itself.
        limits = {"lock_timeout": BUSY_S, "idle_in_transaction_session_timeout": IDLE_S}
        options = " ".join(f"-c {name}={seconds * 1000:.0f}" for name, seconds in limits.items())
        # A server that vanishes with its machine says nothing: after BUSY_S another one is asked, if the URL names two.
        silent = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 5, "tcp_user_timeout": 15_000}
        return create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            connect_args={"options": options, "connect_timeout": CONNECT_S, **silent},
        )
    except (ArgumentError, ValueError) as error:
        hint = "Expected sqlite:///PATH, postgresql://USER@HOST/NAME, or postgresql://USER@/NAME?host=HOST&host=HOST."
        raise ConfigInvalid("the database's URL does not parse", where="ROADSCRIBE_DATABASE_URL", hint=hint) from error
    except ImportError as error:
        raise ConfigInvalid(
            "PostgreSQL needs the package psycopg", hint="pip install 'roadscribe[postgres]'"
        ) from error


def lock_name(connection: Connection, name: str) -> None:
    """Let no other transaction pass here with the same name until this one ends; on SQLite every writer is alone."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def close_to_others(home: Path) -> None:
    """Make the service's folder, or close an open one, so that only its owner can look into it."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if home.stat().st_uid == os.getuid():
        home.chmod(0o700)


def migrate(engine: Engine, home: Path) -> None:
    """Bring the schema up to date; several processes may call this at once."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with storage_errors(str(home)):
        close_to_others(home)
        with (home / "migrate.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with writing(engine) as connection:
                lock_name(connection, "migrate")  # the file's lock holds on this machine only
                config.attributes["connection"] = connection
                command.upgrade(config, "head")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Run a transaction that writes."""
    with _database_errors(), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Run a transaction that only reads, and so never waits for a writer."""
    with _database_errors(), engine.connect().execution_options(read_only=True) as connection, connection.begin():
        yield connection


@contextmanager
def _database_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, InternalError) as error:
        # An internal error is, above all, a session that the server ended (IDLE_S), or a server that only reads by now.
        hint = "Check the disk and the database; the request may be repeated."
        raise StorageError(f"the ledger does not answer: {error.orig}", where="ledger", hint=hint) from error
    except PoolTimeout as error:
        hint = "More requests than connections wait for it; the request may be repeated."
        raise StorageError("the ledger is busy", where="ledger", hint=hint) from error
    except DataError as error:  # PostgreSQL holds no NUL in a text
        raise InputInvalid("the ledger cannot hold this value", hint="Remove control characters.") from error


def append_event(connection: Connection, job_id: str, kind: str, data: dict[str, Any], at: float) -> int:
    """Add the next event of a job in the caller's transaction and return its number."""
    job = tables.job
    # The row lock of this update orders concurrent writers on any database.
    bump = update(job).where(job.c.id == job_id).values(last_event=job.c.last_event + 1).returning(job.c.last_event)
    number: int = connection.execute(bump).scalar_one()
    insert_event(connection, job_id, number, kind, data, at)
    return number


def insert_event(
    connection: Connection, job_id: str, number: int, kind: str, data: Mapping[str, Any], at: float
) -> None:
    """Add an event whose number the job's row has been given in the caller's transaction."""
    row = {"job_id": job_id, "seq": number, "at": at, "type": kind, "data": json.dumps(dict(data))}
    connection.execute(tables.event.insert().values(**row))


def job_record(row: Row[Any]) -> dict[str, Any]:
    """Return a job as users see it."""
    body = row._asdict()
    return {
        "id": body["id"],
        "kind": body["kind"],
        "state": body["state"],
        "attempt": body["attempt"],
        "max_attempts": body["max_attempts"],
        "losses": body["losses"],
        "tenant": body["tenant"],
        "priority": -body["rank"],
        "created_at": body["created_at"],
        "updated_at": body["updated_at"],
        "version": body["version"],
        "stage": body["stage"],
        "progress": json.loads(body["progress"]),
        "failure": json.loads(body["failure"]) if body["failure"] else None,
        "report": json.loads(body["report"]) if body["report"] else None,
        "spec": json.loads(body["spec"]),
        "last_event": body["last_event"],
    }


def count_by_state(connection: Connection) -> dict[str, int]:
    """Return how many jobs are in each state."""
    job = tables.job
    rows = connection.execute(select(job.c.state, func.count()).group_by(job.c.state)).all()
    return {**dict.fromkeys(tables.STATES, 0), **{row[0]: row[1] for row in rows}}
