"""Figures that only grow, summed up where they happen: histograms and counters of all processes together."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from sqlalchemy import Connection, select, text

from service.ledger import tables

STAGE_SECONDS, LEASES_LOST = "stage_seconds", "leases_lost"
BOUNDS_S = (1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 7200.0)  # of the buckets
SUM, BEYOND = "sum", "+Inf"
_ADD = text(
    "INSERT INTO figure (name, label, part, value) VALUES (:name, :label, :part, :value)"
    " ON CONFLICT (name, label, part) DO UPDATE SET value = figure.value + excluded.value"
)


def observe(connection: Connection, name: str, label: str, seconds: float) -> None:
    """Add a duration to a histogram, in the caller's transaction."""
    place = bisect_left(BOUNDS_S, seconds)
    bucket = str(BOUNDS_S[place]) if place < len(BOUNDS_S) else BEYOND
    for part, value in ((bucket, 1.0), (SUM, seconds)):
        connection.execute(_ADD, {"name": name, "label": label[:64], "part": part, "value": value})


def count(connection: Connection, name: str, label: str = "") -> None:
    """Add one to a counter, in the caller's transaction."""
    connection.execute(_ADD, {"name": name, "label": label, "part": SUM, "value": 1.0})


def counter(connection: Connection, name: str) -> float:
    """Return the sum of a counter over all labels."""
    return sum(parts.get(SUM, 0.0) for parts in _read(connection, name).values())


def histogram(connection: Connection, name: str) -> dict[str, tuple[list[tuple[str, float]], float]]:
    """Return label -> (upper bound and how many lie below it, for every bucket; sum of the seconds)."""
    found = {}
    for label, parts in _read(connection, name).items():
        bounds = [*map(str, BOUNDS_S), BEYOND]
        below = accumulate(parts.get(bound, 0.0) for bound in bounds)
        found[label] = (list(zip(bounds, below, strict=True)), parts.get(SUM, 0.0))
    return found


def _read(connection: Connection, name: str) -> dict[str, dict[str, float]]:
    figure = tables.figure
    by_label: dict[str, dict[str, float]] = {}
    for row in connection.execute(select(figure).where(figure.c.name == name).order_by(figure.c.label)):
        by_label.setdefault(row.label, {})[row.part] = row.value
    return by_label
