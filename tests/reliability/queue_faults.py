"""What a queue must survive without any death: jobs that fail all at once, and jobs that are always passed."""

from __future__ import annotations

import time
import uuid

from stage import SETTLE_S, Outcome, Stage, on_stage

from workers.jobs.probe import LIGHT_BYTES


def storm(count: int, seed: int) -> Outcome:
    """Let as many jobs run out of memory, twice each, and come back at the same time; others go on meanwhile."""
    outcome = Outcome("retry storm", count)
    with on_stage(outcome, seed) as stage:
        started = time.time()
        ids = [_submit(stage, f"storm-{n}", memory=True) for n in range(count)]
        while (still := _open(stage, ids)) and time.time() - started < SETTLE_S:
            time.sleep(0.2)
        outcome.recovery_s.append(stage.ledger.longest_pause(started))
        outcome.faults["of the storm, not ended"] = still
        outcome.notes["seconds until the storm was over"] = time.time() - started
    outcome.faults.pop("stages done twice")  # with less memory it is another stage of that name
    spent = outcome.faults.pop("attempts spent")
    outcome.faults["attempts too many or too few"] = abs(spent - 2 * count)
    return outcome


def starve(count: int, seed: int) -> Outcome:
    """Keep the queue full of jobs of a great priority; one of the least priority after another must run."""
    outcome = Outcome("priority starvation", count)
    with on_stage(outcome, seed, clients=2, priority=100, queue=10) as stage:
        for number in range(count):
            sent = time.time()
            job_id = _submit(stage, f"low-{number}", priority=-100)
            while not (at := stage.ledger.began(job_id)) and time.time() - sent < SETTLE_S:
                time.sleep(0.05)
            outcome.recovery_s.append(at - sent if at else float("inf"))
    return outcome


def _submit(stage: Stage, key: str, *, priority: int = 0, memory: bool = False) -> str:
    probe: dict[str, object] = {"salt": uuid.uuid4().hex}
    if memory:  # enough at a quarter of its size
        probe |= {"script": ["memory"], "size": 4 * LIGHT_BYTES}
    return stage.load.send(key, {"kind": "probe", "probe": probe}, priority=priority)


def _open(stage: Stage, ids: list[str]) -> int:
    rows = stage.ledger.rows("SELECT id FROM job WHERE state NOT IN ('succeeded', 'failed', 'cancelled')")
    return len({row[0] for row in rows}.intersection(ids))
