"""`roadscribe jobs`: list the jobs of a service, delete them, change their priority."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer

from service.cli.submit import DEFAULT_URL, AsJson, JobId, Url, connect
from service.cli.terminal import put

jobs = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(jobs, name="jobs")


@jobs.callback()
def list_(
    context: typer.Context,
    state: Annotated[str, typer.Option("--state", help="Only jobs in this state.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 20,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first; or delete some, or change the priority of one that waits.

    Example: roadscribe jobs --state failed
    """
    if context.invoked_subcommand is not None:
        return
    with connect(url) as client:
        page = client.jobs(state=state, limit=limit)
    if as_json:
        put(json.dumps(page))
        return
    for job in page["jobs"]:
        created = datetime.fromtimestamp(job["created_at"]).strftime("%Y-%m-%d %H:%M:%S")
        state_text = job["state"] + (f" ({job['failure']['code']})" if job["failure"] else "")
        if job["state"] == "blocked":
            state_text += f" ({job['progress']['done']} of {job['progress']['total']} inputs)"
        place = f"{job['stage']:<8} {job['sources']}"
        attempt = f"{job['attempt']}/{job['max_attempts']}"
        # Plain lines: a table fitted to the terminal would cut ids short, and people copy them.
        put(f"{job['id']}  {created}  {attempt}  {state_text:<24} {place}")


@jobs.command()
def delete(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB_ID...", help="Ids of jobs that have ended.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Delete jobs that have ended, with their events; `roadscribe gc` then removes files that no other job needs.

    Example: roadscribe jobs delete 0198f3c2-5d1e-7c40-9b7a-3f0e6c1d2a54
    """
    with connect(url) as client:
        for job_id in job_ids:
            client.delete(job_id)
            put(json.dumps({"deleted": job_id}) if as_json else f"deleted {job_id}")


@jobs.command()
def priority(
    job_id: JobId,
    value: Annotated[int, typer.Argument(metavar="PRIORITY", min=-100, max=100, help="A greater one goes first.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Change the priority of a job that no executor has taken.

    Example: roadscribe jobs priority 0198f3c2-5d1e-7c40-9b7a-3f0e6c1d2a54 5
    """
    with connect(url) as client:
        job = client.set_priority(job_id, value)
    put(json.dumps(job) if as_json else f"{job['id']}  priority {job['priority']}")
