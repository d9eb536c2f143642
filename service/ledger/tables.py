r"""The tables of the ledger and the states of a job.

blocked -> queued -> running -> committing -> succeeded
             |  ^      |    \______________-> failed
             |  |      v                       ^
             |  retry_wait --------------------/      (attempts are bounded, every state has a time-out)
             \-> cancelled <- cancelling <- running, committing

A blocked job waits for others to succeed: it fails when one of them does not, and can be cancelled as a queued one.
A queued job is due now; one in retry_wait becomes queued again when its pause is over.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TextClause,
    text,
)

CLAIMABLE = ("queued", "retry_wait")
WAITING = ("blocked", *CLAIMABLE)  # no executor works on it
LEASED = ("running", "committing", "cancelling")
TERMINAL = ("succeeded", "failed", "cancelled")
OPEN = (*WAITING, *LEASED)
STATES = (*WAITING, *LEASED, *TERMINAL)

# A partial index serves only queries that repeat its condition, word for word and with the values in it.
QUEUED, UNCLAIMED, HELD, ENDED, PENDING = (
    text(f"state IN ({', '.join(map(repr, states))})")
    for states in (("queued",), CLAIMABLE, LEASED, TERMINAL, ("pending",))
)

metadata = MetaData()


def _partial(name: str, *columns: str, where: TextClause) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


job = Table(
    "job",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("spec", Text, nullable=False),  # canonical JSON
    Column("natural_key", String(64), nullable=False),
    Column("tenant", String(64), nullable=False, server_default=""),  # who shares the executors fairly with others
    Column("rank", Integer, nullable=False, server_default="0"),  # the negated priority: less goes first in its tenant
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),  # counted against max_attempts
    Column("epoch", Integer, nullable=False, server_default="0"),  # grows with every claim, also uncounted ones
    Column("losses", Integer, nullable=False, server_default="0"),  # machines that died since a stage was finished
    Column("max_attempts", Integer, nullable=False),
    Column("owner", String(128), nullable=False, server_default=""),
    Column("lease_until", Float, nullable=False, server_default="0"),  # seconds since 1970, as every time here
    Column("run_at", Float, nullable=False),
    Column("state_at", Float, nullable=False, server_default="0"),  # since when it is in this state
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("stage", String(64), nullable=False, server_default=""),
    Column("progress", Text, nullable=False, server_default="{}"),
    Column("failure", Text, nullable=True),  # record of the error that ended the job or delayed it
    Column("report", Text, nullable=True),
    Column("last_event", Integer, nullable=False, server_default="0"),
    Column("sources", String(200), nullable=False, server_default=""),  # what it reads, as a line of a list
    Column("restores", String(36), nullable=False, server_default=""),  # id of the job whose damaged files it remakes
    Index("job_natural_key", "natural_key"),
    Index("job_tenant", "tenant", "seq"),
    Index("job_state", "state", "seq"),
    # Most rows have ended. These indexes hold the others only, in the order in which the queue asks for them.
    _partial("job_next", "tenant", "rank", "seq", where=QUEUED),
    _partial("job_oldest", "tenant", "created_at", where=QUEUED),
    _partial("job_due", "state", "run_at", where=UNCLAIMED),
    _partial("job_leased", "lease_until", where=HELD),
    _partial("job_ended", "updated_at", where=ENDED),
    sqlite_autoincrement=True,
)

job_input = Table(
    "job_input",
    metadata,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("pointer", String(64), primary_key=True),  # place in the spec, a JSON pointer
    Column("input_id", ForeignKey("job.id"), nullable=False),
    Index("job_input_input", "input_id"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("owner", String(128), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float, nullable=True),
    Column("outcome", String(32), nullable=True),
    Column("failure", Text, nullable=True),
)

event = Table(
    "event",
    metadata,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),  # without gaps, from 1, for each job
    Column("at", Float, nullable=False),
    Column("type", String(32), nullable=False),
    Column("data", Text, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("body_sha256", String(64), nullable=False),
    Column("job_id", ForeignKey("job.id"), nullable=False),
    Column("created_at", Float, nullable=False),
    Index("idempotency_job", "job_id"),
)

artifact = Table(
    "artifact",
    metadata,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("path", String(512), primary_key=True),  # as users see it
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored", String(1024), nullable=False),  # relative to the service's home
    Index("artifact_sha256", "sha256"),
)

heartbeat = Table(
    "heartbeat",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("at", Float, nullable=False),
    Column("fenced", Integer, nullable=False, server_default="0"),  # late writes refused so far
)

stage_lease = Table(
    "stage_lease",
    metadata,
    Column("stage", String(160), primary_key=True),  # name of the result that one job at a time works on
    Column("job_id", ForeignKey("job.id"), nullable=False),
    Column("epoch", Integer, nullable=False),  # the holder's lease is that of its job
)

fair_share = Table(
    "fair_share",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("served_at", Float, nullable=False),  # when an executor last took a job of this tenant
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("secret_sha256", String(64), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("scopes", String(128), nullable=False),  # separated by spaces
    Column("requests_per_s", Float, nullable=False, server_default="0"),  # 0 = as many as it likes
    Column("most_open_jobs", Integer, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=True),
    Column("revoked_at", Float, nullable=True),
)

figure = Table(
    "figure",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("label", String(64), primary_key=True),
    Column("part", String(16), primary_key=True),  # the upper bound of a bucket, or "sum"
    Column("value", Float, nullable=False),
)

snapshot = Table(
    "snapshot",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("dataset", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),  # without gaps, from 1, for each dataset
    Column("job_id", ForeignKey("job.id"), nullable=False, unique=True),  # whose artifacts its files are
    Column("sha256", String(64), nullable=False),  # of the record
    Column("created_at", Float, nullable=False),
    Column("summary", Text, nullable=False),
)

webhook = Table(
    "webhook",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("url", String(2000), nullable=False),
    Column("events", String(200), nullable=False),  # separated by spaces
    Column("key_id", String(16), nullable=False),  # of the key that its secret is derived from
    Column("created_at", Float, nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),  # since the last success
    Column("rests_until", Float, nullable=False, server_default="0"),  # after a failure nothing is sent before this
    Column("disabled_at", Float, nullable=True),
    Column("disabled_because", String(200), nullable=False, server_default=""),
    Index("webhook_address", "tenant", "url", unique=True),
)

# The outbox: what shall be sent, written in the transaction in which it happened. A job may be deleted before.
delivery = Table(
    "delivery",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("webhook_id", ForeignKey("webhook.id"), nullable=False),
    Column("type", String(32), nullable=False),
    Column("job_id", String(36), nullable=False, server_default=""),
    Column("body", Text, nullable=False),  # every attempt sends these bytes
    Column("created_at", Float, nullable=False),
    Column("state", String(16), nullable=False, server_default="pending"),  # or delivered, failed
    Column("attempts", Integer, nullable=False, server_default="0"),  # the newest one is the token of its claim
    Column("due_at", Float, nullable=False),  # of a claimed row: when the claim has run out
    Column("attempted_at", Float, nullable=True),
    Column("ended_at", Float, nullable=True),
    Column("status", Integer, nullable=True),  # of the last answer
    Column("error", String(200), nullable=False, server_default=""),
    Index("delivery_webhook", "webhook_id", "seq"),
    _partial("delivery_next", "webhook_id", "seq", where=PENDING),
    Index("delivery_ended", "ended_at"),
    sqlite_autoincrement=True,
)

# What happened to things that are gone.
audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("actor", String(64), nullable=False),  # id of an API key, "operator" or "retention"
    Column("action", String(32), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_tenant", "tenant", "seq"),
    sqlite_autoincrement=True,
)
