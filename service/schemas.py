"""What the API answers, as documented types."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

State = Literal[
    "blocked", "queued", "retry_wait", "running", "committing", "cancelling", "succeeded", "failed", "cancelled"
]


EventType = Literal["job.succeeded", "job.failed", "job.cancelled"]


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


class WaitingFor(BaseModel):
    """Why a job does not run now: other jobs, a pause after a failure, no executor, or its turn in the queue."""

    reason: Literal["jobs", "pause", "executor", "turn"]
    detail: str
    jobs: list[str] = []
    until: float | None = None
    ahead: int | None = None


class Job(BaseModel):
    """A job. Times are seconds since 1970."""

    id: str
    kind: str
    state: State
    tenant: str = ""
    priority: int = 0
    attempt: int
    max_attempts: int
    losses: int = 0  # machines that died under it since it finished a stage
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
    waiting_for: WaitingFor | None = None


class FailureSummary(BaseModel):
    """Why a job failed or waits, in short."""

    code: str
    message: str
    where: str = ""


class JobSummary(BaseModel):
    """A job as lists show it: without its settings and its report. `sources` is what it reads, in a line."""

    id: str
    kind: str
    sources: str
    state: State
    tenant: str
    priority: int
    attempt: int
    max_attempts: int
    losses: int
    created_at: float
    updated_at: float
    version: int
    stage: str
    progress: dict[str, Any]
    failure: FailureSummary | None
    last_event: int


class JobPage(BaseModel):
    """Jobs, newest first; `next` is the cursor of the following page."""

    jobs: list[JobSummary]
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


class LogLine(BaseModel):
    """An event of a job as a sentence."""

    seq: int
    at: float
    level: Literal["debug", "info", "warning", "error"]
    stage: str
    message: str


class LogPage(BaseModel):
    """Lines in order; `next` is the value of `after` for the following page, null after the last."""

    lines: list[LogLine]
    next: int | None


class Attempt(BaseModel):
    """One start of a job on an executor; a start that a dying machine ended does not count as an attempt."""

    attempt: int
    epoch: int
    owner: str
    started_at: float
    ended_at: float | None
    outcome: str | None
    failure: Failure | None


class AttemptPage(BaseModel):
    """Every start of a job in order."""

    attempts: list[Attempt]


class StageState(BaseModel):
    """A stage of a job; `stopped` means that it ran when the attempt ended."""

    name: str
    state: Literal["waiting", "running", "skipped", "finished", "stopped"]
    started_at: float | None = None
    seconds: float | None = None
    progress: dict[str, Any] | None = None


class StagePage(BaseModel):
    """The stages of a job in the order they run."""

    stages: list[StageState]


class Validation(BaseModel):
    """What a submission would meet: the faults, or the job with every setting, its stages and its input jobs."""

    ok: bool
    code: str = ""
    findings: list[Fault]
    spec: dict[str, Any] | None = None
    stages: list[str] = []
    waits_for: list[str] = []


class ArtifactEntry(BaseModel):
    """One published file of a job."""

    path: str
    sha256: str
    size_bytes: int
    url: str


class ArtifactPage(BaseModel):
    """The published files of a job."""

    artifacts: list[ArtifactEntry]


class JobChange(BaseModel):
    """What can be changed of a job."""

    model_config = ConfigDict(extra="forbid", strict=True)

    priority: int = Field(ge=-100, le=100)


class AuditLine(BaseModel):
    """What is gone: `actor` is the id of an API key, `operator` or `retention`, `subject` the id of the job."""

    seq: int
    at: float
    tenant: str
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class AuditPage(BaseModel):
    """Lines, newest first; `next` is the cursor of the following page."""

    lines: list[AuditLine]
    next: int | None


class NewWebhook(BaseModel):
    """An address to register, and which events it gets."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # ASCII without spaces: a name in another script is written in punycode.
    url: str = Field(max_length=2000, pattern=r"^https?://[!-~]+$", examples=["https://receiver.example/roadscribe"])
    events: list[EventType] = Field(default=list(get_args(EventType)), min_length=1, max_length=20)


class Webhook(BaseModel):
    """An address that events of the tenant's jobs are sent to. `failures` counts those since the last success."""

    id: str
    tenant: str
    url: str
    events: list[EventType]
    created_at: float
    failures: int
    disabled_at: float | None
    disabled_because: str


class WebhookWithSecret(Webhook):
    """A webhook as its registration answers it: the secret is not shown again."""

    secret: str


class WebhookPage(BaseModel):
    """The webhooks of a tenant, oldest first."""

    webhooks: list[Webhook]


class Delivery(BaseModel):
    """What became of a message. `due_at` is when a pending one is tried next, `status` that of the last answer."""

    id: str
    webhook: str
    type: str
    job: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    created_at: float
    attempted_at: float | None
    ended_at: float | None
    due_at: float | None
    status: int | None
    error: str


class DeliveryPage(BaseModel):
    """Messages of a webhook, newest first; `next` is the cursor of the following page."""

    deliveries: list[Delivery]
    next: int | None


class Health(BaseModel):
    """Whether the service can take and run jobs."""

    status: Literal["ok", "waiting"]
    executor_age_s: float | None = None


class SnapshotEntry(BaseModel):
    """A snapshot of a dataset. `record_url` leads to snapshot.json, whose sha256 this is."""

    dataset: str
    number: int
    sha256: str
    created_at: float
    job: str
    url: str
    page_url: str
    record_url: str
    summary: dict[str, Any]


class DatasetPage(BaseModel):
    """The newest snapshot of every dataset, by name."""

    datasets: list[SnapshotEntry]


class SnapshotPage(BaseModel):
    """The snapshots of a dataset, newest first."""

    snapshots: list[SnapshotEntry]
