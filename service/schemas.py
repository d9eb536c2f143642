"""What the API answers, as documented types."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

State = Literal[
    "blocked", "queued", "retry_wait", "running", "committing", "cancelling", "succeeded", "failed", "cancelled"
]


class Failure(BaseModel):
    """Why a job failed or waits for its next attempt."""

    code: str
    message: str
    where: str = ""
    hint: str = ""
    retryable: bool = False
    attempt: int | None = None


class Fault(BaseModel):
    """A field that is wrong."""

    pointer: str
    detail: str


class ProblemDocument(BaseModel):
    """A refusal (RFC 9457). `type` leads to the section of the code."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    hint: str = ""
    errors: list[Fault] = []


class Job(BaseModel):
    """A job. Times are seconds since 1970."""

    id: str
    kind: str
    state: State
    attempt: int
    max_attempts: int
    losses: int = 0  # machines that died under it since it finished a stage
    priority: int = 0
    created_at: float
    updated_at: float
    version: int
    stage: str
    progress: dict[str, Any]
    failure: Failure | None
    report: dict[str, Any] | None
    spec: dict[str, Any]
    last_event: int
    deduplicated: bool = False


class JobPage(BaseModel):
    """Jobs, newest first; `next` is the cursor of the following page."""

    jobs: list[Job]
    next: int | None


class Event(BaseModel):
    """Something happened to a job; `seq` has no gaps."""

    seq: int
    at: float
    type: str
    data: dict[str, Any]


class EventPage(BaseModel):
    """Events in order; ask again with `after` = the last seq."""

    events: list[Event]


class ArtifactEntry(BaseModel):
    """One published file of a job."""

    path: str
    sha256: str
    size_bytes: int
    url: str


class ArtifactPage(BaseModel):
    """The published files of a job."""

    artifacts: list[ArtifactEntry]


class Health(BaseModel):
    """Whether the service can take and run jobs."""

    status: Literal["ok", "waiting"]
    executor_age_s: float | None = None
