"""Jobs on this machine, without the service: for the command line and for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from recon.errors import Cancelled, ConfigInvalid, OutOfMemory, RoadscribeError
from service.results import claim_folder, write_result
from workers.jobs.job_spec import JobSpec
from workers.local_pool import LocalPool
from workers.retry import decide, stepped_down
from workers.run import RunEvent, RunReport, run
from workers.spec import faults_of, parse_spec
from workers.store import Store


def run_with_retries(
    spec: JobSpec,
    store: Store,
    *,
    events: Callable[[RunEvent], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda line: None,
) -> RunReport:
    """Run a job, and again where the machine failed, as the service does; raises what `workers.run.run` raises."""
    attempt = 1
    while True:
        pool = LocalPool()
        try:
            return run(spec, store, pool, events=events, should_stop=should_stop)
        except RoadscribeError as error:
            decision = decide(error, attempt)
            if not decision.again or isinstance(error, Cancelled):
                raise
            changes: dict[str, Any] = {}
            if isinstance(error, OutOfMemory):
                spec, changes = stepped_down(spec, 1)
            lighter = "".join(f", {name} = {value}" for name, value in changes.items())
            tell(f"{error} Trying again in {decision.delay_s:.0f} s{lighter}.")
            time.sleep(decision.delay_s)
            attempt += 1
        finally:
            pool.close()


def label(drive: str | Path, out: str | Path, **settings: Any) -> dict[str, Any]:
    """Label a drive into the folder `out` and return its report; the same call skips what is finished there.

    `settings` are the other fields of a label job, such as `fit={"cell_m": 0.05}` (docs/api.md). Raises
    ConfigInvalid for a faulty one, PathRefused for a folder with other files, and what the stages raise.
    """
    body = {"kind": "label", "drive": str(Path(drive).resolve()), **settings}
    try:
        spec = parse_spec(json.dumps(body, allow_nan=False))
    except ValidationError as error:
        raise ConfigInvalid(faults_of(error), where="settings", hint="docs/api.md lists the fields.") from None
    folder = Path(out)
    return write_result(run_with_retries(spec, Store(claim_folder(folder))), folder)
