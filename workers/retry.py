"""Whether a failed attempt is tried again: pure functions of the error and the attempt, and of the machines lost."""

from __future__ import annotations

from dataclasses import dataclass

from recon.errors import RoadscribeError

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
