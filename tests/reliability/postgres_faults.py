"""What PostgreSQL does to those who rely on it: it crashes, fails over, ends sessions, or has none left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps

import psycopg
from private_postgres import PostgresPair, PrivatePostgres, why_not
from sqlalchemy import text
from stage import Outcome, Stage, on_stage

from service.ledger.database import open_database

HELD_S = 3.0  # how long there is no session to be had

Scenario = Callable[[int, int], Outcome]


def _where_possible(scenario: Scenario) -> Scenario:
    """Skip a scenario where no server can be started."""

    @wraps(scenario)
    def run(count: int, seed: int) -> Outcome:
        reason = why_not()
        return Outcome(f"{scenario.__name__} (skipped: {reason})", 0) if reason else scenario(count, seed)

    return run


@_where_possible
def crash(count: int, seed: int) -> Outcome:
    """Let the server crash; it starts again at once."""
    outcome = Outcome("PostgreSQL crashed", count)
    with _server(outcome, seed) as (server, stage):
        for _ in range(count):
            time.sleep(stage.rng.uniform(0.5, 2.0))
            server.crash()
            outcome.recovery_s.append(stage.until_work_goes_on(time.time()))
    return outcome


@_where_possible
def end_backends(count: int, seed: int) -> Outcome:
    """End every session of the service again and again, wherever it is."""
    outcome = Outcome("PostgreSQL's sessions ended", count)
    with _server(outcome, seed) as (server, stage):
        for _ in range(count):
            time.sleep(stage.rng.uniform(0.05, 0.5))
            outcome.notes["sessions"] = outcome.notes.get("sessions", 0) + server.end_sessions()
            if stage.rng.random() < 0.2:
                outcome.recovery_s.append(stage.until_work_goes_on(time.time()))
    return outcome


@_where_possible
def exhaust(count: int, seed: int) -> Outcome:
    """Let all sessions of the API wait for one lock, or others take every session that the server has."""
    outcome = Outcome("PostgreSQL's sessions exhausted", count)
    with _server(outcome, seed, clients=24, flood=True) as (server, stage), stage.watching_health(outcome):
        for number in range(count):
            with _locked(stage) if number % 2 else _taken(server):
                time.sleep(HELD_S)
            outcome.recovery_s.append(stage.until_work_goes_on(time.time()))
    return outcome


@_where_possible
def hold_locks(count: int, seed: int) -> Outcome:
    """Let a session of ours stop in the middle of a transaction that holds every job, as a frozen process does."""
    outcome = Outcome("a session idle in its transaction", count)
    with _server(outcome, seed) as (_, stage):
        for _ in range(count):
            time.sleep(stage.rng.uniform(0.5, 2.0))
            engine = open_database(stage.url)
            with engine.connect() as connection:
                connection.execute(text("UPDATE heartbeat SET at = at"))
                connection.execute(text("SELECT * FROM job FOR UPDATE"))
                outcome.recovery_s.append(stage.until_work_goes_on(time.time()))
                connection.invalidate()
            engine.dispose()
    return outcome


@_where_possible
def fail_over(count: int, seed: int) -> Outcome:
    """Kill the server that writes; its copy takes over, and gets a new copy."""
    outcome = Outcome("PostgreSQL failed over", count)
    pair = PostgresPair()
    try:
        with on_stage(outcome, seed, url=pair.url) as stage:
            for _ in range(count):
                time.sleep(stage.rng.uniform(0.5, 2.0))
                killed = time.time()
                pair.fail_over()
                outcome.recovery_s.append(stage.until_work_goes_on(killed))
                pair.repair()
    finally:
        pair.stop()
    return outcome


@contextmanager
def _server(outcome: Outcome, seed: int, **options: object) -> Iterator[tuple[PrivatePostgres, Stage]]:
    server = PrivatePostgres()
    try:
        with on_stage(outcome, seed, url=server.new_database(), **options) as stage:
            yield server, stage
    finally:
        server.stop()


@contextmanager
def _locked(stage: Stage) -> Iterator[None]:
    """Let every writer of jobs wait."""
    with psycopg.connect(stage.url) as connection:
        connection.execute("LOCK TABLE job IN EXCLUSIVE MODE")
        yield


@contextmanager
def _taken(server: PrivatePostgres) -> Iterator[None]:
    """Hold every session that the server has, and end those of the service."""
    with ExitStack() as held:
        server.end_sessions()
        for _ in range(1000):
            try:
                held.enter_context(server._connect())
            except psycopg.OperationalError:
                break
        yield
