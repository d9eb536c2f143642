"""Whether a failed attempt is tried again: pure functions of the error and the attempt, and of the machines lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recon.errors import RoadscribeError
from workers.jobs.job_spec import JobSpec

MAX_ATTEMPTS = 3
FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 60.0
MAX_LOSSES = 50
LOSSES_AT_ONCE = 5  # machines that may die before a job pauses: so many are bad luck, more may be the job's doing


@dataclass(frozen=True, slots=True)
class Decision:
    """Try again after a pause, or not at all."""

    again: bool
    delay_s: float = 0.0


def decide(error: RoadscribeError, attempt: int, max_attempts: int = MAX_ATTEMPTS) -> Decision:
    """Return what follows the failure of attempt number `attempt` (from 1)."""
    if not error.retryable or attempt >= max_attempts:
        return Decision(again=False)
    return Decision(again=True, delay_s=min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (attempt - 1)))


def after_loss(losses: int, max_losses: int = MAX_LOSSES) -> Decision:
    """Return what follows the death of the machine number `losses` (from 1) since the job last finished a stage."""
    if losses >= max_losses:
        return Decision(again=False)
    over = losses - LOSSES_AT_ONCE
    return Decision(again=True, delay_s=min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (over - 1)) if over > 0 else 0.0)


def stepped_down(spec: JobSpec, times: int) -> tuple[JobSpec, dict[str, Any]]:
    """Return the job as it is tried after it ran out of memory so many times, and the settings that changed."""
    lighter = spec
    for _ in range(times):
        lighter = lighter.lighter()
    before, after = spec.model_dump(mode="json"), lighter.model_dump(mode="json")
    return lighter, dict(_changes(before, after, ""))


def _changes(before: dict[str, Any], after: dict[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for name, value in after.items():
        if isinstance(value, dict) and isinstance(before[name], dict):
            yield from _changes(before[name], value, f"{place}{name}.")
        elif value != before[name]:
            yield f"{place}{name}", value
