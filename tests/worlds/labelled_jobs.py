"""Finished label and aggregate jobs in a ledger and its store, made of small shards, without running them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import small_shards
from sqlalchemy import Engine

from recon.artifact import canonical_json
from service.ledger import tables
from service.ledger.database import writing
from service.ledger.submissions import new_id
from workers.jobs.aggregate import AggregateJob
from workers.jobs.job_spec import JobSpec
from workers.jobs.label import LabelJob
from workers.spec import natural_key, spec_record


def add_job(
    engine: Engine,
    home: Path,
    shards: list[Path],
    *,
    state: str = "succeeded",
    tenant: str = "",
    ground: Mapping[str, object] | None = None,
) -> str:
    """Add a job over as many drives as there are folders of shards, and return its id; `ground` is in its report."""
    drives = [str(folder) for folder in shards]
    spec: JobSpec = LabelJob(drive=drives[0])
    if len(shards) > 1:
        spec = AggregateJob(drives=[{"drive": drive} for drive in drives])  # type: ignore[arg-type]
    job_id, stages = new_id(), []
    for number, folder in enumerate(shards):
        key = f"{job_id}-{number}"
        shutil.copytree(folder, home / "store" / "objects" / "pack" / key)
        stages.append({"name": "pack" if len(shards) == 1 else f"pack {number + 1}", "key": key, "digest": key})
    record = spec_record(spec)
    row = {"id": job_id, "kind": spec.kind, "spec": canonical_json(record).decode(), "natural_key": natural_key(spec)}
    stages += [{"name": name, "key": "", "digest": f"{name} of {job_id}"} for name in ("ingest", "fit")]
    report = {"job": record, "stages": stages, "ground": ground}
    row |= {"report": json.dumps(report), "state": state, "tenant": tenant}
    row |= dict.fromkeys(("run_at", "created_at", "updated_at", "state_at"), time.time())
    with writing(engine) as connection:
        connection.execute(tables.job.insert().values(**row, max_attempts=3))
    return job_id


def write_town(folder: Path, number: int, **changes: object) -> Path:
    """Write the shards of a drive of eight keyframes that is 1.5 km from those of other numbers."""
    fields = {"frames": 8, "origin": small_shards.at_degrees(8.002 + 0.02 * number), "step_m": 30.0, **changes}
    return small_shards.write(folder, name=f"town{number}", **fields)
