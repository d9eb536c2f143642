"""What a submission says about other jobs, looked up in the ledger and written out: a stored job is complete."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from recon.errors import ConfigInvalid
from service.problems import Problem
from workers.spec import AggregateJob, ExportJob, Job, LabelJob, TripRef, file_stem, stored_spec

Find = Callable[[str], dict[str, Any] | None]


def with_inputs(spec: Job, find: Find) -> Job:
    """Return the job with what it takes from other jobs filled in: drives and their settings, the name of an export.

    `find` returns a job's record by id. Raises a problem that points at an id of no job, or of one of another kind.
    """
    if isinstance(spec, AggregateJob):
        drives = tuple(_trip(i, one, find) for i, one in enumerate(spec.drives))
        seen: dict[tuple[str, str], int] = {}
        for i, one in enumerate(drives):
            j = seen.setdefault((one.drive, one.scene), i)
            if j < i:  # better now than after the wait
                raise _refused(f"/drives/{i}", f"this is the same drive as /drives/{j}")
        return spec.model_copy(update={"drives": drives})
    if isinstance(spec, ExportJob):
        source = _spec_of(spec.job, "/job", (LabelJob, AggregateJob), find)
        drives = source.drives if isinstance(source, AggregateJob) else (source,)
        if spec.trip > len(drives):
            raise _refused("/trip", f"that job has {len(drives)} trips")
        first = drives[0]
        return spec.model_copy(update={"name": spec.name or file_stem(first.scene or first.drive)})
    return spec


def _trip(index: int, one: TripRef, find: Find) -> TripRef:
    if not one.job:
        return one
    place = f"/drives/{index}"
    source = _spec_of(one.job, f"{place}/job", (LabelJob,), find)
    taken = {name: getattr(source, name) for name in ("drive", "format", "scene", "sweeps", "segment")}
    for name in one.model_dump(exclude_defaults=True).keys() & taken.keys():
        # What our answer says may be sent again; anything else would be quietly overruled.
        if getattr(one, name) != taken[name]:
            raise _refused(f"{place}/{name}", "it comes from the job: leave it out, or name the drive without the job")
    return one.model_copy(update=taken)


def _spec_of(job_id: str, pointer: str, kinds: tuple[type[Job], ...], find: Find) -> Any:
    job = find(job_id)
    if job is None:
        raise _refused(pointer, "there is no such job")
    try:
        spec = stored_spec(json.dumps(job["spec"]))
    except ConfigInvalid as error:
        raise _refused(pointer, "another version of Roadscribe took that job: submit it again") from error
    if not isinstance(spec, kinds):
        expected = " or ".join(str(kind.model_fields["kind"].default) for kind in kinds)
        raise _refused(pointer, f"that job is of kind {spec.kind}, expected {expected}")
    return spec


def _refused(pointer: str, detail: str) -> Problem:
    fault = {"pointer": pointer, "detail": detail}
    return Problem(422, "JOB_INVALID", "the job has invalid fields", errors=[fault])
