"""report.json, the record of a finished job at the top of its result folder: the one reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recon.errors import ArtifactForeign, ArtifactInvalid

REPORT = "report.json"


def read_report(folder: Path) -> dict[str, Any]:
    """Return the report of a result folder: at least `job`, a dict, and `stages`, a list.

    Raises ArtifactForeign when the folder holds no report of a job, ArtifactInvalid when it does not parse.
    """
    path = folder / REPORT
    hint = "Name the folder that `roadscribe label`, `aggregate` or `fetch` wrote."
    try:
        body = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactForeign(f"the folder holds no {REPORT} of a result", where=str(folder), hint=hint) from error
    except (ValueError, OSError) as error:
        raise ArtifactInvalid(f"{REPORT} does not parse", where=str(path), hint="Run the job again.") from error
    if not isinstance(body, dict) or not isinstance(body.get("stages"), list) or not isinstance(body.get("job"), dict):
        raise ArtifactForeign(f"{REPORT} is not the report of a job", where=str(path), hint=hint)
    return body
