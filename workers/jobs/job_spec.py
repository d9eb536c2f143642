"""What every kind of job offers: a typed spec that names its inputs, its stages and what each of them reads.

A kind is a subclass of `JobSpec` in a module of its own, listed in `workers.jobs.kinds.KINDS`. The API, the queue, the
executor and the pools call its methods and name no kind. A kind's module loads no engine, since the API imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from pydantic import BaseModel, ConfigDict

from recon.errors import ConfigInvalid
from workers.stage import Stage, StageRecord
from workers.store import Store

JOB_ID = "^[0-9A-Za-z-]{0,36}$"

ReportOf: TypeAlias = Callable[[str], Mapping[str, Any]]  # id of a finished job -> its report.json


class Spec(BaseModel):
    """A part of a job's spec: frozen, and unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class JobSpec(Spec):
    """One job, ready to be stored, planned and run. A kind adds `kind: Literal[NAME] = NAME` and its settings."""

    public: ClassVar[bool] = True  # False: taken only by a service that was started for tests

    if TYPE_CHECKING:
        kind: str  # no field of the base: each kind adds its own literal

    def input_paths(self) -> dict[str, str]:
        """Return JSON pointer -> path of every file or folder that the job reads; each is checked against the roots."""
        return {}

    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the job with other paths in the places that `input_paths` names."""
        assert not paths
        return self

    def input_jobs(self) -> dict[str, str]:
        """Return JSON pointer -> id of every job that must succeed before this one starts."""
        return {}

    def completed(self, find: FindJob) -> Self:
        """Return the job with what it takes from other jobs written out: a stored job is complete.

        `find` returns the spec of a job. Raises SpecRefused, which points at the field that is wrong.
        """
        return self

    def plan(self) -> tuple[Stage, ...]:
        """Return the stages in the order they run."""
        raise NotImplementedError

    def publishes(self) -> dict[str, str]:
        """Return stage -> folder of the result in which its files appear ("" = at the top)."""
        raise NotImplementedError

    def config_of(self, stage: Stage) -> Any:
        """Return the settings that the stage's function gets, or None."""
        return getattr(self, stage.config) if stage.config else None

    def config_identity(self, stage: Stage) -> Any:
        """Return the JSON form of what a stage reads of its job, with files named by content instead of by path."""
        config = self.config_of(stage)
        if config is None:
            return {}
        if isinstance(config, BaseModel):
            return config.model_dump(mode="json")
        assert is_dataclass(config)
        assert not isinstance(config, type)
        return asdict(config)

    def lighter(self) -> Self:
        """Return the job with settings that take less memory, or itself where there are none."""
        return self

    def earlier(self, report_of: ReportOf, store: Store) -> dict[str, StageRecord]:
        """Return the artifacts of other jobs that stages name as parents, by that name."""
        return {}

    def extended(self) -> str | None:
        """Return None, or of a job whose result is a snapshot: the id of the job that it extends, "" for none."""
        return None

    @classmethod
    def sources(cls, record: Mapping[str, Any]) -> str:
        """Return what a job reads, as one text for a list; `record` is a spec in JSON, perhaps of another version."""
        return str(record.get("drive", ""))


FindJob: TypeAlias = Callable[[str], JobSpec | None]


class SpecRefused(ConfigInvalid):
    """A field of a job cannot be as it is; `where` is its JSON pointer."""


def source_of(job_id: str, pointer: str, kinds: tuple[type[JobSpec], ...], find: FindJob) -> Any:
    """Return the spec of the job that a field names; raises SpecRefused when it is of none of `kinds`."""
    try:
        found = find(job_id)
    except ConfigInvalid as error:
        raise SpecRefused("another version of Roadscribe took that job: submit it again", where=pointer) from error
    if found is None:
        raise SpecRefused("there is no such job", where=pointer)
    if not isinstance(found, kinds):
        expected = " or ".join(kind_name(kind) for kind in kinds)
        raise SpecRefused(f"that job is of kind {found.kind}, expected {expected}", where=pointer)
    return found


def kind_name(kind: type[JobSpec]) -> str:
    """Return the name of a kind, as the field `kind` of its jobs has it."""
    return str(kind.model_fields["kind"].default)
