"""What a finished run leaves for its user: report.json beside the files of the published stages."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from recon.artifact import write_atomic
from recon.errors import PathRefused, storage_errors
from vectorize.publish.job_report import REPORT
from workers.run import RunReport

OWN_FOLDER = ".roadscribe"  # holds the store of a local run, and marks a folder that Roadscribe may write


def report_file(report: RunReport) -> tuple[bytes, str]:
    """Return the bytes of report.json and their sha256."""
    return report_bytes(report.record())


def report_bytes(record: dict[str, Any]) -> tuple[bytes, str]:
    """Return report.json of a report's JSON form, as the ledger holds it too, and its sha256."""
    data = json.dumps(record, indent=1, allow_nan=False).encode() + b"\n"
    return data, hashlib.sha256(data).hexdigest()


def claim_folder(out: Path) -> Path:
    """Mark `out` as written by Roadscribe and return its store; raises PathRefused for a folder with other files."""
    with storage_errors(str(out)):
        if out.exists() and not out.is_dir():
            raise PathRefused("the output is a file", where=str(out), hint="Name a folder.")
        if out.is_dir() and any(out.iterdir()) and not (out / OWN_FOLDER).is_dir():
            hint = "Name a new or empty folder; nothing of yours is overwritten."
            raise PathRefused("the output folder holds files that Roadscribe did not write", where=str(out), hint=hint)
        (out / OWN_FOLDER).mkdir(parents=True, exist_ok=True)
    return out / OWN_FOLDER / "store"


def write_result(report: RunReport, out: Path) -> dict[str, Any]:
    """Put the files of a run into `out`, replacing those of an earlier run there, and return the report."""
    data, _ = report_file(report)
    staging = out / OWN_FOLDER / f"result.{uuid.uuid4().hex[:8]}"
    with storage_errors(str(out)):
        try:
            for file in report.files():
                target = staging / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.source, target)
            # Everything is on the disk before the first old file goes; the report goes first and comes last, so that
            # a folder with a report is complete.
            (out / REPORT).unlink(missing_ok=True)
            fresh = list(staging.iterdir()) if staging.is_dir() else []
            for old in [out / entry.name for entry in fresh]:
                shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
            for entry in fresh:
                entry.replace(out / entry.name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    write_atomic(out / REPORT, data)
    return report.record()
