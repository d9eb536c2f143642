"""What a submission names of other jobs, looked up in the ledger and written out: a stored job is complete."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from recon.errors import InputLost
from service.problems import Problem
from workers.jobs.job_spec import JobSpec, SpecRefused
from workers.spec import stored_spec

Find = Callable[[str], dict[str, Any] | None]


def with_inputs(spec: JobSpec, find: Find) -> JobSpec:
    """Return the job with what it takes from other jobs filled in.

    `find` returns a job's record by id. Raises a problem that points at an id of no job, or of one of another kind.
    """

    def spec_of(job_id: str) -> JobSpec | None:
        record = find(job_id)
        return None if record is None else stored_spec(json.dumps(record["spec"]))

    try:
        complete = spec.completed(spec_of)
        for pointer, job_id in complete.input_jobs().items():
            if find(job_id) is None:
                raise InputLost("there is no such job", where=pointer)
        return complete
    except SpecRefused as error:
        fault = {"pointer": error.where, "detail": error.message}
        raise Problem(422, "JOB_INVALID", "the job has invalid fields", errors=[fault]) from error
