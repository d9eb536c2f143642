"""The ledger's time is the database's, so that machines need not agree; a guard notices when that clock is set."""

from __future__ import annotations

import time

from sqlalchemy import Connection, func, select

MOST_DRIFT_S = 5.0


def now(connection: Connection) -> float:
    """Return seconds since 1970 by the clock of the database; SQLite has that of this machine."""
    if connection.dialect.name == "sqlite":
        return time.time()
    # Not now(): that is when the transaction began, and it may have waited for a lock since.
    seconds: float = connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()
    return float(seconds)


class JumpGuard:
    """Compares the ledger's time with a clock that nobody sets."""

    def __init__(self, lease_s: float) -> None:
        self._tolerance_s = min(MOST_DRIFT_S, abs(lease_s) / 2)
        self._last: tuple[float, float, float] | None = None

    def look(self, connection: Connection) -> tuple[float, bool]:
        """Return the ledger's time, and whether it was set forward or back since the last look."""
        before = time.monotonic()
        at = now(connection)
        after = time.monotonic()
        last, self._last = self._last, (before, at, after)
        if last is None:
            return at, False
        passed_s = at - last[1]
        # An answer may have taken long: the true time between both lies between these.
        shortest_s, longest_s = before - last[2], after - last[0]
        return at, not shortest_s - self._tolerance_s < passed_s < longest_s + self._tolerance_s
