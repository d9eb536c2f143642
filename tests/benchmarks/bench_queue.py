"""Measure claims and list pages with 100,000 jobs in the queue, on SQLite and on PostgreSQL: `make bench-service`.

Both databases wait for the disk. A claim is a transaction with some ten statements; beside it stands the time of one
small insert that reaches the disk, measured between the claims, since both wait for the same disk and the same CPUs.
Goals on two cores: claim p99 20 ms, page p99 50 ms.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "worlds"), str(ROOT / "tests" / "benchmarks"), str(ROOT)]

from bench_submits import databases, quantile  # noqa: E402 they need these paths
from many_jobs import MANY, many_jobs  # noqa: E402

from service.ledger.database import migrate, open_database  # noqa: E402
from service.ledger.leases import Leases  # noqa: E402
from service.ledger.listing import Filters, Listing  # noqa: E402


def timed(call: Callable[[], object]) -> float:
    """Return how many seconds a call took."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(name: str, url: str, insert: Callable[[], None], claims: int) -> None:
    """Print one line for a database."""
    with tempfile.TemporaryDirectory(prefix="queue-") as folder:
        engine = open_database(url or f"sqlite:///{folder}/ledger.sqlite3")
        migrate(engine, Path(folder))
        many_jobs(engine, "queued")
        leases, listing = Leases(engine, "bench"), Listing(engine)
        leases.claim()  # the first one opens the connection and compiles
        taken, bare, pages, own = [], [], [], 0.0
        for _ in range(claims):
            before = time.process_time()
            taken.append(timed(leases.claim))
            own += time.process_time() - before
            bare.append(timed(insert))
            pages.append(timed(lambda: listing.page(Filters(state="queued"))))
        engine.dispose()
    ratio = sorted(taken)[claims // 2] / sorted(bare)[claims // 2]
    cells = [quantile(values, share) for values in (taken, bare, pages) for share in (0.5, 0.99)]
    print(f"{name:10}", *(f"{cell:9.2f}" for cell in (*cells, ratio, own / claims * 1e3)), flush=True)


def main() -> None:
    """Print a line for each database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=int, default=500)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}; {MANY} queued jobs; milliseconds")
    heads = ["claim p50", "claim p99", "bare p50", "bare p99", "page p50", "page p99", "to bare", "claim CPU"]
    print(" " * 10, *(f"{head:>9}" for head in heads))
    for name, url, insert in databases():
        measure(name, url, insert, given.claims)


if __name__ == "__main__":
    main()
