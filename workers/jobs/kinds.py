"""The kinds of jobs that there are. A new kind is a module beside this one and an entry here."""

from __future__ import annotations

from workers.jobs.aggregate import AggregateJob
from workers.jobs.export import ExportJob
from workers.jobs.job_spec import JobSpec, kind_name
from workers.jobs.label import LabelJob
from workers.jobs.probe import ProbeJob
from workers.jobs.snapshot import SnapshotJob
from workers.jobs.train import TrainJob

KINDS: tuple[type[JobSpec], ...] = (LabelJob, AggregateJob, ExportJob, SnapshotJob, TrainJob, ProbeJob)


def public_kinds() -> tuple[type[JobSpec], ...]:
    """Return the kinds that every service takes."""
    return tuple(kind for kind in KINDS if kind.public)


def kind_called(name: str) -> type[JobSpec] | None:
    """Return a kind by its name."""
    return next((kind for kind in KINDS if kind_name(kind) == name), None)
