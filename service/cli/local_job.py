"""A job run on this machine, without the service: what `label` and `aggregate` share."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import typer

from recon.errors import Cancelled
from service.cli.stage_bars import StageBars
from service.cli.table import print_report
from service.cli.terminal import echo, put
from service.cli.tree_memory import TreeMemory
from service.execution.local_run import run_with_retries
from service.results import claim_folder, write_result
from workers.jobs.job_spec import JobSpec
from workers.store import Store


def run_here(spec: JobSpec, out: Path, *, as_json: bool) -> None:
    """Run a job into the folder `out`, show its progress and print its report; Ctrl-C keeps finished stages."""
    store = Store(claim_folder(out))
    stop = threading.Event()
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        with StageBars() as bars, TreeMemory() as memory:
            report = run_with_retries(
                spec, store, events=lambda e: bars.show(e.kind, e.record()), should_stop=stop.is_set, tell=echo
            )
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
