"""Measure what a drive of a campaign costs beyond its stages, for 1, 10, 100 and 1,000 drives: `make bench`.

The service, its ledger and its Ray executor are real. Every drive is a job with the eight stages of a label job, whose
recorded seconds are scaled down, four drives each form a site of six stages, and one job at the end stands for the
snapshot. Jobs go through the client of `roadscribe campaign`, so many at once. Two costs a drive are printed as ratios
to those of ten drives:

- CPU: CPU seconds of all processes of the service and of Ray, since stages only sleep. It should stay within 5 %.
- overhead: seconds from a job's start to its end without those of its stages (ledger, service, Ray). It holds waits for
  CPU and disk too, so it means something on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "worlds"))
from running_service import RunningService

from service.campaign.batch import Order, settle
from service.client import Client

# Seconds of the stages of a label job: a drive of the demo city at night, two cores, the net of transformers.
LABEL_S = {
    "ingest": 1.7,
    "segment": 140.2,
    "fit": 131.7,
    "bake": 2.4,
    "trace": 5.7,
    "crop": 3.1,
    "pack": 1.2,
    "draw": 3.9,
}
SITE_S = {"align": 20.0, "fit": 300.0, "bake": 5.0, "trace": 12.0, "pack": 5.0, "draw": 4.0}
SCALE = 2000.0
TRIPS = 4
WARM_UP = 8


def body(seconds: dict[str, float], salt: str, after: list[str]) -> dict[str, object]:
    """Return a job whose stages last as long as those of a real one, scaled down."""
    steps = [value / SCALE for value in list(seconds.values())[:-2]]
    return {"kind": "probe", "probe": {"steps": steps, "salt": salt}, "after": after}


def cpu_s(service: RunningService) -> dict[int, float]:
    """Return the CPU seconds of every process of the service so far."""
    found = {}
    for process in [top := psutil.Process(service.process.pid), *top.children(recursive=True)]:
        with suppress(psutil.Error):
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
    return found


def run(client: Client, service: RunningService, drives: int, at_once: int) -> dict[str, float]:
    """Run a campaign of so many drives, and return its costs a drive."""
    before, started, name = cpu_s(service), time.time(), f"{drives}-{time.time_ns()}"

    def settled(bodies: list[dict[str, object]], part: str) -> list[str]:
        orders = [Order(name=f"{part} {i}", spec=one, key=f"{name} {part} {i}") for i, one in enumerate(bodies)]
        jobs = settle(client, orders, at_once=at_once, standing=lambda **counts: None)
        assert {job["state"] for job in jobs.values()} <= {"succeeded"}
        return [job["id"] for job in jobs.values()]

    labels = settled([body(LABEL_S, f"{name}-{i}", []) for i in range(drives)], "label")
    groups = [labels[i : i + TRIPS] for i in range(0, drives - TRIPS + 1, TRIPS)]
    sites = settled([body(SITE_S, f"{name}-site-{i}", group) for i, group in enumerate(groups)], "site")
    settled([body({}, f"{name}-snapshot", [*labels, *sites])], "snapshot")
    wall_s, after = time.time() - started, cpu_s(service)
    used_s = sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())
    return {"wall": wall_s / drives, "overhead": overhead_s(service.home, started) / drives, "cpu": used_s / drives}


def overhead_s(home: Path, since: float) -> float:
    """Return the seconds of all jobs since a moment between their start and their end, without those of stages."""
    spans: dict[str, dict[str, float]] = defaultdict(dict)
    query = "SELECT job_id, type, at, data FROM event WHERE at >= ? AND type NOT LIKE '%progress' ORDER BY job_id, seq"
    with sqlite3.connect(f"file:{home / 'ledger.sqlite3'}?mode=ro", uri=True) as ledger:
        for job, kind, at, data in ledger.execute(query, (since,)):
            if kind == "stage.finished":
                spans[job]["stages"] = spans[job].get("stages", 0.0) + json.loads(data)["seconds"]
            else:
                spans[job][kind] = at
    return sum(one["job.succeeded"] - one["job.running"] - one.get("stages", 0.0) for one in spans.values())


def main() -> None:
    """Print the costs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("drives", type=int, nargs="*", default=[1, 10, 100, 1000])
    options.add_argument("--executor", choices=("ray", "local"), default="ray")
    options.add_argument("--at-once", type=int, default=64)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = RunningService(Path(folder), executor=given.executor, ROADSCRIBE_LEASE_S="30")
        try:
            with Client(service.url) as client:
                while not client.ready():
                    time.sleep(0.1)
                run(client, service, WARM_UP, given.at_once)
                found = {count: run(client, service, count, given.at_once) for count in given.drives}
        finally:
            service.stop()
    base = found.get(10) or next(iter(found.values()))
    print(f"{given.executor} executor, {os.cpu_count()} cores, stages {SCALE:.0f} times faster than recorded")
    print(f"{'drives':>7} {'s a drive':>10} {'overhead':>9} {'ratio':>6} {'CPU':>9} {'ratio':>6}")
    for count, one in found.items():
        costs = "".join(f" {one[name]:>9.3f} {one[name] / base[name]:>6.2f}" for name in ("overhead", "cpu"))
        print(f"{count:>7} {one['wall']:>10.3f}{costs}")


if __name__ == "__main__":
    main()
