"""Whether a failed attempt is tried again: a pure function of the error and the attempt."""

from __future__ import annotations

from dataclasses import dataclass

from recon.errors import RoadscribeError

MAX_ATTEMPTS = 3
FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 60.0


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
