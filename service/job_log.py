"""The events of a job told: as lines of a log, and as the states of its stages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

LEVELS = ("debug", "info", "warning", "error")
_LEVEL_OF = {"stage.progress": "debug", "job.retry_wait": "warning", "artifact.damaged": "warning"}
_LEVEL_OF |= {"job.failed": "error"}


def log_line(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event as seq, at, level, stage and message."""
    kind, data = event["type"], event["data"]
    stage = str(data.get("stage", ""))
    if kind == "stage.progress":
        message = f"{stage}: {data.get('done')} of {data.get('total')} {data.get('unit', '')}".rstrip()
        message += "".join(f", {name} {value:.4g}" for name, value in data.get("values", {}).items())
    elif kind.startswith("stage."):
        message = f"{stage}: {kind.removeprefix('stage.')}"
        message += f" after {data['seconds']:.1f} s" if "seconds" in data else ""
    else:
        message = kind.removeprefix("job.").replace("_", " ").replace(".", " ")
        message += f" (attempt {data['attempt']})" if "attempt" in data else ""
        message += f" {data['priority']}" if "priority" in data else ""
        failure = data.get("failure")
        if failure:
            place = f" [{failure['where']}]" if failure.get("where") else ""
            message += f": {failure['code']}: {failure['message']}{place} {failure.get('hint', '')}".rstrip()
    level = _LEVEL_OF.get(kind, "info")
    return {"seq": event["seq"], "at": event["at"], "level": level, "stage": stage, "message": message}


def stages_of(names: Sequence[str], events: Iterable[dict[str, Any]], job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the state of each stage of a plan as the events of its job tell it; the newest start counts."""
    stages = {name: {"name": name, "state": "waiting"} for name in names}
    for event in events:
        kind, data = event["type"], event["data"]
        stage: dict[str, Any] = stages.setdefault(data["stage"], {}) if kind.startswith("stage.") else {}
        if kind == "stage.started":
            stage.clear()
            stage |= {"name": data["stage"], "state": "running", "started_at": event["at"]}
        elif kind == "stage.skipped":
            stage |= {"name": data["stage"], "state": "skipped"}
        elif kind == "stage.finished":
            stage |= {"state": "finished", "seconds": data["seconds"]}
        elif kind.startswith("job.") and kind != "job.committing":
            # Whatever ran at that moment has stopped.
            for one in stages.values():
                if one["state"] == "running":
                    one["state"] = "stopped"
    running = stages.get(job["stage"])
    if running and running["state"] == "running" and "done" in job["progress"]:
        running |= {"progress": job["progress"]}
    return [stage for stage in stages.values() if stage]
