"""Measure durable submissions a second: the real `serve`, over HTTP, on SQLite and on PostgreSQL.

A client with one thread keeps several connections busy, each with one submission at a time, and asks for `/healthz`
every 20 ms on another. It sends prepared bytes, so that it takes little of the machine; its CPU time is printed apart.
The yardstick is a loop that inserts small rows, each in a transaction of its own that reaches the disk.
Goals on two cores: 500 submissions a second, p99 250 ms, `/healthz` p99 20 ms meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "worlds"), str(ROOT)]
os.environ["PYTHONPATH"] = str(ROOT)  # of the service's processes too

from private_postgres import PrivatePostgres, why_not  # noqa: E402 they need these paths
from running_service import RunningService  # noqa: E402

HEALTH_EVERY_S = 0.02
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Connection:
    """A kept connection with at most one request on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer, self._sent = b"", 0.0

    def send(self, request: bytes) -> None:
        """Send a request."""
        self._answer, self._sent = b"", time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> tuple[int, float] | None:
        """Return status and seconds of an answer that is whole now."""
        self._answer += self.socket.recv(1 << 16)
        head, _, body = self._answer.partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length: ")
        if not length or len(body) < int(length.partition(b"\r\n")[0]):
            return None
        return int(self._answer[9:12]), time.perf_counter() - self._sent


def submission(body: str, number: int) -> bytes:
    """Return a request; each is a job of its own, under a key of its own."""
    head = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Idempotency-Key: {number}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def drive(port: int, bodies: Iterator[bytes], connections: int, seconds: float) -> tuple[list[float], list[float], int]:
    """Return the latencies of submissions and of `/healthz`, and how many answers were another than 202."""
    selector, health, submits, lives, others = selectors.DefaultSelector(), Connection(port), [], [], 0
    for _ in range(connections):
        connection = Connection(port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(next(bodies))
    selector.register(health.socket, selectors.EVENT_READ, health)
    end, next_health, asked = time.perf_counter() + seconds, 0.0, False
    while (now := time.perf_counter()) < end:
        if now >= next_health and not asked:
            health.send(HEALTH)
            asked, next_health = True, now + HEALTH_EVERY_S
        for key, _ in selector.select(HEALTH_EVERY_S):
            connection = key.data
            done = connection.receive()
            if done is None:
                continue
            if connection is health:
                asked = False
                lives.append(done[1])
            else:
                submits.append(done[1])
                others += done[0] != 202
                connection.send(next(bodies))
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    selector.close()
    return submits, lives, others


def quantile(values: list[float], share: float) -> float:
    """Return a quantile in ms."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1e3


@contextmanager
def sqlite() -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield no URL, which is SQLite in the service's home, and what inserts a row durably."""
    with (
        tempfile.TemporaryDirectory(prefix="bare-") as folder,
        closing(sqlite3.connect(Path(folder) / "bare.sqlite3", isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, text TEXT)")
        yield "", lambda: connection.execute("INSERT INTO row (text) VALUES (?)", ("x" * 200,))


@contextmanager
def postgres() -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the URL of a database of a server that waits for its disk, and what inserts a row durably."""
    import psycopg

    server = PrivatePostgres(durable=True)
    try:
        with psycopg.connect(server.new_database(), autocommit=True) as connection:
            connection.execute("CREATE TABLE row (id SERIAL PRIMARY KEY, text TEXT)")
            yield server.new_database(), lambda: connection.execute("INSERT INTO row (text) VALUES (%s)", ("x" * 200,))
    finally:
        server.stop()


def databases() -> Iterator[tuple[str, str, Callable[[], None]]]:
    """Yield the name of each database that can be had, its URL, and its bare insert; print why one cannot."""
    for name, opened in (("SQLite", sqlite), ("PostgreSQL", postgres)):
        if name == "PostgreSQL" and why_not():
            print(f"{name}: skipped, {why_not()}")
            continue
        with opened() as (url, insert):
            yield name, url, insert


def inserts_a_second(insert: Callable[[], None], seconds: float = 2.0) -> float:
    """Return how many rows a second one after another reach the disk."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        insert()
        count += 1
    return count / (time.perf_counter() - started)


def body_of(kind: str, roots: Path) -> str:
    """Return the JSON of a job that the service takes."""
    if kind == "probe":
        return json.dumps({"kind": "probe", "probe": {"size": 1}})
    (roots / "drive").mkdir()
    return json.dumps({"kind": kind, "drive": str(roots / "drive")})


def measure(name: str, url: str, insert: Callable[[], None], given: argparse.Namespace) -> None:
    """Print one line for a database."""
    with tempfile.TemporaryDirectory(prefix="submits-") as folder:
        settings = {"ROADSCRIBE_DATABASE_URL": url} if url else {}
        service = RunningService(Path(folder), executor="none", **settings)
        try:
            api, port, body = (
                psutil.Process(service.process.pid),
                int(service.port),
                body_of(given.kind, Path(folder) / "roots"),
            )
            bodies = (submission(body, number) for number in range(10**9))
            drive(port, bodies, given.connections, 1.0)  # the first requests compile and open
            bare = inserts_a_second(insert)
            before, own = sum(api.cpu_times()[:2]), time.process_time()
            submits, lives, others = drive(port, bodies, given.connections, given.seconds)
            before, own = sum(api.cpu_times()[:2]) - before, time.process_time() - own
            bare = (bare + inserts_a_second(insert)) / 2
        finally:
            service.stop()
    rate = len(submits) / given.seconds
    cells = [rate, rate / bare, quantile(submits, 0.5), quantile(submits, 0.99), quantile(lives, 0.5)]
    cells += [quantile(lives, 0.99), others, before / len(submits) * 1e3, own / len(submits) * 1e3, bare]
    print(f"{name:10}", *(f"{cell:9.2f}" for cell in cells), flush=True)


def main() -> None:
    """Print a line for each database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--kind", choices=("label", "probe"), default="label")
    given = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}; {given.connections} connections, {given.kind}"
    )
    heads = [
        "a second",
        "to bare",
        "p50 ms",
        "p99 ms",
        "live p50",
        "live p99",
        "refused",
        "API CPU",
        "own CPU",
        "bare /s",
    ]
    print(" " * 10, *(f"{head:>9}" for head in heads))
    for name, url, insert in databases():
        measure(name, url, insert, given)


if __name__ == "__main__":
    main()
