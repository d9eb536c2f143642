"""A job run on this machine, without the service: what `label` and `aggregate` share."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import typer

from recon.errors import Cancelled, OutOfMemory, RoadscribeError
from service.cli.stage_bars import StageBars
from service.cli.table import print_report
from service.cli.terminal import echo, put
from service.cli.tree_memory import TreeMemory
from service.results import claim_folder, write_result
from workers.jobs.job_spec import JobSpec
from workers.local_pool import LocalPool
from workers.retry import decide, stepped_down
from workers.run import RunReport, run
from workers.store import Store


def run_here(spec: JobSpec, out: Path, *, as_json: bool) -> None:
    """Run a job into the folder `out`, show its progress and print its report; Ctrl-C keeps finished stages."""
    store = Store(claim_folder(out))
    stop = threading.Event()
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        with StageBars() as bars, TreeMemory() as memory:
            report = _run_with_retries(spec, store, bars, stop)
    except Cancelled:
        echo("interrupted; the same command continues from the finished stages")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGINT, previous)
    body = write_result(report, out)
    if as_json:
        put(json.dumps(body))
    else:
        print_report(body)
        put(memory.line())
        put()
        put(f"Results: {out}")


def _run_with_retries(spec: JobSpec, store: Store, bars: StageBars, stop: threading.Event) -> RunReport:
    attempt = 1
    while True:
        pool = LocalPool()
        try:
            return run(spec, store, pool, events=lambda e: bars.show(e.kind, e.record()), should_stop=stop.is_set)
        except RoadscribeError as error:
            decision = decide(error, attempt)
            if not decision.again or isinstance(error, Cancelled):
                raise
            changes: dict[str, Any] = {}
            if isinstance(error, OutOfMemory):
                spec, changes = stepped_down(spec, 1)
            lighter = "".join(f", {name} = {value}" for name, value in changes.items())
            echo(f"{error} Trying again in {decision.delay_s:.0f} s{lighter}.")
            time.sleep(decision.delay_s)
            attempt += 1
        finally:
            pool.close()
